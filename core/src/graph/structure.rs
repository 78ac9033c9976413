//! Structural equality and hashes of expressions: what they compute, not which nodes they are made of.

use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::FxHashMap;

use super::{NodeKind, Var, topological_order};
use crate::ops::Attributes;
use crate::tensor::DType;

/// What a node is, given what its operands are.
#[derive(PartialEq, Eq, Hash)]
enum Signature<'a, T> {
    Input(u64),
    State(usize),
    Constant(DType, &'a [usize], Vec<u8>, bool),
    Apply(&'a str, u32, &'a Attributes, Vec<T>),
}

fn signature<'a, T>(var: &'a Var, class: impl Fn(&Var) -> T) -> Signature<'a, T> {
    let node = var.node();
    match node.kind() {
        NodeKind::Input(_) => Signature::Input(node.id()),
        NodeKind::State(state) => Signature::State(state.address()),
        NodeKind::Constant(constant) => {
            let value = &constant.value;
            Signature::Constant(value.dtype(), value.shape(), value.to_bytes(), constant.weak)
        }
        NodeKind::Apply(op, attributes) => {
            Signature::Apply(op.name(), op.revision(), attributes, node.operands().iter().map(class).collect())
        }
    }
}

/// Whether two lists of values compute the same from the same: equal ops, attributes and constants in
/// the same places, computed once or several times. Inputs correspond, and must have equal types, as
/// given by `pairs`; others, and states, must be identical.
///
/// ```
/// use arignote_core::graph::{Var, same_graph, structural_hash};
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::scalar(DType::F64));
/// let y = Var::input("y", Type::scalar(DType::F64));
/// assert!(same_graph(&[x.exp()], &[y.exp()], &[(x.clone(), y.clone())]));
/// assert!(!same_graph(&[x.exp()], &[y.exp()], &[]));
/// assert_eq!(structural_hash(&[x.exp()], &[x]), structural_hash(&[y.exp()], &[y]));
/// ```
pub fn same_graph(left: &[Var], right: &[Var], pairs: &[(Var, Var)]) -> bool {
    let same_types = |(a, b): &(Var, Var)| matches!((a.ty(), b.ty()), (Ok(a), Ok(b)) if a == b);
    if left.len() != right.len() || !pairs.iter().all(same_types) {
        return false;
    }
    // A class is the number of a signature, and which result it is.
    let mut classes: FxHashMap<(u64, u32), (usize, u32)> = FxHashMap::default();
    for (number, (a, b)) in pairs.iter().enumerate() {
        classes.insert(a.key(), (number, 0));
        classes.insert(b.key(), (number, 0));
    }
    let all: Vec<Var> = left.iter().chain(right).cloned().collect();
    let order = topological_order(&all);
    #[expect(clippy::mutable_key_type, reason = "what a state of a body holds is no part of its hash")]
    let mut numbers: FxHashMap<Signature<'_, Option<(usize, u32)>>, usize> = FxHashMap::default();
    for var in &order {
        let next = pairs.len() + numbers.len();
        let number = *numbers.entry(signature(var, |operand| classes.get(&operand.key()).copied())).or_insert(next);
        for sibling in var.siblings() {
            classes.entry(sibling.key()).or_insert((number, sibling.output() as u32));
        }
    }
    left.iter().zip(right).all(|(a, b)| classes.get(&a.key()) == classes.get(&b.key()))
}

/// A hash that is equal for values that [`same_graph`] calls the same when `inputs` correspond in order.
/// It is of this process: inputs that are not listed, and states, count by identity.
pub fn structural_hash(outputs: &[Var], inputs: &[Var]) -> u64 {
    fn hash(value: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    }
    let mut classes: FxHashMap<(u64, u32), u64> = FxHashMap::default();
    for (number, input) in inputs.iter().enumerate() {
        classes.insert(input.key(), hash(&("input", number, input.ty().ok())));
    }
    for var in topological_order(outputs) {
        let own = hash(&signature(&var, |operand| classes.get(&operand.key()).copied()));
        for sibling in var.siblings() {
            classes.entry(sibling.key()).or_insert_with(|| hash(&(own, sibling.output())));
        }
    }
    let all: Vec<Option<u64>> = outputs.iter().map(|output| classes.get(&output.key()).copied()).collect();
    hash(&all)
}
