//! What the workloads share: inputs by name, gradients, a step of gradient descent.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::{Gradients, Tensor};
use peer_protocol::{Inputs, Workload};

use crate::value::{Kind, Value};

/// Calls a workload.
pub type Call = Box<dyn Fn() -> Vec<Value>>;
/// States a workload.
pub type Formula = fn(&mut Setup) -> Result<Call, String>;

/// A workload that is being stated.
pub struct Setup<'a> {
    workload: &'a Workload,
    inputs: Inputs<Value>,
    states: Parameters,
}

impl<'a> Setup<'a> {
    pub fn new(workload: &'a Workload, inputs: Inputs<Value>) -> Setup<'a> {
        Setup { workload, inputs, states: Parameters::default() }
    }

    fn take(&mut self, name: &str) -> Result<Value, String> {
        self.inputs.remove(name).ok_or_else(|| format!("workloads.toml gives no `{name}` for {}", self.workload.formula))
    }

    /// An input by name.
    pub fn input<K: Kind>(&mut self, name: &str) -> Result<K, String> {
        let value = self.take(name)?;
        K::of(&value).ok_or_else(|| format!("`{name}` has other axes than {} is written for", self.workload.formula))
    }

    /// Several inputs of one kind.
    pub fn inputs<K: Kind, const N: usize>(&mut self, names: [&str; N]) -> Result<[K; N], String> {
        let found = names.iter().map(|name| self.input(name)).collect::<Result<Vec<K>, _>>()?;
        found.try_into().map_err(|_| "inputs".to_owned())
    }

    /// Inputs in which gradients are asked for.
    pub fn variables(&mut self, names: &[&str]) -> Result<Parameters, String> {
        let values = names.iter().map(|name| Ok(self.take(name)?.tracked())).collect::<Result<Vec<_>, String>>()?;
        Ok(Parameters(Rc::new(RefCell::new(values))))
    }

    /// Parameters that live on from call to call.
    pub fn states(&mut self, names: &[&str]) -> Result<Parameters, String> {
        self.states = self.variables(names)?;
        Ok(self.states.clone())
    }

    /// A state that the workload updates by itself.
    pub fn buffer(&mut self, name: &str) -> Result<Parameters, String> {
        self.states = Parameters(Rc::new(RefCell::new(vec![self.take(name)?])));
        Ok(self.states.clone())
    }

    /// A whole number of the formula.
    pub fn constant(&self, name: &str) -> Result<usize, String> {
        self.workload.constant(name)
    }

    pub fn into_states(self) -> Parameters {
        self.states
    }
}

/// Tensors that gradients are asked for, or that live on from call to call.
#[derive(Clone, Default)]
pub struct Parameters(Rc<RefCell<Vec<Value>>>);

impl Parameters {
    /// One of them. Its rank is a matter of the program, not of its data.
    pub fn get<K: Kind>(&self, at: usize) -> K {
        let found = self.0.borrow().get(at).and_then(K::of);
        found.unwrap_or_else(|| panic!("parameter {at} is of another rank"))
    }

    /// All current values.
    pub fn values(&self) -> Vec<Value> {
        self.0.borrow().clone()
    }

    /// Replaces each by what it becomes.
    pub fn update(&self, mut by: impl FnMut(Value) -> Value) {
        let mut values = self.0.borrow_mut();
        *values = std::mem::take(&mut *values).into_iter().map(&mut by).collect();
    }

    /// The gradients of a value.
    pub fn slopes(&self, value: &Tensor<1>) -> Vec<Value> {
        let mut gradients = value.backward();
        self.0.borrow().iter().map(|variable| variable.slope(&mut gradients)).collect()
    }

    /// A value and its gradients.
    pub fn value_and_slopes(&self, value: Tensor<1>) -> Vec<Value> {
        let slopes = self.slopes(&value);
        std::iter::once(value.into()).chain(slopes).collect()
    }

    /// A step of gradient descent.
    pub fn descend(&self, cost: &Tensor<1>, rate: f64) {
        let mut gradients = cost.backward();
        self.update(|parameter| parameter.descended(&mut gradients, rate));
    }
}

/// The same for each rank.
macro_rules! each_rank {
    ($value:expr, $tensor:ident => $then:expr) => {
        match $value {
            Value::F1($tensor) => $then,
            Value::F2($tensor) => $then,
            Value::F3($tensor) => $then,
            Value::F4($tensor) => $then,
            Value::Int(_) | Value::Bool(_) | Value::Data(_) => panic!("only floating-point numbers have gradients"),
        }
    };
}

impl Value {
    fn tracked(self) -> Value {
        each_rank!(self, tensor => tensor.autodiff().require_grad().into())
    }

    fn slope(&self, gradients: &mut Gradients) -> Value {
        each_rank!(self, tensor => gradient(tensor, gradients).into())
    }

    fn descended(self, gradients: &mut Gradients, rate: f64) -> Value {
        each_rank!(self, tensor => {
            let gradient = gradient(&tensor, gradients);
            (tensor.inner() - gradient * rate).autodiff().require_grad().into()
        })
    }
}

fn gradient<const D: usize>(tensor: &Tensor<D>, gradients: &mut Gradients) -> Tensor<D> {
    tensor.grad_remove(gradients).unwrap_or_else(|| tensor.zeros_like().inner())
}
