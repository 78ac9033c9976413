//! Shapes, and what only gives elements another one.

use super::axes::order;
use super::index::own_basic_index;
use super::{Found, Local, Site, canonical, one, stable};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes};
use crate::error::Result;
use crate::rewrite::lengths::{Length, length};
use crate::tensor::{Dim, Tensor};

/// Ops that only move elements of their first operand, or read some of them.
pub(in crate::rewrite) const MOVES: &[&str] =
    &["index", "take", "take_along_axis", "reshape", "flatten", "transpose", "swapaxes", "squeeze", "expand_dims", "flip"];

pub(super) fn locals() -> Vec<Local> {
    vec![
        canonical(
            "shape_of_result", &["shape"],
            "shape(f(x)) from shape(x), or a constant: what is computed only for its shape is not computed",
            shape_of_result,
        ),
        canonical(
            "to_own_shape", &["reshape", "flatten", "broadcast_to", "sum_to", "specify_shape"],
            "reshape(x, shape(x)) => x, and the like",
            to_own_shape,
        ),
        canonical(
            "squeeze_of_expand", &["squeeze", "expand_dims"],
            "squeeze(expand_dims(x, a), a) => x, and the other way round",
            squeeze_of_expand,
        ),
        canonical(
            "reshape_of_reshape", &["reshape", "flatten", "squeeze", "expand_dims"],
            "reshape(reshape(x, ...), s) => reshape(x, s), also of flatten, squeeze, expand_dims; x where that is its shape",
            reshape_of_reshape,
        ),
        canonical(
            "reshape_of_ones", &["reshape"],
            "reshape(x, s) => squeeze(x, axis), expand_dims(x, axis), where only axes of length 1 go or come",
            reshape_of_ones,
        ),
        canonical("full_of_value", &["full"], "full(s, c) => broadcast_to(c, s): one form for what is everywhere the same", full_of_value),
        canonical(
            "broadcast_of_broadcast", &["broadcast_to"],
            "broadcast_to(broadcast_to(x, ...), s) => broadcast_to(x, s), also of expand_dims that adds axes in front",
            broadcast_of_broadcast,
        ),
        canonical(
            "like_of_scalar", &["ones_like", "zeros_like"],
            "ones_like(x) => 1 of a scalar x",
            like_of_scalar,
        ),
        canonical(
            "moved_of_broadcast", &["reshape", "flatten", "expand_dims", "squeeze", "transpose", "swapaxes", "flip", "index", "concatenate", "stack"],
            "reshape(broadcast_to(c, s), t) => broadcast_to(c, t) of a single element c, also of zeros and ones, and so of what only gives elements other places",
            moved_of_broadcast,
        ),
        stable(
            "exp_of_moved", MOVES,
            "exp(x)[i] => exp(x[i]), and so of what else moves elements: what is stable with an exponential meets it; if nothing else reads exp(x)",
            exp_of_moved,
        ),
        stable(
            "moved_of_elementwise", &["transpose", "reshape"],
            "transpose(f(transpose(x))) => f(transpose(transpose(x))), and so of reshape: what only moves elements meets; transpose(transpose(x) + transpose(y)) => x + y",
            moved_of_elementwise,
        ),
        canonical(
            "expand_of_expand", &["expand_dims", "squeeze"],
            "expand_dims(expand_dims(x, a), b) => one expand_dims, and so of squeeze",
            expand_of_expand,
        ),
        canonical(
            "elementwise_of_broadcast", ELEMENTWISE,
            "f(broadcast_to(x, s), y) => f(x, y) where y has that shape; f(broadcast_to(x, s)) => broadcast_to(f(x), s), and so where what else there is are single elements",
            elementwise_of_broadcast,
        ),
    ]
}

/// The elementwise ops that broadcasts are taken out of, and that branches take in.
pub(super) const ELEMENTWISE: &[&str] = &[
    "add", "sub", "mul", "div", "maximum", "minimum", "pow", "hypot", "logaddexp", "logsubexp", "where", "neg", "abs", "square", "sqrt", "reciprocal",
    "exp", "expm1", "log", "log1p", "log2", "sin", "cos", "tanh", "sigmoid", "log_sigmoid", "softplus", "relu", "silu", "erf", "erfc", "eq", "ne", "lt", "le",
    "gt", "ge", "logical_and", "logical_or", "logical_not", "cast", "sign", "floor", "ceil", "sech_squared",
];

fn shape_of_result(site: &mut Site<'_>) -> Found {
    let Some(x) = site.operand(0) else { return Ok(None) };
    let rank = site.ty(x).rank();
    let lengths: Vec<Length> = (0..rank).map(|axis| length(site.graph(), x, axis)).collect();
    let known: Option<Vec<i64>> = lengths.iter().map(|length| match length {
        Length::Known(length) => i64::try_from(*length).ok(),
        _ => None,
    }).collect();
    if let Some(known) = known {
        let value = site.add_constant(Tensor::vector(known));
        return one(site, value);
    }
    // Of one value, or put together if nothing but shapes is asked of x.
    let source = lengths.iter().find_map(|length| if let Length::Of(value, _) = length { Some(*value) } else { None });
    let whole = |source: &ValueId| {
        site.ty(*source).rank() == rank
            && lengths.iter().enumerate().all(|(axis, length)| match length {
                Length::Of(value, from) => value == source && *from == axis,
                Length::Known(length) => site.ty(*source).dims[axis].known() == Some(*length),
                _ => false,
            })
    };
    if let Some(source) = source.filter(|source| *source != x).filter(whole) {
        let value = site.apply("shape", &[source], Attributes::new())?;
        return one(site, value);
    }
    // Or, of what is computed, of an input of just these lengths.
    let graph = site.graph();
    let computed = graph.node(x.node).apply().is_some();
    let like = graph.inputs().iter().map(|input| input.output(0)).find(|&input| {
        let (own, other) = (site.ty(x), site.ty(input));
        computed && own.rank() == other.rank() && own.dims.iter().zip(&other.dims).all(|(a, b)| a.same(b))
    });
    if let Some(like) = like {
        let value = site.apply("shape", &[like], Attributes::new())?;
        return one(site, value);
    }
    let only_shapes = computed
        && !graph.outputs().iter().any(|output| output.node == x.node)
        && graph.users(x.node).iter().all(|&user| graph.node(user).op_name() == "shape");
    if !only_shapes || lengths.iter().any(|length| length.reads(x)) {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for length in lengths {
        parts.push(length.build(site)?);
    }
    let value = site.apply("stack", &parts, Attributes::new().with("axis", 0i64))?;
    one(site, value)
}

/// A value that is another one, or a number, spread over a shape.
pub(super) struct Spread {
    pub(super) of: Element,
    sizes: Sizes,
}

/// What is spread.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Element {
    Value(ValueId),
    Number(f64),
}

/// Over which shape.
#[derive(Clone, Copy)]
enum Sizes {
    Given(ValueId),
    Of(ValueId),
}

/// How a value is spread, if that is all that makes it.
pub(super) fn spread(site: &Site<'_>, value: ValueId) -> Option<Spread> {
    let view = site.graph().node(value.node);
    let (number, sizes) = match (site.op(value), view.operands) {
        ("broadcast_to", &[x, sizes]) => return Some(Spread { of: Element::Value(x), sizes: Sizes::Given(sizes) }),
        ("zeros", &[sizes]) => (0.0, Sizes::Given(sizes)),
        ("ones", &[sizes]) => (1.0, Sizes::Given(sizes)),
        ("zeros_like", &[x]) => (0.0, Sizes::Of(x)),
        ("ones_like", &[x]) => (1.0, Sizes::Of(x)),
        _ => return None,
    };
    Some(Spread { of: Element::Number(number), sizes })
}

impl Spread {
    /// What is spread in `value`, as a value.
    pub(super) fn element(&self, site: &mut Site<'_>, value: ValueId) -> ValueId {
        match self.of {
            Element::Value(x) => x,
            Element::Number(number) => {
                let (dtype, weak) = (site.ty(value).dtype, site.ty(value).weak);
                let number = Tensor::scalar(number).cast(dtype);
                if weak { site.weak_constant(number) } else { site.add_constant(number) }
            }
        }
    }

    fn sizes(&self, site: &mut Site<'_>) -> Result<ValueId> {
        match self.sizes {
            Sizes::Given(sizes) => Ok(sizes),
            Sizes::Of(x) => site.apply("shape", &[x], Attributes::new()),
        }
    }

    /// Whether it is one element that is spread.
    fn of_one(&self, site: &Site<'_>) -> bool {
        if let Element::Value(x) = self.of { is_single(site, x) } else { true }
    }
}

/// The sizes of a value by formulas that do not read it, if there are such.
pub(super) fn sizes_like(site: &mut Site<'_>, value: ValueId) -> Result<Option<ValueId>> {
    if let Some(shape) = site.ty(value).known_shape() {
        return Ok(Some(sizes_of(site, &shape)));
    }
    let lengths: Vec<Length> = (0..site.ty(value).rank()).map(|axis| length(site.graph(), value, axis)).collect();
    if lengths.iter().any(|length| length.reads(value)) {
        return Ok(None);
    }
    let sizes: Vec<ValueId> = lengths.iter().map(|length| length.build(site)).collect::<Result<_>>()?;
    site.apply("stack", &sizes, Attributes::new().with("axis", 0i64)).map(Some)
}

/// A shape as a constant.
pub(super) fn sizes_of(site: &mut Site<'_>, shape: &[usize]) -> ValueId {
    site.add_constant(Tensor::vector(shape.iter().map(|&length| length as i64).collect()))
}

fn full_of_value(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [sizes, mut value] = operands[..] else { return Ok(None) };
    let ty = site.ty(site.node().output(0)).clone();
    if (ty.dtype, ty.weak) != (site.ty(value).dtype, site.ty(value).weak) {
        value = site.apply("cast", &[value], Attributes::new().with("dtype", ty.dtype))?;
    }
    let value = site.apply("broadcast_to", &[value, sizes], Attributes::new())?;
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
    const FORMS: &[&str] = &["reshape", "flatten", "squeeze", "expand_dims"];
    let (mut operands, root) = (site.operands(), site.node().output(0));
    let Some(x) = operands.first().copied().filter(|&x| FORMS.contains(&site.op(x))) else { return Ok(None) };
    let inner = site.graph().node(x.node).operands[0];
    if site.fits(root, inner) {
        return one(site, inner);
    }
    if matches!(site.view().op_name(), "squeeze" | "expand_dims") {
        // Of a reshape, where the shape is known.
        let Some(shape) = site.ty(root).known_shape().filter(|_| matches!(site.op(x), "reshape" | "flatten")) else { return Ok(None) };
        let sizes = sizes_of(site, &shape);
        let value = site.apply("reshape", &[inner, sizes], Attributes::new())?;
        return one(site, value);
    }
    operands[0] = inner;
    let value = site.again(site.node(), &operands)?.output(0);
    // Types of sizes are those of the operand's elements; where they were better known they stay.
    one(site, value)
}

fn reshape_of_ones(site: &mut Site<'_>) -> Found {
    let (Some(x), root) = (site.operand(0), site.node().output(0)) else { return Ok(None) };
    let (from, to) = (site.ty(x).dims.clone(), site.ty(root).dims.clone());
    let (op, longer, shorter) = if from.len() > to.len() { ("squeeze", &from, &to) } else { ("expand_dims", &to, &from) };
    // The axes of length 1 that the longer one has besides; the others are the same in both.
    let (mut extra, mut at) = (Vec::new(), 0);
    for (axis, dim) in longer.iter().enumerate() {
        match shorter.get(at) {
            Some(other) if other.same(dim) => at += 1,
            _ if *dim == Dim::Known(1) => extra.push(axis as i64),
            _ => return Ok(None),
        }
    }
    if extra.is_empty() || at < shorter.len() {
        return Ok(None);
    }
    let value = site.apply(op, &[x], Attributes::new().with("axis", extra))?;
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
    let operands = site.operands();
    let Some((&x, others)) = operands.split_first() else { return Ok(None) };
    let Some(found) = spread(site, x).filter(|found| found.of_one(site)) else { return Ok(None) };
    let joins = matches!(site.view().op_name(), "concatenate" | "stack");
    // Of an index by slices and positions.
    if site.view().op_name() == "index" && own_basic_index(site).is_none() {
        return Ok(None);
    }
    let alike = |&other: &ValueId| spread(site, other).is_some_and(|other| other.of == found.of) && site.ty(other).dtype == site.ty(x).dtype;
    if joins && !others.iter().all(alike) {
        return Ok(None);
    }
    let root = site.node().output(0);
    let Some(shape) = site.ty(root).known_shape() else { return Ok(None) };
    let mut element = found.element(site, x);
    if site.ty(element).rank() > 0 {
        let none = sizes_of(site, &[]);
        element = site.apply("reshape", &[element, none], Attributes::new())?;
    }
    let sizes = sizes_of(site, &shape);
    let value = site.apply("broadcast_to", &[element, sizes], Attributes::new())?;
    one(site, value)
}

fn exp_of_moved(site: &mut Site<'_>) -> Found {
    let mut operands = site.operands();
    let Some(&exponential) = operands.first() else { return Ok(None) };
    let Some((inner, _)) = site.made_by(exponential, "exp").filter(|_| site.used_once(exponential)) else { return Ok(None) };
    // Where an element may be read many times, only for what may have a stable form with it.
    let stable = |op: &str| matches!(op, "log" | "log1p" | "add" | "sub");
    let mut readers = site.graph().users(site.node()).iter().map(|&user| site.graph().node(user).op_name());
    if operands.len() > 1 && matches!(site.view().op_name(), "index" | "take" | "take_along_axis") && !readers.all(stable) {
        return Ok(None);
    }
    if site.graph().outputs().contains(&site.node().output(0)) {
        return Ok(None);
    }
    operands[0] = inner[0];
    let moved = site.again(site.node(), &operands)?.output(0);
    let value = site.again(exponential.node, &[moved])?.output(0);
    one(site, value)
}

fn moved_of_elementwise(site: &mut Site<'_>) -> Found {
    let mut operands = site.operands();
    let Some(&between) = operands.first() else { return Ok(None) };
    let view = site.graph().node(between.node);
    let elementwise = view.apply().is_some_and(|(op, _)| op.is_elementwise() && !op.is_identity() && !op.can_fail()) && view.results.len() == 1;
    let inner = view.operands.to_vec();
    if !elementwise || !site.used_once(between) {
        return Ok(None);
    }
    let moved = |value: ValueId| site.op(value) == site.view().op_name() && site.used_once(value);
    if let &[inner] = inner.as_slice() {
        if !moved(inner) {
            return Ok(None);
        }
        operands[0] = inner;
        let moved = site.again(site.node(), &operands)?.output(0);
        let value = site.again(between.node, &[moved])?.output(0);
        return one(site, value);
    }
    // Of several operands each has to come back to where it was.
    let rank = site.ty(between).rank();
    let Some(last) = order(&site.attributes(), rank).filter(|_| site.view().op_name() == "transpose") else { return Ok(None) };
    let back = |value: ValueId| {
        let (own, attributes) = site.made_by(value, "transpose").filter(|_| moved(value))?;
        let first = order(&attributes, site.ty(value).rank())?;
        let undone = first.len() == last.len() && last.iter().enumerate().all(|(at, &axis)| first[axis] == at);
        undone.then_some(own[0])
    };
    let parts: Option<Vec<ValueId>> = inner.iter().map(|&value| if site.ty(value).rank() == 0 { Some(value) } else { back(value) }).collect();
    let Some(parts) = parts else { return Ok(None) };
    let value = site.again(between.node, &parts)?.output(0);
    one(site, value)
}

fn expand_of_expand(site: &mut Site<'_>) -> Found {
    let (Some(x), op) = (site.operand(0), site.view().op_name().to_owned()) else { return Ok(None) };
    let Some((inner, within)) = site.made_by(x, &op) else { return Ok(None) };
    let outer = site.attributes();
    if [&outer, &within].iter().any(|attributes| matches!(attributes.get("axis"), None | Some(Attribute::None))) {
        return Ok(None);
    }
    let (rank, middle) = (site.ty(site.node().output(0)).rank(), site.ty(x).rank());
    let expands = op == "expand_dims";
    // Axes of the longest of the three shapes: those of the step at its side, and those of the other one behind them.
    let longest = if expands { rank } else { site.ty(inner[0]).rank() };
    let (near, far) = if expands { (&outer, &within) } else { (&within, &outer) };
    let (mut axes, far) = (near.axes("axis", longest)?, far.axes("axis", middle)?);
    let left: Vec<usize> = (0..longest).filter(|axis| !axes.contains(axis)).collect();
    axes.extend(far.iter().map(|&axis| left[axis]));
    axes.sort_unstable();
    let axes: Vec<i64> = axes.into_iter().map(|axis| axis as i64).collect();
    let value = site.apply(&op, &[inner[0]], Attributes::new().with("axis", axes))?;
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
    let places: Vec<usize> = (0..operands.len()).filter(|&at| spread(site, operands[at]).is_some()).collect();
    if places.is_empty() {
        return Ok(None);
    }
    if let &[of] = operands.as_slice() {
        let Some(found) = spread(site, of).filter(|found| found.of_one(site) || site.used_once(of)) else { return Ok(None) };
        let (x, sizes) = (found.element(site, of), found.sizes(site)?);
        let value = site.again(site.node(), &[x])?.output(0);
        let value = site.apply("broadcast_to", &[value, sizes], Attributes::new())?;
        return one(site, value);
    }
    // One at a time, as long as another operand still has the shape.
    let root = site.node().output(0);
    for &at in &places {
        let Some(found) = spread(site, operands[at]) else { continue };
        let full = (0..operands.len()).any(|other| {
            let covers = |(a, b): (&Dim, &Dim)| a.same(b) && b.known() != Some(1) || b.known() == Some(1) && a.known() == Some(1);
            let (a, b) = (site.ty(root), site.ty(operands[other]));
            other != at && a.rank() == b.rank() && (a.dims.iter().zip(&b.dims).all(covers) || site.same_shape(root, operands[other]))
        });
        if full {
            operands[at] = found.element(site, operands[at]);
            let value = site.again(site.node(), &operands)?.output(0);
            return one(site, value);
        }
    }
    // All are single elements, but that one was given the shape.
    let (&[at], root) = (places.as_slice(), site.ty(root)) else { return Ok(None) };
    let Some(found) = spread(site, operands[at]) else { return Ok(None) };
    let shape = site.ty(operands[at]);
    let same = shape.rank() == root.rank() && shape.dims.iter().zip(&root.dims).all(|(a, b)| a.same(b));
    let singles = found.of_one(site) && (0..operands.len()).all(|other| other == at || is_single(site, operands[other]));
    if !same || !singles {
        return Ok(None);
    }
    let sizes = found.sizes(site)?;
    operands[at] = found.element(site, operands[at]);
    let value = site.again(site.node(), &operands)?.output(0);
    let value = site.apply("broadcast_to", &[value, sizes], Attributes::new())?;
    one(site, value)
}
