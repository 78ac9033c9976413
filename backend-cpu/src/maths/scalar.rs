//! One lane: what the functions are, one number at a time.

use super::{Lanes, Slow, Width};

/// One lane of `f32`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar32;

/// One lane of `f64`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar64;

macro_rules! scalar {
    ($($Scalar:ident: $F:ident $I:ident $width:ident $slow:ident;)*) => {$(
        impl Lanes for $Scalar {
            type F = $F;
            type I = $I;
            type M = bool;

            #[inline(always)] fn width(&self) -> Width { Width::$width }
            #[inline(always)] fn constant(&self, value: f64) -> $F { value as $F }
            #[inline(always)] fn integer(&self, value: u64) -> $I { value as $I }
            #[inline(always)] fn add(&self, x: $F, y: $F) -> $F { x + y }
            #[inline(always)] fn sub(&self, x: $F, y: $F) -> $F { x - y }
            #[inline(always)] fn mul(&self, x: $F, y: $F) -> $F { x * y }
            #[inline(always)] fn div(&self, x: $F, y: $F) -> $F { x / y }
            #[inline(always)] fn fma(&self, x: $F, y: $F, z: $F) -> $F { x.mul_add(y, z) }
            #[inline(always)] fn fnma(&self, x: $F, y: $F, z: $F) -> $F { (-x).mul_add(y, z) }
            #[inline(always)] fn fms(&self, x: $F, y: $F, z: $F) -> $F { x.mul_add(y, -z) }
            #[inline(always)] fn sqrt(&self, x: $F) -> $F { x.sqrt() }
            #[inline(always)] fn neg(&self, x: $F) -> $F { -x }
            #[inline(always)] fn abs(&self, x: $F) -> $F { x.abs() }
            #[inline(always)] fn min(&self, x: $F, y: $F) -> $F { if x < y { x } else { y } }
            #[inline(always)] fn max(&self, x: $F, y: $F) -> $F { if x > y { x } else { y } }
            #[inline(always)] fn round(&self, x: $F) -> $F { x.round_ties_even() }
            #[inline(always)] fn floor(&self, x: $F) -> $F { x.floor() }
            #[inline(always)] fn trunc(&self, x: $F) -> $F { x.trunc() }
            #[inline(always)] fn lt(&self, x: $F, y: $F) -> bool { x < y }
            #[inline(always)] fn le(&self, x: $F, y: $F) -> bool { x <= y }
            #[inline(always)] fn eq(&self, x: $F, y: $F) -> bool { x == y }
            #[inline(always)] fn negative(&self, x: $I) -> bool { x >> ($I::BITS - 1) != 0 }
            #[inline(always)] fn both(&self, x: bool, y: bool) -> bool { x & y }
            #[inline(always)] fn either(&self, x: bool, y: bool) -> bool { x | y }
            #[inline(always)] fn select(&self, mask: bool, x: $F, y: $F) -> $F { if mask { x } else { y } }
            #[inline(always)] fn bits(&self, x: $F) -> $I { x.to_bits() }
            #[inline(always)] fn of_bits(&self, bits: $I) -> $F { $F::from_bits(bits) }
            #[inline(always)] fn iadd(&self, x: $I, y: $I) -> $I { x.wrapping_add(y) }
            #[inline(always)] fn isub(&self, x: $I, y: $I) -> $I { x.wrapping_sub(y) }
            #[inline(always)] fn and(&self, x: $I, y: $I) -> $I { x & y }
            #[inline(always)] fn or(&self, x: $I, y: $I) -> $I { x | y }
            #[inline(always)] fn xor(&self, x: $I, y: $I) -> $I { x ^ y }
            #[inline(always)] fn shl(&self, x: $I, count: u32) -> $I { x << count }
            #[inline(always)] fn shr(&self, x: $I, count: u32) -> $I { x >> count }
            #[inline(always)]
            fn fallback(&self, mask: bool, slow: Slow, x: $F, value: $F) -> $F {
                if mask { slow.$slow()(x) } else { value }
            }
        }
    )*};
}

scalar! {
    Scalar32: f32 u32 Single single;
    Scalar64: f64 u64 Double double;
}
