//! The other end of `driver.py` for libraries of Rust: reads a line of JSON, does what it asks, answers with one.
//!
//! The same as `peers/contender.py`, so that all contenders are timed in one way.

mod npy;
mod process;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use npy::{Array, Values};
pub use process::run;

/// A library as a contender.
pub trait Peer {
    /// Its own kind of array.
    type Value;

    /// Its name and version.
    fn version(&self) -> String;

    /// An input in the library's own kind of array; this is not timed.
    ///
    /// # Errors
    /// If the library has no such arrays.
    fn load(&self, array: Array) -> Result<Self::Value, String>;

    /// The numbers of a result; this is not timed.
    ///
    /// # Errors
    /// If they cannot be read.
    fn unload(&self, value: Self::Value) -> Result<Array, String>;

    /// States a workload.
    ///
    /// # Errors
    /// If the library cannot express it, or an input is missing.
    fn build(&self, workload: &Workload, inputs: Inputs<Self::Value>) -> Result<Box<dyn Task<Self::Value>>, String>;
}

/// The inputs by name.
pub type Inputs<Value> = BTreeMap<String, Value>;

/// What is computed, as `driver.py` describes it.
#[derive(Deserialize)]
pub struct Workload {
    /// The formula in `workloads.toml`.
    pub formula: String,
    /// Whole numbers of the formula.
    pub constants: BTreeMap<String, usize>,
    /// The inputs that live in the contender's own state.
    pub states: Vec<String>,
    /// The names of the inputs.
    pub inputs: Vec<String>,
}

impl Workload {
    /// A whole number of the formula.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn constant(&self, name: &str) -> Result<usize, String> {
        self.constants.get(name).copied().ok_or_else(|| format!("workloads.toml gives no `{name}` for {}", self.formula))
    }
}

/// A workload that is ready.
pub trait Task<Value> {
    /// The results of one call, complete when it returns.
    ///
    /// # Errors
    /// If the library fails.
    fn call(&mut self) -> Result<Vec<Value>, String>;

    /// The current values of the states, in the order of `workloads.toml`.
    ///
    /// # Errors
    /// If the library fails.
    fn states(&self) -> Result<Vec<Value>, String>;
}
