//! Workloads with gradients.

use candle_core::{D, Result, Tensor, Var};
use candle_nn::loss::{binary_cross_entropy_with_logit, cross_entropy};
use candle_nn::ops::layer_norm_slow;

use crate::setup::{Call, Setup, descend, value_and_slopes};

pub fn gauss_logp(s: &mut Setup) -> Result<Call> {
    let [x] = s.inputs(["x"])?;
    let variables = s.variables(["mu", "log_sigma"])?;
    let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
    Ok(Box::new(move || {
        let [mu, log_sigma] = &variables;
        let z = x.broadcast_sub(mu)?.broadcast_div(&log_sigma.exp()?)?;
        let constant = ((log_sigma.as_tensor() + half_log_tau)? * x.elem_count() as f64)?;
        value_and_slopes(((z.sqr()?.sum_all()? * -0.5)? - constant)?, &variables)
    }))
}

pub fn logreg(s: &mut Setup) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    let variables = s.states(["w", "b"])?;
    descend(&variables.clone(), 0.1, move || {
        let [w, b] = &variables;
        let z = x.mv(w)?.broadcast_add(b)?;
        let entropy = binary_cross_entropy_with_logit(&z, &y)?;
        let cost = (&entropy + (w.sqr()?.sum_all()? * 0.01)?)?;
        Ok((cost, vec![z.gt(0.0)?, entropy]))
    })
}

/// A dense layer.
fn dense(x: &Tensor, w: &Var, b: &Var) -> Result<Tensor> {
    x.matmul(w)?.broadcast_add(b)
}

/// What all classifiers do with their logits.
fn classified(logits: &Tensor, y: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
    let loss = cross_entropy(logits, y)?;
    Ok((loss.clone(), vec![loss]))
}

pub fn softmax_reg(s: &mut Setup) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    let variables = s.states(["w", "b"])?;
    descend(&variables.clone(), 0.1, move || classified(&dense(&x, &variables[0], &variables[1])?, &y))
}

pub fn mlp_tanh(s: &mut Setup) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    let variables = s.states(["w1", "b1", "w2", "b2"])?;
    descend(&variables.clone(), 0.01, move || {
        let [w1, b1, w2, b2] = &variables;
        classified(&dense(&dense(&x, w1, b1)?.tanh()?, w2, b2)?, &y)
    })
}

pub fn mlp_relu(s: &mut Setup) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    let variables = s.states(["w1", "b1", "w2", "b2", "w3", "b3"])?;
    descend(&variables.clone(), 0.01, move || {
        let [w1, b1, w2, b2, w3, b3] = &variables;
        let hidden = dense(&dense(&x, w1, b1)?.relu()?, w2, b2)?.relu()?;
        classified(&dense(&hidden, w3, b3)?, &y)
    })
}

/// Maxima of square windows. The gradient that candle 0.11.1 has for its `max_pool2d` is a quarter of what is due.
fn maxima(maps: &Tensor, window: usize) -> Result<Tensor> {
    let (batch, count, height, width) = maps.dims4()?;
    maps.reshape((batch, count, height / window, window, width / window, window))?.max(5)?.max(3)
}

pub fn lenet(s: &mut Setup) -> Result<Call> {
    convolutions(s, [2, 2], |maps| Ok(maps.clone()))
}

pub fn convnet(s: &mut Setup) -> Result<Call> {
    let windows = [s.constant("pool1")?, s.constant("pool2")?];
    convolutions(s, windows, Tensor::tanh)
}

/// Two convolutions, each with maxima and tanh, then two dense layers. `before` is applied to the maps that the maxima
/// are taken of.
fn convolutions(s: &mut Setup, windows: [usize; 2], before: fn(&Tensor) -> Result<Tensor>) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    let variables = s.states(["w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"])?;
    let layer = move |x: &Tensor, w: &Var, b: &Var, window: usize| {
        let maps = x.conv2d(w, 0, 1, 1, 1)?.broadcast_add(&b.reshape((1, (), 1, 1))?)?;
        maxima(&before(&maps)?, window)?.tanh()
    };
    descend(&variables.clone(), 0.01, move || {
        let [w1, b1, w2, b2, w3, b3, w4, b4] = &variables;
        let features = layer(&layer(&x, w1, b1, windows[0])?, w2, b2, windows[1])?;
        let hidden = dense(&features.flatten_from(1)?, w3, b3)?.tanh()?;
        classified(&dense(&hidden, w4, b4)?, &y)
    })
}

pub fn softmax_xent(s: &mut Setup) -> Result<Call> {
    let [y] = s.inputs(["y"])?;
    let variables = s.variables(["logits"])?;
    Ok(Box::new(move || value_and_slopes(cross_entropy(&variables[0], &y)?, &variables)))
}

pub fn layernorm(s: &mut Setup) -> Result<Call> {
    let [g] = s.inputs(["g"])?;
    let variables = s.variables(["x", "gain", "bias"])?;
    Ok(Box::new(move || {
        // The fused `layer_norm` has no gradient.
        let y = layer_norm_slow(&variables[0], &variables[1], &variables[2], 1e-5)?;
        let mut results = value_and_slopes((&y * &g)?.sum_all()?, &variables)?;
        results[0] = y;
        Ok(results)
    }))
}

pub fn overhead_8schools(s: &mut Setup) -> Result<Call> {
    let [effects, errors] = s.inputs(["effects", "errors"])?;
    let variables = s.variables(["place"])?;
    Ok(Box::new(move || {
        let place = &variables[0];
        let (mean, log_spread, own) = (place.get(0)?, place.get(1)?, place.narrow(0, 2, effects.dim(0)?)?);
        let spread = log_spread.exp()?;
        let residuals = ((effects.broadcast_sub(&mean)? - own.broadcast_mul(&spread)?)? / &errors)?;
        let priors = (((&mean / 5.0)?.sqr()? * -0.5)? - ((&spread / 5.0)?.sqr()? + 1.0)?.log()?)?;
        let squares = (own.sqr()?.sum(D::Minus1)? + residuals.sqr()?.sum(D::Minus1)?)?;
        value_and_slopes(((priors + log_spread)? - (squares * 0.5)?)?, &variables)
    }))
}

pub fn embedding(s: &mut Setup) -> Result<Call> {
    let [indices, g] = s.inputs(["indices", "g"])?;
    let table = s.buffer("table")?;
    Ok(Box::new(move || {
        // A gradient in the whole table would be a table of its own: only the rows are a variable.
        let rows = Var::from_tensor(&table.index_select(&indices, 0)?)?;
        let loss = (rows.as_tensor() * &g)?.sum(1)?.mean_all()?;
        let results = value_and_slopes(loss, std::slice::from_ref(&rows))?;
        let places = indices.unsqueeze(1)?.broadcast_as(g.shape())?.contiguous()?;
        table.scatter_add_set(&places, &(&results[1] * -0.1)?, 0)?;
        Ok(vec![results[0].clone()])
    }))
}
