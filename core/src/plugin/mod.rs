//! The plugin boundary: the safe traits that plugin authors implement and that the host calls.

mod traits;

pub use traits::*;
