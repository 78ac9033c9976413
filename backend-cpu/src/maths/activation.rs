//! Activations of neural nets.

use super::exponential::{expm1, over_one_plus_exp};
use super::{Lanes, Width, constant, sign, with_sign};

/// `x / (1 + exp(-x))`
#[inline(always)]
pub fn silu<L: Lanes>(l: &L, x: L::F) -> L::F {
    logistic_share(l, x, constant(l, -112.0, -760.0), l.neg(x), None)
}

/// `x / (1 + exp(exponent))`, x if that is large; -0 below a number.
#[inline(always)]
fn logistic_share<L: Lanes>(l: &L, x: L::F, low: L::F, exponent: L::F, lost: Option<L::F>) -> L::F {
    let value = over_one_plus_exp(l, l.max(low, x), exponent, lost);
    l.select(l.lt(l.constant(100.0), x), x, value)
}

/// `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, as `x` times the logistic function of twice the argument, `x (a + b x²)`.
/// That has twice the digits, as its exponential would enlarge its rounding.
#[inline(always)]
pub fn gelu_tanh<L: Lanes>(l: &L, x: L::F) -> L::F {
    use super::coefficients::{GELU_CUBIC, GELU_LINEAR};
    // Beyond, the value is x or 0 whatever the exponential.
    let low = constant(l, -12.0, -25.0);
    let bounded = l.max(low, l.min(constant(l, 12.0, 25.0), x));
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
    let product = l.mul(bounded, sum);
    let product_low = l.fma(bounded, sum_low, l.fms(bounded, sum, product));
    logistic_share(l, x, low, l.neg(product), Some(l.neg(product_low)))
}

/// `scale x` where `x` is positive, else `scale alpha (exp(x) - 1)`, with the constants of
/// [`arignote_core::special::selu`].
#[inline(always)]
pub fn selu<L: Lanes>(l: &L, x: L::F) -> L::F {
    use super::coefficients::SELU_PRODUCT;
    use arignote_core::special::SELU_SCALE;
    let grown = expm1(l, x);
    let below = l.fma(SELU_PRODUCT.at(l, 0), grown, l.mul(SELU_PRODUCT.at(l, 1), grown));
    // Not less than 0, so that -0 stays what it is.
    l.select(l.le(l.constant(0.0), x), l.mul(l.constant(SELU_SCALE), x), below)
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
    let line = match l.width() {
        // 0.2 as an `f32` is too far off for numbers near -2.5.
        Width::Single => l.mul(l.constant(0.2), l.add(x, l.constant(2.5))),
        Width::Double => l.fma(l.constant(0.2), x, l.constant(0.5)),
    };
    l.max(l.constant(0.0), l.min(l.constant(1.0), line))
}
