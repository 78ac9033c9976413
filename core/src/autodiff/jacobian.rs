//! Jacobians: derivatives in all directions at once, as rows of one graph.

use super::expand::{disconnected, fitted, zero_if_disconnected};
use super::{cotangents, tangents, vectorize::vectorized};
use crate::error::Result;
use crate::graph::{Location, Var};
use crate::ops::shape::concatenate;
use crate::ops::{Attributes, length};
use crate::tensor::{Dim, Type};

/// The derivatives of each element of `y` in each element of the targets.
///
/// # Errors
/// If one does not exist, or `y` does not depend on a target.
pub(super) fn jacobians(y: &Var, targets: &[Var], attributes: &Attributes) -> Result<Vec<Var>> {
    let forward = match attributes.str("mode")? {
        "auto" => {
            let count = |of: &Var| -> Result<Option<usize>> { Ok(size(of.ty()?)) };
            let inputs = targets.iter().map(count).sum::<Result<Option<usize>>>()?;
            matches!((inputs, count(y)?), (Some(inputs), Some(outputs)) if inputs < outputs)
        }
        mode => mode == "forward",
    };
    let zero = zero_if_disconnected(attributes);
    let found = if forward { forwards(y, targets)? } else { backwards(y, targets)? };
    let one = |(found, target): (Option<Var>, &Var)| {
        let shape = concatenate(&[y.shape(), target.shape()], 0);
        match found {
            None if !zero => Err(disconnected(y, target)),
            None => Ok(target.zeros_like().sum(None).broadcast_to_var(&shape)),
            Some(found) => Ok(cast(found, target)?.reshape_to(&shape)),
        }
    };
    found.into_iter().zip(targets).map(one).collect()
}

fn size(ty: &Type) -> Option<usize> {
    ty.dims.iter().map(Dim::known).try_fold(1usize, |count, length| count.checked_mul(length?))
}

fn cast(value: Var, like: &Var) -> Result<Var> {
    let dtype = like.ty()?.dtype;
    Ok(if value.ty()?.dtype == dtype { value } else { value.cast(dtype) })
}

fn leaf(like: &Var) -> Result<Var> {
    let ty = like.ty()?;
    Ok(Var::input_at("direction", Type::new(ty.dtype, ty.dims.clone()), Location::caller()))
}

/// Every direction of a value: a 1 in the place of each element, as rows.
fn basis(of: &Var) -> Result<Var> {
    let count = (0..of.ty()?.rank()).fold(Var::scalar(1i64), |count, axis| count * length(of, axis));
    let dtype = of.ty()?.dtype;
    let identity = Var::apply("eye", std::slice::from_ref(&count), Attributes::new().with("dtype", dtype));
    Ok(identity.reshape_to(&concatenate(&[count.expand_dims(0), of.shape()], 0)))
}

/// One row for each element of `y`.
fn backwards(y: &Var, targets: &[Var]) -> Result<Vec<Option<Var>>> {
    if y.ty()?.rank() == 0 {
        return cotangents(&[(y.clone(), y.ones_like())], targets);
    }
    let direction = leaf(y)?;
    let found = cotangents(&[(y.clone(), direction.clone())], targets)?;
    let mut present = Vec::new();
    for (found, target) in found.iter().zip(targets) {
        if found.is_some() {
            present.push(fitted(found.clone(), target)?);
        }
    }
    let mut rows = vectorized(&present, &[(direction, basis(y)?)])?.into_iter();
    Ok(found.into_iter().map(|found| found.and_then(|_| rows.next())).collect())
}

/// One row for each element of a target; as columns.
fn forwards(y: &Var, targets: &[Var]) -> Result<Vec<Option<Var>>> {
    let one = |target: &Var| -> Result<Option<Var>> {
        let direction = leaf(target)?;
        let Some(found) = tangents(std::slice::from_ref(y), &[(target.clone(), direction.clone())])?.remove(0) else {
            return Ok(None);
        };
        let found = fitted(Some(found), y)?;
        let rows = vectorized(&[found], &[(direction, basis(target)?)])?.remove(0);
        let rank = y.ty()?.rank() as i64;
        Ok(Some(rows.transpose(&(1..=rank).chain([0]).collect::<Vec<_>>())))
    };
    targets.iter().map(one).collect()
}
