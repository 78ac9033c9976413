//! Common subexpressions: nodes that compute the same become one.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;

use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Graph, NodeId, NodeKind};
use crate::ops::effects::is_effectful;
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;

/// Merges equal constants, and applications of one op with equal attributes to the same operands.
pub struct Merge;

/// A hash that is equal for nodes that are [`same`]; `None` for one that stays single.
pub(super) fn signature(graph: &Graph, id: NodeId) -> Option<u64> {
    let view = graph.node(id);
    let mut hasher = FxHasher::default();
    match view.kind {
        NodeKind::Constant(constant) => {
            let value = &constant.value;
            (value.dtype(), value.shape(), value.bytes(), constant.weak).hash(&mut hasher);
        }
        NodeKind::Apply(op, attributes) if is_effectful(&**op, attributes) => return None,
        NodeKind::Apply(op, attributes) => {
            (op.name(), attributes).hash(&mut hasher);
            match view.operands {
                [a, b] if op.is_commutative() => (a.min(b), a.max(b)).hash(&mut hasher),
                operands => operands.hash(&mut hasher),
            }
        }
        NodeKind::Input(_) | NodeKind::State(_) => return None,
    }
    Some(hasher.finish())
}

/// Whether two nodes compute the same, of the same types.
pub(super) fn same(graph: &Graph, left: NodeId, right: NodeId) -> bool {
    let (a, b) = (graph.node(left), graph.node(right));
    let alike = match (a.kind, b.kind) {
        (NodeKind::Constant(a), NodeKind::Constant(b)) => a == b,
        (NodeKind::Apply(op, attributes), NodeKind::Apply(other, others)) => {
            let swapped = || {
                op.is_commutative()
                    && matches!((a.operands, b.operands), ([a, b], [c, d]) if a == d && b == c)
            };
            op.name() == other.name()
                && op.revision() == other.revision()
                && attributes == others
                && (a.operands == b.operands || swapped())
        }
        _ => false,
    };
    alike && a.results.iter().map(|result| &result.ty).eq(b.results.iter().map(|result| &result.ty))
}

impl Pass for Merge {
    fn name(&self) -> &str {
        "merge"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn doc(&self) -> &str {
        "computes equal subexpressions once"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, _: &mut Vec<Firing>) -> Result<bool> {
        let mut seen: FxHashMap<u64, SmallVec<[NodeId; 1]>> = FxHashMap::default();
        let mut changed = false;
        for id in graph.topological_order() {
            let Some(signature) = signature(graph, id) else { continue };
            let alike = seen.entry(signature).or_default();
            match alike.iter().find(|&&first| same(graph, first, id)) {
                Some(&first) => {
                    for output in 0..graph.node(id).results.len() {
                        graph.replace(id.output(output), first.output(output))?;
                    }
                    graph.remove_dead(id);
                    changed = true;
                }
                None => alike.push(id),
            }
        }
        Ok(changed)
    }
}
