//! Indexing as NumPy does: slices, positions, index arrays and masks.

use std::borrow::Cow;

use arignote_core::ops::{IndexBound, IndexItem};
use arignote_core::tensor::{DType, Element, Shape, broadcast_shapes, contiguous_strides};
use arignote_core::{Error, ErrorKind, Result};

use super::{Call, Context, Source};
use super::elementwise::broadcast_strides;
use super::number::Number;
use crate::buffer::{Stored, View, typed, typed_mut, with_scratch};
use crate::stored_type;

/// Where the elements that an index selects lie.
struct Selection {
    base: isize,
    /// Length and stride of each axis; of the table's axis the stride is not used.
    axes: Vec<(usize, isize)>,
    /// The axis of `axes` whose offsets are listed.
    table: Option<(usize, Vec<isize>)>,
    /// The shape, the table's axis as all axes that it stands for.
    shape: Vec<usize>,
}

fn out_of_range(index: i64, axis: usize, length: usize) -> Error {
    Error::new(ErrorKind::Runtime, format!("index {index} is out of range for axis {axis} of length {length}"))
}

fn wrap(index: i64, axis: usize, length: usize) -> Result<usize> {
    let counted = if index < 0 { index.saturating_add(length as i64) } else { index };
    if (0..length as i64).contains(&counted) { Ok(counted as usize) } else { Err(out_of_range(index, axis, length)) }
}

fn slice(start: Option<i64>, stop: Option<i64>, step: i64, length: usize) -> Result<(isize, usize)> {
    if step == 0 {
        return Err(Error::new(ErrorKind::Runtime, "the step of a slice must not be 0"));
    }
    let length = length as i64;
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |bound: Option<i64>, default: i64| bound.map_or(default, |bound| {
        let bound = if bound < 0 { bound.saturating_add(length) } else { bound };
        bound.clamp(low, high)
    });
    let (start, stop) = if step > 0 { (clamp(start, low), clamp(stop, high)) } else { (clamp(start, high), clamp(stop, low)) };
    let distance = if step > 0 { stop - start } else { start - stop };
    let count = if distance <= 0 { 0 } else { ((distance - 1) as u64 / step.unsigned_abs() + 1) as usize };
    Ok((start as isize, count))
}

/// Of an index without operands that goes forward: where it starts along each axis, and of each axis of the result which
/// axis it goes along in which steps (none for a new one). Nothing if it is another, or does not fit.
#[allow(clippy::type_complexity)]
pub fn places(items: &[IndexItem], shape: &[usize]) -> Option<(Vec<usize>, Vec<Option<(usize, usize)>>)> {
    let bound = |bound: &IndexBound| match bound {
        IndexBound::Open => Some(None),
        IndexBound::At(value) => Some(Some(*value)),
        IndexBound::Operand(_) => None,
    };
    let consumed = items.iter().filter(|item| !matches!(item, IndexItem::Ellipsis | IndexItem::NewAxis)).count();
    let mut rest = Some(shape.len().checked_sub(consumed)?);
    let (mut first, mut steps) = (vec![0; shape.len()], Vec::new());
    let mut axis = 0;
    let whole = IndexItem::Ellipsis;
    let ends_open = !items.contains(&IndexItem::Ellipsis);
    for item in items.iter().chain(ends_open.then_some(&whole)) {
        match item {
            IndexItem::Ellipsis => {
                let count = rest.take()?;
                steps.extend((axis..axis + count).map(|axis| Some((axis, 1))));
                axis += count;
            }
            IndexItem::NewAxis => steps.push(None),
            IndexItem::Slice { start, stop, step } if *step > 0 => {
                let (at, count) = slice(bound(start)?, bound(stop)?, *step, shape[axis]).ok()?;
                if count > 0 { first[axis] = usize::try_from(at).ok()?; }
                steps.push(Some((axis, *step as usize)));
                axis += 1;
            }
            IndexItem::At(value) => {
                first[axis] = wrap(*value, axis, shape[axis]).ok()?;
                axis += 1;
            }
            IndexItem::Slice { .. } | IndexItem::Operand(_) => return None,
        }
    }
    Some((first, steps))
}

/// An index array along one axis.
struct Array {
    axis: usize,
    indices: Vec<i64>,
    shape: Shape,
}

fn select(items: &[IndexItem], shape: &[usize], operands: &[View<'_>]) -> Result<Selection> {
    let missing = || Error::new(ErrorKind::Internal, "an index names an operand that is not there");
    let operand = |number: usize| operands.get(number).copied().ok_or_else(missing);
    let scalar = |bound: &IndexBound| -> Result<Option<i64>> {
        Ok(match bound {
            IndexBound::Open => None,
            IndexBound::At(value) => Some(*value),
            IndexBound::Operand(number) => operand(*number)?.ints().first().copied(),
        })
    };
    let mut consumed = 0;
    let mut has_arrays = false;
    for item in items {
        consumed += match item {
            IndexItem::Ellipsis | IndexItem::NewAxis => 0,
            IndexItem::Operand(number) => {
                let view = operand(*number)?;
                has_arrays |= !view.shape.is_empty() || view.dtype == DType::Bool;
                if view.dtype == DType::Bool { view.shape.len() } else { 1 }
            }
            _ => 1,
        };
    }
    if consumed > shape.len() {
        let message = format!("{consumed} indices are too many for {} axes", shape.len());
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    let strides = contiguous_strides(shape);
    let rest = shape.len() - consumed;
    let mut selection = Selection { base: 0, axes: Vec::new(), table: None, shape: Vec::new() };
    let mut arrays: Vec<Array> = Vec::new();
    // The place of the arrays' axes in the result, and whether something stands between them.
    let (mut place, mut split, mut closed) = (None, false, false);
    let mut axis = 0;
    let mut filled = false;
    let whole = IndexItem::Ellipsis;
    let ends_open = !items.contains(&IndexItem::Ellipsis);
    for item in items.iter().chain(ends_open.then_some(&whole)) {
        let mut advanced = |arrays: &mut Vec<Array>, at: usize, new: Vec<Array>| {
            split |= place.is_some() && closed;
            place.get_or_insert(at);
            arrays.extend(new);
        };
        match item {
            IndexItem::Ellipsis if !filled => {
                filled = true;
                closed |= place.is_some() && rest > 0;
                for _ in 0..rest {
                    selection.axes.push((shape[axis], strides[axis]));
                    axis += 1;
                }
                // An ellipsis of no axes still stands between index arrays.
                closed |= place.is_some();
            }
            IndexItem::Ellipsis => return Err(Error::new(ErrorKind::Runtime, "an index has at most one ellipsis")),
            IndexItem::NewAxis => {
                closed |= place.is_some();
                selection.axes.push((1, 0));
            }
            IndexItem::Slice { start, stop, step } => {
                closed |= place.is_some();
                let (first, count) = slice(scalar(start)?, scalar(stop)?, *step, shape[axis])?;
                if count > 0 { selection.base += first * strides[axis]; }
                selection.axes.push((count, strides[axis].wrapping_mul(*step as isize)));
                axis += 1;
            }
            IndexItem::At(value) => {
                let index = wrap(*value, axis, shape[axis])?;
                if has_arrays {
                    advanced(&mut arrays, selection.axes.len(), vec![Array { axis, indices: vec![index as i64], shape: Shape::new() }]);
                } else {
                    selection.base += index as isize * strides[axis];
                }
                axis += 1;
            }
            IndexItem::Operand(number) => {
                let view = operand(*number)?;
                let at = selection.axes.len();
                if view.dtype == DType::Bool {
                    if view.shape != &shape[axis..axis + view.shape.len()] {
                        let message = format!("a mask of shape {:?} does not fit axes of lengths {:?}", view.shape, &shape[axis..axis + view.shape.len()]);
                        return Err(Error::new(ErrorKind::Runtime, message));
                    }
                    let set: Vec<usize> = (0..view.count()).filter(|&i| view.bytes[i] != 0).collect();
                    let own = contiguous_strides(view.shape);
                    let mut new: Vec<Array> = (0..view.shape.len())
                        .map(|k| Array {
                            axis: axis + k,
                            indices: set.iter().map(|&i| (i / own[k] as usize % view.shape[k]) as i64).collect(),
                            shape: Shape::from_slice(&[set.len()]),
                        })
                        .collect();
                    if new.is_empty() {
                        new.push(Array { axis: usize::MAX, indices: vec![0; set.len()], shape: Shape::from_slice(&[set.len()]) });
                    }
                    advanced(&mut arrays, at, new);
                    axis += view.shape.len();
                } else if view.shape.is_empty() && !has_arrays {
                    let index = view.ints().first().copied().ok_or_else(missing)?;
                    selection.base += wrap(index, axis, shape[axis])? as isize * strides[axis];
                    axis += 1;
                } else {
                    advanced(&mut arrays, at, vec![Array { axis, indices: view.ints().into_owned(), shape: view.shape.into() }]);
                    axis += 1;
                }
            }
        }
    }
    selection.shape = selection.axes.iter().map(|&(length, _)| length).collect();
    if let Some(place) = place {
        let place = if split { 0 } else { place };
        let common = arrays.iter().try_fold(Shape::new(), |shape, array| broadcast_shapes(&shape, &array.shape))?;
        let count: usize = common.iter().product();
        let mut table = vec![0isize; count];
        for array in &arrays {
            if array.axis == usize::MAX { continue; }
            let own = broadcast_strides(&array.shape, &common);
            for (at, offset) in table.iter_mut().enumerate() {
                let from = match &own {
                    None => at,
                    Some(own) => {
                        let (mut rest, mut from) = (at, 0);
                        for axis in (0..common.len()).rev() {
                            from += rest % common[axis] * own[axis];
                            rest /= common[axis];
                        }
                        from
                    }
                };
                *offset += wrap(array.indices[from], array.axis, shape[array.axis])? as isize * strides[array.axis];
            }
        }
        selection.axes.insert(place, (count, 0));
        selection.table = Some((place, table));
        selection.shape.splice(place..place, common);
    }
    Ok(selection)
}

impl Selection {
    fn count(&self) -> usize {
        self.axes.iter().map(|&(length, _)| length).product()
    }

    /// Calls with the number and offset of each selected element, in order.
    fn each(&self, mut visit: impl FnMut(usize, usize)) {
        let mut index = vec![0usize; self.axes.len()];
        for at in 0..self.count() {
            let mut offset = self.base;
            for (axis, (&i, &(_, stride))) in index.iter().zip(&self.axes).enumerate() {
                offset += match &self.table {
                    Some((table, offsets)) if *table == axis => offsets[i],
                    _ => i as isize * stride,
                };
            }
            visit(at, offset as usize);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.axes[axis].0 { break; }
                index[axis] = 0;
            }
        }
    }
}

/// Bytes that one thread moves at a time.
const CHUNK: usize = 1 << 16;

impl Selection {
    /// The axes behind which elements lie together in the source, and how many those are.
    fn together(&self) -> (usize, usize) {
        let (mut axes, mut run) = (self.axes.len(), 1);
        while let Some((length, stride)) = axes.checked_sub(1).map(|axis| self.axes[axis])
            && self.table.as_ref().is_none_or(|(table, _)| *table != axes - 1)
            && (stride == run as isize || length == 1)
        {
            run *= length;
            axes -= 1;
        }
        (axes, run)
    }

    /// Where a run of elements begins, by its number among those of the first axes.
    fn start(&self, axes: usize, number: usize) -> usize {
        let (mut rest, mut offset) = (number, self.base);
        for axis in (0..axes).rev() {
            let (length, stride) = self.axes[axis];
            let index = rest % length;
            rest /= length;
            offset += match &self.table {
                Some((table, offsets)) if *table == axis => offsets[index],
                _ => index as isize * stride,
            };
        }
        offset as usize
    }
}

fn extra<'a>(call: &Call<'a, '_>, first: usize) -> Result<Vec<View<'a>>> {
    (first..call.operands.len()).map(|i| call.operand(i)).collect()
}

/// `index`
pub fn index(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    let selection = select(call.attributes.index("index")?, x.shape, &extra(call, 1)?)?;
    let result = &mut call.results[0];
    if selection.shape != result.shape {
        let message = format!("the index selects {:?}, not {:?}", selection.shape, result.shape);
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    stored_type!(x.dtype, T => {
        let (source, target) = (typed::<T>(x.bytes), typed_mut::<T>(result.bytes));
        if selection.table.is_none() {
            let strides: Vec<isize> = selection.axes.iter().map(|axis| axis.1).collect();
            super::shape::strided_copy(call.context, source, selection.base, &strides, result.shape, target);
        } else {
            let (axes, run) = selection.together();
            if run == 0 { return Ok(()); }
            let runs = (CHUNK / (run * size_of::<T>())).max(1);
            let listed: &[isize] = match &selection.table {
                Some((table, offsets)) if table + 1 == axes => offsets,
                _ => &[],
            };
            call.context.chunks(target, runs * run, &|chunk, part| {
                let (first, mut at) = (chunk * runs, 0);
                if listed.is_empty() {
                    for (at, out) in part.chunks_mut(run).enumerate() {
                        let from = selection.start(axes, first + at);
                        out.copy_from_slice(&source[from..from + run]);
                    }
                    return;
                }
                // The listed offsets are those of the last axis: one after the other from one place.
                while at * run < part.len() {
                    let place = (first + at) % listed.len();
                    let base = selection.start(axes, first + at - place) as isize - listed[0];
                    let count = (listed.len() - place).min(part.len() / run - at);
                    let (offsets, out) = (&listed[place..place + count], &mut part[at * run..(at + count) * run]);
                    if run == 1 {
                        for (out, offset) in out.iter_mut().zip(offsets) { *out = source[(base + offset) as usize]; }
                    } else {
                        for (out, offset) in out.chunks_mut(run).zip(offsets) {
                            out.copy_from_slice(&source[(base + offset) as usize..][..run]);
                        }
                    }
                    at += count;
                }
            });
        }
    });
    Ok(())
}

/// Bytes of rows that are scattered by several threads: fewer are scattered sooner by one.
const SHARED: usize = 1 << 18;
/// Tasks of those: each has other rows of the result.
const TASKS: usize = 8;

/// Writes or adds rows of `run` elements, `start` says where; rows that meet in the order of their numbers.
fn scatter<T: Stored>(
    context: &Context<'_>, source: &[T], run: usize, start: &(dyn Fn(usize) -> usize + Sync), combine: &(dyn Fn(&mut [T], &[T]) + Sync), target: &mut [T],
) {
    if size_of_val(source) < SHARED {
        for (number, values) in source.chunks(run).enumerate() { combine(&mut target[start(number)..][..run], values); }
        return;
    }
    let (length, out) = (target.len(), super::matmul::Start(target.as_mut_ptr()));
    with_scratch(source.len().div_ceil(run), |starts: &mut [u64]| {
        for (number, from) in starts.iter_mut().enumerate() { *from = start(number) as u64; }
        let starts = &*starts;
        context.parallel(TASKS, &|task| {
            let out = &out;
            for (&from, values) in starts.iter().zip(source.chunks(run)) {
                let from = from as usize;
                if from / run % TASKS != task { continue; }
                assert!(from + run <= length, "rows are inside");
                // SAFETY: inside of the target; rows that do not begin at one place differ in an index of an axis before theirs,
                // so that they have no element together, and those that do are one task's.
                combine(unsafe { std::slice::from_raw_parts_mut(out.0.add(from), run) }, values);
            }
        });
    });
}

/// The same of what `compute` gives, or else of `given`: some rows at a time.
fn scatter_rows<T: Stored>(
    context: &Context<'_>, (compute, given): (Option<Source<'_>>, &[T]), run: usize, count: usize, start: &(dyn Fn(usize) -> usize + Sync),
    combine: &(dyn Fn(&mut [T], &[T]) + Sync), target: &mut [T],
) {
    let Some(compute) = compute else { return scatter(context, given, run, start, combine, target) };
    let rows = (CHUNK / size_of::<T>() / run).max(1);
    with_scratch(rows * run, |part: &mut [T]| {
        for first in (0..count / run).step_by(rows) {
            let elements = first * run..((first + rows) * run).min(count);
            let part = &mut part[..elements.len()];
            // So that the first of these elements is at the place in the scratch memory.
            compute(part.as_mut_ptr().wrapping_sub(elements.start).cast(), elements);
            scatter(context, part, run, &|number| start(first + number), combine, target);
        }
    });
}

/// Bytes of scratch memory that `set_at` or `add_at` takes for so many bytes of rows; `computed` says that they are computed as
/// they are taken.
pub fn scratch(bytes: usize, run: usize, computed: bool) -> usize {
    let (part, rows) = if computed { (CHUNK.max(run), CHUNK / run.max(1)) } else { (0, bytes / run.max(1)) };
    part + if bytes < SHARED { 0 } else { (rows + 1) * size_of::<u64>() }
}

/// What is computed, whole, or else given.
fn all<'a, T: Stored>(compute: Option<Source<'_>>, given: View<'a>, dtype: DType) -> Cow<'a, [T]> {
    let Some(compute) = compute else { return given.cast(dtype) };
    let mut values = vec![T::default(); given.shape.iter().product()];
    compute(values.as_mut_ptr().cast(), 0..values.len());
    Cow::Owned(values)
}

fn update(call: &mut Call<'_, '_>, add: bool) -> Result<()> {
    let v = call.operand(1)?;
    let shape = call.results[0].shape;
    let selection = select(call.attributes.index("index")?, shape, &extra(call, 2)?)?;
    // NumPy drops leading axes of length 1 of the value.
    let mut own = v.shape;
    while own.len() > selection.shape.len() && own[0] == 1 { own = &own[1..]; }
    if broadcast_shapes(own, &selection.shape).ok().is_none_or(|shape| shape.as_slice() != selection.shape) {
        let message = format!("a value of shape {:?} does not fit the selected elements of shape {:?}", v.shape, selection.shape);
        return Err(Error::new(ErrorKind::Runtime, message));
    }
    if let Some(x) = call.optional(0) {
        call.results[0].bytes.copy_from_slice(x.bytes);
    }
    let (context, compute) = (call.context, call.source);
    let result = &mut call.results[0];
    let dtype = result.dtype;
    let strides = broadcast_strides(own, &selection.shape);
    let from = |at: usize| match &strides {
        None => at,
        Some(strides) => {
            let (mut rest, mut from) = (at, 0);
            for axis in (0..strides.len()).rev() {
                from += rest % selection.shape[axis] * strides[axis];
                rest /= selection.shape[axis];
            }
            from
        }
    };
    if !add {
        stored_type!(dtype, T => {
            let target = typed_mut::<T>(result.bytes);
            let (axes, run) = selection.together();
            if strides.is_none() && run > 1 {
                let given = if compute.is_some() { Cow::Borrowed(&[][..]) } else { v.cast::<T>(dtype) };
                let start = |number: usize| selection.start(axes, number);
                scatter_rows(context, (compute, &given), run, v.shape.iter().product(), &start, &|target, values| target.copy_from_slice(values), target);
                return Ok(());
            }
            let source = all::<T>(compute, v, dtype);
            selection.each(|at, offset| target[offset] = source[from(at)]);
        });
    } else if matches!(dtype, DType::F16 | DType::BF16) {
        stored_type!(dtype, T => {
            let (source, target) = (v.cast::<f32>(DType::F32), typed_mut::<T>(result.bytes));
            let mut sums: Vec<f32> = target.iter().map(|value| value.to_f64() as f32).collect();
            selection.each(|at, offset| sums[offset] += source[from(at)]);
            for (out, sum) in target.iter_mut().zip(sums) { *out = T::from_f64(f64::from(sum)); }
        });
    } else {
        number_type!(dtype, T => {
            let target = typed_mut::<T>(result.bytes);
            let (axes, run) = selection.together();
            if strides.is_none() && dtype != DType::Bool && run > 1 {
                let given = if compute.is_some() { Cow::Borrowed(&[][..]) } else { v.cast::<T>(dtype) };
                let start = |number: usize| selection.start(axes, number);
                let add = |target: &mut [T], values: &[T]| target.iter_mut().zip(values).for_each(|(sum, &value)| *sum = sum.add(value));
                scatter_rows(context, (compute, &given), run, v.shape.iter().product(), &start, &add, target);
                return Ok(());
            }
            let source = all::<T>(compute, v, dtype);
            selection.each(|at, offset| {
                let sum = target[offset].add(source[from(at)]);
                target[offset] = if dtype == DType::Bool && sum != T::default() { T::ONE } else { sum };
            });
        });
    }
    Ok(())
}

/// `set_at`
pub fn set_at(call: &mut Call<'_, '_>) -> Result<()> {
    update(call, false)
}

/// `add_at`
pub fn add_at(call: &mut Call<'_, '_>) -> Result<()> {
    update(call, true)
}

/// An index as a mode of `take` brings it into range.
fn moded(mode: &str, length: usize) -> impl Fn(i64) -> i64 {
    let length = length as i64;
    let (wraps, clips) = (mode == "wrap" && length > 0, mode == "clip" && length > 0);
    move |index| if wraps { index.rem_euclid(length) } else if clips { index.clamp(0, length - 1) } else { index }
}

/// Of `take` along the first axis, or `index` by one array: the numbers of the elements at which the rows begin.
pub fn row_starts(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, indices) = (call.operand(0)?, call.operand(1)?);
    let (length, row) = (x.shape[0], x.shape[1..].iter().product::<usize>());
    let mode = if call.attributes.get("index").is_some() { "raise" } else { call.attributes.str("mode")? };
    let moded = moded(mode, length);
    for (out, &index) in typed_mut::<i64>(call.results[0].bytes).iter_mut().zip(indices.ints().iter()) {
        *out = (wrap(moded(index), 0, length)? * row) as i64;
    }
    Ok(())
}

/// `take`
pub fn take(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, indices) = (call.operand(0)?, call.operand(1)?);
    let axis = match call.attributes.ints("axis")? {
        Some(_) => Some(call.attributes.axis("axis", x.shape.len())?),
        None => None,
    };
    let (outer, length, inner) = match axis {
        Some(axis) => (x.shape[..axis].iter().product(), x.shape[axis], x.shape[axis + 1..].iter().product::<usize>()),
        None => (1, x.count(), 1),
    };
    let moded = moded(call.attributes.str("mode")?, length);
    let places = indices.ints().iter().map(|&i| wrap(moded(i), axis.unwrap_or(0), length)).collect::<Result<Vec<_>>>()?;
    let size = x.dtype.size() * inner;
    if size == 0 || places.is_empty() { return Ok(()); }
    debug_assert!(call.results[0].bytes.len() == outer * places.len() * size);
    let each = (CHUNK / size).max(1);
    call.context.chunks(call.results[0].bytes, each * size, &|chunk, part| {
        for (at, out) in part.chunks_mut(size).enumerate() {
            let number = chunk * each + at;
            let from = (number / places.len() * length + places[number % places.len()]) * size;
            out.copy_from_slice(&x.bytes[from..from + size]);
        }
    });
    Ok(())
}

/// `one_hot`
pub fn one_hot(call: &mut Call<'_, '_>) -> Result<()> {
    let indices = call.operand(0)?;
    let result = &mut call.results[0];
    let depth = result.shape.last().copied().unwrap_or(0);
    stored_type!(result.dtype, T => {
        let target = typed_mut::<T>(result.bytes);
        target.fill(T::default());
        for (at, &index) in indices.ints().iter().enumerate() {
            if !(0..depth as i64).contains(&index) { return Err(out_of_range(index, result.shape.len() - 1, depth)); }
            target[at * depth + index as usize] = T::from_i64(1);
        }
    });
    Ok(())
}
