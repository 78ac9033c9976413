//! [`RandomStream`]: a state that is a key, and steps with every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::fold_in;
use crate::graph::{State, StateValue, Var};
use crate::tensor::{DType, Tensor};

/// Where random numbers come from in the Rust API: a state that holds a key.
///
/// Every draw takes another key, made from that of the state. A function that uses any of them steps the
/// state once per call, so that the next call draws anew; a draw that is used twice in one function has
/// the same values in both places. In a call that fails the state does not step. Clones are the same
/// stream. The value of [`RandomStream::state`] can be read and set, saved and swapped, as that of any
/// other: `session.set(stream.state(), ...)` to a seed and 0 begins again.
///
/// ```
/// # use arignote_core::{ops::random::RandomStream, tensor::DType};
/// let stream = RandomStream::new(7);
/// let noise = stream.normal(&[2, 3], DType::F32);
/// let other = arignote_core::ops::random::laplace(&stream.key(), &[3], DType::F32);
/// assert_eq!(noise.ty().unwrap().to_string(), "f32[2, 3]");
/// # let _ = other;
/// ```
#[derive(Clone, Debug)]
pub struct RandomStream {
    state: State,
    used: Arc<AtomicI64>,
}

impl RandomStream {
    /// A stream from a seed. Streams of one seed draw the same.
    pub fn new(seed: u64) -> RandomStream {
        RandomStream::named("random", seed)
    }

    /// A stream whose state has a name of its own.
    pub fn named(name: &str, seed: u64) -> RandomStream {
        let value = Tensor::vector(vec![seed, 0]);
        let state = State::stepping(name, value.ty(), StateValue::Host(value), |key| fold_in(key, &Var::scalar(0i64)));
        RandomStream { state, used: Arc::default() }
    }

    /// The key that the next call starts from.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// A key that no other draw of the stream has: that of the state with 1, 2, 3, ... folded in.
    #[track_caller]
    pub fn key(&self) -> Var {
        let number = 1 + self.used.fetch_add(1, Ordering::Relaxed);
        fold_in(&Var::state(&self.state), &Var::scalar(number))
    }

    /// Draws uniform on [0, 1).
    #[track_caller]
    pub fn uniform(&self, shape: &[usize], dtype: DType) -> Var {
        super::uniform(&self.key(), shape, dtype)
    }

    /// Normal draws of mean 0 and variance 1.
    #[track_caller]
    pub fn normal(&self, shape: &[usize], dtype: DType) -> Var {
        super::normal(&self.key(), shape, dtype)
    }
}
