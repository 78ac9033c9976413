//! What a config error says: where, what was expected, what was found, and the nearest valid spelling.

use super::source::{Node, Source, SourceKind};
use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What sort of mistake a [`ConfigError`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// No option or backend of that name.
    UnknownKey,
    /// A value of another type than the option takes.
    WrongType,
    /// A value of the right type that the option does not take.
    InvalidValue,
    /// A file that is not TOML.
    Syntax,
    /// A file that cannot be read.
    Unreadable,
    /// Flags that are not `key=value,key=value`.
    MalformedFlags,
}

/// A mistake in a config file, in flags, or in a value that code gave.
///
/// Its text shows the place with a caret:
///
/// ```
/// use arignote_core::config::{Config, Sources};
/// let sources = Sources { flags: Some("device=cpu,mode=fast-rum".into()), ..Sources::default() };
/// let error = Config::load_from(&sources).unwrap_err();
/// assert_eq!(error.to_string(), r#"`mode` cannot be "fast-rum"
///   --> ARIGNOTE_FLAGS
///   | device=cpu,mode=fast-rum
///   |                 ^^^^^^^^
///   = expected "fast-run", "fast-compile", "debug", "nan-guard" or "profile"
///   = found "fast-rum"
///   = did you mean "fast-run"?"#);
/// ```
// Boxed: the happy path carries every `Result` around, the error almost never happens.
#[derive(Clone, Debug)]
pub struct ConfigError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: ConfigErrorKind,
    message: String,
    place: Option<(Arc<Source>, Range<usize>)>,
    expected: Option<String>,
    found: Option<String>,
    suggestion: Option<String>,
    note: Option<String>,
}

impl ConfigError {
    pub(super) fn new(kind: ConfigErrorKind, message: impl Into<String>) -> ConfigError {
        ConfigError(Box::new(Inner {
            kind,
            message: message.into(),
            place: None,
            expected: None,
            found: None,
            suggestion: None,
            note: None,
        }))
    }

    pub(super) fn at(mut self, source: &Arc<Source>, span: Range<usize>) -> ConfigError {
        self.0.place = Some((source.clone(), span));
        self
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> ConfigError {
        self.0.expected = Some(expected.into());
        self
    }

    pub(super) fn found(mut self, found: impl Into<String>) -> ConfigError {
        self.0.found = Some(found.into());
        self
    }

    pub(super) fn suggest(mut self, suggestion: Option<String>) -> ConfigError {
        self.0.suggestion = suggestion;
        self
    }

    pub(super) fn note(mut self, note: Option<String>) -> ConfigError {
        self.0.note = note;
        self
    }

    pub(super) fn mismatch(key: &str, source: &Arc<Source>, wrong: Mismatch) -> ConfigError {
        let (kind, message) = match wrong.is_text {
            true => (ConfigErrorKind::InvalidValue, format!("`{key}` cannot be {}", wrong.found)),
            false => (ConfigErrorKind::WrongType, format!("`{key}` has a value of the wrong type")),
        };
        ConfigError::new(kind, message)
            .at(source, wrong.span)
            .expected(wrong.expected)
            .found(wrong.found)
            .suggest(wrong.suggestion)
            .note(wrong.note)
    }

    /// What sort of mistake it is.
    pub fn kind(&self) -> ConfigErrorKind {
        self.0.kind
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The nearest valid spelling, if one is near.
    pub fn suggestion(&self) -> Option<&str> {
        self.0.suggestion.as_deref()
    }

    /// Line and column of the mistake, both counted from 1, the column in characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.place.as_ref().map(|(source, span)| source.position(span.start))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &*self.0;
        f.write_str(&error.message)?;
        if let Some((source, span)) = &error.place {
            let (line, column) = source.position(span.start);
            let number = match &source.kind {
                SourceKind::File(path) => {
                    write!(f, "\n  --> {}:{line}:{column}", path.display())?;
                    format!("{line} ")
                }
                SourceKind::Flags => f.write_str("\n  --> ARIGNOTE_FLAGS").map(|()| String::new())?,
                SourceKind::Command(option) => write!(f, "\n  --> {option}").map(|()| String::new())?,
                SourceKind::Code => f.write_str("\n  --> code").map(|()| String::new())?,
            };
            let (quoted, before, inside) = source.quote(span);
            if !source.text.is_empty() {
                // Tabs stay tabs, so that the caret stands below what it points at.
                let pad: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
                let carets = "^".repeat(inside.chars().count().max(1));
                let margin = " ".repeat(number.len());
                write!(f, "\n  {number}| {quoted}\n  {margin}| {pad}{carets}")?;
            }
        }
        for (label, text) in [("expected ", &error.expected), ("found ", &error.found), ("", &error.note)] {
            if let Some(text) = text {
                write!(f, "\n  = {label}{text}")?;
            }
        }
        match &error.suggestion {
            Some(suggestion) if suggestion.starts_with(['"', '[']) => write!(f, "\n  = did you mean {suggestion}?"),
            Some(suggestion) => write!(f, "\n  = did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl Error for ConfigError {}

/// A value that is not of the kind it should be; whoever knows the option makes the error of it.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub span: Range<usize>,
    pub expected: String,
    pub found: String,
    pub suggestion: Option<String>,
    pub note: Option<String>,
    /// Text where text is right or where anything is text, as in flags: not a matter of type.
    is_text: bool,
}

impl Mismatch {
    pub fn new(expected: String, node: &Node, suggestion: Option<String>) -> Mismatch {
        let is_number = expected.starts_with("a whole number") && matches!(node.raw, super::source::Raw::Int(_));
        let wants_text = expected.contains('"') || expected.starts_with("a SHA-256") || expected == "a path";
        let is_text = is_number || node.flag().is_some() || (wants_text && node.text().is_some());
        let found = if is_text { node.found_value() } else { node.found() };
        Mismatch { span: node.span.clone(), expected, found, suggestion, note: None, is_text }
    }
}

/// The candidate that `name` is most likely a misspelling of, if any is near enough.
///
/// Unlike [`crate::error::nearest`], it knows dotted names: an option that is named without its
/// section is found too.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing is quadratic in the length, and nothing so long is a misspelling.
    if name.len() > 200 {
        return None;
    }
    let name = name.to_lowercase();
    let distance = |candidate: &str| {
        let whole = strsim::damerau_levenshtein(&name, &candidate.to_lowercase());
        let last = candidate.rsplit('.').next().unwrap_or(candidate);
        // A missing section counts as a small mistake, so that an exact section wins.
        whole.min(strsim::damerau_levenshtein(&name, last) + usize::from(last.len() < candidate.len()))
    };
    let limit = (name.chars().count() / 3).max(1) + 1;
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(far, candidate)| *far <= limit && *far < candidate.chars().count())
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

impl From<ConfigError> for crate::Error {
    /// The place and the rest become notes.
    fn from(error: ConfigError) -> crate::Error {
        let text = error.to_string();
        let converted = crate::Error::new(crate::ErrorKind::Config, error.message());
        text.lines().skip(error.message().lines().count()).fold(converted, |converted, line| {
            converted.note(line.strip_prefix("  ").unwrap_or(line))
        })
    }
}
