//! Kernels that make tensors from nothing.

use arignote_core::tensor::{DType, Element};
use arignote_core::Result;

use super::Call;
use crate::buffer::{View, typed_mut};
use crate::stored_type;

fn fill(call: &mut Call<'_, '_>, value: i64) {
    let result = &mut call.results[0];
    stored_type!(result.dtype, T => typed_mut::<T>(result.bytes).fill(T::from_i64(value)));
}

/// `zeros`, `zeros_like`
pub fn zeros(call: &mut Call<'_, '_>) -> Result<()> {
    fill(call, 0);
    Ok(())
}

/// `ones`, `ones_like`
pub fn ones(call: &mut Call<'_, '_>) -> Result<()> {
    fill(call, 1);
    Ok(())
}

/// `full`
pub fn full(call: &mut Call<'_, '_>) -> Result<()> {
    let value = call.operand(1)?;
    let result = &mut call.results[0];
    let dtype = result.dtype;
    stored_type!(dtype, T => {
        let value = value.cast::<T>(dtype);
        let target = typed_mut::<T>(result.bytes);
        match value.as_ref() {
            [value] => target.fill(*value),
            values => {
                let strides = super::elementwise::broadcast_strides(value_shape(call.operands), result.shape).unwrap_or_default();
                let strides: Vec<isize> = if strides.is_empty() {
                    arignote_core::tensor::contiguous_strides(result.shape).to_vec()
                } else {
                    strides.iter().map(|&s| s as isize).collect()
                };
                super::shape::strided_copy(call.context, values, 0, &strides, result.shape, target);
            }
        }
    });
    Ok(())
}

fn value_shape<'a>(operands: &[Option<View<'a>>]) -> &'a [usize] {
    operands.get(1).copied().flatten().map_or(&[], |view| view.shape)
}

/// `arange(stop)` or `arange(start, stop, step)`
pub fn arange(call: &mut Call<'_, '_>) -> Result<()> {
    let start = if call.operands.len() > 1 { Some(call.operand(0)?) } else { None };
    let step = call.optional(2);
    let fractions = call.operands.iter().flatten().any(|view| view.dtype.is_float());
    let result = &mut call.results[0];
    let dtype = result.dtype;
    if dtype.is_float() || fractions {
        let one = |view: Option<View<'_>>, default: f64| view.and_then(|v| v.cast::<f64>(DType::F64).first().copied()).unwrap_or(default);
        let (start, step) = (one(start, 0.0), one(step, 1.0));
        stored_type!(dtype, T => for (i, out) in typed_mut::<T>(result.bytes).iter_mut().enumerate() {
            *out = T::from_f64(start + i as f64 * step);
        });
    } else {
        let one = |view: Option<View<'_>>, default: i64| view.and_then(|v| v.ints().first().copied()).unwrap_or(default);
        let (start, step) = (one(start, 0), one(step, 1));
        stored_type!(dtype, T => for (i, out) in typed_mut::<T>(result.bytes).iter_mut().enumerate() {
            *out = T::from_i64(start.wrapping_add((i as i64).wrapping_mul(step)));
        });
    }
    Ok(())
}

/// `eye`
pub fn eye(call: &mut Call<'_, '_>) -> Result<()> {
    let k = call.attributes.int("k")?;
    fill(call, 0);
    let result = &mut call.results[0];
    let (rows, columns) = (result.shape[0], result.shape[1]);
    stored_type!(result.dtype, T => {
        let target = typed_mut::<T>(result.bytes);
        for row in 0..rows {
            let column = (row as i64).saturating_add(k);
            if (0..columns as i64).contains(&column) { target[row * columns + column as usize] = T::from_i64(1); }
        }
    });
    Ok(())
}
