//! Which nodes are computed together: elementwise ones in fused regions, reductions with what they reduce, reductions along
//! the same axes in one pass.
//!
//! Nodes join from the last one back, each a region that runs later, so that no region needs what a later one computes.
//! They then run later than they stand in the program, but elementwise ones cannot fail.

use std::collections::{BTreeSet, HashMap, HashSet};

use arignote_core::graph::{NodeId, ValueId};
use arignote_core::tensor::Shape;

use super::copies::Joined;
use super::known::Known;
use crate::code::{Code, Implementation};
use crate::kernel::ir::Reduction;
use crate::kernel::lower::Lowering;
use crate::kernel::reduce::{self, Spec};
use crate::kernel::compiled::REDUCTIONS;
use crate::reads::{Readers, Reads};

/// Instructions of a region at most, unless one node alone has more: machine code of so many stays in the nearest
/// instruction cache.
pub(super) const REGION: usize = 2000;

/// What is computed together.
pub(super) struct Regions<'a> {
    code: &'a Code,
    /// What each node reads.
    pub reads: Reads<'a>,
    /// The reductions that are computed with what they reduce.
    pub reductions: HashMap<NodeId, Spec>,
    /// The nodes that are computed.
    pub live: Vec<NodeId>,
    /// By node the nodes that read it.
    pub readers: Readers,
    /// The nodes of outputs.
    pub outputs: HashSet<NodeId>,
    /// The last node of each region.
    pub order: Vec<NodeId>,
    /// By the last node of a region all of it.
    pub members: HashMap<NodeId, Vec<NodeId>>,
    root: HashMap<NodeId, NodeId>,
    /// By the last node of a region what it computes for itself beside others that do.
    copies: HashMap<NodeId, BTreeSet<NodeId>>,
}

impl<'a> Regions<'a> {
    /// The regions of a program, given which arguments may be written over.
    pub fn new(code: &'a Code, known: &'a Known, donated: &[bool]) -> Regions<'a> {
        let nodes: Vec<NodeId> = code.nodes.iter().copied().filter(|&id| !known.is_known(code, id)).collect();
        let reductions: HashMap<NodeId, Spec> = nodes.iter().filter_map(|&id| Some((id, reduction(code, known, id)?))).collect();
        let reads = Reads::new(code, &known.shape_of, &nodes, &|id| reductions.contains_key(&id), &|value| known.values.contains_key(&value));
        let live = reads.live(&nodes);
        let readers = reads.readers(&live);
        let outputs: HashSet<NodeId> = code.graph.outputs().iter().map(|value| value.node).collect();
        let root = Joining::new(code, known, &live, &readers, &reductions, &outputs).all(&live);
        let mut members: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for &id in &live { members.entry(root[&id]).or_default().push(id); }
        let own = |(number, &id): (usize, &NodeId)| (!donated.get(number).copied().unwrap_or(false)).then_some(id);
        let stays = code.graph.inputs().iter().enumerate().filter_map(own).chain(outputs.iter().copied()).collect();
        let joined = Joined { code, known, readers: &readers, reductions: &reductions, outputs: &outputs, root: &root, members: &members, stays };
        let copies = joined.copies(&live);
        let mut regions = Regions { code, reads, reductions, live, readers, outputs, order: Vec::new(), members, root, copies };
        regions.take_copies();
        regions
    }

    /// Gives regions the nodes that they compute for themselves, and leaves out those that nobody reads any more.
    fn take_copies(&mut self) {
        let position: HashMap<NodeId, usize> = self.live.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        for (region, copies) in &self.copies {
            let members = self.members.entry(*region).or_default();
            members.extend(copies);
            members.sort_by_key(|member| position[member]);
        }
        let copied: HashSet<NodeId> = self.copies.values().flatten().copied().collect();
        let stays = |id: &NodeId| !copied.contains(id) || self.outputs.contains(id) || self.is_read_elsewhere(*id);
        self.order = self.live.iter().copied().filter(|id| self.root[id] == *id).filter(stays).collect();
    }

    /// Whether a region reads a node that it does not compute.
    fn is_read_elsewhere(&self, id: NodeId) -> bool {
        self.readers.all.get(&id).into_iter().flatten().any(|reader| !self.computes(self.root[reader], id))
    }

    /// Whether a region computes a node, for itself or for others.
    fn computes(&self, region: NodeId, id: NodeId) -> bool {
        self.root.get(&id) == Some(&region) || self.copies.get(&region).is_some_and(|copies| copies.contains(&id))
    }

    /// The values that a region reads from outside.
    pub fn inputs(&self, id: NodeId) -> Vec<ValueId> {
        let mut seen: HashSet<ValueId> = HashSet::new();
        let operands = self.members[&id].iter().flat_map(|&member| self.code.graph.node(member).operands).copied();
        operands.filter(|value| !self.computes(id, value.node) && seen.insert(*value)).collect()
    }

    /// The values that a region computes for others.
    pub fn produced(&self, id: NodeId) -> Vec<ValueId> {
        let firsts = |keep: &dyn Fn(&NodeId) -> bool| self.members[&id].iter().filter(|member| keep(member)).map(|member| member.output(0)).collect();
        if self.code.is_elementwise(id) {
            firsts(&|&member| self.root[&member] == id && self.is_result(member))
        } else if self.reductions.contains_key(&id) {
            firsts(&|member| self.reductions.contains_key(member))
        } else {
            (0..self.code.graph.node(id).results.len()).map(|output| id.output(output)).collect()
        }
    }

    /// Whether a node of a region is computed for others too.
    fn is_result(&self, id: NodeId) -> bool {
        self.outputs.contains(&id) || self.root[&id] == id || self.is_read_elsewhere(id)
    }

    /// The inputs of a region over which the program has its nodes, one after the other, write what ends up as a result.
    pub fn overwritten_by(&self, id: NodeId, result: ValueId) -> Vec<ValueId> {
        let (mut found, mut seen, mut left) = (Vec::new(), HashSet::new(), vec![result]);
        while let Some(value) = left.pop() {
            if !self.computes(id, value.node) {
                found.push(value);
                continue;
            }
            let operands = self.code.graph.node(value.node).operands.iter().copied();
            left.extend(operands.filter(|&operand| self.code.permits(value.node, operand, 0) && seen.insert(operand)));
        }
        found
    }

    /// Whether the elements of a value are read by a region that has it as an input: reductions may have operands that only say
    /// their shape.
    pub fn reads_elements(&self, id: NodeId, value: ValueId) -> bool {
        self.members[&id].iter().any(|member| {
            let operands = self.code.graph.node(*member).operands;
            if self.reductions.contains_key(member) { operands[0] == value } else { operands.contains(&value) }
        })
    }
}

/// The reduction that a node is, if a region can end in it.
fn reduction(code: &Code, known: &Known, id: NodeId) -> Option<Spec> {
    let view = code.graph.node(id);
    let (op, attributes) = view.apply()?;
    if !matches!(code.implementations.get(&id), Some(Implementation::Kernel(..))) {
        return None;
    }
    let reduction = match op.name() {
        "sum" | "mean" | "sum_to" => Reduction::Sum,
        "prod" => Reduction::Product,
        "max" | "any" => Reduction::Max,
        "min" | "all" => Reduction::Min,
        _ => return None,
    };
    let dtype = view.results[0].ty.dtype;
    let (shape, result) = (&known.shape_of[view.operands.first()?], &known.shape_of[&id.output(0)]);
    let axes: Vec<usize> = if op.name() == "sum_to" {
        let extra = shape.len().saturating_sub(result.len());
        (0..shape.len()).filter(|&axis| axis < extra || (result[axis - extra] == 1 && shape[axis] != 1)).collect()
    } else {
        attributes.axes("axis", shape.len()).ok()?
    };
    let fits = !axes.is_empty() && !shape.contains(&0) && reduce::is_supported(reduction, dtype);
    fits.then(|| Spec { reduction, mean: op.name() == "mean", axes })
}

/// How many instructions an elementwise node is of a kernel of its own.
pub(super) fn instructions(code: &Code, id: NodeId) -> usize {
    let node = code.graph.node(id);
    match code.implementations.get(&id) {
        Some(Implementation::Elementwise(operation)) => {
            Lowering::instructions(*operation, &code.operand_types(node.operands), node.results[0].ty.dtype)
        }
        _ => 1,
    }
}

/// A shape, and the axes along which it is reduced.
type Along<'a> = (&'a [usize], &'a [usize]);

/// Regions as they grow, from the last node back.
struct Joining<'a> {
    code: &'a Code,
    known: &'a Known,
    readers: &'a Readers,
    reductions: &'a HashMap<NodeId, Spec>,
    outputs: &'a HashSet<NodeId>,
    position: HashMap<NodeId, usize>,
    /// For each node the last node of the region that it is computed in; itself if that is its own.
    root: HashMap<NodeId, NodeId>,
    sizes: HashMap<NodeId, usize>,
    /// By shape and axes: the last of the reductions, and how many they are.
    several: HashMap<Along<'a>, (NodeId, usize)>,
    /// The elementwise region that reads a value first, of those so far.
    reading: HashMap<ValueId, NodeId>,
}

impl<'a> Joining<'a> {
    fn new(
        code: &'a Code, known: &'a Known, live: &[NodeId], readers: &'a Readers, reductions: &'a HashMap<NodeId, Spec>, outputs: &'a HashSet<NodeId>,
    ) -> Joining<'a> {
        let position = live.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        Joining {
            code, known, readers, reductions, outputs, position,
            root: HashMap::new(), sizes: HashMap::new(), several: HashMap::new(), reading: HashMap::new(),
        }
    }

    fn all(mut self, live: &[NodeId]) -> HashMap<NodeId, NodeId> {
        for &id in live.iter().rev() {
            let size = instructions(self.code, id);
            let region = if self.code.is_elementwise(id) {
                let region = self.of_reader(id, size).or_else(|| self.of_sibling(id, size)).unwrap_or(id);
                self.note_reads(id, region);
                region
            } else {
                self.of_reduction(id).unwrap_or(id)
            };
            self.root.insert(id, region);
            *self.sizes.entry(region).or_insert(0) += size;
        }
        self.root
    }

    fn roots(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.readers.all.get(&id).into_iter().flatten().map(|reader| self.root[reader])
    }

    /// The first of the regions that read a node, which it joins; others that do come later. What is reduced is no result as
    /// well, and what a region reads views of is there before it.
    fn of_reader(&self, id: NodeId, size: usize) -> Option<NodeId> {
        let first = self.roots(id).min_by_key(|root| self.position[root])?;
        let looked_at = self.readers.onlookers.get(&id).into_iter().flatten().any(|reader| self.root[reader] == first);
        let elementwise = self.code.is_elementwise(first);
        let over = match self.reductions.contains_key(&first) {
            true => self.code.graph.node(first).operands.first().copied(),
            false => elementwise.then(|| first.output(0)),
        };
        let same = over.is_some_and(|value| self.shape(value) == self.shape(id.output(0)));
        let alone = || !self.outputs.contains(&id) && self.roots(id).all(|other| other == first);
        (same && !looked_at && self.sizes[&first] + size <= REGION && (elementwise || alone())).then_some(first)
    }

    /// A region before all that read a node, that reads most of what it reads: their operands are read once for both.
    fn of_sibling(&self, id: NodeId, size: usize) -> Option<NodeId> {
        let before = self.roots(id).map(|root| self.position[&root]).min().unwrap_or(usize::MAX);
        let shape = self.shape(id.output(0));
        let whole = || self.code.graph.node(id).operands.iter().filter(|&&value| self.shape(value) == shape);
        let region = whole().filter_map(|value| self.reading.get(value).copied()).min_by_key(|region| self.position[region])?;
        let shared = whole().filter(|value| self.reading.get(value) == Some(&region)).count();
        let fits = self.position[&region] < before && self.shape(region.output(0)) == shape && self.sizes[&region] + size <= REGION;
        (fits && 2 * shared >= whole().count()).then_some(region)
    }

    /// The reduction along the same axes of the same shape that a reduction joins, if nobody reads it before that.
    fn of_reduction(&mut self, id: NodeId) -> Option<NodeId> {
        let spec = self.reductions.get(&id)?;
        let shape = self.known.shape_of[&self.code.graph.node(id).operands[0]].as_slice();
        let first = self.roots(id).map(|root| self.position[&root]).min().unwrap_or(usize::MAX);
        let (leader, count) = self.several.entry((shape, spec.axes.as_slice())).or_insert((id, 0));
        if *count == REDUCTIONS || first <= self.position[leader] { (*leader, *count) = (id, 0); }
        *count += 1;
        Some(*leader)
    }

    fn note_reads(&mut self, id: NodeId, region: NodeId) {
        for &value in self.code.graph.node(id).operands {
            let first = self.reading.entry(value).or_insert(region);
            if self.position[&region] < self.position[first] { *first = region; }
        }
    }

    fn shape(&self, value: ValueId) -> &Shape {
        &self.known.shape_of[&value]
    }
}
