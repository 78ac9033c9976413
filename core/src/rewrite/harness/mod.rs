//! The machine check of a rule, and of a pass by its examples: its author is not asked.
//!
//! The harness builds the left side over random well-typed operands (equal, broadcast, empty and
//! scalar shapes; ordinary, extreme and subnormal numbers, ±0, ±inf, NaN), lets the engine apply the
//! rule, evaluates both sides in `f32` and `f64` on a device, and where they differ compares their errors
//! against the exact value of the left side, known between bounds (see [`interval`]). A rule fails
//!
//! - where its right side's error exceeds both [`CHANCE`] times its left side's and [`TOLERANCE`] units
//!   in the last place: the rounding of a few correctly rounded ops. As a left side may be right by luck,
//!   what counts is its largest error over operands a few roundings away;
//! - where it turns a NaN or infinity of its left side into a number of which not half the digits are those of the exact
//!   value: it need not be as exact as what was there, as sums of logarithms cancel, but it has to be that number;
//! - where it hides a NaN or infinity that the exact value has. An expression that is undefined at an
//!   infinite operand but has one limit there, as `exp(x) / (1 + exp(x))`, has that limit as its value
//!   where the rule is tagged `stabilize`, and so has one that is undefined at an operand of 0 which is the
//!   edge of its domain, as `x * log(x)`; elsewhere it is NaN, so that `x * 0 => 0` breaks the law;
//! - where it never applies, or changes a shape or dtype;
//! - if it is tagged `stabilize` and no operand shows the left side wrong and the right side right.
//!
//! Rules over integers and bools must give equal results; the place of the largest or smallest element counts as a
//! number whose exact value is known. Rules tagged `real` are exempt from the law; of these the exact values of both sides
//! have to be equal, at finite operands where that of the left side is a number of the dtype.
//!
//! A rule that was compared at no place is not checked, and fails.
//!
//! There is one exception: of a row with an infinite element [`WHOLE_ROWS`] give NaN throughout, as SciPy's and JAX's do,
//! where `exp(x) / sum(exp(x))` as written has NaN at that element and 0 beside it. Such a NaN is counted, and no failure.

mod bessel;
mod generate;
pub mod interval;
pub mod precise;

use astro_float::BigFloat;
use fastrand::Rng;

use self::generate::{Range, Setup};
use self::interval::Bits;
use self::precise::{Exact, Format, Oracle};
use super::engine::Engine;
use super::passes::{Pass, PassContext};
use super::pattern::Rule;
use super::registry::Phase;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeKind, Var};
use crate::lang;
use crate::tensor::{DType, Shape, Tensor};

/// Units in the last place by which a right side may be off whatever the left side is.
pub const TOLERANCE: f64 = 8.0;

/// How many times larger than the left side's error the right side's may be by chance: both cancel the
/// same numbers, rounded in another order.
pub const CHANCE: f64 = 4.0;

/// How far the limit of an expression may be from the value that the harness takes for it, of its own size.
const LIMIT: f64 = 2e-3;

/// Ops that give NaN in a whole row of which an element is infinite.
pub const WHOLE_ROWS: &[&str] = &["softmax", "log_softmax"];

/// How often arguments of each kind are drawn for an example of a pass.
const EXAMPLE_DRAWS: usize = 8;

/// Of the failures of a rule, how many are shown.
const SHOWN: usize = 3;

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
    /// For how many of them both sides differ and the exact value could not be found out.
    pub undecided: usize,
    /// For how many of them the exception of [`WHOLE_ROWS`] holds.
    pub excepted: usize,
    /// What breaks the law, until there are ten of them.
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
        let Verdict { rule, applied, compared, undecided, excepted, .. } = self;
        write!(f, "{rule}: {word} ({applied} setups, {compared} values, {undecided} undecided")?;
        if *excepted > 0 {
            write!(f, ", {excepted} in rows with an infinite element")?;
        }
        write!(f, ")")?;
        if self.must_improve && self.improvement.is_none() {
            write!(f, "\n  no operand shows the left side wrong and the right side right")?;
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        for e in self.failures.iter().take(SHOWN) {
            let Example { dtype, operands, left, right, exact, what } = e;
            write!(f, "\n  {dtype} {operands}: left {left:?}, right {right:?}, exact {exact}: {what}")?;
        }
        if let Some(more) = self.failures.len().checked_sub(SHOWN).filter(|&more| more > 0) {
            write!(f, "\n  and {more} more")?;
        }
        Ok(())
    }
}

/// Checks a rule; `evaluate` runs both sides.
pub fn check_rule(rule: &Rule, evaluate: EvaluateWith<'_>) -> Verdict {
    let must_improve = rule.has_tag("stabilize") && !rule.has_tag("real");
    let mut verdict = Verdict { rule: rule.name.clone(), must_improve, ..Verdict::default() };
    let variables = rule.variables.len();
    let mut random = Rng::with_seed(0x5eed);
    for float in [DType::F32, DType::F64] {
        for dtypes in generate::dtypes(variables, float) {
            // Mixtures only where it applies to nothing else.
            let last_resort = dtypes.iter().any(|&dtype| dtype != dtypes[0] || dtype == DType::U8);
            if verdict.applied > 0 && last_resort {
                continue;
            }
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
        }
    }
    if verdict.applied == 0 && verdict.problems.is_empty() {
        verdict.problems.push("it never applied to anything".to_owned());
    } else if verdict.compared == 0 && verdict.problems.is_empty() {
        verdict.problems.push("it was compared at no place".to_owned());
    }
    verdict
}

/// Checks a pass by its [examples](Pass::examples): both sides of each are compared as those of a rule are, at the
/// dtypes that the example gives.
pub fn check_pass(pass: &dyn Pass, evaluate: EvaluateWith<'_>) -> Verdict {
    let must_improve = pass.phase() == Phase::Stabilize && !pass.tags().contains(&"real");
    let mut verdict = Verdict { rule: pass.name().to_owned(), must_improve, ..Verdict::default() };
    let mut random = Rng::with_seed(0x5eed);
    for example in pass.examples() {
        if let Err(error) = check_example(pass, example, evaluate, &mut random, &mut verdict) {
            verdict.problems.push(format!("{example}: {}", error.message()));
        }
    }
    if pass.examples().is_empty() {
        verdict.problems.push("it gives no examples to check it by".to_owned());
    } else if verdict.compared == 0 && verdict.problems.is_empty() {
        verdict.problems.push("it was compared at no place".to_owned());
    }
    verdict
}

fn check_example(
    pass: &dyn Pass, example: &str, evaluate: EvaluateWith<'_>, random: &mut Rng, verdict: &mut Verdict,
) -> Result<()> {
    let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
    let function = lang::load(lang::Source::new("example", example))?.function(None)?;
    let mut setup = Setup { dtypes: Vec::new(), shapes: Vec::new(), attributes: Vec::new() };
    for input in &function.inputs {
        let ty = input.ty()?;
        let Some(shape) = ty.known_shape() else {
            return fail(format!("an input is a {ty}; expected the lengths of all its axes"));
        };
        setup.dtypes.push(ty.dtype);
        setup.shapes.push(shape);
    }
    let outputs: Vec<_> = function.outputs.iter().map(|(_, output)| output.clone()).collect();
    let left = Graph::from_vars(&function.inputs, &outputs)?;
    let mut right = left.clone();
    let constant = |graph: &Graph| evaluate(graph, &[]);
    if !pass.run(&mut right, &PassContext { evaluate: Some(&constant) }, &mut Vec::new())? {
        return fail("it does not apply to this example".to_owned());
    }
    verdict.applied += 1;
    if right.inputs().len() != left.inputs().len() || right.outputs().len() != left.outputs().len() {
        return fail("it changes the number of inputs or outputs".to_owned());
    }
    let subject = Subject::of_example(pass, &function.inputs);
    for at in 0..outputs.len() {
        let one = |graph: &Graph| {
            let mut graph = graph.clone();
            graph.set_outputs(vec![graph.outputs()[at]]);
            graph
        };
        for _ in 0..EXAMPLE_DRAWS {
            compare(&subject, &setup, &one(&left), &one(&right), evaluate, random, verdict)?;
        }
    }
    Ok(())
}

/// What a comparison needs to know of what is checked.
struct Subject {
    /// The operands' names.
    names: Vec<String>,
    /// Whether an undefined value may become its limit.
    stabilize: bool,
    /// Whether it holds over the reals alone.
    real: bool,
}

impl Subject {
    fn of_example(pass: &dyn Pass, inputs: &[Var]) -> Subject {
        let names = inputs.iter().map(|input| match input.node().kind() {
            NodeKind::Input(name) => name.to_string(),
            _ => String::new(),
        });
        Subject { names: names.collect(), stabilize: pass.phase() == Phase::Stabilize, real: pass.tags().contains(&"real") }
    }

    fn of_rule(rule: &Rule) -> Subject {
        Subject { names: rule.variables.clone(), stabilize: rule.has_tag("stabilize"), real: rule.has_tag("real") }
    }
}

/// Whether the rule applied.
fn check_setup(
    rule: &Rule, setup: &Setup, evaluate: EvaluateWith<'_>, random: &mut Rng, verdict: &mut Verdict,
) -> bool {
    let subject = Subject::of_rule(rule);
    let Ok(left) = generate::left_side(rule, setup) else { return false };
    let mut right = left.clone();
    let report = Engine::new([rule]).run(&mut right);
    if let Some(rejection) = report.rejections.iter().find(|rejection| rejection.fault) {
        verdict.problems.push(rejection.reason.clone());
    }
    if let Some(stopped) = report.stopped.first() {
        verdict.problems.push(format!("it was stopped after {} firings: {}", stopped.firings, stopped.reason));
    }
    if report.firings.is_empty() {
        return false;
    }
    if let Err(error) = compare(&subject, setup, &left, &right, evaluate, random, verdict) {
        verdict.problems.push(format!("{}: {setup:?}", error.message()));
    }
    true
}

fn compare(
    subject: &Subject, setup: &Setup, left: &Graph, right: &Graph, evaluate: EvaluateWith<'_>, random: &mut Rng,
    verdict: &mut Verdict,
) -> Result<()> {
    right.verify()?;
    for range in Range::ALL {
        let arguments = generate::arguments(setup, range, random)?;
        compare_at(subject, setup, (left, right), &arguments, evaluate, verdict)?;
    }
    Ok(())
}

fn compare_at(
    subject: &Subject, setup: &Setup, (left, right): (&Graph, &Graph), arguments: &[Tensor], evaluate: EvaluateWith<'_>,
    verdict: &mut Verdict,
) -> Result<()> {
    let (l, r) = match (evaluate(left, arguments), evaluate(right, arguments)) {
        (Ok(l), Ok(r)) => (l, r),
        // What fails is no result that a rule could change; a right side that fails alone is one.
        (Err(_), Err(_)) => return Ok(()),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let (Some(l), Some(r)) = (l.first(), r.first()) else { return Ok(()) };
    if l.shape() != r.shape() || l.dtype() != r.dtype() {
        verdict.problems.push(format!("the type changes from {} to {} for {setup:?}", l.ty(), r.ty()));
        return Ok(());
    }
    let format = Format::of(l.dtype());
    let root = left.outputs().first().map_or("", |output| left.node(output.node).op_name());
    let has_exact = l.dtype().is_float() || matches!(root, "argmax" | "argmin");
    if subject.real && has_exact {
        return compare_over_reals(subject, (left, right), arguments, (l, r), verdict);
    }
    let mut oracle = Oracle::new(left, arguments)?;
    for (at, (l_value, r_value)) in l.to_f64_vec().into_iter().zip(r.to_f64_vec()).enumerate() {
        verdict.compared += 1;
        if l_value == r_value || (l_value.is_nan() && r_value.is_nan()) {
            continue;
        }
        let mut exact = match has_exact {
            true => oracle.exact(at)?,
            false => Exact::Known(Bits(64).number(l_value)),
        };
        let mut slack = 0.0;
        if matches!(&exact, Exact::Known(value) if value.is_nan()) && subject.stabilize {
            let limit = match limit(left, setup, arguments, at)? {
                None => limit_from_inside(left, arguments, at)?,
                limit => limit,
            };
            if let Some(limit) = limit {
                (exact, slack) = (Exact::Known(limit), LIMIT);
            }
        }
        let exact = match exact {
            Exact::Known(exact) => exact,
            Exact::Undecided => {
                verdict.undecided += 1;
                continue;
            }
        };
        let judgement = judge(l_value, r_value, &exact, format, slack);
        if matches!(judgement, Judgement::Fine) {
            continue;
        }
        let place = |what: String| Example {
            dtype: l.dtype(),
            operands: operands_text(&subject.names, arguments, l.shape(), at),
            left: l_value,
            right: r_value,
            exact: precise::show(&exact),
            what,
        };
        match judgement {
            Judgement::Fine => {}
            Judgement::Improves => {
                verdict.improvement.get_or_insert_with(|| place("the right side is right".to_owned()));
            }
            Judgement::Breaks(_) if r_value.is_nan() && in_infinite_row(right, arguments) => verdict.excepted += 1,
            Judgement::Breaks(what) => {
                let typical = error_nearby(left, arguments, at, format, evaluate)?;
                if exact.is_nan() || format.error(r_value, &exact) > CHANCE * typical {
                    verdict.failures.push(place(what));
                }
            }
        }
    }
    Ok(())
}

/// Compares the exact values of both sides, where all operands are finite and that of the left side is one of the dtype.
/// Of ops that the oracle does not know, half of the digits of what a device computes.
fn compare_over_reals(
    subject: &Subject, (left, right): (&Graph, &Graph), arguments: &[Tensor], (l, r): (&Tensor, &Tensor), verdict: &mut Verdict,
) -> Result<()> {
    if arguments.iter().any(|argument| argument.to_f64_vec().iter().any(|value| !value.is_finite())) {
        return Ok(());
    }
    let format = Format::of(l.dtype());
    let (mut before, mut after) = (Oracle::new(left, arguments)?, Oracle::new(right, arguments)?);
    for (at, (left, right)) in l.to_f64_vec().into_iter().zip(r.to_f64_vec()).enumerate() {
        let (exact, found, most) = match (before.exact(at), after.exact(at)) {
            (Ok(Exact::Known(exact)), Ok(Exact::Known(found))) => (exact, found, 1.0),
            (Err(_), _) | (_, Err(_)) if is_mild(arguments, at) => {
                (Bits(64).number(left), Bits(64).number(right), format.half_of_digits())
            }
            (Err(_), _) | (_, Err(_)) => continue,
            _ => {
                verdict.undecided += 1;
                continue;
            }
        };
        if exact.is_nan() || exact.is_inf() || format.is_beyond(&exact) {
            continue;
        }
        verdict.compared += 1;
        // Each is known to well within such a unit.
        if format.error(precise::to_f64(&found), &exact) > most {
            verdict.failures.push(Example {
                dtype: l.dtype(),
                operands: operands_text(&subject.names, arguments, l.shape(), at),
                left,
                right,
                exact: precise::show(&exact),
                what: format!("over the reals it is {}", precise::show(&found)),
            });
        }
    }
    Ok(())
}

/// Whether the operands at a place are of the size of 1: there functions and their inverses keep most digits.
fn is_mild(arguments: &[Tensor], at: usize) -> bool {
    let mild = |value: &f64| (1e-3..=4.0).contains(&value.abs());
    arguments.iter().all(|argument| argument.to_f64_vec().get(at).is_some_and(mild))
}

/// The largest finite error of an element over operands that differ from these by a few units in the last place.
fn error_nearby(
    graph: &Graph, arguments: &[Tensor], at: usize, format: Format, evaluate: EvaluateWith<'_>,
) -> Result<f64> {
    let mut largest = 0.0;
    let mut random = Rng::with_seed(1);
    for _ in 0..8 {
        let mut moved = |argument: &Tensor| -> Result<Tensor> {
            let epsilon = if argument.dtype() == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
            let elements = argument.to_f64_vec().into_iter().map(|x| x + x * epsilon * random.i8(-4..=4) as f64).collect();
            Ok(Tensor::from_vec(elements, argument.shape())?.cast(argument.dtype()))
        };
        let arguments = arguments
            .iter()
            .map(|argument| if argument.dtype().is_float() { moved(argument) } else { Ok(argument.clone()) })
            .collect::<Result<Vec<_>>>()?;
        let found = evaluate(graph, &arguments)?.first().and_then(|result| result.to_f64_vec().get(at).copied());
        if let (Some(found), Exact::Known(exact)) = (found, Oracle::new(graph, &arguments)?.exact(at)?) {
            let error = format.error(found, &exact);
            largest = if error.is_finite() { error.max(largest) } else { largest };
        }
    }
    Ok(largest)
}

enum Judgement {
    Fine,
    Improves,
    Breaks(String),
}

/// Whether the exception of [`WHOLE_ROWS`] may hold.
fn in_infinite_row(right: &Graph, arguments: &[Tensor]) -> bool {
    let infinite = arguments.iter().any(|argument| argument.to_f64_vec().contains(&f64::INFINITY));
    infinite && right.topological_order().into_iter().any(|id| WHOLE_ROWS.contains(&right.node(id).op_name()))
}

/// `slack` is how far off the exact value itself may be, of its own size.
fn judge(left: f64, right: f64, exact: &BigFloat, format: Format, slack: f64) -> Judgement {
    if exact.is_nan() {
        return if right.is_nan() { Judgement::Fine } else { Judgement::Breaks("it hides a NaN".to_owned()) };
    }
    let (before, after) = (format.error(left, exact), format.error(right, exact));
    if before.is_infinite() {
        // The left side is no number, or the exact value is none: there is nothing to compare errors with.
        let near = precise::to_f64(exact);
        let found = after <= format.half_of_digits() || right.is_finite() && (right - near).abs() <= slack * near.abs();
        if !found && right.is_finite() && !left.is_finite() {
            return Judgement::Breaks(format!("it turns {left} into {right}"));
        }
        return if after <= TOLERANCE { Judgement::Improves } else { Judgement::Fine };
    }
    if after <= TOLERANCE || after <= CHANCE * before {
        let improves = after <= TOLERANCE && before > 2.0 * TOLERANCE;
        return if improves { Judgement::Improves } else { Judgement::Fine };
    }
    Judgement::Breaks(format!("the error grows from {before:.3} to {after:.3} units in the last place"))
}

/// The limit of an element where infinite operands go to infinity, if there is one: evaluated at two
/// sets of large operands, which must agree, or at four, which must all be large.
fn limit(left: &Graph, setup: &Setup, arguments: &[Tensor], at: usize) -> Result<Option<BigFloat>> {
    let infinite = |argument: &Tensor| argument.to_f64_vec().iter().any(|value| value.is_infinite());
    if !arguments.iter().any(infinite) || setup.dtypes.iter().any(|dtype| !dtype.is_float()) {
        return Ok(None);
    }
    let near = |first: f64, second: f64| -> Result<Option<f64>> {
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
        Ok(match Oracle::new(left, &replaced)?.exact(at)? {
            Exact::Known(value) => Some(precise::to_f64(&value)),
            Exact::Undecided => None,
        })
    };
    let (Some(a), Some(b)) = (near(3e4, 9e4)?, near(8e4, 2e4)?) else { return Ok(None) };
    let agree = a == b || (a - b).abs() <= 1e-3 * a.abs().min(b.abs());
    let vanishes = a.abs() < 1e-4 && b.abs() < 1e-4;
    let mut limit = if agree { Some(a) } else { vanishes.then_some(0.0) };
    // It grows, whichever operand is by far the larger.
    let grows = |value: f64| value.abs() > 900.0 && value.signum() == a.signum();
    if limit.is_none() && grows(a) && grows(b) {
        let (c, d) = (near(1e3, 1e7)?, near(1e7, 1e3)?);
        limit = (c.is_some_and(grows) && d.is_some_and(grows)).then_some(a.signum() * f64::INFINITY);
    }
    Ok(limit.map(|limit| Bits(64).number(limit)))
}

/// The limit of an element where operands of 0 are approached from above, if on the other side of 0 there is
/// nothing: then 0 is the edge of the domain, and not a hole in it.
fn limit_from_inside(left: &Graph, arguments: &[Tensor], at: usize) -> Result<Option<BigFloat>> {
    if !arguments.iter().any(|argument| argument.dtype().is_float() && argument.to_f64_vec().contains(&0.0)) {
        return Ok(None);
    }
    let near = |offset: f64| -> Result<f64> {
        let moved = |argument: &Tensor| -> Result<Tensor> {
            if !argument.dtype().is_float() {
                return Ok(argument.clone());
            }
            let elements = argument.to_f64_vec().into_iter().map(|x| if x == 0.0 { offset } else { x }).collect();
            Tensor::from_vec(elements, argument.shape())
        };
        let moved: Vec<Tensor> = arguments.iter().map(moved).collect::<Result<_>>()?;
        Ok(match Oracle::new(left, &moved)?.exact(at)? {
            Exact::Known(value) => precise::to_f64(&value),
            Exact::Undecided => f64::NAN,
        })
    };
    let (a, b, outside) = (near(1e-30)?, near(1e-40)?, near(-1e-30)?);
    let limit = if a.abs() < 1e-20 && b.abs() < 1e-20 { 0.0 } else { a };
    let agree = limit == 0.0 || (a - b).abs() <= 1e-6 * a.abs();
    Ok((outside.is_nan() && agree && a.is_finite()).then(|| Bits(64).number(limit)))
}

fn operands_text(names: &[String], arguments: &[Tensor], shape: &[usize], at: usize) -> String {
    let texts = names.iter().zip(arguments).map(|(name, argument)| {
        let same = Shape::from_slice(argument.shape()) == Shape::from_slice(shape);
        match argument.to_f64_vec().get(at) {
            Some(value) if same => format!("{name}={value:?}"),
            _ => format!("{name}={argument}"),
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}
