//! Softmax regression on handwritten digits, on the device that `arignote.toml` names.
use arignote::prelude::*;

fn main() -> Result<()> {
    let (images, digits) = read(include_str!("../../data/digits.csv"))?;
    let session = arignote::session()?;
    println!("{}", session.selection());

    let x = Var::input("x", Type::new(DType::F32, ["n".into(), 64.into()]));
    let y = Var::input("y", Type::new(DType::I64, ["n".into()]));
    let w = State::new("w", Tensor::zeros(DType::F32, &[64, 10]));
    let b = State::new("b", Tensor::zeros(DType::F32, &[10]));
    let (vw, vb) = (Var::state(&w), Var::state(&b));
    let logits = x.matmul(&vw) + &vb;
    let loss = logits.cross_entropy(&y).mean(None);
    let wrong = logits.argmax(Some(-1)).ne(&y).mean(None);
    let gradient = grad(&loss, &[&vw, &vb]);
    let step = FunctionBuilder::new("step").input(&x).input(&y).output(&loss).output(&wrong);
    let step = step.update(&w, &(&vw - 0.5 * &gradient[0])).update(&b, &(&vb - 0.5 * &gradient[1])).build(&session)?;

    for round in 0..=100 {
        let results = step.call(&[images.clone(), digits.clone()])?;
        if round % 20 == 0 {
            println!("step {round}: loss {}, wrong {}", results[0], results[1]);
        }
    }
    Ok(())
}

/// The images, one a row, and the digit of each.
fn read(text: &str) -> Result<(Tensor, Tensor)> {
    let numbers: Vec<i64> = text.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect();
    let images: Vec<f32> = numbers.chunks(65).flat_map(|row| &row[..64]).map(|&pixel| pixel as f32 / 16.0).collect();
    let digits: Vec<i64> = numbers.chunks(65).map(|row| row[64]).collect();
    Ok((Tensor::from_vec(images, &[digits.len(), 64])?, Tensor::vector(digits)))
}
