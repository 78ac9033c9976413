//! Shapes, and what only gives elements another one.

use super::{Found, Local, Site, faster, one};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes, IndexItem, normalize_axis};
use crate::rewrite::shapes::{Length, origin};
use crate::tensor::{Dim, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster(
            "shape_of_result", &["shape"],
            "shape(f(x)) from shape(x), or a constant: what is computed only for its shape is not computed",
            shape_of_result,
        ),
        faster(
            "to_own_shape", &["reshape", "flatten", "broadcast_to", "sum_to", "specify_shape"],
            "reshape(x, shape(x)) => x, and the like",
            to_own_shape,
        ),
        faster(
            "reshape_of_reshape", &["reshape", "flatten"],
            "reshape(reshape(x, ...), s) => reshape(x, s), also of flatten, squeeze, expand_dims",
            reshape_of_reshape,
        ),
        faster(
            "broadcast_of_broadcast", &["broadcast_to"],
            "broadcast_to(broadcast_to(x, ...), s) => broadcast_to(x, s), also of expand_dims that adds axes in front",
            broadcast_of_broadcast,
        ),
        faster(
            "like_of_scalar", &["ones_like", "zeros_like"],
            "ones_like(x) => 1 of a scalar x",
            like_of_scalar,
        ),
        faster(
            "moved_of_broadcast", &["reshape", "flatten", "expand_dims", "squeeze", "transpose"],
            "reshape(broadcast_to(c, s), t) => broadcast_to(c, t) of a single element c, and so of what only gives elements other places",
            moved_of_broadcast,
        ),
        faster(
            "transpose_of_transpose", &["transpose"],
            "transpose(transpose(x, axes=a), axes=b) => one transpose",
            transpose_of_transpose,
        ),
        faster(
            "moved_of_elementwise", &["transpose", "reshape"],
            "transpose(f(transpose(x))) => f(transpose(transpose(x))), and so of reshape: what only moves elements meets",
            moved_of_elementwise,
        ),
        faster(
            "squeeze_of_expand", &["squeeze", "expand_dims"],
            "squeeze(expand_dims(x, a), a) => x, and the other way round",
            squeeze_of_expand,
        ),
        faster(
            "elementwise_of_broadcast", ELEMENTWISE,
            "f(broadcast_to(x, s), y) => f(x, y) where y has that shape; f(broadcast_to(x, s)) => broadcast_to(f(x), s), and so where what else there is are single elements",
            elementwise_of_broadcast,
        ),
    ]
}

/// The elementwise ops that broadcasts are taken out of.
const ELEMENTWISE: &[&str] = &[
    "add", "sub", "mul", "div", "maximum", "minimum", "pow", "hypot", "logaddexp", "where", "neg", "abs", "square", "sqrt", "reciprocal",
    "exp", "expm1", "log", "log1p", "log2", "sin", "cos", "tanh", "sigmoid", "log_sigmoid", "softplus", "relu", "silu", "erf", "erfc", "eq", "ne", "lt", "le",
    "gt", "ge", "logical_and", "logical_or", "logical_not", "cast", "sign", "floor", "ceil", "sech_squared",
];

fn shape_of_result(site: &mut Site<'_>) -> Found {
    let Some(x) = site.operand(0) else { return Ok(None) };
    let rank = site.ty(x).rank();
    let lengths: Option<Vec<Length>> = (0..rank).map(|axis| origin(site.graph(), x, axis)).collect();
    let Some(lengths) = lengths else { return Ok(None) };
    let known: Option<Vec<i64>> = lengths.iter().map(|length| match length {
        Length::Known(length) => i64::try_from(*length).ok(),
        Length::Of(..) => None,
    }).collect();
    if let Some(known) = known {
        let value = site.add_constant(Tensor::vector(known));
        return one(site, value);
    }
    // Of one value, or put together if nothing but shapes is asked of x.
    let source = lengths.iter().find_map(|length| if let Length::Of(value, _) = length { Some(*value) } else { None });
    let Some(source) = source.filter(|&source| source != x) else { return Ok(None) };
    let whole = site.ty(source).rank() == rank
        && lengths.iter().enumerate().all(|(axis, length)| match length {
            Length::Of(value, from) => *value == source && *from == axis,
            Length::Known(length) => site.ty(source).dims[axis].known() == Some(*length),
        });
    if whole {
        let value = site.apply("shape", &[source], Attributes::new())?;
        return one(site, value);
    }
    // Or of an input of just these lengths.
    let graph = site.graph();
    let like = graph.inputs().iter().map(|input| input.output(0)).find(|&input| {
        let (own, other) = (site.ty(x), site.ty(input));
        input != x && own.rank() == other.rank() && own.dims.iter().zip(&other.dims).all(|(a, b)| a.same(b))
    });
    if let Some(like) = like {
        let value = site.apply("shape", &[like], Attributes::new())?;
        return one(site, value);
    }
    let only_shapes = graph.node(x.node).apply().is_some()
        && !graph.outputs().contains(&x)
        && graph.users(x.node).iter().all(|&user| graph.node(user).op_name() == "shape");
    if !only_shapes || lengths.iter().any(|length| matches!(length, Length::Of(value, _) if *value == x)) {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for length in lengths {
        parts.push(match length {
            Length::Known(length) => site.add_constant(Tensor::scalar(length as i64)),
            Length::Of(value, axis) => {
                let shape = site.apply("shape", &[value], Attributes::new())?;
                let at = Attributes::new().with("index", Attribute::Index(vec![IndexItem::At(axis as i64)]));
                site.apply("index", &[shape], at)?
            }
        });
    }
    let value = site.apply("stack", &parts, Attributes::new().with("axis", 0i64))?;
    one(site, value)
}

fn to_own_shape(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let Some(&x) = operands.first() else { return Ok(None) };
    // It checks what its type takes for granted.
    if site.view().op_name() == "specify_shape" {
        let Some(&sizes) = operands.get(1) else { return Ok(None) };
        let own = match site.constant(sizes) {
            Some(sizes) => site.ty(x).known_shape().is_some_and(|shape| shape.iter().map(|&length| length as i64).eq(sizes.to_i64_vec())),
            None => site.made_by(sizes, "shape").is_some_and(|(like, _)| site.same_shape(like[0], x)),
        };
        if !own {
            return Ok(None);
        }
    }
    one(site, x)
}

fn reshape_of_reshape(site: &mut Site<'_>) -> Found {
    let mut operands = site.operands();
    let Some(x) = operands.first().copied().filter(|&x| matches!(site.op(x), "reshape" | "flatten" | "squeeze" | "expand_dims")) else { return Ok(None) };
    operands[0] = site.graph().node(x.node).operands[0];
    let value = site.again(site.node(), &operands)?.output(0);
    // Types of sizes are those of the operand's elements; where they were better known they stay.
    one(site, value)
}

fn broadcast_of_broadcast(site: &mut Site<'_>) -> Found {
    let mut operands = site.operands();
    let Some(&x) = operands.first() else { return Ok(None) };
    let before = || {
        let (inner, attributes) = site.made_by(x, "expand_dims")?;
        let mut axes = attributes.axes("axis", site.ty(x).rank()).ok()?;
        axes.sort_unstable();
        axes.into_iter().eq(0..site.ty(x).rank() - site.ty(inner[0]).rank()).then_some(inner[0])
    };
    let Some(inner) = site.made_by(x, "broadcast_to").map(|(inner, _)| inner[0]).or_else(before) else { return Ok(None) };
    operands[0] = inner;
    let value = site.again(site.node(), &operands)?.output(0);
    one(site, value)
}

/// Whether a value is certainly one element.
fn is_single(site: &Site<'_>, value: ValueId) -> bool {
    site.ty(value).dims.iter().all(|dim| dim.known() == Some(1))
}

fn like_of_scalar(site: &mut Site<'_>) -> Found {
    let ty = site.ty(site.node().output(0));
    if ty.rank() != 0 {
        return Ok(None);
    }
    let (dtype, weak) = (ty.dtype, ty.weak);
    let value = if site.view().op_name() == "ones_like" { Tensor::scalar(1.0).cast(dtype) } else { Tensor::zeros(dtype, &[]) };
    let value = if weak { site.weak_constant(value) } else { site.add_constant(value) };
    one(site, value)
}

fn moved_of_broadcast(site: &mut Site<'_>) -> Found {
    let Some((inner, _)) = site.operand(0).and_then(|x| site.made_by(x, "broadcast_to")) else { return Ok(None) };
    let Some(shape) = site.ty(site.node().output(0)).known_shape().filter(|_| is_single(site, inner[0])) else { return Ok(None) };
    let vector = |lengths: &[usize]| Tensor::vector(lengths.iter().map(|&length| length as i64).collect());
    let mut element = inner[0];
    if site.ty(element).rank() > 0 {
        let none = site.add_constant(vector(&[]));
        element = site.apply("reshape", &[element, none], Attributes::new())?;
    }
    let sizes = site.add_constant(vector(&shape));
    let value = site.apply("broadcast_to", &[element, sizes], Attributes::new())?;
    one(site, value)
}

/// Which axis of the operand each axis of a transpose is.
fn order(attributes: &Attributes, rank: usize) -> Option<Vec<usize>> {
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
    let both: Vec<i64> = second.iter().map(|&axis| first[axis] as i64).collect();
    let value = site.apply("transpose", &[inner[0]], Attributes::new().with("axes", both))?;
    one(site, value)
}

fn moved_of_elementwise(site: &mut Site<'_>) -> Found {
    let mut operands = site.operands();
    let Some(&between) = operands.first() else { return Ok(None) };
    let view = site.graph().node(between.node);
    let single = view.apply().is_some_and(|(op, _)| op.is_elementwise() && !op.is_identity() && !op.can_fail()) && view.operands.len() == 1;
    let Some(&inner) = view.operands.first().filter(|_| single && view.results.len() == 1) else { return Ok(None) };
    if site.op(inner) != site.view().op_name() || !site.used_once(between) || !site.used_once(inner) {
        return Ok(None);
    }
    operands[0] = inner;
    let moved = site.again(site.node(), &operands)?.output(0);
    let value = site.again(between.node, &[moved])?.output(0);
    one(site, value)
}

fn squeeze_of_expand(site: &mut Site<'_>) -> Found {
    let Some(x) = site.operand(0) else { return Ok(None) };
    let expands = site.view().op_name() == "expand_dims";
    let Some((inner, attributes)) = site.made_by(x, if expands { "squeeze" } else { "expand_dims" }) else { return Ok(None) };
    // Both count the axes of the longer shape.
    let rank = if expands { site.ty(site.node().output(0)).rank() } else { site.ty(x).rank() };
    let axes = |attributes: &Attributes| match attributes.get("axis") {
        None | Some(Attribute::None) => None,
        Some(_) => attributes.axes("axis", rank).ok(),
    };
    let (outer, within) = (axes(&site.attributes()), axes(&attributes));
    if outer.is_none() || outer != within {
        return Ok(None);
    }
    one(site, inner[0])
}

fn elementwise_of_broadcast(site: &mut Site<'_>) -> Found {
    let mut operands = site.operands();
    let inner = |site: &Site<'_>, value: ValueId| site.made_by(value, "broadcast_to").map(|(operands, _)| (operands[0], operands[1]));
    let spread: Vec<usize> = (0..operands.len()).filter(|&at| inner(site, operands[at]).is_some()).collect();
    if spread.is_empty() {
        return Ok(None);
    }
    if operands.len() == 1 {
        let cheap = |x: ValueId| is_single(site, x) || site.used_once(operands[0]);
        let Some((x, sizes)) = inner(site, operands[0]).filter(|&(x, _)| cheap(x)) else { return Ok(None) };
        let value = site.again(site.node(), &[x])?.output(0);
        let value = site.apply("broadcast_to", &[value, sizes], Attributes::new())?;
        return one(site, value);
    }
    // One at a time, as long as another operand still has the shape.
    let root = site.node().output(0);
    for &at in &spread {
        let Some((x, _)) = inner(site, operands[at]) else { continue };
        let full = (0..operands.len()).any(|other| {
            let covers = |(a, b): (&Dim, &Dim)| a.same(b) && b.known() != Some(1) || b.known() == Some(1) && a.known() == Some(1);
            let (a, b) = (site.ty(root), site.ty(operands[other]));
            other != at && a.rank() == b.rank() && (a.dims.iter().zip(&b.dims).all(covers) || site.same_shape(root, operands[other]))
        });
        if full {
            operands[at] = x;
            let value = site.again(site.node(), &operands)?.output(0);
            return one(site, value);
        }
    }
    // All are single elements, but that one was given the shape.
    let (&[at], root) = (spread.as_slice(), site.ty(root)) else { return Ok(None) };
    let Some((x, sizes)) = inner(site, operands[at]) else { return Ok(None) };
    let shape = site.ty(operands[at]);
    let same = shape.rank() == root.rank() && shape.dims.iter().zip(&root.dims).all(|(a, b)| a.same(b));
    let singles = (0..operands.len()).all(|other| is_single(site, if other == at { x } else { operands[other] }));
    if !same || !singles {
        return Ok(None);
    }
    operands[at] = x;
    let value = site.again(site.node(), &operands)?.output(0);
    let value = site.apply("broadcast_to", &[value, sizes], Attributes::new())?;
    one(site, value)
}
