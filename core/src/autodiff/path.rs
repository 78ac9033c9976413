//! The way from a cost to a target, for the errors of derivatives that do not exist.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use rustc_hash::{FxHashMap, FxHashSet};

use super::reverse::cotangents;
use crate::graph::{NodeKind, Var};

/// The shortest chain of values from one of `roots` down to `target`, both included.
pub(super) fn path(roots: &[Var], target: &Var) -> Option<Vec<Var>> {
    let mut user: FxHashMap<(u64, u32), Option<Var>> = roots.iter().map(|root| (root.key(), None)).collect();
    let mut queue: VecDeque<Var> = roots.iter().cloned().collect();
    while let Some(var) = queue.pop_front() {
        if var.is(target) {
            let mut chain = vec![var];
            while let Some(Some(above)) = chain.last().and_then(|last| user.get(&last.key())) {
                chain.push(above.clone());
            }
            chain.reverse();
            return Some(chain);
        }
        for operand in var.node().operands() {
            if let Entry::Vacant(entry) = user.entry(operand.key()) {
                entry.insert(Some(var.clone()));
                queue.push_back(operand.clone());
            }
        }
    }
    None
}

/// A note that names the ops from the cost to one that has no gradient, and the target below it.
pub(super) fn note(roots: &[Var], node: &Var, targets: &[Var]) -> Option<String> {
    let above = path(roots, node)?;
    let below = targets.iter().find_map(|target| path(std::slice::from_ref(node), target))?;
    Some(describe(&[&above[..], &below[1..]].concat()))
}

/// A note on the path from `root` to a target to which no cotangent came: the path, and the op on it
/// that passes nothing on; or that there is no path.
pub(super) fn broken(root: &Var, target: &Var) -> String {
    let Some(chain) = path(std::slice::from_ref(root), target) else {
        return "it is not computed from it at all".to_owned();
    };
    let end = chain.iter().take(64).position(|var| {
        let one = root.ones_like();
        cotangents(&[(root.clone(), one)], std::slice::from_ref(var)).is_ok_and(|found| found.iter().all(Option::is_none))
    });
    let text = describe(&chain);
    match end.and_then(|end| chain.get(end.checked_sub(1)?)) {
        Some(last) => format!("{text}; {} passes no derivative on", name(last)),
        None => text,
    }
}

fn describe(chain: &[Var]) -> String {
    const SHOWN: usize = 8;
    let mut lines = FxHashSet::default();
    let mut words: Vec<String> = chain
        .iter()
        .map(|var| {
            let place = var.node().location();
            if place.is_known() && lines.insert(place.clone()) { format!("{} ({place})", name(var)) } else { name(var) }
        })
        .collect();
    if words.len() > SHOWN {
        let hidden = words.len() - SHOWN + 1;
        words.splice(SHOWN / 2..SHOWN / 2 + hidden, [format!("{hidden} more ops")]);
    }
    format!("the path: {}", words.join(", "))
}

/// A value in an error.
pub(super) fn name(var: &Var) -> String {
    match var.node().kind() {
        NodeKind::Input(name) => format!("`{name}`"),
        NodeKind::State(state) => format!("`{}`", state.name()),
        NodeKind::Constant(constant) => format!("the constant {}", constant.value),
        NodeKind::Apply(op, _) => format!("`{}`", op.name()),
    }
}
