//! Shows a config: every value with its origin.

use super::options::{OptionSpec, families, options};
use super::source::Origin;
use super::value::Value;
use super::Config;
use serde::Serialize;
use std::fmt::Write;

/// One option as `arignote config` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The full name, such as `rewrite.exclude`.
    pub key: String,
    /// The value; `None` if the option is unset and has no default.
    pub value: Option<Value>,
    /// Who set it.
    pub origin: Origin,
    /// What the option is for.
    pub doc: String,
}

impl Config {
    /// Every option with its value and origin: first the core's, in their order, then the plugins'
    /// pins and the backends' options that somebody set.
    ///
    /// ```
    /// use arignote_core::config::Config;
    /// let rows = Config::default().rows();
    /// assert_eq!((rows[0].key.as_str(), rows[0].origin.to_string()), ("device", "default".into()));
    /// ```
    pub fn rows(&self) -> Vec<Row> {
        let row = |key: &str, doc: &str| Row {
            key: key.to_owned(),
            value: self.get(key),
            origin: self.origin(key).cloned().unwrap_or(Origin::Default),
            doc: doc.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let mut rows: Vec<Row> = options().iter().map(|option| row(&option.name, &option.doc)).collect();
        for key in self.settings.keys() {
            let named = |family: &&OptionSpec| {
                let section = family.name.split(".NAME").next().unwrap_or_default();
                key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
            };
            if let Some(family) = families().iter().find(named) {
                rows.push(row(key, &family.doc));
            }
        }
        rows
    }

    /// The whole config as a TOML file that sets the same values, each with its origin in a comment.
    ///
    /// ```
    /// use arignote_core::config::Config;
    /// let text = Config::default().with("device", "cpu")?.to_toml();
    /// assert!(text.starts_with("device = \"cpu\"  # code\n"), "{text}");
    /// # Ok::<(), arignote_core::config::ConfigError>(())
    /// ```
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = String::new();
        let mut rows: Vec<(Vec<String>, String, Row)> =
            self.rows().into_iter().map(|row| { let (s, n) = split(&row.key); (s, n, row) }).collect();
        // A section may be opened only once; sorting is stable, so options keep their order.
        rows.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (path, name, row) in rows {
            let header = path.iter().map(|part| bare(part)).collect::<Vec<_>>().join(".");
            // Writing to a string cannot fail.
            if header != section {
                let _ = writeln!(text, "\n[{header}]");
                section = header;
            }
            let name = bare(&name);
            let _ = match row.value {
                Some(value) => writeln!(text, "{name} = {value}  # {}", one_line(&row.origin)),
                None => writeln!(text, "# {name} is unset  # {}", one_line(&row.origin)),
            };
        }
        text
    }

    /// The rows as JSON, for other programs.
    ///
    /// ```
    /// use arignote_core::config::Config;
    /// let json = Config::default().to_json();
    /// assert_eq!(json[0]["key"], "device");
    /// assert_eq!(json[0]["origin"], "default");
    /// ```
    pub fn to_json(&self) -> serde_json::Value {
        // Rows hold nothing that JSON cannot say.
        serde_json::to_value(self.rows()).unwrap_or_default()
    }
}

/// Splits a full name into its section and the name within it.
fn split(key: &str) -> (Vec<String>, String) {
    let parts: Vec<&str> = key.split('.').collect();
    let depth = match parts.as_slice() {
        ["backend", _, ..] | ["plugins", "sha256", ..] => 2,
        [_] => 0,
        _ => 1,
    };
    (parts[..depth].iter().map(|part| (*part).to_owned()).collect(), parts[depth..].join("."))
}

/// A key as TOML writes it, in quotes if it must be.
fn bare(key: &str) -> String {
    toml_edit::Key::new(key).to_string()
}

/// A path may hold a line break, which would end the comment.
fn one_line(origin: &Origin) -> String {
    origin.to_string().replace(char::is_control, "?")
}
