//! Gaussian-process regression: length, height and noise by gradient ascent on the marginal likelihood.
use arignote::prelude::*;

const Y: [f64; 13] = [0.1, 0.419, 0.814, 1.091, 0.824, 0.607, 0.215, -0.449, -0.713, -0.932, -1.057, -0.632, -0.269];

/// The hyperparameters, the log marginal likelihood, and the prediction in between at 0.25.
pub fn learn(session: &Session) -> Result<([f64; 3], f64, f64)> {
    let x = Var::constant(Tensor::vector((0..Y.len()).map(|i| 0.5 * i as f64).collect()));
    let y = Var::constant(Tensor::vector(Y.to_vec()));
    let logs = State::new("logs", Tensor::vector(vec![0.0, 0.0, -2.0]));
    let log = Var::state(&logs);
    let [length, height, noise] = [0, 1, 2].map(|at| log.at(at).exp());
    let kernel = |a: &Var, b: &Var| {
        let distance = (a.expand_dims(1) - b.expand_dims(0)) / &length;
        height.square() * (-0.5 * distance.square()).exp()
    };
    let factor = (kernel(&x, &x) + noise.square() * eye(Y.len(), DType::F64)).cholesky();
    let white = factor.solve_triangular(&y, true);
    let diagonal = Var::apply("diagonal", std::slice::from_ref(&factor), Attributes::new());
    let constant = 0.5 * Y.len() as f64 * (2.0 * std::f64::consts::PI).ln();
    let likelihood = -0.5 * white.square().sum(None) - diagonal.log().sum(None) - constant;
    let ascent = 0.05 * &grad(&likelihood, &[&log])[0];
    let step = FunctionBuilder::new("step").output(&likelihood).update(&logs, &(&log + ascent)).build(session)?;
    let mut reached = f64::NAN;
    for _ in 0..400 {
        reached = step.call(&[])?[0].item().unwrap_or(f64::NAN);
    }
    let between = Var::constant(Tensor::vector(vec![0.25]));
    let mean = kernel(&between, &x).matmul(&(kernel(&x, &x) + noise.square() * eye(Y.len(), DType::F64)).solve(&y));
    let predict = FunctionBuilder::new("predict").output(&mean.at(0)).build(session)?;
    let found: Vec<f64> = step.get("logs")?.to_f64_vec().into_iter().map(f64::exp).collect();
    Ok(([found[0], found[1], found[2]], reached, predict.call(&[])?[0].item().unwrap_or(f64::NAN)))
}

fn main() -> Result<()> {
    let ([length, height, noise], likelihood, between) = learn(&arignote::session()?)?;
    println!("length {length:.4}, height {height:.4}, noise {noise:.4}; log marginal likelihood {likelihood:.5}");
    println!("between the first two points: {between:.3}");
    Ok(())
}
