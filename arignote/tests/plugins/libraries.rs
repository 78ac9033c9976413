//! The example plugins and backends as libraries, each in a folder of its own.

use std::collections::BTreeMap;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The crates, and the names that configs load them by: all that `cargo xtask plugins` builds, so that
/// what it built before serves here.
const CRATES: [(&str, &str); 6] = [
    ("swish", "arignote-plugin-swish"),
    ("tidy-rules", "arignote-plugin-tidy-rules"),
    ("tiny-device", "arignote-plugin-tiny-device"),
    ("cpu", "arignote-plugin-cpu"),
    ("reference", "arignote-plugin-reference"),
    ("cuda", "arignote-backend-cuda"),
];

/// The workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where libraries are built: in the target folder in which this very test lies.
pub fn target() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch.parent().unwrap_or(scratch).to_owned()
}

/// Runs cargo to its end. Variables that the outer cargo set for this package are taken away.
pub fn cargo(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) {
    let mut command = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The library that cargo built from a crate.
pub fn built(package: &str) -> PathBuf {
    target().join("debug").join(format!("{DLL_PREFIX}{}{DLL_SUFFIX}", package.replace('-', "_")))
}

/// The library of a plugin, alone in its folder.
pub fn library(name: &str) -> &'static Path {
    static LIBRARIES: OnceLock<BTreeMap<&str, PathBuf>> = OnceLock::new();
    let libraries = LIBRARIES.get_or_init(|| {
        // With `arignote` beside them, the dependencies are those of the workspace's other builds.
        let mut arguments = vec!["build", "--offline", "--lib", "--package", "arignote"];
        arguments.extend(CRATES.iter().flat_map(|(_, package)| ["--package", package]));
        cargo(&arguments, &root(), &[]);
        let copied = CRATES.map(|(name, package)| (name, copy(&built(package), name, &|_| {})));
        copied.into()
    });
    &libraries[name]
}

/// A changed copy of a library in a folder called `name`.
pub fn copy(library: &Path, name: &str, change: &dyn Fn(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(library).unwrap();
    change(&mut bytes);
    let folder = crate::fixture::folder().join("libraries").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(library.file_name().unwrap());
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The folder of a plugin's library.
pub fn folder(name: &str) -> String {
    library(name).parent().unwrap().display().to_string()
}
