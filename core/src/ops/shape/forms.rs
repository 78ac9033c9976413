//! Axes put together, taken apart and added; grids of coordinates.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{
    Arguments, Composed, Settle, add, between_axes, constant, constant_int, length, lengths, positions, type_error, vector,
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
    let kept = || Param::attribute("axes", AttributeKind::Axes, Some(Attribute::None), "the first axes, from 0 on, and the last, up to -1, that stay as they are; none if none");
    add(registry, "pack", vec![all("the values"), kept()],
        "Several values as one: the axes of each but those of `axes` become one, along which all are joined. Behind the packed \
         value come the lengths of these axes, an i64 vector for each value, from which `unpack` takes it apart.\n\n    \
         packed, of_w, of_b = pack(w, b)\n    packed, of_x, of_y = pack(x, y, axes=[0, -1])", packed);
    add(registry, "unpack", vec![Param::operand("packed", "values as one, as `pack` gives"), Param { name: "shapes", kind: ParamKind::Operands, doc: "for each value the lengths of its axes that became one" }, kept()],
        "The values that `pack` has made one.\n\n    w, b = unpack(packed, of_w, of_b)", unpacked);
    registry.add(Composed {
        name: "concat_with_broadcast", settle: Settle::Promote(usize::MAX),
        params: vec![Param { name: "arrays", kind: ParamKind::OperandList, doc: "the operands" }, int("axis", 0, "the axis along which they are joined")],
        doc: "The operands joined along an axis; along the others they broadcast.\n\n    concat_with_broadcast([x, y], axis=1)",
        build: concat_with_broadcast,
    });
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

/// How many first and how many last axes an attribute `axes` names.
fn kept_axes(a: &Arguments<'_>) -> Result<(usize, usize)> {
    let mut axes = a.attributes.ints("axes")?.unwrap_or_default();
    axes.sort_unstable();
    let after = axes.iter().filter(|&&axis| axis < 0).count();
    let wanted = (-(after as i64)..0).chain(0..(axes.len() - after) as i64);
    if !wanted.eq(axes.iter().copied()) {
        return type_error(format!("`axes` are the first ones, from 0 on, and the last ones, up to -1, each once, not {axes:?}"));
    }
    Ok((axes.len() - after, after))
}

fn product(lengths: &[Var]) -> Var {
    lengths.iter().cloned().reduce(|product, length| product * length).unwrap_or_else(|| Var::scalar(1i64))
}

fn packed(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (before, after) = kept_axes(a)?;
    if a.operands.is_empty() {
        return type_error("at least one value is needed");
    }
    let (mut flat, mut shapes) = (Vec::new(), Vec::new());
    for x in a.operands {
        let (all, rank) = (lengths(x)?, x.ty()?.rank());
        let Some(end) = rank.checked_sub(after).filter(|&end| end >= before) else {
            return type_error(format!("{} axes stay as they are, but {} has {rank}", before + after, x.ty()?));
        };
        let one = [&all[..before], &[product(&all[before..end])], &all[end..]].concat();
        flat.push(x.reshape_to(&vector(&one)));
        shapes.push(vector(&all[before..end]));
    }
    Ok([vec![super::concatenate(&flat, before as i64)], shapes].concat())
}

fn unpacked(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (before, after) = kept_axes(a)?;
    let (packed, rank) = (a.operand(0)?, a.rank()?);
    if rank != before + after + 1 {
        return type_error(format!("of the packed value {} axes stay as they are and one is taken apart, but it is {}", before + after, packed.ty()?));
    }
    let known = |number: usize| constant(&a.operands[number]).map(|known| known.to_i64_vec().into_iter().map(Var::scalar).collect());
    let sizes = |number: usize| a.sizes(number).map(|sizes| known(number).unwrap_or(sizes));
    let shapes = (1..a.operands.len()).map(sizes).collect::<Result<Vec<Vec<Var>>>>()?;
    if shapes.is_empty() {
        return type_error("the lengths of at least one value are needed");
    }
    let (all, add) = (lengths(packed)?, |x: &Var, y: &Var| crate::ops::nn::size("add", x, y));
    let mut ends = vec![Var::scalar(0i64)];
    for shape in &shapes {
        let own = shape.iter().try_fold(Var::scalar(1i64), |product, length| crate::ops::nn::size("mul", &product, length))?;
        ends.push(add(&ends[ends.len() - 1], &own)?);
    }
    let (end, length) = (&ends[ends.len() - 1], &all[before]);
    let packed = match (constant_int(end), constant_int(length)) {
        (Some(end), Some(length)) if end != length => {
            return type_error(format!("the values have {end} elements, but the axis that is taken apart has {length}"));
        }
        (Some(_), Some(_)) => packed.clone(),
        _ => packed.assert(&end.eq(length), "`unpack`: the values have as many elements as the axis that is taken apart"),
    };
    let part = |(number, shape): (usize, &Vec<Var>)| {
        let part = packed.slice_between(before, &ends[number], &ends[number + 1]);
        part.reshape_to(&vector(&[&all[..before], shape, &all[before + 1..]].concat()))
    };
    Ok(shapes.iter().enumerate().map(part).collect())
}

fn concat_with_broadcast(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let rank = a.rank()?;
    let axis = a.axis()?;
    if let Some(other) = a.operands.iter().find(|x| x.ty().is_ok_and(|ty| ty.rank() != rank)) {
        return type_error(format!("the operands have equally many axes, but they are {} and {}", a.operand(0)?.ty()?, other.ty()?));
    }
    // The lengths of all, of which an operand's own stands at the axis.
    let edges: Vec<Var> = a.operands.iter().map(|x| x.slice(axis, None, Some(1))).collect();
    let known = |x: &Var| x.ty().is_ok_and(|ty| ty.dims[axis].known() == Some(0));
    let edges: Vec<Var> = edges.into_iter().filter(|x| !known(x)).collect();
    let all = match edges.len() {
        0 => return Ok(vec![super::concatenate(a.operands, axis as i64)]),
        1 => edges[0].shape(),
        _ => Var::apply("broadcast_arrays", &edges, Attributes::new()).shape(),
    };
    let parts = a.operands.iter().map(|x| {
        let lengths: Vec<Var> = (0..rank).map(|at| if at == axis { length(x, at) } else { all.at(at as i64) }).collect();
        x.broadcast_to_var(&vector(&lengths))
    });
    Ok(vec![super::concatenate(&parts.collect::<Vec<_>>(), axis as i64)])
}

/// Several values as one: all axes of each but the first and last that `axes` names become one, along which they are
/// joined. With it come the lengths that [`unpack`] needs.
///
/// ```
/// use arignote_core::graph::Var;
/// use arignote_core::ops::shape::{pack, unpack};
/// use arignote_core::tensor::{DType, Type};
/// let w = Var::input("w", Type::new(DType::F64, [3.into(), 4.into()]));
/// let b = Var::input("b", Type::new(DType::F64, [4.into()]));
/// let (packed, shapes) = pack(&[w, b], &[]);
/// assert_eq!(packed.ty().unwrap().to_string(), "f64[16]");
/// let parts = unpack(&packed, &shapes, &[]);
/// assert_eq!(parts[0].ty().unwrap().to_string(), "f64[3, 4]");
/// ```
#[track_caller]
pub fn pack(values: &[Var], axes: &[i64]) -> (Var, Vec<Var>) {
    let packed = Var::apply("pack", values, Attributes::new().with("axes", Attribute::from(axes)));
    let shapes = (1..=values.len()).map(|number| packed.sibling(number)).collect();
    (packed, shapes)
}

/// The values that [`pack`] has made one.
#[track_caller]
pub fn unpack(packed: &Var, shapes: &[Var], axes: &[i64]) -> Vec<Var> {
    let operands = [std::slice::from_ref(packed), shapes].concat();
    let first = Var::apply("unpack", &operands, Attributes::new().with("axes", Attribute::from(axes)));
    (0..shapes.len()).map(|number| if number == 0 { first.clone() } else { first.sibling(number) }).collect()
}

fn grid(a: &Arguments<'_>, sparse: bool) -> Result<Vec<Var>> {
    if a.operands.is_empty() {
        return type_error("at least one vector of coordinates is needed");
    }
    let attributes = Attributes::new().with("indexing", "ij").with("sparse", sparse);
    Ok(Var::apply("meshgrid", a.operands, attributes).siblings())
}
