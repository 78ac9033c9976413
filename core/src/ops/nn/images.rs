//! What is done with images beside convolutions and pooling, given by other ops.

use super::conv::{check_ranks, convolved};
use super::windows::{padded, size, span};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{
    Arguments, Composed, Settle, add, constant, constant_int, length, lengths, positions, type_error, vector, whole as whole_numbers,
    zero_of,
};
use crate::ops::{Attribute, AttributeKind, Attributes, Param, ParamKind, Registry, where_};
use crate::tensor::DType;

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let whole = |name, default, doc| Param::attribute(name, AttributeKind::Ints, Some(Attribute::Int(default)), doc);
    let x = || operand("x", "batch, channels, rows, columns");
    for (name, rank) in [("separable_conv2d", 2usize), ("separable_conv3d", 3)] {
        registry.add(Composed {
            name, settle: Settle::Promote(3),
            params: vec![operand("x", "batch, channels, then the axes of a place"),
                operand("depthwise", "of each channel in turn its kernels: channels times kernels of each, 1, then the axes of a window"),
                operand("pointwise", "results' channels, channels times kernels of each, then axes of length 1"),
                whole("stride", 1, "of the first convolution"),
                Param::attribute("padding", AttributeKind::IntsOrStr, Some(Attribute::Int(0)), "of the first convolution, as of `conv2d`"),
                whole("dilation", 1, "of the first convolution")],
            doc: "A convolution of each channel alone, and then one over channels alone (Chollet, arXiv 1610.02357).\n\n    \
                  separable_conv2d(x, depthwise, pointwise, padding=\"same\")",
            build: if rank == 2 { |a| separable(a, 2) } else { |a| separable(a, 3) },
        });
    }
    registry.add(Composed {
        name: "causal_conv1d", settle: Settle::Promote(2),
        params: vec![operand("x", "batch, channels, times"), operand("w", "results' channels, channels, times of a window"), whole("dilation", 1, "from one time of a window to the next")],
        doc: "`conv1d` that sees only what came before: zeros stand in front of x, and the result has as many times \
              (van den Oord et al., arXiv 1609.03499).\n\n    causal_conv1d(x, w, dilation=2)",
        build: |a| {
            let (x, w) = (a.operand(0)?, a.operand(1)?);
            if x.ty()?.rank() != 3 || w.ty()?.rank() != 3 {
                return type_error(format!("`x` and `w` have three axes, not {} and {}", x.ty()?, w.ty()?));
            }
            let dilation = match a.attributes.ints("dilation")?.as_deref() {
                Some(&[dilation]) if dilation >= 1 => dilation,
                other => return type_error(format!("`dilation` is a number of at least 1, not {other:?}")),
            };
            let before = size("sub", &span(&length(w, 2), dilation)?, &Var::scalar(1i64))?;
            let x = padded(x, 2, &[before, Var::scalar(0i64)], &zero_of(x)?)?;
            Ok(vec![Var::apply("conv1d", &[x, w.clone()], Attributes::new().with("dilation", dilation))])
        },
    });
    registry.add(Composed {
        name: "bilinear_upsampling", settle: Settle::ToFloat(1),
        params: vec![x(), Param::attribute("ratio", AttributeKind::Int, None, "how many times as many rows and columns")],
        doc: "Images with `ratio` times as many rows and columns, on straight lines between the old ones, as Theano: the new place \
              `i` is the old `(i - (ratio - 1) // 2) / ratio`, within the image.\n\n    bilinear_upsampling(x, 2)",
        build: upsampling,
    });
    registry.add(Composed {
        name: "frac_bilinear_upsampling", settle: Settle::ToFloat(1),
        params: vec![x(), Param::attribute("frac_ratio", AttributeKind::Ints, None, "[numerator, denominator], or one of those for rows and one for columns")],
        doc: "Images with `numerator / denominator` times as many rows and columns, rounded up, as Theano: those of \
              `bilinear_upsampling(x, numerator)` of which every denominator-th is kept, of fractions in lowest terms.\
              \n\n    frac_bilinear_upsampling(x, [3, 2])\n    frac_bilinear_upsampling(x, [[3, 2], [4, 3]])",
        build: frac_upsampling,
    });
    let kernel = || vec![
        Param::attribute("normalize", AttributeKind::Bool, Some(Attribute::Bool(true)), "whether the largest element is 1, else `ratio`"),
        Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "a float; the config's if none"),
    ];
    registry.add(Composed {
        name: "bilinear_kernel_1d", settle: Settle::Draws(0),
        params: [vec![operand("ratio", "a whole number of at least 1")], kernel()].concat(),
        doc: "The `2 ratio - 1` weights of a kernel that fills in lines between elements that stand `ratio` places apart: \
              `1, 2, .., ratio, .., 2, 1` over `ratio`, as Theano's `bilinear_kernel_1D`.\n\n    bilinear_kernel_1d(3)",
        build: |a| Ok(vec![triangle(a.operand(0)?, a)?]),
    });
    registry.add(Composed {
        name: "bilinear_kernel_2d", settle: Settle::Draws(0),
        params: [vec![operand("ratio", "a whole number of at least 1, or one for rows and one for columns")], kernel()].concat(),
        doc: "The outer product of two `bilinear_kernel_1d`, as Theano's `bilinear_kernel_2D`.\n\n    bilinear_kernel_2d([3, 2])",
        build: kernel_2d,
    });
    let shape = |name, doc| Param { name, kind: ParamKind::Sizes, doc };
    let pair = |name, default, doc| Param::attribute(name, AttributeKind::Ints, default, doc);
    let mode = || Param::attribute("mode", AttributeKind::Str, Some(Attribute::Str("valid".into())), "\"valid\": windows fill the image, else it is an error; \"ignore_borders\": what is left over is dropped");
    add(registry, "images2neibs",
        vec![x(), pair("neib_shape", None, "rows and columns of a window"), pair("neib_step", Some(Attribute::None), "from one window to the next; the window's shape if none"), mode()],
        "The windows of all images, one row of the result for each.\n\n    images2neibs(x, [2, 2])", images2neibs);
    add(registry, "max_pool_2d_same_size", vec![x(), pair("patch_size", None, "rows and columns of a window")],
        "Images of which only the largest element of each window is left, all of several equal ones; the others are 0, and so is \
         what is left over at the ends, as Theano's.\n\n    max_pool_2d_same_size(x, [2, 2])", same_size);
    add(registry, "neibs2images",
        vec![operand("neibs", "windows, as `images2neibs` gives without overlap"), pair("neib_shape", None, "rows and columns of a window"), shape("original_shape", "batch, channels, rows, columns")],
        "The images of windows: the inverse of `images2neibs`.\n\n    neibs2images(neibs, [2, 2], shape(x))", neibs2images);
}

fn separable(a: &Arguments<'_>, rank: usize) -> Result<Vec<Var>> {
    check_ranks(a, rank)?;
    let (x, depthwise, pointwise) = (a.operand(0)?, a.operand(1)?, a.operand(2)?);
    if let (Some(channels), Some(kernels)) = (x.ty()?.dims[1].known(), depthwise.ty()?.dims[0].known())
        && (channels == 0 || kernels % channels != 0)
    {
        return type_error(format!("{kernels} kernels are not equally many for each of {channels} channels"));
    }
    if depthwise.ty()?.dims[1].known().is_some_and(|channels| channels != 1) {
        return type_error(format!("each depthwise kernel sees one channel, but they are {}", depthwise.ty()?));
    }
    let each = convolved(a, x, depthwise, &length(x, 1), rank)?;
    let name = if rank == 2 { "conv2d" } else { "conv3d" };
    Ok(vec![Var::apply(name, &[each, pointwise.clone()], Attributes::new())])
}

/// The largest factor: lengths stay small enough to count.
const MOST: i64 = 1 << 20;

/// Images on straight lines between their elements: of each of the last two axes `numerator` places for each old one, of
/// which every `denominator`-th is kept.
fn upsampled(x: &Var, ratios: [(i64, i64); 2]) -> Result<Var> {
    if x.ty()?.rank() != 4 {
        return type_error(format!("images have four axes, batch, channels, rows, columns, not {}", x.ty()?));
    }
    let dtype = x.ty()?.dtype;
    let mut result = x.clone();
    for (axis, (numerator, denominator)) in [2usize, 3].into_iter().zip(ratios) {
        let n = length(x, axis);
        let last = size("sub", &n, &Var::scalar(1i64))?;
        let count = size("add", &size("mul", &n, &Var::scalar(numerator))?, &Var::scalar(denominator - 1))?;
        let count = size("floor_div", &count, &Var::scalar(denominator))?;
        let places = positions(&count) * denominator;
        let at = (places.cast(DType::F64) - ((numerator - 1) / 2) as f64) / numerator as f64;
        let at = at.maximum(&Var::weak(0.0)).minimum(&last.cast(DType::F64));
        let low = at.floor();
        let share = (at - &low).cast(dtype);
        let low = low.cast(DType::I64);
        let high = (&low + 1i64).minimum(&last);
        let share = if axis == 2 { share.expand_dims(1) } else { share };
        let (below, above) = (result.take(&low, axis as i64), result.take(&high, axis as i64));
        result = &below + (above - &below) * share;
    }
    Ok(result)
}

fn upsampling(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let ratio = a.attributes.int("ratio")?;
    if !(1..=MOST).contains(&ratio) {
        return type_error(format!("`ratio` is at least 1, but this is {ratio}"));
    }
    Ok(vec![upsampled(a.operand(0)?, [(ratio, 1); 2])?])
}

/// A fraction in lowest terms.
fn reduced(numerator: i64, denominator: i64) -> Result<(i64, i64)> {
    if !(1..=MOST).contains(&numerator) || !(1..=MOST).contains(&denominator) {
        return type_error(format!("a ratio is [numerator, denominator], whole numbers of at least 1, not [{numerator}, {denominator}]"));
    }
    let (mut divisor, mut rest) = (numerator, denominator);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    Ok((numerator / divisor, denominator / divisor))
}

fn frac_upsampling(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let given = a.attributes.get("frac_ratio");
    let number = |value: &Attribute| if let Attribute::Int(value) = value { Some(*value) } else { None };
    let fraction = |value: &Attribute| match value {
        Attribute::List(parts) => match parts.iter().map(number).collect::<Option<Vec<i64>>>()?.as_slice() {
            &[numerator, denominator] => Some((numerator, denominator)),
            _ => None,
        },
        _ => None,
    };
    let each = match given {
        Some(Attribute::List(axes)) if axes.len() == 2 => axes.iter().map(fraction).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    let ratios = match (given.and_then(fraction), each.as_deref()) {
        (Some(both), _) => [both; 2],
        (None, Some(&[rows, columns])) => [rows, columns],
        _ => return type_error("`frac_ratio` is [numerator, denominator], or one of those for rows and one for columns"),
    };
    let [rows, columns] = ratios.map(|(numerator, denominator)| reduced(numerator, denominator));
    Ok(vec![upsampled(a.operand(0)?, [rows?, columns?])?])
}

/// A triangle with one side of `ratio` steps: `1, 2, .., ratio, .., 2, 1`.
fn triangle(ratio: &Var, a: &Arguments<'_>) -> Result<Var> {
    if ratio.ty()?.rank() != 0 || constant_int(ratio).is_some_and(|ratio| ratio < 1) {
        return type_error("`ratio` is one whole number of at least 1");
    }
    whole_numbers(ratio)?;
    let Some(dtype) = a.attributes.dtype("dtype")? else { return type_error("no dtype is known") };
    if !dtype.is_float() {
        return type_error(format!("a kernel has a float dtype, not {dtype}"));
    }
    let ratio = match constant_int(ratio) {
        Some(known) => Var::scalar(known),
        None => ratio.cast(DType::I64).assert(&ratio.ge(&Var::weak(1i64)), "a kernel's `ratio` is at least 1"),
    };
    let count = size("sub", &size("mul", &ratio, &Var::scalar(2i64))?, &Var::scalar(1i64))?;
    let away = (positions(&count) + 1i64 - &ratio).abs();
    let steps = (&ratio - away).cast(dtype);
    Ok(if a.attributes.bool("normalize")? { steps / ratio.cast(dtype) } else { steps })
}

fn kernel_2d(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let ratio = a.operand(0)?;
    let [rows, columns] = match ratio.ty()?.dims.as_slice() {
        [] => [ratio.clone(), ratio.clone()],
        [two] if two.known() == Some(2) => [0, 1].map(|at| picked(ratio, at)),
        _ => return type_error(format!("`ratio` is one whole number, or one for rows and one for columns, not {}", ratio.ty()?)),
    };
    Ok(vec![triangle(&rows, a)?.expand_dims(1) * triangle(&columns, a)?])
}

/// An element of a vector; a constant's is one.
fn picked(x: &Var, at: usize) -> Var {
    match constant(x).and_then(|known| known.to_i64_vec().get(at).copied()) {
        Some(value) => Var::scalar(value),
        None => x.at(at as i64),
    }
}

/// Two numbers of an attribute that are at least 1.
fn two(a: &Arguments<'_>, name: &str) -> Result<Option<[i64; 2]>> {
    match a.attributes.ints(name)?.as_deref() {
        None => Ok(None),
        Some(&[rows, columns]) if rows >= 1 && columns >= 1 => Ok(Some([rows, columns])),
        Some(other) => type_error(format!("`{name}` is two numbers of at least 1, not {other:?}")),
    }
}

fn images2neibs(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    if x.ty()?.rank() != 4 {
        return type_error(format!("images have four axes, batch, channels, rows, columns, not {}", x.ty()?));
    }
    let Some(shape) = two(a, "neib_shape")? else { return type_error("`neib_shape` is two numbers") };
    let step = two(a, "neib_step")?.unwrap_or(shape);
    let exact = match a.attributes.str("mode")? {
        "valid" => true,
        "ignore_borders" => false,
        other => return type_error(format!("`mode` is \"valid\" or \"ignore_borders\", not {other:?}")),
    };
    let mut windows = x.clone();
    for (number, axis) in [(1usize, 3usize), (0, 2)] {
        let (n, window, step) = (length(x, axis), Var::scalar(shape[number]), Var::scalar(step[number]));
        let rest = size("sub", &n, &window)?;
        let count = size("add", &size("floor_div", &rest, &step)?, &Var::scalar(1i64))?;
        let count = size("maximum", &count, &Var::scalar(0i64))?;
        let starts = positions(&count).expand_dims(1) * step.clone();
        let mut source = windows;
        if exact {
            let fits = (&rest % &step).eq(&Var::scalar(0i64)).logical_and(&rest.ge(&Var::scalar(0i64)));
            source = source.assert(&fits, "`images2neibs`: the windows do not fill the images; `mode=\"ignore_borders\"` drops the rest");
        }
        windows = source.take(&(starts + positions(&window)), axis as i64);
    }
    // [batch, channels, windows down, rows, windows across, columns].
    let windows = windows.transpose(&[0, 1, 2, 4, 3, 5]);
    let sizes = lengths(&windows)?;
    let rows = sizes[..4].iter().cloned().reduce(|product, length| product * length).unwrap_or_else(|| Var::scalar(1i64));
    Ok(vec![windows.reshape_to(&vector(&[rows, Var::scalar(shape[0] * shape[1])]))])
}

fn same_size(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    if x.ty()?.rank() != 4 {
        return type_error(format!("images have four axes, batch, channels, rows, columns, not {}", x.ty()?));
    }
    let Some(window) = two(a, "patch_size")? else { return type_error("`patch_size` is two numbers") };
    let mut largest = Var::apply("max_pool2d", std::slice::from_ref(x), Attributes::new().with("window", window.to_vec()));
    let (mut image, mut rests) = (x.clone(), Vec::new());
    for (window, axis) in window.into_iter().zip([2usize, 3]) {
        let (n, window) = (length(x, axis), Var::scalar(window));
        let filled = size("mul", &size("floor_div", &n, &window)?, &window)?;
        largest = largest.repeat(&window, Some(axis as i64));
        image = image.take(&positions(&filled), axis as i64);
        rests.push((axis, size("sub", &n, &filled)?));
    }
    let zero = zero_of(x)?;
    let mut result = where_(&image.eq(&largest), &image, &zero);
    for (axis, rest) in rests {
        result = padded(&result, axis, &[Var::scalar(0i64), rest], &zero)?;
    }
    Ok(vec![result])
}

fn neibs2images(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let Some([rows, columns]) = two(a, "neib_shape")? else { return type_error("`neib_shape` is two numbers") };
    let whole = a.sizes(1)?;
    let [batch, channels, height, width] = whole.as_slice() else {
        return type_error(format!("`original_shape` has four lengths, not {}", whole.len()));
    };
    let (rows, columns) = (Var::scalar(rows), Var::scalar(columns));
    let (down, across) = (size("floor_div", height, &rows)?, size("floor_div", width, &columns)?);
    let apart = a.operand(0)?.reshape_to(&vector(&[batch.clone(), channels.clone(), down, across, rows, columns]));
    Ok(vec![apart.transpose(&[0, 1, 2, 4, 3, 5]).reshape_to(&vector(&whole))])
}
