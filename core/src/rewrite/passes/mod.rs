//! Passes: rewrites that a pattern cannot say.

mod bodies;
mod branches;
mod constant_fold;
mod dead_code;
mod factors;
pub mod inplace;
mod lift;
mod logdet;
mod merge;
mod pieces;
mod scan;
mod together;

pub use bodies::{PruneBodies, normalize_bodies};
pub use branches::HoistBranches;
pub use constant_fold::{ConstantFold, FoldLoops};
pub use dead_code::DeadCode;
pub use factors::ReuseFactors;
pub use lift::LogOfMoved;
pub use logdet::LogDet;
pub use merge::Merge;
pub use pieces::JoinPieces;
pub use scan::{
    AccumulateOutside, AfterLoop, BatchSequences, FactorOutside, FirstRows, HoistInvariants, LastIsFinal, MergeParallel, MergeStates, ReverseLoop, UnrollShort,
};
pub use together::{MergeBranches, MergeLosses, MergeSolves};

use super::Phase;
use super::engine::Firing;
use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::Tensor;

/// Computes the outputs of a graph without inputs.
pub type Evaluate<'a> = &'a dyn Fn(&Graph) -> Result<Vec<Tensor>>;

/// What a pass may use.
#[derive(Clone, Copy, Default)]
pub struct PassContext<'a> {
    /// Runs constant subgraphs, where the caller can; it gives each output with the dtype of its type.
    pub evaluate: Option<Evaluate<'a>>,
}

/// A rewrite of a whole graph, written in Rust.
pub trait Pass: Send + Sync {
    /// The name by which it is excluded and listed.
    fn name(&self) -> &str;

    /// The phase that it runs in, before that phase's rules.
    fn phase(&self) -> Phase;

    /// Further tags.
    fn tags(&self) -> &[&str] {
        &[]
    }

    /// One line for listings.
    fn doc(&self) -> &str;

    /// Rewrites the graph; what it did goes to `firings`. Gives whether anything changed.
    ///
    /// # Errors
    /// Only for mistakes of the pass itself; what it cannot do it leaves.
    fn run(&self, graph: &mut Graph, context: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool>;
}

#[cfg(test)]
mod tests;
