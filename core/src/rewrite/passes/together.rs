//! What is computed together: branches on one condition, systems of equations with one matrix, a loss and its
//! gradient.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Body, Graph, NodeId, NodeKind, ValueId, Var};
use crate::ops::control::branches;
use crate::ops::effects::is_effectful;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem, registry};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::tensor::Type;

/// Makes one `if` of several with the same condition.
pub struct MergeBranches;

impl Pass for MergeBranches {
    fn name(&self) -> &str {
        "merge_branches"
    }

    fn phase(&self) -> Phase {
        Phase::Specialize
    }

    fn doc(&self) -> &str {
        "if c { x } else { y }, if c { z } else { w } => if c { x, z } else { y, w }"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut seen: FxHashMap<ValueId, NodeId> = FxHashMap::default();
        let mut changed = false;
        for id in nodes_of(graph, "if") {
            let Some((op, attributes)) = graph.node(id).apply() else { continue };
            let condition = graph.node(id).operands[0];
            if is_effectful(&**op, attributes) {
                continue;
            }
            let Some(&first) = seen.get(&condition).filter(|&&first| !depends_on(graph, id, first)) else {
                seen.insert(condition, id);
                continue;
            };
            seen.insert(condition, merge_branches(graph, first, id, firings)?);
            changed = true;
        }
        Ok(changed)
    }
}

pub(super) fn nodes_of(graph: &Graph, op: &str) -> Vec<NodeId> {
    graph.nodes_where(|view| view.op_name() == op)
}

/// Whether a node is computed from the results of another.
fn depends_on(graph: &Graph, node: NodeId, other: NodeId) -> bool {
    let (mut seen, mut pending) = (FxHashSet::default(), vec![node]);
    while let Some(id) = pending.pop() {
        if id == other {
            return true;
        }
        if seen.insert(id) {
            pending.extend(graph.node(id).operands.iter().map(|operand| operand.node));
        }
    }
    false
}

fn merge_branches(graph: &mut Graph, first: NodeId, second: NodeId, firings: &mut Vec<Firing>) -> Result<NodeId> {
    let (a, b) = (graph.node(first), graph.node(second));
    let (Some((op, own)), Some((_, other))) = (a.apply(), b.apply()) else { return Ok(second) };
    let mut attributes = own.clone();
    for ((name, one), two) in ["then", "otherwise"].into_iter().zip(branches(own)?).zip(branches(other)?) {
        // Inputs of their own, as both may be one body.
        let fresh = two.inputs().iter().map(|input| match input.node().kind() {
            NodeKind::Input(name) => Ok(Var::input_at(name, input.ty()?.clone(), input.node().location().clone())),
            _ => Ok(input.clone()),
        });
        let fresh: Vec<Var> = fresh.collect::<Result<_>>()?;
        let outputs: Vec<Var> = one.outputs().iter().cloned().chain(two.inline(&fresh)?).collect();
        let inputs = one.inputs().iter().cloned().chain(fresh).collect();
        attributes.set(name, Attribute::Body(Body::new(inputs, outputs)?.into()));
    }
    let operands: Vec<ValueId> = a.operands.iter().chain(&b.operands[1..]).copied().collect();
    let counts = [a.results.len(), b.results.len()];
    let (op, location) = (op.clone(), b.location.clone());
    let new = graph.apply(op, &operands, attributes, a.location.clone())?;
    for (old, offset, count) in [(first, 0, counts[0]), (second, counts[0], counts[1])] {
        for number in 0..count {
            graph.replace(old.output(number), new.output(number + offset))?;
        }
        graph.remove_dead(old);
    }
    let after = format!("one if with {} results", counts[0] + counts[1]);
    firings.push(Firing::of_pass("merge_branches", location, "two ifs with one condition".to_owned(), after));
    Ok(new)
}

/// Takes a cross entropy from where its gradient is computed, so that its exponentials are computed once.
pub struct MergeLosses;

impl Pass for MergeLosses {
    fn name(&self) -> &str {
        "merge_losses"
    }

    fn phase(&self) -> Phase {
        Phase::Specialize
    }

    fn doc(&self) -> &str {
        "cross_entropy(x, y), cross_entropy_with_gradient(x, y, g) => the second has both"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let both = nodes_of(graph, "cross_entropy_with_gradient");
        let mut changed = false;
        for id in nodes_of(graph, "cross_entropy") {
            let view = graph.node(id);
            let fits = |other: &&NodeId| graph.node(**other).operands[..2] == *view.operands && !depends_on(graph, **other, id);
            let Some(&other) = both.iter().find(fits) else { continue };
            let location = view.location.clone();
            if crate::rewrite::engine::fits(graph, id.output(0), other.output(0)).is_err() {
                continue;
            }
            graph.replace(id.output(0), other.output(0))?;
            graph.remove_dead(id);
            firings.push(Firing::of_pass("merge_losses", location, "a loss and its gradient".to_owned(), "both at once".to_owned()));
            changed = true;
        }
        Ok(changed)
    }
}

/// Solves with one factorization what has one matrix.
pub struct MergeSolves;

/// The solutions with one matrix and equal attributes: the nodes, and how many columns each has.
type Group = (ValueId, Attributes, Vec<(NodeId, usize)>);

impl Pass for MergeSolves {
    fn name(&self) -> &str {
        "merge_solves"
    }

    fn phase(&self) -> Phase {
        Phase::Specialize
    }

    fn doc(&self) -> &str {
        "solve(a, b), solve(a, c) => the columns of one solve(a, [b, c]), which factorizes a once"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut groups: Vec<Group> = Vec::new();
        for id in nodes_of(graph, "solve") {
            let view = graph.node(id);
            let (Some((_, attributes)), &[a, b]) = (view.apply(), view.operands) else { continue };
            let Some(columns) = columns(graph.ty(a), graph.ty(b)) else { continue };
            let group = groups.iter_mut().find(|(matrix, own, members)| {
                *matrix == a && own == attributes && graph.ty(graph.node(members[0].0).operands[1]).dtype == graph.ty(b).dtype
            });
            match group {
                Some((_, _, members)) if members.iter().all(|&(other, _)| !depends_on(graph, id, other)) => members.push((id, columns)),
                Some(_) => {}
                None => groups.push((a, attributes.clone(), vec![(id, columns)])),
            }
        }
        let mut changed = false;
        for (a, attributes, members) in groups.into_iter().filter(|(_, _, members)| members.len() > 1) {
            // A matrix that was a solution of another group is another value now, of which the next round knows.
            if !graph.contains(a.node) {
                continue;
            }
            solve_together(graph, a, attributes, &members, firings)?;
            changed = true;
        }
        Ok(changed)
    }
}

/// How many right sides there are, if that is known, of a matrix and not of a stack.
fn columns(a: &Type, b: &Type) -> Option<usize> {
    match (a.rank(), b.rank()) {
        (2, 1) => Some(1),
        (2, 2) => b.dims[1].known(),
        _ => None,
    }
}

fn solve_together(graph: &mut Graph, a: ValueId, attributes: Attributes, members: &[(NodeId, usize)], firings: &mut Vec<Firing>) -> Result<()> {
    let location = graph.node(members[0].0).location.clone();
    let apply = |graph: &mut Graph, op: &str, operands: &[ValueId], attributes: Attributes| -> Result<ValueId> {
        Ok(graph.apply(registry().get(op)?, operands, attributes, location.clone())?.output(0))
    };
    let mut right = Vec::new();
    for &(id, _) in members {
        let b = graph.node(id).operands[1];
        right.push(match graph.ty(b).rank() {
            1 => apply(graph, "expand_dims", &[b], Attributes::new().with("axis", Attribute::Int(1)))?,
            _ => b,
        });
    }
    let right = apply(graph, "concatenate", &right, Attributes::new().with("axis", 1i64))?;
    let solved = apply(graph, "solve", &[a, right], attributes)?;
    let all = IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 };
    let mut start = 0i64;
    for &(id, count) in members {
        let old = id.output(0);
        let stop = start + count as i64;
        let item = match graph.ty(old).rank() {
            1 => IndexItem::At(start),
            _ => IndexItem::Slice { start: IndexBound::At(start), stop: IndexBound::At(stop), step: 1 },
        };
        let part = apply(graph, "index", &[solved], Attributes::new().with("index", Attribute::Index(vec![all.clone(), item])))?;
        graph.replace(old, part)?;
        graph.remove_dead(id);
        start = stop;
    }
    let before = format!("{} systems of equations with one matrix", members.len());
    firings.push(Firing::of_pass("merge_solves", location.clone(), before, format!("one with {start} right sides")));
    Ok(())
}
