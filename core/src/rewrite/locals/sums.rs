//! Logarithms of sums of exponentials, however many and of whatever kind.

use super::{Found, Local, Site, one, stable};
use crate::graph::ValueId;
use crate::ops::Attributes;

pub(super) fn locals() -> Vec<Local> {
    vec![stable(
        "log_of_sum_of_exps",
        &["log"],
        "log(exp(x) + sum(exp(y)) + exp(z) + 2 + ...) => logaddexp of x, logsumexp(y), z, log(2), ...",
        log_of_sum_of_exps,
    )]
}

/// The most terms.
const MOST: usize = 64;

/// A term of the sum, as its logarithm.
enum Term {
    Exp(ValueId),
    SumOfExp(ValueId, Attributes),
    Number(f64),
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
    let mut total = None;
    for term in terms {
        let log = match term {
            Term::Exp(x) => x,
            Term::SumOfExp(x, sum) => {
                let mut attributes = Attributes::new();
                for name in ["axis", "keepdims"] {
                    if let Some(value) = sum.get(name) {
                        attributes.set(name, value.clone());
                    }
                }
                site.apply("logsumexp", &[x], attributes)?
            }
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
