//! Reads of reads: a slice and then an item of what it gives are one item.

use super::super::{Found, Site, one};
use super::bounds::composed_by_scalars;
use super::{ALL, Axis, BACKWARDS, at, basic_index, length, own_index};
use crate::graph::ValueId;
use crate::ops::index::slice_range;

/// A slice and then an item of what it gives, as one item.
pub(super) fn composed(inner: Axis, outer: Axis, length: Option<usize>) -> Option<Axis> {
    if inner.is_all(length) {
        return Some(outer);
    }
    if outer.is_all(None) {
        return Some(inner);
    }
    let Axis::Slice { start, stop, step } = inner else { return None };
    if let Some(length) = length {
        let (first, count) = slice_range(length, start, stop, step);
        return match outer {
            Axis::Place(_) | Axis::Cut { .. } => None,
            Axis::At(at) => {
                let at = if at < 0 { at.checked_add(count as i64)? } else { at };
                (0..count as i64).contains(&at).then(|| Axis::At(first + at * step))
            }
            Axis::Slice { start, stop, step: again } => {
                let (begin, count) = slice_range(count, start, stop, again);
                if count == 0 {
                    return Some(Axis::Slice { start: Some(0), stop: Some(0), step: 1 });
                }
                let (first, step) = (first + begin * step, step.checked_mul(again)?);
                let last = first + (count as i64 - 1) * step;
                let stop = if step > 0 { Some(last + 1) } else { Some(last - 1).filter(|&stop| stop >= 0) };
                Some(Axis::Slice { start: Some(first), stop, step })
            }
        };
    }
    composed_anywhere((start, stop, step), outer)
}

/// The same where the length is not known: of bounds that count from one end only.
fn composed_anywhere((start, stop, step): (Option<i64>, Option<i64>, i64), outer: Axis) -> Option<Axis> {
    let from_front = |bound: Option<i64>| bound.unwrap_or(0) >= 0;
    let from_end = |bound: Option<i64>| bound.is_none_or(|bound| bound < 0);
    // Backwards the whole axis: the nth place is the nth from the end.
    if step == -1 && start.is_none() && stop.is_none() {
        let turned = |at: i64| at.checked_add(1).and_then(i64::checked_neg);
        return match outer {
            Axis::At(at) => Some(Axis::At(turned(at)?)),
            Axis::Slice { start, stop, step } => {
                let bound = |bound: Option<i64>| bound.map_or(Some(None), |bound| turned(bound).map(Some));
                Some(Axis::Slice { start: bound(start)?, stop: bound(stop)?, step: step.checked_neg()? })
            }
            Axis::Place(_) | Axis::Cut { .. } => None,
        };
    }
    let start = start.unwrap_or(0);
    match outer {
        // Backwards through a slice: from before its end to its start.
        Axis::Slice { start: None, stop: None, step: -1 } if step == 1 && start >= 0 => {
            let before = |bound: i64| bound.checked_sub(1);
            let first = match stop {
                None => None,
                Some(0) => return None,
                Some(stop) => Some(before(stop)?),
            };
            Some(Axis::Slice { start: first, stop: if start == 0 { None } else { Some(before(start)?) }, step: -1 })
        }
        Axis::At(at) if at >= 0 && step > 0 && start >= 0 => {
            let place = start.checked_add(at.checked_mul(step)?)?;
            stop.is_none_or(|stop| stop >= 0 && place < stop).then_some(Axis::At(place))
        }
        // From the end of what leaves the last few out.
        Axis::At(at) if step == 1 && start == 0 && from_end(stop) => Some(Axis::At(stop.unwrap_or(0).checked_add(at)?)),
        Axis::Slice { start: from, stop: to, step: again } if again > 0 && step > 0 && start >= 0 && from_front(from) => {
            let first = start.checked_add(from.unwrap_or(0).checked_mul(step)?)?;
            let end = match (stop, to) {
                (None, None) => None,
                (Some(stop), None) if stop >= 0 => Some(stop),
                (None, Some(to)) if to >= 0 => Some(start.checked_add(to.checked_mul(step)?)?),
                (Some(stop), Some(to)) if stop >= 0 && to >= 0 => Some(stop.min(start.checked_add(to.checked_mul(step)?)?)),
                // Of what leaves the last few out, it leaves some more out.
                (stop, to) if step == 1 && from_end(stop) && from_end(to) => Some(stop.unwrap_or(0).checked_add(to.unwrap_or(0))?),
                _ => return None,
            };
            Some(Axis::Slice { start: Some(first).filter(|&first| first > 0), stop: end, step: step.checked_mul(again)? })
        }
        // The last few of what leaves the very last out.
        Axis::Slice { start: Some(from), stop: to, step: again } if again > 0 && step == 1 && start == 0 && from < 0 && from_end(stop) && from_end(to) => {
            let stop = stop.unwrap_or(0);
            let end = stop.checked_add(to.unwrap_or(0))?;
            Some(Axis::Slice { start: Some(stop.checked_add(from)?), stop: if end == 0 { None } else { Some(end) }, step: again })
        }
        _ => None,
    }
}

/// What is flipped, and the same as an index.
fn flipped(site: &Site<'_>, value: ValueId) -> Option<(ValueId, Vec<Axis>)> {
    let (operands, attributes) = site.made_by(value, "flip")?;
    let x = *operands.first()?;
    let rank = site.ty(x).rank();
    let Some(flipped) = attributes.ints("axis").ok()? else { return Some((x, vec![BACKWARDS; rank])) };
    let mut axes = vec![ALL; rank];
    for axis in flipped {
        *axes.get_mut(usize::try_from(axis.rem_euclid(rank.max(1) as i64)).ok()?)? = BACKWARDS;
    }
    Some((x, axes))
}

pub(super) fn index_of_index(site: &mut Site<'_>) -> Found {
    let Some((between, outer)) = own_index(site) else { return Ok(None) };
    let Some((x, inner)) = basic_index(site, between).or_else(|| flipped(site, between)) else { return Ok(None) };
    let mut outer = outer.into_iter();
    let mut axes = Vec::new();
    for (axis, item) in inner.into_iter().enumerate() {
        let both = match item {
            Axis::At(_) | Axis::Place(_) => Some(item),
            Axis::Slice { .. } | Axis::Cut { .. } => match outer.next() {
                None => None,
                Some(next) => match composed(item, next, length(site, x, axis)) {
                    // What is read again stays what it is: a sum for each of its readers would be more, not less.
                    None if site.used_once(between) => composed_by_scalars(site, item, next)?,
                    both => both,
                },
            },
        };
        match both {
            Some(both) => axes.push(both),
            None => return Ok(None),
        }
    }
    let value = at(site, x, &axes)?;
    one(site, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places that an item names of an axis that has these; nothing where one is not there.
    fn places(of: &[i64], item: Axis) -> Option<Vec<i64>> {
        match item {
            Axis::At(at) => {
                let at = if at < 0 { at + of.len() as i64 } else { at };
                Some(vec![*of.get(usize::try_from(at).ok()?)?])
            }
            Axis::Slice { start, stop, step } => {
                let (first, count) = slice_range(of.len(), start, stop, step);
                Some((0..count as i64).map(|i| of[(first + i * step) as usize]).collect())
            }
            Axis::Place(_) | Axis::Cut { .. } => None,
        }
    }

    #[test]
    fn items_of_items_name_the_same_places() {
        let bounds: Vec<Option<i64>> = std::iter::once(None).chain((-3..=3).map(Some)).collect();
        let mut slices = Vec::new();
        for &start in &bounds {
            for &stop in &bounds {
                slices.extend([1, 2, 3, -1, -2].map(|step| Axis::Slice { start, stop, step }));
            }
        }
        let outer: Vec<Axis> = slices.iter().copied().chain((-4..=4).map(Axis::At)).collect();
        let mut anywhere = 0;
        for &first in &slices {
            for &second in &outer {
                let everywhere = composed(first, second, None);
                anywhere += usize::from(everywhere.is_some());
                for length in 0..=7 {
                    let axis: Vec<i64> = (0..length as i64).collect();
                    let wanted = places(&places(&axis, first).unwrap(), second);
                    for (both, known) in [(everywhere, false), (composed(first, second, Some(length)), true)] {
                        let Some(both) = both else { continue };
                        assert_eq!(places(&axis, both), wanted, "{first:?} {second:?} of {length}, known: {known}: {both:?}");
                    }
                }
            }
        }
        assert!(anywhere > 1000, "{anywhere} are known of any length");
    }
}
