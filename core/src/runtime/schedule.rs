//! The order in which a call computes: what is needed by less comes first, so that new values of states are computed
//! as soon as they can be, and what they were computed from takes memory no longer.
//!
//! In training, the last layer's weights are updated before the gradients of the first layer are computed, after all else
//! that reads their old value: an update may then still write over it.

use rustc_hash::FxHashMap;

use crate::graph::{FunctionGraph, Graph, NodeId, NodeKind};

/// The nodes that the outputs need, operands before users.
pub(super) fn order(graph: &Graph, function: &FunctionGraph) -> Vec<NodeId> {
    let plain = graph.topological_order();
    if function.updates.is_empty() {
        return plain;
    }
    let mut depths: FxHashMap<NodeId, usize> = FxHashMap::default();
    for &id in &plain {
        let depth = graph.node(id).operands.iter().map(|operand| depths[&operand.node] + 1).max().unwrap_or(0);
        depths.insert(id, depth);
    }
    let old = |update: usize| {
        let state = &function.updates.get(update)?.state;
        plain.iter().copied().find(|&id| matches!(graph.node(id).kind, NodeKind::State(own) if own.is(state)))
    };
    // What reads the old value of a state comes before its new one, where it cannot depend on that.
    let mut before: FxHashMap<NodeId, Vec<NodeId>> = FxHashMap::default();
    for (update, root) in graph.outputs().iter().skip(function.outputs.len()).enumerate() {
        let Some(old) = old(update) else { continue };
        let readers = graph.users(old).iter().copied().filter(|reader| *reader != root.node && depths.get(reader).is_some_and(|&depth| depth <= depths[&root.node]));
        before.entry(root.node).or_default().extend(readers);
    }
    let mut roots: Vec<NodeId> = graph.outputs().iter().map(|value| value.node).collect();
    roots.sort_by_key(|root| depths[root]);
    let (mut order, mut seen) = (Vec::with_capacity(plain.len()), vec![false; plain.iter().map(|id| id.0 as usize + 1).max().unwrap_or(0)]);
    let mut stack: Vec<(NodeId, bool)> = roots.into_iter().rev().map(|root| (root, false)).collect();
    while let Some((id, expanded)) = stack.pop() {
        if expanded {
            order.push(id);
        } else if !std::mem::replace(&mut seen[id.0 as usize], true) {
            stack.push((id, true));
            stack.extend(before.get(&id).into_iter().flatten().rev().map(|&reader| (reader, false)));
            stack.extend(graph.node(id).operands.iter().rev().map(|operand| (operand.node, false)));
        }
    }
    order
}
