//! Walks over expression graphs, all without recursion.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{NodeKind, Var};
use crate::error::Result;

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

/// The outputs rebuilt with some values replaced by others. What does not depend on a replaced value
/// is shared with the old graph. Replacements are not themselves searched.
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
/// If a replacement has a type that does not fit where it is put.
pub fn clone_with(outputs: &[Var], replacements: &[(Var, Var)]) -> Result<Vec<Var>> {
    let mut map: FxHashMap<(u64, u32), Var> =
        replacements.iter().map(|(old, new)| (old.key(), new.clone())).collect();
    for var in topological_order(outputs) {
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

fn renewed(map: &FxHashMap<(u64, u32), Var>, var: &Var) -> Var {
    map.get(&var.key()).unwrap_or(var).clone()
}

/// Whether two lists of values compute the same from the same: equal ops, attributes and constants in
/// the same places. Inputs correspond as given by `pairs`; others must be identical.
pub fn same_graph(left: &[Var], right: &[Var], pairs: &[(Var, Var)]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut classes: FxHashMap<(u64, u32), u64> = FxHashMap::default();
    for (number, (a, b)) in pairs.iter().enumerate() {
        classes.insert(a.key(), number as u64);
        classes.insert(b.key(), number as u64);
    }
    let mut numbers: FxHashMap<Vec<u8>, u64> = FxHashMap::default();
    let mut next = pairs.len() as u64;
    let all: Vec<Var> = left.iter().chain(right).cloned().collect();
    for var in topological_order(&all) {
        let mut key = Vec::new();
        match var.node().kind() {
            NodeKind::Apply(op, attributes) => {
                key.extend(format!("{}{attributes:?}", op.name()).bytes());
                for operand in var.node().operands() {
                    key.extend(classes.get(&operand.key()).copied().unwrap_or(u64::MAX).to_le_bytes());
                }
            }
            NodeKind::Constant(constant) => {
                key.extend(format!("{}{:?}{}", constant.value.dtype(), constant.value.shape(), constant.weak).bytes());
                key.extend(constant.value.to_bytes());
            }
            NodeKind::Input(_) | NodeKind::State(_) => key.extend(format!("leaf {}", var.node().id()).bytes()),
        }
        let number = *numbers.entry(key).or_insert_with(|| {
            next += 1 << 8;
            next
        });
        for sibling in var.siblings() {
            classes.entry(sibling.key()).or_insert(number + sibling.output() as u64);
        }
    }
    left.iter().zip(right).all(|(a, b)| classes.get(&a.key()) == classes.get(&b.key()))
}
