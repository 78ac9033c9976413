//! Convolutions and poolings as ops that a backend may compute as a whole. Each is given by other ops, which
//! any backend runs; its derivatives are ops of the same kind, so that they too are computed as a whole, any
//! number of times over.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::ops::composed::{Arguments, Composed, of_composed};
use crate::ops::{Attributes, Inferred, Jvp, Op, Operand, Param, ShapeOperand, Vjp};
use crate::tensor::{DType, Shape, Type};

/// An op given by others that has derivatives of its own.
pub(super) struct Sliding {
    pub(super) composed: Composed,
    /// The family's name with its number of axes, such as `conv2d`.
    pub(super) family: &'static str,
    pub(super) role: Role,
}

/// What an op of a family computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A convolution of x and w.
    Convolution,
    /// Of x, w and the cotangent g of their convolution: the cotangent of x, whose elements do not matter.
    InputGradient,
    /// The same of w.
    WeightGradient,
    /// A pooling of x.
    Pooling,
    /// Of x and the cotangent of its pooling: the cotangent of x.
    PoolingGradient,
    /// Of x and a tangent of it: the tangent of its pooling.
    PoolingTangent,
}

impl Sliding {
    /// Another op of the family.
    fn sibling(&self, role: Role, operands: &[&Var], attributes: &Attributes) -> Var {
        let suffix = match role {
            Role::Convolution | Role::Pooling => "",
            Role::InputGradient => "_input_gradient",
            Role::WeightGradient => "_weight_gradient",
            Role::PoolingGradient => "_gradient",
            Role::PoolingTangent if self.is_max() => "_tangent",
            // It is linear.
            Role::PoolingTangent => return Var::apply(self.family, &[operands[1].clone()], attributes.clone()),
        };
        let operands: Vec<Var> = operands.iter().map(|&operand| operand.clone()).collect();
        Var::apply(&format!("{}{suffix}", self.family), &operands, attributes.clone())
    }

    fn is_max(&self) -> bool {
        self.family.starts_with("max")
    }
}

/// A cotangent for an operand, if it can have one.
pub(super) fn cotangent(of: &Var, value: Var) -> Result<Option<Var>> {
    let dtype = of.ty()?.dtype;
    if !dtype.is_float() {
        return Ok(None);
    }
    Ok(Some(if value.ty()?.dtype == dtype { value } else { value.cast(dtype) }))
}

fn sum(terms: impl IntoIterator<Item = Option<Var>>) -> Vec<Option<Var>> {
    vec![terms.into_iter().flatten().reduce(|sum, term| sum + term)]
}

impl Op for Sliding {
    of_composed!();

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let stand_ins: Vec<Var> =
            operands.iter().map(|operand| Var::placeholder(Type::of_shape(DType::F32, operand.shape).into())).collect();
        let built = Location::unknown()
            .stand_in(|| (self.composed.build)(&Arguments { operands: &stand_ins, attributes }))
            .and_then(|results| results.iter().map(|result| Ok(result.ty()?.known_shape())).collect::<Result<Option<Vec<_>>>>());
        match built {
            Ok(shapes) => shapes.ok_or_else(|| Error::new(ErrorKind::Internal, "a shape is not known")),
            Err(error) => Err(Error::new(ErrorKind::Runtime, error.message())),
        }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let (operands, attributes) = (context.operands, context.attributes);
        let Some(g) = &context.cotangents[0] else { return Ok(vec![None; operands.len()]) };
        let sibling = |role, operands: &[&Var]| self.sibling(role, operands, attributes);
        Ok(match (self.role, operands) {
            (Role::Convolution, [x, w]) => vec![
                cotangent(x, sibling(Role::InputGradient, &[x, w, g]))?,
                cotangent(w, sibling(Role::WeightGradient, &[x, w, g]))?,
            ],
            (Role::InputGradient, [_, w, of_result]) => vec![
                None,
                cotangent(w, sibling(Role::WeightGradient, &[g, w, of_result]))?,
                cotangent(of_result, sibling(Role::Convolution, &[g, w]))?,
            ],
            (Role::WeightGradient, [x, _, of_result]) => vec![
                cotangent(x, sibling(Role::InputGradient, &[x, g, of_result]))?,
                None,
                cotangent(of_result, sibling(Role::Convolution, &[x, g]))?,
            ],
            (Role::Pooling, [x]) => vec![cotangent(x, sibling(Role::PoolingGradient, &[x, g]))?],
            (Role::PoolingGradient, [x, of_result]) => {
                vec![None, cotangent(of_result, sibling(Role::PoolingTangent, &[x, g]))?]
            }
            (Role::PoolingTangent, [x, tangent]) => {
                vec![None, cotangent(tangent, sibling(Role::PoolingGradient, &[x, g]))?]
            }
            _ => return Err(Error::new(ErrorKind::Internal, format!("`{}` has the wrong operands", self.name()))),
        })
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let (operands, attributes) = (context.operands, context.attributes);
        let sibling = |role, operands: &[&Var]| self.sibling(role, operands, attributes);
        let through = |tangent: usize, make: &dyn Fn(&Var) -> Var| context.tangents[tangent].as_ref().map(make);
        Ok(match (self.role, operands) {
            (Role::Convolution, [x, w]) => sum([
                through(0, &|t| sibling(Role::Convolution, &[t, w])),
                through(1, &|t| sibling(Role::Convolution, &[x, t])),
            ]),
            (Role::InputGradient, [x, w, g]) => sum([
                through(1, &|t| sibling(self.role, &[x, t, g])),
                through(2, &|t| sibling(self.role, &[x, w, t])),
            ]),
            (Role::WeightGradient, [x, w, g]) => sum([
                through(0, &|t| sibling(self.role, &[t, w, g])),
                through(2, &|t| sibling(self.role, &[x, w, t])),
            ]),
            (Role::Pooling, [x]) => sum([through(0, &|t| sibling(Role::PoolingTangent, &[x, t]))]),
            (Role::PoolingGradient | Role::PoolingTangent, [x, _]) => sum([through(1, &|t| sibling(self.role, &[x, t]))]),
            _ => return Err(Error::new(ErrorKind::Internal, format!("`{}` has the wrong operands", self.name()))),
        })
    }
}
