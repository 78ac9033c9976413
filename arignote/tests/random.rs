//! Draws follow their distributions: moments, and the test of Kolmogorov and Smirnov or, of discrete ones,
//! chi-square; with fixed seeds, so that they pass or fail alike each time. Streams step once per call.

use std::f64::consts::{PI, SQRT_2};

use arignote::config::Config;
use arignote::lang;
use arignote::ops::random;
use arignote::prelude::*;
use arignote::special::{betainc, gammainc, gammaincc, i0, lgamma, ndtr};

const SEED: u64 = 2026;
const COUNT: usize = 6000;

fn session(device: &str) -> Session {
    let config = Config::default().with("device", device).unwrap();
    arignote::session_with(config.with("fallback", vec!["reference".to_owned()]).unwrap()).unwrap()
}

/// The results of an expression of `key` and `n`.
fn results(session: &Session, expr: &str) -> Vec<Tensor> {
    let text = format!("fn f() {{\nkey = u64([{SEED}, 3])\nreturn {}\n}}", expr.replace("[n]", &format!("[{COUNT}]")));
    let graph = lang::load(lang::Source::new("random", text)).and_then(|module| module.function(None));
    let function = graph.and_then(|graph| FunctionBuilder::from_graph(graph).build(session));
    function.and_then(|function| function.call(&[])).unwrap_or_else(|error| panic!("{expr}: {error}"))
}

fn draws(session: &Session, expr: &str) -> Vec<f64> {
    results(session, expr)[0].to_f64_vec()
}

/// The largest distance of the distribution of some draws from `cdf`, times the root of their number: above
/// 1.95 with probability 0.001 (Kolmogorov).
fn kolmogorov_smirnov(draws: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
    let mut sorted = draws.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let distance = |(at, &x): (usize, &f64)| {
        let p = cdf(x);
        (p - at as f64 / count).abs().max(((at + 1) as f64 / count - p).abs())
    };
    sorted.iter().enumerate().map(distance).fold(0.0, f64::max) * count.sqrt()
}

/// That the mean of some draws is within 5 standard errors.
fn check_mean(what: &str, draws: &[f64], mean: f64, variance: f64) {
    let found = draws.iter().sum::<f64>() / draws.len() as f64;
    let error = (variance / draws.len() as f64).sqrt();
    assert!((found - mean).abs() < 5.0 * error, "{what}: the mean is {found}, expected {mean} ± {error} (seed {SEED})");
    let spread = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
    assert!((spread / variance - 1.0).abs() < 0.25, "{what}: the variance is {spread}, expected {variance} (seed {SEED})");
}

type Cdf = fn(f64) -> f64;

fn beta_cdf(a: f64, b: f64, x: f64) -> f64 {
    betainc(a, b, x)
}

fn student(df: f64, x: f64) -> f64 {
    let tail = 0.5 * betainc(df / 2.0, 0.5, df / (df + x * x));
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// By Simpson's rule.
fn vonmises(kappa: f64, x: f64) -> f64 {
    let steps = 200;
    let h = (x + PI) / f64::from(steps);
    let density = |i: i32| (kappa * (-PI + h * f64::from(i)).cos()).exp() / (2.0 * PI * i0(kappa));
    (0..steps / 2).map(|i| h / 3.0 * (density(2 * i) + 4.0 * density(2 * i + 1) + density(2 * i + 2))).sum()
}

fn wald(mean: f64, scale: f64, x: f64) -> f64 {
    let root = (scale / x).sqrt();
    ndtr(root * (x / mean - 1.0)) + (2.0 * scale / mean).exp() * ndtr(-root * (x / mean + 1.0))
}

fn triangular(x: f64) -> f64 {
    if x < 1.0 { x * x / 3.0 } else { 1.0 - (3.0 - x).powi(2) / 6.0 }
}

#[test]
fn continuous_draws_follow_their_distributions() {
    let session = session("reference");
    let none = (f64::NAN, f64::NAN);
    let rows: &[(&str, Cdf, (f64, f64))] = &[
        ("uniform(key, [n])", |x| x, (0.5, 1.0 / 12.0)),
        ("normal(key, [n])", ndtr, (0.0, 1.0)),
        ("exponential(key, [n])", |x| -(-x).exp_m1(), (1.0, 1.0)),
        ("gumbel(key, [n])", |x| (-(-x).exp()).exp(), (0.577_215_664_901_532_9, PI * PI / 6.0)),
        ("laplace(key, [n])", |x| if x < 0.0 { 0.5 * x.exp() } else { 1.0 - 0.5 * (-x).exp() }, (0.0, 2.0)),
        ("logistic(key, [n])", |x| 1.0 / (1.0 + (-x).exp()), (0.0, PI * PI / 3.0)),
        ("cauchy(key, [n])", |x| 0.5 + x.atan() / PI, none),
        ("halfnormal(key, [n])", |x| 2.0 * ndtr(x) - 1.0, ((2.0 / PI).sqrt(), 1.0 - 2.0 / PI)),
        ("halfcauchy(key, [n])", |x| 2.0 * x.atan() / PI, none),
        ("rayleigh(key, [n])", |x| -(-0.5 * x * x).exp_m1(), ((PI / 2.0).sqrt(), 2.0 - PI / 2.0)),
        ("lognormal(key, 0.5, 0.25, [n])", |x| ndtr((x.ln() - 0.5) / 0.25), (0.531_25f64.exp(), 1.0625f64.exp() * 0.0625f64.exp_m1())),
        ("weibull(key, 1.5, [n])", |x| -(-x.powf(1.5)).exp_m1(), (0.902_745_292_950_933_7, 0.375_690_396_498_614_3)),
        ("pareto(key, 5.0, [n])", |x| 1.0 - (1.0 + x).powi(-5), (0.25, 5.0 / 48.0)),
        ("truncexpon(key, 2.0, [n])", |x| (-x).exp_m1() / (-2f64).exp_m1(), (0.686_964_716_499_4, 0.275_939_150_0)),
        ("triangular(key, 0.0, 1.0, 3.0, [n])", triangular, (4.0 / 3.0, 7.0 / 18.0)),
        ("chisquare(key, 3, [n])", |x| gammainc(1.5, x / 2.0), (3.0, 6.0)),
        ("random_gamma(key, 4.5, [n])", |x| gammainc(4.5, x), (4.5, 4.5)),
        ("random_gamma(key, 0.3, [n])", |x| gammainc(0.3, x), (0.3, 0.3)),
        ("exp(random_gamma(key, 0.02, [n], log=true))", |x| gammainc(0.02, x), none),
        ("random_gamma(key, 1000.0, [n], dtype=f32)", |x| gammainc(1000.0, x), (1000.0, 1000.0)),
        ("invgamma(key, 6.0, [n])", |x| gammaincc(6.0, 1.0 / x), (0.2, 0.01)),
        ("gengamma(key, 2.0, 0.5, [n])", |x| gammainc(2.0, x.sqrt()), none),
        ("random_beta(key, 2.0, 0.5, [n])", |x| beta_cdf(2.0, 0.5, x), (0.8, 0.16 / 3.5)),
        ("random_beta(key, 0.02, 3.0, [n])", |x| beta_cdf(0.02, 3.0, x), none),
        ("student_t(key, 5.0, [n])", |x| student(5.0, x), (0.0, 5.0 / 3.0)),
        ("truncated_normal(key, -1.0, 2.0, [n])", |x| (ndtr(x) - ndtr(-1.0)) / (ndtr(2.0) - ndtr(-1.0)), (0.229_637_3, 0.519_747)),
        ("truncated_normal(key, 8.0, inf, [n])", |x| 1.0 - ndtr(-x) / ndtr(-8.0), none),
        ("vonmises(key, 2.5, [n])", |x| vonmises(2.5, x), none),
        ("vonmises(key, 0.000001, [n])", |x| 0.5 + x / (2.0 * PI), (0.0, PI * PI / 3.0)),
        ("wald(key, 1.5, 2.0, [n])", |x| wald(1.5, 2.0, x), (1.5, 3.375 / 2.0)),
        ("dirichlet(key, [0.5, 2.0, 1.5], [n])[:, 0]", |x| beta_cdf(0.5, 3.5, x), (0.125, 0.125 * 0.875 / 5.0)),
        ("multivariate_normal(key, [1.0, 2.0], [[4.0, 1.0], [1.0, 9.0]], [n])[:, 1]", |x| ndtr((x - 2.0) / 3.0), (2.0, 9.0)),
        ("sum(multivariate_normal(key, [1.0, 2.0], [[4.0, 1.0], [1.0, 9.0]], [n]), axis=1)", |x| ndtr((x - 3.0) / 15f64.sqrt()), (3.0, 15.0)),
    ];
    for &(expr, cdf, (mean, variance)) in rows {
        let draws = draws(&session, expr);
        assert_eq!(draws.len(), COUNT, "{expr}");
        let distance = kolmogorov_smirnov(&draws, cdf);
        assert!(distance < 1.95, "{expr}: the distance is {distance} (seed {SEED})");
        if !mean.is_nan() {
            check_mean(expr, &draws, mean, variance);
        }
    }
}

/// Chi-square of draws of whole numbers against probabilities, over cells of at least 10 expected draws, with
/// the upper probability of that.
fn chi_square(draws: &[f64], first: i64, mass: &dyn Fn(f64) -> f64) -> f64 {
    let (count, mut statistic, mut cells) = (draws.len() as f64, 0.0, 0.0);
    let (mut seen, mut expected, mut left, mut found) = (0.0, 0.0, 1.0, 0.0);
    let mut at = first;
    while left * count > 10.0 && at < first + 100_000 {
        let p = mass(at as f64);
        expected += p * count;
        left -= p;
        seen += draws.iter().filter(|&&x| x == at as f64).count() as f64;
        if expected >= 10.0 && left * count > 10.0 {
            statistic += (seen - expected).powi(2) / expected;
            found += seen;
            (seen, expected, cells) = (0.0, 0.0, cells + 1.0);
        }
        at += 1;
    }
    let expected = expected + left.max(0.0) * count;
    if expected > 0.0 {
        statistic += (count - found - expected).powi(2) / expected;
        cells += 1.0;
    }
    gammaincc((cells - 1.0) / 2.0, statistic / 2.0)
}

fn choose(n: f64, k: f64) -> f64 {
    lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0)
}

fn binomial(n: f64, p: f64, k: f64) -> f64 {
    if k > n { 0.0 } else { (choose(n, k) + k * p.ln() + (n - k) * (1.0 - p).ln()).exp() }
}

fn poisson(mean: f64, k: f64) -> f64 {
    (k * mean.ln() - mean - lgamma(k + 1.0)).exp()
}

fn beta_binomial(n: f64, a: f64, b: f64, k: f64) -> f64 {
    let betaln = |a: f64, b: f64| lgamma(a) + lgamma(b) - lgamma(a + b);
    if k > n { 0.0 } else { (choose(n, k) + betaln(k + a, n - k + b) - betaln(a, b)).exp() }
}

fn hypergeometric(good: f64, bad: f64, taken: f64, k: f64) -> f64 {
    if k > good || taken - k > bad || k > taken { return 0.0; }
    (choose(good, k) + choose(bad, taken - k) - choose(good + bad, taken)).exp()
}

#[test]
fn discrete_draws_follow_their_distributions() {
    let session = session("reference");
    let rows: &[(&str, i64, Cdf)] = &[
        ("cast(bernoulli(key, 0.3, [n]), f64)", 0, |k| if k == 0.0 { 0.7 } else { 0.3 }),
        ("cast(bernoulli(key, f32(0.3), [n]), f64)", 0, |k| if k == 0.0 { 0.7 } else { 0.3 }),
        ("randint(key, -3, 4, [n])", -3, |_| 1.0 / 7.0),
        ("randint(key, 0, 3, [n], dtype=u8)", 0, |_| 1.0 / 3.0),
        ("geometric(key, 0.2, [n])", 1, |k| 0.2 * 0.8f64.powf(k - 1.0)),
        ("poisson(key, 0.7, [n])", 0, |k| poisson(0.7, k)),
        ("poisson(key, 9.5, [n])", 0, |k| poisson(9.5, k)),
        ("poisson(key, 12.0, [n])", 0, |k| poisson(12.0, k)),
        ("poisson(key, 250.0, [n])", 0, |k| poisson(250.0, k)),
        ("binomial(key, 10, 0.3, [n])", 0, |k| binomial(10.0, 0.3, k)),
        ("binomial(key, 40, 0.9, [n])", 0, |k| binomial(40.0, 0.9, k)),
        ("binomial(key, 60, 0.4, [n])", 0, |k| binomial(60.0, 0.4, k)),
        ("binomial(key, 1000, 0.7, [n])", 0, |k| binomial(1000.0, 0.7, k)),
        ("negative_binomial(key, 3, 0.4, [n])", 0, |k| (choose(k + 2.0, k) + 3.0 * 0.4f64.ln() + k * 0.6f64.ln()).exp()),
        ("betabinom(key, 10, 2.0, 3.0, [n])", 0, |k| beta_binomial(10.0, 2.0, 3.0, k)),
        ("hypergeometric(key, 15, 5, 10, [n])", 0, |k| hypergeometric(15.0, 5.0, 10.0, k)),
        ("hypergeometric(key, 5, 15, 18, [n])", 0, |k| hypergeometric(5.0, 15.0, 18.0, k)),
        ("hypergeometric(key, 60, 90, 40, [n])", 0, |k| hypergeometric(60.0, 90.0, 40.0, k)),
        ("hypergeometric(key, 90, 60, 120, [n])", 0, |k| hypergeometric(90.0, 60.0, 120.0, k)),
        ("multinomial(key, 8, [0.2, 0.3, 0.5], [n])[:, 1]", 0, |k| binomial(8.0, 0.3, k)),
        ("multinomial(key, 8, [0.2, 0.3, 0.5], [n])[:, 2]", 0, |k| binomial(8.0, 0.5, k)),
        ("categorical(key, log([0.1, 0.6, 0.3]), [n])", 0, |k| [0.1, 0.6, 0.3][k as usize % 3]),
        ("choice(key, 5, [n])", 0, |_| 0.2),
        ("choice(key, 3, [n], p=[2, 0, 6])", 0, |k| [0.25, 0.0, 0.75][k as usize % 3]),
        // The first of an order, and the places that follow it.
        ("vmapped(key)", 0, |_| 1.0 / 6.0),
        ("shuffled(key)", 0, |_| 1.0 / 6.0),
        ("weighted(key)", 0, |k| [0.5, 0.3, 0.2][k as usize % 3]),
    ];
    for &(expr, first, mass) in rows {
        let draws = match expr {
            "vmapped(key)" => orders(&session, "permutation(k, 3)", |order| order[0] * 2.0 + f64::from(order[1] > order[2])),
            "shuffled(key)" => {
                let rows = results(&session, "shuffle_row_elements(key, broadcast_to(arange(3), [3000, 3]))")[0].to_f64_vec();
                rows.chunks(3).map(|order| order[0] * 2.0 + f64::from(order[1] > order[2])).collect()
            }
            "weighted(key)" => orders(&session, "choice(k, 3, [3], replace=false, p=[5, 3, 2])", |order| order[0]),
            expr => draws(&session, expr),
        };
        let probability = chi_square(&draws, first, &mass);
        assert!(probability > 1e-3, "{expr}: chi-square is that large with probability {probability} (seed {SEED})");
    }
}

/// What some orders of three numbers come to, each with a key of its own.
fn orders(session: &Session, expr: &str, code: fn(&[f64]) -> f64) -> Vec<f64> {
    let text = format!("fn f() {{\nreturn scan (k in split_key(u64([{SEED}, 5]), 3000)) {{\nyield {expr}\n}}\n}}");
    let graph = lang::load(lang::Source::new("orders", text)).and_then(|module| module.function(None)).unwrap();
    let orders = FunctionBuilder::from_graph(graph).build(session).unwrap().call(&[]).unwrap().remove(0).to_f64_vec();
    orders.chunks(3).map(code).collect()
}

/// The draws of an element depend on key and place alone, and those of different keys on nothing.
#[test]
fn keys_make_draws() {
    let (reference, cpu) = (session("reference"), session("cpu"));
    for expr in ["random_gamma(key, 0.5, [3000])", "poisson(key, 20.0, [3000])", "randint(key, 0, 1000, [3000])", "laplace(key, [3000])",
        "categorical(key, [0.0, 1.0], [3000])", "split_key(key, 3000)", "uniform(key, [3000], dtype=bf16)"]
    {
        let (few, many) = (draws(&reference, expr), draws(&reference, &expr.replace("3000", "5000")));
        assert_eq!(few[..3000], many[..3000], "{expr}");
        // Logarithms are rounded in another way there.
        let other = draws(&cpu, expr);
        assert!(few.iter().zip(&other).all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs()), "{expr}");
    }
    let pairs = draws(&reference, "stack([normal(fold_in(key, 0), [n]), normal(fold_in(key, 1), [n])])");
    let (x, y) = pairs.split_at(COUNT);
    let correlation = x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / COUNT as f64;
    assert!(correlation.abs() < 5.0 / (COUNT as f64).sqrt(), "{correlation}");
    let both = draws(&reference, "multivariate_normal(key, [0.0, 0.0], [[1.0, 0.6], [0.6, 1.0]], [n])");
    let covariance = both.chunks(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / COUNT as f64;
    assert!((covariance - 0.6).abs() < 5.0 * SQRT_2 / (COUNT as f64).sqrt(), "{covariance}");
}

/// The derivative of gamma draws moves them as their quantiles move: `P(a, x)` stays. And that of their mean
/// is 1.
#[test]
fn gamma_draws_move_with_their_quantiles() {
    const MOVED: usize = 2000;
    let session = session("reference");
    for a in [0.05, 1.0, 3.0, 80.0] {
        for log in [false, true] {
            let input = Var::input("a", Type::of_shape(DType::F64, &[MOVED]));
            let key = Var::constant(Tensor::vector(vec![SEED, 1]));
            let operands = [key, input.clone(), Var::constant(Tensor::vector(Vec::<i64>::new()))];
            let draws = Var::apply("random_gamma", &operands, Attributes::new().with("log", log));
            let slope = grad(&draws.sum(None), &[&input]).remove(0);
            let forward = jvp(&draws, &input, &input.ones_like());
            let function = FunctionBuilder::new("f").input(&input).output(&draws).output(&slope).output(&forward);
            let results = function.build(&session).unwrap().call(&[Tensor::vector(vec![a; MOVED])]).unwrap();
            let [draws, slopes, forward] = [0, 1, 2].map(|at| results[at].to_f64_vec());
            assert_eq!(slopes, forward);
            for (&x, &slope) in draws.iter().zip(&slopes).take(200) {
                let h = 1e-6 * a;
                let value = |step: f64| { let x = x + step * slope; if log { x.exp() } else { x } };
                let (up, down) = (gammainc(a + h, value(h)), gammainc(a - h, value(-h)));
                let size = gammainc(a, value(0.0)).min(gammaincc(a, value(0.0)));
                assert!((up - down).abs() <= 1e-6 * size.max(1e-9), "a = {a}, x = {x}: {up} and {down}");
            }
            if !log {
                let mean = slopes.iter().sum::<f64>() / MOVED as f64;
                assert!((mean - 1.0).abs() < 0.25, "a = {a}: the mean slope is {mean}");
            }
        }
    }
}

#[test]
fn streams_step_once_per_call() {
    for session in [session("reference"), session("cpu")] {
        let stream = RandomStream::new(SEED);
        let (a, b) = (stream.uniform(&[4], DType::F64), stream.uniform(&[4], DType::F64));
        let both = FunctionBuilder::new("both").output(&a).output(&b).output(&a).build(&session).unwrap();
        let first = both.call(&[]).unwrap();
        assert_eq!(first[0].to_f64_vec(), first[2].to_f64_vec());
        assert_ne!(first[0].to_f64_vec(), first[1].to_f64_vec());
        let second = both.call(&[]).unwrap();
        assert_ne!(first[0].to_f64_vec(), second[0].to_f64_vec());
        // From the start again, and with the state held still.
        session.set(stream.state(), Tensor::vector(vec![SEED, 0])).unwrap();
        assert_eq!(both.call(&[]).unwrap()[0].to_f64_vec(), first[0].to_f64_vec());
        let held = FunctionBuilder::new("held").output(&a).update(stream.state(), &Var::state(stream.state()));
        let held = held.build(&session).unwrap();
        assert_eq!(held.call(&[]).unwrap()[0].to_f64_vec(), held.call(&[]).unwrap()[0].to_f64_vec());
        // A call that fails does not step.
        let wrong = a.assert(&a.gt(&Var::weak(2.0)), "none is so large");
        let wrong = FunctionBuilder::new("wrong").output(&wrong).build(&session).unwrap();
        let before = session.get(stream.state()).unwrap().to_bytes();
        assert!(wrong.call(&[]).is_err());
        assert_eq!(session.get(stream.state()).unwrap().to_bytes(), before);
        // The same seed draws the same elsewhere.
        let twin = RandomStream::new(SEED);
        let draws = FunctionBuilder::new("twin").output(&twin.uniform(&[4], DType::F64)).build(&session).unwrap();
        assert_eq!(draws.call(&[]).unwrap()[0].to_f64_vec(), first[0].to_f64_vec());
    }
}

/// The functions of the Rust API make the ops of their names.
#[test]
fn functions_build_the_ops() {
    let key = Var::constant(Tensor::vector(vec![1u64, 2]));
    let (one, list) = (Var::weak(1.0), Var::constant(Tensor::vector(vec![0.5, 1.5])));
    let whole = Var::weak(4i64);
    let rows = [
        (random::gamma(&key, &list, &[]), "f64[2]"),
        (random::gamma(&key, &list.cast(DType::F32), &[3, 2]), "f32[3, 2]"),
        (random::beta(&key, &list, &one, &[]), "f64[2]"),
        (random::student_t(&key, &one, &[5]), "f64[5]"),
        (random::dirichlet(&key, &list, &[3]), "f64[3, 2]"),
        (random::truncated_normal(&key, &Var::weak(-1.0), &one, &[3]), "f64[3]"),
        (random::poisson(&key, &list, &[]), "i64[2]"),
        (random::binomial(&key, &whole, &Var::weak(0.5), &[]), "i64[]"),
        (random::randint(&key, &Var::weak(0i64), &whole, &[2, 2]), "i64[2, 2]"),
        (random::bernoulli(&key, &list, &[]), "bool[2]"),
        (random::categorical(&key, &list, -1, &[7]), "i64[7]"),
        (random::permutation(&key, &list, 0), "f64[2]"),
        (random::split_key(&key, 3), "u64[3, 2]"),
        (random::cauchy(&key, &[2], DType::F16), "f16[2]"),
        (random::chisquare(&key, &whole, &[]), "f64[]"),
    ];
    for (draws, expected) in rows {
        assert_eq!(draws.ty().unwrap_or_else(|error| panic!("{error}")).to_string(), expected);
    }
}
