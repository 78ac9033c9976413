//! Kernels that move elements.

use arignote_core::Result;
use arignote_core::ops::{Attributes, normalize_axis};
use smallvec::SmallVec;

use super::matmul::Start;
use super::turn::{SIDE, turn};
use super::{Call, Context};
use crate::buffer::{Stored, View, typed, typed_mut};
use crate::stored_type;

/// Runs `$body` with `$T` an unsigned integer of the size of the dtype.
macro_rules! by_size {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype.size() {
            1 => { type $T = u8; $body }
            2 => { type $T = u16; $body }
            4 => { type $T = u32; $body }
            _ => { type $T = u64; $body }
        }
    };
}

/// Elements that one thread moves at a time.
const CHUNK: usize = 16384;

/// Copies elements that lie `strides` apart, from `base` on, to a contiguous target.
pub fn strided_copy<T: Stored>(context: &Context<'_>, source: &[T], base: isize, strides: &[isize], shape: &[usize], target: &mut [T]) {
    // Axes of one entry, and those that lie as one with the axis before, are none of their own.
    let (mut lengths, mut steps): (SmallVec<[usize; 6]>, SmallVec<[isize; 6]>) = Default::default();
    for (&length, &step) in shape.iter().zip(strides) {
        match (lengths.last_mut(), steps.last_mut()) {
            _ if length == 1 => {}
            (Some(before), Some(last)) if *last == step.wrapping_mul(length as isize) => (*before, *last) = (*before * length, step),
            _ => {
                lengths.push(length);
                steps.push(step);
            }
        }
    }
    let (shape, strides) = (&lengths, &steps);
    let (Some(&inner), Some(&step)) = (shape.last(), strides.last()) else {
        if let (Some(out), Some(&value)) = (target.first_mut(), source.get(base as usize)) { *out = value; }
        return;
    };
    if target.is_empty() { return; }
    if let (true, Some(near)) = (step != 1 && step != 0, strides.iter().position(|&step| step == 1))
        && inner >= 8 && shape[near] >= 8
    {
        return transposed_copy(context, source, base, strides, shape, near, target);
    }
    let rows = (CHUNK / inner.max(1)).max(1);
    let axes = shape.len() - 1;
    context.chunks(target, rows * inner, &|chunk, part| {
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, axes);
        let mut rest = chunk * rows;
        for axis in (0..axes).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        for row in part.chunks_mut(inner) {
            let offset = base + index.iter().zip(strides).map(|(&i, &s)| i as isize * s).sum::<isize>();
            match step {
                1 => row.copy_from_slice(&source[offset as usize..offset as usize + inner]),
                0 => row.fill(source[offset as usize]),
                // Of what lies forward, the iterator knows the bounds.
                2.. => for (out, &value) in row.iter_mut().zip(source[offset as usize..].iter().step_by(step as usize)) { *out = value; },
                _ => for (i, out) in row.iter_mut().enumerate() { *out = source[(offset + i as isize * step) as usize]; },
            }
            for axis in (0..axes).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] { break; }
                index[axis] = 0;
            }
        }
    });
}

/// The same where elements of the axis `near`, not the last, lie together in the source: by squares of a line of
/// memory, each of which is read and written whole.
pub fn transposed_copy<T: Stored>(
    context: &Context<'_>, source: &[T], base: isize, strides: &[isize], shape: &[usize], near: usize, target: &mut [T],
) {
    /// Rows of the target that are written side by side, so that pages of the source are used while they are known.
    const ROWS: usize = 8 * SIDE;
    let (last, own) = (shape.len() - 1, arignote_core::tensor::contiguous_strides(shape));
    let (length, inner, step, apart) = (shape[near], shape[last], strides[last], own[near] as usize);
    let parts = length.div_ceil(ROWS);
    let others: Vec<usize> = (0..last).filter(|&axis| axis != near).collect();
    let count: usize = others.iter().map(|&axis| shape[axis]).product();
    let past_caches = size_of_val(target) >= PAST_CACHES;
    let start = Start(target.as_mut_ptr());
    let body = |task: usize| {
        let start = &start;
        let (mut rest, part) = (task / parts, task % parts);
        let (mut from, mut to) = (base, 0);
        for &axis in others.iter().rev() {
            let index = rest % shape[axis];
            rest /= shape[axis];
            from += index as isize * strides[axis];
            to += index * own[axis] as usize;
        }
        let rows = part * ROWS..((part + 1) * ROWS).min(length);
        let mut square = Square([T::default(); SIDE * SIDE]);
        for first in (0..inner).step_by(SIDE) {
            let width = SIDE.min(inner - first);
            for row in rows.clone().step_by(SIDE) {
                let height = SIDE.min(rows.end - row);
                let line_at = |column: usize| (from + row as isize + (first + column) as isize * step) as usize;
                let whole = (height, width) == (SIDE, SIDE) && step > 0 && line_at(SIDE - 1) + SIDE <= source.len();
                if whole {
                    let lines = source[line_at(0)..].as_ptr();
                    // SAFETY: the last of the lines, which go forward, ends inside of the source; this part of the target is
                    // inside of it, and no other task's: the others have other rows, or other places on the other axes.
                    unsafe {
                        if past_caches {
                            turn(lines, step as usize, square.0.as_mut_ptr(), SIDE);
                        } else {
                            turn(lines, step as usize, start.0.add(to + row * apart + first), apart);
                            continue;
                        }
                    }
                } else {
                    for column in 0..width {
                        for (i, &value) in source[line_at(column)..][..height].iter().enumerate() { square.0[i * SIDE + column] = value; }
                    }
                }
                for i in 0..height {
                    // SAFETY: as above.
                    let out = unsafe { std::slice::from_raw_parts_mut(start.0.add(to + (row + i) * apart + first), width) };
                    let line = &square.0[i * SIDE..i * SIDE + width];
                    if past_caches { store_past_caches(line, out) } else { out.copy_from_slice(line) }
                }
            }
        }
        if past_caches { fence() }
    };
    if shape.iter().product::<usize>() <= CHUNK { (0..count * parts).for_each(body) } else { context.parallel(count * parts, &body) }
}

/// Elements that begin at a line of the cache.
#[repr(align(64))]
struct Square<T, const N: usize>([T; N]);

/// Bytes of a result from on which its lines are written past the caches: no cache would keep them for who reads it,
/// and what a line was before need not be fetched.
const PAST_CACHES: usize = 1 << 24;

/// Copies a line, past the caches if it lies as the processor wants it for that.
#[cfg(target_arch = "x86_64")]
fn store_past_caches<T: Stored>(line: &[T], out: &mut [T]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
    let bytes = size_of_val(out);
    if bytes != size_of_val(line) || !bytes.is_multiple_of(16) || !out.as_ptr().addr().is_multiple_of(16) {
        return out.copy_from_slice(line);
    }
    let (from, to) = (line.as_ptr().cast::<__m128i>(), out.as_mut_ptr().cast::<__m128i>());
    for at in 0..bytes / 16 {
        // SAFETY: both slices have so many bytes, and the second is aligned; its elements have no padding.
        unsafe { _mm_stream_si128(to.add(at), _mm_loadu_si128(from.add(at))) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn store_past_caches<T: Stored>(line: &[T], out: &mut [T]) {
    out.copy_from_slice(line);
}

/// Makes what this thread has written past the caches visible before what it writes next.
fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every such processor has the instruction.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Elements from one entry of each axis to the next, where all lie together.
pub fn natural(shape: &[usize]) -> Vec<usize> {
    arignote_core::tensor::contiguous_strides(shape).iter().map(|&stride| stride as usize).collect()
}

/// The axes of the operand that become those of a `transpose`, in their order.
///
/// # Errors
/// If the attribute does not fit.
pub fn order(attributes: &Attributes, rank: usize) -> Result<Vec<usize>> {
    match attributes.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| normalize_axis(axis, rank)).collect(),
        None => Ok((0..rank).rev().collect()),
    }
}

fn strides_of(shape: &[usize]) -> Vec<isize> {
    arignote_core::tensor::contiguous_strides(shape).to_vec()
}

fn strided(call: &mut Call<'_, '_>, x: View<'_>, base: isize, strides: &[isize]) {
    let result = &mut call.results[0];
    by_size!(x.dtype, T => strided_copy::<T>(call.context, typed(x.bytes), base, strides, result.shape, typed_mut(result.bytes)));
}

/// `reshape`, `expand_dims`, `squeeze`: the same elements.
pub fn reshape(call: &mut Call<'_, '_>) -> Result<()> {
    if let Some(x) = call.optional(0) {
        call.context.chunks(call.results[0].bytes, 8 * CHUNK, &|chunk, part| {
            part.copy_from_slice(&x.bytes[chunk * 8 * CHUNK..][..part.len()]);
        });
    }
    Ok(())
}

/// `transpose`
pub fn transpose(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    let rank = x.shape.len();
    let axes = order(call.attributes, rank)?;
    let strides = strides_of(x.shape);
    let moved: Vec<isize> = axes.iter().map(|&axis| strides[axis]).collect();
    strided(call, x, 0, &moved);
    Ok(())
}

/// `broadcast_to`
pub fn broadcast_to(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    let result = call.results[0].shape;
    // One element everywhere.
    if x.bytes.len() == x.dtype.size() {
        by_size!(x.dtype, T => if let [value] = typed::<T>(x.bytes) { typed_mut::<T>(call.results[0].bytes).fill(*value) });
        return Ok(());
    }
    match super::elementwise::broadcast_strides(x.shape, result) {
        None => call.results[0].bytes.copy_from_slice(x.bytes),
        Some(strides) => strided(call, x, 0, &strides.iter().map(|&s| s as isize).collect::<Vec<_>>()),
    }
    Ok(())
}

/// `flip`
pub fn flip(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    let mut strides = strides_of(x.shape);
    let mut base = 0;
    for axis in call.attributes.axes("axis", x.shape.len())? {
        base += strides[axis] * (x.shape[axis] as isize - 1).max(0);
        strides[axis] = -strides[axis];
    }
    strided(call, x, base, &strides);
    Ok(())
}

/// `shape`
pub fn shape(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    for (out, &length) in typed_mut::<i64>(call.results[0].bytes).iter_mut().zip(x.shape) { *out = length as i64; }
    Ok(())
}

fn join(call: &mut Call<'_, '_>, axis: usize) -> Result<()> {
    let operands: Vec<View<'_>> = (0..call.operands.len()).map(|i| call.operand(i)).collect::<Result<_>>()?;
    let result = &mut call.results[0];
    let outer: usize = result.shape[..axis].iter().product();
    if result.bytes.is_empty() || outer == 0 { return Ok(()); }
    let dtype = result.dtype;
    stored_type!(dtype, T => {
        let target = typed_mut::<T>(result.bytes);
        let row = target.len() / outer;
        let parts: Vec<_> = operands.iter().map(|x| x.cast::<T>(dtype)).collect();
        // Rows for one thread at a time; a single long one is cut.
        let rows = (CHUNK / row).max(1);
        let piece = if outer == 1 { CHUNK } else { rows * row };
        call.context.chunks(target, piece, &|chunk, target| {
            let mut at = chunk * piece;
            let end = at + target.len();
            let mut target = target;
            while at < end {
                let (number, mut within) = (at / row, at % row);
                for part in &parts {
                    let width = part.len() / outer;
                    if within >= width {
                        within -= width;
                        continue;
                    }
                    let count = (width - within).min(end - at);
                    let (head, tail) = std::mem::take(&mut target).split_at_mut(count);
                    head.copy_from_slice(&part[number * width + within..][..count]);
                    (target, at, within) = (tail, at + count, 0);
                    if at == end { break; }
                }
            }
        });
    });
    Ok(())
}

/// `concatenate`
pub fn concatenate(call: &mut Call<'_, '_>) -> Result<()> {
    let axis = call.attributes.axis("axis", call.results[0].shape.len())?;
    join(call, axis)
}

/// `stack`
pub fn stack(call: &mut Call<'_, '_>) -> Result<()> {
    concatenate(call)
}
