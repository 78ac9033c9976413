//! Fused kernels, compiled. [`lower`] writes elementwise ops in the language of [`ir`], whose meaning
//! [`portable`] is; [`avx2`] makes machine code of the same. [`run`] goes over the elements.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod form;
pub mod ir;
pub mod lower;
pub mod portable;
pub mod run;

#[cfg(test)]
mod tests;
