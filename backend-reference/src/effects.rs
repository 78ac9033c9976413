//! Assertions, printing, closures of the program, and order between effects.

use arignote_core::Result;
use arignote_core::ops::effects::print_line;
use arignote_core::ops::host;
use arignote_core::tensor::{Tensor, broadcast_shapes};

use crate::kernel::{Function, KernelCall};
use crate::values::{broadcast_offsets, fail, gather, integers, strides};

/// The kernel of an op with an effect.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "assert" => assert,
        "print" => print,
        "host_call" => |call| host::run_call(call.attributes, call.operands),
        "inspect" => |call| {
            host::run_inspect(call.attributes, call.operands)?;
            Ok(vec![call.operand(0)?.clone()])
        },
        "after" => |call| Ok(vec![call.operand(0)?.clone()]),
        _ => return None,
    })
}

fn print(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let x = call.operand(0)?;
    let message = call.attributes.str("message")?;
    print_line(&if message.is_empty() { x.to_string() } else { format!("{message}: {x}") })?;
    Ok(vec![x.clone()])
}

fn assert(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (x, condition) = (call.operand(0)?, call.operand(1)?);
    let holds: Vec<bool> = integers(condition).into_iter().map(|element| element != 0).collect();
    let Some(first) = holds.iter().position(|holds| !holds) else { return Ok(vec![x.clone()]) };
    let error = fail(call.attributes.str("message")?);
    let place: Vec<usize> =
        strides(condition.shape()).iter().zip(condition.shape()).map(|(step, length)| first / step % length).collect();
    let error = match holds.len() {
        1 => error.note("the condition is false"),
        all => {
            let wrong = holds.iter().filter(|holds| !**holds).count();
            error.note(format!("the condition is false at {wrong} of {all} places, first at {place:?}"))
        }
    };
    // Where the condition goes element by element, the element; else all of x.
    let beside = broadcast_shapes(x.shape(), condition.shape()).is_ok_and(|both| both.as_slice() == condition.shape());
    Err(match beside && x.rank() > 0 {
        true => {
            let offsets = broadcast_offsets(x.shape(), condition.shape())?;
            error.note(format!("there x is {}", gather(x, &offsets[first..=first], &[])?))
        }
        false => error.note(format!("x is {x}")),
    })
}
