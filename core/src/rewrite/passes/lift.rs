//! `log` moves below ops that only move elements, so that it meets what it is stable with: the
//! `log(softmax(x)[arange(n), y])` of every tutorial becomes an index into `log_softmax(x)`.

use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::ops::{Attributes, registry};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::rewrite::locals::MOVES;

use super::{Pass, PassContext};

/// `log` of moved elements of a softmax, sigmoid, square or exponential is taken before they move. A logarithm
/// of each element does not care where the element lies, so that no result changes by this step.
pub struct LogOfMoved;

const BOTTOMS: &[&str] = &["softmax", "sigmoid", "exp", "erfc", "square"];

impl Pass for LogOfMoved {
    fn name(&self) -> &str {
        "log_of_moved"
    }

    fn phase(&self) -> Phase {
        Phase::Stabilize
    }

    fn doc(&self) -> &str {
        "log(softmax(x)[i]) => log(softmax(x))[i], and the like for other ops that only move elements"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = false;
        for id in graph.nodes_where(|view| view.op_name() == "log") {
            if graph.contains(id) {
                changed |= push_down(graph, id, firings)?;
            }
        }
        Ok(changed)
    }
}

fn push_down(graph: &mut Graph, log: NodeId, firings: &mut Vec<Firing>) -> Result<bool> {
    let Some(&moved) = graph.node(log).operands.first() else { return Ok(false) };
    let mut chain: Vec<NodeId> = Vec::new();
    let mut bottom = moved;
    while MOVES.contains(&graph.node(bottom.node).op_name()) || graph.node(bottom.node).op_name() == "broadcast_to" {
        chain.push(bottom.node);
        match graph.node(bottom.node).operands.first() {
            Some(&operand) => bottom = operand,
            None => return Ok(false),
        }
    }
    if chain.is_empty() || !BOTTOMS.contains(&graph.node(bottom.node).op_name()) {
        return Ok(false);
    }
    let location = graph.node(log).location.clone();
    let before = describe(graph, log.output(0), 4);
    let op = registry().get("log")?;
    let mut added = vec![graph.apply(op, &[bottom], Attributes::new(), location.clone())?];
    for &id in chain.iter().rev() {
        let view = graph.node(id);
        let Some((op, attributes)) = view.apply() else { return Ok(false) };
        let (op, attributes) = (op.clone(), attributes.clone());
        let mut operands: Vec<ValueId> = view.operands.to_vec();
        operands[0] = added[added.len() - 1].output(0);
        added.push(graph.apply(op, &operands, attributes, view.location.clone())?);
    }
    let (old, new) = (log.output(0), added[added.len() - 1].output(0));
    if graph.ty(old) != graph.ty(new) {
        crate::rewrite::matcher::discard(graph, &added);
        return Ok(false);
    }
    graph.replace(old, new)?;
    graph.remove_dead(log);
    let after = describe(graph, new, 4);
    firings.push(Firing::of_pass("log_of_moved", location, before, after));
    Ok(true)
}
