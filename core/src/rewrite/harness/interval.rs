//! Numbers between two bounds of arbitrary precision: every operation encloses the exact result, so
//! that one that is too wide says by itself that it needs more bits.

use std::cell::RefCell;

use astro_float::{BigFloat, Consts, RoundingMode, Sign};

const ROUND: RoundingMode = RoundingMode::ToEven;

/// What is known of a real number.
#[derive(Clone, Debug)]
pub enum Interval {
    /// It is undefined.
    Nan,
    /// It lies between these, either of which may be infinite.
    Range(BigFloat, BigFloat),
    /// Nothing, not even whether it is defined.
    Unknown,
}

use Interval::{Nan, Range, Unknown};

thread_local! {
    static CONSTS: RefCell<Option<Consts>> = const { RefCell::new(None) };
}

pub(super) fn consts(f: impl FnOnce(&mut Consts) -> BigFloat) -> BigFloat {
    CONSTS.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Consts::new().ok();
        }
        slot.as_mut().map_or_else(|| BigFloat::nan(None), f)
    })
}

/// Less is the same as not greater: the numbers are never NaN.
fn less(a: &BigFloat, b: &BigFloat) -> bool {
    a.cmp(b).is_some_and(|order| order < 0)
}

fn smaller(a: BigFloat, b: BigFloat) -> BigFloat {
    if less(&b, &a) { b } else { a }
}

fn larger(a: BigFloat, b: BigFloat) -> BigFloat {
    if less(&a, &b) { b } else { a }
}

/// The arithmetic with some number of bits.
#[derive(Clone, Copy, Debug)]
pub struct Bits(pub usize);

impl Bits {
    /// A number as a precise one.
    pub fn number(self, value: f64) -> BigFloat {
        // Subnormal numbers come out of `from_f64` wrong.
        if value.is_subnormal() {
            let mut scaled = BigFloat::from_f64(value * 2f64.powi(128), self.0.max(64));
            let exponent = scaled.exponent().unwrap_or_default();
            scaled.set_exponent(exponent - 128);
            return scaled;
        }
        BigFloat::from_f64(value, self.0.max(64))
    }

    /// Exactly this number.
    pub fn exactly(self, value: f64) -> Interval {
        if value.is_nan() {
            return Nan;
        }
        Range(self.number(value), self.number(value))
    }

    fn truth(self, value: bool) -> Interval {
        self.exactly(f64::from(u8::from(value)))
    }

    /// Either of false and true.
    fn either(self) -> Interval {
        Range(self.number(0.0), self.number(1.0))
    }

    /// Bounds of what was computed, once for each bound: `finite` says that the exact value is no
    /// infinity, so that bounds beyond it overflowed; `nonzero` that it is not 0, so that they underflowed.
    pub(super) fn settle(self, mut lo: BigFloat, mut hi: BigFloat, exact: bool, finite: bool, nonzero: bool) -> Interval {
        match (lo.is_nan(), hi.is_nan()) {
            (true, true) => return Nan,
            (false, false) => {}
            _ => return Unknown,
        }
        if !exact {
            lo = self.widen(lo, Sign::Neg);
            hi = self.widen(hi, Sign::Pos);
        }
        let most = || BigFloat::max_value(self.0);
        let least = || BigFloat::min_positive_normal(self.0);
        if finite && lo.is_inf_pos() {
            lo = most();
        }
        if finite && hi.is_inf_neg() {
            hi = most().neg();
        }
        if nonzero && lo.is_zero() {
            lo = least().neg();
        }
        if nonzero && hi.is_zero() {
            hi = least();
        }
        Range(lo, hi)
    }

    /// A bound moved by some units of the last place.
    fn widen(self, bound: BigFloat, towards: Sign) -> BigFloat {
        if bound.is_inf() || bound.is_zero() {
            return bound;
        }
        let mut step = self.number(1.0);
        step.set_exponent(8 - self.0 as i32);
        if bound.sign() != Some(towards) {
            step = step.neg();
        }
        let factor = self.number(1.0).add(&step, self.0, ROUND);
        bound.mul(&factor, self.0, ROUND)
    }

    /// A function that grows everywhere, given exactly or to within a few units of the last place.
    fn growing(self, a: &Interval, exact: bool, f: impl Fn(&BigFloat) -> BigFloat) -> Interval {
        let Range(lo, hi) = a else { return a.clone() };
        let low = f(lo);
        let high = if is_point(a) { low.clone() } else { f(hi) };
        // A logarithm may be infinite at a finite number, but only negative.
        let overflows = low.is_inf_pos() && !lo.is_inf() || high.is_inf_pos() && !hi.is_inf();
        let sinks = low.is_inf_neg() && lo.is_negative() && !lo.is_inf() && !high.is_nan() && less(lo, &self.number(-1.0));
        self.settle(low, high, exact, overflows || sinks, false)
    }

    /// The same, falling.
    fn falling(self, a: &Interval, f: impl Fn(&BigFloat) -> BigFloat) -> Interval {
        let Range(lo, hi) = a else { return a.clone() };
        let high = f(lo);
        let low = if is_point(a) { high.clone() } else { f(hi) };
        // Those that fall to 0 do so at infinity.
        self.settle(low, high, false, false, !lo.is_inf() && !hi.is_inf())
    }

    /// `a + b`
    pub fn add(self, a: &Interval, b: &Interval) -> Interval {
        let (Range(al, ah), Range(bl, bh)) = (a, b) else { return unknown(a, b) };
        let mut exact = true;
        let mut sum = |x: &BigFloat, y: &BigFloat| {
            let mut sum = x.add(y, self.0, ROUND);
            exact &= !sum.inexact();
            sum.set_inexact(false);
            sum
        };
        let low = sum(al, bl);
        let high = if is_point(a) && is_point(b) { low.clone() } else { sum(ah, bh) };
        if low.is_nan() && high.is_nan() && !(is_point(a) && is_point(b)) {
            return Unknown;
        }
        self.settle(low, high, exact, !is_infinite(a) && !is_infinite(b), false)
    }

    /// `-a`
    pub fn neg(self, a: &Interval) -> Interval {
        let Range(lo, hi) = a else { return a.clone() };
        Range(hi.neg(), lo.neg())
    }

    /// `a - b`
    pub fn sub(self, a: &Interval, b: &Interval) -> Interval {
        self.add(a, &self.neg(b))
    }

    fn corners(self, a: &Interval, b: &Interval, f: impl Fn(&BigFloat, &BigFloat) -> BigFloat) -> Interval {
        let (Range(al, ah), Range(bl, bh)) = (a, b) else { return unknown(a, b) };
        let points = is_point(a) && is_point(b);
        let first = f(al, bl);
        let others = if points { Vec::new() } else { vec![f(al, bh), f(ah, bl), f(ah, bh)] };
        if first.is_nan() && points {
            return Nan;
        }
        if std::iter::once(&first).chain(&others).any(BigFloat::is_nan) {
            return Unknown;
        }
        let exact = points && !first.inexact();
        let (mut low, mut high) = (first.clone(), first);
        for other in others {
            low = smaller(low, other.clone());
            high = larger(high, other);
        }
        low.set_inexact(false);
        high.set_inexact(false);
        let zero = |a: &Interval| self.is_zero(a) == Some(true);
        let ordinary = !is_infinite(a) && !is_infinite(b) && !zero(a) && !zero(b);
        self.settle(low, high, exact, ordinary, ordinary)
    }

    /// `a * b`
    pub fn mul(self, a: &Interval, b: &Interval) -> Interval {
        self.corners(a, b, |x, y| x.mul(y, self.0, ROUND))
    }

    /// `a / b`
    pub fn div(self, a: &Interval, b: &Interval) -> Interval {
        if let Range(lo, hi) = b
            && !is_point(b)
            && !less(&self.number(0.0), lo)
            && !less(hi, &self.number(0.0))
        {
            return if matches!(a, Nan) { Nan } else { Unknown };
        }
        self.corners(a, b, |x, y| x.div(y, self.0, ROUND))
    }

    /// `|a|`
    pub fn abs(self, a: &Interval) -> Interval {
        let Range(lo, hi) = a else { return a.clone() };
        if !lo.is_negative() {
            a.clone()
        } else if hi.is_negative() {
            self.neg(a)
        } else {
            Range(self.number(0.0), larger(lo.neg(), hi.clone()))
        }
    }

    /// `a * a`
    pub fn square(self, a: &Interval) -> Interval {
        let a = self.abs(a);
        self.mul(&a, &a)
    }

    /// The larger, or the smaller; NaN if either is.
    pub fn extreme(self, a: &Interval, b: &Interval, largest: bool) -> Interval {
        let (Range(al, ah), Range(bl, bh)) = (a, b) else { return unknown(a, b) };
        let pick = |x: &BigFloat, y: &BigFloat| match largest {
            true => larger(x.clone(), y.clone()),
            false => smaller(x.clone(), y.clone()),
        };
        Range(pick(al, bl), pick(ah, bh))
    }

    /// `a` compared with `b`: 1 where `test` holds for the order, as of [`Ord::cmp`].
    pub fn compare(self, a: &Interval, b: &Interval, nan: bool, test: impl Fn(i32) -> bool) -> Interval {
        let (Range(al, ah), Range(bl, bh)) = (a, b) else {
            return if matches!((a, b), (Unknown, _) | (_, Unknown)) { self.either() } else { self.truth(nan) };
        };
        if less(ah, bl) {
            self.truth(test(-1))
        } else if less(bh, al) {
            self.truth(test(1))
        } else if is_point(a) && is_point(b) {
            self.truth(test(0))
        } else {
            self.either()
        }
    }

    /// `yes` where the condition holds, else `no`.
    pub fn choose(self, condition: &Interval, yes: &Interval, no: &Interval) -> Interval {
        match self.is_zero(condition) {
            Some(true) => no.clone(),
            Some(false) => yes.clone(),
            None => match (yes, no) {
                (Range(al, ah), Range(bl, bh)) => {
                    Range(smaller(al.clone(), bl.clone()), larger(ah.clone(), bh.clone()))
                }
                (Nan, Nan) => Nan,
                _ => Unknown,
            },
        }
    }

    fn is_zero(self, a: &Interval) -> Option<bool> {
        match a {
            Nan => Some(false),
            Unknown => None,
            Range(lo, hi) if lo.is_zero() && hi.is_zero() => Some(true),
            Range(lo, hi) => (lo.is_positive() && !lo.is_zero() || hi.is_negative() && !hi.is_zero()).then_some(false),
        }
    }

    /// Whether the number is not 0, as 1 or 0.
    pub fn nonzero(self, a: &Interval) -> Interval {
        self.is_zero(a).map_or_else(|| self.either(), |zero| self.truth(!zero))
    }

    /// Whether the number is NaN, as 1 or 0.
    pub fn is_nan(self, a: &Interval) -> Interval {
        match a {
            Nan => self.truth(true),
            Range(..) => self.truth(false),
            Unknown => self.either(),
        }
    }

    /// Whether the number is infinite, as 1 or 0.
    pub fn is_inf(self, a: &Interval) -> Interval {
        match a {
            Range(lo, hi) if !lo.is_inf() && !hi.is_inf() => self.truth(false),
            Range(..) if is_point(a) => self.truth(true),
            Nan => self.truth(false),
            _ => self.either(),
        }
    }

    /// `sqrt(a)`
    pub fn sqrt(self, a: &Interval) -> Interval {
        self.growing(a, false, |x| x.sqrt(self.0, ROUND))
    }

    /// `exp(a)`
    pub fn exp(self, a: &Interval) -> Interval {
        let Range(lo, hi) = a else { return a.clone() };
        if lo.is_zero() && hi.is_zero() {
            return self.exactly(1.0);
        }
        let low = self.exp_of(lo);
        let high = if is_point(a) { low.clone() } else { self.exp_of(hi) };
        match self.settle(low, high, false, !is_infinite(a), !hi.is_inf_neg()) {
            Range(low, high) if low.is_negative() => Range(self.number(0.0), high),
            settled => settled,
        }
    }

    fn exp_of(self, x: &BigFloat) -> BigFloat {
        consts(|c| x.exp(self.0, ROUND, c))
    }

    /// `exp(a) - 1`, as `2 sinh(a/2) exp(a/2)` near 0.
    pub fn expm1(self, a: &Interval) -> Interval {
        self.growing(a, false, |x| {
            if is_small(x) {
                let half = x.mul(&self.number(0.5), self.0, ROUND);
                let twice = consts(|c| half.sinh(self.0, ROUND, c)).mul(&self.number(2.0), self.0, ROUND);
                return twice.mul(&self.exp_of(&half), self.0, ROUND);
            }
            self.exp_of(x).sub(&self.number(1.0), self.0, ROUND)
        })
    }

    /// `log(a)`
    pub fn log(self, a: &Interval) -> Interval {
        self.growing(a, false, |x| self.log_of(x))
    }

    fn log_of(self, x: &BigFloat) -> BigFloat {
        match x.is_zero() {
            true => self.number(f64::NEG_INFINITY),
            false => consts(|c| x.ln(self.0, ROUND, c)),
        }
    }

    /// `log(1 + a)`, as `2 artanh(a / (2 + a))` near 0.
    pub fn log1p(self, a: &Interval) -> Interval {
        self.growing(a, false, |x| self.log1p_of(x))
    }

    fn log1p_of(self, x: &BigFloat) -> BigFloat {
        if is_small(x) {
            let part = x.div(&x.add(&self.number(2.0), self.0, ROUND), self.0, ROUND);
            return consts(|c| part.atanh(self.0, ROUND, c)).mul(&self.number(2.0), self.0, ROUND);
        }
        // Far below 1 there is nothing to lose; far above neither.
        self.log_of(&x.add(&self.number(1.0), self.0, ROUND))
    }

    /// `log(1 - exp(a))`
    pub fn log1mexp(self, a: &Interval) -> Interval {
        self.falling(a, |x| match x.is_zero() {
            true => self.number(f64::NEG_INFINITY),
            false if is_small(x) => match self.expm1(&Range(x.clone(), x.clone())) {
                Range(low, _) => self.log_of(&low.neg()),
                _ => BigFloat::nan(None),
            },
            false => self.log1p_of(&self.exp_of(x).neg()),
        })
    }

    /// `log(1 + exp(a))`
    pub fn softplus(self, a: &Interval) -> Interval {
        let zero = self.exactly(0.0);
        let tail = self.log1p(&self.exp(&self.neg(&self.abs(a))));
        self.add(&self.extreme(a, &zero, true), &tail)
    }

    /// `1 / (1 + exp(-a))`
    pub fn sigmoid(self, a: &Interval) -> Interval {
        let one = self.exactly(1.0);
        self.div(&one, &self.add(&one, &self.exp(&self.neg(a))))
    }

    /// `log(exp(a) + exp(b))`
    pub fn logaddexp(self, a: &Interval, b: &Interval) -> Interval {
        let (most, least) = (self.extreme(a, b, true), self.extreme(a, b, false));
        if let Range(lo, hi) = &most
            && lo.is_inf()
            && hi.is_inf()
        {
            return most;
        }
        self.add(&most, &self.log1p(&self.exp(&self.sub(&least, &most))))
    }

    /// `log(exp(a) - exp(b))`
    pub fn logsubexp(self, a: &Interval, b: &Interval) -> Interval {
        match b {
            Range(lo, hi) if lo.is_inf_neg() && hi.is_inf_neg() => a.clone(),
            _ => self.add(a, &self.log1mexp(&self.sub(b, a))),
        }
    }

    /// `a ** b`
    pub fn pow(self, a: &Interval, b: &Interval) -> Interval {
        let whole = match b {
            Range(lo, _) if is_point(b) && lo.is_int() => Some(super::precise::to_f64(lo)),
            Range(..) if is_point(b) => None,
            _ => return unknown(a, b),
        };
        if whole == Some(0.0) {
            return self.exactly(1.0);
        }
        if let Some(count) = whole.filter(|count| count.abs() <= 16.0) {
            let base = if (count as i64) % 2 == 0 { self.abs(a) } else { a.clone() };
            let mut power = base.clone();
            for _ in 1..count.abs() as i64 {
                power = self.mul(&power, &base);
            }
            return if count < 0.0 { self.div(&self.exactly(1.0), &power) } else { power };
        }
        let positive = matches!(a, Range(lo, _) if !lo.is_negative());
        if positive || whole.is_none() {
            return self.exp(&self.mul(b, &self.log(a)));
        }
        Unknown
    }

    /// `sinh(a)`
    pub fn sinh(self, a: &Interval) -> Interval {
        self.growing(a, false, |x| consts(|c| x.sinh(self.0, ROUND, c)))
    }

    /// `cosh(a)`
    pub fn cosh(self, a: &Interval) -> Interval {
        self.growing(&self.abs(a), false, |x| consts(|c| x.cosh(self.0, ROUND, c)))
    }

    /// `tanh(a)`
    pub fn tanh(self, a: &Interval) -> Interval {
        self.growing(a, false, |x| consts(|c| x.tanh(self.0, ROUND, c)))
    }

    /// `sin(a)`
    pub fn sin(self, a: &Interval) -> Interval {
        self.slow(a, |x| consts(|c| x.sin(self.0, ROUND, c)))
    }

    /// `cos(a)`
    pub fn cos(self, a: &Interval) -> Interval {
        self.slow(a, |x| consts(|c| x.cos(self.0, ROUND, c)))
    }

    /// A function whose slope is nowhere beyond 1, and that has no value at infinities.
    fn slow(self, a: &Interval, f: impl Fn(&BigFloat) -> BigFloat) -> Interval {
        let Range(lo, hi) = a else { return a.clone() };
        if lo.is_inf() || hi.is_inf() {
            return if is_point(a) { Nan } else { Unknown };
        }
        let at = f(lo);
        let value = self.settle(at.clone(), at, false, false, false);
        let width = hi.sub(lo, self.0, ROUND);
        self.add(&value, &Range(width.neg(), width))
    }

    /// The whole number at or below, at or above, towards 0, or nearest, ties to even.
    pub fn round(self, a: &Interval, op: &str) -> Interval {
        self.growing(a, true, |x| {
            if x.is_inf() {
                return x.clone();
            }
            let floor = x.floor();
            match op {
                "floor" => floor,
                "ceil" => x.ceil(),
                "trunc" => x.int(),
                _ => {
                    let above = floor.add(&self.number(1.0), self.0, ROUND);
                    let rest = x.sub(&floor, self.0, ROUND);
                    let half = floor.mul(&self.number(0.5), self.0, ROUND);
                    match rest.cmp(&self.number(0.5)) {
                        Some(0) if half.is_int() => floor,
                        Some(order) if order < 0 => floor,
                        _ => above,
                    }
                }
            }
        })
    }

    /// `erf(a)`
    pub fn erf(self, a: &Interval) -> Interval {
        self.growing(a, false, |x| self.erf_of(x))
    }

    /// `erf(x) = 2/sqrt(pi) exp(-x²) Σ 2^n x^(2n+1) / (2n+1)!!`, whose terms all have one sign.
    /// (Abramowitz and Stegun, 7.1.6.)
    fn erf_of(self, x: &BigFloat) -> BigFloat {
        let near = super::precise::to_f64(x);
        if x.is_zero() {
            return x.clone();
        }
        // Beyond, erfc is below 2^-2600, and below half a unit of the last place with fewer bits.
        if near.abs() > 43.0 {
            return self.number(near.signum());
        }
        let p = self.0 + 64;
        let square = x.mul(x, p, ROUND);
        let twice = square.mul(&self.number(2.0), p, ROUND);
        let (mut term, mut sum) = (x.clone(), x.clone());
        for n in 1..40_000 {
            term = term.mul(&twice, p, ROUND).div(&self.number(f64::from(2 * n + 1)), p, ROUND);
            sum = sum.add(&term, p, ROUND);
            let negligible = match (term.exponent(), sum.exponent()) {
                (Some(term), Some(sum)) => term < sum.saturating_sub(p as i32),
                _ => true,
            };
            if negligible || term.is_zero() {
                break;
            }
        }
        let pi = consts(|c| c.pi(p, ROUND));
        let scale = consts(|c| square.neg().exp(p, ROUND, c)).mul(&self.number(2.0), p, ROUND);
        sum.mul(&scale, p, ROUND).div(&pi.sqrt(p, ROUND), self.0, ROUND)
    }

    /// `1 - erf(a)`
    pub fn erfc(self, a: &Interval) -> Interval {
        self.falling(a, |x| {
            let near = super::precise::to_f64(x);
            if x.is_inf() {
                return self.number(if near > 0.0 { 0.0 } else { 2.0 });
            }
            if near <= FAR {
                // As many more bits as the difference cancels: erfc(x) > exp(-x²) / (2x + 2).
                let more = if near > 0.0 { (near * near * 1.45) as usize + 64 } else { 64 };
                let wide = Bits((self.0 + more).next_multiple_of(64));
                return wide.number(1.0).sub(&wide.erf_of(x), self.0, ROUND);
            }
            self.erfc_far(x)
        })
    }

    /// The asymptotic series `exp(-x²) / (x sqrt(pi)) Σ (-1)^n (2n-1)!! / (2x²)^n`, whose error is below
    /// its first term left out. (Abramowitz and Stegun, 7.1.23.)
    fn erfc_far(self, x: &BigFloat) -> BigFloat {
        let p = self.0;
        let square = x.mul(x, p, ROUND);
        let twice = square.mul(&self.number(2.0), p, ROUND);
        let (mut term, mut sum) = (self.number(1.0), self.number(1.0));
        for n in 1..4000 {
            term = term.mul(&self.number(-f64::from(2 * n - 1)), p, ROUND).div(&twice, p, ROUND);
            sum = sum.add(&term, p, ROUND);
            if term.exponent().is_none_or(|own| own < -(p as i32)) || f64::from(2 * n) > 2.0 * FAR * FAR {
                break;
            }
        }
        let root = consts(|c| c.pi(p, ROUND)).sqrt(p, ROUND);
        consts(|c| square.neg().exp(p, ROUND, c)).mul(&sum, p, ROUND).div(&x.mul(&root, p, ROUND), p, ROUND)
    }
}

/// Where the asymptotic series of erfc reaches `exp(-FAR²)`, 2600 bits, before its terms grow again.
const FAR: f64 = 43.0;

/// Whether a number is well below 1/2, and no 0.
fn is_small(x: &BigFloat) -> bool {
    !x.is_zero() && x.exponent().is_some_and(|exponent| exponent <= -1)
}

/// Whether both bounds are the same.
pub fn is_point(a: &Interval) -> bool {
    matches!(a, Range(lo, hi) if lo.cmp(hi) == Some(0))
}

/// Whether both bounds are the same infinity.
fn is_infinite(a: &Interval) -> bool {
    is_point(a) && matches!(a, Range(lo, _) if lo.is_inf())
}

/// What two operands give of which at least one is no range.
fn unknown(a: &Interval, b: &Interval) -> Interval {
    if matches!(a, Nan) || matches!(b, Nan) { Nan } else { Unknown }
}
