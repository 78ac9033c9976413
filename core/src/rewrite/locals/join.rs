//! Joins: of one, of joins, of what was taken apart.

use super::index::adjacent;
use super::{Found, Local, Site, faster, one};
use crate::ops::Attributes;
use crate::tensor::Dim;

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster("join_of_one", &["concatenate"], "concatenate([x]) => x", join_of_one),
        faster("join_of_empty", &["concatenate"], "concatenate([x, nothing]) => concatenate([x])", join_of_empty),
        faster("join_of_join", &["concatenate"], "concatenate([concatenate([x, y]), z]) => concatenate([x, y, z])", join_of_join),
        faster("join_of_parts", &["concatenate"], "concatenate([x[:k], x[k:]]) => x", join_of_parts),
    ]
}

fn again(site: &mut Site<'_>, parts: &[crate::graph::ValueId]) -> Found {
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

fn join_of_parts(site: &mut Site<'_>) -> Found {
    let parts = site.operands();
    let axis = site.attributes().axis("axis", site.ty(site.node().output(0)).rank())?;
    for at in 1..parts.len() {
        if let Some((x, index)) = adjacent(site, parts[at - 1], parts[at], axis) {
            let whole = site.apply("index", &[x], index)?;
            let mut left = parts.clone();
            left.splice(at - 1..=at, [whole]);
            return again(site, &left);
        }
    }
    Ok(None)
}
