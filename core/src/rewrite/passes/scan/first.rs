//! A loop of which only the first rows are read ends after them.

use super::{Loop, ScanLayout, each_scan, graft, is_even, nodes, stand_ins};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Var};
use crate::ops::effects::is_effectful;
use crate::ops::{IndexBound, IndexItem};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::bodies::substitute;
use crate::rewrite::passes::{Pass, PassContext};

/// Takes no more steps than what is read needs.
pub struct FirstRows;

impl Pass for FirstRows {
    fn name(&self) -> &str {
        "scan_first"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn tags(&self) -> Vec<&str> {
        vec!["scan"]
    }

    fn doc(&self) -> &str {
        "a loop of which only rows of the first steps are read takes no more steps"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_scan(graph, firings, shorten)
    }
}

fn shorten(graph: &mut Graph, id: NodeId, firings: &mut Vec<Firing>) -> Result<bool> {
    let view = graph.node(id);
    let Some((op, attributes)) = view.apply() else { return Ok(false) };
    let layout = ScanLayout::of(attributes)?;
    // Reverse mode through the last steps alone goes by how many there are.
    let whole = layout.states == view.results.len() || layout.truncate.is_some() || layout.reverse || layout.keep.iter().any(|&keep| keep > 0);
    if whole || is_effectful(&**op, attributes) {
        return Ok(false);
    }
    let Some(needed) = rows_needed(graph, id, layout.states) else { return Ok(false) };
    let location = view.location.clone();
    let even = is_even(graph, &layout, view.operands) && (layout.sequences == 0 || !layout.counted);
    let (vars, values) = stand_ins(graph, view.operands);
    let mut looped = Loop::of(&layout, &vars, even, vec![true; view.results.len()])?;
    // Also of a loop that may end before, the steps that it takes at most.
    let most = Loop { until: None, ..looped.clone() }.known_steps();
    if !even || most.is_none_or(|steps| steps <= needed) {
        return Ok(false);
    }
    let before = format!("a loop of {} steps of {} nodes", most.unwrap_or(0), nodes(&looped.outputs()));
    let results = location.stand_in(|| -> Result<Vec<Var>> {
        if let Some(steps) = &mut looped.counted {
            *steps = Var::scalar(needed as i64);
        }
        for (_, sequence) in &mut looped.rows {
            *sequence = sequence.slice(0, None, Some(needed as i64));
        }
        let (finals, yields) = looped.results()?;
        Ok([finals, yields].concat())
    })?;
    let new = graft(graph, &results, values)?;
    for (output, &value) in new.iter().enumerate().skip(layout.states) {
        substitute(graph, id.output(output), value)?;
    }
    graph.remove_dead(id);
    firings.push(Firing::of_pass("scan_first", location, before, format!("{needed} steps")));
    Ok(true)
}

/// How many of the first rows are read of what a loop yields, if nothing else of it is read.
fn rows_needed(graph: &Graph, id: NodeId, states: usize) -> Option<usize> {
    let results = graph.node(id).results.len();
    if (0..results).any(|output| graph.outputs().contains(&id.output(output))) {
        return None;
    }
    let mut most = None;
    for &user in graph.users(id) {
        let view = graph.node(user);
        let (op, attributes) = view.apply()?;
        let read: Vec<usize> = (0..view.operands.len()).filter(|&at| view.operands[at].node == id).collect();
        if op.name() != "index" || read != [0] || (view.operands[0].output as usize) < states {
            return None;
        }
        let rows = match attributes.index("index").ok()?.first()? {
            IndexItem::At(at) => usize::try_from(*at).ok()?.checked_add(1)?,
            IndexItem::Slice { start, stop: IndexBound::At(stop), step } if *step > 0 => {
                let from_start = match start {
                    IndexBound::Open => true,
                    IndexBound::At(start) => *start >= 0,
                    IndexBound::Operand(_) => false,
                };
                usize::try_from(*stop).ok().filter(|_| from_start)?
            }
            _ => return None,
        };
        most = most.max(Some(rows));
    }
    most
}
