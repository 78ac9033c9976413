//! How much memory a call takes, by the lives of its values and by the plans of devices.

use std::fmt::Write;

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::graph::{NodeId, ValueId};
use crate::runtime::{Compiled, DevicePlan};
use crate::tensor::Shape;

/// The results of all ops with their bytes, the peak of a call if nothing were released, if everything is when
/// nothing reads it any more, and if results also take the memory of operands; then what devices plan. Named dims have
/// the lengths of `dims`, all other unknown dims `other`.
///
/// # Errors
/// If shapes do not fit.
pub fn memory(compiled: &Compiled, dims: &[(String, usize)], other: usize) -> Result<String> {
    let shapes = compiled.shapes(dims, other)?;
    let graph = compiled.graph();
    let bytes = |value: ValueId| {
        let shape: &Shape = shapes.get(&value)?;
        Some(shape.iter().product::<usize>() as u64 * graph.ty(value).dtype.size() as u64)
    };
    let given: Vec<String> = dims.iter().map(|(name, length)| format!("{name} = {length}")).collect();
    let mut text = format!("where {}\n\n", given.iter().map(String::as_str).chain([format!("other dims = {other}").as_str()]).collect::<Vec<_>>().join(", "));
    let nodes = compiled.nodes();
    let place: FxHashMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
    let mut last: FxHashMap<ValueId, usize> = FxHashMap::default();
    for (at, node) in nodes.iter().enumerate() {
        for &operand in graph.node(node.id).operands {
            last.insert(operand, at);
        }
    }
    for &output in graph.outputs() {
        last.insert(output, nodes.len());
    }
    let (mut all, mut live, mut peak, mut over, mut over_peak) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let mut unknown = 0;
    let _ = writeln!(text, "{:>12}  {:>12}  op", "bytes", "in use");
    for (at, node) in nodes.iter().enumerate() {
        let view = graph.node(node.id);
        let own: Vec<Option<u64>> = (0..view.results.len()).map(|output| bytes(node.id.output(output))).collect();
        unknown += own.iter().filter(|own| own.is_none()).count();
        let sum: u64 = own.iter().flatten().sum();
        let taken: u64 = node.in_place.iter().filter_map(|&(operand, _)| bytes(view.operands[operand as usize])).sum();
        (all, live) = (all + sum, live + sum);
        over += sum.saturating_sub(taken);
        (peak, over_peak) = (peak.max(live), over_peak.max(over));
        let shape = (0..view.results.len()).map(|output| {
            let value = node.id.output(output);
            shapes.get(&value).map_or_else(|| graph.ty(value).to_string(), |shape| format!("{}{:?}", graph.ty(value).dtype, shape.as_slice()))
        });
        let shape = shape.collect::<Vec<_>>().join(", ");
        let line = if node.location.is_known() { format!("  ({})", node.location) } else { String::new() };
        let mark = if node.in_place.is_empty() { "" } else { ", in place" };
        let _ = writeln!(text, "{:>12}  {over:>12}  {} {shape} on {}{mark}{line}", own.first().copied().flatten().map_or("?".to_owned(), |_| sum.to_string()), node.op, node.device);
        let mut released: Vec<ValueId> = view.operands.to_vec();
        released.extend((0..view.results.len()).map(|output| node.id.output(output)));
        released.sort_unstable();
        released.dedup();
        for value in released {
            // Arguments and constants are not the call's.
            let ends = last.get(&value).copied().unwrap_or(at) == at && place.contains_key(&value.node);
            if let (true, Some(size)) = (ends, bytes(value)) {
                live = live.saturating_sub(size);
                let passed = node.in_place.iter().any(|&(operand, _)| view.operands[operand as usize] == value);
                over = if passed { over } else { over.saturating_sub(size) };
            }
        }
    }
    let _ = writeln!(text, "\n{all:>12}  bytes of results of all ops");
    let _ = writeln!(text, "{peak:>12}  at the peak, where what nothing reads any more is released");
    let _ = writeln!(text, "{over_peak:>12}  at the peak, where results also take the memory of operands");
    if unknown > 0 {
        let _ = writeln!(text, "{unknown:>12}  results whose shape depends on values are not counted");
    }
    let plans = compiled.plan(&shapes);
    for (number, DevicePlan { device, workspace, .. }) in plans.iter().enumerate() {
        match workspace {
            Some(workspace) => {
                let _ = writeln!(text, "{workspace:>12}  bytes that program {number} on {device} plans beside arguments and results");
            }
            None => {
                let _ = writeln!(text, "{:>12}  program {number} on {device} does not plan ahead", "");
            }
        }
    }
    for (number, DevicePlan { device, layout, .. }) in plans.iter().enumerate() {
        if let Some(layout) = layout {
            let _ = writeln!(text, "\nwhere values of program {number} lie on {device}\n{}", layout.trim_end());
        }
    }
    Ok(text)
}
