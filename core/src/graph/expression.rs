//! A function as the user states it: inputs, outputs and updates over [`Var`]s.

use super::{State, Var};

/// The next value of a state variable.
#[derive(Clone, Debug)]
pub struct Update {
    /// Which state.
    pub state: State,
    /// Its value after the call.
    pub value: Var,
}

/// Inputs, outputs and updates of a function, not yet compiled.
#[derive(Clone, Debug, Default)]
pub struct FunctionGraph {
    /// The function's name.
    pub name: String,
    /// The inputs, in the order of positional arguments; each is [`NodeKind::Input`](super::NodeKind).
    pub inputs: Vec<Var>,
    /// Default values of inputs, by position.
    pub defaults: Vec<Option<crate::tensor::Tensor>>,
    /// The results, each with a name if it has one.
    pub outputs: Vec<(Option<String>, Var)>,
    /// The new values of states, all computed from the old ones.
    pub updates: Vec<Update>,
    /// The states declared by the function, in order (those that are only read included).
    pub states: Vec<State>,
}
