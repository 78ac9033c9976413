//! Replacing nodes by expressions.

use std::sync::Arc;

use super::{Graph, NodeId, NodeKind, ValueId, Var};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{Attributes, Op};

/// The graph with some applications replaced by what `expand` gives for op, operands and attributes:
/// one value per result, of the same type.
///
/// # Errors
/// If `expand` fails, or gives something that does not fit.
pub fn expand_nodes(
    graph: &Graph, nodes: &[NodeId],
    mut expand: impl FnMut(&Arc<dyn Op>, &[Var], &Attributes) -> Result<Vec<Var>>,
) -> Result<Graph> {
    let count = graph.ids().map(|id| id.0 as usize + 1).max().unwrap_or(0);
    let mut chosen = vec![false; count];
    for node in nodes {
        chosen[node.0 as usize] = true;
    }
    let mut map: Vec<Vec<Var>> = vec![Vec::new(); count];
    let find = |map: &[Vec<Var>], value: ValueId| {
        map[value.node.0 as usize]
            .get(value.output as usize)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a value has no node"))
    };
    for id in graph.inputs().iter().copied().chain(graph.topological_order()) {
        if !map[id.0 as usize].is_empty() {
            continue;
        }
        let view = graph.node(id);
        let location = view.location.clone();
        map[id.0 as usize] = match view.kind {
            NodeKind::Input(name) => vec![Var::input_at(name, view.results[0].ty.clone(), location)],
            NodeKind::State(state) => vec![Var::state_at(state, location)],
            NodeKind::Constant(constant) => vec![Var::constant_at(constant.clone(), location)],
            NodeKind::Apply(op, attributes) => {
                let operands: Vec<Var> =
                    view.operands.iter().map(|&value| find(&map, value)).collect::<Result<_>>()?;
                if chosen[id.0 as usize] {
                    let values = location.inside(op.name()).stand_in(|| expand(op, &operands, attributes)).map_err(|error| error.at(&location))?;
                    check(op.name(), &values, &view)?;
                    values
                } else {
                    Var::apply_op(op.clone(), &operands, attributes.clone(), location).siblings()
                }
            }
        };
        if let Some(var) = map[id.0 as usize].first() {
            var.ty()?;
        }
    }
    let inputs = graph.inputs().iter().map(|&id| find(&map, id.output(0))).collect::<Result<Vec<_>>>()?;
    let outputs = graph.outputs().iter().map(|&value| find(&map, value)).collect::<Result<Vec<_>>>()?;
    Graph::from_vars(&inputs, &outputs)
}

fn check(op: &str, values: &[Var], view: &super::NodeView<'_>) -> Result<()> {
    if values.len() != view.results.len() {
        let message = format!("`{op}` expands to {} values instead of {}", values.len(), view.results.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    for (value, result) in values.iter().zip(view.results) {
        let ty = value.ty()?;
        if ty.dtype != result.ty.dtype || ty.rank() != result.ty.rank() {
            let message = format!("`{op}` expands to {ty} where it gives {}", result.ty);
            return Err(Error::new(ErrorKind::Internal, message));
        }
    }
    Ok(())
}
