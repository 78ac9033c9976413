//! Functions of one or two `f64` that neither `std` nor `libm` has, in their stable forms.

use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, PI, SQRT_2};

/// `1 / (1 + exp(-x))`, without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

/// `log(1 + exp(x))`, exact to rounding at both ends.
pub fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) }
}

/// `log(sigmoid(x))`.
pub fn log_sigmoid(x: f64) -> f64 {
    -softplus(-x)
}

/// `log(1 - exp(x))` for `x <= 0`. Mächler, *Accurately computing log(1 - exp(-|a|))* (2012): the
/// form switches at `-ln 2`.
pub fn log1mexp(x: f64) -> f64 {
    if x > -LN_2 { libm::log(-libm::expm1(x)) } else { libm::log1p(-libm::exp(x)) }
}

/// `log(exp(x) + exp(y))`.
pub fn logaddexp(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == y {
        return x + LN_2;
    }
    let (low, high) = if x < y { (x, y) } else { (y, x) };
    high + libm::log1p(libm::exp(low - high))
}

/// `x log(y)`, 0 where `x` is 0 and `y` is not NaN.
pub fn xlogy(x: f64, y: f64) -> f64 {
    if x == 0.0 && !y.is_nan() { 0.0 } else { x * libm::log(y) }
}

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
    let rest = (libm::fma(-t, SQRT_2, -x) - t * SQRT_2_REST) / SQRT_2;
    0.5 * x * (libm::erfc(t) - FRAC_2_SQRT_PI * libm::exp(-t * t) * rest)
}

/// The tanh form of [`gelu`]: `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, as `x sigmoid(2u)`.
pub fn gelu_tanh(x: f64) -> f64 {
    let u = FRAC_2_SQRT_PI / SQRT_2 * (x + 0.044715 * x * x * x);
    if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(2.0 * u) }
}

/// The inverse of `erf`: the approximation of M. Giles, *Approximating the erfinv function* (GPU
/// Computing Gems, 2010), then Halley's steps against `erf`, or `erfc` in the tails.
pub fn erfinv(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 1.0 {
        return f64::NAN;
    }
    if x.abs() == 1.0 {
        return f64::INFINITY.copysign(x);
    }
    if x.abs() < 1e-9 {
        // The next term of the series, π x³ / 24 √π, is below rounding.
        return x / FRAC_2_SQRT_PI;
    }
    let a = x.abs();
    let w = -libm::log((1.0 - a) * (1.0 + a));
    let poly = |w: f64, c: [f64; 9]| c.into_iter().fold(0.0, |p, c| p * w + c);
    #[rustfmt::skip]
    let p = if w < 5.0 {
        poly(w - 2.5, [
            2.810_226_36e-8, 3.432_739_39e-7, -3.523_387_7e-6, -4.391_506_54e-6, 0.000_218_580_87,
            -0.001_253_725_03, -0.004_177_681_64, 0.246_640_727, 1.501_409_41,
        ])
    } else if w > 16.0 {
        // The asymptotic form, where the approximation (made for `f32`) ends.
        (w - 0.5 * libm::log(PI * w)).sqrt()
    } else {
        poly(w.sqrt() - 3.0, [
            -0.000_200_214_257, 0.000_100_950_558, 0.001_349_343_22, -0.003_673_428_44, 0.005_739_507_73,
            -0.007_622_461_3, 0.009_438_870_47, 1.001_674_06, 2.832_976_82,
        ])
    };
    let mut y = p * a;
    for _ in 0..4 {
        let error = if a < 0.5 { libm::erf(y) - a } else { (1.0 - a) - libm::erfc(y) };
        let step = error / (FRAC_2_SQRT_PI * libm::exp(-y * y));
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// The derivative of `lgamma`. Near its positive root as in Boost.Math (`digamma_imp_1_2`: a rational
/// function times the distance from the root, which is kept in three parts), above 10 by the
/// asymptotic series (DLMF 5.11.2), between by recurrence (5.5.2), below 0 by reflection (5.5.4),
/// where the error near a root is a few ulp of 1, not of the result.
pub fn digamma(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x == 0.0 {
        return -f64::INFINITY.copysign(x);
    }
    if x < 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        // The nearest whole number leaves the tangent's argument exact.
        let fraction = x - x.round();
        return digamma(1.0 - x) - PI / libm::tan(PI * fraction);
    }
    if x >= 10.0 {
        return digamma_large(x);
    }
    let (mut x, mut sum) = (x, 0.0);
    while x > 2.0 {
        x -= 1.0;
        sum += 1.0 / x;
    }
    while x < 1.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    digamma_1_2(x) + sum
}

fn digamma_large(x: f64) -> f64 {
    let z = 1.0 / (x * x);
    // B(2k) / 2k for k = 8 down to 1.
    #[rustfmt::skip]
    let terms = [
        -3617.0 / 8160.0, 1.0 / 12.0, -691.0 / 32760.0, 1.0 / 132.0, -1.0 / 240.0, 1.0 / 252.0,
        -1.0 / 120.0, 1.0 / 12.0,
    ];
    let series = terms.into_iter().fold(0.0, |sum, term| (sum + term) * z);
    libm::log(x) - 0.5 / x - series
}

fn digamma_1_2(x: f64) -> f64 {
    const Y: f64 = 0.995_581_626_892_089_8;
    const ROOT: [f64; 3] = [
        1_569_415_565.0 / 1_073_741_824.0,
        381_566_830.0 / 1_073_741_824.0 / 1_073_741_824.0,
        0.901_631_209_325_869_6e-19,
    ];
    const P: [f64; 6] = [
        -0.002_892_683_683_339_188,
        -0.054_115_626_615_350_53,
        -0.314_767_657_147_375_75,
        -0.665_836_341_559_876_2,
        -0.314_628_554_532_916_5,
        0.254_798_510_611_315_5,
    ];
    const Q: [f64; 8] = [
        0.317_940_243_105_952_2e-7,
        -0.165_079_794_012_604_9e-5,
        0.002_989_996_625_923_24,
        0.066_048_148_717_356_98,
        0.486_986_018_231_043,
        1.543_505_546_649_611_3,
        2.119_575_992_705_535,
        1.0,
    ];
    let distance = x - ROOT[0] - ROOT[1] - ROOT[2];
    let at = |c: &[f64]| c.iter().fold(0.0, |sum, c| sum * (x - 1.0) + c);
    distance * Y + distance * (at(&P) / at(&Q))
}

/// The derivative of order `n` of [`digamma`]: `(-1)^(n+1) n! ζ(n+1, x)` (DLMF 5.15.1, 25.11.1).
///
/// Below 0, where that sum over `x, x+1, ...` is long: the sum over all `x + k`, which repeats with
/// period 1, without the part over `x-1, x-2, ...`.
pub fn polygamma(n: f64, x: f64) -> f64 {
    if n == 0.0 {
        return digamma(x);
    }
    if x.is_nan() || n.is_nan() || n < 0.0 || n.fract() != 0.0 || n > 1000.0 {
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
        let size = libm::exp(libm::lgamma(n + 1.0) - (n + 1.0) * libm::log(x.abs()));
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
    let end = s.max(12.0);
    let (mut sum, mut at) = (0.0, x);
    while at < end {
        let term = libm::pow(at / x, -s);
        sum += term;
        at += 1.0;
        if term < sum * 1e-18 {
            return power(n, x) * sum;
        }
    }
    let last = libm::pow(at / x, -s);
    sum += last * (at / n + 0.5);
    // B(2j) / (2j)! for j = 1 to 10.
    #[rustfmt::skip]
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
