//! The backend and its one device.

use std::sync::Arc;

use arignote_core::Result;
use arignote_core::error::{Error, ErrorKind};
use arignote_core::ops::Attributes;
use arignote_core::plugin::{
    Backend, CompileOptions, Device, DeviceInfo, Executable, Host, NodeQuery, ParsedProgram, Plugin, PluginInfo, Program,
    Support,
};
use arignote_core::tensor::{DeviceTensor, MemoryKind, Tensor};

use crate::execute::Interpreter;
use crate::kernel::kernel;

/// The plugin that holds [`ReferenceBackend`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferencePlugin;

impl Plugin for ReferencePlugin {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: "reference".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            license: env!("CARGO_PKG_LICENSE").into(),
            description: env!("CARGO_PKG_DESCRIPTION").into(),
        }
    }

    fn backends(&self) -> Vec<Arc<dyn Backend>> {
        vec![Arc::new(ReferenceBackend)]
    }
}

/// The maker of the device `reference`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceBackend;

impl Backend for ReferenceBackend {
    fn name(&self) -> &str {
        "reference"
    }

    fn device_count(&self) -> usize {
        1
    }

    /// Every other backend is faster.
    fn priority(&self) -> i32 {
        -100
    }

    fn open(&self, ordinal: usize, _: &Attributes, _: Arc<dyn Host>) -> Result<Arc<dyn Device>> {
        if ordinal > 0 {
            let message = format!("there is no device `reference{ordinal}`, only `reference`");
            return Err(Error::new(ErrorKind::Device, message));
        }
        Ok(Arc::new(ReferenceDevice))
    }
}

/// The device: host memory, one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceDevice;

impl Device for ReferenceDevice {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            name: "reference".into(),
            description: "naive and exact, one thread".into(),
            memory: MemoryKind::HOST,
            memory_bytes: 0,
        }
    }

    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        match kernel(node.op) {
            Some(_) => Support::Yes(Vec::new()),
            None => Support::No(format!("the reference backend has no kernel for `{}`", node.op)),
        }
    }

    fn upload(&self, tensor: &Tensor) -> Result<DeviceTensor> {
        Ok(DeviceTensor::from_host(tensor.clone()))
    }

    fn download(&self, tensor: &DeviceTensor) -> Result<Tensor> {
        tensor.to_host()
    }

    fn compile(&self, program: &Program, options: &CompileOptions) -> Result<Arc<dyn Executable>> {
        let parsed = ParsedProgram::parse(program)?;
        Ok(Arc::new(Interpreter::new(parsed.graph, &parsed.statements, options.profile)))
    }
}
