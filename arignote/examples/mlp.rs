//! A network with one hidden layer on handwritten digits, trained by Adam.
mod common;
mod images;

use arignote::ops::random::normal;
use arignote::prelude::*;

/// The share of right answers on the images that it was not trained on: every fifth one.
pub fn learn(session: &Session) -> Result<f64> {
    let [train, test] = images::digits()?;
    let x = Var::input("x", Type::new(DType::F32, ["n".into(), 64.into()]));
    let y = Var::input("y", Type::new(DType::I64, ["n".into()]));
    let key = |seed: u64| Var::constant(Tensor::vector(vec![seed, 0]));
    let start = [normal(&key(1), &[64, 64], DType::F32) / 8.0, zeros(&[64], DType::F32), zeros(&[64, 10], DType::F32), zeros(&[10], DType::F32)];
    let weights = common::states(session, "w", &start)?;
    let w: Vec<Var> = weights.iter().map(Var::state).collect();
    let logits = (x.matmul(&w[0]) + &w[1]).relu().matmul(&w[2]) + &w[3];
    let loss = logits.cross_entropy(&y).mean(None);
    let step = common::adam(FunctionBuilder::new("step").input(&x).input(&y).output(&loss), &loss, &weights, 0.01)?.build(session)?;
    let right = logits.argmax(Some(-1)).eq(&y).mean(None);
    let right = FunctionBuilder::new("right").input(&x).input(&y).output(&right).build(session)?;
    let batches = images::batches(&train, 64)?;
    for _ in 0..8 {
        for batch in &batches {
            step.call(batch)?;
        }
    }
    Ok(right.call(&test)?[0].item().unwrap_or(f64::NAN))
}

fn main() -> Result<()> {
    println!("{:.2} % right on digits that it has not seen", 100.0 * learn(&arignote::session()?)?);
    Ok(())
}
