//! Constant folding: what depends on constants alone is computed once, while compiling.

use rustc_hash::FxHashMap;

use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Constant, Graph, NodeId, NodeKind, ValueId};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::tensor::Tensor;

/// Computes constant subgraphs whose results are small.
pub struct ConstantFold;

/// The most elements that a folded result may have.
const LARGEST: usize = 4096;

impl Pass for ConstantFold {
    fn name(&self) -> &str {
        "constant_fold"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn doc(&self) -> &str {
        "computes what depends on constants alone, where the result is small"
    }

    fn run(&self, graph: &mut Graph, context: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let Some(evaluate) = context.evaluate else { return Ok(false) };
        let wanted = frontier(graph);
        if wanted.is_empty() {
            return Ok(false);
        }
        let folded: Vec<(ValueId, Tensor)> = match evaluate(&extract(graph, &wanted)?) {
            Ok(values) if values.len() == wanted.len() => wanted.into_iter().zip(values).collect(),
            // One of them fails, as an index out of range would: it stays, to fail in the call.
            _ => wanted
                .into_iter()
                .filter_map(|value| {
                    let mut values = evaluate(&extract(graph, &[value]).ok()?).ok()?;
                    (values.len() == 1).then(|| (value, values.remove(0)))
                })
                .collect(),
        };
        let mut changed = false;
        for (value, tensor) in folded {
            let ty = graph.ty(value).clone();
            if !ty.admits(tensor.dtype(), tensor.shape()) {
                continue;
            }
            let location = graph.node(value.node).location.clone();
            let before = describe(graph, value, 4);
            let constant = graph.add_constant(Constant { value: tensor, weak: ty.weak }, location.clone());
            graph.replace(value, constant)?;
            graph.remove_dead(value.node);
            let after = describe(graph, constant, 1);
            firings.push(Firing::of_pass("constant_fold", location, before, after));
            changed = true;
        }
        Ok(changed)
    }
}

/// Values that depend on constants alone, are small, and are used by something that does not.
fn frontier(graph: &Graph) -> Vec<ValueId> {
    let order = graph.topological_order();
    // Whether a node that is needed is constant.
    let mut constant: Vec<Option<bool>> = vec![None; order.iter().map(|id| id.0 as usize + 1).max().unwrap_or(0)];
    for &id in &order {
        let view = graph.node(id);
        let is = match view.kind {
            NodeKind::Constant(_) => true,
            NodeKind::Input(_) | NodeKind::State(_) => false,
            // How long a loop runs is not known before it has.
            NodeKind::Apply(_, attributes) if attributes.bodies().next().is_some() => false,
            NodeKind::Apply(op, _) => {
                let small = |ty: &crate::tensor::Type| {
                    ty.known_shape().is_some_and(|shape| {
                        shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).is_some_and(|n| n <= LARGEST)
                    })
                };
                !op.is_symbolic()
                    && !op.has_effect()
                    // They say something about derivatives, and are gone when these are expanded.
                    && op.name() != "grad_barrier"
                    && !op.is_identity()
                    && !spreads_a_number(graph, id)
                    && view.results.iter().all(|result| small(&result.ty))
                    && view.operands.iter().all(|operand| constant[operand.node.0 as usize] == Some(true))
            }
        };
        constant[id.0 as usize] = Some(is);
    }
    let known = |id: &NodeId| constant.get(id.0 as usize).copied().flatten();
    let is_constant = |id: &NodeId| known(id) == Some(true);
    let mut wanted = Vec::new();
    for &id in &order {
        let view = graph.node(id);
        if view.apply().is_none() || !is_constant(&id) {
            continue;
        }
        for output in 0..view.results.len() {
            let value = id.output(output);
            let used = graph.users(id).iter().any(|user| {
                known(user) == Some(false) && graph.node(*user).operands.contains(&value)
            });
            if used || graph.outputs().contains(&value) {
                wanted.push(value);
            }
        }
    }
    wanted
}

/// Whether a node gives one number many places: what reads it does better with the number.
fn spreads_a_number(graph: &Graph, id: NodeId) -> bool {
    let view = graph.node(id);
    view.op_name() == "broadcast_to" && view.results[0].ty.dtype.is_float() && graph.ty(view.operands[0]).dims.iter().all(|dim| dim.known() == Some(1))
}

/// The constant values as a graph of their own.
fn extract(graph: &Graph, wanted: &[ValueId]) -> Result<Graph> {
    let mut new = Graph::new();
    let mut map: FxHashMap<NodeId, NodeId> = FxHashMap::default();
    let mut stack: Vec<(NodeId, bool)> = wanted.iter().rev().map(|value| (value.node, false)).collect();
    while let Some((id, expanded)) = stack.pop() {
        if map.contains_key(&id) {
            continue;
        }
        let view = graph.node(id);
        if !expanded {
            stack.push((id, true));
            stack.extend(view.operands.iter().rev().map(|operand| (operand.node, false)));
            continue;
        }
        let made = match view.kind {
            NodeKind::Apply(op, attributes) => {
                let operands: Vec<ValueId> = view
                    .operands
                    .iter()
                    .filter_map(|operand| Some(map.get(&operand.node)?.output(operand.output as usize)))
                    .collect();
                new.apply(op.clone(), &operands, attributes.clone(), view.location.clone())?
            }
            NodeKind::Constant(constant) => new.add_constant(constant.clone(), view.location.clone()).node,
            NodeKind::Input(_) | NodeKind::State(_) => continue,
        };
        map.insert(id, made);
    }
    let outputs = wanted.iter().filter_map(|value| Some(map.get(&value.node)?.output(value.output as usize)));
    let outputs = outputs.collect();
    new.set_outputs(outputs);
    Ok(new)
}
