//! Partial derivatives of the special functions. Each gives `g` times the derivative.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use super::Partials;
use crate::graph::Var;
use crate::tensor::DType;

type Out = Option<Var>;
type P<'a> = Partials<'a>;

/// `2 / sqrt(pi) * exp(-x**2)`, DLMF 7.2.1.
fn erf_slope(x: &Var) -> Var { FRAC_2_SQRT_PI * (-x.square()).exp() }
pub(super) fn erf(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * erf_slope(&p.x[0])) }
pub(super) fn erfc(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g * erf_slope(&p.x[0]))) }
pub(super) fn erfinv(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g * (p.y.square().exp() * (1.0 / FRAC_2_SQRT_PI)))
}
pub(super) fn gamma(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (p.y * p.x[0].digamma())) }
pub(super) fn lgamma(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].digamma()) }
pub(super) fn digamma(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * Var::weak(1i64).polygamma(&p.x[0])) }
pub(super) fn polygamma(p: &P<'_>, i: usize, g: &Var) -> Out {
    (i == 1).then(|| g * (p.x[0].cast(DType::I64) + 1).polygamma(&p.x[1]))
}
/// `sigmoid(x) * sigmoid(-x)`, which does not cancel where the sigmoid is near 1.
pub(super) fn sigmoid(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (p.y * (-&p.x[0]).sigmoid())) }
pub(super) fn log_sigmoid(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (-&p.x[0]).sigmoid()) }
pub(super) fn softplus(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].sigmoid()) }
/// `-exp(x) / (1 - exp(x)) = 1 / expm1(-x)` with the sign changed.
pub(super) fn log1mexp(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g / (-&p.x[0]).expm1())) }
pub(super) fn silu(p: &P<'_>, _: usize, g: &Var) -> Out {
    let s = p.x[0].sigmoid();
    Some(g * (&s + p.y * (-&p.x[0]).sigmoid()))
}
pub(super) fn gelu(p: &P<'_>, _: usize, g: &Var) -> Out {
    let x = &p.x[0];
    if p.attributes.str("approximate").is_ok_and(|form| form == "tanh") {
        // y = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x**3), since (1 + tanh u) / 2 = sigmoid(2u).
        let scale = 2.0 * (2.0 / PI).sqrt();
        let twice = scale * (x + 0.044715 * (x.square() * x));
        let (s, other) = (twice.sigmoid(), (-&twice).sigmoid());
        let slope = scale * (1.0 + 3.0 * 0.044715 * x.square());
        return Some(g * (&s + x * (&s * &other) * slope));
    }
    let cdf = 0.5 * (-(x * FRAC_1_SQRT_2)).erfc();
    let density = (FRAC_1_SQRT_2 / PI.sqrt()) * (-0.5 * x.square()).exp();
    Some(g * (cdf + x * density))
}
