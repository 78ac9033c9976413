//! Bessel functions of real order.

use super::double::{Double, LN_2, PI, lgamma};

/// `J_v(x)` (DLMF 10.2.2) for an order of at most 100 in magnitude; else NaN, and NaN for negative `x` where the
/// order is broken. With twice the digits, so that it is exact also near its zeros, unless `|x|` is above 1e8: there
/// the error is a few ulp of the amplitude `√(2 / πx)`, and for broken orders some `x * 1e-32`.
pub fn jv(v: f64, x: f64) -> f64 {
    let whole = v.fract() == 0.0;
    if x.is_nan() || !(-LARGEST_ORDER..=LARGEST_ORDER).contains(&v) || (x < 0.0 && !whole) {
        return f64::NAN;
    }
    if x.abs() > 1e8 && whole {
        return libm::jn(v as i32, x);
    }
    if x.is_infinite() {
        return 0.0;
    }
    // For whole orders J of -v, and at -x, is that times (-1)^v.
    let order = if whole { v.abs() } else { v };
    let negative = order % 2.0 != 0.0 && whole && (v < 0.0) != (x < 0.0);
    let value = oscillating(order, x.abs());
    if negative { -value } else { value }
}

/// `J_0(x)`; as [`jv`].
pub fn j0(x: f64) -> f64 {
    near_zeros(0.0, x, libm::j0(x))
}

/// `J_1(x)`; as [`jv`].
pub fn j1(x: f64) -> f64 {
    near_zeros(1.0, x, libm::j1(x))
}

/// The value of `libm`, which is exact to some ulp of the amplitude, unless that is too far above it.
fn near_zeros(order: f64, x: f64, value: f64) -> f64 {
    let small = value * value * x.abs() < 0.1;
    if x.abs() > 1.0 && small { jv(order, x) } else { value }
}

/// `J` by its series for small `x` (DLMF 10.2.2), by Hankel's asymptotic one for large (10.17.3), between
/// by Miller's backward recurrence (3.6(ii), 10.6.1, normalized by 10.23.15, for whole orders 10.12.4).
fn oscillating(order: f64, x: f64) -> f64 {
    if x < 25.0 {
        let (sum, power) = power_series(order, x, -1.0);
        return times_exp(sum, power);
    }
    if x > order * order {
        return hankel(order, x).round();
    }
    // The orders on the way are this and whole numbers more.
    let rest = order - order.floor();
    let start = (order.max(x) / 2.0 + 20.0 + 10.0 * x.cbrt()).round();
    let mut weights = vec![Double::from(1.0)];
    let mut weight = Double::from(1.0);
    for k in 1..=start as u32 {
        let k = f64::from(k);
        if k > 1.0 {
            weight = weight * Double::sum(k - 1.0, rest) / k;
        }
        weights.push(weight * Double::sum(2.0 * k, rest));
    }
    let (mut above, mut here) = (Double::from(0.0), Double::from(1e-280));
    let (mut wanted, mut sum) = (Double::from(0.0), Double::from(0.0));
    let mut at = 2.0 * start;
    while at > 0.0 {
        let below = here * Double::sum(at, rest).scale(2.0) / x - above;
        (above, here) = (here, below);
        at -= 1.0;
        if at == order.floor() {
            wanted = here;
        }
        if at % 2.0 == 0.0 {
            sum = sum + here * weights[(at / 2.0) as usize];
        }
        if here.0.abs() > 2f64.powi(800) {
            for part in [&mut above, &mut here, &mut wanted, &mut sum] {
                *part = part.scale(2f64.powi(-800));
            }
        }
    }
    if rest != 0.0 {
        // (x/2)^rest / gamma(1 + rest) is what the sum should be.
        let power = (Double::from(x / 2.0).ln() * rest - lgamma(Double::sum(rest, 1.0))).exp();
        sum = sum / power;
    }
    // Negative orders lie beyond: downwards they grow, so that the recurrence is stable.
    while at > order.floor() {
        let below = here * Double::sum(at, rest).scale(2.0) / x - above;
        (above, here) = (here, below);
        at -= 1.0;
        wanted = here;
    }
    (wanted / sum).round()
}

/// `√(2 / πx) (P cos χ - Q sin χ)` with `χ = x - nπ/2 - π/4`.
fn hankel(order: f64, x: f64) -> Double {
    let (mut p, mut q) = (Double::from(1.0), Double::from(0.0));
    let mut term = Double::from(1.0);
    for k in 1..200 {
        let odd = 2.0 * f64::from(k) - 1.0;
        let next = term * (Double::product(2.0 * order, 2.0 * order) - odd * odd) / Double::product(8.0 * f64::from(k), x);
        if next.0.abs() > term.0.abs() && f64::from(k) > order.abs() + 1.0 {
            break;
        }
        term = next;
        let signed = if k / 2 % 2 == 0 { term } else { -term };
        if k % 2 == 0 { p = p + signed } else { q = q + signed }
        if term.0.abs() < 1e-33 {
            break;
        }
    }
    // χ in units of π, reduced to half of one either way.
    let angle = Double::from(x) / PI - Double::sum(0.5 * order, 0.25);
    let turns = angle.0.round();
    let rest = angle - turns;
    let (sine, cosine) = (rest.sin_pi(), rest.cos_pi());
    let value = (p * cosine - q * sine) / root(PI.scale(0.5) * x);
    if turns % 2.0 == 0.0 { value } else { -value }
}

/// The square root: one step of Newton's from that of `f64`.
pub(super) fn root(square: Double) -> Double {
    let near = square.0.sqrt();
    (square / near + near).scale(0.5)
}

/// The modified Bessel function `I_v(x)` (DLMF 10.25.2) for an order of at most 100 in magnitude; else NaN, and
/// NaN for negative `x` where the order is broken.
pub fn iv(v: f64, x: f64) -> f64 {
    modified(v, x, false)
}

/// `exp(-|x|) I_v(x)`, which does not overflow.
pub fn ive(v: f64, x: f64) -> f64 {
    modified(v, x, true)
}

/// `I_0(x)`.
pub fn i0(x: f64) -> f64 {
    iv(0.0, x)
}

/// `I_1(x)`.
pub fn i1(x: f64) -> f64 {
    iv(1.0, x)
}

/// `exp(-|x|) I_0(x)`.
pub fn i0e(x: f64) -> f64 {
    ive(0.0, x)
}

/// `exp(-|x|) I_1(x)`.
pub fn i1e(x: f64) -> f64 {
    ive(1.0, x)
}

/// Orders beyond give NaN.
const LARGEST_ORDER: f64 = 100.0;

/// `log(iv(v, x))`, which neither overflows nor loses digits where it crosses 0.
pub fn log_iv(v: f64, x: f64) -> f64 {
    let Some((order, negative)) = domain(v, x) else { return f64::NAN };
    if x.is_infinite() {
        return if negative { f64::NAN } else { f64::INFINITY };
    }
    if x == 0.0 {
        return libm::log(iv(v, x));
    }
    if negative { f64::NAN } else { parts(order, x.abs()).log() }
}

/// The derivative of [`log_iv`] in `x` (DLMF 10.29.2).
pub fn log_iv_dx(v: f64, x: f64) -> f64 {
    let Some((order, _)) = domain(v, x) else { return f64::NAN };
    let size = x.abs();
    let value = if x.is_infinite() {
        1.0
    } else if x == 0.0 {
        if order == 0.0 { 0.0 } else { order * f64::INFINITY }
    } else {
        let (here, next) = (parts(order, size), parts(order + 1.0, size));
        (Double::ratio(order, size) + next.here / here.here * (next.power - here.power).exp()).round()
    };
    if x.is_sign_negative() { -value } else { value }
}

/// A modified Bessel function, `here * exp(power)`.
pub(super) struct Modified {
    pub here: Double,
    pub power: Double,
}

impl Modified {
    /// The function times `exp(more)`.
    pub fn value(&self, more: f64) -> f64 {
        times_exp(self.here, self.power + more)
    }

    /// Its logarithm; NaN where it is negative.
    pub fn log(&self) -> f64 {
        if self.here.0 > 0.0 { (self.here.ln() + self.power).round() } else { libm::log(self.here.0) }
    }
}

/// The order, without the sign of a whole one, and whether the function is negative for the sign of `x`; nothing where it is NaN.
fn domain(v: f64, x: f64) -> Option<(f64, bool)> {
    let whole = v.fract() == 0.0;
    let order = if whole { v.abs() } else { v };
    let inside = !x.is_nan() && order.abs() <= LARGEST_ORDER && (x >= 0.0 || whole);
    inside.then_some((order, x < 0.0 && order % 2.0 != 0.0))
}

fn modified(v: f64, x: f64, scaled: bool) -> f64 {
    let Some((order, negative)) = domain(v, x) else { return f64::NAN };
    let size = x.abs();
    let value = if size.is_infinite() {
        if scaled { 0.0 } else { f64::INFINITY }
    } else {
        parts(order, size).value(if scaled { -size } else { 0.0 })
    };
    if negative { -value } else { value }
}

/// `I` of finite numbers not below 0: the series DLMF 10.25.2, or for large `x` the asymptotic one 10.40.1, with twice the digits.
fn parts(order: f64, x: f64) -> Modified {
    if x < 40.0 + order * order / 2.0 {
        let (here, power) = power_series(order, x, 1.0);
        return Modified { here, power };
    }
    Modified { here: asymptotic(order, x) / root(PI.scale(2.0) * x), power: Double::from(x) }
}

/// `sum * exp(power)`, also where the exponential alone leaves the range.
fn times_exp(sum: Double, power: Double) -> f64 {
    if power.0.abs() > 1e5 || sum.0.is_infinite() {
        return sum.0 * libm::exp(power.0);
    }
    let count = (power.0 / LN_2.0).round();
    let mantissa = sum * (power - LN_2 * count).exp();
    libm::scalbn(mantissa.round(), count as i32)
}

/// The sum of `sign^k (x/2)^(v+2k) / k! gamma(v+k+1)`: a factor, and the exponent of another one.
fn power_series(order: f64, x: f64, sign: f64) -> (Double, Double) {
    let half = Double::from(x / 2.0);
    let (mut term, mut power) = (Double::from(1.0), Double::from(0.0));
    let whole = order.fract() == 0.0 && x < 600.0;
    let product = if whole { (1..=order as u32).fold(term, |term, k| term * half / f64::from(k)) } else { term };
    if whole && (x == 0.0 || product.0 > 1e-250) {
        term = product;
    } else if x == 0.0 {
        // 0, or infinite as 1 / gamma(1 + order) is.
        let infinite = if (order.floor() % 2.0).abs() == 1.0 { f64::INFINITY } else { f64::NEG_INFINITY };
        return (Double::from(if order > 0.0 { 0.0 } else { infinite }), power);
    } else if order > 0.0 {
        power = half.ln() * order - lgamma(Double::sum(order, 1.0));
    } else {
        // 1 / gamma(1 + order) by reflection, DLMF 5.5.3.
        let nearest = order.round();
        let sine = Double::from(order - nearest).sin_pi();
        term = if nearest % 2.0 == 0.0 { -sine } else { sine } / PI;
        power = half.ln() * order + lgamma(Double::from(-order));
    }
    let square = half * half * sign;
    let mut sum = term;
    for k in 1..20_000 {
        let k = f64::from(k);
        term = term * square / (Double::sum(k, order) * k);
        sum = sum + term;
        if term.0.abs() <= sum.0.abs() * 1e-33 {
            break;
        }
        if sum.0.abs() > 2f64.powi(800) {
            (sum, term) = (sum.scale(2f64.powi(-800)), term.scale(2f64.powi(-800)));
            power = power + LN_2 * 800.0;
        }
    }
    (sum, power)
}

fn asymptotic(order: f64, x: f64) -> Double {
    let (mut sum, mut term) = (Double::from(1.0), Double::from(1.0));
    for k in 1..200 {
        let k = f64::from(k);
        let odd = 2.0 * k - 1.0;
        let next = -(term * (Double::product(2.0 * order, 2.0 * order) - odd * odd) / (Double::product(8.0 * k, x)));
        if next.0 == 0.0 || (next.0.abs() > term.0.abs() && k > order.abs() + 1.0) {
            break;
        }
        term = next;
        sum = sum + term;
        if term.0.abs() < sum.0.abs() * 1e-20 {
            break;
        }
    }
    sum
}
