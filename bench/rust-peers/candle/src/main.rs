//! The contender `candle`: the workloads as its users write them, eager, with its gradients and its optimizer.

mod attention;
mod loops;
mod models;
mod operations;
mod setup;

use candle_core::{DType, Device, Tensor};
use peer_protocol::{Array, Inputs, Peer, Task, Values, Workload};

use setup::{Call, Formula, Setup};

struct Candle;

fn main() -> std::io::Result<()> {
    peer_protocol::run(&Candle)
}

impl Peer for Candle {
    type Value = Tensor;

    fn version(&self) -> String {
        "candle 0.11.1".to_owned()
    }

    fn load(&self, array: Array) -> Result<Tensor, String> {
        let Array { shape, values } = array;
        let tensor = match values {
            Values::F32(values) => Tensor::from_vec(values, shape, &Device::Cpu),
            Values::F64(values) => Tensor::from_vec(values, shape, &Device::Cpu),
            // Labels and indices are of this type in candle.
            Values::I64(values) => Tensor::from_vec(values, shape, &Device::Cpu).and_then(|tensor| tensor.to_dtype(DType::U32)),
        };
        tensor.map_err(|error| error.to_string())
    }

    fn unload(&self, value: Tensor) -> Result<Array, String> {
        let read = || {
            let values = match value.dtype() {
                DType::F32 => Values::F32(value.flatten_all()?.to_vec1()?),
                _ => Values::F64(value.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?),
            };
            Ok(Array { shape: value.dims().to_vec(), values })
        };
        read().map_err(|error: candle_core::Error| error.to_string())
    }

    fn build(&self, workload: &Workload, inputs: Inputs<Tensor>) -> Result<Box<dyn Task<Tensor>>, String> {
        let formula = formula(&workload.formula)?;
        let mut setup = Setup::new(workload, inputs);
        let call = formula(&mut setup).map_err(|error| error.to_string())?;
        Ok(Box::new(Ready { call, states: setup.into_states() }))
    }
}

struct Ready {
    call: Call,
    states: Vec<Tensor>,
}

impl Task<Tensor> for Ready {
    fn call(&mut self) -> Result<Vec<Tensor>, String> {
        (self.call)().map_err(|error| error.to_string())
    }

    fn states(&self) -> Result<Vec<Tensor>, String> {
        Ok(self.states.clone())
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
        "reduce_all" => |s| operations::reduce(s, Tensor::sum_all),
        "reduce_ax0" => |s| operations::reduce(s, |x| x.sum(0)),
        "reduce_ax1" => |s| operations::reduce(s, |x| x.sum(1)),
        // `var` divides by n - 1.
        "var_ax1" => |s| operations::reduce(s, |x| x.broadcast_sub(&x.mean_keepdim(1)?)?.sqr()?.mean(1)),
        "matmul_f32" | "matmul_f64" | "bmm" => operations::product,
        "gemv" => operations::gemv,
        "overhead_add3" => operations::overhead_add3,
        "overhead_8schools" => models::overhead_8schools,
        "embedding" => models::embedding,
        "attention" => attention::attention,
        "transpose_copy" => |s| operations::reduce(s, |x| x.t()?.contiguous()),
        "strided" => operations::strided,
        "concat_slice" => operations::concat_slice,
        "deep_chain" => loops::deep_chain,
        "gp_chol" => return Err("candle has no Cholesky factorization".to_owned()),
        _ => return Err(format!("{name} is not written for candle")),
    })
}
