//! Kernels made ready to run over elements in a row, by machine code or portably, and the code that they share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use arignote_core::tensor::DType;
use smallvec::SmallVec;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::form::Form;
use super::ir::{Instruction, Kernel, Kind, Origin, Reduction};
use super::portable::{self, Program};
use super::rows::Rows;

/// Which path kernels take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codegen {
    /// Machine code where there is some for the processor.
    #[default]
    Native,
    /// Loops that were compiled with the backend.
    Portable,
}

#[cfg(target_arch = "x86_64")]
pub(super) type Code = avx2::Code;
/// No processor is like that.
#[cfg(not(target_arch = "x86_64"))]
pub(super) enum Code {}

type Key = (Vec<DType>, Vec<(Instruction, Kind)>, Vec<(u32, DType)>, Vec<(u32, Reduction)>, Vec<bool>);

/// The machine code that is in use, so that equal kernels share theirs.
#[derive(Default)]
pub struct Cache {
    codegen: Codegen,
    rows: [OnceLock<Rows>; 2],
    codes: Mutex<HashMap<Key, Weak<Code>>>,
}

/// Codes that are remembered before those that are no longer in use are forgotten.
const CODES: usize = 4096;

impl Cache {
    /// A cache for one path.
    pub fn new(codegen: Codegen) -> Cache {
        Cache { codegen, ..Cache::default() }
    }

    /// What normalizes rows of `f32` or of `f64`.
    pub fn rows(&self, dtype: DType) -> &Rows {
        self.rows[usize::from(dtype == DType::F64)].get_or_init(|| Rows::new(dtype, self))
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn code(&self, kernel: &Kernel, uniform: &[bool]) -> Option<Arc<Code>> {
        if self.codegen == Codegen::Portable || !avx2::is_available() {
            return None;
        }
        let key = (kernel.inputs.clone(), kernel.instructions.clone(), kernel.outputs.clone(), kernel.reductions.clone(), uniform.to_vec());
        let mut codes = self.codes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(code) = codes.get(&key).and_then(Weak::upgrade) {
            return Some(code);
        }
        let code = Arc::new(avx2::Code::compile(kernel, &Form::of(kernel, uniform))?);
        if codes.len() >= CODES { codes.retain(|_, code| code.strong_count() > 0); }
        codes.insert(key, Arc::downgrade(&code));
        Some(code)
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn code(&self, _: &Kernel, _: &[bool]) -> Option<Arc<Code>> {
        None
    }
}

enum Executor {
    Native(Arc<Code>),
    Portable(Program),
}

/// A kernel that can be run over elements in a row.
pub struct Compiled {
    pub(super) kernel: Kernel,
    executor: Executor,
    lanes: usize,
    /// The kernel's reductions, and what is reduced.
    pub(super) reductions: SmallVec<[(Reduction, Kind); REDUCTIONS]>,
}

/// Addresses of the arrays of a kernel.
pub type Addresses = SmallVec<[*mut u8; 16]>;

impl Compiled {
    /// Compiles a kernel of which some inputs are one element for all.
    pub fn new(kernel: Kernel, cache: &Cache, uniform: &[bool]) -> Compiled {
        let executor = match cache.code(&kernel, uniform) {
            Some(code) => Executor::Native(code),
            None => Executor::Portable(Program::new(&kernel, uniform)),
        };
        let lanes = Form::of(&kernel, uniform).lanes;
        let reductions = kernel.reductions.iter().map(|&(number, reduction)| (reduction, kernel.instructions[number as usize].1)).collect();
        Compiled { kernel, executor, lanes, reductions }
    }

    pub(super) fn is_native(&self) -> bool {
        matches!(self.executor, Executor::Native(_))
    }

    /// Bytes of scratch memory that one thread takes.
    pub(super) fn scratch(&self) -> usize {
        match &self.executor {
            Executor::Native(_) => 0,
            Executor::Portable(program) => program.scratch(),
        }
    }

    pub(super) fn describe(&self, origin: Origin<'_>) -> String {
        let mut text = self.kernel.describe(origin);
        match &self.executor {
            #[cfg(target_arch = "x86_64")]
            Executor::Native(code) => text.push_str(&code.describe(&self.kernel)),
            #[cfg(not(target_arch = "x86_64"))]
            Executor::Native(_) => {}
            Executor::Portable(_) => text.push_str("    runs portably\n"),
        }
        text
    }

    /// The bits of what changes nothing in each of the kernel's reductions.
    pub fn identities(&self) -> Totals {
        let mut identities = [0; REDUCTIONS];
        for (identity, &(reduction, kind)) in identities.iter_mut().zip(&self.reductions) { *identity = reduction.identity(kind); }
        identities
    }

    /// Runs the kernel over `count` elements in a row, and combines `totals` with what they are reduced to.
    ///
    /// # Safety
    /// As for [`Program::run`]: `arrays` are those of inputs and outputs.
    pub unsafe fn run(&self, arrays: &mut Addresses, count: usize, totals: &mut [u64]) {
        let mut vectors = [[0u64; 4]; REDUCTIONS];
        let length = arrays.len();
        for (_, vector) in self.reductions.iter().zip(&mut vectors) { arrays.push(vector.as_mut_ptr().cast()); }
        match &self.executor {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller's promise; code is only made for processors that have its instructions.
            Executor::Native(code) => unsafe { code.run(arrays, count) },
            #[cfg(not(target_arch = "x86_64"))]
            Executor::Native(code) => match **code {},
            // SAFETY: the caller's promise.
            Executor::Portable(program) => unsafe { program.run(arrays, count) },
        }
        arrays.truncate(length);
        for ((&(reduction, kind), vector), total) in self.reductions.iter().zip(&mut vectors).zip(totals) {
            let value = portable::horizontal(reduction, kind, self.lanes, vector);
            *total = portable::combine(reduction, kind, *total, value);
        }
    }
}

/// Reductions of a kernel at most.
pub const REDUCTIONS: usize = 4;

/// The bits of what each of a kernel's reductions gives, as many as there are.
pub type Totals = [u64; REDUCTIONS];
