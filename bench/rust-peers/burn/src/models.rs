//! Workloads with gradients.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::activation::{log_sigmoid, relu};
use burn::tensor::module::{conv2d, layer_norm, linear, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use crate::setup::{Call, Parameters, Setup};
use crate::value::Value;

pub fn gauss_logp(s: &mut Setup) -> Result<Call, String> {
    let x: Tensor<1> = s.input("x")?;
    let variables = s.variables(&["mu", "log_sigma"])?;
    let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
    Ok(Box::new(move || {
        let (mu, log_sigma): (Tensor<1>, Tensor<1>) = (variables.get(0), variables.get(1));
        let z = (x.clone() - mu) / log_sigma.clone().exp();
        let count = x.dims()[0] as f64;
        variables.value_and_slopes(z.square().sum() * -0.5 - (log_sigma + half_log_tau) * count)
    }))
}

pub fn logreg(s: &mut Setup) -> Result<Call, String> {
    let (x, y): (Tensor<2>, Tensor<1>) = (s.input("x")?, s.input("y")?);
    let parameters = s.states(&["w", "b"])?;
    Ok(Box::new(move || {
        let (w, b): (Tensor<1>, Tensor<1>) = (parameters.get(0), parameters.get(1));
        let z = x.clone().matmul(w.clone().unsqueeze_dim(1)).squeeze_dim::<1>(1) + b;
        // As `BinaryCrossEntropyLoss` does, which wants whole numbers for `y`.
        let entropy = ((-y.clone() + 1.0) * z.clone() - log_sigmoid(z.clone())).mean();
        let cost = entropy.clone() + w.square().sum() * 0.01;
        parameters.descend(&cost, 0.1);
        vec![z.inner().greater_scalar(0.0).into(), entropy.inner().into()]
    }))
}

/// A dense layer with two of the parameters.
fn dense(x: Tensor<2>, parameters: &Parameters, at: usize) -> Tensor<2> {
    linear(x, parameters.get(at), Some(parameters.get(at + 1)))
}

/// What all classifiers do with their logits.
pub fn classified(logits: Tensor<2>, y: Tensor<1, Int>, parameters: &Parameters, rate: f64) -> Vec<Value> {
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, y);
    parameters.descend(&loss, rate);
    vec![loss.inner().into()]
}

pub fn softmax_reg(s: &mut Setup) -> Result<Call, String> {
    let (x, y) = (s.input("x")?, s.input::<Tensor<1, Int>>("y")?);
    let parameters = s.states(&["w", "b"])?;
    Ok(Box::new(move || classified(dense(Tensor::clone(&x), &parameters, 0), y.clone(), &parameters, 0.1)))
}

pub fn mlp_tanh(s: &mut Setup) -> Result<Call, String> {
    let (x, y) = (s.input("x")?, s.input::<Tensor<1, Int>>("y")?);
    let parameters = s.states(&["w1", "b1", "w2", "b2"])?;
    Ok(Box::new(move || {
        let hidden = dense(Tensor::clone(&x), &parameters, 0).tanh();
        classified(dense(hidden, &parameters, 2), y.clone(), &parameters, 0.01)
    }))
}

pub fn mlp_relu(s: &mut Setup) -> Result<Call, String> {
    let (x, y) = (s.input("x")?, s.input::<Tensor<1, Int>>("y")?);
    let parameters = s.states(&["w1", "b1", "w2", "b2", "w3", "b3"])?;
    Ok(Box::new(move || {
        let hidden = relu(dense(Tensor::clone(&x), &parameters, 0));
        let hidden = relu(dense(hidden, &parameters, 2));
        classified(dense(hidden, &parameters, 4), y.clone(), &parameters, 0.01)
    }))
}

pub fn lenet(s: &mut Setup) -> Result<Call, String> {
    convolutions(s, [2, 2], |maps| maps)
}

pub fn convnet(s: &mut Setup) -> Result<Call, String> {
    let windows = [s.constant("pool1")?, s.constant("pool2")?];
    convolutions(s, windows, Tensor::tanh)
}

/// Two convolutions, each with maxima of square windows and tanh, then two dense layers. `before` is applied to the maps
/// that the maxima are taken of.
fn convolutions(s: &mut Setup, windows: [usize; 2], before: fn(Tensor<4>) -> Tensor<4>) -> Result<Call, String> {
    let (x, y) = (s.input::<Tensor<4>>("x")?, s.input::<Tensor<1, Int>>("y")?);
    let parameters = s.states(&["w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"])?;
    Ok(Box::new(move || {
        let layer = |x: Tensor<4>, at: usize, window: usize| {
            let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
            let maps = conv2d(x, parameters.get(at), Some(parameters.get(at + 1)), options);
            max_pool2d(before(maps), MaxPoolOptions::new([window, window])).tanh()
        };
        let features = layer(layer(x.clone(), 0, windows[0]), 2, windows[1]).flatten::<2>(1, 3);
        let hidden = dense(features, &parameters, 4).tanh();
        classified(dense(hidden, &parameters, 6), y.clone(), &parameters, 0.01)
    }))
}

pub fn softmax_xent(s: &mut Setup) -> Result<Call, String> {
    let y: Tensor<1, Int> = s.input("y")?;
    let variables = s.variables(&["logits"])?;
    Ok(Box::new(move || {
        let logits: Tensor<2> = variables.get(0);
        variables.value_and_slopes(CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, y.clone()))
    }))
}

pub fn layernorm(s: &mut Setup) -> Result<Call, String> {
    let g: Tensor<2> = s.input("g")?;
    let variables = s.variables(&["x", "gain", "bias"])?;
    Ok(Box::new(move || {
        let y = layer_norm::<2>(variables.get(0), variables.get(1), Some(variables.get(2)), 1e-5);
        let slopes = variables.slopes(&(y.clone() * g.clone()).sum());
        std::iter::once(y.inner().into()).chain(slopes).collect()
    }))
}

pub fn overhead_8schools(s: &mut Setup) -> Result<Call, String> {
    let [effects, errors] = s.inputs::<Tensor<1>, _>(["effects", "errors"])?;
    let variables = s.variables(&["place"])?;
    Ok(Box::new(move || {
        let place: Tensor<1> = variables.get(0);
        let (mean, log_spread) = (place.clone().narrow(0, 0, 1), place.clone().narrow(0, 1, 1));
        let own = place.narrow(0, 2, effects.dims()[0]);
        let spread = log_spread.clone().exp();
        let residuals = (effects.clone() - mean.clone() - spread.clone() * own.clone()) / errors.clone();
        // Not divided by 5: the gradient that burn 0.22.1 has for that is rounded to f32.
        let priors = (mean * 0.2).square() * -0.5 - (spread * 0.2).square().log1p() + log_spread;
        variables.value_and_slopes(priors - own.square().sum() * 0.5 - residuals.square().sum() * 0.5)
    }))
}

pub fn embedding(s: &mut Setup) -> Result<Call, String> {
    let (indices, g) = (s.input::<Tensor<1, Int>>("indices")?, s.input::<Tensor<2>>("g")?);
    let table = s.buffer("table")?;
    Ok(Box::new(move || {
        // A gradient in the whole table would be a table of its own: only the rows are tracked.
        let rows = table.get::<Tensor<2>>(0).select(0, indices.clone()).autodiff().require_grad();
        let loss = (rows.clone() * g.clone()).sum_dim(1).mean();
        let mut gradients = loss.backward();
        let slope = rows.grad_remove(&mut gradients).unwrap_or_else(|| rows.zeros_like().inner());
        table.update(|table| match table {
            Value::F2(table) => table.select_assign(0, indices.clone(), slope.clone() * -0.1, IndexingUpdateOp::Add).into(),
            other => other,
        });
        vec![loss.inner().into()]
    }))
}
