//! What of an op with bodies is needed: without the results, yields, states, sequences and captured values
//! that nothing reads, and with each captured value once.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::{ScanLayout, branches, internal};
use crate::error::Result;
use crate::graph::{Body, NodeKind, Stands, Var, inputs_of};
use crate::ops::Attributes;
use crate::tensor::{Dim, Type};

/// How a result is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Not at all.
    Never,
    /// As it is.
    Whole,
    /// Of its rows only the last ones, so many.
    Last(usize),
}

/// An application in its shortest form.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// Its operands.
    pub operands: Vec<Var>,
    /// Its attributes.
    pub attributes: Attributes,
    /// For each of the old results which one of the new it is, if it is read.
    pub results: Vec<Option<usize>>,
}

/// The shortest form of an application of one of this family's ops, of whose results these are read. It is
/// the form that the language gives: bodies have an input for each value that they read, in the order in
/// which they need them, of the value's own type. `None` for other ops.
///
/// # Errors
/// If the attributes are damaged.
pub fn prune(op: &str, operands: &[Var], attributes: &Attributes, read: &[Read]) -> Result<Option<Pruned>> {
    shortest(op, operands, attributes, read, true)
}

/// As [`prune`], with all results: only what its bodies read is as short as it can be.
///
/// # Errors
/// If the attributes are damaged.
pub fn normal_form(op: &str, operands: &[Var], attributes: &Attributes, results: usize) -> Result<Option<Pruned>> {
    shortest(op, operands, attributes, &vec![Read::Whole; results], false)
}

/// As [`prune`]; equal results stay apart unless they are to `merge`.
fn shortest(
    op: &str, operands: &[Var], attributes: &Attributes, read: &[Read], merge: bool,
) -> Result<Option<Pruned>> {
    match op {
        "scan" => scan(operands, attributes, read, merge).map(Some),
        "if" => {
            let [then, otherwise] = branches(attributes)?;
            choice(operands, 1, &[("then", then), ("otherwise", otherwise)], read, merge).map(Some)
        }
        "checkpoint" | "recompute" => {
            choice(operands, 0, &[("body", attributes.body("body")?)], read, merge).map(Some)
        }
        _ => Ok(None),
    }
}

/// The op of a value applied to other operands, with bodies in their normal form.
fn again(var: &Var, operands: Vec<Var>) -> Result<Var> {
    let NodeKind::Apply(op, attributes) = var.node().kind() else { return Ok(var.clone()) };
    let location = var.node().location().clone();
    let new = match normal_form(op.name(), &operands, attributes, var.siblings().len())? {
        Some(pruned) => Var::apply_op(op.clone(), &pruned.operands, pruned.attributes, location),
        None => Var::apply_op(op.clone(), &operands, attributes.clone(), location),
    };
    new.ty()?;
    Ok(new)
}

fn renew(params: &[Var], bodies: &[(&[Var], &[Stands], Vec<Var>)]) -> Result<(Vec<Body>, Vec<Var>)> {
    Body::renew(params, bodies, &mut |var, operands| {
        let location = var.node().location().clone();
        location.stand_in(|| again(var, operands))
    })
}

/// The places of the items, of equal ones the first if they are to `merge`, and for each item, if it is
/// wanted, which of these it is.
fn distinct<K: PartialEq>(keys: Vec<Option<K>>, merge: bool) -> (Vec<usize>, Vec<Option<usize>>) {
    let (mut first, mut places): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for (at, key) in keys.iter().enumerate() {
        places.push(key.is_some().then(|| {
            first.iter().position(|&earlier| merge && keys[earlier] == *key).unwrap_or_else(|| {
                first.push(at);
                first.len() - 1
            })
        }));
    }
    (first, places)
}

/// An op whose operands are some of its own and what its bodies read.
fn choice(
    operands: &[Var], fixed: usize, bodies: &[(&str, &Arc<Body>)], read: &[Read], merge: bool,
) -> Result<Pruned> {
    let (own, captured) = operands.split_at(fixed);
    let key = |(at, read): (usize, &Read)| {
        (*read != Read::Never)
            .then(|| bodies.iter().filter_map(|(_, body)| body.outputs().get(at).map(Var::key)).collect::<Vec<_>>())
    };
    let (kept, results) = distinct(read.iter().enumerate().map(key).collect(), merge);
    let stands: Vec<Stands> = captured.iter().cloned().map(Stands::Value).collect();
    let outputs = |body: &Body| kept.iter().map(|&at| body.outputs()[at].clone()).collect::<Vec<Var>>();
    let parts: Vec<(&[Var], &[Stands], Vec<Var>)> =
        bodies.iter().map(|(_, body)| (body.inputs(), stands.as_slice(), outputs(body))).collect();
    let (renewed, values) = renew(&[], &parts)?;
    let mut attributes = Attributes::new();
    for ((name, _), body) in bodies.iter().zip(renewed) {
        attributes.set(name, body);
    }
    Ok(Pruned { operands: own.iter().cloned().chain(values).collect(), attributes, results })
}

fn scan(operands: &[Var], attributes: &Attributes, read: &[Read], merge: bool) -> Result<Pruned> {
    let layout = ScanLayout::of(attributes)?;
    let (inputs, outputs) = (layout.body.inputs(), layout.body.outputs());
    let (counted, given) = operands.split_at(usize::from(layout.counted));
    let (states, sequences) = (layout.states, layout.sequences);
    if read.len() != states + layout.yields() || given.len() != inputs.len() {
        return Err(internal("a scan has other operands or results than its body"));
    }
    let own = |at: usize| match (layout.keep[at], read[states + at]) {
        (keep, Read::Never | Read::Whole) => keep,
        (0, Read::Last(rows)) => rows,
        (keep, Read::Last(rows)) => keep.min(rows),
    };
    // The last rows of a value are those of it as it is yielded elsewhere, more of them or all.
    let keep = |at: usize| {
        let same = |&other: &usize| merge && read[states + other] != Read::Never && outputs[states + other].is(&outputs[states + at]);
        match read[states + at] {
            Read::Last(_) => (0..layout.yields()).filter(same).map(own).max_by_key(|&keep| if keep == 0 { usize::MAX } else { keep }).unwrap_or(own(at)),
            _ => own(at),
        }
    };
    let yielded = |at: usize| (read[states + at] != Read::Never).then(|| (outputs[states + at].key(), keep(at)));
    let (kept, yields) = distinct((0..layout.yields()).map(yielded).collect(), merge);
    let mut wanted: Vec<Var> = kept.iter().map(|&at| outputs[states + at].clone()).collect();
    wanted.extend(outputs[states + layout.yields()..].iter().cloned());
    // A state is needed if its end is read, or something that is needed depends on it.
    let mut needed: Vec<bool> = read[..states].iter().map(|read| *read != Read::Never).collect();
    let reached = loop {
        let next = (0..states).filter(|&state| needed[state]).map(|state| outputs[state].clone());
        let roots: Vec<Var> = next.chain(wanted.iter().cloned()).collect();
        let reached: FxHashSet<(u64, u32)> = inputs_of(&roots).iter().map(Var::key).collect();
        let before = needed.clone();
        for state in 0..states {
            needed[state] |= reached.contains(&inputs[sequences + state].key());
        }
        if needed == before {
            break reached;
        }
    };
    let followed = followed(&layout, given, |at| reached.contains(&inputs[at].key()));
    let mut params = Vec::new();
    let mut own = counted.to_vec();
    let mut stands = Vec::new();
    for (at, (input, value)) in inputs.iter().zip(given).enumerate() {
        let NodeKind::Input(name) = input.node().kind() else { return Err(internal("an input of a body is none")) };
        let param = |ty: Type| Var::input_at(name, ty, input.node().location().clone());
        let state = at.checked_sub(sequences).filter(|&state| state < states);
        let same = (0..at.min(sequences)).find(|&other| merge && at < sequences && followed[other] && given[other].is(value));
        if let Some(&Stands::Param(param)) = same.and_then(|other| stands.get(other)) {
            stands.push(Stands::Param(param));
            continue;
        }
        let new = if at < sequences && followed[at] {
            let ty = value.ty()?;
            Some(param(Type::new(ty.dtype, ty.dims[1..].to_vec()).with_weak(ty.weak)))
        } else if state.is_some_and(|state| needed[state]) {
            Some(param(input.ty()?.clone()))
        } else {
            None
        };
        stands.push(match new {
            Some(new) => {
                params.push(new);
                own.push(value.clone());
                Stands::Param(params.len() - 1)
            }
            None if at >= sequences + states => Stands::Value(value.clone()),
            None => Stands::Nothing,
        });
    }
    // Of one sequence that is gone over twice there is one parameter.
    let params_of_sequences = stands[..sequences].iter().filter_map(|stands| if let Stands::Param(param) = stands { Some(param + 1) } else { None });
    let count = params_of_sequences.max().unwrap_or(0);
    let next = (0..states).filter(|&state| needed[state]).map(|state| outputs[state].clone());
    let roots: Vec<Var> = next.chain(wanted).collect();
    let (mut bodies, values) = renew(&params, &[(inputs, &stands, roots)])?;
    let body = bodies.pop().ok_or_else(|| internal("a scan has no body"))?;
    let shorter = ScanLayout {
        body: body.into(), sequences: count, states: params.len() - count,
        keep: kept.iter().map(|&at| keep(at)).collect(), ..layout.clone()
    };
    let mut ends = 0;
    let mut results = Vec::new();
    for (state, &needed) in needed.iter().enumerate() {
        results.push((needed && read[state] != Read::Never).then_some(ends));
        ends += usize::from(needed);
    }
    results.extend(yields.into_iter().map(|place| place.map(|place| ends + place)));
    own.extend(values);
    Ok(Pruned { operands: own, attributes: shorter.attributes(), results })
}

/// Which sequences a loop goes over: those that are read, and those that might have another length than
/// these, so that the loop fails.
fn followed(layout: &ScanLayout, given: &[Var], read: impl Fn(usize) -> bool) -> Vec<bool> {
    let length = |at: usize| given[at].ty().ok().and_then(|ty| ty.dims.first().cloned()).unwrap_or(Dim::Unknown);
    let mut followed: Vec<bool> = (0..layout.sequences).map(read).collect();
    for at in 0..layout.sequences {
        let alike = |other: usize| other != at && followed[other] && length(other).same(&length(at));
        let known = (0..layout.sequences).any(alike);
        followed[at] |= !known;
    }
    followed
}
