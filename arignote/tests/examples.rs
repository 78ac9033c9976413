//! What the examples learn, against published values or closed forms, on the cpu backend.

use arignote::config::Config;
use arignote::runtime::Session;

macro_rules! examples {
    ($($name:ident $path:literal)*) => {$(
        // Each is a program of its own, of which this runs a part, and names what it shares with others.
        #[allow(dead_code, clippy::duplicate_mod)]
        #[path = $path]
        mod $name;
    )*};
}
examples! {
    linear_regression "../examples/linear_regression.rs"
    logistic_regression "../examples/logistic_regression.rs"
    kalman "../examples/kalman.rs"
    gaussian_process "../examples/gaussian_process.rs"
    mixture "../examples/mixture.rs"
    pagerank "../examples/pagerank.rs"
    mlp "../examples/mlp.rs"
    lenet "../examples/lenet.rs"
    lstm "../examples/lstm.rs"
    eight_schools "../examples/eight_schools.rs"
}

fn session() -> Session {
    arignote::session_with(Config::default().with("device", "cpu").unwrap()).unwrap()
}

#[track_caller]
fn near(found: f64, wanted: f64, tolerance: f64) {
    assert!((found - wanted).abs() <= tolerance, "{found} is not {wanted} within {tolerance}");
}

#[test]
fn linear_regression_of_anscombe() {
    // The least squares of each set, to all digits.
    let lines = linear_regression::learn(&session()).unwrap().to_f64_vec();
    let wanted = [0.500_090_909, 3.000_090_909, 0.5, 3.000_909_091, 0.499_727_273, 3.002_454_545, 0.499_909_091, 3.001_727_273];
    for (found, wanted) in lines.into_iter().zip(wanted) {
        near(found, wanted, 1e-9);
    }
}

#[test]
fn logistic_regression_of_spector_and_mazzeo() {
    // W. Greene, "Econometric analysis" (1993), table 21.1.
    let (weights, likelihood) = logistic_regression::learn(&session()).unwrap();
    for (found, wanted) in weights.into_iter().zip([-13.021, 2.826, 0.095, 2.379]) {
        near(found, wanted, 5e-4);
    }
    near(likelihood, -12.890, 5e-4);
}

#[test]
fn variances_of_the_nile() {
    // Durbin and Koopman's, to the digits that they give.
    let [noise, walk, likelihood] = kalman::learn(&session()).unwrap();
    near(noise, 15_099.0, 1.0);
    near(walk, 1_469.1, 0.1);
    near(likelihood, -632.545_6, 1e-4);
}

#[test]
fn gaussian_process_at_its_best() {
    // The maximum by SciPy's BFGS.
    let ([length, height, noise], likelihood, between) = gaussian_process::learn(&session()).unwrap();
    near(length, 1.628_77, 1e-3);
    near(height, 0.822_77, 1e-3);
    near(noise, 0.089_387, 1e-3);
    near(likelihood, 0.690_235, 1e-5);
    near(between, (0.1 + 0.419) / 2.0, 0.05);
}

#[test]
fn waits_of_old_faithful() {
    // T. Benaglia and others, "mixtools", Journal of Statistical Software 32 (2009).
    let ([shares, means, deviations], _) = mixture::learn(&session()).unwrap();
    for (found, wanted) in shares.iter().zip([0.361, 0.639]) {
        near(*found, wanted, 5e-4);
    }
    for (found, wanted) in means.iter().zip([54.61, 80.09]) {
        near(*found, wanted, 5e-3);
    }
    for (found, wanted) in deviations.iter().zip([5.871, 5.868]) {
        near(*found, wanted, 5e-4);
    }
}

#[test]
fn ranks_solve_their_equations() {
    let (found, exact) = pagerank::learn(&session()).unwrap();
    near(found.iter().sum(), 1.0, 1e-12);
    for (found, exact) in found.into_iter().zip(exact) {
        near(found, exact, 1e-13);
    }
}

#[test]
fn networks_read_digits() {
    let least = |share: f64, wanted: f64| assert!(share >= wanted, "{share} of the digits are read, not {wanted}");
    least(mlp::learn(&session()).unwrap(), 0.95);
    least(lenet::learn(&session()).unwrap(), 0.95);
}

#[test]
fn an_lstm_learns_a_sonnet() {
    let (before, after, text) = lstm::learn(&session()).unwrap();
    assert!(before > 3.0 && after < 0.8, "the loss fell from {before} to {after}: {text}");
    assert!(text.starts_with("Shall I compare thee to a summer"), "{text}");
}

#[test]
fn effects_of_eight_schools() {
    // The means of the posterior by quadrature: the schools' effects integrate out.
    let [mean, spread, accepted] = eight_schools::learn(&session()).unwrap();
    near(mean, 4.397, 0.1);
    near(spread, 3.598, 0.1);
    assert!((0.6..1.0).contains(&accepted), "{accepted} of the steps were accepted");
}
