//! Rewriting takes time in proportion to the graph, and does the same each time.

use std::time::Instant;

use arignote::config::Config;
use arignote::prelude::*;

fn session(threads: i64) -> Session {
    let config = Config::default().with("device", "cpu").unwrap().with("backend.cpu.threads", threads).unwrap();
    arignote::session_with(config).unwrap()
}

/// A chain with something for rules on the way: of every five nodes two go.
fn chain(length: usize) -> Function {
    let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
    let mut value = x.clone();
    for at in 0..length / 5 {
        let scaled = &value * (1.0 + (at % 7) as f64);
        value = (scaled.exp() + 1.0).log().tanh();
    }
    FunctionBuilder::new("chain").input(&x).output(&value).build(&session(1)).unwrap()
}

/// Processor time of this thread where the system tells it, so that a busy machine does not count.
fn now(start: Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| nanoseconds as f64 * 1e-9)
}

/// What is counted does not depend on the machine: how many nodes are looked at, and how often rules are tried. The
/// bound on time is some four times what a build takes that is only lightly optimized.
#[test]
fn rewriting_is_linear_in_the_nodes() {
    let mut per_node = Vec::new();
    for length in [10_000, 100_000] {
        let start = Instant::now();
        let before = now(start);
        let function = chain(length);
        let (seconds, wall) = (now(start) - before, start.elapsed().as_secs_f64());
        let report = function.compiled().rewrites();
        // Of the time on the clock, and so of the processor's.
        let part: f64 = report.costs.values().map(|cost| cost.time.as_secs_f64()).sum::<f64>() / wall;
        let rewriting = seconds * part;
        let tried: usize = report.costs.values().map(|cost| cost.tried).sum();
        println!("{length} nodes: {seconds:.3} s of processor time, of them rewriting {rewriting:.3} s; {} visits, {tried} tries", report.visited);
        assert_eq!(report.stopped, []);
        assert!(report.firings.len() >= length / 5, "{}", report.firings.len());
        per_node.push([report.visited as f64 / length as f64, tried as f64 / length as f64]);
        assert!(rewriting < length as f64 * 5e-5, "{rewriting} s");
    }
    for (small, large) in per_node[0].iter().zip(per_node[1]) {
        assert!(large < small * 1.1, "{per_node:?}");
    }
}

#[test]
fn the_same_graph_gives_the_same_explanation() {
    let text = "fn f(x: f32[n, 3], w: f32[3, 4], y: i64[n]) {
        state b: f32[4] = zeros(4)
        p = softmax(x @ w + b, axis=-1)
        loss = -mean(log(p)[arange(shape(x)[0]), y]) + sum(square(w)) ** 0.5
        dw, db = grad(loss, w, b)
        b <- b - 0.1 * db
        return loss, dw, if loss > 1 { sum(exp(x)) } else { sum(x) }
    }";
    let explain = |threads: i64| {
        let graph = arignote::lang::load(arignote::lang::Source::new("twice", text)).unwrap().function(None).unwrap();
        let function = FunctionBuilder::from_graph(graph).build(&session(threads)).unwrap();
        let told = arignote::inspect::explain(&function);
        // How many threads there are may be said, and nothing else differ.
        (told, format!("{:?}", function.compiled().firings()))
    };
    let first = explain(1);
    let others = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| explain(1))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(others.iter().all(|other| *other == first));
    assert_eq!(explain(2).1, first.1);
}
