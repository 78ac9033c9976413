//! A graph made ready to be walked: for each application its device, the program that computes it alone, and
//! the bodies in it.

use std::sync::{Arc, Mutex, OnceLock};

use rustc_hash::FxHashMap;

use super::super::extract::{Extract, extract};
use super::super::placement;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, NodeKind, StatementNote, ValueId};
use crate::ops::Op;
use crate::ops::control::branches;
use crate::ops::effects::is_effectful;
use crate::plugin::{Argument, CompileOptions, Device, Executable, Program};
use crate::runtime::Session;
use crate::tensor::{DeviceTensor, Tensor};

/// A graph and how each of its applications is computed.
pub(super) struct Block {
    pub graph: Graph,
    pub nodes: Vec<Node>,
    /// How often each value is read, outputs included.
    pub uses: FxHashMap<ValueId, usize>,
}

/// An application.
pub(super) struct Node {
    pub id: NodeId,
    /// Index into the session's devices.
    pub device: usize,
    pub bodies: Bodies,
    /// Whether it, or something in its bodies, has an effect: then it is computed once.
    pub effectful: bool,
    pub alone: Alone,
    /// What the device may overwrite.
    pub overwrites: Vec<(usize, usize)>,
    pub op: Arc<dyn Op>,
}

/// The bodies of an application that are walked.
pub(super) enum Bodies {
    None,
    Scan(Box<Block>),
    If(Box<[Block; 2]>),
    Recompute(Box<Block>),
}

/// What overwrites an operand: the pair of operand and result, and the program.
type InPlace = ((usize, usize), Arc<dyn Executable>);

/// The program of one application, compiled when it is first needed.
pub(super) struct Alone {
    part: Extract,
    /// For each value that the program is given, the first operand that it is.
    pub given: Vec<usize>,
    usual: OnceLock<Arc<dyn Executable>>,
    /// That of another device; nothing if that device does not compile it.
    oracle: OnceLock<Option<Arc<dyn Executable>>>,
    in_place: Mutex<Vec<InPlace>>,
}

impl Block {
    /// Prepares a graph whose nodes run on the first of the devices that takes them, `preferred` first.
    ///
    /// # Errors
    /// If no device runs a node.
    pub fn new(session: &Session, graph: Graph, preferred: Option<usize>) -> Result<Block> {
        let devices = session.devices();
        let mut nodes = Vec::new();
        let mut uses: FxHashMap<ValueId, usize> = FxHashMap::default();
        for id in graph.topological_order() {
            let view = graph.node(id);
            for &operand in view.operands {
                *uses.entry(operand).or_default() += 1;
            }
            let Some((op, attributes)) = view.apply() else { continue };
            let wished = preferred.and_then(|at| {
                placement::place(&graph, id, &devices[at..=at]).ok().map(|place| placement::Place { device: at, ..place })
            });
            let place = match wished {
                Some(place) => place,
                None => placement::place(&graph, id, devices)?,
            };
            let body = |name: &str| Block::new(session, attributes.body(name)?.graph()?, Some(place.device));
            let bodies = match op.name() {
                "scan" => Bodies::Scan(Box::new(body("body")?)),
                "recompute" => Bodies::Recompute(Box::new(body("body")?)),
                "if" => {
                    branches(attributes)?;
                    Bodies::If(Box::new([body("then")?, body("otherwise")?]))
                }
                _ => Bodies::None,
            };
            let results: Vec<ValueId> = (0..view.results.len()).map(|output| id.output(output)).collect();
            let part = extract(&graph, &[id], &results)?;
            let position = |value: &ValueId| view.operands.iter().position(|operand| operand == value).unwrap_or(0);
            let given = part.given.iter().map(position).collect();
            let effectful = is_effectful(&**op, attributes);
            let alone = Alone { part, given, usual: OnceLock::new(), oracle: OnceLock::new(), in_place: Mutex::default() };
            nodes.push(Node { id, device: place.device, bodies, effectful, alone, overwrites: place.overwrites, op: op.clone() });
        }
        for &output in graph.outputs() {
            *uses.entry(output).or_default() += 1;
        }
        Ok(Block { graph, nodes, uses })
    }

    /// The value of a constant; of what else is no application, `given` knows it.
    pub fn constants(&self) -> impl Iterator<Item = (ValueId, &Tensor)> {
        self.graph.ids().filter_map(|id| match self.graph.node(id).kind {
            NodeKind::Constant(constant) => Some((id.output(0), &constant.value)),
            _ => None,
        })
    }
}

impl Alone {
    /// The program, which may overwrite operands as `overwrites` says.
    ///
    /// # Errors
    /// If the device does not compile it.
    pub fn compile(&self, device: &dyn Device, overwrites: &[(usize, usize)]) -> Result<Arc<dyn Executable>> {
        let pairs = overwrites.iter().map(|&(operand, result)| (operand as u32, result as u32)).collect();
        let last_uses = overwrites.iter().map(|&(operand, _)| operand as u32).collect();
        let note = StatementNote { overwrites: pairs, last_uses };
        let program = Program::emit(&self.part.graph, &self.part.statements, vec![note])?;
        let donatable = self.given.iter().map(|given| overwrites.iter().any(|pair| pair.0 == *given)).collect();
        device.compile(&program, &CompileOptions { profile: false, donatable })
    }

    /// The program without any leave to overwrite.
    ///
    /// # Errors
    /// If the device does not compile it.
    pub fn usual(&self, device: &dyn Device) -> Result<Arc<dyn Executable>> {
        if let Some(executable) = self.usual.get() {
            return Ok(executable.clone());
        }
        let executable = self.compile(device, &[])?;
        Ok(self.usual.get_or_init(|| executable).clone())
    }

    /// The program on a device to compare with; nothing if that does not run it.
    pub fn oracle(&self, device: &dyn Device) -> Option<Arc<dyn Executable>> {
        self.oracle.get_or_init(|| self.compile(device, &[]).ok()).clone()
    }

    /// The program that overwrites one operand.
    ///
    /// # Errors
    /// If the device does not compile it.
    pub fn in_place(&self, device: &dyn Device, pair: (usize, usize)) -> Result<Arc<dyn Executable>> {
        let mut known = self.in_place.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, executable)) = known.iter().find(|(known, _)| *known == pair) {
            return Ok(executable.clone());
        }
        let executable = self.compile(device, &[pair])?;
        known.push((pair, executable.clone()));
        Ok(executable)
    }

    /// What the program is given, of the values of all operands.
    pub fn arguments<'a>(&self, operands: &'a [Tensor]) -> Vec<&'a Tensor> {
        self.given.iter().map(|&operand| &operands[operand]).collect()
    }
}

/// Runs a program on values in host memory.
///
/// # Errors
/// If the program fails.
pub(super) fn run(device: &dyn Device, executable: &dyn Executable, arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
    let arguments: Vec<DeviceTensor> = arguments.iter().map(|tensor| device.upload(tensor)).collect::<Result<_>>()?;
    run_uploaded(device, executable, &arguments, &[])
}

/// Runs a program on values in the device's memory, of which those with the numbers `donated` may be
/// overwritten.
///
/// # Errors
/// If the program fails.
pub(super) fn run_uploaded(
    device: &dyn Device, executable: &dyn Executable, arguments: &[DeviceTensor], donated: &[usize],
) -> Result<Vec<Tensor>> {
    let argument = |(number, tensor): (usize, &DeviceTensor)| {
        Argument { tensor: tensor.clone(), donated: donated.contains(&number) }
    };
    let results = executable.run(arguments.iter().enumerate().map(argument).collect())?;
    results.iter().map(|tensor| device.download(tensor)).collect()
}

/// The values of some ids.
///
/// # Errors
/// If one is not there.
pub(super) fn values(known: &FxHashMap<ValueId, Tensor>, ids: &[ValueId]) -> Result<Vec<Tensor>> {
    let missing = || Error::new(ErrorKind::Internal, "a value is read before it is computed");
    ids.iter().map(|id| known.get(id).cloned().ok_or_else(missing)).collect()
}

/// The tensor in memory of its own.
pub(super) fn own_copy(tensor: &Tensor) -> Tensor {
    Tensor::from_bytes(tensor.dtype(), tensor.shape(), tensor.bytes()).unwrap_or_else(|_| tensor.clone())
}
