//! What cancels in sums and products, however they nest: over the reals only.

use std::collections::BTreeMap;

use super::{Found, Local, Site, one, real};
use crate::graph::ValueId;
use crate::ops::Attributes;

pub(super) fn locals() -> Vec<Local> {
    vec![
        real("cancel_terms", &["add", "sub"], "x + y - (x + z) => y - z, however the sum nests", cancel_terms),
        real("cancel_factors", &["mul", "div"], "x * y / (z * x) => y / z, however the product nests", cancel_factors),
        real("pow_by_squaring", &["pow"], "x ** n => squares and products, for whole n up to 512", pow_by_squaring),
    ]
}

/// Terms or factors, at most.
const MOST: usize = 64;

/// A sum, or a product: what is added or multiplied, and what is subtracted or divided by.
struct Chain {
    plus: &'static str,
    minus: &'static str,
    inverse: &'static str,
    /// What gives the unit, which takes the place of all, in the shape of a value.
    like: &'static str,
}

const SUM: Chain = Chain { plus: "add", minus: "sub", inverse: "neg", like: "zeros_like" };
const PRODUCT: Chain = Chain { plus: "mul", minus: "div", inverse: "reciprocal", like: "ones_like" };

fn cancel_terms(site: &mut Site<'_>) -> Found {
    cancel(site, &SUM)
}

fn cancel_factors(site: &mut Site<'_>) -> Found {
    cancel(site, &PRODUCT)
}

fn cancel(site: &mut Site<'_>, chain: &Chain) -> Found {
    let root = site.node().output(0);
    if !site.ty(root).dtype.is_float() {
        return Ok(None);
    }
    // Each with how often it is there, and in which order they came. What others read is there anyway.
    let (mut found, mut order): (BTreeMap<ValueId, i64>, Vec<ValueId>) = Default::default();
    let (mut pending, mut seen) = (vec![(root, 1)], 0);
    while let Some((value, sign)) = pending.pop() {
        seen += 1;
        if seen > MOST {
            return Ok(None);
        }
        let inside = if value == root || site.used_once(value) { site.op(value) } else { "" };
        let operands = &site.graph().node(value.node).operands;
        match operands[..] {
            [a, b] if inside == chain.plus => pending.extend([(b, sign), (a, sign)]),
            [a, b] if inside == chain.minus => pending.extend([(b, -sign), (a, sign)]),
            [a] if inside == chain.inverse => pending.push((a, -sign)),
            _ => {
                if !found.contains_key(&value) {
                    order.push(value);
                }
                *found.entry(value).or_default() += sign;
            }
        }
    }
    let cancelled = order.iter().any(|value| found[value] == 0);
    if !cancelled {
        return Ok(None);
    }
    // Where nothing is left, it is the unit in the shape to which all are broadcast.
    if order.iter().all(|value| found[value] == 0) {
        let mut unit = None;
        for value in order {
            let own = site.apply(chain.like, &[value], Attributes::new())?;
            unit = Some(match unit {
                None => own,
                Some(so_far) => site.apply(chain.plus, &[so_far, own], Attributes::new())?,
            });
        }
        return unit.map_or(Ok(None), |unit| one(site, unit));
    }
    let mut sides: [Option<ValueId>; 2] = [None, None];
    for value in order {
        let count = found[&value];
        let side = &mut sides[usize::from(count < 0)];
        for _ in 0..count.abs() {
            *side = Some(match *side {
                None => value,
                Some(so_far) => site.apply(chain.plus, &[so_far, value], Attributes::new())?,
            });
        }
    }
    let value = match sides {
        [Some(plus), None] => plus,
        [Some(plus), Some(minus)] => site.apply(chain.minus, &[plus, minus], Attributes::new())?,
        [None, Some(minus)] => site.apply(chain.inverse, &[minus], Attributes::new())?,
        [None, None] => return Ok(None),
    };
    one(site, value)
}

fn pow_by_squaring(site: &mut Site<'_>) -> Found {
    const LARGEST: f64 = 512.0;
    let operands = site.operands();
    let [x, power] = operands[..] else { return Ok(None) };
    let Some(power) = site.constant(power).filter(|constant| constant.rank() == 0).and_then(|constant| constant.item()) else { return Ok(None) };
    if !site.ty(x).dtype.is_float() || power.fract() != 0.0 || power.abs() > LARGEST || power.abs() < 3.0 {
        return Ok(None);
    }
    let power = power as i64;
    let base = if power < 0 { site.apply("reciprocal", &[x], Attributes::new())? } else { x };
    let mut value = base;
    // The bits below the highest one, from the top down.
    for bit in (0..power.unsigned_abs().ilog2()).rev() {
        value = site.apply("square", &[value], Attributes::new())?;
        if power.unsigned_abs() >> bit & 1 == 1 {
            value = site.apply("mul", &[value, base], Attributes::new())?;
        }
    }
    one(site, value)
}
