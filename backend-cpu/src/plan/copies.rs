//! Which nodes are computed again by each region that reads them, instead of once into memory for all.
//!
//! What takes a few instructions of what is there anyway, an argument or an output and values much smaller, is cheaper to compute than
//! to write and read: memory is as slow for its result as for its operands.

use std::collections::{BTreeSet, HashMap, HashSet};

use arignote_core::graph::{NodeId, ValueId};

use super::known::Known;
use super::regions::{REGION, instructions};
use crate::code::Code;
use crate::kernel::reduce::Spec;
use crate::reads::Readers;

/// Instructions that are cheaper than a trip to memory and back.
const CHEAP: usize = 8;
/// How much smaller an operand is that costs nothing to read again.
const SMALLER: usize = 16;

/// Regions as they were joined, each named by its last node.
pub(super) struct Joined<'a> {
    pub code: &'a Code,
    pub known: &'a Known,
    pub readers: &'a Readers,
    pub reductions: &'a HashMap<NodeId, Spec>,
    pub outputs: &'a HashSet<NodeId>,
    /// The region of each node.
    pub root: &'a HashMap<NodeId, NodeId>,
    pub members: &'a HashMap<NodeId, Vec<NodeId>>,
    /// What is in memory to the end, and nobody writes over: arguments that are not donated, and outputs.
    pub stays: HashSet<NodeId>,
}

/// How a node comes from what stays in memory.
#[derive(Default)]
struct Tree {
    nodes: BTreeSet<NodeId>,
    instructions: usize,
    /// The values of the node's own size that are read.
    large: HashSet<ValueId>,
}

impl Joined<'_> {
    /// By region the nodes that it computes again.
    pub fn copies(&self, live: &[NodeId]) -> HashMap<NodeId, BTreeSet<NodeId>> {
        let mut copies: HashMap<NodeId, BTreeSet<NodeId>> = HashMap::new();
        let mut sizes: HashMap<NodeId, usize> = HashMap::new();
        for &id in live {
            let Some((regions, tree)) = self.regions(id).and_then(|regions| Some((regions, self.tree(id)?))) else { continue };
            if !self.is_worth_it(id, &regions, &tree) { continue }
            let size = |region: &NodeId| self.members[region].iter().map(|&member| instructions(self.code, member)).sum::<usize>();
            let fits = regions.iter().all(|region| *sizes.entry(*region).or_insert_with(|| size(region)) + tree.instructions <= REGION);
            for region in regions.into_iter().filter(|_| fits) {
                *sizes.entry(region).or_default() += tree.instructions;
                copies.entry(region).or_default().extend(tree.nodes.iter().copied());
            }
        }
        copies
    }

    /// The regions that would compute a node again, if all that read it can.
    fn regions(&self, id: NodeId) -> Option<BTreeSet<NodeId>> {
        let own = self.root[&id];
        let readers = self.readers.all.get(&id).filter(|_| !self.outputs.contains(&id) && !self.readers.onlookers.contains_key(&id))?;
        let mut regions = BTreeSet::new();
        for reader in readers {
            let operands = self.code.graph.node(*reader).operands;
            let reduced = self.reductions.contains_key(reader) && operands[0] == id.output(0);
            if !reduced && !self.code.is_elementwise(*reader) {
                return None;
            }
            let region = self.root[reader];
            let over = if self.reductions.contains_key(&region) { self.code.graph.node(region).operands[0] } else { region.output(0) };
            if self.known.shape_of[&over] != self.known.shape_of[&id.output(0)] {
                return None;
            }
            if region != own { regions.insert(region); }
        }
        (!regions.is_empty()).then_some(regions)
    }

    /// Whether no more is read and written than without: in memory a node is written once, and read by each region. A region is left out
    /// as a whole, or keeps its last node.
    fn is_worth_it(&self, id: NodeId, regions: &BTreeSet<NodeId>, tree: &Tree) -> bool {
        let own = self.root[&id];
        let alone = || self.members[&own].iter().all(|member| {
            *member == id || tree.nodes.contains(member) && self.readers.all[member].iter().all(|reader| self.root[reader] == own)
        });
        let (others, reads) = (regions.len(), tree.large.len());
        let (stored, again) = (reads + 1 + others, reads * if own == id { others } else { others + 1 });
        again <= stored && (own != id || alone())
    }

    /// What is to be computed for a node, if that is little.
    fn tree(&self, id: NodeId) -> Option<Tree> {
        let whole = id.output(0);
        let (mut tree, mut left) = (Tree::default(), vec![id]);
        while let Some(node) = left.pop() {
            if !self.code.is_elementwise(node) || self.known.shape_of[&node.output(0)] != self.known.shape_of[&whole] {
                return None;
            }
            if tree.nodes.insert(node) {
                tree.instructions += instructions(self.code, node);
                if tree.instructions > CHEAP {
                    return None;
                }
                let operands = self.code.graph.node(node).operands.iter().copied();
                for value in operands.filter(|value| !self.known.values.contains_key(value)) {
                    if self.stays.contains(&value.node) && self.known.count(value) <= self.known.count(whole) {
                        tree.large.insert(value);
                    } else if self.known.count(value) * SMALLER > self.known.count(whole) {
                        left.push(value.node);
                    }
                }
            }
        }
        Some(tree)
    }
}
