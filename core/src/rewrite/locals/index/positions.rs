//! Positions that are known when compiling, or are those of a slice.

use super::super::{Found, Site, one};
use super::{ALL, Axis, BACKWARDS, at, length, no_arrays, own_index, slice_of};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::rewrite::lengths::Bound;
use crate::rewrite::shapes::before_end;
use crate::tensor::{DType, Kind};

pub(super) fn index_by_constant(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    // A write has what it writes between what it changes and its index.
    let ahead = if site.view().op_name() == "index" { 1 } else { 2 };
    let items = attributes.index("index")?.to_vec();
    // A position beside an array is an array too.
    let Some(given) = operands.get(ahead..).filter(|given| !given.is_empty() && no_arrays(site, &items, given)) else { return Ok(None) };
    let number = |operand: usize| {
        let constant = site.constant(*given.get(operand)?)?;
        let value = *constant.to_i64_vec().first()?;
        (constant.rank() == 0 && (value >= 0 || constant.dtype().kind() != Kind::Unsigned)).then_some(value)
    };
    let mut left = Vec::new();
    let mut renumbered = |operand: usize| {
        left.push(given[operand]);
        left.len() - 1
    };
    let mut bound = |bound: IndexBound| match bound {
        IndexBound::Operand(operand) => number(operand).map_or_else(|| IndexBound::Operand(renumbered(operand)), IndexBound::At),
        other => other,
    };
    let mut renewed = Vec::new();
    for item in items {
        renewed.push(match item {
            IndexItem::Slice { start, stop, step } => IndexItem::Slice { start: bound(start), stop: bound(stop), step },
            IndexItem::Operand(operand) => match bound(IndexBound::Operand(operand)) {
                IndexBound::At(place) => IndexItem::At(place),
                IndexBound::Operand(operand) => IndexItem::Operand(operand),
                IndexBound::Open => return Ok(None),
            },
            other => other,
        });
    }
    if left.len() == given.len() {
        return Ok(None);
    }
    let op = site.view().op_name().to_owned();
    let operands = [&operands[..ahead], &left].concat();
    let value = site.apply(&op, &operands, Attributes::new().with("index", Attribute::Index(renewed)))?;
    one(site, value)
}

/// Of what is one before the end: two before the end of an axis of one place, -1, would count from the end itself.
pub(super) fn index_from_end(site: &mut Site<'_>) -> Found {
    let Some((x, mut axes)) = own_index(site) else { return Ok(None) };
    let mut changed = false;
    for (axis, item) in axes.iter_mut().enumerate() {
        let last = |scalar: ValueId| before_end(site.graph(), scalar, (x, axis)) == Some(1);
        let bound = |bound: Bound| matches!(bound, Bound::Scalar(scalar) if last(scalar)).then_some(Bound::At(-1));
        match *item {
            Axis::Place(scalar) if last(scalar) => *item = Axis::At(-1),
            Axis::Cut { start, stop, step } if bound(start).or(bound(stop)).is_some() => {
                *item = slice_of(bound(start).unwrap_or(start), bound(stop).unwrap_or(stop), step);
            }
            _ => continue,
        }
        changed = true;
    }
    if !changed {
        return Ok(None);
    }
    let value = at(site, x, &axes)?;
    one(site, value)
}

pub(super) fn index_by_range(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    // A write has what it writes between what it changes and its index.
    let ahead = if site.view().op_name() == "index" { 1 } else { 2 };
    let (Some(&x), Some(&[positions])) = (operands.first(), operands.get(ahead..)) else { return Ok(None) };
    let mut items = attributes.index("index")?.to_vec();
    let Some(place) = items.iter().position(|item| matches!(item, IndexItem::Operand(0))) else { return Ok(None) };
    // Of the axes before it, none is dropped or new, so that it counts them.
    let plain = items[..place].iter().all(|item| matches!(item, IndexItem::Slice { .. }));
    let literal = items.iter().all(|item| match item {
        IndexItem::Slice { start, stop, .. } => [start, stop].iter().all(|bound| !matches!(bound, IndexBound::Operand(_))),
        _ => true,
    });
    // A position beside an array is an array too.
    let alone = !items.iter().any(|item| matches!(item, IndexItem::At(_)));
    if !plain || !literal || !alone || place >= site.ty(x).rank() {
        return Ok(None);
    }
    let Some(range) = range_of(site, positions, (x, place)) else { return Ok(None) };
    items[place] = range.item(&mut Vec::new(), 0);
    let op = site.view().op_name().to_owned();
    let value = site.apply(&op, &operands[..ahead], Attributes::new().with("index", Attribute::Index(items)))?;
    one(site, value)
}

/// Positions of an axis as a slice of it, if they are one after the other and certainly all there.
fn range_of(site: &Site<'_>, positions: ValueId, (x, axis): (ValueId, usize)) -> Option<Axis> {
    if let Some(constant) = site.constant(positions) {
        let whole = constant.rank() == 1 && constant.dtype().is_integer();
        return as_range(&constant.to_i64_vec(), length(site, x, axis)?).filter(|_| whole);
    }
    let (bounds, _) = site.made_by(positions, "arange")?;
    // Of fewer digits they would wrap.
    if site.ty(positions).dtype != DType::I64 {
        return None;
    }
    let number = |value: ValueId| site.constant(value).filter(|constant| constant.dtype() != DType::U64)?.to_i64_vec().first().copied();
    let (first, stop, step) = match bounds[..] {
        [stop] => (0, stop, 1),
        [first, stop] => (number(first)?, stop, 1),
        [first, stop, step] => match (number(stop), number(step)?) {
            (Some(-1), -1) if before_end(site.graph(), first, (x, axis)) == Some(1) => return Some(BACKWARDS),
            (_, step) => (number(first)?, stop, step),
        },
        _ => return None,
    };
    let back = before_end(site.graph(), stop, (x, axis))?;
    let bound = |bound: i64| (bound != 0).then_some(bound);
    (first >= 0 && step >= 1).then_some(Axis::Slice { start: bound(first), stop: bound(-back), step })
}

/// Positions of an axis of this length that rise evenly, as a slice.
fn as_range(positions: &[i64], length: usize) -> Option<Axis> {
    let (&first, &last) = (positions.first()?, positions.last()?);
    let step = if positions.len() > 1 { positions[1].checked_sub(first)? } else { 1 };
    let even = positions.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(step));
    (step >= 1 && even && first >= 0 && last < length as i64).then_some(Axis::Slice { start: Some(first), stop: Some(last + 1), step })
}

pub(super) fn take_by_range(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, positions] = operands[..] else { return Ok(None) };
    let rank = site.ty(x).rank();
    if matches!(attributes.get("axis"), None | Some(Attribute::None)) && rank != 1 {
        return Ok(None);
    }
    let [axis] = attributes.axes("axis", rank)?[..] else { return Ok(None) };
    let place = || {
        let place = site.constant(positions)?.to_i64_vec().first().copied()?;
        (0..length(site, x, axis)? as i64).contains(&place).then_some(Axis::At(place))
    };
    let item = if site.ty(positions).rank() == 0 { place() } else { range_of(site, positions, (x, axis)) };
    let Some(item) = item else { return Ok(None) };
    let mut axes = vec![ALL; rank];
    axes[axis] = item;
    let value = at(site, x, &axes)?;
    one(site, value)
}
