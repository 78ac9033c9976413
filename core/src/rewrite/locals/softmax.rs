//! Softmaxes along several axes at once: along one, of their elements side by side.

use super::{Found, Local, Site, built, stable};
use crate::error::Result;
use crate::graph::{ValueId, Var};
use crate::ops::{Attributes, length, vector_of_sizes};
use crate::rewrite::predicates::single_axis;

pub(super) fn locals() -> Vec<Local> {
    vec![
        stable(
            "softmax_of_axes", &["div"],
            "exp(x) / sum(exp(x), axis=a, keepdims=true) => a softmax, of several axes or all",
            softmax_of_axes,
        ),
        stable(
            "log_softmax_of_axes", &["sub"],
            "x - logsumexp(x, axis=a, keepdims=true) => a log_softmax, of several axes or all",
            log_softmax_of_axes,
        ),
    ]
}

fn softmax_of_axes(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [power, sum] = operands[..] else { return Ok(None) };
    let (Some((summed, attributes)), Some((x, _))) = (site.made_by(sum, "sum"), site.made_by(power, "exp")) else { return Ok(None) };
    if summed[0] != power || attributes.dtype("dtype")?.is_some() {
        return Ok(None);
    }
    along(site, x[0], &attributes, Var::softmax)
}

fn log_softmax_of_axes(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, sum] = operands[..] else { return Ok(None) };
    let Some((summed, attributes)) = site.made_by(sum, "logsumexp").filter(|(summed, _)| summed[0] == x) else { return Ok(None) };
    debug_assert_eq!(summed.len(), 1);
    along(site, x, &attributes, Var::log_softmax)
}

/// An op along one axis for the axes of a reduction that keeps them. Rules know reductions that name a single one.
fn along(site: &mut Site<'_>, x: ValueId, reduction: &Attributes, op: fn(&Var, i64) -> Var) -> Found {
    let rank = site.ty(x).rank();
    let named = reduction.get("axis").is_some_and(|axis| single_axis(axis, rank).is_some());
    let axes = reduction.axes("axis", rank)?;
    if named || axes.is_empty() || !reduction.bool("keepdims")? || !site.ty(x).dtype.is_float() {
        return Ok(None);
    }
    built(site, &[x], |values| {
        let x = &values[0];
        Ok(match (rank, axes.len()) {
            (1, _) => op(x, 0),
            (_, all) if all == rank => op(&x.flatten(), 0).reshape_to(&x.shape()),
            _ => along_several(x, &axes, op)?,
        })
    })
}

/// With the axes behind the others, and flattened there.
fn along_several(x: &Var, axes: &[usize], op: fn(&Var, i64) -> Var) -> Result<Var> {
    let kept: Vec<usize> = (0..x.ty()?.rank()).filter(|axis| !axes.contains(axis)).collect();
    let order: Vec<usize> = kept.iter().chain(axes).copied().collect();
    let place = |axis: usize| order.iter().position(|&moved| moved == axis).map_or(0, |place| place as i64);
    let back: Vec<i64> = (0..order.len()).map(place).collect();
    let moved = x.transpose(&order.iter().map(|&axis| axis as i64).collect::<Vec<_>>());
    let sizes: Vec<Var> = kept.iter().map(|&axis| length(x, axis)).chain([Var::scalar(-1i64)]).collect();
    let rows = moved.reshape_to(&vector_of_sizes(&sizes));
    Ok(op(&rows, -1).reshape_to(&moved.shape()).transpose(&back))
}
