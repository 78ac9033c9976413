//! The steps of a plan, in the order of their regions: where each result goes, over which operand it is written, and what
//! computes it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use arignote_core::graph::{NodeId, NodeView, ValueId};
use arignote_core::tensor::{DType, Shape};
use arignote_core::{Error, ErrorKind, Result};

use super::known::Known;
use super::memory::Memory;
use super::regions::Regions;
use super::{Place, Plan, Slot, Step, Work};
use crate::buffer::View;
use crate::code::{Code, Implementation};
use crate::gathers::{self, Gather, Sources};
use crate::joins::{self, Copy, Joined, Part, Values};
use crate::kernel::lower::{Lowering, Register};
use crate::kernel::reduce::Reducing;
use crate::kernel::compiled::Cache;
use crate::kernel::run::{Listed, Region};
use crate::kernels::packed;
use crate::tiles::{self, Access};
use crate::{arena, epilogues, scatters};

/// Lays out a run.
///
/// # Errors
/// If an elementwise node does not fit its operands, or the plan would read or overwrite what it must not.
pub(super) fn lay_out(code: &Code, cache: &Cache, known: &Known, donated: &[bool]) -> Result<Plan> {
    let regions = Regions::new(code, known, donated);
    let mut layout = Layout::new(code, cache, known, &regions, donated);
    let (mut steps, mut accesses) = (Vec::new(), Vec::new());
    for (at, &id) in regions.order.iter().enumerate() {
        let (step, access) = layout.step(at, id)?;
        steps.push(step);
        accesses.push(access);
    }
    let mut memory = layout.memory;
    let (outputs, result_bytes) = memory.outputs(donated);
    let is_kernel = |id: NodeId| matches!(code.implementations.get(&id), Some(Implementation::Kernel(..)));
    let is_scatter = |id: NodeId| matches!(code.graph.node(id).op_name(), "set_at" | "add_at") && is_kernel(id);
    let steps = tiles::group(steps, &accesses, &memory.slots, &mut memory.storages);
    let steps = epilogues::group(steps, &|id| code.is_matrix_product(id), &memory.slots, &mut memory.storages);
    let steps = scatters::group(steps, &is_scatter, &memory.slots, &mut memory.storages);
    let arena = arena::place(&mut memory.storages);
    let places = memory.storages.iter().map(|storage| storage.place.unwrap_or(Place::Arena(0))).collect();
    let plan = Plan { slots: memory.slots, places, result_bytes, constants: memory.constants, steps, arena, outputs };
    plan.verify(code)?;
    Ok(plan)
}

struct Layout<'a> {
    code: &'a Code,
    cache: &'a Cache,
    known: &'a Known,
    regions: &'a Regions<'a>,
    memory: Memory<'a>,
    /// The values that each step reads.
    inputs: Vec<Vec<ValueId>>,
    /// The values that are computed into a part of a join.
    parts: HashMap<ValueId, Part>,
    joined: HashMap<NodeId, Joined>,
    gathers: HashMap<ValueId, Gather>,
    last_use: HashMap<ValueId, usize>,
    /// By step whether it, once it has begun to write, or a later one can fail.
    fallible: Vec<bool>,
}

/// What a step reads.
struct Inputs {
    values: Vec<ValueId>,
    slots: Vec<usize>,
    /// What is read elsewhere than where it is written.
    tables: Vec<ValueId>,
}

impl Inputs {
    fn slot(&self, value: ValueId) -> Option<usize> {
        self.values.iter().position(|&other| other == value).map(|at| self.slots[at])
    }
}

/// Where the results of a step go.
#[derive(Default)]
struct Results {
    slots: Vec<usize>,
    /// The operands that are overwritten.
    overwritten: Vec<ValueId>,
    note: String,
}

impl<'a> Layout<'a> {
    fn new(code: &'a Code, cache: &'a Cache, known: &'a Known, regions: &'a Regions<'a>, donated: &[bool]) -> Layout<'a> {
        let values = Values { code, live: &regions.live, shape_of: &known.shape_of, readers: &regions.readers.all, outputs: &regions.outputs };
        let looked_at = |value: &ValueId| regions.readers.onlookers.contains_key(&value.node);
        let mut parts = values.parts();
        // Of rows that lie apart there are no views.
        parts.retain(|value, part| part.strides.is_none() || !looked_at(value));
        let joined = regions.live.iter().filter_map(|&id| Some((id, values.joined(id, parts.get(&id.output(0)))?))).collect();
        let inputs: Vec<Vec<ValueId>> = regions.order.iter().map(|&id| regions.inputs(id)).collect();
        let mut gathers = gathers::found(&values, &regions.order, &inputs, &regions.reductions, &parts);
        for (&id, inputs) in regions.order.iter().zip(&inputs) {
            let has_views = inputs.iter().any(|&value| regions.reads.source(id, value).is_some());
            if has_views { gathers.retain(|value, _| !inputs.contains(value)); }
        }
        gathers.retain(|value, _| !looked_at(value));
        let mut last_use: HashMap<ValueId, usize> = HashMap::new();
        for (at, inputs) in inputs.iter().enumerate() {
            for value in inputs {
                let value = regions.reads.source(regions.order[at], *value).map_or(value, |source| &source.value);
                last_use.insert(*value, at);
                if let Some(gather) = gathers.get(value) { last_use.insert(gather.table, at); }
            }
        }
        for &value in code.graph.outputs() { last_use.insert(value, usize::MAX); }
        let position: HashMap<NodeId, usize> = code.nodes.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        let fallible = regions.order.iter().map(|id| code.may_fail_from[position[id]]).collect();
        Layout { code, cache, known, regions, memory: Memory::new(code, known, donated), inputs, parts, joined, gathers, last_use, fallible }
    }

    /// The step of a region, and how it goes over rows if it does.
    fn step(&mut self, at: usize, id: NodeId) -> Result<(Step, Option<Access>)> {
        let inputs = self.inputs(at, id);
        let produced = self.regions.produced(id);
        self.leave_joins(id, &inputs, &produced);
        let results = self.results(at, id, &inputs, &produced);
        let ((work, access, note), members) = if self.code.is_elementwise(id) || self.regions.reductions.contains_key(&id) {
            (self.fused(id, &inputs, &produced, &results)?, self.regions.members[&id].clone())
        } else {
            (self.alone(at, id, &inputs, &results), Vec::new())
        };
        let packed = self.packed(id);
        let note = results.note + &note + if packed.is_some() { " by a constant that is packed" } else { "" };
        Ok((Step { at, node: id, members, work, results: results.slots, packed, note }, access))
    }

    /// Of a matrix product the constant on the right, packed, if it has one and is sooner done by it.
    fn packed(&self, id: NodeId) -> Option<Arc<Vec<u64>>> {
        if !self.code.is_matrix_product(id) { return None }
        let &[x, y] = self.code.graph.node(id).operands else { return None };
        let shape = &self.known.shape_of[&y];
        let bytes = packed::bytes(self.code.graph.ty(y).dtype, &self.known.shape_of[&x], shape)?;
        self.code.packed(y, self.regions.reads.source(id, y), shape, bytes)
    }

    /// Slots for what a step reads.
    fn inputs(&mut self, at: usize, id: NodeId) -> Inputs {
        let values = std::mem::take(&mut self.inputs[at]);
        let source = |value| self.regions.reads.source(id, value);
        let slots: Vec<usize> = values.iter().map(|&value| match source(value) {
            Some(source) => self.memory.view(value, source),
            None => self.memory.existing(value),
        }).collect();
        let mut tables: Vec<ValueId> = values.iter().filter_map(|value| self.gathers.get(value)).map(|gather| gather.table).collect();
        let read = slots.iter().copied().chain(tables.iter().map(|&table| self.memory.existing(table)).collect::<Vec<_>>());
        for slot in read { self.memory.used(self.memory.slots[slot].storage, at); }
        tables.extend(values.iter().filter_map(|&value| source(value)).map(|source| source.value));
        Inputs { values, slots, tables }
    }

    /// Lets a region that does not go by rows leave the joins whose rows lie apart.
    fn leave_joins(&mut self, id: NodeId, inputs: &Inputs, produced: &[ValueId]) {
        let apart = |value: &ValueId| self.parts.get(value).and_then(|part| part.strides.clone());
        if !self.code.is_elementwise(id) || !produced.iter().any(|value| apart(value).is_some()) { return }
        let shape = &self.known.shape_of[&id.output(0)];
        let strides: Vec<_> = inputs.values.iter().zip(&inputs.slots).map(|(value, &slot)| match self.gathers.get(value) {
            Some(gather) => Some(gather.strides(shape)),
            None => self.memory.lies_over(slot, shape),
        }).collect();
        let lie: Vec<_> = produced.iter().map(apart).collect();
        if joins::suits(shape, &strides, &lie) { return }
        for (value, _) in produced.iter().zip(&lie).filter(|(_, lie)| lie.is_some()) { self.parts.remove(value); }
    }

    /// The operand that each result overwrites, where it does.
    fn overwritten(&self, at: usize, id: NodeId, inputs: &Inputs, produced: &[ValueId]) -> Vec<Option<ValueId>> {
        let mut chosen = vec![None; produced.len()];
        let stays = |value: &ValueId| self.gathers.contains_key(value) || self.parts.contains_key(value);
        let mut choose = |pairs: Vec<(ValueId, usize)>| for (operand, output) in pairs {
            let value = produced[output];
            let free = chosen[output].is_none() && !chosen.contains(&Some(operand));
            if free && !stays(&value) && self.fits_over(at, id, inputs, operand, value) { chosen[output] = Some(operand); }
        };
        let code = self.code;
        if code.is_elementwise(id) {
            // First what the program would have written over, from node to node; then anything that a fused node may overwrite.
            choose(produced.iter().enumerate().flat_map(|(output, &value)| {
                self.regions.overwritten_by(id, value).into_iter().map(move |operand| (operand, output))
            }).collect());
            let permitted = |value: ValueId| self.regions.members[&id].iter().any(|&member| code.permits(member, value, 0));
            let may = inputs.values.iter().filter(|value| permitted(**value));
            choose(may.flat_map(|&value| (0..produced.len()).map(move |output| (value, output))).collect());
        } else if !self.regions.reductions.contains_key(&id) {
            let view = code.graph.node(id);
            let pairs = code.implementations[&id].overwrites(view.operands.len()).into_iter()
                .filter(|pair| pair.0 < view.operands.len() && pair.1 < view.results.len())
                .map(|(operand, output)| (view.operands[operand], output))
                .filter(|&(operand, output)| code.permits(id, operand, output))
                .filter(|(operand, _)| view.operands.iter().filter(|value| *value == operand).count() == 1);
            choose(pairs.collect());
        }
        chosen
    }

    /// Whether a step may write a result over an operand, of those that it may overwrite at all.
    fn fits_over(&self, at: usize, id: NodeId, inputs: &Inputs, operand: ValueId, value: ValueId) -> bool {
        let (code, memory) = (self.code, &self.memory);
        let Some(&slot) = memory.slot_of.get(&operand) else { return false };
        let (region, op) = (self.code.is_elementwise(id), code.graph.node(id).op_name());
        let (before, after) = (code.graph.ty(operand).dtype, code.graph.ty(value).dtype);
        let same_shape = self.known.shape_of[&operand] == self.known.shape_of[&value];
        let fits = if region {
            same_shape && before.size() == after.size()
        } else {
            before == after && memory.bytes(operand) == memory.bytes(value) && (same_shape || joins::is_same_elements(op))
        };
        let argument = matches!(memory.storages[memory.slots[slot].storage].place, Some(Place::Argument(_)));
        let last = self.last_use.get(&operand) == Some(&at) && !inputs.tables.contains(&operand);
        fits && last && memory.is_free(memory.slots[slot].storage, at, &self.last_use) && !(argument && self.fallible[at])
    }

    /// Slots for the results of a step.
    fn results(&mut self, at: usize, id: NodeId, inputs: &Inputs, produced: &[ValueId]) -> Results {
        let view = self.code.graph.node(id);
        let chosen = self.overwritten(at, id, inputs, produced);
        let mut results = Results::default();
        for (output, &value) in produced.iter().enumerate() {
            let slot = if let Some(gather) = self.gathers.get(&value) {
                let storage = self.memory.storage(gather.count * DType::I64.size(), at, None, false);
                let slot = self.memory.slot(value, storage);
                let list = &mut self.memory.slots[slot];
                (list.dtype, list.shape) = (DType::I64, Shape::from_elem(gather.count, 1));
                results.note.push_str(" where its rows begin, to read them there");
                slot
            } else if let Some(part) = self.parts.get(&value) {
                // What has the same elements in their order has them there already, if its operand does.
                let there = joins::is_same_elements(view.op_name()) && self.memory.lies_in(view.operands[0], part);
                if there { results.overwritten.push(view.operands[0]); }
                results.note.push_str(if there { " in place, in a join" } else { " into a join" });
                self.memory.written_part(value, part, at)
            } else if self.joins_in_place(id).is_some() {
                let storage = self.memory.joins[&value].0;
                self.memory.used(storage, at);
                self.memory.slot(value, storage)
            } else {
                let storage = match chosen[output] {
                    Some(operand) => {
                        results.overwritten.push(operand);
                        let storage = self.memory.slots[self.memory.slot_of[&operand]].storage;
                        let donated = self.memory.storages[storage].place.is_some();
                        results.note.push_str(if donated { " in place over a donated argument" } else { " in place" });
                        storage
                    }
                    None => { let bytes = self.memory.bytes(value); self.memory.storage(bytes, at, None, true) }
                };
                self.memory.used(storage, at);
                self.memory.slot(value, storage)
            };
            results.slots.push(slot);
        }
        results
    }

    /// A join some parts of which are where they belong.
    fn joins_in_place(&self, id: NodeId) -> Option<&Joined> {
        self.joined.get(&id).filter(|joined| joined.parts.iter().any(|(operand, part)| self.memory.lies_in(*operand, part)))
    }

    /// What computes a region, or a reduction of one.
    fn fused(&self, id: NodeId, inputs: &Inputs, produced: &[ValueId], results: &Results) -> Result<(Work, Option<Access>, String)> {
        let (code, regions) = (self.code, self.regions);
        let spec = regions.reductions.get(&id);
        let over = spec.map_or(id.output(0), |_| code.graph.node(id).operands[0]);
        let shape = self.known.shape_of[&over].clone();
        let (mut lowering, mut registers) = (Lowering::default(), HashMap::new());
        let sources = self.sources(id, inputs, &shape, &mut lowering, &mut registers);
        self.lower(id, &mut lowering, &mut registers)?;
        let members = &regions.members[&id];
        let mut note = String::new();
        if members.len() > 1 {
            let names: Vec<&str> = members.iter().map(|&member| code.graph.node(member).op_name()).collect();
            let _ = write!(note, " fused [{}]", names.join(" "));
        }
        if !sources.lists.is_empty() { let _ = write!(note, " through {} lists", sources.lists.len()); }
        let Sources { strides, listed, .. } = &sources;
        if let Some(spec) = spec {
            let reduced: Vec<_> = produced.iter().map(|value| {
                let node = code.graph.node(value.node);
                (registers[&node.operands[0]], &regions.reductions[&value.node], node.results[0].ty.dtype)
            }).collect();
            let reducing = Reducing::listed(lowering, &reduced, self.cache, &shape, strides, listed);
            let outer = shape.len() - spec.axes.len();
            let by_rows = outer > 0 && spec.axes.iter().copied().eq(outer..shape.len());
            let access = by_rows.then(|| Access { strides: sources.by_rows(&shape), shape, outer: Some(outer), cost: reducing.cost() });
            return Ok((Work::Reduce(reducing, sources.slots()), access, note));
        }
        let outputs: Vec<_> = produced.iter().map(|value| registers[value]).collect();
        let kernel = lowering.finish(&outputs);
        let lie: Vec<_> = results.slots.iter().map(|&slot| self.memory.slots[slot].strides.clone()).collect();
        let region = Region::strided(kernel, self.cache, &shape, strides, &lie, listed);
        let together = lie.iter().all(Option::is_none);
        let access = together.then(|| Access { strides: sources.by_rows(&shape), shape, outer: None, cost: region.cost() });
        Ok((Work::Region(region, sources.slots()), access, note))
    }

    /// The arrays that a region reads, with a register for each, and one for each constant.
    fn sources(
        &self, id: NodeId, inputs: &Inputs, shape: &[usize], lowering: &mut Lowering, registers: &mut HashMap<ValueId, Register>,
    ) -> Sources {
        let mut sources = Sources::default();
        for (&value, &slot) in inputs.values.iter().zip(&inputs.slots).filter(|(value, _)| self.regions.reads_elements(id, **value)) {
            let dtype = self.code.graph.ty(value).dtype;
            let constant = self.known.values.get(&value).filter(|tensor| tensor.len() == 1);
            let register = match (constant, self.gathers.get(&value)) {
                (Some(tensor), _) => lowering.constant(dtype, View::of(tensor).bytes),
                (None, Some(gather)) => {
                    sources.listed.push(Listed { input: sources.inputs.len(), row: gather.row });
                    sources.lists.push(slot);
                    sources.inputs.push(self.memory.slot_of[&gather.table]);
                    sources.strides.push(Some(gather.strides(shape)));
                    lowering.input(dtype)
                }
                (None, None) => {
                    sources.inputs.push(slot);
                    sources.strides.push(self.memory.lies_over(slot, shape));
                    lowering.input(dtype)
                }
            };
            registers.insert(value, register);
        }
        sources
    }

    /// The instructions of a region's elementwise nodes.
    fn lower(&self, id: NodeId, lowering: &mut Lowering, registers: &mut HashMap<ValueId, Register>) -> Result<()> {
        let (code, members) = (self.code, &self.regions.members[&id]);
        for (number, &member) in members.iter().enumerate() {
            let node = code.graph.node(member);
            lowering.begin((members.len() - number) as u32);
            let Implementation::Elementwise(operation) = code.implementations[&member] else { continue };
            let own: Vec<_> = node.operands.iter().map(|value| registers[value]).collect();
            let types = code.operand_types(node.operands);
            let wrong = || Error::new(ErrorKind::Internal, format!("`{}` has the wrong operands", node.op_name()));
            let register = lowering.apply(operation, &own, &types, node.results[0].ty.dtype).ok_or_else(wrong)?;
            registers.insert(member.output(0), register);
        }
        Ok(())
    }

    /// What computes a node by itself.
    fn alone(&mut self, at: usize, id: NodeId, inputs: &Inputs, results: &Results) -> (Work, Option<Access>, String) {
        let view = self.code.graph.node(id);
        let slots = |view: &NodeView<'_>| view.operands.iter().filter_map(|&value| inputs.slot(value)).collect::<Vec<usize>>();
        if let Some(planned) = self.known.controls.get(&id).cloned() {
            let storage = self.memory.storage(planned.scratch, at, None, true);
            self.memory.slots.push(Slot { dtype: DType::U8, shape: Shape::from_elem(planned.scratch, 1), storage, strides: None, view_of: None });
            return (Work::Control(planned, slots(&view), self.memory.slots.len() - 1), None, String::new());
        }
        if self.gathers.contains_key(&id.output(0)) {
            return (Work::Places(slots(&view)), None, String::new());
        }
        if self.joins_in_place(id).is_some() {
            return self.join(at, id);
        }
        let operands = view.operands.iter().map(|&value| inputs.slot(value).filter(|_| !results.overwritten.contains(&value)));
        (Work::Node(operands.collect()), tiles::by_rows(&view, |value| self.known.shape_of[&value].clone()), String::new())
    }

    /// A join some parts of which are there; the others are copied.
    fn join(&mut self, at: usize, id: NodeId) -> (Work, Option<Access>, String) {
        let (mut copies, mut there) = (Vec::new(), Vec::new());
        let joined = &self.joined[&id];
        let (rows, pitch) = joined.rows;
        for (operand, part) in &joined.parts {
            let from = self.memory.slot_of[operand];
            if self.memory.lies_in(*operand, part) {
                there.push(from);
            } else if self.memory.bytes(*operand) > 0 {
                let to = self.memory.part(*operand, part, at);
                self.memory.slot_of.insert(*operand, from);
                copies.push(Copy { from, to, rows, width: self.memory.bytes(*operand) / rows, pitch });
            }
        }
        let note = format!(", of {} parts {} are there", joined.parts.len(), there.len());
        (Work::Join(copies, there), None, note)
    }
}
