//! A backend from a plugin: a device that computes four elementwise ops on `f32` and `f64` and says
//! of everything else why it does not, so that the host gives those ops to the `fallback` devices.

use std::sync::{Arc, Mutex};

use arignote_core::graph::{NodeKind, ValueId};
use arignote_core::ops::Attributes;
use arignote_core::plugin::{
    Argument, Backend, CompileOptions, Device, DeviceInfo, DeviceStats, Executable, Host, NodeQuery, ParsedProgram,
    Plugin, PluginInfo, Program, Support,
};
use arignote_core::tensor::{DType, DeviceTensor, MemoryKind, Tensor, broadcast_shapes, contiguous_strides};
use arignote_core::{Error, ErrorKind, Result};

/// What the device computes.
const OPS: [&str; 4] = ["add", "mul", "sub", "neg"];

struct TinyDevice;

impl Plugin for TinyDevice {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: "tiny-device".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            license: env!("CARGO_PKG_LICENSE").into(),
            description: "a device with four ops".into(),
        }
    }

    fn backends(&self) -> Vec<Arc<dyn Backend>> {
        vec![Arc::new(TinyBackend)]
    }
}

struct TinyBackend;

impl Backend for TinyBackend {
    fn name(&self) -> &str {
        "tiny"
    }

    fn device_count(&self) -> usize {
        1
    }

    fn priority(&self) -> i32 {
        -100
    }

    fn open(&self, _ordinal: usize, _options: &Attributes, _host: Arc<dyn Host>) -> Result<Arc<dyn Device>> {
        Ok(Arc::new(Tiny { stats: Arc::default() }))
    }
}

struct Tiny {
    stats: Arc<Mutex<DeviceStats>>,
}

impl Device for Tiny {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            name: "tiny".into(),
            description: "a device with four ops".into(),
            memory: MemoryKind::HOST,
            memory_bytes: 0,
        }
    }

    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        if !OPS.contains(&node.op) {
            return Support::No(format!("`{}` is not among {}", node.op, OPS.join(", ")));
        }
        match node.results.iter().find(|ty| !matches!(ty.dtype, DType::F32 | DType::F64)) {
            Some(ty) => Support::No(format!("it computes f32 and f64, not {}", ty.dtype)),
            None => Support::Yes(Vec::new()),
        }
    }

    fn upload(&self, tensor: &Tensor) -> Result<DeviceTensor> {
        let mut stats = self.stats.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        stats.allocations += 1;
        Ok(DeviceTensor::from_host(tensor.clone()))
    }

    fn download(&self, tensor: &DeviceTensor) -> Result<Tensor> {
        tensor.to_host()
    }

    fn compile(&self, program: &Program, _options: &CompileOptions) -> Result<Arc<dyn Executable>> {
        let parsed = ParsedProgram::parse(program)?;
        Ok(Arc::new(TinyExecutable { parsed }))
    }

    fn stats(&self) -> DeviceStats {
        *self.stats.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

struct TinyExecutable {
    parsed: ParsedProgram,
}

impl Executable for TinyExecutable {
    fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        let graph = &self.parsed.graph;
        let mut values: std::collections::HashMap<ValueId, Tensor> = Default::default();
        for (&input, argument) in graph.inputs().iter().zip(&arguments) {
            values.insert(input.output(0), argument.tensor.to_host()?);
        }
        for id in graph.topological_order() {
            let view = graph.node(id);
            if let Some(constant) = view.constant() {
                values.insert(id.output(0), constant.value.clone());
            }
            let NodeKind::Apply(op, _) = view.kind else { continue };
            let statement = self.parsed.statements.iter().position(|&known| known == id);
            let operands: Vec<&Tensor> = view.operands.iter().filter_map(|operand| values.get(operand)).collect();
            let result = compute(op.name(), &operands, view.results[0].ty.dtype)
                .map_err(|error| statement.map_or(error.clone(), |statement| error.in_node(statement)))?;
            values.insert(id.output(0), result);
        }
        graph
            .outputs()
            .iter()
            .map(|output| {
                let value = values.get(output).cloned();
                let value = value.ok_or_else(|| Error::new(ErrorKind::Internal, "an output was not computed"))?;
                Ok(DeviceTensor::from_host(value))
            })
            .collect()
    }
}

fn compute(op: &str, operands: &[&Tensor], dtype: DType) -> Result<Tensor> {
    let shape = operands.iter().try_fold(Default::default(), |shape: arignote_core::tensor::Shape, operand| {
        broadcast_shapes(&shape, operand.shape())
    })?;
    let columns: Vec<Vec<f64>> = operands.iter().map(|operand| spread(operand, &shape)).collect();
    let count = shape.iter().product();
    let at = |i: usize| match (op, columns.as_slice()) {
        ("add", [x, y]) => x[i] + y[i],
        ("sub", [x, y]) => x[i] - y[i],
        ("mul", [x, y]) => x[i] * y[i],
        (_, columns) => -columns[0][i],
    };
    // One f64 operation rounded to f32 is the f32 operation (the significand is more than twice as wide).
    Ok(Tensor::from_vec((0..count).map(at).collect(), &shape)?.cast(dtype))
}

/// The elements of a tensor broadcast to a shape.
fn spread(tensor: &Tensor, shape: &[usize]) -> Vec<f64> {
    let elements = tensor.to_f64_vec();
    let own = contiguous_strides(tensor.shape());
    let all = contiguous_strides(shape);
    let lead = shape.len() - tensor.rank();
    (0..shape.iter().product())
        .map(|flat: usize| {
            let mut at = 0;
            for axis in lead..shape.len() {
                if tensor.shape()[axis - lead] != 1 {
                    at += flat / all[axis] as usize % shape[axis] * own[axis - lead] as usize;
                }
            }
            elements[at]
        })
        .collect()
}

arignote_core::export_plugin!(TinyDevice);
