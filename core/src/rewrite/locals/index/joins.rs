//! Reads of joins, and joins of reads.

use super::super::{Found, Site, one};
use super::{ALL, Axis, at, basic_index, length, own_index};
use crate::graph::ValueId;
use crate::ops::index::slice_range;
use crate::ops::Attributes;

pub(super) fn index_of_join(site: &mut Site<'_>) -> Found {
    let Some((joined, axes)) = own_index(site) else { return Ok(None) };
    let rank = site.ty(joined).rank();
    if let Some((parts, attributes)) = site.made_by(joined, "stack") {
        let axis = attributes.axis("axis", rank)?;
        let rest: Vec<Axis> = axes.iter().enumerate().filter(|&(other, _)| other != axis).map(|(_, &item)| item).collect();
        if axes[axis] == ALL {
            return join_of_indexed(site, "stack", joined, axis, &axes, &rest);
        }
        let Axis::At(place) = axes[axis] else { return Ok(None) };
        let place = if place < 0 { place + parts.len() as i64 } else { place };
        let Some(&part) = usize::try_from(place).ok().and_then(|place| parts.get(place)) else { return Ok(None) };
        let value = at(site, part, &rest)?;
        return one(site, value);
    }
    let Some((parts, attributes)) = site.made_by(joined, "concatenate") else { return Ok(None) };
    let axis = attributes.axis("axis", rank)?;
    if axes[axis] == ALL {
        return join_of_indexed(site, "concatenate", joined, axis, &axes, &axes);
    }
    let lengths: Vec<Option<usize>> = parts.iter().map(|&part| length(site, part, axis)).collect();
    let found = match lengths.iter().copied().collect::<Option<Vec<usize>>>() {
        Some(lengths) => of_known(axes[axis], &lengths),
        None => from_one_end(axes[axis], &lengths),
    };
    let taken: Vec<(ValueId, Axis)> = found.unwrap_or_default().into_iter().map(|(part, item)| (parts[part], item)).collect();
    if taken.is_empty() || (taken.len() > 1 && (taken.len() > MOST || !site.used_once(joined))) {
        return Ok(None);
    }
    let mut indexed = Vec::new();
    for (part, own) in taken {
        let mut axes = axes.clone();
        axes[axis] = own;
        indexed.push(at(site, part, &axes)?);
    }
    if let [only] = indexed[..] {
        return one(site, only);
    }
    let axis = axis - axes[..axis].iter().filter(|item| item.drops()).count();
    let value = site.apply("concatenate", &indexed, Attributes::new().with("axis", axis as i64))?;
    one(site, value)
}

/// Of an item of a join along its axis, the parts of these lengths that it names, and what of each.
fn of_known(item: Axis, lengths: &[usize]) -> Option<Vec<(usize, Axis)>> {
    let total: usize = lengths.iter().sum();
    let (first, count) = match item {
        Axis::At(at) => (if at < 0 { at + total as i64 } else { at }, 1),
        Axis::Slice { start, stop, step: 1 } => slice_range(total, start, stop, 1),
        _ => return None,
    };
    let first = usize::try_from(first).ok()?;
    let (mut start, mut taken) = (0, Vec::new());
    for (part, &length) in lengths.iter().enumerate() {
        let (from, to) = (first.clamp(start, start + length) - start, (first + count).clamp(start, start + length) - start);
        if from < to {
            taken.push((part, match item {
                Axis::At(_) => Axis::At(from as i64),
                _ => Axis::Slice { start: (from > 0).then_some(from as i64), stop: (to < length).then_some(to as i64), step: 1 },
            }));
        }
        start += length;
    }
    Some(taken)
}

/// The same where not all lengths are known: of places that count from the one end, as far as the lengths from there are known,
/// and into what comes then if that is all that is left.
fn from_one_end(item: Axis, lengths: &[Option<usize>]) -> Option<Vec<(usize, Axis)>> {
    let slice = |start: usize, stop: i64| {
        let bound = |bound: i64| (bound != 0).then_some(bound);
        Axis::Slice { start: bound(start as i64), stop: bound(stop), step: 1 }
    };
    let (count, last) = (lengths.len(), lengths.len() - 1);
    // A part of unknown length may have no place at all.
    let certain = |part: usize, end: usize| lengths[part].is_some() || part == end;
    match item {
        Axis::At(at) if at >= 0 => {
            let (part, left) = reached(lengths.iter().copied().enumerate(), usize::try_from(at).ok()?, last)?;
            certain(part, last).then(|| vec![(part, Axis::At(left as i64))])
        }
        // The very last is none before the end.
        Axis::At(at) => {
            let before = usize::try_from(at.checked_add(1)?.checked_neg()?).ok()?;
            let (part, left) = reached(lengths.iter().copied().enumerate().rev(), before, 0)?;
            certain(part, 0).then(|| vec![(part, Axis::At(-(left as i64) - 1))])
        }
        Axis::Slice { start, stop: None, step: 1 } => {
            let (part, left) = reached(lengths.iter().copied().enumerate(), usize::try_from(start.unwrap_or(0)).ok()?, last)?;
            Some((part..count).map(|at| (at, if at == part { slice(left, 0) } else { ALL })).collect())
        }
        Axis::Slice { start: None | Some(0), stop: Some(stop), step: 1 } if stop < 0 => {
            let (part, left) = reached(lengths.iter().copied().enumerate().rev(), usize::try_from(stop.checked_neg()?).ok()?, 0)?;
            Some((0..=part).map(|at| (at, if at == part { slice(0, -(left as i64)) } else { ALL })).collect())
        }
        _ => None,
    }
}

/// The part that is reached after so many places, and how many of these are left there: one of known length with more
/// places, one of any after none, or the last that there is.
fn reached(parts: impl Iterator<Item = (usize, Option<usize>)>, places: usize, last: usize) -> Option<(usize, usize)> {
    let mut left = places;
    for (part, length) in parts {
        match length {
            Some(length) if left >= length => left -= length,
            None if left > 0 && part != last => return None,
            _ => return Some((part, left)),
        }
    }
    None
}

/// The most parts that are read each by itself.
const MOST: usize = 16;

/// The join of the parts at an index, if nothing else reads what is joined.
fn join_of_indexed(site: &mut Site<'_>, op: &str, joined: ValueId, axis: usize, axes: &[Axis], of_part: &[Axis]) -> Found {
    let parts = site.graph().node(joined.node).operands.to_vec();
    if !site.used_once(joined) || parts.len() > MOST {
        return Ok(None);
    }
    let axis = axis - axes[..axis].iter().filter(|item| item.drops()).count();
    let mut indexed = Vec::new();
    for part in parts {
        indexed.push(at(site, part, of_part)?);
    }
    let value = site.apply(op, &indexed, Attributes::new().with("axis", axis as i64))?;
    one(site, value)
}

/// How two neighbours in a join along an axis are one part of one value, if they are: the value, and that part.
pub(in crate::rewrite::locals) fn adjacent(site: &mut Site<'_>, first: ValueId, second: ValueId, axis: usize) -> crate::error::Result<Option<ValueId>> {
    let (Some((x, a)), Some((y, b))) = (basic_index(site, first), basic_index(site, second)) else { return Ok(None) };
    if x != y || a.len() != b.len() || site.ty(first).rank() != a.len() {
        return Ok(None);
    }
    let others = a.iter().zip(&b).enumerate().all(|(at, (a, b))| at == axis || a == b);
    match (a[axis], b[axis]) {
        (Axis::Slice { start, stop: Some(end), step: 1 }, Axis::Slice { start: Some(begin), stop, step: 1 })
            if others && end == begin && (0..=begin).contains(&start.unwrap_or(0)) && stop.is_none_or(|stop| stop >= begin) =>
        {
            let mut both = a;
            both[axis] = Axis::Slice { start, stop, step: 1 };
            at(site, x, &both).map(Some)
        }
        // Up to a place and from it on, from whichever end it counts.
        (Axis::Slice { start: None | Some(0), stop: Some(end), step: 1 }, Axis::Slice { start: Some(begin), stop: None, step: 1 })
            if others && end == begin =>
        {
            let mut both = a;
            both[axis] = ALL;
            at(site, x, &both).map(Some)
        }
        _ => Ok(None),
    }
}
