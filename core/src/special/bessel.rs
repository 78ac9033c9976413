//! Bessel functions of whole order.

use super::double::{Double, PI};

/// `J_n(x)` (DLMF 10.2.2) for a whole number `n` of at most 100 in magnitude; else NaN. With twice the
/// digits, so that it is exact also near its zeros, unless `|x|` is above 1e8: there the error is a few
/// ulp of the amplitude `√(2 / πx)`.
pub fn jv(n: f64, x: f64) -> f64 {
    if x.is_nan() || n.fract() != 0.0 || !(-LARGEST_ORDER..=LARGEST_ORDER).contains(&n) {
        return f64::NAN;
    }
    if x.abs() > 1e8 {
        return libm::jn(n as i32, x);
    }
    let (order, size) = (n.abs(), x.abs());
    // J of -n, and at -x, is that times (-1)^n.
    let negative = order % 2.0 != 0.0 && (n < 0.0) != (x < 0.0);
    let value = oscillating(order, size).round();
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
/// by Miller's backward recurrence (3.6(ii), 10.6.1, normalized by 10.12.4).
fn oscillating(order: f64, x: f64) -> Double {
    if x < 25.0 {
        return power_series(order, x, -1.0);
    }
    if x > order * order {
        return hankel(order, x);
    }
    let start = 2.0 * (order.max(x) / 2.0 + 20.0 + 10.0 * x.cbrt()).round();
    let (mut above, mut here) = (Double::from(0.0), Double::from(1e-280));
    let (mut wanted, mut sum) = (Double::from(0.0), Double::from(0.0));
    let mut at = start;
    while at > 0.0 {
        let below = here * (2.0 * at) / x - above;
        (above, here) = (here, below);
        at -= 1.0;
        if at == order {
            wanted = here;
        }
        if at % 2.0 == 0.0 {
            sum = sum + if at == 0.0 { here } else { here.scale(2.0) };
        }
        if here.0.abs() > 2f64.powi(800) {
            for part in [&mut above, &mut here, &mut wanted, &mut sum] {
                *part = part.scale(2f64.powi(-800));
            }
        }
    }
    wanted / sum
}

/// `√(2 / πx) (P cos χ - Q sin χ)` with `χ = x - nπ/2 - π/4`.
fn hankel(order: f64, x: f64) -> Double {
    let (mut p, mut q) = (Double::from(1.0), Double::from(0.0));
    let mut term = Double::from(1.0);
    for k in 1..200 {
        let odd = 2.0 * f64::from(k) - 1.0;
        let next = term * (4.0 * order * order - odd * odd) / Double::product(8.0 * f64::from(k), x);
        if next.0.abs() > term.0.abs() && f64::from(k) > order + 1.0 {
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
    let angle = Double::from(x) / PI - (0.5 * order + 0.25);
    let turns = angle.0.round();
    let rest = angle - turns;
    let (sine, cosine) = (rest.sin_pi(), rest.cos_pi());
    let value = (p * cosine - q * sine) / root(PI.scale(0.5) * x);
    if turns % 2.0 == 0.0 { value } else { -value }
}

/// The square root: one step of Newton's from that of `f64`.
fn root(square: Double) -> Double {
    let near = square.0.sqrt();
    (square / near + near).scale(0.5)
}

/// The modified Bessel function `I_n(x)` (DLMF 10.25.2) for a whole number `n`; else NaN.
pub fn iv(n: f64, x: f64) -> f64 {
    modified(n, x, false)
}

/// `exp(-|x|) I_n(x)`, which does not overflow.
pub fn ive(n: f64, x: f64) -> f64 {
    modified(n, x, true)
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

/// The series DLMF 10.25.2, or for large `x` the asymptotic one 10.40.1, with twice the digits.
fn modified(n: f64, x: f64, scaled: bool) -> f64 {
    let order = n.abs();
    if x.is_nan() || order.fract() != 0.0 || order > LARGEST_ORDER {
        return f64::NAN;
    }
    let negative = x < 0.0 && order % 2.0 != 0.0;
    let size = x.abs();
    let value = if size.is_infinite() {
        if scaled { 0.0 } else { f64::INFINITY }
    } else if size < 40.0 + order * order / 2.0 && size < 600.0 {
        let sum = power_series(order, size, 1.0);
        if scaled { (sum * Double::from(-size).exp()).round() } else { sum.round() }
    } else {
        let sum = asymptotic(order, size);
        let root = root(PI.scale(2.0) * size);
        if scaled {
            (sum / root).round()
        } else {
            // In two steps, as the exponential may leave the range before the result does.
            let half = Double::from(size / 2.0).exp();
            let value = (half * (sum / root)).round();
            let product = value * half.0;
            if product.is_infinite() { product } else { product + value * half.1 }
        }
    };
    if negative { -value } else { value }
}

/// The sum of `sign^k (x/2)^(n+2k) / k! (n+k)!`.
fn power_series(order: f64, x: f64, sign: f64) -> Double {
    let half = Double::from(x / 2.0);
    let mut term = (1..=order as u32).fold(Double::from(1.0), |term, k| term * half / f64::from(k));
    let square = half * half * sign;
    let mut sum = term;
    for k in 1..2000 {
        let k = f64::from(k);
        term = term * square / (k * (k + order));
        sum = sum + term;
        if term.0.abs() <= sum.0.abs() * 1e-33 {
            break;
        }
    }
    sum
}

fn asymptotic(order: f64, x: f64) -> Double {
    let (mut sum, mut term) = (Double::from(1.0), Double::from(1.0));
    for k in 1..200 {
        let k = f64::from(k);
        let odd = 2.0 * k - 1.0;
        let next = -(term * (4.0 * order * order - odd * odd) / (Double::product(8.0 * k, x)));
        if next.0 == 0.0 || (next.0.abs() > term.0.abs() && k > order + 1.0) {
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
