//! Elimination: Cholesky and LU factors, and substitution. Errors say what the matrix is; the caller
//! adds which one.

use arignote_core::Result;

use super::matrices::Matrix;
use crate::values::fail;

/// The lower triangular factor of the symmetric matrix with this lower triangle.
///
/// # Errors
/// If it is not positive definite.
pub fn cholesky(a: &Matrix) -> Result<Matrix> {
    let n = a.rows;
    let mut l = Matrix::zeros(n, n);
    for j in 0..n {
        let pivot = (0..j).fold(a.at(j, j), |sum, k| sum - l.at(j, k) * l.at(j, k));
        // NaN is no pivot either.
        if pivot.is_nan() || pivot <= 0.0 {
            let error = fail(format!("is not positive definite: pivot {j} is {pivot}"));
            return Err(error.note("adding a small number to the diagonal may help, as in `a + 1e-6 * eye(n)`"));
        }
        let root = pivot.sqrt();
        *l.at_mut(j, j) = root;
        for i in j + 1..n {
            let sum = (0..j).fold(a.at(i, j), |sum, k| sum - l.at(i, k) * l.at(j, k));
            *l.at_mut(i, j) = sum / root;
        }
    }
    Ok(l)
}

/// Factors of a matrix with exchanged rows.
pub struct Factors {
    /// L below the diagonal (its own diagonal is 1), U on and above it.
    pub values: Matrix,
    /// Row i of the product is row `order[i]` of the matrix.
    pub order: Vec<usize>,
    /// 1 or -1: whether the number of exchanges is even.
    pub sign: f64,
}

/// Gaussian elimination with the largest element of each column as pivot. A column of zeros is passed
/// over, so singular matrices have factors too.
pub fn lu(a: &Matrix) -> Factors {
    let mut values = a.clone();
    let mut order: Vec<usize> = (0..a.rows).collect();
    let mut sign = 1.0;
    for k in 0..a.rows.min(a.columns) {
        let larger = |best: usize, i: usize| if values.at(i, k).abs() > values.at(best, k).abs() { i } else { best };
        let best = (k + 1..a.rows).fold(k, larger);
        if best != k {
            for column in 0..a.columns {
                values.values.swap(k * a.columns + column, best * a.columns + column);
            }
            order.swap(k, best);
            sign = -sign;
        }
        let pivot = values.at(k, k);
        if pivot == 0.0 {
            continue;
        }
        for i in k + 1..a.rows {
            let factor = values.at(i, k) / pivot;
            *values.at_mut(i, k) = factor;
            for j in k + 1..a.columns {
                let step = factor * values.at(k, j);
                *values.at_mut(i, j) -= step;
            }
        }
    }
    Factors { values, order, sign }
}

/// What of a matrix is read, and how.
#[derive(Clone, Copy, Debug)]
pub struct Triangle {
    pub lower: bool,
    pub transposed: bool,
    pub unit: bool,
}

/// The x with `a x = b`, by substitution.
///
/// # Errors
/// If there is a 0 on the diagonal.
pub fn substitute(a: &Matrix, b: Matrix, triangle: Triangle) -> Result<Matrix> {
    let n = a.rows;
    if let (false, Some(zero)) = (triangle.unit, (0..n).find(|&i| a.at(i, i) == 0.0)) {
        return Err(fail(format!("is singular: 0 at place {zero} of its diagonal")));
    }
    let at = |row: usize, column: usize| if triangle.transposed { a.at(column, row) } else { a.at(row, column) };
    let mut x = b;
    for step in 0..n {
        let forward = triangle.lower != triangle.transposed;
        let row = if forward { step } else { n - 1 - step };
        let known = if forward { 0..row } else { row + 1..n };
        for column in 0..x.columns {
            let sum = known.clone().fold(x.at(row, column), |sum, k| sum - at(row, k) * x.at(k, column));
            *x.at_mut(row, column) = if triangle.unit { sum } else { sum / at(row, row) };
        }
    }
    Ok(x)
}
