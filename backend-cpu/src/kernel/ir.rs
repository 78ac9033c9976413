//! The language in which fused kernels are written before they are compiled: straight-line code in single static
//! assignment form over vectors of lanes. Every instruction works lane by lane, so that a kernel means the same
//! whatever the number of lanes that a target has; [`super::portable`] is what it means.
//!
//! [`Builder`] makes a [`Kernel`]. Equal instructions are one, and what is constant is computed at once.

use std::collections::HashMap;

use arignote_core::tensor::DType;

use super::portable;

/// What the lanes of a value hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// 32 bits; arithmetic wraps. Narrower integers are computed here and wrapped by [`Builder::wrap`].
    I32,
    /// 64 bits; arithmetic wraps.
    I64,
    /// A truth value as wide as an `F32`: all bits or none.
    M32,
    /// A truth value as wide as an `F64`: all bits or none.
    M64,
}

impl Kind {
    /// Whether a lane has 64 bits.
    pub fn is_wide(self) -> bool {
        matches!(self, Kind::F64 | Kind::I64 | Kind::M64)
    }

    /// Whether it is a floating-point number.
    pub fn is_float(self) -> bool {
        matches!(self, Kind::F32 | Kind::F64)
    }

    /// Whether it is a truth value.
    pub fn is_mask(self) -> bool {
        matches!(self, Kind::M32 | Kind::M64)
    }

    /// The truth value of this width.
    pub fn mask(self) -> Kind {
        if self.is_wide() { Kind::M64 } else { Kind::M32 }
    }

    /// The integer of this width.
    pub fn integer(self) -> Kind {
        if self.is_wide() { Kind::I64 } else { Kind::I32 }
    }

    /// The lanes in which elements of a dtype are computed.
    pub fn of(dtype: DType) -> Kind {
        match dtype {
            DType::Bool => Kind::M32,
            DType::F16 | DType::BF16 | DType::F32 => Kind::F32,
            DType::F64 => Kind::F64,
            DType::I64 | DType::U64 => Kind::I64,
            _ => Kind::I32,
        }
    }
}

/// A value of the kernel that one [`Builder`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// The number of its instruction.
    pub number: u32,
    /// What its lanes hold.
    pub kind: Kind,
}

/// Instructions with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// The number with the other sign (floats; NaNs too).
    Neg,
    /// The number without its sign (floats; NaNs too).
    Abs,
    /// The square root (floats).
    Sqrt,
    /// The nearest whole number, of two the even one (floats).
    Round,
    /// The next whole number below (floats).
    Floor,
    /// The next whole number above (floats).
    Ceil,
    /// The whole number toward zero (floats).
    Trunc,
    /// All bits the other way (integers, masks).
    Not,
    /// The nearest half-precision number (`F32`).
    RoundHalf,
    /// The same bits as another kind of the same width; the bits of a mask are all or none.
    Bits(Kind),
    /// Another kind of number. To fewer bits of float it rounds to nearest; from float to integer it truncates, and
    /// gives the least integer where the result does not fit, and for NaN; from `I64` to `I32` it wraps. Between masks
    /// it keeps the truth value.
    Convert(Kind),
}

/// Instructions with two operands of one kind, which is the result's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient (floats).
    Div,
    /// `a < b ? a : b`: the second where one is NaN or both are zeros. Of integers, with sign.
    Min,
    /// `a > b ? a : b`: the second where one is NaN or both are zeros. Of integers, with sign.
    Max,
    /// Bits that both have (of any kind).
    And,
    /// Bits that either has (of any kind).
    Or,
    /// Bits that one of both has (of any kind).
    Xor,
    /// Bits of the second that the first has not (of any kind).
    AndNot,
    /// Integers shifted left, each by its own count; 0 where the count, taken without sign, is the width or more.
    ShiftLeft,
    /// Integers shifted right, zeros coming in; 0 where the count, taken without sign, is the width or more.
    ShiftRight,
    /// Integers shifted right, the sign coming in; all sign where the count, taken without sign, is the width or more.
    ShiftRightSigned,
}

/// The forms of a product and a sum rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fused {
    /// `a * b + c`
    MulAdd,
    /// `a * b - c`
    MulSub,
    /// `c - a * b`
    NegMulAdd,
}

/// Comparisons. Where a float is NaN, all but `Ne` are false. Integers are compared with sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Comparison { Eq, Ne, Lt, Le, Gt, Ge }

/// A function that is called element by element.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Function {
    F64x1(fn(f64) -> f64),
    F64x2(fn(f64, f64) -> f64),
    F64x3(fn(f64, f64, f64) -> f64),
    F32x1(fn(f32) -> f32),
    F32x2(fn(f32, f32) -> f32),
    I64x1(fn(i64) -> i64),
    I64x2(fn(i64, i64) -> i64),
    U64x1(fn(u64) -> u64),
    U64x2(fn(u64, u64) -> u64),
    /// From bits to bits, of whatever kinds the operand and the result are.
    Word(fn(u64) -> u64),
}

impl Function {
    fn address(self) -> (u8, usize) {
        match self {
            Function::F64x1(f) => (0, f as usize),
            Function::F64x2(f) => (1, f as usize),
            Function::F64x3(f) => (2, f as usize),
            Function::F32x1(f) => (3, f as usize),
            Function::F32x2(f) => (4, f as usize),
            Function::I64x1(f) => (5, f as usize),
            Function::I64x2(f) => (6, f as usize),
            Function::Word(f) => (7, f as usize),
            Function::U64x1(f) => (8, f as usize),
            Function::U64x2(f) => (9, f as usize),
        }
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.address() == other.address()
    }
}
impl Eq for Function {}
impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

/// One instruction. Operands are numbers of earlier instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// The elements of an input.
    Input(u32),
    /// The same bits in every lane.
    Constant(u64),
    /// One operand.
    Unary(Unary, u32),
    /// Two operands of one kind.
    Binary(Binary, u32, u32),
    /// Three floats.
    Fused(Fused, u32, u32, u32),
    /// Two operands of one kind; gives a mask of their width.
    Compare(Comparison, u32, u32),
    /// A mask and two values of its width: the first where it is true.
    Select(u32, u32, u32),
    /// A call for each element; operands that are not there are `u32::MAX`.
    Call(Function, [u32; 3]),
    /// A mask, an argument and a value of its kind: the value, but where the mask is true, which is rare, what a
    /// function of the argument gives.
    Rare(Function, u32, u32, u32),
}

impl Instruction {
    /// The numbers of the operands.
    pub fn operands(&self) -> impl Iterator<Item = u32> + use<> {
        let (operands, count) = match *self {
            Instruction::Input(_) | Instruction::Constant(_) => ([0; 3], 0),
            Instruction::Unary(_, a) => ([a, 0, 0], 1),
            Instruction::Binary(_, a, b) | Instruction::Compare(_, a, b) => ([a, b, 0], 2),
            Instruction::Fused(_, a, b, c) | Instruction::Select(a, b, c) | Instruction::Rare(_, a, b, c) => ([a, b, c], 3),
            Instruction::Call(_, operands) => (operands, operands.iter().take_while(|&&operand| operand != u32::MAX).count()),
        };
        operands.into_iter().take(count)
    }

    fn map(self, number: impl Fn(u32) -> u32) -> Instruction {
        match self {
            Instruction::Input(_) | Instruction::Constant(_) => self,
            Instruction::Unary(op, a) => Instruction::Unary(op, number(a)),
            Instruction::Binary(op, a, b) => Instruction::Binary(op, number(a), number(b)),
            Instruction::Compare(op, a, b) => Instruction::Compare(op, number(a), number(b)),
            Instruction::Fused(op, a, b, c) => Instruction::Fused(op, number(a), number(b), number(c)),
            Instruction::Select(a, b, c) => Instruction::Select(number(a), number(b), number(c)),
            Instruction::Rare(f, a, b, c) => Instruction::Rare(f, number(a), number(b), number(c)),
            Instruction::Call(f, operands) => {
                Instruction::Call(f, operands.map(|operand| if operand == u32::MAX { operand } else { number(operand) }))
            }
        }
    }
}

/// How elements become one. Which are combined first follows from the kernel's [`super::form::Form`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The product.
    Product,
    /// The largest; NaN if one is. Of integers with sign, or masks: whether any is true.
    Max,
    /// The smallest; NaN if one is. Of integers with sign, or masks: whether all are true.
    Min,
}

impl Reduction {
    /// The bits of what changes nothing.
    pub fn identity(self, kind: Kind) -> u64 {
        let float = |value: f64| if kind == Kind::F64 { value.to_bits() } else { u64::from((value as f32).to_bits()) };
        match (self, kind) {
            (Reduction::Sum, _) => 0,
            (Reduction::Product, Kind::F32 | Kind::F64) => float(1.0),
            (Reduction::Product, _) => 1,
            (Reduction::Max, Kind::F32 | Kind::F64) => float(f64::NEG_INFINITY),
            (Reduction::Min, Kind::F32 | Kind::F64) => float(f64::INFINITY),
            (Reduction::Max, Kind::I32) => 1 << 31,
            (Reduction::Max, Kind::I64) => 1 << 63,
            (Reduction::Min, Kind::I32) => i32::MAX as u64,
            (Reduction::Min, Kind::I64) => i64::MAX as u64,
            (Reduction::Max, Kind::M32 | Kind::M64) => 0,
            (Reduction::Min, Kind::M32) => u64::from(u32::MAX),
            (Reduction::Min, Kind::M64) => u64::MAX,
        }
    }
}

/// A kernel: its instructions in an order in which each comes after its operands.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// The dtypes of the inputs as they are stored.
    pub inputs: Vec<DType>,
    /// The instructions with what they give.
    pub instructions: Vec<(Instruction, Kind)>,
    /// The numbers of the results, and their dtypes as they are stored.
    pub outputs: Vec<(u32, DType)>,
    /// The numbers of what is reduced over all elements of a call, as lanes of its kind.
    pub reductions: Vec<(u32, Reduction)>,
    /// Of each instruction what it came from: what [`Builder::origin`] was.
    pub origins: Vec<u32>,
}

/// What an instruction came from, for people; nothing for what is of no expression.
pub type Origin<'a> = &'a dyn Fn(u32) -> Option<String>;

impl Kernel {
    /// The kernel of twice as many inputs that reduces the first half of them, and the others, each as this one does.
    pub fn twice(&self) -> Kernel {
        let (inputs, count) = (self.inputs.len() as u32, self.instructions.len() as u32);
        let second = self.instructions.iter().map(|&(instruction, kind)| match instruction {
            Instruction::Input(input) => (Instruction::Input(input + inputs), kind),
            other => (other.map(|number| number + count), kind),
        });
        Kernel {
            inputs: self.inputs.iter().chain(&self.inputs).copied().collect(),
            instructions: self.instructions.iter().copied().chain(second).collect(),
            outputs: Vec::new(),
            reductions: self.reductions.iter().copied().chain(self.reductions.iter().map(|&(number, reduction)| (number + count, reduction))).collect(),
            origins: self.origins.iter().chain(&self.origins).copied().collect(),
        }
    }

    /// An instruction for people.
    pub fn line(&self, number: usize) -> String {
        use std::fmt::Write;
        let (instruction, kind) = &self.instructions[number];
        let mut text = format!("v{number} {kind:?} = ");
        let _ = match *instruction {
            Instruction::Input(input) => write!(text, "input {input} ({})", self.inputs[input as usize]),
            Instruction::Constant(bits) => match kind {
                Kind::F32 => write!(text, "{:?}", f32::from_bits(bits as u32)),
                Kind::F64 => write!(text, "{:?}", f64::from_bits(bits)),
                Kind::I32 => write!(text, "{}", bits as u32 as i32),
                Kind::I64 => write!(text, "{}", bits as i64),
                Kind::M32 | Kind::M64 => write!(text, "{}", bits != 0),
            },
            Instruction::Unary(op, _) => write!(text, "{op:?}"),
            Instruction::Binary(op, ..) => write!(text, "{op:?}"),
            Instruction::Fused(op, ..) => write!(text, "{op:?}"),
            Instruction::Compare(op, ..) => write!(text, "{op:?}"),
            Instruction::Select(..) => write!(text, "Select"),
            Instruction::Call(..) => write!(text, "Call"),
            Instruction::Rare(..) => write!(text, "Rare"),
        };
        for operand in instruction.operands() {
            let _ = write!(text, " v{operand}");
        }
        text
    }

    /// The instructions for people, one in a line, under what they came from.
    pub fn describe(&self, origin: Origin<'_>) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let mut before = 0;
        for (number, &own) in self.origins.iter().enumerate() {
            if own != before && let Some(name) = origin(own) { let _ = writeln!(text, "    # {name}"); }
            before = own;
            let _ = writeln!(text, "    {}", self.line(number));
        }
        for (output, (number, dtype)) in self.outputs.iter().enumerate() {
            let _ = writeln!(text, "    output {output} ({dtype}) = v{number}");
        }
        for (number, reduction) in &self.reductions {
            let _ = writeln!(text, "    {reduction:?} of v{number}");
        }
        text
    }
}

/// Builds a [`Kernel`]. Operands of one instruction must have the kinds that it asks for.
#[derive(Debug, Default)]
pub struct Builder {
    /// What the next instructions come from: a number that means something to the caller.
    pub origin: u32,
    inputs: Vec<DType>,
    instructions: Vec<(Instruction, Kind)>,
    origins: Vec<u32>,
    known: HashMap<(Instruction, Kind), u32>,
}

impl Builder {
    /// One more input of elements that are stored as `dtype`, as lanes of [`Kind::of`] it.
    pub fn input(&mut self, dtype: DType) -> Value {
        self.inputs.push(dtype);
        self.emit(Instruction::Input(self.inputs.len() as u32 - 1), Kind::of(dtype))
    }

    /// Adds an instruction, or finds the one that gives the same.
    fn emit(&mut self, instruction: Instruction, kind: Kind) -> Value {
        let (instructions, origins) = (&mut self.instructions, &mut self.origins);
        let number = *self.known.entry((instruction, kind)).or_insert_with(|| {
            instructions.push((instruction, kind));
            origins.push(self.origin);
            instructions.len() as u32 - 1
        });
        Value { number, kind }
    }

    /// As `emit`, but what is constant is computed.
    fn fold(&mut self, instruction: Instruction, kind: Kind) -> Value {
        let operands: Option<Vec<(u64, Kind)>> = instruction.operands().map(|number| self.constant_of(number)).collect();
        match operands {
            Some(operands) => {
                let bits = portable::evaluate(instruction, kind, &operands);
                self.emit(Instruction::Constant(bits), kind)
            }
            None => self.emit(instruction, kind),
        }
    }

    fn constant_of(&self, number: u32) -> Option<(u64, Kind)> {
        match self.instructions[number as usize] {
            (Instruction::Constant(bits), kind) => Some((bits, kind)),
            _ => None,
        }
    }

    /// The bits of a value that is constant.
    pub fn known_bits(&self, value: Value) -> Option<u64> {
        self.constant_of(value.number).map(|found| found.0)
    }

    /// A constant of given bits.
    pub fn bits(&mut self, kind: Kind, bits: u64) -> Value {
        let bits = if kind.is_wide() { bits } else { u64::from(bits as u32) };
        self.emit(Instruction::Constant(bits), kind)
    }

    /// A constant number: a float rounded to the kind's precision, an integer wrapped, a truth value that is not 0.
    pub fn number(&mut self, kind: Kind, value: f64) -> Value {
        let bits = match kind {
            Kind::F32 => u64::from((value as f32).to_bits()),
            Kind::F64 => value.to_bits(),
            Kind::I32 | Kind::I64 => value as i64 as u64,
            Kind::M32 | Kind::M64 => if value != 0.0 { u64::MAX } else { 0 },
        };
        self.bits(kind, bits)
    }

    /// An integer constant.
    pub fn int(&mut self, kind: Kind, value: i64) -> Value {
        self.bits(kind, value as u64)
    }

    /// An instruction with one operand.
    pub fn unary(&mut self, op: Unary, a: Value) -> Value {
        let kind = match op {
            Unary::Bits(kind) | Unary::Convert(kind) => kind,
            _ => a.kind,
        };
        match op {
            Unary::Bits(_) => debug_assert_eq!(kind.is_wide(), a.kind.is_wide(), "bits of another width"),
            Unary::Convert(_) => debug_assert_eq!(kind.is_mask(), a.kind.is_mask(), "a mask is no number"),
            Unary::Not => debug_assert!(!a.kind.is_float(), "the bits of a float are not turned"),
            Unary::RoundHalf => debug_assert_eq!(a.kind, Kind::F32),
            _ => debug_assert!(a.kind.is_float(), "{op:?} of {:?}", a.kind),
        }
        if kind == a.kind && matches!(op, Unary::Bits(_) | Unary::Convert(_)) {
            return a;
        }
        self.fold(Instruction::Unary(op, a.number), kind)
    }

    /// An instruction with two operands of one kind.
    pub fn binary(&mut self, op: Binary, a: Value, b: Value) -> Value {
        debug_assert_eq!(a.kind, b.kind, "{op:?}");
        let kind = a.kind;
        // The constant second, where a machine takes it from memory.
        let (a, b) = match op {
            Binary::Add | Binary::Mul | Binary::And | Binary::Or | Binary::Xor if self.known_bits(a).is_some() => (b, a),
            _ => (a, b),
        };
        if let Some(bits) = self.known_bits(b) {
            let one = match kind {
                Kind::F32 => u64::from(1f32.to_bits()),
                Kind::F64 => 1f64.to_bits(),
                _ => 1,
            };
            let ones = if kind.is_wide() { u64::MAX } else { u64::from(u32::MAX) };
            match op {
                Binary::Mul | Binary::Div if bits == one => return a,
                // x - 0 is x, and so is x + -0, whatever x is; x + 0 is not where x is -0.
                Binary::Sub if bits == 0 => return a,
                Binary::Add if bits == 0 && !kind.is_float() => return a,
                Binary::Add if kind == Kind::F32 && bits == u64::from((-0f32).to_bits()) => return a,
                Binary::Add if kind == Kind::F64 && bits == (-0f64).to_bits() => return a,
                Binary::Or | Binary::Xor if bits == 0 => return a,
                Binary::ShiftLeft | Binary::ShiftRight | Binary::ShiftRightSigned if bits == 0 => return a,
                Binary::And if bits == ones => return a,
                Binary::And if bits == 0 => return b,
                // Division by a power of two is exact as a product with its inverse.
                Binary::Div if kind == Kind::F32 => {
                    let y = f32::from_bits(bits as u32);
                    if y.is_normal() && y.to_bits() & 0x007f_ffff == 0 && (1.0 / y).is_normal() {
                        let inverse = self.bits(kind, u64::from((1.0 / y).to_bits()));
                        return self.binary(Binary::Mul, a, inverse);
                    }
                }
                Binary::Div if kind == Kind::F64 => {
                    let y = f64::from_bits(bits);
                    if y.is_normal() && y.to_bits() & 0x000f_ffff_ffff_ffff == 0 && (1.0 / y).is_normal() {
                        let inverse = self.bits(kind, (1.0 / y).to_bits());
                        return self.binary(Binary::Mul, a, inverse);
                    }
                }
                _ => {}
            }
        }
        if a == b && matches!(op, Binary::And | Binary::Or | Binary::Min | Binary::Max) {
            return a;
        }
        self.fold(Instruction::Binary(op, a.number, b.number), kind)
    }

    /// A product and a sum rounded once.
    pub fn fused(&mut self, op: Fused, a: Value, b: Value, c: Value) -> Value {
        debug_assert!(a.kind.is_float() && a.kind == b.kind && a.kind == c.kind, "{op:?}");
        let (a, b) = if self.known_bits(a).is_some() { (b, a) } else { (a, b) };
        self.fold(Instruction::Fused(op, a.number, b.number, c.number), a.kind)
    }

    /// A comparison.
    pub fn compare(&mut self, op: Comparison, a: Value, b: Value) -> Value {
        debug_assert_eq!(a.kind, b.kind, "{op:?}");
        self.fold(Instruction::Compare(op, a.number, b.number), a.kind.mask())
    }

    /// `a` where the mask is true, elsewhere `b`.
    pub fn select(&mut self, mask: Value, a: Value, b: Value) -> Value {
        debug_assert_eq!(a.kind, b.kind, "select");
        if a == b {
            return a;
        }
        let mask = self.unary(Unary::Convert(a.kind.mask()), mask);
        if let Some(bits) = self.known_bits(mask) {
            return if bits != 0 { a } else { b };
        }
        self.fold(Instruction::Select(mask.number, a.number, b.number), a.kind)
    }

    /// A function called for each element; operands and result are of the kind that it takes.
    pub fn call(&mut self, function: Function, operands: &[Value], kind: Kind) -> Value {
        let mut numbers = [u32::MAX; 3];
        for (number, operand) in numbers.iter_mut().zip(operands) {
            *number = operand.number;
        }
        self.fold(Instruction::Call(function, numbers), kind)
    }

    /// The value, but where the mask is true what a function of `x` gives; for what is rare.
    pub fn rare(&mut self, function: Function, mask: Value, x: Value, value: Value) -> Value {
        debug_assert_eq!(x.kind, value.kind, "rare");
        let mask = self.unary(Unary::Convert(value.kind.mask()), mask);
        if self.known_bits(mask) == Some(0) {
            return value;
        }
        self.fold(Instruction::Rare(function, mask.number, x.number, value.number), value.kind)
    }

    /// Integer lanes wrapped to the width and sign of a dtype; floats rounded to its precision.
    pub fn wrap(&mut self, dtype: DType, a: Value) -> Value {
        let shifted = |builder: &mut Builder, bits: i64| {
            let count = builder.int(Kind::I32, bits);
            let up = builder.binary(Binary::ShiftLeft, a, count);
            builder.binary(Binary::ShiftRightSigned, up, count)
        };
        let masked = |builder: &mut Builder, bits: i64| {
            let mask = builder.int(Kind::I32, bits);
            builder.binary(Binary::And, a, mask)
        };
        match dtype {
            DType::I8 => shifted(self, 24),
            DType::I16 => shifted(self, 16),
            DType::U8 => masked(self, 0xff),
            DType::U16 => masked(self, 0xffff),
            DType::F16 => self.unary(Unary::RoundHalf, a),
            DType::BF16 => self.round_bfloat(a),
            _ => a,
        }
    }

    /// The nearest number that a bfloat16 holds, of two the even one; a NaN stays one.
    fn round_bfloat(&mut self, a: Value) -> Value {
        let bits = self.unary(Unary::Bits(Kind::I32), a);
        let sixteen = self.int(Kind::I32, 16);
        let one = self.int(Kind::I32, 1);
        let half = self.int(Kind::I32, 0x7fff);
        let quiet = self.int(Kind::I32, 0x0040_0000);
        let high = self.int(Kind::I32, 0xffff_0000);
        let last = self.binary(Binary::ShiftRight, bits, sixteen);
        let last = self.binary(Binary::And, last, one);
        let half = self.binary(Binary::Add, half, last);
        let rounded = self.binary(Binary::Add, bits, half);
        let quieted = self.binary(Binary::Or, bits, quiet);
        let nan = self.compare(Comparison::Ne, a, a);
        let chosen = self.select(nan, quieted, rounded);
        let cut = self.binary(Binary::And, chosen, high);
        self.unary(Unary::Bits(Kind::F32), cut)
    }

    /// The kernel that gives `outputs`, each stored as a dtype of its kind, and `reductions`. What neither needs is
    /// left out, and instructions stand close to those that use them.
    pub fn finish(self, outputs: &[(Value, DType)], reductions: &[(Value, Reduction)]) -> Kernel {
        let mut order: Vec<(Instruction, Kind)> = Vec::new();
        let mut origins = Vec::new();
        let mut place = vec![u32::MAX; self.instructions.len()];
        let mut stack: Vec<(u32, bool)> = Vec::new();
        debug_assert!(outputs.iter().all(|&(output, dtype)| Kind::of(dtype) == output.kind), "an output's kind");
        for output in outputs.iter().map(|output| output.0).chain(reductions.iter().map(|reduction| reduction.0)) {
            stack.push((output.number, false));
            while let Some((number, ready)) = stack.pop() {
                if place[number as usize] != u32::MAX {
                    continue;
                }
                let (instruction, kind) = self.instructions[number as usize];
                if ready {
                    place[number as usize] = order.len() as u32;
                    order.push((instruction.map(|operand| place[operand as usize]), kind));
                    origins.push(self.origins[number as usize]);
                } else {
                    stack.push((number, true));
                    let operands: Vec<u32> = instruction.operands().collect();
                    stack.extend(operands.into_iter().rev().map(|operand| (operand, false)));
                }
            }
        }
        let outputs = outputs.iter().map(|&(output, dtype)| (place[output.number as usize], dtype)).collect();
        let reductions = reductions.iter().map(|&(value, reduction)| (place[value.number as usize], reduction)).collect();
        Kernel { inputs: self.inputs, instructions: order, outputs, reductions, origins }
    }
}
