//! What people look at: what compilation did, what calls took, and drawings of graphs.

mod draw;
mod explain;
mod layout;
mod memory;
mod picture;
mod profile;
mod tree;

pub use draw::{Drawing, to_dot, to_svg};
pub use explain::{explain, firing_counts};
pub use memory::memory;
pub use profile::{table, trace};
pub use tree::tree;
