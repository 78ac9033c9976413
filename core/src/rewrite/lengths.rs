//! The length of an axis as a formula of lengths of other values: a value of which only the shape is asked need not be
//! computed.

use super::shapes::{REDUCTIONS, SHAPE_KEEPING, unsqueezed};
use crate::error::Result;
use crate::graph::{Body, Graph, NodeId, NodeView, ValueId};
use crate::ops::control::{ScanLayout, branches};
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem, ParamKind, normalize_axis};
use crate::tensor::{DType, Dim, Tensor};

use super::Site;

/// How many nodes a formula may look at.
const BUDGET: usize = 64;

/// Draws of which each element has numbers of its own, so that without a shape they have that of the numbers.
const ELEMENT_DRAWS: &[&str] = &["randint", "random_gamma", "poisson", "binomial", "hypergeometric", "vonmises", "wald"];

/// The length of an axis. It is right wherever the value that has the axis can be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Length {
    /// It is known.
    Known(usize),
    /// Of this axis of another value.
    Of(ValueId, usize),
    /// What a scalar says.
    Scalar(ValueId),
    /// Of a join.
    Sum(Vec<Length>),
    /// Of axes that became one.
    Product(Vec<Length>),
    /// Of what is left of the elements beside other axes.
    Quotient(Box<Length>, Box<Length>),
    /// The smaller of two.
    Least(Box<Length>, Box<Length>),
    /// Of a slice of an axis.
    Slice(Box<Length>, Bound, Bound, i64),
    /// How many elements of a mask are true.
    Count(ValueId),
}

/// A bound of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// There is none.
    Open,
    /// A number.
    At(i64),
    /// A scalar.
    Scalar(ValueId),
}

/// The length of an axis of a value, from as far up as it can be followed; at worst as that of this axis itself.
pub fn length(graph: &Graph, value: ValueId, axis: usize) -> Length {
    Walk { graph, budget: BUDGET }.follow(value, axis, None)
}

impl Length {
    /// Whether the formula reads the shape or the value of this one.
    pub fn reads(&self, value: ValueId) -> bool {
        match self {
            Length::Known(_) => false,
            Length::Of(of, _) | Length::Scalar(of) | Length::Count(of) => *of == value,
            Length::Sum(parts) | Length::Product(parts) => parts.iter().any(|part| part.reads(value)),
            Length::Quotient(a, b) | Length::Least(a, b) => a.reads(value) || b.reads(value),
            Length::Slice(of, start, stop, _) => of.reads(value) || [start, stop].iter().any(|bound| **bound == Bound::Scalar(value)),
        }
    }

    /// As an i64 scalar of the graph. Recursion is as deep as the formula.
    ///
    /// # Errors
    /// None that its operands do not have.
    pub fn build(&self, site: &mut Site<'_>) -> Result<ValueId> {
        let none = Attributes::new;
        match self {
            Length::Known(length) => Ok(site.add_constant(Tensor::scalar(*length as i64))),
            Length::Of(value, axis) => {
                let shape = site.apply("shape", &[*value], none())?;
                site.apply("index", &[shape], none().with("index", Attribute::Index(vec![IndexItem::At(*axis as i64)])))
            }
            Length::Scalar(value) => whole(site, *value),
            Length::Sum(parts) => chain(site, "add", parts),
            Length::Product(parts) => chain(site, "mul", parts),
            Length::Quotient(a, b) => both(site, "floor_div", a, b),
            Length::Least(a, b) => both(site, "minimum", a, b),
            Length::Slice(of, start, stop, step) => {
                let length = of.build(site)?;
                slice_length(site, length, *start, *stop, *step)
            }
            Length::Count(mask) => {
                let ones = site.apply("cast", &[*mask], none().with("dtype", DType::I64))?;
                site.apply("sum", &[ones], none().with("axis", Attribute::None))
            }
        }
    }
}

fn whole(site: &mut Site<'_>, value: ValueId) -> Result<ValueId> {
    match site.ty(value).dtype {
        DType::I64 if !site.ty(value).weak => Ok(value),
        _ => site.apply("cast", &[value], Attributes::new().with("dtype", DType::I64)),
    }
}

fn both(site: &mut Site<'_>, op: &str, a: &Length, b: &Length) -> Result<ValueId> {
    let (a, b) = (a.build(site)?, b.build(site)?);
    site.apply(op, &[a, b], Attributes::new())
}

fn chain(site: &mut Site<'_>, op: &str, parts: &[Length]) -> Result<ValueId> {
    let mut total: Option<ValueId> = None;
    for part in parts {
        let part = part.build(site)?;
        total = Some(match total {
            None => part,
            Some(total) => site.apply(op, &[total, part], Attributes::new())?,
        });
    }
    total.map_or_else(|| Ok(site.add_constant(Tensor::scalar(1i64))), Ok)
}

/// How many places a slice of an axis of some length has, by Python's rules.
fn slice_length(site: &mut Site<'_>, length: ValueId, start: Bound, stop: Bound, step: i64) -> Result<ValueId> {
    let number = |site: &mut Site<'_>, number: i64| site.add_constant(Tensor::scalar(number));
    let plain = |site: &mut Site<'_>, op: &str, a: ValueId, b: ValueId| site.apply(op, &[a, b], Attributes::new());
    let stride = i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX);
    // How many of every so manyth.
    let every = |site: &mut Site<'_>, span: ValueId| match stride {
        1 => Ok(span),
        _ => {
            let (more, stride) = (number(site, stride - 1), number(site, stride));
            let span = plain(site, "add", span, more)?;
            plain(site, "floor_div", span, stride)
        }
    };
    let without = |site: &mut Site<'_>, from: ValueId, count: i64| {
        let (count, zero) = (number(site, count), number(site, 0));
        let left = plain(site, "sub", from, count)?;
        plain(site, "maximum", left, zero)
    };
    // From the front what is before the start goes, and what is behind the end.
    let first = match start {
        Bound::Open => Some(0),
        Bound::At(at) => Some(at).filter(|&at| at >= 0),
        Bound::Scalar(_) => None,
    };
    match (first, stop) {
        (_, Bound::Open) if start == Bound::Open => return every(site, length),
        (Some(first), Bound::Open) if step > 0 => {
            let span = without(site, length, first)?;
            return every(site, span);
        }
        (Some(first), Bound::At(end)) if step > 0 => {
            let span = if end >= 0 {
                let end = number(site, end);
                let span = plain(site, "minimum", length, end)?;
                if first == 0 { span } else { without(site, span, first)? }
            } else {
                without(site, length, first.saturating_sub(end))?
            };
            return every(site, span);
        }
        _ => {}
    }
    // Places are cut off below the first and above the last; backwards they end before the first.
    let (least, last) = if step > 0 { (0, length) } else { (-1, { let one = number(site, 1); plain(site, "sub", length, one)? }) };
    let place = |site: &mut Site<'_>, bound: Bound, open: ValueId| -> Result<ValueId> {
        let least = number(site, least);
        match bound {
            Bound::Open => Ok(open),
            Bound::At(at) if at >= 0 => {
                let at = number(site, at);
                plain(site, "minimum", at, last)
            }
            Bound::At(at) => {
                let at = number(site, at);
                let at = plain(site, "add", length, at)?;
                plain(site, "maximum", at, least)
            }
            Bound::Scalar(at) => {
                let at = whole(site, at)?;
                let zero = number(site, 0);
                let below = plain(site, "lt", at, zero)?;
                let counted = plain(site, "add", length, at)?;
                let counted = plain(site, "maximum", counted, least)?;
                let cut = plain(site, "minimum", at, last)?;
                site.apply("where", &[below, counted, cut], Attributes::new())
            }
        }
    };
    let (first, end) = if step > 0 { (number(site, 0), length) } else { (last, number(site, -1)) };
    let (start, stop) = (place(site, start, first)?, place(site, stop, end)?);
    let span = if step > 0 { plain(site, "sub", stop, start)? } else { plain(site, "sub", start, stop)? };
    let zero = number(site, 0);
    let span = plain(site, "maximum", span, zero)?;
    every(site, span)
}

struct Walk<'g> {
    graph: &'g Graph,
    budget: usize,
}

/// Whether something other than shapes is read of a value, beside what `reader` reads.
fn is_read(graph: &Graph, value: ValueId, reader: NodeId) -> bool {
    let other = |&user: &NodeId| user != reader && graph.node(user).op_name() != "shape";
    graph.users(value.node).iter().any(other) || graph.outputs().iter().any(|output| output.node == value.node)
}

impl Walk<'_> {
    /// Of an operand of `reader`.
    fn length(&mut self, value: ValueId, axis: usize, reader: NodeId) -> Length {
        self.follow(value, axis, Some(reader))
    }

    /// Recursion is as deep as the budget.
    fn follow(&mut self, value: ValueId, axis: usize, reader: Option<NodeId>) -> Length {
        let own = Length::Of(value, axis);
        match &self.graph.ty(value).dims[axis] {
            Dim::Known(length) => return Length::Known(*length),
            Dim::Named(name) => {
                let is = |dim: &Dim| matches!(dim, Dim::Named(own) if *own == *name);
                let found = self.graph.inputs().iter().find_map(|input| {
                    let axis = self.graph.ty(input.output(0)).dims.iter().position(is)?;
                    Some(Length::Of(input.output(0), axis))
                });
                if let Some(found) = found {
                    return found;
                }
            }
            Dim::Unknown => {}
        }
        if self.budget == 0 {
            return own;
        }
        self.budget -= 1;
        match self.of_result(value, axis) {
            Some(found @ (Length::Known(_) | Length::Of(..))) => found,
            // What is there anyway says its length itself.
            Some(found) if reader.is_none_or(|reader| !is_read(self.graph, value, reader)) => found,
            _ => own,
        }
    }

    fn rank(&self, value: ValueId) -> usize {
        self.graph.ty(value).rank()
    }

    fn of_result(&mut self, value: ValueId, axis: usize) -> Option<Length> {
        let (graph, reader) = (self.graph, value.node);
        let view = graph.node(value.node);
        let (op, attributes) = view.apply()?;
        let (name, rank, operands) = (op.name(), self.rank(value), view.operands);
        if op.is_elementwise() {
            return self.common(operands, rank, axis, reader);
        }
        let x = *operands.first()?;
        let from = self.rank(x);
        if SHAPE_KEEPING.contains(&name) && from == rank {
            return Some(self.length(x, axis, reader));
        }
        if REDUCTIONS.contains(&name) {
            let gone = attributes.axes("axis", from).ok()?;
            return Some(match attributes.bool("keepdims") {
                Ok(true) if gone.contains(&axis) => Length::Known(1),
                Ok(true) => self.length(x, axis, reader),
                _ => { let at = (0..from).filter(|at| !gone.contains(at)).nth(axis)?; self.length(x, at, reader) },
            });
        }
        match name {
            "reshape" => self.size(*operands.get(1)?, axis, Some(x), reader),
            "broadcast_to" | "sum_to" => self.size(*operands.get(1)?, axis, None, reader),
            "zeros" | "ones" | "full" | "empty" => self.size(x, axis, None, reader),
            "flatten" => Some(self.elements(x, reader)),
            "transpose" => {
                let at = match attributes.ints("axes").ok()? {
                    Some(axes) => normalize_axis(*axes.get(axis)?, from).ok()?,
                    None => from.checked_sub(axis + 1)?,
                };
                Some(self.length(x, at, reader))
            }
            "swapaxes" => {
                let of = |name| match attributes.get(name) {
                    Some(Attribute::Int(axis)) => normalize_axis(*axis, from).ok(),
                    _ => None,
                };
                let (a, b) = (of("axis1")?, of("axis2")?);
                Some(self.length(x, if axis == a { b } else if axis == b { a } else { axis }, reader))
            }
            "expand_dims" | "squeeze" => { let at = unsqueezed(name, attributes, from, rank, axis)?; Some(self.length(x, at, reader)) }
            "concatenate" if attributes.axis("axis", rank).ok()? == axis => {
                Some(sum(operands.iter().map(|&part| self.length(part, axis, reader)).collect()))
            }
            "concatenate" => Some(self.length(x, axis, reader)),
            "stack" => {
                let along = attributes.axis("axis", rank).ok()?;
                if axis == along { Some(Length::Known(operands.len())) } else { Some(self.length(x, axis - usize::from(axis > along), reader)) }
            }
            "index" => self.indexed(&view, attributes, axis, reader),
            "take" => {
                let indices = *operands.get(1)?;
                let count = self.rank(indices);
                let at = match attributes.get("axis") {
                    None | Some(Attribute::None) => 0,
                    Some(_) => *attributes.axes("axis", from).ok()?.first()?,
                };
                if (at..at + count).contains(&axis) {
                    return Some(self.length(indices, axis - at, reader));
                }
                Some(self.length(x, if axis < at { axis } else { axis + 1 - count }, reader))
            }
            "one_hot" if axis + 1 < rank => Some(self.length(x, axis, reader)),
            "matmul" => {
                let y = *operands.get(1)?;
                let (a, b) = (from, self.rank(y));
                // The last axes are those of the matrices; a vector has none beside the one that is summed over.
                let rows = (a > 1).then(|| (x, a - 2));
                let columns = (b > 1).then(|| (y, b - 1));
                let own: Vec<(ValueId, usize)> = rows.into_iter().chain(columns).collect();
                match (axis + own.len()).checked_sub(rank) {
                    Some(at) => { let &(of, at) = own.get(at)?; Some(self.length(of, at, reader)) },
                    None => {
                        let behind = rank - own.len() - axis;
                        let at = |operand: ValueId, rank: usize| rank.checked_sub(2 + behind).map(|at| (operand, at));
                        self.broadcast([at(x, a), at(y, b)].into_iter().flatten(), reader)
                    }
                }
            }
            "solve" | "solve_triangular" | "solve_by_factors" if from == 2 && self.rank(*operands.last()?) == rank => {
                Some(self.length(*operands.last()?, axis, reader))
            }
            "lu" | "qr" | "svd" | "eigh" | "eig" | "schur" | "pinv" | "det" | "slogdet" | "factorize" if from >= 2 => {
                self.of_matrix(name, attributes, (value.output, axis), x, reader)
            }
            "repeat" => {
                let counts = *operands.get(1)?;
                let at = match attributes.get("axis") {
                    None | Some(Attribute::None) => None,
                    Some(_) => Some(*attributes.axes("axis", from).ok()?.first()?),
                };
                if at.is_some_and(|at| at != axis) {
                    return Some(self.length(x, axis, reader));
                }
                if self.rank(counts) != 0 {
                    return None;
                }
                let count = self.scalar(counts, reader)?;
                let length = if at.is_some() { self.length(x, axis, reader) } else { self.elements(x, reader) };
                Some(product(vec![length, count]))
            }
            "diag" if from == 1 => {
                let beside = usize::try_from(attributes.int("k").ok()?.unsigned_abs()).ok()?;
                Some(sum(vec![self.length(x, 0, reader), Length::Known(beside)]))
            }
            "diag" if attributes.int("k").ok()? == 0 => Some(self.least(x, reader)),
            "arange" => match operands {
                [stop] if graph.ty(*stop).dtype.is_integer() => {
                    self.scalar(*stop, reader).filter(|stop| !matches!(stop, Length::Scalar(_)))
                }
                _ => None,
            },
            "eye" => self.scalar(*operands.get(axis).or(operands.first())?, reader),
            "if" => {
                let [then, otherwise] = branches(attributes).ok()?;
                let inputs = |number: usize| operands.get(number + 1).map(|&operand| (operand, 0));
                let found = self.of_body(then, (value.output as usize, axis), &inputs, reader)?;
                (self.of_body(otherwise, (value.output as usize, axis), &inputs, reader)? == found).then_some(found)
            }
            "scan" => {
                let layout = ScanLayout::of(attributes).ok()?;
                let given = operands.get(usize::from(layout.counted)..)?;
                let output = value.output as usize;
                // Of a state it does not change.
                let Some(number) = output.checked_sub(layout.states) else { return Some(self.length(*given.get(layout.sequences + output)?, axis, reader)) };
                if layout.keep.get(number).is_some_and(|&keep| keep > 0) || layout.until {
                    return None;
                }
                if axis > 0 {
                    // Of a sequence the body sees rows.
                    let inputs = |number: usize| given.get(number).map(|&operand| (operand, usize::from(number < layout.sequences)));
                    return self.of_body(&layout.body, (output, axis - 1), &inputs, reader);
                }
                match given.first().filter(|_| layout.sequences > 0) {
                    Some(&sequence) => Some(self.length(sequence, 0, reader)),
                    None => self.scalar(x, reader).filter(|_| layout.counted),
                }
            }
            // Draws, of the shape that is given, or of that of the numbers between it and the key.
            _ => {
                let given = op.params().iter().filter(|param| !matches!(param.kind, ParamKind::Attribute(..)));
                let at = given.clone().position(|param| param.kind == ParamKind::SpreadSizes && param.name == "shape")?;
                let sizes = operands.get(at).filter(|_| given.count() == operands.len())?;
                match graph.ty(*sizes).dims.first()?.known()? {
                    0 if ELEMENT_DRAWS.contains(&name) => self.common(&operands[1..at], rank, axis, reader),
                    count if count == rank => self.size(*sizes, axis, None, reader),
                    _ => None,
                }
            }
        }
    }

    /// The smaller of rows and columns.
    fn least(&mut self, x: ValueId, reader: NodeId) -> Length {
        let rank = self.rank(x);
        match (self.length(x, rank - 2, reader), self.length(x, rank - 1, reader)) {
            (rows, columns) if rows == columns => rows,
            (rows, columns) => Length::Least(Box::new(rows), Box::new(columns)),
        }
    }

    /// Of what is computed of matrices that may be stacked.
    fn of_matrix(&mut self, op: &str, attributes: &Attributes, (output, axis): (u32, usize), x: ValueId, reader: NodeId) -> Option<Length> {
        let batch = self.rank(x) - 2;
        let Some(own) = axis.checked_sub(batch) else { return Some(self.length(x, axis, reader)) };
        let (rows, columns) = (batch, batch + 1);
        let mode = || attributes.str("mode").unwrap_or_default();
        let full = || attributes.bool("full_matrices").unwrap_or(true);
        let at = match (op, output, own) {
            ("lu", 0, _) | ("lu", 1, 0) => rows,
            ("lu", 2, 1) => columns,
            ("qr", 0, 0) if mode() != "r" => rows,
            ("qr", 0, 1) | ("qr", 1, 0) if mode() == "complete" => rows,
            ("qr", 1, 1) => columns,
            ("qr", 0, 1) if mode() == "r" => columns,
            ("svd", 0, 0) if attributes.bool("compute_uv").ok()? => rows,
            ("svd", 0, 1) if full() => rows,
            ("svd", 2, 0) if full() => columns,
            ("svd", 2, 1) => columns,
            ("lu" | "qr" | "svd", ..) => return Some(self.least(x, reader)),
            ("pinv", _, 0) => columns,
            ("pinv", _, 1) => rows,
            _ => columns,
        };
        Some(self.length(x, at, reader))
    }

    /// The length that all operands have along an axis of what they are broadcast to, where they have more than one place.
    fn common(&mut self, operands: &[ValueId], rank: usize, axis: usize, reader: NodeId) -> Option<Length> {
        let at = |walk: &Self, operand: ValueId| Some((operand, (axis + walk.rank(operand)).checked_sub(rank)?));
        let places: Vec<(ValueId, usize)> = operands.iter().filter_map(|&operand| at(self, operand)).collect();
        self.broadcast(places.into_iter(), reader)
    }

    /// Of axes that are broadcast to one.
    fn broadcast(&mut self, places: impl Iterator<Item = (ValueId, usize)>, reader: NodeId) -> Option<Length> {
        let mut found = None;
        for (operand, at) in places {
            match self.length(operand, at, reader) {
                Length::Known(1) => {}
                length if found.as_ref().is_none_or(|known| *known == length) => found = Some(length),
                _ => return None,
            }
        }
        found
    }

    /// Of an output of a body, for each input of which there is an operand and how many axes come before its own.
    fn of_body(&mut self, body: &Body, (output, axis): (usize, usize), inputs: &dyn Fn(usize) -> Option<(ValueId, usize)>, reader: NodeId) -> Option<Length> {
        let inside = body.graph().ok()?;
        match length(&inside, *inside.outputs().get(output)?, axis) {
            Length::Known(length) => Some(Length::Known(length)),
            Length::Of(of, axis) => {
                let (operand, ahead) = inputs(inside.inputs().iter().position(|input| input.output(0) == of)?)?;
                Some(self.length(operand, axis + ahead, reader))
            }
            _ => None,
        }
    }

    fn elements(&mut self, x: ValueId, reader: NodeId) -> Length {
        product((0..self.rank(x)).map(|axis| self.length(x, axis, reader)).collect())
    }

    /// What a scalar says that is a length; sums and products of lengths are followed. Recursion is as deep as the budget.
    fn scalar(&mut self, value: ValueId, reader: NodeId) -> Option<Length> {
        self.budget = self.budget.checked_sub(1)?;
        let view = self.graph.node(value.node);
        if let Some(constant) = view.constant() {
            let [number] = constant.value.to_i64_vec()[..] else { return None };
            return usize::try_from(number).ok().map(Length::Known);
        }
        match (view.op_name(), view.operands) {
            ("index", &[shape]) if self.graph.node(shape.node).op_name() == "shape" => {
                let [IndexItem::At(at)] = view.apply()?.1.index("index").ok()? else { return None };
                let like = *self.graph.node(shape.node).operands.first()?;
                let rank = self.rank(like) as i64;
                let at = usize::try_from(if *at < 0 { at + rank } else { *at }).ok().filter(|&at| at < self.rank(like))?;
                Some(self.length(like, at, reader))
            }
            (op @ ("add" | "mul"), &[a, b]) if self.graph.ty(value).dtype == DType::I64 => {
                let sure = |length: &Length| !matches!(length, Length::Scalar(_));
                match (self.scalar(a, reader).filter(sure), self.scalar(b, reader).filter(sure)) {
                    (Some(a), Some(b)) => Some(if op == "add" { sum(vec![a, b]) } else { product(vec![a, b]) }),
                    _ => Some(Length::Scalar(value)),
                }
            }
            _ => Some(Length::Scalar(value)),
        }
    }

    /// An element of sizes; `of` is what is left to one of -1.
    fn size(&mut self, sizes: ValueId, axis: usize, of: Option<ValueId>, reader: NodeId) -> Option<Length> {
        let graph = self.graph;
        let view = graph.node(sizes.node);
        let count = graph.ty(sizes).dims.first()?.known()?;
        let given: Vec<Option<Length>> = match view.op_name() {
            "shape" => return Some(self.length(*view.operands.first()?, axis, reader)),
            "stack" => view.operands.iter().map(|&part| match graph.node(part.node).constant() {
                Some(constant) if constant.value.to_i64_vec() == [-1] => Some(None),
                _ => self.scalar(part, reader).map(Some),
            }).collect::<Option<_>>()?,
            _ => {
                let numbers = view.constant()?.value.to_i64_vec();
                numbers.into_iter().map(|number| match number {
                    -1 => Some(None),
                    _ => usize::try_from(number).ok().map(|number| Some(Length::Known(number))),
                }).collect::<Option<_>>()?
            }
        };
        // One that is not known may be -1.
        let sure = given.iter().flatten().all(|size| !matches!(size, Length::Scalar(_)));
        match (given.get(axis)?, of) {
            _ if given.len() != count => None,
            (Some(length), None) => Some(length.clone()),
            (Some(length), Some(_)) if sure => Some(length.clone()),
            (None, Some(of)) if sure => {
                let rest: Vec<Length> = given.iter().flatten().cloned().collect();
                Some(quotient(self.elements(of, reader), product(rest)))
            }
            _ => None,
        }
    }

    /// Of an index by slices, positions, new axes and at most one array of positions.
    fn indexed(&mut self, view: &NodeView<'_>, attributes: &Attributes, axis: usize, reader: NodeId) -> Option<Length> {
        let graph = self.graph;
        let (&x, given) = view.operands.split_first()?;
        let items = attributes.index("index").ok()?;
        let rank = self.rank(x);
        let operand = |number: usize| given.get(number).copied().filter(|&value| graph.ty(value).dtype.is_integer());
        // A mask, and how many axes it takes; its places are one axis.
        let mask = |number: usize| {
            let value = given.get(number).copied().filter(|&value| graph.ty(value).dtype == DType::Bool)?;
            Some((value, graph.ty(value).rank())).filter(|&(_, rank)| rank > 0)
        };
        let (mut arrays, mut positions) = (0, 0);
        for item in items {
            match item {
                IndexItem::Operand(number) if mask(*number).is_some() => arrays += 1,
                IndexItem::Operand(number) if self.rank(operand(*number)?) > 0 => arrays += 1,
                IndexItem::Operand(_) | IndexItem::At(_) => positions += 1,
                _ => {}
            }
        }
        // A position beside an array is an array too, and where its axes go is another matter.
        if arrays > 1 || (arrays == 1 && positions > 0) {
            return None;
        }
        let taken: usize = items.iter().map(|item| match item {
            IndexItem::Ellipsis | IndexItem::NewAxis => 0,
            IndexItem::Operand(number) => mask(*number).map_or(1, |(_, rank)| rank),
            _ => 1,
        }).sum();
        let (mut from, mut to) = (0, 0);
        for item in items {
            match item {
                IndexItem::Operand(number) if mask(*number).is_some() => {
                    let (mask, rank) = mask(*number)?;
                    if to == axis {
                        return Some(Length::Count(mask));
                    }
                    (from, to) = (from + rank, to + 1);
                }
                IndexItem::Operand(number) => {
                    let (indices, count) = (operand(*number)?, self.rank(operand(*number)?));
                    if (to..to + count).contains(&axis) {
                        return Some(self.length(indices, axis - to, reader));
                    }
                    (from, to) = (from + 1, to + count);
                }
                IndexItem::At(_) => from += 1,
                IndexItem::NewAxis if to == axis => return Some(Length::Known(1)),
                IndexItem::NewAxis => to += 1,
                IndexItem::Ellipsis => {
                    let all = rank.checked_sub(taken)?;
                    if (to..to + all).contains(&axis) {
                        return Some(self.length(x, from + axis - to, reader));
                    }
                    (from, to) = (from + all, to + all);
                }
                IndexItem::Slice { start, stop, step } if to == axis => {
                    let bound = |bound: &IndexBound| match bound {
                        IndexBound::Open => Some(Bound::Open),
                        IndexBound::At(at) => Some(Bound::At(*at)),
                        IndexBound::Operand(number) => operand(*number).map(Bound::Scalar),
                    };
                    let whole = self.length(x, from, reader);
                    return Some(match (bound(start)?, bound(stop)?, step) {
                        (_, _, 0) => return None,
                        (Bound::Open | Bound::At(0), Bound::Open, 1) | (Bound::Open, Bound::Open, -1) => whole,
                        (start, stop, step) => Length::Slice(Box::new(whole), start, stop, *step),
                    });
                }
                IndexItem::Slice { .. } => (from, to) = (from + 1, to + 1),
            }
        }
        Some(self.length(x, from + axis.checked_sub(to)?, reader))
    }
}

fn sum(parts: Vec<Length>) -> Length {
    let (mut known, mut left) = (0, Vec::new());
    for part in parts {
        match part {
            Length::Known(length) => known += length,
            part => left.push(part),
        }
    }
    match (known, left.len()) {
        (known, 0) => Length::Known(known),
        (0, 1) => left.remove(0),
        (0, _) => Length::Sum(left),
        _ => {
            left.push(Length::Known(known));
            Length::Sum(left)
        }
    }
}

fn product(parts: Vec<Length>) -> Length {
    let (mut known, mut left) = (1, Vec::new());
    for part in parts {
        match part {
            Length::Known(length) if length.checked_mul(known).is_some() => known *= length,
            part => left.push(part),
        }
    }
    match (known, left.len()) {
        (known, 0) => Length::Known(known),
        (1, 1) => left.remove(0),
        (1, _) => Length::Product(left),
        _ => {
            left.push(Length::Known(known));
            Length::Product(left)
        }
    }
}

/// How many times one product goes into another: what stands in both goes. Of nothing by nothing it is not to be asked.
fn quotient(whole: Length, by: Length) -> Length {
    let factors = |length: Length| match length {
        Length::Product(parts) => parts,
        other => vec![other],
    };
    let (mut above, mut below) = (factors(whole), Vec::new());
    for factor in factors(by) {
        match above.iter().position(|other| *other == factor) {
            Some(at) => drop(above.remove(at)),
            None => below.push(factor),
        }
    }
    match product(below) {
        Length::Known(1) => product(above),
        by => Length::Quotient(Box::new(product(above)), Box::new(by)),
    }
}
