//! Parts, repetitions and joins of tensors.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{
    Arguments, Composed, Settle, add, between_axes, constant_int, length, lengths, positions, type_error, vector, whole,
    whole_axis,
};
use crate::ops::{Attribute, AttributeKind, Attributes, IndexItem, Param, ParamKind, Registry, normalize_axis};
use crate::tensor::{DType, Dim};

use super::concatenate;

pub(super) fn register(registry: &mut Registry) {
    let x = || Param::operand("x", "the operand");
    let list = || Param { name: "xs", kind: ParamKind::OperandList, doc: "the operands" };
    let all = || Param { name: "xs", kind: ParamKind::Operands, doc: "the operands" };
    let first_axis = || Param::attribute("axis", AttributeKind::Int, Some(Attribute::Int(0)), "the axis to cut");
    let ints = |name, doc| Param::attribute(name, AttributeKind::Ints, None, doc);
    let cuts = || ints("indices_or_sections", "a number of parts, or a list of places to cut before");
    add(registry, "split", vec![x(), cuts(), first_axis()],
        "The parts of `x` along an axis: so many equal ones, or those between the places of a list, which may be \
         negative or behind the end, as bounds of slices. An axis that equal parts do not divide is an error.\n\n\
         \u{20}   a, b, c = split(x, 3)\n    head, middle, tail = split(x, [1, 4])",
        split);
    add(registry, "array_split", vec![x(), cuts(), first_axis()],
        "As `split`, but so many parts of an axis of any length: the first ones are longer by 1 where they do not \
         divide it.\n\n    a, b = array_split(arange(5), 2)  # 0 1 2 and 3 4",
        array_split);
    let reps = Param { name: "reps", kind: ParamKind::Sizes, doc: "how often along each axis, counted from the last" };
    add(registry, "tile", vec![x(), reps], "`x` over and over along its axes, and along new first ones where `reps` is longer than they are.\n\n    tile([1, 2], [2, 2])  # [[1, 2, 1, 2], [1, 2, 1, 2]]", tile);
    let shift = Param::operand("shift", "by how many places: a whole number, or one for each axis");
    let axes = |default, doc| Param::attribute("axis", AttributeKind::Axes, default, doc);
    add(registry, "roll", vec![x(), shift, axes(Some(Attribute::None), "the axis or axes; the flattened operand if none")],
        "The elements moved on along axes; those that leave at the end come back at the start.\n\n    roll([1, 2, 3], 1)  # 3 1 2", roll);
    add(registry, "moveaxis", vec![x(), ints("source", "axes"), ints("destination", "where they go")],
        "`x` with some axes in other places; the others keep their order.\n\n    moveaxis(x, 0, -1)", moveaxis);
    add(registry, "atleast_1d", vec![all()], "The operands, scalars as vectors of one element.", |a| each(a, |x| at_least(x, 1)));
    add(registry, "atleast_2d", vec![all()], "The operands, scalars and vectors as matrices of one row.", |a| each(a, |x| at_least(x, 2)));
    add(registry, "atleast_3d", vec![all()], "The operands with three axes or more: a vector of n becomes [1, n, 1], a matrix [m, n, 1].", |a| each(a, |x| at_least(x, 3)));
    let mut joins = |name, doc, build| {
        registry.add(Composed { name, params: vec![list()], doc, settle: Settle::Promote(usize::MAX), build });
    };
    joins("hstack", "The operands side by side: vectors joined, others along axis 1.", |a| {
        let parts = each(a, |x| at_least(x, 1))?;
        let axis = if parts.first().is_some_and(|x| x.ty().is_ok_and(|ty| ty.rank() > 1)) { 1 } else { 0 };
        Ok(vec![concatenate(&parts, axis)])
    });
    joins("vstack", "The operands as rows above each other, joined along axis 0.", |a| {
        Ok(vec![concatenate(&each(a, |x| at_least(x, 2))?, 0)])
    });
    joins("dstack", "The operands behind each other, joined along axis 2.", |a| {
        Ok(vec![concatenate(&each(a, |x| at_least(x, 3))?, 2)])
    });
    joins("column_stack", "Vectors as the columns of a matrix; matrices side by side.", |a| {
        let column = |x: &Var| Ok(if x.ty()?.rank() < 2 { x.flatten().expand_dims(1) } else { x.clone() });
        Ok(vec![concatenate(&each(a, column)?, 1)])
    });
    add(registry, "broadcast_arrays", vec![all()], "The operands broadcast to their common shape.\n\n    a, b = broadcast_arrays(x, y)", |a| broadcast_arrays(a.operands));
    let indexing = Param::attribute("indexing", AttributeKind::Str, Some(Attribute::Str("xy".into())), "\"xy\": the first operand runs along axis 1, the second along axis 0; \"ij\": each along its own");
    let sparse = Param::attribute("sparse", AttributeKind::Bool, Some(false.into()), "leave the other axes with length 1");
    add(registry, "meshgrid", vec![all(), indexing, sparse],
        "Coordinates of a grid: each operand, as a vector, along one axis and repeated along the others.\n\n    x, y = meshgrid(arange(3), arange(2))  # both of shape [2, 3]", meshgrid);
    add(registry, "ravel", vec![x()], "The elements as a vector, in row-major order: `flatten` by another name.", |a| Ok(vec![a.operand(0)?.flatten()]));
    add(registry, "size", vec![x()], "The number of elements.", |a| Ok(vec![a.operand(0)?.size()]));
}

fn each(a: &Arguments<'_>, f: impl Fn(&Var) -> Result<Var>) -> Result<Vec<Var>> {
    a.operands.iter().map(f).collect()
}

fn split(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, axis) = (a.operand(0)?, a.axis()?);
    let count = match sections(a)? {
        Ok(count) => count,
        Err(cuts) => return Ok(between_cuts(x, axis, &cuts)),
    };
    match x.ty()?.dims[axis].known() {
        Some(length) if length as i64 % count != 0 => {
            type_error(format!("axis {axis} of length {length} does not divide into {count} equal parts; `array_split` makes unequal ones"))
        }
        Some(length) => {
            let size = length as i64 / count;
            Ok((0..count).map(|part| x.slice(axis, Some(part * size), Some((part + 1) * size))).collect())
        }
        None => {
            // That it divides shows in the call: otherwise the shapes do not fit.
            let mut shape = lengths(x)?;
            let size = shape[axis].floor_div(&Var::scalar(count));
            shape.splice(axis..=axis, [Var::scalar(count), size]);
            let parts = x.reshape_to(&vector(&shape));
            Ok((0..count).map(|part| parts.at_axis(axis, part)).collect())
        }
    }
}

/// The number of parts, or else the places to cut.
fn sections(a: &Arguments<'_>) -> Result<std::result::Result<i64, Vec<i64>>> {
    const NAME: &str = "indices_or_sections";
    match a.attributes.get(NAME) {
        Some(Attribute::Int(count)) if *count > 0 => Ok(Ok(*count)),
        Some(Attribute::Int(count)) => type_error(format!("expected at least one part, not {count}")),
        _ => Ok(Err(a.attributes.ints(NAME)?.unwrap_or_default())),
    }
}

fn between_cuts(x: &Var, axis: usize, cuts: &[i64]) -> Vec<Var> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let stops = cuts.iter().copied().map(Some).chain([None]);
    starts.zip(stops).map(|(start, stop)| x.slice(axis, Some(start), stop)).collect()
}

fn array_split(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, axis) = (a.operand(0)?, a.axis()?);
    let count = match sections(a)? {
        Ok(count) => count,
        Err(cuts) => return Ok(between_cuts(x, axis, &cuts)),
    };
    if let Some(length) = x.ty()?.dims[axis].known() {
        let (size, longer) = (length as i64 / count, length as i64 % count);
        let start = |part: i64| part * size + part.min(longer);
        return Ok((0..count).map(|part| x.slice(axis, Some(start(part)), Some(start(part + 1)))).collect());
    }
    let (length, count_var) = (length(x, axis), Var::scalar(count));
    let (size, longer) = (length.floor_div(&count_var), &length % &count_var);
    let start = |part: i64| &size * part + longer.minimum(&Var::scalar(part));
    Ok((0..count).map(|part| x.slice_between(axis, &start(part), &start(part + 1))).collect())
}

fn tile(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, mut reps) = (a.operand(0)?, a.sizes(1)?);
    let rank = x.ty()?.rank();
    let own = rank.max(reps.len());
    let x = between_axes(x, own - rank, 0);
    reps.splice(0..0, (reps.len()..own).map(|_| Var::scalar(1i64)));
    // Each axis gets one before it, which is broadcast and then merged with it.
    let (mut items, mut wide, mut merged) = (Vec::new(), Vec::new(), Vec::new());
    for (length, reps) in lengths(&x)?.into_iter().zip(reps) {
        items.extend([IndexItem::NewAxis, whole_axis()]);
        merged.push(&length * &reps);
        wide.extend([reps, length]);
    }
    if own == 0 {
        return Ok(vec![x]);
    }
    Ok(vec![x.index(items, &[]).broadcast_to_var(&vector(&wide)).reshape_to(&vector(&merged))])
}

fn roll(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, shift) = (a.operand(0)?, a.operand(1)?);
    whole(shift)?;
    let (rank, ty) = (x.ty()?.rank(), shift.ty()?.clone());
    let Some(axes) = a.attributes.ints("axis")? else {
        let flat = rolled(&x.flatten(), &sum_of(shift, &ty.dims), 0);
        return Ok(vec![if rank == 1 { flat } else { flat.reshape_to(&x.shape()) }]);
    };
    let axes = axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Result<Vec<_>>>()?;
    let shifts: Vec<Var> = match (ty.dims.as_slice(), axes.as_slice()) {
        ([], _) => vec![shift.clone(); axes.len()],
        ([_], [_]) => vec![sum_of(shift, &ty.dims)],
        ([Dim::Known(1)], _) => vec![shift.at(0); axes.len()],
        ([Dim::Known(count)], _) if *count == axes.len() => (0..*count as i64).map(|at| shift.at(at)).collect(),
        _ => return type_error(format!("`shift` is one number, or one for each of {} axes, not {ty}", axes.len())),
    };
    Ok(vec![axes.iter().zip(&shifts).fold(x.clone(), |x, (&axis, shift)| rolled(&x, shift, axis))])
}

fn sum_of(shift: &Var, dims: &[Dim]) -> Var {
    if dims.is_empty() { shift.clone() } else { shift.sum(None) }
}

fn rolled(x: &Var, shift: &Var, axis: usize) -> Var {
    let known = x.ty().ok().and_then(|ty| ty.dims.get(axis)?.known());
    if let (Some(length), Some(shift)) = (known, constant_int(shift)) {
        let cut = if length == 0 { 0 } else { shift.rem_euclid(length as i64) };
        if cut == 0 {
            return x.clone();
        }
        let cut = length as i64 - cut;
        return concatenate(&[x.slice(axis, Some(cut), None), x.slice(axis, Some(0), Some(cut))], axis as i64);
    }
    let length = length(x, axis);
    let from = (positions(&length) - shift.cast(DType::I64)) % length;
    x.take(&from, axis as i64)
}

fn moveaxis(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, rank) = (a.operand(0)?, a.rank()?);
    let named = |name: &str| -> Result<Vec<usize>> {
        let axes = a.attributes.ints(name)?.unwrap_or_default();
        let axes = axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Result<Vec<_>>>()?;
        match (0..axes.len()).any(|at| axes[..at].contains(&axes[at])) {
            true => type_error(format!("`{name}` names an axis twice: {axes:?}")),
            false => Ok(axes),
        }
    };
    let (source, destination) = (named("source")?, named("destination")?);
    if source.len() != destination.len() {
        return type_error(format!("`source` names {} axes, `destination` {}", source.len(), destination.len()));
    }
    let mut others = (0..rank).filter(|axis| !source.contains(axis));
    let from = |to: usize| destination.iter().position(|&d| d == to).map(|at| source[at]).or_else(|| others.next());
    let order: Vec<i64> = (0..rank).filter_map(from).map(|axis| axis as i64).collect();
    Ok(vec![x.transpose(&order)])
}

pub(super) fn at_least(x: &Var, rank: usize) -> Result<Var> {
    let own = x.ty()?.rank();
    Ok(match (own, rank) {
        (1, 3) => between_axes(x, 1, 1),
        (2, 3) => between_axes(x, 0, 1),
        _ => between_axes(x, rank.saturating_sub(own), 0),
    })
}

/// The operands broadcast together.
fn broadcast_arrays(xs: &[Var]) -> Result<Vec<Var>> {
    // What is computed is only the shape: of something as cheap as can be that broadcasts the same way.
    let flag = |x: &Var| x.zeros_like().cast(DType::Bool);
    let mut common = match xs {
        [] => return Ok(Vec::new()),
        [x] => return Ok(vec![x.clone()]),
        [first, ..] => flag(first),
    };
    for x in &xs[1..] {
        common = common.logical_or(&flag(x));
    }
    let dims = common.ty()?.dims.clone();
    let shape = vector(&lengths(&common)?);
    let fits = |x: &Var| x.ty().is_ok_and(|ty| ty.dims.len() == dims.len() && ty.dims.iter().zip(&dims).all(|(a, b)| a.same(b)));
    Ok(xs.iter().map(|x| if fits(x) { x.clone() } else { x.broadcast_to_var(&shape) }).collect())
}

fn meshgrid(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let swap = match a.attributes.str("indexing")? {
        "xy" => a.operands.len() > 1,
        "ij" => false,
        other => return type_error(format!("`indexing` is \"xy\" or \"ij\", not {other:?}")),
    };
    let axis = |at: usize| if swap && at < 2 { 1 - at } else { at };
    let flat: Vec<Var> = a.operands.iter().map(Var::flatten).collect();
    let shape = vector(&(0..flat.len()).map(|at| length(&flat[axis(at)], 0)).collect::<Vec<_>>());
    let sparse = a.attributes.bool("sparse")?;
    let along = |(at, x): (usize, &Var)| {
        let x = between_axes(x, axis(at), flat.len() - 1 - axis(at));
        if sparse { x } else { x.broadcast_to_var(&shape) }
    };
    Ok(flat.iter().enumerate().map(along).collect())
}

impl Var {
    /// So many equal parts along an axis; an error where they do not divide it.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, [6.into(), "n".into()]));
    /// assert_eq!(x.split(3, 0)[1].ty().unwrap().to_string(), "f32[2, n]");
    /// ```
    #[track_caller]
    pub fn split(&self, parts: i64, axis: i64) -> Vec<Var> {
        let attributes = Attributes::new().with("indices_or_sections", parts).with("axis", axis);
        Var::apply("split", std::slice::from_ref(self), attributes).siblings()
    }

    /// The parts before, between and behind some places of an axis.
    #[track_caller]
    pub fn split_at(&self, places: &[i64], axis: i64) -> Vec<Var> {
        let attributes = Attributes::new().with("indices_or_sections", places).with("axis", axis);
        Var::apply("split", std::slice::from_ref(self), attributes).siblings()
    }

    /// The value over and over along its axes; more numbers than axes add axes in front.
    #[track_caller]
    pub fn tile(&self, reps: &[usize]) -> Var {
        Var::apply("tile", &[self.clone(), crate::ops::sizes::sizes(reps)], Attributes::new())
    }

    /// The elements moved on along one axis, or in the flattened value; what leaves at the end comes back
    /// at the start.
    #[track_caller]
    pub fn roll(&self, shift: i64, axis: Option<i64>) -> Var {
        let axis = axis.map_or(Attribute::None, Attribute::Int);
        Var::apply("roll", &[self.clone(), Var::scalar(shift)], Attributes::new().with("axis", axis))
    }

    /// One axis in another place; the others keep their order.
    #[track_caller]
    pub fn moveaxis(&self, source: i64, destination: i64) -> Var {
        let attributes = Attributes::new().with("source", source).with("destination", destination);
        Var::apply("moveaxis", std::slice::from_ref(self), attributes)
    }
}

/// Coordinates of a grid, each operand along its own axis (NumPy's `indexing="ij"`).
#[track_caller]
pub fn meshgrid_ij(xs: &[Var]) -> Vec<Var> {
    Var::apply("meshgrid", xs, Attributes::new().with("indexing", Attribute::Str("ij".into()))).siblings()
}

