//! Steps of a table of which a batch reads a few rows: the gradient is rows in zeros, and only those rows change.

use super::index::is_zeros;
use super::{Found, Local, Site, faster, one, real};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes, IndexItem};
use crate::tensor::{DType, Kind, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster(
            "step_of_rows", &["add", "sub"],
            "x - c * add_at(zeros[i], v) => set_at(x[i], x[i] - c * s), of an array i that names few of the rows of x: s are the \
             sums that add_at gives in these rows; c are finite numbers",
            |site| step_of_rows(site, is_tame),
        ),
        real(
            "step_of_rows_by_any", &["add", "sub"],
            "the same for any scalar c, such as a learning rate that is an input",
            |site| step_of_rows(site, |site, scale| site.ty(scale).rank() == 0 && site.ty(scale).dtype.is_float()),
        ),
    ]
}

/// How many rows of the table there are at least for each position: what is done for a position takes longer than
/// what is left out for a row.
const ROWS: usize = 4;

/// Whether a value is a number by which 0 is multiplied or divided to 0, in any dtype of floats.
fn is_tame(site: &Site<'_>, value: ValueId) -> bool {
    let tame = |number: f64| (1.0 / 60000.0..=60000.0).contains(&number.abs());
    site.constant(value).is_some_and(|constant| constant.rank() == 0 && constant.to_f64_vec().into_iter().all(tame))
}

/// A table with zeros but for a few rows.
struct Sparse {
    zeros: ValueId,
    values: ValueId,
    indices: ValueId,
    /// What is applied to it element by element, the last first.
    then: Vec<ValueId>,
}

/// `c * add_at(zeros[i], v)` and the like, if nothing else reads it.
fn sparse(site: &Site<'_>, mut value: ValueId, scales: impl Fn(&Site<'_>, ValueId) -> bool) -> Option<Sparse> {
    let mut then = Vec::new();
    loop {
        if !site.used_once(value) {
            return None;
        }
        let op = site.op(value).to_owned();
        let (operands, attributes) = site.made_by(value, &op)?;
        let inner = match (op.as_str(), &operands[..]) {
            ("add_at", &[zeros, values, indices]) => {
                let along = attributes.index("index").ok()? == [IndexItem::Operand(0)];
                return (along && is_zeros(site, zeros)).then_some(Sparse { zeros, values, indices, then });
            }
            ("neg", &[x]) => x,
            ("mul", &[x, scale]) | ("mul", &[scale, x]) | ("div", &[x, scale]) if site.ty(x).rank() > 0 && scales(site, scale) => x,
            _ => return None,
        };
        if site.ty(inner).dtype != site.ty(value).dtype {
            return None;
        }
        then.push(value);
        value = inner;
    }
}

fn step_of_rows(site: &mut Site<'_>, scales: fn(&Site<'_>, ValueId) -> bool) -> Found {
    let operands = site.operands();
    let [a, b] = operands[..] else { return Ok(None) };
    let sides: &[(usize, ValueId, ValueId)] = if site.view().op_name() == "sub" { &[(1, a, b)] } else { &[(1, a, b), (0, b, a)] };
    for &(side, table, step) in sides {
        let Some(found) = sparse(site, step, scales) else { continue };
        let result = site.node().output(0);
        if site.ty(table) != site.ty(result) || site.ty(found.zeros).dtype != site.ty(table).dtype || is_zeros(site, table) {
            continue;
        }
        let (Some(shape), Some(places)) = (site.ty(table).known_shape(), site.ty(found.indices).known_shape()) else { continue };
        let (whole, count) = (site.ty(found.indices).dtype, places.iter().product::<usize>());
        if site.ty(found.zeros).known_shape().as_ref() != Some(&shape) || places.is_empty() || !whole.is_integer() || whole == DType::Bool {
            continue;
        }
        if count == 0 || count.saturating_mul(ROWS) > shape[0] {
            continue;
        }
        // Rows of their own for what is added up, as many as there are positions.
        let own = first_places(site, found.indices, &places, shape[0])?;
        let sizes: Vec<i64> = std::iter::once(count).chain(shape[1..].iter().copied()).map(|length| length as i64).collect();
        let (sizes, dtype) = (site.add_constant(Tensor::vector(sizes)), site.ty(table).dtype);
        let zeros = site.apply("zeros", &[sizes], Attributes::new().with("dtype", dtype))?;
        let sums = site.apply("add_at", &[zeros, found.values, own], at_rows())?;
        let mut new = site.apply("index", &[sums, own], at_rows())?;
        for &link in found.then.iter().rev() {
            let view = site.graph().node(link.node);
            let along = |operand: &ValueId| if site.ty(*operand).rank() > 0 { new } else { *operand };
            let operands: Vec<ValueId> = view.operands.iter().map(along).collect();
            new = site.again(link.node, &operands)?.output(0);
        }
        let old = rows_of(site, table, found.indices)?;
        let both = if side == 1 { [old, new] } else { [new, old] };
        let stepped = site.again(site.node(), &both)?.output(0);
        let value = site.apply("set_at", &[table, stepped, found.indices], at_rows())?;
        return one(site, value);
    }
    Ok(None)
}

fn at_rows() -> Attributes {
    Attributes::new().with("index", Attribute::Index(vec![IndexItem::Operand(0)]))
}

/// The rows of a table, as they are read already where they are.
fn rows_of(site: &mut Site<'_>, table: ValueId, indices: ValueId) -> crate::error::Result<ValueId> {
    let is_read = |value: ValueId| {
        site.made_by(value, "take").is_some_and(|(operands, attributes)| {
            let first = attributes.axis("axis", site.ty(table).rank()).is_ok_and(|axis| axis == 0) && attributes.get("axis") != Some(&Attribute::None);
            first && operands == [table, indices] && attributes.str("mode").is_ok_and(|mode| mode == "raise")
        })
    };
    let read = site.graph().users(table.node).iter().map(|user| user.output(0)).find(|&value| is_read(value));
    match read {
        Some(read) => Ok(read),
        None => site.apply("index", &[table, indices], at_rows()),
    }
}

/// A number for each position, below as many as there are, that is equal where they name one row and only there: how
/// many positions name earlier rows.
fn first_places(site: &mut Site<'_>, indices: ValueId, places: &[usize], rows: usize) -> crate::error::Result<ValueId> {
    let mut flat = indices;
    if site.ty(flat).dtype != DType::I64 {
        flat = site.apply("cast", &[flat], Attributes::new().with("dtype", DType::I64))?;
    }
    if site.ty(indices).dtype.kind() == Kind::Signed {
        let (zero, rows) = (Tensor::scalar(0i64), Tensor::scalar(rows as i64));
        let (zero, rows) = (site.add_constant(zero), site.add_constant(rows));
        let below = site.apply("lt", &[flat, zero], Attributes::new())?;
        let counted = site.apply("add", &[flat, rows], Attributes::new())?;
        flat = site.apply("where", &[below, counted, flat], Attributes::new())?;
    }
    let reshaped = |site: &mut Site<'_>, value: ValueId, shape: &[usize]| {
        let sizes: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
        let sizes = site.add_constant(Tensor::vector(sizes));
        site.apply("reshape", &[value, sizes], Attributes::new())
    };
    if places.len() > 1 {
        flat = reshaped(site, flat, &[places.iter().product()])?;
    }
    let order = site.apply("argsort", &[flat], Attributes::new().with("axis", -1i64))?;
    let side = Attributes::new().with("side", Attribute::Str("left".into()));
    let found = site.apply("searchsorted", &[flat, flat, order], side)?;
    if places.len() > 1 { reshaped(site, found, places) } else { Ok(found) }
}
