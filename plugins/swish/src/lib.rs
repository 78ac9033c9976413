//! An op from a plugin: `swish::swish(x, beta=1.0)`, x times the logistic function of beta x
//! (Ramachandran, Zoph and Le, "Searching for Activation Functions", 2017).
//!
//! The definition in the language is the op's meaning: it gives types, gradients and a way to run on
//! any device. The kernel is what devices in host memory use instead, over the operand where nobody
//! reads it later.

use std::sync::Arc;

use arignote_core::ops::Attributes;
use arignote_core::plugin::{HostKernel, NodeQuery, Plugin, PluginInfo, PluginOp, Support};
use arignote_core::tensor::{DType, Tensor};
use arignote_core::{Error, ErrorKind, Result};

struct Swish;

impl Plugin for Swish {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: "swish".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            license: env!("CARGO_PKG_LICENSE").into(),
            description: "the swish activation".into(),
        }
    }

    fn ops(&self) -> Vec<PluginOp> {
        vec![PluginOp {
            name: "swish::swish".into(),
            revision: 1,
            definition: "fn swish(x, beta = 1.0) { return x * sigmoid(beta * x) }".into(),
            doc: "`x * sigmoid(beta * x)`, elementwise. Source: arXiv 1710.05941.".into(),
            kernel: Some(Arc::new(SwishKernel)),
        }]
    }
}

struct SwishKernel;

impl HostKernel for SwishKernel {
    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        match node.operands[0].dtype {
            DType::F32 | DType::F64 => Support::Yes(vec![(0, 0)]),
            dtype => Support::No(format!("it computes f32 and f64, not {dtype}")),
        }
    }

    fn run(&self, attributes: &Attributes, operands: &[Option<&Tensor>], results: &mut [Tensor]) -> Result<()> {
        let beta = attributes.float("beta")?;
        let ([operand], [result]) = (operands, results) else {
            return Err(Error::new(ErrorKind::Internal, "swish takes one operand and gives one result"));
        };
        if let Some(operand) = operand {
            // Not in place: start from a copy, which shares nothing once it is written to.
            *result = (*operand).clone();
        }
        match result.dtype() {
            DType::F32 => {
                for x in result.as_mut_slice::<f32>()? {
                    *x /= 1.0 + (-(beta as f32) * *x).exp();
                }
            }
            DType::F64 => {
                for x in result.as_mut_slice::<f64>()? {
                    *x /= 1.0 + (-beta * *x).exp();
                }
            }
            dtype => {
                let message = format!("the swish kernel was asked for {dtype}, which it does not support");
                return Err(Error::new(ErrorKind::Internal, message));
            }
        }
        Ok(())
    }
}

arignote_core::export_plugin!(Swish);
