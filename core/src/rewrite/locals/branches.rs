//! `if` and `assert` of which the condition is known.

use super::{Found, Local, Site, faster, one};
use crate::graph::{Body, NodeKind, Var, clone_with};
use crate::ops::Attribute;
use crate::ops::control::branches;
use crate::ops::effects::is_effectful;
use crate::tensor::Tensor;

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster("if_of_constant", &["if"], "if true { x } else { y } => x", if_of_constant),
        faster("assert_of_true", &["assert"], "assert(x, true) => x", assert_of_true),
        faster("assert_again", &["assert"], "assert(assert(x, c), c) => assert(x, c), whatever else is asserted or printed between", assert_again),
        faster("if_knows_condition", &["if"], "in the branches of `if c`, c is true and false", if_knows_condition),
    ]
}

fn assert_of_true(site: &mut Site<'_>) -> Found {
    let operands = site.operands();
    let [x, condition] = operands[..] else { return Ok(None) };
    match site.constant(condition).filter(|constant| constant.len() <= 4096 && constant.to_f64_vec().into_iter().all(|x| x != 0.0)) {
        Some(_) => one(site, x),
        None => Ok(None),
    }
}

/// What is asserted holds wherever what comes after is computed.
fn assert_again(site: &mut Site<'_>) -> Found {
    const FARTHEST: usize = 64;
    let operands = site.operands();
    let [x, condition] = operands[..] else { return Ok(None) };
    let mut pending = vec![x];
    for _ in 0..FARTHEST {
        let Some(value) = pending.pop() else { break };
        let view = site.graph().node(value.node);
        match view.op_name() {
            "assert" if view.operands[1] == condition => return one(site, x),
            "assert" | "print" => pending.push(view.operands[0]),
            "after" => pending.extend_from_slice(view.operands),
            _ => {}
        }
    }
    Ok(None)
}

fn effectful(site: &Site<'_>) -> bool {
    site.view().apply().is_some_and(|(op, attributes)| is_effectful(&**op, attributes))
}

fn if_of_constant(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    let Some(condition) = operands.first().and_then(|&condition| site.constant(condition)).and_then(Tensor::item) else { return Ok(None) };
    if effectful(site) {
        return Ok(None);
    }
    let [then, otherwise] = branches(&attributes)?;
    let body = if condition != 0.0 { then.clone() } else { otherwise.clone() };
    let values = site.inline(&body, &operands[1..])?;
    let node = site.node();
    let fit = values.iter().enumerate().all(|(at, &value)| site.fits(node.output(at), value));
    Ok(fit.then_some(values))
}

fn if_knows_condition(site: &mut Site<'_>) -> Found {
    let (operands, mut attributes) = (site.operands(), site.attributes());
    let Some(at) = operands[1..].iter().position(|&operand| operand == operands[0]) else { return Ok(None) };
    let mut renewed = Vec::new();
    {
        let [then, otherwise] = branches(&attributes)?;
        // A branch that does not read it knows it already.
        let reads = |body: &Body| crate::graph::inputs_of(body.outputs()).iter().any(|input| input.is(&body.inputs()[at]));
        if !reads(then) && !reads(otherwise) {
            return Ok(None);
        }
        for (name, body, known) in [("then", then, true), ("otherwise", otherwise, false)] {
            let input = &body.inputs()[at];
            if !matches!(input.node().kind(), NodeKind::Input(_)) {
                return Ok(None);
            }
            let outputs = clone_with(body.outputs(), &[(input.clone(), Var::constant(Tensor::scalar(known)))])?;
            renewed.push((name, Body::new(body.inputs().to_vec(), outputs)?));
        }
    }
    for (name, body) in renewed {
        attributes.set(name, Attribute::Body(body.into()));
    }
    let node = site.node();
    let results = site.view().results.len();
    let new = site.apply_node("if", &operands, attributes)?;
    let fit = (0..results).all(|at| site.fits(node.output(at), new.output(at)));
    Ok(fit.then(|| (0..results).map(|at| new.output(at)).collect()))
}
