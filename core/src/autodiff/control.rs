//! Derivatives of loops and branches, by differentiating their bodies.
//!
//! Reverse mode through `scan` is a `scan` over the reversed sequences and the reversed history of the
//! states: each of its steps carries the cotangents of the states one step back, adds up those of what the
//! body captures, and yields those of the sequences' rows. Forward mode carries the tangents of the states
//! beside the states. Both are built from the same leaves as the body itself, so that they are closed
//! graphs like it, and can be differentiated again.
//!
//! A `truncate`d loop is gone through backwards for so many steps only.
//!
//! The derivative of an `if` is an `if` with the same condition. That of a `checkpoint` is a `recompute`: of the
//! same body, and behind it, in the same body, the derivative.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::{cotangents, expand::fitted, tangents};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Location, NodeId, Var, expand_nodes, inputs_of};
use crate::ops::control::{CustomLayout, ScanLayout};
use crate::ops::effects::{effects_of, is_effectful};
use crate::ops::shape::concatenate;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem, no_gradient, where_};
use crate::tensor::Type;

/// As [`Op::vjp`](crate::ops::Op::vjp), for an op with bodies.
///
/// # Errors
/// If an op in a body has no gradient.
pub(super) fn backward(
    op: &str, operands: &[Var], results: &[Var], attributes: &Attributes, incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    match op {
        "scan" => scan_backward(operands, results, attributes, incoming),
        "if" => inside_backward("if", 1, operands, attributes, incoming),
        "checkpoint" | "recompute" => inside_backward("recompute", 0, operands, attributes, incoming),
        "custom_vjp" => custom_backward(operands, results, attributes, incoming),
        other => Err(no_gradient(other)),
    }
}

/// As [`Op::jvp`](crate::ops::Op::jvp), for an op with bodies.
///
/// # Errors
/// If an op in a body has no derivative.
pub(super) fn forward(
    op: &str, operands: &[Var], attributes: &Attributes, incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    match op {
        "scan" => scan_forward(operands, attributes, incoming),
        "if" => inside_forward("if", 1, operands, attributes, incoming),
        "checkpoint" | "recompute" => inside_forward(op, 0, operands, attributes, incoming),
        "custom_vjp" => Err(Error::new(ErrorKind::Gradient, "`custom_vjp` has no forward-mode derivative")
            .note("its derivative is given in reverse mode (`grad`, `vjp`)")),
        other => Err(no_gradient(other)),
    }
}

fn is_float(var: &Var) -> bool {
    var.ty().is_ok_and(|ty| ty.dtype.is_float())
}

/// An input for the derivative of a value.
fn leaf(of: &Var) -> Result<Var> {
    let ty = of.ty()?;
    Ok(Var::input_at("d", Type::new(ty.dtype, ty.dims.clone()), Location::caller()))
}

/// Zeros like a value, with a dtype of their own.
fn zeros(like: &Var) -> Result<Var> {
    let zeros = like.zeros_like();
    Ok(if zeros.ty()?.weak { zeros.cast(like.ty()?.dtype) } else { zeros })
}

/// A derivative with the type of what it belongs to.
fn derivative(found: Option<Var>, like: &Var) -> Result<Var> {
    match found {
        Some(found) => fitted(Some(found), like),
        None => zeros(like),
    }
}

fn apply(op: &str, operands: &[Var], attributes: Attributes) -> Result<Vec<Var>> {
    let var = Var::apply_at(op, operands, attributes, Location::caller());
    var.ty()?;
    Ok(var.siblings())
}

/// A body without its effects: the way forwards has them, and a derivative does not repeat them.
fn silent(body: &Arc<Body>) -> Result<Arc<Body>> {
    if effects_of(body.outputs(), 0).is_empty() {
        return Ok(body.clone());
    }
    let graph = body.graph()?;
    let effectful = |id: &NodeId| graph.node(*id).apply().is_some_and(|(op, attributes)| is_effectful(&**op, attributes));
    let nodes: Vec<NodeId> = graph.topological_order().into_iter().filter(effectful).collect();
    let graph = expand_nodes(&graph, &nodes, |op, operands, attributes| {
        if op.has_effect() {
            return Ok(operands[..1].to_vec());
        }
        let mut silenced = attributes.clone();
        for (name, body) in attributes.bodies() {
            silenced.set(name, Attribute::Body(silent(body)?));
        }
        let var = Var::apply_op(op.clone(), operands, silenced, Location::caller());
        var.ty()?;
        Ok(var.siblings())
    })?;
    let (inputs, outputs) = graph.to_vars()?;
    Ok(Body::new(inputs, outputs)?.into())
}

/// `values[start:stop]`, one of which is `at`.
fn rows(values: &Var, at: &Var, up_to: bool) -> Var {
    let (start, stop) = match up_to {
        true => (IndexBound::Open, IndexBound::Operand(0)),
        false => (IndexBound::Operand(0), IndexBound::Open),
    };
    let items = vec![IndexItem::Slice { start, stop, step: 1 }];
    Var::apply("index", &[values.clone(), at.clone()], Attributes::new().with("index", Attribute::Index(items)))
}

fn number(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}

/// Of a scan's operands the sequences, and what the body captures.
fn parts<'a>(layout: &ScanLayout, operands: &'a [Var]) -> (&'a [Var], &'a [Var]) {
    let (sequences, rest) = operands[usize::from(layout.counted)..].split_at(layout.sequences);
    (sequences, &rest[layout.states..])
}

fn scan_backward(
    operands: &[Var], results: &[Var], attributes: &Attributes, incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let layout = ScanLayout::of(attributes)?;
    if layout.reverse {
        return reversed_backward(&layout, operands, results, incoming);
    }
    let layout = ScanLayout { body: silent(&layout.body)?, ..layout };
    let (rows_of, captured) = parts(&layout, operands);
    let (states, sequences) = (layout.states, layout.sequences);
    let (inputs, outputs) = (layout.body.inputs(), layout.body.outputs());
    let mut leaves = outputs[..states + layout.yields()].iter().map(leaf).collect::<Result<Vec<_>>>()?;
    // Of a yield that keeps its last rows, the cotangents of these are carried, the next one first.
    let mut queues: Vec<(usize, Var)> = Vec::new();
    for (number, &keep) in layout.keep.iter().enumerate() {
        if keep > 0 && incoming[states + number].is_some() && is_float(&outputs[states + number]) {
            let queue = leaf(&results[states + number])?;
            // Not `queue[0]`: the shape of what a step yields is asked for also where there is none, and so no row.
            leaves[states + number] = queue.slice(0, None, Some(1)).prod(Some(0));
            queues.push((states + number, queue));
        }
    }
    // A state whose next value matters matters itself if the next value depends on it.
    let mut active: Vec<bool> = (0..results.len()).map(|at| incoming[at].is_some() && is_float(&outputs[at])).collect();
    let found = loop {
        let wanted = (0..results.len()).filter(|&at| active[at]);
        let roots: Vec<(Var, Var)> = wanted.map(|at| (outputs[at].clone(), leaves[at].clone())).collect();
        let mut found = cotangents(&roots, inputs)?;
        for (found, input) in found.iter_mut().zip(inputs) {
            if !is_float(input) {
                *found = None;
            }
        }
        let before = active.clone();
        for state in 0..states {
            active[state] |= found[sequences + state].is_some();
        }
        if active == before {
            break found;
        }
    };
    let carried: Vec<usize> = (0..states).filter(|&state| active[state]).collect();
    let summed: Vec<usize> = (sequences + states..inputs.len()).filter(|&at| found[at].is_some()).collect();
    let spread: Vec<usize> = (0..sequences).filter(|&at| found[at].is_some()).collect();
    let totals = summed.iter().map(|&at| leaf(&inputs[at])).collect::<Result<Vec<_>>>()?;
    let mut steps = Vec::new();
    for &state in &carried {
        steps.push(derivative(found[sequences + state].clone(), &inputs[sequences + state])?);
    }
    for (&at, total) in summed.iter().zip(&totals) {
        steps.push(total + &derivative(found[at].clone(), &inputs[at])?);
    }
    for (_, queue) in &queues {
        let first = queue.slice(0, None, Some(1));
        steps.push(concatenate(&[queue.slice(0, Some(1), None), zeros(&first)?], 0));
    }
    for &at in &spread {
        steps.push(derivative(found[at].clone(), &inputs[at])?);
    }
    // Only what the step backwards reads is kept of the way forwards.
    let read: FxHashSet<(u64, u32)> = inputs_of(&steps).iter().map(Var::key).collect();
    let kept: Vec<usize> = (0..states).filter(|&state| read.contains(&inputs[sequences + state].key())).collect();
    let (history, done) = history(&layout, operands, results, &kept)?;
    let cut = |values: &Var| done.as_ref().map_or_else(|| values.clone(), |done| rows(values, done, true));
    // The last steps are the first ones backwards.
    let last = |values: Var| match layout.truncate {
        Some(steps) => values.flip(0).slice(0, None, Some(number(steps))),
        None => values.flip(0),
    };
    let mut over: Vec<(Var, Var)> = Vec::new();
    for (at, values) in rows_of.iter().enumerate().filter(|(at, _)| read.contains(&inputs[*at].key())) {
        over.push((inputs[at].clone(), last(cut(values))));
    }
    for (&state, values) in kept.iter().zip(&history) {
        over.push((inputs[sequences + state].clone(), last(values.clone())));
    }
    for at in (states..results.len()).filter(|&at| active[at] && layout.keep[at - states] == 0) {
        if let Some(cotangent) = &incoming[at] {
            over.push((leaves[at].clone(), last(derivative(Some(cotangent.clone()), &results[at])?)));
        }
    }
    let taken = || step_count(&layout, operands, done.as_ref());
    let limit = layout.truncate.map(|steps| Var::scalar(number(steps)));
    let counted = match &limit {
        _ if !over.is_empty() => None,
        Some(limit) => Some(taken().minimum(limit)),
        None => Some(taken()),
    };
    let mut carry: Vec<(Var, Var)> = Vec::new();
    for &state in &carried {
        carry.push((leaves[state].clone(), derivative(incoming[state].clone(), &results[state])?));
    }
    for (&at, total) in summed.iter().zip(&totals) {
        carry.push((total.clone(), zeros(&captured[at - sequences - states])?));
    }
    for (at, queue) in queues {
        carry.push((queue, derivative(incoming[at].clone(), &results[at])?.flip(0)));
    }
    let captured = inputs[sequences + states..].iter().zip(captured);
    let captured: Vec<(Var, Var)> =
        captured.filter(|(input, _)| read.contains(&input.key())).map(|(a, b)| (a.clone(), b.clone())).collect();
    if carry.is_empty() && spread.is_empty() {
        return Ok(vec![None; operands.len()]);
    }
    let (sequence_count, state_count) = (over.len(), carry.len());
    let queued = carry.len() - carried.len() - summed.len();
    let (leaves, values): (Vec<Var>, Vec<Var>) = over.into_iter().chain(carry).chain(captured).unzip();
    let backwards = ScanLayout {
        body: Body::new(leaves, steps)?.into(), counted: counted.is_some(), sequences: sequence_count, states: state_count,
        until: false, keep: vec![0; spread.len()], truncate: None, reverse: false,
    };
    let values: Vec<Var> = counted.into_iter().chain(values).collect();
    let mut found = apply("scan", &values, backwards.attributes())?.into_iter();
    let mut all: Vec<Option<Var>> = vec![None; operands.len()];
    let offset = usize::from(layout.counted);
    for &state in &carried {
        // Of more steps than are gone back, the first ones, and what they begin with, are constant.
        all[offset + sequences + state] = match (found.next(), &limit) {
            (Some(slope), Some(limit)) => {
                Some(where_(&taken().le(limit), &slope, &zeros(&slope)?))
            }
            (slope, _) => slope,
        };
    }
    for &at in &summed {
        all[offset + at] = found.next();
    }
    let mut found = found.skip(queued);
    for &at in &spread {
        let Some(slopes) = found.next().map(|slopes| slopes.flip(0)) else { continue };
        let mut parts = vec![slopes];
        if let Some(steps) = layout.truncate {
            parts.insert(0, zeros(&cut(&rows_of[at]).slice(0, None, Some(-number(steps))))?);
        }
        if let Some(done) = &done {
            // The rows that the loop did not come to.
            parts.push(zeros(&rows(&rows_of[at], done, false))?);
        }
        all[offset + at] = Some(if parts.len() > 1 { concatenate(&parts, 0) } else { parts.swap_remove(0) });
    }
    Ok(all)
}

/// As [`scan_backward`], of a loop that goes from the last row to the first: it is one the other way round over what
/// is reversed.
fn reversed_backward(
    layout: &ScanLayout, operands: &[Var], results: &[Var], incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let first = usize::from(layout.counted);
    let is_sequence = |at: usize| (first..first + layout.sequences).contains(&at);
    let flipped = |value: &Var, is: bool| if is { value.flip(0) } else { value.clone() };
    let operands: Vec<Var> = operands.iter().enumerate().map(|(at, value)| flipped(value, is_sequence(at))).collect();
    let results: Vec<Var> = results.iter().enumerate().map(|(at, value)| flipped(value, at >= layout.states)).collect();
    let incoming: Vec<Option<Var>> =
        incoming.iter().enumerate().map(|(at, value)| value.as_ref().map(|value| flipped(value, at >= layout.states))).collect();
    let forwards = ScanLayout { reverse: false, ..layout.clone() };
    let found = scan_backward(&operands, &results, &forwards.attributes(), &incoming)?;
    Ok(found.into_iter().enumerate().map(|(at, value)| value.map(|value| flipped(&value, is_sequence(at)))).collect())
}

/// The values of some states at the start of each step, of the last steps if reverse mode goes through no
/// others; and, of a loop that may end early, how many steps it took.
fn history(
    layout: &ScanLayout, operands: &[Var], results: &[Var], kept: &[usize],
) -> Result<(Vec<Var>, Option<Var>)> {
    let body = &layout.body;
    let first = layout.states + layout.yields();
    let whole = layout.keep.iter().position(|&keep| keep == 0).map(|at| layout.states + at);
    // A loop that keeps all rows of nothing yields something small to tell how long it was.
    let count = layout.until && whole.is_none();
    let mut all = results.to_vec();
    if !kept.is_empty() || count {
        let mut outputs = body.outputs().to_vec();
        let mut keep = layout.keep.clone();
        for &state in kept {
            outputs.insert(layout.states + keep.len(), body.inputs()[layout.sequences + state].clone());
            keep.push(layout.truncate.unwrap_or(0));
        }
        if count {
            outputs.insert(layout.states + keep.len(), Var::scalar(true));
            keep.push(0);
        }
        let body = Body::new(body.inputs().to_vec(), outputs)?.into();
        all = apply("scan", operands, ScanLayout { body, keep, ..layout.clone() }.attributes())?;
    }
    let counter = whole.unwrap_or(all.len() - 1);
    let done = layout.until.then(|| length(&all[counter]));
    Ok((all[first..first + kept.len()].to_vec(), done))
}

/// The number of rows of a value.
fn length(values: &Var) -> Var {
    let first = Attributes::new().with("index", Attribute::Index(vec![IndexItem::At(0)]));
    Var::apply("index", &[values.shape()], first)
}

fn step_count(layout: &ScanLayout, operands: &[Var], done: Option<&Var>) -> Var {
    match (done, layout.counted) {
        (Some(done), _) => done.clone(),
        (None, true) => operands[0].clone(),
        (None, false) => length(&operands[0]),
    }
}

fn scan_forward(operands: &[Var], attributes: &Attributes, incoming: &[Option<Var>]) -> Result<Vec<Option<Var>>> {
    let layout = ScanLayout::of(attributes)?;
    if layout.truncate.is_some() {
        return Err(Error::new(ErrorKind::Gradient, "a `scan` with `truncate` has no forward-mode derivative")
            .note("it goes back through its last steps only, which reverse mode (`grad`, `vjp`) does"));
    }
    let layout = ScanLayout { body: silent(&layout.body)?, ..layout };
    let (states, sequences) = (layout.states, layout.sequences);
    let (inputs, outputs) = (layout.body.inputs(), layout.body.outputs());
    let offset = usize::from(layout.counted);
    let given = &operands[offset..];
    let incoming = &incoming[offset..];
    let mut active: Vec<bool> = incoming.iter().zip(inputs).map(|(tangent, input)| tangent.is_some() && is_float(input)).collect();
    let leaves = inputs.iter().map(leaf).collect::<Result<Vec<_>>>()?;
    let found = loop {
        let moving = (0..inputs.len()).filter(|&at| active[at]);
        let directions: Vec<(Var, Var)> = moving.map(|at| (inputs[at].clone(), leaves[at].clone())).collect();
        let found = tangents(&outputs[..states + layout.yields()], &directions)?;
        let before = active.clone();
        for state in 0..states {
            active[sequences + state] |= found[state].is_some();
        }
        if active == before {
            break found;
        }
    };
    let mut next = outputs[..states].to_vec();
    let moving: Vec<usize> = (0..states).filter(|&state| active[sequences + state]).collect();
    for &state in &moving {
        next.push(derivative(found[state].clone(), &outputs[state])?);
    }
    let yields: Vec<usize> = (states..found.len()).filter(|&at| found[at].is_some()).collect();
    for &at in &yields {
        next.push(derivative(found[at].clone(), &outputs[at])?);
    }
    next.extend(outputs[states + layout.yields()..].iter().cloned());
    let (mut own, mut values) = (Vec::new(), Vec::new());
    let mut counts = Vec::new();
    for range in [0..sequences, sequences..sequences + states, sequences + states..inputs.len()] {
        own.extend_from_slice(&inputs[range.clone()]);
        values.extend_from_slice(&given[range.clone()]);
        for at in range.filter(|&at| active[at]) {
            own.push(leaves[at].clone());
            values.push(derivative(incoming[at].clone(), &given[at])?);
        }
        counts.push(own.len());
    }
    if moving.is_empty() && yields.is_empty() {
        return Ok(vec![None; states + layout.yields()]);
    }
    let forwards = ScanLayout {
        body: Body::new(own, next)?.into(), sequences: counts[0], states: counts[1] - counts[0],
        keep: yields.iter().map(|&at| layout.keep[at - states]).collect(), ..layout.clone()
    };
    let values: Vec<Var> = operands[..offset].iter().cloned().chain(values).collect();
    let mut results = apply("scan", &values, forwards.attributes())?.into_iter().skip(states);
    let mut all = vec![None; states + layout.yields()];
    for at in moving.into_iter().chain(yields) {
        all[at] = results.next();
    }
    Ok(all)
}

/// An op like this one whose bodies read `more` values, and give what `derive` finds for their inputs or
/// outputs; `None` where it finds nothing in any of them.
fn derived(
    op: &str, operands: &[Var], attributes: &Attributes, more: &[Var],
    derive: impl Fn(&Body, &[Var]) -> Result<(Vec<Var>, Vec<Option<Var>>)>,
) -> Result<Vec<Option<Var>>> {
    let leaves = more.iter().map(leaf).collect::<Result<Vec<_>>>()?;
    let silenced = |(name, body)| -> Result<(&str, Arc<Body>)> { Ok((name, silent(body)?)) };
    let bodies = attributes.bodies().map(silenced).collect::<Result<Vec<_>>>()?;
    let found = bodies.iter().map(|(_, body)| derive(body, &leaves)).collect::<Result<Vec<_>>>()?;
    let count = found.first().map_or(0, |(_, found)| found.len());
    let wanted: Vec<usize> = (0..count).filter(|&at| found.iter().any(|(_, found)| found[at].is_some())).collect();
    let mut all = vec![None; count];
    if wanted.is_empty() {
        return Ok(all);
    }
    let mut derivatives = Attributes::new();
    for ((name, body), (like, found)) in bodies.into_iter().zip(found) {
        let outputs = wanted.iter().map(|&at| derivative(found[at].clone(), &like[at])).collect::<Result<_>>()?;
        let inputs = body.inputs().iter().chain(&leaves).cloned().collect();
        derivatives.set(name, Body::new(inputs, outputs)?);
    }
    let values: Vec<Var> = operands.iter().chain(more).cloned().collect();
    for (at, value) in wanted.into_iter().zip(apply(op, &values, derivatives)?) {
        all[at] = Some(value);
    }
    Ok(all)
}

/// Reverse mode through an op that has, after `fixed` operands, those that its bodies read.
fn inside_backward(
    op: &str, fixed: usize, operands: &[Var], attributes: &Attributes, incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let more: Vec<Var> = incoming.iter().flatten().cloned().collect();
    let found = derived(op, operands, attributes, &more, |body, leaves| {
        let outputs = body.outputs().iter().zip(incoming).filter(|(_, cotangent)| cotangent.is_some());
        let roots: Vec<(Var, Var)> = outputs.map(|(output, _)| output.clone()).zip(leaves.iter().cloned()).collect();
        let mut found = cotangents(&roots, body.inputs())?;
        for (found, input) in found.iter_mut().zip(body.inputs()) {
            if !is_float(input) {
                *found = None;
            }
        }
        Ok((body.inputs().to_vec(), found))
    })?;
    Ok(std::iter::repeat_n(None, fixed).chain(found).collect())
}

fn inside_forward(
    op: &str, fixed: usize, operands: &[Var], attributes: &Attributes, incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let moving: Vec<usize> =
        (fixed..operands.len()).filter(|&at| incoming[at].is_some() && is_float(&operands[at])).collect();
    let more: Vec<Var> = moving.iter().filter_map(|&at| incoming[at].clone()).collect();
    derived(op, operands, attributes, &more, |body, leaves| {
        let inputs = moving.iter().map(|&at| body.inputs()[at - fixed].clone());
        let directions: Vec<(Var, Var)> = inputs.zip(leaves.iter().cloned()).collect();
        Ok((body.outputs().to_vec(), tangents(body.outputs(), &directions)?))
    })
}

fn custom_backward(
    operands: &[Var], results: &[Var], attributes: &Attributes, incoming: &[Option<Var>],
) -> Result<Vec<Option<Var>>> {
    let layout = CustomLayout::of(attributes)?;
    let mut given = operands[..layout.inputs].to_vec();
    given.extend_from_slice(results);
    for (cotangent, result) in incoming.iter().zip(results) {
        given.push(derivative(cotangent.clone(), result)?);
    }
    given.extend_from_slice(layout.captured_by_vjp(operands));
    let mut all: Vec<Option<Var>> = vec![None; operands.len()];
    for (at, found) in layout.differentiable().into_iter().zip(layout.vjp.inline(&given)?) {
        all[at] = Some(derivative(Some(found), &operands[at])?);
    }
    // What the results depend on besides the inputs has no derivative; an error where one is asked for.
    for (at, value) in operands.iter().enumerate().take(layout.forward()).skip(layout.inputs) {
        if is_float(value) {
            let message = "`custom_vjp` has no derivative in a value that it reads besides its inputs";
            let error = Error::new(ErrorKind::Gradient, message)
                .note("make the value an input, or take it through `stop_gradient` to hold it constant");
            all[at] = Some(Var::error(error, value.node().location().clone()));
        }
    }
    Ok(all)
}
