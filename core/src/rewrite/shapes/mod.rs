//! Whether two values of a graph have the same shape in every call.

mod atoms;
mod bounds;

use rustc_hash::FxHashMap;

use crate::graph::{Body, Graph, NodeId, NodeView, ValueId};
use crate::ops::control::branches;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::tensor::{DType, Dim};

use self::atoms::{Atom, Atoms, beyond, every, factors, known, less, product, slice, sum};
use super::lengths::Bound;

pub(super) use bounds::{Front, from_front};

/// How many nodes a question may look at.
const BUDGET: usize = 64;

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
        for atom in atoms.iter() {
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
