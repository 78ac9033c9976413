//! `if` and `assert` of which the condition is known.

use super::shape::{ELEMENTWISE, Element, spread};
use super::{Found, Local, Site, canonical, dropping, faster, one};
use crate::graph::{Body, Constant, NodeKind, ValueId, Var, clone_with, topological_order};
use crate::ops::control::branches;
use crate::ops::effects::is_effectful;
use crate::ops::{Attribute, Attributes};
use crate::tensor::{DType, Tensor};

pub(super) fn locals() -> Vec<Local> {
    vec![
        dropping("if_of_constant", &["if"], "if true { x } else { y } => x", if_of_constant),
        faster("assert_of_true", &["assert"], "assert(x, true) => x", assert_of_true),
        faster("assert_again", &["assert"], "assert(assert(x, c), c) => assert(x, c), whatever else is asserted or printed between", assert_again),
        canonical("if_of_same", &["if"], "if c { x } else { x } => x", if_of_same),
        faster(
            "if_of_numbers", &["if"],
            "if c { 1.0 } else { x } => where(c, 1.0, x) of scalars that are there anyway, so that what reads them is computed along with them",
            if_of_numbers,
        ),
        faster(
            "elementwise_of_if", ELEMENTWISE,
            "f(if c { exp(x) } else { log(y) }, s) => if c { f(exp(x), s) } else { f(log(y), s) } with scalars s, where both branches end in what is computed element by element, if nothing else reads it",
            elementwise_of_if,
        ),
        canonical("if_of_not", &["if"], "if logical_not(c) { x } else { y } => if c { y } else { x }", if_of_not),
        faster("if_knows_shapes", &["if"], "in the branches of `if`, a shape that is given is that of the value beside it, and what is everywhere the same is a number over that shape", if_knows_shapes),
        dropping("if_knows_condition", &["if"], "in the branches of `if c`, c is true and false", if_knows_condition),
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

fn if_of_same(site: &mut Site<'_>) -> Found {
    let (operands, attributes) = (site.operands(), site.attributes());
    if effectful(site) {
        return Ok(None);
    }
    let [then, otherwise] = branches(&attributes)?;
    let given = |body: &Body, output: usize| {
        let at = body.inputs().iter().position(|input| input.is(&body.outputs()[output]))?;
        operands.get(at + 1).copied()
    };
    let same = |output: usize| given(then, output).filter(|&value| given(otherwise, output) == Some(value));
    let values: Option<Vec<ValueId>> = (0..site.view().results.len()).map(same).collect();
    let node = site.node();
    Ok(values.filter(|values| values.iter().enumerate().all(|(at, &value)| site.fits(node.output(at), value))))
}

fn if_of_numbers(site: &mut Site<'_>) -> Found {
    let (operands, mut attributes, node) = (site.operands(), site.attributes(), site.node());
    let (condition, count) = (operands[0], site.view().results.len());
    if effectful(site) || site.ty(condition).dtype != DType::Bool {
        return Ok(None);
    }
    let there = |body: &Body, at: usize| {
        let output = body.outputs().get(at)?;
        if let NodeKind::Constant(constant) = output.node().kind() {
            return Some(Err(constant.clone()));
        }
        let given = body.inputs().iter().position(|input| input.is(output))?;
        operands.get(given + 1).copied().map(Ok)
    };
    let [then, otherwise] = branches(&attributes)?.map(|body| (**body).clone());
    let scalar = |at: &usize| site.ty(node.output(*at)).rank() == 0;
    let found: Vec<Option<[_; 2]>> = (0..count).map(|at| Some([there(&then, at)?, there(&otherwise, at)?]).filter(|_| scalar(&at))).collect();
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    // What is left to the branches.
    let mut rest = Vec::new().into_iter();
    if found.iter().any(Option::is_none) {
        for (name, body) in [("then", &then), ("otherwise", &otherwise)] {
            let left = body.outputs().iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(output, _)| output.clone());
            attributes.set(name, Attribute::Body(Body::new(body.inputs().to_vec(), left.collect())?.into()));
        }
        let left = site.apply_node("if", &operands, attributes)?;
        let results = site.graph().node(left).results.len();
        rest = (0..results).map(|at| left.output(at)).collect::<Vec<ValueId>>().into_iter();
    }
    let mut values = Vec::new();
    for sides in found {
        values.push(match sides {
            Some(sides) => {
                let [a, b] = sides.map(|side| side.unwrap_or_else(|constant| match constant.weak {
                    true => site.weak_constant(constant.value),
                    false => site.add_constant(constant.value),
                }));
                site.apply("where", &[condition, a, b], Attributes::new())?
            }
            None => match rest.next() {
                Some(value) => value,
                None => return Ok(None),
            },
        });
    }
    let fit = values.iter().enumerate().all(|(at, &value)| site.fits(node.output(at), value));
    Ok(fit.then_some(values))
}

/// What reads the one result of an `if`, and nothing else that is no scalar, goes over the elements along with what computes
/// them. It is in both branches then, of which one runs.
fn elementwise_of_if(site: &mut Site<'_>) -> Found {
    const LARGEST: usize = 64;
    let operands = site.operands();
    let chosen = |value: ValueId| site.op(value) == "if" && site.ty(value).rank() > 0 && site.used_once(value);
    let Some(place) = operands.iter().position(|&value| chosen(value)) else { return Ok(None) };
    let scalars = operands.iter().enumerate().all(|(at, &value)| at == place || site.ty(value).rank() == 0);
    let Some((mut given, mut attributes)) = site.made_by(operands[place], "if").filter(|_| scalars) else { return Ok(None) };
    let node = operands[place].node;
    if site.graph().node(node).apply().is_none_or(|(op, attributes)| is_effectful(&**op, attributes)) {
        return Ok(None);
    }
    let Some((op, own)) = site.view().apply().map(|(op, attributes)| (op.clone(), attributes.clone())) else { return Ok(None) };
    let location = site.view().location.clone();
    let mut renewed = Vec::new();
    for (name, body) in ["then", "otherwise"].into_iter().zip(branches(&attributes)?) {
        let [output] = body.outputs() else { return Ok(None) };
        let computed = matches!(output.node().kind(), NodeKind::Apply(op, _) if op.is_elementwise() && !op.is_identity());
        if !computed || topological_order(body.outputs()).len() > LARGEST {
            return Ok(None);
        }
        let mut inputs = body.inputs().to_vec();
        let mut reads = Vec::new();
        for (at, &value) in operands.iter().enumerate() {
            reads.push(match site.graph().node(value.node).constant() {
                _ if at == place => output.clone(),
                Some(constant) => Var::constant_at(constant.clone(), location.clone()),
                None => {
                    let input = Var::input("c", site.ty(value).clone());
                    inputs.push(input.clone());
                    input
                }
            });
        }
        let value = Var::apply_op(op.clone(), &reads, own.clone(), location.clone());
        renewed.push((name, Body::new(inputs, vec![value])?));
    }
    for (name, body) in renewed {
        attributes.set(name, Attribute::Body(body.into()));
    }
    let captured = operands.iter().enumerate().filter(|&(at, value)| at != place && site.constant(*value).is_none());
    given.extend(captured.map(|(_, &value)| value));
    let value = site.apply("if", &given, attributes)?;
    one(site, value)
}

fn if_of_not(site: &mut Site<'_>) -> Found {
    let (mut operands, mut attributes) = (site.operands(), site.attributes());
    let Some((inner, _)) = operands.first().and_then(|&condition| site.made_by(condition, "logical_not")) else { return Ok(None) };
    if site.ty(inner[0]).dtype != DType::Bool {
        return Ok(None);
    }
    operands[0] = inner[0];
    let [then, otherwise] = branches(&attributes)?.map(|body| Attribute::Body(body.clone()));
    attributes.set("then", otherwise);
    attributes.set("otherwise", then);
    again(site, &operands, attributes)
}

/// The `if` with other bodies, if its results are of the same types.
fn again(site: &mut Site<'_>, operands: &[ValueId], attributes: Attributes) -> Found {
    let (node, results) = (site.node(), site.view().results.len());
    let new = site.apply_node("if", operands, attributes)?;
    let fit = (0..results).all(|at| site.fits(node.output(at), new.output(at)));
    Ok(fit.then(|| (0..results).map(|at| new.output(at)).collect()))
}

/// The number that a value has everywhere.
fn number_everywhere(site: &Site<'_>, value: ValueId) -> Option<Constant> {
    let ty = site.ty(value);
    match spread(site, value)?.of {
        Element::Number(number) => Some(Constant { value: Tensor::scalar(number).cast(ty.dtype), weak: ty.weak }),
        Element::Value(of) => site.graph().node(of.node).constant().filter(|constant| constant.value.rank() == 0).cloned(),
    }
}

fn if_knows_shapes(site: &mut Site<'_>) -> Found {
    let (operands, mut attributes) = (site.operands(), site.attributes());
    let captured = &operands[1..];
    // What is captured, what stands beside it, and the number all over that shape if it is one.
    let mut pairs: Vec<(usize, usize, Option<Constant>)> = Vec::new();
    for (at, &operand) in captured.iter().enumerate() {
        if let Some((of, _)) = site.made_by(operand, "shape") {
            pairs.extend(captured.iter().position(|&other| other == of[0]).map(|of| (at, of, None)));
        } else if let Some(number) = number_everywhere(site, operand) {
            let beside = |&other: &ValueId| other != operand && number_everywhere(site, other).is_none() && site.same_shape(operand, other);
            pairs.extend(captured.iter().position(beside).map(|of| (at, of, Some(number))));
        }
    }
    let mut changed = false;
    for name in ["then", "otherwise"] {
        let Some(Attribute::Body(body)) = attributes.get(name) else { return Ok(None) };
        let reads = crate::graph::inputs_of(body.outputs());
        let mut known = Vec::new();
        for (given, of, number) in &pairs {
            let (given, of) = (&body.inputs()[*given], &body.inputs()[*of]);
            if reads.iter().any(|input| input.is(given)) && !body.outputs().iter().any(|output| output.is(given)) {
                let shape = of.shape();
                known.push((given.clone(), match number {
                    Some(number) => Var::constant_at(number.clone(), site.view().location.clone()).broadcast_to_var(&shape),
                    None => shape,
                }));
            }
        }
        if !known.is_empty() {
            let renewed = Body::new(body.inputs().to_vec(), clone_with(body.outputs(), &known)?)?;
            attributes.set(name, Attribute::Body(renewed.into()));
            changed = true;
        }
    }
    if changed { again(site, &operands, attributes) } else { Ok(None) }
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
    again(site, &operands, attributes)
}
