//! Random numbers: Philox4x32-10 (Salmon et al., 2011), so that draw i depends on key and i alone.

use arignote_core::{Error, ErrorKind, Result};
use arignote_core::tensor::{DType, Element};

use super::Call;
use crate::buffer::typed_mut;
use crate::stored_type;

/// One block of four words.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], [mut k, mut l]) = (counter, key);
    for round in 0..10 {
        if round > 0 {
            k = k.wrapping_add(0x9E37_79B9);
            l = l.wrapping_add(0xBB67_AE85);
        }
        let p = u64::from(a) * 0xD251_1F53;
        let q = u64::from(c) * 0xCD9E_8D57;
        (a, b, c, d) = ((q >> 32) as u32 ^ b ^ k, q as u32, (p >> 32) as u32 ^ d ^ l, p as u32);
    }
    [a, b, c, d]
}

/// A number in [0, 1) of as many bits as the dtype has digits.
fn single(dtype: DType, word: u32) -> f64 {
    let digits = match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 24,
    };
    f64::from(word >> (32 - digits)) / f64::from(1u32 << digits)
}

fn double(a: u32, b: u32) -> f64 {
    (f64::from(a >> 5) * 67_108_864.0 + f64::from(b >> 6)) / 9_007_199_254_740_992.0
}

fn pair(u: f64, v: f64) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - u).ln()).sqrt();
    let angle = 2.0 * std::f64::consts::PI * v;
    [radius * angle.cos(), radius * angle.sin()]
}

/// Seed and stream.
fn key(call: &Call<'_, '_>) -> Result<[u64; 2]> {
    let key = call.operand(0)?.cast::<u64>(DType::U64).into_owned();
    <[u64; 2]>::try_from(&key[..]).map_err(|_| {
        Error::new(ErrorKind::Runtime, "the key of random numbers must be two numbers: seed and stream")
    })
}

fn draw(call: &mut Call<'_, '_>, normal: bool) -> Result<()> {
    let [seed, stream] = key(call)?;
    let block = |i: u64| philox([i as u32, (i >> 32) as u32, stream as u32, (stream >> 32) as u32], [seed as u32, (seed >> 32) as u32]);
    let result = &mut call.results[0];
    let (wide, dtype) = (result.dtype == DType::F64, result.dtype);
    // Halves are rounded draws of `f32`.
    let single = |word| single(if normal { DType::F32 } else { dtype }, word);
    stored_type!(result.dtype, T => {
        let target = typed_mut::<T>(result.bytes);
        const CHUNK: usize = 4096;
        call.context.chunks(target, CHUNK, &|chunk, part| {
            let per = if wide { 2 } else { 4 };
            for (i, out) in part.chunks_mut(per).enumerate() {
                let [a, b, c, d] = block(((chunk * CHUNK) / per + i) as u64);
                let values = match (wide, normal) {
                    (true, false) => [double(a, b), double(c, d), 0.0, 0.0],
                    (false, false) => [single(a), single(b), single(c), single(d)],
                    (true, true) => { let [x, y] = pair(double(a, b), double(c, d)); [x, y, 0.0, 0.0] }
                    (false, true) => {
                        let ([x, y], [z, w]) = (pair(single(a), single(b)), pair(single(c), single(d)));
                        [x, y, z, w]
                    }
                };
                for (out, value) in out.iter_mut().zip(values) { *out = T::from_f64(value); }
            }
        });
    });
    Ok(())
}

/// `uniform`
pub fn uniform(call: &mut Call<'_, '_>) -> Result<()> {
    draw(call, false)
}

/// `normal`
pub fn normal(call: &mut Call<'_, '_>) -> Result<()> {
    draw(call, true)
}

/// `fold_in`
pub fn fold_in(call: &mut Call<'_, '_>) -> Result<()> {
    let [seed, stream] = key(call)?;
    let data = call.operand(1)?.cast::<i64>(DType::I64).into_owned();
    let halves = |x: u64| [x as u32, (x >> 32) as u32];
    for (target, &number) in typed_mut::<u64>(call.results[0].bytes).chunks_mut(2).zip(&data) {
        let ([a, b], [c, d]) = (halves(number as u64), halves(stream));
        let [a, b, c, d] = philox([a, b, c, d], halves(seed ^ FOLDED)).map(u64::from);
        target.copy_from_slice(&[a | b << 32, c | d << 32]);
    }
    Ok(())
}

/// What tells the keys that are made of a key from its draws.
const FOLDED: u64 = 0x9ddf_ea08_eb38_2d69;

#[cfg(test)]
mod tests {
    #[test]
    fn philox_matches_the_published_vectors() {
        assert_eq!(super::philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            super::philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
