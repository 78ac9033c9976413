//! What is the same in every step is computed once.

use super::{Depends, Loop, each_loop, op_of};
use crate::error::Result;
use crate::graph::{Graph, Var, topological_order};
use crate::rewrite::{EVERY_LEVEL, Phase};
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};

/// Computes before a loop what does not change from step to step.
pub struct HoistInvariants;

impl Pass for HoistInvariants {
    fn name(&self) -> &str {
        "scan_hoist"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn tags(&self) -> Vec<&str> {
        vec![EVERY_LEVEL]
    }

    fn doc(&self) -> &str {
        "computes before a loop what is the same in every step; a state that never changes is no state"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_loop(graph, self.name(), firings, &hoist)
    }
}

fn hoist(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    let mut looped = given.clone();
    // A state that stays what it is.
    let constant: Vec<bool> = looped.states.iter().map(|state| state.next.is(&state.input)).collect();
    let mut at = 0;
    looped.states.retain(|state| {
        at += 1;
        if constant[at - 1] {
            looped.captured.push((state.input.clone(), state.init.clone()));
        }
        !constant[at - 1]
    });
    let depends = looped.depends();
    let of = |var: &Var| depends.get(&var.node().id()).copied().unwrap_or(Depends::Nothing);
    let outputs = looped.outputs();
    let order = topological_order(&outputs);
    // What is the same in every step, and nothing that has to stay in it is computed from it.
    let mut moved: rustc_hash::FxHashSet<u64> = Default::default();
    for var in order.iter().filter(|var| of(var) == Depends::Nothing && looped.may_move(var)) {
        if var.node().operands().iter().all(|operand| op_of(operand).is_none() || moved.contains(&operand.node().id())) {
            moved.insert(var.node().id());
        }
    }
    let mut wanted: Vec<Var> = Vec::new();
    let staying = order.iter().filter(|var| !moved.contains(&var.node().id()));
    for used in staying.flat_map(|var| var.node().operands()).chain(&outputs) {
        if moved.contains(&used.node().id()) && wanted.iter().all(|value| !value.is(used)) {
            wanted.push(used.clone());
        }
    }
    let folded = constant.iter().filter(|&&constant| constant).count();
    if wanted.is_empty() && folded == 0 {
        return Ok(None);
    }
    let values = looped.outside(&wanted)?;
    let mut replaced = Vec::new();
    for (inside, outside) in wanted.into_iter().zip(values) {
        let input = Var::input_known("c", inside.inferred()?.clone(), inside.node().location().clone());
        replaced.push((inside, input.clone()));
        looped.captured.push((input, outside));
    }
    looped.substitute(&replaced)?;
    let (finals, yields) = looped.results()?;
    let mut finals = finals.into_iter();
    let mut results = Vec::new();
    for (state, constant) in given.states.iter().zip(constant) {
        let last = if constant { Some(state.init.clone()) } else { finals.next() };
        results.extend(last);
    }
    results.extend(yields);
    let done = format!("{} values computed once, {folded} states that do not change", replaced.len());
    Ok((results.len() == given.read.len()).then_some((results, done)))
}
