//! The frozen boundary between Arignote and its plugins.
//!
//! Everything that crosses between a host and a plugin that was compiled separately, perhaps by
//! another compiler, is declared here and nowhere else. This is also the only crate that names
//! `abi_stable`; of it we use a small subset (prefix structs, trait objects, the `R*` containers)
//! that could be re-expressed as plain `repr(C)`.
//!
//! Plugin authors do not use this crate: they implement the safe traits of `arignote-core` and
//! write `export_plugin!`. Hosts do not use it either: `arignote_core::plugin::load` returns the
//! same safe traits. It has its own version, 1.x, which follows this interface alone.
//!
//! # Rules for changing it
//!
//! - A minor version only appends: fields behind the `last_prefix_field` of [`PluginRoot`], and
//!   methods **with default bodies** behind the `last_prefix_field` of a trait. The marker itself
//!   never moves. [`MINOR`] goes up by one.
//! - A struct passed by value never changes. New facts about it travel in its `extra` list, or in
//!   a new method.
//! - Open sets are newtypes over `u32` ([`ErrorCode`], [`LogLevel`], …): a reader must expect
//!   values that it does not know. There are no data-carrying enums.
//! - Anything else is a new trait and a new root field, or a new [`MAJOR`].
//!
//! # Reserved
//!
//! What crosses but is not used yet, so that it need not be added later: today's hosts give
//! [`ExecutableObject::run`] no events to wait for and wait for its [`RunResult::done`] at once, and
//! today's plugins answer with [`AlreadyDone`]. Both sides must do as the contracts say all the same.
//! Profile spans of the host, allocation and copies on a device, and a list of an
//! executable's arguments and results are appended methods when something calls them.
//!
//! # Contracts
//!
//! - **Memory.** Who allocated frees. Containers carry their own destructor; a tensor's memory is
//!   kept alive by its [`Owner`].
//! - **Panics.** None crosses. `arignote-core` guards every exported body; one that panics gives
//!   an error of code [`ErrorCode::PANICKED`] and poisons its object, whose later calls fail.
//! - **Threads.** Every object may be used from several threads at once, and dropped on any. Two
//!   calls of [`ExecutableObject::run`] on one executable may overlap.
//! - **Unloading.** A library that was loaded is never unloaded.

#![allow(non_local_definitions)]

mod data;
mod error;
mod objects;
mod open;
mod root;
mod stamp;
mod tensor;

pub use data::*;
pub use error::{Error, ErrorCode, Outcome};
pub use objects::*;
pub use open::{OpenError, open_library};
pub use root::{
    Header, HeaderResult, LayoutError, PluginRoot, PluginRootRef, check_layout, header_for,
    root_result,
};
pub use stamp::{FLAG_DEBUG, FLAG_UNWIND, HEADER_SYMBOL, MAGIC, MAJOR, MINOR, STAMP_SYMBOL, Stamp};
pub use tensor::{DataType, DeviceType, Dims, Owner, OwnerCall, TensorDescriptor, TypeCode};

/// The containers that cross the boundary, under their `abi_stable` names.
pub use abi_stable::std_types::{RBox, ROption, RResult, RSlice, RStr, RString, RVec};
