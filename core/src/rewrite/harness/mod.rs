//! The machine check of a rule: its author is not asked.
//!
//! The harness builds the left side over random well-typed operands (equal, broadcast, empty and
//! scalar shapes; ordinary, extreme and subnormal numbers, ±0, ±inf, NaN), lets the engine apply the
//! rule, evaluates both sides in `f32` and `f64` through a callback, and compares their errors against
//! the value of the left side in 1280 bits. A rule fails
//!
//! - where its right side's error exceeds both its left side's and [`TOLERANCE`] units in the last
//!   place: the rounding of a few correctly rounded ops;
//! - where it hides a NaN or infinity that the exact value has. An expression that is undefined at an
//!   infinite operand but has one limit there, as `exp(x) / (1 + exp(x))`, has that limit as its value
//!   where the rule is tagged `stabilize`; elsewhere it is NaN, so that `x * 0 => 0` breaks the law;
//! - where it never applies, or changes a shape or dtype;
//! - if it is tagged `stabilize` and no operand shows the left side wrong and the right side right.
//!
//! Rules over integers and bools must give equal results. Rules tagged `real` are exempt from the law.

mod generate;
pub mod precise;

use astro_float::BigFloat;

use self::generate::{Random, Setup};
use super::engine::Engine;
use super::pattern::Rule;
use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::{DType, Shape, Tensor};

/// Units in the last place by which a right side may be off whatever the left side is.
pub const TOLERANCE: f64 = 8.0;

/// Computes the outputs of a graph for some arguments: a backend.
pub type EvaluateWith<'a> = &'a dyn Fn(&Graph, &[Tensor]) -> Result<Vec<Tensor>>;

/// Operands at which something is to be said about a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The dtype of the result.
    pub dtype: DType,
    /// The operands' elements at this place, where they have one each; else the whole operands.
    pub operands: String,
    /// The left side's value.
    pub left: f64,
    /// The right side's value.
    pub right: f64,
    /// The exact value.
    pub exact: String,
    /// What is wrong, or right.
    pub what: String,
}

/// What the harness found out about a rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The rule.
    pub rule: String,
    /// In how many setups it was applied.
    pub applied: usize,
    /// How many elements were compared.
    pub compared: usize,
    /// What breaks the law, at most ten of them.
    pub failures: Vec<Example>,
    /// An operand where the left side is wrong and the right side right.
    pub improvement: Option<Example>,
    /// Why nothing could be checked, or what could not be.
    pub problems: Vec<String>,
    /// Whether an improvement must be shown.
    pub must_improve: bool,
}

impl Verdict {
    /// Whether the rule keeps the law.
    pub fn passed(&self) -> bool {
        self.applied > 0
            && self.failures.is_empty()
            && self.problems.is_empty()
            && (!self.must_improve || self.improvement.is_some())
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.passed() { "holds" } else { "FAILS" };
        write!(f, "{}: {word} ({} setups, {} values)", self.rule, self.applied, self.compared)?;
        if self.must_improve && self.improvement.is_none() {
            write!(f, "\n  no operand shows the left side wrong and the right side right")?;
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        for e in &self.failures {
            let Example { dtype, operands, left, right, exact, what } = e;
            write!(f, "\n  {dtype} {operands}: left {left:?}, right {right:?}, exact {exact}: {what}")?;
        }
        Ok(())
    }
}

/// Checks a rule; `evaluate` runs both sides.
pub fn check_rule(rule: &Rule, evaluate: EvaluateWith<'_>) -> Verdict {
    let must_improve = rule.has_tag("stabilize") && !rule.has_tag("real");
    let mut verdict = Verdict { rule: rule.name.clone(), must_improve, ..Verdict::default() };
    let variables = rule.variables.len();
    let mut random = Random(0x5eed);
    for float in [DType::F32, DType::F64] {
        for dtypes in generate::dtypes(variables, float) {
            let mut applied = 0;
            for attributes in generate::attributes(rule) {
                for shapes in generate::shapes(variables) {
                    let setup = Setup { dtypes: dtypes.clone(), shapes, attributes: attributes.clone() };
                    applied += usize::from(check_setup(rule, &setup, evaluate, &mut random, &mut verdict));
                    if verdict.failures.len() >= 10 || verdict.problems.len() >= 3 {
                        return verdict;
                    }
                }
            }
            verdict.applied += applied;
            // All variables of the float dtype is the case that matters; mixtures only where it does
            // not apply.
            if applied > 0 {
                break;
            }
        }
    }
    if verdict.applied == 0 && verdict.problems.is_empty() {
        verdict.problems.push("it never applied to anything".to_owned());
    }
    verdict
}

/// Whether the rule applied.
fn check_setup(
    rule: &Rule, setup: &Setup, evaluate: EvaluateWith<'_>, random: &mut Random, verdict: &mut Verdict,
) -> bool {
    let Ok(left) = generate::left_side(rule, setup) else { return false };
    let mut right = left.clone();
    let report = Engine::new([rule]).run(&mut right);
    if let Some(rejection) = report.rejections.iter().find(|rejection| rejection.fault) {
        verdict.problems.push(rejection.reason.clone());
    }
    if report.firings.is_empty() {
        return false;
    }
    let mut compare = || -> Result<()> {
        right.verify()?;
        let arguments = generate::arguments(setup, random)?;
        let (l, r) = (evaluate(&left, &arguments)?, evaluate(&right, &arguments)?);
        let (Some(l), Some(r)) = (l.first(), r.first()) else { return Ok(()) };
        if l.shape() != r.shape() || l.dtype() != r.dtype() {
            verdict.problems.push(format!("the type changes from {} to {} for {setup:?}", l.ty(), r.ty()));
            return Ok(());
        }
        if rule.has_tag("real") {
            return Ok(());
        }
        let exact = match l.dtype().is_float() && setup.dtypes.iter().all(|&dtype| dtype != DType::I32) {
            true => precise::evaluate(&left, &arguments)?.remove(0).elements,
            false => l.to_f64_vec().into_iter().map(precise::from_f64).collect(),
        };
        let limits = if rule.has_tag("stabilize") { limits(&left, setup, &arguments)? } else { None };
        for (at, ((l_value, r_value), exact)) in l.to_f64_vec().into_iter().zip(r.to_f64_vec()).zip(exact).enumerate() {
            let point = Point { left: l_value, right: r_value, dtype: l.dtype() };
            verdict.compared += 1;
            let place = |what: String| Example {
                dtype: l.dtype(),
                operands: operands_text(rule, &arguments, l.shape(), at),
                left: l_value,
                right: r_value,
                exact: precise::show(&exact),
                what,
            };
            let limit = limits.as_ref().and_then(|limits| limits.get(at).cloned().flatten());
            match judge(&point, &exact, limit, huge(&arguments), infinite(&arguments)) {
                Judgement::Fine => {}
                Judgement::Improves => {
                    if verdict.improvement.is_none() {
                        verdict.improvement = Some(place("the right side is right".to_owned()));
                    }
                }
                Judgement::Breaks(what) => verdict.failures.push(place(what)),
            }
        }
        Ok(())
    };
    if let Err(error) = compare() {
        verdict.problems.push(error.message().to_owned());
    }
    true
}

struct Point {
    left: f64,
    right: f64,
    dtype: DType,
}

enum Judgement {
    Fine,
    Improves,
    Breaks(String),
}

fn judge(point: &Point, exact: &BigFloat, limit: Option<f64>, huge: bool, infinite: bool) -> Judgement {
    let Point { left, right, dtype } = *point;
    let (digits, least, largest) = match dtype {
        DType::F32 => (24, -149, f64::from(f32::MAX)),
        _ => (53, -1074, f64::MAX),
    };
    let limit = limit.map(precise::from_f64);
    let exact = match &limit {
        Some(limit) if exact.is_nan() => limit,
        _ => exact,
    };
    if exact.is_nan() {
        if right.is_nan() || (huge && !infinite) {
            return Judgement::Fine;
        }
        return Judgement::Breaks("it hides a NaN".to_owned());
    }
    let of = |value| precise::error_in_ulps(value, exact, digits, least, largest);
    let (before, after) = (of(left), of(right));
    if after <= TOLERANCE || after <= before || (left.is_nan() && right.is_nan()) {
        let improves = after <= TOLERANCE && before > 4.0 * TOLERANCE;
        return if improves { Judgement::Improves } else { Judgement::Fine };
    }
    // Beyond the numbers that even the precise value can follow.
    if huge && exact.is_inf() && !infinite {
        return Judgement::Fine;
    }
    Judgement::Breaks(format!("the error grows from {before:.3} to {after:.3} units in the last place"))
}

fn infinite(arguments: &[Tensor]) -> bool {
    arguments.iter().any(|argument| argument.to_f64_vec().iter().any(|value| value.is_infinite()))
}

fn huge(arguments: &[Tensor]) -> bool {
    arguments.iter().any(|argument| argument.to_f64_vec().iter().any(|value| value.abs() > 1e5))
}

/// The limit of each element where infinite operands go to infinity, where there is one: evaluated at
/// two sets of large operands, which must agree.
fn limits(left: &Graph, setup: &Setup, arguments: &[Tensor]) -> Result<Option<Vec<Option<f64>>>> {
    if !infinite(arguments) || setup.dtypes.iter().any(|dtype| !dtype.is_float()) {
        return Ok(None);
    }
    let at = |first: f64, second: f64| -> Result<Vec<f64>> {
        let replaced: Vec<Tensor> = arguments
            .iter()
            .enumerate()
            .map(|(number, argument)| {
                let large = if number % 2 == 0 { first } else { second };
                let finite = |(place, value): (usize, f64)| match value.is_infinite() {
                    true => value.signum() * large * (1.0 + place as f64 / 64.0),
                    false => value,
                };
                Tensor::from_vec(argument.to_f64_vec().into_iter().enumerate().map(finite).collect(), argument.shape())
            })
            .collect::<Result<_>>()?;
        Ok(precise::evaluate(left, &replaced)?.remove(0).elements.iter().map(precise::to_f64).collect())
    };
    let (a, b) = (at(3e4, 9e4)?, at(8e4, 2e4)?);
    let same = |(a, b): (f64, f64)| {
        let near = (a - b).abs() <= 1e-3 * a.abs().min(b.abs()) || (a.abs() < 1e-4 && b.abs() < 1e-4);
        let rounded = if a.abs() < 1e-4 { 0.0 } else { a };
        (a == b).then_some(a).or(near.then_some(rounded))
    };
    Ok(Some(a.into_iter().zip(b).map(same).collect()))
}

fn operands_text(rule: &Rule, arguments: &[Tensor], shape: &[usize], at: usize) -> String {
    let texts = rule.variables.iter().zip(arguments).map(|(name, argument)| {
        let same = Shape::from_slice(argument.shape()) == Shape::from_slice(shape);
        match argument.to_f64_vec().get(at) {
            Some(value) if same => format!("{name}={value:?}"),
            _ => format!("{name}={argument}"),
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
