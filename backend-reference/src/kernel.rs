//! What a kernel is given, and the one table of kernels by op name.

use arignote_core::Result;
use arignote_core::error::{Error, ErrorKind};
use arignote_core::ops::Attributes;
use arignote_core::tensor::{DType, Tensor, Type};

use crate::elementwise::Elementwise;
use crate::{control, create, cumulative, effects, elementwise, fft, index, linalg, matmul, nn, order, random, reduce, shape};

/// One application to be computed.
#[derive(Clone, Copy, Debug)]
pub struct KernelCall<'a> {
    /// The op's name, for errors.
    pub op: &'a str,
    /// The operands' values.
    pub operands: &'a [Tensor],
    /// The operands' symbolic types, which tell a weak number from a firm one.
    pub types: &'a [Type],
    /// The attributes, complete.
    pub attributes: &'a Attributes,
    /// The results' types as the op's type rule gave them; the kernel's results have these dtypes.
    pub results: &'a [Type],
}

/// A kernel that is given by one function.
pub type Function = fn(&KernelCall<'_>) -> Result<Vec<Tensor>>;

impl KernelCall<'_> {
    /// The operand with this number.
    ///
    /// # Errors
    /// If there are not that many.
    pub fn operand(&self, number: usize) -> Result<&Tensor> {
        self.operands.get(number).ok_or_else(|| {
            let message = format!("operand {number} is missing, there are {}", self.operands.len());
            Error::new(ErrorKind::Type, message)
        })
    }

    /// The dtype of the only result.
    ///
    /// # Errors
    /// If the type rule gave no result.
    pub fn dtype(&self) -> Result<DType> {
        let first = self.results.first().map(|ty| ty.dtype);
        first.ok_or_else(|| Error::new(ErrorKind::Internal, "the type rule gave no result"))
    }

    /// The operand with this number, cast to the dtype of the result.
    ///
    /// # Errors
    /// If there is no such operand.
    pub fn as_result(&self, number: usize) -> Result<Tensor> {
        Ok(self.operand(number)?.cast(self.dtype()?))
    }
}

/// How an op is computed.
#[derive(Clone, Copy)]
pub enum Kernel {
    /// Element by element, with broadcasting.
    Elementwise(Elementwise),
    /// In any other way.
    Whole(Function),
}

impl Kernel {
    /// Computes the results.
    ///
    /// # Errors
    /// If shapes or values do not fit; the error names the op and its operands' types.
    pub fn run(&self, call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
        let results = match self {
            Kernel::Elementwise(function) => elementwise::run(function, call).map(|result| vec![result]),
            Kernel::Whole(function) => function(call),
        };
        let results = results.map_err(|error| describe(call, &error))?;
        check(call, &results).map_err(|error| describe(call, &error))?;
        Ok(results)
    }
}

/// The kernel of the op with this name.
pub fn kernel(op: &str) -> Option<Kernel> {
    let families = [
        reduce::kernel,
        cumulative::kernel,
        order::kernel,
        matmul::kernel,
        linalg::kernel,
        shape::kernel,
        index::kernel,
        create::kernel,
        nn::kernel,
        fft::kernel,
        random::kernel,
        control::kernel,
        effects::kernel,
    ];
    elementwise::function(op)
        .map(Kernel::Elementwise)
        .or_else(|| families.iter().find_map(|family| family(op)).map(Kernel::Whole))
}

/// An error with the op and its operands; one from inside of a body has those of its own op.
fn describe(call: &KernelCall<'_>, error: &Error) -> Error {
    if error.location().is_some() {
        return error.clone();
    }
    let operands: Vec<String> =
        call.operands.iter().map(|operand| format!("{}{:?}", operand.dtype(), operand.shape())).collect();
    let message = format!("`{}` of {}: {}", call.op, operands.join(", "), error.message());
    // What a type rule could not see, a call shows: here it is always a run-time error.
    let kind = if error.kind() == ErrorKind::Type { ErrorKind::Runtime } else { error.kind() };
    error.notes().iter().fold(Error::new(kind, message), |error, note| error.note(note.clone()))
}

/// Whether the results are what the type rule promised.
fn check(call: &KernelCall<'_>, results: &[Tensor]) -> Result<()> {
    if results.len() != call.results.len() {
        let message = format!("{} results where the type rule gives {}", results.len(), call.results.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    for (result, ty) in results.iter().zip(call.results) {
        if !ty.admits(result.dtype(), result.shape()) {
            let message = format!("the result is {}{:?}, not {ty}", result.dtype(), result.shape());
            let kind = if ty.dtype == result.dtype() { ErrorKind::Runtime } else { ErrorKind::Internal };
            return Err(Error::new(kind, message));
        }
    }
    Ok(())
}
