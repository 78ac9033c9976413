//! Errors, by value.

use crate::{ROption, RResult, RString, RVec};
use abi_stable::StableAbi;

/// What kind of failure an [`Error`] is. An open set.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Something else. Codes up to 99 are the host's kinds of error.
    pub const OTHER: ErrorCode = ErrorCode(0);
    /// The body panicked; the object is unusable from now on.
    pub const PANICKED: ErrorCode = ErrorCode(100);
    /// An earlier call on this object panicked.
    pub const POISONED: ErrorCode = ErrorCode(101);
}

/// A failure: what happened, where, and what else is known.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Error {
    /// The kind of failure.
    pub code: ErrorCode,
    /// One sentence for the user.
    pub message: RString,
    /// The node of the program that failed.
    pub node: ROption<u64>,
    /// The file of the user's code that is to blame, or empty.
    pub file: RString,
    /// The line in it, from 1.
    pub line: u32,
    /// The column in it, from 1; 0 where it is not known.
    pub column: u32,
    /// Further lines: hints, causes.
    pub notes: RVec<RString>,
    /// The backtrace, or empty.
    pub backtrace: RString,
}

/// What every fallible method returns.
pub type Outcome<T> = RResult<T, Error>;
