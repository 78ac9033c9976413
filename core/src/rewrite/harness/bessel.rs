//! Modified Bessel functions of real order between bounds.
//!
//! `K` is an integral of terms of one sign, `K_v(x) = ∫ exp(-x cosh t) cosh(v t) dt` over `t > 0` (DLMF 10.32.9). The
//! trapezoidal rule with step `h` is wrong by no more than `exp(-2 pi a / h)` times the integral of the absolute value on
//! the line with imaginary part `a`, which is `K_v(x cos a)`. With `a = 1` that is at most `exp(0.62 v + 0.46 x)` times
//! `K_v(x)` (of orders below 1/2, that of 1/2), as `-x K'/K <= v + x`. `I` follows from the Wronskian (DLMF 10.28.2)
//! and the continued fraction of `I_(v+1) / I_v` (DLMF 10.33.1), whose terms have one sign too.

use astro_float::{BigFloat, RoundingMode};

use super::interval::{Bits, Interval, consts, is_point};
use super::precise::to_f64;

const ROUND: RoundingMode = RoundingMode::ToEven;

/// The largest order that is looked at.
const ORDER: f64 = 512.0;
/// From where on the asymptotic series are taken: their terms fall to `exp(-2x)` before they grow again.
const FAR: f64 = 8192.0;

/// The order and the argument, if both are known exactly and not NaN; else what comes of them.
fn points(v: &Interval, x: &Interval) -> Result<(BigFloat, BigFloat), Interval> {
    match (v, x) {
        (Interval::Nan, _) | (_, Interval::Nan) => Err(Interval::Nan),
        (Interval::Range(order, _), Interval::Range(argument, _)) if is_point(v) && is_point(x) => Ok((order.clone(), argument.clone())),
        _ => Err(Interval::Unknown),
    }
}

impl Bits {
    /// `K_v(x)`
    pub fn kv(self, v: &Interval, x: &Interval) -> Interval {
        let (v, x) = match points(v, x) {
            Ok(points) => points,
            Err(other) => return other,
        };
        if x.is_negative() && !x.is_zero() {
            return Interval::Nan;
        }
        let order = to_f64(&v).abs();
        if order > ORDER {
            return Interval::Unknown;
        }
        if x.is_zero() || x.is_inf() {
            return self.exactly(if x.is_zero() { f64::INFINITY } else { 0.0 });
        }
        let work = Bits(self.0 + 64);
        let value = work.positive_k(&v.abs(), &x);
        self.around(value)
    }

    /// `I_v(x)`
    pub fn iv(self, v: &Interval, x: &Interval) -> Interval {
        let (v, x) = match points(v, x) {
            Ok(points) => points,
            Err(other) => return other,
        };
        let (order, whole) = (to_f64(&v), v.is_int());
        if order.abs() > ORDER || x.is_inf() {
            return Interval::Unknown;
        }
        if x.is_zero() {
            return match order {
                0.0 => self.exactly(1.0),
                order if order > 0.0 || whole => self.exactly(0.0),
                _ => Interval::Unknown,
            };
        }
        if x.is_negative() && !whole {
            return Interval::Nan;
        }
        let work = Bits(self.0 + 64);
        let (magnitude, argument) = (v.abs(), x.abs());
        let mut value = self.around(work.positive_i(&magnitude, &argument));
        if order < 0.0 && !whole {
            // I_(-v) = I_v + 2 / pi sin(pi v) K_v
            let pi = self.around(consts(|c| c.pi(work.0, ROUND)));
            let part = self.div(&self.mul(&self.exactly(2.0), &self.sin(&self.mul(&pi, &Interval::Range(magnitude.clone(), magnitude.clone())))), &pi);
            value = self.add(&value, &self.mul(&part, &self.around(work.positive_k(&magnitude, &argument))));
        }
        if x.is_negative() && order % 2.0 != 0.0 { self.neg(&value) } else { value }
    }

    /// A number that was computed with more bits.
    fn around(self, value: BigFloat) -> Interval {
        self.settle(value.clone(), value, false, true, true)
    }

    /// `K_v(x)` of an order of at least 0 and an argument above 0.
    fn positive_k(self, v: &BigFloat, x: &BigFloat) -> BigFloat {
        let p = self.0;
        let (order, argument) = (to_f64(v), to_f64(x));
        if argument > FAR && order * order < argument {
            let half_pi = consts(|c| c.pi(p, ROUND)).div(&self.number(2.0), p, ROUND);
            let scale = half_pi.div(x, p, ROUND).sqrt(p, ROUND).mul(&consts(|c| x.neg().exp(p, ROUND, c)), p, ROUND);
            return scale.mul(&self.far_series(v, x, 1.0), p, ROUND);
        }
        let exponent = 0.6932 * (p as f64 + 8.0) + 0.62 * order.max(0.5) + 0.46 * argument + 2.0;
        let step = std::f64::consts::TAU / exponent;
        let h = self.number(step);
        let grow = |exponent: &BigFloat| consts(|c| exponent.exp(p, ROUND, c));
        let (once, back) = (grow(&h), grow(&h.neg()));
        let (many, many_back) = (grow(&h.mul(v, p, ROUND)), grow(&h.mul(v, p, ROUND).neg()));
        let (mut up, mut down, mut ups, mut downs) = (once.clone(), back.clone(), many.clone(), many_back.clone());
        let half = self.number(0.5);
        let mean = |a: &BigFloat, b: &BigFloat| a.add(b, p, ROUND).mul(&half, p, ROUND);
        let mut sum = grow(&x.neg()).mul(&half, p, ROUND);
        let mut t = step;
        loop {
            let term = grow(&x.mul(&mean(&up, &down), p, ROUND).neg()).mul(&mean(&ups, &downs), p, ROUND);
            sum = sum.add(&term, p, ROUND);
            let small = match (term.exponent(), sum.exponent()) {
                (Some(term_at), Some(sum_at)) if !term.is_zero() => i64::from(term_at) < i64::from(sum_at) - p as i64 - 8,
                _ => true,
            };
            // Where each term is less than half of the one before, the rest is less than the last.
            let falls = argument * t.sinh() * step > 0.7 + order * step;
            if small && falls {
                break;
            }
            up = up.mul(&once, p, ROUND);
            down = down.mul(&back, p, ROUND);
            ups = ups.mul(&many, p, ROUND);
            downs = downs.mul(&many_back, p, ROUND);
            t += step;
        }
        sum.mul(&h, p, ROUND)
    }

    /// `I_v(x)` of an order of at least 0 and an argument above 0.
    fn positive_i(self, v: &BigFloat, x: &BigFloat) -> BigFloat {
        let p = self.0;
        let (order, argument) = (to_f64(v), to_f64(x));
        if argument > FAR && order * order < argument {
            let pi = consts(|c| c.pi(p, ROUND));
            let root = pi.mul(&self.number(2.0), p, ROUND).mul(x, p, ROUND).sqrt(p, ROUND);
            return consts(|c| x.exp(p, ROUND, c)).div(&root, p, ROUND).mul(&self.far_series(v, x, -1.0), p, ROUND);
        }
        // Each step from the last one back gains two bits and more where it is beyond x / 2.
        let steps = (1.5 * argument) as usize + p + 32;
        let mut ratio = self.number(0.0);
        for k in (1..=steps).rev() {
            let twice = v.add(&self.number(k as f64), p, ROUND).mul(&self.number(2.0), p, ROUND);
            ratio = self.number(1.0).div(&twice.div(x, p, ROUND).add(&ratio, p, ROUND), p, ROUND);
        }
        let next = self.positive_k(&v.add(&self.number(1.0), p, ROUND), x);
        let sum = next.add(&ratio.mul(&self.positive_k(v, x), p, ROUND), p, ROUND);
        self.number(1.0).div(&sum.mul(x, p, ROUND), p, ROUND)
    }

    /// `Σ (sign)^k a_k(v) / x^k` of DLMF 10.40.1 and 10.40.2.
    fn far_series(self, v: &BigFloat, x: &BigFloat, sign: f64) -> BigFloat {
        let p = self.0;
        let four = v.mul(v, p, ROUND).mul(&self.number(4.0), p, ROUND);
        let (mut term, mut sum) = (self.number(1.0), self.number(1.0));
        for k in 1..4000 {
            let odd = self.number(f64::from(2 * k - 1).powi(2));
            let factor = four.sub(&odd, p, ROUND).mul(&self.number(sign), p, ROUND);
            term = term.mul(&factor, p, ROUND).div(&x.mul(&self.number(8.0 * f64::from(k)), p, ROUND), p, ROUND);
            sum = sum.add(&term, p, ROUND);
            if term.is_zero() || term.exponent().is_none_or(|own| own < -(p as i32)) {
                break;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By mpmath, to 20 digits.
    #[test]
    fn known_values() {
        for (v, x, k, i) in VALUES {
            for bits in [192, 640] {
                let bits = Bits(bits);
                let (order, argument) = (bits.exactly(*v), bits.exactly(*x));
                check(&bits.kv(&order, &argument), *k, "K", *v, *x);
                check(&bits.iv(&order, &argument), *i, "I", *v, *x);
            }
        }
        for (v, x, k, i) in FAR_VALUES {
            let bits = Bits(192);
            let (order, argument) = (bits.exactly(*v), bits.exactly(*x));
            check(&bits.log(&bits.kv(&order, &argument)), *k, "log K", *v, *x);
            check(&bits.log(&bits.iv(&order, &argument)), *i, "log I", *v, *x);
        }
    }

    #[track_caller]
    fn check(found: &Interval, expected: f64, what: &str, v: f64, x: f64) {
        let Interval::Range(lo, hi) = found else { panic!("{what} of {v}, {x} is not known: {found:?}") };
        assert!(to_f64(lo) == expected && to_f64(hi) == expected, "{what} of {v}, {x}: {:e} and not {expected:e}", to_f64(lo));
    }

    #[test]
    fn edges() {
        let bits = Bits(192);
        let of = |f: fn(Bits, &Interval, &Interval) -> Interval, v: f64, x: f64| f(bits, &bits.exactly(v), &bits.exactly(x));
        check(&of(Bits::kv, 1.0, 0.0), f64::INFINITY, "K", 1.0, 0.0);
        check(&of(Bits::kv, 1.0, f64::INFINITY), 0.0, "K", 1.0, f64::INFINITY);
        check(&of(Bits::iv, 0.0, 0.0), 1.0, "I", 0.0, 0.0);
        check(&of(Bits::iv, 2.5, 0.0), 0.0, "I", 2.5, 0.0);
        assert!(matches!(of(Bits::kv, 1.0, -1.0), Interval::Nan) && matches!(of(Bits::iv, 0.5, -1.0), Interval::Nan));
        let (Interval::Range(a, _), Interval::Range(b, _)) = (of(Bits::iv, 3.0, -2.0), of(Bits::iv, 3.0, 2.0)) else { panic!("I_3 is known") };
        assert_eq!(to_f64(&a), -to_f64(&b));
    }

    const VALUES: &[(f64, f64, f64, f64)] = &[
        (0.0, 0.5, 0.9244190712276659, 1.0634833707413236),
        (1.5, 0.5, 3.2251428104997606, 0.09640347383401673),
        (2.0, 30.0, 2.2769929632558262e-14, 730436828561.3804),
        (0.3, 0.001, 14.406547529041028, 0.11393858132853915),
        (2.7, 5.0, 0.007126248755633332, 12.340632426526795),
        (-2.3, 4.0, 0.020036370704690203, 5.411093580126608),
        (-1.5, 0.2, 13.766936038790847, -8.74042007634518),
        (50.0, 60.0, 5.038929808517651e-19, 1.2704607933652174e+16),
        (7.5, 600.0, 1.4208398351760064e-262, 5.864619679009212e+258),
        (-0.5, 1e-06, 1253.3128840019897, 797.8845608032643),
        (100.0, 3.0, 1.1219630864949486e+138, 4.4544703417655027e-141),
    ];

    /// The logarithms.
    const FAR_VALUES: &[(f64, f64, f64, f64)] = &[
        (1.5, 10000.0, -10004.379278838343, 9994.475791275807),
        (2.0, 10000.0, -10004.379191342718, 9994.475703771432),
        (0.0, 8200.0, -8204.280168606954, 8194.575131995001),
        (60.0, 8200.0, -8204.060670773963, 8194.355607392945),
    ];
}
