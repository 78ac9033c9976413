//! [`Var`]: one value of an expression graph.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Location, State};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{Attributes, Inferred, Op, Operand};
use crate::tensor::{Dim, Tensor, TensorElement, Type};

/// One value of a graph: cheap to clone, immutable, built bottom-up.
///
/// A `Var` that is ill-typed carries its error; whatever is built on it carries the same one, and
/// compiling returns it.
#[derive(Clone)]
pub struct Var {
    node: Arc<Node>,
    output: u32,
}

/// What makes one or more values.
pub struct Node {
    id: u64,
    kind: NodeKind,
    operands: Vec<Var>,
    results: Result<Vec<Inferred>>,
    location: Location,
}

/// The number of the next node.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The kinds of nodes.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// A value given in a call.
    Input(Arc<str>),
    /// A value kept between calls.
    State(State),
    /// A value written in the program.
    Constant(Constant),
    /// The results of an op.
    Apply(Arc<dyn Op>, Attributes),
}

/// A constant: its value, and whether its dtype gives way to other operands'.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The value.
    pub value: Tensor,
    /// Whether it was written without a dtype.
    pub weak: bool,
}

impl Constant {
    /// What a type rule knows of it.
    pub fn inferred(&self) -> Inferred {
        let small = self.value.rank() <= 1 && self.value.len() <= 16 && self.value.dtype().is_integer();
        let sizes = small.then(|| {
            let size = |value: i64| usize::try_from(value).map_or(Dim::Unknown, Dim::Known);
            self.value.to_i64_vec().into_iter().map(size).collect()
        });
        Inferred { ty: self.value.ty().with_weak(self.weak), sizes }
    }
}

impl Var {
    /// A value given in each call.
    #[track_caller]
    pub fn input(name: &str, ty: Type) -> Var {
        let results = Ok(vec![ty.into()]);
        Var::leaf(NodeKind::Input(name.into()), results, Location::caller())
    }

    /// The value of a state variable at the start of a call.
    #[track_caller]
    pub fn state(state: &State) -> Var {
        let results = Ok(vec![state.ty().clone().into()]);
        Var::leaf(NodeKind::State(state.clone()), results, Location::caller())
    }

    /// As [`Var::input`], built at a given place.
    pub fn input_at(name: &str, ty: Type, location: Location) -> Var {
        Var::leaf(NodeKind::Input(name.into()), Ok(vec![ty.into()]), location)
    }

    /// As [`Var::input_at`], with what is known of the contents.
    pub(crate) fn input_known(name: &str, inferred: Inferred, location: Location) -> Var {
        Var::leaf(NodeKind::Input(name.into()), Ok(vec![inferred]), location)
    }

    /// A number such that every node built from now on has that one or a greater.
    pub fn next_id() -> u64 {
        NEXT.load(Ordering::Relaxed)
    }

    /// As [`Var::state`], built at a given place.
    pub fn state_at(state: &State, location: Location) -> Var {
        Var::leaf(NodeKind::State(state.clone()), Ok(vec![state.ty().clone().into()]), location)
    }

    /// A constant with a firm dtype.
    #[track_caller]
    pub fn constant(value: Tensor) -> Var {
        Var::constant_at(Constant { value, weak: false }, Location::caller())
    }

    /// A constant scalar with a firm dtype.
    #[track_caller]
    pub fn scalar<T: TensorElement>(value: T) -> Var {
        Var::constant_at(Constant { value: Tensor::scalar(value), weak: false }, Location::caller())
    }

    /// A number without a dtype of its own: it takes that of the operand that it meets.
    #[track_caller]
    pub fn weak<T: TensorElement>(value: T) -> Var {
        Var::constant_at(Constant { value: Tensor::scalar(value), weak: true }, Location::caller())
    }

    /// A constant, built at a given place.
    pub fn constant_at(constant: Constant, location: Location) -> Var {
        let results = Ok(vec![constant.inferred()]);
        Var::leaf(NodeKind::Constant(constant), results, location)
    }

    /// A value of which only this is known, to ask what would follow for it.
    pub(crate) fn placeholder(inferred: Inferred) -> Var {
        Var::leaf(NodeKind::Input("operand".into()), Ok(vec![inferred]), Location::unknown())
    }

    /// A value that carries an error.
    pub fn error(error: Error, location: Location) -> Var {
        Var::leaf(NodeKind::Input("error".into()), Err(error.at(&location)), location)
    }

    fn leaf(kind: NodeKind, results: Result<Vec<Inferred>>, location: Location) -> Var {
        Var::from_node(kind, Vec::new(), results, location)
    }

    fn from_node(
        kind: NodeKind, operands: Vec<Var>, results: Result<Vec<Inferred>>, location: Location,
    ) -> Var {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Var { node: Arc::new(Node { id, kind, operands, results, location }), output: 0 }
    }

    /// The first result of applying an op. Missing attributes take their defaults.
    #[track_caller]
    pub fn apply(op: &str, operands: &[Var], attributes: Attributes) -> Var {
        Var::apply_at(op, operands, attributes, Location::caller())
    }

    /// As [`Var::apply`], built at a given place.
    pub fn apply_at(op: &str, operands: &[Var], attributes: Attributes, location: Location) -> Var {
        match crate::ops::registry().get(op) {
            Ok(op) => Var::apply_op(op, operands, attributes, location),
            Err(error) => Var::error(error, location),
        }
    }

    /// As [`Var::apply_at`], of an op in hand.
    pub fn apply_op(op: Arc<dyn Op>, operands: &[Var], attributes: Attributes, location: Location) -> Var {
        if let Some(error) = operands.iter().find_map(|operand| operand.node.results.as_ref().err()) {
            let (kind, error) = (NodeKind::Apply(op, attributes), error.clone());
            return Var::from_node(kind, operands.to_vec(), Err(error), location);
        }
        match Var::settled(&*op, operands, attributes, &location) {
            Ok((operands, attributes)) => {
                let seen: Vec<Operand<'_>> = operands.iter().filter_map(Var::as_operand).collect();
                let results = crate::ops::infer(&*op, &seen, &attributes).map_err(|error| error.at(&location));
                Var::from_node(NodeKind::Apply(op, attributes), operands, results, location)
            }
            Err(error) => {
                let (kind, error) = (NodeKind::Apply(op, Attributes::new()), error.at(&location));
                Var::from_node(kind, operands.to_vec(), Err(error), location)
            }
        }
    }

    /// Operands and attributes, complete, of an application whose meaning is that of every config.
    fn settled(
        op: &dyn Op, operands: &[Var], attributes: Attributes, location: &Location,
    ) -> Result<(Vec<Var>, Attributes)> {
        let mut attributes = crate::ops::complete_attributes(op, attributes)?;
        let types: Vec<&Type> = operands.iter().filter_map(|operand| operand.ty().ok()).collect();
        let first = crate::ops::settle(op, &types, &mut attributes)?;
        let settled = operands.iter().zip(first).map(|(operand, first)| match first {
            Some((op, attributes)) => Var::apply_op(op, &[operand.clone()], attributes, location.clone()),
            None => operand.clone(),
        });
        Ok((settled.collect(), attributes))
    }

    /// An application whose results are known.
    pub(super) fn applied(
        op: Arc<dyn Op>, operands: Vec<Var>, attributes: Attributes, results: Vec<Inferred>, location: Location,
    ) -> Var {
        Var::from_node(NodeKind::Apply(op, attributes), operands, Ok(results), location)
    }

    fn as_operand(&self) -> Option<Operand<'_>> {
        let inferred = self.inferred().ok()?;
        let constant = match &self.node.kind {
            NodeKind::Constant(constant) => Some(&constant.value),
            _ => None,
        };
        Some(Operand { ty: &inferred.ty, sizes: inferred.sizes.as_deref(), constant })
    }

    /// All results of the node that makes this value.
    pub fn siblings(&self) -> Vec<Var> {
        let count = self.node.results.as_ref().map_or(1, Vec::len);
        (0..count as u32).map(|output| Var { node: self.node.clone(), output }).collect()
    }

    /// Another result of the same node.
    pub fn sibling(&self, output: usize) -> Var {
        Var { node: self.node.clone(), output: output as u32 }
    }

    /// The type.
    ///
    /// # Errors
    /// If the value, or one that it is built on, is ill-typed.
    pub fn ty(&self) -> Result<&Type> {
        Ok(&self.inferred()?.ty)
    }

    /// The type and what is known of the contents.
    #[allow(clippy::missing_errors_doc)]
    pub fn inferred(&self) -> Result<&Inferred> {
        let results = self.node.results.as_ref().map_err(Clone::clone)?;
        results.get(self.output as usize).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("`{:?}` has no result {}", self.node.kind, self.output))
        })
    }

    /// The node that makes this value.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Which of the node's results this is.
    pub fn output(&self) -> usize {
        self.output as usize
    }

    /// A key that is equal for equal values of one graph and stays so while the value lives.
    pub fn key(&self) -> (u64, u32) {
        (self.node.id, self.output)
    }

    /// Whether both are the very same value.
    pub fn is(&self, other: &Var) -> bool {
        self.key() == other.key()
    }
}

impl Node {
    /// A number that no other node of this process has; operands have smaller ones.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the node is.
    pub fn kind(&self) -> &NodeKind {
        &self.kind
    }

    /// What it is applied to.
    pub fn operands(&self) -> &[Var] {
        &self.operands
    }

    /// The results' types.
    #[allow(clippy::missing_errors_doc)]
    pub fn results(&self) -> Result<&[Inferred]> {
        self.results.as_deref().map_err(Clone::clone)
    }

    /// Where it was built.
    pub fn location(&self) -> &Location {
        &self.location
    }
}

impl Drop for Node {
    /// Drops long chains without recursion.
    fn drop(&mut self) {
        let mut pending = std::mem::take(&mut self.operands);
        while let Some(var) = pending.pop() {
            if let Some(mut node) = Arc::into_inner(var.node) {
                pending.append(&mut node.operands);
            }
        }
    }
}

impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}.{}", self.node.id, self.output)?;
        match &self.node.kind {
            NodeKind::Apply(op, _) => write!(f, " = {}", op.name())?,
            NodeKind::Input(name) => write!(f, " = input {name}")?,
            NodeKind::State(state) => write!(f, " = {state:?}")?,
            NodeKind::Constant(constant) => write!(f, " = {}", constant.value)?,
        }
        match self.ty() {
            Ok(ty) => write!(f, ": {ty}"),
            Err(_) => f.write_str(": ill-typed"),
        }
    }
}
