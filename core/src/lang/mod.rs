//! The text form of graphs: the `.arig` language.
//!
//! [`parse`] turns text into a syntax tree whose every part knows its place in the file,
//! [`format()`] lays text out in the one standard way. The grammar stands in `docs/language.md`.
//!
//! Two things keep large machine-written files safe: expressions live in one flat arena
//! ([`File::exprs`]), so dropping a tree never recurses, and nesting is limited to
//! [`MAX_NESTING`], so a hostile file gets an error rather than a stack overflow. The length of a
//! statement list or of an operator chain is not limited.

mod ast;
mod format;
mod lexer;
mod parser;
mod source;

#[cfg(test)]
mod tests;

pub use ast::*;
pub use format::format;
pub use lexer::{DTYPES, KEYWORDS, is_reserved};
pub use parser::{MAX_NESTING, parse};
pub use source::{Diagnostic, Source, Span};
