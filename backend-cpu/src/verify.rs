//! Checks a plan on its own account, by following what each part of memory holds from step to step: whatever made the
//! plan, no step reads what another has written over, and nothing is written where something else is still needed.

use std::collections::{HashMap, HashSet};

use arignote_core::{Error, ErrorKind, Result};

use crate::code::Code;
use crate::joins::is_same_elements;
use crate::plan::{Place, Plan, Step, Work};

/// Where the bytes of a slot lie: rows in one of the plan's spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    /// The arena, or the number of a result, an argument or a constant.
    space: (u8, usize),
    start: usize,
    rows: usize,
    width: usize,
    pitch: usize,
}

impl Extent {
    fn of(plan: &Plan, slot: usize) -> Extent {
        let described = &plan.slots[slot];
        let (whole, within) = plan.whole(described.storage);
        let (space, start) = match plan.places[whole] {
            Place::Argument(number) => ((0, number), within),
            Place::Constant(number) => ((1, number), within),
            Place::Result(number) => ((2, number), within),
            Place::Arena(offset) | Place::Part(_, offset) => ((3, 0), offset + within),
        };
        let (size, shape) = (described.dtype.size(), &described.shape);
        let bytes = size * shape.iter().product::<usize>();
        let extent = |rows: usize, width: usize, pitch: usize| Extent { space, start, rows, width, pitch };
        let Some(strides) = &described.strides else { return extent(1, bytes, bytes) };
        // The axes behind the rows lie together.
        let (mut width, mut axis) = (1, shape.len());
        while axis > 0 && (strides[axis - 1] == width || shape[axis - 1] == 1) {
            width *= shape[axis - 1];
            axis -= 1;
        }
        let rows: usize = shape[..axis].iter().product();
        extent(rows, width * size, if axis > 0 { strides[axis - 1] * size } else { bytes })
    }

    fn bytes(&self) -> usize {
        self.rows * self.width
    }

    fn end(&self) -> usize {
        self.start + self.rows.saturating_sub(1) * self.pitch + self.width
    }

    fn overlaps(&self, other: &Extent) -> bool {
        if self.space != other.space || self.bytes() == 0 || other.bytes() == 0 || self.start >= other.end() || other.start >= self.end() {
            return false;
        }
        // Rows of one join, beside each other.
        let apart = self.pitch == other.pitch && self.rows > 1 && other.rows > 1 && {
            let (low, high) = if self.start <= other.start { (self, other) } else { (other, self) };
            let between = (high.start - low.start) % low.pitch;
            between >= low.width && between + high.width <= low.pitch
        };
        !apart
    }

    fn holds(&self, other: &Extent) -> bool {
        self.space == other.space && self.start <= other.start && other.end() <= self.end()
    }
}

/// What memory holds while the steps run.
struct Memory<'a> {
    plan: &'a Plan,
    held: HashMap<(u8, usize), Vec<(Extent, usize)>>,
}

impl Memory<'_> {
    fn read(&self, slot: usize) -> Result<(), String> {
        let slot = self.plan.slots[slot].view_of.unwrap_or(slot);
        let extent = Extent::of(self.plan, slot);
        let held = extent.bytes() == 0 || self.held.get(&extent.space).is_some_and(|held| held.iter().any(|&(_, other)| other == slot));
        if held { Ok(()) } else { Err("it reads what is not there: not written yet, or written over".to_owned()) }
    }

    /// A value of an operand's memory, which the step leaves as it is.
    fn add(&mut self, slot: usize) {
        let extent = Extent::of(self.plan, slot);
        self.held.entry(extent.space).or_default().push((extent, slot));
    }

    fn write(&mut self, slot: usize, reads: &[usize]) -> Result<(), String> {
        let extent = Extent::of(self.plan, slot);
        if extent.space.0 == 1 {
            return Err("it writes to a constant".to_owned());
        }
        for &read in reads {
            let view = self.plan.slots[read].view_of;
            let other = Extent::of(self.plan, view.unwrap_or(read));
            if other.overlaps(&extent) && (view.is_some() || other != extent) {
                return Err("it writes over a part of what it reads".to_owned());
            }
        }
        let held = self.held.entry(extent.space).or_default();
        held.retain(|(other, _)| !other.overlaps(&extent));
        held.push((extent, slot));
        Ok(())
    }

    fn join(&mut self, whole: usize, parts: &[usize]) -> Result<(), String> {
        let extent = Extent::of(self.plan, whole);
        let parts: Vec<Extent> = parts.iter().map(|&part| Extent::of(self.plan, part)).collect();
        let inside = parts.iter().all(|part| extent.holds(part));
        let apart = (0..parts.len()).all(|at| parts[..at].iter().all(|other| !other.overlaps(&parts[at])));
        if !inside || !apart || parts.iter().map(Extent::bytes).sum::<usize>() != extent.bytes() {
            return Err("its parts are not the whole".to_owned());
        }
        self.add(whole);
        Ok(())
    }
}

impl Plan {
    /// Checks the plan.
    ///
    /// # Errors
    /// The first step that would read or return what is not there, or write where it may not.
    pub fn verify(&self, code: &Code) -> Result<()> {
        let mut memory = Memory { plan: self, held: HashMap::new() };
        // What is there before the first step.
        let written: HashSet<usize> = self.steps.iter().flat_map(|step| &step.results).copied().collect();
        for slot in (0..self.slots.len()).filter(|&slot| !written.contains(&slot) && self.slots[slot].view_of.is_none()) {
            if matches!(self.places[self.slots[slot].storage], Place::Argument(_) | Place::Constant(_)) {
                memory.add(slot);
            }
        }
        for (at, step) in self.steps.iter().enumerate() {
            let name = code.graph.node(step.node).op_name();
            self.follow(&mut memory, step, name).map_err(|message| Error::new(ErrorKind::Internal, format!("step {at} of the plan, `{name}`: {message}")))?;
        }
        for &(slot, _) in &self.outputs {
            memory.read(slot).map_err(|_| Error::new(ErrorKind::Internal, "an output of the plan was written over"))?;
            if self.slots[slot].strides.is_some() || matches!(self.places[self.slots[slot].storage], Place::Part(..)) {
                return Err(Error::new(ErrorKind::Internal, "an output of the plan is a part of a join"));
            }
        }
        Ok(())
    }

    fn follow(&self, memory: &mut Memory<'_>, step: &Step, name: &str) -> Result<(), String> {
        let elements = |slots: &[usize]| slots.iter().all(|&slot| self.slots[slot].strides.is_none());
        // Of a part of a value all of it counts.
        let read_from = |slot: usize| Extent::of(self, self.slots[slot].view_of.unwrap_or(slot));
        match &step.work {
            Work::Region(region, reads) => {
                reads.iter().try_for_each(|&slot| memory.read(slot))?;
                // Rows of a table are read after others are written.
                let meets = |input: usize| step.results.iter().any(|&slot| Extent::of(self, reads[input]).overlaps(&Extent::of(self, slot)));
                if region.listed().any(meets) {
                    return Err("it writes over the rows that it reads at places of a list".to_owned());
                }
                step.results.iter().try_for_each(|&slot| memory.write(slot, reads))
            }
            Work::Reduce(_, reads) => {
                reads.iter().try_for_each(|&slot| memory.read(slot))?;
                step.results.iter().try_for_each(|&slot| memory.write(slot, reads))
            }
            Work::Control(_, reads, scratch) => {
                reads.iter().try_for_each(|&slot| memory.read(slot))?;
                let apart = |slot: usize| reads.iter().all(|&read| !read_from(read).overlaps(&Extent::of(self, slot)));
                if !elements(reads) || !elements(&step.results) || !apart(*scratch) || !step.results.iter().all(|&slot| apart(slot)) {
                    return Err("its operands, results and memory are not apart".to_owned());
                }
                memory.write(*scratch, reads)?;
                step.results.iter().try_for_each(|&slot| memory.write(slot, reads))
            }
            Work::Places(reads) => {
                reads.iter().try_for_each(|&slot| memory.read(slot))?;
                step.results.iter().try_for_each(|&slot| memory.write(slot, reads))
            }
            Work::Join(copies, there) => {
                for copy in copies {
                    memory.read(copy.from)?;
                    memory.write(copy.to, &[copy.from])?;
                }
                there.iter().try_for_each(|&slot| memory.read(slot))?;
                let parts: Vec<usize> = there.iter().copied().chain(copies.iter().map(|copy| copy.to)).collect();
                step.results.iter().try_for_each(|&slot| memory.join(slot, &parts))
            }
            Work::Scatter(scatter) => {
                let others = scatter.operands().iter().enumerate().filter(|(number, _)| *number != 1);
                let reads: Vec<usize> = others.filter_map(|(_, slot)| *slot).chain(scatter.inputs.iter().copied()).collect();
                reads.iter().try_for_each(|&slot| memory.read(slot))?;
                // It is written while the region still reads.
                let apart = |slot: usize| reads.iter().all(|&read| !read_from(read).overlaps(&Extent::of(self, slot)));
                if !elements(&step.results) || !step.results.iter().all(|&slot| apart(slot)) {
                    return Err("its results are not apart from what it reads".to_owned());
                }
                step.results.iter().try_for_each(|&slot| memory.write(slot, &reads))
            }
            Work::Product(product) => {
                let (operands, target) = product.operands();
                let reads: Vec<usize> = operands.iter().flatten().copied().collect();
                reads.iter().try_for_each(|&slot| memory.read(slot))?;
                // Blocks are still being multiplied when the region writes.
                let apart = |slot: usize| reads.iter().all(|&read| !read_from(read).overlaps(&Extent::of(self, slot)));
                if !elements(&step.results) || !step.results.iter().all(|&slot| apart(slot)) {
                    return Err("what it writes is not apart from what it multiplies".to_owned());
                }
                memory.write(target, &reads)?;
                product.inputs.iter().try_for_each(|&slot| memory.read(slot))?;
                step.results[1..].iter().try_for_each(|&slot| memory.write(slot, &product.inputs))
            }
            Work::Node(operands) => {
                let reads: Vec<usize> = operands.iter().flatten().copied().collect();
                reads.iter().try_for_each(|&slot| memory.read(slot))?;
                if (name != "matmul" && !elements(&reads)) || !elements(&step.results) {
                    return Err("its kernel takes values that lie together".to_owned());
                }
                // What is left in place has its elements there already, and others may read them.
                if is_same_elements(name) && operands.first() == Some(&None) {
                    step.results.iter().for_each(|&slot| memory.add(slot));
                    return Ok(());
                }
                let apart = |slot: usize| reads.iter().all(|&read| !read_from(read).overlaps(&Extent::of(self, slot)));
                if !step.results.iter().all(|&slot| apart(slot)) {
                    return Err("its results are not apart from what it reads".to_owned());
                }
                step.results.iter().try_for_each(|&slot| memory.write(slot, &reads))
            }
            Work::Tiles(tiles) => {
                for (reads, results) in tiles.members() {
                    reads.iter().try_for_each(|&slot| memory.read(slot))?;
                    results.iter().try_for_each(|&slot| memory.write(slot, &reads))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arignote_core::graph::Graph;
    use arignote_core::tensor::{DType, Shape};

    use super::*;
    use crate::buffer::Pool;
    use crate::kernel::compiled::Cache;
    use crate::kernels::Context;
    use crate::tests::{TestHost, apply, input};

    /// A join of `exp(x)` and `neg(x)`, of which what is read is `square`d, and `exp(x)` read again.
    fn planned() -> (Code, Plan) {
        let x = input(DType::F32, 1);
        let double = |shapes: &[&[usize]]| Ok(Shape::from_slice(&[shapes[0][0] + shapes[1][0]]));
        let one = |shapes: &[&[usize]]| Ok(Shape::from_slice(shapes[0]));
        let (exp, neg) = (apply("exp", DType::F32, 1, one, &[&x]), apply("neg", DType::F32, 1, one, &[&x]));
        let joined = crate::tests::joined(double, &[&exp, &neg]);
        let total = apply("square", DType::F32, 1, one, &[&joined]);
        let again = apply("sqrt", DType::F32, 1, one, &[&exp]);
        let code = Code::new(Graph::from_vars(&[x], &[total, again]).unwrap(), &[], &[], &TestHost).unwrap();
        let (cache, pool) = (Cache::default(), Arc::new(Pool::default()));
        let context = Context { host: &TestHost, threads: 1, cache: &cache };
        let plan = Plan::new(&code, &context, &pool, &[Shape::from_slice(&[6])], &[], &[false]).unwrap().unwrap();
        (code, plan)
    }

    #[test]
    fn plans_that_would_read_or_write_wrong_memory_are_refused() {
        let (code, plan) = planned();
        plan.verify(&code).unwrap();
        assert_eq!(plan.places.iter().filter(|place| matches!(place, Place::Part(..))).count(), 2, "{}", plan.describe(&code, true));
        let refused = |change: &dyn Fn(&mut Plan), message: &str| {
            let (code, mut plan) = planned();
            change(&mut plan);
            let error = plan.verify(&code).expect_err(message).to_string();
            assert!(error.contains(message), "{error}");
        };
        let part = |plan: &Plan, wanted: usize| plan.places.iter().position(|place| matches!(place, Place::Part(_, at) if *at == wanted)).unwrap();
        let join = |plan: &Plan| plan.steps.iter().position(|step| matches!(step.work, Work::Join(..))).unwrap();
        refused(&|plan| {
            let (second, whole) = (part(plan, 24), plan.whole(part(plan, 0)).0);
            plan.places[second] = Place::Part(whole, 20);
        }, "written over");
        refused(&|plan| {
            let (second, whole) = (part(plan, 24), plan.whole(part(plan, 0)).0);
            plan.places[second] = Place::Part(whole, 28);
        }, "its parts are not the whole");
        refused(&|plan| {
            let at = join(plan);
            plan.steps.swap(at - 1, at);
        }, "it reads what is not there");
        refused(&|plan| {
            let at = join(plan);
            if let Work::Join(_, there) = &mut plan.steps[at].work { there.pop(); }
        }, "its parts are not the whole");
        refused(&|plan| plan.steps.truncate(1), "was written over");
        refused(&|plan| {
            let first = plan.steps[0].results[0];
            plan.outputs.push((first, true));
        }, "is a part of a join");
        // The square over the join, before the root is taken of its first part.
        refused(&|plan| {
            let at = join(plan);
            let (from, to) = (plan.steps[at].results[0], plan.steps[at + 1].results[0]);
            plan.slots[to].storage = plan.slots[from].storage;
        }, "it reads what is not there");
    }
}
