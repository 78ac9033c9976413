//! Expressions whose plain evaluation loses digits, against exact values and gradients, in every mode and on
//! every backend.
//!
//! `core/tests/stability/table.txt` holds them, written by the script beside it. A case is a block of lines:
//!
//! - `case ROW TEXT`: the row of docs/numerics.md and statements of the language, the last one the result;
//! - `most N WHY`: how many units in the last place are allowed where that is not [`MOST`], and the reason;
//! - `NAME TYPE ELEMENTS`: an input;
//! - `= TYPE ELEMENTS`: the result, to the nearest number of the dtype;
//! - `dNAME TYPE ELEMENTS`: the gradient of the sum of the results.
//!
//! docs/numerics.md shows the errors that are measured here; `ARIGNOTE_BLESS=1` writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{FunctionBuilder, Session};
use arignote::tensor::{DType, Tensor};

/// The largest error that is allowed, in units in the last place.
const MOST: u64 = 4;

/// What a NaN or infinity that is not expected counts, and the other way round.
const WRONG: u64 = u64::MAX;

struct Case {
    row: String,
    text: String,
    most: u64,
    inputs: Vec<(String, Tensor)>,
    /// The result first, then the gradients in the inputs of these names.
    expected: Vec<Tensor>,
    gradients: Vec<String>,
}

impl Case {
    fn is_finite(&self) -> bool {
        let inputs = self.inputs.iter().map(|(_, input)| input);
        inputs.chain(&self.expected).all(|tensor| tensor.to_f64_vec().into_iter().all(f64::is_finite))
    }
}

fn tensor(text: &str) -> Tensor {
    let (dtype, rest) = text.split_once('[').expect("a type");
    let (shape, elements) = rest.split_once(']').expect("a shape");
    let shape: Vec<usize> = shape.split_terminator(", ").map(|length| length.parse().unwrap()).collect();
    let elements = elements.split_whitespace().map(|element| element.parse::<f64>().unwrap());
    Tensor::from_vec(elements.collect(), &shape).unwrap().cast(dtype.parse().unwrap())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/stability")
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join("table.txt")).unwrap();
    let blocks = text.trim_end().split("\n\n").skip(1);
    let case = |block: &str| {
        let mut lines = block.lines();
        let head = lines.next().and_then(|line| line.strip_prefix("case ")).expect("`case ROW TEXT`");
        let (row, text) = head.split_once(' ').unwrap();
        let (inputs, expected, gradients) = (Vec::new(), Vec::new(), Vec::new());
        let mut case = Case { row: row.into(), text: text.into(), most: MOST, inputs, expected, gradients };
        for line in lines {
            let (key, rest) = line.split_once(' ').unwrap();
            match key {
                "most" => case.most = rest.split_once(' ').expect("a reason").0.parse().unwrap(),
                "=" => case.expected.push(tensor(rest)),
                _ if case.expected.is_empty() => case.inputs.push((key.to_owned(), tensor(rest))),
                _ => {
                    case.gradients.push(key.strip_prefix('d').expect("dNAME").to_owned());
                    case.expected.push(tensor(rest));
                }
            }
        }
        case
    };
    blocks.map(case).collect()
}

/// What a case gives, with lengths unknown until the call.
fn run(session: &Session, case: &Case) -> Result<Vec<Tensor>, String> {
    let types = case.inputs.iter().map(|(name, input)| {
        format!("{name}: {}[{}]", input.dtype(), vec!["?"; input.shape().len()].join(", "))
    });
    let mut text = format!("fn stability({}) {{\n", types.collect::<Vec<_>>().join(", "));
    let (before, last) = case.text.rsplit_once("; ").unwrap_or(("", &case.text));
    before.split_terminator("; ").for_each(|statement| writeln!(text, "    {statement}").unwrap());
    writeln!(text, "    result = {last}").unwrap();
    match case.gradients.as_slice() {
        [] => writeln!(text, "    return result\n}}"),
        names => writeln!(text, "    return result, grad(sum(result), {})\n}}", names.join(", ")),
    }
    .unwrap();
    let mut stopped: Vec<String> = Vec::new();
    let mut attempt = || -> arignote::Result<Vec<Tensor>> {
        let graph = lang::load(lang::Source::new("stability", text.clone()))?.function(None)?;
        let inputs: Vec<Tensor> = case.inputs.iter().map(|(_, input)| input.clone()).collect();
        let function = FunctionBuilder::from_graph(graph).build(session)?;
        stopped = function.compiled().rewrites().stopped.iter().map(|stopped| format!("{}: {}", stopped.rule, stopped.reason)).collect();
        function.call(&inputs)
    };
    let results = attempt();
    if let Some(stopped) = stopped.first() {
        return Err(format!("rewriting was stopped: {stopped}\n{text}"));
    }
    results.map_err(|error| format!("{error}\n{text}"))
}

/// How many numbers of the dtype lie between two.
fn distance(found: f64, expected: f64, dtype: DType) -> u64 {
    if found.is_nan() || expected.is_nan() || found.is_infinite() || expected.is_infinite() {
        let same = found.is_nan() && expected.is_nan() || found == expected;
        return if same { 0 } else { WRONG };
    }
    // The numbers of one sign are in the order of their bits.
    let place = |value: f64| match dtype {
        DType::F32 => {
            let bits = i64::from((value as f32).abs().to_bits());
            if value < 0.0 { -bits } else { bits }
        }
        _ => {
            let bits = value.abs().to_bits() as i64;
            if value < 0.0 { -bits } else { bits }
        }
    };
    place(found).abs_diff(place(expected))
}

/// The largest error of a result, and where it is.
fn error(found: &Tensor, expected: &Tensor) -> (u64, String) {
    if found.dtype() != expected.dtype() || found.shape() != expected.shape() {
        return (WRONG, format!("{} instead of {}", found.ty(), expected.ty()));
    }
    let pairs = found.to_f64_vec().into_iter().zip(expected.to_f64_vec());
    let errors = pairs.enumerate().map(|(at, (found, exact))| {
        let told = format!("element {at} is {found:e} instead of {exact:e}");
        (distance(found, exact, expected.dtype()), told)
    });
    errors.max_by_key(|(error, _)| *error).unwrap_or_default()
}

/// The largest errors of an expression's value and gradient on the reference backend: ours over all modes, and those
/// of plain evaluation.
#[derive(Default)]
struct Measured {
    ours: [Option<u64>; 2],
    plain: [Option<u64>; 2],
}

fn session(device: &str, mode: &str, exclude: &[&str]) -> Session {
    let config = Config::default().with("device", device).unwrap().with("mode", mode).unwrap();
    let exclude: Vec<String> = exclude.iter().map(|&name| name.to_owned()).collect();
    arignote::session_with(config.with("rewrite.exclude", exclude).unwrap()).unwrap()
}

/// How the cases are run.
struct Way {
    name: String,
    session: Session,
    /// Whether it is what docs/numerics.md shows: on the reference backend, as the cpu's functions are the system's, whose
    /// last digits are not everywhere the same.
    measured: bool,
    /// Which cases, by their numbers.
    takes: fn(usize, &Case) -> bool,
}

/// One in so many is run where what differs from other ways is not what is computed.
const SAMPLE: usize = 5;

/// Rows whose stable forms have no NaN or infinity on the way either, so that the mode `nan-guard` has nothing to say.
const GUARDED: &[&str] = &["N3", "N7", "N8", "N9", "N10", "N12"];

fn ways() -> Vec<Way> {
    let all: fn(usize, &Case) -> bool = |_, _| true;
    let sample: fn(usize, &Case) -> bool = |number, _| number % SAMPLE == 0;
    let guarded: fn(usize, &Case) -> bool = |_, case| GUARDED.contains(&case.row.as_str()) && case.is_finite();
    let mut ways = Vec::new();
    for device in ["reference", "cpu"] {
        for (mode, takes) in [("fast-run", all), ("fast-compile", all), ("debug", sample), ("profile", sample), ("nan-guard", guarded)] {
            let measured = device == "reference" && mode.starts_with("fast");
            ways.push(Way { name: format!("{device}, {mode}"), session: session(device, mode, &[]), measured, takes });
        }
    }
    let portable = Config::default().with("device", "cpu").unwrap().with("backend.cpu.codegen", "portable").unwrap();
    ways.push(Way { name: "cpu, portable".into(), session: arignote::session_with(portable).unwrap(), measured: false, takes: all });
    ways
}

fn shown(error: Option<u64>) -> String {
    match error {
        None => "-".into(),
        Some(WRONG) => "NaN or infinity".into(),
        Some(error) if error < 100_000 => error.to_string(),
        Some(error) => format!("{:.0e}", error as f64),
    }
}

/// The table of docs/numerics.md, which stands there between its marks.
fn compare_table(measured: &BTreeMap<(usize, String, String), BTreeMap<&str, Measured>>) {
    let mut table = String::from(
        "| row | expression | f64 | its gradient | plain f64 | its gradient | f32 | its gradient | plain f32 | its gradient |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for ((_, row, text), by_dtype) in measured {
        write!(table, "| {row} | `{text}` |").unwrap();
        for dtype in ["f64", "f32"] {
            for errors in by_dtype.get(dtype).map_or([[None; 2]; 2], |m| [m.ours, m.plain]) {
                errors.iter().for_each(|&error| write!(table, " {} |", shown(error)).unwrap());
            }
        }
        table.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/numerics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- stability -->\n", "<!-- end of stability -->");
    let (before, rest) = page.split_once(start).expect("a mark before the table");
    let (found, after) = rest.split_once(end).expect("a mark after the table");
    if found != table && std::env::var_os("ARIGNOTE_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{start}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, table, "docs/numerics.md is not what was measured; ARIGNOTE_BLESS=1 writes it anew");
}

#[test]
fn values_and_gradients_are_exact_in_every_mode_on_every_backend() {
    let ways = ways();
    let plain = session("reference", "fast-run", &["canonicalize", "stabilize", "specialize"]);
    let mut measured: BTreeMap<(usize, String, String), BTreeMap<&str, Measured>> = BTreeMap::new();
    let (mut order, mut failures) = (BTreeMap::new(), Vec::new());
    let cases = cases();
    for (at, case) in cases.iter().enumerate() {
        let dtype = case.expected.first().map_or("", |_| case.inputs[0].1.dtype().name());
        let next = order.len();
        let number = *order.entry((case.row.clone(), case.text.clone())).or_insert(next);
        let entry = measured.entry((number, case.row.clone(), case.text.clone())).or_default().entry(dtype).or_default();
        for Way { name, session, measured, .. } in ways.iter().filter(|way| (way.takes)(at, case)) {
            let results = match run(session, case) {
                Ok(results) => results,
                Err(error) => {
                    failures.push(format!("{} `{}` on {name}: {error}", case.row, case.text));
                    continue;
                }
            };
            for (at, (found, expected)) in results.iter().zip(&case.expected).enumerate() {
                let (error, told) = error(found, expected);
                if *measured {
                    let worst = &mut entry.ours[at.min(1)];
                    *worst = Some(worst.unwrap_or(0).max(error));
                }
                if error > case.most {
                    let what = at.checked_sub(1).map_or("the value".into(), |at| format!("the gradient in {}", case.gradients[at]));
                    failures.push(format!("{} `{}` of {dtype} on {name}: {what}: {} ulp: {told}", case.row, case.text, shown(Some(error))));
                }
            }
        }
        if let Ok(results) = run(&plain, case) {
            for (at, (found, expected)) in results.iter().zip(&case.expected).enumerate() {
                let worst = &mut entry.plain[at.min(1)];
                *worst = Some(worst.unwrap_or(0).max(error(found, expected).0));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    compare_table(&measured);
}
