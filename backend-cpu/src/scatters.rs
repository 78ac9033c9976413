//! Fused regions whose result is only written, or added, to selected elements of another value (`set_at`, `add_at`): the
//! kernel asks for the elements that it takes next, and they are nowhere in memory as a whole.
//!
//! So it is for values that one thread computes as soon as two. Where there is more to do, a region and what scatters its
//! result are two steps, and each is shared by threads.

use arignote_core::graph::NodeId;
use arignote_core::tensor::DType;

use crate::kernel::compiled::Addresses;
use crate::kernel::run::{Region, SMALL};
use crate::neighbours;
use crate::plan::{Slot, Step, Work};
use crate::tiles::Storages;

/// A region and the step that scatters its result. The step's results are those of the latter.
pub struct Scatter {
    /// The step of the op, whose second operand the region computes.
    pub step: Box<Step>,
    /// What computes it.
    pub region: Region,
    /// The slots that the region reads.
    pub inputs: Vec<usize>,
}

/// Puts regions and the steps that scatter their results together; `is_scatter` says which nodes are such.
pub fn group(steps: Vec<Step>, is_scatter: &dyn Fn(NodeId) -> bool, slots: &[Slot], storages: &mut impl Storages) -> Vec<Step> {
    neighbours::joined(steps, |before, step| match is_scatter(step.node) && fits(&before, &step, slots, storages) {
        true => (None, joined(before, step, slots, storages)),
        false => (Some(before), step),
    })
}

fn fits(before: &Step, step: &Step, slots: &[Slot], storages: &impl Storages) -> bool {
    let (Work::Region(region, inputs), Work::Node(operands)) = (&before.work, &step.work) else { return false };
    let (&[value], &[result], [target, Some(given), indices @ ..]) = (before.results.as_slice(), step.results.as_slice(), operands.as_slice()) else { return false };
    let (slot, home) = (&slots[value], |slot: usize| storages.home(slots[slot].storage));
    let count: usize = slot.shape.iter().product();
    // Nobody else reads the value, now or later; what it is computed from is not written over meanwhile.
    let only = storages.is_temporary(slot.storage) && storages.life(slot.storage).1 <= step.at;
    let reads_otherwise = target.iter().chain(indices.iter().flatten()).any(|&other| other == value || slots[other].view_of == Some(value));
    let apart = inputs.iter().all(|&input| home(input) != home(result));
    let plain = !matches!(slot.dtype, DType::Bool | DType::F16 | DType::BF16) && slot.dtype == slots[result].dtype && slot.strides.is_none();
    *given == value && only && !reads_otherwise && apart && plain && count.saturating_mul(region.cost()) <= SMALL
}

fn joined(before: Step, step: Step, slots: &[Slot], storages: &mut impl Storages) -> Step {
    let Step { at: first, node, members, work: Work::Region(region, inputs), results: values, note, .. } = before else { return step };
    let last = step.at;
    for slot in inputs.iter().chain(&step.results) { storages.extend(slots[*slot].storage, first, last); }
    for &value in &values {
        // What lies over one of the inputs is that input's.
        if inputs.iter().all(|&input| slots[input].storage != slots[value].storage) { storages.take_out(slots[value].storage); }
    }
    let members = std::iter::once(step.node).chain(if members.is_empty() { vec![node] } else { members }).collect();
    let (node, results) = (step.node, step.results.clone());
    let note = format!("{} of what is computed as it is taken{note}", step.note);
    Step { at: last, node, members, work: Work::Scatter(Scatter { step: Box::new(step), region, inputs }), results, packed: None, note }
}

impl Scatter {
    /// The slots of the op's operands, of which the second has no memory.
    pub fn operands(&self) -> &[Option<usize>] {
        match &self.step.work {
            Work::Node(operands) => operands,
            _ => &[],
        }
    }

    /// What computes elements of the second operand, to memory in which the first of all would be at the address.
    ///
    /// # Safety
    /// As for [`Region::run`]: `arrays` are those of the inputs; there is memory for the elements that it is asked for.
    pub unsafe fn source<'a>(&'a self, arrays: &'a [*mut u8]) -> impl Fn(*mut u8, std::ops::Range<usize>) + 'a {
        move |address, elements| {
            let arrays: Addresses = arrays.iter().copied().chain([address]).collect();
            // SAFETY: the caller's promise.
            unsafe { self.region.columns(&arrays, elements.start, elements.end) };
        }
    }
}
