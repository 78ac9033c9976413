//! Spectra of matrices of any kind, by `faer` on one thread.

use arignote_core::Result;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::{evd, gevd};
use faer::{Auto, Mat, Par, diag::Diag};

use super::matrices::Matrix;
use super::spectral::{finite, from_faer, qr, to_faer};
use crate::values::fail;

/// Pairs of real and imaginary part of the eigenvalues and, row by row, of the eigenvectors, the columns:
/// of length 1, the largest element real.
///
/// # Errors
/// If an element is not finite.
pub fn eigen(a: &Matrix) -> Result<(Vec<f64>, Vec<f64>)> {
    finite(a)?;
    let n = a.rows;
    if n == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let (mut re, mut im, mut basis) = (Diag::<f64>::zeros(n), Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let yes = evd::ComputeEigenvectors::Yes;
    let scratch = evd::evd_scratch::<f64>(n, evd::ComputeEigenvectors::No, yes, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let done = evd::evd_real(
        to_faer(a).as_ref(), re.as_mut(), im.as_mut(), None, Some(basis.as_mut()), Par::Seq, stack, Default::default(),
    );
    done.map_err(|_| fail("has eigenvalues to which the iteration does not converge"))?;
    let (re, im) = (re.column_vector(), im.column_vector());
    let mut vectors = vec![0.0; 2 * n * n];
    let mut column = 0;
    while column < n {
        let pair = im[column] != 0.0;
        let part = |row: usize| [basis[(row, column)], if pair { basis[(row, column + 1)] } else { 0.0 }];
        let size = |[x, y]: [f64; 2]| libm::hypot(x, y);
        let length = (0..n).map(|row| size(part(row))).fold(0.0, libm::hypot);
        // Of elements that are as large but for rounding the first.
        let larger = |most, now| if size(now) > (1.0 + 1e-12) * size(most) { now } else { most };
        let largest = (0..n).map(part).fold([0.0; 2], larger);
        let turn = if pair { largest.map(|part| part / size(largest)) } else { [1.0, 0.0] };
        for row in 0..n {
            let [x, y] = part(row).map(|part| part / length);
            let [x, y] = [x * turn[0] + y * turn[1], y * turn[0] - x * turn[1]];
            vectors[2 * (row * n + column)..][..2].copy_from_slice(&[x, y]);
            if pair {
                vectors[2 * (row * n + column + 1)..][..2].copy_from_slice(&[x, -y]);
            }
        }
        column += 1 + usize::from(pair);
    }
    Ok(((0..n).flat_map(|at| [re[at], im[at]]).collect(), vectors))
}

/// The generalized Schur form `a = q aa z'`, `b = q bb z'`, as `[aa, bb, q, z]`.
///
/// # Errors
/// If an element is not finite.
pub fn qz(a: &Matrix, b: &Matrix) -> Result<[Matrix; 4]> {
    finite(a)?;
    finite(b)?;
    let n = a.rows;
    let (q, triangle) = qr(b, n);
    let (mut s, mut t) = (to_faer(&q.transposed().times(a)), to_faer(&triangle));
    let (mut q, mut z) = (to_faer(&q), Mat::<f64>::identity(n, n));
    let [mut re, mut im, mut scale] = [0; 3].map(|_| Diag::<f64>::zeros(n));
    let params = <gevd::GevdParams as Auto<f64>>::auto();
    let scratch = StackReq::any_of(&[
        gevd::gen_hessenberg::generalized_hessenberg_scratch::<f64>(n, params.hessenberg),
        gevd::qz_real::hessenberg_to_qz_scratch::<f64>(n, Par::Seq, params.schur),
    ]);
    let mut memory = MemBuffer::new(scratch);
    gevd::gen_hessenberg::generalized_hessenberg(
        s.as_mut(), t.as_mut(), Some(q.as_mut()), Some(z.as_mut()), Par::Seq, MemStack::new(&mut memory), params.hessenberg,
    );
    gevd::qz_real::hessenberg_to_qz(
        s.as_mut(), t.as_mut(), Some(q.as_mut()), Some(z.as_mut()), re.as_mut().column_vector_mut(),
        im.as_mut().column_vector_mut(), scale.as_mut().column_vector_mut(), gevd::ComputeEigenvectors::Yes, Par::Seq,
        params.schur, MemStack::new(&mut memory),
    );
    let [s, t, q, z] = [&s, &t, &q, &z].map(from_faer);
    if s.values.iter().chain(&t.values).any(|value| !value.is_finite()) {
        return Err(fail("has eigenvalues to which the iteration does not converge"));
    }
    Ok([s, t, q, z])
}

/// The Schur form `a = z t z'`, as `(t, z)`: the generalized one beside the identity, for which `q` is `z`.
///
/// # Errors
/// If an element is not finite.
pub fn schur(a: &Matrix) -> Result<(Matrix, Matrix)> {
    let n = a.rows;
    let [mut t, _, _, mut z] = qz(a, &Matrix::identity(n))?;
    for at in 1..n {
        // A second turn where the first leaves two real eigenvalues that are nearly the same.
        for _ in 0..2 {
            let block = [t.at(at - 1, at - 1), t.at(at - 1, at), t.at(at, at - 1), t.at(at, at)];
            let (cosine, sine) = standardizing(block);
            if sine == 0.0 {
                break;
            }
            let turn = |x: &mut Matrix, places: [(usize, usize); 2]| {
                let [p, q] = places.map(|(i, j)| x.at(i, j));
                *x.at_mut(places[0].0, places[0].1) = cosine * p + sine * q;
                *x.at_mut(places[1].0, places[1].1) = cosine * q - sine * p;
            };
            (0..n).for_each(|j| turn(&mut t, [(at - 1, j), (at, j)]));
            (0..n).for_each(|i| turn(&mut t, [(i, at - 1), (i, at)]));
            (0..n).for_each(|i| turn(&mut z, [(i, at - 1), (i, at)]));
            match block[1] * t.at(at, at - 1) < 0.0 && (t.at(at - 1, at) * t.at(at, at - 1)) < 0.0 {
                true => {
                    let mean = 0.5 * (t.at(at - 1, at - 1) + t.at(at, at));
                    (*t.at_mut(at - 1, at - 1), *t.at_mut(at, at)) = (mean, mean);
                }
                false if t.at(at, at - 1).abs() <= f64::EPSILON * (t.at(at, at).abs() + t.at(at - 1, at - 1).abs()) => {
                    *t.at_mut(at, at - 1) = 0.0;
                }
                false => {}
            }
        }
    }
    Ok((t, z))
}

/// Cosine and sine of the turn after which a block `[a, b, c, d]` is a triangle, or has equal diagonal elements: LAPACK's
/// `dlanv2` (Bai, Demmel and McKenney, On computing condition numbers for the nonsymmetric eigenproblem, 1993).
fn standardizing([a, b, c, d]: [f64; 4]) -> (f64, f64) {
    let difference = a - d;
    if c == 0.0 || (difference == 0.0 && b.signum() != c.signum()) {
        return (1.0, 0.0);
    }
    if b == 0.0 {
        return (0.0, 1.0);
    }
    let half = 0.5 * difference;
    let (most, least) = (b.abs().max(c.abs()), b.abs().min(c.abs()) * b.signum() * c.signum());
    let scale = half.abs().max(most);
    let z = half / scale * half + most / scale * least;
    if z >= 4.0 * f64::EPSILON {
        let z = half + (scale.sqrt() * z.sqrt()).copysign(half);
        let length = libm::hypot(c, z);
        return (z / length, c / length);
    }
    let sigma = b + c;
    let length = libm::hypot(sigma, difference);
    let cosine = (0.5 * (1.0 + sigma.abs() / length)).sqrt();
    (cosine, -(half / (length * cosine)) * 1f64.copysign(sigma))
}
