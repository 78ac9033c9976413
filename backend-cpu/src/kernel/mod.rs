//! Fused kernels, compiled. [`lower`] writes elementwise ops in the language of [`ir`], whose meaning
//! [`portable`] is; [`avx2`] makes machine code of the same. [`run`] goes over the elements, [`steps`] over the steps of
//! a loop.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod axes;
pub mod compiled;
mod emit;
pub mod form;
pub mod ir;
pub mod lower;
pub mod portable;
pub mod reduce;
pub mod rows;
pub mod run;
pub mod steps;

#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod tests;
