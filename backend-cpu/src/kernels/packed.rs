//! Products with a matrix on the right that stays the same, from step to step of a loop or from call to call: it is packed
//! once, in panels of a few columns, and rows of the left matrix go by each panel as by a narrow matrix.

use arignote_core::tensor::DType;

use super::Context;
use super::matmul::{Layout, Matrix, Products, Sizes, Source, Start, Tall};
use super::narrow::{self, Narrow};
use crate::buffer::{Stored, View, typed, typed_mut};

/// Rows from which on the panels are sooner done than a product that packs as it goes: those that the kernel takes at once.
const ROWS: usize = 6;
/// What is summed over, from which on a panel is worth going to.
const SUM: usize = 16;
/// Elements of the left matrix that go by all panels of a task before the next ones: they stay in the second cache.
const GROUP: usize = 1 << 16;
/// Multiplications of one task, about.
const TASK: usize = 1 << 18;

/// Bytes of the matrix on the right, packed, if a product of operands of these shapes is better computed by it.
pub fn bytes(dtype: DType, x: &[usize], y: &[usize]) -> Option<usize> {
    let (&[.., k], &[_, n]) = (x, y) else { return None };
    let rows: usize = x[..x.len() - 1].iter().product();
    let width = match dtype {
        DType::F32 => <f32 as Narrow>::WIDTH,
        DType::F64 => <f64 as Narrow>::WIDTH,
        _ => return None,
    };
    (narrow::is_fast() && rows >= ROWS && k >= SUM && n > width).then(|| n.next_multiple_of(width) * k * dtype.size())
}

/// Packs the matrix on the right into as many bytes as [`bytes`] says: as its shape lies, or with these strides, its bytes then
/// being those up to its last element.
pub fn pack(y: View<'_>, strides: Option<&[usize]>, packed: &mut [u8]) {
    fn panels<T: Narrow + Stored + Default>(y: View<'_>, layout: Layout, packed: &mut [T]) {
        let &[k, n] = y.shape else { return };
        let start = typed::<T>(y.bytes).as_ptr();
        for (panel, packed) in packed.chunks_exact_mut(k * T::WIDTH).enumerate() {
            let column = panel * T::WIDTH;
            let sizes = Sizes { m: 0, k, n: T::WIDTH.min(n - column) };
            // SAFETY: the columns are inside the matrix, which lies so.
            unsafe { narrow::pack((start.offset(column as isize * layout.column), layout), sizes, packed) };
        }
    }
    let layout = match (strides, y.shape) {
        (Some(&[row, column]), _) => Layout { row: row as isize, column: column as isize },
        (_, &[_, n]) => Layout { row: n as isize, column: 1 },
        _ => return,
    };
    match y.dtype {
        DType::F32 => panels::<f32>(y, layout, typed_mut(packed)),
        DType::F64 => panels::<f64>(y, layout, typed_mut(packed)),
        _ => {}
    }
}

/// The one product of a matrix with a packed one.
pub(super) fn product<T: Matrix>(context: &Context<'_>, tall: Tall<T>, x: &[T], packed: &[T], products: &Products<'_>, out: &mut [T]) {
    let Products { pairs, left, sizes: Sizes { m, k, n }, finished, .. } = *products;
    let (panels, size) = (n.div_ceil(tall.width), k * tall.width);
    // In whole groups of the rows that a kernel takes at once, 6 or 14.
    let height = (GROUP / k).max(1).next_multiple_of(42).min(m);
    let each = (TASK / (height * size)).clamp(1, panels);
    let (down, across) = (m.div_ceil(height), panels.div_ceil(each));
    let (x, start) = (Source(x[pairs[0].0..].as_ptr()), Start(out.as_mut_ptr()));
    let task = |at: usize| {
        let (x, start) = (&x, &start);
        let (row, first) = (at / across * height, at % across * each);
        for panel in first..(first + each).min(panels) {
            let column = panel * tall.width;
            let sizes = Sizes { m: height.min(m - row), k, n: tall.width.min(n - column) };
            // SAFETY: the layout is that of the operand; rows and columns lie inside the result, and no other task has them.
            unsafe {
                let target = start.0.add(row * n + column);
                (tall.multiply)((x.0.offset(row as isize * left.row), left), &packed[panel * size..][..size], (target, n), sizes);
            }
        }
    };
    context.multiply(m * k * n, down * across, &task);
    finished.all(context, start.0, m * n);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_matrix_has_the_elements_in_their_places() {
        // 3 rows of 17 columns, as they lie and turned: column 16 is the first of the second panel.
        let elements: Vec<f32> = (0..51).map(|at| at as f32).collect();
        let bytes = crate::buffer::as_bytes(&elements);
        for (strides, of) in [(None, (17, 1)), (Some([1, 3]), (1, 3))] {
            let view = View { dtype: DType::F32, shape: &[3, 17], bytes };
            let mut packed = vec![f32::NAN; 2 * 16 * 3];
            pack(view, strides.as_ref().map(|strides| strides.as_slice()), crate::buffer::as_bytes_mut(&mut packed));
            for row in 0..3 {
                for column in 0..32 {
                    let expected = if column < 17 { (row * of.0 + column * of.1) as f32 } else { 0.0 };
                    assert_eq!(packed[column / 16 * 48 + row * 16 + column % 16], expected, "{strides:?}: {row} {column}");
                }
            }
        }
    }
}
