//! Builds the fixture as a library, and changed copies of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A folder for this run, in cargo's own; the last run's is gone.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        folder
    })
}

/// The folder with the libraries that this very test was linked from, and those of a name, newest
/// first.
fn built(name: &str) -> (PathBuf, Vec<PathBuf>) {
    let test = std::env::current_exe().expect("the test has a path");
    let deps = test.parent().expect("it lies in a folder").to_owned();
    let files = std::fs::read_dir(&deps).expect("the folder can be read").flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
    };
    let mut found: Vec<_> = files.filter(is_one).collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().and_then(|data| data.modified()).ok()));
    (deps, found)
}

fn rustc(source: &Path, out: &Path, kind: &str, more: &[&str]) -> Result<(), String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "-Cstrip=debuginfo", "--cap-lints=allow", "--crate-type", kind, "-o"]);
    // What cargo sets when it builds the interface crate.
    command.env("CARGO_PKG_NAME", "arignote-abi").env("CARGO_PKG_VERSION", "1.2.0");
    command.env("CARGO_PKG_VERSION_MAJOR", "1").env("CARGO_PKG_VERSION_MINOR", "2");
    command.env("CARGO_PKG_VERSION_PATCH", "0").env("CARGO_PKG_VERSION_PRE", "");
    command.env("ARIGNOTE_ABI_COMPILER", "rustc of the tests").env("ARIGNOTE_ABI_TARGET", "tests");
    command.arg(out).arg(source).args(more);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The fixture, built once.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // Tests of other crates of the workspace use this file too.
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/plugin_fixture/fixture.rs");
        let out = folder().join("libfixture.so");
        rustc_with(&source, &out, "cdylib", &["arignote_core"], &[]);
        out
    })
}

/// Builds a source with libraries that this test was linked from. Where there are several of a name
/// the newest that fits is taken.
pub fn rustc_with(source: &Path, out: &Path, kind: &str, libraries: &[&str], more: &[&str]) {
    let mut choices = vec![Vec::new()];
    for name in libraries {
        let found = built(name).1;
        let with = |choice: &Vec<String>, path: &PathBuf| {
            [choice.as_slice(), &[format!("--extern={name}={}", path.display())]].concat()
        };
        choices = choices.iter().flat_map(|choice| found.iter().map(move |path| with(choice, path))).collect();
    }
    let deps = format!("-Ldependency={}", built("").0.display());
    let mut failures = String::new();
    for choice in choices {
        let mut all: Vec<&str> = choice.iter().map(String::as_str).collect();
        all.extend(more);
        all.push(&deps);
        match rustc(source, out, kind, &all) {
            Ok(()) => return,
            Err(words) => failures += &words,
        }
    }
    panic!("{} does not build:\n{failures}", source.display());
}

/// Another library.
pub fn other(name: &str, source: &str) -> PathBuf {
    let file = folder().join(format!("{name}.rs"));
    std::fs::write(&file, source).expect("the source can be written");
    let out = folder().join(format!("lib{name}.so"));
    rustc(&file, &out, "cdylib", &[]).expect("it builds");
    out
}

/// A copy of the fixture with changed bytes, in a folder of its own.
pub fn broken(name: &str, change: &dyn Fn(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(library()).expect("the fixture can be read");
    change(&mut bytes);
    let home = folder().join(format!("in-{}", name.replace([' ', ':'], "-"))).join("here");
    std::fs::create_dir_all(&home).expect("the folder can be made");
    let path = home.join(format!("lib{}.so", name.replace([' ', ':'], "_")));
    std::fs::write(&path, bytes).expect("the copy can be written");
    path
}

/// A copy of the fixture that behaves as told.
pub fn patched(behaviour: &str) -> PathBuf {
    broken(behaviour, &|bytes| {
        let marker = b"FIXTURE-BEHAVIOUR:";
        let at = bytes.windows(marker.len()).position(|window| window == marker).expect("the marker") + marker.len();
        bytes[at..at + 24].copy_from_slice(format!("{behaviour:<24}").as_bytes());
    })
}
