//! An index matched to the axes of what is indexed, and the arithmetic of slices and positions.

use super::type_error;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{IndexBound, IndexItem};

/// One step of an index in order, matched to the axes of what is indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new axis of length 1.
    NewAxis,
    /// An ellipsis that stands for no axis.
    Nothing,
    /// An axis sliced.
    Slice {
        /// The axis.
        axis: usize,
        /// Where to start.
        start: IndexBound,
        /// Where to stop, exclusive.
        stop: IndexBound,
        /// The step, not 0.
        step: i64,
    },
    /// A literal position on an axis.
    At {
        /// The axis.
        axis: usize,
        /// The position; negative ones count from the end.
        position: i64,
    },
    /// Positions on an axis, given by an operand: an integer scalar or array.
    Positions {
        /// The axis.
        axis: usize,
        /// The number of the operand, counted as in [`IndexItem::Operand`].
        operand: usize,
    },
    /// A bool mask over `rank` axes from `axis` on; over none it stands for a new axis of length 1 or 0.
    Mask {
        /// The first axis.
        axis: usize,
        /// The number of the operand, counted as in [`IndexItem::Operand`].
        operand: usize,
        /// The number of axes.
        rank: usize,
    },
}

/// An index matched to the axes of what is indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The steps in order; every axis occurs in one.
    pub steps: Vec<Step>,
    /// Whether an array or mask occurs: then all positions broadcast together.
    pub advanced: bool,
    /// Whether the dims of the broadcast positions come first in the result, as positions are not next
    /// to each other, rather than at the place of the first of them.
    pub leading: bool,
}

/// Matches an index to `rank` axes. `operand` gives, for an operand's number, its rank and whether it
/// is a mask.
///
/// # Errors
/// If the index has too many items, two ellipses or a step of 0.
pub fn plan(items: &[IndexItem], rank: usize, operand: impl Fn(usize) -> Result<(usize, bool)>) -> Result<Plan> {
    let (mut used, mut ellipses) = (0, 0);
    for item in items {
        match item {
            IndexItem::Slice { .. } | IndexItem::At(_) => used += 1,
            IndexItem::Operand(number) => match operand(*number)? {
                (axes, true) => used += axes,
                _ => used += 1,
            },
            IndexItem::Ellipsis => ellipses += 1,
            IndexItem::NewAxis => {}
        }
    }
    if ellipses > 1 {
        return type_error("an index has at most one `...`");
    }
    let Some(rest) = rank.checked_sub(used) else {
        return type_error(format!("the index is for {used} axes, but there are {rank}"));
    };
    let whole = |axis| Step::Slice { axis, start: IndexBound::Open, stop: IndexBound::Open, step: 1 };
    let (mut steps, mut axis, mut advanced) = (Vec::new(), 0, false);
    for item in items {
        match item {
            IndexItem::NewAxis => steps.push(Step::NewAxis),
            IndexItem::Ellipsis if rest == 0 => steps.push(Step::Nothing),
            IndexItem::Ellipsis => {
                steps.extend((axis..axis + rest).map(whole));
                axis += rest;
            }
            IndexItem::Slice { step: 0, .. } => return type_error("the step of a slice is 0"),
            IndexItem::Slice { start, stop, step } => {
                steps.push(Step::Slice { axis, start: *start, stop: *stop, step: *step });
                axis += 1;
            }
            IndexItem::At(position) => {
                steps.push(Step::At { axis, position: *position });
                axis += 1;
            }
            IndexItem::Operand(number) => {
                let (rank, mask) = operand(*number)?;
                advanced |= mask || rank > 0;
                steps.push(match mask {
                    true => Step::Mask { axis, operand: *number, rank },
                    false => Step::Positions { axis, operand: *number },
                });
                axis += if mask { rank } else { 1 };
            }
        }
    }
    steps.extend((axis..rank).map(whole));
    let positions: Vec<usize> =
        steps.iter().enumerate().filter(|(_, step)| step.is_position()).map(|(i, _)| i).collect();
    let together = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
    Ok(Plan { steps, advanced, leading: advanced && !together })
}

impl Step {
    /// Whether the step removes its axis or replaces it by positions.
    pub fn is_position(&self) -> bool {
        matches!(self, Step::At { .. } | Step::Positions { .. } | Step::Mask { .. })
    }
}

impl Plan {
    /// The dims of the result from those of the slices and new axes, in order, and of the positions
    /// broadcast together.
    pub fn assemble<D: Clone>(&self, kept: &[D], positions: &[D]) -> Vec<D> {
        let before = self.steps.iter().take_while(|step| !step.is_position());
        let before = before.filter(|step| !matches!(step, Step::Nothing)).count();
        let place = if self.leading { 0 } else { before.min(kept.len()) };
        [&kept[..place], positions, &kept[place..]].concat()
    }
}

/// The first position and the number of positions of a slice of an axis, by Python's rules. `step` is
/// not 0.
pub fn slice_range(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> (i64, usize) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let clamp = |bound: i64| (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(low, high);
    let start = start.map_or(if step < 0 { high } else { low }, clamp);
    let stop = stop.map_or(if step < 0 { low } else { high }, clamp);
    let span = if step < 0 { start - stop } else { stop - start };
    let count = if span <= 0 { 0 } else { (span as u64 - 1) / step.unsigned_abs().max(1) + 1 };
    (start, count as usize)
}

/// A position counted from the front.
///
/// # Errors
/// If it is out of range; the message names position, axis and length.
pub fn normalize_position(position: i64, axis: usize, length: usize) -> Result<usize> {
    let counted = if position < 0 { position.saturating_add_unsigned(length as u64) } else { position };
    match usize::try_from(counted) {
        Ok(counted) if counted < length => Ok(counted),
        _ => {
            let message = format!("index {position} is out of range for axis {axis} of length {length}");
            Err(Error::new(ErrorKind::Runtime, message))
        }
    }
}
