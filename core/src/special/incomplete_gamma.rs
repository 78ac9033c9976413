//! The incomplete gamma functions' ratios `P` and `Q = 1 - P`.

use super::double::{self, Double, EULER};
use super::temme::tail_pair;

/// `P(a, x)`, the regularized lower incomplete gamma function (DLMF 8.2.4); NaN where `a` or `x` is
/// negative or both are 0 or both infinite.
pub fn gammainc(a: f64, x: f64) -> f64 {
    pair(a, x).0
}

/// `Q(a, x) = 1 - P(a, x)`, not by that difference where it is small.
pub fn gammaincc(a: f64, x: f64) -> f64 {
    pair(a, x).1
}

/// The probability that a sum of the squares of `k` independent standard normal numbers exceeds `x`:
/// `Q(k/2, x/2)`, and 1 for negative `x`.
pub fn chi2sf(x: f64, k: f64) -> f64 {
    if x < 0.0 && k >= 0.0 { 1.0 } else { gammaincc(k / 2.0, x / 2.0) }
}

/// `γ(a, x)`, the lower incomplete gamma function (DLMF 8.2.1), for `a` above 0 and `x` not negative; else NaN.
pub fn gammal(a: f64, x: f64) -> f64 {
    unnormalized(a, x).0
}

/// `Γ(a, x)`, the upper incomplete gamma function (DLMF 8.2.2), for `a` above 0 and `x` not negative; else NaN.
pub fn gammau(a: f64, x: f64) -> f64 {
    unnormalized(a, x).1
}

/// Both, by the series and the fraction of the ratios without their divisor.
fn unnormalized(a: f64, x: f64) -> (f64, f64) {
    if !(a > 0.0 && x >= 0.0) || a.is_infinite() {
        return (f64::NAN, f64::NAN);
    }
    let whole = || double::lgamma(Double::from(a)).exp();
    if x == 0.0 {
        return (0.0, whole().round());
    }
    if x.is_infinite() {
        return (whole().round(), 0.0);
    }
    let exponent = Double::from(x).ln() * a - x;
    if a < 1e-5 && x < 1.0 {
        // gamma(a) = exp(lgamma(1 + a)) / a
        let upper = small(a, x) * double::lgamma(Double::sum(a, 1.0)).exp() / a;
        return ((exponent.exp() * series(a, x) / a).round(), upper.round());
    }
    // In halves, as the exponential may leave the range before the product does.
    let half = exponent.scale(0.5).exp();
    let finite = |value: Double| if value.0.is_infinite() || value.0.is_nan() { f64::INFINITY } else { value.round() };
    if x < a + 1.0 {
        let lower = half * (half * series(a, x) / a);
        (finite(lower), finite(whole() - lower))
    } else {
        let upper = half * (half * fraction(a, x));
        (finite(whole() - upper), finite(upper))
    }
}

/// Both ratios. Up to the mean the series DLMF 8.7.1 for `P`, above it the continued fraction 8.9.2 for
/// `Q`, with twice the digits; for large `a` the uniform expansion (8.12.3, 8.12.4).
fn pair(a: f64, x: f64) -> (f64, f64) {
    if !(a >= 0.0 && x >= 0.0) || (a == 0.0 && x == 0.0) || (a.is_infinite() && x.is_infinite()) {
        return (f64::NAN, f64::NAN);
    }
    if x == 0.0 || a.is_infinite() {
        return (0.0, 1.0);
    }
    if a == 0.0 || x.is_infinite() {
        return (1.0, 0.0);
    }
    if a >= 1e4 {
        return tail_pair(a, x);
    }
    if a < 1e-5 && x < 1.0 {
        let upper = small(a, x);
        return ((-upper + 1.0).round(), upper.round());
    }
    // x^a exp(-x) / gamma(a + 1)
    let exponent = Double::from(x).ln() * a - x - double::lgamma(Double::sum(a, 1.0));
    let weight = exponent.exp();
    if x < a + 1.0 {
        let lower = weight * series(a, x);
        (lower.round(), (-lower + 1.0).round())
    } else {
        let upper = weight * a * fraction(a, x);
        ((-upper + 1.0).round(), upper.round())
    }
}

/// `1 + x/(a+1) + x²/((a+1)(a+2)) + ...`.
fn series(a: f64, x: f64) -> Double {
    let (mut sum, mut term) = (Double::from(1.0), Double::from(1.0));
    for k in 1..100_000 {
        term = term * x / Double::sum(a, f64::from(k));
        sum = sum + term;
        if term.0 < sum.0 * 1e-24 {
            break;
        }
    }
    sum
}

/// The fraction `1 / (x+1-a - 1(1-a) / (x+3-a - 2(2-a) / ...))`, by the method of Lentz.
fn fraction(a: f64, x: f64) -> Double {
    let one = Double::from(1.0);
    let mut bottom = Double::sum(x, -a) + 1.0;
    let mut d = one / bottom;
    // The first convergent's c is infinite; its inverse starts from 0.
    let mut c = Double::from(1e300);
    let mut result = d;
    for k in 1..100_000 {
        let k = f64::from(k);
        let top = Double::sum(a, -k) * k;
        bottom = bottom + 2.0;
        d = one / (top * d + bottom);
        c = top / c + bottom;
        let step = c * d;
        result = result * step;
        if (step.0 - 1.0 + step.1).abs() < 1e-24 {
            break;
        }
    }
    result
}

/// `Q(a, x)` for small `a` and `x`, where it is small: with `x^a / gamma(1+a) = exp(u)`, it is `1 - exp(u)`
/// less `exp(u)` times the terms of DLMF 8.7.1 from the second on.
fn small(a: f64, x: f64) -> Double {
    // u / a, by the series of log gamma(1+a), DLMF 5.7.3: zeta(k)/k are its coefficients.
    let beyond = a * (0.822_467_033_424_113_2 - a * (0.400_685_634_386_531_4 - a * 0.270_580_808_427_784_55));
    let series = -EULER + beyond;
    let u = (Double::from(x).ln() - series) * a;
    let (mut rest, mut power) = (Double::from(0.0), Double::from(1.0));
    for k in 1..30 {
        let k = f64::from(k);
        power = -(power * x) / k;
        rest = rest + power / Double::sum(k, a);
    }
    let growth = if u.0.abs() < 1e-2 {
        (2..=14).rev().fold(Double::from(1.0), |sum, k| sum * u / f64::from(k) + 1.0) * u
    } else {
        u.exp() - 1.0
    };
    -growth - (growth + 1.0) * a * rest
}
