//! arignote.
