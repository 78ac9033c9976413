//! Graphs in two forms: [`Var`], the user's immutable, shared expression, and [`Graph`], the owned
//! form that rewrites work on.
//!
//! Nothing here knows any op by name; what an op means is asked through [`Op`](crate::ops::Op).

mod body;
mod expand;
mod expression;
mod location;
mod note;
mod owned;
mod shapes;
mod state;
mod structure;
mod traverse;
mod var;

pub use body::{Again, Body, Stands};
pub use expand::expand_nodes;
pub use expression::{FunctionGraph, Update};
pub use location::Location;
pub use note::StatementNote;
pub use owned::{Graph, NodeId, NodeView, ValueId, ValueKind};
pub use shapes::shapes_of;
pub use state::{State, StateValue};
pub use structure::{same_graph, structural_hash};
pub use traverse::{ancestors, clone_with, depends_on, inputs_of, topological_order, topological_order_above};
pub use var::{Constant, Node, NodeKind, Var};
