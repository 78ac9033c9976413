//! Numbers of twice the precision of `f64`: the unevaluated sum of a number and what rounding took from
//! it, about 31 digits. Functions that cancel compute in them and round once.
//!
//! Sums and products after T. J. Dekker, *A floating-point technique for extending the available
//! precision* (1971), and D. E. Knuth, *The Art of Computer Programming*, volume 2, 4.2.2.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// The sum of its two parts, of which the second is at most half a unit in the last place of the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Double(pub f64, pub f64);

pub(super) const LN_2: Double = Double(std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);
pub(super) const PI: Double = Double(std::f64::consts::PI, 1.224_646_799_147_353_2e-16);
/// `log(2 pi) / 2`.
const HALF_LN_TAU: Double = Double(0.918_938_533_204_672_8, -3.878_294_158_067_242e-17);
/// Euler's constant.
pub(super) const EULER: Double = Double(0.577_215_664_901_532_9, -4.942_915_152_430_645e-18);

/// `1/k` for k = 2 to 11.
const INVERSES: [Double; 10] = [
    Double(0.5, 0.0),
    Double(0.333_333_333_333_333_3, 1.850_371_707_708_594e-17),
    Double(0.25, 0.0),
    Double(0.2, -1.110_223_024_625_156_6e-17),
    Double(0.166_666_666_666_666_66, 9.251_858_538_542_97e-18),
    Double(0.142_857_142_857_142_85, 7.930_164_461_608_26e-18),
    Double(0.125, 0.0),
    Double(0.111_111_111_111_111_1, 6.167_905_692_361_98e-18),
    Double(0.1, -5.551_115_123_125_783e-18),
    Double(0.090_909_090_909_090_91, -2.523_234_146_875_356e-18),
];

impl From<f64> for Double {
    fn from(x: f64) -> Double {
        Double(x, 0.0)
    }
}

impl Double {
    /// The sum of two numbers, exactly.
    pub fn sum(x: f64, y: f64) -> Double {
        let sum = x + y;
        let part = sum - x;
        Double(sum, (x - (sum - part)) + (y - part))
    }

    /// The product of two numbers, exactly unless it underflows.
    pub fn product(x: f64, y: f64) -> Double {
        let product = x * y;
        Double(product, x.mul_add(y, -product))
    }

    /// The quotient of two numbers.
    pub fn ratio(x: f64, y: f64) -> Double {
        Double::from(x) / Double::from(y)
    }

    /// `x + y` where `x` is the larger or zero.
    fn ordered(x: f64, y: f64) -> Double {
        let sum = x + y;
        Double(sum, y - (sum - x))
    }

    /// Rounded to one `f64`.
    pub fn round(self) -> f64 {
        self.0 + self.1
    }

    pub fn abs(self) -> Double {
        if self.0 < 0.0 { -self } else { self }
    }

    /// Times a power of two.
    pub fn scale(self, power: f64) -> Double {
        Double(self.0 * power, self.1 * power)
    }

    /// `exp(self)`: the argument is reduced by multiples of `ln 2`.
    pub fn exp(self) -> Double {
        if self.0 > 709.79 {
            return f64::INFINITY.into();
        }
        if self.0 < -746.0 {
            return 0.0.into();
        }
        let count = (self.0 / LN_2.0).round();
        // The third part of ln 2, as the multiple may be a thousand.
        let rest = self - LN_2 * count - Double::from(count * 5.707_708_438_416_212e-34);
        let power = rest.exp_m1_near_0() + 1.0;
        // In two steps, as the power of two alone may leave the range.
        let half = (count / 2.0).floor();
        power.scale(libm::exp2(half)).scale(libm::exp2(count - half))
    }

    /// `exp(self) - 1`, relative to which it is exact.
    pub fn exp_m1(self) -> Double {
        if self.0.abs() < 0.35 { self.exp_m1_near_0() } else { self.exp() - 1.0 }
    }

    /// `exp(self) - 1` of at most `ln 2 / 2` in magnitude: the argument is divided by 64; six squarings of `exp - 1` follow
    /// the series.
    fn exp_m1_near_0(self) -> Double {
        let r = self.scale(1.0 / 64.0);
        let (mut sum, mut term) = (r, r);
        for inverse in INVERSES {
            term = term * r * inverse;
            sum = sum + term;
        }
        for _ in 0..6 {
            sum = sum.scale(2.0) + sum * sum;
        }
        sum
    }

    /// The natural logarithm, of positive numbers; its error is absolute where it is near 0: a step of
    /// Newton's from that of `f64`.
    pub fn ln(self) -> Double {
        let (mut x, mut shift) = (self, 0.0);
        if x.0 < 1e-270 {
            // The exponential of the step would leave the range.
            (x, shift) = (x.scale(2f64.powi(200)), -200.0);
        }
        let near = libm::log(x.0);
        let off = x * Double::from(-near).exp() - 1.0;
        LN_2 * shift + (Double::sum(near, 0.0) + (off - off * off * 0.5))
    }

    /// `sin(pi self)` for numbers of at most 1/2 in magnitude.
    pub fn sin_pi(self) -> Double {
        let x = self * PI;
        let square = x * x;
        let (mut sum, mut term) = (x, x);
        for k in 1..=15 {
            term = -(term * square) / f64::from(2 * k * (2 * k + 1));
            sum = sum + term;
        }
        sum
    }

    /// `cos(pi self)` for numbers of at most 1/2 in magnitude.
    pub fn cos_pi(self) -> Double {
        // As the sine of the distance from 1/2, relative to which it is exact.
        (-(self.abs()) + 0.5).sin_pi()
    }
}

impl Neg for Double {
    type Output = Double;
    fn neg(self) -> Double {
        Double(-self.0, -self.1)
    }
}

impl Add for Double {
    type Output = Double;
    fn add(self, y: Double) -> Double {
        let (high, low) = (Double::sum(self.0, y.0), Double::sum(self.1, y.1));
        let sum = Double::ordered(high.0, high.1 + low.0);
        Double::ordered(sum.0, sum.1 + low.1)
    }
}

impl Sub for Double {
    type Output = Double;
    fn sub(self, y: Double) -> Double {
        self.add(-y)
    }
}

impl Mul for Double {
    type Output = Double;
    fn mul(self, y: Double) -> Double {
        let product = Double::product(self.0, y.0);
        Double::ordered(product.0, product.1 + (self.0 * y.1 + self.1 * y.0))
    }
}

impl Div for Double {
    type Output = Double;
    fn div(self, y: Double) -> Double {
        let first = self.0 / y.0;
        let rest = self - y * first;
        let second = rest.0 / y.0;
        let third = (rest - y * second).0 / y.0;
        Double::ordered(first, second) + third
    }
}

macro_rules! with_single {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait<f64> for Double {
            type Output = Double;
            fn $method(self, y: f64) -> Double {
                $trait::$method(self, Double::from(y))
            }
        }
    )*};
}
with_single!(Add add, Sub sub, Mul mul, Div div);

/// `B(2k) / (2k (2k-1))` for k = 1 to 13, numerators and denominators.
const STIRLING: [(f64, f64); 13] = [
    (1.0, 12.0),
    (-1.0, 360.0),
    (1.0, 1260.0),
    (-1.0, 1680.0),
    (1.0, 1188.0),
    (-691.0, 360_360.0),
    (1.0, 156.0),
    (-3617.0, 122_400.0),
    (43867.0, 244_188.0),
    (-174_611.0, 125_400.0),
    (77683.0, 5796.0),
    (-236_364_091.0, 1_506_960.0),
    (657_931.0, 300.0),
];

/// Where Stirling's series with those terms has all digits.
const FAR: f64 = 40.0;

/// `log |gamma(x)|`: Stirling's series (DLMF 5.11.1) after the recurrence (5.5.1), and by reflection
/// (5.5.3) below 0. Its error is absolute where it is near 0. `x` is no pole.
pub(super) fn lgamma(x: Double) -> Double {
    if x.0 < 0.0 {
        let fraction = x - x.0.round();
        let sine = fraction.sin_pi().abs();
        return (PI / sine).ln() - lgamma(-x + 1.0);
    }
    let (mut at, mut product) = (x, Double::from(1.0));
    // The first factor apart, as it may be tiny.
    let first = at;
    let shifted = at.0 < FAR;
    if shifted {
        at = at + 1.0;
    }
    while at.0 < FAR {
        product = product * at;
        at = at + 1.0;
    }
    let (inverse, mut series) = (Double::from(1.0) / at, Double::from(0.0));
    let square = inverse * inverse;
    for (numerator, denominator) in STIRLING.into_iter().rev() {
        series = series * square + Double::ratio(numerator, denominator);
    }
    let far = (at - 0.5) * at.ln() - at + HALF_LN_TAU + series * inverse;
    if shifted { far - product.ln() - first.ln() } else { far }
}

/// The derivative of [`lgamma`], by the derivatives of the same formulas (DLMF 5.11.2, 5.5.2, 5.5.4).
pub(super) fn digamma(x: Double) -> Double {
    if x.0 < 0.0 {
        let fraction = x - x.0.round();
        return digamma(-x + 1.0) - PI * fraction.cos_pi() / fraction.sin_pi();
    }
    let (mut at, mut sum) = (x, Double::from(0.0));
    while at.0 < FAR {
        sum = sum + Double::from(1.0) / at;
        at = at + 1.0;
    }
    let (inverse, mut series) = (Double::from(1.0) / at, Double::from(0.0));
    let square = inverse * inverse;
    for (k, (numerator, denominator)) in STIRLING.into_iter().enumerate().rev() {
        let order = 2.0 * k as f64 + 1.0;
        series = series * square + Double::ratio(numerator * order, denominator);
    }
    at.ln() - inverse * 0.5 - series * square - sum
}
