//! Loops by other means: for all lengths, where there is no step, and where steps fail.

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{Function, FunctionBuilder};
use arignote::tensor::Tensor;
use fastrand::Rng;

fn compile(device: &str, exclude: &[&str], text: &str) -> Function {
    let exclude: Vec<String> = exclude.iter().map(|&name| name.to_owned()).collect();
    let config = Config::default().with("device", device).unwrap().with("rewrite.exclude", exclude).unwrap();
    let graph = lang::load(lang::Source::new("loops", text)).and_then(|module| module.function(None)).unwrap();
    FunctionBuilder::from_graph(graph).build(&arignote::session_with(config).unwrap()).unwrap()
}

fn fired(function: &Function, pass: &str) -> bool {
    function.compiled().firings().iter().any(|firing| firing.rule == pass)
}

fn drawn(random: &mut Rng, shape: &[usize]) -> Tensor {
    let elements = (0..shape.iter().product()).map(|_| random.f64() * 2.0 - 1.0).collect();
    Tensor::from_vec(elements, shape).unwrap()
}

fn near(a: &Tensor, b: &Tensor) -> bool {
    let close = |(x, y): (f64, f64)| (x - y).abs() <= 1e-12 * (1.0 + y.abs());
    a.ty() == b.ty() && a.to_f64_vec().into_iter().zip(b.to_f64_vec()).all(close)
}

/// A sum over steps of unknown number is one over groups of them, whatever the lengths are.
#[test]
fn sums_over_groups_of_steps_are_whole() {
    const SEED: u64 = 3;
    let text = "fn f(x: f64[t, b, 3], w: f64[3, 3], h0: f64[b, 3]) {
        h = scan (x_t in x) {
            state h: f64[b, 3] = h0
            h <- tanh(x_t + h @ w)
        }
        return grad(sum(square(h)), w)
    }";
    let mut random = Rng::with_seed(SEED);
    for device in ["reference", "cpu"] {
        let (grouped, plain) = (compile(device, &[], text), compile(device, &["scan"], text));
        assert!(fired(&grouped, "scan_accumulate"));
        for steps in [0, 1, 2, 5, 12, 23] {
            for rows in [0, 1, 2, 3, 7, 30] {
                let arguments = [&[steps, rows, 3][..], &[3, 3], &[rows, 3]].map(|shape| drawn(&mut random, shape));
                let (found, expected) = (grouped.call(&arguments).unwrap(), plain.call(&arguments).unwrap());
                assert!(near(&found[0], &expected[0]), "{device}, {steps} steps of {rows} rows (seed {SEED}): {found:?}, {expected:?}");
            }
        }
    }
}

/// Where no step is done there is no last row, though there is a final state.
#[test]
fn the_last_row_of_nothing_is_an_error() {
    let text = "fn f(x: f64[n]) {
        hs = scan (x_t in x) {
            state h: f64[] = 1
            h1 = sin(h) + x_t
            h <- h1
            yield h1
        }
        return hs[-1], grad(hs[-1], x)
    }";
    for device in ["reference", "cpu"] {
        let function = compile(device, &[], text);
        assert!(fired(&function, "scan_last"));
        let found = function.call(&[Tensor::vector(vec![0.5, 0.25])]).unwrap();
        let h = 1f64.sin() + 0.5;
        assert!(near(&found[0], &Tensor::scalar(h.sin() + 0.25)), "{found:?}");
        assert!(near(&found[1], &Tensor::vector(vec![h.cos(), 1.0])), "{found:?}");
        let error = function.call(&[Tensor::vector(Vec::<f64>::new())]).unwrap_err().to_string();
        assert!(error.contains("out of range"), "{error}");
    }
}

/// Factors before the loop solve the same equations, as exactly, and those of a singular matrix are an error of a step.
#[test]
fn equations_in_steps_are_solved_by_factors() {
    const SEED: u64 = 5;
    let text = "fn f(a: f64[n, n], x: f64[t, n]) {
        return scan (x_t in x) {
            state h: f64[n] = x[0]
            h <- solve(a, h + x_t)
        }
    }";
    let mut random = Rng::with_seed(SEED);
    for device in ["reference", "cpu"] {
        let (factored, plain) = (compile(device, &[], text), compile(device, &["scan"], text));
        assert!(fired(&factored, "scan_factor"));
        for n in [0, 1, 2, 5, 9] {
            let arguments = [&[n, n][..], &[6, n]].map(|shape| drawn(&mut random, shape));
            let (found, expected) = (factored.call(&arguments).unwrap(), plain.call(&arguments).unwrap());
            let scale = expected[0].to_f64_vec().iter().fold(1.0, |most: f64, x| most.max(x.abs()));
            let apart = found[0].to_f64_vec().into_iter().zip(expected[0].to_f64_vec()).fold(0.0, |most: f64, (x, y)| most.max((x - y).abs()));
            assert!(apart <= 1e-8 * scale, "{device}, {n} (seed {SEED}): {found:?}, {expected:?}");
        }
        let singular = [Tensor::from_vec(vec![1.0, 2.0, 2.0, 4.0], &[2, 2]).unwrap(), drawn(&mut random, &[3, 2])];
        assert!(factored.call(&singular).is_err(), "{device}");
    }
}

/// Of all layers the states are updated where they are: what can fail is done before.
#[test]
fn states_of_all_layers_are_updated_in_place() {
    let text = "fn step(x: f32[n, 7], y: i64[n]) {
        state w1: f32[7, 5] = zeros(7, 5)
        state b1: f32[5] = zeros(5)
        state w2: f32[5, 3] = zeros(5, 3)
        state b2: f32[3] = zeros(3)
        h = relu(x @ w1 + b1)
        logits = h @ w2 + b2
        loss = mean(cross_entropy(logits, y))
        dw1, db1, dw2, db2 = grad(loss, w1, b1, w2, b2)
        w1 <- w1 - 0.1 * dw1
        b1 <- b1 - 0.1 * db1
        w2 <- w2 - 0.1 * dw2
        b2 <- b2 - 0.1 * db2
        return loss, mean(argmax(logits, axis=-1) != y)
    }";
    let function = compile("cpu", &[], text);
    let compiled = function.compiled();
    let graph = compiled.graph();
    let over_state = |node: &&arignote::runtime::NodeReport| {
        node.in_place.iter().any(|&(operand, _)| {
            let value = graph.node(node.id).operands[operand as usize];
            matches!(graph.node(value.node).kind, arignote::graph::NodeKind::State(_))
        })
    };
    assert_eq!(compiled.nodes().iter().filter(over_state).count(), 4, "{}", compiled.after());
}

/// A state that a step can write over lies in one buffer, the next value of one that a product reads in a second one, and
/// what is yielded anyway in its row.
#[test]
fn states_of_loops_are_updated_in_place() {
    let text = "fn f(x: f64[40, 9], w: f64[9, 9]) {
        a, b, c, rows = scan (x_t in x, final = true) {
            state a: f64[9] = x[1]
            state b: f64[9] = x[2]
            state c: f64[9] = x[3]
            a <- tanh(a) * x_t
            b <- tanh(w @ b)
            c1 = sin(c) * x_t
            c <- c1
            yield c1
        }
        return a, b, c, rows
    }";
    let (function, plain) = (compile("cpu", &["scan"], text), compile("reference", &["scan"], text));
    let mut random = Rng::with_seed(9);
    let arguments = [&[40, 9][..], &[9, 9]].map(|shape| drawn(&mut random, shape));
    let (found, expected) = (function.call(&arguments).unwrap(), plain.call(&arguments).unwrap());
    assert!(found.iter().zip(&expected).all(|(a, b)| near(a, b)), "{found:?}, {expected:?}");
    let plan = function.compiled().debug_text();
    for line in ["state 0: InPlace", "state 1: Written", "state 2: Row(0)"] {
        assert!(plan.contains(line), "no `{line}` in {plan}");
    }
}

/// Where no step is done the matrix need not be positive definite, and where one is it has to be.
#[test]
fn definite_matrices_are_factorized_where_there_is_a_step() {
    for (matrix, solve) in [("assume(a, \"positive_definite\")", "solve(k, h + x_t)"), ("a", "solve(k, h + x_t, assume_a=\"pos\")")] {
        let text = format!("fn f(a: f64[5, 5], x: f64[n, 5]) {{
        k = {matrix}
        return scan (x_t in x) {{
            state h: f64[5] = zeros(5)
            h <- {solve}
        }}
    }}");
        let (factored, plain) = (compile("reference", &[], &text), compile("reference", &["scan"], &text));
        assert!(fired(&factored, "scan_factor") && factored.compiled().after().contains("cholesky"), "{}", factored.compiled().after());
        let mut random = Rng::with_seed(5);
        let elements = |diagonal: f64| (0..25).map(|at| if at % 6 == 0 { diagonal } else { 1.0 }).collect();
        let [definite, not] = [6.0, -1.0].map(|diagonal| Tensor::from_vec(elements(diagonal), &[5, 5]).unwrap());
        for steps in [0, 1, 4] {
            let arguments = [definite.clone(), drawn(&mut random, &[steps, 5])];
            let (found, expected) = (factored.call(&arguments).unwrap(), plain.call(&arguments).unwrap());
            assert!(near(&found[0], &expected[0]), "{text}\n{steps} steps: {found:?}, {expected:?}");
            let failed = factored.call(&[not.clone(), drawn(&mut random, &[steps, 5])]).is_err();
            assert_eq!(failed, steps > 0, "{text}\n{steps} steps");
        }
    }
}
