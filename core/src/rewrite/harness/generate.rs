//! Operands, shapes and attributes to try a rule with.

use fastrand::Rng;

use crate::error::Result;
use crate::graph::{Constant, Graph, Location, ValueId};
use crate::ops::{Attribute, AttributeKind};
use crate::rewrite::matcher::{self, Bindings};
use crate::rewrite::pattern::{AttributePattern, Pattern, Rule};
use crate::rewrite::predicates::Argument;
use crate::tensor::{DType, Shape, Tensor, Type};

const SPECIAL: &[f64] = &[
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-3, -1e-3, 1e-9,
    -1e-9, 1e-20, -1e-20, 8.7, 9.5, 10.5, 20.0, -20.0, 50.0, -50.0, 88.0, -88.0, 100.0, -100.0, 700.0, -700.0, 800.0,
    -800.0, 1e10, -1e10, 1e30, -1e30, 0.50001, 0.499995, 1e-33, 1e-36, 3e-37, 1e-300, 3e-290,
];

/// What [`Range::Sparse`] draws now and then.
const RARE: [f64; 7] = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::NAN];

/// Which numbers to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Every kind: ordinary, extreme, subnormal, infinite, NaN.
    Any,
    /// A few units around 0 and 1: what reductions can take many of.
    Tame,
    /// Finite numbers whose exponentials overflow, underflow, or nearly do.
    Wide,
    /// Few units around 0 and 1, and now and then an infinity, a 0 or a NaN: so that one of them meets what is none.
    Sparse,
}

impl Range {
    /// All of them.
    pub const ALL: [Range; 4] = [Range::Any, Range::Tame, Range::Wide, Range::Sparse];
}

/// A number of a floating-point dtype.
fn float(random: &mut Rng, dtype: DType, range: Range, at: usize) -> f64 {
    let double = dtype == DType::F64;
    let (largest, normal, subnormal, epsilon) = match double {
        true => (f64::MAX, f64::MIN_POSITIVE, 5e-324, f64::EPSILON),
        false => (f32::MAX.into(), f32::MIN_POSITIVE.into(), 1e-45, f32::EPSILON.into()),
    };
    let sign = if random.bool() { 1.0 } else { -1.0 };
    let unit = random.f64();
    // Where exponentials leave the normal numbers, and where they leave all numbers.
    let edge = if double { 680.0 + 80.0 * unit } else { 80.0 + 30.0 * unit };
    let near_one = 1.0 + sign * 2f64.powf(-unit * if double { 52.0 } else { 23.0 });
    let kinds = match range {
        Range::Any if at < SPECIAL.len() => return SPECIAL[at],
        Range::Any => 14,
        Range::Sparse if random.u8(..8) == 0 => return *random.choice(&RARE).unwrap_or(&f64::NAN),
        Range::Tame | Range::Sparse => 4,
        Range::Wide => 7,
    };
    match random.u8(..kinds) {
        0 => near_one,
        1 => sign * unit * 1e-3,
        2 | 3 => sign * unit * 4.0,
        4 => sign * (8.0 + 32.0 * unit),
        5 => sign * edge,
        6 => sign * unit * edge,
        7 => sign * [largest, normal, subnormal, epsilon][random.usize(..4)],
        8 => sign * normal * unit,
        9 => sign * 2f64.powf(unit) / normal,
        10 => SPECIAL[random.usize(..SPECIAL.len())],
        11 => sign * 10f64.powf(unit * if double { 600.0 } else { 74.0 } - if double { 300.0 } else { 37.0 }),
        _ => sign * unit * 10.0,
    }
}

fn integer(random: &mut Rng) -> i64 {
    match random.u8(..8) {
        0 => i64::from(i32::MIN),
        1 => i64::from(i32::MAX),
        _ => random.i64(-10..=10),
    }
}

/// One way to try a rule.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The dtype of each variable.
    pub dtypes: Vec<DType>,
    /// The shape of each variable.
    pub shapes: Vec<Shape>,
    /// The value of each attribute variable.
    pub attributes: Vec<Attribute>,
}

/// Shapes to try, one per variable: alike, broadcast, empty, without axes.
pub fn shapes(variables: usize) -> Vec<Vec<Shape>> {
    let all = |shape: &[usize]| vec![Shape::from_slice(shape); variables];
    let mut first = all(&[3, 4]);
    let mut last = all(&[3, 4]);
    if let Some(shape) = first.first_mut() {
        *shape = Shape::from_slice(&[4]);
    }
    if let Some(shape) = last.last_mut() {
        *shape = Shape::from_slice(&[3, 1]);
    }
    let mut lists = vec![all(&[72]), all(&[8, 3])];
    if variables > 1 {
        lists.extend([first, last]);
    }
    lists.extend([all(&[0, 3]), all(&[])]);
    lists
}

/// Dtypes to try: all `float`; then, for rules of other dtypes, mixtures of `float`, integers and bools, and unsigned
/// integers.
pub fn dtypes(variables: usize, float: DType) -> Vec<Vec<DType>> {
    let kinds = [float, DType::I32, DType::Bool];
    let count = 3usize.pow(variables.min(4) as u32);
    let mixtures = (0..count)
        .map(|mut code| {
            (0..variables)
                .map(|_| {
                    let kind = kinds[code % 3];
                    code /= 3;
                    kind
                })
                .collect()
        });
    mixtures.chain([vec![DType::U8; variables]]).collect()
}

/// Values to try for the attribute variables of a rule.
pub fn attributes(rule: &Rule) -> Vec<Vec<Attribute>> {
    let mut kinds = vec![("", AttributeKind::Int); rule.attribute_variables.len()];
    for pattern in &rule.patterns[..=rule.lhs.0 as usize] {
        let Pattern::Apply { attributes, .. } = pattern else { continue };
        for (name, kind, pattern) in attributes {
            if let AttributePattern::Variable(number) = pattern {
                kinds[*number] = (name, *kind);
            }
        }
    }
    let list = |items: &[i64]| Attribute::from(items);
    let mut combinations = vec![Vec::new()];
    for (name, kind) in kinds {
        let choices = match (name, kind) {
            ("axes", _) => vec![Attribute::None, list(&[1, 0]), list(&[0, 1])],
            (_, AttributeKind::Bool) => vec![Attribute::Bool(true), Attribute::Bool(false)],
            (_, AttributeKind::DType) => vec![Attribute::None, DType::F32.into(), DType::F64.into()],
            (_, AttributeKind::Axes) => vec![Attribute::Int(-1), list(&[0]), Attribute::None],
            (_, AttributeKind::Int) => vec![Attribute::Int(-1), Attribute::Int(0)],
            _ => vec![Attribute::None],
        };
        combinations = combinations
            .into_iter()
            .flat_map(|start: Vec<Attribute>| {
                choices.iter().map(move |choice| start.iter().cloned().chain([choice.clone()]).collect())
            })
            .collect();
    }
    combinations.truncate(48);
    combinations
}

/// The left side of a rule over fresh inputs `x`, `y`, ...; variables that must be constants or
/// non-negative are made so.
///
/// # Errors
/// If it is ill-typed in this setup.
pub fn left_side(rule: &Rule, setup: &Setup) -> Result<Graph> {
    let mut graph = Graph::new();
    let mut bindings = Bindings::default();
    for (number, name) in rule.variables.iter().enumerate() {
        let ty = Type::of_shape(setup.dtypes[number], &setup.shapes[number]);
        let required = |wanted: &[&str]| {
            rule.conditions.iter().any(|condition| {
                wanted.contains(&condition.predicate.name) && condition.arguments.contains(&Argument::Value(number))
            })
        };
        let constants = ["is_constant", "is_positive_constant", "is_negative_constant", "is_nonzero_constant", "is_finite_constant",
            "is_power_of_two_constant", "is_odd_constant", "is_even_constant", "is_fractional_constant"];
        let exact = ["exact_sum", "exact_difference", "exact_product", "exact_quotient"];
        // Which of the numbers of such a condition it is; the first argument is none.
        let number_of = |condition: &crate::rewrite::pattern::Condition| {
            let at = condition.arguments.iter().position(|argument| *argument == Argument::Value(number));
            at.filter(|&at| at > 0 && exact.contains(&condition.predicate.name))
        };
        let of_exact = rule.conditions.iter().find_map(number_of);
        let input = graph.add_input(name, ty, Location::unknown());
        let apply = |graph: &mut Graph, op: &str, operands: &[ValueId]| {
            let op = crate::ops::registry().get(op)?;
            Ok::<_, crate::error::Error>(graph.apply(op, operands, Default::default(), Location::unknown())?.output(0))
        };
        let value = if let Some(at) = of_exact {
            let value = Tensor::scalar([0.0, 0.5, 0.25][at]).cast(setup.dtypes[number]);
            graph.add_constant(Constant { value, weak: false }, Location::unknown())
        } else if required(&constants) {
            let value = match () {
                () if required(&["is_odd_constant"]) => 3.0f64,
                () if required(&["is_negative_constant"]) => -4.0,
                () if required(&["is_fractional_constant"]) => 2.5,
                () => 4.0,
            };
            let value = Tensor::scalar(value).cast(setup.dtypes[number]);
            graph.add_constant(Constant { value, weak: false }, Location::unknown())
        } else if required(&["is_nonnegative"]) {
            apply(&mut graph, "abs", &[input])?
        } else if required(&["is_positive", "is_nonzero"]) {
            let one = graph.add_constant(Constant { value: Tensor::scalar(1.0), weak: true }, Location::unknown());
            let magnitude = apply(&mut graph, "abs", &[input])?;
            apply(&mut graph, "add", &[magnitude, one])?
        } else if required(&["is_sorted"]) {
            let attributes = crate::ops::Attributes::new().with("axis", -1i64);
            let op = crate::ops::registry().get("sort")?;
            graph.apply(op, &[input], attributes, Location::unknown())?.output(0)
        } else if required(&["is_whole"]) {
            apply(&mut graph, "floor", &[input])?
        } else {
            input
        };
        bindings.values.push(Some(value));
    }
    bindings.attributes.extend(setup.attributes.iter().cloned().map(Some));
    let left = Rule { rhs: rule.lhs, lhs: first_pattern(), ..rule.clone() };
    let (value, _): (ValueId, _) = matcher::build_from(&mut graph, &left, 0, &bindings, &Location::unknown())?;
    graph.set_outputs(vec![value]);
    Ok(graph)
}

fn first_pattern() -> crate::rewrite::pattern::PatternId {
    crate::rewrite::pattern::PatternId(0)
}

/// Arguments for a setup.
pub fn arguments(setup: &Setup, range: Range, random: &mut Rng) -> Result<Vec<Tensor>> {
    setup
        .dtypes
        .iter()
        .zip(&setup.shapes)
        .enumerate()
        .map(|(number, (&dtype, shape))| {
            let count: usize = shape.iter().product();
            let elements: Vec<f64> = (0..count)
                .map(|at| match dtype {
                    DType::Bool => random.u8(..2).into(),
                    DType::I32 | DType::I64 => integer(random) as f64,
                    DType::I8 | DType::I16 => random.i8(-10..=10).into(),
                    DType::U8 | DType::U16 | DType::U32 | DType::U64 => random.u8(..).into(),
                    // The first variable meets every special value, others at other places.
                    _ if number == 0 && count >= 64 => float(random, dtype, range, at),
                    _ => float(random, dtype, range, usize::MAX),
                })
                .collect();
            Ok(Tensor::from_vec(elements, shape)?.cast(dtype))
        })
        .collect()
}
