//! Logarithms of sums: of exponentials, however many and of whatever kind, and of 1 and more.

use super::logs::{NORMAL, Numbers, exponent, log_by_2, own_dtype, scalings};
use super::{Found, Local, Site, built, one, stable};
use crate::graph::{ValueId, Var};
use crate::ops::{Attributes, length, where_};
use crate::tensor::DType;

pub(super) fn locals() -> Vec<Local> {
    vec![
        stable(
            "log_of_sum_of_exps",
            &["log"],
            "log(exp(x) + exp(y) + exp(z) + ...) => logsumexp(stack([x, y, z, ...])), and with sum(exp(y)) or numbers among them logaddexp of x, logsumexp(y), log(2), ...",
            log_of_sum_of_exps,
        ),
        stable(
            "log_of_scaled_sum_of_exps",
            &["log"],
            "log(c * sum(exp(x))), log(sum(exp(x)) / c) => logsumexp(x) + log(c) where the sum overflows or underflows",
            log_of_scaled_sum_of_exps,
        ),
        stable(
            "log_of_mean_of_exps",
            &["log"],
            "log(mean(exp(x))) => logsumexp(x) - log(n) where the sum overflows or underflows, and near 1 log1p(mean(expm1(x)))",
            log_of_mean_of_exps,
        ),
        stable(
            "log1p_of_sum",
            &["log"],
            "log(1 + x + y - z ...) => log1p(x + y - z ...) where that is less than 1/2",
            log1p_of_sum,
        ),
    ]
}

/// The most terms.
const MOST: usize = 64;

/// A term of the sum, as its logarithm.
enum Term {
    Exp(ValueId),
    SumOfExp(ValueId, Attributes),
    Number(f64),
}

/// A term of a sum, and whether it is subtracted.
type Signed = (ValueId, bool);

/// The terms of a sum, first to last; nothing of more than [`MOST`].
fn terms_of(site: &Site<'_>, sum: ValueId) -> Option<Vec<Signed>> {
    let (mut terms, mut pending) = (Vec::new(), vec![(sum, false)]);
    while let Some((value, minus)) = pending.pop() {
        if terms.len() + pending.len() > MOST {
            return None;
        }
        let (added, subtracted) = (site.made_by(value, "add"), site.made_by(value, "sub"));
        match added.map(|(operands, _)| (operands, false)).or(subtracted.map(|(operands, _)| (operands, true))) {
            Some((operands, second_minus)) => pending.extend([(operands[1], minus != second_minus), (operands[0], minus)]),
            None => terms.push((value, minus)),
        }
    }
    Some(terms)
}

/// Of three terms or more, and not 1 and one more: that is a rule. Where the sum of the others is not small, the logarithm is one to base
/// 2, so that the rewrite does not apply to what it gives.
fn log1p_of_sum(site: &mut Site<'_>) -> Found {
    let Some(sum) = site.operand(0).filter(|&sum| site.ty(sum).dtype.is_float()) else { return Ok(None) };
    let Some(mut terms) = terms_of(site, sum).filter(|terms| terms.len() > 2) else { return Ok(None) };
    let number = |value: ValueId| site.constant(value).filter(|constant| constant.rank() == 0).and_then(|constant| constant.item());
    let outer = &site.graph().node(sum.node).operands[..2];
    let plain = number(outer[0]) == Some(1.0) || site.op(sum) == "add" && number(outer[1]) == Some(1.0);
    let ones: Vec<usize> = (0..terms.len()).filter(|&at| number(terms[at].0) == Some(1.0) && !terms[at].1).collect();
    let (&[one_of_them], false) = (ones.as_slice(), plain) else { return Ok(None) };
    terms.remove(one_of_them);
    let (first, minus) = terms[0];
    let mut rest = if minus { site.apply("neg", &[first], Attributes::new())? } else { first };
    for &(term, minus) in &terms[1..] {
        rest = site.apply(if minus { "sub" } else { "add" }, &[rest, term], Attributes::new())?;
    }
    let (half, log_of_2) = (site.weak(0.5), site.weak(std::f64::consts::LN_2));
    let size = site.apply("abs", &[rest], Attributes::new())?;
    let near = site.apply("lt", &[size, half], Attributes::new())?;
    let small = site.apply("log1p", &[rest], Attributes::new())?;
    let binary = site.apply("log2", &[sum], Attributes::new())?;
    let large = site.apply("mul", &[log_of_2, binary], Attributes::new())?;
    let value = site.apply("where", &[near, small, large], Attributes::new())?;
    one(site, value)
}

/// Which axes a reduction is over, and what of them is kept.
fn reduced(reduction: &Attributes) -> Attributes {
    let mut attributes = Attributes::new();
    for name in ["axis", "keepdims"] {
        if let Some(value) = reduction.get(name) {
            attributes.set(name, value.clone());
        }
    }
    attributes
}

/// The exponent of a reduction of exponentials, and over which axes it is, with the exponentials' dtype as its own.
fn reduction_of_exps(site: &Site<'_>, value: ValueId, op: &str) -> Option<(ValueId, Attributes)> {
    let (operands, attributes) = site.made_by(value, op).filter(|(_, attributes)| matches!(attributes.dtype("dtype"), Ok(None)))?;
    Some((exponent(site, operands[0])?, attributes))
}

/// What stays finite: `x`, but at most a number whose exponential, summed, is far from overflow, and the sum above which `x` may have
/// been more.
fn bounded(x: &Var, dtype: DType) -> (Var, f64) {
    let (most, sum) = if dtype == DType::F64 { (600.0, 1e250) } else { (80.0, 1e30) };
    (x.minimum(&Var::weak(most)), sum)
}

/// Where the sum itself is a normal number its logarithm is exact; the two parts of the other form may cancel.
fn log_of_scaled_sum_of_exps(site: &mut Site<'_>) -> Found {
    let (Some(scaled), Some(dtype)) = (site.operand(0), own_dtype(site)) else { return Ok(None) };
    for ([number, sum], inverse) in scalings(site, scaled) {
        let (Some(numbers), Some((x, attributes))) = (Numbers::of(site, number, 1.0, dtype), reduction_of_exps(site, sum, "sum")) else { continue };
        return built(site, &[x], |x| {
            let (exponent, most) = bounded(&x[0], dtype);
            let sum = Var::apply("sum", &[exponent.exp()], attributes.clone());
            let (factor, log) = (numbers.map(|c| c)?, numbers.map(f64::ln)?);
            let scaled = if inverse { &sum / factor } else { &sum * factor };
            let whole = Var::apply("logsumexp", x, reduced(&attributes));
            let apart = if inverse { whole - log } else { whole + log };
            let normal = sum.lt(&Var::weak(most)) & scaled.ge(&Var::weak(NORMAL)) & scaled.isfinite();
            Ok(where_(&normal, &log_by_2(&normal, &scaled), &apart))
        });
    }
    Ok(None)
}

/// As [`log_of_scaled_sum_of_exps`]; near 1 what the exponentials are beyond 1 is summed.
fn log_of_mean_of_exps(site: &mut Site<'_>) -> Found {
    let (Some(mean), Some(dtype)) = (site.operand(0), own_dtype(site)) else { return Ok(None) };
    let Some((x, attributes)) = reduction_of_exps(site, mean, "mean") else { return Ok(None) };
    let axes = attributes.axes("axis", site.ty(x).rank())?;
    built(site, &[x], |x| {
        let (exponent, _) = bounded(&x[0], dtype);
        let mean_of = |values: Var| Var::apply("mean", &[values], attributes.clone());
        let (mean, beyond) = (mean_of(exponent.exp()), mean_of(exponent.expm1()));
        let count = axes.iter().map(|&axis| length(&x[0], axis)).reduce(|a, b| a * b).unwrap_or_else(|| Var::scalar(1i64));
        let apart = Var::apply("logsumexp", x, reduced(&attributes)) - count.cast(dtype).log();
        // Above, the logarithm of the count is the smaller part.
        let normal = mean.ge(&Var::weak(NORMAL)) & mean.lt(&Var::weak(1e10));
        let far = where_(&normal, &log_by_2(&normal, &mean), &apart);
        Ok(where_(&(&mean - 1.0).abs().lt(&Var::weak(0.5)), &beyond.log1p(), &far))
    })
}

/// The exponents of terms that are exponentials, of the dtype of their sum.
fn exponents(site: &Site<'_>, terms: &[Term], sum: ValueId) -> Option<Vec<ValueId>> {
    let exponent = |term: &Term| match term {
        Term::Exp(x) if site.ty(*x).dtype == site.ty(sum).dtype => Some(*x),
        _ => None,
    };
    terms.iter().map(exponent).collect()
}

fn log_of_sum_of_exps(site: &mut Site<'_>) -> Found {
    let Some(sum) = site.operand(0) else { return Ok(None) };
    if !site.ty(sum).dtype.is_float() {
        return Ok(None);
    }
    let (mut terms, mut pending) = (Vec::new(), vec![sum]);
    while let Some(value) = pending.pop() {
        if terms.len() + pending.len() > MOST {
            return Ok(None);
        }
        if let Some((operands, _)) = site.made_by(value, "add") {
            pending.extend(operands.into_iter().rev());
        } else if let Some((operands, _)) = site.made_by(value, "exp") {
            terms.push(Term::Exp(operands[0]));
        } else if let Some((operands, attributes)) = site.made_by(value, "sum")
            && matches!(attributes.dtype("dtype"), Ok(None))
            && let Some((inside, _)) = site.made_by(operands[0], "exp")
        {
            terms.push(Term::SumOfExp(inside[0], attributes));
        } else if let Some(number) = site.constant(value).filter(|constant| constant.rank() == 0).and_then(|constant| constant.item())
            && number > 0.0
            && number.is_finite()
        {
            terms.push(Term::Number(number));
        } else {
            return Ok(None);
        }
    }
    let exps = terms.iter().filter(|term| !matches!(term, Term::Number(_))).count();
    // Others are rules.
    let plain = terms.len() == 2 && terms.iter().all(|term| matches!(term, Term::Exp(_)));
    let softplus = terms.len() == 2 && exps == 1 && terms.iter().any(|term| matches!(term, Term::Number(1.0)));
    if terms.len() < 2 || exps == 0 || plain || (softplus && terms.iter().any(|term| matches!(term, Term::Exp(_)))) {
        return Ok(None);
    }
    // Of as many as these `logsumexp` loses no digits where it crosses 0, as sums of two at a time would.
    if let Some(exponents) = exponents(site, &terms, sum).filter(|exponents| exponents.len() > 2) {
        let mut rows = Vec::new();
        for x in exponents {
            rows.push(if site.same_shape(x, sum) {
                x
            } else {
                let sizes = site.apply("shape", &[sum], Attributes::new())?;
                site.apply("broadcast_to", &[x, sizes], Attributes::new())?
            });
        }
        let rows = site.apply("stack", &rows, Attributes::new().with("axis", 0i64))?;
        let value = site.apply("logsumexp", &[rows], Attributes::new().with("axis", 0i64).with("keepdims", false))?;
        return one(site, value);
    }
    let mut total = None;
    for term in terms {
        let log = match term {
            Term::Exp(x) => x,
            Term::SumOfExp(x, sum) => site.apply("logsumexp", &[x], reduced(&sum))?,
            Term::Number(number) => site.weak(number.ln()),
        };
        total = Some(match total {
            None => log,
            Some(so_far) => site.apply("logaddexp", &[so_far, log], Attributes::new())?,
        });
    }
    match total {
        Some(total) => one(site, total),
        None => Ok(None),
    }
}
