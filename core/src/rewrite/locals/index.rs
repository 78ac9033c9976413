//! Reads and writes at an index: of one another, and of what is computed element by element.

use super::shape::{Element, sizes_of, spread};
use super::{Found, Local, Site, canonical, faster, one, stable};
use crate::graph::ValueId;
use crate::ops::index::slice_range;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::rewrite::facts::{Fact, certain};
use crate::rewrite::lengths::Bound;
use crate::rewrite::shapes::same_length;
use crate::tensor::{Dim, Kind, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster("index_of_everything", &["index"], "x[:, ...] => x", index_of_everything),
        faster("index_of_single", &["index"], "x[:, 0] => squeeze(x, axis=1) of an axis of length 1", index_of_single),
        canonical("index_by_constant", &["index", "set_at", "add_at"], "x[i64(2)] => x[2], also of bounds of slices and in writes", index_by_constant),
        canonical("index_of_new_axes", &["index"], "x[:, None] => expand_dims(x, axis=1)", index_of_new_axes),
        canonical("index_backwards", &["index"], "x[::-1] => flip(x, axis=0), also along other axes", index_backwards),
        stable(
            "loss_of_rows", &["index"],
            "log_softmax(x, axis=-1)[arange(n), y] => -cross_entropy(x, y) of a matrix of n rows, if nothing else reads the log_softmax",
            loss_of_rows,
        ),
        faster("index_of_index", &["index"], "x[a:b][c:d], x[a:b][i], flip(x)[i] and the like => one index", index_of_index),
        faster("read_after_write", &["index"], "set_at(x[i], v)[i] => v, set_at(x[i], v)[j] => x[j] of other places, set_at(x[1:4], v)[2:3] => v[1:2]", read_after_write),
        faster("write_after_write", &["set_at"], "set_at(set_at(x[i], v)[i], w) => set_at(x[i], w)", write_after_write),
        faster("write_of_read", &["set_at"], "set_at(x[i], x[i]) => x", write_of_read),
        faster("write_of_sum", &["set_at"], "set_at(x[i], x[i] + v) => add_at(x[i], v) where i names no place twice", write_of_sum),
        faster("write_of_everything", &["set_at"], "set_at(x[:], v) => broadcast_to(v, shape(x))", write_of_everything),
        faster("write_of_zeros", &["add_at", "set_at"], "add_at(x[1], 0) => x, set_at(zeros[1], 0) => zeros, of places that certainly are there", write_of_zeros),
        faster("add_to_zeros", &["add_at"], "add_at(zeros[i], v) => set_at(zeros[i], v) where i names no place twice", add_to_zeros),
        faster(
            "add_of_write", &["add"],
            "x + add_at(zeros[i], v) => add_at(x[i], v), also of set_at, where i names no place twice",
            add_of_write,
        ),
        faster("index_of_join", &["index"], "stack([x, y])[0] => x, concatenate([x, y])[a:b] => a part of x or y, concatenate([x, y])[:, i] => concatenate([x[:, i], y[:, i]])", index_of_join),
        faster("index_by_range", &["index", "set_at", "add_at"], "x[[2, 3, 4]] => x[2:5], of a constant within a known length, also in writes", index_by_range),
        faster("take_by_range", &["take"], "take(x, [2, 3, 4], axis=0) => x[2:5], of a constant within a known length", take_by_range),
        faster("index_of_elementwise", &["index"], "f(x, y)[i] => f(x[i], y[i]), if nothing else reads f(x, y)", index_of_elementwise),
        faster("index_of_expand", &["index"], "expand_dims(x, axis=0)[0, i] => x[i]", index_of_expand),
        faster("index_of_transpose", &["index"], "transpose(x)[i] => transpose(x[..., i])", index_of_transpose),
        faster(
            "index_of_reduction", &["index"],
            "sum(x, axis=1)[i] => sum(x[i], axis=1), also of softmax along other axes, if nothing else reads it",
            index_of_reduction,
        ),
        faster("index_of_broadcast", &["index"], "broadcast_to(x, s)[i, j] => x[j], where i is one place along axes that are spread; what is left of these is spread again", index_of_broadcast),
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
    /// A position that a scalar says.
    Place(ValueId),
    Slice { start: Option<i64>, stop: Option<i64>, step: i64 },
    /// A slice with bounds that scalars say.
    Cut { start: Bound, stop: Bound, step: i64 },
}

const ALL: Axis = Axis::Slice { start: None, stop: None, step: 1 };
const BACKWARDS: Axis = Axis::Slice { start: None, stop: None, step: -1 };

impl Axis {
    fn is_all(self, length: Option<usize>) -> bool {
        match self {
            Axis::Slice { start, stop, step } => {
                let from_start = start.is_none_or(|start| start == 0);
                let to_end = stop.is_none_or(|stop| length.is_some_and(|length| stop >= length as i64));
                step == 1 && from_start && to_end
            }
            _ => false,
        }
    }

    /// Whether the axis is not there afterwards.
    fn drops(self) -> bool {
        matches!(self, Axis::At(_) | Axis::Place(_))
    }

    /// As an item of an index; what it refers to goes behind the operands.
    fn item(self, operands: &mut Vec<ValueId>, first: usize) -> IndexItem {
        let mut refer = |value: ValueId| {
            operands.push(value);
            operands.len() - 1 - first
        };
        let bound = |bound: Option<i64>| bound.map_or(IndexBound::Open, IndexBound::At);
        match self {
            Axis::At(at) => IndexItem::At(at),
            Axis::Place(value) => IndexItem::Operand(refer(value)),
            Axis::Slice { start, stop, step } => IndexItem::Slice { start: bound(start), stop: bound(stop), step },
            Axis::Cut { start, stop, step } => {
                let mut bound = |bound: Bound| match bound {
                    Bound::Open => IndexBound::Open,
                    Bound::At(at) => IndexBound::At(at),
                    Bound::Scalar(value) => IndexBound::Operand(refer(value)),
                };
                let (start, stop) = (bound(start), bound(stop));
                IndexItem::Slice { start, stop, step }
            }
        }
    }
}

/// `x` at an index; `x` itself where that is everything.
fn at(site: &mut Site<'_>, x: ValueId, axes: &[Axis]) -> crate::error::Result<ValueId> {
    if axes.iter().all(|item| *item == ALL) {
        return Ok(x);
    }
    let mut operands = vec![x];
    let items = axes.iter().map(|axis| axis.item(&mut operands, 1)).collect();
    site.apply("index", &operands, Attributes::new().with("index", Attribute::Index(items)))
}

/// One entry per axis, of an index of positions and slices alone; `given` are the operands that it refers to.
fn basic(site: &Site<'_>, items: &[IndexItem], given: &[ValueId], rank: usize) -> Option<Vec<Axis>> {
    let scalar = |number: usize| {
        let value = *given.get(number)?;
        (site.ty(value).rank() == 0 && site.ty(value).dtype.is_integer()).then_some(value)
    };
    let bound = |bound: &IndexBound| match bound {
        IndexBound::Open => Some(Bound::Open),
        IndexBound::At(at) => Some(Bound::At(*at)),
        IndexBound::Operand(number) => scalar(*number).map(Bound::Scalar),
    };
    let mut axes = Vec::new();
    let taken = items.iter().filter(|item| !matches!(item, IndexItem::Ellipsis)).count();
    for item in items {
        match item {
            IndexItem::At(at) => axes.push(Axis::At(*at)),
            IndexItem::Operand(number) => axes.push(Axis::Place(scalar(*number)?)),
            IndexItem::Slice { start, stop, step } => {
                let literal = |bound: Bound| match bound {
                    Bound::Open => Some(None),
                    Bound::At(at) => Some(Some(at)),
                    Bound::Scalar(_) => None,
                };
                let (start, stop, step) = (bound(start)?, bound(stop)?, *step);
                axes.push(match (literal(start), literal(stop)) {
                    (Some(start), Some(stop)) => Axis::Slice { start, stop, step },
                    _ => Axis::Cut { start, stop, step },
                });
            }
            IndexItem::Ellipsis => axes.extend(vec![ALL; rank.checked_sub(taken)?]),
            IndexItem::NewAxis => return None,
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
    let (&x, given) = operands.split_first()?;
    Some((x, basic(site, attributes.index("index").ok()?, given, site.ty(x).rank())?))
}

/// The same of the node itself, if that is an index.
fn own_index(site: &Site<'_>) -> Option<(ValueId, Vec<Axis>)> {
    basic_index(site, site.node().output(0))
}

/// What the node indexes, if it does so by slices and by positions that certainly are there.
pub(super) fn own_basic_index(site: &Site<'_>) -> Option<ValueId> {
    let (x, axes) = own_index(site)?;
    let certain = |(axis, item): (usize, &Axis)| match item {
        Axis::At(_) => length(site, x, axis).is_some(),
        Axis::Place(_) => false,
        Axis::Slice { .. } | Axis::Cut { .. } => true,
    };
    axes.iter().enumerate().all(certain).then_some(x)
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

fn index_of_single(site: &mut Site<'_>) -> Found {
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
            Axis::Place(_) | Axis::Cut { .. } => None,
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
    composed_anywhere((start, stop, step), outer)
}

/// The same where the length is not known: of bounds that count from one end only.
fn composed_anywhere((start, stop, step): (Option<i64>, Option<i64>, i64), outer: Axis) -> Option<Axis> {
    let from_front = |bound: Option<i64>| bound.unwrap_or(0) >= 0;
    let from_end = |bound: Option<i64>| bound.is_none_or(|bound| bound < 0);
    // Backwards the whole axis: the nth place is the nth from the end.
    if step == -1 && start.is_none() && stop.is_none() {
        let turned = |at: i64| at.checked_add(1).and_then(i64::checked_neg);
        return match outer {
            Axis::At(at) => Some(Axis::At(turned(at)?)),
            Axis::Slice { start, stop, step } => {
                let bound = |bound: Option<i64>| bound.map_or(Some(None), |bound| turned(bound).map(Some));
                Some(Axis::Slice { start: bound(start)?, stop: bound(stop)?, step: step.checked_neg()? })
            }
            Axis::Place(_) | Axis::Cut { .. } => None,
        };
    }
    let start = start.unwrap_or(0);
    match outer {
        // Backwards through a slice: from before its end to its start.
        Axis::Slice { start: None, stop: None, step: -1 } if step == 1 && start >= 0 => {
            let before = |bound: i64| bound.checked_sub(1);
            let first = match stop {
                None => None,
                Some(0) => return None,
                Some(stop) => Some(before(stop)?),
            };
            Some(Axis::Slice { start: first, stop: if start == 0 { None } else { Some(before(start)?) }, step: -1 })
        }
        Axis::At(at) if at >= 0 && step > 0 && start >= 0 => {
            let place = start.checked_add(at.checked_mul(step)?)?;
            stop.is_none_or(|stop| stop >= 0 && place < stop).then_some(Axis::At(place))
        }
        // From the end of what leaves the last few out.
        Axis::At(at) if step == 1 && start == 0 && from_end(stop) => Some(Axis::At(stop.unwrap_or(0).checked_add(at)?)),
        Axis::Slice { start: from, stop: to, step: again } if again > 0 && step > 0 && start >= 0 && from_front(from) => {
            let first = start.checked_add(from.unwrap_or(0).checked_mul(step)?)?;
            let end = match (stop, to) {
                (None, None) => None,
                (Some(stop), None) if stop >= 0 => Some(stop),
                (None, Some(to)) if to >= 0 => Some(start.checked_add(to.checked_mul(step)?)?),
                (Some(stop), Some(to)) if stop >= 0 && to >= 0 => Some(stop.min(start.checked_add(to.checked_mul(step)?)?)),
                // Of what leaves the last few out, it leaves some more out.
                (stop, to) if step == 1 && from_end(stop) && from_end(to) => Some(stop.unwrap_or(0).checked_add(to.unwrap_or(0))?),
                _ => return None,
            };
            Some(Axis::Slice { start: Some(first).filter(|&first| first > 0), stop: end, step: step.checked_mul(again)? })
        }
        // The last few of what leaves the very last out.
        Axis::Slice { start: Some(from), stop: to, step: again } if again > 0 && step == 1 && start == 0 && from < 0 && from_end(stop) && from_end(to) => {
            let stop = stop.unwrap_or(0);
            let end = stop.checked_add(to.unwrap_or(0))?;
            Some(Axis::Slice { start: Some(stop.checked_add(from)?), stop: if end == 0 { None } else { Some(end) }, step: again })
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
            Axis::At(_) | Axis::Place(_) => Some(item),
            Axis::Cut { .. } => outer.next().filter(|next| next.is_all(None)).map(|_| item),
            Axis::Slice { .. } => outer.next().and_then(|next| composed(item, next, length(site, x, axis))),
        };
        match both {
            Some(both) => axes.push(both),
            None => return Ok(None),
        }
    }
    let value = at(site, x, &axes)?;
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
        let sizes = sizes_of(site, &shape);
        let value = site.apply("broadcast_to", &[v, sizes], Attributes::new())?;
        return one(site, value);
    }
    let rank = site.ty(x).rank();
    let writes = own.index("index").ok().and_then(|items| basic(site, items, &written[2..], rank));
    let (Some(reads), Some(writes)) = (basic(site, &items, &operands[1..], rank), writes) else { return Ok(None) };
    if reads.iter().zip(&writes).enumerate().any(|(axis, (&a, &b))| apart(a, b, length(site, x, axis))) {
        let value = site.apply("index", &[&[x], &operands[1..]].concat(), attributes)?;
        return one(site, value);
    }
    read_within_write(site, x, v, &reads, &writes)
}

/// A read of places that are all within what was written before is one of that.
fn read_within_write(site: &mut Site<'_>, x: ValueId, v: ValueId, reads: &[Axis], writes: &[Axis]) -> Found {
    let root = site.node().output(0);
    let mut inside = Vec::new();
    for (axis, (&read, &write)) in reads.iter().zip(writes).enumerate() {
        let length = length(site, x, axis);
        let Axis::Slice { start, stop: _, step: 1 } = write else {
            // A position is no axis of what was written.
            if read != write || !write.drops() {
                return Ok(None);
            }
            continue;
        };
        let start = start.unwrap_or(0);
        let start = match length {
            Some(length) if start < 0 => start + length as i64,
            _ => start,
        };
        if read == write {
            inside.push(ALL);
            continue;
        }
        let back = |bound: i64| bound.checked_sub(start).filter(|&bound| start >= 0 && bound >= 0);
        let part = match read {
            Axis::At(at) => back(if let (true, Some(length)) = (at < 0, length) { at + length as i64 } else { at }).map(Axis::At),
            Axis::Slice { start: Some(from), stop: Some(to), step } if step > 0 => match (back(from), back(to)) {
                (Some(from), Some(to)) => Some(Axis::Slice { start: Some(from), stop: Some(to), step }),
                _ => None,
            },
            _ => None,
        };
        // Put behind the write it has to be the read again.
        let same = |a: Axis, b: Axis| a == b || matches!((a, b, length), (
            Axis::Slice { start: a, stop: b, step: s }, Axis::Slice { start: c, stop: d, step: t }, Some(length)
        ) if s == t && slice_range(length, a, b, s) == slice_range(length, c, d, t));
        match part {
            Some(part) if composed(write, part, length).is_some_and(|both| same(both, read)) => inside.push(part),
            _ => return Ok(None),
        }
    }
    let region = at(site, x, writes)?;
    if site.ty(v).dtype != site.ty(root).dtype || !site.same_shape(v, region) {
        return Ok(None);
    }
    let value = at(site, v, &inside)?;
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
    if let Some(constant) = site.constant(value) {
        return constant.len() <= 4096 && constant.to_f64_vec().into_iter().all(|x| x == 0.0);
    }
    spread(site, value).is_some_and(|found| match found.of {
        Element::Number(number) => number == 0.0,
        Element::Value(x) => site.constant(x).is_some() && is_zeros(site, x),
    })
}

fn write_of_everything(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, v] = operands[..] else { return Ok(None) };
    let ty = site.ty(x).clone();
    let Some(axes) = basic(site, attributes.index("index")?, &[], ty.rank()) else { return Ok(None) };
    if !axes.iter().enumerate().all(|(axis, item)| item.is_all(length(site, x, axis))) || site.ty(v).dtype != ty.dtype {
        return Ok(None);
    }
    if site.fits(site.node().output(0), v) {
        return one(site, v);
    }
    // What may not fit is an error of the write.
    let Some(new) = ty.rank().checked_sub(site.ty(v).rank()) else { return Ok(None) };
    let fits = |(axis, dim): (usize, &Dim)| *dim == Dim::Known(1) || same_length(site.graph(), (v, axis), (x, axis + new));
    if !site.ty(v).dims.iter().enumerate().all(fits) {
        return Ok(None);
    }
    let sizes = site.apply("shape", &[x], Attributes::new())?;
    let value = site.apply("broadcast_to", &[v, sizes], Attributes::new())?;
    one(site, value)
}

fn write_of_zeros(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, v] = operands[..] else { return Ok(None) };
    let Some(axes) = basic(site, attributes.index("index")?, &[], site.ty(x).rank()) else { return Ok(None) };
    let there = axes.iter().enumerate().all(|(axis, item)| !item.drops() || length(site, x, axis).is_some());
    let nothing = is_zeros(site, v) && (site.view().op_name() == "add_at" || is_zeros(site, x));
    if there && nothing { one(site, x) } else { Ok(None) }
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
        let rest: Vec<Axis> = axes.iter().enumerate().filter(|&(other, _)| other != axis).map(|(_, &item)| item).collect();
        if axes[axis] == ALL {
            return join_of_indexed(site, "stack", joined, axis, &axes, &rest);
        }
        let Axis::At(place) = axes[axis] else { return Ok(None) };
        let place = if place < 0 { place + parts.len() as i64 } else { place };
        let Some(&part) = usize::try_from(place).ok().and_then(|place| parts.get(place)) else { return Ok(None) };
        let value = at(site, part, &rest)?;
        return one(site, value);
    }
    let Some((parts, attributes)) = site.made_by(joined, "concatenate") else { return Ok(None) };
    let axis = attributes.axis("axis", rank)?;
    if axes[axis] == ALL {
        return join_of_indexed(site, "concatenate", joined, axis, &axes, &axes);
    }
    let lengths: Option<Vec<usize>> = parts.iter().map(|&part| length(site, part, axis)).collect();
    let Some(lengths) = lengths else { return Ok(None) };
    let total: usize = lengths.iter().sum();
    let (first, count) = match axes[axis] {
        Axis::At(at) => (if at < 0 { at + total as i64 } else { at }, 1),
        Axis::Slice { start, stop, step: 1 } => slice_range(total, start, stop, 1),
        _ => return Ok(None),
    };
    let Ok(first) = usize::try_from(first) else { return Ok(None) };
    let mut start = 0;
    for (&part, &length) in parts.iter().zip(&lengths) {
        if first >= start && first + count <= start + length && count > 0 {
            let mut axes = axes.clone();
            axes[axis] = match axes[axis] {
                Axis::At(_) => Axis::At((first - start) as i64),
                _ => Axis::Slice { start: Some((first - start) as i64), stop: Some((first - start + count) as i64), step: 1 },
            };
            let value = at(site, part, &axes)?;
            return one(site, value);
        }
        start += length;
    }
    Ok(None)
}

/// The join of the parts at an index, if nothing else reads what is joined.
fn join_of_indexed(site: &mut Site<'_>, op: &str, joined: ValueId, axis: usize, axes: &[Axis], of_part: &[Axis]) -> Found {
    const MOST: usize = 16;
    let parts = site.graph().node(joined.node).operands.to_vec();
    if !site.used_once(joined) || parts.len() > MOST {
        return Ok(None);
    }
    let axis = axis - axes[..axis].iter().filter(|item| item.drops()).count();
    let mut indexed = Vec::new();
    for part in parts {
        indexed.push(at(site, part, of_part)?);
    }
    let value = site.apply(op, &indexed, Attributes::new().with("axis", axis as i64))?;
    one(site, value)
}

fn index_by_range(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    // A write has what it writes between what it changes and its index.
    let ahead = if site.view().op_name() == "index" { 1 } else { 2 };
    let (Some(&x), Some(&[positions])) = (operands.first(), operands.get(ahead..)) else { return Ok(None) };
    let mut items = attributes.index("index")?.to_vec();
    let Some(place) = items.iter().position(|item| matches!(item, IndexItem::Operand(0))) else { return Ok(None) };
    // Of the axes before it, none is dropped or new, so that it counts them.
    let plain = items[..place].iter().all(|item| matches!(item, IndexItem::Slice { .. }));
    let literal = items.iter().all(|item| match item {
        IndexItem::Slice { start, stop, .. } => [start, stop].iter().all(|bound| !matches!(bound, IndexBound::Operand(_))),
        _ => true,
    });
    // A position beside an array is an array too.
    let alone = !items.iter().any(|item| matches!(item, IndexItem::At(_)));
    let Some(constant) = site.constant(positions).filter(|constant| constant.rank() == 1 && constant.dtype().is_integer()) else { return Ok(None) };
    let Some(length) = site.ty(x).dims.get(place).and_then(Dim::known) else { return Ok(None) };
    let Some(range) = as_range(&constant.to_i64_vec(), length).filter(|_| plain && literal && alone) else { return Ok(None) };
    items[place] = range.item(&mut Vec::new(), 0);
    let op = site.view().op_name().to_owned();
    let value = site.apply(&op, &operands[..ahead], Attributes::new().with("index", Attribute::Index(items)))?;
    one(site, value)
}

fn index_by_constant(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    // A write has what it writes between what it changes and its index.
    let ahead = if site.view().op_name() == "index" { 1 } else { 2 };
    let items = attributes.index("index")?.to_vec();
    // A position beside an array is an array too.
    let Some(given) = operands.get(ahead..).filter(|given| !given.is_empty() && no_arrays(site, &items, given)) else { return Ok(None) };
    let number = |operand: usize| {
        let constant = site.constant(*given.get(operand)?)?;
        let value = *constant.to_i64_vec().first()?;
        (constant.rank() == 0 && (value >= 0 || constant.dtype().kind() != Kind::Unsigned)).then_some(value)
    };
    let mut left = Vec::new();
    let mut renumbered = |operand: usize| {
        left.push(given[operand]);
        left.len() - 1
    };
    let mut bound = |bound: IndexBound| match bound {
        IndexBound::Operand(operand) => number(operand).map_or_else(|| IndexBound::Operand(renumbered(operand)), IndexBound::At),
        other => other,
    };
    let mut renewed = Vec::new();
    for item in items {
        renewed.push(match item {
            IndexItem::Slice { start, stop, step } => IndexItem::Slice { start: bound(start), stop: bound(stop), step },
            IndexItem::Operand(operand) => match bound(IndexBound::Operand(operand)) {
                IndexBound::At(place) => IndexItem::At(place),
                IndexBound::Operand(operand) => IndexItem::Operand(operand),
                IndexBound::Open => return Ok(None),
            },
            other => other,
        });
    }
    if left.len() == given.len() {
        return Ok(None);
    }
    let op = site.view().op_name().to_owned();
    let operands = [&operands[..ahead], &left].concat();
    let value = site.apply(&op, &operands, Attributes::new().with("index", Attribute::Index(renewed)))?;
    one(site, value)
}

/// Positions of an axis of this length that rise evenly, as a slice.
fn as_range(positions: &[i64], length: usize) -> Option<Axis> {
    let (&first, &last) = (positions.first()?, positions.last()?);
    let step = if positions.len() > 1 { positions[1].checked_sub(first)? } else { 1 };
    let even = positions.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(step));
    (step >= 1 && even && first >= 0 && last < length as i64).then_some(Axis::Slice { start: Some(first), stop: Some(last + 1), step })
}

fn take_by_range(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let [x, positions] = operands[..] else { return Ok(None) };
    let rank = site.ty(x).rank();
    if matches!(attributes.get("axis"), None | Some(Attribute::None)) && rank != 1 {
        return Ok(None);
    }
    let [axis] = attributes.axes("axis", rank)?[..] else { return Ok(None) };
    let Some(constant) = site.constant(positions).filter(|constant| constant.rank() <= 1 && constant.dtype().is_integer()) else { return Ok(None) };
    let (numbers, Some(length)) = (constant.to_i64_vec(), length(site, x, axis)) else { return Ok(None) };
    let item = match (constant.rank(), &numbers[..]) {
        (0, &[place]) if (0..length as i64).contains(&place) => Some(Axis::At(place)),
        (0, _) => None,
        _ => as_range(&numbers, length),
    };
    let Some(item) = item else { return Ok(None) };
    let mut axes = vec![ALL; rank];
    axes[axis] = item;
    let value = at(site, x, &axes)?;
    one(site, value)
}

fn index_of_elementwise(site: &mut Site<'_>) -> Found {
    let Some((whole, axes)) = own_index(site) else { return Ok(None) };
    let view = site.graph().node(whole.node);
    let Some((op, _)) = view.apply() else { return Ok(None) };
    let fits = op.is_elementwise() && !op.can_fail() && !op.is_identity() && op.name() != "grad_barrier" && view.results.len() == 1;
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

fn index_of_expand(site: &mut Site<'_>) -> Found {
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

fn index_of_product(site: &mut Site<'_>) -> Found {
    let Some((product, axes)) = own_index(site) else { return Ok(None) };
    let Some((operands, _)) = site.made_by(product, "matmul") else { return Ok(None) };
    let [x, y] = operands[..] else { return Ok(None) };
    if site.ty(x).rank() != 2 || site.ty(y).rank() != 2 || !site.used_once(product) {
        return Ok(None);
    }
    let (mut x, mut y) = (x, y);
    x = at(site, x, &[axes[0], ALL])?;
    y = at(site, y, &[ALL, axes[1]])?;
    let value = site.apply("matmul", &[x, y], Attributes::new())?;
    one(site, value)
}

/// How two neighbours in a join along an axis are one part of one value, if they are: the value, and that part.
pub(super) fn adjacent(site: &mut Site<'_>, first: ValueId, second: ValueId, axis: usize) -> crate::error::Result<Option<ValueId>> {
    let (Some((x, a)), Some((y, b))) = (basic_index(site, first), basic_index(site, second)) else { return Ok(None) };
    if x != y || a.len() != b.len() || site.ty(first).rank() != a.len() {
        return Ok(None);
    }
    let others = a.iter().zip(&b).enumerate().all(|(at, (a, b))| at == axis || a == b);
    match (a[axis], b[axis]) {
        (Axis::Slice { start, stop: Some(end), step: 1 }, Axis::Slice { start: Some(begin), stop, step: 1 })
            if others && end == begin && (0..=begin).contains(&start.unwrap_or(0)) && stop.is_none_or(|stop| stop >= begin) =>
        {
            let mut both = a;
            both[axis] = Axis::Slice { start, stop, step: 1 };
            at(site, x, &both).map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places that an item names of an axis that has these; nothing where one is not there.
    fn places(of: &[i64], item: Axis) -> Option<Vec<i64>> {
        match item {
            Axis::At(at) => {
                let at = if at < 0 { at + of.len() as i64 } else { at };
                Some(vec![*of.get(usize::try_from(at).ok()?)?])
            }
            Axis::Slice { start, stop, step } => {
                let (first, count) = slice_range(of.len(), start, stop, step);
                Some((0..count as i64).map(|i| of[(first + i * step) as usize]).collect())
            }
            Axis::Place(_) | Axis::Cut { .. } => None,
        }
    }

    #[test]
    fn items_of_items_name_the_same_places() {
        let bounds: Vec<Option<i64>> = std::iter::once(None).chain((-3..=3).map(Some)).collect();
        let mut slices = Vec::new();
        for &start in &bounds {
            for &stop in &bounds {
                slices.extend([1, 2, 3, -1, -2].map(|step| Axis::Slice { start, stop, step }));
            }
        }
        let outer: Vec<Axis> = slices.iter().copied().chain((-4..=4).map(Axis::At)).collect();
        let mut anywhere = 0;
        for &first in &slices {
            for &second in &outer {
                let everywhere = composed(first, second, None);
                anywhere += usize::from(everywhere.is_some());
                for length in 0..=7 {
                    let axis: Vec<i64> = (0..length as i64).collect();
                    let wanted = places(&places(&axis, first).unwrap(), second);
                    for (both, known) in [(everywhere, false), (composed(first, second, Some(length)), true)] {
                        let Some(both) = both else { continue };
                        assert_eq!(places(&axis, both), wanted, "{first:?} {second:?} of {length}, known: {known}: {both:?}");
                    }
                }
            }
        }
        assert!(anywhere > 1000, "{anywhere} are known of any length");
    }
}
