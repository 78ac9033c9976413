//! Orthogonal factors and spectra, by `faer` on one thread; the exponential. Errors say what the matrix is;
//! the caller adds which one.

use arignote_core::Result;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{evd, householder, qr::no_pivoting::factor, svd};
use faer::{Conj, Mat, Par, diag::Diag};

use super::direct::{by_factors, lu};
use super::matrices::Matrix;
use crate::values::fail;

pub(super) fn to_faer(a: &Matrix) -> Mat<f64> {
    Mat::from_fn(a.rows, a.columns, |i, j| a.at(i, j))
}

pub(super) fn from_faer(a: &Mat<f64>) -> Matrix {
    let mut matrix = Matrix::zeros(a.nrows(), a.ncols());
    for i in 0..a.nrows() {
        for j in 0..a.ncols() {
            *matrix.at_mut(i, j) = a[(i, j)];
        }
    }
    matrix
}

pub(super) fn finite(a: &Matrix) -> Result<()> {
    match a.values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(fail(format!("has the element {value}; its spectrum is not defined"))),
        None => Ok(()),
    }
}

/// The factors Q, with this many columns, and R, with all rows.
pub fn qr(a: &Matrix, columns: usize) -> (Matrix, Matrix) {
    let (m, n) = (a.rows, a.columns);
    if m == 0 || n == 0 {
        let mut q = Matrix::zeros(m, columns);
        (0..columns.min(m)).for_each(|i| *q.at_mut(i, i) = 1.0);
        return (q, Matrix::zeros(m, n));
    }
    let mut packed = to_faer(a);
    let block = factor::recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::<f64>::zeros(block, m.min(n));
    let mut memory = MemBuffer::new(factor::qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default()));
    factor::qr_in_place(packed.as_mut(), coefficients.as_mut(), Par::Seq, MemStack::new(&mut memory), Default::default());
    let mut r = from_faer(&packed);
    // What is below the diagonal are the reflections.
    for i in 0..m {
        (0..n.min(i)).for_each(|j| *r.at_mut(i, j) = 0.0);
    }
    let size = m.min(n);
    let basis = Mat::from_fn(m, size, |i, j| if i == j { 1.0 } else if i > j { packed[(i, j)] } else { 0.0 });
    let mut q = Mat::<f64>::identity(m, columns);
    let scratch =
        householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(m, block, columns);
    let mut memory = MemBuffer::new(scratch);
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        basis.as_ref(), coefficients.as_ref(), Conj::No, q.as_mut(), Par::Seq, MemStack::new(&mut memory),
    );
    (from_faer(&q), r)
}

/// U, the singular values in descending order, and V transposed.
///
/// # Errors
/// If an element is not finite.
pub fn singular(a: &Matrix, full: bool) -> Result<(Matrix, Vec<f64>, Matrix)> {
    finite(a)?;
    let (m, n) = (a.rows, a.columns);
    let size = m.min(n);
    let (mut u, mut v) = (Mat::<f64>::zeros(m, if full { m } else { size }), Mat::<f64>::zeros(n, if full { n } else { size }));
    let mut s = Diag::<f64>::zeros(size);
    if size == 0 {
        (0..u.ncols()).for_each(|i| u[(i, i)] = 1.0);
        (0..v.ncols()).for_each(|i| v[(i, i)] = 1.0);
    } else {
        let vectors = if full { svd::ComputeSvdVectors::Full } else { svd::ComputeSvdVectors::Thin };
        let mut memory =
            MemBuffer::new(svd::svd_scratch::<f64>(m, n, vectors, vectors, Par::Seq, Default::default()));
        let stack = MemStack::new(&mut memory);
        let done = svd::svd(
            to_faer(a).as_ref(), s.as_mut(), Some(u.as_mut()), Some(v.as_mut()), Par::Seq, stack, Default::default(),
        );
        done.map_err(|_| fail("has singular values to which the iteration does not converge"))?;
    }
    let values = (0..size).map(|i| s.column_vector()[i]).collect();
    Ok((from_faer(&u), values, from_faer(&v).transposed()))
}

/// The eigenvalues in ascending order and the eigenvectors, as columns, of the symmetric matrix with this
/// lower triangle.
///
/// # Errors
/// If an element is not finite.
pub fn symmetric(a: &Matrix) -> Result<(Vec<f64>, Matrix)> {
    finite(a)?;
    let n = a.rows;
    if n == 0 {
        return Ok((Vec::new(), Matrix::zeros(0, 0)));
    }
    let (mut vectors, mut values) = (Mat::<f64>::zeros(n, n), Diag::<f64>::zeros(n));
    let scratch = evd::self_adjoint_evd_scratch::<f64>(n, evd::ComputeEigenvectors::Yes, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let done = evd::self_adjoint_evd(
        to_faer(a).as_ref(), values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, Default::default(),
    );
    done.map_err(|_| fail("has eigenvalues to which the iteration does not converge"))?;
    Ok(((0..n).map(|i| values.column_vector()[i]).collect(), from_faer(&vectors)))
}

/// The pseudo-inverse: singular values up to `cutoff` times the largest count as 0.
///
/// # Errors
/// If an element is not finite.
pub fn pseudo_inverse(a: &Matrix, cutoff: f64) -> Result<Matrix> {
    let (u, s, vt) = singular(a, false)?;
    let least = cutoff * s.first().copied().unwrap_or(0.0);
    let mut result = Matrix::zeros(a.columns, a.rows);
    for i in 0..a.columns {
        for j in 0..a.rows {
            let kept = (0..s.len()).filter(|&k| s[k] > least);
            *result.at_mut(i, j) = kept.map(|k| vt.at(k, i) * u.at(j, k) / s[k]).sum();
        }
    }
    Ok(result)
}

/// Coefficients of the Pade approximant of degree 13 to the exponential, and the norm up to which it is exact
/// to double precision: Higham, The scaling and squaring method for the matrix exponential revisited (2005).
const PADE: [f64; 14] = [
    64_764_752_532_480_000.0, 32_382_376_266_240_000.0, 7_771_770_303_897_600.0, 1_187_353_796_428_800.0,
    129_060_195_264_000.0, 10_559_470_521_600.0, 670_442_572_800.0, 33_522_128_640.0, 1_323_241_920.0, 40_840_800.0,
    960_960.0, 16_380.0, 182.0, 1.0,
];
const RADIUS: f64 = 5.371_920_351_148_152;

/// The exponential, by scaling and squaring.
///
/// # Errors
/// If an element is not finite.
pub fn exponential(a: &Matrix) -> Result<Matrix> {
    if a.values.iter().any(|value| !value.is_finite()) {
        return Err(fail("has an element that is not finite"));
    }
    let column = |j: usize| (0..a.rows).map(|i| a.at(i, j).abs()).sum::<f64>();
    let norm = (0..a.columns).map(column).fold(0.0, f64::max);
    let halvings = if norm > RADIUS { (norm / RADIUS).log2().ceil() as i32 } else { 0 };
    let x = a.scaled(0.5f64.powi(halvings));
    let square = x.times(&x);
    let mut power = Matrix::identity(a.rows);
    let (mut even, mut odd) = (Matrix::zeros(a.rows, a.rows), Matrix::zeros(a.rows, a.rows));
    for pair in PADE.chunks(2) {
        even = even.plus(&power.scaled(pair[0]));
        odd = odd.plus(&power.scaled(pair[1]));
        power = power.times(&square);
    }
    let odd = x.times(&odd);
    let factors = lu(&even.plus(&odd.scaled(-1.0)));
    let mut result = by_factors(&factors, &even.plus(&odd))?;
    for _ in 0..halvings {
        result = result.times(&result);
    }
    Ok(result)
}
