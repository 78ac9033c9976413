//! Powers and lengths.

use super::coefficients::{ATANH_SERIES, EXP2, THIRD, TWICE_LOG2_E};
use super::exponential::{nearest, scale};
use super::logarithm::{Split, split};
use super::{Lanes, constant, integer, turned};

/// A number and a correction to it.
#[derive(Clone, Copy)]
struct Pair<F> {
    high: F,
    low: F,
}

/// The sum, of which the first operand is the larger, or 0.
#[inline(always)]
fn ordered<L: Lanes>(l: &L, x: L::F, y: L::F, low: L::F) -> Pair<L::F> {
    let high = l.add(x, y);
    Pair { high, low: l.add(l.add(l.sub(x, high), y), low) }
}

/// The product of two pairs.
#[inline(always)]
fn product<L: Lanes>(l: &L, x: Pair<L::F>, y: Pair<L::F>) -> Pair<L::F> {
    let high = l.mul(x.high, y.high);
    let low = l.fma(x.high, y.low, l.fma(x.low, y.high, l.fms(x.high, y.high, high)));
    Pair { high, low }
}

/// The logarithm of a positive number in base 2, to some 12 bits more than the format has: the first two terms of
/// `artanh(s) = s + s³/3 + s⁵ p(s²)` in pairs, with `s = f / (2 + f)`.
#[inline(always)]
fn log2_pair<L: Lanes>(l: &L, x: L::F) -> Pair<L::F> {
    let Split { exponent, rest: f, .. } = split(l, x);
    let (one, two) = (l.constant(1.0), l.constant(2.0));
    let sum = l.add(two, f);
    let sum_low = l.sub(f, l.sub(sum, two));
    let inverse = l.div(one, sum);
    let high = l.mul(f, inverse);
    let low = l.mul(inverse, l.fnma(high, sum_low, l.fnma(high, sum, f)));
    let s = Pair { high, low };
    let square = product(l, s, s);
    let third = Pair { high: THIRD.at(l, 0), low: THIRD.at(l, 1) };
    let mut series = product(l, square, third);
    series.low = l.fma(l.mul(square.high, square.high), ATANH_SERIES.at(l, square.high), series.low);
    let cubic = product(l, s, series);
    let artanh = ordered(l, s.high, cubic.high, l.add(cubic.low, s.low));
    let log = product(l, artanh, Pair { high: TWICE_LOG2_E.at(l, 0), low: TWICE_LOG2_E.at(l, 1) });
    ordered(l, exponent, log.high, log.low)
}

/// `x**y`, with the special values of C99.
#[inline(always)]
pub fn pow<L: Lanes>(l: &L, x: L::F, y: L::F) -> L::F {
    let (zero, one, infinity) = (l.constant(0.0), l.constant(1.0), l.constant(f64::INFINITY));
    let a = l.abs(x);
    let log = log2_pair(l, a);
    let high = l.select(l.lt(a, infinity), log.high, a);
    let high = l.select(l.eq(a, zero), l.constant(f64::NEG_INFINITY), high);
    let power = l.mul(y, high);
    let power_low = l.fma(y, log.low, l.fms(y, high, power));
    // Beyond the range the correction does not matter, and may be infinite.
    let power_low = l.select(l.lt(l.abs(power), constant(l, 200.0, 1200.0)), power_low, zero);
    let power = l.max(constant(l, -152.0, -1080.0), l.min(constant(l, 130.0, 1026.0), power));
    let n = nearest(l, power, 1.0);
    let r = l.add(l.sub(power, n.value), power_low);
    let value = scale(l, l.fma(EXP2.at(l, r), r, one), &n);
    let value = l.select(l.either(l.eq(a, one), l.eq(y, zero)), one, value);
    // Of a negative number: odd powers are negative, broken ones not a number.
    let half = l.mul(l.constant(0.5), y);
    let is_whole = l.eq(l.floor(y), y);
    let sign = l.and(l.bits(x), integer(l, 1 << 31, 1 << 63));
    let odd = turned(l, value, sign);
    let signed = l.select(l.eq(l.floor(half), half), value, odd);
    let is_negative = l.both(l.lt(x, zero), l.lt(a, infinity));
    let broken = l.select(is_negative, l.constant(f64::NAN), value);
    l.select(is_whole, signed, broken)
}

/// `√(x² + y²)`, without overflow or underflow on the way; infinite if one of them is.
#[inline(always)]
pub fn hypot<L: Lanes>(l: &L, x: L::F, y: L::F) -> L::F {
    let (one, infinity) = (l.constant(1.0), l.constant(f64::INFINITY));
    let power = |single: i32, double: i32| constant(l, 2f64.powi(single), 2f64.powi(double));
    let (a, b) = (l.abs(x), l.abs(y));
    let most = l.max(a, b);
    let (is_large, is_small) = (l.lt(power(62, 500), most), l.lt(most, power(-40, -400)));
    let down = l.select(is_large, power(-64, -600), l.select(is_small, power(100, 700), one));
    let up = l.select(is_large, power(64, 600), l.select(is_small, power(-100, -700), one));
    let (a_scaled, b_scaled) = (l.mul(a, down), l.mul(b, down));
    let root = l.sqrt(l.fma(a_scaled, a_scaled, l.mul(b_scaled, b_scaled)));
    l.select(l.either(l.eq(a, infinity), l.eq(b, infinity)), infinity, l.mul(root, up))
}
