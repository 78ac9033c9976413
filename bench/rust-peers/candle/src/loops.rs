//! Workloads with loops, which candle has none of: the program's own loop is unrolled into the graph with each call.

use candle_core::{Result, Tensor};
use candle_nn::loss::cross_entropy;
use candle_nn::ops::sigmoid;

use crate::setup::{Call, Setup, descend, value_and_slopes};

pub fn rnn_scan(s: &mut Setup) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    let variables = s.states(["wx", "wh", "b", "wo", "bo"])?;
    descend(&variables.clone(), 0.01, move || {
        let [wx, wh, b, wo, bo] = &variables;
        let mut h = b.as_tensor().zeros_like()?.unsqueeze(0)?;
        let mut hs = Vec::new();
        for step in 0..x.dim(0)? {
            // Taken from one product for all steps, each row would get a gradient as large as all of them.
            let from_input = x.narrow(0, step, 1)?.matmul(wx)?.broadcast_add(b)?;
            h = (from_input + h.matmul(wh)?)?.tanh()?;
            hs.push(h.clone());
        }
        let loss = cross_entropy(&Tensor::cat(&hs, 0)?.matmul(wo)?.broadcast_add(bo)?, &y)?;
        Ok((loss.clone(), vec![loss]))
    })
}

pub fn lstm_scan(s: &mut Setup) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    let variables = s.states(["wx", "wh", "b", "wo", "bo"])?;
    descend(&variables.clone(), 0.01, move || {
        let [wx, wh, b, wo, bo] = &variables;
        let start = Tensor::zeros((x.dim(1)?, wh.dim(0)?), x.dtype(), x.device())?;
        let (mut h, mut c) = (start.clone(), start);
        for step in 0..x.dim(0)? {
            let gates = (x.get(step)?.matmul(wx)?.broadcast_add(b)? + h.matmul(wh)?)?.chunk(4, 1)?;
            c = ((sigmoid(&gates[1])? * c)? + (sigmoid(&gates[0])? * gates[2].tanh()?)?)?;
            h = (sigmoid(&gates[3])? * c.tanh()?)?;
        }
        let loss = cross_entropy(&h.matmul(wo)?.broadcast_add(bo)?, &y)?;
        Ok((loss.clone(), vec![loss]))
    })
}

pub fn scan_pow(s: &mut Setup) -> Result<Call> {
    let [a] = s.inputs(["a"])?;
    let steps = s.constant("steps")?;
    Ok(Box::new(move || {
        let mut power = a.ones_like()?;
        for _ in 0..steps {
            power = (power * &a)?;
        }
        Ok(vec![power])
    }))
}

pub fn scan_scalar(s: &mut Setup) -> Result<Call> {
    let [r, x] = s.inputs(["r", "x"])?;
    let steps = s.constant("steps")?;
    Ok(Box::new(move || {
        let (mut value, mut sum) = (x.clone(), x.zeros_like()?);
        for _ in 0..steps {
            value = ((&r * &value)? * value.affine(-1.0, 1.0)?)?;
            sum = (sum + &value)?;
        }
        Ok(vec![value, sum])
    }))
}

pub fn deep_chain(s: &mut Setup) -> Result<Call> {
    let [w, b] = s.inputs(["w", "b"])?;
    let variables = s.variables(["x"])?;
    Ok(Box::new(move || {
        let mut y = variables[0].as_tensor().clone();
        for layer in 0..w.dim(0)? {
            y = ((y * w.get(layer)?)?.tanh()? + b.get(layer)?)?;
        }
        value_and_slopes(y.sum_all()?, &variables)
    }))
}
