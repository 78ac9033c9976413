//! Joins: of one, of joins, of what was taken apart.

use super::index::adjacent;
use super::shape::sizes_like;
use super::{Found, Local, Site, canonical, dropping, one};
use crate::graph::ValueId;
use crate::ops::Attributes;
use crate::tensor::Dim;

pub(super) fn locals() -> Vec<Local> {
    vec![
        canonical("join_of_one", &["concatenate"], "concatenate([x]) => x", join_of_one),
        dropping("join_of_empty", &["concatenate"], "concatenate([x, nothing]) => concatenate([x])", join_of_empty),
        canonical("join_of_join", &["concatenate"], "concatenate([concatenate([x, y]), z]) => concatenate([x, y, z])", join_of_join),
        canonical("stack_of_one", &["stack"], "stack([x]) => expand_dims(x), of an x with axes", stack_of_one),
        canonical("join_of_expanded", &["concatenate"], "concatenate([expand_dims(x, a), expand_dims(y, a)], axis=a) => stack([x, y], axis=a)", join_of_expanded),
        canonical("repeat_once", &["repeat"], "repeat(x, 1, axis) => x", repeat_once),
        canonical(
            "join_of_same", &["stack", "concatenate"],
            "stack([x, x]) => x spread along a new axis, also concatenate([x, x]) along an axis of length 1",
            join_of_same,
        ),
        canonical("join_of_parts", &["concatenate"], "concatenate([x[:k], x[k:]]) => x", join_of_parts),
    ]
}

fn again(site: &mut Site<'_>, parts: &[ValueId]) -> Found {
    let attributes: Attributes = site.attributes();
    let value = site.apply("concatenate", parts, attributes)?;
    one(site, value)
}

fn join_of_one(site: &mut Site<'_>) -> Found {
    match site.operands()[..] {
        [x] => one(site, x),
        _ => Ok(None),
    }
}

fn stack_of_one(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x] = operands[..] else { return Ok(None) };
    // Sizes stay what they are known by.
    if site.ty(x).rank() == 0 {
        return Ok(None);
    }
    let axis = site.attributes().axis("axis", site.ty(x).rank() + 1)?;
    let value = site.apply("expand_dims", &[x], Attributes::new().with("axis", axis as i64))?;
    one(site, value)
}

fn join_of_expanded(site: &mut Site<'_>) -> Found {
    let parts = site.operands();
    let rank = site.ty(site.node().output(0)).rank();
    let axis = site.attributes().axis("axis", rank)?;
    let inner = |&part: &ValueId| {
        let (inner, attributes) = site.made_by(part, "expand_dims")?;
        (attributes.axes("axis", rank).ok()? == [axis]).then_some(inner[0])
    };
    let Some(inner) = parts.iter().map(inner).collect::<Option<Vec<ValueId>>>().filter(|inner| inner.len() > 1) else { return Ok(None) };
    let value = site.apply("stack", &inner, Attributes::new().with("axis", axis as i64))?;
    one(site, value)
}

fn repeat_once(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, counts] = operands[..] else { return Ok(None) };
    match site.constant(counts).filter(|counts| counts.rank() == 0 && counts.to_i64_vec() == [1]) {
        Some(_) => one(site, x),
        None => Ok(None),
    }
}

fn join_of_empty(site: &mut Site<'_>) -> Found {
    let parts = site.operands();
    let axis = site.attributes().axis("axis", site.ty(site.node().output(0)).rank())?;
    let left: Vec<_> = parts.iter().copied().filter(|&part| site.ty(part).dims[axis] != Dim::Known(0)).collect();
    if left.is_empty() || left.len() == parts.len() {
        return Ok(None);
    }
    again(site, &left)
}

fn join_of_join(site: &mut Site<'_>) -> Found {
    const MOST: usize = 256;
    let parts = site.operands();
    let rank = site.ty(site.node().output(0)).rank();
    let axis = site.attributes().axis("axis", rank)?;
    let mut flat = Vec::new();
    for &part in &parts {
        match site.made_by(part, "concatenate") {
            Some((inner, attributes)) if attributes.axis("axis", rank)? == axis && site.used_once(part) => flat.extend(inner),
            _ => flat.push(part),
        }
    }
    if flat.len() == parts.len() || flat.len() > MOST {
        return Ok(None);
    }
    again(site, &flat)
}

fn join_of_same(site: &mut Site<'_>) -> Found {
    let parts = site.operands();
    let Some((&x, rest)) = parts.split_first() else { return Ok(None) };
    // Sizes stay what they are known by.
    if rest.is_empty() || site.ty(x).rank() == 0 || rest.iter().any(|&other| other != x) {
        return Ok(None);
    }
    let root = site.node().output(0);
    let rank = site.ty(root).rank();
    let axis = site.attributes().axis("axis", rank)?;
    let row = match site.view().op_name() {
        "stack" => site.apply("expand_dims", &[x], Attributes::new().with("axis", axis as i64))?,
        _ if site.ty(x).dims[axis] == Dim::Known(1) => x,
        _ => return Ok(None),
    };
    let Some(sizes) = sizes_like(site, root)? else { return Ok(None) };
    let value = site.apply("broadcast_to", &[row, sizes], Attributes::new())?;
    one(site, value)
}

fn join_of_parts(site: &mut Site<'_>) -> Found {
    let parts = site.operands();
    let axis = site.attributes().axis("axis", site.ty(site.node().output(0)).rank())?;
    for at in 1..parts.len() {
        if let Some(whole) = adjacent(site, parts[at - 1], parts[at], axis)? {
            let mut left = parts.clone();
            left.splice(at - 1..=at, [whole]);
            return again(site, &left);
        }
    }
    Ok(None)
}
