//! The exact value of an element of an expression, for the ops that rules use: evaluated between bounds
//! with as many bits as it takes to know it well within a unit of the last place.

use astro_float::{BigFloat, Radix, RoundingMode, Sign};
use rustc_hash::FxHashMap;

use super::interval::{self, Bits, Interval};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, NodeKind, ValueId};
use crate::ops::Attributes;
use crate::tensor::{DType, Shape, Tensor};

/// Bits to try with, one after the other. The last are enough to square the smallest `f64` and add 1.
const BITS: [usize; 3] = [192, 640, 2624];
const ROUND: RoundingMode = RoundingMode::ToEven;

/// What is known of a value.
#[derive(Clone, Debug)]
pub enum Exact {
    /// The value, NaN or infinite perhaps, to well within a unit of the last place.
    Known(BigFloat),
    /// More bits than are tried would be needed, or exponents beyond those of precise numbers.
    Undecided,
}

/// A floating-point format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    digits: i32,
    least: i32,
    largest: f64,
}

impl Format {
    /// That of a dtype; integers and bools count as `f64`.
    pub fn of(dtype: DType) -> Format {
        match dtype {
            DType::F16 => Format { digits: 11, least: -24, largest: 65504.0 },
            DType::BF16 => Format { digits: 8, least: -133, largest: 3.389_531_389_251_535_5e38 },
            DType::F32 => Format { digits: 24, least: -149, largest: f64::from(f32::MAX) },
            _ => Format { digits: 53, least: -1074, largest: f64::MAX },
        }
    }

    /// So many units in the last place that half of the digits still are right.
    pub fn half_of_digits(self) -> f64 {
        2f64.powi(self.digits / 2)
    }

    /// The exponent of a unit of the last place of a number.
    fn unit(self, value: &BigFloat) -> i64 {
        let exponent = value.exponent().filter(|_| !value.is_zero());
        i64::from(exponent.map_or(self.least, |e| i32::max(e.saturating_sub(self.digits), self.least)))
    }

    /// Whether a value is larger than all numbers.
    pub fn is_beyond(self, value: &BigFloat) -> bool {
        to_f64(value).abs() > self.largest
    }

    /// How far `found` is from `exact`, in units of the last place.
    pub fn error(self, found: f64, exact: &BigFloat) -> f64 {
        let near = to_f64(exact);
        if exact.is_nan() || found.is_nan() {
            return if exact.is_nan() && found.is_nan() { 0.0 } else { f64::INFINITY };
        }
        if exact.is_inf() {
            return if found == near { 0.0 } else { f64::INFINITY };
        }
        if found.is_infinite() {
            // Right where the exact value is beyond the largest number, or a unit below it.
            let bound = self.largest * (1.0 - 2f64.powi(2 - self.digits));
            let beyond = near.abs() >= bound && near.is_sign_negative() == found.is_sign_negative();
            return if beyond { 0.0 } else { f64::INFINITY };
        }
        if near.abs() > self.largest {
            return if found.abs() == self.largest { 1.0 } else { f64::INFINITY };
        }
        in_units(&Bits(BITS[2]).number(found).sub(exact, BITS[2], ROUND), self.unit(exact))
    }

    /// The value, if the bounds are near enough to one another.
    fn decide(self, interval: Interval) -> Option<BigFloat> {
        let (lo, hi) = match interval {
            Interval::Nan => return Some(BigFloat::nan(None)),
            Interval::Unknown => return None,
            Interval::Range(lo, hi) => (lo, hi),
        };
        if lo.cmp(&hi) == Some(0) {
            return Some(lo);
        }
        let beyond = |bound: &BigFloat| to_f64(bound).abs() > self.largest;
        if beyond(&lo) && beyond(&hi) && lo.sign() == hi.sign() {
            // Finite, but beyond the dtype.
            return Some(if lo.is_inf() { hi } else { lo });
        }
        if lo.is_inf() || hi.is_inf() {
            return None;
        }
        let width = in_units(&hi.sub(&lo, 128, ROUND), i64::min(self.unit(&lo), self.unit(&hi)));
        (width < 1.0 / 64.0).then_some(lo)
    }
}

/// The size of a number in units of a power of two.
fn in_units(number: &BigFloat, unit: i64) -> f64 {
    let mut number = number.clone();
    number.set_sign(Sign::Pos);
    match number.exponent() {
        Some(own) if !number.is_zero() => {
            number.set_exponent((i64::from(own) - unit).clamp(-1_000_000, 1_000_000) as i32);
            to_f64(&number)
        }
        _ => 0.0,
    }
}

/// The nearest `f64`.
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

/// A precise number for people.
pub fn show(value: &BigFloat) -> String {
    let near = to_f64(value);
    if near.is_finite() && (near == 0.0) == value.is_zero() {
        return format!("{near:e}");
    }
    let mut short = value.clone();
    let mut text = String::new();
    if short.set_precision(64, ROUND).is_ok() {
        interval::consts(|c| {
            text = short.format(Radix::Dec, ROUND, c).unwrap_or_default();
            short.clone()
        });
    }
    if text.is_empty() { near.to_string() } else { text }
}

/// The exact values of a graph's first output, element by element.
pub struct Oracle<'a> {
    evaluations: [Evaluation<'a>; BITS.len()],
    output: ValueId,
    format: Format,
}

impl<'a> Oracle<'a> {
    /// That of a graph for some arguments.
    ///
    /// # Errors
    /// If the graph has no output.
    pub fn new(graph: &'a Graph, arguments: &'a [Tensor]) -> Result<Oracle<'a>> {
        let Some(&output) = graph.outputs().first() else { return Err(unknown("a graph without outputs")) };
        let values: Vec<Vec<f64>> = arguments.iter().map(Tensor::to_f64_vec).collect();
        let evaluations =
            BITS.map(|bits| Evaluation { graph, arguments: values.clone(), bits: Bits(bits), done: FxHashMap::default() });
        Ok(Oracle { evaluations, output, format: Format::of(graph.ty(output).dtype) })
    }

    /// The element at this place in row-major order.
    ///
    /// # Errors
    /// If the graph applies an op that is not among those known here, or a shape is not known.
    pub fn exact(&mut self, flat: usize) -> Result<Exact> {
        for evaluation in &mut self.evaluations {
            if let Some(value) = self.format.decide(evaluation.at(self.output, flat)?) {
                return Ok(Exact::Known(value));
            }
        }
        Ok(Exact::Undecided)
    }
}

/// An element at a time, and no element that nobody asks for.
struct Evaluation<'a> {
    graph: &'a Graph,
    arguments: Vec<Vec<f64>>,
    bits: Bits,
    /// By node and element; the logarithms of a softmax's sums by the first element of their group, as
    /// a negative number less one.
    done: FxHashMap<(NodeId, i64), Interval>,
}

impl Evaluation<'_> {
    /// Recursion is as deep as the rule's expression.
    fn at(&mut self, value: ValueId, flat: usize) -> Result<Interval> {
        if let Some(known) = self.done.get(&(value.node, flat as i64)) {
            return Ok(known.clone());
        }
        let view = self.graph.node(value.node);
        let element = |values: &[f64]| values.get(flat).copied().ok_or_else(|| unknown("an index"));
        let found = match view.kind {
            NodeKind::Constant(constant) => self.bits.exactly(element(&constant.value.to_f64_vec())?),
            NodeKind::Apply(op, attributes) => self.apply(op.name(), view.operands, attributes, value, flat)?,
            _ => {
                let at = self.graph.inputs().iter().position(|&input| input == value.node);
                let argument = at.and_then(|at| self.arguments.get(at)).ok_or_else(|| unknown("a state"))?;
                self.bits.exactly(element(argument)?)
            }
        };
        self.done.insert((value.node, flat as i64), found.clone());
        Ok(found)
    }

    fn shape(&self, value: ValueId) -> Result<Shape> {
        self.graph.ty(value).known_shape().ok_or_else(|| unknown("a shape that depends on values"))
    }

    fn apply(
        &mut self, op: &str, operands: &[ValueId], attributes: &Attributes, value: ValueId, flat: usize,
    ) -> Result<Interval> {
        let Some(&first) = operands.first() else { return Err(unknown(op)) };
        let (shape, source) = (self.shape(value)?, self.shape(first)?);
        let rank = source.len();
        let bits = self.bits;
        match op {
            "sum" | "prod" | "mean" | "max" | "min" | "logsumexp" => {
                let axes = attributes.axes("axis", rank)?;
                let keepdims = attributes.bool("keepdims").unwrap_or(false);
                let group = group(&source, &axes, &index_in_source(flat, &shape, rank, &axes, keepdims));
                let items = group.into_iter().map(|at| self.at(first, at)).collect::<Result<Vec<_>>>()?;
                Ok(reduce(bits, op, &items))
            }
            "argmax" | "argmin" => {
                let axes = attributes.axes("axis", rank)?;
                let keepdims = attributes.bool("keepdims").unwrap_or(false);
                let group = group(&source, &axes, &index_in_source(flat, &shape, rank, &axes, keepdims));
                let items = group.into_iter().map(|at| self.at(first, at)).collect::<Result<Vec<_>>>()?;
                Ok(place_of_extreme(bits, op == "argmax", &items))
            }
            "softmax" | "log_softmax" => {
                let axis = attributes.axis("axis", rank)?;
                let index = unflatten(flat, &shape);
                let group = group(&source, &[axis], &index);
                let key = (value.node, -1 - group.first().copied().unwrap_or(0) as i64);
                let sum = match self.done.get(&key) {
                    Some(known) => known.clone(),
                    None => {
                        let items = group.into_iter().map(|at| self.at(first, at)).collect::<Result<Vec<_>>>()?;
                        reduce(bits, "logsumexp", &items)
                    }
                };
                self.done.insert(key, sum.clone());
                let log = bits.sub(&self.at(first, flat)?, &sum);
                Ok(if op == "softmax" { bits.exp(&log) } else { log })
            }
            "transpose" => {
                let axes: Vec<usize> = match attributes.ints("axes")? {
                    Some(axes) => {
                        axes.iter().map(|&axis| crate::ops::normalize_axis(axis, rank)).collect::<Result<_>>()?
                    }
                    None => (0..rank).rev().collect(),
                };
                let mut from = vec![0; rank];
                axes.iter().zip(unflatten(flat, &shape)).for_each(|(&axis, at)| from[axis] = at);
                self.at(first, flatten(&from, &source))
            }
            "flip" => {
                let axes = attributes.axes("axis", rank)?;
                let mut index = unflatten(flat, &shape);
                axes.iter().for_each(|&axis| index[axis] = source[axis] - 1 - index[axis]);
                self.at(first, flatten(&index, &source))
            }
            _ => {
                let index = unflatten(flat, &shape);
                let mut values = Vec::with_capacity(operands.len());
                for &operand in operands {
                    let own = self.shape(operand)?;
                    let start = index.len().checked_sub(own.len()).ok_or_else(|| unknown(op))?;
                    let place: Vec<usize> =
                        index[start..].iter().zip(&own).map(|(&at, &n)| if n == 1 { 0 } else { at }).collect();
                    values.push(self.at(operand, flatten(&place, &own))?);
                }
                let dtype = self.graph.ty(value).dtype;
                element(bits, op, dtype, &values.iter().collect::<Vec<_>>())
            }
        }
    }
}

fn unknown(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the rule harness does not know `{what}`"))
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

/// The index of a reduction's result, with 0 for the axes that are gone.
fn index_in_source(flat: usize, shape: &[usize], rank: usize, axes: &[usize], keepdims: bool) -> Vec<usize> {
    let index = unflatten(flat, shape);
    if keepdims {
        return index;
    }
    let mut rest = index.into_iter();
    (0..rank).map(|axis| if axes.contains(&axis) { 0 } else { rest.next().unwrap_or(0) }).collect()
}

/// The places in the operand that differ from `index` in `axes` alone.
fn group(shape: &[usize], axes: &[usize], index: &[usize]) -> Vec<usize> {
    let mut places = vec![index.to_vec()];
    for &axis in axes {
        places = places
            .into_iter()
            .flat_map(|place| {
                (0..shape[axis]).map(move |at| {
                    let mut place = place.clone();
                    place[axis] = at;
                    place
                })
            })
            .collect();
    }
    places.iter().map(|place| flatten(place, shape)).collect()
}

fn reduce(bits: Bits, op: &str, items: &[Interval]) -> Interval {
    let fold = |start: f64, f: &dyn Fn(&Interval, &Interval) -> Interval| {
        items.iter().fold(bits.exactly(start), |so_far, item| f(&so_far, item))
    };
    let largest = || fold(f64::NEG_INFINITY, &|a, b| bits.extreme(a, b, true));
    match op {
        "sum" => fold(0.0, &|a, b| bits.add(a, b)),
        "prod" => fold(1.0, &|a, b| bits.mul(a, b)),
        "mean" => bits.div(&fold(0.0, &|a, b| bits.add(a, b)), &bits.exactly(items.len() as f64)),
        "max" => largest(),
        "min" => fold(f64::INFINITY, &|a, b| bits.extreme(a, b, false)),
        _ => {
            let most = match largest() {
                Interval::Range(lo, hi) if lo.is_inf() || hi.is_inf() => {
                    return if lo.cmp(&hi) == Some(0) { Interval::Range(lo, hi) } else { Interval::Unknown };
                }
                Interval::Range(_, hi) => Interval::Range(hi.clone(), hi),
                other => return other,
            };
            let sum = items
                .iter()
                .fold(bits.exactly(0.0), |sum, item| bits.add(&sum, &bits.exp(&bits.sub(item, &most))));
            bits.add(&most, &bits.log(&sum))
        }
    }
}

/// The place of the first NaN, or else of the first of the largest or smallest.
fn place_of_extreme(bits: Bits, largest: bool, items: &[Interval]) -> Interval {
    let (mut bounds, mut best) = (Vec::new(), 0);
    for (at, item) in items.iter().enumerate() {
        match if largest { item.clone() } else { bits.neg(item) } {
            Interval::Nan => return bits.exactly(at as f64),
            Interval::Unknown => return Interval::Unknown,
            Interval::Range(lo, hi) => bounds.push((lo, hi)),
        }
    }
    let order = |a: &BigFloat, b: &BigFloat| a.cmp(b).unwrap_or_default();
    for at in 0..bounds.len() {
        if order(&bounds[best].0, &bounds[at].0) < 0 {
            best = at;
        }
    }
    // Certain only if no other can be as large; of equal numbers the first was taken.
    let certain = |(at, (lo, hi)): (usize, &(BigFloat, BigFloat))| {
        let equal = order(lo, hi) == 0 && order(&bounds[best].0, &bounds[best].1) == 0 && order(hi, &bounds[best].0) == 0;
        at == best || order(hi, &bounds[best].0) < 0 || equal
    };
    let decided = bounds.iter().enumerate().all(certain);
    if decided && !bounds.is_empty() { bits.exactly(best as f64) } else { Interval::Unknown }
}

fn element(bits: Bits, op: &str, dtype: DType, x: &[&Interval]) -> Result<Interval> {
    let Some(&a) = x.first() else { return Err(unknown(op)) };
    let b = x.get(1).copied().unwrap_or(a);
    let (zero, one) = (bits.exactly(0.0), bits.exactly(1.0));
    let log_of_2 = || bits.log(&bits.exactly(2.0));
    let either = |a: &Interval, b: &Interval| bits.extreme(&bits.nonzero(a), &bits.nonzero(b), true);
    let both = |a: &Interval, b: &Interval| bits.extreme(&bits.nonzero(a), &bits.nonzero(b), false);
    Ok(match op {
        "add" => bits.add(a, b),
        "sub" => bits.sub(a, b),
        "mul" => bits.mul(a, b),
        "div" => bits.div(a, b),
        "neg" => bits.neg(a),
        "abs" => bits.abs(a),
        "square" => bits.square(a),
        "reciprocal" => bits.div(&one, a),
        "sqrt" => bits.sqrt(a),
        "exp" => bits.exp(a),
        "exp2" => bits.exp(&bits.mul(a, &log_of_2())),
        "expm1" => bits.expm1(a),
        "log" => bits.log(a),
        "log2" => bits.div(&bits.log(a), &log_of_2()),
        "log10" => bits.div(&bits.log(a), &bits.log(&bits.exactly(10.0))),
        "log1p" => bits.log1p(a),
        "sin" => bits.sin(a),
        "cos" => bits.cos(a),
        "sinh" => bits.sinh(a),
        "cosh" => bits.cosh(a),
        "tanh" => bits.tanh(a),
        "sigmoid" => bits.sigmoid(a),
        "logit" => bits.log(&bits.div(a, &bits.sub(&one, a))),
        "silu" => bits.mul(a, &bits.sigmoid(a)),
        "softplus" => bits.softplus(a),
        "log_sigmoid" => bits.neg(&bits.softplus(&bits.neg(a))),
        "log1mexp" => bits.log1mexp(a),
        "logaddexp" => bits.logaddexp(a, b),
        "logsubexp" => bits.logsubexp(a, b),
        "hypot" => bits.sqrt(&bits.add(&bits.square(a), &bits.square(b))),
        "relu" => bits.extreme(a, &zero, true),
        "pow" => bits.pow(a, b),
        "maximum" => bits.extreme(a, b, true),
        "minimum" => bits.extreme(a, b, false),
        "where" => {
            let [condition, yes, no] = x else { return Err(unknown(op)) };
            bits.choose(condition, yes, no)
        }
        "eq" => bits.compare(a, b, false, |order| order == 0),
        "ne" => bits.compare(a, b, true, |order| order != 0),
        "lt" => bits.compare(a, b, false, |order| order < 0),
        "le" => bits.compare(a, b, false, |order| order <= 0),
        "gt" => bits.compare(a, b, false, |order| order > 0),
        "ge" => bits.compare(a, b, false, |order| order >= 0),
        "isnan" => bits.is_nan(a),
        "isinf" => bits.is_inf(a),
        "logical_not" => bits.sub(&one, &bits.nonzero(a)),
        "logical_or" => either(a, b),
        "logical_and" => both(a, b),
        "bitwise_or" if dtype == DType::Bool => either(a, b),
        "bitwise_and" if dtype == DType::Bool => both(a, b),
        "ones_like" => one,
        "zeros_like" => zero,
        "cast" if dtype == DType::Bool => bits.nonzero(a),
        "cast" if dtype.is_float() => a.clone(),
        "cast" => bits.round(a, "trunc"),
        "stop_gradient" => a.clone(),
        "floor" | "ceil" | "trunc" | "rint" => bits.round(a, op),
        "erf" => bits.erf(a),
        "erfc" => bits.erfc(a),
        "kv" => bits.kv(a, b),
        "iv" => bits.iv(a, b),
        "log_kv" => bits.log(&bits.kv(a, b)),
        "log_iv" => bits.log(&bits.iv(a, b)),
        _ => return Err(unknown(op)),
    })
}
