//! Activations of neural nets, beside those of [`logarithm`](super::logarithm).

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::double::Double;
use super::logarithm::sigmoid;

/// `x sigmoid(x)`.
pub fn silu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(x) }
}

/// `x Φ(x)` with `Φ` by `erfc`, which keeps the left tail; what rounding takes from `x / √2` is given
/// back to first order, as the tail would enlarge it.
pub fn gelu(x: f64) -> f64 {
    if x.is_infinite() {
        return if x > 0.0 { x } else { -0.0 };
    }
    const SQRT_2_REST: f64 = -9.667_293_313_452_913e-17;
    let t = -x / SQRT_2;
    let rest = ((-t).mul_add(SQRT_2, -x) - t * SQRT_2_REST) / SQRT_2;
    0.5 * x * (libm::erfc(t) - FRAC_2_SQRT_PI * libm::exp(-t * t) * rest)
}

/// The tanh form of [`gelu`]: `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, as `x sigmoid(2u)`. The
/// exponent of the left tail has twice the digits, as the tail would enlarge its rounding.
pub fn gelu_tanh(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        return -0.0;
    }
    /// `2 √(2/π)`.
    const SCALE: Double = Double(1.595_769_121_605_730_8, -9.969_308_809_110_92e-17);
    if !(-40.0..0.0).contains(&x) {
        return x * sigmoid(SCALE.0 * (x + 0.044715 * x * x * x));
    }
    let square = Double::product(x, x);
    let twice = SCALE * ((square * 0.044715 + 1.0) * x);
    // exp of the two parts, to first order in the second.
    let tail = libm::exp(twice.0) * (1.0 + twice.1);
    x * (tail / (1.0 + tail))
}

/// `x` where it is positive, else `alpha (exp(x) - 1)` (Clevert, Unterthiner and Hochreiter, arXiv
/// 1511.07289).
pub fn elu(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * libm::expm1(x) }
}

/// The scaled [`elu`] of Klambauer, Unterthiner, Mayr and Hochreiter (arXiv 1706.02515), whose
/// constants keep mean 0 and variance 1.
pub fn selu(x: f64) -> f64 {
    SELU_SCALE * elu(x, SELU_ALPHA)
}

/// The `alpha` of [`selu`].
pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// The factor of [`selu`].
pub const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// `x / (1 + |x|)`; the limits -1 and 1 at the infinities.
pub fn softsign(x: f64) -> f64 {
    if x.is_infinite() { 1f64.copysign(x) } else { x / (1.0 + x.abs()) }
}

/// `0.2 x + 0.5`, kept between 0 and 1: the straight line of Courbariaux and Bengio that Theano calls
/// `hard_sigmoid`.
pub fn hard_sigmoid(x: f64) -> f64 {
    let line = x.mul_add(0.2, 0.5);
    if line.is_nan() { line } else { line.clamp(0.0, 1.0) }
}

/// `1 - tanh(x)**2`, exact where `tanh` is nearly 1.
pub fn sech_squared(x: f64) -> f64 {
    let small = libm::exp(-2.0 * x.abs());
    let sum = 1.0 + small;
    4.0 * small / sum / sum
}
