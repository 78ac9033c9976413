//! Distributions that reject draws, one element each from a [`Source`] of its own.

use std::f64::consts::{PI, TAU};

use arignote_core::{Result, special};

use super::words::Source;
use crate::values::fail;

/// One draw.
pub enum Draw {
    /// Of a continuous distribution.
    Float(f64),
    /// Of a discrete one.
    Count(i128),
}

/// That a number is positive, and finite.
fn positive(name: &str, x: f64) -> Result<()> {
    if x > 0.0 && x.is_finite() { Ok(()) } else { Err(fail(format!("`{name}` is positive, but one is {x}"))) }
}

/// That a number is whole and not negative.
fn whole(name: &str, x: f64) -> Result<()> {
    if x >= 0.0 && x.fract() == 0.0 && x < 9e18 {
        Ok(())
    } else {
        Err(fail(format!("`{name}` is a whole number, not negative, but one is {x}")))
    }
}

/// A whole number below `count`, which is at most 2**64: Lemire, *Fast random integer generation in an
/// interval* (arXiv 1805.10941).
pub fn below(count: u128, source: &mut Source) -> u64 {
    let Ok(count) = u64::try_from(count) else { return source.bits() };
    let least = count.wrapping_neg() % count;
    loop {
        let product = u128::from(source.bits()) * u128::from(count);
        if product as u64 >= least {
            return (product >> 64) as u64;
        }
    }
}

/// A gamma draw for `a` of at least 1, less its factor `d`: Marsaglia and Tsang, *A simple method for
/// generating gamma variables* (2000).
fn marsaglia_tsang(a: f64, source: &mut Source) -> (f64, f64) {
    let d = a - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = source.normal();
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        let u = source.positive();
        if libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return (d, v);
        }
    }
}

/// A draw of the gamma distribution. For `a < 1` one for `a + 1` times `u**(1/a)`.
pub fn gamma(a: f64, source: &mut Source) -> Result<f64> {
    positive("a", a)?;
    let (d, v) = marsaglia_tsang(if a < 1.0 { a + 1.0 } else { a }, source);
    Ok(if a < 1.0 { d * v * libm::pow(source.positive(), 1.0 / a) } else { d * v })
}

/// The logarithm of [`gamma`].
pub fn log_gamma(a: f64, source: &mut Source) -> Result<f64> {
    positive("a", a)?;
    let (d, v) = marsaglia_tsang(if a < 1.0 { a + 1.0 } else { a }, source);
    let logs = libm::log(d * v);
    Ok(if a < 1.0 { logs + libm::log(source.positive()) / a } else { logs })
}

/// `log(n!) - log(sqrt(2 pi n) (n/e)**n)` (DLMF 5.11.1).
fn stirling(n: f64) -> f64 {
    if n < 16.0 {
        return special::lgamma(n + 1.0) - (n + 0.5) * libm::log(n) + n - 0.5 * libm::log(TAU);
    }
    let square = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square) / n
}

/// `x log(x / m) + m - x`, not by that where it cancels: Loader, *Fast and accurate computation of binomial
/// probabilities* (2000).
fn deviance(x: f64, m: f64) -> f64 {
    let ratio = (x - m) / (x + m);
    if ratio.abs() >= 0.1 {
        return x * libm::log(x / m) + m - x;
    }
    let mut sum = (x - m) * ratio;
    let mut term = 2.0 * x * ratio;
    for k in 1..100 {
        term *= ratio * ratio;
        let next = sum + term / f64::from(2 * k + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// The logarithm of the probability of `k` in a Poisson distribution.
fn log_poisson(k: f64, mean: f64) -> f64 {
    if k == 0.0 { -mean } else { -stirling(k) - deviance(k, mean) - 0.5 * libm::log(TAU * k) }
}

/// The logarithm of the probability of `k` successes in `n` trials (Loader, 2000).
fn log_binomial(k: f64, n: f64, p: f64) -> f64 {
    if k == 0.0 {
        return n * libm::log1p(-p);
    }
    if k == n {
        return n * libm::log(p);
    }
    let rest = n - k;
    let weights = stirling(n) - stirling(k) - stirling(rest);
    weights - deviance(k, n * p) - deviance(rest, n * (1.0 - p)) + 0.5 * libm::log(n / (TAU * k * rest))
}

/// A draw of the Poisson distribution.
pub fn poisson(mean: f64, source: &mut Source) -> Result<i128> {
    if !(0.0..9e18).contains(&mean) {
        return Err(fail(format!("`lam` is a mean from 0 to 9e18, but one is {mean}")));
    }
    if mean < 10.0 {
        // Events come as long as the product of uniform numbers stays above exp(-mean).
        let (limit, mut product, mut count) = (libm::exp(-mean), source.positive(), 0);
        while product > limit {
            product *= source.positive();
            count += 1;
        }
        return Ok(count);
    }
    // PTRS of Hörmann, *The transformed rejection method for generating Poisson random variables* (1993).
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.024_83 * b;
    let alpha = 1.1239 + 1.1328 / (b - 3.4);
    let sure = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = source.uniform() - 0.5;
        let v = source.positive();
        let left = 0.5 - u.abs();
        let k = ((2.0 * a / left + b) * u + mean + 0.43).floor();
        if left >= 0.07 && v <= sure {
            return Ok(k as i128);
        }
        if k < 0.0 || (left < 0.013 && v > left) {
            continue;
        }
        if libm::log(v * alpha / (a / (left * left) + b)) <= log_poisson(k, mean) {
            return Ok(k as i128);
        }
    }
}

/// A draw of the binomial distribution.
pub fn binomial(n: f64, p: f64, source: &mut Source) -> Result<i128> {
    whole("n", n)?;
    if !(0.0..=1.0).contains(&p) {
        return Err(fail(format!("`p` is a probability, but one is {p}")));
    }
    if p > 0.5 {
        return Ok(n as i128 - binomial(n, 1.0 - p, source)?);
    }
    if n == 0.0 || p == 0.0 {
        return Ok(0);
    }
    if n * p < 10.0 {
        // From success to success.
        let (slope, mut at, mut count) = (libm::log1p(-p), 0.0, 0);
        loop {
            at += (libm::log(source.positive()) / slope).floor() + 1.0;
            if at > n {
                return Ok(count);
            }
            count += 1;
        }
    }
    // BTRS of Hörmann, *The generation of binomial random variates* (1993).
    let deviation = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let centre = n * p + 0.5;
    let sure = 0.92 - 4.2 / b;
    let alpha = (2.83 + 5.1 / b) * deviation;
    let top = log_binomial(((n + 1.0) * p).floor(), n, p);
    loop {
        let u = source.uniform() - 0.5;
        let v = source.positive();
        let left = 0.5 - u.abs();
        let k = ((2.0 * a / left + b) * u + centre).floor();
        if left >= 0.07 && v <= sure {
            return Ok(k as i128);
        }
        if !(0.0..=n).contains(&k) {
            continue;
        }
        if libm::log(v * alpha / (a / (left * left) + b)) <= log_binomial(k, n, p) - top {
            return Ok(k as i128);
        }
    }
}

/// Outcome after outcome a binomial draw of the trials that are left.
pub fn multinomial(n: f64, weights: &[f64], source: impl Fn(usize) -> Source) -> Result<Vec<i128>> {
    whole("n", n)?;
    let total: f64 = weights.iter().sum();
    let wrong = weights.iter().any(|p| !(0.0..=1.0).contains(p)) || (total - 1.0).abs() > 1e-5;
    if wrong && !weights.is_empty() {
        return Err(fail(format!("`pvals` are probabilities with the sum 1, but some are {weights:?}")));
    }
    let (mut left, mut rest, mut counts) = (n, total, Vec::new());
    for (outcome, &weight) in weights.iter().enumerate() {
        let share = if weight >= rest || outcome + 1 == weights.len() { 1.0 } else { weight / rest };
        let count = if left > 0.0 { binomial(left, share, &mut source(outcome))? } else { 0 };
        counts.push(count);
        left -= count as f64;
        rest -= weight;
    }
    Ok(counts)
}

/// How many of `taken` are good.
pub fn hypergeometric(good: f64, bad: f64, taken: f64, source: &mut Source) -> Result<i128> {
    for (name, x) in [("ngood", good), ("nbad", bad), ("nsample", taken)] {
        whole(name, x)?;
    }
    let all = good + bad;
    if taken > all || all > 1e9 {
        return Err(fail(format!("`nsample` is at most `ngood + nbad`, and that at most 1e9, but they are {taken}, {good} and {bad}")));
    }
    // Those that are left are as random as those that are taken.
    let fewer = taken.min(all - taken);
    let (few, many) = (good.min(bad), good.max(bad));
    let few_taken = if fewer < 16.0 { one_by_one(few, all, fewer, source) } else { ratio_of_uniforms(few, many, fewer, source) };
    let found = if good <= bad { few_taken } else { fewer - few_taken };
    Ok((if fewer < taken { good - found } else { found }) as i128)
}

fn one_by_one(few: f64, all: f64, taken: f64, source: &mut Source) -> f64 {
    let (mut few_left, mut left, mut found) = (few, all, 0.0);
    for _ in 0..taken as u64 {
        if source.uniform() * left < few_left {
            few_left -= 1.0;
            found += 1.0;
        }
        left -= 1.0;
    }
    found
}

/// HRUA of Stadlober, *The ratio of uniforms approach for generating discrete random variates* (1990).
fn ratio_of_uniforms(few: f64, many: f64, taken: f64, source: &mut Source) -> f64 {
    let all = few + many;
    let share = few / all;
    let deviation = ((all - taken) * taken * share * (1.0 - share) / (all - 1.0) + 0.5).sqrt();
    // 2 sqrt(2/e) and 3 - 2 sqrt(3/e).
    let width = 1.715_527_769_921_413_5 * deviation + 0.898_916_162_058_898_8;
    let mode = ((taken + 1.0) * (few + 1.0) / (all + 2.0)).floor();
    let logs = |z: f64| {
        special::lgamma(z + 1.0) + special::lgamma(few - z + 1.0) + special::lgamma(taken - z + 1.0) + special::lgamma(many - taken + z + 1.0)
    };
    let top = logs(mode);
    let centre = taken * share + 0.5;
    let end = (taken.min(few) + 1.0).min((centre + 16.0 * deviation).floor());
    loop {
        let (x, y) = (source.positive(), source.uniform());
        let w = centre + width * (y - 0.5) / x;
        if w < 0.0 || w >= end {
            continue;
        }
        let z = w.floor();
        if 2.0 * libm::log(x) <= top - logs(z) {
            return z;
        }
    }
}

/// An angle about 0: Best and Fisher, *Efficient simulation of the von Mises distribution* (1979).
pub fn vonmises(kappa: f64, source: &mut Source) -> Result<f64> {
    if !(kappa >= 0.0 && kappa.is_finite()) {
        return Err(fail(format!("`kappa` is not negative, but one is {kappa}")));
    }
    if kappa < 1e-8 {
        return Ok(PI * (2.0 * source.uniform() - 1.0));
    }
    if kappa > 1e6 {
        // Normal, of which so far out nothing else is left.
        return Ok(source.normal() / kappa.sqrt());
    }
    // (1 + rho**2) / (2 rho) of the wrapped Cauchy distribution around it.
    let s = if kappa < 1e-5 { 1.0 / kappa + kappa } else {
        let tau = 1.0 + (1.0 + 4.0 * kappa * kappa).sqrt();
        let rho = (tau - (2.0 * tau).sqrt()) / (2.0 * kappa);
        (1.0 + rho * rho) / (2.0 * rho)
    };
    loop {
        let z = libm::cos(PI * source.uniform());
        let cosine = (1.0 + s * z) / (s + z);
        let c = kappa * (s - cosine);
        let u = source.positive();
        if c * (2.0 - c) > u || libm::log(c / u) + 1.0 >= c {
            let angle = libm::acos(cosine.clamp(-1.0, 1.0));
            return Ok(if source.uniform() < 0.5 { -angle } else { angle });
        }
    }
}

/// A draw of the inverse Gaussian distribution: Michael, Schucany and Haas, *Generating random variates
/// using transformations with multiple roots* (1976).
pub fn wald(mean: f64, scale: f64, source: &mut Source) -> Result<f64> {
    positive("mean", mean)?;
    positive("scale", scale)?;
    let x = source.normal();
    let y = mean * x * x / (2.0 * scale);
    // The smaller root, 1 + y - sqrt(y (y + 2)), not by that difference.
    let root = mean / (1.0 + y + (y * (y + 2.0)).sqrt());
    Ok(if source.uniform() * (mean + root) <= mean { root } else { mean * (mean / root) })
}
