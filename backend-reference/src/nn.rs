//! Softmax and its relatives, stable by construction: everything is relative to the largest element.

use arignote_core::Result;
use arignote_core::tensor::Tensor;

use crate::kernel::{Function, KernelCall};
use crate::values::{allocate, fail, filled, floats, for_each_index, from_floats, integers, strides};

/// The kernel of a neural-network op.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "softmax" => |call| along(call, |shifted, sum| shifted.exponential / (1.0 + sum)),
        "log_softmax" => |call| along(call, |shifted, sum| shifted.difference - libm::log1p(sum)),
        "cross_entropy" => cross_entropy,
        "cross_entropy_with_gradient" => cross_entropy_with_gradient,
        _ => return None,
    })
}

/// An element less the largest, and the exponential of that.
#[derive(Clone, Copy)]
struct Shifted {
    difference: f64,
    exponential: f64,
}

impl Shifted {
    /// A rounding of the difference would be as many in its exponential as it is large. So what is lost in
    /// `x - largest` (Knuth's TwoSum) is made up for: `exp(d + e) = exp(d) * (1 + e)` for a tiny `e`.
    fn new(x: f64, largest: f64) -> Shifted {
        let difference = x - largest;
        let back = x - difference;
        let lost = (x - (difference + back)) + (back - largest);
        let exponential = libm::exp(difference);
        let exponential = if lost.is_finite() { exponential + exponential * lost } else { exponential };
        Shifted { difference, exponential }
    }
}

/// Each element less the largest, and the sum of the exponentials of all but that one: with its 1, a
/// small sum would lose its digits.
fn shifted(list: &[f64]) -> (Vec<Shifted>, f64) {
    let better = |best: usize, at: usize| if list[at] > list[best] || list[at].is_nan() { at } else { best };
    let best = (0..list.len()).fold(0, better);
    let shifted: Vec<Shifted> = list.iter().map(|&x| Shifted::new(x, list[best])).collect();
    let sum: f64 = shifted.iter().enumerate().filter(|&(at, _)| at != best).map(|(_, x)| x.exponential).sum();
    // Of the largest itself, 0 or NaN.
    let sum = sum + shifted.get(best).map_or(0.0, |largest| largest.difference);
    (shifted, sum)
}

/// Applies `f` (element less the largest, sum of the other exponentials) along the attribute's axis.
fn along(call: &KernelCall<'_>, f: fn(Shifted, f64) -> f64) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let axis = call.attributes.axis("axis", x.rank())?;
    let values = floats(&x);
    let step = strides(x.shape())[axis];
    let length = x.shape()[axis];
    let mut results = filled(x.shape(), 0.0)?;
    let mut starts = x.shape().to_vec();
    starts[axis] = 1;
    let steps = strides(x.shape());
    for_each_index(&starts, |index| {
        let start: usize = index.iter().zip(&steps).map(|(i, step)| i * step).sum();
        let list: Vec<f64> = (0..length).map(|i| values[start + i * step]).collect();
        let (shifted, sum) = shifted(&list);
        for i in 0..length {
            results[start + i * step] = f(shifted[i], sum);
        }
    });
    Ok(vec![from_floats(x.dtype(), results, x.shape())?])
}

/// The logits, the number of classes, and the label of each row.
fn labelled(call: &KernelCall<'_>) -> Result<(Tensor, usize, Vec<usize>)> {
    let (logits, labels) = (call.as_result(0)?, call.operand(1)?);
    let Some((&classes, leading)) = logits.shape().split_last() else {
        return Err(fail("logits need an axis of classes"));
    };
    if leading != labels.shape() || !labels.dtype().is_integer() {
        let message = format!(
            "labels must be whole numbers of shape {leading:?}, not {}{:?}", labels.dtype(), labels.shape()
        );
        return Err(fail(message));
    }
    let number = |label: i128| match usize::try_from(label) {
        Ok(label) if label < classes => Ok(label),
        _ => Err(fail(format!("label {label} is out of range for {classes} classes"))),
    };
    let labels: Vec<usize> = integers(labels).into_iter().map(number).collect::<Result<_>>()?;
    Ok((logits, classes, labels))
}

/// `logsumexp(logits) - logits[label]` along the last axis.
fn cross_entropy(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (logits, classes, labels) = labelled(call)?;
    let (values, leading) = (floats(&logits), &logits.shape()[..logits.rank() - 1]);
    let mut losses = allocate(leading)?;
    for (row, label) in labels.into_iter().enumerate() {
        let (shifted, sum) = shifted(&values[row * classes..(row + 1) * classes]);
        losses.push(libm::log1p(sum) - shifted[label].difference);
    }
    Ok(vec![from_floats(logits.dtype(), losses, leading)?])
}

/// The same, and `(softmax(logits) - one_hot(labels)) * g`.
fn cross_entropy_with_gradient(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (logits, classes, labels) = labelled(call)?;
    let (values, weights, leading) = (floats(&logits), floats(call.operand(2)?), &logits.shape()[..logits.rank() - 1]);
    if weights.len() != labels.len() {
        return Err(fail(format!("{} weights for {} labels", weights.len(), labels.len())));
    }
    let (mut losses, mut gradient) = (allocate(leading)?, allocate(logits.shape())?);
    for ((row, label), weight) in labels.into_iter().enumerate().zip(weights) {
        let (shifted, sum) = shifted(&values[row * classes..(row + 1) * classes]);
        losses.push(libm::log1p(sum) - shifted[label].difference);
        gradient.extend(shifted.iter().enumerate().map(|(class, x)| {
            let total = 1.0 + sum;
            // Of the largest, 1 is left out of both, so that a small rest keeps its digits.
            let slope = match (class == label, x.difference == 0.0) {
                (true, true) => -(sum / total),
                (true, false) => x.exponential / total - 1.0,
                (false, _) => x.exponential / total,
            };
            slope * weight
        }));
    }
    Ok(vec![from_floats(logits.dtype(), losses, leading)?, from_floats(logits.dtype(), gradient, logits.shape())?])
}
