//! The backend for NVIDIA devices. It builds without CUDA and looks for the driver at run time. This
//! version has no kernels yet, so it offers no device and says why.

use std::sync::Arc;

use arignote_core::ops::Attributes;
use arignote_core::plugin::{Backend, Device, Host, Plugin, PluginInfo};
use arignote_core::{Error, ErrorKind, Result};

/// The maker of CUDA devices.
#[derive(Clone, Copy, Debug, Default)]
pub struct CudaBackend;

/// Whether the driver's library can be loaded. It is only looked for: `cudarc` panics where it is
/// called without.
fn driver_is_present() -> bool {
    // SAFETY: this opens the driver's library, whose initializers NVIDIA makes safe to run.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

fn reason() -> &'static str {
    if driver_is_present() {
        "this version has no CUDA kernels yet"
    } else {
        "the NVIDIA driver library libcuda.so was not found"
    }
}

impl Backend for CudaBackend {
    fn name(&self) -> &str {
        "cuda"
    }

    fn device_count(&self) -> usize {
        0
    }

    fn unavailable_reason(&self) -> Option<String> {
        Some(reason().to_owned())
    }

    fn priority(&self) -> i32 {
        20
    }

    fn open(&self, ordinal: usize, _: &Attributes, _: Arc<dyn Host>) -> Result<Arc<dyn Device>> {
        Err(Error::new(ErrorKind::Device, format!("there is no device cuda{ordinal}: {}", reason())))
    }
}

/// The plugin that offers the `cuda` backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct CudaPlugin;

impl Plugin for CudaPlugin {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: "cuda".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            license: env!("CARGO_PKG_LICENSE").into(),
            description: env!("CARGO_PKG_DESCRIPTION").into(),
        }
    }

    fn backends(&self) -> Vec<Arc<dyn Backend>> {
        vec![Arc::new(CudaBackend)]
    }
}

arignote_core::export_plugin!(CudaPlugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_why_there_are_no_devices() {
        assert_eq!(CudaBackend.device_count(), 0);
        assert!(CudaBackend.unavailable_reason().is_some_and(|reason| reason.contains("CUDA") || reason.contains("libcuda")));
    }
}
