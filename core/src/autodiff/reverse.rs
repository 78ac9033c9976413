//! Reverse mode: cotangents flow from results to what they are computed from.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Result;
use super::mask::Cotangent;
use super::{control, path};
use crate::graph::{NodeKind, Var, topological_order_above};
use crate::ops::Vjp;

/// The cotangents of `targets` for given cotangents of `outputs`; `None` for a target on which no
/// output depends differentiably. Linear in the size of the graph, without recursion; contributions
/// are added in an order that depends on the graph alone.
///
/// # Errors
/// If an op between the outputs and a target has no gradient; the error names it, its line, and the
/// path from an output to a target on which it stands.
pub fn cotangents(outputs: &[(Var, Var)], targets: &[Var]) -> Result<Vec<Option<Var>>> {
    cotangents_above(outputs, targets, &[], false)
}

/// As [`cotangents`], where the given cotangents are all there is: what flows into an output from another
/// one is not added to them.
///
/// # Errors
/// As [`cotangents`].
pub(super) fn cotangents_from(known: &[(Var, Var)], targets: &[Var]) -> Result<Vec<Option<Var>>> {
    cotangents_above(known, targets, &[], true)
}

/// As [`cotangents`]; what flows into a node of `floor` flows no further, and nothing is added to the
/// outputs' own cotangents where they are `known`.
fn cotangents_above(
    outputs: &[(Var, Var)], targets: &[Var], floor: &[Var], known: bool,
) -> Result<Vec<Option<Var>>> {
    let roots: Vec<Var> = outputs.iter().map(|(output, _)| output.clone()).collect();
    let order = topological_order_above(&roots, floor);
    let wanted: FxHashSet<(u64, u32)> = targets.iter().map(Var::key).collect();
    let on_path = above(&order, targets);
    let mut sums: FxHashMap<(u64, u32), Cotangent> = FxHashMap::default();
    for (output, cotangent) in outputs {
        add(&mut sums, output, cotangent.clone().into());
    }
    let fixed: FxHashSet<(u64, u32)> =
        if known { outputs.iter().map(|(output, _)| output.key()).collect() } else { FxHashSet::default() };
    for var in order.iter().rev() {
        let node = var.node();
        let NodeKind::Apply(op, attributes) = node.kind() else { continue };
        if !on_path.contains(&node.id()) || !node.operands().iter().any(|operand| carries(operand, &on_path, &wanted)) {
            continue;
        }
        let results = var.siblings();
        let incoming: Vec<Option<&Cotangent>> = results.iter().map(|result| sums.get(&result.key())).collect();
        if incoming.iter().all(Option::is_none) {
            continue;
        }
        let outgoing = node.location().stand_in(|| {
            if let ([Some(cotangent)], [result]) = (incoming.as_slice(), results.as_slice())
                && cotangent.is_carried(&**op)
            {
                return cotangent.through(&**op, node.operands(), result, attributes);
            }
            let incoming: Vec<Option<Var>> =
                incoming.iter().map(|cotangent| cotangent.map(Cotangent::settled)).collect();
            let outgoing = if attributes.bodies().next().is_some() {
                control::backward(op.name(), node.operands(), &results, attributes, &incoming)
            } else if op.has_decomposition() && !op.has_own_derivative() {
                through_decomposition(&**op, node.operands(), attributes, &incoming)
            } else {
                op.vjp(&Vjp { operands: node.operands(), results: &results, cotangents: &incoming, attributes })
            };
            outgoing.map(|outgoing| outgoing.into_iter().map(|cotangent| cotangent.map(Cotangent::from)).collect())
        });
        let outgoing = outgoing.map_err(|error| {
            let error = error.at(node.location());
            match path::note(&roots, var, targets) {
                Some(note) => error.note(note),
                None => error,
            }
        })?;
        for (operand, cotangent) in node.operands().iter().zip(outgoing) {
            if let Some(cotangent) = cotangent
                && carries(operand, &on_path, &wanted)
                && !fixed.contains(&operand.key())
            {
                cotangent.check()?;
                add(&mut sums, operand, cotangent);
            }
        }
    }
    Ok(targets.iter().map(|target| sums.get(&target.key()).map(Cotangent::settled)).collect())
}

/// The nodes that are computed from a target.
pub(super) fn above(order: &[Var], targets: &[Var]) -> FxHashSet<u64> {
    let wanted: FxHashSet<(u64, u32)> = targets.iter().map(Var::key).collect();
    let mut above = FxHashSet::default();
    for var in order {
        let node = var.node();
        if node.operands().iter().any(|operand| above.contains(&operand.node().id()) || wanted.contains(&operand.key())) {
            above.insert(node.id());
        }
    }
    above
}

fn carries(operand: &Var, on_path: &FxHashSet<u64>, wanted: &FxHashSet<(u64, u32)>) -> bool {
    on_path.contains(&operand.node().id()) || wanted.contains(&operand.key())
}

fn add(sums: &mut FxHashMap<(u64, u32), Cotangent>, var: &Var, cotangent: Cotangent) {
    let sum = match sums.remove(&var.key()) {
        Some(sum) => sum.add(&cotangent, var),
        None => cotangent,
    };
    sums.insert(var.key(), sum);
}

/// Differentiates an op through what it is made of.
fn through_decomposition(
    op: &dyn crate::ops::Op, operands: &[Var], attributes: &crate::ops::Attributes, incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let Some(values) = op.decompose(operands, attributes) else { return Ok(vec![None; operands.len()]) };
    let outputs: Vec<(Var, Var)> =
        values?.into_iter().zip(incoming).filter_map(|(value, cotangent)| Some((value, cotangent.clone()?))).collect();
    // The operands may be computed from each other: their own derivatives are not this op's.
    let mut cotangents = cotangents_above(&outputs, operands, operands, false)?;
    // Of a value that is an operand twice, the first one's cotangent is that of both.
    let mut known = FxHashSet::default();
    for (operand, cotangent) in operands.iter().zip(&mut cotangents) {
        if !known.insert(operand.key()) {
            *cotangent = None;
        }
    }
    Ok(cotangents)
}
