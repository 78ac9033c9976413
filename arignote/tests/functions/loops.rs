//! Loops and branches through the Rust API.

use arignote::config::Config;
use arignote::ops::control::{Scan, Step, fold, if_else, map, while_loop};
use arignote::ops::random::uniform;
use arignote::prelude::*;

use super::{input, told, vector};

/// Sessions in which a loop runs on the reference backend, straight or by fallback.
fn sessions() -> Vec<Session> {
    let session = |device: &str, fallback: Vec<String>| {
        let config = Config::default().with("device", device).unwrap().with("fallback", fallback).unwrap();
        arignote::session_with(config).unwrap()
    };
    vec![session("reference", Vec::new()), session("cpu", vec!["reference".to_owned()])]
}

fn matrix(rows: &[&[f64]]) -> Tensor {
    let elements: Vec<f64> = rows.iter().flat_map(|row| row.iter().copied()).collect();
    Tensor::from_vec(elements, &[rows.len(), rows[0].len()]).unwrap()
}

/// Checks all results of a function of some inputs.
#[track_caller]
fn check(inputs: &[&Var], outputs: &[Var], arguments: &[Tensor], expected: &[&[f64]]) {
    for session in sessions() {
        let mut f = FunctionBuilder::new("f");
        for input in inputs {
            f = f.input(input);
        }
        for output in outputs {
            f = f.output(output);
        }
        let results = f.build(&session).unwrap().call(arguments).unwrap();
        let found: Vec<Vec<f64>> = results.iter().map(Tensor::to_f64_vec).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn several_sequences_states_and_yields() {
    let (x, k) = (input("x", &["n"]), Var::input("k", Type::new(DType::I64, ["n".into()])));
    let scale = Var::state(&State::new("scale", Tensor::scalar(10.0)));
    let bias = input("bias", &[]);
    let loops = Scan::new().sequence("x", &x).sequence("k", &k);
    let loops = loops.state("sum", &Var::weak(0.0)).state("count", &Var::weak(0i64)).state("odd", &Var::scalar(false));
    let run = loops.run(|step| {
        // What stands outside is read as it is: an input, and a state of the function.
        let sum = step.get("sum") + step.get("x") * &scale + &bias;
        let count = step.get("count") + step.get("k");
        step.set("sum", &sum);
        step.set("count", &count);
        step.set("odd", &step.get("odd").logical_not());
        step.give(&sum);
        step.give(&step.get("count"));
        step.give(&step.get("odd"));
    });
    let outputs = [run.stacked(0), run.stacked(1), run.stacked(2), run.last("sum"), run.last("count"), run.last("odd")];
    let types: Vec<String> = outputs.iter().map(|value| value.ty().unwrap().to_string()).collect();
    assert_eq!(types, ["f64[n]", "i64[n]", "bool[n]", "f64[]", "i64[]", "bool[]"]);
    let arguments = [vector(&[1.0, 2.0, 3.0]), Tensor::vector(vec![5i64, 6, 7]), Tensor::scalar(0.5)];
    let expected: [&[f64]; 6] =
        [&[10.5, 31.0, 61.5], &[0.0, 5.0, 11.0], &[0.0, 1.0, 0.0], &[61.5], &[18.0], &[1.0]];
    check(&[&x, &k, &bias], &outputs, &arguments, &expected);
}

#[test]
fn steps_are_counted_and_may_be_none() {
    let n = Var::input("n", Type::scalar(DType::I64));
    let x = input("x", &["m", "2"]);
    let powers = Scan::new().steps(&n).state("p", &Var::weak(1.0)).run(|step| {
        let p = step.get("p") * 2.0;
        step.set("p", &p);
        step.give(&(x.sum(Some(0)) * &p));
    });
    let outputs = [powers.last("p"), powers.stacked(0), powers.stacked(0).shape()];
    let x0 = matrix(&[&[1.0, 2.0]]);
    check(&[&n, &x], &outputs, &[Tensor::scalar(3i64), x0.clone()], &[&[8.0], &[2.0, 4.0, 4.0, 8.0, 8.0, 16.0], &[3.0, 2.0]]);
    check(&[&n, &x], &outputs, &[Tensor::scalar(0i64), x0], &[&[1.0], &[], &[0.0, 2.0]]);
}

#[test]
fn a_loop_ends_after_the_step_in_which_until_holds() {
    let x = input("x", &["n"]);
    let run = Scan::new().sequence("x", &x).state("sum", &Var::weak(0.0)).run(|step| {
        let sum = step.get("sum") + step.get("x");
        step.set("sum", &sum);
        step.give(&sum);
        step.until(&sum.gt(&Var::weak(4.0)));
    });
    let slope = grad(&(run.stacked(0).sum(None) + run.last("sum")), &[&x]).remove(0);
    let outputs = [run.stacked(0), run.last("sum"), slope];
    check(&[&x], &outputs, &[vector(&[2.0, 3.0, 4.0, 5.0])], &[&[2.0, 5.0], &[5.0], &[3.0, 2.0, 0.0, 0.0]]);
    check(&[&x], &outputs, &[vector(&[])], &[&[], &[0.0], &[]]);
}

#[test]
fn loops_and_branches_nest() {
    let x = input("x", &["n", "m"]);
    // The running total over all elements, row by row; the inner loop reads a state of the outer one.
    let rows = Scan::new().sequence("row", &x).state("total", &Var::weak(0.0)).run(|step| {
        let total = step.get("total");
        let inner = Scan::new().sequence("e", &step.get("row")).state("part", &total).run(|inner| {
            let part = inner.get("part") + inner.get("e");
            inner.set("part", &part);
            inner.give(&(part - &total));
        });
        step.set("total", &inner.last("part"));
        step.give(&inner.stacked(0));
    });
    let chosen = if_else(
        &x.sum(None).gt(&Var::weak(5.0)),
        || vec![map(&x, |row| row.sum(None)), x.sum(Some(0))],
        || vec![x.sum(Some(1)) * 0.0, x.sum(Some(0))],
    );
    let mixed = map(&x.flatten(), |e| {
        let otherwise = || if_else(&e.gt(&Var::weak(3.0)), || vec![-e], || vec![e.clone()]);
        if_else(&e.lt(&Var::weak(3.0)), || vec![e * e], otherwise).remove(0)
    });
    let cost = mixed.sum(None) + (&chosen[0] * &chosen[0]).sum(None) + rows.stacked(0).sum(None);
    let slope = grad(&cost, &[&x]).remove(0);
    let outputs = [rows.stacked(0), rows.last("total"), chosen[0].clone(), chosen[1].clone(), mixed, slope];
    let expected: [&[f64]; 6] = [
        &[1.0, 3.0, 3.0, 7.0], &[10.0], &[3.0, 7.0], &[4.0, 6.0], &[1.0, 4.0, 3.0, -4.0],
        // 2 e or 1 or -1; twice the sum of the row; how many later places of the row there are, itself included.
        &[2.0 + 6.0 + 2.0, 4.0 + 6.0 + 1.0, 1.0 + 14.0 + 2.0, -1.0 + 14.0 + 1.0],
    ];
    check(&[&x], &outputs, &[matrix(&[&[1.0, 2.0], &[3.0, 4.0]])], &expected);
}

#[test]
fn thin_forms() {
    let x = input("x", &["n"]);
    let squares = map(&x, |e| e * e);
    let horner = fold(&x, &Var::weak(0.0), |total, e| total * 10.0 + e);
    let backwards = fold(&x.flip(0), &Var::weak(0.0), |total, e| total * 10.0 + e);
    let collatz = |start: i64| {
        let even = |n: &Var| (n % Var::weak(2i64)).eq(&Var::weak(0i64));
        while_loop(&Var::scalar(start), |n| n.gt(&Var::weak(1i64)), |n| {
            let odd = || vec![n * Var::weak(3i64) + Var::weak(1i64)];
            if_else(&even(n), || vec![n.floor_div(&Var::weak(2i64))], odd).remove(0)
        })
    };
    let root = while_loop(&x.sum(None), |y| y.gt(&Var::weak(2.0)), |y| y * 0.5);
    let slope = grad(&root, &[&x]).remove(0);
    let outputs = [squares, horner, backwards, collatz(6), collatz(1), root, slope];
    let expected: [&[f64]; 7] = [&[1.0, 4.0, 9.0], &[123.0], &[321.0], &[1.0], &[1.0], &[1.5], &[0.25; 3]];
    check(&[&x], &outputs, &[vector(&[1.0, 2.0, 3.0])], &expected);
}

#[test]
fn the_branch_that_is_not_taken_does_not_run() {
    let (x, i) = (input("x", &["n"]), Var::input("i", Type::scalar(DType::I64)));
    let inside = i.lt(&Var::weak(3i64));
    // Out of range, `take` fails.
    let safe = if_else(&inside, || vec![x.take(&i, 0)], || vec![Var::scalar(-1.0)]).remove(0);
    let slope = grad(&safe, &[&x]).remove(0);
    let outputs = [safe, slope];
    check(&[&x, &i], &outputs, &[vector(&[5.0, 6.0, 7.0]), Tensor::scalar(1i64)], &[&[6.0], &[0.0, 1.0, 0.0]]);
    check(&[&x, &i], &outputs, &[vector(&[5.0, 6.0, 7.0]), Tensor::scalar(9i64)], &[&[-1.0], &[0.0; 3]]);
}

#[test]
fn each_step_draws_its_own_numbers() {
    // A key is a value: the state is a pair of seed and stream, and each step takes the next stream.
    let key = Var::constant(Tensor::vector(vec![7u64, 0]));
    let one = Var::constant(Tensor::vector(vec![0u64, 1]));
    let run = Scan::new().steps(&Var::weak(4i64)).state("key", &key).run(|step| {
        step.set("key", &(step.get("key") + &one));
        step.give(&uniform(&step.get("key"), &[3], DType::F64));
    });
    let alone: Vec<Var> =
        (0..4).map(|stream| uniform(&Var::constant(Tensor::vector(vec![7u64, stream])), &[3], DType::F64)).collect();
    for session in sessions() {
        let mut f = FunctionBuilder::new("f").output(&run.stacked(0)).output(&run.last("key"));
        for draw in &alone {
            f = f.output(draw);
        }
        let results = f.build(&session).unwrap().call(&[]).unwrap();
        let expected: Vec<f64> = results[2..].iter().flat_map(Tensor::to_f64_vec).collect();
        assert_eq!(results[0].to_f64_vec(), expected);
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(results[1].to_i64_vec(), [7, 4]);
    }
}

#[test]
fn a_loop_advances_a_state_of_the_function() {
    // The state's value is the initial one of a state of the loop; what that is at the end is its next value.
    let total = State::new("total", Tensor::scalar(100.0));
    let x = input("x", &["n"]);
    let run = Scan::new().sequence("x", &x).state("total", &Var::state(&total)).run(|step| {
        let next = step.get("total") + step.get("x");
        step.set("total", &next);
        step.give(&next);
    });
    for session in sessions() {
        session.set(&total, Tensor::scalar(100.0)).unwrap();
        let f = FunctionBuilder::new("f").input(&x).output(&run.stacked(0)).update(&total, &run.last("total"));
        let f = f.build(&session).unwrap();
        assert_eq!(f.call(&[vector(&[1.0, 2.0])]).unwrap()[0].to_f64_vec(), [101.0, 103.0]);
        assert_eq!(f.call(&[vector(&[3.0])]).unwrap()[0].to_f64_vec(), [106.0]);
        assert_eq!(session.get(&total).unwrap().to_f64_vec(), [106.0]);
    }
}

#[test]
fn mistakes_name_the_state_and_the_line() {
    let x = input("x", &["n", "3"]);
    let wrong = |body: fn(&mut Step)| {
        Scan::new().sequence("row", &x).state("speed", &Var::scalar(1.0)).run(body).last("speed").ty().map(Type::to_string)
    };
    told(wrong(|step| step.set("speed", &step.get("row"))), &["the state `speed` has the type f64[]", "f64[3]", "loops.rs"]);
    told(wrong(|step| step.set("speed", &step.get("speed").cast(DType::F32))), &["`speed`", "f32[]"]);
    told(wrong(|step| step.give(&step.get("row"))), &["the state `speed` has no next value"]);
    told(wrong(|step| step.set("sped", &step.get("speed"))), &["a step has no `sped`", "`speed`"]);
    told(wrong(|step| step.set("speed", &step.get("sped"))), &["a step has no `sped`"]);
    told(
        wrong(|step| {
            step.set("speed", &step.get("speed"));
            step.until(&step.get("row"));
        }),
        &["the condition after `until` is a bool scalar, not f64[3]"],
    );
    let line = line!() + 1;
    let clash = map(&x, |row| row + Var::constant(vector(&[1.0, 2.0])));
    told(clash.ty(), &["`add` of f64[3], f64[2]", &format!("loops.rs:{line}")]);
    told(if_else(&x, || vec![x.clone()], || vec![x.clone()])[0].ty(), &["the condition is a bool scalar"]);
    let endless = Scan::new().state("s", &x).run(|step| step.set("s", &step.get("s")));
    told(endless.last("s").ty(), &["a sequence, or a number of steps"]);
}

#[test]
fn a_failing_step_points_to_its_line() {
    let (x, i) = (input("x", &["n"]), Var::input("i", Type::new(DType::I64, ["k".into()])));
    let line = line!() + 1;
    let picked = map(&i, |at| x.take(at, 0));
    for session in sessions() {
        let f = FunctionBuilder::new("f").input(&x).input(&i).output(&picked).build(&session).unwrap();
        let result = f.call(&[vector(&[1.0]), Tensor::vector(vec![0i64, 5])]);
        told(result, &["5", &format!("loops.rs:{line}:33")]);
    }
}

#[test]
fn rows_before_and_after_the_step() {
    let x = input("x", &["n"]);
    let slopes = Scan::new().sequence_taps(&[("before", -1), ("now", 0), ("late", 2)], &x);
    let slopes = slopes.run(|step| step.give(&(step.get("late") * 100.0 + step.get("now") * 10.0 + step.get("before"))));
    let gradient = grad(&slopes.stacked(0).sum(None), &[&x]).swap_remove(0);
    let arguments = [vector(&[1.0, 2.0, 3.0, 4.0, 5.0])];
    check(&[&x], &[slopes.stacked(0), gradient], &arguments, &[&[421.0, 532.0], &[1.0, 11.0, 10.0, 100.0, 100.0]]);
}

#[test]
fn values_of_several_steps_ago() {
    let start = input("start", &["two"]);
    let run = Scan::new().steps(&Var::scalar(4i64)).history("h", &start.specify_shape(&[2])).run(|step| {
        let next = step.get("h").at(-1) + 2.0 * step.get("h").at(-2);
        step.set("h", &next);
        step.give(&next);
    });
    let gradient = grad(&run.stacked(0).at(-1), &[&start]).swap_remove(0);
    let outputs = [run.stacked(0), run.last("h"), gradient];
    check(&[&start], &outputs, &[vector(&[1.0, 10.0])], &[&[12.0, 32.0, 56.0, 120.0], &[56.0, 120.0], &[10.0, 11.0]]);
}

#[test]
fn a_history_has_rows() {
    let run = Scan::new().steps(&Var::scalar(4i64)).history("h", &Var::scalar(1.0)).run(|step| {
        step.set("h", &step.get("h"));
    });
    let error = run.last("h").ty().unwrap_err().to_string();
    assert!(error.contains("`h` holds the values of the last steps, one row for each; f64[] has no rows"), "{error}");
}
