//! Elementwise ops: one result, each element from the operands' elements at the same (broadcast) place.
//!
//! Every op is one row of `table`: name, operands, how its dtype follows, documentation, gradient.

mod builders;
mod composed;
mod gradients;
mod sizes;
mod special;
mod table;
#[cfg(test)]
mod tests;

pub use builders::where_;
pub(super) use gradients::{if_finite, lost};

use super::{
    Attributes, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp,
    broadcast_operands, default_float, no_gradient, promote_operands, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Kind, Shape, Type, broadcast_shapes};

/// How an op's result type follows from the operands'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typing {
    /// The promoted dtype.
    Same,
    /// The promoted dtype, which must be a number (not `bool`).
    Number,
    /// The promoted dtype; integers and bools give the config's `float`.
    Float,
    /// `bool`, operands promoted together.
    Compare,
    /// `bool`, operands of any dtype each.
    Logical,
    /// The promoted dtype, which must be `bool` or an integer.
    Bits,
    /// The promoted dtype of all operands but the first, which is `bool`.
    Where,
    /// The second operand's dtype; integers give the config's `float`. The first is an integer, an order.
    Order,
    /// The dtype of the attribute `dtype`.
    Cast,
}

/// The gradient of an op as partial derivatives applied to something: given operands, results and a
/// cotangent or tangent `g` of operand `i`, the product of `g` and the derivative in operand `i`.
/// `None` says that the operand does not influence the result differentiably: it is discrete, or held
/// constant. An op that is constant in steps is not of that kind: its derivative is zero wherever it
/// exists, and a cost that depends on it has a gradient.
type Partial = fn(&Partials<'_>, usize, &Var) -> Option<Var>;

/// What a [`Partial`] works from.
struct Partials<'a> {
    x: &'a [Var],
    y: &'a Var,
    attributes: &'a Attributes,
}

/// An elementwise op.
struct Elementwise {
    name: &'static str,
    params: Vec<Param>,
    typing: Typing,
    doc: &'static str,
    partial: Option<Partial>,
    commutative: bool,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    for op in table::ops() {
        registry.add(op);
    }
    for op in composed::ops() {
        registry.add(op);
    }
}

impl Elementwise {
    fn result_dtype(&self, types: &[&Type], attributes: &Attributes) -> Result<(DType, bool)> {
        let fail = |what: &str, dtype: DType| {
            Err(Error::new(ErrorKind::Type, format!("expected {what}, found {dtype}; `cast` converts")))
        };
        let (dtype, weak) = match self.typing {
            Typing::Where | Typing::Order => promote_operands(types.iter().skip(1).copied()),
            _ => promote_operands(types.iter().copied()),
        };
        Ok(match self.typing {
            Typing::Same => (dtype, weak),
            Typing::Number if dtype == DType::Bool => return fail("numbers", dtype),
            Typing::Number => (dtype, weak),
            Typing::Order if types.first().is_some_and(|ty| !ty.dtype.is_integer()) => {
                return fail("whole numbers as the order", types[0].dtype);
            }
            Typing::Float | Typing::Order if dtype.is_float() => (dtype, weak),
            Typing::Float | Typing::Order if weak => (DType::F64, true),
            Typing::Float | Typing::Order => (default_float(), false),
            Typing::Compare | Typing::Logical => (DType::Bool, false),
            Typing::Bits if dtype.kind() == Kind::Float => return fail("bools or integers", dtype),
            Typing::Bits => (dtype, weak),
            Typing::Where => match types.first() {
                Some(ty) if ty.dtype != DType::Bool => return fail("a bool condition", ty.dtype),
                _ => (dtype, weak),
            },
            Typing::Cast => match attributes.dtype("dtype")? {
                Some(dtype) => (dtype, false),
                None => return Err(Error::new(ErrorKind::Type, "`dtype` must be a dtype such as f32")),
            },
        })
    }
}

impl Op for Elementwise {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        match self.typing {
            Typing::Logical | Typing::Cast => Vec::new(),
            Typing::Where | Typing::Order => match operands
                .split_first()
                .map(|(_, rest)| settle_float(rest, self.typing == Typing::Order))
            {
                Some(casts) if !casts.is_empty() => std::iter::once(None).chain(casts).collect(),
                _ => Vec::new(),
            },
            typing => settle_float(operands, typing == Typing::Float),
        }
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let types: Vec<&Type> = operands.iter().map(|operand| operand.ty).collect();
        let (dtype, weak) = self.result_dtype(&types, attributes)?;
        let dims = broadcast_operands(types)?;
        if self.name == "gelu" && !matches!(attributes.str("approximate")?, "none" | "tanh") {
            return Err(Error::new(ErrorKind::Type, "attribute `approximate` must be \"none\" or \"tanh\""));
        }
        let ty = Type { dtype, weak, dims };
        let sizes = sizes::infer(self.name, operands, &ty);
        Ok(vec![Inferred { ty, sizes }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let shape = operands.iter().try_fold(Shape::new(), |shape, operand| broadcast_shapes(&shape, operand.shape))?;
        Ok(vec![shape])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let (Some(y), Some(Some(g))) = (context.results.first(), context.cotangents.first()) else {
            return Ok(vec![None; context.operands.len()]);
        };
        if !y.ty()?.dtype.is_float() {
            return Ok(vec![None; context.operands.len()]);
        }
        let Some(partial) = self.partial else { return Err(no_gradient(self.name)) };
        let operands = in_dtype_of(y, context.operands)?;
        let partials = Partials { x: &operands, y, attributes: context.attributes };
        let mut cotangents = Vec::new();
        for (i, x) in context.operands.iter().enumerate() {
            let product = if x.ty()?.dtype.is_float() { partial(&partials, i, g) } else { None };
            cotangents.push(match product {
                Some(product) if sets_the_shape(context.operands, i)? => Some(like_dtype(product, x)),
                Some(product) => Some(unbroadcast(&product, x)),
                None => None,
            });
        }
        Ok(cotangents)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let Some(y) = context.results.first() else { return Ok(Vec::new()) };
        if !y.ty()?.dtype.is_float() {
            return Ok(vec![None]);
        }
        let Some(partial) = self.partial else { return Err(no_gradient(self.name)) };
        let operands = in_dtype_of(y, context.operands)?;
        let partials = Partials { x: &operands, y, attributes: context.attributes };
        let mut sum: Option<Var> = None;
        let mut spread = false;
        for (i, tangent) in context.tangents.iter().enumerate() {
            let Some(tangent) = tangent else { continue };
            let Some(product) = partial(&partials, i, &like_dtype(tangent.clone(), y)) else { continue };
            spread |= sets_the_shape(context.operands, i)?;
            sum = Some(match sum {
                Some(sum) => sum + product,
                None => product,
            });
        }
        // A tangent of an operand that was broadcast has fewer elements than the result.
        Ok(vec![sum.map(|sum| if spread { like_dtype(sum, y) } else { broadcast_like(&sum, y) })])
    }

    fn may_overwrite(&self) -> &[(usize, usize)] {
        &[(0, 0), (1, 0), (2, 0), (3, 0)][..self.params.iter().filter(|p| p.kind == ParamKind::Operand).count()]
    }

    fn is_elementwise(&self) -> bool {
        true
    }

    fn is_commutative(&self) -> bool {
        self.commutative
    }
}

/// The operands in the dtype of the result, so that a derivative is computed no less precisely.
fn in_dtype_of(y: &Var, operands: &[Var]) -> Result<Vec<Var>> {
    let wanted = y.ty()?.dtype;
    operands
        .iter()
        .map(|x| {
            let found = x.ty()?;
            let differs = found.dtype != wanted && !found.weak && found.dtype != DType::Bool;
            Ok(if differs { x.cast(wanted) } else { x.clone() })
        })
        .collect()
}

/// A derivative in the dtype of the value that it belongs to.
pub(crate) fn like_dtype(g: Var, x: &Var) -> Var {
    match (g.ty(), x.ty()) {
        (Ok(found), Ok(wanted)) if found.dtype != wanted.dtype => g.cast(wanted.dtype),
        _ => g,
    }
}

/// Whether the result has the shape of this operand whatever the unknown lengths are: the others add
/// neither axes nor lengths.
pub(crate) fn sets_the_shape(operands: &[Var], index: usize) -> Result<bool> {
    let rank = operands[index].ty()?.rank();
    for (other, var) in operands.iter().enumerate() {
        let ty = var.ty()?;
        let adds = ty.rank() > rank || ty.dims.iter().any(|dim| *dim != Dim::Known(1));
        if other != index && adds && !var.is(&operands[index]) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A cotangent of a broadcast result, summed down to the shape and dtype of the operand.
pub(crate) fn unbroadcast(g: &Var, x: &Var) -> Var {
    let (Ok(found), Ok(wanted)) = (g.ty(), x.ty()) else { return g.clone() };
    let summed = if found.same_dims(wanted) {
        g.clone()
    } else {
        let shape = Var::apply_at("shape", std::slice::from_ref(x), Attributes::new(), x.node().location().clone());
        Var::apply_at("sum_to", &[g.clone(), shape], Attributes::new(), x.node().location().clone())
    };
    let same = found.dtype == wanted.dtype && (found.weak == wanted.weak || !found.weak);
    if same { summed } else { summed.cast(wanted.dtype) }
}

/// A tangent spread to the shape and dtype of a result.
fn broadcast_like(t: &Var, y: &Var) -> Var {
    let (Ok(found), Ok(wanted)) = (t.ty(), y.ty()) else { return t.clone() };
    let cast = if found.dtype == wanted.dtype { t.clone() } else { t.cast(wanted.dtype) };
    if found.same_dims(wanted) {
        return cast;
    }
    let shape = Var::apply("shape", std::slice::from_ref(y), Attributes::new());
    Var::apply("broadcast_to", &[cast, shape], Attributes::new())
}
