//! A device with mistakes: what the reference backend computes, but for one op in one way, as its option
//! `fault = "KIND OP"` says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arignote::graph::ValueId;
use arignote::ops::Attributes;
use arignote::plugin::{
    Argument, Backend, BackendOption, CompileOptions, Device, DeviceInfo, Executable, Host, NodeQuery, ParsedProgram, Plugin,
    PluginInfo, Program, StatementNote, Support,
};
use arignote::tensor::{DeviceTensor, MemoryKind, Tensor, Type};
use arignote::{Error, ErrorKind, Result};

pub struct Faulty;

impl Plugin for Faulty {
    fn info(&self) -> PluginInfo {
        PluginInfo { name: "faulty".into(), ..PluginInfo::default() }
    }

    fn backends(&self) -> Vec<Arc<dyn Backend>> {
        vec![Arc::new(FaultyBackend)]
    }
}

arignote::plugin_root!(Faulty);

struct FaultyBackend;

impl Backend for FaultyBackend {
    fn name(&self) -> &str {
        "faulty"
    }

    fn device_count(&self) -> usize {
        1
    }

    fn priority(&self) -> i32 {
        -1000
    }

    fn options(&self) -> Vec<BackendOption> {
        vec![BackendOption { name: "fault".into(), default: "none none".into(), doc: "the mistake".into() }]
    }

    fn open(&self, _ordinal: usize, options: &Attributes, _host: Arc<dyn Host>) -> Result<Arc<dyn Device>> {
        let (kind, op) = options.str("fault")?.split_once(' ').unwrap_or_default();
        Ok(Arc::new(FaultyDevice { kind: kind.to_owned(), op: op.to_owned() }))
    }
}

#[derive(Clone)]
struct FaultyDevice {
    kind: String,
    op: String,
}

impl Device for FaultyDevice {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { name: "faulty".into(), description: "with mistakes".into(), memory: MemoryKind::HOST, memory_bytes: 0 }
    }

    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        match arignote_backend_reference::kernel(node.op) {
            Some(_) => Support::Yes(if node.op == "add" || node.op == "exp" { vec![(0, 0)] } else { Vec::new() }),
            None => Support::No("it has no kernel".into()),
        }
    }

    fn upload(&self, tensor: &Tensor) -> Result<DeviceTensor> {
        Ok(DeviceTensor::from_host(Tensor::from_bytes(tensor.dtype(), tensor.shape(), &tensor.to_bytes())?))
    }

    fn download(&self, tensor: &DeviceTensor) -> Result<Tensor> {
        let host = tensor.to_host()?;
        Tensor::from_bytes(host.dtype(), host.shape(), &host.to_bytes())
    }

    fn compile(&self, program: &Program, _options: &CompileOptions) -> Result<Arc<dyn Executable>> {
        let (parsed, notes) = (ParsedProgram::parse(program)?, program.notes.clone());
        Ok(Arc::new(Run { device: self.clone(), parsed, notes, calls: AtomicUsize::new(0) }))
    }
}

struct Run {
    device: FaultyDevice,
    parsed: ParsedProgram,
    notes: Vec<StatementNote>,
    calls: AtomicUsize,
}

/// The elements of an `f64` tensor as they lie in memory, whatever its strides say.
fn raw(tensor: &DeviceTensor) -> Tensor {
    // SAFETY: a tensor has at least as many elements behind its first as its shape says, gaps or not.
    let elements = unsafe { std::slice::from_raw_parts(tensor.data.add(tensor.byte_offset).cast::<f64>(), tensor.len()) };
    Tensor::from_vec(elements.to_vec(), &tensor.shape).unwrap()
}

impl Executable for Run {
    fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        let graph = &self.parsed.graph;
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut values: HashMap<ValueId, Tensor> = HashMap::new();
        for (&input, argument) in graph.inputs().iter().zip(&arguments) {
            let reads = self.parsed.statements.iter().any(|&id| graph.node(id).op_name() == self.device.op);
            let value = match self.device.kind == "strides" && reads {
                true => raw(&argument.tensor),
                false => argument.tensor.to_host()?,
            };
            values.insert(input.output(0), value);
        }
        for id in graph.ids() {
            if let Some(constant) = graph.node(id).constant() {
                values.insert(id.output(0), constant.value.clone());
            }
        }
        for (number, &id) in self.parsed.statements.iter().enumerate() {
            let view = graph.node(id);
            let Some((op, attributes)) = view.apply() else { continue };
            let operands: Vec<Tensor> = view.operands.iter().map(|operand| values[operand].clone()).collect();
            let types: Vec<Type> = view.operands.iter().map(|&operand| graph.ty(operand).clone()).collect();
            let results: Vec<Type> = view.results.iter().map(|result| result.ty.clone()).collect();
            let mut found = arignote_backend_reference::apply(&**op, attributes, &operands, &types, &results)?;
            if op.name() == self.device.op && self.device.kind == "slow" {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let together = self.parsed.statements.len() > 1;
            let overwrites = self.notes.get(number).is_some_and(|note| !note.overwrites.is_empty());
            let wrong = op.name() == self.device.op
                && match self.device.kind.as_str() {
                    "wrong" => true,
                    "impure" => calls % 2 == 1,
                    "in-place" => overwrites,
                    "fused" => together,
                    _ => false,
                };
            if wrong {
                let mut elements = found[0].to_f64_vec();
                if let Some(last) = elements.last_mut() {
                    *last += 0.5;
                }
                found[0] = Tensor::from_vec(elements, found[0].shape())?.cast(found[0].dtype());
            }
            if op.name() == self.device.op && self.device.kind == "writes" {
                let tensor = &arguments[0].tensor;
                // SAFETY: not sound, as the argument is shared: this is the mistake. Nobody else reads it now.
                unsafe { tensor.data.cast::<f64>().write(-7.0) };
            }
            for (output, value) in found.into_iter().enumerate() {
                values.insert(id.output(output), value);
            }
        }
        let missing = || Error::new(ErrorKind::Internal, "an output is missing");
        graph.outputs().iter().map(|output| Ok(DeviceTensor::from_host(values.get(output).cloned().ok_or_else(missing)?))).collect()
    }
}
