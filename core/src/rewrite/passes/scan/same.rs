//! States that are equal in every step are one.

use super::{Loop, each_loop};
use crate::error::Result;
use crate::graph::{Graph, Var, clone_with, same_graph, structural_hash};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};

/// Keeps one of the states that begin with one value and become the same in each step.
pub struct MergeStates;

impl Pass for MergeStates {
    fn name(&self) -> &str {
        "scan_same"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn tags(&self) -> Vec<&str> {
        vec!["scan"]
    }

    fn doc(&self) -> &str {
        "states of a loop that begin with one value and become the same in each step are one, and so are equal yields"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_loop(graph, self.name(), firings, &merge)
    }
}

/// For each state the first that is equal to it in all steps, itself if there is none before.
///
/// States are equal before the first step if they begin with one value; those that are after a step, if all of them
/// were before it, stay so. What is not is taken apart until nothing more is.
pub(super) fn classes(given: &Loop) -> Result<Vec<usize>> {
    let states = &given.states;
    let first = |of: &[usize], at: usize, same: &dyn Fn(usize) -> bool| (0..at).find(|&other| of[other] == other && same(other)).unwrap_or(at);
    let mut classes: Vec<usize> = Vec::new();
    for (at, state) in states.iter().enumerate() {
        let alike = |other: usize| {
            let types = |a: &Var, b: &Var| matches!((a.ty(), b.ty()), (Ok(a), Ok(b)) if a == b);
            states[other].init.is(&state.init) && types(&states[other].input, &state.input)
        };
        classes.push(first(&classes, at, &alike));
    }
    loop {
        if classes.iter().enumerate().all(|(at, &class)| at == class) {
            return Ok(classes);
        }
        let next: Vec<Var> = states.iter().map(|state| state.next.clone()).collect();
        let next = clone_with(&next, &replaced(given, &classes))?;
        let mut finer: Vec<usize> = Vec::new();
        for at in 0..states.len() {
            let same = |other: usize| classes[other] == classes[at] && same_graph(&next[at..=at], &next[other..=other], &[]);
            finer.push(first(&finer, at, &same));
        }
        if finer == classes {
            return Ok(classes);
        }
        classes = finer;
    }
}

/// The inputs of states that are others, with those that they are.
pub(super) fn replaced(given: &Loop, classes: &[usize]) -> Vec<(Var, Var)> {
    let others = classes.iter().enumerate().filter(|(at, class)| at != *class);
    others.map(|(at, &class)| (given.states[at].input.clone(), given.states[class].input.clone())).collect()
}

fn merge(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    let classes = classes(given)?;
    let merged = classes.iter().enumerate().filter(|(at, class)| at != *class).count();
    let mut looped = given.clone();
    looped.substitute(&replaced(given, &classes))?;
    // Yields that are equal, also to the next value of a state, are one value.
    let kept = looped.states.iter().enumerate().filter(|(at, _)| classes[*at] == *at);
    let mut known: Vec<(u64, Var)> = kept.map(|(_, state)| (hash(&state.next), state.next.clone())).collect();
    let mut renewed = 0;
    for (value, _) in &mut looped.yields {
        let own = hash(value);
        let same = |(other, var): &&(u64, Var)| *other == own && same_graph(std::slice::from_ref(var), std::slice::from_ref(value), &[]);
        match known.iter().find(same).map(|(_, var)| var.clone()) {
            Some(other) if !other.is(value) => {
                *value = other;
                renewed += 1;
            }
            Some(_) => {}
            None => known.push((own, value.clone())),
        }
    }
    if merged == 0 && renewed == 0 {
        return Ok(None);
    }
    let mut at = 0;
    looped.states.retain(|_| {
        at += 1;
        classes[at - 1] == at - 1
    });
    let (finals, yields) = looped.results()?;
    let place = |class: usize| classes[..class].iter().enumerate().filter(|(at, other)| at == *other).count();
    let results = classes.iter().map(|&class| finals[place(class)].clone()).chain(yields).collect();
    Ok(Some((results, format!("{merged} states and {renewed} yields that are others"))))
}

fn hash(value: &Var) -> u64 {
    structural_hash(std::slice::from_ref(value), &[])
}
