//! Cholesky and LU factors by `faer`, substitution, and solutions. Errors say what the matrix is; the caller adds which one.
//!
//! Elimination is written out too, for what `faer` does not give: the pivot at which a matrix turns out not to be positive
//! definite, and the factors of singular matrices, where it divides by 0. Substitution is a few lines, without blocks.
//! `faer` adds in an order of its own, which alone takes solutions some 20 units in the last place away where matrices are
//! far from regular; so each solution is corrected once, by what is left of the right side in twice the digits.

use arignote_core::Result;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{cholesky::llt, lu::partial_pivoting};
use faer::Par;

use super::matrices::Matrix;
use super::spectral::{from_faer, to_faer};
use crate::values::fail;

/// The lower triangular factor of the symmetric matrix with this lower triangle.
///
/// # Errors
/// If it is not positive definite.
pub fn cholesky(a: &Matrix) -> Result<Matrix> {
    let n = a.rows;
    let mut l = to_faer(a);
    let mut memory = MemBuffer::new(llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
    let stack = MemStack::new(&mut memory);
    let done = llt::factor::cholesky_in_place(l.as_mut(), Default::default(), Par::Seq, stack, Default::default());
    // NaN is no pivot either.
    if done.is_err() || !(0..n).all(|i| l[(i, i)] > 0.0) {
        return eliminated_cholesky(a);
    }
    for j in 1..n {
        (0..j).for_each(|i| l[(i, j)] = 0.0);
    }
    Ok(from_faer(&l))
}

/// The same by elimination, which finds the pivot that is not positive.
fn eliminated_cholesky(a: &Matrix) -> Result<Matrix> {
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

/// The factors with the largest element of each column as pivot; singular matrices have factors too.
pub fn lu(a: &Matrix) -> Factors {
    let (m, n) = (a.rows, a.columns);
    let mut values = to_faer(a);
    let (mut order, mut back) = (vec![0usize; m], vec![0usize; m]);
    let mut memory = MemBuffer::new(partial_pivoting::factor::lu_in_place_scratch::<usize, f64>(m, n, Par::Seq, Default::default()));
    let (info, _) = partial_pivoting::factor::lu_in_place(
        values.as_mut(), &mut order, &mut back, Par::Seq, MemStack::new(&mut memory), Default::default(),
    );
    if !(0..m.min(n)).all(|i| values[(i, i)] != 0.0 && values[(i, i)].is_finite()) {
        return eliminated_lu(a);
    }
    let sign = if info.transposition_count % 2 == 0 { 1.0 } else { -1.0 };
    Factors { values: from_faer(&values), order, sign }
}

/// The same by elimination, which passes over a column of zeros.
fn eliminated_lu(a: &Matrix) -> Factors {
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

/// The x with `a x = b` by the factors of `a`.
///
/// # Errors
/// If there is a 0 on the diagonal.
pub fn by_factors(factors: &Factors, b: &Matrix) -> Result<Matrix> {
    let half = substitute(&factors.values, b.permuted(&factors.order), Triangle { lower: true, transposed: false, unit: true })?;
    substitute(&factors.values, half, Triangle { lower: false, transposed: false, unit: false })
}

/// The x with `transpose(a) x = b` by the factors of `a`.
///
/// # Errors
/// If there is a 0 on the diagonal.
pub fn by_factors_of_transposed(factors: &Factors, b: &Matrix) -> Result<Matrix> {
    let half = substitute(&factors.values, b.clone(), Triangle { lower: false, transposed: true, unit: false })?;
    let rows = substitute(&factors.values, half, Triangle { lower: true, transposed: true, unit: true })?;
    let mut back = vec![0; factors.order.len()];
    factors.order.iter().enumerate().for_each(|(row, &from)| back[from] = row);
    Ok(rows.permuted(&back))
}

/// A solution corrected by that of what it leaves of the right side (Wilkinson, Rounding errors in algebraic processes,
/// 1963). A column in which something is not finite stays.
///
/// # Errors
/// Those of `solve`.
pub fn corrected(a: &Matrix, b: &Matrix, mut x: Matrix, solve: impl Fn(&Matrix) -> Result<Matrix>) -> Result<Matrix> {
    let mut rest = Matrix::zeros(b.rows, b.columns);
    for i in 0..b.rows {
        for j in 0..b.columns {
            *rest.at_mut(i, j) = left(b.at(i, j), (0..a.columns).map(|k| (-a.at(i, k), x.at(k, j))));
        }
    }
    let step = solve(&rest)?;
    for j in 0..b.columns {
        if (0..b.rows).all(|i| [&rest, &x, &step].iter().all(|matrix| matrix.at(i, j).is_finite())) {
            (0..b.rows).for_each(|i| *x.at_mut(i, j) += step.at(i, j));
        }
    }
    Ok(x)
}

/// A number and products added in twice the digits: Ogita, Rump and Oishi, Accurate sum and dot product (2005).
fn left(start: f64, products: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut sum, mut error) = (start, 0.0);
    for (x, y) in products {
        let product = x * y;
        let next = sum + product;
        let back = next - sum;
        error += (sum - (next - back)) + (product - back) + x.mul_add(y, -product);
        sum = next;
    }
    sum + error
}
