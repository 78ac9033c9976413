//! The caller's side: the objects that crossed, behind the safe traits again.
//!
//! What a safe trait cannot answer with an error (a name, a priority) is asked once, when the object
//! arrives, and an error then fails the arrival.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use arignote_abi as abi;
use arignote_abi::{ROption, RResult, RSlice, RStr, RString, RVec, TensorDescriptor};

use super::convert::*;
use super::export;
use super::guard::{Caught, catch};
use super::memory::*;
use super::program::{ParsedProgram, put_back, without_states};
use super::traits::*;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Location};
use crate::ops::Attributes;
use crate::rewrite::{Firing, Pass, PassContext, Phase};
use crate::tensor::{DeviceTensor, Shape, Tensor};

/// Everything that a plugin says about itself, asked in the order that the contract gives.
pub(super) struct Contents {
    pub(super) info: PluginInfo,
    pub(super) backends: Vec<Arc<dyn Backend>>,
    pub(super) ops: Vec<PluginOp>,
    pub(super) rules: Vec<RuleText>,
    pub(super) passes: Vec<Arc<dyn Pass>>,
}

/// Starts a plugin and takes its contents.
pub(super) fn contents(plugin: &abi::PluginBox, host: Arc<dyn Host>) -> Result<Contents> {
    let info = info_in(&outcome(plugin.info())?);
    outcome(plugin.init(export::host(host)))?;
    let backends = outcome(plugin.backends())?.into_iter().map(backend).collect::<Result<_>>()?;
    let ops = outcome(plugin.ops())?.into_iter().map(|op| {
        Ok(PluginOp {
            name: op.name.to_string(),
            revision: op.revision,
            definition: op.definition.to_string(),
            doc: op.doc.to_string(),
            kernel: op.kernel.into_option().map(kernel),
        })
    });
    let ops = ops.collect::<Result<_>>()?;
    let rules = outcome(plugin.rules())?.into_iter();
    let rules = rules.map(|rules| RuleText { file: rules.file.to_string(), text: rules.text.to_string() });
    let passes = outcome(plugin.passes())?.into_iter().map(pass).collect::<Result<_>>()?;
    Ok(Contents { info, backends, ops, rules: rules.collect(), passes })
}

struct ImportedPass {
    inner: abi::PassBox,
    name: String,
    phase: Phase,
    tags: Vec<String>,
    doc: String,
    examples: Vec<String>,
}

fn pass(inner: abi::PassBox) -> Result<Arc<dyn Pass>> {
    let info = outcome(inner.info())?;
    let (name, doc) = (info.name.to_string(), info.doc.to_string());
    let phase = Phase::from_name(&info.phase).filter(|&phase| phase <= Phase::Scan).ok_or_else(|| {
        let phases: Vec<_> = Phase::ALL.iter().filter(|&&phase| phase <= Phase::Scan).map(|phase| phase.name()).collect();
        let message = format!("its pass `{name}` is of the phase `{}`, expected one of {}", info.phase, phases.join(", "));
        Error::new(ErrorKind::Plugin, message)
    })?;
    let strings = |list: &RVec<RString>| list.iter().map(RString::to_string).collect();
    let (tags, examples) = (strings(&info.tags), strings(&info.examples));
    Ok(Arc::new(ImportedPass { inner, name, phase, tags, doc, examples }))
}

impl Pass for ImportedPass {
    fn name(&self) -> &str {
        &self.name
    }

    fn phase(&self) -> Phase {
        self.phase
    }

    fn tags(&self) -> Vec<&str> {
        self.tags.iter().map(String::as_str).collect()
    }

    fn doc(&self) -> &str {
        &self.doc
    }

    fn examples(&self) -> Vec<&str> {
        self.examples.iter().map(String::as_str).collect()
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let (program, places) = Program::of_graph(&mut without_states(graph)?)?;
        let blame = |error: Error| error.note(format!("in the pass `{}` of a plugin", self.name));
        let Some(answer) = outcome(self.inner.run(&program_out(&program))).map_err(blame)?.into_option() else {
            return Ok(false);
        };
        let place = |places: &[Location], line: usize| {
            line.checked_sub(1).and_then(|at| places.get(at)).cloned().unwrap_or_else(Location::unknown)
        };
        let lines: Vec<Location> = answer.places.iter().map(|&line| place(&places, line as usize)).collect();
        let new = program_in(&answer.program).and_then(|program| ParsedProgram::parse(&program));
        *graph = put_back(graph, &new.map_err(blame)?.graph, |line| place(&lines, line)).map_err(blame)?;
        firings.extend(answer.firings.iter().map(|firing| {
            let location = place(&places, firing.line as usize);
            Firing::of_pass(&self.name, location, firing.before.to_string(), firing.after.to_string())
        }));
        Ok(true)
    }
}

struct ImportedBackend {
    inner: abi::BackendBox,
    name: String,
    priority: i32,
    options: Vec<BackendOption>,
}

fn backend(inner: abi::BackendBox) -> Result<Arc<dyn Backend>> {
    let name = outcome(inner.name())?.to_string();
    let priority = outcome(inner.priority())?;
    let options = outcome(inner.options())?.into_iter().map(|option| {
        Ok(BackendOption {
            name: option.name.to_string(),
            default: attribute_in(&option.default)?,
            doc: option.doc.to_string(),
        })
    });
    let options = options.collect::<Result<_>>()?;
    Ok(Arc::new(ImportedBackend { inner, name, priority, options }))
}

impl Backend for ImportedBackend {
    fn name(&self) -> &str {
        &self.name
    }

    fn device_count(&self) -> usize {
        // Why there are none then is what `unavailable_reason` meets and tells.
        outcome(self.inner.device_count()).map_or(0, |count| count as usize)
    }

    fn unavailable_reason(&self) -> Option<String> {
        match outcome(self.inner.unavailable_reason()) {
            Ok(reason) => reason.into_option().map(|reason| reason.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn options(&self) -> Vec<BackendOption> {
        self.options.clone()
    }

    fn open(&self, ordinal: usize, options: &Attributes, host: Arc<dyn Host>) -> Result<Arc<dyn Device>> {
        let options = attributes_out(options);
        let host = export::host(host);
        let inner = outcome(self.inner.open(ordinal as u64, RSlice::from_slice(&options), host))?;
        let info = device_info_in(&outcome(inner.info())?);
        Ok(Arc::new(ImportedDevice { inner, info }))
    }
}

struct ImportedDevice {
    inner: abi::DeviceBox,
    info: DeviceInfo,
}

impl Device for ImportedDevice {
    fn info(&self) -> DeviceInfo {
        self.info.clone()
    }

    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        answer(self.inner.supports(&query_out(node)))
    }

    fn upload(&self, tensor: &Tensor) -> Result<DeviceTensor> {
        device_tensor_in(outcome(self.inner.upload(tensor_out(tensor)))?)
    }

    fn download(&self, tensor: &DeviceTensor) -> Result<Tensor> {
        tensor_in(outcome(self.inner.download(device_tensor_out(tensor.clone())))?)
    }

    fn compile(&self, program: &Program, options: &CompileOptions) -> Result<Arc<dyn Executable>> {
        let inner = outcome(self.inner.compile(&program_out(program), &options_out(options)))?;
        // SAFETY: they are dropped together.
        let own = unsafe { export::OwnExecutable::of(&inner) };
        Ok(Arc::new(ImportedExecutable { own, inner }))
    }

    fn synchronize(&self) -> Result<()> {
        outcome(self.inner.synchronize())
    }

    fn stats(&self) -> DeviceStats {
        outcome(self.inner.stats()).map_or_else(|_| DeviceStats::default(), |stats| stats_in(&stats))
    }
}

struct ImportedExecutable {
    /// What is linked statically runs without descriptors in between.
    own: Option<export::OwnExecutable>,
    inner: abi::ExecutableBox,
}

impl Executable for ImportedExecutable {
    fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        if let Some(own) = &self.own {
            return own.run(arguments);
        }
        let arguments = list(arguments, |argument| abi::Argument {
            tensor: device_tensor_out(argument.tensor),
            donated: argument.donated,
        });
        let result = outcome(self.inner.run(arguments, RVec::new()))?;
        if !result.done.is_done() {
            outcome(result.done.wait())?;
        }
        result.results.into_iter().map(device_tensor_in).collect()
    }

    fn run_on_host(&self, arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
        match &self.own {
            Some(own) => own.run_on_host(arguments),
            None => run_with_descriptors(self, arguments),
        }
    }

    fn workspace(&self, shapes: &[Shape]) -> Option<u64> {
        let shapes = list(shapes, |shape| shape_out(shape));
        outcome(self.inner.workspace(shapes)).ok()?.into_option()
    }

    fn layout(&self, shapes: &[Shape]) -> Option<String> {
        let shapes = list(shapes, |shape| shape_out(shape));
        outcome(self.inner.layout(shapes)).ok()?.into_option().map(|text| text.to_string())
    }

    fn debug_text(&self) -> String {
        outcome(self.inner.debug_text()).map_or_else(|error| error.to_string(), |text| text.to_string())
    }

    fn profile(&self) -> Vec<ProfileEntry> {
        let entries = outcome(self.inner.profile());
        entries.map_or_else(|_| Vec::new(), |entries| entries.iter().map(profile_in).collect())
    }
}

struct ImportedKernel {
    inner: abi::KernelBox,
}

/// What was answered about a node; an error is a no.
fn answer(support: abi::Outcome<abi::Support>) -> Support {
    match outcome(support) {
        Ok(support) => support_in(&support),
        Err(error) => Support::No(error.to_string()),
    }
}

fn kernel(inner: abi::KernelBox) -> Arc<dyn HostKernel> {
    Arc::new(ImportedKernel { inner })
}

impl HostKernel for ImportedKernel {
    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        answer(self.inner.supports(&query_out(node)))
    }

    fn run(&self, attributes: &Attributes, operands: &[Option<&Tensor>], results: &mut [Tensor]) -> Result<()> {
        let attributes = attributes_out(attributes);
        let operands = list(operands, |operand| operand.map(tensor_out).into());
        // SAFETY: `results` stays borrowed until the call below has returned.
        let lent = results.iter_mut().map(|result| unsafe { lend(result) });
        let lent: RVec<TensorDescriptor> = lent.collect::<Result<Vec<_>>>()?.into();
        outcome(self.inner.run(RSlice::from_slice(&attributes), operands, lent))
    }
}

/// The host as a plugin sees it.
pub(super) struct ImportedHost {
    inner: abi::HostBox,
}

impl ImportedHost {
    pub(super) fn new(inner: abi::HostBox) -> ImportedHost {
        ImportedHost { inner }
    }
}

/// A body of parallel work, and the first panic in it.
struct Work<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    panic: Mutex<Option<Caught>>,
}

unsafe extern "C" fn run_work(context: *const c_void, index: u64) {
    // SAFETY: `parallel_for` below made the context of a `Work` that lives until it returns.
    let work = unsafe { &*context.cast::<Work<'_>>() };
    if let Err(panic) = catch(|| (work.body)(index as usize)) {
        work.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
    }
}

impl Host for ImportedHost {
    fn log(&self, level: LogLevel, message: &str) {
        self.inner.log(abi::LogLevel(level as u32), RStr::from_str(message));
    }

    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        let work = Work { body, panic: Mutex::new(None) };
        // SAFETY: `run_work` is sound on any thread as the body is `Sync`, it does not unwind, and
        // `work` lives until the call below returns.
        let call = unsafe { abi::ParallelBody::new((&raw const work).cast(), abi::ParallelCall(run_work)) };
        let done = self.inner.parallel_for(count as u64, call);
        if let Some(panic) = work.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            panic.resume();
        }
        // The trait has no error to return; the guard around the plugin's body turns this into one.
        if let RResult::RErr(error) = done {
            std::panic::resume_unwind(Box::new(error_in(error).to_string()));
        }
    }

    fn threads(&self) -> usize {
        self.inner.threads() as usize
    }

    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }

    fn kernel(&self, op: &str) -> Option<Arc<dyn HostKernel>> {
        match self.inner.kernel(RStr::from_str(op)) {
            ROption::RSome(inner) => Some(kernel(inner)),
            ROption::RNone => None,
        }
    }
}
