//! Steps of a plan that go over the same rows, taken a few rows at a time: what one step writes is still in the cache
//! when the next reads it, and what only they read is never written to memory as a whole.
//!
//! A softmax, a variance, or a layer's normalization with its gradient thus reads its operands once. Each element is
//! computed as in the whole step, so that nothing depends on how many rows a tile has.

use std::collections::HashMap;
use std::fmt::Write;

use arignote_core::graph::{NodeView, ValueId};
use arignote_core::tensor::{DType, Shape};

use crate::buffer::{View, ViewMut, with_scratch};
use crate::code::Code;
use crate::kernel::compiled::Addresses;
use crate::kernel::run::SMALL;
use crate::kernels::{Context, OfProduct};
use crate::plan::{Slot, Step, Work};

/// Bytes of a tile, of all arrays together.
const TILE: usize = 192 << 10;
/// Bytes of all rows below which steps are left alone: putting them together takes longer than it saves.
const LEAST: usize = 16 << 10;
/// Rows below which there is nothing to divide.
const ROWS: usize = 16;
/// Tiles at least, so that there is work for some threads.
const TILES: usize = 16;

/// How a step goes over rows: the shape that it goes over, and for each array that it reads how many elements are from
/// one entry of each axis to the next (`None` if the array has that shape).
pub struct Access {
    /// The shape.
    pub shape: Shape,
    /// Of each array that is read.
    pub strides: Vec<Option<Vec<usize>>>,
    /// How many axes from the first are rows, if the step says so: the others become one element, or are one row.
    pub outer: Option<usize>,
    /// Estimated picoseconds for an element.
    pub cost: usize,
}

/// An array of a step.
struct Array {
    slot: usize,
    /// Bytes of a row; 0 of what is the same for all rows.
    row: usize,
    /// Where a tile's rows of it begin in the scratch memory, if they lie there.
    local: Option<usize>,
}

struct Member {
    step: Step,
    /// What it reads, then its results.
    arrays: Vec<Array>,
    /// Elements of the shape that it goes over, in a row.
    length: usize,
}

/// Steps over the same rows.
pub struct Tiles {
    members: Vec<Member>,
    rows: usize,
    height: usize,
    scratch: usize,
    parallel: bool,
}

/// What the plan says of a storage.
pub trait Storages {
    /// Bytes of a storage that lies in the arena, if it does.
    fn in_arena(&self, storage: usize) -> Option<usize>;
    /// The first and the last step that it lives in.
    fn life(&self, storage: usize) -> (usize, usize);
    /// Makes it live for these steps too, and what it is a part of.
    fn extend(&mut self, storage: usize, first: usize, last: usize);
    /// Whether it is memory of the plan's own, and no join.
    fn is_temporary(&self, storage: usize) -> bool;
    /// What it is a part of, or itself.
    fn home(&self, storage: usize) -> usize;
    /// Takes it out of the arena.
    fn take_out(&mut self, storage: usize);
}

/// Puts steps together that go over the same rows and follow each other.
pub fn group(steps: Vec<Step>, accesses: &[Option<Access>], slots: &[Slot], storages: &mut impl Storages) -> Vec<Step> {
    let mut grouped = Vec::with_capacity(steps.len());
    let mut chain: Option<Chain<'_>> = None;
    let finish = |chain: Option<Chain<'_>>, grouped: &mut Vec<Step>, storages: &mut _| {
        if let Some(chain) = chain { chain.finish(grouped, storages); }
    };
    for (at, step) in steps.into_iter().enumerate() {
        let Some(access) = &accesses[at] else {
            finish(chain.take(), &mut grouped, storages);
            grouped.push(step);
            continue;
        };
        let mut step = step;
        if let Some(open) = &mut chain {
            let Some(refused) = open.join(step, access) else { continue };
            step = refused;
            finish(chain.take(), &mut grouped, storages);
        }
        let mut new = Chain { slots, first: at, rows: rows_of(access), members: Vec::new(), touched: HashMap::new(), written: Vec::new(), work: 0 };
        match new.join(step, access) {
            None => chain = Some(new),
            Some(step) => grouped.push(step),
        }
    }
    finish(chain, &mut grouped, storages);
    grouped
}

/// How many rows a step goes over: as it says, or all axes but the last.
fn rows_of(access: &Access) -> usize {
    let outer = access.outer.unwrap_or(access.shape.len().saturating_sub(1));
    access.shape[..outer].iter().product()
}

/// Bytes of a row, if an array is read row by row: 0 if by no row more than by another.
fn row_of(count: usize, strides: Option<&[usize]>, shape: &[usize], rows: usize) -> Option<usize> {
    let Some(strides) = strides else { return Some(count / rows) };
    let mut outer = 0;
    let mut product = 1;
    while product < rows {
        product *= shape.get(outer)?;
        outer += 1;
    }
    if product != rows || !count.is_multiple_of(rows) {
        return None;
    }
    let row = count / rows;
    let mut expected = row;
    for axis in (0..outer).rev() {
        if shape[axis] != 1 && strides[axis] != expected {
            return None;
        }
        expected *= shape[axis];
    }
    let reach: usize = (outer..shape.len()).map(|axis| (shape[axis].max(1) - 1) * strides[axis]).sum();
    (reach < row).then_some(row)
}

/// Steps that may become one.
struct Chain<'a> {
    slots: &'a [Slot],
    first: usize,
    rows: usize,
    members: Vec<Member>,
    /// Of each storage the bytes of its rows, if all steps so far use it row by row.
    touched: HashMap<usize, Option<usize>>,
    written: Vec<usize>,
    work: usize,
}

/// The storage of a slot, or of what it is a view of.
fn home(slots: &[Slot], slot: usize) -> usize {
    slots[slots[slot].view_of.unwrap_or(slot)].storage
}

impl Chain<'_> {
    fn home(&self, slot: usize) -> usize {
        home(self.slots, slot)
    }

    /// Whether a slot is no view, or one of all elements in their order.
    fn is_all(&self, slot: usize) -> bool {
        let count = |slot: usize| self.slots[slot].shape.iter().product::<usize>();
        self.slots[slot].view_of.is_none_or(|base| self.slots[slot].strides.is_none() && count(slot) == count(base))
    }

    /// Takes a step in, or gives it back.
    fn join(&mut self, step: Step, access: &Access) -> Option<Step> {
        let count: usize = access.shape.iter().product();
        if self.rows < ROWS || count == 0 || !count.is_multiple_of(self.rows) || access.outer.is_some_and(|_| rows_of(access) != self.rows) {
            return Some(step);
        }
        let reads: Vec<usize> = match &step.work {
            Work::Region(_, inputs) | Work::Reduce(_, inputs) => inputs.clone(),
            Work::Node(operands) => operands.iter().copied().zip(&step.results).map(|(slot, &result)| slot.unwrap_or(result)).collect(),
            _ => return Some(step),
        };
        let size = |slot: usize| (self.slots[slot].shape.iter().product::<usize>(), self.slots[slot].dtype.size());
        let mut touched = self.touched.clone();
        let mut arrays = Vec::new();
        for (&slot, strides) in reads.iter().zip(&access.strides) {
            let (elements, size) = size(slot);
            let row = row_of(elements, strides.as_deref(), &access.shape, self.rows).map(|row| row * size).filter(|_| self.is_all(slot));
            note(&mut touched, self.home(slot), row);
            arrays.push(Array { slot, row: row.unwrap_or(0), local: None });
        }
        let mut written = self.written.clone();
        for &slot in &step.results {
            let (elements, size) = size(slot);
            if !elements.is_multiple_of(self.rows) {
                return Some(step);
            }
            let row = elements / self.rows * size;
            note(&mut touched, self.slots[slot].storage, Some(row));
            written.push(self.slots[slot].storage);
            arrays.push(Array { slot, row, local: None });
        }
        // What is written by rows is read by the same rows.
        if written.iter().any(|storage| touched[storage].is_none()) {
            return Some(step);
        }
        (self.touched, self.written) = (touched, written);
        self.work = self.work.saturating_add(count.saturating_mul(access.cost));
        self.members.push(Member { step, arrays, length: count / self.rows });
        None
    }

    /// The steps, as one if that is of use.
    fn finish(mut self, grouped: &mut Vec<Step>, storages: &mut impl Storages) {
        let row: usize = self.touched.values().flatten().sum();
        let mut users: HashMap<usize, usize> = HashMap::new();
        for member in &self.members {
            let mut own: Vec<usize> = member.arrays.iter().filter(|array| array.row > 0).map(|array| self.home(array.slot)).collect();
            own.sort_unstable();
            own.dedup();
            for storage in own { *users.entry(storage).or_default() += 1; }
        }
        let related = users.values().any(|&users| users > 1);
        if self.members.len() < 2 || row * self.rows < LEAST || !related {
            return grouped.extend(self.members.into_iter().map(|member| member.step));
        }
        let parallel = self.work > SMALL;
        let height = (TILE / row).clamp(1, if parallel { self.rows.div_ceil(TILES) } else { self.rows });
        let last = self.first + self.members.len() - 1;
        let mut scratch = 0;
        let mut local: HashMap<usize, usize> = HashMap::new();
        let mut all: Vec<usize> = self.touched.keys().copied().collect();
        all.sort_unstable();
        for storage in all {
            let Some(bytes) = storages.in_arena(storage) else {
                storages.extend(storage, self.first, last);
                continue;
            };
            let (from, to) = storages.life(storage);
            let whole = self.touched[&storage].is_some_and(|row| row * self.rows == bytes);
            if self.written.contains(&storage) && whole && from >= self.first && to <= last {
                local.insert(storage, scratch);
                scratch += (height * bytes / self.rows).next_multiple_of(64);
                storages.take_out(storage);
            } else {
                storages.extend(storage, self.first, last);
            }
        }
        for array in self.members.iter_mut().flat_map(|member| &mut member.arrays) {
            array.local = local.get(&home(self.slots, array.slot)).copied();
        }
        let steps = self.members.iter().map(|member| &member.step);
        let members = steps.clone().flat_map(|step| if step.members.is_empty() { vec![step.node] } else { step.members.clone() }).collect();
        let results = steps.clone().flat_map(|step| step.results.iter().copied()).collect();
        let Some((node, at)) = steps.last().map(|step| (step.node, step.at)) else { return };
        let note = format!(" with the steps before it, in tiles of {height} of {} rows, {scratch} bytes beside", self.rows);
        let tiles = Tiles { members: self.members, rows: self.rows, height, scratch, parallel };
        grouped.push(Step { at, node, members, work: Work::Tiles(tiles), results, packed: None, note });
    }
}

fn note(touched: &mut HashMap<usize, Option<usize>>, storage: usize, row: Option<usize>) {
    touched.entry(storage).and_modify(|known| if *known != row { *known = None; }).or_insert(row);
}

struct Starts<F>(F);
// SAFETY: what threads share is only read, and what they write is disjoint: see `Tiles::run`.
unsafe impl<F> Sync for Starts<F> {}

impl Tiles {
    /// Computes all results. `start` says where the values of slots begin.
    ///
    /// # Safety
    /// As of the steps alone; of the values that lie in the scratch memory of tiles, `start` is not asked.
    pub unsafe fn run(&self, code: &Code, context: &Context<'_>, slots: &[Slot], start: impl Fn(usize) -> *mut u8) {
        let starts: Vec<Vec<*mut u8>> = self.members.iter().map(|member| {
            member.arrays.iter().map(|array| if array.local.is_some() { std::ptr::null_mut() } else { start(array.slot) }).collect()
        }).collect();
        let starts = Starts(starts);
        let tile = |number: usize| {
            let starts = &starts;
            let (from, to) = (number * self.height, ((number + 1) * self.height).min(self.rows));
            // Eight words more, so that it begins at a whole line of the cache.
            with_scratch(self.scratch / 8 + 8, |scratch: &mut [u64]| {
                let scratch = scratch.as_mut_ptr().cast::<u8>();
                let scratch = scratch.wrapping_add(scratch.align_offset(64));
                for (member, starts) in self.members.iter().zip(&starts.0) {
                    let arrays: Addresses = member.arrays.iter().zip(starts).map(|(array, &start)| match array.local {
                        // So that the first row of the tile is at the place in the scratch memory.
                        Some(offset) => scratch.wrapping_add(offset).wrapping_sub(from * array.row),
                        None => start,
                    }).collect();
                    // SAFETY: the caller's promise; each row is one tile's, and the scratch memory has room for the
                    // rows of a tile.
                    unsafe { member.run(code, context, slots, &arrays, from, to) };
                }
            });
        };
        let count = self.rows.div_ceil(self.height);
        if self.parallel { context.parallel(count, &tile) } else { (0..count).for_each(tile) }
    }

    /// Bytes of scratch memory that a run takes on so many threads.
    pub fn scratch(&self, threads: usize) -> usize {
        let within = self.members.iter().map(|member| match &member.step.work {
            Work::Region(region, _) => region.scratch(threads),
            Work::Reduce(reducing, _) => reducing.scratch(threads),
            _ => 0,
        });
        threads * (self.scratch + 64) + within.max().unwrap_or(0)
    }

    /// The slots that each step reads and writes, of those that are not in the scratch memory of tiles.
    pub fn members(&self) -> impl Iterator<Item = (Vec<usize>, Vec<usize>)> {
        self.members.iter().map(|member| {
            let (reads, results) = member.arrays.split_at(member.arrays.len() - member.step.results.len());
            // An operand that is overwritten stands among the reads as the result.
            let outside = |arrays: &[Array]| arrays.iter().filter(|array| array.local.is_none()).map(|array| array.slot).collect::<Vec<_>>();
            let results = outside(results);
            (outside(reads).into_iter().filter(|slot| !results.contains(slot)).collect(), results)
        })
    }

    /// What it computes and how, for people.
    pub fn describe(&self, code: &Code) -> String {
        let mut text = String::new();
        for Member { step, .. } in &self.members {
            let _ = writeln!(text, "   {}{}", code.graph.node(step.node).op_name(), step.note);
            match &step.work {
                Work::Region(region, _) => text.push_str(&region.describe(&step.origin(code))),
                Work::Reduce(reducing, _) => text.push_str(&reducing.describe(&step.origin(code))),
                _ => {}
            }
        }
        text
    }
}

impl Member {
    /// Computes the rows from `from` to `to`.
    ///
    /// # Safety
    /// As for [`Tiles::run`].
    unsafe fn run(&self, code: &Code, context: &Context<'_>, slots: &[Slot], arrays: &[*mut u8], from: usize, to: usize) {
        match &self.step.work {
            // SAFETY: the caller's promise.
            Work::Region(region, _) => unsafe { region.columns(arrays, from * self.length, to * self.length) },
            // SAFETY: the caller's promise.
            Work::Reduce(reducing, _) => unsafe { reducing.run_rows(arrays, from..to) },
            Work::Node(operands) => {
                let part = |array: &Array, start: *mut u8| -> (DType, Shape, *mut u8, usize) {
                    let slot = &slots[array.slot];
                    // All rows stand on the axis before the last.
                    let mut shape = Shape::from_elem(1, slot.shape.len());
                    let row = array.row / slot.dtype.size();
                    if let [.., rows, last] = shape.as_mut_slice() { (*rows, *last) = (to - from, row); }
                    (slot.dtype, shape, start.wrapping_add(from * array.row), (to - from) * array.row)
                };
                let parts: Vec<_> = self.arrays.iter().zip(arrays).map(|(array, &start)| part(array, start)).collect();
                let (reads, results) = parts.split_at(operands.len());
                let views: Vec<Option<View<'_>>> = reads.iter().zip(operands).map(|((dtype, shape, start, bytes), operand)| {
                    // SAFETY: the caller's promise.
                    operand.map(|_| View { dtype: *dtype, shape, bytes: unsafe { std::slice::from_raw_parts(*start, *bytes) } })
                }).collect();
                let mut results: Vec<ViewMut<'_>> = results.iter().map(|(dtype, shape, start, bytes)| {
                    // SAFETY: the caller's promise.
                    ViewMut { dtype: *dtype, shape, bytes: unsafe { std::slice::from_raw_parts_mut(*start, *bytes) } }
                }).collect();
                // Of the kernels that are taken in, none fails.
                let done = code.compute(context, self.step.node, &views, OfProduct::default(), &mut results);
                debug_assert!(done.is_ok(), "{done:?}");
            }
            _ => {}
        }
    }
}

/// The access of a node whose kernel takes rows by themselves and cannot fail, if it is one.
pub fn by_rows(node: &NodeView<'_>, shape_of: impl Fn(ValueId) -> Shape) -> Option<Access> {
    /// Of an exponential and what is around it.
    const COST: usize = 3000;
    let (op, attributes) = node.apply()?;
    let operand = *node.operands.first()?;
    if !matches!(op.name(), "softmax" | "log_softmax") {
        return None;
    }
    let shape = shape_of(operand);
    let last = attributes.axis("axis", shape.len()).is_ok_and(|axis| axis + 1 == shape.len());
    let outer = shape.len() - 1;
    (last && outer > 0).then(|| Access { shape, strides: vec![None], outer: Some(outer), cost: COST })
}
