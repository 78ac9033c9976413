//! One instruction as machine code: which instructions of the processor give it, its operands being in place.

// An instruction has that many parts.
#![allow(clippy::too_many_arguments)]

use dynasmrt::{DynasmApi, DynasmLabelApi, DynamicLabel, dynasm};

use crate::kernel::ir::{Binary, Comparison, Fused, Kind, Reduction, Unary};

/// What collects the code.
pub type Assembler = dynasmrt::VecAssembler<dynasmrt::x64::X64Relocation>;

/// Where an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a vector register.
    Register(u8),
    /// So many bytes from `rbp` on, where what a call of the kernel needs to remember is.
    Frame(i32),
    /// So many bytes from `r14` on, where the constants are.
    Pool(i32),
}

/// The vector register that any instruction may use; it holds nothing from one to the next.
pub const SCRATCH: u8 = 15;
/// Another.
pub const SCRATCH_2: u8 = 14;

/// Constants that encodings need, by their bits.
pub trait Constants {
    /// Where these bits are, in every lane.
    fn constant(&mut self, kind: Kind, bits: u64) -> Place;
}

/// `name d, b`
macro_rules! two {
    ($ops:expr, $long:expr, $name:ident $d:expr, $b:expr) => {{
        let d = $d;
        match ($long, $b) {
            (true, Place::Register(b)) => dynasm!($ops ; .arch x64 ; $name Ry(d), Ry(b)),
            (true, Place::Frame(at)) => dynasm!($ops ; .arch x64 ; $name Ry(d), [rbp + at]),
            (true, Place::Pool(at)) => dynasm!($ops ; .arch x64 ; $name Ry(d), [r14 + at]),
            (false, Place::Register(b)) => dynasm!($ops ; .arch x64 ; $name Rx(d), Rx(b)),
            (false, Place::Frame(at)) => dynasm!($ops ; .arch x64 ; $name Rx(d), [rbp + at]),
            (false, Place::Pool(at)) => dynasm!($ops ; .arch x64 ; $name Rx(d), [r14 + at]),
        }
    }};
}

/// `name d, b, immediate`
macro_rules! two_and {
    ($ops:expr, $long:expr, $name:ident $d:expr, $b:expr, $immediate:expr) => {{
        let d = $d;
        let immediate: i8 = $immediate;
        match ($long, $b) {
            (true, Place::Register(b)) => dynasm!($ops ; .arch x64 ; $name Ry(d), Ry(b), immediate),
            (true, Place::Frame(at)) => dynasm!($ops ; .arch x64 ; $name Ry(d), [rbp + at], immediate),
            (true, Place::Pool(at)) => dynasm!($ops ; .arch x64 ; $name Ry(d), [r14 + at], immediate),
            (false, Place::Register(b)) => dynasm!($ops ; .arch x64 ; $name Rx(d), Rx(b), immediate),
            (false, Place::Frame(at)) => dynasm!($ops ; .arch x64 ; $name Rx(d), [rbp + at], immediate),
            (false, Place::Pool(at)) => dynasm!($ops ; .arch x64 ; $name Rx(d), [r14 + at], immediate),
        }
    }};
}

/// `name d, a, b`
macro_rules! three {
    ($ops:expr, $long:expr, $name:ident $d:expr, $a:expr, $b:expr) => {{
        let (d, a) = ($d, $a);
        match ($long, $b) {
            (true, Place::Register(b)) => dynasm!($ops ; .arch x64 ; $name Ry(d), Ry(a), Ry(b)),
            (true, Place::Frame(at)) => dynasm!($ops ; .arch x64 ; $name Ry(d), Ry(a), [rbp + at]),
            (true, Place::Pool(at)) => dynasm!($ops ; .arch x64 ; $name Ry(d), Ry(a), [r14 + at]),
            (false, Place::Register(b)) => dynasm!($ops ; .arch x64 ; $name Rx(d), Rx(a), Rx(b)),
            (false, Place::Frame(at)) => dynasm!($ops ; .arch x64 ; $name Rx(d), Rx(a), [rbp + at]),
            (false, Place::Pool(at)) => dynasm!($ops ; .arch x64 ; $name Rx(d), Rx(a), [r14 + at]),
        }
    }};
}

/// `name d, a, immediate`, all registers
macro_rules! shift {
    ($ops:expr, $long:expr, $name:ident $d:expr, $a:expr, $immediate:expr) => {{
        let (d, a) = ($d, $a);
        let immediate: i8 = $immediate;
        if $long { dynasm!($ops ; .arch x64 ; $name Ry(d), Ry(a), immediate) } else { dynasm!($ops ; .arch x64 ; $name Rx(d), Rx(a), immediate) }
    }};
}

/// Moves a vector into a register.
pub fn move_to(ops: &mut Assembler, long: bool, d: u8, from: Place) {
    if from != Place::Register(d) {
        two!(ops, long, vmovaps d, from);
    }
}

/// Moves a register into the frame.
pub fn move_to_frame(ops: &mut Assembler, long: bool, at: i32, from: u8) {
    if long {
        dynasm!(ops ; .arch x64 ; vmovaps [rbp + at], Ry(from));
    } else {
        dynasm!(ops ; .arch x64 ; vmovaps [rbp + at], Rx(from));
    }
}

/// `d = op(a)`. The destination may be the operand.
pub fn unary(ops: &mut Assembler, constants: &mut dyn Constants, lanes: usize, op: Unary, from: Kind, to: Kind, d: u8, a: u8, exchange: i32) {
    let wide = from.is_wide();
    let long = wide || lanes == 8;
    let sign = if wide { 1 << 63 } else { 1 << 31 };
    let all = if wide { u64::MAX } else { u64::from(u32::MAX) };
    let b = Place::Register(a);
    match op {
        Unary::Neg => { let sign = constants.constant(from, sign); three!(ops, long, vxorps d, a, sign) }
        Unary::Abs => { let rest = constants.constant(from, all ^ sign); three!(ops, long, vandps d, a, rest) }
        Unary::Not => { let all = constants.constant(from, all); three!(ops, long, vpxor d, a, all) }
        Unary::Sqrt => if wide { two!(ops, long, vsqrtpd d, b) } else { two!(ops, long, vsqrtps d, b) },
        Unary::Round | Unary::Floor | Unary::Ceil | Unary::Trunc => {
            let mode = match op { Unary::Round => 8, Unary::Floor => 9, Unary::Ceil => 10, _ => 11 };
            if wide { two_and!(ops, long, vroundpd d, b, mode) } else { two_and!(ops, long, vroundps d, b, mode) }
        }
        Unary::RoundHalf => {
            if long {
                dynasm!(ops ; .arch x64 ; vcvtps2ph Rx(d), Ry(a), 0 ; vcvtph2ps Ry(d), Rx(d));
            } else {
                dynasm!(ops ; .arch x64 ; vcvtps2ph Rx(d), Rx(a), 0 ; vcvtph2ps Rx(d), Rx(d));
            }
        }
        Unary::Bits(_) => move_to(ops, long, d, b),
        Unary::Convert(_) => match (from, to) {
            (Kind::F32, Kind::F64) => dynasm!(ops ; .arch x64 ; vcvtps2pd Ry(d), Rx(a)),
            (Kind::F64, Kind::F32) => dynasm!(ops ; .arch x64 ; vcvtpd2ps Rx(d), Ry(a)),
            (Kind::F32, Kind::I32) => two!(ops, long, vcvttps2dq d, b),
            (Kind::F64, Kind::I32) => dynasm!(ops ; .arch x64 ; vcvttpd2dq Rx(d), Ry(a)),
            (Kind::I32, Kind::F32) => two!(ops, long, vcvtdq2ps d, b),
            (Kind::I32, Kind::F64) => dynasm!(ops ; .arch x64 ; vcvtdq2pd Ry(d), Rx(a)),
            (Kind::I32 | Kind::M32, Kind::I64 | Kind::M64) => dynasm!(ops ; .arch x64 ; vpmovsxdq Ry(d), Rx(a)),
            (Kind::I64 | Kind::M64, Kind::I32 | Kind::M32) => {
                dynasm!(ops ; .arch x64 ; vextracti128 Rx(SCRATCH), Ry(a), 1);
                // `vshufps`: the even ones of both.
                instruction(ops, Vex { map: 1, prefix: 0, wide: false, long: false }, 0xc6, d, a, Place::Register(SCRATCH));
                ops.push(0x88);
            }
            // AVX2 has no such instruction for vectors: one lane after another, through memory.
            _ => {
                move_to_frame(ops, long, exchange, a);
                for lane in 0..4 {
                    let (narrow, broad) = (exchange + 4 * lane, exchange + 8 * lane);
                    let (to_narrow, to_broad) = (exchange + 32 + 4 * lane, exchange + 32 + 8 * lane);
                    match (from, to) {
                        (Kind::F32, _) => dynasm!(ops ; .arch x64 ; vcvttss2si rax, DWORD [rbp + narrow] ; mov [rbp + to_broad], rax),
                        (Kind::F64, _) => dynasm!(ops ; .arch x64 ; vcvttsd2si rax, QWORD [rbp + broad] ; mov [rbp + to_broad], rax),
                        (_, Kind::F32) => dynasm!(ops ; .arch x64
                            ; vxorps xmm15, xmm15, xmm15 ; vcvtsi2ss xmm15, xmm15, QWORD [rbp + broad] ; vmovss DWORD [rbp + to_narrow], xmm15),
                        _ => dynasm!(ops ; .arch x64
                            ; vxorps xmm15, xmm15, xmm15 ; vcvtsi2sd xmm15, xmm15, QWORD [rbp + broad] ; vmovsd QWORD [rbp + to_broad], xmm15),
                    }
                }
                move_to(ops, to.is_wide(), d, Place::Frame(exchange + 32));
            }
        },
    }
}

/// `d = op(a, b)`. The destination may be an operand.
pub fn binary(ops: &mut Assembler, constants: &mut dyn Constants, lanes: usize, op: Binary, kind: Kind, d: u8, a: u8, b: Place) {
    let wide = kind.is_wide();
    let long = wide || lanes == 8;
    match (op, kind) {
        (Binary::Add, Kind::F32) => three!(ops, long, vaddps d, a, b),
        (Binary::Add, Kind::F64) => three!(ops, long, vaddpd d, a, b),
        (Binary::Add, Kind::I64 | Kind::M64) => three!(ops, long, vpaddq d, a, b),
        (Binary::Add, _) => three!(ops, long, vpaddd d, a, b),
        (Binary::Sub, Kind::F32) => three!(ops, long, vsubps d, a, b),
        (Binary::Sub, Kind::F64) => three!(ops, long, vsubpd d, a, b),
        (Binary::Sub, Kind::I64 | Kind::M64) => three!(ops, long, vpsubq d, a, b),
        (Binary::Sub, _) => three!(ops, long, vpsubd d, a, b),
        (Binary::Mul, Kind::F32) => three!(ops, long, vmulps d, a, b),
        (Binary::Mul, Kind::F64) => three!(ops, long, vmulpd d, a, b),
        (Binary::Mul, Kind::I64 | Kind::M64) => {
            // (high, low) * (high, low) modulo 2^64: low * low + ((low * high + high * low) << 32).
            let half = constants.constant(kind, 32);
            move_to(ops, true, SCRATCH, b);
            three!(ops, true, vpsrlvq SCRATCH_2, a, half);
            dynasm!(ops ; .arch x64
                ; vpmuludq Ry(SCRATCH_2), Ry(SCRATCH_2), Ry(SCRATCH)
                ; vmovaps [rbp + SPARE], Ry(SCRATCH_2));
            three!(ops, true, vpsrlvq SCRATCH_2, SCRATCH, half);
            dynasm!(ops ; .arch x64
                ; vpmuludq Ry(SCRATCH_2), Ry(SCRATCH_2), Ry(a)
                ; vpaddq Ry(SCRATCH_2), Ry(SCRATCH_2), [rbp + SPARE]
                ; vpsllq Ry(SCRATCH_2), Ry(SCRATCH_2), 32
                ; vpmuludq Ry(d), Ry(a), Ry(SCRATCH)
                ; vpaddq Ry(d), Ry(d), Ry(SCRATCH_2));
        }
        (Binary::Mul, _) => three!(ops, long, vpmulld d, a, b),
        (Binary::Div, Kind::F64) => three!(ops, long, vdivpd d, a, b),
        (Binary::Div, _) => three!(ops, long, vdivps d, a, b),
        (Binary::Min, Kind::F32) => three!(ops, long, vminps d, a, b),
        (Binary::Min, Kind::F64) => three!(ops, long, vminpd d, a, b),
        (Binary::Max, Kind::F32) => three!(ops, long, vmaxps d, a, b),
        (Binary::Max, Kind::F64) => three!(ops, long, vmaxpd d, a, b),
        (Binary::Min | Binary::Max, Kind::I64 | Kind::M64) => {
            move_to(ops, true, SCRATCH, b);
            dynasm!(ops ; .arch x64 ; vpcmpgtq Ry(SCRATCH_2), Ry(a), Ry(SCRATCH));
            if op == Binary::Max {
                dynasm!(ops ; .arch x64 ; vblendvpd Ry(d), Ry(SCRATCH), Ry(a), Ry(SCRATCH_2));
            } else {
                dynasm!(ops ; .arch x64 ; vblendvpd Ry(d), Ry(a), Ry(SCRATCH), Ry(SCRATCH_2));
            }
        }
        (Binary::Min, _) => three!(ops, long, vpminsd d, a, b),
        (Binary::Max, _) => three!(ops, long, vpmaxsd d, a, b),
        (Binary::And, Kind::I32 | Kind::I64) => three!(ops, long, vpand d, a, b),
        (Binary::Or, Kind::I32 | Kind::I64) => three!(ops, long, vpor d, a, b),
        (Binary::Xor, Kind::I32 | Kind::I64) => three!(ops, long, vpxor d, a, b),
        (Binary::AndNot, Kind::I32 | Kind::I64) => three!(ops, long, vpandn d, a, b),
        (Binary::And, _) => three!(ops, long, vandps d, a, b),
        (Binary::Or, _) => three!(ops, long, vorps d, a, b),
        (Binary::Xor, _) => three!(ops, long, vxorps d, a, b),
        (Binary::AndNot, _) => three!(ops, long, vandnps d, a, b),
        (Binary::ShiftLeft, _) => if wide { three!(ops, long, vpsllvq d, a, b) } else { three!(ops, long, vpsllvd d, a, b) },
        (Binary::ShiftRight, _) => if wide { three!(ops, long, vpsrlvq d, a, b) } else { three!(ops, long, vpsrlvd d, a, b) },
        (Binary::ShiftRightSigned, _) if wide => {
            // The negative ones turned around, so that zeros come in, and back.
            let zero = constants.constant(kind, 0);
            move_to(ops, true, SCRATCH_2, b);
            move_to(ops, true, SCRATCH, zero);
            dynasm!(ops ; .arch x64
                ; vpcmpgtq Ry(SCRATCH), Ry(SCRATCH), Ry(a)
                ; vpxor Ry(d), Ry(a), Ry(SCRATCH)
                ; vpsrlvq Ry(d), Ry(d), Ry(SCRATCH_2)
                ; vpxor Ry(d), Ry(d), Ry(SCRATCH));
        }
        (Binary::ShiftRightSigned, _) => three!(ops, long, vpsravd d, a, b),
    }
}

/// Where an encoding keeps one vector for a moment.
pub const SPARE: i32 = 0;

/// A shift by one count for all lanes, if there is such an instruction.
pub fn shift(ops: &mut Assembler, lanes: usize, op: Binary, kind: Kind, d: u8, a: u8, count: u64) -> bool {
    let wide = kind.is_wide();
    let long = wide || lanes == 8;
    let count = count.min(if wide { 64 } else { 32 }) as i8;
    match op {
        Binary::ShiftLeft => if wide { shift!(ops, long, vpsllq d, a, count) } else { shift!(ops, long, vpslld d, a, count) },
        Binary::ShiftRight if !wide => shift!(ops, long, vpsrld d, a, count),
        Binary::ShiftRightSigned if !wide => shift!(ops, long, vpsrad d, a, count),
        _ => return false,
    }
    true
}

/// Which of a fused instruction's operands its destination holds before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A factor: `y` is the other, `z` the summand.
    Factor,
    /// The summand: `y` and `z` are the factors.
    Summand,
}

/// A product and a sum, over what `d` holds.
pub fn fused(ops: &mut Assembler, lanes: usize, op: Fused, kind: Kind, over: Over, d: u8, y: u8, z: Place) {
    let wide = kind.is_wide();
    let long = wide || lanes == 8;
    let form = if over == Over::Factor { 0xa0 } else { 0xb0 };
    let operation = form | match op { Fused::MulAdd => 0x8, Fused::MulSub => 0xa, Fused::NegMulAdd => 0xc };
    instruction(ops, Vex { map: 2, prefix: 1, wide, long }, operation, d, y, z);
}

/// What a VEX prefix says beside the registers.
struct Vex {
    map: u8,
    prefix: u8,
    wide: bool,
    long: bool,
}

/// `operation d, y, z`, for the few instructions that the assembler's tables have wrong (fused products of doubles,
/// comparisons, shuffles): a VEX prefix of three bytes, the operation, and the last operand in a register or 32 bits away
/// from one.
fn instruction(ops: &mut Assembler, vex: Vex, operation: u8, d: u8, y: u8, z: Place) {
    let (mode, base, away) = match z {
        Place::Register(z) => (0xc0, z, None),
        Place::Frame(at) => (0x80, 5, Some(at)),
        Place::Pool(at) => (0x80, 14, Some(at)),
    };
    let high = |register: u8| u8::from(register < 8);
    ops.push(0xc4);
    ops.push(high(d) << 7 | 1 << 6 | high(base) << 5 | vex.map);
    ops.push(u8::from(vex.wide) << 7 | (!y & 15) << 3 | u8::from(vex.long) << 2 | vex.prefix);
    ops.push(operation);
    ops.push(mode | (d & 7) << 3 | base & 7);
    if let Some(at) = away { ops.push_i32(at); }
}

/// A comparison of floats by its code.
fn compare_floats(ops: &mut Assembler, wide: bool, long: bool, code: u8, d: u8, a: u8, b: Place) {
    instruction(ops, Vex { map: 1, prefix: u8::from(wide), wide: false, long }, 0xc2, d, a, b);
    ops.push(code);
}

/// `d = a op b`. The processor compares integers only by `Eq` and `Gt`; the others are turned around.
pub fn compare(ops: &mut Assembler, constants: &mut dyn Constants, lanes: usize, op: Comparison, kind: Kind, d: u8, a: u8, b: Place) {
    let wide = kind.is_wide();
    let long = wide || lanes == 8;
    if kind.is_float() {
        // Ordered and quiet, `Ne` unordered.
        let code = match op {
            Comparison::Eq => 0x00,
            Comparison::Ne => 0x04,
            Comparison::Lt => 0x11,
            Comparison::Le => 0x12,
            Comparison::Gt => 0x1e,
            Comparison::Ge => 0x1d,
        };
        return compare_floats(ops, wide, long, code, d, a, b);
    }
    match op {
        Comparison::Eq | Comparison::Ne => if wide { three!(ops, long, vpcmpeqq d, a, b) } else { three!(ops, long, vpcmpeqd d, a, b) },
        Comparison::Gt | Comparison::Le => if wide { three!(ops, long, vpcmpgtq d, a, b) } else { three!(ops, long, vpcmpgtd d, a, b) },
        Comparison::Lt | Comparison::Ge => {
            move_to(ops, long, SCRATCH, b);
            let a = Place::Register(a);
            if wide { three!(ops, long, vpcmpgtq d, SCRATCH, a) } else { three!(ops, long, vpcmpgtd d, SCRATCH, a) }
        }
    }
    if matches!(op, Comparison::Ne | Comparison::Le | Comparison::Ge) {
        let all = constants.constant(kind, if wide { u64::MAX } else { u64::from(u32::MAX) });
        three!(ops, long, vpxor d, d, all);
    }
}

/// `d = mask ? a : b`
pub fn select(ops: &mut Assembler, lanes: usize, kind: Kind, d: u8, mask: u8, a: Place, b: u8) {
    let long = kind.is_wide() || lanes == 8;
    match (long, a) {
        (true, Place::Register(a)) => dynasm!(ops ; .arch x64 ; vblendvps Ry(d), Ry(b), Ry(a), Ry(mask)),
        (true, Place::Frame(at)) => dynasm!(ops ; .arch x64 ; vblendvps Ry(d), Ry(b), [rbp + at], Ry(mask)),
        (true, Place::Pool(at)) => dynasm!(ops ; .arch x64 ; vblendvps Ry(d), Ry(b), [r14 + at], Ry(mask)),
        (false, Place::Register(a)) => dynasm!(ops ; .arch x64 ; vblendvps Rx(d), Rx(b), Rx(a), Rx(mask)),
        (false, Place::Frame(at)) => dynasm!(ops ; .arch x64 ; vblendvps Rx(d), Rx(b), [rbp + at], Rx(mask)),
        (false, Place::Pool(at)) => dynasm!(ops ; .arch x64 ; vblendvps Rx(d), Rx(b), [r14 + at], Rx(mask)),
    }
}

/// `d = reduction(d, a)`
pub fn reduce(ops: &mut Assembler, constants: &mut dyn Constants, lanes: usize, reduction: Reduction, kind: Kind, d: u8, a: u8) {
    let long = kind.is_wide() || lanes == 8;
    let b = Place::Register(a);
    let op = match (reduction, kind.is_mask()) {
        (Reduction::Sum, _) => Binary::Add,
        (Reduction::Product, _) => Binary::Mul,
        (Reduction::Max, false) => Binary::Max,
        (Reduction::Min, false) => Binary::Min,
        (Reduction::Max, true) => Binary::Or,
        (Reduction::Min, true) => Binary::And,
    };
    if !kind.is_float() || matches!(op, Binary::Add | Binary::Mul) {
        return binary(ops, constants, lanes, op, kind, d, d, b);
    }
    // All bits, which is a NaN, where either is one.
    compare_floats(ops, kind.is_wide(), long, 3, SCRATCH, d, b);
    binary(ops, constants, lanes, op, kind, d, d, b);
    binary(ops, constants, lanes, Binary::Or, kind, d, d, Place::Register(SCRATCH));
}

/// Jumps if no lane of a mask is true.
pub fn jump_if_none(ops: &mut Assembler, long: bool, mask: u8, label: DynamicLabel) {
    if long {
        dynasm!(ops ; .arch x64 ; vtestps Ry(mask), Ry(mask) ; jz =>label);
    } else {
        dynasm!(ops ; .arch x64 ; vtestps Rx(mask), Rx(mask) ; jz =>label);
    }
}
