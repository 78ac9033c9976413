//! Passes: rewrites that a pattern cannot say.

mod bodies;
mod branches;
mod constant_fold;
mod dead_code;
mod factors;
pub mod inplace;
mod joins;
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
pub use joins::ElementwiseOfJoin;
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

/// A rewrite of a whole graph, written in Rust: by the core, or by a [plugin](crate::plugin::Plugin::passes).
pub trait Pass: Send + Sync {
    /// The name by which it is excluded and listed.
    fn name(&self) -> &str;

    /// The phase that it runs in, before that phase's rules.
    fn phase(&self) -> Phase;

    /// Further tags.
    fn tags(&self) -> Vec<&str> {
        Vec::new()
    }

    /// One line for listings.
    fn doc(&self) -> &str;

    /// Functions of the language to which the pass applies, with lengths of all axes known:
    /// `fn f(x: f64[3, 4]) { return sum(sum(x, axis=0)) }`. By these the
    /// [harness](super::harness::check_pass) checks a pass of a plugin.
    fn examples(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Rewrites the graph; what it did goes to `firings`. Gives whether anything changed.
    ///
    /// # Errors
    /// Only for mistakes of the pass itself; what it cannot do it leaves. The graph is then not used any more.
    fn run(&self, graph: &mut Graph, context: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool>;
}

#[cfg(test)]
mod tests;
