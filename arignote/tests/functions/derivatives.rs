//! Gradients with known cotangents and held values, and products with a Hessian.

use arignote::ops::{Gradient, hessian_vector_product};
use arignote::prelude::*;

use crate::{input, session, sessions, told, vector};

/// Checks a function of one vector on every device.
fn check(build: impl Fn(&Var) -> Var, at: &[f64], expected: &[f64]) {
    for session in sessions() {
        let x = input("x", &["n"]);
        let f = FunctionBuilder::new("f").input(&x).output(&build(&x)).build(&session).unwrap();
        assert_eq!(f.call(&[vector(at)]).unwrap()[0].to_f64_vec(), expected);
    }
}

#[test]
fn a_known_cotangent_replaces_what_would_flow() {
    // d(sum(h * h)) flows into h as 2 h; known to be 1, it gives 3 in x.
    let known = |x: &Var| {
        let h = x * 3.0;
        let cost = (&h * &h).sum(None);
        Gradient::of(&cost).known(&h, &h.ones_like()).wrt(&[x]).remove(0)
    };
    check(known, &[1.0, 2.0], &[3.0, 3.0]);
    let from = |x: &Var| {
        let h = x * 3.0;
        Gradient::from(&h, &(x * 1.0)).wrt(&[x]).remove(0)
    };
    check(from, &[1.0, 2.0], &[3.0, 6.0]);
}

#[test]
fn held_values_are_constants() {
    let held = |x: &Var| {
        let h = x * x;
        Gradient::of(&(&h * x).sum(None)).hold(&h).wrt(&[x]).remove(0)
    };
    check(held, &[2.0, 3.0], &[4.0, 9.0]);
    let nothing = |x: &Var| Gradient::of(&x.sum(None)).hold(x).zero_if_disconnected().wrt(&[x]).remove(0);
    check(nothing, &[2.0, 3.0], &[1.0, 1.0]);
}

#[test]
fn what_does_not_depend_is_an_error_or_zero() {
    let session = crate::session("reference");
    let (x, y) = (input("x", &["n"]), input("y", &["n"]));
    let gradient = Gradient::of(&y.sum(None));
    let build = |gradient: Gradient| {
        let value = gradient.wrt(&[&x]).remove(0);
        FunctionBuilder::new("f").input(&x).input(&y).output(&value).build(&session)
    };
    told(build(gradient.clone()), &["does not depend", "`x`"]);
    let f = build(gradient.zero_if_disconnected()).unwrap();
    assert_eq!(f.call(&[vector(&[1.0]), vector(&[2.0])]).unwrap()[0].to_f64_vec(), [0.0]);
    told(build(Gradient::of(&x)), &["the cost must be a scalar", "f64[n]"]);
}

#[test]
fn a_hessian_times_a_vector() {
    // The Hessian of sum(x)**3 is 6 sum(x) in every place.
    let product = |x: &Var| {
        let total = x.sum(None);
        hessian_vector_product(&(&total * &total * &total), x, &x.ones_like())
    };
    check(product, &[1.0, 2.0], &[36.0, 36.0]);
}

#[test]
fn values_on_which_nothing_depends_have_no_gradient_on_request() {
    let (x, y) = (input("x", &["n"]), input("y", &["n"]));
    let i = Var::input("i", Type::new(DType::I64, ["n".into()]));
    let inner = grad(&(&x * &x * &i.cast(DType::F64)).sum(None), &[&x]);
    let cost = inner[0].sum(None) + Var::apply("argmax", std::slice::from_ref(&y), Attributes::new()).cast(DType::F64);
    let found = Gradient::of(&cost).wrt_connected(&[&y, &x, &i]).unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
    assert!(Gradient::of(&cost).hold(&inner[0]).wrt_connected(&[&x]).unwrap()[0].is_none());
    let zeros = Gradient::of(&cost).zero_if_disconnected().wrt(&[&i, &y]);
    for session in sessions() {
        let f = FunctionBuilder::new("f").input(&x).input(&y).input(&i).output(found[1].as_ref().unwrap());
        let f = f.output(&zeros[0]).output(&zeros[1]).build(&session).unwrap();
        let results = f.call(&[vector(&[1.0, 2.0]), vector(&[3.0, 4.0]), Tensor::vector(vec![5i64, 6])]).unwrap();
        assert_eq!(results[0].to_f64_vec(), [10.0, 12.0]);
        assert_eq!((results[1].dtype(), results[1].to_f64_vec()), (DType::F64, vec![0.0, 0.0]));
        assert_eq!(results[2].to_f64_vec(), [0.0, 0.0]);
    }
    let wrong = FunctionBuilder::new("f").input(&x).input(&y).input(&i).output(&Gradient::of(&cost).wrt(&[&i])[0]).build(&session("reference"));
    told(wrong, &["gradients are in floats, not i64[n]", "takes the gradient in integers and bools as zero"]);
}
