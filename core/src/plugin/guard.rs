//! The guard around every body that the other side calls: no panic crosses.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Once, OnceLock};

use arignote_abi as abi;
use arignote_abi::{RResult, RString};

use super::convert::{error_out, string};
use crate::error::{Error, Result};

/// Guards the methods of one object. The first panic in any of them poisons it for good: what the
/// panic interrupted may be half done.
pub(super) struct Guard {
    what: String,
    poison: OnceLock<String>,
}

impl Guard {
    /// `what` names the object in errors: `plugin swish`, `device cpu`.
    pub(super) fn new(what: impl Into<String>) -> Guard {
        Guard { what: what.into(), poison: OnceLock::new() }
    }

    /// Runs a body; its errors and its panic go out by value.
    pub(super) fn run<T>(&self, method: &str, body: impl FnOnce() -> Result<T>) -> abi::Outcome<T> {
        if let Some(first) = self.poison.get() {
            let message =
                format!("{}: `{method}` cannot be called any more: an earlier call panicked", self.what);
            return RResult::RErr(failure(abi::ErrorCode::POISONED, &message, &[first]));
        }
        match catch(body) {
            Ok(Ok(value)) => RResult::ROk(value),
            Ok(Err(error)) => RResult::RErr(error_out(&error)),
            Err(panic) => {
                // Two panics at once: the first one told stays.
                let _ = self.poison.set(format!("the first panic: {}", panic.line()));
                let message = format!("{}: `{method}` panicked: {}", self.what, panic.line());
                let mut error = failure(abi::ErrorCode::PANICKED, &message, &[]);
                error.notes.push(string("this is a mistake in the plugin; please report it to its author"));
                error.backtrace = panic.backtrace.map_or(RString::new(), RString::from);
                RResult::RErr(error)
            }
        }
    }

    /// Runs a body that does not fail.
    pub(super) fn value<T>(&self, method: &str, body: impl FnOnce() -> T) -> abi::Outcome<T> {
        self.run(method, || Ok(body()))
    }
}

fn failure(code: abi::ErrorCode, message: &str, notes: &[&str]) -> abi::Error {
    abi::Error {
        code,
        notes: notes.iter().map(|note| string(note)).collect(),
        ..error_out(&Error::new(crate::ErrorKind::Plugin, message))
    }
}

/// What is known of a panic.
pub(super) struct Caught {
    message: String,
    place: Option<String>,
    backtrace: Option<String>,
}

impl Caught {
    /// Message and place in one line.
    pub(super) fn line(&self) -> String {
        match &self.place {
            Some(place) => format!("{} (at {place})", self.message),
            None => self.message.clone(),
        }
    }

    /// Panics again, quietly, for the guard further out.
    pub(super) fn resume(self) -> ! {
        let message = self.line();
        std::panic::resume_unwind(Box::new(message))
    }
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static SEEN: RefCell<Option<(String, Option<String>)>> = const { RefCell::new(None) };
}

/// Runs a body and catches its panic, quietly: place and backtrace go into the result instead of
/// onto the terminal.
pub(super) fn catch<T>(body: impl FnOnce() -> T) -> Result<T, Caught> {
    static HOOK: Once = Once::new();
    if !std::thread::panicking() {
        HOOK.call_once(listen);
    }
    struct Deeper;
    impl Drop for Deeper {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    SEEN.take();
    DEPTH.set(DEPTH.get() + 1);
    let deeper = Deeper;
    let result = catch_unwind(AssertUnwindSafe(body));
    drop(deeper);
    result.map_err(|payload| {
        let seen = SEEN.take();
        let (place, backtrace) = seen.map_or((None, None), |(place, backtrace)| (Some(place), backtrace));
        Caught { message: message_of(payload), place, backtrace }
    })
}

/// Makes the panic hook of this copy of the standard library note what [`catch`] is about to catch.
fn listen() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if DEPTH.get() == 0 {
            return before(info);
        }
        let place = info.location().map_or_else(|| "unknown".to_owned(), |place| place.to_string());
        let trace = std::backtrace::Backtrace::capture();
        let trace = (trace.status() == std::backtrace::BacktraceStatus::Captured).then(|| trace.to_string());
        SEEN.set(Some((place, trace)));
    }));
}

fn message_of(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    // The payload's own destructor might panic, so it is left alone where it is not plain text.
    match text {
        Some(text) => text,
        None => {
            std::mem::forget(payload);
            "a panic without a message".to_owned()
        }
    }
}
