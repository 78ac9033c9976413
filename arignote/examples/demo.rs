//! Trains two models on the digits in `data/`, on the device that `arignote.toml` names.
//!
//! ```sh
//! cargo xtask demo [--epochs N] [--seed N] [--out DIR]
//! ```
//!
//! Writes the weights (safetensors), the loss at every step (CSV), a plot of it (SVG), and the images
//! and digits as `.npy` for `examples/digits.arig`, into `demo-out/` or DIR. The same seed gives the
//! same output, times aside.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use arignote::graph::StateValue;
use arignote::ops::random::normal;
use arignote::prelude::*;
use arignote::runtime::{PluginRow, save_state, write_npy};
use indicatif::{ProgressBar, ProgressStyle};

const BATCH: usize = 32;
const EPOCHS: usize = 30;

fn main() -> ExitCode {
    match Options::from_arguments().map_err(Into::into).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    epochs: usize,
    seed: u64,
    out: PathBuf,
}

impl Options {
    fn from_arguments() -> Result<Options, String> {
        let mut options = Options { epochs: EPOCHS, seed: 0, out: "demo-out".into() };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value"))?;
            let wrong = |_| format!("`{name}` takes a whole number, not `{value}`");
            match name.as_str() {
                "--epochs" => options.epochs = value.parse().map_err(wrong)?,
                "--seed" => options.seed = value.parse().map_err(wrong)?,
                "--out" => options.out = value.into(),
                _ => return Err(format!("`{name}` is none of --epochs, --seed, --out")),
            }
        }
        Ok(options)
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let session = arignote::session()?;
    println!("{}", session.selection());
    for (name, _) in session.devices() {
        let backend = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let of_backend = |row: &&PluginRow| !row.hidden && row.backends.iter().any(|known| known == backend);
        let origin = session.plugins().iter().find(of_backend).map_or("?", |row| &row.origin);
        println!("  {name}: from {origin}");
    }
    std::fs::create_dir_all(&options.out)?;
    let digits = Digits::read()?;
    let (train, test) = digits.split();
    write_npy(&options.out.join("x.npy"), &train.x)?;
    write_npy(&options.out.join("y.npy"), &train.y)?;
    println!("{} digits to train on, {} to test on\n", train.len(), test.len());
    let mut curves = Vec::new();
    for (model, least) in [(softmax_regression(&session)?, 0.94), (tanh_network(&session, options.seed)?, 0.96)] {
        let curve = train_model(&session, &model, &train, options)?;
        let accuracy = model.accuracy(&test)?;
        println!("  test accuracy {accuracy:.4}");
        let path = options.out.join(format!("{}.safetensors", model.file));
        save_state(&path, &session, model.step.states())?;
        println!("  weights in {}\n", path.display());
        curves.push((model.title, curve));
        if options.epochs >= EPOCHS && accuracy < least {
            return Err(format!("{}: the accuracy should be at least {least}", model.title).into());
        }
    }
    write_losses(&options.out.join("losses.csv"), &curves)?;
    let plot = options.out.join("loss.svg");
    std::fs::write(&plot, plot_losses(&curves)?)?;
    println!("loss curves in {}", plot.display());
    Ok(())
}

/// A model: one function that takes a step of training, one that counts the right answers.
struct Model {
    title: &'static str,
    file: &'static str,
    step: Function,
    right: Function,
}

impl Model {
    /// Stochastic gradient descent on the mean cross-entropy of `logits`.
    fn new(
        session: &Session, (title, file): (&'static str, &'static str), x: &Var, logits: &Var, states: &[State],
        rate: f64,
    ) -> Result<Model> {
        let y = Var::input("y", Type::new(DType::I64, ["n".into()]));
        let loss = logits.cross_entropy(&y).mean(None);
        let weights: Vec<Var> = states.iter().map(Var::state).collect();
        let gradients = grad(&loss, &weights.iter().collect::<Vec<_>>());
        let mut step = FunctionBuilder::new(file).input(x).input(&y).named_output("loss", &loss);
        for ((state, weight), gradient) in states.iter().zip(&weights).zip(&gradients) {
            step = step.update(state, &(weight - rate * gradient));
        }
        let right = logits.argmax(Some(-1)).eq(&y).mean(None);
        let right = FunctionBuilder::new("right").input(x).input(&y).output(&right);
        Ok(Model { title, file, step: step.build(session)?, right: right.build(session)? })
    }

    fn accuracy(&self, data: &Digits) -> Result<f64, Box<dyn Error>> {
        one(&self.right.call(&[data.x.clone(), data.y.clone()])?)
    }
}

fn softmax_regression(session: &Session) -> Result<Model> {
    let w = State::new("w", Tensor::zeros(DType::F32, &[64, 10]));
    let b = State::new("b", Tensor::zeros(DType::F32, &[10]));
    let x = Var::input("x", Type::new(DType::F32, ["n".into(), 64.into()]));
    let logits = x.matmul(&Var::state(&w)) + Var::state(&b);
    Model::new(session, ("softmax regression", "softmax"), &x, &logits, &[w, b], 0.5)
}

fn tanh_network(session: &Session, seed: u64) -> Result<Model> {
    let layer = |stream: u64, from: usize, to: usize| {
        let ty = Type::of_shape(DType::F32, &[from, to]);
        let key = Var::constant(Tensor::vector(vec![seed, stream]));
        let initial = normal(&key, &[from, to], DType::F32) * (1.0 / (from as f64).sqrt());
        let w = State::with_type(&format!("w{stream}"), ty, StateValue::Unset(initial));
        (w, State::new(&format!("b{stream}"), Tensor::zeros(DType::F32, &[to])))
    };
    let ((w1, b1), (w2, b2)) = (layer(1, 64, 128), layer(2, 128, 10));
    let x = Var::input("x", Type::new(DType::F32, ["n".into(), 64.into()]));
    let hidden = (x.matmul(&Var::state(&w1)) + Var::state(&b1)).tanh();
    let logits = hidden.matmul(&Var::state(&w2)) + Var::state(&b2);
    Model::new(session, ("64-128-10 tanh network", "tanh"), &x, &logits, &[w1, b1, w2, b2], 0.2)
}

/// Trains, reports, and returns the loss at every step.
fn train_model(
    session: &Session, model: &Model, train: &Digits, options: &Options,
) -> Result<Vec<f64>, Box<dyn Error>> {
    println!("{}", model.title);
    let device = session.devices().first().map_or("?", |(name, _)| name.as_str());
    let batches = train.len().div_ceil(BATCH);
    let bar = ProgressBar::new((options.epochs * batches) as u64);
    bar.set_style(ProgressStyle::with_template("  {bar:40} {pos}/{len}  {msg}")?);
    let (mut losses, mut times) = (Vec::new(), Vec::new());
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut order: Vec<usize> = (0..train.len()).collect();
    for _ in 0..options.epochs {
        random.shuffle(&mut order);
        for batch in order.chunks(BATCH) {
            let batch = train.pick(batch)?;
            let start = Instant::now();
            let results = model.step.call(&[batch.x, batch.y])?;
            times.push(start.elapsed());
            losses.push(one(&results)?);
            bar.inc(1);
        }
        bar.set_message(format!("loss {:.4}", mean(losses.rchunks(batches).next().unwrap_or_default())));
    }
    bar.finish_and_clear();
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or(Duration::ZERO);
    let firings = model.step.compiled().firings();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for firing in firings {
        *counts.entry(&firing.rule).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    println!("  rewrites that fired: {}", counts.join(", "));
    let first = mean(losses.chunks(batches).next().unwrap_or_default());
    let last = mean(losses.rchunks(batches).next().unwrap_or_default());
    println!("  {} steps of {BATCH} images: mean loss {first:.6} in the first epoch, {last:.6} in the last", losses.len());
    println!("  time per step on {device}: median {:.3} ms", median.as_secs_f64() * 1e3);
    Ok(losses)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The first result, a scalar.
fn one(results: &[Tensor]) -> Result<f64, Box<dyn Error>> {
    Ok(results.first().and_then(Tensor::item).ok_or("the function should give one number")?)
}

/// Images, one a row with pixels from 0 to 1, and the digit of each.
struct Digits {
    x: Tensor,
    y: Tensor,
}

impl Digits {
    fn read() -> Result<Digits, Box<dyn Error>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/digits.csv");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let numbers: Vec<u8> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
            let (digit, pixels) = numbers.split_last().ok_or("data/digits.csv has an empty line")?;
            y.push(i64::from(*digit));
            x.extend(pixels.iter().map(|&pixel| f32::from(pixel) / 16.0));
        }
        Ok(Digits { x: Tensor::from_vec(x, &[y.len(), 64])?, y: Tensor::vector(y) })
    }

    fn len(&self) -> usize {
        self.y.len()
    }

    /// Every fifth image, from the first, is for testing, the others are for training.
    fn split(&self) -> (Digits, Digits) {
        let (test, train): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|index| index % 5 == 0);
        // The indices are in range, so that picking cannot fail.
        let pick = |rows: &[usize]| self.pick(rows).unwrap_or_else(|_| Digits { x: self.x.clone(), y: self.y.clone() });
        (pick(&train), pick(&test))
    }

    fn pick(&self, rows: &[usize]) -> Result<Digits> {
        let (x, y) = (self.x.as_slice::<f32>()?, self.y.as_slice::<i64>()?);
        let images = rows.iter().flat_map(|&row| &x[row * 64..][..64]).copied().collect();
        let digits = rows.iter().map(|&row| y[row]).collect();
        Ok(Digits { x: Tensor::from_vec(images, &[rows.len(), 64])?, y: Tensor::vector(digits) })
    }
}

fn write_losses(path: &Path, curves: &[(&str, Vec<f64>)]) -> std::io::Result<()> {
    let mut text = "model,step,loss\n".to_owned();
    for (title, losses) in curves {
        for (step, loss) in losses.iter().enumerate() {
            text += &format!("{title},{step},{loss}\n");
        }
    }
    std::fs::write(path, text)
}

/// The curves, smoothed over 20 steps, over a logarithmic axis of losses.
fn plot_losses(curves: &[(&str, Vec<f64>)]) -> Result<String, std::fmt::Error> {
    let (width, height, margin) = (720.0, 420.0, 50.0);
    let smooth: Vec<Vec<f64>> = curves
        .iter()
        .map(|(_, losses)| (0..losses.len()).map(|end| mean(&losses[(end + 1).saturating_sub(20)..=end])).collect())
        .collect();
    let steps = smooth.iter().map(Vec::len).max().unwrap_or(0).max(2);
    let (mut low, mut high) = (-1i32, 1i32);
    for loss in smooth.iter().flatten().filter(|loss| loss.is_finite() && **loss > 0.0) {
        low = low.min(loss.log10().floor() as i32);
        high = high.max(loss.log10().ceil() as i32);
    }
    let across = |step: usize| margin + (width - 2.0 * margin) * step as f64 / (steps - 1) as f64;
    let down = |loss: f64| {
        let share = (loss.log10() - f64::from(low)) / f64::from(high - low);
        height - margin - (height - 2.0 * margin) * share
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for power in low..=high {
        let y = down(10f64.powi(power));
        writeln!(svg, "<path d=\"M{margin} {y:.1}H{:.1}\" stroke=\"#ddd\"/>", width - margin)?;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", margin - 6.0, y + 4.0, 10f64.powi(power))?;
    }
    for part in 0..=4 {
        let step = (steps - 1) * part / 4;
        let (x, y) = (across(step), height - margin + 18.0);
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{step}</text>")?;
    }
    writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">step</text>", width / 2.0, height - 10.0)?;
    writeln!(svg, "<text x=\"{margin}\" y=\"30\">mean cross-entropy, averaged over 20 steps</text>")?;
    for (number, ((title, _), losses)) in curves.iter().zip(&smooth).enumerate() {
        let colour = ["#1f77b4", "#d62728", "#2ca02c"][number % 3];
        let points: Vec<String> = losses
            .iter()
            .enumerate()
            .filter(|(_, loss)| loss.is_finite() && **loss > 0.0)
            .map(|(step, &loss)| format!("{:.1},{:.1}", across(step), down(loss)))
            .collect();
        writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", points.join(" "))?;
        let y = margin + 20.0 + 18.0 * number as f64;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"{colour}\">{title}</text>", width - margin - 8.0)?;
    }
    svg += "</svg>\n";
    Ok(svg)
}
