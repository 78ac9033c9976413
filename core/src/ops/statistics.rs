//! Statistics, given by reductions, sorting and arithmetic.

use super::composed::{
    Arguments, Composed, Settle, between_axes, constant, length, type_error, vector,
};
use super::shape::concatenate;
use super::{Attribute, AttributeKind, Attributes, Param, ParamKind, Registry, default_float, normalize_axis, where_};
use crate::error::Result;
use crate::graph::Var;
use crate::tensor::{DType, Dim};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let attribute = Param::attribute;
    let optional = |name, doc| Param { name, kind: ParamKind::OptionalOperand, doc };
    let x = || Param::operand("x", "the operand");
    let axis = || attribute("axis", AttributeKind::Axes, Some(Attribute::None), "the axis or axes; all of them if none");
    let keep = || attribute("keepdims", AttributeKind::Bool, Some(false.into()), "keep reduced axes with length 1");
    let ddof = || attribute("ddof", AttributeKind::Float, Some(Attribute::Float(0.0)), "what the number of elements is lessened by before it divides");
    let dtype = || attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype to compute in");
    let moments = || vec![x(), axis(), dtype(), ddof(), keep()];
    let plain = || vec![x(), axis(), keep()];
    let mut add = |name, settle, params, doc, build| registry.add(Composed { name, params, doc, settle, build });
    let (float, as_is) = (Settle::ToFloat(1), Settle::Nothing);

    add("var", float, moments(),
        "The variance, in two passes: the mean of `square(x - mean(x))`, with `n - ddof` for n. NaN of nothing.\n\n    var(x, axis=0, ddof=1)", |a| Ok(vec![variance(a, a.operand(0)?)?]));
    add("std", float, moments(), "The standard deviation `sqrt(var(x))`.\n\n    std(x, ddof=1)", |a| Ok(vec![variance(a, a.operand(0)?)?.sqrt()]));
    add("ptp", as_is, plain(), "The largest element less the smallest.\n\n    ptp(x, axis=1)", |a| {
        Ok(vec![a.reduced("max", a.operand(0)?)? - a.reduced("min", a.operand(0)?)?])
    });
    add("average", Settle::ToFloat(2), vec![x(), axis(), optional("weights", "of the shape of x, or one for each place of one axis; all alike if left out"), keep()],
        "The mean with weights, `sum(x * weights) / sum(weights)`.\n\n    average(x, axis=0, weights=w)", average);
    add("median", float, plain(), "The middle element in ascending order, of an even number the mean of both; NaN where there is one.\n\n    median(x, axis=0)", |a| Ok(vec![median(a)?]));
    let method = || attribute("method", AttributeKind::Str, Some(Attribute::Str("linear".into())), "how to choose where the place is between two elements");
    let fraction = |doc| Param::operand("q", doc);
    add("quantile", Settle::ToFloat(2), vec![x(), fraction("from 0 to 1; the axes of an array of them come first in the result"), axis(), method(), keep()],
        "The value below which the part `q` of the elements lies. The place among `n` ascending elements is \
         `q * (n - 1)`; between two of them the method \"linear\" takes the point on the line, \"lower\", \"higher\", \
         \"nearest\" (halves to even) and \"midpoint\" what they say; \"hazen\", \"weibull\", \"median_unbiased\", \
         \"normal_unbiased\" and \"interpolated_inverted_cdf\" are those of Hyndman and Fan (The American Statistician \
         50, 1996). NaN where there is one.\n\n    quantile(x, [0.25, 0.75], axis=0)", |a| Ok(vec![quantile(a, 1.0)?]));
    add("percentile", Settle::ToFloat(2), vec![x(), fraction("from 0 to 100; the axes of an array of them come first in the result"), axis(), method(), keep()],
        "`quantile(x, q / 100)`.\n\n    percentile(x, 95)", |a| Ok(vec![quantile(a, 100.0)?]));
    add("nansum", as_is, plain(), "The sum of the elements that are not NaN.", |a| Ok(vec![a.reduced("sum", &instead_of_nan(a.operand(0)?, 0.0)?)?]));
    add("nanprod", as_is, plain(), "The product of the elements that are not NaN.", |a| Ok(vec![a.reduced("prod", &instead_of_nan(a.operand(0)?, 1.0)?)?]));
    add("nanmax", as_is, plain(), "The largest element that is not NaN; NaN where all are.", |a| nan_extreme(a, "max", f64::NEG_INFINITY));
    add("nanmin", as_is, plain(), "The smallest element that is not NaN; NaN where all are.", |a| nan_extreme(a, "min", f64::INFINITY));
    add("nanmean", float, plain(), "The mean of the elements that are not NaN.", |a| {
        let x = a.operand(0)?;
        let sum = a.reduced("sum", &instead_of_nan(&as_float(x)?, 0.0)?)?;
        let dtype = sum.ty()?.dtype;
        Ok(vec![sum / numbers(a, x)?.cast(dtype)])
    });
    add("nanmedian", float, plain(), "The middle of the elements that are not NaN; NaN where all are.\n\n    nanmedian(x, axis=0)", |a| Ok(vec![nan_median(a)?]));
    add("nanvar", float, vec![x(), axis(), ddof(), keep()], "The variance of the elements that are not NaN.\n\n    nanvar(x, ddof=1)", |a| Ok(vec![nan_variance(a)?]));
    add("nanstd", float, vec![x(), axis(), ddof(), keep()], "The standard deviation of the elements that are not NaN.", |a| Ok(vec![nan_variance(a)?.sqrt()]));
    let flag = |name, default: bool, doc| attribute(name, AttributeKind::Bool, Some(default.into()), doc);
    let rowvar = || flag("rowvar", true, "whether each row is a variable and each column an observation, or the other way round");
    let pair = || vec![Param::operand("m", "variables and observations; a vector is one variable"), optional("y", "more variables")];
    add("cov", Settle::ToFloat(2), [pair(), vec![rowvar(), flag("bias", false, "divide by n, not by n - 1"), attribute("ddof", AttributeKind::Float, Some(Attribute::None), "divide by n - ddof, whatever `bias` is")]].concat(),
        "The covariances of variables: `d @ transpose(d) / (n - 1)`, d their distances from their means; of one \
         variable a scalar.\n\n    cov(x, y)", |a| Ok(vec![covariance(a)?]));
    add("corrcoef", Settle::ToFloat(2), [pair(), vec![rowvar()]].concat(),
        "The correlations of variables: their covariances, divided by the standard deviations of both, kept within -1 \
         and 1.\n\n    corrcoef(x, y)", |a| Ok(vec![correlation(a)?]));
    add("diff", as_is,
        vec![x(), attribute("n", AttributeKind::Int, Some(Attribute::Int(1)), "how often"),
            attribute("axis", AttributeKind::Int, Some(Attribute::Int(-1)), "the axis"),
            optional("prepend", "what comes before x: a scalar, or of the shape of x but for the axis"),
            optional("append", "what comes behind x")],
        "The differences of neighbours along an axis, `n` times over; of bools whether they differ.\n\n    diff([1, 4, 9])  # 3 5", diff);
    add("max_and_argmax", as_is, plain(), "The largest element and its place, as `max` and `argmax`.\n\n    values, places = max_and_argmax(x, axis=1)", |a| {
        Ok(vec![a.reduced("max", a.operand(0)?)?, a.reduced("argmax", a.operand(0)?)?])
    });
}

impl Arguments<'_> {
    /// A reduction with the axes and `keepdims` of this op.
    fn reduced(&self, op: &str, x: &Var) -> Result<Var> {
        self.reduced_keeping(op, x, self.attributes.bool("keepdims")?)
    }

    fn reduced_keeping(&self, op: &str, x: &Var, keep: bool) -> Result<Var> {
        let axis = self.attributes.get("axis").cloned().unwrap_or(Attribute::None);
        let attributes = Attributes::new().with("axis", axis).with("keepdims", keep);
        Ok(Var::apply(op, std::slice::from_ref(x), attributes))
    }

    /// How many elements are reduced to one, as an i64 scalar.
    fn count(&self, x: &Var) -> Result<Var> {
        let axes = self.attributes.axes("axis", x.ty()?.rank())?;
        let lengths: Vec<Var> = axes.iter().map(|&axis| length(x, axis)).collect();
        Ok(lengths.into_iter().reduce(|a, b| a * b).unwrap_or_else(|| Var::scalar(1i64)))
    }
}

fn as_float(x: &Var) -> Result<Var> {
    let ty = x.ty()?;
    Ok(match (ty.dtype.is_float(), ty.weak) {
        (true, _) => x.clone(),
        (false, true) => x * 1.0,
        (false, false) => x.cast(default_float()),
    })
}

/// f16 and bf16 as f32, which holds their squares; and the dtype to go back to.
fn wide(x: &Var) -> Result<(Var, Option<DType>)> {
    let dtype = x.ty()?.dtype;
    Ok(if dtype.size() < 4 { (x.cast(DType::F32), Some(dtype)) } else { (x.clone(), None) })
}

fn narrow(x: Var, dtype: Option<DType>) -> Var {
    dtype.map_or(x.clone(), |dtype| x.cast(dtype))
}

/// A number of elements less `ddof`, at least 0, in the dtype of `like`.
fn divisor(count: &Var, ddof: f64, like: &Var) -> Result<Var> {
    let ty = like.ty()?;
    let count = if ty.weak { count * 1.0 } else { count.cast(ty.dtype) };
    Ok(if ddof == 0.0 { count } else { (count - ddof).maximum(&Var::weak(0.0)) })
}

fn variance(a: &Arguments<'_>, x: &Var) -> Result<Var> {
    let (x, dtype) = match a.attributes.dtype("dtype")? {
        Some(dtype) if !dtype.is_float() => return type_error(format!("a variance is a float, not {dtype}")),
        Some(dtype) => wide(&x.cast(dtype))?,
        None => wide(&as_float(x)?)?,
    };
    let distance = &x - a.reduced_keeping("mean", &x, true)?;
    let sum = a.reduced("sum", &distance.square())?;
    let count = divisor(&a.count(&x)?, a.attributes.float("ddof")?, &sum)?;
    Ok(narrow(sum / count, dtype))
}

fn average(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let x = as_float(a.operand(0)?)?;
    let Some(weights) = a.operands.get(1) else { return Ok(vec![a.reduced("mean", &x)?]) };
    let (rank, ty) = (x.ty()?.rank(), weights.ty()?);
    let weights = match (ty.rank(), a.attributes.ints("axis")?.as_deref()) {
        (own, _) if own == rank => weights.clone(),
        (1, Some(&[axis])) => {
            let axis = normalize_axis(axis, rank)?;
            between_axes(weights, 0, rank - 1 - axis)
        }
        _ => return type_error(format!("weights are of the shape of x, or one for each place of the one axis, not {ty}")),
    };
    let product = &x * &weights;
    // Every element has a weight, so that both sums are over the same places.
    let weights = weights.broadcast_to_var(&product.shape());
    let sum = a.reduced("sum", &product)?;
    Ok(vec![sum / a.reduced("sum", &weights)?])
}

/// The elements that are reduced together along one axis, which is given, and how the result is brought
/// to the shape that `keepdims` asks for.
fn merged(a: &Arguments<'_>, x: &Var) -> Result<(Var, usize)> {
    let rank = x.ty()?.rank();
    let axes = a.attributes.axes("axis", rank)?;
    if let [axis] = axes[..] {
        return Ok((x.clone(), axis));
    }
    if axes.len() == rank {
        return Ok((x.flatten(), 0));
    }
    let kept: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let order: Vec<i64> = kept.iter().chain(&axes).map(|&axis| axis as i64).collect();
    let mut shape: Vec<Var> = kept.iter().map(|&axis| length(x, axis)).collect();
    shape.push(a.count(x)?);
    Ok((x.transpose(&order).reshape_to(&vector(&shape)), kept.len()))
}

/// The reduced axes again with length 1, if that is asked for; `front` other axes stand before all.
fn restored(a: &Arguments<'_>, value: Var, rank: usize, front: usize) -> Result<Var> {
    if !a.attributes.bool("keepdims")? {
        return Ok(value);
    }
    let axes = a.attributes.axes("axis", rank)?;
    Ok(axes.iter().fold(value, |value, &axis| value.expand_dims((front + axis) as i64)))
}

/// Ascending elements along the last axis, and whether there is a NaN among them: it is the last.
fn ascending(x: &Var, axis: usize) -> Result<(Var, Var)> {
    let sorted = x.moveaxis(axis as i64, -1).sort(-1);
    let last = sorted.ty()?.rank() - 1;
    let nan = sorted.at_axis(last, -1).isnan();
    Ok((sorted, nan))
}

fn median(a: &Arguments<'_>) -> Result<Var> {
    let x = as_float(a.operand(0)?)?;
    let (together, axis) = merged(a, &x)?;
    let count = length(&together, axis);
    let (sorted, nan) = ascending(&together, axis)?;
    let two = Var::scalar(2i64);
    let (low, high) = ((&count - Var::scalar(1i64)).floor_div(&two), count.floor_div(&two));
    let (low, high) = (sorted.take(&low, -1), sorted.take(&high, -1));
    let odd = (&count % &two).eq(&Var::scalar(1i64));
    let middle = where_(&odd, &low, &((&low + &high) / 2.0));
    restored(a, where_(&nan, &Var::weak(f64::NAN), &middle), x.ty()?.rank(), 0)
}

fn nan_median(a: &Arguments<'_>) -> Result<Var> {
    let x = as_float(a.operand(0)?)?;
    let (together, axis) = merged(a, &x)?;
    // NaN is sorted behind all numbers.
    let (sorted, _) = ascending(&together, axis)?;
    let numbers = sorted.isnan().logical_not().reduce_axes("sum", Some(&[-1]), true);
    let (zero, one, two) = (Var::scalar(0i64), Var::scalar(1i64), Var::scalar(2i64));
    let at = |place: Var| sorted.take_along_axis(&place.maximum(&zero), -1).squeeze(-1);
    let (low, high) = (at((&numbers - &one).floor_div(&two)), at(numbers.floor_div(&two)));
    let odd = (&numbers % &two).eq(&one).squeeze(-1);
    let middle = where_(&odd, &low, &((&low + &high) / 2.0));
    restored(a, middle, x.ty()?.rank(), 0)
}

fn quantile(a: &Arguments<'_>, whole: f64) -> Result<Var> {
    let (x, q) = (as_float(a.operand(0)?)?, as_float(a.operand(1)?)?);
    if let Some(value) = constant(&q).or_else(|| constant(a.operands.get(1)?)) {
        let outside = value.to_f64_vec().into_iter().find(|value| !(0.0..=whole).contains(value));
        if let Some(outside) = outside {
            return type_error(format!("`q` is from 0 to {whole}, but {outside} is among it"));
        }
    }
    // A fraction without a dtype of its own gives the elements none; their place is counted in f64.
    let weak = q.ty()?.weak;
    let q = if weak { q.cast(DType::F64) } else { q };
    let q = if whole == 1.0 { q } else { q / whole };
    let (together, axis) = merged(a, &x)?;
    let count = length(&together, axis);
    let (sorted, nan) = ascending(&together, axis)?;
    let (one, zero) = (Var::scalar(1i64), Var::scalar(0i64));
    let (dtype, q_rank) = (q.ty()?.dtype, q.ty()?.rank());
    let number = count.cast(dtype);
    let spread = |alpha: f64, beta: f64| &number * &q + (alpha + &q * (1.0 - alpha - beta)) - 1.0;
    let linear = || &q * (&number - 1.0);
    let method = a.attributes.str("method")?;
    let place = match method {
        "linear" | "midpoint" => linear(),
        "lower" => linear().floor(),
        "higher" => linear().ceil(),
        "nearest" => linear().round(),
        "hazen" => spread(0.5, 0.5),
        "weibull" => spread(0.0, 0.0),
        "median_unbiased" => spread(1.0 / 3.0, 1.0 / 3.0),
        "normal_unbiased" => spread(3.0 / 8.0, 3.0 / 8.0),
        "interpolated_inverted_cdf" => spread(0.0, 1.0),
        other => return type_error(format!(
            "`method` is \"linear\", \"lower\", \"higher\", \"nearest\", \"midpoint\", \"hazen\", \"weibull\", \
             \"median_unbiased\", \"normal_unbiased\" or \"interpolated_inverted_cdf\", not {other:?}"
        )),
    };
    let below = place.floor();
    let share = match method {
        "midpoint" => where_(&place.eq(&below), &Var::weak(0.0), &Var::weak(0.5)).cast(dtype),
        _ => &place - &below,
    };
    let share = if weak { share.cast(x.ty()?.dtype) } else { share };
    let last = &count - &one;
    let within = |place: Var| place.cast(DType::I64).maximum(&zero).minimum(&last);
    // A fraction that is not within bounds is looked up behind the end, which is an error of the call.
    let valid = q.ge(&Var::weak(0.0)).logical_and(&q.le(&Var::weak(1.0)));
    let low = where_(&valid, &within(below.clone()), &count);
    let (low, high) = (sorted.take(&low, -1), sorted.take(&within(below + 1.0), -1));
    // The axes of q stand last; from either end, so that both ends are met exactly.
    let step = &high - &low;
    let late = share.ge(&Var::weak(0.5));
    // Infinite elements that are equal have nothing between them.
    let line = where_(&late, &(&high - &step * (1.0 - &share)), &(&low + &step * &share));
    let value = where_(&low.eq(&high).logical_and(&low.isinf()), &low, &line);
    let nan = between_axes(&nan, 0, q_rank);
    let value = where_(&nan, &Var::weak(f64::NAN), &value);
    let rank = value.ty()?.rank();
    let order: Vec<i64> = (rank - q_rank..rank).chain(0..rank - q_rank).map(|axis| axis as i64).collect();
    let value = if q_rank == 0 { value } else { value.transpose(&order) };
    restored(a, value, x.ty()?.rank(), q_rank)
}

fn instead_of_nan(x: &Var, other: f64) -> Result<Var> {
    Ok(if x.ty()?.dtype.is_float() { where_(&x.isnan(), &Var::weak(other), x) } else { x.clone() })
}

fn nan_extreme(a: &Arguments<'_>, op: &str, worst: f64) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    let best = a.reduced(op, &instead_of_nan(x, worst)?)?;
    if !x.ty()?.dtype.is_float() {
        return Ok(vec![best]);
    }
    Ok(vec![where_(&a.reduced("all", &x.isnan())?, &Var::weak(f64::NAN), &best)])
}

/// How many elements are not NaN.
fn numbers(a: &Arguments<'_>, x: &Var) -> Result<Var> {
    a.reduced("sum", &x.isnan().logical_not())
}

fn nan_variance(a: &Arguments<'_>) -> Result<Var> {
    let (x, dtype) = wide(&as_float(a.operand(0)?)?)?;
    let count = a.reduced_keeping("sum", &x.isnan().logical_not(), true)?;
    let sum = a.reduced_keeping("sum", &instead_of_nan(&x, 0.0)?, true)?;
    let mean = &sum / count.cast(sum.ty()?.dtype);
    let distance = where_(&x.isnan(), &Var::weak(0.0), &(&x - mean));
    let squares = a.reduced("sum", &distance.square())?;
    let divisor = divisor(&numbers(a, &x)?, a.attributes.float("ddof")?, &squares)?;
    // Where as many are left as `ddof` says, nothing is known; NumPy gives NaN, also for a sum above 0.
    let known = divisor.gt(&Var::weak(0.0));
    Ok(narrow(where_(&known, &(squares / divisor), &Var::weak(f64::NAN)), dtype))
}

/// The variables as rows of a matrix.
fn variables(a: &Arguments<'_>) -> Result<Var> {
    let rows = a.attributes.bool("rowvar")?;
    let matrix = |x: &Var, first: bool| -> Result<Var> {
        let x = as_float(x)?;
        match x.ty()?.rank() {
            0 => Ok(between_axes(&x, 2, 0)),
            1 => Ok(x.expand_dims(0)),
            2 if rows || (first && x.ty()?.dims[0] == Dim::Known(1)) => Ok(x),
            2 => Ok(x.t()),
            _ => type_error(format!("expected a vector or a matrix, found {}", x.ty()?)),
        }
    };
    let own = matrix(a.operand(0)?, true)?;
    Ok(match a.operands.get(1) {
        Some(more) => concatenate(&[own, matrix(more, false)?], 0),
        None => own,
    })
}

fn covariances(a: &Arguments<'_>, ddof: f64) -> Result<Var> {
    let x = variables(a)?;
    let distance = &x - x.reduce_axes("mean", Some(&[1]), true);
    let product = distance.matmul(&distance.t());
    let count = divisor(&length(&x, 1), ddof, &product)?;
    let all = product / count;
    Ok(if all.ty()?.dims[0] == Dim::Known(1) { all.at(0).at(0) } else { all })
}

fn covariance(a: &Arguments<'_>) -> Result<Var> {
    let ddof = match a.attributes.get("ddof") {
        Some(Attribute::Float(ddof)) => *ddof,
        _ if a.attributes.bool("bias")? => 0.0,
        _ => 1.0,
    };
    covariances(a, ddof)
}

fn correlation(a: &Arguments<'_>) -> Result<Var> {
    let all = covariances(a, 1.0)?;
    if all.ty()?.rank() == 0 {
        let variance = all.clone();
        return Ok(all / variance);
    }
    let deviations = all.diag(0).sqrt();
    let scaled = all / deviations.expand_dims(1) / deviations.expand_dims(0);
    Ok(scaled.clip(&Var::weak(-1.0), &Var::weak(1.0)))
}

fn diff(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, axis) = (a.operand(0)?, a.axis()?);
    let times = a.attributes.int("n")?;
    if times < 0 {
        return type_error(format!("`n` is not negative, but this is {times}"));
    }
    let slab = |value: &Var| -> Result<Var> {
        if value.ty()?.rank() > 0 {
            return Ok(value.clone());
        }
        let mut shape = super::composed::lengths(x)?;
        shape[axis] = Var::scalar(1i64);
        Ok(value.broadcast_to_var(&vector(&shape)))
    };
    let mut x = match (a.operands.get(1), a.operands.get(2)) {
        (None, _) => x.clone(),
        (Some(before), None) => concatenate(&[slab(before)?, x.clone()], axis as i64),
        (Some(before), Some(after)) => concatenate(&[slab(before)?, x.clone(), slab(after)?], axis as i64),
    };
    for _ in 0..times {
        let (next, own) = (x.slice(axis, Some(1), None), x.slice(axis, None, Some(-1)));
        x = if x.ty()?.dtype == DType::Bool { next.ne(&own) } else { next - own };
    }
    Ok(vec![x])
}

macro_rules! builders {
    ($($name:ident)*) => {
        impl Var {$(
            #[doc = concat!("The op `", stringify!($name), "` over one axis, or over all; see `arignote ops`.")]
            #[track_caller]
            pub fn $name(&self, axis: Option<i64>) -> Var {
                let axis = axis.map_or(Attribute::None, Attribute::Int);
                Var::apply(stringify!($name), std::slice::from_ref(self), Attributes::new().with("axis", axis))
            }
        )*}
    };
}
builders!(var std median);

impl Var {
    /// The value below which the part `q`, from 0 to 1, of the elements lies, over one axis or over all.
    #[track_caller]
    pub fn quantile(&self, q: &Var, axis: Option<i64>) -> Var {
        let axis = axis.map_or(Attribute::None, Attribute::Int);
        Var::apply("quantile", &[self.clone(), q.clone()], Attributes::new().with("axis", axis))
    }
}
