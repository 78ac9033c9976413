//! Loops, branches and what is computed again: the body is evaluated as a graph, in a loop step after step.

use arignote_core::Result;
use arignote_core::ops::control::{branches, run_scan};
use arignote_core::tensor::Tensor;

use crate::execute::evaluate;
use crate::kernel::{Function, KernelCall};

/// The kernel of an op of this family.
pub fn kernel(op: &str) -> Option<Function> {
    match op {
        "scan" => Some(scan),
        "if" => Some(branch),
        "recompute" => Some(inside),
        _ => None,
    }
}

fn branch(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let [then, otherwise] = branches(call.attributes)?;
    let taken = if call.operand(0)?.to_i64_vec() == [0] { otherwise } else { then };
    evaluate(&taken.graph()?, &call.operands[1..])
}

fn inside(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    evaluate(&call.attributes.body("body")?.graph()?, call.operands)
}

fn scan(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let graph = call.attributes.body("body")?.graph()?;
    run_scan(call.attributes, call.operands, &mut |_, arguments| evaluate(&graph, arguments))
}
