//! Logarithms and their relatives where the plain formulas cancel or overflow.

use std::f64::consts::LN_2;

use super::double::{self, Double};

/// `1 / (1 + exp(-x))`, without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

/// `log(1 + exp(x))`, exact to rounding at both ends.
pub fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) }
}

/// `log(sigmoid(x))`.
pub fn log_sigmoid(x: f64) -> f64 {
    -softplus(-x)
}

/// `log(1 - exp(x))` for `x <= 0`. Mächler, *Accurately computing log(1 - exp(-|a|))* (2012): the
/// form switches at `-ln 2`.
pub fn log1mexp(x: f64) -> f64 {
    if x > -LN_2 { libm::log(-libm::expm1(x)) } else { libm::log1p(-libm::exp(x)) }
}

/// `log(exp(x) + exp(y))`, also where the two nearly cancel: near the curve on which it is 0 it is
/// computed with twice the digits, and is exact to about 1e-31 absolutely.
pub fn logaddexp(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == y {
        return if x.is_finite() { (Double::from(x) + double::LN_2).round() } else { x };
    }
    let (low, high) = if x < y { (x, y) } else { (y, x) };
    let sum = high + libm::log1p(libm::exp(low - high));
    if !is_cancelled(sum, high) {
        return sum;
    }
    ((Double::sum(low, -high).exp() + 1.0).ln() + high).round()
}

/// `log(exp(x) - exp(y))` for `x >= y`, NaN below; the logarithm of 0 is -inf. Near the curve on which it is 0 it is
/// computed with twice the digits, as [`logaddexp`].
pub fn logsubexp(x: f64, y: f64) -> f64 {
    if y == f64::NEG_INFINITY {
        return x;
    }
    let difference = x + log1mexp(y - x);
    if !is_cancelled(difference, x) {
        return difference;
    }
    ((-Double::sum(y, -x).exp_m1()).ln() + x).round()
}

/// The logarithm of the sum of the exponentials of numbers, given it in `f64` arithmetic (or more roughly), and the largest number, which is finite.
/// It is computed again with twice the digits where it is that small beside the largest that too few are left.
pub fn log_of_sum(numbers: impl Iterator<Item = f64>, rough: f64, largest: f64) -> f64 {
    if !is_cancelled(rough, largest) {
        return rough;
    }
    let mut sum = Double::from(0.0);
    for number in numbers {
        let difference = Double::sum(number, -largest);
        // What is smaller than the last digit of half of them has no need of the other half.
        sum = sum + if difference.0 < -40.0 { Double::from(libm::exp(difference.0)) } else { difference.exp() };
    }
    (sum.ln() + largest).round()
}

/// Whether a sum has lost digits to its largest part, and how many are left matters.
fn is_cancelled(sum: f64, largest: f64) -> bool {
    sum.is_finite() && sum.abs() < 0.5 * largest.abs()
}

/// `x log(y)`, 0 where `x` is 0 and `y` is not NaN.
pub fn xlogy(x: f64, y: f64) -> f64 {
    if x == 0.0 && !y.is_nan() { 0.0 } else { x * libm::log(y) }
}

/// `x log(1 + y)`, 0 where `x` is 0 and `y` is not NaN.
pub fn xlog1py(x: f64, y: f64) -> f64 {
    if x == 0.0 && !y.is_nan() { 0.0 } else { x * libm::log1p(y) }
}

/// `log(x / (1 - x))`, the inverse of [`sigmoid`]; NaN outside of 0 to 1. About 1/2, where it is 0, by
/// `log1p` of `(2x - 1) / (1 - x)`, whose numerator is exact.
pub fn logit(x: f64) -> f64 {
    if (0.3..=0.65).contains(&x) {
        libm::log1p((2.0 * x - 1.0) / (1.0 - x))
    } else {
        libm::log(x / (1.0 - x))
    }
}

/// `log(1 + x) - x` without cancellation: with `r = x / (2 + x)`, `log(1 + x) = 2 artanh(r)`.
pub fn log1pmx(x: f64) -> f64 {
    if !(-0.5..=1.0).contains(&x) {
        return libm::log1p(x) - x;
    }
    let r = x / (2.0 + x);
    let square = r * r;
    // 2 r is x - x r.
    let (mut sum, mut power, mut n) = (0.0, 1.0, 3.0);
    loop {
        let term = power / n;
        sum += term;
        if term <= sum * 1e-17 {
            break;
        }
        power *= square;
        n += 2.0;
    }
    r * (2.0 * square * sum - x)
}

/// The inverse of `cosh`, from 1 on; NaN below, where `libm` gives numbers for some.
pub fn arccosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { libm::acosh(x) }
}
