//! How a loop goes, whoever computes its steps: the rows of the sequences, the states from step to step, and the
//! yields, stacked. Backends without loops of their own, and whoever looks into a loop, run it with this.

use std::collections::VecDeque;

use super::ScanLayout;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Var, shapes_of};
use crate::ops::Attributes;
use crate::tensor::Tensor;

fn fail<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Runtime, message))
}

/// What gives the outputs of a loop's body for a step, counted from 0, and the values of its inputs.
pub type Evaluate<'a> = dyn FnMut(usize, &[Tensor]) -> Result<Vec<Tensor>> + 'a;

/// The results of a `scan`, where `evaluate` gives the outputs of its body for a step, counted from 0, and the
/// values of its inputs.
///
/// # Errors
/// If lengths do not fit, a step fails, or yields values of different shapes.
pub fn run_scan(
    attributes: &Attributes, operands: &[Tensor], evaluate: &mut Evaluate<'_>,
) -> Result<Vec<Tensor>> {
    let layout = ScanLayout::of(attributes)?;
    let (counted, rest) = operands.split_at(usize::from(layout.counted));
    let (sequences, rest) = rest.split_at(layout.sequences);
    let (inits, captured) = rest.split_at(layout.states);
    let steps = steps(&layout, counted.first(), sequences)?;
    let mut sliced = sequences.iter().map(|sequence| slices(sequence, steps)).collect::<Result<Vec<_>>>()?;
    if layout.reverse {
        sliced.iter_mut().for_each(|rows| rows.reverse());
    }
    let mut states = inits.to_vec();
    let mut rows: Vec<VecDeque<Tensor>> = vec![VecDeque::new(); layout.yields()];
    for step in 0..steps {
        let mut arguments: Vec<Tensor> = sliced.iter().map(|rows| rows[step].clone()).collect();
        arguments.extend(states.iter().chain(captured).cloned());
        let mut outputs = evaluate(step, &arguments)?;
        let stop = layout.until && outputs.pop().is_some_and(|stop| stop.to_i64_vec() != [0]);
        let yields = outputs.split_off(layout.states);
        for (number, (next, state)) in outputs.iter().zip(&states).enumerate() {
            if next.shape() != state.shape() {
                let (name, before, after) = (layout.name(layout.sequences + number), state.shape(), next.shape());
                return fail(format!("the state `{name}` has the shape {before:?} and after step {step} {after:?}; a state keeps its shape"));
            }
        }
        states = outputs;
        for ((rows, &keep), value) in rows.iter_mut().zip(&layout.keep).zip(yields) {
            rows.push_back(value);
            if keep > 0 && rows.len() > keep {
                rows.pop_front();
            }
        }
        if stop {
            break;
        }
    }
    let mut results = states;
    for (number, mut rows) in rows.into_iter().enumerate() {
        if layout.reverse {
            rows.make_contiguous().reverse();
        }
        results.push(match rows.front() {
            Some(_) => stacked(&rows)?,
            None => empty(&layout, number, sequences, &operands[usize::from(layout.counted)..])?,
        });
    }
    Ok(results)
}

/// How many steps there are at most.
fn steps(layout: &ScanLayout, counted: Option<&Tensor>, sequences: &[Tensor]) -> Result<usize> {
    let mut known: Option<(usize, String)> = None;
    if let Some(&count) = counted.and_then(|steps| steps.to_i64_vec().first().copied()).as_ref() {
        match usize::try_from(count) {
            Ok(count) => known = Some((count, "`steps`".to_owned())),
            Err(_) => return fail(format!("a loop cannot take {count} steps")),
        }
    }
    for (number, sequence) in sequences.iter().enumerate() {
        let length = sequence.shape().first().copied().unwrap_or(0);
        let of = format!("the sequence of `{}`", layout.name(number));
        match &known {
            Some((steps, first)) if *steps != length => {
                return fail(format!("{of} has the length {length}, {first} {steps}; all lengths of a scan are equal"));
            }
            Some(_) => {}
            None => known = Some((length, of)),
        }
    }
    known.map_or_else(|| fail("nothing says how many steps there are".to_owned()), |(steps, _)| Ok(steps))
}

/// The rows of a sequence.
fn slices(sequence: &Tensor, steps: usize) -> Result<Vec<Tensor>> {
    let shape = sequence.shape().get(1..).unwrap_or_default();
    let bytes = sequence.bytes();
    let size = shape.iter().product::<usize>() * sequence.dtype().size();
    (0..steps).map(|step| Tensor::from_bytes(sequence.dtype(), shape, &bytes[step * size..(step + 1) * size])).collect()
}

fn stacked(rows: &VecDeque<Tensor>) -> Result<Tensor> {
    let first = &rows[0];
    if let Some((step, other)) = rows.iter().enumerate().find(|(_, other)| other.shape() != first.shape()) {
        let (a, b) = (first.shape(), other.shape());
        return fail(format!("step 0 yields a value of the shape {a:?}, step {step} one of the shape {b:?}"));
    }
    let shape: Vec<usize> = std::iter::once(rows.len()).chain(first.shape().iter().copied()).collect();
    let bytes: Vec<u8> = rows.iter().flat_map(Tensor::bytes).copied().collect();
    Tensor::from_bytes(first.dtype(), &shape, &bytes)
}

/// What is yielded by a loop that takes no step: as many rows as that, of the shape that a step would give.
fn empty(layout: &ScanLayout, number: usize, sequences: &[Tensor], operands: &[Tensor]) -> Result<Tensor> {
    let inputs: Vec<(Var, &[usize])> = layout
        .body
        .inputs()
        .iter()
        .zip(operands)
        .enumerate()
        .map(|(at, (var, operand))| (var.clone(), &operand.shape()[usize::from(at < sequences.len())..]))
        .collect();
    let output = &layout.body.outputs()[layout.states + number];
    match shapes_of(std::slice::from_ref(output), &inputs)?.pop().flatten() {
        Some(shape) => {
            let shape: Vec<usize> = std::iter::once(0).chain(shape).collect();
            Ok(Tensor::zeros(output.ty()?.dtype, &shape))
        }
        None => fail("no step was taken, and the shape of what a step yields depends on values".to_owned()),
    }
}
