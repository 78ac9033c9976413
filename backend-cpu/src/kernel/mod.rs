//! Fused kernels, compiled: [`ir`] is what is compiled, [`portable`] runs it on any processor.

pub mod ir;
pub mod portable;
