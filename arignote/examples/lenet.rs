//! Convolutions on handwritten digits, after Y. LeCun and others, "Gradient-based learning applied to document
//! recognition" (1998), for images of 8 by 8.
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
    let start = [
        normal(&key(1), &[6, 1, 3, 3], DType::F32) / 3.0,
        normal(&key(2), &[16, 6, 3, 3], DType::F32) / 7.0,
        normal(&key(3), &[64, 10], DType::F32) / 8.0,
        zeros(&[10], DType::F32),
    ];
    let weights = common::states(session, "w", &start)?;
    let w: Vec<Var> = weights.iter().map(Var::state).collect();
    let layer = |x: &Var, w: &Var| {
        let convolved = Var::apply("conv2d", &[x.clone(), w.clone()], Attributes::new().with("padding", "same"));
        Var::apply("max_pool2d", &[convolved.relu()], Attributes::new().with("window", 2i64))
    };
    let features = layer(&layer(&x.reshape(&[-1, 1, 8, 8]), &w[0]), &w[1]);
    let logits = features.reshape(&[-1, 64]).matmul(&w[2]) + &w[3];
    let loss = logits.cross_entropy(&y).mean(None);
    let step = FunctionBuilder::new("step").input(&x).input(&y).output(&loss);
    let step = common::adam(step, &loss, &weights, 0.01)?.build(session)?;
    let right = logits.argmax(Some(-1)).eq(&y).mean(None);
    let right = FunctionBuilder::new("right").input(&x).input(&y).output(&right).build(session)?;
    let batches = images::batches(&train, 64)?;
    for _ in 0..6 {
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
