//! Evenly spaced numbers, and tensors like others.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, add, between_axes, constant_int, positions, type_error, whole};
use crate::ops::{Attribute, AttributeKind, Attributes, Param, ParamKind, Registry, default_float, normalize_axis, where_};
use crate::tensor::DType;

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let dtype = || Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype of the result");
    let ends = || {
        vec![
            operand("start", "the first value, or an array of them"),
            operand("stop", "the last value"),
            Param { name: "num", kind: ParamKind::OptionalOperand, doc: "how many values; 50 if left out" },
            Param::attribute("endpoint", AttributeKind::Bool, Some(true.into()), "whether `stop` is the last value; else it would come next"),
        ]
    };
    let rest = || {
        vec![dtype(), Param::attribute("axis", AttributeKind::Int, Some(Attribute::Int(0)), "where the new axis stands among those of start and stop")]
    };
    let base = || Param::attribute("base", AttributeKind::Float, Some(Attribute::Float(10.0)), "the base");
    let mut spaced = |name, params, doc, build| {
        registry.add(Composed { name, params, doc, settle: Settle::ToFloat(2), build });
    };
    spaced("linspace", [ends(), rest()].concat(),
        "`num` evenly spaced values from `start` to `stop`: `start + i * (stop - start) / (num - 1)`, the last one \
         exactly `stop`.\n\n    linspace(0, 1, 5)  # 0 0.25 0.5 0.75 1", |a| Ok(vec![placed(linear(a)?, a)?]));
    spaced("logspace", [ends(), vec![base()], rest()].concat(),
        "`base ** linspace(start, stop, num)`.\n\n    logspace(0, 2, 3)  # 1 10 100", |a| {
            let powers = linear(a)?;
            let base = a.attributes.float("base")?;
            Ok(vec![placed(Var::weak(base).pow(&powers), a)?])
        });
    spaced("geomspace", [ends(), rest()].concat(),
        "`num` values from `start` to `stop` whose neighbours have one ratio, evenly spaced on a logarithmic scale. \
         `start` and `stop` have one sign; otherwise, or where one is 0, the values between them are NaN.\n\n\
         \u{20}   geomspace(1, 1000, 4)  # 1 10 100 1000", geomspace);
    add(registry, "full_like",
        vec![operand("x", "gives shape and dtype"), operand("value", "what to fill it with; it broadcasts"), dtype()],
        "A value, converted to the dtype of `x` unless another is given, in the shape of `x`.\n\n    full_like(x, 7)", |a| {
            let ty = a.operand(0)?.ty()?;
            let dtype = a.attributes.dtype("dtype")?.unwrap_or(ty.dtype);
            Ok(vec![a.operand(1)?.cast(dtype).broadcast_to_var(&a.operand(0)?.shape())])
        });
}

/// The number of values, and the last position, 0 of one value at the end point.
fn count(a: &Arguments<'_>) -> Result<(Var, Var)> {
    let endpoint = i64::from(a.attributes.bool("endpoint")?);
    let Some(num) = a.operands.get(2) else { return Ok((Var::scalar(50i64), Var::scalar(50 - endpoint))) };
    whole(num)?;
    if num.ty()?.rank() != 0 {
        return type_error(format!("`num` is one whole number, not {}", num.ty()?));
    }
    match constant_int(num) {
        Some(num) if num < 0 => type_error(format!("`num` is not negative, but this is {num}")),
        Some(num) => Ok((Var::scalar(num), Var::scalar(num - endpoint))),
        None => {
            // A vector of that length, whose length is then a size, refuses a negative one.
            let ones = Var::apply("zeros", &[super::stack(&[num.cast(DType::I64)], 0)], Attributes::new().with("dtype", DType::Bool));
            let num = ones.shape().at(0);
            Ok((num.clone(), num - endpoint))
        }
    }
}

/// The evenly spaced values along a new first axis.
fn linear(a: &Arguments<'_>) -> Result<Var> {
    Ok(spaced(&float(a.operand(0)?)?, &float(a.operand(1)?)?, a)?.0)
}

/// The operand as floats.
fn float(x: &Var) -> Result<Var> {
    let ty = x.ty()?;
    Ok(match (ty.dtype.is_float(), ty.weak) {
        (true, _) => x.clone(),
        (false, true) => x * 1.0,
        (false, false) => x.cast(default_float()),
    })
}

/// The values along a new first axis, and of each whether it is the end point.
fn spaced(start: &Var, stop: &Var, a: &Arguments<'_>) -> Result<(Var, Var)> {
    let (num, last) = count(a)?;
    let span = stop - start;
    let (dtype, weak, rank) = { let ty = span.ty()?; (ty.dtype, ty.weak, ty.rank()) };
    let along = between_axes(&positions(&num), 0, rank);
    let number = |x: &Var| if weak { x * 1.0 } else { x.cast(dtype) };
    let step = span / number(&last.maximum(&Var::scalar(1i64)));
    let values = start + number(&along) * step;
    let at_end = match a.attributes.bool("endpoint")? {
        // Of one value the first, not the last, is there.
        true => along.eq(&last).logical_and(&last.gt(&Var::scalar(0i64))),
        false => Var::scalar(false),
    };
    Ok((where_(&at_end, stop, &values), at_end))
}

fn geomspace(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (start, stop) = (float(a.operand(0)?)?, float(a.operand(1)?)?);
    let sign = start.sign();
    // Both by the sign of the first: unlike signs have no logarithm.
    let (from, to) = ((&start * &sign).log10(), (&stop * &sign).log10());
    let (powers, at_end) = spaced(&from, &to, a)?;
    let values = sign * Var::weak(10.0).pow(&powers);
    let rank = values.ty()?.rank() - 1;
    let (num, _) = count(a)?;
    let at_start = between_axes(&positions(&num).eq(&Var::scalar(0i64)), 0, rank);
    Ok(vec![placed(where_(&at_start, &start, &where_(&at_end, &stop, &values)), a)?])
}

/// The values in the dtype that is asked for, their new axis where it is asked for. Whole numbers are
/// rounded down, as NumPy does.
fn placed(values: Var, a: &Arguments<'_>) -> Result<Var> {
    let values = match a.attributes.dtype("dtype")? {
        Some(dtype) if dtype.is_integer() => values.floor().cast(dtype),
        Some(dtype) => values.cast(dtype),
        None => values,
    };
    let axis = normalize_axis(a.attributes.int("axis")?, values.ty()?.rank())?;
    Ok(if axis == 0 { values } else { values.moveaxis(0, axis as i64) })
}

/// `num` evenly spaced values from `start` to `stop`, the last of them exactly `stop`.
///
/// ```
/// use arignote_core::{graph::Var, ops::linspace};
/// let x = linspace(&Var::scalar(0.0f32), &Var::scalar(1.0f32), 5);
/// assert_eq!(x.ty().unwrap().to_string(), "f32[5]");
/// ```
#[track_caller]
pub fn linspace(start: &Var, stop: &Var, num: i64) -> Var {
    Var::apply("linspace", &[start.clone(), stop.clone(), Var::scalar(num)], Attributes::new())
}
