//! Common subexpressions: nodes that compute the same become one.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{Pass, PassContext, has_effect};
use crate::error::Result;
use crate::graph::{Graph, NodeId, NodeKind, ValueId};
use crate::ops::Attributes;
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::tensor::{DType, Shape};

/// Merges equal constants, and applications of one op with equal attributes to the same operands.
pub struct Merge;

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Constant(DType, Shape, Vec<u8>, bool),
    Apply(String, u32, Attributes, SmallVec<[ValueId; 4]>),
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
        let mut seen: FxHashMap<Key, NodeId> = FxHashMap::default();
        let mut changed = false;
        for id in graph.topological_order() {
            let view = graph.node(id);
            let key = match view.kind {
                NodeKind::Constant(constant) => {
                    let value = &constant.value;
                    Key::Constant(value.dtype(), value.shape().into(), value.to_bytes(), constant.weak)
                }
                NodeKind::Apply(op, _) if has_effect(op.name()) => continue,
                NodeKind::Apply(op, attributes) => {
                    let mut operands = SmallVec::from_slice(view.operands);
                    if op.is_commutative() && operands.len() == 2 {
                        operands.sort_unstable();
                    }
                    Key::Apply(op.name().to_owned(), op.revision(), attributes.clone(), operands)
                }
                NodeKind::Input(_) | NodeKind::State(_) => continue,
            };
            let results = view.results.len();
            match seen.entry(key) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(id);
                }
                std::collections::hash_map::Entry::Occupied(entry) => {
                    let first = *entry.get();
                    let same = (0..results).all(|at| graph.ty(id.output(at)) == graph.ty(first.output(at)));
                    if same {
                        for at in 0..results {
                            graph.replace(id.output(at), first.output(at))?;
                        }
                        graph.remove_dead(id);
                        changed = true;
                    }
                }
            }
        }
        Ok(changed)
    }
}
