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
