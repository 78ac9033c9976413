//! Loops, branches, and what is computed again, made ready: the plans inside as frames, and the memory of states and rows.

use std::sync::Arc;

use arignote_core::tensor::Shape;
use arignote_core::{Error, ErrorKind, Result};

use super::{Frame, Fused, Ready};
use crate::buffer::{Pool, View};
use crate::code::Value;
use crate::control::{Kind, Next, Planned, Steps, Target, count};
use crate::kernel::run::Region;
use crate::kernels::Context;
use crate::plan::Place;
use crate::unplanned::cancelled;

/// A loop, a branch, or what is computed again, made ready.
pub struct ControlFrame<'a> {
    planned: &'a Planned,
    pool: &'a Arc<Pool>,
    bodies: Vec<Option<Frame<'a>>>,
    scratch: *mut u8,
    states: Vec<StateMemory>,
    rows: Vec<Rows>,
}

/// Where a state lies, and where its next value is written.
#[derive(Clone, Copy)]
struct StateMemory {
    now: *mut u8,
    next: *mut u8,
}

/// Where the rows of a yield are written.
enum Rows {
    /// In order from here on; of the first steps, so many, nothing is kept.
    Fixed(*mut u8, usize),
    /// In turn: memory, and how many rows it has.
    Ring(Value, usize),
    /// In order, in memory for so many rows that grows.
    Growing(Value, usize),
}

/// Rows that there is room for when it is not known how many there will be.
const FIRST_ROWS: usize = 64;

impl<'a> ControlFrame<'a> {
    /// A node's plans made ready, with memory for what they keep for themselves.
    pub fn new(planned: &'a Planned, pool: &'a Arc<Pool>, scratch: *mut u8) -> ControlFrame<'a> {
        let bodies = planned.control.inner.iter().zip(&planned.bodies)
            .map(|(inner, plan)| plan.as_deref().map(|plan| Frame::new(&inner.code, plan, pool, scratch))).collect();
        let states = planned.steps.as_ref().map_or(0, |steps| steps.states.len());
        let nowhere = StateMemory { now: std::ptr::null_mut(), next: std::ptr::null_mut() };
        ControlFrame { planned, pool, bodies, scratch, states: vec![nowhere; states], rows: Vec::new() }
    }

    /// Computes the results, whose shapes are known.
    ///
    /// # Errors
    /// If shapes or values do not fit, or the run is cancelled.
    ///
    /// # Safety
    /// Operands are values of the shapes that were planned for, results have room for the results; the memory given
    /// when the frame was made has the planned size, and all of these lie apart from each other.
    pub unsafe fn run(&mut self, context: &Context<'_>, operands: &[*const u8], results: &[*mut u8]) -> Result<()> {
        let planned = self.planned;
        let (taken, first) = match &planned.control.kind {
            Kind::Scan(layout) => {
                if planned.steps.is_some() && !layout.until {
                    // SAFETY: by the caller's promise.
                    return unsafe { self.scan_into(context, operands, results) };
                }
                // SAFETY: by the caller's promise.
                return unsafe { self.evaluate_into(context, operands, results) };
            }
            // SAFETY: the condition is one byte.
            Kind::If => (usize::from(unsafe { operands[0].read() } == 0), 1),
            Kind::Recompute => (0, 0),
        };
        let (Some(frame), Some(plan)) = (&mut self.bodies[taken], &planned.bodies[taken]) else {
            // SAFETY: by the caller's promise.
            return unsafe { self.evaluate_into(context, operands, results) };
        };
        for (number, &operand) in operands[first..].iter().enumerate() {
            frame.set_argument(number, operand);
        }
        for (&(slot, copy), &result) in plan.outputs.iter().zip(results) {
            if let (Place::Result(number), false) = (plan.places[plan.slots[slot].storage], copy) {
                frame.set_result(number, result);
            }
        }
        // SAFETY: by the caller's promise; nothing is donated, so no operand is written.
        unsafe { frame.run(context)? };
        for (&(slot, copy), &result) in plan.outputs.iter().zip(results) {
            if copy || !matches!(plan.places[plan.slots[slot].storage], Place::Result(_)) {
                let described = &plan.slots[slot];
                let bytes = described.dtype.size() * described.shape.iter().product::<usize>();
                // SAFETY: both hold the value's bytes, and results lie apart.
                unsafe { std::ptr::copy_nonoverlapping(frame.start(slot), result, bytes) };
            }
        }
        Ok(())
    }

    /// Computes the results in new memory and copies them.
    ///
    /// # Safety
    /// As [`ControlFrame::run`].
    unsafe fn evaluate_into(&mut self, context: &Context<'_>, operands: &[*const u8], results: &[*mut u8]) -> Result<()> {
        let views: Vec<View<'_>> = self.planned.operands.iter().zip(operands).map(|((dtype, shape), &start)| {
            // SAFETY: by the caller's promise.
            let bytes = unsafe { std::slice::from_raw_parts(start, dtype.size() * shape.iter().product::<usize>()) };
            View { dtype: *dtype, shape, bytes }
        }).collect();
        let values = self.planned.control.evaluate(context, self.pool, &views)?;
        for (value, &result) in values.iter().zip(results) {
            let view = value.view();
            // SAFETY: the plan around knows the results' shapes.
            unsafe { std::ptr::copy_nonoverlapping(view.bytes.as_ptr(), result, view.bytes.len()) };
        }
        Ok(())
    }

    /// Runs a loop whose results are in place.
    ///
    /// # Safety
    /// As [`ControlFrame::run`].
    unsafe fn scan_into(&mut self, context: &Context<'_>, operands: &[*const u8], results: &[*mut u8]) -> Result<()> {
        let Some((count, plan)) = self.step_count(operands)? else { return Ok(()) };
        self.rows.clear();
        for (yielded, &start) in plan.yields.iter().zip(&results[plan.states.len()..]) {
            let kept = if yielded.keep > 0 { yielded.keep.min(count) } else { count };
            self.rows.push(Rows::Fixed(start, count - kept));
        }
        // SAFETY: by the caller's promise.
        unsafe { self.steps(context, operands, &results[..plan.states.len()], count) }.map(drop)
    }

    /// How many steps a loop takes at most, and its plan.
    fn step_count(&self, operands: &[*const u8]) -> Result<Option<(usize, &'a Steps)>> {
        let (Kind::Scan(layout), Some(plan)) = (&self.planned.control.kind, &self.planned.steps) else { return Ok(None) };
        let counted = self.planned.operands.first().filter(|_| layout.counted).map(|(dtype, _)| {
            // SAFETY: the operand is a scalar of its dtype.
            count(*dtype, unsafe { std::slice::from_raw_parts(operands[0], dtype.size()) })
        });
        Ok(Some((self.planned.steps_of(layout, counted.transpose()?)?, plan)))
    }

    /// Runs a planned loop whose results are in new memory.
    ///
    /// # Errors
    /// As [`ControlFrame::run`].
    ///
    /// # Safety
    /// As [`ControlFrame::run`].
    pub unsafe fn run_scan(&mut self, context: &Context<'_>, operands: &[*const u8]) -> Result<Vec<Value>> {
        let missing = || Error::new(ErrorKind::Internal, "a loop without a plan");
        let (count, plan) = self.step_count(operands)?.ok_or_else(missing)?;
        let (Kind::Scan(layout), pool) = (&self.planned.control.kind, self.pool) else { return Err(missing()) };
        let offset = usize::from(layout.counted) + layout.sequences;
        let mut values = self.planned.operands[offset..][..layout.states].iter()
            .map(|(dtype, shape)| Value::new(pool, *dtype, shape.clone())).collect::<Result<Vec<_>>>()?;
        self.rows.clear();
        for yielded in &plan.yields {
            let shape = |rows: usize| -> Shape { std::iter::once(rows).chain(yielded.shape.iter().copied()).collect() };
            let new = |rows: usize| Value::new(pool, yielded.dtype, shape(rows));
            self.rows.push(match yielded.keep {
                0 if layout.until => Rows::Growing(new(FIRST_ROWS.min(count))?, FIRST_ROWS.min(count)),
                0 => Rows::Growing(new(count)?, count),
                keep => Rows::Ring(new(keep.min(count))?, keep.min(count)),
            });
        }
        let states: Vec<*mut u8> = values.iter().map(|value| value.block.start()).collect();
        // SAFETY: by the caller's promise; the results are new.
        let taken = unsafe { self.steps(context, operands, &states, count)? };
        for (rows, yielded) in self.rows.drain(..).zip(&plan.yields) {
            values.push(match rows {
                Rows::Growing(mut value, _) => {
                    value.shape[0] = taken;
                    value
                }
                Rows::Ring(mut value, rows) => {
                    if taken > rows {
                        value.view_mut().bytes.rotate_left(taken % rows * yielded.bytes);
                    }
                    value.shape[0] = rows.min(taken);
                    value
                }
                Rows::Fixed(..) => return Err(missing()),
            });
        }
        Ok(values)
    }

    /// Takes so many steps at most; gives how many it took. The states' last values are then where they are wanted.
    ///
    /// # Safety
    /// As [`ControlFrame::run`]; `self.rows` says where yields go.
    unsafe fn steps(&mut self, context: &Context<'_>, operands: &[*const u8], wanted: &[*mut u8], count: usize) -> Result<usize> {
        let ControlFrame { planned, pool, bodies, scratch, states, rows } = self;
        let missing = || Error::new(ErrorKind::Internal, "a loop without a plan");
        let (Kind::Scan(layout), Some(plan), Some(body), Some(frame)) =
            (&planned.control.kind, &planned.steps, &planned.bodies[0], &mut bodies[0])
        else {
            return Err(missing());
        };
        let given = &operands[usize::from(layout.counted)..];
        let (sequences, rest) = given.split_at(layout.sequences);
        let (inits, captured) = rest.split_at(layout.states);
        for (state, ((memory, described), (&init, &wanted))) in states.iter_mut().zip(&plan.states).zip(inits.iter().zip(wanted)).enumerate() {
            *memory = StateMemory { now: wanted, next: scratch.wrapping_add(described.second) };
            if let Next::Row(_) = described.next {
                memory.now = init.cast_mut();
            } else {
                // SAFETY: both hold the state's bytes, and results lie apart from operands.
                unsafe { std::ptr::copy_nonoverlapping(init, wanted, described.bytes) };
            }
            frame.set_argument(layout.sequences + state, memory.now);
        }
        for (number, &value) in captured.iter().enumerate() {
            frame.set_argument(layout.sequences + layout.states + number, value);
        }
        for packing in &plan.packings {
            // SAFETY: by the caller's promise; the captured values are set, and stay where and as they are.
            unsafe { frame.pack(packing, scratch.wrapping_add(packing.offset)) };
        }
        let stop = scratch.wrapping_add(plan.stop);
        let stopped = body.outputs.last().map(|&(slot, _)| slot).filter(|_| layout.until);
        for (number, target) in plan.targets.iter().enumerate() {
            if *target == Target::Stop {
                frame.set_result(number, stop);
            }
        }
        let mut taken = count;
        // The row of a step.
        let row = |step: usize| if layout.reverse { count - 1 - step } else { step };
        let small = small_step(frame, plan, layout.until, count);
        for step in 0..count {
            if step == 1 && let Some((region, slots)) = small {
                let given = Given { frame, sequences, plan, reverse: layout.reverse, states, rows, count };
                // SAFETY: by the caller's promise, as below; the first step, which the frame ran, set what stays where it is.
                unsafe { run_small_steps(context, region, slots, &given)? };
                if count.is_multiple_of(2) {
                    for (memory, described) in states.iter_mut().zip(&plan.states) {
                        if described.next == Next::Written {
                            std::mem::swap(&mut memory.now, &mut memory.next);
                        }
                    }
                }
                break;
            }
            cancelled(context)?;
            for (number, (&start, &bytes)) in sequences.iter().zip(&plan.rows).enumerate() {
                frame.set_argument(number, start.wrapping_add(row(step) * bytes));
            }
            for (rows, yielded) in rows.iter_mut().zip(&plan.yields) {
                rows.make_room(pool, step, count, yielded.bytes)?;
            }
            for (state, (memory, described)) in states.iter_mut().zip(&plan.states).enumerate() {
                if let (Next::Row(at), true) = (described.next, step > 0) {
                    memory.now = rows[at].at(row(step - 1), described.bytes);
                }
                frame.set_argument(layout.sequences + state, memory.now);
            }
            for (number, target) in plan.targets.iter().enumerate() {
                match *target {
                    Target::Row(at) => frame.set_result(number, rows[at].at(row(step), plan.yields[at].bytes)),
                    Target::State(state) => frame.set_result(number, states[state].next),
                    Target::Stop => {}
                }
            }
            // SAFETY: by the caller's promise: rows, both buffers of states, and scratch lie apart; of the arguments
            // only states may be overwritten, whose memory is the loop's own unless they lie in rows, which the
            // plan does not overwrite.
            unsafe { frame.run(context)? };
            for (rows, yielded) in rows.iter().zip(&plan.yields) {
                if let Some(slot) = yielded.copied {
                    // SAFETY: both hold the row's bytes; a row overlaps nothing else that a step reads.
                    unsafe { std::ptr::copy_nonoverlapping(frame.start(slot), rows.at(row(step), yielded.bytes), yielded.bytes) };
                }
            }
            for (memory, described) in states.iter_mut().zip(&plan.states) {
                if let Next::Copied(slot) = described.next {
                    // SAFETY: both hold the state's bytes; the second buffer is no slot's.
                    unsafe { std::ptr::copy_nonoverlapping(frame.start(slot), memory.next, described.bytes) };
                }
            }
            for (memory, described) in states.iter_mut().zip(&plan.states) {
                if let Next::Written | Next::Copied(_) = described.next {
                    std::mem::swap(&mut memory.now, &mut memory.next);
                }
            }
            // SAFETY: the condition is one byte, which the step wrote.
            if stopped.is_some_and(|slot| unsafe { frame.start(slot).read() } != 0) {
                taken = step + 1;
                break;
            }
        }
        for ((memory, described), &wanted) in states.iter_mut().zip(&plan.states).zip(wanted) {
            if let (Next::Row(at), true) = (described.next, taken > 0) {
                memory.now = rows[at].at(row(taken - 1), described.bytes);
            }
            if memory.now != wanted {
                // SAFETY: both hold the state's bytes, and lie apart.
                unsafe { std::ptr::copy_nonoverlapping(memory.now, wanted, described.bytes) };
            }
        }
        Ok(taken)
    }
}

/// The region and storages of a loop whose step is one small region and nothing else, if it takes several.
fn small_step<'a>(frame: &Frame<'a>, plan: &Steps, until: bool, count: usize) -> Option<(&'a Region, Vec<usize>)> {
    let [Ready::Region { region: Fused::Elements(region), slots, .. }] = &frame.steps[..] else { return None };
    let direct = plan.yields.iter().all(|yielded| yielded.copied.is_none() && yielded.keep == 0)
        && plan.states.iter().all(|state| !matches!(state.next, Next::Copied(_)));
    (direct && !until && count > 2 && region.is_small() && frame.parts.is_empty()).then(|| (*region, slots.clone()))
}

/// What the arrays of a small step are found from, after the first step.
struct Given<'b, 'a> {
    frame: &'b Frame<'a>,
    sequences: &'b [*const u8],
    plan: &'b Steps,
    reverse: bool,
    states: &'b [StateMemory],
    rows: &'b [Rows],
    count: usize,
}

impl Given<'_, '_> {
    /// Where an array lies in a step after the first.
    fn at(&self, storage: usize, step: usize) -> *mut u8 {
        let row = |step: usize| if self.reverse { self.count - 1 - step } else { step };
        // The buffers of a state take turns; they were exchanged after the first step.
        let turned = |memory: &StateMemory, now: bool| if now == (step % 2 == 1) { memory.now } else { memory.next };
        if let Some(number) = self.frame.arguments.iter().position(|&argument| argument == storage) {
            if let Some(&sequence) = self.sequences.get(number) {
                return sequence.wrapping_add(row(step) * self.plan.rows[number]).cast_mut();
            }
            let state = number - self.sequences.len();
            match self.plan.states.get(state).map(|described| (described.next, described.bytes)) {
                Some((Next::Row(at), bytes)) => return self.rows[at].at(row(step - 1), bytes),
                Some((Next::Written, _)) => return turned(&self.states[state], true),
                _ => {}
            }
        }
        if let Some(number) = self.frame.results.iter().position(|&result| result == storage) {
            match self.plan.targets[number] {
                Target::Row(at) => return self.rows[at].at(row(step), self.plan.yields[at].bytes),
                Target::State(state) => return turned(&self.states[state], false),
                Target::Stop => {}
            }
        }
        self.frame.bases[storage]
    }
}

/// Takes the steps after the first of a loop whose step is one small region: as one piece of code, where there is
/// such, else two lists of arrays take turns, and each moves on by as much as two steps do.
///
/// # Safety
/// As for [`ControlFrame::run`], after its first step.
unsafe fn run_small_steps(context: &Context<'_>, region: &Region, storages: Vec<usize>, given: &Given<'_, '_>) -> Result<()> {
    /// Steps after which it is asked whether to go on.
    const TURN: usize = 1 << 14;
    let arrays = |step: usize| -> Vec<*mut u8> { storages.iter().map(|&storage| given.at(storage, step)).collect() };
    if given.count > 4 && let Some(repeated) = region.repeated(&[arrays(1), arrays(2), arrays(3)]) {
        let mut step = 1;
        while step < given.count {
            cancelled(context)?;
            let steps = (given.count - step).min(TURN);
            let (mut places, last) = (arrays(step), arrays(step + steps - 1));
            let inputs = places.len() - region.outputs();
            for output in repeated.stored_last() {
                places[inputs + output] = last[inputs + output];
            }
            // SAFETY: by the caller's promise: the arrays are those that the steps' frames would be told.
            unsafe { repeated.run(&places, steps) };
            step += steps;
        }
        return Ok(());
    }
    let mut lists = [arrays(1), arrays(2)];
    let further: Vec<isize> = if given.count > 3 {
        arrays(3).iter().zip(&lists[0]).map(|(after, before)| after.addr().wrapping_sub(before.addr()).cast_signed()).collect()
    } else {
        vec![0; storages.len()]
    };
    for step in 1..given.count {
        if step.is_multiple_of(TURN) {
            cancelled(context)?;
        }
        let list = &mut lists[(step + 1) % 2];
        // SAFETY: by the caller's promise: the arrays are those that the step's frame would be told.
        unsafe { region.run_small(list) };
        for (array, &further) in list.iter_mut().zip(&further) {
            *array = array.wrapping_offset(further);
        }
    }
    Ok(())
}

impl Rows {
    /// Sees to it that there is room for the row of a step.
    fn make_room(&mut self, pool: &Arc<Pool>, step: usize, count: usize, bytes: usize) -> Result<()> {
        if let Rows::Growing(value, rows) = self
            && step == *rows
        {
            let more = (*rows * 2).min(count);
            let mut shape = value.shape.clone();
            shape[0] = more;
            let mut larger = Value::new(pool, value.dtype, shape)?;
            larger.view_mut().bytes[..step * bytes].copy_from_slice(value.view().bytes);
            *self = Rows::Growing(larger, more);
        }
        Ok(())
    }

    /// The row of a step.
    fn at(&self, step: usize, bytes: usize) -> *mut u8 {
        match self {
            Rows::Fixed(start, skipped) => start.wrapping_add(step.saturating_sub(*skipped) * bytes),
            Rows::Ring(value, rows) => value.block.start().wrapping_add(step % rows * bytes),
            Rows::Growing(value, _) => value.block.start().wrapping_add(step * bytes),
        }
    }
}
