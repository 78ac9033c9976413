//! Workloads without gradients.

use candle_core::{Result, Tensor};

use crate::setup::{Call, Setup};

pub fn ew_a1(s: &mut Setup) -> Result<Call> {
    let [a] = s.inputs(["a"])?;
    Ok(Box::new(move || Ok(vec![(&a + 1.0)?])))
}

pub fn ew_axpby(s: &mut Setup) -> Result<Call> {
    let [a, b] = s.inputs(["a", "b"])?;
    Ok(Box::new(move || Ok(vec![((&a * 2.0)? + (&b * 3.0)?)?])))
}

pub fn ew_sq(s: &mut Setup) -> Result<Call> {
    let [a, b] = s.inputs(["a", "b"])?;
    Ok(Box::new(move || Ok(vec![((a.sqr()? + b.sqr()?)? + ((&a * &b)? * 2.0)?)?])))
}

pub fn ew_pow10(s: &mut Setup) -> Result<Call> {
    let [a, b] = s.inputs(["a", "b"])?;
    Ok(Box::new(move || {
        // `powf` takes a logarithm of each element: products are much quicker.
        let square = b.sqr()?;
        Ok(vec![((&a * 2.0)? + (square.sqr()?.sqr()? * square)?)?])
    }))
}

pub fn ew_sigmoid(s: &mut Setup) -> Result<Call> {
    let [a, b, c] = s.inputs(["a", "b", "c"])?;
    Ok(Box::new(move || Ok(vec![candle_nn::ops::sigmoid(&((&a * &b)? + &c)?)?])))
}

pub fn ew_gauss(s: &mut Setup) -> Result<Call> {
    let [x, mu, sigma] = s.inputs(["x", "mu", "s"])?;
    Ok(Box::new(move || {
        let z = x.broadcast_sub(&mu)?.broadcast_div(&sigma)?;
        let scale = (&sigma * std::f64::consts::TAU.sqrt())?;
        Ok(vec![(z.sqr()? * -0.5)?.exp()?.broadcast_div(&scale)?])
    }))
}

pub fn ew_long(s: &mut Setup) -> Result<Call> {
    let [a, b, c, d] = s.inputs(["a", "b", "c", "d"])?;
    Ok(Box::new(move || {
        let mut r = b.clone();
        for _ in 0..8 {
            r = (((&r * &a)? + &b)?.maximum(&c)?.abs()? / &d)?;
        }
        Ok(vec![r])
    }))
}

/// One operation on `x`.
pub fn reduce(s: &mut Setup, by: impl Fn(&Tensor) -> Result<Tensor> + 'static) -> Result<Call> {
    let [x] = s.inputs(["x"])?;
    Ok(Box::new(move || Ok(vec![by(&x)?])))
}

pub fn product(s: &mut Setup) -> Result<Call> {
    let [a, b] = s.inputs(["a", "b"])?;
    Ok(Box::new(move || Ok(vec![a.matmul(&b)?])))
}

pub fn gemv(s: &mut Setup) -> Result<Call> {
    let [a, x] = s.inputs(["a", "x"])?;
    Ok(Box::new(move || Ok(vec![a.mv(&x)?])))
}

pub fn overhead_add3(s: &mut Setup) -> Result<Call> {
    let [x, y] = s.inputs(["x", "y"])?;
    Ok(Box::new(move || Ok(vec![(&x + &y)?])))
}

pub fn strided(s: &mut Setup) -> Result<Call> {
    let [x] = s.inputs(["x"])?;
    // Windows of one element: the view that a slice with steps is elsewhere.
    Ok(Box::new(move || Ok(vec![(x.unfold(0, 1, 2)?.unfold(1, 1, 3)? * 2.0)?.sum_all()?])))
}

pub fn concat_slice(s: &mut Setup) -> Result<Call> {
    let all = s.inputs(["a", "b", "c", "d"])?;
    Ok(Box::new(move || Ok(vec![(Tensor::cat(&all, 1)?.narrow(1, 100, 800)? * 2.0)?])))
}
