//! What both branches of an `if` compute, or what is computed anyway, need not be computed in them.
//!
//! Both branches are written into the graph beside the `if`, each node only if there is none that computes the same.
//! What both branches came to is one of them at any rate, so that computing it before costs nothing, and lets it meet what
//! stands outside; what was there before, and does not need the `if`, is read and not computed again. All else goes again.

use rustc_hash::{FxHashMap, FxHashSet};

use super::merge::{same, signature};
use super::together::nodes_of;
use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Body, Graph, NodeId, NodeKind, ValueId, Var, clone_with, topological_order};
use crate::ops::Attribute;
use crate::ops::control::branches;
use crate::ops::effects::is_effectful;
use crate::rewrite::Phase;
use crate::rewrite::engine::{Firing, fits};

/// Computes before an `if` what both of its branches compute, or what is there already.
pub struct HoistBranches;

/// Ops in both branches, at most: larger ones are not looked at.
const LARGEST: usize = 4096;

impl Pass for HoistBranches {
    fn name(&self) -> &str {
        "hoist_branches"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn doc(&self) -> &str {
        "computes before an if what both of its branches compute, and reads in them what is computed anyway"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let choices = nodes_of(graph, "if");
        if choices.is_empty() {
            return Ok(false);
        }
        let (mut table, mut changed) = (Table::of(graph), false);
        for id in choices {
            if graph.contains(id) && graph.node(id).apply().is_some_and(|(op, attributes)| !is_effectful(&**op, attributes)) {
                changed |= hoist(graph, id, &mut table, firings)?;
            }
        }
        Ok(changed)
    }
}

/// The nodes of a graph by what they compute; some may be gone.
struct Table {
    nodes: FxHashMap<u64, Vec<NodeId>>,
}

impl Table {
    fn of(graph: &Graph) -> Table {
        let mut nodes: FxHashMap<u64, Vec<NodeId>> = FxHashMap::default();
        for id in graph.topological_order() {
            if let Some(signature) = signature(graph, id) {
                nodes.entry(signature).or_default().push(id);
            }
        }
        Table { nodes }
    }

    /// The node that computes the same as a new one if there is one, else the new one.
    fn settle(&mut self, graph: &mut Graph, new: NodeId, added: &mut Vec<NodeId>) -> NodeId {
        let alike = signature(graph, new).map(|signature| self.nodes.entry(signature).or_default());
        if let Some(alike) = alike {
            if let Some(&known) = alike.iter().find(|&&known| graph.contains(known) && same(graph, known, new)) {
                graph.remove_dead(new);
                return known;
            }
            alike.push(new);
        }
        added.push(new);
        new
    }

    /// The values of the graph for those of a body whose inputs stand for `operands`.
    fn write(&mut self, graph: &mut Graph, body: &Body, operands: &[ValueId], added: &mut Vec<NodeId>) -> Result<FxHashMap<(u64, u32), ValueId>> {
        let inputs = body.inputs().iter().map(Var::key);
        let mut known: FxHashMap<(u64, u32), ValueId> = inputs.zip(operands.iter().copied()).collect();
        for var in topological_order(body.outputs()) {
            if known.contains_key(&var.key()) {
                continue;
            }
            let new = match var.node().kind() {
                NodeKind::Constant(constant) => graph.add_constant(constant.clone(), var.node().location().clone()).node,
                NodeKind::State(state) => graph.add_state(state, var.node().location().clone()).node,
                NodeKind::Input(_) => continue,
                NodeKind::Apply(op, attributes) => {
                    let operands: Option<Vec<ValueId>> = var.node().operands().iter().map(|operand| known.get(&operand.key()).copied()).collect();
                    let Some(operands) = operands else { continue };
                    graph.apply(op.clone(), &operands, attributes.clone(), var.node().location().clone())?
                }
            };
            let node = self.settle(graph, new, added);
            for sibling in var.siblings() {
                known.insert(sibling.key(), node.output(sibling.output()));
            }
        }
        Ok(known)
    }
}

fn hoist(graph: &mut Graph, id: NodeId, table: &mut Table, firings: &mut Vec<Firing>) -> Result<bool> {
    let view = graph.node(id);
    let Some((op, attributes)) = view.apply() else { return Ok(false) };
    let (op, mut attributes) = (op.clone(), attributes.clone());
    let (operands, results, location) = (view.operands.to_vec(), view.results.len(), view.location.clone());
    let [then, otherwise] = branches(&attributes)?.map(|body| (**body).clone());
    let bodies = [&then, &otherwise];
    let ops = |body: &Body| topological_order(body.outputs()).iter().filter(|var| matches!(var.node().kind(), NodeKind::Apply(..))).count();
    let counts = bodies.map(ops);
    if counts.iter().sum::<usize>() > LARGEST || counts == [0, 0] {
        return Ok(false);
    }
    let (mut added, mut written) = (Vec::new(), Vec::new());
    for body in bodies {
        match table.write(graph, body, &operands[1..], &mut added) {
            Ok(known) => written.push(known),
            // What does not fit outside stays inside.
            Err(_) => {
                discard(graph, &added, &FxHashSet::default());
                return Ok(false);
            }
        }
    }
    let fresh: FxHashSet<NodeId> = added.iter().copied().collect();
    let sides: Vec<FxHashSet<ValueId>> = written.iter().map(|known| known.values().copied().collect()).collect();
    // What was there and computes the same is computed from the same, and so not from the results of the `if`.
    let stands = |value: ValueId| !fresh.contains(&value.node) || sides.iter().all(|side| side.contains(&value));
    // A result that both branches give alike needs no branch.
    let alike: Vec<Option<ValueId>> = (0..results).map(|at| {
        let given = [0, 1].map(|side| written[side].get(&bodies[side].outputs()[at].key()).copied());
        given[0].filter(|&value| given[0] == given[1] && stands(value) && fits(graph, id.output(at), value).is_ok())
    }).collect();
    // What is read by what stays, and stands outside.
    let (mut taken, mut replaced): (Vec<ValueId>, [Vec<(Var, ValueId)>; 2]) = Default::default();
    for side in 0..2 {
        let known = &written[side];
        let outputs = bodies[side].outputs().iter().zip(&alike).filter(|(_, alike)| alike.is_none()).map(|(output, _)| output.clone());
        let (mut pending, mut seen): (Vec<Var>, FxHashSet<(u64, u32)>) = (outputs.collect(), FxHashSet::default());
        while let Some(var) = pending.pop() {
            if !seen.insert(var.key()) || !matches!(var.node().kind(), NodeKind::Apply(..)) {
                continue;
            }
            match known.get(&var.key()).copied().filter(|&value| stands(value) && !is_number_or_shape(&var)) {
                Some(value) => {
                    if !taken.contains(&value) {
                        taken.push(value);
                    }
                    replaced[side].push((var, value));
                }
                None => pending.extend(var.node().operands().iter().cloned()),
            }
        }
    }
    let dropped = alike.iter().flatten().count();
    let kept: FxHashSet<NodeId> = taken.iter().chain(alike.iter().flatten()).map(|value| value.node).collect();
    if taken.is_empty() && dropped == 0 {
        discard(graph, &added, &kept);
        return Ok(false);
    }
    let renew = |side: usize| -> Result<Body> {
        let inputs: Vec<Var> = taken.iter().map(|&value| {
            let inferred = graph.node(value.node).results[value.output as usize].clone();
            Var::input_known("c", inferred, graph.node(value.node).location.clone())
        }).collect();
        let stands_for = |value: &ValueId| taken.iter().position(|taken| taken == value).map(|at| inputs[at].clone());
        let pairs: Vec<(Var, Var)> = replaced[side].iter().filter_map(|(var, value)| Some((var.clone(), stands_for(value)?))).collect();
        let left: Vec<Var> = bodies[side].outputs().iter().zip(&alike).filter(|(_, alike)| alike.is_none()).map(|(output, _)| output.clone()).collect();
        Body::new(bodies[side].inputs().iter().cloned().chain(inputs).collect(), clone_with(&left, &pairs)?)
    };
    let mut new = None;
    if dropped < results {
        let renewed = renew(0).and_then(|then| Ok([then, renew(1)?]));
        let applied = renewed.and_then(|[then, otherwise]| {
            attributes.set("then", Attribute::Body(then.into()));
            attributes.set("otherwise", Attribute::Body(otherwise.into()));
            let operands: Vec<ValueId> = operands.iter().chain(&taken).copied().collect();
            graph.apply(op, &operands, attributes, location.clone())
        });
        let left: Vec<usize> = (0..results).filter(|&at| alike[at].is_none()).collect();
        match applied {
            Ok(applied) if left.iter().enumerate().all(|(at, &old)| fits(graph, id.output(old), applied.output(at)).is_ok()) => new = Some(applied),
            other => {
                added.extend(other.ok());
                discard(graph, &added, &FxHashSet::default());
                return Ok(false);
            }
        }
    }
    let mut next = 0;
    for (at, alike) in alike.into_iter().enumerate() {
        let value = match (alike, new) {
            (Some(value), _) => value,
            (None, Some(new)) => {
                next += 1;
                new.output(next - 1)
            }
            (None, None) => continue,
        };
        graph.replace(id.output(at), value)?;
    }
    graph.remove_dead(id);
    discard(graph, &added, &kept);
    let done = format!("{} values read from outside, {dropped} results that do not depend on the condition", taken.len());
    firings.push(Firing::of_pass("hoist_branches", location, format!("branches of {} and {} ops", counts[0], counts[1]), done));
    Ok(true)
}

/// Whether a value is a shape, or one number everywhere: what reads it in the branch does better if it sees that.
fn is_number_or_shape(var: &Var) -> bool {
    let NodeKind::Apply(op, _) = var.node().kind() else { return false };
    match (op.name(), var.node().operands()) {
        ("shape" | "zeros_like" | "ones_like" | "zeros" | "ones", _) => true,
        ("broadcast_to", [of, ..]) => matches!(of.node().kind(), NodeKind::Constant(constant) if constant.value.len() == 1),
        _ => false,
    }
}

/// Removes nodes that nothing uses, but these.
fn discard(graph: &mut Graph, added: &[NodeId], kept: &FxHashSet<NodeId>) {
    for &id in added.iter().rev() {
        if graph.contains(id) && !kept.contains(&id) {
            graph.remove_dead(id);
        }
    }
}
