//! Random numbers from a key, by counter: Philox4x32-10 of Salmon et al., *Parallel random numbers: as
//! easy as 1, 2, 3* (SC 2011).

use std::f64::consts::PI;

use arignote_core::Result;
use arignote_core::tensor::{DType, Tensor};

use crate::kernel::{Function, KernelCall};
use crate::values::{allocate, count, fail, from_floats, integers, sizes};

/// The kernel of a random op.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "uniform" => uniform,
        "normal" => normal,
        _ => return None,
    })
}

/// Four random words from a counter and a key.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let first = u64::from(c[0]) * 0xd251_1f53;
        let second = u64::from(c[2]) * 0xcd9e_8d57;
        let high = |product: u64| (product >> 32) as u32;
        c = [high(second) ^ c[1] ^ k[0], second as u32, high(first) ^ c[3] ^ k[1], first as u32];
        k[0] = k[0].wrapping_add(0x9e37_79b9);
        k[1] = k[1].wrapping_add(0xbb67_ae85);
    }
    c
}

/// The random words of a key `(seed, stream)`, by number.
struct Words {
    seed: u64,
    stream: u64,
}

impl Words {
    fn of(key: &Tensor) -> Result<Words> {
        if key.dtype() != DType::U64 || key.shape() != [2] {
            let message = format!("a key is u64[2], a seed and a stream, not {}{:?}", key.dtype(), key.shape());
            return Err(fail(message));
        }
        let words = integers(key);
        Ok(Words { seed: words[0] as u64, stream: words[1] as u64 })
    }

    fn word(&self, number: u64) -> u32 {
        let halves = |x: u64| [x as u32, (x >> 32) as u32];
        let ([block_low, block_high], [low, high]) = (halves(number / 4), halves(self.stream));
        philox([block_low, block_high, low, high], halves(self.seed))[(number % 4) as usize]
    }

    /// A float in [0, 1): of 24 bits from one word, or for `f64` of 53 bits from two.
    fn uniform(&self, dtype: DType, number: u64) -> f64 {
        if dtype == DType::F64 {
            let (a, b) = (self.word(2 * number), self.word(2 * number + 1));
            (f64::from(a >> 5) * 67_108_864.0 + f64::from(b >> 6)) / 9_007_199_254_740_992.0
        } else {
            f64::from(self.word(number) >> 8) / 16_777_216.0
        }
    }
}

fn uniform(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (words, shape, dtype) = (Words::of(call.operand(0)?)?, sizes(call.operand(1)?)?, call.dtype()?);
    let mut values = allocate(&shape)?;
    values.extend((0..count(&shape)? as u64).map(|i| words.uniform(dtype, i)));
    Ok(vec![from_floats(dtype, values, &shape)?])
}

/// Box and Muller's transform of pairs of uniform numbers.
fn normal(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (words, shape, dtype) = (Words::of(call.operand(0)?)?, sizes(call.operand(1)?)?, call.dtype()?);
    let mut values = allocate(&shape)?;
    values.extend((0..count(&shape)? as u64).map(|i| {
        let first = 1.0 - words.uniform(dtype, i / 2 * 2);
        let angle = 2.0 * PI * words.uniform(dtype, i / 2 * 2 + 1);
        let radius = (-2.0 * libm::log(first)).sqrt();
        radius * if i % 2 == 0 { libm::cos(angle) } else { libm::sin(angle) }
    }));
    Ok(vec![from_floats(dtype, values, &shape)?])
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// The published vectors of Random123 (`kat_vectors`).
    #[test]
    fn philox_gives_the_published_words() {
        let all = u32::MAX;
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([all; 4], [all; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
