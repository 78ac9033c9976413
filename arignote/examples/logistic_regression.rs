//! Did a new way of teaching economics help? Logistic regression by Newton's method.
use arignote::prelude::*;

/// Weights of 1, grade average, test score and the new method (L. Spector and M. Mazzeo, "Probit analysis
/// and economic education", 1980), and the log-likelihood.
pub fn learn(session: &Session) -> Result<(Vec<f64>, f64)> {
    let (x, y) = read(include_str!("../../data/spector.csv"))?;
    let (vx, vy) = (Var::input("x", x.ty()), Var::input("y", y.ty()));
    let weights = State::new("weights", Tensor::zeros(DType::F64, &[4]));
    let w = Var::state(&weights);
    let likelihood = (&vy * vx.matmul(&w).log_sigmoid() + (1.0 - &vy) * (-vx.matmul(&w)).log_sigmoid()).sum(None);
    let newton = hessian(&likelihood, &w).solve(&grad(&likelihood, &[&w])[0]);
    let step = FunctionBuilder::new("step").input(&vx).input(&vy).output(&likelihood).update(&weights, &(&w - newton));
    let step = step.build(session)?;
    let mut reached = f64::NEG_INFINITY;
    loop {
        let now = step.call(&[x.clone(), y.clone()])?[0].item().unwrap_or(f64::NAN);
        if now - reached < 1e-12 {
            return Ok((step.get("weights")?.to_f64_vec(), now));
        }
        reached = now;
    }
}

/// 1, grade average, score and method of each student, and whether the grade rose.
fn read(text: &str) -> Result<(Tensor, Tensor)> {
    let rows: Vec<Vec<f64>> = text.lines().map(|row| row.split(',').filter_map(|x| x.parse().ok()).collect()).collect();
    let x: Vec<f64> = rows.iter().flat_map(|row| [1.0, row[0], row[1], row[2]]).collect();
    Ok((Tensor::from_vec(x, &[rows.len(), 4])?, Tensor::vector(rows.iter().map(|row| row[3]).collect())))
}

fn main() -> Result<()> {
    let (weights, likelihood) = learn(&arignote::session()?)?;
    println!("log-likelihood {likelihood:.4}");
    for (name, weight) in ["constant", "grade average", "test score", "new method"].into_iter().zip(&weights) {
        println!("{name:>14} {weight:8.4}");
    }
    println!("the new method multiplies the odds of a better grade by {:.1}", weights[3].exp());
    Ok(())
}
