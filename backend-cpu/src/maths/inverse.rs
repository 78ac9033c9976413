//! Inverse sine, cosine and tangent.

use super::coefficients::{ASIN, ATAN, HALF_PI};
use super::{Lanes, sign, turned, with_sign};

/// `k π/2 + x` for small whole `k`.
#[inline(always)]
fn plus_quadrants<L: Lanes>(l: &L, k: L::F, x: L::F) -> L::F {
    l.fma(k, HALF_PI.at(l, 0), l.fma(k, HALF_PI.at(l, 1), x))
}

/// The inverse sine of `a` up to about 1/2; above, where the mask holds, that of `√((1 - a) / 2)`.
#[inline(always)]
fn half_arcsin<L: Lanes>(l: &L, a: L::F) -> (L::M, L::F) {
    let half = l.constant(0.5);
    // Above, what is left is less than 1/2, and so its rounding, which doubles, is small.
    let is_large = l.lt(l.constant(0.5404), a);
    let square = l.select(is_large, l.fnma(half, a, half), l.mul(a, a));
    let s = l.select(is_large, l.sqrt(square), a);
    (is_large, l.fma(l.mul(s, square), ASIN.at(l, square), s))
}

/// The inverse of `sin`, between `-π/2` and `π/2`.
#[inline(always)]
pub fn arcsin<L: Lanes>(l: &L, x: L::F) -> L::F {
    let (is_large, part) = half_arcsin(l, l.abs(x));
    let far = plus_quadrants(l, l.constant(1.0), l.mul(l.constant(-2.0), part));
    with_sign(l, l.select(is_large, far, part), sign(l, x))
}

/// The inverse of `cos`, between 0 and `π`.
#[inline(always)]
pub fn arccos<L: Lanes>(l: &L, x: L::F) -> L::F {
    let (is_large, part) = half_arcsin(l, l.abs(x));
    let signed = turned(l, l.mul(l.select(is_large, l.constant(2.0), l.constant(-1.0)), part), sign(l, x));
    // π/2 - arcsin(x); for large x none or two of them.
    let (zero, one, two) = (l.constant(0.0), l.constant(1.0), l.constant(2.0));
    let k = l.select(is_large, l.select(l.lt(x, zero), two, zero), one);
    plus_quadrants(l, k, signed)
}

/// `arctan(t)` for `t` of at most 1.
#[inline(always)]
fn arctan_reduced<L: Lanes>(l: &L, t: L::F) -> L::F {
    let square = l.mul(t, t);
    l.fma(l.mul(t, square), ATAN.at(l, square), t)
}

/// The inverse of `tan`, between `-π/2` and `π/2`; above 1 by that of `-1 / x`.
#[inline(always)]
pub fn arctan<L: Lanes>(l: &L, x: L::F) -> L::F {
    let (zero, one) = (l.constant(0.0), l.constant(1.0));
    let a = l.abs(x);
    let is_large = l.lt(one, a);
    let t = l.div(l.select(is_large, l.constant(-1.0), a), l.select(is_large, a, one));
    let value = plus_quadrants(l, l.select(is_large, one, zero), arctan_reduced(l, t));
    with_sign(l, value, sign(l, x))
}

/// The angle of the point `(x, y)`, between `-π` and `π`, with the signs of zeros as in C99.
#[inline(always)]
pub fn arctan2<L: Lanes>(l: &L, y: L::F, x: L::F) -> L::F {
    let (zero, one) = (l.constant(0.0), l.constant(1.0));
    let (a, b) = (l.abs(x), l.abs(y));
    let is_steep = l.lt(a, b);
    let quotient = l.div(l.select(is_steep, l.neg(a), b), l.select(is_steep, b, a));
    // On the diagonal also of two zeros (0) and two infinities (1).
    let diagonal = l.select(l.lt(zero, a), one, zero);
    let t = l.select(l.eq(a, b), diagonal, quotient);
    let part = arctan_reduced(l, t);
    let k = l.select(is_steep, one, zero);
    // Left of the axis, π less the angle.
    let is_left = l.negative(l.bits(x));
    let k = l.select(is_left, l.sub(l.constant(2.0), k), k);
    let value = plus_quadrants(l, k, turned(l, part, sign(l, x)));
    with_sign(l, l.abs(value), sign(l, y))
}
