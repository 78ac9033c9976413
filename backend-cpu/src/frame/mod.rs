//! Plans that run again and again: once made ready, a run looks nothing up and allocates nothing.
//!
//! A [`Frame`] is a plan with its steps prepared for memory that is told before each run; a
//! [`ControlFrame`] the same for a loop, a branch, or what is computed again, with the frames inside.

mod control;

use std::sync::Arc;

use arignote_core::graph::NodeId;
use arignote_core::ops::Attributes;
use arignote_core::Result;

use crate::buffer::{Pool, View, ViewMut};
use crate::code::{Code, Implementation};
use crate::epilogues::Product;
use crate::joins::Copy;
use crate::kernel::reduce::Reducing;
use crate::kernel::run::Region;
use crate::kernels::{Call, Context, Kernel, OfProduct, index, packed};
use crate::scatters::Scatter;
use crate::control::Packing;
use crate::plan::{Place, Plan, Slot, Step, Work};
use crate::tiles::Tiles;

pub use control::ControlFrame;

/// A plan whose steps are prepared.
pub struct Frame<'a> {
    code: &'a Code,
    /// The first byte of each storage.
    bases: Vec<*mut u8>,
    /// The storage of each argument.
    arguments: Vec<usize>,
    /// The storage of each result.
    results: Vec<usize>,
    /// Each storage that is a part of another: itself, the other, and the bytes before it.
    parts: Vec<(usize, usize, usize)>,
    steps: Vec<Ready<'a>>,
    slots: Vec<usize>,
}

/// A step that is prepared. Numbers are those of storages.
enum Ready<'a> {
    Region { region: Fused<'a>, arrays: Vec<*mut u8>, slots: Vec<usize> },
    Tiles(&'a Tiles, &'a [Slot]),
    Kernel(Operation<'a>, Kernel, &'a Attributes),
    Scatter { operation: Operation<'a>, kernel: Kernel, attributes: &'a Attributes, scatter: &'a Scatter, arrays: Vec<*mut u8>, slots: Vec<usize> },
    Product { operation: Operation<'a>, product: &'a Product, arrays: Vec<*mut u8>, slots: Vec<usize> },
    Join(&'a [Copy]),
    Other(Operation<'a>),
    Control { node: NodeId, frame: Box<ControlFrame<'a>>, from: Vec<usize>, into: Vec<usize>, operands: Vec<*const u8>, results: Vec<*mut u8> },
}

/// A fused region, or its reduction.
#[derive(Clone, Copy)]
enum Fused<'a> {
    Elements(&'a Region),
    Reduced(&'a Reducing),
}

/// A node with its operands and results, and their storages and bytes.
struct Operation<'a> {
    node: NodeId,
    operands: Vec<Option<View<'a>>>,
    from: Vec<(usize, usize)>,
    strides: Vec<Option<&'a [usize]>>,
    packed: Option<&'a [u8]>,
    results: Vec<ViewMut<'a>>,
    into: Vec<(usize, usize)>,
}

impl<'a> Frame<'a> {
    /// A plan made ready, with memory for what it keeps for itself.
    pub fn new(code: &'a Code, plan: &'a Plan, pool: &'a Arc<Pool>, arena: *mut u8) -> Frame<'a> {
        let mut bases = Vec::with_capacity(plan.places.len());
        let (mut arguments, mut results) = (vec![0; code.graph.inputs().len()], vec![0; plan.result_bytes.len()]);
        let mut parts = Vec::new();
        for (storage, &place) in plan.places.iter().enumerate() {
            bases.push(match place {
                Place::Part(whole, offset) => {
                    parts.push((storage, whole, offset));
                    std::ptr::null_mut()
                }
                Place::Argument(number) => {
                    arguments[number] = storage;
                    std::ptr::null_mut()
                }
                Place::Result(number) => {
                    results[number] = storage;
                    std::ptr::null_mut()
                }
                Place::Constant(number) => plan.constants[number].as_ptr().cast_mut(),
                Place::Arena(offset) => arena.wrapping_add(offset),
            });
        }
        let slots: Vec<usize> = plan.slots.iter().map(|slot| slot.storage).collect();
        let steps = plan.steps.iter().map(|step| match &step.work {
            Work::Region(region, inputs) => Ready::Region {
                region: Fused::Elements(region),
                arrays: vec![std::ptr::null_mut(); inputs.len() + step.results.len()],
                slots: inputs.iter().chain(&step.results).map(|&slot| slots[slot]).collect(),
            },
            Work::Reduce(reducing, inputs) => Ready::Region {
                region: Fused::Reduced(reducing),
                arrays: vec![std::ptr::null_mut(); inputs.len() + step.results.len()],
                slots: inputs.iter().chain(&step.results).map(|&slot| slots[slot]).collect(),
            },
            Work::Tiles(tiles) => Ready::Tiles(tiles, &plan.slots),
            Work::Scatter(scatter) => {
                let operation = Operation::new(plan, step, scatter.operands(), &step.results);
                match code.kernel(step.node) {
                    Ok((kernel, attributes)) => Ready::Scatter {
                        operation, kernel, attributes, scatter,
                        arrays: vec![std::ptr::null_mut(); scatter.inputs.len()],
                        slots: scatter.inputs.iter().map(|&slot| slots[slot]).collect(),
                    },
                    Err(_) => Ready::Other(operation),
                }
            }
            Work::Product(product) => {
                let (operands, target) = product.operands();
                Ready::Product {
                    operation: Operation::new(plan, &product.step, operands, &[target]),
                    product,
                    arrays: vec![std::ptr::null_mut(); product.inputs.len() + step.results.len() - 1],
                    slots: product.inputs.iter().chain(&step.results[1..]).map(|&slot| slots[slot]).collect(),
                }
            }
            Work::Join(copies, _) => Ready::Join(copies),
            Work::Node(..) | Work::Places(_) => {
                let operands: Vec<Option<usize>> = match &step.work {
                    Work::Node(operands) => operands.clone(),
                    Work::Places(operands) => operands.iter().copied().map(Some).collect(),
                    _ => Vec::new(),
                };
                let operation = Operation::new(plan, step, &operands, &step.results);
                match (code.implementations.get(&step.node), code.graph.node(step.node).apply()) {
                    (_, Some((_, attributes))) if matches!(step.work, Work::Places(_)) => Ready::Kernel(operation, index::row_starts, attributes),
                    (Some(&Implementation::Kernel(kernel, _)), Some((_, attributes))) => Ready::Kernel(operation, kernel, attributes),
                    _ => Ready::Other(operation),
                }
            }
            Work::Control(planned, operands, scratch) => Ready::Control {
                node: step.node,
                frame: Box::new(ControlFrame::new(planned, pool, bases[slots[*scratch]])),
                from: operands.iter().map(|&slot| slots[slot]).collect(),
                into: step.results.iter().map(|&slot| slots[slot]).collect(),
                operands: vec![std::ptr::null(); operands.len()],
                results: vec![std::ptr::null_mut(); step.results.len()],
            },
        }).collect();
        Frame { code, bases, arguments, results, parts, steps, slots }
    }

    fn set_argument(&mut self, number: usize, start: *const u8) {
        self.bases[self.arguments[number]] = start.cast_mut();
    }

    fn set_result(&mut self, number: usize, start: *mut u8) {
        self.bases[self.results[number]] = start;
    }

    /// Where a slot lies.
    fn start(&self, slot: usize) -> *mut u8 {
        self.bases[self.slots[slot]]
    }

    /// Finds where the parts of other storages are.
    fn find_parts(&mut self) {
        for &(part, whole, offset) in &self.parts {
            self.bases[part] = self.bases[whole].wrapping_add(offset);
        }
    }

    /// Packs the matrix on the right of a product into this memory, by which the product is computed from now on.
    ///
    /// # Safety
    /// As for a run: what the matrix lies in is set, and nobody else uses the memory while the frame runs.
    unsafe fn pack(&mut self, packing: &Packing, memory: *mut u8) {
        self.find_parts();
        let (Ready::Kernel(operation, ..) | Ready::Product { operation, .. }) = &mut self.steps[packing.step] else { return };
        operation.packed = None;
        let Some(view) = &mut operation.operands[1] else { return };
        let (storage, bytes) = operation.from[1];
        // SAFETY: by the caller's promise; what was packed here before is used no more.
        unsafe {
            view.bytes = std::slice::from_raw_parts(self.bases[storage].cast_const(), bytes);
            packed::pack(*view, operation.strides[1], std::slice::from_raw_parts_mut(memory, packing.bytes));
            operation.packed = Some(std::slice::from_raw_parts(memory, packing.bytes));
        }
    }

    /// Runs the plan once.
    ///
    /// # Safety
    /// Arguments and results are set to memory of the sizes that the plan says, apart from each other and from
    /// the arena; of the arguments only those that the plan may overwrite are written.
    unsafe fn run(&mut self, context: &Context<'_>) -> Result<()> {
        self.find_parts();
        let Frame { code, bases, steps, slots: storages, .. } = self;
        for step in steps {
            match step {
                Ready::Region { region, arrays, slots } => {
                    for (array, &slot) in arrays.iter_mut().zip(slots.iter()) { *array = bases[slot]; }
                    // SAFETY: the plan gives every living value memory of its size that nothing else is written
                    // to while it lives, and made the region for the shapes of inputs and results; it overwrites
                    // only inputs of the results' shape and element size.
                    unsafe {
                        match region {
                            Fused::Elements(region) => region.run(context, arrays),
                            Fused::Reduced(reducing) => reducing.run(context, arrays),
                        }
                    }
                }
                // SAFETY: as above, for each of its steps.
                Ready::Tiles(tiles, slots) => unsafe { tiles.run(code, context, slots, |slot| bases[storages[slot]]) },
                Ready::Join(copies) => for copy in *copies {
                    let (from, to) = (bases[storages[copy.from]].cast_const(), bases[storages[copy.to]]);
                    // SAFETY: as above; the part is the join's, and the value lies elsewhere.
                    unsafe { copy.run(context, from, to) };
                },
                Ready::Kernel(operation, kernel, attributes) => {
                    // SAFETY: as above; a step's results lie apart from each other and from all operands but those
                    // that are `None`.
                    unsafe { operation.place(bases) };
                    let Operation { node, operands, results, strides, packed, .. } = operation;
                    let product = OfProduct { strides, after: None, packed: *packed };
                    kernel(&mut Call { context, attributes, operands, results, product, source: None }).map_err(|error| code.describe(*node, operands, error))?;
                }
                Ready::Scatter { operation, kernel, attributes, scatter, arrays, slots } => {
                    for (array, &slot) in arrays.iter_mut().zip(slots.iter()) { *array = bases[slot]; }
                    // SAFETY: as for the op and the region alone; the plan keeps what the op writes apart from what the
                    // region reads, and the second operand's bytes are not looked at.
                    let source = unsafe {
                        operation.from[1].1 = 0;
                        operation.place(bases);
                        scatter.source(arrays)
                    };
                    let Operation { node, operands, results, .. } = operation;
                    let mut call = Call { context, attributes, operands, results, product: OfProduct::default(), source: Some(&source) };
                    kernel(&mut call).map_err(|error| code.describe(*node, operands, error))?;
                }
                Ready::Product { operation, product, arrays, slots } => {
                    for (array, &slot) in arrays.iter_mut().zip(slots.iter()) { *array = bases[slot]; }
                    // SAFETY: as for products and regions alone; the plan keeps what the region writes apart from operands.
                    let after = unsafe {
                        operation.place(bases);
                        product.after(arrays, bases[operation.into[0].0])
                    };
                    let Operation { node, operands, results, strides, packed, .. } = operation;
                    code.compute(context, *node, operands, OfProduct { strides, after: Some(&after), packed: *packed }, results)?;
                }
                Ready::Other(operation) => {
                    // SAFETY: as above.
                    unsafe { operation.place(bases) };
                    let Operation { node, operands, results, strides, packed, .. } = operation;
                    code.compute(context, *node, operands, OfProduct { strides, after: None, packed: *packed }, results)?;
                }
                Ready::Control { node, frame, from, into, operands, results } => {
                    for (operand, &from) in operands.iter_mut().zip(from.iter()) {
                        *operand = bases[from].cast_const();
                    }
                    for (result, &into) in results.iter_mut().zip(into.iter()) {
                        *result = bases[into];
                    }
                    // SAFETY: as above.
                    unsafe { frame.run(context, operands, results) }.map_err(|error| code.locate(*node, error))?;
                }
            }
        }
        Ok(())
    }
}

impl<'a> Operation<'a> {
    fn new(plan: &'a Plan, step: &'a Step, operands: &[Option<usize>], results: &[usize]) -> Operation<'a> {
        let place = |slot: usize| (plan.slots[slot].storage, plan.slots[slot].reach());
        Operation {
            node: step.node,
            packed: step.packed(),
            strides: operands.iter().map(|slot| slot.and_then(|slot| plan.slots[slot].strides.as_deref())).collect(),
            operands: operands.iter().map(|slot| slot.map(|slot| {
                View { dtype: plan.slots[slot].dtype, shape: &plan.slots[slot].shape, bytes: &[] }
            })).collect(),
            from: operands.iter().map(|slot| slot.map_or((0, 0), place)).collect(),
            results: results.iter().map(|&slot| {
                ViewMut { dtype: plan.slots[slot].dtype, shape: &plan.slots[slot].shape, bytes: &mut [] }
            }).collect(),
            into: results.iter().map(|&slot| place(slot)).collect(),
        }
    }

    /// Points the views to where the storages begin.
    ///
    /// # Safety
    /// The storages are as long as planned, initialized, and results apart from all else.
    unsafe fn place(&mut self, bases: &[*mut u8]) {
        for (operand, &(storage, bytes)) in self.operands.iter_mut().zip(&self.from) {
            if let Some(view) = operand {
                // SAFETY: by the caller's promise.
                view.bytes = unsafe { std::slice::from_raw_parts(bases[storage].cast_const(), bytes) };
            }
        }
        for (result, &(storage, bytes)) in self.results.iter_mut().zip(&self.into) {
            // SAFETY: by the caller's promise.
            result.bytes = unsafe { std::slice::from_raw_parts_mut(bases[storage], bytes) };
        }
    }
}
