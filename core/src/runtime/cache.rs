//! The functions of a session that are compiled already: the same graph compiled twice is compiled once.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, Weak};

use rustc_hash::{FxHashMap, FxHasher};

use super::Compiled;
use crate::error::Result;
use crate::graph::{FunctionGraph, NodeKind, State, Var, topological_order};
use crate::ops::Attributes;
use crate::ops::effects::is_effectful;

/// Compiled functions by a hash of their graphs, as long as somebody has them.
#[derive(Default)]
pub(super) struct Cache {
    known: Mutex<FxHashMap<u64, Vec<Weak<Compiled>>>>,
}

impl Cache {
    /// The compiled function of a graph, for calls that give their arguments away or not, and for each of its states the one that the graph has in its place.
    ///
    /// # Errors
    /// Those of `compile`, which is called for a graph that is not known.
    pub(super) fn get(&self, graph: &FunctionGraph, owned: bool, compile: impl FnOnce() -> Result<Compiled>) -> Result<(Arc<Compiled>, Vec<State>)> {
        let fresh = |compiled: Compiled| {
            let states = compiled.states().to_vec();
            (Arc::new(compiled), states)
        };
        let Some(hash) = hash(graph) else { return Ok(fresh(compile()?)) };
        let candidates: Vec<Arc<Compiled>> = {
            let known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            known.get(&hash).into_iter().flatten().filter_map(Weak::upgrade).collect()
        };
        for compiled in candidates {
            if compiled.owned == owned && let Some(pairs) = correspondence(compiled.function(), graph) {
                let place = |state: &State| pairs.iter().find(|(own, _)| own.is(state)).map(|(_, there)| there.clone());
                if let Some(states) = compiled.states().iter().map(place).collect() {
                    return Ok((compiled, states));
                }
            }
        }
        let (compiled, states) = fresh(compile()?);
        let mut known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.retain(|_, entries| {
            entries.retain(|entry| entry.strong_count() > 0);
            !entries.is_empty()
        });
        known.entry(hash).or_default().push(Arc::downgrade(&compiled));
        Ok((compiled, states))
    }
}

/// What a function computes: results, then new values of states.
fn roots(graph: &FunctionGraph) -> Vec<Var> {
    let outputs = graph.outputs.iter().map(|(_, value)| value.clone());
    outputs.chain(graph.updates.iter().map(|update| update.value.clone())).collect()
}

/// A hash that corresponding functions share; `None` if there are effects, whose order is that in which they were built.
fn hash(graph: &FunctionGraph) -> Option<u64> {
    let mut hasher = FxHasher::default();
    (&graph.name, graph.inputs.len(), graph.updates.len()).hash(&mut hasher);
    for var in topological_order(&roots(graph)) {
        match var.node().kind() {
            NodeKind::Apply(op, attributes) if is_effectful(&**op, attributes) => return None,
            NodeKind::Apply(op, _) => (op.name(), var.node().operands().len()).hash(&mut hasher),
            NodeKind::Input(name) => name.hash(&mut hasher),
            NodeKind::State(state) => state.name().hash(&mut hasher),
            NodeKind::Constant(constant) => constant.value.shape().hash(&mut hasher),
        }
        var.node().location().hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// The pairs of states if two functions are the same but for which states they have: the same nodes in the same
/// order, of the same lines of the user's code, which errors name.
fn correspondence(left: &FunctionGraph, right: &FunctionGraph) -> Option<Vec<(State, State)>> {
    let names = |graph: &FunctionGraph| graph.outputs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let shape = |graph: &FunctionGraph| (graph.inputs.len(), graph.updates.len(), graph.outputs.len());
    if left.name != right.name || shape(left) != shape(right) || names(left) != names(right) || left.defaults != right.defaults {
        return None;
    }
    let mut states = States::default();
    let (a, b) = (Side::new(left), Side::new(right));
    if a.order.len() != b.order.len() {
        return None;
    }
    for (x, y) in a.order.iter().zip(&b.order) {
        let same = match (x.node().kind(), y.node().kind()) {
            (NodeKind::Input(_), NodeKind::Input(_)) => a.input(x).is_some() && a.input(x) == b.input(y),
            (NodeKind::State(x), NodeKind::State(y)) => states.pair(x, y),
            (NodeKind::Constant(x), NodeKind::Constant(y)) => {
                let shared = x.value.as_ptr() == y.value.as_ptr() && x.value.dtype() == y.value.dtype() && x.value.shape() == y.value.shape();
                x.weak == y.weak && (shared || x.value.identical(&y.value))
            }
            (NodeKind::Apply(op, attributes), NodeKind::Apply(other, others)) => {
                op.name() == other.name() && op.revision() == other.revision() && attributes == others && same_lines(attributes, others)
            }
            _ => false,
        };
        let operands = |side: &Side<'_>, var: &Var| var.node().operands().iter().map(|operand| side.value(operand)).collect::<Vec<_>>();
        if !same || x.node().location() != y.node().location() || operands(&a, x) != operands(&b, y) {
            return None;
        }
    }
    let results = |side: &Side<'_>, graph: &FunctionGraph| roots(graph).iter().map(|root| side.value(root)).collect::<Vec<_>>();
    let same_input = |(x, y): (&Var, &Var)| x.ty().ok() == y.ty().ok() && input_name(x) == input_name(y);
    let same = results(&a, left) == results(&b, right)
        && left.inputs.iter().zip(&right.inputs).all(same_input)
        && left.updates.iter().zip(&right.updates).all(|(x, y)| states.pair(&x.state, &y.state));
    same.then_some(states.pairs)
}

fn input_name(var: &Var) -> Option<&str> {
    if let NodeKind::Input(name) = var.node().kind() { Some(name) } else { None }
}

/// Whether what stands in bodies, which compare by what they compute, is of the same lines.
fn same_lines(left: &Attributes, right: &Attributes) -> bool {
    left.bodies().zip(right.bodies()).all(|((_, a), (_, b))| {
        let (a, b) = (topological_order(a.outputs()), topological_order(b.outputs()));
        a.len() == b.len()
            && a.iter().zip(&b).all(|(x, y)| {
                let inside = match (x.node().kind(), y.node().kind()) {
                    (NodeKind::Apply(_, x), NodeKind::Apply(_, y)) => same_lines(x, y),
                    _ => true,
                };
                inside && x.node().location() == y.node().location()
            })
    })
}

/// One of two functions that are compared.
struct Side<'a> {
    graph: &'a FunctionGraph,
    order: Vec<Var>,
    numbers: FxHashMap<u64, usize>,
}

impl Side<'_> {
    fn new(graph: &FunctionGraph) -> Side<'_> {
        let order = topological_order(&roots(graph));
        let numbers = order.iter().enumerate().map(|(number, var)| (var.node().id(), number)).collect();
        Side { graph, order, numbers }
    }

    /// A value by the numbers of its node and result.
    fn value(&self, var: &Var) -> (Option<usize>, usize) {
        (self.numbers.get(&var.node().id()).copied(), var.output())
    }

    fn input(&self, var: &Var) -> Option<usize> {
        self.graph.inputs.iter().position(|input| input.node().id() == var.node().id())
    }
}

/// Which state stands for which.
#[derive(Default)]
struct States {
    pairs: Vec<(State, State)>,
}

impl States {
    /// Whether the two may stand for each other: they do already, or neither has a partner yet.
    fn pair(&mut self, left: &State, right: &State) -> bool {
        if let Some((a, b)) = self.pairs.iter().find(|(a, b)| a.is(left) || b.is(right)) {
            return a.is(left) && b.is(right);
        }
        let same = left.name() == right.name() && left.ty() == right.ty();
        if same {
            self.pairs.push((left.clone(), right.clone()));
        }
        same
    }
}
