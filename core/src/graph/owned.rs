//! [`Graph`]: the owned form that rewrites work on, with use-lists.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{Constant, Location, NodeKind, State, Var, topological_order};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{self, Attributes, Inferred, Op, Operand};
use crate::tensor::Type;

/// A node of one [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// One result of a node of one [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId {
    /// The node.
    pub node: NodeId,
    /// Which of its results.
    pub output: u32,
}

/// What makes a value.
pub type ValueKind = NodeKind;

/// A graph of nodes that can be replaced: inputs, states and outputs in order, and for every node the
/// nodes that use it.
#[derive(Clone, Default)]
pub struct Graph {
    nodes: Vec<Option<Slot>>,
    /// The inputs in the order of the arguments, the states' values among them where they were added.
    inputs: Vec<NodeId>,
    outputs: Vec<ValueId>,
    /// The node of each state, by the state's address.
    states: FxHashMap<usize, NodeId>,
}

#[derive(Clone)]
struct Slot {
    kind: NodeKind,
    operands: Vec<ValueId>,
    results: Vec<Inferred>,
    location: Location,
    /// For each operand, where its use stands in the operand's `users`: so that uses can be removed in
    /// constant time however many there are.
    places: SmallVec<[u32; 3]>,
    /// One entry per use as an operand.
    users: Vec<NodeId>,
    /// For each of `users`, which of its operands this is.
    user_operands: Vec<u32>,
    /// How many outputs of the graph this node makes.
    outputs: u32,
}

/// What a node is, to look at.
#[derive(Clone, Copy)]
pub struct NodeView<'a> {
    /// The node itself.
    pub id: NodeId,
    /// What it is.
    pub kind: &'a NodeKind,
    /// What it is applied to.
    pub operands: &'a [ValueId],
    /// What it gives.
    pub results: &'a [Inferred],
    /// Where the user built it.
    pub location: &'a Location,
}

impl<'a> NodeView<'a> {
    /// The op and attributes, if the node applies one.
    pub fn apply(&self) -> Option<(&'a Arc<dyn Op>, &'a Attributes)> {
        match self.kind {
            NodeKind::Apply(op, attributes) => Some((op, attributes)),
            _ => None,
        }
    }

    /// The op's name, or `""`.
    pub fn op_name(&self) -> &'a str {
        self.apply().map_or("", |(op, _)| op.name())
    }

    /// The constant, if it is one.
    pub fn constant(&self) -> Option<&'a Constant> {
        match self.kind {
            NodeKind::Constant(constant) => Some(constant),
            _ => None,
        }
    }
}

impl NodeId {
    /// The result with this number.
    pub fn output(self, output: usize) -> ValueId {
        ValueId { node: self, output: output as u32 }
    }
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// The graph of some values, with the given inputs (which need not all be used) in order.
    ///
    /// # Errors
    /// If a value is ill-typed, or depends on an input that is not listed. States need no listing.
    pub fn from_vars(inputs: &[Var], outputs: &[Var]) -> Result<Graph> {
        let mut graph = Graph::new();
        let mut map: FxHashMap<u64, NodeId> = FxHashMap::default();
        for input in inputs {
            let node = input.node();
            let id = graph.push(node.kind().clone(), Vec::new(), node.results()?.to_vec(), node.location().clone());
            graph.inputs.push(id);
            map.insert(node.id(), id);
        }
        for var in topological_order(outputs) {
            let node = var.node();
            if map.contains_key(&node.id()) {
                continue;
            }
            let results = node.results()?.to_vec();
            if let NodeKind::Input(name) = node.kind() {
                let message = format!("the input `{name}` is used but is not among the function's inputs");
                return Err(Error::new(ErrorKind::Type, message).at(node.location()));
            }
            // Every mention of a state is the same value.
            if let NodeKind::State(state) = node.kind()
                && let Some(&id) = graph.states.get(&state.address())
            {
                map.insert(node.id(), id);
                continue;
            }
            let operands = node.operands().iter().map(|v| map[&v.node().id()].output(v.output())).collect();
            let id = graph.push(node.kind().clone(), operands, results, node.location().clone());
            map.insert(node.id(), id);
        }
        graph.set_outputs(outputs.iter().map(|var| map[&var.node().id()].output(var.output())).collect());
        Ok(graph)
    }

    /// The graph as expressions of the same types: its inputs, and its outputs over them.
    ///
    /// # Errors
    /// If the graph is damaged.
    pub fn to_vars(&self) -> Result<(Vec<Var>, Vec<Var>)> {
        let mut map: Vec<Option<Var>> = vec![None; self.nodes.len()];
        for id in self.inputs.iter().copied().chain(self.topological_order()) {
            if map[id.0 as usize].is_some() {
                continue;
            }
            let view = self.node(id);
            let var = match view.kind {
                NodeKind::Input(name) => Var::input_at(name, view.results[0].ty.clone(), view.location.clone()),
                NodeKind::State(state) => Var::state_at(state, view.location.clone()),
                NodeKind::Constant(constant) => Var::constant_at(constant.clone(), view.location.clone()),
                NodeKind::Apply(op, attributes) => {
                    let operands: Vec<Var> =
                        view.operands.iter().filter_map(|&value| self.lookup(&map, value)).collect();
                    Var::applied(op.clone(), operands, attributes.clone(), view.results.to_vec(), view.location.clone())
                }
            };
            map[id.0 as usize] = Some(var);
        }
        let find = |value: ValueId| {
            self.lookup(&map, value).ok_or_else(|| Error::new(ErrorKind::Internal, "a value has no node"))
        };
        let inputs = self.inputs.iter().map(|&id| find(id.output(0))).collect::<Result<_>>()?;
        Ok((inputs, self.outputs.iter().map(|&value| find(value)).collect::<Result<_>>()?))
    }

    fn lookup(&self, map: &[Option<Var>], value: ValueId) -> Option<Var> {
        map[value.node.0 as usize].as_ref().map(|var| var.sibling(value.output as usize))
    }

    fn push(
        &mut self, kind: NodeKind, operands: Vec<ValueId>, results: Vec<Inferred>, location: Location,
    ) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        if let NodeKind::State(state) = &kind {
            self.states.insert(state.address(), id);
        }
        let places = operands.iter().enumerate().map(|(at, operand)| self.add_use(operand.node, id, at)).collect();
        self.nodes.push(Some(Slot {
            kind, operands, results, location, places, users: Vec::new(), user_operands: Vec::new(), outputs: 0,
        }));
        id
    }

    /// Lists a use; gives its place in the list.
    fn add_use(&mut self, of: NodeId, user: NodeId, operand: usize) -> u32 {
        let slot = self.slot_mut(of);
        slot.users.push(user);
        slot.user_operands.push(operand as u32);
        slot.users.len() as u32 - 1
    }

    /// Unlists a use; the last one takes its place.
    fn remove_use(&mut self, of: NodeId, place: u32) {
        let slot = self.slot_mut(of);
        slot.users.swap_remove(place as usize);
        slot.user_operands.swap_remove(place as usize);
        if let (Some(&user), Some(&operand)) = (slot.users.get(place as usize), slot.user_operands.get(place as usize)) {
            self.slot_mut(user).places[operand as usize] = place;
        }
    }

    /// Adds an input at the end of the inputs.
    pub fn add_input(&mut self, name: &str, ty: Type, location: Location) -> ValueId {
        let id = self.push(NodeKind::Input(name.into()), Vec::new(), vec![ty.into()], location);
        self.inputs.push(id);
        id.output(0)
    }

    /// The value of a state; the same one if it is there already.
    pub fn add_state(&mut self, state: &State, location: Location) -> ValueId {
        let found = self.states.get(&state.address()).copied();
        found
            .unwrap_or_else(|| {
                let results = vec![state.ty().clone().into()];
                self.push(NodeKind::State(state.clone()), Vec::new(), results, location)
            })
            .output(0)
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, constant: Constant, location: Location) -> ValueId {
        let results = vec![constant.inferred()];
        self.push(NodeKind::Constant(constant), Vec::new(), results, location).output(0)
    }

    /// Applies an op, to casts of the operands where otherwise the config would decide what it means.
    ///
    /// # Errors
    /// If the operands or attributes do not fit; the graph is then unchanged.
    pub fn apply(
        &mut self, op: Arc<dyn Op>, operands: &[ValueId], attributes: Attributes, location: Location,
    ) -> Result<NodeId> {
        let mut attributes = ops::complete_attributes(&*op, attributes)?;
        let types: Vec<&Type> = operands.iter().map(|&value| self.ty(value)).collect();
        let first = ops::settle(&*op, &types, &mut attributes)?;
        let mut settled = operands.to_vec();
        for (operand, first) in settled.iter_mut().zip(first) {
            if let Some((op, attributes)) = first {
                *operand = self.apply(op, &[*operand], attributes, location.clone())?.output(0);
            }
        }
        let seen: Vec<Operand<'_>> = settled.iter().map(|&value| self.operand(value)).collect();
        match ops::infer(&*op, &seen, &attributes) {
            Ok(results) => Ok(self.push(NodeKind::Apply(op, attributes), settled, results, location)),
            Err(error) => {
                let added = settled.iter().zip(operands).filter(|(settled, given)| settled != given);
                for node in added.map(|(settled, _)| settled.node).collect::<Vec<_>>() {
                    self.remove_dead(node);
                }
                Err(error.at(&location))
            }
        }
    }

    /// A value as a type rule sees it.
    pub fn operand(&self, value: ValueId) -> Operand<'_> {
        let view = self.node(value.node);
        let inferred = &view.results[value.output as usize];
        let constant = view.constant().map(|constant| &constant.value);
        Operand { ty: &inferred.ty, sizes: inferred.sizes.as_deref(), constant }
    }

    /// A node.
    ///
    /// # Panics
    /// If it is not (any more) in the graph.
    pub fn node(&self, id: NodeId) -> NodeView<'_> {
        let slot = self.slot(id);
        NodeView {
            id, kind: &slot.kind, operands: &slot.operands, results: &slot.results, location: &slot.location,
        }
    }

    /// Whether the node is (still) in the graph.
    pub fn contains(&self, id: NodeId) -> bool {
        self.nodes.get(id.0 as usize).is_some_and(Option::is_some)
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        &self.slot(value.node).results[value.output as usize].ty
    }

    /// The nodes that use any result of a node, one entry per use.
    pub fn users(&self, id: NodeId) -> &[NodeId] {
        &self.slot(id).users
    }

    /// The inputs in order.
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The outputs in order.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Sets the outputs.
    pub fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        for output in std::mem::replace(&mut self.outputs, outputs.clone()) {
            if let Some(Some(slot)) = self.nodes.get_mut(output.node.0 as usize) {
                slot.outputs -= 1;
            }
        }
        for output in outputs {
            self.slot_mut(output.node).outputs += 1;
        }
    }

    /// All nodes, in no meaningful but a fixed order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.nodes.len() as u32).map(NodeId).filter(|&id| self.contains(id))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.ids().count()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.ids().next().is_none()
    }

    /// The nodes that the outputs need, operands before users.
    pub fn topological_order(&self) -> Vec<NodeId> {
        let mut order = Vec::new();
        let mut seen = vec![false; self.nodes.len()];
        let mut stack: Vec<(NodeId, bool)> = self.outputs.iter().rev().map(|value| (value.node, false)).collect();
        while let Some((id, expanded)) = stack.pop() {
            if expanded {
                order.push(id);
            } else if !std::mem::replace(&mut seen[id.0 as usize], true) {
                stack.push((id, true));
                stack.extend(self.slot(id).operands.iter().rev().map(|operand| (operand.node, false)));
            }
        }
        order
    }

    /// Whether any node, needed by the outputs or not, is wanted: sooner said than in what order they come.
    pub fn has_node(&self, wanted: impl Fn(NodeView<'_>) -> bool) -> bool {
        self.ids().any(|id| wanted(self.node(id)))
    }

    /// Those of [`Graph::topological_order`] that are wanted. Where there are none no order is made.
    pub fn nodes_where(&self, wanted: impl Fn(NodeView<'_>) -> bool) -> Vec<NodeId> {
        if !self.has_node(&wanted) {
            return Vec::new();
        }
        self.topological_order().into_iter().filter(|&id| wanted(self.node(id))).collect()
    }

    /// Makes every use of `old`, outputs included, a use of `new`; gives the nodes that used it.
    ///
    /// # Errors
    /// If the types differ in dtype or weakness, or in dims in a way that a call could tell. Dims may
    /// become better known. The graph is then unchanged.
    pub fn replace(&mut self, old: ValueId, new: ValueId) -> Result<Vec<NodeId>> {
        let (before, after) = (self.ty(old), self.ty(new));
        let fits = before.dtype == after.dtype
            && before.rank() == after.rank()
            && before.dims.iter().zip(&after.dims).all(|(a, b)| a.compatible(b));
        if !fits {
            let message = format!("a rewrite would change the type {before} to {after}");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        let mut users: Vec<NodeId> = self.slot(old.node).users.clone();
        users.sort_unstable();
        users.dedup();
        let mut changed = Vec::new();
        for user in users {
            if user == new.node {
                continue;
            }
            let mut uses = 0;
            for operand in 0..self.slot(user).operands.len() {
                if self.slot(user).operands[operand] != old {
                    continue;
                }
                self.remove_use(old.node, self.slot(user).places[operand]);
                let place = self.add_use(new.node, user, operand);
                let slot = self.slot_mut(user);
                slot.operands[operand] = new;
                slot.places[operand] = place;
                uses += 1;
            }
            if uses > 0 {
                changed.push(user);
            }
        }
        if self.slot(old.node).outputs > 0 {
            let outputs = self.outputs.iter().map(|&output| if output == old { new } else { output }).collect();
            self.set_outputs(outputs);
        }
        Ok(changed)
    }

    /// Removes a node that nothing uses, and then the operands that nothing uses any more. Inputs and
    /// outputs stay. Gives the removed nodes.
    pub fn remove_dead(&mut self, id: NodeId) -> Vec<NodeId> {
        let mut removed = Vec::new();
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let dead = self.contains(id)
                && self.slot(id).users.is_empty()
                && !matches!(self.slot(id).kind, NodeKind::Input(_))
                && self.slot(id).outputs == 0;
            if !dead {
                continue;
            }
            // The node goes last: a use that is removed may move another one of its own.
            for at in 0..self.slot(id).operands.len() {
                let (operand, place) = (self.slot(id).operands[at].node, self.slot(id).places[at]);
                self.remove_use(operand, place);
                pending.push(operand);
            }
            if let Some(slot) = self.nodes[id.0 as usize].take()
                && let NodeKind::State(state) = &slot.kind
            {
                self.states.remove(&state.address());
            }
            removed.push(id);
        }
        removed
    }

    /// Keeps only what the outputs need (and the inputs), renumbered in topological order.
    pub fn compact(&mut self) {
        let mut new = Graph::new();
        let order = self.topological_order();
        new.nodes.reserve(self.inputs.len() + order.len());
        // Where nothing stands yet no node has its place either.
        const NOWHERE: NodeId = NodeId(u32::MAX);
        let mut map = vec![NOWHERE; self.nodes.len()];
        let moved = |map: &[NodeId], value: &ValueId| map[value.node.0 as usize].output(value.output as usize);
        for id in self.inputs.iter().copied().chain(order) {
            if map[id.0 as usize] != NOWHERE {
                continue;
            }
            if let Some(slot) = self.nodes[id.0 as usize].take() {
                let operands = slot.operands.iter().map(|operand| moved(&map, operand)).collect();
                map[id.0 as usize] = new.push(slot.kind, operands, slot.results, slot.location);
            }
        }
        new.inputs = self.inputs.iter().map(|id| map[id.0 as usize]).collect();
        new.set_outputs(self.outputs.iter().map(|output| moved(&map, output)).collect());
        *self = new;
    }

    /// Checks what must always hold: operands exist, use-lists agree with operands, no cycles, and
    /// every node's results are what its op infers.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn verify(&self) -> Result<()> {
        let fail = |message: String| Err(Error::new(ErrorKind::Internal, message));
        let mut uses: FxHashMap<(NodeId, NodeId), isize> = FxHashMap::default();
        for id in self.ids() {
            for operand in &self.slot(id).operands {
                if !self.contains(operand.node) {
                    return fail(format!("node {id:?} uses a removed node"));
                }
                if operand.output as usize >= self.slot(operand.node).results.len() {
                    return fail(format!("node {id:?} uses a result that does not exist"));
                }
                *uses.entry((operand.node, id)).or_default() += 1;
            }
            for &user in &self.slot(id).users {
                *uses.entry((id, user)).or_default() -= 1;
            }
            let placed = self.slot(id).operands.iter().zip(&self.slot(id).places).enumerate().all(|(at, (operand, &place))| {
                let slot = self.slot(operand.node);
                slot.users.get(place as usize) == Some(&id) && slot.user_operands.get(place as usize) == Some(&(at as u32))
            });
            let outputs = self.outputs.iter().filter(|output| output.node == id).count();
            if !placed || outputs != self.slot(id).outputs as usize {
                return fail(format!("the uses of {id:?} are listed wrongly"));
            }
        }
        if let Some(((id, user), _)) = uses.iter().find(|(_, count)| **count != 0) {
            return fail(format!("the use of {id:?} by {user:?} is listed wrongly"));
        }
        let mut position = vec![usize::MAX; self.nodes.len()];
        for (at, id) in self.topological_order().into_iter().enumerate() {
            position[id.0 as usize] = at;
            let view = self.node(id);
            if view.operands.iter().any(|operand| position[operand.node.0 as usize] >= at) {
                return fail(format!("node {id:?} is part of a cycle"));
            }
            if let Some((op, attributes)) = view.apply() {
                let seen: Vec<Operand<'_>> = view.operands.iter().map(|&value| self.operand(value)).collect();
                let inferred = ops::infer(&**op, &seen, attributes)?;
                let agree = inferred.len() == view.results.len()
                    && inferred.iter().zip(view.results).all(|(a, b)| a.ty.dtype == b.ty.dtype && a.ty.rank() == b.ty.rank());
                if !agree {
                    return fail(format!("`{}` has results of other types than it infers", op.name()));
                }
            }
        }
        Ok(())
    }

    fn slot(&self, id: NodeId) -> &Slot {
        self.nodes[id.0 as usize].as_ref().expect("the node was removed")
    }

    fn slot_mut(&mut self, id: NodeId) -> &mut Slot {
        self.nodes[id.0 as usize].as_mut().expect("the node was removed")
    }
}
