//! The value of an expression to far more digits than any dtype holds: a tree interpreter over
//! arbitrary-precision numbers, for the ops that rules use.

use std::cell::RefCell;

use astro_float::{BigFloat, Consts, Radix, RoundingMode, Sign};

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeKind};
use crate::ops::Attributes;
use crate::tensor::{Shape, Tensor, broadcast_shapes};

/// Bits of every intermediate result: enough to add the largest and the smallest number of an `f64`.
const BITS: usize = 1280;
const ROUND: RoundingMode = RoundingMode::ToEven;

/// A tensor of precise numbers.
#[derive(Clone, Debug)]
pub struct Precise {
    /// The shape.
    pub shape: Shape,
    /// The elements in row-major order.
    pub elements: Vec<BigFloat>,
}

thread_local! {
    static CONSTS: RefCell<Option<Consts>> = const { RefCell::new(None) };
}

fn consts<T>(f: impl FnOnce(&mut Consts) -> T) -> Result<T> {
    CONSTS.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Consts::new().ok();
        }
        slot.as_mut().map(f).ok_or_else(|| Error::new(ErrorKind::Internal, "no memory for constants"))
    })
}

/// A number as a precise one.
pub fn from_f64(value: f64) -> BigFloat {
    BigFloat::from_f64(value, BITS)
}

/// The nearest `f64`, and for `f32` the nearest of those.
pub fn to_f64(value: &BigFloat) -> f64 {
    if value.is_nan() {
        return f64::NAN;
    }
    if value.is_inf() {
        return if value.is_negative() { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let Some((words, _, sign, exponent, _)) = value.as_raw_parts() else { return f64::NAN };
    let (Some(&top), false) = (words.last(), value.is_zero()) else { return 0.0 };
    // The top word is normalized: the value is 0.top * 2^exponent. Sticky bits round it rightly.
    let sticky = u64::from(words[..words.len() - 1].iter().any(|&word| word != 0));
    let magnitude = (top | sticky) as f64;
    let exponent = i64::from(exponent) - 64;
    let scaled = if exponent > 1100 {
        f64::INFINITY
    } else if exponent < -1200 {
        0.0
    } else {
        // In two steps, so that only the last one can round.
        let half = (exponent / 2) as i32;
        magnitude * 2f64.powi(half) * 2f64.powi(exponent as i32 - half)
    };
    if sign == Sign::Neg { -scaled } else { scaled }
}

/// How far `found` is from `exact`, in units of the last place of the dtype with `digits` bits and
/// the smallest exponent `least`.
pub fn error_in_ulps(found: f64, exact: &BigFloat, digits: i32, least: i32, largest: f64) -> f64 {
    let near = to_f64(exact);
    if exact.is_nan() || found.is_nan() {
        return if exact.is_nan() && found.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if exact.is_inf() {
        return if found == near { 0.0 } else { f64::INFINITY };
    }
    let exponent = exact.exponent().map_or(least, |e| i32::max(e, least + digits));
    if found.is_infinite() {
        // Right where the exact value is beyond the largest number, or a unit below it.
        let beyond = near.abs() >= largest * (1.0 - 2f64.powi(2 - digits)) && near.is_sign_negative() == found.is_sign_negative();
        return if beyond { 0.0 } else { f64::INFINITY };
    }
    if near.abs() > largest {
        return if found.abs() == largest { 1.0 } else { f64::INFINITY };
    }
    let mut difference = from_f64(found).sub(exact, BITS, ROUND);
    difference.set_sign(Sign::Pos);
    let scale = i64::from(exponent) - i64::from(digits);
    match difference.exponent() {
        Some(own) if !difference.is_zero() => {
            difference.set_exponent((i64::from(own) - scale).clamp(-1_000_000, 1_000_000) as i32);
            to_f64(&difference)
        }
        _ => 0.0,
    }
}

/// The outputs of a graph for some arguments.
///
/// # Errors
/// If it applies an op that is not among those known here, or shapes do not fit.
pub fn evaluate(graph: &Graph, arguments: &[Tensor]) -> Result<Vec<Precise>> {
    let mut values: rustc_hash::FxHashMap<crate::graph::NodeId, Precise> = Default::default();
    for (&input, argument) in graph.inputs().iter().zip(arguments) {
        values.insert(input, from_tensor(argument));
    }
    for id in graph.topological_order() {
        let view = graph.node(id);
        let value = match view.kind {
            NodeKind::Constant(constant) => from_tensor(&constant.value),
            NodeKind::Apply(op, attributes) => {
                let operands: Vec<&Precise> =
                    view.operands.iter().filter_map(|operand| values.get(&operand.node)).collect();
                apply(op.name(), &operands, attributes)?
            }
            _ => continue,
        };
        values.insert(id, value);
    }
    let find = |value: &crate::graph::ValueId| values.get(&value.node).cloned().ok_or_else(|| unknown("state"));
    graph.outputs().iter().map(find).collect()
}

/// The same, every single result rounded to the dtype of its type: what a device with correctly
/// rounded ops would give.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_rounded(graph: &Graph, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut values: rustc_hash::FxHashMap<crate::graph::NodeId, Tensor> = Default::default();
    for (&input, argument) in graph.inputs().iter().zip(arguments) {
        values.insert(input, argument.clone());
    }
    for id in graph.topological_order() {
        let view = graph.node(id);
        let value = match view.kind {
            NodeKind::Constant(constant) => constant.value.clone(),
            NodeKind::Apply(op, attributes) => {
                let dtype = view.results[0].ty.dtype;
                let operands: Vec<Precise> = view
                    .operands
                    .iter()
                    .filter_map(|operand| {
                        let tensor = values.get(&operand.node)?;
                        // Weak numbers take the dtype of what they meet.
                        let cast = graph.ty(*operand).weak && dtype.is_float();
                        Some(if cast { from_tensor(&tensor.cast(dtype)) } else { from_tensor(tensor) })
                    })
                    .collect();
                let exact = apply(op.name(), &operands.iter().collect::<Vec<_>>(), attributes)?;
                let elements: Vec<f64> = exact.elements.iter().map(to_f64).collect();
                Tensor::from_vec(elements, &exact.shape)?.cast(dtype)
            }
            _ => continue,
        };
        values.insert(id, value);
    }
    let find = |value: &crate::graph::ValueId| values.get(&value.node).cloned().ok_or_else(|| unknown("state"));
    graph.outputs().iter().map(find).collect()
}

fn from_tensor(tensor: &Tensor) -> Precise {
    Precise { shape: tensor.shape().into(), elements: tensor.to_f64_vec().into_iter().map(from_f64).collect() }
}

fn unknown(op: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the rule harness does not know `{op}`"))
}

fn apply(op: &str, operands: &[&Precise], attributes: &Attributes) -> Result<Precise> {
    let Some(&first) = operands.first() else { return Err(unknown(op)) };
    let rank = first.shape.len();
    let reduced = |f: &dyn Fn(&[BigFloat]) -> Result<BigFloat>| -> Result<Precise> {
        let axes = attributes.axes("axis", rank)?;
        let keepdims = attributes.bool("keepdims").unwrap_or(false);
        reduce(first, &axes, keepdims, f)
    };
    match op {
        "sum" => reduced(&|values| Ok(values.iter().fold(from_f64(0.0), |a, b| a.add(b, BITS, ROUND)))),
        "prod" => reduced(&|values| Ok(values.iter().fold(from_f64(1.0), |a, b| a.mul(b, BITS, ROUND)))),
        "mean" => reduced(&|values| {
            let sum = values.iter().fold(from_f64(0.0), |a, b| a.add(b, BITS, ROUND));
            Ok(sum.div(&from_f64(values.len() as f64), BITS, ROUND))
        }),
        "max" => reduced(&|values| values.iter().try_fold(from_f64(f64::NEG_INFINITY), |a, b| element("maximum", &[&a, b]))),
        "min" => reduced(&|values| values.iter().try_fold(from_f64(f64::INFINITY), |a, b| element("minimum", &[&a, b]))),
        "logsumexp" => reduced(&|values| {
            let sum = values.iter().try_fold(from_f64(0.0), |a, b| Ok::<_, Error>(a.add(&element("exp", &[b])?, BITS, ROUND)))?;
            element("log", &[&sum])
        }),
        "softmax" | "log_softmax" => {
            let axis = attributes.axis("axis", rank)?;
            let exps = map(&[first], &|values| element("exp", values))?;
            let sums = reduce(&exps, &[axis], true, &|values| Ok(values.iter().fold(from_f64(0.0), |a, b| a.add(b, BITS, ROUND))))?;
            match op {
                "softmax" => map(&[&exps, &sums], &|values| element("div", values)),
                _ => {
                    let logs = map(&[&sums], &|values| element("log", values))?;
                    map(&[first, &logs], &|values| element("sub", values))
                }
            }
        }
        "transpose" => {
            let axes: Vec<usize> = match attributes.ints("axes")? {
                Some(axes) => axes.iter().map(|&axis| crate::ops::normalize_axis(axis, rank)).collect::<Result<_>>()?,
                None => (0..rank).rev().collect(),
            };
            let shape: Shape = axes.iter().map(|&axis| first.shape[axis]).collect();
            gathered(first, shape, |to| {
                let mut from = vec![0; rank];
                axes.iter().zip(to).for_each(|(&axis, &at)| from[axis] = at);
                from
            })
        }
        "flip" => {
            let axes = attributes.axes("axis", rank)?;
            gathered(first, first.shape.clone(), |to| {
                (0..rank).map(|axis| if axes.contains(&axis) { first.shape[axis] - 1 - to[axis] } else { to[axis] }).collect()
            })
        }
        _ => map(operands, &|values| element(op, values)),
    }
}

fn gathered(source: &Precise, shape: Shape, from: impl Fn(&[usize]) -> Vec<usize>) -> Result<Precise> {
    let count: usize = shape.iter().product();
    let elements = (0..count).map(|flat| source.elements[flatten(&from(&unflatten(flat, &shape)), &source.shape)].clone());
    Ok(Precise { elements: elements.collect(), shape })
}

fn unflatten(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        index[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
    index
}

fn flatten(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (&at, &length)| flat * length + at)
}

fn map(operands: &[&Precise], f: &dyn Fn(&[&BigFloat]) -> Result<BigFloat>) -> Result<Precise> {
    let shape = operands.iter().try_fold(Shape::new(), |shape, operand| broadcast_shapes(&shape, &operand.shape))?;
    let count: usize = shape.iter().product();
    let mut elements = Vec::with_capacity(count);
    for flat in 0..count {
        let index = unflatten(flat, &shape);
        let values: Vec<&BigFloat> = operands
            .iter()
            .map(|operand| {
                let own = &index[shape.len() - operand.shape.len()..];
                let own: Vec<usize> = own.iter().zip(&operand.shape).map(|(&at, &n)| if n == 1 { 0 } else { at }).collect();
                &operand.elements[flatten(&own, &operand.shape)]
            })
            .collect();
        elements.push(f(&values)?);
    }
    Ok(Precise { shape, elements })
}

fn reduce(
    operand: &Precise, axes: &[usize], keepdims: bool, f: &dyn Fn(&[BigFloat]) -> Result<BigFloat>,
) -> Result<Precise> {
    let kept: Shape = operand.shape.iter().enumerate().map(|(axis, &n)| if axes.contains(&axis) { 1 } else { n }).collect();
    let mut groups: Vec<Vec<BigFloat>> = vec![Vec::new(); kept.iter().product()];
    for (flat, value) in operand.elements.iter().enumerate() {
        let mut index = unflatten(flat, &operand.shape);
        axes.iter().for_each(|&axis| index[axis] = 0);
        groups[flatten(&index, &kept)].push(value.clone());
    }
    let elements = groups.iter().map(|group| f(group)).collect::<Result<_>>()?;
    let shape = match keepdims {
        true => kept,
        false => operand.shape.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &n)| n).collect(),
    };
    Ok(Precise { shape, elements })
}

fn element(op: &str, x: &[&BigFloat]) -> Result<BigFloat> {
    let Some(&a) = x.first() else { return Err(unknown(op)) };
    let b = x.get(1).copied().unwrap_or(a);
    let (p, r) = (BITS, ROUND);
    let one = || from_f64(1.0);
    let truth = |value: bool| from_f64(f64::from(u8::from(value)));
    let order = || a.cmp(b);
    Ok(match op {
        "add" => a.add(b, p, r),
        "sub" => a.sub(b, p, r),
        "mul" => a.mul(b, p, r),
        "div" => a.div(b, p, r),
        "neg" => a.neg(),
        "abs" => a.abs(),
        "square" => a.mul(a, p, r),
        "reciprocal" => one().div(a, p, r),
        "sqrt" => a.sqrt(p, r),
        "exp" => consts(|c| a.exp(p, r, c))?,
        "exp2" => consts(|c| from_f64(2.0).pow(a, p, r, c))?,
        "expm1" => element("exp", &[a])?.sub(&one(), p, r),
        "log" if a.is_zero() => from_f64(f64::NEG_INFINITY),
        "log" => consts(|c| a.ln(p, r, c))?,
        "log2" if a.is_zero() => from_f64(f64::NEG_INFINITY),
        "log2" => consts(|c| a.log2(p, r, c))?,
        "log1p" => element("log", &[&a.add(&one(), p, r)])?,
        "sin" => consts(|c| a.sin(p, r, c))?,
        "cos" => consts(|c| a.cos(p, r, c))?,
        "sinh" => consts(|c| a.sinh(p, r, c))?,
        "cosh" => consts(|c| a.cosh(p, r, c))?,
        "tanh" => consts(|c| a.tanh(p, r, c))?,
        "sigmoid" => one().div(&element("exp", &[&a.neg()])?.add(&one(), p, r), p, r),
        "silu" => a.mul(&element("sigmoid", &[a])?, p, r),
        "softplus" if a.is_inf() => element("relu", &[a])?,
        "softplus" => element("log1p", &[&element("exp", &[a])?])?,
        "log_sigmoid" => element("softplus", &[&a.neg()])?.neg(),
        "log1mexp" => element("log", &[&one().sub(&element("exp", &[a])?, p, r)])?,
        "logaddexp" => element("log", &[&element("exp", &[a])?.add(&element("exp", &[b])?, p, r)])?,
        "hypot" => a.mul(a, p, r).add(&b.mul(b, p, r), p, r).sqrt(p, r),
        "relu" if a.is_nan() || !a.is_negative() => a.clone(),
        "relu" => from_f64(0.0),
        "pow" if b.is_zero() => one(),
        "pow" => consts(|c| a.pow(b, p, r, c))?,
        "maximum" | "minimum" => match order() {
            None => from_f64(f64::NAN),
            Some(sign) if (sign > 0) == (op == "maximum") => a.clone(),
            Some(_) => b.clone(),
        },
        "where" => {
            let [condition, yes, no] = x else { return Err(unknown(op)) };
            if condition.is_zero() { (*no).clone() } else { (*yes).clone() }
        }
        "eq" => truth(order() == Some(0)),
        "ne" => truth(order() != Some(0)),
        "lt" => truth(order().is_some_and(|sign| sign < 0)),
        "le" => truth(order().is_some_and(|sign| sign <= 0)),
        "gt" => truth(order().is_some_and(|sign| sign > 0)),
        "ge" => truth(order().is_some_and(|sign| sign >= 0)),
        "isnan" => truth(a.is_nan()),
        "isinf" => truth(a.is_inf()),
        "logical_not" => truth(a.is_zero()),
        "logical_or" | "bitwise_or" => truth(!a.is_zero() || !b.is_zero()),
        "logical_and" | "bitwise_and" => truth(!a.is_zero() && !b.is_zero()),
        "ones_like" => one(),
        "zeros_like" => from_f64(0.0),
        "cast" | "stop_gradient" => a.clone(),
        "floor" if a.is_inf() || a.is_nan() => a.clone(),
        "floor" => a.floor(),
        "ceil" if a.is_inf() || a.is_nan() => a.clone(),
        "ceil" => a.ceil(),
        "trunc" if a.is_inf() || a.is_nan() => a.clone(),
        "trunc" => a.int(),
        "erf" => erf(a)?,
        "erfc" => erfc(a)?,
        _ => return Err(unknown(op)),
    })
}

/// Where the asymptotic series of erfc is exact to all the digits that matter.
const FAR: f64 = 28.0;

/// `erf(x) = 2/sqrt(pi) exp(-x²) Σ 2^n x^(2n+1) / (2n+1)!!`, whose terms all have one sign.
fn erf(x: &BigFloat) -> Result<BigFloat> {
    let (p, r) = (BITS, ROUND);
    let near = to_f64(x);
    if near.is_nan() || x.is_zero() {
        return Ok(x.clone());
    }
    if near.abs() > FAR {
        return Ok(from_f64(near.signum()));
    }
    let square = x.mul(x, p, r);
    let twice = square.mul(&from_f64(2.0), p, r);
    let (mut term, mut sum) = (x.clone(), x.clone());
    for n in 1..20_000 {
        term = term.mul(&twice, p, r).div(&from_f64(f64::from(2 * n + 1)), p, r);
        sum = sum.add(&term, p, r);
        let small = match (term.exponent(), sum.exponent()) {
            (Some(term), Some(sum)) => i64::from(term) < i64::from(sum) - BITS as i64,
            _ => true,
        };
        if small || term.is_zero() {
            break;
        }
    }
    let pi = consts(|c| c.pi(p, r))?;
    let scale = element("exp", &[&square.neg()])?.mul(&from_f64(2.0), p, r).div(&pi.sqrt(p, r), p, r);
    Ok(sum.mul(&scale, p, r))
}

fn erfc(x: &BigFloat) -> Result<BigFloat> {
    let (p, r) = (BITS, ROUND);
    if to_f64(x) <= FAR || x.is_nan() {
        return Ok(from_f64(1.0).sub(&erf(x)?, p, r));
    }
    if x.is_inf() {
        return Ok(from_f64(0.0));
    }
    let square = x.mul(x, p, r);
    let twice = square.mul(&from_f64(2.0), p, r);
    let (mut term, mut sum) = (from_f64(1.0), from_f64(1.0));
    for n in 1..30 {
        term = term.mul(&from_f64(-f64::from(2 * n - 1)), p, r).div(&twice, p, r);
        sum = sum.add(&term, p, r);
    }
    let pi = consts(|c| c.pi(p, r))?;
    Ok(element("exp", &[&square.neg()])?.mul(&sum, p, r).div(&x.mul(&pi.sqrt(p, r), p, r), p, r))
}

/// A precise number for people.
pub fn show(value: &BigFloat) -> String {
    let mut short = value.clone();
    if short.set_precision(64, ROUND).is_err() {
        return "?".to_owned();
    }
    consts(|c| short.format(Radix::Dec, ROUND, c).unwrap_or_default()).unwrap_or_default()
}
