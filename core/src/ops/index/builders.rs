//! Methods of [`Var`] for the family.

use super::{index_attribute, items_on};
use crate::graph::Var;
use crate::ops::{Attributes, IndexBound, IndexItem};

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
