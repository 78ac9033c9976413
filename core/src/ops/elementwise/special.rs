//! Partial derivatives of the special functions. Each gives `g` times the derivative.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use super::gradients::{apply, if_finite, lost};
use super::{Partials, where_};
use crate::error::{Error, ErrorKind};
use crate::graph::{Location, NodeKind, Var};
use crate::ops::Attributes;
use crate::special::{SELU_ALPHA, SELU_SCALE};
use crate::tensor::DType;

type Out = Option<Var>;
type P<'a> = Partials<'a>;

/// What stands for a derivative that does not exist in closed form: an error as soon as anything needs it.
fn none_in(op: &str, operand: &str) -> Out {
    let error = Error::new(ErrorKind::Gradient, format!("`{op}` has no gradient in its operand `{operand}`"))
        .note(format!("wrap `{operand}` in `stop_gradient` to hold it constant"));
    Some(Var::error(error, Location::caller()))
}

/// `2 / sqrt(pi) * exp(-x**2)`, DLMF 7.2.1. What rounding takes from the square, half a unit of its last place, is
/// hundreds of units in that of the exponential: of a number near x the square is exact, and what it lacks is small.
/// From 28 on, the exponential is 0 in every dtype.
fn erf_slope(x: &Var) -> Var {
    let x = &apply("clip", &[x, &Var::weak(-28.0), &Var::weak(28.0)]);
    let near = &((64.0 * x).rint() * (1.0 / 64.0));
    FRAC_2_SQRT_PI * ((-near.square()).exp() * (-((x - near) * (x + near))).exp())
}
pub(super) fn erf(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * erf_slope(&p.x[0])) }
pub(super) fn erfc(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g * erf_slope(&p.x[0]))) }
pub(super) fn erfinv(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g * (p.y.square().exp() * (1.0 / FRAC_2_SQRT_PI)))
}
/// `2 x y - 2 / sqrt(pi)` (DLMF 7.10) without cancellation.
pub(super) fn erfcx(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-2.0 * (g * p.x[0].ierfcx())) }
pub(super) fn ierfcx(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (2.0 * &p.x[0] * p.y - p.x[0].erfcx())) }
pub(super) fn erfcinv(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(-(g * (p.y.square().exp() * (1.0 / FRAC_2_SQRT_PI))))
}
/// `1 / sqrt(2 pi)`.
const NORMAL: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0;
pub(super) fn ndtr(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (NORMAL * (-0.5 * p.x[0].square()).exp())) }
pub(super) fn ndtri(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * ((0.5 * p.y.square()).exp() * (1.0 / NORMAL))) }
/// The density over the distribution function: `sqrt(2 / pi) / erfcx(-x / sqrt(2))`.
pub(super) fn log_ndtr(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g * (2.0 * NORMAL) / (-&p.x[0] * FRAC_1_SQRT_2).erfcx())
}
pub(super) fn ndtri_exp(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g * ((-p.y * FRAC_1_SQRT_2).erfcx() * (0.5 / NORMAL)))
}
/// The integrand at `a`, and what its derivative in `h` integrates to.
pub(super) fn owens_t(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [h, a] = p.x else { return None };
    Some(g * match i {
        0 => -0.5 * NORMAL * ((-0.5 * h.square()).exp() * (a * h * FRAC_1_SQRT_2).erf()),
        _ => {
            let wide = 1.0 + a.square();
            (0.5 / PI) * (-0.5 * h.square() * &wide).exp() / wide
        }
    })
}
/// `x**(a-1) exp(-x) / gamma(a)`, the derivative of the lower incomplete gamma function in x.
fn gamma_density(a: &Var, x: &Var) -> Var { ((a - 1.0).xlogy(x) - x - a.lgamma()).exp() }
pub(super) fn gammainc(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [a, x] = p.x else { return None };
    Some(g * if i == 0 { Var::weak(1i64).gammainc_da(a, x) } else { gamma_density(a, x) })
}
pub(super) fn gammaincc(p: &P<'_>, i: usize, g: &Var) -> Out { gammainc(p, i, &-g) }
/// DLMF 8.8.13, and the derivative of the product with `gamma(a)`.
pub(super) fn gammal(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [a, x] = p.x else { return None };
    Some(g * if i == 0 { p.y * a.digamma() + a.gamma() * Var::weak(1i64).gammainc_da(a, x) } else { incomplete_density(a, x) })
}
pub(super) fn gammau(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [a, x] = p.x else { return None };
    Some(g * if i == 0 { p.y * a.digamma() - a.gamma() * Var::weak(1i64).gammainc_da(a, x) } else { -incomplete_density(a, x) })
}
fn incomplete_density(a: &Var, x: &Var) -> Var { ((a - 1.0).xlogy(x) - x).exp() }
pub(super) fn chi2sf(p: &P<'_>, i: usize, g: &Var) -> Out {
    let (half, draw) = (0.5 * &p.x[1], 0.5 * &p.x[0]);
    let slope = if i == 0 { gamma_density(&half, &draw) } else { Var::weak(1i64).gammainc_da(&half, &draw) };
    Some(-(g * where_(&p.x[0].lt(&Var::weak(0.0)), &Var::weak(0.0), &(0.5 * slope))))
}
/// In `a` the next order; in `x` the derivatives in `a` of the density `d`, by those of its logarithm:
/// `d' = l' d`.
pub(super) fn gammainc_da(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [order, a, x] = p.x else { return None };
    if i == 0 {
        return None;
    }
    let Some(n) = literal(order).filter(|n| (0..=16).contains(n)) else {
        return none_in("gammainc_da", ["n", "a", "x"][i]);
    };
    if i == 1 {
        return Some(g * Var::weak(n + 1).gammainc_da(a, x));
    }
    let logs = |k: i64| if k == 1 { x.log() - a.digamma() } else { -Var::weak(k - 1).polygamma(a) };
    let mut slopes = vec![gamma_density(a, x)];
    let mut row = vec![1.0];
    for _ in 0..n {
        // Leibniz' rule, with a row of Pascal's triangle.
        let terms = row.iter().enumerate().map(|(k, c)| *c * (logs(k as i64 + 1) * &slopes[slopes.len() - 1 - k]));
        slopes.extend(terms.reduce(|sum, term| sum + term));
        row = (0..=row.len()).map(|k| row.get(k).unwrap_or(&0.0) + k.checked_sub(1).map_or(0.0, |k| row[k])).collect();
    }
    slopes.pop().map(|slope| g * slope)
}
/// A whole number that is a constant, also where it was cast.
fn literal(x: &Var) -> Option<i64> {
    match x.node().kind() {
        NodeKind::Apply(op, _) if op.name() == "cast" => x.node().operands().first().and_then(literal),
        _ => crate::ops::composed::constant_int(x),
    }
}
/// The difference of `digamma` at the operand and at the sum.
pub(super) fn betaln(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(g * (p.x[i].digamma() - (&p.x[0] + &p.x[1]).digamma()))
}
pub(super) fn beta(p: &P<'_>, i: usize, g: &Var) -> Out { betaln(p, i, &(g * p.y)) }
/// `x**(a-1) (1-x)**(b-1) / beta(a, b)`, DLMF 8.17.20.
pub(super) fn betainc(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [a, b, x] = p.x else { return None };
    match i {
        0 => none_in("betainc", "a"),
        1 => none_in("betainc", "b"),
        _ => Some(g * ((a - 1.0).xlogy(x) + (b - 1.0).xlog1py(&-x) - a.betaln(b)).exp()),
    }
}
// Derivatives of inverse functions, by the theorem of implicit functions.
pub(super) fn gammaincinv(p: &P<'_>, i: usize, g: &Var) -> Out {
    let a = &p.x[0];
    let slope = gamma_density(a, p.y);
    Some(if i == 0 { -(g * Var::weak(1i64).gammainc_da(a, p.y) / slope) } else { g / slope })
}
pub(super) fn gammainccinv(p: &P<'_>, i: usize, g: &Var) -> Out {
    gammaincinv(p, i, &if i == 0 { g.clone() } else { -g })
}
pub(super) fn betaincinv(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [a, b, _] = p.x else { return None };
    match i {
        0 => none_in("betaincinv", "a"),
        1 => none_in("betaincinv", "b"),
        _ => Some(g / ((a - 1.0).xlogy(p.y) + (b - 1.0).xlog1py(&-p.y) - a.betaln(b)).exp()),
    }
}
pub(super) fn poch(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [x, m] = p.x else { return None };
    let end = (x + m).digamma();
    Some(g * (p.y * if i == 0 { end - x.digamma() } else { end }))
}
/// DLMF 15.5.1.
pub(super) fn hyp2f1(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [a, b, c, x] = p.x else { return None };
    if i < 3 {
        return none_in("hyp2f1", ["a", "b", "c"][i]);
    }
    let next = Var::apply("hyp2f1", &[a + 1.0, b + 1.0, c + 1.0, x.clone()], Attributes::new());
    Some(g * (a * b / c * next))
}
/// DLMF 10.29.1.
pub(super) fn kv(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    if i == 0 {
        return none_in("kv", "v");
    }
    Some(g * (-0.5 * ((v - 1.0).kv(x) + (v + 1.0).kv(x))))
}
fn beside(p: &P<'_>) -> (Var, Var) {
    let order = p.x[0].cast(DType::I64);
    (&order - 1, order + 1)
}
pub(super) fn kn(p: &P<'_>, i: usize, g: &Var) -> Out {
    let (below, above) = beside(p);
    let of = |order: Var| Var::apply("kn", &[order, p.x[1].clone()], Attributes::new());
    (i == 1).then(|| g * (-0.5 * (of(below) + of(above))))
}
pub(super) fn kve(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    if i == 0 {
        return none_in("kve", "v");
    }
    Some(g * (p.y - 0.5 * ((v - 1.0).kve(x) + (v + 1.0).kve(x))))
}
pub(super) fn log_kv(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    if i == 0 { none_in("log_kv", "v") } else { Some(g * v.log_kv_dx(x)) }
}
pub(super) fn log_iv(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    if i == 0 { none_in("log_iv", "v") } else { Some(g * v.log_iv_dx(x)) }
}
pub(super) fn log_kv_dx(p: &P<'_>, i: usize, g: &Var) -> Out {
    if i == 0 { none_in("log_kv_dx", "v") } else { modified_log_slope(p, g) }
}
pub(super) fn log_iv_dx(p: &P<'_>, i: usize, g: &Var) -> Out {
    if i == 0 { none_in("log_iv_dx", "v") } else { modified_log_slope(p, g) }
}
/// Of `y = K' / K`, or `I' / I`, by the differential equation of both functions (DLMF 10.25.1).
fn modified_log_slope(p: &P<'_>, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    Some(g * (1.0 + (v / x).square() - p.y / x - p.y.square()))
}
// Derivatives of Bessel functions by those of the orders beside (DLMF 10.6.1, 10.29.1), which unlike
// the formulas with `1/x` hold at 0.
pub(super) fn j0(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g * p.x[0].j1())) }
pub(super) fn j1(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g * (0.5 * (p.x[0].j0() - Var::weak(2i64).jv(&p.x[0]))))
}
pub(super) fn jv(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    if i == 0 {
        return none_in("jv", "v");
    }
    Some(g * (0.5 * ((v - 1.0).jv(x) - (v + 1.0).jv(x))))
}
pub(super) fn i0(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].i1()) }
pub(super) fn i1(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g * (0.5 * (p.x[0].i0() + Var::weak(2i64).iv(&p.x[0]))))
}
pub(super) fn iv(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    if i == 0 {
        return none_in("iv", "v");
    }
    Some(g * (0.5 * ((v - 1.0).iv(x) + (v + 1.0).iv(x))))
}
pub(super) fn i0e(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (p.x[0].i1e() - p.x[0].sign() * p.y)) }
pub(super) fn i1e(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g * (0.5 * (p.x[0].i0e() + Var::weak(2i64).ive(&p.x[0])) - p.x[0].sign() * p.y))
}
pub(super) fn ive(p: &P<'_>, i: usize, g: &Var) -> Out {
    let [v, x] = p.x else { return None };
    if i == 0 {
        return none_in("ive", "v");
    }
    Some(g * (0.5 * ((v - 1.0).ive(x) + (v + 1.0).ive(x)) - x.sign() * p.y))
}
pub(super) fn logit(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / (&p.x[0] * (1.0 - &p.x[0]))) }
pub(super) fn selu(p: &P<'_>, _: usize, g: &Var) -> Out {
    let x = &p.x[0];
    let left = (SELU_SCALE * SELU_ALPHA) * x.exp();
    Some(g * where_(&x.gt(&Var::weak(0.0)), &Var::weak(SELU_SCALE), &left))
}
pub(super) fn softsign(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / (1.0 + p.x[0].abs()).square()) }
pub(super) fn hard_sigmoid(p: &P<'_>, _: usize, g: &Var) -> Out {
    let inside = p.x[0].abs().lt(&Var::weak(2.5));
    Some(where_(&inside, &(g * 0.2), &Var::weak(0.0)))
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
/// `-exp(x) / (1 - exp(x))`. Of a difference, where the derivative's relative error is the absolute one of x, what rounding
/// took from x is given back to first order.
pub(super) fn log1mexp(p: &P<'_>, _: usize, g: &Var) -> Out {
    let x = &p.x[0];
    let slope = x.exp() / x.expm1();
    let (NodeKind::Apply(op, _), [a, b]) = (x.node().kind(), x.node().operands()) else { return Some(g * slope) };
    if op.name() != "sub" {
        return Some(g * slope);
    }
    let lost = if_finite(&lost(x, a, b));
    let exact = where_(&lost.eq(&Var::weak(0.0)), &slope, &(&slope * (1.0 + (1.0 - &slope) * &lost)));
    Some(g * exact)
}
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
