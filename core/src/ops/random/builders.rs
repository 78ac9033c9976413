//! Functions that build draws.

use crate::graph::Var;
use crate::ops::sizes::sizes;
use crate::ops::{Attribute, Attributes};
use crate::tensor::DType;

/// An op of a key, operands and a shape; without a dtype that of the op.
#[track_caller]
fn draw(op: &str, key: &Var, operands: &[&Var], shape: &[usize], dtype: Option<DType>) -> Var {
    let operands: Vec<Var> = std::iter::once(key).chain(operands.iter().copied()).cloned().chain([sizes(shape)]).collect();
    let attributes = Attributes::new();
    Var::apply(op, &operands, match dtype {
        Some(dtype) => attributes.with("dtype", dtype),
        None => attributes,
    })
}

/// Draws uniform on [0, 1) from a key (`u64[2]`: seed and stream).
#[track_caller]
pub fn uniform(key: &Var, shape: &[usize], dtype: DType) -> Var {
    draw("uniform", key, &[], shape, Some(dtype))
}

/// Normal draws of mean 0 and variance 1 from a key (`u64[2]`: seed and stream).
#[track_caller]
pub fn normal(key: &Var, shape: &[usize], dtype: DType) -> Var {
    draw("normal", key, &[], shape, Some(dtype))
}

/// The key that comes of a key and a number: of independent draws.
///
/// ```
/// use arignote_core::{graph::Var, ops::random::{fold_in, uniform}, tensor::{DType, Tensor}};
/// let key = Var::constant(Tensor::vector(vec![7u64, 0]));
/// let x = uniform(&fold_in(&key, &Var::weak(0i64)), &[3], DType::F64);
/// let y = uniform(&fold_in(&key, &Var::weak(1i64)), &[3], DType::F64);
/// assert_eq!((x - y).ty().unwrap().to_string(), "f64[3]");
/// ```
#[track_caller]
pub fn fold_in(key: &Var, data: &Var) -> Var {
    Var::apply("fold_in", &[key.clone(), data.clone()], Attributes::new())
}

/// Independent keys, the rows of `u64[n, 2]`.
#[track_caller]
pub fn split_key(key: &Var, n: usize) -> Var {
    Var::apply("split_key", &[key.clone(), Var::scalar(n as i64)], Attributes::new())
}

macro_rules! standard {
    ($($name:ident: $what:literal)*) => {$(
        #[doc = concat!("Draws from the ", $what, " in its standard form; see `arignote ops`.")]
        #[track_caller]
        pub fn $name(key: &Var, shape: &[usize], dtype: DType) -> Var {
            draw(stringify!($name), key, &[], shape, Some(dtype))
        }
    )*};
}
standard! {
    exponential: "exponential distribution"
    gumbel: "Gumbel distribution"
    laplace: "Laplace distribution"
    logistic: "logistic distribution"
    cauchy: "Cauchy distribution"
}

macro_rules! shaped {
    ($($name:ident($($operand:ident),*) $op:literal: $what:literal)*) => {$(
        #[doc = concat!("Draws from the ", $what, ", in the shape of the operands if `shape` is empty; see `arignote ops`.")]
        #[track_caller]
        pub fn $name(key: &Var, $($operand: &Var,)* shape: &[usize]) -> Var {
            draw($op, key, &[$($operand),*], shape, None)
        }
    )*};
}
shaped! {
    gamma(a) "random_gamma": "gamma distribution"
    beta(a, b) "random_beta": "beta distribution"
    chisquare(df) "chisquare": "chi-square distribution"
    student_t(df) "student_t": "t distribution"
    truncated_normal(lower, upper) "truncated_normal": "normal distribution between two ends"
    dirichlet(alpha) "dirichlet": "Dirichlet distribution"
    multivariate_normal(mean, cov) "multivariate_normal": "normal distribution of vectors"
    bernoulli(p) "bernoulli": "Bernoulli distribution, as bools"
    poisson(lam) "poisson": "Poisson distribution"
    binomial(n, p) "binomial": "binomial distribution"
    randint(low, high) "randint": "whole numbers from `low` up to and without `high`"
}

/// Class numbers with the probabilities `softmax(logits)` along an axis, in the shape of the logits' other
/// axes if `shape` is empty.
#[track_caller]
pub fn categorical(key: &Var, logits: &Var, axis: i64, shape: &[usize]) -> Var {
    let operands = [key.clone(), logits.clone(), sizes(shape)];
    Var::apply("categorical", &operands, Attributes::new().with("axis", Attribute::Int(axis)))
}

/// The entries along an axis in random order; of a whole number those of `arange`.
#[track_caller]
pub fn permutation(key: &Var, x: &Var, axis: i64) -> Var {
    Var::apply("permutation", &[key.clone(), x.clone()], Attributes::new().with("axis", Attribute::Int(axis)))
}
