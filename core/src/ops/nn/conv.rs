//! Convolutions and transposed convolutions of any stride, padding, dilation and number of groups, given
//! by windows and sums of products: what differentiates those differentiates these, any number of times.

use super::sliding::{Role, Sliding};
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
    let flip = || Param::attribute("flip", AttributeKind::Bool, Some(false.into()), "whether the kernel is turned round along the axes of a window, as Theano's `filter_flip`");
    let x = || Param::operand("x", "batch, channels, then the axes of a place");
    type Build = fn(&Arguments<'_>) -> Result<Vec<Var>>;
    let forward: [(_, Build); 3] =
        [("conv1d", |a| conv(a, 1)), ("conv2d", |a| conv(a, 2)), ("conv3d", |a| conv(a, 3))];
    let kernel = || Param::operand("w", "results' channels, channels of a group, then the axes of a window");
    for (name, build) in forward {
        registry.add(Sliding { family: name, role: Role::Convolution, composed: Composed {
            name, settle: Settle::Promote(2), params: vec![x(), kernel(), stride(), padding(), dilation(), groups(), flip()], build,
            doc: "The cross-correlation of `x` with `w`: for each window of `x`, the sum of its products with the kernel \
                  of each of the results' channels (a convolution is that of the flipped kernel, `flip=true`). An axis of length `n` \
                  gives `(n + before + after - dilation * (k - 1) - 1) // stride + 1` windows of `k` elements. Padding \
                  \"valid\" is none, \"same\" gives `ceil(n / stride)` windows (an odd element of padding comes after), \
                  \"half\" is half of a window on both sides, \"full\" all but one element of it (Dumoulin and Visin, arXiv \
                  1603.07285).\n\n    conv2d(x, w, stride=[2, 2], padding=\"same\")\n    conv1d(x, w, padding=[[2, 0]], groups=2)",
        } });
    }
    let gradients: [(_, _, Role, Build); 6] = [
        ("conv1d_input_gradient", "conv1d", Role::InputGradient, |a| input_gradient(a, 1)),
        ("conv2d_input_gradient", "conv2d", Role::InputGradient, |a| input_gradient(a, 2)),
        ("conv3d_input_gradient", "conv3d", Role::InputGradient, |a| input_gradient(a, 3)),
        ("conv1d_weight_gradient", "conv1d", Role::WeightGradient, |a| weight_gradient(a, 1)),
        ("conv2d_weight_gradient", "conv2d", Role::WeightGradient, |a| weight_gradient(a, 2)),
        ("conv3d_weight_gradient", "conv3d", Role::WeightGradient, |a| weight_gradient(a, 3)),
    ];
    for (name, family, role, build) in gradients {
        let g = Param::operand("g", "the cotangent of the convolution");
        registry.add(Sliding { family, role, composed: Composed {
            name, settle: Settle::Promote(3), params: vec![x(), kernel(), g, stride(), padding(), dilation(), groups(), flip()], build,
            doc: match role {
                Role::InputGradient => "What the convolution of `x` with `w` gives as the gradient in `x`, of which only the shape matters, for the \
                    cotangent `g` of the result.\n\n    conv2d_input_gradient(x, w, g, padding=1)",
                _ => "What the convolution of `x` with `w` gives as the gradient in `w`, of which only the shape matters, for the \
                    cotangent `g` of the result.\n\n    conv2d_weight_gradient(x, w, g, padding=1)",
            },
        } });
    }
    let kernels = "results' channels, rows and columns of the result, channels of a group, rows and columns of a window";
    registry.add(Composed {
        name: "unshared_conv2d", settle: Settle::Promote(2), build: unshared,
        params: vec![x(), Param::operand("w", kernels), stride(), padding(), dilation(), groups(), flip()],
        doc: "`conv2d` with a kernel of its own for each place of the result, as Theano's `unshared`.\n\n    \
              unshared_conv2d(x, w, padding=1)",
    });
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
    let (pairs, elements, places) = letters(rank);
    joined(&einsum_of(&format!("ngc{pairs},ghc{elements}->ngh{places}"), &[&grouped(windows, 1, groups)?, kernel]), 1)
}

/// Groups, at an axis, and the channels of each as one axis.
fn joined(sums: &Var, axis: usize) -> Result<Var> {
    let mut shape = lengths(sums)?;
    let channels = size("mul", &shape[axis], &shape[axis + 1])?;
    shape.splice(axis..=axis + 1, [channels]);
    Ok(sums.reshape_to(&vector(&shape)))
}

fn conv(a: &Arguments<'_>, rank: usize) -> Result<Vec<Var>> {
    check_ranks(a, rank)?;
    let (x, w) = (a.operand(0)?, a.operand(1)?);
    let kernel = &w.ty()?.dims;
    let groups = fitting(a, &x.ty()?.dims[1], &kernel[0], &kernel[1])?;
    Ok(vec![convolved(a, x, &flipped(a, w, rank)?, &groups, rank)?])
}

/// The number of groups, which these channels of x, of the results and of a group fit.
fn fitting(a: &Arguments<'_>, channels: &Dim, of_results: &Dim, of_group: &Dim) -> Result<Var> {
    let groups = groups(a, &[channels, of_results])?;
    match (channels.known(), of_group.known()) {
        (Some(all), Some(each)) if each.checked_mul(groups as usize) != Some(all) => {
            type_error(format!("a kernel of {each} channels in {groups} groups does not fit {all} channels of x"))
        }
        _ => Ok(Var::scalar(groups)),
    }
}

/// The kernel, turned round along its last axes where the attribute `flip` says so.
fn flipped(a: &Arguments<'_>, w: &Var, rank: usize) -> Result<Var> {
    Ok(match a.attributes.bool("flip")? {
        true => (1..=rank as i64).fold(w.clone(), |w, back| w.flip(-back)),
        false => w.clone(),
    })
}

/// The convolution with the attributes `stride`, `padding` and `dilation`, in a number of groups that may be known
/// only in a call.
pub(super) fn convolved(a: &Arguments<'_>, x: &Var, w: &Var, groups: &Var, rank: usize) -> Result<Var> {
    summed(&windows(a, x, w, rank)?, &grouped(w, 0, groups)?, rank, groups)
}

/// That a cotangent has the axes of a convolution of x with w.
fn of_result<'a>(a: &'a Arguments<'_>, rank: usize) -> Result<(&'a Var, Var)> {
    check_ranks(a, rank)?;
    let (x, w, g) = (a.operand(0)?.ty()?, a.operand(1)?.ty()?, a.operand(2)?);
    if g.ty()?.rank() != rank + 2 {
        return type_error(format!("`g` has {} axes, batch, channels and {rank} of places, not {}", rank + 2, g.ty()?));
    }
    Ok((g, fitting(a, &x.dims[1], &w.dims[0], &w.dims[1])?))
}

fn input_gradient(a: &Arguments<'_>, rank: usize) -> Result<Vec<Var>> {
    let (g, groups) = of_result(a, rank)?;
    let (x, w) = (a.operand(0)?, a.operand(1)?);
    let (pairs, elements, places) = letters(rank);
    let subscripts = format!("ngh{places},ghc{elements}->ngc{pairs}");
    let mut sums = joined(&einsum_of(&subscripts, &[&grouped(g, 1, &groups)?, &grouped(&flipped(a, w, rank)?, 0, &groups)?]), 1)?;
    for axis in axes(a, x, w, rank)? {
        sums = axis.added_back(&sums, &length(x, axis.axis))?;
    }
    Ok(vec![sums.reshape_to(&x.shape())])
}

fn weight_gradient(a: &Arguments<'_>, rank: usize) -> Result<Vec<Var>> {
    let (g, groups) = of_result(a, rank)?;
    let (x, w) = (a.operand(0)?, a.operand(1)?);
    let (pairs, elements, places) = letters(rank);
    let windows = grouped(&windows(a, x, w, rank)?, 1, &groups)?;
    let sums = einsum_of(&format!("ngc{pairs},ngh{places}->ghc{elements}"), &[&windows, &grouped(g, 1, &groups)?]);
    Ok(vec![flipped(a, &joined(&sums, 0)?, rank)?.reshape_to(&w.shape())])
}

/// The subscripts of windows and their elements in pairs, of the elements, and of the windows.
fn letters(rank: usize) -> (String, String, String) {
    let (places, elements) = (&["o", "p", "q"][..rank], &["a", "b", "d"][..rank]);
    let pairs = places.iter().zip(elements).flat_map(|(place, element)| [*place, *element]).collect();
    (pairs, elements.concat(), places.concat())
}

/// Each axis of a place as two, the windows and the elements of each; the kernel's last axes are those of a window.
fn windows(a: &Arguments<'_>, x: &Var, w: &Var, rank: usize) -> Result<Var> {
    let fill = zero_of(x)?;
    // From the last axis to the first: each that is replaced by two moves those behind it.
    axes(a, x, w, rank)?.iter().rev().try_fold(x.clone(), |windows, axis| axis.windows(&windows, &fill))
}

/// The axes of a place, along which windows slide.
fn axes(a: &Arguments<'_>, x: &Var, w: &Var, rank: usize) -> Result<Vec<Axis>> {
    let (strides, dilations) = (per_axis(a, "stride", rank, 1)?, per_axis(a, "dilation", rank, 1)?);
    let padding = Padding::of(a, rank)?;
    let of_window = w.ty()?.rank() - rank;
    let along = |number: usize| {
        let (axis, stride, dilation) = (number + 2, strides[number], dilations[number]);
        let window = length(w, of_window + number);
        let padding = padding.widths(number, &length(x, axis), &window, stride, dilation)?;
        Ok(Axis { axis, window, stride, dilation, padding })
    };
    (0..rank).map(along).collect()
}

fn unshared(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, w) = (a.operand(0)?, a.operand(1)?);
    let (of_x, of_w) = (x.ty()?, w.ty()?);
    if of_x.rank() != 4 || of_w.rank() != 6 {
        return type_error(format!("`x` has 4 axes, batch, channels and two of places, and `w` 6, not {of_x} and {of_w}"));
    }
    if of_w.dims[4..].contains(&Dim::Known(0)) {
        return type_error("the kernel has no elements");
    }
    let groups = fitting(a, &of_x.dims[1], &of_w.dims[0], &of_w.dims[3])?;
    let windows = windows(a, x, w, 2)?;
    let places = [2, 4].map(|axis| windows.ty().map(|ty| ty.dims[axis].clone()));
    for (found, given) in places.into_iter().zip(&of_w.dims[1..3]) {
        let found = found?;
        if !found.compatible(given) {
            return type_error(format!("`w` has kernels for {given} places along an axis that has {found}"));
        }
    }
    let kernel = grouped(&flipped(a, w, 2)?, 0, &groups)?;
    let sums = einsum_of("ngcoapb,ghopcab->nghop", &[&grouped(&windows, 1, &groups)?, &kernel]);
    Ok(vec![joined(&sums, 1)?])
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
        cuts.push((axis, before, size("sub", &after, &Var::scalar(longer[number]))?));
        let spread = spread(&windows, axis, stride, &fill)?;
        windows = Axis { axis, window, stride: 1, dilation, padding: [full.clone(), full] }.windows(&spread, &fill)?;
    }
    let mut result = summed(&windows, &kernel, rank, &groups)?;
    let zero = Var::scalar(0i64);
    for (axis, before, after) in cuts {
        let more = size("maximum", &size("sub", &zero, &after)?, &zero)?;
        result = padded(&result, axis, &[zero.clone(), more], &zero_of(&result)?)?;
        let stop = size("sub", &length(&result, axis), &size("maximum", &after, &zero)?)?;
        if let (Some(start), Some(end)) = (constant_int(&before), constant_int(&stop))
            && end <= start
        {
            let length = constant_int(&length(&result, axis)).unwrap_or_default();
            return type_error(format!("the padding leaves nothing of a result of length {length}"));
        }
        result = match (constant_int(&before), constant_int(&after)) {
            (Some(0), Some(after)) if after <= 0 => result,
            (Some(before), Some(after)) => result.slice(axis, Some(before), (after > 0).then_some(-after)),
            _ => result.slice_between(axis, &before, &stop),
        };
    }
    Ok(vec![result])
}

/// How much is cut off the result before and after; what is negative is put there.
fn cut(padding: &Padding, number: usize, window: &Var, stride: i64, dilation: i64) -> Result<[Var; 2]> {
    let span = span(window, dilation)?;
    Ok(match padding {
        Padding::Pairs(pairs) => pairs[number].map(Var::scalar),
        Padding::Half => [size("floor_div", &span, &Var::scalar(2))?, size("floor_div", &span, &Var::scalar(2))?],
        Padding::Full => [size("sub", &span, &Var::scalar(1))?, size("sub", &span, &Var::scalar(1))?],
        Padding::Same => {
            let all = size("sub", &span, &Var::scalar(stride))?;
            let before = size("floor_div", &size("maximum", &all, &Var::scalar(0))?, &Var::scalar(2))?;
            [before.clone(), size("sub", &all, &before)?]
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
