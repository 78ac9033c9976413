//! Reading and writing at places: NumPy's basic and advanced indexing, `take`, `one_hot`.

use arignote_core::error::{Error, ErrorKind};
use arignote_core::ops::{IndexBound, IndexItem};
use arignote_core::tensor::{DType, Kind, Tensor, broadcast_shapes};
use arignote_core::{Result, dispatch_dtype};

use crate::kernel::{Function, KernelCall};
use crate::values::{
    allocate, broadcast_offsets, count, fail, floats, for_each_index, from_floats, from_integers, gather, integers,
    sizes, strides,
};

/// The kernel of an op that indexes.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "index" => index,
        "set_at" => set_at,
        "add_at" => add_at,
        "take" => take,
        "one_hot" => one_hot,
        "ravel_multi_index" => ravel_multi_index,
        "unravel_index" => unravel_index,
        _ => return None,
    })
}

/// What an index expression selects: a shape, and for each of its elements the place in the source.
struct Selection {
    shape: Vec<usize>,
    offsets: Vec<usize>,
}

/// One item of an index, worked out for the shapes at hand.
enum Selector {
    /// A new axis of length 1.
    New,
    /// These positions along the next axis.
    Along(Vec<usize>),
    /// An array of positions along each of some axes (none for a mask without axes).
    Advanced { arrays: Vec<Vec<usize>>, shape: Vec<usize> },
}

/// A position on an axis, counted from the front.
fn position(index: i128, axis: usize, length: usize) -> Result<usize> {
    let counted = if index < 0 { index + length as i128 } else { index };
    if (0..length as i128).contains(&counted) {
        return Ok(counted as usize);
    }
    Err(fail(format!("index {index} is out of range for axis {axis} of length {length}")))
}

/// A position on an axis that has any, brought into range as the mode says.
fn moded(index: i128, length: usize, mode: &str) -> i128 {
    match mode {
        "wrap" if length > 0 => index.rem_euclid(length as i128),
        "clip" if length > 0 => index.clamp(0, length as i128 - 1),
        _ => index,
    }
}

/// The positions of a slice, as Python's `slice.indices`.
fn slice(start: Option<i128>, stop: Option<i128>, step: i64, length: usize) -> Result<Vec<usize>> {
    if step == 0 {
        return Err(fail("a slice's step must not be 0"));
    }
    let (step, length) = (i128::from(step), length as i128);
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |bound: Option<i128>, open: i128| {
        bound.map_or(open, |bound| if bound < 0 { bound + length } else { bound }.clamp(low, high))
    };
    let (start, stop) = if step > 0 { (clamp(start, low), clamp(stop, high)) } else { (clamp(start, high), clamp(stop, low)) };
    let mut positions = Vec::new();
    let mut at = start;
    while if step > 0 { at < stop } else { at > stop } {
        positions.push(at as usize);
        at += step;
    }
    Ok(positions)
}

/// The number in an operand that is an integer scalar.
fn scalar(operand: &Tensor) -> Result<i128> {
    if operand.rank() > 0 || !(operand.dtype().is_integer()) {
        let message = format!("a slice's bound must be a whole number, not {}{:?}", operand.dtype(), operand.shape());
        return Err(fail(message));
    }
    integers(operand).first().copied().ok_or_else(|| Error::new(ErrorKind::Internal, "a scalar has no element"))
}

fn operand(operands: &[Tensor], number: usize) -> Result<&Tensor> {
    let message = || format!("the index names its operand {number}, but there are {}", operands.len());
    operands.get(number).ok_or_else(|| Error::new(ErrorKind::Type, message()))
}

/// How many axes of the source an item takes.
fn axes_taken(item: &IndexItem, operands: &[Tensor]) -> Result<usize> {
    Ok(match item {
        IndexItem::NewAxis | IndexItem::Ellipsis => 0,
        IndexItem::Slice { .. } | IndexItem::At(_) => 1,
        IndexItem::Operand(number) => {
            let operand = operand(operands, *number)?;
            if operand.dtype() == DType::Bool { operand.rank() } else { 1 }
        }
    })
}

fn selectors(source: &[usize], items: &[IndexItem], operands: &[Tensor]) -> Result<Vec<Selector>> {
    let taken: usize =
        items.iter().map(|item| axes_taken(item, operands)).sum::<Result<usize>>()?;
    let Some(open) = source.len().checked_sub(taken) else {
        return Err(fail(format!("an index of {taken} axes is too long for shape {source:?}")));
    };
    if items.iter().filter(|item| **item == IndexItem::Ellipsis).count() > 1 {
        return Err(fail("an index has at most one `...`"));
    }
    let whole = |axis: usize| Selector::Along((0..source[axis]).collect());
    let mut selectors = Vec::new();
    let mut axis = 0;
    for item in items {
        let length = source.get(axis).copied().unwrap_or(1);
        let bound = |bound: &IndexBound| match bound {
            IndexBound::Open => Ok(None),
            IndexBound::At(value) => Ok(Some(i128::from(*value))),
            IndexBound::Operand(number) => scalar(operand(operands, *number)?).map(Some),
        };
        match item {
            IndexItem::NewAxis => selectors.push(Selector::New),
            IndexItem::Ellipsis => {
                selectors.extend((axis..axis + open).map(whole));
                axis += open;
                continue;
            }
            IndexItem::Slice { start, stop, step } => {
                selectors.push(Selector::Along(slice(bound(start)?, bound(stop)?, *step, length)?));
            }
            IndexItem::At(value) => {
                let arrays = vec![vec![position(i128::from(*value), axis, length)?]];
                selectors.push(Selector::Advanced { arrays, shape: Vec::new() });
            }
            IndexItem::Operand(number) => {
                let operand = operand(operands, *number)?;
                selectors.push(match operand.dtype().kind() {
                    Kind::Bool => mask(operand, axis, &source[axis..])?,
                    Kind::Float => {
                        return Err(fail(format!("an index must be whole numbers or a mask, not {}", operand.dtype())));
                    }
                    _ => {
                        let positions = integers(operand).into_iter().map(|value| position(value, axis, length));
                        let arrays = vec![positions.collect::<Result<_>>()?];
                        Selector::Advanced { arrays, shape: operand.shape().to_vec() }
                    }
                });
            }
        }
        axis += axes_taken(item, operands)?;
    }
    selectors.extend((axis..source.len()).map(whole));
    Ok(selectors)
}

/// A mask is one array of positions for each of its axes.
fn mask(mask: &Tensor, axis: usize, source: &[usize]) -> Result<Selector> {
    if let Some(own) = (0..mask.rank()).find(|&own| mask.shape()[own] != source[own]) {
        let message = format!(
            "a mask of length {} does not fit axis {} of length {}", mask.shape()[own], axis + own, source[own]
        );
        return Err(fail(message));
    }
    let mut arrays = vec![Vec::new(); mask.rank()];
    let mut found = 0;
    let values = mask.as_slice::<bool>()?;
    let mut place = 0;
    for_each_index(mask.shape(), |index| {
        if values[place] {
            found += 1;
            arrays.iter_mut().zip(index).for_each(|(array, &i)| array.push(i));
        }
        place += 1;
    });
    Ok(Selector::Advanced { arrays, shape: vec![found] })
}

fn select(source: &[usize], items: &[IndexItem], operands: &[Tensor]) -> Result<Selection> {
    let selectors = selectors(source, items, operands)?;
    let together = selectors.iter().try_fold(Vec::new(), |common: Vec<usize>, selector| match selector {
        Selector::Advanced { shape, .. } => broadcast_shapes(&common, shape).map(|shape| shape.to_vec()),
        _ => Ok(common),
    })?;
    // Advanced items that stand side by side put their axes in their place, others put them first.
    let first = selectors.iter().position(|selector| matches!(selector, Selector::Advanced { .. }));
    let lead = if adjacent(items) { first.unwrap_or(0) } else { 0 };
    let plain: Vec<usize> = selectors
        .iter()
        .filter_map(|selector| match selector {
            Selector::New => Some(1),
            Selector::Along(positions) => Some(positions.len()),
            Selector::Advanced { .. } => None,
        })
        .collect();
    let shape: Vec<usize> = plain[..lead].iter().chain(&together).chain(&plain[lead..]).copied().collect();
    count(&shape)?;

    let steps = strides(source);
    // Where each place of the common shape of the advanced items lies, summed over their axes.
    let mut advanced = vec![0; count(&together)?];
    let mut axis = 0;
    for selector in &selectors {
        match selector {
            Selector::New => {}
            Selector::Along(_) => axis += 1,
            Selector::Advanced { arrays, shape } => {
                let offsets = broadcast_offsets(shape, &together)?;
                for array in arrays {
                    advanced.iter_mut().zip(&offsets).for_each(|(sum, &offset)| *sum += array[offset] * steps[axis]);
                    axis += 1;
                }
            }
        }
    }
    let steps_together = strides(&together);
    let mut offsets = allocate(&shape)?;
    for_each_index(&shape, |index| {
        let own = &index[lead..lead + together.len()];
        let place: usize = own.iter().zip(&steps_together).map(|(i, step)| i * step).sum();
        let mut offset = advanced[place];
        let mut plain = index[..lead].iter().chain(&index[lead + together.len()..]);
        let mut axis = 0;
        for selector in &selectors {
            match selector {
                Selector::New => drop(plain.next()),
                Selector::Along(positions) => {
                    offset += plain.next().map_or(0, |&i| positions[i]) * steps[axis];
                    axis += 1;
                }
                Selector::Advanced { arrays, .. } => axis += arrays.len(),
            }
        }
        offsets.push(offset);
    });
    Ok(Selection { shape, offsets })
}

/// Whether no slice, new axis or `...` stands between two advanced items. Literal positions count as
/// advanced where there is an array.
fn adjacent(items: &[IndexItem]) -> bool {
    let is_advanced = |item: &IndexItem| matches!(item, IndexItem::At(_) | IndexItem::Operand(_));
    let first = items.iter().position(is_advanced).unwrap_or(0);
    let end = items.iter().rposition(is_advanced).map_or(0, |last| last + 1);
    items[first..end].iter().all(is_advanced)
}

fn index(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.as_result(0)?;
    let selection = select(x.shape(), call.attributes.index("index")?, &call.operands[1..])?;
    Ok(vec![gather(&x, &selection.offsets, &selection.shape)?])
}

/// The selection of a write and, for each of its elements, which element of `v` goes there.
fn write_plan(call: &KernelCall<'_>) -> Result<(Selection, Vec<usize>)> {
    let (x, v) = (call.operand(0)?, call.operand(1)?);
    let selection = select(x.shape(), call.attributes.index("index")?, &call.operands[2..])?;
    // As NumPy, leading axes of length 1 too many are let go.
    let extra = v.rank().saturating_sub(selection.shape.len());
    let own = if v.shape()[..extra].iter().all(|&length| length == 1) { &v.shape()[extra..] } else { v.shape() };
    let from = broadcast_offsets(own, &selection.shape).map_err(|_| {
        fail(format!("a value of shape {:?} does not fit the selection of shape {:?}", v.shape(), selection.shape))
    })?;
    Ok((selection, from))
}

fn set_at(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (selection, from) = write_plan(call)?;
    let (mut x, v) = (call.as_result(0)?, call.as_result(1)?);
    dispatch_dtype!(call.dtype()?, T => {
        let (target, values) = (x.as_mut_slice::<T>()?, v.as_slice::<T>()?);
        for (&to, &from) in selection.offsets.iter().zip(&from) {
            target[to] = values[from];
        }
    });
    Ok(vec![x])
}

/// Adds; a place that is named several times receives every value.
fn add_at(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (selection, from) = write_plan(call)?;
    let (x, v, dtype) = (call.as_result(0)?, call.as_result(1)?, call.dtype()?);
    let pairs = selection.offsets.iter().zip(&from);
    Ok(vec![if dtype.is_float() {
        let (mut target, values) = (floats(&x), floats(&v));
        pairs.for_each(|(&to, &from)| target[to] += values[from]);
        from_floats(dtype, target, x.shape())?
    } else {
        let (mut target, values) = (integers(&x), integers(&v));
        pairs.for_each(|(&to, &from)| target[to] += values[from]);
        from_integers(dtype, target, x.shape())?
    }])
}

fn take(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, indices) = (call.as_result(0)?, call.operand(1)?);
    if !indices.dtype().is_integer() {
        return Err(fail(format!("indices must be whole numbers, not {}", indices.dtype())));
    }
    let (x, axis) = match call.attributes.ints("axis")? {
        None => (x.reshaped(&[x.len()])?, 0),
        Some(_) => {
            let axis = call.attributes.axis("axis", x.rank())?;
            (x, axis)
        }
    };
    let length = x.shape()[axis];
    let mode = call.attributes.str("mode")?;
    let places = integers(indices).into_iter().map(|index| position(moded(index, length, mode), axis, length));
    let places: Vec<usize> = places.collect::<Result<_>>()?;
    let shape = [&x.shape()[..axis], indices.shape(), &x.shape()[axis + 1..]].concat();
    let (steps, own_steps) = (strides(x.shape()), strides(indices.shape()));
    let mut offsets = allocate(&shape)?;
    for_each_index(&shape, |index| {
        let (before, rest) = index.split_at(axis);
        let (own, after) = rest.split_at(indices.rank());
        let sum = |index: &[usize], steps: &[usize]| index.iter().zip(steps).map(|(i, step)| i * step).sum::<usize>();
        let place = places[sum(own, &own_steps)];
        offsets.push(sum(before, &steps) + place * steps[axis] + sum(after, &steps[axis + 1..]));
    });
    Ok(vec![gather(&x, &offsets, &shape)?])
}

fn one_hot(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.operand(0)?;
    let depth = call.attributes.int("depth")?;
    let depth = usize::try_from(depth).map_err(|_| fail(format!("`depth` must not be negative, found {depth}")))?;
    let shape = [x.shape(), &[depth]].concat();
    let mut values = allocate(&shape)?;
    for label in integers(x) {
        if !(0..depth as i128).contains(&label) {
            return Err(fail(format!("index {label} is out of range for axis {} of length {depth}", x.rank())));
        }
        values.extend((0..depth as i128).map(|class| i128::from(class == label)));
    }
    Ok(vec![from_integers(call.dtype()?, values, &shape)?])
}

fn ravel_multi_index(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (Some(shape), axes) = (call.operands.last(), call.operands.len().saturating_sub(1)) else {
        return Err(fail("the shape is missing"));
    };
    let (shape, indices) = (sizes(shape)?, &call.operands[..axes]);
    count(&shape)?;
    let mode = call.attributes.str("mode")?;
    let mut together = Vec::new();
    for operand in indices {
        together = broadcast_shapes(&together, operand.shape())?.to_vec();
    }
    let mut places = crate::values::filled(&together, 0i128)?;
    for (axis, (operand, &step)) in indices.iter().zip(&strides(&shape)).enumerate() {
        let (values, offsets) = (integers(operand), broadcast_offsets(operand.shape(), &together)?);
        for (place, offset) in places.iter_mut().zip(offsets) {
            let index = moded(values[offset], shape[axis], mode);
            if !(0..shape[axis] as i128).contains(&index) {
                return Err(fail(format!("index {index} is out of range for axis {axis} of length {}", shape[axis])));
            }
            *place += index * step as i128;
        }
    }
    Ok(vec![from_integers(DType::I64, places, &together)?])
}

fn unravel_index(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (indices, shape) = (call.operand(0)?, sizes(call.operand(1)?)?);
    let total = count(&shape)?;
    let places = integers(indices);
    if let Some(place) = places.iter().find(|place| !(0..total as i128).contains(*place)) {
        return Err(fail(format!("index {place} is out of range for shape {shape:?} of {total} elements")));
    }
    let on_axis = |(&length, &step): (&usize, &usize)| {
        let positions = places.iter().map(|place| place / step as i128 % length as i128).collect();
        from_integers(DType::I64, positions, indices.shape())
    };
    shape.iter().zip(&strides(&shape)).map(on_axis).collect()
}
