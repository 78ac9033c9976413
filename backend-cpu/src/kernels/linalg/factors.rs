//! Triangular factors of matrices, and determinants, which are products of their diagonals.

use arignote_core::Result;
use arignote_core::tensor::DType;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{cholesky::llt, lu::partial_pivoting};
use faer::{Mat, MatMut, MatRef, Par};

use super::{Stack, each, fail, named, of_each};
use crate::buffer::typed_mut;
use crate::kernels::Call;

/// What is said of a matrix, by `assume_a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    General,
    /// Of which the lower triangle is read.
    Symmetric,
    /// The same, with a Cholesky factor.
    PositiveDefinite,
}

impl Kind {
    /// The kind that the attribute names.
    pub(super) fn of(call: &Call<'_, '_>) -> Result<Kind> {
        match call.attributes.str("assume_a")? {
            "gen" => Ok(Kind::General),
            "sym" => Ok(Kind::Symmetric),
            "pos" => Ok(Kind::PositiveDefinite),
            other => Err(fail(format!("`assume_a` is \"gen\", \"sym\" or \"pos\", not {other:?}"))),
        }
    }

    /// The whole of a matrix of this kind.
    pub(super) fn whole(self, a: MatRef<'_, f64>) -> Mat<f64> {
        let mirrored = self != Kind::General;
        Mat::from_fn(a.nrows(), a.nrows(), |i, j| if mirrored && j > i { a[(j, i)] } else { a[(i, j)] })
    }
}

/// Factors of a matrix.
pub(super) struct Factors {
    /// The lower triangular one of a Cholesky factorization, with zeros above it. Else two of a matrix with exchanged rows, L
    /// below the diagonal (its own is 1), U on and above it.
    pub(super) values: Mat<f64>,
    /// Row i of the product is row `order[i]` of the matrix.
    pub(super) order: Vec<usize>,
    /// 1 or -1: whether the number of exchanges is even.
    sign: f64,
    /// Whether it is a Cholesky factorization.
    pub(super) by_cholesky: bool,
}

impl Factors {
    /// The factors of a matrix of this kind, the whole of which is given. What is not finite has no Cholesky factor: it is
    /// factorized as any symmetric matrix.
    ///
    /// # Errors
    /// If it is said to be positive definite and is not.
    pub(super) fn of(whole: &Mat<f64>, kind: Kind) -> Result<Factors> {
        let n = whole.nrows();
        if kind != Kind::PositiveDefinite || !is_finite(whole) {
            return Ok(eliminated(whole.as_ref()));
        }
        let mut values = Mat::zeros(n, n);
        factor(whole.as_ref(), values.as_mut())?;
        Ok(Factors { values, order: (0..n).collect(), sign: 1.0, by_cholesky: true })
    }

    /// Factors that were computed before: `None` where the order of rows is none.
    pub(super) fn given(values: MatRef<'_, f64>, order: Vec<usize>, by_cholesky: bool) -> Option<Factors> {
        let mut seen = vec![false; values.nrows()];
        let is_order = order.iter().all(|&row| seen.get_mut(row).is_some_and(|seen| !std::mem::replace(seen, true)));
        is_order.then(|| Factors { values: values.to_owned(), order, sign: 1.0, by_cholesky })
    }

    /// The determinant, its sign, and the logarithm of its magnitude.
    fn determinant(&self) -> [f64; 3] {
        let diagonal = || (0..self.values.nrows()).map(|i| self.values[(i, i)]);
        if self.by_cholesky {
            let root: f64 = diagonal().product();
            return [root * root, 1.0, 2.0 * diagonal().map(libm::log).sum::<f64>()];
        }
        diagonal().fold([self.sign, self.sign, 0.0], |[product, sign, log], pivot| {
            let own = if pivot.is_nan() { pivot } else if pivot == 0.0 { 0.0 } else { pivot.signum() };
            [product * pivot, sign * own, log + libm::log(pivot.abs())]
        })
    }
}

/// Whether all elements are finite.
pub(super) fn is_finite(a: &Mat<f64>) -> bool {
    (0..a.ncols()).all(|column| a.col_as_slice(column).iter().all(|value| value.is_finite()))
}

/// Writes the lower triangular factor of the symmetric matrix with this lower triangle, and 0 above it.
fn factor(a: MatRef<'_, f64>, mut l: MatMut<'_, f64>) -> Result<()> {
    let n = a.nrows();
    l.copy_from(a);
    let mut memory = MemBuffer::new(llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
    let done = llt::factor::cholesky_in_place(l.as_mut(), Default::default(), Par::Seq, MemStack::new(&mut memory), Default::default());
    let positive = done.is_ok() && (0..n).all(|i| l[(i, i)] > 0.0);
    if positive {
        for j in 1..n {
            (0..j).for_each(|i| l[(i, j)] = 0.0);
        }
        return Ok(());
    }
    // Which pivot it is, and what its value: by plain elimination up to there.
    l.fill(0.0);
    for j in 0..n {
        let pivot = (0..j).fold(a[(j, j)], |sum, k| sum - l[(j, k)] * l[(j, k)]);
        // NaN is no pivot either.
        if pivot.is_nan() || pivot <= 0.0 {
            let error = fail(format!("is not positive definite: pivot {j} is {pivot}"));
            return Err(error.note("adding a small number to the diagonal may help, as in `a + 1e-6 * eye(n)`"));
        }
        let root = pivot.sqrt();
        l[(j, j)] = root;
        for i in j + 1..n {
            l[(i, j)] = (0..j).fold(a[(i, j)], |sum, k| sum - l[(i, k)] * l[(j, k)]) / root;
        }
    }
    Ok(())
}

/// Factors with the largest element of each column as pivot.
fn eliminated(a: MatRef<'_, f64>) -> Factors {
    let n = a.nrows();
    let mut values = a.to_owned();
    let (mut order, mut back) = (vec![0usize; n], vec![0usize; n]);
    let mut memory = MemBuffer::new(partial_pivoting::factor::lu_in_place_scratch::<usize, f64>(n, n, Par::Seq, Default::default()));
    let (info, _) = partial_pivoting::factor::lu_in_place(
        values.as_mut(), &mut order, &mut back, Par::Seq, MemStack::new(&mut memory), Default::default(),
    );
    // What divides by a pivot of 0 is taken by plain elimination, which passes over it.
    if !(0..n).all(|i| values[(i, i)] != 0.0 && values[(i, i)].is_finite()) {
        return plain(a);
    }
    let sign = if info.transposition_count % 2 == 0 { 1.0 } else { -1.0 };
    Factors { values, order, sign, by_cholesky: false }
}

/// Gaussian elimination with the largest element of each column as pivot. A column of zeros is passed over.
fn plain(a: MatRef<'_, f64>) -> Factors {
    let n = a.nrows();
    let mut values = a.to_owned();
    let mut order: Vec<usize> = (0..n).collect();
    let mut sign = 1.0;
    for k in 0..n {
        let larger = |best: usize, i: usize| if values[(i, k)].abs() > values[(best, k)].abs() { i } else { best };
        let best = (k + 1..n).fold(k, larger);
        if best != k {
            for column in 0..n {
                (values[(k, column)], values[(best, column)]) = (values[(best, column)], values[(k, column)]);
            }
            order.swap(k, best);
            sign = -sign;
        }
        let pivot = values[(k, k)];
        if pivot == 0.0 { continue; }
        for i in k + 1..n {
            let factor = values[(i, k)] / pivot;
            values[(i, k)] = factor;
            for j in k + 1..n {
                let step = factor * values[(k, j)];
                values[(i, j)] -= step;
            }
        }
    }
    Factors { values, order, sign, by_cholesky: false }
}

/// `cholesky`
pub fn cholesky(call: &mut Call<'_, '_>) -> Result<()> {
    let a = Stack::square(call.operand(0)?)?;
    let or_nan = call.attributes.str("on_error")? == "nan";
    each(call.context, &mut call.results[0], a.batch, &|number, out| {
        match factor(a.matrix(number), MatMut::from_row_major_slice_mut(out, a.rows, a.columns)) {
            Err(_) if or_nan => {
                for (at, out) in out.iter_mut().enumerate() { *out = if at / a.columns >= at % a.columns { f64::NAN } else { 0.0 }; }
                Ok(())
            }
            done => done,
        }
    })
}

/// `det`
pub fn det(call: &mut Call<'_, '_>) -> Result<()> {
    let a = Stack::square(call.operand(0)?)?;
    each(call.context, &mut call.results[0], a.batch, &|number, out| {
        out[0] = eliminated(a.matrix(number)).determinant()[0];
        Ok(())
    })
}

/// `slogdet`
pub fn slogdet(call: &mut Call<'_, '_>) -> Result<()> {
    let a = Stack::square(call.operand(0)?)?;
    let found = of_each(call.context, a.count(), &|number| eliminated(a.matrix(number)).determinant());
    for (which, result) in call.results.iter_mut().enumerate() {
        result.store(DType::F64, &found.iter().map(|numbers| numbers[1 + which]).collect::<Vec<f64>>());
    }
    Ok(())
}

/// `factorize`
pub fn factorize(call: &mut Call<'_, '_>) -> Result<()> {
    let (a, kind) = (Stack::square(call.operand(0)?)?, Kind::of(call)?);
    let n = a.rows;
    let found = of_each(call.context, a.count(), &|number| Factors::of(&kind.whole(a.matrix(number)), kind));
    let named = found.into_iter().enumerate().map(|(number, factors)| factors.map_err(|error| named(&error, a.batch, number)));
    let found = named.collect::<Result<Vec<Factors>>>()?;
    let [packed, order, numbers @ ..] = &mut call.results[..] else { return Err(fail("five results are needed".into())) };
    for (factors, out) in found.iter().zip(typed_mut::<f64>(packed.bytes).chunks_exact_mut((n * n).max(1))) {
        MatMut::from_row_major_slice_mut(out, n, n).copy_from(&factors.values);
    }
    for (factors, out) in found.iter().zip(typed_mut::<i64>(order.bytes).chunks_exact_mut(n.max(1))) {
        out.iter_mut().zip(&factors.order).for_each(|(out, &row)| *out = row as i64);
    }
    let found: Vec<[f64; 3]> = found.iter().map(Factors::determinant).collect();
    for (which, result) in numbers.iter_mut().enumerate() {
        result.store(DType::F64, &found.iter().map(|numbers| numbers[which]).collect::<Vec<f64>>());
    }
    Ok(())
}
