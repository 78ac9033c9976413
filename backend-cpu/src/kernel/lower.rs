//! Elementwise ops as kernel code. A [`Register`] knows the dtype that its lanes stand for: `f16` and `bf16` are
//! rounded after every op, integers wrapped to their width.

use arignote_core::ops::promote_operands;
use arignote_core::special;
use arignote_core::tensor::{DType, Element, Type, bf16, f16};

use super::emit::Emit;
use super::ir::{self, Binary as B, Function, Kernel, Kind, Reduction, Unary as U, Value};
use crate::kernels::elementwise::Operation;
use crate::kernels::number::{Binary, Comparison, Unary};
use crate::maths;

/// A value with its dtype.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    value: Value,
    dtype: DType,
}

/// Builds a kernel from ops.
#[derive(Default)]
pub struct Lowering {
    builder: ir::Builder,
}

fn compute_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        // Arithmetic of truth values is that of 0 and 1; what is not 0 is true.
        DType::Bool => DType::U8,
        dtype => dtype,
    }
}

fn is_unsigned(dtype: DType) -> bool {
    matches!(dtype, DType::U8 | DType::U16 | DType::U32 | DType::U64)
}

/// Powers with such whole exponents are products.
const PRODUCTS: i32 = 16;

impl Lowering {
    /// Says what the next instructions come from: see [`Kernel::origins`].
    pub fn begin(&mut self, origin: u32) {
        self.builder.origin = origin;
    }

    /// One more input.
    pub fn input(&mut self, dtype: DType) -> Register {
        Register { value: self.builder.input(dtype), dtype }
    }

    /// One element that is known, for all.
    pub fn constant(&mut self, dtype: DType, bytes: &[u8]) -> Register {
        let bits = bytes.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        let kind = Kind::of(dtype);
        let bits = match dtype {
            DType::Bool => if bits != 0 { u64::MAX } else { 0 },
            DType::I8 => bits as i8 as u64,
            DType::I16 => bits as i16 as u64,
            DType::F16 => f16::from_bits(bits as u16).to_f32().to_bits().into(),
            DType::BF16 => bf16::from_bits(bits as u16).to_f32().to_bits().into(),
            _ => bits,
        };
        Register { value: self.builder.bits(kind, bits), dtype }
    }

    /// The kernel that gives these results.
    pub fn finish(self, outputs: &[Register]) -> Kernel {
        let outputs: Vec<(Value, DType)> = outputs.iter().map(|register| (register.value, register.dtype)).collect();
        self.builder.finish(&outputs, &[])
    }

    /// The kernel that reduces values over all elements.
    pub fn finish_reduced(self, values: &[(Register, Reduction)]) -> Kernel {
        let reductions: Vec<(Value, Reduction)> = values.iter().map(|&(register, reduction)| (register.value, reduction)).collect();
        self.builder.finish(&[], &reductions)
    }

    /// What was reduced before with one more value, both of one dtype.
    pub fn combined(&mut self, reduction: Reduction, before: Register, value: Register) -> Register {
        let (dtype, x, y) = (value.dtype, before.value, value.value);
        let result = match (reduction, dtype) {
            (Reduction::Max, DType::Bool) => self.builder.binary(B::Or, x, y),
            (_, DType::Bool) => self.builder.binary(B::And, x, y),
            (Reduction::Sum, _) => self.binary(Binary::Add, dtype, x, y),
            (Reduction::Product, _) => self.binary(Binary::Mul, dtype, x, y),
            (Reduction::Max, _) => self.binary(Binary::Maximum, dtype, x, y),
            (Reduction::Min, _) => self.binary(Binary::Minimum, dtype, x, y),
        };
        Register { value: result, dtype }
    }

    /// How many instructions one op is, in a kernel of its own.
    pub fn instructions(operation: Operation, types: &[Type], result: DType) -> usize {
        let mut lowering = Lowering::default();
        let operands: Vec<Register> = types.iter().map(|ty| lowering.input(ty.dtype)).collect();
        match lowering.apply(operation, &operands, types, result) {
            Some(register) => lowering.finish(&[register]).instructions.len(),
            None => 1,
        }
    }

    /// One op applied to registers. `types` are the operands' types, `result` the result's dtype; `None` if there are
    /// not as many operands as the op takes.
    pub fn apply(&mut self, operation: Operation, operands: &[Register], types: &[Type], result: DType) -> Option<Register> {
        let arity = match operation {
            Operation::Binary(_) | Operation::Compare(_) | Operation::Logical(_) => 2,
            Operation::Where | Operation::Clip | Operation::Betainc | Operation::GammaincDa => 3,
            _ => 1,
        };
        if operands.len() != arity {
            return None;
        }
        let wide = compute_dtype(result);
        let mask = |value: Value| Register { value, dtype: DType::Bool };
        let register = match operation {
            Operation::Unary(Unary::BitwiseNot) | Operation::LogicalNot if result == DType::Bool => {
                let x = self.cast(operands[0], DType::Bool).value;
                mask(self.builder.unary(U::Not, x))
            }
            Operation::Unary(operation) => {
                let x = self.cast(operands[0], wide).value;
                Register { value: self.unary(operation, wide, x), dtype: wide }
            }
            Operation::Binary(operation @ (Binary::BitwiseAnd | Binary::BitwiseOr | Binary::BitwiseXor)) if result == DType::Bool => {
                mask(self.logical(operation, operands))
            }
            Operation::Logical(operation) => mask(self.logical(operation, operands)),
            Operation::Binary(operation) => {
                let (x, y) = (self.cast(operands[0], wide).value, self.cast(operands[1], wide).value);
                Register { value: self.binary(operation, wide, x, y), dtype: wide }
            }
            Operation::Compare(comparison) => {
                let common = compute_dtype(promote_operands(types).0);
                let (x, y) = (self.cast(operands[0], common).value, self.cast(operands[1], common).value);
                let found = self.compare(comparison, common, x, y);
                mask(self.narrow_mask(found))
            }
            Operation::LogicalNot => {
                let x = self.cast(operands[0], DType::Bool).value;
                mask(self.builder.unary(U::Not, x))
            }
            Operation::IsNan | Operation::IsInf | Operation::IsFinite => {
                let dtype = compute_dtype(operands[0].dtype);
                let x = self.cast(operands[0], dtype).value;
                let found = self.test(operation, x);
                mask(self.narrow_mask(found))
            }
            Operation::Where => {
                let condition = self.cast(operands[0], DType::Bool).value;
                let (x, y) = (self.cast(operands[1], result).value, self.cast(operands[2], result).value);
                Register { value: self.builder.select(condition, x, y), dtype: result }
            }
            Operation::Clip => {
                let [x, low, high] = [0, 1, 2].map(|number| self.cast(operands[number], wide).value);
                let raised = self.binary(Binary::Maximum, wide, x, low);
                Register { value: self.binary(Binary::Minimum, wide, raised, high), dtype: wide }
            }
            Operation::Betainc | Operation::GammaincDa => {
                let function = if operation == Operation::Betainc { special::betainc } else { special::gammainc_da };
                let x = [0, 1, 2].map(|number| self.cast(operands[number], DType::F64).value);
                let value = self.builder.call(Function::F64x3(function), &x, Kind::F64);
                self.cast(Register { value, dtype: DType::F64 }, wide)
            }
            Operation::Cast => operands[0],
        };
        Some(self.cast(register, result))
    }

    fn logical(&mut self, operation: Binary, operands: &[Register]) -> Value {
        let (x, y) = (self.cast(operands[0], DType::Bool).value, self.cast(operands[1], DType::Bool).value);
        let op = match operation {
            Binary::BitwiseAnd => B::And,
            Binary::BitwiseOr => B::Or,
            _ => B::Xor,
        };
        self.builder.binary(op, x, y)
    }

    fn narrow_mask(&mut self, mask: Value) -> Value {
        self.builder.unary(U::Convert(Kind::M32), mask)
    }

    /// A value converted as NumPy's `astype` does, but that floats beyond an integer's range saturate.
    pub fn cast(&mut self, register: Register, to: DType) -> Register {
        let Register { value: x, dtype: from } = register;
        if from == to {
            return register;
        }
        let (kind, b) = (Kind::of(to), &mut self.builder);
        let value = match (from, to) {
            (_, DType::Bool) => {
                let zero = b.number(x.kind, 0.0);
                let found = b.compare(ir::Comparison::Ne, x, zero);
                b.unary(U::Convert(Kind::M32), found)
            }
            (DType::Bool, _) => {
                let (one, zero) = (b.number(kind, 1.0), b.number(kind, 0.0));
                b.select(x, one, zero)
            }
            (DType::F64, DType::F16) => b.call(Function::Word(half_of_double), &[x], Kind::F32),
            (DType::F64, DType::BF16) => b.call(Function::Word(bfloat_of_double), &[x], Kind::F32),
            _ if from.is_float() && to.is_float() => {
                let converted = b.unary(U::Convert(kind), x);
                b.wrap(to, converted)
            }
            (DType::U64, _) if to.is_float() => {
                let double = b.call(Function::Word(double_of_word), &[x], Kind::F64);
                return self.cast(Register { value: double, dtype: DType::F64 }, to);
            }
            (DType::U32, _) if to.is_float() => {
                let least = b.int(Kind::I32, 1 << 31);
                let signed = b.binary(B::Xor, x, least);
                let double = b.unary(U::Convert(Kind::F64), signed);
                let half = b.number(Kind::F64, 2147483648.0);
                let double = b.binary(B::Add, double, half);
                return self.cast(Register { value: double, dtype: DType::F64 }, to);
            }
            (DType::I32 | DType::I64, DType::F16 | DType::BF16) => {
                let double = b.unary(U::Convert(Kind::F64), x);
                return self.cast(Register { value: double, dtype: DType::F64 }, to);
            }
            _ if to.is_float() => {
                let converted = b.unary(U::Convert(kind), x);
                b.wrap(to, converted)
            }
            _ if from.is_float() => self.saturated(x, to),
            _ => {
                let converted = b.unary(U::Convert(kind), x);
                let converted = match (from, kind) {
                    (DType::U32, Kind::I64) => {
                        let low = b.int(kind, 0xffff_ffff);
                        b.binary(B::And, converted, low)
                    }
                    _ => converted,
                };
                b.wrap(to, converted)
            }
        };
        Register { value, dtype: to }
    }

    /// A float as an integer: cut, kept in range, 0 if it is NaN.
    fn saturated(&mut self, x: Value, to: DType) -> Value {
        let b = &mut self.builder;
        if to == DType::U64 {
            let double = b.unary(U::Convert(Kind::F64), x);
            return b.call(Function::Word(word_of_double), &[double], Kind::I64);
        }
        let kind = Kind::of(to);
        let is_number = b.compare(ir::Comparison::Eq, x, x);
        let converted = match to {
            DType::I64 => {
                let beyond = b.number(x.kind, 9223372036854775808.0);
                let large = b.compare(ir::Comparison::Ge, x, beyond);
                let (most, converted) = (b.int(kind, i64::MAX), b.unary(U::Convert(kind), x));
                b.select(large, most, converted)
            }
            DType::I32 if x.kind == Kind::F32 => {
                let beyond = b.number(x.kind, 2147483648.0);
                let large = b.compare(ir::Comparison::Ge, x, beyond);
                let (most, converted) = (b.int(kind, i32::MAX.into()), b.unary(U::Convert(kind), x));
                b.select(large, most, converted)
            }
            DType::U32 => {
                // Cut first, then moved to where signed integers of 32 bits are.
                let double = b.unary(U::Convert(Kind::F64), x);
                let cut = b.unary(U::Trunc, double);
                let half = b.number(Kind::F64, 2147483648.0);
                let moved = b.binary(B::Sub, cut, half);
                let (least, most) = (b.number(Kind::F64, -2147483648.0), b.number(Kind::F64, 2147483647.0));
                let moved = b.binary(B::Max, moved, least);
                let moved = b.binary(B::Min, moved, most);
                let converted = b.unary(U::Convert(Kind::I32), moved);
                let sign = b.int(Kind::I32, 1 << 31);
                b.binary(B::Xor, converted, sign)
            }
            _ => {
                let (least, most) = match to {
                    DType::I8 => (-128.0, 127.0),
                    DType::I16 => (-32768.0, 32767.0),
                    DType::U8 => (0.0, 255.0),
                    DType::U16 => (0.0, 65535.0),
                    _ => (-2147483648.0, 2147483647.0),
                };
                let (least, most) = (b.number(x.kind, least), b.number(x.kind, most));
                let raised = b.binary(B::Max, x, least);
                let kept = b.binary(B::Min, raised, most);
                b.unary(U::Convert(kind), kept)
            }
        };
        let zero = b.int(kind, 0);
        b.select(is_number, converted, zero)
    }

    fn test(&mut self, operation: Operation, x: Value) -> Value {
        let b = &mut self.builder;
        if !x.kind.is_float() {
            return b.number(Kind::M32, if operation == Operation::IsFinite { 1.0 } else { 0.0 });
        }
        if operation == Operation::IsNan {
            return b.compare(ir::Comparison::Ne, x, x);
        }
        let (size, infinity) = (b.unary(U::Abs, x), b.number(x.kind, f64::INFINITY));
        b.compare(if operation == Operation::IsInf { ir::Comparison::Eq } else { ir::Comparison::Lt }, size, infinity)
    }

    fn compare(&mut self, comparison: Comparison, dtype: DType, x: Value, y: Value) -> Value {
        let op = match comparison {
            Comparison::Eq => ir::Comparison::Eq,
            Comparison::Ne => ir::Comparison::Ne,
            Comparison::Lt => ir::Comparison::Lt,
            Comparison::Le => ir::Comparison::Le,
            Comparison::Gt => ir::Comparison::Gt,
            Comparison::Ge => ir::Comparison::Ge,
        };
        let (x, y) = (self.signed_order(dtype, x), self.signed_order(dtype, y));
        self.builder.compare(op, x, y)
    }

    /// Integers without sign so moved that comparing them with sign orders them.
    fn signed_order(&mut self, dtype: DType, x: Value) -> Value {
        match dtype {
            DType::U32 | DType::U64 => {
                let least = self.builder.int(x.kind, if dtype == DType::U64 { i64::MIN } else { 1 << 31 });
                self.builder.binary(B::Xor, x, least)
            }
            _ => x,
        }
    }

    fn unary(&mut self, operation: Unary, dtype: DType, x: Value) -> Value {
        let (kind, is_float) = (x.kind, x.kind.is_float());
        let b = &mut self.builder;
        let zero = b.number(kind, 0.0);
        match operation {
            Unary::Neg if is_float => b.unary(U::Neg, x),
            Unary::Neg => { let value = b.binary(B::Sub, zero, x); b.wrap(dtype, value) }
            Unary::Abs if is_float => b.unary(U::Abs, x),
            Unary::Abs if is_unsigned(dtype) => x,
            Unary::Abs => {
                let negative = b.binary(B::Sub, zero, x);
                let value = b.binary(B::Max, x, negative);
                b.wrap(dtype, value)
            }
            Unary::Sign => {
                let (one, minus) = (b.number(kind, 1.0), b.number(kind, -1.0));
                if is_unsigned(dtype) {
                    let some = b.compare(ir::Comparison::Ne, x, zero);
                    return b.select(some, one, zero);
                }
                let (more, less, none) = (
                    b.compare(ir::Comparison::Gt, x, zero), b.compare(ir::Comparison::Lt, x, zero), b.compare(ir::Comparison::Eq, x, zero),
                );
                let value = b.select(none, zero, x);
                let value = b.select(less, minus, value);
                b.select(more, one, value)
            }
            Unary::Square => { let value = b.binary(B::Mul, x, x); b.wrap(dtype, value) }
            Unary::Relu if is_unsigned(dtype) => x,
            // The second where it is NaN or both are zeros.
            Unary::Relu if is_float => b.binary(B::Max, zero, x),
            Unary::Relu => { let less = b.compare(ir::Comparison::Lt, x, zero); b.select(less, zero, x) }
            Unary::Floor | Unary::Ceil | Unary::Rint | Unary::Trunc if !is_float => x,
            Unary::Floor => b.unary(U::Floor, x),
            Unary::Ceil => b.unary(U::Ceil, x),
            Unary::Rint => b.unary(U::Round, x),
            Unary::Trunc => b.unary(U::Trunc, x),
            Unary::BitwiseNot if !is_float => { let value = b.unary(U::Not, x); b.wrap(dtype, value) }
            Unary::Sqrt if is_float => b.unary(U::Sqrt, x),
            Unary::Reciprocal if is_float => { let one = b.number(kind, 1.0); b.binary(B::Div, one, x) }
            _ if is_float => {
                if let Some(value) = maths::unary(&Emit::new(b, kind), operation, x) {
                    return value;
                }
                let double = b.unary(U::Convert(Kind::F64), x);
                let value = b.call(Function::F64x1(operation.float()), &[double], Kind::F64);
                b.unary(U::Convert(kind), value)
            }
            _ => self.called(Function::I64x1(operation.signed()), Function::U64x1(operation.unsigned()), dtype, &[x]),
        }
    }

    /// A function of integers, which are computed in 64 bits and wrapped.
    fn called(&mut self, signed: Function, unsigned: Function, dtype: DType, operands: &[Value]) -> Value {
        let wide = if is_unsigned(dtype) { DType::U64 } else { DType::I64 };
        let operands: Vec<Value> = operands.iter().map(|&value| self.cast(Register { value, dtype }, wide).value).collect();
        let value = self.builder.call(if is_unsigned(dtype) { unsigned } else { signed }, &operands, Kind::I64);
        self.cast(Register { value, dtype: wide }, dtype).value
    }

    fn binary(&mut self, operation: Binary, dtype: DType, x: Value, y: Value) -> Value {
        let (kind, is_float) = (x.kind, x.kind.is_float());
        let op = match operation {
            Binary::Add => Some(B::Add),
            Binary::Sub => Some(B::Sub),
            Binary::Mul => Some(B::Mul),
            Binary::Div if is_float => Some(B::Div),
            Binary::BitwiseAnd if !is_float => Some(B::And),
            Binary::BitwiseOr if !is_float => Some(B::Or),
            Binary::BitwiseXor if !is_float => Some(B::Xor),
            Binary::ShiftLeft if !is_float => Some(B::ShiftLeft),
            Binary::ShiftRight if !is_float => Some(if is_unsigned(dtype) { B::ShiftRight } else { B::ShiftRightSigned }),
            _ => None,
        };
        if let Some(op) = op {
            let value = self.builder.binary(op, x, y);
            return self.builder.wrap(if is_float { DType::F32 } else { dtype }, value);
        }
        match operation {
            Binary::Maximum | Binary::Minimum => {
                let op = if operation == Binary::Maximum { B::Max } else { B::Min };
                if is_float {
                    let b = &mut self.builder;
                    let constant = b.known_bits(y).map(|bits| if kind.is_wide() { f64::from_bits(bits) } else { f32::from_bits(bits as u32).into() });
                    if constant.is_some_and(|y| y != 0.0 && !y.is_nan()) {
                        // The second, where it is NaN.
                        return b.binary(op, y, x);
                    }
                    // The second where one is NaN, so that only a first that is NaN is lost. All bits are a NaN.
                    let value = b.binary(op, x, y);
                    let is_nan = b.compare(ir::Comparison::Ne, x, x);
                    let is_nan = b.unary(U::Bits(kind), is_nan);
                    return b.binary(B::Or, value, is_nan);
                }
                let (a, c) = (self.signed_order(dtype, x), self.signed_order(dtype, y));
                let value = self.builder.binary(op, a, c);
                self.signed_order(dtype, value)
            }
            Binary::Copysign if is_float => {
                let b = &mut self.builder;
                let sign = b.bits(kind, if kind.is_wide() { 1 << 63 } else { 1 << 31 });
                let (size, sign) = (b.binary(B::AndNot, sign, x), b.binary(B::And, y, sign));
                b.binary(B::Or, size, sign)
            }
            Binary::Pow if is_float && self.whole(y).is_some() => {
                let power = self.whole(y).unwrap_or(0);
                self.product(x, power)
            }
            _ if is_float => {
                let b = &mut self.builder;
                if let Some(value) = maths::binary(&Emit::new(b, kind), operation, x, y) {
                    return value;
                }
                let (x, y) = (b.unary(U::Convert(Kind::F64), x), b.unary(U::Convert(Kind::F64), y));
                let value = b.call(Function::F64x2(operation.float()), &[x, y], Kind::F64);
                b.unary(U::Convert(kind), value)
            }
            _ => self.called(Function::I64x2(operation.signed()), Function::U64x2(operation.unsigned()), dtype, &[x, y]),
        }
    }

    /// A constant exponent that is small, whole and positive.
    fn whole(&self, y: Value) -> Option<i32> {
        let bits = self.builder.known_bits(y)?;
        let y = if y.kind.is_wide() { f64::from_bits(bits) } else { f32::from_bits(bits as u32).into() };
        (1..=PRODUCTS).find(|&power| f64::from(power) == y)
    }

    /// A power as a product of squares. What each product rounds away is kept (a product less its rounded value is
    /// exact in a fused product and sum), so that the result is rounded about once.
    fn product(&mut self, x: Value, power: i32) -> Value {
        let b = &mut self.builder;
        let (mut square, mut others, mut rest) = ((x, None), None, power);
        loop {
            match others {
                Some(others) if rest == 1 => return last_product(b, square, others, power),
                None if rest == 2 => return last_product(b, square, square, power),
                None if rest == 1 => return x,
                _ => {}
            }
            if rest & 1 == 1 {
                others = Some(others.map_or(square, |others| kept_product(b, square, others)));
            }
            rest >>= 1;
            square = kept_product(b, square, square);
        }
    }
}

/// A number, and what rounding took from it.
type Kept = (Value, Option<Value>);

/// What two factors have lost, in their product.
fn lost(b: &mut ir::Builder, (x, low_x): Kept, (y, low_y): Kept, so_far: Option<Value>) -> Option<Value> {
    [(x, low_y), (y, low_x)].into_iter().fold(so_far, |sum, (factor, low)| match (low, sum) {
        (None, sum) => sum,
        (Some(low), None) => Some(b.binary(B::Mul, factor, low)),
        (Some(low), Some(sum)) => Some(b.fused(ir::Fused::MulAdd, factor, low, sum)),
    })
}

fn kept_product(b: &mut ir::Builder, x: Kept, y: Kept) -> Kept {
    let high = b.binary(B::Mul, x.0, y.0);
    let own = b.fused(ir::Fused::MulSub, x.0, y.0, high);
    (high, lost(b, x, y, Some(own)))
}

/// The product that is the power, rounded once.
fn last_product(b: &mut ir::Builder, x: Kept, y: Kept, power: i32) -> Value {
    let Some(lost) = lost(b, x, y, None) else { return b.binary(B::Mul, x.0, y.0) };
    // Of infinities it is NaN or infinite; what is finite takes nothing from them. An even power has none below 0.
    let most = if x.0.kind.is_wide() { f64::MAX } else { f32::MAX.into() };
    let (least, most) = (b.number(x.0.kind, -most), b.number(x.0.kind, most));
    let mut lost = b.binary(B::Max, lost, least);
    if power % 2 == 1 {
        lost = b.binary(B::Min, lost, most);
    }
    b.fused(ir::Fused::MulAdd, x.0, y.0, lost)
}

fn half_of_double(bits: u64) -> u64 {
    <f16 as Element>::from_f64(f64::from_bits(bits)).to_f32().to_bits().into()
}

fn bfloat_of_double(bits: u64) -> u64 {
    <bf16 as Element>::from_f64(f64::from_bits(bits)).to_f32().to_bits().into()
}

fn double_of_word(bits: u64) -> u64 {
    (bits as f64).to_bits()
}

fn word_of_double(bits: u64) -> u64 {
    f64::from_bits(bits) as u64
}
