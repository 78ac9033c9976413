//! Inverses of distribution functions, and the normal one's logarithm.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, SQRT_2};

use super::error_function::{erfcx, ndtr, ndtri};
use super::gamma::betainc;
use super::incomplete_gamma::{gammainc, gammaincc};

/// The least number from 0 up to `end` at which a condition that stays true once it is holds, by bisection of the
/// numbers' bits, which are in their order.
fn first(end: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0u64, end.to_bits());
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(f64::from_bits(middle)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    f64::from_bits(low)
}

/// Of two neighbours around a root the one whose value is nearer.
fn nearer(above: f64, value: impl Fn(f64) -> f64, wanted: f64) -> f64 {
    if above == 0.0 || above.is_infinite() {
        return above;
    }
    let below = f64::from_bits(above.to_bits() - 1);
    if (value(below) - wanted).abs() < (value(above) - wanted).abs() { below } else { above }
}

/// The x with `gammainc(a, x) = p`, for a above 0 and p from 0 to 1; else NaN.
pub fn gammaincinv(a: f64, p: f64) -> f64 {
    // Up to 1 from 1/2 on the difference is exact, and has more digits.
    gamma_inverse(a, p, 1.0 - p, p <= 0.5)
}

/// The x with `gammaincc(a, x) = q`, for a above 0 and q from 0 to 1; else NaN.
pub fn gammainccinv(a: f64, q: f64) -> f64 {
    gamma_inverse(a, 1.0 - q, q, q > 0.5)
}

/// By the lower function or by the upper one.
fn gamma_inverse(a: f64, p: f64, q: f64, lower: bool) -> f64 {
    if !(a > 0.0 && (0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q)) || a.is_infinite() {
        return f64::NAN;
    }
    if q == 0.0 {
        return f64::INFINITY;
    }
    if lower {
        let value = |x: f64| gammainc(a, x);
        return nearer(first(f64::MAX, |x| value(x) >= p), value, p);
    }
    let value = |x: f64| gammaincc(a, x);
    nearer(first(f64::MAX, |x| value(x) <= q), value, q)
}

/// The x with `betainc(a, b, x) = p`, for finite a and b above 0, up to 1e8, and p from 0 to 1; else NaN.
pub fn betaincinv(a: f64, b: f64, p: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&p)) || a.max(b) > 1e8 {
        return f64::NAN;
    }
    let value = |x: f64| betainc(a, b, x);
    nearer(first(1.0, |x| value(x) >= p), value, p)
}

/// The logarithm of [`ndtr`], also where that underflows.
pub fn log_ndtr(x: f64) -> f64 {
    if x < -1.0 {
        libm::log(erfcx(-x * FRAC_1_SQRT_2)) - LN_2 - 0.5 * x * x
    } else {
        libm::log1p(-ndtr(-x))
    }
}

/// The inverse of [`log_ndtr`], `ndtri(exp(y))` also where the exponential underflows; NaN above 0.
pub fn ndtri_exp(y: f64) -> f64 {
    if y >= -1.0 || y.is_nan() {
        return -ndtri(-libm::expm1(y));
    }
    if y > -700.0 {
        return ndtri(libm::exp(y));
    }
    if y == f64::NEG_INFINITY {
        return y;
    }
    // Newton's method on the logarithm, which is nearly a parabola.
    let mut x = -(-2.0 * y).sqrt();
    for _ in 0..8 {
        let slope = SQRT_2 * (0.5 * FRAC_2_SQRT_PI) / erfcx(-x * FRAC_1_SQRT_2);
        x -= (log_ndtr(x) - y) / slope;
    }
    x
}
