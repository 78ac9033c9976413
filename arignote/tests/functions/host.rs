//! Closures of a program as ops, and as breakpoints.

use std::sync::{Arc, Mutex};

use arignote::ops::control::{Scan, custom_vjp};

use super::*;

fn on_f64(f: impl Fn(f64) -> f64) -> impl Fn(&[Tensor]) -> Result<Vec<Tensor>> {
    move |values| {
        let elements: Vec<f64> = values[0].to_f64_vec().into_iter().map(&f).collect();
        Ok(vec![Tensor::from_vec(elements, values[0].shape())?])
    }
}

/// The sine, by a closure, and its derivative by another.
fn sine(x: &Var) -> Var {
    let ty = x.ty().unwrap().clone();
    let other = ty.clone();
    let results = custom_vjp(
        &[x],
        move |x| host_call(&[&x[0]], &[ty], on_f64(f64::sin)),
        move |x, _, cotangents| vec![&cotangents[0] * &host_call(&[&x[0]], &[other], on_f64(f64::cos))[0]],
    );
    results[0].clone()
}

/// On the reference backend, and on the cpu with it as the fallback.
fn both() -> Vec<Session> {
    let config = |device: &str| Config::default().with("device", device).unwrap();
    ["reference", "cpu"].into_iter().map(|device| arignote::session_with(config(device)).unwrap()).collect()
}

#[test]
fn a_closure_is_an_op() {
    for session in both() {
        let x = input("x", &["n"]);
        let y = 2.0 * sine(&x);
        let dy = grad(&y.sum(None), &[&x]);
        let sums = Scan::new().sequence("x_t", &x).state("s", &Var::scalar(0.0)).run(|step| {
            let next = step.get("s") + sine(&step.get("x_t"));
            step.set("s", &next);
        });
        let last = sums.last("s");
        let more = grad(&last, &[&x]);
        let built = FunctionBuilder::new("f").input(&x).output(&y).output(&dy[0]).output(&last).output(&more[0]);
        let results = built.build(&session).unwrap().call(&[vector(&[0.5, -1.0])]).unwrap();
        assert_eq!(results[0].to_f64_vec(), [2.0 * 0.5f64.sin(), 2.0 * (-1.0f64).sin()]);
        assert_eq!(results[1].to_f64_vec(), [2.0 * 0.5f64.cos(), 2.0 * (-1.0f64).cos()]);
        assert_eq!(results[2].item(), Some(0.5f64.sin() + (-1.0f64).sin()));
        assert_eq!(results[3].to_f64_vec(), [0.5f64.cos(), (-1.0f64).cos()]);
    }
}

#[test]
fn what_is_wrong_with_a_closure_is_an_error() {
    let x = input("x", &["n"]);
    let ty = || Type::new(DType::F64, ["n".into()]);
    let call = |y: &Var| {
        let f = FunctionBuilder::new("f").input(&x).output(y).build(&session("reference"));
        f.and_then(|f| f.call(&[vector(&[1.0])]))
    };
    let plain = &host_call(&[&x], &[ty()], on_f64(f64::sin))[0];
    let slope = FunctionBuilder::new("f").input(&x).output(&grad(&plain.sum(None), &[&x])[0]).build(&session("reference"));
    told(slope, &["`host_call` has no derivative", "custom_vjp", "host.rs"]);
    told(call(&host_call(&[&x], &[ty()], |_| Ok(vec![Tensor::scalar(1i64)]))[0]), &["result 0 of the closure is i64[], not f64[?]"]);
    told(call(&host_call(&[&x], &[ty()], |_| Ok(Vec::new()))[0]), &["the closure gives 0 results, not 1"]);
    let failing = host_call(&[&x], &[ty()], |_| Err(Error::new(arignote::error::ErrorKind::Runtime, "no luck")));
    told(call(&failing[0]), &["no luck", "host_call", "host.rs"]);
    told(call(&inspect(&x, &x, &[], |_| Ok(()))), &["the condition is a bool scalar, not f64[n]"]);
}

#[test]
fn a_closure_looks_where_a_condition_holds() {
    for session in both() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let x = input("x", &["n"]);
        let sums = Scan::new().sequence("x_t", &x).state("s", &Var::scalar(0.0)).run(|step| {
            let (x_t, sum, seen) = (step.get("x_t"), step.get("s"), seen.clone());
            let shown = inspect(&x_t, &x_t.lt(&Var::scalar(0.0)), &[&sum], move |values| {
                seen.lock().unwrap().push((values[0].item().unwrap(), values[1].item().unwrap()));
                Ok(())
            });
            step.set("s", &(sum + shown));
        });
        let sum = sums.last("s");
        let slope = grad(&sum, &[&x]);
        let f = FunctionBuilder::new("f").input(&x).output(&sum).output(&slope[0]).build(&session).unwrap();
        let results = f.call(&[vector(&[1.0, -2.0, 3.0, -4.0])]).unwrap();
        assert_eq!(results[0].item(), Some(-2.0));
        assert_eq!(results[1].to_f64_vec(), [1.0; 4]);
        assert_eq!(*seen.lock().unwrap(), [(-2.0, 1.0), (-4.0, 2.0)]);
    }
}
