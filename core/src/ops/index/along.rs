//! Choosing elements by positions along an axis, by conditions and by numbers, given by other ops; flat
//! places from positions and back.

use super::index_attribute;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::ops::composed::{Arguments, add, type_error, whole};
use crate::ops::order::{along, along_axis, one_axis, operand_items, places_along};
use crate::ops::sizes::{dims_of_sizes, shape_of_sizes};
use crate::ops::{
    Attribute, AttributeKind, Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp,
    broadcast_operands, nth, where_,
};
use crate::tensor::{DType, Dim, Shape, Type, broadcast_shapes};

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let list = |name, doc| Param { name, kind: ParamKind::OperandList, doc };
    let axis = |default, doc| Param::attribute("axis", AttributeKind::Axes, Some(default), doc);
    let last = || axis(Attribute::Int(-1), "the axis; x and positions flattened if none");
    let none = || axis(Attribute::None, "the axis; the flattened operand if none");
    let positions = || operand("indices", "positions along the axis, with as many axes as x; the others broadcast");
    add(registry, "take_along_axis", vec![operand("x", "what to take from"), positions(), last()],
        "Elements of `x` at positions along one axis that differ from place to place on the others, as `argsort` and \
         `argmax` give them.\n\n    take_along_axis(x, argsort(x, axis=1), axis=1)", |a| {
            let (x, axis) = along(a)?;
            let indices = positions_like(a, &x)?;
            Ok(vec![along_axis(&x, &indices, axis)?])
        });
    add(registry, "put_along_axis",
        vec![operand("x", "what to change"), positions(), operand("values", "what to write; it broadcasts to the positions"), last()],
        "`x` with values written at positions along one axis, the counterpart of `take_along_axis`. Of positions \
         that are named twice the last counts.\n\n    put_along_axis(x, indices, 0, axis=1)", |a| {
            let (x, axis) = along(a)?;
            let places = places_along(&x, &positions_like(a, &x)?, axis)?;
            let operands = [&[x.clone(), a.operand(2)?.clone()], places.as_slice()].concat();
            let written = Var::apply("set_at", &operands, index_attribute(operand_items(places.len())));
            Ok(vec![like_shape(a, written)?])
        });
    add(registry, "put", vec![operand("x", "what to change"), operand("indices", "positions in the flattened operand"), operand("values", "what to write; it broadcasts to the positions")],
        "`x` with values written at positions of the flattened operand. Of positions that are named twice the last \
         counts.\n\n    put(x, [0, 5], -1)", |a| {
            let operands = [a.operand(0)?.flatten(), a.operand(2)?.clone(), a.operand(1)?.clone()];
            let written = Var::apply("set_at", &operands, index_attribute(operand_items(1)));
            Ok(vec![written.reshape_to(&a.operand(0)?.shape())])
        });
    add(registry, "compress", vec![operand("condition", "a vector, at most as long as the axis"), operand("x", "what to take from"), none()],
        "The slabs of `x` along an axis where the condition holds.\n\n    compress([false, true], x, axis=0)", |a| {
            let (condition, x) = (a.operand(0)?, a.operand(1)?);
            if condition.ty()?.rank() != 1 {
                return type_error(format!("a condition is a vector, not {}", condition.ty()?));
            }
            let axis = one_axis(a.attributes, x.ty()?.rank())?;
            let x = if axis.is_some() { x.clone() } else { x.flatten() };
            let places = condition.nonzero().remove(0);
            Ok(vec![x.take(&places, axis.unwrap_or(0) as i64)])
        });
    add(registry, "extract", vec![operand("condition", "what is other than 0 chooses"), operand("x", "what to take from")],
        "The elements of the flattened `x` where the flattened condition holds.\n\n    extract(x > 0, x)", |a| {
            let places = a.operand(0)?.flatten().nonzero().remove(0);
            Ok(vec![a.operand(1)?.flatten().take(&places, 0)])
        });
    add(registry, "choose", vec![operand("a", "which of the choices, counted from 0"), list("choices", "tensors that broadcast together and with a"), mode_param()],
        "At each place the element of the choice that `a` names.\n\n    choose([1, 0], [[1, 2], [3, 4]])  # 3 2", choose);
    add(registry, "select",
        vec![list("condlist", "conditions"), list("choicelist", "as many choices"),
            Param::attribute("default", AttributeKind::Float, Some(Attribute::Float(0.0)), "where no condition holds")],
        "At each place the element of the first choice whose condition holds.\n\n    select([x < 0, x > 1], [-x, x], default=1)", select);
    registry.add(Places {
        name: "ravel_multi_index",
        unravel: false,
        params: vec![list("multi_index", "positions on each axis, which broadcast together"),
            Param { name: "dims", kind: ParamKind::Sizes, doc: "the shape" }, mode_param()],
        doc: "Places in a flattened tensor of some shape from positions on its axes.\n\n    ravel_multi_index([[1, 0], [2, 2]], [2, 3])  # 5 2",
    });
    registry.add(Places {
        name: "unravel_index",
        unravel: true,
        params: vec![operand("indices", "places in the flattened tensor"), Param { name: "shape", kind: ParamKind::Sizes, doc: "the shape" }],
        doc: "Positions on each axis of a shape from places in the flattened tensor.\n\n    rows, columns = unravel_index([5, 2], [2, 3])",
    });
}

/// What to do with positions that are out of range.
pub(super) fn mode_param() -> Param {
    let doc = "positions out of range: \"raise\" is an error, \"wrap\" counts on from the start, \"clip\" takes the nearest";
    Param::attribute("mode", AttributeKind::Str, Some(Attribute::Str("raise".into())), doc)
}

/// Positions on an axis of some length brought into range, as the mode says.
pub(super) fn in_range(indices: &Var, length: &Var, mode: &str) -> Result<Var> {
    let wide = || indices.cast(DType::I64);
    match mode {
        "raise" => Ok(indices.clone()),
        "wrap" => Ok(wide() % length),
        "clip" => Ok(wide().maximum(&Var::scalar(0i64)).minimum(&(length - Var::scalar(1i64)))),
        other => type_error(format!("`mode` is \"raise\", \"wrap\" or \"clip\", not {other:?}")),
    }
}

/// The operand of positions, flattened where `x` is, with as many axes.
fn positions_like(a: &Arguments<'_>, x: &Var) -> Result<Var> {
    let indices = a.operand(1)?;
    whole(indices)?;
    let indices = if a.attributes.get("axis") == Some(&Attribute::None) { indices.flatten() } else { indices.clone() };
    let (own, wanted) = (indices.ty()?.rank(), x.ty()?.rank());
    if own != wanted {
        return type_error(format!("positions have the {wanted} axes of x, not {own}"));
    }
    Ok(indices)
}

/// The result in the shape of the first operand, which may have been flattened.
fn like_shape(a: &Arguments<'_>, value: Var) -> Result<Var> {
    let x = a.operand(0)?;
    Ok(if value.ty()?.rank() == x.ty()?.rank() { value } else { value.reshape_to(&x.shape()) })
}

fn choose(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let which = a.operand(0)?;
    whole(which)?;
    let count = a.operands.len() as i64 - 1;
    if count == 0 {
        return type_error("there is nothing to choose from");
    }
    let count = Var::scalar(count);
    let mode = a.attributes.str("mode")?;
    let mut which = in_range(which, &count, mode)?;
    if mode == "raise" {
        // Choices are not counted from the end.
        let wide = which.cast(DType::I64);
        which = where_(&wide.lt(&Var::scalar(0i64)), &count, &wide);
    }
    let all = [std::slice::from_ref(&which), &a.operands[1..]].concat();
    let all = Var::apply("broadcast_arrays", &all, Attributes::new()).siblings();
    let [which, choices @ ..] = all.as_slice() else { return type_error("there is nothing to choose from") };
    let stacked = crate::ops::shape::stack(choices, 0);
    Ok(vec![along_axis(&stacked, &which.expand_dims(0), 0)?.at(0)])
}

fn select(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (conditions, choices) = a.operands.split_at(a.operands.len() / 2);
    if conditions.is_empty() || conditions.len() != choices.len() {
        return type_error(format!("there are as many choices as conditions, but {} in all", a.operands.len()));
    }
    for condition in conditions {
        if condition.ty()?.dtype != DType::Bool {
            return type_error(format!("a condition is bool, not {}", condition.ty()?));
        }
    }
    let default = a.attributes.float("default")?;
    let whole = default.fract() == 0.0 && default.abs() < 9e15;
    let default = if whole { Var::weak(default as i64) } else { Var::weak(default) };
    let pairs = conditions.iter().zip(choices).rev();
    Ok(vec![pairs.fold(default, |rest, (condition, choice)| where_(condition, choice, &rest))])
}

/// `ravel_multi_index` and `unravel_index`.
struct Places {
    name: &'static str,
    unravel: bool,
    params: Vec<Param>,
    doc: &'static str,
}

impl Op for Places {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let Some((sizes, indices)) = operands.split_last() else { return type_error("the shape is missing") };
        if let Some(other) = indices.iter().find(|operand| !operand.ty.dtype.is_integer()) {
            return type_error(format!("positions are whole numbers, not {}", other.ty));
        }
        let axes = dims_of_sizes(sizes)?.len();
        let result = |dims: Vec<Dim>| Inferred::from(Type::new(DType::I64, dims));
        if self.unravel {
            let dims = nth(indices, 0)?.ty.dims.clone();
            return Ok(vec![result(dims); axes]);
        }
        if indices.len() != axes {
            return type_error(format!("positions on {} axes for a shape of {axes}", indices.len()));
        }
        if !matches!(attributes.str("mode")?, "raise" | "wrap" | "clip") {
            return type_error("`mode` is \"raise\", \"wrap\" or \"clip\"");
        }
        Ok(vec![result(broadcast_operands(indices.iter().map(|operand| operand.ty))?)])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let Some((sizes, indices)) = operands.split_last() else {
            return Err(Error::new(ErrorKind::Internal, "the shape is missing"));
        };
        if self.unravel {
            let axes = shape_of_sizes(sizes, self.name)?.len();
            return Ok(vec![nth(indices, 0)?.shape.into(); axes]);
        }
        let together = indices.iter().try_fold(Shape::new(), |shape, operand| broadcast_shapes(&shape, operand.shape))?;
        Ok(vec![together])
    }

    fn size_operands(&self, types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        if self.unravel { vec![types.len().saturating_sub(1)] } else { Vec::new() }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; context.operands.len()])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![None; context.results.len()])
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let sizes = context.operands.len() - 1;
        if context.is_batched(sizes) {
            return Ok(Batched::Default);
        }
        let mut rank = 0;
        for at in 0..sizes {
            rank = rank.max(context.rank(at)?);
        }
        let mut operands = (0..sizes).map(|at| context.aligned(at, rank)).collect::<Result<Vec<Var>>>()?;
        operands.push(context.operands[sizes].clone());
        let values = Var::apply(self.name, &operands, context.attributes.clone()).siblings();
        Ok(Batched::Rows(values))
    }
}

impl Var {
    /// Elements at positions along one axis that differ from place to place on the others.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, ["n".into(), 4.into()]));
    /// let sorted = x.take_along_axis(&x.argsort(1), 1);
    /// assert_eq!(sorted.ty().unwrap().to_string(), "f32[n, 4]");
    /// ```
    #[track_caller]
    pub fn take_along_axis(&self, indices: &Var, axis: i64) -> Var {
        Var::apply("take_along_axis", &[self.clone(), indices.clone()], Attributes::new().with("axis", axis))
    }

    /// Values written at positions along one axis, the counterpart of [`Var::take_along_axis`].
    #[track_caller]
    pub fn put_along_axis(&self, indices: &Var, values: &Var, axis: i64) -> Var {
        let operands = [self.clone(), indices.clone(), values.clone()];
        Var::apply("put_along_axis", &operands, Attributes::new().with("axis", axis))
    }
}
