//! Elementary functions of vectors, each written once as a straight line of IEEE basic operations.
//!
//! A function is generic over [`Lanes`]: what numbers, integers and masks are, and how to operate on
//! them. [`Scalar32`] and [`Scalar64`] compute one lane at once, for tests and the portable kernels; the
//! native code generator implements the trait by emitting its instructions. All implementations must
//! agree bit for bit, so a result depends neither on the processor nor on the path.
//!
//! No function branches, and none reads a table: that lets the same text run on lanes of any number.
//! Arguments that a straight line cannot reduce (the sine of 1e22) go to [`Lanes::fallback`].

mod scalar;
mod slow;

pub use scalar::{Scalar32, Scalar64};
pub use slow::Slow;

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
    /// Where both hold.
    fn both(&self, x: Self::M, y: Self::M) -> Self::M;
    /// Where at least one holds.
    fn either(&self, x: Self::M, y: Self::M) -> Self::M;
    /// `x` where the mask holds, elsewhere `y`.
    fn select(&self, mask: Self::M, x: Self::F, y: Self::F) -> Self::F;

    /// The bits of a float.
    fn bits(&self, x: Self::F) -> Self::I;
    /// The float of these bits.
    fn from_bits(&self, bits: Self::I) -> Self::F;
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
