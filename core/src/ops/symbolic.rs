//! Derivatives as ops: nodes that compilation replaces.

use super::{
    Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, Registry, ShapeOperand, default_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var, clone_with};
use crate::tensor::{Shape, Type};

struct Derivative {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = Param::operand;
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
    let outputs = Param::attribute("outputs", AttributeKind::Int, None, "how many values have a cotangent");
    let values = Param {
        name: "values", kind: ParamKind::Operands, doc: "values, as many cotangents, and what to differentiate in",
    };
    registry.add(Derivative {
        name: "pullback", params: vec![values, outputs, disconnected()],
        doc: "Cotangents of some values for known cotangents of others, `pullback(y, z, dy, dz, x, outputs=2)`. What \
              is known is all there is: nothing that flows into `y` from elsewhere is added to `dy`.",
    });
    registry.add(Derivative {
        name: "jvp",
        params: vec![operand("y", "a result"), operand("x", "a value"), operand("tangent", "like x"), disconnected()],
        doc: "The tangent of y for a tangent of x: the Jacobian times the tangent (forward mode).",
    });
}

/// What to do where a result does not depend on a value.
pub(super) fn disconnected() -> Param {
    let doc = "\"error\", or \"zero\" where the result does not depend on the value";
    Param::attribute("disconnected", AttributeKind::Str, Some(Attribute::Str("error".into())), doc)
}

/// Whether the attribute `disconnected` says something that there is.
pub(super) fn check_disconnected(attributes: &Attributes) -> Result<()> {
    match attributes.str("disconnected")? {
        "error" | "zero" => Ok(()),
        other => Err(Error::new(ErrorKind::Type, format!("`disconnected` is \"error\" or \"zero\", not {other:?}"))),
    }
}

impl Op for Derivative {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
        check_disconnected(attributes)?;
        if self.name == "pullback" {
            return pullback_types(operands, attributes);
        }
        let floats = if self.name == "grad" { 1 } else { 2 };
        if let Some(operand) = operands.iter().take(floats).find(|operand| !operand.ty.dtype.is_float()) {
            return fail(format!("derivatives are of and in floats, not {}", operand.ty));
        }
        if self.name == "grad" {
            if operands[0].ty.rank() != 0 {
                return fail(format!("the cost must be a scalar, not {}; `sum` or `mean` makes one", operands[0].ty));
            }
            return operands[1..].iter().map(|operand| gradient_type(operand.ty, attributes)).collect();
        }
        let (like, given) = if self.name == "vjp" { (0, 1) } else { (1, 0) };
        if !fits(operands[2].ty, operands[like].ty) {
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

/// The type of the gradient in a value. Nothing depends differentiably on integers: their gradient is an error, or zeros.
fn gradient_type(target: &Type, attributes: &Attributes) -> Result<Inferred> {
    if target.dtype.is_float() {
        return Ok(target.clone().into());
    }
    if attributes.str("disconnected")? == "zero" {
        return Ok(target.with_dtype(default_float()).into());
    }
    let error = Error::new(ErrorKind::Type, format!("gradients are in floats, not {target}"));
    Err(error.note("`disconnected=\"zero\"` takes the gradient in integers and bools as zero"))
}

/// Whether a derivative may be one of a value: as many axes, and no length that is known to be another one.
fn fits(derivative: &Type, value: &Type) -> bool {
    derivative.rank() == value.rank() && derivative.dims.iter().zip(&value.dims).all(|(a, b)| a.compatible(b))
}

/// How many of the operands of a `pullback` are values with cotangents.
///
/// # Errors
/// If the operands are not so many values, as many cotangents, and at least one more.
pub(crate) fn pullback_outputs(operands: usize, attributes: &Attributes) -> Result<usize> {
    let outputs = attributes.int("outputs")?;
    let fits = |&outputs: &usize| outputs > 0 && operands > 2 * outputs;
    usize::try_from(outputs).ok().filter(fits).ok_or_else(|| {
        let message = format!("{operands} operands are not {outputs} values, as many cotangents, and what to differentiate in");
        Error::new(ErrorKind::Type, message)
    })
}

fn pullback_types(operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
    let outputs = pullback_outputs(operands.len(), attributes)?;
    let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
    if let Some(operand) = operands[..2 * outputs].iter().find(|operand| !operand.ty.dtype.is_float()) {
        return fail(format!("derivatives are of and in floats, not {}", operand.ty));
    }
    for (value, cotangent) in operands.iter().zip(&operands[outputs..]).take(outputs) {
        if !fits(cotangent.ty, value.ty) {
            return fail(format!("a cotangent is {}, it must be like {}", cotangent.ty, value.ty));
        }
    }
    operands[2 * outputs..].iter().map(|operand| gradient_type(operand.ty, attributes)).collect()
}

/// Gradients with more said about them than [`grad`] takes.
///
/// ```
/// use arignote_core::graph::Var;
/// use arignote_core::ops::Gradient;
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::scalar(DType::F64));
/// let h = x.exp();
/// let cost = &h * &x;
/// // The derivative of `c * x` where `c` is what `exp(x)` happens to be.
/// let held = Gradient::of(&cost).hold(&h).wrt(&[&x]);
/// // What flows back from a cotangent of `h`.
/// let back = Gradient::from(&h, &Var::weak(2.0)).wrt(&[&x]);
/// assert!(held[0].ty().is_ok() && back[0].ty().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Gradient {
    pub(crate) known: Vec<(Var, Var)>,
    held: Vec<Var>,
    zero: bool,
}

impl Gradient {
    /// Of a scalar, the cost.
    #[track_caller]
    pub fn of(cost: &Var) -> Gradient {
        let one = match cost.ty() {
            Ok(ty) if ty.rank() != 0 => {
                let message = format!("the cost must be a scalar, not {ty}; `sum` or `mean` makes one");
                Var::error(Error::new(ErrorKind::Type, message).at(&Location::caller()), Location::caller())
            }
            _ => cost.ones_like(),
        };
        Gradient::from(cost, &one)
    }

    /// Without a cost: what flows back from a value with a cotangent of its shape.
    pub fn from(value: &Var, cotangent: &Var) -> Gradient {
        Gradient { known: vec![(value.clone(), cotangent.clone())], held: Vec::new(), zero: false }
    }

    /// Says what the cotangent of a value is. Nothing that would flow into the value is added to it.
    pub fn known(mut self, value: &Var, cotangent: &Var) -> Gradient {
        self.known.push((value.clone(), cotangent.clone()));
        self
    }

    /// Takes a value as a constant: nothing flows back through it.
    pub fn hold(mut self, value: &Var) -> Gradient {
        self.held.push(value.clone());
        self
    }

    /// Gives zeros for values on which nothing depends, such as integers, whose gradients are in the config's float; without
    /// this they are an error when compiling.
    pub fn zero_if_disconnected(mut self) -> Gradient {
        self.zero = true;
        self
    }

    /// The values with cotangents, and then the targets, where what is held is a constant.
    pub(crate) fn roots(&self, targets: &[&Var]) -> Result<Vec<Var>> {
        let held: Vec<(Var, Var)> = self.held.iter().map(|value| (value.clone(), value.stop_gradient())).collect();
        let values = self.known.iter().map(|(value, _)| value);
        let roots: Vec<Var> = values.chain(targets.iter().copied()).cloned().collect();
        clone_with(&roots, &held)
    }

    /// The gradients in these values, in order, each of its value's type.
    #[track_caller]
    pub fn wrt(&self, targets: &[&Var]) -> Vec<Var> {
        let location = Location::caller();
        let (outputs, cotangents) = (self.known.len(), self.known.iter().map(|(_, cotangent)| cotangent));
        let roots = match self.roots(targets) {
            Ok(roots) => roots,
            Err(error) => return vec![Var::error(error, location); targets.len()],
        };
        let operands: Vec<Var> =
            roots[..outputs].iter().chain(cotangents).chain(&roots[outputs..]).cloned().collect();
        let disconnected = if self.zero { "zero" } else { "error" };
        let attributes = Attributes::new().with("outputs", outputs as i64).with("disconnected", disconnected);
        let gradients = Var::apply_at("pullback", &operands, attributes, location);
        (0..targets.len()).map(|output| gradients.sibling(output)).collect()
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

/// The Hessian of a scalar in `x`, times `vector`, which is like `x`: forward mode over reverse mode, so
/// that the Hessian is never there (Pearlmutter 1994).
#[track_caller]
pub fn hessian_vector_product(cost: &Var, x: &Var, vector: &Var) -> Var {
    let gradient = Var::apply("grad", &[cost.clone(), x.clone()], Attributes::new());
    Var::apply("jvp", &[gradient, x.clone(), vector.clone()], Attributes::new().with("disconnected", "zero"))
}

/// The tangent of `y` for a tangent of `x`.
#[track_caller]
pub fn jvp(y: &Var, x: &Var, tangent: &Var) -> Var {
    Var::apply("jvp", &[y.clone(), x.clone(), tangent.clone()], Attributes::new())
}
