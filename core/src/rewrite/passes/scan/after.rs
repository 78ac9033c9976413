//! What is yielded, and not carried on, is computed after the loop, for all rows that are kept.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Batchable, Depends, Loop, each_even_loop, elements, is_heavy, op_of};
use crate::autodiff::vectorized;
use crate::error::Result;
use crate::graph::{Graph, Var, ancestors, clone_with, topological_order};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};

/// Computes after a loop what its states do not need: of `yield h @ w` the loop yields `h`, and one product comes after it.
pub struct AfterLoop;

impl Pass for AfterLoop {
    fn name(&self) -> &str {
        "scan_after"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn tags(&self) -> Vec<&str> {
        vec!["more_memory"]
    }

    fn doc(&self) -> &str {
        "computes after a loop, for all rows that are kept, what is yielded and not carried on"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_even_loop(graph, self.name(), firings, &after)
    }
}

fn after(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    if given.yields.is_empty() {
        return Ok(None);
    }
    let carried: Vec<Var> = given.states.iter().map(|state| state.next.clone()).chain(given.until.clone()).collect();
    let needed: FxHashSet<u64> = ancestors(&carried).iter().map(|var| var.node().id()).collect();
    let depends = given.depends();
    let varies = |var: &Var| depends.get(&var.node().id()).is_some_and(|depends| *depends > Depends::Nothing);
    // How many rows are kept of what a node is needed for; of several numbers none is.
    let outputs: Vec<Var> = given.yields.iter().map(|(value, _)| value.clone()).collect();
    let order = topological_order(&outputs);
    let mut keeps: FxHashMap<u64, Option<usize>> = FxHashMap::default();
    let note = |keeps: &mut FxHashMap<u64, Option<usize>>, var: &Var, keep: Option<usize>| {
        let known = keeps.entry(var.node().id()).or_insert(keep);
        if *known != keep {
            *known = None;
        }
    };
    for (value, keep) in &given.yields {
        note(&mut keeps, value, Some(*keep));
    }
    let candidates = Batchable::new(&order, given, &varies, &|var| varies(var) && !needed.contains(&var.node().id()));
    // From the yields down: a node moves if all that reads it does.
    let mut moved: FxHashSet<u64> = FxHashSet::default();
    for var in order.iter().rev() {
        let keep = keeps.get(&var.node().id()).copied().flatten();
        let moves = keep.is_some() && candidates.contains(var);
        if moves {
            moved.insert(var.node().id());
        }
        for operand in var.node().operands() {
            note(&mut keeps, operand, if moves { keep } else { None });
        }
    }
    // A node that does not vary and was not hoisted stays, and so does what reads it.
    loop {
        let stays = |var: &&Var| {
            moved.contains(&var.node().id())
                && var.node().operands().iter().any(|operand| op_of(operand).is_some() && !varies(operand))
        };
        let staying: Vec<u64> = order.iter().filter(stays).map(|var| var.node().id()).collect();
        if staying.is_empty() {
            break;
        }
        for id in staying {
            moved.remove(&id);
        }
        // What is below a node that stays is read inside.
        for var in order.iter().rev().filter(|var| op_of(var).is_some()) {
            if !moved.contains(&var.node().id()) {
                for operand in var.node().operands() {
                    moved.remove(&operand.node().id());
                }
            }
        }
    }
    let outside: Vec<bool> = given.yields.iter().map(|(value, _)| moved.contains(&value.node().id())).collect();
    if !outside.contains(&true) {
        return Ok(None);
    }
    // What is yielded instead.
    let mut cut: Vec<(Var, usize)> = Vec::new();
    for var in order.iter().filter(|var| moved.contains(&var.node().id())) {
        let keep = keeps.get(&var.node().id()).copied().flatten().unwrap_or(0);
        for operand in var.node().operands().iter().filter(|operand| varies(operand) && !moved.contains(&operand.node().id())) {
            if cut.iter().all(|(value, kept)| !value.is(operand) || *kept != keep) {
                cut.push((operand.clone(), keep));
            }
        }
    }
    let rows_stay = given.until.is_none();
    let staying = given.yields.iter().zip(&outside).filter(|(_, outside)| !**outside).map(|(yielded, _)| yielded);
    let is_sequence = |(value, keep): &(Var, usize)| *keep == 0 && rows_stay && given.rows.iter().any(|(row, _)| row.is(value));
    let is_there = |cut: &(Var, usize)| staying.clone().any(|(value, keep)| value.is(&cut.0) && *keep == cut.1);
    let fresh: Vec<(Var, usize)> = cut.iter().filter(|cut| !is_sequence(cut) && !is_there(cut)).cloned().collect();
    if !pays(given, &order, &moved, &outside, &fresh) {
        return Ok(None);
    }
    let mut looped = given.clone();
    let mut at = 0;
    looped.yields.retain(|_| {
        at += 1;
        !outside[at - 1]
    });
    looped.yields.extend(fresh.iter().cloned());
    let inner = looped.yields.clone();
    let (finals, yields) = looped.results()?;
    let mut replaced = Vec::new();
    for cut in &cut {
        let found = inner.iter().zip(&yields).find(|((value, keep), _)| value.is(&cut.0) && *keep == cut.1).map(|(_, rows)| rows.clone());
        let sequence = || given.rows.iter().find(|(row, _)| row.is(&cut.0)).map(|(_, sequence)| sequence.clone());
        let Some(all) = found.or_else(sequence) else { return Ok(None) };
        replaced.push((cut.0.clone(), all, cut.1));
    }
    let mut results = finals;
    let mut yields = yields.into_iter();
    for ((value, kept), outside) in given.yields.iter().zip(&outside) {
        if *outside {
            // Of the values that are yielded instead, those that it is computed from.
            let inside = topological_order(std::slice::from_ref(value));
            let reads = |old: &Var| inside.iter().any(|var| var.node().id() == old.node().id());
            let (mut pairs, mut rows) = (given.captured.clone(), Vec::new());
            for (old, all, _) in replaced.iter().filter(|(old, _, keep)| keep == kept && reads(old)) {
                let row = Var::input_known("row", old.inferred()?.clone(), old.node().location().clone());
                pairs.push((old.clone(), row.clone()));
                rows.push((row, all.clone()));
            }
            results.extend(vectorized(&clone_with(std::slice::from_ref(value), &pairs)?, &rows)?);
        } else {
            results.extend(yields.next());
        }
    }
    let done = format!("{} yields computed after the loop", outside.iter().filter(|&&outside| outside).count());
    Ok((results.len() == given.read.len()).then_some((results, done)))
}

/// Whether it is worth it: where only the last rows are kept, where a product becomes one for all rows, where what it
/// is computed from is there already, or takes no more memory than what is computed.
fn pays(given: &Loop, order: &[Var], moved: &FxHashSet<u64>, outside: &[bool], fresh: &[(Var, usize)]) -> bool {
    if fresh.is_empty() || fresh.iter().all(|(_, keep)| *keep > 0) {
        return true;
    }
    if order.iter().any(|var| moved.contains(&var.node().id()) && is_heavy(var)) {
        return true;
    }
    let size = |values: &mut dyn Iterator<Item = &Var>| values.map(|value| value.ty().ok().and_then(elements)).sum::<Option<usize>>();
    let before = size(&mut given.yields.iter().zip(outside).filter(|(_, outside)| **outside).map(|((value, _), _)| value));
    let after = size(&mut fresh.iter().map(|(value, _)| value));
    matches!((before, after), (Some(before), Some(after)) if after <= before)
}
