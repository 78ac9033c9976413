//! The options: each is declared here, once; fields, documentation, checks and defaults follow.

use super::device::DeviceName;
use super::value::{Kind, Value};
use super::Setting;
use super::types::{Algebra, DebugCheck, Float, GuardAction, Level, Mode, OptionType};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

/// What an option is called, what it takes, what it is when nobody sets it, and what it is for.
///
/// The core's own options are [`options()`]; a backend declares its options in the same form, and
/// [`Config::backend_options`] checks what the config says against them.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionSpec {
    /// The name: with its section for the core's options, such as `rewrite.exclude`.
    pub name: String,
    /// What values it takes.
    pub kind: Kind,
    /// The value if nobody sets it; `None` means that unset has a meaning of its own, told by `doc`.
    pub default: Option<Value>,
    /// What it is for.
    pub doc: String,
}

impl OptionSpec {
    /// Declares an option.
    pub fn new(name: &str, kind: Kind, default: Option<Value>, doc: &str) -> OptionSpec {
        OptionSpec { name: name.into(), kind, default, doc: doc.into() }
    }
}

macro_rules! declare_options {
    ($($(#[doc = $doc:literal])+ $key:literal: $ty:ty as $ret:ty = $default:expr, $field:ident, $with:ident;)+) => {
        /// What a user can choose, and who chose it.
        ///
        /// Read an option with the method named after it. Set it from code with its `with_` method
        /// or, by name, with [`Config::with`].
        ///
        /// ```
        /// use arignote_core::config::{Config, DeviceName, Mode};
        /// let config = Config::default()
        ///     .with_device(DeviceName::cuda(0))
        ///     .with("rewrite.exclude", ["inplace"])?;
        /// assert_eq!(config.device().to_string(), "cuda0");
        /// assert_eq!(config.rewrite_exclude(), ["inplace"]);
        /// assert_eq!(config.mode(), Mode::FastRun);
        /// # Ok::<(), arignote_core::config::ConfigError>(())
        /// ```
        #[derive(Clone, Debug)]
        pub struct Config {
            $($field: $ty,)+
            /// What somebody set, by full name, with the text it was read from.
            pub(super) settings: BTreeMap<String, Setting>,
            /// The working folder: what relative paths outside files are relative to.
            pub(super) cwd: PathBuf,
        }

        impl Default for Config {
            /// The defaults, whatever the environment says.
            fn default() -> Config {
                Config { $($field: $default,)+ settings: BTreeMap::new(), cwd: PathBuf::new() }
            }
        }

        impl Config {
            $(
                $(#[doc = $doc])+
                pub fn $field(&self) -> $ret {
                    self.$field.get()
                }

                #[doc = concat!("Sets `", $key, "`; see [`Config::", stringify!($field), "`].")]
                #[must_use]
                pub fn $with(mut self, value: impl Into<$ty>) -> Config {
                    self.$field = value.into();
                    self.note_code($key, self.$field.to_value());
                    self
                }
            )+

            /// Gives the field of the option `key` its value; false if the value does not fit.
            pub(super) fn store(&mut self, key: &str, value: &Value) -> bool {
                match key {
                    $($key => match OptionType::from_value(value) {
                        Some(value) => self.$field = value,
                        None => return false,
                    },)+
                    _ => {}
                }
                true
            }
        }

        static OPTIONS: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| vec![$({
            let default: $ty = $default;
            OptionSpec::new($key, <$ty as OptionType>::kind(), default.to_value(), concat!($($doc,)+).trim())
        }),+]);
    };
}

declare_options! {
    /// Where computations run. A device that is not there is an error; only `auto`, the best that
    /// is there, makes a choice, and says which.
    "device": DeviceName as &DeviceName = DeviceName::auto(), device, with_device;
    /// Where a computation runs that `device` does not support: the first of these that does.
    /// Empty: such a computation is an error when it is compiled.
    "fallback": Vec<DeviceName> as &[DeviceName] = vec![DeviceName::cpu(), DeviceName::reference()], fallback, with_fallback;
    /// The dtype of numbers that nothing else gives one.
    "float": Float as Float = Float::F64, float, with_float;
    /// What compiling aims at: speed of the result, speed of compiling, checks of every step
    /// (`debug`), an error at the first NaN or infinity (`nan-guard`), or timings (`profile`). No
    /// mode changes what a result means.
    "mode": Mode as Mode = Mode::FastRun, mode, with_mode;
    /// The seed of the keys for random numbers that a session gives (`Session::key`): same seed, same
    /// numbers, on every device.
    "seed": u32 as u32 = 0, seed, with_seed;
    /// Folders where plugins are looked for, before the usual ones.
    "plugins.path": Vec<PathBuf> as &[PathBuf] = Vec::new(), plugins_path, with_plugins_path;
    /// Names of the plugins to load; one that is missing is an error. Unset: everything found.
    "plugins.load": Option<Vec<String>> as Option<&[String]> = None, plugins_load, with_plugins_load;
    /// How much is rewritten, at most: `fast-run`, everything; `fast-compile`, which the mode of this name implies,
    /// what keeps digits, and results are written over operands; `none`, only what keeps digits. Results are the
    /// same.
    "rewrite.level": Level as Level = Level::FastRun, rewrite_level, with_rewrite_level;
    /// Names or tags of rewrites to run besides those of the level.
    "rewrite.include": Vec<String> as &[String] = Vec::new(), rewrite_include, with_rewrite_include;
    /// Names or tags of rewrites not to run.
    "rewrite.exclude": Vec<String> as &[String] = Vec::new(), rewrite_exclude, with_rewrite_exclude;
    /// Which laws rewrites may use: `ieee`, those of floating-point numbers, or `real`, also those
    /// that only real numbers obey.
    "rewrite.algebra": Algebra as Algebra = Algebra::Ieee, rewrite_algebra, with_rewrite_algebra;
    /// Files of rules to run besides the built-in ones.
    "rewrite.rules": Vec<PathBuf> as &[PathBuf] = Vec::new(), rewrite_rules, with_rewrite_rules;
    /// Whether a NaN is an error in the mode `nan-guard`.
    "nan-guard.nan": bool as bool = true, nan_guard_nan, with_nan_guard_nan;
    /// Whether an infinity is an error in the mode `nan-guard`.
    "nan-guard.infinity": bool as bool = true, nan_guard_infinity, with_nan_guard_infinity;
    /// Numbers of a larger magnitude are an error in the mode `nan-guard`. Unset: none is.
    "nan-guard.limit": Option<f64> as Option<f64> = None, nan_guard_limit, with_nan_guard_limit;
    /// What the mode `nan-guard` does: stop the call with an error, or write every finding to the log.
    "nan-guard.action": GuardAction as GuardAction = GuardAction::Error, nan_guard_action, with_nan_guard_action;
    /// What the mode `debug` checks of a call: each node against the reference backend, the rewrites by the
    /// graph without them, each place where a result may overwrite an operand, operands with odd strides, and
    /// that the same operands give the same results again.
    "debug.checks": Vec<DebugCheck> as &[DebugCheck] = DebugCheck::ALL.to_vec(), debug_checks, with_debug_checks;
    /// Whether the mode `profile` has each node computed alone, also inside loops, rather than programs as other
    /// modes run them. Devices that keep no times are always measured so.
    "profile.nodes": bool as bool = false, profile_nodes, with_profile_nodes;
}

/// The options whose names end in a name that the user gives, in capitals here.
static FAMILIES: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
    vec![
        OptionSpec::new(
            "plugins.sha256.NAME",
            Kind::Sha256,
            None,
            "The SHA-256 that the file of the plugin `NAME` must have; another file is not loaded.",
        ),
        OptionSpec::new(
            "backend.NAME.OPTION",
            Kind::Any,
            None,
            "An option of the backend `NAME`, which declares what it takes.",
        ),
    ]
});

/// Every option of the core, in the order in which they are shown.
///
/// ```
/// let names: Vec<_> = arignote_core::config::options().iter().map(|option| &option.name).collect();
/// assert_eq!(names[0], "device");
/// ```
pub fn options() -> &'static [OptionSpec] {
    &OPTIONS
}

/// See [`FAMILIES`].
pub(super) fn families() -> &'static [OptionSpec] {
    &FAMILIES
}

/// What a dotted name is the name of.
pub(super) enum Slot {
    Option(&'static OptionSpec),
    Section,
    Unknown,
}

/// Finds what `path` names. A name that users give may hold dots itself: `plugins.sha256.lib.so`.
pub(super) fn slot(path: &[&str]) -> Slot {
    if path.iter().any(|part| part.is_empty()) {
        return Slot::Unknown;
    }
    match path {
        [] | ["plugins" | "backend"] | ["plugins", "sha256"] | ["backend", _] => Slot::Section,
        [section] if sections().any(|known| known == *section) => Slot::Section,
        ["plugins", "sha256", ..] => Slot::Option(&FAMILIES[0]),
        ["backend", _, ..] => Slot::Option(&FAMILIES[1]),
        _ => {
            let name = path.join(".");
            options().iter().find(|option| option.name == name).map_or(Slot::Unknown, Slot::Option)
        }
    }
}

/// What an unknown name may have been meant for.
pub(super) fn candidates() -> impl Iterator<Item = &'static str> {
    options().iter().map(|option| option.name.as_str()).chain(["plugins.sha256", "backend"]).chain(sections())
}

/// The sections that hold options, each once.
fn sections() -> impl Iterator<Item = &'static str> {
    let section = |at: usize| options()[at].name.split_once('.').map(|(section, _)| section);
    (0..options().len()).filter(move |&at| at == 0 || section(at) != section(at - 1)).filter_map(section)
}

/// The documentation's table of options, in Markdown.
///
/// ```
/// assert!(arignote_core::config::options_table().contains("| `device` |"));
/// ```
pub fn options_table() -> String {
    let mut table = String::from("| Option | Takes | Default | Meaning |\n|---|---|---|---|\n");
    for option in options().iter().chain(FAMILIES.iter()) {
        let default = option.default.as_ref().map_or_else(|| "unset".into(), |value| format!("`{value}`"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {default} | {} |",
            option.name,
            option.kind.describe().replace('|', "\\|"),
            option.doc.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|"),
        );
    }
    table
}
