//! The last row of what a state becomes is the final state.
//!
//! Of `yield h1`, where `h1` is the next value of a state `h`, the row of the last step is what `h` is in the end.
//! Reading that instead, no history is kept for one row; and, as it happens before derivatives are expanded, the
//! cotangent comes to the loop as that of its final state, and is not carried through the steps as that of a row.
//!
//! After no step there is no row, and reading it is an error of the call; the final state would be the first one. Where it
//! is not known that there is a step, the final state is therefore read `after` the last row of a sequence,
//! which then is missing too.

use super::{ScanLayout, graft, stand_ins};
use crate::error::Result;
use crate::graph::{Graph, NodeId, NodeKind, ValueId, Var};
use crate::ops::{Attribute, Attributes, IndexItem};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};
use crate::tensor::Dim;

/// Reads the final state in place of the last row that is yielded of it.
pub struct LastIsFinal;

impl Pass for LastIsFinal {
    fn name(&self) -> &str {
        "scan_last"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn tags(&self) -> Vec<&str> {
        vec!["scan"]
    }

    fn doc(&self) -> &str {
        "ys[-1] => the final state, where what is yielded is the next value of a state"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = false;
        for id in graph.topological_order() {
            if graph.contains(id) && graph.node(id).op_name() == "scan" {
                changed |= read_final(graph, id, firings)?;
            }
        }
        Ok(changed)
    }
}

fn read_final(graph: &mut Graph, id: NodeId, firings: &mut Vec<Firing>) -> Result<bool> {
    let Some((_, attributes)) = graph.node(id).apply() else { return Ok(false) };
    let layout = ScanLayout::of(attributes)?;
    let mut changed = false;
    let next = &layout.body.outputs()[..layout.states];
    for (number, value) in layout.body.outputs()[layout.states..].iter().take(layout.yields()).enumerate() {
        let Some(state) = next.iter().position(|next| next.is(value)) else { continue };
        let (rows, end) = (id.output(layout.states + number), id.output(state));
        let mut users: Vec<NodeId> = graph.users(id).to_vec();
        users.sort_unstable();
        users.dedup();
        for user in users {
            let Some(rest) = of_last(graph, user, rows, layout.reverse) else { continue };
            let location = graph.node(user).location.clone();
            let before = describe(graph, user.output(0), 2);
            let operands: Vec<ValueId> = std::iter::once(end).chain(graph.node(id).operands.iter().copied()).collect();
            let (vars, known) = stand_ins(graph, &operands);
            let build = || there(&layout, &vars[0], &vars[1..]).map(|end| match rest.as_slice() {
                [] => end,
                rest => Var::apply("index", &[end], Attributes::new().with("index", Attribute::Index(rest.to_vec()))),
            });
            let Some(found) = location.stand_in(build) else { continue };
            let new = graft(graph, &[found], known)?[0];
            // What was known of a row is known of the state.
            let as_known = graph.ty(user.output(0)).dims.iter().zip(&graph.ty(new).dims);
            if !as_known.into_iter().all(|(row, end)| *row == Dim::Unknown || row == end) {
                if new != end {
                    graph.remove_dead(new.node);
                }
                continue;
            }
            graph.replace(user.output(0), new)?;
            graph.remove_dead(user);
            let after = describe(graph, new, 2);
            firings.push(Firing::of_pass("scan_last", location, before, after));
            changed = true;
        }
    }
    Ok(changed)
}

/// If a node reads of some rows that of the last step and no other: what it reads of that row.
fn of_last(graph: &Graph, user: NodeId, rows: ValueId, reverse: bool) -> Option<Vec<IndexItem>> {
    let view = graph.node(user);
    let (op, attributes) = view.apply()?;
    let items = attributes.index("index").ok()?;
    let plain = |item: &IndexItem| matches!(item, IndexItem::At(_) | IndexItem::Slice { .. } | IndexItem::NewAxis | IndexItem::Ellipsis);
    let last = IndexItem::At(if reverse { 0 } else { -1 });
    let (first, rest) = items.split_first()?;
    (op.name() == "index" && view.operands == [rows] && *first == last && rest.iter().all(plain)).then(|| rest.to_vec())
}

/// The final state, where there certainly is a step, or as an error where there is none; of a loop over `operands`.
fn there(layout: &ScanLayout, end: &Var, operands: &[Var]) -> Option<Var> {
    let (counted, rest) = operands.split_at(usize::from(layout.counted));
    let sequences = &rest[..layout.sequences];
    let some = |steps: &Var| match steps.node().kind() {
        NodeKind::Constant(constant) => constant.value.to_i64_vec().first().is_some_and(|&steps| steps > 0),
        _ => false,
    };
    let rows = |sequence: &Var| sequence.ty().ok()?.dims.first()?.known();
    if counted.iter().any(some) || sequences.iter().any(|sequence| rows(sequence).is_some_and(|rows| rows > 0)) {
        return Some(end.clone());
    }
    let last = sequences.first()?.at(-1);
    Some(Var::apply("after", &[end.clone(), last], Attributes::new()))
}
