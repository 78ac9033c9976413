//! Squares of elements transposed, by vectors of 256 bits where the processor has them.

/// Elements along each side of a square.
pub const SIDE: usize = 16;

/// Writes the transposed square: `to[i * to_step + j] = from[j * from_step + i]`.
///
/// # Safety
/// `from` may be read in [`SIDE`] lines that many elements apart, `to` written in as many; they do not overlap.
pub unsafe fn turn<T: Copy>(from: *const T, from_step: usize, to: *mut T, to_step: usize) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: the caller's promise, of elements as long as those of the functions.
        unsafe {
            match size_of::<T>() {
                4 => return wide::turn_words(from.cast(), from_step, to.cast(), to_step),
                8 => return wide::turn_long_words(from.cast(), from_step, to.cast(), to_step),
                _ => {}
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { turn_plainly(from, from_step, to, to_step) }
}

/// As [`turn`], for elements of any length and any processor.
///
/// # Safety
/// As for [`turn`].
unsafe fn turn_plainly<T: Copy>(from: *const T, from_step: usize, to: *mut T, to_step: usize) {
    for j in 0..SIDE {
        // SAFETY: the caller's promise.
        let line: [T; SIDE] = unsafe { from.add(j * from_step).cast::<[T; SIDE]>().read_unaligned() };
        for (i, value) in line.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { to.add(i * to_step + j).write(value) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256, __m256d, _mm256_loadu_pd, _mm256_loadu_ps, _mm256_permute2f128_pd, _mm256_permute2f128_ps, _mm256_setzero_pd, _mm256_setzero_ps,
        _mm256_shuffle_ps, _mm256_storeu_pd, _mm256_storeu_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
    };

    use super::SIDE;

    /// # Safety
    /// As for [`super::turn`].
    #[target_feature(enable = "avx")]
    pub unsafe fn turn_words(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for part in 0..(SIDE / 8) * (SIDE / 8) {
            let (i, j) = (part / (SIDE / 8) * 8, part % (SIDE / 8) * 8);
            let mut lines: [__m256; 8] = [_mm256_setzero_ps(); 8];
            // SAFETY: the caller's promise.
            for (at, line) in lines.iter_mut().enumerate() { *line = unsafe { _mm256_loadu_ps(from.add((j + at) * from_step + i)) }; }
            let [a, b, c, d, e, f, g, h] = lines;
            // Pairs of two lines, of four, then the halves.
            let (ab, cd, ef, gh) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d), _mm256_unpacklo_ps(e, f), _mm256_unpacklo_ps(g, h));
            let (ab2, cd2, ef2, gh2) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d), _mm256_unpackhi_ps(e, f), _mm256_unpackhi_ps(g, h));
            let low = [
                _mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xee>(ab, cd), _mm256_shuffle_ps::<0x44>(ab2, cd2), _mm256_shuffle_ps::<0xee>(ab2, cd2),
            ];
            let high = [
                _mm256_shuffle_ps::<0x44>(ef, gh), _mm256_shuffle_ps::<0xee>(ef, gh), _mm256_shuffle_ps::<0x44>(ef2, gh2), _mm256_shuffle_ps::<0xee>(ef2, gh2),
            ];
            for at in 0..4 {
                // SAFETY: the caller's promise.
                unsafe {
                    _mm256_storeu_ps(to.add((i + at) * to_step + j), _mm256_permute2f128_ps::<0x20>(low[at], high[at]));
                    _mm256_storeu_ps(to.add((i + 4 + at) * to_step + j), _mm256_permute2f128_ps::<0x31>(low[at], high[at]));
                }
            }
        }
    }

    /// # Safety
    /// As for [`super::turn`].
    #[target_feature(enable = "avx")]
    pub unsafe fn turn_long_words(from: *const f64, from_step: usize, to: *mut f64, to_step: usize) {
        for part in 0..(SIDE / 4) * (SIDE / 4) {
            let (i, j) = (part / (SIDE / 4) * 4, part % (SIDE / 4) * 4);
            let mut lines: [__m256d; 4] = [_mm256_setzero_pd(); 4];
            // SAFETY: the caller's promise.
            for (at, line) in lines.iter_mut().enumerate() { *line = unsafe { _mm256_loadu_pd(from.add((j + at) * from_step + i)) }; }
            let [a, b, c, d] = lines;
            let (ab, cd, ab2, cd2) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
            let turned = [
                _mm256_permute2f128_pd::<0x20>(ab, cd), _mm256_permute2f128_pd::<0x20>(ab2, cd2),
                _mm256_permute2f128_pd::<0x31>(ab, cd), _mm256_permute2f128_pd::<0x31>(ab2, cd2),
            ];
            for (at, line) in turned.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { _mm256_storeu_pd(to.add((i + at) * to_step + j), line) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Copy + PartialEq + std::fmt::Debug>(make: impl Fn(usize) -> T) {
        let (from_step, to_step) = (SIDE + 3, SIDE + 5);
        let from: Vec<T> = (0..SIDE * from_step).map(&make).collect();
        for turn in [turn, turn_plainly] {
            let mut to = vec![make(77); SIDE * to_step];
            // SAFETY: both have lines of `SIDE` elements so far apart.
            unsafe { turn(from.as_ptr(), from_step, to.as_mut_ptr(), to_step) };
            for i in 0..SIDE {
                for j in 0..to_step {
                    let expected = if j < SIDE { from[j * from_step + i] } else { make(77) };
                    assert_eq!(to[i * to_step + j], expected, "{i} {j}");
                }
            }
        }
    }

    #[test]
    fn squares() {
        check(|at| at as u8);
        check(|at| at as u16);
        check(|at| at as u32);
        check(|at| at as u64);
    }
}
