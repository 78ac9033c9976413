//! Types, contents and the structure of derivatives. Numbers are checked where kernels are.

use super::where_;
use crate::error::ErrorKind;
use crate::graph::{NodeKind, Var};
use crate::ops::{Attributes, Jvp, Vjp, registry};
use crate::tensor::{DType, Dim, Tensor, Type};

fn input(name: &str, dtype: DType, dims: &[&str]) -> Var {
    Var::input(name, Type::new(dtype, dims.iter().map(|&dim| dim.into())))
}

fn text(var: &Var) -> String {
    match var.ty() {
        Ok(ty) => format!("{ty}{}", if ty.weak { " weak" } else { "" }),
        Err(error) => error.message().to_owned(),
    }
}

fn cotangents(var: &Var) -> Vec<Option<Var>> {
    let NodeKind::Apply(op, attributes) = var.node().kind() else { panic!("{var:?} is no application") };
    let g = Var::input("g", var.ty().unwrap().clone());
    let context = Vjp { operands: var.node().operands(), results: &[var.clone()], cotangents: &[Some(g)], attributes };
    op.vjp(&context).unwrap()
}

#[test]
fn dtypes_follow_numpy_and_weak_numbers_give_way() {
    let (x, i, b) = (input("x", DType::F32, &["n"]), input("i", DType::I32, &["n"]), input("b", DType::Bool, &["n"]));
    let long = input("l", DType::I64, &["3"]);
    for (var, expected) in [
        (&x + 1.5, "f32[n]"),
        (&x * 2, "f32[n]"),
        (&i + 2.5, "f64[n]"),
        (&i / 2, "f64[n]"),
        (&x + &i, "f64[n]"),
        (&b + &b, "bool[n]"),
        (x.exp(), "f32[n]"),
        (i.sqrt(), "f64[n]"),
        (Var::weak(1i64) + 2, "i64[] weak"),
        (Var::weak(1i64) / 2, "f64[] weak"),
        (Var::weak(1i64).exp(), "f64[] weak"),
        (x.lt(&i), "bool[n]"),
        (x.cast(DType::F16), "f16[n]"),
        (i.floor(), "i32[n]"),
        (&i & 1, "i32[n]"),
        (!&b, "bool[n]"),
        (&x + &long, "f64[3]"),
        (where_(&b, &x, &Var::weak(0.0)), "f32[n]"),
        (x.clip(&Var::weak(0.0), &Var::weak(1.0)), "f32[n]"),
    ] {
        assert_eq!(text(&var), expected, "{var:?}");
    }
}

#[test]
fn ill_typed_expressions_carry_their_error_and_line() {
    let (x, y, b) = (input("x", DType::F32, &["2"]), input("y", DType::F32, &["3"]), input("b", DType::Bool, &[]));
    let line = line!() + 1;
    let wrong = (&x + &y).exp() * 2.0;
    let error = wrong.ty().unwrap_err();
    assert_eq!(error.message(), "`add` of f32[2], f32[3]: axis 0 of the result: 2 against 3");
    let place = error.location().unwrap();
    assert!(place.file.ends_with("tests.rs") && place.line == line, "{error}");
    for wrong in [&x & &y, -&b, where_(&x, &x, &x), &b - &b] {
        assert!(wrong.ty().is_err(), "{wrong:?}");
    }
    let form = Var::apply("gelu", &[x], Attributes::new().with("approximate", "tan"));
    assert!(form.ty().unwrap_err().message().contains("\"none\" or \"tanh\""));
}

#[test]
fn sizes_pass_through_arithmetic() {
    let sizes = |var: &Var| var.inferred().unwrap().sizes.clone();
    let shape = Var::constant(Tensor::vector(vec![2i64, 3]));
    assert_eq!(sizes(&(&shape * 2 + 1)), Some(vec![Dim::Known(5), Dim::Known(7)]));
    assert_eq!(sizes(&(&shape - 3)), Some(vec![Dim::Unknown, Dim::Known(0)]));
    assert_eq!(sizes(&shape.stop_gradient()), Some(vec![Dim::Known(2), Dim::Known(3)]));
    assert_eq!(sizes(&shape.cast(DType::F64)), None);
}

/// Every op that has a derivative gives it in the dtype and rank of the operand, both ways.
#[test]
fn derivatives_are_typed_as_their_operands() {
    let names: Vec<_> = super::table::ops().iter().map(|op| op.name).collect();
    for name in names {
        let op = registry().get(name).unwrap();
        let count = op.may_overwrite().len();
        for dtypes in [[DType::F32, DType::F64, DType::F32, DType::F64], [DType::F16, DType::F32, DType::I32, DType::F16]] {
            let mut operands: Vec<Var> = (0..count)
                .map(|i| input(&format!("x{i}"), dtypes[i], if i == 1 { &["n", "1"] } else { &["?"] }))
                .collect();
            if name == "where" {
                operands[0] = input("c", DType::Bool, &["n", "4"]);
            }
            let attributes = if name == "cast" { Attributes::new().with("dtype", DType::F64) } else { Attributes::new() };
            let y = Var::apply(name, &operands, attributes);
            let Ok(ty) = y.ty().cloned() else { continue };
            let NodeKind::Apply(op, attributes) = y.node().kind() else { unreachable!() };
            if !ty.dtype.is_float() {
                continue;
            }
            for (x, cotangent) in operands.iter().zip(cotangents(&y)) {
                let Some(cotangent) = cotangent else { continue };
                if cotangent.ty().is_err_and(|error| error.kind() == ErrorKind::Gradient) {
                    continue;
                }
                let (found, wanted) = (cotangent.ty().unwrap(), x.ty().unwrap());
                assert!(found.dtype == wanted.dtype && found.rank() == wanted.rank(), "{name}: {found} for {wanted}");
            }
            for at in 0..count {
                let mut tangents = vec![None; count];
                if operands[at].ty().unwrap().dtype.is_float() {
                    tangents[at] = Some(Var::input("t", operands[at].ty().unwrap().clone()));
                    let results = [y.clone()];
                    let context = Jvp { operands: &operands, results: &results, tangents: &tangents, attributes };
                    for tangent in op.jvp(&context).unwrap().into_iter().flatten() {
                        if tangent.ty().is_err_and(|error| error.kind() == ErrorKind::Gradient) {
                            continue;
                        }
                        let found = tangent.ty().unwrap();
                        assert!(found.dtype == ty.dtype && found.rank() == ty.rank(), "{name}: {found} for {ty}");
                    }
                }
            }
        }
    }
}

#[test]
fn unknown_dims_cost_nothing_where_the_shape_is_the_operands() {
    let x = input("x", DType::F32, &["?", "?"]);
    for y in [x.exp(), &x * 2.0, &x + input("s", DType::F32, &[]), x.maximum(&Var::weak(0.0)), &x * &x] {
        let cotangent = cotangents(&y).remove(0).unwrap();
        let uses = crate::graph::topological_order(&[cotangent]);
        let sums = uses.iter().any(|var| matches!(var.node().kind(), NodeKind::Apply(op, _) if op.name() == "sum_to"));
        assert!(!sums, "{y:?}");
    }
}
