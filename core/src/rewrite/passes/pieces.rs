//! Sums of pieces that stand beside each other in zeros are the pieces in a row.
//!
//! The derivative of `x[:, :k]` is its cotangent in zeros of the shape of `x`; those of all the slices that a layer is
//! cut into (the gates of an LSTM, the heads of attention) are added up. Where they do not overlap and cover everything,
//! each element of the sum is one element of a piece and zeros: `add_at(z[:, :k], a) + add_at(z[:, k:], b)` is
//! `concatenate([a, b], axis=1)`.

use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::ops::{Attributes, IndexBound, IndexItem, registry};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::tensor::Dim;

use super::{Pass, PassContext};

/// Puts pieces in a row rather than adding them up in zeros.
pub struct JoinPieces;

impl Pass for JoinPieces {
    fn name(&self) -> &str {
        "join_pieces"
    }

    fn phase(&self) -> Phase {
        Phase::Specialize
    }

    fn doc(&self) -> &str {
        "add_at(z[:k], a) + add_at(z[k:], b) => concatenate([a, b]), for zeros z and any pieces that cover an axis"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = false;
        // From the whole sums to their parts.
        for id in graph.topological_order().into_iter().rev() {
            if graph.contains(id) && graph.node(id).op_name() == "add" {
                changed |= join(graph, id, firings)?;
            }
        }
        Ok(changed)
    }
}

struct Piece {
    axis: usize,
    start: usize,
    stop: usize,
    value: ValueId,
}

fn join(graph: &mut Graph, id: NodeId, firings: &mut Vec<Firing>) -> Result<bool> {
    let Some(shape) = graph.ty(id.output(0)).known_shape() else { return Ok(false) };
    let mut pending: Vec<ValueId> = graph.node(id).operands.to_vec();
    let mut pieces: Vec<Piece> = Vec::new();
    while let Some(value) = pending.pop() {
        let view = graph.node(value.node);
        if view.op_name() == "add" && graph.users(value.node).len() == 1 && graph.ty(value).known_shape().as_ref() == Some(&shape) {
            pending.extend_from_slice(view.operands);
            continue;
        }
        match piece(graph, value, &shape) {
            Some(piece) if pieces.first().is_none_or(|first| first.axis == piece.axis) => pieces.push(piece),
            _ => return Ok(false),
        }
    }
    pieces.sort_by_key(|piece| piece.start);
    let Some(axis) = pieces.first().map(|piece| piece.axis) else { return Ok(false) };
    let ends = pieces.iter().map(|piece| piece.stop);
    let starts = pieces.iter().map(|piece| piece.start);
    if !starts.eq(std::iter::once(0).chain(ends).take(pieces.len())) || pieces.last().map(|piece| piece.stop) != Some(shape[axis]) {
        return Ok(false);
    }
    let location = graph.node(id).location.clone();
    let before = describe(graph, id.output(0), 3);
    let operands: Vec<ValueId> = pieces.iter().map(|piece| piece.value).collect();
    let Ok(new) = graph.apply(registry().get("concatenate")?, &operands, Attributes::new().with("axis", axis as i64), location.clone()) else {
        return Ok(false);
    };
    let (old, joined) = (graph.ty(id.output(0)), graph.ty(new.output(0)));
    if (old.dtype, old.weak) != (joined.dtype, joined.weak) || joined.known_shape() != old.known_shape() {
        graph.remove_dead(new);
        return Ok(false);
    }
    graph.replace(id.output(0), new.output(0))?;
    graph.remove_dead(id);
    let after = describe(graph, new.output(0), 2);
    firings.push(Firing::of_pass("join_pieces", location, before, after));
    Ok(true)
}

/// `add_at(zeros[..., start:stop, ...], value)`, where the slice leaves all other axes whole and the value fills it.
fn piece(graph: &Graph, value: ValueId, shape: &[usize]) -> Option<Piece> {
    let view = graph.node(value.node);
    let (op, attributes) = view.apply()?;
    let [zeros, filled] = view.operands else { return None };
    let is_zero = matches!(graph.node(zeros.node).op_name(), "zeros" | "zeros_like")
        || graph.node(zeros.node).constant().is_some_and(|constant| constant.value.to_f64_vec().iter().all(|&element| element == 0.0));
    if op.name() != "add_at" || !is_zero || graph.ty(*zeros).known_shape()?.as_slice() != shape {
        return None;
    }
    let mut found = None;
    for (axis, item) in attributes.index("index").ok()?.iter().enumerate() {
        match item {
            IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 } => {}
            IndexItem::Slice { start, stop, step: 1 } if found.is_none() => {
                let length = *shape.get(axis)?;
                let bound = |bound: &IndexBound, open: usize| match bound {
                    IndexBound::Open => Some(open),
                    IndexBound::At(at) => usize::try_from(if *at < 0 { at + length as i64 } else { *at }).ok().map(|at| at.min(length)),
                    _ => None,
                };
                found = Some((axis, bound(start, 0)?, bound(stop, length)?));
            }
            _ => return None,
        }
    }
    let (axis, start, stop) = found.filter(|(_, start, stop)| start < stop)?;
    let dims = &graph.ty(*filled).dims;
    let wanted = |at: usize| if at == axis { stop - start } else { shape[at] };
    let fills = dims.len() == shape.len() && dims.iter().enumerate().all(|(at, dim)| *dim == Dim::Known(wanted(at)));
    fills.then_some(Piece { axis, start, stop, value: *filled })
}
