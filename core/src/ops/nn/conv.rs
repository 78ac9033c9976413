//! Convolutions and transposed convolutions of any stride, padding, dilation and number of groups, given
//! by windows and sums of products: what differentiates those differentiates these, any number of times.

use super::windows::{Axis, Padding, padded, per_axis, size, span};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, constant_int, length, lengths, type_error, vector, zero_of};
use crate::ops::einsum::einsum_of;
use crate::ops::shape::concatenate;
use crate::ops::{Attribute, AttributeKind, Param, Registry};
use crate::tensor::Dim;

pub(super) fn register(registry: &mut Registry) {
    let whole = |name, default, doc| Param::attribute(name, AttributeKind::Ints, Some(Attribute::Int(default)), doc);
    let padding = || {
        Param::attribute("padding", AttributeKind::IntsOrStr, Some(Attribute::Int(0)),
            "the zeros around x: a number, one for each axis, a pair for each, or \"valid\", \"same\", \"half\", \"full\"")
    };
    let stride = || whole("stride", 1, "from one window to the next: a number, or one for each axis");
    let dilation = || whole("dilation", 1, "from one element of a window to the next: a number, or one for each axis");
    let groups = || Param::attribute("groups", AttributeKind::Int, Some(Attribute::Int(1)), "into how many parts the channels fall that see only each other");
    let x = || Param::operand("x", "batch, channels, then the axes of a place");
    type Build = fn(&Arguments<'_>) -> Result<Vec<Var>>;
    let forward: [(_, Build); 3] =
        [("conv1d", |a| conv(a, 1)), ("conv2d", |a| conv(a, 2)), ("conv3d", |a| conv(a, 3))];
    for (name, build) in forward {
        let kernel = Param::operand("w", "results' channels, channels of a group, then the axes of a window");
        registry.add(Composed {
            name, settle: Settle::Promote(2), params: vec![x(), kernel, stride(), padding(), dilation(), groups()], build,
            doc: "The cross-correlation of `x` with `w`: for each window of `x`, the sum of its products with the kernel \
                  of each of the results' channels (a convolution is that of the flipped kernel). An axis of length `n` \
                  gives `(n + before + after - dilation * (k - 1) - 1) // stride + 1` windows of `k` elements. Padding \
                  \"valid\" is none, \"same\" gives `ceil(n / stride)` windows (an odd element of padding comes after), \
                  \"half\" is half of a window on both sides, \"full\" all but one element of it (Dumoulin and Visin, arXiv \
                  1603.07285).\n\n    conv2d(x, w, stride=[2, 2], padding=\"same\")\n    conv1d(x, w, padding=[[2, 0]], groups=2)",
        });
    }
    let transposed: [(_, Build); 3] = [
        ("conv_transpose1d", |a| transposed(a, 1)),
        ("conv_transpose2d", |a| transposed(a, 2)),
        ("conv_transpose3d", |a| transposed(a, 3)),
    ];
    for (name, build) in transposed {
        let kernel = Param::operand("w", "channels of x, results' channels of a group, then the axes of a window");
        let more = whole("output_padding", 0, "how much longer the result is at the end: which of the lengths that a stride makes alike");
        registry.add(Composed {
            name, settle: Settle::Promote(2),
            params: vec![x(), kernel, stride(), padding(), more, groups(), dilation()], build,
            doc: "The transposed convolution: what the convolution with the same kernel, stride, padding and dilation gives \
                  as the gradient in its `x`, here a value (each element of `x` adds a kernel, scaled by it, to the result). \
                  An axis of length `n` gives `(n - 1) * stride - before - after + dilation * (k - 1) + 1 + \
                  output_padding`; with padding \"same\" `n * stride` (Dumoulin and Visin, arXiv 1603.07285).\n\n    \
                  conv_transpose2d(x, w, stride=[2, 2], padding=[1, 1], output_padding=[1, 1])",
        });
    }
}

/// The number of groups, which divides these numbers of channels where they are known.
fn groups(a: &Arguments<'_>, channels: &[&Dim]) -> Result<i64> {
    let groups = a.attributes.int("groups")?;
    if groups < 1 {
        return type_error(format!("`groups` is at least 1, but this is {groups}"));
    }
    match channels.iter().filter_map(|dim| dim.known()).find(|&channels| !(channels as u64).is_multiple_of(groups as u64)) {
        Some(channels) => type_error(format!("{channels} channels do not fall into {groups} groups")),
        None => Ok(groups),
    }
}

/// That there are `rank` axes of places behind two others.
pub(super) fn check_ranks(a: &Arguments<'_>, rank: usize) -> Result<()> {
    for (number, name, axes) in [(0, "x", "batch and channels"), (1, "w", "two of channels")] {
        let ty = a.operand(number)?.ty()?;
        if ty.rank() != rank + 2 {
            return type_error(format!("`{name}` has {} axes, {axes} and {rank} of places, not {ty}", rank + 2));
        }
    }
    match a.operand(1)?.ty()?.dims[2..].contains(&Dim::Known(0)) {
        true => type_error("the kernel has no elements"),
        false => Ok(()),
    }
}

/// An axis of channels as two: the groups, and the channels of each.
fn grouped(x: &Var, axis: usize, groups: &Var) -> Result<Var> {
    let mut shape = lengths(x)?;
    let each = size("floor_div", &shape[axis], groups)?;
    shape.splice(axis..=axis, [groups.clone(), each]);
    Ok(x.reshape_to(&vector(&shape)))
}

/// The sums of products of windows (batch, channels, then windows and their elements for each axis) with a
/// kernel (groups, results' channels of each, channels of each, elements of a window).
fn summed(windows: &Var, kernel: &Var, rank: usize, groups: &Var) -> Result<Var> {
    let (places, elements) = (&["o", "p", "q"][..rank], &["a", "b", "d"][..rank]);
    let pairs: String = places.iter().zip(elements).flat_map(|(place, element)| [*place, *element]).collect();
    let subscripts = format!("ngc{pairs},ghc{}->ngh{}", elements.concat(), places.concat());
    let sums = einsum_of(&subscripts, &[&grouped(windows, 1, groups)?, kernel]);
    let mut shape = lengths(&sums)?;
    let channels = size("mul", &shape[1], &shape[2])?;
    shape.splice(1..=2, [channels]);
    Ok(sums.reshape_to(&vector(&shape)))
}

fn conv(a: &Arguments<'_>, rank: usize) -> Result<Vec<Var>> {
    check_ranks(a, rank)?;
    let (x, w) = (a.operand(0)?, a.operand(1)?);
    let (channels, kernel) = (&x.ty()?.dims[1], &w.ty()?.dims);
    let groups = groups(a, &[channels, &kernel[0]])?;
    if let (Some(all), Some(each)) = (channels.known(), kernel[1].known())
        && each.checked_mul(groups as usize) != Some(all)
    {
        return type_error(format!("a kernel of {each} channels in {groups} groups does not fit {all} channels of x"));
    }
    Ok(vec![convolved(a, x, w, &Var::scalar(groups), rank)?])
}

/// The convolution with the attributes `stride`, `padding` and `dilation`, in a number of groups that may be known
/// only in a call.
pub(super) fn convolved(a: &Arguments<'_>, x: &Var, w: &Var, groups: &Var, rank: usize) -> Result<Var> {
    let (strides, dilations) = (per_axis(a, "stride", rank, 1)?, per_axis(a, "dilation", rank, 1)?);
    let padding = Padding::of(a, rank)?;
    let fill = zero_of(x)?;
    let mut windows = x.clone();
    // From the last axis to the first: each that is replaced by two moves those behind it.
    for number in (0..rank).rev() {
        let (axis, stride, dilation) = (number + 2, strides[number], dilations[number]);
        let window = length(w, axis);
        let padding = padding.widths(number, &length(x, axis), &window, stride, dilation)?;
        windows = Axis { axis, window, stride, dilation, padding }.windows(&windows, &fill)?;
    }
    summed(&windows, &grouped(w, 0, groups)?, rank, groups)
}

fn transposed(a: &Arguments<'_>, rank: usize) -> Result<Vec<Var>> {
    check_ranks(a, rank)?;
    let (x, w) = (a.operand(0)?, a.operand(1)?);
    let channels = [&x.ty()?.dims[1], &w.ty()?.dims[0]];
    let groups = Var::scalar(groups(a, &channels)?);
    if !channels[0].compatible(channels[1]) {
        return type_error(format!("a kernel for {} channels does not fit {} channels of x", channels[1], channels[0]));
    }
    let (strides, dilations) = (per_axis(a, "stride", rank, 1)?, per_axis(a, "dilation", rank, 1)?);
    let longer = per_axis(a, "output_padding", rank, 0)?;
    let padding = Padding::of(a, rank)?;
    let fill = zero_of(x)?;
    let (mut windows, mut kernel) = (x.clone(), grouped(w, 0, &groups)?.swapaxes(1, 2));
    let mut cuts = Vec::new();
    for number in (0..rank).rev() {
        let (axis, stride, dilation) = (number + 2, strides[number], dilations[number]);
        let window = length(w, axis);
        kernel = kernel.flip(axis as i64 + 1);
        let full = size("sub", &span(&window, dilation)?, &Var::scalar(1i64))?;
        let [before, after] = cut(&padding, number, &window, stride, dilation)?;
        let Some(after) = after.checked_sub(longer[number]) else { return type_error("`output_padding` is too large") };
        cuts.push((axis, before, after));
        let spread = spread(&windows, axis, stride, &fill)?;
        windows = Axis { axis, window, stride: 1, dilation, padding: [full.clone(), full] }.windows(&spread, &fill)?;
    }
    let mut result = summed(&windows, &kernel, rank, &groups)?;
    for (axis, before, after) in cuts {
        let ends = [Var::scalar(0i64), Var::scalar(after.min(0).saturating_neg())];
        result = padded(&result, axis, &ends, &zero_of(&result)?)?;
        let after = after.max(0);
        if let Some(length) = constant_int(&length(&result, axis)).filter(|length| length.saturating_sub(before).saturating_sub(after) < 1) {
            return type_error(format!("the padding leaves nothing of a result of length {length}"));
        }
        if before > 0 || after > 0 {
            result = result.slice(axis, Some(before), (after > 0).then_some(-after));
        }
    }
    Ok(vec![result])
}

/// How much is cut off the result before and after; what is negative is put there.
fn cut(padding: &Padding, number: usize, window: &Var, stride: i64, dilation: i64) -> Result<[i64; 2]> {
    if let Padding::Pairs(pairs) = padding {
        return Ok(pairs[number]);
    }
    let Some(span) = constant_int(&span(window, dilation)?) else {
        return type_error("for this `padding` the lengths of the kernel must be known");
    };
    Ok(match padding {
        Padding::Half => [span / 2; 2],
        Padding::Full => [span - 1; 2],
        _ => {
            let all = span - stride;
            let before = all.max(0) / 2;
            [before, all - before]
        }
    })
}

/// `x` with `stride - 1` zeros between its elements along an axis.
fn spread(x: &Var, axis: usize, stride: i64, fill: &Var) -> Result<Var> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let behind = axis + 1;
    let apart = x.expand_dims(behind as i64);
    let mut shape = lengths(&apart)?;
    shape[behind] = Var::scalar(stride - 1);
    let apart = concatenate(&[apart, fill.broadcast_to_var(&vector(&shape))], behind as i64);
    let mut shape = lengths(x)?;
    shape[axis] = size("mul", &shape[axis], &Var::scalar(stride))?;
    Ok(apart.reshape_to(&vector(&shape)).slice(axis, None, Some(1 - stride)))
}
