//! Runs every file under `core/tests/filetests`, and the examples of `docs/language.md` that expect
//! something, on every backend that is linked in: on the cpu with one thread and with two, with native code and with
//! portable code.
//!
//! A file holds one function to call (the last one) and, in comments:
//!
//! - `# input NAME = LITERAL`: an argument, taken in the dtype of the input;
//! - `# expect LITERAL`: the next result, equal to a relative tolerance;
//! - `# dtypes D ...`: the dtypes of all results, in order;
//! - `# tolerance T`: of the file, 1e-12 unless given (f32 results: 1e-6);
//! - `# expect-error TEXT`: compiling or calling fails, and the error contains the text.

use std::path::{Path, PathBuf};

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{FunctionBuilder, Session};
use arignote::tensor::{DType, Tensor};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ending == "arig") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn literal(session: &Session, text: &str, dtype: Option<DType>) -> Tensor {
    let source = lang::Source::new("literal", format!("fn value() {{ return {text} }}"));
    let mut graph = lang::load(source).and_then(|module| module.function(None)).unwrap();
    if let Some(dtype) = dtype {
        graph.outputs[0].1 = graph.outputs[0].1.cast(dtype);
    }
    FunctionBuilder::from_graph(graph).build(session).unwrap().call(&[]).unwrap().remove(0)
}

fn close(found: &Tensor, expected: &Tensor, tolerance: f64) -> bool {
    let near = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs();
    found.shape() == expected.shape() && found.to_f64_vec().iter().zip(&expected.to_f64_vec()).all(near)
}

fn run(session: &Session, name: &str, text: &str) -> Result<(), String> {
    let directive = |name: &str| {
        let prefix = format!("# {name} ");
        text.lines().filter_map(move |line| line.strip_prefix(prefix.as_str()).map(str::to_owned)).collect::<Vec<_>>()
    };
    let attempt = || -> arignote::Result<Vec<Tensor>> {
        let module = lang::load(lang::Source::new(name, text))?;
        let name = module.function_names().last().cloned();
        let function = FunctionBuilder::from_graph(module.function(name.as_deref())?).build(session)?;
        let inputs = directive("input");
        let mut arguments = Vec::new();
        for input in &inputs {
            let (name, value) = input.split_once('=').expect("# input NAME = LITERAL");
            let at = function.input_names().iter().position(|known| *known == name.trim());
            let dtype = at.and_then(|at| function.graph().inputs[at].ty().ok().map(|ty| ty.dtype));
            arguments.push((name.trim(), literal(session, value, dtype)));
        }
        function.call_named(&arguments)
    };
    let result = attempt();
    let wanted_errors = directive("expect-error");
    match result {
        Err(error) if wanted_errors.is_empty() => Err(format!("unexpected error: {error}")),
        Err(error) => {
            let told = error.to_string();
            match wanted_errors.iter().find(|wanted| !told.contains(wanted.trim())) {
                Some(missing) => Err(format!("the error lacks `{missing}`:\n{told}")),
                None => Ok(()),
            }
        }
        Ok(_) if !wanted_errors.is_empty() => Err("an error was expected, none came".to_owned()),
        Ok(results) => {
            let expected = directive("expect");
            if expected.is_empty() {
                return Err("the file expects nothing".to_owned());
            }
            if expected.len() != results.len() {
                return Err(format!("{} results, but {} are expected", results.len(), expected.len()));
            }
            if let Some(wanted) = directive("dtypes").first() {
                let found: Vec<&str> = results.iter().map(|result| result.dtype().name()).collect();
                if !wanted.split_whitespace().eq(found.iter().copied()) {
                    return Err(format!("the results are {}, expected {wanted}", found.join(" ")));
                }
            }
            for (position, expected) in expected.iter().enumerate() {
                let found = &results[position];
                let usual = if found.dtype() == DType::F32 { 1e-6 } else { 1e-12 };
                let tolerance = directive("tolerance").first().map_or(usual, |text| text.trim().parse().unwrap());
                let wanted = literal(session, expected, None);
                if !close(found, &wanted, tolerance) {
                    return Err(format!("result {position} is\n  {found:?}, expected\n  {wanted:?}"));
                }
            }
            Ok(())
        }
    }
}

#[test]
fn filetests_on_every_backend() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/filetests");
    let files = files(&root);
    assert!(files.len() >= 20, "only {} filetests were found", files.len());
    let page = std::fs::read_to_string(root.join("../../../docs/language.md")).unwrap();
    let examples: Vec<&str> = page.split("```arig\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let examples: Vec<&str> = examples.into_iter().filter(|text| text.contains("# expect ")).collect();
    assert!(examples.len() >= 6, "only {} examples were found", examples.len());
    let mut failures = Vec::new();
    // What the cpu backend has no kernel for runs on the reference; `backends.rs` says what that may be.
    let cpu = Config::default().with("device", "cpu").unwrap().with("fallback", vec!["reference".to_owned()]).unwrap();
    let cpu = |threads: i64, codegen: &str| cpu.clone().with("backend.cpu.threads", threads).unwrap().with("backend.cpu.codegen", codegen).unwrap();
    let devices = [
        ("the reference", Config::default().with("device", "reference").unwrap()),
        ("the cpu", cpu(1, "native")), ("the cpu with two threads", cpu(2, "native")),
        ("the cpu with portable code", cpu(1, "portable")), ("the cpu with two threads and portable code", cpu(2, "portable")),
    ];
    for (device, config) in devices {
        let session = arignote::session_with(config).unwrap();
        for path in &files {
            let text = std::fs::read_to_string(path).unwrap();
            if let Err(failure) = run(&session, &path.file_name().unwrap().to_string_lossy(), &text) {
                failures.push(format!("{} on {device}: {failure}", path.strip_prefix(&root).unwrap().display()));
            }
        }
        for example in &examples {
            if let Err(failure) = run(&session, "language.md", example) {
                failures.push(format!("language.md on {device}: {failure}\n{example}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
