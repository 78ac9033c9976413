//! backend-reference.
