//! Indexing with NumPy's rules, basic and advanced; writing and adding at an index; `take`, `one_hot`.

use super::create::cast_like;
use super::{
    Attribute, AttributeKind, Attributes, IndexBound, IndexItem, Inferred, Jvp, Op, Operand, Param, ParamKind,
    Registry, ShapeOperand, Vjp, normalize_axis, promote_operands, settle_float, where_,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{NodeKind, Var};
use crate::tensor::{DType, Dim, Shape, Tensor, Type, broadcast_dims, broadcast_shapes};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = |name, doc| Param { name, kind: ParamKind::Operand, doc };
    let attribute = |name, kind, default, doc| Param { name, kind: ParamKind::Attribute(kind, default), doc };
    let operands = || Param { name: "operands", kind: ParamKind::Operands, doc: "what the index refers to" };
    let index = || attribute("index", AttributeKind::Index, None, "the items of the index");
    registry.add(IndexOp {
        name: "index",
        rule: Rule::Index,
        params: vec![operand("x", "what to index"), operands(), index()],
        doc: "Elements of `x` at an index, by NumPy's rules: positions, slices, `...`, `None`, arrays of positions \
              and bool masks. Negative positions count from the end.\n\n    x[1:, -1]\n    x[rows, columns]",
    });
    registry.add(IndexOp {
        name: "set_at",
        rule: Rule::Set,
        params: vec![operand("x", "what to change"), operand("v", "what to write"), operands(), index()],
        doc: "`x` with `v`, broadcast, written at an index. Where an index names a place twice, the last one \
              counts, also in the gradient.\n\n    x.at[1:].set(v)",
    });
    registry.add(IndexOp {
        name: "add_at",
        rule: Rule::Add,
        params: vec![operand("x", "what to add to"), operand("v", "what to add"), operands(), index()],
        doc: "`x` with `v`, broadcast, added at an index; a place that the index names twice gets both, as with \
              NumPy's `add.at`.\n\n    x.at[rows].add(v)",
    });
    registry.add(IndexOp {
        name: "take",
        rule: Rule::Take,
        params: vec![
            operand("x", "what to take from"),
            operand("indices", "positions, whole numbers"),
            attribute("axis", AttributeKind::Axes, Some(Attribute::None), "the axis; `none` takes from `x` flattened"),
        ],
        doc: "Elements of `x` at positions on one axis.\n\n    take(x, [0, 2], axis=1)",
    });
    registry.add(IndexOp {
        name: "one_hot",
        rule: Rule::OneHot,
        params: vec![
            operand("x", "labels, whole numbers from 0 to `depth`, exclusive"),
            attribute("depth", AttributeKind::Int, None, "the number of labels, the length of the new last axis"),
            attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype of the result"),
        ],
        doc: "1 where a new last axis counts to the label and 0 elsewhere.\n\n    one_hot(labels, depth=10)",
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Index,
    Set,
    Add,
    Take,
    OneHot,
}

struct IndexOp {
    name: &'static str,
    rule: Rule,
    params: Vec<Param>,
    doc: &'static str,
}

/// One step of an index in order, matched to the axes of what is indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new axis of length 1.
    NewAxis,
    /// An ellipsis that stands for no axis.
    Nothing,
    /// An axis sliced.
    Slice {
        /// The axis.
        axis: usize,
        /// Where to start.
        start: IndexBound,
        /// Where to stop, exclusive.
        stop: IndexBound,
        /// The step, not 0.
        step: i64,
    },
    /// A literal position on an axis.
    At {
        /// The axis.
        axis: usize,
        /// The position; negative ones count from the end.
        position: i64,
    },
    /// Positions on an axis, given by an operand: an integer scalar or array.
    Positions {
        /// The axis.
        axis: usize,
        /// The number of the operand, counted as in [`IndexItem::Operand`].
        operand: usize,
    },
    /// A bool mask over `rank` axes from `axis` on.
    Mask {
        /// The first axis.
        axis: usize,
        /// The number of the operand, counted as in [`IndexItem::Operand`].
        operand: usize,
        /// The number of axes.
        rank: usize,
    },
}

/// An index matched to the axes of what is indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The steps in order; every axis occurs in one.
    pub steps: Vec<Step>,
    /// Whether an array or mask occurs: then all positions broadcast together.
    pub advanced: bool,
    /// Whether the dims of the broadcast positions come first in the result, as positions are not next
    /// to each other, rather than at the place of the first of them.
    pub leading: bool,
}

fn type_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

fn nth<T>(operands: &[T], index: usize) -> Result<&T> {
    operands.get(index).ok_or_else(|| Error::new(ErrorKind::Type, format!("operand {index} is missing")))
}

/// Matches an index to `rank` axes. `operand` gives, for an operand's number, its rank and whether it
/// is a mask.
///
/// # Errors
/// If the index has too many items, two ellipses or a step of 0.
pub fn plan(items: &[IndexItem], rank: usize, operand: impl Fn(usize) -> Result<(usize, bool)>) -> Result<Plan> {
    let (mut used, mut ellipses) = (0, 0);
    for item in items {
        match item {
            IndexItem::Slice { .. } | IndexItem::At(_) => used += 1,
            IndexItem::Operand(number) => match operand(*number)? {
                (0, true) => return type_error("a mask has at least one axis"),
                (axes, true) => used += axes,
                _ => used += 1,
            },
            IndexItem::Ellipsis => ellipses += 1,
            IndexItem::NewAxis => {}
        }
    }
    if ellipses > 1 {
        return type_error("an index has at most one `...`");
    }
    let Some(rest) = rank.checked_sub(used) else {
        return type_error(format!("the index is for {used} axes, but there are {rank}"));
    };
    let whole = |axis| Step::Slice { axis, start: IndexBound::Open, stop: IndexBound::Open, step: 1 };
    let (mut steps, mut axis, mut advanced) = (Vec::new(), 0, false);
    for item in items {
        match item {
            IndexItem::NewAxis => steps.push(Step::NewAxis),
            IndexItem::Ellipsis if rest == 0 => steps.push(Step::Nothing),
            IndexItem::Ellipsis => {
                steps.extend((axis..axis + rest).map(whole));
                axis += rest;
            }
            IndexItem::Slice { step: 0, .. } => return type_error("the step of a slice is 0"),
            IndexItem::Slice { start, stop, step } => {
                steps.push(Step::Slice { axis, start: *start, stop: *stop, step: *step });
                axis += 1;
            }
            IndexItem::At(position) => {
                steps.push(Step::At { axis, position: *position });
                axis += 1;
            }
            IndexItem::Operand(number) => {
                let (rank, mask) = operand(*number)?;
                advanced |= mask || rank > 0;
                steps.push(match mask {
                    true => Step::Mask { axis, operand: *number, rank },
                    false => Step::Positions { axis, operand: *number },
                });
                axis += if mask { rank } else { 1 };
            }
        }
    }
    steps.extend((axis..rank).map(whole));
    let positions: Vec<usize> =
        steps.iter().enumerate().filter(|(_, step)| step.is_position()).map(|(i, _)| i).collect();
    let together = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
    Ok(Plan { steps, advanced, leading: advanced && !together })
}

impl Step {
    /// Whether the step removes its axis or replaces it by positions.
    pub fn is_position(&self) -> bool {
        matches!(self, Step::At { .. } | Step::Positions { .. } | Step::Mask { .. })
    }
}

impl Plan {
    /// The dims of the result from those of the slices and new axes, in order, and of the positions
    /// broadcast together.
    pub fn assemble<D: Clone>(&self, kept: &[D], positions: &[D]) -> Vec<D> {
        let before = self.steps.iter().take_while(|step| !step.is_position());
        let before = before.filter(|step| !matches!(step, Step::Nothing)).count();
        let place = if self.leading { 0 } else { before.min(kept.len()) };
        [&kept[..place], positions, &kept[place..]].concat()
    }
}

/// The first position and the number of positions of a slice of an axis, by Python's rules. `step` is
/// not 0.
pub fn slice_range(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> (i64, usize) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let clamp = |bound: i64| (if bound < 0 { bound.saturating_add(length) } else { bound }).clamp(low, high);
    let start = start.map_or(if step < 0 { high } else { low }, clamp);
    let stop = stop.map_or(if step < 0 { low } else { high }, clamp);
    let span = if step < 0 { start - stop } else { stop - start };
    let count = if span <= 0 { 0 } else { (span as u64 - 1) / step.unsigned_abs().max(1) + 1 };
    (start, count as usize)
}

/// A position counted from the front.
///
/// # Errors
/// If it is out of range; the message names position, axis and length.
pub fn normalize_position(position: i64, axis: usize, length: usize) -> Result<usize> {
    let counted = if position < 0 { position.saturating_add_unsigned(length as u64) } else { position };
    match usize::try_from(counted) {
        Ok(counted) if counted < length => Ok(counted),
        _ => {
            let message = format!("index {position} is out of range for axis {axis} of length {length}");
            Err(Error::new(ErrorKind::Runtime, message))
        }
    }
}

fn scalar_of(constant: &Tensor) -> Option<i64> {
    (constant.len() == 1).then(|| constant.to_i64_vec().first().copied()).flatten()
}

/// A bound of a slice as far as a type rule knows it.
enum Bound {
    Open,
    At(i64),
    Named(Dim),
    Unknown,
}

fn bound(bound: IndexBound, operands: &[Operand<'_>]) -> Result<Bound> {
    let number = match bound {
        IndexBound::Open => return Ok(Bound::Open),
        IndexBound::At(value) => return Ok(Bound::At(value)),
        IndexBound::Operand(number) => number,
    };
    let operand = nth(operands, number)?;
    if !operand.ty.dtype.is_integer() || operand.ty.rank() != 0 {
        return type_error(format!("a bound of a slice is a whole number, not {}", operand.ty));
    }
    Ok(match (operand.constant.and_then(scalar_of), operand.sizes) {
        (Some(value), _) => Bound::At(value),
        (None, Some([Dim::Known(length)])) => i64::try_from(*length).map_or(Bound::Unknown, Bound::At),
        (None, Some([dim @ Dim::Named(_)])) => Bound::Named(dim.clone()),
        _ => Bound::Unknown,
    })
}

fn slice_dim(dim: &Dim, start: &Bound, stop: &Bound, step: i64) -> Dim {
    let literal = |bound: &Bound| match bound {
        Bound::Open => Some(None),
        Bound::At(value) => Some(Some(*value)),
        _ => None,
    };
    if let (Some(length), Some(start), Some(stop)) = (dim.known(), literal(start), literal(stop)) {
        return Dim::Known(slice_range(length, start, stop, step).1);
    }
    match (start, stop, step) {
        (Bound::Open, Bound::Open, 1 | -1) | (Bound::At(0), Bound::Open, 1) => dim.clone(),
        (Bound::Open | Bound::At(0), Bound::Named(stop), 1) if stop.same(dim) => dim.clone(),
        // Both bounds counted from the same end, in the wrong order.
        (Bound::Open, Bound::At(0), 1..) => Dim::Known(0),
        (Bound::At(a), Bound::At(b), 1..) if (*a < 0) == (*b < 0) && a >= b => Dim::Known(0),
        _ => Dim::Unknown,
    }
}

/// Dims of `x[items]`; operands are those that items refer to.
fn indexed_dims(x: &Type, operands: &[Operand<'_>], items: &[IndexItem]) -> Result<Vec<Dim>> {
    let plan = plan(items, x.rank(), |number| {
        let ty = nth(operands, number)?.ty;
        if ty.dtype != DType::Bool && !ty.dtype.is_integer() {
            return type_error(format!("an index is whole numbers or bools, not {ty}"));
        }
        Ok((ty.rank(), ty.dtype == DType::Bool))
    })?;
    let (mut kept, mut positions) = (Vec::new(), Vec::new());
    for step in &plan.steps {
        match step {
            Step::Nothing => {}
            Step::NewAxis => kept.push(Dim::Known(1)),
            Step::Slice { axis, start, stop, step } => {
                let (start, stop) = (bound(*start, operands)?, bound(*stop, operands)?);
                kept.push(slice_dim(nth(&x.dims, *axis)?, &start, &stop, *step));
            }
            Step::At { axis, position } => check_position(*position, *axis, nth(&x.dims, *axis)?)?,
            Step::Positions { axis, operand } => {
                let operand = nth(operands, *operand)?;
                for position in operand.constant.map(Tensor::to_i64_vec).unwrap_or_default() {
                    check_position(position, *axis, nth(&x.dims, *axis)?)?;
                }
                positions = broadcast_dims(&positions, &operand.ty.dims)?;
            }
            Step::Mask { axis, operand, rank } => {
                let operand = nth(operands, *operand)?;
                let covered = x.dims.get(*axis..axis + rank).unwrap_or_default();
                if !covered.iter().zip(&operand.ty.dims).all(|(dim, mask)| dim.compatible(mask)) {
                    return type_error(format!("the mask {} does not cover axes {axis} to {} of {x}", operand.ty, axis + rank - 1));
                }
                let count = operand.constant.map(|mask| mask.to_i64_vec().iter().filter(|&&on| on != 0).count());
                positions = broadcast_dims(&positions, &[count.map_or(Dim::Unknown, Dim::Known)])?;
            }
        }
    }
    Ok(plan.assemble(&kept, &positions))
}

fn check_position(position: i64, axis: usize, dim: &Dim) -> Result<()> {
    let Some(length) = dim.known() else { return Ok(()) };
    match normalize_position(position, axis, length) {
        Ok(_) => Ok(()),
        Err(error) => type_error(error.message()),
    }
}

/// Shape of `x[items]`; operands are those that items refer to.
fn indexed_shape(x: &[usize], operands: &[ShapeOperand<'_>], items: &[IndexItem]) -> Result<Shape> {
    let is_mask = |operand: &ShapeOperand<'_>| operand.value.is_some_and(|value| value.dtype() == DType::Bool);
    let plan = plan(items, x.len(), |number| {
        let operand = nth(operands, number)?;
        Ok((operand.shape.len(), is_mask(operand)))
    })?;
    let bound = |bound: IndexBound| match bound {
        IndexBound::Open => Ok(None),
        IndexBound::At(value) => Ok(Some(value)),
        IndexBound::Operand(number) => match nth(operands, number)?.value.and_then(scalar_of) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::new(ErrorKind::Internal, "the value of a bound of a slice is missing")),
        },
    };
    let (mut kept, mut positions) = (Vec::new(), Shape::new());
    for step in &plan.steps {
        match step {
            Step::Nothing => {}
            Step::NewAxis => kept.push(1),
            Step::Slice { axis, start, stop, step } => {
                kept.push(slice_range(*nth(x, *axis)?, bound(*start)?, bound(*stop)?, *step).1);
            }
            Step::At { axis, position } => {
                normalize_position(*position, *axis, *nth(x, *axis)?)?;
            }
            Step::Positions { operand, .. } => {
                positions = broadcast_shapes(&positions, nth(operands, *operand)?.shape)?;
            }
            Step::Mask { axis, operand, rank } => {
                let operand = nth(operands, *operand)?;
                if x.get(*axis..axis + rank) != Some(operand.shape) {
                    let message = format!("a mask of shape {:?} does not fit {x:?} from axis {axis} on", operand.shape);
                    return Err(Error::new(ErrorKind::Runtime, message));
                }
                let values = operand.value.map(Tensor::to_i64_vec).unwrap_or_default();
                positions = broadcast_shapes(&positions, &[values.iter().filter(|&&on| on != 0).count()])?;
            }
        }
    }
    Ok(plan.assemble(&kept, &positions).into())
}

/// What is known of the elements of `x[items]` where those of the vector `x` are.
fn indexed_sizes(x: &Operand<'_>, operands: &[Operand<'_>], items: &[IndexItem]) -> Option<Vec<Dim>> {
    let sizes = x.sizes.filter(|sizes| x.ty.dims.as_slice() == [Dim::Known(sizes.len())])?;
    let at = |position: i64| {
        normalize_position(position, 0, sizes.len()).ok().and_then(|i| sizes.get(i)).map(|dim| vec![dim.clone()])
    };
    match items {
        [IndexItem::At(position)] => at(*position),
        [IndexItem::Operand(number)] => {
            let operand = operands.get(*number).filter(|operand| operand.ty.rank() == 0)?;
            at(operand.constant.and_then(scalar_of)?)
        }
        [IndexItem::Slice { start, stop, step }] if *step != 0 => {
            let literal = |end: IndexBound| match bound(end, operands) {
                Ok(Bound::Open) => Some(None),
                Ok(Bound::At(value)) => Some(Some(value)),
                _ => None,
            };
            let (first, count) = slice_range(sizes.len(), literal(*start)?, literal(*stop)?, *step);
            let place = |i: usize| usize::try_from(first + i as i64 * step).ok();
            (0..count).map(|i| sizes.get(place(i)?).cloned()).collect()
        }
        _ => None,
    }
}

impl IndexOp {
    /// The axis of `take`; `None` takes from the operand flattened.
    fn take_axis(&self, attributes: &Attributes, rank: usize) -> Result<Option<usize>> {
        match attributes.ints("axis")?.as_deref() {
            None => Ok(None),
            Some([axis]) => normalize_axis(*axis, rank).map(Some),
            Some(_) => type_error("`axis` is one axis or `none`"),
        }
    }

    fn infer_take(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (x, indices) = (nth(operands, 0)?, nth(operands, 1)?);
        if !indices.ty.dtype.is_integer() {
            return type_error(format!("positions are whole numbers, not {}", indices.ty));
        }
        let (dims, sizes) = match self.take_axis(attributes, x.ty.rank())? {
            None => (indices.ty.dims.clone(), None),
            Some(axis) => {
                let sizes = indexed_sizes(x, &operands[1..], &[IndexItem::Operand(0)]);
                (indexed_dims(x.ty, &operands[1..], &items_on(axis))?, sizes)
            }
        };
        Ok(vec![Inferred { ty: Type::new(x.ty.dtype, dims).with_weak(x.ty.weak), sizes }])
    }

    fn infer_one_hot(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let x = nth(operands, 0)?;
        if !x.ty.dtype.is_integer() {
            return type_error(format!("labels are whole numbers, not {}", x.ty));
        }
        let mut dims = x.ty.dims.clone();
        dims.push(Dim::Known(depth(attributes)?));
        let dtype = attributes.dtype("dtype")?;
        Ok(vec![Type::new(dtype.unwrap_or(DType::F64), dims).with_weak(dtype.is_none()).into()])
    }

    fn infer_write(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (x, v) = (nth(operands, 0)?.ty, nth(operands, 1)?.ty);
        let place = indexed_dims(x, operands.get(2..).unwrap_or_default(), attributes.index("index")?)?;
        let fits = v.rank() <= place.len()
            && v.dims.iter().rev().zip(place.iter().rev()).all(|(v, d)| *v == Dim::Known(1) || v.compatible(d));
        if !fits {
            let place = Type::new(x.dtype, place);
            return type_error(format!("{v} does not broadcast to the indexed place, {place}"));
        }
        let (dtype, weak) = if x.weak { promote_operands([x, v]) } else { (x.dtype, false) };
        if v.dtype.kind() > dtype.kind() {
            return Err(Error::new(ErrorKind::Type, format!("{} does not fit into {}", v.dtype, dtype))
                .note("`cast` converts"));
        }
        Ok(vec![Type::new(dtype, x.dims.clone()).with_weak(weak).into()])
    }
}

fn depth(attributes: &Attributes) -> Result<usize> {
    let depth = attributes.int("depth")?;
    usize::try_from(depth).or_else(|_| type_error(format!("`depth` is not negative, but this is {depth}")))
}

/// Whether an index may name a place twice: it has an array of positions that are not known to differ.
fn may_repeat(items: &[IndexItem], operands: &[Var]) -> Result<bool> {
    let mut arrays = 0;
    let mut differ = false;
    for item in items {
        let IndexItem::Operand(number) = item else { continue };
        let operand = nth(operands, *number)?;
        let ty = operand.ty()?;
        if ty.dtype == DType::Bool || ty.rank() == 0 {
            continue;
        }
        arrays += 1;
        if let NodeKind::Constant(constant) = operand.node().kind() {
            let mut positions = constant.value.to_i64_vec();
            let one_sign = positions.iter().all(|&at| at >= 0) || positions.iter().all(|&at| at < 0);
            let count = positions.len();
            positions.sort_unstable();
            positions.dedup();
            differ = one_sign && positions.len() == count;
        }
    }
    Ok(arrays > 1 || (arrays == 1 && !differ))
}

/// The index that takes operand 0 on an axis.
fn items_on(axis: usize) -> Vec<IndexItem> {
    let mut items = vec![IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 }; axis];
    items.push(IndexItem::Operand(0));
    items
}

fn index_attribute(items: Vec<IndexItem>) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.set("index", Attribute::Index(items));
    attributes
}

impl From<Vec<IndexItem>> for Attribute {
    fn from(items: Vec<IndexItem>) -> Attribute {
        Attribute::Index(items)
    }
}

fn zeros_like(x: &Var) -> Var {
    Var::apply("zeros_like", std::slice::from_ref(x), Attributes::new())
}

/// `g` summed down to the shape of `x` and in its dtype.
fn reduced_like(g: Var, x: &Var) -> Result<Var> {
    let same = match (g.ty(), x.ty()) {
        (Ok(g), Ok(x)) => g.same_dims(x),
        _ => false,
    };
    if same {
        return cast_like(g, x);
    }
    let shape = Var::apply("shape", std::slice::from_ref(x), Attributes::new());
    cast_like(Var::apply("sum_to", &[g, shape], Attributes::new()), x)
}

impl Op for IndexOp {
    fn name(&self) -> &str {
        self.name
    }

    fn params(&self) -> &[Param] {
        &self.params
    }

    fn doc(&self) -> &str {
        self.doc
    }

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        match operands {
            [x, v, ..] if matches!(self.rule, Rule::Set | Rule::Add) && x.weak => settle_float(&[x, v], false),
            _ => Vec::new(),
        }
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        match self.rule {
            Rule::Index => {
                let x = nth(operands, 0)?;
                let (rest, items) = (operands.get(1..).unwrap_or_default(), attributes.index("index")?);
                let ty = Type::new(x.ty.dtype, indexed_dims(x.ty, rest, items)?).with_weak(x.ty.weak);
                Ok(vec![Inferred { ty, sizes: indexed_sizes(x, rest, items) }])
            }
            Rule::Set | Rule::Add => self.infer_write(operands, attributes),
            Rule::Take => self.infer_take(operands, attributes),
            Rule::OneHot => self.infer_one_hot(operands, attributes),
        }
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let x = nth(operands, 0)?.shape;
        let shape = match self.rule {
            Rule::Index => indexed_shape(x, operands.get(1..).unwrap_or_default(), attributes.index("index")?)?,
            Rule::Set | Rule::Add => x.into(),
            Rule::Take => {
                let indices = nth(operands, 1)?.shape;
                match self.take_axis(attributes, x.len())? {
                    None => indices.into(),
                    Some(axis) => [&x[..axis], indices, &x[axis + 1..]].concat().into(),
                }
            }
            Rule::OneHot => [x, &[depth(attributes)?]].concat().into(),
        };
        Ok(vec![shape])
    }

    fn size_operands(&self, attributes: &Attributes) -> Vec<usize> {
        // A bool mask decides a length by its contents, and dtypes are not seen here.
        let (Rule::Index, Ok(items)) = (self.rule, attributes.index("index")) else { return Vec::new() };
        let bound = |bound: &IndexBound| match bound {
            IndexBound::Operand(number) => Some(*number),
            _ => None,
        };
        let mut numbers: Vec<usize> = items
            .iter()
            .flat_map(|item| match item {
                IndexItem::Operand(number) => [Some(*number), None],
                IndexItem::Slice { start, stop, .. } => [bound(start), bound(stop)],
                _ => [None, None],
            })
            .flatten()
            .map(|number| number + 1)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let mut cotangents = vec![None; context.operands.len()];
        let Some(Some(g)) = context.cotangents.first() else { return Ok(cotangents) };
        let x = nth(context.operands, 0)?;
        let attributes = || context.attributes.clone();
        match self.rule {
            Rule::Index if x.ty()?.dtype.is_float() => {
                let operands = [&[zeros_like(x), g.clone()], &context.operands[1..]].concat();
                cotangents[0] = Some(Var::apply("add_at", &operands, attributes()));
            }
            Rule::Set | Rule::Add => {
                let v = nth(context.operands, 1)?;
                let rest = &context.operands[2..];
                if x.ty()?.dtype.is_float() {
                    let kept = match self.rule {
                        Rule::Set => {
                            let operands = [&[g.clone(), Var::weak(0.0f64)], rest].concat();
                            Var::apply("set_at", &operands, attributes())
                        }
                        _ => g.clone(),
                    };
                    cotangents[0] = Some(cast_like(kept, x)?);
                }
                if v.ty()?.dtype.is_float() {
                    let at = |x: &Var| Var::apply("index", &[std::slice::from_ref(x), rest].concat(), attributes());
                    let mut part = at(g);
                    if self.rule == Rule::Set && may_repeat(context.attributes.index("index")?, rest)? {
                        // Only the last of those that are written to one place is there in the result:
                        // the one whose number is found there again.
                        let shape = part.shape();
                        let count = Var::apply("arange", &[part.size()], Attributes::new().with("dtype", DType::I64));
                        let numbers = count.reshape_to(&shape);
                        let places = x.zeros_like().cast(DType::I64);
                        let written = Var::apply("set_at", &[&[places, numbers.clone()], rest].concat(), attributes());
                        part = where_(&at(&written).eq(&numbers), &part, &Var::weak(0.0));
                    }
                    cotangents[1] = Some(reduced_like(part, v)?);
                }
            }
            Rule::Take if x.ty()?.dtype.is_float() => {
                let indices = nth(context.operands, 1)?.clone();
                let axis = self.take_axis(context.attributes, x.ty()?.rank())?;
                let base = match axis {
                    Some(_) => zeros_like(x),
                    None => Var::apply("reshape", &[zeros_like(x), super::create::flat()], Attributes::new()),
                };
                let items = items_on(axis.unwrap_or(0));
                let sum = Var::apply("add_at", &[base, g.clone(), indices], index_attribute(items));
                cotangents[0] = Some(match axis {
                    Some(_) => sum,
                    None => {
                        let shape = Var::apply("shape", std::slice::from_ref(x), Attributes::new());
                        Var::apply("reshape", &[sum, shape], Attributes::new())
                    }
                });
            }
            _ => {}
        }
        Ok(cotangents)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let tangent = |i: usize| context.tangents.get(i).cloned().flatten();
        let apply = |operands: Vec<Var>| Some(Var::apply(self.name, &operands, context.attributes.clone()));
        let x = nth(context.operands, 0)?;
        Ok(vec![match self.rule {
            Rule::OneHot => None,
            Rule::Index | Rule::Take => {
                tangent(0).and_then(|t| apply([std::slice::from_ref(&t), &context.operands[1..]].concat()))
            }
            Rule::Set | Rule::Add => match (tangent(0), tangent(1)) {
                (None, None) => None,
                (Some(t), None) if self.rule == Rule::Add => Some(t),
                (t, tv) => {
                    let t = t.unwrap_or_else(|| zeros_like(x));
                    let tv = tv.unwrap_or_else(|| Var::weak(0.0f64));
                    apply([&[t, tv], &context.operands[2..]].concat())
                }
            },
        }])
    }

    fn may_overwrite(&self) -> &[(usize, usize)] {
        match self.rule {
            Rule::Set | Rule::Add => &[(0, 0)],
            _ => &[],
        }
    }

    fn can_fail(&self) -> bool {
        true
    }
}

impl Var {
    /// The element, row or slab at one position of the first axis; negative ones count from the end.
    #[track_caller]
    pub fn at(&self, position: i64) -> Var {
        self.index(vec![IndexItem::At(position)], &[])
    }

    /// A range of one axis with literal bounds; `None` is the axis' end.
    #[track_caller]
    pub fn slice(&self, axis: usize, start: Option<i64>, stop: Option<i64>) -> Var {
        let end = |end: Option<i64>| end.map_or(IndexBound::Open, IndexBound::At);
        let mut items = items_on(axis);
        items.pop();
        items.push(IndexItem::Slice { start: end(start), stop: end(stop), step: 1 });
        self.index(items, &[])
    }

    /// Elements at positions on one axis.
    #[track_caller]
    pub fn take(&self, indices: &Var, axis: i64) -> Var {
        Var::apply("take", &[self.clone(), indices.clone()], Attributes::new().with("axis", axis))
    }

    /// 1 where a new last axis counts to the label and 0 elsewhere.
    #[track_caller]
    pub fn one_hot(&self, depth: usize) -> Var {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        Var::apply("one_hot", std::slice::from_ref(self), Attributes::new().with("depth", depth))
    }

    /// Elements at an index; the items refer to `operands` by number.
    #[track_caller]
    pub fn index(&self, items: Vec<IndexItem>, operands: &[Var]) -> Var {
        Var::apply("index", &[std::slice::from_ref(self), operands].concat(), index_attribute(items))
    }
}
