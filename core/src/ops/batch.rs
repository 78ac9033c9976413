//! Batches: what an op does to many rows at once, for [`vectorize`](super::vectorize).

use super::composed::{length, vector};
use super::shape::concatenate;
use super::{Attribute, Attributes, normalize_axis};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;

/// What [`Op::batch`](super::Op::batch) works from. At least one operand is batched.
pub struct Batch<'a> {
    /// The operands that the op was applied to, those of one row: their types are what counts.
    pub single: &'a [Var],
    /// The results for one row, of which too only the types count.
    pub results: &'a [Var],
    /// The operands for all rows; those that are batched have one more axis, the first one.
    pub operands: &'a [Var],
    /// Which operands are batched; the others are the same for every row.
    pub batched: &'a [bool],
    /// The attributes of the application.
    pub attributes: &'a Attributes,
}

/// The results of an op for all rows.
pub enum Batched {
    /// Each result has one more axis, the first one, over the rows.
    Rows(Vec<Var>),
    /// The results are the same for every row.
    Same(Vec<Var>),
    /// The op has no rule: elementwise ops are broadcast, ops that are made of others are taken apart, and
    /// others are run row by row.
    Default,
}

impl Batch<'_> {
    /// How many axes one row of an operand has.
    pub(crate) fn rank(&self, at: usize) -> Result<usize> {
        let single = self.single.get(at).ok_or_else(|| Error::new(ErrorKind::Internal, format!("operand {at} is missing")))?;
        Ok(single.ty()?.rank())
    }

    /// Whether an operand that there may be is batched.
    pub(crate) fn is_batched(&self, at: usize) -> bool {
        self.batched.get(at).copied().unwrap_or(false)
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> Var {
        match self.operands.iter().zip(self.batched).find(|(_, batched)| **batched) {
            Some((operand, _)) => length(operand, 0),
            None => Var::scalar(1i64),
        }
    }

    /// An operand whose rows have new axes of length 1 in front, so that they have `rank` axes. One that is
    /// not batched is left as it is: it broadcasts.
    pub(crate) fn aligned(&self, at: usize, rank: usize) -> Result<Var> {
        let new = rank.saturating_sub(self.rank(at)?);
        Ok(if self.is_batched(at) { behind_first(&self.operands[at], new) } else { self.operands[at].clone() })
    }

    /// All operands [aligned](Batch::aligned) to the largest rank among them.
    pub(crate) fn all_aligned(&self) -> Result<Vec<Var>> {
        let ranks = (0..self.operands.len()).map(|at| self.rank(at)).collect::<Result<Vec<_>>>()?;
        let rank = ranks.into_iter().max().unwrap_or(0);
        (0..self.operands.len()).map(|at| self.aligned(at, rank)).collect()
    }

    /// An operand with the axis over the rows, repeated if it is the same for each.
    pub(crate) fn spread(&self, at: usize) -> Var {
        let operand = &self.operands[at];
        if self.is_batched(at) { operand.clone() } else { spread(operand, &self.rows()) }
    }

    /// An operand that is a vector of sizes, with the number of rows in front.
    pub(crate) fn sizes(&self, at: usize) -> Var {
        behind(&self.rows(), &self.operands[at])
    }

    /// An operand whose rows are flattened.
    pub(crate) fn flat_rows(&self, at: usize) -> Result<Var> {
        Ok(flat_rows(&self.operands[at], self.rank(at)?))
    }

    /// The attributes with one more in the attribute that names axes of a row of `rank` axes; `none` names
    /// all of them.
    pub(crate) fn shifted(&self, name: &str, rank: usize) -> Result<Attributes> {
        let shift = |axis: i64| -> Result<Attribute> { Ok(Attribute::Int(normalize_axis(axis, rank)? as i64 + 1)) };
        let axes = match self.attributes.get(name) {
            Some(Attribute::Int(axis)) => shift(*axis)?,
            _ => {
                let axes = match self.attributes.ints(name)? {
                    Some(axes) => axes,
                    None => (0..rank as i64).collect(),
                };
                Attribute::List(axes.into_iter().map(shift).collect::<Result<_>>()?)
            }
        };
        Ok(self.attributes.clone().with(name, axes))
    }
}

/// A value with new axes of length 1 behind its first one.
pub(crate) fn behind_first(value: &Var, new: usize) -> Var {
    (0..new).fold(value.clone(), |value, _| value.expand_dims(1))
}

/// A value with each of its rows flattened, which have `rank` axes.
pub(crate) fn flat_rows(value: &Var, rank: usize) -> Var {
    match rank {
        0 => value.expand_dims(1),
        1 => value.clone(),
        _ => {
            let count = (2..=rank).fold(length(value, 1), |count, axis| count * length(value, axis));
            value.reshape_to(&vector(&[length(value, 0), count]))
        }
    }
}

/// A value repeated along a new first axis.
pub(crate) fn spread(value: &Var, rows: &Var) -> Var {
    value.broadcast_to_var(&behind(rows, &value.shape()))
}

/// A vector of sizes with another size in front.
pub(crate) fn behind(first: &Var, sizes: &Var) -> Var {
    match sizes.ty().map(|ty| ty.dims.first().and_then(crate::tensor::Dim::known)) {
        Ok(Some(0)) => vector(std::slice::from_ref(first)),
        _ => concatenate(&[vector(std::slice::from_ref(first)), sizes.clone()], 0),
    }
}
