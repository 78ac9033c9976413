//! Hyperbolic functions and their inverses.

use super::exponential::expm1_negative;
use super::{Lanes, sign, with_sign};

/// `tanh(x)`, by `exp(-2|x|) - 1`.
#[inline(always)]
pub fn tanh<L: Lanes>(l: &L, x: L::F) -> L::F {
    let small = expm1_negative(l, l.mul(l.constant(-2.0), l.abs(x)));
    let value = l.div(small, l.add(small, l.constant(2.0)));
    with_sign(l, l.abs(value), sign(l, x))
}
