//! State: a named value that lives across calls (Theano's shared variable).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Var;
use crate::tensor::{DeviceTensor, Tensor, Type};

/// A variable that keeps its value between calls. Clones are the same variable.
#[derive(Clone)]
pub struct State {
    cell: Arc<Cell>,
}

struct Cell {
    name: String,
    ty: Type,
    value: Mutex<StateValue>,
    step: Option<fn(&Var) -> Var>,
}

/// The value of a [`State`].
#[derive(Clone, Debug)]
pub enum StateValue {
    /// Not set yet: compiling a function computes the initial expression first.
    Unset(Var),
    /// In host memory.
    Host(Tensor),
    /// Where the device that computed it keeps it.
    Device(DeviceTensor),
}

impl StateValue {
    /// Leaves a value in host memory that nobody else holds to the device that computes there, which may write over it then.
    pub(crate) fn settle(&mut self) {
        let StateValue::Host(tensor) = self else { return };
        if tensor.is_unique() {
            let tensor = std::mem::replace(tensor, Tensor::vector(Vec::<bool>::new()));
            *self = tensor.into_sole().map_or_else(StateValue::Host, StateValue::Device);
        }
    }
}

impl State {
    /// A state variable with an initial value. Every dim is that of the value unless the type, given
    /// by [`State::with_type`], says otherwise.
    pub fn new(name: &str, value: Tensor) -> State {
        State::with_type(name, value.ty(), StateValue::Host(value))
    }

    /// A state variable of a type that leaves some dims open, or whose value is an expression.
    pub fn with_type(name: &str, ty: Type, value: StateValue) -> State {
        State { cell: Arc::new(Cell { name: name.to_owned(), ty, value: Mutex::new(value), step: None }) }
    }

    /// A state variable that every function that reads it steps, from its value to what `step` builds of
    /// it, unless the function gives it another update (Theano's `default_update`).
    pub fn stepping(name: &str, ty: Type, value: StateValue, step: fn(&Var) -> Var) -> State {
        let cell = Cell { name: name.to_owned(), ty, value: Mutex::new(value), step: Some(step) };
        State { cell: Arc::new(cell) }
    }

    /// The update of a state made by [`State::stepping`].
    pub fn step(&self) -> Option<Var> {
        self.cell.step.map(|step| step(&Var::state(self)))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// The type, which every value has.
    pub fn ty(&self) -> &Type {
        &self.cell.ty
    }

    /// The value, locked: a call holds the lock of every state that it updates.
    pub fn lock(&self) -> MutexGuard<'_, StateValue> {
        self.cell.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether both are the same variable.
    pub fn is(&self, other: &State) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }

    /// A number that differs between variables that live at the same time; for ordering locks.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.cell) as usize
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state {}: {}", self.cell.name, self.cell.ty)
    }
}
