//! Axes put together, taken apart and added; grids of coordinates.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{
    Arguments, Composed, Settle, add, between_axes, constant, length, lengths, positions, type_error, vector,
};
use crate::ops::{Attribute, AttributeKind, Attributes, Param, ParamKind, Registry, normalize_axis};
use crate::tensor::{DType, Dim};

pub(super) fn register(registry: &mut Registry) {
    let x = || Param::operand("x", "the operand");
    let int = |name, default: i64, doc| Param::attribute(name, AttributeKind::Int, Some(Attribute::Int(default)), doc);
    let sizes = |doc| Param { name: "shape", kind: ParamKind::Sizes, doc };
    let all = |doc| Param { name: "xs", kind: ParamKind::Operands, doc };
    let dtype = || Param::attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype of the result");
    add(registry, "shape_padleft", vec![x(), int("n_ones", 1, "how many axes")],
        "`x` with new axes of length 1 in front.\n\n    shape_padleft(x, 2)", |a| Ok(vec![between_axes(a.operand(0)?, ones(a)?, 0)]));
    add(registry, "shape_padright", vec![x(), int("n_ones", 1, "how many axes")],
        "`x` with new axes of length 1 behind.\n\n    shape_padright(x)", |a| Ok(vec![between_axes(a.operand(0)?, 0, ones(a)?)]));
    add(registry, "shape_padaxis", vec![x(), Param::attribute("axis", AttributeKind::Int, None, "where the new axis stands in the result")],
        "`x` with a new axis of length 1, as `expand_dims`.\n\n    shape_padaxis(x, 1)", |a| {
            Ok(vec![a.operand(0)?.expand_dims(a.attributes.int("axis")?)])
        });
    add(registry, "atleast_Nd", vec![x(), Param::attribute("n", AttributeKind::Int, None, "the least number of axes"),
            Param::attribute("left", AttributeKind::Bool, Some(true.into()), "whether new axes stand in front, else behind")],
        "`x` with at least `n` axes: new ones have length 1.\n\n    atleast_Nd(x, 3)", |a| {
            let missing = usize::try_from(a.attributes.int("n")?).unwrap_or(0).saturating_sub(a.rank()?);
            let (before, after) = if a.attributes.bool("left")? { (missing, 0) } else { (0, missing) };
            Ok(vec![between_axes(a.operand(0)?, before, after)])
        });
    add(registry, "join_dims", vec![x(), int("start_axis", 0, "the first axis"), Param::attribute("n_axes", AttributeKind::Int, Some(Attribute::None), "how many; all from there on if none")],
        "Neighbouring axes as one; of none of them a new axis of length 1.\n\n    join_dims(x, 0, 2)", join_dims);
    add(registry, "split_dims", vec![x(), sizes("the lengths, one of which may be -1"), int("axis", 0, "the axis")],
        "One axis as several; the inverse of `join_dims`.\n\n    split_dims(x, [2, -1], axis=1)", split_dims);
    add(registry, "broadcast_shape", vec![all("the operands")],
        "The shape to which the operands broadcast, an i64 vector.\n\n    broadcast_shape(x, y)", |a| {
            let Some(first) = a.operands.first() else { return type_error("at least one operand is needed") };
            let whole = Var::apply("broadcast_arrays", a.operands, Attributes::new());
            Ok(vec![if a.operands.len() == 1 { first.shape() } else { whole.shape() }])
        });
    add(registry, "identity_like", vec![x(), dtype()],
        "1 on the diagonal and 0 elsewhere, in the shape of a matrix and its dtype unless another is given.\n\n    identity_like(a)", |a| {
            let ty = a.operand(0)?.ty()?;
            let [rows, columns] = [0, 1].map(|axis| length_of(a.operand(0), axis));
            if ty.rank() != 2 {
                return type_error(format!("expected a matrix, found {ty}"));
            }
            let dtype = a.attributes.dtype("dtype")?.unwrap_or(ty.dtype);
            let on = positions(&rows?).expand_dims(1).eq(&positions(&columns?));
            Ok(vec![on.cast(dtype)])
        });
    registry.add(Composed {
        name: "empty", settle: Settle::Draws(0), params: vec![Param { name: "shape", kind: ParamKind::SpreadSizes, doc: "the lengths" }, dtype()],
        doc: "A tensor whose values do not matter; they are 0.\n\n    empty(2, n, dtype=f32)",
        build: |a| {
            let Some(dtype) = a.attributes.dtype("dtype")? else { return type_error("no dtype is known") };
            Ok(vec![Var::apply("zeros", &a.operands[..1], Attributes::new().with("dtype", dtype))])
        },
    });
    add(registry, "mgrid", vec![all("the coordinates along each axis: vectors")],
        "The coordinates of all places of a grid, stacked along a new first axis: NumPy's `mgrid[0:3, 0:5]` is \
         `mgrid(arange(0, 3), arange(0, 5))`, of shape 2, 3, 5.\n\n    mgrid(arange(0, 3), linspace(0, 1, 5))", |a| {
            let grids = grid(a, false)?;
            Ok(vec![super::stack(&grids, 0)])
        });
    add(registry, "ogrid", vec![all("the coordinates along each axis: vectors")],
        "The same with one axis that is longer than 1 in each: what broadcasts to `mgrid`.\n\n    rows, columns = ogrid(arange(3), arange(5))", |a| grid(a, true));
}

fn ones(a: &Arguments<'_>) -> Result<usize> {
    let count = a.attributes.int("n_ones")?;
    match usize::try_from(count) {
        Ok(count) if count <= 64 => Ok(count),
        _ => type_error(format!("`n_ones` is from 0 to 64, but this is {count}")),
    }
}

fn length_of(x: Result<&Var>, axis: usize) -> Result<Var> {
    Ok(length(x?, axis))
}

fn join_dims(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, rank) = (a.operand(0)?, a.rank()?);
    let first = a.attributes.int("start_axis")?;
    let start = if first == rank as i64 { rank } else { normalize_axis(first, rank)? };
    let count = match a.attributes.get("n_axes") {
        Some(Attribute::Int(count)) => *count,
        _ => (rank - start) as i64,
    };
    let end = usize::try_from(count).ok().and_then(|count| start.checked_add(count)).filter(|&end| end <= rank);
    let Some(end) = end else {
        return type_error(format!("{count} axes from axis {start} on are not there: {} has {rank}", x.ty()?));
    };
    let mut shape = lengths(x)?;
    let joined = shape[start..end].iter().cloned().reduce(|product, length| product * length);
    shape.splice(start..end, [joined.unwrap_or_else(|| Var::scalar(1i64))]);
    Ok(vec![x.reshape_to(&vector(&shape))])
}

fn split_dims(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, sizes) = (a.operand(0)?, a.operand(1)?);
    let axis = a.axis()?;
    let ty = sizes.ty()?;
    let Some(count) = ty.dims.first().and_then(Dim::known).filter(|_| ty.rank() == 1) else {
        return type_error(format!("`shape` is a vector of known length, not {ty}"));
    };
    // A length that is -1 stays for `reshape` to find out.
    let parts: Vec<Var> = match constant(sizes) {
        Some(known) => known.to_i64_vec().into_iter().map(Var::scalar).collect(),
        None => (0..count as i64).map(|at| sizes.cast(DType::I64).at(at)).collect(),
    };
    let mut shape = lengths(x)?;
    shape.splice(axis..=axis, parts);
    Ok(vec![x.reshape_to(&vector(&shape))])
}

fn grid(a: &Arguments<'_>, sparse: bool) -> Result<Vec<Var>> {
    if a.operands.is_empty() {
        return type_error("at least one vector of coordinates is needed");
    }
    let attributes = Attributes::new().with("indexing", "ij").with("sparse", sparse);
    Ok(Var::apply("meshgrid", a.operands, attributes).siblings())
}
