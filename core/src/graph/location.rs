//! A place in the user's code.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// File, line and column (from 1) of the code that built a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Path as the user wrote it; empty where the place is not known.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 where it is not known.
    pub column: u32,
    /// The op that stood there, where the node is a part of what it was replaced by.
    pub part_of: Option<Arc<str>>,
}

thread_local! {
    static STAND_IN: RefCell<Option<Location>> = const { RefCell::new(None) };
}

impl Location {
    /// A place in a file.
    pub fn new(file: Arc<str>, line: u32, column: u32) -> Location {
        Location { file, line, column, part_of: None }
    }

    /// The same place for the parts of an op that stands there. Of an op that is itself a part, the whole stays.
    pub(crate) fn inside(&self, op: &str) -> Location {
        let part_of = self.part_of.clone().or_else(|| Some(op.into()));
        Location { part_of, ..self.clone() }
    }

    /// No place.
    pub fn unknown() -> Location {
        Location::new("".into(), 0, 0)
    }

    /// The place that called the function whose `#[track_caller]` chain ends here; inside
    /// [`Location::stand_in`], the place that stands in.
    #[track_caller]
    pub fn caller() -> Location {
        if let Some(location) = STAND_IN.with_borrow(Option::clone) {
            return location;
        }
        let caller = std::panic::Location::caller();
        thread_local! {
            static LAST: RefCell<(&'static str, Arc<str>)> = RefCell::new(("", "".into()));
        }
        let file = LAST.with_borrow_mut(|last| {
            if last.0 != caller.file() {
                *last = (caller.file(), caller.file().into());
            }
            last.1.clone()
        });
        Location::new(file, caller.line(), caller.column())
    }

    /// Runs `build`, in which every [`Location::caller`] is this place: what the compiler builds for a
    /// node, such as its gradient, belongs to the line of the node.
    pub fn stand_in<T>(&self, build: impl FnOnce() -> T) -> T {
        struct Restore(Option<Location>);
        impl Drop for Restore {
            fn drop(&mut self) {
                STAND_IN.set(self.0.take());
            }
        }
        let _restore = Restore(STAND_IN.replace(Some(self.clone())));
        build()
    }

    /// Whether there is a place.
    pub fn is_known(&self) -> bool {
        !self.file.is_empty()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if self.column > 0 { write!(f, ":{}", self.column) } else { Ok(()) }
    }
}
