//! Parts of a graph as graphs of their own, from which programs are made.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};

/// Some nodes of a graph as a graph of their own.
pub(super) struct Extract {
    /// The part; its inputs are the values of `given`, its outputs the values that were asked for. Constants
    /// are part of it.
    pub graph: Graph,
    /// The values of the whole that the part's inputs stand for.
    pub given: Vec<ValueId>,
    /// The part's applications, in order: the statements of a program.
    pub statements: Vec<NodeId>,
    /// For each statement, the node of the whole that it is.
    pub originals: Vec<NodeId>,
}

/// The part of a graph that computes `results` by `nodes`, which are in topological order.
///
/// # Errors
/// If the graph is damaged.
pub(super) fn extract(graph: &Graph, nodes: &[NodeId], results: &[ValueId]) -> Result<Extract> {
    let inside: FxHashSet<NodeId> = nodes.iter().copied().collect();
    let mut part = Graph::new();
    let mut map: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    let mut given: Vec<ValueId> = Vec::new();
    // Inputs come first, so that the program's parameters are its first nodes.
    for &id in nodes {
        for &operand in graph.node(id).operands {
            let view = graph.node(operand.node);
            if !inside.contains(&operand.node) && view.constant().is_none() && !map.contains_key(&operand) {
                let name = format!("p{}", given.len());
                map.insert(operand, part.add_input(&name, graph.ty(operand).clone(), view.location.clone()));
                given.push(operand);
            }
        }
    }
    let mut of: FxHashMap<NodeId, NodeId> = FxHashMap::default();
    for &id in nodes {
        let view = graph.node(id);
        for &operand in view.operands {
            if let Some(constant) = graph.node(operand.node).constant()
                && !map.contains_key(&operand)
            {
                map.insert(operand, part.add_constant(constant.clone(), view.location.clone()));
            }
        }
        let Some((op, attributes)) = view.apply() else { continue };
        let operands: Vec<ValueId> = view.operands.iter().map(|operand| map[operand]).collect();
        let new = part.apply(op.clone(), &operands, attributes.clone(), view.location.clone())?;
        for output in 0..view.results.len() {
            map.insert(id.output(output), new.output(output));
        }
        of.insert(new, id);
    }
    part.set_outputs(results.iter().map(|value| map[value]).collect());
    let statements: Vec<NodeId> = part.topological_order().into_iter().filter(|id| of.contains_key(id)).collect();
    let originals = statements.iter().map(|id| of[id]).collect();
    Ok(Extract { graph: part, given, statements, originals })
}
