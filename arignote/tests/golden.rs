//! Values and gradients that NumPy, SciPy, mpmath and JAX computed, held against every backend.
//!
//! The files stand in `core/tests/golden`, beside the script that writes them. A case is a block of lines:
//!
//! - `case TEXT`: statements of the language, separated by `; `, over the inputs; the last one is the result,
//!   or several with commas between;
//! - `tolerance N of each` or `tolerance N of the largest`: by how many epsilons of its dtype an element of a
//!   result may differ, of its own size or of the largest one's; before the first case that of the file;
//! - `gradients N of ...`: the same of gradients;
//! - `lengths known`: the types of the inputs must say their lengths;
//! - `NAME TYPE ELEMENTS`: an input;
//! - `= TYPE ELEMENTS`: the next result;
//! - `dNAME TYPE ELEMENTS`: the gradient in an input of the sum of all results, multiplied by `cotangent`.
//!
//! Elements of integers and bools are equal, and so are signs of zeros in results whose tolerance is of each. Many
//! cases make one function, once with the lengths of the inputs known and once without.

use std::fmt::Write;
use std::path::Path;

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{FunctionBuilder, Session};
use arignote::tensor::{DType, Tensor};

/// So many cases make one function.
const BATCH: usize = 40;

#[derive(Clone, Copy)]
struct Tolerance {
    epsilons: f64,
    of_largest: bool,
}

struct Case {
    place: String,
    text: String,
    tolerance: Tolerance,
    of_gradients: Tolerance,
    /// Whether it runs only with lengths known.
    known: bool,
    /// What the text reads, and the cotangents of the results if there are gradients.
    inputs: Vec<(String, Tensor)>,
    /// The results, and after them the gradients.
    expected: Vec<Tensor>,
    /// How many results there are, and the inputs to whose gradients the rest belongs.
    results: usize,
    gradients: Vec<String>,
}

fn tolerance(text: &str) -> Tolerance {
    let (epsilons, of) = text.split_once(' ').expect("a number and `of each` or `of the largest`");
    assert!(["of each", "of the largest"].contains(&of), "{text}");
    Tolerance { epsilons: epsilons.parse().unwrap(), of_largest: of == "of the largest" }
}

fn tensor(text: &str) -> Tensor {
    let (dtype, rest) = text.split_once('[').expect("a type");
    let (shape, elements) = rest.split_once(']').expect("a shape");
    let dtype = dtype.parse::<DType>().unwrap();
    let shape: Vec<usize> = shape.split_terminator(", ").map(|length| length.parse().unwrap()).collect();
    let elements = elements.split_whitespace();
    let whole = match dtype {
        DType::Bool => Tensor::from_vec(elements.map(|element| element.parse::<bool>().unwrap()).collect(), &shape),
        DType::U64 => Tensor::from_vec(elements.map(|element| element.parse::<u64>().unwrap()).collect(), &shape),
        _ if dtype.is_float() => Tensor::from_vec(elements.map(|element| element.parse::<f64>().unwrap()).collect(), &shape),
        _ => Tensor::from_vec(elements.map(|element| element.parse::<i64>().unwrap()).collect(), &shape),
    };
    whole.unwrap().cast(dtype)
}

/// The weights by which results are summed: multiples of 1/16, exact in every float dtype, as `weights` in the
/// script gives them.
fn cotangent(shape: &[usize], first: usize) -> Tensor {
    let weight = |place: usize| ((place * 7 + 3) % 11) as f64 / 8.0 - 0.5625;
    Tensor::from_vec((first..first + shape.iter().product::<usize>()).map(weight).collect(), shape).unwrap()
}

fn cases(name: &str, text: &str) -> Vec<Case> {
    let mut blocks = text.split("\n\n");
    let head = blocks.next().unwrap();
    let usual = |key: &str| tolerance(head.lines().find_map(|line| line.strip_prefix(key)).expect("the file's tolerances"));
    let (of_results, of_gradients) = (usual("tolerance "), usual("gradients "));
    let mut line_number = head.lines().count() + 2;
    let mut cases = Vec::new();
    for block in blocks {
        let mut lines = block.lines();
        let text = lines.next().and_then(|line| line.strip_prefix("case ")).expect("`case TEXT`").to_owned();
        let place = format!("{name}:{line_number}");
        line_number += block.lines().count() + 1;
        let (inputs, expected, gradients) = (Vec::new(), Vec::new(), Vec::new());
        let mut case =
            Case { place, text, tolerance: of_results, of_gradients, known: false, inputs, expected, results: 0, gradients };
        for line in lines {
            let (key, rest) = line.split_once(' ').unwrap();
            match key {
                "tolerance" => case.tolerance = tolerance(rest),
                "gradients" => case.of_gradients = tolerance(rest),
                "lengths" => case.known = rest == "known",
                "=" => {
                    case.expected.push(tensor(rest));
                    case.results += 1;
                }
                _ if case.results == 0 => case.inputs.push((key.to_owned(), tensor(rest))),
                _ => {
                    case.gradients.push(key.strip_prefix('d').expect("dNAME").to_owned());
                    case.expected.push(tensor(rest));
                }
            }
        }
        if !case.gradients.is_empty() {
            let mut first = 0;
            for (at, result) in case.expected[..case.results].iter().enumerate() {
                case.inputs.push((format!("cotangent{at}"), cotangent(result.shape(), first)));
                first += result.len();
            }
        }
        cases.push(case);
    }
    cases
}

/// The commas that stand in no bracket part the results of a text.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// A function for each case, and one that calls them all.
fn program(cases: &[&Case], known: bool) -> String {
    let (mut text, mut params, mut calls, mut returned) = (String::new(), Vec::new(), String::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let types = case.inputs.iter().map(|(name, input)| {
            let lengths = input.shape().iter().map(|length| if known { length.to_string() } else { "?".to_owned() });
            (name, format!("{}[{}]", input.dtype(), lengths.collect::<Vec<_>>().join(", ")))
        });
        let types: Vec<(&String, String)> = types.collect();
        params.extend(types.iter().map(|(name, ty)| format!("c{number}_{name}: {ty}")));
        let own: Vec<String> = types.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        writeln!(text, "fn case{number}({}) {{", own.join(", ")).unwrap();
        let mut statements: Vec<&str> = case.text.split("; ").collect();
        let results = parts(statements.pop().unwrap());
        assert_eq!(results.len(), case.results, "{}: {}", case.place, case.text);
        statements.iter().for_each(|statement| writeln!(text, "    {statement}").unwrap());
        results.iter().enumerate().for_each(|(at, result)| writeln!(text, "    result{at} = {result}").unwrap());
        let mut names: Vec<String> = (0..case.results).map(|at| format!("result{at}")).collect();
        if !case.gradients.is_empty() {
            let cost = (0..case.results).map(|at| format!("sum(result{at} * cotangent{at})")).collect::<Vec<_>>();
            let gradients: Vec<String> = case.gradients.iter().map(|name| format!("gradient_{name}")).collect();
            writeln!(text, "    {} = grad({}, {})", gradients.join(", "), cost.join(" + "), case.gradients.join(", ")).unwrap();
            names.extend(gradients);
        }
        writeln!(text, "    return {}\n}}", names.join(", ")).unwrap();
        let given: Vec<String> = types.iter().map(|(name, _)| format!("c{number}_{name}")).collect();
        let taken: Vec<String> = (0..names.len()).map(|at| format!("r{number}_{at}")).collect();
        writeln!(calls, "    {} = case{number}({})", taken.join(", "), given.join(", ")).unwrap();
        returned.extend(taken);
    }
    writeln!(text, "fn golden_cases({}) {{\n{calls}    return {}\n}}", params.join(", "), returned.join(", ")).unwrap();
    text
}

/// The results of all cases, one after the other.
fn run(session: &Session, cases: &[&Case], known: bool) -> Result<Vec<Tensor>, String> {
    let attempt = || -> arignote::Result<Vec<Tensor>> {
        let graph = lang::load(lang::Source::new("golden", program(cases, known)))?.function(Some("golden_cases"))?;
        let inputs: Vec<Tensor> = cases.iter().flat_map(|case| case.inputs.iter().map(|(_, input)| input.clone())).collect();
        FunctionBuilder::from_graph(graph).build(session)?.call(&inputs)
    };
    attempt().map_err(|error| error.to_string())
}

/// What is wrong with a result; `signs` says whether those of zeros count.
fn difference(found: &Tensor, expected: &Tensor, tolerance: Tolerance, signs: bool) -> Option<String> {
    if found.dtype() != expected.dtype() || found.shape() != expected.shape() {
        return Some(format!("{} instead of {}", found.ty(), expected.ty()));
    }
    let (epsilon, least) = match expected.dtype() {
        DType::F16 => (2f64.powi(-10), 2f64.powi(-14)),
        DType::F32 => (2f64.powi(-23), 2f64.powi(-126)),
        DType::F64 => (f64::EPSILON, f64::MIN_POSITIVE),
        _ => return differing(found, expected),
    };
    let (found, expected) = (found.to_f64_vec(), expected.to_f64_vec());
    let largest = expected.iter().filter(|value| value.is_finite()).fold(0.0f64, |most, value| most.max(value.abs()));
    let off = |(&found, &expected): (&f64, &f64)| {
        if found == 0.0 && expected == 0.0 && signs && found.is_sign_negative() != expected.is_sign_negative() {
            return f64::INFINITY;
        }
        if found == expected || (found.is_nan() && expected.is_nan()) {
            return 0.0;
        }
        if !found.is_finite() || !expected.is_finite() {
            return f64::INFINITY;
        }
        let size = if tolerance.of_largest { largest } else { expected.abs() };
        (found - expected).abs() / (epsilon * size.max(least))
    };
    let off: Vec<f64> = found.iter().zip(&expected).map(off).collect();
    let worst = (0..off.len()).max_by(|&a, &b| off[a].total_cmp(&off[b]))?;
    let told = || format!("element {worst} is {}, not {}: off by {} epsilons", found[worst], expected[worst], off[worst]);
    (off[worst] > tolerance.epsilons).then(told)
}

/// The first element of integers or bools that is another one.
fn differing(found: &Tensor, expected: &Tensor) -> Option<String> {
    let (mine, wanted, size) = (found.to_bytes(), expected.to_bytes(), expected.dtype().size());
    let place = mine.chunks(size).zip(wanted.chunks(size)).position(|(a, b)| a != b)?;
    Some(format!("element {place} is {}, not {}", found.to_f64_vec()[place], expected.to_f64_vec()[place]))
}

fn compare(case: &Case, results: &[Tensor], failures: &mut Vec<String>) {
    for (at, (found, expected)) in results.iter().zip(&case.expected).enumerate() {
        let of_result = at < case.results;
        let tolerance = if of_result { case.tolerance } else { case.of_gradients };
        if let Some(difference) = difference(found, expected, tolerance, of_result && !tolerance.of_largest) {
            let what = match at.checked_sub(case.results) {
                Some(gradient) => format!("the gradient in {}", case.gradients[gradient]),
                None => format!("result {at}"),
            };
            let inputs: Vec<String> = case.inputs.iter().map(|(name, input)| format!("    {name} = {input:?}")).collect();
            failures.push(format!(
                "{}: {}: {what}: {difference}\n{}\n    found    {found:?}\n    expected {expected:?}",
                case.place, case.text, inputs.join("\n")
            ));
        }
    }
}

fn golden_on(device: &str, config: Config) {
    let session = arignote::session_with(config).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    files.sort();
    let (mut values, mut gradients, mut failures) = (0, 0, Vec::new());
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy();
        let cases = cases(&name, &std::fs::read_to_string(path).unwrap());
        values += cases.len();
        gradients += cases.iter().filter(|case| !case.gradients.is_empty()).count();
        for known in [true, false] {
            let cases: Vec<&Case> = cases.iter().filter(|case| known || !case.known).collect();
            for batch in cases.chunks(BATCH) {
                let alone = |case: &&Case| run(&session, &[*case], known);
                // A case that fails is found by itself.
                let results = match run(&session, batch, known) {
                    Ok(all) => {
                        let mut all = all.into_iter();
                        batch.iter().map(|case| Ok(all.by_ref().take(case.expected.len()).collect())).collect()
                    }
                    Err(_) => batch.iter().map(alone).collect::<Vec<Result<Vec<Tensor>, String>>>(),
                };
                for (case, results) in batch.iter().zip(results) {
                    match results {
                        Ok(results) => compare(case, &results, &mut failures),
                        Err(error) => failures.push(format!("{}: {}: {error}", case.place, case.text)),
                    }
                }
            }
        }
    }
    let shown = failures.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {values} cases differ on {device}:\n{shown}", failures.len());
    assert!(values >= 1500 && gradients >= 500, "only {values} values and {gradients} gradients");
}

#[test]
fn golden_on_the_reference() {
    golden_on("reference", Config::default().with("device", "reference").unwrap());
}

/// What the cpu backend has no kernel for runs on the reference; `backends.rs` says what that may be.
fn golden_on_the_cpu(threads: i64, codegen: &str) {
    let config = Config::default().with("device", "cpu").unwrap().with("fallback", vec!["reference".to_owned()]).unwrap();
    let config = config.with("backend.cpu.threads", threads).unwrap().with("backend.cpu.codegen", codegen).unwrap();
    golden_on(&format!("cpu, {threads} threads, {codegen} code"), config);
}

#[test]
fn golden_on_one_thread() {
    golden_on_the_cpu(1, "native");
}

#[test]
fn golden_on_two_threads() {
    golden_on_the_cpu(2, "native");
}

#[test]
fn golden_in_portable_code() {
    golden_on_the_cpu(1, "portable");
}

#[test]
fn golden_in_portable_code_on_two_threads() {
    golden_on_the_cpu(2, "portable");
}
