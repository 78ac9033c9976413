//! What hooks see: one application with the values of its operands and results.

use std::fmt;

use crate::error::{Error, Result};
use crate::graph::Location;
use crate::ops::Attributes;
use crate::plugin::Program;
use crate::tensor::{Tensor, broadcast_shapes};

/// Someone who looks at every application of a call, in loops and branches too: the device computes one
/// application after the other, and an error stops the call, after which all states have their old values. So
/// a hook is also a breakpoint. A closure is called after each application.
///
/// ```
/// # use arignote_core::runtime::{FunctionBuilder, NodeEvent};
/// let function = FunctionBuilder::new("f").watch(|event: &NodeEvent<'_>| {
///     println!("{event}");
///     Ok(())
/// });
/// ```
pub trait Watch: Send + Sync {
    /// Called before the device computes an application; the event has no results yet.
    ///
    /// # Errors
    /// To stop the call.
    fn before(&self, event: &NodeEvent<'_>) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// Called after the device computed an application.
    ///
    /// # Errors
    /// To stop the call.
    fn after(&self, event: &NodeEvent<'_>) -> Result<()>;
}

impl<F: Fn(&NodeEvent<'_>) -> Result<()> + Send + Sync> Watch for F {
    fn after(&self, event: &NodeEvent<'_>) -> Result<()> {
        self(event)
    }
}

/// One application of a call. `Display` prints its line, op, results and what it stands inside.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct NodeEvent<'a> {
    /// Its number in the compiled graph, or in the body that it stands in, in the order of computing.
    pub number: usize,
    /// The op's name.
    pub op: &'a str,
    /// Its attributes.
    pub attributes: &'a Attributes,
    /// The line of the user's code.
    pub location: &'a Location,
    /// The device that computes it.
    pub device: &'a str,
    /// The values of its operands.
    pub operands: &'a [Tensor],
    /// The values of its results.
    pub results: &'a [Tensor],
    /// The loops and branches around it, outermost first.
    pub path: &'a [Inside],
    /// How long the device took, with the transfer of values to it and back; 0 before.
    pub seconds: f64,
}

/// A body that an application stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Inside {
    /// The op that holds the body: `scan`, `if`, `recompute`.
    pub op: &'static str,
    /// Which body, or which round of it.
    pub part: Part,
    /// The line of the op.
    pub location: Location,
}

/// Which body of an op, or which round of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A step of a loop, from 0.
    Step(usize),
    /// The branch of an `if` whose condition holds.
    Then,
    /// The other branch.
    Otherwise,
    /// The one body.
    Body,
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Step(step) => write!(f, "in step {step} of the loop")?,
            Part::Then => f.write_str("in the first branch of the `if`")?,
            Part::Otherwise => f.write_str("in the second branch of the `if`")?,
            Part::Body => write!(f, "in the body of `{}`", self.op)?,
        }
        if self.location.is_known() { write!(f, " at {}", self.location) } else { Ok(()) }
    }
}

impl fmt::Display for NodeEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.location.is_known() {
            write!(f, "{}: ", self.location)?;
        }
        write!(f, "`{}` on {}", self.op, self.device)?;
        for result in self.results {
            write!(f, " = {}", glimpse(result))?;
        }
        for inside in self.path.iter().rev() {
            write!(f, ", {inside}")?;
        }
        Ok(())
    }
}

impl NodeEvent<'_> {
    /// An error about this application, which names its line and what it stands inside.
    pub(crate) fn error(&self, error: Error) -> Error {
        located(error, self.location, self.path)
    }

    /// The error with the values of the operands and, if `at` is the place of an element of a result, with the
    /// elements of those operands that meet there.
    pub(crate) fn with_operands(&self, error: Error, at: Option<&[usize]>) -> Error {
        let shape = self.results.first().map_or(&[][..], Tensor::shape);
        self.operands.iter().enumerate().fold(error, |error, (number, operand)| {
            let mut line = format!("operand {number}: {}", glimpse(operand));
            let fits = broadcast_shapes(operand.shape(), shape).is_ok_and(|both| both.as_slice() == shape);
            if let (Some(at), true) = (at, fits && operand.len() > 1) {
                let lead = shape.len() - operand.rank();
                let flat = operand.shape().iter().zip(&at[lead..]).fold(0, |flat, (&length, &at)| {
                    flat * length + if length == 1 { 0 } else { at }
                });
                line += &format!("; there it is {}", operand.to_f64_vec()[flat]);
            }
            error.note(line)
        })
    }
}

/// The error at a line and inside bodies.
pub(super) fn located(error: Error, location: &Location, path: &[Inside]) -> Error {
    // A line of a device's program says nothing to the user.
    let foreign = error.location().is_some_and(|place| &*place.file == Program::SOURCE);
    let error = if foreign { error.moved_to(location) } else { error.at(location) };
    path.iter().rev().fold(error, |error, inside| error.note(inside.to_string()))
}

/// Type, shape and some elements.
pub(crate) fn glimpse(tensor: &Tensor) -> String {
    const LONGEST: usize = 160;
    let mut text = tensor.to_string();
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST).chain("...".chars()).collect();
    }
    let shape: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
    format!("{}[{}] {text}", tensor.dtype(), shape.join(", "))
}
