//! Values that are parts of others in another order: what reads them by strides reads the others, and nothing is copied.

use std::collections::HashMap;

use arignote_core::graph::{Graph, NodeView, ValueId};
use arignote_core::ops::Attributes;
use arignote_core::tensor::Shape;

use crate::kernels::{index, shape};

/// How many orders of one another are followed.
const DEPTH: usize = 16;

/// Where the elements of a value lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The value in whose memory they are.
    pub value: ValueId,
    /// The number of the first element there.
    pub offset: usize,
    /// Elements from one entry of each axis to the next.
    pub strides: Vec<usize>,
    /// The values between the two, which need not be computed for this.
    pub passed: Vec<ValueId>,
}

/// Where the elements of a value lie, if it is not computed by itself; `is_known` says which values have no memory.
pub fn source(graph: &Graph, shapes: &HashMap<ValueId, Shape>, value: ValueId, is_known: &dyn Fn(ValueId) -> bool) -> Option<Source> {
    let found = follow(graph, shapes, value, is_known, DEPTH);
    (found.value != value && !shapes[&value].contains(&0)).then_some(found)
}

/// Whether elements with these strides lie one after the other.
pub fn is_together(shape: &[usize], strides: &[usize]) -> bool {
    let natural = shape::natural(shape);
    shape.iter().zip(strides).zip(natural).all(|((&length, &stride), natural)| length == 1 || stride == natural)
}

fn follow(graph: &Graph, shapes: &HashMap<ValueId, Shape>, value: ValueId, is_known: &dyn Fn(ValueId) -> bool, depth: usize) -> Source {
    let natural = |value: ValueId| shape::natural(&shapes[&value]);
    let itself = || Source { value, offset: 0, strides: natural(value), passed: Vec::new() };
    let node = graph.node(value.node);
    let (Some((_, attributes)), Some(&operand)) = (node.apply(), node.operands.first()) else { return itself() };
    if depth == 0 || is_known(value) || node.results.len() != 1 || !matches!(node.op_name(), "transpose" | "expand_dims" | "squeeze" | "reshape" | "flatten" | "broadcast_to" | "index") {
        return itself();
    }
    let mut found = follow(graph, shapes, operand, is_known, depth - 1);
    match moved(&node, attributes, &shapes[&operand], &shapes[&value], &found) {
        Some((further, strides)) => {
            found.offset += further;
            found.strides = strides;
            found.passed.push(value);
            found
        }
        None => itself(),
    }
}

/// How much further the first element lies, and the strides.
fn moved(node: &NodeView<'_>, attributes: &Attributes, from: &[usize], to: &[usize], found: &Source) -> Option<(usize, Vec<usize>)> {
    let strides = &found.strides;
    Some(match node.op_name() {
        "transpose" => (0, shape::order(attributes, from.len()).ok()?.into_iter().map(|axis| strides[axis]).collect()),
        "broadcast_to" => {
            let extra = to.len().checked_sub(from.len())?;
            let own = |axis: usize| if from[axis] == to[extra + axis] { strides[axis] } else { 0 };
            (0, (0..to.len()).map(|axis| axis.checked_sub(extra).map_or(0, own)).collect())
        }
        "index" => {
            let (first, steps) = index::places(attributes.index("index").ok()?, from)?;
            let first: usize = first.iter().zip(strides).map(|(at, stride)| at * stride).sum();
            (first, steps.into_iter().map(|step| step.map_or(0, |(axis, step)| step * strides[axis])).collect())
        }
        // Where all lies together, the elements of any shape do; else axes of one entry come and go.
        _ if *strides == shape::natural(from) => (0, shape::natural(to)),
        _ => {
            let kept = from.iter().zip(strides).filter(|(length, _)| **length != 1).map(|(&length, &stride)| (length, stride));
            let mut kept = kept.peekable();
            let mut new = Vec::with_capacity(to.len());
            for &length in to {
                new.push(match kept.peek() {
                    _ if length == 1 => 0,
                    Some(&(own, stride)) if own == length => {
                        kept.next();
                        stride
                    }
                    _ => return None,
                });
            }
            kept.next().is_none().then_some((0, new))?
        }
    })
}
