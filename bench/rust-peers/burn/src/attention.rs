//! One block of a transformer.

use burn::tensor::activation::gelu;
use burn::tensor::module::{attention as scaled_dot_product, layer_norm, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Tensor, s};

use crate::setup::{Call, Setup};

pub fn attention(s: &mut Setup) -> Result<Call, String> {
    let [x, target] = s.inputs::<Tensor<3>, _>(["x", "target"])?;
    let names = ["gain1", "bias1", "wqkv", "bqkv", "wo", "bo", "gain2", "bias2", "w1", "b1", "w2", "b2"];
    let variables = s.variables(&names)?;
    let heads = s.constant("heads")?;
    let [batch, sequence, width] = x.dims();
    Ok(Box::new(move || {
        let norm = |x: Tensor<3>, at: usize| layer_norm(x, variables.get(at), Some(variables.get(at + 1)), 1e-5);
        let dense = |x: Tensor<3>, at: usize| linear(x, variables.get(at), Some(variables.get(at + 1)));
        let qkv = dense(norm(x.clone(), 0), 2).reshape([batch, sequence, 3, heads, width / heads]).permute([2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|at| qkv.clone().slice(s![at]).squeeze_dim::<4>(0));
        let mixed = scaled_dot_product(q, k, v, None, None, AttentionModuleOptions::default());
        let middle = x.clone() + dense(mixed.swap_dims(1, 2).reshape([batch, sequence, width]), 4);
        let wide = gelu(dense(norm(middle.clone(), 6), 8));
        let output = middle + dense(wide, 10);
        variables.value_and_slopes((output - target.clone()).square().mean())
    }))
}
