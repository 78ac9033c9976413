//! States: updates, copies with other states, twins without updates, and calls that fail.

use arignote::graph::StateValue;
use arignote::ops::create::ones;
use arignote::ops::shape::concatenate;
use arignote::prelude::*;

use super::{input, session, sessions, told, vector};

fn state(name: &str, elements: &[f64]) -> (State, Var) {
    let state = State::new(name, vector(elements));
    let var = Var::state(&state);
    (state, var)
}

#[test]
fn all_new_values_come_from_the_old_ones() {
    for session in sessions() {
        let ((a, va), (b, vb)) = (state("a", &[1.0, 2.0]), state("b", &[10.0, 20.0]));
        let builder = FunctionBuilder::new("swap").output(&(&va - &vb)).update(&a, &vb).update(&b, &va);
        let swap = builder.build(&session).unwrap();
        for (first, second) in [([10.0, 20.0], [1.0, 2.0]), ([1.0, 2.0], [10.0, 20.0])] {
            let difference = swap.call(&[]).unwrap()[0].to_f64_vec();
            // The output too is of the values before the call.
            assert_eq!(difference, [second[0] - first[0], second[1] - first[1]]);
            assert_eq!(session.get(&a).unwrap().to_f64_vec(), first);
            assert_eq!(session.get(&b).unwrap().to_f64_vec(), second);
        }
        let fibonacci = FunctionBuilder::new("fibonacci").update(&a, &vb).update(&b, &(&va + &vb));
        let fibonacci = fibonacci.build(&session).unwrap();
        session.set(&a, vector(&[0.0, 1.0])).unwrap();
        session.set(&b, vector(&[1.0, 1.0])).unwrap();
        for _ in 0..10 {
            fibonacci.call(&[]).unwrap();
        }
        assert_eq!(session.get(&b).unwrap().to_f64_vec(), [89.0, 144.0]);
        assert_eq!(session.get(&a).unwrap().to_f64_vec(), [55.0, 89.0]);
    }
}

#[test]
fn a_state_is_updated_where_its_first_value_lies() {
    let session = session("cpu");
    let first = vector(&[1.0; 1000]);
    let start = first.as_ptr();
    let state = State::new("a", first);
    let f = FunctionBuilder::new("f").update(&state, &(Var::state(&state) * 2.0)).build(&session).unwrap();
    f.call(&[]).unwrap();
    let seen = session.get(&state).unwrap();
    assert_eq!((seen.as_ptr(), seen.to_f64_vec()), (start, vec![2.0; 1000]));
    // Whoever looks at it keeps what was there.
    f.call(&[]).unwrap();
    assert_eq!((seen.to_f64_vec(), session.get(&state).unwrap().to_f64_vec()), (vec![2.0; 1000], vec![4.0; 1000]));
    // A first value that somebody else holds stays as it is.
    let shared = vector(&[1.0; 1000]);
    session.set(&state, shared.clone()).unwrap();
    f.call(&[]).unwrap();
    assert_eq!((shared.to_f64_vec(), session.get(&state).unwrap().to_f64_vec()), (vec![1.0; 1000], vec![2.0; 1000]));
}

#[test]
fn states_that_share_a_value_stay_apart() {
    for session in sessions() {
        let ((a, va), (b, vb)) = (state("a", &[1.0]), state("b", &[2.0]));
        let copy = FunctionBuilder::new("copy").update(&a, &vb).build(&session).unwrap();
        let grow = FunctionBuilder::new("grow").update(&b, &(&vb + 1.0)).build(&session).unwrap();
        let keep = FunctionBuilder::new("keep").output(&va).update(&a, &(&va * 2.0)).build(&session).unwrap();
        grow.call(&[]).unwrap();
        copy.call(&[]).unwrap();
        // Both hold one memory now, and one of them is updated.
        grow.call(&[]).unwrap();
        let before = keep.call(&[]).unwrap();
        keep.call(&[]).unwrap();
        assert_eq!(before[0].to_f64_vec(), [3.0]);
        assert_eq!(session.get(&a).unwrap().to_f64_vec(), [12.0]);
        assert_eq!(session.get(&b).unwrap().to_f64_vec(), [4.0]);
        // What was read stays as it was, whatever is computed later.
        let seen = session.get(&b).unwrap();
        grow.call(&[]).unwrap();
        assert_eq!((seen.to_f64_vec(), session.get(&b).unwrap().to_f64_vec()), (vec![4.0], vec![5.0]));
    }
}

#[test]
fn states_are_read_and_set_by_name() {
    let session = session("cpu");
    let (weights, value) = state("weights", &[1.0, 2.0]);
    let x = input("x", &["2"]);
    let builder = FunctionBuilder::new("f").input(&x).output(&(&x * &value));
    let f = builder.update(&weights, &(&value + &x)).build(&session).unwrap();
    f.call(&[vector(&[1.0, 1.0])]).unwrap();
    assert_eq!(f.get("weights").unwrap().to_f64_vec(), [2.0, 3.0]);
    f.set("weights", vector(&[7.0, 8.0])).unwrap();
    assert_eq!(f.call(&[vector(&[1.0, 1.0])]).unwrap()[0].to_f64_vec(), [7.0, 8.0]);
    told(f.get("weight"), &["`f` has no state `weight`", "did you mean `weights`?"]);
    told(f.set("weights", vector(&[1.0])), &["the state `weights` is f64[2], not f64[1]"]);
    told(f.set("weights", Tensor::zeros(DType::F32, &[2])), &["f64[2]", "f32[2]"]);
    assert_eq!(f.get("weights").unwrap().to_f64_vec(), [8.0, 9.0]);
}

#[test]
fn wrong_updates_are_errors_when_building() {
    let session = session("reference");
    let (w, value) = state("w", &[1.0, 2.0]);
    let build = |builder: FunctionBuilder| builder.build(&session);
    let twice = FunctionBuilder::new("f").update(&w, &(&value + 1.0)).update(&w, &value);
    told(build(twice), &["the state `w` is updated twice"]);
    told(build(FunctionBuilder::new("f").update(&w, &value.sum(None))), &["`w` is f64[2], its new value is f64[]"]);
    told(build(FunctionBuilder::new("f").update(&w, &value.cast(DType::F32))), &["its new value is f32[2]"]);
}

#[test]
fn copies_run_over_other_states() {
    for session in sessions() {
        let (w, value) = state("w", &[1.0, 2.0]);
        let x = input("x", &["2"]);
        let builder = FunctionBuilder::new("f").input(&x).output(&value.sum(None));
        let f = builder.update(&w, &(&value + &x)).build(&session).unwrap();
        let other = State::new("v", vector(&[10.0, 20.0]));
        let copy = f.with_states(&[(w.clone(), other.clone())]).unwrap();
        let one = vector(&[1.0, 1.0]);
        assert_eq!(copy.call(&[one.clone()]).unwrap()[0].item(), Some(30.0));
        assert_eq!(f.call(&[one.clone()]).unwrap()[0].item(), Some(3.0));
        assert_eq!(session.get(&other).unwrap().to_f64_vec(), [11.0, 21.0]);
        assert_eq!(session.get(&w).unwrap().to_f64_vec(), [2.0, 3.0]);
        assert_eq!(copy.get("v").unwrap().to_f64_vec(), [11.0, 21.0]);
        // A twin of the copy reads the copy's states.
        let twin = copy.without_updates().unwrap();
        assert_eq!(twin.call(&[one]).unwrap()[0].item(), Some(32.0));
        assert_eq!(session.get(&other).unwrap().to_f64_vec(), [11.0, 21.0]);
        let narrow = State::new("n", Tensor::zeros(DType::F32, &[2]));
        told(f.with_states(&[(w.clone(), narrow)]), &["the state `n` is f32[2], not f64[2]"]);
        told(f.with_states(&[(other.clone(), w.clone())]), &["`f` does not use the state `v`"]);
    }
}

#[test]
fn two_states_of_a_function_can_be_exchanged() {
    let session = session("cpu");
    let ((a, va), (b, vb)) = (state("a", &[1.0]), state("b", &[5.0]));
    let f = FunctionBuilder::new("f").output(&(&va - &vb)).update(&a, &(&va + 1.0)).build(&session).unwrap();
    let swapped = f.with_states(&[(a.clone(), b.clone()), (b.clone(), a.clone())]).unwrap();
    assert_eq!(swapped.call(&[]).unwrap()[0].to_f64_vec(), [4.0]);
    assert_eq!((session.get(&a).unwrap().item(), session.get(&b).unwrap().item()), (Some(1.0), Some(6.0)));
    let merged = f.with_states(&[(a, b)]).unwrap();
    told(merged.call(&[]), &["`b` stands for two states of the function"]);
}

#[test]
fn twins_without_updates_compute_the_same() {
    for session in sessions() {
        let (count, value) = state("count", &[1.0]);
        let x = input("x", &["1"]);
        let builder = FunctionBuilder::new("f").input(&x).named_output("y", &(&x * &value));
        let f = builder.update(&count, &(&value + 1.0)).build(&session).unwrap();
        let twin = f.without_updates().unwrap();
        let three = vector(&[3.0]);
        for _ in 0..2 {
            assert_eq!(twin.call(&[three.clone()]).unwrap()[0].to_f64_vec(), [3.0]);
        }
        f.call(&[three.clone()]).unwrap();
        assert_eq!(twin.call(&[three]).unwrap()[0].to_f64_vec(), [6.0]);
        assert_eq!(twin.output_names(), [Some("y")]);
    }
}

/// Updates two states, one of them in place where the backend can, and fails in the last node if `at`
/// is out of range.
fn fails_last(session: &Session, a: &State, b: &State) -> Function {
    let (x, at) = (input("x", &["3"]), Var::input("at", Type::scalar(DType::I64)));
    let (new_a, new_b) = (&Var::state(a) + &x, &Var::state(b) * &x);
    let picked = (&new_a + &new_b).exp().take(&at, 0);
    let builder = FunctionBuilder::new("f").input(&x).input(&at).update(a, &new_a).update(b, &new_b);
    builder.output(&picked).build(session).unwrap()
}

#[test]
fn a_call_that_fails_last_changes_nothing() {
    for session in sessions() {
        let ((a, _), (b, _)) = (state("a", &[1.0, 2.0, 3.0]), state("b", &[4.0, 5.0, 6.0]));
        let f = fails_last(&session, &a, &b);
        let ops: Vec<&str> = f.compiled().nodes().iter().map(|node| node.op.as_str()).collect();
        assert_eq!(ops.last(), Some(&"take"), "{ops:?}");
        let x = vector(&[1.0, 2.0, 3.0]);
        f.call(&[x.clone(), Tensor::scalar(2i64)]).unwrap();
        let values = || (session.get(&a).unwrap().to_f64_vec(), session.get(&b).unwrap().to_f64_vec());
        let after = (vec![2.0, 4.0, 6.0], vec![4.0, 10.0, 18.0]);
        assert_eq!(values(), after);
        for _ in 0..3 {
            told(f.call(&[x.clone(), Tensor::scalar(3i64)]), &["take", "3"]);
            assert_eq!(values(), after);
        }
        f.call(&[x, Tensor::scalar(0i64)]).unwrap();
        assert_eq!(values(), (vec![3.0, 6.0, 9.0], vec![4.0, 20.0, 54.0]));
    }
}

#[test]
fn rows_of_a_state_change_in_place_once_all_places_are_known() {
    for session in sessions() {
        let table = State::new("table", Tensor::zeros(DType::F64, &[64, 3]));
        let value = Var::state(&table);
        let places = Var::input("places", Type::new(DType::I64, [4.into()]));
        let loss = value.take(&places, 0).square().sum(None) + value.take(&places, 0).sum(None);
        let next = &value - 0.5 * grad(&loss, &[&value]).remove(0);
        let step = FunctionBuilder::new("step").input(&places).output(&loss).update(&table, &next).build(&session).unwrap();
        let write = step.compiled().nodes().iter().find(|node| node.op == "set_at").expect("only rows are written");
        let over = |name: &str| write.device == name && write.in_place == [(0, 0)];
        assert!(over("cpu") || write.device == "reference", "{write:?}");
        step.call(&[Tensor::vector(vec![1i64, -1, 1, 2])]).unwrap();
        let rows = |row: usize| session.get(&table).unwrap().to_f64_vec()[3 * row..3 * row + 3].to_vec();
        let seen = || [rows(0), rows(1), rows(2), rows(63)];
        let after = [vec![0.0; 3], vec![-1.0; 3], vec![-0.5; 3], vec![-0.5; 3]];
        assert_eq!(seen(), after);
        // The last place is wrong, and those before it are not written.
        told(step.call(&[Tensor::vector(vec![0i64, 1, 2, 64])]), &["index 64 is out of range for axis 0 of length 64"]);
        assert_eq!(seen(), after);
        // The first value is the state's and its maker's.
        let plan = step.compiled().debug_text();
        assert!(write.device == "reference" || plan.contains("set_at f64[64, 3]@argument 0 in place over a donated argument"), "{plan}");
    }
}

#[test]
fn a_new_value_of_the_wrong_shape_changes_nothing() {
    for session in sessions() {
        let (a, va) = state("a", &[1.0, 2.0, 3.0]);
        let (b, _) = state("b", &[4.0, 5.0]);
        let (x, y) = (input("x", &["3"]), input("y", &["m"]));
        let builder = FunctionBuilder::new("f").input(&x).input(&y).update(&a, &(&va + &x)).update(&b, &y.exp());
        let f = builder.build(&session).unwrap();
        let one = vector(&[1.0, 1.0, 1.0]);
        f.call(&[one.clone(), vector(&[0.0, 0.0])]).unwrap();
        told(f.call(&[one.clone(), one]), &["the state `b` is f64[2]", "f64[3]"]);
        assert_eq!(session.get(&a).unwrap().to_f64_vec(), [2.0, 3.0, 4.0]);
        assert_eq!(session.get(&b).unwrap().to_f64_vec(), [1.0, 1.0]);
    }
}

#[test]
fn threads_that_update_one_state_lose_nothing() {
    for session in sessions() {
        let total = State::new("total", Tensor::vector(vec![0i64; 4]));
        let value = Var::state(&total);
        let x = Var::input("x", Type::new(DType::I64, [4.into()]));
        let builder = FunctionBuilder::new("add").input(&x).output(&value).update(&total, &(&value + &x));
        let add = builder.build(&session).unwrap();
        let twin = add.without_updates().unwrap();
        let mut seen: Vec<i64> = std::thread::scope(|scope| {
            let call = |thread: i64| {
                let (add, twin) = (&add, &twin);
                move || {
                    let argument = Tensor::vector(vec![thread; 4]);
                    let mut seen = Vec::new();
                    for _ in 0..50 {
                        let before = add.call(&[argument.clone()]).unwrap()[0].to_i64_vec();
                        assert!(before.iter().all(|&v| v == before[0]), "torn: {before:?}");
                        let read = twin.call(&[argument.clone()]).unwrap()[0].to_i64_vec();
                        assert!(read[0] > before[0] && read.iter().all(|&v| v == read[0]), "torn: {read:?}");
                        seen.push(before[0]);
                    }
                    seen
                }
            };
            let threads: Vec<_> = (1..=8).map(|thread| scope.spawn(call(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(session.get(&total).unwrap().to_i64_vec(), [50 * 36; 4]);
        // No two calls started from the same value.
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8 * 50);
    }
}

#[test]
fn initial_values_are_computed_once() {
    let session = session("cpu");
    let initial = StateValue::Unset(Var::weak(2.0) * ones(&[3], DType::F64));
    let w = State::with_type("w", Type::new(DType::F64, [Dim::Unknown]), initial);
    let value = Var::state(&w);
    let f = FunctionBuilder::new("f").output(&value).update(&w, &concatenate(&[value.clone(), value.clone()], 0));
    let f = f.build(&session).unwrap();
    assert_eq!(f.call(&[]).unwrap()[0].to_f64_vec(), [2.0; 3]);
    assert_eq!(f.call(&[]).unwrap()[0].to_f64_vec(), [2.0; 6]);
    let wrong = State::with_type("v", Type::new(DType::F64, [2.into()]), StateValue::Unset(ones(&[3], DType::F64)));
    let g = FunctionBuilder::new("g").output(&Var::state(&wrong)).build(&session);
    told(g, &["the state `v` is f64[2], its initial value is f64[3]"]);
}
