//! Calls node by node, for whoever looks at every value: the modes `nan-guard` and `debug`, and the hooks of
//! users.
//!
//! The host walks the compiled graph. It has each node computed on its device by a program of its own, and takes
//! the steps of loops and the branches of choices itself, so that what is inside is seen too. Devices need to
//! know nothing of it. A function that nothing looks at has no walk, and its calls do not ask.

mod block;
mod debug;
mod event;
mod guard;
mod rewrites;

use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::call::{lock_states, on_host};
use super::clock::Clock;
use super::compile::{Observed, check_arguments};
use super::loans::Loans;
use crate::config::Mode;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, NodeId, NodeKind, State, StateValue, ValueId};
use crate::ops::control::run_scan;
use crate::runtime::{Compiled, Session};
use crate::tensor::Tensor;

use block::{Block, Bodies, Node, own_copy, run, values};
pub use event::{Inside, NodeEvent, Part, Watch};
use event::located;
use debug::Debug;
use guard::NanGuard;

/// What one program of a compiled function was made of.
pub(super) struct Record {
    pub device: usize,
    /// The node of each statement.
    pub nodes: Vec<NodeId>,
    pub given: Vec<ValueId>,
    pub results: Vec<ValueId>,
}

/// A function's calls, node by node.
pub(super) struct Walk {
    block: Block,
    observers: Vec<Box<dyn Observer>>,
}

/// Someone who looks at a call.
trait Observer: Send + Sync {
    /// A value that the call starts from; `what` names it.
    fn given(&self, what: &str, value: &Tensor, location: &Location) -> Result<()> {
        let _ = (what, value, location);
        Ok(())
    }

    /// A node is about to be computed.
    fn before(&self, event: &NodeEvent<'_>) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// A node was computed.
    fn after(&self, event: &NodeEvent<'_>, node: &Node) -> Result<()>;

    /// All nodes were computed; whatever the call computed outside of bodies.
    fn finished(&self, compiled: &Compiled, values: &FxHashMap<ValueId, Tensor>) -> Result<()> {
        let _ = (compiled, values);
        Ok(())
    }

    /// Whether nothing is trusted: values are kept for [`Observer::finished`], and devices get copies.
    fn distrusts(&self) -> bool {
        false
    }
}

struct Hook(Arc<dyn Watch>);

impl Observer for Hook {
    fn before(&self, event: &NodeEvent<'_>) -> Result<()> {
        self.0.before(event).map_err(|error| event.error(error))
    }

    fn after(&self, event: &NodeEvent<'_>, _node: &Node) -> Result<()> {
        self.0.after(event).map_err(|error| event.error(error))
    }
}

/// Who notes how long each node takes.
struct Timer(Arc<Clock>);

impl Observer for Timer {
    fn after(&self, event: &NodeEvent<'_>, node: &Node) -> Result<()> {
        // A loop is the sum of its nodes.
        if matches!(node.bodies, Bodies::None) {
            self.0.computed(event);
        }
        Ok(())
    }
}

impl Walk {
    /// How the calls of a function go, if the session's mode or a hook looks at them.
    ///
    /// # Errors
    /// If the mode needs something that is not there.
    pub fn of(
        session: &Session, compiled: &Compiled, clock: Option<&Arc<Clock>>, watches: &[Arc<dyn Watch>],
    ) -> Result<Option<Walk>> {
        let mut observers: Vec<Box<dyn Observer>> = Vec::new();
        match session.config().mode() {
            Mode::NanGuard => observers.push(Box::new(NanGuard::new(session, compiled))),
            Mode::Debug => observers.push(Box::new(Debug::new(session, compiled)?)),
            _ => {}
        }
        if let Some(clock) = clock
            && (session.config().profile_nodes() || !watches.is_empty() || !compiled.programs_keep_times())
        {
            observers.push(Box::new(Timer(clock.clone())));
        }
        for watch in session.watches().iter().chain(watches) {
            observers.push(Box::new(Hook(watch.clone())));
        }
        if observers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Walk { block: Block::new(session, compiled.graph().clone(), None)?, observers }))
    }

    fn each(&self, mut tell: impl FnMut(&dyn Observer) -> Result<()>) -> Result<()> {
        self.observers.iter().try_for_each(|observer| tell(&**observer))
    }
}

impl Compiled {
    /// Whether every program's device keeps times: it then lists statements before the first run.
    fn programs_keep_times(&self) -> bool {
        self.steps.iter().all(|step| step.ops.is_empty() || !step.executable.profile().is_empty())
    }

    /// A call that somebody looks at.
    ///
    /// # Errors
    /// As any call, and what those who look at it say; states are then as they were.
    pub(super) fn call_observed(
        &self, observed: &Observed, session: &Session, states: &[State], arguments: &[Tensor],
        loans: Option<&Loans<'_>>,
    ) -> Result<Vec<Tensor>> {
        let begun = Instant::now();
        let results = match &observed.walk {
            Some(walk) => self.call_walking(walk, session, states, arguments),
            None => self.call_plainly(session, states, arguments, loans),
        }?;
        if let Some(clock) = &observed.clock {
            clock.called(&self.function().name, begun);
        }
        Ok(results)
    }

    fn call_walking(
        &self, walk: &Walk, session: &Session, states: &[State], arguments: &[Tensor],
    ) -> Result<Vec<Tensor>> {
        check_arguments(&self.inputs, arguments)?;
        let mut guards = lock_states(states)?;
        let graph = &walk.block.graph;
        let mut known: FxHashMap<ValueId, Tensor> = FxHashMap::default();
        for ((&input, argument), (name, _)) in graph.inputs().iter().zip(arguments).zip(&self.inputs) {
            walk.each(|observer| observer.given(&format!("the input `{name}`"), argument, graph.node(input).location))?;
            known.insert(input.output(0), argument.clone());
        }
        for id in graph.ids() {
            let NodeKind::State(state) = graph.node(id).kind else { continue };
            let number = self.states.iter().position(|known| known.is(state));
            let guard = number.and_then(|number| guards[number].as_deref());
            let value = match guard {
                Some(StateValue::Host(tensor)) => tensor.clone(),
                Some(StateValue::Device(tensor)) => on_host(&*self.devices[session.device_of(tensor)?].1, tensor)?,
                _ => return Err(Error::new(ErrorKind::Internal, format!("the state `{}` has no value", state.name()))),
            };
            let what = format!("the state `{}`", state.name());
            walk.each(|observer| observer.given(&what, &value, graph.node(id).location))?;
            known.insert(id.output(0), value);
        }
        let keep = walk.observers.iter().any(|observer| observer.distrusts());
        let mut caller = Caller { walk, session, copies: keep, path: Vec::new() };
        let mut results = caller.block(&walk.block, &mut known, keep)?;
        walk.each(|observer| observer.finished(self, &known))?;
        // The last effect may be a further result that nobody asked for.
        results.truncate(self.outputs.len() + self.updates.len());
        let new_values = results.split_off(self.outputs.len());
        let mut updates = Vec::new();
        for ((state, _), value) in self.updates.iter().zip(new_values) {
            let value = StateValue::Host(value);
            self.check_update(&states[*state], &value)?;
            updates.push((*state, value));
        }
        for (state, value) in updates {
            if let Some(guard) = &mut guards[state] {
                **guard = value;
            }
        }
        Ok(results)
    }
}

/// A walked call on its way.
struct Caller<'a> {
    walk: &'a Walk,
    session: &'a Session,
    /// Whether devices get copies, lest they write to what others read.
    copies: bool,
    /// The bodies around the node in hand.
    path: Vec<Inside>,
}

impl Caller<'_> {
    /// The outputs of a block for the values of what it starts from. Values that nothing reads any more are
    /// forgotten unless they are kept.
    fn block(&mut self, block: &Block, known: &mut FxHashMap<ValueId, Tensor>, keep: bool) -> Result<Vec<Tensor>> {
        known.extend(block.constants().map(|(id, value)| (id, value.clone())));
        let mut left = block.uses.clone();
        for (number, node) in block.nodes.iter().enumerate() {
            let view = block.graph.node(node.id);
            let operands = values(known, view.operands)?;
            let results = self.node(block, number, &operands)?;
            for (output, result) in results.into_iter().enumerate() {
                known.insert(node.id.output(output), result);
            }
            for operand in view.operands {
                if let Some(left) = left.get_mut(operand) {
                    *left -= 1;
                    if *left == 0 && !keep {
                        known.remove(operand);
                    }
                }
            }
        }
        values(known, block.graph.outputs())
    }

    /// The results of one node.
    fn node(&mut self, block: &Block, number: usize, operands: &[Tensor]) -> Result<Vec<Tensor>> {
        let node = &block.nodes[number];
        let view = block.graph.node(node.id);
        let Some((op, attributes)) = view.apply() else {
            return Err(Error::new(ErrorKind::Internal, "only applications are computed"));
        };
        let (name, device) = &self.session.devices()[node.device];
        let event = NodeEvent {
            number, op: op.name(), attributes, location: view.location, device: name, operands, results: &[], path: &self.path,
            seconds: 0.0,
        };
        self.walk.each(|observer| observer.before(&event))?;
        let begun = Instant::now();
        let results = match &node.bodies {
            Bodies::Scan(body) => {
                let around = view.location.clone();
                let mut taken = 0;
                let results = run_scan(attributes, operands, &mut |step, arguments| {
                    taken += 1;
                    self.inside(body, Inside { op: "scan", part: Part::Step(step), location: around.clone() }, arguments)
                });
                results.map_err(|error| if taken == 0 { located(error, view.location, &self.path) } else { error })?
            }
            Bodies::If(both) => {
                let holds = operands.first().is_some_and(|condition| condition.to_i64_vec() != [0]);
                let (body, part) = if holds { (&both[0], Part::Then) } else { (&both[1], Part::Otherwise) };
                self.inside(body, Inside { op: "if", part, location: view.location.clone() }, &operands[1..])?
            }
            Bodies::Recompute(body) => {
                let inside = Inside { op: "recompute", part: Part::Body, location: view.location.clone() };
                self.inside(body, inside, operands)?
            }
            Bodies::None => {
                let executable = node.alone.usual(&**device)?;
                let own: Vec<Tensor> = if self.copies { operands.iter().map(own_copy).collect() } else { operands.to_vec() };
                run(&**device, &*executable, &node.alone.arguments(&own))
                    .map_err(|error| located(error, view.location, &self.path))?
            }
        };
        let event = NodeEvent {
            number, op: op.name(), attributes, location: view.location, device: name, operands, results: &results,
            path: &self.path, seconds: begun.elapsed().as_secs_f64(),
        };
        self.walk.each(|observer| observer.after(&event, node))?;
        Ok(results)
    }

    /// The outputs of a body.
    fn inside(&mut self, body: &Block, inside: Inside, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
        self.path.push(inside);
        let inputs = body.graph.inputs().iter().map(|input| input.output(0));
        let mut known: FxHashMap<ValueId, Tensor> = inputs.zip(arguments.iter().cloned()).collect();
        let outputs = self.block(body, &mut known, false);
        self.path.pop();
        outputs
    }
}
