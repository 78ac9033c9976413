//! Ops that make tensors: zeros, ones, one value, ranges, the identity matrix.

use super::elementwise::like_dtype;
use super::sizes::{dims_of_sizes, shape_of_sizes, sizes, value_of};
use super::{
    Batch, Batched, behind_first,
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand,
    Vjp, nth, promote_operands, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Shape, Tensor, Type};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let dtype = || Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype of the result");
    let operand = Param::operand;
    let optional = |name, doc| Param { name, kind: ParamKind::OptionalOperand, doc };
    let spread = || Param { name: "shape", kind: ParamKind::SpreadSizes, doc: "the lengths of the axes" };
    let sizes = || Param { name: "shape", kind: ParamKind::Sizes, doc: "the lengths of the axes" };
    let like = || vec![operand("x", "gives shape and dtype")];
    let k = Param::attribute("k", AttributeKind::Int, Some(Attribute::Int(0)), "which diagonal; positive ones lie above");
    let mut add = |name, rule, params, doc| registry.add(Create { name, rule, params, doc });
    add("zeros", Rule::Filled, vec![spread(), dtype()],
        "Zeros of a shape. Without a `dtype` they take that of the operand they meet.\n\n    zeros(2, n, dtype=f32)");
    add("ones", Rule::Filled, vec![spread(), dtype()],
        "Ones of a shape. Without a `dtype` they take that of the operand they meet.\n\n    ones([2, n])");
    add("full", Rule::Full, vec![sizes(), operand("value", "a scalar"), dtype()],
        "One scalar in every place of a shape. The dtype is the value's unless given.\n\n    full([2, 3], 0.5)");
    add("arange", Rule::Arange,
        vec![
            operand("start", "the first value; the only operand is `stop`, and `start` is 0"),
            optional("stop", "where to stop, exclusive"),
            optional("step", "the distance of two values; 1 if left out"),
            dtype(),
        ],
        "The `ceil((stop - start) / step)` values `start + i * step`, as NumPy's `arange`.\n\n    arange(5)        # 0 1 2 3 4\n    arange(1, 8, 3)  # 1 4 7");
    add("eye", Rule::Eye,
        vec![operand("n", "number of rows"), optional("m", "number of columns; `n` if left out"), k, dtype()],
        "The matrix with ones on diagonal `k` and zeros elsewhere: 1 where `column - row == k`.\n\n    eye(3, dtype=f32)");
    add("zeros_like", Rule::Like, like(), "Zeros of the shape and dtype of `x`.\n\n    zeros_like(x)");
    add("ones_like", Rule::Like, like(), "Ones of the shape and dtype of `x`.\n\n    ones_like(x)");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Filled,
    Full,
    Arange,
    Eye,
    Like,
}

struct Create {
    name: &'static str,
    rule: Rule,
    params: Vec<Param>,
    doc: &'static str,
}

fn type_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

/// The dim that an integer scalar stands for, as far as it is known.
fn dim_of_scalar(operand: &Operand<'_>) -> Result<Dim> {
    if !operand.ty.dtype.is_integer() || operand.ty.rank() != 0 {
        return type_error(format!("a length is a whole number, not {}", operand.ty));
    }
    match (operand.constant.map(Tensor::to_i64_vec).as_deref(), operand.sizes) {
        (Some([length]), _) => match usize::try_from(*length) {
            Ok(length) => Ok(Dim::Known(length)),
            Err(_) => type_error(format!("a length is not negative, but this is {length}")),
        },
        (_, Some([dim])) => Ok(dim.clone()),
        _ => Ok(Dim::Unknown),
    }
}

/// How many values `arange` of these operands (stop; start, stop; start, stop, step) has. Whole
/// numbers are counted exactly, others as NumPy does: `ceil((stop - start) / step)`.
///
/// # Errors
/// If the step is 0, a bound is not finite, or the length fits no axis.
pub fn arange_length(operands: &[&Tensor]) -> Result<usize> {
    let fail = |message: String| Err(Error::new(ErrorKind::Runtime, message));
    let length = if operands.iter().all(|operand| operand.dtype().is_integer()) {
        let number = |operand: &Tensor| match (operand.dtype(), operand.as_slice::<u64>()) {
            (DType::U64, Ok(values)) => values.first().copied().map(i128::from),
            _ => operand.to_i64_vec().first().copied().map(i128::from),
        };
        let Some(numbers) = operands.iter().map(|operand| number(operand)).collect::<Option<Vec<i128>>>() else {
            return fail("the operands of `arange` are scalars".into());
        };
        let (start, stop, step) = match numbers.as_slice() {
            [stop] => (0, *stop, 1),
            [start, stop] => (*start, *stop, 1),
            [start, stop, step] => (*start, *stop, *step),
            _ => return fail(format!("`arange` takes 1 to 3 operands, not {}", numbers.len())),
        };
        if step == 0 {
            return fail("the step of `arange` is 0".into());
        }
        let (span, step) = if step > 0 { (stop - start, step) } else { (start - stop, -step) };
        if span <= 0 { 0 } else { (span + step - 1) / step }
    } else {
        let Some(numbers) = operands.iter().map(|operand| operand.item()).collect::<Option<Vec<f64>>>() else {
            return fail("the operands of `arange` are scalars".into());
        };
        let (start, stop, step) = match numbers.as_slice() {
            [stop] => (0.0, *stop, 1.0),
            [start, stop] => (*start, *stop, 1.0),
            [start, stop, step] => (*start, *stop, *step),
            _ => return fail(format!("`arange` takes 1 to 3 operands, not {}", numbers.len())),
        };
        if step == 0.0 {
            return fail("the step of `arange` is 0".into());
        }
        let length = ((stop - start) / step).ceil();
        if !length.is_finite() {
            return fail(format!("`arange` from {start} to {stop} by {step} has no length"));
        }
        length.max(0.0) as i128
    };
    match isize::try_from(length) {
        Ok(length) => Ok(length as usize),
        Err(_) => fail(format!("`arange` of {length} values is too long")),
    }
}

impl Create {
    fn dtype(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<(DType, bool)> {
        if let Some(dtype) = attributes.dtype("dtype")? {
            return Ok((dtype, false));
        }
        Ok(match self.rule {
            Rule::Filled | Rule::Eye => (DType::F64, true),
            Rule::Full => nth(operands, 1).map(|value| (value.ty.dtype, value.ty.weak))?,
            Rule::Like => nth(operands, 0).map(|x| (x.ty.dtype, x.ty.weak))?,
            Rule::Arange => promote_operands(operands.iter().map(|operand| operand.ty)),
        })
    }

    fn arange_dim(&self, operands: &[Operand<'_>], dtype: DType) -> Result<Dim> {
        if dtype == DType::Bool || operands.iter().any(|operand| operand.ty.dtype == DType::Bool) {
            return type_error("`arange` counts numbers, not bools");
        }
        if let Some(operand) = operands.iter().find(|operand| operand.ty.rank() != 0) {
            return type_error(format!("expected scalars, found {}", operand.ty));
        }
        let constants: Option<Vec<&Tensor>> = operands.iter().map(|operand| operand.constant).collect();
        if let Some(constants) = constants {
            let length = arange_length(&constants);
            return length.map(Dim::Known).map_err(|error| Error::new(ErrorKind::Type, error.message()));
        }
        let is = |operand: &Operand<'_>, wanted: f64| operand.constant.and_then(Tensor::item) == Some(wanted);
        let stop = match operands {
            [stop] => stop,
            [start, stop] if is(start, 0.0) => stop,
            [start, stop, step] if is(start, 0.0) && is(step, 1.0) => stop,
            _ => return Ok(Dim::Unknown),
        };
        Ok(match stop.sizes {
            Some([dim]) => dim.clone(),
            _ => Dim::Unknown,
        })
    }
}

impl Op for Create {
    described!();

    fn settle(&self, operands: &[&Type], attributes: &mut Attributes) -> Vec<Option<DType>> {
        if self.rule == Rule::Arange && attributes.dtype("dtype").is_ok_and(|given| given.is_none()) {
            return settle_float(operands, false);
        }
        Vec::new()
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (dtype, weak) = self.dtype(operands, attributes)?;
        let first = nth(operands, 0)?;
        let dims = match self.rule {
            Rule::Filled => dims_of_sizes(first)?,
            Rule::Full => {
                let value = nth(operands, 1)?;
                if value.ty.rank() != 0 {
                    return Err(Error::new(ErrorKind::Type, format!("expected a scalar value, found {}", value.ty))
                        .note("`broadcast_to` repeats a tensor along new axes"));
                }
                dims_of_sizes(first)?
            }
            Rule::Arange => vec![self.arange_dim(operands, dtype)?],
            Rule::Eye => {
                attributes.int("k")?;
                let rows = dim_of_scalar(first)?;
                let columns = operands.get(1).map_or_else(|| Ok(rows.clone()), dim_of_scalar)?;
                vec![rows, columns]
            }
            Rule::Like => first.ty.dims.clone(),
        };
        // A short vector of equal whole numbers may itself be used as sizes.
        let sizes = match (self.name, dims.as_slice()) {
            (name, [] | [Dim::Known(..=16)]) if dtype.is_integer() => {
                let length = dims.first().and_then(Dim::known).unwrap_or(1);
                match name {
                    "zeros" | "zeros_like" => Some(vec![Dim::Known(0); length]),
                    "ones" | "ones_like" => Some(vec![Dim::Known(1); length]),
                    "full" => match nth(operands, 1)?.sizes {
                        Some([dim]) => Some(vec![dim.clone(); length]),
                        _ => None,
                    },
                    _ => None,
                }
            }
            _ => None,
        };
        Ok(vec![Inferred { ty: Type::new(dtype, dims).with_weak(weak), sizes }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let first = nth(operands, 0)?;
        let shape = match self.rule {
            Rule::Filled | Rule::Full => shape_of_sizes(first, self.name)?,
            Rule::Arange => {
                let values = operands.iter().map(|operand| value_of(operand, self.name)).collect::<Result<Vec<&Tensor>>>()?;
                Shape::from_slice(&[arange_length(&values)?])
            }
            Rule::Eye => {
                let length = |operand| shape_of_sizes(operand, self.name).map(|shape| shape.first().copied().unwrap_or(0));
                let rows = length(first)?;
                Shape::from_slice(&[rows, operands.get(1).map_or(Ok(rows), length)?])
            }
            Rule::Like => first.shape.into(),
        };
        Ok(vec![shape])
    }

    fn size_operands(&self, types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        match self.rule {
            Rule::Filled | Rule::Full => vec![0],
            Rule::Arange | Rule::Eye => (0..types.len()).collect(),
            Rule::Like => Vec::new(),
        }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let mut cotangents = vec![None; context.operands.len()];
        if self.rule == Rule::Full
            && let ([_, value], Some(Some(g))) = (context.operands, context.cotangents.first())
            && value.ty()?.dtype.is_float()
        {
            let sum = Var::apply("sum", std::slice::from_ref(g), Attributes::new());
            cotangents[1] = Some(like_dtype(sum, value));
        }
        Ok(cotangents)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        if self.rule == Rule::Full
            && let ([shape, _], Some(Some(tangent))) = (context.operands, context.tangents.get(1))
        {
            let operands = [shape.clone(), tangent.clone()];
            return Ok(vec![Some(Var::apply(self.name, &operands, context.attributes.clone()))]);
        }
        Ok(vec![None])
    }

    fn can_fail(&self) -> bool {
        // A negative length or a step of 0.
        self.rule != Rule::Like
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let value = match (self.rule, context.is_batched(0)) {
            (Rule::Like, _) => Var::apply(self.name, context.operands, context.attributes.clone()),
            (Rule::Full, false) => {
                let value = behind_first(&context.operands[1], context.results[0].ty()?.rank());
                value.broadcast_to_var(&context.sizes(0))
            }
            _ => return Ok(Batched::Default),
        };
        Ok(Batched::Rows(vec![value]))
    }
}

/// Zeros of a shape.
#[track_caller]
pub fn zeros(shape: &[usize], dtype: DType) -> Var {
    Var::apply("zeros", &[sizes(shape)], Attributes::new().with("dtype", dtype))
}

/// Ones of a shape.
#[track_caller]
pub fn ones(shape: &[usize], dtype: DType) -> Var {
    Var::apply("ones", &[sizes(shape)], Attributes::new().with("dtype", dtype))
}

/// A scalar in every place of a shape.
#[track_caller]
pub fn full(shape: &[usize], value: &Var) -> Var {
    Var::apply("full", &[sizes(shape), value.clone()], Attributes::new())
}

/// The identity matrix of `n` rows.
#[track_caller]
pub fn eye(n: usize, dtype: DType) -> Var {
    Var::apply("eye", &[Var::scalar(n as i64)], Attributes::new().with("dtype", dtype))
}

/// The numbers from 0 up to `stop`, exclusive.
#[track_caller]
pub fn arange(stop: i64, dtype: DType) -> Var {
    Var::apply("arange", &[Var::scalar(stop)], Attributes::new().with("dtype", dtype))
}
