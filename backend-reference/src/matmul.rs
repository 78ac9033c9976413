//! Matrix products of all ranks, as NumPy's `matmul`.

use arignote_core::Result;
use arignote_core::tensor::{Tensor, broadcast_shapes};

use crate::kernel::{Function, KernelCall};
use crate::values::{allocate, broadcast_offsets, fail, floats, from_floats, from_integers, integers};

/// The kernel of a matrix product.
pub fn kernel(op: &str) -> Option<Function> {
    (op == "matmul").then_some(matmul as Function)
}

fn matmul(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, y, dtype) = (call.as_result(0)?, call.as_result(1)?, call.dtype()?);
    let plan = plan(x.shape(), y.shape())?;
    Ok(vec![if dtype.is_float() {
        let values = products(&plan, &floats(&x), &floats(&y), 0.0, |sum, x, y| sum + x * y)?;
        from_floats(dtype, values, &plan.shape)?
    } else {
        let multiply = |sum: i128, x: i128, y: i128| sum.wrapping_add(x.wrapping_mul(y));
        let values = products(&plan, &integers(&x), &integers(&y), 0, multiply)?;
        from_integers(dtype, values, &plan.shape)?
    }])
}

/// `rows` by `inner` times `inner` by `columns`, for every pair of first elements.
struct Plan {
    rows: usize,
    inner: usize,
    columns: usize,
    pairs: Vec<(usize, usize)>,
    shape: Vec<usize>,
}

fn plan(x: &[usize], y: &[usize]) -> Result<Plan> {
    if x.is_empty() || y.is_empty() {
        return Err(fail("a matrix product needs operands of one axis or more"));
    }
    // A vector is a row on the left and a column on the right; that axis leaves the result.
    let left: Vec<usize> = if x.len() == 1 { vec![1, x[0]] } else { x.to_vec() };
    let right: Vec<usize> = if y.len() == 1 { vec![y[0], 1] } else { y.to_vec() };
    let (batch_x, batch_y) = (&left[..left.len() - 2], &right[..right.len() - 2]);
    let (rows, inner) = (left[left.len() - 2], left[left.len() - 1]);
    let (height, columns) = (right[right.len() - 2], right[right.len() - 1]);
    if inner != height {
        return Err(fail(format!("the inner lengths differ: {inner} on the left, {height} on the right")));
    }
    let batch = broadcast_shapes(batch_x, batch_y)?;
    let firsts = broadcast_offsets(batch_x, &batch)?.into_iter().map(|offset| offset * rows * inner);
    let seconds = broadcast_offsets(batch_y, &batch)?.into_iter().map(|offset| offset * inner * columns);
    let pairs = firsts.zip(seconds).collect();
    let mut shape = batch.to_vec();
    shape.extend((x.len() > 1).then_some(rows));
    shape.extend((y.len() > 1).then_some(columns));
    Ok(Plan { rows, inner, columns, pairs, shape })
}

fn products<A: Copy>(plan: &Plan, x: &[A], y: &[A], zero: A, f: impl Fn(A, A, A) -> A) -> Result<Vec<A>> {
    let mut values = allocate(&plan.shape)?;
    for &(first, second) in &plan.pairs {
        for row in 0..plan.rows {
            for column in 0..plan.columns {
                let terms = (0..plan.inner)
                    .map(|k| (x[first + row * plan.inner + k], y[second + k * plan.columns + column]));
                values.push(terms.fold(zero, |sum, (x, y)| f(sum, x, y)));
            }
        }
    }
    Ok(values)
}
