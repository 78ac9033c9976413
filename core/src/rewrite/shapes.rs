//! Whether two values of a graph have the same shape in every call.

use std::collections::BTreeSet;

use crate::graph::{Graph, NodeId, ValueId};
use crate::tensor::Dim;

/// How many nodes a question may look at.
const BUDGET: usize = 64;

/// What a dim is made of: the lengths that are broadcast to give it. 1 is the empty set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    Known(usize),
    Named(String),
    Opaque(NodeId, u32, usize),
}

/// Whether both values have certainly the same shape in every call.
pub fn same_shape(graph: &Graph, left: ValueId, right: ValueId) -> bool {
    let (a, b) = (graph.ty(left), graph.ty(right));
    left == right
        || a.rank() == b.rank()
            && (0..a.rank()).all(|axis| {
                a.dims[axis].same(&b.dims[axis]) || {
                    let mut budget = BUDGET;
                    let left = atoms(graph, left, axis, &mut budget);
                    left == atoms(graph, right, axis, &mut budget)
                }
            })
}

/// Where the length of an axis comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Length {
    /// It is known.
    Known(usize),
    /// Of this axis of another value.
    Of(ValueId, usize),
}

/// Where the length of an axis of a value comes from, as far up as it can be followed; `None` where it is that of
/// one of several.
pub fn origin(graph: &Graph, value: ValueId, axis: usize) -> Option<Length> {
    let mut budget = BUDGET;
    let atoms = atoms(graph, value, axis, &mut budget);
    let mut atoms = atoms.into_iter();
    match (atoms.next(), atoms.next()) {
        (None, _) => Some(Length::Known(1)),
        (Some(Atom::Known(length)), None) => Some(Length::Known(length)),
        (Some(Atom::Opaque(node, output, axis)), None) => Some(Length::Of(node.output(output as usize), axis)),
        (Some(Atom::Named(name)), None) => graph.inputs().iter().find_map(|input| {
            let is = |dim: &Dim| matches!(dim, Dim::Named(own) if **own == *name);
            let axis = graph.ty(input.output(0)).dims.iter().position(is)?;
            Some(Length::Of(input.output(0), axis))
        }),
        _ => None,
    }
}

const REDUCTIONS: &[&str] = &["sum", "prod", "mean", "max", "min", "all", "any", "logsumexp", "vector_norm"];
const SHAPE_KEEPING: &[&str] = &["softmax", "log_softmax", "flip", "cumsum", "cumprod", "zeros_like", "ones_like"];

fn atoms(graph: &Graph, value: ValueId, axis: usize, budget: &mut usize) -> BTreeSet<Atom> {
    let view = graph.node(value.node);
    let opaque = || BTreeSet::from([Atom::Opaque(value.node, value.output, axis)]);
    match &view.results[value.output as usize].ty.dims[axis] {
        Dim::Known(1) => return BTreeSet::new(),
        Dim::Known(length) => return BTreeSet::from([Atom::Known(*length)]),
        Dim::Named(name) => return BTreeSet::from([Atom::Named(name.to_string())]),
        Dim::Unknown if *budget == 0 => return opaque(),
        Dim::Unknown => *budget -= 1,
    }
    let Some((op, attributes)) = view.apply() else { return opaque() };
    let rank = view.results[value.output as usize].ty.rank();
    if op.is_elementwise() {
        let mut all = BTreeSet::new();
        for &operand in view.operands {
            if let Some(at) = (axis + graph.ty(operand).rank()).checked_sub(rank) {
                all.extend(atoms(graph, operand, at, budget));
            }
        }
        return all;
    }
    let sizes = match op.name() {
        "reshape" | "broadcast_to" | "sum_to" => view.operands.get(1),
        "zeros" | "ones" | "full" => view.operands.first(),
        _ => None,
    };
    if let Some(&sizes) = sizes
        && graph.node(sizes.node).op_name() == "shape"
        && let Some(&like) = graph.node(sizes.node).operands.first()
        && graph.ty(like).rank() == rank
    {
        return atoms(graph, like, axis, budget);
    }
    let Some(&operand) = view.operands.first() else { return opaque() };
    let operand_rank = graph.ty(operand).rank();
    if SHAPE_KEEPING.contains(&op.name()) && operand_rank == rank {
        return atoms(graph, operand, axis, budget);
    }
    if REDUCTIONS.contains(&op.name())
        && let Ok(axes) = attributes.axes("axis", operand_rank)
    {
        let at = match attributes.bool("keepdims") {
            Ok(true) => Some(axis),
            _ => (0..operand_rank).filter(|axis| !axes.contains(axis)).nth(axis),
        };
        if let Some(at) = at {
            return if axes.contains(&at) { BTreeSet::new() } else { atoms(graph, operand, at, budget) };
        }
    }
    if op.name() == "transpose" {
        let axes = match attributes.ints("axes") {
            Ok(Some(axes)) => axes.get(axis).and_then(|&a| crate::ops::normalize_axis(a, operand_rank).ok()),
            _ => operand_rank.checked_sub(axis + 1),
        };
        if let Some(at) = axes {
            return atoms(graph, operand, at, budget);
        }
    }
    opaque()
}
