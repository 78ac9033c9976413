//! Derivatives: reverse mode, forward mode, graphs for many rows at once, and the expansion of the nodes
//! that ask for them.
//!
//! `grad`, `vjp`, `jvp`, `jacobian`, `vectorize` and the like are nodes as others until [`expand_symbolic`] replaces them. Compilation
//! stabilizes the graph first, so that what is differentiated is as stable as what is computed.

mod check;
mod connected;
mod control;
mod expand;
mod forward;
mod jacobian;
mod mask;
mod path;
mod reverse;
mod vectorize;

pub use check::{CheckOptions, check_gradients};
pub use expand::{expand_symbolic, protect_targets, remove_barriers, remove_derivative_marks};
pub use forward::tangents;
pub use reverse::cotangents;
pub use vectorize::vectorized;
