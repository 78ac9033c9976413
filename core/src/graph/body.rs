//! [`Body`]: a closed graph inside a node, such as one step of a loop or one branch of a choice.
//!
//! Nothing in a body points outside: what it reads of the surrounding graph are inputs of its own, and the
//! node that holds it has the values as operands. So whatever works on graphs treats such a node as any
//! other. A body is an attribute, and like all attributes compares and hashes by what it means: bodies
//! are equal if they compute the same from inputs of the same types.

use std::fmt;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;

use super::{Graph, NodeKind, Var, clone_with, same_graph, structural_hash};
use crate::error::Result;
use crate::ops::effects::{effects_of, is_effectful};

/// A closed graph: outputs over inputs, without states.
#[derive(Clone)]
pub struct Body {
    inputs: Vec<Var>,
    outputs: Vec<Var>,
    hash: u64,
}

impl Body {
    /// The body of some outputs over all the inputs that they have.
    ///
    /// # Errors
    /// If an output is ill-typed, or depends on an input that is not listed.
    pub fn new(inputs: Vec<Var>, outputs: Vec<Var>) -> Result<Body> {
        Graph::from_vars(&inputs, &outputs)?;
        Ok(Body::trusted(inputs, outputs))
    }

    fn trusted(inputs: Vec<Var>, outputs: Vec<Var>) -> Body {
        let hash = structural_hash(&outputs, &inputs);
        Body { inputs, outputs, hash }
    }

    /// Cuts a body out of a graph that was built from `since` on (a number of [`Var::next_id`]) over the
    /// inputs `params`. What it reads of older values, and of inputs and states, become further inputs;
    /// their values come back, in the order in which the body needs them. Constants are copied.
    ///
    /// # Errors
    /// If a value is ill-typed.
    pub fn close(params: &[Var], outputs: &[Var], since: u64) -> Result<(Body, Vec<Var>)> {
        let mut closed = Body::close_all(params, &[outputs], since)?;
        let captured = std::mem::take(&mut closed.1);
        Ok((closed.0.remove(0), captured))
    }

    /// As [`Body::close`], of several bodies with the same inputs: what any of them reads is an input of
    /// all.
    ///
    /// # Errors
    /// If a value is ill-typed.
    pub fn close_all(params: &[Var], bodies: &[&[Var]], since: u64) -> Result<(Vec<Body>, Vec<Var>)> {
        let mut map: FxHashMap<(u64, u32), Var> = params.iter().map(|param| (param.key(), param.clone())).collect();
        let (mut inputs, mut captured) = (params.to_vec(), Vec::new());
        let outputs = bodies.iter().flat_map(|outputs| outputs.iter());
        let mut stack: Vec<(Var, bool)> = outputs.rev().map(|var| (var.clone(), false)).collect();
        // Effects first, so that they are built again in their order.
        let effects = effects_of(bodies.iter().flat_map(|outputs| outputs.iter()), since);
        stack.extend(effects.into_iter().rev().map(|var| (var, false)));
        while let Some((var, expanded)) = stack.pop() {
            if map.contains_key(&var.key()) {
                continue;
            }
            let node = var.node();
            let inferred = var.inferred()?;
            match node.kind() {
                NodeKind::Constant(_) => drop(map.insert(var.key(), var.clone())),
                NodeKind::Apply(op, attributes) if node.id() >= since => {
                    if !expanded {
                        stack.push((var.clone(), true));
                        stack.extend(node.operands().iter().rev().map(|operand| (operand.clone(), false)));
                        continue;
                    }
                    let operands: Vec<Var> =
                        node.operands().iter().filter_map(|operand| map.get(&operand.key()).cloned()).collect();
                    let same = operands.iter().zip(node.operands()).all(|(new, old)| new.is(old));
                    let new = if same && !is_effectful(&**op, attributes) {
                        var.clone()
                    } else {
                        let results = node.results()?.to_vec();
                        Var::applied(op.clone(), operands, attributes.clone(), results, node.location().clone())
                    };
                    for sibling in var.siblings() {
                        map.insert(sibling.key(), new.sibling(sibling.output()));
                    }
                }
                kind => {
                    let name = match kind {
                        NodeKind::Input(name) => name.to_string(),
                        NodeKind::State(state) => state.name().to_owned(),
                        _ => format!("c{}", captured.len()),
                    };
                    let input = Var::input_known(&name, inferred.clone(), node.location().clone());
                    map.insert(var.key(), input.clone());
                    inputs.push(input);
                    captured.push(var.clone());
                }
            }
        }
        let renewed = |outputs: &[Var]| outputs.iter().filter_map(|var| map.get(&var.key()).cloned()).collect();
        let bodies = bodies.iter().map(|outputs| Body::trusted(inputs.clone(), renewed(outputs))).collect();
        Ok((bodies, captured))
    }

    /// The inputs in order.
    pub fn inputs(&self) -> &[Var] {
        &self.inputs
    }

    /// The outputs in order.
    pub fn outputs(&self) -> &[Var] {
        &self.outputs
    }

    /// The body as a graph of its own.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn graph(&self) -> Result<Graph> {
        Graph::from_vars(&self.inputs, &self.outputs)
    }

    /// The outputs for these values of the inputs.
    ///
    /// # Errors
    /// If a value does not fit its input.
    pub fn inline(&self, values: &[Var]) -> Result<Vec<Var>> {
        let pairs: Vec<(Var, Var)> = self.inputs.iter().cloned().zip(values.iter().cloned()).collect();
        clone_with(&self.outputs, &pairs)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        let pairs: Vec<(Var, Var)> = self.inputs.iter().cloned().zip(other.inputs.iter().cloned()).collect();
        self.hash == other.hash
            && self.inputs.len() == other.inputs.len()
            && same_graph(&self.outputs, &other.outputs, &pairs)
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a body of {} inputs and {} outputs", self.inputs.len(), self.outputs.len())
    }
}
