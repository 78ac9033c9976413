//! What each node reads: a value itself, or the value that it is a part of, in another order. What is only read in that
//! way is never computed.

use std::collections::{HashMap, HashSet};

use arignote_core::graph::{NodeId, ValueId};
use arignote_core::tensor::Shape;

use crate::code::{Code, Implementation};
use crate::views::{self, Source};

/// The furthest that elements of the last axis may lie apart for a fused region: what lies further is copied first, in
/// squares that make better use of the memory's lines.
const APART: usize = 4;

/// How a node reads what is a part of other values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// By strides: fused regions and their reductions.
    Strides,
    /// By strides, as rows and columns: matrix products.
    Matrices,
    /// Where all elements lie one after the other.
    Together,
}

/// What nodes read.
pub struct Reads<'a> {
    code: &'a Code,
    shape_of: &'a HashMap<ValueId, Shape>,
    readers: HashMap<NodeId, Reader>,
    /// Where the elements of values are that are parts of others.
    sources: HashMap<ValueId, Source>,
}

/// Who reads each node.
#[derive(Default)]
pub struct Readers {
    /// All who do.
    pub all: HashMap<NodeId, Vec<NodeId>>,
    /// Those of them that read a part of it, or it in another order.
    pub onlookers: HashMap<NodeId, Vec<NodeId>>,
}

impl<'a> Reads<'a> {
    /// What these nodes read; `is_reduction` says of kernels whether a fused region ends in them, `is_known` of values
    /// whether they have no memory.
    pub fn new(
        code: &'a Code, shape_of: &'a HashMap<ValueId, Shape>, nodes: &[NodeId], is_reduction: &dyn Fn(NodeId) -> bool, is_known: &dyn Fn(ValueId) -> bool,
    ) -> Reads<'a> {
        let mut reads = Reads { code, shape_of, readers: HashMap::new(), sources: HashMap::new() };
        for &id in nodes {
            let node = code.graph.node(id);
            let reader = match (code.implementations.get(&id), node.op_name()) {
                (Some(Implementation::Elementwise(_)), _) => Reader::Strides,
                (Some(Implementation::Kernel(..)), _) if is_reduction(id) => Reader::Strides,
                (Some(Implementation::Kernel(..)), "matmul") => Reader::Matrices,
                // Joins have ways of their own to have operands where they belong, gathers to read tables.
                (Some(Implementation::Kernel(..)), "concatenate" | "stack" | "take" | "index") => continue,
                (Some(Implementation::Kernel(..) | Implementation::Control(_)), _) => Reader::Together,
                _ => continue,
            };
            reads.readers.insert(id, reader);
            for &value in node.operands {
                if reads.sources.contains_key(&value) { continue; }
                if let Some(source) = views::source(&code.graph, shape_of, value, is_known) { reads.sources.insert(value, source); }
            }
        }
        reads
    }

    /// Where a node, or the region that ends in it, reads a value, if not in the value's own memory.
    pub fn source(&self, id: NodeId, value: ValueId) -> Option<&Source> {
        let (reader, source) = (self.readers.get(&id)?, self.sources.get(&value)?);
        let shape = &self.shape_of[&value];
        let fits = match reader {
            Reader::Strides => {
                let last = shape.iter().zip(&source.strides).rev().find(|(length, _)| **length != 1);
                last.is_none_or(|(_, &stride)| stride <= APART)
            }
            Reader::Matrices => {
                let first = shape.len().saturating_sub(2);
                let matrix = || shape[first..].iter().zip(&source.strides[first..]).filter(|(length, _)| **length != 1);
                matrix().all(|(_, &stride)| stride != 0) && (matrix().count() < 2 || matrix().any(|(_, &stride)| stride == 1))
            }
            Reader::Together => {
                let operands = self.code.graph.node(id).operands;
                let overwrites = self.code.implementations[&id].overwrites(operands.len());
                let may_overwrite = overwrites.iter().any(|&(operand, _)| operands.get(operand) == Some(&value));
                !may_overwrite && views::is_together(shape, &source.strides)
            }
        };
        fits.then_some(source)
    }

    /// The nodes that are computed, of nodes in order.
    pub fn live(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut read: HashSet<NodeId> = self.code.graph.outputs().iter().map(|value| value.node).collect();
        let mut passed: HashSet<NodeId> = HashSet::new();
        let is_live = |id: &NodeId, read: &HashSet<NodeId>, passed: &HashSet<NodeId>| read.contains(id) || !passed.contains(id);
        for id in nodes.iter().rev() {
            if !is_live(id, &read, &passed) { continue; }
            for &value in self.code.graph.node(*id).operands {
                match self.source(*id, value) {
                    Some(source) => {
                        read.insert(source.value.node);
                        passed.extend(source.passed.iter().map(|value| value.node));
                    }
                    None => { read.insert(value.node); }
                }
            }
        }
        nodes.iter().copied().filter(|id| is_live(id, &read, &passed)).collect()
    }

    /// Who reads each node, of nodes in order.
    pub fn readers(&self, nodes: &[NodeId]) -> Readers {
        let mut readers = Readers::default();
        for &id in nodes {
            for &value in self.code.graph.node(id).operands {
                match self.source(id, value) {
                    Some(source) => {
                        readers.all.entry(source.value.node).or_default().push(id);
                        readers.onlookers.entry(source.value.node).or_default().push(id);
                    }
                    None => readers.all.entry(value.node).or_default().push(id),
                }
            }
        }
        readers
    }
}
