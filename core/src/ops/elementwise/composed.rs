//! Ops of the family that are given by others, which differentiate and run them everywhere.

use std::f64::consts::PI;

use super::{Param, where_};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, type_error};
use crate::ops::{Attribute, AttributeKind, Attributes};
use crate::tensor::DType;

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
            name: "round", settle: Settle::Nothing,
            params: vec![operand("x"), Param::attribute("decimals", AttributeKind::Int, Some(Attribute::Int(0)), "how many digits behind the point stay; in front of it if negative"),
                Param::attribute("mode", AttributeKind::Str, Some(Attribute::Str("half_to_even".into())), "where halves go: \"half_to_even\" or \"half_away_from_zero\"")],
            doc: "x to the nearest whole number, or the nearest with so many decimals: `rint(x * 10**decimals) / 10**decimals`, as \
                  NumPy. Its gradient is 0.\n\n    round(2.345, decimals=2)",
            build: |call| Ok(vec![rounded(call)?]),
        },
        Composed {
            name: "iround", settle: Settle::Nothing, params: one(), doc: "x to the nearest whole number, halves to even, as i64.",
            build: |call| Ok(vec![call.operand(0)?.rint().cast(DType::I64)]),
        },
        Composed {
            name: "divmod", settle: Settle::Promote(2), params: vec![operand("x"), operand("y")],
            doc: "The quotient rounded down and the remainder, `x // y` and `x % y`.\n\n    quotient, remainder = divmod(x, 7)",
            build: |call| Ok(vec![call.operand(0)?.floor_div(call.operand(1)?), call.operand(0)? % call.operand(1)?]),
        },
        Composed {
            name: "xlogx", settle: Settle::ToFloat(1), params: one(), doc: "`x * log(x)`, and 0 where x is 0.",
            build: |call| Ok(vec![call.operand(0)?.xlogy(call.operand(0)?)]),
        },
        Composed {
            name: "factorial", settle: Settle::ToFloat(1), params: one(),
            doc: "`gamma(x + 1)`, as a float; 0 for negative x, as SciPy.",
            build: |call| {
                let x = call.operand(0)?;
                Ok(vec![where_(&x.lt(&Var::weak(0.0)), &Var::weak(0.0), &(x + 1.0).gamma())])
            },
        },
        Composed {
            name: "softmax_with_bias", settle: Settle::ToFloat(2), params: vec![operand("x"), operand("b")],
            doc: "`softmax(x + b)` along the last axis.",
            build: |call| Ok(vec![(call.operand(0)? + call.operand(1)?).softmax(-1)]),
        },
        Composed {
            name: "ultra_fast_sigmoid", settle: Settle::ToFloat(1), params: one(),
            doc: "Theano's approximation of `sigmoid` by pieces, off by up to 0.008: with `z = abs(x) / 2` half of 1 plus or minus \
                  `1.5 z / (1 + z)` up to 1.7, a line up to 3, and a constant.",
            build: |call| {
                let x = call.operand(0)?;
                let z = 0.5 * x.abs();
                let line = 0.935409070603099 + 0.0458812946797165 * (&z - 1.7);
                let far = where_(&z.lt(&Var::weak(3.0)), &line, &Var::weak(0.99505475368673));
                let size = where_(&z.lt(&Var::weak(1.7)), &(1.5 * &z / (1.0 + &z)), &far);
                let side = where_(&x.lt(&Var::weak(0.0)), &-&size, &size);
                Ok(vec![0.5 * (side + 1.0)])
            },
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

fn rounded(call: &Arguments<'_>) -> Result<Var> {
    let x = call.operand(0)?;
    let even = match call.attributes.str("mode")? {
        "half_to_even" => true,
        "half_away_from_zero" => false,
        other => return type_error(format!("`mode` is \"half_to_even\" or \"half_away_from_zero\", not {other:?}")),
    };
    // The largest number below one half: of it and one half less than that, the sum is no whole number.
    let half = 0.499_999_999_999_999_94;
    let nearest = |x: &Var| if even { x.rint() } else { (x + x.sign() * half).trunc() };
    let (decimals, ty) = (call.attributes.int("decimals")?, x.ty()?);
    if !(-300..=300).contains(&decimals) {
        return type_error(format!("`decimals` is from -300 to 300, but this is {decimals}"));
    }
    let scale = 10f64.powi(decimals.unsigned_abs() as i32);
    Ok(match (decimals, ty.dtype.is_float()) {
        (0, true) => nearest(x),
        (0.., false) => x.rint(),
        (1.., true) => nearest(&(x * scale)) / scale,
        (_, true) => nearest(&(x / scale)) * scale,
        (_, false) => (nearest(&(x.cast(DType::F64) / scale)) * scale).cast(ty.dtype),
    })
}

fn isclose(call: &Arguments<'_>) -> Result<Var> {
    let attributes = call.attributes;
    // As NumPy, which makes y a float first, so that differences of unsigned numbers do not wrap.
    let (x, y) = (call.operand(0)?, &(call.operand(1)? * 1.0));
    let bound = attributes.float("atol")? + attributes.float("rtol")? * y.abs();
    let near = ((x - y).abs().le(&bound) & y.isfinite()) | x.eq(y);
    Ok(if attributes.bool("equal_nan")? { near | (x.isnan() & y.isnan()) } else { near })
}
