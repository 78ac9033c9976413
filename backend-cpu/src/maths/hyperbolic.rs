//! Hyperbolic functions and their inverses.

use super::coefficients::SINH;
use super::exponential::{clamp_high, clamp_low, exponential, half_exp};
use super::logarithm::{log1p_of_sum, special};
use super::{Lanes, constant, sign, with_sign};

/// `tanh(x)`, of `y = exp(-2|x|)`: `(1 - y) / (1 + y)`, near 0 with `1 - y` from the exponential itself, elsewhere as
/// `1 - 2y / (1 + y)`, of which errors do not show.
#[inline(always)]
pub fn tanh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let (zero, one, two) = (l.constant(0.0), l.constant(1.0), l.constant(2.0));
    let a = l.abs(x);
    let power = exponential(l, l.max(constant(l, -20.0, -40.0), l.mul(l.constant(-2.0), a)), None);
    let (scale, y) = power.value_normal(l);
    let difference = l.fnma(scale, power.rest, l.sub(one, scale));
    let is_far = l.lt(l.constant(0.55), a);
    let top = l.select(is_far, l.mul(l.constant(-2.0), y), difference);
    // Near 0, 1 + y is 2 less the difference, which is the more exact.
    let bottom = l.select(is_far, l.add(one, y), l.sub(two, difference));
    let value = l.add(l.select(is_far, one, zero), l.div(top, bottom));
    with_sign(l, l.abs(value), sign(l, x))
}

/// `1 - tanh(x)**2`, as `4y / (1 + y)**2` with `y = exp(-2|x|)`.
#[inline(always)]
pub fn sech_squared<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let power = exponential(l, clamp_low(l, l.mul(l.constant(-2.0), l.abs(x))), None);
    let y = power.value(l);
    let sum = l.add(one, y);
    let lost = l.sub(y, l.sub(sum, one));
    let square = l.mul(sum, sum);
    let low = l.fma(l.add(sum, sum), lost, l.fms(sum, sum, square));
    let quotient = l.div(l.constant(4.0), square);
    let quotient = l.fnma(l.mul(quotient, l.mul(quotient, l.constant(0.25))), low, quotient);
    power.times(l, quotient)
}

/// `sinh(x)`: by the polynomial up to 1, above by half the exponential and a quarter of its reciprocal.
#[inline(always)]
pub fn sinh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let a = l.abs(x);
    let square = l.mul(a, a);
    let near = l.fma(l.mul(a, square), SINH.at(l, square), a);
    let half = half_exp(l, clamp_high(l, a));
    let far = l.sub(half, l.div(l.constant(0.25), half));
    with_sign(l, l.select(l.lt(l.constant(1.0), a), far, near), sign(l, x))
}

/// `cosh(x)`
#[inline(always)]
pub fn cosh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let half = half_exp(l, clamp_high(l, l.abs(x)));
    l.add(half, l.div(l.constant(0.25), half))
}

/// The inverse of `sinh`: `log(1 + u)` with `u = |x| + x² / (1 + √(1 + x²))`, for large numbers `log(2|x|)`.
#[inline(always)]
pub fn arcsinh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let square = l.mul(a, a);
    let u = l.add(a, l.div(square, l.add(one, l.sqrt(l.fma(a, a, one)))));
    with_sign(l, log1p_or_twice(l, a, u), sign(l, x))
}

/// The inverse of `cosh`: `log(1 + u)` with `u = t + √(2t + t²)`, `t = x - 1`, for large numbers `log(2x)`.
#[inline(always)]
pub fn arccosh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let t = l.sub(x, one);
    let u = l.add(t, l.sqrt(l.fma(t, t, l.add(t, t))));
    l.select(l.lt(x, one), l.constant(f64::NAN), log1p_or_twice(l, x, u))
}

/// `log(1 + u)`, or for large `a` `log(2a)`.
#[inline(always)]
fn log1p_or_twice<L: Lanes>(l: &L, a: L::F, u: L::F) -> L::F {
    let is_large = l.lt(constant(l, 1_073_741_824.0, 1_152_921_504_606_846_976.0), a);
    let u = l.select(is_large, a, u);
    let sum = l.add(u, l.constant(1.0));
    let extra = l.select(is_large, l.constant(1.0), l.constant(0.0));
    special(l, sum, log1p_of_sum(l, u, sum, extra))
}

/// The inverse of `tanh`, `log(1 + 2|x| / (1 - |x|)) / 2`.
#[inline(always)]
pub fn arctanh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let u = l.div(l.add(a, a), l.sub(one, a));
    let sum = l.add(one, u);
    let value = special(l, sum, log1p_of_sum(l, u, sum, l.constant(0.0)));
    with_sign(l, l.mul(l.constant(0.5), value), sign(l, x))
}
