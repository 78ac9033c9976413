//! Reads and writes at an index: of one another, and of what is computed element by element.

mod bounds;
mod compose;
mod joins;
mod parts;
mod positions;
mod reads;
mod writes;

pub(super) use joins::adjacent;
pub(super) use writes::is_zeros;

use super::{Local, Site, canonical, dropping, faster, stable};
use crate::graph::ValueId;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::rewrite::lengths::Bound;
use crate::rewrite::shapes::is_edge;

pub(super) fn locals() -> Vec<Local> {
    vec![
        canonical("index_of_everything", &["index"], "x[:, ...] => x", reads::index_of_everything),
        canonical("index_of_last_axes", &["index", "set_at", "add_at"], "x[i, :] => x[i], also in writes: the last axes need not be named where they are taken as they are", reads::index_of_last_axes),
        canonical("index_of_single", &["index"], "x[:, 0] => squeeze(x, axis=1) of an axis of length 1", reads::index_of_single),
        canonical("index_by_constant", &["index", "set_at", "add_at"], "x[i64(2)] => x[2], also of bounds of slices and in writes", positions::index_by_constant),
        canonical("index_from_end", &["index"], "x[shape(x)[0] - 1] => x[-1], also as a bound of a slice", positions::index_from_end),
        canonical("index_of_new_axes", &["index"], "x[:, None] => expand_dims(x, axis=1)", reads::index_of_new_axes),
        canonical("index_backwards", &["index"], "x[::-1] => flip(x, axis=0), also along other axes", reads::index_backwards),
        stable(
            "loss_of_rows", &["index"],
            "log_softmax(x, axis=-1)[arange(n), y] => -cross_entropy(x, y) of a matrix of n rows, if nothing else reads the log_softmax",
            reads::loss_of_rows,
        ),
        canonical("index_of_index", &["index"], "x[a:b][c:d], x[a:b][i], flip(x)[i] and the like => one index, also of scalars that count from the front", compose::index_of_index),
        dropping("read_after_write", &["index"], "set_at(x[i], v)[i] => v, set_at(x[i], v)[j] => x[j] of other places, set_at(x[1:4], v)[2:3] => v[1:2]", writes::read_after_write),
        dropping("write_after_write", &["set_at"], "set_at(set_at(x[i], v)[i], w) => set_at(x[i], w), also after add_at", writes::write_after_write),
        canonical("write_of_read", &["set_at"], "set_at(x[i], x[i]) => x", writes::write_of_read),
        faster("write_of_sum", &["set_at"], "set_at(x[i], x[i] + v) => add_at(x[i], v) where i names no place twice", writes::write_of_sum),
        dropping("write_of_everything", &["set_at"], "set_at(x[:], v) => broadcast_to(v, shape(x))", writes::write_of_everything),
        dropping("write_of_zeros", &["add_at", "set_at"], "add_at(x[1], 0) => x, set_at(zeros[1], 0) => zeros, of places that certainly are there", writes::write_of_zeros),
        canonical("add_to_zeros", &["add_at"], "add_at(zeros[i], v) => set_at(zeros[i], v) where i names no place twice", writes::add_to_zeros),
        faster(
            "add_of_write", &["add", "sub"],
            "x + add_at(zeros[i], v) => add_at(x[i], v), also of set_at, where i names no place twice; x - ... => add_at(x[i], -v)",
            writes::add_of_write,
        ),
        dropping("index_of_join", &["index"], "stack([x, y])[0] => x, concatenate([x, y])[a:b] => a part of x or y or a join of both, concatenate([x, y])[:, i] => concatenate([x[:, i], y[:, i]])", joins::index_of_join),
        canonical("index_by_range", &["index", "set_at", "add_at"], "x[[2, 3, 4]] => x[2:5], of a constant within a known length, and x[arange(k, shape(x)[0])] => x[k:], also in writes", positions::index_by_range),
        canonical("take_by_range", &["take"], "take(x, [2, 3, 4], axis=0) => x[2:5], of a constant within a known length, and of arange as in an index", positions::take_by_range),
        stable("index_of_elementwise", &["index"], "f(x, y)[i] => f(x[i], y[i]), if nothing else reads f(x, y)", reads::index_of_elementwise),
        canonical("index_of_expand", &["index"], "expand_dims(x, axis=0)[0, i] => x[i]", reads::index_of_expand),
        canonical("index_of_transpose", &["index"], "transpose(x)[i] => transpose(x[..., i])", reads::index_of_transpose),
        stable(
            "index_of_reduction", &["index"],
            "sum(x, axis=1)[i] => sum(x[i], axis=1), also of softmax along other axes, if nothing else reads it",
            reads::index_of_reduction,
        ),
        canonical("index_of_broadcast", &["index"], "broadcast_to(x, s)[i, j] => x[j], where i is one place along axes that are spread; what is left of these is spread again", reads::index_of_broadcast),
        stable(
            "index_of_rows", &["index"],
            "cumsum(x, axis=1)[i] => cumsum(x[i]), also of sort, and inv(a)[i] => inv(a[i]) of stacks of matrices, if nothing else reads it",
            parts::index_of_rows,
        ),
        canonical("index_of_take", &["index"], "x[j][i] => x[j[i]] of positions j, and take(x, j, axis=0)[i], if nothing else reads it", parts::index_of_take),
        canonical("index_of_squeeze", &["index"], "squeeze(x, axis=1)[i] => squeeze(x[i], axis=0)", parts::index_of_squeeze),
        faster(
            "index_of_product", &["index"],
            "(x @ y)[i, j] => x[i] @ y[:, j] of matrices and vectors, and of stacks of these, if nothing else reads x @ y",
            parts::index_of_product,
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
            Axis::Slice { start: Some(0), stop, step: step @ 1.. } => IndexItem::Slice { start: IndexBound::Open, stop: bound(stop), step },
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
    let named = axes.iter().rposition(|item| *item != ALL).map_or(0, |last| last + 1);
    let items = axes[..named].iter().map(|axis| axis.item(&mut operands, 1)).collect();
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
                axes.push(slice_of(bound(start)?, bound(stop)?, *step));
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

fn slice_of(start: Bound, stop: Bound, step: i64) -> Axis {
    let literal = |bound: Bound| match bound {
        Bound::Open => Some(None),
        Bound::At(at) => Some(Some(at)),
        Bound::Scalar(_) => None,
    };
    match (literal(start), literal(stop)) {
        (Some(start), Some(stop)) => Axis::Slice { start, stop, step },
        _ => Axis::Cut { start, stop, step },
    }
}

/// What is indexed, and how, if that is basic.
fn basic_index(site: &Site<'_>, value: ValueId) -> Option<(ValueId, Vec<Axis>)> {
    let (operands, attributes) = site.made_by(value, "index")?;
    let (&x, given) = operands.split_first()?;
    let mut axes = basic(site, attributes.index("index").ok()?, given, site.ty(x).rank())?;
    for (axis, item) in axes.iter_mut().enumerate() {
        if let Axis::Cut { start, stop, step: step @ 1.. } = *item {
            // Where it would begin and end anyway.
            let edge = |bound: Bound, end: bool| match bound {
                Bound::Scalar(scalar) if is_edge(site.graph(), scalar, (x, axis), end) => Bound::Open,
                bound => bound,
            };
            *item = slice_of(edge(start, false), edge(stop, true), step);
        }
    }
    Some((x, axes))
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
