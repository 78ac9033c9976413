//! Functions with types of Rust, and arrays that calls borrow.

use arignote::graph::StateValue;
use arignote::prelude::*;
use arignote::runtime::{Array, TypedFunction};
use ndarray::{Array1, Array2, Ix0, Ix1, Ix2, array, s};

use super::{input, session, sessions, told, vector};

type Vector = Array<f64, Ix1>;
type Given = (Array<f64, Ix2>, Vector);

fn matrix_times_vector(session: &Session) -> Function {
    let (w, x) = (input("w", &["n", "k"]), input("x", &["k"]));
    let (y, total) = (w.matmul(&x), x.sum(None));
    FunctionBuilder::new("f").input(&w).input(&x).output(&y).output(&total).build(session).unwrap()
}

#[test]
fn arrays_go_in_and_views_come_out() {
    for session in sessions() {
        let f: TypedFunction<Given, (Vector, Array<f64, Ix0>)> = matrix_times_vector(&session).typed().unwrap();
        let w = array![[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]];
        let (y, total) = f.call((&w, &array![1.0, 1.0, 5.0])).unwrap();
        assert_eq!((y.view(), total.view()[()]), (array![3.0, 7.0].view(), 7.0));
        // Views of any strides do, and results are arguments without a copy.
        let (y, _) = f.call((&w.t().slice(s![..;2, ..]), &y.view())).unwrap();
        assert_eq!(y.view(), array![24.0, 0.0]);
        told(f.call((&w, &array![1.0])).map(|(y, _)| y.into_tensor()), &["`k` is 3", "1 in `x`"]);
    }
}

#[test]
fn types_that_differ_are_errors() {
    let f = matrix_times_vector(&session("cpu"));
    told(f.typed::<(Vector, Vector), (Vector, Array<f64, Ix0>)>().map(drop), &["f64 and 1 axes", "f64[n, k]", "inputs of `f`"]);
    told(f.typed::<(Array<f32, Ix2>, Vector), (Vector, Array<f64, Ix0>)>().map(drop), &["f32 and 2 axes", "f64[n, k]"]);
    told(f.typed::<Vector, (Vector, Array<f64, Ix0>)>().map(drop), &["expected 1, found 2", "inputs of `f`"]);
    told(f.typed::<(Array<f64, Ix2>, Vector), Vector>().map(drop), &["expected 1, found 2", "outputs of `f`"]);
}

#[test]
fn nothing_that_outlives_a_call_is_the_callers_memory() {
    for session in sessions() {
        let x = input("x", &["n"]);
        let last = State::with_type("last", Type::new(DType::F64, ["?".into()]), StateValue::Host(vector(&[0.0])));
        let f = FunctionBuilder::new("f").input(&x).output(&x).output(&x.reshape(&[1, -1])).update(&last, &x).build(&session).unwrap();
        let f = f.typed::<Vector, (Vector, Array<f64, Ix2>)>().unwrap();
        let mut argument = array![1.0, 2.0];
        let (same, row) = f.call(&argument).unwrap();
        argument.fill(9.0);
        assert_eq!((same.view(), row.view()), (array![1.0, 2.0].view(), array![[1.0, 2.0]].view()));
        assert_eq!(session.get(&last).unwrap().to_f64_vec(), [1.0, 2.0]);
        let (none, _) = f.call(&Array1::zeros(0)).unwrap();
        assert_eq!(none.view().len(), 0);
    }
}

#[test]
fn closures_may_keep_what_they_are_shown() {
    use std::sync::{Arc, Mutex};

    for session in sessions() {
        let kept: Arc<Mutex<Vec<Tensor>>> = Arc::default();
        let x = input("x", &["n"]);
        let (seen, twice) = (kept.clone(), kept.clone());
        let shown = inspect(&x, &x.sum(None).gt(&Var::scalar(0.0)), &[], move |values| {
            seen.lock().unwrap().extend(values.iter().cloned());
            Ok(())
        });
        let called = host_call(&[&shown], &[Type::new(DType::F64, ["n".into()])], move |values| {
            twice.lock().unwrap().extend(values.iter().cloned());
            Ok(vec![values[0].clone()])
        });
        let session = arignote::session_with(session.config().clone().with("fallback", vec!["reference".to_owned()]).unwrap()).unwrap();
        let f = FunctionBuilder::new("f").input(&x).output(&called[0]).build(&session).unwrap().typed::<Vector, Vector>().unwrap();
        let mut argument = array![1.0, 2.0];
        f.call(&argument).unwrap();
        argument.fill(9.0);
        let kept = kept.lock().unwrap();
        assert!(kept.len() >= 2 && kept.iter().all(|tensor| tensor.to_f64_vec() == [1.0, 2.0]), "{kept:?}");
    }
}

#[test]
fn other_element_types_and_no_arguments() {
    let session = session("cpu");
    let x = Var::input("x", Type::new(DType::Bool, ["n".into(), "m".into()]));
    let f = FunctionBuilder::new("f").input(&x).output(&x.logical_not()).build(&session).unwrap();
    let f = f.typed::<Array<bool, Ix2>, Array<bool, Ix2>>().unwrap();
    assert_eq!(f.call(&array![[true, false]]).unwrap().view(), array![[false, true]]);

    let f = FunctionBuilder::new("g").output(&Var::constant(Tensor::vector(vec![1i64, 2]))).build(&session).unwrap();
    let f = f.typed::<(), Array<i64, Ix1>>().unwrap();
    assert_eq!(f.call(()).unwrap().view(), array![1, 2]);
    let large = Array2::<f64>::ones((300, 200));
    let y = input("y", &["n", "m"]);
    let f = FunctionBuilder::new("h").input(&y).output(&(&y + 1.0)).build(&session).unwrap();
    assert_eq!(f.typed::<Array<f64, Ix2>, Array<f64, Ix2>>().unwrap().call(&large).unwrap().view(), &large + 1.0);
}
