//! The discrete Fourier transform along one axis, in `f64` and rounded once.

use arignote_core::Result;
use arignote_core::tensor::Tensor;
use rustfft::num_complex::Complex;
use rustfft::{FftDirection, FftPlanner};

use crate::kernel::{Function, KernelCall};
use crate::values::{fail, filled, floats, for_each_index, from_floats, strides};

/// The kernel of an op of the family.
pub fn kernel(op: &str) -> Option<Function> {
    (op == "complex_dft").then_some(transform as Function)
}

fn transform(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let Some((2, own)) = x.shape().split_last().map(|(&last, own)| (last, own)) else {
        return Err(fail("complex values have a last axis of 2"));
    };
    let axis = call.attributes.axis("axis", own.len())?;
    let length = own[axis];
    if length == 0 {
        return Err(fail("a transform of no elements"));
    }
    let direction = if call.attributes.bool("inverse")? { FftDirection::Inverse } else { FftDirection::Forward };
    let plan = FftPlanner::<f64>::new().plan_fft(length, direction);
    let values = floats(&x);
    let mut results = filled(x.shape(), 0.0)?;
    let steps = strides(x.shape());
    let mut starts = own.to_vec();
    starts[axis] = 1;
    let mut row: Vec<Complex<f64>> = Vec::with_capacity(length);
    for_each_index(&starts, |index| {
        let start: usize = index.iter().zip(&steps).map(|(i, step)| i * step).sum();
        row.clear();
        row.extend((0..length).map(|i| start + i * steps[axis]).map(|at| Complex::new(values[at], values[at + 1])));
        plan.process(&mut row);
        for (i, value) in row.iter().enumerate() {
            let at = start + i * steps[axis];
            (results[at], results[at + 1]) = (value.re, value.im);
        }
    });
    Ok(vec![from_floats(x.dtype(), results, x.shape())?])
}
