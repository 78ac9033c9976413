//! One block of a transformer.

use candle_core::{D, Result};
use candle_nn::loss::mse;
use candle_nn::ops::{layer_norm_slow, softmax};

use crate::setup::{Call, Setup, value_and_slopes};

pub fn attention(s: &mut Setup) -> Result<Call> {
    let [x, target] = s.inputs(["x", "target"])?;
    let names = ["gain1", "bias1", "wqkv", "bqkv", "wo", "bo", "gain2", "bias2", "w1", "b1", "w2", "b2"];
    let variables = s.variables(names)?;
    let heads = s.constant("heads")?;
    let (batch, sequence, width) = x.dims3()?;
    let depth = width / heads;
    Ok(Box::new(move || {
        let [gain1, bias1, wqkv, bqkv, wo, bo, gain2, bias2, w1, b1, w2, b2] = &variables;
        let flat = x.reshape((batch * sequence, width))?;
        // The fused `layer_norm` and `softmax_last_dim` have no gradients.
        let qkv = layer_norm_slow(&flat, gain1, bias1, 1e-5)?.matmul(wqkv)?.broadcast_add(bqkv)?;
        let qkv = qkv.reshape((batch, sequence, 3, heads, depth))?.permute((2, 0, 3, 1, 4))?;
        let (q, k, v) = (qkv.get(0)?.contiguous()?, qkv.get(1)?.contiguous()?, qkv.get(2)?.contiguous()?);
        let scores = (q.matmul(&k.t()?)? * (1.0 / (depth as f64).sqrt()))?;
        let mixed = softmax(&scores, D::Minus1)?.matmul(&v)?.transpose(1, 2)?.reshape((batch * sequence, width))?;
        let middle = (flat + mixed.matmul(wo)?.broadcast_add(bo)?)?;
        let wide = layer_norm_slow(&middle, gain2, bias2, 1e-5)?.matmul(w1)?.broadcast_add(b1)?.gelu_erf()?;
        let output = (middle + wide.matmul(w2)?.broadcast_add(b2)?)?;
        value_and_slopes(mse(&output.reshape(x.shape())?, &target)?, &variables)
    }))
}
