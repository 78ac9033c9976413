//! The command `arignote`: what it prints, what it writes, how it fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use arignote::runtime::{read_npy, write_npy};
use arignote::tensor::Tensor;

const PROGRAM: &str = "\
fn softplus(x: f64[n]) {
    y = log(1 + exp(x))
    return y, grad(sum(y), x)
}

fn count(step: i64[]) {
    state total: i64[] = 0
    total <- total + step
    return total
}

fn tiny(x: u64[]) {
    return x
}
";

/// A folder with `program.arig`, in which nothing of the user's or of this repository is read.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        std::fs::write(folder.path("program.arig"), PROGRAM).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arignote"));
        command.args(line.split_whitespace()).current_dir(self.0.path());
        for name in ["ARIGNOTE_FLAGS", "ARIGNOTE_CONFIG", "ARIGNOTE_PLUGIN_PATH"] {
            command.env_remove(name);
        }
        for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(name, self.0.path());
        }
        command
    }

    /// What a command prints that succeeds.
    fn prints(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "`arignote {line}`: {}", errors(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The error of a command that ends with status 1, of one screen or less.
    fn fails(&self, line: &str, expected: &[&str]) {
        check_failure(line, &self.command(line).output().unwrap(), expected);
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn check_failure(line: &str, output: &Output, expected: &[&str]) {
    let found = errors(output);
    assert_eq!(output.status.code(), Some(1), "`arignote {line}`: {found}");
    assert!(output.stdout.is_empty(), "`arignote {line}` printed {}", String::from_utf8_lossy(&output.stdout));
    for part in expected {
        assert!(found.contains(part), "`arignote {line}`: expected {part:?} in\n{found}");
    }
    assert!(found.lines().count() <= 24, "`arignote {line}`: more than a screen:\n{found}");
}

#[test]
fn run_prints_results_on_every_device() {
    let folder = Folder::new();
    for device in ["reference", "cpu"] {
        let found = folder.prints(&format!("run program.arig --fn softplus --in x=[0,800,-800] --device {device}"));
        assert_eq!(found, "0: f64[3] = [0.6931471805599453, 800, 0]\n1: f64[3] = [0.5, 1, 0]\n");
    }
    let mut command = folder.command("run program.arig --fn softplus --in x=[800]");
    let output = command.env("ARIGNOTE_FLAGS", "device=cpu").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", errors(&output));
}

#[test]
fn auto_says_which_device_it_takes() {
    let folder = Folder::new();
    let output = folder.command("run program.arig --fn softplus --in x=[0] --device auto").output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    assert!(errors(&output).starts_with("device auto: cpu") && errors(&output).lines().count() == 1, "{}", errors(&output));
}

#[test]
fn run_reads_and_writes_files() {
    let folder = Folder::new();
    write_npy(&folder.path("x.npy"), &Tensor::vector(vec![0.0, 800.0])).unwrap();
    folder.prints("run program.arig --fn softplus --in x=x.npy --out results");
    assert_eq!(read_npy(&folder.path("results/1.npy")).unwrap().to_f64_vec(), [0.5, 1.0]);
    assert!(folder.path("results/0.npy").exists() && !folder.path("results/2.npy").exists());

    let found = folder.prints("run program.arig --fn count --in step=2 --repeat 3 --save-state s.safetensors");
    assert_eq!(found, "0: i64[] = 4\n");
    let found = folder.prints("run program.arig --fn count --in step=1 --load-state s.safetensors");
    assert_eq!(found, "0: i64[] = 6\n");
}

#[test]
fn explain_shows_every_stage() {
    let folder = Folder::new();
    let found = folder.prints("explain program.arig --fn softplus --device cpu");
    for part in ["device cpu", "# as stated", "log(", "# rewrites", "program.arig:2", "# as compiled", "softplus(", "on cpu"] {
        assert!(found.contains(part), "expected {part:?} in\n{found}");
    }
}

#[test]
fn explain_shows_parts() {
    let folder = Folder::new();
    let says = |found: &str, parts: &[&str]| parts.iter().for_each(|part| assert!(found.contains(part), "expected {part:?} in\n{found}"));
    says(&folder.prints("explain program.arig --fn softplus --device cpu --tree"), &["result 0\n└─ softplus [A]", "input x ["]);
    says(&folder.prints("explain program.arig --fn softplus --device cpu --memory --dim n=1000"), &["where n = 1000", "softplus f64[1000] on cpu", "program 0 on cpu plans"]);
    says(&folder.prints("explain program.arig --fn softplus --device cpu --asm"), &["plan for [[64]]"]);
}

#[test]
fn profiles_are_written_for_trace_viewers() {
    let folder = Folder::new();
    write_npy(&folder.path("x.npy"), &Tensor::vector(vec![0.0, 800.0])).unwrap();
    folder.prints("run program.arig --fn softplus --in x=x.npy --repeat 2 --profile out.json");
    let trace: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.path("out.json")).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let count = |category: &str| events.iter().filter(|event| event["cat"] == category).count();
    assert_eq!(count("call"), 2);
    assert!(count("compile") > 2 && events.iter().any(|event| event["name"] == "parse"), "{trace}");
    assert_eq!(trace["profile"]["calls"], 2);
}

#[test]
fn graph_draws() {
    let folder = Folder::new();
    assert!(folder.prints("graph program.arig --fn softplus").starts_with("digraph"));
    let stated = folder.prints("graph program.arig --fn softplus --stated");
    assert!(stated.contains("log") && stated.contains("grad"), "{stated}");
    let drawn = folder.prints("graph program.arig --fn softplus --svg");
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"), "{drawn}");
}

#[test]
fn fmt_lays_out_and_checks() {
    let folder = Folder::new();
    folder.prints("fmt --check program.arig");
    std::fs::write(folder.path("crooked.arig"), "fn f( x:f64[] ){\n  return   x+1\n\n}\n").unwrap();
    folder.fails("fmt --check crooked.arig", &["crooked.arig", "arignote fmt"]);
    folder.prints("fmt crooked.arig");
    folder.prints("fmt --check crooked.arig");
    assert_eq!(std::fs::read_to_string(folder.path("crooked.arig")).unwrap(), "fn f(x: f64[]) {\n    return x + 1\n}\n");
}

/// Four rules that are wrong, each in another way, between three that are right.
const MINE: &str = "\
rule softplus_by_hand [stabilize]: log(1 + exp(x)) => softplus(x)
rule hides_nan        [specialize]: x - x => zeros_like(x) where is_float(x)
rule loses_digits     [specialize]: log1p(x) => log(1 + x)
rule other_function   [specialize]: sinh(x) => 0.5 * (exp(x) + exp(-x)) where is_float(x)
rule drops_axis       [specialize]: sum(x, axis=$a, keepdims=true) => sum(x, axis=$a)
rule minus_minus      [canonicalize]: 0 - (0 - x) => x where is_signed(x)
rule sort_of_sort     [specialize]: sort(sort(x, axis=$a), axis=$a) => sort(x, axis=$a)
";

#[test]
fn rules_of_a_file_are_checked() {
    let folder = Folder::new();
    std::fs::write(folder.path("mine.rules"), MINE).unwrap();
    let output = folder.command("rules --check mine.rules").output().unwrap();
    let (found, told) = (String::from_utf8_lossy(&output.stdout).into_owned(), errors(&output));
    assert_eq!(output.status.code(), Some(1), "{found}{told}");
    assert!(told.contains("4 of 7 rules and passes fail"), "{found}{told}");
    let verdict = |name: &str| {
        let start = found.find(&format!("{name}: ")).unwrap_or_else(|| panic!("no verdict on {name}:\n{found}"));
        let rest = &found[start..];
        rest.lines().take(1).chain(rest.lines().skip(1).take_while(|line| line.starts_with("  "))).collect::<Vec<_>>().join("\n")
    };
    for name in ["softplus_by_hand", "minus_minus", "sort_of_sort"] {
        assert!(verdict(name).starts_with(&format!("{name}: holds (")), "{}", verdict(name));
    }
    // Each with a counterexample.
    for (name, what) in [("hides_nan", "it hides a NaN"), ("loses_digits", "the error grows"), ("other_function", "the error grows")] {
        let verdict = verdict(name);
        assert!(verdict.starts_with(&format!("{name}: FAILS")) && verdict.contains(what) && verdict.contains("x="), "{verdict}");
    }
    assert!(verdict("drops_axis").contains("the number of axes would change"), "{}", verdict("drops_axis"));
    std::fs::write(folder.path("good.rules"), MINE.lines().next().unwrap()).unwrap();
    assert!(folder.prints("rules --check good.rules").contains("1 rules and passes hold"));
    assert!(folder.prints("rules --check --set rewrite.rules=good.rules").contains("1 rules and passes hold"));
    std::fs::write(folder.path("broken.rules"), "rule a [specialize]: expp(x) => x\nrule b: exp(x) => x\n").unwrap();
    let output = folder.command("rules --check broken.rules").output().unwrap();
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(found.contains("there is no op `expp`") && found.contains("no phase"), "{found}{}", errors(&output));
    folder.fails("rules --check none.rules", &["none.rules: cannot read"]);
}

#[test]
fn a_firing_that_changes_a_result_is_found() {
    let folder = Folder::new();
    std::fs::write(folder.path("wrong.rules"), "rule turned [specialize]: sin(x) => cos(x)\n").unwrap();
    let text = "fn f(x: f64[n], y: f64[n]) {\n    z = -(-x) + 0\n    return z * 1, square(-y) + sin(z)\n}\n";
    std::fs::write(folder.path("f.arig"), text).unwrap();
    let found = folder.prints("explain f.arig --bisect --set rewrite.rules=wrong.rules");
    for part in ["changes a result", "wrong.rules:1)  at f.arig:3", "\nturned  (", "sin(", "=> cos(", "of result 1 is"] {
        assert!(found.contains(part), "expected {part:?} in\n{found}");
    }
    let found = folder.prints("explain f.arig --bisect --in x=[1,2] --in y=[3,4]");
    assert!(found.contains("changes a result beyond rounding"), "{found}");
    // What a rule saves from overflow is a change too.
    let found = folder.prints("explain program.arig --fn softplus --bisect --in x=[800]");
    assert!(found.contains("is inf before and 800.0 after"), "{found}");
    folder.fails("explain f.arig --bisect --in w=1", &["there is no input `w`"]);
    folder.fails("explain f.arig --in x=1", &["only with --bisect"]);
    // The same in another process.
    assert_eq!(folder.prints("explain f.arig"), folder.prints("explain f.arig"));
    // States are as they were.
    folder.prints("explain program.arig --fn count --bisect --in step=2");
    let found = folder.prints("explain program.arig --fn softplus --timings");
    assert!(found.contains("# time of rewriting") && found.contains("log1p_of_one_plus"), "{found}");
}

#[test]
fn listings_are_there_as_text_and_as_json() {
    let folder = Folder::new();
    for (listing, parts) in [
        ("devices", &["cpu", "reference", "built in"][..]),
        ("plugins", &["cpu", "reference", "built in"]),
        ("ops", &["matmul(", "softmax(", "axis=-1"]),
        ("rules", &["log1p_of_one_plus", "stabilize", "constant_fold", "(off)"]),
        ("config", &["device = \"cpu\"", "--device", "algebra", "default"]),
    ] {
        let text = folder.prints(&format!("{listing} --device cpu"));
        for part in parts {
            assert!(text.contains(part), "`{listing}`: expected {part:?} in\n{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&folder.prints(&format!("{listing} --json"))).unwrap();
        let rows = json.as_array().map(Vec::len).or(json.as_object().map(serde_json::Map::len));
        assert!(rows.is_some_and(|rows| rows >= 2), "`{listing} --json`: {json}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let folder = Folder::new();
    let run = |rest: &str| format!("run program.arig {rest}");
    folder.fails(&run("--fn softplus --in x=[0] --device cpuu"), &["cpuu", "did you mean `cpu`?"]);
    folder.fails(&run("--fn softplus --in x=[0] --device cuda0"), &["`cuda0`", "[plugins] path"]);
    folder.fails(&run("--fn softplus --in x=[0] --set devise=cpu"), &["--set", "did you mean `device`?"]);
    folder.fails(&run("--fn softplus --in x=[0] --set mode=fast"), &["fast-run", "\"fast\""]);
    folder.fails(&run("--fn softplus --in x=[0] --config no.toml"), &["no.toml"]);
    folder.fails(&run("--fn softplux --in x=[0]"), &["softplux", "softplus"]);
    folder.fails(&run("--in x=[0]"), &["softplus", "count"]);
    folder.fails(&run("--fn softplus"), &["needs the input `x: f64[n]`"]);
    folder.fails(&run("--fn softplus --in z=[0]"), &["`z`", "its inputs: x"]);
    folder.fails(&run("--fn softplus --in x=[0] --in x=[1]"), &["`x`", "twice"]);
    folder.fails(&run("--fn softplus --in x=1"), &["`x`", "f64[n]", "f64[]"]);
    folder.fails(&run("--fn softplus --in x"), &["NAME=VALUE"]);
    folder.fails(&run("--fn softplus --in x=none.npy"), &["none.npy"]);
    folder.fails(&run("--fn softplus --in x=program.arig"), &["--in x", "`.npy`"]);
    folder.fails(&run("--fn softplus --in x="), &["--in x", "a nested list"]);
    folder.fails(&run("--fn softplus --in x=abc"), &["--in x: `abc`", "a nested list"]);
    folder.fails(&run("--fn count --in step=1.7"), &["--in step: `1.7` does not fit into i64"]);
    folder.fails(&run("--fn count --in step=1 --repeat 0"), &["--repeat 0"]);
    folder.fails(&run("--fn softplus --in x=[0] --load-state s.safetensors"), &["s.safetensors", "no states"]);
    folder.fails(&run("--fn softplus --in x=[0] --set fallback=cpuu"), &["`cpuu`", "expected one of reference, cpu"]);
    folder.fails(&run("--fn tiny --in x=-1"), &["--in x: `-1` does not fit into u64"]);
    for device in ["auto", "reference"] {
        let threads = |value: &str| run(&format!("--fn softplus --in x=[0] --device {device} --set backend.cpu.{value}"));
        folder.fails(&threads("threads=many"), &["threads", "many"]);
        folder.fails(&threads("threds=2"), &["did you mean `threads`?"]);
    }
    folder.fails("run nothing.arig", &["nothing.arig"]);
    std::fs::write(folder.path("bad.arig"), "fn f(x: f64[n]) {\n    return lgo(x)\n}\n").unwrap();
    folder.fails("run bad.arig --in x=[1]", &["bad.arig:2", "lgo", "^", "log"]);
}

#[test]
fn a_failed_run_writes_nothing() {
    let folder = Folder::new();
    folder.fails("run program.arig --fn count --in step=x.npy --out results --save-state s.safetensors", &["x.npy"]);
    assert!(!folder.path("results").exists() && !folder.path("s.safetensors").exists());
}

#[test]
fn bad_files_change_nothing() {
    let folder = Folder::new();
    let cut = |name: &str, length: usize| {
        let bytes = std::fs::read(folder.path(name)).unwrap();
        std::fs::write(folder.path(name), &bytes[..bytes.len() - length]).unwrap();
    };
    write_npy(&folder.path("x.npy"), &Tensor::vector(vec![0.0, 800.0])).unwrap();
    cut("x.npy", 3);
    folder.fails("run program.arig --fn softplus --in x=x.npy", &["x.npy", "cut short", "numpy.save"]);
    write_npy(&folder.path("x.npy"), &Tensor::vector(vec![0.0f32])).unwrap();
    folder.fails("run program.arig --fn softplus --in x=x.npy", &["--in x", "x.npy", "f32[1]", "f64[n]", "numpy.save"]);
    folder.prints("run program.arig --fn count --in step=2 --save-state s.safetensors");
    cut("s.safetensors", 1);
    folder.fails("run program.arig --fn count --in step=1 --load-state s.safetensors", &["s.safetensors"]);
}

#[test]
fn wrong_usage_ends_with_status_two() {
    let folder = Folder::new();
    for line in ["", "frobnicate", "run", "conform --device cpu", "devices --jason", "run program.arig --repeat many"] {
        let output = folder.command(line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "`arignote {line}`");
        assert!(errors(&output).contains("--help"), "`arignote {line}`: {}", errors(&output));
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = Folder::new();
    let mut child = folder.command("ops").stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_programs_of_the_repository_are_laid_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "arig") {
            Folder::new().prints(&format!("fmt --check {}", path.display()));
        }
    }
}

#[test]
fn the_recurrent_network_learns() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rnn.arig");
    let found = Folder::new().prints(&format!("run {} --fn step --repeat 60 --device reference", program.display()));
    let values: Vec<f64> = found.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    let [loss, wrong] = values[..] else { panic!("two numbers were expected:\n{found}") };
    assert!(loss < 0.01 && wrong == 0.0, "{found}");
}

/// The code blocks of the README in one language.
fn readme(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n').map(str::to_owned)).collect()
}

#[test]
fn the_program_of_the_readme_runs() {
    let folder = Folder::new();
    let [program] = &readme("text")[..] else { panic!("the README should have one program") };
    std::fs::write(folder.path("digits.arig"), program).unwrap();
    write_npy(&folder.path("x.npy"), &Tensor::from_vec(vec![0.5f32; 2 * 64], &[2, 64]).unwrap()).unwrap();
    let found = folder.prints("run digits.arig --in x=x.npy --in y=[0,3] --device cpu");
    assert_eq!(found, "0: f32[] = 2.3025851\n1: f64[] = 0.5\n");
}

#[test]
fn the_rust_of_the_readme_is_that_of_the_crate_documentation() {
    let [example] = &readme("rust")[..] else { panic!("the README should have one Rust example") };
    let documented = include_str!("../src/lib.rs");
    // There it stands without a `main` of its own, and asserts what here is printed.
    for line in example.lines().map(str::trim).filter(|line| line.starts_with("let ") || line.starts_with("use ")) {
        let code = line.split(" //").next().unwrap_or_default();
        assert!(documented.contains(format!("//! {code}").trim_end()), "the crate's example lacks `{code}`");
    }
}
