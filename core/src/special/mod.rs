//! Scalar functions of `f64` that neither `std` nor `libm` has, for the host kernels of any backend.
//!
//! All take any number, and give NaN outside of their domain. The worst error of each against values of
//! arbitrary precision is in `docs/numerics.md`, and tested. Formulas are cited as DLMF numbers, of the
//! *NIST Digital Library of Mathematical Functions*.
//!
//! ```
//! use arignote_core::special;
//!
//! assert_eq!(special::gammaincc(1.0, 2.0), (-2f64).exp());
//! assert_eq!(special::polygamma(0.0, 1.5), special::digamma(1.5));
//! ```

mod activation;
mod bessel;
mod bessel_k;
mod double;
mod error_function;
mod gamma;
mod gamma_shape;
mod hypergeometric;
mod incomplete_gamma;
mod inverse;
mod logarithm;
mod owens_t;
pub(crate) mod parts;
mod polygamma;
mod temme;

pub use activation::{SELU_ALPHA, SELU_SCALE, elu, gelu, gelu_tanh, hard_sigmoid, sech_squared, selu, silu, softsign};
pub use bessel::{i0, i0e, i1, i1e, iv, ive, j0, j1, jv, log_iv, log_iv_dx};
pub use bessel_k::{kv, kve, log_kv, log_kv_dx};
pub use error_function::{erfcinv, erfcx, erfinv, ierfcx, ndtr, ndtri};
pub use gamma::{beta, betainc, betaln, gamma, lgamma, poch};
pub use gamma_shape::gammainc_da;
pub use hypergeometric::hyp2f1;
pub use incomplete_gamma::{chi2sf, gammainc, gammaincc, gammal, gammau};
pub use inverse::{betaincinv, gammaincinv, gammainccinv, log_ndtr, ndtri_exp};
pub use libm::{erf, erfc};
pub use logarithm::{arccosh, log_sigmoid, log1mexp, log1pmx, log_of_sum, logaddexp, logit, logsubexp, sigmoid, softplus, xlog1py, xlogy};
pub use owens_t::owens_t;
pub use polygamma::{digamma, polygamma, trigamma};
