//! Where values lie: slots, the storages that these are in, and the parts of joins.

use std::collections::HashMap;

use arignote_core::graph::ValueId;
use arignote_core::tensor::Tensor;

use super::known::Known;
use super::{Place, Slot};
use crate::code::Code;
use crate::joins::Part;
use crate::kernels::elementwise::broadcast_strides;
use crate::tiles::Storages;
use crate::views::{self, Source};

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

/// Memory of a plan as it is made.
pub(super) struct Memory<'a> {
    code: &'a Code,
    known: &'a Known,
    /// The values.
    pub slots: Vec<Slot>,
    /// What they lie in.
    pub storages: Vec<Storage>,
    /// The tensors that the plan holds.
    pub constants: Vec<Tensor>,
    /// Where a value is.
    pub slot_of: HashMap<ValueId, usize>,
    /// The storage of each join of which a part is written, with the values that are its parts.
    pub joins: HashMap<ValueId, (usize, Vec<ValueId>)>,
}

impl<'a> Memory<'a> {
    /// That of the arguments.
    pub fn new(code: &'a Code, known: &'a Known, donated: &[bool]) -> Memory<'a> {
        let mut memory = Memory { code, known, slots: Vec::new(), storages: Vec::new(), constants: Vec::new(), slot_of: HashMap::new(), joins: HashMap::new() };
        for (number, &input) in code.graph.inputs().iter().enumerate() {
            let bytes = memory.bytes(input.output(0));
            let writable = donated.get(number).copied().unwrap_or(false);
            let storage = memory.storage(bytes, 0, Some(Place::Argument(number)), writable);
            memory.slot(input.output(0), storage);
        }
        memory
    }

    /// A slot for a value that lies in a storage.
    pub fn slot(&mut self, value: ValueId, storage: usize) -> usize {
        let slot = Slot { dtype: self.code.graph.ty(value).dtype, shape: self.known.shape_of[&value].clone(), storage, strides: None, view_of: None };
        self.slots.push(slot);
        self.slot_of.insert(value, self.slots.len() - 1);
        self.slots.len() - 1
    }

    /// A storage, used from a step on.
    pub fn storage(&mut self, bytes: usize, at: usize, place: Option<Place>, writable: bool) -> usize {
        self.storages.push(Storage { bytes, first: at, last: at, place, output: false, writable });
        self.storages.len() - 1
    }

    /// Makes a storage, and what it is a part of, live up to a step.
    pub fn used(&mut self, storage: usize, at: usize) {
        Storages::extend(&mut self.storages, storage, at, at);
    }

    /// A slot for a value that is computed into its part of a join.
    pub fn written_part(&mut self, value: ValueId, part: &Part, at: usize) -> usize {
        let slot = self.part(value, part, at);
        if let Some((_, parts)) = self.joins.get_mut(&part.whole) { parts.push(value); }
        slot
    }

    /// A slot for a part of a join, whose memory there is from now on.
    pub fn part(&mut self, value: ValueId, part: &Part, at: usize) -> usize {
        let bytes = self.bytes(part.whole);
        let whole = match self.joins.get(&part.whole) {
            Some(&(storage, _)) => storage,
            None => self.storage(bytes, at, None, true),
        };
        self.joins.entry(part.whole).or_insert((whole, Vec::new()));
        let storage = self.storage(self.bytes(value), at, Some(Place::Part(whole, part.offset)), false);
        self.used(storage, at);
        let slot = self.slot(value, storage);
        self.slots[slot].strides = part.strides.clone();
        slot
    }

    /// A slot for what is there already in another order.
    pub fn view(&mut self, value: ValueId, source: &Source) -> usize {
        let base = self.existing(source.value);
        let (storage, dtype) = (self.slots[base].storage, self.slots[base].dtype);
        let (whole, before) = match self.storages[storage].place {
            Some(Place::Part(whole, offset)) => (whole, offset),
            _ => (storage, 0),
        };
        let (bytes, offset) = (self.bytes(value), before + source.offset * dtype.size());
        let storage = self.storage(bytes, self.storages[whole].first, Some(Place::Part(whole, offset)), false);
        let shape = self.known.shape_of[&value].clone();
        let strides = (!views::is_together(&shape, &source.strides)).then(|| source.strides.clone());
        self.slots.push(Slot { dtype, shape, storage, strides, view_of: Some(base) });
        self.slots.len() - 1
    }

    /// Whether a value lies in its part of a join.
    pub fn lies_in(&self, value: ValueId, part: &Part) -> bool {
        let (Some(&slot), Some(&(whole, _))) = (self.slot_of.get(&value), self.joins.get(&part.whole)) else { return false };
        self.storages[self.slots[slot].storage].place == Some(Place::Part(whole, part.offset))
    }

    /// How a slot lies over the shape of what reads it: elements from one entry of each axis to the next; `None` if
    /// as the shape.
    pub fn lies_over(&self, slot: usize, shape: &[usize]) -> Option<Vec<usize>> {
        let slot = &self.slots[slot];
        let Some(own) = &slot.strides else { return broadcast_strides(&slot.shape, shape) };
        let new = shape.len() - own.len();
        Some((0..shape.len()).map(|axis| axis.checked_sub(new).map_or(0, |axis| if slot.shape[axis] == 1 { 0 } else { own[axis] })).collect())
    }

    /// Whether a step may write over a storage: it is nobody else's, and if it is a join, no part is read any more.
    pub fn is_free(&self, storage: usize, at: usize, last_use: &HashMap<ValueId, usize>) -> bool {
        let mut joins = self.joins.values().filter(|join| join.0 == storage);
        self.storages[storage].writable && joins.all(|join| join.1.iter().all(|part| last_use.get(part).is_none_or(|&last| last < at)))
    }

    /// The slot of a value that is there already: an argument, constant or earlier result.
    pub fn existing(&mut self, value: ValueId) -> usize {
        if let Some(&slot) = self.slot_of.get(&value) {
            return slot;
        }
        let tensor = self.known.values.get(&value).cloned().unwrap_or_else(|| Tensor::zeros(self.code.graph.ty(value).dtype, &self.known.shape_of[&value]));
        self.constants.push(tensor);
        let storage = self.storage(0, 0, Some(Place::Constant(self.constants.len() - 1)), false);
        self.slot(value, storage)
    }

    /// Bytes of a value.
    pub fn bytes(&self, value: ValueId) -> usize {
        self.code.graph.ty(value).dtype.size() * self.known.count(value)
    }

    /// The slots of outputs, each with whether it must be copied out, and the bytes of those that become results.
    pub fn outputs(&mut self, donated: &[bool]) -> (Vec<(usize, bool)>, Vec<usize>) {
        let (mut outputs, mut result_bytes) = (Vec::new(), Vec::new());
        for &value in self.code.graph.outputs() {
            let slot = self.existing(value);
            let storage = &mut self.storages[self.slots[slot].storage];
            let fresh = !storage.output;
            let kept = match storage.place {
                None => true,
                Some(Place::Argument(number)) => donated.get(number).copied().unwrap_or(false),
                Some(_) => false,
            };
            if kept && fresh {
                storage.output = true;
                if storage.place.is_none() {
                    storage.place = Some(Place::Result(result_bytes.len()));
                    result_bytes.push(storage.bytes);
                }
            }
            outputs.push((slot, !(kept && fresh)));
        }
        (outputs, result_bytes)
    }
}
