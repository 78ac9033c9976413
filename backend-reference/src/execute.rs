//! Running a graph, node after node.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use arignote_core::Result;
use arignote_core::error::{Error, ErrorKind};
use arignote_core::graph::{Graph, NodeId, NodeKind, NodeView, ValueId, Var};
use arignote_core::ops::{Attributes, Op};
use arignote_core::plugin::{Argument, Executable, ProfileEntry};
use arignote_core::tensor::{DeviceTensor, Dim, Tensor, Type};

use crate::kernel::{KernelCall, kernel};

/// The outputs of a graph for these inputs, in order.
///
/// # Errors
/// If an argument does not fit its input, or an op fails; the error has the place of the node. States
/// have no value here: they must have been made inputs.
pub fn evaluate(graph: &Graph, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
    run(graph, &graph.topological_order(), arguments, &mut ())
}

/// The results of one op on these operands, by its kernel or else by its decomposition.
///
/// # Errors
/// If there is neither, or the op fails.
pub fn apply(
    op: &dyn Op, attributes: &Attributes, operands: &[Tensor], types: &[Type], results: &[Type],
) -> Result<Vec<Tensor>> {
    if let Some(kernel) = kernel(op.name()) {
        return kernel.run(&KernelCall { op: op.name(), operands, types, attributes, results });
    }
    let inputs: Vec<Var> =
        types.iter().enumerate().map(|(i, ty)| Var::input(&format!("operand{i}"), ty.clone())).collect();
    let Some(outputs) = op.decompose(&inputs, attributes) else {
        return Err(Error::new(ErrorKind::Unsupported, format!("the reference backend has no kernel for `{}`", op.name())));
    };
    evaluate(&Graph::from_vars(&inputs, &outputs?)?, operands)
}

/// Who hears of every application.
trait Observer {
    fn finished(&mut self, id: NodeId, seconds: f64, results: &[Tensor]) {
        let _ = (id, seconds, results);
    }

    fn failed(&mut self, id: NodeId, error: Error) -> Error {
        let _ = id;
        error
    }
}

/// Nobody.
impl Observer for () {}

/// Computes nodes in order.
fn run(
    graph: &Graph, order: &[NodeId], arguments: &[Tensor], observer: &mut dyn Observer,
) -> Result<Vec<Tensor>> {
    check_arguments(graph, arguments)?;
    let length = graph.ids().last().map_or(0, |id| id.0 as usize + 1);
    let mut values: Vec<Vec<Tensor>> = vec![Vec::new(); length];
    // How often each node is still read; its values are dropped when nothing reads them any more.
    let mut uses = vec![0usize; length];
    for &id in order {
        graph.node(id).operands.iter().for_each(|operand| uses[operand.node.0 as usize] += 1);
    }
    graph.outputs().iter().for_each(|output| uses[output.node.0 as usize] += 1);
    for (id, argument) in graph.inputs().iter().zip(arguments) {
        values[id.0 as usize] = vec![argument.clone()];
    }
    for &id in order {
        let node = graph.node(id);
        match node.kind {
            NodeKind::Input(_) => {}
            NodeKind::Constant(constant) => values[id.0 as usize] = vec![constant.value.clone()],
            NodeKind::State(state) => {
                let message = format!("the state `{}` must be an input of a program", state.name());
                return Err(Error::new(ErrorKind::Internal, message).at(node.location));
            }
            NodeKind::Apply(op, attributes) => {
                let start = Instant::now();
                let results = apply_node(graph, &node, &**op, attributes, &values)
                    .map_err(|error| observer.failed(id, error))?;
                observer.finished(id, start.elapsed().as_secs_f64(), &results);
                values[id.0 as usize] = results;
                for operand in node.operands {
                    let place = operand.node.0 as usize;
                    uses[place] -= 1;
                    if uses[place] == 0 {
                        values[place] = Vec::new();
                    }
                }
            }
        }
    }
    graph.outputs().iter().map(|&output| value(&values, output)).collect()
}

fn apply_node(
    graph: &Graph, node: &NodeView<'_>, op: &dyn Op, attributes: &Attributes, values: &[Vec<Tensor>],
) -> Result<Vec<Tensor>> {
    let operands = node.operands.iter().map(|&operand| value(values, operand)).collect::<Result<Vec<_>>>()?;
    let types: Vec<Type> = node.operands.iter().map(|&operand| graph.ty(operand).clone()).collect();
    let results: Vec<Type> = node.results.iter().map(|result| result.ty.clone()).collect();
    // What an op is decomposed into belongs to its line.
    let applied = node.location.stand_in(|| apply(op, attributes, &operands, &types, &results));
    applied.map_err(|error| error.at(node.location))
}

fn value(values: &[Vec<Tensor>], id: ValueId) -> Result<Tensor> {
    let found = values.get(id.node.0 as usize).and_then(|results| results.get(id.output as usize));
    found.cloned().ok_or_else(|| Error::new(ErrorKind::Internal, "a value is read before it is computed"))
}

/// Whether the arguments have the inputs' dtypes and shapes; equal names must be equal lengths.
fn check_arguments(graph: &Graph, arguments: &[Tensor]) -> Result<()> {
    let inputs = graph.inputs();
    if inputs.len() != arguments.len() {
        let message = format!("expected {} arguments, found {}", inputs.len(), arguments.len());
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    let mut named: Vec<(Arc<str>, usize, String)> = Vec::new();
    for (&id, argument) in inputs.iter().zip(arguments) {
        let ty = graph.ty(id.output(0));
        let name = match graph.node(id).kind {
            NodeKind::Input(name) => name.to_string(),
            other => format!("{other:?}"),
        };
        if !ty.admits(argument.dtype(), argument.shape()) {
            let message =
                format!("the input `{name}` takes {ty}, not {}{:?}", argument.dtype(), argument.shape());
            return Err(Error::new(ErrorKind::Runtime, message).at(graph.node(id).location));
        }
        for (dim, &length) in ty.dims.iter().zip(argument.shape()) {
            let Dim::Named(dim) = dim else { continue };
            match named.iter().find(|(known, ..)| known == dim) {
                None => named.push((dim.clone(), length, name.clone())),
                Some((_, known, _)) if *known == length => {}
                Some((_, known, first)) => {
                    let message = format!("`{dim}` is {known} in the input `{first}` but {length} in `{name}`");
                    return Err(Error::new(ErrorKind::Runtime, message).at(graph.node(id).location));
                }
            }
        }
    }
    Ok(())
}

/// A program, ready to run.
pub struct Interpreter {
    graph: Graph,
    order: Vec<NodeId>,
    /// The statement that each node belongs to, by node number.
    statements: Vec<Option<usize>>,
    /// One entry per statement, if times are kept.
    profile: Option<Mutex<Vec<ProfileEntry>>>,
}

impl Interpreter {
    /// An interpreter of a graph whose statements are these nodes.
    pub fn new(graph: Graph, statements: &[NodeId], profile: bool) -> Interpreter {
        let order = graph.topological_order();
        let length = graph.ids().last().map_or(0, |id| id.0 as usize + 1);
        let mut numbers = vec![None; length];
        for (statement, id) in statements.iter().enumerate() {
            if let Some(number) = numbers.get_mut(id.0 as usize) {
                *number = Some(statement);
            }
        }
        let entry = |statement| ProfileEntry { statement, ..ProfileEntry::default() };
        let profile = profile.then(|| Mutex::new((0..statements.len()).map(entry).collect()));
        Interpreter { graph, order, statements: numbers, profile }
    }

    fn statement(&self, id: NodeId) -> Option<usize> {
        self.statements.get(id.0 as usize).copied().flatten()
    }
}

impl Observer for &Interpreter {
    fn finished(&mut self, id: NodeId, seconds: f64, results: &[Tensor]) {
        let Some((profile, statement)) = self.profile.as_ref().zip(self.statement(id)) else { return };
        let mut profile = profile.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(entry) = profile.get_mut(statement) {
            entry.calls += 1;
            entry.seconds += seconds;
            entry.bytes += results.iter().map(|result| result.byte_len() as u64).sum::<u64>();
        }
    }

    fn failed(&mut self, id: NodeId, error: Error) -> Error {
        match self.statement(id) {
            Some(statement) => error.in_node(statement),
            None => error,
        }
    }
}

impl Executable for Interpreter {
    fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        let tensors = arguments.iter().map(|argument| argument.tensor.to_host()).collect::<Result<Vec<_>>>()?;
        let results = run(&self.graph, &self.order, &tensors, &mut { self })?;
        Ok(results.into_iter().map(DeviceTensor::from_host).collect())
    }

    fn debug_text(&self) -> String {
        let line = |&id: &NodeId| {
            let node = self.graph.node(id);
            let operands: Vec<String> =
                node.operands.iter().map(|operand| format!("%{}.{}", operand.node.0, operand.output)).collect();
            let types: Vec<String> = node.results.iter().map(|result| result.ty.to_string()).collect();
            let name = match node.kind {
                NodeKind::Apply(op, _) => op.name().to_owned(),
                other => format!("{other:?}"),
            };
            format!("%{} = {name}({}): {}\n", id.0, operands.join(", "), types.join(", "))
        };
        self.order.iter().map(line).collect()
    }

    fn profile(&self) -> Vec<ProfileEntry> {
        let locked = self.profile.as_ref().map(|p| p.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        locked.map_or(Vec::new(), |entries| entries.clone())
    }
}
