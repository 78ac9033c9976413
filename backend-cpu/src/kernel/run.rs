//! A kernel over all elements of a shape. Adjacent axes along which every operand goes on evenly are one. Where the
//! innermost axis is long, and every operand's elements lie side by side along it or are one, the kernel runs over
//! rows, and nothing is copied. Elsewhere it runs over blocks, into which the operands that lie otherwise are gathered.

use std::ops::Range;
use std::sync::OnceLock;

use smallvec::SmallVec;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::axes::{Lengths, by_rows, gather, merged, natural_strides};
use super::compiled::{Addresses, Cache, Code, Compiled, REDUCTIONS, Totals};
use super::form::Form;
use super::ir::{Instruction, Kernel, Origin};
use super::steps::StepForm;
use crate::buffer::with_scratch;
use crate::kernels::Context;
use crate::stored_type;

/// Elements of a block.
const BLOCK: usize = 1024;
/// Work up to which waking a second thread takes longer, in picoseconds.
pub const SMALL: usize = 30_000_000;

/// How an operand of a region lies along the axes that are left.
#[derive(Clone, Debug)]
struct Operand {
    size: usize,
    /// Elements from one entry of each axis to the next.
    strides: SmallVec<[usize; 6]>,
    /// If it is gathered into blocks: its own axes, and its strides along them.
    gathered: Option<(Lengths, Lengths)>,
    /// Whether it is one element in a row or block.
    uniform: bool,
}

/// An input that is read row by row at places that a list has.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The number of the input.
    pub input: usize,
    /// Elements of a row.
    pub row: usize,
}

/// A kernel for a shape.
pub struct Region {
    compiled: Compiled,
    /// The axes that are left, the innermost last.
    axes: SmallVec<[usize; 6]>,
    /// Inputs, then outputs.
    operands: Vec<Operand>,
    /// Inputs whose rows a list places.
    listed: Vec<Listed>,
    /// Whether it runs over rows.
    rows: bool,
    count: usize,
    /// Estimated picoseconds for an element.
    cost: usize,
    /// The loop that the region was last the step of, if it has code.
    repeated: OnceLock<Option<Repeated>>,
    /// What reduces two rows side by side, bit for bit as one after the other: memory gives two streams sooner than one.
    beside: Option<Compiled>,
}

/// A region with the loop around it.
pub struct Repeated {
    form: StepForm,
    code: Code,
    lanes: usize,
    count: usize,
}

impl Repeated {
    /// Of the region's outputs, by their numbers, those that are stored in the last step alone.
    pub fn stored_last(&self) -> impl Iterator<Item = usize> {
        (0..self.form.stored.len()).filter(|&output| !self.form.stored[output])
    }

    /// Takes `steps` steps, at least one. `arrays` are those of the first, but of outputs that are stored in the last
    /// step alone those of the last.
    ///
    /// # Safety
    /// As for [`Region::run`], in each step.
    pub unsafe fn run(&self, arrays: &[*mut u8], steps: usize) {
        for first in (0..self.count).step_by(self.lanes) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller's promise; code is only made for processors that have its instructions.
            unsafe { self.code.run_steps(arrays, self.count, first, steps) };
            #[cfg(not(target_arch = "x86_64"))]
            match (self.code, arrays, first, steps) {}
        }
    }
}

/// What reduces two rows side by side, of a kernel that reads so many bytes: where they come from memory, and the sums are
/// added up in the same order.
fn beside(kernel: &Kernel, cache: &Cache, uniform: &[bool], bytes: usize) -> Option<Compiled> {
    /// Bytes that are in no cache.
    const LARGE: usize = 8 << 20;
    let several = 1..=REDUCTIONS / 2;
    if bytes < LARGE || !several.contains(&kernel.reductions.len()) || !kernel.outputs.is_empty() { return None }
    let (twice, uniform) = (kernel.twice(), [uniform, uniform].concat());
    let (one, two) = (Form::of(kernel, &uniform[..kernel.inputs.len()]), Form::of(&twice, &uniform));
    ((one.lanes, one.unroll) == (two.lanes, two.unroll)).then(|| Compiled::new(twice, cache, &uniform))
}

/// The elements of a region's inputs and outputs.
struct Arrays<'a>(&'a [*mut u8]);
// SAFETY: what threads share is only read, and what they write is disjoint: see `Region::run`.
unsafe impl Sync for Arrays<'_> {}

impl Region {
    /// A region that computes a kernel over `shape`. `strides` say for each input how many elements are from one entry
    /// of each axis to the next; `None` if it lies as the results do.
    pub fn new(kernel: Kernel, cache: &Cache, shape: &[usize], strides: &[Option<Vec<usize>>]) -> Region {
        Region::strided(kernel, cache, shape, strides, &[], &[])
    }

    /// The same where some outputs do not lie as the shape does, but go by rows: see [`is_by_rows`](super::axes::is_by_rows). `lie` has for each
    /// output how many elements are from one entry of each axis to the next; none of them where there are no such outputs.
    ///
    /// Inputs may be listed: the array of each, behind those of all inputs, has the number of the element at which each
    /// row begins, as `i64`. Their strides have to keep rows from going on as the row before.
    pub fn strided(
        kernel: Kernel, cache: &Cache, shape: &[usize], strides: &[Option<Vec<usize>>], lie: &[Option<Vec<usize>>], listed: &[Listed],
    ) -> Region {
        let natural = natural_strides(shape);
        let outputs = (0..kernel.outputs.len()).map(|output| lie.get(output).and_then(Option::as_deref));
        let all: Vec<&[usize]> = strides.iter().map(Option::as_deref).chain(outputs).map(|strides| strides.unwrap_or(&natural)).collect();
        let (axes, left) = merged(shape, &all);
        let rows = by_rows(&axes, &left);
        assert!(rows || (lie.iter().all(Option::is_none) && listed.is_empty()), "outputs that lie apart go by rows");
        assert!(listed.iter().all(|listed| axes.len() > 1 && axes.last().is_some_and(|last| listed.row.is_multiple_of(*last))), "rows of a list are whole");
        let own = natural_strides(&axes);
        let sizes = kernel.inputs.iter().map(|dtype| dtype.size()).chain(kernel.outputs.iter().map(|output| output.1.size()));
        let inputs = kernel.inputs.len();
        let operands: Vec<Operand> = left.into_iter().zip(sizes).enumerate().map(|(number, (strides, size))| {
            let nowhere = strides.iter().all(|&stride| stride == 0);
            let uniform = number < inputs && if rows { strides.last().is_none_or(|&stride| stride == 0) } else { nowhere };
            let gathered = (!rows && !uniform && strides != own).then(|| {
                let (axes, mut left) = merged(&axes, &[&strides]);
                (axes, left.swap_remove(0))
            });
            Operand { size, strides, gathered, uniform }
        }).collect();
        let uniform: Vec<bool> = operands[..inputs].iter().map(|operand| operand.uniform).collect();
        let calls = kernel.instructions.iter().filter(|(instruction, _)| matches!(instruction, Instruction::Call(..))).count();
        let bytes: usize = operands.iter().filter(|operand| !operand.uniform).map(|operand| operand.size).sum();
        let count: usize = shape.iter().product();
        let beside = if listed.is_empty() { beside(&kernel, cache, &uniform, count.saturating_mul(bytes)) } else { None };
        let compiled = Compiled::new(kernel, cache, &uniform);
        let cost = compiled.kernel.instructions.len() * if compiled.is_native() { 60 } else { 400 } + calls * 20_000 + bytes * 30;
        Region { compiled, count, axes, operands, listed: listed.to_vec(), rows, cost, repeated: OnceLock::new(), beside }
    }

    /// How many outputs it has.
    pub fn outputs(&self) -> usize {
        self.compiled.kernel.outputs.len()
    }

    /// Estimated picoseconds for an element.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Computes the elements from `start` to `end`.
    ///
    /// # Safety
    /// As for [`Self::run`].
    pub unsafe fn columns(&self, arrays: &[*mut u8], start: usize, end: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.part(arrays, start, end, &mut []) };
    }

    /// The bits of what changes nothing in each of the kernel's reductions.
    pub fn identities(&self) -> Totals {
        self.compiled.identities()
    }

    /// Combines `totals` with what the elements from `start` to `end` are reduced to.
    ///
    /// # Safety
    /// As for [`Self::run`].
    pub unsafe fn reduce(&self, arrays: &[*mut u8], start: usize, end: usize, totals: &mut [u64]) {
        // SAFETY: the caller's promise.
        unsafe { self.part(arrays, start, end, totals) };
    }

    /// Reduces rows of so many elements, and gives what each becomes.
    ///
    /// # Safety
    /// As for [`Self::run`], of these rows.
    pub unsafe fn reduce_rows(&self, arrays: &[*mut u8], length: usize, rows: Range<usize>, mut each: impl FnMut(usize, &mut Totals)) {
        let identities = self.identities();
        let last = self.axes.len().saturating_sub(1);
        // Elements of each array from a row to the next, if that is always the same.
        let even = |operand: &Operand| match self.axes.len() {
            0 | 1 => length * operand.strides.last().copied().unwrap_or(0),
            _ => operand.strides[last - 1],
        };
        let apart = self.axes.len() <= 1 || (self.axes.len() == 2 && self.axes[last] == length);
        if !self.rows || !apart || !self.listed.is_empty() {
            for row in rows {
                let mut totals = identities;
                // SAFETY: the caller's promise.
                unsafe { self.part(arrays, row * length, (row + 1) * length, &mut totals[..self.compiled.reductions.len()]) };
                each(row, &mut totals);
            }
            return;
        }
        let steps: Lengths = self.operands.iter().map(|operand| even(operand) * operand.size).collect();
        let mut rows = rows;
        if let Some(beside) = self.beside.as_ref().filter(|_| rows.len() > 1) {
            let (half, several) = (rows.len() / 2, self.compiled.reductions.len());
            for row in rows.start..rows.start + half {
                let place = |row: usize| arrays.iter().zip(&steps).map(move |(array, step)| array.wrapping_add(row * step));
                let mut here: Addresses = place(row).chain(place(row + half)).collect();
                let mut totals = identities;
                totals.copy_within(..several, several);
                // SAFETY: the caller's promise; the elements lie as the executor is made for.
                unsafe { beside.run(&mut here, length, &mut totals[..2 * several]) };
                let mut second = identities;
                second[..several].copy_from_slice(&totals[several..2 * several]);
                each(row, &mut totals);
                each(row + half, &mut second);
            }
            rows.start += 2 * half;
        }
        let mut here: Addresses = arrays.iter().zip(&steps).map(|(array, step)| array.wrapping_add(rows.start * step)).collect();
        for row in rows {
            let mut totals = identities;
            // SAFETY: the caller's promise; the elements lie as the executor is made for.
            unsafe { self.compiled.run(&mut here, length, &mut totals[..self.compiled.reductions.len()]) };
            each(row, &mut totals);
            for (here, step) in here.iter_mut().zip(&steps) { *here = here.wrapping_add(*step); }
        }
    }

    /// Bytes of scratch memory that a run takes on so many threads.
    pub fn scratch(&self, threads: usize) -> usize {
        let gathered = self.operands.iter().filter(|operand| operand.gathered.is_some()).count();
        threads * (gathered * BLOCK * size_of::<u64>() + self.compiled.scratch())
    }

    /// What it computes and how, for people; `origin` names what its instructions came from.
    pub fn describe(&self, origin: Origin<'_>) -> String {
        self.compiled.describe(origin)
    }

    /// The inputs that are read through lists, whose arrays outputs lie apart from.
    pub fn listed(&self) -> impl Iterator<Item = usize> {
        self.listed.iter().map(|listed| listed.input)
    }

    /// Computes all elements. `arrays` are the first elements of the inputs, of lists, then of the outputs.
    ///
    /// # Safety
    /// Every input must cover what its strides reach over the shape, every output have room for it. An output may be
    /// the very same memory as an input without strides whose elements have the same size, and otherwise overlaps
    /// nothing.
    pub unsafe fn run(&self, context: &Context<'_>, arrays: &[*mut u8]) {
        if self.count == 0 {
            return;
        }
        let work = self.count.saturating_mul(self.cost);
        let arrays = Arrays(arrays);
        if context.threads <= 1 || work <= SMALL {
            // SAFETY: the caller's promise.
            return unsafe { self.part(arrays.0, 0, self.count, &mut []) };
        }
        let parts = (work / (SMALL / 4)).clamp(2, 4 * context.threads);
        let size = self.count.div_ceil(parts).next_multiple_of(BLOCK);
        context.parallel(self.count.div_ceil(size), &|part| {
            let arrays = &arrays;
            // SAFETY: as above; parts are disjoint.
            unsafe { self.part(arrays.0, part * size, ((part + 1) * size).min(self.count), &mut []) };
        });
    }

    /// Whether its elements lie one after the other and are few, so that they are computed at a stroke.
    pub fn is_small(&self) -> bool {
        self.axes.len() <= 1 && self.rows && self.count > 0 && self.count.saturating_mul(self.cost) <= SMALL
    }

    /// As [`Region::run`], of a region that [is small](Region::is_small).
    ///
    /// # Safety
    /// As for [`Region::run`].
    #[inline]
    pub unsafe fn run_small(&self, arrays: &[*mut u8]) {
        // SAFETY: the caller's promise.
        unsafe { self.part(arrays, 0, self.count, &mut []) };
    }

    /// The region, which [is small](Region::is_small), with a loop around it in whose first steps the arrays lie at
    /// these places; `None` if there is no code for it.
    #[cfg(target_arch = "x86_64")]
    pub fn repeated(&self, three: &[Vec<*mut u8>; 3]) -> Option<&Repeated> {
        if !self.compiled.is_native() {
            return None;
        }
        let kernel = &self.compiled.kernel;
        let uniform: Vec<bool> = self.operands[..kernel.inputs.len()].iter().map(|operand| operand.uniform).collect();
        let form = StepForm::of(kernel, &uniform, three, avx2::POINTERS.len())?;
        let repeated = self.repeated.get_or_init(|| {
            let code = Code::compile_steps(kernel, &form)?;
            Some(Repeated { lanes: form.form(kernel).lanes, form: form.clone(), code, count: self.count })
        });
        repeated.as_ref().filter(|repeated| repeated.form == form)
    }

    /// There is no code for this processor.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn repeated(&self, _: &[Vec<*mut u8>; 3]) -> Option<&Repeated> {
        None
    }

    /// Computes the elements from `start` to `end`, and combines `totals` with what they are reduced to.
    ///
    /// # Safety
    /// As for [`Self::run`].
    unsafe fn part(&self, arrays: &[*mut u8], start: usize, end: usize, totals: &mut [u64]) {
        if !self.listed.is_empty() {
            // SAFETY: the caller's promise.
            return unsafe { self.listed_part(arrays, start, end, totals) };
        }
        let mut here: Addresses = SmallVec::from_slice(arrays);
        if self.axes.len() <= 1 && self.rows {
            for ((here, array), operand) in here.iter_mut().zip(arrays).zip(&self.operands) {
                let stride = operand.strides.last().copied().unwrap_or(0);
                *here = array.wrapping_add(start * stride * operand.size);
            }
            // SAFETY: the caller's promise; the elements lie as the executor is made for.
            return unsafe { self.compiled.run(&mut here, end - start, totals) };
        }
        if self.rows {
            let (length, last) = (self.axes.last().copied().unwrap_or(1), self.axes.len() - 1);
            let mut at = start;
            while at < end {
                let (row, column) = (at / length, at % length);
                for ((here, array), operand) in here.iter_mut().zip(arrays).zip(&self.operands) {
                    *here = array.wrapping_add(self.offset(operand, row, column) * operand.size);
                }
                // To the end of the next axis, rows are evenly apart.
                let around = self.axes[last - 1];
                let stop = end.min((row - row % around + around) * length);
                let mut column = column;
                loop {
                    let count = (length - column).min(stop - at);
                    // SAFETY: as above, for one row.
                    unsafe { self.compiled.run(&mut here, count, totals) };
                    at += count;
                    if at >= stop { break; }
                    for (here, operand) in here.iter_mut().zip(&self.operands) {
                        let (back, on) = (column * operand.strides[last], operand.strides[last - 1]);
                        *here = here.wrapping_add(on * operand.size).wrapping_sub(back * operand.size);
                    }
                    column = 0;
                }
            }
            return;
        }
        let gathered = self.operands.iter().filter(|operand| operand.gathered.is_some()).count();
        with_scratch(gathered * BLOCK, |scratch: &mut [u64]| {
            let mut at = start;
            while at < end {
                let count = BLOCK.min(end - at);
                let mut blocks = scratch.chunks_exact_mut(BLOCK);
                for (((here, array), operand), dtype) in here.iter_mut().zip(arrays).zip(&self.operands).zip(self.compiled.kernel.inputs.iter().map(Some).chain(std::iter::repeat(None))) {
                    match (&operand.gathered, dtype) {
                        (Some((axes, strides)), Some(&dtype)) => if let Some(block) = blocks.next() {
                            stored_type!(dtype, T => {
                                let block = block.as_mut_ptr().cast::<T>();
                                // SAFETY: the block has room for `BLOCK` elements of at most 8 bytes.
                                let out = unsafe { std::slice::from_raw_parts_mut(block, count) };
                                // SAFETY: the caller promises what the strides reach.
                                unsafe { gather(array.cast::<T>().cast_const(), strides, axes, at, out) };
                                *here = block.cast();
                            });
                        },
                        _ if operand.uniform => {}
                        _ => *here = array.wrapping_add(at * operand.size),
                    }
                }
                // SAFETY: as above, for one block.
                unsafe { self.compiled.run(&mut here, count, totals) };
                at += count;
            }
        });
    }

    /// As [`Self::part`], where lists say where rows of some inputs are.
    ///
    /// # Safety
    /// As for [`Self::run`]; the places in the lists are of rows inside of their inputs.
    unsafe fn listed_part(&self, arrays: &[*mut u8], start: usize, end: usize, totals: &mut [u64]) {
        let inputs = self.compiled.kernel.inputs.len();
        let (before, lists) = arrays.split_at(inputs);
        let (lists, behind) = lists.split_at(self.listed.len());
        let bases: Addresses = before.iter().chain(behind).copied().collect();
        let mut here = bases.clone();
        let length = self.axes.last().copied().unwrap_or(1);
        let mut at = start;
        while at < end {
            let (row, column) = (at / length, at % length);
            let count = (length - column).min(end - at);
            for ((here, base), operand) in here.iter_mut().zip(&bases).zip(&self.operands) {
                *here = base.wrapping_add(self.offset(operand, row, column) * operand.size);
            }
            for (listed, list) in self.listed.iter().zip(lists) {
                // SAFETY: a list has a place for each row.
                let first = unsafe { list.cast::<i64>().add(at / listed.row).read() } as usize;
                here[listed.input] = bases[listed.input].wrapping_add((first + at % listed.row) * self.operands[listed.input].size);
            }
            // SAFETY: the caller's promise, for one row.
            unsafe { self.compiled.run(&mut here, count, totals) };
            at += count;
        }
    }

    /// The place of an element by its row and column.
    fn offset(&self, operand: &Operand, mut row: usize, column: usize) -> usize {
        let last = self.axes.len() - 1;
        let mut offset = column * operand.strides[last];
        for axis in (0..last).rev() {
            offset += row % self.axes[axis] * operand.strides[axis];
            row /= self.axes[axis];
        }
        offset
    }
}
