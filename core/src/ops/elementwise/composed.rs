//! Ops of the family that are given by others, which differentiate and run them everywhere.

use std::f64::consts::PI;

use super::{Param, where_};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle};
use crate::ops::{Attribute, AttributeKind, Attributes};

/// All of them.
pub(super) fn ops() -> Vec<Composed> {
    let operand = |name| Param::operand(name, "an operand");
    let number = |name, default: f64, doc| Param::attribute(name, AttributeKind::Float, Some(Attribute::Float(default)), doc);
    let close = || {
        let nan = Param::attribute("equal_nan", AttributeKind::Bool, Some(Attribute::Bool(false)), "whether NaN equals NaN");
        let relative = number("rtol", 1e-5, "the tolerance relative to y");
        vec![operand("x"), operand("y"), relative, number("atol", 1e-8, "the absolute tolerance"), nan]
    };
    let one = || vec![operand("x")];
    vec![
        Composed {
            name: "trigamma", settle: Settle::ToFloat(2), params: one(), doc: "The derivative of `digamma`: `polygamma(1, x)`.",
            build: |call| Ok(vec![Var::weak(1i64).polygamma(call.operand(0)?)]),
        },
        Composed {
            name: "elu", settle: Settle::ToFloat(2), params: vec![operand("x"), number("alpha", 1.0, "the limit at minus infinity, with the sign changed")],
            doc: "x where it is positive, else `alpha * (exp(x) - 1)` (arXiv 1511.07289).",
            build: |call| {
                let x = call.operand(0)?;
                let left = call.attributes.float("alpha")? * x.expm1();
                Ok(vec![where_(&x.gt(&Var::weak(0.0)), x, &left)])
            },
        },
        Composed {
            name: "deg2rad", settle: Settle::ToFloat(2), params: one(), doc: "An angle in degrees, in radians: `x * (pi / 180)`.",
            build: |call| Ok(vec![call.operand(0)? * (PI / 180.0)]),
        },
        Composed {
            name: "rad2deg", settle: Settle::ToFloat(2), params: one(), doc: "An angle in radians, in degrees: `x * (180 / pi)`.",
            build: |call| Ok(vec![call.operand(0)? * (180.0 / PI)]),
        },
        Composed {
            name: "isposinf", settle: Settle::Nothing, params: one(), doc: "Whether x is plus infinity.",
            build: |call| Ok(vec![call.operand(0)?.eq(&Var::weak(f64::INFINITY))]),
        },
        Composed {
            name: "isneginf", settle: Settle::Nothing, params: one(), doc: "Whether x is minus infinity.",
            build: |call| Ok(vec![call.operand(0)?.eq(&Var::weak(f64::NEG_INFINITY))]),
        },
        Composed {
            name: "heaviside", settle: Settle::ToFloat(2), params: vec![operand("x"), operand("h")],
            doc: "The step function: 0 for negative x, 1 for positive, h at 0, NaN at NaN. Its gradient in x is 0.",
            build: |call| {
                let (x, h) = (&(call.operand(0)? * 1.0), &(call.operand(1)? * 1.0));
                let step = where_(&x.lt(&Var::weak(0.0)), &Var::weak(0.0), &Var::weak(1.0));
                let at_zero = where_(&x.eq(&Var::weak(0.0)), h, &step);
                Ok(vec![where_(&x.isnan(), x, &at_zero)])
            },
        },
        Composed {
            name: "isclose", settle: Settle::ToFloat(2), params: close(),
            doc: "Whether `abs(x - y) <= atol + rtol * abs(y)`, element by element; infinities are close to themselves only.",
            build: |call| Ok(vec![isclose(call)?]),
        },
        Composed {
            name: "allclose", settle: Settle::ToFloat(2), params: close(), doc: "Whether all elements are close, as `isclose` says.",
            build: |call| Ok(vec![Var::apply("all", &[isclose(call)?], Attributes::new())]),
        },
    ]
}

fn isclose(call: &Arguments<'_>) -> Result<Var> {
    let attributes = call.attributes;
    // As NumPy, which makes y a float first, so that differences of unsigned numbers do not wrap.
    let (x, y) = (call.operand(0)?, &(call.operand(1)? * 1.0));
    let bound = attributes.float("atol")? + attributes.float("rtol")? * y.abs();
    let near = ((x - y).abs().le(&bound) & y.isfinite()) | x.eq(y);
    Ok(if attributes.bool("equal_nan")? { near | (x.isnan() & y.isnan()) } else { near })
}
