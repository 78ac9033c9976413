//! The mode `debug`.

use super::*;

const PROGRAM: &str = "fn f(x: f64[n], y: f64[n]) {\n    state s: f64[] = 0\n    a = x * y\n    b = a + 1\n    c = exp(b)\n    s <- s + sum(c)\n    return c * y, s\n}";

fn call(config: Config, program: &str) -> Result<Vec<Tensor>> {
    compile(&session(config), program).call(&[vector(&[0.5, -1.0, 2.0]), vector(&[1.0, 0.25, -0.5])])
}

fn with_fault(fault: &str) -> Config {
    config("faulty", "debug").with("backend.faulty.fault", fault).unwrap()
}

#[test]
fn sound_devices_pass() {
    let expected = call(config("reference", "fast-run"), PROGRAM).unwrap();
    for device in ["reference", "cpu", "faulty"] {
        let found = call(config(device, "debug"), PROGRAM).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            for (found, expected) in found.to_f64_vec().iter().zip(expected.to_f64_vec()) {
                assert!((found - expected).abs() <= 1e-14 * expected.abs(), "{device}: {found} {expected}");
            }
        }
    }
}

#[test]
fn a_wrong_kernel_is_found() {
    for op in ["mul", "exp", "sum"] {
        let text = told(call(with_fault(&format!("wrong {op}")), PROGRAM), ErrorKind::Internal, &[
            &format!("`{op}` on faulty gives another result than on the reference backend"), "at program.arig:", "operand 0: f64[3] [",
            "units in the last place", "found: ", "expected: ",
        ]);
        assert!(op != "exp" || text.contains("at [2]\n  at program.arig:5:9") && text.contains("1 of 3 elements are off"), "{text}");
    }
}

#[test]
fn a_wrong_kernel_in_a_loop_is_found_and_states_stay() {
    let program = "fn f(x: f64[n], y: f64[n]) {\n    state s: f64[] = 2\n    zs = scan (x_t in x) {\n        state h: f64[] = 1\n        h <- sin(h) * x_t\n        yield h\n    }\n    s <- s + 1\n    return zs\n}";
    let f = compile(&session(with_fault("wrong sin")), program);
    told(f.call(&[vector(&[1.0]), vector(&[1.0])]), ErrorKind::Internal, &["`sin` on faulty gives another result", "program.arig:5", "in step 0 of the loop at program.arig:3"]);
    assert_eq!(f.get("s").unwrap().item(), Some(2.0));
}

#[test]
fn an_impure_kernel_is_found() {
    told(call(with_fault("impure exp"), PROGRAM), ErrorKind::Internal, &["`exp` on faulty gives another result", "program.arig:5"]);
    let only = with_fault("impure exp").with("debug.checks", ["purity"]).unwrap();
    told(call(only, PROGRAM), ErrorKind::Internal, &["when it is computed again", "program.arig:5"]);
}

#[test]
fn writing_over_an_operand_is_found() {
    told(call(with_fault("writes exp"), PROGRAM), ErrorKind::Internal, &["`exp` on faulty writes over operand 0, which it must not", "program.arig:5", "afterwards: f64[3] [-7,"]);
}

#[test]
fn a_kernel_that_is_wrong_in_place_is_found() {
    told(call(with_fault("in-place exp"), PROGRAM), ErrorKind::Internal, &["`exp` on faulty gives another result when result 0 may be written over operand 0", "program.arig:5"]);
}

#[test]
fn a_kernel_that_ignores_strides_is_found() {
    let program = "fn f(x: f64[n], y: f64[n]) { return exp(x) + y }";
    told(call(with_fault("strides exp"), program), ErrorKind::Internal, &["`exp` on faulty gives another result when its operands lie with gaps"]);
}

#[test]
fn wrong_fused_code_is_found() {
    told(call(with_fault("fused exp"), PROGRAM), ErrorKind::Internal, &["`exp` on faulty gives another result in a program than alone", "program.arig:5", "computed together: mul, add, exp"]);
}

#[test]
fn a_wrong_rule_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.rules");
    std::fs::write(&path, "# Drops an offset.\nrule forgets_an_offset [specialize]: exp(x + 1) => exp(x)\n").unwrap();
    for device in ["reference", "cpu"] {
        let config = config(device, "debug").with("rewrite.rules", vec![path.display().to_string()]).unwrap();
        told(call(config, PROGRAM), ErrorKind::Internal, &[
            "the rewrite `forgets_an_offset` changes result 0 from", "the exact value is nearer to the one before", "mine.rules:2", "at program.arig:5:9", "=> exp(",
        ]);
    }
}

/// Of two firings of one rule, the one that makes the difference is told, and not the other.
#[test]
fn the_firing_that_is_wrong_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.rules");
    std::fs::write(&path, "rule forgets_an_offset [specialize]: exp(x + 1) => exp(x)\n").unwrap();
    let program = "fn f(x: f64[n], y: f64[n]) {\n    a = exp(y + 1) * 1e-30\n    b = exp(x * y + 1)\n    return a + b\n}";
    for device in ["reference", "cpu"] {
        let config = config(device, "debug").with("rewrite.rules", vec![path.display().to_string()]).unwrap();
        let text = told(call(config, program), ErrorKind::Internal, &["the rewrite `forgets_an_offset` changes result 0", "at program.arig:3:9", "mine.rules:1"]);
        assert!(!text.contains("program.arig:2") && text.matches("=> ").count() == 1, "{text}");
    }
}

/// Rules that make a result more exact change it, too.
#[test]
fn stable_forms_pass() {
    let program = "fn f(x: f64[n], y: f64[n]) {\n    p = exp(800 * x)\n    l = log(p / sum(p))\n    return l, grad(sum(l), x), log(1 + exp(y * 1000))\n}";
    for device in ["reference", "cpu"] {
        let results = call(config(device, "debug"), program).unwrap();
        assert!(results.iter().all(|result| result.to_f64_vec().iter().all(|value| value.is_finite())), "{results:?}");
    }
}

#[test]
fn checks_can_be_chosen() {
    let config = with_fault("wrong exp").with("debug.checks", ["purity", "strides"]).unwrap();
    assert!(call(config, PROGRAM).is_ok());
    let error = Config::default().with("debug.checks", ["purty"]).unwrap_err();
    assert_eq!(error.suggestion(), Some("\"purity\""));
}

/// What is weak where it is computed is so where it is read, also by another program.
#[test]
fn weak_values_do_not_change_what_they_meet() {
    let text = "fn f(x: f32[n, 3], i: i64[n]) {
        y = one_hot(i, 3) * log_softmax(x, axis=-1)
        return y, grad(-sum(y), x)
    }";
    let inputs = [Tensor::from_vec(vec![0.5f32, 2.0, -1.0, 4.0, 0.0, 1.0], &[2, 3]).unwrap(), Tensor::vector(vec![2i64, 0])];
    for device in ["reference", "cpu"] {
        let plain = compile(&session(config(device, "fast-run")), text).call(&inputs).unwrap();
        for mode in ["debug", "nan-guard", "profile"] {
            let found = compile(&session(config(device, mode)), text).call(&inputs).unwrap();
            assert!(found.iter().zip(&plain).all(|(found, plain)| found.ty() == plain.ty()), "{device}, {mode}: {found:?} not {plain:?}");
        }
        assert_eq!(plain[0].dtype(), DType::F32);
    }
}

/// Beside an infinity it depends on the order of a sum whether it meets another one, of what overflowed on the way.
#[test]
fn sums_that_overflow_on_the_way_pass() {
    let program = "fn f(x: f64[n], y: f64[n]) { return sum(x), mean(x * y), x @ y, sum(sum(x[:, None] * y, axis=1)), cumsum(x) }";
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20 {
        let mut draw = || [f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308, 1.7e308, 1.0][random.usize(..6)];
        let x: Vec<f64> = (0..37).map(|_| draw()).collect();
        let f = compile(&session(config("cpu", "debug")), program);
        f.call(&[vector(&x), vector(&[1.0; 37])]).unwrap_or_else(|error| panic!("{x:?}: {error}"));
    }
}
