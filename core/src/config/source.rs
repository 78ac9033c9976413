//! Where values come from: the texts that were read, and the values in them with their places.

use super::value::Value;
use serde::{Serialize, Serializer};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who set a value.
///
/// ```
/// use arignote_core::config::{Config, Origin};
/// let config = Config::default().with("device", "cpu").unwrap();
/// assert_eq!(config.origin("device"), Some(&Origin::Code));
/// assert_eq!(config.origin("mode").unwrap().to_string(), "default");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Nobody: it is the default.
    Default,
    /// A file, and the line in it (counted from 1).
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The environment variable `ARIGNOTE_FLAGS`.
    Flags,
    /// An option of the command line, such as `--set`.
    Command(String),
    /// The program that uses the library.
    Code,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Flags => f.write_str("ARIGNOTE_FLAGS"),
            Origin::Command(option) => f.write_str(option),
            Origin::Code => f.write_str("code"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that options were read from; errors quote it, also long after it was read.
#[derive(Debug)]
pub(super) struct Source {
    pub kind: SourceKind,
    pub text: String,
    /// What relative paths in it are relative to.
    pub base: PathBuf,
}

#[derive(Debug)]
pub(super) enum SourceKind {
    File(PathBuf),
    Flags,
    Command(String),
    Code,
}

impl Source {
    pub fn new(kind: SourceKind, text: &str, base: &Path) -> Arc<Source> {
        Arc::new(Source { kind, text: text.to_owned(), base: base.to_owned() })
    }

    pub fn origin(&self, at: usize) -> Origin {
        match &self.kind {
            SourceKind::File(path) => Origin::File { path: path.clone(), line: self.position(at).0 },
            SourceKind::Flags => Origin::Flags,
            SourceKind::Command(option) => Origin::Command(option.clone()),
            SourceKind::Code => Origin::Code,
        }
    }

    /// The largest character boundary that is at most `at`, so that no span can cut a character.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// Line and column, counted from 1, columns in characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..self.boundary(at)];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (line, before[start..].chars().count() + 1)
    }

    /// The line that `span` starts in, what of it stands before the span, and the span's part.
    pub fn quote(&self, span: &Range<usize>) -> (&str, &str, &str) {
        let start = self.boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |end| start + end);
        let end = self.boundary(span.end).clamp(start, line_end);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        (line, &self.text[line_start..start], &self.text[start..end])
    }
}

/// A value as it was read, before anybody knows which kind it should have.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub raw: Raw,
    pub span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Raw {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// A flag's text, which only the kind of the option gives a meaning; `items` is what stands
    /// between its colons. An item's own `items` is empty.
    Flag {
        whole: String,
        items: Vec<Node>,
        /// Whether it was in quotes, and so is text whatever it looks like.
        quoted: bool,
    },
    /// What no option takes, in words: `a date`, `a table`.
    Other(&'static str),
}

impl Node {
    pub fn from_value(value: &Value) -> Node {
        let raw = match value {
            Value::Bool(truth) => Raw::Bool(*truth),
            Value::Int(number) => Raw::Int(*number),
            Value::Float(number) => Raw::Float(*number),
            Value::Text(text) => Raw::Text(text.clone()),
            Value::List(items) => Raw::List(items.iter().map(Node::from_value).collect()),
        };
        Node { raw, span: 0..0 }
    }

    /// Moves the spans of the whole tree to `span`: values from code have no text of their own.
    pub fn with_span(mut self, span: &Range<usize>) -> Node {
        self.span = span.clone();
        if let Raw::List(items) = &mut self.raw {
            *items = std::mem::take(items).into_iter().map(|item| item.with_span(span)).collect();
        }
        self
    }

    /// The text of a flag.
    pub fn flag(&self) -> Option<&str> {
        match &self.raw {
            Raw::Flag { whole, .. } => Some(whole),
            _ => None,
        }
    }

    /// The text of a flag or of a quoted value.
    pub fn text(&self) -> Option<&str> {
        match &self.raw {
            Raw::Text(text) => Some(text),
            _ => self.flag(),
        }
    }

    /// The value by its looks alone; `None` for what no option takes.
    pub fn guess(&self) -> Option<Value> {
        Some(match &self.raw {
            Raw::Bool(truth) => Value::Bool(*truth),
            Raw::Int(number) => Value::Int(*number),
            Raw::Float(number) => Value::Float(*number),
            Raw::Text(text) => Value::Text(text.clone()),
            Raw::List(items) => Value::List(items.iter().map(Node::guess).collect::<Option<_>>()?),
            Raw::Flag { items, .. } if items.len() > 1 => {
                Value::List(items.iter().map(Node::guess).collect::<Option<_>>()?)
            }
            Raw::Flag { whole, quoted: true, .. } => Value::Text(whole.clone()),
            Raw::Flag { whole, .. } => match whole.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text => match (text.parse(), text.parse::<f64>()) {
                    (Ok(number), _) => Value::Int(number),
                    // `inf` and `nan` are as likely to be names.
                    (_, Ok(number)) if text.contains(|c: char| c.is_ascii_digit()) => Value::Float(number),
                    _ => Value::Text(text.to_owned()),
                },
            },
            Raw::Other(_) => return None,
        })
    }

    /// The value as an error shows it.
    pub fn found_value(&self) -> String {
        match &self.raw {
            Raw::Flag { whole, .. } => format!("{whole:?}"),
            _ => self.guess().map_or_else(String::new, |value| value.to_string()),
        }
    }

    /// What was found, in words.
    pub fn found(&self) -> String {
        let kind = match &self.raw {
            Raw::Bool(_) => "a truth value",
            Raw::Int(_) => "a whole number",
            Raw::Float(_) => "a number",
            Raw::Text(_) => "text",
            Raw::List(_) => "a list",
            Raw::Flag { .. } => return self.found_value(),
            Raw::Other(what) => return (*what).to_owned(),
        };
        match self.found_value() {
            value if value.is_empty() || value.chars().count() > 80 => kind.to_owned(),
            value => format!("{kind}, {value}"),
        }
    }
}
