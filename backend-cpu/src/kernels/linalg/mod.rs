//! Linear algebra of stacks of matrices by `faer`, each matrix on one thread so that results do not depend on their number.
//! Everything is computed in `f64` and rounded once.

mod factors;
mod rest;
mod solve;

pub use factors::{cholesky, det, factorize, slogdet};
pub use solve::{inv, solve, solve_by_factors, solve_triangular};

use std::borrow::Cow;
use std::sync::Mutex;

use arignote_core::tensor::DType;
use arignote_core::{Error, ErrorKind, Result};
use faer::MatRef;

use super::Context;
use crate::buffer::{View, ViewMut, typed_mut};

fn fail(message: String) -> Error {
    Error::new(ErrorKind::Runtime, message)
}

/// The matrices of an operand, in row-major order.
struct Stack<'a> {
    batch: &'a [usize],
    rows: usize,
    columns: usize,
    values: Cow<'a, [f64]>,
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

    fn count(&self) -> usize {
        self.batch.iter().product()
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

/// What `body` gives for each of so many matrices, in their order.
fn of_each<T: Send>(context: &Context<'_>, count: usize, body: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let mut found: Vec<Option<T>> = (0..count).map(|_| None).collect();
    context.chunks(&mut found, 1, &|number, place| place[0] = Some(body(number)));
    found.into_iter().flatten().collect()
}

/// Has `f64` elements of a result written, in its own dtype.
fn written(result: &mut ViewMut<'_>, write: impl FnOnce(&mut [f64]) -> Result<()>) -> Result<()> {
    if result.dtype == DType::F64 {
        return write(typed_mut(result.bytes));
    }
    let mut out = vec![0.0; result.count()];
    write(&mut out)?;
    result.store(DType::F64, &out);
    Ok(())
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
    written(result, |out| {
        if size > 0 { context.chunks(out, size, &run) } else { (0..count).for_each(|number| run(number, &mut [])) }
        Ok(())
    })?;
    match failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
