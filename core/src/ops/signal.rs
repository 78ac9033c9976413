//! Signals: convolutions as NumPy and SciPy name them, windows, and the order of frequencies.

use super::composed::{
    Arguments, Composed, Settle, add, constant_int, length, lengths, positions, type_error, vector, whole,
};
use super::nn::size;
use super::{Attribute, AttributeKind, Attributes, Param, Registry, default_float, promote_operands, where_};
use crate::error::Result;
use crate::graph::Var;
use crate::tensor::{DType, Tensor};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let word = |name, default: &str, doc| Param::attribute(name, AttributeKind::Str, Some(Attribute::Str(default.into())), doc);
    let mode = |default| word("mode", default, "\"full\", \"same\" or \"valid\": which places are in the result");
    let pair = || vec![operand("a", "a signal along the last axis"), operand("v", "another; the axes before broadcast")];
    let mut promoting = |name, params, doc, build| registry.add(Composed { name, params, doc, settle: Settle::Promote(2), build });
    promoting("convolve", [pair(), vec![mode("full")]].concat(),
        "The convolution of two signals, `sum(a[k - i] * v[i])` for each k, as NumPy. Mode \"full\" gives every place where both \
         overlap, `n + m - 1` of them; \"same\" as many as the longer one has, from the middle; \"valid\" those where the \
         shorter one lies within the other.\n\n    convolve([1, 2, 3], [0, 1, 0.5], mode=\"same\")  # 1 2.5 4", |a| {
            Ok(vec![convolved(a, a.operand(1)?, false)?])
        });
    promoting("convolve1d", [pair(), vec![mode("full")]].concat(),
        "`convolve` under PyTensor's name.\n\n    convolve1d(x, kernel, mode=\"valid\")", |a| Ok(vec![convolved(a, a.operand(1)?, false)?]));
    promoting("correlate", [pair(), vec![mode("valid")]].concat(),
        "The cross-correlation of two signals, `sum(a[k + i] * v[i])` for each shift k, as NumPy; modes as of `convolve`.\n\n    \
         correlate([1, 2, 3], [0, 1, 0.5], mode=\"full\")", |a| {
            let v = a.operand(1)?;
            if v.ty()?.rank() == 0 {
                return type_error("signals have an axis, but one is a scalar");
            }
            Ok(vec![convolved(a, &v.flip(-1), true)?])
        });
    promoting("convolve2d",
        vec![operand("in1", "images along the last two axes"), operand("in2", "kernels; the axes before broadcast"), mode("full"),
            word("boundary", "fill", "what lies around in1: \"fill\": `fillvalue`, \"wrap\": in1 again, \"symm\": in1 mirrored"),
            Param::attribute("fillvalue", AttributeKind::Float, Some(Attribute::Float(0.0)), "of boundary \"fill\"")],
        "The convolution of images with kernels, as SciPy's `signal.convolve2d`: mode \"same\" gives the shape of `in1`, \
         \"valid\" the places where `in2` lies within `in1`.\n\n    convolve2d(x, kernel, mode=\"same\", boundary=\"symm\")", convolve2d);
    let float = |registry: &mut Registry, name, doc, build| {
        let params = vec![operand("m", "how many, a whole number"), Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype of the result")];
        registry.add(Composed { name, params, doc, settle: Settle::Draws(0), build });
    };
    float(registry, "bartlett", "The triangular window of `m` points, 0 at both ends.\n\n    bartlett(5)  # 0 0.5 1 0.5 0", |a| {
        window(a, |place, last| {
            let side = 2.0 * place / last;
            where_(&side.le(&Var::weak(1.0)), &side, &(2.0 - &side))
        })
    });
    float(registry, "hanning", "The window `0.5 - 0.5 cos(2 pi i / (m - 1))` of `m` points.\n\n    hanning(5)", |a| window(a, |place, last| cosines(place, last, &[0.5, -0.5])));
    float(registry, "hamming", "The window `0.54 - 0.46 cos(2 pi i / (m - 1))` of `m` points.\n\n    hamming(5)", |a| window(a, |place, last| cosines(place, last, &[0.54, -0.46])));
    float(registry, "blackman", "The window `0.42 - 0.5 cos(2 pi i / (m - 1)) + 0.08 cos(4 pi i / (m - 1))` of `m` points.\n\n    blackman(5)", |a| {
        window(a, |place, last| cosines(place, last, &[0.42, -0.5, 0.08]))
    });
    let spacing = || Param::attribute("d", AttributeKind::Float, Some(Attribute::Float(1.0)), "the time between samples");
    let frequencies = |registry: &mut Registry, name, doc, build| {
        let params = vec![operand("n", "the number of samples, a whole number"), spacing(), Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype of the result")];
        registry.add(Composed { name, params, doc, settle: Settle::Draws(0), build });
    };
    frequencies(registry, "fftfreq", "The frequencies of what `fft` gives: those from 0 on and then the negative ones.\n\n    fftfreq(4, d=0.5)  # 0 0.5 -1 -0.5", |a| {
        let n = count(a, "n")?;
        let place = positions(&n);
        let half = (&n + 1i64).floor_div(&Var::scalar(2i64));
        per_sample(a, &where_(&place.lt(&half), &place, &(&place - &n)), &n)
    });
    frequencies(registry, "rfftfreq", "The frequencies of what `rfft` gives.\n\n    rfftfreq(4)  # 0 0.25 0.5", |a| {
        let n = count(a, "n")?;
        per_sample(a, &positions(&(n.floor_div(&Var::scalar(2i64)) + 1i64)), &n)
    });
    let shifted = |registry: &mut Registry, name, doc, build| {
        add(registry, name, vec![operand("x", "the operand"), Param::attribute("axes", AttributeKind::Axes, Some(Attribute::None), "which axes; all if none")], doc, build);
    };
    shifted(registry, "fftshift", "`x` with the frequency 0 moved to the middle of each axis.\n\n    fftshift(x, axes=0)", |a| shift(a, true));
    shifted(registry, "ifftshift", "The inverse of `fftshift`.\n\n    ifftshift(x)", |a| shift(a, false));
}

/// `x` with zeros before and after it along an axis, which is given from behind.
fn padded(x: &Var, axis: usize, width: &Var) -> Result<Var> {
    let mut shape = lengths(x)?;
    shape[axis] = width.clone();
    let ty = x.ty()?;
    let zeros = Var::apply("zeros", &[vector(&shape)], Attributes::new().with("dtype", ty.dtype));
    Ok(super::shape::concatenate(&[zeros.clone(), x.clone(), zeros], axis as i64))
}

/// Windows of a length along an axis, as a new last axis: `window` elements from each place on.
fn windows(x: &Var, axis: usize, window: &Var, places: &Var) -> Var {
    let at = positions(places).expand_dims(1) + positions(window);
    // The axis is replaced by two, the second of which goes to the end.
    x.take(&at, axis as i64).moveaxis(axis as i64 + 1, -1)
}

/// That both operands have elements along an axis.
fn has_elements(x: &Var, axis: usize) -> Result<()> {
    match x.ty()?.dims[axis].known() {
        Some(0) => type_error(format!("a signal has at least one element, but this is {}", x.ty()?)),
        _ => Ok(()),
    }
}

fn convolved(a: &Arguments<'_>, v: &Var, correlation: bool) -> Result<Var> {
    let x = a.operand(0)?;
    let (Some(last), Some(last_v)) = (x.ty()?.rank().checked_sub(1), v.ty()?.rank().checked_sub(1)) else {
        return type_error("signals have an axis, but one is a scalar");
    };
    has_elements(x, last)?;
    has_elements(v, last_v)?;
    // Without a dtype of its own a literal takes the other's.
    let common = promoted(x, v)?;
    let (x, v) = (x.cast(common), v.cast(common));
    let (n, m) = (length(&x, last), length(&v, last_v));
    let one = Var::scalar(1i64);
    let (shorter, longer) = (size("minimum", &n, &m)?, size("maximum", &n, &m)?);
    let full = size("sub", &size("add", &n, &m)?, &one)?;
    let (start, places) = match a.attributes.str("mode")? {
        "full" => (Var::scalar(0i64), full),
        "same" => {
            let two = Var::scalar(2i64);
            let left = size("floor_div", &size("sub", &shorter, &one)?, &two)?;
            // Of a correlation with the longer signal NumPy reverses that of both exchanged.
            let start = match correlation {
                true => where_(&n.lt(&m), &size("floor_div", &shorter, &two)?, &left),
                false => left,
            };
            (start, longer)
        }
        "valid" => (size("sub", &shorter, &one)?, size("add", &size("sub", &longer, &shorter)?, &one)?),
        other => return type_error(format!("`mode` is \"full\", \"same\" or \"valid\", not {other:?}")),
    };
    let around = padded(&x, last, &size("sub", &m, &one)?)?;
    let at = (positions(&places) + start).expand_dims(1) + positions(&m);
    let products = around.take(&at, -1).matmul(&v.flip(-1).expand_dims(-1));
    Ok(products.squeeze(-1))
}

/// The dtype of products, where literals alone give none.
fn promoted(x: &Var, y: &Var) -> Result<DType> {
    Ok(match promote_operands([x.ty()?, y.ty()?]) {
        (dtype, true) if dtype.is_float() => default_float(),
        (dtype, _) => dtype,
    })
}

fn convolve2d(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, v) = (a.operand(0)?, a.operand(1)?);
    for (name, image) in [("in1", x), ("in2", v)] {
        if image.ty()?.rank() < 2 {
            return type_error(format!("`{name}` has two axes or more, not {}", image.ty()?));
        }
    }
    let common = promoted(x, v)?;
    let (mut around, v) = (x.cast(common), v.cast(common));
    let (rank, one) = (x.ty()?.rank(), Var::scalar(1i64));
    let mode = a.attributes.str("mode")?;
    let pad = match a.attributes.str("boundary")? {
        "fill" => "constant",
        "wrap" => "wrap",
        "symm" => "symmetric",
        other => return type_error(format!("`boundary` is \"fill\", \"wrap\" or \"symm\", not {other:?}")),
    };
    let mut widths = vec![Var::scalar(0i64); rank - 2];
    let (mut starts, mut places, mut kernel) = (Vec::new(), Vec::new(), Vec::new());
    for back in [2, 1] {
        has_elements(x, rank - back)?;
        has_elements(&v, v.ty()?.rank() - back)?;
        let (n, m) = (length(x, rank - back), length(&v, v.ty()?.rank() - back));
        let before = size("sub", &m, &one)?;
        let (start, count) = match mode {
            "full" => (Var::scalar(0i64), size("add", &n, &before)?),
            "same" => (size("floor_div", &before, &Var::scalar(2i64))?, n),
            "valid" => (before.clone(), size("maximum", &size("sub", &n, &before)?, &Var::scalar(0i64))?),
            other => return type_error(format!("`mode` is \"full\", \"same\" or \"valid\", not {other:?}")),
        };
        widths.push(before);
        starts.push(start);
        places.push(count);
        kernel.push(m);
    }
    // Around the image by the chosen boundary, a kernel less one wide on all sides.
    let pairs: Vec<Var> = widths.iter().map(|width| vector(&[width.clone(), width.clone()])).collect();
    let attributes = Attributes::new().with("mode", pad);
    let fill = Var::weak(a.attributes.float("fillvalue")?).cast(common);
    let operands = match pad {
        "constant" => vec![around, super::shape::stack(&pairs, 0), fill],
        _ => vec![around, super::shape::stack(&pairs, 0)],
    };
    around = Var::apply("pad", &operands, attributes);
    for (number, axis) in [rank - 2, rank - 1].into_iter().enumerate() {
        let from = around.take(&(positions(&size("add", &places[number], &size("sub", &kernel[number], &one)?)?) + &starts[number]), axis as i64);
        around = windows(&from, axis, &kernel[number], &places[number]);
    }
    // [..., rows, columns, kernel's rows, its columns].
    let flipped = v.flip(-1).flip(-2).expand_dims(-3).expand_dims(-3);
    Ok(vec![(around * flipped).reduce_axes("sum", Some(&[-2, -1]), false)])
}

/// The operand as a number of points.
fn count(a: &Arguments<'_>, name: &str) -> Result<Var> {
    let n = a.operand(0)?;
    whole(n)?;
    if n.ty()?.rank() != 0 {
        return type_error(format!("`{name}` is one whole number, not {}", n.ty()?));
    }
    match constant_int(n) {
        Some(n) => Ok(Var::scalar(n.max(0))),
        None => Ok(n.cast(DType::I64).maximum(&Var::scalar(0i64))),
    }
}

fn dtype_of(a: &Arguments<'_>) -> Result<DType> {
    match a.attributes.dtype("dtype")? {
        Some(dtype) if dtype.is_float() => Ok(dtype),
        Some(dtype) => type_error(format!("the dtype of this is a float, not {dtype}")),
        None => Ok(default_float()),
    }
}

/// The values of a window for a place, counted from 0, and the last place; of one point 1.
fn window(a: &Arguments<'_>, value: impl Fn(&Var, &Var) -> Var) -> Result<Vec<Var>> {
    let (m, dtype) = (count(a, "m")?, dtype_of(a)?);
    let last = (&m - 1i64).maximum(&Var::scalar(1i64)).cast(DType::F64);
    let values = value(&positions(&m).cast(DType::F64), &last);
    let alone = m.eq(&Var::scalar(1i64));
    Ok(vec![where_(&alone, &Var::constant(Tensor::scalar(1.0)), &values).cast(dtype)])
}

fn cosines(place: &Var, last: &Var, weights: &[f64]) -> Var {
    let angle = (2.0 * std::f64::consts::PI) * place / last;
    let terms = weights.iter().enumerate().map(|(k, &weight)| weight * (k as f64 * &angle).cos());
    terms.reduce(|sum, term| sum + term).unwrap_or(angle)
}

fn per_sample(a: &Arguments<'_>, numbers: &Var, n: &Var) -> Result<Vec<Var>> {
    let dtype = dtype_of(a)?;
    let time = n.cast(DType::F64) * a.attributes.float("d")?;
    Ok(vec![(numbers.cast(DType::F64) / time).cast(dtype)])
}

fn shift(a: &Arguments<'_>, forth: bool) -> Result<Vec<Var>> {
    let mut x = a.operand(0)?.clone();
    for axis in a.attributes.axes("axes", a.rank()?)? {
        let n = length(&x, axis);
        let half = n.floor_div(&Var::scalar(2i64));
        let by = if forth { &n - &half } else { half };
        let place = (positions(&n) + by) % n.maximum(&Var::scalar(1i64));
        x = x.take(&place, axis as i64);
    }
    Ok(vec![x])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Type;

    #[test]
    fn lengths_follow_from_those_of_both_signals() {
        let signal = |n: usize| Var::input("x", Type::new(DType::F64, [n.into()]));
        let shape = |mode: &str| {
            let y = Var::apply("convolve", &[signal(5), signal(3)], Attributes::new().with("mode", mode));
            y.ty().unwrap().to_string()
        };
        assert_eq!(["full", "same", "valid"].map(shape), ["f64[7]", "f64[5]", "f64[3]"]);
    }
}
