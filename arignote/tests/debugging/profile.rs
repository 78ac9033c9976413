//! The mode `profile`, on devices that keep times and on one that does not; drawings and explanations.

use arignote::graph::Var;
use arignote::inspect;
use arignote::ops::host_call;
use arignote::tensor::{DType, Type};

use super::*;

const PROGRAM: &str = "fn step(x: f64[n, 4]) {\n    state w: f64[4] = ones(4)\n    z = tanh(x @ w) * 2 + 1\n    w <- w - 0.1 * grad(sum(z), w)\n    return sum(z)\n}";

fn argument() -> Tensor {
    Tensor::from_vec((0..12).map(f64::from).collect(), &[3, 4]).unwrap()
}

#[test]
fn every_device_is_measured() {
    for device in ["reference", "cpu", "faulty"] {
        let f = compile(&session(config(device, "profile")), PROGRAM);
        for _ in 0..3 {
            f.call(&[argument()]).unwrap();
        }
        let profile = f.profile();
        assert_eq!((profile.calls, profile.function.as_str()), (3, "step"));
        let rows = |op: &str| profile.rows.iter().filter(|row| row.op == op).collect::<Vec<_>>();
        let matmul = rows("matmul");
        assert!(matmul.iter().any(|row| row.calls == 3 && row.seconds > 0.0 && row.location.starts_with("program.arig:3")), "{:#?}", profile.rows);
        let tanh = rows("tanh");
        assert!(tanh.iter().all(|row| row.calls == 3 && row.seconds > 0.0 && row.device == device), "{device}: {tanh:#?}");
        assert_eq!(tanh.iter().any(|row| row.kernel.is_some()), device == "cpu", "{device}: {tanh:#?}");
        let computing: f64 = profile.rows.iter().map(|row| row.seconds).sum();
        assert!(computing <= profile.seconds, "{computing} of {}", profile.seconds);
        let phases: Vec<&str> = profile.compiling.iter().map(|(name, _)| name.as_str()).collect();
        for phase in ["stabilize", "differentiate", "rewrite", "place", "backend"] {
            assert!(phases.contains(&phase), "{phases:?}");
        }
        assert!(profile.compiling.iter().all(|(_, seconds)| *seconds >= 0.0));
        let table = inspect::table(&profile);
        for part in ["step: 3 calls, ", "compiling: ", "  op\n", "  line\n", "program.arig:3\n", " on ", "matmul f64["] {
            assert!(table.contains(part), "the table lacks {part:?}:\n{table}");
        }
        let trace = inspect::trace(&profile);
        let events = trace["traceEvents"].as_array().unwrap();
        let named = |event: &serde_json::Value| events.iter().any(|name| name["name"] == "thread_name" && name["tid"] == event["tid"]);
        assert!(events.iter().filter(|event| event["ph"] == "X").all(named), "{trace}");
        let of = |category: &str| events.iter().filter(|event| event["cat"] == category).collect::<Vec<_>>();
        assert_eq!(of("call").len(), 3);
        assert!(!of("op").is_empty() && of("compile").len() >= 5);
        // Ops lie inside the call in which they ran.
        let ends = |event: &serde_json::Value| {
            let start = event["ts"].as_f64().unwrap();
            (start, start + event["dur"].as_f64().unwrap())
        };
        for op in of("op") {
            let (start, end) = ends(op);
            assert!(of("call").iter().any(|call| ends(call).0 <= start + 1.0 && end <= ends(call).1 + 1.0), "{device}: {op}");
        }
        if device != "faulty" {
            assert_eq!(of("program").len() % 3, 0);
        }
    }
}

/// A closure that takes its time, and a kernel of a device that does, stand first, with their lines.
#[test]
fn what_is_slow_is_found() {
    for device in ["reference", "cpu"] {
        let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
        let line = line!() + 1;
        let slow = host_call(&[&x], &[Type::new(DType::F64, ["n".into()])], |values| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ok(values.to_vec())
        });
        let y = (&slow[0] * &x).tanh();
        let f = FunctionBuilder::new("f").input(&x).output(&y).build(&session(config(device, "profile"))).unwrap();
        f.call(&[vector(&[1.0, 2.0])]).unwrap();
        found(&f, "host_call", &format!("profile.rs:{line}:"));
    }
    let faulty = config("faulty", "profile").with("backend.faulty.fault", "slow tanh").unwrap();
    let f = compile(&session(faulty), PROGRAM);
    f.call(&[argument()]).unwrap();
    found(&f, "tanh", "program.arig:3:");
}

#[track_caller]
fn found(f: &Function, op: &str, place: &str) {
    let profile = f.profile();
    let slowest = profile.rows.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds)).unwrap();
    assert!(slowest.op == op && slowest.seconds >= 0.02 && slowest.location.contains(place), "{:#?}", profile.rows);
    let table = inspect::table(&profile);
    let first = table.lines().skip_while(|line| !line.ends_with("  op")).nth(1).unwrap_or_default();
    assert!(first.contains(op), "{table}");
}

#[test]
fn nodes_of_loops_are_measured_where_that_is_asked_for() {
    let program = "fn f(x: f64[n]) {\n    ys = scan (x_t in x) {\n        state h: f64[] = 0\n        h <- cos(h + x_t)\n        yield h\n    }\n    return ys\n}";
    let f = compile(&session(config("cpu", "profile").with("profile.nodes", true).unwrap()), program);
    f.call(&[vector(&[1.0, 2.0, 3.0])]).unwrap();
    let rows = f.profile().rows;
    let cos = rows.iter().find(|row| row.op == "scan / cos").unwrap();
    assert_eq!((cos.calls, cos.bytes, cos.location.as_str()), (3, 24, "program.arig:4:14"), "{rows:#?}");
}

#[test]
fn drawings_show_devices_kernels_and_what_is_written_over() {
    let f = compile(&session(config("cpu", "profile")), PROGRAM);
    let compiled = f.compiled();
    compiled.plan(&compiled.shapes(&[("n".into(), 100)], 64).unwrap());
    let drawing = inspect::Drawing::of_compiled(compiled).unwrap();
    let (svg, dot) = (drawing.to_svg(), drawing.to_dot());
    for part in ["step, as compiled", ">matmul<", ">x<", ">w<", ">w ←<", ">result 0<", "on cpu", "written over", "the kernel that", "program.arig:3"] {
        assert!(svg.contains(part), "the drawing lacks {part:?}:\n{svg}");
    }
    assert!(dot.starts_with("digraph {") && dot.contains("in place") && dot.contains("kernel 1"), "{dot}");
    // A loop is a box with its body in it.
    let program = "fn f(x: f64[n]) {\n    ys = scan (x_t in x) {\n        state h: f64[] = 0\n        h <- cos(h + x_t)\n        yield h\n    }\n    return ys\n}";
    let drawing = inspect::Drawing::of_compiled(compile(&session(config("cpu", "fast-run")), program).compiled()).unwrap();
    let svg = drawing.to_svg();
    for part in ["each step", ">scan(", ">cos<", ">h ←<", ">yield 0<"] {
        assert!(svg.contains(part), "the drawing lacks {part:?}:\n{svg}");
    }
    assert!(drawing.to_dot().contains("subgraph cluster_"));
}

#[test]
fn memory_and_trees_are_told() {
    let f = compile(&session(config("cpu", "profile")), PROGRAM);
    let compiled = f.compiled();
    let memory = inspect::memory(compiled, &[("n".into(), 100)], 64).unwrap();
    for part in ["where n = 100", "bytes of results of all ops", "at the peak, where results also take", "that program 0 on cpu plans", "f64[100]"] {
        assert!(memory.contains(part), "{part:?} is missing:\n{memory}");
    }
    let number = |line: &str| -> u64 {
        let line = memory.lines().find(|found| found.contains(line)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(number("where results also take") <= number("is released") && number("is released") <= number("of all ops"), "{memory}");
    let tree = inspect::tree(compiled.graph(), &compiled.result_names()).unwrap();
    for part in ["result 0\n└─ ", "w ←\n", "state w [", "input x [", "matmul ", "···"] {
        assert!(tree.contains(part), "{part:?} is missing:\n{tree}");
    }
}
