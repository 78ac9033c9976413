//! An example plugin: backend.
