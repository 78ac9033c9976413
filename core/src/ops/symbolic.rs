//! Derivatives as ops: nodes that compilation replaces.

use super::{
    Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, Registry, ShapeOperand,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::tensor::Shape;

struct Derivative {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let disconnected = || {
        let doc = "\"error\", or \"zero\" where the result does not depend on the value";
        Param::attribute("disconnected", AttributeKind::Str, Some(Attribute::Str("error".into())), doc)
    };
    let wrt = Param { name: "wrt", kind: ParamKind::Operands, doc: "what to differentiate in" };
    registry.add(Derivative {
        name: "grad", params: vec![operand("cost", "a float scalar"), wrt, disconnected()],
        doc: "The gradients of a scalar in one or several values.",
    });
    registry.add(Derivative {
        name: "vjp",
        params: vec![operand("y", "a result"), operand("x", "a value"), operand("cotangent", "like y"), disconnected()],
        doc: "The cotangent of x for a cotangent of y: the cotangent times the Jacobian (reverse mode).",
    });
    registry.add(Derivative {
        name: "jvp",
        params: vec![operand("y", "a result"), operand("x", "a value"), operand("tangent", "like x"), disconnected()],
        doc: "The tangent of y for a tangent of x: the Jacobian times the tangent (forward mode).",
    });
}

impl Op for Derivative {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
        if !matches!(attributes.str("disconnected")?, "error" | "zero") {
            return fail("`disconnected` is \"error\" or \"zero\"".to_owned());
        }
        if let Some(operand) = operands.iter().take(2).find(|operand| !operand.ty.dtype.is_float()) {
            return fail(format!("derivatives are of and in floats, not {}", operand.ty));
        }
        if self.name == "grad" {
            if operands[0].ty.rank() != 0 {
                return fail(format!("the cost must be a scalar, not {}; `sum` or `mean` makes one", operands[0].ty));
            }
            if let Some(operand) = operands[1..].iter().find(|operand| !operand.ty.dtype.is_float()) {
                return fail(format!("gradients are in floats, not {}", operand.ty));
            }
            return Ok(operands[1..].iter().map(|operand| operand.ty.clone().into()).collect());
        }
        let (like, given) = if self.name == "vjp" { (0, 1) } else { (1, 0) };
        if operands[2].ty.rank() != operands[like].ty.rank() {
            let what = if self.name == "vjp" { "cotangent" } else { "tangent" };
            return fail(format!("the {what} is {}, it must be like {}", operands[2].ty, operands[like].ty));
        }
        Ok(vec![operands[given].ty.clone().into()])
    }

    fn shapes(&self, _operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        Err(Error::new(ErrorKind::Internal, format!("`{}` is replaced before anything runs", self.name)))
    }

    fn is_symbolic(&self) -> bool {
        true
    }
}

/// The gradients of a scalar in some values.
#[track_caller]
pub fn grad(cost: &Var, wrt: &[&Var]) -> Vec<Var> {
    let operands: Vec<Var> = std::iter::once(cost).chain(wrt.iter().copied()).cloned().collect();
    let gradients = Var::apply_at("grad", &operands, Attributes::new(), Location::caller());
    (0..wrt.len()).map(|output| gradients.sibling(output)).collect()
}

/// The cotangent of `x` for a cotangent of `y`.
#[track_caller]
pub fn vjp(y: &Var, x: &Var, cotangent: &Var) -> Var {
    Var::apply("vjp", &[y.clone(), x.clone(), cotangent.clone()], Attributes::new())
}

/// The tangent of `y` for a tangent of `x`.
#[track_caller]
pub fn jvp(y: &Var, x: &Var, tangent: &Var) -> Var {
    Var::apply("jvp", &[y.clone(), x.clone(), tangent.clone()], Attributes::new())
}
