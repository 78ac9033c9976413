//! Plans: for one signature of argument shapes, the steps of a run and where each value lies.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use arignote_core::Result;
use arignote_core::graph::{NodeId, ValueId};
use arignote_core::tensor::{DType, Shape, Tensor};

use crate::arena;
use crate::buffer::{Pool, View};
use crate::code::{Code, Implementation};
use crate::control::Planned;
use crate::kernels::Context;
use crate::kernel::lower::Lowering;
use crate::kernel::ir::Reduction;
use crate::kernel::reduce::{self, Reducing, Spec};
use crate::kernel::run::{Cache, Listed, REDUCTIONS, Region};
use crate::kernels::elementwise::broadcast_strides;
use crate::epilogues::{self, Product};
use crate::gathers::{self, Sources};
use crate::joins::{self, Copy, Part, Values};
use crate::tiles::{self, Access, Storages, Tiles};
use crate::reads::{Readers, Reads};
use crate::scatters::{self, Scatter};
use crate::views::{self, Source};

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
    /// What is fused into the step, and what it overwrites, for people.
    pub note: String,
}

impl Step {
    /// What the instructions of its kernel come from, by the numbers that [`Lowering::begin`] was given: the places of its
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

/// Memory that values lie in.
pub(crate) struct Storage {
    pub(crate) bytes: usize,
    /// The first and the last step that it lives in.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// Where it lies, if not in the arena.
    pub(crate) place: Option<Place>,
    output: bool,
    writable: bool,
}

impl Storages for Vec<Storage> {
    fn in_arena(&self, storage: usize) -> Option<usize> {
        self[storage].place.is_none().then_some(self[storage].bytes)
    }

    fn life(&self, storage: usize) -> (usize, usize) {
        (self[storage].first, self[storage].last)
    }

    fn is_temporary(&self, storage: usize) -> bool {
        self[storage].place.is_none() && self.iter().all(|other| !matches!(other.place, Some(Place::Part(whole, _)) if whole == storage))
    }

    fn home(&self, storage: usize) -> usize {
        match self[storage].place {
            Some(Place::Part(whole, _)) => whole,
            _ => storage,
        }
    }

    fn extend(&mut self, storage: usize, first: usize, last: usize) {
        let home = self.home(storage);
        let storage = &mut self[home];
        (storage.first, storage.last) = (storage.first.min(first), storage.last.max(last));
    }

    fn take_out(&mut self, storage: usize) {
        // It is nowhere, and nobody asks where.
        self[storage].place = Some(Place::Arena(0));
    }
}

impl Plan {
    /// A plan, or `None` if shapes depend on values.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn new(code: &Code, context: &Context<'_>, pool: &Arc<Pool>, shapes: &[Shape], donated: &[bool]) -> Result<Option<Plan>> {
        let mut known: HashMap<ValueId, Tensor> = HashMap::new();
        let mut shape_of: HashMap<ValueId, Shape> = HashMap::new();
        for (input, shape) in code.graph.inputs().iter().zip(shapes) {
            shape_of.insert(input.output(0), shape.clone());
        }
        for id in code.graph.ids() {
            if let Some(constant) = code.graph.node(id).constant() {
                shape_of.insert(id.output(0), constant.value.shape().into());
                known.insert(id.output(0), constant.value.clone());
            }
        }
        let mut controls = HashMap::new();
        for &id in &code.nodes {
            let view = code.graph.node(id);
            let own: Vec<&[usize]> = view.operands.iter().map(|value| shape_of[value].as_slice()).collect();
            let value = |operand: usize| known.get(&view.operands[operand]).cloned();
            let Some(results) = code.shapes(&view, &own, &value).map_err(|error| code.locate(id, error))? else {
                return Ok(None);
            };
            let small = results.iter().zip(view.results).all(|(shape, result)| {
                shape.iter().product::<usize>() <= 64 && !result.ty.dtype.is_float()
            });
            if view.op_name() == "shape" {
                let lengths = own[0].iter().map(|&length| length as i64).collect();
                known.insert(id.output(0), Tensor::vector(lengths));
            } else if let Some(Implementation::Control(control)) = code.implementations.get(&id) {
                let dtypes: Vec<DType> = view.operands.iter().map(|&value| code.graph.ty(value).dtype).collect();
                let planned = control.plan(context, pool, &dtypes, &own).map_err(|error| code.locate(id, error))?;
                controls.insert(id, planned);
            } else if small && view.operands.iter().all(|value| known.contains_key(value)) && code.can_fold(id) {
                let operands: Vec<View<'_>> = view.operands.iter().map(|value| View::of(&known[value])).collect();
                // What fails here fails again, and is reported, when the step runs.
                if let Ok(values) = code.evaluate(context, pool, id, &operands) {
                    for (output, value) in values.iter().enumerate() {
                        known.insert(id.output(output), value.view().tensor()?);
                    }
                }
            }
            for (output, shape) in results.into_iter().enumerate() {
                shape_of.insert(id.output(output), shape);
            }
        }
        Planner { code, cache: context.cache, known, controls, shape_of, slots: Vec::new(), storages: Vec::new(), constants: Vec::new(), slot_of: HashMap::new(), parts: HashMap::new() }
            .lay_out(donated)
            .map(Some)
    }

    /// The storage that a storage is a part of, and from which byte on; itself if it is no part.
    pub fn whole(&self, storage: usize) -> (usize, usize) {
        match self.places[storage] {
            Place::Part(whole, offset) => (whole, offset),
            _ => (storage, 0),
        }
    }

    /// Bytes beside arguments and results.
    pub fn workspace(&self) -> usize {
        self.arena
    }

    /// The plan for people.
    pub fn describe(&self, code: &Code) -> String {
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
                Work::Region(region, _) => text.push_str(&region.describe(&step.origin(code))),
                Work::Reduce(reducing, _) => text.push_str(&reducing.describe(&step.origin(code))),
                Work::Control(planned, ..) => text.push_str(&planned.describe()),
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

/// Instructions of a region at most, unless one node alone has more: machine code of so many stays in the nearest
/// instruction cache.
const REGION: usize = 2000;

/// A shape, and the axes along which it is reduced.
type Along<'a> = (&'a [usize], &'a [usize]);

struct Planner<'a> {
    code: &'a Code,
    cache: &'a Cache,
    known: HashMap<ValueId, Tensor>,
    controls: HashMap<NodeId, Arc<Planned>>,
    shape_of: HashMap<ValueId, Shape>,
    slots: Vec<Slot>,
    storages: Vec<Storage>,
    constants: Vec<Tensor>,
    slot_of: HashMap<ValueId, usize>,
    /// The storage of each join of which a part is written, with the values that are its parts.
    parts: HashMap<ValueId, (usize, Vec<ValueId>)>,
}

impl Planner<'_> {
    fn slot(&mut self, value: ValueId, storage: usize) -> usize {
        let slot = Slot { dtype: self.code.graph.ty(value).dtype, shape: self.shape_of[&value].clone(), storage, strides: None, view_of: None };
        self.slots.push(slot);
        self.slot_of.insert(value, self.slots.len() - 1);
        self.slots.len() - 1
    }

    fn storage(&mut self, bytes: usize, at: usize, place: Option<Place>, writable: bool) -> usize {
        self.storages.push(Storage { bytes, first: at, last: at, place, output: false, writable });
        self.storages.len() - 1
    }

    /// Makes a storage, and what it is a part of, live up to a step.
    fn used(&mut self, storage: usize, at: usize) {
        Storages::extend(&mut self.storages, storage, at, at);
    }

    /// A slot for a value that is computed into its part of a join.
    fn written_part(&mut self, value: ValueId, part: &Part, at: usize) -> usize {
        let slot = self.part(value, part, at);
        if let Some((_, parts)) = self.parts.get_mut(&part.whole) { parts.push(value); }
        slot
    }

    /// A slot for a part of a join, whose memory there is from now on.
    fn part(&mut self, value: ValueId, part: &Part, at: usize) -> usize {
        let bytes = self.bytes(part.whole);
        let whole = match self.parts.get(&part.whole) {
            Some(&(storage, _)) => storage,
            None => self.storage(bytes, at, None, true),
        };
        self.parts.entry(part.whole).or_insert((whole, Vec::new()));
        let storage = self.storage(self.bytes(value), at, Some(Place::Part(whole, part.offset)), false);
        self.used(storage, at);
        let slot = self.slot(value, storage);
        self.slots[slot].strides = part.strides.clone();
        slot
    }

    /// A slot for what is there already in another order.
    fn view(&mut self, value: ValueId, source: &Source) -> usize {
        let base = self.existing(source.value);
        let (storage, dtype) = (self.slots[base].storage, self.slots[base].dtype);
        let (whole, before) = match self.storages[storage].place {
            Some(Place::Part(whole, offset)) => (whole, offset),
            _ => (storage, 0),
        };
        let (bytes, offset) = (self.bytes(value), before + source.offset * dtype.size());
        let storage = self.storage(bytes, self.storages[whole].first, Some(Place::Part(whole, offset)), false);
        let shape = self.shape_of[&value].clone();
        let strides = (!views::is_together(&shape, &source.strides)).then(|| source.strides.clone());
        self.slots.push(Slot { dtype, shape, storage, strides, view_of: Some(base) });
        self.slots.len() - 1
    }

    /// Whether a value lies in its part of a join.
    fn lies_in(&self, value: ValueId, part: &Part) -> bool {
        let (Some(&slot), Some(&(whole, _))) = (self.slot_of.get(&value), self.parts.get(&part.whole)) else { return false };
        self.storages[self.slots[slot].storage].place == Some(Place::Part(whole, part.offset))
    }

    /// How a slot lies over the shape of what reads it: elements from one entry of each axis to the next; `None` if
    /// as the shape.
    fn lies_over(&self, slot: usize, shape: &[usize]) -> Option<Vec<usize>> {
        let slot = &self.slots[slot];
        let Some(own) = &slot.strides else { return broadcast_strides(&slot.shape, shape) };
        let new = shape.len() - own.len();
        Some((0..shape.len()).map(|axis| axis.checked_sub(new).map_or(0, |axis| if slot.shape[axis] == 1 { 0 } else { own[axis] })).collect())
    }

    /// Whether a step may write over a storage: it is nobody else's, and if it is a join, no part is read any more.
    fn is_free(&self, storage: usize, at: usize, last_use: &HashMap<ValueId, usize>) -> bool {
        let mut joins = self.parts.values().filter(|join| join.0 == storage);
        self.storages[storage].writable && joins.all(|join| join.1.iter().all(|part| last_use.get(part).is_none_or(|&last| last < at)))
    }

    /// The slot of a value that is there already: an argument, constant or earlier result.
    fn existing(&mut self, value: ValueId) -> usize {
        if let Some(&slot) = self.slot_of.get(&value) {
            return slot;
        }
        let tensor = self.known.get(&value).cloned().unwrap_or_else(|| Tensor::zeros(self.code.graph.ty(value).dtype, &self.shape_of[&value]));
        self.constants.push(tensor);
        let storage = self.storage(0, 0, Some(Place::Constant(self.constants.len() - 1)), false);
        self.slot(value, storage)
    }

    fn bytes(&self, value: ValueId) -> usize {
        self.code.graph.ty(value).dtype.size() * self.shape_of[&value].iter().product::<usize>()
    }

    /// The reduction that a node is, if a region can end in it.
    fn reduction(&self, id: NodeId) -> Option<Spec> {
        let view = self.code.graph.node(id);
        let (op, attributes) = view.apply()?;
        if !matches!(self.code.implementations.get(&id), Some(Implementation::Kernel(..))) {
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
        let (shape, result) = (&self.shape_of[view.operands.first()?], &self.shape_of[&id.output(0)]);
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
    fn instructions(&self, id: NodeId) -> usize {
        let node = self.code.graph.node(id);
        match self.code.implementations.get(&id) {
            Some(Implementation::Elementwise(operation)) => {
                Lowering::instructions(*operation, &self.code.operand_types(node.operands), node.results[0].ty.dtype)
            }
            _ => 1,
        }
    }

    /// For each node the last node of the region that it is computed in; itself if that is its own.
    ///
    /// A node joins the first of its users' regions. It is one of the region's results if others use it too, which
    /// then come later, so that no region needs what a later one computes. What is reduced is no result as well.
    /// What a region reads views of is there before it. A reduction joins a later one along the same axes of the same
    /// shape, if nobody reads it before that.
    fn regions(
        &self, live: &[NodeId], readers: &HashMap<NodeId, Vec<NodeId>>, onlookers: &HashMap<NodeId, Vec<NodeId>>, reductions: &HashMap<NodeId, Spec>,
    ) -> HashMap<NodeId, NodeId> {
        let outputs: HashSet<NodeId> = self.code.graph.outputs().iter().map(|value| value.node).collect();
        let mut root: HashMap<NodeId, NodeId> = HashMap::new();
        let mut sizes: HashMap<NodeId, usize> = HashMap::new();
        // By shape and axes: the last of the reductions, and how many they are.
        let mut several: HashMap<Along<'_>, (NodeId, usize)> = HashMap::new();
        let position: HashMap<NodeId, usize> = live.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        let elementwise = |id: &NodeId| matches!(self.code.implementations.get(id), Some(Implementation::Elementwise(_)));
        for &id in live.iter().rev() {
            let mut own = id;
            let size = self.instructions(id);
            let roots = || readers.get(&id).into_iter().flatten().map(|reader| root[reader]);
            if elementwise(&id) {
                let looked_at = |first: NodeId| onlookers.get(&id).into_iter().flatten().any(|reader| root[reader] == first);
                if let Some(first) = roots().min_by_key(|root| position[root])
                    && !looked_at(first)
                    && sizes[&first] + size <= REGION
                {
                    let over = match reductions.contains_key(&first) {
                        true => self.code.graph.node(first).operands.first().copied(),
                        false => elementwise(&first).then(|| first.output(0)),
                    };
                    let alone = !outputs.contains(&id) && roots().all(|other| other == first);
                    if over.is_some_and(|value| self.shape_of[&value] == self.shape_of[&id.output(0)]) && (elementwise(&first) || alone) {
                        own = first;
                    }
                }
            } else if let Some(spec) = reductions.get(&id) {
                let shape = self.shape_of[&self.code.graph.node(id).operands[0]].as_slice();
                if reduce::takes_several(shape, &spec.axes) {
                    let (leader, count) = several.entry((shape, spec.axes.as_slice())).or_insert((id, 0));
                    if *count == REDUCTIONS || roots().any(|root| position[&root] <= position[leader]) { (*leader, *count) = (id, 0); }
                    *count += 1;
                    own = *leader;
                }
            }
            root.insert(id, own);
            *sizes.entry(own).or_insert(0) += size;
        }
        root
    }

    fn lay_out(mut self, donated: &[bool]) -> Result<Plan> {
        let code = self.code;
        for (number, &input) in code.graph.inputs().iter().enumerate() {
            let bytes = self.bytes(input.output(0));
            let writable = donated.get(number).copied().unwrap_or(false);
            let storage = self.storage(bytes, 0, Some(Place::Argument(number)), writable);
            self.slot(input.output(0), storage);
        }
        let is_known = |id: NodeId| (0..code.graph.node(id).results.len()).all(|o| self.known.contains_key(&id.output(o)));
        let nodes: Vec<NodeId> = code.nodes.iter().copied().filter(|&id| !is_known(id)).collect();
        let reductions: HashMap<NodeId, Spec> = nodes.iter().filter_map(|&id| Some((id, self.reduction(id)?))).collect();
        let shape_of = self.shape_of.clone();
        let reads = Reads::new(code, &shape_of, &nodes, &|id| reductions.contains_key(&id), &|value| self.known.contains_key(&value));
        let live = reads.live(&nodes);
        let Readers { all: readers, onlookers } = reads.readers(&live);
        let root = self.regions(&live, &readers, &onlookers, &reductions);
        // Steps with the values that they read from outside.
        let mut members: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for &id in &live {
            members.entry(root[&id]).or_default().push(id);
        }
        let order: Vec<NodeId> = live.iter().copied().filter(|id| root[id] == *id).collect();
        let is_output: HashSet<NodeId> = code.graph.outputs().iter().map(|value| value.node).collect();
        let is_result = |id: NodeId| {
            is_output.contains(&id) || root[&id] == id || readers.get(&id).into_iter().flatten().any(|reader| root[reader] != root[&id])
        };
        let values = Values { code, live: &live, shape_of: &self.shape_of, readers: &readers, outputs: &is_output };
        let mut parts = values.parts();
        // Of rows that lie apart there are no views.
        let of = |value: &ValueId| onlookers.contains_key(&value.node);
        parts.retain(|value, part| part.strides.is_none() || !of(value));
        let joined: HashMap<NodeId, joins::Joined> =
            live.iter().filter_map(|&id| Some((id, values.joined(id, parts.get(&id.output(0)))?))).collect();
        let inputs_of = |id: &NodeId| -> Vec<ValueId> {
            let mut seen: HashSet<ValueId> = HashSet::new();
            let operands = members[id].iter().flat_map(|&member| code.graph.node(member).operands).copied();
            operands.filter(|value| root.get(&value.node) != Some(id) && seen.insert(*value)).collect()
        };
        let inputs_of: Vec<Vec<ValueId>> = order.iter().map(inputs_of).collect();
        let mut last_use: HashMap<ValueId, usize> = HashMap::new();
        let mut gathers = gathers::found(&values, &order, &inputs_of, &reductions, &parts);
        for (&id, inputs) in order.iter().zip(&inputs_of) {
            let has_views = inputs.iter().any(|&value| reads.source(id, value).is_some());
            if has_views { gathers.retain(|value, _| !inputs.contains(value)); }
        }
        gathers.retain(|value, _| !of(value));
        for (at, inputs) in inputs_of.iter().enumerate() {
            for value in inputs {
                let value = reads.source(order[at], *value).map_or(value, |source| &source.value);
                last_use.insert(*value, at);
                if let Some(gather) = gathers.get(value) { last_use.insert(gather.table, at); }
            }
        }
        for &value in code.graph.outputs() { last_use.insert(value, usize::MAX); }
        let position: HashMap<NodeId, usize> = code.nodes.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        // Fused nodes run later than they stand, but cannot fail.
        let fallible: Vec<bool> = order.iter().map(|id| code.may_fail_from[position[id]]).collect();
        let (mut steps, mut accesses) = (Vec::new(), Vec::new());
        for ((at, &id), inputs) in order.iter().enumerate().zip(inputs_of) {
            let view = code.graph.node(id);
            let sources: Vec<&Source> = inputs.iter().filter_map(|&value| reads.source(id, value)).collect();
            let slots: Vec<usize> = inputs.iter().map(|&value| match reads.source(id, value) {
                Some(source) => self.view(value, source),
                None => self.existing(value),
            }).collect();
            let slot_of: HashMap<ValueId, usize> = inputs.iter().copied().zip(slots.iter().copied()).collect();
            for &slot in &slots {
                self.used(self.slots[slot].storage, at);
            }
            // What is read elsewhere than where it is written.
            let mut tables: Vec<ValueId> = inputs.iter().filter_map(|value| gathers.get(value)).map(|gather| gather.table).collect();
            for &table in &tables {
                let slot = self.existing(table);
                self.used(self.slots[slot].storage, at);
            }
            tables.extend(sources.iter().map(|source| source.value));
            let region = matches!(code.implementations[&id], Implementation::Elementwise(_));
            let produced: Vec<ValueId> = if region {
                members[&id].iter().filter(|&&member| is_result(member)).map(|member| member.output(0)).collect()
            } else if reductions.contains_key(&id) {
                members[&id].iter().filter(|member| reductions.contains_key(member)).map(|member| member.output(0)).collect()
            } else {
                (0..view.results.len()).map(|output| id.output(output)).collect()
            };
            // Which operand each result overwrites, if any.
            let pairs: Vec<(ValueId, usize)> = if region {
                // A fused operand may be overwritten if any of the fused nodes may overwrite it.
                let permitted = |value: ValueId| members[&id].iter().any(|&member| code.permits(member, value, 0));
                let may = inputs.iter().filter(|value| permitted(**value));
                may.flat_map(|&value| (0..produced.len()).map(move |output| (value, output))).collect()
            } else if reductions.contains_key(&id) {
                Vec::new()
            } else {
                let pairs = code.implementations[&id].overwrites(view.operands.len());
                pairs.into_iter().filter(|pair| pair.0 < view.operands.len() && pair.1 < view.results.len())
                    .filter(|pair| code.permits(id, view.operands[pair.0], pair.1))
                    .filter(|pair| view.operands.iter().filter(|value| **value == view.operands[pair.0]).count() == 1)
                    .map(|pair| (view.operands[pair.0], pair.1)).collect()
            };
            if region && produced.iter().any(|value| parts.get(value).is_some_and(|part| part.strides.is_some())) {
                let shape = &self.shape_of[&id.output(0)];
                let strides: Vec<_> = inputs.iter().zip(&slots).map(|(value, &slot)| match gathers.get(value) {
                    Some(gather) => Some(gather.strides(shape)),
                    None => self.lies_over(slot, shape),
                }).collect();
                let lie: Vec<_> = produced.iter().map(|value| parts.get(value).and_then(|part| part.strides.clone())).collect();
                if !joins::suits(shape, &strides, &lie) {
                    for (value, _) in produced.iter().zip(&lie).filter(|(_, lie)| lie.is_some()) { parts.remove(value); }
                }
            }
            let mut overwritten: Vec<(ValueId, usize)> = Vec::new();
            let mut results = Vec::new();
            let mut note = String::new();
            for (output, &value) in produced.iter().enumerate() {
                if let Some(gather) = gathers.get(&value) {
                    let storage = self.storage(gather.count * DType::I64.size(), at, None, false);
                    let slot = self.slot(value, storage);
                    (self.slots[slot].dtype, self.slots[slot].shape) = (DType::I64, Shape::from_elem(gather.count, 1));
                    note.push_str(" where its rows begin, to read them there");
                    results.push(slot);
                    continue;
                }
                if let Some(part) = parts.get(&value) {
                    // What has the same elements in their order has them there already, if its operand does.
                    let there = joins::is_same_elements(view.op_name()) && self.lies_in(view.operands[0], part);
                    if there { overwritten.push((view.operands[0], output)); }
                    note.push_str(if there { " in place, in a join" } else { " into a join" });
                    results.push(self.written_part(value, part, at));
                    continue;
                }
                if joined.get(&id).is_some_and(|joined| joined.parts.iter().any(|(operand, part)| self.lies_in(*operand, part))) {
                    let storage = self.parts[&value].0;
                    self.used(storage, at);
                    results.push(self.slot(value, storage));
                    continue;
                }
                let found = pairs.iter().copied().filter(|pair| pair.1 == output).map(|pair| pair.0).find(|operand| {
                    let Some(&slot) = self.slot_of.get(operand) else { return false };
                    let storage = &self.storages[self.slots[slot].storage];
                    let (before, after) = (code.graph.ty(*operand).dtype, code.graph.ty(value).dtype);
                    let same_type = before == after || (region && before.size() == after.size());
                    let same_shape = if region { self.shape_of[operand] == self.shape_of[&value] } else { self.bytes(*operand) == self.bytes(value) };
                    let argument = matches!(storage.place, Some(Place::Argument(_)));
                    let alias = !region && view.op_name() != "reshape" && self.shape_of[operand] != self.shape_of[&value] && !matches!(view.op_name(), "expand_dims" | "squeeze" | "flatten");
                    last_use.get(operand) == Some(&at) && !tables.contains(operand) && self.is_free(self.slots[slot].storage, at, &last_use) && same_type && same_shape && !alias
                        && !(argument && fallible[at]) && !overwritten.iter().any(|done| done.0 == *operand)
                });
                let storage = match found {
                    Some(operand) => {
                        overwritten.push((operand, output));
                        let storage = self.slots[self.slot_of[&operand]].storage;
                        note.push_str(match self.storages[storage].place { Some(_) => " in place over a donated argument", None => " in place" });
                        storage
                    }
                    None => { let bytes = self.bytes(value); self.storage(bytes, at, None, true) }
                };
                self.used(storage, at);
                results.push(self.slot(value, storage));
            }
            let spec = reductions.get(&id);
            let work = if region || spec.is_some() {
                let shape = self.shape_of[&spec.map_or(id.output(0), |_| view.operands[0])].clone();
                let mut lowering = Lowering::default();
                let mut registers = HashMap::new();
                let mut sources = Sources::default();
                // A reduction may have operands that only say its shape.
                let is_read = |value: ValueId| members[&id].iter().any(|member| {
                    let operands = code.graph.node(*member).operands;
                    if reductions.contains_key(member) { operands[0] == value } else { operands.contains(&value) }
                });
                for (&value, &slot) in inputs.iter().zip(&slots).filter(|(value, _)| is_read(**value)) {
                    let dtype = code.graph.ty(value).dtype;
                    let register = match self.known.get(&value).filter(|tensor| tensor.len() == 1) {
                        Some(tensor) => lowering.constant(dtype, View::of(tensor).bytes),
                        None => {
                            match gathers.get(&value) {
                                Some(gather) => {
                                    sources.listed.push(Listed { input: sources.inputs.len(), row: gather.row });
                                    sources.lists.push(slot);
                                    sources.inputs.push(self.slot_of[&gather.table]);
                                    sources.strides.push(Some(gather.strides(&shape)));
                                }
                                None => {
                                    sources.inputs.push(slot);
                                    sources.strides.push(self.lies_over(slot, &shape));
                                }
                            }
                            lowering.input(dtype)
                        }
                    };
                    registers.insert(value, register);
                }
                for (number, &member) in members[&id].iter().enumerate() {
                    let node = code.graph.node(member);
                    lowering.begin((members[&id].len() - number) as u32);
                    let Implementation::Elementwise(operation) = code.implementations[&member] else { continue };
                    let own: Vec<_> = node.operands.iter().map(|value| registers[value]).collect();
                    let types = code.operand_types(node.operands);
                    let wrong = || arignote_core::Error::new(arignote_core::ErrorKind::Internal, format!("`{}` has the wrong operands", node.op_name()));
                    let register = lowering.apply(operation, &own, &types, node.results[0].ty.dtype).ok_or_else(wrong)?;
                    registers.insert(member.output(0), register);
                }
                if members[&id].len() > 1 {
                    let names: Vec<&str> = members[&id].iter().map(|&member| code.graph.node(member).op_name()).collect();
                    let _ = write!(note, " fused [{}]", names.join(" "));
                }
                if !sources.lists.is_empty() { let _ = write!(note, " through {} lists", sources.lists.len()); }
                let Sources { strides, listed, .. } = &sources;
                if let Some(spec) = spec {
                    let reduced: Vec<_> = produced.iter().map(|value| {
                        let node = code.graph.node(value.node);
                        (registers[&node.operands[0]], &reductions[&value.node], node.results[0].ty.dtype)
                    }).collect();
                    let reducing = Reducing::listed(lowering, &reduced, self.cache, &shape, strides, listed);
                    let outer = shape.len() - spec.axes.len();
                    let by_rows = outer > 0 && spec.axes.iter().copied().eq(outer..shape.len());
                    accesses.push(by_rows.then(|| Access { strides: sources.by_rows(&shape), shape, outer: Some(outer), cost: reducing.cost() }));
                    steps.push(Step { at, node: id, members: members[&id].clone(), work: Work::Reduce(reducing, sources.slots()), results, note });
                    continue;
                }
                let outputs: Vec<_> = produced.iter().map(|value| registers[value]).collect();
                let kernel = lowering.finish(&outputs);
                let lie: Vec<_> = results.iter().map(|&slot| self.slots[slot].strides.clone()).collect();
                let region = Region::strided(kernel, self.cache, &shape, strides, &lie, listed);
                let together = lie.iter().all(Option::is_none);
                accesses.push(together.then(|| Access { strides: sources.by_rows(&shape), shape, outer: None, cost: region.cost() }));
                Work::Region(region, sources.slots())
            } else if let Some(planned) = self.controls.get(&id).cloned() {
                let operands = view.operands.iter().map(|value| slot_of[value]).collect();
                let storage = self.storage(planned.scratch, at, None, true);
                self.slots.push(Slot { dtype: DType::U8, shape: Shape::from_elem(planned.scratch, 1), storage, strides: None, view_of: None });
                accesses.push(None);
                Work::Control(planned, operands, self.slots.len() - 1)
            } else if gathers.contains_key(&id.output(0)) {
                accesses.push(None);
                Work::Places(view.operands.iter().map(|value| self.slot_of[value]).collect())
            } else if let Some(joined) = joined.get(&id).filter(|joined| joined.parts.iter().any(|(operand, part)| self.lies_in(*operand, part))) {
                let (mut copies, mut there) = (Vec::new(), Vec::new());
                let (rows, pitch) = joined.rows;
                for (operand, part) in &joined.parts {
                    let from = self.slot_of[operand];
                    if self.lies_in(*operand, part) {
                        there.push(from);
                    } else if self.bytes(*operand) > 0 {
                        let to = self.part(*operand, part, at);
                        self.slot_of.insert(*operand, from);
                        copies.push(Copy { from, to, rows, width: self.bytes(*operand) / rows, pitch });
                    }
                }
                let _ = write!(note, ", of {} parts {} are there", joined.parts.len(), there.len());
                accesses.push(None);
                Work::Join(copies, there)
            } else {
                let operands = view.operands.iter().map(|value| {
                    if overwritten.iter().any(|done| done.0 == *value) { None } else { Some(slot_of[value]) }
                });
                accesses.push(tiles::by_rows(&view, |value| self.shape_of[&value].clone()));
                Work::Node(operands.collect())
            };
            let members = if region { members[&id].clone() } else { Vec::new() };
            steps.push(Step { at, node: id, members, work, results, note });
        }
        let mut outputs = Vec::new();
        let mut result_bytes = Vec::new();
        for &value in code.graph.outputs() {
            let slot = self.existing(value);
            let storage = self.slots[slot].storage;
            let fresh = !self.storages[storage].output;
            let kept = match self.storages[storage].place {
                None => true,
                Some(Place::Argument(number)) => donated.get(number).copied().unwrap_or(false),
                Some(_) => false,
            };
            if kept && fresh {
                self.storages[storage].output = true;
                if self.storages[storage].place.is_none() {
                    self.storages[storage].place = Some(Place::Result(result_bytes.len()));
                    result_bytes.push(self.storages[storage].bytes);
                }
            }
            outputs.push((slot, !(kept && fresh)));
        }
        let steps = tiles::group(steps, &accesses, &self.slots, &mut self.storages);
        let is_product = |id: NodeId| code.graph.node(id).op_name() == "matmul" && matches!(code.implementations.get(&id), Some(Implementation::Kernel(..)));
        let steps = epilogues::group(steps, &is_product, &self.slots, &mut self.storages);
        let is_scatter = |id: NodeId| matches!(code.graph.node(id).op_name(), "set_at" | "add_at") && matches!(code.implementations.get(&id), Some(Implementation::Kernel(..)));
        let steps = scatters::group(steps, &is_scatter, &self.slots, &mut self.storages);
        let arena = arena::place(&mut self.storages);
        let places = self.storages.iter().map(|storage| storage.place.unwrap_or(Place::Arena(0))).collect();
        let plan = Plan { slots: self.slots, places, result_bytes, constants: self.constants, steps, arena, outputs };
        plan.verify(code)?;
        Ok(plan)
    }
}
