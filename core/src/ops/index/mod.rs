//! Indexing with NumPy's rules, basic and advanced; writing and adding at an index; `take`, `one_hot`.

mod along;
mod batch;
mod builders;
mod steps;
mod types;

pub(crate) use builders::stepped;
pub use steps::{Plan, Step, normalize_position, plan, slice_range};

use super::elementwise::{like_dtype, unbroadcast};
use super::{
    Attribute, AttributeKind, Attributes, Batch, Batched, IndexBound, IndexItem, Inferred, Jvp, Op, Operand, Param, ParamKind,
    Registry, ShapeOperand, Vjp, normalize_axis, nth, promote_operands, settle_float, where_,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{NodeKind, Var};
use crate::tensor::{DType, Dim, Shape, Type};
use types::{indexed_dims, indexed_shape, indexed_sizes};

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let (operand, attribute) = (Param::operand, Param::attribute);
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
              counts, also in the gradient.\n\n    set_at(x[1:], v)",
    });
    registry.add(IndexOp {
        name: "add_at",
        rule: Rule::Add,
        params: vec![operand("x", "what to add to"), operand("v", "what to add"), operands(), index()],
        doc: "`x` with `v`, broadcast, added at an index; a place that the index names twice gets both, as with \
              NumPy's `add.at`.\n\n    add_at(x[rows], v)",
    });
    registry.add(IndexOp {
        name: "take",
        rule: Rule::Take,
        params: vec![
            operand("x", "what to take from"),
            operand("indices", "positions, whole numbers"),
            attribute("axis", AttributeKind::Axes, Some(Attribute::None), "the axis; `none` takes from `x` flattened"),
            along::mode_param(),
        ],
        doc: "Elements of `x` at positions on one axis; negative ones count from the end with mode \"raise\", wrap with \
              \"wrap\" and are clipped to 0 with \"clip\".\n\n    take(x, [0, 2], axis=1)",
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
    along::register(registry);
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

fn type_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
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
        let raises = match attributes.str("mode")? {
            "raise" => true,
            "wrap" | "clip" => false,
            other => return type_error(format!("`mode` is \"raise\", \"wrap\" or \"clip\", not {other:?}")),
        };
        let (dims, sizes) = match self.take_axis(attributes, x.ty.rank())? {
            None => (indices.ty.dims.clone(), None),
            Some(axis) if !raises => {
                ([&x.ty.dims[..axis], &indices.ty.dims, &x.ty.dims[axis + 1..]].concat(), None)
            }
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

pub(super) fn index_attribute(items: Vec<IndexItem>) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.set("index", Attribute::Index(items));
    attributes
}

impl From<Vec<IndexItem>> for Attribute {
    fn from(items: Vec<IndexItem>) -> Attribute {
        Attribute::Index(items)
    }
}

impl Op for IndexOp {
    described!();

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

    fn size_operands(&self, types: &[&Type], attributes: &Attributes) -> Vec<usize> {
        // Bounds of slices, and masks, whose contents decide a length.
        let (Rule::Index, Ok(items)) = (self.rule, attributes.index("index")) else { return Vec::new() };
        let is_mask = |number: usize| types.get(number + 1).is_some_and(|ty| ty.dtype == DType::Bool);
        let bound = |bound: &IndexBound| match bound {
            IndexBound::Operand(number) => Some(*number),
            _ => None,
        };
        let deciding = |item: &IndexItem| match item {
            IndexItem::Operand(number) => [Some(*number).filter(|&number| is_mask(number)), None],
            IndexItem::Slice { start, stop, .. } => [bound(start), bound(stop)],
            _ => [None, None],
        };
        let mut numbers: Vec<usize> = items.iter().flat_map(deciding).flatten().map(|number| number + 1).collect();
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
                let operands = [&[x.zeros_like(), g.clone()], &context.operands[1..]].concat();
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
                    cotangents[0] = Some(like_dtype(kept, x));
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
                    cotangents[1] = Some(unbroadcast(&part, v));
                }
            }
            Rule::Take if x.ty()?.dtype.is_float() => {
                let indices = nth(context.operands, 1)?.clone();
                let axis = self.take_axis(context.attributes, x.ty()?.rank())?;
                let base = match axis {
                    Some(_) => x.zeros_like(),
                    None => x.zeros_like().flatten(),
                };
                let items = items_on(axis.unwrap_or(0));
                let length = super::composed::length(&base, axis.unwrap_or(0));
                let indices = along::in_range(&indices, &length, context.attributes.str("mode")?)?;
                let sum = Var::apply("add_at", &[base, g.clone(), indices], index_attribute(items));
                cotangents[0] = Some(match axis {
                    Some(_) => sum,
                    None => sum.reshape_to(&x.shape()),
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
                    let t = t.unwrap_or_else(|| x.zeros_like());
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

    fn fails_before_writing(&self) -> bool {
        matches!(self.rule, Rule::Set | Rule::Add)
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        batch::batch(self, context)
    }
}
