//! Derivatives: reverse mode, forward mode, and the expansion of the nodes that ask for them.
//!
//! `grad`, `vjp` and `jvp` are nodes like others until [`expand_symbolic`] replaces them. Compilation
//! stabilizes the graph first, so that what is differentiated is as stable as what is computed.

mod check;
mod control;
mod expand;
mod forward;
mod mask;
mod path;
mod reverse;

pub use check::{CheckOptions, check_gradients};
pub use expand::{expand_symbolic, protect_targets, remove_barriers, remove_derivative_marks};
pub use forward::tangents;
pub use reverse::cotangents;
