//! The error function and its relatives.

use super::coefficients::{ERF, ERFC_MIDDLE, ERFC_SCALED, SQRT_HALF};
use super::exponential::fine_exponential;
use super::{Lanes, constant, sign, with_sign};

/// A number and what rounding took from it.
#[derive(Clone, Copy)]
struct Pair<F> {
    high: F,
    low: F,
}

/// `a²`, and `a` without a correction.
#[inline(always)]
fn with_square<L: Lanes>(l: &L, a: L::F) -> (Pair<L::F>, Pair<L::F>) {
    let square = l.mul(a, a);
    (Pair { high: a, low: l.constant(0.0) }, Pair { high: square, low: l.fms(a, a, square) })
}

/// `factor erfc(a)` for `a` from 0.3 on, given `a²`: `exp(-a²)` times a polynomial in
/// `q = (a - 2) / (a + 2)`, over `a + 2` (after M. M. Shepherd and J. G. Laframboise, Chebyshev approximation of
/// (1 + 2x) exp(x²) erfc(x), 1981). Products are kept in two parts until the end.
#[inline(always)]
fn far<L: Lanes>(l: &L, a: Pair<L::F>, square: Pair<L::F>, factor: Option<L::F>) -> L::F {
    let (one, two) = (l.constant(1.0), l.constant(2.0));
    let sum = l.add(a.high, two);
    let inverse = l.div(one, sum);
    // What rounding took from the sum, and the relative error of the inverse.
    let part = l.sub(sum, two);
    let sum_low = l.add(l.add(l.sub(two, l.sub(sum, part)), l.sub(a.high, part)), a.low);
    let lost = l.fnma(inverse, sum_low, l.fnma(inverse, sum, one));
    let step = l.mul(l.constant(4.0), inverse);
    let q = l.sub(one, step);
    // What it is too large by, and the slope of the series.
    let q_low = l.fnma(step, lost, l.sub(l.sub(one, q), step));
    let slope = l.fma(l.constant(0.5), q, l.constant(-0.687));
    let rest = ERFC_SCALED.at(l, q);
    let middle = ERFC_MIDDLE.at(l, 0);
    let series = l.fma(rest, q, middle);
    let series_low = l.add(l.fma(rest, q, l.sub(middle, series)), l.fma(slope, q_low, ERFC_MIDDLE.at(l, 1)));
    let (scale, scale_low) = match factor {
        Some(factor) => {
            let product = l.mul(inverse, factor);
            (product, Some(l.fms(inverse, factor, product)))
        }
        None => (inverse, None),
    };
    let value = l.mul(series, scale);
    let low = l.fms(series, scale, value);
    let low = match scale_low {
        Some(scale_low) => l.fma(series, scale_low, low),
        None => low,
    };
    let low = l.fma(series_low, scale, low);
    fine_exponential(l, l.neg(square.high), Some(l.sub(lost, square.low))).times_pair(l, value, low)
}

/// As [`far`]; for small numbers from `erf`, as there the variable of the other is not exact enough.
#[inline(always)]
fn erfc_times<L: Lanes>(l: &L, a: Pair<L::F>, square: Pair<L::F>, factor: L::F) -> L::F {
    let small = l.fnma(factor, erf_near(l, a.high, square.high), factor);
    l.select(l.lt(a.high, l.constant(0.3)), small, far(l, a, square, Some(factor)))
}

/// `erf(a)` for `a` up to 1.
#[inline(always)]
fn erf_near<L: Lanes>(l: &L, a: L::F, square: L::F) -> L::F {
    l.fma(a, ERF.at(l, square), a)
}

/// Where `erfc` is 0 already.
#[inline(always)]
fn bounded<L: Lanes>(l: &L, a: L::F) -> L::F {
    l.min(constant(l, 10.3, 27.5), a)
}

/// The integral of `2/√π exp(-t²)` from 0 to `x`: a polynomial up to 1, above 1 less `erfc`.
#[inline(always)]
pub fn erf<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let a = l.abs(x);
    let (b, square) = with_square(l, bounded(l, a));
    let complement = l.sub(one, far(l, b, square, None));
    with_sign(l, l.select(l.lt(one, a), complement, erf_near(l, a, square.high)), sign(l, x))
}

/// `1 - erf(x)`
#[inline(always)]
pub fn erfc<L: Lanes>(l: &L, x: L::F) -> L::F {
    let (a, square) = with_square(l, bounded(l, l.abs(x)));
    let right = erfc_times(l, a, square, l.constant(1.0));
    let left = l.sub(l.constant(2.0), right);
    l.select(l.lt(x, l.constant(0.0)), left, right)
}

/// `Φ(-|x|)`, as half `erfc(|x| / √2)`, times a factor. The exponent `-x²/2` is not computed from the quotient, whose rounding
/// it would enlarge.
#[inline(always)]
fn normal_tail<L: Lanes>(l: &L, x: L::F, factor: L::F) -> L::F {
    let half = l.constant(0.5);
    let a = l.min(constant(l, 15.0, 39.5), l.abs(x));
    let (_, square) = with_square(l, a);
    let square = Pair { high: l.mul(half, square.high), low: l.mul(half, square.low) };
    let root = SQRT_HALF.at(l, 0);
    let scaled = l.mul(a, root);
    let scaled = Pair { high: scaled, low: l.fma(a, SQRT_HALF.at(l, 1), l.fms(a, root, scaled)) };
    erfc_times(l, scaled, square, l.mul(half, factor))
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
    // What rounds to 0 keeps its sign.
    with_sign(l, l.select(l.lt(l.constant(0.0), x), l.sub(x, tail), tail), sign(l, x))
}
