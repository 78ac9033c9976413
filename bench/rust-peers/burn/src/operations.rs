//! Workloads without gradients. Tensors that are used once more are cloned, which shares their memory.

use burn::tensor::{Tensor, activation, s};

use crate::setup::{Call, Setup};
use crate::value::{Kind, Value};

pub fn ew_a1(s: &mut Setup) -> Result<Call, String> {
    let a: Tensor<1> = s.input("a")?;
    Ok(Box::new(move || vec![(a.clone() + 1.0).into()]))
}

pub fn ew_axpby(s: &mut Setup) -> Result<Call, String> {
    let [a, b] = s.inputs::<Tensor<1>, _>(["a", "b"])?;
    Ok(Box::new(move || vec![(a.clone() * 2.0 + b.clone() * 3.0).into()]))
}

pub fn ew_sq(s: &mut Setup) -> Result<Call, String> {
    let [a, b] = s.inputs::<Tensor<1>, _>(["a", "b"])?;
    Ok(Box::new(move || vec![(a.clone().square() + b.clone().square() + a.clone() * b.clone() * 2.0).into()]))
}

pub fn ew_pow10(s: &mut Setup) -> Result<Call, String> {
    let [a, b] = s.inputs::<Tensor<1>, _>(["a", "b"])?;
    Ok(Box::new(move || {
        let square = b.clone().square();
        vec![(a.clone() * 2.0 + square.clone().square().square() * square).into()]
    }))
}

pub fn ew_sigmoid(s: &mut Setup) -> Result<Call, String> {
    let [a, b, c] = s.inputs::<Tensor<1>, _>(["a", "b", "c"])?;
    Ok(Box::new(move || vec![activation::sigmoid(a.clone() * b.clone() + c.clone()).into()]))
}

pub fn ew_gauss(s: &mut Setup) -> Result<Call, String> {
    let [x, mu, sigma] = s.inputs::<Tensor<1>, _>(["x", "mu", "s"])?;
    Ok(Box::new(move || {
        let z = (x.clone() - mu.clone()) / sigma.clone();
        let scale = sigma.clone() * std::f64::consts::TAU.sqrt();
        vec![((z.square() * -0.5).exp() / scale).into()]
    }))
}

pub fn ew_long(s: &mut Setup) -> Result<Call, String> {
    let [a, b, c, d] = s.inputs::<Tensor<1>, _>(["a", "b", "c", "d"])?;
    Ok(Box::new(move || {
        let mut r = b.clone();
        for _ in 0..8 {
            r = (r * a.clone() + b.clone()).max_pair(c.clone()).abs() / d.clone();
        }
        vec![r.into()]
    }))
}

/// One operation on `x`.
pub fn reduce<T: Into<Value>>(s: &mut Setup, by: impl Fn(Tensor<2>) -> T + 'static) -> Result<Call, String> {
    let x: Tensor<2> = s.input("x")?;
    Ok(Box::new(move || vec![by(x.clone()).into()]))
}

pub fn product<const D: usize>(s: &mut Setup) -> Result<Call, String>
where
    Tensor<D>: Kind + Into<Value>,
{
    let [a, b] = s.inputs::<Tensor<D>, _>(["a", "b"])?;
    Ok(Box::new(move || vec![a.clone().matmul(b.clone()).into()]))
}

pub fn gemv(s: &mut Setup) -> Result<Call, String> {
    let (a, x): (Tensor<2>, Tensor<1>) = (s.input("a")?, s.input("x")?);
    Ok(Box::new(move || vec![a.clone().matmul(x.clone().unsqueeze_dim(1)).into()]))
}

pub fn overhead_add3(s: &mut Setup) -> Result<Call, String> {
    let [x, y] = s.inputs::<Tensor<1>, _>(["x", "y"])?;
    Ok(Box::new(move || vec![(x.clone() + y.clone()).into()]))
}

pub fn transpose_copy(s: &mut Setup) -> Result<Call, String> {
    let x: Tensor<2> = s.input("x")?;
    // A transposed tensor may be a view, and only its data is promised to be in order.
    Ok(Box::new(move || vec![x.clone().transpose().into_data().into()]))
}

pub fn strided(s: &mut Setup) -> Result<Call, String> {
    let x: Tensor<2> = s.input("x")?;
    Ok(Box::new(move || vec![(x.clone().slice(s![..;2, ..;3]) * 2.0).sum().into()]))
}

pub fn concat_slice(s: &mut Setup) -> Result<Call, String> {
    let all = s.inputs::<Tensor<2>, 4>(["a", "b", "c", "d"])?;
    Ok(Box::new(move || vec![(Tensor::cat(all.to_vec(), 1).narrow(1, 100, 800) * 2.0).into()]))
}
