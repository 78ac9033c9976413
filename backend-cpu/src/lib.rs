//! The fast backend for the processor: graphs are compiled once, planned once per signature of
//! argument shapes (buffers, offsets, in-place results, fused regions), then run from the plan.
//!
//! [`code`] names what computes each node, [`plan`] lays out a run, [`execute`] runs it, [`kernels`]
//! hold the arithmetic, [`maths`] the elementary functions of vectors. [`control`] plans the programs inside loops and branches, [`frame`] runs these plans again and
//! again, [`unplanned`] runs programs whose shapes depend on values. Results do not depend on the number of threads.

mod arena;
pub mod buffer;
pub mod code;
pub mod control;
pub mod device;
pub mod epilogues;
pub mod execute;
pub mod frame;
pub mod gathers;
pub mod joins;
pub mod kernel;
pub mod kernels;
pub mod maths;
mod neighbours;
pub mod plan;
mod reads;
pub mod scatters;
pub mod signature;
pub mod tiles;
pub mod unplanned;
mod verify;
mod views;

use std::sync::Arc;

use arignote_core::plugin::{Backend, Plugin, PluginInfo};

pub use device::{CpuBackend, CpuDevice};

/// The plugin that offers the `cpu` backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuPlugin;

impl Plugin for CpuPlugin {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: "cpu".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            license: env!("CARGO_PKG_LICENSE").into(),
            description: env!("CARGO_PKG_DESCRIPTION").into(),
        }
    }

    fn backends(&self) -> Vec<Arc<dyn Backend>> {
        vec![Arc::new(CpuBackend)]
    }
}

arignote_core::plugin_root!(CpuPlugin);

#[cfg(test)]
mod tests;
