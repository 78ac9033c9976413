//! The backend and its one device.

use std::sync::Arc;

use arignote_core::graph::{Graph, NodeId};
use arignote_core::ops::Attributes;
use arignote_core::plugin::{
    Backend, BackendOption, CompileOptions, Device, DeviceInfo, DeviceStats, Executable, Host, NodeQuery, ParsedProgram, Program, StatementNote, Support,
};
use arignote_core::tensor::{DeviceTensor, Tensor};
use arignote_core::{Error, ErrorKind, Result};

use crate::buffer::{MEMORY, Pool, View};
use crate::code::{Code, Implementation};
use crate::control;
use crate::execute::{Runner, host_tensor};
use crate::kernel::compiled::{Cache, Codegen};

/// The maker of the processor's device.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuBackend;

impl Backend for CpuBackend {
    fn name(&self) -> &str {
        "cpu"
    }

    fn device_count(&self) -> usize {
        1
    }

    fn priority(&self) -> i32 {
        10
    }

    fn options(&self) -> Vec<BackendOption> {
        vec![
            BackendOption { name: "threads".into(), default: 0i64.into(), doc: "Threads to use; 0 is all that the host has.".into() },
            BackendOption {
                name: "codegen".into(),
                default: "native".into(),
                doc: "How fused kernels run: `native`, as machine code where the processor has AVX2, or `portable`.".into(),
            },
        ]
    }

    fn open(&self, ordinal: usize, options: &Attributes, host: Arc<dyn Host>) -> Result<Arc<dyn Device>> {
        Ok(Arc::new(CpuDevice::open(ordinal, options, host)?))
    }
}

/// The processor.
pub struct CpuDevice {
    host: Arc<dyn Host>,
    threads: usize,
    pool: Arc<Pool>,
    cache: Arc<Cache>,
}

impl CpuDevice {
    /// Opens the device.
    ///
    /// # Errors
    /// If the ordinal is not 0 or an option is wrong.
    pub fn open(ordinal: usize, options: &Attributes, host: Arc<dyn Host>) -> Result<CpuDevice> {
        if ordinal != 0 {
            return Err(Error::new(ErrorKind::Device, format!("there is one cpu device, cpu0; cpu{ordinal} does not exist")));
        }
        let threads = if options.get("threads").is_some() { options.int("threads")? } else { 0 };
        let threads = match usize::try_from(threads) {
            Ok(0) => host.threads().max(1),
            Ok(threads) => threads,
            Err(_) => return Err(Error::new(ErrorKind::Config, format!("`threads` must not be negative, but is {threads}"))),
        };
        let codegen = match if options.get("codegen").is_some() { options.str("codegen")? } else { "native" } {
            "native" => Codegen::Native,
            "portable" => Codegen::Portable,
            other => return Err(Error::new(ErrorKind::Config, format!("`codegen` must be \"native\" or \"portable\", but is \"{other}\""))),
        };
        Ok(CpuDevice { host, threads, pool: Arc::default(), cache: Arc::new(Cache::new(codegen)) })
    }

    /// Makes a graph executable. `statements` are its nodes in the order of the program's statements;
    /// if there are none, any order that the graph allows is taken. `notes` limit what is overwritten:
    /// one for each statement; if there are none, whatever nothing reads later is.
    ///
    /// # Errors
    /// If there is no kernel for an op.
    pub fn compile_graph(&self, graph: Graph, statements: &[NodeId], notes: &[StatementNote], options: &CompileOptions) -> Result<Arc<dyn Executable>> {
        // Who compiles without a program may say nothing of it.
        let mut donatable = options.donatable.clone();
        donatable.resize(graph.inputs().len(), false);
        Ok(Arc::new(Runner {
            code: Code::new(graph, statements, notes, &*self.host)?,
            host: self.host.clone(),
            threads: self.threads,
            pool: self.pool.clone(),
            cache: self.cache.clone(),
            profile: options.profile.then(Default::default),
            donatable,
            plans: Default::default(),
        }))
    }
}

impl Device for CpuDevice {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { name: "cpu".into(), description: format!("the processor, {} threads", self.threads), memory: MEMORY, memory_bytes: 0 }
    }

    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        // The host asks about what is inside.
        if control::OPS.contains(&node.op) {
            return Support::Yes(Vec::new());
        }
        match Implementation::find(node, &*self.host) {
            Err(reason) => Support::No(reason),
            Ok(implementation) => {
                let mut pairs = implementation.overwrites(node.operands.len());
                if matches!(implementation, Implementation::Elementwise(_)) {
                    pairs.retain(|&(operand, result)| {
                        node.results.get(result).is_some_and(|result| node.operands[operand].dtype.size() == result.dtype.size())
                    });
                }
                Support::Yes(pairs)
            }
        }
    }

    fn upload(&self, tensor: &Tensor) -> Result<DeviceTensor> {
        // A copy: what this device hands out may be donated and then overwritten.
        let view = View::of(tensor);
        let block = self.pool.block(view.bytes.len())?;
        // SAFETY: the block is new and at least as long.
        unsafe { std::ptr::copy_nonoverlapping(view.bytes.as_ptr(), block.start(), view.bytes.len()) };
        Ok(host_tensor(tensor.shape(), tensor.dtype(), block.start(), Arc::new(block)))
    }

    fn download(&self, tensor: &DeviceTensor) -> Result<Tensor> {
        tensor.to_host()
    }

    fn compile(&self, program: &Program, options: &CompileOptions) -> Result<Arc<dyn Executable>> {
        let ParsedProgram { graph, statements } = ParsedProgram::parse(program)?;
        self.compile_graph(graph, &statements, &program.notes, options)
    }

    fn stats(&self) -> DeviceStats {
        let (allocations, live_bytes, peak_bytes) = self.pool.counters();
        DeviceStats { allocations, live_bytes, peak_bytes }
    }
}
