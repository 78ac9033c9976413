//! Local rewrites: of one node and what it is applied to, in Rust, for what a pattern cannot say. The engine
//! tries them as it does rules; types are checked, firings reported, and limits hold alike.

use rustc_hash::FxHashMap;

use super::Phase;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Constant, Graph, Location, NodeId, NodeKind, NodeView, ValueId};
use crate::ops::{Attributes, registry};
use crate::tensor::{Tensor, Type};

/// A rewrite of single nodes.
pub struct Local {
    /// The name by which it is excluded and listed.
    pub name: &'static str,
    /// The phase that it runs in.
    pub phase: Phase,
    /// Further tags, such as `real`.
    pub tags: &'static [&'static str],
    /// One line for listings.
    pub doc: &'static str,
    /// The ops at whose applications it is tried.
    pub roots: &'static [&'static str],
    /// What takes the place of the node, a value for each result; nothing where it does not apply. An error is
    /// reported as a match that was not applied.
    pub rewrite: fn(&mut Site<'_>) -> Found,
}

/// What a local rewrite finds.
pub type Found = Result<Option<Vec<ValueId>>>;

impl Local {
    /// How far down local rewrites look.
    pub const DEPTH: usize = 3;
}

/// A node that may be replaced, and what is built for that. What is built and not used is removed again.
pub struct Site<'g> {
    graph: &'g mut Graph,
    node: NodeId,
    location: Location,
    added: Vec<NodeId>,
}

impl<'g> Site<'g> {
    pub(super) fn new(graph: &'g mut Graph, node: NodeId) -> Site<'g> {
        let location = graph.node(node).location.clone();
        Site { graph, node, location, added: Vec::new() }
    }

    pub(super) fn into_added(self) -> Vec<NodeId> {
        self.added
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// The node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The node, to look at.
    pub fn view(&self) -> NodeView<'_> {
        self.graph.node(self.node)
    }

    /// Its operands.
    pub fn operands(&self) -> Vec<ValueId> {
        self.view().operands.to_vec()
    }

    /// The operand with this number.
    pub fn operand(&self, at: usize) -> Option<ValueId> {
        self.view().operands.get(at).copied()
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes {
        self.view().apply().map(|(_, attributes)| attributes.clone()).unwrap_or_default()
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        self.graph.ty(value)
    }

    /// The op that makes a value; nothing if it has several results or is an input, a state or a constant.
    pub fn op(&self, value: ValueId) -> &str {
        let view = self.graph.node(value.node);
        if view.results.len() == 1 { view.op_name() } else { "" }
    }

    /// The operands and attributes of a value that an op of this name makes.
    pub fn made_by(&self, value: ValueId, op: &str) -> Option<(Vec<ValueId>, Attributes)> {
        if self.op(value) != op {
            return None;
        }
        let view = self.graph.node(value.node);
        view.apply().map(|(_, attributes)| (view.operands.to_vec(), attributes.clone()))
    }

    /// Whether a value has one use only.
    pub fn used_once(&self, value: ValueId) -> bool {
        self.graph.users(value.node).len() == 1 && !self.graph.outputs().contains(&value)
    }

    /// A constant.
    pub fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.graph.node(value.node).constant().map(|constant| &constant.value)
    }

    /// Whether two values have certainly the same shape.
    pub fn same_shape(&self, a: ValueId, b: ValueId) -> bool {
        super::shapes::same_shape(self.graph, a, b)
    }

    /// Whether one value may stand for another: of the same type, and certainly of the same shape.
    pub fn fits(&self, old: ValueId, new: ValueId) -> bool {
        super::engine::fits(self.graph, old, new).is_ok()
    }

    /// The results of a body for these operands.
    ///
    /// # Errors
    /// If an operand does not fit its input.
    pub fn inline(&mut self, body: &Body, operands: &[ValueId]) -> Result<Vec<ValueId>> {
        let inside = body.graph()?;
        let mut map: FxHashMap<NodeId, NodeId> = FxHashMap::default();
        let mut given: FxHashMap<NodeId, ValueId> = FxHashMap::default();
        given.extend(inside.inputs().iter().copied().zip(operands.iter().copied()));
        let find = |given: &FxHashMap<NodeId, ValueId>, map: &FxHashMap<NodeId, NodeId>, value: ValueId| {
            given.get(&value.node).copied().unwrap_or_else(|| map[&value.node].output(value.output as usize))
        };
        for id in inside.topological_order() {
            let view = inside.node(id);
            let new = match view.kind {
                _ if given.contains_key(&id) => continue,
                NodeKind::Apply(op, attributes) => {
                    let operands: Vec<ValueId> = view.operands.iter().map(|&operand| find(&given, &map, operand)).collect();
                    self.graph.apply(op.clone(), &operands, attributes.clone(), view.location.clone())?
                }
                NodeKind::Constant(constant) => self.graph.add_constant(constant.clone(), view.location.clone()).node,
                NodeKind::State(state) => self.graph.add_state(state, view.location.clone()).node,
                NodeKind::Input(name) => {
                    let message = format!("the body reads the input `{name}`, for which no operand stands");
                    return Err(Error::new(ErrorKind::Internal, message));
                }
            };
            self.added.push(new);
            map.insert(id, new);
        }
        Ok(inside.outputs().iter().map(|&output| find(&given, &map, output)).collect())
    }

    /// Applies an op.
    ///
    /// # Errors
    /// If the operands or attributes do not fit.
    pub fn apply(&mut self, op: &str, operands: &[ValueId], attributes: Attributes) -> Result<ValueId> {
        Ok(self.apply_node(op, operands, attributes)?.output(0))
    }

    /// The node of an application, for ops of several results.
    ///
    /// # Errors
    /// If the operands or attributes do not fit.
    pub fn apply_node(&mut self, op: &str, operands: &[ValueId], attributes: Attributes) -> Result<NodeId> {
        let id = self.graph.apply(registry().get(op)?, operands, attributes, self.location.clone())?;
        self.added.push(id);
        Ok(id)
    }

    /// Applies the op of another node to other operands.
    ///
    /// # Errors
    /// If the operands do not fit.
    pub fn again(&mut self, node: NodeId, operands: &[ValueId]) -> Result<NodeId> {
        let view = self.graph.node(node);
        let Some((op, attributes)) = view.apply() else { return Ok(node) };
        let (op, attributes, location) = (op.clone(), attributes.clone(), view.location.clone());
        let id = self.graph.apply(op, operands, attributes, location)?;
        self.added.push(id);
        Ok(id)
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, value: Tensor) -> ValueId {
        let constant = self.graph.add_constant(Constant { value, weak: false }, self.location.clone());
        self.added.push(constant.node);
        constant
    }

    /// Adds a number that adopts the dtype of what it meets.
    pub fn weak(&mut self, value: f64) -> ValueId {
        self.weak_constant(Tensor::scalar(value))
    }

    /// Adds a constant that adopts the dtype of what it meets.
    pub fn weak_constant(&mut self, value: Tensor) -> ValueId {
        let constant = Constant { value, weak: true };
        let constant = self.graph.add_constant(constant, self.location.clone());
        self.added.push(constant.node);
        constant
    }
}
