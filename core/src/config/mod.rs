//! The config: what a user can choose, who chose it, and what is wrong with it.
//!
//! Every option is declared once, in `options.rs`. Values come from (the first wins) code,
//! `ARIGNOTE_FLAGS`, the file in `ARIGNOTE_CONFIG`, `arignote.toml` in the working folder or the
//! nearest parent that has one, the user's config folder, and the defaults. Each option is taken
//! from the first source that sets it; a list replaces a list, it is never appended to.
//!
//! ```
//! use arignote_core::config::{Config, Sources};
//! let sources = Sources { flags: Some("device=cpu,rewrite.exclude=inplace:specialize".into()), ..Sources::default() };
//! let config = Config::load_from(&sources)?;
//! assert_eq!(config.device().to_string(), "cpu");
//! assert_eq!(config.rewrite_exclude(), ["inplace", "specialize"]);
//! assert!(config.to_toml().contains(r#"device = "cpu"  # ARIGNOTE_FLAGS"#));
//! # Ok::<(), arignote_core::config::ConfigError>(())
//! ```

mod device;
mod error;
mod load;
mod options;
mod read;
mod show;
mod source;
mod types;
mod value;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use device::DeviceName;
pub use error::{ConfigError, ConfigErrorKind};
pub use load::Sources;
pub use options::{Config, OptionSpec, options, options_table};
pub use show::Row;
pub use source::Origin;
pub use types::{Algebra, DebugCheck, Float, GuardAction, Level, Mode};
pub use value::{Kind, Value};

use error::{Mismatch, nearest};
use options::{Slot, slot};
use read::{Entry, read_flags};
use source::{Node, Source, SourceKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A value that somebody set, with the text it was read from.
#[derive(Clone, Debug)]
struct Setting {
    value: Value,
    origin: Origin,
    source: Arc<Source>,
    node: Node,
}

impl Config {
    /// Sets the option `key` from code. Relative paths are relative to the working folder.
    ///
    /// # Errors
    ///
    /// If there is no such option or the value is not of its kind.
    ///
    /// ```
    /// use arignote_core::config::Config;
    /// let config = Config::default().with("backend.cpu.threads", 2)?;
    /// let error = config.with("rewrite.exlude", ["inplace"]).unwrap_err();
    /// assert_eq!(error.suggestion(), Some("rewrite.exclude"));
    /// # Ok::<(), arignote_core::config::ConfigError>(())
    /// ```
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Result<Config, ConfigError> {
        let value = value.into();
        let text = format!("{key} = {value}");
        let source = Source::new(SourceKind::Code, &text, &self.cwd);
        let path: Vec<&str> = key.split('.').collect();
        if !matches!(slot(&path), Slot::Option(_)) {
            return Err(read::unknown(&path, &source, 0..key.len()));
        }
        let node = Node::from_value(&value).with_span(&(key.len() + 3..text.len()));
        self.apply(&source, Entry { path: path.into_iter().map(str::to_owned).collect(), node })?;
        Ok(self)
    }

    /// Sets an option from the command line: `flag` is the option that names it, such as `--set`,
    /// and `setting` is `key=value`, with `:` between the items of a list.
    ///
    /// # Errors
    ///
    /// If `setting` has another form, there is no such option or the value is not of its kind.
    ///
    /// ```
    /// use arignote_core::config::Config;
    /// let mut config = Config::default();
    /// config.set("--set", "rewrite.exclude=inplace:specialize")?;
    /// config.set("--device", "device=cpu")?;
    /// assert_eq!(config.origin("device").unwrap().to_string(), "--device");
    /// # Ok::<(), arignote_core::config::ConfigError>(())
    /// ```
    pub fn set(&mut self, flag: &str, setting: &str) -> Result<(), ConfigError> {
        let source = Source::new(SourceKind::Command(flag.to_owned()), setting, &self.cwd);
        read_flags(&source, true)?.into_iter().try_for_each(|entry| self.apply(&source, entry))
    }

    /// The value of the option `key`; `None` if it is unset or there is no such option.
    ///
    /// ```
    /// use arignote_core::config::{Config, Value};
    /// assert_eq!(Config::default().get("mode"), Some(Value::from("fast-run")));
    /// assert_eq!(Config::default().get("plugins.load"), None);
    /// ```
    pub fn get(&self, key: &str) -> Option<Value> {
        match self.settings.get(key) {
            Some(setting) => Some(setting.value.clone()),
            None => options().iter().find(|option| option.name == key)?.default.clone(),
        }
    }

    /// Who set the option `key`; `None` if there is no such option, or nobody set it and it is one
    /// of those that only exist if set (`backend.NAME.OPTION`).
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        match self.settings.get(key) {
            Some(setting) => Some(&setting.origin),
            None => options().iter().any(|option| option.name == key).then_some(&Origin::Default),
        }
    }

    /// The SHA-256 that the config pins the plugin `name` to, in lower case.
    pub fn plugin_pins(&self) -> impl Iterator<Item = (&str, &str)> {
        let pins = self.settings.iter();
        pins.filter_map(|(key, set)| Some((key.strip_prefix("plugins.sha256.")?, set.value.as_text()?)))
    }

    /// The backends that the config has options for.
    pub fn configured_backends(&self) -> BTreeSet<&str> {
        let options = self.settings.keys().filter_map(|key| key.strip_prefix("backend."));
        options.filter_map(|option| option.split('.').next()).collect()
    }

    /// The options of a backend, checked against what it declares; what is not set has its default.
    ///
    /// # Errors
    ///
    /// If the config sets an option that the backend does not declare, or to a value of another kind.
    ///
    /// ```
    /// use arignote_core::config::{Config, Kind, OptionSpec, Value};
    /// let declared = [OptionSpec::new("threads", Kind::Int { min: 1, max: 64 }, Some(1.into()), "How many threads.")];
    /// let config = Config::default().with("backend.cpu.threads", 2)?;
    /// assert_eq!(config.backend_options("cpu", &declared)?["threads"], Value::Int(2));
    /// let error = config.with("backend.cpu.thraeds", 2)?.backend_options("cpu", &declared).unwrap_err();
    /// assert_eq!(error.suggestion(), Some("threads"));
    /// # Ok::<(), arignote_core::config::ConfigError>(())
    /// ```
    pub fn backend_options(
        &self,
        backend: &str,
        declared: &[OptionSpec],
    ) -> Result<BTreeMap<String, Value>, ConfigError> {
        let default = |option: &OptionSpec| Some((option.name.clone(), option.default.clone()?));
        let mut values: BTreeMap<String, Value> = declared.iter().filter_map(default).collect();
        let prefix = format!("backend.{backend}.");
        for (key, setting) in &self.settings {
            let Some(name) = key.strip_prefix(&prefix) else { continue };
            let Some(option) = declared.iter().find(|option| option.name == name) else {
                let names: Vec<&str> = declared.iter().map(|option| option.name.as_str()).collect();
                let expected = match names.as_slice() {
                    [] => "no options at all".to_owned(),
                    names => format!("one of `{}`", names.join("`, `")),
                };
                let message = format!("the backend `{backend}` has no option `{name}`");
                return Err(ConfigError::new(ConfigErrorKind::UnknownKey, message)
                    .at(&setting.source, setting.node.span.clone())
                    .expected(expected)
                    .suggest(nearest(name, names).map(str::to_owned)));
            };
            // Read again, not converted from the guess: a flag's `2` may be text for this option.
            let value = option.kind.convert(&setting.node, &setting.source.base);
            let value = value.map_err(|wrong| ConfigError::mismatch(key, &setting.source, wrong))?;
            values.insert(name.to_owned(), value);
        }
        Ok(values)
    }

    /// An error about the value of `key`, at the place that set it, for what only a later stage can
    /// tell: a device that is not there, a plugin that was not found. The nearest of `candidates`
    /// is suggested.
    ///
    /// ```
    /// use arignote_core::config::Config;
    /// let config = Config::default().with("device", "cdua0")?;
    /// let error = config.error_at("device", "there is no device `cdua0`", &["cpu", "cuda0"]);
    /// assert_eq!(error.suggestion(), Some("cuda0"));
    /// # Ok::<(), arignote_core::config::ConfigError>(())
    /// ```
    pub fn error_at(&self, key: &str, message: &str, candidates: &[&str]) -> ConfigError {
        let mut error = ConfigError::new(ConfigErrorKind::InvalidValue, message);
        if !candidates.is_empty() {
            error = error.expected(format!("one of {}", candidates.join(", ")));
        }
        if let Some(value) = self.get(key) {
            let near = |text| nearest(text, candidates.iter().copied());
            error = error.suggest(value.as_text().and_then(near).map(str::to_owned));
        }
        match self.settings.get(key) {
            Some(setting) => error.at(&setting.source, setting.node.span.clone()),
            None => error.note(Some(format!("`{key}` has its default, which nothing changes"))),
        }
    }

    /// Checks a value and takes it over; whoever applies later wins.
    fn apply(&mut self, source: &Arc<Source>, Entry { path, node }: Entry) -> Result<(), ConfigError> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let key = path.join(".");
        let Slot::Option(option) = slot(&parts) else {
            return Err(read::unknown(&parts, source, node.span));
        };
        let wrong = |wrong| ConfigError::mismatch(&key, source, wrong);
        let value = option.kind.convert(&node, &source.base).map_err(wrong)?;
        if !self.store(&key, &value) {
            return Err(wrong(Mismatch::new(option.kind.describe(), &node, None)));
        }
        let origin = source.origin(node.span.start);
        self.settings.insert(key, Setting { value, origin, source: source.clone(), node });
        Ok(())
    }

    /// Records that code set `key` through its typed method; `None` unsets it.
    fn note_code(&mut self, key: &str, value: Option<Value>) {
        let Some(value) = value else {
            self.settings.remove(key);
            return;
        };
        let text = format!("{key} = {value}");
        let node = Node::from_value(&value).with_span(&(key.len() + 3..text.len()));
        let source = Source::new(SourceKind::Code, &text, &self.cwd);
        self.settings.insert(key.to_owned(), Setting { value, origin: Origin::Code, source, node });
    }
}
