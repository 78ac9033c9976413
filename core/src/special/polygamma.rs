//! The derivatives of the logarithm of the gamma function.

use std::f64::consts::PI;

use super::double::{self, Double};

/// The derivative of `lgamma`. Near its positive root as in Boost.Math (`digamma_imp_1_2`: a rational
/// function times the distance from the root, which is kept in three parts), above 10 by the
/// asymptotic series (DLMF 5.11.2), between by recurrence (5.5.2), below 0 by reflection (5.5.4); where
/// the parts of that nearly cancel, with twice the digits.
pub fn digamma(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x == 0.0 {
        return -f64::INFINITY.copysign(x);
    }
    if x < 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        // The nearest whole number leaves the tangent's argument exact.
        let fraction = x - x.round();
        // π cot(π f) as π tan(π (1/2 - f)) where the tangent itself is large: the difference is exact.
        let cotangent = if fraction.abs() > 0.25 {
            (PI * libm::tan(PI * (0.5 - fraction.abs()))).copysign(fraction)
        } else {
            PI / libm::tan(PI * fraction)
        };
        let reflected = digamma(1.0 - x);
        let sum = reflected - cotangent;
        let exact = sum.abs() < reflected.abs().max(cotangent.abs());
        return if exact { double::digamma(x.into()).round() } else { sum };
    }
    if x >= 10.0 {
        return digamma_large(x);
    }
    let (mut x, mut sum) = (x, 0.0);
    while x > 2.0 {
        x -= 1.0;
        sum += 1.0 / x;
    }
    while x < 1.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    digamma_1_2(x) + sum
}

fn digamma_large(x: f64) -> f64 {
    let z = 1.0 / (x * x);
    // B(2k) / 2k for k = 8 down to 1.
    #[rustfmt::skip]
    let terms = [
        -3617.0 / 8160.0, 1.0 / 12.0, -691.0 / 32760.0, 1.0 / 132.0, -1.0 / 240.0, 1.0 / 252.0,
        -1.0 / 120.0, 1.0 / 12.0,
    ];
    let series = terms.into_iter().fold(0.0, |sum, term| (sum + term) * z);
    libm::log(x) - 0.5 / x - series
}

fn digamma_1_2(x: f64) -> f64 {
    const Y: f64 = 0.995_581_626_892_089_8;
    const ROOT: [f64; 3] = [
        1_569_415_565.0 / 1_073_741_824.0,
        381_566_830.0 / 1_073_741_824.0 / 1_073_741_824.0,
        0.901_631_209_325_869_6e-19,
    ];
    const P: [f64; 6] = [
        -0.002_892_683_683_339_188,
        -0.054_115_626_615_350_53,
        -0.314_767_657_147_375_75,
        -0.665_836_341_559_876_2,
        -0.314_628_554_532_916_5,
        0.254_798_510_611_315_5,
    ];
    const Q: [f64; 8] = [
        0.317_940_243_105_952_2e-7,
        -0.165_079_794_012_604_9e-5,
        0.002_989_996_625_923_24,
        0.066_048_148_717_356_98,
        0.486_986_018_231_043,
        1.543_505_546_649_611_3,
        2.119_575_992_705_535,
        1.0,
    ];
    let distance = x - ROOT[0] - ROOT[1] - ROOT[2];
    let at = |c: &[f64]| c.iter().fold(0.0, |sum, c| sum * (x - 1.0) + c);
    distance * Y + distance * (at(&P) / at(&Q))
}

/// The derivative of [`digamma`]: [`polygamma`] of order 1.
pub fn trigamma(x: f64) -> f64 {
    polygamma(1.0, x)
}

/// The derivative of order `n` of [`digamma`]: `(-1)^(n+1) n! ζ(n+1, x)` (DLMF 5.15.1, 25.11.1); NaN for
/// orders that are no whole number of 0 to 1000.
///
/// Below 0, where that sum over `x, x+1, ...` is long: the sum over all `x + k`, which repeats with
/// period 1, without the part over `x-1, x-2, ...`. The error near a root there is a few ulp of those
/// parts, not of the result.
pub fn polygamma(n: f64, x: f64) -> f64 {
    if n == 0.0 {
        return digamma(x);
    }
    if x.is_nan() || n.is_nan() || n < 0.0 || n.fract() != 0.0 || n > 1000.0 {
        return f64::NAN;
    }
    let odd = n % 2.0 != 0.0;
    let sign = if odd { 1.0 } else { -1.0 };
    if x == 0.0 || (x < 0.0 && x == x.floor()) {
        return match (odd, x == 0.0) {
            (true, _) => f64::INFINITY,
            (false, true) => -f64::INFINITY.copysign(x),
            (false, false) => f64::NAN,
        };
    }
    if x > 0.0 {
        return sign * scaled_zeta(n, x.into());
    }
    // The nearest whole number leaves the difference exact.
    let rest = x - x.round();
    let side = if odd { 1.0 } else { rest };
    let near = |x: f64| scaled_zeta(n, Double::sum(1.0, x));
    let above = if rest == 0.5 { scaled_zeta(n, 0.5.into()) } else { finite(power(n, rest.into()).abs()).copysign(side) + near(rest) };
    sign * (above + sign * (near(-rest) - near(-x)))
}

/// `n! / x^(n+1)`.
fn power(n: f64, x: Double) -> Double {
    if n > 20.0 {
        let size = (double::lgamma(Double::from(n + 1.0)) - x.abs().ln() * (n + 1.0)).exp();
        return if n % 2.0 == 0.0 && x.0 < 0.0 { -size } else { size };
    }
    (1..=n as u32).fold(Double::from(1.0) / x, |product, i| product * (Double::from(f64::from(i)) / x))
}

/// `n! ζ(n+1, x)` for `x > 0`, by the formula of Euler and Maclaurin (DLMF 25.11.28), every power
/// relative to that of `x`, so that none overflows before the result does.
fn scaled_zeta(n: f64, x: Double) -> f64 {
    if x.0 == f64::INFINITY {
        return 0.0;
    }
    let s = n + 1.0;
    let end = s + 20.0;
    // (at / x)^-s, with what rounding takes from the quotient given back to first order.
    let relative = |at: Double| {
        let ratio = at / x;
        let power = libm::pow(ratio.0, -s);
        power - power * s * (ratio.1 / ratio.0)
    };
    let (mut sum, mut at) = (Double::from(0.0), x);
    while at.0 < end {
        let term = relative(at);
        sum = sum + term;
        at = at + 1.0;
        if term < sum.0 * 1e-18 {
            return finite(power(n, x) * sum);
        }
    }
    let last = relative(at);
    sum = sum + last * (at.0 / n + 0.5);
    // B(2j) / (2j)! for j = 1 to 10.
    #[rustfmt::skip]
    let coefficients = [
        1.0 / 12.0, -1.0 / 720.0, 1.0 / 30240.0, -1.0 / 1_209_600.0, 1.0 / 47_900_160.0,
        -691.0 / 1_307_674_368_000.0, 1.0 / 74_724_249_600.0, -3617.0 / 10_670_622_842_880_000.0,
        43867.0 / 5_109_094_217_170_944_000.0, -174_611.0 / 802_857_662_698_291_200_000.0,
    ];
    let mut rising = s / at.0;
    for (j, coefficient) in coefficients.into_iter().enumerate() {
        let term = coefficient * rising * last;
        sum = sum + term;
        if term.abs() < sum.0 * 1e-18 {
            break;
        }
        let next = s + 2.0 * j as f64 + 1.0;
        rising *= next / at.0 * ((next + 1.0) / at.0);
    }
    finite(power(n, x) * sum)
}

/// Rounded; what has no value in the sums of two parts has left the range.
fn finite(x: Double) -> f64 {
    let value = x.round();
    if value.is_nan() { f64::INFINITY } else { value }
}
