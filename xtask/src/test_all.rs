//! Every test and check, on whatever devices and tools there are, and a list of what was left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::plugins::{self, Profile};
use crate::{Outcome, cargo, root, run};

/// The checks that ran, and what was left out.
#[derive(Default)]
struct Report {
    ran: Vec<(&'static str, Outcome, f64)>,
    left_out: Vec<String>,
}

impl Report {
    fn check(&mut self, name: &'static str, check: impl FnOnce() -> Outcome) {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = check();
        self.ran.push((name, outcome, start.elapsed().as_secs_f64()));
    }

    fn left_out(&mut self, what: impl Into<String>) {
        self.left_out.push(what.into());
    }
}

/// Runs everything; fails if anything fails, but only after all of it ran.
pub fn test_all() -> Outcome {
    let mut report = Report::default();
    let mut built = Err("the build failed".to_owned());
    report.check("plugins as libraries", || {
        built = plugins::build(Profile::Dev);
        built.clone().map(drop)
    });
    report.check("tests", crate::tests::tests);
    report.check("demo, shortened, on two devices", || demo(&built.clone()?));
    report.check("clippy", || {
        run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    });
    report.check("documentation", || {
        let mut command = cargo(["doc", "--workspace", "--no-deps"]);
        run(command.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    // They share nothing with the workspace but its crates, whose changes they would not notice.
    report.check("the micro-benchmarks", || {
        let mut command = cargo(["clippy", "--locked", "--manifest-path", "bench/kernels/Cargo.toml", "--all-targets", "--target-dir", "target/kernels"]);
        run(command.args(["--", "--deny", "warnings"]))
    });
    fuzz(&mut report);
    if let Ok(built) = &built {
        devices(&mut report, built);
    }

    eprintln!("\n== summary");
    for (name, outcome, seconds) in &report.ran {
        let verdict = match outcome {
            Ok(()) => "ok",
            Err(_) => "FAILED",
        };
        eprintln!("{verdict:>8}  {name} ({seconds:.0} s)");
    }
    for what in &report.left_out {
        eprintln!("LEFT OUT  {what}");
    }
    match report.ran.iter().filter(|(_, outcome, _)| outcome.is_err()).count() {
        0 => Ok(()),
        count => Err(format!("{count} of {} checks failed", report.ran.len())),
    }
}

/// Two epochs of the demo on the reference and on the cpu, both from their libraries: the losses agree
/// at every step. A second run on the cpu writes the same bytes as the first.
fn demo(built: &Path) -> Outcome {
    let run_on = |device: &str, out: &str| -> Outcome<PathBuf> {
        let mut command = Command::new(built.join("examples/demo"));
        command.args(["--epochs", "2", "--out", out]).env("ARIGNOTE_FLAGS", format!("device={device}"));
        run(command.current_dir(root()))?;
        Ok(root().join(out))
    };
    let reference = run_on("reference", "target/demo-reference")?;
    let cpu = run_on("cpu", "target/demo-cpu")?;
    let again = run_on("cpu", "target/demo-cpu-again")?;

    let (expected, found) = (losses(&reference)?, losses(&cpu)?);
    if expected.len() != found.len() {
        return Err(format!("{} steps on the reference, {} on the cpu", expected.len(), found.len()));
    }
    for (step, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let near = (expected - found).abs() <= 1e-5 * expected.abs();
        if !near {
            return Err(format!("line {}: the loss is {expected} on the reference, {found} on the cpu", step + 2));
        }
    }
    for entry in std::fs::read_dir(&cpu).map_err(|error| format!("{}: {error}", cpu.display()))?.flatten() {
        if read(&entry.path())? != read(&again.join(entry.file_name()))? {
            return Err(format!("two runs with one seed differ in {}", entry.path().display()));
        }
    }
    Ok(())
}

/// The losses that the demo wrote into a folder.
fn losses(folder: &Path) -> Outcome<Vec<f64>> {
    let text = String::from_utf8_lossy(&read(&folder.join("losses.csv"))?).into_owned();
    let losses: Vec<f64> = text.lines().filter_map(|line| line.rsplit(',').next()?.parse().ok()).collect();
    if losses.is_empty() { Err(format!("{} holds no losses", folder.display())) } else { Ok(losses) }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The parser under cargo-fuzz, for a short time. The tests mutate programs at random in any case.
fn fuzz(report: &mut Report) {
    let nightly = works(Command::new("rustc").args(["+nightly", "--version"]));
    if !nightly {
        report.left_out("a plugin built by another compiler: no nightly toolchain");
    }
    if !nightly || !works(Command::new("cargo").args(["+nightly", "fuzz", "--version"])) {
        return report.left_out("fuzzing with coverage: it needs a nightly toolchain and cargo-fuzz");
    }
    report.check("fuzz the language", || {
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "run", "lang", "--", "-max_total_time=30"]);
        run(command.current_dir(root()))
    });
}

/// Says which devices are not there.
fn devices(report: &mut Report, built: &Path) {
    let output = match Command::new(built.join("arignote")).arg("devices").current_dir(root()).output() {
        Ok(output) => output,
        Err(error) => return report.left_out(format!("every device: cannot start `arignote`: {error}")),
    };
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return report.left_out(format!("every device: `arignote devices` failed: {}", error.trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().filter(|line| line.contains("unavailable")) {
        report.left_out(format!("device {line}"));
    }
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
