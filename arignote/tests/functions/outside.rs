//! What is computed outside of loops: each program before and after, in the language, and that its results stay.

use arignote::config::Config;
use arignote::lang;
use arignote::prelude::*;

fn compiled(text: &str, exclude: &[&str]) -> Function {
    let exclude: Vec<String> = exclude.iter().map(|&name| name.to_owned()).collect();
    let config = Config::default().with("device", "cpu").unwrap().with("fallback", Vec::<String>::new()).unwrap();
    let session = arignote::session_with(config.with("rewrite.exclude", exclude).unwrap()).unwrap();
    let graph = lang::load(lang::Source::new("loop", text)).unwrap().function(None).unwrap();
    FunctionBuilder::from_graph(graph).build(&session).unwrap()
}

/// The ops that a step of each loop applies.
fn inside(f: &Function) -> Vec<Vec<String>> {
    let graph = f.compiled().graph();
    let scans = graph.topological_order().into_iter().filter(|&id| graph.node(id).op_name() == "scan");
    scans
        .map(|id| {
            let (_, attributes) = graph.node(id).apply().unwrap();
            let body = attributes.bodies().next().unwrap().1.graph().unwrap();
            let names = body.topological_order().into_iter().map(|id| body.node(id).op_name().to_owned());
            names.filter(|name| !name.is_empty()).collect()
        })
        .collect()
}

/// Elements that differ from place to place.
fn filled(ty: &Type) -> Tensor {
    let shape: Vec<usize> = ty.dims.iter().map(|dim| dim.known().unwrap_or(5)).collect();
    let count: usize = shape.iter().product();
    Tensor::from_vec((0..count).map(|at| (at * 37 % 101) as f64 / 50.0 - 1.0).collect(), &shape).unwrap()
}

/// Checks that a program gives what it gives without the phase `scan`; gives what becomes of it.
#[track_caller]
fn same(head: &str, body: &str) -> Function {
    let text = format!("fn f({head}) {{\n{body}\n}}");
    let (plain, rewritten) = (compiled(&text, &["scan"]), compiled(&text, &[]));
    let arguments: Vec<Tensor> = plain.graph().inputs.iter().map(|input| filled(input.ty().unwrap())).collect();
    let (expected, found) = (plain.call(&arguments).unwrap(), rewritten.call(&arguments).unwrap());
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected.shape(), found.shape());
        for (a, b) in expected.to_f64_vec().iter().zip(found.to_f64_vec()) {
            assert!((a - b).abs() <= 1e-13 * a.abs().max(1.0), "{a} and {b}:\n{}", rewritten.compiled().after());
        }
    }
    rewritten
}

/// As [`same`]; checks also which ops a step of each loop then applies.
#[track_caller]
fn check(head: &str, body: &str, steps: &[&[&str]]) {
    let f = same(head, body);
    assert_eq!(inside(&f), steps, "found:\n{}", f.compiled().after());
}

#[test]
fn what_is_the_same_in_every_step_is_computed_once() {
    check(
        "x: f64[5, 3], w: f64[3, 3], a: f64[]",
        "return scan (x_t in x) {\nstate h: f64[3] = zeros(3)\nstate k: f64[] = a\nh <- exp(h @ transpose(w) * sin(k)) + x_t\nk <- k\n}",
        &[&["matmul", "mul", "exp", "add"]],
    );
}

#[test]
fn rows_are_computed_together() {
    check(
        "x: f64[5, 3], w: f64[3, 4], u: f64[4, 4]",
        "return scan (x_t in x) {\nstate h: f64[4] = zeros(4)\nh1 = tanh(sin(x_t) @ w + h @ u)\nh <- h1\n}",
        &[&["matmul", "add", "tanh"]],
    );
    // Without states nothing is left of the loop.
    check("x: f64[5, 3]", "return scan (x_t in x) {\nyield sum(exp(x_t))\n}", &[]);
}

#[test]
fn what_is_not_carried_is_computed_afterwards() {
    check(
        "x: f64[5, 3], w: f64[3, 2]",
        "return scan (x_t in x) {\nstate h: f64[3] = zeros(3)\nh1 = tanh(x_t + h)\nh <- h1\nyield h1 @ w\n}",
        &[&["add", "tanh"]],
    );
    check(
        "x: f64[5, 3], w: f64[3, 2]",
        "ys = scan (x_t in x) {\nstate h: f64[3] = zeros(3)\nh1 = tanh(x_t + h)\nh <- h1\nyield h1 @ w\n}\nreturn ys[-1]",
        &[&["add", "tanh"]],
    );
}

#[test]
fn sums_over_steps_are_one_product() {
    let f = same(
        "x: f64[5, 3], w: f64[3, 3]",
        "h = scan (x_t in x) {\nstate h: f64[3] = zeros(3)\nh <- tanh(x_t + h @ w)\n}\nreturn grad(sum(h), w)",
    );
    // One product forwards, one backwards; the derivative in w is neither carried nor transposed inside.
    let steps = inside(&f);
    let count = |name: &str| steps.iter().flatten().filter(|op| *op == name).count();
    assert_eq!((steps.len(), count("matmul"), count("transpose")), (2, 2, 0), "found:\n{}", f.compiled().after());
}

#[test]
fn reversed_sequences_are_not_moved() {
    let f = same("x: f64[5]", "return scan (x_t in flip(x, axis=0)) {\nstate h: f64[] = 0\nh1 = sin(h) + x_t\nh <- h1\nyield h1\n}");
    let text = f.compiled().after();
    assert!(text.contains("reverse = true") && !text.contains("flip(x,"), "found:\n{text}");
}

#[test]
fn few_steps_are_written_out() {
    check("x: f64[3, 2]", "return scan (x_t in x) {\nstate h: f64[2] = zeros(2)\nh <- sin(h) * x_t\n}", &[]);
    check("x: f64[2]", "return scan (steps = 1, final = true) {\nstate h: f64[2] = x\nh <- sin(h)\nyield h\n}", &[]);
}

#[test]
fn loops_beside_each_other_are_one() {
    check(
        "x: f64[5]",
        "a = scan (x_t in x) {\nstate h: f64[] = 0\nh <- sin(h) + x_t\n}\nb = scan (x_t in x) {\nstate h: f64[] = 1\nh <- cos(h) * x_t\n}\nreturn a, b",
        &[&["sin", "add", "cos", "mul"]],
    );
}

#[test]
fn pieces_of_a_slice_are_joined() {
    let f = same("x: f64[4, 6]", "y = sum(exp(x[:, :2]) + sin(x[:, 2:4]) * x[:, 4:])\nreturn grad(y, x)");
    assert!(f.compiled().after().contains("concatenate") && !f.compiled().after().contains("add_at"), "found:\n{}", f.compiled().after());
}
