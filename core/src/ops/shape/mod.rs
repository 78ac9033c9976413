//! Shapes: reading them, and giving the same elements another one.

mod batch;
mod builders;
mod diagonal;
mod forms;
mod pad;
mod parts;
mod ranges;
mod repeat;
mod types;

pub use builders::{concatenate, stack};
pub use forms::{pack, unpack};
pub use parts::meshgrid_ij;
pub use ranges::linspace;

use super::sizes::{shape_of_sizes, value_of};
use super::{
    Batch, Batched,
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp,
    normalize_axis, nth, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Shape, Type, broadcast_shapes};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reshape,
    Transpose,
    BroadcastTo,
    ExpandDims,
    Squeeze,
    Concatenate,
    Stack,
    ShapeOf,
    Flip,
    Flatten,
    Swapaxes,
}
use Kind::*;

struct ShapeOp {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let x = || Param::operand("x", "the operand");
    let list = || Param { name: "xs", kind: ParamKind::OperandList, doc: "the operands" };
    let sizes = || Param { name: "shape", kind: ParamKind::Sizes, doc: "the sizes" };
    let attribute = Param::attribute;
    let axes = |default| attribute("axes", AttributeKind::Axes, Some(default), "the axes in their new order; reversed if none");
    let axis = |kind, default, doc| attribute("axis", kind, default, doc);
    let none = || Some(Attribute::None);
    let int = |name, doc| attribute(name, AttributeKind::Int, None, doc);
    let rows = [
        (Reshape, "reshape", vec![x(), sizes()], "The elements, in row-major order, in another shape; one size may be -1."),
        (Transpose, "transpose", vec![x(), axes(Attribute::None)], "The axes in another order."),
        (BroadcastTo, "broadcast_to", vec![x(), sizes()], "x repeated along new axes and axes of length 1."),
        (ExpandDims, "expand_dims", vec![x(), axis(AttributeKind::Axes, None, "where the new axes stand in the result")], "x with new axes of length 1."),
        (Squeeze, "squeeze", vec![x(), axis(AttributeKind::Axes, none(), "the axes to drop; all of length 1 if none")], "x without axes of length 1."),
        (Concatenate, "concatenate", vec![list(), axis(AttributeKind::Int, Some(Attribute::Int(0)), "the axis to join along")], "The operands joined along an axis."),
        (Stack, "stack", vec![list(), axis(AttributeKind::Int, Some(Attribute::Int(0)), "where the new axis stands")], "The operands joined along a new axis."),
        (ShapeOf, "shape", vec![x()], "The lengths of the axes, as an i64 vector."),
        (Flip, "flip", vec![x(), axis(AttributeKind::Axes, none(), "the axes to reverse; all if none")], "The elements in reverse order along axes."),
        (Flatten, "flatten", vec![x()], "The elements as a vector, in row-major order."),
        (Swapaxes, "swapaxes", vec![x(), int("axis1", "an axis"), int("axis2", "another")], "Two axes exchanged."),
    ];
    for (kind, name, params, doc) in rows {
        registry.add(ShapeOp { kind, name, params, doc });
    }
    parts::register(registry);
    repeat::register(registry);
    pad::register(registry);
    diagonal::register(registry);
    ranges::register(registry);
    forms::register(registry);
}

fn type_error(message: String) -> Error {
    Error::new(ErrorKind::Type, message)
}

/// Where the new axes of `expand_dims` stand in the result, in ascending order.
fn new_axes(attributes: &Attributes, rank: usize) -> Result<Vec<usize>> {
    let Some(new) = attributes.ints("axis")? else { return Err(type_error("`axis` must be given".to_owned())) };
    attributes.axes("axis", rank + new.len())
}

/// The order of axes of a transpose: result axis i is operand axis `order[i]`.
fn order(attributes: &Attributes, rank: usize) -> Result<Vec<usize>> {
    let Some(axes) = attributes.ints("axes")? else { return Ok((0..rank).rev().collect()) };
    let order = axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Result<Vec<_>>>()?;
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        return Err(type_error(format!("`axes` must name each of the {rank} axes once, not {axes:?}")));
    }
    Ok(order)
}

fn join_axis(attributes: &Attributes, rank: usize, new: usize) -> Result<usize> {
    attributes.axis("axis", rank + new)
}

impl ShapeOp {
    /// The axes that a squeeze drops, given which axes have certainly length 1 (`None`: not known).
    fn squeezed(&self, attributes: &Attributes, ones: &[Option<bool>]) -> Result<Vec<usize>> {
        if attributes.get("axis") == Some(&Attribute::None) {
            if ones.contains(&None) {
                return Err(type_error("`axis` must be given where not all lengths are known".to_owned()));
            }
            return Ok((0..ones.len()).filter(|&axis| ones[axis] == Some(true)).collect());
        }
        let axes = attributes.axes("axis", ones.len())?;
        match axes.iter().find(|&&axis| ones[axis] == Some(false)) {
            Some(axis) => Err(type_error(format!("axis {axis} does not have length 1"))),
            None => Ok(axes),
        }
    }
}

impl Op for ShapeOp {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        if matches!(self.kind, Concatenate | Stack) { settle_float(operands, false) } else { Vec::new() }
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        types::infer(self, operands, attributes)
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let Some(first) = operands.first() else { return Err(type_error("at least one operand is needed".to_owned())) };
        let x = first.shape;
        let fail = |message: String| Err(Error::new(ErrorKind::Runtime, message));
        Ok(vec![match self.kind {
            ShapeOf => Shape::from_slice(&[x.len()]),
            Transpose => order(attributes, x.len())?.into_iter().map(|axis| x[axis]).collect(),
            Swapaxes => {
                let mut shape = Shape::from_slice(x);
                shape.swap(attributes.axis("axis1", x.len())?, attributes.axis("axis2", x.len())?);
                shape
            }
            Flip => Shape::from_slice(x),
            ExpandDims => {
                let mut shape = Shape::from_slice(x);
                for axis in new_axes(attributes, x.len())? {
                    shape.insert(axis, 1);
                }
                shape
            }
            Squeeze => {
                let ones: Vec<Option<bool>> = x.iter().map(|&length| Some(length == 1)).collect();
                let drop = self.squeezed(attributes, &ones)?;
                x.iter().enumerate().filter(|(axis, _)| !drop.contains(axis)).map(|(_, &length)| length).collect()
            }
            Flatten => Shape::from_slice(&[x.iter().product()]),
            BroadcastTo => {
                let wanted = shape_of_sizes(nth(operands, 1)?, self.name)?;
                match broadcast_shapes(x, &wanted) {
                    Ok(shape) if shape == wanted => wanted,
                    _ => return fail(format!("{x:?} cannot be broadcast to {wanted:?}")),
                }
            }
            Reshape => {
                let mut sizes = value_of(nth(operands, 1)?, self.name)?.to_i64_vec();
                let count: usize = x.iter().product();
                let rest = sizes.iter().filter(|&&size| size >= 0).try_fold(1i64, |rest, &size| rest.checked_mul(size));
                let Some(rest) = rest else { return fail(format!("the sizes {sizes:?} are too large")) };
                if let Some(open) = sizes.iter_mut().find(|size| **size == -1) {
                    if rest == 0 || count as i64 % rest != 0 {
                        return fail(format!("{count} elements of shape {x:?} do not fill rows of {rest}"));
                    }
                    *open = count as i64 / rest;
                }
                let shape: Shape = sizes.iter().map(|&size| size as usize).collect();
                if sizes.iter().any(|&size| size < 0) || shape.iter().product::<usize>() != count {
                    return fail(format!("{x:?} ({count} elements) does not fit {sizes:?}"));
                }
                shape
            }
            Concatenate | Stack => {
                let new = usize::from(self.kind == Stack);
                let axis = join_axis(attributes, x.len(), new)?;
                let mut shape = Shape::from_slice(x);
                for operand in &operands[1..] {
                    let differs = operand.shape.len() != x.len()
                        || (0..x.len()).any(|at| (new == 1 || at != axis) && operand.shape[at] != x[at]);
                    if differs {
                        return fail(format!("shapes {x:?} and {:?} do not fit along axis {axis}", operand.shape));
                    }
                    if new == 0 {
                        shape[axis] += operand.shape[axis];
                    }
                }
                if new == 1 {
                    shape.insert(axis, operands.len());
                }
                shape
            }
        }])
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        if matches!(self.kind, Reshape | BroadcastTo) { vec![1] } else { Vec::new() }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let nothing = vec![None; context.operands.len()];
        let (x, attributes) = (&context.operands[0], context.attributes);
        let Some(g) = &context.cotangents[0] else { return Ok(nothing) };
        if self.kind == ShapeOf {
            return Ok(nothing);
        }
        let rank = x.ty()?.rank();
        let one = |value: Var| {
            let mut cotangents = vec![None; context.operands.len()];
            cotangents[0] = Some(value);
            Ok(cotangents)
        };
        match self.kind {
            Reshape | Flatten | Squeeze => one(g.reshape_to(&x.shape())),
            ExpandDims => one(Var::apply("squeeze", std::slice::from_ref(g), attributes.clone())),
            Transpose => {
                let order = order(attributes, rank)?;
                let mut back = vec![0; rank];
                for (to, from) in order.into_iter().enumerate() {
                    back[from] = to as i64;
                }
                one(g.transpose(&back))
            }
            Swapaxes | Flip => one(Var::apply(self.name, std::slice::from_ref(g), attributes.clone())),
            BroadcastTo => one(Var::apply("sum_to", &[g.clone(), x.shape()], Attributes::new())),
            Concatenate => {
                let axis = join_axis(attributes, rank, 0)?;
                let lengths: Option<Vec<usize>> =
                    context.operands.iter().map(|v| v.ty().ok().and_then(|ty| ty.dims[axis].known())).collect();
                let mut first = 0;
                let mut start = Var::scalar(0i64);
                let mut cotangents = Vec::new();
                for (at, operand) in context.operands.iter().enumerate() {
                    let part = match &lengths {
                        Some(lengths) => {
                            let from = first;
                            first += lengths[at] as i64;
                            g.slice(axis, Some(from), Some(first))
                        }
                        None => {
                            let stop = &start + operand.shape().at_axis(0, axis as i64);
                            let part = g.slice_between(axis, &start, &stop);
                            start = stop;
                            part
                        }
                    };
                    let ty = operand.ty()?;
                    cotangents.push(ty.dtype.is_float().then(|| part.cast(ty.dtype)));
                }
                Ok(cotangents)
            }
            Stack => {
                let axis = join_axis(attributes, rank, 1)?;
                let part = |(at, operand): (usize, &Var)| -> Result<Option<Var>> {
                    let ty = operand.ty()?;
                    Ok(ty.dtype.is_float().then(|| g.at_axis(axis, at as i64).cast(ty.dtype)))
                };
                context.operands.iter().enumerate().map(part).collect()
            }
            ShapeOf => Ok(nothing),
        }
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        if self.kind == ShapeOf {
            return Ok(vec![None]);
        }
        let mut operands = Vec::new();
        for (operand, tangent) in context.operands.iter().zip(context.tangents) {
            let carries = operands.is_empty() || matches!(self.kind, Concatenate | Stack);
            operands.push(match tangent {
                _ if !carries => operand.clone(),
                Some(tangent) => tangent.clone(),
                None => operand.zeros_like(),
            });
        }
        Ok(vec![Some(Var::apply(self.name, &operands, context.attributes.clone()))])
    }

    fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        let x = operands.first()?;
        match self.kind {
            Flatten => Some(Ok(vec![x.reshape(&[-1])])),
            Swapaxes => Some(swapped(x, attributes).map(|value| vec![value])),
            _ => None,
        }
    }

    fn has_decomposition(&self) -> bool {
        matches!(self.kind, Flatten | Swapaxes)
    }

    fn can_fail(&self) -> bool {
        matches!(self.kind, Reshape | BroadcastTo | Squeeze | Concatenate | Stack)
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        batch::batch(self, context)
    }
}

/// `swapaxes` as a transpose.
fn swapped(x: &Var, attributes: &Attributes) -> Result<Var> {
    let rank = x.ty()?.rank();
    let mut axes: Vec<i64> = (0..rank as i64).collect();
    axes.swap(attributes.axis("axis1", rank)?, attributes.axis("axis2", rank)?);
    Ok(x.transpose(&axes))
}
