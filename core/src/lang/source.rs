//! Source text, places in it, and errors that show them.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::graph::Location;

/// A half-open range of bytes in one [`Source`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A named piece of source text. Cheap to clone.
#[derive(Clone)]
pub struct Source(Arc<Inner>);

struct Inner {
    name: String,
    text: String,
    /// Byte offset at which each line starts.
    lines: Vec<u32>,
}

impl Source {
    /// Wraps `text`; `name` is what errors call the file.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| (i + 1) as u32));
        Self(Arc::new(Inner { name: name.into(), text, lines }))
    }

    /// The name that errors show.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The text of a span; empty if the span is not one of this source.
    pub fn slice(&self, span: Span) -> &str {
        self.0.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub fn position(&self, byte: u32) -> (u32, u32) {
        let line = self.0.lines.partition_point(|&start| start <= byte).max(1) - 1;
        let before = self.0.text.get(self.0.lines[line] as usize..byte as usize).unwrap_or("");
        (line as u32 + 1, before.chars().count() as u32 + 1)
    }

    /// The text of a line, counted from 1, without its line end.
    pub fn line(&self, line: u32) -> &str {
        let index = (line.max(1) - 1) as usize;
        let start = self.0.lines.get(index).map_or(self.0.text.len(), |&s| s as usize);
        let end = self.0.lines.get(index + 1).map_or(self.0.text.len(), |&s| s as usize);
        self.0.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// An error at `span`.
    pub fn error(&self, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
        let (line, column) = self.position(span.start);
        Box::new(Diagnostic {
            file: self.name().to_string(),
            line,
            column,
            message: message.into(),
            excerpt: self.line(line).to_string(),
            width: self.slice(span).lines().next().unwrap_or("").chars().count().max(1) as u32,
            help: None,
        })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.name(), self.text().len())
    }
}

/// An error in a text, with the place where it is.
///
/// `Display` shows `file:line:column`, the line itself with carets under the culprit, and help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong and what was expected.
    pub message: String,
    /// The text of the line.
    pub excerpt: String,
    /// How many characters the carets underline.
    pub width: u32,
    /// How to put it right, where that is known: often the nearest valid name.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The same error with help. An existing help stays.
    pub fn with_help(mut self: Box<Self>, help: Option<impl Into<String>>) -> Box<Self> {
        self.help = self.help.or(help.map(Into::into));
        self
    }
}

impl Diagnostic {
    /// The line, and below it carets under the culprit.
    pub fn pointer(&self) -> String {
        // Machine-written lines can be megabytes long: show a window around the column.
        const WINDOW: usize = 120;
        let column = (self.column as usize).saturating_sub(1);
        let skip = if column > WINDOW - 20 { column - WINDOW / 2 } else { 0 };
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = self.excerpt.chars().skip(skip).take(WINDOW).map(visible).collect();
        let number = self.line.to_string();
        let pad = " ".repeat(number.len());
        let carets = (self.width as usize).min(shown.chars().count().saturating_sub(column - skip)).max(1);
        let (before, carets) = (" ".repeat(column - skip), "^".repeat(carets));
        format!("{pad} |\n{number} | {}\n{pad} | {before}{carets}", shown.trim_end())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.message)?;
        writeln!(f, " --> {}:{}:{}", self.file, self.line, self.column)?;
        f.write_str(&self.pointer())?;
        if let Some(help) = &self.help {
            write!(f, "\n = {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

impl From<Box<Diagnostic>> for Error {
    /// The excerpt and the help become notes.
    fn from(diagnostic: Box<Diagnostic>) -> Error {
        let location =
            Location::new(diagnostic.file.as_str().into(), diagnostic.line, diagnostic.column);
        let error = Error::new(ErrorKind::Syntax, &diagnostic.message).at(&location).note(diagnostic.pointer());
        match diagnostic.help {
            Some(help) => error.note(help),
            None => error,
        }
    }
}
