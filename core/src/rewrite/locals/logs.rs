//! Logarithms of what a number scales or shifts. Where they cross 0 the number's own logarithm is needed to more digits
//! than the dtype has: it is given in two parts.

use std::f64::consts::LN_2;

use super::{Found, Local, Site, built, stable};
use crate::error::Result;
use crate::graph::{ValueId, Var};
use crate::ops::where_;
use crate::special::parts;
use crate::tensor::{DType, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        stable(
            "log_of_scaled_exp", &["log"],
            "log(c * exp(x)) => x + log(c), log(exp(x) / c) => x - log(c), with log(c) in two parts",
            log_of_scaled_exp,
        ),
        stable(
            "log_of_scaled", &["log"],
            "log(c * x) => log1p(c * (x - 1 / c)) near 1 / c, which is given in two parts",
            log_of_scaled,
        ),
        stable(
            "log_of_scaled_sigmoid", &["log"],
            "log(c * sigmoid(x)), log(sigmoid(x) / c) => log_sigmoid(x) + log(c) where the product underflows, and near 1 a log1p",
            log_of_scaled_sigmoid,
        ),
        stable(
            "log_of_exp_minus_number", &["log"],
            "log(exp(x) - c) => x + log1mexp(log(c) - x), and near log(1 + c), where it crosses 0, a log1p",
            log_of_exp_minus_number,
        ),
        stable(
            "log_of_number_minus_exp", &["log"],
            "log(c - exp(x)) => log(-c * expm1(x - log(c))), and near where it crosses 0 a log1p",
            log_of_number_minus_exp,
        ),
    ]
}

/// The least normal number of `f32`.
pub(super) const NORMAL: f64 = 1.1754943508222875e-38;

/// A constant of positive finite numbers, in the dtype in which it is used.
pub(super) struct Numbers {
    values: Vec<f64>,
    shape: Vec<usize>,
    dtype: DType,
}

impl Numbers {
    pub(super) fn of(site: &Site<'_>, value: ValueId, sign: f64, dtype: DType) -> Option<Numbers> {
        const LARGEST: usize = 4096;
        let constant = site.constant(value).filter(|constant| constant.len() <= LARGEST)?.cast(dtype);
        let values: Vec<f64> = constant.to_f64_vec().into_iter().map(|value| sign * value).collect();
        let positive = values.iter().all(|&value| value > 0.0 && value.is_finite());
        positive.then(|| Numbers { values, shape: constant.shape().to_vec(), dtype })
    }

    fn all(&self, test: impl Fn(f64) -> bool) -> bool {
        self.values.iter().all(|&value| test(value))
    }

    pub(super) fn map(&self, function: impl Fn(f64) -> f64) -> Result<Var> {
        let values = self.values.iter().map(|&value| function(value)).collect();
        Ok(Var::constant(Tensor::from_vec(values, &self.shape)?.cast(self.dtype)))
    }

    /// `x` less a function of the numbers that is known in two parts.
    fn taken_from(&self, x: &Var, function: impl Fn(f64) -> (f64, f64)) -> Result<Var> {
        let high = |value: f64| Tensor::scalar(function(value).0).cast(self.dtype).item().unwrap_or(f64::NAN);
        let low = |value: f64| (function(value).0 - high(value)) + function(value).1;
        Ok((x - self.map(high)?) - self.map(low)?)
    }
}

/// The dtype in which a logarithm is computed, if it has one of its own.
pub(super) fn own_dtype(site: &Site<'_>) -> Option<DType> {
    let ty = site.ty(site.node().output(0));
    (ty.dtype.is_float() && !ty.weak).then_some(ty.dtype)
}

/// The operands of the op of a value, and the other way round.
fn both_ways(site: &Site<'_>, value: ValueId, op: &str) -> Vec<[ValueId; 2]> {
    match site.made_by(value, op) {
        Some((operands, _)) => vec![[operands[0], operands[1]], [operands[1], operands[0]]],
        None => Vec::new(),
    }
}

/// What may scale a value, what is scaled, and whether it is divided.
pub(super) fn scalings(site: &Site<'_>, value: ValueId) -> Vec<([ValueId; 2], bool)> {
    let divided = site.made_by(value, "div").map(|(operands, _)| ([operands[1], operands[0]], true));
    both_ways(site, value, "mul").into_iter().map(|operands| (operands, false)).chain(divided).collect()
}

pub(super) fn exponent(site: &Site<'_>, value: ValueId) -> Option<ValueId> {
    site.made_by(value, "exp").map(|(operands, _)| operands[0]).filter(|&x| site.ty(x).dtype.is_float())
}

fn log_of_scaled_exp(site: &mut Site<'_>) -> Found {
    let (Some(scaled), Some(dtype)) = (site.operand(0), own_dtype(site)) else { return Ok(None) };
    for [number, power] in both_ways(site, scaled, "mul") {
        if let (Some(factor), Some(x)) = (Numbers::of(site, number, 1.0, dtype), exponent(site, power)) {
            return built(site, &[x], |x| factor.taken_from(&x[0], |c| negative(parts::log(c, 0.0))));
        }
    }
    if let Some((operands, _)) = site.made_by(scaled, "div")
        && let (Some(x), Some(divisor)) = (exponent(site, operands[0]), Numbers::of(site, operands[1], 1.0, dtype))
    {
        return built(site, &[x], |x| divisor.taken_from(&x[0], |c| parts::log(c, 0.0)));
    }
    Ok(None)
}

fn negative((high, low): (f64, f64)) -> (f64, f64) {
    (-high, -low)
}

/// Of what no other rewrite knows a logarithm. A power of two leaves the number as exact as it is. Elsewhere the logarithm is one
/// to base 2, so that the rewrite does not apply to what it gives.
fn log_of_scaled(site: &mut Site<'_>) -> Found {
    const KNOWN: &[&str] = &["exp", "sigmoid", "erfc", "sum", "prod", "abs", "pow", "square", "sqrt", "reciprocal", "div", "mul", "kv", "iv"];
    let (Some(scaled), Some(dtype)) = (site.operand(0), own_dtype(site)) else { return Ok(None) };
    for [number, x] in both_ways(site, scaled, "mul") {
        let Some(factor) = Numbers::of(site, number, 1.0, dtype) else { continue };
        if KNOWN.contains(&site.op(x)) || !site.ty(x).dtype.is_float() || factor.all(|c| c.log2().fract() == 0.0) {
            continue;
        }
        return built(site, &[x, scaled], |values| {
            let [x, scaled] = values else { unreachable!("two values are given") };
            let near = factor.map(|c| c)? * factor.taken_from(x, parts::reciprocal)?;
            Ok(where_(&(scaled - 1.0).abs().lt(&Var::weak(0.5)), &near.log1p(), &(LN_2 * scaled.log2())))
        });
    }
    Ok(None)
}

/// `c * sigmoid(x) - 1` is `((c - 1) - exp(-x)) * sigmoid(x)`, of which the difference is taken with `log(c - 1)` in two parts. Far from
/// where that is small it is not needed, and `x` is bounded.
fn log_of_scaled_sigmoid(site: &mut Site<'_>) -> Found {
    let (Some(scaled), Some(dtype)) = (site.operand(0), own_dtype(site)) else { return Ok(None) };
    for ([number, sigmoid], inverse) in scalings(site, scaled) {
        let Some(numbers) = Numbers::of(site, number, 1.0, dtype) else { continue };
        let Some(x) = site.made_by(sigmoid, "sigmoid").map(|(operands, _)| operands[0]) else { continue };
        let excess = |c: f64| parts::plus(if inverse { parts::reciprocal(c) } else { (c, 0.0) }, -1.0);
        let (above, below) = (numbers.all(|c| excess(c).0 > 0.0), numbers.all(|c| excess(c).0 < 0.0));
        return built(site, &[x, scaled], |values| {
            let [x, scaled] = values else { unreachable!("two values are given") };
            let normal = scaled.ge(&Var::weak(NORMAL)) & scaled.isfinite();
            let apart = if inverse { x.log_sigmoid() - numbers.map(f64::ln)? } else { x.log_sigmoid() + numbers.map(f64::ln)? };
            let far = where_(&normal, &log_by_2(&normal, scaled), &apart);
            let bounded = x.maximum(&numbers.map(|c| -3.0 - excess(c).0.max(1.0).ln())?);
            let difference = match (above, below) {
                (true, _) => {
                    let log_of_excess = |c: f64| parts::log(excess(c).0, excess(c).1);
                    let beyond = numbers.taken_from(&-&bounded, log_of_excess)?;
                    let close = numbers.map(|c| -excess(c).0)? * beyond.expm1();
                    where_(&beyond.abs().lt(&Var::weak(1.0)), &close, &(numbers.map(|c| excess(c).0)? - (-&bounded).exp()))
                }
                (_, true) => numbers.map(|c| excess(c).0)? - (-&bounded).exp(),
                _ => return Ok(far),
            };
            Ok(near_one(&(difference * bounded.sigmoid()), &far))
        });
    }
    Ok(None)
}

/// The exponential of the difference to `log(c)` is 1 and more exactly where it is near 1. It is not needed far from there.
fn log_of_exp_minus_number(site: &mut Site<'_>) -> Found {
    let (Some(difference), Some(dtype)) = (site.operand(0), own_dtype(site)) else { return Ok(None) };
    let subtracted = site.made_by(difference, "sub").map(|(operands, _)| ([operands[0], operands[1]], 1.0));
    let added = both_ways(site, difference, "add").into_iter().map(|operands| (operands, -1.0));
    for ([power, number], sign) in subtracted.into_iter().chain(added) {
        let (Some(x), Some(numbers)) = (exponent(site, power), Numbers::of(site, number, sign, dtype)) else { continue };
        if !numbers.all(|c| c != 1.0) {
            continue;
        }
        return built(site, &[x], |values| {
            let x = &values[0];
            let bounded = |x: &Var| x.minimum(&Var::weak(3.0)).expm1();
            let beyond = numbers.taken_from(x, |c| parts::log(c, 0.0))?;
            let power = numbers.map(|c| c)? * bounded(&beyond);
            let close = beyond.lt(&Var::weak(2.0)) & power.ge(&Var::weak(NORMAL));
            let far = where_(&close, &(LN_2 * power.log2()), &(x + (-&beyond).log1mexp()));
            let over_one = numbers.map(|c| 1.0 + c)? * bounded(&numbers.taken_from(x, |c| parts::log(1.0, c))?);
            Ok(near_one(&over_one, &far))
        });
    }
    Ok(None)
}

/// The logarithm of a number where a condition holds: of one to base 2, so that a rewrite does not apply to what it gives.
pub(super) fn log_by_2(condition: &Var, number: &Var) -> Var {
    LN_2 * where_(condition, number, &Var::weak(1.0)).log2()
}

/// `log(1 + x)` where that is near 0, else something else.
fn near_one(x: &Var, other: &Var) -> Var {
    let near = x.abs().lt(&Var::weak(0.5));
    where_(&near, &where_(&near, x, &Var::weak(0.0)).log1p(), other)
}

fn log_of_number_minus_exp(site: &mut Site<'_>) -> Found {
    let (Some(difference), Some(dtype)) = (site.operand(0), own_dtype(site)) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(difference, "sub") else { return Ok(None) };
    let (Some(x), Some(numbers)) = (exponent(site, operands[1]), Numbers::of(site, operands[0], 1.0, dtype)) else { return Ok(None) };
    let above = numbers.all(|c| c > 1.0);
    if !above && !numbers.all(|c| c < 1.0) {
        return Ok(None);
    }
    built(site, &[x], |values| {
        let x = &values[0];
        let power = numbers.map(|c| -c)? * numbers.taken_from(x, |c| parts::log(c, 0.0))?.expm1();
        // Of less than 1 both parts of the difference to 1 have one sign.
        let over_one = match above {
            true => numbers.map(|c| 1.0 - c)? * numbers.taken_from(x, |c| parts::log(c, -1.0))?.expm1(),
            false => numbers.map(|c| c - 1.0)? - x.exp(),
        };
        Ok(near_one(&over_one, &(LN_2 * power.log2())))
    })
}
