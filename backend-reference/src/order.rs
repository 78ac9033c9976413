//! Order: places in ascending order, searching, unique elements, counting.

use std::cmp::Ordering;

use arignote_core::Result;
use arignote_core::ops::order::{bincount_length, compare_elements, compare_floats, equal_groups};
use arignote_core::tensor::{DType, Tensor};

use crate::kernel::{Function, KernelCall};
use crate::values::{allocate, fail, filled, floats, for_each_index, from_floats, from_integers, gather, integers, strides};

/// The kernel of an op of the family.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "argsort" => argsort,
        "searchsorted" => searchsorted,
        "unique" => unique,
        "bincount" => bincount,
        _ => return None,
    })
}

/// The operand with an axis, which is that of the operand flattened where the attribute is none.
fn along(call: &KernelCall<'_>) -> Result<(Tensor, usize)> {
    let x = call.operand(0)?;
    match call.attributes.ints("axis")? {
        None => Ok((x.reshaped(&[x.len()])?, 0)),
        Some(_) => Ok((x.clone(), call.attributes.axis("axis", x.rank())?)),
    }
}

fn argsort(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, axis) = along(call)?;
    let (length, step) = (x.shape()[axis], strides(x.shape())[axis]);
    let compare = compare_elements(&x);
    let mut result = filled(x.shape(), 0i128)?;
    let mut starts = x.shape().to_vec();
    starts[axis] = starts[axis].min(1);
    let steps = strides(x.shape());
    for_each_index(&starts, |index| {
        let start: usize = index.iter().zip(&steps).map(|(i, step)| i * step).sum();
        let mut order: Vec<usize> = (0..length).collect();
        // The sort of Rust's slices is stable.
        order.sort_by(|&i, &j| compare(start + i * step, start + j * step));
        order.into_iter().enumerate().for_each(|(to, from)| result[start + to * step] = from as i128);
    });
    Ok(vec![from_integers(DType::I64, result, x.shape())?])
}

/// The place behind all elements that come before the one looked for.
fn searchsorted(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (a, v) = (call.operand(0)?, call.operand(1)?);
    let right = call.attributes.str("side")? == "right";
    let mut order: Vec<usize> = (0..a.len()).collect();
    if let Some(sorter) = call.operands.get(2) {
        if sorter.len() != a.len() {
            return Err(fail(format!("`sorter` has {} places for {} elements", sorter.len(), a.len())));
        }
        let place = |at: i128| match usize::try_from(if at < 0 { at + a.len() as i128 } else { at }) {
            Ok(place) if place < a.len() => Ok(place),
            _ => Err(fail(format!("the place {at} of `sorter` is out of range for {} elements", a.len()))),
        };
        order = integers(sorter).into_iter().map(place).collect::<Result<_>>()?;
    }
    let before = |ordering: Ordering| ordering.is_lt() || (right && ordering.is_eq());
    let found: Vec<i128> = if a.dtype().is_float() || v.dtype().is_float() {
        let (a, v) = (floats(a), floats(v));
        let place = |v: &f64| order.partition_point(|&i| before(compare_floats(a[i], *v)));
        v.iter().map(|v| place(v) as i128).collect()
    } else {
        let (a, v) = (integers(a), integers(v));
        v.iter().map(|v| order.partition_point(|&i| before(a[i].cmp(v))) as i128).collect()
    };
    Ok(vec![from_integers(DType::I64, found, v.shape())?])
}

fn unique(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let axis = match call.attributes.ints("axis")? {
        None => None,
        Some(_) => Some(call.attributes.axis("axis", x.rank())?),
    };
    let groups = equal_groups(&x, axis);
    let flat = if axis.is_some() { x.clone() } else { x.reshaped(&[x.len()])? };
    let at = axis.unwrap_or(0);
    let length = flat.shape()[at];
    let mut shape = flat.shape().to_vec();
    shape[at] = groups.len();
    let steps = strides(flat.shape());
    let mut offsets = allocate(&shape)?;
    for_each_index(&shape, |index| {
        let place = |(other, &i): (usize, &usize)| steps[other] * if other == at { groups[i][0] } else { i };
        offsets.push(index.iter().enumerate().map(place).sum());
    });
    let mut results = vec![gather(&flat, &offsets, &shape)?];
    let each = |f: &dyn Fn(&[usize]) -> usize| {
        from_integers(DType::I64, groups.iter().map(|group| f(group) as i128).collect(), &[groups.len()])
    };
    if call.attributes.bool("return_index")? {
        results.push(each(&|group| group[0])?);
    }
    if call.attributes.bool("return_inverse")? {
        let mut inverse = vec![0i128; length];
        for (number, group) in groups.iter().enumerate() {
            group.iter().for_each(|&place| inverse[place] = number as i128);
        }
        let shape = if axis.is_some() { vec![length] } else { x.shape().to_vec() };
        results.push(from_integers(DType::I64, inverse, &shape)?);
    }
    if call.attributes.bool("return_counts")? {
        results.push(each(&<[usize]>::len)?);
    }
    Ok(results)
}

fn bincount(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, dtype) = (call.operand(0)?, call.dtype()?);
    let length = bincount_length(x, call.attributes.int("minlength")?)?;
    let places = integers(x).into_iter().map(|place| place as usize);
    let Some(weights) = call.operands.get(1) else {
        let mut counts = filled(&[length], 0i128)?;
        places.for_each(|place| counts[place] += 1);
        return Ok(vec![from_integers(dtype, counts, &[length])?]);
    };
    if weights.len() != x.len() {
        return Err(fail(format!("{} weights for {} numbers", weights.len(), x.len())));
    }
    let mut sums = filled(&[length], 0.0)?;
    places.zip(floats(weights)).for_each(|(place, weight)| sums[place] += weight);
    Ok(vec![from_floats(dtype, sums, &[length])?])
}
