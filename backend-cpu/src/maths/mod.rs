//! Elementary functions of vectors, each written once as a straight line of IEEE basic operations.
//!
//! A function is generic over [`Lanes`]: what numbers, integers and masks are, and how to operate on
//! them. [`Scalar32`] and [`Scalar64`] compute one lane at once, for tests and the portable kernels; the
//! native code generator implements the trait by emitting its instructions. All implementations must
//! agree bit for bit, so a result depends neither on the processor nor on the path.
//!
//! No function branches, and none reads a table: that lets the same text run on lanes of any number.
//! Arguments that a straight line cannot reduce (the sine of 1e22) go to [`Lanes::fallback`].

mod activation;
// What comes close to a known constant is still a coefficient of its own.
#[allow(clippy::approx_constant)]
mod coefficients;
mod error_function;
mod exponential;
mod hyperbolic;
mod inverse;
mod logarithm;
mod power;
mod scalar;
mod slow;
mod trigonometric;

use crate::kernels::number::{Binary, Unary};

pub use scalar::{Scalar32, Scalar64};
pub use slow::Slow;

/// Emits an operation on one number; nothing if it has no vector form.
#[inline(always)]
pub fn unary<L: Lanes>(l: &L, operation: Unary, x: L::F) -> Option<L::F> {
    Some(match operation {
        Unary::Exp => exponential::exp(l, x),
        Unary::Exp2 => exponential::exp2(l, x),
        Unary::Expm1 => exponential::expm1(l, x),
        Unary::Sigmoid => exponential::sigmoid(l, x),
        Unary::Log => logarithm::log(l, x),
        Unary::Log2 => logarithm::log2(l, x),
        Unary::Log10 => logarithm::log10(l, x),
        Unary::Log1p => logarithm::log1p(l, x),
        Unary::Softplus => logarithm::softplus(l, x),
        Unary::LogSigmoid => logarithm::log_sigmoid(l, x),
        Unary::Log1mexp => logarithm::log1mexp(l, x),
        Unary::Logit => logarithm::logit(l, x),
        Unary::Sin => trigonometric::sin(l, x),
        Unary::Cos => trigonometric::cos(l, x),
        Unary::Tan => trigonometric::tan(l, x),
        Unary::Arcsin => inverse::arcsin(l, x),
        Unary::Arccos => inverse::arccos(l, x),
        Unary::Arctan => inverse::arctan(l, x),
        Unary::Sinh => hyperbolic::sinh(l, x),
        Unary::Cosh => hyperbolic::cosh(l, x),
        Unary::Tanh => hyperbolic::tanh(l, x),
        Unary::Arcsinh => hyperbolic::arcsinh(l, x),
        Unary::Arccosh => hyperbolic::arccosh(l, x),
        Unary::Arctanh => hyperbolic::arctanh(l, x),
        Unary::SechSquared => hyperbolic::sech_squared(l, x),
        Unary::Erf => error_function::erf(l, x),
        Unary::Erfc => error_function::erfc(l, x),
        Unary::Ndtr => error_function::ndtr(l, x),
        Unary::Gelu => error_function::gelu(l, x),
        Unary::GeluTanh => activation::gelu_tanh(l, x),
        Unary::Silu => activation::silu(l, x),
        Unary::Selu => activation::selu(l, x),
        Unary::Softsign => activation::softsign(l, x),
        Unary::HardSigmoid => activation::hard_sigmoid(l, x),
        Unary::Sqrt => l.sqrt(x),
        Unary::Reciprocal => l.div(l.constant(1.0), x),
        _ => return None,
    })
}

/// Emits an operation on two numbers; nothing if it has no vector form.
#[inline(always)]
pub fn binary<L: Lanes>(l: &L, operation: Binary, x: L::F, y: L::F) -> Option<L::F> {
    Some(match operation {
        Binary::Arctan2 => inverse::arctan2(l, x, y),
        Binary::Hypot => power::hypot(l, x, y),
        Binary::Pow => power::pow(l, x, y),
        Binary::Xlogy => logarithm::xlogy(l, x, y),
        Binary::Xlog1py => logarithm::xlog1py(l, x, y),
        _ => return None,
    })
}

/// What a lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// An `f32`, or 32 bits.
    Single,
    /// An `f64`, or 64 bits.
    Double,
}

/// Lanes of `f32` or `f64`, and the operations on them that the functions need.
///
/// Operations round to nearest, ties to even, and neither flush subnormal numbers nor set traps. NaN
/// results are any quiet NaN. Integers have the width of the floats and wrap; each operation is one
/// instruction of AVX2 and FMA.
pub trait Lanes {
    /// Floats.
    type F: Copy;
    /// Integers of the same width.
    type I: Copy;
    /// What comparisons give.
    type M: Copy;

    /// The width of lanes.
    fn width(&self) -> Width;

    /// A constant in all lanes, rounded to the width.
    fn constant(&self, value: f64) -> Self::F;
    /// An integer constant in all lanes, of which `f32` lanes take the low 32 bits.
    fn integer(&self, value: u64) -> Self::I;

    /// `x + y`
    fn add(&self, x: Self::F, y: Self::F) -> Self::F;
    /// `x - y`
    fn sub(&self, x: Self::F, y: Self::F) -> Self::F;
    /// `x * y`
    fn mul(&self, x: Self::F, y: Self::F) -> Self::F;
    /// `x / y`
    fn div(&self, x: Self::F, y: Self::F) -> Self::F;
    /// `x * y + z`, rounded once.
    fn fma(&self, x: Self::F, y: Self::F, z: Self::F) -> Self::F;
    /// `z - x * y`, rounded once.
    fn fnma(&self, x: Self::F, y: Self::F, z: Self::F) -> Self::F;
    /// `x * y - z`, rounded once.
    fn fms(&self, x: Self::F, y: Self::F, z: Self::F) -> Self::F;
    /// The correctly rounded square root.
    fn sqrt(&self, x: Self::F) -> Self::F;
    /// `x` with its sign bit flipped.
    fn neg(&self, x: Self::F) -> Self::F;
    /// `x` with its sign bit cleared.
    fn abs(&self, x: Self::F) -> Self::F;
    /// `x` if `x < y`, else `y`: `y` where one of them is NaN, as `minps`.
    fn min(&self, x: Self::F, y: Self::F) -> Self::F;
    /// `x` if `x > y`, else `y`: `y` where one of them is NaN, as `maxps`.
    fn max(&self, x: Self::F, y: Self::F) -> Self::F;
    /// Rounded to the nearest whole number, ties to even.
    fn round(&self, x: Self::F) -> Self::F;
    /// Rounded down.
    fn floor(&self, x: Self::F) -> Self::F;
    /// Rounded toward 0.
    fn trunc(&self, x: Self::F) -> Self::F;

    /// `x < y`; false where one of them is NaN.
    fn lt(&self, x: Self::F, y: Self::F) -> Self::M;
    /// `x <= y`; false where one of them is NaN.
    fn le(&self, x: Self::F, y: Self::F) -> Self::M;
    /// `x == y`; false where one of them is NaN.
    fn eq(&self, x: Self::F, y: Self::F) -> Self::M;
    /// Where the sign bit is set.
    fn negative(&self, x: Self::I) -> Self::M;
    /// Where both hold.
    fn both(&self, x: Self::M, y: Self::M) -> Self::M;
    /// Where at least one holds.
    fn either(&self, x: Self::M, y: Self::M) -> Self::M;
    /// `x` where the mask holds, elsewhere `y`.
    fn select(&self, mask: Self::M, x: Self::F, y: Self::F) -> Self::F;

    /// The bits of a float.
    fn bits(&self, x: Self::F) -> Self::I;
    /// The float of these bits.
    fn of_bits(&self, bits: Self::I) -> Self::F;
    /// The sum of integers.
    fn iadd(&self, x: Self::I, y: Self::I) -> Self::I;
    /// The difference of integers.
    fn isub(&self, x: Self::I, y: Self::I) -> Self::I;
    /// Bitwise and.
    fn and(&self, x: Self::I, y: Self::I) -> Self::I;
    /// Bitwise or.
    fn or(&self, x: Self::I, y: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn xor(&self, x: Self::I, y: Self::I) -> Self::I;
    /// Shifted left by a number of bits less than the width.
    fn shl(&self, x: Self::I, count: u32) -> Self::I;
    /// Shifted right, zeros coming in, by a number of bits less than the width.
    fn shr(&self, x: Self::I, count: u32) -> Self::I;

    /// `value`, but where the mask holds what a scalar function of `x` is. That is rare: implementations
    /// test whether the mask holds anywhere, and leave the straight line only then.
    fn fallback(&self, mask: Self::M, slow: Slow, x: Self::F, value: Self::F) -> Self::F;
}

/// The coefficients of a polynomial in the two widths, lowest power first.
struct Polynomial {
    single: &'static [f32],
    double: &'static [f64],
}

impl Polynomial {
    /// The polynomial at `x`, as a tree of depth about half its degree or less: long chains of products
    /// would keep the processor waiting.
    #[inline(always)]
    fn at<L: Lanes>(&self, l: &L, x: L::F) -> L::F {
        match l.width() {
            Width::Single => tree(l, self.single.len(), |k| l.constant(f64::from(self.single[k])), x),
            Width::Double => tree(l, self.double.len(), |k| l.constant(self.double[k]), x),
        }
    }
}

/// The value of a polynomial of so many coefficients: Horner's rule for up to 5; above, in powers of `x²` of
/// pairs, above 12 in powers of `x⁴` of fours (G. Estrin, 1960, as far as it shortens the chain).
#[inline(always)]
fn tree<L: Lanes>(l: &L, count: usize, c: impl Fn(usize) -> L::F, x: L::F) -> L::F {
    let (group, powers) = match count {
        0..=5 => (1, [x, x, x]),
        6..=12 => (2, [x, l.mul(x, x), x]),
        _ => {
            let square = l.mul(x, x);
            (4, [x, square, l.mul(square, square)])
        }
    };
    let step = powers[group / 2];
    let mut k = (count - 1) / group * group;
    let mut sum = terms(l, count, &c, k, group, &powers);
    while k > 0 {
        k -= group;
        sum = l.fma(sum, step, terms(l, count, &c, k, group, &powers));
    }
    sum
}

/// The part of a polynomial of one, two or four coefficients from one on, as far as there are so many.
#[inline(always)]
fn terms<L: Lanes>(l: &L, count: usize, c: &impl Fn(usize) -> L::F, from: usize, group: usize, powers: &[L::F; 3]) -> L::F {
    let pair = if group > 1 && from + 1 < count { l.fma(c(from + 1), powers[0], c(from)) } else { c(from) };
    if group < 4 || from + 2 >= count {
        return pair;
    }
    let upper = if from + 3 < count { l.fma(c(from + 3), powers[0], c(from + 2)) } else { c(from + 2) };
    l.fma(upper, powers[1], pair)
}

/// A constant as a sum of three parts for each width, each of which rounds what the others leave.
struct Parts {
    single: [f64; 3],
    double: [f64; 3],
}

impl Parts {
    #[inline(always)]
    fn at<L: Lanes>(&self, l: &L, part: usize) -> L::F {
        constant(l, self.single[part], self.double[part])
    }
}

/// A constant that differs between the widths.
#[inline(always)]
fn constant<L: Lanes>(l: &L, single: f64, double: f64) -> L::F {
    l.constant(match l.width() {
        Width::Single => single,
        Width::Double => double,
    })
}

/// An integer constant that differs between the widths.
#[inline(always)]
fn integer<L: Lanes>(l: &L, single: u32, double: u64) -> L::I {
    l.integer(match l.width() {
        Width::Single => u64::from(single),
        Width::Double => double,
    })
}

/// How many bits a lane has.
#[inline(always)]
fn lane_bits<L: Lanes>(l: &L) -> u32 {
    match l.width() {
        Width::Single => 32,
        Width::Double => 64,
    }
}

/// How many bits of a float are the fraction.
#[inline(always)]
fn fraction_bits<L: Lanes>(l: &L) -> u32 {
    match l.width() {
        Width::Single => 23,
        Width::Double => 52,
    }
}

/// `x` with its sign turned where another sign is set.
#[inline(always)]
fn turned<L: Lanes>(l: &L, x: L::F, sign: L::I) -> L::F {
    l.of_bits(l.xor(l.bits(x), sign))
}

/// The bit of the sign, where `x` has it set.
#[inline(always)]
fn sign<L: Lanes>(l: &L, x: L::F) -> L::I {
    l.and(l.bits(x), integer(l, 1 << 31, 1 << 63))
}

/// `-|x|`
#[inline(always)]
fn negative_abs<L: Lanes>(l: &L, x: L::F) -> L::F {
    l.of_bits(l.or(l.bits(x), integer(l, 1 << 31, 1 << 63)))
}

/// A number that is not negative, with a sign.
#[inline(always)]
fn with_sign<L: Lanes>(l: &L, x: L::F, sign: L::I) -> L::F {
    l.of_bits(l.or(l.bits(x), sign))
}

#[cfg(test)]
mod tests;
