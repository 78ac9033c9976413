//! The last row of what a state becomes is the final state.
//!
//! Of `yield h1`, where `h1` is the next value of a state `h`, the row of the last step is what `h` is in the end.
//! Reading that instead, no history is kept for one row; and, as it happens before derivatives are expanded, the
//! cotangent comes to the loop as that of its final state, and is not carried through the steps as that of a row.
//!
//! After no step there is no row, and reading it is an error of the call; the final state would be the first one. Where it
//! is not known that there is a step, the final state is therefore read `after` the last row of a sequence, or of as
//! many numbers as steps are counted, which then is missing too. `ys[-1:]` is no error but empty then, and stays.

use super::{ScanLayout, each_scan, graft, stand_ins};
use crate::error::Result;
use crate::graph::{Graph, NodeId, NodeKind, ValueId, Var};
use crate::ops::shape::stack;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};
use crate::tensor::{DType, Dim};

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
        "ys[-1] => the final state, where what is yielded is the next value of a state; ys[-1:] too where there certainly is a step"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_scan(graph, firings, read_final)
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
            let Some((rest, stays)) = of_last(graph, user, rows, layout.reverse) else { continue };
            let location = graph.node(user).location.clone();
            let before = describe(graph, user.output(0), 2);
            let operands: Vec<ValueId> = std::iter::once(end).chain(graph.node(id).operands.iter().copied()).collect();
            let (vars, known) = stand_ins(graph, &operands);
            if stays && !has_steps(&layout, &vars[1..]) {
                continue;
            }
            let build = || there(&layout, &vars[0], &vars[1..]).map(|end| {
                let end = if stays { end.expand_dims(0) } else { end };
                let before = stays.then_some(ALL);
                match rest.as_slice() {
                    [] => end,
                    rest => {
                        let items = before.into_iter().chain(rest.iter().cloned()).collect();
                        Var::apply("index", &[end], Attributes::new().with("index", Attribute::Index(items)))
                    }
                }
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

const ALL: IndexItem = IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 };

/// If a node reads of some rows that of the last step and no other: what it reads of that row, and whether there still is
/// an axis of rows.
fn of_last(graph: &Graph, user: NodeId, rows: ValueId, reverse: bool) -> Option<(Vec<IndexItem>, bool)> {
    let view = graph.node(user);
    let (op, attributes) = view.apply()?;
    let items = attributes.index("index").ok()?;
    let plain = |item: &IndexItem| match item {
        IndexItem::At(_) | IndexItem::NewAxis | IndexItem::Ellipsis => true,
        IndexItem::Slice { start, stop, .. } => [start, stop].iter().all(|bound| !matches!(bound, IndexBound::Operand(_))),
        IndexItem::Operand(_) => false,
    };
    let (first, rest) = items.split_first()?;
    if op.name() != "index" || view.operands != [rows] || !rest.iter().all(plain) {
        return None;
    }
    let (start, stop) = if reverse { (IndexBound::Open, IndexBound::At(1)) } else { (IndexBound::At(-1), IndexBound::Open) };
    match first {
        IndexItem::At(at) if *at == if reverse { 0 } else { -1 } => Some((rest.to_vec(), false)),
        one if *one == IndexItem::Slice { start, stop, step: 1 } => Some((rest.to_vec(), true)),
        _ => None,
    }
}

/// Whether there certainly is a step of a loop over `operands`.
fn has_steps(layout: &ScanLayout, operands: &[Var]) -> bool {
    let (counted, rest) = operands.split_at(usize::from(layout.counted));
    let some = |steps: &Var| match steps.node().kind() {
        NodeKind::Constant(constant) => constant.value.to_i64_vec().first().is_some_and(|&steps| steps > 0),
        _ => false,
    };
    let rows = |sequence: &Var| sequence.ty().ok()?.dims.first()?.known();
    counted.iter().any(some) || rest[..layout.sequences].iter().any(|sequence| rows(sequence).is_some_and(|rows| rows > 0))
}

/// The final state, where there certainly is a step, or as an error where there is none; of a loop over `operands`.
fn there(layout: &ScanLayout, end: &Var, operands: &[Var]) -> Option<Var> {
    if has_steps(layout, operands) {
        return Some(end.clone());
    }
    let (counted, rest) = operands.split_at(usize::from(layout.counted));
    let rows = match (rest[..layout.sequences].first(), counted) {
        (Some(sequence), _) => sequence.clone(),
        (None, [steps]) => Var::scalar(0i64).broadcast_to_var(&stack(&[steps.cast(DType::I64)], 0)),
        _ => return None,
    };
    Some(Var::apply("after", &[end.clone(), rows.at(-1)], Attributes::new()))
}
