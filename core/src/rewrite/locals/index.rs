//! Reads and writes at an index: of one another, and of what is computed element by element.

use super::{Found, Local, Site, canonical, faster, one, stable};
use crate::graph::ValueId;
use crate::ops::index::slice_range;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::rewrite::facts::{Fact, certain};
use crate::rewrite::shapes::same_length;
use crate::tensor::{Kind, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster("index_of_everything", &["index"], "x[:, ...] => x", index_of_everything),
        canonical("index_of_new_axes", &["index"], "x[:, None] => expand_dims(x, axis=1)", index_of_new_axes),
        canonical("index_backwards", &["index"], "x[::-1] => flip(x, axis=0), also along other axes", index_backwards),
        stable(
            "loss_of_rows", &["index"],
            "log_softmax(x, axis=-1)[arange(n), y] => -cross_entropy(x, y) of a matrix of n rows, if nothing else reads the log_softmax",
            loss_of_rows,
        ),
        faster("index_of_index", &["index"], "x[a:b][c:d], x[a:b][i], flip(x)[i] and the like => one index", index_of_index),
        faster("read_after_write", &["index"], "set_at(x[i], v)[i] => v, and set_at(x[i], v)[j] => x[j] of other places", read_after_write),
        faster("write_after_write", &["set_at"], "set_at(set_at(x[i], v)[i], w) => set_at(x[i], w)", write_after_write),
        faster("write_of_read", &["set_at"], "set_at(x[i], x[i]) => x", write_of_read),
        faster("write_of_sum", &["set_at"], "set_at(x[i], x[i] + v) => add_at(x[i], v) where i names no place twice", write_of_sum),
        faster("add_to_zeros", &["add_at"], "add_at(zeros[i], v) => set_at(zeros[i], v) where i names no place twice", add_to_zeros),
        faster(
            "add_of_write", &["add"],
            "x + add_at(zeros[i], v) => add_at(x[i], v), also of set_at, where i names no place twice",
            add_of_write,
        ),
        faster("index_of_join", &["index"], "stack([x, y])[0] => x, concatenate([x, y])[a:b] => a part of x or y", index_of_join),
        faster("index_by_range", &["index"], "x[[2, 3, 4]] => x[2:5], of a constant within a known length", index_by_range),
        faster("index_of_elementwise", &["index"], "f(x, y)[i] => f(x[i], y[i]), if nothing else reads f(x, y)", index_of_elementwise),
        faster("index_of_transpose", &["index"], "transpose(x)[i] => transpose(x[..., i])", index_of_transpose),
        faster(
            "index_of_reduction", &["index"],
            "sum(x, axis=1)[i] => sum(x[i], axis=1), also of softmax along other axes, if nothing else reads it",
            index_of_reduction,
        ),
        faster("index_of_broadcast", &["index"], "broadcast_to(x, s)[i, j] => x[j], where only new axes are added, and i is one place along them", index_of_broadcast),
        faster(
            "index_of_product", &["index"],
            "(x @ y)[i, j] => x[i] @ y[:, j] of matrices, if nothing else reads x @ y",
            index_of_product,
        ),
    ]
}

/// What an index does with one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    At(i64),
    Slice { start: Option<i64>, stop: Option<i64>, step: i64 },
}

const ALL: Axis = Axis::Slice { start: None, stop: None, step: 1 };
const BACKWARDS: Axis = Axis::Slice { start: None, stop: None, step: -1 };

impl Axis {
    fn is_all(self, length: Option<usize>) -> bool {
        match self {
            Axis::At(_) => false,
            Axis::Slice { start, stop, step } => {
                let from_start = start.is_none_or(|start| start == 0);
                let to_end = stop.is_none_or(|stop| length.is_some_and(|length| stop >= length as i64));
                step == 1 && from_start && to_end
            }
        }
    }

    fn item(self) -> IndexItem {
        let bound = |bound: Option<i64>| bound.map_or(IndexBound::Open, IndexBound::At);
        match self {
            Axis::At(at) => IndexItem::At(at),
            Axis::Slice { start, stop, step } => IndexItem::Slice { start: bound(start), stop: bound(stop), step },
        }
    }
}

fn attribute(axes: &[Axis]) -> Attributes {
    Attributes::new().with("index", Attribute::Index(axes.iter().map(|axis| axis.item()).collect()))
}

/// One entry per axis, of an index of literal positions and slices alone.
fn basic(items: &[IndexItem], rank: usize) -> Option<Vec<Axis>> {
    let literal = |bound: &IndexBound| match bound {
        IndexBound::Open => Some(None),
        IndexBound::At(at) => Some(Some(*at)),
        IndexBound::Operand(_) => None,
    };
    let mut axes = Vec::new();
    let given = items.iter().filter(|item| !matches!(item, IndexItem::Ellipsis)).count();
    for item in items {
        match item {
            IndexItem::At(at) => axes.push(Axis::At(*at)),
            IndexItem::Slice { start, stop, step } => axes.push(Axis::Slice { start: literal(start)?, stop: literal(stop)?, step: *step }),
            IndexItem::Ellipsis => axes.extend(vec![ALL; rank.checked_sub(given)?]),
            IndexItem::Operand(_) | IndexItem::NewAxis => return None,
        }
    }
    if axes.len() > rank {
        return None;
    }
    axes.resize(rank, ALL);
    Some(axes)
}

/// What is indexed, and how, if that is basic.
fn basic_index(site: &Site<'_>, value: ValueId) -> Option<(ValueId, Vec<Axis>)> {
    let (operands, attributes) = site.made_by(value, "index")?;
    let [x] = operands[..] else { return None };
    Some((x, basic(attributes.index("index").ok()?, site.ty(x).rank())?))
}

fn own_index(site: &Site<'_>) -> Option<(ValueId, Vec<Axis>)> {
    basic_index(site, site.node().output(0))
}

fn length(site: &Site<'_>, x: ValueId, axis: usize) -> Option<usize> {
    site.ty(x).dims[axis].known()
}

fn index_of_everything(site: &mut Site<'_>) -> Found {
    let Some((x, axes)) = own_index(site) else { return Ok(None) };
    let all = axes.iter().enumerate().all(|(axis, item)| item.is_all(length(site, x, axis)));
    if all { one(site, x) } else { Ok(None) }
}

fn index_of_new_axes(site: &mut Site<'_>) -> Found {
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

/// What the cross entropy shares with its gradient is computed once.
fn loss_of_rows(site: &mut Site<'_>) -> Found {
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
                let last = site.apply("index", &[sizes], attribute(&[Axis::At(1)]))?;
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

/// A slice and then an item of what it gives, as one item.
fn composed(inner: Axis, outer: Axis, length: Option<usize>) -> Option<Axis> {
    let Axis::Slice { start, stop, step } = inner else { return None };
    if inner.is_all(length) {
        return Some(outer);
    }
    if outer.is_all(None) {
        return Some(inner);
    }
    if let Some(length) = length {
        let (first, count) = slice_range(length, start, stop, step);
        return match outer {
            Axis::At(at) => {
                let at = if at < 0 { at.checked_add(count as i64)? } else { at };
                (0..count as i64).contains(&at).then(|| Axis::At(first + at * step))
            }
            Axis::Slice { start, stop, step: again } => {
                let (begin, count) = slice_range(count, start, stop, again);
                if count == 0 {
                    return Some(Axis::Slice { start: Some(0), stop: Some(0), step: 1 });
                }
                let (first, step) = (first + begin * step, step.checked_mul(again)?);
                let last = first + (count as i64 - 1) * step;
                let stop = if step > 0 { Some(last + 1) } else { Some(last - 1).filter(|&stop| stop >= 0) };
                Some(Axis::Slice { start: Some(first), stop, step })
            }
        };
    }
    // Positions that count from the front do not depend on the length.
    let (first, stop) = (start.unwrap_or(0), stop);
    if step != 1 || first < 0 || stop.is_some_and(|stop| stop < 0) {
        return None;
    }
    match outer {
        Axis::At(at) if at >= 0 && stop.is_none_or(|stop| at < stop - first) => Some(Axis::At(first.checked_add(at)?)),
        Axis::Slice { start: from, stop: to, step: 1 } if from.unwrap_or(0) >= 0 && to.unwrap_or(0) >= 0 => {
            let end = match (stop, to) {
                (stop, None) => stop,
                (None, Some(to)) => Some(first.checked_add(to)?),
                (Some(stop), Some(to)) => Some(stop.min(first.checked_add(to)?)),
            };
            Some(Axis::Slice { start: Some(first.checked_add(from.unwrap_or(0))?), stop: end, step: 1 })
        }
        _ => None,
    }
}

/// What is flipped, and the same as an index.
fn flipped(site: &Site<'_>, value: ValueId) -> Option<(ValueId, Vec<Axis>)> {
    let (operands, attributes) = site.made_by(value, "flip")?;
    let x = *operands.first()?;
    let rank = site.ty(x).rank();
    let Some(flipped) = attributes.ints("axis").ok()? else { return Some((x, vec![BACKWARDS; rank])) };
    let mut axes = vec![ALL; rank];
    for axis in flipped {
        *axes.get_mut(usize::try_from(axis.rem_euclid(rank.max(1) as i64)).ok()?)? = BACKWARDS;
    }
    Some((x, axes))
}

fn index_of_index(site: &mut Site<'_>) -> Found {
    let Some((between, outer)) = own_index(site) else { return Ok(None) };
    let Some((x, inner)) = basic_index(site, between).or_else(|| flipped(site, between)) else { return Ok(None) };
    let mut outer = outer.into_iter();
    let mut axes = Vec::new();
    for (axis, item) in inner.into_iter().enumerate() {
        let both = match item {
            Axis::At(_) => Some(item),
            Axis::Slice { .. } => outer.next().and_then(|next| composed(item, next, length(site, x, axis))),
        };
        match both {
            Some(both) => axes.push(both),
            None => return Ok(None),
        }
    }
    let value = site.apply("index", &[x], attribute(&axes))?;
    one(site, value)
}

/// Whether no two items of an index name one place: it has positions and slices, but no arrays.
fn no_arrays(site: &Site<'_>, items: &[IndexItem], operands: &[ValueId]) -> bool {
    items.iter().all(|item| match item {
        IndexItem::Operand(number) => operands.get(*number).is_some_and(|&operand| {
            let ty = site.ty(operand);
            ty.rank() == 0 && ty.dtype.is_integer()
        }),
        _ => true,
    })
}

/// Whether two items of one axis certainly name different places.
fn apart(a: Axis, b: Axis, length: Option<usize>) -> bool {
    let bounds = |axis: Axis| -> Option<(i64, i64)> {
        match (axis, length) {
            (Axis::At(at), Some(length)) => {
                let at = if at < 0 { at + length as i64 } else { at };
                Some((at, at + 1))
            }
            (Axis::At(at), None) => (at >= 0).then_some((at, at + 1)),
            (Axis::Slice { start, stop, step }, Some(length)) if step > 0 => {
                let (first, count) = slice_range(length, start, stop, step);
                Some((first, first + (count as i64 - 1) * step + 1))
            }
            (Axis::Slice { start, stop, step }, None) if step > 0 => {
                let (start, stop) = (start.unwrap_or(0), stop.unwrap_or(i64::MAX));
                (start >= 0 && stop >= 0).then_some((start, stop))
            }
            _ => None,
        }
    };
    if let (Axis::At(a), Axis::At(b), None) = (a, b, length) {
        return a != b && (a < 0) == (b < 0);
    }
    matches!((bounds(a), bounds(b)), (Some((a, b)), Some((c, d))) if b <= c || d <= a)
}

fn read_after_write(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let Some((written, own)) = operands.first().and_then(|&x| site.made_by(x, "set_at")) else { return Ok(None) };
    let (x, v) = (written[0], written[1]);
    let items = attributes.index("index")?.to_vec();
    let root = site.node().output(0);
    if own.get("index") == attributes.get("index") && operands[1..] == written[2..] {
        if !no_arrays(site, &items, &operands[1..]) || site.ty(v).dtype != site.ty(root).dtype {
            return Ok(None);
        }
        if site.fits(root, v) {
            return Ok(Some(vec![v]));
        }
        let Some(shape) = site.ty(root).known_shape() else { return Ok(None) };
        let sizes = site.add_constant(Tensor::vector(shape.iter().map(|&length| length as i64).collect::<Vec<_>>()));
        let value = site.apply("broadcast_to", &[v, sizes], Attributes::new())?;
        return one(site, value);
    }
    let rank = site.ty(x).rank();
    let (Some(reads), Some(writes)) = (basic(&items, rank), own.index("index").ok().and_then(|items| basic(items, rank))) else { return Ok(None) };
    let other = operands.len() == 1
        && written.len() == 2
        && reads.iter().zip(&writes).enumerate().any(|(axis, (&a, &b))| apart(a, b, length(site, x, axis)));
    if !other {
        return Ok(None);
    }
    let value = site.apply("index", &[x], attributes)?;
    one(site, value)
}

fn write_after_write(site: &mut Site<'_>) -> Found {
    let (mut operands, attributes) = (site.operands(), site.attributes());
    let Some((written, own)) = operands.first().and_then(|&x| site.made_by(x, "set_at")) else { return Ok(None) };
    if own.get("index") != attributes.get("index") || operands[2..] != written[2..] {
        return Ok(None);
    }
    operands[0] = written[0];
    let value = site.apply("set_at", &operands, attributes)?;
    one(site, value)
}

fn write_of_read(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, v, ..] = operands[..] else { return Ok(None) };
    let Some((read, own)) = site.made_by(v, "index") else { return Ok(None) };
    if read[0] != x || own.get("index") != attributes.get("index") || operands[2..] != read[1..] {
        return Ok(None);
    }
    one(site, x)
}

fn write_of_sum(site: &mut Site<'_>) -> Found {
    let (mut operands, attributes) = (site.operands(), site.attributes());
    let (x, items) = (operands[0], attributes.index("index")?.to_vec());
    let Some((terms, _)) = operands.get(1).and_then(|&v| site.made_by(v, "add")).filter(|_| no_arrays(site, &items, &operands[2..])) else { return Ok(None) };
    let [a, b] = terms[..] else { return Ok(None) };
    for (read, added) in [(a, b), (b, a)] {
        let own = site.made_by(read, "index").is_some_and(|(of, own)| of[0] == x && own.get("index") == attributes.get("index") && of[1..] == operands[2..]);
        // What is added is spread as the sum was.
        let fits = site.ty(added).rank() <= site.ty(read).rank() && site.ty(added).dtype == site.ty(x).dtype && site.same_shape(read, operands[1]);
        if own && fits {
            operands[1] = added;
            let value = site.apply("add_at", &operands, attributes)?;
            return one(site, value);
        }
    }
    Ok(None)
}

pub(super) fn is_zeros(site: &Site<'_>, value: ValueId) -> bool {
    match site.constant(value) {
        Some(constant) => constant.len() <= 4096 && constant.to_f64_vec().into_iter().all(|x| x == 0.0),
        None => match site.op(value) {
            "zeros" | "zeros_like" => true,
            "broadcast_to" => site.made_by(value, "broadcast_to").is_some_and(|(operands, _)| {
                site.constant(operands[0]).is_some() && is_zeros(site, operands[0])
            }),
            _ => false,
        },
    }
}

fn add_to_zeros(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let items = attributes.index("index")?.to_vec();
    if !is_zeros(site, operands[0]) || !no_arrays(site, &items, &operands[2..]) {
        return Ok(None);
    }
    let value = site.apply("set_at", &operands, attributes)?;
    one(site, value)
}

fn add_of_write(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [a, b] = operands[..] else { return Ok(None) };
    for (x, written) in [(a, b), (b, a)] {
        let op = site.op(written).to_owned();
        if !matches!(op.as_str(), "add_at" | "set_at") || !site.used_once(written) || is_zeros(site, x) {
            continue;
        }
        let Some((mut own, attributes)) = site.made_by(written, &op) else { continue };
        let items = attributes.index("index")?;
        let fits = site.ty(x).dtype == site.ty(written).dtype && site.same_shape(x, written);
        if !fits || !is_zeros(site, own[0]) || !no_arrays(site, items, &own[2..]) {
            continue;
        }
        own[0] = x;
        let value = site.apply("add_at", &own, attributes)?;
        return one(site, value);
    }
    Ok(None)
}

fn index_of_join(site: &mut Site<'_>) -> Found {
    let Some((joined, axes)) = own_index(site) else { return Ok(None) };
    let rank = site.ty(joined).rank();
    if let Some((parts, attributes)) = site.made_by(joined, "stack") {
        let axis = attributes.axis("axis", rank)?;
        let Axis::At(at) = axes[axis] else { return Ok(None) };
        let at = if at < 0 { at + parts.len() as i64 } else { at };
        let Some(&part) = usize::try_from(at).ok().and_then(|at| parts.get(at)) else { return Ok(None) };
        let rest: Vec<Axis> = axes.iter().enumerate().filter(|&(other, _)| other != axis).map(|(_, &item)| item).collect();
        let value = site.apply("index", &[part], attribute(&rest))?;
        return one(site, value);
    }
    let Some((parts, attributes)) = site.made_by(joined, "concatenate") else { return Ok(None) };
    let axis = attributes.axis("axis", rank)?;
    let lengths: Option<Vec<usize>> = parts.iter().map(|&part| length(site, part, axis)).collect();
    let Some(lengths) = lengths else { return Ok(None) };
    let total: usize = lengths.iter().sum();
    let (first, count) = match axes[axis] {
        Axis::At(at) => (if at < 0 { at + total as i64 } else { at }, 1),
        Axis::Slice { start, stop, step: 1 } => slice_range(total, start, stop, 1),
        Axis::Slice { .. } => return Ok(None),
    };
    let Ok(first) = usize::try_from(first) else { return Ok(None) };
    let mut start = 0;
    for (&part, &length) in parts.iter().zip(&lengths) {
        if first >= start && first + count <= start + length && count > 0 {
            let mut axes = axes.clone();
            axes[axis] = match axes[axis] {
                Axis::At(_) => Axis::At((first - start) as i64),
                Axis::Slice { .. } => Axis::Slice { start: Some((first - start) as i64), stop: Some((first - start + count) as i64), step: 1 },
            };
            let value = site.apply("index", &[part], attribute(&axes))?;
            return one(site, value);
        }
        start += length;
    }
    Ok(None)
}

fn index_by_range(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, positions] = operands[..] else { return Ok(None) };
    let mut items = attributes.index("index")?.to_vec();
    let Some(at) = items.iter().position(|item| matches!(item, IndexItem::Operand(0))) else { return Ok(None) };
    // Of the axes before it, none is dropped or new, so that it counts them.
    let plain = items[..at].iter().all(|item| matches!(item, IndexItem::Slice { .. }));
    let literal = items.iter().all(|item| match item {
        IndexItem::Slice { start, stop, .. } => [start, stop].iter().all(|bound| !matches!(bound, IndexBound::Operand(_))),
        _ => true,
    });
    // A position beside an array is an array too.
    let alone = !items.iter().any(|item| matches!(item, IndexItem::At(_)));
    let Some(constant) = site.constant(positions).filter(|constant| constant.rank() == 1 && constant.dtype().is_integer()) else { return Ok(None) };
    let (positions, Some(length)) = (constant.to_i64_vec(), site.ty(x).dims.get(at).and_then(crate::tensor::Dim::known)) else { return Ok(None) };
    let (Some(&first), Some(&last)) = (positions.first(), positions.last()) else { return Ok(None) };
    let step = if positions.len() > 1 { positions[1] - first } else { 1 };
    let even = positions.windows(2).all(|pair| pair[1] - pair[0] == step);
    if !plain || !literal || !alone || step < 1 || !even || first < 0 || last >= length as i64 {
        return Ok(None);
    }
    items[at] = IndexItem::Slice { start: IndexBound::At(first), stop: IndexBound::At(last + 1), step };
    let value = site.apply("index", &[x], Attributes::new().with("index", Attribute::Index(items)))?;
    one(site, value)
}

fn index_of_elementwise(site: &mut Site<'_>) -> Found {
    let Some((whole, axes)) = own_index(site) else { return Ok(None) };
    let view = site.graph().node(whole.node);
    let Some((op, _)) = view.apply() else { return Ok(None) };
    let fits = op.is_elementwise() && !op.can_fail() && !op.is_identity() && op.name() != "grad_barrier" && view.results.len() == 1;
    let operands = view.operands.to_vec();
    let along = operands.iter().all(|&operand| site.ty(operand).rank() == 0 || site.same_shape(operand, whole));
    if !fits || operands.is_empty() || !along || !site.used_once(whole) || operands.iter().all(|&operand| site.ty(operand).rank() == 0) {
        return Ok(None);
    }
    let mut indexed = Vec::new();
    for operand in operands {
        indexed.push(match site.ty(operand).rank() {
            0 => operand,
            _ => site.apply("index", &[operand], attribute(&axes))?,
        });
    }
    let value = site.again(whole.node, &indexed)?.output(0);
    one(site, value)
}

fn index_of_transpose(site: &mut Site<'_>) -> Found {
    let Some((turned, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, attributes)) = site.made_by(turned, "transpose") else { return Ok(None) };
    let rank = site.ty(turned).rank();
    let order: Vec<usize> = match attributes.ints("axes")? {
        None => (0..rank).rev().collect(),
        Some(order) => order.iter().map(|&axis| crate::ops::normalize_axis(axis, rank)).collect::<Result<_, _>>()?,
    };
    let mut inner = vec![ALL; rank];
    order.iter().zip(&axes).for_each(|(&axis, &item)| inner[axis] = item);
    let mut value = site.apply("index", &[operands[0]], attribute(&inner))?;
    // The axes that are left, in the order of the operand and of the result.
    let left: Vec<usize> = order.iter().zip(&axes).filter(|(_, item)| !matches!(item, Axis::At(_))).map(|(&axis, _)| axis).collect();
    let mut sorted = left.clone();
    sorted.sort_unstable();
    if left != sorted {
        let place = |axis: &usize| sorted.iter().position(|other| other == axis).unwrap_or(0) as i64;
        let order: Vec<i64> = left.iter().map(place).collect();
        value = site.apply("transpose", &[value], Attributes::new().with("axes", order))?;
    }
    one(site, value)
}

fn index_of_reduction(site: &mut Site<'_>) -> Found {
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
        left += i64::from(!matches!(item, Axis::At(_)));
        items.push(item);
    }
    if items.iter().all(|item| *item == ALL) {
        return Ok(None);
    }
    let single = matches!(attributes.get("axis"), Some(Attribute::Int(_)));
    attributes.set("axis", if single { places.remove(0) } else { Attribute::List(places) });
    let part = site.apply("index", &[x], attribute(&items))?;
    let value = site.apply(&op, &[part], attributes)?;
    one(site, value)
}

fn index_backwards(site: &mut Site<'_>) -> Found {
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

fn index_of_broadcast(site: &mut Site<'_>) -> Found {
    let Some((spread, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(spread, "broadcast_to") else { return Ok(None) };
    let x = operands[0];
    let new = site.ty(spread).rank() - site.ty(x).rank();
    let (ahead, own) = axes.split_at(new);
    // One place along each new axis, which certainly is there, and no axis that is spread: then it is x that is indexed.
    let inside = |(axis, item): (usize, &Axis)| match item {
        Axis::At(at) => site.ty(spread).dims[axis].known().is_some_and(|length| (-(length as i64)..length as i64).contains(at)),
        Axis::Slice { .. } => false,
    };
    let same = |axis: usize| same_length(site.graph(), (x, axis), (spread, axis + new));
    if !ahead.iter().enumerate().all(inside) || !(0..own.len()).all(same) {
        return Ok(None);
    }
    let value = site.apply("index", &[x], attribute(own))?;
    one(site, value)
}

fn index_of_product(site: &mut Site<'_>) -> Found {
    let Some((product, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(product, "matmul") else { return Ok(None) };
    let [x, y] = operands[..] else { return Ok(None) };
    if site.ty(x).rank() != 2 || site.ty(y).rank() != 2 || !site.used_once(product) {
        return Ok(None);
    }
    let (mut x, mut y) = (x, y);
    if axes[0] != ALL {
        x = site.apply("index", &[x], attribute(&[axes[0], ALL]))?;
    }
    if axes[1] != ALL {
        y = site.apply("index", &[y], attribute(&[ALL, axes[1]]))?;
    }
    let value = site.apply("matmul", &[x, y], Attributes::new())?;
    one(site, value)
}

/// How two neighbours in a join along an axis are one part of one value, if they are.
pub(super) fn adjacent(site: &Site<'_>, first: ValueId, second: ValueId, axis: usize) -> Option<(ValueId, Attributes)> {
    let ((x, a), (y, b)) = (basic_index(site, first)?, basic_index(site, second)?);
    if x != y || a.len() != b.len() || site.ty(first).rank() != a.len() {
        return None;
    }
    let others = a.iter().zip(&b).enumerate().all(|(at, (a, b))| at == axis || a == b);
    match (a[axis], b[axis]) {
        (Axis::Slice { start, stop: Some(end), step: 1 }, Axis::Slice { start: Some(begin), stop, step: 1 })
            if others && end == begin && (0..=begin).contains(&start.unwrap_or(0)) && stop.is_none_or(|stop| stop >= begin) =>
        {
            let mut both = a;
            both[axis] = Axis::Slice { start, stop, step: 1 };
            Some((x, attribute(&both)))
        }
        _ => None,
    }
}
