//! Plans: for one signature of argument shapes, the steps of a run and where each value lies.

mod copies;
mod known;
mod memory;
mod regions;
mod scratch;
mod steps;

use std::fmt::Write;
use std::sync::Arc;

use arignote_core::Result;
use arignote_core::graph::NodeId;
use arignote_core::tensor::{DType, Shape, Tensor};

use crate::buffer::{Pool, as_bytes};
use crate::code::Code;
use crate::control::Planned;
use crate::epilogues::Product;
use crate::joins::Copy;
use crate::kernel::reduce::Reducing;
use crate::kernel::run::Region;
use crate::kernels::{Context, packed};
use crate::scatters::Scatter;
use crate::tiles::Tiles;
use known::Known;
pub(crate) use memory::Storage;

/// Where a value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the memory of an argument.
    Argument(usize),
    /// A tensor that the plan holds.
    Constant(usize),
    /// In new memory that becomes a result's.
    Result(usize),
    /// In the arena, from this byte on.
    Arena(usize),
    /// In another storage, which is no part itself, from this byte on.
    Part(usize, usize),
}

/// A value of a plan.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The element type.
    pub dtype: DType,
    /// The shape.
    pub shape: Shape,
    /// The storage that it lies in.
    pub storage: usize,
    /// Elements from one entry of each axis to the next, if they do not lie together: a part of a join.
    pub strides: Option<Vec<usize>>,
    /// The slot in whose memory it is, if it is a value that is there in another order.
    pub view_of: Option<usize>,
}

impl Slot {
    /// Bytes from the first element to the end of the last.
    pub fn reach(&self) -> usize {
        let count: usize = self.shape.iter().product();
        let elements = match &self.strides {
            Some(strides) if count > 0 => self.shape.iter().zip(strides).map(|(length, stride)| (length - 1) * stride).sum::<usize>() + 1,
            _ => count,
        };
        elements * self.dtype.size()
    }
}

/// What a step does.
pub enum Work {
    /// Runs a fused region over the inputs.
    Region(Region, Vec<usize>),
    /// Reduces what a fused region computes from the inputs.
    Reduce(Reducing, Vec<usize>),
    /// Runs several steps over the same rows, tile by tile.
    Tiles(Tiles),
    /// Runs one node. Operands that are `None` are overwritten.
    Node(Vec<Option<usize>>),
    /// Runs a matrix product, and a fused region over rows of it.
    Product(Product),
    /// Scatters what a fused region computes.
    Scatter(Scatter),
    /// Looks at the indices of a gather, whose rows are read in the table: its operands. The result is a list.
    Places(Vec<usize>),
    /// Copies the parts of a join that no step has written to it; other parts, these slots, are there.
    Join(Vec<Copy>, Vec<usize>),
    /// Runs a loop, a branch, or what is computed again: with these operands, and memory for itself.
    Control(Arc<Planned>, Vec<usize>, usize),
}

/// One step of a plan.
pub struct Step {
    /// Its number before steps were put together.
    pub at: usize,
    /// The node (of a region the last one).
    pub node: NodeId,
    /// The nodes of a region.
    pub members: Vec<NodeId>,
    /// What to do.
    pub work: Work,
    /// The results' slots.
    pub results: Vec<usize>,
    /// Of a matrix product the constant on the right, packed.
    pub packed: Option<Arc<Vec<u64>>>,
    /// What is fused into the step, and what it overwrites, for people.
    pub note: String,
}

impl Step {
    /// The constant on the right of a matrix product, as [`packed::pack`] has it.
    pub fn packed(&self) -> Option<&[u8]> {
        self.packed.as_ref().map(|packed| as_bytes(packed.as_slice()))
    }

    /// What the instructions of its kernel come from, by the numbers that [`Lowering::begin`](crate::kernel::lower::Lowering::begin) was given: the places of its
    /// members, from the last one back.
    pub fn origin<'a>(&'a self, code: &'a Code) -> impl Fn(u32) -> Option<String> + 'a {
        move |number| {
            let node = code.graph.node(*self.members.get(self.members.len().checked_sub(number as usize)?)?);
            let line = if node.location.is_known() { format!("  ({})", node.location) } else { String::new() };
            Some(format!("{}{line}", node.op_name()))
        }
    }
}

/// Steps and places for one signature.
pub struct Plan {
    /// The values.
    pub slots: Vec<Slot>,
    /// Where each storage lies.
    pub places: Vec<Place>,
    /// The bytes of each new block that becomes a result.
    pub result_bytes: Vec<usize>,
    /// The tensors that the plan holds.
    pub constants: Vec<Tensor>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Bytes of the arena.
    pub arena: usize,
    /// The slot of each output, and whether it must be copied out (arguments, constants, repetitions).
    pub outputs: Vec<(usize, bool)>,
}

impl Plan {
    /// A plan, or `None` if shapes depend on values.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn new(code: &Code, context: &Context<'_>, pool: &Arc<Pool>, shapes: &[Shape], values: &[(usize, Tensor)], donated: &[bool]) -> Result<Option<Plan>> {
        match Known::new(code, context, pool, shapes, values)? {
            Some(known) => steps::lay_out(code, context.cache, &known, donated).map(Some),
            None => Ok(None),
        }
    }

    /// The storage that a storage is a part of, and from which byte on; itself if it is no part.
    pub fn whole(&self, storage: usize) -> (usize, usize) {
        match self.places[storage] {
            Place::Part(whole, offset) => (whole, offset),
            _ => (storage, 0),
        }
    }

    /// The matrix products of this backend's kernels that are better computed by a packed matrix on the right, and have no
    /// constant there: the step, the matrix's slot, and the bytes when it is packed.
    pub fn right_matrices(&self, code: &Code) -> impl Iterator<Item = (usize, usize, usize)> {
        self.steps.iter().enumerate().filter_map(|(at, step)| {
            let (step, operands) = match &step.work {
                Work::Node(operands) => (step, operands.as_slice()),
                Work::Product(product) => (&*product.step, product.operands().0),
                _ => return None,
            };
            let &[Some(x), Some(y)] = operands else { return None };
            let bytes = packed::bytes(self.slots[y].dtype, &self.slots[x].shape, &self.slots[y].shape)?;
            (code.is_matrix_product(step.node) && step.packed.is_none()).then_some((at, y, bytes))
        })
    }

    /// Bytes beside arguments and results, of a run on so many threads.
    pub fn workspace(&self, code: &Code, threads: usize) -> usize {
        self.arena + self.scratch(code, threads)
    }

    /// The plan for people: where values lie, and, if wanted, the kernels of each step.
    pub fn describe(&self, code: &Code, kernels: bool) -> String {
        let mut text = String::new();
        let slot = |text: &mut String, at: usize| {
            let slot = &self.slots[at];
            let (storage, within) = self.whole(slot.storage);
            let place = match self.places[storage] {
                Place::Argument(number) => format!("argument {number}"),
                Place::Constant(number) => format!("constant {number}"),
                Place::Result(number) => format!("result {number}"),
                Place::Arena(offset) | Place::Part(_, offset) => format!("arena+{offset}"),
            };
            let _ = write!(text, "{}{:?}@{place}", slot.dtype, slot.shape.as_slice());
            if let Place::Part(..) = self.places[slot.storage] { let _ = write!(text, "+{within}"); }
            if slot.strides.is_some() { text.push_str(" by rows"); }
        };
        for (at, step) in self.steps.iter().enumerate() {
            let _ = write!(text, "  step {at}: {}", code.graph.node(step.node).op_name());
            for &result in &step.results {
                text.push(' ');
                slot(&mut text, result);
            }
            text.push_str(&step.note);
            text.push('\n');
            match &step.work {
                Work::Control(planned, ..) => text.push_str(&planned.describe(kernels)),
                _ if !kernels => {}
                Work::Region(region, _) => text.push_str(&region.describe(&step.origin(code))),
                Work::Reduce(reducing, _) => text.push_str(&reducing.describe(&step.origin(code))),
                Work::Tiles(tiles) => text.push_str(&tiles.describe(code)),
                Work::Scatter(scatter) => text.push_str(&scatter.region.describe(&step.origin(code))),
                Work::Product(product) => text.push_str(&product.region.describe(&step.origin(code))),
                Work::Node(..) | Work::Join(..) | Work::Places(..) => {}
            }
        }
        let _ = writeln!(text, "  peak: {} bytes", self.arena);
        text
    }
}
