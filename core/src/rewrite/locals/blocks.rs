//! Matrices that are put together: blocks along a diagonal, and products of Kronecker. What is computed of them is computed
//! of their parts.

use super::linalg::diagonal;
use super::{Found, Local, Site, canonical, faster, one, real};
use crate::error::Result;
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};

pub(super) fn locals() -> Vec<Local> {
    vec![
        canonical("diagonal_of_kron", &["diag", "diagonal"], "diag(kron(a, b)) => kron(diagonal(a), diagonal(b)) of square matrices", diagonal_of_kron),
        canonical("diagonal_of_blocks", &["diag", "diagonal"], "diag(block_diag([a, b])) => concatenate([diagonal(a), diagonal(b)]) of square blocks", diagonal_of_blocks),
        real("slogdet_of_kron", &["slogdet"], "slogdet(kron(a, b)) from slogdet(a) and slogdet(b)", slogdet_of_kron),
        faster("slogdet_of_blocks", &["slogdet"], "slogdet(block_diag([a, b])) from slogdet(a) and slogdet(b), of square blocks", slogdet_of_blocks),
        real("det_of_kron", &["det"], "det(kron(a, b)) => det(a) ** n * det(b) ** m of m and n rows", det_of_kron),
        real("det_of_blocks", &["det"], "det(block_diag([a, b])) => det(a) * det(b) of square blocks", det_of_blocks),
        real("inverse_of_kron", &["inv"], "inv(kron(a, b)) => kron(inv(a), inv(b)) of square matrices", inverse_of_kron),
        faster("factor_of_blocks", &["inv", "cholesky"], "inv(block_diag([a, b])) => block_diag([inv(a), inv(b)]) of square blocks, and so of cholesky", factor_of_blocks),
        faster("solve_of_blocks", &["solve"], "solve(block_diag([a, b]), c) => a solution for each square block", solve_of_blocks),
    ]
}

/// The rows of a square matrix, where their number is known.
fn rows(site: &Site<'_>, a: ValueId) -> Option<usize> {
    match site.ty(a).dims.as_slice() {
        [rows, columns] if rows.same(columns) => rows.known(),
        _ => None,
    }
}

fn is_square(site: &Site<'_>, a: ValueId) -> bool {
    matches!(site.ty(a).dims.as_slice(), [.., rows, columns] if rows.same(columns))
}

/// The factors of a product of Kronecker of two square matrices.
fn factors(site: &Site<'_>, a: ValueId) -> Option<[ValueId; 2]> {
    let (operands, _) = site.made_by(a, "kron")?;
    let [x, y] = operands[..] else { return None };
    let alike = [x, y].iter().all(|&part| site.ty(part).rank() == 2 && is_square(site, part) && site.ty(part).dtype == site.ty(a).dtype);
    alike.then_some([x, y])
}

/// Square blocks along a diagonal.
fn blocks(site: &Site<'_>, a: ValueId) -> Option<Vec<ValueId>> {
    let (operands, _) = site.made_by(a, "block_diag")?;
    operands.iter().all(|&block| is_square(site, block) && site.ty(block).dtype == site.ty(a).dtype).then_some(operands)
}

/// The matrix whose main diagonal the node reads.
fn of_main_diagonal(site: &Site<'_>) -> Option<ValueId> {
    let (a, attributes) = (site.operand(0)?, site.attributes());
    let rank = site.ty(a).rank();
    let main = match site.view().op_name() {
        "diag" => rank == 2 && attributes.int("k").ok()? == 0,
        _ => {
            let axis = |name| crate::ops::normalize_axis(attributes.int(name).ok()?, rank).ok();
            let axes = [axis("axis1")?, axis("axis2")?];
            attributes.int("offset").ok()? == 0 && rank >= 2 && axes.contains(&(rank - 1)) && axes.contains(&(rank - 2))
        }
    };
    main.then_some(a)
}

fn diagonal_of_kron(site: &mut Site<'_>) -> Found {
    let Some([x, y]) = of_main_diagonal(site).and_then(|a| factors(site, a)) else { return Ok(None) };
    let parts = [diagonal(site, x)?, diagonal(site, y)?];
    let value = site.apply("kron", &parts, Attributes::new())?;
    one(site, value)
}

fn diagonal_of_blocks(site: &mut Site<'_>) -> Found {
    let Some(blocks) = of_main_diagonal(site).and_then(|a| blocks(site, a)) else { return Ok(None) };
    let parts: Vec<ValueId> = blocks.into_iter().map(|block| diagonal(site, block)).collect::<Result<_>>()?;
    let value = site.apply("concatenate", &parts, Attributes::new().with("axis", -1i64))?;
    one(site, value)
}

/// Both results of `slogdet`.
fn slogdet(site: &mut Site<'_>, a: ValueId) -> Result<[ValueId; 2]> {
    let node = site.apply_node("slogdet", &[a], Attributes::new())?;
    Ok([node.output(0), node.output(1)])
}

fn both(site: &Site<'_>, values: [ValueId; 2]) -> Found {
    let node = site.node();
    let fit = values.iter().enumerate().all(|(at, &value)| site.fits(node.output(at), value));
    Ok(fit.then(|| values.to_vec()))
}

fn slogdet_of_blocks(site: &mut Site<'_>) -> Found {
    let Some(blocks) = site.operand(0).and_then(|a| blocks(site, a)) else { return Ok(None) };
    let mut whole: Option<[ValueId; 2]> = None;
    for block in blocks {
        let own = slogdet(site, block)?;
        whole = Some(match whole {
            None => own,
            Some([sign, log]) => [
                site.apply("mul", &[sign, own[0]], Attributes::new())?,
                site.apply("add", &[log, own[1]], Attributes::new())?,
            ],
        });
    }
    whole.map_or(Ok(None), |whole| both(site, whole))
}

fn slogdet_of_kron(site: &mut Site<'_>) -> Found {
    let Some([x, y]) = site.operand(0).and_then(|a| factors(site, a)) else { return Ok(None) };
    let (Some(m @ 1..), Some(n @ 1..)) = (rows(site, x), rows(site, y)) else { return Ok(None) };
    let mut parts = Vec::new();
    for (part, times) in [(x, n), (y, m)] {
        let [mut sign, log] = slogdet(site, part)?;
        // 1, -1, 0 or NaN.
        if times % 2 == 0 {
            sign = site.apply("square", &[sign], Attributes::new())?;
        }
        let times = site.weak(times as f64);
        parts.push([sign, site.apply("mul", &[log, times], Attributes::new())?]);
    }
    let sign = site.apply("mul", &[parts[0][0], parts[1][0]], Attributes::new())?;
    let log = site.apply("add", &[parts[0][1], parts[1][1]], Attributes::new())?;
    both(site, [sign, log])
}

fn det_of_kron(site: &mut Site<'_>) -> Found {
    let Some([x, y]) = site.operand(0).and_then(|a| factors(site, a)) else { return Ok(None) };
    let (Some(m @ 1..), Some(n @ 1..)) = (rows(site, x), rows(site, y)) else { return Ok(None) };
    let mut powers = Vec::new();
    for (part, times) in [(x, n), (y, m)] {
        let (det, times) = (site.apply("det", &[part], Attributes::new())?, site.weak(times as f64));
        powers.push(site.apply("pow", &[det, times], Attributes::new())?);
    }
    let value = site.apply("mul", &powers, Attributes::new())?;
    one(site, value)
}

fn det_of_blocks(site: &mut Site<'_>) -> Found {
    let Some(blocks) = site.operand(0).and_then(|a| blocks(site, a)) else { return Ok(None) };
    let mut whole = None;
    for block in blocks {
        let det = site.apply("det", &[block], Attributes::new())?;
        whole = Some(match whole {
            None => det,
            Some(whole) => site.apply("mul", &[whole, det], Attributes::new())?,
        });
    }
    whole.map_or(Ok(None), |value| one(site, value))
}

fn inverse_of_kron(site: &mut Site<'_>) -> Found {
    let Some(parts) = site.operand(0).and_then(|a| factors(site, a)) else { return Ok(None) };
    let inverses = [site.apply("inv", &parts[..1], Attributes::new())?, site.apply("inv", &parts[1..], Attributes::new())?];
    let value = site.apply("kron", &inverses, Attributes::new())?;
    one(site, value)
}

fn factor_of_blocks(site: &mut Site<'_>) -> Found {
    let Some(blocks) = site.operand(0).and_then(|a| blocks(site, a)) else { return Ok(None) };
    let (op, attributes) = (site.view().op_name().to_owned(), site.attributes());
    // Where there is no factor that is an error, and not NaN in the whole of it.
    if op == "cholesky" && attributes.str("on_error")? != "raise" {
        return Ok(None);
    }
    let parts: Vec<ValueId> = blocks.into_iter().map(|block| site.apply(&op, &[block], attributes.clone())).collect::<Result<_>>()?;
    let value = site.apply("block_diag", &parts, Attributes::new())?;
    one(site, value)
}

fn solve_of_blocks(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [a, b] = operands[..] else { return Ok(None) };
    let Some(blocks) = blocks(site, a).filter(|_| site.ty(a).rank() == 2 && site.ty(b).rank() <= 2) else { return Ok(None) };
    let Some(lengths) = blocks.iter().map(|&block| rows(site, block)).collect::<Option<Vec<usize>>>() else { return Ok(None) };
    let (mut start, mut parts) = (0, Vec::new());
    for (block, length) in blocks.into_iter().zip(lengths) {
        let stop = start + length as i64;
        let slice = IndexItem::Slice { start: IndexBound::At(start), stop: IndexBound::At(stop), step: 1 };
        let right = site.apply("index", &[b], Attributes::new().with("index", Attribute::Index(vec![slice])))?;
        parts.push(site.apply("solve", &[block, right], attributes.clone())?);
        start = stop;
    }
    let value = site.apply("concatenate", &parts, Attributes::new().with("axis", 0i64))?;
    one(site, value)
}
