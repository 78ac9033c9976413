//! Reductions: sums, products, extremes and the like over axes.

use super::sizes::{Count, dims_of_sizes, shape_of_sizes};
use super::batch::behind;
use super::elementwise::{if_finite, lost};
use super::{
    Attribute, AttributeKind, Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry,
    ShapeOperand, Vjp, behind_first, default_float, no_gradient, nth, where_, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Kind, Shape, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduction {
    Sum,
    Prod,
    Mean,
    Max,
    Min,
    ArgMax,
    ArgMin,
    All,
    Any,
    LogSumExp,
    VectorNorm,
}
use Reduction::*;

struct Reduce {
    what: Reduction,
    name: &'static str,
    doc: &'static str,
    params: Vec<Param>,
}

/// `sum_to(x, shape)`: the inverse of `broadcast_to`.
struct SumTo {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let rows = [
        (Sum, "sum", "The sum. Small integers and bools are summed in 64 bits."),
        (Prod, "prod", "The product. Its gradient is exact where factors are 0."),
        (Mean, "mean", "The arithmetic mean; integers give floats; NaN of nothing."),
        (Max, "max", "The largest element, NaN if there is one; an error of nothing. Ties split the gradient evenly."),
        (Min, "min", "The smallest element, NaN if there is one; an error of nothing. Ties split the gradient evenly."),
        (ArgMax, "argmax", "The position of the largest element, the first of several; without an axis, in the flattened operand."),
        (ArgMin, "argmin", "The position of the smallest element, the first of several; without an axis, in the flattened operand."),
        (All, "all", "Whether all elements are non-zero."),
        (Any, "any", "Whether any element is non-zero."),
        (LogSumExp, "logsumexp", "`log(sum(exp(x)))` without overflow; -inf of nothing."),
        (VectorNorm, "vector_norm", "`sqrt(sum(square(x)))`, the length of a vector, without overflow or underflow. Where it is 0 its gradient is 0."),
    ];
    for (what, name, doc) in rows {
        let attribute = |name, kind, default, doc| Param::attribute(name, kind, Some(default), doc);
        let mut params = vec![
            Param::operand("x", "what is reduced"),
            attribute("axis", AttributeKind::Axes, Attribute::None, "the axis or axes; all of them if none"),
        ];
        if matches!(what, Sum | Prod | Mean) {
            params.push(attribute("dtype", AttributeKind::DType, Attribute::None, "the dtype to accumulate in"));
        }
        params.push(attribute("keepdims", AttributeKind::Bool, false.into(), "keep reduced axes with length 1"));
        registry.add(Reduce { what, name, doc, params });
    }
    let params = vec![
        Param::operand("x", "what is summed"),
        Param { name: "shape", kind: ParamKind::Sizes, doc: "a shape that broadcasts to that of x" },
    ];
    let doc = "x summed over the axes along which `shape` was broadcast to the shape of x: the inverse of `broadcast_to`.";
    registry.add(SumTo { name: "sum_to", params, doc });
}

impl Reduce {
    fn axes(&self, attributes: &Attributes, rank: usize) -> Result<Vec<usize>> {
        let axes = attributes.axes("axis", rank)?;
        if matches!(self.what, ArgMax | ArgMin) && attributes.get("axis") != Some(&Attribute::None) && axes.len() > 1 {
            return Err(Error::new(ErrorKind::Type, "`axis` must be one axis or none"));
        }
        Ok(axes)
    }

    fn dtype(&self, operand: &Type, attributes: &Attributes) -> Result<(DType, bool)> {
        let (dtype, weak) = (operand.dtype, operand.weak);
        let given = attributes.dtype("dtype").unwrap_or(None);
        Ok(match self.what {
            _ if given.is_some() => (given.unwrap_or(dtype), false),
            ArgMax | ArgMin => (DType::I64, false),
            All | Any => (DType::Bool, false),
            Max | Min => (dtype, weak),
            Sum | Prod => match dtype.kind() {
                Kind::Bool | Kind::Signed => (DType::I64, weak && dtype != DType::Bool),
                Kind::Unsigned => (DType::U64, weak),
                Kind::Float => (dtype, weak),
            },
            Mean | LogSumExp | VectorNorm if dtype.is_float() => (dtype, weak),
            Mean | LogSumExp | VectorNorm => (if weak { DType::F64 } else { default_float() }, weak),
        })
    }

    fn reduced<T: Clone>(&self, dims: &[T], one: T, attributes: &Attributes) -> Result<Vec<T>> {
        let axes = self.axes(attributes, dims.len())?;
        let keep = attributes.bool("keepdims")?;
        let pick = |(axis, dim): (usize, &T)| match (axes.contains(&axis), keep) {
            (false, _) => Some(dim.clone()),
            (true, true) => Some(one.clone()),
            (true, false) => None,
        };
        Ok(dims.iter().enumerate().filter_map(pick).collect())
    }

    /// Whether reducing an axis of length 0 has no meaning.
    fn needs_elements(&self) -> bool {
        matches!(self.what, Max | Min | ArgMax | ArgMin)
    }

    fn of_nothing(&self, axes: &[usize]) -> String {
        format!("`{}` of no elements, along axes {axes:?}, has no result", self.name)
    }

    /// A value of the reduced shape, with the reduced axes there again with length 1.
    fn restored(&self, value: &Var, x: &Var, attributes: &Attributes) -> Result<Var> {
        if attributes.bool("keepdims")? {
            return Ok(value.clone());
        }
        let axes = self.axes(attributes, x.ty()?.rank())?;
        Ok(axes.iter().fold(value.clone(), |value, &axis| value.expand_dims(axis as i64)))
    }
}

/// `value`, whose axes are 1 where `x` was reduced, spread to the shape of `x`.
fn spread(value: &Var, x: &Var) -> Var {
    value.broadcast_to_var(&x.shape())
}

impl Op for Reduce {
    described!();

    fn settle(&self, operands: &[&Type], attributes: &mut Attributes) -> Vec<Option<DType>> {
        let to_float = matches!(self.what, Mean | LogSumExp | VectorNorm) && attributes.dtype("dtype").is_ok_and(|given| given.is_none());
        if to_float { settle_float(operands, true) } else { Vec::new() }
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let ty = operands[0].ty;
        let dims = self.reduced(&ty.dims, Dim::Known(1), attributes)?;
        let (dtype, weak) = self.dtype(ty, attributes)?;
        let axes = self.axes(attributes, ty.rank())?;
        if self.needs_elements() && axes.iter().any(|&axis| ty.dims[axis] == Dim::Known(0)) {
            return Err(Error::new(ErrorKind::Type, self.of_nothing(&axes)));
        }
        // The number of elements, `prod(shape(x))`, is known as far as the shape is.
        let sizes = match (self.what, operands[0].sizes) {
            (Prod, Some(sizes)) if dims.is_empty() && dtype.is_integer() => {
                Some(vec![Count::of(sizes).dim()])
            }
            _ => None,
        };
        Ok(vec![Inferred { ty: Type { dtype, weak, dims }, sizes }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let shape = operands[0].shape;
        let axes = self.axes(attributes, shape.len())?;
        if self.needs_elements() && axes.iter().any(|&axis| shape[axis] == 0) {
            let message = format!("{}; the shape is {shape:?}", self.of_nothing(&axes));
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        Ok(vec![self.reduced(shape, 1, attributes)?.into()])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let (x, y) = (&context.operands[0], &context.results[0]);
        let Some(g) = &context.cotangents[0] else { return Ok(vec![None]) };
        if !x.ty()?.dtype.is_float() || !y.ty()?.dtype.is_float() {
            return Ok(vec![None]);
        }
        let attributes = context.attributes;
        let restored = |value: &Var| self.restored(value, x, attributes);
        let g = restored(g)?;
        let result = match self.what {
            Sum => spread(&g, x),
            Mean => {
                // f16 and bf16 do not hold large counts.
                let wide = if g.ty()?.dtype.size() < 4 { g.cast(DType::F32) } else { g };
                let count = (x.size() / y.size().maximum(&Var::weak(1i64))).cast(wide.ty()?.dtype);
                spread(&(wide / count), x)
            }
            Max | Min => {
                let mask = x.eq(&restored(y)?);
                let ties = mask.cast(x.ty()?.dtype).reduce("sum", context.attributes, true);
                where_(&mask, &(g / ties), &Var::weak(0.0))
            }
            LogSumExp => {
                // The parts that sum to 1: `exp(x - y)`, less what rounding has taken from the difference and from `y`; 0
                // where both are -inf. The parts do not depend on the `y` that they are computed from.
                let y = restored(y)?.stop_gradient();
                let finite = where_(&y.eq(&Var::weak(f64::NEG_INFINITY)), &Var::weak(0.0), &y);
                let difference = x - &finite;
                let rest = if_finite(&lost(&difference, x, &finite));
                let parts = difference.exp();
                let parts = &parts + &parts * rest;
                let sum = parts.reduce("sum", attributes, true);
                g * (parts / where_(&sum.eq(&Var::weak(0.0)), &Var::weak(1.0), &sum))
            }
            VectorNorm => {
                let y = restored(y)?;
                g * (x / where_(&y.eq(&Var::weak(0.0)), &Var::weak(1.0), &y))
            }
            Prod => {
                // The product of the other factors, by the number of zeros among all. `others` is the
                // product of the non-zero factors, `sum` the sum of the zeros: 0, but not constant, so
                // that the terms with it, which are 0, have the right derivative: exact twice.
                let zero = x.eq(&Var::weak(0.0));
                let nothing = Var::weak(0.0);
                let safe = where_(&zero, &Var::weak(1.0), x);
                let others = safe.reduce("prod", attributes, true);
                let zeros = zero.reduce("sum", attributes, true);
                let sum = where_(&zero, x, &nothing).reduce("sum", attributes, true);
                let rest = &others / &safe;
                let one = where_(&zero, &others, &(&rest * &sum));
                let two = where_(&zero, &(&others * (&sum - x)), &nothing);
                let several = where_(&zeros.eq(&Var::weak(2i64)), &two, &nothing);
                let some = where_(&zeros.eq(&Var::weak(1i64)), &one, &several);
                g * where_(&zeros.eq(&Var::weak(0i64)), &rest, &some)
            }
            ArgMax | ArgMin | All | Any => return Ok(vec![None]),
        };
        let dtype = x.ty()?.dtype;
        Ok(vec![Some(if result.ty()?.dtype == dtype { result } else { result.cast(dtype) })])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let (x, y) = (&context.operands[0], &context.results[0]);
        let Some(t) = &context.tangents[0] else { return Ok(vec![None]) };
        if !y.ty()?.dtype.is_float() {
            return Ok(vec![None]);
        }
        let attributes = context.attributes;
        let keep = attributes.bool("keepdims")?;
        Ok(vec![Some(match self.what {
            Sum | Mean => Var::apply(self.name, std::slice::from_ref(t), attributes.clone()),
            Max | Min => {
                let mask = x.eq(&self.restored(y, x, attributes)?);
                let ties = mask.cast(x.ty()?.dtype).reduce("sum", attributes, keep);
                where_(&mask, t, &Var::weak(0.0)).reduce("sum", attributes, keep) / ties
            }
            LogSumExp | VectorNorm | Prod => {
                let one = y.ones_like();
                let vjp = Vjp {
                    operands: context.operands, results: context.results, cotangents: &[Some(one)], attributes,
                };
                match self.vjp(&vjp)?.into_iter().next().flatten() {
                    Some(slope) => (slope * t).reduce("sum", attributes, keep).cast(y.ty()?.dtype),
                    None => return Ok(vec![None]),
                }
            }
            ArgMax | ArgMin | All | Any => return Err(no_gradient(self.name)),
        })])
    }

    fn can_fail(&self) -> bool {
        self.needs_elements()
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let rank = context.rank(0)?;
        let whole = context.attributes.get("axis") == Some(&Attribute::None);
        if matches!(self.what, ArgMax | ArgMin) && whole && rank != 1 {
            let attributes = context.attributes.clone().with("axis", 1i64);
            let flat = Var::apply(self.name, &[context.flat_rows(0)?], attributes);
            let kept = if context.attributes.bool("keepdims")? { rank - 1 } else { 0 };
            let flat = if rank == 0 && context.attributes.bool("keepdims")? { flat.squeeze(1) } else { behind_first(&flat, kept) };
            return Ok(Batched::Rows(vec![flat]));
        }
        let mut attributes = context.shifted("axis", rank)?;
        if matches!(self.what, ArgMax | ArgMin)
            && let Some(&[axis]) = attributes.ints("axis")?.as_deref()
        {
            attributes.set("axis", axis);
        }
        Ok(Batched::Rows(vec![Var::apply(self.name, &context.operands[..1], attributes)]))
    }
}

impl Op for SumTo {
    described!();

    fn infer(&self, operands: &[Operand<'_>], _attributes: &Attributes) -> Result<Vec<Inferred>> {
        let x = operands[0].ty;
        if x.dtype == DType::Bool {
            return Err(Error::new(ErrorKind::Type, "expected numbers, found bool; `cast` converts"));
        }
        let dims = dims_of_sizes(nth(operands, 1)?)?;
        if dims.len() > x.rank() {
            let message = format!("cannot sum {x} to {} axes", dims.len());
            return Err(Error::new(ErrorKind::Type, message));
        }
        for (from, to) in x.dims.iter().rev().zip(dims.iter().rev()) {
            if *to != Dim::Known(1) && !from.compatible(to) {
                let message = format!("cannot sum an axis of length {from} to {to}");
                return Err(Error::new(ErrorKind::Type, message));
            }
        }
        Ok(vec![Type { dtype: x.dtype, weak: x.weak, dims }.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let (x, shape) = (operands[0].shape, shape_of_sizes(nth(operands, 1)?, self.name)?);
        let fits = shape.len() <= x.len()
            && x.iter().rev().zip(shape.iter().rev()).all(|(from, to)| from == to || *to == 1);
        if !fits {
            let message = format!("`sum_to`: {x:?} cannot be summed to {:?}", shape.as_slice());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        Ok(vec![shape])
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        vec![1]
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let x = &context.operands[0];
        Ok(vec![context.cotangents[0].as_ref().map(|g| spread(g, x)), None])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let sum = |t: &Var| Var::apply("sum_to", &[t.clone(), context.operands[1].clone()], Attributes::new());
        Ok(vec![context.tangents[0].as_ref().map(sum)])
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        if context.is_batched(1) {
            return Ok(Batched::Default);
        }
        let (rank, wanted) = (context.rank(0)?, context.results[0].ty()?.rank());
        let ones = vec![Var::scalar(1i64); rank - wanted];
        let sizes = ones.iter().fold(context.operands[1].clone(), |sizes, one| behind(one, &sizes));
        let sum = Var::apply("sum_to", &[context.operands[0].clone(), behind(&context.rows(), &sizes)], Attributes::new());
        Ok(Batched::Rows(vec![ones.iter().fold(sum, |sum, _| sum.squeeze(1))]))
    }
}

impl Var {
    /// A reduction with the axes of some attributes.
    #[track_caller]
    fn reduce(&self, op: &str, attributes: &Attributes, keepdims: bool) -> Var {
        let axis = attributes.get("axis").cloned().unwrap_or(Attribute::None);
        let attributes = Attributes::new().with("axis", axis).with("keepdims", keepdims);
        Var::apply(op, std::slice::from_ref(self), attributes)
    }

    /// A reduction by name over some axes (`None`: all of them).
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, ["n".into(), 4.into()]));
    /// assert_eq!(x.reduce_axes("sum", Some(&[1]), true).ty().unwrap().to_string(), "f32[n, 1]");
    /// ```
    #[track_caller]
    pub fn reduce_axes(&self, op: &str, axes: Option<&[i64]>, keepdims: bool) -> Var {
        let axes = axes.map_or(Attribute::None, Attribute::from);
        self.reduce(op, &Attributes::new().with("axis", axes), keepdims)
    }
}

macro_rules! builders {
    ($($name:ident)*) => {
        impl Var {$(
            #[doc = concat!("The op `", stringify!($name), "` over one axis, or over all; see `arignote ops`.")]
            #[track_caller]
            pub fn $name(&self, axis: Option<i64>) -> Var {
                let axis = axis.map_or(Attribute::None, Attribute::Int);
                self.reduce(stringify!($name), &Attributes::new().with("axis", axis), false)
            }
        )*}
    };
}
builders!(sum prod mean max min argmax argmin all any logsumexp vector_norm);
