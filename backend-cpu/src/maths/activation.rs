//! Activations of neural nets.

use super::exponential::{clamp_high, expm1, exponential};
use super::{Lanes, constant, negative_abs, sign, with_sign};

/// `x / (1 + exp(-x))`
#[inline(always)]
pub fn silu<L: Lanes>(l: &L, x: L::F) -> L::F {
    // Beyond, the product with x is 0 too.
    let low = constant(l, -112.0, -760.0);
    let power = exponential(l, l.max(low, negative_abs(l, x)), None);
    logistic_share(l, x, l.max(low, x), &power)
}

/// `x / (1 + 1/z)` where `x` is negative, else `x / (1 + z)`, with an exponential `z` of at most 1. For the first it takes
/// `x` as far as its sign and the product with `z` are not 0.
#[inline(always)]
fn logistic_share<L: Lanes>(l: &L, x: L::F, bounded: L::F, z: &super::exponential::Exponential<L>) -> L::F {
    let top = l.select(l.lt(x, l.constant(0.0)), z.times(l, bounded), x);
    l.div(top, l.add(l.constant(1.0), z.value(l)))
}

/// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, as `x` times the logistic function of twice the argument, `x (a + b x²)`.
/// That has twice the digits, as its exponential would enlarge its rounding.
#[inline(always)]
pub fn gelu_tanh<L: Lanes>(l: &L, x: L::F) -> L::F {
    use super::coefficients::{GELU_CUBIC, GELU_LINEAR};
    // Beyond, the value is x or 0 whatever the exponential.
    let bounded = l.max(constant(l, -12.0, -25.0), l.min(constant(l, 12.0, 25.0), x));
    let square = l.mul(bounded, bounded);
    let square_low = l.fms(bounded, bounded, square);
    let (b, b_low) = (GELU_CUBIC.at(l, 0), GELU_CUBIC.at(l, 1));
    let cubic = l.mul(b, square);
    let cubic_low = l.fma(b, square_low, l.fma(b_low, square, l.fms(b, square, cubic)));
    let a = GELU_LINEAR.at(l, 0);
    let sum = l.add(a, cubic);
    let part = l.sub(sum, a);
    let sum_low = l.add(l.sub(a, l.sub(sum, part)), l.sub(cubic, part));
    let sum_low = l.add(sum_low, l.add(cubic_low, GELU_LINEAR.at(l, 1)));
    let bounded_abs = negative_abs(l, bounded);
    let product = l.mul(bounded_abs, sum);
    let product_low = l.fma(bounded_abs, sum_low, l.fms(bounded_abs, sum, product));
    let power = exponential(l, product, Some(product_low));
    let bounded = l.max(constant(l, -12.0, -25.0), x);
    logistic_share(l, x, bounded, &power)
}

/// `scale x` where `x` is positive, else `scale alpha (exp(x) - 1)`, with the constants of
/// [`arignote_core::special::selu`].
#[inline(always)]
pub fn selu<L: Lanes>(l: &L, x: L::F) -> L::F {
    use arignote_core::special::{SELU_ALPHA, SELU_SCALE};
    let below = l.mul(l.constant(SELU_SCALE * SELU_ALPHA), expm1(l, clamp_high(l, x)));
    l.select(l.lt(l.constant(0.0), x), l.mul(l.constant(SELU_SCALE), x), below)
}

/// `x / (1 + |x|)`, of infinities 1 with their sign.
#[inline(always)]
pub fn softsign<L: Lanes>(l: &L, x: L::F) -> L::F {
    let a = l.abs(x);
    let value = l.div(a, l.add(l.constant(1.0), a));
    with_sign(l, l.select(l.eq(a, l.constant(f64::INFINITY)), l.constant(1.0), value), sign(l, x))
}

/// `0.2 x + 0.5`, kept between 0 and 1.
#[inline(always)]
pub fn hard_sigmoid<L: Lanes>(l: &L, x: L::F) -> L::F {
    let line = l.fma(l.constant(0.2), x, l.constant(0.5));
    l.max(l.constant(0.0), l.min(l.constant(1.0), line))
}
