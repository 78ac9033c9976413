//! Loops of few steps become straight code.

use super::{Loop, each_loop, nodes};
use crate::error::Result;
use crate::graph::{Graph, Var, clone_with};
use crate::ops::shape::stack;
use crate::ops::{Attributes, length};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};
use crate::tensor::Dim;

/// Writes out the steps of a loop that has a few small ones, so that all else that is known of straight code applies.
pub struct UnrollShort;

/// The most steps, and the most ops in all of them, if there is more than one.
const STEPS: usize = 4;
const OPS: usize = 64;

impl Pass for UnrollShort {
    fn name(&self) -> &str {
        "scan_unroll"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn doc(&self) -> &str {
        "writes out the steps of a loop that is known to have none, one, or up to four small ones"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_loop(graph, self.name(), firings, &unroll)
    }
}

fn unroll(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    let Some(steps) = given.known_steps().filter(|&steps| steps <= STEPS) else { return Ok(None) };
    let certain = match (&given.counted, given.rows.is_empty()) {
        (Some(_), empty) => empty,
        (None, _) => given.lengths_agree(),
    };
    let outputs = given.outputs();
    if !certain || (steps > 1 && nodes(&outputs) * steps > OPS) {
        return Ok(None);
    }
    // A next value of another shape than the state is a mistake that the loop finds, or a state that grows.
    for state in &given.states {
        let (next, now) = (state.next.ty()?, state.input.ty()?);
        if next.dims.iter().zip(&now.dims).any(|(next, now)| !next.same(now)) {
            return Ok(None);
        }
    }
    if steps == 0 {
        return none(given);
    }
    let mut states: Vec<Var> = given.states.iter().map(|state| state.init.clone()).collect();
    let mut rows: Vec<Vec<Var>> = vec![Vec::new(); given.yields.len()];
    for step in 0..steps {
        let at = if given.reverse { steps - 1 - step } else { step };
        let mut pairs: Vec<(Var, Var)> = given.rows.iter().map(|(row, sequence)| (row.clone(), sequence.at(at as i64))).collect();
        pairs.extend(given.states.iter().map(|state| state.input.clone()).zip(states.iter().cloned()));
        pairs.extend(given.captured.iter().cloned());
        let mut found = clone_with(&outputs, &pairs)?;
        let yields = found.split_off(states.len());
        states = found;
        for (rows, value) in rows.iter_mut().zip(yields) {
            rows.push(value);
        }
    }
    let mut results = states;
    for (mut rows, (_, keep)) in rows.into_iter().zip(&given.yields) {
        if given.reverse {
            rows.reverse();
        }
        let first = if *keep > 0 { rows.len().saturating_sub(*keep) } else { 0 };
        results.push(stack(&rows[first..], 0));
    }
    Ok(Some((results, format!("{steps} steps written out"))))
}

/// The results of a loop without steps: the initial states, and no rows, of a shape that has to be known, or named as
/// an axis of what the loop reads.
fn none(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    let mut results: Vec<Var> = given.states.iter().map(|state| state.init.clone()).collect();
    let read = given.states.iter().map(|state| &state.init).chain(given.rows.iter().chain(&given.captured).map(|(_, value)| value));
    let size = |dim: &Dim| match dim {
        Dim::Known(length) => Some(Var::scalar(*length as i64)),
        Dim::Named(_) => read.clone().find_map(|value| {
            let axis = value.ty().ok()?.dims.iter().position(|other| other == dim)?;
            Some(length(value, axis))
        }),
        Dim::Unknown => None,
    };
    for (value, _) in &given.yields {
        let ty = value.ty()?;
        let Some(sizes) = ty.dims.iter().map(size).collect::<Option<Vec<Var>>>() else { return Ok(None) };
        let sizes: Vec<Var> = std::iter::once(Var::scalar(0i64)).chain(sizes).collect();
        results.push(Var::apply("zeros", &[stack(&sizes, 0)], Attributes::new().with("dtype", ty.dtype)));
    }
    Ok(Some((results, "no step".to_owned())))
}
