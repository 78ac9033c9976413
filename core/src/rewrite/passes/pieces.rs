//! Sums of pieces that stand beside each other in zeros are the pieces in a row.
//!
//! The derivative of `x[:, :k]` is its cotangent in zeros of the shape of `x`; those of all the slices that a layer is
//! cut into (the gates of an LSTM, the heads of attention) are added up, or written one after the other. Where they do not
//! overlap and cover everything, each element of the sum is one element of a piece and zeros:
//! `add_at(z[:, :k], a) + add_at(z[:, k:], b)` is `concatenate([a, b], axis=1)`, and `add_at(set_at(z[0], a)[1], b)` is
//! `stack([a, b])`.

use rustc_hash::FxHashSet;

use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::ops::{Attributes, IndexBound, IndexItem, registry};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::rewrite::matcher::discard;
use crate::rewrite::shapes::{same_length, same_shape};

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
        "add_at(z[:k], a) + add_at(z[k:], b) => concatenate([a, b]), add_at(set_at(z[0], a)[1], b) => stack([a, b]), for zeros z and any pieces that cover an axis"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = false;
        if !graph.has_node(|view| matches!(view.op_name(), "add_at" | "set_at")) {
            return Ok(false);
        }
        // From the whole sums to their parts.
        let mut hopeless = FxHashSet::default();
        for id in graph.topological_order().into_iter().rev() {
            if graph.contains(id) && matches!(graph.node(id).op_name(), "add" | "add_at" | "set_at") && !hopeless.contains(&id) {
                changed |= join(graph, id, &mut hopeless, firings)?;
            }
        }
        Ok(changed)
    }
}

/// Where a piece begins or ends along its axis.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Edge,
    At(i64),
    Scalar(ValueId),
}

/// A piece, and where it stands.
struct Piece {
    axis: usize,
    /// Whether it is one place along the axis, which is then none of the piece's own.
    single: bool,
    start: Cut,
    stop: Cut,
    value: ValueId,
    /// What of the zeros it fills.
    index: Attributes,
    operands: Vec<ValueId>,
}

/// The most pieces.
const MOST: usize = 256;

/// Joins the pieces of a sum. Those of what is written one after the other into something else than zeros are `hopeless`,
/// whichever of them comes last.
fn join(graph: &mut Graph, id: NodeId, hopeless: &mut FxHashSet<NodeId>, firings: &mut Vec<Firing>) -> Result<bool> {
    let root = id.output(0);
    let (mut written, mut added_up) = (Vec::new(), false);
    let mut pending = vec![root];
    let (mut pieces, mut zeros): (Vec<Piece>, Option<ValueId>) = (Vec::new(), None);
    while let Some(value) = pending.pop() {
        let view = graph.node(value.node);
        let inside = value == root || (graph.users(value.node).len() == 1 && !graph.outputs().contains(&value));
        match (view.op_name(), view.operands) {
            ("add", &[a, b]) if inside && same_shape(graph, a, value) && same_shape(graph, b, value) => {
                added_up = true;
                pending.extend([a, b]);
            }
            // What is written stands in zeros, as no two pieces overlap in the end.
            ("add_at" | "set_at", &[base, ..]) if inside && pieces.len() < MOST => {
                let Some(piece) = piece(graph, value).filter(|piece| pieces.first().is_none_or(|first: &Piece| first.axis == piece.axis)) else { return Ok(false) };
                pieces.push(piece);
                written.push(value.node);
                pending.push(base);
            }
            _ if is_zero(graph, value) => zeros = Some(value),
            _ => {
                if !added_up {
                    hopeless.extend(written);
                }
                return Ok(false);
            }
        }
    }
    let Some(zeros) = zeros.filter(|_| pieces.len() > 1) else { return Ok(false) };
    let axis = pieces[0].axis;
    let Some(order) = in_a_row(&pieces, graph.ty(root).dims[axis].known()) else { return Ok(false) };
    let location = graph.node(id).location.clone();
    let mut added = Vec::new();
    let stacked = pieces.iter().all(|piece| piece.single);
    let mut operands = Vec::new();
    for at in order {
        let piece = &pieces[at];
        let filled: Vec<ValueId> = [zeros].into_iter().chain(piece.operands.iter().copied()).collect();
        let region = graph.apply(registry().get("index")?, &filled, piece.index.clone(), location.clone())?;
        added.push(region);
        if !same_shape(graph, piece.value, region.output(0)) {
            discard(graph, &added);
            return Ok(false);
        }
        let mut value = piece.value;
        if piece.single && !stacked {
            let attributes = Attributes::new().with("axis", axis as i64);
            let widened = graph.apply(registry().get("expand_dims")?, &[value], attributes, location.clone())?;
            added.push(widened);
            value = widened.output(0);
        }
        operands.push(value);
    }
    let op = registry().get(if stacked { "stack" } else { "concatenate" })?;
    let Ok(new) = graph.apply(op, &operands, Attributes::new().with("axis", axis as i64), location.clone()) else {
        discard(graph, &added);
        return Ok(false);
    };
    added.push(new);
    let (old, joined) = (graph.ty(root), graph.ty(new.output(0)));
    // Along the axis the pieces cover all of it, whether or not its length is known.
    let others = (0..old.rank()).all(|other| other == axis || same_length(graph, (root, other), (new.output(0), other)));
    let known = old.dims[axis].known().is_none_or(|length| joined.dims[axis].known() == Some(length));
    if (old.dtype, old.weak) != (joined.dtype, joined.weak) || !others || !known {
        discard(graph, &added);
        return Ok(false);
    }
    let before = describe(graph, root, 3);
    graph.replace(root, new.output(0))?;
    graph.remove_dead(id);
    discard(graph, &added);
    let after = describe(graph, new.output(0), 2);
    firings.push(Firing::of_pass("join_pieces", location, before, after));
    Ok(true)
}

fn is_zero(graph: &Graph, value: ValueId) -> bool {
    let view = graph.node(value.node);
    let number = if view.op_name() == "broadcast_to" { view.operands.first().map_or(value, |of| *of) } else { value };
    matches!(view.op_name(), "zeros" | "zeros_like")
        || graph.node(number.node).constant().is_some_and(|constant| constant.value.to_f64_vec().iter().all(|&element| element == 0.0))
}

/// `add_at(base[..., start:stop, ...], value)`, where the index leaves all other axes whole.
fn piece(graph: &Graph, value: ValueId) -> Option<Piece> {
    let view = graph.node(value.node);
    let (_, attributes) = view.apply()?;
    let [base, filled, operands @ ..] = view.operands else { return None };
    let items = attributes.index("index").ok()?;
    let cut = |bound: &IndexBound| match bound {
        IndexBound::Open | IndexBound::At(0) => Some(Cut::Edge),
        IndexBound::At(at) => Some(Cut::At(*at)),
        IndexBound::Operand(number) => operands.get(*number).copied().map(Cut::Scalar),
    };
    let rank = graph.ty(*base).rank();
    let taken = items.iter().filter(|item| !matches!(item, IndexItem::Ellipsis)).count();
    let (mut found, mut axis) = (None, 0);
    for item in items {
        match item {
            IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 } => {}
            IndexItem::Ellipsis => {
                axis += rank.checked_sub(taken)?;
                continue;
            }
            // One that stops at the start is empty.
            IndexItem::Slice { stop: IndexBound::At(0), .. } => return None,
            IndexItem::Slice { start, stop, step: 1 } if found.is_none() => found = Some((axis, false, cut(start)?, cut(stop)?)),
            IndexItem::At(at) if found.is_none() => found = Some((axis, true, Cut::At(*at), Cut::At(*at))),
            _ => return None,
        }
        axis += 1;
    }
    let (axis, single, start, stop) = found?;
    let index = Attributes::new().with("index", items.to_vec());
    Some(Piece { axis, single, start, stop, value: *filled, index, operands: operands.to_vec() })
}

/// The pieces in the order in which they stand beside each other, if they cover an axis and no place twice.
fn in_a_row(pieces: &[Piece], length: Option<usize>) -> Option<Vec<usize>> {
    // In two at one place, wherever that is.
    if let [a, b] = pieces
        && !a.single
        && !b.single
    {
        for (order, first, second) in [([0, 1], a, b), ([1, 0], b, a)] {
            if first.start == Cut::Edge && second.stop == Cut::Edge && first.stop == second.start && first.stop != Cut::Edge {
                return Some(order.to_vec());
            }
        }
    }
    let length = length.and_then(|length| i64::try_from(length).ok());
    let place = |cut: Cut, edge: i64| match (cut, length) {
        (Cut::Edge, _) => Some(edge),
        (Cut::At(at), Some(length)) => Some((if at < 0 { at + length } else { at }).clamp(0, length)),
        (Cut::At(at), None) if at > 0 => Some(at),
        _ => None,
    };
    let mut spans = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        spans.push(match (piece.single, piece.start) {
            (true, Cut::At(position)) => {
                let position = if position < 0 { position + length? } else { position };
                length.filter(|length| (0..*length).contains(&position))?;
                (position, position + 1, at)
            }
            _ => (place(piece.start, 0)?, place(piece.stop, length.unwrap_or(i64::MAX))?, at),
        });
    }
    spans.sort_unstable();
    let starts = spans.iter().map(|span| span.0);
    let ends = spans.iter().map(|span| span.1);
    let adjacent = starts.eq(std::iter::once(0).chain(ends).take(spans.len()));
    let whole = spans.last().is_some_and(|span| span.1 == length.unwrap_or(i64::MAX)) && spans.iter().all(|span| span.0 < span.1);
    (adjacent && whole).then(|| spans.into_iter().map(|span| span.2).collect())
}
