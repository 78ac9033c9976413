//! Sine, cosine and tangent.

use super::coefficients::{COS, HALF_PI, SIN, TAN};
use super::{Lanes, Slow, constant, integer, lane_bits, sign, turned};

/// A number less a multiple of `π/2`.
struct Quadrant<L: Lanes> {
    /// The multiple, of which the two low bits count.
    count: L::I,
    /// The rest, of at most about `π/4`.
    rest: L::F,
    /// What rounding took from it.
    lost: L::F,
}

/// The bound beyond which the multiple is too large for [`reduce`], and for a whole number in the low bits.
#[inline(always)]
fn bound<L: Lanes>(l: &L) -> L::F {
    constant(l, 65_536.0, 1_073_741_824.0)
}

/// Cody and Waite's reduction (Software Manual for the Elementary Functions, 1980) in three parts, of which the first
/// is exact as the product is not rounded.
#[inline(always)]
fn reduce<L: Lanes>(l: &L, x: L::F) -> Quadrant<L> {
    let shifter = constant(l, 12_582_912.0, 6_755_399_441_055_744.0);
    let shifted = l.fma(x, l.constant(std::f64::consts::FRAC_2_PI), shifter);
    let n = l.sub(shifted, shifter);
    let first = l.fnma(n, HALF_PI.at(l, 0), x);
    let second = HALF_PI.at(l, 1);
    let product = l.mul(n, second);
    let rest = l.sub(first, product);
    let lost = l.sub(l.sub(l.sub(first, rest), product), l.fms(n, second, product));
    Quadrant { count: l.bits(shifted), rest, lost: l.fnma(n, HALF_PI.at(l, 2), lost) }
}

/// The mask of odd counts.
#[inline(always)]
fn is_odd<L: Lanes>(l: &L, count: L::I) -> L::M {
    l.negative(l.shl(count, lane_bits(l) - 1))
}

/// The sine of the rest where the count is even, the cosine where it is odd, with the sign of the second bit.
#[inline(always)]
fn wave<L: Lanes>(l: &L, quadrant: &Quadrant<L>) -> L::F {
    let Quadrant { count, rest: r, lost } = *quadrant;
    let square = l.mul(r, r);
    let sin = l.add(r, l.fma(l.mul(r, square), SIN.at(l, square), lost));
    let half = l.mul(l.constant(0.5), square);
    let most = l.sub(l.constant(1.0), half);
    // What rounding took from 1 - r²/2, and the rest of the series.
    let low = l.fnma(r, lost, l.sub(l.sub(l.constant(1.0), most), half));
    let cos = l.add(most, l.fma(l.mul(square, square), COS.at(l, square), low));
    let sign = l.and(l.shl(count, lane_bits(l) - 2), integer(l, 1 << 31, 1 << 63));
    turned(l, l.select(is_odd(l, count), cos, sin), sign)
}

/// `sin(x)`
#[inline(always)]
pub fn sin<L: Lanes>(l: &L, x: L::F) -> L::F {
    let a = l.abs(x);
    let value = turned(l, wave(l, &reduce(l, a)), sign(l, x));
    l.fallback(l.le(bound(l), a), Slow::Sin, x, value)
}

/// `cos(x)`
#[inline(always)]
pub fn cos<L: Lanes>(l: &L, x: L::F) -> L::F {
    let a = l.abs(x);
    let mut quadrant = reduce(l, a);
    quadrant.count = l.iadd(quadrant.count, l.integer(1));
    l.fallback(l.le(bound(l), a), Slow::Cos, x, wave(l, &quadrant))
}

/// `tan(x)`: of the rest by a polynomial; in odd quadrants the negative reciprocal.
#[inline(always)]
pub fn tan<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let Quadrant { count, rest: r, lost } = reduce(l, a);
    let square = l.mul(r, r);
    // The derivative of the tangent is 1 + tan², about 1 + r² + 2/3 r⁴.
    let slope = l.fma(l.mul(square, square), l.constant(2.0 / 3.0), l.add(one, square));
    let more = l.fma(l.mul(r, square), TAN.at(l, square), l.mul(lost, slope));
    let tan = l.add(r, more);
    let tan_low = l.sub(more, l.sub(tan, r));
    let odd = is_odd(l, count);
    let (top, bottom) = (l.select(odd, l.constant(-1.0), tan), l.select(odd, tan, one));
    let value = l.div(top, bottom);
    // What the quotient is off by, which is nothing in even quadrants.
    let off = l.select(odd, l.fnma(value, tan_low, l.fnma(value, bottom, top)), l.constant(0.0));
    let value = l.fnma(off, value, value);
    l.fallback(l.le(bound(l), a), Slow::Tan, x, turned(l, value, sign(l, x)))
}
