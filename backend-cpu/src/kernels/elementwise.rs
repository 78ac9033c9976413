//! Elementwise ops, alone or many fused into one region that runs a block of elements at a time, so
//! that intermediate values never leave the cache.

use arignote_core::ops::{Attributes, promote_operands};
use arignote_core::special;
use arignote_core::tensor::{DType, Shape, Type};

use super::Context;
use super::number::{Binary, Comparison, Number, Unary, binary, compare, unary};
use crate::buffer::{convert, with_scratch};

/// Elements that a region computes at a time.
pub const BLOCK: usize = 1024;
/// Elements that one thread takes at a time.
const CHUNK: usize = 32 * BLOCK;

/// What an elementwise op does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Unary(Unary),
    Binary(Binary),
    Compare(Comparison),
    /// and, or, xor, not of truth values
    Logical(Binary),
    LogicalNot,
    IsNan,
    IsInf,
    IsFinite,
    Where,
    Clip,
    Betainc,
    GammaincDa,
    /// also the identity
    Cast,
}

/// The operation of an elementwise op; `None` if it is not one.
pub fn lookup(name: &str, attributes: &Attributes) -> Option<Operation> {
    Some(match name {
        "gelu" if attributes.str("approximate").is_ok_and(|kind| kind == "tanh") => Operation::Unary(Unary::GeluTanh),
        "logical_and" => Operation::Logical(Binary::BitwiseAnd),
        "logical_or" => Operation::Logical(Binary::BitwiseOr),
        "logical_xor" => Operation::Logical(Binary::BitwiseXor),
        "logical_not" => Operation::LogicalNot,
        "isnan" => Operation::IsNan,
        "isinf" => Operation::IsInf,
        "isfinite" => Operation::IsFinite,
        "where" => Operation::Where,
        "clip" => Operation::Clip,
        "betainc" => Operation::Betainc,
        "gammainc_da" => Operation::GammaincDa,
        "cast" | "stop_gradient" | "grad_barrier" => Operation::Cast,
        _ => Unary::named(name)
            .map(Operation::Unary)
            .or_else(|| Binary::named(name).map(Operation::Binary))
            .or_else(|| Comparison::named(name).map(Operation::Compare))?,
    })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Cast(DType, DType),
    Unary(Unary, DType),
    Binary(Binary, DType),
    Compare(Comparison, DType),
    Not,
    Test(Operation, DType),
    Select(DType),
    Wide3(fn(f64, f64, f64) -> f64, DType),
    /// after arithmetic on `bool`, which computes in `u8`
    Truth,
}

#[derive(Clone, Debug)]
struct Instruction {
    step: Step,
    sources: Vec<usize>,
    target: usize,
}

/// A register with its dtype, as [`Builder`] hands it out.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    number: usize,
    dtype: DType,
}

/// Builds a [`Region`].
#[derive(Default)]
pub struct Builder {
    inputs: Vec<DType>,
    input_registers: Vec<usize>,
    instructions: Vec<Instruction>,
    registers: usize,
    casts: Vec<(usize, DType, usize)>,
}

fn compute_dtype(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

impl Builder {
    /// One more input.
    pub fn input(&mut self, dtype: DType) -> Register {
        let number = self.fresh();
        self.inputs.push(dtype);
        self.input_registers.push(number);
        Register { number, dtype }
    }

    fn fresh(&mut self) -> usize {
        self.registers += 1;
        self.registers - 1
    }

    fn emit(&mut self, step: Step, sources: &[usize], dtype: DType) -> Register {
        let target = self.fresh();
        self.instructions.push(Instruction { step, sources: sources.to_vec(), target });
        Register { number: target, dtype }
    }

    fn cast(&mut self, register: Register, dtype: DType) -> Register {
        if register.dtype == dtype {
            return register;
        }
        let found = self.casts.iter().find(|cast| cast.0 == register.number && cast.1 == dtype);
        if let Some(&(_, _, number)) = found {
            return Register { number, dtype };
        }
        let new = self.emit(Step::Cast(register.dtype, dtype), &[register.number], dtype);
        self.casts.push((register.number, dtype, new.number));
        new
    }

    /// One op applied to registers. `types` are the operands' types, `result` the result's dtype.
    pub fn apply(&mut self, operation: Operation, operands: &[Register], types: &[Type], result: DType) -> Option<Register> {
        let wide = compute_dtype(result);
        let all = |builder: &mut Builder, dtype: DType| -> Vec<usize> {
            operands.iter().map(|&register| builder.cast(register, dtype).number).collect()
        };
        let truth = |builder: &mut Builder, register: Register| {
            if result == DType::Bool { builder.emit(Step::Truth, &[register.number], DType::Bool) } else { register }
        };
        let arity = match operation {
            Operation::Binary(_) | Operation::Compare(_) | Operation::Logical(_) => 2,
            Operation::Where | Operation::Clip | Operation::Betainc | Operation::GammaincDa => 3,
            _ => 1,
        };
        if operands.len() != arity {
            return None;
        }
        let register = match operation {
            Operation::Unary(Unary::BitwiseNot) if result == DType::Bool => {
                let x = all(self, DType::Bool);
                self.emit(Step::Not, &x, DType::Bool)
            }
            Operation::Unary(operation) => {
                let x = all(self, wide);
                let register = self.emit(Step::Unary(operation, wide), &x, wide);
                truth(self, register)
            }
            Operation::Binary(operation) => {
                let x = all(self, wide);
                let register = self.emit(Step::Binary(operation, wide), &x, wide);
                truth(self, register)
            }
            Operation::Compare(comparison) => {
                let common = compute_dtype(promote_operands(types).0);
                let x = all(self, common);
                self.emit(Step::Compare(comparison, common), &x, DType::Bool)
            }
            Operation::Logical(operation) => {
                let x = all(self, DType::Bool);
                self.emit(Step::Binary(operation, DType::Bool), &x, DType::Bool)
            }
            Operation::LogicalNot => {
                let x = all(self, DType::Bool);
                self.emit(Step::Not, &x, DType::Bool)
            }
            Operation::IsNan | Operation::IsInf | Operation::IsFinite => {
                let dtype = compute_dtype(operands[0].dtype);
                let x = all(self, dtype);
                self.emit(Step::Test(operation, dtype), &x, DType::Bool)
            }
            Operation::Where => {
                let condition = self.cast(operands[0], DType::Bool).number;
                let x = self.cast(operands[1], result).number;
                let y = self.cast(operands[2], result).number;
                self.emit(Step::Select(result), &[condition, x, y], result)
            }
            Operation::Clip => {
                let x = all(self, wide);
                let raised = self.emit(Step::Binary(Binary::Maximum, wide), &[x[0], x[1]], wide);
                self.emit(Step::Binary(Binary::Minimum, wide), &[raised.number, x[2]], wide)
            }
            Operation::Betainc | Operation::GammaincDa => {
                let function = if operation == Operation::Betainc { special::betainc } else { special::gammainc_da };
                let x = all(self, wide);
                self.emit(Step::Wide3(function, wide), &x, wide)
            }
            Operation::Cast => self.cast(operands[0], result),
        };
        Some(self.cast(register, result))
    }

    /// The region that gives `output`. `scalar` says which inputs are one element for all.
    pub fn finish(self, output: Register, scalar: &[bool]) -> Region {
        let mut last = vec![0; self.registers];
        for (at, instruction) in self.instructions.iter().enumerate() {
            for &source in &instruction.sources {
                last[source] = at;
            }
        }
        last[output.number] = usize::MAX;
        let mut place = vec![usize::MAX; self.registers];
        let mut free: Vec<usize> = Vec::new();
        let mut count = 0;
        let mut take = |free: &mut Vec<usize>| free.pop().unwrap_or_else(|| { count += 1; count - 1 });
        for (input, &register) in self.input_registers.iter().enumerate() {
            place[register] = take(&mut free);
            if scalar[input] {
                last[register] = usize::MAX;
            }
        }
        let mut instructions = self.instructions;
        for (at, instruction) in instructions.iter_mut().enumerate() {
            let target = take(&mut free);
            let mut released: Vec<usize> = Vec::new();
            for source in &mut instruction.sources {
                let register = *source;
                *source = place[register];
                if last[register] == at && !released.contains(&register) {
                    released.push(register);
                    free.push(place[register]);
                }
            }
            place[instruction.target] = target;
            instruction.target = target;
        }
        Region {
            inputs: self.inputs.iter().zip(&self.input_registers).zip(scalar)
                .map(|((&dtype, &register), &scalar)| (dtype, place[register], scalar)).collect(),
            instructions,
            output: place[output.number],
            dtype: output.dtype,
            registers: count,
        }
    }
}

/// Fused elementwise ops.
#[derive(Clone, Debug)]
pub struct Region {
    /// Dtype, register, and whether it is one element.
    inputs: Vec<(DType, usize, bool)>,
    instructions: Vec<Instruction>,
    output: usize,
    dtype: DType,
    registers: usize,
}

/// Where an input of a region lies: its first byte, and its strides along the result's axes.
#[derive(Clone, Debug)]
pub struct Source {
    /// The first element.
    pub start: *const u8,
    /// Elements from one entry of each axis of the result to the next; `None` if they lie as the
    /// result's do.
    pub strides: Option<Vec<usize>>,
}

// SAFETY: a source is only read, while its owner is borrowed by the caller of `Region::run`.
unsafe impl Sync for Source {}

#[derive(Clone, Copy)]
struct Shared(*mut u8);
// SAFETY: the threads that share it write disjoint parts.
unsafe impl Sync for Shared {}

impl Region {
    /// How many ops and registers it has, for people.
    pub fn describe(&self) -> String {
        format!("{} instructions, {} registers", self.instructions.len(), self.registers)
    }

    /// Computes `count` elements.
    ///
    /// # Safety
    /// Every source must cover what its strides reach over `shape`; `target` must have room for the
    /// result. The target may be the very same memory as a source without strides whose elements have
    /// the same size, and otherwise overlaps none.
    pub unsafe fn run(&self, context: &Context<'_>, shape: &[usize], sources: &[Source], target: *mut u8) {
        let count: usize = shape.iter().product();
        let target = Shared(target);
        context.parallel(count.div_ceil(CHUNK), &|chunk| {
            let target = &target;
            with_scratch((self.registers * BLOCK).max(1), |scratch: &mut [u64]| {
                let mut fresh = true;
                let mut start = chunk * CHUNK;
                let end = (start + CHUNK).min(count);
                while start < end {
                    let length = BLOCK.min(end - start);
                    // SAFETY: the block is inside the result; the caller promises the rest.
                    unsafe { self.block(scratch, shape, sources, target.0, start, length, fresh) };
                    fresh = false;
                    start += length;
                }
            });
        });
    }

    #[allow(clippy::too_many_arguments)]
    unsafe fn block(
        &self, scratch: &mut [u64], shape: &[usize], sources: &[Source], target: *mut u8, start: usize,
        length: usize, fresh: bool,
    ) {
        let base = scratch.as_mut_ptr();
        // Registers are disjoint parts of `scratch` of BLOCK * 8 bytes, enough for `length <= BLOCK`
        // elements of any type, all initialized; an instruction's target differs from its sources.
        macro_rules! read { ($T:ty, $register:expr) => {
            // SAFETY: within `scratch`, initialized, and written by nothing else meanwhile: see above.
            unsafe { std::slice::from_raw_parts(base.add($register * BLOCK).cast::<$T>().cast_const(), length) }
        } }
        macro_rules! write { ($T:ty, $register:expr, $length:expr) => {
            // SAFETY: within `scratch`, and read by nothing else meanwhile: see above.
            unsafe { std::slice::from_raw_parts_mut(base.add($register * BLOCK).cast::<$T>(), $length) }
        } }
        for (&(dtype, register, scalar), source) in self.inputs.iter().zip(sources) {
            crate::stored_type!(dtype, T => {
                let from = source.start.cast::<T>();
                if scalar {
                    if fresh {
                        // SAFETY: the source has one element.
                        write!(T, register, BLOCK).fill(unsafe { *from });
                    }
                } else {
                    let out = write!(T, register, length);
                    match &source.strides {
                        // SAFETY: the source covers `start + length` elements; the register is apart from it.
                        None => unsafe { std::ptr::copy_nonoverlapping(from.add(start), out.as_mut_ptr(), length) },
                        // SAFETY: the caller promises what the strides reach.
                        Some(strides) => unsafe { gather(from, strides, shape, start, out) },
                    }
                }
            });
            if dtype == DType::Bool {
                for value in write!(u8, register, length) { *value = u8::from(*value != 0); }
            }
        }
        for Instruction { step, sources, target } in &self.instructions {
            let (target, sources) = (*target, sources.as_slice());
            match *step {
                Step::Cast(from, to) => crate::stored_type!(from, S => {
                    let x = read!(S, sources[0]);
                    if to == DType::Bool {
                        for (out, x) in write!(u8, target, length).iter_mut().zip(x) { *out = u8::from(*x != S::default()) }
                    } else {
                        crate::stored_type!(to, T => {
                            for (out, &x) in write!(T, target, length).iter_mut().zip(x) { *out = convert::<S, T>(x) }
                        })
                    }
                }),
                Step::Unary(operation, dtype) => number_type!(dtype, T => unary::<T>(operation, read!(T, sources[0]), write!(T, target, length))),
                Step::Binary(operation, dtype) => number_type!(dtype, T =>
                    binary::<T>(operation, read!(T, sources[0]), read!(T, sources[1]), write!(T, target, length))),
                Step::Compare(comparison, dtype) => number_type!(dtype, T =>
                    compare::<T>(comparison, read!(T, sources[0]), read!(T, sources[1]), write!(u8, target, length))),
                Step::Not => {
                    for (out, &x) in write!(u8, target, length).iter_mut().zip(read!(u8, sources[0])) { *out = u8::from(x == 0) }
                }
                Step::Truth => {
                    for (out, &x) in write!(u8, target, length).iter_mut().zip(read!(u8, sources[0])) { *out = u8::from(x != 0) }
                }
                Step::Test(test, dtype) => number_type!(dtype, T => {
                    for (out, &x) in write!(u8, target, length).iter_mut().zip(read!(T, sources[0])) {
                        *out = u8::from(match test {
                            Operation::IsNan => Number::is_nan(x),
                            Operation::IsInf => Number::is_infinite(x),
                            _ => !Number::is_nan(x) && !Number::is_infinite(x),
                        });
                    }
                }),
                Step::Wide3(function, dtype) => number_type!(dtype, T => {
                    let (a, b, x) = (read!(T, sources[0]), read!(T, sources[1]), read!(T, sources[2]));
                    for (((out, &a), &b), &x) in write!(T, target, length).iter_mut().zip(a).zip(b).zip(x) {
                        *out = Number::wide3(a, b, x, function);
                    }
                }),
                Step::Select(dtype) => crate::stored_type!(dtype, T => {
                    let (c, x, y) = (read!(u8, sources[0]), read!(T, sources[1]), read!(T, sources[2]));
                    for (((out, &c), &x), &y) in write!(T, target, length).iter_mut().zip(c).zip(x).zip(y) {
                        *out = if c != 0 { x } else { y };
                    }
                }),
            }
        }
        let size = self.dtype.size();
        let bytes = read!(u8, self.output).as_ptr();
        // SAFETY: the target has room for `start + length` elements, and no register lies in it.
        unsafe { std::ptr::copy_nonoverlapping(bytes, target.add(start * size), length * size) };
    }
}

/// Copies the elements from `start` on, in the order of `shape`.
///
/// # Safety
/// `from` covers what the strides reach over `shape`, and `start + out.len()` is inside the shape.
unsafe fn gather<T: Copy>(from: *const T, strides: &[usize], shape: &[usize], start: usize, out: &mut [T]) {
    let Some(last) = shape.len().checked_sub(1) else { return };
    let mut index = Shape::from_elem(0, shape.len());
    let mut rest = start;
    for axis in (0..shape.len()).rev() {
        index[axis] = rest % shape[axis];
        rest /= shape[axis];
    }
    let mut done = 0;
    while done < out.len() {
        let offset: usize = index.iter().zip(strides).map(|(i, s)| i * s).sum();
        let run = (shape[last] - index[last]).min(out.len() - done);
        let stride = strides[last];
        for (i, out) in out[done..done + run].iter_mut().enumerate() {
            // SAFETY: inside the shape, by the caller's promise.
            *out = unsafe { *from.add(offset + i * stride) };
        }
        done += run;
        index[last] += run;
        for axis in (0..shape.len()).rev() {
            if index[axis] < shape[axis] || axis == 0 { break; }
            index[axis] = 0;
            index[axis - 1] += 1;
        }
    }
}

/// The strides of an operand along the axes of a result that it is broadcast to; `None` if it lies as
/// the result does.
pub fn broadcast_strides(shape: &[usize], result: &[usize]) -> Option<Vec<usize>> {
    if shape == result {
        return None;
    }
    let mut strides = vec![0; result.len()];
    let mut stride = 1;
    for axis in (0..shape.len().min(result.len())).rev() {
        if shape[axis] != 1 {
            strides[axis + result.len() - shape.len()] = stride;
        }
        stride *= shape[axis];
    }
    Some(strides)
}
