//! Orders of axes: transposes of transposes, and of what only has more or fewer axes of length 1.

use super::{Found, Local, Site, canonical, one};
use crate::ops::{Attribute, Attributes, normalize_axis};
use crate::graph::ValueId;

pub(super) fn locals() -> Vec<Local> {
    vec![
        canonical(
            "transpose_of_transpose", &["transpose"],
            "transpose(transpose(x, axes=a), axes=b) => one transpose",
            transpose_of_transpose,
        ),
        canonical("transpose_of_all", &["transpose"], "transpose(x, axes=[1, 0]) => transpose(x) of a matrix, and so where all axes are turned round", transpose_of_all),
        canonical("axes_in_order", &["expand_dims", "squeeze"], "expand_dims(x, axis=[-1]) => expand_dims(x, axis=1): axes count from the front, in order", axes_in_order),
        canonical(
            "transpose_of_expand", &["transpose"],
            "transpose(expand_dims(x, axis=0)) => expand_dims(transpose(x), axis=2): axes of length 1 come last, so that transposes meet",
            transpose_of_expand,
        ),
        canonical(
            "squeeze_of_transpose", &["squeeze"],
            "squeeze(transpose(x), axis=0) => transpose(squeeze(x, axis=2)): axes of length 1 go first, so that they meet what made them",
            squeeze_of_transpose,
        ),
    ]
}

/// Which axis of the operand each axis of a transpose is.
pub(super) fn order(attributes: &Attributes, rank: usize) -> Option<Vec<usize>> {
    match attributes.ints("axes").ok()? {
        None => Some((0..rank).rev().collect()),
        Some(axes) => axes.iter().map(|&axis| normalize_axis(axis, rank).ok()).collect(),
    }
}

fn transpose_of_transpose(site: &mut Site<'_>) -> Found {
    let Some(x) = site.operand(0) else { return Ok(None) };
    let Some((inner, attributes)) = site.made_by(x, "transpose") else { return Ok(None) };
    let rank = site.ty(x).rank();
    let (Some(first), Some(second)) = (order(&attributes, rank), order(&site.attributes(), rank)) else { return Ok(None) };
    let both: Vec<usize> = second.iter().map(|&axis| first[axis]).collect();
    let value = in_order(site, inner[0], &both)?;
    one(site, value)
}

fn transpose_of_all(site: &mut Site<'_>) -> Found {
    let (Some(x), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let rank = site.ty(x).rank();
    if rank < 2 || attributes.ints("axes")?.is_none() || !order(&attributes, rank).is_some_and(|order| order.into_iter().eq((0..rank).rev())) {
        return Ok(None);
    }
    let value = site.apply("transpose", &[x], Attributes::new())?;
    one(site, value)
}

/// `x` with its axes in another order, if that is another one.
fn in_order(site: &mut Site<'_>, x: ValueId, order: &[usize]) -> crate::error::Result<ValueId> {
    if order.iter().copied().eq(0..order.len()) {
        return Ok(x);
    }
    let attributes = match order.iter().copied().eq((0..order.len()).rev()) {
        true => Attributes::new(),
        false => Attributes::new().with("axes", order.iter().map(|&axis| axis as i64).collect::<Vec<i64>>()),
    };
    site.apply("transpose", &[x], attributes)
}

/// The order of those axes that are left when some go.
fn without(order: &[usize], gone: &[usize]) -> Vec<usize> {
    let left = order.iter().filter(|axis| !gone.contains(axis));
    left.map(|&axis| axis - gone.iter().filter(|&&other| other < axis).count()).collect()
}

/// The axes that an op names, if it names them.
fn named(attributes: &Attributes, rank: usize) -> Option<Vec<usize>> {
    match attributes.get("axis") {
        None | Some(Attribute::None) => None,
        Some(_) => attributes.axes("axis", rank).ok(),
    }
}

/// One axis is a number, several are a list.
fn places(axes: impl Iterator<Item = usize>) -> Attributes {
    let axes: Vec<i64> = axes.map(|axis| axis as i64).collect();
    if let [axis] = axes[..] { Attributes::new().with("axis", axis) } else { Attributes::new().with("axis", axes) }
}

fn axes_in_order(site: &mut Site<'_>) -> Found {
    let (Some(x), given) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let op = site.view().op_name().to_owned();
    let rank = if op == "squeeze" { site.ty(x).rank() } else { site.ty(site.node().output(0)).rank() };
    let Some(mut axes) = named(&given, rank) else { return Ok(None) };
    axes.sort_unstable();
    let attributes = places(axes.into_iter());
    if attributes.get("axis") == given.get("axis") {
        return Ok(None);
    }
    let value = site.apply(&op, &[x], attributes)?;
    one(site, value)
}

fn transpose_of_expand(site: &mut Site<'_>) -> Found {
    let Some(x) = site.operand(0) else { return Ok(None) };
    let Some((inner, attributes)) = site.made_by(x, "expand_dims") else { return Ok(None) };
    let rank = site.ty(x).rank();
    let (Some(new), Some(order)) = (named(&attributes, rank), order(&site.attributes(), rank)) else { return Ok(None) };
    let turned = in_order(site, inner[0], &without(&order, &new))?;
    let value = site.apply("expand_dims", &[turned], places((0..rank).filter(|&at| new.contains(&order[at]))))?;
    one(site, value)
}

fn squeeze_of_transpose(site: &mut Site<'_>) -> Found {
    let Some(x) = site.operand(0) else { return Ok(None) };
    let Some((inner, attributes)) = site.made_by(x, "transpose") else { return Ok(None) };
    let rank = site.ty(x).rank();
    let (Some(gone), Some(order)) = (named(&site.attributes(), rank), order(&attributes, rank)) else { return Ok(None) };
    let gone: Vec<usize> = gone.into_iter().map(|at| order[at]).collect();
    let mut axes = gone.clone();
    axes.sort_unstable();
    let squeezed = site.apply("squeeze", &[inner[0]], places(axes.into_iter()))?;
    let value = in_order(site, squeezed, &without(&order, &gone))?;
    one(site, value)
}
