//! Reductions: of reductions, of nothing much, of what is everywhere the same, of products.

use super::shape::{sizes_like, spread};
use super::{Found, Local, Site, canonical, one, real};
use crate::error::Result;
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes};
use crate::rewrite::lengths::length;
use crate::rewrite::shapes::same_length;
use crate::tensor::{DType, Dim, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        canonical(
            "expand_of_reduction", &["expand_dims"],
            "expand_dims(sum(x, axis=a), a) => sum(x, axis=a, keepdims=true), if nothing else reads the sum or x meets it",
            expand_of_reduction,
        ),
        canonical(
            "reduction_of_reduction", &["sum", "prod", "max", "min", "any", "all"],
            "sum(sum(x, axis=a), axis=b) => one sum over both",
            reduction_of_reduction,
        ),
        real("mean_of_mean", &["mean"], "mean(mean(x, axis=a), axis=b) => one mean over both", reduction_of_reduction),
        canonical(
            "reduction_of_ones", &["sum", "prod", "mean", "max", "min", "logsumexp"],
            "a reduction of axes of length 1 drops them, or is its operand",
            reduction_of_ones,
        ),
        canonical(
            "reduction_of_broadcast", &["sum", "prod", "mean", "max", "min", "any", "all"],
            "sum(broadcast_to(x, s)) => sum(x) * n, prod => prod(x) ** n, max => max(x), where n places of the reduced axes have the same, also of zeros and ones, and of sums, products, means, any and all also where n is not known",
            reduction_of_broadcast,
        ),
        canonical(
            "sum_to_sum", &["sum_to"],
            "sum_to(x, s) => sum(x, axis=a) where the types say which axes go",
            sum_to_sum,
        ),
        canonical(
            "reduction_of_stack", &["sum", "prod", "max", "min", "any", "all"],
            "sum(stack([x, y]), axis=0) => x + y, of up to four",
            reduction_of_stack,
        ),
        real(
            "sum_of_squared_product", &["sum"],
            "sum(square(x * y), axis=[1, 2]) => square(y) @ sum(square(x), axis=0), where x is the same along axis 0 and y along axis 1: norms of gradients of each example",
            sum_of_squared_product,
        ),
        real("prod_of_scaled", &["prod"], "prod(x * c) => prod(x) * c ** n of a scalar c and n elements each", prod_of_scaled),
        real(
            "sum_of_scaled_axes", &["sum", "mean"],
            "sum(x * y, axis) => y * sum(x, axis), and sum(x / y, axis), where y is the same along the axes",
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
    let (keep, kept) = (outer.bool("keepdims")?, attributes.bool("keepdims")?);
    if (keep && !kept) || !site.used_once(x) || !plain(site, &outer, inner[0]) || !plain(site, &attributes, inner[0]) {
        return Ok(None);
    }
    let (Some(first), Some(second)) = (axes_of(site, &attributes, inner[0]), axes_of(site, &outer, x)) else { return Ok(None) };
    let rank = site.ty(inner[0]).rank();
    // What the inner one keeps, the outer one has to drop if it drops anything.
    if kept && !keep && !first.iter().all(|axis| second.contains(axis)) {
        return Ok(None);
    }
    let left: Vec<usize> = (0..rank).filter(|axis| kept || !first.contains(axis)).collect();
    let mut axes: Vec<usize> = first.into_iter().chain(second.into_iter().map(|axis| left[axis])).collect();
    axes.sort_unstable();
    axes.dedup();
    let mut attributes = attributes;
    attributes.set("axis", if axes.len() == rank { Attribute::None } else { list(&axes) });
    attributes.set("keepdims", keep);
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

/// The largest whole number up to which a dtype has all.
fn whole_up_to(dtype: DType) -> usize {
    match dtype {
        DType::BF16 => 1 << 8,
        DType::F16 => 1 << 11,
        DType::F32 => 1 << 24,
        _ => 1 << 53,
    }
}

fn reduction_of_broadcast(site: &mut Site<'_>) -> Found {
    let (Some(x), mut attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let (op, root) = (site.view().op_name().to_owned(), site.node().output(0));
    // Whole numbers wrap around alike, added up or multiplied.
    let whole = op == "sum" && [x, root].iter().all(|&value| site.ty(value).dtype == DType::I64);
    let Some(found) = spread(site, x).filter(|_| whole || plain(site, &attributes, x)) else { return Ok(None) };
    let Some(axes) = axes_of(site, &attributes, x) else { return Ok(None) };
    let (ty, keep) = (site.ty(x).clone(), attributes.bool("keepdims")?);
    let element = found.element(site, x);
    let own = site.ty(element).clone();
    let new = ty.rank() - own.rank();
    // The reduced axes along which all places have the same, and those of what is spread.
    let is_new = |axis: usize| axis < new || own.dims[axis - new] == Dim::Known(1);
    let (same, rest): (Vec<usize>, Vec<usize>) = axes.iter().partition(|&&axis| is_new(axis));
    let more = same.iter().any(|&axis| ty.dims[axis] != Dim::Known(1));
    let certain = rest.iter().all(|&axis| same_length(site.graph(), (element, axis - new), (x, axis)));
    let float = ty.dtype.is_float();
    if !more || !certain || (matches!(op.as_str(), "sum" | "prod" | "mean") && !float && !whole) {
        return Ok(None);
    }
    let count = same.iter().try_fold(1usize, |count, &axis| count.checked_mul(ty.dims[axis].known()?)).filter(|&count| count <= whole_up_to(ty.dtype));
    let wide = matches!(ty.dtype, DType::F32 | DType::F64);
    // Of no places at all there is no largest.
    let by_length = match op.as_str() {
        "sum" | "prod" => wide || whole,
        "max" | "min" => false,
        _ => true,
    };
    if count == Some(0) || (count.is_none() && !by_length) {
        return Ok(None);
    }
    // What is spread, of its own axes that go.
    let mut value = element;
    if !rest.is_empty() {
        let places: Vec<usize> = rest.iter().map(|axis| axis - new).collect();
        attributes.set("axis", list(&places));
        value = site.apply(&op, &[value], attributes)?;
    }
    let finite = |test: fn(f64) -> bool| site.constant(element).is_some_and(|constant| constant.len() <= 4096 && constant.to_f64_vec().into_iter().all(test));
    let (zero, one_everywhere, finite) = (finite(|x| x == 0.0), finite(|x| x == 1.0), finite(f64::is_finite));
    match (op.as_str(), count) {
        ("sum", _) if zero => {}
        ("sum", Some(count)) => {
            let count = if whole { site.weak_constant(Tensor::scalar(count as i64)) } else { site.weak(count as f64) };
            value = site.apply("mul", &[value, count], Attributes::new())?;
        }
        ("prod", _) if one_everywhere => {}
        ("prod", Some(count)) if wide => {
            let count = site.weak(count as f64);
            value = site.apply("pow", &[value, count], Attributes::new())?;
        }
        ("sum" | "prod" | "mean" | "any" | "all", None) => {
            let Some(places) = places(site, x, &same)? else { return Ok(None) };
            value = of_places(site, &op, value, places, finite)?;
        }
        ("prod", _) => return Ok(None),
        _ => {}
    }
    // The axes that are left, and then the shape.
    let place = |axis: usize| axis - new - rest.iter().filter(|&&other| other < axis).count();
    let gone: Vec<usize> = same.iter().filter(|&&axis| axis >= new && !keep).map(|&axis| place(axis)).collect();
    if !gone.is_empty() {
        value = site.apply("squeeze", &[value], Attributes::new().with("axis", list(&gone)))?;
    }
    if !site.same_shape(root, value) {
        let Some(sizes) = sizes_like(site, root)? else { return Ok(None) };
        value = site.apply("broadcast_to", &[value, sizes], Attributes::new())?;
    }
    one(site, value)
}

/// How many places some axes have, as an i64 scalar, by formulas that do not read the value.
fn places(site: &mut Site<'_>, x: ValueId, axes: &[usize]) -> Result<Option<ValueId>> {
    let mut places = None;
    for &axis in axes {
        let length = length(site.graph(), x, axis);
        if length.reads(x) {
            return Ok(None);
        }
        let length = length.build(site)?;
        places = Some(match places {
            None => length,
            Some(so_far) => site.apply("mul", &[so_far, length], Attributes::new())?,
        });
    }
    Ok(places)
}

/// A reduction of as many places with one value each; whether that is finite.
fn of_places(site: &mut Site<'_>, op: &str, value: ValueId, places: ValueId, finite: bool) -> Result<ValueId> {
    let plain = Attributes::new;
    let zero = site.add_constant(Tensor::scalar(0i64));
    match op {
        // Of no places nothing is true of one, and everything of all.
        "any" => {
            let some = site.apply("ne", &[places, zero], plain())?;
            site.apply("logical_and", &[value, some], plain())
        }
        "all" => {
            let none = site.apply("eq", &[places, zero], plain())?;
            site.apply("logical_or", &[value, none], plain())
        }
        "mean" => {
            let (none, nan) = (site.apply("eq", &[places, zero], plain())?, site.weak(f64::NAN));
            site.apply("where", &[none, nan, value], plain())
        }
        op => {
            let count = site.apply("cast", &[places], plain().with("dtype", site.ty(value).dtype))?;
            if op == "prod" {
                return site.apply("pow", &[value, count], plain());
            }
            let total = site.apply("mul", &[value, count], plain())?;
            if finite || !site.ty(value).dtype.is_float() {
                return Ok(total);
            }
            // Of no places the sum is 0, whatever would be added up.
            let (zero, none) = (site.weak(0.0), site.apply("eq", &[places, zero], plain())?);
            site.apply("where", &[none, zero, total], plain())
        }
    }
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
    let way = site.op(x).to_owned();
    let Some((factors, _)) = site.made_by(x, &way).filter(|_| matches!(way.as_str(), "mul" | "div")) else { return Ok(None) };
    let Some(axes) = axes_of(site, &attributes, x).filter(|_| plain(site, &attributes, x) && site.ty(x).dtype.is_float()) else { return Ok(None) };
    let (keep, rank) = (attributes.bool("keepdims")?, site.ty(x).rank());
    let ways = [(factors[1], factors[0]), (factors[0], factors[1])];
    for &(y, rest) in if way == "mul" { &ways[..] } else { &ways[..1] } {
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
        let operands = if way == "mul" { [y, reduced] } else { [reduced, y] };
        let value = site.apply(&way, &operands, Attributes::new())?;
        return one(site, value);
    }
    Ok(None)
}

fn prod_of_scaled(site: &mut Site<'_>) -> Found {
    let (Some(x), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some((factors, _)) = site.made_by(x, "mul").filter(|_| site.ty(x).dtype.is_float() && plain(site, &attributes, x)) else { return Ok(None) };
    let [a, b] = factors[..] else { return Ok(None) };
    let Some((of, scale)) = [(a, b), (b, a)].into_iter().find(|&(of, scale)| site.ty(scale).rank() == 0 && site.same_shape(of, x)) else { return Ok(None) };
    let count = axes_of(site, &attributes, x).and_then(|axes| axes.iter().try_fold(1usize, |count, &axis| count.checked_mul(site.ty(x).dims[axis].known()?)));
    let Some(count) = count.filter(|&count| count <= whole_up_to(site.ty(x).dtype)) else { return Ok(None) };
    let count = site.weak(count as f64);
    let power = site.apply("pow", &[scale, count], Attributes::new())?;
    let product = site.apply("prod", &[of], attributes)?;
    let value = site.apply("mul", &[product, power], Attributes::new())?;
    one(site, value)
}
