//! Reductions. Elements are combined in fixed blocks and in a fixed order, pairwise, so that results
//! are accurate and do not depend on the number of threads.

use std::borrow::Cow;

use arignote_core::tensor::{DType, Element};
use arignote_core::{Error, ErrorKind, Result};
use smallvec::SmallVec;

use super::number::Number;
use super::{Call, Context};
use crate::buffer::{Stored, View, typed_mut, with_scratch};

/// Elements in a row that are summed plainly.
const BASE: usize = 128;
/// Axes, or lengths.
type Axes = SmallVec<[usize; 6]>;

/// Rows that one task reduces.
const ROWS: usize = 8192;

/// Where reduced axes are brought to: `[outer, length, inner]`, reduced over `length`.
pub(super) struct Layout {
    pub(super) outer: usize,
    pub(super) length: usize,
    pub(super) inner: usize,
}

impl Layout {
    /// That of a shape whose reduced axes lie together, or else, where they are brought behind all others.
    pub(super) fn of(shape: &[usize], axes: &[usize]) -> Layout {
        let size = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product::<usize>();
        if !are_together(axes) {
            let kept: Axes = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
            return Layout { outer: size(&kept), length: size(axes), inner: 1 };
        }
        let first = axes.first().copied().unwrap_or(0);
        let inner = if axes.is_empty() { shape.iter().product() } else { shape[first + axes.len()..].iter().product() };
        Layout { outer: shape[..first].iter().product(), length: size(axes), inner }
    }
}

fn are_together(axes: &[usize]) -> bool {
    axes.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// Elements of scratch memory, on so many threads, of a reduction by [`combine_axes`].
pub(super) fn scratch(shape: &[usize], axes: &[usize], threads: usize) -> usize {
    let Layout { outer, length, inner } = Layout::of(shape, axes);
    match inner {
        1 if outer < 16 && length > ROWS => outer * length.div_ceil(ROWS),
        1 => 0,
        // Halves of halves, down to what is added row by row.
        _ => threads * inner * length.div_ceil(BASE).next_power_of_two().ilog2() as usize,
    }
}

/// The operand in a dtype, arranged so that the reduced axes lie together.
pub(super) fn arranged<'a, T: Stored>(context: &Context<'_>, x: View<'a>, dtype: DType, axes: &[usize]) -> (Cow<'a, [T]>, Layout) {
    let elements = x.cast::<T>(dtype);
    let layout = Layout::of(x.shape, axes);
    if are_together(axes) { return (elements, layout) }
    let order: Axes = (0..x.shape.len()).filter(|axis| !axes.contains(axis)).chain(axes.iter().copied()).collect();
    let strides = arignote_core::tensor::contiguous_strides(x.shape);
    let shape: Axes = order.iter().map(|&axis| x.shape[axis]).collect();
    let moved: SmallVec<[isize; 6]> = order.iter().map(|&axis| strides[axis]).collect();
    let mut target = vec![T::default(); elements.len()];
    super::shape::strided_copy(context, &elements, 0, &moved, &shape, &mut target);
    (Cow::Owned(target), layout)
}

/// Combines `length` numbers pairwise.
fn line<T: Number>(x: &[T], identity: T, combine: &impl Fn(T, T) -> T) -> T {
    if x.len() > BASE {
        // Halves of a whole number of blocks, whatever the length.
        let half = (x.len() / 2).next_multiple_of(BASE);
        return combine(line(&x[..half], identity, combine), line(&x[half..], identity, combine));
    }
    let mut lanes = [identity; 8];
    let blocks = x.chunks_exact(8);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) { *lane = combine(*lane, value); }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) { *lane = combine(*lane, value); }
    let [a, b, c, d, e, f, g, h] = lanes;
    combine(combine(combine(a, b), combine(c, d)), combine(combine(e, f), combine(g, h)))
}

/// Combines `length` rows of `inner` numbers pairwise into `out`.
fn rows<T: Number>(x: &[T], inner: usize, identity: T, combine: &impl Fn(T, T) -> T, out: &mut [T]) {
    let length = x.len() / inner;
    if length > BASE {
        let half = (length / 2).next_multiple_of(BASE) * inner;
        rows(&x[..half], inner, identity, combine, out);
        with_scratch(inner, |right: &mut [T]| {
            rows(&x[half..], inner, identity, combine, right);
            for (out, &value) in out.iter_mut().zip(&*right) { *out = combine(*out, value); }
        });
        return;
    }
    out.fill(identity);
    for row in x.chunks_exact(inner) {
        for (out, &value) in out.iter_mut().zip(row) { *out = combine(*out, value); }
    }
}

/// Combines the elements over the reduced axes into `out`, of `outer * inner` elements.
fn combine_axes<T: Number>(
    context: &Context<'_>, x: &[T], layout: &Layout, identity: T, combine: impl Fn(T, T) -> T + Sync, out: &mut [T],
) {
    let Layout { outer, length, inner } = *layout;
    if length == 0 || out.is_empty() {
        out.fill(identity);
        return;
    }
    let combine = &combine;
    if inner == 1 && outer < 16 && length > ROWS {
        // Few long lines: fixed parts of each line are combined at once, the parts afterwards.
        let parts = length.div_ceil(ROWS);
        with_scratch(outer * parts, |partial: &mut [T]| {
            context.chunks(partial, 1, &|at, out| {
                let (row, part) = (at / parts, at % parts);
                let start = row * length + part * ROWS;
                out[0] = line(&x[start..(start + ROWS).min((row + 1) * length)], identity, combine);
            });
            for (out, parts) in out.iter_mut().zip(partial.chunks(parts)) { *out = line(parts, identity, combine); }
        });
    } else if inner == 1 {
        let size = (65536 / length).max(1);
        context.chunks(out, size, &|chunk, out| {
            for (i, out) in out.iter_mut().enumerate() {
                let start = (chunk * size + i) * length;
                *out = line(&x[start..start + length], identity, combine);
            }
        });
    } else {
        context.chunks(out, inner, &|row, out| {
            rows(&x[row * length * inner..(row + 1) * length * inner], inner, identity, combine, out);
        });
    }
}

pub(super) fn accumulator(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

/// The operand and the axes over which it is reduced.
pub(super) fn operand_and_axes<'a>(call: &Call<'a, '_>) -> Result<(View<'a>, Vec<usize>)> {
    let x = call.operand(0)?;
    Ok((x, call.attributes.axes("axis", x.shape.len())?))
}

/// Runs `$body`, which fills `$out` from an operand reduced over some axes: `$x`, arranged as `$layout`
/// says, both in `$T`, the type in which the result is accumulated.
macro_rules! reduce {
    ($call:ident, $operand:expr, $axes:expr, |$T:ident, $context:ident, $x:ident, $layout:ident, $out:ident| $body:expr) => {{
        let dtype = accumulator($call.results[0].dtype);
        number_type!(dtype, $T => {
            let ($x, $layout) = arranged::<$T>($call.context, $operand, dtype, &$axes);
            let $context = $call.context;
            $call.results[0].computed(dtype, |$out: &mut [$T]| $body);
        });
    }};
}

/// `sum`
pub fn sum(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    reduce!(call, x, axes, |T, context, x, layout, out| {
        combine_axes(context, &x, &layout, T::default(), |a, b| a.add(b), out);
    });
    Ok(())
}

/// `prod`
pub fn prod(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    reduce!(call, x, axes, |T, context, x, layout, out| {
        combine_axes(context, &x, &layout, T::ONE, |a, b| a.mul(b), out);
    });
    Ok(())
}

/// `mean`
pub fn mean(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    reduce!(call, x, axes, |T, context, x, layout, out| {
        combine_axes(context, &x, &layout, T::default(), |a, b| a.add(b), out);
        let count = T::from_i64(layout.length as i64);
        for out in out { *out = out.div(count); }
    });
    Ok(())
}

fn refuse_empty(name: &str, shape: &[usize], axes: &[usize]) -> Result<()> {
    let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
    if axes.iter().any(|&axis| shape[axis] == 0) && kept.into_iter().all(|axis| shape[axis] > 0) {
        return Err(Error::new(ErrorKind::Runtime, format!("`{name}` of no elements has no value")));
    }
    Ok(())
}

fn extreme(call: &mut Call<'_, '_>, name: &str, largest: bool) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    refuse_empty(name, x.shape, &axes)?;
    let is_float = call.results[0].dtype.is_float();
    reduce!(call, x, axes, |T, context, x, layout, out| {
        let identity = T::from_f64(match (is_float, largest) {
            (true, true) => f64::NEG_INFINITY,
            (true, false) => f64::INFINITY,
            (false, true) => f64::MIN,
            (false, false) => f64::MAX,
        });
        if largest {
            combine_axes(context, &x, &layout, identity, Number::maximum, out);
        } else {
            combine_axes(context, &x, &layout, identity, Number::minimum, out);
        }
    });
    Ok(())
}

/// `max`
pub fn max(call: &mut Call<'_, '_>) -> Result<()> {
    extreme(call, "max", true)
}

/// `min`
pub fn min(call: &mut Call<'_, '_>) -> Result<()> {
    extreme(call, "min", false)
}

fn position(call: &mut Call<'_, '_>, name: &str, largest: bool) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    refuse_empty(name, x.shape, &axes)?;
    let dtype = accumulator(x.dtype);
    number_type!(dtype, T => {
        let (x, Layout { length, inner, .. }) = arranged::<T>(call.context, x, dtype, &axes);
        let out = typed_mut::<i64>(call.results[0].bytes);
        call.context.chunks(out, 1 + 65536 / length.max(1), &|chunk, out| {
            for (i, out) in out.iter_mut().enumerate() {
                let at = chunk * (1 + 65536 / length.max(1)) + i;
                let start = at / inner * length * inner + at % inner;
                let mut best = (0, x[start]);
                for k in 1..length {
                    let value = x[start + k * inner];
                    let better = if largest { value > best.1 } else { value < best.1 };
                    if !Number::is_nan(best.1) && (better || Number::is_nan(value)) { best = (k, value); }
                }
                *out = best.0 as i64;
            }
        });
    });
    Ok(())
}

/// `argmax`
pub fn argmax(call: &mut Call<'_, '_>) -> Result<()> {
    position(call, "argmax", true)
}

/// `argmin`
pub fn argmin(call: &mut Call<'_, '_>) -> Result<()> {
    position(call, "argmin", false)
}

fn truth(call: &mut Call<'_, '_>, all: bool) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    let (x, layout) = arranged::<u8>(call.context, x, DType::Bool, &axes);
    let out = &mut *call.results[0].bytes;
    if all {
        combine_axes(call.context, &x, &layout, 1, |a: u8, b| u8::from(a != 0 && b != 0), out);
    } else {
        combine_axes(call.context, &x, &layout, 0, |a: u8, b| u8::from(a != 0 || b != 0), out);
    }
    Ok(())
}

/// `all`
pub fn all(call: &mut Call<'_, '_>) -> Result<()> {
    truth(call, true)
}

/// `any`
pub fn any(call: &mut Call<'_, '_>) -> Result<()> {
    truth(call, false)
}

/// `vector_norm`: the root of the sum of squares; where any of these sums may have lost digits to overflow or
/// underflow, all again from numbers scaled by the power of two that brings the largest near 1.
pub fn vector_norm(call: &mut Call<'_, '_>) -> Result<()> {
    let (x, axes) = operand_and_axes(call)?;
    // Squares of what is that small, or their sums, are no longer exact in the dtype.
    let narrow = accumulator(call.results[0].dtype) == DType::F32;
    let (safe, most) = if narrow { (1e-25..1e35, 120.0) } else { (1e-280..1e300, 1000.0) };
    reduce!(call, x, axes, |T, context, x, layout, out| {
        let row = layout.length * layout.inner;
        let group = |at: usize| at / row.max(1) * layout.inner + at % layout.inner.max(1);
        with_scratch(x.len(), |squares: &mut [T]| {
            for (square, &value) in squares.iter_mut().zip(&*x) { *square = value.mul(value); }
            combine_axes(context, squares, &layout, T::default(), |a, b| a.add(b), out);
            if out.iter().all(|sum| safe.contains(&sum.to_f64())) {
                for out in out.iter_mut() { *out = out.sqrt(); }
                return;
            }
            for (square, value) in squares.iter_mut().zip(&*x) { *square = value.abs(); }
            with_scratch(out.len(), |scales: &mut [T]| {
                combine_axes(context, squares, &layout, T::default(), Number::maximum, scales);
                for scale in scales.iter_mut() {
                    let largest = scale.to_f64();
                    let exponent = if largest > 0.0 && largest.is_finite() { largest.log2().floor() } else { 0.0 };
                    *scale = T::from_f64((-exponent).clamp(-most, most).exp2());
                }
                for (at, (square, &value)) in squares.iter_mut().zip(&*x).enumerate() {
                    let scaled = value.mul(scales[group(at)]);
                    *square = scaled.mul(scaled);
                }
                combine_axes(context, squares, &layout, T::default(), |a, b| a.add(b), out);
                for (out, scale) in out.iter_mut().zip(&*scales) { *out = out.sqrt().div(*scale); }
            });
        });
    });
    Ok(())
}

/// `sum_to`: the inverse of broadcasting.
pub fn sum_to(call: &mut Call<'_, '_>) -> Result<()> {
    let x = call.operand(0)?;
    let result = call.results[0].shape;
    let extra = x.shape.len().saturating_sub(result.len());
    let axes: Axes =
        (0..x.shape.len()).filter(|&axis| axis < extra || (result[axis - extra] == 1 && x.shape[axis] != 1)).collect();
    if axes.is_empty() {
        if x.dtype == call.results[0].dtype { call.results[0].bytes.copy_from_slice(x.bytes); }
        return Ok(());
    }
    reduce!(call, x, axes, |T, context, x, layout, out| {
        combine_axes(context, &x, &layout, T::default(), |a, b| a.add(b), out);
    });
    Ok(())
}
