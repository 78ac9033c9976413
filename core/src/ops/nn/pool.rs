//! Pooling: the largest, the sum or the mean of the elements of each window.

use super::windows::{Axis, Padding, per_axis, size};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, constant_int, length, type_error, vector, zero_of};
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
        registry.add(Composed { name, settle, params: params(name.starts_with("avg")), doc, build });
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

fn pool(a: &Arguments<'_>, count: usize, what: What) -> Result<Vec<Var>> {
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
    let fill = if what == What::Max { lowest(ty.dtype)? } else { zero_of(x)? };
    let (mut parts, mut counts) = (x.clone(), Vec::new());
    let mut plain = true;
    for number in (0..count).rev() {
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
            let ones = if counted {
                super::windows::padded(&ones, 0, &given, &element)?
            } else {
                super::windows::padded(&ones, 0, &given, &Var::scalar(0.0))?
            };
            let windows = Axis { axis: 0, padding: [Var::scalar(0i64), beyond], window: along.window.clone(), ..along };
            counts.push(windows.windows(&ones, &Var::scalar(0.0))?.reduce_axes("sum", Some(&[-1]), false));
        }
        parts = along.windows(&parts, &fill)?;
    }
    let axes: Vec<i64> = (0..count).map(|number| (first + 2 * number + 1) as i64).collect();
    Ok(vec![match what {
        What::Max => parts.reduce_axes("max", Some(&axes), false),
        What::Sum => parts.reduce_axes("sum", Some(&axes), false).cast(ty.dtype),
        What::Mean if plain => parts.reduce_axes("mean", Some(&axes), false),
        What::Mean => {
            let sums = parts.reduce_axes("sum", Some(&axes), false);
            let dtype = sums.ty()?.dtype;
            // The first that was counted is the last axis.
            counts.iter().enumerate().fold(sums, |sums, (behind, count)| {
                let axes: Vec<i64> = (1..=behind as i64).map(|_| -1).collect();
                let count = axes.iter().fold(count.clone(), |count, &axis| count.expand_dims(axis));
                sums / count.cast(dtype)
            })
        }
    }])
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
