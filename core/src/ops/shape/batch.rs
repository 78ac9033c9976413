//! Shapes of many rows at once.

use super::{Kind::*, ShapeOp, join_axis, order};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{constant, vector};
use crate::ops::{Batch, Batched, length};
use crate::tensor::Dim;

pub(super) fn batch(op: &ShapeOp, context: &Batch<'_>) -> Result<Batched> {
    if matches!(op.kind, Reshape | BroadcastTo) && context.is_batched(1) {
        return Ok(Batched::Default);
    }
    let (rank, attributes) = (context.rank(0)?, context.attributes);
    let x = &context.operands[0];
    let apply = |operands: &[Var], attributes| Ok(Batched::Rows(vec![Var::apply(op.name, operands, attributes)]));
    let all = || (0..context.operands.len()).map(|at| context.spread(at)).collect::<Vec<Var>>();
    match op.kind {
        ShapeOf => Ok(Batched::Same(vec![x.shape().slice(0, Some(1), None)])),
        Flatten => Ok(Batched::Rows(vec![context.flat_rows(0)?])),
        Reshape => Ok(Batched::Rows(vec![x.reshape_to(&reshaped(context)?)])),
        BroadcastTo => {
            let wanted = context.results[0].ty()?.rank();
            Ok(Batched::Rows(vec![context.aligned(0, wanted)?.broadcast_to_var(&context.sizes(1))]))
        }
        Transpose => {
            let order = order(attributes, rank)?.into_iter().map(|axis| axis as i64 + 1);
            Ok(Batched::Rows(vec![x.transpose(&std::iter::once(0).chain(order).collect::<Vec<_>>())]))
        }
        Swapaxes => {
            let (one, other) = (attributes.axis("axis1", rank)?, attributes.axis("axis2", rank)?);
            Ok(Batched::Rows(vec![x.swapaxes(one as i64 + 1, other as i64 + 1)]))
        }
        Flip => apply(context.operands, context.shifted("axis", rank)?),
        ExpandDims => apply(context.operands, context.shifted("axis", context.results[0].ty()?.rank())?),
        Squeeze => {
            let ones: Vec<Option<bool>> =
                context.single[0].ty()?.dims.iter().map(|dim| dim.known().map(|length| length == 1)).collect();
            let axes: Vec<i64> = op.squeezed(attributes, &ones)?.into_iter().map(|axis| axis as i64 + 1).collect();
            apply(context.operands, attributes.clone().with("axis", axes))
        }
        Concatenate => apply(&all(), attributes.clone().with("axis", join_axis(attributes, rank, 0)? as i64 + 1)),
        Stack => apply(&all(), attributes.clone().with("axis", join_axis(attributes, rank, 1)? as i64 + 1)),
    }
}

/// The sizes of a reshape, with the number of rows in front: a -1 among them would not tell of no rows.
fn reshaped(context: &Batch<'_>) -> Result<Var> {
    let sizes = &context.operands[1];
    let known: Option<Vec<usize>> = context.results[0].ty()?.dims.iter().map(Dim::known).collect();
    if let Some(known) = known {
        let sizes = known.into_iter().map(|size| Var::scalar(size as i64));
        return Ok(vector(&std::iter::once(context.rows()).chain(sizes).collect::<Vec<_>>()));
    }
    let written = match constant(sizes).map(crate::tensor::Tensor::to_i64_vec) {
        Some(written) if written.contains(&-1) => written,
        _ => return Ok(context.sizes(1)),
    };
    let others: i64 = written.iter().filter(|&&size| size >= 0).product();
    let x = &context.operands[0];
    let count = (1..=context.rank(0)?).fold(Var::scalar(1i64), |count, axis| count * length(x, axis));
    let open = Var::apply("floor_div", &[count, Var::scalar(others)], crate::ops::Attributes::new());
    let sizes = written.iter().map(|&size| if size < 0 { open.clone() } else { Var::scalar(size) });
    Ok(vector(&std::iter::once(context.rows()).chain(sizes).collect::<Vec<_>>()))
}
