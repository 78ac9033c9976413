//! Which results are written over which operands, and which operands are read for the last time.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, NodeKind, StatementNote, ValueId};
use crate::rewrite::shapes::{same_length, same_shape};

/// What a plan is made from.
pub struct Statements<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Its applications in the order in which they run: the statements of the program.
    pub order: &'a [NodeId],
    /// The pairs (operand, result) that the device may overwrite in a node.
    pub allowed: &'a dyn Fn(NodeId) -> Vec<(usize, usize)>,
    /// Whether an input or state may be overwritten: donated arguments, and states that get a new value.
    pub donated: &'a dyn Fn(NodeId) -> bool,
    /// The pairs (operand, result) such that the result may share the operand's memory; see
    /// [`usual_views`].
    pub views: &'a dyn Fn(NodeId) -> Vec<(usize, usize)>,
}

/// The views that backends may make: ops that only look at memory in another way.
pub fn usual_views(graph: &Graph, id: NodeId) -> Vec<(usize, usize)> {
    match graph.node(id).op_name() {
        "reshape" | "transpose" | "broadcast_to" | "expand_dims" | "squeeze" | "index" | "flip"
        | "stop_gradient" | "grad_barrier" | "clip_gradient" | "assert" | "print" | "after" | "cast" => vec![(0, 0)],
        _ => Vec::new(),
    }
}

/// Whether a node can fail in a call. A product of matrices of which the inner lengths are certainly equal, and so are
/// those of stacks, cannot: else a product for the gradient of one layer would keep the weights of the layers before it from being
/// updated where they are.
pub fn may_fail(graph: &Graph, id: NodeId) -> bool {
    let view = graph.node(id);
    let Some((op, _)) = view.apply() else { return false };
    let fits = || {
        let ("matmul", [x, y]) = (op.name(), view.operands) else { return false };
        let (m, n) = (graph.ty(*x).rank(), graph.ty(*y).rank());
        let stacks = || m.min(n) <= 2 || (m == n && (0..m - 2).all(|axis| same_length(graph, (*x, axis), (*y, axis))));
        m > 0 && n > 0 && same_length(graph, (*x, m - 1), (*y, n.saturating_sub(2))) && stacks()
    };
    op.can_fail() && !fits()
}

impl Statements<'_> {
    /// Up to which statement, exclusive, what the caller gave is not overwritten: a failed call must leave it as it
    /// was. The last one that can fail may overwrite it if it fails before that.
    fn safe_from(&self) -> usize {
        let apply = |at: usize| self.graph.node(self.order[at]).apply();
        let last = (0..self.order.len()).rev().find(|&at| may_fail(self.graph, self.order[at]));
        last.map_or(0, |at| if apply(at).is_some_and(|(op, _)| op.fails_before_writing()) { at } else { at + 1 })
    }

    /// Notes for every statement: overwrites wherever the device may, an operand dies, and nothing else
    /// sees its memory.
    pub fn plan(&self) -> Vec<StatementNote> {
        let graph = self.graph;
        let classes = self.classes();
        let class = |value: ValueId| classes.get(&value).copied().unwrap_or(value);
        let mut last_read: FxHashMap<ValueId, usize> = FxHashMap::default();
        let mut class_last_read: FxHashMap<ValueId, usize> = FxHashMap::default();
        for (at, &id) in self.order.iter().enumerate() {
            for &operand in graph.node(id).operands {
                last_read.insert(operand, at);
                class_last_read.insert(class(operand), at);
            }
        }
        let outputs: FxHashSet<ValueId> = graph.outputs().iter().copied().collect();
        let kept: FxHashSet<ValueId> = outputs.iter().map(|&value| class(value)).collect();
        let leaves = self.leaves(&classes);
        let safe = self.safe_from();
        let mut given_over: FxHashSet<ValueId> = FxHashSet::default();
        let mut notes = Vec::with_capacity(self.order.len());
        for (at, &id) in self.order.iter().enumerate() {
            let view = graph.node(id);
            let mut note = StatementNote::default();
            for (operand, result) in (self.allowed)(id) {
                let (Some(&value), true) = (view.operands.get(operand), result < view.results.len()) else { continue };
                let target = id.output(result);
                let owner = class(value);
                let taken = note.overwrites.iter().any(|&(o, r)| {
                    r as usize == result || o as usize == operand || view.operands[o as usize] == value
                });
                let leaf_free = leaves.get(&owner).is_none_or(|&free| free && at >= safe);
                let elementwise = view.apply().is_some_and(|(op, _)| op.is_elementwise());
                let seen_twice = view.operands.iter().enumerate().any(|(other, &o)| {
                    other != operand && class(o) == owner && !(o == value && elementwise)
                });
                // A result that is a view of the operand shares its memory anyway.
                let fits = graph.ty(value).dtype == graph.ty(target).dtype && same_shape(graph, value, target);
                let dies = class_last_read.get(&owner) == Some(&at) && !kept.contains(&owner);
                if !taken && leaf_free && !seen_twice && fits && dies && class(target) != owner
                    && given_over.insert(owner)
                {
                    note.overwrites.push((operand as u32, result as u32));
                }
            }
            for (number, operand) in view.operands.iter().enumerate() {
                if last_read.get(operand) == Some(&at) && !outputs.contains(operand) {
                    note.last_uses.push(number as u32);
                }
            }
            notes.push(note);
        }
        notes
    }

    /// For each value that may share memory with an older one: the oldest.
    fn classes(&self) -> FxHashMap<ValueId, ValueId> {
        let mut classes: FxHashMap<ValueId, ValueId> = FxHashMap::default();
        for &id in self.order {
            let view = self.graph.node(id);
            for (operand, result) in (self.views)(id) {
                if let Some(&value) = view.operands.get(operand) {
                    let owner = classes.get(&value).copied().unwrap_or(value);
                    classes.insert(id.output(result), owner);
                }
            }
        }
        classes
    }

    /// The memory that is not the program's own: whether it may be overwritten at all.
    fn leaves(&self, classes: &FxHashMap<ValueId, ValueId>) -> FxHashMap<ValueId, bool> {
        let mut leaves = FxHashMap::default();
        let operands = self.order.iter().flat_map(|&id| self.graph.node(id).operands);
        for &value in operands {
            let owner = classes.get(&value).copied().unwrap_or(value);
            match self.graph.node(owner.node).kind {
                NodeKind::Constant(_) => drop(leaves.insert(owner, false)),
                NodeKind::Input(_) | NodeKind::State(_) => drop(leaves.insert(owner, (self.donated)(owner.node))),
                NodeKind::Apply(..) => {}
            }
        }
        leaves
    }

    /// Checks a plan by following every buffer through the program, on its own account.
    ///
    /// # Errors
    /// The first statement that would read or return what was overwritten, or overwrite what it may not.
    pub fn verify(&self, notes: &[StatementNote]) -> Result<()> {
        let fail = |at: usize, message: &str| {
            Err(Error::new(ErrorKind::Internal, format!("statement {at}: {message}")).in_node(at))
        };
        if notes.len() != self.order.len() {
            return fail(0, "there is not one note for each statement");
        }
        let safe = self.safe_from();
        // A value is (buffer, the buffer's version when the value was written).
        let mut places: FxHashMap<ValueId, (usize, u32)> = FxHashMap::default();
        let mut versions: Vec<u32> = Vec::new();
        let mut foreign: Vec<Option<bool>> = Vec::new();
        let place_of = |places: &mut FxHashMap<ValueId, (usize, u32)>, versions: &mut Vec<u32>, foreign: &mut Vec<Option<bool>>, value: ValueId| {
            *places.entry(value).or_insert_with(|| {
                versions.push(0);
                foreign.push(match self.graph.node(value.node).kind {
                    NodeKind::Apply(..) => None,
                    NodeKind::Constant(_) => Some(false),
                    NodeKind::Input(_) | NodeKind::State(_) => Some((self.donated)(value.node)),
                });
                (versions.len() - 1, 0)
            })
        };
        for (at, (&id, note)) in self.order.iter().zip(notes).enumerate() {
            let view = self.graph.node(id);
            let mut buffers = Vec::new();
            for &operand in view.operands {
                let (buffer, version) = place_of(&mut places, &mut versions, &mut foreign, operand);
                if versions[buffer] != version {
                    return fail(at, "it reads what an earlier one overwrote");
                }
                buffers.push(buffer);
            }
            let shared = (self.views)(id);
            let allowed = (self.allowed)(id);
            for result in 0..view.results.len() {
                let target = id.output(result);
                let over = note.overwrites.iter().find(|&&(_, r)| r as usize == result);
                let seen = shared.iter().find(|&&(_, r)| r == result);
                match (over, seen) {
                    (Some(&(operand, _)), _) => {
                        let operand = operand as usize;
                        let Some(&value) = view.operands.get(operand) else { return fail(at, "no such operand") };
                        if !allowed.contains(&(operand, result)) {
                            return fail(at, "the device does not allow this overwrite");
                        }
                        if self.graph.ty(value).dtype != self.graph.ty(target).dtype || !same_shape(self.graph, value, target) {
                            return fail(at, "operand and result differ in type");
                        }
                        let buffer = buffers[operand];
                        match foreign[buffer] {
                            Some(false) => return fail(at, "it overwrites what is not the program's"),
                            Some(true) if at < safe => {
                                return fail(at, "it overwrites an argument before the last that can fail");
                            }
                            _ => {}
                        }
                        let elementwise = view.apply().is_some_and(|(op, _)| op.is_elementwise());
                        let other = view.operands.iter().enumerate().any(|(number, &o)| {
                            number != operand && buffers[number] == buffer && !(o == value && elementwise)
                        });
                        if other {
                            return fail(at, "another operand shares the memory");
                        }
                        versions[buffer] += 1;
                        places.insert(target, (buffer, versions[buffer]));
                    }
                    (None, Some(&(operand, _))) => {
                        if let Some(place) = view.operands.get(operand).and_then(|value| places.get(value)).copied() {
                            places.insert(target, place);
                        }
                    }
                    (None, None) => drop(place_of(&mut places, &mut versions, &mut foreign, target)),
                }
            }
        }
        for &output in self.graph.outputs() {
            let (buffer, version) = place_of(&mut places, &mut versions, &mut foreign, output);
            if versions[buffer] != version {
                return fail(self.order.len(), "an output was overwritten");
            }
        }
        Ok(())
    }
}
