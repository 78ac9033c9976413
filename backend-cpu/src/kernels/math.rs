//! Scalar functions that neither the standard library nor `libm` has.

use std::f64::consts::PI;

/// The logistic function.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// `log(1 + exp(x))`.
pub fn softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
}

/// `log(1 - exp(x))` for `x <= 0`.
pub fn log1mexp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// `x * Phi(x)`.
pub fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { return -0.0; }
    0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// The approximation of `gelu` by `tanh`.
pub fn gelu_tanh(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { return -0.0; }
    // 0.5 (1 + tanh(u)) = sigmoid(2u), without cancellation.
    x * sigmoid(2.0 * (2.0 / PI).sqrt() * (x + 0.044715 * x * x * x))
}

/// `log(exp(x) + exp(y))`.
pub fn logaddexp(x: f64, y: f64) -> f64 {
    if x == y { return x + std::f64::consts::LN_2; }
    if x.is_nan() || y.is_nan() { return f64::NAN; }
    x.max(y) + (-(x - y).abs()).exp().ln_1p()
}

/// The derivative of `lgamma`: recurrence upwards, then the asymptotic series; reflection below 0.
pub fn digamma(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x == 0.0 {
        return if x.is_sign_negative() { f64::INFINITY } else { f64::NEG_INFINITY };
    }
    if x < 0.0 {
        if x == x.floor() { return f64::NAN; }
        let fraction = x - x.round();
        return digamma(1.0 - x) - PI / (PI * fraction).tan();
    }
    // Near its zero the recurrence cancels, so it is expanded there (Taylor, with zeta values as
    // coefficients of psi at the root).
    const ROOT: f64 = 1.461_632_144_968_362_3;
    const ROOT_LOW: f64 = 9.549_995_429_965_697e-17;
    let (mut x, mut sum) = (x, 0.0);
    let near = (x - ROOT) - ROOT_LOW;
    if near.abs() < 0.05 {
        // psi(x) - psi(root) = sum over k of near / ((k + x)(k + root)), with the tail by Euler-Maclaurin.
        const TERMS: usize = 64;
        let mut total = 0.0;
        for k in (0..TERMS).rev() {
            let k = k as f64;
            total += 1.0 / ((k + x) * (k + ROOT));
        }
        let (a, b) = (TERMS as f64 + x, TERMS as f64 + ROOT);
        let integral = if near == 0.0 { 1.0 / b } else { (near / b).ln_1p() / near };
        let derivative = (1.0 / (a * b)) * (1.0 / a + 1.0 / b);
        let third = 6.0 / (a * b) * (1.0 / a + 1.0 / b) * (1.0 / (a * a) + 1.0 / (b * b));
        return near * (total + integral + 0.5 / (a * b) + derivative / 12.0 - third / 720.0);
    }
    while x < 12.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = y
        * (1.0 / 12.0
            - y * (1.0 / 120.0
                - y * (1.0 / 252.0
                    - y * (1.0 / 240.0 - y * (1.0 / 132.0 - y * (691.0 / 32760.0 - y * (1.0 / 12.0)))))));
    sum + x.ln() - 0.5 / x - series
}

/// The derivative of order `n` of [`digamma`]: `(-1)^(n+1) n! ζ(n+1, x)` (DLMF 5.15.1, 25.11.1).
///
/// Below 0, where that sum over `x, x+1, ...` is long: the sum over all `x + k`, which repeats with
/// period 1, without the part over `x-1, x-2, ...`.
pub fn polygamma(n: f64, x: f64) -> f64 {
    if n == 0.0 {
        return digamma(x);
    }
    if x.is_nan() || n.is_nan() || n < 0.0 || n.fract() != 0.0 || !n.is_finite() {
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
        return sign * scaled_zeta(n, x);
    }
    // The nearest whole number leaves the difference exact.
    let rest = x - x.round();
    let above = if rest == 0.5 { scaled_zeta(n, 0.5) } else { power(n, rest) + scaled_zeta(n, 1.0 + rest) };
    sign * (above + sign * (scaled_zeta(n, 1.0 - rest) - scaled_zeta(n, 1.0 - x)))
}

/// `n! / x^(n+1)`.
fn power(n: f64, x: f64) -> f64 {
    if n > 150.0 {
        let size = (libm::lgamma(n + 1.0) - (n + 1.0) * x.abs().ln()).exp();
        return if n % 2.0 == 0.0 { size.copysign(x) } else { size };
    }
    (1..=n as u32).fold(1.0 / x, |product, i| product * (f64::from(i) / x))
}

/// `n! ζ(n+1, x)` for `x > 0`, by the formula of Euler and Maclaurin (DLMF 25.11.28), every power
/// relative to that of `x`, so that none overflows before the result does.
fn scaled_zeta(n: f64, x: f64) -> f64 {
    if x == f64::INFINITY {
        return 0.0;
    }
    let s = n + 1.0;
    let end = s.max(16.0);
    let (mut sum, mut at) = (0.0, x);
    while at < end {
        let term = (at / x).powf(-s);
        sum += term;
        at += 1.0;
        if term < sum * 1e-18 {
            return power(n, x) * sum;
        }
    }
    let last = (at / x).powf(-s);
    sum += last * (at / n + 0.5);
    // B(2j) / (2j)! for j = 1 to 10.
    let coefficients = [
        1.0 / 12.0, -1.0 / 720.0, 1.0 / 30240.0, -1.0 / 1_209_600.0, 1.0 / 47_900_160.0,
        -691.0 / 1_307_674_368_000.0, 1.0 / 74_724_249_600.0, -3617.0 / 10_670_622_842_880_000.0,
        43867.0 / 5_109_094_217_170_944_000.0, -174_611.0 / 802_857_662_698_291_200_000.0,
    ];
    let mut rising = s / at;
    for (j, coefficient) in coefficients.into_iter().enumerate() {
        let term = coefficient * rising * last;
        sum += term;
        if term.abs() < sum * 1e-18 {
            break;
        }
        let next = s + 2.0 * j as f64 + 1.0;
        rising *= next / at * ((next + 1.0) / at);
    }
    power(n, x) * sum
}

/// The inverse of `erf`: a starting value of Giles (2012), then Halley's steps on `erf` or `erfc`.
pub fn erfinv(y: f64) -> f64 {
    if y == 0.0 || y.is_nan() {
        return y;
    }
    if y.abs() >= 1.0 {
        return if y.abs() > 1.0 { f64::NAN } else { f64::INFINITY.copysign(y) };
    }
    let z = y.abs();
    let w = -((1.0 - z) * (1.0 + z)).ln();
    let mut x = if w < 5.0 {
        let w = w - 2.5;
        let c = [2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941];
        z * c.iter().fold(0.0, |p, c| p * w + c)
    } else {
        let w = w.sqrt() - 3.0;
        let c = [-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682];
        z * c.iter().fold(0.0, |p, c| p * w + c)
    };
    for _ in 0..3 {
        let error = if z > 0.5 { (1.0 - z) - libm::erfc(x) } else { libm::erf(x) - z };
        let step = error / (std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp());
        x -= step / (1.0 + x * step);
    }
    x.copysign(y)
}

/// The gamma function; NaN at negative integers.
pub fn gamma(x: f64) -> f64 {
    libm::tgamma(x)
}

/// The logarithm of the magnitude of the gamma function.
pub fn lgamma(x: f64) -> f64 {
    if x.is_infinite() { f64::INFINITY } else { libm::lgamma(x) }
}
