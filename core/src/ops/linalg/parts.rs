//! Pieces of matrices that the family's formulas are made of: triangles, diagonals, transposes.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::elementwise::unbroadcast;
use crate::ops::{Attributes, where_};

/// The length of an axis, counted from the end.
pub(super) fn length(x: &Var, axis: i64) -> Var {
    x.shape().at_axis(0, axis)
}

/// The numbers from 0 up to a length.
fn numbers(length: &Var) -> Var {
    Var::apply("arange", &[length.clone()], Attributes::new())
}

/// Column less row number of every place of the matrices `x`.
pub(super) fn offsets(x: &Var) -> Var {
    numbers(&length(x, -1)).expand_dims(0) - numbers(&length(x, -2)).expand_dims(1)
}

/// `x` on and below diagonal `k`, 0 above it.
pub(super) fn tril(x: &Var, k: i64) -> Var {
    where_(&offsets(x).le(&Var::weak(k)), x, &Var::weak(0.0))
}

/// `x` on and above diagonal `k`, 0 below it.
pub(super) fn triu(x: &Var, k: i64) -> Var {
    where_(&offsets(x).ge(&Var::weak(k)), x, &Var::weak(0.0))
}

/// The lower triangle with half the diagonal.
pub(super) fn half_tril(x: &Var) -> Var {
    let offsets = offsets(x);
    let zero = Var::weak(0i64);
    where_(&offsets.lt(&zero), x, &where_(&offsets.eq(&zero), &(x * 0.5), &Var::weak(0.0)))
}

/// Half of the matrix and its transpose.
pub(super) fn symmetric(x: &Var) -> Var {
    (x + x.swap_last()) * 0.5
}

/// The diagonal of square matrices.
pub(super) fn diagonal(x: &Var) -> Var {
    let on = offsets(x).eq(&Var::weak(0i64));
    where_(&on, x, &Var::weak(0.0)).reduce_axes("sum", Some(&[-1]), false)
}

/// The sum of the diagonal.
pub(super) fn trace(x: &Var) -> Var {
    let on = offsets(x).eq(&Var::weak(0i64));
    where_(&on, x, &Var::weak(0.0)).reduce_axes("sum", Some(&[-2, -1]), false)
}

/// Square matrices with these diagonals and 0 elsewhere.
pub(super) fn from_diagonal(values: &Var) -> Var {
    let numbers = numbers(&length(values, -1));
    let on = numbers.expand_dims(0).eq(&numbers.expand_dims(1));
    where_(&on, &values.expand_dims(-1), &Var::weak(0.0))
}

/// The identity matrix with as many rows as `x` has columns, in the dtype of `x`.
pub(super) fn identity(x: &Var) -> Result<Var> {
    Ok(Var::apply("eye", &[length(x, -1)], Attributes::new().with("dtype", x.ty()?.dtype)))
}

/// One number for each matrix of a stack, ready to be multiplied by it.
pub(super) fn each(number: &Var) -> Var {
    number.expand_dims(-1).expand_dims(-1)
}

/// The part of an axis (the last is -1) from a length on, or up to it.
pub(super) fn after(x: &Var, axis: i64, start: &Var) -> Result<Var> {
    let at = (x.ty()?.rank() as i64 + axis) as usize;
    Ok(x.slice_between(at, start, &length(x, axis)))
}

/// The part of an axis up to a length.
pub(super) fn before(x: &Var, axis: i64, stop: &Var) -> Result<Var> {
    let at = (x.ty()?.rank() as i64 + axis) as usize;
    Ok(x.slice_between(at, &Var::scalar(0i64), stop))
}

/// The cotangent of an operand, in its shape and dtype; `None` for operands that are no floats.
pub(super) fn cotangent(value: &Var, operand: &Var) -> Result<Option<Var>> {
    Ok(operand.ty()?.dtype.is_float().then(|| unbroadcast(value, operand)))
}

/// The sum of what there is.
pub(super) fn sum(terms: impl IntoIterator<Item = Option<Var>>) -> Option<Var> {
    terms.into_iter().flatten().reduce(|sum, term| sum + term)
}
