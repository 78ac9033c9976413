//! Golden tests: text before, text after.

use super::*;
use crate::graph::Graph;
use crate::lang::{self, Source};

fn graph(text: &str) -> Graph {
    let file = lang::parse(Source::new("test.arig", text)).expect("the text parses");
    let function = lang::lower(&file, None).expect("one function");
    let outputs: Vec<_> = function.outputs.iter().map(|(_, var)| var.clone()).collect();
    Graph::from_vars(&function.inputs, &outputs).expect("the function is well-typed")
}

fn rewritten(before: &str, options: &RewriteOptions) -> (Graph, Report) {
    let mut graph = graph(before);
    let report = Rewrites::core().run(&mut graph, &Phase::ALL, options, &PassContext::default()).expect("rewrites");
    graph.verify().expect("the graph is in order");
    assert_eq!(report.stopped, [], "a rule was stopped");
    (graph, report)
}

#[track_caller]
fn check_with(before: &str, after: &str, options: &RewriteOptions) {
    let (found, report) = rewritten(before, options);
    let mut expected = graph(after);
    expected.compact();
    let print = |graph: &Graph| lang::print_graph(graph, "f").expect("the graph prints").text;
    let (found, expected) = (print(&found), print(&expected));
    assert_eq!(found, expected, "fired: {:?}\nrejected: {:?}", report.counts(), report.rejections);
}

/// Both are bodies over `x` and `y`, `f32[n, 3]`.
#[track_caller]
fn check(before: &str, after: &str) {
    let function = |body: &str| format!("fn f(x: f32[n, 3], y: f32[n, 3]) {{ return {body} }}");
    check_with(&function(before), &function(after), &RewriteOptions::default());
}

#[test]
fn core_rules_are_all_available() {
    let rewrites = Rewrites::core();
    let missing: Vec<String> =
        rewrites.unavailable().iter().map(|(name, error)| format!("{name}: {}", error.message())).collect();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(rewrites.rules().len() >= 60);
    let mut names: Vec<&str> = rewrites.rules().iter().map(|entry| entry.rule.name.as_str()).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two rules have one name");
    for row in rewrites.rows(&RewriteOptions::default()).iter().filter(|row| row.kind == "rule") {
        let (file, line) = row.origin.split_once(':').expect("file:line");
        let (_, text) = registry::CORE_RULES.iter().find(|(name, _)| *name == file).expect("a file of the core");
        let line: usize = line.parse().expect("a line number");
        let written = text.lines().nth(line - 1).expect("a line of the file");
        assert!(written.starts_with("rule ") && written.split_whitespace().nth(1) == Some(&row.name), "{}", row.origin);
    }
}

#[test]
fn canonical_forms() {
    check("-(-x)", "x");
    check("x + 0", "x");
    check("(x * 1 - 0) / 1", "x");
    check("x + -y", "x - y");
    check("x ** 2", "square(x)");
    check("where(x > y, x, x)", "x");
    check("cast(cast(x, f64), f32)", "x");
    check("0 * x", "0 * x");
    check("x - x", "x - x");
    check("x ** 0.5", "x ** 0.5");
    check("exp(x) ** 0.5", "sqrt(exp(x))");
}

#[test]
fn stable_forms() {
    check("log(1 + x)", "log1p(x)");
    check("log(x + 1)", "log1p(x)");
    check("exp(x) - 1", "expm1(x)");
    check("log(1 + exp(x))", "softplus(x)");
    check("log(1 - sigmoid(x))", "log_sigmoid(-x)");
    check("log(1 / (1 + exp(-x)))", "log_sigmoid(x)");
    check("1 - erf(x)", "erfc(x)");
    check("log(exp(x) + exp(y))", "logaddexp(x, y)");
    check("sqrt(square(x))", "abs(x)");
    check("1 - tanh(x) ** 2", "sech_squared(x)");
    check("log(1 - exp(x))", "log1mexp(x)");
}

#[test]
fn real_rules_only_run_when_asked() {
    let real = RewriteOptions { algebra: Algebra::Real, ..RewriteOptions::default() };
    let function = |body: &str| format!("fn f(x: f32[n], y: f32[n]) {{ return {body} }}");
    check_with(&function("(x + y) - y"), &function("x"), &real);
    check_with(&function("(x + y) - y"), &function("(x + y) - y"), &RewriteOptions::default());
}

#[test]
fn shapes_and_dtypes_never_change() {
    let ieee = RewriteOptions::default();
    let kept = "fn f(x: f32[n], z: f32[m, n]) { return where(z > 0, x, x) }";
    check_with(kept, kept, &ieee);
    check_with("fn f(x: i32[n]) { return x / 1 }", "fn f(x: i32[n]) { return cast(x, dtype=f64) }", &ieee);
    let kept = "fn f(x: f32[?], c: bool[?]) { return where(c, x, x) }";
    check_with(kept, kept, &ieee);
    check_with("fn f(x: f32[?], y: f32[?]) { return log(exp(x) + exp(y)) }", "fn f(x: f32[?], y: f32[?]) { return logaddexp(x, y) }", &ieee);
}

#[test]
fn options_choose() {
    let without = |name: &str| RewriteOptions { exclude: vec![name.to_owned()], ..RewriteOptions::default() };
    let kept = "fn f(x: f32[n]) { return log(1 + x) }";
    check_with(kept, kept, &without("log1p_of_one_plus"));
    check_with(kept, kept, &without("stabilize"));
    let mut options = without("stabilize");
    options.include = vec!["log1p_of_one_plus".to_owned()];
    check_with(kept, "fn f(x: f32[n]) { return log1p(x) }", &options);
    let rewrites = Rewrites::core();
    let error = rewrites.check_options(&without("stabilise")).unwrap_err();
    assert!(error.to_string().contains("did you mean `stabilize`?"), "{error}");
    assert!(rewrites.rows(&without("stabilize")).iter().any(|row| !row.enabled));
}

#[test]
fn equal_subexpressions_are_merged() {
    let (graph, _) = rewritten("fn f(x: f32[n], y: f32[n]) { return sin(x + y) * cos(y + x) }", &RewriteOptions::default());
    assert_eq!(graph.len(), 6);
}

#[test]
fn bad_rule_texts_are_refused_whole() {
    let mut rewrites = Rewrites::core();
    let count = rewrites.rules().len();
    for (text, message) in [
        ("rule a [specialize]: exp(x) => y", "does not bind `y`"),
        ("rule a [specialize]: x => exp(x)", "the left side must apply an op"),
        ("rule a [specialize]: expp(x) => x", "there is no op `expp`"),
        ("rule a [specialize]: exp(x) => log(x) where is_flaot(x)", "there is no condition `is_flaot`"),
        ("rule a [specialize]: exp(x) => log(x) where is_float(1)", "expected `is_float(x)`"),
        ("rule a [specialise]: exp(x) => log(x)", "no phase"),
        ("rule a [specialize]: exp(x, y) => log(x)", "takes only"),
        ("rule a [specialize]: gelu(x, aproximate=$a) => x", "takes no `aproximate`"),
        ("rule b [specialize]: exp(x) => log(x)\nrule b [specialize]: exp(x) => log(x)", "two rules are named"),
        ("rule neg_neg [specialize]: exp(x) => log(x)", "exists already"),
        ("fn f() { return 1 }", "holds no functions"),
    ] {
        let error = rewrites.add_rules(Origin::File("t.rules".to_owned()), "t.rules", text).unwrap_err();
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert_eq!(rewrites.rules().len(), count);
    }
}

#[test]
fn a_rule_that_keeps_firing_is_stopped_and_named() {
    let mut rewrites = Rewrites::core();
    let text = "rule grow [specialize]: exp(x) => exp(-x) + 1 where is_float(x)\nrule turn [specialize]: hypot(x, y) => hypot(y, x)";
    rewrites.add_rules(Origin::Plugin("p".to_owned()), "p.rules", text).expect("the rules compile");
    for (body, rule) in [("exp(x)", "grow"), ("hypot(x, y)", "turn")] {
        let mut graph = graph(&format!("fn f(x: f32[n], y: f32[n]) {{ return {body} }}"));
        let report = rewrites
            .run(&mut graph, &Phase::ALL, &RewriteOptions::default(), &PassContext::default())
            .expect("rewrites");
        assert_eq!(report.stopped[0].rule, rule);
        assert!(report.stopped[0].firings < 100, "{:?}", report.stopped);
        graph.verify().expect("the graph is in order");
    }
}

#[test]
fn firings_tell_what_happened_where() {
    let (_, report) = rewritten("fn f(x: f32[n]) {\n    return log(1 + x)\n}", &RewriteOptions::default());
    let firing = &report.firings[0];
    assert_eq!((firing.rule.as_str(), firing.before.as_str(), firing.after.as_str()), ("log1p_of_one_plus", "log(1 + x)", "log1p(x)"));
    assert_eq!(firing.location.line, 2);
    assert_eq!((&*firing.source.file, firing.source.line > 0), ("stabilize.rules", true));
}

#[test]
fn a_long_chain_takes_linear_time() {
    use crate::graph::Var;
    use crate::tensor::{DType, Type};
    let x = Var::input("x", Type::new(DType::F32, ["n".into()]));
    let mut y = x.clone();
    for _ in 0..50_000 {
        let tanh = Var::apply("tanh", &[y], Default::default());
        let exp = Var::apply("exp", &[tanh], Default::default());
        y = Var::apply("log", &[Var::apply("add", &[exp, Var::weak(1i64)], Default::default())], Default::default());
    }
    let mut graph = Graph::from_vars(&[x], &[y]).expect("well-typed");
    let start = std::time::Instant::now();
    let report = Rewrites::core()
        .run(&mut graph, &Phase::ALL, &RewriteOptions::default(), &PassContext::default())
        .expect("rewrites");
    assert_eq!(graph.len(), 100_001);
    assert_eq!(report.stopped, []);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn lengths_of_joins_and_slices() {
    for (a, b, same) in [
        ("concatenate([x, y])", "concatenate([y, x])", true),
        ("concatenate([x, y])", "concatenate([x, x])", false),
        ("argmax(outer(x, y), axis=1)", "x", true),
        ("expand_dims(outer(x, y), axis=[0, 2])", "outer(x, y)[None, :, None]", true),
        ("expand_dims(sum(outer(x, y), axis=1), axis=1)", "sum(outer(x, y), axis=1, keepdims=true)", true),
        ("expand_dims(x, axis=0)", "expand_dims(x, axis=1)", false),
        ("x[1:]", "x[:-1]", true),
        ("x[1:]", "y[1:]", false),
        ("x[1:]", "x[2:]", false),
        ("x[2:][1:]", "x[1:-2]", true),
        ("x[::-1]", "exp(x)", true),
        ("x[::2]", "x[1::2]", false),
        // Of nothing, x[:-1] is nothing, and what stands before it is not.
        ("concatenate([x[:1], x[:-1]])", "x", true),
        ("concatenate([zeros(1), x[:-1]])", "x", false),
        ("concatenate([zeros(2), x])[1:]", "concatenate([x, zeros(1)])", true),
        ("reshape(x[1:], [shape(x[1:])[0]])", "x[:-1]", true),
        ("concatenate([x[:3], y, x[3:]])", "concatenate([y, x])", true),
        ("concatenate([x[:3], y, x[2:]])", "concatenate([y, x])", false),
        ("x[arange(shape(x)[0] - 2)]", "x[:-2]", true),
        ("take(x, arange(1, shape(x)[0]))", "x[1:]", true),
        ("flatten(outer(x, y))", "flatten(outer(y, x))", true),
        ("reshape(outer(x, y), [-1])", "reshape(outer(y, x), [shape(y)[0] * shape(x)[0]])", true),
        ("x[shape(y)[0]:]", "x[1 + shape(y)[0]:]", false),
    ] {
        let graph = graph(&format!("fn f(x: f64[n], y: f64[m]) {{ return {a}, {b} }}"));
        let [left, right] = [0, 1].map(|at| graph.outputs()[at]);
        assert_eq!(shapes::same_shape(&graph, left, right), same, "{a} and {b}");
    }
}
