//! Arrays that a caller lends to a call without a copy.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{ArrayRef, Dimension};
use smallvec::SmallVec;

use crate::tensor::{Tensor, TensorElement};

/// The arguments of a call, and which memory of the caller's they lie in. Dropped, it makes sure that nothing holds
/// that memory any more.
pub struct Loans<'a> {
    arguments: SmallVec<[Tensor; 4]>,
    lent: SmallVec<[Range<usize>; 4]>,
    /// What the tensors on loan have as their owner.
    owner: Arc<dyn Any + Send + Sync>,
    lends: bool,
    arrays: PhantomData<&'a ()>,
}

impl<'a> Loans<'a> {
    /// No arguments yet. Where it does not lend, arguments are copies.
    pub(super) fn new(lends: bool) -> Loans<'a> {
        Loans { arguments: SmallVec::new(), lent: SmallVec::new(), owner: Arc::new(()), lends, arrays: PhantomData }
    }

    /// The next argument.
    pub(super) fn lend<T: TensorElement, D: Dimension>(&mut self, array: &'a ArrayRef<T, D>) {
        if self.lends && !array.is_empty() && array.is_standard_layout() {
            // SAFETY: the array is borrowed for longer than `self` lives. When `self` is dropped, no clone of the
            // owner is left, or the process ends. Whoever has the tensor only reads.
            if let Some(tensor) = unsafe { Tensor::on_loan(array, self.owner.clone()) } {
                let start = tensor.as_ptr().addr();
                self.lent.push(start..start + tensor.byte_len());
                return self.arguments.push(tensor);
            }
        }
        self.arguments.push(Tensor::from_ndarray(array));
    }

    /// The arguments.
    pub(super) fn arguments(&self) -> &[Tensor] {
        &self.arguments
    }

    /// Whether elements that begin here are the caller's: what outlives the call needs a copy of them.
    pub(super) fn cover(&self, start: *const u8) -> bool {
        self.lent.iter().any(|lent| lent.contains(&start.addr()))
    }
}

impl Drop for Loans<'_> {
    fn drop(&mut self) {
        self.arguments.clear();
        if Arc::strong_count(&self.owner) > 1 {
            // The memory goes back to the caller, who may write to it or free it: nothing that reads it may go on.
            eprintln!("arignote: a device kept an argument beyond the end of a call, which its contract forbids");
            std::process::abort();
        }
    }
}
