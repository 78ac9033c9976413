//! Workloads with loops, which burn has none of: the program's own loop is unrolled into the graph with each call.

use burn::tensor::activation::sigmoid;
use burn::tensor::module::linear;
use burn::tensor::{Int, Tensor};

use crate::models::classified;
use crate::setup::{Call, Setup};

pub fn rnn_scan(s: &mut Setup) -> Result<Call, String> {
    let (x, y) = (s.input::<Tensor<2>>("x")?, s.input::<Tensor<1, Int>>("y")?);
    let parameters = s.states(&["wx", "wh", "b", "wo", "bo"])?;
    Ok(Box::new(move || {
        let (wx, wh, b): (Tensor<2>, Tensor<2>, Tensor<1>) = (parameters.get(0), parameters.get(1), parameters.get(2));
        let mut h = Tensor::zeros([1, b.dims()[0]], &x.device());
        let mut hs = Vec::new();
        for x in x.clone().iter_dim(0) {
            // Taken from one product for all steps, each row would get a gradient as large as all of them.
            h = (linear(x, wx.clone(), Some(b.clone())) + h.matmul(wh.clone())).tanh();
            hs.push(h.clone());
        }
        let logits = linear(Tensor::cat(hs, 0), parameters.get(3), Some(parameters.get(4)));
        classified(logits, y.clone(), &parameters, 0.01)
    }))
}

pub fn lstm_scan(s: &mut Setup) -> Result<Call, String> {
    let (x, y) = (s.input::<Tensor<3>>("x")?, s.input::<Tensor<1, Int>>("y")?);
    let parameters = s.states(&["wx", "wh", "b", "wo", "bo"])?;
    Ok(Box::new(move || {
        let (wx, wh, b): (Tensor<2>, Tensor<2>, Tensor<1>) = (parameters.get(0), parameters.get(1), parameters.get(2));
        let ([_, batch, _], [units, _]) = (x.dims(), wh.dims());
        let mut h = Tensor::<2>::zeros([batch, units], &x.device());
        let mut c = h.clone();
        for x in x.clone().iter_dim(0) {
            let gates = linear(x.squeeze_dim::<2>(0), wx.clone(), Some(b.clone())) + h.matmul(wh.clone());
            let gate = |at: usize| gates.clone().narrow(1, at * units, units);
            c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * gate(2).tanh();
            h = sigmoid(gate(3)) * c.clone().tanh();
        }
        classified(linear(h, parameters.get(3), Some(parameters.get(4))), y.clone(), &parameters, 0.01)
    }))
}

pub fn scan_pow(s: &mut Setup) -> Result<Call, String> {
    let a: Tensor<1> = s.input("a")?;
    let steps = s.constant("steps")?;
    Ok(Box::new(move || {
        let mut power = a.ones_like();
        for _ in 0..steps {
            power = power * a.clone();
        }
        vec![power.into()]
    }))
}

pub fn scan_scalar(s: &mut Setup) -> Result<Call, String> {
    let [r, x] = s.inputs::<Tensor<1>, _>(["r", "x"])?;
    let steps = s.constant("steps")?;
    Ok(Box::new(move || {
        let (mut value, mut sum) = (x.clone(), x.zeros_like());
        for _ in 0..steps {
            value = r.clone() * value.clone() * (1.0 - value);
            sum = sum + value.clone();
        }
        vec![value.into(), sum.into()]
    }))
}

pub fn deep_chain(s: &mut Setup) -> Result<Call, String> {
    let [w, b] = s.inputs::<Tensor<2>, _>(["w", "b"])?;
    let variables = s.variables(&["x"])?;
    Ok(Box::new(move || {
        let mut y = variables.get::<Tensor<1>>(0).unsqueeze::<2>();
        for (w, b) in w.clone().iter_dim(0).zip(b.clone().iter_dim(0)) {
            y = (y * w).tanh() + b;
        }
        variables.value_and_slopes(y.sum())
    }))
}
