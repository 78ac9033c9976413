//! Ops that reduce along axes. Sums and products of floats are taken in `f64`, one after the other.

use arignote_core::Result;
use arignote_core::error::{Error, ErrorKind};
use arignote_core::ops::Attribute;
use arignote_core::special;
use arignote_core::tensor::{DType, Shape, Tensor, broadcast_shapes};

use crate::kernel::{Function, KernelCall};
use crate::values::{
    count, fail, filled, floats, for_each_index, from_floats, from_integers, integers, strides, sum,
};

/// The kernel of a reduction.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "sum" => |call| own(call, |x| sum(x.iter().copied()), |x| x.iter().fold(0, |a, &b| a.wrapping_add(b))),
        "prod" => |call| own(call, |x| x.iter().product(), |x| x.iter().fold(1, |a, &b| a.wrapping_mul(b))),
        "mean" => mean,
        "max" => |call| extreme(call, |x, best| x > best),
        "min" => |call| extreme(call, |x, best| x < best),
        "argmax" => |call| position(call, |x, best| x > best),
        "argmin" => |call| position(call, |x, best| x < best),
        "all" => |call| truth(call, |x| x.iter().all(|&x| x != 0)),
        "any" => |call| truth(call, |x| x.iter().any(|&x| x != 0)),
        "logsumexp" => logsumexp,
        "vector_norm" => vector_norm,
        "sum_to" => sum_to,
        _ => return None,
    })
}

/// Which elements are reduced together: for each result the list of their places, in order.
struct Groups {
    places: Vec<Vec<usize>>,
    shape: Shape,
}

/// The groups of a reduction along `axes`; reduced axes become 1 or vanish.
fn groups(shape: &[usize], axes: &[usize], keep: bool) -> Result<Groups> {
    let kept: Shape =
        shape.iter().enumerate().map(|(axis, &length)| if axes.contains(&axis) { 1 } else { length }).collect();
    let mut places = filled(&kept, Vec::new())?;
    let steps = strides(&kept);
    let mut place = 0;
    for_each_index(shape, |index| {
        let own = index.iter().zip(&kept).zip(&steps);
        let group: usize = own.map(|((&i, &length), &step)| if length == 1 { 0 } else { i * step }).sum();
        places[group].push(place);
        place += 1;
    });
    let rest = || kept.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &length)| length);
    let shape = if keep { kept.clone() } else { rest().collect() };
    Ok(Groups { places, shape })
}

fn attribute_groups(call: &KernelCall<'_>) -> Result<Groups> {
    let x = call.operand(0)?;
    groups(x.shape(), &call.attributes.axes("axis", x.rank())?, call.attributes.bool("keepdims")?)
}

fn each<A: Copy, R>(groups: &Groups, list: &[A], f: impl Fn(&[A]) -> R) -> Vec<R> {
    groups.places.iter().map(|places| f(&places.iter().map(|&place| list[place]).collect::<Vec<A>>())).collect()
}

/// A reduction in the dtype of the result.
fn own(call: &KernelCall<'_>, float: fn(&[f64]) -> f64, integer: fn(&[i128]) -> i128) -> Result<Vec<Tensor>> {
    let groups = attribute_groups(call)?;
    let (x, dtype) = (call.as_result(0)?, call.dtype()?);
    Ok(vec![if dtype.is_float() {
        // Starting from the first, not from 0, would keep -0; NumPy starts from 0 as well.
        from_floats(dtype, each(&groups, &floats(&x), |list| float(list) + 0.0), &groups.shape)?
    } else {
        from_integers(dtype, each(&groups, &integers(&x), integer), &groups.shape)?
    }])
}

fn mean(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let groups = attribute_groups(call)?;
    let (x, dtype) = (call.operand(0)?, call.dtype()?);
    let means = if x.dtype().is_float() {
        each(&groups, &floats(x), |list| sum(list.iter().copied()) / list.len() as f64)
    } else {
        each(&groups, &integers(x), |list| list.iter().sum::<i128>() as f64 / list.len() as f64)
    };
    Ok(vec![from_floats(dtype, means, &groups.shape)?])
}

fn not_empty(call: &KernelCall<'_>, groups: &Groups) -> Result<()> {
    if groups.places.iter().any(Vec::is_empty) {
        return Err(fail(format!("`{}` of no elements does not exist", call.op)));
    }
    Ok(())
}

/// The place of the first element that no other is `better` than; a NaN is better than any number.
fn best<A: Copy + PartialOrd>(list: &[A], better: impl Fn(A, A) -> bool) -> usize {
    let is_nan = |x: A| x.partial_cmp(&x).is_none();
    let mut best = 0;
    for (i, &x) in list.iter().enumerate() {
        if !is_nan(list[best]) && (is_nan(x) || better(x, list[best])) {
            best = i;
        }
    }
    best
}

fn extreme(call: &KernelCall<'_>, better: fn(Number, Number) -> bool) -> Result<Vec<Tensor>> {
    let groups = attribute_groups(call)?;
    not_empty(call, &groups)?;
    let (x, dtype) = (call.operand(0)?, call.dtype()?);
    let list = numbers(x);
    let chosen = each(&groups, &list, |list| list[best(list, better)]);
    Ok(vec![if dtype.is_float() {
        from_floats(dtype, chosen.iter().map(|number| number.float()).collect(), &groups.shape)?
    } else {
        from_integers(dtype, chosen.iter().map(|number| number.integer()).collect(), &groups.shape)?
    }])
}

fn position(call: &KernelCall<'_>, better: fn(Number, Number) -> bool) -> Result<Vec<Tensor>> {
    let x = call.operand(0)?;
    let keep = call.attributes.get("keepdims") == Some(&Attribute::Bool(true));
    let groups = groups(x.shape(), &call.attributes.axes("axis", x.rank())?, keep)?;
    not_empty(call, &groups)?;
    let places = each(&groups, &numbers(x), |list| best(list, better) as i128);
    Ok(vec![from_integers(call.dtype()?, places, &groups.shape)?])
}

fn truth(call: &KernelCall<'_>, f: fn(&[i128]) -> bool) -> Result<Vec<Tensor>> {
    let groups = attribute_groups(call)?;
    let list = integers(&call.operand(0)?.cast(DType::Bool));
    Ok(vec![from_integers(call.dtype()?, each(&groups, &list, |list| i128::from(f(list))), &groups.shape)?])
}

/// The root of the sum of squares, of numbers scaled by the power of two that brings the largest near 1.
fn vector_norm(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let groups = attribute_groups(call)?;
    let norm = |list: &[f64]| {
        let largest = list.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let exponent = if largest > 0.0 && largest.is_finite() { largest.log2().floor().clamp(-1000.0, 1000.0) } else { 0.0 };
        let scale = (-exponent).exp2();
        sum(list.iter().map(|x| (x * scale) * (x * scale))).sqrt() / scale
    };
    let values = each(&groups, &floats(&call.as_result(0)?), norm);
    Ok(vec![from_floats(call.dtype()?, values, &groups.shape)?])
}

/// `max + log(sum(exp(x - max)))`; the logarithm of no elements' sum is -inf.
fn logsumexp(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let groups = attribute_groups(call)?;
    let values = each(&groups, &floats(&call.as_result(0)?), log_sum_exp);
    Ok(vec![from_floats(call.dtype()?, values, &groups.shape)?])
}

/// The logarithm of a sum of exponentials.
pub fn log_sum_exp(list: &[f64]) -> f64 {
    let best = best(list, |x, best| x > best);
    let Some(&max) = list.get(best) else { return f64::NEG_INFINITY };
    if max.is_infinite() || max.is_nan() {
        return max;
    }
    let others = list.iter().enumerate().filter(|&(at, _)| at != best);
    let rough = max + libm::log1p(sum(others.map(|(_, x)| libm::exp(x - max))));
    special::log_of_sum(list.iter().copied(), rough, max)
}

fn sum_to(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, dtype) = (call.as_result(0)?, call.dtype()?);
    let shape = crate::values::sizes(call.operand(1)?)?;
    count(&shape)?;
    let reaches = broadcast_shapes(&shape, x.shape()).is_ok_and(|common| common.as_slice() == x.shape());
    if !reaches {
        let message = format!("shape {shape:?} does not broadcast to {:?}, so nothing sums to it", x.shape());
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    let lead = x.rank() - shape.len();
    let axes: Vec<usize> =
        (0..x.rank()).filter(|&axis| axis < lead || (shape[axis - lead] == 1 && x.shape()[axis] != 1)).collect();
    let groups = groups(x.shape(), &axes, true)?;
    Ok(vec![if dtype.is_float() {
        from_floats(dtype, each(&groups, &floats(&x), |list| sum(list.iter().copied()) + 0.0), &shape)?
    } else {
        from_integers(dtype, each(&groups, &integers(&x), |list| list.iter().sum()), &shape)?
    }])
}

/// A float or an integer, for reductions that only compare.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    fn integer(self) -> i128 {
        match self {
            Number::Integer(value) => value,
            Number::Float(value) => value as i128,
        }
    }
}

fn numbers(x: &Tensor) -> Vec<Number> {
    if x.dtype().is_float() {
        floats(x).into_iter().map(Number::Float).collect()
    } else {
        integers(x).into_iter().map(Number::Integer).collect()
    }
}
