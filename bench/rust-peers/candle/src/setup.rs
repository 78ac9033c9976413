//! What the workloads share: inputs by name, gradients, a step of gradient descent.

use candle_core::{Result, Tensor, Var, bail};
use candle_nn::{Optimizer, SGD};
use peer_protocol::{Inputs, Workload};

/// Calls a workload.
pub type Call = Box<dyn Fn() -> Result<Vec<Tensor>>>;
/// States a workload.
pub type Formula = fn(&mut Setup) -> Result<Call>;

/// A workload that is being stated.
pub struct Setup<'a> {
    workload: &'a Workload,
    inputs: Inputs<Tensor>,
    states: Vec<Tensor>,
}

impl<'a> Setup<'a> {
    pub fn new(workload: &'a Workload, inputs: Inputs<Tensor>) -> Setup<'a> {
        Setup { workload, inputs, states: Vec::new() }
    }

    /// Inputs by name.
    pub fn inputs<const N: usize>(&mut self, names: [&str; N]) -> Result<[Tensor; N]> {
        let mut found = Vec::with_capacity(N);
        for name in names {
            match self.inputs.remove(name) {
                Some(value) => found.push(value),
                None => bail!("workloads.toml gives no `{name}` for {}", self.workload.formula),
            }
        }
        found.try_into().map_err(|_| candle_core::Error::msg("inputs"))
    }

    /// Inputs in which gradients are asked for.
    pub fn variables<const N: usize>(&mut self, names: [&str; N]) -> Result<[Var; N]> {
        let variables = self.inputs(names)?.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        variables.try_into().map_err(|_| candle_core::Error::msg("variables"))
    }

    /// Variables that live on from call to call.
    pub fn states<const N: usize>(&mut self, names: [&str; N]) -> Result<[Var; N]> {
        let variables = self.variables(names)?;
        self.states.extend(variables.iter().map(|variable| variable.as_tensor().clone()));
        Ok(variables)
    }

    /// A state that the workload updates in place by itself.
    pub fn buffer(&mut self, name: &str) -> Result<Tensor> {
        let [value] = self.inputs([name])?;
        self.states.push(value.clone());
        Ok(value)
    }

    /// A whole number of the formula.
    pub fn constant(&self, name: &str) -> Result<usize> {
        self.workload.constant(name).map_err(candle_core::Error::msg)
    }

    /// The states in the order in which they were asked for, which is the order of `workloads.toml`.
    pub fn into_states(self) -> Vec<Tensor> {
        self.states
    }
}

/// A value and its gradients.
pub fn value_and_slopes(value: Tensor, variables: &[Var]) -> Result<Vec<Tensor>> {
    let gradients = value.backward()?;
    let mut results = vec![value];
    for variable in variables {
        match gradients.get(variable) {
            Some(gradient) => results.push(gradient.clone()),
            None => bail!("a variable got no gradient"),
        }
    }
    Ok(results)
}

/// A step of gradient descent with each call. The function gives the cost and the results.
pub fn descend(variables: &[Var], rate: f64, function: impl Fn() -> Result<(Tensor, Vec<Tensor>)> + 'static) -> Result<Call> {
    let optimizer = std::cell::RefCell::new(SGD::new(variables.to_vec(), rate)?);
    Ok(Box::new(move || {
        let (cost, results) = function()?;
        optimizer.borrow_mut().backward_step(&cost)?;
        Ok(results)
    }))
}
