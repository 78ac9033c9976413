//! Finding the firing of a rewrite that changes a result: by compiling with fewer and fewer of them.

use fastrand::Rng;

use super::{CompileRequest, Function, Session};
use crate::error::Result;
use crate::graph::FunctionGraph;
use crate::rewrite::Firing;
use crate::tensor::{DType, Dim, Kind, Tensor, Type};

/// A firing that changes a result.
#[derive(Clone, Debug)]
pub struct Culprit {
    /// Which firing it is, counted from 1.
    pub number: usize,
    /// What fired; of a pass all that it did in one run.
    pub firings: Vec<Firing>,
    /// Which result changes, counted from 0.
    pub result: usize,
    /// The place of the element that differs, in row-major order, and its values without and with the firing.
    pub element: (usize, f64, f64),
}

/// What the search found.
#[derive(Clone, Debug)]
pub struct Bisection {
    /// How many firings there are in all.
    pub firings: usize,
    /// How often the function was compiled.
    pub compilations: usize,
    /// The first firing with which a result is another than without any rewrites, beyond rounding.
    pub culprit: Option<Culprit>,
}

/// Units in the last place, of an element itself or of the largest of its tensor, that are rounding.
const OWN: f64 = 256.0;
const OF_LARGEST: f64 = 8.0;

/// The first element that differs between two results by more than rounding does.
fn difference(before: &Tensor, after: &Tensor) -> Option<(usize, f64, f64)> {
    let epsilon = match before.dtype() {
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        DType::F32 => f32::EPSILON.into(),
        DType::F64 => f64::EPSILON,
        _ => 0.0,
    };
    let (a, b) = (before.to_f64_vec(), after.to_f64_vec());
    if before.shape() != after.shape() || before.dtype() != after.dtype() {
        return Some((0, a.first().copied().unwrap_or(f64::NAN), b.first().copied().unwrap_or(f64::NAN)));
    }
    let largest = a.iter().filter(|x| x.is_finite()).fold(0.0, |largest: f64, x| largest.max(x.abs()));
    a.into_iter().zip(b).enumerate().find_map(|(at, (x, y))| {
        let same = x == y || (x.is_nan() && y.is_nan());
        let near = x.is_finite() && y.is_finite() && (x - y).abs() <= epsilon * (OWN * x.abs().max(y.abs())).max(OF_LARGEST * largest);
        (!same && !near).then_some((at, x, y))
    })
}

/// Finds the first firing that changes a result of a call beyond rounding: compiles with none, with half of the
/// firings, and so on. States have the values afterwards that they had before.
///
/// A firing that changes a result need not be wrong: what overflows without it does not with it.
///
/// # Errors
/// If a compilation or a call fails.
pub fn bisect(session: &Session, graph: &FunctionGraph, arguments: &[Tensor]) -> Result<Bisection> {
    let mut compilations = 0;
    let mut attempt = |most: Option<usize>| -> Result<(Vec<Firing>, Vec<Tensor>)> {
        compilations += 1;
        let function = Function::compile_as(session, graph.clone(), CompileRequest { most_firings: most, ..CompileRequest::default() })?;
        let states = function.states();
        let kept: Vec<Tensor> = states.iter().map(|state| session.get(state)).collect::<Result<_>>()?;
        let called = function.call(arguments);
        let after: Vec<Tensor> = states.iter().map(|state| session.get(state)).collect::<Result<_>>()?;
        session.set_all(states.iter().zip(kept).collect())?;
        Ok((function.compiled().firings().to_vec(), called?.into_iter().chain(after).collect()))
    };
    let (_, plain) = attempt(Some(0))?;
    let (firings, full) = attempt(None)?;
    let differs = |results: &[Tensor]| {
        plain.iter().zip(results).enumerate().find_map(|(at, (a, b))| difference(a, b).map(|element| (at, element)))
    };
    let total = firings.len();
    let Some(mut found) = differs(&full) else { return Ok(Bisection { firings: total, compilations, culprit: None }) };
    let (mut without, mut with, mut list) = (0, total, firings);
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        let (firings, results) = attempt(Some(middle))?;
        match differs(&results) {
            Some(other) => (with, found, list) = (middle, other, firings),
            None => without = middle,
        }
    }
    let (result, element) = found;
    let firings = list.split_off(without.min(list.len()));
    Ok(Bisection { firings: total, compilations, culprit: Some(Culprit { number: with, firings, result, element }) })
}

/// Values for inputs of these types, drawn with a seed: floats between -2 and 2, whole numbers 0 and 1, and lengths
/// of 3 and more, equal where their names are.
///
/// # Errors
/// If a tensor cannot be made.
pub fn draw_inputs(types: &[Type], seed: u64) -> Result<Vec<Tensor>> {
    let mut random = Rng::with_seed(seed);
    let mut names: Vec<String> = Vec::new();
    let mut tensors = Vec::new();
    for ty in types {
        let mut shape = Vec::new();
        for dim in &ty.dims {
            shape.push(match dim {
                Dim::Known(length) => *length,
                Dim::Unknown => 3,
                Dim::Named(name) => {
                    let at = names.iter().position(|known| **known == **name).unwrap_or_else(|| {
                        names.push(name.to_string());
                        names.len() - 1
                    });
                    4 + at % 3
                }
            });
        }
        let count = shape.iter().product();
        let elements = (0..count).map(|_| match ty.dtype.kind() {
            Kind::Float => random.f64() * 4.0 - 2.0,
            _ => f64::from(random.u8(..2)),
        });
        tensors.push(Tensor::from_vec(elements.collect(), &shape)?.cast(ty.dtype));
    }
    Ok(tensors)
}
