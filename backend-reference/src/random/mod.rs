//! Random draws from a key. `words` makes the bits, `samplers` the distributions that reject draws.

mod samplers;
mod words;

use std::f64::consts::PI;

use arignote_core::Result;
use arignote_core::tensor::{DType, Shape, Tensor, broadcast_shapes};

use crate::kernel::{Function, KernelCall};
use crate::values::{allocate, broadcast_offsets, count, fail, floats, from_floats, from_integers, integers, sizes};
use samplers::Draw;
use words::{Source, Words};

pub use words::philox;

/// The kernel of a random op.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "uniform" => uniform,
        "normal" => normal,
        "fold_in" => fold_in,
        "randint" => randint,
        "random_gamma" => gamma,
        "vonmises" => |call| draws(call, 1, |x, source| Ok(Draw::Float(samplers::vonmises(x[0], source)?))),
        "wald" => |call| draws(call, 2, |x, source| Ok(Draw::Float(samplers::wald(x[0], x[1], source)?))),
        "poisson" => |call| draws(call, 1, |x, source| Ok(Draw::Count(samplers::poisson(x[0], source)?))),
        "binomial" => |call| draws(call, 2, |x, source| Ok(Draw::Count(samplers::binomial(x[0], x[1], source)?))),
        "hypergeometric" => {
            |call| draws(call, 3, |x, source| Ok(Draw::Count(samplers::hypergeometric(x[0], x[1], x[2], source)?)))
        }
        "multinomial" => multinomial,
        _ => return None,
    })
}

fn uniform(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (words, shape, dtype) = (Words::of(call.operand(0)?)?, sizes(call.operand(1)?)?, call.dtype()?);
    let mut values = allocate(&shape)?;
    values.extend((0..count(&shape)? as u64).map(|i| words.uniform(dtype, i)));
    Ok(vec![from_floats(dtype, values, &shape)?])
}

/// Box and Muller's transform of pairs of uniform numbers.
fn normal(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (words, shape, dtype) = (Words::of(call.operand(0)?)?, sizes(call.operand(1)?)?, call.dtype()?);
    // Halves are rounded draws of `f32`.
    let drawn = if dtype == DType::F64 { dtype } else { DType::F32 };
    let mut values = allocate(&shape)?;
    values.extend((0..count(&shape)? as u64).map(|i| {
        let first = 1.0 - words.uniform(drawn, i / 2 * 2);
        let angle = 2.0 * PI * words.uniform(drawn, i / 2 * 2 + 1);
        let radius = (-2.0 * libm::log(first)).sqrt();
        radius * if i % 2 == 0 { libm::cos(angle) } else { libm::sin(angle) }
    }));
    Ok(vec![from_floats(dtype, values, &shape)?])
}

fn fold_in(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (words, data) = (Words::of(call.operand(0)?)?, call.operand(1)?);
    let mut shape = data.shape().to_vec();
    shape.push(2);
    let mut keys = allocate(&shape)?;
    for number in integers(data) {
        keys.extend(words.folded(number as u64).map(i128::from));
    }
    Ok(vec![from_integers(DType::U64, keys, &shape)?])
}

/// The shape of draws: the sizes, or if there are none that of the operands together.
fn drawn_shape(given: &Tensor, operands: &[&[usize]]) -> Result<Shape> {
    let given = sizes(given)?;
    if !given.is_empty() {
        return Ok(given.into());
    }
    operands.iter().try_fold(Shape::new(), |shape, own| broadcast_shapes(&shape, own))
}

/// Draws element by element, from what the operands are there.
fn draws(
    call: &KernelCall<'_>, operands: usize, draw: fn(&[f64], &mut Source) -> Result<Draw>,
) -> Result<Vec<Tensor>> {
    let words = Words::of(call.operand(0)?)?;
    let numbers = (1..=operands).map(|at| call.operand(at)).collect::<Result<Vec<_>>>()?;
    let shapes: Vec<&[usize]> = numbers.iter().map(|number| number.shape()).collect();
    let shape = drawn_shape(call.operand(operands + 1)?, &shapes)?;
    let offsets = shapes.iter().map(|own| broadcast_offsets(own, &shape)).collect::<Result<Vec<_>>>()?;
    let lists: Vec<Vec<f64>> = numbers.iter().map(|number| floats(number)).collect();
    let dtype = call.dtype()?;
    let (mut values, mut counts) = (Vec::new(), Vec::new());
    for at in 0..count(&shape)? {
        let own: Vec<f64> = lists.iter().zip(&offsets).map(|(list, offsets)| list[offsets[at]]).collect();
        match draw(&own, &mut words.source(at))? {
            Draw::Float(value) => values.push(value),
            Draw::Count(value) => counts.push(value),
        }
    }
    Ok(vec![if dtype.is_float() { from_floats(dtype, values, &shape)? } else { from_integers(dtype, counts, &shape)? }])
}

fn gamma(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    match call.attributes.bool("log")? {
        true => draws(call, 1, |x, source| Ok(Draw::Float(samplers::log_gamma(x[0], source)?))),
        false => draws(call, 1, |x, source| Ok(Draw::Float(samplers::gamma(x[0], source)?))),
    }
}

/// Whole numbers are compared exactly, also those that no float holds.
fn randint(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (words, low, high) = (Words::of(call.operand(0)?)?, call.operand(1)?, call.operand(2)?);
    let shape = drawn_shape(call.operand(3)?, &[low.shape(), high.shape()])?;
    let offsets = [broadcast_offsets(low.shape(), &shape)?, broadcast_offsets(high.shape(), &shape)?];
    let (low, high) = (integers(low), integers(high));
    let mut values = allocate(&shape)?;
    for at in 0..count(&shape)? {
        let (low, high) = (low[offsets[0][at]], high[offsets[1][at]]);
        if high <= low {
            return Err(fail(format!("there is no whole number from {low} up to and without {high}")));
        }
        values.push(low + samplers::below((high - low) as u128, &mut words.source(at)) as i128);
    }
    Ok(vec![from_integers(call.dtype()?, values, &shape)?])
}

fn multinomial(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (words, trials, weights) = (Words::of(call.operand(0)?)?, call.operand(1)?, call.operand(2)?);
    let Some((&outcomes, batch)) = weights.shape().split_last() else {
        return Err(fail("the probabilities have an axis of outcomes, they are no scalar"));
    };
    let shape = drawn_shape(call.operand(3)?, &[trials.shape(), batch])?;
    let offsets = [broadcast_offsets(trials.shape(), &shape)?, broadcast_offsets(batch, &shape)?];
    let (trials, weights) = (floats(trials), floats(weights));
    let mut full = shape.clone();
    full.push(outcomes);
    let mut counts = allocate(&full)?;
    for at in 0..count(&shape)? {
        let row = &weights[offsets[1][at] * outcomes..][..outcomes];
        counts.extend(samplers::multinomial(trials[offsets[0][at]], row, |outcome| words.source(at * outcomes + outcome))?);
    }
    Ok(vec![from_integers(call.dtype()?, counts, &full)?])
}
