//! Windows that slide along axes, which convolutions sum with weights and poolings reduce; and the
//! attributes that describe them.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{self, Arguments, constant_int, length, lengths, positions, type_error, vector, whole_axis, zero_of};
use crate::ops::index::index_attribute;
use crate::ops::shape::concatenate;
use crate::ops::{Attribute, Attributes, IndexItem};

/// A sum, product or the like of two sizes, i64 scalars; of constants a constant.
pub(in crate::ops) fn size(op: &str, a: &Var, b: &Var) -> Result<Var> {
    let (Some(x), Some(y)) = (constant_int(a), constant_int(b)) else {
        return Ok(Var::apply(op, &[a.clone(), b.clone()], Attributes::new()));
    };
    let value = match op {
        "add" => x.checked_add(y),
        "sub" => x.checked_sub(y),
        "mul" => x.checked_mul(y),
        "floor_div" if y > 0 => Some(x.div_euclid(y)),
        "maximum" => Some(x.max(y)),
        "minimum" => Some(x.min(y)),
        _ => None,
    };
    match value {
        Some(value) => Ok(Var::scalar(value)),
        None => type_error(format!("the sizes {x} and {y} are too large")),
    }
}

/// One axis along which windows slide.
pub(super) struct Axis {
    pub(super) axis: usize,
    /// The elements of a window, an i64 scalar.
    pub(super) window: Var,
    pub(super) stride: i64,
    pub(super) dilation: i64,
    /// How many elements are put before and after.
    pub(super) padding: [Var; 2],
}

impl Axis {
    /// From the first element of a window to behind its last one.
    pub(super) fn span(&self) -> Result<Var> {
        span(&self.window, self.dilation)
    }

    /// `x` with its axis replaced by two: the windows, and the elements of each. Padding is `fill`.
    pub(super) fn windows(&self, x: &Var, fill: &Var) -> Result<Var> {
        let one = Var::scalar(1i64);
        let x = padded(x, self.axis, &self.padding, fill)?;
        if constant_int(&self.window) == Some(1) && self.stride == 1 {
            return Ok(x.expand_dims(self.axis as i64 + 1));
        }
        let (length, span) = (length(&x, self.axis), self.span()?);
        let rest = size("sub", &length, &span)?;
        if let Some(rest) = constant_int(&rest).filter(|&rest| rest < 0) {
            let length = constant_int(&length).unwrap_or_default();
            return type_error(format!("a window over {} elements does not fit into {length}, padding included: its end is out of range", length - rest));
        }
        let count = size("add", &size("floor_div", &rest, &Var::scalar(self.stride))?, &one)?;
        // Where a call shows that no window fits, taking the first one is the error.
        let count = size("maximum", &count, &one)?;
        Ok(x.take(&self.places(&count), self.axis as i64))
    }

    /// Where the elements of so many windows lie.
    fn places(&self, count: &Var) -> Var {
        let starts = positions(count).expand_dims(-1) * Var::scalar(self.stride);
        starts + positions(&self.window) * Var::scalar(self.dilation)
    }

    /// The adjoint of [`Axis::windows`]: an axis of this length in place of windows and their elements, to which
    /// each element is added where it came from.
    pub(super) fn added_back(&self, windows: &Var, length: &Var) -> Result<Var> {
        let count = composed::length(windows, self.axis);
        let all = size("add", &size("add", length, &self.padding[0])?, &self.padding[1])?;
        let mut shape = lengths(windows)?;
        shape.splice(self.axis..=self.axis + 1, [all]);
        let zeros = zero_of(windows)?.broadcast_to_var(&vector(&shape));
        let items = [vec![whole_axis(); self.axis], vec![IndexItem::Operand(0)]].concat();
        let sums = Var::apply("add_at", &[zeros, windows.clone(), self.places(&count)], index_attribute(items));
        if self.padding.iter().all(|width| constant_int(width) == Some(0)) {
            return Ok(sums);
        }
        Ok(sums.slice_between(self.axis, &self.padding[0], &size("add", &self.padding[0], length)?))
    }
}

/// From the first element of a window to behind its last one.
pub(super) fn span(window: &Var, dilation: i64) -> Result<Var> {
    let one = Var::scalar(1i64);
    size("add", &size("mul", &size("sub", window, &one)?, &Var::scalar(dilation))?, &one)
}

/// `x` with elements before and after it along an axis.
pub(super) fn padded(x: &Var, axis: usize, padding: &[Var; 2], fill: &Var) -> Result<Var> {
    let some = |width: &Var| constant_int(width) != Some(0);
    if !padding.iter().any(some) {
        return Ok(x.clone());
    }
    let side = |width: &Var| -> Result<Var> {
        let mut shape = lengths(x)?;
        shape[axis] = width.clone();
        Ok(fill.broadcast_to_var(&vector(&shape)))
    };
    let mut parts = vec![x.clone()];
    if some(&padding[0]) {
        parts.insert(0, side(&padding[0])?);
    }
    if some(&padding[1]) {
        parts.push(side(&padding[1])?);
    }
    Ok(concatenate(&parts, axis as i64))
}

/// An attribute of one whole number for all axes, or one for each.
pub(super) fn per_axis(a: &Arguments<'_>, name: &str, count: usize, least: i64) -> Result<Vec<i64>> {
    let given = a.attributes.ints(name)?.unwrap_or_default();
    let given = if given.len() == 1 { vec![given[0]; count] } else { given };
    match given.iter().find(|&&number| number < least) {
        Some(number) => type_error(format!("`{name}` is at least {least}, but this is {number}")),
        None if given.len() != count => {
            type_error(format!("`{name}` is one number or {count}, one for each axis, not {}", given.len()))
        }
        None => Ok(given),
    }
}

/// What the attribute `padding` says.
pub(super) enum Padding {
    /// As many windows as `ceil(length / stride)`.
    Same,
    /// As many elements as half a window before and after.
    Half,
    /// All windows that hold at least one element.
    Full,
    /// So many elements before and after.
    Pairs(Vec<[i64; 2]>),
}

impl Padding {
    pub(super) fn of(a: &Arguments<'_>, count: usize) -> Result<Padding> {
        let wrong = || {
            type_error(format!(
                "`padding` is a number, one for each of {count} axes, a pair of numbers for each, \"valid\", \"same\", \"half\" or \"full\""
            ))
        };
        let number = |item: &Attribute| match item {
            Attribute::Int(number) => Some(*number),
            _ => None,
        };
        let pairs = match a.attributes.get("padding") {
            Some(Attribute::Str(name)) => match name.as_str() {
                "valid" => vec![[0, 0]; count],
                "same" => return Ok(Padding::Same),
                "half" => return Ok(Padding::Half),
                "full" => return Ok(Padding::Full),
                _ => return wrong(),
            },
            Some(Attribute::Int(number)) => vec![[*number; 2]; count],
            Some(Attribute::List(items)) if items.len() == count => {
                let pair = |item: &Attribute| match item {
                    Attribute::List(pair) if pair.len() == 2 => Some([number(&pair[0])?, number(&pair[1])?]),
                    item => number(item).map(|number| [number; 2]),
                };
                match items.iter().map(pair).collect::<Option<Vec<_>>>() {
                    Some(pairs) => pairs,
                    None => return wrong(),
                }
            }
            _ => return wrong(),
        };
        match pairs.iter().flatten().find(|&&number| number < 0) {
            Some(number) => type_error(format!("`padding` is not negative, but this is {number}")),
            None => Ok(Padding::Pairs(pairs)),
        }
    }

    /// The elements before and after the axis with this number, of this length, among those that slide.
    pub(super) fn widths(&self, number: usize, length: &Var, window: &Var, stride: i64, dilation: i64) -> Result<[Var; 2]> {
        let (zero, one, two) = (Var::scalar(0i64), Var::scalar(1i64), Var::scalar(2i64));
        let both = |width: Var| [width.clone(), width];
        let span = span(window, dilation)?;
        Ok(match self {
            Padding::Pairs(pairs) => pairs[number].map(Var::scalar),
            Padding::Half => both(size("floor_div", &span, &two)?),
            Padding::Full => both(size("sub", &span, &one)?),
            Padding::Same => {
                let stride = Var::scalar(stride);
                // (ceil(length / stride) - 1) * stride, for a length of at least 1.
                let last = size("mul", &size("floor_div", &size("sub", length, &one)?, &stride)?, &stride)?;
                let all = size("maximum", &size("sub", &size("add", &last, &span)?, length)?, &zero)?;
                let before = size("floor_div", &all, &two)?;
                let after = size("sub", &all, &before)?;
                [before, after]
            }
        })
    }
}
