//! The formulas.

use arignote::ErrorKind;
use arignote::ops::control::Scan;
use arignote::ops::shape::concatenate;
use arignote::prelude::*;

use crate::Setup;
use crate::attention::attention;

type Formula = fn(&mut Setup) -> Result<()>;

/// What states a formula.
///
/// # Errors
/// If there is none of this name.
pub fn formula(name: &str) -> Result<Formula> {
    Ok(match name {
        "ew_a1" => ew_a1,
        "ew_axpby" => ew_axpby,
        "ew_sq" => ew_sq,
        "ew_pow10" => ew_pow10,
        "ew_sigmoid" => ew_sigmoid,
        "ew_gauss" => ew_gauss,
        "ew_long" => ew_long,
        "gauss_logp" => gauss_logp,
        "logreg" => logreg,
        "softmax_reg" => softmax_reg,
        "mlp_tanh" => mlp_tanh,
        "mlp_relu" => mlp_relu,
        "lenet" => |s| convolutions(s, [2, 2], Var::clone),
        "conv_small" | "conv_med" | "conv_large" => convnet,
        "rnn_scan" => rnn_scan,
        "lstm_scan" => lstm_scan,
        "scan_pow" => scan_pow,
        "scan_scalar" => scan_scalar,
        "softmax_xent" => softmax_xent,
        "layernorm" => layernorm,
        "reduce_all" => |s| reduce(s, |x| x.sum(None)),
        "reduce_ax0" => |s| reduce(s, |x| x.sum(Some(0))),
        "reduce_ax1" => |s| reduce(s, |x| x.sum(Some(1))),
        "var_ax1" => |s| reduce(s, |x| x.reduce_axes("var", Some(&[1]), false)),
        "matmul_f32" | "matmul_f64" | "bmm" => product,
        "gemv" => gemv,
        "overhead_add3" => overhead_add3,
        "overhead_8schools" => overhead_8schools,
        "embedding" => embedding,
        "gp_chol" => gp_chol,
        "attention" => attention,
        "transpose_copy" => |s| reduce(s, Var::t),
        "strided" => strided,
        "concat_slice" => concat_slice,
        "deep_chain" => deep_chain,
        _ => return Err(Error::new(ErrorKind::Internal, format!("no formula is called `{name}`"))),
    })
}

fn ew_a1(s: &mut Setup) -> Result<()> {
    let a = s.input("a")?;
    s.output(&(a + 1.0));
    Ok(())
}

fn ew_axpby(s: &mut Setup) -> Result<()> {
    let [a, b] = s.inputs(["a", "b"])?;
    s.output(&(2.0 * a + 3.0 * b));
    Ok(())
}

fn ew_sq(s: &mut Setup) -> Result<()> {
    let [a, b] = s.inputs(["a", "b"])?;
    s.output(&(a.square() + b.square() + 2.0 * &a * &b));
    Ok(())
}

fn ew_pow10(s: &mut Setup) -> Result<()> {
    let [a, b] = s.inputs(["a", "b"])?;
    s.output(&(2.0 * a + b.pow(&Var::weak(10i64))));
    Ok(())
}

fn ew_sigmoid(s: &mut Setup) -> Result<()> {
    let [a, b, c] = s.inputs(["a", "b", "c"])?;
    s.output(&(1.0 / (1.0 + (-(a * b + c)).exp())));
    Ok(())
}

fn ew_gauss(s: &mut Setup) -> Result<()> {
    let [x, mu, sigma] = s.inputs(["x", "mu", "s"])?;
    let density = (-0.5 * ((x - mu) / &sigma).square()).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt());
    s.output(&density);
    Ok(())
}

fn ew_long(s: &mut Setup) -> Result<()> {
    let [a, b, c, d] = s.inputs(["a", "b", "c", "d"])?;
    let mut r = b.clone();
    for _ in 0..8 {
        r = (r * &a + &b).maximum(&c).abs() / &d;
    }
    s.output(&r);
    Ok(())
}

fn gauss_logp(s: &mut Setup) -> Result<()> {
    let [x, mu, log_sigma] = s.inputs(["x", "mu", "log_sigma"])?;
    let half_log_tau = 0.5 * (2.0 * std::f64::consts::PI).ln();
    let density = -0.5 * ((x - &mu) / log_sigma.exp()).square() - &log_sigma - half_log_tau;
    value_and_slopes(s, &density.sum(None), &[&mu, &log_sigma]);
    Ok(())
}

/// The results: a value and its gradients.
pub fn value_and_slopes(s: &mut Setup, value: &Var, targets: &[&Var]) {
    s.output(value);
    for slope in grad(value, targets) {
        s.output(&slope);
    }
}

fn logreg(s: &mut Setup) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    let [w, b] = s.states(["w", "b"])?;
    let p = 1.0 / (1.0 + (-x.matmul(&w) - b).exp());
    let entropy = (-&y * p.log() - (1.0 - &y) * (1.0 - &p).log()).mean(None);
    let cost = &entropy + 0.01 * w.square().sum(None);
    s.output(&p.gt(&Var::weak(0.5)));
    s.output(&entropy);
    s.descend(&cost, 0.1)
}

fn softmax_reg(s: &mut Setup) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    let [w, b] = s.states(["w", "b"])?;
    let loss = (x.matmul(&w) + b).cross_entropy(&y).mean(None);
    s.output(&loss);
    s.descend(&loss, 0.1)
}

fn mlp_tanh(s: &mut Setup) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    let [w1, b1, w2, b2] = s.states(["w1", "b1", "w2", "b2"])?;
    let hidden = (x.matmul(&w1) + b1).tanh();
    let loss = (hidden.matmul(&w2) + b2).cross_entropy(&y).mean(None);
    s.output(&loss);
    s.descend(&loss, 0.01)
}

fn mlp_relu(s: &mut Setup) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    let [w1, b1, w2, b2, w3, b3] = s.states(["w1", "b1", "w2", "b2", "w3", "b3"])?;
    let hidden = (x.matmul(&w1) + b1).relu();
    let hidden = (hidden.matmul(&w2) + b2).relu();
    let loss = (hidden.matmul(&w3) + b3).cross_entropy(&y).mean(None);
    s.output(&loss);
    s.descend(&loss, 0.01)
}

fn convnet(s: &mut Setup) -> Result<()> {
    let windows = [s.constant("pool1")?, s.constant("pool2")?];
    convolutions(s, windows, Var::tanh)
}

/// Two convolutions, each with maxima of square windows and tanh, then two dense layers. `before` is applied to the maps
/// that the maxima are taken of.
fn convolutions(s: &mut Setup, windows: [i64; 2], before: fn(&Var) -> Var) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    let [w1, b1, w2, b2, w3, b3, w4, b4] = s.states(["w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"])?;
    let layer = |x: &Var, w: &Var, b: &Var, window: i64| {
        let maps = Var::apply("conv2d", &[x.clone(), w.clone()], Attributes::new()) + b.reshape(&[-1, 1, 1]);
        Var::apply("max_pool2d", &[before(&maps)], Attributes::new().with("window", window)).tanh()
    };
    let features = layer(&layer(&x, &w1, &b1, windows[0]), &w2, &b2, windows[1]);
    let batch = y.ty()?.known_shape().map_or(-1, |shape| shape[0] as i64);
    let hidden = (features.reshape(&[batch, -1]).matmul(&w3) + b3).tanh();
    let loss = (hidden.matmul(&w4) + b4).cross_entropy(&y).mean(None);
    s.output(&loss);
    s.descend(&loss, 0.01)
}

fn rnn_scan(s: &mut Setup) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    let [wx, wh, b, wo, bo] = s.states(["wx", "wh", "b", "wo", "bo"])?;
    let run = Scan::new().sequence("x", &x).state("h", &b.zeros_like()).run(|step| {
        let h = (step.get("x").matmul(&wx) + step.get("h").matmul(&wh) + &b).tanh();
        step.set("h", &h);
        step.give(&(h.matmul(&wo) + &bo));
    });
    let loss = run.stacked(0).cross_entropy(&y).mean(None);
    s.output(&loss);
    s.descend(&loss, 0.01)
}

fn lstm_scan(s: &mut Setup) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    let [wx, wh, b, wo, bo] = s.states(["wx", "wh", "b", "wo", "bo"])?;
    let (batch, units) = match (y.ty()?.known_shape(), wh.ty()?.known_shape()) {
        (Some(y), Some(wh)) => (y[0], wh[0]),
        _ => (0, 0),
    };
    let start = zeros(&[batch, units], DType::F32);
    let run = Scan::new().sequence("x", &x).state("h", &start).state("c", &start).run(|step| {
        let gates = step.get("x").matmul(&wx) + step.get("h").matmul(&wh) + &b;
        let gate = |at: usize| gates.slice(1, Some((at * units) as i64), Some(((at + 1) * units) as i64));
        let c = gate(1).sigmoid() * step.get("c") + gate(0).sigmoid() * gate(2).tanh();
        step.set("h", &(gate(3).sigmoid() * c.tanh()));
        step.set("c", &c);
    });
    let loss = (run.last("h").matmul(&wo) + bo).cross_entropy(&y).mean(None);
    s.output(&loss);
    s.descend(&loss, 0.01)
}

fn scan_pow(s: &mut Setup) -> Result<()> {
    let a = s.input("a")?;
    let steps = Var::scalar(s.constant("steps")?);
    let run = Scan::new().steps(&steps).state("power", &a.ones_like()).run(|step| {
        step.set("power", &(step.get("power") * &a));
    });
    s.output(&run.last("power"));
    Ok(())
}

fn scan_scalar(s: &mut Setup) -> Result<()> {
    let [r, x] = s.inputs(["r", "x"])?;
    let steps = Var::scalar(s.constant("steps")?);
    let run = Scan::new().steps(&steps).state("x", &x).state("sum", &Var::scalar(0.0f64)).run(|step| {
        let x = &r * step.get("x") * (1.0 - step.get("x"));
        step.set("sum", &(step.get("sum") + &x));
        step.set("x", &x);
    });
    s.output(&run.last("x"));
    s.output(&run.last("sum"));
    Ok(())
}

fn softmax_xent(s: &mut Setup) -> Result<()> {
    let [logits, y] = s.inputs(["logits", "y"])?;
    value_and_slopes(s, &logits.cross_entropy(&y).mean(None), &[&logits]);
    Ok(())
}

fn layernorm(s: &mut Setup) -> Result<()> {
    let [x, gain, bias, g] = s.inputs(["x", "gain", "bias", "g"])?;
    let y = Var::apply("layer_norm", &[x.clone(), gain.clone(), bias.clone()], Attributes::new());
    s.output(&y);
    for slope in grad(&(&y * g).sum(None), &[&x, &gain, &bias]) {
        s.output(&slope);
    }
    Ok(())
}

fn reduce(s: &mut Setup, by: impl Fn(&Var) -> Var) -> Result<()> {
    let x = s.input("x")?;
    s.output(&by(&x));
    Ok(())
}

fn product(s: &mut Setup) -> Result<()> {
    let [a, b] = s.inputs(["a", "b"])?;
    s.output(&a.matmul(&b));
    Ok(())
}

fn gemv(s: &mut Setup) -> Result<()> {
    let [a, x] = s.inputs(["a", "x"])?;
    s.output(&a.matmul(&x));
    Ok(())
}

fn overhead_add3(s: &mut Setup) -> Result<()> {
    let [x, y] = s.inputs(["x", "y"])?;
    s.output(&(x + y));
    Ok(())
}

fn overhead_8schools(s: &mut Setup) -> Result<()> {
    let [place, effects, errors] = s.inputs(["place", "effects", "errors"])?;
    let (mean, spread, own) = (place.at(0), place.at(1).exp(), place.slice(0, Some(2), None));
    let residuals = (effects - &mean - &spread * &own) / errors;
    let priors = -0.5 * (&mean / 5.0).square() - (&spread / 5.0).square().log1p() + place.at(1);
    let density = priors - 0.5 * own.square().sum(None) - 0.5 * residuals.square().sum(None);
    value_and_slopes(s, &density, &[&place]);
    Ok(())
}

fn embedding(s: &mut Setup) -> Result<()> {
    let [indices, g] = s.inputs(["indices", "g"])?;
    let rows = s.state("table")?.take(&indices, 0);
    let loss = (rows * g).sum(Some(1)).mean(None);
    s.output(&loss);
    s.descend(&loss, 0.1)
}

fn gp_chol(s: &mut Setup) -> Result<()> {
    let [x, y, log_amplitude, log_lengths, log_noise] = s.inputs(["x", "y", "log_amplitude", "log_lengths", "log_noise"])?;
    let n = y.ty()?.known_shape().map_or(0, |shape| shape[0]);
    let scaled = x / log_lengths.exp();
    let distance = (scaled.expand_dims(1) - scaled.expand_dims(0)).square().sum(Some(-1));
    let kernel = (2.0 * &log_amplitude - 0.5 * distance).exp() + (2.0 * &log_noise).exp() * eye(n, DType::F64);
    let factor = kernel.cholesky();
    let white = factor.solve_triangular(&y, true);
    let diagonal = Var::apply("diagonal", std::slice::from_ref(&factor), Attributes::new());
    let constant = 0.5 * n as f64 * (2.0 * std::f64::consts::PI).ln();
    let likelihood = -0.5 * white.square().sum(None) - diagonal.log().sum(None) - constant;
    value_and_slopes(s, &likelihood, &[&log_amplitude, &log_lengths, &log_noise]);
    Ok(())
}

fn strided(s: &mut Setup) -> Result<()> {
    let x = s.input("x")?;
    let every = |step| IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step };
    s.output(&(x.index(vec![every(2), every(3)], &[]) * 2.0).sum(None));
    Ok(())
}

fn concat_slice(s: &mut Setup) -> Result<()> {
    let all = s.inputs(["a", "b", "c", "d"])?;
    s.output(&(concatenate(&all, 1).slice(1, Some(100), Some(900)) * 2.0));
    Ok(())
}

fn deep_chain(s: &mut Setup) -> Result<()> {
    let [x, w, b] = s.inputs(["x", "w", "b"])?;
    let depth = w.ty()?.known_shape().map_or(0, |shape| shape[0] as i64);
    let mut y = x.clone();
    for layer in 0..depth {
        y = (y * w.at(layer)).tanh() + b.at(layer);
    }
    value_and_slopes(s, &y.sum(None), &[&x]);
    Ok(())
}
