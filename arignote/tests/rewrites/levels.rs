//! Levels differ in time only: random graphs and their gradients, of loops too, give the same at all of them, on both host
//! backends and with portable kernels, in both widths, to rounding. Each is made from a seed, which a failure shows.

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{FunctionBuilder, Session, draw_inputs};
use arignote::tensor::{DType, Tensor, Type};
use fastrand::Rng;

/// Of the first graph; the others follow.
const SEED: u64 = 2026;
const GRAPHS: u64 = 60;

fn session(device: &str, level: &str, algebra: &str) -> Session {
    let config = Config::default().with("device", device).unwrap().with("rewrite.level", level).unwrap();
    let config = config.with("rewrite.algebra", algebra).unwrap();
    arignote::session_with(config).unwrap()
}

/// The templates of matrices, vectors and scalars: M, V and S stand for values that are there.
const MATRICES: &[&str] = &[
    "M + M", "M * M", "M + V", "M * S", "M - 0.5 * M", "tanh(M)", "sigmoid(M)", "exp(tanh(M))", "softmax(M, axis=-1)", "M @ w", "M[::-1]",
    "transpose(w @ transpose(M))", "concatenate([M[:1], M[1:]], axis=0)", "set_at(M[0], V)", "add_at(zeros_like(M)[1], V) + M",
    "where(M > 0.1, M, V)", "reshape(reshape(M, [-1]), [-1, 3])", "log(1 + exp(M))", "sqrt(square(M) + 1)", "M / (1 + exp(M))", "-M", "abs(M)",
    "-(-M) * 1 + 0", "log(exp(M) + exp(V) + exp(S))", "M ** 2", "(0.25 + M + 0.5) * 2 * 0.5", "broadcast_to(V, shape(M)) * M", "M * log_softmax(M, axis=1)",
    "scan (row in M) {\n state h: f64[3] = V\n h1 = tanh(h @ w + row)\n h <- h1\n yield h1\n }",
    "scan (row in M[::-1], other in M) {\n state h: f64[3] = V\n h1 = sin(h) * S + row * 0.5\n h <- h1\n yield h1 * other\n }",
    "if S > 0 { tanh(M) } else { M * 0.5 }", "exp(M * 0.1) * sigmoid(-M)", "outer(M[:, 0], V)", "maximum(M, V)", "M ** 3 * 0.01",
];
const VECTORS: &[&str] = &[
    "sum(M, axis=0)", "mean(M, axis=0)", "max(M, axis=0)", "V + V", "tanh(V)", "M[0]", "(tanh(M) + M)[1]", "logsumexp(M, axis=0)", "V @ w", "V * S",
    "scan (row in M) {\n state h: f64[3] = V\n h <- tanh(h * w[0] + row @ w)\n }",
    "sum(M * V, axis=0)", "V[::-1]", "set_at(V[1:], V[:2])", "(M @ w)[0]", "sum(M, axis=0, keepdims=true)[0]", "solve(w @ transpose(w) + 4 * eye(3), V)",
];
const SCALARS: &[&str] = &[
    "sum(V)", "mean(M)", "tanh(S)", "V[0]", "S + S", "max(V)", "sum(sum(M, axis=1))", "V @ V", "logsumexp(V)", "-max(-V)", "var(V)", "stack([V, V])[0, 1]",
];

fn program(random: &mut Rng) -> String {
    let mut names: [Vec<String>; 3] = [vec!["x".into()], vec!["b".into()], vec!["s".into()]];
    let mut text = String::from("fn f(x: f64[n, 3], w: f64[3, 3], b: f64[3], s: f64[]) {\n");
    for number in 0..random.usize(4..12) {
        let kind = [0, 0, 0, 1, 1, 2][random.usize(..6)];
        let template = random.choice([MATRICES, VECTORS, SCALARS][kind]).unwrap();
        let mut value = String::new();
        for letter in template.chars() {
            match "MVS".find(letter) {
                Some(of) => value += random.choice(&names[of]).unwrap(),
                None => value.push(letter),
            }
        }
        // What may be large is brought back in half of the cases, so that rounding stays small.
        let value = if random.bool() { format!("tanh({value} * 0.7)") } else { value };
        text += &format!("    v{number} = {value}\n");
        names[kind].push(format!("v{number}"));
    }
    let [m, v, s] = names.map(|names| names.last().unwrap().clone());
    text + &format!("    return {m}, {v}, {s}, grad(sum(sin({m})) + sum({v}) * {s}, x, w, b, disconnected=\"zero\")\n}}")
}

fn near(a: &Tensor, b: &Tensor) -> bool {
    let most = if a.ty().dtype == DType::F32 { 1e-3 } else { 1e-9 };
    let close = |(x, y): (f64, f64)| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= most * (1.0 + y.abs());
    a.ty() == b.ty() && a.to_f64_vec().into_iter().zip(b.to_f64_vec()).all(close)
}

#[test]
fn levels_differ_in_time_only() {
    let mut sessions = Vec::new();
    for device in ["reference", "cpu"] {
        for level in ["none", "fast-compile", "fast-run"] {
            sessions.push((format!("{device}, {level}"), session(device, level, "ieee")));
        }
        sessions.push((format!("{device}, fast-run, real"), session(device, "fast-run", "real")));
    }
    let portable = Config::default().with("device", "cpu").unwrap().with("backend.cpu.codegen", "portable").unwrap();
    sessions.push(("cpu, portable".to_owned(), arignote::session_with(portable).unwrap()));
    let mut fired = std::collections::BTreeSet::new();
    for seed in SEED..SEED + GRAPHS {
        let text = program(&mut Rng::with_seed(seed));
        let text = if seed % 3 == 0 { text.replace("f64", "f32") } else { text };
        let mut expected: Option<Vec<Tensor>> = None;
        for (name, session) in &sessions {
            let graph = lang::load(lang::Source::new("levels", text.clone())).and_then(|module| module.function(None));
            let function = graph.and_then(|graph| FunctionBuilder::from_graph(graph).build(session));
            let function = function.unwrap_or_else(|error| panic!("seed {seed}, {name}: {error}\n{text}"));
            fired.extend(function.compiled().firings().iter().map(|firing| firing.rule.clone()));
            let types: Vec<Type> = function.graph().inputs.iter().map(|input| input.ty().unwrap().clone()).collect();
            let results = function.call(&draw_inputs(&types, seed).unwrap()).unwrap_or_else(|error| panic!("seed {seed}, {name}: {error}\n{text}"));
            match &expected {
                None => expected = Some(results),
                Some(expected) => {
                    let far = results.iter().zip(expected).position(|(a, b)| !near(a, b));
                    assert_eq!(far, None, "seed {seed}, {name}: {results:?}\nexpected {expected:?}\n{text}\n{:?}", function.compiled().firings());
                }
            }
        }
    }
    println!("{} rules and passes fired: {fired:?}", fired.len());
    assert!(fired.len() >= 30, "only {fired:?} fired");
}

/// The mode of that name is a level, and a level that is less counts; what is included runs at whatever level.
#[test]
fn levels_say_what_runs() {
    let text = "fn f(x: f64[n]) { return log(1 + x) + reshape(reshape(x, [2, -1]), [-1]) ** 3 }";
    let fired = |options: &[(&str, &str)]| -> std::collections::BTreeSet<String> {
        let config = options.iter().fold(Config::default(), |config, (name, value)| match *name {
            "rewrite.include" => config.with(name, vec![value.to_string()]).unwrap(),
            _ => config.with(name, *value).unwrap(),
        });
        let graph = lang::load(lang::Source::new("levels", text)).and_then(|module| module.function(None)).unwrap();
        let function = FunctionBuilder::from_graph(graph).build(&arignote::session_with(config).unwrap()).unwrap();
        function.compiled().firings().iter().map(|firing| firing.rule.clone()).collect()
    };
    let (stable, fast) = ("log1p_of_one_plus", "pow_three");
    let all = fired(&[]);
    assert!(all.contains(stable) && all.contains(fast), "{all:?}");
    for option in [("mode", "fast-compile"), ("rewrite.level", "fast-compile"), ("rewrite.level", "none")] {
        let some = fired(&[option]);
        assert!(some.contains(stable) && !some.contains(fast), "{some:?}");
    }
    let included = fired(&[("rewrite.level", "none"), ("rewrite.include", fast)]);
    assert!(included.contains(stable) && included.contains(fast), "{included:?}");
}

#[test]
fn a_draw_that_nothing_reads_goes_and_changes_no_other() {
    for device in ["reference", "cpu"] {
        let session = session(device, "fast-run", "ieee");
        let draw = |text: &str| {
            let graph = lang::load(lang::Source::new("draws", text)).and_then(|module| module.function(None)).unwrap();
            let function = FunctionBuilder::from_graph(graph).build(&session).unwrap();
            (function.call(&[]).unwrap()[0].to_f64_vec(), function.compiled().graph().len())
        };
        let (key, a) = ("key = u64([2026, 3])", "a = normal(fold_in(key, 0), [5])");
        let alone = draw(&format!("fn f() {{\n{key}\n{a}\nreturn a\n}}"));
        let beside = draw(&format!("fn f() {{\n{key}\nb = uniform(fold_in(key, 1), [7])\n{a}\nreturn a\n}}"));
        assert_eq!(beside, alone);
    }
}
