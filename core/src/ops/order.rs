//! Order: sorting, searching in what is sorted, unique elements, counting.
//!
//! Everywhere NaN comes after all numbers, and NaNs are equal to each other; elements that are equal keep
//! their order.

use std::cmp::Ordering;

use super::composed::{
    Arguments, Composed, Settle, add, constant_int, length, lengths, positions, type_error, vector, whole,
};
use super::elementwise::like_dtype;
use super::index::index_attribute;
use super::sizes::value_of;
use super::{
    Batch, Batched,
    Attribute, AttributeKind, Attributes, IndexItem, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp,
    normalize_axis, nth, settle_float, where_,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Kind as DKind, Shape, Tensor, Type};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let optional = |name, doc| Param { name, kind: ParamKind::OptionalOperand, doc };
    let attribute = Param::attribute;
    let flag = |name, default: bool, doc| attribute(name, AttributeKind::Bool, Some(default.into()), doc);
    let axis = |default, doc| attribute("axis", AttributeKind::Axes, Some(default), doc);
    let last = || axis(Attribute::Int(-1), "the axis; the flattened operand if none");
    let x = || operand("x", "the operand");
    let mut primitive = |kind, name, params, doc| registry.add(OrderOp { kind, name, params, doc });
    primitive(Kind::ArgSort, "argsort", vec![x(), last()],
        "The places of the elements along an axis in ascending order. Equal elements keep their order, NaN comes last.\n\n    argsort([3, 1, 2])  # 1 2 0");
    primitive(Kind::SearchSorted, "searchsorted",
        vec![operand("a", "an ascending vector"), operand("v", "what to look for"),
            attribute("side", AttributeKind::Str, Some(Attribute::Str("left".into())), "\"left\": before equal elements, \"right\": behind them"),
            optional("sorter", "places that put `a` into ascending order, as `argsort` gives")],
        "Where each element of `v` would go in `a` so that it stays ascending.\n\n    searchsorted([1, 2, 2, 3], 2)                # 1\n    searchsorted([1, 2, 2, 3], 2, side=\"right\")  # 3");
    primitive(Kind::Unique, "unique",
        vec![x(), flag("return_index", false, "also where each is found first"),
            flag("return_inverse", false, "also which of the unique elements each element is, in the shape of x"),
            flag("return_counts", false, "also how often each is found"),
            axis(Attribute::None, "the axis along which slabs are compared; elements if none")],
        "The elements, each once, in ascending order, NaN last and once. How many there are shows in the call.\n\n    values, counts = unique(x, return_counts=true)");
    primitive(Kind::BinCount, "bincount",
        vec![operand("x", "a vector of whole numbers, none negative"), optional("weights", "what each counts, of the same length; 1 if left out"),
            attribute("minlength", AttributeKind::Int, Some(Attribute::Int(0)), "the least length of the result")],
        "How often each whole number from 0 on is found, up to the largest; with weights the sums of theirs.\n\n    bincount([0, 2, 2])  # 1 0 2");
    add(registry, "sort", vec![x(), last()],
        "The elements along an axis in ascending order, NaN last. The gradient goes back to where each came from.\n\n    sort(x, axis=0)", |a| {
            let (x, axis) = along(a)?;
            let order = Var::apply("argsort", std::slice::from_ref(&x), Attributes::new().with("axis", axis as i64));
            Ok(vec![along_axis(&x, &order, axis)?])
        });
    add(registry, "topk",
        vec![x(), operand("k", "how many, at most the length of the axis"), axis(Attribute::Int(-1), "the axis; the flattened operand if none"),
            flag("largest", true, "the largest elements; the smallest if false")],
        "The `k` largest elements along an axis and their places, in descending order (the smallest in ascending). \
         Of equal elements the first come first; NaN is larger than any number, as for `max`.\n\n    \
         values, indices = topk(x, 2)", topk);
    add(registry, "nonzero", vec![x()],
        "The places of all elements but 0, as a vector for each axis. How many there are shows in the call.\n\n    rows, columns = nonzero(x)", |a| nonzero(a.operand(0)?));
    add(registry, "argwhere", vec![x()], "The places of all elements but 0, one row for each.\n\n    argwhere(x > 0)", |a| {
        Ok(vec![super::shape::stack(&nonzero(a.operand(0)?)?, 1)])
    });
    add(registry, "flatnonzero", vec![x()], "The places of all elements but 0 in the flattened operand.\n\n    flatnonzero(x > 0)", |a| nonzero(&a.operand(0)?.flatten()));
    registry.add(Composed {
        name: "interp",
        params: vec![operand("x", "where"), operand("xp", "an ascending vector of places"), operand("fp", "the values there"),
            optional("left", "the value below the first place; the first value if left out"),
            optional("right", "the value above the last place; the last value if left out")],
        doc: "The function that goes in straight lines from value to value, at `x`.\n\n    interp(1.5, [1, 2, 3], [10, 20, 0])  # 15",
        settle: Settle::ToFloat(5),
        build: interp,
    });
    add(registry, "count_nonzero",
        vec![x(), axis(Attribute::None, "the axis or axes; all of them if none"), flag("keepdims", false, "keep reduced axes with length 1")],
        "The number of elements other than 0.\n\n    count_nonzero(x > 0, axis=1)", |a| {
            Ok(vec![Var::apply("sum", &[a.operand(0)?.cast(DType::Bool)], a.attributes.clone())])
        });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ArgSort,
    SearchSorted,
    Unique,
    BinCount,
}

struct OrderOp {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// The first operand and the attribute `axis`; where that is none, the operand flattened and 0.
pub(super) fn along(a: &Arguments<'_>) -> Result<(Var, usize)> {
    let x = a.operand(0)?;
    let rank = x.ty()?.rank();
    match one_axis(a.attributes, rank)? {
        None if rank == 1 => Ok((x.clone(), 0)),
        None => Ok((x.flatten(), 0)),
        Some(axis) => Ok((x.clone(), axis)),
    }
}

/// The attribute `axis` as one axis or none.
pub(super) fn one_axis(attributes: &Attributes, rank: usize) -> Result<Option<usize>> {
    match attributes.ints("axis")?.as_deref() {
        None => Ok(None),
        Some(&[axis]) => normalize_axis(axis, rank).map(Some),
        Some(axes) => type_error(format!("`axis` is one axis or none, not {axes:?}")),
    }
}

/// Elements at positions along an axis, which differ from place to place on the others: those have equal
/// lengths in both.
pub(super) fn along_axis(x: &Var, indices: &Var, axis: usize) -> Result<Var> {
    Ok(x.index(operand_items(x.ty()?.rank()), &places_along(x, indices, axis)?))
}

pub(super) fn operand_items(count: usize) -> Vec<IndexItem> {
    (0..count).map(IndexItem::Operand).collect()
}

/// The positions on every axis that together name the places of [`along_axis`].
pub(super) fn places_along(x: &Var, indices: &Var, axis: usize) -> Result<Vec<Var>> {
    let rank = x.ty()?.rank();
    let place = |at: usize| match at == axis {
        true => indices.clone(),
        false => super::composed::between_axes(&positions(&length(x, at)), 0, rank - 1 - at),
    };
    Ok((0..rank).map(place).collect())
}

fn topk(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, axis) = along(a)?;
    let k = a.operand(1)?;
    whole(k)?;
    if k.ty()?.rank() != 0 {
        return type_error(format!("`k` is one whole number, not {}", k.ty()?));
    }
    let known = x.ty()?.dims.get(axis).and_then(Dim::known);
    if let Some(k) = constant_int(k).filter(|&k| k < 0 || known.is_some_and(|length| k > length as i64)) {
        return type_error(format!("there are no {k} elements on axis {axis} of {}", x.ty()?));
    }
    let attributes = Attributes::new().with("axis", axis as i64);
    let order = |x: &Var| Var::apply("argsort", std::slice::from_ref(x), attributes.clone());
    let order = match a.attributes.bool("largest")? {
        false => order(&x),
        // Ascending in reverse, read backwards: of equal elements the first still comes first.
        true => length(&x, axis) - Var::scalar(1i64) - order(&x.flip(axis as i64)).flip(axis as i64),
    };
    let k = constant_int(k).map_or_else(|| k.cast(DType::I64), Var::scalar);
    let indices = order.take(&positions(&k), axis as i64);
    Ok(vec![along_axis(&x, &indices, axis)?, indices])
}

fn nonzero(x: &Var) -> Result<Vec<Var>> {
    let rank = x.ty()?.rank();
    if rank == 0 {
        return type_error("a scalar has no axes to give places on");
    }
    let mask = x.cast(DType::Bool);
    let shape = vector(&lengths(x)?);
    let chosen = |axis: usize| {
        let grid = super::composed::between_axes(&positions(&length(x, axis)), 0, rank - 1 - axis);
        let grid = if rank == 1 { grid } else { grid.broadcast_to_var(&shape) };
        grid.index(vec![IndexItem::Operand(0)], std::slice::from_ref(&mask))
    };
    Ok((0..rank).map(chosen).collect())
}

fn interp(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, places, values) = (a.operand(0)?, a.operand(1)?, a.operand(2)?);
    let ([own], [other]) = (places.ty()?.dims.as_slice(), values.ty()?.dims.as_slice()) else {
        return type_error(format!("places and values are vectors, not {} and {}", places.ty()?, values.ty()?));
    };
    same_length(own, other, "there are not as many places as values")?;
    let attributes = Attributes::new().with("side", Attribute::Str("right".into()));
    let found = Var::apply("searchsorted", &[places.clone(), x.clone()], attributes);
    let (zero, one) = (Var::scalar(0i64), Var::scalar(1i64));
    let last = length(places, 0) - &one;
    let low = (found - &one).minimum(&(&last - &one)).maximum(&zero);
    let high = (&low + &one).minimum(&last);
    let at = |v: &Var, place: &Var| v.take(place, 0);
    let slope = (at(values, &high) - at(values, &low)) / (at(places, &high) - at(places, &low));
    let line = at(values, &low) + slope * (x - at(places, &low));
    let (first_place, last_place) = (places.at(0), places.at(-1));
    let (first, end) = (values.at(0), values.at(-1));
    let left = a.operands.get(3).unwrap_or(&first);
    let right = a.operands.get(4).unwrap_or(&end);
    // The last value itself is met exactly.
    let inside = where_(&x.eq(&last_place), &end, &where_(&x.gt(&last_place), right, &line));
    Ok(vec![where_(&x.lt(&first_place), left, &inside)])
}

/// Which of two elements of a tensor comes first; NaN comes last.
pub fn compare_elements(x: &Tensor) -> impl Fn(usize, usize) -> Ordering {
    enum Values {
        Float(Vec<f64>),
        Signed(Vec<i64>),
        Unsigned(Vec<u64>),
    }
    let values = match x.dtype().kind() {
        DKind::Float => Values::Float(x.to_f64_vec()),
        DKind::Unsigned => Values::Unsigned(x.to_i64_vec().into_iter().map(|value| value as u64).collect()),
        _ => Values::Signed(x.to_i64_vec()),
    };
    move |i, j| match &values {
        Values::Float(list) => compare_floats(list[i], list[j]),
        Values::Signed(list) => list[i].cmp(&list[j]),
        Values::Unsigned(list) => list[i].cmp(&list[j]),
    }
}

/// The order of two floats; NaN is larger than any number, and equal to NaN.
pub fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The places of a tensor's slabs along an axis (of its elements, if that is none) in the groups of those
/// that are equal, groups and places in ascending order.
pub fn equal_groups(x: &Tensor, axis: Option<usize>) -> Vec<Vec<usize>> {
    let (outer, length, inner) = match axis {
        None => (1, x.len(), 1),
        Some(axis) => {
            let shape = x.shape();
            (shape[..axis].iter().product::<usize>(), shape[axis], shape[axis + 1..].iter().product::<usize>())
        }
    };
    let compare = compare_elements(x);
    let slabs = |i: usize, j: usize| {
        let places = (0..outer).flat_map(|o| (0..inner).map(move |n| (o, n)));
        let at = |slab: usize, (o, n): (usize, usize)| (o * length + slab) * inner + n;
        places.map(|place| compare(at(i, place), at(j, place))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut order: Vec<usize> = (0..length).collect();
    order.sort_by(|&i, &j| slabs(i, j));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for place in order {
        match groups.last_mut() {
            Some(group) if slabs(group[0], place).is_eq() => group.push(place),
            _ => groups.push(vec![place]),
        }
    }
    groups
}

/// The length of the result of `bincount`.
///
/// # Errors
/// If a number is negative, or the result fits no axis.
pub fn bincount_length(x: &Tensor, minlength: i64) -> Result<usize> {
    let fail = |message: String| Err(Error::new(ErrorKind::Runtime, message));
    let values = x.to_i64_vec();
    let unsigned = x.dtype().kind() == DKind::Unsigned;
    if let Some(value) = values.iter().find(|&&value| value < 0) {
        return match unsigned {
            true => fail(format!("{} is too large to count", *value as u64)),
            false => fail(format!("only numbers from 0 on are counted, but {value} is among them")),
        };
    }
    let most = values.iter().map(|&value| value as usize + 1).max().unwrap_or(0).max(minlength.max(0) as usize);
    if most < 1 << 40 { Ok(most) } else { fail(format!("a number as large as {} is not counted", most - 1)) }
}

impl OrderOp {
    fn flags(&self, attributes: &Attributes) -> Result<[bool; 3]> {
        Ok([attributes.bool("return_index")?, attributes.bool("return_inverse")?, attributes.bool("return_counts")?])
    }

    fn weighted_dtype(operands: &[Operand<'_>]) -> DType {
        operands.get(1).map_or(DType::I64, |weights| if weights.ty.dtype.is_float() { weights.ty.dtype } else { DType::F64 })
    }
}

/// That two axes may have one length.
fn same_length(a: &Dim, b: &Dim, what: &str) -> Result<()> {
    match a.compatible(b) {
        true => Ok(()),
        false => type_error(format!("{what}: {a} against {b}")),
    }
}

impl Op for OrderOp {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        match (self.kind, operands) {
            (Kind::SearchSorted, [a, v, ..]) => settle_float(&[a, v], false),
            _ => Vec::new(),
        }
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let x = nth(operands, 0)?.ty;
        let integers = |dims: Vec<Dim>| Inferred::from(Type::new(DType::I64, dims));
        match self.kind {
            Kind::ArgSort => Ok(vec![integers(match one_axis(attributes, x.rank())? {
                Some(_) => x.dims.clone(),
                None => vec![super::sizes::Count::of(&x.dims).dim()],
            })]),
            Kind::SearchSorted => {
                if x.rank() != 1 {
                    return type_error(format!("what is searched is a vector, not {x}"));
                }
                if !matches!(attributes.str("side")?, "left" | "right") {
                    return type_error("`side` is \"left\" or \"right\"");
                }
                if let Some(sorter) = operands.get(2) {
                    if !sorter.ty.dtype.is_integer() || sorter.ty.rank() != 1 {
                        return type_error(format!("`sorter` is a vector of places, not {}", sorter.ty));
                    }
                    same_length(&x.dims[0], &sorter.ty.dims[0], "`sorter` has another length than `a`")?;
                }
                Ok(vec![integers(nth(operands, 1)?.ty.dims.clone())])
            }
            Kind::Unique => {
                let axis = one_axis(attributes, x.rank())?;
                let mut dims = if axis.is_some() { x.dims.clone() } else { vec![Dim::Unknown] };
                let inverse = match axis {
                    Some(axis) => vec![x.dims[axis].clone()],
                    None => x.dims.clone(),
                };
                dims[axis.unwrap_or(0)] = Dim::Unknown;
                let mut results = vec![Type { dtype: x.dtype, weak: x.weak, dims }.into()];
                let more = [vec![Dim::Unknown], inverse, vec![Dim::Unknown]];
                let chosen = more.into_iter().zip(self.flags(attributes)?).filter(|(_, flag)| *flag);
                results.extend(chosen.map(|(dims, _)| integers(dims)));
                Ok(results)
            }
            Kind::BinCount => {
                if !x.dtype.is_integer() || x.rank() != 1 {
                    return type_error(format!("what is counted is a vector of whole numbers, not {x}"));
                }
                if attributes.int("minlength")? < 0 {
                    return type_error("`minlength` is not negative");
                }
                if let Some(weights) = operands.get(1) {
                    let [dim] = weights.ty.dims.as_slice() else {
                        return type_error(format!("weights are a vector, not {}", weights.ty));
                    };
                    same_length(&x.dims[0], dim, "the weights are not as many as the numbers")?;
                }
                Ok(vec![Type::new(OrderOp::weighted_dtype(operands), [Dim::Unknown]).into()])
            }
        }
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let x = nth(operands, 0)?;
        let count = || x.shape.iter().product::<usize>();
        Ok(match self.kind {
            Kind::ArgSort => vec![match one_axis(attributes, x.shape.len())? {
                Some(_) => x.shape.into(),
                None => Shape::from_slice(&[count()]),
            }],
            Kind::SearchSorted => vec![nth(operands, 1)?.shape.into()],
            Kind::Unique => {
                let axis = one_axis(attributes, x.shape.len())?;
                let found = equal_groups(value_of(x, self.name)?, axis).len();
                let mut shape: Shape = if axis.is_some() { x.shape.into() } else { Shape::from_slice(&[found]) };
                shape[axis.unwrap_or(0)] = found;
                let inverse: Shape = axis.map_or_else(|| x.shape.into(), |axis| Shape::from_slice(&[x.shape[axis]]));
                let more = [Shape::from_slice(&[found]), inverse, Shape::from_slice(&[found])];
                let chosen = more.into_iter().zip(self.flags(attributes)?).filter(|(_, flag)| *flag);
                std::iter::once(shape).chain(chosen.map(|(shape, _)| shape)).collect()
            }
            Kind::BinCount => {
                vec![Shape::from_slice(&[bincount_length(value_of(x, self.name)?, attributes.int("minlength")?)?])]
            }
        })
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        if matches!(self.kind, Kind::Unique | Kind::BinCount) { vec![0] } else { Vec::new() }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let mut cotangents = vec![None; context.operands.len()];
        let Some(Some(g)) = context.cotangents.first() else { return Ok(cotangents) };
        let x = nth(context.operands, 0)?;
        match self.kind {
            Kind::Unique if x.ty()?.dtype.is_float() => {
                let axis = one_axis(context.attributes, x.ty()?.rank())?;
                let base = if axis.is_some() { x.zeros_like() } else { x.zeros_like().flatten() };
                let mut items = vec![super::composed::whole_axis(); axis.unwrap_or(0)];
                items.push(IndexItem::Operand(0));
                let index = first_places(x, context.attributes);
                let sum = Var::apply("add_at", &[base, g.clone(), index], index_attribute(items));
                cotangents[0] = Some(if axis.is_some() { sum } else { sum.reshape_to(&x.shape()) });
            }
            Kind::BinCount => {
                if let Some(weights) = context.operands.get(1).filter(|weights| weights.ty().is_ok_and(|ty| ty.dtype.is_float())) {
                    cotangents[1] = Some(like_dtype(g.take(x, 0), weights));
                }
            }
            _ => {}
        }
        Ok(cotangents)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let mut tangents = vec![None; context.results.len()];
        let x = nth(context.operands, 0)?;
        match (self.kind, context.tangents) {
            (Kind::Unique, [Some(t), ..]) => {
                let axis = one_axis(context.attributes, x.ty()?.rank())?;
                let index = first_places(x, context.attributes);
                tangents[0] = Some(match axis {
                    Some(axis) => t.take(&index, axis as i64),
                    None => t.flatten().take(&index, 0),
                });
            }
            (Kind::BinCount, [_, Some(t)]) => {
                tangents[0] = Some(Var::apply(self.name, &[x.clone(), t.clone()], context.attributes.clone()));
            }
            _ => {}
        }
        Ok(tangents)
    }

    fn can_fail(&self) -> bool {
        matches!(self.kind, Kind::BinCount | Kind::SearchSorted)
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let value = match self.kind {
            Kind::ArgSort => {
                let axis = one_axis(context.attributes, context.rank(0)?)?;
                let x = if axis.is_some() { context.operands[0].clone() } else { context.flat_rows(0)? };
                Var::apply(self.name, &[x], context.attributes.clone().with("axis", axis.unwrap_or(0) as i64 + 1))
            }
            Kind::SearchSorted if !context.is_batched(0) && !context.is_batched(2) => {
                Var::apply(self.name, context.operands, context.attributes.clone())
            }
            _ => return Ok(Batched::Default),
        };
        Ok(Batched::Rows(vec![value]))
    }
}

/// Where the results of `unique` come from: the first of those that are equal.
fn first_places(x: &Var, attributes: &Attributes) -> Var {
    let axis = attributes.get("axis").cloned().unwrap_or(Attribute::None);
    let attributes = Attributes::new().with("axis", axis).with("return_index", true);
    Var::apply("unique", std::slice::from_ref(x), attributes).sibling(1)
}

impl Var {
    /// The elements along an axis in ascending order, NaN last.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, ["n".into(), 4.into()]));
    /// assert_eq!(x.sort(-1).ty().unwrap().to_string(), "f32[n, 4]");
    /// ```
    #[track_caller]
    pub fn sort(&self, axis: i64) -> Var {
        Var::apply("sort", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// The places of the elements along an axis in ascending order.
    #[track_caller]
    pub fn argsort(&self, axis: i64) -> Var {
        Var::apply("argsort", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// The `k` largest elements along an axis, in descending order, and their places.
    #[track_caller]
    pub fn topk(&self, k: i64, axis: i64) -> (Var, Var) {
        let values = Var::apply("topk", &[self.clone(), Var::scalar(k)], Attributes::new().with("axis", axis));
        let indices = values.siblings().pop().unwrap_or_else(|| values.clone());
        (values, indices)
    }

    /// The places of all elements but 0, as a vector for each axis.
    #[track_caller]
    pub fn nonzero(&self) -> Vec<Var> {
        Var::apply("nonzero", std::slice::from_ref(self), Attributes::new()).siblings()
    }

    /// The elements, each once, in ascending order.
    #[track_caller]
    pub fn unique(&self) -> Var {
        Var::apply("unique", std::slice::from_ref(self), Attributes::new())
    }
}
