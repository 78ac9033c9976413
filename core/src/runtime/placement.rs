//! Which device runs each node, and the runs of nodes that go to a device as one program.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, NodeKind};
use crate::plugin::{Device, NodeQuery, Support};
use crate::tensor::Type;

/// Where a node runs and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// Index into the devices.
    pub device: usize,
    /// Why not on an earlier device: each one's answer.
    pub reasons: Vec<String>,
    /// What the device may overwrite.
    pub overwrites: Vec<(usize, usize)>,
}

/// A device's answer for a node, asked in the order of preference.
///
/// # Errors
/// If no device runs the node; the error has every device's reason.
pub(super) fn place(graph: &Graph, id: NodeId, devices: &[(String, Arc<dyn Device>)]) -> Result<Place> {
    let mut reasons = Vec::new();
    for (device, (name, handle)) in devices.iter().enumerate() {
        match ask(graph, id, handle)? {
            Support::Yes(overwrites) => return Ok(Place { device, reasons, overwrites }),
            Support::No(reason) => reasons.push(format!("{name}: {reason}")),
        }
    }
    let view = graph.node(id);
    let error = Error::new(ErrorKind::Unsupported, format!("no device runs `{}`", view.op_name())).at(view.location);
    Err(reasons
        .into_iter()
        .fold(error, |error, reason| error.note(reason))
        .note("add a device that does to `fallback` in the configuration"))
}

/// A device's answer for a node and all that is in its bodies.
fn ask(graph: &Graph, id: NodeId, device: &Arc<dyn Device>) -> Result<Support> {
    let view = graph.node(id);
    let Some((op, attributes)) = view.apply() else {
        return Err(Error::new(ErrorKind::Internal, "only applications are placed"));
    };
    let operands: Vec<Type> = view.operands.iter().map(|&value| graph.ty(value).clone()).collect();
    let results: Vec<Type> = view.results.iter().map(|result| result.ty.clone()).collect();
    let query = NodeQuery {
        op: op.name(), revision: op.revision(), attributes, operands: &operands, results: &results,
    };
    let answer = device.supports(&query);
    if let Support::No(_) = answer {
        return Ok(answer);
    }
    for (_, body) in attributes.bodies() {
        let graph = body.graph()?;
        for id in graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()) {
            if let Support::No(reason) = ask(&graph, id, device)? {
                return Ok(Support::No(format!("inside, `{}`: {reason}", graph.node(id).op_name())));
            }
        }
    }
    Ok(answer)
}

/// Nodes that run on one device as one program.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// Index into the devices.
    pub device: usize,
    /// The nodes, in topological order.
    pub nodes: Vec<NodeId>,
}

/// The groups in an order in which they can run. A node goes to the stage of its latest operand, or to
/// the next one where that operand is on another device; so no path leaves a group and comes back.
pub(super) fn groups(graph: &Graph, order: &[NodeId], places: &[Option<Place>]) -> Vec<Group> {
    let mut stages: Vec<usize> = vec![0; places.len()];
    let mut groups: std::collections::BTreeMap<(usize, usize), Vec<NodeId>> = Default::default();
    for &id in order {
        let Some(place) = &places[id.0 as usize] else { continue };
        let stage = graph
            .node(id)
            .operands
            .iter()
            .filter_map(|operand| {
                let from = places[operand.node.0 as usize].as_ref()?;
                Some(stages[operand.node.0 as usize] + usize::from(from.device != place.device))
            })
            .max()
            .unwrap_or(0);
        stages[id.0 as usize] = stage;
        groups.entry((stage, place.device)).or_default().push(id);
    }
    groups.into_iter().map(|((_, device), nodes)| Group { device, nodes }).collect()
}

/// Whether a node is computed, rather than given.
pub(super) fn is_computed(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Apply(..))
}
