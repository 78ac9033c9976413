//! Matrix products: `faer` for `f32` and `f64` (and for what is narrower, in `f32`), plain loops for integers.
//! A product is cut into blocks by its size alone, each computed by one thread, so that the number of threads
//! does not change any bit. Operands are read by strides, so that a product of a transposed matrix, or
//! of a part of one, is no product of a copy; but of a large matrix on the left that lies column by column,
//! some rows at a time are copied into their order, as each block would read them across.

use std::ops::Range;

use arignote_core::Result;
use arignote_core::tensor::DType;
use faer::linalg::matmul::matmul as multiply;
use faer::{Accum, MatMut, MatRef, Par};
use smallvec::SmallVec;

use super::narrow::{self, Narrow};
use super::number::Number;
use super::packed;
use super::stacks::{self, Stacks};
use super::vector::Real;
use super::{After, Call, Context};
use crate::buffer::{typed, with_scratch};

/// Multiplications below which one block is enough: less is done sooner than a second thread wakes.
const SMALL: usize = 1 << 21;
/// Multiplications of one block at most.
const LARGE: usize = 1 << 28;
/// Blocks into which a product is cut, between those limits.
const BLOCKS: usize = 8;
/// Rows of a block at most.
const HEIGHT: usize = 512;
/// Elements of a transposed matrix on the left that are brought into the order of its rows at a time.
const TURNED: usize = 1 << 21;
/// Rows and sums from which on a product with a narrow matrix is one of its own kind.
const TALL: usize = 16;
/// Bytes of a matrix below which its product with a vector is not cut.
const SMALL_MATRIX: usize = 1 << 18;

/// A matrix in memory: elements from one row, and from one column, to the next.
#[derive(Clone, Copy)]
pub struct Layout {
    /// From one row to the next.
    pub row: isize,
    /// From one column to the next.
    pub column: isize,
}

/// The lengths of a product of an m by k and a k by n matrix.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Rows of the left matrix and of the result.
    pub m: usize,
    /// What is summed over.
    pub k: usize,
    /// Columns of the right matrix and of the result.
    pub n: usize,
}

/// An element type of matrix products.
pub trait Matrix: Number {
    /// `out = x @ y`, or `out += x @ y`.
    ///
    /// # Safety
    /// Each pointer points to the first element of a matrix of these lengths and layout, all elements of which
    /// may be read (of `out`: written, by nobody else meanwhile).
    unsafe fn product(x: (*const Self, Layout), y: (*const Self, Layout), out: (*mut Self, Layout), sizes: Sizes, add: bool);

    /// The product of a matrix with a vector, in the first case of rows that lie together, else of columns.
    const REAL: Option<Vectors<Self>> = None;

    /// The product of a tall matrix with a narrow one.
    const TALL: Option<Tall<Self>> = None;
}

/// Products of tall matrices with narrow ones, as `narrow` has them.
#[derive(Clone, Copy)]
pub struct Tall<T> {
    pub(super) width: usize,
    pack: unsafe fn((*const T, Layout), Sizes, &mut [T]),
    pub(super) multiply: narrow::Multiply<T>,
}

/// Products with vectors, as `vector` has them.
#[derive(Clone, Copy)]
pub struct Vectors<T> {
    rows: unsafe fn(*const T, usize, &[T], &mut [T]),
    columns: unsafe fn(*const T, usize, &[T], &mut [T]),
}

macro_rules! fast {
    ($($T:ty)*) => {$(
        impl Matrix for $T {
            unsafe fn product(
                x: (*const Self, Layout), y: (*const Self, Layout), out: (*mut Self, Layout), Sizes { m, k, n }: Sizes, add: bool,
            ) {
                // SAFETY: by the caller's promise.
                let (left, right, target) = unsafe {
                    (
                        MatRef::from_raw_parts(x.0, m, k, x.1.row, x.1.column),
                        MatRef::from_raw_parts(y.0, k, n, y.1.row, y.1.column),
                        MatMut::from_raw_parts_mut(out.0, m, n, out.1.row, out.1.column),
                    )
                };
                multiply(target, if add { Accum::Add } else { Accum::Replace }, left, right, 1.0, Par::Seq);
            }

            const REAL: Option<Vectors<Self>> = Some(Vectors { rows: <$T as Real>::rows_times, columns: <$T as Real>::columns_times });
            const TALL: Option<Tall<Self>> = Some(Tall { width: <$T as Narrow>::WIDTH, pack: narrow::pack::<$T>, multiply: <$T as Narrow>::narrow });
        }
    )*};
}
fast!(f32 f64);

macro_rules! plain {
    ($($T:ty)*) => {$(
        impl Matrix for $T {
            unsafe fn product(
                x: (*const Self, Layout), y: (*const Self, Layout), out: (*mut Self, Layout), Sizes { m, k, n }: Sizes, add: bool,
            ) {
                for row in 0..m as isize {
                    for column in 0..n as isize {
                        let target = out.0.wrapping_offset(row * out.1.row + column * out.1.column);
                        // SAFETY: by the caller's promise.
                        let mut sum = if add { unsafe { *target } } else { 0 };
                        for i in 0..k as isize {
                            // SAFETY: by the caller's promise.
                            let factors = unsafe {
                                (*x.0.offset(row * x.1.row + i * x.1.column), *y.0.offset(i * y.1.row + column * y.1.column))
                            };
                            sum = sum.add(factors.0.mul(factors.1));
                        }
                        // SAFETY: by the caller's promise.
                        unsafe { *target = sum };
                    }
                }
            }
        }
    )*};
}
plain!(i8 i16 i32 i64 u8 u16 u32 u64);

pub(super) struct Start<T>(pub(super) *mut T);
// SAFETY: threads write disjoint blocks.
unsafe impl<T: Send> Sync for Start<T> {}

pub(super) struct Source<T>(pub(super) *const T);
// SAFETY: threads only read.
unsafe impl<T: Sync> Sync for Source<T> {}

/// Matrices to multiply: where the two of each product begin, and how all of them lie.
pub(super) struct Products<'a> {
    pub(super) pairs: &'a [(usize, usize)],
    pub(super) left: Layout,
    right: Layout,
    pub(super) sizes: Sizes,
    pub(super) finished: Finished<'a>,
}

/// What is told of each part of the result that is computed, and which element of it the first one here is.
#[derive(Clone, Copy)]
pub(super) struct Finished<'a> {
    after: Option<After<'a>>,
    first: usize,
}

impl Finished<'_> {
    /// Tells of elements, numbered from the first one here, which lies at `out`.
    fn elements<T>(&self, out: *mut T, elements: Range<usize>) {
        if let Some(after) = self.after {
            after(out.wrapping_sub(self.first).cast(), self.first + elements.start..self.first + elements.end);
        }
    }

    /// Tells of all elements from several threads.
    pub(super) fn all<T: Send>(&self, context: &Context<'_>, out: *mut T, count: usize) {
        /// Elements for one thread at a time.
        const PART: usize = 1 << 14;
        if self.after.is_none() { return }
        let out = Start(out);
        context.parallel(count.div_ceil(PART), &|part| {
            let out = &out;
            self.elements(out.0, part * PART..((part + 1) * PART).min(count));
        });
    }
}

/// The height and width of the blocks that a product is cut into.
fn blocks(Sizes { m, k, n }: Sizes) -> (usize, usize) {
    let work = m.saturating_mul(k).saturating_mul(n);
    if work <= SMALL {
        return (m, n);
    }
    let each = (work / BLOCKS).clamp(SMALL / 2, LARGE);
    let area = (each / k.max(1)).max(1);
    // Tall ones: columns are packed for all rows of a block. In whole groups of the rows and columns that a kernel takes at
    // once: of columns these are 48 or 96 with vectors of 512 bits, less with shorter ones.
    let even = |length: usize, most: usize, group: usize| {
        length.div_ceil(length.div_ceil(most.max(1))).next_multiple_of(group).min(length.max(1))
    };
    let height = even(m, (area / 96).clamp(64, HEIGHT), 32);
    (height, even(n, (area / height).max(96), 96))
}

/// Products of transposed matrices on the left, the rows of which are copied together first: else each block would read
/// them across.
fn with_rows<T: Matrix>(context: &Context<'_>, x: &[T], y: &[T], products: &Products<'_>, out: &mut [T]) {
    let Products { pairs, left, right, sizes: Sizes { m, k, n }, finished } = *products;
    let rows = (TURNED / k).clamp(1, m);
    with_scratch(rows * k, |copy: &mut [T]| {
        for (number, (pair, out)) in pairs.iter().zip(out.chunks_exact_mut(m * n)).enumerate() {
            for (group, out) in out.chunks_mut(rows * n).enumerate() {
                let height = out.len() / n;
                let copy = &mut copy[..height * k];
                super::shape::transposed_copy(context, x, (pair.0 + group * rows) as isize, &[1, left.column], &[height, k], 0, copy);
                let layout = Layout { row: k as isize, column: 1 };
                let finished = Finished { first: finished.first + (number * m + group * rows) * n, ..finished };
                self::products(context, copy, y, &Products { pairs: &[(0, pair.1)], left: layout, right, sizes: Sizes { m: height, k, n }, finished }, out);
            }
        }
    });
}

/// How a product is computed.
enum Way<T> {
    /// A vector is one of the factors.
    Vectors,
    /// The matrix on the right is packed, and rows of the left one go by.
    Tall(Tall<T>),
    /// Rows of a transposed matrix on the left are copied together first.
    Turned,
    /// Block by block.
    Blocks,
}

impl<T: Matrix> Way<T> {
    fn of(left: Layout, Sizes { m, k, n }: Sizes) -> Way<T> {
        if T::REAL.is_some() && (m == 1 || n == 1) { return Way::Vectors }
        if let Some(tall) = T::TALL.filter(|tall| n <= tall.width && m >= TALL && k >= TALL) { return Way::Tall(tall) }
        if left.row == 1 && left.column > 1 && m * k * n >= SMALL { Way::Turned } else { Way::Blocks }
    }
}

fn products<T: Matrix>(context: &Context<'_>, x: &[T], y: &[T], products: &Products<'_>, out: &mut [T]) {
    let Products { pairs, left, right, sizes, finished } = *products;
    let Sizes { m, k, n } = sizes;
    if out.is_empty() {
        return;
    }
    if k == 0 {
        out.fill(T::default());
        return finished.elements(out.as_mut_ptr(), 0..out.len());
    }
    let way = Way::<T>::of(left, sizes);
    if let (Way::Vectors, Some(vectors)) = (&way, T::REAL) {
        // Of a row on the left, the product with the transposed matrix.
        if n == 1 {
            return with_vectors(context, vectors, x, y, products, out);
        }
        let pairs: SmallVec<[(usize, usize); 1]> = pairs.iter().map(|pair| (pair.1, pair.0)).collect();
        let turned = Products { pairs: &pairs, left: right.turned(), right: left.turned(), sizes: Sizes { m: n, k, n: 1 }, finished };
        return with_vectors(context, vectors, y, x, &turned, out);
    }
    match way {
        Way::Tall(tall) => return tall_products(context, tall, x, y, products, out),
        Way::Turned => return with_rows(context, x, y, products, out),
        Way::Vectors | Way::Blocks => {}
    }
    let (height, width) = blocks(sizes);
    let (down, across) = (m.div_ceil(height), n.div_ceil(width));
    let (x, y, start) = (Source(x.as_ptr()), Source(y.as_ptr()), Start(out.as_mut_ptr()));
    let task = |at: usize| {
        let (x, y, start) = (&x, &y, &start);
        let (product, block) = (at / (down * across), at % (down * across));
        let (row, column) = (block / across * height, block % across * width);
        let sizes = Sizes { m: height.min(m - row), k, n: width.min(n - column) };
        // SAFETY: the block lies inside its product, which lies inside `out`; no other task has it. `matmul`
        // made the places and layouts from the operands' shapes.
        unsafe {
            let left_at = x.0.add(pairs[product].0).offset(row as isize * left.row);
            let right_at = y.0.add(pairs[product].1).offset(column as isize * right.column);
            let target = start.0.add((product * m + row) * n + column);
            T::product((left_at, left), (right_at, right), (target, Layout { row: n as isize, column: 1 }), sizes, false);
        }
        let first = (product * m + row) * n;
        if across == 1 { finished.elements(start.0, first..first + sizes.m * n); }
    };
    let count = pairs.len() * down * across;
    context.multiply(m * k * n * pairs.len(), count, &task);
    // Rows in pieces take longer than another look at all of them.
    if across > 1 { finished.all(context, start.0, pairs.len() * m * n); }
}

impl Layout {
    /// That of the transposed matrix.
    pub fn turned(self) -> Layout {
        Layout { row: self.column, column: self.row }
    }
}

/// Products of tall matrices with narrow ones.
fn tall_products<T: Matrix>(context: &Context<'_>, tall: Tall<T>, x: &[T], y: &[T], products: &Products<'_>, out: &mut [T]) {
    let Products { pairs, left, right, sizes: Sizes { m, k, n }, finished } = *products;
    // Groups of rows that one thread takes; how many follows from the sizes.
    let height = (SMALL / 8 / k / tall.width).max(TALL).next_multiple_of(14).min(m);
    let down = m.div_ceil(height);
    let size = k * tall.width;
    with_scratch(size * pairs.len(), |packed: &mut [T]| {
        for (packed, pair) in packed.chunks_exact_mut(size).zip(pairs) {
            // SAFETY: the place and layout are those of an operand.
            unsafe { (tall.pack)((y.as_ptr().add(pair.1), right), Sizes { m, k, n }, packed) };
        }
        let (x, start, packed) = (Source(x.as_ptr()), Start(out.as_mut_ptr()), Source(packed.as_ptr()));
        let task = |at: usize| {
            let (x, start, packed) = (&x, &start, &packed);
            let (product, row) = (at / down, at % down * height);
            let sizes = Sizes { m: height.min(m - row), k, n };
            // SAFETY: the rows lie inside their product, and no other task has them; each product has its packed matrix.
            unsafe {
                let left_at = x.0.add(pairs[product].0).offset(row as isize * left.row);
                let packed = std::slice::from_raw_parts(packed.0.add(product * size), size);
                (tall.multiply)((left_at, left), packed, (start.0.add((product * m + row) * n), n), sizes);
            }
            let first = (product * m + row) * n;
            finished.elements(start.0, first..first + sizes.m * n);
        };
        let count = pairs.len() * down;
        context.multiply(m * k * n * pairs.len(), count, &task);
    });
}

/// Products of matrices with vectors.
fn with_vectors<T: Matrix>(context: &Context<'_>, vectors: Vectors<T>, x: &[T], y: &[T], products: &Products<'_>, out: &mut [T]) {
    let Products { pairs, left, right, sizes: Sizes { m, k, .. }, finished } = *products;
    let bytes = m * k * size_of::<T>();
    // Of columns, parts long enough that each is read in whole pages.
    let least = if left.column == 1 { 16 } else { 1024 };
    let height = if bytes <= SMALL_MATRIX { m } else { (m / (bytes / SMALL_MATRIX)).max(least).min(m) };
    let down = m.div_ceil(height);
    let (from, start) = (Source(x.as_ptr()), Start(out.as_mut_ptr()));
    let task = |at: usize| {
        let (from, start) = (&from, &start);
        let (product, row) = (at / down, at % down * height);
        let rows = height.min(m - row);
        let first = pairs[product].1;
        // SAFETY: the rows are inside their product, which no other task writes; the layouts are those of the operands.
        let multiply = |factor: &[T]| unsafe {
            let matrix = from.0.add(pairs[product].0).offset(row as isize * left.row);
            let target = std::slice::from_raw_parts_mut(start.0.add(product * m + row), rows);
            if left.column == 1 || k == 1 {
                (vectors.rows)(matrix, left.row as usize, factor, target);
            } else if left.row == 1 || m == 1 {
                (vectors.columns)(matrix, left.column as usize, factor, target);
            } else {
                let column = Layout { row: 1, column: 1 };
                T::product((matrix, left), (factor.as_ptr(), column), (target.as_mut_ptr(), column), Sizes { m: rows, k, n: 1 }, false);
            }
        };
        if right.row == 1 || k == 1 {
            multiply(&y[first..first + k]);
        } else {
            with_scratch(k, |factor: &mut [T]| {
                for (i, factor) in factor.iter_mut().enumerate() { *factor = y[(first as isize + i as isize * right.row) as usize]; }
                multiply(factor);
            });
        }
        finished.elements(start.0, product * m + row..product * m + row + rows);
    };
    let count = pairs.len() * down;
    if bytes * pairs.len() <= SMALL_MATRIX { (0..count).for_each(task) } else { context.parallel(count, &task) }
}

/// `matmul`
pub fn matmul(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, y) = (call.operand(0)?, call.operand(1)?);
    let strides = |number: usize| call.product.strides.get(number).copied().flatten();
    let Stacks { pairs, left, right, sizes } = Stacks::of((x.shape, strides(0)), (y.shape, strides(1)))?;
    let (context, product) = (call.context, call.product);
    let after = product.after;
    let result = &mut call.results[0];
    if pairs.len() * sizes.m * sizes.n != result.count() {
        return Err(stacks::refused(x.shape, y.shape));
    }
    let dtype = computed_in(result.dtype);
    number_type!(dtype, T => {
        let all = |after| Products { pairs: &pairs, left, right, sizes, finished: Finished { after, first: 0 } };
        x.with::<T, _>(dtype, |x| y.with::<T, _>(dtype, |y| {
            let own = dtype == result.dtype;
            result.computed::<T>(dtype, |out| match (product.packed, T::TALL) {
                (Some(packed), Some(tall)) if pairs.len() == 1 => packed::product::<T>(context, tall, x, typed(packed), &all(after), out),
                _ => products::<T>(context, x, y, &all(after.filter(|_| own)), out),
            });
            if let Some(after) = after.filter(|_| !own) { after(result.bytes.as_mut_ptr(), 0..result.count()); }
        }));
    });
    Ok(())
}

/// The dtype in which a product of this dtype is computed.
fn computed_in(result: DType) -> DType {
    match result {
        DType::F16 | DType::BF16 => DType::F32,
        // Counted without wrapping: a sum of 256 products is true.
        DType::Bool => DType::U64,
        dtype => dtype,
    }
}

/// Bytes of scratch memory that a product takes beside conversions of its operands, on so many threads; what `faer` packs is
/// not among them.
pub fn scratch(dtype: DType, x: (&[usize], Option<&[usize]>), y: (&[usize], Option<&[usize]>), threads: usize) -> usize {
    let Ok(Stacks { pairs, left, right, sizes }) = Stacks::of(x, y) else { return 0 };
    let Sizes { m, k, n } = sizes;
    let dtype = computed_in(dtype);
    let elements = number_type!(dtype, T => match Way::<T>::of(left, sizes) {
        Way::Vectors => if (if n == 1 { right.row } else { left.column }) == 1 { 0 } else { k * threads },
        Way::Tall(tall) => k * tall.width * pairs.len(),
        Way::Turned => (TURNED / k).clamp(1, m) * k,
        Way::Blocks => 0,
    });
    elements * dtype.size()
}
