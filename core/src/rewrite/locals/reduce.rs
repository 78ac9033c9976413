//! Reductions: of reductions, of nothing much, of what is everywhere the same, of products.

use super::{Found, Local, Site, canonical, faster, one, real};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes};
use crate::rewrite::shapes::same_length;
use crate::tensor::{DType, Dim};

pub(super) fn locals() -> Vec<Local> {
    vec![
        canonical(
            "expand_of_reduction", &["expand_dims"],
            "expand_dims(sum(x, axis=a), a) => sum(x, axis=a, keepdims=true), if nothing else reads the sum or x meets it",
            expand_of_reduction,
        ),
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
        faster(
            "sum_to_sum", &["sum_to"],
            "sum_to(x, s) => sum(x, axis=a) where the types say which axes go",
            sum_to_sum,
        ),
        faster(
            "reduction_of_stack", &["sum", "prod", "max", "min", "any", "all"],
            "sum(stack([x, y]), axis=0) => x + y, of up to four",
            reduction_of_stack,
        ),
        real(
            "sum_of_squared_product", &["sum"],
            "sum(square(x * y), axis=[1, 2]) => square(y) @ sum(square(x), axis=0), where x is the same along axis 0 and y along axis 1: norms of gradients of each example",
            sum_of_squared_product,
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

/// A reduction that something else reads too stays as it is, so that it is not computed twice: but not where its operand is
/// divided by it, or has it subtracted, as that is a softmax.
fn expand_of_reduction(site: &mut Site<'_>) -> Found {
    let Some(reduced) = site.operand(0) else { return Ok(None) };
    const REDUCTIONS: &[&str] = &["sum", "prod", "mean", "max", "min", "any", "all", "logsumexp", "var", "std", "vector_norm"];
    let op = site.op(reduced).to_owned();
    let Some((operands, mut attributes)) = site.made_by(reduced, &op).filter(|_| REDUCTIONS.contains(&op.as_str())) else { return Ok(None) };
    let (x, root) = (operands[0], site.node().output(0));
    if attributes.bool("keepdims")? {
        return Ok(None);
    }
    let Ok(places) = site.attributes().axes("axis", site.ty(root).rank()) else { return Ok(None) };
    let Some(axes) = axes_of(site, &attributes, x) else { return Ok(None) };
    let meets_operand = || {
        let users = site.graph().users(site.node()).iter().map(|&user| site.graph().node(user));
        users.into_iter().any(|user| matches!(user.op_name(), "div" | "sub") && user.operands == [x, root])
    };
    if places != axes || !(site.used_once(reduced) || meets_operand()) {
        return Ok(None);
    }
    attributes.set("keepdims", true);
    let value = site.apply(&op, &operands, attributes)?;
    one(site, value)
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

fn sum_to_sum(site: &mut Site<'_>) -> Found {
    let Some(x) = site.operand(0).filter(|&x| site.ty(x).dtype.is_float()) else { return Ok(None) };
    let (from, to) = (site.ty(x), site.ty(site.node().output(0)));
    let Some(extra) = from.rank().checked_sub(to.rank()) else { return Ok(None) };
    let mut axes: Vec<usize> = (0..extra).collect();
    for (axis, (before, after)) in from.dims[extra..].iter().zip(&to.dims).enumerate() {
        match after {
            _ if before.same(after) => {}
            Dim::Known(1) => axes.push(extra + axis),
            _ => return Ok(None),
        }
    }
    let ones = axes.len() > extra;
    let attributes = |axes: &[usize], keep: bool| Attributes::new().with("axis", list(axes)).with("keepdims", keep);
    let mut value = x;
    if ones {
        value = site.apply("sum", &[value], attributes(&axes, true))?;
        if extra > 0 {
            value = site.apply("squeeze", &[value], Attributes::new().with("axis", list(&axes[..extra])))?;
        }
    } else if extra > 0 {
        value = site.apply("sum", &[value], attributes(&axes, false))?;
    }
    one(site, value)
}

fn reduction_of_stack(site: &mut Site<'_>) -> Found {
    const MOST: usize = 4;
    let (Some(x), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some((parts, stacked)) = site.made_by(x, "stack").filter(|(parts, _)| (2..=MOST).contains(&parts.len())) else { return Ok(None) };
    let along = stacked.axis("axis", site.ty(x).rank())?;
    let wide = matches!(site.ty(x).dtype, DType::F32 | DType::F64) || !matches!(site.view().op_name(), "sum" | "prod");
    if axes_of(site, &attributes, x) != Some(vec![along]) || attributes.bool("keepdims")? || !plain(site, &attributes, x) || !wide {
        return Ok(None);
    }
    let op = match site.view().op_name() {
        "sum" => "add",
        "prod" => "mul",
        "max" => "maximum",
        "min" => "minimum",
        "any" => "logical_or",
        _ => "logical_and",
    };
    let mut value = parts[0];
    for &part in &parts[1..] {
        value = site.apply(op, &[value, part], Attributes::new())?;
    }
    one(site, value)
}

fn sum_of_squared_product(site: &mut Site<'_>) -> Found {
    let (Some(squared), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some(product) = site.made_by(squared, "square").map(|(operands, _)| operands[0]) else { return Ok(None) };
    let Some((factors, _)) = site.made_by(product, "mul") else { return Ok(None) };
    let whole = site.ty(squared).rank() == 3 && site.ty(squared).dtype.is_float();
    if !whole || !plain(site, &attributes, squared) || axes_of(site, &attributes, squared) != Some(vec![1, 2]) || attributes.bool("keepdims")? {
        return Ok(None);
    }
    let one_along = |value: ValueId, axis: usize| site.ty(value).rank() == 3 && site.ty(value).dims[axis] == Dim::Known(1);
    let [a, b] = factors[..] else { return Ok(None) };
    let Some((x, y)) = [(a, b), (b, a)].into_iter().find(|&(x, y)| one_along(x, 0) && one_along(y, 1)) else { return Ok(None) };
    // x is [1, m, k], y is [n, 1, k]; neither is spread along the last axis.
    if !same_length(site.graph(), (x, 2), (y, 2)) {
        return Ok(None);
    }
    let mut squares = Vec::new();
    for (value, axis) in [(x, 0), (y, 1)] {
        let matrix = site.apply("squeeze", &[value], Attributes::new().with("axis", list(&[axis])))?;
        squares.push(site.apply("square", &[matrix], Attributes::new())?);
    }
    let totals = site.apply("sum", &[squares[0]], Attributes::new().with("axis", list(&[0])))?;
    let value = site.apply("matmul", &[squares[1], totals], Attributes::new())?;
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
