//! Loops, branches and what is computed again: the programs inside these nodes, and their plans.
//!
//! A program inside is planned once for the shapes of what it reads ([`Planned`]); a
//! [`ControlFrame`] runs the plan. In a loop the rows of sequences are read where they
//! are, what is yielded is computed where it stays, and states lie in one buffer if a step can overwrite
//! them, in two in turn if it cannot, or, if they are yielded too, among what is yielded. Where the shapes
//! of a step depend on values, or differ from step to step, a step runs without a plan.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, RwLock};

use arignote_core::graph::{Graph, Var, shapes_of};
use arignote_core::ops::control::{ScanLayout, branches};
use arignote_core::ops::{Attributes, Op, ShapeOperand};
use arignote_core::plugin::{Host, NodeQuery};
use arignote_core::tensor::{DType, Shape, Tensor};
use arignote_core::{Error, ErrorKind, Result};

use crate::buffer::{ALIGNMENT, Pool, View};
use crate::code::{Code, Value};
use crate::frame::ControlFrame;
use crate::kernels::Context;
use crate::plan::{Place, Plan};
use crate::unplanned::{cancelled, check_arguments, unplanned};

/// The ops that have programs inside.
pub const OPS: [&str; 3] = ["scan", "if", "recompute"];

/// Shapes that plans are remembered for at most.
const PLANS: usize = 256;

/// What plans are made for: the shapes of all operands, and by their numbers the values that are known.
type Given = (Vec<Shape>, Vec<(usize, Vec<i64>)>);

/// A loop, a branch, or what is computed again, with the programs inside.
pub struct Control {
    /// Which of them it is.
    pub kind: Kind,
    /// The programs: of a loop one step, of a branch first what is computed where the condition holds.
    pub inner: Vec<Inner>,
    plans: RwLock<HashMap<Given, Arc<Planned>>>,
}

/// Which op a [`Control`] is.
pub enum Kind {
    /// A loop. The outputs of its program are the yields, the next states and the condition to stop.
    Scan(ScanLayout),
    /// A branch.
    If,
    /// What is computed again.
    Recompute,
}

/// A program inside a node.
pub struct Inner {
    /// The program.
    pub code: Code,
    /// Which arguments a plan may overwrite.
    donated: Vec<bool>,
}

impl Control {
    /// The programs inside a node; `None` if its op is another one.
    ///
    /// # Errors
    /// Why an op inside does not run here.
    pub fn find(node: &NodeQuery<'_>, host: &dyn Host) -> Result<Option<Control>, String> {
        let found = match node.op {
            "scan" => Control::scan(node.attributes, host),
            "if" => branches(node.attributes).and_then(|bodies| {
                let inner = bodies.into_iter().map(|body| Inner::new(body.inputs(), body.outputs(), Vec::new(), host));
                Ok(Control { kind: Kind::If, inner: inner.collect::<Result<_>>()?, plans: RwLock::default() })
            }),
            "recompute" => node.attributes.body("body").and_then(|body| {
                let inner = vec![Inner::new(body.inputs(), body.outputs(), Vec::new(), host)?];
                Ok(Control { kind: Kind::Recompute, inner, plans: RwLock::default() })
            }),
            _ => return Ok(None),
        };
        found.map(Some).map_err(|error| format!("in `{}`: {}", node.op, error.message()))
    }

    fn scan(attributes: &Attributes, host: &dyn Host) -> Result<Control> {
        let layout = ScanLayout::of(attributes)?;
        let (states, rest) = layout.body.outputs().split_at(layout.states);
        let (yields, until) = rest.split_at(layout.yields());
        // A state that is yielded is read there, and is not the loop's to overwrite.
        let donated = (0..layout.body.inputs().len()).map(|input| {
            input.checked_sub(layout.sequences).and_then(|state| states.get(state)).is_some_and(|next| yielded(&layout, next).is_none())
        });
        let outputs: Vec<Var> = yields.iter().chain(states).chain(until).cloned().collect();
        let inner = Inner::new(layout.body.inputs(), &outputs, donated.collect(), host)?;
        Ok(Control { kind: Kind::Scan(layout), inner: vec![inner], plans: RwLock::default() })
    }

    /// The plan for operands of these shapes, where some whole numbers among them, as lengths, are known already.
    ///
    /// # Errors
    /// If the lengths of sequences differ.
    pub fn plan(
        self: &Arc<Control>, context: &Context<'_>, pool: &Arc<Pool>, dtypes: &[DType], operands: &[&[usize]],
        known: &dyn Fn(usize) -> Option<Tensor>,
    ) -> Result<Arc<Planned>> {
        let values: Vec<(usize, Tensor)> = (self.varying()..operands.len()).filter_map(|at| Some((at, known(at).filter(|value| !value.dtype().is_float())?))).collect();
        let key = (operands.iter().map(|&shape| shape.into()).collect(), values.iter().map(|(at, value)| (*at, value.to_i64_vec())).collect());
        if let Some(plan) = self.plans.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&key) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Planned::new(self, context, pool, dtypes, operands, &values)?);
        let mut plans = self.plans.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if plans.len() >= PLANS {
            plans.clear();
        }
        plans.insert(key, plan.clone());
        Ok(plan)
    }

    /// How many operands, from the first, are not those of the programs inside, or not the same in each step.
    fn varying(&self) -> usize {
        match &self.kind {
            Kind::Scan(layout) => usize::from(layout.counted) + layout.sequences + layout.states,
            Kind::If => 1,
            Kind::Recompute => 0,
        }
    }

    /// The results for these operands, in new memory.
    ///
    /// # Errors
    /// If shapes or values do not fit, or the run is cancelled.
    pub fn evaluate(self: &Arc<Control>, context: &Context<'_>, pool: &Arc<Pool>, operands: &[View<'_>]) -> Result<Vec<Value>> {
        let shapes: Vec<&[usize]> = operands.iter().map(|operand| operand.shape).collect();
        let dtypes: Vec<DType> = operands.iter().map(|operand| operand.dtype).collect();
        let planned = self.plan(context, pool, &dtypes, &shapes, &|_| None)?;
        let taken = match &self.kind {
            Kind::Scan(layout) => return scan(self, &planned, layout, context, pool, operands),
            Kind::If => usize::from(operands[0].bytes == [0]),
            Kind::Recompute => 0,
        };
        let inside = &operands[usize::from(matches!(self.kind, Kind::If))..];
        let Some(plan) = &planned.bodies[taken] else {
            return unplanned(&self.inner[taken].code, context, pool, inside, &|_, _| {});
        };
        let mut values = plan.outputs.iter().map(|&(slot, _)| Value::new(pool, plan.slots[slot].dtype, plan.slots[slot].shape.clone())).collect::<Result<Vec<_>>>()?;
        let results: Vec<*mut u8> = values.iter_mut().map(|value| value.block.start()).collect();
        let scratch = pool.block(planned.scratch)?;
        let operands: Vec<*const u8> = operands.iter().map(|operand| operand.bytes.as_ptr()).collect();
        // SAFETY: operands are views of the shapes planned for; results and scratch are new and as long as planned.
        unsafe { ControlFrame::new(&planned, pool, scratch.start()).run(context, &operands, &results)? };
        Ok(values)
    }
}

impl Inner {
    fn new(inputs: &[Var], outputs: &[Var], donated: Vec<bool>, host: &dyn Host) -> Result<Inner> {
        let mut code = Code::new(Graph::from_vars(inputs, outputs)?, &[], &[], host)?;
        // Statements are those of the program around it, and what is overwritten is no one else's.
        code.statements.clear();
        code.may_fail_from.fill(false);
        Ok(Inner { code, donated })
    }

    /// A plan for arguments of these shapes, some of which have these values; `None` if shapes depend on others, or do not
    /// fit: then running says what is wrong, if it comes to that.
    fn plan(&self, context: &Context<'_>, pool: &Arc<Pool>, shapes: &[&[usize]], values: &[(usize, Tensor)]) -> Option<Arc<Plan>> {
        let shapes: Vec<Shape> = shapes.iter().map(|&shape| shape.into()).collect();
        Plan::new(&self.code, context, pool, &shapes, values, &self.donated).ok().flatten().map(Arc::new)
    }
}

/// The yield of which all rows are kept that is the next value of a state.
fn yielded(layout: &ScanLayout, next: &Var) -> Option<usize> {
    let yields = &layout.body.outputs()[layout.states..][..layout.yields()];
    (0..yields.len()).find(|&at| layout.keep[at] == 0 && yields[at].key() == next.key())
}

/// The shapes of a node's results; `None` if they depend on values that are not given.
///
/// # Errors
/// If the shapes do not fit.
pub fn shapes(op: &dyn Op, attributes: &Attributes, operands: &[&[usize]], values: &HashMap<usize, Tensor>) -> Result<Option<Vec<Shape>>> {
    let given = |condition: Option<&Tensor>| {
        let seen: Vec<ShapeOperand<'_>> = operands.iter().enumerate()
            .map(|(at, &shape)| ShapeOperand { shape, value: values.get(&at).or(condition.filter(|_| at == 0)) }).collect();
        match op.shapes(&seen, attributes) {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            found => found.map(Some),
        }
    };
    if op.name() != "if" || values.contains_key(&0) {
        return given(None);
    }
    // A branch that is not taken may be wrong.
    Ok(match (given(Some(&Tensor::scalar(true))), given(Some(&Tensor::scalar(false)))) {
        (Ok(Some(then)), Ok(Some(otherwise))) if then == otherwise => Some(then),
        _ => None,
    })
}

/// A node's programs planned for operands of certain shapes.
pub struct Planned {
    /// The node.
    pub control: Arc<Control>,
    /// The operands' dtypes and shapes.
    pub operands: Vec<(DType, Shape)>,
    /// The plan of each program; `None` where shapes depend on values.
    pub bodies: Vec<Option<Arc<Plan>>>,
    /// How a loop goes on from step to step.
    pub steps: Option<Steps>,
    /// Bytes beside operands and results.
    pub scratch: usize,
}

/// How a loop goes on from step to step.
pub struct Steps {
    /// Of each sequence the bytes of a row.
    pub rows: Vec<usize>,
    /// The states.
    pub states: Vec<StatePlan>,
    /// The yields.
    pub yields: Vec<YieldPlan>,
    /// Where each result of a step is written, by the number of the result in its plan.
    pub targets: Vec<Target>,
    /// The products with a captured matrix on the right, which is packed before the first step.
    pub packings: Vec<Packing>,
    /// Where the condition to stop is written, if it is a result of its own, in the scratch memory.
    pub stop: usize,
}

/// A matrix on the right of a product that is packed once.
pub struct Packing {
    /// The product's step in the plan.
    pub step: usize,
    /// Where it is packed, in the scratch memory.
    pub offset: usize,
    /// As how many bytes.
    pub bytes: usize,
}

/// A state of a loop.
pub struct StatePlan {
    /// The bytes.
    pub bytes: usize,
    /// How its next value comes about.
    pub next: Next,
    /// Where its second buffer begins in the scratch memory.
    pub second: usize,
}

/// How the next value of a state comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is written over the old one.
    InPlace,
    /// It is written into the other buffer.
    Written,
    /// It is copied into the other buffer from this slot.
    Copied(usize),
    /// It is this yield's row.
    Row(usize),
}

/// A yield of a loop.
pub struct YieldPlan {
    /// The bytes of a row.
    pub bytes: usize,
    /// The shape of a row.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
    /// The slot that a row is copied from, unless it is written where it stays.
    pub copied: Option<usize>,
    /// How many rows are kept; 0 for all.
    pub keep: usize,
}

/// Where a result of a step is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The row of a yield.
    Row(usize),
    /// The other buffer of a state.
    State(usize),
    /// The condition to stop.
    Stop,
}

impl Planned {
    fn new(
        control: &Arc<Control>, context: &Context<'_>, pool: &Arc<Pool>, dtypes: &[DType], operands: &[&[usize]],
        values: &[(usize, Tensor)],
    ) -> Result<Planned> {
        let mut planned = Planned {
            control: control.clone(), operands: dtypes.iter().copied().zip(operands.iter().map(|&shape| shape.into())).collect(),
            bodies: Vec::new(), steps: None, scratch: 0,
        };
        let inside: Vec<&[usize]> = match &control.kind {
            Kind::Scan(layout) => {
                let given = &operands[usize::from(layout.counted)..];
                planned.steps_of(layout, None)?;
                given.iter().enumerate().map(|(at, shape)| &shape[usize::from(at < layout.sequences)..]).collect()
            }
            Kind::If => operands[1..].to_vec(),
            Kind::Recompute => operands.to_vec(),
        };
        // Inside, operands are counted from the first that is one there.
        let before = operands.len() - inside.len();
        let values: Vec<(usize, Tensor)> = values.iter().map(|(at, value)| (at - before, value.clone())).collect();
        planned.bodies = control.inner.iter().map(|inner| inner.plan(context, pool, &inside, &values)).collect();
        planned.scratch = planned.bodies.iter().flatten().map(|plan| plan.arena).max().unwrap_or(0);
        if let Kind::Scan(layout) = &control.kind {
            let plan = planned.bodies[0].take_if(|plan| !(0..layout.states).all(|state| {
                plan.slots[plan.outputs[layout.yields() + state].0].shape.as_slice() == inside[layout.sequences + state]
            }));
            drop(plan);
            planned.steps = planned.bodies[0].clone().map(|plan| planned.lay_out(layout, &plan, &inside));
        }
        Ok(planned)
    }

    /// Memory beside operands, results and what is there already.
    fn take(&mut self, bytes: usize) -> usize {
        let start = self.scratch.next_multiple_of(ALIGNMENT);
        self.scratch = start + bytes;
        start
    }

    fn lay_out(&mut self, layout: &ScanLayout, plan: &Plan, inside: &[&[usize]]) -> Steps {
        let sizes: Vec<usize> = self.operands[usize::from(layout.counted)..].iter().map(|(dtype, _)| dtype.size()).collect();
        let bytes = |input: usize| sizes[input] * inside[input].iter().product::<usize>();
        let place = |slot: usize| plan.places[plan.slots[slot].storage];
        let mut targets = vec![Target::Stop; plan.result_bytes.len()];
        let mut yields = Vec::new();
        for (at, &(slot, copy)) in plan.outputs[..layout.yields()].iter().enumerate() {
            let described = &plan.slots[slot];
            let copied = match place(slot) {
                Place::Result(result) if !copy => {
                    targets[result] = Target::Row(at);
                    None
                }
                _ => Some(slot),
            };
            yields.push(YieldPlan {
                bytes: described.dtype.size() * described.shape.iter().product::<usize>(), shape: described.shape.clone(),
                dtype: described.dtype, copied, keep: layout.keep[at],
            });
        }
        let mut states = Vec::new();
        for state in 0..layout.states {
            let (slot, copy) = plan.outputs[layout.yields() + state];
            let next = match (yielded(layout, &layout.body.outputs()[state]), place(slot)) {
                (Some(row), _) => Next::Row(row),
                (None, Place::Result(result)) if !copy => {
                    targets[result] = Target::State(state);
                    Next::Written
                }
                (None, Place::Argument(input)) if input == layout.sequences + state => Next::InPlace,
                _ => Next::Copied(slot),
            };
            let bytes = bytes(layout.sequences + state);
            let second = if matches!(next, Next::Written | Next::Copied(_)) { self.take(bytes) } else { 0 };
            states.push(StatePlan { bytes, next, second });
        }
        let captured = |slot: usize| matches!(plan.places[plan.whole(plan.slots[slot].storage).0], Place::Argument(number) if number >= layout.sequences + layout.states);
        let packings = plan.right_matrices(&self.control.clone().inner[0].code).filter(|&(_, slot, _)| captured(slot))
            .map(|(step, _, bytes)| Packing { step, offset: self.take(bytes), bytes }).collect();
        Steps { rows: (0..layout.sequences).map(bytes).collect(), states, yields, targets, packings, stop: self.take(1) }
    }

    /// How many steps a loop takes at most, for this value of the operand that counts them.
    ///
    /// # Errors
    /// If lengths differ.
    pub fn steps_of(&self, layout: &ScanLayout, count: Option<i64>) -> Result<usize> {
        let mut known: Option<(usize, String)> = None;
        if let Some(count) = count {
            match usize::try_from(count) {
                Ok(count) => known = Some((count, "`steps`".to_owned())),
                Err(_) => return fail(format!("a loop cannot take {count} steps")),
            }
        }
        for number in 0..layout.sequences {
            let length = self.operands[usize::from(layout.counted) + number].1.first().copied().unwrap_or(0);
            match &known {
                Some((steps, first)) if *steps != length => {
                    let of = layout.name(number);
                    return fail(format!("the sequence of `{of}` has the length {length}, {first} {steps}; all lengths of a scan are equal"));
                }
                Some(_) => {}
                None => known = Some((length, format!("the sequence of `{}`", layout.name(number)))),
            }
        }
        match known {
            Some((steps, _)) => Ok(steps),
            // The count is not known yet.
            None if layout.counted && count.is_none() => Ok(0),
            None => fail("nothing says how many steps there are".to_owned()),
        }
    }

    /// The plans for people, each line indented; with the kernels of each step if wanted.
    pub fn describe(&self, kernels: bool) -> String {
        let mut text = String::new();
        for (plan, inner) in self.bodies.iter().zip(&self.control.inner) {
            let body = plan.as_ref().map_or("  step by step: shapes depend on values\n".to_owned(), |plan| plan.describe(&inner.code, kernels));
            for line in body.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        if let Some(steps) = &self.steps {
            for (state, plan) in steps.states.iter().enumerate() {
                let _ = writeln!(text, "      state {state}: {:?}", plan.next);
            }
            for Packing { step, offset, bytes } in &steps.packings {
                let _ = writeln!(text, "      step {step}: the matrix on the right is packed once for all steps, {bytes} bytes at arena+{offset}");
            }
        }
        text
    }
}

fn fail<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Runtime, message))
}

/// The number of steps that an operand of any integer type states.
///
/// # Errors
/// If it is no number.
pub fn count(dtype: DType, bytes: &[u8]) -> Result<i64> {
    let view = View { dtype, shape: &[], bytes };
    view.ints().first().copied().ok_or_else(|| Error::new(ErrorKind::Internal, "the number of steps is missing"))
}

/// A loop whose results are in new memory: how long they are may depend on values.
fn scan(
    control: &Arc<Control>, planned: &Planned, layout: &ScanLayout, context: &Context<'_>, pool: &Arc<Pool>, operands: &[View<'_>],
) -> Result<Vec<Value>> {
    if planned.steps.is_some() {
        let scratch = pool.block(planned.scratch)?;
        let pointers: Vec<*const u8> = operands.iter().map(|operand| operand.bytes.as_ptr()).collect();
        // SAFETY: operands are views of the shapes planned for; scratch is new and as long as planned.
        return unsafe { ControlFrame::new(planned, pool, scratch.start()).run_scan(context, &pointers) };
    }
    let counted = operands.first().filter(|_| layout.counted).map(|steps| count(steps.dtype, steps.bytes)).transpose()?;
    let steps = planned.steps_of(layout, counted)?;
    let given = &operands[usize::from(layout.counted)..];
    let (sequences, rest) = given.split_at(layout.sequences);
    let (inits, captured) = rest.split_at(layout.states);
    let mut states = inits.iter().map(|init| Value::copy(pool, init)).collect::<Result<Vec<_>>>()?;
    let mut rows: Vec<std::collections::VecDeque<Value>> = (0..layout.yields()).map(|_| Default::default()).collect();
    for step in 0..steps {
        cancelled(context)?;
        let mut arguments: Vec<View<'_>> = sequences.iter().map(|sequence| row(sequence, if layout.reverse { steps - 1 - step } else { step })).collect();
        arguments.extend(states.iter().map(Value::view).chain(captured.iter().copied()));
        let code = &control.inner[0].code;
        check_arguments(code, &arguments)?;
        let mut outputs = unplanned(code, context, pool, &arguments, &|_, _| {})?;
        let stop = layout.until && outputs.pop().is_some_and(|stop| stop.view().bytes != [0]);
        let next = outputs.split_off(layout.yields());
        for (number, (next, state)) in next.iter().zip(&states).enumerate() {
            if next.shape != state.shape {
                let (name, before, after) = (layout.name(layout.sequences + number), state.shape.as_slice(), next.shape.as_slice());
                return fail(format!("the state `{name}` has the shape {before:?} and after step {step} {after:?}; a state keeps its shape"));
            }
        }
        states = next;
        for ((rows, &keep), value) in rows.iter_mut().zip(&layout.keep).zip(outputs) {
            rows.push_back(value);
            if keep > 0 && rows.len() > keep {
                rows.pop_front();
            }
        }
        if stop {
            break;
        }
    }
    for (number, mut rows) in rows.into_iter().enumerate() {
        if layout.reverse {
            rows.make_contiguous().reverse();
        }
        states.push(match rows.front() {
            Some(_) => stacked(pool, &rows)?,
            None => empty(layout, number, pool, given)?,
        });
    }
    Ok(states)
}

/// One row of a sequence.
fn row<'a>(sequence: &View<'a>, at: usize) -> View<'a> {
    let shape = &sequence.shape[1..];
    let size = sequence.dtype.size() * shape.iter().product::<usize>();
    View { dtype: sequence.dtype, shape, bytes: &sequence.bytes[at * size..][..size] }
}

fn stacked(pool: &Arc<Pool>, rows: &std::collections::VecDeque<Value>) -> Result<Value> {
    let first = &rows[0];
    if let Some((step, other)) = rows.iter().enumerate().find(|(_, other)| other.shape != first.shape) {
        let (a, b) = (first.shape.as_slice(), other.shape.as_slice());
        return fail(format!("step 0 yields a value of the shape {a:?}, step {step} one of the shape {b:?}"));
    }
    let mut all = Value::new(pool, first.dtype, std::iter::once(rows.len()).chain(first.shape.iter().copied()).collect())?;
    let size = first.view().bytes.len();
    let mut target = all.view_mut().bytes;
    for row in rows {
        let (head, tail) = target.split_at_mut(size);
        head.copy_from_slice(row.view().bytes);
        target = tail;
    }
    Ok(all)
}

/// What is yielded by a loop that takes no step: no rows, of the shape that a step would give.
fn empty(layout: &ScanLayout, number: usize, pool: &Arc<Pool>, given: &[View<'_>]) -> Result<Value> {
    let inputs: Vec<(Var, &[usize])> = layout.body.inputs().iter().zip(given).enumerate()
        .map(|(at, (var, operand))| (var.clone(), &operand.shape[usize::from(at < layout.sequences)..])).collect();
    let output = &layout.body.outputs()[layout.states + number];
    match shapes_of(std::slice::from_ref(output), &inputs)?.pop().flatten() {
        Some(shape) => Value::new(pool, output.ty()?.dtype, std::iter::once(0).chain(shape).collect()),
        None => fail("no step was taken, and the shape of what a step yields depends on values".to_owned()),
    }
}
