//! The modified Bessel function of the second kind, of any real order.

use std::f64::consts::PI;

/// The modified Bessel function of the second kind `K_v(x)` (DLMF 10.25.3) for x above 0; infinity at 0, NaN
/// below and for orders above 1e5 in magnitude.
pub fn kv(v: f64, x: f64) -> f64 {
    match at_edge(v, x) {
        Some(value) => value,
        None => scaled(v.abs(), x, -x),
    }
}

/// `exp(x) * kv(v, x)`, which does not underflow.
pub fn kve(v: f64, x: f64) -> f64 {
    match at_edge(v, x) {
        Some(value) => value,
        None => scaled(v.abs(), x, 0.0),
    }
}

fn at_edge(v: f64, x: f64) -> Option<f64> {
    // The recurrence takes a step for each unit of the order.
    if v.is_nan() || x.is_nan() || x < 0.0 || v.abs() > 1e5 {
        Some(f64::NAN)
    } else if x == 0.0 {
        Some(f64::INFINITY)
    } else {
        x.is_infinite().then_some(0.0)
    }
}

/// `exp(x + power) * K_v(x)`: for an order within one half by a series (Temme, J. Comput. Phys. 19, 1975) or
/// by a continued fraction (ibid.), from there upwards by recurrence (DLMF 10.29.1), which is stable.
fn scaled(v: f64, x: f64, power: f64) -> f64 {
    let steps = (v + 0.5).floor();
    let order = v - steps;
    let (mut low, mut high) = if x < 2.0 { series(order, x) } else { fraction(order, x) };
    // The series gives K itself, the fraction exp(x) K. By halves, as what the recurrence gives may be large where
    // the exponential is less than any number.
    let half = libm::exp(0.5 * if x < 2.0 { x + power } else { power });
    let mut step = 1.0;
    while step <= steps && low.is_finite() {
        (low, high) = (high, 2.0 * (order + step) / x * high + low);
        step += 1.0;
    }
    low * half * half
}

/// Coefficients of `1 / gamma(1 + z)` (Abramowitz and Stegun 6.1.34).
const RECIPROCAL_GAMMA: [f64; 24] = [
    1.0, 0.577_215_664_901_532_9, -0.655_878_071_520_253_9, -0.042_002_635_034_095_24, 0.166_538_611_382_291_5,
    -0.042_197_734_555_544_34, -0.009_621_971_527_876_974, 0.007_218_943_246_663_1, -0.001_165_167_591_859_065,
    -0.000_215_241_674_114_950_97, 0.000_128_050_282_388_116_2, -0.000_020_134_854_780_788_24, -1.250_493_482_142_670_7e-6,
    1.133_027_231_981_696e-6, -2.056_338_416_977_607e-7, 6.116_095_104_481_416e-9, 5.002_007_644_469_223e-9,
    -1.181_274_570_487_02e-9, 1.043_426_711_691_1e-10, 7.782_263_439_905_071e-12, -3.696_805_618_642_206e-12,
    5.100_370_287_454_476e-13, -2.058_326_053_566_506_7e-14, -5.348_122_539_423_018e-15,
];

/// `K` of an order within one half, and of the next.
fn series(order: f64, x: f64) -> (f64, f64) {
    let (mut odd, mut even, mut power) = (0.0, 0.0, 1.0);
    for pair in RECIPROCAL_GAMMA.chunks(2) {
        even += pair[0] * power;
        odd -= pair[1] * power;
        power *= order * order;
    }
    // 1 / gamma(1 + order) and 1 / gamma(1 - order).
    let (plus, minus) = (even - order * odd, even + order * odd);
    let log = libm::log(2.0 / x);
    let angle = order * log;
    let sine = PI * order;
    let scale = if sine.abs() < 1e-9 { 1.0 } else { sine / libm::sin(sine) };
    let slope = if angle.abs() < 1e-9 { 1.0 } else { libm::sinh(angle) / angle };
    let mut term = scale * (odd * libm::cosh(angle) + even * slope * log);
    let grown = libm::exp(angle);
    let (mut p, mut q) = (0.5 * grown / plus, 0.5 / (grown * minus));
    let (mut low, mut high, mut factor) = (term, p, 1.0);
    for i in 1..500 {
        let i = f64::from(i);
        term = (i * term + p + q) / (i * i - order * order);
        factor *= 0.25 * x * x / i;
        p /= i - order;
        q /= i + order;
        let (more, next) = (factor * term, factor * (p - i * term));
        low += more;
        high += next;
        if more.abs() < low.abs() * 1e-17 && next.abs() < high.abs() * 1e-17 {
            break;
        }
    }
    (low, high * 2.0 / x)
}

/// `exp(x) K` of an order within one half, and of the next.
fn fraction(order: f64, x: f64) -> (f64, f64) {
    let first = 0.25 - order * order;
    let (mut a, mut b) = (-first, 2.0 * (1.0 + x));
    let mut d = 1.0 / b;
    let (mut h, mut change) = (d, d);
    let (mut q1, mut q2, mut q, mut c) = (0.0, 1.0, first, first);
    let mut sum = 1.0 + q * change;
    for i in 2..10_000 {
        let i = f64::from(i);
        a -= 2.0 * (i - 1.0);
        c *= -a / i;
        (q1, q2) = (q2, (q1 - b * q2) / a);
        q += c * q2;
        b += 2.0;
        d = 1.0 / (b + a * d);
        change *= b * d - 1.0;
        h += change;
        let more = q * change;
        sum += more;
        if more.abs() < sum.abs() * 1e-17 {
            break;
        }
    }
    let low = (PI / (2.0 * x)).sqrt() / sum;
    (low, low * (order + x + 0.5 - first * h) / x)
}
