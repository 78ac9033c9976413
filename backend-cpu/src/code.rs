//! A program made ready to be planned: its nodes in order, each with what computes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use arignote_core::graph::{Graph, NodeId, NodeView, ValueId};
use arignote_core::ops::{Attributes, ShapeOperand};
use arignote_core::plugin::{Host, HostKernel, NodeQuery, StatementNote, Support};
use arignote_core::rewrite::passes::inplace::may_fail;
use arignote_core::tensor::{Shape, Tensor, Type};
use arignote_core::{Error, ErrorKind, Result};

use crate::buffer::{Block, Pool, View, ViewMut, as_bytes_mut};
use crate::control::{self, Control};
use crate::kernel::lower::Lowering;
use crate::kernel::run::Region;
use crate::kernels::elementwise::{self, Operation, broadcast_strides};
use crate::kernels::{self, Call, Context, Kernel, OfProduct, packed};
use crate::views::Source;

/// What computes a node.
#[derive(Clone)]
pub enum Implementation {
    /// A step of a fused region.
    Elementwise(Operation),
    /// A kernel of this backend, and the (operand, result) pairs that it can overwrite.
    Kernel(Kernel, &'static [(usize, usize)]),
    /// A loop, a branch, or what is computed again.
    Control(Arc<Control>),
    /// A plugin's kernel, and the (operand, result) pairs that it can overwrite.
    Host(Arc<dyn HostKernel>, Vec<(usize, usize)>),
}

impl Implementation {
    /// What computes a node.
    ///
    /// # Errors
    /// Why nothing here does.
    pub fn find(node: &NodeQuery<'_>, host: &dyn Host) -> Result<Implementation, String> {
        if let Some(operation) = elementwise::lookup(node.op, node.attributes) {
            return Ok(Implementation::Elementwise(operation));
        }
        if let Some((kernel, overwrites)) = kernels::lookup(node.op) {
            if let Some(reason) = kernels::refuses(node.op, node.operands) {
                return Err(reason);
            }
            return Ok(Implementation::Kernel(kernel, overwrites));
        }
        if let Some(control) = Control::find(node, host)? {
            return Ok(Implementation::Control(Arc::new(control)));
        }
        let Some(kernel) = host.kernel(node.op) else {
            return Err(format!("the cpu backend has no kernel for `{}`", node.op));
        };
        match kernel.supports(node) {
            Support::Yes(overwrites) => Ok(Implementation::Host(kernel, overwrites)),
            Support::No(reason) => Err(format!("the plugin's kernel for `{}` does not take this: {reason}", node.op)),
        }
    }

    /// The (operand, result) pairs that can share memory, if their types agree.
    pub fn overwrites(&self, operands: usize) -> Vec<(usize, usize)> {
        match self {
            Implementation::Elementwise(_) => (0..operands).map(|operand| (operand, 0)).collect(),
            Implementation::Kernel(_, pairs) => pairs.to_vec(),
            Implementation::Host(_, pairs) => pairs.clone(),
            Implementation::Control(_) => Vec::new(),
        }
    }
}

/// What lies in a value: from which element on, with which strides (none if as its shape says), and its shape.
type Part = (ValueId, usize, Vec<usize>, Vec<usize>);

/// A program ready to be planned.
pub struct Code {
    /// The graph.
    pub graph: Graph,
    /// The nodes that apply ops, in the order of the statements.
    pub nodes: Vec<NodeId>,
    /// What computes each of them.
    pub implementations: HashMap<NodeId, Implementation>,
    /// The number of each node's statement.
    pub statements: HashMap<NodeId, usize>,
    /// The (operand, result) pairs that each node may overwrite, where the program says.
    pub permitted: Option<HashMap<NodeId, Vec<(u32, u32)>>>,
    /// Whether a node, once it has begun to write, or a later one can fail, by place in `nodes`.
    pub may_fail_from: Vec<bool>,
    /// Constants as packed matrices.
    packed: Mutex<HashMap<Part, Weak<Vec<u64>>>>,
}

impl Code {
    /// Checks that every node can be computed. There is one note for each statement, or none at all.
    ///
    /// # Errors
    /// If one cannot.
    pub fn new(graph: Graph, statements: &[NodeId], notes: &[StatementNote], host: &dyn Host) -> Result<Code> {
        let permitted = (!notes.is_empty())
            .then(|| statements.iter().zip(notes).map(|(&id, note)| (id, note.overwrites.clone())).collect());
        let order: Vec<NodeId> = graph.topological_order();
        let needed: std::collections::HashSet<NodeId> = order.iter().copied().collect();
        let is_apply = |id: &NodeId| graph.contains(*id) && graph.node(*id).apply().is_some();
        let nodes: Vec<NodeId> = if statements.is_empty() {
            order.into_iter().filter(is_apply).collect()
        } else {
            statements.iter().copied().filter(|id| is_apply(id) && needed.contains(id)).collect()
        };
        let statements: HashMap<NodeId, usize> = match statements {
            [] => nodes.iter().enumerate().map(|(at, &id)| (id, at)).collect(),
            _ => statements.iter().enumerate().map(|(at, &id)| (id, at)).collect(),
        };
        let mut implementations = HashMap::new();
        for &id in &nodes {
            let view = graph.node(id);
            let Some((op, attributes)) = view.apply() else { continue };
            let operands: Vec<Type> = view.operands.iter().map(|&value| graph.ty(value).clone()).collect();
            let results: Vec<Type> = view.results.iter().map(|result| result.ty.clone()).collect();
            let query = NodeQuery {
                op: op.name(), revision: op.revision(), attributes, operands: &operands, results: &results,
            };
            let implementation = Implementation::find(&query, host).map_err(|reason| {
                Error::new(ErrorKind::Unsupported, reason).in_node(statements[&id]).at(view.location)
            })?;
            implementations.insert(id, implementation);
        }
        let mut may_fail_from = vec![false; nodes.len() + 1];
        let mut fails_from = false;
        for (at, id) in nodes.iter().enumerate().rev() {
            let view = graph.node(*id);
            let fails = may_fail(&graph, *id);
            let own = view.apply().is_some_and(|(op, _)| (fails || kernels::can_fail(op.name())) && !op.fails_before_writing())
                || matches!(implementations.get(id), Some(Implementation::Host(..)));
            may_fail_from[at] = own || fails_from;
            fails_from |= own || fails;
        }
        Ok(Code { graph, nodes, implementations, statements, permitted, may_fail_from, packed: Mutex::default() })
    }

    /// Whether the program lets a node write a result over an operand.
    pub fn permits(&self, id: NodeId, operand: ValueId, result: usize) -> bool {
        let Some(permitted) = &self.permitted else { return true };
        let operands = self.graph.node(id).operands;
        permitted.get(&id).is_some_and(|pairs| {
            pairs.iter().any(|&(from, to)| to as usize == result && operands.get(from as usize) == Some(&operand))
        })
    }

    /// Whether a node is computed element by element, in a fused region.
    pub fn is_elementwise(&self, id: NodeId) -> bool {
        matches!(self.implementations.get(&id), Some(Implementation::Elementwise(_)))
    }

    /// Whether a node is a matrix product that a kernel of this backend computes.
    pub fn is_matrix_product(&self, id: NodeId) -> bool {
        matches!(self.implementations.get(&id), Some(Implementation::Kernel(..))) && self.graph.node(id).op_name() == "matmul"
    }

    /// A constant, or what lies in it so, as the packed matrix on the right of products: packed once for all plans that
    /// there are.
    pub fn packed(&self, value: ValueId, source: Option<&Source>, shape: &[usize], bytes: usize) -> Option<Arc<Vec<u64>>> {
        let base = source.map_or(value, |source| source.value);
        let constant = self.graph.node(base.node).constant()?;
        let mut packed = self.packed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (offset, strides) = source.map_or((0, None), |source| (source.offset, Some(source.strides.as_slice())));
        let key = (base, offset, strides.unwrap_or_default().to_vec(), shape.to_vec());
        if let Some(known) = packed.get(&key).and_then(Weak::upgrade) { return Some(known) }
        let mut elements = vec![0; bytes.div_ceil(size_of::<u64>())];
        let all = View::of(&constant.value);
        let view = View { dtype: all.dtype, shape, bytes: &all.bytes[offset * all.dtype.size()..] };
        packed::pack(view, strides, &mut as_bytes_mut(&mut elements)[..bytes]);
        let elements = Arc::new(elements);
        packed.retain(|_, other| other.strong_count() > 0);
        packed.insert(key, Arc::downgrade(&elements));
        Some(elements)
    }

    /// Whether a node may be computed while planning: it has no effect, and takes no time to speak of.
    pub fn can_fold(&self, id: NodeId) -> bool {
        let effect = self.graph.node(id).apply().is_some_and(|(op, _)| op.has_effect());
        !effect && !matches!(self.implementations.get(&id), Some(Implementation::Host(..) | Implementation::Control(_)))
    }

    /// An error with the node's place.
    pub fn locate(&self, id: NodeId, error: Error) -> Error {
        let error = error.at(self.graph.node(id).location);
        self.statements.get(&id).map_or(error.clone(), |&statement| error.in_node(statement))
    }

    /// The shapes of a node's results; `Ok(None)` if they depend on values that `value` does not give.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn shapes(
        &self, view: &NodeView<'_>, shapes: &[&[usize]], value: &dyn Fn(usize) -> Option<Tensor>,
    ) -> Result<Option<Vec<Shape>>> {
        let Some((op, attributes)) = view.apply() else { return Ok(None) };
        let types: Vec<&Type> = view.operands.iter().map(|&operand| self.graph.ty(operand)).collect();
        let sizes = op.size_operands(&types, attributes);
        let mut values = HashMap::new();
        for &operand in &sizes {
            if operand >= shapes.len() { continue; }
            match value(operand) {
                Some(tensor) => values.insert(operand, tensor),
                // The branches may agree.
                None if op.name() == "if" => None,
                None => return Ok(None),
            };
        }
        let operands: Vec<ShapeOperand<'_>> =
            shapes.iter().enumerate().map(|(at, &shape)| ShapeOperand { shape, value: values.get(&at) }).collect();
        if matches!(self.implementations.get(&view.id), Some(Implementation::Control(_))) {
            return control::shapes(&**op, attributes, shapes, &values);
        }
        let describe = |error: Error| {
            let operands: Vec<String> =
                types.iter().zip(shapes).map(|(ty, shape)| format!("{}{shape:?}", ty.dtype)).collect();
            let message = format!("`{}` of {}: {}", op.name(), operands.join(", "), error.message());
            error.notes().iter().fold(Error::new(error.kind(), message), |error, note| error.note(note.clone()))
        };
        let results = op.shapes(&operands, attributes).map_err(describe)?;
        for (shape, result) in results.iter().zip(view.results) {
            let bytes = shape.iter().try_fold(result.ty.dtype.size(), |size, &length| size.checked_mul(length));
            if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) || result.ty.rank() != shape.len() {
                let message = format!("`{}` cannot make a tensor of shape {shape:?}", op.name());
                return Err(Error::new(ErrorKind::Runtime, message));
            }
        }
        if results.len() != view.results.len() {
            return Err(Error::new(ErrorKind::Internal, format!("`{}` has another number of results", op.name())));
        }
        Ok(Some(results))
    }

    /// The types of a node's operands.
    pub fn operand_types(&self, operands: &[ValueId]) -> Vec<Type> {
        operands.iter().map(|&value| self.graph.ty(value).clone()).collect()
    }

    /// An error of a kernel, with the op and its operands, at the node's place.
    pub fn describe(&self, id: NodeId, operands: &[Option<View<'_>>], error: Error) -> Error {
        let shapes: Vec<String> = operands.iter().flatten().map(|o| format!("{}{:?}", o.dtype, o.shape)).collect();
        let message = format!("`{}` of {}: {}", self.graph.node(id).op_name(), shapes.join(", "), error.message());
        let described = error.notes().iter().fold(Error::new(error.kind(), message), |e, note| e.note(note.clone()));
        self.locate(id, described)
    }

    /// Computes one node; an operand that is `None` is overwritten by the result, which holds it.
    ///
    /// # Errors
    /// If a value does not fit.
    pub fn compute<'a>(
        &self, context: &Context<'_>, id: NodeId, operands: &[Option<View<'a>>], product: OfProduct<'_>, results: &mut [ViewMut<'a>],
    ) -> Result<()> {
        let view = self.graph.node(id);
        let (Some((op, attributes)), Some(implementation)) = (view.apply(), self.implementations.get(&id)) else {
            return Err(Error::new(ErrorKind::Internal, "a node is not an application"));
        };
        let describe = |error| self.describe(id, operands, error);
        match implementation {
            Implementation::Kernel(kernel, _) => {
                kernel(&mut Call { context, attributes, operands, results, product, source: None }).map_err(describe)
            }
            Implementation::Host(kernel, _) => run_host(&**kernel, attributes, operands, results).map_err(describe),
            Implementation::Control(_) => Err(Error::new(ErrorKind::Internal, "a loop or branch is not a kernel")),
            Implementation::Elementwise(operation) => {
                let mut lowering = Lowering::default();
                let types = self.operand_types(view.operands);
                let registers: Vec<_> = types.iter().map(|ty| lowering.input(ty.dtype)).collect();
                let wrong = || Error::new(ErrorKind::Internal, format!("`{}` has the wrong operands", op.name()));
                let output = lowering.apply(*operation, &registers, &types, view.results[0].ty.dtype).ok_or_else(wrong)?;
                let operands: Vec<View<'a>> = operands.iter().copied().collect::<Option<_>>().ok_or_else(wrong)?;
                let result = &mut results[0];
                let strides: Vec<_> = operands.iter().map(|operand| broadcast_strides(operand.shape, result.shape)).collect();
                let region = Region::new(lowering.finish(&[output]), context.cache, result.shape, &strides);
                let mut arrays: Vec<*mut u8> = operands.iter().map(|operand| operand.bytes.as_ptr().cast_mut()).collect();
                arrays.push(result.bytes.as_mut_ptr());
                // SAFETY: views cover their shapes, which broadcast to the result's; views to write are
                // apart from all others, and what is only read is not written to.
                unsafe { region.run(context, &arrays) };
                Ok(())
            }
        }
    }

    /// The kernel of a node that this backend has one for.
    ///
    /// # Errors
    /// If it has none.
    pub fn kernel(&self, id: NodeId) -> Result<(Kernel, &Attributes)> {
        match (self.implementations.get(&id), self.graph.node(id).apply()) {
            (Some(&Implementation::Kernel(kernel, _)), Some((_, attributes))) => Ok((kernel, attributes)),
            _ => Err(Error::new(ErrorKind::Internal, "a node has no kernel")),
        }
    }

    /// Computes one node into new memory.
    ///
    /// # Errors
    /// If shapes or values do not fit.
    pub fn evaluate(&self, context: &Context<'_>, pool: &Arc<Pool>, id: NodeId, operands: &[View<'_>]) -> Result<Vec<Value>> {
        if let Some(Implementation::Control(control)) = self.implementations.get(&id) {
            return control.evaluate(context, pool, operands).map_err(|error| self.locate(id, error));
        }
        let view = self.graph.node(id);
        let own: Vec<&[usize]> = operands.iter().map(|operand| operand.shape).collect();
        let size = |operand: usize| -> Option<Tensor> { operands[operand].tensor().ok() };
        let missing = || Error::new(ErrorKind::Internal, "a shape is not known");
        let shapes = self.shapes(&view, &own, &size).and_then(|s| s.ok_or_else(missing)).map_err(|e| self.locate(id, e))?;
        let mut values = Vec::new();
        for (result, shape) in view.results.iter().zip(shapes) {
            values.push(Value::new(pool, result.ty.dtype, shape)?);
        }
        let mut targets: Vec<ViewMut<'_>> = values.iter_mut().map(Value::view_mut).collect();
        let operands: Vec<Option<View<'_>>> = operands.iter().copied().map(Some).collect();
        self.compute(context, id, &operands, OfProduct::default(), &mut targets)?;
        Ok(values)
    }
}

fn run_host(kernel: &dyn HostKernel, attributes: &Attributes, operands: &[Option<View<'_>>], results: &mut [ViewMut<'_>]) -> Result<()> {
    let tensors: Vec<Option<Tensor>> = operands.iter().map(|o| o.map(|view| view.tensor()).transpose()).collect::<Result<_>>()?;
    let mut outputs: Vec<Tensor> = results
        .iter()
        .map(|result| View { dtype: result.dtype, shape: result.shape, bytes: result.bytes }.tensor())
        .collect::<Result<_>>()?;
    let borrowed: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
    kernel.run(attributes, &borrowed, &mut outputs)?;
    for (result, output) in results.iter_mut().zip(&outputs) {
        let view = View::of(output);
        if view.dtype != result.dtype || view.shape != result.shape {
            return Err(Error::new(ErrorKind::Plugin, "the kernel changed the type of a result"));
        }
        result.bytes.copy_from_slice(view.bytes);
    }
    Ok(())
}

/// A value with memory of its own.
pub struct Value {
    /// The element type.
    pub dtype: arignote_core::tensor::DType,
    /// The shape.
    pub shape: Shape,
    /// The elements.
    pub block: Block,
}

impl Value {
    /// A value of some contents.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(pool: &Arc<Pool>, dtype: arignote_core::tensor::DType, shape: Shape) -> Result<Value> {
        let bytes = dtype.size() * shape.iter().product::<usize>();
        Ok(Value { dtype, block: pool.block(bytes)?, shape })
    }

    /// A copy of what is elsewhere.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn copy(pool: &Arc<Pool>, view: &View<'_>) -> Result<Value> {
        let mut value = Value::new(pool, view.dtype, view.shape.into())?;
        value.view_mut().bytes.copy_from_slice(view.bytes);
        Ok(value)
    }

    fn len(&self) -> usize {
        self.dtype.size() * self.shape.iter().product::<usize>()
    }

    /// The elements.
    pub fn view(&self) -> View<'_> {
        // SAFETY: the block has that many initialized bytes.
        View { dtype: self.dtype, shape: &self.shape, bytes: unsafe { std::slice::from_raw_parts(self.block.start(), self.len()) } }
    }

    /// The elements, to write.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let length = self.len();
        // SAFETY: as above, and the value is borrowed exclusively.
        ViewMut { dtype: self.dtype, shape: &self.shape, bytes: unsafe { std::slice::from_raw_parts_mut(self.block.start(), length) } }
    }
}
