//! What depends on rows of sequences alone is computed for all rows at once.

use rustc_hash::FxHashSet;

use super::accumulate::is_grouped;
use super::{Batchable, Depends, Loop, each_even_loop, elements, name_of, op_of, row_type};
use crate::error::Result;
use crate::graph::{Graph, Var, topological_order};
use crate::rewrite::{EVERY_LEVEL, Phase};
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};

/// Computes before a loop, on whole sequences, what does not depend on its states: `x_t @ w` becomes one product.
pub struct BatchSequences;

impl Pass for BatchSequences {
    fn name(&self) -> &str {
        "scan_batch"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn tags(&self) -> Vec<&str> {
        vec!["more_memory", EVERY_LEVEL]
    }

    fn doc(&self) -> &str {
        "computes before a loop, for all rows at once, what depends on rows of sequences and not on states"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_even_loop(graph, self.name(), firings, &batch)
    }
}

/// Elements of a row from which on an elementwise result is better computed where it is read, while it is in the
/// cache, than read from a whole sequence.
const LARGE_ROW: usize = 1 << 14;

/// Whether a value for all rows is worth the memory: what only repeats or spreads a smaller one is not.
fn is_worth(value: &Var) -> bool {
    if matches!(name_of(value), "broadcast_to" | "zeros" | "zeros_like" | "ones" | "ones_like" | "full") {
        return false;
    }
    let (Some(op), Ok(ty)) = (op_of(value), value.ty()) else { return false };
    if !op.is_elementwise() {
        return true;
    }
    let given = value.node().operands().iter().map(|operand| operand.ty().ok().and_then(elements));
    match (elements(ty), given.collect::<Option<Vec<usize>>>()) {
        (Some(own), Some(given)) => own <= LARGE_ROW && own <= 16 * given.into_iter().max().unwrap_or(1),
        _ => true,
    }
}

fn batch(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    // A loop that may end early does not come to all rows.
    if given.rows.is_empty() || given.until.is_some() || is_grouped(given) {
        return Ok(None);
    }
    let depends = given.depends();
    let of = |var: &Var| depends.get(&var.node().id()).copied().unwrap_or(Depends::Nothing);
    let outputs = given.outputs();
    let order = topological_order(&outputs);
    let candidates = Batchable::new(&order, given, &|var| of(var) == Depends::Rows, &|var| of(var) == Depends::Rows);
    let ends_here = given.states.is_empty() && !given.lengths_agree();
    let mut left_out: FxHashSet<u64> = FxHashSet::default();
    // The values that something reads which stays inside; without those that are not worth it, until all are.
    let (wanted, moved) = loop {
        let mut moved: FxHashSet<u64> = FxHashSet::default();
        for var in order.iter().filter(|var| candidates.contains(var) && !left_out.contains(&var.node().id())) {
            let ready = |operand: &Var| match of(operand) {
                Depends::Rows => op_of(operand).is_none() || moved.contains(&operand.node().id()),
                // What is the same for all rows was hoisted; what could not be stays, and all that reads it.
                _ => op_of(operand).is_none(),
            };
            if var.node().operands().iter().all(ready) {
                moved.insert(var.node().id());
            }
        }
        let mut wanted: Vec<Var> = Vec::new();
        let staying = order.iter().filter(|var| !moved.contains(&var.node().id()));
        let whole = given.yields.iter().filter(|(_, keep)| *keep == 0 && !ends_here).map(|(value, _)| value);
        let inside = outputs.iter().filter(|output| !whole.clone().any(|value| value.is(output)));
        for used in staying.flat_map(|var| var.node().operands()).chain(inside) {
            if moved.contains(&used.node().id()) && wanted.iter().all(|value| !value.is(used)) {
                wanted.push(used.clone());
            }
        }
        let poor: Vec<u64> = wanted.iter().filter(|value| !is_worth(value)).map(|value| value.node().id()).collect();
        if poor.is_empty() {
            break (wanted, moved);
        }
        left_out.extend(poor);
    };
    let yields_all = |(value, keep): &(Var, usize)| *keep == 0 && !ends_here && (moved.contains(&value.node().id()) || given.rows.iter().any(|(row, _)| row.is(value)));
    let outside: Vec<bool> = given.yields.iter().map(yields_all).collect();
    if wanted.is_empty() && !outside.contains(&true) {
        return Ok(None);
    }
    let mut looped = given.clone();
    let values = looped.batched(&wanted)?;
    let mut replaced = Vec::new();
    for (inside, all) in wanted.into_iter().zip(values) {
        let input = Var::input_at("rows", row_type(&all)?, inside.node().location().clone());
        replaced.push((inside, input.clone()));
        looped.rows.push((input, all));
    }
    let whole: Vec<Var> = given.yields.iter().zip(&outside).filter(|(_, outside)| **outside).map(|((value, _), _)| value.clone()).collect();
    let mut whole = given.batched(&whole)?.into_iter();
    let mut at = 0;
    looped.yields.retain(|_| {
        at += 1;
        !outside[at - 1]
    });
    looped.substitute(&replaced)?;
    let (mut results, yields) = looped.results()?;
    let mut yields = yields.into_iter();
    for &outside in &outside {
        results.extend(if outside { whole.next() } else { yields.next() });
    }
    let done = format!("{} values computed for all rows at once", replaced.len() + outside.iter().filter(|&&outside| outside).count());
    Ok((results.len() == given.read.len()).then_some((results, done)))
}
