//! The text form of graphs: the `.arig` language.
//!
//! [`parse`] turns text into a syntax tree whose every part knows its place in the file, [`lower()`]
//! turns a function of it into a graph, [`print()`] turns a graph into text that gives an equal graph
//! back, and [`format()`] lays text out in the one standard way. The grammar stands in
//! `docs/language.md`.
//!
//! Two things keep large machine-written files safe: expressions live in one flat arena
//! ([`File::exprs`]), so dropping a tree never recurses, and nesting is limited to
//! [`MAX_NESTING`], so a hostile file gets an error rather than a stack overflow. The length of a
//! statement list or of an operator chain is not limited.

mod ast;
mod format;
mod lexer;
mod lower;
mod module;
mod parser;
mod print;
mod source;

#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

pub use ast::*;
pub use format::format;
pub use lexer::{DTYPES, KEYWORDS, is_reserved};
pub use lower::{Lowered, binary_op_name, inline, lower, lower_program, unary_op_name};
pub use module::{Module, literal_attribute, load, print_function};
pub use parser::{MAX_NESTING, parse};
pub use print::{Printed, print, print_graph};
pub use source::{Diagnostic, Source, Span};
