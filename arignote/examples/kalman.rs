//! The level of the Nile, a random walk seen through noise: a Kalman filter by `scan`, whose likelihood is
//! climbed through the scan.
use arignote::ops::control::Scan;
use arignote::prelude::*;

/// The variances of the noise and of the walk's steps, and the log-likelihood (J. Durbin and S. J. Koopman,
/// "Time series analysis by state space methods", 2012, chapter 2).
pub fn learn(session: &Session) -> Result<[f64; 3]> {
    let flow: Vec<f64> = include_str!("../../data/nile.csv").lines().filter_map(|line| line.parse().ok()).collect();
    let flow = Tensor::vector(flow);
    let y = Var::input("flow", flow.ty());
    let logs = State::new("logs", Tensor::vector(vec![10_000f64.ln(), 1_000f64.ln()]));
    let log = Var::state(&logs);
    let (noise, walk) = (log.at(0).exp(), log.at(1).exp());
    // The first year is where the filter starts.
    let filter = Scan::new().sequence("y", &y.slice(0, Some(1), None)).state("level", &y.at(0)).state("spread", &(&noise + &walk));
    let filter = filter.run(|step| {
        let total = step.get("spread") + &noise;
        let surprise = step.get("y") - step.get("level");
        let gain = step.get("spread") / &total;
        step.set("level", &(step.get("level") + &gain * &surprise));
        step.set("spread", &(step.get("spread") * (1.0 - &gain) + &walk));
        step.give(&(-0.5 * ((2.0 * std::f64::consts::PI * &total).log() + surprise.square() / &total)));
    });
    let likelihood = filter.stacked(0).sum(None);
    let newton = hessian(&likelihood, &log).solve(&grad(&likelihood, &[&log])[0]);
    let step = FunctionBuilder::new("step").input(&y).output(&likelihood).update(&logs, &(&log - newton)).build(session)?;
    let mut reached = f64::NAN;
    for _ in 0..12 {
        reached = step.call(std::slice::from_ref(&flow))?[0].item().unwrap_or(f64::NAN);
    }
    let logs = step.get("logs")?.to_f64_vec();
    Ok([logs[0].exp(), logs[1].exp(), reached])
}

fn main() -> Result<()> {
    let [noise, walk, likelihood] = learn(&arignote::session()?)?;
    println!("variance of the noise {noise:.1}, of the walk {walk:.1}; log-likelihood {likelihood:.4}");
    Ok(())
}
