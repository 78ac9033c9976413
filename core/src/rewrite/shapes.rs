//! Whether two values of a graph have the same shape in every call.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::graph::{Body, Graph, NodeId, NodeView, ValueId};
use crate::ops::control::branches;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::tensor::{DType, Dim};

use super::facts::{Fact, certain};
use super::lengths::Bound;

/// How many nodes a question may look at.
const BUDGET: usize = 64;

/// The lengths that are broadcast to give that of an axis; of none it is 1. Those of a long chain hold one another, and are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Atoms(Rc<BTreeSet<Atom>>);

impl Atoms {
    fn new() -> Atoms {
        Atoms::default()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lengths that are broadcast with others.
    fn and(self, others: Atoms) -> Atoms {
        if self == others || others.is_empty() {
            return self;
        }
        if self.is_empty() {
            return others;
        }
        Atoms(Rc::new(self.0.iter().chain(others.0.iter()).cloned().collect()))
    }

    /// What a length is, if it is not that of one of several.
    fn only(&self) -> Option<&Atom> {
        self.0.first().filter(|_| self.0.len() == 1)
    }
}

impl<const N: usize> From<[Atom; N]> for Atoms {
    fn from(atoms: [Atom; N]) -> Atoms {
        Atoms(Rc::new(BTreeSet::from(atoms)))
    }
}

impl Ord for Atoms {
    fn cmp(&self, other: &Atoms) -> Ordering {
        if Rc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for Atoms {
    fn partial_cmp(&self, other: &Atoms) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

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
    /// Of `x[::k]`: how many there are of every `k`th.
    Every(Atoms, usize),
    /// Of axes that became one, in order of size of the formulas.
    Product(Vec<Atoms>),
    /// Of an axis of what is reshaped: the lengths before, and the sizes.
    Reshaped(Vec<Atoms>, (NodeId, u32), usize),
    /// Of `x[a:]` with scalars that count from the front: as much less than that of x as these and a number come to, and at
    /// least 0.
    Beyond(Atoms, Vec<ValueId>, usize),
    /// Of a slice with bounds that scalars say.
    Cut(Atoms, Bound, Bound, i64),
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
        let mut walk = Walk { graph, budget: BUDGET, known: FxHashMap::default() };
        let left = walk.atoms(left.0, left.1);
        left == walk.atoms(right.0, right.1)
    }
}

/// Whether a bound of a slice is, in every call, where it would begin or end anyway: the length of the axis for its end, and
/// so much from the end for its start.
pub(super) fn is_edge(graph: &Graph, scalar: ValueId, (value, axis): (ValueId, usize), end: bool) -> bool {
    let mut walk = Walk { graph, budget: BUDGET, known: FxHashMap::default() };
    let atoms = walk.atoms(value, axis);
    walk.is_edge(scalar, &atoms, end)
}

/// How far before the end of an axis a bound is in every call: 2 of the length less 2.
pub(super) fn before_end(graph: &Graph, scalar: ValueId, (value, axis): (ValueId, usize)) -> Option<i64> {
    let mut walk = Walk { graph, budget: BUDGET, known: FxHashMap::default() };
    let (length, back) = walk.length_less(scalar);
    let atoms = walk.atoms(value, axis);
    walk.is_edge(length, &atoms, true).then_some(back)
}

pub(super) const REDUCTIONS: &[&str] = &["sum", "prod", "mean", "max", "min", "all", "any", "logsumexp", "vector_norm", "argmax", "argmin", "var", "std"];
pub(super) const SHAPE_KEEPING: &[&str] = &[
    "softmax", "log_softmax", "flip", "roll", "sort", "argsort", "cumsum", "cumprod", "zeros_like", "ones_like", "set_at", "add_at", "tril", "triu",
    "cholesky", "inv", "adjugate", "expm",
];

struct Walk<'g> {
    graph: &'g Graph,
    budget: usize,
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
        let opaque = || Atoms::from([Atom::Opaque(value.node, value.output, axis)]);
        match &view.results[value.output as usize].ty.dims[axis] {
            Dim::Known(1) => return Atoms::new(),
            Dim::Known(length) => return Atoms::from([Atom::Known(*length)]),
            Dim::Named(name) => return Atoms::from([Atom::Named(name.to_string())]),
            Dim::Unknown if self.budget == 0 => return opaque(),
            Dim::Unknown => self.budget -= 1,
        }
        let Some((op, attributes)) = view.apply() else { return opaque() };
        let rank = view.results[value.output as usize].ty.rank();
        if op.is_elementwise() {
            let mut all = Atoms::new();
            for &operand in view.operands {
                if let Some(at) = (axis + graph.ty(operand).rank()).checked_sub(rank) {
                    all = all.and(self.atoms(operand, at));
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
        if let ("reshape", &[x, sizes]) = (op.name(), view.operands)
            && let Some(atoms) = self.rest(x, sizes, axis, rank)
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
                return if axes.contains(&at) { Atoms::new() } else { self.atoms(operand, at) };
            }
        }
        if op.name() == "expand_dims"
            && let Ok(new) = attributes.axes("axis", rank)
        {
            // A new axis has a known length.
            return self.atoms(operand, axis - new.iter().filter(|&&new| new < axis).count());
        }
        match op.name() {
            "concatenate" => match attributes.axis("axis", rank) {
                Ok(along) if along == axis => return sum(view.operands.iter().map(|&part| self.atoms(part, axis)).collect()),
                Ok(_) => return self.atoms(operand, axis),
                Err(_) => {}
            },
            "stack" => match attributes.axis("axis", rank) {
                Ok(along) if along == axis => return known(view.operands.len()),
                Ok(along) => return self.atoms(operand, axis - usize::from(axis > along)),
                Err(_) => {}
            },
            "reshape" | "flatten" => {
                let before = (0..operand_rank).map(|at| self.atoms(operand, at)).collect();
                return match sizes {
                    Some(sizes) => Atoms::from([Atom::Reshaped(before, (sizes.node, sizes.output), axis)]),
                    None => product(before),
                };
            }
            "index" => return self.sliced(&view, attributes, axis).unwrap_or_else(opaque),
            "if" => return self.chosen(&view, attributes, value.output as usize, axis).unwrap_or_else(opaque),
            "arange" => return self.counted(&view).unwrap_or_else(opaque),
            "take" => return self.taken(&view, attributes, axis).unwrap_or_else(opaque),
            "repeat" if attributes.axis("axis", rank).is_ok_and(|along| along != axis) => return self.atoms(operand, axis),
            _ => {}
        }
        if let "expand_dims" | "squeeze" = op.name()
            && let Some(at) = unsqueezed(op.name(), attributes, operand_rank, rank, axis)
        {
            return self.atoms(operand, at);
        }
        if let ("matmul", &[x, y]) = (op.name(), view.operands)
            && graph.ty(x).rank() == 2
            && graph.ty(y).rank() == 2
        {
            return self.atoms(if axis == 0 { x } else { y }, axis);
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

    /// Of an `if` whose branches give the same, or which is known to take one.
    fn chosen(&mut self, view: &NodeView<'_>, attributes: &Attributes, output: usize, axis: usize) -> Option<Atoms> {
        let (condition, operands) = view.operands.split_first()?;
        let [then, otherwise] = branches(attributes).ok()?;
        let constant = self.graph.node(condition.node).constant().and_then(|constant| constant.value.item());
        match constant {
            Some(taken) => self.inside(if taken != 0.0 { then } else { otherwise }, operands, output, axis),
            None => {
                let atoms = self.inside(then, operands, output, axis)?;
                (self.inside(otherwise, operands, output, axis)? == atoms).then_some(atoms)
            }
        }
    }

    /// Of a result of a body, where it follows from what the body is given.
    fn inside(&mut self, body: &Body, operands: &[ValueId], output: usize, axis: usize) -> Option<Atoms> {
        let graph = body.graph().ok()?;
        let mut walk = Walk { graph: &graph, budget: self.budget, known: FxHashMap::default() };
        let atoms = walk.atoms(*graph.outputs().get(output)?, axis);
        self.budget = walk.budget;
        let mut all = Atoms::new();
        for atom in atoms.0.iter() {
            let own = match atom {
                Atom::Known(_) | Atom::Named(_) => Atoms::from([atom.clone()]),
                Atom::Opaque(node, 0, at) => {
                    let number = graph.inputs().iter().position(|input| input == node)?;
                    self.atoms(*operands.get(number)?, *at)
                }
                _ => return None,
            };
            all = all.and(own);
        }
        Some(all)
    }

    /// What is left to the size of -1: of the axes of the operand the one that no other size is as long as.
    fn rest(&mut self, x: ValueId, sizes: ValueId, axis: usize, rank: usize) -> Option<Atoms> {
        let graph = self.graph;
        let view = graph.node(sizes.node);
        let number = |at: usize| match view.op_name() {
            "stack" => graph.node(view.operands.get(at)?.node).constant()?.value.item(),
            _ => view.constant()?.value.to_f64_vec().get(at).copied(),
        };
        if number(axis) != Some(-1.0) {
            return None;
        }
        let mut left = Vec::new();
        for at in 0..graph.ty(x).rank() {
            left.extend(factors(self.atoms(x, at)));
        }
        for other in (0..rank).filter(|&other| other != axis) {
            let taken = match number(other) {
                Some(length) if length >= 0.0 => known(length as usize),
                Some(_) => return None,
                None => self.size(sizes, other)?,
            };
            for factor in factors(taken) {
                let at = left.iter().position(|atoms| *atoms == factor)?;
                left.remove(at);
            }
        }
        Some(product(left))
    }

    /// See [`is_edge`].
    fn is_edge(&mut self, scalar: ValueId, whole: &Atoms, end: bool) -> bool {
        let view = self.graph.node(scalar.node);
        let scalar = match (view.op_name(), view.operands) {
            ("neg", &[length]) if !end => length,
            _ if end => scalar,
            _ => return false,
        };
        self.length(scalar).is_some_and(|atoms| atoms == *whole)
    }

    /// Of sizes that are put together, one that is a length of some value.
    fn size(&mut self, sizes: ValueId, axis: usize) -> Option<Atoms> {
        let view = self.graph.node(sizes.node);
        let part = *view.operands.get(axis).filter(|_| view.op_name() == "stack")?;
        self.length(part)
    }

    /// What a scalar is less than another one by a number that is not negative.
    fn length_less(&self, scalar: ValueId) -> (ValueId, i64) {
        let view = self.graph.node(scalar.node);
        let number = |value: ValueId| {
            let constant = &self.graph.node(value.node).constant()?.value;
            (constant.rank() == 0).then(|| constant.to_i64_vec().first().copied()).flatten()
        };
        let found = match (view.op_name(), view.operands) {
            ("sub", &[length, by]) => number(by).map(|by| (length, by)),
            ("add", &[a, b]) => number(b).map(|by| (a, by)).or_else(|| number(a).map(|by| (b, by))).map(|(length, by)| (length, by.saturating_neg())),
            _ => None,
        };
        found.filter(|&(_, by)| by >= 0).unwrap_or((scalar, 0))
    }

    /// Of `arange`, up to a length or some numbers less.
    fn counted(&mut self, view: &NodeView<'_>) -> Option<Atoms> {
        let number = |value: &ValueId| self.graph.node(value.node).constant().filter(|constant| constant.value.dtype() != DType::U64)?.value.to_i64_vec().first().copied();
        let (start, stop, step) = match view.operands {
            [stop] => (0, *stop, 1),
            [start, stop] => (number(start)?, *stop, 1),
            // From the last to the first.
            [start, stop, step] if (number(stop), number(step)) == (Some(-1), Some(-1)) => match self.length_less(*start) {
                (length, 1) => return self.length(length),
                _ => return None,
            },
            [start, stop, step] => (number(start)?, *stop, number(step)?),
            _ => return None,
        };
        let (length, back) = self.length_less(stop);
        let (first, back) = (usize::try_from(start).ok()?, usize::try_from(back).ok()?);
        every(less(self.length(length)?, first.checked_add(back)?)?, usize::try_from(step).ok().filter(|&step| step > 0)?)
    }

    /// Of a scalar that is a length of some value, or a sum or product of such. Recursion is as deep as the budget.
    fn length(&mut self, scalar: ValueId) -> Option<Atoms> {
        let graph = self.graph;
        self.budget = self.budget.checked_sub(1)?;
        let view = graph.node(scalar.node);
        if let Some(constant) = view.constant() {
            let [number] = constant.value.to_i64_vec()[..] else { return None };
            return usize::try_from(number).ok().filter(|_| constant.value.dtype() != DType::U64).map(known);
        }
        if let (op @ ("add" | "mul"), &[a, b], DType::I64) = (view.op_name(), view.operands, graph.ty(scalar).dtype) {
            let both = vec![self.length(a)?, self.length(b)?];
            return Some(if op == "add" { sum(both) } else { product(both) });
        }
        let made_by = |value: ValueId, op: &str| Some(graph.node(value.node)).filter(|view| view.op_name() == op);
        let read = made_by(scalar, "index")?;
        let [shape] = read.operands else { return None };
        let [IndexItem::At(at)] = read.apply()?.1.index("index").ok()? else { return None };
        let like = *made_by(*shape, "shape")?.operands.first()?;
        let at = usize::try_from(*at).ok().filter(|&at| at < graph.ty(like).rank())?;
        Some(self.atoms(like, at))
    }

    /// Of what is taken at positions.
    fn taken(&mut self, view: &NodeView<'_>, attributes: &Attributes, axis: usize) -> Option<Atoms> {
        let &[x, positions] = view.operands else { return None };
        let (rank, count) = (self.graph.ty(x).rank(), self.graph.ty(positions).rank());
        let at = match attributes.get("axis") {
            // Of the elements one after the other.
            None | Some(Attribute::None) => 0,
            Some(_) => *attributes.axes("axis", rank).ok()?.first()?,
        };
        Some(match axis {
            axis if (at..at + count).contains(&axis) => self.atoms(positions, axis - at),
            axis if axis < at => self.atoms(x, axis),
            axis => self.atoms(x, axis + 1 - count),
        })
    }

    /// Of an index by slices, by positions, by new axes and by at most one vector of positions.
    fn sliced(&mut self, view: &NodeView<'_>, attributes: &Attributes, axis: usize) -> Option<Atoms> {
        let (operand, given) = view.operands.split_first()?;
        let graph = self.graph;
        let rank_of = |value: &ValueId| Some(graph.ty(*value)).filter(|ty| ty.dtype.is_integer()).map(crate::tensor::Type::rank);
        let items = attributes.index("index").ok()?;
        let vectors = given.iter().filter(|value| rank_of(value) == Some(1)).count();
        let single = |item: &IndexItem| match item {
            IndexItem::At(_) => true,
            IndexItem::Operand(number) => given.get(*number).and_then(rank_of) == Some(0),
            _ => false,
        };
        // A position beside a vector is one too, and where its axis goes is another matter.
        if !given.iter().all(|value| matches!(rank_of(value), Some(0 | 1))) || vectors > 1 || (vectors == 1 && items.iter().any(single)) {
            return None;
        }
        let rank = self.graph.ty(*operand).rank();
        let taken = items.iter().filter(|item| !matches!(item, IndexItem::Ellipsis | IndexItem::NewAxis)).count();
        // The axis of the operand that comes next, and that of the result.
        let (mut from, mut to) = (0, 0);
        for item in items {
            match item {
                IndexItem::Operand(number) if rank_of(given.get(*number)?) == Some(1) => {
                    if to == axis {
                        return Some(self.atoms(given[*number], 0));
                    }
                    (from, to) = (from + 1, to + 1);
                }
                IndexItem::Operand(_) | IndexItem::At(_) => from += 1,
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
                        IndexBound::Open => Some(Bound::Open),
                        IndexBound::At(at) => Some(Bound::At(*at)),
                        IndexBound::Operand(number) => given.get(*number).map(|&scalar| match self.graph.node(scalar.node).constant() {
                            Some(constant) if constant.value.dtype() != DType::U64 => constant.value.to_i64_vec().first().map_or(Bound::Scalar(scalar), |&at| Bound::At(at)),
                            _ => Bound::Scalar(scalar),
                        }),
                    };
                    let literal = |bound: Bound| match bound {
                        Bound::Open => Some(None),
                        Bound::At(at) => Some(Some(at)),
                        Bound::Scalar(_) => None,
                    };
                    let (mut start, mut stop) = (bound(start)?, bound(stop)?);
                    for (bound, end) in [(&mut start, false), (&mut stop, true)] {
                        let Bound::Scalar(scalar) = *bound else { continue };
                        if *step > 0 && self.is_edge(scalar, &atoms, end) {
                            *bound = Bound::Open;
                        } else if let (length, 1) = self.length_less(scalar)
                            && self.is_edge(length, &atoms, true)
                        {
                            *bound = Bound::At(-1);
                        }
                    }
                    let back = match stop {
                        Bound::Open => Some(0),
                        Bound::At(stop) => usize::try_from(stop.checked_neg()?).ok().filter(|&back| back > 0),
                        Bound::Scalar(_) => None,
                    };
                    if let (Bound::Scalar(_), Some(back), Some(front), 1..) = (start, back, from_front(graph, start), *step)
                        && front.adds_up
                    {
                        return every(beyond(atoms, front.scalars, front.number.checked_add(back)?)?, usize::try_from(*step).ok()?);
                    }
                    return match (literal(start), literal(stop)) {
                        (Some(start), Some(stop)) => slice(atoms, start, stop, *step),
                        _ => Some(Atoms::from([Atom::Cut(atoms, start, stop, *step)])),
                    };
                }
                IndexItem::Slice { .. } => (from, to) = (from + 1, to + 1),
            }
        }
        Some(self.atoms(*operand, from + axis - to))
    }
}

/// What a bound that certainly counts from the front is the sum of.
pub(super) struct Front {
    /// Scalars, none of which is negative, in order.
    pub(super) scalars: Vec<ValueId>,
    /// A number besides.
    pub(super) number: usize,
    /// How many of the scalars may be too large to be added to anything.
    pub(super) large: usize,
    /// Whether the sum certainly did not wrap around.
    pub(super) adds_up: bool,
}

/// What a bound of a slice, or a position, is the sum of, if that is certainly none that counts from the end.
pub(super) fn from_front(graph: &Graph, bound: Bound) -> Option<Front> {
    const MOST: usize = 12;
    const LARGEST: i64 = 1 << 31;
    let (mut scalars, mut number, mut pending, mut seen) = (Vec::new(), 0, Vec::new(), 0);
    match bound {
        Bound::Open => {}
        Bound::At(at) => number = at,
        Bound::Scalar(scalar) => pending.push(scalar),
    }
    let signed = |value: ValueId| graph.ty(value).dtype.is_integer() && graph.ty(value).dtype != DType::U64;
    while let Some(value) = pending.pop() {
        seen += 1;
        if seen > MOST {
            return None;
        }
        let view = graph.node(value.node);
        if let Some(constant) = view.constant() {
            number += constant.value.to_i64_vec().first().copied().filter(|number| (0..LARGEST).contains(number))?;
            continue;
        }
        match (view.op_name(), view.operands) {
            ("add", &[a, b]) if graph.ty(value).dtype == DType::I64 => pending.extend([a, b]),
            ("cast", &[of]) if graph.ty(value).dtype == DType::I64 && signed(of) => pending.push(of),
            _ if signed(value) && certain(graph, value, Fact::NonNegative) => scalars.push(value),
            _ => return None,
        }
    }
    scalars.sort_unstable();
    let short = |&&value: &&ValueId| {
        let view = graph.node(value.node);
        let length = view.op_name() == "index" && view.operands.first().is_some_and(|of| graph.node(of.node).op_name() == "shape");
        length || graph.ty(value).dtype != DType::I64 || matches!(view.op_name(), "size" | "argmax" | "argmin" | "count_nonzero")
    };
    let large = scalars.len() - scalars.iter().filter(short).count();
    let number = usize::try_from(number).ok().filter(|&number| number < LARGEST as usize)?;
    let adds_up = large == 0 || (scalars.len() == 1 && number == 0);
    Some(Front { scalars, number, large, adds_up })
}

/// Which axis of the operand of `expand_dims` or `squeeze` an axis of the result is; of new ones none.
pub(super) fn unsqueezed(op: &str, attributes: &Attributes, operand_rank: usize, rank: usize, axis: usize) -> Option<usize> {
    if matches!(attributes.get("axis"), None | Some(Attribute::None)) {
        return None;
    }
    if op == "squeeze" {
        let gone = attributes.axes("axis", operand_rank).ok()?;
        return (0..operand_rank).filter(|at| !gone.contains(at)).nth(axis);
    }
    let new = attributes.axes("axis", rank).ok()?;
    (!new.contains(&axis)).then(|| axis - new.iter().filter(|&&at| at < axis).count())
}

/// A length as a sum.
fn as_sum(atoms: Atoms) -> (BTreeMap<Atoms, usize>, usize) {
    let mut only = atoms.0.iter();
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
        terms.keys().find_map(|first| match first.0.first() {
            Some(Atom::AtMost(whole, at)) if first.0.len() == 1 => {
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

/// What a length is the product of.
fn factors(atoms: Atoms) -> Vec<Atoms> {
    match atoms.only() {
        None if atoms.is_empty() => Vec::new(),
        Some(Atom::Product(factors)) => factors.clone(),
        _ => vec![atoms],
    }
}

/// The length of axes that became one.
fn product(parts: Vec<Atoms>) -> Atoms {
    let (mut number, mut left) = (1usize, Vec::new());
    for factor in parts.into_iter().flat_map(factors) {
        match factor.only() {
            Some(Atom::Known(length)) if number.checked_mul(*length).is_some() => number *= length,
            _ => left.push(factor),
        }
    }
    if number != 1 {
        left.push(known(number));
    }
    left.sort_unstable();
    if left.len() > 1 { Atoms::from([Atom::Product(left)]) } else { left.pop().unwrap_or_default() }
}

/// The length without what some scalars and a number come to.
fn beyond(atoms: Atoms, scalars: Vec<ValueId>, number: usize) -> Option<Atoms> {
    let (whole, before, by) = match atoms.only() {
        _ if scalars.is_empty() => return less(atoms, number),
        Some(Atom::Less(whole, by)) => (whole.clone(), Vec::new(), *by),
        Some(Atom::Beyond(whole, before, by)) => (whole.clone(), before.clone(), *by),
        _ => (atoms, Vec::new(), 0),
    };
    let mut scalars = [before, scalars].concat();
    scalars.sort_unstable();
    Some(Atoms::from([Atom::Beyond(whole, scalars, number.checked_add(by)?)]))
}

/// The length without so many.
fn less(atoms: Atoms, by: usize) -> Option<Atoms> {
    if by == 0 {
        return Some(atoms);
    }
    match atoms.only() {
        Some(Atom::Less(whole, already)) => return Some(Atoms::from([Atom::Less(whole.clone(), already.checked_add(by)?)])),
        Some(Atom::Beyond(whole, scalars, already)) => return Some(Atoms::from([Atom::Beyond(whole.clone(), scalars.clone(), already.checked_add(by)?)])),
        Some(Atom::AtMost(whole, most)) => return at_most(less(whole.clone(), by)?, most.saturating_sub(by)),
        Some(Atom::Every(whole, step)) => return every(less(whole.clone(), by.checked_mul(*step)?)?, *step),
        _ => {}
    }
    let (terms, number) = as_sum(atoms.clone());
    Some(match number.checked_sub(by) {
        Some(left) => of_sum(terms, left),
        None if terms.is_empty() => known(0),
        None => Atoms::from([Atom::Less(atoms, by)]),
    })
}

/// The length, and at most so many.
fn at_most(atoms: Atoms, most: usize) -> Option<Atoms> {
    match atoms.only() {
        Some(Atom::AtMost(whole, already)) => return at_most(whole.clone(), most.min(*already)),
        Some(Atom::Every(whole, step)) => return every(at_most(whole.clone(), most.checked_mul(*step)?)?, *step),
        _ => {}
    }
    let (terms, number) = as_sum(atoms.clone());
    Some(match () {
        () if most == 0 || number >= most => known(most),
        () if terms.is_empty() => atoms,
        () => Atoms::from([Atom::AtMost(atoms, most)]),
    })
}

/// How many there are of every so manyth.
fn every(atoms: Atoms, step: usize) -> Option<Atoms> {
    if step == 1 || atoms.is_empty() {
        return Some(atoms);
    }
    Some(match atoms.only() {
        Some(Atom::Every(whole, already)) => Atoms::from([Atom::Every(whole.clone(), already.checked_mul(step)?)]),
        Some(Atom::Known(length)) => known(length.div_ceil(step)),
        _ => Atoms::from([Atom::Every(atoms, step)]),
    })
}

fn known(length: usize) -> Atoms {
    if length == 1 { Atoms::new() } else { Atoms::from([Atom::Known(length)]) }
}

/// The length of a slice of an axis; nothing where that takes more than these atoms to say.
fn slice(atoms: Atoms, start: Option<i64>, stop: Option<i64>, step: i64) -> Option<Atoms> {
    // Bounds that count from the front, and those that count from the end.
    let (front, back) = (|at: i64| usize::try_from(at).ok(), |at: i64| usize::try_from(at.checked_neg()?).ok().filter(|&back| back > 0));
    let between = |whole: Option<Atoms>, most: Option<usize>| at_most(whole?, most.unwrap_or(0));
    let count = if step > 0 {
        let start = start.unwrap_or(0);
        match (front(start), back(start), stop.map(|stop| (front(stop), back(stop)))) {
            (Some(first), _, None) => less(atoms, first)?,
            (Some(first), _, Some((Some(end), _))) => between(less(atoms, first), end.checked_sub(first))?,
            (Some(first), _, Some((_, Some(end)))) => less(atoms, first.checked_add(end)?)?,
            (_, Some(first), None) => at_most(atoms, first)?,
            (_, Some(first), Some((_, Some(end)))) => between(less(atoms, end), first.checked_sub(end))?,
            _ => return None,
        }
    } else {
        let ends = |bound: Option<i64>| bound.map(|bound| (front(bound), back(bound)));
        match (ends(start), ends(stop)) {
            (None, None) => atoms,
            (None, Some((Some(end), _))) => less(atoms, end.checked_add(1)?)?,
            (None, Some((_, Some(end)))) => at_most(atoms, end - 1)?,
            (Some((Some(first), _)), None) => at_most(atoms, first.checked_add(1)?)?,
            (Some((Some(first), _)), Some((Some(end), _))) => between(less(atoms, end.checked_add(1)?), first.checked_sub(end))?,
            (Some((_, Some(first))), None) => less(atoms, first - 1)?,
            (Some((_, Some(first))), Some((Some(end), _))) => less(atoms, first.checked_add(end)?)?,
            (Some((_, Some(first))), Some((_, Some(end)))) => between(less(atoms, first - 1), end.checked_sub(first))?,
            _ => return None,
        }
    };
    every(count, usize::try_from(step.unsigned_abs()).ok().filter(|&step| step > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::index::slice_range;

    fn number(atoms: &Atoms, length: usize) -> usize {
        match atoms.only() {
            None => 1,
            Some(Atom::Known(known)) => *known,
            Some(Atom::Less(whole, by)) => number(whole, length).saturating_sub(*by),
            Some(Atom::AtMost(whole, most)) => number(whole, length).min(*most),
            Some(Atom::Every(whole, step)) => number(whole, length).div_ceil(*step),
            Some(Atom::Sum(terms, more)) => terms.iter().map(|(term, count)| number(term, length) * count).sum::<usize>() + more,
            Some(_) => length,
        }
    }

    #[test]
    fn slices_have_the_lengths_that_they_say() {
        let bounds: Vec<Option<i64>> = std::iter::once(None).chain((-3..=3).map(Some)).collect();
        let mut all = Vec::new();
        for &start in &bounds {
            for &stop in &bounds {
                all.extend([1, 2, 3, -1, -2].map(|step| (start, stop, step)));
            }
        }
        let whole = Atoms::from([Atom::Named("n".to_owned())]);
        for &(start, stop, step) in &all {
            let Some(once) = slice(whole.clone(), start, stop, step) else { continue };
            for &(from, to, again) in &all {
                let twice = slice(once.clone(), from, to, again);
                for length in 0..=8 {
                    let (_, count) = slice_range(length, start, stop, step);
                    assert_eq!(number(&once, length), count, "{start:?}:{stop:?}:{step} of {length}: {once:?}");
                    let Some(twice) = &twice else { continue };
                    let (_, count) = slice_range(count, from, to, again);
                    assert_eq!(number(twice, length), count, "{start:?}:{stop:?}:{step} {from:?}:{to:?}:{again} of {length}: {twice:?}");
                }
            }
        }
    }
}
