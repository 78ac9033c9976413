//! The mode `nan-guard`.

use super::*;

const DEVICES: [&str; 3] = ["reference", "cpu", "faulty"];

fn guarded(device: &str, program: &str) -> Function {
    compile(&session(config(device, "nan-guard")), program)
}

#[test]
fn the_first_bad_value_stops_the_call() {
    let program = "fn f(x: f64[n]) {\n    y = log(x)\n    return where(y > 0, y, 0.0)\n}";
    for device in DEVICES {
        let f = guarded(device, program);
        assert_eq!(f.call(&[vector(&[1.0, 2.0])]).unwrap()[0].to_f64_vec()[0], 0.0);
        told(f.call(&[vector(&[1.0, 2.0, -3.0, -4.0])]), ErrorKind::Runtime, &[
            "`log` gives NaN at 2 of 4 places, first at [2]", "at program.arig:2:9", "operand 0: f64[4] [1, 2, -3, -4]; there it is -3",
            "result: f64[4] [0, 0.69", "node 0 on ",
        ]);
        told(f.call(&[vector(&[0.0])]), ErrorKind::Runtime, &["`log` gives an infinity, -inf", "operand 0: f64[1] [0]"]);
    }
}

#[test]
fn loops_and_branches_say_which_step() {
    let program = "fn f(x: f64[n]) {\n    ys = scan (x_t in x) {\n        state h: f64[] = 1\n        h <- sqrt(h - x_t)\n        yield h\n    }\n    return if sum(x) > 3 {\n        log(x - 5)\n    } else {\n        ys\n    }\n}";
    for device in DEVICES {
        let f = guarded(device, program);
        assert_eq!(f.call(&[vector(&[0.0, 1.0, 0.0])]).unwrap()[0].to_f64_vec(), [1.0, 1.0, 0.0]);
        told(f.call(&[vector(&[0.0, 0.0, 2.0, 0.0])]), ErrorKind::Runtime, &["`sqrt` gives NaN", "program.arig:4", "in step 2 of the loop at program.arig:2"]);
        told(f.call(&[vector(&[0.0, 0.0, 0.0, -9.0, 20.0])]), ErrorKind::Runtime, &["`sqrt` gives NaN", "in step 4 of the loop"]);
        told(f.call(&[vector(&[-1.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.5, 0.25])]), ErrorKind::Runtime, &["`sqrt` gives NaN", "in step 5"]);
    }
    let program = "fn f(x: f64[n]) {\n    return if sum(x) > 3 {\n        log(x - 5)\n    } else {\n        x\n    }\n}";
    told(guarded("cpu", program).call(&[vector(&[4.0])]), ErrorKind::Runtime, &["`log` gives NaN", "program.arig:3", "in the first branch of the `if` at program.arig:2"]);
}

#[test]
fn inputs_and_states_are_checked_and_states_stay() {
    let program = "fn f(x: f64[]) {\n    state s: f64[] = 1\n    t = s * x\n    s <- t\n    return log(t)\n}";
    for device in DEVICES {
        let f = guarded(device, program);
        f.call(&[Tensor::scalar(3.0)]).unwrap();
        told(f.call(&[Tensor::scalar(f64::NAN)]), ErrorKind::Runtime, &["the input `x` holds NaN", "program.arig:1"]);
        told(f.call(&[Tensor::scalar(-1.0)]), ErrorKind::Runtime, &["`log` gives NaN"]);
        assert_eq!(f.get("s").unwrap().item(), Some(3.0));
        f.set("s", Tensor::scalar(f64::INFINITY)).unwrap();
        told(f.call(&[Tensor::scalar(1.0)]), ErrorKind::Runtime, &["the state `s` holds an infinity, inf"]);
    }
}

#[test]
fn the_config_says_what_is_an_error() {
    let program = "fn f(x: f64[n]) { return log(x) }";
    let f = |key: &str, value: arignote::config::Value| {
        compile(&session(config("cpu", "nan-guard").with(key, value).unwrap()), program)
    };
    let call = |f: Function, x: f64| f.call(&[vector(&[x])]).map(|results| results[0].to_f64_vec()[0]);
    assert!(call(f("nan-guard.nan", false.into()), -1.0).unwrap().is_nan());
    assert_eq!(call(f("nan-guard.infinity", false.into()), 0.0).unwrap(), f64::NEG_INFINITY);
    told(call(f("nan-guard.infinity", false.into()), -1.0), ErrorKind::Runtime, &["`log` gives NaN"]);
    assert!(call(f("nan-guard.action", "warn".into()), -1.0).unwrap().is_nan());
    told(call(f("nan-guard.limit", 5.0.into()), 1e-9), ErrorKind::Runtime, &["`log` gives a number beyond the limit, -20.7"]);
    assert!(call(f("nan-guard.limit", 50.0.into()), 1e-9).is_ok());
}

#[test]
fn what_is_folded_while_compiling_is_checked() {
    let f = guarded("cpu", "fn f(x: f64[]) { return x + log(0.0 - 1.0) }");
    told(f.call(&[Tensor::scalar(1.0)]), ErrorKind::Runtime, &["NaN", "program.arig:1"]);
    // What the user wrote is the user's.
    let f = guarded("cpu", "fn f(x: f64[]) { return where(x > inf, 0.0, x) }");
    assert_eq!(f.call(&[Tensor::scalar(1.0)]).unwrap()[0].item(), Some(1.0));
}
