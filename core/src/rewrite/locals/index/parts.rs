//! Reads of what is computed of each row or matrix by itself, of rows that are taken, and of fewer axes: what is read
//! is computed, and nothing else.

use super::super::{Found, Site, one};
use super::{ALL, Axis, at, own_index};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes, IndexItem};
use crate::rewrite::shapes::same_length;
use crate::tensor::Dim;

/// Ops of one axis, that of the attribute `axis`, which they leave as long as it is.
const ALONG: &[&str] = &["cumsum", "cumprod", "sort", "argsort"];
/// Ops of matrices that may be stacked, and how many axes there are of what each gives for a matrix.
const OF_MATRICES: &[(&str, usize)] = &[("inv", 2), ("cholesky", 2), ("adjugate", 2), ("expm", 2), ("tril", 2), ("triu", 2), ("det", 0)];

pub(super) fn index_of_rows(site: &mut Site<'_>) -> Found {
    let Some((whole, axes)) = own_index(site) else { return Ok(None) };
    let op = site.op(whole).to_owned();
    let Some((operands, mut attributes)) = site.made_by(whole, &op).filter(|_| site.used_once(whole)) else { return Ok(None) };
    let [x] = operands[..] else { return Ok(None) };
    let rank = site.ty(x).rank();
    // The axes that the op is of stay as they are, all of them.
    let own: Vec<usize> = match OF_MATRICES.iter().find(|(name, _)| *name == op) {
        Some(&(_, left)) if rank > 2 => {
            if axes.len() - left != rank - 2 {
                return Ok(None);
            }
            vec![rank - 2, rank - 1]
        }
        None if ALONG.contains(&op.as_str()) && matches!(attributes.get("axis"), Some(Attribute::Int(_))) => vec![attributes.axis("axis", rank)?],
        _ => return Ok(None),
    };
    let items: Vec<Axis> = (0..rank).map(|axis| axes.get(axis).copied().unwrap_or(ALL)).collect();
    if own.iter().any(|&axis| items[axis] != ALL) || items.iter().all(|item| *item == ALL) {
        return Ok(None);
    }
    if let [along] = own[..] {
        let before = items[..along].iter().filter(|item| item.drops()).count();
        attributes.set("axis", (along - before) as i64);
    }
    let part = at(site, x, &items)?;
    let value = site.apply(&op, &[part], attributes)?;
    one(site, value)
}

/// What is taken, at which positions, and along which axis, if that is all that makes a value.
fn taken(site: &Site<'_>, value: ValueId) -> Option<(ValueId, ValueId, usize)> {
    if let Some((operands, attributes)) = site.made_by(value, "take") {
        let [x, positions] = operands[..] else { return None };
        if attributes.str("mode").is_ok_and(|mode| mode != "raise") {
            return None;
        }
        let axis = match attributes.get("axis") {
            None | Some(Attribute::None) if site.ty(x).rank() == 1 => 0,
            None | Some(Attribute::None) => return None,
            Some(_) => *attributes.axes("axis", site.ty(x).rank()).ok()?.first()?,
        };
        return Some((x, positions, axis));
    }
    let (operands, attributes) = site.made_by(value, "index")?;
    let [x, positions] = operands[..] else { return None };
    let items = attributes.index("index").ok()?;
    let all = IndexItem::Slice { start: crate::ops::IndexBound::Open, stop: crate::ops::IndexBound::Open, step: 1 };
    let axis = items.iter().position(|item| *item == IndexItem::Operand(0))?;
    let plain = items.iter().enumerate().all(|(at, item)| at == axis || *item == all);
    (plain && site.ty(positions).dtype.is_integer() && site.ty(positions).rank() > 0).then_some((x, positions, axis))
}

pub(super) fn index_of_take(site: &mut Site<'_>) -> Found {
    let Some((whole, axes)) = own_index(site) else { return Ok(None) };
    let Some((x, positions, axis)) = taken(site, whole).filter(|_| site.used_once(whole)) else { return Ok(None) };
    let count = site.ty(positions).rank();
    let (before, of_positions, after) = (&axes[..axis], &axes[axis..axis + count], &axes[axis + count..]);
    if of_positions.iter().all(|item| *item == ALL) {
        return Ok(None);
    }
    let positions = at(site, positions, of_positions)?;
    // The other axes are read behind it: where rows are taken of a table the whole of it would have to be cut otherwise.
    let value = match site.ty(positions).rank() {
        0 => at(site, x, &[before, &[Axis::Place(positions)], after].concat())?,
        left => {
            let taken = site.apply("take", &[x, positions], Attributes::new().with("axis", axis as i64))?;
            at(site, taken, &[before, &vec![ALL; left], after].concat())?
        }
    };
    one(site, value)
}

pub(super) fn index_of_squeeze(site: &mut Site<'_>) -> Found {
    let Some((whole, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, attributes)) = site.made_by(whole, "squeeze") else { return Ok(None) };
    let rank = site.ty(operands[0]).rank();
    if matches!(attributes.get("axis"), None | Some(Attribute::None)) || axes.iter().all(|item| *item == ALL) {
        return Ok(None);
    }
    let gone = attributes.axes("axis", rank)?;
    let mut rest = axes.into_iter();
    let items: Vec<Axis> = (0..rank).map(|axis| if gone.contains(&axis) { ALL } else { rest.next().unwrap_or(ALL) }).collect();
    let value = at(site, operands[0], &items)?;
    let places: Vec<i64> = gone.iter().map(|&axis| items[..axis].iter().filter(|item| !item.drops()).count() as i64).collect();
    let value = site.apply("squeeze", &[value], Attributes::new().with("axis", places))?;
    one(site, value)
}

pub(super) fn index_of_product(site: &mut Site<'_>) -> Found {
    let Some((product, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(product, "matmul").filter(|_| site.used_once(product)) else { return Ok(None) };
    let [x, y] = operands[..] else { return Ok(None) };
    let (a, b) = (site.ty(x).rank(), site.ty(y).rank());
    // Of a vector there is no axis beside the one that is summed over.
    let (rows, columns) = (usize::from(a > 1), usize::from(b > 1));
    let Some(stacked) = axes.len().checked_sub(rows + columns) else { return Ok(None) };
    let (batch, matrix) = axes.split_at(stacked);
    // What would be left of a stack of matrices without rows is no stack of vectors.
    if axes.iter().all(|item| *item == ALL) || batch.iter().any(|item| !item.drops()) && matrix.iter().any(|item| item.drops()) {
        return Ok(None);
    }
    let own = |value: ValueId, rank: usize, of_matrix: [Axis; 2]| -> Option<Vec<Axis>> {
        let ahead = rank.saturating_sub(2);
        let mut items = Vec::new();
        for (axis, &item) in batch.iter().enumerate().skip(stacked - ahead) {
            let at = axis + ahead - stacked;
            // One matrix may be spread over the stack.
            let spread = site.ty(value).dims[at] == Dim::Known(1) && site.ty(product).dims[axis] != Dim::Known(1);
            items.push(match item {
                item if spread => if item.drops() { Axis::At(0) } else { ALL },
                item if same_length(site.graph(), (value, at), (product, axis)) => item,
                _ => return None,
            });
        }
        items.extend(&of_matrix[2 - rank.min(2)..]);
        Some(items)
    };
    let row = if rows == 1 { matrix[0] } else { ALL };
    let column = if columns == 1 { matrix[rows] } else { ALL };
    // A vector has the axis that is summed over, the last of x and the first of a matrix y.
    let of_y = if columns == 1 { [ALL, column] } else { [ALL, ALL] };
    let (Some(left), Some(right)) = (own(x, a, [row, ALL]), own(y, b, of_y)) else { return Ok(None) };
    let (x, y) = (at(site, x, &left)?, at(site, y, &right)?);
    let value = site.apply("matmul", &[x, y], Attributes::new())?;
    one(site, value)
}
