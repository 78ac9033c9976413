//! How a kernel is repeated whose results are operands of the next time: the step of a loop, compiled with the loop
//! around it, so that what goes from step to step stays in registers.

use arignote_core::tensor::DType;

use super::form::{Form, REGISTERS};
use super::ir::Kernel;

/// Values that go from step to step at most; the other registers are for the step.
const CARRIED: usize = REGISTERS - 8;

/// Where the arrays of a kernel lie from step to step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepForm {
    /// For each input, the output that it is the value of in the step before.
    pub carried: Vec<Option<usize>>,
    /// Bytes from one step to the next, of inputs, then of outputs.
    pub strides: Vec<i32>,
    /// Whether an output is stored in each step, or only in the last.
    pub stored: Vec<bool>,
    /// Which inputs are one element for all lanes.
    pub uniform: Vec<bool>,
}

impl StepForm {
    /// The form of a kernel whose arrays lie at these places in three steps that follow each other; `None` if there
    /// is none. An input that is carried begins at its place in the first step; an output that is stored only in
    /// the last step is so at the place that it is then told.
    pub fn of(kernel: &Kernel, uniform: &[bool], [first, second, third]: &[Vec<*mut u8>; 3], pointers: usize) -> Option<StepForm> {
        let inputs = kernel.inputs.len();
        if first.len() > pointers || !kernel.reductions.is_empty() {
            return None;
        }
        let whole = |dtype: DType| matches!(dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64 | DType::U32 | DType::U64);
        let mut carried = vec![None; inputs];
        for (input, carried) in carried.iter_mut().enumerate() {
            let before = |output: &usize| second[input] == first[inputs + output] && third[input] == second[inputs + output];
            *carried = (0..kernel.outputs.len()).find(before).filter(|&output| whole(kernel.inputs[input]) && kernel.outputs[output].1 == kernel.inputs[input]);
        }
        // What is written over in memory, as too narrow to be carried, is not the same in each step.
        let is_written = |input: usize| (0..kernel.outputs.len()).any(|output| first[inputs + output] == first[input]);
        if (0..inputs).any(|input| carried[input].is_none() && is_written(input)) {
            return None;
        }
        let is_carried = |output: usize| carried.contains(&Some(output));
        let mut strides = vec![0; first.len()];
        let mut stored = vec![true; kernel.outputs.len()];
        for (array, stride) in strides.iter_mut().enumerate() {
            if carried.get(array).is_some_and(Option::is_some) {
                continue;
            }
            let far = |from: &[*mut u8], to: &[*mut u8]| to[array].addr().wrapping_sub(from[array].addr()).cast_signed();
            let (one, other) = (far(first, second), far(second, third));
            match array.checked_sub(inputs) {
                // Each step at one place, or the last one elsewhere: it is in a register until then.
                Some(output) if is_carried(output) && (one == 0 || one != other) => stored[output] = false,
                _ if one == other => *stride = i32::try_from(one).ok()?,
                _ => return None,
            }
        }
        let count = carried.iter().flatten().count();
        (count > 0 && count <= CARRIED).then(|| StepForm { carried, strides, stored, uniform: uniform.to_vec() })
    }

    /// The layout of one step.
    pub fn form(&self, kernel: &Kernel) -> Form {
        let fixed = |input: usize| self.uniform[input] && self.carried[input].is_none() && self.strides[input] == 0;
        Form::of(kernel, &(0..kernel.inputs.len()).map(fixed).collect::<Vec<_>>())
    }
}
