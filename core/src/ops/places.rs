//! Permutations, tables of what was found, and values between known places.

use super::composed::{Arguments, Composed, Settle, add, length, type_error, whole};
use super::shape::concatenate;
use super::{Attribute, AttributeKind, Attributes, Param, ParamKind, Registry, where_};
use crate::error::Result;
use crate::graph::Var;
use crate::tensor::DType;

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let flag = |name, default: bool, doc| Param::attribute(name, AttributeKind::Bool, Some(default.into()), doc);
    let optional = |name, doc| Param { name, kind: ParamKind::OptionalOperand, doc };
    add(registry, "inverse_permutation", vec![operand("p", "a permutation of the numbers from 0 on, along the last axis")],
        "The permutation that undoes another.\n\n    inverse_permutation([2, 0, 1])  # 1 2 0", |a| {
            whole(a.operand(0)?)?;
            if a.rank()? == 0 {
                return type_error("a permutation has an axis, but this is a scalar");
            }
            Ok(vec![Var::apply("argsort", &a.operands[..1], Attributes::new())])
        });
    add(registry, "permute_row_elements", vec![operand("x", "rows along the last axis"), operand("p", "permutations of their places"), flag("inverse", false, "undo the permutations")],
        "Each row in the order of a permutation, `x[i, p[i]]`; the axes before the last broadcast.\n\n    permute_row_elements(x, p)", |a| {
            let (x, p) = (a.operand(0)?, a.operand(1)?);
            whole(p)?;
            if a.rank()? == 0 || p.ty()?.rank() == 0 {
                return type_error("rows and permutations have an axis, but one is a scalar");
            }
            let p = if a.attributes.bool("inverse")? { Var::apply("argsort", std::slice::from_ref(p), Attributes::new()) } else { p.clone() };
            // Both to one shape, without arithmetic on values that may be infinite.
            let both = Var::apply("broadcast_arrays", &[x.clone(), p], Attributes::new());
            both.ty()?;
            Ok(vec![both.take_along_axis(&both.sibling(1), -1)])
        });
    add(registry, "nonzero_values", vec![operand("x", "the operand")],
        "All elements but 0, as a vector.\n\n    nonzero_values(x)", |a| {
            let flat = a.operand(0)?.flatten();
            let places = Var::apply("flatnonzero", std::slice::from_ref(&flat), Attributes::new());
            Ok(vec![flat.take(&places, 0)])
        });
    add(registry, "argtopk",
        vec![operand("x", "the operand"), operand("k", "how many"), Param::attribute("axis", AttributeKind::Axes, Some(Attribute::Int(-1)), "the axis; the flattened operand if none"),
            flag("largest", true, "the largest elements; the smallest if false")],
        "The places that `topk` gives.\n\n    argtopk(x, 2)", |a| {
            Ok(vec![Var::apply("topk", a.operands, a.attributes.clone()).sibling(1)])
        });
    add(registry, "confusion_matrix", vec![operand("actual", "a vector of whole numbers, classes"), operand("predicted", "another, as long")],
        "How often each class was taken for each, one row for an actual class, and the classes that are found, ascending.\n\n    \
         counts, classes = confusion_matrix(y, argmax(scores, axis=-1))", |a| {
            let (actual, predicted) = (a.operand(0)?, a.operand(1)?);
            for (name, labels) in [("actual", actual), ("predicted", predicted)] {
                whole(labels)?;
                if labels.ty()?.rank() != 1 {
                    return type_error(format!("`{name}` is a vector, not {}", labels.ty()?));
                }
            }
            if !actual.ty()?.dims[0].compatible(&predicted.ty()?.dims[0]) {
                return type_error(format!("both are equally long, not {} and {}", actual.ty()?, predicted.ty()?));
            }
            let classes = concatenate(&[actual.clone(), predicted.clone()], 0).unique();
            let found = |labels: &Var| labels.expand_dims(1).eq(&classes).cast(DType::I64);
            Ok(vec![found(actual).t().matmul(&found(predicted)), classes.clone()])
        });
    registry.add(Composed {
        name: "interpolate1d", settle: Settle::ToFloat(5),
        params: vec![operand("x", "where"), operand("xp", "an ascending vector of places"), operand("fp", "the values there"),
            optional("left", "the value below the first place, if it is not extrapolated; the first value if left out"),
            optional("right", "the value above the last place, if it is not extrapolated; the last value if left out"),
            Param::attribute("method", AttributeKind::Str, Some(Attribute::Str("linear".into())), "\"linear\", \"nearest\", \"first\", \"last\" or \"mean\" of the values on both sides"),
            flag("extrapolate", true, "whether the first and last pieces go on beyond the ends")],
        doc: "A function known at some places, at others: between two places on the line, the value of the nearer (halves to \
              the left), the left one, the right one, or the mean of both; a known place begins the piece to its right.\n\n    interpolate1d(x, xp, fp, method=\"nearest\")",
        build: interpolate,
    });
}

fn interpolate(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, xp, fp) = (a.operand(0)?, a.operand(1)?, a.operand(2)?);
    for (name, v) in [("xp", xp), ("fp", fp)] {
        if v.ty()?.rank() != 1 {
            return type_error(format!("`{name}` is a vector, not {}", v.ty()?));
        }
        if v.ty()?.dims[0].known() == Some(0) {
            return type_error(format!("`{name}` has at least one element"));
        }
    }
    if !xp.ty()?.dims[0].compatible(&fp.ty()?.dims[0]) {
        return type_error(format!("`xp` and `fp` are equally long, not {} and {}", xp.ty()?, fp.ty()?));
    }
    let (zero, one) = (Var::scalar(0i64), Var::scalar(1i64));
    let last = length(xp, 0) - &one;
    let behind = Var::apply("searchsorted", &[xp.clone(), x.clone()], Attributes::new().with("side", "right"));
    // The piece that x lies in: the first or last one beyond the ends.
    let low = (behind - &one).minimum(&(&last - &one)).maximum(&zero);
    let high = (&low + &one).minimum(&last);
    let (x0, x1, f0, f1) = (xp.take(&low, 0), xp.take(&high, 0), fp.take(&low, 0), fp.take(&high, 0));
    let value = match a.attributes.str("method")? {
        "linear" => {
            let width = &x1 - &x0;
            let flat = width.eq(&Var::weak(0.0));
            let slope = (&f1 - &f0) / where_(&flat, &Var::weak(1.0), &width);
            &f0 + (x - &x0) * slope
        }
        "nearest" => where_(&(x - &x0).le(&(&x1 - x)), &f0, &f1),
        "first" => f0.clone(),
        "last" => f1.clone(),
        "mean" => 0.5 * (&f0 + &f1),
        other => return type_error(format!("`method` is \"linear\", \"nearest\", \"first\", \"last\" or \"mean\", not {other:?}")),
    };
    if a.attributes.bool("extrapolate")? {
        return Ok(vec![value]);
    }
    let left = a.operands.get(3).cloned().unwrap_or_else(|| fp.at(0));
    let right = a.operands.get(4).cloned().unwrap_or_else(|| fp.at(-1));
    let inside = where_(&x.gt(&xp.at(-1)), &right, &value);
    Ok(vec![where_(&x.lt(&xp.at(0)), &left, &inside)])
}
