//! Writes, and reads after them.

use super::compose::composed;
use super::super::shape::{Element, sizes_of, spread};
use super::super::{Found, Site, one};
use super::{ALL, Axis, at, basic, length, no_arrays};
use crate::graph::ValueId;
use crate::ops::index::slice_range;
use crate::ops::{Attributes};
use crate::rewrite::shapes::same_length;
use crate::tensor::Dim;

/// The largest number that both are multiples of.
fn common_factor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_factor(b, a % b) }
}

/// Whether two items of one axis certainly name different places.
fn apart(a: Axis, b: Axis, length: Option<usize>) -> bool {
    let bounds = |axis: Axis| -> Option<(i64, i64)> {
        match (axis, length) {
            (Axis::At(at), Some(length)) => {
                let at = if at < 0 { at + length as i64 } else { at };
                Some((at, at + 1))
            }
            (Axis::At(at), None) => (at >= 0).then_some((at, at + 1)),
            (Axis::Slice { start, stop, step }, Some(length)) if step > 0 => {
                let (first, count) = slice_range(length, start, stop, step);
                Some((first, first + (count as i64 - 1) * step + 1))
            }
            (Axis::Slice { start, stop, step }, None) if step > 0 => {
                let (start, stop) = (start.unwrap_or(0), stop.unwrap_or(i64::MAX));
                (start >= 0 && stop >= 0).then_some((start, stop))
            }
            _ => None,
        }
    };
    if let (Axis::At(a), Axis::At(b), None) = (a, b, length) {
        return a != b && (a < 0) == (b < 0);
    }
    // Every so manyth place, and one that is none of these.
    let comb = |axis: Axis| match axis {
        Axis::At(_) => bounds(axis).map(|(at, _)| (at, 0)),
        Axis::Slice { step, .. } => bounds(axis).map(|(first, _)| (first, step)),
        Axis::Place(_) | Axis::Cut { .. } => None,
    };
    if let (Some((first, step)), Some((other, again))) = (comb(a), comb(b))
        && let common @ 2.. = common_factor(step, again)
        && (first - other) % common != 0
    {
        return true;
    }
    matches!((bounds(a), bounds(b)), (Some((a, b)), Some((c, d))) if b <= c || d <= a)
}

pub(super) fn read_after_write(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let Some((written, own)) = operands.first().and_then(|&x| site.made_by(x, "set_at")) else { return Ok(None) };
    let (x, v) = (written[0], written[1]);
    let items = attributes.index("index")?.to_vec();
    let root = site.node().output(0);
    if own.get("index") == attributes.get("index") && operands[1..] == written[2..] {
        if !no_arrays(site, &items, &operands[1..]) || site.ty(v).dtype != site.ty(root).dtype {
            return Ok(None);
        }
        if site.fits(root, v) {
            return Ok(Some(vec![v]));
        }
        let Some(shape) = site.ty(root).known_shape() else { return Ok(None) };
        let sizes = sizes_of(site, &shape);
        let value = site.apply("broadcast_to", &[v, sizes], Attributes::new())?;
        return one(site, value);
    }
    let rank = site.ty(x).rank();
    let writes = own.index("index").ok().and_then(|items| basic(site, items, &written[2..], rank));
    let (Some(reads), Some(writes)) = (basic(site, &items, &operands[1..], rank), writes) else { return Ok(None) };
    if reads.iter().zip(&writes).enumerate().any(|(axis, (&a, &b))| apart(a, b, length(site, x, axis))) {
        let value = site.apply("index", &[&[x], &operands[1..]].concat(), attributes)?;
        return one(site, value);
    }
    read_within_write(site, x, v, &reads, &writes)
}

/// A read of places that are all within what was written before is one of that.
fn read_within_write(site: &mut Site<'_>, x: ValueId, v: ValueId, reads: &[Axis], writes: &[Axis]) -> Found {
    let root = site.node().output(0);
    let mut inside = Vec::new();
    for (axis, (&read, &write)) in reads.iter().zip(writes).enumerate() {
        let length = length(site, x, axis);
        let Axis::Slice { start, stop: _, step: step @ 1.. } = write else {
            // A position is no axis of what was written.
            if read != write || !write.drops() {
                return Ok(None);
            }
            continue;
        };
        let start = start.unwrap_or(0);
        let start = match length {
            Some(length) if start < 0 => start + length as i64,
            _ => start,
        };
        if read == write {
            inside.push(ALL);
            continue;
        }
        let back = |bound: i64| bound.checked_sub(start).filter(|&bound| start >= 0 && bound >= 0 && bound % step == 0).map(|bound| bound / step);
        let part = match read {
            Axis::At(at) => back(if let (true, Some(length)) = (at < 0, length) { at + length as i64 } else { at }).map(Axis::At),
            Axis::Slice { start: Some(from), stop: Some(to), step: again } if step == 1 && again > 0 => match (back(from), back(to)) {
                (Some(from), Some(to)) => Some(Axis::Slice { start: Some(from), stop: Some(to), step: again }),
                _ => None,
            },
            _ => None,
        };
        // Put behind the write it has to be the read again.
        let same = |a: Axis, b: Axis| a == b || matches!((a, b, length), (
            Axis::Slice { start: a, stop: b, step: s }, Axis::Slice { start: c, stop: d, step: t }, Some(length)
        ) if s == t && slice_range(length, a, b, s) == slice_range(length, c, d, t));
        match part {
            Some(part) if composed(write, part, length).is_some_and(|both| same(both, read)) => inside.push(part),
            _ => return Ok(None),
        }
    }
    let (region, mut v) = (at(site, x, writes)?, v);
    if site.ty(v).dtype != site.ty(root).dtype {
        return Ok(None);
    }
    if !site.same_shape(v, region) {
        // It was written everywhere.
        let Some(shape) = site.ty(region).known_shape() else { return Ok(None) };
        let sizes = sizes_of(site, &shape);
        v = site.apply("broadcast_to", &[v, sizes], Attributes::new())?;
    }
    let value = at(site, v, &inside)?;
    one(site, value)
}

pub(super) fn write_after_write(site: &mut Site<'_>) -> Found {
    let (mut operands, attributes) = (site.operands(), site.attributes());
    let before = |op: &str| operands.first().and_then(|&x| site.made_by(x, op));
    let Some((written, own)) = before("set_at").or_else(|| before("add_at")) else { return Ok(None) };
    if own.get("index") != attributes.get("index") || operands[2..] != written[2..] {
        return Ok(None);
    }
    operands[0] = written[0];
    let value = site.apply("set_at", &operands, attributes)?;
    one(site, value)
}

pub(super) fn write_of_read(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, v, ..] = operands[..] else { return Ok(None) };
    let Some((read, own)) = site.made_by(v, "index") else { return Ok(None) };
    if read[0] != x || own.get("index") != attributes.get("index") || operands[2..] != read[1..] {
        return Ok(None);
    }
    one(site, x)
}

pub(super) fn write_of_sum(site: &mut Site<'_>) -> Found {
    let (mut operands, attributes) = (site.operands(), site.attributes());
    let (x, items) = (operands[0], attributes.index("index")?.to_vec());
    let Some((terms, _)) = operands.get(1).and_then(|&v| site.made_by(v, "add")).filter(|_| no_arrays(site, &items, &operands[2..])) else { return Ok(None) };
    let [a, b] = terms[..] else { return Ok(None) };
    for (read, added) in [(a, b), (b, a)] {
        let own = site.made_by(read, "index").is_some_and(|(of, own)| of[0] == x && own.get("index") == attributes.get("index") && of[1..] == operands[2..]);
        // What is added is spread as the sum was.
        let fits = site.ty(added).rank() <= site.ty(read).rank() && site.ty(added).dtype == site.ty(x).dtype && site.same_shape(read, operands[1]);
        if own && fits {
            operands[1] = added;
            let value = site.apply("add_at", &operands, attributes)?;
            return one(site, value);
        }
    }
    Ok(None)
}

pub(in crate::rewrite::locals) fn is_zeros(site: &Site<'_>, value: ValueId) -> bool {
    if let Some(constant) = site.constant(value) {
        return constant.len() <= 4096 && constant.to_f64_vec().into_iter().all(|x| x == 0.0);
    }
    spread(site, value).is_some_and(|found| match found.of {
        Element::Number(number) => number == 0.0,
        Element::Value(x) => site.constant(x).is_some() && is_zeros(site, x),
    })
}

pub(super) fn write_of_everything(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, v] = operands[..] else { return Ok(None) };
    let ty = site.ty(x).clone();
    let Some(axes) = basic(site, attributes.index("index")?, &[], ty.rank()) else { return Ok(None) };
    if !axes.iter().enumerate().all(|(axis, item)| item.is_all(length(site, x, axis))) || site.ty(v).dtype != ty.dtype {
        return Ok(None);
    }
    if site.fits(site.node().output(0), v) {
        return one(site, v);
    }
    // What may not fit is an error of the write.
    let Some(new) = ty.rank().checked_sub(site.ty(v).rank()) else { return Ok(None) };
    let fits = |(axis, dim): (usize, &Dim)| *dim == Dim::Known(1) || same_length(site.graph(), (v, axis), (x, axis + new));
    if !site.ty(v).dims.iter().enumerate().all(fits) {
        return Ok(None);
    }
    let sizes = site.apply("shape", &[x], Attributes::new())?;
    let value = site.apply("broadcast_to", &[v, sizes], Attributes::new())?;
    one(site, value)
}

pub(super) fn write_of_zeros(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, v] = operands[..] else { return Ok(None) };
    let Some(axes) = basic(site, attributes.index("index")?, &[], site.ty(x).rank()) else { return Ok(None) };
    let there = axes.iter().enumerate().all(|(axis, item)| !item.drops() || length(site, x, axis).is_some());
    let nothing = is_zeros(site, v) && (site.view().op_name() == "add_at" || is_zeros(site, x));
    if there && nothing { one(site, x) } else { Ok(None) }
}

pub(super) fn add_to_zeros(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let items = attributes.index("index")?.to_vec();
    if !is_zeros(site, operands[0]) || !no_arrays(site, &items, &operands[2..]) {
        return Ok(None);
    }
    let value = site.apply("set_at", &operands, attributes)?;
    one(site, value)
}

pub(super) fn add_of_write(site: &mut Site<'_>) -> Found {
    let (operands, taken_off) = (site.operands(), site.view().op_name() == "sub");
    let [a, b] = operands[..] else { return Ok(None) };
    for (x, written) in [(a, b), (b, a)].into_iter().take(if taken_off { 1 } else { 2 }) {
        let op = site.op(written).to_owned();
        if !matches!(op.as_str(), "add_at" | "set_at") || !site.used_once(written) || is_zeros(site, x) {
            continue;
        }
        let Some((mut own, attributes)) = site.made_by(written, &op) else { continue };
        let items = attributes.index("index")?;
        let fits = site.ty(x).dtype == site.ty(written).dtype && site.same_shape(x, written);
        if !fits || !is_zeros(site, own[0]) || !no_arrays(site, items, &own[2..]) {
            continue;
        }
        own[0] = x;
        if taken_off {
            own[1] = site.apply("neg", &own[1..2], Attributes::new())?;
        }
        let value = site.apply("add_at", &own, attributes)?;
        return one(site, value);
    }
    Ok(None)
}
