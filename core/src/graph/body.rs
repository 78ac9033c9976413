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
use crate::error::{Error, ErrorKind, Result};
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
        let mut map: Map = params.iter().map(|param| (param.key(), param.clone())).collect();
        let mut captures = Captures::new(params);
        for outputs in bodies {
            let mut leaf = |var: &Var| match var.node().kind() {
                NodeKind::Constant(_) => Ok(Some(var.clone())),
                NodeKind::Apply(..) if var.node().id() >= since => Ok(None),
                _ => captures.input(var).map(Some),
            };
            let mut again = |var: &Var, operands: Vec<Var>| match var.node().kind() {
                NodeKind::Apply(op, attributes) => {
                    let (results, location) = (var.node().results()?.to_vec(), var.node().location().clone());
                    Ok(Var::applied(op.clone(), operands, attributes.clone(), results, location))
                }
                _ => Ok(var.clone()),
            };
            rebuild(outputs, since, &mut map, &mut leaf, &mut again)?;
        }
        let renewed = |outputs: &[Var]| outputs.iter().filter_map(|var| map.get(&var.key()).cloned()).collect();
        let bodies = bodies.iter().map(|outputs| Body::trusted(captures.inputs.clone(), renewed(outputs))).collect();
        Ok((bodies, captures.values))
    }

    /// Bodies over common inputs, from some outputs of others, each given with its inputs and what
    /// [stands](Stands) for them: first `params`, then one for each value that any of them reads, in the order
    /// in which they need them; the values come back. Constants are copied. `again` applies the op of a value
    /// to new operands.
    ///
    /// # Errors
    /// If a value is ill-typed, `again` fails, or an input is read for which nothing stands.
    pub fn renew(
        params: &[Var], bodies: &[(&[Var], &[Stands], Vec<Var>)], again: &mut Again<'_>,
    ) -> Result<(Vec<Body>, Vec<Var>)> {
        let mut captures = Captures::new(params);
        let mut renewed = Vec::new();
        for (inputs, stands, outputs) in bodies {
            let places: FxHashMap<(u64, u32), &Stands> = inputs.iter().map(Var::key).zip(*stands).collect();
            let mut map = Map::default();
            let mut leaf = |var: &Var| match (var.node().kind(), places.get(&var.key())) {
                (_, Some(Stands::Param(number))) => Ok(params.get(*number).cloned()),
                (_, Some(Stands::Value(value))) => captures.input(value).map(Some),
                (NodeKind::Constant(_), _) => Ok(Some(var.clone())),
                _ => Ok(None),
            };
            rebuild(outputs, 0, &mut map, &mut leaf, again)?;
            renewed.push(outputs.iter().filter_map(|var| map.get(&var.key()).cloned()).collect::<Vec<Var>>());
        }
        let bodies = renewed.into_iter().map(|outputs| Body::trusted(captures.inputs.clone(), outputs)).collect();
        Ok((bodies, captures.values))
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

/// What an input of a body stands for where the body is [renewed](Body::renew).
#[derive(Clone, Debug)]
pub enum Stands {
    /// One of the inputs that all the new bodies begin with.
    Param(usize),
    /// A value outside.
    Value(Var),
    /// Nothing: it is not read.
    Nothing,
}

/// The op of a value, applied to other operands.
pub type Again<'a> = dyn FnMut(&Var, Vec<Var>) -> Result<Var> + 'a;

type Map = FxHashMap<(u64, u32), Var>;

/// The inputs of bodies, and what those of them that are not parameters stand for.
struct Captures {
    inputs: Vec<Var>,
    values: Vec<Var>,
    known: Map,
}

impl Captures {
    fn new(params: &[Var]) -> Captures {
        Captures { inputs: params.to_vec(), values: Vec::new(), known: Map::default() }
    }

    /// The input for a value outside; a constant is its own.
    fn input(&mut self, value: &Var) -> Result<Var> {
        let name = match value.node().kind() {
            NodeKind::Constant(_) => return Ok(value.clone()),
            NodeKind::Input(name) => name.to_string(),
            NodeKind::State(state) => state.name().to_owned(),
            NodeKind::Apply(..) => format!("c{}", self.values.len()),
        };
        if let Some(input) = self.known.get(&value.key()) {
            return Ok(input.clone());
        }
        let input = Var::input_known(&name, value.inferred()?.clone(), value.node().location().clone());
        self.known.insert(value.key(), input.clone());
        self.inputs.push(input.clone());
        self.values.push(value.clone());
        Ok(input)
    }
}

/// Finds for the outputs, and what they are computed from down to where `leaf` gives something, what stands
/// for them, and notes it in `map`. The order of the calls depends on the graph alone. Effects built from
/// `since` on come first, so that they are built again in their order.
fn rebuild(
    outputs: &[Var], since: u64, map: &mut Map, leaf: &mut dyn FnMut(&Var) -> Result<Option<Var>>, again: &mut Again<'_>,
) -> Result<()> {
    let effects = effects_of(outputs, since);
    let first = effects.iter().chain(outputs);
    let mut stack: Vec<(Var, bool)> = first.rev().map(|var| (var.clone(), false)).collect();
    while let Some((var, expanded)) = stack.pop() {
        if map.contains_key(&var.key()) {
            continue;
        }
        var.inferred()?;
        let node = var.node();
        if !expanded {
            if let Some(new) = leaf(&var)? {
                map.insert(var.key(), new);
                continue;
            }
            if !matches!(node.kind(), NodeKind::Apply(..)) {
                let message = format!("a body reads {:?}, for which nothing stands", node.kind());
                return Err(Error::new(ErrorKind::Internal, message).at(node.location()));
            }
            stack.push((var.clone(), true));
            stack.extend(node.operands().iter().rev().map(|operand| (operand.clone(), false)));
            continue;
        }
        let operands: Vec<Var> = node.operands().iter().filter_map(|operand| map.get(&operand.key()).cloned()).collect();
        let same = operands.iter().zip(node.operands()).all(|(new, old)| new.is(old));
        let effectful = matches!(node.kind(), NodeKind::Apply(op, attributes) if is_effectful(&**op, attributes));
        let new = if same && !effectful { var.clone() } else { again(&var, operands)? };
        for sibling in var.siblings() {
            map.insert(sibling.key(), new.sibling(sibling.output()));
        }
    }
    Ok(())
}
