//! Products of matrices with vectors, at the speed of memory: by vectors of 256 bits where the processor has
//! them, else in the same order with what it has.

/// Vectors of partial sums of a sum of products, added up in one order at the end.
const PARTS: usize = 4;
/// Rows that are gone through side by side, far from one another: memory gives several streams sooner than one.
const STREAMS: usize = 3;

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
    ($T:ident, $width:literal, $rows:ident, $plain:ident, $several:ident, $columns:ident, $row:ident, $column:ident, $load:ident, $store:ident, $zero:ident, $fused:ident) => {
        /// Adds up partial sums, halving their number.
        #[inline(always)]
        fn $row(mut sums: [$T; PARTS * $width]) -> $T {
            let mut width = PARTS * $width / 2;
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

        /// `R` rows, which begin `far` elements from one another: their results lie `apart` elements from one another.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $several<const R: usize>(first: *const $T, far: usize, y: &[$T], out: *mut $T, apart: usize) {
            const LANES: usize = PARTS * $width;
            let length = y.len();
            let mut sums = [[wide::$zero(); PARTS]; R];
            let mut at = 0;
            // SAFETY: by the caller's promise each row has `length` elements, as `y` has: `at` plus what is read from there is
            // not more.
            unsafe {
                while at + LANES <= length {
                    for part in 0..PARTS {
                        let from = at + part * $width;
                        let y = wide::$load(y.as_ptr().add(from));
                        for (row, sums) in sums.iter_mut().enumerate() {
                            sums[part] = wide::$fused(wide::$load(first.add(row * far + from)), y, sums[part]);
                        }
                    }
                    at += LANES;
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let first = first.add(row * far);
                    let (mut at, mut part) = (at, 0);
                    while at + $width <= length {
                        sums[part] = wide::$fused(wide::$load(first.add(at)), wide::$load(y.as_ptr().add(at)), sums[part]);
                        (at, part) = (at + $width, part + 1);
                    }
                    let mut rest: $T = 0.0;
                    while at < length {
                        rest = (*first.add(at)).mul_add(y[at], rest);
                        at += 1;
                    }
                    let mut all: [$T; LANES] = [0.0; LANES];
                    for (part, &sum) in sums.iter().enumerate() { wide::$store(all.as_mut_ptr().add(part * $width), sum); }
                    *out.add(row * apart) = $row(all) + rest;
                }
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $rows(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
            let apart = out.len() / STREAMS;
            // SAFETY: the caller's promise; each row is computed once.
            unsafe {
                for row in 0..apart { $several::<STREAMS>(matrix.add(row * step), apart * step, y, out.as_mut_ptr().add(row), apart); }
                for row in STREAMS * apart..out.len() { $several::<1>(matrix.add(row * step), 0, y, out.as_mut_ptr().add(row), 0); }
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $columns(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
            // SAFETY: by the caller's promise.
            unsafe { $column::<true>(matrix, step, y, out) }
        }

        /// As [`Real::rows_times`], on any processor.
        unsafe fn $plain(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
            for (number, out) in out.iter_mut().enumerate() {
                // SAFETY: by the caller's promise.
                let row = unsafe { std::slice::from_raw_parts(matrix.add(number * step), y.len()) };
                let mut sums = [0.0; PARTS * $width];
                for (row, y) in row.chunks(PARTS * $width).zip(y.chunks(PARTS * $width)) {
                    for ((sum, x), y) in sums.iter_mut().zip(row).zip(y) { *sum += x * y; }
                }
                *out = $row(sums);
            }
        }

        impl Real for $T {
            unsafe fn rows_times(matrix: *const $T, step: usize, y: &[$T], out: &mut [$T]) {
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has the features; else by the caller's promise.
                    return unsafe { $rows(matrix, step, y, out) };
                }
                // SAFETY: by the caller's promise.
                unsafe { $plain(matrix, step, y, out) }
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
real!(f32, 8, rows_f32, plain_f32, several_f32, columns_f32, added_f32, column_f32, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_setzero_ps, _mm256_fmadd_ps);
real!(f64, 4, rows_f64, plain_f64, several_f64, columns_f64, added_f64, column_f64, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_setzero_pd, _mm256_fmadd_pd);

#[cfg(test)]
mod tests {
    use super::*;

    type Product<T> = unsafe fn(*const T, usize, &[T], &mut [T]);

    /// Small whole numbers are summed without rounding, so that the order does not matter.
    fn check<T: Real + PartialEq + std::fmt::Debug + From<i8> + Into<f64>>(rows: [Product<T>; 2], columns: [Product<T>; 2]) {
        let value = |at: usize| f64::from((at * 7919 % 31) as i8 - 15);
        let number = |at: usize| T::from((at * 7919 % 31) as i8 - 15);
        for (count, length) in [(1, 1), (3, 7), (4, 64), (10, 100), (7, 1030), (1030, 7)] {
            let step = length + 3;
            let matrix: Vec<T> = (0..count * step).map(number).collect();
            let y: Vec<T> = (0..length).map(|at| number(at + 5)).collect();
            let expected: Vec<f64> = (0..count).map(|row| (0..length).map(|at| value(row * step + at) * value(at + 5)).sum()).collect();
            let factors: Vec<T> = (0..count).map(|at| number(at + 9)).collect();
            let across: Vec<f64> = (0..length).map(|at| (0..count).map(|row| value(row * step + at) * value(row + 9)).sum()).collect();
            for (by_rows, by_columns) in rows.iter().zip(&columns) {
                let (mut out, mut other) = (vec![number(0); count], vec![number(0); length]);
                // SAFETY: the matrix has `count` rows, or columns, of `length` elements, so far apart.
                unsafe {
                    by_rows(matrix.as_ptr(), step, &y, &mut out);
                    by_columns(matrix.as_ptr(), step, &factors, &mut other);
                }
                assert_eq!(out.into_iter().map(Into::into).collect::<Vec<f64>>(), expected, "{count} rows of {length}");
                assert_eq!(other.into_iter().map(Into::into).collect::<Vec<f64>>(), across, "{count} columns of {length}");
            }
        }
    }

    #[test]
    fn matrices_times_vectors() {
        check::<f32>([f32::rows_times, plain_f32], [f32::columns_times, column_f32::<false>]);
        check::<f64>([f64::rows_times, plain_f64], [f64::columns_times, column_f64::<false>]);
    }
}
