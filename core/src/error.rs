//! The one error type: what went wrong, where in the user's code, and what to do about it.

use std::fmt;
use std::sync::Arc;

use crate::graph::Location;

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of mistake an [`Error`] reports. The numbers cross the plugin boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ErrorKind {
    /// Dtypes, shapes or attributes that do not fit an op, known before anything runs.
    Type = 1,
    /// Text that does not parse, or a name that does not exist.
    Syntax = 2,
    /// Shapes or values that do not fit, known only in a call.
    Runtime = 3,
    /// A gradient that does not exist.
    Gradient = 4,
    /// A configuration that does not hold.
    Config = 5,
    /// A plugin that could not be loaded or misbehaved.
    Plugin = 6,
    /// A device that is not there, or cannot do what is asked.
    Device = 7,
    /// A file that could not be read or written.
    Io = 8,
    /// Something that Arignote does not offer (yet).
    Unsupported = 9,
    /// A mistake in Arignote or in a plugin, not in the user's program.
    Internal = 10,
}

impl ErrorKind {
    /// The kind with this number, or [`ErrorKind::Internal`] for an unknown one.
    pub fn from_code(code: u32) -> ErrorKind {
        use ErrorKind::*;
        [Type, Syntax, Runtime, Gradient, Config, Plugin, Device, Io, Unsupported]
            .into_iter()
            .find(|kind| *kind as u32 == code)
            .unwrap_or(Internal)
    }
}

/// An error, cheap to clone. `Display` prints the message, then the place and the notes, one a line.
#[derive(Clone, PartialEq)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    kind: ErrorKind,
    message: String,
    location: Option<Location>,
    node: Option<usize>,
    notes: Vec<String>,
}

impl Error {
    /// An error with a message of one sentence or two: what was expected, what was found.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        let inner = Inner { kind, message: message.into(), location: None, node: None, notes: Vec::new() };
        Error { inner: Arc::new(inner) }
    }

    /// The same error, saying also where the user made the mistake. The first place told is kept.
    pub fn at(mut self, location: &Location) -> Error {
        let inner = Arc::make_mut(&mut self.inner);
        if inner.location.is_none() && location.is_known() {
            inner.location = Some(location.clone());
        }
        self
    }

    /// The same error at another place: what was told in a device's own words is retold in the user's.
    pub(crate) fn moved_to(mut self, location: &Location) -> Error {
        if location.is_known() {
            Arc::make_mut(&mut self.inner).location = Some(location.clone());
        }
        self
    }

    /// The same error, naming the statement of the program (counted from 0) that failed.
    pub fn in_node(mut self, node: usize) -> Error {
        Arc::make_mut(&mut self.inner).node.get_or_insert(node);
        self
    }

    /// The same error with one more line of help.
    pub fn note(mut self, note: impl Into<String>) -> Error {
        Arc::make_mut(&mut self.inner).notes.push(note.into());
        self
    }

    /// What kind of mistake this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The message without place and notes.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The place in the user's code, where one is known.
    pub fn location(&self) -> Option<&Location> {
        self.inner.location.as_ref()
    }

    /// The statement of a compiled program that failed, where one is known.
    pub fn node(&self) -> Option<usize> {
        self.inner.node
    }

    /// Further lines of help.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        if let Some(location) = &self.inner.location {
            write!(f, "\n  at {location}")?;
            if let Some(op) = &location.part_of {
                write!(f, ", in `{op}`")?;
            }
        }
        for note in &self.inner.notes {
            write!(f, "\n  {}", note.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.inner.kind)
    }
}

impl std::error::Error for Error {}

/// The candidate nearest to `name` in spelling, if one is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance < name.chars().count() && *distance <= 1 + name.len().max(candidate.len()) / 3
        })
        .min()
        .map(|(_, candidate)| candidate)
}
