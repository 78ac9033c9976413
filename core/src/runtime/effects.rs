//! Keeping effects: each is computed after the one that was built before it, and none is lost.

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::graph::{Body, NodeKind, Var, topological_order};
use crate::ops::effects::is_effectful;
use crate::ops::{Attributes, Op};

/// The outputs with the effects among what they are computed from chained by `after`, in the order in which
/// they were built; and the last effect as a further output, so that they run whatever rewriting finds out
/// about the others.
///
/// # Errors
/// If an expression is ill-typed.
pub(super) fn ordered(outputs: &[Var]) -> Result<Vec<Var>> {
    let (mut outputs, last) = chained(outputs)?;
    outputs.extend(last);
    Ok(outputs)
}

fn chained(outputs: &[Var]) -> Result<(Vec<Var>, Option<Var>)> {
    let effectful = |var: &Var| match var.node().kind() {
        NodeKind::Apply(op, attributes) => is_effectful(&**op, attributes),
        _ => false,
    };
    let mut order = topological_order(outputs);
    if !order.iter().any(effectful) {
        return Ok((outputs.to_vec(), None));
    }
    // What is built later has the higher number, and operands are built first.
    order.sort_by_key(|var| var.node().id());
    let mut map: FxHashMap<(u64, u32), Var> = FxHashMap::default();
    let renewed = |map: &FxHashMap<(u64, u32), Var>, var: &Var| map.get(&var.key()).unwrap_or(var).clone();
    let mut last: Option<Var> = None;
    for var in &order {
        let NodeKind::Apply(op, attributes) = var.node().kind() else { continue };
        let mut operands: Vec<Var> = var.node().operands().iter().map(|operand| renewed(&map, operand)).collect();
        let effect = effectful(var);
        let changed = operands.iter().zip(var.node().operands()).any(|(new, old)| !new.is(old));
        if !changed && !effect {
            continue;
        }
        let location = var.node().location();
        if let (true, Some(last), Some(first)) = (effect, &last, operands.first_mut()) {
            *first = Var::apply_at("after", &[first.clone(), last.clone()], Attributes::new(), location.clone());
        }
        let new = Var::apply_op(op.clone(), &operands, in_bodies(&**op, attributes)?, location.clone());
        new.ty()?;
        for sibling in var.siblings() {
            map.insert(sibling.key(), new.sibling(sibling.output()));
        }
        if effect {
            last = Some(new);
        }
    }
    Ok((outputs.iter().map(|output| renewed(&map, output)).collect(), last))
}

/// The same in the bodies of an application, whose outputs are fixed.
fn in_bodies(op: &dyn Op, attributes: &Attributes) -> Result<Attributes> {
    let mut renewed = attributes.clone();
    if !op.has_effect() {
        for (name, body) in attributes.bodies() {
            let (outputs, last) = chained(body.outputs())?;
            if last.is_some() {
                renewed.set(name, Body::new(body.inputs().to_vec(), outputs)?);
            }
        }
    }
    Ok(renewed)
}
