//! `pad`, in NumPy's modes.

use super::concatenate;
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{
    Arguments, add, between_axes, constant, length, lengths, positions, type_error, vector, whole,
};
use crate::ops::{Attribute, AttributeKind, Attributes, Param, ParamKind, Registry, where_};
use crate::tensor::{DType, Dim, Type};

pub(super) fn register(registry: &mut Registry) {
    let attribute = Param::attribute;
    let params = vec![
        Param::operand("x", "what to pad"),
        Param::operand("pad_width", "how many elements before and after: one number, a pair, or a pair for each axis"),
        attribute("mode", AttributeKind::Str, Some(Attribute::Str("constant".into())), "what to pad with"),
        Param { name: "constant_values", kind: ParamKind::OptionalOperand, doc: "of mode \"constant\": the values before and after, as `pad_width`; 0 if left out" },
        attribute("end_values", AttributeKind::Float, Some(Attribute::Float(0.0)), "of mode \"linear_ramp\": the outermost value"),
        attribute("stat_length", AttributeKind::Int, Some(Attribute::None), "of modes \"mean\", \"median\", \"maximum\" and \"minimum\": of how many elements at the edge; of all if none"),
    ];
    add(registry, "pad", params,
        "`x` with elements before and after it along every axis, by mode:\n\n\
         - \"constant\": `constant_values`\n\
         - \"edge\": the outermost element\n\
         - \"reflect\": mirrored at the outermost element, which is not repeated: `c b | a b c | b a`\n\
         - \"symmetric\": mirrored behind the outermost element: `b a | a b c | c b`\n\
         - \"wrap\": periodic: `b c | a b c | a b`\n\
         - \"linear_ramp\": on a line from the outermost element to `end_values`\n\
         - \"mean\", \"median\", \"maximum\", \"minimum\": of the elements along the axis\n\n\
         Axes are padded one after the other, so that corners follow from what the axes before gave.\n\n\
         \u{20}   pad(x, [[1, 2], [0, 3]], constant_values=-1.5)\n    pad(x, 1, mode=\"edge\")",
        pad);
}

/// The numbers before and after each axis, scalars, from one, a pair, or pairs.
fn pairs(x: &Var, rank: usize, name: &str) -> Result<Vec<[Var; 2]>> {
    let ty = x.ty()?;
    let wrong = || type_error(format!("`{name}` is one value, a pair, or a pair for each of {rank} axes, not {ty}"));
    let pick = |axis: usize, side: i64| match ty.dims.as_slice() {
        [] => Ok(x.clone()),
        [Dim::Known(1)] => Ok(x.at(0)),
        [Dim::Known(2)] => Ok(x.at(side)),
        [Dim::Known(rows), Dim::Known(columns @ 1..=2)] if *rows == 1 || *rows == rank => {
            let row = if *rows == 1 { 0 } else { axis as i64 };
            Ok(x.at(row).at(if *columns == 1 { 0 } else { side }))
        }
        _ => wrong(),
    };
    (0..rank).map(|axis| Ok([pick(axis, 0)?, pick(axis, 1)?])).collect()
}

/// The widths, as i64 scalars; those of a constant are constants.
fn widths(a: &Arguments<'_>, rank: usize) -> Result<Vec<[Var; 2]>> {
    let x = a.operand(1)?;
    whole(x)?;
    let Some(value) = constant(x) else {
        let pairs = pairs(&x.cast(DType::I64), rank, "pad_width")?;
        return Ok(pairs);
    };
    let values = value.to_i64_vec();
    if let Some(width) = values.iter().find(|&&width| width < 0) {
        return type_error(format!("a width is not negative, but this is {width}"));
    }
    // The shape is checked on the operand itself.
    pairs(x, rank, "pad_width")?;
    let place = |axis: usize, side: usize| match value.shape() {
        [] | [1] => 0,
        [2] => side,
        &[rows, columns] => (if rows == 1 { 0 } else { axis }) * columns + if columns == 1 { 0 } else { side },
        _ => 0,
    };
    let width = |axis, side| Var::scalar(values.get(place(axis, side)).copied().unwrap_or(0));
    Ok((0..rank).map(|axis| [width(axis, 0), width(axis, 1)]).collect())
}

fn pad(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, rank) = (a.operand(0)?, a.rank()?);
    let widths = widths(a, rank)?;
    let mode = a.attributes.str("mode")?;
    let stat_length = match a.attributes.get("stat_length") {
        Some(Attribute::Int(length)) if *length < 1 => {
            return type_error(format!("`stat_length` is at least 1, but this is {length}"));
        }
        Some(Attribute::Int(length)) => Some(*length),
        _ => None,
    };
    let values = match (mode, a.operands.get(2)) {
        ("constant", Some(values)) => pairs(values, rank, "constant_values")?,
        (_, None) => vec![[Var::weak(0i64), Var::weak(0i64)]; rank],
        (mode, Some(_)) => return type_error(format!("`constant_values` is for mode \"constant\", not \"{mode}\"")),
    };
    let mut padded = x.clone();
    for (axis, ([before, after], values)) in widths.iter().zip(&values).enumerate() {
        let none = |width: &Var| crate::ops::composed::constant_int(width) == Some(0);
        if none(before) && none(after) {
            continue;
        }
        let sides = Sides { x: &padded, axis, before, after };
        padded = match mode {
            "constant" => {
                let ty = x.ty()?;
                if let Some(value) = a.operands.get(2).map(Var::ty).transpose()?.filter(|value| value.dtype.kind() > ty.dtype.kind()) {
                    return type_error(format!("{} does not fit into {}; `cast` converts", value.dtype, ty.dtype));
                }
                sides.joined(|width, side| sides.filled(&values[side].cast(ty.dtype), width))?
            }
            "edge" | "reflect" | "symmetric" | "wrap" => sides.moved(mode)?,
            "linear_ramp" => sides.ramp(a.attributes.float("end_values")?)?,
            "mean" | "median" | "maximum" | "minimum" => sides.statistic(mode, stat_length)?,
            other => return type_error(format!(
                "`mode` is \"constant\", \"edge\", \"reflect\", \"symmetric\", \"wrap\", \"linear_ramp\", \"mean\", \"median\", \"maximum\" or \"minimum\", not {other:?}"
            )),
        };
    }
    Ok(vec![padded])
}

/// One axis to pad, and by how much.
struct Sides<'a> {
    x: &'a Var,
    axis: usize,
    before: &'a Var,
    after: &'a Var,
}

impl Sides<'_> {
    fn ty(&self) -> Result<&Type> {
        self.x.ty()
    }

    /// What is given for each width and side (0 before, 1 after), joined to both sides of x.
    fn joined(&self, part: impl Fn(&Var, usize) -> Result<Var>) -> Result<Var> {
        let parts = [part(self.before, 0)?, self.x.clone(), part(self.after, 1)?];
        Ok(concatenate(&parts, self.axis as i64))
    }

    /// A value, which broadcasts to x, so often along the axis.
    fn filled(&self, value: &Var, width: &Var) -> Result<Var> {
        let mut shape = lengths(self.x)?;
        shape[self.axis] = width.clone();
        Ok(value.broadcast_to_var(&vector(&shape)))
    }

    /// Elements of x at other places, which all modes are that do not compute anything.
    fn moved(&self, mode: &str) -> Result<Var> {
        let (zero, one) = (Var::scalar(0i64), Var::scalar(1i64));
        let length = length(self.x, self.axis);
        let total = &length + self.before + self.after;
        let place = positions(&total) - self.before;
        let from = match mode {
            "edge" => place.maximum(&zero).minimum(&(&length - &one)),
            "wrap" => place % &length,
            "symmetric" => {
                let place = place % (&length * 2);
                place.minimum(&(&length * 2 - &one - &place))
            }
            // With one element only, it is repeated.
            _ => {
                let period = ((&length - &one) * 2).maximum(&one);
                let place = place % &period;
                place.minimum(&(&period - &place))
            }
        };
        let from = match mode {
            // Places of nothing are out of range.
            "reflect" | "symmetric" | "wrap" => where_(&length.gt(&zero), &from, &zero),
            _ => from,
        };
        Ok(self.x.take(&from, self.axis as i64))
    }

    fn ramp(&self, end: f64) -> Result<Var> {
        let ty = self.ty()?.clone();
        if ty.dtype == DType::Bool {
            return type_error("a ramp is of numbers, not of bools");
        }
        let end = Var::weak(end);
        self.joined(|width, side| {
            let edge = self.x.slice(self.axis, Some(-(side as i64)), (side == 0).then_some(1));
            let steps = positions(width);
            let steps = if side == 0 { steps } else { width - Var::scalar(1i64) - steps };
            // Counted from the outermost place, as NumPy's `linspace(end, edge, width, endpoint=False)`.
            let along = between_axes(&steps, 0, ty.rank() - 1 - self.axis);
            let float = if ty.dtype.is_float() { edge } else { edge.cast(DType::F64) };
            let dtype = float.ty()?.dtype;
            let share = along.cast(dtype) / width.cast(dtype);
            let values = &end + (float - &end) * share;
            let values = if ty.dtype.is_float() { values } else { values.floor() };
            self.filled(&values.cast(ty.dtype), width)
        })
    }

    fn statistic(&self, mode: &str, length: Option<i64>) -> Result<Var> {
        let dtype = self.ty()?.dtype;
        let axes = [self.axis as i64];
        self.joined(|width, side| {
            let part = match (length, side) {
                (None, _) => self.x.clone(),
                (Some(length), 0) => self.x.slice(self.axis, None, Some(length)),
                (Some(length), _) => self.x.slice(self.axis, Some(-length), None),
            };
            let value = match mode {
                "maximum" => part.reduce_axes("max", Some(&axes), true),
                "minimum" => part.reduce_axes("min", Some(&axes), true),
                // "mean" and "median", of integers rounded.
                _ if dtype.is_float() => part.reduce_axes(mode, Some(&axes), true),
                _ => part.cast(DType::F64).reduce_axes(mode, Some(&axes), true).round().cast(dtype),
            };
            self.filled(&value, width)
        })
    }
}

impl Var {
    /// A value before and after the elements along every axis: for each axis how often before and after.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, [2.into(), 3.into()]));
    /// let padded = x.pad(&[[1, 2], [0, 3]], &Var::weak(0.0));
    /// assert_eq!(padded.ty().unwrap().to_string(), "f32[5, 6]");
    /// ```
    #[track_caller]
    pub fn pad(&self, widths: &[[usize; 2]], value: &Var) -> Var {
        let pairs: Vec<i64> = widths.iter().flatten().map(|&width| width as i64).collect();
        match crate::tensor::Tensor::from_vec(pairs, &[widths.len(), 2]) {
            Ok(pairs) => Var::apply("pad", &[self.clone(), Var::constant(pairs), value.clone()], Attributes::new()),
            Err(error) => Var::error(error, crate::graph::Location::caller()),
        }
    }
}
