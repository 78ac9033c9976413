//! Products of matrices with vectors, at the speed of memory: by vectors of 256 bits where the processor has
//! them, else in the same order with what it has.

/// Partial sums of a sum of products, added up in one order at the end.
const LANES: usize = 32;

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
    ($T:ident, $rows:ident, $columns:ident, $row:ident, $column:ident) => {
        /// A sum of products; a multiplication and addition are rounded once if `FUSED`.
        #[inline(always)]
        fn $row<const FUSED: bool>(x: &[$T], y: &[$T]) -> $T {
            let step = |sum: $T, x: $T, y: $T| if FUSED { x.mul_add(y, sum) } else { x * y + sum };
            let mut sums = [0.0; LANES];
            let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
            let mut rest = 0.0;
            for (&x, &y) in xs.remainder().iter().zip(ys.remainder()) {
                rest = step(rest, x, y);
            }
            for (x, y) in xs.zip(ys) {
                for lane in 0..LANES {
                    sums[lane] = step(sums[lane], x[lane], y[lane]);
                }
            }
            let mut width = LANES / 2;
            while width > 0 {
                for lane in 0..width {
                    sums[lane] += sums[lane + width];
                }
                width /= 2;
            }
            sums[0] + rest
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
                    for i in 0..length {
                        out[i] = add(add(add(add(out[i], a[i], y[0]), b[i], y[1]), c[i], y[2]), d[i], y[3]);
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
            for (row, out) in out.iter_mut().enumerate() {
                // SAFETY: by the caller's promise.
                *out = $row::<true>(unsafe { std::slice::from_raw_parts(matrix.add(row * step), y.len()) }, y);
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
                for (row, out) in out.iter_mut().enumerate() {
                    // SAFETY: by the caller's promise.
                    *out = $row::<false>(unsafe { std::slice::from_raw_parts(matrix.add(row * step), y.len()) }, y);
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
real!(f32, rows_f32, columns_f32, row_f32, column_f32);
real!(f64, rows_f64, columns_f64, row_f64, column_f64);
