//! What several examples share.

use arignote::prelude::*;

/// States that start at the values of some expressions.
pub fn states(session: &Session, name: &str, start: &[Var]) -> Result<Vec<State>> {
    let builder = start.iter().fold(FunctionBuilder::new("start"), FunctionBuilder::output);
    let values = builder.build(session)?.call(&[])?;
    Ok(values.into_iter().enumerate().map(|(at, value)| State::new(&format!("{name}{at}"), value)).collect())
}

/// The updates of D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015).
pub fn adam(mut builder: FunctionBuilder, loss: &Var, weights: &[State], rate: f64) -> Result<FunctionBuilder> {
    let w: Vec<Var> = weights.iter().map(Var::state).collect();
    let count = State::new("count", Tensor::scalar(0.0f32));
    let t = Var::state(&count) + 1.0;
    for ((weight, w), g) in weights.iter().zip(&w).zip(grad(loss, &w.iter().collect::<Vec<_>>())) {
        let shape = w.ty()?.known_shape().unwrap_or_default();
        let [mean, square] = ["mean", "square"].map(|of| State::new(&format!("{}.{of}", weight.name()), Tensor::zeros(DType::F32, &shape)));
        let m = 0.9 * Var::state(&mean) + 0.1 * &g;
        let v = 0.999 * Var::state(&square) + 0.001 * g.square();
        let by = (&m / (1.0 - Var::weak(0.9).pow(&t))) / ((&v / (1.0 - Var::weak(0.999).pow(&t))).sqrt() + 1e-8);
        builder = builder.update(weight, &(w - rate * by)).update(&mean, &m).update(&square, &v);
    }
    Ok(builder.update(&count, &t))
}

/// Images and digits to train on, and to test on.
pub fn digits() -> Result<[[Tensor; 2]; 2]> {
    let text = include_str!("../../../data/digits.csv");
    let numbers: Vec<i64> = text.split([',', '\n']).filter_map(|number| number.trim().parse().ok()).collect();
    let part = |test: bool| -> Result<[Tensor; 2]> {
        let rows: Vec<&[i64]> = numbers.chunks(65).enumerate().filter(|(at, _)| (at % 5 == 0) == test).map(|(_, row)| row).collect();
        let images: Vec<f32> = rows.iter().flat_map(|row| &row[..64]).map(|&pixel| pixel as f32 / 16.0).collect();
        Ok([Tensor::from_vec(images, &[rows.len(), 64])?, Tensor::vector(rows.iter().map(|row| row[64]).collect())])
    };
    Ok([part(false)?, part(true)?])
}

/// Images and digits in parts of equal length, without what is left over.
pub fn batches(data: &[Tensor; 2], length: usize) -> Result<Vec<[Tensor; 2]>> {
    let (images, digits) = (data[0].as_slice::<f32>()?, data[1].as_slice::<i64>()?);
    let parts = images.chunks_exact(64 * length).zip(digits.chunks_exact(length));
    parts.map(|(x, y)| Ok([Tensor::from_vec(x.to_vec(), &[length, 64])?, Tensor::vector(y.to_vec())])).collect()
}
