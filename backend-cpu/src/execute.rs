//! Running a compiled program: by a plan, or step by step where shapes depend on values.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use arignote_core::graph::{NodeId, ValueId};
use arignote_core::plugin::{Argument, Executable, Host, ProfileEntry};
use arignote_core::tensor::{DeviceTensor, Dim, Shape, Tensor, contiguous_strides};
use arignote_core::{Error, ErrorKind, Result};

use crate::buffer::{Block, MEMORY, Pool, View, ViewMut};
use crate::code::{Code, Value};
use crate::kernels::Context;
use crate::kernels::elementwise::Source;
use crate::plan::{Place, Plan, Work};

type Signature = (Vec<Shape>, Vec<bool>);

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
    /// Time per statement, where it is asked for.
    pub profile: Option<Mutex<HashMap<usize, ProfileEntry>>>,
    /// Plans by signature; `None` where shapes depend on values.
    pub plans: RwLock<HashMap<Signature, Option<Arc<Plan>>>>,
}

/// Signatures that are remembered at most.
const PLANS: usize = 1024;

/// A contiguous tensor in host memory that `owner` keeps alive.
pub fn host_tensor(shape: &[usize], dtype: arignote_core::tensor::DType, data: *mut u8, owner: Arc<dyn std::any::Any + Send + Sync>) -> DeviceTensor {
    DeviceTensor { data, memory: MEMORY, ordinal: 0, dtype, shape: shape.into(), strides: contiguous_strides(shape), byte_offset: 0, owner }
}

/// An argument made contiguous and aligned.
fn arranged(tensor: DeviceTensor) -> Result<(DeviceTensor, bool)> {
    if tensor.memory != MEMORY {
        return Err(Error::new(ErrorKind::Device, "an argument is not in host memory"));
    }
    let aligned = tensor.data.addr().wrapping_add(tensor.byte_offset).is_multiple_of(tensor.dtype.size());
    if tensor.is_contiguous() && aligned && !tensor.data.is_null() {
        return Ok((tensor, false));
    }
    Ok((DeviceTensor::from_host(tensor.to_host()?), true))
}

impl Runner {
    fn check(&self, shapes: &[&DeviceTensor]) -> Result<()> {
        let inputs = self.code.graph.inputs();
        if inputs.len() != shapes.len() {
            let message = format!("expected {} arguments, found {}", inputs.len(), shapes.len());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (number, (input, tensor)) in inputs.iter().zip(shapes).enumerate() {
            let ty = self.code.graph.ty(input.output(0));
            let found = format!("argument {number}: expected {ty}, found {}{:?}", tensor.dtype, tensor.shape.as_slice());
            if !ty.admits(tensor.dtype, &tensor.shape) {
                return Err(Error::new(ErrorKind::Runtime, found));
            }
            for (dim, &length) in ty.dims.iter().zip(&tensor.shape) {
                if let Dim::Named(name) = dim
                    && *names.entry(name).or_insert(length) != length
                {
                    return Err(Error::new(ErrorKind::Runtime, format!("{found}; `{name}` is {} elsewhere", names[&**name])));
                }
            }
        }
        Ok(())
    }

    fn context(&self) -> Context<'_> {
        Context { host: &*self.host, threads: self.threads }
    }

    fn plan(&self, signature: Signature) -> Result<Option<Arc<Plan>>> {
        if let Some(plan) = self.plans.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&signature) {
            return Ok(plan.clone());
        }
        let plan = Plan::new(&self.code, &self.context(), &self.pool, &signature.0, &signature.1)?.map(Arc::new);
        let mut plans = self.plans.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if plans.len() >= PLANS {
            plans.clear();
        }
        plans.insert(signature, plan.clone());
        Ok(plan)
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

    fn cancelled(&self, node: NodeId) -> Result<()> {
        if self.host.cancelled() {
            return Err(self.code.locate(node, Error::new(ErrorKind::Runtime, "the run was cancelled")));
        }
        Ok(())
    }

    fn run_planned(&self, plan: &Plan, arguments: &[DeviceTensor]) -> Result<Vec<DeviceTensor>> {
        let arena = self.pool.block(plan.arena)?;
        let blocks: Vec<Block> = plan.result_bytes.iter().map(|&bytes| self.pool.block(bytes)).collect::<Result<_>>()?;
        let mut copies: Vec<Option<Block>> = Vec::new();
        for &(slot, copy) in &plan.outputs {
            let slot = &plan.slots[slot];
            let bytes = slot.dtype.size() * slot.shape.iter().product::<usize>();
            copies.push(if copy { Some(self.pool.block(bytes)?) } else { None });
        }
        let start = |slot: usize| -> *mut u8 {
            match plan.places[plan.slots[slot].storage] {
                Place::Argument(number) => arguments[number].data.wrapping_add(arguments[number].byte_offset),
                Place::Constant(number) => plan.constants[number].as_ptr().cast_mut(),
                Place::Result(number) => blocks[number].start(),
                Place::Arena(offset) => arena.start().wrapping_add(offset),
            }
        };
        let length = |slot: usize| plan.slots[slot].dtype.size() * plan.slots[slot].shape.iter().product::<usize>();
        let view = |slot: usize| -> View<'_> {
            let (dtype, shape) = (plan.slots[slot].dtype, plan.slots[slot].shape.as_slice());
            // SAFETY: the plan gives every living value memory of its size that nothing else is written
            // to while it lives; arguments were checked to be contiguous and of this shape.
            View { dtype, shape, bytes: unsafe { std::slice::from_raw_parts(start(slot), length(slot)) } }
        };
        let context = self.context();
        for step in &plan.steps {
            let began = Instant::now();
            match &step.work {
                Work::Region(region, inputs) => {
                    let sources: Vec<Source> = inputs.iter()
                        .map(|(slot, strides)| Source { start: start(*slot).cast_const(), strides: strides.clone() }).collect();
                    let result = step.results[0];
                    // SAFETY: as above; the strides were made from the shapes of inputs and result, and
                    // the plan overwrites only inputs of the result's shape and element size.
                    unsafe { region.run(&context, &plan.slots[result].shape, &sources, start(result)) };
                }
                Work::Node(operands) => {
                    let operands: Vec<Option<View<'_>>> = operands.iter().map(|slot| slot.map(view)).collect();
                    let mut results: Vec<ViewMut<'_>> = step.results.iter().map(|&slot| {
                        // SAFETY: as above; a step's results lie apart from each other and from all
                        // operands but those that are `None`.
                        let bytes = unsafe { std::slice::from_raw_parts_mut(start(slot), length(slot)) };
                        ViewMut { dtype: plan.slots[slot].dtype, shape: &plan.slots[slot].shape, bytes }
                    }).collect();
                    self.code.compute(&context, step.node, &operands, &mut results)?;
                }
            }
            if self.profile.is_some() {
                self.note(step.node, began, step.results.iter().map(|&slot| length(slot)).sum());
            }
        }
        let owners: Vec<Arc<Block>> = blocks.into_iter().map(Arc::new).collect();
        let mut outputs = Vec::new();
        for (&(slot, _), copy) in plan.outputs.iter().zip(copies) {
            let described = &plan.slots[slot];
            let from = match plan.places[described.storage] {
                Place::Result(number) => owners[number].start(),
                Place::Argument(number) => arguments[number].data.wrapping_add(arguments[number].byte_offset),
                Place::Constant(number) => plan.constants[number].as_ptr().cast_mut(),
                Place::Arena(offset) => arena.start().wrapping_add(offset),
            };
            outputs.push(match (copy, plan.places[described.storage]) {
                (Some(block), _) => {
                    // SAFETY: both hold the value's bytes, and the block is new.
                    unsafe { std::ptr::copy_nonoverlapping(from.cast_const(), block.start(), length(slot)) };
                    host_tensor(&described.shape, described.dtype, block.start(), Arc::new(block))
                }
                (None, Place::Result(number)) => host_tensor(&described.shape, described.dtype, from, owners[number].clone()),
                (None, Place::Argument(number)) => host_tensor(&described.shape, described.dtype, from, arguments[number].owner.clone()),
                (None, _) => return Err(Error::new(ErrorKind::Internal, "an output has no memory of its own")),
            });
        }
        Ok(outputs)
    }

    fn run_unplanned(&self, arguments: &[DeviceTensor]) -> Result<Vec<DeviceTensor>> {
        let graph = &self.code.graph;
        let mut last: HashMap<ValueId, usize> = HashMap::new();
        for (at, &id) in self.code.nodes.iter().enumerate() {
            for &value in graph.node(id).operands { last.insert(value, at); }
        }
        for &value in graph.outputs() { last.insert(value, usize::MAX); }
        let mut values: HashMap<ValueId, Value> = HashMap::new();
        let given: HashMap<ValueId, usize> = graph.inputs().iter().enumerate().map(|(at, id)| (id.output(0), at)).collect();
        let context = self.context();
        fn view<'a>(code: &'a Code, arguments: &'a [DeviceTensor], given: &HashMap<ValueId, usize>, values: &'a HashMap<ValueId, Value>, value: ValueId) -> Result<View<'a>> {
            if let Some(value) = values.get(&value) { return Ok(value.view()); }
            if let Some(&number) = given.get(&value) {
                let tensor = &arguments[number];
                // SAFETY: the argument was checked to be contiguous host memory of its shape.
                let bytes = unsafe { std::slice::from_raw_parts(tensor.data.add(tensor.byte_offset), tensor.len() * tensor.dtype.size()) };
                return Ok(View { dtype: tensor.dtype, shape: &tensor.shape, bytes });
            }
            match code.graph.node(value.node).constant() {
                Some(constant) => Ok(View::of(&constant.value)),
                None => Err(Error::new(ErrorKind::Internal, "a value is used before it is computed")),
            }
        }
        for (at, &id) in self.code.nodes.iter().enumerate() {
            self.cancelled(id)?;
            let began = Instant::now();
            let node = graph.node(id);
            let operands: Vec<View<'_>> = node.operands.iter()
                .map(|&value| view(&self.code, arguments, &given, &values, value)).collect::<Result<_>>()?;
            let own: Vec<&[usize]> = operands.iter().map(|operand| operand.shape).collect();
            let size = |operand: usize| -> Option<Tensor> { operands[operand].tensor().ok() };
            let missing = || Error::new(ErrorKind::Internal, "a shape is not known");
            let shapes = self.code.shapes(&node, &own, &size).and_then(|s| s.ok_or_else(missing)).map_err(|e| self.code.locate(id, e))?;
            let results = self.code.evaluate(&context, &self.pool, id, &operands, &shapes)?;
            self.note(id, began, 0);
            for (output, value) in results.into_iter().enumerate() {
                if last.contains_key(&id.output(output)) { values.insert(id.output(output), value); }
            }
            for value in node.operands {
                if last.get(value) == Some(&at) { values.remove(value); }
            }
        }
        graph.outputs().iter().map(|&value| {
            let found = view(&self.code, arguments, &given, &values, value)?;
            let block = self.pool.block(found.bytes.len())?;
            // SAFETY: the block is new and as long.
            unsafe { std::ptr::copy_nonoverlapping(found.bytes.as_ptr(), block.start(), found.bytes.len()) };
            Ok(host_tensor(found.shape, found.dtype, block.start(), Arc::new(block)))
        }).collect()
    }
}

impl Executable for Runner {
    fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        self.check(&arguments.iter().map(|argument| &argument.tensor).collect::<Vec<_>>())?;
        let addresses: Vec<*mut u8> = arguments.iter().map(|argument| argument.tensor.data).collect();
        let mut tensors = Vec::new();
        let mut donated = Vec::new();
        for (number, argument) in arguments.into_iter().enumerate() {
            let (tensor, copied) = arranged(argument.tensor)?;
            // Someone else may hold the same host tensor.
            let copied = copied || tensor.owner.downcast_ref::<Tensor>().is_some();
            let shared = addresses.iter().enumerate().any(|(other, &address)| other != number && address == addresses[number]);
            // A copy is this run's own, but an owner made from a tensor is shared for reading.
            donated.push(argument.donated && !shared && !copied);
            tensors.push(tensor);
        }
        if let Some(&first) = self.code.nodes.first() { self.cancelled(first)?; }
        let shapes: Vec<Shape> = tensors.iter().map(|tensor| tensor.shape.clone()).collect();
        match self.plan((shapes, donated))? {
            Some(plan) => self.run_planned(&plan, &tensors),
            None => self.run_unplanned(&tensors),
        }
    }

    fn workspace(&self, shapes: &[Shape]) -> Option<u64> {
        if shapes.len() != self.code.graph.inputs().len() { return None; }
        let plan = self.plan((shapes.to_vec(), vec![false; shapes.len()])).ok()??;
        Some(plan.workspace() as u64)
    }

    fn debug_text(&self) -> String {
        let plans = self.plans.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut texts: Vec<String> = plans.iter().map(|((shapes, donated), plan)| {
            let shapes: Vec<&[usize]> = shapes.iter().map(|shape| shape.as_slice()).collect();
            let body = plan.as_ref().map_or("  step by step: shapes depend on values\n".to_owned(), |plan| plan.describe(&self.code));
            format!("plan for {shapes:?}, donated {donated:?}:\n{body}")
        }).collect();
        texts.sort();
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
        let plans = self.plans.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        for step in plans.values().flatten().flat_map(|plan| &plan.steps).filter(|step| step.members.len() > 1) {
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
