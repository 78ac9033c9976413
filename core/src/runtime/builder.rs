//! [`FunctionBuilder`]: what a function takes, gives and updates.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{FunctionGraph, NodeKind, State, Update, Var, clone_with, inputs_of};
use crate::runtime::{CompileRequest, Function, Session, Watch};
use crate::tensor::Tensor;

/// Collects inputs, outputs, updates and givens of a [`Function`].
#[derive(Clone, Default)]
pub struct FunctionBuilder {
    graph: FunctionGraph,
    givens: Vec<(Var, Var)>,
    watches: Vec<Arc<dyn Watch>>,
}

impl std::fmt::Debug for FunctionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let watches = self.watches.len();
        f.debug_struct("FunctionBuilder").field("graph", &self.graph).field("givens", &self.givens).field("watches", &watches).finish()
    }
}

impl FunctionBuilder {
    /// A function without anything.
    pub fn new(name: &str) -> FunctionBuilder {
        let graph = FunctionGraph { name: name.to_owned(), ..FunctionGraph::default() };
        FunctionBuilder { graph, ..FunctionBuilder::default() }
    }

    /// The function that a program in the language declares.
    pub fn from_graph(graph: FunctionGraph) -> FunctionBuilder {
        FunctionBuilder { graph, ..FunctionBuilder::default() }
    }

    /// The next argument.
    pub fn input(mut self, input: &Var) -> FunctionBuilder {
        self.graph.inputs.push(input.clone());
        self.graph.defaults.push(None);
        self
    }

    /// The next argument, which may be left out.
    pub fn input_with_default(mut self, input: &Var, default: Tensor) -> FunctionBuilder {
        self.graph.inputs.push(input.clone());
        self.graph.defaults.push(Some(default));
        self
    }

    /// The next result.
    pub fn output(mut self, value: &Var) -> FunctionBuilder {
        self.graph.outputs.push((None, value.clone()));
        self
    }

    /// The next result, with a name.
    pub fn named_output(mut self, name: &str, value: &Var) -> FunctionBuilder {
        self.graph.outputs.push((Some(name.to_owned()), value.clone()));
        self
    }

    /// The value of a state after each call. All new values are computed from the old ones. A state that
    /// steps by itself, such as that of a [`RandomStream`](crate::ops::random::RandomStream), needs none;
    /// one is given to have it otherwise.
    pub fn update(mut self, state: &State, value: &Var) -> FunctionBuilder {
        self.graph.updates.push(Update { state: state.clone(), value: value.clone() });
        self
    }

    /// Puts `replacement` wherever the function would use `value` (Theano's givens).
    pub fn given(mut self, value: &Var, replacement: &Var) -> FunctionBuilder {
        self.givens.push((value.clone(), replacement.clone()));
        self
    }

    /// Has `watch` look at every application of every call, of the compiled graph. Calls then go node by node,
    /// which is slow; the results are those of other calls but for roundings in fused code.
    pub fn watch(mut self, watch: impl Watch + 'static) -> FunctionBuilder {
        self.watches.push(Arc::new(watch));
        self
    }

    /// Compiles the function for the session's device.
    ///
    /// # Errors
    /// If an expression is ill-typed, a gradient does not exist, an input is missing or repeated, two
    /// outputs have one name, two updates name one state, an update or given has another type than what
    /// it stands for, or no device runs an op.
    pub fn build(self, session: &Session) -> Result<Function> {
        let request = CompileRequest { watches: self.watches.clone(), ..CompileRequest::default() };
        Function::compile_as(session, self.finish()?, request)
    }

    /// The function's graph with givens applied and dtypes settled, not compiled.
    ///
    /// # Errors
    /// As [`FunctionBuilder::build`], as far as the graph alone shows it.
    pub fn finish(mut self) -> Result<FunctionGraph> {
        self.graph.defaults.resize(self.graph.inputs.len(), None);
        self.check_inputs()?;
        self.add_steps();
        let fail = |message: String| Err(Error::new(ErrorKind::Type, message));
        for (i, update) in self.graph.updates.iter().enumerate() {
            if self.graph.updates[..i].iter().any(|other| other.state.is(&update.state)) {
                return fail(format!("the state `{}` is updated twice", update.state.name()));
            }
        }
        for (i, (name, value)) in self.graph.outputs.iter().enumerate() {
            if let Some(name) = name
                && self.graph.outputs[..i].iter().any(|(other, _)| other.as_ref() == Some(name))
            {
                let message = format!("two outputs are named `{name}`");
                return Err(Error::new(ErrorKind::Type, message).at(value.node().location()));
            }
        }
        let outputs = self.graph.outputs.iter().map(|(_, value)| value.clone());
        let mut values: Vec<Var> = outputs.chain(self.graph.updates.iter().map(|u| u.value.clone())).collect();
        if !self.givens.is_empty() {
            values = clone_with(&values, &self.givens)?;
        }
        let updates = values.split_off(self.graph.outputs.len());
        for ((_, output), value) in self.graph.outputs.iter_mut().zip(values) {
            *output = settled(value)?;
        }
        for (update, value) in self.graph.updates.iter_mut().zip(updates) {
            let (wanted, found) = (update.state.ty().clone(), value.ty()?.clone());
            let value = if found.weak && found.dtype != wanted.dtype { value.cast(wanted.dtype) } else { value };
            let fits = value.ty()?.dtype == wanted.dtype
                && found.rank() == wanted.rank()
                && found.dims.iter().zip(&wanted.dims).all(|(a, b)| a.compatible(b));
            if !fits {
                let message = format!("the state `{}` is {wanted}, its new value is {found}", update.state.name());
                return Err(Error::new(ErrorKind::Type, message).at(value.node().location()));
            }
            update.value = value;
        }
        Ok(self.graph)
    }

    /// Updates of the states that step by themselves, where the function reads them and gives none.
    fn add_steps(&mut self) {
        let outputs = self.graph.outputs.iter().map(|(_, value)| value.clone());
        let given = self.givens.iter().map(|(_, value)| value.clone());
        let values: Vec<Var> = outputs.chain(self.graph.updates.iter().map(|u| u.value.clone())).chain(given).collect();
        for var in inputs_of(&values) {
            let NodeKind::State(state) = var.node().kind() else { continue };
            if self.graph.updates.iter().any(|update| update.state.is(state)) {
                continue;
            }
            if let Some(value) = state.step() {
                self.graph.updates.push(Update { state: state.clone(), value });
            }
        }
    }

    fn check_inputs(&self) -> Result<()> {
        let mut names: Vec<&str> = Vec::new();
        for (input, default) in self.graph.inputs.iter().zip(&self.graph.defaults) {
            let NodeKind::Input(name) = input.node().kind() else {
                let message = format!("an input must be made by `Var::input`, this is {input:?}");
                return Err(Error::new(ErrorKind::Type, message).at(input.node().location()));
            };
            if names.contains(&&**name) {
                let message = format!("two inputs are named `{name}`");
                return Err(Error::new(ErrorKind::Type, message).at(input.node().location()));
            }
            names.push(name);
            if let Some(default) = default
                && !input.ty()?.admits(default.dtype(), default.shape())
            {
                let message = format!("the default of `{name}` is {}, the input is {}", default.ty(), input.ty()?);
                return Err(Error::new(ErrorKind::Type, message).at(input.node().location()));
            }
        }
        Ok(())
    }
}

/// A result with a firm dtype: weak floats take the config's `float`.
fn settled(value: Var) -> Result<Var> {
    let ty = value.ty()?;
    let float = crate::ops::default_float();
    if ty.weak && ty.dtype.is_float() && ty.dtype != float { Ok(value.cast(float)) } else { Ok(value) }
}
