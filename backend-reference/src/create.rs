//! Ops that make tensors from sizes.

use arignote_core::Result;
use arignote_core::tensor::Tensor;

use crate::kernel::{Function, KernelCall};
use crate::values::{allocate, count, fail, filled, floats, from_floats, from_integers, gather, integers, sizes};

/// The kernel of an op that makes a tensor.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "zeros" => |call| constant(call, &sizes(call.operand(0)?)?, 0),
        "ones" => |call| constant(call, &sizes(call.operand(0)?)?, 1),
        "zeros_like" => |call| constant(call, call.operand(0)?.shape(), 0),
        "ones_like" => |call| constant(call, call.operand(0)?.shape(), 1),
        "full" => full,
        "arange" => arange,
        "eye" => eye,
        _ => return None,
    })
}

fn constant(call: &KernelCall<'_>, shape: &[usize], value: i128) -> Result<Vec<Tensor>> {
    Ok(vec![from_integers(call.dtype()?, filled(shape, value)?, shape)?])
}

fn full(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (shape, value) = (sizes(call.operand(0)?)?, call.as_result(1)?);
    let offsets = crate::values::broadcast_offsets(value.shape(), &shape)?;
    Ok(vec![gather(&value, &offsets, &shape)?])
}

/// `start`, `start + step`, ... below (or above, for a negative step) `stop`.
fn arange(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let scalars = |read: &dyn Fn(&Tensor) -> Option<f64>| -> Result<Vec<f64>> {
        let one = |x: &Tensor| {
            read(x).ok_or_else(|| fail(format!("start, stop and step are scalars, not of shape {:?}", x.shape())))
        };
        call.operands.iter().map(one).collect()
    };
    let values = scalars(&|x| if x.len() == 1 { floats(x).first().copied() } else { None })?;
    let exact = call.operands.iter().all(|x| !x.dtype().is_float());
    let dtype = call.dtype()?;
    if exact {
        let values: Vec<i128> = call.operands.iter().flat_map(integers).collect();
        let (start, stop, step) = bounds(&values, 0, 1)?;
        if step == 0 {
            return Err(fail("the step must not be 0"));
        }
        let span = if step > 0 { stop - start } else { start - stop };
        let length = if span <= 0 { 0 } else { (span - 1) / step.abs() + 1 };
        let length = usize::try_from(length).map_err(|_| fail("there would be too many elements"))?;
        let mut list = allocate(&[length])?;
        list.extend((0..length as i128).map(|i| start + i * step));
        return Ok(vec![from_integers(dtype, list, &[length])?]);
    }
    let (start, stop, step) = bounds(&values, 0.0, 1.0)?;
    if step == 0.0 {
        return Err(fail("the step must not be 0"));
    }
    let length = ((stop - start) / step).ceil();
    if !length.is_finite() || length > isize::MAX as f64 {
        return Err(fail(format!("from {start} to {stop} by {step} are not finitely many elements that fit")));
    }
    let length = length.max(0.0) as usize;
    let mut list = allocate(&[length])?;
    list.extend((0..length).map(|i| start + i as f64 * step));
    Ok(vec![from_floats(dtype, list, &[length])?])
}

/// Start, stop and step of one, two or three numbers.
fn bounds<A: Copy>(values: &[A], zero: A, one: A) -> Result<(A, A, A)> {
    match *values {
        [stop] => Ok((zero, stop, one)),
        [start, stop] => Ok((start, stop, one)),
        [start, stop, step] => Ok((start, stop, step)),
        _ => Err(fail(format!("expected 1 to 3 numbers, found {}", values.len()))),
    }
}

fn eye(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let size = |number| {
        let sizes = sizes(call.operand(number)?)?;
        sizes.first().copied().ok_or_else(|| fail("a size is missing"))
    };
    let rows = size(0)?;
    let columns = if call.operands.len() > 1 { size(1)? } else { rows };
    let k = i128::from(call.attributes.int("k")?);
    count(&[rows, columns])?;
    let mut values = allocate(&[rows, columns])?;
    for row in 0..rows as i128 {
        values.extend((0..columns as i128).map(|column| i128::from(column - row == k)));
    }
    Ok(vec![from_integers(call.dtype()?, values, &[rows, columns])?])
}
