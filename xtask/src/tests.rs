//! The tests of the workspace, several executables at once: many of them are one long test each.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use crate::{Outcome, cargo, run, shown};

/// A test executable, and the folder of the package that it tests.
struct Tests {
    executable: PathBuf,
    package: PathBuf,
}

/// Builds all tests, runs them, and fails if any fails, but only after all of them ran.
pub fn tests() -> Outcome {
    let tests = Mutex::new(build()?.into_iter());
    let failed = Mutex::new(Vec::new());
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let next = || tests.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(tests) = next() {
                    if let (Err(message), Ok(mut failed)) = (run_one(&tests), failed.lock()) {
                        failed.push(message);
                    }
                }
            });
        }
    });
    let examples = run(&mut cargo(["test", "--workspace", "--doc", "--no-fail-fast"]));
    let mut failed = failed.into_inner().map_err(|error| error.to_string())?;
    failed.extend(examples.err());
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn build() -> Outcome<Vec<Tests>> {
    let mut command = cargo(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let shown = shown(&command);
    eprintln!("+ {shown}");
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{shown}` failed: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // The end of the profile: an executable that tests start was not built as a test.
    let of_tests = text.lines().filter(|line| line.contains(r#""test":true},"features""#));
    let tests = of_tests.filter_map(|line| {
        let manifest = PathBuf::from(field(line, "manifest_path")?);
        Some(Tests { executable: field(line, "executable")?.into(), package: manifest.parent()?.to_owned() })
    });
    Ok(tests.collect())
}

/// A field of one of Cargo's messages, each a line of JSON.
fn field(line: &str, name: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!(r#""{name}":""#))?;
    Some(rest.split_once('"')?.0.replace(r"\\", r"\"))
}

/// Runs one executable, and shows what it said when it is through.
fn run_one(tests: &Tests) -> Outcome {
    let name = tests.executable.file_name().unwrap_or_default().to_string_lossy();
    let start = Instant::now();
    let output = Command::new(&tests.executable).current_dir(&tests.package).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot start {name}: {error}"))?;
    let [told, complaints] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    eprintln!("\n-- {name} ({:.0} s)\n{}\n{complaints}", start.elapsed().as_secs_f64(), told.trim());
    if output.status.success() { Ok(()) } else { Err(format!("{name} failed: {}", output.status)) }
}
