//! Kernels that move elements.

use arignote_core::Result;
use arignote_core::ops::normalize_axis;

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

/// Copies elements that lie `strides` apart, from `base` on, to a contiguous target.
pub fn strided_copy<T: Stored>(context: &Context<'_>, source: &[T], base: isize, strides: &[isize], shape: &[usize], target: &mut [T]) {
    let (Some(&inner), Some(&step)) = (shape.last(), strides.last()) else {
        if let (Some(out), Some(&value)) = (target.first_mut(), source.get(base as usize)) { *out = value; }
        return;
    };
    if target.is_empty() { return; }
    let rows = (16384 / inner.max(1)).max(1);
    let axes = shape.len() - 1;
    context.chunks(target, rows * inner, &|chunk, part| {
        let mut index = vec![0usize; axes];
        let mut rest = chunk * rows;
        for axis in (0..axes).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        for row in part.chunks_mut(inner) {
            let offset = base + index.iter().zip(strides).map(|(&i, &s)| i as isize * s).sum::<isize>();
            if step == 1 {
                row.copy_from_slice(&source[offset as usize..offset as usize + inner]);
            } else if step == 0 {
                row.fill(source[offset as usize]);
            } else {
                for (i, out) in row.iter_mut().enumerate() { *out = source[(offset + i as isize * step) as usize]; }
            }
            for axis in (0..axes).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] { break; }
                index[axis] = 0;
            }
        }
    });
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
        call.results[0].bytes.copy_from_slice(x.bytes);
    }
    Ok(())
}

/// `transpose`
pub fn transpose(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    let rank = x.shape.len();
    let axes: Vec<usize> = match call.attributes.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Result<_>>()?,
        None => (0..rank).rev().collect(),
    };
    let strides = strides_of(x.shape);
    let moved: Vec<isize> = axes.iter().map(|&axis| strides[axis]).collect();
    strided(call, x, 0, &moved);
    Ok(())
}

/// `broadcast_to`
pub fn broadcast_to(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    let result = call.results[0].shape;
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
        let mut at = 0;
        for x in operands {
            let x = x.cast::<T>(dtype);
            let width = x.len() / outer;
            if width == 0 { continue; }
            for (row, part) in target.chunks_mut(row).zip(x.chunks(width)) {
                row[at..at + width].copy_from_slice(part);
            }
            at += width;
        }
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
