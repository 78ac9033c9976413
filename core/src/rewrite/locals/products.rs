//! Products of elements and of matrices.

use super::index::is_zeros;
use super::shape::sizes_of;
use super::{Found, Local, Site, faster, one, real, stable};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes};
use crate::rewrite::facts::swaps_last;
use crate::rewrite::lengths::{Length, length};
use crate::tensor::Dim;

pub(super) fn locals() -> Vec<Local> {
    vec![
        stable(
            "sigmoid_times_exp_in_product", &["mul"],
            "a * exp(x) * b * sigmoid(-x) => a * sigmoid(x) * b: the two stand anywhere in a product",
            sigmoid_times_exp,
        ),
        faster(
            "transpose_of_product", &["transpose", "swapaxes"],
            "transpose(x @ transpose(y)) => y @ transpose(x): as few transposes as can be",
            transpose_of_product,
        ),
        faster("product_of_column_and_row", &["matmul"], "x @ y => x * y where x is one column and y one row", column_and_row),
        faster("product_of_nothing", &["matmul"], "x @ y => zeros where nothing is summed over", product_of_nothing),
        faster(
            "sign_of_product", &["matmul"],
            "(-x) @ y => -(x @ y), and x @ (-y), where the sign meets what is computed from the product, or the product is smaller",
            sign_of_product,
        ),
        real(
            "scale_of_product", &["mul", "matmul"],
            "(c * x) @ y, x @ (c * y), c * (x @ y): the number c meets the smallest of the three",
            scale_of_product,
        ),
        faster(
            "squeeze_of_product", &["squeeze"],
            "squeeze(expand_dims(v, -2) @ x, -2) => v @ x, and so of a column: a matrix of one row is a vector",
            squeeze_of_product,
        ),
        real("product_with_zeros", &["matmul"], "x @ zeros => zeros", with_zeros),
        real("product_with_eye", &["matmul"], "eye(n) @ x => x, and x @ eye(n)", with_eye),
        real("product_with_one_hot", &["matmul"], "one_hot(argmax(z, axis), n) @ x => take(x, argmax(z, axis), axis=0), of positions that certainly are there", with_one_hot),
        real("product_with_diagonal", &["matmul"], "diag(d) @ x => d[:, None] * x, and x @ diag(d) => x * d", with_diagonal),
    ]
}

/// How far down a product its factors are looked for.
const DEPTH: usize = 24;

/// The operand of an op of this name.
fn inside(site: &Site<'_>, value: ValueId, op: &str) -> Option<ValueId> {
    site.made_by(value, op).map(|(operands, _)| operands[0])
}

/// Whether one value is written as minus the other.
fn opposite(site: &Site<'_>, a: ValueId, b: ValueId) -> bool {
    inside(site, a, "neg") == Some(b) || inside(site, b, "neg") == Some(a)
}

fn sigmoid_times_exp(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [left, right] = operands[..] else { return Ok(None) };
    for (tree, factor) in [(left, right), (right, left)] {
        for (own, other) in [("sigmoid", "exp"), ("exp", "sigmoid")] {
            let Some(x) = inside(site, factor, own) else { continue };
            // The factors from the top down, each with which of its operands goes on.
            let mut path: Vec<(ValueId, usize)> = Vec::new();
            if let Some(partner) = find(site, tree, other, x, &mut path, DEPTH)
                && !path.is_empty()
            {
                // exp(x) sigmoid(-x) = sigmoid(x), where the one of them stands that is not dropped.
                let exponent = if own == "exp" { x } else { partner };
                let mut value = site.apply("sigmoid", &[exponent], Attributes::new())?;
                for (node, at) in path.into_iter().rev() {
                    let mut operands = site.graph().node(node.node).operands.to_vec();
                    operands[at] = value;
                    value = site.again(node.node, &operands)?.output(0);
                }
                return one(site, value);
            }
        }
    }
    Ok(None)
}

/// What the factor of this op in a product is applied to, if that is minus `x`. Recursion is as deep as the product.
fn find(site: &Site<'_>, tree: ValueId, op: &str, x: ValueId, path: &mut Vec<(ValueId, usize)>, depth: usize) -> Option<ValueId> {
    if let Some(inner) = inside(site, tree, op) {
        return opposite(site, inner, x).then_some(inner);
    }
    // Of a quotient the numerator.
    let ways = match site.op(tree) {
        "mul" => 2,
        "neg" | "div" => 1,
        _ => 0,
    };
    for at in 0..if depth == 0 { 0 } else { ways } {
        path.push((tree, at));
        let operand = site.graph().node(tree.node).operands[at];
        if let Some(found) = find(site, operand, op, x, path, depth - 1) {
            return Some(found);
        }
        path.pop();
    }
    None
}

/// What a matrix is the transpose of.
fn untransposed(site: &Site<'_>, value: ValueId) -> Option<ValueId> {
    let view = site.graph().node(value.node);
    let (op, attributes) = view.apply()?;
    let operand = *view.operands.first()?;
    (site.ty(operand).rank() == 2 && swaps_last(op.name(), attributes, 2)?).then_some(operand)
}

fn transpose_of_product(site: &mut Site<'_>) -> Found {
    let Some(product) = untransposed(site, site.node().output(0)) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(product, "matmul") else { return Ok(None) };
    let [x, y] = operands[..] else { return Ok(None) };
    let matrices = site.ty(x).rank() == 2 && site.ty(y).rank() == 2;
    if !matrices || !site.used_once(product) || (untransposed(site, x).is_none() && untransposed(site, y).is_none()) {
        return Ok(None);
    }
    let mut turned = Vec::new();
    for value in [y, x] {
        turned.push(match untransposed(site, value) {
            Some(inner) => inner,
            None => site.apply("transpose", &[value], Attributes::new())?,
        });
    }
    let value = site.apply("matmul", &turned, Attributes::new())?;
    one(site, value)
}

fn column_and_row(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, y] = operands[..] else { return Ok(None) };
    let (a, b) = (site.ty(x), site.ty(y));
    if a.rank() != 2 || b.rank() != 2 || a.dims[1] != Dim::Known(1) || b.dims[0] != Dim::Known(1) || !a.dtype.is_float() {
        return Ok(None);
    }
    let value = site.apply("mul", &[x, y], Attributes::new())?;
    one(site, value)
}

fn with_diagonal(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, y] = operands[..] else { return Ok(None) };
    let vector = |site: &Site<'_>, value: ValueId| -> Option<ValueId> {
        let (operands, attributes) = site.made_by(value, "diag")?;
        (site.ty(operands[0]).rank() == 1 && attributes.int("k").ok()? == 0).then_some(operands[0])
    };
    if let Some(d) = vector(site, x).filter(|_| site.ty(y).rank() <= 2) {
        let d = if site.ty(y).rank() == 2 { site.apply("expand_dims", &[d], Attributes::new().with("axis", Attribute::Int(1)))? } else { d };
        let value = site.apply("mul", &[d, y], Attributes::new())?;
        return one(site, value);
    }
    if let Some(d) = vector(site, y).filter(|_| site.ty(x).rank() <= 2) {
        let value = site.apply("mul", &[x, d], Attributes::new())?;
        return one(site, value);
    }
    Ok(None)
}

fn product_of_nothing(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    if site.ty(operands[0]).dims.last().and_then(Dim::known) != Some(0) {
        return Ok(None);
    }
    zeros(site)
}

/// Zeros instead of the node, if its shape is known or can be had without it.
fn zeros(site: &mut Site<'_>) -> Found {
    let root = site.node().output(0);
    let ty = site.ty(root).clone();
    let lengths: Vec<Length> = (0..ty.rank()).map(|axis| length(site.graph(), root, axis)).collect();
    if lengths.iter().any(|length| length.reads(root)) {
        return Ok(None);
    }
    let known: Option<Vec<usize>> = ty.known_shape().map(|shape| shape.to_vec());
    let sizes = match known {
        Some(shape) => sizes_of(site, &shape),
        None => {
            let parts = lengths.iter().map(|length| length.build(site)).collect::<crate::error::Result<Vec<ValueId>>>()?;
            site.apply("stack", &parts, Attributes::new().with("axis", 0i64))?
        }
    };
    let value = site.apply("zeros", &[sizes], Attributes::new().with("dtype", ty.dtype))?;
    one(site, value)
}

fn with_zeros(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    if site.ty(operands[0]).dtype.is_float() && operands.iter().any(|&operand| is_zeros(site, operand)) { zeros(site) } else { Ok(None) }
}

/// Whether a value is the identity matrix.
fn is_eye(site: &Site<'_>, value: ValueId) -> bool {
    if let Some(constant) = site.constant(value) {
        let &[rows, columns] = constant.shape() else { return false };
        let diagonal = |(at, element): (usize, f64)| element == f64::from(u8::from(at / columns == at % columns));
        return rows == columns && constant.len() <= 4096 && constant.to_f64_vec().into_iter().enumerate().all(diagonal);
    }
    site.made_by(value, "eye").is_some_and(|(operands, attributes)| operands.len() == 1 && attributes.int("k").is_ok_and(|k| k == 0))
}

fn with_eye(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, y] = operands[..] else { return Ok(None) };
    if is_eye(site, x) {
        one(site, y)
    } else if is_eye(site, y) {
        one(site, x)
    } else {
        Ok(None)
    }
}

fn with_one_hot(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, y] = operands[..] else { return Ok(None) };
    let Some((inner, _)) = site.made_by(x, "one_hot").filter(|_| site.ty(y).rank() <= 2) else { return Ok(None) };
    // A position that is not there gives a row of zeros, where `take` fails: of the largest in rows of that length it is there.
    let found = ["argmax", "argmin"].into_iter().find_map(|op| site.made_by(inner[0], op));
    let within = found.is_some_and(|(of, attributes)| {
        let axes = attributes.axes("axis", site.ty(of[0]).rank()).unwrap_or_default();
        let (length, rows) = (axes.first().and_then(|&axis| site.ty(of[0]).dims[axis].known()), site.ty(y).dims[0].known());
        axes.len() == 1 && length.zip(rows).is_some_and(|(length, rows)| length <= rows)
    });
    if !within {
        return Ok(None);
    }
    let value = site.apply("take", &[y, inner[0]], Attributes::new().with("axis", Attribute::Int(0)))?;
    one(site, value)
}

fn squeeze_of_product(site: &mut Site<'_>) -> Found {
    let Some(product) = site.operand(0).filter(|&product| site.used_once(product)) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(product, "matmul") else { return Ok(None) };
    let [mut x, mut y] = operands[..] else { return Ok(None) };
    if site.ty(x).rank() != 2 || site.ty(y).rank() != 2 || site.attributes().get("axis") == Some(&Attribute::None) {
        return Ok(None);
    }
    let [axis] = site.attributes().axes("axis", 2)?[..] else { return Ok(None) };
    let vector = |value: ValueId| {
        let (inner, attributes) = site.made_by(value, "expand_dims")?;
        (site.ty(inner[0]).rank() == 1 && attributes.axes("axis", 2).ok()? == [axis]).then_some(inner[0])
    };
    let operand = if axis == 0 { &mut x } else { &mut y };
    let Some(inner) = vector(*operand) else { return Ok(None) };
    *operand = inner;
    let value = site.apply("matmul", &[x, y], Attributes::new())?;
    one(site, value)
}

/// The elements of a value, where they are known.
fn size(site: &Site<'_>, value: ValueId) -> Option<usize> {
    site.ty(value).known_shape().map(|shape| shape.iter().product())
}

/// Whether something is computed element by element from a value: what is done to each element first then costs nothing.
fn feeds_elementwise(site: &Site<'_>, value: ValueId) -> bool {
    let graph = site.graph();
    graph.users(value.node).iter().any(|&user| graph.node(user).apply().is_some_and(|(op, _)| op.is_elementwise()))
}

fn sign_of_product(site: &mut Site<'_>) -> Found {
    let mut operands = site.operands();
    let root = site.node().output(0);
    let free = feeds_elementwise(site, root);
    for at in 0..operands.len() {
        let operand = operands[at];
        let larger = matches!((size(site, operand), size(site, root)), (Some(own), Some(result)) if own > result);
        let Some(of) = inside(site, operand, "neg").filter(|_| site.used_once(operand) && (free || larger)) else { continue };
        operands[at] = of;
        let product = site.apply("matmul", &operands, Attributes::new())?;
        let value = site.apply("neg", &[product], Attributes::new())?;
        return one(site, value);
    }
    Ok(None)
}

/// What a product with a number is taken of, and the number.
fn scaled(site: &Site<'_>, value: ValueId) -> Option<(ValueId, ValueId)> {
    let (operands, _) = site.made_by(value, "mul")?;
    let [a, b] = operands[..] else { return None };
    let number = |value: ValueId| site.ty(value).rank() == 0;
    match (number(a), number(b)) {
        (false, true) => Some((a, b)),
        (true, false) => Some((b, a)),
        _ => None,
    }
}

fn scale_of_product(site: &mut Site<'_>) -> Found {
    let root = site.node().output(0);
    let whole = site.op(root) == "mul";
    let (product, mut factor) = match scaled(site, root) {
        Some((product, number)) if whole => (product, Some(number)),
        _ => (root, None),
    };
    let Some((operands, _)) = site.made_by(product, "matmul") else { return Ok(None) };
    let [mut x, mut y] = operands[..] else { return Ok(None) };
    let (Some(left), Some(right), Some(result)) = (size(site, x), size(site, y), size(site, product)) else { return Ok(None) };
    if !site.ty(root).dtype.is_float() || (factor.is_some() && !site.used_once(product)) {
        return Ok(None);
    }
    let least = left.min(right).min(result);
    let free = feeds_elementwise(site, root);
    let mut moved = false;
    for (operand, own) in [(&mut x, left), (&mut y, right)] {
        if let Some((of, number)) = scaled(site, *operand).filter(|_| site.used_once(*operand) && (own > least || free)) {
            factor = Some(match factor {
                None => number,
                Some(other) => site.apply("mul", &[number, other], Attributes::new())?,
            });
            (*operand, moved) = (of, true);
        }
    }
    let Some(number) = factor else { return Ok(None) };
    let inwards = !free && least < result;
    if !moved && (!inwards || scaled(site, if left <= right { x } else { y }).is_some()) {
        return Ok(None);
    }
    if inwards {
        let smaller = if left <= right { &mut x } else { &mut y };
        *smaller = site.apply("mul", &[*smaller, number], Attributes::new())?;
    }
    let mut value = site.apply("matmul", &[x, y], Attributes::new())?;
    if !inwards {
        value = site.apply("mul", &[value, number], Attributes::new())?;
    }
    one(site, value)
}
