//! The operands of matrix products, as stacks of matrices.

use arignote_core::tensor::contiguous_strides;
use arignote_core::{Error, ErrorKind, Result};
use smallvec::SmallVec;

use super::matmul::{Layout, Sizes};

/// The products of two operands: where the two matrices of each begin, and how all of them lie.
pub(super) struct Stacks {
    pub(super) pairs: SmallVec<[(usize, usize); 1]>,
    pub(super) left: Layout,
    pub(super) right: Layout,
    pub(super) sizes: Sizes,
}

impl Stacks {
    /// Those of operands of these shapes, with these strides if they do not lie as the shapes do.
    ///
    /// # Errors
    /// If they do not fit.
    pub(super) fn of(x: (&[usize], Option<&[usize]>), y: (&[usize], Option<&[usize]>)) -> Result<Stacks> {
        let refuse = || refused(x.0, y.0);
        let mut left = stacked(x.0, x.1, true).ok_or_else(refuse)?;
        let right = stacked(y.0, y.1, false).ok_or_else(refuse)?;
        if left.columns != right.rows {
            return Err(refuse());
        }
        let one_right = right.batch.iter().all(|&length| length == 1);
        // One matrix on the right for a stack whose rows all lie equally far apart: one tall product.
        if one_right && left.batch.len() >= right.batch.len() {
            let rows = left.layout.row as usize * left.rows;
            let expected = left.batch.iter().rev().scan(rows, |stride, &length| {
                let own = *stride;
                *stride *= length;
                Some(own)
            });
            if left.strides.iter().rev().zip(expected).all(|(&own, expected)| own == expected) {
                left.rows *= left.batch.iter().product::<usize>();
                (left.batch, left.strides) = (Lengths::new(), Lengths::new());
            }
        }
        let batch = if left.batch.is_empty() && one_right { Lengths::new() } else {
            Lengths::from_slice(&arignote_core::tensor::broadcast_shapes(&left.batch, &right.batch)?)
        };
        let (steps_left, steps_right) = (spread(&left, &batch), if batch.is_empty() { Lengths::new() } else { spread(&right, &batch) });
        let count: usize = batch.iter().product();
        let mut pairs: SmallVec<[(usize, usize); 1]> = SmallVec::with_capacity(count);
        for at in 0..count {
            let (mut rest, mut a, mut b) = (at, 0, 0);
            for axis in (0..batch.len()).rev() {
                a += rest % batch[axis] * steps_left[axis];
                b += rest % batch[axis] * steps_right[axis];
                rest /= batch[axis];
            }
            pairs.push((a, b));
        }
        let sizes = Sizes { m: left.rows, k: left.columns, n: right.columns };
        Ok(Stacks { pairs, left: left.layout, right: right.layout, sizes })
    }
}

/// The error of shapes that do not fit.
pub(super) fn refused(x: &[usize], y: &[usize]) -> Error {
    Error::new(ErrorKind::Runtime, format!("cannot multiply matrices of shapes {x:?} and {y:?}"))
}

/// Lengths or strides of axes.
type Lengths = SmallVec<[usize; 6]>;

/// An operand as a stack of matrices.
struct Stacked {
    batch: Lengths,
    strides: Lengths,
    rows: usize,
    columns: usize,
    layout: Layout,
}

/// An operand of this shape, with these strides if it does not lie as the shape does.
fn stacked(shape: &[usize], strides: Option<&[usize]>, vector_is_row: bool) -> Option<Stacked> {
    let strides = strides.map_or_else(|| contiguous_strides(shape).iter().map(|&stride| stride as usize).collect(), Lengths::from_slice);
    Some(match shape {
        [] => return None,
        &[k] => {
            let (rows, columns) = if vector_is_row { (1, k) } else { (k, 1) };
            let step = strides[0] as isize;
            Stacked { batch: Lengths::new(), strides: Lengths::new(), rows, columns, layout: Layout { row: step, column: step } }
        }
        [batch @ .., rows, columns] => Stacked {
            batch: (*batch).into(),
            strides: strides[..batch.len()].into(),
            rows: *rows,
            columns: *columns,
            layout: Layout { row: strides[batch.len()] as isize, column: strides[batch.len() + 1] as isize },
        },
    })
}

/// Elements from one entry of each axis of the batch to the next.
fn spread(own: &Stacked, batch: &[usize]) -> Lengths {
    let before = batch.len() - own.batch.len();
    let stride = |axis: usize| match axis.checked_sub(before) {
        Some(at) if own.batch[at] != 1 => own.strides[at],
        _ => 0,
    };
    (0..batch.len()).map(stride).collect()
}
