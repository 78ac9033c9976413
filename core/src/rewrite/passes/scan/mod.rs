//! Loops: work that need not be done in every step is done outside, once or for all steps together.
//!
//! Each pass takes a loop apart ([`Loop`]), and states its results anew, from another loop and from values
//! outside. What is equal is equal step for step: the same operations on the same numbers, in another order
//! only where sums over steps become sums over an axis ([`accumulate`](self)), which are at least as exact. Loops
//! with effects are left alone.

mod accumulate;
mod after;
mod batch;
mod factor;
mod first;
mod hoist;
mod last;
mod merge;
mod reverse;
mod same;
mod unroll;

pub use accumulate::AccumulateOutside;
pub use after::AfterLoop;
pub use batch::BatchSequences;
pub use factor::FactorOutside;
pub use first::FirstRows;
pub use hoist::HoistInvariants;
pub use last::LastIsFinal;
pub use merge::MergeParallel;
pub use reverse::ReverseLoop;
pub use same::MergeStates;
pub use unroll::UnrollShort;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::autodiff::vectorized;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Graph, Location, NodeId, NodeKind, ValueId, Var, clone_with, topological_order};
use crate::ops::control::ScanLayout;
use crate::ops::effects::is_effectful;
use crate::ops::{IndexItem, Op};
use crate::rewrite::engine::Firing;
use crate::rewrite::facts::{Fact, certain};
use crate::rewrite::shapes::same_length;
use crate::tensor::{Dim, Type};

/// A value's node and number.
type Key = (u64, u32);

/// A loop taken apart. An input of the body stands beside what it stands for.
#[derive(Clone)]
struct Loop {
    counted: Option<Var>,
    /// Rows, and the sequences.
    rows: Vec<(Var, Var)>,
    states: Vec<State>,
    captured: Vec<(Var, Var)>,
    /// What is yielded, and how many of the last rows are kept; 0 for all.
    yields: Vec<(Var, usize)>,
    until: Option<Var>,
    truncate: Option<usize>,
    reverse: bool,
    /// Whether all sequences certainly have equally many rows.
    even: bool,
    /// Which results something reads: first the final states, then the yields.
    read: Vec<bool>,
    /// The nodes of inputs that stand for what is known to be a positive definite matrix outside.
    definite: FxHashSet<u64>,
}

#[derive(Clone)]
struct State {
    input: Var,
    init: Var,
    next: Var,
}

/// What a value in a step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depends {
    /// On nothing that changes from step to step.
    Nothing,
    /// On rows of sequences.
    Rows,
    /// On states.
    States,
}

impl Loop {
    fn of(layout: &ScanLayout, operands: &[Var], even: bool, read: Vec<bool>) -> Result<Loop> {
        let (counted, rest) = operands.split_at(usize::from(layout.counted));
        let (inputs, outputs) = (layout.body.inputs(), layout.body.outputs());
        if rest.len() != inputs.len() {
            return Err(Error::new(ErrorKind::Internal, "a scan has other operands than its body inputs"));
        }
        let pairs: Vec<(Var, Var)> = inputs.iter().cloned().zip(rest.iter().cloned()).collect();
        let (rows, pairs) = pairs.split_at(layout.sequences);
        let (states, captured) = pairs.split_at(layout.states);
        let states = states.iter().zip(outputs).map(|((input, init), next)| State { input: input.clone(), init: init.clone(), next: next.clone() });
        let (yields, until) = outputs[layout.states..].split_at(layout.yields());
        Ok(Loop {
            counted: counted.first().cloned(), rows: rows.to_vec(), states: states.collect(), captured: captured.to_vec(),
            yields: yields.iter().cloned().zip(layout.keep.iter().copied()).collect(), until: until.first().cloned(),
            truncate: layout.truncate, reverse: layout.reverse, even, read, definite: FxHashSet::default(),
        })
    }

    fn outputs(&self) -> Vec<Var> {
        let next = self.states.iter().map(|state| state.next.clone());
        next.chain(self.yields.iter().map(|(value, _)| value.clone())).chain(self.until.clone()).collect()
    }

    /// The loop with some values in a step replaced by others.
    fn substitute(&mut self, replaced: &[(Var, Var)]) -> Result<()> {
        let mut outputs = clone_with(&self.outputs(), replaced)?.into_iter();
        let next = self.states.iter_mut().map(|state| &mut state.next);
        for (slot, value) in next.chain(self.yields.iter_mut().map(|(value, _)| value)).chain(self.until.as_mut()).zip(outputs.by_ref()) {
            *slot = value;
        }
        Ok(())
    }

    /// The final states and the yields; nothing if there are neither.
    fn results(&self) -> Result<(Vec<Var>, Vec<Var>)> {
        if self.states.is_empty() && self.yields.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let states: Vec<(Var, Var)> = self.states.iter().map(|state| (state.input.clone(), state.init.clone())).collect();
        let (inputs, values): (Vec<Var>, Vec<Var>) = self.rows.iter().chain(&states).chain(&self.captured).cloned().unzip();
        let layout = ScanLayout {
            body: Body::new(inputs, self.outputs())?.into(), counted: self.counted.is_some(), sequences: self.rows.len(),
            states: states.len(), until: self.until.is_some(), keep: self.yields.iter().map(|(_, keep)| *keep).collect(),
            truncate: self.truncate, reverse: self.reverse,
        };
        let operands: Vec<Var> = self.counted.iter().cloned().chain(values).collect();
        let first = Var::apply_at("scan", &operands, layout.attributes(), Location::caller());
        first.ty()?;
        let mut results = first.siblings();
        let yields = results.split_off(states.len());
        Ok((results, yields))
    }

    /// The inputs that stand for values outside, and these.
    fn outside(&self, values: &[Var]) -> Result<Vec<Var>> {
        clone_with(values, &self.captured)
    }

    /// Values that depend on rows and on nothing else in the loop, for all rows.
    fn batched(&self, values: &[Var]) -> Result<Vec<Var>> {
        vectorized(&self.outside(values)?, &self.rows)
    }

    /// How many steps there are, where it is known.
    fn known_steps(&self) -> Option<usize> {
        if self.until.is_some() {
            return None;
        }
        let counted = self.counted.as_ref().and_then(|steps| match steps.node().kind() {
            NodeKind::Constant(constant) => constant.value.to_i64_vec().first().copied(),
            _ => None,
        });
        let rows = || self.rows.iter().find_map(|(_, sequence)| sequence.ty().ok()?.dims.first()?.known());
        counted.and_then(|steps| usize::try_from(steps).ok()).or_else(rows)
    }

    /// Whether all sequences certainly have equally many rows, and as many as steps are counted: then the loop need
    /// not be there to find out.
    fn lengths_agree(&self) -> bool {
        !self.rows.is_empty() && self.counted.is_none() && self.even
    }

    /// What each node of a step depends on.
    fn depends(&self) -> FxHashMap<u64, Depends> {
        let mut known: FxHashMap<u64, Depends> = FxHashMap::default();
        for (input, _) in &self.rows {
            known.insert(input.node().id(), Depends::Rows);
        }
        for state in &self.states {
            known.insert(state.input.node().id(), Depends::States);
        }
        for var in topological_order(&self.outputs()) {
            let of = |var: &Var| known.get(&var.node().id()).copied().unwrap_or(Depends::Nothing);
            let found = var.node().operands().iter().map(of).max().unwrap_or(Depends::Nothing);
            known.entry(var.node().id()).or_insert(found);
        }
        known
    }

    /// Whether an application may run although no step does, or before another one that fails.
    fn may_move(&self, var: &Var) -> bool {
        let NodeKind::Apply(op, _) = var.node().kind() else { return false };
        if op.is_symbolic() || op.is_identity() || op.name() == "recompute" {
            return false;
        }
        !op.can_fail() || self.known_steps().is_some_and(|steps| steps > 0) || cannot_fail(var)
    }
}

/// Whether an application of an op that can fail certainly does not: a product of matrices that fit, a slice.
fn cannot_fail(var: &Var) -> bool {
    let NodeKind::Apply(op, attributes) = var.node().kind() else { return false };
    match (op.name(), var.node().operands()) {
        ("matmul", [x, y]) => {
            let (Ok(x), Ok(y)) = (x.ty(), y.ty()) else { return false };
            x.rank() <= 2 && y.rank() <= 2 && y.rank() > 0 && x.dims.last().is_some_and(|dim| dim.same(&y.dims[y.rank().saturating_sub(2)]))
        }
        ("index", [_]) => attributes.index("index").is_ok_and(|items| {
            items.iter().all(|item| matches!(item, IndexItem::Slice { .. } | IndexItem::Ellipsis | IndexItem::NewAxis))
        }),
        _ => false,
    }
}

/// The elements of a value, where they are known.
fn elements(ty: &Type) -> Option<usize> {
    ty.known_shape()?.iter().try_fold(1usize, |n, &length| n.checked_mul(length))
}

fn op_of(var: &Var) -> Option<&dyn Op> {
    match var.node().kind() {
        NodeKind::Apply(op, _) => Some(&**op),
        _ => None,
    }
}

fn name_of(var: &Var) -> &str {
    op_of(var).map_or("", Op::name)
}

/// Whether an op computes much from little: more than it reads and writes.
fn is_heavy(var: &Var) -> bool {
    name_of(var) == "matmul" || name_of(var).starts_with("conv") || name_of(var) == "einsum"
}

/// How often each value is used in a step: by ops, and as an output.
fn uses(outputs: &[Var]) -> FxHashMap<Key, usize> {
    let mut uses: FxHashMap<Key, usize> = FxHashMap::default();
    let order = topological_order(outputs);
    for used in order.iter().flat_map(|var| var.node().operands()).chain(outputs) {
        *uses.entry(used.key()).or_default() += 1;
    }
    uses
}

/// Which nodes of a step have a rule for many rows at once; of the candidates, in topological order, those all of
/// whose operands that change from row to row do.
struct Batchable {
    nodes: FxHashSet<u64>,
}

impl Batchable {
    /// `varies` says whether a value changes from step to step; `is_leaf` whether it is given.
    fn new(order: &[Var], looped: &Loop, varies: &dyn Fn(&Var) -> bool, candidate: &dyn Fn(&Var) -> bool) -> Batchable {
        let mut nodes = FxHashSet::default();
        for var in order {
            if candidate(var) && looped.may_move(var) && has_rule(var, varies) {
                nodes.insert(var.node().id());
            }
        }
        Batchable { nodes }
    }

    fn contains(&self, var: &Var) -> bool {
        self.nodes.contains(&var.node().id())
    }
}

/// Whether a node is computed for many rows by other means than a loop over them.
fn has_rule(var: &Var, varies: &dyn Fn(&Var) -> bool) -> bool {
    let NodeKind::Apply(op, attributes) = var.node().kind() else { return false };
    if attributes.bodies().next().is_some() {
        return false;
    }
    if op.is_elementwise() {
        return true;
    }
    // By itself: what its operands are computed from is not looked at.
    let (mut operands, mut replaced): (Vec<Var>, Vec<(Var, Var)>) = Default::default();
    for operand in var.node().operands() {
        if !varies(operand) {
            let Ok(known) = operand.inferred() else { return false };
            let constant = matches!(operand.node().kind(), NodeKind::Constant(_));
            operands.push(if constant { operand.clone() } else { Var::input_known("same", known.clone(), Location::unknown()) });
            continue;
        }
        let Ok(ty) = operand.ty() else { return false };
        let dims = std::iter::once(Dim::Unknown).chain(ty.dims.iter().cloned());
        let rows = Type::new(ty.dtype, dims.collect::<Vec<_>>());
        let row = Var::input_at("row", ty.clone(), Location::unknown());
        replaced.push((row.clone(), Var::input_at("rows", rows, Location::unknown())));
        operands.push(row);
    }
    let alone = Var::apply_op(op.clone(), &operands, attributes.clone(), Location::unknown());
    let since = Var::next_id();
    let Ok(found) = vectorized(&alone.siblings(), &replaced) else { return false };
    found.iter().all(|value| value.ty().is_ok())
        && topological_order(&found).iter().all(|new| new.node().id() < since || name_of(new) != "scan")
}

/// The type of one row of a sequence.
fn row_type(sequence: &Var) -> Result<Type> {
    let ty = sequence.ty()?;
    Ok(Type::new(ty.dtype, ty.dims[1..].to_vec()).with_weak(ty.weak))
}

/// What stands for the results of a loop, first the final states and then the yields, and what was done, in a few words.
type Replaced = (Vec<Var>, String);

/// Runs a rewrite that looks at the rows of all steps at once on each loop without effects whose sequences certainly
/// have equally many: rows of different lengths must stay the error that they are, and not be spread over each other.
fn each_even_loop(
    graph: &mut Graph, pass: &str, firings: &mut Vec<Firing>, rewrite: &dyn Fn(&Loop) -> Result<Option<Replaced>>,
) -> Result<bool> {
    each_loop(graph, pass, firings, &|looped| if looped.even { rewrite(looped) } else { Ok(None) })
}

/// Whether all sequences of a loop certainly have equally many rows.
fn is_even(graph: &Graph, layout: &ScanLayout, operands: &[ValueId]) -> bool {
    let sequences = operands.iter().skip(usize::from(layout.counted)).take(layout.sequences);
    let mut lengths = sequences.map(|&sequence| (sequence, 0));
    lengths.next().is_none_or(|first| lengths.all(|length| same_length(graph, first, length)))
}

/// The loops of a graph.
fn scans(graph: &Graph) -> Vec<NodeId> {
    graph.nodes_where(|view| view.op_name() == "scan")
}

/// Runs on each loop, of those that are there still, what rewrites it and its readers, and says whether it did.
fn each_scan(
    graph: &mut Graph, firings: &mut Vec<Firing>, rewrite: fn(&mut Graph, NodeId, &mut Vec<Firing>) -> Result<bool>,
) -> Result<bool> {
    let mut changed = false;
    for id in scans(graph) {
        if graph.contains(id) {
            changed |= rewrite(graph, id, firings)?;
        }
    }
    Ok(changed)
}

/// Runs a rewrite on each loop without effects.
fn each_loop(
    graph: &mut Graph, pass: &str, firings: &mut Vec<Firing>, rewrite: &dyn Fn(&Loop) -> Result<Option<Replaced>>,
) -> Result<bool> {
    let mut changed = false;
    for id in scans(graph) {
        let view = graph.node(id);
        let Some((op, attributes)) = view.apply() else { continue };
        if is_effectful(&**op, attributes) {
            continue;
        }
        let location = view.location.clone();
        let (vars, values) = stand_ins(graph, view.operands);
        let read = (0..view.results.len()).map(|output| {
            let value = id.output(output);
            graph.outputs().contains(&value) || graph.users(id).iter().any(|&user| graph.node(user).operands.contains(&value))
        });
        let layout = ScanLayout::of(attributes)?;
        let mut looped = Loop::of(&layout, &vars, is_even(graph, &layout, view.operands), read.collect())?;
        let captured = view.operands.iter().skip(usize::from(layout.counted) + layout.sequences + layout.states);
        let definite = captured.zip(&looped.captured).filter(|&(&value, _)| certain(graph, value, Fact::PositiveDefinite));
        looped.definite = definite.map(|(_, (input, _))| input.node().id()).collect();
        // What cannot be stated outside stays inside.
        let Ok(Some((results, done))) = location.stand_in(|| rewrite(&looped)) else { continue };
        let before = format!("a step of {} nodes", nodes(&looped.outputs()));
        let last = graph.ids().last();
        let Ok(new) = graft(graph, &results, values) else {
            let added: Vec<NodeId> = graph.ids().filter(|&id| Some(id) > last).collect();
            added.into_iter().rev().for_each(|id| drop(graph.remove_dead(id)));
            continue;
        };
        let alike = new.iter().enumerate().all(|(output, &value)| {
            let (old, new) = (graph.ty(id.output(output)), graph.ty(value));
            old.dtype == new.dtype && old.rank() == new.rank() && old.dims.iter().zip(&new.dims).all(|(a, b)| a.compatible(b))
        });
        if !alike {
            new.iter().for_each(|value| drop(graph.remove_dead(value.node)));
            continue;
        }
        for (output, &value) in new.iter().enumerate() {
            graph.replace(id.output(output), value)?;
        }
        graph.remove_dead(id);
        firings.push(Firing::of_pass(pass, location, before, done));
        changed = true;
    }
    Ok(changed)
}

/// How many ops a step applies.
fn nodes(outputs: &[Var]) -> usize {
    topological_order(outputs).iter().filter(|var| op_of(var).is_some()).count()
}

/// Values that stand for those of a graph.
fn stand_ins(graph: &Graph, operands: &[ValueId]) -> (Vec<Var>, FxHashMap<Key, ValueId>) {
    let mut vars: FxHashMap<ValueId, Var> = FxHashMap::default();
    let mut values = FxHashMap::default();
    let mut all = Vec::new();
    let plain = |value: ValueId| {
        let of = graph.node(value.node);
        match of.kind {
            NodeKind::Constant(constant) => Var::constant_at(constant.clone(), of.location.clone()),
            _ => Var::input_known("c", of.results[value.output as usize].clone(), of.location.clone()),
        }
    };
    for &operand in operands {
        let of = graph.node(operand.node);
        let var = vars.entry(operand).or_insert_with(|| match of.kind {
            // Whether a sequence is reversed or grouped, and a sum begins with zeros, is to be seen.
            NodeKind::Apply(op, attributes) if matches!(op.name(), "flip" | "reshape" | "zeros" | "zeros_like" | "broadcast_to") => {
                let below: Vec<Var> = of.operands.iter().map(|&value| plain(value)).collect();
                values.extend(below.iter().map(Var::key).zip(of.operands.iter().copied()));
                Var::apply_op(op.clone(), &below, attributes.clone(), of.location.clone())
            }
            _ => plain(operand),
        });
        values.insert(var.key(), operand);
        all.push(var.clone());
    }
    (all, values)
}

/// Adds values to a graph; `known` says which are there already.
fn graft(graph: &mut Graph, wanted: &[Var], mut known: FxHashMap<Key, ValueId>) -> Result<Vec<ValueId>> {
    let missing = || Error::new(ErrorKind::Internal, "a value outside of a loop is missing");
    for var in topological_order(wanted) {
        if known.contains_key(&var.key()) {
            continue;
        }
        let node = var.node();
        match node.kind() {
            NodeKind::Constant(constant) => {
                known.insert(var.key(), graph.add_constant(constant.clone(), node.location().clone()));
            }
            NodeKind::Apply(op, attributes) => {
                let operands = node.operands().iter().map(|operand| known.get(&operand.key()).copied().ok_or_else(missing));
                let operands = operands.collect::<Result<Vec<ValueId>>>()?;
                let id = graph.apply(op.clone(), &operands, attributes.clone(), node.location().clone())?;
                for sibling in var.siblings() {
                    known.insert(sibling.key(), id.output(sibling.output()));
                }
            }
            NodeKind::Input(_) | NodeKind::State(_) => return Err(missing()),
        }
    }
    wanted.iter().map(|var| known.get(&var.key()).copied().ok_or_else(missing)).collect()
}

