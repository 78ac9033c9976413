//! Bounds of slices, and positions, that certainly count from the front.

use crate::graph::{Graph, ValueId};
use crate::rewrite::facts::{Fact, certain};
use crate::rewrite::lengths::Bound;
use crate::tensor::DType;

/// What a bound that certainly counts from the front is the sum of.
pub(in crate::rewrite) struct Front {
    /// Scalars, none of which is negative, in order.
    pub(in crate::rewrite) scalars: Vec<ValueId>,
    /// A number besides.
    pub(in crate::rewrite) number: usize,
    /// How many of the scalars may be too large to be added to anything.
    pub(in crate::rewrite) large: usize,
    /// Whether the sum certainly did not wrap around.
    pub(in crate::rewrite) adds_up: bool,
}

/// What a bound of a slice, or a position, is the sum of, if that is certainly none that counts from the end.
pub(in crate::rewrite) fn from_front(graph: &Graph, bound: Bound) -> Option<Front> {
    const MOST: usize = 12;
    const LARGEST: i64 = 1 << 31;
    let (mut scalars, mut number, mut pending, mut seen) = (Vec::new(), 0, Vec::new(), 0);
    match bound {
        Bound::Open => {}
        Bound::At(at) => number = at,
        Bound::Scalar(scalar) => pending.push(scalar),
    }
    let signed = |value: ValueId| graph.ty(value).dtype.is_integer() && graph.ty(value).dtype != DType::U64;
    while let Some(value) = pending.pop() {
        seen += 1;
        if seen > MOST {
            return None;
        }
        let view = graph.node(value.node);
        if let Some(constant) = view.constant() {
            number += constant.value.to_i64_vec().first().copied().filter(|number| (0..LARGEST).contains(number))?;
            continue;
        }
        match (view.op_name(), view.operands) {
            ("add", &[a, b]) if graph.ty(value).dtype == DType::I64 => pending.extend([a, b]),
            ("cast", &[of]) if graph.ty(value).dtype == DType::I64 && signed(of) => pending.push(of),
            _ if signed(value) && certain(graph, value, Fact::NonNegative) => scalars.push(value),
            _ => return None,
        }
    }
    scalars.sort_unstable();
    let short = |&&value: &&ValueId| {
        let view = graph.node(value.node);
        let length = view.op_name() == "index" && view.operands.first().is_some_and(|of| graph.node(of.node).op_name() == "shape");
        length || graph.ty(value).dtype != DType::I64 || matches!(view.op_name(), "size" | "argmax" | "argmin" | "count_nonzero")
    };
    let large = scalars.len() - scalars.iter().filter(short).count();
    let number = usize::try_from(number).ok().filter(|&number| number < LARGEST as usize)?;
    let adds_up = large == 0 || (scalars.len() == 1 && number == 0);
    Some(Front { scalars, number, large, adds_up })
}
