//! Running sums and products, and the recurrence that both their gradients are made of.

use super::composed::type_error;
use super::elementwise::like_dtype;
use super::order::one_axis;
use super::shape::concatenate;
use super::{
    Batch, Batched,
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp, nth, promote_operands,
    settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Kind as DKind, Shape, Type};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let axis = || Param::attribute("axis", AttributeKind::Axes, Some(Attribute::None), "the axis; the flattened operand if none");
    let dtype = || Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype to accumulate in");
    let x = || Param::operand("x", "the operand");
    let mut add = |kind, name, params, doc| registry.add(Cumulative { kind, name, params, doc });
    add(Kind::Sum, "cumsum", vec![x(), axis(), dtype()],
        "The sums of the elements up to and with each along an axis. Small integers and bools are summed in 64 bits.\n\n    cumsum([1, 2, 3])  # 1 3 6");
    add(Kind::Product, "cumprod", vec![x(), axis(), dtype()],
        "The products of the elements up to and with each along an axis. The gradient is exact where factors are 0, \
         also the second one and those after it: it is a `linear_recurrence`, which divides by nothing.\n\n    cumprod([1, 2, 3])  # 1 2 6");
    add(Kind::Recurrence, "linear_recurrence",
        vec![Param::operand("a", "the factors"), Param::operand("b", "what is added, of the same shape"),
            Param::attribute("axis", AttributeKind::Int, Some(Attribute::Int(0)), "the axis of the steps")],
        "`y[i] = a[i] * y[i - 1] + b[i]` along an axis, from `y[0] = b[0]`: the first factor is not used. Its own \
         gradient is the same recurrence backwards (Martin and Cundy, arXiv 1709.04057).\n\n    linear_recurrence([9, 2, 2], [1, 0, 1])  # 1 2 5");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Product,
    Recurrence,
}

struct Cumulative {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// The axis; `None` is that of the flattened operand.
fn axis_of(kind: Kind, attributes: &Attributes, rank: usize) -> Result<Option<usize>> {
    match kind {
        Kind::Recurrence => attributes.axis("axis", rank).map(Some),
        _ => one_axis(attributes, rank),
    }
}

/// Each step's value at the next step; the first step's is `first` of the first step's place.
fn delayed(x: &Var, axis: usize, first: impl Fn(&Var) -> Var) -> Var {
    let start = x.slice(axis, None, Some(1));
    concatenate(&[first(&start), x.slice(axis, None, Some(-1))], axis as i64)
}

/// `s[i] = g[i] + a[i + 1] * s[i + 1]`.
fn backwards(a: &Var, g: &Var, axis: usize) -> Var {
    let next = concatenate(&[a.slice(axis, Some(1), None), a.slice(axis, None, Some(1)).zeros_like()], axis as i64);
    let axis = axis as i64;
    next.flip(axis).linear_recurrence(&g.flip(axis), axis).flip(axis)
}

impl Op for Cumulative {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        if self.kind == Kind::Recurrence { settle_float(operands, false) } else { Vec::new() }
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let x = nth(operands, 0)?.ty;
        let axis = axis_of(self.kind, attributes, x.rank())?;
        if self.kind == Kind::Recurrence {
            let b = nth(operands, 1)?.ty;
            if x.rank() != b.rank() || !x.dims.iter().zip(&b.dims).all(|(a, b)| a.compatible(b)) {
                return type_error("`a` and `b` have one shape");
            }
            let (dtype, weak) = promote_operands([x, b]);
            if dtype == DType::Bool {
                return type_error("expected numbers, found bools");
            }
            let dims = x.dims.iter().zip(&b.dims).map(|(a, b)| super::sizes::meet(a, b)).collect();
            return Ok(vec![Type { dtype, weak, dims }.into()]);
        }
        let dtype = match (attributes.dtype("dtype")?, x.dtype.kind()) {
            (Some(dtype), _) => dtype,
            (None, DKind::Bool | DKind::Signed) => DType::I64,
            (None, DKind::Unsigned) => DType::U64,
            (None, DKind::Float) => x.dtype,
        };
        let weak = x.weak && x.dtype != DType::Bool && attributes.dtype("dtype")?.is_none();
        let dims = if axis.is_some() { x.dims.clone() } else { vec![super::sizes::Count::of(&x.dims).dim()] };
        Ok(vec![Type { dtype, weak, dims }.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let x = nth(operands, 0)?.shape;
        let axis = axis_of(self.kind, attributes, x.len())?;
        if self.kind == Kind::Recurrence && nth(operands, 1)?.shape != x {
            let message = format!("`a` and `b` have one shape, not {x:?} and {:?}", nth(operands, 1)?.shape);
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        Ok(vec![if axis.is_some() { x.into() } else { Shape::from_slice(&[x.iter().product()]) }])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let nothing = || Ok(vec![None; context.operands.len()]);
        let (x, y) = (nth(context.operands, 0)?, nth(context.results, 0)?);
        let Some(Some(g)) = context.cotangents.first() else { return nothing() };
        if !y.ty()?.dtype.is_float() {
            return nothing();
        }
        let axis = axis_of(self.kind, context.attributes, x.ty()?.rank())?;
        let at = axis.unwrap_or(0);
        let float = |x: &Var, g: Var| -> Result<Option<Var>> {
            Ok(x.ty()?.dtype.is_float().then(|| like_dtype(g, x)))
        };
        let flat = |x: &Var| if axis.is_some() { x.clone() } else { x.flatten() };
        let g = match self.kind {
            Kind::Sum => {
                let sums = g.flip(at as i64).apply_along("cumsum", at);
                sums.flip(at as i64)
            }
            Kind::Product => {
                let before = delayed(y, at, Var::ones_like);
                before * backwards(&like_dtype(flat(x), y), g, at)
            }
            Kind::Recurrence => {
                let b = nth(context.operands, 1)?;
                let sums = backwards(&like_dtype(x.clone(), y), g, at);
                let before = delayed(y, at, Var::zeros_like);
                return Ok(vec![float(x, &sums * before)?, float(b, sums)?]);
            }
        };
        Ok(vec![float(x, if axis.is_some() { g } else { g.reshape_to(&x.shape()) })?])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let (x, y) = (nth(context.operands, 0)?, nth(context.results, 0)?);
        if !y.ty()?.dtype.is_float() {
            return Ok(vec![None]);
        }
        let axis = axis_of(self.kind, context.attributes, x.ty()?.rank())?;
        let at = axis.unwrap_or(0);
        let flat = |x: &Var| like_dtype(if axis.is_some() { x.clone() } else { x.flatten() }, y);
        let tangent = |number: usize| context.tangents.get(number).cloned().flatten();
        Ok(vec![match (self.kind, tangent(0), tangent(1)) {
            (Kind::Sum, Some(t), _) => Some(flat(&t).apply_along("cumsum", at)),
            (Kind::Product, Some(t), _) => {
                let added = flat(&t) * delayed(y, at, Var::ones_like);
                Some(flat(x).linear_recurrence(&added, at as i64))
            }
            (Kind::Recurrence, t, more) => {
                let own = t.map(|t| like_dtype(t, y) * delayed(y, at, Var::zeros_like));
                let added = match (own, more) {
                    (Some(own), Some(more)) => own + like_dtype(more, y),
                    (Some(own), None) => own,
                    (None, Some(more)) => like_dtype(more, y),
                    (None, None) => return Ok(vec![None]),
                };
                Some(like_dtype(x.clone(), y).linear_recurrence(&added, at as i64))
            }
            _ => None,
        }])
    }

    fn can_fail(&self) -> bool {
        self.kind == Kind::Recurrence
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let axis = axis_of(self.kind, context.attributes, context.rank(0)?)?;
        let operands = match (self.kind, axis) {
            (Kind::Recurrence, _) => vec![context.spread(0), context.spread(1)],
            (_, Some(_)) => context.operands.to_vec(),
            (_, None) => vec![context.flat_rows(0)?],
        };
        let attributes = context.attributes.clone().with("axis", axis.unwrap_or(0) as i64 + 1);
        Ok(Batched::Rows(vec![Var::apply(self.name, &operands, attributes)]))
    }
}

impl Var {
    #[track_caller]
    fn apply_along(&self, op: &str, axis: usize) -> Var {
        Var::apply(op, std::slice::from_ref(self), Attributes::new().with("axis", axis as i64))
    }

    /// The sums of the elements up to and with each along an axis, or of the flattened value.
    #[track_caller]
    pub fn cumsum(&self, axis: Option<i64>) -> Var {
        let axis = axis.map_or(Attribute::None, Attribute::Int);
        Var::apply("cumsum", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// The products of the elements up to and with each along an axis, or of the flattened value.
    #[track_caller]
    pub fn cumprod(&self, axis: Option<i64>) -> Var {
        let axis = axis.map_or(Attribute::None, Attribute::Int);
        Var::apply("cumprod", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// `y[i] = a[i] * y[i - 1] + b[i]` along an axis, from `y[0] = b[0]`; the value is `a`.
    #[track_caller]
    pub fn linear_recurrence(&self, b: &Var, axis: i64) -> Var {
        Var::apply("linear_recurrence", &[self.clone(), b.clone()], Attributes::new().with("axis", axis))
    }
}
