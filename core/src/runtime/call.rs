//! A call: a transaction over states.

use std::sync::{Arc, MutexGuard};

use smallvec::{SmallVec, smallvec};

use super::compile::{Step, check_arguments};
use super::loans::Loans;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{State, StateValue};
use crate::ops::host::shows_values;
use crate::plugin::{Argument, Device, Program};
use crate::runtime::{Compiled, Session};
use crate::tensor::{DeviceTensor, MemoryKind, Tensor};

/// A value during a call: on the host, on devices, or both.
#[derive(Default)]
struct Resident {
    host: Option<Tensor>,
    devices: SmallVec<[(usize, DeviceTensor); 1]>,
}

/// A call that is one run of a program in host memory, without states: nothing is kept between steps.
pub(super) struct Direct {
    arguments: Vec<Source>,
    /// For each output which result of the program it is.
    outputs: Vec<usize>,
}

enum Source {
    Input(usize),
    Constant(Tensor),
}

impl Direct {
    /// How such a call goes, if calls of these steps are such.
    pub fn of(inputs: usize, states: &[State], constants: &[(usize, Tensor)], steps: &[Step], outputs: &[usize]) -> Option<Direct> {
        let [step] = steps else { return None };
        if !states.is_empty() || !step.in_host_memory || step.donate.contains(&true) {
            return None;
        }
        let source = |&slot: &usize| {
            let constant = || constants.iter().find(|constant| constant.0 == slot);
            if slot < inputs { Some(Source::Input(slot)) } else { constant().map(|(_, tensor)| Source::Constant(tensor.clone())) }
        };
        let result = |slot: &usize| step.results.iter().position(|result| result == slot);
        Some(Direct {
            arguments: step.arguments.iter().map(source).collect::<Option<_>>()?,
            outputs: outputs.iter().map(result).collect::<Option<_>>()?,
        })
    }
}

/// What is locked of the states, in their order.
pub(super) type Guards<'a> = SmallVec<[Option<MutexGuard<'a, StateValue>>; 8]>;

impl Resident {
    fn of(tensor: Tensor) -> Resident {
        Resident { host: Some(tensor), ..Resident::default() }
    }

    fn on_host(&mut self, devices: &[(String, Arc<dyn Device>)]) -> Result<Tensor> {
        if let Some(tensor) = &self.host {
            return Ok(tensor.clone());
        }
        let Some((device, tensor)) = self.devices.first() else {
            return Err(Error::new(ErrorKind::Internal, "a value was used before it was computed"));
        };
        let tensor = on_host(&*devices[*device].1, tensor)?;
        self.host = Some(tensor.clone());
        Ok(tensor)
    }

    fn on_device(
        &mut self, device: usize, in_host_memory: bool, devices: &[(String, Arc<dyn Device>)],
    ) -> Result<DeviceTensor> {
        if let Some((_, tensor)) = self.devices.iter().find(|(at, _)| *at == device) {
            return Ok(tensor.clone());
        }
        let host = self.on_host(devices)?;
        // What computes in host memory reads the tensor where it is; as others may hold it, it is never donated.
        let tensor = if in_host_memory { DeviceTensor::from_host(host) } else { devices[device].1.upload(&host)? };
        self.devices.push((device, tensor.clone()));
        Ok(tensor)
    }
}

/// A device's tensor in host memory. What lies there already is shared: the owner, which counts its holders, stays
/// the same, so that none of them finds its memory written over.
pub(super) fn on_host(device: &dyn Device, tensor: &DeviceTensor) -> Result<Tensor> {
    if tensor.memory == MemoryKind::HOST { tensor.to_host() } else { device.download(tensor) }
}

/// The values of states, locked.
///
/// # Errors
/// If one state stands at two places.
pub(super) fn lock_states(states: &[State]) -> Result<Guards<'_>> {
    // Locks are taken in one order by every call, so that two calls cannot wait for each other.
    let mut order: SmallVec<[usize; 8]> = (0..states.len()).collect();
    order.sort_unstable_by_key(|&state| states[state].address());
    let mut guards: Guards<'_> = states.iter().map(|_| None).collect();
    for (i, &state) in order.iter().enumerate() {
        let twin = i > 0 && states[order[i - 1]].is(&states[state]);
        if twin {
            let message = format!("the state `{}` stands for two states of the function", states[state].name());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        guards[state] = Some(states[state].lock());
    }
    Ok(guards)
}

impl Compiled {
    /// A call that may write over its arguments, as far as nobody else holds them.
    ///
    /// # Errors
    /// As those of [`Compiled::call`]; the arguments are gone then too.
    pub(super) fn call_owned(&self, session: &Session, states: &[State], arguments: Vec<Tensor>) -> Result<Vec<Tensor>> {
        if self.observed.is_some() {
            return self.call(session, states, &arguments, None);
        }
        check_arguments(&self.inputs, &arguments)?;
        let in_host_memory = self.in_host_memory();
        let given = arguments.into_iter().map(|argument| match if in_host_memory { argument.into_sole() } else { Err(argument) } {
            Ok(tensor) => Ok(Resident { devices: smallvec![(session.device_of(&tensor)?, tensor)], host: None }),
            Err(argument) => Ok(Resident::of(argument)),
        });
        let given = given.collect::<Result<_>>()?;
        self.call_with(session, states, given, None)
    }

    /// A call. What it leaves behind holds nothing of what is on loan.
    ///
    /// # Errors
    /// If arguments do not fit or an op fails; states are then as they were.
    pub(super) fn call(
        &self, session: &Session, states: &[State], arguments: &[Tensor], loans: Option<&Loans<'_>>,
    ) -> Result<Vec<Tensor>> {
        match &self.observed {
            None => self.call_plainly(session, states, arguments, loans),
            Some(observed) => self.call_observed(observed, session, states, arguments, loans),
        }
    }

    /// Whether somebody is shown values of a call, and may keep them: who watches it, or a closure of the program.
    pub(super) fn shows_values(&self) -> bool {
        let graph = self.graph();
        let shown = |id| graph.node(id).apply().is_some_and(|(op, attributes)| shows_values(&**op, attributes));
        self.observed.as_ref().is_some_and(|observed| observed.walk.is_some()) || graph.topological_order().into_iter().any(shown)
    }

    pub(super) fn call_plainly(
        &self, session: &Session, states: &[State], arguments: &[Tensor], loans: Option<&Loans<'_>>,
    ) -> Result<Vec<Tensor>> {
        check_arguments(&self.inputs, arguments)?;
        if let (Some(direct), [step]) = (&self.direct, &self.steps[..]) {
            return self.call_directly(direct, step, arguments, loans);
        }
        self.call_with(session, states, arguments.iter().cloned().map(Resident::of).collect(), loans)
    }

    /// A call with arguments that fit.
    fn call_with(
        &self, session: &Session, states: &[State], mut values: SmallVec<[Resident; 4]>, loans: Option<&Loans<'_>>,
    ) -> Result<Vec<Tensor>> {
        values.reserve_exact(self.slots.saturating_sub(values.len()));
        values.resize_with(self.slots, Resident::default);
        for (slot, constant) in &self.constants {
            values[*slot].host = Some(constant.clone());
        }
        let mut guards = lock_states(states)?;
        let in_host_memory = self.in_host_memory();
        for (state, guard) in guards.iter_mut().enumerate() {
            let slot = self.inputs.len() + state;
            let Some(guard) = guard else { continue };
            if in_host_memory { guard.settle() }
            match &**guard {
                StateValue::Host(tensor) => match values.get_mut(slot) {
                    Some(value) if self.reads_state(state) => value.host = Some(tensor.clone()),
                    _ => {}
                },
                StateValue::Device(tensor) if self.reads_state(state) => {
                    let device = session.device_of(tensor)?;
                    values[slot].devices.push((device, tensor.clone()));
                }
                StateValue::Device(_) => {}
                StateValue::Unset(_) => {
                    let message = format!("the state `{}` has no value", states[state].name());
                    return Err(Error::new(ErrorKind::Internal, message));
                }
            }
        }
        for step in &self.steps {
            self.run(step, &mut values)?;
        }
        let is_lent = |start: *const u8| loans.is_some_and(|loans| loans.cover(start));
        let mut outputs =
            self.outputs.iter().map(|&slot| values[slot].on_host(&self.devices)).collect::<Result<Vec<_>>>()?;
        for output in outputs.iter_mut().filter(|output| is_lent(output.as_ptr())) {
            *output = output.copied();
        }
        let mut new_values = Vec::with_capacity(self.updates.len());
        for (state, slot) in &self.updates {
            let value = match values[*slot].devices.first() {
                Some((_, tensor)) if !is_lent(tensor.data) => StateValue::Device(tensor.clone()),
                _ => {
                    let tensor = values[*slot].on_host(&self.devices)?;
                    StateValue::Host(if is_lent(tensor.as_ptr()) { tensor.copied() } else { tensor })
                }
            };
            self.check_update(&states[*state], &value)?;
            new_values.push((*state, value));
        }
        for (state, value) in new_values {
            if let Some(guard) = &mut guards[state] {
                **guard = value;
            }
        }
        Ok(outputs)
    }

    fn call_directly(
        &self, direct: &Direct, step: &Step, arguments: &[Tensor], loans: Option<&Loans<'_>>,
    ) -> Result<Vec<Tensor>> {
        let mut given: SmallVec<[&Tensor; 8]> = SmallVec::new();
        for source in &direct.arguments {
            given.push(match source {
                Source::Input(number) => &arguments[*number],
                Source::Constant(tensor) => tensor,
            });
        }
        let mut results = step.executable.run_on_host(&given).map_err(|error| step.moved(error))?;
        self.check_results(step, results.len())?;
        if !direct.outputs.iter().copied().eq(0..results.len()) {
            results = direct.outputs.iter().map(|&result| results[result].clone()).collect();
        }
        for output in results.iter_mut().filter(|output| loans.is_some_and(|loans| loans.cover(output.as_ptr()))) {
            *output = output.copied();
        }
        Ok(results)
    }

    /// Whether something of it is computed in host memory.
    fn in_host_memory(&self) -> bool {
        self.steps.iter().any(|step| step.in_host_memory)
    }

    /// Whether the state has a slot of its own: those that are only written have none.
    fn reads_state(&self, state: usize) -> bool {
        state < self.read_states
    }

    pub(super) fn check_update(&self, state: &State, value: &StateValue) -> Result<()> {
        let (dtype, shape) = match value {
            StateValue::Host(tensor) => (tensor.dtype(), tensor.shape()),
            StateValue::Device(tensor) => (tensor.dtype, tensor.shape.as_slice()),
            StateValue::Unset(_) => return Ok(()),
        };
        if state.ty().admits(dtype, shape) {
            return Ok(());
        }
        let message = format!("the state `{}` is {}, its new value is {dtype}{shape:?}", state.name(), state.ty());
        Err(Error::new(ErrorKind::Runtime, message))
    }

    fn run(&self, step: &Step, values: &mut [Resident]) -> Result<()> {
        let mut arguments = Vec::with_capacity(step.arguments.len());
        for (&slot, &donate) in step.arguments.iter().zip(&step.donate) {
            let tensor = values[slot].on_device(step.device, step.in_host_memory, &self.devices)?;
            // Nobody but the state itself, the call's table of values and the argument in hand may hold its memory.
            let holders = if slot < self.inputs.len() { 2 } else { 3 };
            let donated = donate && Arc::strong_count(&tensor.owner) <= holders;
            arguments.push(Argument { tensor, donated });
        }
        let results = self.execute(step, arguments)?;
        for (&slot, tensor) in step.results.iter().zip(results) {
            values[slot].devices.push((step.device, tensor));
        }
        Ok(())
    }

    /// Runs a program.
    fn execute(&self, step: &Step, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        let results = step.executable.run(arguments).map_err(|error| step.moved(error))?;
        self.check_results(step, results.len())?;
        Ok(results)
    }

    fn check_results(&self, step: &Step, found: usize) -> Result<()> {
        if found == step.results.len() { return Ok(()) }
        let device = &self.devices[step.device].0;
        let message = format!("{device} gave {found} results where {} were due", step.results.len());
        Err(Error::new(ErrorKind::Internal, message))
    }
}

impl Step {
    /// An error of its program, with the line that it comes from.
    fn moved(&self, error: Error) -> Error {
        // Of what is inside a loop or a branch, a device knows the line of the program.
        let inside = error.location().filter(|place| &*place.file == Program::SOURCE).and_then(|place| {
            let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
            self.places.get(line).filter(|place| place.is_known())
        });
        match inside.or_else(|| error.node().and_then(|node| self.locations.get(node))) {
            Some(location) => error.moved_to(location),
            None => error,
        }
    }
}
