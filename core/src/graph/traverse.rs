//! Walks over expression graphs, all without recursion.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{NodeKind, Var};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::effects::effects_of;

/// One value of every node that the outputs need, operands before users. The order depends on the
/// graph alone.
pub fn topological_order(outputs: &[Var]) -> Vec<Var> {
    topological_order_above(outputs, &[])
}

/// As [`topological_order`], without the nodes of `floor` and what only they need.
pub fn topological_order_above(outputs: &[Var], floor: &[Var]) -> Vec<Var> {
    let mut order = Vec::new();
    let mut seen: FxHashSet<u64> = floor.iter().map(|var| var.node().id()).collect();
    let mut stack: Vec<(Var, bool)> = outputs.iter().rev().map(|var| (var.clone(), false)).collect();
    while let Some((var, expanded)) = stack.pop() {
        if expanded {
            order.push(var);
        } else if seen.insert(var.node().id()) {
            stack.push((var.clone(), true));
            stack.extend(var.node().operands().iter().rev().map(|operand| (operand.clone(), false)));
        }
    }
    order
}

/// All values that the outputs are computed from, themselves included.
pub fn ancestors(outputs: &[Var]) -> Vec<Var> {
    topological_order(outputs).iter().flat_map(Var::siblings).collect()
}

/// The inputs and states that the outputs depend on.
pub fn inputs_of(outputs: &[Var]) -> Vec<Var> {
    let is_leaf = |var: &Var| matches!(var.node().kind(), NodeKind::Input(_) | NodeKind::State(_));
    topological_order(outputs).into_iter().filter(is_leaf).collect()
}

/// Whether `var` is computed from `source`.
pub fn depends_on(var: &Var, source: &Var) -> bool {
    let mut seen = FxHashSet::default();
    let mut queue = VecDeque::from([var.clone()]);
    while let Some(var) = queue.pop_front() {
        if var.is(source) {
            return true;
        }
        if var.node().id() >= source.node().id() && seen.insert(var.node().id()) {
            queue.extend(var.node().operands().iter().cloned());
        }
    }
    false
}

/// The outputs rebuilt with some values (inputs, states or intermediate ones) replaced by others. What
/// does not depend on a replaced value is shared with the old graph. Replacements are made at once: they
/// are not searched themselves. One without a dtype of its own takes that of what it replaces.
///
/// ```
/// use arignote_core::graph::{Var, clone_with};
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::scalar(DType::F64));
/// let y = Var::input("y", Type::scalar(DType::F64));
/// let z = clone_with(&[x.clone()], &[(x, y.clone())]).unwrap();
/// assert!(z[0].is(&y));
/// ```
///
/// # Errors
/// If a replacement has another dtype or rank than what it replaces, or dims that cannot be equal, or
/// does not fit where it is put.
pub fn clone_with(outputs: &[Var], replacements: &[(Var, Var)]) -> Result<Vec<Var>> {
    let mut map: FxHashMap<(u64, u32), Var> = FxHashMap::default();
    for (old, new) in replacements {
        map.insert(old.key(), fitted(old, new)?);
    }
    let mut roots = effects_of(outputs, 0);
    roots.extend_from_slice(outputs);
    for var in topological_order(&roots) {
        let NodeKind::Apply(op, attributes) = var.node().kind() else { continue };
        let operands: Vec<Var> = var.node().operands().iter().map(|operand| renewed(&map, operand)).collect();
        if operands.iter().zip(var.node().operands()).all(|(new, old)| new.is(old)) {
            continue;
        }
        let location = var.node().location().clone();
        let new = Var::apply_op(op.clone(), &operands, attributes.clone(), location);
        new.ty()?;
        for (old, new) in var.siblings().into_iter().zip(new.siblings()) {
            map.entry(old.key()).or_insert(new);
        }
    }
    Ok(outputs.iter().map(|output| renewed(&map, output)).collect())
}

/// A replacement with the dtype of what it replaces.
fn fitted(old: &Var, new: &Var) -> Result<Var> {
    let (wanted, found) = (old.ty()?, new.ty()?);
    let adopts = found.weak && found.dtype.kind() <= wanted.dtype.kind();
    let fits = (found.dtype == wanted.dtype || adopts)
        && found.rank() == wanted.rank()
        && found.dims.iter().zip(&wanted.dims).all(|(a, b)| a.compatible(b));
    if !fits {
        let message = format!("a value of type {wanted} cannot be replaced by one of type {found}");
        let error = Error::new(ErrorKind::Type, message).at(new.node().location());
        let castable = found.dtype != wanted.dtype && found.rank() == wanted.rank();
        return Err(if castable { error.note(format!("convert it with `cast(DType::{:?})`", wanted.dtype)) } else { error });
    }
    Ok(if found.dtype == wanted.dtype { new.clone() } else { new.cast(wanted.dtype) })
}

fn renewed(map: &FxHashMap<(u64, u32), Var>, var: &Var) -> Var {
    map.get(&var.key()).unwrap_or(var).clone()
}
