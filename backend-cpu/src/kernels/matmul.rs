//! Matrix products: `faer` for `f32` and `f64`, plain loops for the rest. A product is cut into fixed
//! blocks, each computed by one thread, so that the number of threads does not change any bit.

use arignote_core::{Error, ErrorKind, Result};
use arignote_core::tensor::DType;
use faer::linalg::matmul::matmul as multiply;
use faer::{Accum, MatMut, MatRef, Par};

use super::number::Number;
use super::{Call, Context};

/// Multiplications below which one block is enough.
const SMALL: usize = 128 * 128 * 128;

#[derive(Clone, Copy)]
struct Sizes {
    m: usize,
    k: usize,
    n: usize,
}

trait Matrix: Number {
    /// `out = x @ y` for the rows and columns of one block of a product; `out` has `n` columns in all.
    ///
    /// # Safety
    /// `out` points to `m` rows, `n` elements apart, of which `columns` may be written.
    unsafe fn block(x: &[Self], y: &[Self], out: *mut Self, sizes: Sizes, first: usize, columns: usize);
}

macro_rules! fast {
    ($($T:ty)*) => {$(
        impl Matrix for $T {
            unsafe fn block(x: &[Self], y: &[Self], out: *mut Self, Sizes { m, k, n }: Sizes, first: usize, columns: usize) {
                let left = MatRef::from_row_major_slice(x, m, k);
                let right = MatRef::from_row_major_slice(y, k, n).subcols(first, columns);
                // SAFETY: by the caller's promise.
                let target = unsafe { MatMut::from_raw_parts_mut(out.add(first), m, columns, n as isize, 1) };
                multiply(target, Accum::Replace, left, right, 1.0, Par::Seq);
            }
        }
    )*};
}
fast!(f32 f64);

macro_rules! plain {
    ($($T:ty)*) => {$(
        impl Matrix for $T {
            unsafe fn block(x: &[Self], y: &[Self], out: *mut Self, Sizes { m, k, n }: Sizes, first: usize, columns: usize) {
                for row in 0..m {
                    // SAFETY: by the caller's promise.
                    let target = unsafe { std::slice::from_raw_parts_mut(out.add(row * n + first), columns) };
                    target.fill(0);
                    for i in 0..k {
                        let factor = x[row * k + i];
                        for (out, &value) in target.iter_mut().zip(&y[i * n + first..][..columns]) {
                            *out = out.add(factor.mul(value));
                        }
                    }
                }
            }
        }
    )*};
}
plain!(i8 i16 i32 i64 u8 u16 u32 u64);

struct Start<T>(*mut T);
// SAFETY: threads write disjoint blocks.
unsafe impl<T: Send> Sync for Start<T> {}

fn products<T: Matrix>(context: &Context<'_>, x: &[T], y: &[T], pairs: &[(usize, usize)], sizes: Sizes, out: &mut [T]) {
    let Sizes { m, k, n } = sizes;
    if out.is_empty() { return; }
    if k == 0 {
        out.fill(T::default());
        return;
    }
    let (rows, columns) = match m.saturating_mul(k).saturating_mul(n) {
        work if work <= SMALL => (m, n),
        _ if m >= n => ((SMALL / (k * n).max(1)).max(128).min(m), n),
        _ => (m, (SMALL / (k * m).max(1)).max(128).min(n)),
    };
    let (down, across) = (m.div_ceil(rows), n.div_ceil(columns));
    let start = Start(out.as_mut_ptr());
    let task = |at: usize| {
        let start = &start;
        let (product, block) = (at / (down * across), at % (down * across));
        let (row, column) = (block / across * rows, block % across * columns);
        let (height, width) = (rows.min(m - row), columns.min(n - column));
        let (left, right) = pairs[product];
        let left = &x[(left * m + row) * k..][..height * k];
        let right = &y[right * k * n..][..k * n];
        // SAFETY: the block lies inside its product, which lies inside `out`; no other task has it.
        unsafe { T::block(left, right, start.0.add((product * m + row) * n), Sizes { m: height, k, n }, column, width) };
    };
    let count = pairs.len() * down * across;
    if m * k * n * pairs.len() <= SMALL / 8 { (0..count).for_each(task) } else { context.parallel(count, &task) }
}

/// `matmul`
pub fn matmul(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, y) = (call.operand(0)?, call.operand(1)?);
    let refuse = || Error::new(ErrorKind::Runtime, format!("cannot multiply matrices of shapes {:?} and {:?}", x.shape, y.shape));
    let (m, k, batch_x): (usize, usize, &[usize]) = match x.shape {
        [] => return Err(refuse()),
        [k] => (1, *k, &[]),
        [batch @ .., m, k] => (*m, *k, batch),
    };
    let (rows, n, batch_y): (usize, usize, &[usize]) = match y.shape {
        [] => return Err(refuse()),
        [k] => (*k, 1, &[]),
        [batch @ .., k, n] => (*k, *n, batch),
    };
    if rows != k { return Err(refuse()); }
    // One matrix for a whole stack: the stack is one matrix with all its rows.
    let (m, batch_x): (usize, &[usize]) = if batch_y.is_empty() { (m * batch_x.iter().product::<usize>(), &[]) } else { (m, batch_x) };
    let batch = arignote_core::tensor::broadcast_shapes(batch_x, batch_y)?;
    let strides = |own: &[usize]| super::elementwise::broadcast_strides(own, &batch)
        .unwrap_or_else(|| arignote_core::tensor::contiguous_strides(&batch).iter().map(|&s| s as usize).collect());
    let (left, right) = (strides(batch_x), strides(batch_y));
    let count: usize = batch.iter().product();
    let mut pairs = Vec::with_capacity(count);
    for at in 0..count {
        let (mut rest, mut a, mut b) = (at, 0, 0);
        for axis in (0..batch.len()).rev() {
            a += rest % batch[axis] * left[axis];
            b += rest % batch[axis] * right[axis];
            rest /= batch[axis];
        }
        pairs.push((a, b));
    }
    let result = &mut call.results[0];
    let dtype = match result.dtype {
        DType::F16 | DType::BF16 => DType::F32,
        // Counted without wrapping: a sum of 256 products is true.
        DType::Bool => DType::U64,
        dtype => dtype,
    };
    number_type!(dtype, T => {
        let (x, y) = (x.cast::<T>(dtype), y.cast::<T>(dtype));
        let sizes = Sizes { m, k, n };
        if dtype == result.dtype {
            products::<T>(call.context, &x, &y, &pairs, sizes, crate::buffer::typed_mut(result.bytes));
        } else {
            let mut out = vec![T::default(); count * m * n];
            products::<T>(call.context, &x, &y, &pairs, sizes, &mut out);
            result.store(dtype, &out);
        }
    });
    Ok(())
}
