//! Constant folding: what depends on constants alone is computed once, while compiling.

use rustc_hash::FxHashMap;

use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Constant, Graph, NodeId, NodeKind, ValueId, topological_order};
use crate::ops::Op;
use crate::ops::control::ScanLayout;
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::tensor::{Tensor, Type};

/// Computes constant subgraphs whose results are small.
pub struct ConstantFold;

/// The most elements that a folded result may have.
const LARGEST: usize = 4096;

/// The most ops that the steps of a folded loop may apply, and the most elements that they may compute.
const LOOP_OPS: usize = 1 << 14;
const LOOP_ELEMENTS: usize = 1 << 18;

/// Runs loops over constants alone that take few steps. What is in them has its final form, that keeps its digits.
pub struct FoldLoops;

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
        fold(self.name(), false, graph, context, firings)
    }
}

impl Pass for FoldLoops {
    fn name(&self) -> &str {
        "scan_fold"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn doc(&self) -> &str {
        "runs a loop that depends on constants alone, where it takes few steps and the result is small"
    }

    fn run(&self, graph: &mut Graph, context: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        if !graph.has_node(|view| view.op_name() == "scan") {
            return Ok(false);
        }
        fold(self.name(), true, graph, context, firings)
    }
}

fn fold(name: &str, loops: bool, graph: &mut Graph, context: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
    let Some(evaluate) = context.evaluate else { return Ok(false) };
    let wanted = frontier(graph, loops);
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
        firings.push(Firing::of_pass(name, location, before, after));
        changed = true;
    }
    Ok(changed)
}

/// Values that depend on constants alone, are small, and are used by something that does not.
fn frontier(graph: &Graph, loops: bool) -> Vec<ValueId> {
    let order = graph.topological_order();
    // Whether a node that is needed is constant.
    let mut constant: Vec<Option<bool>> = vec![None; order.iter().map(|id| id.0 as usize + 1).max().unwrap_or(0)];
    for &id in &order {
        let view = graph.node(id);
        let is = match view.kind {
            NodeKind::Constant(_) => true,
            NodeKind::Input(_) | NodeKind::State(_) => false,
            NodeKind::Apply(op, attributes) => {
                let short = || loops && op.name() == "scan" && is_short(graph, id);
                computes(&**op)
                    && (attributes.bodies().next().is_none() || short())
                    && !spreads_a_number(graph, id)
                    && view.results.iter().all(|result| elements(&result.ty).is_some_and(|count| count <= LARGEST))
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

/// Whether an op does nothing but compute its results.
fn computes(op: &dyn Op) -> bool {
    // Some say something about derivatives, and are gone when these are expanded.
    !op.is_symbolic() && !op.has_effect() && op.name() != "grad_barrier" && !op.is_identity()
}

/// How many elements a value has, where that is known.
fn elements(ty: &Type) -> Option<usize> {
    ty.known_shape()?.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// Whether a loop takes at most so many steps that all of them are done soon, in ops that only compute. How many steps
/// it takes may be found out by running it.
fn is_short(graph: &Graph, id: NodeId) -> bool {
    let view = graph.node(id);
    let Some(layout) = view.apply().and_then(|(_, attributes)| ScanLayout::of(attributes).ok()) else { return false };
    let counted = || graph.node(view.operands[0].node).constant()?.value.to_i64_vec().first().copied();
    let steps = match layout.counted {
        true => counted().and_then(|steps| usize::try_from(steps).ok()),
        false => view.operands.first().and_then(|&rows| graph.ty(rows).dims.first()?.known()),
    };
    let Some(steps) = steps else { return false };
    let (mut ops, mut computed) = (0usize, 0usize);
    for var in topological_order(layout.body.outputs()) {
        let NodeKind::Apply(op, attributes) = var.node().kind() else { continue };
        if !computes(&**op) || attributes.bodies().next().is_some() {
            return false;
        }
        ops += 1;
        for result in var.siblings() {
            let Some(count) = result.ty().ok().and_then(elements) else { return false };
            computed = computed.saturating_add(count);
        }
    }
    ops.saturating_mul(steps) <= LOOP_OPS && computed.saturating_mul(steps) <= LOOP_ELEMENTS
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
