//! Dims, shapes and known elements of what is indexed.

use super::steps::{Step, normalize_position, plan, slice_range};
use super::type_error;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{IndexBound, IndexItem, Operand, ShapeOperand, nth};
use crate::tensor::{DType, Dim, Shape, Tensor, Type, broadcast_dims, broadcast_shapes};

fn scalar_of(constant: &Tensor) -> Option<i64> {
    (constant.len() == 1).then(|| constant.to_i64_vec().first().copied()).flatten()
}

/// A bound of a slice as far as a type rule knows it.
enum Bound {
    Open,
    At(i64),
    Named(Dim),
    Unknown,
}

fn bound(bound: IndexBound, operands: &[Operand<'_>]) -> Result<Bound> {
    let number = match bound {
        IndexBound::Open => return Ok(Bound::Open),
        IndexBound::At(value) => return Ok(Bound::At(value)),
        IndexBound::Operand(number) => number,
    };
    let operand = nth(operands, number)?;
    if !operand.ty.dtype.is_integer() || operand.ty.rank() != 0 {
        return type_error(format!("a bound of a slice is a whole number, not {}", operand.ty));
    }
    Ok(match (operand.constant.and_then(scalar_of), operand.sizes) {
        (Some(value), _) => Bound::At(value),
        (None, Some([Dim::Known(length)])) => i64::try_from(*length).map_or(Bound::Unknown, Bound::At),
        (None, Some([dim @ Dim::Named(_)])) => Bound::Named(dim.clone()),
        _ => Bound::Unknown,
    })
}

fn slice_dim(dim: &Dim, start: &Bound, stop: &Bound, step: i64) -> Dim {
    let literal = |bound: &Bound| match bound {
        Bound::Open => Some(None),
        Bound::At(value) => Some(Some(*value)),
        _ => None,
    };
    if let (Some(length), Some(start), Some(stop)) = (dim.known(), literal(start), literal(stop)) {
        return Dim::Known(slice_range(length, start, stop, step).1);
    }
    match (start, stop, step) {
        (Bound::Open, Bound::Open, 1 | -1) | (Bound::At(0), Bound::Open, 1) => dim.clone(),
        (Bound::Open | Bound::At(0), Bound::Named(stop), 1) if stop.same(dim) => dim.clone(),
        // Both bounds counted from the same end, in the wrong order.
        (Bound::Open, Bound::At(0), 1..) => Dim::Known(0),
        (Bound::At(a), Bound::At(b), 1..) if (*a < 0) == (*b < 0) && a >= b => Dim::Known(0),
        _ => Dim::Unknown,
    }
}

/// Dims of `x[items]`; operands are those that items refer to.
pub(super) fn indexed_dims(x: &Type, operands: &[Operand<'_>], items: &[IndexItem]) -> Result<Vec<Dim>> {
    let plan = plan(items, x.rank(), |number| {
        let ty = nth(operands, number)?.ty;
        if ty.dtype != DType::Bool && !ty.dtype.is_integer() {
            return type_error(format!("an index is whole numbers or bools, not {ty}"));
        }
        Ok((ty.rank(), ty.dtype == DType::Bool))
    })?;
    let (mut kept, mut positions) = (Vec::new(), Vec::new());
    for step in &plan.steps {
        match step {
            Step::Nothing => {}
            Step::NewAxis => kept.push(Dim::Known(1)),
            Step::Slice { axis, start, stop, step } => {
                let (start, stop) = (bound(*start, operands)?, bound(*stop, operands)?);
                kept.push(slice_dim(nth(&x.dims, *axis)?, &start, &stop, *step));
            }
            Step::At { axis, position } => check_position(*position, *axis, nth(&x.dims, *axis)?)?,
            Step::Positions { axis, operand } => {
                let operand = nth(operands, *operand)?;
                for position in operand.constant.map(Tensor::to_i64_vec).unwrap_or_default() {
                    check_position(position, *axis, nth(&x.dims, *axis)?)?;
                }
                positions = broadcast_dims(&positions, &operand.ty.dims)?;
            }
            Step::Mask { axis, operand, rank } => {
                let operand = nth(operands, *operand)?;
                let covered = x.dims.get(*axis..axis + rank).unwrap_or_default();
                if !covered.iter().zip(&operand.ty.dims).all(|(dim, mask)| dim.compatible(mask)) {
                    return type_error(format!("the mask {} does not cover axes {axis} to {} of {x}", operand.ty, axis + rank - 1));
                }
                let count = operand.constant.map(|mask| mask.to_i64_vec().iter().filter(|&&on| on != 0).count());
                positions = broadcast_dims(&positions, &[count.map_or(Dim::Unknown, Dim::Known)])?;
            }
        }
    }
    Ok(plan.assemble(&kept, &positions))
}

fn check_position(position: i64, axis: usize, dim: &Dim) -> Result<()> {
    let Some(length) = dim.known() else { return Ok(()) };
    match normalize_position(position, axis, length) {
        Ok(_) => Ok(()),
        Err(error) => type_error(error.message()),
    }
}

/// Shape of `x[items]`; operands are those that items refer to.
pub(super) fn indexed_shape(x: &[usize], operands: &[ShapeOperand<'_>], items: &[IndexItem]) -> Result<Shape> {
    let is_mask = |operand: &ShapeOperand<'_>| operand.value.is_some_and(|value| value.dtype() == DType::Bool);
    let plan = plan(items, x.len(), |number| {
        let operand = nth(operands, number)?;
        Ok((operand.shape.len(), is_mask(operand)))
    })?;
    let bound = |bound: IndexBound| match bound {
        IndexBound::Open => Ok(None),
        IndexBound::At(value) => Ok(Some(value)),
        IndexBound::Operand(number) => match nth(operands, number)?.value.and_then(scalar_of) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::new(ErrorKind::Internal, "the value of a bound of a slice is missing")),
        },
    };
    let (mut kept, mut positions) = (Vec::new(), Shape::new());
    for step in &plan.steps {
        match step {
            Step::Nothing => {}
            Step::NewAxis => kept.push(1),
            Step::Slice { axis, start, stop, step } => {
                kept.push(slice_range(*nth(x, *axis)?, bound(*start)?, bound(*stop)?, *step).1);
            }
            Step::At { axis, position } => {
                normalize_position(*position, *axis, *nth(x, *axis)?)?;
            }
            Step::Positions { operand, .. } => {
                positions = broadcast_shapes(&positions, nth(operands, *operand)?.shape)?;
            }
            Step::Mask { axis, operand, rank } => {
                let operand = nth(operands, *operand)?;
                if x.get(*axis..axis + rank) != Some(operand.shape) {
                    let message = format!("a mask of shape {:?} does not fit {x:?} from axis {axis} on", operand.shape);
                    return Err(Error::new(ErrorKind::Runtime, message));
                }
                let values = operand.value.map(Tensor::to_i64_vec).unwrap_or_default();
                positions = broadcast_shapes(&positions, &[values.iter().filter(|&&on| on != 0).count()])?;
            }
        }
    }
    Ok(plan.assemble(&kept, &positions).into())
}

/// What is known of the elements of `x[items]` where those of the vector `x` are.
pub(super) fn indexed_sizes(x: &Operand<'_>, operands: &[Operand<'_>], items: &[IndexItem]) -> Option<Vec<Dim>> {
    let sizes = x.sizes.filter(|sizes| x.ty.dims.as_slice() == [Dim::Known(sizes.len())])?;
    let at = |position: i64| {
        normalize_position(position, 0, sizes.len()).ok().and_then(|i| sizes.get(i)).map(|dim| vec![dim.clone()])
    };
    match items {
        [IndexItem::At(position)] => at(*position),
        [IndexItem::Operand(number)] => {
            let operand = operands.get(*number).filter(|operand| operand.ty.rank() == 0)?;
            at(operand.constant.and_then(scalar_of)?)
        }
        [IndexItem::Slice { start, stop, step }] if *step != 0 => {
            let literal = |end: IndexBound| match bound(end, operands) {
                Ok(Bound::Open) => Some(None),
                Ok(Bound::At(value)) => Some(Some(value)),
                _ => None,
            };
            let (first, count) = slice_range(sizes.len(), literal(*start)?, literal(*stop)?, *step);
            let place = |i: usize| usize::try_from(first + i as i64 * step).ok();
            (0..count).map(|i| sizes.get(place(i)?).cloned()).collect()
        }
        _ => None,
    }
}
