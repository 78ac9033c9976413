//! [`Function`]: a compiled graph that can be called.

use std::sync::{Arc, OnceLock};

use super::loans::Loans;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::graph::{FunctionGraph, NodeKind, State};
use crate::runtime::{CompileRequest, Compiled, Session};
use crate::tensor::Tensor;

/// A compiled function. Clones share the compiled code and the state. Calls may be made from several
/// threads at once; calls that update the same state run one after the other.
#[derive(Clone)]
pub struct Function {
    session: Session,
    graph: Arc<FunctionGraph>,
    compiled: Arc<Compiled>,
    /// The states, in the order in which the compiled code expects them.
    states: Vec<State>,
    /// Those of the graph in the same order, which [`Function::with_states`] puts others in place of.
    own_states: Vec<State>,
    request: CompileRequest,
    /// The code for calls that give their arguments away, and the place of each of its states among `states`.
    owned: Arc<OnceLock<(Arc<Compiled>, Vec<usize>)>>,
}

impl Function {
    /// Compiles a function. [`FunctionBuilder`](crate::runtime::FunctionBuilder) is the usual way here. Two functions of
    /// a session share what is compiled if their graphs differ at most in which states of the same names they have.
    ///
    /// # Errors
    /// If the graph is ill-typed or a device does not support it.
    pub fn compile(session: &Session, graph: FunctionGraph) -> Result<Function> {
        Function::compile_as(session, graph, CompileRequest::default())
    }

    /// As [`Function::compile`], in the way that the request asks for.
    ///
    /// # Errors
    /// As those of [`Function::compile`].
    pub fn compile_as(session: &Session, graph: FunctionGraph, request: CompileRequest) -> Result<Function> {
        let (compiled, states) = session.compiled(&graph, &request)?;
        for state in &states {
            session.initialize(state)?;
        }
        let owned = Arc::default();
        Ok(Function { session: session.clone(), graph: Arc::new(graph), compiled, own_states: states.clone(), states, request, owned })
    }

    /// Calls the function with arguments by position; trailing ones may be left out if they have defaults.
    ///
    /// # Errors
    /// If arguments are missing, too many, or of another type, or if an op fails. All states then
    /// have the values they had before.
    pub fn call(&self, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
        let count = self.graph.inputs.len();
        if arguments.len() > count {
            let message = format!("{} takes {count} inputs, {} were given", self.title(), arguments.len());
            return Err(Error::new(ErrorKind::Runtime, message).note(self.inputs_note()));
        }
        if arguments.len() == count {
            return self.compiled.call(&self.session, &self.states, arguments, None);
        }
        let mut filled = arguments.to_vec();
        for position in arguments.len()..count {
            filled.push(self.default(position)?);
        }
        self.compiled.call(&self.session, &self.states, &filled, None)
    }

    /// Calls the function with arguments that it may write over, as far as nobody else holds them: results then take
    /// their memory (JAX calls it donation, Theano borrowing). The first such call compiles the function anew for that.
    ///
    /// ```
    /// # use arignote_core::{graph::Var, runtime::FunctionBuilder, tensor::{DType, Tensor, Type}};
    /// # fn call(session: &arignote_core::runtime::Session) -> arignote_core::Result<()> {
    /// let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
    /// let f = FunctionBuilder::new("f").input(&x).output(&(&x * 2.0)).build(session)?;
    /// let x = Tensor::vector(vec![1.0, 2.0]);
    /// let twice = f.call_owned(vec![x])?.remove(0);
    /// // The memory of `x` again.
    /// let four_times = f.call_owned(vec![twice])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Function::call`]. The arguments are gone also then.
    pub fn call_owned(&self, mut arguments: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let count = self.graph.inputs.len();
        if arguments.len() > count {
            return self.call(&arguments);
        }
        for position in arguments.len()..count {
            arguments.push(self.default(position)?);
        }
        let (compiled, places) = match self.owned.get() {
            Some(known) => known,
            None => {
                let request = CompileRequest { owned: true, ..self.request.clone() };
                let (compiled, states) = self.session.compiled(&self.graph, &request)?;
                let place = |state: &State| self.own_states.iter().position(|own| own.is(state));
                let places = states.iter().map(place).collect::<Option<_>>();
                let places = places.ok_or_else(|| Error::new(ErrorKind::Internal, "a function compiled again has other states"))?;
                self.owned.get_or_init(|| (compiled, places))
            }
        };
        let states: Vec<State> = places.iter().map(|&place| self.states[place].clone()).collect();
        compiled.call_owned(&self.session, &states, arguments)
    }

    /// Calls the function with arguments by name, in any order; those with defaults may be left out.
    ///
    /// # Errors
    /// As [`Function::call`]; also if a name is unknown or given twice.
    pub fn call_named(&self, arguments: &[(&str, Tensor)]) -> Result<Vec<Tensor>> {
        let names = self.input_names();
        let mut filled: Vec<Option<Tensor>> = vec![None; names.len()];
        for (name, value) in arguments {
            let Some(position) = names.iter().position(|known| known == name) else {
                let error = Error::new(ErrorKind::Runtime, format!("{} has no input `{name}`", self.title()));
                return Err(match nearest(name, names.iter().copied()) {
                    Some(near) => error.note(format!("did you mean `{near}`?")),
                    None => error.note(self.inputs_note()),
                });
            };
            if filled[position].replace(value.clone()).is_some() {
                return Err(Error::new(ErrorKind::Runtime, format!("the input `{name}` is given twice")));
            }
        }
        let filled: Vec<Tensor> = filled
            .into_iter()
            .enumerate()
            .map(|(position, value)| value.map_or_else(|| self.default(position), Ok))
            .collect::<Result<_>>()?;
        self.compiled.call(&self.session, &self.states, &filled, None)
    }

    /// Calls the function with all its arguments, which lie in the caller's memory.
    pub(super) fn call_with(&self, loans: &Loans<'_>) -> Result<Vec<Tensor>> {
        self.compiled.call(&self.session, &self.states, loans.arguments(), Some(loans))
    }

    fn default(&self, position: usize) -> Result<Tensor> {
        self.graph.defaults.get(position).cloned().flatten().ok_or_else(|| {
            let ty = self.graph.inputs[position].ty().map_or(String::new(), ToString::to_string);
            let message = format!("{} needs the input `{}: {ty}`", self.title(), self.input_names()[position]);
            Error::new(ErrorKind::Runtime, message)
        })
    }

    fn inputs_note(&self) -> String {
        match self.input_names().as_slice() {
            [] => "it has no inputs".to_owned(),
            names => format!("its inputs: {}", names.join(", ")),
        }
    }

    fn title(&self) -> String {
        format!("`{}`", self.graph.name)
    }

    /// The inputs' names in order.
    pub fn input_names(&self) -> Vec<&str> {
        fn name(kind: &NodeKind) -> &str {
            if let NodeKind::Input(name) = kind { name } else { "" }
        }
        self.graph.inputs.iter().map(|input| name(input.node().kind())).collect()
    }

    /// The outputs' names in order, where they have one.
    pub fn output_names(&self) -> Vec<Option<&str>> {
        self.graph.outputs.iter().map(|(name, _)| name.as_deref()).collect()
    }

    /// The place of the output of this name among the results of a call.
    ///
    /// # Errors
    /// If there is none.
    pub fn output_position(&self, name: &str) -> Result<usize> {
        let names = self.output_names();
        names.iter().position(|known| *known == Some(name)).ok_or_else(|| {
            let error = Error::new(ErrorKind::Runtime, format!("{} has no output `{name}`", self.title()));
            match nearest(name, names.iter().copied().flatten()) {
                Some(near) => error.note(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    }

    /// The states that the function reads or updates.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The state of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn state(&self, name: &str) -> Result<&State> {
        self.states.iter().find(|state| state.name() == name).ok_or_else(|| {
            let error = Error::new(ErrorKind::Runtime, format!("{} has no state `{name}`", self.title()));
            match nearest(name, self.states.iter().map(State::name)) {
                Some(near) => error.note(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    }

    /// The value of a state of this function.
    ///
    /// # Errors
    /// If there is no such state.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        self.session.get(self.state(name)?)
    }

    /// Sets a state of this function.
    ///
    /// # Errors
    /// If there is no such state, or the value has another type.
    pub fn set(&self, name: &str, value: Tensor) -> Result<()> {
        self.session.set(self.state(name)?, value)
    }

    /// The same code over other states: each `old` of the pairs becomes its `new`.
    ///
    /// # Errors
    /// If an `old` is not a state of this function or the types differ.
    pub fn with_states(&self, swaps: &[(State, State)]) -> Result<Function> {
        let mut copy = self.clone();
        for (old, new) in swaps {
            if old.ty() != new.ty() {
                let message = format!("the state `{}` is {}, not {}", new.name(), new.ty(), old.ty());
                return Err(Error::new(ErrorKind::Type, message));
            }
            let Some(position) = self.states.iter().position(|state| state.is(old)) else {
                let message = format!("{} does not use the state `{}`", self.title(), old.name());
                return Err(Error::new(ErrorKind::Type, message));
            };
            self.session.initialize(new)?;
            copy.states[position] = new.clone();
        }
        Ok(copy)
    }

    /// A twin over the same states that computes the same results and updates nothing.
    ///
    /// # Errors
    /// If it does not compile, which the function itself would have shown.
    pub fn without_updates(&self) -> Result<Function> {
        let graph = FunctionGraph { updates: Vec::new(), ..(*self.graph).clone() };
        let mut twin = Function::compile_as(&self.session, graph, self.request.clone())?;
        for state in &mut twin.states {
            if let Some(position) = self.own_states.iter().position(|original| original.is(state)) {
                *state = self.states[position].clone();
            }
        }
        Ok(twin)
    }

    /// What compilation did: the graph before and after, rules fired, devices, in-place choices.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The function's graph as the user stated it.
    pub fn graph(&self) -> &FunctionGraph {
        &self.graph
    }
}
