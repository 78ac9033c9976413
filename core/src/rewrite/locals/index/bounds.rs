//! Slices whose bounds are scalars, and what is read of them, as one item.
//!
//! By Python's rules a bound below 0 counts from the end, and one that is out of range is cut off. What the items come to is
//! therefore a sum only of scalars that certainly are not negative, and that do not wrap around when added up.

use super::super::Site;
use super::{Axis, slice_of};
use crate::error::Result;
use crate::graph::ValueId;
use crate::ops::Attributes;
use crate::rewrite::lengths::Bound;
use crate::rewrite::shapes::{Front, from_front};
use crate::tensor::{DType, Tensor};

/// A slice and then an item of what it gives, as one item, where some of them are scalars.
pub(super) fn composed_by_scalars(site: &mut Site<'_>, inner: Axis, outer: Axis) -> Result<Option<Axis>> {
    let Some((start, stop, 1)) = bounds(inner) else { return Ok(None) };
    let front = |site: &Site<'_>, bound: Bound| from_front(site.graph(), bound);
    let Some(before) = front(site, start) else { return Ok(None) };
    let place = match outer {
        Axis::At(at) => Bound::At(at),
        Axis::Place(scalar) => Bound::Scalar(scalar),
        Axis::Slice { .. } | Axis::Cut { .. } => return slice_of_slice(site, (start, &before), stop, outer),
    };
    let Some(at) = front(site, place) else { return Ok(None) };
    // Two large ones may come to a number that counts from the end; with one of them it is as far out of range as it was.
    let inside = match stop {
        Bound::Open => true,
        stop => matches!((front(site, stop), place), (Some(after), Bound::At(at)) if after.adds_up && within(&before, &after, at)),
    };
    if !inside || before.large + at.large > 1 {
        return Ok(None);
    }
    Ok(match sum(site, start, place)? {
        Bound::At(at) => Some(Axis::At(at)),
        Bound::Scalar(scalar) => Some(Axis::Place(scalar)),
        Bound::Open => None,
    })
}

/// Whether a place of a slice is one in every call, or the slice is cut off before it by the end of what is sliced.
fn within(start: &Front, stop: &Front, place: i64) -> bool {
    let count = stop.number.checked_sub(start.number).filter(|_| start.scalars == stop.scalars);
    count.is_some_and(|count| usize::try_from(place).is_ok_and(|place| place < count))
}

/// `x[a:][c:]`, and where one of them, or both, leave the last few out.
fn slice_of_slice(site: &mut Site<'_>, (start, before): (Bound, &Front), stop: Bound, outer: Axis) -> Result<Option<Axis>> {
    let Some((from, to, step @ 1..)) = bounds(outer) else { return Ok(None) };
    let end = match (stop, to) {
        (Bound::Open, Bound::Open) => Bound::Open,
        (Bound::At(end), Bound::Open) | (Bound::Open, Bound::At(end)) if end < 0 => Bound::At(end),
        (Bound::At(end), Bound::At(more)) if end < 0 && more < 0 => match end.checked_add(more) {
            Some(end) => Bound::At(end),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let fits = |front: &Front| front.large == 0;
    if !fits(before) || !from_front(site.graph(), from).is_some_and(|front| fits(&front)) {
        return Ok(None);
    }
    Ok(Some(slice_of(sum(site, start, from)?, end, step)))
}

fn bounds(item: Axis) -> Option<(Bound, Bound, i64)> {
    let literal = |bound: Option<i64>| bound.map_or(Bound::Open, Bound::At);
    match item {
        Axis::Slice { start, stop, step } => Some((literal(start), literal(stop), step)),
        Axis::Cut { start, stop, step } => Some((start, stop, step)),
        Axis::At(_) | Axis::Place(_) => None,
    }
}

/// What two bounds that count from the front come to.
fn sum(site: &mut Site<'_>, first: Bound, second: Bound) -> Result<Bound> {
    let mut whole = |bound: Bound| -> Result<ValueId> {
        match bound {
            Bound::Scalar(scalar) if site.ty(scalar).dtype == DType::I64 && !site.ty(scalar).weak => Ok(scalar),
            Bound::Scalar(scalar) => site.apply("cast", &[scalar], Attributes::new().with("dtype", DType::I64)),
            Bound::At(at) => Ok(site.add_constant(Tensor::scalar(at))),
            Bound::Open => Ok(site.add_constant(Tensor::scalar(0i64))),
        }
    };
    Ok(match (first, second) {
        (Bound::Open | Bound::At(0), other) | (other, Bound::Open | Bound::At(0)) => other,
        (Bound::At(a), Bound::At(b)) => Bound::At(a.saturating_add(b)),
        (first, second) => {
            let both = [whole(first)?, whole(second)?];
            Bound::Scalar(site.apply("add", &both, Attributes::new())?)
        }
    })
}
