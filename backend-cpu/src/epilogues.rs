//! Fused regions that take a matrix product as it is computed (a bias, an activation, the step of a weight by its
//! gradient): the task that has computed whole rows runs the region over them while they are in the cache.
//!
//! Each element is computed as in two steps. What the region writes lies apart from what the product reads, as other
//! blocks are still being multiplied; it may lie over the product itself.

use std::ops::Range;

use arignote_core::graph::NodeId;

use crate::kernel::compiled::Addresses;
use crate::kernel::run::Region;
use crate::neighbours;
use crate::plan::{Slot, Step, Work};
use crate::tiles::Storages;

/// A matrix product and the region over it. Its step's results are the product, then those of the region.
pub struct Product {
    /// The step of the product.
    pub step: Box<Step>,
    /// What takes it.
    pub region: Region,
    /// The slots that the region reads.
    pub inputs: Vec<usize>,
}

/// Puts products and the regions that follow them together; `is_product` says which nodes are matrix products that a
/// kernel of this backend computes.
pub fn group(steps: Vec<Step>, is_product: &dyn Fn(NodeId) -> bool, slots: &[Slot], storages: &mut impl Storages) -> Vec<Step> {
    neighbours::joined(steps, |before, step| match is_product(before.node) && fits(&before, &step, slots, storages) {
        true => (None, joined(before, step, slots, storages)),
        false => (Some(before), step),
    })
}

fn fits(before: &Step, step: &Step, slots: &[Slot], storages: &impl Storages) -> bool {
    let (Work::Node(operands), Work::Region(region, inputs)) = (&before.work, &step.work) else { return false };
    let &[product] = before.results.as_slice() else { return false };
    let shape = &slots[product].shape;
    let same = |slot: usize| slots[slot].shape == *shape && slots[slot].strides.is_none();
    // As the product itself, not a part or another order of it.
    let reads = inputs.contains(&product) && inputs.iter().all(|&slot| slots[slot].view_of != Some(product));
    let home = |slot: usize| storages.home(slots[slot].storage);
    let apart = |result: usize| operands.iter().flatten().all(|&operand| home(operand) != home(result));
    reads && region.listed().next().is_none() && step.results.iter().all(|&result| same(result) && apart(result))
}

fn joined(before: Step, step: Step, slots: &[Slot], storages: &mut impl Storages) -> Step {
    let (first, last) = (before.at, step.at);
    let Step { node, members, work, results, note, .. } = step;
    let Work::Region(region, inputs) = work else { return before };
    // All of it lives while both run.
    let operands = match &before.work {
        Work::Node(operands) => operands.iter().flatten().copied().collect(),
        _ => Vec::new(),
    };
    for slot in operands.iter().chain(&inputs).chain(&results).chain(&before.results) { storages.extend(slots[*slot].storage, first, last); }
    let members = std::iter::once(before.node).chain(if members.is_empty() { vec![node] } else { members }).collect();
    let results = before.results.iter().copied().chain(results).collect();
    let note = format!(" of a matrix product{}, rows of which it takes as they are computed{note}", before.note);
    Step { at: last, node, members, work: Work::Product(Product { step: Box::new(before), region, inputs }), results, packed: None, note }
}

/// Addresses that threads share.
struct Arrays<'a>(&'a [*mut u8]);
// SAFETY: what threads share is only read, and what they write is disjoint: see `Product::after`.
unsafe impl Sync for Arrays<'_> {}

impl Product {
    /// The slots of the product's operands and of itself.
    pub fn operands(&self) -> (&[Option<usize>], usize) {
        match &self.step.work {
            Work::Node(operands) => (operands, self.step.results[0]),
            _ => (&[], self.step.results[0]),
        }
    }

    /// What runs the region over elements of the product. `arrays` are those of its inputs and results, `product` the
    /// address of the product.
    ///
    /// # Safety
    /// As for [`Region::run`]; it is called once for each element, after that has been computed, with the product's
    /// address.
    pub unsafe fn after<'a>(&'a self, arrays: &'a [*mut u8], product: *mut u8) -> impl Fn(*mut u8, Range<usize>) + Sync + use<'a> {
        let (arrays, product) = (Arrays(arrays), product.addr());
        move |address, elements| {
            let arrays = &arrays;
            // The product is read, and written, through the address that it was computed by.
            let arrays: Addresses = arrays.0.iter().map(|&array| if array.addr() == product { address } else { array }).collect();
            // SAFETY: the caller's promise.
            unsafe { self.region.columns(&arrays, elements.start, elements.end) };
        }
    }
}
