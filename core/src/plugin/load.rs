//! The host's side: finding plugins, checking them, starting them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arignote_abi::{self as abi, LayoutError, OpenError, PluginRootRef, Stamp};

use super::adapt::{self, Contents};
use super::convert::outcome;
use super::elf::{self, Inspected};
use super::faults::*;
use super::sidecar::Sidecar;
use super::traits::*;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::rewrite::Pass;

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Linked into the program.
    Linked,
    /// Loaded from this file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Linked => f.write_str("built in"),
            Origin::File(path) => path.display().fmt(f),
        }
    }
}

/// A plugin that was checked and started, and everything that it brings.
#[derive(Clone)]
pub struct LoadedPlugin {
    /// Who it is.
    pub info: PluginInfo,
    /// Where it came from.
    pub origin: Origin,
    /// Major and minor version of the interface that it was built with.
    pub interface: (u32, u32),
    /// The compiler that built it.
    pub compiler: String,
    /// Its backends.
    pub backends: Vec<Arc<dyn Backend>>,
    /// Its ops.
    pub ops: Vec<PluginOp>,
    /// Its rewrite rules.
    pub rules: Vec<RuleText>,
    /// Its rewrites of whole graphs.
    pub passes: Vec<Arc<dyn Pass>>,
}

impl LoadedPlugin {
    /// An error about something that the plugin brings, as one that names the plugin.
    pub fn blame(&self, error: &Error) -> Error {
        failed_to_start(&self.origin, error)
    }
}

impl fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} {} ({})", self.info.name, self.info.version, self.origin)
    }
}

/// A library that may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The name to ask for it by: the side-car's `id`, or the file's name without `lib`,
    /// `arignote_`, `backend_`, `plugin_` and the ending, with `-` for `_`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// Finds and loads plugins.
///
/// A load is a transaction: it returns a whole [`LoadedPlugin`] or an error, and registers nothing
/// anywhere. A library that was loaded is never unloaded.
pub struct Loader {
    host: Arc<dyn Host>,
    folders: Vec<PathBuf>,
    pins: BTreeMap<String, String>,
}

impl Loader {
    /// A loader that looks nowhere yet and gives plugins these services.
    pub fn new(host: Arc<dyn Host>) -> Loader {
        Loader { host, folders: Vec::new(), pins: BTreeMap::new() }
    }

    /// Looks in these folders too, after those it has. One that does not exist holds nothing.
    pub fn folders(mut self, folders: impl IntoIterator<Item = PathBuf>) -> Loader {
        self.folders.extend(folders);
        self
    }

    /// Accepts the plugin of this name only from a file with this sha256, in hexadecimal.
    pub fn pin(mut self, name: &str, sha256: &str) -> Loader {
        self.pins.insert(name.replace('_', "-"), sha256.to_ascii_lowercase());
        self
    }

    /// Starts a plugin that is linked into the program; `root` is its `arignote_plugin()`.
    ///
    /// # Errors
    ///
    /// If the plugin's own code fails.
    pub fn link(&self, root: PluginRootRef) -> Result<LoadedPlugin> {
        self.start(root, Origin::Linked, &Stamp::CURRENT)
    }

    /// The plugins in the folders, without running any of their code. Of several of one name the
    /// first wins.
    pub fn find(&self) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for path in self.folders.iter().flat_map(|folder| libraries(folder)) {
            // One that is a plugin but does not fit is found too, for its error to be told.
            let plugin = !matches!(
                elf::inspect(&path),
                Err(_) | Ok(Inspected::NoPlugin | Inspected::NotALibrary(_) | Inspected::Unknown)
            );
            let sidecar = Sidecar::beside(&path);
            if !plugin && !matches!(sidecar, Ok(Some(_))) {
                continue;
            }
            let name = sidecar.ok().flatten().and_then(|sidecar| sidecar.id);
            let name = name.unwrap_or_else(|| name_of(&path));
            if found.iter().all(|other| !same_name(&other.name, &name)) {
                found.push(Candidate { name, path });
            }
        }
        found
    }

    /// Loads a plugin by its name, or by its path if that has a separator in it.
    ///
    /// # Errors
    ///
    /// If there is none of this name, or it cannot be loaded.
    pub fn load(&self, name: &str) -> Result<LoadedPlugin> {
        if name.contains(std::path::MAIN_SEPARATOR) {
            return self.load_file(Path::new(name));
        }
        let found = self.find();
        if let Some(candidate) = found.iter().find(|candidate| same_name(&candidate.name, name)) {
            return self.load_file(&candidate.path);
        }
        let mut error = Error::new(ErrorKind::Plugin, format!("there is no plugin `{name}`"));
        if let Some(near) = nearest(name, found.iter().map(|candidate| candidate.name.as_str())) {
            error = error.note(format!("did you mean `{near}`?"));
        }
        let folders: Vec<_> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        let folders = if folders.is_empty() { "nowhere".to_owned() } else { folders.join(", ") };
        Err(error
            .note(format!("looked in: {folders}"))
            .note("add its folder to `path` of `[plugins]`, or to ARIGNOTE_PLUGIN_PATH"))
    }

    /// Loads every plugin in the folders; one that fails does not hinder the others.
    pub fn load_all(&self) -> Vec<(Candidate, Result<LoadedPlugin>)> {
        let found = self.find().into_iter();
        found.map(|candidate| (candidate.clone(), self.load_file(&candidate.path))).collect()
    }

    /// Loads a plugin from a file.
    ///
    /// # Errors
    ///
    /// If the file is missing, no plugin, cut short, for another processor, built for an interface
    /// that this host does not speak, not the pinned one, or if the plugin's own code fails. The
    /// error names the file, what was expected, what was found and what to do.
    pub fn load_file(&self, path: &Path) -> Result<LoadedPlugin> {
        // The path that the dynamic linker gets must not be a bare name, which it would search for.
        let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
        let path = path.as_path();
        let seen = elf::inspect(path).map_err(|error| unreadable(path, &error))?;
        judge(path, &seen)?;
        let sidecar = Sidecar::beside(path)?.unwrap_or_default();
        if let Some(wanted) = &sidecar.abi {
            check_abi(path, wanted)?;
        }
        let name = sidecar.id.clone().unwrap_or_else(|| name_of(path));
        for (pin, wanted) in [(self.pinned(&name), "the config"), (sidecar.sha256.as_ref(), "its side-car")] {
            if let Some(pin) = pin {
                check_sha256(path, pin, wanted)?;
            }
        }
        // SAFETY: someone asked for this very file to be loaded as a plugin, and as far as its bytes
        // tell it is one.
        let (stamp, header) = unsafe { abi::open_library(path) }.map_err(|error| match error {
            OpenError::Library(words) => not_linked(path, &words),
            OpenError::NoStamp => no_plugin(path, "a library without a plugin's stamp"),
            OpenError::Version(stamp) => other_version(path, &stamp),
            OpenError::Header(words) => damaged(path, &words),
        })?;
        let root = abi::check_layout(header).map_err(|error| match error {
            LayoutError::Unchecked => damaged(path, "its header tells no layout"),
            LayoutError::Incompatible(words) => other_layout(path, &stamp, &words),
            LayoutError::Constructor(words) => damaged(path, &words),
        })?;
        let loaded = self.start(root, Origin::File(path.to_owned()), &stamp)?;
        if let Some(pin) = self.pinned(&loaded.info.name).filter(|_| !same_name(&loaded.info.name, &name)) {
            check_sha256(path, pin, "the config")?;
        }
        Ok(loaded)
    }

    fn pinned(&self, name: &str) -> Option<&String> {
        self.pins.get(&name.replace('_', "-"))
    }

    fn start(&self, root: PluginRootRef, origin: Origin, stamp: &Stamp) -> Result<LoadedPlugin> {
        let failed = |error: Error| failed_to_start(&origin, &error);
        let plugin = outcome(root.open()()).map_err(failed)?;
        let contents = adapt::contents(&plugin, self.host.clone()).map_err(failed)?;
        check_names(&contents).map_err(failed)?;
        // Its parts may lean on it, and it is as immortal as its library.
        std::mem::forget(plugin);
        let Contents { info, backends, ops, rules, passes } = contents;
        let interface = (stamp.major, stamp.minor);
        Ok(LoadedPlugin { info, origin, interface, compiler: stamp.compiler(), backends, ops, rules, passes })
    }
}

/// The folders in which plugins are looked for, in this order: those of the config, of
/// `ARIGNOTE_PLUGIN_PATH`, the user's data folder, and the folder of the executable, unless that is one
/// that Cargo builds in: what lies there is not installed, and may be left from another build.
pub fn standard_folders(config: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = config.to_vec();
    if let Some(paths) = std::env::var_os("ARIGNOTE_PLUGIN_PATH") {
        folders.extend(std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()));
    }
    let data = std::env::var_os("XDG_DATA_HOME").filter(|data| !data.is_empty()).map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share"));
    folders.extend(data.or_else(home).map(|data| data.join("arignote/plugins")));
    let executable = std::env::current_exe().ok();
    let builds = |folder: &Path| folder.ancestors().take(2).any(|folder| folder.join(".cargo-lock").exists());
    folders.extend(executable.and_then(|file| Some(file.parent()?.to_owned())).filter(|folder| !builds(folder)));
    folders
}

/// The libraries in a folder, and in those of its folders that have a side-car, sorted.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let is_library = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == std::env::consts::DLL_EXTENSION) && path.is_file()
    };
    let mut found = Vec::new();
    for path in list(folder) {
        if is_library(&path) {
            found.push(path);
        } else if path.join("plugin.toml").is_file() {
            found.extend(list(&path).into_iter().filter(is_library));
        }
    }
    found
}

/// Whether two names mean the same plugin: `-` and `_` are one.
pub fn same_name(one: &str, other: &str) -> bool {
    one.replace('_', "-") == other.replace('_', "-")
}

/// The name of a plugin without a side-car, from its file's name.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut name: &str = &stem;
    for prefix in [std::env::consts::DLL_PREFIX, "arignote_", "backend_", "plugin_"] {
        name = name.strip_prefix(prefix).filter(|rest| !rest.is_empty()).unwrap_or(name);
    }
    name.replace('_', "-")
}

/// Fails for what is certainly no plugin for this host.
fn judge(path: &Path, seen: &Inspected) -> Result<()> {
    match seen {
        Inspected::Plugin(stamp) if stamp.major != abi::MAJOR => Err(other_version(path, stamp)),
        Inspected::Plugin(stamp) if stamp.flags & abi::FLAG_UNWIND == 0 => Err(aborting(path)),
        Inspected::Plugin(_) | Inspected::Unknown => Ok(()),
        Inspected::NoPlugin => Err(no_plugin(path, "a library without a plugin's stamp")),
        Inspected::NotALibrary(found) => Err(no_plugin(path, found)),
        Inspected::OtherMachine(found) => Err(other_machine(path, found)),
        Inspected::Truncated { needed, found } => Err(truncated(path, *needed, *found)),
    }
}

/// Fails if the names that a plugin gives cannot be used.
fn check_names(contents: &Contents) -> Result<()> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Plugin, message));
    let is_word = |word: &str| {
        let start = word.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
        start && word.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    if contents.info.name.trim().is_empty() {
        return refuse("it gives no name".into());
    }
    for (i, op) in contents.ops.iter().enumerate() {
        let parts = op.name.split_once("::");
        if !parts.is_some_and(|(plugin, op)| is_word(plugin) && is_word(op)) {
            return refuse(format!("its op is called `{}`; expected `plugin::op`", op.name));
        }
        if contents.ops[..i].iter().any(|other| other.name == op.name) {
            return refuse(format!("it gives the op `{}` twice", op.name));
        }
    }
    for (i, backend) in contents.backends.iter().enumerate() {
        if !is_word(backend.name()) || backend.name().ends_with(|letter: char| letter.is_ascii_digit()) {
            let message = "expected a word that does not end in a digit";
            return refuse(format!("its backend is called `{}`; {message}", backend.name()));
        }
        if contents.backends[..i].iter().any(|other| other.name() == backend.name()) {
            return refuse(format!("it gives the backend `{}` twice", backend.name()));
        }
    }
    Ok(())
}
