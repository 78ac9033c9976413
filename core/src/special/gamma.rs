//! The gamma and beta functions and their logarithms.

use super::double::{self, Double};

/// The gamma function; NaN at negative integers, an infinity of the sign of the zero at 0.
///
/// By `exp` of [`lgamma`] with twice the digits, so that whole numbers up to 171 have their factorial,
/// rounded once; next to the pole at 0 by `libm`.
pub fn gamma(x: f64) -> f64 {
    if x.abs() < 1e-3 || x.is_nan() || !(-200.0..=172.0).contains(&x) || (x == x.floor() && x < 0.0) {
        return libm::tgamma(x);
    }
    let size = double::lgamma(x.into()).exp().round();
    sign(x) * size
}

/// The logarithm of the absolute value of the gamma function; infinity at the poles. Below 0, where it
/// crosses zero between the poles, with twice the digits.
pub fn lgamma(x: f64) -> f64 {
    if x.is_infinite() || (x <= 0.0 && x == x.floor()) {
        return f64::INFINITY;
    }
    if x < -1e-3 { double::lgamma(x.into()).round() } else { libm::lgamma(x) }
}

/// `log |beta(a, b)|` (DLMF 5.12.1), with twice the digits.
fn log_beta(a: f64, b: f64) -> Double {
    let sum = Double::sum(a, b);
    double::lgamma(a.into()) + double::lgamma(b.into()) - double::lgamma(sum)
}

fn is_pole(x: f64) -> bool {
    x <= 0.0 && x == x.floor()
}

/// The sign of the gamma function at `x`, which is no pole.
fn sign(x: f64) -> f64 {
    if x < 0.0 && x.floor() % 2.0 != 0.0 { -1.0 } else { 1.0 }
}

/// What the beta function is where the formula is undefined.
fn beta_at_edge(a: f64, b: f64) -> Option<f64> {
    if a.is_nan() || b.is_nan() || a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        Some(f64::NAN)
    } else if is_pole(a) || is_pole(b) {
        Some(if a.min(b) == 0.0 { f64::INFINITY } else { f64::NAN })
    } else if a.is_infinite() || b.is_infinite() {
        Some(if a.min(b) > 0.0 { 0.0 } else { f64::NAN })
    } else {
        is_pole(a + b).then_some(0.0)
    }
}

/// The beta function `gamma(a) gamma(b) / gamma(a + b)`; infinity at 0, NaN where `a` or `b` is a
/// negative integer.
pub fn beta(a: f64, b: f64) -> f64 {
    match beta_at_edge(a, b) {
        Some(value) => value,
        None => sign(a) * sign(b) * sign(a + b) * log_beta(a, b).exp().round(),
    }
}

/// The Pochhammer symbol `gamma(x + m) / gamma(x)` (DLMF 5.2.5), with twice the digits.
pub fn poch(x: f64, m: f64) -> f64 {
    if x.is_nan() || m.is_nan() {
        return f64::NAN;
    }
    if m == 0.0 {
        return 1.0;
    }
    let end = x + m;
    match (is_pole(x), is_pole(end)) {
        // Of whole steps between two poles a product is left: that of the reflected ends.
        (true, true) if m == m.floor() => {
            let sign = if m % 2.0 == 0.0 { 1.0 } else { -1.0 };
            return sign * poch(1.0 - x - m, m);
        }
        (true, _) => return 0.0,
        (false, true) => return f64::INFINITY,
        (false, false) => {}
    }
    sign(x) * sign(end) * (double::lgamma(Double::sum(x, m)) - double::lgamma(x.into())).exp().round()
}

/// The logarithm of the absolute value of [`beta`].
pub fn betaln(a: f64, b: f64) -> f64 {
    match beta_at_edge(a, b) {
        Some(value) => libm::log(value),
        // Where the other is 1 this is 0, of which sums leave a trace.
        None if a == 1.0 || b == 1.0 => -libm::log((a * b).abs()),
        None => log_beta(a, b).round(),
    }
}

/// The incomplete beta function's ratio `I_x(a, b)` for positive `a` and `b` and x in 0 to 1; else NaN.
/// NaN also where `a` or `b` is finite and above 1e8. The continued fraction DLMF 8.17.22, on the side of
/// the mean on which it converges fast, with twice the digits.
pub fn betainc(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&x)) || (a.is_infinite() && b.is_infinite()) {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    if a.is_infinite() || b.is_infinite() {
        return if a.is_infinite() { 0.0 } else { 1.0 };
    }
    if a.max(b) > 1e8 {
        return f64::NAN;
    }
    let y = -Double::from(x) + 1.0;
    let weight = (Double::from(x).ln() * a + y.ln() * b - log_beta(a, b)).exp();
    let below = x < (a + 1.0) / (a + b + 2.0);
    if weight.0 == 0.0 {
        return if below { 0.0 } else { 1.0 };
    }
    if below {
        return (weight / a * beta_fraction(a, b, x.into())).round();
    }
    (-(weight / b * beta_fraction(b, a, y)) + 1.0).round()
}

/// The fraction `1 / (1 + d1 / (1 + d2 / (1 + ...)))` of DLMF 8.17.22, by the method of Lentz.
fn beta_fraction(a: f64, b: f64, x: Double) -> Double {
    let (a, b) = (Double::from(a), Double::from(b));
    let one = Double::from(1.0);
    let mut c = one;
    let mut d = one / (one - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..200_000 {
        let m = f64::from(m);
        let twice = a + 2.0 * m;
        let even = (b - m) * m * x / ((twice - 1.0) * twice);
        let odd = -((a + m) * (a + b + m) * x / (twice * (twice + 1.0)));
        let mut step = one;
        for coefficient in [even, odd] {
            d = one / (coefficient * d + 1.0);
            c = coefficient / c + 1.0;
            step = step * c * d;
        }
        result = result * step;
        if (step.0 - 1.0 + step.1).abs() < 1e-20 {
            break;
        }
    }
    result
}
