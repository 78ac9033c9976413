//! The author's side: safe traits behind the objects that cross.
//!
//! Every method body stands inside a [`Guard`], so that no panic crosses.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use arignote_abi as abi;
use arignote_abi::{Outcome, RResult, ROption, RSlice, RString, RVec, TensorDescriptor};

use super::adapt::ImportedHost;
use super::convert::*;
use super::guard::{Guard, catch};
use super::memory::*;
use super::program::ParsedProgram;
use super::traits::*;
use crate::error::Result;
use crate::graph::Location;
use crate::rewrite::{Pass, PassContext};
use crate::tensor::{DeviceTensor, Tensor};

/// Writes what a plugin library exports.
///
/// It takes an expression that makes a [`Plugin`] and stands once in the root of a crate of the type
/// `cdylib`. Of the symbols that it exports a program can have but one set; a crate for programs to link
/// has [`plugin_root!`](crate::plugin_root) instead.
///
/// ```
/// use arignote_core::plugin::{Plugin, PluginInfo};
///
/// struct Mine;
/// impl Plugin for Mine {
///     fn info(&self) -> PluginInfo {
///         PluginInfo { name: "mine".into(), version: "0.1.0".into(), ..PluginInfo::default() }
///     }
/// }
/// arignote_core::export_plugin!(Mine);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_plugin {
    ($plugin:expr) => {
        $crate::plugin_root!($plugin);

        const _: () = {
            /// What a host reads before anything else.
            #[unsafe(no_mangle)]
            pub static ARIGNOTE_PLUGIN_STAMP: $crate::plugin::boundary::Stamp =
                $crate::plugin::boundary::Stamp::CURRENT;

            extern "C" fn root() -> $crate::plugin::boundary::HeaderResult {
                $crate::plugin::boundary::root_result(arignote_plugin())
            }

            /// The way to the root, with its layout.
            // SAFETY: `root` returns what `root_result` gives.
            #[unsafe(no_mangle)]
            pub static ARIGNOTE_PLUGIN_HEADER: $crate::plugin::boundary::Header =
                unsafe { $crate::plugin::boundary::header_for(root) };
        };
    };
}

/// Writes a function `arignote_plugin()`, the root of a plugin that programs link statically, for
/// [`Loader::link`](crate::plugin::Loader::link): what [`export_plugin!`](crate::export_plugin) exports,
/// without the symbols by which a library is found.
#[macro_export]
macro_rules! plugin_root {
    ($plugin:expr) => {
        /// The root of this plugin, for programs that link it statically.
        pub fn arignote_plugin() -> $crate::plugin::boundary::PluginRootRef {
            extern "C" fn open() -> $crate::plugin::boundary::Outcome<$crate::plugin::boundary::PluginBox> {
                $crate::plugin::boundary::open(|| $plugin)
            }
            static ROOT: ::std::sync::OnceLock<$crate::plugin::boundary::PluginRootRef> =
                ::std::sync::OnceLock::new();
            *ROOT.get_or_init(|| $crate::plugin::boundary::PluginRoot { open }.leak())
        }
    };
}

/// What [`export_plugin!`](crate::export_plugin) expands to uses these; nobody else needs them.
pub mod boundary {
    pub use arignote_abi::{
        Header, HeaderResult, Outcome, PluginBox, PluginRoot, PluginRootRef, Stamp, header_for, root_result,
    };

    /// Makes the object of a plugin.
    pub fn open<P: crate::plugin::Plugin>(make: impl FnOnce() -> P) -> Outcome<PluginBox> {
        let guard = super::Guard::new("the plugin");
        guard.value("new", || super::plugin(std::sync::Arc::new(make())))
    }
}

struct Exported<T: ?Sized> {
    inner: ManuallyDrop<Arc<T>>,
    guard: Guard,
}

impl<T: ?Sized> Exported<T> {
    fn new(inner: Arc<T>, what: impl Into<String>) -> Exported<T> {
        Exported { inner: ManuallyDrop::new(inner), guard: Guard::new(what) }
    }
}

impl<T: ?Sized> Drop for Exported<T> {
    fn drop(&mut self) {
        // SAFETY: `inner` is not used after this, the end of its only holder.
        let inner = unsafe { ManuallyDrop::take(&mut self.inner) };
        // A panic in a destructor must not cross either; there is nobody to tell about it.
        let _ = catch(move || drop(inner));
    }
}

pub(super) fn plugin(inner: Arc<dyn Plugin>) -> abi::PluginBox {
    let name = catch(|| inner.info().name).unwrap_or_else(|_| "?".into());
    abi::boxed_plugin(Exported::new(inner, format!("plugin `{name}`")))
}

impl abi::PluginObject for Exported<dyn Plugin> {
    fn info(&self) -> Outcome<abi::PluginInfo> {
        self.guard.value("info", || info_out(&self.inner.info()))
    }

    fn init(&self, host: abi::HostBox) -> Outcome<()> {
        self.guard.run("init", || self.inner.init(Arc::new(ImportedHost::new(host))))
    }

    fn backends(&self) -> Outcome<RVec<abi::BackendBox>> {
        self.guard.value("backends", || list(self.inner.backends(), backend))
    }

    fn ops(&self) -> Outcome<RVec<abi::PluginOp>> {
        self.guard.value("ops", || {
            list(self.inner.ops(), |op| abi::PluginOp {
                kernel: op.kernel.map(|inner| kernel(inner, &op.name)).into(),
                name: string(&op.name),
                revision: op.revision,
                definition: string(&op.definition),
                doc: string(&op.doc),
                extra: RVec::new(),
            })
        })
    }

    fn rules(&self) -> Outcome<RVec<abi::RuleText>> {
        self.guard.value("rules", || {
            list(self.inner.rules(), |rules| abi::RuleText {
                file: string(&rules.file),
                text: string(&rules.text),
            })
        })
    }

    fn passes(&self) -> Outcome<RVec<abi::PassBox>> {
        self.guard.value("passes", || list(self.inner.passes(), pass))
    }
}

fn pass(inner: Arc<dyn Pass>) -> abi::PassBox {
    let name = catch(|| inner.name().to_owned()).unwrap_or_else(|_| "?".into());
    abi::boxed_pass(Exported::new(inner, format!("pass `{name}`")))
}

impl abi::PassObject for Exported<dyn Pass> {
    fn info(&self) -> Outcome<abi::PassInfo> {
        self.guard.value("info", || abi::PassInfo {
            name: string(self.inner.name()),
            phase: string(self.inner.phase().name()),
            tags: list(self.inner.tags(), string),
            doc: string(self.inner.doc()),
            examples: list(self.inner.examples(), string),
            extra: RVec::new(),
        })
    }

    fn run(&self, program: &abi::Program) -> Outcome<ROption<abi::Rewritten>> {
        self.guard.run("run", || {
            let mut graph = ParsedProgram::parse(&program_in(program)?)?.graph;
            let mut firings = Vec::new();
            if !self.inner.run(&mut graph, &PassContext::default(), &mut firings)? {
                return Ok(ROption::RNone);
            }
            graph.compact();
            let (program, places) = Program::of_graph(&mut graph)?;
            Ok(ROption::RSome(abi::Rewritten {
                program: program_out(&program),
                places: list(&places, line_out),
                firings: list(firings, |firing| abi::PassFiring {
                    line: line_out(&firing.location),
                    before: string(&firing.before),
                    after: string(&firing.after),
                    extra: RVec::new(),
                }),
                extra: RVec::new(),
            }))
        })
    }
}

/// The line of a place in a program's text, 0 for any other place.
fn line_out(place: &Location) -> u64 {
    if *place.file == *Program::SOURCE { place.line.into() } else { 0 }
}

fn backend(inner: Arc<dyn Backend>) -> abi::BackendBox {
    let name = catch(|| inner.name().to_owned()).unwrap_or_else(|_| "?".into());
    abi::boxed_backend(Exported::new(inner, format!("backend `{name}`")))
}

impl abi::BackendObject for Exported<dyn Backend> {
    fn name(&self) -> Outcome<RString> {
        self.guard.value("name", || string(self.inner.name()))
    }

    fn device_count(&self) -> Outcome<u64> {
        self.guard.value("device_count", || self.inner.device_count() as u64)
    }

    fn unavailable_reason(&self) -> Outcome<ROption<RString>> {
        self.guard.value("unavailable_reason", || self.inner.unavailable_reason().map(RString::from).into())
    }

    fn priority(&self) -> Outcome<i32> {
        self.guard.value("priority", || self.inner.priority())
    }

    fn options(&self) -> Outcome<RVec<abi::BackendOption>> {
        self.guard.value("options", || {
            list(self.inner.options(), |option| abi::BackendOption {
                name: string(&option.name),
                default: attribute_out(&option.default),
                doc: string(&option.doc),
                extra: RVec::new(),
            })
        })
    }

    fn open(
        &self, ordinal: u64, options: RSlice<'_, abi::NamedAttribute>, host: abi::HostBox,
    ) -> Outcome<abi::DeviceBox> {
        self.guard.run("open", || {
            let options = attributes_in(options.as_slice())?;
            let host = Arc::new(ImportedHost::new(host));
            let inner = self.inner.open(ordinal as usize, &options, host)?;
            let name = catch(|| inner.info().name).unwrap_or_else(|_| "?".into());
            Ok(abi::boxed_device(Exported::new(inner, format!("device `{name}`"))))
        })
    }
}

/// Asks about a node that came through the boundary.
fn asked(node: &abi::NodeDescription, ask: impl FnOnce(&NodeQuery<'_>) -> Support) -> Result<abi::Support> {
    let attributes = attributes_in(&node.attributes)?;
    let operands = node.operands.iter().map(type_in).collect::<Result<Vec<_>>>()?;
    let results = node.results.iter().map(type_in).collect::<Result<Vec<_>>>()?;
    Ok(support_out(&ask(&NodeQuery {
        op: &node.op,
        revision: node.revision,
        attributes: &attributes,
        operands: &operands,
        results: &results,
    })))
}

impl abi::DeviceObject for Exported<dyn Device> {
    fn info(&self) -> Outcome<abi::DeviceInfo> {
        self.guard.value("info", || device_info_out(&self.inner.info()))
    }

    fn supports(&self, node: &abi::NodeDescription) -> Outcome<abi::Support> {
        self.guard.run("supports", || asked(node, |query| self.inner.supports(query)))
    }

    fn upload(&self, tensor: TensorDescriptor) -> Outcome<TensorDescriptor> {
        self.guard.run("upload", || Ok(device_tensor_out(self.inner.upload(&tensor_in(tensor)?)?)))
    }

    fn download(&self, tensor: TensorDescriptor) -> Outcome<TensorDescriptor> {
        self.guard.run("download", || Ok(tensor_out(&self.inner.download(&device_tensor_in(tensor)?)?)))
    }

    fn compile(&self, program: &abi::Program, options: &abi::CompileOptions) -> Outcome<abi::ExecutableBox> {
        self.guard.run("compile", || {
            let inner = self.inner.compile(&program_in(program)?, &options_in(options))?;
            Ok(abi::boxed_executable(Exported::new(inner, "the executable")))
        })
    }

    fn synchronize(&self) -> Outcome<()> {
        self.guard.run("synchronize", || self.inner.synchronize())
    }

    fn stats(&self) -> Outcome<abi::DeviceStats> {
        self.guard.value("stats", || stats_out(self.inner.stats()))
    }
}

impl abi::ExecutableObject for Exported<dyn Executable> {
    fn run(&self, arguments: RVec<abi::Argument>, wait: RVec<abi::EventBox>) -> Outcome<abi::RunResult> {
        self.guard.run("run", || {
            for event in &wait {
                outcome(event.wait())?;
            }
            let arguments = arguments.into_iter().map(|argument| {
                Ok(Argument { tensor: device_tensor_in(argument.tensor)?, donated: argument.donated })
            });
            let results = self.inner.run(arguments.collect::<Result<_>>()?)?;
            Ok(abi::RunResult {
                results: list(results, device_tensor_out),
                done: abi::boxed_event(abi::AlreadyDone),
            })
        })
    }

    fn workspace(&self, shapes: RVec<abi::Dims>) -> Outcome<ROption<u64>> {
        self.guard.run("workspace", || {
            let shapes = shapes.iter().map(shape_in).collect::<Result<Vec<_>>>()?;
            Ok(self.inner.workspace(&shapes).into())
        })
    }

    fn layout(&self, shapes: RVec<abi::Dims>) -> Outcome<ROption<RString>> {
        self.guard.run("layout", || {
            let shapes = shapes.iter().map(shape_in).collect::<Result<Vec<_>>>()?;
            Ok(self.inner.layout(&shapes).map(|text| string(&text)).into())
        })
    }

    fn debug_text(&self) -> Outcome<RString> {
        self.guard.value("debug_text", || string(&self.inner.debug_text()))
    }

    fn profile(&self) -> Outcome<RVec<abi::ProfileEntry>> {
        self.guard.value("profile", || list(&self.inner.profile(), profile_out))
    }

    fn own(&self) -> abi::Own {
        let object: *const Exported<dyn Executable> = self;
        abi::Own::new(object.cast(), executables())
    }
}

// Each copy of this library has its own, as those of tensors.
static EXECUTABLES: AtomicU8 = AtomicU8::new(0);

fn executables() -> *const c_void {
    (&raw const EXECUTABLES).cast()
}

/// An executable that this copy of the library made for itself, found again behind the boundary.
pub(super) struct OwnExecutable {
    object: NonNull<Exported<dyn Executable>>,
}

// SAFETY: an `Exported<dyn Executable>` is `Send` and `Sync`, and only shared references are made of it.
unsafe impl Send for OwnExecutable {}
// SAFETY: as above.
unsafe impl Sync for OwnExecutable {}

impl OwnExecutable {
    /// # Safety
    /// The box must outlive the result.
    pub(super) unsafe fn of(executable: &abi::ExecutableBox) -> Option<OwnExecutable> {
        let object = executable.own().object_of(executables())?;
        NonNull::new(object.cast_mut().cast()).map(|object| OwnExecutable { object })
    }

    fn exported(&self) -> &Exported<dyn Executable> {
        // SAFETY: with this origin the object is what `own` above gave, which lives by the promise of `of`.
        unsafe { self.object.as_ref() }
    }

    /// Runs it, guarded as across the boundary.
    pub(super) fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        let exported = self.exported();
        outcome(exported.guard.run("run", || exported.inner.run(arguments)))
    }

    /// The same of tensors in host memory.
    pub(super) fn run_on_host(&self, arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
        let exported = self.exported();
        outcome(exported.guard.run("run", || exported.inner.run_on_host(arguments)))
    }
}

pub(super) fn kernel(inner: Arc<dyn HostKernel>, op: &str) -> abi::KernelBox {
    abi::boxed_kernel(Exported::new(inner, format!("the kernel of `{op}`")))
}

impl abi::KernelObject for Exported<dyn HostKernel> {
    fn supports(&self, node: &abi::NodeDescription) -> Outcome<abi::Support> {
        self.guard.run("supports", || asked(node, |query| self.inner.supports(query)))
    }

    fn run(
        &self, attributes: RSlice<'_, abi::NamedAttribute>, operands: RVec<ROption<TensorDescriptor>>,
        results: RVec<TensorDescriptor>,
    ) -> Outcome<()> {
        self.guard.run("run", || {
            let attributes = attributes_in(attributes.as_slice())?;
            let operands = operands.into_iter().map(|operand| operand.into_option().map(tensor_in).transpose());
            let operands = operands.collect::<Result<Vec<_>>>()?;
            let operands: Vec<_> = operands.iter().map(Option::as_ref).collect();
            // SAFETY: the caller lends the results to this call alone, which is not over yet.
            let taken = results.into_iter().map(|result| unsafe { Borrowed::take(result) });
            let (mut tensors, lent): (Vec<_>, Vec<_>) = taken.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            let outcome = catch(|| self.inner.run(&attributes, &operands, &mut tensors));
            for (tensor, lent) in tensors.into_iter().zip(lent) {
                lent.give_back(tensor)?;
            }
            // Raised again for the guard, which poisons the kernel.
            outcome.unwrap_or_else(|caught| caught.resume())
        })
    }
}

/// The host's services behind the object that a plugin gets.
pub(super) fn host(inner: Arc<dyn Host>) -> abi::HostBox {
    abi::boxed_host(Exported::new(inner, "the host"))
}

impl abi::HostObject for Exported<dyn Host> {
    fn log(&self, level: abi::LogLevel, message: abi::RStr<'_>) {
        let _ = catch(|| self.inner.log(level_in(level), &message));
    }

    fn parallel_for(&self, count: u64, body: abi::ParallelBody) -> Outcome<()> {
        // Not through the guard: the host outlives a panic of its logger or pool.
        let run = |index: usize| {
            // SAFETY: this method has not returned while the host's `parallel_for` runs.
            unsafe { body.run(index as u64) }
        };
        match catch(|| self.inner.parallel_for(count as usize, &run)) {
            Ok(()) => RResult::ROk(()),
            Err(panic) => RResult::RErr(error_out(&crate::Error::new(
                crate::ErrorKind::Internal,
                format!("the host's `parallel_for` panicked: {}", panic.line()),
            ))),
        }
    }

    fn threads(&self) -> u64 {
        catch(|| self.inner.threads() as u64).unwrap_or(1)
    }

    fn cancelled(&self) -> bool {
        catch(|| self.inner.cancelled()).unwrap_or(false)
    }

    fn kernel(&self, op: abi::RStr<'_>) -> ROption<abi::KernelBox> {
        let found = catch(|| self.inner.kernel(&op)).ok().flatten();
        found.map(|inner| kernel(inner, &op)).into()
    }
}
