//! Partial derivatives of the elementary functions. Each gives `g` times the derivative in operand `i`.

use std::f64::consts::E;

use super::Partials;
use crate::graph::{NodeKind, Var};
use crate::tensor::Tensor;

type Out = Option<Var>;
type P<'a> = Partials<'a>;

pub(super) fn apply(op: &str, operands: &[&Var]) -> Var {
    let operands: Vec<Var> = operands.iter().map(|&operand| operand.clone()).collect();
    Var::apply(op, &operands, crate::ops::Attributes::new())
}

/// Zero where the mask does not hold, without multiplying.
fn masked(mask: &Var, g: &Var) -> Var {
    apply("where", &[mask, g, &Var::weak(0.0)])
}

/// `g` where the operand wins, half of it at ties, zero where it loses; `g` also beside a NaN, which the
/// result takes from either.
fn split(loses: &Var, ties: &Var, g: &Var) -> Var {
    apply("where", &[loses, &Var::weak(0.0), &apply("where", &[ties, &(g * 0.5), g])])
}

/// `x` with 1 where the mask holds, so that what is computed from it there stays finite.
fn guarded(mask: &Var, x: &Var) -> Var {
    apply("where", &[mask, &Var::weak(1.0), x])
}

/// The number `high + low` as two of the dtype of `x`.
fn in_two_parts(x: &Var, high: f64, low: f64) -> Option<(f64, f64)> {
    let own = Tensor::scalar(high).cast(x.ty().ok()?.dtype).item()?;
    Some((own, (high - own) + low))
}

pub(super) fn identity(_: &P<'_>, _: usize, g: &Var) -> Out { Some(g.clone()) }
/// Held constant: no gradient flows.
pub(super) fn held(_: &P<'_>, _: usize, _: &Var) -> Out { None }
/// Constant in steps: the derivative is zero but at the jumps, where it does not exist; zero there too.
pub(super) fn steps(p: &P<'_>, _: usize, _: &Var) -> Out { Some(p.y.zeros_like()) }
pub(super) fn add(_: &P<'_>, _: usize, g: &Var) -> Out { Some(g.clone()) }
pub(super) fn sub(_: &P<'_>, i: usize, g: &Var) -> Out { Some(if i == 0 { g.clone() } else { -g }) }
pub(super) fn mul(p: &P<'_>, i: usize, g: &Var) -> Out { Some(g * &p.x[1 - i]) }
pub(super) fn div(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(if i == 0 { g / &p.x[1] } else { -(g * p.y / &p.x[1]) })
}
pub(super) fn modulo(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(if i == 0 { g.clone() } else { -(g * p.x[0].floor_div(&p.x[1])) })
}
/// In x: `y * x**(y-1)`; in y: `x**y * log(x)`, which is 0 where x is 0 and y positive.
pub(super) fn pow(p: &P<'_>, i: usize, g: &Var) -> Out {
    let (x, y) = (&p.x[0], &p.x[1]);
    let zero = Var::weak(0.0);
    if i == 1 {
        let flat = x.eq(&zero) & y.gt(&zero);
        return Some(apply("where", &[&flat, &zero, &(g * p.y * guarded(&flat, x).log())]));
    }
    if let NodeKind::Constant(constant) = y.node().kind()
        && let Some(exponent) = constant.value.item()
        && exponent != 0.0
    {
        return Some(match exponent {
            1.0 => g.clone(),
            2.0 => g * (2.0 * x),
            _ => g * (y * x.pow(&Var::weak(exponent - 1.0))),
        });
    }
    // Where y is 0 the slope is 0, also at x = 0, where x**-1 is infinite.
    let lowered = apply("where", &[&y.eq(&zero), &zero, &(y - 1.0)]);
    Some(g * (y * x.pow(&lowered)))
}
pub(super) fn maximum(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(split(&p.x[i].lt(&p.x[1 - i]), &p.x[i].eq(&p.x[1 - i]), g))
}
pub(super) fn minimum(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(split(&p.x[i].gt(&p.x[1 - i]), &p.x[i].eq(&p.x[1 - i]), g))
}
/// In x: `y / r**2`, in y: `-x / r**2` with `r = hypot(x, y)`, whose square is not formed: it overflows.
pub(super) fn arctan2(p: &P<'_>, i: usize, g: &Var) -> Out {
    let radius = p.x[0].hypot(&p.x[1]);
    let slope = &p.x[1 - i] / &radius / &radius;
    Some(if i == 0 { g * slope } else { -(g * slope) })
}
/// The softmax weight of the operand; of two equal infinities each has a half.
pub(super) fn logaddexp(p: &P<'_>, i: usize, g: &Var) -> Out {
    let (mine, other) = (&p.x[i], &p.x[1 - i]);
    let infinite = mine.eq(other) & mine.isinf();
    let difference = mine - other;
    // The weight's relative error is the absolute one of the difference: what rounding took from it, and from an
    // operand that is a logarithm of a sum of exponentials itself, is given back to first order.
    let mut rest = lost(&difference, mine, other);
    if let Some(more) = rounded_off(mine, 8) {
        rest = rest + more;
    }
    if let Some(more) = rounded_off(other, 8) {
        rest = rest - more;
    }
    let rest = if_finite(&rest);
    let weight = difference.sigmoid();
    let exact = &weight + (&weight - weight.square()) * rest;
    Some(g * apply("where", &[&infinite, &Var::weak(0.5), &exact]))
}

/// In x: `1 / (1 - exp(y - x))`; in y: `1 / (1 - exp(x - y))`. Where y is -inf, 1 and 0.
pub(super) fn logsubexp(p: &P<'_>, i: usize, g: &Var) -> Out {
    let (mine, other) = (&p.x[i], &p.x[1 - i]);
    let nothing = p.x[1].isinf() & p.x[1].lt(&Var::weak(0.0));
    // Of equal ones the limit from the side on which there is a logarithm: -0 and 0.
    let difference = if i == 0 { -(mine - other) } else { other - mine };
    let slope = difference.expm1().reciprocal();
    // As of `logaddexp`, what rounding took from the difference is given back: q = 1 / expm1(d) has the derivative
    // -(q + q**2). It took nothing where q is large.
    let rest = if_finite(&lost(&difference, other, mine));
    let exact = &slope - (&slope + slope.square()) * &rest;
    let slope = apply("where", &[&rest.eq(&Var::weak(0.0)), &slope, &exact]);
    let weight = apply("where", &[&nothing, &Var::weak(if i == 0 { 1.0 } else { 0.0 }), &-slope]);
    Some(g * weight)
}

/// What rounding took from `difference`, `x - y` (D. E. Knuth, The Art of Computer Programming, volume 2, 4.2.2).
pub(in crate::ops) fn lost(difference: &Var, x: &Var, y: &Var) -> Var {
    let part = difference - x;
    (x - (difference - &part)) - (y + part)
}

/// What rounding took, held constant; of infinities nothing.
pub(in crate::ops) fn if_finite(lost: &Var) -> Var {
    apply("where", &[&lost.isfinite(), lost, &Var::weak(0.0)]).stop_gradient()
}

/// What the exact value of a `logaddexp` or `logsumexp` has beyond its rounded value, that of what it is applied to
/// included; of -inf it is -inf. Recursion ends after `depth`.
fn rounded_off(value: &Var, depth: usize) -> Option<Var> {
    let NodeKind::Apply(op, attributes) = value.node().kind() else { return None };
    let operands = value.node().operands();
    let from = |whole: &Var, x: &Var| -> Var {
        let finite = apply("where", &[&whole.isinf(), &Var::weak(0.0), whole]);
        let rest = x - finite;
        match depth.checked_sub(1).and_then(|depth| rounded_off(x, depth)) {
            Some(more) => rest + more,
            None => rest,
        }
    };
    match op.name() {
        "logaddexp" => {
            let [x, y] = operands else { return None };
            Some(from(value, x).logaddexp(&from(value, y)))
        }
        "logsumexp" => {
            let x = operands.first()?;
            let axes = attributes.axes("axis", x.ty().ok()?.rank()).ok()?;
            let kept = match attributes.bool("keepdims").ok()? {
                true => value.clone(),
                false => axes.iter().fold(value.clone(), |value, &axis| value.expand_dims(axis as i64)),
            };
            Some(Var::apply("logsumexp", &[from(&kept, x)], attributes.clone()))
        }
        _ => None,
    }
}
/// `x / hypot(x, y)`, and 0 at the origin.
pub(super) fn hypot(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(g * (&p.x[i] / guarded(&p.y.eq(&Var::weak(0.0)), p.y)))
}
/// In x: `log(y)`; in y: `x / y`, and 0 where both are 0.
/// Of `x * log(x)` both together, `log(x) + 1`: near `1/e`, where that crosses 0, from the difference to `1/e`,
/// of which both parts are given.
pub(super) fn xlogy(p: &P<'_>, i: usize, g: &Var) -> Out {
    if p.x[0].is(&p.x[1]) {
        let x = &p.x[0];
        let (high, low) = in_two_parts(x, 0.367_879_441_171_442_33, -1.242_875_367_278_836_3e-17)?;
        let difference = (x - high) - low;
        let near = difference.abs().lt(&Var::weak(0.1));
        let slope = apply("where", &[&near, &(E * &difference).log1p(), &(x.log() + 1.0)]);
        return (i == 0).then(|| g * slope);
    }
    if i == 0 {
        return Some(g * p.x[1].log());
    }
    let zero = Var::weak(0.0);
    let both = p.x[0].eq(&zero) & p.x[1].eq(&zero);
    Some(g * (&p.x[0] / guarded(&both, &p.x[1])))
}
/// In x: `log1p(y)`; in y: `x / (1 + y)`, and 0 where both are 0.
pub(super) fn xlog1py(p: &P<'_>, i: usize, g: &Var) -> Out {
    if i == 0 {
        return Some(g * p.x[1].log1p());
    }
    let both = p.x[0].eq(&Var::weak(0.0)) & p.x[1].eq(&Var::weak(-1.0));
    Some(g * (&p.x[0] / guarded(&both, &(1.0 + &p.x[1]))))
}
/// Constant in steps in y; in x the sign of both.
pub(super) fn copysign(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(if i == 0 { g * (p.x[0].sign() * Var::weak(1.0).copysign(&p.x[1])) } else { p.y.zeros_like() })
}
pub(super) fn fmod(p: &P<'_>, i: usize, g: &Var) -> Out {
    Some(if i == 0 { g.clone() } else { -(g * (&p.x[0] / &p.x[1]).trunc()) })
}
pub(super) fn neg(_: &P<'_>, _: usize, g: &Var) -> Out { Some(-g) }
pub(super) fn abs(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].sign()) }
pub(super) fn square(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (2.0 * &p.x[0])) }
// By the result, which is there anyway, so that the operand need not be kept.
pub(super) fn relu(p: &P<'_>, _: usize, g: &Var) -> Out { Some(masked(&p.y.gt(&Var::weak(0.0)), g)) }
pub(super) fn reciprocal(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g * p.y.square())) }
pub(super) fn cbrt(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / (3.0 * p.y.square())) }
pub(super) fn sqrt(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * 0.5 / p.y) }
pub(super) fn exp(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.y) }
pub(super) fn exp2(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (p.y * std::f64::consts::LN_2)) }
pub(super) fn expm1(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].exp()) }
pub(super) fn log(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / &p.x[0]) }
pub(super) fn log2(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / (&p.x[0] * std::f64::consts::LN_2)) }
pub(super) fn log10(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / (&p.x[0] * std::f64::consts::LN_10)) }
pub(super) fn log1p(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / (&p.x[0] + 1.0)) }
pub(super) fn sin(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].cos()) }
pub(super) fn cos(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g * p.x[0].sin())) }
pub(super) fn tan(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * (p.y.square() + 1.0)) }
/// `1 - x**2` as a product, exact near 1.
fn one_minus_square(x: &Var) -> Var { (1.0 - x) * (1.0 + x) }
pub(super) fn arcsin(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / one_minus_square(&p.x[0]).sqrt()) }
pub(super) fn arccos(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g / one_minus_square(&p.x[0]).sqrt())) }
pub(super) fn arctan(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / (p.x[0].square() + 1.0)) }
pub(super) fn sinh(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].cosh()) }
pub(super) fn cosh(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].sinh()) }
pub(super) fn tanh(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g * p.x[0].sech_squared()) }
pub(super) fn arcsinh(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / p.x[0].hypot(&Var::weak(1.0))) }
pub(super) fn sech_squared(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-2.0 * (g * (p.y * p.x[0].tanh()))) }
/// `1 / (1 + x) - 1`.
pub(super) fn log1pmx(p: &P<'_>, _: usize, g: &Var) -> Out { Some(-(g * (&p.x[0] / (1.0 + &p.x[0])))) }
pub(super) fn arccosh(p: &P<'_>, _: usize, g: &Var) -> Out {
    Some(g / ((&p.x[0] - 1.0).sqrt() * (&p.x[0] + 1.0).sqrt()))
}
pub(super) fn arctanh(p: &P<'_>, _: usize, g: &Var) -> Out { Some(g / one_minus_square(&p.x[0])) }
pub(super) fn clip(p: &P<'_>, i: usize, g: &Var) -> Out {
    let (x, lo, hi) = (&p.x[0], &p.x[1], &p.x[2]);
    Some(match i {
        0 => masked(&(x.ge(lo) & x.le(hi)), g),
        1 => masked(&(x.lt(lo) & lo.le(hi)), g),
        _ => masked(&(x.gt(hi) | lo.gt(hi)), g),
    })
}
pub(super) fn select(p: &P<'_>, i: usize, g: &Var) -> Out {
    match i {
        1 => Some(masked(&p.x[0], g)),
        2 => Some(apply("where", &[&p.x[0], &Var::weak(0.0), g])),
        _ => None,
    }
}
