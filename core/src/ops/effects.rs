//! Ops that do something besides giving their value: `assert` and `print`; and `after`, which keeps them in
//! order.
//!
//! All have the value of their first operand, and derivatives pass through. Effects run once in a call,
//! in the order in which they are built; they are neither merged nor run while compiling, nor do the
//! derivatives of a loop or branch run those in it again. One that nothing in the function depends on is
//! not part of it.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashSet;

use super::{Attribute, AttributeKind, Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{NodeKind, Var, topological_order};
use crate::tensor::{DType, Shape};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Assert,
    Print,
    After,
}

struct Effect {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let x = || Param::operand("x", "any value");
    let message = |default, doc| Param::attribute("message", AttributeKind::Str, default, doc);
    registry.add(Effect {
        kind: Kind::Assert, name: "assert",
        params: vec![x(), Param::operand("condition", "bools, of any shape"), message(None, "what the error says")],
        doc: "x, if all elements of the condition are true. Else the call fails with the message, where the condition \
              is false and what x is there.\n\n    assert(x, x > 0, \"x must be positive\")",
    });
    registry.add(Effect {
        kind: Kind::Print, name: "print",
        params: vec![x(), message(Some(Attribute::Str("".into())), "what stands before the value")],
        doc: "x, which is also written, behind the message, whenever it is computed: to standard error unless \
              `set_print_writer` of the Rust API says where.\n\n    print(x, \"x\")",
    });
    registry.add(Effect {
        kind: Kind::After, name: "after",
        params: vec![x(), Param::operand("previous", "what is computed first")],
        doc: "x, not computed before `previous` is. Compilation puts it between effects, so that they keep their order.",
    });
}

impl Op for Effect {
    described!();

    fn infer(&self, operands: &[Operand<'_>], _attributes: &Attributes) -> Result<Vec<Inferred>> {
        if self.kind == Kind::Assert && operands[1].ty.dtype != DType::Bool {
            let message = format!("a condition is bool, not {}", operands[1].ty);
            return Err(Error::new(ErrorKind::Type, message));
        }
        let (ty, sizes) = (operands[0].ty.clone(), operands[0].sizes.map(<[_]>::to_vec));
        Ok(vec![Inferred { ty, sizes }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        Ok(vec![operands[0].shape.into()])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let mut found = vec![None; context.operands.len()];
        found[0] = context.cotangents[0].clone();
        Ok(found)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![context.tangents[0].clone()])
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        // What writes or fails does so row by row; the order of all rows is that of each.
        Ok(match self.kind {
            Kind::After => {
                let operands = [context.spread(0), context.operands[1].clone()];
                Batched::Rows(vec![Var::apply(self.name, &operands, context.attributes.clone())])
            }
            Kind::Assert | Kind::Print => Batched::Default,
        })
    }

    fn can_fail(&self) -> bool {
        self.kind == Kind::Assert
    }

    fn has_effect(&self) -> bool {
        self.kind != Kind::After
    }
}

/// Whether an application has an effect, of its own or in a body.
pub fn is_effectful(op: &dyn Op, attributes: &Attributes) -> bool {
    let in_body = |outputs: &[Var]| {
        topological_order(outputs).iter().any(|var| match var.node().kind() {
            NodeKind::Apply(op, attributes) => is_effectful(&**op, attributes),
            _ => false,
        })
    };
    op.has_effect() || attributes.bodies().any(|(_, body)| in_body(body.outputs()))
}

/// The effects among what is built from node `since` on (a number of [`Var::next_id`]), in the order in
/// which they were built. Who builds values again begins with these, so that they stay in order.
pub(crate) fn effects_of<'a>(outputs: impl IntoIterator<Item = &'a Var>, since: u64) -> Vec<Var> {
    let mut seen: FxHashSet<u64> = FxHashSet::default();
    let mut found = Vec::new();
    let mut stack: Vec<&Var> = outputs.into_iter().collect();
    while let Some(var) = stack.pop() {
        let NodeKind::Apply(op, attributes) = var.node().kind() else { continue };
        if var.node().id() < since || !seen.insert(var.node().id()) {
            continue;
        }
        if is_effectful(&**op, attributes) {
            found.push(var.clone());
        }
        stack.extend(var.node().operands());
    }
    found.sort_by_key(|var| var.node().id());
    found
}

/// Where `print` writes; nothing stands for standard error.
static WRITER: Mutex<Option<Box<dyn Write + Send>>> = Mutex::new(None);

/// Says where `print` writes from now on, in all sessions of the process: to a writer, or again to standard
/// error. Gives the writer so far. A backend that was loaded as a library writes to standard error.
pub fn set_print_writer(writer: Option<Box<dyn Write + Send>>) -> Option<Box<dyn Write + Send>> {
    std::mem::replace(&mut WRITER.lock().unwrap_or_else(PoisonError::into_inner), writer)
}

/// Writes a line of `print`: for kernels.
///
/// # Errors
/// If the writer fails.
pub fn print_line(line: &str) -> Result<()> {
    let written = match &mut *WRITER.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(writer) => writeln!(writer, "{line}").and_then(|()| writer.flush()),
        None => writeln!(std::io::stderr(), "{line}"),
    };
    written.map_err(|error| Error::new(ErrorKind::Runtime, format!("`print` could not write: {error}")))
}

impl Var {
    /// This value, if all elements of the condition are true; else the call fails with the message.
    #[track_caller]
    pub fn assert(&self, condition: &Var, message: &str) -> Var {
        Var::apply("assert", &[self.clone(), condition.clone()], Attributes::new().with("message", message))
    }

    /// This value, which is written behind the message whenever it is computed.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, ["n".into()]));
    /// assert_eq!(x.print("x").exp().ty().unwrap().to_string(), "f32[n]");
    /// ```
    #[track_caller]
    pub fn print(&self, message: &str) -> Var {
        Var::apply("print", std::slice::from_ref(self), Attributes::new().with("message", message))
    }
}
