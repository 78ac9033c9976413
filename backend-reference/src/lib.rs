//! The reference backend: every op, computed in the most obvious way on `f64` or whole numbers of 128
//! bits and rounded or wrapped once. It is the oracle that other backends are compared with, and the
//! evaluator of constants at compile time.
//!
//! An op's kernel stands in the file of its family, under its name; [`kernel::kernel`] finds it.

pub mod control;
pub mod create;
pub mod cumulative;
pub mod device;
pub mod effects;
pub mod elementwise;
pub mod execute;
pub mod fft;
pub mod index;
pub mod kernel;
pub mod linalg;
pub mod matmul;
pub mod nn;
pub mod order;
pub mod random;
pub mod reduce;
pub mod shape;
pub mod values;

pub use device::{ReferenceBackend, ReferenceDevice, ReferencePlugin};
pub use execute::{Interpreter, apply, evaluate};
pub use kernel::{Kernel, KernelCall, kernel};

arignote_core::plugin_root!(ReferencePlugin);
