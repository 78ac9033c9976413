//! Ops with the results of a body, of which only derivatives differ: `checkpoint` and what its derivative
//! is, `recompute`, and `custom_vjp`.

use std::sync::Arc;

use super::builders::apply;
use super::{fits, internal};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Location, Var, shapes_of};
use crate::ops::{
    AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, Registry, ShapeOperand,
};
use crate::tensor::{Shape, Type};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Checkpoint,
    Recompute,
    Custom,
}

struct Inside {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    let rest = |doc| Param { name: "operands", kind: ParamKind::Operands, doc };
    let body = |name, doc| Param::attribute(name, AttributeKind::Body, None, doc);
    registry.add(Inside {
        kind: Kind::Checkpoint, name: "checkpoint",
        params: vec![rest("the captured values"), body("body", "what is computed")],
        doc: "What is computed inside. Reverse mode does not keep it, but computes it again when it comes to it.\n\n    \
              h = checkpoint(tanh(x @ w))",
    });
    registry.add(Inside {
        kind: Kind::Recompute, name: "recompute",
        params: vec![rest("the captured values"), body("body", "what is computed")],
        doc: "What is computed inside, from what is outside and nothing else: nothing in it is merged with equal \
              values outside. The derivative of a `checkpoint` is one.\n\n    y = recompute { exp(x) }",
    });
    registry.add(Inside {
        kind: Kind::Custom, name: "custom_vjp",
        params: vec![
            rest("the inputs, what the first body captures, what the second one does"),
            Param::attribute("inputs", AttributeKind::Int, None, "how many inputs there are"),
            body("body", "what is computed from the inputs"),
            body("vjp", "the cotangents of the inputs that are floats, from inputs, results and their cotangents"),
        ],
        doc: "What is computed in the first braces from the inputs, and, in the second ones, the cotangents of the \
              inputs from the results and theirs.\n\n    y = custom_vjp (a = x) { log(1 + exp(a)) } vjp (y, dy) { dy * \
              sigmoid(a) }",
    });
}

impl Op for Inside {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let body = attributes.body("body")?;
        let read = if self.kind == Kind::Custom { CustomLayout::of(attributes)?.forward() } else { operands.len() };
        if body.inputs().len() != read || operands.len() < read {
            return Err(internal(format!("{} operands for {} inputs", operands.len(), body.inputs().len())));
        }
        for (operand, input) in operands.iter().zip(body.inputs()) {
            if !fits(operand.ty, input.ty()?) {
                let message = format!("what is inside reads {}, but the value is {}", input.ty()?, operand.ty);
                return Err(Error::new(ErrorKind::Type, message));
            }
        }
        if self.kind == Kind::Custom {
            CustomLayout::of(attributes)?.check(operands)?;
        }
        if body.outputs().is_empty() {
            return Err(Error::new(ErrorKind::Type, "what is inside has a result"));
        }
        body.outputs().iter().map(|output| output.ty().map(|ty| ty.clone().into())).collect()
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let body = attributes.body("body")?;
        let pairs = body.inputs().iter().cloned().zip(operands.iter().map(|operand| operand.shape));
        shapes_of(body.outputs(), &pairs.collect::<Vec<_>>())?
            .into_iter()
            .map(|shape| shape.ok_or_else(|| Error::new(ErrorKind::Unsupported, "the shapes depend on values")))
            .collect()
    }

    fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        let inline = || {
            let body = attributes.body("body")?;
            body.inline(operands.get(..body.inputs().len()).unwrap_or(operands))
        };
        self.has_decomposition().then(inline)
    }

    fn has_decomposition(&self) -> bool {
        self.kind != Kind::Recompute
    }

    fn can_fail(&self) -> bool {
        true
    }
}

/// How the operands of a `custom_vjp` are to be read: the inputs, what the first body captures besides
/// these, and what the second one does. Its inputs are the inputs, the results, their cotangents, and what it
/// captures.
#[derive(Clone, Debug)]
pub struct CustomLayout {
    /// How many inputs there are.
    pub inputs: usize,
    /// What is computed.
    pub body: Arc<Body>,
    /// The derivative.
    pub vjp: Arc<Body>,
}

impl CustomLayout {
    /// The layout that the attributes of a `custom_vjp` state.
    ///
    /// # Errors
    /// If they are not those of a `custom_vjp`, or the bodies do not go together.
    pub fn of(attributes: &Attributes) -> Result<CustomLayout> {
        let inputs = usize::try_from(attributes.int("inputs")?).map_err(|_| internal("`inputs` is negative"))?;
        let (body, vjp) = (attributes.body("body")?.clone(), attributes.body("vjp")?.clone());
        let layout = CustomLayout { inputs, body, vjp };
        let results = layout.body.outputs().len();
        if layout.body.inputs().len() < inputs || layout.vjp.inputs().len() < inputs + 2 * results {
            return Err(internal("the bodies of a `custom_vjp` have too few inputs"));
        }
        Ok(layout)
    }

    /// How many operands the first body reads.
    pub fn forward(&self) -> usize {
        self.body.inputs().len()
    }

    /// The operands that the second body captures.
    pub fn captured_by_vjp<'a>(&self, operands: &'a [Var]) -> &'a [Var] {
        operands.get(self.forward()..).unwrap_or_default()
    }

    /// Which inputs have a cotangent.
    pub fn differentiable(&self) -> Vec<usize> {
        let is_float = |at: &usize| self.body.inputs()[*at].ty().is_ok_and(|ty| ty.dtype.is_float());
        (0..self.inputs).filter(is_float).collect()
    }

    fn check(&self, operands: &[Operand<'_>]) -> Result<()> {
        let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
        let results = self.body.outputs().len();
        if operands.len() + 2 * results != self.forward() + self.vjp.inputs().len() - self.inputs {
            return Err(internal("the operands of a `custom_vjp` are not those of its bodies"));
        }
        for output in self.body.outputs() {
            let ty = output.ty()?;
            if !ty.dtype.is_float() {
                return fail(format!("results that have a derivative of their own are floats, not {ty}"));
            }
        }
        let wanted = self.differentiable();
        if wanted.is_empty() {
            return fail("values with a derivative of their own have an input that is a float".to_owned());
        }
        if self.vjp.outputs().len() != wanted.len() {
            let found = self.vjp.outputs().len();
            return fail(format!("the derivative gives {found} cotangents for {} inputs that are floats", wanted.len()));
        }
        for (&at, cotangent) in wanted.iter().zip(self.vjp.outputs()) {
            let (input, found) = (self.body.inputs()[at].ty()?, cotangent.ty()?);
            let adopts = found.dtype == input.dtype || found.weak;
            if !adopts || !fits(&found.with_dtype(input.dtype), input) {
                return fail(format!("the cotangent of the input {at}, which is {input}, has the type {found}"));
            }
        }
        Ok(())
    }
}

/// The results of what was built from node `since` on, as a `checkpoint`.
///
/// # Errors
/// If something is ill-typed.
pub(crate) fn build_checkpoint(op: &str, outputs: &[Var], since: u64, location: &Location) -> Result<Vec<Var>> {
    for output in outputs {
        output.ty()?;
    }
    let (body, captured) = Body::close(&[], outputs, since)?;
    apply(op, &captured, Attributes::new().with("body", body), location)
}

/// The values that a closure states, of which reverse mode keeps nothing that is inside: it computes them
/// again from what the closure reads, for the time of one more way forwards. The derivatives are the same.
///
/// ```
/// use arignote_core::graph::Var;
/// use arignote_core::ops::control::checkpoint;
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
/// let y = checkpoint(|| vec![(x.exp() + 1.0).log().tanh()]);
/// assert_eq!(y[0].ty().unwrap().to_string(), "f64[n]");
/// ```
#[track_caller]
pub fn checkpoint(inside: impl FnOnce() -> Vec<Var>) -> Vec<Var> {
    let location = Location::caller();
    let since = Var::next_id();
    let outputs = inside();
    let count = outputs.len().max(1);
    build_checkpoint("checkpoint", &outputs, since, &location)
        .unwrap_or_else(|error| vec![Var::error(error.at(&location), location.clone()); count])
}

/// The parts of a `custom_vjp`: `params` stand for the inputs in both bodies.
pub(crate) struct CustomParts {
    pub inputs: Vec<Var>,
    pub params: Vec<Var>,
    pub outputs: Vec<Var>,
    /// What stands in the second body for the results, and then for their cotangents.
    pub given: Vec<Var>,
    pub cotangents: Vec<Var>,
    pub since: u64,
}

/// # Errors
/// If something is ill-typed, or the bodies do not go together.
pub(crate) fn build_custom(parts: CustomParts, location: &Location) -> Result<Vec<Var>> {
    for value in parts.outputs.iter().chain(&parts.cotangents) {
        value.ty()?;
    }
    let (body, captured) = Body::close(&parts.params, &parts.outputs, parts.since)?;
    let params: Vec<Var> = parts.params.iter().chain(&parts.given).cloned().collect();
    let (vjp, more) = Body::close(&params, &parts.cotangents, parts.since)?;
    let attributes =
        Attributes::new().with("inputs", parts.inputs.len() as i64).with("body", body).with("vjp", vjp);
    let operands: Vec<Var> = parts.inputs.into_iter().chain(captured).chain(more).collect();
    apply("custom_vjp", &operands, attributes, location)
}

/// A parameter of the type of a value.
pub(crate) fn param(name: &str, of: &Var, location: &Location) -> Result<Var> {
    Ok(Var::input_at(name, of.ty()?.clone(), location.clone()))
}

/// Values with a derivative of their own in reverse mode. `forward` states the results from the inputs;
/// `backward` gets the inputs, the results and the cotangents of the results, and states the cotangents of
/// the inputs that are floats, in order. Both may read what is outside; but a result that depends on a value
/// other than through the inputs has no derivative in it, which is an error where it is asked for. So is
/// forward mode.
///
/// ```
/// use arignote_core::graph::Var;
/// use arignote_core::ops::control::custom_vjp;
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
/// // Rounded, with the derivative of the identity.
/// let y = custom_vjp(&[&x], |x| vec![x[0].round()], |_, _, dy| vec![dy[0].clone()]);
/// assert_eq!(y[0].ty().unwrap().to_string(), "f64[n]");
/// ```
#[track_caller]
pub fn custom_vjp(
    inputs: &[&Var], forward: impl FnOnce(&[Var]) -> Vec<Var>,
    backward: impl FnOnce(&[Var], &[Var], &[Var]) -> Vec<Var>,
) -> Vec<Var> {
    let location = Location::caller();
    let mut count = 1;
    let build = |count: &mut usize| {
        let since = Var::next_id();
        let params = inputs.iter().map(|input| param("x", input, &location)).collect::<Result<Vec<_>>>()?;
        let outputs = forward(&params);
        *count = outputs.len().max(1);
        let mut given = Vec::new();
        for name in ["y", "dy"] {
            for output in &outputs {
                let ty = output.ty()?;
                given.push(Var::input_at(name, Type::new(ty.dtype, ty.dims.clone()), location.clone()));
            }
        }
        let (results, slopes) = given.split_at(outputs.len());
        let cotangents = backward(&params, results, slopes);
        let inputs = inputs.iter().map(|&input| input.clone()).collect();
        build_custom(CustomParts { inputs, params, outputs, given, cotangents, since }, &location)
    };
    build(&mut count).unwrap_or_else(|error| vec![Var::error(error.at(&location), location.clone()); count])
}
