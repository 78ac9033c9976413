//! Records the compiler and the target, for the stamp that every plugin carries.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|out| String::from_utf8(out.stdout).ok())
        .unwrap_or_else(|| "unknown compiler".into());
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown target".into());
    println!("cargo::rustc-env=ARIGNOTE_ABI_COMPILER={}", version.trim());
    println!("cargo::rustc-env=ARIGNOTE_ABI_TARGET={}", target.trim());
}
