//! Operands that are sizes: integer vectors whose values are lengths of axes, and what is known of them
//! before a call.

use super::{Operand, ShapeOperand};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{Dim, Shape, Tensor, unknown_dims};

/// The dims that an operand of sizes stands for, as far as they are known.
///
/// # Errors
/// If it is not an integer vector of known length, or a size is negative.
pub(super) fn dims_of_sizes(operand: &Operand<'_>) -> Result<Vec<Dim>> {
    read(operand, false)
}

/// The same where one size may be -1, for what is left: its dim is not known.
///
/// # Errors
/// As [`dims_of_sizes`], or if more than one size is -1.
pub(super) fn open_dims_of_sizes(operand: &Operand<'_>) -> Result<Vec<Dim>> {
    read(operand, true)
}

fn read(operand: &Operand<'_>, open: bool) -> Result<Vec<Dim>> {
    let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
    // A list without elements has no dtype of its own.
    let empty = operand.ty.dims.first().and_then(Dim::known) == Some(0);
    let [length] = operand.ty.dims.as_slice() else {
        return fail(format!("sizes are an integer vector, not {}", operand.ty));
    };
    if !operand.ty.dtype.is_integer() && !empty {
        return fail(format!("sizes are an integer vector, not {}", operand.ty));
    }
    if let Some(constant) = operand.constant {
        let sizes = constant.to_i64_vec();
        if open && sizes.iter().filter(|&&size| size == -1).count() > 1 {
            return fail("only one size may be -1".to_owned());
        }
        let dim = |&size: &i64| match usize::try_from(size) {
            Ok(length) => Ok(Dim::Known(length)),
            Err(_) if open && size == -1 => Ok(Dim::Unknown),
            Err(_) => fail_dim(size, &sizes),
        };
        return sizes.iter().map(dim).collect();
    }
    match (operand.sizes, length) {
        (Some(sizes), _) => Ok(sizes.to_vec()),
        (None, Dim::Known(rank)) => unknown_dims(*rank),
        _ => fail("the number of axes is not known: sizes of unknown length".to_owned()),
    }
}

fn fail_dim(size: i64, sizes: &[i64]) -> Result<Dim> {
    Err(Error::new(ErrorKind::Type, format!("{size} is not a size, in {sizes:?}")))
}

/// The value of an operand of [`size_operands`](super::Op::size_operands).
///
/// # Errors
/// If the caller has not given it.
pub(super) fn value_of<'a>(operand: &ShapeOperand<'a>, op: &str) -> Result<&'a Tensor> {
    operand.value.ok_or_else(|| {
        Error::new(ErrorKind::Internal, format!("the sizes of `{op}` are not known when its shape is computed"))
    })
}

/// The shape that an operand of sizes stands for.
///
/// # Errors
/// If a size is negative, or there would be more elements than memory can have.
pub(super) fn shape_of_sizes(operand: &ShapeOperand<'_>, op: &str) -> Result<Shape> {
    let sizes = value_of(operand, op)?.to_i64_vec();
    let negative = |size: i64| Error::new(ErrorKind::Runtime, format!("`{op}`: {size} is not a size, in {sizes:?}"));
    let shape: Shape = sizes.iter().map(|&size| usize::try_from(size).map_err(|_| negative(size))).collect::<Result<_>>()?;
    match shape.iter().try_fold(16usize, |bytes, &length| bytes.checked_mul(length)) {
        Some(bytes) if bytes < isize::MAX as usize => Ok(shape),
        _ => Err(Error::new(ErrorKind::Runtime, format!("`{op}`: a tensor of shape {sizes:?} is too large"))),
    }
}

/// A constant vector of sizes.
#[track_caller]
pub(super) fn sizes(shape: &[usize]) -> Var {
    Var::constant(Tensor::vector(shape.iter().map(|&length| length as i64).collect()))
}

/// What is known of a dim that is both of two.
pub(super) fn meet(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Known(_), _) | (Dim::Named(_), Dim::Named(_) | Dim::Unknown) => a.clone(),
        _ => b.clone(),
    }
}

/// A number of elements as far as it is known: a known factor times named and unknown ones.
pub(super) struct Count {
    pub(super) known: usize,
    pub(super) names: Vec<Dim>,
    pub(super) unknown: usize,
}

impl Count {
    /// The product of some dims.
    pub(super) fn of<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Count {
        let mut count = Count { known: 1, names: Vec::new(), unknown: 0 };
        for dim in dims {
            match dim {
                Dim::Known(length) => match count.known.checked_mul(*length) {
                    Some(known) => count.known = known,
                    None => count.unknown += 1,
                },
                Dim::Named(_) => count.names.push(dim.clone()),
                Dim::Unknown => count.unknown += 1,
            }
        }
        count
    }

    /// The number, if it is known.
    pub(super) fn number(&self) -> Option<usize> {
        (self.known == 0 || (self.names.is_empty() && self.unknown == 0)).then_some(self.known)
    }

    /// The number as a dim.
    pub(super) fn dim(&self) -> Dim {
        match (self.number(), self.names.as_slice()) {
            (Some(number), _) => Dim::Known(number),
            (None, [name]) if self.known == 1 && self.unknown == 0 => name.clone(),
            _ => Dim::Unknown,
        }
    }
}
