//! Whether two values of a graph have the same shape in every call.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::graph::{Graph, NodeId, NodeView, ValueId};
use crate::ops::{Attributes, IndexBound, IndexItem};
use crate::tensor::Dim;

/// How many nodes a question may look at.
const BUDGET: usize = 64;

/// The lengths that are broadcast to give that of an axis; of none it is 1.
type Atoms = BTreeSet<Atom>;

/// A length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Atom {
    Known(usize),
    Named(String),
    Opaque(NodeId, u32, usize),
    /// Of a join: so many of each length, and a number.
    Sum(BTreeMap<Atoms, usize>, usize),
    /// Of `x[:-k]` or `x[k:]`: `k` less than that of x, and at least 0.
    Less(Atoms, usize),
    /// Of `x[:k]`: that of x, and at most `k`.
    AtMost(Atoms, usize),
}

/// Whether both values have certainly the same shape in every call.
pub fn same_shape(graph: &Graph, left: ValueId, right: ValueId) -> bool {
    let rank = graph.ty(left).rank();
    left == right || rank == graph.ty(right).rank() && (0..rank).all(|axis| same_length(graph, (left, axis), (right, axis)))
}

/// Whether an axis of a value is certainly as long, in every call, as one of another.
pub fn same_length(graph: &Graph, left: (ValueId, usize), right: (ValueId, usize)) -> bool {
    let dim = |(value, axis): (ValueId, usize)| &graph.ty(value).dims[axis];
    left == right || dim(left).same(dim(right)) || {
        let mut walk = Walk { graph, budget: BUDGET, counts: true, known: FxHashMap::default() };
        let left = walk.atoms(left.0, left.1);
        left == walk.atoms(right.0, right.1)
    }
}

/// Where the length of an axis comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Length {
    /// It is known.
    Known(usize),
    /// Of this axis of another value.
    Of(ValueId, usize),
}

/// Where the length of an axis of a value comes from, as far up as it can be followed; `None` where it is that of
/// one of several.
pub fn origin(graph: &Graph, value: ValueId, axis: usize) -> Option<Length> {
    let mut atoms = Walk { graph, budget: BUDGET, counts: false, known: FxHashMap::default() }.atoms(value, axis).into_iter();
    match (atoms.next(), atoms.next()) {
        (None, _) => Some(Length::Known(1)),
        (Some(Atom::Known(length)), None) => Some(Length::Known(length)),
        (Some(Atom::Opaque(node, output, axis)), None) => Some(Length::Of(node.output(output as usize), axis)),
        (Some(Atom::Named(name)), None) => graph.inputs().iter().find_map(|input| {
            let is = |dim: &Dim| matches!(dim, Dim::Named(own) if **own == *name);
            let axis = graph.ty(input.output(0)).dims.iter().position(is)?;
            Some(Length::Of(input.output(0), axis))
        }),
        _ => None,
    }
}

const REDUCTIONS: &[&str] =
    &["sum", "prod", "mean", "max", "min", "all", "any", "logsumexp", "vector_norm", "var", "std", "argmax", "argmin"];
const SHAPE_KEEPING: &[&str] = &["softmax", "log_softmax", "flip", "cumsum", "cumprod", "zeros_like", "ones_like"];

struct Walk<'g> {
    graph: &'g Graph,
    budget: usize,
    /// Whether joins and slices are looked into.
    counts: bool,
    /// What was found out already, by node, output and axis: an expression may read a value many times.
    known: FxHashMap<(NodeId, u32, usize), Atoms>,
}

impl Walk<'_> {
    /// Recursion is as deep as the budget.
    fn atoms(&mut self, value: ValueId, axis: usize) -> Atoms {
        let key = (value.node, value.output, axis);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let atoms = self.follow(value, axis);
        self.known.insert(key, atoms.clone());
        atoms
    }

    fn follow(&mut self, value: ValueId, axis: usize) -> Atoms {
        let graph = self.graph;
        let view = graph.node(value.node);
        let opaque = || BTreeSet::from([Atom::Opaque(value.node, value.output, axis)]);
        match &view.results[value.output as usize].ty.dims[axis] {
            Dim::Known(1) => return BTreeSet::new(),
            Dim::Known(length) => return BTreeSet::from([Atom::Known(*length)]),
            Dim::Named(name) => return BTreeSet::from([Atom::Named(name.to_string())]),
            Dim::Unknown if self.budget == 0 => return opaque(),
            Dim::Unknown => self.budget -= 1,
        }
        let Some((op, attributes)) = view.apply() else { return opaque() };
        let rank = view.results[value.output as usize].ty.rank();
        if op.is_elementwise() {
            let mut all = BTreeSet::new();
            for &operand in view.operands {
                if let Some(at) = (axis + graph.ty(operand).rank()).checked_sub(rank) {
                    all.extend(self.atoms(operand, at));
                }
            }
            return all;
        }
        let sizes = match op.name() {
            "reshape" | "broadcast_to" | "sum_to" => view.operands.get(1),
            "zeros" | "ones" | "full" => view.operands.first(),
            _ => None,
        };
        if let Some(&sizes) = sizes
            && graph.node(sizes.node).op_name() == "shape"
            && let Some(&like) = graph.node(sizes.node).operands.first()
            && graph.ty(like).rank() == rank
        {
            return self.atoms(like, axis);
        }
        if let Some(&sizes) = sizes
            && let Some(atoms) = self.size(sizes, axis)
        {
            return atoms;
        }
        let Some(&operand) = view.operands.first() else { return opaque() };
        let operand_rank = graph.ty(operand).rank();
        if SHAPE_KEEPING.contains(&op.name()) && operand_rank == rank {
            return self.atoms(operand, axis);
        }
        if REDUCTIONS.contains(&op.name())
            && let Ok(axes) = attributes.axes("axis", operand_rank)
        {
            let at = match attributes.bool("keepdims") {
                Ok(true) => Some(axis),
                _ => (0..operand_rank).filter(|axis| !axes.contains(axis)).nth(axis),
            };
            if let Some(at) = at {
                return if axes.contains(&at) { BTreeSet::new() } else { self.atoms(operand, at) };
            }
        }
        if op.name() == "expand_dims"
            && let Ok(new) = attributes.axes("axis", rank)
        {
            // A new axis has a known length.
            return self.atoms(operand, axis - new.iter().filter(|&&new| new < axis).count());
        }
        match op.name() {
            "concatenate" if self.counts => match attributes.axis("axis", rank) {
                Ok(along) if along == axis => return sum(view.operands.iter().map(|&part| self.atoms(part, axis)).collect()),
                Ok(_) => return self.atoms(operand, axis),
                Err(_) => {}
            },
            "index" if self.counts => return self.sliced(&view, attributes, axis).unwrap_or_else(opaque),
            _ => {}
        }
        if op.name() == "transpose" {
            let axes = match attributes.ints("axes") {
                Ok(Some(axes)) => axes.get(axis).and_then(|&a| crate::ops::normalize_axis(a, operand_rank).ok()),
                _ => operand_rank.checked_sub(axis + 1),
            };
            if let Some(at) = axes {
                return self.atoms(operand, at);
            }
        }
        opaque()
    }

    /// Of sizes that are put together, one that is a length of some value.
    fn size(&mut self, sizes: ValueId, axis: usize) -> Option<Atoms> {
        let graph = self.graph;
        let made_by = |value: ValueId, op: &str| Some(graph.node(value.node)).filter(|view| view.op_name() == op);
        let part = *made_by(sizes, "stack")?.operands.get(axis)?;
        let read = made_by(part, "index")?;
        let [shape] = read.operands else { return None };
        let [IndexItem::At(at)] = read.apply()?.1.index("index").ok()? else { return None };
        let like = *made_by(*shape, "shape")?.operands.first()?;
        let at = usize::try_from(*at).ok().filter(|&at| at < graph.ty(like).rank())?;
        Some(self.atoms(like, at))
    }

    /// Of an index by slices with steps of 1 or -1, by positions and by new axes.
    fn sliced(&mut self, view: &NodeView<'_>, attributes: &Attributes, axis: usize) -> Option<Atoms> {
        let [operand] = view.operands else { return None };
        let items = attributes.index("index").ok()?;
        let rank = self.graph.ty(*operand).rank();
        let taken = items.iter().filter(|item| !matches!(item, IndexItem::Ellipsis | IndexItem::NewAxis)).count();
        // The axis of the operand that comes next, and that of the result.
        let (mut from, mut to) = (0, 0);
        for item in items {
            match item {
                IndexItem::Operand(_) => return None,
                IndexItem::At(_) => from += 1,
                IndexItem::NewAxis if to == axis => return Some(Atoms::new()),
                IndexItem::NewAxis => to += 1,
                IndexItem::Ellipsis => {
                    let all = rank.checked_sub(taken)?;
                    if (to..to + all).contains(&axis) {
                        return Some(self.atoms(*operand, from + axis - to));
                    }
                    (from, to) = (from + all, to + all);
                }
                IndexItem::Slice { start, stop, step } if to == axis => {
                    let atoms = self.atoms(*operand, from);
                    let bound = |bound: &IndexBound| match bound {
                        IndexBound::Open => Some(None),
                        IndexBound::At(at) => Some(Some(*at)),
                        IndexBound::Operand(_) => None,
                    };
                    return match (bound(start)?, bound(stop)?, step) {
                        (None, None, 1 | -1) => Some(atoms),
                        (start, None, 1) => less(atoms, usize::try_from(start?).ok()?),
                        (start, Some(stop), 1) if stop < 0 => less(atoms, usize::try_from(start.unwrap_or(0)).ok()?.checked_add(stop.unsigned_abs() as usize)?),
                        (None | Some(0), Some(stop), 1) => Some(Atoms::from([Atom::AtMost(atoms, usize::try_from(stop).ok()?)])),
                        _ => None,
                    };
                }
                IndexItem::Slice { .. } => (from, to) = (from + 1, to + 1),
            }
        }
        Some(self.atoms(*operand, from + axis - to))
    }
}

/// A length as a sum.
fn as_sum(atoms: Atoms) -> (BTreeMap<Atoms, usize>, usize) {
    let mut only = atoms.iter();
    match (only.next(), only.next()) {
        (None, _) => (BTreeMap::new(), 1),
        (Some(Atom::Known(length)), None) => (BTreeMap::new(), *length),
        (Some(Atom::Sum(terms, number)), None) => (terms.clone(), *number),
        _ => (BTreeMap::from([(atoms, 1)]), 0),
    }
}

fn of_sum(terms: BTreeMap<Atoms, usize>, number: usize) -> Atoms {
    let mut only = terms.iter();
    match (only.next(), only.next(), number) {
        (None, _, 1) => Atoms::new(),
        (None, _, number) => Atoms::from([Atom::Known(number)]),
        (Some((atoms, 1)), None, 0) => atoms.clone(),
        _ => Atoms::from([Atom::Sum(terms, number)]),
    }
}

/// The length of a join.
fn sum(parts: Vec<Atoms>) -> Atoms {
    let (mut terms, mut number): (BTreeMap<Atoms, usize>, usize) = (BTreeMap::new(), 0);
    for part in parts {
        let (more, and) = as_sum(part);
        number += and;
        for (atoms, count) in more {
            *terms.entry(atoms).or_default() += count;
        }
    }
    // x[:k] and x[k:] are x.
    let cut = |terms: &BTreeMap<Atoms, usize>| {
        terms.keys().find_map(|first| match first.iter().next() {
            Some(Atom::AtMost(whole, at)) if first.len() == 1 => {
                let second = Atoms::from([Atom::Less(whole.clone(), *at)]);
                terms.contains_key(&second).then(|| (first.clone(), second, whole.clone()))
            }
            _ => None,
        })
    };
    while let Some((first, second, whole)) = cut(&terms) {
        for part in [first, second] {
            match terms.get_mut(&part) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(terms.remove(&part)),
            }
        }
        let (more, and) = as_sum(whole);
        number += and;
        for (atoms, count) in more {
            *terms.entry(atoms).or_default() += count;
        }
    }
    of_sum(terms, number)
}

/// The length without so many.
fn less(atoms: Atoms, by: usize) -> Option<Atoms> {
    if by == 0 {
        return Some(atoms);
    }
    let (terms, number) = as_sum(atoms.clone());
    if let Some(left) = number.checked_sub(by) {
        return Some(of_sum(terms, left));
    }
    match atoms.iter().next() {
        Some(Atom::Less(whole, already)) if atoms.len() == 1 => Some(Atoms::from([Atom::Less(whole.clone(), already.checked_add(by)?)])),
        _ => Some(Atoms::from([Atom::Less(atoms, by)])),
    }
}
