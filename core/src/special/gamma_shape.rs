//! Derivatives of the incomplete gamma function's ratio `P(a, x)` in `a`, by computing with the first
//! coefficients of Taylor series in `a` for numbers.

use super::{digamma, gammainc, gammaincc, polygamma};

/// The most derivatives.
const MOST: usize = 16;

/// The derivative of order `n` of `P(a, x)` in `a`; NaN where `a` is not positive, `x` is negative, or `n`
/// is no whole number from 0 to 16.
///
/// With `g` the logarithm of what stands before the series DLMF 8.7.1 or the continued fraction 8.9.2,
/// both are power series in a step of `a`; their product's coefficients are the derivatives.
pub fn gammainc_da(n: f64, a: f64, x: f64) -> f64 {
    if n == 0.0 {
        return gammainc(a, x);
    }
    if !(a > 0.0 && x >= 0.0 && n > 0.0 && n <= MOST as f64 && n.fract() == 0.0) {
        return f64::NAN;
    }
    if x == 0.0 || x.is_infinite() || a.is_infinite() {
        return if x.is_infinite() && a.is_infinite() { f64::NAN } else { 0.0 };
    }
    let size = n as usize + 1;
    let below = x < a + 1.0;
    // P is exp(a log(x) - x - lgamma(a + 1)) times the series, Q the same with lgamma(a) times the fraction.
    let (value, at, factor) = match below {
        true => (gammainc(a, x), a + 1.0, series(size, a, x)),
        false => (-gammaincc(a, x), a, fraction(size, a, x)),
    };
    if value == 0.0 {
        return 0.0;
    }
    let mut exponent = Jet::constant(size, 0.0);
    let mut factorial = 1.0;
    for (k, c) in exponent.0.iter_mut().enumerate().take(size).skip(1) {
        factorial *= k as f64;
        let slope = if k == 1 { libm::log(x) - digamma(at) } else { -polygamma((k - 1) as f64, at) };
        *c = slope / factorial;
    }
    let relative = exponent.exp().times(&factor).scale(1.0 / factor.0[0]);
    value * relative.0[size - 1] * factorial
}

/// The first coefficients of a power series.
#[derive(Clone, Copy)]
struct Jet([f64; MOST + 1], usize);

impl Jet {
    fn constant(size: usize, value: f64) -> Jet {
        let mut jet = Jet([0.0; MOST + 1], size);
        jet.0[0] = value;
        jet
    }

    /// `value + slope t`.
    fn line(size: usize, value: f64, slope: f64) -> Jet {
        let mut jet = Jet::constant(size, value);
        jet.0[1] = slope;
        jet
    }

    fn scale(mut self, factor: f64) -> Jet {
        self.0.iter_mut().for_each(|c| *c *= factor);
        self
    }

    fn plus(mut self, other: &Jet) -> Jet {
        self.0.iter_mut().zip(&other.0).for_each(|(c, other)| *c += other);
        self
    }

    fn times(&self, other: &Jet) -> Jet {
        let mut product = Jet::constant(self.1, 0.0);
        for (k, c) in product.0.iter_mut().enumerate().take(self.1) {
            *c = (0..=k).map(|i| self.0[i] * other.0[k - i]).sum();
        }
        product
    }

    fn over(&self, other: &Jet) -> Jet {
        let mut quotient = Jet::constant(self.1, 0.0);
        for k in 0..self.1 {
            let known: f64 = (0..k).map(|i| quotient.0[i] * other.0[k - i]).sum();
            quotient.0[k] = (self.0[k] - known) / other.0[0];
        }
        quotient
    }

    /// The exponential of a series without a constant: `e' = s' e`.
    fn exp(&self) -> Jet {
        let mut e = Jet::constant(self.1, 1.0);
        for k in 1..self.1 {
            e.0[k] = (1..=k).map(|i| i as f64 * self.0[i] * e.0[k - i]).sum::<f64>() / k as f64;
        }
        e
    }
}

/// `1 + x/(a+1) + x²/((a+1)(a+2)) + ...`.
fn series(size: usize, a: f64, x: f64) -> Jet {
    let (mut sum, mut term) = (Jet::constant(size, 1.0), Jet::constant(size, 1.0));
    for k in 1..10_000_000u32 {
        term = term.scale(x).over(&Jet::line(size, a + f64::from(k), 1.0));
        sum = sum.plus(&term);
        if term.0.iter().zip(&sum.0).all(|(term, sum)| term.abs() <= sum.abs() * 1e-18) {
            break;
        }
    }
    sum
}

/// The fraction `1 / (x+1-a - 1(1-a) / (x+3-a - 2(2-a) / ...))`, from behind; how many terms it takes shows
/// in the method of Lentz.
fn fraction(size: usize, a: f64, x: f64) -> Jet {
    let bottom = |k: u32| x + 1.0 - a + 2.0 * f64::from(k);
    let (mut c, mut d, mut terms) = (1e300, 1.0 / bottom(0), 0);
    for k in 1..10_000_000u32 {
        let top = f64::from(k) * (a - f64::from(k));
        d = 1.0 / (top * d + bottom(k));
        c = top / c + bottom(k);
        terms = k;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    // The derivatives converge a little later.
    let terms = terms + terms / 4 + 10 * size as u32;
    let mut result = Jet::line(size, bottom(terms), -1.0);
    for k in (1..=terms).rev() {
        let top = Jet::line(size, f64::from(k) * (a - f64::from(k)), f64::from(k));
        result = top.over(&result).plus(&Jet::line(size, bottom(k - 1), -1.0));
    }
    Jet::constant(size, 1.0).over(&result)
}

#[cfg(test)]
mod tests {
    use super::gammainc_da;
    use crate::special::gammainc;

    /// Against values of arbitrary precision (`mpmath.diff` of `gammainc` with 60 digits).
    #[test]
    fn derivatives_are_accurate() {
        let rows = [
            (1.0, 0.001, 0.1, -1.821_055_939_208_306_6),
            (1.0, 0.5, 0.5, -0.647_200_352_377_753_9),
            (1.0, 2.0, 6.0, -0.026_592_285_283_509_87),
            (1.0, 10.0, 3.0, -0.001_415_636_460_575_209_3),
            (1.0, 100.0, 100.0, -0.039_927_497_857_786_05),
            (1.0, 1000.0, 1100.0, -0.000_110_489_877_840_793_89),
            (1.0, 5000.0, 4800.0, -9.447_743_813_603_717e-5),
            (2.0, 0.5, 0.5, 0.155_853_029_367_506_9),
            (2.0, 4.0, 9.0, -0.018_767_597_237_371_023),
            (2.0, 100.0, 95.0, 0.001_847_944_613_725_872_4),
            (3.0, 0.3, 2.0, -0.047_078_233_752_725_31),
            (3.0, 30.0, 31.0, 0.002_286_572_018_352_908_3),
            (4.0, 2.5, 4.0, 0.045_154_268_595_679_35),
        ];
        for (n, a, x, expected) in rows {
            let found = gammainc_da(n, a, x);
            assert!((found - expected).abs() <= 2e-13 * f64::abs(expected), "{n} {a} {x}: {found}, expected {expected}");
        }
    }

    /// Against central differences of the order below, over both sides of the mean.
    #[test]
    fn derivatives_agree_with_differences() {
        for a in [1e-3_f64, 0.1, 0.9, 1.0, 2.5, 30.0, 700.0, 2e4] {
            for relative in [1e-4, 0.3, 0.9, 1.0, 1.1, 2.0, 5.0] {
                let x = a * relative + 1e-3;
                for n in 1..4 {
                    let h = a.min(a.sqrt()) * 1e-3;
                    let below = |a: f64| gammainc_da(f64::from(n - 1), a, x);
                    let wide = (below(a + h) - below(a - h)) / (2.0 * h);
                    let narrow = (below(a + h / 2.0) - below(a - h / 2.0)) / h;
                    let expected = (4.0 * narrow - wide) / 3.0;
                    let found = gammainc_da(f64::from(n), a, x);
                    let size = below(a).abs().max(below(a + h).abs()) / h;
                    assert!((found - expected).abs() <= 1e-8 * expected.abs() + 1e-10 * size, "{n} {a} {x}: {found} {expected}");
                }
            }
        }
        // -E1(1), the slope at 0 from the right (DLMF 8.4.4, 6.2.1).
        assert!((gammainc_da(1.0, 1e-9, 1.0) + 0.219_383_934_395_520_27).abs() < 1e-8);
        assert_eq!(gammainc_da(0.0, 2.0, 1.5), gammainc(2.0, 1.5));
        assert_eq!(gammainc_da(1.0, 2.0, 0.0), 0.0);
        assert!(gammainc_da(1.5, 2.0, 1.0).is_nan() && gammainc_da(1.0, -2.0, 1.0).is_nan());
    }
}
