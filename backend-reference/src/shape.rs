//! Ops that move elements and compute none.

use arignote_core::Result;
use arignote_core::ops::normalize_axis;
use arignote_core::tensor::Tensor;

use crate::kernel::{Function, KernelCall};
use crate::values::{
    allocate, broadcast_offsets, count, fail, for_each_index, from_integers, gather, integers, signed_sizes, sizes, strides,
};

/// The kernel of an op that moves elements.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "reshape" => reshape,
        "transpose" => transpose,
        "broadcast_to" => broadcast_to,
        "expand_dims" => expand_dims,
        "squeeze" => squeeze,
        "concatenate" => concatenate,
        "stack" => stack,
        "shape" => shape,
        "flip" => flip,
        "repeat" => repeat,
        "specify_shape" => specify_shape,
        _ => return None,
    })
}

fn reshape(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let wanted = signed_sizes(call.operand(1)?)?;
    if wanted.iter().filter(|&&size| size == -1).count() > 1 {
        return Err(fail(format!("the shape {wanted:?} has more than one -1")));
    }
    if let Some(size) = wanted.iter().find(|&&size| size < -1) {
        return Err(fail(format!("a size must not be negative (but for one -1), found {size}")));
    }
    let given = wanted.iter().filter(|&&size| size >= 0).try_fold(1i128, |all, &size| all.checked_mul(size));
    let cannot = || fail(format!("cannot reshape {:?} ({} elements) into {wanted:?}", x.shape(), x.len()));
    let given = given.ok_or_else(cannot)?;
    let open = if given == 0 { None } else { Some(x.len() as i128 / given) };
    let shape = wanted
        .iter()
        .map(|&size| if size == -1 { open } else { Some(size) }.and_then(|size| usize::try_from(size).ok()))
        .collect::<Option<Vec<usize>>>()
        .ok_or_else(cannot)?;
    if count(&shape)? != x.len() {
        return Err(cannot());
    }
    Ok(vec![x.reshaped(&shape)?])
}

fn transpose(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let axes: Vec<usize> = match call.attributes.ints("axes")? {
        None => (0..x.rank()).rev().collect(),
        Some(axes) => axes.iter().map(|&axis| normalize_axis(axis, x.rank())).collect::<Result<_>>()?,
    };
    if axes.len() != x.rank() || (0..x.rank()).any(|axis| !axes.contains(&axis)) {
        return Err(fail(format!("`axes` {axes:?} is not an order of {} axes", x.rank())));
    }
    let steps = strides(x.shape());
    let shape: Vec<usize> = axes.iter().map(|&axis| x.shape()[axis]).collect();
    let mut offsets = allocate(&shape)?;
    for_each_index(&shape, |index| offsets.push(index.iter().zip(&axes).map(|(&i, &axis)| i * steps[axis]).sum()));
    Ok(vec![gather(&x, &offsets, &shape)?])
}

fn broadcast_to(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let shape = sizes(call.operand(1)?)?;
    count(&shape)?;
    Ok(vec![gather(&x, &broadcast_offsets(x.shape(), &shape)?, &shape)?])
}

fn expand_dims(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let new = call.attributes.ints("axis")?.unwrap_or_default().len();
    let axes = call.attributes.axes("axis", x.rank() + new)?;
    let mut lengths = x.shape().iter();
    let pick = |axis| if axes.contains(&axis) { Some(1) } else { lengths.next().copied() };
    let shape: Vec<usize> = (0..x.rank() + new).map_while(pick).collect();
    Ok(vec![x.reshaped(&shape)?])
}

fn squeeze(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let all = call.attributes.ints("axis")?.is_none();
    let axes = call.attributes.axes("axis", x.rank())?;
    let removed: Vec<usize> = axes.into_iter().filter(|&axis| !all || x.shape()[axis] == 1).collect();
    if let Some(axis) = removed.iter().find(|&&axis| x.shape()[axis] != 1) {
        return Err(fail(format!("axis {axis} has length {}, only axes of length 1 can go", x.shape()[*axis])));
    }
    let kept = (0..x.rank()).filter(|axis| !removed.contains(axis));
    Ok(vec![x.reshaped(&kept.map(|axis| x.shape()[axis]).collect::<Vec<_>>())?])
}

/// The operands one after the other along an axis that all have.
fn join(parts: &[Tensor], axis: usize) -> Result<Tensor> {
    let Some(first) = parts.first() else { return Err(fail("there is nothing to join")) };
    let mut shape = first.shape().to_vec();
    let mut offset = 0usize;
    // For each part where its elements start in one long list, and its length along the axis.
    let mut spans = Vec::new();
    shape[axis] = 0;
    for part in parts {
        let agrees = part.rank() == shape.len()
            && (0..shape.len()).all(|other| other == axis || part.shape()[other] == shape[other]);
        if !agrees {
            let message = format!(
                "shapes {:?} and {:?} differ on another axis than {axis}", first.shape(), part.shape()
            );
            return Err(fail(message));
        }
        shape[axis] += part.shape()[axis];
        spans.push((offset, part));
        offset += part.len();
    }
    let all = arignote_core::dispatch_dtype!(first.dtype(), T => {
        let mut elements: Vec<T> = allocate(&[offset])?;
        for part in parts {
            elements.extend_from_slice(part.as_slice::<T>()?);
        }
        Tensor::vector(elements)
    });
    let mut offsets = allocate(&shape)?;
    for_each_index(&shape, |index| {
        let mut along = index[axis];
        for (start, part) in &spans {
            if along < part.shape()[axis] {
                let steps = strides(part.shape());
                let at = |(other, &i): (usize, &usize)| steps[other] * if other == axis { along } else { i };
                offsets.push(start + index.iter().enumerate().map(at).sum::<usize>());
                return;
            }
            along -= part.shape()[axis];
        }
    });
    gather(&all, &offsets, &shape)
}

fn concatenate(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let axis = call.attributes.axis("axis", call.operand(0)?.rank())?;
    let parts = (0..call.operands.len()).map(|i| call.as_result(i)).collect::<Result<Vec<_>>>()?;
    Ok(vec![join(&parts, axis)?])
}

fn stack(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let shape = call.operand(0)?.shape();
    let axis = call.attributes.axis("axis", shape.len() + 1)?;
    if let Some(other) = call.operands.iter().find(|other| other.shape() != shape) {
        return Err(fail(format!("shapes {shape:?} and {:?} differ", other.shape())));
    }
    let mut long = shape.to_vec();
    long.insert(axis, 1);
    let part = |i| call.as_result(i)?.reshaped(&long);
    let parts = (0..call.operands.len()).map(part).collect::<Result<Vec<_>>>()?;
    Ok(vec![join(&parts, axis)?])
}

fn shape(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let lengths: Vec<i128> = call.operand(0)?.shape().iter().map(|&length| length as i128).collect();
    let rank = lengths.len();
    Ok(vec![from_integers(call.dtype()?, lengths, &[rank])?])
}

fn flip(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let axes = call.attributes.axes("axis", x.rank())?;
    let steps = strides(x.shape());
    let mut offsets = allocate(x.shape())?;
    for_each_index(x.shape(), |index| {
        let at = |(axis, &i): (usize, &usize)| {
            steps[axis] * if axes.contains(&axis) { x.shape()[axis] - 1 - i } else { i }
        };
        offsets.push(index.iter().enumerate().map(at).sum());
    });
    Ok(vec![gather(&x, &offsets, x.shape())?])
}

fn repeat(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, counts) = (call.as_result(0)?, integers(call.operand(1)?));
    let (x, axis) = match call.attributes.ints("axis")? {
        None => (x.reshaped(&[x.len()])?, 0),
        Some(_) => {
            let axis = call.attributes.axis("axis", x.rank())?;
            (x, axis)
        }
    };
    let length = x.shape()[axis];
    if let Some(count) = counts.iter().find(|&&count| count < 0) {
        return Err(fail(format!("a count is not negative, but this is {count}")));
    }
    if counts.len() != 1 && counts.len() != length {
        return Err(fail(format!("{} counts for an axis of length {length}", counts.len())));
    }
    let count_of = |place: usize| counts[if counts.len() == 1 { 0 } else { place }];
    let total: i128 = (0..length).map(count_of).sum();
    let total = usize::try_from(total).map_err(|_| fail("there would be too many elements"))?;
    let mut shape = x.shape().to_vec();
    shape[axis] = total;
    let mut from = allocate(&[total])?;
    (0..length).for_each(|place| from.extend((0..count_of(place)).map(|_| place)));
    let steps = strides(x.shape());
    let mut offsets = allocate(&shape)?;
    for_each_index(&shape, |index| {
        let at = |(other, &i): (usize, &usize)| steps[other] * if other == axis { from[i] } else { i };
        offsets.push(index.iter().enumerate().map(at).sum());
    });
    Ok(vec![gather(&x, &offsets, &shape)?])
}

fn specify_shape(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, sizes) = (call.as_result(0)?, signed_sizes(call.operand(1)?)?);
    let fits = sizes.len() == x.rank()
        && x.shape().iter().zip(&sizes).all(|(&length, &size)| size == -1 || size == length as i128);
    match fits {
        true => Ok(vec![x]),
        false => Err(fail(format!("the shape is {:?}, not {sizes:?} as said", x.shape()))),
    }
}
