//! The cpu backend as a library that is loaded at run time. It is a crate of its own because the backend
//! itself is also linked into programs, which have no place for the symbols that a library exports.

arignote_core::export_plugin!(arignote_backend_cpu::CpuPlugin);
