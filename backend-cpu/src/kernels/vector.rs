//! Products of matrices with vectors, at the speed of memory: by vectors of 256 bits where the processor has
//! them, else in the same order with what it has.

/// Partial sums of a sum of products, added up in one order at the end.
const LANES: usize = 32;

/// Vectors of the processor, and what is needed of them.
#[cfg(target_arch = "x86_64")]
mod wide {
    pub use std::arch::x86_64::{
        _mm256_fmadd_pd, _mm256_fmadd_ps, _mm256_loadu_pd, _mm256_loadu_ps, _mm256_setzero_pd, _mm256_setzero_ps, _mm256_storeu_pd, _mm256_storeu_ps,
    };
}

/// An element type of these products.
pub trait Real: Copy {
    /// `out[i] = sum(row i of the matrix * y)`: row i begins `i * step` elements from `matrix` on.
    ///
    /// # Safety
    /// The matrix has `out.len()` rows of `y.len()` elements.
    unsafe fn rows_times(matrix: *const Self, step: usize, y: &[Self], out: &mut [Self]);

    /// `out = sum(y[j] * column j of the matrix)`: column j begins `j * step` elements from `matrix` on.
    ///
    /// # Safety
    /// The matrix has `y.len()` columns of `out.len()` elements.
    unsafe fn columns_times(matrix: *const Self, step: usize, y: &[Self], out: &mut [Self]);
}

macro_rules! real {
    ($T:ident, $width:literal, $rows:ident, $columns:ident, $row:ident, $column:ident, $load:ident, $store:ident, $zero:ident, $fused:ident) => {
        /// Adds up partial sums, halving their number.
        #[inline(always)]
        fn $row(mut sums: [$T; LANES]) -> $T {
            let mut width = LANES / 2;
            while width > 0 {
                let (low, high) = sums.split_at_mut(width);
                low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
                width /= 2;
            }
            sums[0]
        }

        /// Adds the scaled columns, four at a time, in their order.
        #[inline(always)]
        unsafe fn $column<const FUSED: bool>(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
            let add = |sum: $T, x: $T, y: $T| if FUSED { x.mul_add(y, sum) } else { x * y + sum };
            out.fill(0.0);
            // SAFETY: by the caller's promise.
            let column = |at: usize, from: usize, length: usize| unsafe { std::slice::from_raw_parts(matrix.add(at * step + from), length) };
            // A part of the sums stays in the first cache.
            for (part, out) in out.chunks_mut(1024).enumerate() {
                let (from, length) = (part * 1024, out.len());
                let groups = y.chunks_exact(4);
                let done = y.len() - groups.remainder().len();
                for (group, y) in groups.enumerate() {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|at| column(4 * group + at, from, length));
                    for ((((out, &a), &b), &c), &d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *out = add(add(add(add(*out, a, y[0]), b, y[1]), c, y[2]), d, y[3]);
                    }
                }
                for (at, &y) in y.iter().enumerate().skip(done) {
                    for (out, &x) in out.iter_mut().zip(column(at, from, length)) {
                        *out = add(*out, x, y);
                    }
                }
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $rows(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
            let length = y.len();
            for (number, out) in out.iter_mut().enumerate() {
                let mut parts = [wide::$zero(); LANES / $width];
                let mut at = 0;
                // SAFETY: by the caller's promise the row has `length` elements, as `y` has: `at` plus what is read
                // from there is not more.
                unsafe {
                    let row = matrix.add(number * step);
                    while at + LANES <= length {
                        for (part, sum) in parts.iter_mut().enumerate() {
                            let from = at + part * $width;
                            *sum = wide::$fused(wide::$load(row.add(from)), wide::$load(y.as_ptr().add(from)), *sum);
                        }
                        at += LANES;
                    }
                    let mut part = 0;
                    while at + $width <= length {
                        parts[part] = wide::$fused(wide::$load(row.add(at)), wide::$load(y.as_ptr().add(at)), parts[part]);
                        (at, part) = (at + $width, part + 1);
                    }
                    let mut rest: $T = 0.0;
                    while at < length {
                        rest = (*row.add(at)).mul_add(y[at], rest);
                        at += 1;
                    }
                    let mut sums: [$T; LANES] = [0.0; LANES];
                    for (part, &sum) in parts.iter().enumerate() {
                        wide::$store(sums.as_mut_ptr().add(part * $width), sum);
                    }
                    *out = $row(sums) + rest;
                }
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $columns(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
            // SAFETY: by the caller's promise.
            unsafe { $column::<true>(matrix, step, y, out) }
        }

        impl Real for $T {
            unsafe fn rows_times(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the features; else by the caller's promise.
                    return unsafe { $rows(matrix, step, y, out) };
                }
                for (number, out) in out.iter_mut().enumerate() {
                    // SAFETY: by the caller's promise.
                    let row = unsafe { std::slice::from_raw_parts(matrix.add(number * step), y.len()) };
                    let mut sums = [0.0; LANES];
                    for (row, y) in row.chunks(LANES).zip(y.chunks(LANES)) {
                        for ((sum, x), y) in sums.iter_mut().zip(row).zip(y) { *sum += x * y; }
                    }
                    *out = $row(sums);
                }
            }

            unsafe fn columns_times(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the features; else by the caller's promise.
                    return unsafe { $columns(matrix, step, y, out) };
                }
                // SAFETY: by the caller's promise.
                unsafe { $column::<false>(matrix, step, y, out) }
            }
        }
    };
}
real!(f32, 8, rows_f32, columns_f32, added_f32, column_f32, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_setzero_ps, _mm256_fmadd_ps);
real!(f64, 4, rows_f64, columns_f64, added_f64, column_f64, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_setzero_pd, _mm256_fmadd_pd);
