//! Shapes: reading them, and giving the same elements another one.

use super::{
    Attribute, AttributeKind, Attributes, IndexBound, IndexItem, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp,
    normalize_axis, promote_operands, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Shape, Tensor, Type, broadcast_shapes};

/// The dims that an operand of sizes stands for, as far as they are known.
///
/// # Errors
/// If it is not an integer vector of known length.
pub(crate) fn dims_of_sizes(operand: &Operand<'_>) -> Result<Vec<Dim>> {
    if !operand.ty.dtype.is_integer() || operand.ty.rank() != 1 {
        let message = format!("sizes are an integer vector, not {}", operand.ty);
        return Err(Error::new(ErrorKind::Type, message));
    }
    if let Some(constant) = operand.constant {
        let size = |size: i64| usize::try_from(size).map_or(Dim::Unknown, Dim::Known);
        return Ok(constant.to_i64_vec().into_iter().map(size).collect());
    }
    match (operand.sizes, operand.ty.dims[0].known()) {
        (Some(sizes), _) => Ok(sizes.to_vec()),
        (None, Some(rank)) => Ok(vec![Dim::Unknown; rank]),
        (None, None) => Err(Error::new(ErrorKind::Type, "the number of axes is not known: sizes of unknown length")),
    }
}

/// What is known of a dim that is both of two.
pub(crate) fn meet(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Known(_), _) | (Dim::Named(_), Dim::Named(_) | Dim::Unknown) => a.clone(),
        _ => b.clone(),
    }
}

/// A number of elements as far as it is known: a known factor times named and unknown ones.
pub(crate) struct Count {
    known: usize,
    names: Vec<Dim>,
    unknown: usize,
}

impl Count {
    /// The product of some dims.
    pub(crate) fn of<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Count {
        let mut count = Count { known: 1, names: Vec::new(), unknown: 0 };
        for dim in dims {
            match dim {
                Dim::Known(length) => match count.known.checked_mul(*length) {
                    Some(known) => count.known = known,
                    None => count.unknown += 1,
                },
                Dim::Named(_) => count.names.push(dim.clone()),
                Dim::Unknown => count.unknown += 1,
            }
        }
        count
    }

    /// The number, if it is known.
    pub(crate) fn number(&self) -> Option<usize> {
        (self.known == 0 || (self.names.is_empty() && self.unknown == 0)).then_some(self.known)
    }

    /// The number as a dim.
    pub(crate) fn dim(&self) -> Dim {
        match (self.number(), self.names.as_slice()) {
            (Some(number), _) => Dim::Known(number),
            (None, [name]) if self.known == 1 && self.unknown == 0 => name.clone(),
            _ => Dim::Unknown,
        }
    }
}

/// The values of an operand of sizes.
pub(crate) fn sizes_of(operand: &ShapeOperand<'_>, op: &str) -> Result<Vec<i64>> {
    let value = operand.value.ok_or_else(|| {
        Error::new(ErrorKind::Internal, format!("the sizes of `{op}` are not known when its shape is computed"))
    })?;
    Ok(value.to_i64_vec())
}

/// The shape that an operand of sizes stands for.
pub(crate) fn shape_of_sizes(operand: &ShapeOperand<'_>, op: &str) -> Result<Shape> {
    let sizes = sizes_of(operand, op)?;
    let negative = |size: i64| Error::new(ErrorKind::Runtime, format!("`{op}`: {size} is not a size, in {sizes:?}"));
    let shape: Shape = sizes.iter().map(|&size| usize::try_from(size).map_err(|_| negative(size))).collect::<Result<_>>()?;
    match shape.iter().try_fold(16usize, |bytes, &length| bytes.checked_mul(length)) {
        Some(bytes) if bytes < isize::MAX as usize => Ok(shape),
        _ => Err(Error::new(ErrorKind::Runtime, format!("`{op}`: a tensor of shape {sizes:?} is too large"))),
    }
}

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
    let x = || Param { name: "x", kind: ParamKind::Operand, doc: "the operand" };
    let list = || Param { name: "xs", kind: ParamKind::OperandList, doc: "the operands" };
    let sizes = || Param { name: "shape", kind: ParamKind::Sizes, doc: "the sizes" };
    let attribute = |name, kind, default, doc| Param { name, kind: ParamKind::Attribute(kind, default), doc };
    let axes = |default| attribute("axes", AttributeKind::Axes, Some(default), "the axes in their new order; reversed if none");
    let axis = |kind, default, doc| attribute("axis", kind, default, doc);
    let none = || Some(Attribute::None);
    let int = |name, doc| attribute(name, AttributeKind::Int, None, doc);
    let rows = [
        (Reshape, "reshape", vec![x(), sizes()], "The elements, in row-major order, in another shape; one size may be -1."),
        (Transpose, "transpose", vec![x(), axes(Attribute::None)], "The axes in another order."),
        (BroadcastTo, "broadcast_to", vec![x(), sizes()], "x repeated along new axes and axes of length 1."),
        (ExpandDims, "expand_dims", vec![x(), axis(AttributeKind::Int, None, "where the new axis stands in the result")], "x with a new axis of length 1."),
        (Squeeze, "squeeze", vec![x(), axis(AttributeKind::Axes, none(), "the axes to drop; all of length 1 if none")], "x without axes of length 1."),
        (Concatenate, "concatenate", vec![list(), axis(AttributeKind::Int, Some(0.into_attribute()), "the axis to join along")], "The operands joined along an axis."),
        (Stack, "stack", vec![list(), axis(AttributeKind::Int, Some(0.into_attribute()), "where the new axis stands")], "The operands joined along a new axis."),
        (ShapeOf, "shape", vec![x()], "The lengths of the axes, as an i64 vector."),
        (Flip, "flip", vec![x(), axis(AttributeKind::Axes, none(), "the axes to reverse; all if none")], "The elements in reverse order along axes."),
        (Flatten, "flatten", vec![x()], "The elements as a vector, in row-major order."),
        (Swapaxes, "swapaxes", vec![x(), int("axis1", "an axis"), int("axis2", "another")], "Two axes exchanged."),
    ];
    for (kind, name, params, doc) in rows {
        registry.add(ShapeOp { kind, name, params, doc });
    }
}

trait IntoAttribute {
    fn into_attribute(self) -> Attribute;
}
impl IntoAttribute for i64 {
    fn into_attribute(self) -> Attribute {
        Attribute::Int(self)
    }
}

fn type_error(message: String) -> Error {
    Error::new(ErrorKind::Type, message)
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
    fn name(&self) -> &str {
        self.name
    }

    fn params(&self) -> &[Param] {
        &self.params
    }

    fn doc(&self) -> &str {
        self.doc
    }

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        if matches!(self.kind, Concatenate | Stack) { settle_float(operands, false) } else { Vec::new() }
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let Some(first) = operands.first() else { return Err(type_error("at least one operand is needed".to_owned())) };
        let x = first.ty;
        // What is known of the elements stays known where the result is still a scalar or vector.
        let typed = |dims: Vec<Dim>| {
            let keeps = matches!(self.kind, Reshape | ExpandDims | Squeeze | Flatten | BroadcastTo) && dims.len() <= 1;
            let sizes = first.sizes.filter(|sizes| keeps && Count::of(&dims).number() == Some(sizes.len()));
            Inferred { sizes: sizes.map(<[_]>::to_vec), ty: Type { dtype: x.dtype, weak: x.weak, dims } }
        };
        let ones = || x.dims.iter().map(|dim| dim.known().map(|length| length == 1)).collect::<Vec<_>>();
        Ok(vec![match self.kind {
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
                dims.insert(attributes.axis("axis", x.rank() + 1)?, Dim::Known(1));
                typed(dims)
            }
            Squeeze => {
                let drop = self.squeezed(attributes, &ones())?;
                typed(x.dims.iter().enumerate().filter(|(axis, _)| !drop.contains(axis)).map(|(_, d)| d.clone()).collect())
            }
            Flatten => {
                typed(vec![Count::of(&x.dims).dim()])
            }
            BroadcastTo => {
                let mut wanted = dims_of_sizes(&operands[1])?;
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
                typed(wanted)
            }
            Reshape => {
                let mut dims = dims_of_sizes(&operands[1])?;
                let literal = operands[1].constant.map(Tensor::to_i64_vec);
                let open: Vec<usize> = literal
                    .iter()
                    .flat_map(|sizes| sizes.iter().enumerate().filter(|(_, size)| **size < 0).map(|(at, _)| at))
                    .collect();
                if open.len() > 1 {
                    return Err(type_error("only one size may be -1".to_owned()));
                }
                if let Some(size) = literal.iter().flatten().find(|size| **size < -1) {
                    return Err(type_error(format!("{size} is not a size")));
                }
                let (total, new) = (Count::of(&x.dims), Count::of(&dims));
                let rest = Count::of(dims.iter().filter(|dim| **dim != Dim::Unknown));
                if let (Some(total), Some(new), []) = (total.number(), new.number(), open.as_slice())
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
                if let ([_], Some(0)) = (open.as_slice(), rest.number()) {
                    return Err(type_error("-1 cannot stand beside a size of 0".to_owned()));
                }
                typed(dims)
            }
            Concatenate | Stack => {
                let (dtype, weak) = promote_operands(operands.iter().map(|operand| operand.ty));
                let new = usize::from(self.kind == Stack);
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
                            length = length.and_then(|sum| Some(sum + dim.known()?));
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
                Inferred { ty: Type { dtype, weak, dims }, sizes }
            }
        }])
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
                shape.insert(attributes.axis("axis", x.len() + 1)?, 1);
                shape
            }
            Squeeze => {
                let ones: Vec<Option<bool>> = x.iter().map(|&length| Some(length == 1)).collect();
                let drop = self.squeezed(attributes, &ones)?;
                x.iter().enumerate().filter(|(axis, _)| !drop.contains(axis)).map(|(_, &length)| length).collect()
            }
            Flatten => Shape::from_slice(&[x.iter().product()]),
            BroadcastTo => {
                let wanted = shape_of_sizes(&operands[1], self.name)?;
                match broadcast_shapes(x, &wanted) {
                    Ok(shape) if shape == wanted => wanted,
                    _ => return fail(format!("`broadcast_to`: {x:?} cannot be broadcast to {wanted:?}")),
                }
            }
            Reshape => {
                let mut sizes = sizes_of(&operands[1], self.name)?;
                let count: usize = x.iter().product();
                let rest = sizes.iter().filter(|&&size| size >= 0).try_fold(1i64, |rest, &size| rest.checked_mul(size));
                let Some(rest) = rest else { return fail(format!("`reshape`: the sizes {sizes:?} are too large")) };
                if let Some(open) = sizes.iter_mut().find(|size| **size == -1) {
                    if rest == 0 || count as i64 % rest != 0 {
                        return fail(format!("`reshape`: {count} elements of shape {x:?} do not fill rows of {rest}"));
                    }
                    *open = count as i64 / rest;
                }
                let shape: Shape = sizes.iter().map(|&size| size as usize).collect();
                if sizes.iter().any(|&size| size < 0) || shape.iter().product::<usize>() != count {
                    return fail(format!("`reshape`: {x:?} ({count} elements) does not fit {sizes:?}"));
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
                        return fail(format!("`{}`: shapes {x:?} and {:?} do not fit along axis {axis}", self.name, operand.shape));
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

    fn size_operands(&self, _attributes: &Attributes) -> Vec<usize> {
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
            ExpandDims => one(g.squeeze(attributes.int("axis")?)),
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
                            g.slice_known(axis, from, first)
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
}

/// `swapaxes` as a transpose.
fn swapped(x: &Var, attributes: &Attributes) -> Result<Var> {
    let rank = x.ty()?.rank();
    let mut axes: Vec<i64> = (0..rank as i64).collect();
    axes.swap(attributes.axis("axis1", rank)?, attributes.axis("axis2", rank)?);
    Ok(x.transpose(&axes))
}

impl Var {
    /// The lengths of the axes, as an i64 vector.
    #[track_caller]
    pub fn shape(&self) -> Var {
        Var::apply("shape", std::slice::from_ref(self), Attributes::new())
    }

    /// The number of elements, as an i64 scalar.
    #[track_caller]
    pub fn size(&self) -> Var {
        self.shape().prod(None)
    }

    /// The elements in another shape; one size may be -1.
    #[track_caller]
    pub fn reshape(&self, sizes: &[i64]) -> Var {
        self.reshape_to(&Var::constant(Tensor::vector(sizes.to_vec())))
    }

    /// The elements in a shape that is itself a value.
    #[track_caller]
    pub fn reshape_to(&self, shape: &Var) -> Var {
        Var::apply("reshape", &[self.clone(), shape.clone()], Attributes::new())
    }

    /// The value repeated to a shape that is itself a value.
    #[track_caller]
    pub fn broadcast_to_var(&self, shape: &Var) -> Var {
        Var::apply("broadcast_to", &[self.clone(), shape.clone()], Attributes::new())
    }

    /// The value repeated to a shape.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Var {
        self.broadcast_to_var(&Var::constant(Tensor::vector(shape.iter().map(|&length| length as i64).collect())))
    }

    /// The axes in another order.
    #[track_caller]
    pub fn transpose(&self, axes: &[i64]) -> Var {
        Var::apply("transpose", std::slice::from_ref(self), Attributes::new().with("axes", axes))
    }

    /// The axes in reverse order.
    #[track_caller]
    pub fn t(&self) -> Var {
        Var::apply("transpose", std::slice::from_ref(self), Attributes::new())
    }

    /// The last two axes exchanged.
    #[track_caller]
    pub(crate) fn swap_last(&self) -> Var {
        let rank = self.ty().map_or(2, Type::rank) as i64;
        let mut axes: Vec<i64> = (0..rank).collect();
        if let [.., a, b] = axes.as_mut_slice() {
            std::mem::swap(a, b);
        }
        self.transpose(&axes)
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn swapaxes(&self, axis1: i64, axis2: i64) -> Var {
        let attributes = Attributes::new().with("axis1", axis1).with("axis2", axis2);
        Var::apply("swapaxes", std::slice::from_ref(self), attributes)
    }

    /// The elements in reverse order along one axis.
    #[track_caller]
    pub fn flip(&self, axis: i64) -> Var {
        Var::apply("flip", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// A new axis of length 1.
    #[track_caller]
    pub fn expand_dims(&self, axis: i64) -> Var {
        Var::apply("expand_dims", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// One axis of length 1 dropped.
    #[track_caller]
    pub fn squeeze(&self, axis: i64) -> Var {
        Var::apply("squeeze", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// The elements as a vector.
    #[track_caller]
    pub fn flatten(&self) -> Var {
        Var::apply("flatten", std::slice::from_ref(self), Attributes::new())
    }

    /// Zeros of the same shape and dtype.
    #[track_caller]
    pub fn zeros_like(&self) -> Var {
        Var::apply("zeros_like", std::slice::from_ref(self), Attributes::new())
    }

    /// Ones of the same shape and dtype.
    #[track_caller]
    pub fn ones_like(&self) -> Var {
        Var::apply("ones_like", std::slice::from_ref(self), Attributes::new())
    }
}

/// Values joined along an axis.
#[track_caller]
pub fn concatenate(values: &[Var], axis: i64) -> Var {
    Var::apply("concatenate", values, Attributes::new().with("axis", axis))
}

/// Values joined along a new axis.
#[track_caller]
pub fn stack(values: &[Var], axis: i64) -> Var {
    Var::apply("stack", values, Attributes::new().with("axis", axis))
}

impl Var {
    /// The part from `start` to `stop`, both i64 scalars, along an axis.
    #[track_caller]
    pub(crate) fn slice_between(&self, axis: usize, start: &Var, stop: &Var) -> Var {
        let mut items = vec![IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 }; axis];
        items.push(IndexItem::Slice { start: IndexBound::Operand(0), stop: IndexBound::Operand(1), step: 1 });
        let operands = [self.clone(), start.clone(), stop.clone()];
        let mut attributes = Attributes::new();
        attributes.set("index", Attribute::Index(items));
        Var::apply("index", &operands, attributes)
    }

    /// The part from `start` to `stop` along an axis.
    #[track_caller]
    fn slice_known(&self, axis: usize, start: i64, stop: i64) -> Var {
        let mut items = vec![IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 }; axis];
        items.push(IndexItem::Slice { start: IndexBound::At(start), stop: IndexBound::At(stop), step: 1 });
        let mut attributes = Attributes::new();
        attributes.set("index", Attribute::Index(items));
        Var::apply("index", std::slice::from_ref(self), attributes)
    }

    /// One position of an axis, which is dropped.
    #[track_caller]
    pub(crate) fn at_axis(&self, axis: usize, position: i64) -> Var {
        let mut items = vec![IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 }; axis];
        items.push(IndexItem::At(position));
        let mut attributes = Attributes::new();
        attributes.set("index", Attribute::Index(items));
        Var::apply("index", std::slice::from_ref(self), attributes)
    }
}
