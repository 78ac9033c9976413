//! Plugins and hosts whose interfaces are of different versions.

#![allow(missing_docs, dead_code)]

#[path = "plugin_fixture/build.rs"]
mod build;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arignote_core::plugin::{Host, HostKernel, LogLevel, Loader};

struct Quiet;

impl Host for Quiet {
    fn log(&self, _: LogLevel, _: &str) {}
    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(body);
    }
    fn threads(&self) -> usize {
        1
    }
    fn kernel(&self, _: &str) -> Option<Arc<dyn HostKernel>> {
        None
    }
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The interface crate with some of its text replaced, built as a library.
fn interface(name: &str, changes: &[(&str, &str, &str)]) -> PathBuf {
    let home = build::folder().join(name);
    std::fs::create_dir_all(&home).unwrap();
    for entry in std::fs::read_dir(here("../abi/src")).unwrap() {
        let path = entry.unwrap().path();
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (file, from, to) in changes {
            if path.file_name().unwrap() == *file {
                assert!(text.contains(from), "{file} has no `{from}`");
                text = text.replacen(from, to, 1);
            }
        }
        std::fs::write(home.join(path.file_name().unwrap()), text).unwrap();
    }
    let out = home.join("libarignote_abi.rlib");
    build::rustc_with(&home.join("lib.rs"), &out, "rlib", &["abi_stable", "libloading"], &[
        "--crate-name=arignote_abi",
    ]);
    out
}

fn with_interface(source: &str, interface: &Path, name: &str, kind: &str) -> PathBuf {
    let out = interface.with_file_name(name);
    let interface = format!("--extern=arignote_abi={}", interface.display());
    build::rustc_with(&here("tests/plugin_fixture").join(source), &out, kind, &[], &[&interface]);
    out
}

const ONE_MORE_METHOD: [(&str, &str, &str); 2] = [
    ("stamp.rs", "pub const MINOR: u32 = 3;", "pub const MINOR: u32 = 4;"),
    (
        "objects.rs",
        PASSES,
        "    fn passes(&self) -> Outcome<RVec<PassBox>> { Outcome::ROk(RVec::new()) }\n    \
             fn more(&self) -> Outcome<u64> { Outcome::ROk(77) }\n",
    ),
];

/// The last method of a plugin's object.
const PASSES: &str =
    "    fn passes(&self) -> Outcome<RVec<PassBox>> {\n        Outcome::ROk(RVec::new())\n    }\n";

/// The last method of a program's object.
const LAYOUT: &str = "    /// The plan of a run with arguments of these shapes, for people: where each value lies. Since 1.3.
    fn layout(&self, shapes: RVec<Dims>) -> Outcome<ROption<RString>> {
        let _ = shapes;
        Outcome::ROk(ROption::RNone)
    }\n";

#[test]
fn a_plugin_of_the_time_before_passes_loads() {
    let with_doc = format!("    /// The rewrites of whole programs that it brings. Since 1.2.\n{PASSES}");
    let abi = interface("older", &[("stamp.rs", "pub const MINOR: u32 = 3;", "pub const MINOR: u32 = 1;"), ("objects.rs", &with_doc, ""), ("objects.rs", LAYOUT, "")]);
    let path = with_interface("newer_plugin.rs", &abi, "libolder.so", "cdylib");
    let plugin = Loader::new(Arc::new(Quiet)).load_file(&path).unwrap();
    assert_eq!((plugin.interface, plugin.rules.len(), plugin.passes.len()), ((1, 1), 1, 0));
}

#[test]
fn a_plugin_of_a_newer_minor_version_loads() {
    let abi = interface("newer", &ONE_MORE_METHOD);
    let path = with_interface("newer_plugin.rs", &abi, "libnewer.so", "cdylib");
    let plugin = Loader::new(Arc::new(Quiet)).load_file(&path).unwrap();
    assert_eq!((plugin.info.name.as_str(), plugin.interface), ("newer", (1, 4)));
    assert_eq!(plugin.rules[0].file, "n.rules");
}

#[test]
fn a_plugin_of_an_older_minor_version_loads_in_a_newer_host() {
    let abi = interface("newer-host", &ONE_MORE_METHOD);
    let host = with_interface("newer_host.rs", &abi, "newer_host", "bin");
    let output = Command::new(host).arg(build::library()).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fixture of 1.3 in a host of 1.4: 77\n");
}

#[test]
fn a_plugin_of_another_layout_is_refused_on_one_screen() {
    let abi = interface("changed", &[("tensor.rs", "pub byte_offset: u64", "pub byte_offset: u32")]);
    let path = with_interface("newer_plugin.rs", &abi, "libchanged.so", "cdylib");
    let error = Loader::new(Arc::new(Quiet)).load_file(&path).unwrap_err().to_string();
    assert!(error.contains("its interface has another layout"), "{error}");
    assert!(error.contains("rebuild the plugin") && error.contains("libchanged.so"), "{error}");
    assert!(error.lines().count() <= 24 && error.len() < 2000, "{error}");
}
