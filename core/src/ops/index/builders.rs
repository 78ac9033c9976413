//! Methods of [`Var`] for the family.

use super::{index_attribute, items_on};
use crate::graph::Var;
use crate::ops::{Attributes, IndexBound, IndexItem, where_};
use crate::tensor::DType;

impl Var {
    /// The element, row or slab at one position of the first axis; negative ones count from the end.
    #[track_caller]
    pub fn at(&self, position: i64) -> Var {
        self.index(vec![IndexItem::At(position)], &[])
    }

    /// A range of one axis with literal bounds; `None` is the axis' end.
    #[track_caller]
    pub fn slice(&self, axis: usize, start: Option<i64>, stop: Option<i64>) -> Var {
        // An axis that is not there is for the index to tell of, which needs no more items than axes.
        let axis = axis.min(self.ty().map_or(0, |ty| ty.rank()));
        let end = |end: Option<i64>| end.map_or(IndexBound::Open, IndexBound::At);
        let mut items = items_on(axis);
        items.pop();
        items.push(IndexItem::Slice { start: end(start), stop: end(stop), step: 1 });
        self.index(items, &[])
    }

    /// `x[start:stop:step]` along one axis with bounds and a step, integer scalars, that a call computes; `None` is the
    /// axis' end at which steps in that direction begin or end. A step of 0 is an error of the call.
    #[track_caller]
    pub fn slice_by(&self, axis: i64, start: Option<&Var>, stop: Option<&Var>, step: &Var) -> Var {
        let positions = stepped(&self.shape().at(axis), start, stop, step);
        self.take(&positions, axis)
    }

    /// Elements at positions on one axis.
    #[track_caller]
    pub fn take(&self, indices: &Var, axis: i64) -> Var {
        Var::apply("take", &[self.clone(), indices.clone()], Attributes::new().with("axis", axis))
    }

    /// 1 where a new last axis counts to the label and 0 elsewhere.
    #[track_caller]
    pub fn one_hot(&self, depth: usize) -> Var {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        Var::apply("one_hot", std::slice::from_ref(self), Attributes::new().with("depth", depth))
    }

    /// Elements at an index; the items refer to `operands` by number.
    #[track_caller]
    pub fn index(&self, items: Vec<IndexItem>, operands: &[Var]) -> Var {
        Var::apply("index", &[std::slice::from_ref(self), operands].concat(), index_attribute(items))
    }
}

/// The positions of a slice of an axis, as Python's `slice.indices`.
#[track_caller]
pub(crate) fn stepped(length: &Var, start: Option<&Var>, stop: Option<&Var>, step: &Var) -> Var {
    let whole = |var: &Var| var.cast(DType::I64);
    let (zero, one) = (Var::scalar(0i64), Var::scalar(1i64));
    let step = whole(step);
    let message = Attributes::new().with("message", "the step of a slice is not 0");
    let step = Var::apply("assert", &[step.clone(), step.ne(&zero)], message);
    let forward = step.gt(&zero);
    let low = where_(&forward, &zero, &-&one);
    let high = &low + length;
    let bound = |given: Option<&Var>, open: &Var| match given {
        None => open.clone(),
        Some(given) => {
            let given = whole(given);
            where_(&given.lt(&zero), &(&given + length), &given).maximum(&low).minimum(&high)
        }
    };
    let start = bound(start, &where_(&forward, &low, &high));
    let stop = bound(stop, &where_(&forward, &high, &low));
    // Rounded up, of a distance in the direction of the step.
    let count = -((&start - stop).floor_div(&step));
    let count = count.maximum(&zero);
    start + step * Var::apply("arange", &[count], Attributes::new())
}
