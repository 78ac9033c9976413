//! Numbers to twice the digits of `f64`, as two of them: for rewrites that need a constant more exactly than the dtype has it.

use super::double::Double;

/// `log(x + y)`; the sum is exact.
pub(crate) fn log(x: f64, y: f64) -> (f64, f64) {
    let log = Double::sum(x, y).ln();
    (log.0, log.1)
}

/// The sum of one of them and a number.
pub(crate) fn plus(x: (f64, f64), y: f64) -> (f64, f64) {
    let sum = Double(x.0, x.1) + y;
    (sum.0, sum.1)
}

/// `1 / x`.
pub(crate) fn reciprocal(x: f64) -> (f64, f64) {
    let quotient = Double::ratio(1.0, x);
    (quotient.0, quotient.1)
}
