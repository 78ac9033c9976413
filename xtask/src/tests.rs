//! The tests of the workspace, several executables at once: many of them are one long test each.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::{Outcome, cargo, root, run, shown};

/// How long one executable may take: on two cores the longest takes two minutes.
const LONGEST: Duration = Duration::from_secs(15 * 60);

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

/// Runs one executable, and shows what it said when it is through or has taken far too long: then it hangs, and
/// the last it said, of tests that run for over a minute, is which of them does.
fn run_one(tests: &Tests) -> Outcome {
    let name = tests.executable.file_name().unwrap_or_default().to_string_lossy();
    let failed = |what: &str| format!("{name}: {what}");
    let told = root().join("target/tmp").join(format!("{name}.txt"));
    let open = || {
        std::fs::create_dir_all(told.parent().unwrap_or(&told))?;
        let file = std::fs::File::create(&told)?;
        Ok((file.try_clone()?, file))
    };
    let (output, errors) = open().map_err(|error: std::io::Error| failed(&format!("{}: {error}", told.display())))?;
    let start = Instant::now();
    let mut command = Command::new(&tests.executable);
    command.current_dir(&tests.package).stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut running = command.spawn().map_err(|error| failed(&format!("cannot start: {error}")))?;
    let outcome = loop {
        match running.try_wait() {
            Ok(Some(status)) if status.success() => break Ok(()),
            Ok(Some(status)) => break Err(failed(&status.to_string())),
            Ok(None) if start.elapsed() > LONGEST => {
                let _ = running.kill().and_then(|()| running.wait());
                break Err(failed(&format!("not through after {} s", LONGEST.as_secs())));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => break Err(failed(&error.to_string())),
        }
    };
    let told = std::fs::read(&told).unwrap_or_default();
    eprintln!("\n-- {name} ({:.0} s)\n{}", start.elapsed().as_secs_f64(), String::from_utf8_lossy(&told).trim());
    outcome
}
