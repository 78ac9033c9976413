//! Kernels as machine code for x86-64 with AVX2, FMA and F16C.
//!
//! A call handles elements in a row: first what is the same for all of them is computed, then a loop takes a few
//! vectors in a turn, another one vector, and a tail the rest under a mask. `rdi` comes in with the arrays and `rsi`
//! with the number of elements; `rcx` is the element that is next, `rbp` the frame and `r14` the constants; `rax`,
//! `rdx` and `rdi` are free for any instruction.

mod encode;
mod memory;
mod section;

use std::collections::HashMap;

use dynasmrt::mmap::{ExecutableBuffer, MutableBuffer};
use dynasmrt::{AssemblyOffset, DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};

use super::form::{Form, REGISTERS};
use super::ir::{Function, Instruction, Kernel, Kind};
use super::steps::StepForm;
use encode::{Assembler, Constants, Place, move_to};
use section::Section;

/// Whether the processor has what the code needs.
pub fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") && std::arch::is_x86_feature_detected!("f16c")
}

/// Instructions of a kernel at most; more run portably.
const MOST: usize = 4096;

/// The frame's parts, from `rbp` on, all aligned to 32 bytes.
mod frame {
    /// Operands of a call (three vectors), then its result.
    pub const EXCHANGE: i32 = 32;
    /// The tail's mask for lanes of 32 bits, then for those of 64.
    pub const MASK: i32 = 160;
    /// The tail's elements of 8 or 16 bits.
    pub const BOUNCE: i32 = 224;
    /// How many steps are left.
    pub const STEPS: i32 = 240;
    /// The arrays, the stack pointer of the caller.
    pub const ARRAYS: i32 = 256;
    pub const STACK: i32 = 264;
    /// `rcx`, `rsi`, `r8` to `r11` during a call.
    pub const GENERAL: i32 = 272;
    /// All vector registers during a call.
    pub const VECTORS: i32 = 320;
    /// Values.
    pub const SLOTS: i32 = VECTORS + 16 * 32;
}

/// Where the constants are, after masks for tails: the first `n` lanes of 32 bits start at lane `8 - n` of these.
const MASKS_WIDE: i32 = 64;
const CONSTANTS: i32 = 128;

/// A function that the code calls, with what the lanes are.
struct Job {
    function: Function,
    rare: bool,
    from: Kind,
    to: Kind,
    lanes: usize,
}

/// Machine code of a kernel.
pub struct Code {
    buffer: ExecutableBuffer,
    /// The code has their addresses.
    _jobs: Box<[Job]>,
    /// Bytes before the constants.
    length: usize,
    /// Where the code for instructions of the kernel begins: bytes from the first one, and the instruction.
    marks: Vec<(u32, u32)>,
}

impl Code {
    /// Compiles a kernel; `None` if it is too long or there is no memory for code.
    pub fn compile(kernel: &Kernel, form: &Form) -> Option<Code> {
        Code::assemble(kernel, form, None)
    }

    /// Compiles a kernel as the step of a loop, for [`Code::run_steps`]; `None` as for [`Code::compile`].
    pub fn compile_steps(kernel: &Kernel, steps: &StepForm) -> Option<Code> {
        Code::assemble(kernel, &steps.form(kernel), Some(steps))
    }

    fn assemble(kernel: &Kernel, form: &Form, steps: Option<&StepForm>) -> Option<Code> {
        if kernel.instructions.len() > MOST {
            return None;
        }
        let lanes = form.lanes;
        let jobs: Box<[Job]> = kernel.instructions.iter().filter_map(|&(instruction, to)| {
            let kind = |number: u32| kernel.instructions[number as usize].1;
            match instruction {
                Instruction::Call(function, operands) => Some(Job { function, rare: false, from: kind(operands[0]), to, lanes }),
                Instruction::Rare(function, _, x, _) => Some(Job { function, rare: true, from: kind(x), to, lanes }),
                _ => None,
            }
        }).collect();
        let mut ops = Assembler::new(0);
        let (pool, thunk) = (ops.new_dynamic_label(), ops.new_dynamic_label());
        let arrays = kernel.inputs.len() + kernel.outputs.len();
        dynasm!(ops ; .arch x64
            ; push rbp ; push rbx ; push r12 ; push r13 ; push r14 ; push r15
            ; mov rax, rsp
            ; sub rsp, DWORD 0);
        let reserve = ops.offset().0;
        dynasm!(ops ; .arch x64
            ; and rsp, -32
            ; mov rbp, rsp
            ; mov [rbp + frame::STACK], rax
            ; mov [rbp + frame::ARRAYS], rdi
            ; lea r14, [=>pool]);
        for array in 0..arrays {
            if let Some(register) = POINTERS.get(array) {
                let at = 8 * array as i32;
                dynasm!(ops ; .arch x64 ; mov Rq(*register), [rdi + at]);
            }
        }
        match steps {
            None => dynasm!(ops ; .arch x64 ; xor ecx, ecx),
            Some(_) => dynasm!(ops ; .arch x64 ; mov [rbp + frame::STEPS], rcx ; mov rcx, rdx),
        }
        let mut compiler = Compiler { kernel, form, steps, ops, pool: Pool::default(), homes: vec![None; kernel.instructions.len()], slots: Vec::new(), frame: frame::SLOTS, jobs: &jobs, thunk, marks: Vec::new(), kept: Vec::new() };
        compiler.fixed();
        match steps {
            None => compiler.elements(),
            Some(steps) => compiler.all_steps(steps),
        }
        let Compiler { mut ops, pool: Pool { vectors, .. }, frame, marks, .. } = compiler;
        dynasm!(ops ; .arch x64
            ; vzeroupper
            ; mov rsp, [rbp + frame::STACK]
            ; pop r15 ; pop r14 ; pop r13 ; pop r12 ; pop rbx ; pop rbp
            ; ret);
        if !jobs.is_empty() { call_thunk(&mut ops, thunk); } else { dynasm!(ops ; .arch x64 ; =>thunk); }
        let length = ops.offset().0;
        dynasm!(ops ; .arch x64 ; .align 32 ; =>pool);
        for lane in 0..16 { ops.push_u32(if lane < 8 { u32::MAX } else { 0 }); }
        for lane in 0..8 { ops.push_u64(if lane < 4 { u64::MAX } else { 0 }); }
        for (bits, wide) in vectors {
            for _ in 0..4 { ops.push_u64(if wide { bits } else { bits | bits << 32 }); }
        }
        let mut code = ops.finalize().ok()?;
        code[reserve - 4..reserve].copy_from_slice(&(frame + 32).to_le_bytes());
        let mut buffer = MutableBuffer::new(code.len()).ok()?;
        buffer.set_len(code.len());
        buffer.copy_from_slice(&code);
        Some(Code { buffer: buffer.make_exec().ok()?, _jobs: jobs, length, marks })
    }

    /// Computes `count` elements in a row: `arrays` are the first elements of inputs, then of outputs.
    ///
    /// # Safety
    /// The processor has what [`is_available`] asks for; the rest as for [`super::portable::Program::run`].
    pub unsafe fn run(&self, arrays: &[*mut u8], count: usize) {
        // SAFETY: the buffer starts with a function of this type, which is written when the code is made and
        // not changed afterwards.
        let entry: extern "sysv64" fn(*const *mut u8, usize) = unsafe { std::mem::transmute(self.buffer.ptr(AssemblyOffset(0))) };
        entry(arrays.as_ptr(), count);
    }

    /// Takes `steps` steps, at least one, for the vector of elements from `first` on of `count`: `arrays` are those of
    /// the first step, but of outputs that are stored only once those of the last.
    ///
    /// # Safety
    /// As for [`Code::run`], of code by [`Code::compile_steps`] and for each step.
    pub unsafe fn run_steps(&self, arrays: &[*mut u8], count: usize, first: usize, steps: usize) {
        // SAFETY: as in `run`.
        let entry: extern "sysv64" fn(*const *mut u8, usize, usize, usize) = unsafe { std::mem::transmute(self.buffer.ptr(AssemblyOffset(0))) };
        entry(arrays.as_ptr(), count, first, steps);
    }

    /// Where the code is.
    pub fn address(&self) -> usize {
        self.buffer.ptr(AssemblyOffset(0)).addr()
    }

    /// The machine code for people, in Intel's notation, each part beside the kernel's instruction that it is for.
    pub fn describe(&self, kernel: &Kernel) -> String {
        use std::fmt::Write;
        let start = self.address() as u64;
        let mut decoder = Decoder::with_ip(64, &self.buffer[..self.length], start, DecoderOptions::NONE);
        let mut formatter = IntelFormatter::new();
        let mut text = format!("    {} bytes of AVX2 code:\n", self.length);
        let mut marks = self.marks.iter().peekable();
        while decoder.can_decode() {
            let instruction = decoder.decode();
            let at = (instruction.ip() - start) as u32;
            while let Some(&&(offset, number)) = marks.peek() && offset <= at {
                marks.next();
                // Those that became no code stand beside none.
                if marks.peek().is_none_or(|next| next.0 > offset) { let _ = writeln!(text, "    ; {}", kernel.line(number as usize)); }
            }
            let mut line = String::new();
            formatter.format(&instruction, &mut line);
            let _ = writeln!(text, "    {at:6x}  {line}");
        }
        text
    }
}

/// The registers that hold addresses of arrays, the first ones' in this order: `rbx`, `r8` to `r13`, `r15`.
pub const POINTERS: [u8; 8] = [3, 8, 9, 10, 11, 12, 13, 15];

#[derive(Default)]
struct Pool {
    vectors: Vec<(u64, bool)>,
    known: HashMap<(u64, bool), i32>,
}

impl Constants for Pool {
    fn constant(&mut self, kind: Kind, bits: u64) -> Place {
        let wide = kind.is_wide();
        let bits = if wide { bits } else { bits & u64::from(u32::MAX) };
        Place::Pool(*self.known.entry((bits, wide)).or_insert_with(|| {
            self.vectors.push((bits, wide));
            CONSTANTS + 32 * (self.vectors.len() as i32 - 1)
        }))
    }
}

struct Compiler<'a> {
    kernel: &'a Kernel,
    form: &'a Form,
    /// The loop whose step the kernel is.
    steps: Option<&'a StepForm>,
    ops: Assembler,
    pool: Pool,
    /// Where in the frame what is the same for all elements is.
    homes: Vec<Option<i32>>,
    /// Places in the frame that are free again.
    slots: Vec<i32>,
    /// Bytes of the frame.
    frame: i32,
    jobs: &'a [Job],
    thunk: DynamicLabel,
    /// See [`Code`].
    marks: Vec<(u32, u32)>,
    /// The constants that stay in registers while the loop over elements runs, by their instructions.
    kept: Vec<usize>,
}

impl Compiler<'_> {
    fn slot(&mut self) -> i32 {
        self.slots.pop().unwrap_or_else(|| {
            self.frame += 32;
            self.frame - 32
        })
    }

    /// Computes what is the same for all elements.
    fn fixed(&mut self) {
        let fixed = |at: usize| self.form.fixed[at] && !matches!(self.kernel.instructions[at].0, Instruction::Constant(_));
        if (0..self.homes.len()).any(fixed) {
            Section::new(self, 1, false).run_fixed();
        }
    }

    /// The loop over elements.
    fn elements(&mut self) {
        self.keep_constants();
        self.start_accumulators();
        let (end, tail) = (self.ops.new_dynamic_label(), self.ops.new_dynamic_label());
        self.turns(self.form.unroll);
        if self.form.unroll > 1 { self.turns(1); }
        let ops = &mut self.ops;
        dynasm!(ops ; .arch x64 ; =>tail ; cmp rcx, rsi ; jae =>end);
        self.masks();
        Section::new(self, 1, true).run();
        dynasm!(self.ops ; .arch x64 ; =>end);
        self.store_accumulators();
    }

    /// Loads constants that would be loaded for each vector into registers that would be free all the time. Which these are is found by
    /// writing the loop for nothing.
    fn keep_constants(&mut self) {
        if !self.kernel.instructions.iter().any(|(instruction, _)| matches!(instruction, Instruction::Constant(_))) {
            return;
        }
        // What stays in a register takes no other one, so that a second look may find more of them free.
        for _ in 0..2 {
            let mut ops = Assembler::new(0);
            let thunk = ops.new_dynamic_label();
            let mut trial = Compiler {
                kernel: self.kernel, form: self.form, steps: None, ops, pool: Pool::default(), homes: self.homes.clone(), slots: Vec::new(), frame: self.frame,
                jobs: self.jobs, thunk, marks: Vec::new(), kept: self.kept.clone(),
            };
            let usage = Section::new(&mut trial, self.form.unroll, false).run();
            let free = REGISTERS - self.reserved() - usage.most;
            let mut loaded: Vec<usize> = (0..usage.loads.len()).filter(|&at| usage.loads[at] > 0).collect();
            loaded.sort_by_key(|&at| std::cmp::Reverse(usage.loads[at]));
            loaded.truncate(free);
            if loaded.is_empty() { break; }
            self.kept.extend(loaded);
        }
        for number in 0..self.kept.len() {
            let (Instruction::Constant(bits), kind) = self.kernel.instructions[self.kept[number]] else { continue };
            let (register, from) = (self.keeper(number), self.pool.constant(kind, bits));
            move_to(&mut self.ops, self.form.long(kind), register, from);
        }
    }

    /// The register of a constant that stays in one: those below the accumulators.
    fn keeper(&self, number: usize) -> u8 {
        (REGISTERS - 1 - self.kernel.reductions.len() * self.form.unroll - number) as u8
    }

    /// The loop over steps, of a whole vector or of one under a mask.
    fn all_steps(&mut self, steps: &StepForm) {
        let (end, tail) = (self.ops.new_dynamic_label(), self.ops.new_dynamic_label());
        let lanes = self.form.lanes as i32;
        dynasm!(self.ops ; .arch x64 ; lea rax, [rcx + lanes] ; cmp rax, rsi ; ja =>tail);
        self.loop_of(steps, false);
        dynasm!(self.ops ; .arch x64 ; jmp =>end ; =>tail);
        self.masks();
        self.loop_of(steps, true);
        dynasm!(self.ops ; .arch x64 ; =>end);
    }

    fn loop_of(&mut self, steps: &StepForm, masked: bool) {
        let again = self.ops.new_dynamic_label();
        let inputs = self.kernel.inputs.len();
        for (input, &dtype) in self.kernel.inputs.iter().enumerate() {
            let Some(register) = self.carrier(input) else { continue };
            let mut section = Section::new(self, 1, masked);
            if steps.uniform[input] { section.broadcast(input, dtype, register) } else { section.load(input, 0, dtype, register) }
        }
        dynasm!(self.ops ; .arch x64 ; .align 16 ; =>again);
        Section::new(self, 1, masked).run();
        for (array, &stride) in steps.strides.iter().enumerate() {
            let moves = stride != 0 && array.checked_sub(inputs).is_none_or(|output| steps.stored[output]);
            if let (Some(&pointer), true) = (POINTERS.get(array), moves) {
                dynasm!(self.ops ; .arch x64 ; add Rq(pointer), stride);
            }
        }
        dynasm!(self.ops ; .arch x64 ; dec QWORD [rbp + frame::STEPS] ; jnz =>again);
        for (output, &(_, dtype)) in self.kernel.outputs.iter().enumerate().filter(|(output, _)| !steps.stored[*output]) {
            let carrier = (0..inputs).find(|&input| steps.carried[input] == Some(output)).and_then(|input| self.carrier(input));
            if let Some(register) = carrier { Section::new(self, 1, masked).store(output, 0, dtype, register); }
        }
    }

    /// The register in which an input goes from step to step.
    fn carrier(&self, input: usize) -> Option<u8> {
        let carried = &self.steps?.carried;
        carried[input]?;
        Some((REGISTERS - 1 - carried[..input].iter().flatten().count()) as u8)
    }

    /// The registers in which an output goes to the next step.
    fn carriers(&self, output: usize) -> Vec<u8> {
        let carried = self.steps.map_or(&[][..], |steps| &steps.carried);
        (0..carried.len()).filter(|&input| carried[input] == Some(output)).filter_map(|input| self.carrier(input)).collect()
    }

    /// Registers that hold accumulators, constants, or what goes from step to step.
    fn reserved(&self) -> usize {
        let carried = self.steps.map_or(0, |steps| steps.carried.iter().flatten().count());
        self.kernel.reductions.len() * self.form.unroll + carried + self.kept.len()
    }

    /// The register of a reduction's accumulator for one of the vectors of a turn.
    fn accumulator(&self, reduction: usize, copy: usize) -> u8 {
        (REGISTERS - 1 - reduction * self.form.unroll - copy) as u8
    }

    fn start_accumulators(&mut self) {
        for (number, &(value, reduction)) in self.kernel.reductions.iter().enumerate() {
            let kind = self.kernel.instructions[value as usize].1;
            let identity = self.pool.constant(kind, reduction.identity(kind));
            for copy in 0..self.form.unroll {
                let register = self.accumulator(number, copy);
                move_to(&mut self.ops, self.form.long(kind), register, identity);
            }
        }
    }

    /// Combines the accumulators of each reduction, neighbours first, and stores a vector.
    fn store_accumulators(&mut self) {
        for (number, &(value, reduction)) in self.kernel.reductions.iter().enumerate() {
            let kind = self.kernel.instructions[value as usize].1;
            let mut step = 1;
            while step < self.form.unroll {
                for copy in (0..self.form.unroll).step_by(2 * step) {
                    let (d, a) = (self.accumulator(number, copy), self.accumulator(number, copy + step));
                    encode::reduce(&mut self.ops, &mut self.pool, self.form.lanes, reduction, kind, d, a);
                }
                step *= 2;
            }
            let at = 8 * (self.kernel.inputs.len() + self.kernel.outputs.len() + number) as i32;
            let from = self.accumulator(number, 0);
            let ops = &mut self.ops;
            dynasm!(ops ; .arch x64 ; mov rax, [rbp + frame::ARRAYS] ; mov rax, [rax + at]);
            if self.form.long(kind) { dynasm!(ops ; .arch x64 ; vmovups [rax], Ry(from)) } else { dynasm!(ops ; .arch x64 ; vmovups [rax], Rx(from)) }
        }
    }

    /// A loop that takes so many vectors in a turn.
    fn turns(&mut self, vectors: usize) {
        let (again, done) = (self.ops.new_dynamic_label(), self.ops.new_dynamic_label());
        let step = (vectors * self.form.lanes) as i32;
        let ops = &mut self.ops;
        dynasm!(ops ; .arch x64 ; lea rax, [rcx + step] ; cmp rax, rsi ; ja =>done ; .align 16 ; =>again);
        Section::new(self, vectors, false).run();
        let ops = &mut self.ops;
        dynasm!(ops ; .arch x64 ; add rcx, step ; lea rax, [rcx + step] ; cmp rax, rsi ; jbe =>again ; =>done);
    }

    /// The masks of the elements that are left.
    fn masks(&mut self) {
        let lanes = self.form.lanes as i32;
        let ops = &mut self.ops;
        dynasm!(ops ; .arch x64 ; mov rax, 8 ; sub rax, rsi ; add rax, rcx ; vmovups ymm15, [r14 + rax * 4] ; vmovaps [rbp + frame::MASK], ymm15);
        if lanes == 4 {
            dynasm!(ops ; .arch x64 ; sub rax, 4 ; vmovups ymm15, [r14 + rax * 8 + MASKS_WIDE] ; vmovaps [rbp + frame::MASK + 32], ymm15);
        }
    }
}

/// A function that saves all registers around a call of `call_lanes` with the job in `rdi`.
fn call_thunk(ops: &mut Assembler, thunk: DynamicLabel) {
    let helper = call_lanes as extern "sysv64" fn(&Job, &mut [u64; 16]) as usize as i64;
    dynasm!(ops ; .arch x64 ; =>thunk ; sub rsp, 8
        ; mov [rbp + frame::GENERAL], rcx ; mov [rbp + frame::GENERAL + 8], rsi
        ; mov [rbp + frame::GENERAL + 16], r8 ; mov [rbp + frame::GENERAL + 24], r9
        ; mov [rbp + frame::GENERAL + 32], r10 ; mov [rbp + frame::GENERAL + 40], r11);
    for register in 0..16u8 {
        let at = frame::VECTORS + 32 * i32::from(register);
        dynasm!(ops ; .arch x64 ; vmovaps [rbp + at], Ry(register));
    }
    dynasm!(ops ; .arch x64 ; vzeroupper ; lea rsi, [rbp + frame::EXCHANGE] ; mov rax, QWORD helper ; call rax);
    for register in 0..16u8 {
        let at = frame::VECTORS + 32 * i32::from(register);
        dynasm!(ops ; .arch x64 ; vmovaps Ry(register), [rbp + at]);
    }
    dynasm!(ops ; .arch x64
        ; mov rcx, [rbp + frame::GENERAL] ; mov rsi, [rbp + frame::GENERAL + 8]
        ; mov r8, [rbp + frame::GENERAL + 16] ; mov r9, [rbp + frame::GENERAL + 24]
        ; mov r10, [rbp + frame::GENERAL + 32] ; mov r11, [rbp + frame::GENERAL + 40]
        ; add rsp, 8 ; ret);
}

/// Calls a function lane by lane: three vectors of operands in `exchange`, and the result after them.
extern "sysv64" fn call_lanes(job: &Job, exchange: &mut [u64; 16]) {
    let words = |vector: usize, kind: Kind, lane: usize, exchange: &[u64; 16]| -> u64 {
        if kind.is_wide() { exchange[4 * vector + lane] } else { exchange[4 * vector + lane / 2] >> (32 * (lane % 2)) & 0xffff_ffff }
    };
    for lane in 0..job.lanes {
        let operand = |vector: usize, exchange: &[u64; 16]| words(vector, job.from, lane, exchange);
        let bits = if job.rare {
            let masked = words(0, job.from, lane, exchange) != 0;
            if masked { apply(job.function, [operand(1, exchange), 0, 0]) } else { operand(2, exchange) }
        } else {
            apply(job.function, [operand(0, exchange), operand(1, exchange), operand(2, exchange)])
        };
        if job.to.is_wide() {
            exchange[12 + lane] = bits;
        } else {
            let (at, shift) = (12 + lane / 2, 32 * (lane % 2));
            exchange[at] = exchange[at] & !(0xffff_ffff << shift) | (bits & 0xffff_ffff) << shift;
        }
    }
}

fn apply(function: Function, bits: [u64; 3]) -> u64 {
    let wide = |at: usize| f64::from_bits(bits[at]);
    let narrow = |at: usize| f32::from_bits(bits[at] as u32);
    match function {
        Function::F64x1(f) => f(wide(0)).to_bits(),
        Function::F64x2(f) => f(wide(0), wide(1)).to_bits(),
        Function::F64x3(f) => f(wide(0), wide(1), wide(2)).to_bits(),
        Function::F32x1(f) => f(narrow(0)).to_bits().into(),
        Function::F32x2(f) => f(narrow(0), narrow(1)).to_bits().into(),
        Function::I64x1(f) => f(bits[0] as i64) as u64,
        Function::I64x2(f) => f(bits[0] as i64, bits[1] as i64) as u64,
        Function::Word(f) | Function::U64x1(f) => f(bits[0]),
        Function::U64x2(f) => f(bits[0], bits[1]),
    }
}
