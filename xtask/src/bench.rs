//! Workloads beside other libraries: what they need, then `bench/driver.py`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Outcome, cargo, root, run};

/// Builds our side and, unless no peers are asked for, the others', and runs the driver with these arguments.
pub fn bench(arguments: &[String]) -> Outcome {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    run(&mut cargo(["build", "--release", "--package", "arignote-bench"]))?;
    let peers = peers(arguments);
    let with_torch = peers.as_ref().is_none_or(|peers| peers.iter().any(|peer| peer.starts_with("torch")));
    let rust_peers = rust_peers(&folder, peers.as_deref())?;
    let python = python(&folder, with_torch)?;
    let mut driver = Command::new(python);
    driver.arg(root().join("bench/driver.py")).arg("--ours").arg(target.join("release/arignote-bench"));
    driver.arg("--rust-peers").arg(rust_peers);
    run(driver.args(arguments).current_dir(root()))
}

/// What `--peers` names.
fn peers(arguments: &[String]) -> Option<Vec<String>> {
    let at = arguments.iter().position(|argument| argument == "--peers" || argument.starts_with("--peers="))?;
    let list = arguments[at].strip_prefix("--peers=").or_else(|| arguments.get(at + 1).map(String::as_str))?;
    Some(list.split(',').map(str::to_owned).collect())
}

/// The folder of the contenders in Rust, of which those that are asked for are built. Cargo runs in their workspace,
/// whose settings it reads.
fn rust_peers(folder: &Path, peers: Option<&[String]>) -> Outcome<PathBuf> {
    let built = folder.join("rust-peers");
    let asked = |library: &str| peers.is_none_or(|peers| peers.iter().any(|peer| peer.starts_with(library)));
    for library in ["candle", "burn"].into_iter().filter(|library| asked(library)) {
        // Each by itself: together they would share features, and what is built would depend on who is asked for.
        let mut build = cargo(["build", "--release", "--locked", "--target-dir"]);
        run(build.arg(&built).arg(format!("--package=peer-{library}")).current_dir(root().join("bench/rust-peers")))?;
    }
    Ok(built.join("release"))
}

/// Times the kernels of the cpu backend one by one; the arguments are Criterion's.
pub fn kernels(arguments: &[String]) -> Outcome {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut bench = cargo(["bench", "--locked", "--target-dir"]);
    bench.arg(target.join("bench/kernels")).arg("--").args(arguments);
    run(bench.current_dir(root().join("bench/kernels")))
}

/// The interpreter of an environment that has what the requirements say. It is made anew where they changed.
fn python(folder: &Path, with_torch: bool) -> Outcome<PathBuf> {
    let environment = folder.join("python");
    let python = environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.is_file() {
        run(Command::new(if cfg!(windows) { "python" } else { "python3" }).args(["-m", "venv"]).arg(&environment))?;
    }
    install(&environment, &python, "requirements.txt", &[])?;
    if with_torch {
        install(&environment, &python, "requirements-torch.txt", &["--no-deps", "--no-cache-dir"])?;
    }
    Ok(python)
}

/// Installs the packages of a file, unless the environment has them from the same file.
fn install(environment: &Path, python: &Path, file: &str, options: &[&str]) -> Outcome {
    let (from, stamp) = (root().join("bench").join(file), environment.join(file));
    let wanted = fs::read(&from).map_err(|error| format!("cannot read {}: {error}", from.display()))?;
    if fs::read(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(options).arg("--requirement").arg(&from);
    run(pip.stdin(Stdio::null()))?;
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}
