//! What compilation drops of loops and branches, and what reverse mode keeps of them: checkpoints, truncated
//! loops, derivatives of one's own.

use arignote::config::Config;
use arignote::graph::Graph;
use arignote::ops::control::{Scan, Scanned, checkpoint, custom_vjp, if_else, map};
use arignote::prelude::*;

use super::{input, session, told, vector};

fn compile(inputs: &[&Var], outputs: &[Var]) -> arignote::Result<Function> {
    let f = inputs.iter().fold(FunctionBuilder::new("f"), |f, input| f.input(input));
    // What is taken out of loops is for `outside`.
    let config = Config::default().with("device", "reference")?.with("fallback", Vec::<String>::new())?;
    let session = arignote::session_with(config.with("rewrite.exclude", vec!["scan".to_owned()])?)?;
    outputs.iter().fold(f, |f, output| f.output(output)).build(&session)
}

#[track_caller]
fn check(inputs: &[&Var], outputs: &[Var], arguments: &[Tensor], expected: &[&[f64]]) {
    let results = compile(inputs, outputs).unwrap().call(arguments).unwrap();
    let found: Vec<Vec<f64>> = results.iter().map(Tensor::to_f64_vec).collect();
    assert_eq!(found, expected);
}

/// The ops with bodies of a graph: name, number of operands, number of results.
fn bodies(graph: &Graph) -> Vec<(String, usize, usize)> {
    let order = graph.topological_order();
    let views = order.into_iter().map(|id| graph.node(id));
    let with = views.filter(|view| view.apply().is_some_and(|(_, attributes)| attributes.bodies().next().is_some()));
    with.map(|view| (view.op_name().to_owned(), view.operands.len(), view.results.len())).collect()
}

/// Checks what there is of ops with bodies before and after compilation.
#[track_caller]
fn shrinks(inputs: &[&Var], outputs: &[Var], before: &[(&str, usize, usize)], after: &[(&str, usize, usize)]) -> Function {
    let f = compile(inputs, outputs).unwrap();
    let owned = |rows: &[(&str, usize, usize)]| rows.iter().map(|&(op, a, b)| (op.to_owned(), a, b)).collect::<Vec<_>>();
    assert_eq!(bodies(f.compiled().stated_graph()), owned(before), "as stated");
    assert_eq!(bodies(f.compiled().graph()), owned(after), "as compiled:\n{}", f.compiled().after());
    f
}

#[test]
fn what_nobody_reads_of_a_loop_is_dropped() {
    let (x, y, a) = (input("x", &["n"]), input("y", &["n"]), input("a", &[]));
    let run = Scan::new().sequence("x", &x).sequence("y", &y).state("used", &a).state("unused", &a.exp()).run(|step| {
        let used = step.get("used") + step.get("x") * &a;
        step.set("used", &used);
        step.set("unused", &(step.get("unused") * step.get("y") * a.sin()));
        step.give(&used);
        step.give(&(step.get("unused") + step.get("y").cos()));
    });
    // x, y, two initial values and a; then x, one initial value and a.
    let f = shrinks(&[&x, &y, &a], &[run.stacked(0)], &[("scan", 5, 4)], &[("scan", 3, 2)]);
    assert!(!f.compiled().after().contains("exp") && !f.compiled().after().contains("sin"));
    let (x0, y0) = (vector(&[1.0, 2.0]), vector(&[3.0, 4.0]));
    assert_eq!(f.call(&[x0.clone(), y0, Tensor::scalar(2.0)]).unwrap()[0].to_f64_vec(), [4.0, 8.0]);
    // A sequence of another length still fails the loop.
    told(f.call(&[x0, vector(&[1.0]), Tensor::scalar(2.0)]), &["n"]);
    let free = input("z", &["m"]);
    let run = Scan::new().sequence("x", &x).sequence("z", &free).run(|step| step.give(&(step.get("x") * 2.0)));
    let f = shrinks(&[&x, &free], &[run.stacked(0)], &[("scan", 2, 1)], &[("scan", 2, 1)]);
    told(f.call(&[vector(&[1.0]), vector(&[1.0, 2.0])]), &["all lengths of a scan are equal"]);
}

#[test]
fn equal_captured_values_and_yields_are_one() {
    let (x, a) = (input("x", &["n"]), input("a", &[]));
    let (first, second) = (a.exp(), a.exp());
    let run = Scan::new().sequence("x", &x).run(|step| {
        step.give(&(step.get("x") * &first + &second));
        step.give(&(step.get("x") * &second + &first));
    });
    shrinks(&[&x, &a], &[run.stacked(0), run.stacked(1)], &[("scan", 3, 2)], &[("scan", 2, 1)]);
}

#[test]
fn what_nobody_reads_of_a_branch_is_dropped() {
    let (x, y) = (input("x", &["n"]), input("y", &["n"]));
    let condition = x.sum(None).gt(&Var::weak(0.0));
    let parts = if_else(&condition, || vec![&x + 1.0, y.exp()], || vec![&x + 2.0, y.log()]);
    let f = shrinks(&[&x, &y], &[parts[0].clone()], &[("if", 3, 2)], &[("if", 2, 1)]);
    assert_eq!(f.call(&[vector(&[1.0]), vector(&[0.0])]).unwrap()[0].to_f64_vec(), [2.0]);
}

#[test]
fn of_a_yield_whose_last_rows_are_read_only_these_are_kept() {
    let x = input("x", &["n"]);
    let run = Scan::new().sequence("x", &x).state("h", &Var::weak(0.0)).run(|step| {
        let h = step.get("h") * 2.0 + step.get("x");
        step.set("h", &h);
        step.give(&h);
        step.give(&(&h * 10.0));
        step.give(&step.get("x"));
    });
    let last = run.stacked(0).at(-1);
    let slope = grad(&(&last * &last), &[&x]).remove(0);
    let outputs = [last, run.stacked(1).slice(0, Some(-2), None), run.stacked(2), slope];
    let f = compile(&[&x], &outputs).unwrap();
    assert!(f.compiled().after().contains("keep = [1, 2, 0]"), "{}", f.compiled().after());
    let results = f.call(&[vector(&[1.0, 1.0, 1.0])]).unwrap();
    let found: Vec<Vec<f64>> = results.iter().map(Tensor::to_f64_vec).collect();
    assert_eq!(found, [vec![7.0], vec![30.0, 70.0], vec![1.0; 3], vec![56.0, 28.0, 14.0]]);
    let short: Vec<Vec<f64>> = f.call(&[vector(&[1.0])]).unwrap().iter().map(Tensor::to_f64_vec).collect();
    assert_eq!(short, [vec![1.0], vec![10.0], vec![1.0], vec![2.0]]);
    // There is no last row of none.
    told(f.call(&[vector(&[])]), &["index", "0"]);
}

#[test]
fn the_results_are_those_of_the_whole_loops() {
    let config = Config::default().with("device", "reference").unwrap().with("fallback", Vec::<String>::new()).unwrap();
    let config = config.with("rewrite.exclude", vec!["prune_bodies".to_owned()]).unwrap();
    let (x, a) = (input("x", &["n"]), input("a", &[]));
    let (first, second) = (a.exp(), a.exp());
    let run = Scan::new().sequence("x", &x).state("h", &a).state("unused", &a.sin()).run(|step| {
        let h = (step.get("h") * &first + step.get("x") * &second).tanh();
        step.set("h", &h);
        step.set("unused", &(step.get("unused") * &h));
        step.give(&h);
        step.give(&(step.get("unused") + &h));
    });
    let pair = if_else(&a.gt(&Var::weak(0.0)), || vec![&x * &first, x.exp()], || vec![&x * &second, x.log()]);
    let cost = run.stacked(0).at(-1) + pair[0].sum(None);
    let slopes = grad(&cost, &[&x, &a]);
    let f = FunctionBuilder::new("f").input(&x).input(&a).output(&cost).output(&slopes[0]).output(&slopes[1]);
    let whole = f.clone().build(&arignote::session_with(config).unwrap()).unwrap();
    let pruned = f.build(&session("reference")).unwrap();
    assert!(bodies(whole.compiled().graph()) != bodies(pruned.compiled().graph()));
    for point in [[0.5, -1.0, 2.0], [0.0, 0.25, -3.0]] {
        for a in [0.5, -0.5] {
            let arguments = [vector(&point), Tensor::scalar(a)];
            let (left, right) = (whole.call(&arguments).unwrap(), pruned.call(&arguments).unwrap());
            // What is captured twice is summed in another order.
            let values = |results: &[Tensor]| results.iter().flat_map(Tensor::to_f64_vec).collect::<Vec<f64>>();
            let pairs = values(&left).into_iter().zip(values(&right)).collect::<Vec<_>>();
            assert!(pairs.iter().all(|(a, b)| (a - b).abs() <= 1e-14 * b.abs().max(1.0)), "{pairs:?}");
        }
    }
}

#[test]
fn a_gradient_does_not_run_the_loop_twice() {
    let (x, w) = (input("x", &["n", "2"]), input("w", &["2", "2"]));
    let run = recurrent(Scan::new(), &x, &w);
    let loss = run.stacked(0).sum(None);
    let slopes = grad(&loss, &[&x, &w]);
    let f = compile(&[&x, &w], &[loss, slopes[0].clone(), slopes[1].clone()]).unwrap();
    let found = bodies(f.compiled().graph());
    assert_eq!(found.len(), 2, "one way forwards, one back:\n{}", f.compiled().after());
}

#[test]
fn bodies_are_stabilized_and_folded() {
    let x = input("x", &["n"]);
    let soft = map(&x, |e| (1.0 + e.exp()).log() + (Var::weak(2.0) * Var::weak(3.0)));
    let f = compile(&[&x], &[soft]).unwrap();
    let text = f.compiled().after();
    assert!(text.contains("softplus") && text.contains("6.0") && !text.contains("exp("), "{text}");
    assert_eq!(f.call(&[vector(&[1000.0])]).unwrap()[0].to_f64_vec(), [1006.0]);
}

/// `h <- h @ w + x_t`, with whole numbers exact.
fn recurrent(scan: Scan, x: &Var, w: &Var) -> Scanned {
    scan.sequence("x", x).state("h", &arignote::ops::create::ones(&[2], DType::F64)).run(|step| {
        let h = step.get("h").matmul(w) + step.get("x");
        step.set("h", &h);
        step.give(&(&h * &h));
    })
}

fn matrix(elements: &[f64], columns: usize) -> Tensor {
    Tensor::from_vec(elements.to_vec(), &[elements.len() / columns, columns]).unwrap()
}

fn rows(count: usize) -> Tensor {
    matrix(&(0..2 * count).map(|at| (at % 3) as f64 - 1.0).collect::<Vec<_>>(), 2)
}

#[test]
fn a_checkpoint_changes_no_value_and_no_derivative() {
    let x = input("x", &["n"]);
    let build = |again: bool| {
        let layer = |x: &Var| {
            let inside = || vec![(x * x + 1.0) * x, x.sum(None)];
            if again { checkpoint(inside) } else { inside() }
        };
        let first = layer(&x);
        let y = &layer(&first[0])[0] * &first[1];
        let slope = grad(&y.sum(None), &[&x]).remove(0);
        let curvature = grad(&(&slope * &slope).sum(None), &[&x]).remove(0);
        let tangent = jvp(&y, &x, &x);
        [y, slope, curvature, tangent]
    };
    let (plain, again) = (compile(&[&x], &build(false)).unwrap(), compile(&[&x], &build(true)).unwrap());
    let point = [vector(&[1.0, -2.0, 0.0])];
    let values = |f: &Function| f.call(&point).unwrap().iter().map(Tensor::to_f64_vec).collect::<Vec<_>>();
    assert_eq!(values(&plain), values(&again));
    assert!(bodies(plain.compiled().graph()).is_empty());
    let found = bodies(again.compiled().graph());
    // The way forwards runs as its ops, the way back as it stands.
    assert!(!found.is_empty() && found.iter().all(|(op, ..)| op == "recompute"), "{found:?}");
    assert!(bodies(compile(&[&x], &build(true)[..1]).unwrap().compiled().graph()).is_empty());
}

#[test]
fn loops_with_checkpoints_are_those_without() {
    let (x, w) = (input("x", &["n", "2"]), input("w", &["2", "2"]));
    let counted = |scan: Scan| {
        scan.steps(&x.shape().at(0)).state("h", &x.sum(None)).run(|step| {
            let h = step.get("h") * 2.0 + w.sum(None);
            step.set("h", &h);
            step.give(&h);
        })
    };
    let outputs = |scan: &dyn Fn() -> Scan| {
        let (run, other) = (recurrent(scan(), &x, &w), counted(scan()));
        let ends = run.last("h").sum(None) * 3.0 + other.last("h");
        let cost = run.stacked(0).sum(None) + other.stacked(0).sum(None) + ends;
        let slopes = grad(&cost, &[&x, &w]);
        let more = grad(&(&slopes[0] * &slopes[0]).sum(None), &[&w]).remove(0);
        let parts = vec![run.stacked(0), run.last("h"), other.stacked(0), other.last("h"), more];
        compile(&[&x, &w], &[parts, slopes].concat()).unwrap()
    };
    let plain = outputs(&Scan::new);
    let chunked: Vec<Function> = [1, 3, 10].iter().map(|&k| outputs(&|| Scan::new().checkpoint_every(k))).collect();
    for n in [0, 1, 2, 3, 6, 7] {
        let point = [rows(n), matrix(&[1.0, 1.0, -1.0, 2.0], 2)];
        let values = |f: &Function| f.call(&point).unwrap().iter().map(Tensor::to_f64_vec).collect::<Vec<_>>();
        for f in &chunked {
            assert_eq!(values(&plain), values(f), "{n} steps");
        }
    }
    let none = recurrent(Scan::new().checkpoint_every(0), &x, &w).last("h");
    told(none.ty(), &["`checkpoint` is a number of steps, at least 1, not 0"]);
    let ends = Scan::new().sequence("x", &x).checkpoint_every(2).run(|step| {
        step.give(&step.get("x"));
        step.until(&Var::scalar(true));
    });
    told(ends.stacked(0).ty(), &["`checkpoint` and `until` do not go together"]);
}

#[test]
fn a_truncated_loop_goes_back_through_its_last_steps() {
    let (x, h0, w) = (input("x", &["n"]), input("h0", &[]), input("w", &[]));
    let run = |scan: Scan| {
        scan.sequence("x", &x).state("h", &h0).run(|step| {
            let h = step.get("h") * &w + step.get("x");
            step.set("h", &h);
            step.give(&h);
        })
    };
    let outputs = |scan: Scan, all: bool| {
        let run = run(scan);
        let cost = if all { run.stacked(0).sum(None) } else { run.last("h") };
        grad(&cost, &[&x, &h0, &w])
    };
    let point = [vector(&[1.0; 5]), Tensor::scalar(1.0), Tensor::scalar(2.0)];
    // The states are 1, 3, 7, 15, 31, 63.
    let last: [&[f64]; 3] = [&[0.0, 0.0, 0.0, 2.0, 1.0], &[0.0], &[31.0 + 2.0 * 15.0]];
    check(&[&x, &h0, &w], &outputs(Scan::new().truncate(2), false), &point, &last);
    // Only the yields of these steps count.
    let all: [&[f64]; 3] = [&[0.0, 0.0, 0.0, 3.0, 1.0], &[0.0], &[31.0 + 3.0 * 15.0]];
    check(&[&x, &h0, &w], &outputs(Scan::new().truncate(2), true), &point, &all);
    for steps in [5, 9] {
        let found = compile(&[&x, &h0, &w], &outputs(Scan::new().truncate(steps), true)).unwrap().call(&point).unwrap();
        let whole = compile(&[&x, &h0, &w], &outputs(Scan::new(), true)).unwrap().call(&point).unwrap();
        assert!(found.iter().zip(&whole).all(|(a, b)| a.identical(b)));
    }
    let truncated = run(Scan::new().truncate(2));
    told(compile(&[&x, &h0, &w], &[jvp(&truncated.last("h"), &w, &w)]), &["`scan` with `truncate` has no forward-mode derivative"]);
    told(run(Scan::new().truncate(-1)).last("h").ty(), &["`truncate` is a number of steps, at least 1, not -1"]);
    // A loop without sequences, and one that ends early.
    let counted = Scan::new().steps(&Var::weak(4i64)).state("h", &h0).truncate(3);
    let counted = counted.run(|step| step.set("h", &(step.get("h") * &w))).last("h");
    let early = Scan::new().sequence("x", &x).state("h", &h0).truncate(2).run(|step| {
        let h = step.get("h") * &w + step.get("x");
        step.set("h", &h);
        step.until(&h.gt(&Var::weak(10.0)));
    });
    let slopes = [grad(&counted, &[&h0, &w]), grad(&early.last("h"), &[&x, &w])].concat();
    // h is 2, 4, 8 before the last three steps; 7 and 3 before the last two of three.
    let expected: [&[f64]; 4] = [&[0.0], &[8.0 + 2.0 * 4.0 + 4.0 * 2.0], &[0.0, 2.0, 1.0, 0.0, 0.0], &[7.0 + 2.0 * 3.0]];
    check(&[&x, &h0, &w], &slopes, &point, &expected);
}

#[test]
fn a_derivative_of_ones_own() {
    let (x, a, k) = (input("x", &["n"]), input("a", &[]), Var::input("k", Type::new(DType::I64, ["n".into()])));
    let rounded = |x: &Var| custom_vjp(&[x], |x| vec![x[0].round()], |_, _, dy| vec![&dy[0] * 3.0]).remove(0);
    let slope = grad(&rounded(&(&x * 2.0)).sum(None), &[&x]).remove(0);
    let again = grad(&grad(&(rounded(&x) * &x * &x).sum(None), &[&x]).remove(0).sum(None), &[&x]).remove(0);
    // Several inputs and results; an integer input has no cotangent; the results are there to be used.
    let pair = custom_vjp(
        &[&x, &k, &a],
        |v| vec![(&v[0] * v[1].cast(DType::F64)).exp(), &v[0] * &v[2]],
        |v, y, dy| vec![&dy[0] * &y[0] + &dy[1] * &v[2], (&dy[1] * &v[0]).sum(None)],
    );
    let slopes = grad(&(pair[0].sum(None) + pair[1].sum(None) * 2.0), &[&x, &a]);
    // Inside of a loop.
    let looped = grad(&map(&x, rounded).sum(None), &[&x]).remove(0);
    let outputs = [rounded(&x), slope, again, slopes[0].clone(), slopes[1].clone(), looped];
    let point = [vector(&[0.0, 2.0]), Tensor::scalar(5.0), Tensor::vector(vec![1i64, 0])];
    // The second derivative of round(x) x^2: of 3 x^2 + 2 x round(x), 6 x + 2 round(x) + 6 x.
    let expected: [&[f64]; 6] = [&[0.0, 2.0], &[6.0, 6.0], &[0.0, 28.0], &[11.0, 11.0], &[4.0], &[3.0, 3.0]];
    check(&[&x, &a, &k], &outputs, &point, &expected);

    let reading = custom_vjp(&[&x], |x| vec![&x[0] * &a], |_, _, dy| vec![&dy[0] * &a]).remove(0);
    let cost = reading.sum(None);
    check(&[&x, &a], &[grad(&cost, &[&x]).remove(0)], &[vector(&[1.0]), Tensor::scalar(5.0)], &[&[5.0]]);
    told(compile(&[&x, &a], &grad(&cost, &[&a])), &["`custom_vjp` has no derivative in a value that it reads besides its inputs"]);
    told(compile(&[&x, &a], &[jvp(&cost, &x, &x)]), &["`custom_vjp` has no forward-mode derivative"]);
    let none = custom_vjp(&[&x], |x| vec![x[0].exp()], |_, _, _| Vec::new());
    told(none[0].ty(), &["the derivative gives 0 cotangents for 1 inputs that are floats"]);
    let wrong = custom_vjp(&[&x], |x| vec![x[0].exp()], |_, _, dy| vec![dy[0].sum(None)]);
    told(wrong[0].ty(), &["the cotangent of the input 0, which is f64[n], has the type f64[]"]);
}

#[test]
fn marks_of_derivatives_inside_of_a_loop_count() {
    let x = input("x", &["n"]);
    let clipped = map(&x, |e| (e * 3.0).clip_gradient(-2.0, 2.0) + (e * 1.0).reverse_gradient());
    let slope = grad(&(clipped * 5.0).sum(None), &[&x]).remove(0);
    check(&[&x], &[slope], &[vector(&[1.0, 2.0])], &[&[1.0, 1.0]]);
}
