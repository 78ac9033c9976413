//! The contenders `burn-flex` and `burn-ndarray`: the workloads as users of burn write them, on one of its backends.

mod attention;
mod loops;
mod models;
mod operations;
mod setup;
mod value;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use peer_protocol::{Array, Inputs, Peer, Task, Values, Workload};

use setup::{Call, Formula, Parameters, Setup};
use value::Value;

struct Burn {
    device: Device,
    backend: String,
}

fn main() -> std::io::Result<()> {
    let backend = std::env::args().nth(1).unwrap_or_default();
    let device = match backend.as_str() {
        "flex" => Device::flex(),
        #[expect(deprecated, reason = "it is what `flex` is to be seen beside, as long as burn has it")]
        "ndarray" => Device::ndarray(),
        _ => return Err(std::io::Error::other("usage: peer-burn flex|ndarray")),
    };
    peer_protocol::run(&Burn { device, backend })
}

impl Peer for Burn {
    type Value = Value;

    fn version(&self) -> String {
        format!("burn 0.22.1, {}", self.backend)
    }

    fn load(&self, array: Array) -> Result<Value, String> {
        let Array { mut shape, values } = array;
        if shape.is_empty() {
            // Burn's tensors have an axis at least.
            shape.push(1);
        }
        match values {
            Values::F32(values) => Value::load(TensorData::new(values, shape), (&self.device, DType::F32)),
            Values::F64(values) => Value::load(TensorData::new(values, shape), (&self.device, DType::F64)),
            // The backend's own type of whole numbers.
            Values::I64(values) => Ok(Value::Int(Tensor::<1, Int>::from_data(TensorData::new(values, shape), &self.device))),
        }
    }

    fn unload(&self, value: Value) -> Result<Array, String> {
        let (shape, values) = value.unload()?;
        Ok(Array { shape, values: Values::F64(values) })
    }

    fn build(&self, workload: &Workload, inputs: Inputs<Value>) -> Result<Box<dyn Task<Value>>, String> {
        let formula = formula(&workload.formula)?;
        let mut setup = Setup::new(workload, inputs);
        let call = formula(&mut setup)?;
        Ok(Box::new(Ready { call, states: setup.into_states() }))
    }
}

struct Ready {
    call: Call,
    states: Parameters,
}

impl Task<Value> for Ready {
    fn call(&mut self) -> Result<Vec<Value>, String> {
        Ok((self.call)())
    }

    fn states(&self) -> Result<Vec<Value>, String> {
        Ok(self.states.values())
    }
}

/// What states a formula.
fn formula(name: &str) -> Result<Formula, String> {
    Ok(match name {
        "ew_a1" => operations::ew_a1,
        "ew_axpby" => operations::ew_axpby,
        "ew_sq" => operations::ew_sq,
        "ew_pow10" => operations::ew_pow10,
        "ew_sigmoid" => operations::ew_sigmoid,
        "ew_gauss" => operations::ew_gauss,
        "ew_long" => operations::ew_long,
        "gauss_logp" => models::gauss_logp,
        "logreg" => models::logreg,
        "softmax_reg" => models::softmax_reg,
        "mlp_tanh" => models::mlp_tanh,
        "mlp_relu" => models::mlp_relu,
        "lenet" => models::lenet,
        "conv_small" | "conv_med" | "conv_large" => models::convnet,
        "rnn_scan" => loops::rnn_scan,
        "lstm_scan" => loops::lstm_scan,
        "scan_pow" => loops::scan_pow,
        "scan_scalar" => loops::scan_scalar,
        "softmax_xent" => models::softmax_xent,
        "layernorm" => models::layernorm,
        "reduce_all" => |s| operations::reduce(s, Tensor::sum),
        "reduce_ax0" => |s| operations::reduce(s, |x| x.sum_dim(0)),
        "reduce_ax1" => |s| operations::reduce(s, |x| x.sum_dim(1)),
        "var_ax1" => |s| operations::reduce(s, |x| x.var_bias(1)),
        "matmul_f32" | "matmul_f64" => operations::product::<2>,
        "bmm" => operations::product::<3>,
        "gemv" => operations::gemv,
        "overhead_add3" => operations::overhead_add3,
        "overhead_8schools" => models::overhead_8schools,
        "embedding" => models::embedding,
        "attention" => attention::attention,
        "transpose_copy" => operations::transpose_copy,
        "strided" => operations::strided,
        "concat_slice" => operations::concat_slice,
        "deep_chain" => loops::deep_chain,
        "gp_chol" => return Err("burn has no Cholesky factorization".to_owned()),
        _ => return Err(format!("{name} is not written for burn")),
    })
}
