//! Losses that are given by other ops; `cross_entropy` of class numbers is the family's own.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, type_error};
use crate::ops::{Attribute, AttributeKind, Param, Registry, broadcast_operands, where_};

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let axis = || Param::attribute("axis", AttributeKind::Int, Some(Attribute::Int(-1)), "the axis of the classes");
    let logits = || operand("logits", "scores");
    let mut add = |name, params, doc, build| registry.add(Composed { name, settle: Settle::ToFloat(2), params, doc, build });
    add("softmax_cross_entropy", vec![logits(), operand("probabilities", "of each class, of the shape of the logits"), axis()],
        "`-sum(probabilities * log_softmax(logits))` along an axis, where 0 times anything is 0; `cross_entropy` is that of \
         class numbers.\n\n    softmax_cross_entropy(logits, p)", |a| {
            let (x, p) = paired(a)?;
            let axis = a.axis()? as i64;
            let logs = x.log_softmax(axis);
            let nothing = p.eq(&Var::weak(0.0)) & logs.eq(&Var::weak(f64::NEG_INFINITY));
            let terms = where_(&nothing, &p.zeros_like(), &(p * logs));
            Ok(vec![-terms.reduce_axes("sum", Some(&[axis]), false)])
        });
    add("categorical_crossentropy", vec![operand("predicted", "probabilities of the classes, last axis"), operand("target", "class numbers, or probabilities of the shape of the predicted ones")],
        "`-sum(target * log(predicted))` along the last axis, or of class numbers `-log(predicted[..., target])`, as Theano's. \
         From scores, `cross_entropy` and `softmax_cross_entropy` lose nothing to rounding.\n\n    \
         categorical_crossentropy(p, labels)", |a| {
            let (p, t) = (a.operand(0)?, a.operand(1)?);
            let rank = p.ty()?.rank();
            if rank == 0 {
                return type_error("probabilities have an axis of classes, not a scalar");
            }
            if t.ty()?.rank() + 1 == rank && !t.ty()?.dtype.is_float() {
                crate::ops::composed::whole(t)?;
                let chosen = p.take_along_axis(&t.expand_dims(-1), -1);
                return Ok(vec![-(chosen.reshape_to(&t.shape())).log()]);
            }
            let (p, t) = paired(a)?;
            Ok(vec![-t.xlogy(p).reduce_axes("sum", Some(&[-1]), false)])
        });
    add("binary_crossentropy", vec![operand("predicted", "probabilities"), operand("target", "probabilities, mostly 0 or 1")],
        "`-(target * log(predicted) + (1 - target) * log(1 - predicted))`, element by element, where 0 times anything is \
         0.\n\n    binary_crossentropy(p, t)", |a| {
            let (p, t) = (a.operand(0)?, a.operand(1)?);
            Ok(vec![-(t.xlogy(p) + (1.0 - t).xlog1py(&-(p * 1.0)))])
        });
    add("sigmoid_binary_crossentropy", vec![logits(), operand("target", "probabilities, mostly 0 or 1")],
        "`binary_crossentropy(sigmoid(logits), target)`, computed as `target * softplus(-logits) + (1 - target) * \
         softplus(logits)`: it neither overflows nor cancels.\n\n    sigmoid_binary_crossentropy(logits, t)", |a| {
            let (x, t) = (a.operand(0)?, a.operand(1)?);
            // What has no weight counts nothing, be it infinite.
            let weighted = |weight: &Var, loss: Var| {
                let nothing = weight.eq(&Var::weak(0.0)).logical_and(&loss.isinf());
                where_(&nothing, &Var::weak(0.0), &(weight * &loss))
            };
            Ok(vec![weighted(&(t * 1.0), (-(x * 1.0)).softplus()) + weighted(&(1.0 - t), x.softplus())])
        });
    add("huber_loss", vec![operand("x", "predictions"), operand("y", "targets"), Param::attribute("delta", AttributeKind::Float, Some(Attribute::Float(1.0)), "up to which distance the loss is a parabola")],
        "Half the square of `d = abs(x - y)` up to `delta`, and `delta * (d - delta / 2)` beyond (Huber, 1964), element by \
         element.\n\n    huber_loss(x, y, delta=0.5)", |a| {
            let delta = a.attributes.float("delta")?;
            if delta.is_nan() || delta <= 0.0 {
                return type_error(format!("`delta` is positive, but this is {delta}"));
            }
            let d = (a.operand(0)? * 1.0) - a.operand(1)?;
            let near = d.abs().le(&Var::weak(delta));
            // Of what is far no square is taken, which could overflow.
            let small = where_(&near, &d, &d.zeros_like());
            Ok(vec![where_(&near, &(0.5 * small.square()), &(delta * (d.abs() - 0.5 * delta)))])
        });
    add("kl_divergence", vec![operand("p", "probabilities"), operand("q", "probabilities"), axis()],
        "`sum(p * log(p / q))` along an axis, where 0 times anything is 0.\n\n    kl_divergence(p, q)", |a| {
            let (p, q) = paired(a)?;
            let axis = a.axis()? as i64;
            Ok(vec![(p.xlogy(p) - p.xlogy(q)).reduce_axes("sum", Some(&[axis]), false)])
        });
    let x = || operand("x", "an operand");
    let number = |name, default: f64, doc| Param::attribute(name, AttributeKind::Float, Some(Attribute::Float(default)), doc);
    add("leaky_relu", vec![x(), number("alpha", 0.01, "the slope left of 0")],
        "x where it is positive, else `alpha * x`.\n\n    leaky_relu(x, alpha=0.2)", |a| {
            let (x, alpha) = (a.operand(0)?, a.attributes.float("alpha")?);
            Ok(vec![where_(&x.gt(&Var::weak(0.0)), &(x * 1.0), &(x * alpha))])
        });
    add("prelu", vec![x(), operand("alpha", "the slopes left of 0; they broadcast")],
        "`leaky_relu` with slopes that are learnt (He et al., arXiv 1502.01852).\n\n    prelu(x, alpha)", |a| {
            let (x, alpha) = (a.operand(0)?, a.operand(1)?);
            Ok(vec![where_(&x.gt(&Var::weak(0.0)), &(x * 1.0), &(x * alpha))])
        });
    add("relu6", vec![x()], "`clip(x, 0, 6)`.", |a| Ok(vec![(a.operand(0)? * 1.0).clip(&Var::weak(0.0), &Var::weak(6.0))]));
    add("hard_tanh", vec![x()], "`clip(x, -1, 1)`.", |a| Ok(vec![(a.operand(0)? * 1.0).clip(&Var::weak(-1.0), &Var::weak(1.0))]));
    add("hard_swish", vec![x()], "`x * clip(x / 6 + 1/2, 0, 1)` (Howard et al., arXiv 1905.02244).", |a| {
        let x = a.operand(0)?;
        Ok(vec![x * (x / 6.0 + 0.5).clip(&Var::weak(0.0), &Var::weak(1.0))])
    });
    add("mish", vec![x()], "`x * tanh(softplus(x))` (Misra, arXiv 1908.08681).", |a| {
        let x = a.operand(0)?;
        Ok(vec![x * x.softplus().tanh()])
    });
    add("celu", vec![x(), number("alpha", 1.0, "the limit at minus infinity, with the sign changed")],
        "x where it is positive, else `alpha * (exp(x / alpha) - 1)` (Barron, arXiv 1704.07483).", |a| {
            let (x, alpha) = (a.operand(0)?, a.attributes.float("alpha")?);
            if alpha == 0.0 {
                return type_error("`alpha` is not 0");
            }
            Ok(vec![where_(&x.gt(&Var::weak(0.0)), &(x * 1.0), &(alpha * (x / alpha).expm1()))])
        });
    add("glu", vec![x(), axis()],
        "The first half of an axis times the `sigmoid` of the second (Dauphin et al., arXiv 1612.08083).\n\n    glu(x)", |a| {
            let x = a.operand(0)?;
            let halves = x.split(2, a.axis()? as i64);
            match halves.as_slice() {
                [value, gate] => Ok(vec![value * gate.sigmoid()]),
                [one] => one.ty().map(|_| Vec::new()),
                _ => type_error("an axis of even length is halved"),
            }
        });
}

/// The two operands, which have one shape.
fn paired<'a>(a: &Arguments<'a>) -> Result<(&'a Var, &'a Var)> {
    let (Some(x), Some(y)) = (a.operands.first(), a.operands.get(1)) else { return type_error("expected two operands") };
    let types = [x.ty()?, y.ty()?];
    if types[0].rank() != types[1].rank() || !types[0].dims.iter().zip(&types[1].dims).all(|(a, b)| a.compatible(b)) {
        return type_error("both operands have one shape");
    }
    broadcast_operands(types)?;
    Ok((x, y))
}
