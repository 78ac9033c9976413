//! A straight stretch of code: instructions for one or a few vectors, with registers given as they go. Where none is
//! free, what can be had from memory gives way, then what is needed last.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

use super::encode::{self, Constants, Over, Place, SCRATCH, SCRATCH_2, move_to, move_to_frame};
use super::{Compiler, frame};
use crate::kernel::form::REGISTERS;
use crate::kernel::ir::{Binary, Fused, Instruction, Kind, Reduction};

/// Where a value is, and how often it is still needed.
#[derive(Clone, Copy, Default)]
struct State {
    register: Option<u8>,
    memory: Option<i32>,
    needed: u32,
}

/// A stretch that is being written.
pub struct Section<'a, 'b> {
    pub compiler: &'a mut Compiler<'b>,
    copies: usize,
    pub masked: bool,
    /// By copy and instruction; what is the same in all copies is in the first.
    states: Vec<State>,
    holders: [Option<usize>; REGISTERS],
    /// Where each instruction's value is used.
    uses: Vec<Vec<u32>>,
    pinned: Vec<u8>,
    /// Places in the frame that the instruction at hand may still read.
    freed: Vec<i32>,
    at: usize,
    job: usize,
    usage: Usage,
}

/// What registers were used for.
#[derive(Default)]
pub struct Usage {
    /// The most that were taken at once.
    pub most: usize,
    /// How often each constant was loaded, by its instruction.
    pub loads: Vec<u32>,
}

impl<'a, 'b> Section<'a, 'b> {
    pub fn new(compiler: &'a mut Compiler<'b>, copies: usize, masked: bool) -> Section<'a, 'b> {
        let count = compiler.kernel.instructions.len();
        let mut states = vec![State::default(); count * copies];
        for (state, &home) in states.iter_mut().zip(&compiler.homes) { state.memory = home; }
        for (number, &at) in compiler.kept.iter().enumerate() {
            // Needed once more than it is read, so that its register stays.
            let register = Some(compiler.keeper(number));
            states[at] = State { register, memory: None, needed: 1 };
        }
        let usage = Usage { most: 0, loads: vec![0; count] };
        Section { compiler, copies, masked, states, holders: [None; REGISTERS], uses: vec![Vec::new(); count], pinned: Vec::new(), freed: Vec::new(), at: 0, job: 0, usage }
    }

    fn instruction(&self, at: usize) -> (Instruction, Kind) {
        self.compiler.kernel.instructions[at]
    }

    fn source(&self, number: u32) -> usize {
        self.compiler.form.source[number as usize] as usize
    }

    fn is_constant(&self, at: usize) -> bool {
        matches!(self.instruction(at).0, Instruction::Constant(_))
    }

    /// The number of a value's state.
    fn key(&self, number: u32, copy: usize) -> usize {
        let at = self.source(number);
        if self.compiler.form.fixed[at] { at } else { copy * self.uses.len() + at }
    }

    fn instruction_of(&self, key: usize) -> usize {
        key % self.uses.len()
    }

    fn kind_of(&self, key: usize) -> Kind {
        self.instruction(self.instruction_of(key)).1
    }

    fn long(&self, kind: Kind) -> bool {
        self.compiler.form.long(kind)
    }

    /// Computes what is the same for all elements, and puts it into the frame.
    pub fn run_fixed(mut self) {
        let count = self.uses.len();
        let own = |section: &Self, at: usize| section.compiler.form.fixed[at] && section.source(at as u32) == at && !section.is_constant(at);
        let all: Vec<usize> = (0..count).filter(|&at| own(&self, at)).collect();
        for &at in &all {
            for operand in self.instruction(at).0.operands() {
                let key = self.key(operand, 0);
                self.states[key].needed += 1;
                let source = self.source(operand);
                self.uses[source].push(at as u32);
            }
        }
        for at in 0..count {
            if all.contains(&at) {
                self.at = at;
                // Needed once more: to be put into the frame.
                self.states[at].needed += 1;
                self.emit(at, 0);
                let register = self.register(at as u32, 0);
                let slot = self.compiler.slot();
                let long = self.long(self.kind_of(at));
                move_to_frame(&mut self.compiler.ops, long, slot, register);
                self.states[at].memory = Some(slot);
                self.compiler.homes[at] = Some(slot);
                self.release(at as u32, 0);
                self.pinned.clear();
            }
            self.count_job(at);
        }
    }

    /// Computes the rest, for each copy.
    pub fn run(mut self) -> Usage {
        let count = self.uses.len();
        let kernel = self.compiler.kernel;
        let changes = |section: &Self, at: usize| !section.compiler.form.fixed[at] && section.source(at as u32) == at;
        let mut last_input = 0;
        for at in 0..count {
            if !changes(&self, at) { continue; }
            if matches!(self.instruction(at).0, Instruction::Input(_)) { last_input = at; }
            for operand in self.instruction(at).0.operands() {
                for copy in 0..self.copies {
                    let key = self.key(operand, copy);
                    self.states[key].needed += 1;
                }
                let source = self.source(operand);
                self.uses[source].push(at as u32);
            }
        }
        // A result may lie over an input, so it is stored after all inputs are loaded.
        let stores: Vec<usize> = kernel.outputs.iter().map(|&(number, _)| self.source(number).max(last_input)).collect();
        for (&(number, _), &at) in kernel.outputs.iter().zip(&stores) {
            for copy in 0..self.copies {
                let key = self.key(number, copy);
                self.states[key].needed += 1;
            }
            let source = self.source(number);
            self.uses[source].push(at as u32);
        }
        for &(number, _) in &kernel.reductions {
            for copy in 0..self.copies {
                let key = self.key(number, copy);
                self.states[key].needed += 1;
            }
            let source = self.source(number);
            self.uses[source].push(source as u32);
        }
        for uses in &mut self.uses { uses.sort_unstable(); }
        for at in 0..count {
            self.at = at;
            let job = self.job;
            for copy in 0..self.copies {
                self.job = job;
                if changes(&self, at) { self.emit(at, copy); }
                for (output, (&(number, dtype), &when)) in kernel.outputs.iter().zip(&stores).enumerate() {
                    if when == at {
                        let register = self.register(number, copy);
                        if self.compiler.steps.is_none_or(|steps| steps.stored[output]) { self.store(output, copy, dtype, register); }
                        for carrier in self.compiler.carriers(output) {
                            let long = self.long(self.instruction(number as usize).1);
                            move_to(&mut self.compiler.ops, long, carrier, Place::Register(register));
                        }
                        self.release(number, copy);
                        self.pinned.clear();
                    }
                }
                for (reduction, &(number, op)) in kernel.reductions.iter().enumerate() {
                    if self.source(number) == at {
                        let register = self.register(number, copy);
                        self.reduce(op, self.instruction(number as usize).1, self.compiler.accumulator(reduction, copy), register);
                        self.release(number, copy);
                        self.pinned.clear();
                    }
                }
            }
            self.job = job;
            self.count_job(at);
        }
        self.usage
    }

    /// Adds a vector to an accumulator; under a mask, what is beyond the elements as what changes nothing.
    fn reduce(&mut self, op: Reduction, kind: Kind, accumulator: u8, from: u8) {
        let lanes = self.compiler.form.lanes;
        let long = self.long(kind);
        let mut from = from;
        if self.masked {
            let identity = self.compiler.pool.constant(kind, op.identity(kind));
            let mask = frame::MASK + if kind.is_wide() { 32 } else { 0 };
            let ops = &mut self.compiler.ops;
            move_to(ops, long, SCRATCH, Place::Frame(mask));
            move_to(ops, long, SCRATCH_2, identity);
            encode::select(ops, lanes, kind, SCRATCH_2, SCRATCH, Place::Register(from), SCRATCH_2);
            from = SCRATCH_2;
        }
        let (ops, pool) = (&mut self.compiler.ops, &mut self.compiler.pool);
        encode::reduce(ops, pool, lanes, op, kind, accumulator, from);
    }

    fn count_job(&mut self, at: usize) {
        if matches!(self.instruction(at).0, Instruction::Call(..) | Instruction::Rare(..)) { self.job += 1; }
    }

    /// How soon a value is needed again.
    fn next_use(&self, key: usize) -> u32 {
        let uses = &self.uses[self.instruction_of(key)];
        let from = uses.partition_point(|&at| (at as usize) < self.at);
        uses.get(from).copied().unwrap_or(u32::MAX)
    }

    fn can_be_reloaded(&self, key: usize) -> bool {
        self.states[key].memory.is_some() || self.is_constant(self.instruction_of(key))
    }

    /// A register that is free, or is made free.
    fn take(&mut self) -> u8 {
        let most = REGISTERS - self.compiler.reserved();
        let taken = self.holders[..most].iter().filter(|holder| holder.is_some()).count();
        self.usage.most = self.usage.most.max((taken + 1).min(most));
        if let Some(free) = (0..most).find(|&register| self.holders[register].is_none() && !self.pinned.contains(&(register as u8))) {
            return free as u8;
        }
        let mut best: Option<(bool, u32, usize)> = None;
        for register in 0..most {
            let Some(key) = self.holders[register] else { continue };
            if self.pinned.contains(&(register as u8)) { continue; }
            let candidate = (self.can_be_reloaded(key), self.next_use(key), register);
            if best.is_none_or(|best| candidate > best) { best = Some(candidate); }
        }
        // At most four registers are pinned at once.
        let register = best.map_or(0, |best| best.2);
        if let Some(key) = self.holders[register].take() {
            if !self.can_be_reloaded(key) {
                let slot = self.compiler.slot();
                let long = self.long(self.kind_of(key));
                move_to_frame(&mut self.compiler.ops, long, slot, register as u8);
                self.states[key].memory = Some(slot);
            }
            self.states[key].register = None;
        }
        register as u8
    }

    fn memory(&mut self, key: usize) -> Place {
        if let Some(at) = self.states[key].memory {
            return Place::Frame(at);
        }
        match self.instruction(self.instruction_of(key)) {
            (Instruction::Constant(bits), kind) => self.compiler.pool.constant(kind, bits),
            // Every value is in a register, in memory, or constant from when it is computed to its last use.
            _ => unreachable!("a value is nowhere"),
        }
    }

    /// A value in a register, which stays pinned.
    fn register(&mut self, number: u32, copy: usize) -> u8 {
        let key = self.key(number, copy);
        let register = match self.states[key].register {
            Some(register) => register,
            None => {
                let register = self.take();
                let from = self.memory(key);
                let at = self.instruction_of(key);
                if self.is_constant(at) { self.usage.loads[at] += 1; }
                let long = self.long(self.kind_of(key));
                move_to(&mut self.compiler.ops, long, register, from);
                self.holders[register as usize] = Some(key);
                self.states[key].register = Some(register);
                register
            }
        };
        self.pinned.push(register);
        register
    }

    /// A value wherever it is; in a register, if it is needed again and there is room.
    fn operand(&mut self, number: u32, copy: usize) -> Place {
        let key = self.key(number, copy);
        let most = REGISTERS - self.compiler.reserved();
        let free = self.holders[..most].iter().filter(|holder| holder.is_none()).count();
        if self.states[key].register.is_some() || (self.states[key].needed > 1 && free > 2) {
            return Place::Register(self.register(number, copy));
        }
        self.memory(key)
    }

    /// Notes that a value is needed once less.
    fn release(&mut self, number: u32, copy: usize) {
        let key = self.key(number, copy);
        let state = &mut self.states[key];
        state.needed -= 1;
        if state.needed == 0 {
            if let Some(register) = state.register.take() { self.holders[register as usize] = None; }
            if !self.compiler.form.fixed[self.instruction_of(key)]
                && let Some(slot) = self.states[key].memory.take()
            {
                self.freed.push(slot);
            }
        }
    }

    /// Releases the operands of the instruction and takes a register for its result, which may be one of theirs.
    fn result(&mut self, at: usize, copy: usize) -> u8 {
        let operands: Vec<u32> = self.instruction(at).0.operands().collect();
        for operand in operands { self.release(operand, copy); }
        let (pinned, holders) = (&mut self.pinned, &self.holders);
        pinned.retain(|&register| holders[register as usize].is_some());
        self.fresh(at, copy)
    }

    /// A register for a result.
    fn fresh(&mut self, at: usize, copy: usize) -> u8 {
        let key = self.key(at as u32, copy);
        let register = self.take();
        self.put(key, register);
        register
    }

    fn put(&mut self, key: usize, register: u8) {
        self.holders[register as usize] = Some(key);
        self.states[key].register = Some(register);
    }

    fn emit(&mut self, at: usize, copy: usize) {
        let lanes = self.compiler.form.lanes;
        let (instruction, kind) = self.instruction(at);
        let offset = self.compiler.ops.offset().0 as u32;
        self.compiler.marks.push((offset, at as u32));
        self.pinned.clear();
        self.compiler.slots.append(&mut self.freed);
        match instruction {
            Instruction::Input(input) => {
                let d = self.fresh(at, copy);
                let dtype = self.compiler.kernel.inputs[input as usize];
                let input = input as usize;
                let uniform = self.compiler.steps.is_some_and(|steps| steps.uniform[input]);
                if let Some(register) = self.compiler.carrier(input) {
                    let long = self.long(kind);
                    move_to(&mut self.compiler.ops, long, d, Place::Register(register));
                } else if uniform || self.compiler.form.fixed[at] {
                    self.broadcast(input, dtype, d);
                } else {
                    self.load(input, copy, dtype, d);
                }
            }
            Instruction::Constant(_) => {}
            Instruction::Unary(op, a) => {
                let from = self.instruction(a as usize).1;
                let a = self.register(a, copy);
                let d = self.result(at, copy);
                encode::unary(&mut self.compiler.ops, &mut self.compiler.pool, lanes, op, from, kind, d, a, frame::EXCHANGE);
            }
            Instruction::Binary(op, a, b) => {
                let commutes = matches!(op, Binary::Add | Binary::Mul | Binary::And | Binary::Or | Binary::Xor);
                let in_register = |section: &Self, number: u32| section.states[section.key(number, copy)].register.is_some();
                let (a, b) = if commutes && !in_register(self, a) && in_register(self, b) { (b, a) } else { (a, b) };
                let count = match self.instruction(self.source(b)).0 {
                    Instruction::Constant(bits) => Some(bits),
                    _ => None,
                };
                let a = self.register(a, copy);
                if let Some(count) = count
                    && matches!(op, Binary::ShiftLeft | Binary::ShiftRight | Binary::ShiftRightSigned)
                    && !(kind.is_wide() && op != Binary::ShiftLeft)
                {
                    let d = self.result(at, copy);
                    encode::shift(&mut self.compiler.ops, lanes, op, kind, d, a, count);
                    return;
                }
                let b = self.operand(b, copy);
                let d = self.result(at, copy);
                encode::binary(&mut self.compiler.ops, &mut self.compiler.pool, lanes, op, kind, d, a, b);
            }
            Instruction::Fused(op, a, b, c) => self.fused(at, copy, op, [a, b, c]),
            Instruction::Compare(op, a, b) => {
                let from = self.instruction(a as usize).1;
                let a = self.register(a, copy);
                let b = self.operand(b, copy);
                let d = self.result(at, copy);
                encode::compare(&mut self.compiler.ops, &mut self.compiler.pool, lanes, op, from, d, a, b);
            }
            Instruction::Select(mask, a, b) => {
                let mask = self.register(mask, copy);
                let b = self.register(b, copy);
                let a = self.operand(a, copy);
                let d = self.result(at, copy);
                encode::select(&mut self.compiler.ops, lanes, kind, d, mask, a, b);
            }
            Instruction::Call(..) => {
                let operands: Vec<u32> = instruction.operands().collect();
                self.exchange(&operands, copy);
                self.call();
                let d = self.result(at, copy);
                let long = self.long(kind);
                move_to(&mut self.compiler.ops, long, d, Place::Frame(frame::EXCHANGE + 96));
            }
            Instruction::Rare(_, mask, x, value) => {
                let long = self.long(kind);
                let done = self.compiler.ops.new_dynamic_label();
                let [mask_register, x_register, from] = [mask, x, value].map(|number| self.register(number, copy));
                // The result may take the value's register, and no other that the call reads.
                self.release(value, copy);
                if self.holders[from as usize].is_none() { self.pinned.retain(|&register| register != from); }
                let d = self.fresh(at, copy);
                self.release(mask, copy);
                self.release(x, copy);
                let ops = &mut self.compiler.ops;
                move_to(ops, long, d, Place::Register(from));
                encode::jump_if_none(ops, long, mask_register, done);
                for (number, register) in [mask_register, x_register, d].into_iter().enumerate() {
                    move_to_frame(ops, long, frame::EXCHANGE + 32 * number as i32, register);
                }
                self.call();
                let ops = &mut self.compiler.ops;
                move_to(ops, long, d, Place::Frame(frame::EXCHANGE + 96));
                dynasm!(ops ; .arch x64 ; =>done);
            }
        }
    }

    /// Puts operands where a called function finds them.
    fn exchange(&mut self, operands: &[u32], copy: usize) {
        for (number, &operand) in operands.iter().enumerate() {
            let register = self.register(operand, copy);
            let long = self.long(self.instruction(operand as usize).1);
            move_to_frame(&mut self.compiler.ops, long, frame::EXCHANGE + 32 * number as i32, register);
        }
    }

    fn call(&mut self) {
        let job = &raw const self.compiler.jobs[self.job] as usize as i64;
        let thunk = self.compiler.thunk;
        let ops = &mut self.compiler.ops;
        dynasm!(ops ; .arch x64 ; mov rdi, QWORD job ; call =>thunk);
    }

    /// A fused product and sum overwrites one operand: one that is not needed again, or a copy.
    fn fused(&mut self, at: usize, copy: usize, op: Fused, [a, b, c]: [u32; 3]) {
        let lanes = self.compiler.form.lanes;
        let kind = self.instruction(at).1;
        let long = self.long(kind);
        let dies = |section: &Self, number: u32| {
            let key = section.key(number, copy);
            let times = [a, b, c].iter().filter(|&&other| section.key(other, copy) == key).count() as u32;
            section.states[key].register.is_some() && section.states[key].needed == times && times == 1
        };
        let in_register = |section: &Self, number: u32| section.states[section.key(number, copy)].register.is_some();
        let (over, first, y, z) = if dies(self, c) {
            (Over::Summand, c, if in_register(self, a) { a } else { b }, if in_register(self, a) { b } else { a })
        } else if dies(self, a) {
            (Over::Factor, a, b, c)
        } else if dies(self, b) {
            (Over::Factor, b, a, c)
        } else if in_register(self, c) && !in_register(self, b) {
            (Over::Summand, c, a, b)
        } else {
            (Over::Factor, a, b, c)
        };
        let overwritten = dies(self, first);
        let from = self.register(first, copy);
        let y = self.register(y, copy);
        let z = self.operand(z, copy);
        let d = if overwritten {
            for operand in [a, b, c] { self.release(operand, copy); }
            let key = self.key(at as u32, copy);
            self.put(key, from);
            from
        } else {
            // Not one of the operands' registers, of which two are still read.
            let d = self.fresh(at, copy);
            for operand in [a, b, c] { self.release(operand, copy); }
            move_to(&mut self.compiler.ops, long, d, Place::Register(from));
            d
        };
        encode::fused(&mut self.compiler.ops, lanes, op, kind, over, d, y, z);
    }
}
