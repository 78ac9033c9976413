//! The side-car: what a file beside a library tells of it, readable without running its code.

use std::path::Path;

use serde::Deserialize;

use super::faults::{fault, unreadable};
use crate::error::Result;

/// `plugin.toml` beside a library, or `libNAME.toml` for `libNAME.so`.
///
/// Where several libraries lie beside one `plugin.toml`, it speaks of the one that its `library`
/// names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sidecar {
    /// The name to ask for the plugin by.
    pub(super) id: Option<String>,
    /// The interface that it was built with: `1.0`.
    pub(super) abi: Option<String>,
    /// The library's sha256, in hexadecimal.
    pub(super) sha256: Option<String>,
    /// The library's file name.
    pub(super) library: Option<String>,
}

impl Sidecar {
    /// The side-car of a library, if it has one.
    ///
    /// # Errors
    ///
    /// If it has one that cannot be read.
    pub(super) fn beside(library: &Path) -> Result<Option<Sidecar>> {
        let own = library.with_extension("toml");
        let (path, common) = match own.is_file() {
            true => (own, false),
            false => (library.with_file_name("plugin.toml"), true),
        };
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let sidecar: Sidecar = toml::from_str(&text).map_err(|error| {
            fault(
                &path,
                "it is the side-car of a plugin, but does not hold",
                "the keys `id`, `abi`, `sha256` and `library`, all strings",
                error.to_string().trim(),
                "correct the file, or remove it",
            )
        })?;
        let speaks = match &sidecar.library {
            Some(name) => library.file_name().is_some_and(|file| file == name.as_str()),
            None => !common || is_alone(library),
        };
        Ok(speaks.then_some(sidecar))
    }
}

fn is_alone(library: &Path) -> bool {
    let entries = library.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let libraries = entries.into_iter().flatten().flatten();
    let is_library = |path: &Path| path.extension() == library.extension();
    libraries.filter(|entry| is_library(&entry.path())).count() == 1
}
