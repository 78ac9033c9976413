//! The workloads of the benchmark as a user of `arignote` writes them. `workloads.toml` has their inputs, `README.md` says
//! what is computed and what is timed.

mod attention;
mod setup;
mod specification;
mod workloads;

pub use setup::{Data, Setup, Task};
pub use specification::{Input, Kind, Workload, specifications};

use arignote::prelude::*;

/// Builds and compiles a workload from its formula.
///
/// # Errors
/// If there is no such formula, an input is missing, or the graph does not compile.
pub fn build(session: &Session, workload: &Workload, data: Data) -> Result<Task> {
    let mut setup = Setup::new(workload, data)?;
    workloads::formula(&workload.formula)?(&mut setup)?;
    setup.compile(session)
}
