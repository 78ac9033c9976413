//! Linear algebra of stacks of matrices by `faer`, on one thread for each matrix so that results do not depend
//! on their number. Everything is computed in `f64` and rounded once.

use std::sync::Mutex;

use arignote_core::tensor::{DType, broadcast_shapes};
use arignote_core::{Error, ErrorKind, Result};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{cholesky::llt, lu::partial_pivoting, triangular_solve};
use faer::{Mat, MatMut, MatRef, Par};

use super::elementwise::broadcast_strides;
use super::{Call, Context};
use crate::buffer::{View, ViewMut, typed_mut};

fn fail(message: String) -> Error {
    Error::new(ErrorKind::Runtime, message)
}

/// The matrices of an operand, in row-major order.
struct Stack<'a> {
    batch: &'a [usize],
    rows: usize,
    columns: usize,
    values: std::borrow::Cow<'a, [f64]>,
}

impl<'a> Stack<'a> {
    fn of(view: View<'a>) -> Result<Stack<'a>> {
        let [batch @ .., rows, columns] = view.shape else {
            return Err(fail(format!("matrices have two axes or more, not {}", view.shape.len())));
        };
        Ok(Stack { batch, rows: *rows, columns: *columns, values: view.cast(DType::F64) })
    }

    fn square(view: View<'a>) -> Result<Stack<'a>> {
        let stack = Stack::of(view)?;
        if stack.rows != stack.columns {
            return Err(fail(format!("the matrices must be square, not of {} rows and {} columns", stack.rows, stack.columns)));
        }
        Ok(stack)
    }

    fn matrix(&self, number: usize) -> MatRef<'_, f64> {
        let size = self.rows * self.columns;
        MatRef::from_row_major_slice(&self.values[number * size..(number + 1) * size], self.rows, self.columns)
    }
}

/// An error that says what a matrix is, with the matrix's place in its stack.
fn named(error: &Error, batch: &[usize], number: usize) -> Error {
    let mut rest = number;
    let mut place = vec![0; batch.len()];
    for (axis, &length) in batch.iter().enumerate().rev() {
        place[axis] = rest % length;
        rest /= length;
    }
    let which = if batch.is_empty() { String::new() } else { format!(" {place:?} of the stack") };
    let message = format!("the matrix{which} {}", error.message());
    error.notes().iter().fold(Error::new(error.kind(), message), |error, note| error.note(note.clone()))
}

/// Calls `body` for each matrix of a batch with its own part of the result, in the result's dtype; gives the
/// first error of the batch.
fn each(context: &Context<'_>, result: &mut ViewMut<'_>, batch: &[usize], body: &(dyn Fn(usize, &mut [f64]) -> Result<()> + Sync)) -> Result<()> {
    let count: usize = batch.iter().product();
    let size = result.count().checked_div(count).unwrap_or(0);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let run = |number: usize, part: &mut [f64]| {
        if let Err(error) = body(number, part) {
            let mut failed = failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if failed.as_ref().is_none_or(|first| number < first.0) {
                *failed = Some((number, named(&error, batch, number)));
            }
        }
    };
    let all = |out: &mut [f64]| {
        if size > 0 { context.chunks(out, size, &run) } else { (0..count).for_each(|number| run(number, &mut [])) }
    };
    if result.dtype == DType::F64 {
        all(typed_mut(result.bytes));
    } else {
        let mut out = vec![0.0; result.count()];
        all(&mut out);
        result.store(DType::F64, &out);
    }
    match failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// Writes the lower triangular factor of the symmetric matrix with this lower triangle, and 0 above it, in row-major
/// order.
fn factor(a: MatRef<'_, f64>, out: &mut [f64]) -> Result<()> {
    let n = a.nrows();
    for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate() {
        for (j, out) in row.iter_mut().enumerate() { *out = if j <= i { a[(i, j)] } else { 0.0 }; }
    }
    let mut l = MatMut::from_row_major_slice_mut(out, n, n);
    let mut memory = MemBuffer::new(llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
    let done = llt::factor::cholesky_in_place(l.as_mut(), Default::default(), Par::Seq, MemStack::new(&mut memory), Default::default());
    let positive = done.is_ok() && (0..n).all(|i| l[(i, i)] > 0.0);
    if positive {
        for (i, row) in out.chunks_exact_mut(n.max(1)).enumerate() { row[i + 1..].fill(0.0); }
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

/// Factors of a matrix with exchanged rows: L below the diagonal (its own is 1), U on and above it.
struct Factors {
    values: Mat<f64>,
    /// 1 or -1: whether the number of exchanges is even.
    sign: f64,
}

fn factors(a: MatRef<'_, f64>) -> Factors {
    let n = a.nrows();
    let mut values = Mat::from_fn(n, n, |i, j| a[(i, j)]);
    let (mut order, mut back) = (vec![0usize; n], vec![0usize; n]);
    let mut memory = MemBuffer::new(partial_pivoting::factor::lu_in_place_scratch::<usize, f64>(n, n, Par::Seq, Default::default()));
    let (info, _) = partial_pivoting::factor::lu_in_place(
        values.as_mut(), &mut order, &mut back, Par::Seq, MemStack::new(&mut memory), Default::default(),
    );
    let sign = if info.transposition_count % 2 == 0 { 1.0 } else { -1.0 };
    // What divides by a pivot of 0 is taken by plain elimination, which passes over it.
    if (0..n).all(|i| values[(i, i)] != 0.0 && values[(i, i)].is_finite()) { Factors { values, sign } } else { plain(a) }
}

/// Gaussian elimination with the largest element of each column as pivot. A column of zeros is passed over.
fn plain(a: MatRef<'_, f64>) -> Factors {
    let n = a.nrows();
    let mut values = Mat::from_fn(n, n, |i, j| a[(i, j)]);
    let mut sign = 1.0;
    for k in 0..n {
        let larger = |best: usize, i: usize| if values[(i, k)].abs() > values[(best, k)].abs() { i } else { best };
        let best = (k + 1..n).fold(k, larger);
        if best != k {
            for column in 0..n {
                (values[(k, column)], values[(best, column)]) = (values[(best, column)], values[(k, column)]);
            }
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
    Factors { values, sign }
}

/// `cholesky`
pub fn cholesky(call: &mut Call<'_, '_>) -> Result<()> {
    let a = Stack::square(call.operand(0)?)?;
    let or_nan = call.attributes.str("on_error")? == "nan";
    each(call.context, &mut call.results[0], a.batch, &|number, out| {
        match factor(a.matrix(number), out) {
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
        let factors = factors(a.matrix(number));
        out[0] = (0..a.rows).fold(factors.sign, |product, i| product * factors.values[(i, i)]);
        Ok(())
    })
}

/// `slogdet`
pub fn slogdet(call: &mut Call<'_, '_>) -> Result<()> {
    let a = Stack::square(call.operand(0)?)?;
    let of = |number: usize| {
        let factors = factors(a.matrix(number));
        (0..a.rows).fold((factors.sign, 0.0), |(sign, log): (f64, f64), i| {
            let pivot = factors.values[(i, i)];
            let own = if pivot.is_nan() { pivot } else if pivot == 0.0 { 0.0 } else { pivot.signum() };
            (sign * own, log + libm::log(pivot.abs()))
        })
    };
    let found: Vec<(f64, f64)> = (0..a.batch.iter().product()).map(of).collect();
    for (result, pick) in call.results.iter_mut().zip([|pair: &(f64, f64)| pair.0, |pair: &(f64, f64)| pair.1]) {
        result.store(DType::F64, &found.iter().map(pick).collect::<Vec<f64>>());
    }
    Ok(())
}

/// Columns of a right side that one thread solves for.
const COLUMNS: usize = 128;

/// Checks a matrix.
type Check<'a> = dyn Fn(MatRef<'_, f64>) -> Result<()> + Sync + 'a;

/// Solves for some columns of a right side, in its place.
type Solve<'a> = dyn Fn(MatRef<'_, f64>, MatMut<'_, f64>) + Sync + 'a;

/// Solutions for all pairs of a matrix and a right side.
fn solve_all(call: &mut Call<'_, '_>, check: &Check<'_>, solve: &Solve<'_>) -> Result<()> {
    let (a, b) = (Stack::of(call.operand(0)?)?, call.operand(1)?);
    let column = [b.shape.first().copied().unwrap_or(0), 1];
    let right = Stack::of(if b.shape.len() == 1 { View { shape: &column, ..b } } else { b })?;
    if a.rows != a.columns || right.rows != a.rows {
        let message = format!("a matrix of {} rows and {} columns, a right side of {} rows", a.rows, a.columns, right.rows);
        return Err(fail(message));
    }
    let batch = broadcast_shapes(a.batch, right.batch)?;
    let steps = [a.batch, right.batch].map(|own| broadcast_strides(own, &batch));
    let place = |steps: &Option<Vec<usize>>, number: usize| match steps {
        None => number,
        Some(steps) => {
            let (mut rest, mut at) = (number, 0);
            for axis in (0..batch.len()).rev() {
                at += rest % batch[axis] * steps[axis];
                rest /= batch[axis];
            }
            at
        }
    };
    let context = call.context;
    each(context, &mut call.results[0], &batch, &|number, out| {
        let matrix = a.matrix(place(&steps[0], number));
        check(matrix)?;
        let size = right.rows * right.columns;
        out.copy_from_slice(&right.values[place(&steps[1], number) * size..][..size]);
        let mut rest = MatMut::from_row_major_slice_mut(out, right.rows, right.columns);
        let mut parts: Vec<Mutex<MatMut<'_, f64>>> = Vec::with_capacity(right.columns.div_ceil(COLUMNS));
        while rest.ncols() > COLUMNS {
            let (part, after) = rest.split_at_col_mut(COLUMNS);
            parts.push(Mutex::new(part));
            rest = after;
        }
        parts.push(Mutex::new(rest));
        context.parallel(parts.len(), &|part| {
            let mut part = parts[part].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            solve(matrix, part.as_mut());
        });
        Ok(())
    })
}

/// `solve_triangular`
pub fn solve_triangular(call: &mut Call<'_, '_>) -> Result<()> {
    let (lower, unit) = (call.attributes.bool("lower")?, call.attributes.bool("unit_diagonal")?);
    let transposed = call.attributes.int("trans")? != 0;
    let check = |a: MatRef<'_, f64>| match (0..a.nrows()).find(|&i| !unit && a[(i, i)] == 0.0) {
        Some(zero) => Err(fail(format!("is singular: 0 at place {zero} of its diagonal"))),
        None => Ok(()),
    };
    solve_all(call, &check, &|a, x| {
        let a = if transposed { a.transpose() } else { a };
        match (lower != transposed, unit) {
            (true, false) => triangular_solve::solve_lower_triangular_in_place(a, x, Par::Seq),
            (true, true) => triangular_solve::solve_unit_lower_triangular_in_place(a, x, Par::Seq),
            (false, false) => triangular_solve::solve_upper_triangular_in_place(a, x, Par::Seq),
            (false, true) => triangular_solve::solve_unit_upper_triangular_in_place(a, x, Par::Seq),
        }
    })
}
