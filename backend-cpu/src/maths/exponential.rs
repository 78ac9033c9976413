//! Exponentials, and the logistic function.

use super::coefficients::{EXP, EXP2, LN_2};
use super::{Lanes, Width, constant, fraction_bits, integer};

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
    let [first, second] = steps(l, n);
    l.mul(l.mul(x, first), second)
}

/// Two powers of two, whose product is `2**n`.
#[inline(always)]
fn steps<L: Lanes>(l: &L, n: &Whole<L>) -> [L::F; 2] {
    let half = l.shr(n.biased, 1);
    [half, l.isub(n.biased, half)].map(|exponent| l.of_bits(l.shl(exponent, fraction_bits(l))))
}

/// `2**(n - less)`, which must be a normal number.
#[inline(always)]
pub(super) fn power_of_two<L: Lanes>(l: &L, n: &Whole<L>, less: u32) -> L::F {
    l.of_bits(l.shl(l.isub(n.biased, integer(l, 127 + less, 1023 + u64::from(less))), fraction_bits(l)))
}

/// `exp(x)` as `2**n (1 + rest)`, with `1 + rest` between about `√½` and `√2`.
pub(super) struct Exponential<L: Lanes> {
    pub n: Whole<L>,
    pub rest: L::F,
}

/// The same with the rest as a sum that is not rounded, of which the second part is the smaller.
pub(super) struct FineExponential<L: Lanes> {
    n: Whole<L>,
    rest: L::F,
    more: L::F,
}

/// `x - n ln 2`, rounded, and as it was before the last step, when it was exact.
#[inline(always)]
fn reduce<L: Lanes>(l: &L, x: L::F, n: &Whole<L>) -> (L::F, L::F) {
    let first = l.fnma(n.value, LN_2.at(l, 0), x);
    (l.fnma(n.value, LN_2.at(l, 1), first), first)
}

/// The exponential of `x`, and of what rounding took from `x`, for `x` with whole parts of `x / ln 2` in the range of
/// [`scale`]. The rest has an error of little more than its rounding.
#[inline(always)]
pub(super) fn exponential<L: Lanes>(l: &L, x: L::F, lost: Option<L::F>) -> Exponential<L> {
    let FineExponential { n, rest, more } = fine_exponential(l, x, lost);
    Exponential { n, rest: l.add(rest, more) }
}

/// As [`exponential`], before the last step.
#[inline(always)]
pub(super) fn fine_exponential<L: Lanes>(l: &L, x: L::F, lost: Option<L::F>) -> FineExponential<L> {
    let n = nearest(l, x, std::f64::consts::LOG2_E);
    let (mut r, first) = reduce(l, x, &n);
    let mut low = l.fnma(n.value, LN_2.at(l, 1), l.sub(first, r));
    if let Some(lost) = lost {
        let both = l.add(low, lost);
        let sum = l.add(r, both);
        (r, low) = (sum, l.add(l.sub(r, sum), both));
    }
    FineExponential { n, rest: r, more: l.fma(l.mul(r, r), EXP.at(l, r), low) }
}

impl<L: Lanes> FineExponential<L> {
    /// The exponential times a factor in two parts.
    #[inline(always)]
    pub fn times_pair(&self, l: &L, high: L::F, low: L::F) -> L::F {
        let small = l.fma(self.more, high, l.fma(self.rest, low, low));
        scale(l, l.add(high, l.fma(self.rest, high, small)), &self.n)
    }
}

impl<L: Lanes> Exponential<L> {
    /// The exponential times a factor.
    #[inline(always)]
    pub fn times(&self, l: &L, factor: L::F) -> L::F {
        scale(l, l.fma(self.rest, factor, factor), &self.n)
    }

    /// The exponential.
    #[inline(always)]
    pub fn value(&self, l: &L) -> L::F {
        scale(l, l.add(self.rest, l.constant(1.0)), &self.n)
    }

    /// The exponential, and what rounding took from it, unless it is subnormal.
    #[inline(always)]
    pub fn value_pair(&self, l: &L) -> (L::F, L::F) {
        let one = l.constant(1.0);
        let sum = l.add(self.rest, one);
        let [first, second] = steps(l, &self.n);
        let scaled = |x| l.mul(l.mul(x, first), second);
        (scaled(sum), scaled(l.sub(self.rest, l.sub(sum, one))))
    }

    /// The exponential, which must be a normal number.
    #[inline(always)]
    pub fn value_normal(&self, l: &L) -> L::F {
        let power = power_of_two(l, &self.n, 0);
        l.fma(power, self.rest, power)
    }
}

/// `exp(x)` as [`exponential`] takes it, with an error of about 0.9 ulp.
#[inline(always)]
pub(super) fn exp_in_range<L: Lanes>(l: &L, x: L::F) -> L::F {
    let n = nearest(l, x, std::f64::consts::LOG2_E);
    scale(l, exp_reduced(l, reduce(l, x, &n).0), &n)
}

/// Half of `exp(x)`, for `x` as in [`exponential`].
#[inline(always)]
pub(super) fn half_exp<L: Lanes>(l: &L, x: L::F) -> L::F {
    let Exponential { n, rest } = exponential(l, x, None);
    let n = Whole { value: n.value, biased: l.isub(n.biased, l.integer(1)) };
    scale(l, l.add(rest, l.constant(1.0)), &n)
}

/// `exp(r)` for `r` of at most `ln 2 / 2`.
#[inline(always)]
fn exp_reduced<L: Lanes>(l: &L, r: L::F) -> L::F {
    let one = l.constant(1.0);
    l.fma(l.fma(EXP.at(l, r), r, one), r, one)
}

/// The bounds beyond which `exp(x)` is 0 or infinity.
#[inline(always)]
pub(super) fn clamp_low<L: Lanes>(l: &L, x: L::F) -> L::F {
    l.max(constant(l, -104.0, -746.0), x)
}

/// The greatest number of which exponentials are taken: beyond, they are infinite.
#[inline(always)]
pub(super) fn clamp_high<L: Lanes>(l: &L, x: L::F) -> L::F {
    l.min(constant(l, 89.0, 710.0), x)
}

/// `exp(x)` for `x <= 0`.
#[inline(always)]
pub(super) fn exp_negative<L: Lanes>(l: &L, x: L::F) -> L::F {
    exp_in_range(l, clamp_low(l, x))
}

/// `exp(x)`
#[inline(always)]
pub fn exp<L: Lanes>(l: &L, x: L::F) -> L::F {
    exp_negative(l, clamp_high(l, x))
}

/// `2**x`
#[inline(always)]
pub fn exp2<L: Lanes>(l: &L, x: L::F) -> L::F {
    let x = l.max(constant(l, -151.0, -1080.0), l.min(constant(l, 129.0, 1025.0), x));
    let n = nearest(l, x, 1.0);
    let r = l.sub(x, n.value);
    scale(l, l.fma(EXP2.at(l, r), r, l.constant(1.0)), &n)
}

/// `exp(x) - 1`
#[inline(always)]
pub fn expm1<L: Lanes>(l: &L, x: L::F) -> L::F {
    let inside = l.max(constant(l, -20.0, -40.0), clamp_high(l, x));
    let Exponential { n, rest } = exponential(l, inside, None);
    // Half the power of two, as itself it may overflow; doubled at the end.
    let half = power_of_two(l, &n, 1);
    let sum = l.fma(half, rest, l.sub(half, l.constant(0.5)));
    // Numbers that small would lose a bit to the half, or the sign of 0.
    l.select(l.lt(l.abs(x), constant(l, 1e-8, 1e-17)), x, l.add(sum, sum))
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub fn sigmoid<L: Lanes>(l: &L, x: L::F) -> L::F {
    l.div(small(l), small_one_plus_exp(l, l.neg(x), None))
}

/// `top / (1 + exp(x))` for a top that is less than `2**80`; `lost` is what rounding took from `x`.
#[inline(always)]
pub(super) fn over_one_plus_exp<L: Lanes>(l: &L, top: L::F, x: L::F, lost: Option<L::F>) -> L::F {
    l.mul(l.div(top, small_one_plus_exp(l, x, lost)), small(l))
}

/// What one plus an exponential is kept smaller by, so that it does not overflow where its reciprocal is subnormal.
#[inline(always)]
fn small<L: Lanes>(l: &L) -> L::F {
    constant(l, 2f64.powi(-40), 2f64.powi(-80))
}

/// `1 + exp(x)` times [`small`], rounded once, or as good as that where the one is too small for its sum with the power of two;
/// `lost` is what rounding took from `x`.
#[inline(always)]
fn small_one_plus_exp<L: Lanes>(l: &L, x: L::F, lost: Option<L::F>) -> L::F {
    let x = l.max(constant(l, -20.0, -40.0), l.min(constant(l, 115.0, 755.0), x));
    let Exponential { n, rest } = exponential(l, x, lost);
    let power = match l.width() {
        Width::Single => power_of_two(l, &n, 40),
        Width::Double => power_of_two(l, &n, 80),
    };
    let most = l.add(power, small(l));
    let left = l.sub(small(l), l.sub(most, power));
    l.add(most, l.fma(power, rest, left))
}
