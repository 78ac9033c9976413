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
mod double;
mod error_function;
mod gamma;
mod gamma_shape;
mod incomplete_gamma;
mod logarithm;
mod polygamma;
mod temme;

pub use activation::{SELU_ALPHA, SELU_SCALE, elu, gelu, gelu_tanh, hard_sigmoid, selu, silu, softsign};
pub use bessel::{i0, i0e, i1, i1e, iv, ive, j0, j1, jv};
pub use error_function::{erfcinv, erfcx, erfinv, ndtr, ndtri};
pub use gamma::{beta, betainc, betaln, gamma, lgamma};
pub use gamma_shape::gammainc_da;
pub use incomplete_gamma::{chi2sf, gammainc, gammaincc};
pub use libm::{erf, erfc};
pub use logarithm::{log_sigmoid, log1mexp, logaddexp, logit, sigmoid, softplus, xlog1py, xlogy};
pub use polygamma::{digamma, polygamma, trigamma};
