//! Reads of everything, of one place, and of what is computed: what is read is computed, and nothing else.

use super::super::shape::{sizes_of, spread};
use super::super::{Found, Site, one};
use super::{ALL, Axis, BACKWARDS, at, length, own_index};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::rewrite::facts::{Fact, certain};
use crate::rewrite::matcher::is_elementwise;
use crate::rewrite::shapes::same_length;
use crate::tensor::{Dim, Kind, Tensor};

pub(super) fn index_of_everything(site: &mut Site<'_>) -> Found {
    let Some((x, axes)) = own_index(site) else { return Ok(None) };
    let all = axes.iter().enumerate().all(|(axis, item)| item.is_all(length(site, x, axis)));
    if all { one(site, x) } else { Ok(None) }
}

pub(super) fn index_of_last_axes(site: &mut Site<'_>) -> Found {
    const ALL: IndexItem = IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 };
    let attributes = site.attributes();
    let items = attributes.index("index")?;
    let mut left = items;
    while let [rest @ .., last] = left
        && !rest.is_empty()
        // Behind an ellipsis an axis counts from the end.
        && (*last == IndexItem::Ellipsis || *last == ALL && !rest.contains(&IndexItem::Ellipsis))
    {
        left = rest;
    }
    if left.len() == items.len() {
        return Ok(None);
    }
    let (op, left, operands) = (site.view().op_name().to_owned(), left.to_vec(), site.operands());
    let value = site.apply(&op, &operands, Attributes::new().with("index", Attribute::Index(left)))?;
    one(site, value)
}

pub(super) fn index_of_new_axes(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x] = operands[..] else { return Ok(None) };
    let (items, rank) = (attributes.index("index")?, site.ty(x).rank());
    let given = items.iter().filter(|item| !matches!(item, IndexItem::Ellipsis | IndexItem::NewAxis)).count();
    let (mut axes, mut at) = (Vec::new(), 0);
    for item in items {
        match item {
            IndexItem::NewAxis => {
                axes.push(Attribute::Int(at));
                at += 1;
            }
            IndexItem::Ellipsis => at += rank.saturating_sub(given) as i64,
            IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 } => at += 1,
            _ => return Ok(None),
        }
    }
    if axes.is_empty() {
        return Ok(None);
    }
    let axis = if axes.len() == 1 { axes.remove(0) } else { Attribute::List(axes) };
    let value = site.apply("expand_dims", &[x], Attributes::new().with("axis", axis))?;
    one(site, value)
}

pub(super) fn index_of_single(site: &mut Site<'_>) -> Found {
    let Some((x, axes)) = own_index(site) else { return Ok(None) };
    let first = |axis: usize| matches!(axes[axis], Axis::At(0 | -1)) && length(site, x, axis) == Some(1);
    let gone: Vec<i64> = (0..axes.len()).filter(|&axis| first(axis)).map(|axis| axis as i64).collect();
    let others = axes.iter().enumerate().all(|(axis, item)| first(axis) || item.is_all(length(site, x, axis)));
    // A length is read as such.
    if gone.is_empty() || !others || site.op(x) == "shape" {
        return Ok(None);
    }
    let value = site.apply("squeeze", &[x], Attributes::new().with("axis", gone))?;
    one(site, value)
}

pub(super) fn index_backwards(site: &mut Site<'_>) -> Found {
    let Some((x, axes)) = own_index(site) else { return Ok(None) };
    let turned: Vec<i64> = (0..axes.len()).filter(|&axis| axes[axis] == BACKWARDS).map(|axis| axis as i64).collect();
    if turned.is_empty() || axes.iter().any(|&axis| axis != BACKWARDS && axis != ALL) {
        return Ok(None);
    }
    let attributes = Attributes::new();
    let attributes = if let [axis] = turned[..] { attributes.with("axis", axis) } else { attributes.with("axis", turned) };
    let value = site.apply("flip", &[x], attributes)?;
    one(site, value)
}

/// What the cross entropy shares with its gradient is computed once.
pub(super) fn loss_of_rows(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let ([logs, rows, mut labels], [IndexItem::Operand(0), IndexItem::Operand(1)]) = (match operands[..] {
        [logs, rows, labels] => [logs, rows, labels],
        _ => return Ok(None),
    }, attributes.index("index")?) else { return Ok(None) };
    let Some((inner, softmax)) = site.made_by(logs, "log_softmax").filter(|_| site.used_once(logs)) else { return Ok(None) };
    let (x, ty) = (inner[0], site.ty(labels));
    let fits = site.ty(logs).rank() == 2 && softmax.axis("axis", 2)? == 1 && ty.rank() == 1 && ty.dtype.is_integer();
    if !fits || !in_order(site, rows) || !same_length(site.graph(), (rows, 0), (x, 0)) || !same_length(site.graph(), (labels, 0), (x, 0)) {
        return Ok(None);
    }
    // Those below 0 count from the end, of which a cross entropy knows nothing.
    if ty.dtype.kind() != Kind::Unsigned && !certain(site.graph(), labels, Fact::NonNegative) {
        let classes = match site.ty(x).dims[1].known() {
            Some(classes) => site.weak_constant(Tensor::scalar(classes as i64)),
            None => {
                let sizes = site.apply("shape", &[x], Attributes::new())?;
                let last = at(site, sizes, &[Axis::At(1)])?;
                site.apply("cast", &[last], Attributes::new().with("dtype", site.ty(labels).dtype))?
            }
        };
        let zero = site.weak_constant(Tensor::scalar(0i64));
        let below = site.apply("lt", &[labels, zero], Attributes::new())?;
        let wrapped = site.apply("add", &[labels, classes], Attributes::new())?;
        labels = site.apply("where", &[below, wrapped, labels], Attributes::new())?;
    }
    let losses = site.apply("cross_entropy", &[x, labels], Attributes::new())?;
    let value = site.apply("neg", &[losses], Attributes::new())?;
    one(site, value)
}

/// Whether a vector holds 0, 1, 2 and so on.
fn in_order(site: &Site<'_>, numbers: ValueId) -> bool {
    const LONGEST: usize = 4096;
    match site.constant(numbers) {
        Some(constant) => constant.len() <= LONGEST && constant.rank() == 1 && constant.to_i64_vec().into_iter().eq(0..constant.len() as i64),
        None => site.made_by(numbers, "arange").is_some_and(|(operands, _)| operands.len() == 1),
    }
}

pub(super) fn index_of_elementwise(site: &mut Site<'_>) -> Found {
    let Some((whole, axes)) = own_index(site) else { return Ok(None) };
    let view = site.graph().node(whole.node);
    let fits = is_elementwise(&view);
    let operands = view.operands.to_vec();
    if !fits || operands.is_empty() || !site.used_once(whole) || operands.iter().all(|&operand| site.ty(operand).rank() == 0) {
        return Ok(None);
    }
    let rank = site.ty(whole).rank();
    let mut parts: Vec<Vec<Axis>> = Vec::new();
    for &operand in &operands {
        let ty = site.ty(operand);
        let missing = rank - ty.rank();
        let mut own = Vec::new();
        for (axis, &item) in axes.iter().enumerate().take(rank).skip(missing) {
            // An axis of length 1 that is spread has one place for all.
            let spread = ty.dims[axis - missing] == Dim::Known(1) && site.ty(whole).dims[axis] != Dim::Known(1);
            own.push(match item {
                item if spread => if item.drops() { Axis::At(0) } else { ALL },
                item if same_length(site.graph(), (operand, axis - missing), (whole, axis)) => item,
                _ => return Ok(None),
            });
        }
        parts.push(own);
    }
    let mut indexed = Vec::new();
    for (&operand, own) in operands.iter().zip(&parts) {
        indexed.push(at(site, operand, own)?);
    }
    let value = site.again(whole.node, &indexed)?.output(0);
    one(site, value)
}

pub(super) fn index_of_expand(site: &mut Site<'_>) -> Found {
    let Some((expanded, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, attributes)) = site.made_by(expanded, "expand_dims") else { return Ok(None) };
    let new = attributes.axes("axis", axes.len())?;
    // The axis of length 1 is dropped or left; then the others are those of the operand.
    if !new.iter().all(|&axis| matches!(axes[axis], Axis::At(0 | -1)) || axes[axis].is_all(Some(1))) {
        return Ok(None);
    }
    let own: Vec<Axis> = axes.iter().enumerate().filter(|(axis, _)| !new.contains(axis)).map(|(_, &item)| item).collect();
    let left: Vec<(usize, &Axis)> = axes.iter().enumerate().filter(|(_, item)| !item.drops()).collect();
    let places: Vec<i64> = left.iter().enumerate().filter(|(_, (axis, _))| new.contains(axis)).map(|(place, _)| place as i64).collect();
    if own.iter().all(|item| *item == ALL) && places.len() == new.len() {
        return Ok(None);
    }
    let mut value = at(site, operands[0], &own)?;
    if !places.is_empty() {
        value = site.apply("expand_dims", &[value], Attributes::new().with("axis", places))?;
    }
    one(site, value)
}

pub(super) fn index_of_transpose(site: &mut Site<'_>) -> Found {
    let Some((turned, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, attributes)) = site.made_by(turned, "transpose") else { return Ok(None) };
    let rank = site.ty(turned).rank();
    let order: Vec<usize> = match attributes.ints("axes")? {
        None => (0..rank).rev().collect(),
        Some(order) => order.iter().map(|&axis| crate::ops::normalize_axis(axis, rank)).collect::<Result<_, _>>()?,
    };
    let mut inner = vec![ALL; rank];
    order.iter().zip(&axes).for_each(|(&axis, &item)| inner[axis] = item);
    let mut value = at(site, operands[0], &inner)?;
    // The axes that are left, in the order of the operand and of the result.
    let left: Vec<usize> = order.iter().zip(&axes).filter(|(_, item)| !item.drops()).map(|(&axis, _)| axis).collect();
    let mut sorted = left.clone();
    sorted.sort_unstable();
    if left != sorted {
        let place = |axis: &usize| sorted.iter().position(|other| other == axis).unwrap_or(0) as i64;
        let order: Vec<i64> = left.iter().map(place).collect();
        value = site.apply("transpose", &[value], Attributes::new().with("axes", order))?;
    }
    one(site, value)
}

pub(super) fn index_of_reduction(site: &mut Site<'_>) -> Found {
    const REDUCTIONS: &[&str] = &["sum", "prod", "mean", "max", "min", "any", "all", "logsumexp", "argmax", "argmin"];
    let Some((reduced, axes)) = own_index(site) else { return Ok(None) };
    let op = site.op(reduced).to_owned();
    let Some((operands, mut attributes)) = site.made_by(reduced, &op) else { return Ok(None) };
    let [x] = operands[..] else { return Ok(None) };
    let (rank, along) = (site.ty(x).rank(), matches!(op.as_str(), "softmax" | "log_softmax"));
    if !site.used_once(reduced) || !(along || REDUCTIONS.contains(&op.as_str())) {
        return Ok(None);
    }
    let gone = if along { vec![attributes.axis("axis", rank)?] } else { attributes.axes("axis", rank)? };
    let keeps = along || attributes.bool("keepdims")?;
    // The index of the operand, and where its axes are afterwards.
    let (mut items, mut rest, mut left, mut places) = (Vec::new(), axes.into_iter(), 0, Vec::new());
    for axis in 0..rank {
        let item = match gone.contains(&axis) {
            // What is kept of a reduced axis is all that there is.
            true if keeps && rest.next() != Some(ALL) => return Ok(None),
            true => ALL,
            false => rest.next().unwrap_or(ALL),
        };
        if gone.contains(&axis) {
            places.push(Attribute::Int(left));
        }
        left += i64::from(!item.drops());
        items.push(item);
    }
    if items.iter().all(|item| *item == ALL) {
        return Ok(None);
    }
    let single = matches!(attributes.get("axis"), Some(Attribute::Int(_)));
    attributes.set("axis", if single { places.remove(0) } else { Attribute::List(places) });
    let part = at(site, x, &items)?;
    let value = site.apply(&op, &[part], attributes)?;
    one(site, value)
}

pub(super) fn index_of_broadcast(site: &mut Site<'_>) -> Found {
    let Some((whole, axes)) = own_index(site) else { return Ok(None) };
    let Some(found) = spread(site, whole) else { return Ok(None) };
    let x = found.element(site, whole);
    let new = site.ty(whole).rank() - site.ty(x).rank();
    let mut own = Vec::new();
    for (axis, &item) in axes.iter().enumerate() {
        let alone = axis < new || site.ty(x).dims[axis - new] == Dim::Known(1) && length(site, whole, axis) != Some(1);
        if alone {
            // One place along an axis that is spread is as good as any, if it certainly is there.
            let inside = match item {
                Axis::At(at) => length(site, whole, axis).is_some_and(|length| (-(length as i64)..length as i64).contains(&at)),
                Axis::Place(_) => false,
                Axis::Slice { .. } | Axis::Cut { .. } => true,
            };
            if !inside {
                return Ok(None);
            }
            if axis >= new {
                own.push(if item.drops() { Axis::At(0) } else { ALL });
            }
        } else if same_length(site.graph(), (x, axis - new), (whole, axis)) {
            own.push(item);
        } else {
            return Ok(None);
        }
    }
    let mut value = at(site, x, &own)?;
    let root = site.node().output(0);
    if !site.same_shape(root, value) {
        let Some(shape) = site.ty(root).known_shape() else { return Ok(None) };
        let sizes = sizes_of(site, &shape);
        value = site.apply("broadcast_to", &[value, sizes], Attributes::new())?;
    }
    one(site, value)
}
