//! Anscombe's four sets of data, which have one regression line: all four are fitted at once.
use arignote::prelude::*;

/// F. J. Anscombe, "Graphs in statistical analysis", The American Statistician 27 (1973).
const X: [[f64; 11]; 2] = [
    [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0],
    [8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 19.0, 8.0, 8.0, 8.0],
];
const Y: [[f64; 11]; 4] = [
    [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68],
    [9.14, 8.14, 8.74, 8.77, 9.26, 8.10, 6.13, 3.10, 9.13, 7.26, 4.74],
    [7.46, 6.77, 12.74, 7.11, 7.81, 8.84, 6.08, 5.39, 8.15, 6.42, 5.73],
    [6.58, 5.76, 7.71, 8.84, 8.47, 7.04, 5.25, 12.50, 5.56, 7.91, 6.89],
];

/// Slope and intercept of each set: one step of Newton's method from 0, as the loss is a parabola.
pub fn learn(session: &Session) -> Result<Tensor> {
    let [xs, ys] = ["x", "y"].map(|name| Var::input(name, Type::new(DType::F64, ["sets".into(), "n".into()])));
    let lines = vmap(&[&xs, &ys], |row| {
        let line = zeros(&[2], DType::F64);
        let residuals = line.at(0) * &row[0] + line.at(1) - &row[1];
        let loss = residuals.square().mean(None);
        vec![&line - hessian(&loss, &line).solve(&grad(&loss, &[&line])[0])]
    });
    let fit = FunctionBuilder::new("fit").input(&xs).input(&ys).output(&lines[0]).build(session)?;
    let x = Tensor::from_vec([X[0], X[0], X[0], X[1]].concat(), &[4, 11])?;
    let y = Tensor::from_vec(Y.concat(), &[4, 11])?;
    Ok(fit.call(&[x, y])?.remove(0))
}

fn main() -> Result<()> {
    let session = arignote::session()?;
    for (set, line) in learn(&session)?.to_f64_vec().chunks(2).enumerate() {
        println!("set {}: y = {:.3} x + {:.3}", set + 1, line[0], line[1]);
    }
    Ok(())
}
