//! Reductions by any op of two operands that may be taken in any order, Theano's `CAReduce`: by the reduction of that op
//! where there is one, else by a loop.

use super::composed::{Arguments, add, lengths, type_error, vector};
use super::control::Scan;
use super::{Attribute, AttributeKind, Attributes, Param, Registry, registry as all_ops};
use crate::error::Result;
use crate::graph::Var;
use crate::tensor::{DType, Tensor};

/// The reductions of ops that have one of their own.
const NAMED: &[(&str, &str)] = &[
    ("add", "sum"), ("mul", "prod"), ("maximum", "max"), ("minimum", "min"), ("logical_and", "all"), ("logical_or", "any"),
    ("logaddexp", "logsumexp"), ("hypot", "vector_norm"),
];

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let params = vec![
        Param::operand("x", "what is reduced"),
        Param::attribute("op", AttributeKind::Str, None, "an elementwise op of two operands that may change places"),
        Param::attribute("axis", AttributeKind::Axes, Some(Attribute::None), "the axis or axes; all of them if none"),
        Param::attribute("keepdims", AttributeKind::Bool, Some(false.into()), "keep reduced axes with length 1"),
    ];
    add(registry, "reduce", params,
        "`op(.. op(op(x0, x1), x2) .., xn)` of the elements along axes, as NumPy's `ufunc.reduce`: \"add\" is `sum`, \"mul\" `prod`, \
         \"maximum\" `max`, \"minimum\" `min`, \"logical_and\" `all`, \"logical_or\" `any`, \"logaddexp\" `logsumexp`, \"hypot\" \
         `vector_norm`; \"logical_xor\" is whether an odd number of elements is non-zero, and \"bitwise_and\", \"bitwise_or\" and \
         \"bitwise_xor\" are of nothing all bits or none. Any other op, a plugin's too, must be elementwise with two operands that \
         may change places, and give what it takes; that it may also be grouped in any way is up to it. Of nothing these are an \
         error.\n\n    reduce(flags, \"bitwise_or\", axis=0)", |a| Ok(vec![reduced(a)?]));
}

/// What changes nothing as an operand of an op.
fn neutral(op: &str, dtype: DType) -> Option<Tensor> {
    match op {
        "bitwise_and" => Some(Tensor::scalar(-1i64).cast(dtype)),
        "bitwise_or" | "bitwise_xor" => Some(Tensor::zeros(dtype, &[])),
        _ => None,
    }
}

fn reduced(a: &Arguments<'_>) -> Result<Var> {
    let (x, name) = (a.operand(0)?, a.attributes.str("op")?);
    let axis = a.attributes.get("axis").cloned().unwrap_or(Attribute::None);
    let by = |own: &str, x: &Var| {
        let attributes = Attributes::new().with("axis", axis.clone());
        Ok(Var::apply(own, std::slice::from_ref(x), attributes.with("keepdims", a.attributes.bool("keepdims")?)))
    };
    if let Some((_, own)) = NAMED.iter().find(|(op, _)| *op == name) {
        return by(own, x);
    }
    if name == "logical_xor" {
        return Ok((by("sum", &x.cast(DType::Bool))? % 2i64).cast(DType::Bool));
    }
    let op = all_ops().get(name)?;
    if !op.is_elementwise() || !op.is_commutative() || op.params().len() != 2 {
        return type_error(format!("`op` is elementwise, of two operands that may change places, which `{name}` is not"));
    }
    let ty = x.ty()?.clone();
    let axes = a.attributes.axes("axis", ty.rank())?;
    let others: Vec<usize> = (0..ty.rank()).filter(|axis| !axes.contains(axis)).collect();
    // All elements that are reduced along the first axis.
    let order: Vec<i64> = axes.iter().chain(&others).map(|&axis| axis as i64).collect();
    let all = lengths(x)?;
    let count = axes.iter().map(|&axis| all[axis].clone()).reduce(|product, length| product * length);
    let rest: Vec<Var> = others.iter().map(|&axis| all[axis].clone()).collect();
    let rows = [vec![count.unwrap_or_else(|| Var::scalar(1i64))], rest.clone()].concat();
    let rows = if ty.rank() > 1 { x.transpose(&order) } else { x.clone() }.reshape_to(&vector(&rows));
    let two = |x: &Var, y: &Var| Var::apply(name, &[x.clone(), y.clone()], Attributes::new());
    let of_two = two(x, x);
    if of_two.ty()?.dtype != ty.dtype {
        return type_error(format!("`{name}` of {} gives {}: to reduce by it, it must give what it takes", ty.dtype, of_two.ty()?.dtype));
    }
    let (start, rows) = match neutral(name, ty.dtype) {
        Some(value) => (Var::constant(value).broadcast_to_var(&vector(&rest)), rows),
        None if rows.ty()?.dims[0].known() == Some(0) => return type_error(format!("`{name}` of no elements has no result")),
        None => (rows.at(0), rows.slice(0, Some(1), None)),
    };
    let loops = Scan::new().sequence("row", &rows).state("total", &start);
    let total = loops.run(|step| step.set("total", &two(&step.get("total"), &step.get("row")))).last("total");
    Ok(match a.attributes.bool("keepdims")? {
        true => axes.iter().fold(total, |total, &axis| total.expand_dims(axis as i64)),
        false => total,
    })
}
