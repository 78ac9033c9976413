//! The core of Arignote: element types, tensors, graphs, ops, gradients, rewrites, the plugin host
//! and the runtime that turns a graph into a callable function.
//!
//! Dependencies between the modules run one way, from the bottom of this list to its top:
//! [`tensor`] → [`graph`] and [`ops`] → [`autodiff`], [`lang`] → [`rewrite`] → [`plugin`] →
//! [`runtime`] → [`inspect`]. [`config`] stands apart and is read by the runtime only; [`special`] is
//! for backends and uses no other module.

pub mod autodiff;
pub mod config;
pub mod error;
pub mod graph;
pub mod inspect;
pub mod lang;
pub mod ops;
pub mod plugin;
pub mod rewrite;
pub mod runtime;
pub mod special;
pub mod tensor;

pub use error::{Error, ErrorKind, Result};
