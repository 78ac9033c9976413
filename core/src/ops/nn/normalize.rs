//! Normalizations, dropout and embedding.

use crate::error::Result;
use crate::graph::Var;
use super::sliding::cotangent;
use crate::ops::composed::{Arguments, Composed, Settle, WithDerivative, lengths, type_error, vector, whole};
use crate::ops::{Attribute, AttributeKind, Attributes, Jvp, Param, ParamKind, Registry, Vjp, normalize_axis, where_};
use crate::tensor::{DType, Dim};

pub(super) fn register(registry: &mut Registry) {
    let attribute = Param::attribute;
    let optional = |name, doc| Param { name, kind: ParamKind::OptionalOperand, doc };
    let x = || Param::operand("x", "the operand");
    let gamma = || optional("gamma", "factors of the normalized elements, one for each place of the axes; none if left out");
    let beta = || optional("beta", "what is added to them; nothing if left out");
    let epsilon = || attribute("epsilon", AttributeKind::Float, Some(Attribute::Float(1e-5)), "what is added to the variance");
    let channels = || attribute("axis", AttributeKind::Axes, Some(Attribute::Int(1)), "the axis or axes that keep statistics of their own");
    let last = || attribute("axis", AttributeKind::Axes, Some(Attribute::Int(-1)), "the axis or axes to normalize over");
    registry.add(WithDerivative {
        composed: Composed {
            name: "layer_norm",
            settle: Settle::ToFloat(5),
            params: vec![x(), gamma(), beta(), last(), epsilon()],
            doc: "`(x - mean) / sqrt(var + epsilon) * gamma + beta` over the axes `axis` of each sample (Ba et al., arXiv \
                  1607.06450).\n\n    layer_norm(x, gamma, beta)\n    layer_norm(x, axis=[-2, -1])",
            build: |a| {
                let (x, axes) = (a.operand(0)?, chosen(a)?);
                Ok(vec![scaled(a, &standardized(a, x, &signed(&axes))?, &axes)?])
            },
        },
        vjp: layer_norm_vjp,
        jvp: layer_norm_jvp,
    });
    let mut add = |name, settle, params, doc, build| registry.add(Composed { name, settle, params, doc, build });
    let float = Settle::ToFloat(5);

    add("batch_norm", float, vec![x(), gamma(), beta(), channels(), epsilon()],
        "Of each channel `(x - mean) / sqrt(var + epsilon) * gamma + beta`, over all axes but `axis`; and the mean and \
         the variance (divided by the number of elements) of each channel, for averages that `batch_norm_inference` \
         takes (Ioffe and Szegedy, arXiv 1502.03167).\n\n    y, mean, var = batch_norm(x, gamma, beta)\n    \
         y, mean, var = batch_norm(x, axis=-1)", |a| {
            let x = a.operand(0)?;
            let kept = chosen(a)?;
            let rest: Vec<i64> = (0..x.ty()?.rank()).filter(|axis| !kept.contains(axis)).map(|axis| axis as i64).collect();
            let y = scaled(a, &standardized(a, x, &rest)?, &kept)?;
            Ok(vec![y, x.reduce_axes("mean", Some(&rest), false), x.reduce_axes("var", Some(&rest), false)])
        });
    let given = |name, doc| Param::operand(name, doc);
    add("batch_norm_inference", float,
        vec![x(), given("mean", "of each channel"), given("var", "of each channel"), gamma(), beta(), channels(), epsilon()],
        "`(x - mean) / sqrt(var + epsilon) * gamma + beta` with the statistics that training gathered.\n\n    \
         batch_norm_inference(x, mean, var, gamma, beta)", |a| {
            let (x, kept) = (a.operand(0)?, chosen(a)?);
            let (mean, var) = (placed(a.operand(1)?, x, &kept, "mean")?, placed(a.operand(2)?, x, &kept, "var")?);
            let y = (x - mean) / (var + a.attributes.float("epsilon")?).sqrt();
            Ok(vec![scaled_by(&y, a.operands.get(3), a.operands.get(4), &kept)?])
        });
    add("rms_norm", float, vec![x(), gamma(), last(), epsilon()],
        "`x / sqrt(mean(x ** 2) + epsilon) * gamma` over the axes `axis` (Zhang and Sennrich, arXiv 1910.07467).\n\n    \
         rms_norm(x, gamma)", |a| {
            let (x, axes) = (a.operand(0)?, chosen(a)?);
            let squares = x.square().reduce_axes("mean", Some(&signed(&axes)), true);
            let y = x / (squares + a.attributes.float("epsilon")?).sqrt();
            Ok(vec![scaled_by(&y, a.operands.get(1), None, &axes)?])
        });
    add("instance_norm", float, vec![x(), gamma(), beta(), epsilon()],
        "`group_norm` with each channel its own group: normalized over all axes behind the batch and the channels \
         (Ulyanov et al., arXiv 1607.08022).\n\n    instance_norm(x, gamma, beta)", |a| {
            let x = a.operand(0)?;
            let rank = places(x)?;
            let axes: Vec<i64> = (2..rank as i64).collect();
            Ok(vec![scaled(a, &standardized(a, x, &axes)?, &[1])?])
        });
    add("group_norm", float,
        vec![x(), gamma(), beta(), attribute("groups", AttributeKind::Int, Some(Attribute::Int(1)), "into how many parts the channels, axis 1, fall"), epsilon()],
        "`(x - mean) / sqrt(var + epsilon) * gamma + beta` over the channels of each group and all axes behind; `gamma` \
         and `beta` have one element for each channel (Wu and He, arXiv 1803.08494).\n\n    \
         group_norm(x, gamma, beta, groups=4)", |a| {
            let x = a.operand(0)?;
            let (rank, groups) = (places(x)?, a.attributes.int("groups")?);
            if groups < 1 {
                return type_error(format!("`groups` is at least 1, but this is {groups}"));
            }
            if let Some(channels) = x.ty()?.dims[1].known().filter(|&channels| !(channels as u64).is_multiple_of(groups as u64)) {
                return type_error(format!("{channels} channels do not fall into {groups} groups"));
            }
            let shape = lengths(x)?;
            let mut parts = shape.clone();
            let count = Var::scalar(groups);
            let each = super::windows::size("floor_div", &shape[1], &count)?;
            parts.splice(1..=1, [count, each]);
            let axes: Vec<i64> = (2..=rank as i64).collect();
            let y = standardized(a, &x.reshape_to(&vector(&parts)), &axes)?.reshape_to(&vector(&shape));
            Ok(vec![scaled(a, &y, &[1])?])
        });
    add("dropout", Settle::ToFloat(1),
        vec![x(), Param::operand("key", "`u64[2]`: seed and stream"), attribute("rate", AttributeKind::Float, Some(Attribute::Float(0.5)), "the probability that an element becomes 0")],
        "`x` with each element 0 with probability `rate`, and else divided by `1 - rate`, so that the mean stays \
         (Srivastava et al., JMLR 15, 2014). An element stays where `uniform(key, shape(x), dtype=f32) >= rate`: the same key \
         drops the same elements.\n\n    dropout(x, key, rate=0.2)", |a| {
            let (x, rate) = (a.operand(0)?, a.attributes.float("rate")?);
            if !(0.0..1.0).contains(&rate) {
                return type_error(format!("`rate` is at least 0 and less than 1, but this is {rate}"));
            }
            let x = &(x * 1.0);
            let draws = Var::apply("uniform", &[a.operand(1)?.clone(), x.shape()], Attributes::new().with("dtype", DType::F32));
            let kept = draws.ge(&Var::constant(crate::tensor::Tensor::scalar(rate).cast(DType::F32)));
            Ok(vec![where_(&kept, &(x / (1.0 - rate)), &x.zeros_like())])
        });
    add("embedding", Settle::Nothing,
        vec![Param::operand("ids", "whole numbers"), Param::operand("table", "one row for each number")],
        "The rows of a table with these numbers; negative ones count from the end, one out of range is an error of the \
         call. The gradient of the table adds up what each row was used for.\n\n    embedding(ids, table)", |a| {
            whole(a.operand(0)?)?;
            if a.operand(1)?.ty()?.rank() == 0 {
                return type_error("the table has no rows: it is a scalar");
            }
            Ok(vec![a.operand(1)?.take(a.operand(0)?, 0)])
        });
}

fn signed(axes: &[usize]) -> Vec<i64> {
    axes.iter().map(|&axis| axis as i64).collect()
}

/// The attribute `axis`, in ascending order; not none.
fn chosen(a: &Arguments<'_>) -> Result<Vec<usize>> {
    if a.attributes.get("axis") == Some(&Attribute::None) {
        return type_error("`axis` names an axis or axes");
    }
    a.attributes.axes("axis", a.rank()?)
}

/// The rank of what has a batch and channels.
fn places(x: &Var) -> Result<usize> {
    match x.ty()?.rank() {
        rank if rank >= 2 => Ok(rank),
        _ => type_error(format!("expected a batch, channels and axes of places, found {}", x.ty()?)),
    }
}

/// `(x - mean) / sqrt(var + epsilon)` over some axes.
fn standardized(a: &Arguments<'_>, x: &Var, axes: &[i64]) -> Result<Var> {
    let mean = x.reduce_axes("mean", Some(axes), true);
    Ok((x - mean) / deviation(a, x, axes)?)
}

/// `sqrt(var + epsilon)` over some axes.
fn deviation(a: &Arguments<'_>, x: &Var, axes: &[i64]) -> Result<Var> {
    Ok((x.reduce_axes("var", Some(axes), true) + a.attributes.float("epsilon")?).sqrt())
}

/// What the standardized x changes by when x changes by `t`; and as that is a symmetric matrix, what x does when the
/// standardized one does: `(t - mean(t) - y * mean(t * y)) / deviation`.
fn change(a: &Arguments<'_>, x: &Var, y: &Var, t: &Var, axes: &[i64]) -> Result<Var> {
    let mean = |value: &Var| value.reduce_axes("mean", Some(axes), true);
    Ok((t - mean(t) - y * mean(&(t * y))) / deviation(a, x, axes)?)
}

fn layer_norm_vjp(context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
    let a = &Arguments { operands: context.operands, attributes: context.attributes };
    let (Some(g), x, axes) = (&context.cotangents[0], a.operand(0)?, chosen(a)?) else { return Ok(vec![None; context.operands.len()]) };
    let y = standardized(a, x, &signed(&axes))?;
    let others: Vec<i64> = (0..a.rank()?).filter(|axis| !axes.contains(axis)).map(|axis| axis as i64).collect();
    let total = |value: Var| if others.is_empty() { value } else { value.reduce_axes("sum", Some(&others), false) };
    let mut slopes = vec![cotangent(x, change(a, x, &y, &scaled_by(g, a.operands.get(1), None, &axes)?, &signed(&axes))?)?];
    if let Some(gamma) = a.operands.get(1) { slopes.push(cotangent(gamma, total(g * &y))?); }
    if let Some(beta) = a.operands.get(2) { slopes.push(cotangent(beta, total(g.clone()))?); }
    Ok(slopes)
}

fn layer_norm_jvp(context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
    let a = &Arguments { operands: context.operands, attributes: context.attributes };
    let (x, axes) = (a.operand(0)?, chosen(a)?);
    let y = standardized(a, x, &signed(&axes))?;
    let tangent = |number: usize| context.tangents.get(number).and_then(Option::as_ref);
    let mut terms = Vec::new();
    if let Some(t) = tangent(0) {
        terms.push(scaled_by(&change(a, x, &y, t, &signed(&axes))?, a.operands.get(1), None, &axes)?);
    }
    if let Some(t) = tangent(1) { terms.push(&y * placed(t, &y, &axes, "gamma")?); }
    if let Some(t) = tangent(2) { terms.push(y.zeros_like() + placed(t, &y, &axes, "beta")?); }
    Ok(vec![terms.into_iter().reduce(|sum, term| sum + term)])
}

/// `y * gamma + beta`, operands 1 and 2, as far as they are given.
fn scaled(a: &Arguments<'_>, y: &Var, axes: &[usize]) -> Result<Var> {
    scaled_by(y, a.operands.get(1), a.operands.get(2), axes)
}

fn scaled_by(y: &Var, gamma: Option<&Var>, beta: Option<&Var>, axes: &[usize]) -> Result<Var> {
    let y = match gamma {
        Some(gamma) => y * placed(gamma, y, axes, "gamma")?,
        None => y.clone(),
    };
    Ok(match beta {
        Some(beta) => &y + placed(beta, &y, axes, "beta")?,
        None => y,
    })
}

/// A value with one axis for each of some axes of `x`, so that it broadcasts to x.
fn placed(value: &Var, x: &Var, axes: &[usize], name: &str) -> Result<Var> {
    let (ty, dims) = (value.ty()?, &x.ty()?.dims);
    let fits = ty.rank() == axes.len() && ty.dims.iter().zip(axes).all(|(own, &axis)| own.compatible(&dims[axis]));
    if !fits {
        let wanted: Vec<String> = axes.iter().map(|&axis| dims[axis].to_string()).collect();
        return type_error(format!("`{name}` has the axes [{}] of x, not {ty}", wanted.join(", ")));
    }
    // A length that only a call shows must not be a 1 that broadcasts.
    let open = ty.dims.iter().zip(axes).any(|(own, &axis)| *own != dims[axis] || own == &Dim::Unknown);
    let lengths: Vec<Var> = axes.iter().map(|&axis| crate::ops::composed::length(x, axis)).collect();
    let value = if open { value.reshape_to(&vector(&lengths)) } else { value.clone() };
    (0..dims.len()).filter(|axis| !axes.contains(axis)).try_fold(value, |value, axis| {
        normalize_axis(axis as i64, dims.len())?;
        Ok(value.expand_dims(axis as i64))
    })
}
