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

#[test]
fn before_and_after() {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut blocks = text.trim_end().split("\n\ncase ");
    let mut written = blocks.next().unwrap().to_owned();
    let (mut failures, mut seen) = (Vec::new(), Vec::new());
    let sessions: Vec<[Session; 3]> = [false, true]
        .map(|real| [session("reference", real, &[]), session("cpu", real, &[]), session("reference", real, &["canonicalize", "stabilize", "specialize"])])
        .into();
    for block in blocks {
        let (head, rest) = block.split_once('\n').unwrap();
        let (before, after) = rest.split_once("\n=>").unwrap_or_else(|| panic!("{head}: no `=>`"));
        let (name, real) = head.strip_suffix(" real").map_or((head, false), |name| (name, true));
        seen.push(name.to_owned());
        let [reference, cpu, plain] = &sessions[usize::from(real)];
        let function = compile(reference, before);
        let compiled = function.compiled();
        let found = compiled.after();
        write!(written, "\n\ncase {head}\n{before}\n=>\n{}", found.trim_end()).unwrap();
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
