//! The safe traits of the boundary. A plugin implements them; the host's loader hands them out for
//! statically and dynamically linked plugins alike. [`Error`](crate::Error) values carry failures; a panic inside an
//! implementation becomes one.

use std::sync::Arc;

use crate::error::Result;
pub use crate::graph::StatementNote;
use crate::ops::Attributes;
pub use crate::rewrite::Pass;
use crate::tensor::{DeviceTensor, MemoryKind, Shape, Tensor, Type};

/// Who made a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PluginInfo {
    pub name: String,
    pub version: String,
    pub license: String,
    pub description: String,
}

/// A plugin: any mixture of backends, ops, rewrite rules and passes.
pub trait Plugin: Send + Sync + 'static {
    /// Who made it. Must not have side effects.
    fn info(&self) -> PluginInfo;

    /// Called once, before anything else but `info`.
    ///
    /// # Errors
    /// If the plugin cannot work; it is then not registered at all.
    fn init(&self, host: Arc<dyn Host>) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// The devices' makers.
    fn backends(&self) -> Vec<Arc<dyn Backend>> {
        Vec::new()
    }

    /// New ops.
    fn ops(&self) -> Vec<PluginOp> {
        Vec::new()
    }

    /// New rewrite rules.
    fn rules(&self) -> Vec<RuleText> {
        Vec::new()
    }

    /// New rewrites of whole graphs. The host's graph comes with its states as inputs, and with lines of a
    /// `program` as places; the [context](crate::rewrite::PassContext) offers nothing. What a pass leaves must have
    /// the same inputs, and outputs of the same types.
    fn passes(&self) -> Vec<Arc<dyn Pass>> {
        Vec::new()
    }
}

/// An op of a plugin: a definition in the language, and kernels for it where it has some.
#[derive(Clone)]
pub struct PluginOp {
    /// The op's name, `plugin::op`.
    pub name: String,
    /// Grows when the meaning changes.
    pub revision: u32,
    /// One function of the language. Its parameters without a default are operands, of any dtype and
    /// rank unless they have a type; those with a default (a number or a bool) are attributes. It is
    /// the op's meaning, type rule and gradient:
    /// `fn swish(x, beta = 1.0) { return x * sigmoid(beta * x) }`.
    pub definition: String,
    /// Documentation in Markdown.
    pub doc: String,
    /// A kernel for devices in host memory.
    pub kernel: Option<Arc<dyn HostKernel>>,
}

/// What a plugin's op means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpDefinition {
    /// The op's name, `plugin::op`.
    pub name: String,
    /// Grows when the meaning changes.
    pub revision: u32,
    /// One function of the language.
    pub definition: String,
}

/// Rewrite rules as text of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// What errors and listings call the text, such as `tidy.rules`.
    pub file: String,
    /// The rules.
    pub text: String,
}

/// Native code for an op on tensors in host memory.
pub trait HostKernel: Send + Sync + 'static {
    /// Whether it computes an application of the op, and which operands it may write results over
    /// then. Where it says no, the op runs by its definition.
    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        let _ = node;
        Support::Yes(Vec::new())
    }

    /// Computes the results. All tensors are contiguous, results have the right dtype and shape. Where
    /// a result overwrites an operand, that operand is `None` and the result holds its elements.
    ///
    /// # Errors
    /// If it cannot; the results' contents are then not used.
    fn run(&self, attributes: &Attributes, operands: &[Option<&Tensor>], results: &mut [Tensor]) -> Result<()>;
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

/// What the host does for plugins, which start no threads and own no logger.
pub trait Host: Send + Sync {
    /// Writes a line to the host's log.
    fn log(&self, level: LogLevel, message: &str);

    /// Calls `body` with 0, 1, … `count - 1`, on several threads if the host has them, and returns when
    /// all calls have. A panic in one is raised again here.
    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync));

    /// How many calls `parallel_for` makes at once at most.
    fn threads(&self) -> usize;

    /// Whether the user asked to stop; long work should look now and then.
    fn cancelled(&self) -> bool {
        false
    }

    /// The host kernel that some plugin gives for an op.
    fn kernel(&self, op: &str) -> Option<Arc<dyn HostKernel>>;
}

/// A maker of devices.
pub trait Backend: Send + Sync + 'static {
    /// The name in the config: `cpu` for devices `cpu` or `cpu0`.
    fn name(&self) -> &str;

    /// How many devices there are. Must not have side effects.
    fn device_count(&self) -> usize;

    /// Why there are none, if there are none.
    fn unavailable_reason(&self) -> Option<String> {
        None
    }

    /// How gladly `device = "auto"` takes this backend; the highest that is available wins.
    fn priority(&self) -> i32 {
        0
    }

    /// The keys of `[backend.NAME]` in the config, with kind, default and doc.
    fn options(&self) -> Vec<BackendOption> {
        Vec::new()
    }

    /// Opens a device.
    ///
    /// # Errors
    /// If it is not there or an option is wrong.
    fn open(&self, ordinal: usize, options: &Attributes, host: Arc<dyn Host>) -> Result<Arc<dyn Device>>;
}

/// A key of `[backend.NAME]`. Its default also gives its kind.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct BackendOption {
    pub name: String,
    pub default: crate::ops::Attribute,
    pub doc: String,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DeviceInfo {
    /// `cpu`, `cuda0`
    pub name: String,
    /// One line for people: model, threads.
    pub description: String,
    pub memory: MemoryKind,
    /// 0 where it is not known.
    pub memory_bytes: u64,
}

/// An application that a device is asked about.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct NodeQuery<'a> {
    pub op: &'a str,
    pub revision: u32,
    pub attributes: &'a Attributes,
    pub operands: &'a [Type],
    pub results: &'a [Type],
}

/// A device's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It runs the node and may write results over operands, as pairs (operand, result). Of an op that
    /// [fails before writing](crate::ops::Op::fails_before_writing), this promises that a call that fails has not
    /// written.
    Yes(Vec<(usize, usize)>),
    /// It does not, because of this.
    No(String),
}

/// Counters of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DeviceStats {
    pub allocations: u64,
    pub live_bytes: u64,
    pub peak_bytes: u64,
}

/// A device. All methods may be called from any thread, several at once.
pub trait Device: Send + Sync {
    /// What it is.
    fn info(&self) -> DeviceInfo;

    /// Whether it runs a node, and what it may overwrite.
    fn supports(&self, node: &NodeQuery<'_>) -> Support;

    /// A copy of a host tensor in the device's memory; for host memory it may share.
    #[allow(clippy::missing_errors_doc)]
    fn upload(&self, tensor: &Tensor) -> Result<DeviceTensor>;

    /// A copy in host memory.
    #[allow(clippy::missing_errors_doc)]
    fn download(&self, tensor: &DeviceTensor) -> Result<Tensor>;

    /// Makes a program executable. Shapes are not needed; the first call with new shapes plans.
    ///
    /// # Errors
    /// If the program holds something that [`Device::supports`] denies.
    fn compile(&self, program: &Program, options: &CompileOptions) -> Result<Arc<dyn Executable>>;

    /// Waits until all work given so far is done.
    #[allow(clippy::missing_errors_doc)]
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// Counters since the device was opened.
    fn stats(&self) -> DeviceStats {
        DeviceStats::default()
    }
}

/// A graph as it crosses the boundary.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The text's format, [`Program::FORMAT`].
    pub format: String,
    /// A module of the language whose function `main` is the program. Inputs come in order; every
    /// statement binds the results of one op; a call of another function of the module is a fused
    /// region, which a reader may as well inline.
    pub text: String,
    /// The constants that the text names as `const(0)`, `const(1)`, ...
    pub constants: Vec<Tensor>,
    /// What each statement of `main` may do, in order.
    pub notes: Vec<StatementNote>,
    /// The plugins' ops that the text names: the reader may be a library that does not know them.
    pub ops: Vec<OpDefinition>,
}

impl Program {
    /// The format that this version writes.
    pub const FORMAT: &str = "arig/1";
}

/// How to compile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompileOptions {
    /// Keep time per statement for [`Executable::profile`].
    pub profile: bool,
    /// Which arguments the caller may donate.
    pub donatable: Vec<bool>,
}

/// An argument of a run.
#[derive(Clone, Debug)]
pub struct Argument {
    /// The tensor.
    pub tensor: DeviceTensor,
    /// Whether the callee may overwrite it: the caller reads it no more, unless the run fails, in which
    /// case it must be as it was.
    pub donated: bool,
}

/// Time and memory of one statement, summed over all runs. A device that keeps times lists its statements before
/// the first run, too.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct ProfileEntry {
    pub statement: usize,
    pub calls: u64,
    pub seconds: f64,
    pub bytes: u64,
    /// The statements that one kernel computes together, this one among them; empty if it is computed alone.
    pub fused: Vec<usize>,
}

/// Runs a program with descriptors of tensors in host memory, which are only read.
///
/// # Errors
/// As [`Executable::run`].
pub fn run_with_descriptors(program: &(impl Executable + ?Sized), arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
    let argument = |tensor: &&Tensor| Argument { tensor: DeviceTensor::from_host((*tensor).clone()), donated: false };
    program.run(arguments.iter().map(argument).collect())?.iter().map(DeviceTensor::to_host).collect()
}

/// A compiled program. `run` may be called from several threads at once.
pub trait Executable: Send + Sync {
    /// Computes the results. Shapes are checked; the results' shapes come out of the run. Once it returns, nothing
    /// but the results holds the memory of an argument: the caller may only have lent it.
    ///
    /// # Errors
    /// If shapes or values do not fit; the error's node is the statement. No donated argument has then
    /// been overwritten.
    fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>>;

    /// The same of tensors in host memory that are only read, for a device that computes there: it may read and give them without
    /// making descriptors, most of what a small call costs.
    ///
    /// # Errors
    /// As [`run`](Executable::run).
    fn run_on_host(&self, arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
        run_with_descriptors(self, arguments)
    }

    /// Bytes that a run with these argument shapes needs beside arguments and results, at its peak.
    fn workspace(&self, shapes: &[Shape]) -> Option<u64> {
        let _ = shapes;
        None
    }

    /// The plan of a run with these argument shapes, for people: where each value lies.
    fn layout(&self, shapes: &[Shape]) -> Option<String> {
        let _ = shapes;
        None
    }

    /// Plan, kernel source or assembly, for people.
    fn debug_text(&self) -> String {
        String::new()
    }

    /// What each statement cost, if the program was compiled for profiling.
    fn profile(&self) -> Vec<ProfileEntry> {
        Vec::new()
    }
}
