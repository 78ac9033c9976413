//! Exponentials, and the logistic function.

use super::coefficients::{EXP, EXP2, LN_2};
use super::{Lanes, constant, fraction_bits, integer, negative_abs};

/// A whole number: as a float, and in the low bits of an integer, with twice the bias of exponents added.
pub(super) struct Whole<L: Lanes> {
    pub value: L::F,
    pub biased: L::I,
}

/// A float whose unit in the last place is 1, so that a sum with it is rounded to a whole number, which is then in its
/// low bits; with twice the bias of exponents added.
#[inline(always)]
fn shifter<L: Lanes>(l: &L) -> L::F {
    constant(l, 12_582_912.0 + 254.0, 6_755_399_441_055_744.0 + 2046.0)
}

/// The whole number nearest to `x * y`.
#[inline(always)]
pub(super) fn nearest<L: Lanes>(l: &L, x: L::F, y: f64) -> Whole<L> {
    let shifted = l.fma(x, l.constant(y), shifter(l));
    Whole { value: l.sub(shifted, shifter(l)), biased: l.bits(shifted) }
}

/// `x * 2**n`, for `n` of a range twice that of exponents: in two steps, of which only the last rounds.
#[inline(always)]
pub(super) fn scale<L: Lanes>(l: &L, x: L::F, n: &Whole<L>) -> L::F {
    let bits = fraction_bits(l);
    let half = l.shr(n.biased, 1);
    let rest = l.isub(n.biased, half);
    l.mul(l.mul(x, l.from_bits(l.shl(half, bits))), l.from_bits(l.shl(rest, bits)))
}

/// `2**(n - less)`, which must be a normal number.
#[inline(always)]
fn power_of_two<L: Lanes>(l: &L, n: &Whole<L>, less: u32) -> L::F {
    l.from_bits(l.shl(l.isub(n.biased, integer(l, 127 + less, 1023 + u64::from(less))), fraction_bits(l)))
}

/// `x - n ln 2`: rounded, after a first step that is exact.
#[inline(always)]
fn reduce<L: Lanes>(l: &L, x: L::F, n: &Whole<L>) -> (L::F, L::F) {
    let first = l.fnma(n.value, LN_2.at(l, 0), x);
    (l.fnma(n.value, LN_2.at(l, 1), first), first)
}

/// `exp(r)` for `r` of at most `ln 2 / 2`.
#[inline(always)]
fn exp_reduced<L: Lanes>(l: &L, r: L::F) -> L::F {
    let one = l.constant(1.0);
    l.fma(l.fma(EXP.at(l, r), r, one), r, one)
}

/// `exp(x)` for `x` of which the integer part of `x / ln 2` is in the range of [`scale`].
#[inline(always)]
pub(super) fn exp_in_range<L: Lanes>(l: &L, x: L::F) -> L::F {
    let n = nearest(l, x, std::f64::consts::LOG2_E);
    let (r, _) = reduce(l, x, &n);
    scale(l, exp_reduced(l, r), &n)
}

/// `exp(x)` for `x <= 0`.
#[inline(always)]
pub(super) fn exp_negative<L: Lanes>(l: &L, x: L::F) -> L::F {
    exp_in_range(l, l.max(constant(l, -104.0, -746.0), x))
}

/// `exp(x)`
#[inline(always)]
pub fn exp<L: Lanes>(l: &L, x: L::F) -> L::F {
    exp_negative(l, l.min(constant(l, 89.0, 710.0), x))
}

/// `2**x`
#[inline(always)]
pub fn exp2<L: Lanes>(l: &L, x: L::F) -> L::F {
    let x = l.max(constant(l, -151.0, -1080.0), l.min(constant(l, 129.0, 1025.0), x));
    let n = nearest(l, x, 1.0);
    let r = l.sub(x, n.value);
    scale(l, l.fma(EXP2.at(l, r), r, l.constant(1.0)), &n)
}

/// `exp(r) - 1` for the rest of a reduction, with what rounding took from it.
#[inline(always)]
fn expm1_reduced<L: Lanes>(l: &L, x: L::F, n: &Whole<L>) -> L::F {
    let (r, first) = reduce(l, x, n);
    let lost = l.fnma(n.value, LN_2.at(l, 1), l.sub(first, r));
    l.add(r, l.fma(l.mul(r, r), EXP.at(l, r), lost))
}

/// `exp(x) - 1`
#[inline(always)]
pub fn expm1<L: Lanes>(l: &L, x: L::F) -> L::F {
    let inside = l.max(constant(l, -20.0, -40.0), l.min(constant(l, 89.0, 710.0), x));
    let n = nearest(l, inside, std::f64::consts::LOG2_E);
    // Half the power of two, as itself it may overflow; doubled at the end.
    let half = power_of_two(l, &n, 1);
    let sum = l.fma(half, expm1_reduced(l, inside, &n), l.sub(half, l.constant(0.5)));
    // Numbers that small would lose a bit to the half, or the sign of 0.
    l.select(l.lt(l.abs(x), constant(l, 1e-8, 1e-17)), x, l.add(sum, sum))
}

/// `exp(x) - 1` for `x <= 0`; of -0 it is 0.
#[inline(always)]
pub(super) fn expm1_negative<L: Lanes>(l: &L, x: L::F) -> L::F {
    let x = l.max(constant(l, -20.0, -40.0), x);
    let n = nearest(l, x, std::f64::consts::LOG2_E);
    let power = power_of_two(l, &n, 0);
    l.fma(power, expm1_reduced(l, x, &n), l.sub(power, l.constant(1.0)))
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub fn sigmoid<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    // exp(-|x|), which cannot overflow.
    let small = exp_negative(l, negative_abs(l, x));
    l.div(l.select(l.lt(x, l.constant(0.0)), small, one), l.add(one, small))
}
