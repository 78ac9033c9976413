//! Builds the fixture as a library, and changed copies of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

/// The libraries that this very test was linked from, newest first.
fn cores() -> (PathBuf, Vec<PathBuf>) {
    let test = std::env::current_exe().expect("the test has a path");
    let deps = test.parent().expect("it lies in a folder").to_owned();
    let files = std::fs::read_dir(&deps).expect("the folder can be read").flatten().map(|entry| entry.path());
    let is_core = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("libarignote_core-") && name.ends_with(".rlib")
    };
    let mut cores: Vec<_> = files.filter(is_core).collect();
    cores.sort_by_key(|path| std::cmp::Reverse(path.metadata().and_then(|data| data.modified()).ok()));
    (deps, cores)
}

fn rustc(source: &Path, out: &Path, more: &[&str]) -> Result<(), String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "--crate-type=cdylib", "-Cdebuginfo=0", "--cap-lints=allow", "-o"]);
    command.arg(out).arg(source).args(more);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The fixture, built once.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin_fixture/fixture.rs");
        let out = folder().join("libfixture.so");
        let (deps, cores) = cores();
        let mut failures = String::new();
        for core in cores {
            let core = format!("--extern=arignote_core={}", core.display());
            let deps = format!("-Ldependency={}", deps.display());
            match rustc(&source, &out, &["--cfg=feature=\"plugin\"", &core, &deps]) {
                Ok(()) => return out,
                Err(words) => failures += &words,
            }
        }
        panic!("the fixture does not build:\n{failures}");
    })
}

/// Another library.
pub fn other(name: &str, source: &str) -> PathBuf {
    let file = folder().join(format!("{name}.rs"));
    std::fs::write(&file, source).expect("the source can be written");
    let out = folder().join(format!("lib{name}.so"));
    rustc(&file, &out, &[]).expect("it builds");
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
