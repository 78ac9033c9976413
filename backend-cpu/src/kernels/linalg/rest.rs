//! What solutions leave of right sides, `b - a x`, in twice the digits: Ogita, Rump and Oishi, Accurate sum and dot product
//! (2005).

use faer::{Mat, MatMut, MatRef};

/// Rows that are computed together.
const ROWS: usize = 8;
/// Columns that are computed together.
const COLUMNS: usize = 2;

/// `b - a x`, rounded once.
pub(super) fn rest(a: &Mat<f64>, x: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(b.nrows(), b.ncols());
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn fast(a: &Mat<f64>, x: MatRef<'_, f64>, b: MatRef<'_, f64>, out: MatMut<'_, f64>) {
            all(a, x, b, out);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both.
            unsafe { fast(a, x, b, out.as_mut()) };
            return out;
        }
    }
    all(a, x, b, out.as_mut());
    out
}

/// By blocks of rows, which are laid together once for all columns.
#[inline(always)]
fn all(a: &Mat<f64>, x: MatRef<'_, f64>, b: MatRef<'_, f64>, mut out: MatMut<'_, f64>) {
    let (n, columns) = (a.nrows(), x.ncols());
    let mut rows = vec![[0.0; ROWS]; n];
    for from in (0..n).step_by(ROWS) {
        let height = ROWS.min(n - from);
        for (k, rows) in rows.iter_mut().enumerate() {
            rows[..height].copy_from_slice(&a.col_as_slice(k)[from..from + height]);
        }
        let mut column = 0;
        while column < columns {
            let width = COLUMNS.min(columns - column);
            let last = column + width - 1;
            let mut starts = [[0.0; ROWS]; COLUMNS];
            for (at, starts) in starts.iter_mut().enumerate().take(width) {
                (0..height).for_each(|row| starts[row] = b[(from + row, column + at)]);
            }
            // Where one column is left it is computed twice.
            let found = block(&rows, [column, last].map(|column| x.col(column)), starts);
            for (at, found) in found.iter().enumerate().take(width) {
                (0..height).for_each(|row| out[(from + row, column + at)] = found[row]);
            }
            column += width;
        }
    }
}

/// `ROWS` rows by `COLUMNS` columns.
#[inline(always)]
fn block(rows: &[[f64; ROWS]], x: [faer::ColRef<'_, f64>; COLUMNS], starts: [[f64; ROWS]; COLUMNS]) -> [[f64; ROWS]; COLUMNS] {
    let (mut sums, mut errors) = (starts, [[0.0; ROWS]; COLUMNS]);
    for (k, rows) in rows.iter().enumerate() {
        for column in 0..COLUMNS {
            let y = -x[column][k];
            for row in 0..ROWS {
                let (sum, a) = (sums[column][row], rows[row]);
                let product = a * y;
                let next = sum + product;
                let back = next - sum;
                errors[column][row] += (sum - (next - back)) + (product - back) + a.mul_add(y, -product);
                sums[column][row] = next;
            }
        }
    }
    std::array::from_fn(|column| std::array::from_fn(|row| sums[column][row] + errors[column][row]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_processor_gives_the_same_bits() {
        for (n, columns) in [(1, 1), (7, 3), (30, 2), (33, 5)] {
            let matrix = |columns: usize, from: usize| Mat::from_fn(n, columns, |i, j| ((i * 53 + j * 71 + from) * 7919 % 1009) as f64 / 1009.0 - 0.5);
            let (a, x, b) = (matrix(n, 0), matrix(columns, 1), matrix(columns, 2));
            let mut plain = Mat::zeros(n, columns);
            all(&a, x.as_ref(), b.as_ref(), plain.as_mut());
            assert_eq!(rest(&a, x.as_ref(), b.as_ref()), plain, "{n} by {columns}");
        }
    }
}
