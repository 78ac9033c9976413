//! Softmax and cross entropy. The largest element is taken out first, so nothing overflows.

use arignote_core::{Error, ErrorKind, Result};
use arignote_core::tensor::{DType, Element};

use super::Call;
use super::matmul::Start;
use super::number::Number;
use crate::buffer::typed_mut;
use crate::stored_type;

/// Rows of at least so many elements are vectors' work.
pub(super) const LONG: usize = 32;

/// `exp(x - largest)`. A rounding of the difference would be as many in its exponential as it is large, so
/// what is lost in it (Knuth's TwoSum) is made up for: `exp(d + e) = exp(d) * (1 + e)` for a tiny `e`.
pub(super) fn exp_of_difference(x: f64, largest: f64) -> f64 {
    let difference = x - largest;
    let back = x - difference;
    let lost = (x - (difference + back)) + (back - largest);
    let exponential = difference.exp();
    if lost.is_finite() { exponential + exponential * lost } else { exponential }
}

/// The maximum, and the sum of the exponentials of the others above it.
pub(super) fn shifted<T: Number>(line: impl Iterator<Item = T> + Clone) -> (T, f64) {
    let peak = line.clone().fold(T::from_f64(f64::NEG_INFINITY), |a, b| a.maximum(b));
    let base = peak.to_f64();
    // One element is the largest: with its 1, a small sum of the others would lose its digits.
    let mut found = false;
    let rest = |&value: &f64| {
        let first = !found && value == base;
        found |= first;
        !first
    };
    let others = line.map(|value| value.to_f64()).filter(rest);
    let others: f64 = others.map(|value| exp_of_difference(value, base)).sum();
    // An infinite largest has no distance from itself.
    let others = if base.is_finite() { others } else { f64::NAN };
    (peak, others)
}

fn along(call: &mut Call<'_, '_>, logarithm: bool) -> Result<()> {
    let x = call.operand(0)?;
    let axis = call.attributes.axis("axis", x.shape.len())?;
    let (length, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product::<usize>());
    let result = &mut call.results[0];
    let dtype = if matches!(result.dtype, DType::F16 | DType::BF16) { DType::F32 } else { result.dtype };
    let row = length * inner;
    if row == 0 || result.bytes.is_empty() { return Ok(()); }
    number_type!(dtype, T => {
        let x = x.cast::<T>(dtype);
        let apply = |at: usize, out: &mut [T]| {
            if inner == 1 && length >= LONG && dtype.is_float() {
                let rows = call.context.cache.rows(dtype);
                let (from, out) = (x[at * row..(at + 1) * row].as_ptr().cast::<u8>(), out.as_mut_ptr().cast::<u8>());
                // SAFETY: both are rows of the dtype, the second one borrowed alone.
                unsafe { if logarithm { rows.log_softmax(from, length, out) } else { rows.softmax(from, length, out) } }
                return;
            }
            for i in 0..inner {
                let line = || (0..length).map(|k| x[at * row + k * inner + i]);
                let (peak, others) = shifted(line());
                let (peak, sum, log) = (peak.to_f64(), 1.0 + others, others.ln_1p());
                for (k, value) in line().enumerate() {
                    let value = value.to_f64();
                    let result = if logarithm { value - peak - log } else { exp_of_difference(value, peak) / sum };
                    out[k * inner + i] = T::from_f64(result);
                }
            }
        };
        let group = (16384 / row).max(1);
        let run = |out: &mut [T]| call.context.chunks(out, group * row, &|chunk, out| {
            for (i, out) in out.chunks_mut(row).enumerate() { apply(chunk * group + i, out); }
        });
        result.computed::<T>(dtype, run);
    });
    Ok(())
}

/// `softmax`
pub fn softmax(call: &mut Call<'_, '_>) -> Result<()> {
    along(call, false)
}

/// `log_softmax`
pub fn log_softmax(call: &mut Call<'_, '_>) -> Result<()> {
    along(call, true)
}

/// The labels, of as many rows as there are losses, and the number of classes.
fn labels_of(call: &Call<'_, '_>) -> Result<(Vec<usize>, usize)> {
    let (x, labels) = (call.operand(0)?, call.operand(1)?.ints());
    let classes = x.shape.last().copied().unwrap_or(0);
    if let Some((at, label)) = labels.iter().enumerate().find(|(_, label)| !(0..classes as i64).contains(label)) {
        let message = format!("label {label} (number {at}) is out of range for {classes} classes");
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    if labels.len() != call.results[0].count() || labels.len() * classes != x.count() {
        let message = format!("{} labels do not fit logits of shape {:?}", labels.len(), x.shape);
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    Ok((labels.iter().map(|&label| label as usize).collect(), classes))
}

/// `cross_entropy_with_gradient`: both results from one look at the exponentials.
pub fn cross_entropy_with_gradient(call: &mut Call<'_, '_>) -> Result<()> {
    let (labels, classes) = labels_of(call)?;
    let (x, weights) = (call.operand(0)?, call.operand(2)?);
    let dtype = if matches!(x.dtype, DType::F32 | DType::F16 | DType::BF16) { DType::F32 } else { DType::F64 };
    let mut losses = vec![0.0f64; labels.len()];
    let [loss_result, result] = call.results else {
        return Err(Error::new(ErrorKind::Internal, "`cross_entropy_with_gradient` has two results"));
    };
    if labels.is_empty() {
        return Ok(());
    }
    number_type!(dtype, T => {
        let (x, weights) = (x.cast::<T>(dtype), weights.cast::<T>(dtype));
        let start = Start(losses.as_mut_ptr());
        let row = |at: usize, out: &mut [T]| {
            let (line, label, weight) = (&x[at * classes..(at + 1) * classes], labels[at], weights[at].to_f64());
            let (peak, others) = if classes >= LONG {
                let rows = call.context.cache.rows(dtype);
                // SAFETY: both are rows of the dtype, the second one borrowed alone.
                let scale = unsafe { rows.weighted_softmax(line.as_ptr().cast(), classes, weight, out.as_mut_ptr().cast()) };
                (scale.largest, scale.others)
            } else {
                let (peak, others) = shifted(line.iter().copied());
                let peak = peak.to_f64();
                for (out, value) in out.iter_mut().zip(line) {
                    *out = T::from_f64(exp_of_difference(value.to_f64(), peak) / (1.0 + others) * weight);
                }
                (peak, others)
            };
            let chosen = line[label].to_f64();
            // Of the largest, 1 is left out of both, so that a small rest keeps its digits.
            let slope = if chosen == peak { -(others / (1.0 + others)) } else { exp_of_difference(chosen, peak) / (1.0 + others) - 1.0 };
            out[label] = T::from_f64(slope * weight);
            others.ln_1p() - (chosen - peak)
        };
        let group = (16384 / classes).max(1);
        let run = |out: &mut [T]| call.context.chunks(out, group * classes, &|chunk, out| {
            let start = &start;
            for (i, out) in out.chunks_mut(classes).enumerate() {
                let at = chunk * group + i;
                let loss = row(at, out);
                // SAFETY: there is a loss for each row, and the row is this chunk's alone.
                unsafe { *start.0.add(at) = loss };
            }
        });
        result.computed::<T>(dtype, run);
    });
    loss_result.store(DType::F64, &losses);
    Ok(())
}

/// `cross_entropy`
pub fn cross_entropy(call: &mut Call<'_, '_>) -> Result<()> {
    let (labels, classes) = labels_of(call)?;
    let x = call.operand(0)?;
    let result = &mut call.results[0];
    let dtype = if matches!(x.dtype, DType::F32 | DType::F16 | DType::BF16) { DType::F32 } else { DType::F64 };
    number_type!(dtype, T => {
        let x = x.cast::<T>(dtype);
        stored_type!(result.dtype, R => {
            call.context.chunks(typed_mut::<R>(result.bytes), 256, &|chunk, out| {
                for (i, out) in out.iter_mut().enumerate() {
                    let at = chunk * 256 + i;
                    let line = &x[at * classes..(at + 1) * classes];
                    let (peak, log) = if classes >= LONG {
                        // SAFETY: the line is a row of the dtype.
                        let scale = unsafe { call.context.cache.rows(dtype).scale(line.as_ptr().cast(), classes, None) };
                        (scale.largest, scale.log)
                    } else {
                        let (peak, others) = shifted(line.iter().copied());
                        (peak.to_f64(), others.ln_1p())
                    };
                    *out = R::from_f64(log - (line[labels[at]].to_f64() - peak));
                }
            });
        });
    });
    Ok(())
}
