//! Ops that are given by others: their types, shapes and derivatives follow from the one function that
//! builds them, and no backend needs a kernel.

use super::{Attributes, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp, settle_float};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Constant, Location, NodeKind, Var};
use crate::ops::{IndexBound, IndexItem};
use crate::tensor::{DType, Shape, Tensor, Type};

/// An op as a function of its operands and attributes that builds the results from other ops.
pub(super) struct Composed {
    pub(super) name: &'static str,
    pub(super) params: Vec<Param>,
    pub(super) doc: &'static str,
    pub(super) settle: Settle,
    pub(super) build: fn(&Arguments<'_>) -> Result<Vec<Var>>,
}

/// What the config's `float` decides, as [`Op::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    /// Nothing.
    Nothing,
    /// Integers among this many first operands become floats beside a weak float.
    Promote(usize),
    /// Integers among this many first operands become floats.
    ToFloat(usize),
    /// The attribute `dtype`, where it is not given: that of the floats among this many operands behind the
    /// first, or the config's.
    Draws(usize),
}

/// What a composed op is applied to.
pub(super) struct Arguments<'a> {
    pub(super) operands: &'a [Var],
    pub(super) attributes: &'a Attributes,
}

impl Arguments<'_> {
    /// The operand with this number.
    pub(super) fn operand(&self, number: usize) -> Result<&Var> {
        super::nth(self.operands, number)
    }

    /// The rank of the first operand.
    pub(super) fn rank(&self) -> Result<usize> {
        Ok(self.operand(0)?.ty()?.rank())
    }

    /// The attribute `axis` as one axis of the first operand.
    pub(super) fn axis(&self) -> Result<usize> {
        self.attributes.axis("axis", self.rank()?)
    }

    /// An operand of sizes as one i64 scalar each.
    pub(super) fn sizes(&self, number: usize) -> Result<Vec<Var>> {
        let operand = self.operand(number)?;
        let ty = operand.ty()?;
        let (Some(count), 1) = (ty.dims.first().and_then(crate::tensor::Dim::known), ty.rank()) else {
            return type_error(format!("sizes are an integer vector of known length, not {ty}"));
        };
        if count > 0 {
            whole(operand)?;
        }
        if let Some(size) = constant(operand).and_then(|sizes| sizes.to_i64_vec().into_iter().find(|&size| size < 0)) {
            return type_error(format!("{size} is not a size: it is negative"));
        }
        let operand = operand.cast(DType::I64);
        Ok((0..count as i64).map(|at| operand.at(at)).collect())
    }
}

/// Adds a composed op for which the config decides nothing.
pub(super) fn add(
    registry: &mut Registry, name: &'static str, params: Vec<Param>, doc: &'static str,
    build: fn(&Arguments<'_>) -> Result<Vec<Var>>,
) {
    registry.add(Composed { name, params, doc, settle: Settle::Nothing, build });
}

impl Composed {
    /// The results for operands of which only types are known.
    fn of(&self, operands: &[Var], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let results = Location::unknown().stand_in(|| (self.build)(&Arguments { operands, attributes }))?;
        results.iter().map(|result| result.inferred().cloned()).collect()
    }
}

impl Op for Composed {
    described!();

    fn settle(&self, operands: &[&Type], attributes: &mut Attributes) -> Vec<Option<DType>> {
        let (count, to_float) = match self.settle {
            Settle::Draws(count) => {
                if attributes.dtype("dtype").is_ok_and(|given| given.is_none()) {
                    let dtype = super::random::float_of(operands.iter().skip(1).take(count).copied());
                    attributes.set("dtype", dtype);
                }
                return Vec::new();
            }
            Settle::Nothing => return Vec::new(),
            Settle::Promote(count) => (count, false),
            Settle::ToFloat(count) => (count, true),
        };
        settle_float(&operands[..count.min(operands.len())], to_float)
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let stand_in = |operand: &Operand<'_>| match operand.constant {
            Some(value) => {
                let constant = Constant { value: value.clone(), weak: operand.ty.weak };
                Var::constant_at(constant, Location::unknown())
            }
            None => Var::placeholder(Inferred { ty: operand.ty.clone(), sizes: operand.sizes.map(<[_]>::to_vec) }),
        };
        self.of(&operands.iter().map(stand_in).collect::<Vec<_>>(), attributes)
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let values = operands.iter().map(|operand| Some(Var::constant(operand.value?.clone())));
        let values = values.collect::<Option<Vec<Var>>>();
        let results = values.map_or(Ok(Vec::new()), |values| self.of(&values, attributes))?;
        let shapes: Option<Vec<Shape>> = results.iter().map(|result| result.ty.known_shape()).collect();
        shapes.filter(|shapes| !shapes.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("`{}` is replaced by what it is made of before anything runs", self.name))
        })
    }

    fn size_operands(&self, types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        (0..types.len()).collect()
    }

    fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        Some((self.build)(&Arguments { operands, attributes }))
    }

    fn has_decomposition(&self) -> bool {
        true
    }

    fn can_fail(&self) -> bool {
        true
    }
}

/// What an op with derivatives of its own has of the composed op `self.composed`: all but shapes and derivatives.
macro_rules! of_composed {
    () => {
        fn name(&self) -> &str {
            self.composed.name
        }

        fn params(&self) -> &[Param] {
            &self.composed.params
        }

        fn doc(&self) -> &str {
            self.composed.doc
        }

        fn settle(&self, operands: &[&Type], attributes: &mut Attributes) -> Vec<Option<DType>> {
            self.composed.settle(operands, attributes)
        }

        fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
            self.composed.infer(operands, attributes)
        }

        fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
            self.composed.decompose(operands, attributes)
        }

        fn has_decomposition(&self) -> bool {
            true
        }

        fn has_own_derivative(&self) -> bool {
            true
        }

        fn can_fail(&self) -> bool {
            true
        }
    };
}
pub(super) use of_composed;

/// An op that is given by others, with derivatives that take less than theirs.
pub(super) struct WithDerivative {
    pub(super) composed: Composed,
    pub(super) vjp: fn(&Vjp<'_>) -> Result<Vec<Option<Var>>>,
    pub(super) jvp: fn(&Jvp<'_>) -> Result<Vec<Option<Var>>>,
}

impl Op for WithDerivative {
    of_composed!();

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        self.composed.shapes(operands, attributes)
    }

    fn size_operands(&self, types: &[&Type], attributes: &Attributes) -> Vec<usize> {
        self.composed.size_operands(types, attributes)
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        (self.vjp)(context)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        (self.jvp)(context)
    }
}

/// The error of operands or attributes that do not fit.
pub(super) fn type_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

/// That an operand holds whole numbers.
pub(super) fn whole(x: &Var) -> Result<()> {
    match x.ty()? {
        ty if ty.dtype.is_integer() => Ok(()),
        ty => type_error(format!("expected whole numbers, found {ty}")),
    }
}

/// The value of a constant.
pub(super) fn constant(x: &Var) -> Option<&Tensor> {
    match x.node().kind() {
        NodeKind::Constant(constant) => Some(&constant.value),
        _ => None,
    }
}

/// The value of an integer scalar that is a constant.
pub(super) fn constant_int(x: &Var) -> Option<i64> {
    let value = constant(x).filter(|value| value.rank() == 0 && value.dtype().is_integer())?;
    value.to_i64_vec().first().copied()
}

/// The length of an axis, as an i64 scalar.
pub(crate) fn length(x: &Var, axis: usize) -> Var {
    match x.ty().ok().and_then(|ty| ty.dims.get(axis)?.known()) {
        Some(length) => Var::scalar(length as i64),
        None => x.shape().at(axis as i64),
    }
}

/// The lengths of all axes, one i64 scalar each.
pub(super) fn lengths(x: &Var) -> Result<Vec<Var>> {
    Ok((0..x.ty()?.rank()).map(|axis| length(x, axis)).collect())
}

/// Scalars as a vector of sizes.
pub(crate) fn vector(sizes: &[Var]) -> Var {
    match sizes.iter().map(constant_int).collect::<Option<Vec<i64>>>() {
        Some(sizes) => Var::constant(Tensor::vector(sizes)),
        None => super::shape::stack(sizes, 0),
    }
}

/// The whole numbers from 0 up to a scalar.
pub(super) fn positions(count: &Var) -> Var {
    Var::apply("arange", std::slice::from_ref(count), Attributes::new().with("dtype", DType::I64))
}

/// 0 in the dtype of a value.
pub(super) fn zero_of(x: &Var) -> Result<Var> {
    let ty = x.ty()?;
    let constant = Constant { value: Tensor::zeros(ty.dtype, &[]), weak: ty.weak };
    Ok(Var::constant_at(constant, Location::caller()))
}

/// An axis whole.
pub(super) fn whole_axis() -> IndexItem {
    IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 }
}

/// `x` with `after` new axes behind and `before` in front of its own.
pub(super) fn between_axes(x: &Var, before: usize, after: usize) -> Var {
    let new = |count| vec![IndexItem::NewAxis; count];
    match before + after {
        0 => x.clone(),
        _ => x.index([new(before), vec![IndexItem::Ellipsis], new(after)].concat(), &[]),
    }
}
