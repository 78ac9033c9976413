//! Methods of [`Var`] and functions for the family.

use crate::graph::Var;
use crate::ops::sizes::sizes;
use crate::ops::{Attributes, IndexBound, IndexItem};
use crate::tensor::{Tensor, Type};

impl Var {
    /// The lengths of the axes, as an i64 vector.
    #[track_caller]
    pub fn shape(&self) -> Var {
        Var::apply("shape", std::slice::from_ref(self), Attributes::new())
    }

    /// The number of elements, as an i64 scalar.
    #[track_caller]
    pub fn size(&self) -> Var {
        self.shape().prod(None)
    }

    /// The elements in another shape; one size may be -1.
    #[track_caller]
    pub fn reshape(&self, sizes: &[i64]) -> Var {
        self.reshape_to(&Var::constant(Tensor::vector(sizes.to_vec())))
    }

    /// The elements in a shape that is itself a value.
    #[track_caller]
    pub fn reshape_to(&self, shape: &Var) -> Var {
        Var::apply("reshape", &[self.clone(), shape.clone()], Attributes::new())
    }

    /// The value repeated to a shape that is itself a value.
    #[track_caller]
    pub fn broadcast_to_var(&self, shape: &Var) -> Var {
        Var::apply("broadcast_to", &[self.clone(), shape.clone()], Attributes::new())
    }

    /// The value repeated to a shape.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Var {
        self.broadcast_to_var(&sizes(shape))
    }

    /// The axes in another order.
    #[track_caller]
    pub fn transpose(&self, axes: &[i64]) -> Var {
        Var::apply("transpose", std::slice::from_ref(self), Attributes::new().with("axes", axes))
    }

    /// The axes in reverse order.
    #[track_caller]
    pub fn t(&self) -> Var {
        Var::apply("transpose", std::slice::from_ref(self), Attributes::new())
    }

    /// The last two axes exchanged.
    #[track_caller]
    pub(crate) fn swap_last(&self) -> Var {
        let rank = self.ty().map_or(2, Type::rank) as i64;
        let mut axes: Vec<i64> = (0..rank).collect();
        if let [.., a, b] = axes.as_mut_slice() {
            std::mem::swap(a, b);
        }
        self.transpose(&axes)
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn swapaxes(&self, axis1: i64, axis2: i64) -> Var {
        let attributes = Attributes::new().with("axis1", axis1).with("axis2", axis2);
        Var::apply("swapaxes", std::slice::from_ref(self), attributes)
    }

    /// The elements in reverse order along one axis.
    #[track_caller]
    pub fn flip(&self, axis: i64) -> Var {
        Var::apply("flip", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// A new axis of length 1.
    #[track_caller]
    pub fn expand_dims(&self, axis: i64) -> Var {
        Var::apply("expand_dims", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// One axis of length 1 dropped.
    #[track_caller]
    pub fn squeeze(&self, axis: i64) -> Var {
        Var::apply("squeeze", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// The elements as a vector.
    #[track_caller]
    pub fn flatten(&self) -> Var {
        Var::apply("flatten", std::slice::from_ref(self), Attributes::new())
    }

    /// Zeros of the same shape and dtype.
    #[track_caller]
    pub fn zeros_like(&self) -> Var {
        Var::apply("zeros_like", std::slice::from_ref(self), Attributes::new())
    }

    /// Ones of the same shape and dtype.
    #[track_caller]
    pub fn ones_like(&self) -> Var {
        Var::apply("ones_like", std::slice::from_ref(self), Attributes::new())
    }
}

/// Values joined along an axis.
#[track_caller]
pub fn concatenate(values: &[Var], axis: i64) -> Var {
    Var::apply("concatenate", values, Attributes::new().with("axis", axis))
}

/// Values joined along a new axis.
#[track_caller]
pub fn stack(values: &[Var], axis: i64) -> Var {
    Var::apply("stack", values, Attributes::new().with("axis", axis))
}

impl Var {
    /// The part from `start` to `stop`, both i64 scalars, along an axis.
    #[track_caller]
    pub(crate) fn slice_between(&self, axis: usize, start: &Var, stop: &Var) -> Var {
        let part = IndexItem::Slice { start: IndexBound::Operand(0), stop: IndexBound::Operand(1), step: 1 };
        self.on_axis(axis, part, &[start.clone(), stop.clone()])
    }

    /// One position of an axis, which is dropped.
    #[track_caller]
    pub(crate) fn at_axis(&self, axis: usize, position: i64) -> Var {
        self.on_axis(axis, IndexItem::At(position), &[])
    }

    /// An index of this axis, the axes before it whole.
    #[track_caller]
    fn on_axis(&self, axis: usize, item: IndexItem, operands: &[Var]) -> Var {
        let mut items = vec![IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 }; axis];
        items.push(item);
        self.index(items, operands)
    }
}
