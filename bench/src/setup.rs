//! What the workloads share: inputs by name, states, a step of gradient descent.

use std::collections::BTreeMap;

use arignote::ErrorKind;
use arignote::prelude::*;

use crate::Workload;

/// The inputs' values by name.
pub type Data = BTreeMap<String, Tensor>;

/// A function that is being stated.
pub struct Setup {
    data: Data,
    states: BTreeMap<String, State>,
    order: Vec<String>,
    constants: BTreeMap<String, i64>,
    arguments: Vec<Tensor>,
    builder: FunctionBuilder,
}

/// A compiled workload.
pub struct Task {
    /// The function.
    pub function: Function,
    /// What it is called with.
    pub arguments: Vec<Tensor>,
    /// Its states, in the order of `workloads.toml`.
    pub states: Vec<State>,
}

impl Setup {
    pub(crate) fn new(workload: &Workload, mut data: Data) -> Result<Setup> {
        let mut states = BTreeMap::new();
        for name in &workload.states {
            let value = data.remove(name).ok_or_else(|| missing(name))?;
            states.insert(name.clone(), State::new(name, value));
        }
        Ok(Setup {
            data, states, order: workload.states.clone(), constants: workload.constants.clone(), arguments: Vec::new(),
            builder: FunctionBuilder::new(&workload.name),
        })
    }

    /// The next argument.
    pub fn input(&mut self, name: &str) -> Result<Var> {
        let value = self.data.remove(name).ok_or_else(|| missing(name))?;
        let input = Var::input(name, value.ty());
        self.arguments.push(value);
        self.change(|builder| builder.input(&input));
        Ok(input)
    }

    /// Several arguments.
    pub fn inputs<const N: usize>(&mut self, names: [&str; N]) -> Result<[Var; N]> {
        let inputs = names.iter().map(|name| self.input(name)).collect::<Result<Vec<_>>>()?;
        inputs.try_into().map_err(|_| missing("inputs"))
    }

    /// The value of a state.
    pub fn state(&self, name: &str) -> Result<Var> {
        self.states.get(name).map(Var::state).ok_or_else(|| missing(name))
    }

    /// The values of several states.
    pub fn states<const N: usize>(&self, names: [&str; N]) -> Result<[Var; N]> {
        let states = names.iter().map(|name| self.state(name)).collect::<Result<Vec<_>>>()?;
        states.try_into().map_err(|_| missing("states"))
    }

    /// A whole number of the formula.
    pub fn constant(&self, name: &str) -> Result<i64> {
        self.constants.get(name).copied().ok_or_else(|| missing(name))
    }

    /// The next result.
    pub fn output(&mut self, value: &Var) {
        self.change(|builder| builder.output(value));
    }

    /// A step of gradient descent of all states.
    pub fn descend(&mut self, cost: &Var, rate: f64) -> Result<()> {
        let states: Vec<State> = self.order.iter().filter_map(|name| self.states.get(name)).cloned().collect();
        let values: Vec<Var> = states.iter().map(Var::state).collect();
        let slopes = grad(cost, &values.iter().collect::<Vec<_>>());
        for ((state, value), slope) in states.iter().zip(&values).zip(slopes) {
            self.change(|builder| builder.update(state, &(value - rate * slope)));
        }
        Ok(())
    }

    fn change(&mut self, by: impl FnOnce(FunctionBuilder) -> FunctionBuilder) {
        let builder = std::mem::replace(&mut self.builder, FunctionBuilder::new(""));
        self.builder = by(builder);
    }

    pub(crate) fn compile(self, session: &Session) -> Result<Task> {
        let states = self.order.iter().filter_map(|name| self.states.get(name)).cloned().collect();
        Ok(Task { function: self.builder.build(session)?, arguments: self.arguments, states })
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("workloads.toml gives no `{name}`"))
}
