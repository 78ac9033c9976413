//! Weak values as what they are read as.
//!
//! A value is weak where nothing said its dtype, as that of `one_hot(i, 3)`: beside an `f32` it is one. Programs know what is
//! weak of what they compute, and not of what they are given, by another device or by a mode that goes node by node. So each
//! reader of a weak value that reads it in another dtype gets a cast, and what is computed no longer depends on where it is cut.

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::graph::{Graph, ValueId};
use crate::ops::{Attributes, promote_operands, registry};
use crate::tensor::DType;

/// Puts the casts into a graph. Weak constants stay, as programs write them down.
///
/// # Errors
/// If the graph is damaged.
pub(super) fn make_firm(graph: &mut Graph) -> Result<()> {
    let mut casts: FxHashMap<(ValueId, DType), ValueId> = FxHashMap::default();
    for id in graph.topological_order() {
        let view = graph.node(id);
        let Some((op, attributes)) = view.apply() else { continue };
        let (weak, firm): (Vec<ValueId>, Vec<ValueId>) =
            view.operands.iter().partition(|&&operand| graph.ty(operand).weak && graph.node(operand.node).constant().is_none());
        let firm = firm.into_iter().map(|operand| graph.ty(operand)).filter(|ty| !ty.weak);
        let (dtype, only_weak) = promote_operands(firm);
        let other = |value: &ValueId| graph.ty(*value).dtype != dtype && graph.ty(*value).dtype.kind() == dtype.kind();
        let read: Vec<ValueId> = weak.into_iter().filter(other).collect();
        if only_weak || read.is_empty() {
            continue;
        }
        let (op, attributes, location) = (op.clone(), attributes.clone(), view.location.clone());
        let results: Vec<_> = view.results.iter().map(|result| result.ty.clone()).collect();
        let (mut operands, mut added) = (view.operands.to_vec(), Vec::new());
        for operand in operands.iter_mut().filter(|operand| read.contains(operand)) {
            let known = casts.get(&(*operand, dtype)).copied();
            let cast = match known {
                Some(cast) => cast,
                None => {
                    let cast = graph.apply(registry().get("cast")?, &[*operand], Attributes::new().with("dtype", dtype), location.clone())?;
                    added.push(cast);
                    casts.insert((*operand, dtype), cast.output(0));
                    cast.output(0)
                }
            };
            *operand = cast;
        }
        let new = graph.apply(op, &operands, attributes, location)?;
        let same = results.iter().enumerate().all(|(at, old)| graph.ty(new.output(at)).dtype == old.dtype);
        if !same {
            casts.retain(|_, cast| !added.contains(&cast.node));
            graph.remove_dead(new);
            for cast in added {
                graph.remove_dead(cast);
            }
            continue;
        }
        for at in 0..results.len() {
            graph.replace(id.output(at), new.output(at))?;
        }
        graph.remove_dead(id);
    }
    Ok(())
}
