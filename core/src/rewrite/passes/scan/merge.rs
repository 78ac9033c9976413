//! Loops beside each other that take as many steps become one. Loops that may end early do if they end in the same
//! step: if their conditions are equal, of the same rows and values, and of states that are equal in every step.

use rustc_hash::FxHashSet;

use super::same::{classes, replaced};
use super::{Loop, graft, is_even, nodes, stand_ins};
use crate::error::Result;
use crate::graph::{Graph, NodeId, Var, clone_with, same_graph};
use crate::ops::control::ScanLayout;
use crate::ops::effects::is_effectful;
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};
use crate::rewrite::shapes::same_length;

/// Makes one loop of two that take equally many steps, neither of which needs the other.
pub struct MergeParallel;

/// Loops that are looked at, at most: each is held against each.
const LOOPS: usize = 32;

impl Pass for MergeParallel {
    fn name(&self) -> &str {
        "scan_merge"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn doc(&self) -> &str {
        "makes one loop of two that certainly take equally many steps and do not need each other"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = false;
        loop {
            let loops: Vec<NodeId> = graph.nodes_where(|view| is_plain(graph, view.id)).into_iter().take(LOOPS).collect();
            let pairs = loops.iter().enumerate().flat_map(|(at, &first)| loops[at + 1..].iter().map(move |&second| (first, second)));
            let pairs: Vec<(NodeId, NodeId)> = pairs.filter(|&(first, second)| as_long(graph, first, second)).collect();
            // The later one cannot be needed by the earlier one.
            let mut merged = false;
            for (first, second) in pairs {
                if !needs(graph, second, first) && merge(graph, first, second, firings)? {
                    merged = true;
                    break;
                }
            }
            if !merged {
                return Ok(changed);
            }
            changed = true;
        }
    }
}

/// Whether a node is a loop that does nothing else.
fn is_plain(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).op_name() == "scan"
        && graph.node(id).apply().is_some_and(|(op, attributes)| !is_effectful(&**op, attributes))
}

/// Whether two loops certainly take equally many steps, in the same direction, if their conditions are equal.
fn as_long(graph: &Graph, first: NodeId, second: NodeId) -> bool {
    let layout = |id: NodeId| graph.node(id).apply().and_then(|(_, attributes)| ScanLayout::of(attributes).ok());
    let (Some(a), Some(b)) = (layout(first), layout(second)) else { return false };
    let (given, other) = (graph.node(first).operands, graph.node(second).operands);
    if a.counted != b.counted || a.reverse != b.reverse || a.truncate != b.truncate || a.until != b.until {
        return false;
    }
    if a.counted {
        return a.sequences == 0 && b.sequences == 0 && given[0] == other[0];
    }
    a.sequences > 0 && b.sequences > 0 && same_length(graph, (given[0], 0), (other[0], 0))
}

/// Whether a node is computed from another.
fn needs(graph: &Graph, id: NodeId, other: NodeId) -> bool {
    let mut seen: FxHashSet<NodeId> = FxHashSet::default();
    let mut pending = vec![id];
    while let Some(id) = pending.pop() {
        if id == other {
            return true;
        }
        pending.extend(graph.node(id).operands.iter().map(|operand| operand.node).filter(|&node| seen.insert(node)));
    }
    false
}

fn merge(graph: &mut Graph, first: NodeId, second: NodeId, firings: &mut Vec<Firing>) -> Result<bool> {
    let split = graph.node(first).operands.len();
    let operands = [graph.node(first).operands, graph.node(second).operands].concat();
    let (vars, values) = stand_ins(graph, &operands);
    let part = |id: NodeId, operands: &[Var]| -> Result<Option<Loop>> {
        let Some((_, attributes)) = graph.node(id).apply() else { return Ok(None) };
        let (layout, view) = (ScanLayout::of(attributes)?, graph.node(id));
        Loop::of(&layout, operands, is_even(graph, &layout, view.operands), vec![true; view.results.len()]).map(Some)
    };
    let (Some(a), Some(mut b)) = (part(first, &vars[..split])?, part(second, &vars[split..])?) else { return Ok(false) };
    let before = format!("loops with steps of {} and {} nodes", nodes(&a.outputs()), nodes(&b.outputs()));
    let location = graph.node(first).location.clone();
    let build = || -> Result<Option<(Vec<Var>, Vec<Var>)>> {
        let mut both = a.clone();
        // The rows of one sequence are one input, and so is a value of outside.
        let mut same = Vec::new();
        for (row, sequence) in std::mem::take(&mut b.rows) {
            match a.rows.iter().find(|(_, known)| known.is(&sequence)) {
                Some((known, _)) => same.push((row, known.clone())),
                None => both.rows.push((row, sequence)),
            }
        }
        for (input, value) in std::mem::take(&mut b.captured) {
            match a.captured.iter().find(|(_, known)| known.is(&value)) {
                Some((known, _)) if same_type(known, &input) => same.push((input, known.clone())),
                _ => both.captured.push((input, value)),
            }
        }
        b.substitute(&same)?;
        both.even &= b.even;
        both.states.extend(b.states.iter().cloned());
        both.yields.extend(b.yields.iter().cloned());
        if let (Some(stop), Some(other)) = (&a.until, &b.until)
            && !is_same(&both, stop, other)?
        {
            return Ok(None);
        }
        let (mut states, mut yields) = both.results()?;
        let (more, rest) = (states.split_off(a.states.len()), yields.split_off(a.yields.len()));
        Ok(Some(([states, yields].concat(), [more, rest].concat())))
    };
    let Ok(Some((ours, others))) = location.stand_in(build) else { return Ok(false) };
    let all: Vec<Var> = ours.iter().chain(&others).cloned().collect();
    let new = graft(graph, &all, values)?;
    for (id, results) in [(first, &new[..ours.len()]), (second, &new[ours.len()..])] {
        for (output, &value) in results.iter().enumerate() {
            graph.replace(id.output(output), value)?;
        }
        graph.remove_dead(id);
    }
    firings.push(Firing::of_pass("scan_merge", location, before, "one loop".to_owned()));
    Ok(true)
}

fn same_type(a: &Var, b: &Var) -> bool {
    matches!((a.ty(), b.ty()), (Ok(a), Ok(b)) if a == b)
}

/// Whether two conditions in the steps of one loop are equal in every step.
fn is_same(looped: &Loop, stop: &Var, other: &Var) -> Result<bool> {
    let classes = classes(looped)?;
    let both = clone_with(&[stop.clone(), other.clone()], &replaced(looped, &classes))?;
    Ok(same_graph(&both[..1], &both[1..], &[]))
}
