//! Reductions: of reductions, of nothing much, of what is everywhere the same, of products.

use super::{Found, Local, Site, faster, one, real};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes};
use crate::tensor::Dim;

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster(
            "reduction_of_reduction", &["sum", "prod", "max", "min", "any", "all"],
            "sum(sum(x, axis=a), axis=b) => one sum over both",
            reduction_of_reduction,
        ),
        faster(
            "reduction_of_ones", &["sum", "prod", "mean", "max", "min", "logsumexp"],
            "a reduction of axes of length 1 drops them, or is its operand",
            reduction_of_ones,
        ),
        faster(
            "reduction_of_constant", &["sum", "mean", "max", "min", "any", "all"],
            "sum(broadcast_to(c, s)) => c * n, max(broadcast_to(c, s)) => c of a scalar c",
            reduction_of_constant,
        ),
        real(
            "sum_of_scaled_axes", &["sum", "mean"],
            "sum(x * y, axis) => y * sum(x, axis) where y is the same along the axes",
            sum_of_scaled_axes,
        ),
    ]
}

fn axes_of(site: &Site<'_>, attributes: &Attributes, x: ValueId) -> Option<Vec<usize>> {
    attributes.axes("axis", site.ty(x).rank()).ok()
}

fn list(axes: &[usize]) -> Attribute {
    Attribute::List(axes.iter().map(|&axis| Attribute::Int(axis as i64)).collect())
}

/// Whether the dtype that sums accumulate in is that of what is summed.
fn plain(site: &Site<'_>, attributes: &Attributes, x: ValueId) -> bool {
    let given = attributes.get("dtype").is_none_or(|dtype| *dtype == Attribute::None);
    given && (attributes.get("dtype").is_none() || site.ty(x).dtype.is_float())
}

fn reduction_of_reduction(site: &mut Site<'_>) -> Found {
    let (Some(x), outer) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some((inner, attributes)) = site.made_by(x, site.view().op_name()) else { return Ok(None) };
    let keep = outer.bool("keepdims")?;
    if keep != attributes.bool("keepdims")? || !site.used_once(x) || !plain(site, &outer, inner[0]) || !plain(site, &attributes, inner[0]) {
        return Ok(None);
    }
    let (Some(first), Some(second)) = (axes_of(site, &attributes, inner[0]), axes_of(site, &outer, x)) else { return Ok(None) };
    let rank = site.ty(inner[0]).rank();
    let left: Vec<usize> = (0..rank).filter(|axis| keep || !first.contains(axis)).collect();
    let mut axes: Vec<usize> = first.into_iter().chain(second.into_iter().map(|axis| left[axis])).collect();
    axes.sort_unstable();
    axes.dedup();
    let mut attributes = attributes;
    attributes.set("axis", if axes.len() == rank { Attribute::None } else { list(&axes) });
    let op = site.view().op_name().to_owned();
    let value = site.apply(&op, &inner, attributes)?;
    one(site, value)
}

fn reduction_of_ones(site: &mut Site<'_>) -> Found {
    let (Some(x), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some(axes) = axes_of(site, &attributes, x).filter(|_| plain(site, &attributes, x)) else { return Ok(None) };
    if !axes.iter().all(|&axis| site.ty(x).dims[axis] == Dim::Known(1)) {
        return Ok(None);
    }
    if axes.is_empty() || attributes.bool("keepdims")? {
        return one(site, x);
    }
    let value = site.apply("squeeze", &[x], Attributes::new().with("axis", list(&axes)))?;
    one(site, value)
}

fn reduction_of_constant(site: &mut Site<'_>) -> Found {
    let (Some(x), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some((inner, _)) = site.made_by(x, "broadcast_to") else { return Ok(None) };
    let Some(shape) = site.ty(x).known_shape().filter(|shape| shape.iter().all(|&length| length > 0)) else { return Ok(None) };
    let whole = axes_of(site, &attributes, x).is_some_and(|axes| axes.len() == shape.len()) && !attributes.bool("keepdims")?;
    if !whole || site.ty(inner[0]).rank() != 0 || !plain(site, &attributes, x) {
        return Ok(None);
    }
    if site.view().op_name() != "sum" {
        return one(site, inner[0]);
    }
    if !site.ty(x).dtype.is_float() {
        return Ok(None);
    }
    let count = site.weak(shape.iter().product::<usize>() as f64);
    let value = site.apply("mul", &[inner[0], count], Attributes::new())?;
    one(site, value)
}

fn sum_of_scaled_axes(site: &mut Site<'_>) -> Found {
    let (Some(x), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some((factors, _)) = site.made_by(x, "mul") else { return Ok(None) };
    let Some(axes) = axes_of(site, &attributes, x).filter(|_| plain(site, &attributes, x) && site.ty(x).dtype.is_float()) else { return Ok(None) };
    let (keep, rank) = (attributes.bool("keepdims")?, site.ty(x).rank());
    for (y, rest) in [(factors[0], factors[1]), (factors[1], factors[0])] {
        let ty = site.ty(y);
        let missing = rank - ty.rank();
        let same_along = axes.iter().all(|&axis| axis < missing || ty.dims[axis - missing] == Dim::Known(1));
        if !same_along || axes.is_empty() || !site.same_shape(rest, x) || ty.rank() == 0 {
            continue;
        }
        let gone: Vec<usize> = axes.iter().filter(|&&axis| axis >= missing).map(|axis| axis - missing).collect();
        // What is left of y must still meet the axes that it met.
        if !keep && axes.iter().any(|&axis| axis >= missing && (0..missing).any(|lead| axes.contains(&lead))) {
            continue;
        }
        let y = match keep || gone.is_empty() {
            true => y,
            false => site.apply("squeeze", &[y], Attributes::new().with("axis", list(&gone)))?,
        };
        let op = site.view().op_name().to_owned();
        let reduced = site.apply(&op, &[rest], attributes)?;
        let value = site.apply("mul", &[y, reduced], Attributes::new())?;
        return one(site, value);
    }
    Ok(None)
}
