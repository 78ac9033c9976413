//! Gauss' hypergeometric function of real parameters.

use super::double::Double;
use super::gamma::{gamma, lgamma};

/// The hypergeometric function `F(a, b; c; z)` (DLMF 15.2.1) for z up to 1; NaN above 1, where it is not real,
/// unless `a` or `b` is a whole number of at most 0, which makes it a polynomial.
///
/// By its series up to 1/2 and from there on by Taylor series of its differential equation (DLMF 15.10.1), each
/// half of the way to 1, both with twice the digits; below 0 by the transformation of Pfaff (DLMF 15.8.1), at 1 by the formula of Gauss (DLMF
/// 15.4.20). NaN where terms of unlike signs cancel more than that many digits.
pub fn hyp2f1(a: f64, b: f64, c: f64, z: f64) -> f64 {
    if a.is_nan() || b.is_nan() || c.is_nan() || z.is_nan() {
        return f64::NAN;
    }
    let ends = |x: f64| x <= 0.0 && x == x.floor();
    let degree = [a, b].into_iter().filter(|&x| ends(x)).map(|x| -x).reduce(f64::min);
    if z == 0.0 || a == 0.0 || b == 0.0 {
        return 1.0;
    }
    if ends(c) && degree.is_none_or(|degree| degree > -c) {
        return f64::INFINITY;
    }
    if let Some(degree) = degree {
        return polynomial(a, b, c, z, degree);
    }
    if z > 1.0 {
        return f64::NAN;
    }
    if z == 1.0 {
        return at_one(a, b, c);
    }
    if z < 0.0 {
        // Of both forms the one whose new parameter is smaller, as its terms grow less.
        let (kept, other) = if (c - b).abs() < (c - a).abs() { (a, b) } else { (b, a) };
        let factor = libm::pow(1.0 - z, -kept);
        let far = z / (z - 1.0);
        let new = c - other;
        let value = if ends(new) { polynomial(kept, new, c, far, -new) } else { within(kept, new, c, far, 1.0 / (1.0 - z)) };
        return factor * value;
    }
    within(a, b, c, z, 1.0 - z)
}

fn polynomial(a: f64, b: f64, c: f64, z: f64, degree: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0, 1.0, 0.0);
    while n < degree {
        term *= (a + n) * (b + n) / ((c + n) * (1.0 + n)) * z;
        sum += term;
        n += 1.0;
    }
    sum
}

/// The sign of the gamma function.
fn sign(x: f64) -> f64 {
    if x < 0.0 && x.floor() % 2.0 != 0.0 { -1.0 } else { 1.0 }
}

fn at_one(a: f64, b: f64, c: f64) -> f64 {
    let rest = c - a - b;
    if rest <= 0.0 {
        return f64::INFINITY;
    }
    let pole = |x: f64| x <= 0.0 && x == x.floor();
    if pole(c - a) || pole(c - b) {
        return 0.0;
    }
    let all = [c, rest, c - a, c - b];
    if all.iter().all(|x| x.abs() < 100.0) {
        return gamma(c) * gamma(rest) / (gamma(c - a) * gamma(c - b));
    }
    let size = libm::exp(lgamma(c) + lgamma(rest) - lgamma(c - a) - lgamma(c - b));
    all.iter().map(|&x| sign(x)).product::<f64>() * size
}

/// For z from 0 to below 1; `rest` is `1 - z`, which may have more digits. With twice the digits, as terms of unlike
/// signs may cancel; NaN where they cancel more than that.
fn within(a: f64, b: f64, c: f64, z: f64, rest: f64) -> f64 {
    let start = z.min(0.5);
    let mut largest = 0.0;
    let mut value = series(a, b, c, start, &mut largest);
    let mut slope = series(a + 1.0, b + 1.0, c + 1.0, start, &mut largest) * a * b / c;
    let mut left = 0.5;
    while z > 0.5 && left > rest {
        // From z to half of the way to 1, or to the end.
        let next = (0.5 * left).max(rest);
        (value, slope) = step(a, b, c, left, left - next, (value, slope), &mut largest);
        left = next;
    }
    let value = value.round();
    if value.is_finite() && value.abs() < largest * 1e-14 { f64::NAN } else { value }
}

fn series(a: f64, b: f64, c: f64, z: f64, largest: &mut f64) -> Double {
    let (mut term, mut sum, mut n) = (Double::from(1.0), Double::from(1.0), 0.0);
    while n < 100_000.0 {
        term = term * Double::sum(a, n) * Double::sum(b, n) / (Double::sum(c, n) * (1.0 + n)) * z;
        sum = sum + term;
        *largest = largest.max(term.0.abs());
        n += 1.0;
        if term.0.abs() <= sum.0.abs() * 1e-32 && n > a.abs().max(b.abs()).max(c.abs()) {
            break;
        }
    }
    sum
}

/// Value and derivative at `z + h` from those at `z`, which is 1 less `rest`: the coefficients `u` of the powers of
/// `h` follow from `z (1-z) w'' + (c - (a+b+1) z) w' - a b w = 0`.
fn step(a: f64, b: f64, c: f64, rest: f64, h: f64, (value, slope): (Double, Double), largest: &mut f64) -> (Double, Double) {
    let z = Double::sum(1.0, -rest);
    let (mut u0, mut u1) = (value, slope * h);
    let (mut sum, mut derivative) = (u0 + u1, u1);
    let (lead, all) = (z * rest, Double::sum(a, b) + 1.0);
    for n in 0..2000 {
        let n = f64::from(n);
        let first = (-(z * 2.0) + 1.0) * n + c - all * z;
        let u2 = (Double::sum(a, n) * Double::sum(b, n) * u0 * h * h - first * (n + 1.0) * u1 * h) / (lead * ((n + 2.0) * (n + 1.0)));
        sum = sum + u2;
        derivative = derivative + u2 * (n + 2.0);
        *largest = largest.max(u2.0.abs());
        (u0, u1) = (u1, u2);
        if n > 8.0 && u0.0.abs().max(u1.0.abs()) * n <= sum.0.abs().min(derivative.0.abs()) * 1e-32 {
            break;
        }
    }
    (sum, derivative / h)
}
