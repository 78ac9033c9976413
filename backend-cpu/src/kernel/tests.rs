//! Native code against the portable path: one instruction at a time on special values, then random kernels.

use arignote_core::tensor::DType;

use super::form::Form;
use super::ir::{Binary, Builder, Comparison, Function, Fused, Kernel, Kind, Reduction, Unary, Value};
use super::portable::Program;

/// A generator of random numbers (xorshift64*).
pub struct Random(pub u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

const DTYPES: [DType; 13] = [
    DType::Bool, DType::I8, DType::I16, DType::I32, DType::I64, DType::U8, DType::U16, DType::U32, DType::U64,
    DType::F16, DType::BF16, DType::F32, DType::F64,
];

/// Random elements, many of them special.
fn elements(random: &mut Random, dtype: DType, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        let special = random.below(3) == 0;
        let bits = match dtype {
            DType::F64 if special => random.pick(&[0.0, -0.0, 1.0, -1.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324, 1e300, -1e-300, 2.5, 4e9, 9.3e18]).to_bits(),
            DType::F64 if random.below(4) != 0 => ((random.next() as i64 >> 40) as f64 / 4096.0).to_bits(),
            DType::F32 if special => random.pick(&[0.0, -0.0, 1.0, -1.0, 0.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, 3e38, -1e-38, 2.5, 3e9, 2147483648.0]).to_bits().into(),
            DType::F32 if random.below(4) != 0 => ((random.next() as i64 >> 50) as f32 / 128.0).to_bits().into(),
            DType::Bool => (random.below(2) * random.below(3)) as u64,
            _ if special => random.pick(&[0, 1, 2, u64::MAX, 1 << 63, 0x7fff_ffff_ffff_ffff, 0x8000_0000, 0x7fff_ffff, 31, 32, 63, 64, 0x80, 0x7f]),
            _ => random.next(),
        };
        bytes.extend_from_slice(&bits.to_le_bytes()[..dtype.size()]);
    }
    bytes
}

/// Whether two stored elements are the same, NaNs being one.
fn same(dtype: DType, a: &[u8], b: &[u8]) -> bool {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    let (a, b) = (word(a), word(b));
    let is_nan = |bits: u64| match dtype {
        DType::F64 => f64::from_bits(bits).is_nan(),
        DType::F32 => f32::from_bits(bits as u32).is_nan(),
        DType::F16 => bits & 0x7fff > 0x7c00,
        DType::BF16 => bits & 0x7fff > 0x7f80,
        _ => false,
    };
    a == b || (is_nan(a) && is_nan(b))
}

/// Runs a kernel natively and portably over so many elements, some arrays off their alignment, and compares every
/// byte of the results and of what lies behind them.
#[cfg(target_arch = "x86_64")]
fn agree(kernel: &Kernel, uniform: &[bool], count: usize, random: &mut Random) -> Result<(), String> {
    let form = Form::of(kernel, uniform);
    let code = super::avx2::Code::compile(kernel, &form).ok_or("not compiled")?;
    let program = Program::new(kernel, uniform);
    const AFTER: usize = 64;
    let offset = random.below(3);
    let inputs: Vec<Vec<u8>> = kernel.inputs.iter().zip(uniform).map(|(&dtype, &uniform)| {
        let data = elements(random, dtype, if uniform { 1 } else { count });
        let mut all = vec![0u8; offset * 8];
        all.extend(data);
        all
    }).collect();
    let run = |native: bool| -> Vec<Vec<u8>> {
        // Allocations of words, so that elements are aligned as they must be.
        let words = |bytes: &[u8]| -> Vec<u64> {
            bytes.chunks(8).map(|chunk| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))).chain([0]).collect()
        };
        let mut buffers: Vec<Vec<u64>> = inputs.iter().map(|bytes| words(bytes)).collect();
        for &(_, dtype) in &kernel.outputs { buffers.push(words(&vec![0xa5; (count * dtype.size() + AFTER).next_multiple_of(8) + 8 * offset])); }
        for _ in &kernel.reductions { buffers.push(vec![0; 4 + offset]); }
        let arrays: Vec<*mut u8> = buffers.iter_mut().map(|buffer| buffer.as_mut_ptr().cast::<u8>().wrapping_add(8 * offset)).collect();
        // SAFETY: every buffer has room for `count` elements, and they are apart.
        unsafe { if native { code.run(&arrays, count) } else { program.run(&arrays, count) } }
        buffers[inputs.len()..].iter().map(|buffer| buffer.iter().flat_map(|word| word.to_le_bytes()).collect()).collect()
    };
    let (found, expected) = (run(true), run(false));
    for (output, (&(_, dtype), (found, expected))) in kernel.outputs.iter().zip(found.iter().zip(&expected)).enumerate() {
        let size = dtype.size();
        for (at, (found, expected)) in found.chunks(size).zip(expected.chunks(size)).enumerate() {
            if !same(dtype, found, expected) {
                let element = at as i64 - (8 * offset / size) as i64;
                let given: Vec<String> = inputs.iter().zip(&kernel.inputs).zip(uniform).map(|((bytes, dtype), &uniform)| {
                    let at = if uniform { 8 * offset } else { 8 * offset + element.max(0) as usize * dtype.size() };
                    format!("{dtype} {:02x?}", bytes.get(at..at + dtype.size()).unwrap_or(&[]))
                }).collect();
                return Err(format!("output {output}, element {element} of {count}: native {found:02x?}, portable {expected:02x?} of {given:?}, lanes {} unroll {}\n{}",
                    form.lanes, form.unroll, kernel.describe(&|_| None)));
            }
        }
    }
    for (number, &(value, reduction)) in kernel.reductions.iter().enumerate() {
        let dtype = match kernel.instructions[value as usize].1 {
            Kind::F32 => DType::F32,
            Kind::F64 => DType::F64,
            kind => if kind.is_wide() { DType::I64 } else { DType::I32 },
        };
        let at = kernel.outputs.len() + number;
        for (lane, (found, expected)) in found[at].chunks(dtype.size()).zip(expected[at].chunks(dtype.size())).enumerate() {
            if !same(dtype, found, expected) {
                return Err(format!("{reduction:?} of v{value} of {count}, lane {lane}: native {found:02x?}, portable {expected:02x?}\n{}", kernel.describe(&|_| None)));
            }
        }
    }
    Ok(())
}

/// A dtype whose lanes are of a kind.
fn stored(random: &mut Random, kind: Kind) -> DType {
    let all: Vec<DType> = DTYPES.iter().copied().filter(|&dtype| Kind::of(dtype) == kind).collect();
    random.pick(&all)
}

/// A value as a result: masks of 64 bits as those of 32, integers wrapped to what they are stored as.
fn output(builder: &mut Builder, random: &mut Random, value: Value) -> (Value, DType) {
    let value = if value.kind == Kind::M64 { builder.unary(Unary::Convert(Kind::M32), value) } else { value };
    let dtype = stored(random, value.kind);
    (builder.wrap(dtype, value), dtype)
}

const KINDS: [Kind; 6] = [Kind::F32, Kind::F64, Kind::I32, Kind::I64, Kind::M32, Kind::M64];
const BINARIES: [Binary; 13] = [
    Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max, Binary::And, Binary::Or, Binary::Xor,
    Binary::AndNot, Binary::ShiftLeft, Binary::ShiftRight, Binary::ShiftRightSigned,
];
const COMPARISONS: [Comparison; 6] = [Comparison::Eq, Comparison::Ne, Comparison::Lt, Comparison::Le, Comparison::Gt, Comparison::Ge];

fn takes(op: Binary, kind: Kind) -> bool {
    match op {
        Binary::And | Binary::Or | Binary::Xor | Binary::AndNot => true,
        Binary::Div => kind.is_float(),
        Binary::ShiftLeft | Binary::ShiftRight | Binary::ShiftRightSigned => !kind.is_float() && !kind.is_mask(),
        _ => !kind.is_mask(),
    }
}

/// One more instruction on some of the values.
fn grow(builder: &mut Builder, random: &mut Random, values: &mut Vec<Value>) {
    let a = random.pick(values);
    let alike: Vec<Value> = values.iter().copied().filter(|value| value.kind == a.kind).collect();
    let (b, c) = (random.pick(&alike), random.pick(&alike));
    let new = match random.below(10) {
        0 => {
            let op = if a.kind.is_float() {
                random.pick(&[Unary::Neg, Unary::Abs, Unary::Sqrt, Unary::Round, Unary::Floor, Unary::Ceil, Unary::Trunc])
            } else {
                Unary::Not
            };
            builder.unary(op, a)
        }
        1 | 2 => {
            let to: Vec<Kind> = KINDS.iter().copied().filter(|kind| kind.is_mask() == a.kind.is_mask()).collect();
            builder.unary(Unary::Convert(random.pick(&to)), a)
        }
        // Not the other way: which NaN an operation gives is open.
        3 if !a.kind.is_mask() && !a.kind.is_float() => {
            builder.unary(Unary::Bits(if a.kind.is_wide() { Kind::F64 } else { Kind::F32 }), a)
        }
        4 if a.kind.is_float() => builder.fused(random.pick(&[Fused::MulAdd, Fused::MulSub, Fused::NegMulAdd]), a, b, c),
        5 => builder.compare(random.pick(&COMPARISONS), a, b),
        6 => {
            let masks: Vec<Value> = values.iter().copied().filter(|value| value.kind.is_mask()).collect();
            if masks.is_empty() { return; }
            let mask = random.pick(&masks);
            builder.select(mask, a, b)
        }
        7 => {
            let bits = elements(random, if a.kind.is_wide() { DType::F64 } else { DType::F32 }, 1);
            let bits = bits.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
            if a.kind.is_mask() { builder.number(a.kind, 1.0) } else { builder.bits(a.kind, bits) }
        }
        8 if a.kind.is_float() && random.below(4) == 0 => {
            let function = if a.kind == Kind::F64 { Function::F64x1(triple) } else { Function::F32x1(triple_narrow) };
            if random.below(2) == 0 {
                builder.call(function, &[a], a.kind)
            } else {
                let mask = builder.compare(Comparison::Lt, b, c);
                builder.rare(function, mask, a, b)
            }
        }
        _ => {
            let ops: Vec<Binary> = BINARIES.iter().copied().filter(|&op| takes(op, a.kind)).collect();
            builder.binary(random.pick(&ops), a, b)
        }
    };
    values.push(new);
}

fn triple(x: f64) -> f64 { 3.0 * x }
fn triple_narrow(x: f32) -> f32 { 3.0 * x }

fn random_kernel(random: &mut Random) -> (Kernel, Vec<bool>) {
    let mut builder = Builder::default();
    let narrow = random.below(2) == 0;
    let dtypes: Vec<DType> = DTYPES.iter().copied().filter(|&dtype| !(narrow && Kind::of(dtype).is_wide())).collect();
    let most = if random.below(8) == 0 { 12 } else { 4 };
    let inputs = 1 + random.below(most);
    let uniform: Vec<bool> = (0..inputs).map(|_| random.below(4) == 0).collect();
    let mut values: Vec<Value> = (0..inputs).map(|_| builder.input(random.pick(&dtypes))).collect();
    let most = if random.below(6) == 0 { 120 } else { 20 };
    for _ in 0..1 + random.below(most) { grow(&mut builder, random, &mut values); }
    let outputs: Vec<(Value, DType)> = (0..1 + random.below(3)).map(|_| {
        let from = values.len().saturating_sub(4);
        let value = values[from + random.below(values.len() - from)];
        output(&mut builder, random, value)
    }).collect();
    let reductions: Vec<(Value, Reduction)> = (0..random.below(3)).map(|_| {
        let from = values.len().saturating_sub(4);
        let value = values[from + random.below(values.len() - from)];
        (value, if value.kind.is_mask() { random.pick(&[Reduction::Max, Reduction::Min]) } else { random.pick(&[Reduction::Sum, Reduction::Product, Reduction::Max, Reduction::Min]) })
    }).collect();
    (builder.finish(&outputs, &reductions), uniform)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn each_instruction_agrees() {
    if !super::avx2::is_available() { return; }
    let mut random = Random(0x5eed);
    let mut check = |build: &dyn Fn(&mut Builder, &[Value]) -> Value, dtype: DType| {
        for constant in [false, true] {
            let mut builder = Builder::default();
            let mut inputs: Vec<Value> = (0..3).map(|_| builder.input(dtype)).collect();
            if constant {
                let bits = elements(&mut random, dtype, 1).iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
                inputs[1] = if inputs[1].kind.is_mask() { builder.number(Kind::M32, bits as f64) } else { builder.bits(inputs[1].kind, bits) };
            }
            let value = build(&mut builder, &inputs);
            let result = output(&mut builder, &mut random, value);
            let kernel = builder.finish(&[result], &[]);
            agree(&kernel, &[false; 3], 203, &mut random).unwrap();
        }
    };
    for dtype in DTYPES {
        let kind = Kind::of(dtype);
        check(&|builder, v| builder.wrap(dtype, v[0]), dtype);
        for op in BINARIES.into_iter().filter(|&op| takes(op, kind)) { check(&|builder, v| builder.binary(op, v[0], v[1]), dtype); }
        if !kind.is_mask() {
            for op in COMPARISONS { check(&|builder, v| builder.compare(op, v[0], v[1]), dtype); }
            for to in KINDS.into_iter().filter(|kind| !kind.is_mask()) { check(&|builder, v| builder.unary(Unary::Convert(to), v[0]), dtype); }
        }
        if kind.is_float() {
            for op in [Unary::Neg, Unary::Abs, Unary::Sqrt, Unary::Round, Unary::Floor, Unary::Ceil, Unary::Trunc] {
                check(&|builder, v| builder.unary(op, v[0]), dtype);
            }
            for op in [Fused::MulAdd, Fused::MulSub, Fused::NegMulAdd] {
                check(&|builder, v| builder.fused(op, v[0], v[1], v[2]), dtype);
                check(&|builder, v| { let a = builder.fused(op, v[0], v[0], v[2]); builder.binary(Binary::Add, a, v[2]) }, dtype);
            }
        }
        check(&|builder, v| { let mask = builder.compare(Comparison::Lt, v[0], v[1]); builder.select(mask, v[2], v[1]) }, dtype);
    }
}

/// So many seeds, which are always the same, and with `ARIGNOTE_SEEDS=1000` in the environment a thousand more that follow from
/// the time.
pub(super) fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let more = std::env::var("ARIGNOTE_SEEDS").map_or(0, |more| more.parse().expect("ARIGNOTE_SEEDS is a number"));
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    (1..count).chain(since..since + more)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn random_kernels_agree() {
    if !super::avx2::is_available() { return; }
    for seed in seeds(400) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (kernel, uniform) = random_kernel(&mut random);
        for count in [random.below(9), random.below(70), 200 + random.below(400)] {
            if let Err(message) = agree(&kernel, &uniform, count, &mut random) { panic!("seed {seed}: {message}"); }
        }
    }
}

/// Code can be executed and not written, and what can be written cannot be executed.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn code_is_not_writable() {
    if !super::avx2::is_available() { return; }
    let (kernel, uniform) = random_kernel(&mut Random(7));
    let code = super::avx2::Code::compile(&kernel, &Form::of(&kernel, &uniform)).unwrap();
    let address = code.address();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        (usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap()).contains(&address)
    });
    assert_eq!(line.unwrap().split(' ').nth(1), Some("r-xp"));
}
