//! Equations and determinants of matrices of which something is known.

use super::{Found, Local, Site, canonical, faster, one, real, stable};
use crate::graph::{Body, NodeId, ValueId, Var};
use crate::ops::{Attribute, Attributes};
use crate::rewrite::facts::{Fact, certain, swaps_last};
use crate::rewrite::shapes::same_length;
use crate::tensor::{Dim, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        stable(
            "solve_of_inverse", &["matmul"],
            "inv(a) @ b => solve(a, b), and b @ inv(a) => transpose(solve(transpose(a), transpose(b))), of matrices and of stacks of as many",
            product_with_inverse,
        ),
        real("solve_of_diagonal", &["solve"], "solve(diag(d), b) => b / d, also of what is known to be diagonal", solve_of_diagonal),
        faster(
            "solve_by_structure", &["solve"],
            "solve(a, b) by substitution for triangular a, by a product for orthogonal a, by Cholesky for positive definite a, by the factor that is there",
            solve_by_structure,
        ),
        faster("det_of_triangular", &["det"], "det(a) => prod(diagonal(a)) of a triangular a", det_of_triangular),
        faster(
            "det_by_cholesky", &["det"],
            "det(a) => square(prod(diagonal(l))) where l, the Cholesky factor of a, is there",
            det_by_cholesky,
        ),
        faster(
            "slogdet_by_structure", &["slogdet"],
            "the logarithm of a determinant by the diagonal of a triangular matrix, or of the Cholesky factor of a positive definite one",
            slogdet_by_structure,
        ),
        faster("inverse_of_orthogonal", &["inv"], "inv(a) => transpose(a) of an orthogonal a", inverse_of_orthogonal),
        faster("transpose_of_symmetric", &["transpose", "swapaxes"], "transpose(a) => a of a symmetric a", transpose_of_symmetric),
        faster("cholesky_of_factors", &["cholesky"], "cholesky(l @ transpose(l)) => l of a Cholesky factor l", cholesky_of_factors),
        canonical("diagonal_of_diagonal", &["diag", "diagonal"], "diag(diag(d)) => d of a vector d", diagonal_of_diagonal),
        canonical("sum_of_diagonal", &["sum"], "sum(diag(d)) => sum(d) of a vector d", sum_of_diagonal),
        faster("det_of_single", &["det"], "det(a) => a[0, 0] of a matrix of one row", det_of_single),
        real("cholesky_of_diagonal", &["cholesky"], "cholesky(diag(d)) => diag(sqrt(d))", cholesky_of_diagonal),
        real("solve_of_single", &["solve"], "solve(a, b) => b / a[0, 0] of a matrix of one row", solve_of_single),
        real("inverse_of_single", &["inv"], "inv(a) => 1 / a of a matrix of one row", inverse_of_single),
        real("inverse_of_inverse", &["inv"], "inv(inv(a)) => a", inverse_of_inverse),
        real("solve_with_inverse", &["solve"], "solve(inv(a), b) => a @ b", solve_with_inverse),
        real("inverse_of_diagonal", &["inv"], "inv(diag(d)) => diag(1 / d)", inverse_of_diagonal),
        faster("inverse_of_triangular", &["inv"], "inv(a) => solve_triangular(a, eye(n)) of a triangular a", inverse_of_triangular),
        real("det_of_inverse", &["det"], "det(inv(a)) => 1 / det(a)", det_of_inverse),
        real("product_of_orthogonal", &["matmul"], "a @ transpose(a) => eye of an orthogonal a", product_of_orthogonal),
    ]
}

fn transpose(site: &mut Site<'_>, value: ValueId) -> crate::error::Result<ValueId> {
    let rank = site.ty(value).rank() as i64;
    let mut axes: Vec<i64> = (0..rank).collect();
    axes.swap(rank as usize - 1, rank as usize - 2);
    site.apply("transpose", &[value], Attributes::new().with("axes", axes))
}

/// What a matrix is the transpose of.
fn untransposed(site: &Site<'_>, value: ValueId) -> Option<ValueId> {
    let view = site.graph().node(value.node);
    let (op, attributes) = view.apply()?;
    let operand = *view.operands.first()?;
    swaps_last(op.name(), attributes, site.ty(operand).rank())?.then_some(operand)
}

/// What the op of this name is applied to.
fn inside(site: &Site<'_>, value: ValueId, op: &str) -> Option<ValueId> {
    site.made_by(value, op).map(|(operands, _)| operands[0])
}

fn product_with_inverse(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, y] = operands[..] else { return Ok(None) };
    // Of matrices, or of as many of both.
    let fits = |a: ValueId, other: ValueId| {
        let (rank, others) = (site.ty(a).rank(), site.ty(other).rank());
        let alike = || (0..rank - 2).all(|axis| same_length(site.graph(), (a, axis), (other, axis)));
        if rank == 2 { others <= 2 } else { rank == others && alike() }
    };
    if let Some(a) = inside(site, x, "inv").filter(|&a| fits(a, y) && site.used_once(x)) {
        let value = site.apply("solve", &[a, y], Attributes::new())?;
        return one(site, value);
    }
    if let Some(a) = inside(site, y, "inv").filter(|&a| fits(a, x) && site.used_once(y)) {
        let turned = transpose(site, a)?;
        let value = if site.ty(x).rank() == 1 {
            site.apply("solve", &[turned, x], Attributes::new())?
        } else {
            let right = transpose(site, x)?;
            let solved = site.apply("solve", &[turned, right], Attributes::new())?;
            transpose(site, solved)?
        };
        return one(site, value);
    }
    Ok(None)
}

fn triangular(lower: bool, transposed: bool) -> Attributes {
    Attributes::new().with("trans", i64::from(transposed)).with("lower", lower).with("unit_diagonal", false)
}

/// Whether a factor is what it should be or an error: of a matrix that has none it may be NaN, where others go on.
fn is_sure(attributes: &Attributes) -> bool {
    attributes.str("on_error").is_ok_and(|on_error| on_error == "raise")
}

/// The Cholesky factor of a matrix, if the graph has it, of a matrix that is known to be symmetric.
fn factor(site: &Site<'_>, a: ValueId) -> Option<ValueId> {
    factor_of_lower(site, a).filter(|_| certain(site.graph(), a, Fact::Symmetric))
}

/// The same of a matrix of which only the lower triangle is read anyway.
fn factor_of_lower(site: &Site<'_>, a: ValueId) -> Option<ValueId> {
    let graph = site.graph();
    let is_factor = |&&user: &&NodeId| {
        graph.node(user).op_name() == "cholesky" && graph.node(user).apply().is_some_and(|(_, attributes)| is_sure(attributes))
    };
    let found = graph.users(a.node).iter().filter(is_factor).min()?;
    (graph.node(*found).operands[0] == a).then(|| found.output(0))
}

fn solve_by_structure(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [a, b] = operands[..] else { return Ok(None) };
    match site.attributes().str("assume_a")? {
        "gen" => {}
        "pos" => match factor_of_lower(site, a) {
            Some(l) => {
                let value = by_substitution(site, l, b)?;
                return one(site, value);
            }
            None => return Ok(None),
        },
        _ => return Ok(None),
    }
    let known = |fact| certain(site.graph(), a, fact);
    let value = if known(Fact::LowerTriangular) {
        site.apply("solve_triangular", &[a, b], triangular(true, false))?
    } else if known(Fact::UpperTriangular) {
        site.apply("solve_triangular", &[a, b], triangular(false, false))?
    } else if known(Fact::Orthogonal) && site.ty(a).rank() == 2 {
        let turned = transpose(site, a)?;
        site.apply("matmul", &[turned, b], Attributes::new())?
    } else if let Some(l) = factor(site, a) {
        by_substitution(site, l, b)?
    } else if known(Fact::PositiveDefinite) {
        site.apply("solve", &[a, b], Attributes::new().with("assume_a", "pos"))?
    } else {
        return Ok(None);
    };
    one(site, value)
}

/// The solution by a Cholesky factor.
fn by_substitution(site: &mut Site<'_>, l: ValueId, b: ValueId) -> crate::error::Result<ValueId> {
    let half = site.apply("solve_triangular", &[l, b], triangular(true, false))?;
    site.apply("solve_triangular", &[l, half], triangular(true, true))
}

pub(super) fn diagonal(site: &mut Site<'_>, a: ValueId) -> crate::error::Result<ValueId> {
    site.apply("diagonal", &[a], Attributes::new().with("offset", 0i64).with("axis1", -2i64).with("axis2", -1i64))
}

pub(super) fn last_axis() -> Attributes {
    Attributes::new().with("axis", Attribute::Int(-1))
}

fn is_triangular(site: &Site<'_>, a: ValueId) -> bool {
    certain(site.graph(), a, Fact::LowerTriangular) || certain(site.graph(), a, Fact::UpperTriangular)
}

fn det_of_triangular(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0).filter(|&a| is_triangular(site, a)) else { return Ok(None) };
    let elements = diagonal(site, a)?;
    let value = site.apply("prod", &[elements], last_axis())?;
    one(site, value)
}

fn det_by_cholesky(site: &mut Site<'_>) -> Found {
    let Some(l) = site.operand(0).and_then(|a| factor(site, a)) else { return Ok(None) };
    let elements = diagonal(site, l)?;
    let root = site.apply("prod", &[elements], last_axis())?;
    let value = site.apply("square", &[root], Attributes::new())?;
    one(site, value)
}

fn slogdet_by_structure(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0) else { return Ok(None) };
    let values = if is_triangular(site, a) {
        let elements = diagonal(site, a)?;
        let signs = site.apply("sign", &[elements], Attributes::new())?;
        let sign = site.apply("prod", &[signs], last_axis())?;
        let magnitudes = site.apply("abs", &[elements], Attributes::new())?;
        let logs = site.apply("log", &[magnitudes], Attributes::new())?;
        vec![sign, site.apply("sum", &[logs], last_axis())?]
    } else {
        match factor(site, a) {
            Some(l) => by_factor(site, l)?,
            // What factorizes the matrix anyway says the determinant too: `reuse_factors`.
            None if certain(site.graph(), a, Fact::PositiveDefinite) && !is_solved(site, a) => return slogdet_by_cholesky(site, a),
            None => return Ok(None),
        }
    };
    let node = site.node();
    let fit = values.iter().enumerate().all(|(at, &value)| site.fits(node.output(at), value));
    Ok(fit.then_some(values))
}

/// Whether there are equations with a matrix, or its inverse.
fn is_solved(site: &Site<'_>, a: ValueId) -> bool {
    let graph = site.graph();
    graph.users(a.node).iter().any(|&user| matches!(graph.node(user).op_name(), "solve" | "inv") && graph.node(user).operands[0] == a)
}

/// Both results of `slogdet` by a Cholesky factor.
fn by_factor(site: &mut Site<'_>, l: ValueId) -> crate::error::Result<Vec<ValueId>> {
    let elements = diagonal(site, l)?;
    let logs = site.apply("log", &[elements], Attributes::new())?;
    let half = site.apply("sum", &[logs], last_axis())?;
    let two = site.weak(2.0);
    let whole = site.apply("mul", &[half, two], Attributes::new())?;
    Ok(vec![site.apply("ones_like", &[whole], Attributes::new())?, whole])
}

/// Of what is only assumed to be positive definite: where that does not hold, as of a matrix with a NaN or one of which
/// rounding left too little, there is no factor, and `slogdet` says what it would have said.
fn slogdet_by_cholesky(site: &mut Site<'_>, a: ValueId) -> Found {
    let l = site.apply("cholesky", &[a], Attributes::new().with("on_error", "nan"))?;
    let values = by_factor(site, l)?;
    let mut failed = site.apply("isnan", &values[1..], Attributes::new())?;
    if site.ty(failed).rank() > 0 {
        failed = site.apply("any", &[failed], Attributes::new())?;
    }
    let input = |name, value| Var::input(name, site.ty(value).clone());
    let (matrix, sign, logdet) = (input("a", a), input("sign", values[0]), input("logdet", values[1]));
    let (own_sign, own_logdet) = matrix.slogdet();
    let inputs = vec![matrix, sign.clone(), logdet.clone()];
    let bodies = [vec![own_sign, own_logdet], vec![sign, logdet]].map(|outputs| Body::new(inputs.clone(), outputs));
    let [then, otherwise] = bodies;
    let attributes = Attributes::new().with("then", Attribute::Body(then?.into())).with("otherwise", Attribute::Body(otherwise?.into()));
    let chosen = site.apply_node("if", &[failed, a, values[0], values[1]], attributes)?;
    let (node, values) = (site.node(), [chosen.output(0), chosen.output(1)]);
    let fit = values.iter().enumerate().all(|(at, &value)| site.fits(node.output(at), value));
    Ok(fit.then(|| values.to_vec()))
}

fn inverse_of_orthogonal(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0).filter(|&a| certain(site.graph(), a, Fact::Orthogonal)) else { return Ok(None) };
    let value = transpose(site, a)?;
    one(site, value)
}

fn transpose_of_symmetric(site: &mut Site<'_>) -> Found {
    match untransposed(site, site.node().output(0)).filter(|&a| certain(site.graph(), a, Fact::Symmetric)) {
        Some(a) => one(site, a),
        None => Ok(None),
    }
}

fn cholesky_of_factors(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(a, "matmul") else { return Ok(None) };
    let (l, other) = (operands[0], operands[1]);
    let is_factor = site.made_by(l, "cholesky").is_some_and(|(_, attributes)| is_sure(&attributes));
    if is_factor && untransposed(site, other) == Some(l) { one(site, l) } else { Ok(None) }
}

fn inverse_of_inverse(site: &mut Site<'_>) -> Found {
    match site.operand(0).and_then(|a| inside(site, a, "inv")) {
        Some(a) => one(site, a),
        None => Ok(None),
    }
}

fn solve_with_inverse(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let Some(a) = inside(site, operands[0], "inv").filter(|&a| site.ty(a).rank() == 2) else { return Ok(None) };
    let value = site.apply("matmul", &[a, operands[1]], Attributes::new())?;
    one(site, value)
}

fn diagonal_of_diagonal(site: &mut Site<'_>) -> Found {
    let (Some(d), attributes) = (site.operand(0).and_then(|a| diagonal_of(site, a)), site.attributes()) else { return Ok(None) };
    // Of the main diagonal; which axis has the rows is all the same.
    let main = match site.view().op_name() {
        "diag" => attributes.int("k")? == 0,
        _ => attributes.int("offset")? == 0,
    };
    if main { one(site, d) } else { Ok(None) }
}

fn sum_of_diagonal(site: &mut Site<'_>) -> Found {
    let (Some(a), attributes) = (site.operand(0), site.attributes()) else { return Ok(None) };
    let Some(d) = diagonal_of(site, a) else { return Ok(None) };
    if attributes.axes("axis", 2)?.len() != 2 || attributes.bool("keepdims")? {
        return Ok(None);
    }
    let mut attributes = attributes;
    attributes.set("axis", Attribute::None);
    let value = site.apply("sum", &[d], attributes)?;
    one(site, value)
}

fn inverse_of_triangular(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0).filter(|&a| site.ty(a).rank() == 2 && is_triangular(site, a)) else { return Ok(None) };
    let ty = site.ty(a).clone();
    let Some(rows) = ty.dims[0].known() else { return Ok(None) };
    let lower = certain(site.graph(), a, Fact::LowerTriangular);
    let rows = site.add_constant(Tensor::scalar(rows as i64));
    let eye = site.apply("eye", &[rows], Attributes::new().with("dtype", ty.dtype))?;
    let value = site.apply("solve_triangular", &[a, eye], triangular(lower, false))?;
    one(site, value)
}

fn is_single(site: &Site<'_>, a: ValueId) -> bool {
    matches!(site.ty(a).dims.as_slice(), [Dim::Known(1), Dim::Known(1)])
}

/// The only element of a matrix.
fn element(site: &mut Site<'_>, a: ValueId) -> crate::error::Result<ValueId> {
    site.apply("squeeze", &[a], Attributes::new().with("axis", vec![0i64, 1]))
}

fn det_of_single(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0).filter(|&a| is_single(site, a)) else { return Ok(None) };
    let value = element(site, a)?;
    one(site, value)
}

fn cholesky_of_diagonal(site: &mut Site<'_>) -> Found {
    let Some(d) = site.operand(0).and_then(|a| diagonal_of(site, a)) else { return Ok(None) };
    let roots = site.apply("sqrt", &[d], Attributes::new())?;
    let value = site.apply("diag", &[roots], Attributes::new())?;
    one(site, value)
}

fn solve_of_single(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    if !is_single(site, operands[0]) || site.ty(operands[1]).rank() > 2 {
        return Ok(None);
    }
    let by = element(site, operands[0])?;
    let value = site.apply("div", &[operands[1], by], Attributes::new())?;
    one(site, value)
}

fn inverse_of_single(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0).filter(|&a| is_single(site, a)) else { return Ok(None) };
    let value = site.apply("reciprocal", &[a], Attributes::new())?;
    one(site, value)
}

pub(super) fn diagonal_of(site: &Site<'_>, a: ValueId) -> Option<ValueId> {
    let (operands, attributes) = site.made_by(a, "diag")?;
    (site.ty(operands[0]).rank() == 1 && attributes.int("k").ok()? == 0).then_some(operands[0])
}

fn inverse_of_diagonal(site: &mut Site<'_>) -> Found {
    let Some(d) = site.operand(0).and_then(|a| diagonal_of(site, a)) else { return Ok(None) };
    let inverse = site.apply("reciprocal", &[d], Attributes::new())?;
    let value = site.apply("diag", &[inverse], Attributes::new())?;
    one(site, value)
}

fn solve_of_diagonal(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let Some(&[a, b]) = operands.get(..2) else { return Ok(None) };
    let mut d = match diagonal_of(site, a) {
        Some(d) => d,
        None if site.ty(a).rank() == 2 && certain(site.graph(), a, Fact::Diagonal) => diagonal(site, a)?,
        None => return Ok(None),
    };
    match site.ty(b).rank() {
        1 => {}
        2 => d = site.apply("expand_dims", &[d], Attributes::new().with("axis", Attribute::Int(1)))?,
        _ => return Ok(None),
    }
    let value = site.apply("div", &[b, d], Attributes::new())?;
    one(site, value)
}

fn det_of_inverse(site: &mut Site<'_>) -> Found {
    let Some(a) = site.operand(0).and_then(|a| inside(site, a, "inv")) else { return Ok(None) };
    let det = site.apply("det", &[a], Attributes::new())?;
    let value = site.apply("reciprocal", &[det], Attributes::new())?;
    one(site, value)
}

fn product_of_orthogonal(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, y] = operands[..] else { return Ok(None) };
    let pair = untransposed(site, y) == Some(x) || untransposed(site, x) == Some(y);
    let ty = site.ty(x).clone();
    let Some(rows) = ty.dims.first().and_then(Dim::known).filter(|_| ty.rank() == 2 && pair) else { return Ok(None) };
    if !certain(site.graph(), x, Fact::Orthogonal) {
        return Ok(None);
    }
    let rows = site.add_constant(Tensor::scalar(rows as i64));
    let value = site.apply("eye", &[rows], Attributes::new().with("dtype", ty.dtype))?;
    one(site, value)
}
