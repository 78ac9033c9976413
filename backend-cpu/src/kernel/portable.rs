//! Kernels on any processor: each instruction in turn over a block of elements that stays in the cache. Compilers
//! vectorize the loops. What an instruction means is written here, and other targets do the same bit for bit, but
//! for the bits of NaNs.

use arignote_core::tensor::{DType, Element};

use super::form::Form;
use super::ir::{Binary, Comparison, Function, Fused, Instruction, Kernel, Kind, Reduction, Unary};
use crate::buffer::{Stored, as_bytes, typed, typed_mut, with_scratch};
use crate::stored_type;

/// Elements of a block.
pub const BLOCK: usize = 256;

/// A kernel with registers assigned.
#[derive(Clone, Debug)]
pub struct Program {
    steps: Vec<Step>,
    outputs: Vec<(usize, DType)>,
    reductions: Vec<(usize, Kind, Reduction)>,
    form: Form,
    inputs: usize,
    registers: usize,
}

#[derive(Clone, Debug)]
struct Step {
    instruction: Instruction,
    kind: Kind,
    /// The dtype and stride of an input; whether it is the same in all blocks.
    input: Option<DType>,
    fixed: bool,
    target: usize,
    sources: [(usize, Kind); 3],
}

impl Program {
    /// Makes a kernel ready. `uniform` says which inputs are one element for all.
    pub fn new(kernel: &Kernel, uniform: &[bool]) -> Program {
        let count = kernel.instructions.len();
        let mut last: Vec<usize> = (0..count).collect();
        let mut fixed = vec![false; count];
        for (at, (instruction, _)) in kernel.instructions.iter().enumerate() {
            for operand in instruction.operands() { last[operand as usize] = at; }
            fixed[at] = match *instruction {
                Instruction::Input(input) => uniform[input as usize],
                _ => instruction.operands().all(|operand| fixed[operand as usize]),
            };
        }
        for &(number, _) in &kernel.outputs { last[number as usize] = usize::MAX; }
        for &(number, _) in &kernel.reductions { last[number as usize] = usize::MAX; }
        // What does not change is computed in the first block only, so it keeps its register.
        for (last, &fixed) in last.iter_mut().zip(&fixed) { if fixed { *last = usize::MAX; } }
        let mut place = vec![0; count];
        let mut free: Vec<usize> = Vec::new();
        let mut registers = 0;
        let mut steps = Vec::new();
        for (at, &(instruction, kind)) in kernel.instructions.iter().enumerate() {
            // What is computed once has a register that nothing else is ever in.
            let target = if fixed[at] { None } else { free.pop() }.unwrap_or_else(|| { registers += 1; registers - 1 });
            place[at] = target;
            let mut sources = [(usize::MAX, kind); 3];
            for (source, operand) in sources.iter_mut().zip(instruction.operands()) {
                let operand = operand as usize;
                *source = (place[operand], kernel.instructions[operand].1);
                if last[operand] == at && !free.contains(&place[operand]) { free.push(place[operand]); }
            }
            if last[at] == at { free.push(target); }
            let input = match instruction {
                Instruction::Input(input) => Some(kernel.inputs[input as usize]),
                _ => None,
            };
            steps.push(Step { instruction, kind, input, fixed: fixed[at], target, sources });
        }
        let outputs = kernel.outputs.iter().map(|&(number, dtype)| (place[number as usize], dtype)).collect();
        let reductions = kernel.reductions.iter().map(|&(number, reduction)| (place[number as usize], kernel.instructions[number as usize].1, reduction)).collect();
        Program { steps, outputs, reductions, form: Form::of(kernel, uniform), inputs: kernel.inputs.len(), registers }
    }

    /// Bytes of scratch memory that a run takes.
    pub fn scratch(&self) -> usize {
        (self.registers * BLOCK + self.reductions.len() * ACCUMULATORS) * size_of::<u64>()
    }

    /// Computes `count` elements in a row: `arrays` are the first elements of the inputs, then of the outputs, then
    /// the places for the reductions, each as many lanes as a vector has, which remain to be reduced to one.
    ///
    /// # Safety
    /// Each input has `count` elements (one, where it is uniform), aligned; each output has room for as many, and each
    /// reduction for 32 bytes. An output may be the very same memory as an input that is not uniform and has elements of its size; otherwise
    /// it overlaps nothing.
    pub unsafe fn run(&self, arrays: &[*mut u8], count: usize) {
        with_scratch(self.registers * BLOCK + self.reductions.len() * ACCUMULATORS, |scratch: &mut [u64]| {
            let (scratch, accumulators) = scratch.split_at_mut(self.registers * BLOCK);
            for (&(_, kind, reduction), accumulators) in self.reductions.iter().zip(accumulators.chunks_exact_mut(ACCUMULATORS)) {
                let identity = reduction.identity(kind);
                if kind.is_wide() { accumulators.fill(identity); } else { part_mut::<u32>(accumulators).fill(identity as u32); }
            }
            let mut start = 0;
            while start < count {
                let length = BLOCK.min(count - start);
                for step in self.steps.iter().filter(|step| start == 0 || !step.fixed) {
                    let (left, rest) = scratch.split_at_mut(step.target * BLOCK);
                    let (target, right) = rest.split_at_mut(BLOCK);
                    match (step.instruction, step.input) {
                        (Instruction::Input(input), Some(dtype)) => {
                            let size = dtype.size();
                            let (offset, elements) = if step.fixed { (0, 1) } else { (start * size, length) };
                            // SAFETY: the caller promises that many elements.
                            let bytes = unsafe { std::slice::from_raw_parts(arrays[input as usize].add(offset), elements * size) };
                            load(dtype, bytes, target);
                            if step.fixed { spread(step.kind, target, length); }
                        }
                        _ => {
                            let source = |number: usize| -> &[u64] {
                                let (register, _) = step.sources[number];
                                match register {
                                    usize::MAX => &[],
                                    _ if register < step.target => &left[register * BLOCK..][..BLOCK],
                                    _ => &right[(register - step.target - 1) * BLOCK..][..BLOCK],
                                }
                            };
                            let sources = [source(0), source(1), source(2)];
                            run(step.instruction, step.kind, step.sources.map(|source| source.1), sources, target, length);
                        }
                    }
                }
                for (output, &(register, dtype)) in self.outputs.iter().enumerate() {
                    let size = dtype.size();
                    // SAFETY: the caller promises room for `count` elements, of which these are a part, and that
                    // no input that is read later lies there.
                    let bytes = unsafe { std::slice::from_raw_parts_mut(arrays[self.inputs + output].add(start * size), length * size) };
                    store(dtype, &scratch[register * BLOCK..][..BLOCK], bytes);
                }
                for (&(register, kind, reduction), accumulators) in self.reductions.iter().zip(accumulators.chunks_exact_mut(ACCUMULATORS)) {
                    let source = &scratch[register * BLOCK..][..BLOCK];
                    accumulate(reduction, kind, source, length, accumulators, |at| self.form.accumulator(start + at, count));
                }
                start += length;
            }
            let lanes = self.form.lanes;
            for (number, (&(_, kind, reduction), accumulators)) in self.reductions.iter().zip(accumulators.chunks_exact_mut(ACCUMULATORS)).enumerate() {
                // Neighbours first.
                let mut step = 1;
                while step < self.form.unroll {
                    for copy in (0..self.form.unroll).step_by(2 * step) {
                        let words = if kind.is_wide() { lanes } else { lanes / 2 };
                        let other: [u64; 4] = std::array::from_fn(|word| accumulators.get((copy + step) * words + word).copied().unwrap_or(0));
                        accumulate(reduction, kind, &other, lanes, &mut accumulators[copy * words..], |at| at);
                    }
                    step *= 2;
                }
                let bytes = lanes * if kind.is_wide() { 8 } else { 4 };
                // SAFETY: the caller promises room for 32 bytes.
                unsafe { std::ptr::copy_nonoverlapping(accumulators.as_ptr().cast::<u8>(), arrays[self.inputs + self.outputs.len() + number], bytes) };
            }
        });
    }
}

/// Words of a reduction's accumulators: at most 4 vectors.
const ACCUMULATORS: usize = 16;

/// Puts `$body` down with `$T`, the type of the lanes that are reduced, and `$f`, what makes one of two of them.
macro_rules! combining {
    ($reduction:expr, $kind:expr, $T:ident, $f:ident => $body:expr) => {{
        macro_rules! each {
            ($Lane:ty, $a:ident $x:ident => $value:expr) => {{
                type $T = $Lane;
                let $f = |$a: $Lane, $x: $Lane| -> $Lane { $value };
                $body
            }};
        }
        match ($reduction, $kind) {
            (Reduction::Sum, Kind::F32) => each!(f32, a x => a + x),
            (Reduction::Sum, Kind::F64) => each!(f64, a x => a + x),
            (Reduction::Sum, Kind::I64 | Kind::M64) => each!(i64, a x => a.wrapping_add(x)),
            (Reduction::Sum, _) => each!(i32, a x => a.wrapping_add(x)),
            (Reduction::Product, Kind::F32) => each!(f32, a x => a * x),
            (Reduction::Product, Kind::F64) => each!(f64, a x => a * x),
            (Reduction::Product, Kind::I64 | Kind::M64) => each!(i64, a x => a.wrapping_mul(x)),
            (Reduction::Product, _) => each!(i32, a x => a.wrapping_mul(x)),
            (Reduction::Max, Kind::F32) => each!(f32, a x => if a > x || a.is_nan() { a } else { x }),
            (Reduction::Max, Kind::F64) => each!(f64, a x => if a > x || a.is_nan() { a } else { x }),
            (Reduction::Min, Kind::F32) => each!(f32, a x => if a < x || a.is_nan() { a } else { x }),
            (Reduction::Min, Kind::F64) => each!(f64, a x => if a < x || a.is_nan() { a } else { x }),
            (Reduction::Max, Kind::I32) => each!(i32, a x => a.max(x)),
            (Reduction::Max, Kind::I64) => each!(i64, a x => a.max(x)),
            (Reduction::Min, Kind::I32) => each!(i32, a x => a.min(x)),
            (Reduction::Min, Kind::I64) => each!(i64, a x => a.min(x)),
            (Reduction::Max, Kind::M32) => each!(u32, a x => a | x),
            (Reduction::Max, Kind::M64) => each!(u64, a x => a | x),
            (Reduction::Min, Kind::M32) => each!(u32, a x => a & x),
            (Reduction::Min, Kind::M64) => each!(u64, a x => a & x),
        }
    }};
}

/// Combines elements with accumulators.
fn accumulate(reduction: Reduction, kind: Kind, source: &[u64], length: usize, accumulators: &mut [u64], place: impl Fn(usize) -> usize) {
    combining!(reduction, kind, T, f => {
        let accumulators = part_mut::<T>(accumulators);
        for (at, &x) in part::<T>(source)[..length].iter().enumerate() {
            let accumulator = &mut accumulators[place(at)];
            *accumulator = f(*accumulator, x);
        }
    });
}

/// Two values reduced to one, by their bits.
pub fn combine(reduction: Reduction, kind: Kind, a: u64, b: u64) -> u64 {
    // A narrow lane is the first half of its register.
    let word = |bits: u64| {
        let mut register = [bits];
        if !kind.is_wide() { part_mut::<u32>(&mut register)[0] = bits as u32; }
        register
    };
    let (a, b) = (word(a), word(b));
    let mut both = [0u64];
    combining!(reduction, kind, T, f => part_mut::<T>(&mut both)[0] = f(part::<T>(&a)[0], part::<T>(&b)[0]));
    if kind.is_wide() { both[0] } else { part::<u32>(&both)[0].into() }
}

/// The lanes of a vector reduced to one: halves first.
pub fn horizontal(reduction: Reduction, kind: Kind, lanes: usize, vector: &mut [u64; 4]) -> u64 {
    combining!(reduction, kind, T, f => {
        let vector = part_mut::<T>(vector);
        let mut left = lanes;
        while left > 1 {
            left /= 2;
            let (lower, upper) = vector.split_at_mut(left);
            for (lower, upper) in lower.iter_mut().zip(upper) { *lower = f(*lower, *upper); }
        }
    });
    if kind.is_wide() { vector[0] } else { part::<u32>(vector)[0].into() }
}

/// The bits of an instruction of constants.
pub fn evaluate(instruction: Instruction, kind: Kind, operands: &[(u64, Kind)]) -> u64 {
    let operand = |number: usize| operands.get(number).copied().unwrap_or((0, kind));
    // A narrow lane is the first half of its register.
    let word = |(bits, kind): (u64, Kind)| {
        let mut register = [0u64];
        if kind.is_wide() { register[0] = bits; } else { part_mut::<u32>(&mut register)[0] = bits as u32; }
        register
    };
    let (a, b, c) = (word(operand(0)), word(operand(1)), word(operand(2)));
    let mut target = [0u64];
    run(instruction, kind, [operand(0).1, operand(1).1, operand(2).1], [&a, &b, &c], &mut target, 1);
    if kind.is_wide() { target[0] } else { u64::from(part::<u32>(&target)[0]) }
}

fn part<T: Stored>(register: &[u64]) -> &[T] {
    typed(as_bytes(register))
}

fn part_mut<T: Stored>(register: &mut [u64]) -> &mut [T] {
    // SAFETY: `u64` has no padding, and every bit pattern is one of its values.
    let bytes = unsafe { std::slice::from_raw_parts_mut(register.as_mut_ptr().cast::<u8>(), size_of_val(register)) };
    typed_mut(bytes)
}

/// The first lane in all.
fn spread(kind: Kind, target: &mut [u64], length: usize) {
    if kind.is_wide() {
        let first = target[0];
        target[..length].fill(first);
    } else {
        let target = part_mut::<u32>(target);
        let first = target[0];
        target[..length].fill(first);
    }
}

/// Stored elements as lanes.
fn load(dtype: DType, bytes: &[u8], target: &mut [u64]) {
    macro_rules! widen { ($S:ty, $T:ty, $value:ident => $body:expr) => {
        for (target, &$value) in part_mut::<$T>(target).iter_mut().zip(typed::<$S>(bytes)) { *target = $body; }
    } }
    use arignote_core::tensor::{bf16, f16};
    match dtype {
        DType::Bool => widen!(u8, u32, x => if x != 0 { u32::MAX } else { 0 }),
        DType::I8 => widen!(i8, i32, x => x.into()),
        DType::I16 => widen!(i16, i32, x => x.into()),
        DType::U8 => widen!(u8, i32, x => x.into()),
        DType::U16 => widen!(u16, i32, x => x.into()),
        DType::I32 | DType::U32 | DType::F32 => widen!(u32, u32, x => x),
        DType::I64 | DType::U64 | DType::F64 => widen!(u64, u64, x => x),
        DType::F16 => widen!(f16, f32, x => x.to_f32()),
        // The bits as they are: a conversion would mark signaling NaNs.
        DType::BF16 => widen!(bf16, f32, x => f32::from_bits(u32::from(x.to_bits()) << 16)),
    }
}

/// Lanes as stored elements.
fn store(dtype: DType, source: &[u64], bytes: &mut [u8]) {
    match dtype {
        DType::Bool => for (out, &x) in bytes.iter_mut().zip(part::<u32>(source)) { *out = u8::from(x != 0); },
        DType::F16 | DType::BF16 => stored_type!(dtype, T => {
            for (out, &x) in typed_mut::<T>(bytes).iter_mut().zip(part::<f32>(source)) { *out = T::from_f64(x.into()); }
        }),
        DType::I8 | DType::U8 => for (out, &x) in bytes.iter_mut().zip(part::<u32>(source)) { *out = x as u8; },
        DType::I16 | DType::U16 => for (out, &x) in typed_mut::<u16>(bytes).iter_mut().zip(part::<u32>(source)) { *out = x as u16; },
        _ => { let length = bytes.len(); bytes.copy_from_slice(&as_bytes(source)[..length]); }
    }
}

/// Runs one instruction on the first `length` lanes.
// The macros convert for words of either width.
#[allow(clippy::useless_conversion)]
fn run(instruction: Instruction, kind: Kind, kinds: [Kind; 3], sources: [&[u64]; 3], target: &mut [u64], length: usize) {
    macro_rules! one { ($S:ty, $T:ty, $x:ident => $body:expr) => {
        for (target, &$x) in part_mut::<$T>(target)[..length].iter_mut().zip(part::<$S>(sources[0])) { *target = $body; }
    } }
    macro_rules! two { ($S:ty, $T:ty, $x:ident $y:ident => $body:expr) => {{
        let (a, b) = (part::<$S>(sources[0]), part::<$S>(sources[1]));
        for ((target, &$x), &$y) in part_mut::<$T>(target)[..length].iter_mut().zip(a).zip(b) { *target = $body; }
    }} }
    macro_rules! three { ($R:ty, $S:ty, $x:ident $y:ident $z:ident => $body:expr) => {{
        let (a, b, c) = (part::<$R>(sources[0]), part::<$S>(sources[1]), part::<$S>(sources[2]));
        for (((target, &$x), &$y), &$z) in part_mut::<$S>(target)[..length].iter_mut().zip(a).zip(b).zip(c) { *target = $body; }
    }} }
    // The same for both widths of float, of integer, of bits.
    macro_rules! floats { ($macro:ident $($x:ident)* => $body:expr) => {
        if kind == Kind::F64 { $macro!(f64, f64, $($x)* => $body) } else { $macro!(f32, f32, $($x)* => $body) }
    } }
    macro_rules! integers { ($macro:ident $($x:ident)* => $body:expr) => {
        if kind.is_wide() { $macro!(i64, i64, $($x)* => $body) } else { $macro!(i32, i32, $($x)* => $body) }
    } }
    macro_rules! words { ($macro:ident $($x:ident)* => $body:expr) => {
        if kind.is_wide() { $macro!(u64, u64, $($x)* => $body) } else { $macro!(u32, u32, $($x)* => $body) }
    } }
    macro_rules! numbers { ($x:ident $y:ident, $float:expr, $integer:expr) => {
        if kind.is_float() { floats!(two $x $y => $float) } else { integers!(two $x $y => $integer) }
    } }
    macro_rules! compare { ($op:tt) => { match kinds[0] {
        Kind::F32 => two!(f32, u32, x y => if x $op y { u32::MAX } else { 0 }),
        Kind::F64 => two!(f64, u64, x y => if x $op y { u64::MAX } else { 0 }),
        Kind::I32 | Kind::M32 => two!(i32, u32, x y => if x $op y { u32::MAX } else { 0 }),
        Kind::I64 | Kind::M64 => two!(i64, u64, x y => if x $op y { u64::MAX } else { 0 }),
    } } }
    match instruction {
        Instruction::Input(_) => {}
        Instruction::Constant(bits) => {
            if kind.is_wide() { target[0] = bits; } else { part_mut::<u32>(target)[0] = bits as u32; }
            spread(kind, target, length);
        }
        Instruction::Unary(op, _) => match op {
            Unary::Neg => floats!(one x => -x),
            Unary::Abs => floats!(one x => x.abs()),
            Unary::Sqrt => floats!(one x => x.sqrt()),
            Unary::Round => floats!(one x => x.round_ties_even()),
            Unary::Floor => floats!(one x => x.floor()),
            Unary::Ceil => floats!(one x => x.ceil()),
            Unary::Trunc => floats!(one x => x.trunc()),
            Unary::Not => words!(one x => !x),
            Unary::RoundHalf => one!(f32, f32, x => arignote_core::tensor::f16::from_f32(x).to_f32()),
            Unary::Bits(_) => words!(one x => x),
            Unary::Convert(_) => match (kinds[0], kind) {
                (Kind::F32, Kind::F64) => one!(f32, f64, x => x.into()),
                (Kind::F32, Kind::I32) => one!(f32, i32, x => if (-2147483648.0..2147483648.0).contains(&x) { x as i32 } else { i32::MIN }),
                (Kind::F32, Kind::I64) => one!(f32, i64, x => truncate(x.into())),
                (Kind::F64, Kind::F32) => one!(f64, f32, x => x as f32),
                (Kind::F64, Kind::I32) => one!(f64, i32, x => if x > -2147483649.0 && x < 2147483648.0 { x as i32 } else { i32::MIN }),
                (Kind::F64, Kind::I64) => one!(f64, i64, x => truncate(x)),
                (Kind::I32, Kind::F32) => one!(i32, f32, x => x as f32),
                (Kind::I32, Kind::F64) => one!(i32, f64, x => x.into()),
                (Kind::I32 | Kind::M32, Kind::I64 | Kind::M64) => one!(i32, i64, x => x.into()),
                (Kind::I64, Kind::F32) => one!(i64, f32, x => x as f32),
                (Kind::I64, Kind::F64) => one!(i64, f64, x => x as f64),
                (Kind::I64 | Kind::M64, Kind::I32 | Kind::M32) => one!(i64, i32, x => x as i32),
                _ => words!(one x => x),
            },
        },
        Instruction::Binary(op, ..) => match op {
            Binary::Add => numbers!(x y, x + y, x.wrapping_add(y)),
            Binary::Sub => numbers!(x y, x - y, x.wrapping_sub(y)),
            Binary::Mul => numbers!(x y, x * y, x.wrapping_mul(y)),
            Binary::Div => floats!(two x y => x / y),
            Binary::Min => numbers!(x y, if x < y { x } else { y }, if x < y { x } else { y }),
            Binary::Max => numbers!(x y, if x > y { x } else { y }, if x > y { x } else { y }),
            Binary::And => words!(two x y => x & y),
            Binary::Or => words!(two x y => x | y),
            Binary::Xor => words!(two x y => x ^ y),
            Binary::AndNot => words!(two x y => !x & y),
            Binary::ShiftLeft => words!(two x y => if u64::from(y) < 8 * size_of_val(&x) as u64 { x << y } else { 0 }),
            Binary::ShiftRight => words!(two x y => if u64::from(y) < 8 * size_of_val(&x) as u64 { x >> y } else { 0 }),
            Binary::ShiftRightSigned => integers!(two x y => {
                let most = 8 * size_of_val(&x) as i64 - 1;
                x >> if (0..most).contains(&i64::from(y)) { i64::from(y) } else { most }
            }),
        },
        Instruction::Fused(op, ..) => match (op, kind) {
            (Fused::MulAdd, Kind::F64) => three!(f64, f64, x y z => x.mul_add(y, z)),
            (Fused::MulSub, Kind::F64) => three!(f64, f64, x y z => x.mul_add(y, -z)),
            (Fused::NegMulAdd, Kind::F64) => three!(f64, f64, x y z => (-x).mul_add(y, z)),
            (Fused::MulAdd, _) => three!(f32, f32, x y z => x.mul_add(y, z)),
            (Fused::MulSub, _) => three!(f32, f32, x y z => x.mul_add(y, -z)),
            (Fused::NegMulAdd, _) => three!(f32, f32, x y z => (-x).mul_add(y, z)),
        },
        Instruction::Compare(op, ..) => match op {
            Comparison::Eq => compare!(==),
            Comparison::Ne => compare!(!=),
            Comparison::Lt => compare!(<),
            Comparison::Le => compare!(<=),
            Comparison::Gt => compare!(>),
            Comparison::Ge => compare!(>=),
        },
        Instruction::Select(..) => {
            if kind.is_wide() { three!(u64, u64, m x y => if m != 0 { x } else { y }) } else { three!(u32, u32, m x y => if m != 0 { x } else { y }) }
        }
        Instruction::Rare(function, ..) => match (function, kind) {
            (Function::F64x1(f), Kind::F64) => {
                let (mask, x, value) = (sources[0], part::<f64>(sources[1]), part::<f64>(sources[2]));
                for (((target, &m), &x), &y) in part_mut::<f64>(target)[..length].iter_mut().zip(mask).zip(x).zip(value) {
                    *target = if m != 0 { f(x) } else { y };
                }
            }
            (Function::F32x1(f), Kind::F32) => three!(u32, f32, m x y => if m != 0 { f(x) } else { y }),
            _ => {}
        },
        Instruction::Call(function, _) => match function {
            Function::F64x1(f) => one!(f64, f64, x => f(x)),
            Function::F64x2(f) => two!(f64, f64, x y => f(x, y)),
            Function::F64x3(f) => three!(f64, f64, x y z => f(x, y, z)),
            Function::F32x1(f) => one!(f32, f32, x => f(x)),
            Function::F32x2(f) => two!(f32, f32, x y => f(x, y)),
            Function::I64x1(f) => one!(i64, i64, x => f(x)),
            Function::I64x2(f) => two!(i64, i64, x y => f(x, y)),
            Function::U64x1(f) => one!(u64, u64, x => f(x)),
            Function::U64x2(f) => two!(u64, u64, x y => f(x, y)),
            Function::Word(f) => match (kinds[0].is_wide(), kind.is_wide()) {
                (false, false) => one!(u32, u32, x => f(x.into()) as u32),
                (false, true) => one!(u32, u64, x => f(x.into())),
                (true, false) => one!(u64, u32, x => f(x) as u32),
                (true, true) => one!(u64, u64, x => f(x)),
            },
        },
    }
}

fn truncate(x: f64) -> i64 {
    const EDGE: f64 = 9223372036854775808.0;
    if (-EDGE..EDGE).contains(&x) { x as i64 } else { i64::MIN }
}
