//! Random draws: pure functions of a key, so that equal keys give equal draws on every device and with
//! any number of threads.
//!
//! A key is a value, `u64[2]`: a seed and a stream. `primitive` holds what backends draw, by
//! Philox4x32-10; all other distributions are built from these draws, and have their derivatives from
//! that (*reparameterised* gradients). Two ops that are given one key give draws that depend on each
//! other: [`fold_in`] and [`split_key`] make further keys. An op that draws several times folds negative
//! numbers into its key, so that keys made by folding in other numbers are never met again inside.
//!
//! Draws are those of the standard form of a distribution. Place and scale are arithmetic:
//! `loc + scale * laplace(key, n)`; only what changes the form is an operand. Operands broadcast to the
//! shape of the result; where no shape is given, it is their common one.

mod builders;
mod composed;
mod discrete;
mod form;
mod primitive;
mod stream;

pub use builders::{
    beta, bernoulli, binomial, categorical, cauchy, chisquare, dirichlet, exponential, fold_in, gamma, gumbel, laplace,
    logistic, multivariate_normal, normal, permutation, poisson, randint, split_key, student_t, truncated_normal, uniform,
};
pub(super) use primitive::float_of;
pub use stream::RandomStream;

use super::{Attribute, AttributeKind, Param, ParamKind, Registry};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    primitive::register(registry);
    composed::register(registry);
    discrete::register(registry);
}

fn key() -> Param {
    Param::operand("key", "`u64[2]`: seed and stream")
}

/// The shape of draws whose operands have none of their own.
fn shape() -> Param {
    Param { name: "shape", kind: ParamKind::SpreadSizes, doc: "the lengths of the axes" }
}

/// The shape of draws, where operands may give it.
fn common_shape() -> Param {
    Param { name: "shape", kind: ParamKind::SpreadSizes, doc: "the lengths of the axes; those of the operands if there are none" }
}

fn float_dtype() -> Param {
    let doc = "a float dtype; if left out, that of the operands, or the config's `float`";
    Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), doc)
}

fn count_dtype() -> Param {
    Param::attribute("dtype", AttributeKind::DType, Some(Attribute::DType(crate::tensor::DType::I64)), "an integer dtype")
}
