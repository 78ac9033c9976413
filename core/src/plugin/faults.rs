//! What is told when a plugin does not load: file, expected, found, remedy; at most one screen.

use std::fmt;
use std::path::Path;

use arignote_abi::{self as abi, Stamp};
use sha2::Digest;

use super::elf::MACHINE;
use super::load::Origin;
use crate::error::{Error, ErrorKind, Result};

const REBUILD: &str = "rebuild the plugin against the arignote-core that this program was built with";

pub(super) fn fault(
    path: &Path, what: &str, expected: impl fmt::Display, found: impl fmt::Display, remedy: impl fmt::Display,
) -> Error {
    Error::new(ErrorKind::Plugin, format!("cannot load the plugin {}: {what}", path.display()))
        .note(format!("expected: {expected}"))
        .note(format!("found: {found}"))
        .note(format!("to fix it: {remedy}"))
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let (what, remedy) = match error.kind() {
        std::io::ErrorKind::NotFound => ("there is no such file", "check the path, or build the plugin"),
        _ => ("the file cannot be read", "check what the path names, and its permissions"),
    };
    fault(path, what, "a plugin's library", error, remedy)
}

pub(super) fn no_plugin(path: &Path, found: &str) -> Error {
    let remedy = "build the plugin with `export_plugin!` in it and the crate type `cdylib`";
    fault(path, "it is no plugin", "a library that exports a plugin's stamp", found, remedy)
}

pub(super) fn other_machine(path: &Path, found: &str) -> Error {
    let remedy = format!("build the plugin for {MACHINE}");
    fault(path, "it is for another processor", format!("{MACHINE} (64-bit)"), found, remedy)
}

pub(super) fn truncated(path: &Path, needed: u64, found: u64) -> Error {
    let (needed, found) = (format!("at least {needed} bytes"), format!("{found} bytes"));
    fault(path, "the file is cut short", needed, found, "copy or build it again")
}

pub(super) fn other_version(path: &Path, stamp: &Stamp) -> Error {
    let expected = format!("plugin interface {}.x", abi::MAJOR);
    let found = format!("plugin interface {}.{} ({})", stamp.major, stamp.minor, stamp.compiler());
    if stamp.major < abi::MAJOR {
        return fault(path, "it is too old", expected, found, REBUILD);
    }
    let remedy = "update this program, or use an older version of the plugin";
    fault(path, "it is too new", expected, found, remedy)
}

pub(super) fn other_layout(path: &Path, stamp: &Stamp, words: &str) -> Error {
    let expected = format!("the layout of plugin interface {}.{}", abi::MAJOR, abi::MINOR);
    let found = format!("interface {}.{} by {}: {words}", stamp.major, stamp.minor, stamp.compiler());
    fault(path, "its interface has another layout", expected, found, REBUILD)
}

pub(super) fn aborting(path: &Path) -> Error {
    let what = "a panic in it would end the program";
    let remedy = "build the plugin without `panic = \"abort\"` in its profile";
    fault(path, what, "a plugin built with panic = \"unwind\"", "panic = \"abort\"", remedy)
}

pub(super) fn damaged(path: &Path, words: &str) -> Error {
    fault(path, "it has a stamp but no usable header", "what `export_plugin!` writes", words, REBUILD)
}

pub(super) fn not_linked(path: &Path, words: &str) -> Error {
    let expected = "a library whose needs this machine meets";
    let remedy = "install what is missing, or build the plugin for this system";
    fault(path, "the dynamic linker refuses it", expected, words, remedy)
}

pub(super) fn failed_to_start(origin: &Origin, error: &Error) -> Error {
    let message = format!("cannot start the plugin {origin}: {}", error.message());
    let mut out = Error::new(ErrorKind::Plugin, message);
    if let Some(location) = error.location() {
        out = out.at(location);
    }
    for note in error.notes() {
        // A backtrace is worth no more than a screen.
        let lines: Vec<_> = note.lines().take(12).collect();
        out = out.note(lines.join("\n"));
    }
    out.note("nothing of it was registered").note("leave it out of `load` in `[plugins]` to go on without it")
}

pub(super) fn check_abi(path: &Path, wanted: &str) -> Result<()> {
    if wanted.split('.').next().and_then(|major| major.trim().parse().ok()) == Some(abi::MAJOR) {
        return Ok(());
    }
    let what = "its side-car names another interface";
    Err(fault(path, what, format!("plugin interface {}.x", abi::MAJOR), wanted, REBUILD))
}

pub(super) fn check_sha256(path: &Path, wanted: &str, who: &str) -> Result<()> {
    let found = sha256(path).map_err(|error| unreadable(path, &error))?;
    if found.eq_ignore_ascii_case(wanted.trim()) {
        return Ok(());
    }
    let expected = format!("sha256 {wanted}, by {who}");
    let remedy = "if you trust this file, write the sha256 found into the pin; else fetch the right file";
    Err(fault(path, "it is not the file that was pinned", expected, format!("sha256 {found}"), remedy))
}

/// The sha256 of a file, in hexadecimal.
pub(super) fn sha256(path: &Path) -> std::io::Result<String> {
    let digest = sha2::Sha256::digest(std::fs::read(path)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
