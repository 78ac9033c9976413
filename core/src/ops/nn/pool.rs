//! Pooling: the largest, the sum or the mean of the elements of each window.

use super::sliding::{Role, Sliding};
use super::windows::{Axis, Padding, per_axis, size};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, constant_int, length, lengths, type_error, vector, zero_of};
use crate::ops::elementwise::where_;
use crate::ops::{Attribute, AttributeKind, Param, Registry};
use crate::tensor::{DType, Kind, Tensor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Max,
    Sum,
    Mean,
}

pub(super) fn register(registry: &mut Registry) {
    let attribute = Param::attribute;
    let params = |mean: bool| {
        let mut params = vec![
            Param::operand("x", "any axes, then those of a place"),
            attribute("window", AttributeKind::Ints, None, "the elements of a window: a number, or one for each axis"),
            attribute("stride", AttributeKind::Ints, Some(Attribute::None), "from one window to the next: a number, or one for each axis; as long as the window if none"),
            attribute("padding", AttributeKind::IntsOrStr, Some(Attribute::Int(0)), "around x, less than a window: a number, one for each axis, a pair for each, or \"valid\", \"same\", \"half\", \"full\""),
            attribute("dilation", AttributeKind::Ints, Some(Attribute::Int(1)), "from one element of a window to the next"),
            attribute("ceil_mode", AttributeKind::Bool, Some(false.into()), "whether a window that begins within x or the padding before it may go beyond the end (Theano's `ignore_border=False`)"),
        ];
        if mean {
            params.push(attribute("count_include_pad", AttributeKind::Bool, Some(true.into()), "whether padding counts as elements (Theano's `average_inc_pad`) or not (`average_exc_pad`)"));
        }
        params
    };
    type Build = fn(&Arguments<'_>) -> Result<Vec<Var>>;
    let rows: [(_, Build); 9] = [
        ("max_pool1d", |a| pool(a, 1, What::Max)),
        ("max_pool2d", |a| pool(a, 2, What::Max)),
        ("max_pool3d", |a| pool(a, 3, What::Max)),
        ("sum_pool1d", |a| pool(a, 1, What::Sum)),
        ("sum_pool2d", |a| pool(a, 2, What::Sum)),
        ("sum_pool3d", |a| pool(a, 3, What::Sum)),
        ("avg_pool1d", |a| pool(a, 1, What::Mean)),
        ("avg_pool2d", |a| pool(a, 2, What::Mean)),
        ("avg_pool3d", |a| pool(a, 3, What::Mean)),
    ];
    for (name, build) in rows {
        let (settle, doc) = match &name[..3] {
            "max" => (Settle::Nothing, "The largest element of each window over the last axes, NaN if there is one; padding is smaller than anything. \
                Ties split the gradient evenly, as of `max`.\n\n    max_pool2d(x, window=[2, 2], stride=[2, 2], padding=[0, 0])"),
            "sum" => (Settle::Nothing, "The sum of each window over the last axes; padding is 0.\n\n    sum_pool2d(x, window=2)"),
            _ => (Settle::ToFloat(1), "The mean of each window over the last axes; padding is 0. What a window has beyond \
                the end with `ceil_mode` is never counted.\n\n    avg_pool2d(x, window=3, stride=2, padding=1, count_include_pad=false)"),
        };
        let composed = Composed { name, settle, params: params(name.starts_with("avg")), doc, build };
        registry.add(Sliding { family: name, role: Role::Pooling, composed });
    }
    let gradients: [(_, _, Build); 9] = [
        ("max_pool1d_gradient", "max_pool1d", |a| pool_gradient(a, 1, What::Max)),
        ("max_pool2d_gradient", "max_pool2d", |a| pool_gradient(a, 2, What::Max)),
        ("max_pool3d_gradient", "max_pool3d", |a| pool_gradient(a, 3, What::Max)),
        ("sum_pool1d_gradient", "sum_pool1d", |a| pool_gradient(a, 1, What::Sum)),
        ("sum_pool2d_gradient", "sum_pool2d", |a| pool_gradient(a, 2, What::Sum)),
        ("sum_pool3d_gradient", "sum_pool3d", |a| pool_gradient(a, 3, What::Sum)),
        ("avg_pool1d_gradient", "avg_pool1d", |a| pool_gradient(a, 1, What::Mean)),
        ("avg_pool2d_gradient", "avg_pool2d", |a| pool_gradient(a, 2, What::Mean)),
        ("avg_pool3d_gradient", "avg_pool3d", |a| pool_gradient(a, 3, What::Mean)),
    ];
    let with = |second: Param, mean| {
        let mut params = params(mean);
        params.insert(1, second);
        params
    };
    for (name, family, build) in gradients {
        let g = Param::operand("g", "the cotangent of the pooling");
        let doc = "What the pooling of `x` gives as the gradient in `x` for the cotangent `g` of the result. Of `x`, a sum or mean \
                   has only the shape to do with it.\n\n    max_pool2d_gradient(x, g, window=2)";
        let composed = Composed { name, settle: Settle::ToFloat(2), params: with(g, family.starts_with("avg")), doc, build };
        registry.add(Sliding { family, role: Role::PoolingGradient, composed });
    }
    let tangents: [(_, _, Build); 3] = [
        ("max_pool1d_tangent", "max_pool1d", |a| max_pool_tangent(a, 1)),
        ("max_pool2d_tangent", "max_pool2d", |a| max_pool_tangent(a, 2)),
        ("max_pool3d_tangent", "max_pool3d", |a| max_pool_tangent(a, 3)),
    ];
    for (name, family, build) in tangents {
        let t = Param::operand("t", "a tangent of x, of its shape");
        let doc = "The derivative of the pooling of `x` in the direction `t`: for each window the mean of `t` at its largest \
                   elements.\n\n    max_pool2d_tangent(x, t, window=2)";
        let composed = Composed { name, settle: Settle::ToFloat(2), params: with(t, false), doc, build };
        registry.add(Sliding { family, role: Role::PoolingTangent, composed });
    }
}

/// What is smaller than any element.
fn lowest(dtype: DType) -> Result<Var> {
    Ok(match dtype.kind() {
        Kind::Float => Var::constant(Tensor::scalar(f64::NEG_INFINITY).cast(dtype)),
        Kind::Signed => {
            let lowest = match dtype {
                DType::I8 => i8::MIN.into(),
                DType::I16 => i16::MIN.into(),
                DType::I32 => i32::MIN.into(),
                _ => i64::MIN,
            };
            Var::constant(Tensor::scalar(lowest).cast(dtype))
        }
        Kind::Unsigned => Var::constant(Tensor::zeros(dtype, &[])),
        Kind::Bool => return type_error("expected numbers, found bools"),
    })
}

/// Where windows slide along the last axes of x, and what their elements count for.
struct Places {
    /// With the padding that windows beyond the end need.
    axes: Vec<Axis>,
    /// Of a mean, the elements that count in each window of each axis; `None` where all do.
    counts: Option<Vec<Var>>,
}

impl Places {
    fn of(a: &Arguments<'_>, count: usize, what: What) -> Result<Places> {
        let x = a.operand(0)?;
        let ty = x.ty()?;
        let Some(first) = ty.rank().checked_sub(count) else {
            return type_error(format!("expected {count} axes or more, found {ty}"));
        };
        if ty.dtype == DType::Bool {
            return type_error("expected numbers, found bools");
        }
        let windows = per_axis(a, "window", count, 1)?;
        let dilations = per_axis(a, "dilation", count, 1)?;
        let strides = match a.attributes.get("stride") {
            Some(Attribute::None) | None => windows.clone(),
            _ => per_axis(a, "stride", count, 1)?,
        };
        let (padding, ceil) = (Padding::of(a, count)?, a.attributes.bool("ceil_mode")?);
        let counted = what == What::Mean && a.attributes.bool("count_include_pad")?;
        let (mut axes, mut counts, mut plain) = (Vec::new(), Vec::new(), true);
        for number in 0..count {
            let (axis, window) = (first + number, Var::scalar(windows[number]));
            let (stride, dilation, length) = (strides[number], dilations[number], length(x, axis));
            let given = padding.widths(number, &length, &window, stride, dilation)?;
            let mut along = Axis { axis, window, stride, dilation, padding: given.clone() };
            let span = along.span()?;
            for width in given.iter().filter_map(constant_int) {
                if constant_int(&span).is_some_and(|span| width >= span) {
                    return type_error(format!("a padding of {width} makes windows that hold nothing else"));
                }
            }
            let beyond = if ceil { beyond(&along, &length)? } else { Var::scalar(0i64) };
            along.padding[1] = size("add", &given[1], &beyond)?;
            if what == What::Mean {
                plain &= along.padding.iter().all(|width| constant_int(width) == Some(0));
                // The elements that count, of which each window has so many.
                let element = Var::scalar(1.0);
                let ones = element.broadcast_to_var(&vector(&[length]));
                let border = if counted { element } else { Var::scalar(0.0) };
                let ones = super::windows::padded(&ones, 0, &given, &border)?;
                let windows = Axis { axis: 0, padding: [Var::scalar(0i64), beyond], window: along.window.clone(), ..along };
                counts.push(windows.windows(&ones, &Var::scalar(0.0))?.reduce_axes("sum", Some(&[-1]), false));
            }
            axes.push(along);
        }
        Ok(Places { axes, counts: (what == What::Mean && !plain).then_some(counts) })
    }

    /// Each axis as two, the windows and the elements of each.
    fn windows(&self, x: &Var, fill: &Var) -> Result<Var> {
        // From the last axis to the first: each that is replaced by two moves those behind it.
        self.axes.iter().rev().try_fold(x.clone(), |parts, axis| axis.windows(&parts, fill))
    }

    /// The axes of the elements of [`Places::windows`].
    fn elements(&self) -> Vec<i64> {
        self.axes.iter().enumerate().map(|(number, axis)| (axis.axis + number + 1) as i64).collect()
    }

    /// Values of windows with an axis of length 1 for the elements of each.
    fn apart(&self, values: &Var) -> Var {
        self.elements().iter().fold(values.clone(), |values, &axis| values.expand_dims(axis))
    }

    /// The adjoint of [`Places::windows`], of the shape of x.
    fn added_back(&self, windows: &Var, x: &Var) -> Result<Var> {
        let sums = self.axes.iter().try_fold(windows.clone(), |sums, axis| axis.added_back(&sums, &length(x, axis.axis)))?;
        Ok(sums.reshape_to(&x.shape()))
    }

    /// Sums of windows divided by how many elements count.
    fn divided(&self, sums: Var) -> Result<Var> {
        let dtype = sums.ty()?.dtype;
        Ok(self.counts.iter().flatten().rev().enumerate().fold(sums, |sums, (behind, count)| {
            let count = (0..behind).fold(count.clone(), |count, _| count.expand_dims(-1));
            sums / count.cast(dtype)
        }))
    }
}

fn pool(a: &Arguments<'_>, count: usize, what: What) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    let places = Places::of(a, count, what)?;
    let dtype = x.ty()?.dtype;
    let parts = places.windows(x, &if what == What::Max { lowest(dtype)? } else { zero_of(x)? })?;
    let reduced = |op: &str| parts.reduce_axes(op, Some(&places.elements()), false);
    Ok(vec![match what {
        What::Max => reduced("max"),
        What::Sum => reduced("sum").cast(dtype),
        What::Mean if places.counts.is_none() => reduced("mean"),
        What::Mean => places.divided(reduced("sum"))?,
    }])
}

/// The elements of all windows of x, which of them are the largest of their window, and how many those are.
fn largest(places: &Places, x: &Var) -> Result<(Var, Var)> {
    let parts = places.windows(x, &lowest(x.ty()?.dtype)?)?;
    let mask = parts.eq(&parts.reduce_axes("max", Some(&places.elements()), true));
    let ties = mask.cast(x.ty()?.dtype).reduce_axes("sum", Some(&places.elements()), true);
    Ok((mask, ties))
}

fn pool_gradient(a: &Arguments<'_>, count: usize, what: What) -> Result<Vec<Var>> {
    let (x, g) = (a.operand(0)?, a.operand(1)?);
    let places = Places::of(a, count, what)?;
    if g.ty()?.rank() != x.ty()?.rank() {
        return type_error(format!("`g` has as many axes as `x`, {}, not {}", x.ty()?.rank(), g.ty()?));
    }
    let of_windows = match what {
        What::Max => {
            let (mask, ties) = largest(&places, x)?;
            where_(&mask, &(places.apart(g) / ties), &Var::weak(0.0))
        }
        _ => {
            let g = match (what, &places.counts) {
                (What::Mean, None) => {
                    let elements = places.axes.iter().try_fold(Var::scalar(1i64), |all, axis| size("mul", &all, &axis.window))?;
                    g / elements.cast(g.ty()?.dtype)
                }
                (What::Mean, Some(_)) => places.divided(g.clone())?,
                _ => g.clone(),
            };
            let apart = places.apart(&g);
            let mut shape = lengths(&apart)?;
            for (axis, at) in places.axes.iter().zip(places.elements()) {
                shape[at as usize] = axis.window.clone();
            }
            apart.broadcast_to_var(&vector(&shape))
        }
    };
    Ok(vec![places.added_back(&of_windows, x)?])
}

fn max_pool_tangent(a: &Arguments<'_>, count: usize) -> Result<Vec<Var>> {
    let (x, t) = (a.operand(0)?, a.operand(1)?);
    if t.ty()?.rank() != x.ty()?.rank() {
        return type_error(format!("`t` has as many axes as `x`, {}, not {}", x.ty()?.rank(), t.ty()?));
    }
    let places = Places::of(a, count, What::Max)?;
    let (mask, ties) = largest(&places, x)?;
    let parts = where_(&mask, &places.windows(t, &zero_of(t)?)?, &Var::weak(0.0));
    Ok(vec![parts.reduce_axes("sum", Some(&places.elements()), false) / places.elements().iter().rev().fold(ties, |ties, &axis| ties.squeeze(axis))])
}

/// How many elements the last window has beyond the end where it may.
fn beyond(along: &Axis, length: &Var) -> Result<Var> {
    let (zero, one, stride) = (Var::scalar(0i64), Var::scalar(1i64), Var::scalar(along.stride));
    let span = along.span()?;
    let all = size("add", &size("add", length, &along.padding[0])?, &along.padding[1])?;
    // The last start: the first at which the rest is covered, but within x or the padding before it.
    let rest = size("maximum", &size("sub", &all, &span)?, &zero)?;
    let steps = size("floor_div", &size("add", &rest, &size("sub", &stride, &one)?)?, &stride)?;
    let inner = size("sub", &size("add", length, &along.padding[0])?, &one)?;
    let steps = size("minimum", &steps, &size("maximum", &size("floor_div", &inner, &stride)?, &zero)?)?;
    let end = size("add", &size("mul", &steps, &stride)?, &span)?;
    size("maximum", &size("sub", &end, &all)?, &zero)
}
