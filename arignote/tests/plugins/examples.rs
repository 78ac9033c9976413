//! The plugins of `plugins/`, and the backends as libraries.

use arignote::inspect;
use arignote::tensor::{DType, Tensor};

use crate::{command, compile, config, libraries, says, session};

const SWISH: &str = "\
fn f(x: f64[n], w: f64[n]) {
    y = swish::swish(x * w, beta=2)
    return y, grad(sum(y), x)
}
";

/// x times the logistic function of 2 x, and its derivative.
fn swish(x: f64) -> (f64, f64) {
    let s = 1.0 / (1.0 + (-2.0 * x).exp());
    (x * s, s + 2.0 * x * s * (1.0 - s))
}

#[test]
fn an_op_runs_and_differentiates_on_every_device() {
    // Devices that are libraries know the op only by what the program says of it.
    let cases: [(&[&str], &str); 5] = [
        (&["swish"], "reference"),
        (&["swish"], "cpu"),
        (&["swish", "cpu"], "cpu"),
        (&["swish", "reference"], "reference"),
        (&["swish", "tiny-device"], "tiny"),
    ];
    for (plugins, device) in cases {
        let fallback: &[&str] = if device == "tiny" { &["cpu"] } else { &[] };
        let f = compile(&session(plugins, device, fallback), SWISH).unwrap();
        let (x, w) = (vec![-700.0, -1.5, 0.0, 0.25, 3.0, 800.0], vec![1.0, 2.0, 1.0, -1.0, 0.5, 1.0]);
        let results = f.call(&[Tensor::vector(x.clone()), Tensor::vector(w.clone())]).unwrap();
        for (at, (x, w)) in x.iter().zip(&w).enumerate() {
            let (value, slope) = swish(x * w);
            let found = [results[0].to_f64_vec()[at], results[1].to_f64_vec()[at]];
            for (found, exact) in found.into_iter().zip([value, slope * w]) {
                assert!((found - exact).abs() <= 1e-14 * exact.abs(), "{plugins:?} on {device} at {x}: {found}, not {exact}");
            }
        }
    }
}

#[test]
fn libraries_give_back_what_is_lent_to_them() {
    use arignote::runtime::Array;
    use ndarray::{Ix1, array};

    type Vector = Array<f64, Ix1>;
    let cases: [(&[&str], &str); 3] = [(&["swish", "cpu"], "cpu"), (&["swish", "reference"], "reference"), (&["swish", "tiny-device"], "tiny")];
    for (plugins, device) in cases {
        let fallback: &[&str] = if device == "tiny" { &["cpu"] } else { &[] };
        let program = "fn f(x: f64[n], y: f64[n]) { return x, reshape(y, [-1]), swish::swish(x * y - x, beta=2) }";
        let f = compile(&session(plugins, device, fallback), program).unwrap();
        let f = f.typed::<(Vector, Vector), (Vector, Vector, Vector)>().unwrap();
        let (mut x, mut y) = (array![0.5, -2.0], array![1.5, 3.0]);
        let (same, other, found) = f.call((&x, &y)).unwrap();
        let expected = [0.25, -4.0].map(|x: f64| swish(x).0);
        assert!(found.view().iter().zip(expected).all(|(found, exact)| (found - exact).abs() <= 1e-15), "{device}: {}", found.view());
        // What came back is not the caller's memory.
        x.fill(9.0);
        y.fill(9.0);
        assert_eq!((same.view(), other.view()), (array![0.5, -2.0].view(), array![1.5, 3.0].view()), "{device}");
    }
}

#[test]
fn a_kernel_is_used_in_place_where_it_can_be() {
    let program = "fn f(x: f32[n]) { return swish::swish(x + 1), sum(x) }";
    let x = Tensor::vector(vec![1.0f32, -2.0, 3.0]);
    for plugins in [&["swish"][..], &["swish", "cpu"]] {
        let f = compile(&session(plugins, "cpu", &[]), program).unwrap();
        f.call(std::slice::from_ref(&x)).unwrap();
        let explained = inspect::explain(&f);
        let line = explained.lines().find(|line| line.starts_with("swish::swish ")).unwrap_or(&explained);
        says(line, &["f32[n]", "on cpu, in place over operand 0"]);
        let step = explained.lines().find(|line| line.contains(": swish::swish ")).unwrap_or(&explained);
        assert!(step.trim_end().ends_with(" in place"), "{explained}");
    }
    // Not over an argument, which is the caller's, nor over what is read again.
    for program in [
        "fn f(x: f32[n]) { return swish::swish(x) }",
        "fn f(x: f32[n]) {\n    y = x + 1\n    return swish::swish(y), y\n}",
    ] {
        let f = compile(&session(&["swish"], "cpu", &[]), program).unwrap();
        let results = f.call(std::slice::from_ref(&x)).unwrap();
        assert_eq!(x.to_f64_vec(), [1.0, -2.0, 3.0]);
        assert!(results.get(1).is_none_or(|y| y.to_f64_vec() == [2.0, -1.0, 4.0]), "{results:?}");
        let explained = inspect::explain(&f);
        says(&explained, &["swish::swish "]);
        assert!(!explained.contains("in place"), "{explained}");
    }
}

#[test]
fn without_its_kernel_an_op_is_its_definition() {
    // The kernel does not take f16, and the reference has no use for kernels.
    for (device, dtype) in [("cpu", "f16"), ("reference", "f32")] {
        let program = format!("fn f(x: {dtype}[]) {{ return swish::swish(x, beta=2) }}");
        let f = compile(&session(&["swish"], device, &[]), &program).unwrap();
        let result = f.call(&[Tensor::scalar(2.0f64).cast(dtype.parse().unwrap())]).unwrap();
        assert_eq!(result[0].dtype(), dtype.parse::<DType>().unwrap());
        assert!((result[0].to_f64_vec()[0] - 1.964_027_580_075_817).abs() < 1e-3, "{result:?}");
        let explained = inspect::explain(&f);
        let placed = explained.split("# devices and memory").nth(1).unwrap_or_default();
        assert!(placed.contains("sigmoid") && !placed.contains("swish::swish "), "{explained}");
    }
}

#[test]
fn excluding_inplace_leaves_every_operand_alone() {
    let program = "fn f(x: f32[n]) { return swish::swish(x + 1) }";
    let config = config(&["swish"], "cpu", &[]).with("rewrite.exclude", ["inplace"]).unwrap();
    let f = compile(&arignote::session_with(config).unwrap(), program).unwrap();
    f.call(&[Tensor::vector(vec![1.0f32, 2.0])]).unwrap();
    assert!(!inspect::explain(&f).contains("in place"), "{}", inspect::explain(&f));
}

#[test]
fn rules_are_registered_listed_and_fire() {
    let f = compile(&session(&["tidy-rules"], "reference", &[]), "fn f(x: f64[n]) { return ceil(floor(x)) }").unwrap();
    assert_eq!(inspect::firing_counts(f.compiled()).get("tidy_ceil_of_floor"), Some(&1));
    assert!(!f.compiled().after().contains("ceil"), "{}", f.compiled().after());
    assert_eq!(f.call(&[Tensor::vector(vec![-2.5, 3.0])]).unwrap()[0].to_f64_vec(), [-3.0, 3.0]);

    let excluded = config(&["tidy-rules"], "reference", &[]).with("rewrite.exclude", ["tidy_ceil_of_floor"]).unwrap();
    let f = compile(&arignote::session_with(excluded).unwrap(), "fn f(x: f64[n]) { return ceil(floor(x)) }").unwrap();
    assert_eq!(inspect::firing_counts(f.compiled()).get("tidy_ceil_of_floor"), None);

    let folder = tempfile::tempdir().unwrap();
    let path = format!("plugins.path={}", libraries::folder("tidy-rules"));
    let output = command(folder.path(), &["rules", "--set", &path]);
    let listed = String::from_utf8_lossy(&output.stdout);
    says(&listed, &["tidy_ceil_of_floor", "tidy-rules", "ceil(floor(x))"]);
}

const REPEATED: &str = "\
fn f(x: f64[n], w: f64[]) {
    state seen: f64[] = 1
    s = sigmoid(x * w)
    steps = scan (u in s) {
        state most: f64[] = 0
        most <- tanh(most + u)
        yield most
    }
    y = minimum(minimum(x, seen),
                minimum(s, x))
    seen <- max(y)
    return y, grad(sum(y * s), x), steps
}
";

/// File and line of whatever the bodies of loops compute.
fn places_in_loops(graph: &arignote::graph::Graph) -> Vec<(String, u32)> {
    let bodies = graph.ids().filter_map(|id| graph.node(id).apply()).flat_map(|(_, attributes)| attributes.bodies());
    let values = bodies.flat_map(|(_, body)| arignote::graph::topological_order(body.outputs()));
    values.map(|value| (value.node().location().file.to_string(), value.node().location().line)).collect()
}

#[test]
fn a_pass_rewrites_whole_graphs_and_keeps_places_states_and_loops() {
    for device in ["reference", "cpu"] {
        let f = compile(&session(&["tidy-rules"], device, &[]), REPEATED).unwrap();
        let plain = compile(&session(&[], device, &[]), REPEATED).unwrap();
        let report = f.compiled().firings().iter().find(|firing| firing.rule == "tidy_repeated").unwrap();
        assert_eq!((&*report.location.file, report.location.line), ("program.arig", 9), "{report:?}");
        let count = |f: &arignote::runtime::Function| f.compiled().after().matches("minimum").count();
        assert_eq!((count(&f), count(&plain)), (2, 3), "{}", f.compiled().after());
        for _ in 0..2 {
            let arguments = [Tensor::vector(vec![-1.5, 0.25, 2.0]), Tensor::scalar(0.5)];
            let (found, expected) = (f.call(&arguments).unwrap(), plain.call(&arguments).unwrap());
            for (found, expected) in found.iter().zip(&expected) {
                for (found, expected) in found.to_f64_vec().into_iter().zip(expected.to_f64_vec()) {
                    // Terms of the gradient are added in another order.
                    assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs(), "{device}: {found}, not {expected}");
                }
            }
        }
        assert!(places_in_loops(f.compiled().graph()).contains(&("program.arig".to_owned(), 6)));
    }
    let excluded = config(&["tidy-rules"], "reference", &[]).with("rewrite.exclude", ["tidy_repeated"]).unwrap();
    let f = compile(&arignote::session_with(excluded).unwrap(), REPEATED).unwrap();
    assert_eq!(inspect::firing_counts(f.compiled()).get("tidy_repeated"), None);

    let folder = tempfile::tempdir().unwrap();
    let path = format!("plugins.path={}", libraries::folder("tidy-rules"));
    let output = command(folder.path(), &["rules", "--set", &path]);
    says(&String::from_utf8_lossy(&output.stdout), &["tidy_repeated", "plugin tidy-rules", "keeps each once"]);
    let output = command(folder.path(), &["rules", "--check", "--set", &path]);
    says(&String::from_utf8_lossy(&output.stdout), &["tidy_repeated: holds (3 setups", "4 rules and passes hold"]);
}

#[test]
fn a_device_leaves_what_it_lacks_to_the_fallback() {
    let program = "fn f(x: f64[n], y: f64[n]) { return exp(x + y) * y - x, sum(x * y) }";
    let f = compile(&session(&["tiny-device"], "tiny", &["reference"]), program).unwrap();
    let results = f.call(&[Tensor::vector(vec![0.0, 1.0]), Tensor::vector(vec![0.0, 2.0])]).unwrap();
    assert_eq!(results[0].to_f64_vec(), [0.0, 3f64.exp() * 2.0 - 1.0]);
    assert_eq!(results[1].item(), Some(2.0));
    // tiny computes the sum and the product, the reference exp and sum, tiny the rest.
    let devices: Vec<&str> = f.compiled().programs().iter().map(|(device, _)| device.as_str()).collect();
    assert_eq!(devices, ["tiny", "reference", "tiny"]);
    let explained = inspect::explain(&f);
    for line in explained.lines().filter(|line| line.contains(" f64[") && line.contains(" on ")) {
        let tiny = ["add ", "mul ", "sub "].iter().any(|op| line.starts_with(op));
        assert_eq!(line.contains(" on tiny"), tiny, "{line}");
    }
    let reason = "not on tiny: `exp` is not among add, mul, sub, neg";
    says(&explained, &[reason, "not on tiny: `sum` is not among"]);
}

#[test]
fn without_a_fallback_the_error_names_op_and_device() {
    let session = session(&["tiny-device"], "tiny", &[]);
    let error = compile(&session, "fn f(x: f64[n]) {\n    return exp(x + 1)\n}").err().unwrap().to_string();
    says(&error, &["no device runs `exp`", "program.arig:2", "tiny: `exp` is not among", "`fallback`"]);
    let error = compile(&session, "fn f(x: i32[n]) { return x + x }").err().unwrap().to_string();
    says(&error, &["no device runs `add`", "tiny: it computes f32 and f64, not i32"]);
}

#[test]
fn a_library_wins_over_the_linked_backend_of_its_name() {
    for name in ["cpu", "reference"] {
        let session = session(&[name], name, &[]);
        let rows: Vec<_> = session.plugins().iter().filter(|row| row.name == name).collect();
        assert_eq!(rows.len(), 2);
        let used: Vec<_> = rows.iter().filter(|row| !row.hidden).map(|row| row.origin.clone()).collect();
        assert_eq!(used, [libraries::library(name).display().to_string()]);
        let f = compile(&session, "fn f(x: f64[]) { return x + 1 }").unwrap();
        assert_eq!(f.call(&[Tensor::scalar(2.0)]).unwrap()[0].item(), Some(3.0));

        let folder = tempfile::tempdir().unwrap();
        let output = command(folder.path(), &["plugins", "--set", &format!("plugins.path={}", libraries::folder(name))]);
        let listed = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = listed.lines().filter(|line| line.starts_with(name)).collect();
        assert_eq!(lines.len(), 2, "{listed}");
        says(&lines.join("\n"), &[&used[0], "built in", "not used: the file of the same name is"]);
        let listed = String::from_utf8(command(folder.path(), &["plugins"]).stdout).unwrap();
        assert!(!listed.contains("not used") && listed.contains("built in"), "{listed}");
    }
}

#[test]
fn two_sessions_share_a_plugin_and_a_second_meaning_is_refused() {
    for _ in 0..2 {
        let f = compile(&session(&["swish"], "cpu", &[]), "fn f(x: f64[]) { return swish::swish(x) }").unwrap();
        assert_eq!(f.call(&[Tensor::scalar(0.0)]).unwrap()[0].item(), Some(0.0));
    }
    let path = libraries::copy(libraries::library("swish"), "other-swish", &|bytes| {
        let definition = b"return x * sigmoid(beta * x)";
        let at = bytes.windows(definition.len()).position(|window| window == definition).unwrap();
        bytes[at..at + definition.len()].copy_from_slice(b"return x + sigmoid(beta * x)");
    });
    let config = arignote::config::Config::default().with("plugins.load", vec![path.display().to_string()]).unwrap();
    let error = arignote::session_with(config).err().unwrap().to_string();
    says(&error, &[&path.display().to_string(), "`swish::swish` exists already, with another meaning"]);
}
