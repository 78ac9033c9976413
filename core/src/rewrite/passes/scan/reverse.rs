//! Loops over sequences that are reversed go over them from the end.

use super::{Loop, each_loop, name_of};
use crate::error::Result;
use crate::graph::{Graph, NodeKind, Var};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};

/// Goes from the last row to the first where all sequences are reversed ones, or the same either way: nothing is moved.
pub struct ReverseLoop;

impl Pass for ReverseLoop {
    fn name(&self) -> &str {
        "scan_reverse"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn doc(&self) -> &str {
        "goes over the rows from the last to the first where sequences are reversed, as those of derivatives are"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_loop(graph, self.name(), firings, &reverse)
    }
}

fn reverse(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    if given.rows.is_empty() || given.until.is_some() || given.yields.iter().any(|(_, keep)| *keep > 0) {
        return Ok(None);
    }
    let mut looped = given.clone();
    if !looped.rows.iter().any(|(_, sequence)| flipped(sequence).is_some()) {
        return Ok(None);
    }
    for (_, sequence) in &mut looped.rows {
        let Some(other) = flipped(sequence).or_else(|| turned(sequence)) else { return Ok(None) };
        *sequence = other;
    }
    looped.reverse = !given.reverse;
    let (mut results, yields) = looped.results()?;
    results.extend(yields.iter().map(|rows| rows.flip(0)));
    Ok(Some((results, "the steps go from the last row to the first".to_owned())))
}

/// What a sequence is the reverse of.
fn flipped(sequence: &Var) -> Option<Var> {
    let NodeKind::Apply(_, attributes) = sequence.node().kind() else { return None };
    let first = attributes.ints("axis").ok().flatten().is_some_and(|axes| axes == [0]);
    (name_of(sequence) == "flip" && first).then(|| sequence.node().operands()[0].clone())
}

/// The reverse of a sequence where that takes no work in a call: of a constant, and of one row again and again, as the derivatives
/// of a sum over all steps are.
fn turned(sequence: &Var) -> Option<Var> {
    if matches!(sequence.node().kind(), NodeKind::Constant(_)) {
        return Some(sequence.flip(0));
    }
    let row = (name_of(sequence) == "broadcast_to").then(|| &sequence.node().operands()[0])?;
    let (of, ty) = (row.ty().ok()?, sequence.ty().ok()?);
    let repeated = of.rank() < ty.rank() || of.dims.first().is_some_and(|rows| rows.known() == Some(1));
    repeated.then(|| sequence.clone())
}
