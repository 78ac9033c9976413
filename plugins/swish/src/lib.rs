//! An example plugin: op.
