//! What people look at: what compilation did, and drawings of graphs.

mod draw;
mod explain;

pub use draw::{to_dot, to_svg};
pub use explain::{explain, firing_counts};
