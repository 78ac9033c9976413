//! Forward mode: tangents flow from targets to what is computed from them.

use rustc_hash::FxHashMap;

use super::control;
use super::reverse::above;
use crate::error::Result;
use crate::graph::{NodeKind, Var, topological_order_above};
use crate::ops::Jvp;

/// The tangents of `outputs` for given tangents of some values; `None` where an output does not depend
/// on them differentiably.
///
/// # Errors
/// If an op on the way has no forward-mode derivative; the error names it and its line.
pub fn tangents(outputs: &[Var], directions: &[(Var, Var)]) -> Result<Vec<Option<Var>>> {
    tangents_above(outputs, directions, &[])
}

/// As [`tangents`]; what the nodes of `floor` are computed from is left out.
fn tangents_above(outputs: &[Var], directions: &[(Var, Var)], floor: &[Var]) -> Result<Vec<Option<Var>>> {
    let order = topological_order_above(outputs, floor);
    let targets: Vec<Var> = directions.iter().map(|(target, _)| target.clone()).collect();
    let above = above(&order, &targets);
    let mut known: FxHashMap<(u64, u32), Var> =
        directions.iter().map(|(target, tangent)| (target.key(), tangent.clone())).collect();
    for var in &order {
        let node = var.node();
        let NodeKind::Apply(op, attributes) = node.kind() else { continue };
        if !above.contains(&node.id()) {
            continue;
        }
        let incoming: Vec<Option<Var>> =
            node.operands().iter().map(|operand| known.get(&operand.key()).cloned()).collect();
        if incoming.iter().all(Option::is_none) {
            continue;
        }
        let results = var.siblings();
        let outgoing = node.location().stand_in(|| {
            if attributes.bodies().next().is_some() {
                return control::forward(op.name(), node.operands(), attributes, &incoming);
            }
            if !op.has_decomposition() || op.has_own_derivative() {
                return op.jvp(&Jvp { operands: node.operands(), results: &results, tangents: &incoming, attributes });
            }
            let Some(values) = op.decompose(node.operands(), attributes) else { return Ok(vec![None; results.len()]) };
            let pairs = node.operands().iter().zip(&incoming);
            let inner: Vec<(Var, Var)> =
                pairs.filter_map(|(operand, tangent)| Some((operand.clone(), tangent.clone()?))).collect();
            tangents_above(&values?, &inner, node.operands())
        });
        let outgoing = outgoing.map_err(|error| error.at(node.location()))?;
        for (result, tangent) in results.iter().zip(outgoing) {
            if let Some(tangent) = tangent {
                tangent.ty()?;
                known.entry(result.key()).or_insert(tangent);
            }
        }
    }
    Ok(outputs.iter().map(|output| known.get(&output.key()).cloned()).collect())
}
