//! Rewrites: rules as data, passes in Rust, and the engine that applies them.
//!
//! A rule is one line of the language: `rule log_exp [stabilize]: log(exp(x)) => x`. Every rule keeps
//! the law: **a rewrite may only bring a result closer to the exact real value, and never hides a NaN
//! or an infinity that the exact value has.** Rules that hold over the reals only carry the tag `real`
//! and run with [`Algebra::Real`]. What a pattern cannot say of one node is a [`Local`] rewrite, in [`locals`]; what
//! looks at more than that is a [`Pass`].
//!
//! "Value" means numeric value: 0 and -0 are the same number, so that `x + 0 => x` is lawful though
//! `-0 + 0` is `+0`. Whatever tells the two apart afterwards (`1 / x`, `arctan2`) sees the sign that
//! the rewritten expression gives. "Closer" allows the rounding of a few correctly rounded ops (see
//! [`harness`]).
//!
//! A rule never changes a dtype, nor a shape in any call: the engine checks every replacement.

pub mod describe;
pub mod engine;
pub mod facts;
pub mod harness;
pub mod lengths;
pub mod local;
pub mod locals;
pub mod matcher;
pub mod passes;
pub mod pattern;
pub mod predicates;
pub mod registry;
pub mod shapes;

pub use engine::{Cost, Engine, Firing, Limits, Rejection, Report, Stopped};
pub use local::{Local, Site};
pub use passes::{Pass, PassContext, normalize_bodies};
pub use pattern::{Rule, compile_rules};
pub use registry::{AFTER_GRADIENTS, Algebra, EVERY_LEVEL, Level, Origin, Phase, RewriteOptions, Rewrites, Row};

#[cfg(test)]
mod tests;
