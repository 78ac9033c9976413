//! An example plugin: rules.
