//! Owen's T function.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Owen's T function (Owen, Ann. Math. Stat. 27, 1956): the probability of `X > h` and `0 < Y < a X` for
/// independent standard normal numbers,
/// `1 / (2 pi)` times the integral of `exp(-h**2 (1 + x**2) / 2) / (1 + x**2)` over x from 0 to `a`.
pub fn owens_t(h: f64, a: f64) -> f64 {
    if h.is_nan() || a.is_nan() {
        return f64::NAN;
    }
    let (height, slope) = (h.abs(), a.abs());
    // Half of the probability to lie beyond a place.
    let half_tail = |x: f64| 0.25 * libm::erfc(x * FRAC_1_SQRT_2);
    let value = if slope == 0.0 || height.is_infinite() {
        0.0
    } else if slope <= 1.0 {
        integral(height, slope)
    } else if slope.is_infinite() {
        half_tail(height)
    } else {
        // T(h, a) by T(a h, 1 / a), written so that small values keep their digits (Owen, formula 2.3).
        let other = integral(height * slope, 1.0 / slope);
        let (near, far) = (half_tail(height), half_tail(height * slope));
        near + far - 4.0 * near * far - other
    };
    if a < 0.0 { -value } else { value }
}

/// The integral for a slope within 0 to 1, by 16-point Gauss-Legendre rules over pieces of at most one and a
/// half standard deviations of the bell in it, up to where it is less than an epsilon.
fn integral(height: f64, slope: f64) -> f64 {
    const NODES: [f64; 8] = [
        0.095_012_509_837_637_44, 0.281_603_550_779_258_9, 0.458_016_777_657_227_4, 0.617_876_244_402_643_7,
        0.755_404_408_355_003, 0.865_631_202_387_831_7, 0.944_575_023_073_232_6, 0.989_400_934_991_649_9,
    ];
    const WEIGHTS: [f64; 8] = [
        0.189_450_610_455_068_5, 0.182_603_415_044_923_6, 0.169_156_519_395_002_54, 0.149_595_988_816_576_73,
        0.124_628_971_255_533_88, 0.095_158_511_682_492_78, 0.062_253_523_938_647_89, 0.027_152_459_411_754_095,
    ];
    // Further out the whole is less than any number.
    if height > 40.0 {
        return 0.0;
    }
    let end = if height > 0.0 { slope.min(9.0 / height) } else { slope };
    let pieces = (end * height.max(2.0) / 1.5).ceil().max(1.0);
    let half = 0.5 * end / pieces;
    let bell = |x: f64| libm::exp(-0.5 * (height * x) * (height * x)) / (1.0 + x * x);
    let mut sum = 0.0;
    let mut piece = 0.0;
    while piece < pieces {
        let middle = (2.0 * piece + 1.0) * half;
        for (node, weight) in NODES.iter().zip(WEIGHTS) {
            sum += weight * (bell(middle - half * node) + bell(middle + half * node));
        }
        piece += 1.0;
    }
    sum * half * libm::exp(-0.5 * height * height) / (2.0 * PI)
}
