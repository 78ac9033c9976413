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
    let lengths: Option<Vec<usize>> = parts.iter().map(|&part| length(site, part, axis)).collect();
    let Some(lengths) = lengths else { return Ok(None) };
    let total: usize = lengths.iter().sum();
    let (first, count) = match axes[axis] {
        Axis::At(at) => (if at < 0 { at + total as i64 } else { at }, 1),
        Axis::Slice { start, stop, step: 1 } => slice_range(total, start, stop, 1),
        _ => return Ok(None),
    };
    let Ok(first) = usize::try_from(first) else { return Ok(None) };
    let mut start = 0;
    let mut taken: Vec<(ValueId, Axis)> = Vec::new();
    for (&part, &length) in parts.iter().zip(&lengths) {
        let (from, to) = (first.clamp(start, start + length) - start, (first + count).clamp(start, start + length) - start);
        if from < to {
            taken.push((part, match axes[axis] {
                Axis::At(_) => Axis::At(from as i64),
                _ => Axis::Slice { start: (from > 0).then_some(from as i64), stop: (to < length).then_some(to as i64), step: 1 },
            }));
        }
        start += length;
    }
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
        _ => Ok(None),
    }
}
