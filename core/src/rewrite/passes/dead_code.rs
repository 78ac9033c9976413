//! Removes what no output needs.

use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;

/// Removes nodes that no output needs.
pub struct DeadCode;

impl Pass for DeadCode {
    fn name(&self) -> &str {
        "dead_code"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn doc(&self) -> &str {
        "removes what no output needs"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, _: &mut Vec<Firing>) -> Result<bool> {
        let ids: Vec<NodeId> = graph.ids().collect();
        let mut removed = 0;
        for id in ids.into_iter().rev() {
            if graph.contains(id) && graph.users(id).is_empty() {
                removed += graph.remove_dead(id).len();
            }
        }
        Ok(removed > 0)
    }
}
