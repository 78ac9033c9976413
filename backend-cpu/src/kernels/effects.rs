//! Assertions, printing, and order between them. All give their first operand.

use arignote_core::ops::effects::print_line;
use arignote_core::tensor::{broadcast_shapes, contiguous_strides};
use arignote_core::{Error, ErrorKind, Result};

use super::Call;
use super::elementwise::broadcast_strides;
use crate::buffer::View;

/// The first operand, which the result may have overwritten by itself.
fn given<'a>(call: &'a Call<'_, '_>) -> View<'a> {
    let result = &call.results[0];
    match call.optional(0) {
        Some(x) => x,
        None => View { dtype: result.dtype, shape: result.shape, bytes: result.bytes },
    }
}

/// `after`
pub fn after(call: &mut Call<'_, '_>) -> Result<()> {
    if let Some(x) = call.optional(0) {
        call.results[0].bytes.copy_from_slice(x.bytes);
    }
    Ok(())
}

/// `print`
pub fn print(call: &mut Call<'_, '_>) -> Result<()> {
    let (message, x) = (call.attributes.str("message")?, given(call).tensor()?);
    print_line(&if message.is_empty() { x.to_string() } else { format!("{message}: {x}") })?;
    after(call)
}

/// `assert`
pub fn assert(call: &mut Call<'_, '_>) -> Result<()> {
    let condition = call.operand(1)?;
    let Some(first) = condition.bytes.iter().position(|&holds| holds == 0) else { return after(call) };
    let x = given(call);
    let error = Error::new(ErrorKind::Runtime, call.attributes.str("message")?);
    let strides = contiguous_strides(condition.shape);
    let place: Vec<usize> = strides.iter().zip(condition.shape).map(|(&step, length)| first / step.unsigned_abs().max(1) % length).collect();
    let error = match condition.bytes.len() {
        1 => error.note("the condition is false"),
        all => {
            let wrong = condition.bytes.iter().filter(|&&holds| holds == 0).count();
            error.note(format!("the condition is false at {wrong} of {all} places, first at {place:?}"))
        }
    };
    // Where the condition goes element by element, the element; else all of x.
    let beside = broadcast_shapes(x.shape, condition.shape).is_ok_and(|both| both.as_slice() == condition.shape);
    let error = if beside && !x.shape.is_empty() {
        let at = match broadcast_strides(x.shape, condition.shape) {
            Some(strides) => strides.iter().zip(&place).map(|(step, at)| step * at).sum(),
            None => first,
        };
        let size = x.dtype.size();
        let element = View { dtype: x.dtype, shape: &[], bytes: &x.bytes[at * size..][..size] };
        error.note(format!("there x is {}", element.tensor()?))
    } else {
        error.note(format!("x is {}", x.tensor()?))
    };
    Err(error)
}
