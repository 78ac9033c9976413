//! Hyperbolic functions and their inverses.

use super::coefficients::{SINH, TANH};
use super::exponential::{Exponential, exponential, half_exp};
use super::logarithm::{log1p_of_sum, special};
use super::{Lanes, constant, sign, with_sign};

/// Below, `tanh` is a polynomial; above, it is computed from exponentials.
const NEAR: f64 = 0.55;

/// `tanh(a)` for `0 <= a <= 0.55`.
#[inline(always)]
fn tanh_near<L: Lanes>(l: &L, a: L::F) -> L::F {
    let square = l.mul(a, a);
    l.fma(l.mul(a, square), TANH.at(l, square), a)
}

/// `tanh(x)`: by a polynomial near 0, elsewhere as `1 - 2y / (1 + y)` with `y = exp(-2|x|)`.
#[inline(always)]
pub fn tanh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let twice = l.max(constant(l, -20.0, -40.0), l.mul(l.constant(-2.0), a));
    let y = exponential(l, twice, None).value_normal(l);
    let far = l.sub(one, l.div(l.add(y, y), l.add(one, y)));
    with_sign(l, l.select(l.lt(a, l.constant(NEAR)), tanh_near(l, a), far), sign(l, x))
}

/// `1 - tanh(x)**2`; where that is small as `4y / (1 + y)**2` with `y = exp(-2|x|)`.
#[inline(always)]
pub fn sech_squared<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let power = exponential(l, l.max(constant(l, -110.0, -750.0), l.mul(l.constant(-2.0), a)), None);
    let y = power.value(l);
    let sum = l.add(one, y);
    let lost = l.sub(y, l.sub(sum, one));
    let square = l.mul(sum, sum);
    let square_lost = l.fma(l.add(sum, sum), lost, l.fms(sum, sum, square));
    let four = l.constant(4.0);
    let quotient = l.div(four, square);
    // What rounding took from the square and the quotient joins the exponential.
    let off = l.fnma(quotient, square_lost, l.fnma(quotient, square, four));
    let exact = Exponential { n: power.n, rest: l.fma(off, l.constant(0.25), power.rest) };
    let far = exact.times(l, quotient);
    let tanh = tanh_near(l, a);
    l.select(l.lt(a, l.constant(NEAR)), l.fnma(tanh, tanh, one), far)
}

/// `sinh(x)`: by the polynomial up to 1, above by half the exponential and a quarter of its reciprocal.
#[inline(always)]
pub fn sinh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let a = l.abs(x);
    let square = l.mul(a, a);
    let near = l.fma(l.mul(a, square), SINH.at(l, square), a);
    let half = half_exp(l, l.min(constant(l, 90.0, 711.0), a));
    let far = l.sub(half, l.div(l.constant(0.25), half));
    with_sign(l, l.select(l.lt(l.constant(1.0), a), far, near), sign(l, x))
}

/// `cosh(x)`
#[inline(always)]
pub fn cosh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let half = half_exp(l, l.min(constant(l, 90.0, 711.0), l.abs(x)));
    l.add(half, l.div(l.constant(0.25), half))
}

/// The inverse of `sinh`: `log(1 + u)` with `u = |x| + x² / (1 + √(1 + x²))`, for large numbers `log(2|x|)`.
#[inline(always)]
pub fn arcsinh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let square = l.mul(a, a);
    let rest = l.div(square, l.add(one, l.sqrt(l.fma(a, a, one))));
    with_sign(l, log1p_or_twice(l, a, a, rest, None), sign(l, x))
}

/// The inverse of `cosh`: `log(1 + u)` with `u = t + √(2t + t²)`, `t = x - 1`, for large numbers `log(2x)`.
#[inline(always)]
pub fn arccosh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let t = l.sub(x, one);
    let twice = l.add(t, t);
    let square = l.fma(t, t, twice);
    let root = l.sqrt(square);
    // What the root is off by; it is 0 at 1.
    let square_low = l.fma(t, t, l.sub(twice, square));
    let off = l.add(l.fnma(root, root, square), square_low);
    let root_low = l.div(off, l.max(l.add(root, root), constant(l, 1e-30, 1e-300)));
    l.select(l.lt(x, one), l.constant(f64::NAN), log1p_or_twice(l, x, root, t, Some(root_low)))
}

/// `log(1 + u + v)`, and what rounding took from `u`, which is not less than `v`; or for large `a` `log(2a)`.
#[inline(always)]
fn log1p_or_twice<L: Lanes>(l: &L, a: L::F, u: L::F, v: L::F, u_low: Option<L::F>) -> L::F {
    let (zero, one) = (l.constant(0.0), l.constant(1.0));
    let is_large = l.lt(constant(l, 1_073_741_824.0, 1_152_921_504_606_846_976.0), a);
    let both = l.add(u, v);
    let lost = l.sub(v, l.sub(both, u));
    let lost = l.select(is_large, zero, u_low.map_or(lost, |u_low| l.add(lost, u_low)));
    let both = l.select(is_large, a, both);
    let sum = l.add(both, one);
    special(l, sum, log1p_of_sum(l, both, Some(lost), sum, l.select(is_large, one, zero)))
}

/// The inverse of `tanh`, `log(1 + 2|x| / (1 - |x|)) / 2`.
#[inline(always)]
pub fn arctanh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    // Twice a, and a correction to it; what rounding takes from their sum.
    let twice = l.add(a, a);
    let ratio = l.div(a, l.sub(one, a));
    let u = l.fma(twice, ratio, twice);
    let lost = l.fma(twice, ratio, l.sub(twice, u));
    let sum = l.add(one, u);
    let value = special(l, sum, log1p_of_sum(l, u, Some(lost), sum, l.constant(0.0)));
    let value = l.select(l.lt(one, a), l.constant(f64::NAN), l.mul(l.constant(0.5), value));
    with_sign(l, value, sign(l, x))
}
