//! Running a compiled program: by a plan, or step by step where shapes depend on values.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arignote_core::graph::NodeId;
use arignote_core::plugin::{Argument, Executable, Host, ProfileEntry, run_with_descriptors};
use arignote_core::tensor::{DeviceTensor, Dim, Shape, Tensor, contiguous_strides};
use arignote_core::{Error, ErrorKind, Result};
use smallvec::SmallVec;

use crate::buffer::{ALIGNMENT, Block, MEMORY, Pool, View, ViewMut};
use crate::code::Code;
use crate::frame::ControlFrame;
use crate::kernel::compiled::{Addresses, Cache};
use crate::kernels::{Call, Context, OfProduct, index};
use crate::plan::{Place, Plan, Work};
use crate::signature::{Plans, Signature};
use crate::unplanned::{cancelled, unplanned};

/// A compiled program.
pub struct Runner {
    /// The program.
    pub code: Code,
    /// The host.
    pub host: Arc<dyn Host>,
    /// Threads to use at most.
    pub threads: usize,
    /// Memory.
    pub pool: Arc<Pool>,
    /// Compiled kernels.
    pub cache: Arc<Cache>,
    /// Time per statement, where it is asked for.
    pub profile: Option<Mutex<HashMap<usize, ProfileEntry>>>,
    /// Which arguments the caller may give away.
    pub donatable: Vec<bool>,
    /// Plans by signature.
    pub plans: Plans,
}

/// An output of a run.
struct Produced {
    slot: usize,
    start: *mut u8,
    keeper: Keeper,
}

/// What keeps an output's memory alive.
enum Keeper {
    Block(Arc<Block>),
    Argument(usize),
}

/// A contiguous tensor in host memory that `owner` keeps alive.
pub fn host_tensor(shape: &[usize], dtype: arignote_core::tensor::DType, data: *mut u8, owner: Arc<dyn std::any::Any + Send + Sync>) -> DeviceTensor {
    DeviceTensor { data, memory: MEMORY, ordinal: 0, dtype, shape: Shape::from_slice(shape), strides: contiguous_strides(shape), byte_offset: 0, owner }
}

/// Makes arguments contiguous and aligned, and leaves donated only those that may indeed be overwritten.
fn arrange(arguments: &mut [Argument]) -> Result<()> {
    for number in 0..arguments.len() {
        if arguments[number].donated {
            let address = arguments[number].tensor.data;
            let twice = arguments.iter().enumerate().any(|(other, argument)| other != number && argument.tensor.data == address);
            arguments[number].donated = !twice;
        }
    }
    for Argument { tensor, donated } in arguments {
        if tensor.memory != MEMORY {
            return Err(Error::new(ErrorKind::Device, "an argument is not in host memory"));
        }
        let aligned = tensor.data.addr().wrapping_add(tensor.byte_offset).is_multiple_of(tensor.dtype.size());
        if !tensor.is_contiguous() || !aligned || tensor.data.is_null() {
            // A copy is this run's own, but an owner made from a tensor is shared for reading.
            (*tensor, *donated) = (DeviceTensor::from_host(tensor.to_host()?), false);
        }
    }
    Ok(())
}

impl Runner {
    fn check(&self, arguments: &[Argument]) -> Result<()> {
        let inputs = self.code.graph.inputs();
        if inputs.len() != arguments.len() {
            let message = format!("expected {} arguments, found {}", inputs.len(), arguments.len());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (number, (input, Argument { tensor, .. })) in inputs.iter().zip(arguments).enumerate() {
            let ty = self.code.graph.ty(input.output(0));
            let found = || format!("argument {number}: expected {ty}, found {}{:?}", tensor.dtype, tensor.shape.as_slice());
            if !ty.admits(tensor.dtype, &tensor.shape) {
                return Err(Error::new(ErrorKind::Runtime, found()));
            }
            for (dim, &length) in ty.dims.iter().zip(&tensor.shape) {
                if let Dim::Named(name) = dim
                    && *names.entry(name).or_insert(length) != length
                {
                    return Err(Error::new(ErrorKind::Runtime, format!("{}; `{name}` is {} elsewhere", found(), names[&**name])));
                }
            }
        }
        Ok(())
    }

    /// An error if the run is cancelled.
    fn may_begin(&self) -> Result<()> {
        let Some(&first) = self.code.nodes.first() else { return Ok(()) };
        cancelled(&self.context()).map_err(|error| self.code.locate(first, error))
    }

    fn context(&self) -> Context<'_> {
        Context { host: &*self.host, threads: self.threads, cache: &self.cache }
    }

    fn plan(&self, signature: &Signature) -> Result<Option<Plan>> {
        Plan::new(&self.code, &self.context(), &self.pool, &signature.shapes, &[], &signature.donated)
    }

    /// The plan for arguments of these shapes, of which those are given away that may be.
    fn planned(&self, shapes: &[Shape]) -> Option<Arc<Plan>> {
        let signature = Signature { shapes: shapes.to_vec(), donated: self.donatable.clone() };
        self.plans.get(&signature, |signature| self.plan(signature)).ok()?
    }

    fn note(&self, node: NodeId, start: Instant, bytes: usize) {
        let Some(profile) = &self.profile else { return };
        let statement = self.code.statements.get(&node).copied().unwrap_or(0);
        let mut profile = profile.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let entry = profile.entry(statement).or_insert(ProfileEntry { statement, ..Default::default() });
        entry.calls += 1;
        entry.seconds += start.elapsed().as_secs_f64();
        entry.bytes += bytes as u64;
    }

    /// Runs a plan with arguments at these addresses. The results stand in the order of outputs.
    fn run_planned(&self, plan: &Plan, arguments: &[*mut u8]) -> Result<SmallVec<[Produced; 4]>> {
        let arena = if plan.arena > 0 { Some(self.pool.block(plan.arena)?) } else { None };
        let arena = arena.as_ref().map_or(std::ptr::without_provenance_mut(ALIGNMENT), Block::start);
        // All memory first: where there is none, nothing has been overwritten. Loops of `push` take half the time of `collect`,
        // which a small call would feel.
        let mut blocks: SmallVec<[Arc<Block>; 4]> = SmallVec::new();
        for &bytes in &plan.result_bytes { blocks.push(Arc::new(self.pool.block(bytes)?)); }
        let mut copies: SmallVec<[Arc<Block>; 4]> = SmallVec::new();
        for &(slot, _) in plan.outputs.iter().filter(|output| output.1) {
            let slot = &plan.slots[slot];
            copies.push(Arc::new(self.pool.block(slot.dtype.size() * slot.shape.iter().product::<usize>())?));
        }
        let start = |slot: usize| -> *mut u8 {
            let (whole, within) = plan.whole(plan.slots[slot].storage);
            let start = match plan.places[whole] {
                Place::Argument(number) => arguments[number],
                Place::Constant(number) => plan.constants[number].as_ptr().cast_mut(),
                Place::Result(number) => blocks[number].start(),
                Place::Arena(offset) | Place::Part(_, offset) => arena.wrapping_add(offset),
            };
            start.wrapping_add(within)
        };
        let length = |slot: usize| plan.slots[slot].dtype.size() * plan.slots[slot].shape.iter().product::<usize>();
        let view = |slot: usize| -> View<'_> {
            let (dtype, shape) = (plan.slots[slot].dtype, plan.slots[slot].shape.as_slice());
            // SAFETY: the plan gives every living value memory of its size that nothing else is written
            // to while it lives; arguments were checked to be contiguous and of this shape.
            View { dtype, shape, bytes: unsafe { std::slice::from_raw_parts(start(slot), plan.slots[slot].reach()) } }
        };
        let context = self.context();
        for step in &plan.steps {
            let began = self.profile.as_ref().map(|_| Instant::now());
            match &step.work {
                Work::Region(region, inputs) => {
                    let mut arrays = Addresses::new();
                    for &slot in inputs.iter().chain(&step.results) { arrays.push(start(slot)); }
                    // SAFETY: as above; the region was made for the shapes of inputs and results, and the plan
                    // overwrites only inputs of the results' shape and element size. What is only read is not
                    // written to.
                    unsafe { region.run(&context, &arrays) };
                }
                Work::Reduce(reducing, inputs) => {
                    let mut arrays = Addresses::new();
                    for &slot in inputs.iter().chain(&step.results) { arrays.push(start(slot)); }
                    // SAFETY: as above; the result lies apart.
                    unsafe { reducing.run(&context, &arrays) };
                }
                Work::Scatter(scatter) => {
                    let operands: Vec<Option<View<'_>>> = scatter.operands().iter().enumerate().map(|(number, slot)| slot.map(|slot| match number {
                        // It is nowhere.
                        1 => View { dtype: plan.slots[slot].dtype, shape: &plan.slots[slot].shape, bytes: &[] },
                        _ => view(slot),
                    })).collect();
                    let mut results: Vec<ViewMut<'_>> = step.results.iter().map(|&slot| {
                        // SAFETY: as for nodes.
                        let bytes = unsafe { std::slice::from_raw_parts_mut(start(slot), length(slot)) };
                        ViewMut { dtype: plan.slots[slot].dtype, shape: &plan.slots[slot].shape, bytes }
                    }).collect();
                    let arrays: Addresses = scatter.inputs.iter().map(|&slot| start(slot)).collect();
                    // SAFETY: as for regions; the plan keeps what the op writes apart from what the region reads.
                    let source = unsafe { scatter.source(&arrays) };
                    let (kernel, attributes) = self.code.kernel(step.node)?;
                    let mut call = Call { context: &context, attributes, operands: &operands, results: &mut results, product: OfProduct::default(), source: Some(&source) };
                    kernel(&mut call).map_err(|error| self.code.describe(step.node, &operands, error))?;
                }
                Work::Product(product) => {
                    let (operands, target) = product.operands();
                    let strides: SmallVec<[Option<&[usize]>; 4]> = operands.iter().map(|slot| slot.and_then(|slot| plan.slots[slot].strides.as_deref())).collect();
                    let operands: Vec<Option<View<'_>>> = operands.iter().map(|slot| slot.map(view)).collect();
                    let (dtype, shape) = (plan.slots[target].dtype, plan.slots[target].shape.as_slice());
                    let arrays: Addresses = product.inputs.iter().chain(&step.results[1..]).map(|&slot| start(slot)).collect();
                    // SAFETY: as for products and regions alone; the plan keeps what the region writes apart from operands.
                    let (after, bytes) = unsafe { (product.after(&arrays, start(target)), std::slice::from_raw_parts_mut(start(target), length(target))) };
                    self.code.compute(&context, product.step.node, &operands, OfProduct { strides: &strides, after: Some(&after), packed: product.step.packed() }, &mut [ViewMut { dtype, shape, bytes }])?;
                }
                Work::Node(operands) => {
                    let strides: SmallVec<[Option<&[usize]>; 4]> = operands.iter().map(|slot| slot.and_then(|slot| plan.slots[slot].strides.as_deref())).collect();
                    let operands: Vec<Option<View<'_>>> = operands.iter().map(|slot| slot.map(view)).collect();
                    let mut results: Vec<ViewMut<'_>> = step.results.iter().map(|&slot| {
                        // SAFETY: as above; a step's results lie apart from each other and from all
                        // operands but those that are `None`.
                        let bytes = unsafe { std::slice::from_raw_parts_mut(start(slot), length(slot)) };
                        ViewMut { dtype: plan.slots[slot].dtype, shape: &plan.slots[slot].shape, bytes }
                    }).collect();
                    self.code.compute(&context, step.node, &operands, OfProduct { strides: &strides, after: None, packed: step.packed() }, &mut results)?;
                }
                Work::Places(operands) => {
                    let operands: Vec<Option<View<'_>>> = operands.iter().map(|&slot| Some(view(slot))).collect();
                    let mut results: Vec<ViewMut<'_>> = step.results.iter().map(|&slot| {
                        // SAFETY: as above.
                        let bytes = unsafe { std::slice::from_raw_parts_mut(start(slot), length(slot)) };
                        ViewMut { dtype: plan.slots[slot].dtype, shape: &plan.slots[slot].shape, bytes }
                    }).collect();
                    let attributes = self.code.graph.node(step.node).apply().map(|(_, attributes)| attributes);
                    let attributes = attributes.ok_or_else(|| Error::new(ErrorKind::Internal, "a node is not an application"))?;
                    let mut call = Call { context: &context, attributes, operands: &operands, results: &mut results, product: OfProduct::default(), source: None };
                    index::row_starts(&mut call).map_err(|error| self.code.describe(step.node, &operands, error))?;
                }
                Work::Join(copies, _) => for copy in copies {
                    // SAFETY: as above; the part is the join's, and the value lies elsewhere.
                    unsafe { copy.run(&context, start(copy.from), start(copy.to)) };
                },
                // SAFETY: as above, for each of its steps.
                Work::Tiles(tiles) => unsafe { tiles.run(&self.code, &context, &plan.slots, start) },
                Work::Control(planned, operands, scratch) => {
                    let operands: Vec<*const u8> = operands.iter().map(|&slot| start(slot).cast_const()).collect();
                    let results: Vec<*mut u8> = step.results.iter().map(|&slot| start(slot)).collect();
                    let mut frame = ControlFrame::new(planned, &self.pool, start(*scratch));
                    // SAFETY: as above; the memory for itself is as long as the plan says.
                    unsafe { frame.run(&context, &operands, &results) }.map_err(|error| self.code.locate(step.node, error))?;
                }
            }
            if let Some(began) = began {
                self.note(step.node, began, step.results.iter().map(|&slot| length(slot)).sum());
            }
        }
        let mut produced: SmallVec<[Produced; 4]> = SmallVec::new();
        let mut copies = copies.into_iter();
        for &(slot, copied) in &plan.outputs {
            let place = plan.places[plan.slots[slot].storage];
            let (start, keeper) = match (if copied { copies.next() } else { None }, place) {
                (Some(block), _) => {
                    // SAFETY: both hold the value's bytes, and the block is new.
                    unsafe { std::ptr::copy_nonoverlapping(start(slot).cast_const(), block.start(), length(slot)) };
                    (block.start(), Keeper::Block(block))
                }
                (None, Place::Result(number)) => (blocks[number].start(), Keeper::Block(blocks[number].clone())),
                (None, Place::Argument(number)) => (arguments[number], Keeper::Argument(number)),
                (None, _) => return Err(Error::new(ErrorKind::Internal, "an output has no memory of its own")),
            };
            produced.push(Produced { slot, start, keeper });
        }
        Ok(produced)
    }

    /// Runs a plan with descriptors.
    fn run_described(&self, plan: &Plan, arguments: &[Argument]) -> Result<Vec<DeviceTensor>> {
        let addresses: Addresses = arguments.iter().map(|argument| argument.tensor.data.wrapping_add(argument.tensor.byte_offset)).collect();
        let produced = self.run_planned(plan, &addresses)?;
        Ok(produced.into_iter().map(|Produced { slot, start, keeper }| {
            let owner = match keeper {
                Keeper::Block(block) => block,
                Keeper::Argument(number) => arguments[number].tensor.owner.clone(),
            };
            host_tensor(&plan.slots[slot].shape, plan.slots[slot].dtype, start, owner)
        }).collect())
    }

    fn run_unplanned(&self, arguments: &[Argument]) -> Result<Vec<DeviceTensor>> {
        let views: Vec<View<'_>> = arguments.iter().map(|Argument { tensor, .. }| {
            // SAFETY: the argument was checked to be contiguous host memory of its shape.
            let bytes = unsafe { std::slice::from_raw_parts(tensor.data.add(tensor.byte_offset), tensor.len() * tensor.dtype.size()) };
            View { dtype: tensor.dtype, shape: &tensor.shape, bytes }
        }).collect();
        let values = unplanned(&self.code, &self.context(), &self.pool, &views, &|node, began| self.note(node, began, 0))?;
        Ok(values.into_iter().map(|value| host_tensor(&value.shape, value.dtype, value.block.start(), Arc::new(value.block))).collect())
    }
}

impl Executable for Runner {
    fn run(&self, mut arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        arrange(&mut arguments)?;
        self.may_begin()?;
        if let Some(plan) = self.plans.same(&arguments) {
            return self.run_described(&plan, &arguments);
        }
        self.check(&arguments)?;
        let shapes = arguments.iter().map(|argument| argument.tensor.shape.clone()).collect();
        let signature = Signature { shapes, donated: arguments.iter().map(|argument| argument.donated).collect() };
        let dtypes = arguments.iter().map(|argument| argument.tensor.dtype).collect();
        match self.plans.of(signature, dtypes, |signature| self.plan(signature))? {
            Some(plan) => self.run_described(&plan, &arguments),
            None => self.run_unplanned(&arguments),
        }
    }

    fn run_on_host(&self, arguments: &[&Tensor]) -> Result<Vec<Tensor>> {
        // Shapes that were not those of the last call are checked, and planned for, with descriptors.
        let Some(plan) = self.plans.same_of_tensors(arguments) else { return run_with_descriptors(self, arguments) };
        self.may_begin()?;
        let mut addresses = Addresses::new();
        for tensor in arguments { addresses.push(tensor.as_ptr().cast_mut()); }
        let produced = self.run_planned(&plan, &addresses)?;
        let mut results = Vec::with_capacity(produced.len());
        for Produced { slot, start, keeper } in produced {
            let slot = &plan.slots[slot];
            let tensor = match keeper {
                // SAFETY: the block has the value's elements, and nobody writes to it any more.
                Keeper::Block(block) => unsafe { Tensor::kept_by(block, slot.dtype, &slot.shape, start) },
                // Of donated ones alone.
                Keeper::Argument(_) => None,
            };
            results.push(tensor.ok_or_else(|| Error::new(ErrorKind::Internal, "a result has no memory of its own"))?);
        }
        Ok(results)
    }

    fn workspace(&self, shapes: &[Shape]) -> Option<u64> {
        if shapes.len() != self.code.graph.inputs().len() { return None; }
        Some(self.planned(shapes)?.workspace(&self.code, self.threads) as u64)
    }

    fn layout(&self, shapes: &[Shape]) -> Option<String> {
        if shapes.len() != self.code.graph.inputs().len() { return None; }
        let plan = self.planned(shapes)?;
        let scratch = plan.scratch(&self.code, self.threads);
        Some(format!("{}  scratch: {scratch} bytes of {} threads\n", plan.describe(&self.code, false), self.threads))
    }

    fn debug_text(&self) -> String {
        let texts = self.plans.texts(|Signature { shapes, donated }, plan| {
            let shapes: Vec<&[usize]> = shapes.iter().map(|shape| shape.as_slice()).collect();
            let body = plan.map_or("  step by step: shapes depend on values\n".to_owned(), |plan| plan.describe(&self.code, true));
            format!("plan for {shapes:?}, donated {donated:?}:\n{body}")
        });
        if texts.is_empty() { format!("{} nodes; a plan is made for the shapes of the first call\n", self.code.nodes.len()) } else { texts.concat() }
    }

    fn profile(&self) -> Vec<ProfileEntry> {
        let Some(profile) = &self.profile else { return Vec::new() };
        let mut entries = profile.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let statement = |node: &NodeId| self.code.statements.get(node).copied();
        for node in &self.code.nodes {
            let Some(statement) = statement(node) else { continue };
            entries.entry(statement).or_insert(ProfileEntry { statement, ..Default::default() });
        }
        for step in self.plans.all().iter().flat_map(|plan| &plan.steps).filter(|step| step.members.len() > 1) {
            let fused: Vec<usize> = step.members.iter().filter_map(statement).collect();
            if let Some(entry) = statement(&step.node).and_then(|statement| entries.get_mut(&statement)) {
                entry.fused = fused;
            }
        }
        let mut entries: Vec<ProfileEntry> = entries.into_values().collect();
        entries.sort_by_key(|entry| entry.statement);
        entries
    }
}
