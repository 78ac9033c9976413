//! Positions that are known when compiling.

use super::super::{Found, Site, one};
use super::{ALL, Axis, at, length, no_arrays};
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::tensor::{Dim, Kind};

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
    let Some(constant) = site.constant(positions).filter(|constant| constant.rank() == 1 && constant.dtype().is_integer()) else { return Ok(None) };
    let Some(length) = site.ty(x).dims.get(place).and_then(Dim::known) else { return Ok(None) };
    let Some(range) = as_range(&constant.to_i64_vec(), length).filter(|_| plain && literal && alone) else { return Ok(None) };
    items[place] = range.item(&mut Vec::new(), 0);
    let op = site.view().op_name().to_owned();
    let value = site.apply(&op, &operands[..ahead], Attributes::new().with("index", Attribute::Index(items)))?;
    one(site, value)
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
    let Some(constant) = site.constant(positions).filter(|constant| constant.rank() <= 1 && constant.dtype().is_integer()) else { return Ok(None) };
    let (numbers, Some(length)) = (constant.to_i64_vec(), length(site, x, axis)) else { return Ok(None) };
    let item = match (constant.rank(), &numbers[..]) {
        (0, &[place]) if (0..length as i64).contains(&place) => Some(Axis::At(place)),
        (0, _) => None,
        _ => as_range(&numbers, length),
    };
    let Some(item) = item else { return Ok(None) };
    let mut axes = vec![ALL; rank];
    axes[axis] = item;
    let value = at(site, x, &axes)?;
    one(site, value)
}
