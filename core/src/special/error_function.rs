//! The error function's relatives that `libm` has not.

use std::f64::consts::{FRAC_2_SQRT_PI, PI};

use super::double::Double;

/// `exp(x²) erfc(x)`, which does not underflow: from 10 on by the asymptotic series (DLMF 7.12.1), below
/// 0 by `2 exp(x²) - erfcx(-x)`. What rounding takes from the square is given back to first order.
pub fn erfcx(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x >= 10.0 {
        let first = FRAC_2_SQRT_PI / 2.0 / x;
        if x > 1e8 {
            return first;
        }
        let step = 0.5 / x / x;
        let sum = (1..=13).rev().fold(0.0, |sum, k| -step * f64::from(2 * k - 1) * (1.0 + sum));
        return first + first * sum;
    }
    let growth = exp_square(x);
    if growth.is_infinite() {
        return growth;
    }
    if x < 0.0 { 2.0 * growth - growth * libm::erfc(-x) } else { growth * libm::erfc(x) }
}

/// `exp(x²)`.
fn exp_square(x: f64) -> f64 {
    let square = Double::product(x, x);
    let power = libm::exp(square.0);
    if power.is_infinite() { power } else { power + power * square.1 }
}

/// The inverse of `erf`; NaN outside of -1 to 1. By [`erfcinv`]'s steps, against `erf` where that is the
/// smaller of the two.
pub fn erfinv(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 1.0 {
        return f64::NAN;
    }
    if x.abs() < 1e-9 {
        // The next term of the series, π x³ / 24 √π, is below rounding.
        return x / FRAC_2_SQRT_PI;
    }
    let a = x.abs();
    if a > 0.5 {
        return inverse_tail(1.0 - a).copysign(x);
    }
    let mut y = start(a);
    for _ in 0..3 {
        let step = (libm::erf(y) - a) / (FRAC_2_SQRT_PI * libm::exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// The inverse of `erfc`; NaN outside of 0 to 2.
pub fn erfcinv(x: f64) -> f64 {
    if !(0.0..=2.0).contains(&x) {
        f64::NAN
    } else if x < 0.5 {
        inverse_tail(x)
    } else if x <= 1.5 {
        erfinv(1.0 - x)
    } else {
        -inverse_tail(2.0 - x)
    }
}

/// The `y` with `erfc(y) = q`, for `q` of at most 1/2: steps of Newton's on `log erfc`, which is nearly
/// a parabola, so that no start is too far off.
fn inverse_tail(q: f64) -> f64 {
    if q == 0.0 {
        return f64::INFINITY;
    }
    let log = libm::log(q);
    // The asymptotic form -y² - log(y √π), or a rough start near the middle.
    let mut y = if q < 0.1 { (-log - 0.5 * libm::log(-PI * log)).sqrt() } else { start(1.0 - q) };
    for _ in 0..6 {
        let scaled = erfcx(y);
        // The derivative of log erfc(y) is -2/√π / erfcx(y).
        let off = if q > 1e-280 {
            libm::log1p((libm::erfc(y) - q) / q)
        } else {
            libm::log(scaled) - y * y - log
        };
        let step = off * scaled / FRAC_2_SQRT_PI;
        y += step;
        if step.abs() < 1e-17 * y {
            break;
        }
    }
    y
}

/// A start for the inverse of `erf`, of 0 to 0.9: S. Winitzki, *A handy approximation for the error
/// function and its inverse* (2008).
fn start(x: f64) -> f64 {
    const A: f64 = 0.147;
    let log = libm::log1p(-x * x);
    let half = 2.0 / (PI * A) + log / 2.0;
    ((half * half - log / A).sqrt() - half).sqrt()
}

/// `exp(x**2)` times the integral of `erfc` from x on, `1 / sqrt(pi) - x erfcx(x)` (DLMF 7.18.2 with n = 1), without
/// cancellation. The derivative of [`erfcx`] is -2 times this.
///
/// Above 1/2 by the ratios of neighbouring repeated integrals (DLMF 7.18.7), all of them positive; what rounding takes
/// from one of them is made smaller by each that follows, so that only the last need more digits. From 0 to 1/2
/// the difference is taken with more digits.
pub fn ierfcx(x: f64) -> f64 {
    const HALF: Double = Double(0.564_189_583_547_756_3, 7.667_729_806_582_94e-18);
    if x.is_nan() || x < 0.0 {
        return 0.5 * FRAC_2_SQRT_PI - x * erfcx(x);
    }
    if x < 0.5 {
        let scaled = Double::product(x, x).exp() * Double::sum(1.0, -libm::erf(x));
        return (HALF - scaled * x).round();
    }
    if x > 1e8 {
        return 0.25 * FRAC_2_SQRT_PI / x / x;
    }
    let mut n = (20.0 + 160.0 / (x * x)).ceil();
    // Between two that are all but equal.
    let mut ratio = ((x * x + 2.0 * (n + 1.0)).sqrt() - x) / (2.0 * (n + 1.0));
    while n > 10.0 {
        ratio = 1.0 / (2.0 * x + 2.0 * (n + 1.0) * ratio);
        n -= 1.0;
    }
    let mut exact = Double::from(ratio);
    while n >= 1.0 {
        exact = Double::from(1.0) / (exact * (2.0 * (n + 1.0)) + 2.0 * x);
        n -= 1.0;
    }
    (exact * erfcx(x)).round()
}

/// The distribution function of the standard normal distribution, `erfc(-x / √2) / 2`.
pub fn ndtr(x: f64) -> f64 {
    const SQRT_2: Double = Double(std::f64::consts::SQRT_2, -9.667_293_313_452_913e-17);
    let t = Double::from(-x) / SQRT_2;
    if !t.0.is_finite() || t.0.abs() > 30.0 {
        return 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
    }
    // The tail enlarges what rounding takes from the argument; to first order it is given back.
    0.5 * (libm::erfc(t.0) - FRAC_2_SQRT_PI * libm::exp(-t.0 * t.0) * t.1)
}

/// The inverse of [`ndtr`]; NaN outside of 0 to 1.
pub fn ndtri(x: f64) -> f64 {
    const SQRT_2: f64 = std::f64::consts::SQRT_2;
    // Twice x is exact.
    -SQRT_2 * erfcinv(2.0 * x)
}
