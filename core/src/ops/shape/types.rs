//! Type rules of the family.

use super::Kind::*;
use super::{ShapeOp, join_axis, new_axes, order, type_error};
use crate::error::Result;
use crate::ops::sizes::{Count, dims_of_sizes, meet, open_dims_of_sizes};
use crate::ops::{Attributes, Inferred, Operand, nth, promote_operands};
use crate::tensor::{DType, Dim, Type};

/// The result's type and what is known of its elements.
pub(super) fn infer(op: &ShapeOp, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
    let Some(first) = operands.first() else { return Err(type_error("at least one operand is needed".to_owned())) };
    let x = first.ty;
    // What is known of the elements stays known where the result is still a scalar or vector.
    let typed = |dims: Vec<Dim>| {
        let keeps = matches!(op.kind, Reshape | ExpandDims | Squeeze | Flatten | BroadcastTo) && dims.len() <= 1;
        let sizes = first.sizes.filter(|sizes| keeps && Count::of(&dims).number() == Some(sizes.len()));
        Inferred { sizes: sizes.map(<[_]>::to_vec), ty: Type { dtype: x.dtype, weak: x.weak, dims } }
    };
    let ones = || x.dims.iter().map(|dim| dim.known().map(|length| length == 1)).collect::<Vec<_>>();
    Ok(vec![match op.kind {
        ShapeOf => {
            let ty = Type::of_shape(DType::I64, &[x.rank()]);
            Inferred { ty, sizes: Some(x.dims.clone()) }
        }
        Transpose => typed(order(attributes, x.rank())?.into_iter().map(|axis| x.dims[axis].clone()).collect()),
        Swapaxes => {
            let mut dims = x.dims.clone();
            dims.swap(attributes.axis("axis1", x.rank())?, attributes.axis("axis2", x.rank())?);
            typed(dims)
        }
        Flip => {
            attributes.axes("axis", x.rank())?;
            typed(x.dims.clone())
        }
        ExpandDims => {
            let mut dims = x.dims.clone();
            for axis in new_axes(attributes, x.rank())? {
                dims.insert(axis, Dim::Known(1));
            }
            typed(dims)
        }
        Squeeze => {
            let drop = op.squeezed(attributes, &ones())?;
            typed(x.dims.iter().enumerate().filter(|(axis, _)| !drop.contains(axis)).map(|(_, d)| d.clone()).collect())
        }
        Flatten => typed(vec![Count::of(&x.dims).dim()]),
        BroadcastTo => typed(broadcast_dims(x, nth(operands, 1)?)?),
        Reshape => typed(reshaped_dims(x, nth(operands, 1)?)?),
        Concatenate | Stack => joined(op, first, operands, attributes)?,
    }])
}

/// The dims of `x` broadcast to a shape.
fn broadcast_dims(x: &Type, shape: &Operand<'_>) -> Result<Vec<Dim>> {
    let mut wanted = dims_of_sizes(shape)?;
    if wanted.len() < x.rank() {
        return Err(type_error(format!("cannot broadcast {x} to {} axes", wanted.len())));
    }
    for (dim, to) in x.dims.iter().rev().zip(wanted.iter_mut().rev()) {
        if *to == Dim::Unknown && dim.known().is_some_and(|length| length != 1) {
            *to = dim.clone();
        }
        if let (Some(from), Some(to)) = (dim.known(), to.known())
            && from != 1
            && from != to
        {
            return Err(type_error(format!("cannot broadcast an axis of length {from} to {to}")));
        }
    }
    Ok(wanted)
}

/// The dims of `x` reshaped; one size may be -1.
fn reshaped_dims(x: &Type, shape: &Operand<'_>) -> Result<Vec<Dim>> {
    let mut dims = open_dims_of_sizes(shape)?;
    let open = shape.constant.is_some_and(|constant| constant.to_i64_vec().contains(&-1));
    let (total, new) = (Count::of(&x.dims), Count::of(&dims));
    let rest = Count::of(dims.iter().filter(|dim| **dim != Dim::Unknown));
    if let (Some(total), Some(new), false) = (total.number(), new.number(), open)
        && total != new
    {
        return Err(type_error(format!("{total} elements do not fill {new} places")));
    }
    // One size that is -1, or not known, is what the others leave of the elements.
    if let (1, 0, true, Some(rest)) =
        (new.unknown, total.unknown, new.names.is_empty(), rest.number().filter(|&rest| rest > 0))
    {
        let left = Count { known: total.known / rest, names: total.names.clone(), unknown: 0 };
        if total.known % rest == 0 {
            for dim in dims.iter_mut().filter(|dim| **dim == Dim::Unknown) {
                *dim = left.dim();
            }
        } else if let Some(total) = total.number() {
            return Err(type_error(format!("{total} elements do not fill rows of {rest}")));
        }
    }
    if open && rest.number() == Some(0) {
        return Err(type_error("-1 cannot stand beside a size of 0".to_owned()));
    }
    Ok(dims)
}

/// The result of `concatenate` or `stack`.
fn joined(op: &ShapeOp, first: &Operand<'_>, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Inferred> {
    let x = first.ty;
    let (dtype, weak) = promote_operands(operands.iter().map(|operand| operand.ty));
    let new = usize::from(op.kind == Stack);
    if x.rank() + new == 0 {
        return Err(type_error("scalars cannot be joined along an axis; `stack` makes a vector".to_owned()));
    }
    let axis = join_axis(attributes, x.rank(), new)?;
    let mut dims = x.dims.clone();
    let mut length = Some(0);
    for operand in operands {
        if operand.ty.rank() != x.rank() {
            return Err(type_error(format!("{} has another number of axes than {x}", operand.ty)));
        }
        for (at, (dim, known)) in operand.ty.dims.iter().zip(dims.iter_mut()).enumerate() {
            if new == 0 && at == axis {
                length = length.and_then(|sum: usize| sum.checked_add(dim.known()?));
            } else if !dim.compatible(known) {
                return Err(type_error(format!("axis {at}: {known} against {dim}")));
            } else {
                *known = meet(known, dim);
            }
        }
    }
    if new == 1 {
        dims.insert(axis, Dim::Known(operands.len()));
    } else {
        dims[axis] = match operands {
            [only] => only.ty.dims[axis].clone(),
            _ => length.map_or(Dim::Unknown, Dim::Known),
        };
    }
    let gathers = dtype.is_integer() && dims.len() == 1;
    let part = |operand: &Operand<'_>| match (operand.sizes, Count::of(&operand.ty.dims).number()) {
        (Some(sizes), _) => Some(sizes.to_vec()),
        (None, Some(length)) if length <= 16 => Some(vec![Dim::Unknown; length]),
        _ => None,
    };
    let sizes = if gathers { operands.iter().map(part).collect::<Option<Vec<_>>>() } else { None };
    let sizes = sizes.map(|parts| parts.concat());
    Ok(Inferred { ty: Type { dtype, weak, dims }, sizes })
}
