//! `core/tests/rewrites/golden.txt`: what local rewrites and passes make of a function.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{Function, FunctionBuilder, Session, draw_inputs};
use arignote::tensor::{Tensor, Type};

const SEED: u64 = 7;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/rewrites/golden.txt")
}

fn session(device: &str, real: bool, exclude: &[&str]) -> Session {
    let config = Config::default().with("device", device).unwrap().with("rewrite.algebra", if real { "real" } else { "ieee" }).unwrap();
    let exclude: Vec<String> = exclude.iter().map(|&name| name.to_owned()).collect();
    arignote::session_with(config.with("rewrite.exclude", exclude).unwrap()).unwrap()
}

fn compile(session: &Session, text: &str) -> Function {
    let graph = lang::load(lang::Source::new("golden", text)).and_then(|module| module.function(None));
    graph.and_then(|graph| FunctionBuilder::from_graph(graph).build(session)).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn near(a: &Tensor, b: &Tensor) -> bool {
    let close = |(x, y): (f64, f64)| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-10 * (1.0 + y.abs());
    a.ty() == b.ty() && a.to_f64_vec().into_iter().zip(b.to_f64_vec()).all(close)
}

struct Case<'a> {
    head: &'a str,
    name: &'a str,
    real: bool,
    before: &'a str,
    after: &'a str,
}

fn cases(text: &str) -> impl Iterator<Item = Case<'_>> {
    text.trim_end().split("\n\ncase ").skip(1).map(|block| {
        let (head, rest) = block.split_once('\n').unwrap();
        let (before, after) = rest.split_once("\n=>").unwrap_or_else(|| panic!("{head}: no `=>`"));
        let (name, real) = head.strip_suffix(" real").map_or((head, false), |name| (name, true));
        Case { head, name, real, before, after }
    })
}

const REWRITING: [&str; 3] = ["canonicalize", "stabilize", "specialize"];

/// On the reference backend, on the cpu backend, and without rewrites.
fn sessions(real: bool) -> [Session; 3] {
    [session("reference", real, &[]), session("cpu", real, &[]), session("reference", real, &REWRITING)]
}

#[test]
fn before_and_after() {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut written = text.split("\n\ncase ").next().unwrap().to_owned();
    let (mut failures, mut seen) = (Vec::new(), Vec::new());
    let sessions = [false, true].map(sessions);
    for Case { head, name, real, before, after } in cases(&text) {
        seen.push(name.to_owned());
        let [reference, cpu, plain] = &sessions[usize::from(real)];
        let function = compile(reference, before);
        let compiled = function.compiled();
        let found = compiled.after();
        write!(written, "\n\ncase {head}\n{before}\n=>\n{}", found.trim_end()).unwrap();
        if !compiled.rewrites().stopped.is_empty() {
            failures.push(format!("{name}: rewriting was stopped: {:?}", compiled.rewrites().stopped));
        }
        if !compiled.firings().iter().any(|firing| firing.rule == name) {
            failures.push(format!("{name} did not fire; not applied: {:?}", compiled.rewrites().rejections));
        }
        if found.trim() != after.trim() {
            failures.push(format!("{name} gives\n{found}"));
        }
        let types: Vec<Type> = function.graph().inputs.iter().map(|input| input.ty().unwrap().clone()).collect();
        let arguments = draw_inputs(&types, SEED).unwrap();
        let expected = compile(plain, before).call(&arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (device, session) in [("reference", reference), ("cpu", cpu)] {
            let results = compile(session, before).call(&arguments).unwrap_or_else(|error| panic!("{name} on {device}: {error}"));
            if !results.iter().zip(&expected).all(|(a, b)| near(a, b)) {
                failures.push(format!("{name} on {device} (seed {SEED}): {results:?}, without rewrites {expected:?}"));
            }
        }
    }
    let rows = sessions[0][0].rules().rows(sessions[0][0].rewrite_options());
    for row in rows.iter().filter(|row| row.kind != "rule" && !matches!(row.name.as_str(), "merge" | "dead_code")) {
        if !seen.contains(&row.name) {
            failures.push(format!("{} has no case", row.name));
        }
    }
    if std::env::var_os("ARIGNOTE_BLESS").is_some() {
        std::fs::write(path(), written + "\n").unwrap();
    }
    assert!(failures.is_empty(), "{} failures; ARIGNOTE_BLESS=1 writes the file anew:\n{}", failures.len(), failures.join("\n"));
}

/// What is put among the values drawn.
const SPECIAL: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 5e-324, -1e-310, 1.0];
/// And in every other draw: beside these the digits of sums depend on their order. Not so large that a sum of a few
/// overflows, as that depends on the order too.
const HUGE: [f64; 2] = [1e200, -1e200];
/// How many draws of them each case gets.
const DRAWS: u64 = 6;

/// Cases whose results at special values may differ from those of the program as written, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("sigmoid_times_exp_in_product", "where the exponential overflows, what is left is the limit, as of the rules for two factors"),
    ("softmax_of_axes", "as written the exponentials overflow, and a softmax is NaN throughout beside an infinity, as by the rules for one axis"),
    ("log_softmax_of_axes", "a softmax is NaN throughout beside an infinity, as by the rules for one axis"),
    ("solve_of_inverse", "as written the inverse overflows, which nobody computes any more; an infinity of the right side meets elimination, in which infinities cancel"),
    ("det_of_triangular", "it is read off the diagonal, whatever stands beside it"),
    ("slogdet_by_structure", "that of a triangle too"),
    ("inverse_of_triangular", "a NaN reaches what is computed from it, in a general inverse all of it"),
    ("solve_of_blocks", "an infinity of the right side stays in its block, as the exact value has it"),
    ("expm_of_diagonal", "as written what is not finite is an error, where the diagonal says what there is"),
    ("svd_of_diagonal", "the same"),
    ("eigh_of_diagonal", "the same"),
    ("index_of_rows", "a matrix that is not read and has no exponential is no error"),
    ("cholesky_of_factors", "what is given as factors is not factorized again, and so is no error where it has a NaN"),
];

/// NaN stays NaN, numbers stay numbers, and infinities do not become NaN.
fn alike(found: &Tensor, expected: &Tensor) -> bool {
    let alike = |(x, y): (f64, f64)| x.is_nan() == y.is_nan() && (x.is_finite() || !y.is_finite());
    found.ty() == expected.ty() && found.to_f64_vec().into_iter().zip(expected.to_f64_vec()).all(alike)
}

fn draw_special(types: &[Type], seed: u64) -> Vec<Tensor> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut special = |tensor: Tensor| {
        if !tensor.dtype().is_float() {
            return tensor;
        }
        let mut draw = |x| match random.u8(..16) {
            0..4 => SPECIAL[random.usize(..SPECIAL.len())],
            4 | 5 if seed.is_multiple_of(2) => HUGE[random.usize(..2)],
            _ => x,
        };
        let elements = tensor.to_f64_vec().into_iter().map(&mut draw);
        Tensor::from_vec(elements.collect(), tensor.shape()).unwrap().cast(tensor.dtype())
    };
    draw_inputs(types, seed).unwrap().into_iter().map(&mut special).collect()
}

/// The law of rewrites, for those that no harness checks: special values give what the program as written gives on the
/// same backend (the cpu's products of matrices do not overflow in between, so that fewer of them are NaN).
#[test]
fn special_values_give_what_they_gave() {
    let text = std::fs::read_to_string(path()).unwrap();
    let devices = ["reference", "cpu"].map(|device| (device, session(device, false, &[]), session(device, false, &REWRITING)));
    let (mut failures, mut failed) = (Vec::new(), std::collections::BTreeSet::new());
    for Case { name, before, .. } in cases(&text).filter(|case| !case.real) {
        for (device, session, plain) in &devices {
            let (function, plain) = (compile(session, before), compile(plain, before));
            let types: Vec<Type> = plain.graph().inputs.iter().map(|input| input.ty().unwrap().clone()).collect();
            for seed in SEED..SEED + DRAWS {
                let arguments = draw_special(&types, seed);
                let same = if seed % 2 == 0 { alike } else { near };
                let told = match (function.call(&arguments), plain.call(&arguments)) {
                    (Ok(results), Ok(expected)) if results.iter().zip(&expected).all(|(a, b)| same(a, b)) => continue,
                    (Err(_), Err(_)) => continue,
                    (found, expected) => format!("{found:?}, without rewrites {expected:?}"),
                };
                if failed.insert(name.to_owned()) && !EXCEPTIONS.iter().any(|(exception, _)| *exception == name) {
                    failures.push(format!("{name} on {device} (seed {seed}) of {arguments:?}: {told}"));
                }
            }
        }
    }
    for (name, why) in EXCEPTIONS {
        assert!(failed.contains(*name), "{name} is no exception any more ({why})");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// docs/rewrites.md names every rewrite once, those over the reals in the last column.
#[test]
fn the_page_lists_every_rewrite() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rewrites.md")).unwrap();
    let session = session("reference", false, &[]);
    let mut known: std::collections::BTreeMap<String, bool> = session.rules().rows(session.rewrite_options()).into_iter().map(|row| {
        let real = row.tags.iter().any(|tag| tag == "real");
        (row.name, real)
    }).collect();
    let families = page.lines().filter_map(|line| line.strip_prefix("| ")).filter(|line| line.as_bytes()[1].is_ascii_digit());
    for line in families {
        let cells: Vec<&str> = line.split('|').collect();
        for (cell, real) in [(cells[2], false), (cells[3], true)] {
            for name in cell.split('`').skip(1).step_by(2) {
                assert_eq!(known.remove(name), Some(real), "`{name}` is not a rewrite, or is listed twice or in the wrong column");
            }
        }
    }
    assert!(known.is_empty(), "docs/rewrites.md lacks {known:?}");
}
