//! `repeat`, whose result is as long as its counts say, and `specify_shape`.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::ops::composed::{constant_int, length, positions, type_error, whole_axis};
use crate::ops::index::index_attribute;
use crate::ops::sizes::{meet, value_of};
use crate::ops::{
    Batch, Batched,
    Attribute, AttributeKind, Attributes, IndexItem, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp,
    normalize_axis, nth,
};
use crate::tensor::{DType, Dim, Shape, Tensor, Type, unknown_dims};

pub(super) fn register(registry: &mut Registry) {
    let x = || Param::operand("x", "the operand");
    let axis = Param::attribute("axis", AttributeKind::Axes, Some(Attribute::None), "the axis; the flattened operand if none");
    registry.add(Repeat {
        name: "repeat",
        params: vec![x(), Param::operand("repeats", "how often: one number, or one for each element along the axis"), axis],
        doc: "Each element along an axis so many times. Negative counts are an error.\n\n    \
              repeat([1, 2], 2)          # 1 1 2 2\n    repeat([1, 2, 3], [2, 0, 1])  # 1 1 3",
    });
    let sizes = Param { name: "shape", kind: ParamKind::Sizes, doc: "the sizes; -1 says nothing of one" };
    registry.add(SpecifyShape {
        name: "specify_shape",
        params: vec![x(), sizes],
        doc: "`x`, of which is said what shape it has: the result's type tells, and a call with another shape is an \
              error.\n\n    specify_shape(x, [3, -1])",
    });
}

struct Repeat {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

impl Repeat {
    /// The axis; `None` is that of the flattened operand.
    fn axis(attributes: &Attributes, rank: usize) -> Result<Option<usize>> {
        match attributes.ints("axis")?.as_deref() {
            None => Ok(None),
            Some(&[axis]) => normalize_axis(axis, rank).map(Some),
            Some(axes) => type_error(format!("`axis` is one axis or none, not {axes:?}")),
        }
    }
}

fn negative(count: i64) -> String {
    format!("a count is not negative, but this is {count}")
}

impl Op for Repeat {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (x, repeats) = (nth(operands, 0)?.ty, nth(operands, 1)?);
        let axis = Repeat::axis(attributes, x.rank())?;
        if !repeats.ty.dtype.is_integer() || repeats.ty.rank() > 1 {
            return type_error(format!("counts are a whole number or a vector of them, not {}", repeats.ty));
        }
        let mut dims = match axis {
            Some(_) => x.dims.clone(),
            None => vec![crate::ops::sizes::Count::of(&x.dims).dim()],
        };
        let at = axis.unwrap_or(0);
        let each = match repeats.ty.dims.as_slice() {
            [] | [Dim::Known(1)] => None,
            [count] if count.compatible(&dims[at]) || *count == Dim::Unknown => Some(()),
            _ => return type_error(format!("{} counts for an axis of length {}", repeats.ty, dims[at])),
        };
        let values = repeats.constant.map(Tensor::to_i64_vec);
        if let Some(count) = values.iter().flatten().find(|&&count| count < 0) {
            return type_error(negative(*count));
        }
        dims[at] = match (&values, each, dims[at].known(), repeats.sizes) {
            (Some(counts), Some(()), ..) => sum(counts).map_or(Dim::Unknown, Dim::Known),
            (.., None, Some(length), Some([Dim::Known(count)])) => length.checked_mul(*count).map_or(Dim::Unknown, Dim::Known),
            (.., None, _, Some([Dim::Known(1)])) => dims[at].clone(),
            _ => Dim::Unknown,
        };
        Ok(vec![Type { dtype: x.dtype, weak: x.weak, dims }.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let fail = |message: String| Err(Error::new(ErrorKind::Runtime, message));
        let (x, counts) = (nth(operands, 0)?.shape, value_of(nth(operands, 1)?, self.name)?.to_i64_vec());
        if let Some(count) = counts.iter().find(|&&count| count < 0) {
            return fail(negative(*count));
        }
        let axis = Repeat::axis(attributes, x.len())?;
        let mut shape: Shape = if axis.is_some() { x.into() } else { Shape::from_slice(&[x.iter().product()]) };
        let length = &mut shape[axis.unwrap_or(0)];
        let total = match counts.as_slice() {
            [count] => usize::try_from(*count).ok().and_then(|count| length.checked_mul(count)),
            _ if counts.len() != *length => return fail(format!("{} counts for an axis of length {length}", counts.len())),
            _ => sum(&counts),
        };
        match total.filter(|&total| total < 1 << 60) {
            Some(total) => *length = total,
            None => return fail("there would be too many elements".to_owned()),
        }
        Ok(vec![shape])
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        vec![1]
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let (x, repeats) = (nth(context.operands, 0)?, nth(context.operands, 1)?);
        let Some(Some(g)) = context.cotangents.first() else { return Ok(vec![None, None]) };
        if !x.ty()?.dtype.is_float() {
            return Ok(vec![None, None]);
        }
        let axis = Repeat::axis(context.attributes, x.ty()?.rank())?;
        let flat = if axis.is_some() { x.clone() } else { x.flatten() };
        let at = axis.unwrap_or(0);
        let rank = flat.ty()?.rank();
        let sum = match flat.ty()?.dims[at].known().zip(constant_int(repeats)) {
            // A known number of times each: the sum of that many.
            Some((length, count)) => {
                let mut shape = crate::ops::composed::lengths(&flat)?;
                shape.splice(at..=at, [Var::scalar(length as i64), Var::scalar(count)]);
                g.reshape_to(&crate::ops::composed::vector(&shape)).sum(Some(at as i64 + 1))
            }
            None => {
                let attributes = Attributes::new().with("axis", 0i64);
                let from = Var::apply(self.name, &[positions(&length(&flat, at)), repeats.clone()], attributes);
                let mut items = vec![whole_axis(); rank];
                items[at] = IndexItem::Operand(0);
                Var::apply("add_at", &[flat.zeros_like(), g.clone(), from], index_attribute(items))
            }
        };
        let sum = if axis.is_some() { sum } else { sum.reshape_to(&x.shape()) };
        Ok(vec![Some(sum), None])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let Some(Some(tangent)) = context.tangents.first() else { return Ok(vec![None]) };
        let operands = [tangent.clone(), nth(context.operands, 1)?.clone()];
        Ok(vec![Some(Var::apply(self.name, &operands, context.attributes.clone()))])
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        if context.is_batched(1) {
            return Ok(Batched::Default);
        }
        let rank = context.rank(0)?;
        let (x, axis) = match Repeat::axis(context.attributes, rank)? {
            Some(axis) => (context.operands[0].clone(), axis),
            None => (context.flat_rows(0)?, 0),
        };
        Ok(Batched::Rows(vec![x.repeat(&context.operands[1], Some(axis as i64 + 1))]))
    }
}

fn sum(counts: &[i64]) -> Option<usize> {
    counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(usize::try_from(count).ok()?))
}

struct SpecifyShape {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

impl Op for SpecifyShape {
    described!();

    fn infer(&self, operands: &[Operand<'_>], _attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (x, shape) = (nth(operands, 0)?, nth(operands, 1)?);
        let rank = x.ty.rank();
        let sizes: Vec<Dim> = match (shape.constant, shape.sizes) {
            _ if shape.ty.rank() != 1 || !(shape.ty.dtype.is_integer() || rank == 0) => {
                return type_error(format!("sizes are an integer vector, not {}", shape.ty));
            }
            (Some(constant), _) => {
                let sizes = constant.to_i64_vec();
                if let Some(size) = sizes.iter().find(|&&size| size < -1) {
                    return type_error(format!("{size} is not a size, in {sizes:?}"));
                }
                sizes.iter().map(|&size| usize::try_from(size).map_or(Dim::Unknown, Dim::Known)).collect()
            }
            (None, Some(sizes)) => sizes.to_vec(),
            (None, None) => unknown_dims(shape.ty.dims[0].known().unwrap_or(rank))?,
        };
        if sizes.len() != rank {
            return type_error(format!("{} sizes for {rank} axes", sizes.len()));
        }
        if let Some((dim, size)) = x.ty.dims.iter().zip(&sizes).find(|(dim, size)| !dim.compatible(size)) {
            return type_error(format!("an axis of length {dim} is said to have {size}"));
        }
        let dims = x.ty.dims.iter().zip(&sizes).map(|(dim, size)| meet(dim, size)).collect();
        let ty = Type { dtype: x.ty.dtype, weak: x.ty.weak, dims };
        Ok(vec![Inferred { sizes: x.sizes.map(<[_]>::to_vec), ty }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let (x, sizes) = (nth(operands, 0)?.shape, value_of(nth(operands, 1)?, self.name)?.to_i64_vec());
        let fits = sizes.len() == x.len()
            && x.iter().zip(&sizes).all(|(&length, &size)| size == -1 || i64::try_from(length) == Ok(size));
        match fits {
            true => Ok(vec![x.into()]),
            false => Err(Error::new(ErrorKind::Runtime, format!("the shape is {x:?}, not {sizes:?} as said"))),
        }
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        vec![1]
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let g = context.cotangents.first().cloned().flatten();
        Ok(vec![g.filter(|_| nth(context.operands, 0).and_then(Var::ty).is_ok_and(|ty| ty.dtype.is_float())), None])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![context.tangents.first().cloned().flatten()])
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        if context.is_batched(1) {
            return Ok(Batched::Default);
        }
        let sizes = crate::ops::batch::behind(&Var::scalar(-1i64), &context.operands[1].cast(DType::I64));
        Ok(Batched::Rows(vec![Var::apply(self.name, &[context.operands[0].clone(), sizes], Attributes::new())]))
    }
}

impl Var {
    /// Each element along an axis (of the flattened value without one) so many times; `repeats` is one
    /// number, or one for each element.
    #[track_caller]
    pub fn repeat(&self, repeats: &Var, axis: Option<i64>) -> Var {
        let axis = axis.map_or(Attribute::None, Attribute::Int);
        Var::apply("repeat", &[self.clone(), repeats.clone()], Attributes::new().with("axis", axis))
    }

    /// The value, of which is said what shape it has; -1 says nothing of an axis.
    #[track_caller]
    pub fn specify_shape(&self, sizes: &[i64]) -> Var {
        let sizes = Var::constant(Tensor::vector(sizes.to_vec()));
        Var::apply("specify_shape", &[self.clone(), sizes], Attributes::new())
    }
}
