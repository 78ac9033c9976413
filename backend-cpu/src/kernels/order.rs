//! Running sums and products, and places in ascending order, line by line.

use arignote_core::Result;
use arignote_core::tensor::{DType, Element};

use super::{Call, number::Number};
use crate::buffer::{Stored, typed, typed_mut};
use crate::stored_type;

/// Elements of lines that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The operand as lines along an axis: how many before it, its length, and how many elements of each entry. All
/// elements are one line where the attribute is none.
fn lines(call: &Call<'_, '_>) -> Result<(usize, usize, usize)> {
    let shape = call.operand(0)?.shape;
    Ok(match call.attributes.ints("axis")? {
        None => (1, shape.iter().product(), 1),
        Some(_) => {
            let axis = call.attributes.axis("axis", shape.len())?;
            (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
        }
    })
}

/// Each step from what was there before, summed in a type that may be wider and stored in the result's.
fn running<T: Number>(call: &mut Call<'_, '_>, wide: DType, first: T, step: fn(T, T) -> T) -> Result<()> {
    let (_, length, inner) = lines(call)?;
    let x = call.operand(0)?;
    let context = call.context;
    let result = &mut call.results[0];
    let dtype = result.dtype;
    if length * inner == 0 {
        return Ok(());
    }
    // First what a step takes: the elements in the result's dtype.
    stored_type!(dtype, R => {
        let x = x.cast::<R>(dtype);
        let target = typed_mut::<R>(result.bytes);
        let each = (CHUNK / (length * inner)).max(1) * length * inner;
        let into = |value: R| -> T { crate::buffer::convert(value) };
        let out = |value: T| -> R { if dtype == DType::Bool { R::from_i64(i64::from(value != T::default())) } else { crate::buffer::convert(value) } };
        debug_assert!(wide == T::DTYPE);
        context.chunks(target, each, &|chunk, part| {
            let mut sums = vec![first; inner];
            for (line, x) in part.chunks_mut(length * inner).zip(x[chunk * each..].chunks(length * inner)) {
                sums.fill(first);
                for (out_row, row) in line.chunks_mut(inner).zip(x.chunks(inner)) {
                    for ((target, &value), sum) in out_row.iter_mut().zip(row).zip(&mut sums) {
                        *sum = step(*sum, into(value));
                        *target = out(*sum);
                    }
                }
            }
        });
    });
    Ok(())
}

/// `cumsum`
pub fn cumsum(call: &mut Call<'_, '_>) -> Result<()> {
    match call.results[0].dtype {
        dtype if dtype.is_float() => running::<f64>(call, DType::F64, 0.0, |sum, x| sum + x),
        DType::U64 => running::<u64>(call, DType::U64, 0, u64::wrapping_add),
        _ => running::<i64>(call, DType::I64, 0, i64::wrapping_add),
    }
}

/// `cumprod`
pub fn cumprod(call: &mut Call<'_, '_>) -> Result<()> {
    match call.results[0].dtype {
        dtype if dtype.is_float() => running::<f64>(call, DType::F64, 1.0, |product, x| product * x),
        DType::U64 => running::<u64>(call, DType::U64, 1, u64::wrapping_mul),
        _ => running::<i64>(call, DType::I64, 1, i64::wrapping_mul),
    }
}

/// A number in an order of whole numbers that is its own: 0 and -0 are equal, NaN comes last.
fn key<T: Element>(value: T) -> u64 {
    if T::DTYPE.is_float() {
        let value = value.to_f64();
        if value.is_nan() {
            return u64::MAX;
        }
        let bits = (value + 0.0).to_bits();
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    } else if T::DTYPE == DType::U64 {
        value.to_i64() as u64
    } else {
        (value.to_i64() as u64) ^ (1 << 63)
    }
}

/// The same in 32 bits, of types that have no more.
fn narrow_key<T: Element>(value: T) -> u32 {
    if T::DTYPE.is_float() {
        let value = value.to_f64() as f32;
        if value.is_nan() {
            return u32::MAX;
        }
        let bits = (value + 0.0).to_bits();
        if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
    } else {
        // Of unsigned numbers, the upper half wraps behind the lower one and so keeps its place.
        let shift = if T::from_i64(-1).to_i64() < 0 { 1 << 31 } else { 0 };
        (value.to_i64() + shift) as u32
    }
}

/// Equal elements keep their order by their places, which are compared last.
fn places<'a, T: Stored>(x: impl Iterator<Item = T>, wide: &mut Vec<(u64, u32)>, narrow: &mut Vec<u64>, out: impl Iterator<Item = &'a mut i64>) {
    let x = x.zip(0u32..);
    if size_of::<T>() <= 4 {
        narrow.clear();
        narrow.extend(x.map(|(value, at)| u64::from(narrow_key(value)) << 32 | u64::from(at)));
        narrow.sort_unstable();
        out.zip(narrow).for_each(|(out, entry)| *out = i64::from(*entry as u32));
    } else if !T::DTYPE.is_float() && size_of::<T>() == 8 {
        // Whole numbers that are near each other, such as places, also fit beside their own place in one word.
        wide.clear();
        wide.extend(x.map(|(value, at)| (key(value), at)));
        let least = wide.iter().map(|entry| entry.0).min().unwrap_or(0);
        if wide.iter().all(|entry| entry.0 - least <= u64::from(u32::MAX)) {
            narrow.clear();
            narrow.extend(wide.iter().map(|&(key, at)| (key - least) << 32 | u64::from(at)));
            narrow.sort_unstable();
            out.zip(narrow).for_each(|(out, entry)| *out = i64::from(*entry as u32));
            return;
        }
        wide.sort_unstable();
        out.zip(wide).for_each(|(out, entry)| *out = i64::from(entry.1));
    } else {
        wide.clear();
        wide.extend(x.map(|(value, at)| (key(value), at)));
        wide.sort_unstable();
        out.zip(wide).for_each(|(out, entry)| *out = i64::from(entry.1));
    }
}

/// `argsort`
pub fn argsort(call: &mut Call<'_, '_>) -> Result<()> {
    let (_, length, inner) = lines(call)?;
    let x = call.operand(0)?;
    let target = typed_mut::<i64>(call.results[0].bytes);
    if length * inner == 0 {
        return Ok(());
    }
    if u32::try_from(length).is_err() {
        return Err(arignote_core::Error::new(arignote_core::ErrorKind::Runtime, format!("{length} elements are too many to sort")));
    }
    let each = (CHUNK / (length * inner)).max(1) * length * inner;
    stored_type!(x.dtype, T => {
        let x = typed::<T>(x.bytes);
        call.context.chunks(target, each, &|chunk, part| {
            let (mut wide, mut narrow) = (Vec::new(), Vec::new());
            for (number, block) in part.chunks_mut(length * inner).enumerate() {
                let start = chunk * each + number * length * inner;
                for line in 0..inner {
                    let (from, to) = (&x[start + line..start + length * inner], &mut block[line..]);
                    places(from.iter().step_by(inner).copied(), &mut wide, &mut narrow, to.iter_mut().step_by(inner));
                }
            }
        });
    });
    Ok(())
}

/// `searchsorted`
pub fn searchsorted(call: &mut Call<'_, '_>) -> Result<()> {
    let (a, v) = (call.operand(0)?, call.operand(1)?);
    let right = call.attributes.str("side")? == "right";
    let fail = |message: String| Err(arignote_core::Error::new(arignote_core::ErrorKind::Runtime, message));
    let count = a.count();
    let sorter: Option<Vec<usize>> = match call.optional(2) {
        None => None,
        Some(sorter) if sorter.count() != count => {
            return fail(format!("`sorter` has {} places for {count} elements", sorter.count()));
        }
        Some(sorter) => {
            let mut places = Vec::with_capacity(count);
            for &at in sorter.ints().iter() {
                match usize::try_from(if at < 0 { at.saturating_add(count as i64) } else { at }) {
                    Ok(place) if place < count => places.push(place),
                    _ => return fail(format!("the place {at} of `sorter` is out of range for {count} elements")),
                }
            }
            Some(places)
        }
    };
    let target = typed_mut::<i64>(call.results[0].bytes);
    let dtype = DType::promote(a.dtype, v.dtype);
    stored_type!(dtype, T => {
        let (mut ascending, sought) = (a.cast::<T>(dtype), v.cast::<T>(dtype));
        // Each element in its own vector: how far the elements that equal it reach, going through them once.
        if let (Some(places), true) = (&sorter, v.bytes.as_ptr_range() == a.bytes.as_ptr_range() && a.shape == v.shape) {
            let keys: Vec<u64> = ascending.iter().map(|&x| key(x)).collect();
            if places.is_sorted_by_key(|&place| keys[place]) && is_once(places) {
                for run in places.chunk_by(|&one, &other| keys[one] == keys[other]) {
                    let first = (run.as_ptr().addr() - places.as_ptr().addr()) / size_of::<usize>();
                    let found = if right { first + run.len() } else { first };
                    for &place in run { target[place] = found as i64; }
                }
                return Ok(());
            }
        }
        if let Some(places) = &sorter {
            ascending = places.iter().map(|&place| ascending[place]).collect();
        }
        let keys: Vec<u64> = ascending.iter().map(|&x| key(x)).collect();
        call.context.chunks(target, CHUNK / 16, &|chunk, part| {
            for (out, &x) in part.iter_mut().zip(&sought[chunk * (CHUNK / 16)..]) {
                let x = key(x);
                *out = keys.partition_point(|&y| if right { y <= x } else { y < x }) as i64;
            }
        });
    });
    Ok(())
}

/// Whether places below their number are each there.
fn is_once(places: &[usize]) -> bool {
    let mut seen = vec![false; places.len()];
    places.iter().for_each(|&place| seen[place] = true);
    !seen.contains(&false)
}
