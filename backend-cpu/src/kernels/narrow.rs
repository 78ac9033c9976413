//! Products of a tall matrix with a narrow one, such as that of the last layer of a classifier: the narrow matrix is
//! packed, and a few rows of the result stay in registers while all of `k` goes by.
//!
//! Each element is one chain of `k` additions, fused with the multiplications where the processor can.

use super::matmul::{Layout, Sizes};

/// An element type of these products.
pub trait Narrow: Copy {
    /// The most columns of the narrow matrix.
    const WIDTH: usize;

    /// `out = x @ packed`, of all rows of `x`: `packed` has `k` rows of [`WIDTH`](Self::WIDTH), zeros after the `n`
    /// columns.
    ///
    /// # Safety
    /// `x` points to a matrix of these sizes and layout, `out` to memory for `m` rows of `n` elements, so far apart, that
    /// nobody else uses, and `packed` has its length.
    unsafe fn narrow(x: (*const Self, Layout), packed: &[Self], out: (*mut Self, usize), sizes: Sizes);
}

/// [`Narrow::narrow`] of one type.
pub type Multiply<T> = unsafe fn((*const T, Layout), &[T], (*mut T, usize), Sizes);

/// Whether the processor has what these products are fast with.
pub fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Copies the matrix with its rows padded.
///
/// # Safety
/// `y` points to a matrix of `k` rows and `n` columns of this layout.
pub unsafe fn pack<T: Narrow + Default>(y: (*const T, Layout), Sizes { k, n, .. }: Sizes, packed: &mut [T]) {
    for (row, packed) in packed.chunks_exact_mut(T::WIDTH).take(k).enumerate() {
        if y.1.column == 1 && n == T::WIDTH {
            // SAFETY: by the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(y.0.offset(row as isize * y.1.row), packed.as_mut_ptr(), n) };
            continue;
        }
        packed.fill(T::default());
        for (column, packed) in packed.iter_mut().take(n).enumerate() {
            // SAFETY: by the caller's promise.
            *packed = unsafe { *y.0.offset(row as isize * y.1.row + column as isize * y.1.column) };
        }
    }
}

macro_rules! narrow {
    ($T:ident, $width:literal, $rows:ident, $block:ident, $wide:ident, $wider:ident) => {
        /// `R` rows of the result.
        #[inline(always)]
        unsafe fn $block<const R: usize, const FUSED: bool>(x: *const $T, layout: Layout, packed: &[$T], out: (*mut $T, usize), n: usize) {
            let mut sums = [[0.0; $width]; R];
            let mut column = x;
            for packed in packed.chunks_exact($width) {
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the caller's promise.
                    let factor = unsafe { *column.offset(row as isize * layout.row) };
                    for (sum, &value) in sums.iter_mut().zip(packed) {
                        *sum = if FUSED { factor.mul_add(value, *sum) } else { factor * value + *sum };
                    }
                }
                column = column.wrapping_offset(layout.column);
            }
            for (row, sums) in sums.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { std::ptr::copy_nonoverlapping(sums.as_ptr(), out.0.add(row * out.1), n) };
            }
        }

        /// All rows, `R` at a time; the last ones lie over those before.
        #[inline(always)]
        unsafe fn $rows<const R: usize, const FUSED: bool>(x: (*const $T, Layout), packed: &[$T], out: (*mut $T, usize), Sizes { m, n, .. }: Sizes) {
            // SAFETY: the caller's promise.
            let at = |row: usize| unsafe { (x.0.offset(row as isize * x.1.row), (out.0.add(row * out.1), out.1)) };
            let mut row = 0;
            while row < m {
                if m < R {
                    let (x_at, out) = at(row);
                    // SAFETY: as above.
                    unsafe { $block::<1, FUSED>(x_at, x.1, packed, out, n) };
                    row += 1;
                } else {
                    let (x_at, out) = at(row.min(m - R));
                    // SAFETY: as above.
                    unsafe { $block::<R, FUSED>(x_at, x.1, packed, out, n) };
                    row += R;
                }
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $wide(x: (*const $T, Layout), packed: &[$T], out: (*mut $T, usize), sizes: Sizes) {
            // SAFETY: the caller's promise.
            unsafe { $rows::<6, true>(x, packed, out, sizes) }
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,fma")]
        unsafe fn $wider(x: (*const $T, Layout), packed: &[$T], out: (*mut $T, usize), sizes: Sizes) {
            // SAFETY: the caller's promise.
            unsafe { $rows::<14, true>(x, packed, out, sizes) }
        }

        impl Narrow for $T {
            const WIDTH: usize = $width;

            unsafe fn narrow(x: (*const $T, Layout), packed: &[$T], out: (*mut $T, usize), sizes: Sizes) {
                let packed = &packed[..sizes.k * $width];
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("fma") {
                    if is_x86_feature_detected!("avx512f") {
                        // SAFETY: the processor has the features; else by the caller's promise.
                        return unsafe { $wider(x, packed, out, sizes) };
                    }
                    if is_x86_feature_detected!("avx2") {
                        // SAFETY: as above.
                        return unsafe { $wide(x, packed, out, sizes) };
                    }
                }
                // SAFETY: the caller's promise.
                unsafe { $rows::<2, false>(x, packed, out, sizes) }
            }
        }
    };
}
narrow!(f32, 16, rows_f32, block_f32, wide_f32, wider_f32);
narrow!(f64, 8, rows_f64, block_f64, wide_f64, wider_f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Narrow + Default + Into<f64>>(make: impl Fn(f64) -> T) {
        for (m, k, n) in [(1, 1, 1), (5, 3, 2), (14, 20, T::WIDTH), (29, 17, 3), (64, 1, 5), (3, 0, 2)] {
            for turned in [false, true] {
                let value = |at: usize| ((at * 7919 % 31) as f64 - 15.0) / 4.0;
                let (x, y): (Vec<T>, Vec<T>) = ((0..m * k).map(|at| make(value(at))).collect(), (0..k * n).map(|at| make(value(at + 5))).collect());
                let of = |rows: usize, columns: usize| {
                    if turned { Layout { row: 1, column: rows as isize } } else { Layout { row: columns as isize, column: 1 } }
                };
                let (left, right) = (of(m, k), of(k, n));
                let mut packed = vec![T::default(); k * T::WIDTH];
                let mut out = vec![make(7.0); m * n + 1];
                let sizes = Sizes { m, k, n };
                // SAFETY: the matrices have these sizes and layouts, and the result has room.
                unsafe {
                    pack((y.as_ptr(), right), sizes, &mut packed);
                    T::narrow((x.as_ptr(), left), &packed, (out.as_mut_ptr(), n), sizes);
                }
                for row in 0..m {
                    for column in 0..n {
                        let at = |layout: Layout, row: usize, column: usize| row * layout.row as usize + column * layout.column as usize;
                        // Quarters are summed without rounding.
                        let expected: f64 = (0..k).map(|i| x[at(left, row, i)].into() * y[at(right, i, column)].into()).sum();
                        assert_eq!(out[row * n + column].into(), expected, "{m} {k} {n} {turned}: {row} {column}");
                    }
                }
                assert_eq!(out[m * n].into(), 7.0, "written behind the result");
            }
        }
    }

    #[test]
    fn tall_times_narrow() {
        check(|x| x as f32);
        check(|x| x);
    }
}
