//! Plain lists of numbers: every kernel computes on `f64` or `i128` and rounds or wraps once at the
//! end, so that a result is as right as its dtype allows.

use arignote_core::error::{Error, ErrorKind};
use arignote_core::tensor::{DType, Element, Kind, Shape, Tensor, TensorElement, broadcast_shapes};
use arignote_core::{Result, dispatch_dtype};

/// An error of a call.
pub fn fail(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Runtime, message)
}

/// The number of elements of a shape.
///
/// # Errors
/// If it is more than memory could ever hold (lengths of 0 do not hide the others).
pub fn count(shape: &[usize]) -> Result<usize> {
    let bound = shape.iter().try_fold(1usize, |size, &length| size.checked_mul(length.max(1)));
    if bound.is_none_or(|size| size > isize::MAX as usize / 16) {
        return Err(fail(format!("a tensor of shape {shape:?} does not fit into memory")));
    }
    Ok(shape.iter().product())
}

/// An empty list with room for the elements of a shape.
///
/// # Errors
/// If there is no memory for it.
pub fn allocate<T>(shape: &[usize]) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(count(shape)?)
        .map_err(|_| fail(format!("there is no memory for a tensor of shape {shape:?}")))?;
    Ok(list)
}

/// A list of equal elements that fill a shape.
///
/// # Errors
/// If there is no memory for it.
pub fn filled<T: Clone>(shape: &[usize], value: T) -> Result<Vec<T>> {
    let mut list = allocate(shape)?;
    list.resize(count(shape)?, value);
    Ok(list)
}

/// Calls `body` with every index into a shape, in row-major order.
pub fn for_each_index(shape: &[usize], mut body: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = Shape::from_elem(0, shape.len());
    loop {
        body(&index);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// Elements from one entry of each axis to the next.
pub fn strides(shape: &[usize]) -> Shape {
    let mut strides = Shape::from_elem(1, shape.len());
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// For every element of `to`, which element of `from` it is when `from` is broadcast.
///
/// # Errors
/// If `from` does not broadcast to `to`, or `to` is too large.
pub fn broadcast_offsets(from: &[usize], to: &[usize]) -> Result<Vec<usize>> {
    if broadcast_shapes(from, to)?.as_slice() != to {
        return Err(fail(format!("shape {from:?} does not broadcast to {to:?}")));
    }
    count(to)?;
    let (lead, steps) = (to.len() - from.len(), strides(from));
    // One axis after the other: each place so far becomes as many as the axis is long.
    let mut offsets = vec![0];
    for (axis, &length) in to.iter().enumerate() {
        let step = match axis.checked_sub(lead) {
            Some(own) if from[own] != 1 => steps[own],
            _ => 0,
        };
        let mut places = allocate(&to[..=axis])?;
        offsets.iter().for_each(|offset| places.extend((0..length).map(|i| offset + i * step)));
        offsets = places;
    }
    Ok(offsets)
}

/// The elements at these offsets, in a new shape.
///
/// # Errors
/// If an offset is outside, or their number does not fill the shape.
pub fn gather(x: &Tensor, offsets: &[usize], shape: &[usize]) -> Result<Tensor> {
    dispatch_dtype!(x.dtype(), T => {
        let source = x.as_slice::<T>()?;
        let mut elements: Vec<T> = allocate(shape)?;
        for &offset in offsets {
            let element = source.get(offset).copied();
            elements.push(element.ok_or_else(|| Error::new(ErrorKind::Internal, "an offset is outside the tensor"))?);
        }
        Tensor::from_vec(elements, shape)
    })
}

/// The elements as floats, exactly but for 64-bit integers.
pub fn floats(x: &Tensor) -> Vec<f64> {
    x.to_f64_vec()
}

/// The elements as integers, exactly; floats are truncated.
pub fn integers(x: &Tensor) -> Vec<i128> {
    let unsigned = x.dtype().kind() == Kind::Unsigned;
    let widen = |value: i64| if unsigned { i128::from(value as u64) } else { i128::from(value) };
    x.to_i64_vec().into_iter().map(widen).collect()
}

/// A tensor of floats, each rounded once.
///
/// # Errors
/// If their number does not fill the shape.
pub fn from_floats(dtype: DType, values: Vec<f64>, shape: &[usize]) -> Result<Tensor> {
    fn convert<T: TensorElement>(values: Vec<f64>) -> Vec<T> {
        values.into_iter().map(<T as Element>::from_f64).collect()
    }
    dispatch_dtype!(dtype, T => Tensor::from_vec(convert::<T>(values), shape))
}

/// A tensor of integers, each wrapped to the dtype's width; any but 0 is `true`.
///
/// # Errors
/// If their number does not fill the shape.
pub fn from_integers(dtype: DType, values: Vec<i128>, shape: &[usize]) -> Result<Tensor> {
    fn convert<T: TensorElement>(values: Vec<i128>) -> Vec<T> {
        let narrow = |value: i128| match T::DTYPE.kind() {
            Kind::Float => T::from_f64(value as f64),
            Kind::Bool => T::from_i64(i64::from(value != 0)),
            _ => T::from_i64(value as i64),
        };
        values.into_iter().map(narrow).collect()
    }
    dispatch_dtype!(dtype, T => Tensor::from_vec(convert::<T>(values), shape))
}

/// The sizes in an integer vector (or one integer).
///
/// # Errors
/// If one is negative or the tensor is neither.
pub fn sizes(x: &Tensor) -> Result<Vec<usize>> {
    let check = |size: i128| {
        usize::try_from(size).map_err(|_| fail(format!("a size must not be negative, found {size}")))
    };
    signed_sizes(x)?.into_iter().map(check).collect()
}

/// The integers in an integer vector (or one integer).
///
/// # Errors
/// If the tensor is neither.
pub fn signed_sizes(x: &Tensor) -> Result<Vec<i128>> {
    let empty = x.is_empty() && x.rank() == 1;
    if x.rank() > 1 || !(x.dtype().is_integer() || empty) {
        return Err(fail(format!("sizes must be a vector of whole numbers, not {}{:?}", x.dtype(), x.shape())));
    }
    Ok(integers(x))
}

/// A sum whose error is that of one rounding, unless almost all of it cancels (Neumaier 1974): what each
/// step rounds off is summed beside it.
pub fn sum(list: impl IntoIterator<Item = f64>) -> f64 {
    let (mut plain, mut lost) = (0.0f64, 0.0f64);
    for x in list {
        let next = plain + x;
        lost += if plain.abs() >= x.abs() { (plain - next) + x } else { (x - next) + plain };
        plain = next;
    }
    // Of infinite steps nothing was rounded off, but their difference is NaN.
    if lost.is_finite() { plain + lost } else { plain }
}
