//! Old Faithful erupts after short waits or long ones: a mixture of two normal distributions by EM.
use arignote::prelude::*;

/// Shares, means and deviations of the two, and the steps that it took.
pub fn learn(session: &Session) -> Result<([Vec<f64>; 3], usize)> {
    let waits: Vec<f64> = include_str!("../../data/faithful.csv").lines().filter_map(|line| line.parse().ok()).collect();
    let waits = Tensor::vector(waits);
    let x = Var::input("waits", waits.ty());
    let states = [("shares", [0.5, 0.5]), ("means", [50.0, 90.0]), ("deviations", [10.0, 10.0])]
        .map(|(name, start)| State::new(name, Tensor::vector(start.to_vec())));
    let [share, mean, deviation] = states.each_ref().map(Var::state);
    // Expectation: whose each wait is.
    let z = (x.expand_dims(1) - &mean) / &deviation;
    let joint = share.log() - deviation.log() - 0.5 * z.square() - 0.5 * (2.0 * std::f64::consts::PI).ln();
    let likelihood = joint.logsumexp(Some(1)).sum(None);
    let whose = joint.softmax(1);
    // Maximization: weighted means.
    let counts = whose.sum(Some(0));
    let means = (&whose * x.expand_dims(1)).sum(Some(0)) / &counts;
    let variances = (&whose * (x.expand_dims(1) - &means).square()).sum(Some(0)) / &counts;
    let step = FunctionBuilder::new("step").input(&x).output(&likelihood);
    let step = step.update(&states[0], &(&counts / counts.sum(None))).update(&states[1], &means);
    let step = step.update(&states[2], &variances.sqrt()).build(session)?;
    let (mut reached, mut steps) = (f64::NEG_INFINITY, 0);
    loop {
        let now = step.call(std::slice::from_ref(&waits))?[0].item().unwrap_or(f64::NAN);
        steps += 1;
        if now - reached < 1e-12 * now.abs() {
            let found = |name| Ok::<_, Error>(step.get(name)?.to_f64_vec());
            return Ok(([found("shares")?, found("means")?, found("deviations")?], steps));
        }
        reached = now;
    }
}

fn main() -> Result<()> {
    let ([shares, means, deviations], steps) = learn(&arignote::session()?)?;
    println!("after {steps} steps:");
    for at in 0..2 {
        println!("{:5.1} % wait {:.2} minutes, with a deviation of {:.2}", 100.0 * shares[at], means[at], deviations[at]);
    }
    Ok(())
}
