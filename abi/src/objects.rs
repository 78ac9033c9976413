//! The objects that cross, as traits whose tables of methods only ever grow.
//!
//! Each trait `XObject` has an owned form `XBox` that goes through the boundary, made with a
//! `boxed_x` function below. A method behind the `last_prefix_field` marker must have a
//! default body, which a newer host runs for an older plugin and the other way round.

use crate::data::*;
use crate::{Dims, Outcome, RBox, ROption, RSlice, RStr, RString, RVec, TensorDescriptor};
use abi_stable::sabi_trait;
use abi_stable::sabi_trait::prelude::TD_Opaque;
use std::ffi::c_void;

/// Work that may finish later.
#[sabi_trait]
pub trait EventObject: Send + Sync {
    /// Whether the work has finished, well or badly.
    fn is_done(&self) -> bool;
    /// Waits for the work and gives its error, if it had one.
    #[sabi(last_prefix_field)]
    fn wait(&self) -> Outcome<()>;
}

/// An owned [`EventObject`].
pub type EventBox = EventObject_TO<'static, RBox<()>>;

/// The event of work that had finished when it was made. Making one allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct AlreadyDone;

impl EventObject for AlreadyDone {
    fn is_done(&self) -> bool {
        true
    }
    fn wait(&self) -> Outcome<()> {
        Outcome::ROk(())
    }
}

/// A body of parallel work: a function and its context, borrowed for the call.
#[repr(C)]
#[derive(abi_stable::StableAbi, Clone, Copy)]
pub struct ParallelBody {
    context: *const c_void,
    call: ParallelCall,
}

/// The function of a [`ParallelBody`], called with the context and the index.
#[repr(transparent)]
#[derive(abi_stable::StableAbi, Clone, Copy)]
pub struct ParallelCall(pub unsafe extern "C" fn(*const c_void, u64));

// SAFETY: `ParallelBody::new` demands a call that any thread may make.
unsafe impl Send for ParallelBody {}
// SAFETY: as above.
unsafe impl Sync for ParallelBody {}

impl ParallelBody {
    /// A body that calls `call(context, index)`.
    ///
    /// # Safety
    ///
    /// The call must be sound on any thread, several at once, and must not unwind, for as long as
    /// the borrow of the context lasts: until the method that was given this body returns.
    pub unsafe fn new(context: *const c_void, call: ParallelCall) -> ParallelBody {
        ParallelBody { context, call }
    }

    /// Runs one index.
    ///
    /// # Safety
    ///
    /// The method that was given this body must not have returned yet.
    pub unsafe fn run(&self, index: u64) {
        // SAFETY: the contract of `new`, and the borrow lasts by this function's contract.
        unsafe { (self.call.0)(self.context, index) }
    }
}

/// What the host offers its plugins, which start no threads and own no logger.
#[sabi_trait]
pub trait HostObject: Send + Sync {
    /// Writes one line of log.
    fn log(&self, level: LogLevel, message: RStr<'_>);
    /// Calls the body for each index below `count`, on the host's threads, and waits for all.
    fn parallel_for(&self, count: u64, body: ParallelBody) -> Outcome<()>;
    /// Threads that `parallel_for` uses.
    fn threads(&self) -> u64;
    /// Whether the user wants the current work to stop.
    fn cancelled(&self) -> bool;
    /// The kernel of an op that some plugin registered, by the op's name.
    #[sabi(last_prefix_field)]
    fn kernel(&self, op: RStr<'_>) -> ROption<KernelBox>;
}

/// An owned [`HostObject`].
pub type HostBox = HostObject_TO<'static, RBox<()>>;

/// A plugin.
#[sabi_trait]
pub trait PluginObject: Send + Sync {
    /// Who this is.
    fn info(&self) -> Outcome<PluginInfo>;
    /// Starts the plugin. Called once, before the methods below.
    fn init(&self, host: HostBox) -> Outcome<()>;
    /// The backends that it brings.
    fn backends(&self) -> Outcome<RVec<BackendBox>>;
    /// The ops that it brings.
    fn ops(&self) -> Outcome<RVec<PluginOp>>;
    /// The rewrite rules that it brings.
    #[sabi(last_prefix_field)]
    fn rules(&self) -> Outcome<RVec<RuleText>>;
    /// The rewrites of whole programs that it brings. Since 1.2.
    fn passes(&self) -> Outcome<RVec<PassBox>> {
        Outcome::ROk(RVec::new())
    }
}

/// An owned [`PluginObject`].
pub type PluginBox = PluginObject_TO<'static, RBox<()>>;

/// A rewrite of whole programs.
#[sabi_trait]
pub trait PassObject: Send + Sync {
    /// What it is.
    fn info(&self) -> Outcome<PassInfo>;
    /// Rewrites a program, whose states are arguments like others. Nothing where it does not apply.
    #[sabi(last_prefix_field)]
    fn run(&self, program: &Program) -> Outcome<ROption<Rewritten>>;
}

/// An owned [`PassObject`].
pub type PassBox = PassObject_TO<'static, RBox<()>>;

/// A native kernel of a plugin's op, on host memory.
#[sabi_trait]
pub trait KernelObject: Send + Sync {
    /// Whether it computes an application of its op, and which operands it may overwrite then.
    fn supports(&self, node: &NodeDescription) -> Outcome<Support>;
    /// Computes the results into memory that the caller lends for the call: nobody may keep a
    /// descriptor of `results`. All tensors are contiguous. Where a result overwrites an operand,
    /// that operand is absent and the result holds its elements.
    #[sabi(last_prefix_field)]
    fn run(
        &self,
        attributes: RSlice<'_, NamedAttribute>,
        operands: RVec<ROption<TensorDescriptor>>,
        results: RVec<TensorDescriptor>,
    ) -> Outcome<()>;
}

/// An owned [`KernelObject`].
pub type KernelBox = KernelObject_TO<'static, RBox<()>>;

/// A way to run programs.
#[sabi_trait]
pub trait BackendObject: Send + Sync {
    /// The name in configs: `cpu`, `cuda`.
    fn name(&self) -> Outcome<RString>;
    /// How many devices there are. Looking has no side effects.
    fn device_count(&self) -> Outcome<u64>;
    /// Why there are no devices.
    fn unavailable_reason(&self) -> Outcome<ROption<RString>>;
    /// How gladly an automatic choice takes this backend; the highest wins.
    fn priority(&self) -> Outcome<i32>;
    /// The options that `open` takes.
    fn options(&self) -> Outcome<RVec<BackendOption>>;
    /// Opens a device.
    #[sabi(last_prefix_field)]
    fn open(&self, ordinal: u64, options: RSlice<'_, NamedAttribute>, host: HostBox) -> Outcome<DeviceBox>;
}

/// An owned [`BackendObject`].
pub type BackendBox = BackendObject_TO<'static, RBox<()>>;

/// An open device.
#[sabi_trait]
pub trait DeviceObject: Send + Sync {
    /// What this is.
    fn info(&self) -> Outcome<DeviceInfo>;
    /// Whether a node can run here, and what it may overwrite.
    fn supports(&self, node: &NodeDescription) -> Outcome<Support>;
    /// Copies a tensor of host memory to the device. Fails on other memory.
    fn upload(&self, tensor: TensorDescriptor) -> Outcome<TensorDescriptor>;
    /// Copies a tensor of this device to host memory.
    fn download(&self, tensor: TensorDescriptor) -> Outcome<TensorDescriptor>;
    /// Compiles a program.
    fn compile(&self, program: &Program, options: &CompileOptions) -> Outcome<ExecutableBox>;
    /// Waits for all work and gives the first error of it.
    fn synchronize(&self) -> Outcome<()>;
    /// Counters since it was opened.
    #[sabi(last_prefix_field)]
    fn stats(&self) -> Outcome<DeviceStats>;
}

/// An owned [`DeviceObject`].
pub type DeviceBox = DeviceObject_TO<'static, RBox<()>>;

/// An object as the library that made it knows it: an address, and an origin by which that library recognizes its own.
#[repr(C)]
#[derive(abi_stable::StableAbi, Clone, Copy, Debug)]
pub struct Own {
    object: *const c_void,
    origin: *const c_void,
}

impl Own {
    /// What nobody recognizes.
    pub const NONE: Own = Own { object: std::ptr::null(), origin: std::ptr::null() };

    /// `origin` is an address that only the maker uses, for objects of one type.
    pub fn new(object: *const c_void, origin: *const c_void) -> Own {
        Own { object, origin }
    }

    /// The object, if `origin` says that it is the caller's own.
    pub fn object_of(&self, origin: *const c_void) -> Option<*const c_void> {
        (self.origin == origin).then_some(self.object)
    }
}

/// A compiled program.
#[sabi_trait]
pub trait ExecutableObject: Send + Sync {
    /// Starts a run once every event of `wait` is done.
    ///
    /// The results may be handed on to the same device at once; anyone else waits for `done`, which
    /// also gives an error that came late. An error returned here came before any work: no argument
    /// was overwritten.
    fn run(&self, arguments: RVec<Argument>, wait: RVec<EventBox>) -> Outcome<RunResult>;
    /// Bytes that a run with arguments of these shapes needs beside arguments and results.
    fn workspace(&self, shapes: RVec<Dims>) -> Outcome<ROption<u64>>;
    /// Kernel sources, assembly, plan: whatever helps to debug.
    fn debug_text(&self) -> Outcome<RString>;
    /// What the runs cost, as far as the backend knows.
    #[sabi(last_prefix_field)]
    fn profile(&self) -> Outcome<RVec<ProfileEntry>>;
    /// The maker's own form of this object, which lives as long: host and plugin that are one library call it
    /// without carrying tensors over the boundary and back. Since 1.1.
    fn own(&self) -> Own {
        Own::NONE
    }
    /// The plan of a run with arguments of these shapes, for people: where each value lies. Since 1.3.
    fn layout(&self, shapes: RVec<Dims>) -> Outcome<ROption<RString>> {
        let _ = shapes;
        Outcome::ROk(ROption::RNone)
    }
}

/// An owned [`ExecutableObject`].
pub type ExecutableBox = ExecutableObject_TO<'static, RBox<()>>;

macro_rules! boxed {
    ($($name:ident: $trait:ident, $object:ident => $owned:ident;)*) => {$(
        #[doc = concat!("Makes a [`", stringify!($owned), "`].")]
        pub fn $name<T: $trait + 'static>(value: T) -> $owned {
            $object::from_value(value, TD_Opaque)
        }
    )*};
}

boxed! {
    boxed_event: EventObject, EventObject_TO => EventBox;
    boxed_host: HostObject, HostObject_TO => HostBox;
    boxed_plugin: PluginObject, PluginObject_TO => PluginBox;
    boxed_pass: PassObject, PassObject_TO => PassBox;
    boxed_kernel: KernelObject, KernelObject_TO => KernelBox;
    boxed_backend: BackendObject, BackendObject_TO => BackendBox;
    boxed_device: DeviceObject, DeviceObject_TO => DeviceBox;
    boxed_executable: ExecutableObject, ExecutableObject_TO => ExecutableBox;
}
