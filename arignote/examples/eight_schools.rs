//! Coaching in eight schools, by Hamiltonian Monte Carlo (R. Neal, "MCMC using Hamiltonian dynamics", 2011): many
//! chains side by side, each step one call.
use arignote::ops::control::Scan;
use arignote::ops::random::{normal, uniform};
use arignote::prelude::*;

/// Effects and their standard errors (D. Rubin, "Estimation in parallel randomized experiments", 1981).
const EFFECTS: [f64; 8] = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
const ERRORS: [f64; 8] = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0];
const CHAINS: usize = 64;

/// The log-density of the mean effect, the logarithm of the effects' spread, and the schools' standardized
/// effects, with priors N(0, 5) and half-Cauchy(5) (A. Gelman, "Prior distributions for variance parameters in
/// hierarchical models", 2006).
fn log_density(place: &Var) -> Var {
    let [effects, errors] = [EFFECTS, ERRORS].map(|values| Var::constant(Tensor::vector(values.to_vec())));
    let (mean, spread, own) = (place.at(0), place.at(1).exp(), place.slice(0, Some(2), None));
    let residuals = (effects - &mean - &spread * &own) / errors;
    let priors = -0.5 * (&mean / 5.0).square() - (&spread / 5.0).square().log1p() + place.at(1);
    priors - 0.5 * own.square().sum(None) - 0.5 * residuals.square().sum(None)
}

/// Means of the mean effect and of the spread, and the share of accepted steps.
pub fn learn(session: &Session) -> Result<[f64; 3]> {
    let places = State::new("places", Tensor::zeros(DType::F64, &[CHAINS, 10]));
    let key = State::new("key", Tensor::vector(vec![8u64, 0]));
    let (start, key_now) = (Var::state(&places), Var::state(&key));
    let density = |places: &Var| vmap(&[places], |place| vec![log_density(&place[0])]).remove(0);
    let slope = |places: &Var| vmap(&[places], |place| grad(&log_density(&place[0]), &[&place[0]])).remove(0);
    let momentum = normal(&key_now, &[CHAINS, 10], DType::F64);
    // Leapfrog: half a step of the momentum at both ends.
    let path = Scan::new().steps(&Var::scalar(12i64)).state("place", &start).state("momentum", &momentum).run(|step| {
        let half = step.get("momentum") + 0.1 * slope(&step.get("place"));
        let place = step.get("place") + 0.2 * &half;
        step.set("momentum", &(half + 0.1 * slope(&place)));
        step.set("place", &place);
    });
    let energy = |place: &Var, momentum: &Var| 0.5 * momentum.square().sum(Some(1)) - density(place);
    let fall = energy(&start, &momentum) - energy(&path.last("place"), &path.last("momentum"));
    let accepted = uniform(&(&key_now + 1i64), &[CHAINS], DType::F64).log().lt(&fall);
    let next = where_(&accepted.expand_dims(1), &path.last("place"), &start);
    let column = |at: i64| next.t().at(at);
    let step = FunctionBuilder::new("step").output(&column(0).mean(None)).output(&column(1).exp().mean(None));
    let step = step.output(&accepted.mean(None)).update(&places, &next).update(&key, &(&key_now + 2i64)).build(session)?;
    let (mut sums, steps) = ([0.0; 3], 400);
    for count in 0..100 + steps {
        let results = step.call(&[])?;
        if count >= 100 {
            sums.iter_mut().zip(&results).for_each(|(sum, result)| *sum += result.item().unwrap_or(f64::NAN));
        }
    }
    Ok(sums.map(|sum| sum / f64::from(steps)))
}

fn main() -> Result<()> {
    let [mean, spread, accepted] = learn(&arignote::session()?)?;
    println!("mean effect {mean:.2}, spread of the effects {spread:.2}; {:.0} % of the steps accepted", 100.0 * accepted);
    Ok(())
}
