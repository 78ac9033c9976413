//! Joins whose parts are written where they end up: the memory of `concatenate` and `stack` is there before their
//! operands are computed, and what computes an operand writes to its part of it.
//!
//! A part along the first axis that is longer than one lies together, and is a value as any other: all steps may write
//! and read it. Else its rows lie apart, which fused regions alone know of. Nothing is written over a part, and
//! nothing over the whole before the last part is read. Other operands are copied. Where operands have several dtypes,
//! all are, as the kernel of the op does it.

use std::collections::{HashMap, HashSet};

use arignote_core::graph::{NodeId, ValueId};
use arignote_core::tensor::{DType, Shape};

use crate::code::{Code, Implementation};
use crate::kernels::Context;
use crate::kernels::shape::natural;

/// The part of a join that a value is written to.
#[derive(Clone)]
pub struct Part {
    /// The join, the outermost if it is itself a part.
    pub whole: ValueId,
    /// The bytes of the join before it.
    pub offset: usize,
    /// Elements from one entry of each axis to the next, if they do not lie together.
    pub strides: Option<Vec<usize>>,
}

/// The operands of a join, and where they belong in it.
pub struct Joined {
    /// Each operand with its part.
    pub parts: Vec<(ValueId, Part)>,
    /// How many rows each part has, and the bytes from one to the next.
    pub rows: (usize, usize),
}

/// A part that is copied.
pub struct Copy {
    /// The slot of the value.
    pub from: usize,
    /// The slot of the part.
    pub to: usize,
    /// Rows.
    pub rows: usize,
    /// Bytes of a row.
    pub width: usize,
    /// Bytes of the join from row to row.
    pub pitch: usize,
}

/// What is known of the steps when parts are given out.
pub struct Values<'a> {
    /// The program.
    pub code: &'a Code,
    /// The nodes that are computed, in order.
    pub live: &'a [NodeId],
    /// Shapes.
    pub shape_of: &'a HashMap<ValueId, Shape>,
    /// Who reads each node.
    pub readers: &'a HashMap<NodeId, Vec<NodeId>>,
    /// The nodes of the program's outputs.
    pub outputs: &'a HashSet<NodeId>,
}

impl Values<'_> {
    fn dtype(&self, value: ValueId) -> DType {
        self.code.graph.ty(value).dtype
    }

    fn bytes(&self, value: ValueId) -> usize {
        self.dtype(value).size() * self.shape_of[&value].iter().product::<usize>()
    }

    /// Where the operands of a join belong, if it is one whose operands have its dtype; `part` says which part of
    /// another join it is itself.
    pub fn joined(&self, id: NodeId, part: Option<&Part>) -> Option<Joined> {
        let view = self.code.graph.node(id);
        let (op, attributes) = view.apply()?;
        let stacked = op.name() == "stack";
        if !(stacked || op.name() == "concatenate") || !matches!(self.code.implementations.get(&id), Some(Implementation::Kernel(..))) {
            return None;
        }
        let whole = id.output(0);
        let (shape, dtype) = (&self.shape_of[&whole], self.dtype(whole));
        let axis = attributes.axis("axis", shape.len()).ok()?;
        if self.bytes(whole) == 0 || view.operands.iter().any(|&operand| self.dtype(operand) != dtype) {
            return None;
        }
        let rows: usize = shape[..axis].iter().product();
        let strides = (rows > 1).then(|| {
            let mut strides = natural(shape);
            if stacked { strides.remove(axis); }
            strides
        });
        let (whole, mut offset) = part.map_or((whole, 0), |part| (part.whole, part.offset));
        let parts = view.operands.iter().map(|&operand| {
            let part = Part { whole, offset, strides: strides.clone() };
            offset += self.bytes(operand) / rows;
            (operand, part)
        }).collect();
        Some(Joined { parts, rows: (rows, self.bytes(id.output(0)) / rows) })
    }

    /// Whether what computes a value, for this reader, may write it to a part.
    fn may_be_part(&self, value: ValueId, reader: NodeId, live: &HashSet<NodeId>, together: bool) -> bool {
        let computed = live.contains(&value.node) && !self.outputs.contains(&value.node) && self.bytes(value) > 0;
        // Rows that lie apart are read by regions, and by the join once: it copies from what lies together.
        let apart = || {
            let all = || self.readers.get(&value.node).into_iter().flatten();
            let once = all().filter(|&&other| other == reader).count() == 1;
            once && self.code.is_elementwise(value.node) && all().all(|&other| other == reader || self.code.is_elementwise(other))
        };
        computed && (together || apart())
    }

    /// The parts that values may be written to, of all joins. Rows that lie apart may turn out not to suit the region.
    pub fn parts(&self) -> HashMap<ValueId, Part> {
        let live: HashSet<NodeId> = self.live.iter().copied().collect();
        let mut found: HashMap<ValueId, Part> = HashMap::new();
        // The outer joins first.
        for &id in self.live.iter().rev() {
            let Some(joined) = self.joined(id, found.get(&id.output(0))) else { continue };
            for (mut value, part) in joined.parts {
                let mut reader = id;
                while !found.contains_key(&value) && self.may_be_part(value, reader, &live, part.strides.is_none()) {
                    found.insert(value, part.clone());
                    let view = self.code.graph.node(value.node);
                    if part.strides.is_some() || !is_same_elements(view.op_name()) {
                        break;
                    }
                    (reader, value) = (value.node, view.operands[0]);
                }
            }
        }
        found
    }
}

/// Whether the result of an op has its first operand's elements in their order, so that it is the same memory.
pub fn is_same_elements(op: &str) -> bool {
    matches!(op, "reshape" | "expand_dims" | "squeeze" | "flatten")
}

/// Whether regions that compute these results can write them where they belong: rows that lie apart are at least as
/// long as the rows that regions go by.
pub fn suits(shape: &[usize], inputs: &[Option<Vec<usize>>], outputs: &[Option<Vec<usize>>]) -> bool {
    crate::kernel::axes::is_by_rows(shape, inputs.iter().chain(outputs).map(Option::as_deref))
}

struct Ends(*const u8, *mut u8);
// SAFETY: what threads read nobody writes, and what they write is disjoint: see `copy`.
unsafe impl Sync for Ends {}

impl Copy {
    /// Copies the part.
    ///
    /// # Safety
    /// `from` holds all rows one after the other, `to` is the first byte of the part, of which each row lies in memory
    /// that nothing else uses.
    pub unsafe fn run(&self, context: &Context<'_>, from: *const u8, to: *mut u8) {
        /// Bytes for one thread at a time.
        const CHUNK: usize = 1 << 17;
        let ends = Ends(from, to);
        // Few long rows are cut, many short ones taken together.
        let (pieces, width) = if self.width > CHUNK { (self.width.div_ceil(CHUNK), CHUNK) } else { (1, self.width) };
        let rows = (CHUNK / width.max(1)).max(1);
        context.parallel(self.rows.div_ceil(rows) * pieces, &|task| {
            let ends = &ends;
            let (first, start) = (task / pieces * rows, task % pieces * width);
            let count = width.min(self.width - start);
            for row in first..(first + rows).min(self.rows) {
                // SAFETY: the caller's promise; each task has other rows, or another piece of its row.
                unsafe { std::ptr::copy_nonoverlapping(ends.0.add(row * self.width + start), ends.1.add(row * self.pitch + start), count) };
            }
        });
    }
}
