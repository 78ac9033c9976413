//! Fourier transforms. Complex values have a last axis of 2, the real and the imaginary part; the axes of
//! a transform are counted without it. One op transforms one axis; the others are made of it.

use super::composed::{Arguments, Composed, Settle, constant_int, length, lengths, type_error, vector, zero_of};
use super::nn::size;
use super::shape::{concatenate, stack};
use super::{
    Batch, Batched,
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp, default_float,
    normalize_axis, nth, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::ops::{IndexBound, IndexItem};
use crate::tensor::{DType, Dim, Shape, Tensor, Type};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let attribute = Param::attribute;
    registry.add(Transform {
        name: "complex_dft",
        params: vec![
            Param::operand("x", "complex values: the last axis holds the real and the imaginary part"),
            attribute("axis", AttributeKind::Int, Some(Attribute::Int(-1)), "the axis, counted without the last one"),
            attribute("inverse", AttributeKind::Bool, Some(false.into()), "the sign of the exponent: plus"),
        ],
        doc: "`y[k] = sum(x[t] * exp(-2 pi i k t / n))` along an axis, or with plus for minus; not divided by anything. \
              It is linear, and its gradient is the transform with the other sign.\n\n    complex_dft(x, inverse=true)",
    });
    type Build = fn(&Arguments<'_>) -> Result<Vec<Var>>;
    let rows: [(_, _, _, Build); 4] = [
        ("fft", "complex values: the last axis holds the real and the imaginary part",
            "The discrete Fourier transform along one axis, or several one after the other (NumPy's `fft`, `fft2` and \
             `fftn`). Complex values have a last axis of 2, which is not counted among the axes.\n\n    \
             fft(stack([x, zeros_like(x)], axis=-1))\n    fft(z, axis=[-2, -1], norm=\"ortho\")", |a| fft(a, false)),
        ("ifft", "complex values: the last axis holds the real and the imaginary part",
            "The inverse of `fft`.\n\n    ifft(fft(z))", |a| fft(a, true)),
        ("rfft", "real values",
            "The first `n // 2 + 1` elements of the transform of real values, of which the others are the conjugates: \
             complex, with a last axis of 2. Of several axes the last one is halved, as in NumPy's `rfftn`.\n\n    \
             rfft(x, n=8)\n    rfft(x, axis=[-2, -1])", rfft),
        ("irfft", "complex values, the first half of a spectrum: the last axis holds the real and the imaginary part",
            "The inverse of `rfft`: real values, of length `n` on the last of the axes, or `2 * (m - 1)` of `m` elements. \
             Imaginary parts that the spectrum of real values has not are left out.\n\n    irfft(rfft(x), n=7)", irfft),
    ];
    for (name, x, doc, build) in rows {
        let params = vec![
            Param::operand("x", x),
            attribute("n", AttributeKind::Axes, Some(Attribute::None), "the length to cut to or to fill up with zeros, or one for each of the axes; as it is if none"),
            attribute("axis", AttributeKind::Axes, Some(Attribute::Int(-1)), "the axis or axes; all of them if none"),
            attribute("norm", AttributeKind::Str, Some(Attribute::Str("backward".into())), "which way is divided by the number of elements: \"backward\" or \"forward\"; \"ortho\" divides both by its root"),
        ];
        registry.add(Composed { name, settle: Settle::ToFloat(1), params, doc, build });
    }
}

struct Transform {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

impl Transform {
    fn axis(attributes: &Attributes, rank: usize) -> Result<usize> {
        match rank.checked_sub(1) {
            Some(rank) if rank > 0 => attributes.axis("axis", rank),
            _ => type_error("complex values have a last axis of 2, and an axis to transform"),
        }
    }

    fn with_sign(x: &Var, attributes: &Attributes, turned: bool) -> Result<Var> {
        let (axis, inverse) = (attributes.int("axis")?, attributes.bool("inverse")?);
        Ok(dft(x, axis, inverse != turned))
    }
}

/// The transform along one axis, not divided by anything.
fn dft(x: &Var, axis: i64, inverse: bool) -> Var {
    Var::apply("complex_dft", std::slice::from_ref(x), Attributes::new().with("axis", axis).with("inverse", inverse))
}

impl Op for Transform {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, true)
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let x = nth(operands, 0)?.ty;
        check_complex(x)?;
        let axis = Transform::axis(attributes, x.rank())?;
        attributes.bool("inverse")?;
        if x.dims[axis] == Dim::Known(0) {
            return type_error("a transform of no elements");
        }
        let dtype = match x.dtype {
            dtype if dtype.is_float() => dtype,
            _ if x.weak => DType::F64,
            _ => default_float(),
        };
        Ok(vec![Type { dtype, weak: x.weak, dims: x.dims.clone() }.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let x = nth(operands, 0)?.shape;
        let fail = |message: &str| Err(Error::new(ErrorKind::Runtime, format!("`{}` of shape {x:?}: {message}", self.name)));
        if x.last() != Some(&2) {
            return fail("complex values have a last axis of 2");
        }
        match x[Transform::axis(attributes, x.len())?] {
            0 => fail("a transform of no elements"),
            _ => Ok(vec![x.into()]),
        }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let x = nth(context.operands, 0)?.ty()?;
        match context.cotangents.first() {
            Some(Some(g)) if x.dtype.is_float() => Ok(vec![Some(Transform::with_sign(g, context.attributes, true)?)]),
            _ => Ok(vec![None]),
        }
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        match context.tangents.first() {
            Some(Some(t)) => Ok(vec![Some(Transform::with_sign(t, context.attributes, false)?)]),
            _ => Ok(vec![None]),
        }
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let axis = Transform::axis(context.attributes, context.rank(0)?)? as i64 + 1;
        Ok(Batched::Rows(vec![Var::apply(self.name, context.operands, context.attributes.clone().with("axis", axis))]))
    }
}

fn check_complex(x: &Type) -> Result<()> {
    match x.dims.last() {
        Some(last) if last.compatible(&Dim::Known(2)) => Ok(()),
        _ => type_error(format!("complex values have a last axis of 2, not {x}")),
    }
}

/// The axes to transform, in the order given, each with the length asked for.
fn axes(a: &Arguments<'_>, rank: usize) -> Result<Vec<(usize, Option<i64>)>> {
    let given = a.attributes.ints("axis")?.unwrap_or_else(|| (0..rank as i64).collect());
    let axes = given.into_iter().map(|axis| normalize_axis(axis, rank)).collect::<Result<Vec<usize>>>()?;
    if axes.is_empty() {
        return type_error("`axis` names at least one axis");
    }
    if let Some((at, axis)) = axes.iter().enumerate().find(|(at, axis)| axes[..*at].contains(axis)) {
        return type_error(format!("`axis` names axis {axis} twice, also at place {at}"));
    }
    let lengths = match a.attributes.ints("n")? {
        None => vec![None; axes.len()],
        Some(lengths) => lengths.into_iter().map(Some).collect(),
    };
    if lengths.len() != axes.len() {
        return type_error(format!("`n` has {} lengths for {} axes", lengths.len(), axes.len()));
    }
    match lengths.iter().flatten().find(|&&length| !(1..=MOST).contains(&length)) {
        Some(length) => type_error(format!("`n` is at least 1 and at most {MOST}, but this is {length}")),
        None => Ok(axes.into_iter().zip(lengths).collect()),
    }
}

/// The longest `n`: more would not fit into memory anyway.
const MOST: i64 = 1 << 48;

/// `x` cut to a length along an axis, or filled up with zeros.
fn resized(x: &Var, axis: usize, n: Option<i64>) -> Result<Var> {
    let Some(n) = n else { return Ok(x.clone()) };
    let known = constant_int(&length(x, axis));
    let missing = match known {
        Some(length) if length >= n => 0,
        Some(length) => n - length,
        // Enough of them, whatever the length is.
        None => n,
    };
    let filled = if missing > 0 {
        let mut shape = lengths(x)?;
        shape[axis] = Var::scalar(missing);
        concatenate(&[x.clone(), zero_of(x)?.broadcast_to_var(&vector(&shape))], axis as i64)
    } else {
        x.clone()
    };
    Ok(if known.is_some_and(|length| length <= n) { filled } else { filled.slice(axis, Some(0), Some(n)) })
}

/// `x` divided as `norm` says, by some lengths.
fn normalized(a: &Arguments<'_>, x: Var, lengths: &[Var], inverse: bool) -> Result<Var> {
    let exponent = match (a.attributes.str("norm")?, inverse) {
        ("backward", false) | ("forward", true) => return Ok(x),
        ("backward", true) | ("forward", false) => 1.0,
        ("ortho", _) => 0.5,
        (other, _) => return type_error(format!("`norm` is \"backward\", \"ortho\" or \"forward\", not {other:?}")),
    };
    let count = lengths.iter().try_fold(Var::scalar(1i64), |count, length| size("mul", &count, length))?;
    let count = match constant_int(&count) {
        Some(count) => Var::weak((count as f64).powf(exponent)),
        None if exponent == 1.0 => count.cast(x.ty()?.dtype),
        None => count.cast(DType::F64).sqrt().cast(x.ty()?.dtype),
    };
    Ok(x / count)
}

fn fft(a: &Arguments<'_>, inverse: bool) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    check_complex(x.ty()?)?;
    let mut y = x * 1.0;
    let mut counts = Vec::new();
    // From the last to the first, as NumPy.
    for (axis, n) in axes(a, x.ty()?.rank() - 1)?.into_iter().rev() {
        y = resized(&y, axis, n)?;
        counts.push(length(&y, axis));
        y = dft(&y, axis as i64, inverse);
    }
    Ok(vec![normalized(a, y, &counts, inverse)?])
}

fn rfft(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    let mut y = x * 1.0;
    let mut counts = Vec::new();
    for (number, (axis, n)) in axes(a, x.ty()?.rank())?.into_iter().rev().enumerate() {
        y = resized(&y, axis, n)?;
        let length = length(&y, axis);
        if number == 0 {
            y = dft(&stack(&[y.clone(), y.zeros_like()], -1), axis as i64, false);
            let half = size("add", &size("floor_div", &length, &Var::scalar(2i64))?, &Var::scalar(1i64))?;
            y = match constant_int(&half) {
                Some(half) => y.slice(axis, Some(0), Some(half)),
                None => {
                    let mut items = vec![super::composed::whole_axis(); axis];
                    items.push(IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Operand(0), step: 1 });
                    y.index(items, &[half])
                }
            };
        } else {
            y = dft(&y, axis as i64, false);
        }
        counts.push(length);
    }
    Ok(vec![normalized(a, y, &counts, false)?])
}

fn irfft(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    check_complex(x.ty()?)?;
    let axes = axes(a, x.ty()?.rank() - 1)?;
    let mut y = x * 1.0;
    let mut counts = Vec::new();
    let Some((&(last, n), rest)) = axes.split_last() else { return type_error("`axis` names at least one axis") };
    for &(axis, n) in rest {
        y = resized(&y, axis, n)?;
        counts.push(length(&y, axis));
        y = dft(&y, axis as i64, true);
    }
    let y = resized(&y, last, n.map(|n| n / 2 + 1))?;
    if n.is_none() && constant_int(&length(&y, last)).is_some_and(|half| half < 2) {
        return type_error("a spectrum of one element stands for no elements, or for one: `n=1` says so");
    }
    let half = length(&y, last);
    let y = match (n, constant_int(&half)) {
        (None, None) => y.assert(&half.ge(&Var::scalar(2i64)), "`irfft`: a spectrum of one element stands for no elements, or for one: `n=1` says so"),
        _ => y,
    };
    // The conjugates of all but the first element, and of an even number the middle one.
    let mirrored = match n {
        Some(n) => y.slice(last, Some(1), Some((n + 1) / 2)),
        None => y.slice(last, Some(1), Some(-1)),
    };
    let sign = Var::constant(Tensor::vector(vec![1.0, -1.0]).cast(y.ty()?.dtype));
    let whole = concatenate(&[y.clone(), mirrored.flip(last as i64) * sign], last as i64);
    counts.push(length(&whole, last));
    let y = dft(&whole, last as i64, true).at_axis(whole.ty()?.rank() - 1, 0);
    Ok(vec![normalized(a, y, &counts, true)?])
}
