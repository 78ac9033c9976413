//! Logarithms.

use super::coefficients::{LN_2, LOG, LOG_RATIO, LOG2_E, LOG10_2, LOG10_E};
use super::exponential::{clamp_high, clamp_low, exponential, power_of_two};
use super::{Lanes, Parts, Width, constant, fraction_bits, integer, negative_abs, sign, with_sign};

/// A positive number as `2**exponent (1 + rest)`, with `1 + rest` between `√½` and `√2`.
pub(super) struct Split<L: Lanes> {
    pub exponent: L::F,
    pub rest: L::F,
    /// The biased exponent.
    biased: L::I,
}

/// Splits a normal number; `bias` is what to take from its exponent beside the format's.
#[inline(always)]
fn split_by<L: Lanes>(l: &L, x: L::F, extra: L::F) -> Split<L> {
    // The bits of √½, and of 1 less that.
    let (low, up) = (integer(l, 0x3f35_04f3, 0x3fe6_a09e_667f_3bcd), integer(l, 0x004a_fb0d, 0x0009_5f61_9980_c433));
    let bits = l.iadd(l.bits(x), up);
    let biased = l.shr(bits, fraction_bits(l));
    // The exponent in the low bits of a float whose unit is 1.
    let shifted = l.of_bits(l.or(biased, integer(l, 0x4b00_0000, 0x4330_0000_0000_0000)));
    let fraction = l.and(bits, integer(l, 0x007f_ffff, 0x000f_ffff_ffff_ffff));
    let rest = l.sub(l.of_bits(l.iadd(fraction, low)), l.constant(1.0));
    Split { exponent: l.sub(shifted, extra), rest, biased }
}

/// What [`split_by`] takes from the exponents of normal numbers.
#[inline(always)]
fn unscaled<L: Lanes>(l: &L) -> L::F {
    constant(l, 8_388_608.0 + 127.0, 4_503_599_627_370_496.0 + 1023.0)
}

/// Splits a positive normal number.
#[inline(always)]
fn split_normal<L: Lanes>(l: &L, x: L::F) -> Split<L> {
    split_by(l, x, unscaled(l))
}

/// Splits a positive number; subnormal ones by way of a multiple.
#[inline(always)]
pub(super) fn split<L: Lanes>(l: &L, x: L::F) -> Split<L> {
    let subnormal = l.lt(x, constant(l, f64::from(f32::MIN_POSITIVE), f64::MIN_POSITIVE));
    let scaled = l.mul(x, constant(l, 33_554_432.0, 18_014_398_509_481_984.0));
    let extra = constant(l, 8_388_608.0 + 127.0 + 25.0, 4_503_599_627_370_496.0 + 1023.0 + 54.0);
    split_by(l, l.select(subnormal, scaled, x), l.select(subnormal, extra, unscaled(l)))
}

/// `log(1 + f) - f` for `1 + f` between `√½` and `√2`. In `f64` by `s = f / (2 + f)`, as `log(1 + f)` is
/// `f - (f²/2 - s (f²/2 + R(s²)))` (FDLIBM, e_log.c).
#[inline(always)]
fn log1p_rest<L: Lanes>(l: &L, f: L::F) -> L::F {
    let square = l.mul(f, f);
    match l.width() {
        Width::Single => l.mul(square, LOG.at(l, f)),
        Width::Double => {
            let s = l.div(f, l.add(f, l.constant(2.0)));
            let z = l.mul(s, s);
            let half = l.mul(l.constant(0.5), square);
            l.fms(s, l.fma(z, LOG_RATIO.at(l, z), half), half)
        }
    }
}

/// `exponent ln 2 + log(1 + rest)`, and as much more as `low` says.
#[inline(always)]
fn natural<L: Lanes>(l: &L, exponent: L::F, rest: L::F, low: L::F) -> L::F {
    let low = l.fma(exponent, LN_2.at(l, 1), low);
    l.fma(exponent, LN_2.at(l, 0), l.add(rest, low))
}

/// The logarithm in another base, given its value at 2 and at e in two parts.
#[inline(always)]
fn in_base<L: Lanes>(l: &L, x: L::F, of_2: &Parts, of_e: &Parts) -> L::F {
    let Split { exponent, rest, .. } = split(l, x);
    let (high, low) = (of_e.at(l, 0), of_e.at(l, 1));
    let small = l.fma(rest, low, l.mul(exponent, of_2.at(l, 1)));
    let small = l.fma(log1p_rest(l, rest), high, small);
    let near = l.fma(rest, high, small);
    special(l, x, l.fma(exponent, of_2.at(l, 0), near))
}

/// A logarithm of `x`: `value`, but at 0, infinity, negative numbers and NaN what it is there.
#[inline(always)]
pub(super) fn special<L: Lanes>(l: &L, x: L::F, value: L::F) -> L::F {
    let zero = l.constant(0.0);
    let pole = l.select(l.eq(x, zero), l.constant(f64::NEG_INFINITY), l.constant(f64::NAN));
    let value = l.select(l.lt(x, l.constant(f64::INFINITY)), value, x);
    l.select(l.lt(zero, x), value, pole)
}

/// `log(x)`
#[inline(always)]
pub fn log<L: Lanes>(l: &L, x: L::F) -> L::F {
    let Split { exponent, rest, .. } = split(l, x);
    special(l, x, natural(l, exponent, rest, log1p_rest(l, rest)))
}

/// The logarithm in base 2.
#[inline(always)]
pub fn log2<L: Lanes>(l: &L, x: L::F) -> L::F {
    const ONE: Parts = Parts { single: [1.0, 0.0, 0.0], double: [1.0, 0.0, 0.0] };
    in_base(l, x, &ONE, &LOG2_E)
}

/// The logarithm in base 10.
#[inline(always)]
pub fn log10<L: Lanes>(l: &L, x: L::F) -> L::F {
    in_base(l, x, &LOG10_2, &LOG10_E)
}

/// `log(1 + x)`
#[inline(always)]
pub fn log1p<L: Lanes>(l: &L, x: L::F) -> L::F {
    let sum = l.add(l.constant(1.0), x);
    let value = log1p_of_sum(l, x, None, sum, l.constant(0.0));
    // The sign is that of x, also of 0.
    with_sign(l, special(l, sum, value), sign(l, x))
}

/// `log(1 + x + x_low) + extra ln 2` for finite `x > -1`, given `sum` as `1 + x` rounded; of -0 it is 0.
#[inline(always)]
pub(super) fn log1p_of_sum<L: Lanes>(l: &L, x: L::F, x_low: Option<L::F>, sum: L::F, extra: L::F) -> L::F {
    let one = l.constant(1.0);
    // What rounding took from the sum (D. E. Knuth, The Art of Computer Programming, 4.2.2).
    let part = l.sub(sum, one);
    let lost = l.add(l.sub(one, l.sub(sum, part)), l.sub(x, part));
    let lost = x_low.map_or(lost, |x_low| l.add(lost, x_low));
    log_of_sum(l, sum, lost, extra)
}

/// `log(1 + f) - f` and `lost` of the number that was split, divided by its power of two and by `1 + f`.
#[inline(always)]
fn rest_with_lost<L: Lanes>(l: &L, part: &Split<L>, lost: L::F) -> L::F {
    let lost = l.mul(lost, inverse_power(l, part.biased));
    l.add(log1p_rest(l, part.rest), l.fnma(lost, part.rest, lost))
}

/// `2**-exponent`, given the biased exponent; 0 for the largest, of which it would be subnormal.
#[inline(always)]
fn inverse_power<L: Lanes>(l: &L, biased: L::I) -> L::F {
    // The bits of the largest exponent become those of -infinity.
    let power = l.of_bits(l.shl(l.isub(integer(l, 254, 2046), biased), fraction_bits(l)));
    l.max(power, l.constant(0.0))
}

/// `log(sum + lost) + extra ln 2` for a positive normal `sum`, and `lost` of at most its rounding.
#[inline(always)]
fn log_of_sum<L: Lanes>(l: &L, sum: L::F, lost: L::F, extra: L::F) -> L::F {
    let part = split_normal(l, sum);
    natural(l, l.add(part.exponent, extra), part.rest, rest_with_lost(l, &part, lost))
}

/// `log(1 + exp(-|x|))`
#[inline(always)]
fn log1p_exp<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let (small, small_low) = exponential(l, clamp_low(l, negative_abs(l, x)), None).value_pair(l);
    let sum = l.add(one, small);
    // As the sum is the larger, what rounding took is simple.
    log_of_sum(l, sum, l.add(l.sub(small, l.sub(sum, one)), small_low), l.constant(0.0))
}

/// `log(1 + exp(x))`
#[inline(always)]
pub fn softplus<L: Lanes>(l: &L, x: L::F) -> L::F {
    l.add(l.max(l.constant(0.0), x), log1p_exp(l, x))
}

/// `log(sigmoid(x))`
#[inline(always)]
pub fn log_sigmoid<L: Lanes>(l: &L, x: L::F) -> L::F {
    l.neg(softplus(l, l.neg(x)))
}

/// `log(1 - exp(x))` for `x <= 0`; NaN above. The difference is computed in two parts, from an exponential that is not
/// rounded.
#[inline(always)]
pub fn log1mexp<L: Lanes>(l: &L, x: L::F) -> L::F {
    let power = exponential(l, clamp_low(l, clamp_high(l, x)), None);
    let scale = power_of_two(l, &power.n, 0);
    let most = l.sub(l.constant(1.0), scale);
    let sum = l.fnma(scale, power.rest, most);
    let lost = l.fnma(scale, power.rest, l.sub(most, sum));
    let part = split(l, sum);
    let value = special(l, sum, natural(l, part.exponent, part.rest, rest_with_lost(l, &part, lost)));
    // Where `1 - exp(x)` rounds to 1 the logarithm is `-exp(x)`, to the sign of 0; further down `1 - scale` is not exact.
    l.select(l.lt(x, constant(l, -16.7, -36.9)), l.neg(power.value(l)), value)
}

/// `log(x / (1 - x))`, the inverse of the logistic function. About 1/2, where it is 0, by `log(1 + u)` with
/// `u = (2x - 1) / (1 - x)`, of which the numerator is exact; above 1/3 that is the better conditioned form.
#[inline(always)]
pub fn logit<L: Lanes>(l: &L, x: L::F) -> L::F {
    let one = l.constant(1.0);
    let is_middle = l.both(l.lt(l.constant(0.334), x), l.lt(x, l.constant(0.65)));
    let beyond = l.sub(x, l.constant(0.5));
    let top = l.select(is_middle, l.add(beyond, beyond), x);
    let bottom = l.sub(one, x);
    let inverse = l.div(one, bottom);
    let quotient = l.mul(top, inverse);
    // What rounding took from the difference, and so from the quotient.
    let bottom_low = l.sub(l.sub(one, bottom), x);
    let quotient_low = l.mul(l.fnma(quotient, bottom_low, l.fnma(quotient, bottom, top)), inverse);
    let whole = l.add(one, quotient);
    let sum = l.select(is_middle, whole, quotient);
    let part = l.sub(whole, one);
    let lost = l.add(l.sub(one, l.sub(whole, part)), l.sub(quotient, part));
    let lost = l.add(l.select(is_middle, lost, l.constant(0.0)), quotient_low);
    let part = split(l, sum);
    special(l, sum, natural(l, part.exponent, part.rest, rest_with_lost(l, &part, lost)))
}

/// `x log(y)`; 0 where `x` is 0 and `y` is not NaN.
#[inline(always)]
pub fn xlogy<L: Lanes>(l: &L, x: L::F, y: L::F) -> L::F {
    or_zero(l, x, y, log(l, y))
}

/// `x log(1 + y)`; 0 where `x` is 0 and `y` is not NaN.
#[inline(always)]
pub fn xlog1py<L: Lanes>(l: &L, x: L::F, y: L::F) -> L::F {
    or_zero(l, x, y, log1p(l, y))
}

#[inline(always)]
fn or_zero<L: Lanes>(l: &L, x: L::F, y: L::F, log: L::F) -> L::F {
    let zero = l.constant(0.0);
    l.select(l.both(l.eq(x, zero), l.eq(y, y)), zero, l.mul(x, log))
}
