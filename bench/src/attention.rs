//! One block of a transformer.

use arignote::prelude::*;

use crate::Setup;
use crate::workloads::value_and_slopes;

/// The mean squared distance of a block's output from a target, and its gradients in all parameters.
pub fn attention(s: &mut Setup) -> Result<()> {
    let [x, target] = s.inputs(["x", "target"])?;
    let names = ["gain1", "bias1", "wqkv", "bqkv", "wo", "bo", "gain2", "bias2", "w1", "b1", "w2", "b2"];
    let parameters = s.inputs(names)?;
    let [gain1, bias1, wqkv, bqkv, wo, bo, gain2, bias2, w1, b1, w2, b2] = &parameters;
    let heads = s.constant("heads")?;
    let [batch, sequence, width] = match x.ty()?.known_shape().as_deref() {
        Some(&[batch, sequence, width]) => [batch as i64, sequence as i64, width as i64],
        _ => [-1, -1, -1],
    };
    let norm = |x: &Var, gain: &Var, bias: &Var| Var::apply("layer_norm", &[x.clone(), gain.clone(), bias.clone()], Attributes::new());

    // [batch, sequence, 3, heads, depth] to three of [batch, heads, sequence, depth].
    let depth = width / heads;
    let qkv = norm(&x, gain1, bias1).matmul(wqkv) + bqkv;
    let qkv = qkv.reshape(&[batch, sequence, 3, heads, depth]).transpose(&[2, 0, 3, 1, 4]);
    let [q, k, v] = [0, 1, 2].map(|at| qkv.at(at));
    let scores = q.matmul(&k.swapaxes(-1, -2)) * (1.0 / (depth as f64).sqrt());
    let mixed = scores.softmax(-1).matmul(&v).swapaxes(1, 2).reshape(&[batch, sequence, width]);
    let middle = &x + mixed.matmul(wo) + bo;

    let wide = (norm(&middle, gain2, bias2).matmul(w1) + b1).gelu();
    let output = &middle + wide.matmul(w2) + b2;
    let loss = (output - target).square().mean(None);
    value_and_slopes(s, &loss, &parameters.iter().collect::<Vec<_>>());
    Ok(())
}
