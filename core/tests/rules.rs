//! Every rule of the core against the law of rewrites: checked by machine, on the reference backend.

use std::sync::Arc;

use arignote_core::Result;
use arignote_core::config::Config;
use arignote_core::graph::{Graph, NodeId};
use arignote_core::plugin::{Argument, Device, Program, StatementNote};
use arignote_core::rewrite::compile_rules;
use arignote_core::rewrite::harness::{Verdict, check_rule};
use arignote_core::rewrite::registry::CORE_RULES;
use arignote_core::runtime::SessionBuilder;
use arignote_core::tensor::Tensor;

fn reference() -> Arc<dyn Device> {
    let config = Config::default().with("device", "reference").unwrap().with("fallback", Vec::<String>::new()).unwrap();
    let reference = arignote_backend_reference::arignote_plugin();
    let session = SessionBuilder::new(config).link(reference).build().unwrap();
    session.devices()[0].1.clone()
}

/// The outputs of a graph as it stands.
fn evaluate(device: &dyn Device, graph: &Graph, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
    let order: Vec<NodeId> =
        graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()).collect();
    let program = Program::emit(graph, &order, vec![StatementNote::default(); order.len()])?;
    let given = |argument| Ok(Argument { tensor: device.upload(argument)?, donated: false });
    let arguments = arguments.iter().map(given).collect::<Result<_>>()?;
    let results = device.compile(&program, &Default::default())?.run(arguments)?;
    results.iter().map(|tensor| device.download(tensor)).collect()
}

fn verdict(text: &str) -> Verdict {
    let device = reference();
    let rules = compile_rules("t.rules", text).expect("the rule compiles");
    check_rule(&rules[0], &|graph, arguments| evaluate(&*device, graph, arguments))
}

#[test]
fn every_core_rule_keeps_the_law() {
    let device = reference();
    let mut failed = Vec::new();
    for (file, _) in CORE_RULES {
        // As they stand, so that a rule can be tried without building anything.
        let path = format!("{}/src/rewrite/rules/{file}", env!("CARGO_MANIFEST_DIR"));
        for rule in compile_rules(file, &std::fs::read_to_string(path).unwrap()).unwrap() {
            let start = std::time::Instant::now();
            let verdict = check_rule(&rule, &|graph, arguments| evaluate(&*device, graph, arguments));
            println!("{:?} {verdict}", start.elapsed());
            if !verdict.passed() {
                failed.push(verdict.to_string());
            }
        }
    }
    assert!(failed.is_empty(), "{} rules fail:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn wrong_rules_are_found_out() {
    for (text, what) in [
        ("rule a [canonicalize]: x / x => 1 + (x - x)", "hides a NaN"),
        ("rule a [canonicalize]: log1p(x) => log(1 + x)", "the error grows"),
        ("rule a [canonicalize]: x * 0 => where(x > 0, 0, x - x)", "hides a NaN"),
        ("rule a [canonicalize]: exp(x) * exp(y) => exp(x + y)", "the error grows"),
        ("rule a [canonicalize]: sin(x) => cos(x)", "the error grows"),
        ("rule a [canonicalize]: abs(x) => x", "the error grows"),
        ("rule a [stabilize]: exp(x) * 1 => exp(x)", "no operand shows"),
        ("rule a [stabilize]: exp(x) - 1 => exp(x)", "the error grows"),
        ("rule a [stabilize]: argmax(exp(x), axis=$a) => argmin(x, axis=$a)", "the error grows"),
        // Over the reals, at places where both sides are numbers.
        ("rule a [specialize, real]: sin(x) => cos(x)", "over the reals"),
        ("rule a [specialize, real]: sqrt(x * y) => sqrt(x) * sqrt(y) where is_float(x)", "over the reals"),
        ("rule a [specialize, real]: (x * c) * d => x * (c / d) where is_float(x), not_constant(x), is_nonzero_constant(c), is_nonzero_constant(d)", "over the reals"),
        ("rule a [specialize, real]: log(-1 - square(x)) => x where is_float(x)", "compared at no place"),
        // What was NaN or infinite does not become any number.
        ("rule a [stabilize]: exp(x) / (1 + exp(x)) => where(x > 720, 0.3, sigmoid(x)) where is_float(x)", "it turns NaN into 0.3"),
        ("rule a [stabilize]: x * sigmoid(x) => where(x == -inf, 7.0, silu(x)) where is_float(x)", "it turns NaN into 7"),
        ("rule a [stabilize]: log(exp(x)) => where(x > 750, 5.0, x) where is_float(x)", "it turns inf into 5"),
        ("rule a [specialize]: sqrt(square(x)) + 1 => where(logical_and(abs(x) > 1e200, abs(x) < inf), 1.0, sqrt(square(x)) + 1.0 * 1) where is_float(x)", "it turns inf into 1"),
    ] {
        let verdict = verdict(text);
        assert!(!verdict.passed() && verdict.to_string().contains(what), "{text}: {verdict}");
    }
}

/// Three examples of what breaks the law are enough.
#[test]
fn few_failures_are_shown() {
    let verdict = verdict("rule a [canonicalize]: abs(x) => x");
    let (text, more) = (verdict.to_string(), verdict.failures.len() - 3);
    assert!(text.ends_with(&format!("\n  and {more} more")) && text.lines().count() == 5, "{text}");
}

#[test]
fn rows_with_an_infinite_element_are_an_exception_of_softmax_alone() {
    let softmax = verdict("rule a [stabilize]: exp(x) / sum(exp(x)) => softmax(x, axis=0) where is_float(x), rank_is(x, 1)");
    assert!(softmax.passed() && softmax.excepted > 0, "{softmax}");
    let other = verdict("rule a [specialize]: sum(x) => sum(x) + 0 * max(x) where is_float(x), rank_is(x, 1)");
    assert!(!other.passed() && other.excepted == 0, "{other}");
}

#[test]
fn right_rules_pass() {
    let verdict = verdict("rule a [stabilize]: log(1 + x) => log1p(x)");
    assert!(verdict.passed(), "{verdict}");
    let shown = verdict.improvement.expect("an operand where the left side is wrong");
    assert!(shown.right != shown.left, "{shown:?}");
}
