//! Builds the backends and the example plugins as libraries of their own.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Outcome, cargo, root, run};

const BACKENDS: [&str; 3] = ["arignote-plugin-reference", "arignote-plugin-cpu", "arignote-backend-cuda"];

/// Where the libraries end up.
pub fn folder() -> PathBuf {
    root().join("target/plugins")
}

/// How optimized the libraries are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As tests are built.
    Dev,
    /// As users run them.
    Release,
}

/// Builds every plugin, and copies the libraries to [`folder`]; also the command and the demo, which use
/// them: Cargo chooses the features of dependencies for all packages of one build together, and would
/// compile the dependencies of another choice again. Returns the folder of the executables.
pub fn build(profile: Profile) -> Outcome<PathBuf> {
    let packages: Vec<String> = BACKENDS.map(str::to_owned).into_iter().chain(examples()?).collect();
    let mut command = cargo(["build", "--package", "arignote", "--lib", "--bins", "--example", "demo"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    for package in &packages {
        command.args(["--package", package]);
    }
    run(&mut command)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let built = target.join(if profile == Profile::Release { "release" } else { "debug" });
    let folder = folder();
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    for package in &packages {
        let name = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", package.replace('-', "_"));
        replace(&built.join(&name), &folder.join(&name))?;
    }
    Ok(built)
}

/// The packages in `plugins/`.
fn examples() -> Outcome<Vec<String>> {
    let plugins = root().join("plugins");
    let entries = fs::read_dir(&plugins).map_err(|error| format!("cannot read {}: {error}", plugins.display()))?;
    let mut manifests: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join("Cargo.toml")).collect();
    manifests.sort();
    manifests.iter().filter(|manifest| manifest.is_file()).map(|manifest| package_name(manifest)).collect()
}

fn package_name(manifest: &Path) -> Outcome<String> {
    let text = fs::read_to_string(manifest).map_err(|error| format!("cannot read {}: {error}", manifest.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.map(str::to_owned).ok_or_else(|| format!("{} has no `name`", manifest.display()))
}

/// Puts a copy at `to`, whole or not at all: a program may be running with the file that is there.
fn replace(from: &Path, to: &Path) -> Outcome {
    let fail = |error: std::io::Error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    let new = fs::read(from).map_err(fail)?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let partial = to.with_extension("partial");
    fs::write(&partial, &new).and_then(|()| fs::rename(&partial, to)).map_err(fail)
}
