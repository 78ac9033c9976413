//! The plugin boundary: the safe traits that plugin authors implement and that the host calls.
//!
//! # For plugin authors
//!
//! Implement [`Plugin`] and what it brings ([`Backend`], [`HostKernel`]; ops and rules are text), and
//! write [`export_plugin!`](crate::export_plugin) once. Nothing else is needed: a panic in any method
//! becomes an error that names the method, and the object that panicked is not called again.
//! A plugin starts no threads and owns no logger; [`Host`] offers both.
//!
//! # For hosts
//!
//! [`Loader`] finds, checks and starts plugins, and returns [`LoadedPlugin`]s with the same traits.
//! Statically linked plugins come through the same door, [`Loader::link`].
//!
//! A file is looked at before it is loaded, as loading runs code: a missing or truncated one, one
//! for another processor, another interface or without a plugin in it, or one that is not the pinned
//! one, is refused without having run anything of it.

mod adapt;
mod convert;
mod defined;
mod elf;
mod export;
mod faults;
mod guard;
mod load;
mod memory;
mod program;
mod sidecar;
mod traits;

pub use defined::{NewOps, register_ops};
pub use export::boundary;
pub use load::{Candidate, LoadedPlugin, Loader, Origin, same_name, standard_folders};
pub use program::ParsedProgram;
pub use traits::*;
