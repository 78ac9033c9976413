//! Running sums and products, and linear recurrences; of floats in `f64`, one step after the other.

use arignote_core::Result;
use arignote_core::tensor::{Shape, Tensor};

use crate::kernel::{Function, KernelCall};
use crate::values::{fail, floats, for_each_index, from_floats, from_integers, integers, strides};

/// The kernel of an op of the family.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "cumsum" => |call| running(call, |sum, x| sum + x, |sum, x| sum.wrapping_add(x)),
        "cumprod" => |call| running(call, |product, x| product * x, |product, x| wrapped(product.wrapping_mul(x))),
        "linear_recurrence" => linear_recurrence,
        _ => return None,
    })
}

/// The low 64 bits, which are all that a result keeps.
fn wrapped(value: i128) -> i128 {
    i128::from(value as u64)
}

/// Calls `step` with the place of each element along an axis but the first, and the place before.
fn walk(shape: &[usize], axis: usize, mut step: impl FnMut(usize, usize)) {
    let steps = strides(shape);
    for_each_index(shape, |index| {
        if index[axis] > 0 {
            let place: usize = index.iter().zip(&steps).map(|(i, step)| i * step).sum();
            step(place, place - steps[axis]);
        }
    });
}

fn running(call: &KernelCall<'_>, float: fn(f64, f64) -> f64, integer: fn(i128, i128) -> i128) -> Result<Vec<Tensor>> {
    let (x, dtype) = (call.as_result(0)?, call.dtype()?);
    let (shape, axis) = match call.attributes.ints("axis")? {
        None => (Shape::from_slice(&[x.len()]), 0),
        Some(_) => (x.shape().into(), call.attributes.axis("axis", x.rank())?),
    };
    Ok(vec![if dtype.is_float() {
        let mut values = floats(&x);
        walk(&shape, axis, |place, before| values[place] = float(values[before], values[place]));
        from_floats(dtype, values, &shape)?
    } else {
        let mut values = integers(&x);
        walk(&shape, axis, |place, before| values[place] = integer(values[before], values[place]));
        from_integers(dtype, values, &shape)?
    }])
}

fn linear_recurrence(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (a, b, dtype) = (call.as_result(0)?, call.as_result(1)?, call.dtype()?);
    if a.shape() != b.shape() {
        return Err(fail(format!("the shapes {:?} and {:?} differ", a.shape(), b.shape())));
    }
    let (shape, axis) = (b.shape(), call.attributes.axis("axis", b.rank())?);
    Ok(vec![if dtype.is_float() {
        let (a, mut y) = (floats(&a), floats(&b));
        walk(shape, axis, |place, before| y[place] += a[place] * y[before]);
        from_floats(dtype, y, shape)?
    } else {
        let (a, mut y) = (integers(&a), integers(&b));
        walk(shape, axis, |place, before| y[place] = wrapped(y[place].wrapping_add(a[place].wrapping_mul(y[before]))));
        from_integers(dtype, y, shape)?
    }])
}
