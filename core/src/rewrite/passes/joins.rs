//! What is computed of each element of a join is computed of each element of its parts, so that these are written into the
//! join by what computes them, and not first copied there and then gone over once more.

use super::together::nodes_of;
use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::rewrite::matcher::{discard, is_elementwise};
use crate::rewrite::shapes::same_shape;

/// Moves ops on elements from a join to its parts.
pub struct ElementwiseOfJoin;

/// The most parts, each of which gets an op of its own.
const MOST: usize = 8;

/// Elements of a join below which nothing is saved.
const LEAST: usize = 1024;

impl Pass for ElementwiseOfJoin {
    fn name(&self) -> &str {
        "elementwise_of_join"
    }

    fn phase(&self) -> Phase {
        Phase::Specialize
    }

    fn doc(&self) -> &str {
        "f(concatenate([x, y]), s) => concatenate([f(x, s), f(y, s)]) with scalars s, if nothing else reads the join, of up to 8 parts"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = false;
        for mut join in nodes_of(graph, "concatenate") {
            while graph.contains(join)
                && let Some(next) = moved(graph, join, firings)?
            {
                join = next;
                changed = true;
            }
        }
        Ok(changed)
    }
}

/// The join of what the one reader of a join computes of its parts, in the place of that reader.
fn moved(graph: &mut Graph, join: NodeId, firings: &mut Vec<Firing>) -> Result<Option<NodeId>> {
    let joined = join.output(0);
    let &[reader] = graph.users(join) else { return Ok(None) };
    let (view, root) = (graph.node(reader), reader.output(0));
    let Some((op, attributes)) = view.apply() else { return Ok(None) };
    let operands = view.operands.to_vec();
    let once = operands.iter().filter(|&&operand| operand == joined).count() == 1;
    let scalars = operands.iter().all(|&operand| operand == joined || graph.ty(operand).rank() == 0);
    let small = graph.ty(joined).known_shape().is_some_and(|shape| shape.iter().product::<usize>() < LEAST);
    let parts: Vec<ValueId> = graph.node(join).operands.to_vec();
    // As each element is computed in what it is joined in.
    let alike = parts.iter().all(|&part| (graph.ty(part).dtype, graph.ty(part).weak) == (graph.ty(joined).dtype, graph.ty(joined).weak));
    if !is_elementwise(&view) || !once || !scalars || !alike || small || parts.len() > MOST || graph.outputs().contains(&joined) || !same_shape(graph, joined, root) {
        return Ok(None);
    }
    let (op, attributes, location) = (op.clone(), attributes.clone(), view.location.clone());
    let (mut added, mut computed) = (Vec::new(), Vec::new());
    for part in parts {
        let own: Vec<ValueId> = operands.iter().map(|&operand| if operand == joined { part } else { operand }).collect();
        let node = graph.apply(op.clone(), &own, attributes.clone(), location.clone())?;
        added.push(node);
        computed.push(node.output(0));
    }
    let Some((concatenate, axis)) = graph.node(join).apply().map(|(op, attributes)| (op.clone(), attributes.clone())) else { return Ok(None) };
    let place = graph.node(join).location.clone();
    let new = graph.apply(concatenate, &computed, axis, place)?;
    added.push(new);
    if graph.ty(new.output(0)) != graph.ty(root) {
        discard(graph, &added);
        return Ok(None);
    }
    let before = describe(graph, root, 3);
    graph.replace(root, new.output(0))?;
    graph.remove_dead(reader);
    let after = describe(graph, new.output(0), 3);
    firings.push(Firing::of_pass("elementwise_of_join", location, before, after));
    Ok(Some(new))
}
