//! Reductions over the elements that a kernel computes, in one pass over memory: what they are of is not stored.
//!
//! Rows are cut into parts of `PART` elements. A part is reduced in several accumulators, the parts pairwise, so
//! that sums are accurate; which elements meet when follows from the shape alone, not from the threads.

use std::ops::Range;

use arignote_core::tensor::{DType, Element};
use smallvec::SmallVec;

use super::ir::{Kind, Origin, Reduction};
use super::lower::{Lowering, Register};
use super::portable::combine;
use super::compiled::{Cache, REDUCTIONS, Totals};
use super::run::{Listed, Region, SMALL};
use crate::buffer::with_scratch;
use crate::kernels::Context;
use crate::kernels::shape::natural;
use crate::stored_type;

/// Elements of a part of a row: several pages of memory, so that what follows is on its way in time.
const PART: usize = 4096;
/// Elements of short rows that are computed together.
const BATCH: usize = 1024;
/// Rows that are added one after another where whole rows are.
const ROWS: usize = 128;
/// Elements of short rows that are added side by side.
const WIDTH: usize = 512;
/// Columns of whole rows that a task adds.
const COLUMNS: usize = 4096;
/// Elements of rows that are so short that they are computed first, many rows at a time, and then reduced.
const SHORT: usize = 16;
/// How many such rows there are at least.
const MANY: usize = 64;

/// Which reduction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// How elements become one.
    pub reduction: Reduction,
    /// Whether the sum is divided by the number of elements.
    pub mean: bool,
    /// The axes that go, in order.
    pub axes: Vec<usize>,
}

/// How the operand lies.
enum Layout {
    /// Reduced axes last: a row becomes one element.
    Rows,
    /// The same of short rows.
    Short,
    /// Whole rows are added, several side by side if they are short: how many, the axes before the columns, and the
    /// strides of each input along them.
    Columns { beside: usize, axes: SmallVec<[usize; 6]>, strides: Vec<SmallVec<[usize; 6]>>, sizes: Vec<usize> },
}

/// One of the reductions.
#[derive(Clone, Copy)]
struct Total {
    reduction: Reduction,
    kind: Kind,
    mean: bool,
    result: DType,
}

/// Reductions along the same axes of what a kernel computes, for a shape.
pub struct Reducing {
    region: Region,
    layout: Layout,
    totals: SmallVec<[Total; 1]>,
    /// The bits of what changes nothing in each of them.
    identities: Totals,
    outer: usize,
    length: usize,
    inner: usize,
}

/// What is reduced: the value, how, and the dtype of the result.
pub type Reduced<'a> = (Register, &'a Spec, DType);

/// The first element of the results; threads write disjoint ones.
struct Target(*mut u8);
// SAFETY: see above.
unsafe impl Sync for Target {}

/// The addresses of arrays.
struct Arrays<'a>(&'a [*mut u8]);
// SAFETY: they are only read.
unsafe impl Sync for Arrays<'_> {}

/// The dtype in which elements are combined to a result.
fn accumulator(result: DType) -> DType {
    if matches!(result, DType::F16 | DType::BF16) { DType::F32 } else { result }
}

/// Whether reductions along such axes of a shape go row by row, each to one element, and not over columns.
fn is_by_rows(shape: &[usize], axes: &[usize]) -> bool {
    let together = axes.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let after = axes.last().map_or(0, |axis| axis + 1);
    !together || shape[after.min(shape.len())..].iter().product::<usize>() == 1
}

/// Whether such a reduction to a dtype can be computed here.
pub fn is_supported(reduction: Reduction, result: DType) -> bool {
    match reduction {
        // Lanes are compared with sign.
        Reduction::Max | Reduction::Min => !matches!(result, DType::U32 | DType::U64),
        _ => result != DType::Bool,
    }
}

impl Reducing {
    /// Reduces one or several values of elements of `shape` along the same axes. `strides` are those of the inputs of the kernel that computes them.
    pub fn new(lowering: Lowering, reduced: &[Reduced<'_>], cache: &Cache, shape: &[usize], strides: &[Option<Vec<usize>>]) -> Reducing {
        Reducing::listed(lowering, reduced, cache, shape, strides, &[])
    }

    /// The same where rows of some inputs are at places that lists have, of a reduction along the last axes: see
    /// [`Region::strided`].
    pub fn listed(
        mut lowering: Lowering, reduced: &[Reduced<'_>], cache: &Cache, shape: &[usize], strides: &[Option<Vec<usize>>], listed: &[Listed],
    ) -> Reducing {
        let spec = reduced[0].1;
        let totals: SmallVec<[Total; 1]> = reduced.iter().map(|&(_, spec, result)| {
            Total { reduction: spec.reduction, kind: Kind::of(accumulator(result)), mean: spec.mean, result }
        }).collect();
        let values: SmallVec<[(Register, Reduction); 1]> = reduced.iter().map(|&(value, spec, result)| {
            (lowering.cast(value, accumulator(result)), spec.reduction)
        }).collect();
        let size = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product::<usize>();
        let kept: Vec<usize> = (0..shape.len()).filter(|axis| !spec.axes.contains(axis)).collect();
        let length = size(&spec.axes);
        let together = spec.axes.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let first = spec.axes.first().copied().unwrap_or(shape.len());
        let after = first + spec.axes.len();
        let inner = if together { shape[after..].iter().product() } else { 1 };
        let natural = natural(shape);
        let full: Vec<Vec<usize>> = strides.iter().map(|strides| strides.clone().unwrap_or_else(|| natural.clone())).collect();
        if is_by_rows(shape, &spec.axes) {
            let order: Vec<usize> = kept.iter().chain(&spec.axes).copied().collect();
            let moved: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
            let strides: Vec<Option<Vec<usize>>> = full.iter().map(|strides| Some(order.iter().map(|&axis| strides[axis]).collect())).collect();
            let outer = size(&kept);
            if (1..=SHORT).contains(&length) && outer >= MANY && listed.is_empty() {
                let values: Vec<Register> = values.iter().map(|value| value.0).collect();
                let region = Region::new(lowering.finish(&values), cache, &moved, &strides);
                return Reducing { identities: region.identities(), region, layout: Layout::Short, totals, outer, length, inner };
            }
            let region = Region::strided(lowering.finish_reduced(&values), cache, &moved, &strides, &[], listed);
            return Reducing { identities: region.identities(), region, layout: Layout::Rows, totals, outer: size(&kept), length, inner };
        }
        assert!(listed.is_empty(), "lists go with reductions along the last axes");
        let before: SmallVec<[Register; 1]> = totals.iter().map(|total| lowering.input(accumulator(total.result))).collect();
        let sums: Vec<Register> = values.iter().zip(before).map(|(&(value, reduction), sum)| lowering.combined(reduction, sum, value)).collect();
        let beside = if spec.axes.len() == 1 { (WIDTH / inner).clamp(1, length) } else { 1 };
        let block: Vec<usize> = std::iter::once(beside).chain(shape[after..].iter().copied()).collect();
        let columns = full.iter().map(|strides| Some(strides[after - 1..].to_vec())).chain(sums.iter().map(|_| None)).collect::<Vec<_>>();
        let kernel = lowering.finish(&sums);
        let sizes = kernel.inputs.iter().map(|dtype| dtype.size()).collect();
        let region = Region::new(kernel, cache, &block, &columns);
        let layout = Layout::Columns {
            beside,
            axes: shape[..after].into(),
            strides: full.iter().map(|strides| strides[..after].into()).collect(),
            sizes,
        };
        let outer = shape[..first].iter().product();
        Reducing { identities: region.identities(), region, layout, totals, outer, length, inner }
    }

    /// What it computes and how, for people: see [`Region::describe`].
    pub fn describe(&self, origin: Origin<'_>) -> String {
        self.region.describe(origin)
    }

    /// The region that is reduced.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Computes all results. `arrays` are the first elements of the inputs, of lists, then of the results.
    ///
    /// # Safety
    /// Every input must cover what its strides reach over the shape, and the results have room; they overlap nothing.
    pub unsafe fn run(&self, context: &Context<'_>, arrays: &[*mut u8]) {
        let several = self.totals.len();
        let (inputs, results) = arrays.split_at(arrays.len() - several);
        let count = self.outer * self.inner;
        let work = count.saturating_mul(self.length).saturating_mul(self.region.cost());
        let parallel = |tasks: usize, body: &(dyn Fn(usize) + Sync)| {
            if work <= SMALL { (0..tasks).for_each(body) } else { context.parallel(tasks, body) }
        };
        let (inputs, arrays) = (Arrays(inputs), Arrays(arrays));
        match &self.layout {
            Layout::Rows => {
                let parts = self.length.div_ceil(PART);
                if parts > 1 && self.outer < 16 {
                    with_scratch(self.outer * parts * several, |values: &mut [u64]| {
                        let group = (SMALL / 4 / self.region.cost().max(1) / PART).clamp(1, parts);
                        let cells = Target(values.as_mut_ptr().cast());
                        // Of each row and reduction the parts lie together.
                        parallel((self.outer * parts).div_ceil(group), &|task| {
                            let (inputs, cells) = (&inputs, &cells);
                            let all = task * group..((task + 1) * group).min(self.outer * parts);
                            // SAFETY: the caller's promise; each cell is written by one task.
                            unsafe {
                                self.parts(inputs.0, all, parts, |row, part, found| for (total, &value) in found[..several].iter().enumerate() {
                                    *cells.0.cast::<u64>().add((row * several + total) * parts + part) = value;
                                });
                            }
                        });
                        for (at, values) in values.chunks_mut(parts).enumerate() {
                            let total = &self.totals[at % several];
                            let value = total.pairwise(values);
                            // SAFETY: the result has room for a row's element.
                            unsafe { total.put(results[at % several], at / several, value, self.length) };
                        }
                    });
                    return;
                }
                let group = (PART / self.length.max(1)).max(1) * 8;
                parallel(self.outer.div_ceil(group), &|task| {
                    let arrays = &arrays;
                    // SAFETY: the caller's promise; each row is one task's.
                    unsafe { self.run_rows(arrays.0, task * group..((task + 1) * group).min(self.outer)) };
                });
            }
            Layout::Short => {
                let group = 8 * (BATCH / self.length);
                parallel(self.outer.div_ceil(group), &|task| {
                    let arrays = &arrays;
                    // SAFETY: the caller's promise; each row is one task's.
                    unsafe { self.run_rows(arrays.0, task * group..((task + 1) * group).min(self.outer)) };
                });
            }
            Layout::Columns { beside, axes, strides, sizes } => {
                // Parts of the rows, and of the columns; how many follows from the shape.
                let (beside, inner) = (*beside, self.inner);
                let columns = inner.div_ceil(COLUMNS);
                let (size, parts) = self.parts_of_columns(beside);
                let tasks = |cells: &[*mut u8]| {
                    let cells = Arrays(cells);
                    parallel(self.outer * parts * columns, &|task| {
                        let (inputs, cells) = (&inputs, &cells);
                        let (outer, part, column) = (task / columns / parts, task / columns % parts, task % columns);
                        let (from, to) = (column * COLUMNS, ((column + 1) * COLUMNS).min(inner));
                        let rows = (part * size, ((part + 1) * size).min(self.length));
                        let first = (outer * parts + part) * beside * inner + from;
                        let out: Sums = self.totals.iter().zip(cells.0).map(|(total, cells)| cells.wrapping_add(first * total.width())).collect();
                        let job = Job { reducing: self, inputs: inputs.0, beside, axes, strides, sizes, outer, from, to };
                        // SAFETY: the caller's promise; each task has cells of its own.
                        unsafe { job.add(rows, &out) };
                    });
                };
                let rows = parts * beside;
                if rows == 1 && self.is_direct() {
                    return tasks(results);
                }
                let each = self.outer * rows * inner;
                with_scratch(each * several, |sums: &mut [u64]| {
                    let cells: Sums = sums.chunks_mut(each).map(|sums| sums.as_mut_ptr().cast()).collect();
                    tasks(&cells);
                    for ((total, &cells), &target) in self.totals.iter().zip(&cells).zip(results) {
                        // SAFETY: the rows were written above; the result has room.
                        unsafe { self.add_parts(total, cells, rows, target) };
                    }
                });
            }
        }
    }

    /// Of the rows that are added one after the other how many a task takes, and how many such parts there are.
    fn parts_of_columns(&self, beside: usize) -> (usize, usize) {
        let columns = self.inner.div_ceil(COLUMNS);
        let parts = (self.length / (2 * ROWS * beside)).clamp(1, (32 / (self.outer * columns)).max(1));
        let size = self.length.div_ceil(parts).next_multiple_of(ROWS * beside);
        (size, self.length.div_ceil(size))
    }

    /// Whether what rows add up to is the result itself.
    fn is_direct(&self) -> bool {
        self.totals.iter().all(|total| accumulator(total.result) == total.result && !total.mean)
    }

    /// Bytes of scratch memory that a run takes on so many threads.
    pub fn scratch(&self, threads: usize) -> usize {
        let (several, parts) = (self.totals.len(), self.length.div_ceil(PART));
        let own = match &self.layout {
            _ if self.outer * self.inner * self.length == 0 => 0,
            Layout::Short => threads * several * BATCH,
            Layout::Rows if parts <= 1 => 0,
            Layout::Rows => parts * several * if self.outer < 16 { self.outer } else { threads },
            Layout::Columns { beside, .. } => {
                let (size, parts) = self.parts_of_columns(*beside);
                let rows = parts * beside;
                // Halves of halves of a part, down to what is added in one go.
                let halves = (size / (ROWS * beside)).next_power_of_two().ilog2() as usize;
                let sums = if rows == 1 && self.is_direct() { 0 } else { self.outer * rows * self.inner };
                several * (sums + threads * halves * self.inner.min(COLUMNS) * beside)
            }
        };
        own * size_of::<u64>() + self.region.scratch(threads)
    }

    /// Adds so many rows of columns to one of a result, for each entry of the axes before: neighbours first.
    ///
    /// # Safety
    /// The cells have these rows, of the accumulator's dtype, and the result has room.
    unsafe fn add_parts(&self, total: &Total, cells: *mut u8, rows: usize, target: *mut u8) {
        let (inner, width) = (self.inner, total.width());
        for outer in 0..self.outer {
            let row = |at: usize| cells.wrapping_add((outer * rows + at) * inner * width);
            let mut step = 1;
            while step < rows {
                for at in (0..rows - step).step_by(2 * step) {
                    // SAFETY: the caller's promise; the rows are not the same.
                    unsafe { total.combine_rows(row(at), row(at + step), inner) };
                }
                step *= 2;
            }
            for column in 0..inner {
                // SAFETY: the caller's promise.
                unsafe { total.put(target, outer * inner + column, read(accumulator(total.result), row(0).wrapping_add(column * width)), self.length) };
            }
        }
    }

    /// Computes the results of some rows, where rows become elements.
    ///
    /// # Safety
    /// As for [`Self::run`], of these rows.
    pub unsafe fn run_rows(&self, arrays: &[*mut u8], rows: Range<usize>) {
        let (inputs, results) = arrays.split_at(arrays.len() - self.totals.len());
        if matches!(self.layout, Layout::Short) {
            // SAFETY: the caller's promise.
            return unsafe { self.run_short(inputs, results, rows) };
        }
        let parts = self.length.div_ceil(PART).max(1);
        if parts == 1 {
            // SAFETY: the caller's promise.
            return unsafe {
                self.region.reduce_rows(inputs, self.length, rows, |row, found| {
                    for ((total, &result), &value) in self.totals.iter().zip(results).zip(found.iter()) { total.put(result, row, value, self.length); }
                });
            };
        }
        with_scratch(parts * self.totals.len(), |values: &mut [u64]| {
            for row in rows {
                for part in 0..parts {
                    // SAFETY: the caller's promise.
                    let found = unsafe { self.part(inputs, row, part) };
                    for (total, &value) in found[..self.totals.len()].iter().enumerate() { values[total * parts + part] = value; }
                }
                for ((total, &result), values) in self.totals.iter().zip(results).zip(values.chunks_mut(parts)) {
                    // SAFETY: the caller's promise.
                    unsafe { total.put(result, row, total.pairwise(values), self.length) };
                }
            }
        });
    }

    /// The same of short rows: so many as make a part are computed, then reduced one element after the other.
    ///
    /// # Safety
    /// As for [`Self::run`], of these rows.
    unsafe fn run_short(&self, inputs: &[*mut u8], results: &[*mut u8], rows: Range<usize>) {
        let height = BATCH / self.length;
        with_scratch(self.totals.len() * BATCH, |values: &mut [u64]| {
            let mut arrays: SmallVec<[*mut u8; 16]> = SmallVec::from_slice(inputs);
            for first in rows.clone().step_by(height) {
                let end = (first + height).min(rows.end);
                let (from, to) = (first * self.length, end * self.length);
                arrays.truncate(inputs.len());
                for (total, values) in self.totals.iter().zip(values.chunks_mut(BATCH)) {
                    // So that the first element of these rows is at the place in the scratch memory.
                    let size = accumulator(total.result).size();
                    arrays.push(values.as_mut_ptr().cast::<u8>().wrapping_sub(from * size));
                }
                // SAFETY: the caller's promise; each value has eight bytes in the scratch memory.
                unsafe { self.region.columns(&arrays, from, to) };
                for ((total, values), &result) in self.totals.iter().zip(values.chunks(BATCH)).zip(results) {
                    // SAFETY: the values were computed above, and the result has room for these rows.
                    unsafe { total.fold_rows(values.as_ptr().cast(), self.length, result, first..end) };
                }
            }
        });
    }

    /// Reduces parts of rows, each of which has so many; `each` is told the row, the part and what that becomes.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn parts(&self, inputs: &[*mut u8], all: Range<usize>, parts: usize, mut each: impl FnMut(usize, usize, &Totals)) {
        // Those of a single row follow each other as rows do, but for the last one, which may be shorter.
        let whole = if self.outer == 1 { all.start..all.end.min(self.length / PART).max(all.start) } else { all.start..all.start };
        let rest = whole.end..all.end;
        // SAFETY: the caller's promise.
        unsafe { self.region.reduce_rows(inputs, PART, whole, |part, found| each(0, part, found)) };
        for at in rest {
            let (row, part) = (at / parts, at % parts);
            // SAFETY: the caller's promise.
            let found = unsafe { self.part(inputs, row, part) };
            each(row, part, &found);
        }
    }

    /// Reduces a part of a row.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn part(&self, inputs: &[*mut u8], row: usize, part: usize) -> Totals {
        let start = row * self.length;
        let mut totals = self.identities;
        // SAFETY: the caller's promise.
        unsafe { self.region.reduce(inputs, start + part * PART, start + ((part + 1) * PART).min(self.length), &mut totals[..self.totals.len()]) };
        totals
    }

    /// Estimated picoseconds for an element.
    pub fn cost(&self) -> usize {
        self.region.cost()
    }
}

impl Total {
    /// Bytes of an element of the accumulator.
    fn width(&self) -> usize {
        accumulator(self.result).size()
    }

    /// Reduces rows of values of the accumulator's dtype.
    ///
    /// # Safety
    /// `values` has so many rows of this length, and the result room.
    unsafe fn fold_rows(&self, values: *const u8, length: usize, result: *mut u8, rows: Range<usize>) {
        let dtype = accumulator(self.result);
        let count = rows.len() * length;
        macro_rules! sums {
            ($T:ty) => {{
                // SAFETY: the caller's promise.
                let values = unsafe { std::slice::from_raw_parts(values.cast::<$T>(), count) };
                for (row, values) in rows.zip(values.chunks_exact(length)) {
                    let sum = values[1..].iter().fold(values[0], |sum, value| sum + value);
                    // SAFETY: the caller's promise.
                    unsafe { self.put(result, row, sum.to_bits().into(), length) };
                }
            }};
        }
        match (self.reduction, dtype) {
            (Reduction::Sum, DType::F64) => sums!(f64),
            (Reduction::Sum, DType::F32) => sums!(f32),
            _ => for (at, row) in rows.enumerate() {
                // SAFETY: the caller's promise.
                let bits = |column: usize| unsafe { read(dtype, values.add((at * length + column) * dtype.size())) };
                let total = (1..length).fold(bits(0), |total, column| combine(self.reduction, self.kind, total, bits(column)));
                // SAFETY: the caller's promise.
                unsafe { self.put(result, row, total, length) };
            },
        }
    }

    /// Combines each element of a row with that of another.
    ///
    /// # Safety
    /// There are so many of the accumulator's dtype in both, and they do not overlap.
    unsafe fn combine_rows(&self, into: *mut u8, other: *const u8, count: usize) {
        let dtype = accumulator(self.result);
        macro_rules! sums {
            ($T:ty) => {{
                // SAFETY: the caller's promise.
                let (into, other) = unsafe { (std::slice::from_raw_parts_mut(into.cast::<$T>(), count), std::slice::from_raw_parts(other.cast::<$T>(), count)) };
                into.iter_mut().zip(other).for_each(|(into, other)| *into += other);
            }};
        }
        match (self.reduction, dtype) {
            (Reduction::Sum, DType::F64) => sums!(f64),
            (Reduction::Sum, DType::F32) => sums!(f32),
            _ => for place in (0..count).map(|at| at * dtype.size()) {
                // SAFETY: the caller's promise.
                unsafe {
                    let (left, right) = (read(dtype, into.wrapping_add(place)), read(dtype, other.wrapping_add(place)));
                    write(dtype, into.wrapping_add(place), combine(self.reduction, self.kind, left, right));
                }
            },
        }
    }

    /// Neighbours first.
    fn pairwise(&self, values: &mut [u64]) -> u64 {
        let mut left = values.len();
        while left > 1 {
            for pair in 0..left / 2 {
                values[pair] = combine(self.reduction, self.kind, values[2 * pair], values[2 * pair + 1]);
            }
            if left % 2 == 1 { values[left / 2] = values[left - 1]; }
            left = left.div_ceil(2);
        }
        values.first().copied().unwrap_or_else(|| self.reduction.identity(self.kind))
    }

    /// Writes one result, of so many elements.
    ///
    /// # Safety
    /// The result has room.
    unsafe fn put(&self, target: *mut u8, at: usize, bits: u64, length: usize) {
        let count = length as f64;
        stored_type!(self.result, T => {
            let value = match self.kind {
                Kind::F32 => {
                    let value = f32::from_bits(bits as u32);
                    <T as Element>::from_f64(if self.mean { value / count as f32 } else { value }.into())
                }
                Kind::F64 => {
                    let value = f64::from_bits(bits);
                    <T as Element>::from_f64(if self.mean { value / count } else { value })
                }
                Kind::I32 => <T as Element>::from_i64((bits as u32 as i32).into()),
                Kind::I64 => <T as Element>::from_i64(bits as i64),
                Kind::M32 | Kind::M64 => <T as Element>::from_i64(i64::from(bits != 0)),
            };
            // SAFETY: the caller's promise.
            unsafe { *target.cast::<T>().add(at) = value };
        });
    }
}

/// The bits of the lane of an element.
///
/// # Safety
/// There is one.
unsafe fn read(dtype: DType, from: *const u8) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::Bool => if *from != 0 { u64::MAX } else { 0 },
            DType::I8 => *from.cast::<i8>() as u64,
            DType::I16 => *from.cast::<i16>() as u64,
            _ => match dtype.size() {
                1 => (*from).into(),
                2 => (*from.cast::<u16>()).into(),
                4 => (*from.cast::<u32>()).into(),
                _ => *from.cast::<u64>(),
            },
        }
    }
}

/// Some columns of an array of rows.
struct Job<'a> {
    reducing: &'a Reducing,
    inputs: &'a [*mut u8],
    beside: usize,
    axes: &'a [usize],
    strides: &'a [SmallVec<[usize; 6]>],
    sizes: &'a [usize],
    outer: usize,
    from: usize,
    to: usize,
}

/// Where the first of some columns of each sum is.
type Sums = SmallVec<[*mut u8; REDUCTIONS]>;

impl Job<'_> {
    /// Adds rows into `out`, halves of many apart.
    ///
    /// # Safety
    /// The inputs cover the rows, and `out` has room for the columns of as many rows as are side by side.
    unsafe fn add(&self, (start, end): (usize, usize), out: &[*mut u8]) {
        let Reducing { region, totals, .. } = self.reducing;
        let count = (self.to - self.from) * self.beside;
        let most = ROWS * self.beside;
        if end - start > most {
            let half = start + ((end - start) / 2).next_multiple_of(most);
            // SAFETY: the caller's promise.
            unsafe { self.add((start, half), out) };
            with_scratch(count * totals.len(), |right: &mut [u64]| {
                let right: Sums = right.chunks_mut(count).map(|right| right.as_mut_ptr().cast()).collect();
                // SAFETY: the caller's promise; the scratch has room for elements of any type.
                unsafe {
                    self.add((half, end), &right);
                    for ((total, &out), &right) in totals.iter().zip(out).zip(&right) { total.combine_rows(out, right, count); }
                }
            });
            return;
        }
        for (total, out) in totals.iter().zip(out) {
            let dtype = accumulator(total.result);
            for at in 0..count {
                // SAFETY: the caller's promise.
                unsafe { write(dtype, out.wrapping_add(at * dtype.size()), identity(total.reduction, total.kind, dtype)) };
            }
        }
        let mut arrays: SmallVec<[*mut u8; 16]> = SmallVec::from_slice(self.inputs);
        // The sums lie as columns do from the first one on, and are read where they are written.
        let sums: Sums = totals.iter().zip(out).map(|(total, out)| out.wrapping_sub(self.from * total.width())).collect();
        arrays.extend(sums.iter().chain(&sums).copied());
        for row in (start..end).step_by(self.beside) {
            let mut rest = self.outer * self.reducing.length + row;
            let mut offsets: SmallVec<[usize; 16]> = SmallVec::from_elem(0, self.inputs.len());
            for axis in (0..self.axes.len()).rev() {
                let index = rest % self.axes[axis];
                rest /= self.axes[axis];
                for (offset, strides) in offsets.iter_mut().zip(self.strides) { *offset += index * strides[axis]; }
            }
            for ((array, input), (offset, size)) in arrays.iter_mut().zip(self.inputs).zip(offsets.iter().zip(self.sizes)) {
                *array = input.wrapping_add(offset * size);
            }
            let rows = self.beside.min(end - row);
            // SAFETY: the caller's promise.
            unsafe { region.columns(&arrays, self.from, if self.beside > 1 { rows * self.to } else { self.to }) };
        }
    }
}

/// The bits of an element, as it is stored, that changes nothing: lanes hold narrow integers in 32 bits.
fn identity(reduction: Reduction, kind: Kind, dtype: DType) -> u64 {
    match (reduction, dtype) {
        (Reduction::Max, DType::I8) => 1 << 7,
        (Reduction::Max, DType::I16) => 1 << 15,
        (Reduction::Min, DType::I8) => i8::MAX as u64,
        (Reduction::Min, DType::I16) => i16::MAX as u64,
        _ => reduction.identity(kind),
    }
}

/// Writes the element of a lane.
///
/// # Safety
/// There is room for one.
unsafe fn write(dtype: DType, to: *mut u8, bits: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype.size() {
            1 => *to = bits as u8,
            2 => *to.cast::<u16>() = bits as u16,
            4 => *to.cast::<u32>() = bits as u32,
            _ => *to.cast::<u64>() = bits,
        }
    }
}
