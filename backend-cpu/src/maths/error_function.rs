//! The error function and its relatives.

use super::coefficients::{ERF, ERFC_SCALED};
use super::exponential::exponential;
use super::{Lanes, constant, sign, with_sign};

/// `exp(a²) erfc(a)` for `a >= 0`, as a polynomial in `q = (a - 4) / (a + 4)` over `a + 4` (the variable of M. M. Shepherd
/// and J. G. Laframboise, Chebyshev approximation of (1 + 2x) exp(x²) erfc(x), 1981): the polynomial and the relative
/// error of the factor `1 / (a + 4)` that goes with it, which is not applied yet.
struct Scaled<L: Lanes> {
    value: L::F,
    /// The relative error of the value: what has to be added to the exponent.
    lost: L::F,
}

#[inline(always)]
fn erfc_scaled<L: Lanes>(l: &L, a: L::F) -> Scaled<L> {
    let (one, four) = (l.constant(1.0), l.constant(4.0));
    let sum = l.add(a, four);
    let inverse = l.div(one, sum);
    // The rest of a after rounding, larger or less than 4.
    let part = l.sub(sum, four);
    let sum_low = l.add(l.sub(four, l.sub(sum, part)), l.sub(a, part));
    let lost = l.fnma(inverse, sum_low, l.fnma(inverse, sum, one));
    let q = l.fnma(l.constant(8.0), inverse, one);
    Scaled { value: l.mul(ERFC_SCALED.at(l, q), inverse), lost }
}

/// `factor erfc(a)` for `a >= 0`, given `a²` in two parts.
#[inline(always)]
fn erfc_times<L: Lanes>(l: &L, a: L::F, square: L::F, square_low: L::F, factor: Option<L::F>) -> L::F {
    let Scaled { value, lost } = erfc_scaled(l, a);
    let power = exponential(l, l.neg(square), Some(l.sub(lost, square_low)));
    power.times(l, match factor {
        Some(factor) => l.mul(factor, value),
        None => value,
    })
}

/// `erfc(|x|)`
#[inline(always)]
fn erfc_abs<L: Lanes>(l: &L, a: L::F) -> L::F {
    let a = l.min(constant(l, 10.3, 27.5), a);
    let square = l.mul(a, a);
    erfc_times(l, a, square, l.fms(a, a, square), None)
}

/// The integral of `2/√π exp(-t²)` from 0 to `x`: a polynomial up to 1, above 1 less `erfc`.
#[inline(always)]
pub fn erf<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let square = l.mul(a, a);
    let near = l.fma(a, ERF.at(l, square), a);
    let far = l.sub(one, erfc_abs(l, a));
    with_sign(l, l.select(l.lt(one, a), far, near), sign(l, x))
}

/// `1 - erf(x)`
#[inline(always)]
pub fn erfc<L: Lanes>(l: &L, x: L::F) -> L::F {
    let right = erfc_abs(l, l.abs(x));
    let left = l.sub(l.constant(2.0), right);
    l.select(l.lt(x, l.constant(0.0)), left, right)
}

/// `Φ(-|x|)`, as half `erfc(|x| / √2)`, times a factor. The exponent `-x²/2` is not computed from the quotient, whose rounding
/// it would enlarge.
#[inline(always)]
fn normal_tail<L: Lanes>(l: &L, x: L::F, factor: L::F) -> L::F {
    let half = l.constant(0.5);
    let a = l.min(constant(l, 15.0, 39.5), l.abs(x));
    let square = l.mul(a, a);
    let (high, low) = (l.mul(half, square), l.mul(half, l.fms(a, a, square)));
    let scaled = l.mul(a, l.constant(std::f64::consts::FRAC_1_SQRT_2));
    erfc_times(l, scaled, high, low, Some(l.mul(half, factor)))
}

/// The distribution function `Φ` of the standard normal distribution.
#[inline(always)]
pub fn ndtr<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let tail = normal_tail(l, x, one);
    l.select(l.lt(l.constant(0.0), x), l.sub(one, tail), tail)
}

/// `x Φ(x)`
#[inline(always)]
pub fn gelu<L: Lanes>(l: &L, x: L::F) -> L::F {
    let bounded = l.max(constant(l, -15.0, -39.5), x);
    let tail = normal_tail(l, x, l.min(constant(l, 15.0, 39.5), bounded));
    l.select(l.lt(l.constant(0.0), x), l.sub(x, tail), tail)
}
