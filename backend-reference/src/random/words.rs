//! Random words from a key, by counter: Philox4x32-10 of Salmon et al., *Parallel random numbers: as easy
//! as 1, 2, 3* (SC 2011).

use std::f64::consts::TAU;

use arignote_core::Result;
use arignote_core::tensor::{DType, Tensor};

use crate::values::{fail, integers};

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

fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// What tells the keys that are made of a key from its draws.
const FOLDED: u64 = 0x9ddf_ea08_eb38_2d69;

/// The random words of a key `(seed, stream)`, by number.
#[derive(Clone, Copy)]
pub struct Words {
    seed: u64,
    stream: u64,
}

impl Words {
    /// The words of a key.
    ///
    /// # Errors
    /// If it is not `u64[2]`.
    pub fn of(key: &Tensor) -> Result<Words> {
        if key.dtype() != DType::U64 || key.shape() != [2] {
            let message = format!("a key is u64[2], a seed and a stream, not {}{:?}", key.dtype(), key.shape());
            return Err(fail(message));
        }
        let words = integers(key);
        Ok(Words { seed: words[0] as u64, stream: words[1] as u64 })
    }

    fn block(&self, number: u64) -> [u32; 4] {
        let ([block_low, block_high], [low, high]) = (halves(number), halves(self.stream));
        philox([block_low, block_high, low, high], halves(self.seed))
    }

    fn word(&self, number: u64) -> u32 {
        self.block(number / 4)[(number % 4) as usize]
    }

    /// A float in [0, 1), of as many bits as the dtype has digits: one word, or for `f64` two.
    pub fn uniform(&self, dtype: DType, number: u64) -> f64 {
        let digits = match dtype {
            DType::F64 => return double(self.word(2 * number), self.word(2 * number + 1)),
            DType::F16 => 11,
            DType::BF16 => 8,
            _ => 24,
        };
        f64::from(self.word(number) >> (32 - digits)) / f64::from(1u32 << digits)
    }

    /// The key for a number.
    pub fn folded(&self, number: u64) -> [u64; 2] {
        let ([a, b], [c, d]) = (halves(number), halves(self.stream));
        let [a, b, c, d] = philox([a, b, c, d], halves(self.seed ^ FOLDED)).map(u64::from);
        [a | b << 32, c | d << 32]
    }

    /// The draws of one element, as many as it takes.
    pub fn source(self, element: usize) -> Source {
        Source { words: self, next: (element as u64) << 16, kept: None }
    }
}

fn double(a: u32, b: u32) -> f64 {
    (f64::from(a >> 5) * 67_108_864.0 + f64::from(b >> 6)) / 9_007_199_254_740_992.0
}

/// Random numbers for one element: blocks of a range of the counter that is the element's own.
pub struct Source {
    words: Words,
    next: u64,
    kept: Option<[u32; 2]>,
}

impl Source {
    fn pair(&mut self) -> [u32; 2] {
        if let Some(pair) = self.kept.take() {
            return pair;
        }
        let [a, b, c, d] = self.words.block(self.next);
        self.next += 1;
        self.kept = Some([c, d]);
        [a, b]
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b] = self.pair();
        u64::from(a) | u64::from(b) << 32
    }

    /// Uniform on [0, 1), of 53 bits.
    pub fn uniform(&mut self) -> f64 {
        let [a, b] = self.pair();
        double(a, b)
    }

    /// Uniform on (0, 1].
    pub fn positive(&mut self) -> f64 {
        1.0 - self.uniform()
    }

    /// Normal of mean 0 and variance 1, by Box and Muller's transform.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.positive())).sqrt();
        radius * libm::cos(TAU * self.uniform())
    }
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
