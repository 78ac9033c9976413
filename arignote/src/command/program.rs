//! Subcommands on a program: run, explain, graph, fmt.

use std::path::PathBuf;

use arignote::graph::FunctionGraph;
use arignote::runtime::{
    Function, FunctionBuilder, NodeEvent, Session, bisect, draw_inputs, load_state, read_npy, save_state, write_npy, write_whole,
};
use arignote::tensor::{DType, Kind, Tensor, Type};
use arignote::inspect::Drawing;
use arignote::{Error, ErrorKind, Result, inspect, lang};
use clap::Args;

use super::{Common, print};

#[derive(Args)]
pub struct Source {
    /// The program.
    file: PathBuf,
    /// Which of its functions; may be left out if there is one.
    #[arg(long = "fn", value_name = "NAME")]
    function: Option<String>,
}

#[derive(Args)]
pub struct Explain {
    #[command(flatten)]
    source: Source,
    /// Show the compiled graph as a tree instead.
    #[arg(long)]
    tree: bool,
    /// Show instead how much memory a call takes, and what devices plan.
    #[arg(long)]
    memory: bool,
    /// Show instead the plans and kernels of the devices.
    #[arg(long)]
    asm: bool,
    /// The length of a named dim, for --memory and --asm; 64 unless given.
    #[arg(long = "dim", value_name = "NAME=LENGTH")]
    dims: Vec<String>,
    /// Also show how long each rewrite rule and pass took.
    #[arg(long)]
    timings: bool,
    /// Find the first firing of a rewrite that changes a result beyond rounding.
    #[arg(long, conflicts_with = "timings")]
    bisect: bool,
    /// With --bisect, an input as `run` takes them; others are drawn at random.
    #[arg(long = "in", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
}

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    source: Source,
    /// An input: a path to an .npy file, a number, or a nested list.
    #[arg(long = "in", value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// Write each result to DIR/0.npy, DIR/1.npy, ...
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Call the function this many times; the last results are printed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    repeat: usize,
    /// Set the function's states from a safetensors file first.
    #[arg(long, value_name = "F")]
    load_state: Option<PathBuf>,
    /// Write the results of every op to standard error as they are computed.
    #[arg(long)]
    watch: bool,
    /// Save the function's states to a safetensors file afterwards.
    #[arg(long, value_name = "F")]
    save_state: Option<PathBuf>,
}

#[derive(Args)]
pub struct GraphArgs {
    #[command(flatten)]
    source: Source,
    /// Draw an SVG picture instead of DOT.
    #[arg(long)]
    svg: bool,
    /// Draw the graph as stated, not as compiled.
    #[arg(long)]
    stated: bool,
    /// The length of a named dim, of which kernels may depend; 64 unless given.
    #[arg(long = "dim", value_name = "NAME=LENGTH")]
    dims: Vec<String>,
}

#[derive(Args)]
pub struct Fmt {
    /// The programs.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; fail if a file is laid out otherwise.
    #[arg(long)]
    check: bool,
}

fn read(path: &PathBuf) -> Result<lang::Source> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(ErrorKind::Io, format!("{}: cannot read: {error}", path.display())))?;
    Ok(lang::Source::new(path.display().to_string(), text))
}

impl Source {
    fn graph(&self) -> Result<FunctionGraph> {
        lang::load(read(&self.file)?)?.function(self.function.as_deref())
    }

    fn compile(&self, common: &Common) -> Result<(Session, Function)> {
        let session = arignote::session_with(common.config()?)?;
        let function = FunctionBuilder::from_graph(self.graph()?).build(&session)?;
        Ok((session, function))
    }
}

impl Explain {
    pub fn execute(&self, common: &Common) -> Result<()> {
        if self.bisect {
            return self.search(common);
        }
        if let [given, ..] = self.inputs.as_slice() {
            let message = format!("--in {given}: `explain` calls the function only with --bisect");
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        let dims = dims(&self.dims)?;
        if self.tree || self.memory || self.asm {
            return self.parts(&dims, common);
        }
        let (session, function) = self.source.compile(common)?;
        print(&format!("{}\n\n{}", session.selection(), inspect::explain(&function)))?;
        if self.timings { print(&format!("\n# time of rewriting\n{}", timings(&function))) } else { Ok(()) }
    }

    /// The parts of the story that were asked for.
    fn parts(&self, dims: &[(String, usize)], common: &Common) -> Result<()> {
        let (_session, function) = self.source.compile(&planning(common))?;
        let compiled = function.compiled();
        let mut text = String::new();
        if self.tree {
            text += &inspect::tree(compiled.graph(), &compiled.result_names())?;
        }
        if self.memory {
            text += &inspect::memory(compiled, dims, UNKNOWN_DIM)?;
        }
        if self.asm {
            compiled.plan(&compiled.shapes(dims, UNKNOWN_DIM)?);
            text += &compiled.debug_text();
        }
        print(&text)
    }

    /// Finds the first firing that changes a result.
    fn search(&self, common: &Common) -> Result<()> {
        const SEED: u64 = 1;
        let (session, function) = self.source.compile(common)?;
        let types: Vec<Type> = function.graph().inputs.iter().map(|input| input.ty().cloned()).collect::<Result<_>>()?;
        let mut arguments = draw_inputs(&types, SEED)?;
        let given = arguments_of(&session, &function, &self.inputs)?;
        for (name, value) in &given {
            match function.input_names().iter().position(|known| known == name) {
                Some(at) => arguments[at] = value.clone(),
                None => return Err(Error::new(ErrorKind::Runtime, format!("there is no input `{name}`"))),
            }
        }
        if given.len() < types.len() {
            print(&format!("inputs that are not given are drawn with the seed {SEED}"))?;
        }
        let found = bisect(&session, function.graph(), &arguments)?;
        let (all, tries) = (found.firings, found.compilations);
        let Some(culprit) = found.culprit else {
            return print(&format!("none of the {all} firings changes a result beyond rounding ({tries} compilations)"));
        };
        let (at, before, after) = culprit.element;
        let mut text = format!("firing {} of {all} changes a result ({tries} compilations):\n", culprit.number);
        for firing in &culprit.firings {
            let source = if firing.source.is_known() { format!("  ({}:{})", firing.source.file, firing.source.line) } else { String::new() };
            let place = if firing.location.is_known() { format!("  at {}", firing.location) } else { String::new() };
            text += &format!("{}{source}{place}\n    {}\n    => {}\n", firing.rule, firing.before, firing.after);
        }
        let names = function.output_names();
        let result = match names.get(culprit.result) {
            Some(name) => format!("result {}", name.map_or_else(|| culprit.result.to_string(), str::to_owned)),
            None => format!("the state `{}`", function.states()[culprit.result - names.len()].name()),
        };
        text += &format!("element {at} of {result} is {before:?} before and {after:?} after it");
        print(&text)
    }
}

/// What rules and passes took, the longest first.
fn timings(function: &Function) -> String {
    let report = function.compiled().rewrites();
    let mut rows: Vec<_> = report.costs.iter().collect();
    rows.sort_by(|a, b| b.1.time.cmp(&a.1.time).then(a.0.cmp(b.0)));
    let total: f64 = rows.iter().map(|(_, cost)| cost.time.as_secs_f64()).sum();
    let mut text = format!("{:<32} {:>10} {:>8} {:>12}\n", "rule or pass", "tried", "fired", "ms");
    for (name, cost) in rows {
        text += &format!("{name:<32} {:>10} {:>8} {:>12.3}\n", cost.tried, cost.fired, cost.time.as_secs_f64() * 1e3);
    }
    text + &format!("{:<32} {:>10} {:>8} {:>12.3}", "all", "", report.firings.len(), total * 1e3)
}

/// The inputs that are given as NAME=VALUE.
fn arguments_of<'a>(session: &Session, function: &Function, inputs: &'a [String]) -> Result<Vec<(&'a str, Tensor)>> {
    let mut arguments = Vec::new();
    for given in inputs {
        let Some((name, value)) = given.split_once('=') else {
            let message = format!("--in takes NAME=VALUE, not `{given}`");
            return Err(Error::new(ErrorKind::Runtime, message));
        };
        let position = function.input_names().iter().position(|known| *known == name);
        let ty = position.and_then(|at| function.graph().inputs[at].ty().ok().cloned());
        arguments.push((name, argument(session, name, value, ty.as_ref())?));
    }
    Ok(arguments)
}

/// How long dims are of which the user says nothing.
const UNKNOWN_DIM: usize = 64;

/// The same, but with devices that say which nodes one kernel computes: those that keep times.
fn planning(common: &Common) -> Common {
    let mut common = common.clone();
    common.set.push("mode=profile".to_owned());
    common
}

fn dims(given: &[String]) -> Result<Vec<(String, usize)>> {
    let read = |text: &String| {
        let (name, length) = text.split_once('=')?;
        Some((name.trim().to_owned(), length.trim().parse().ok()?))
    };
    let wrong = |text: &String| Error::new(ErrorKind::Runtime, format!("--dim takes NAME=LENGTH, not `{text}`"));
    given.iter().map(|text| read(text).ok_or_else(|| wrong(text))).collect()
}

impl Run {
    pub fn execute(&self, common: &Common) -> Result<()> {
        // Plugins bring ops that the file may name.
        let session = arignote::session_with(common.config()?)?;
        let start = std::time::Instant::now();
        let graph = self.source.graph()?;
        let parsing = start.elapsed();
        let builder = FunctionBuilder::from_graph(graph);
        let builder = if self.watch {
            builder.watch(|event: &NodeEvent<'_>| {
                eprintln!("{event}");
                Ok(())
            })
        } else {
            builder
        };
        let function = builder.build(&session)?;
        if common.config()?.device().is_auto() {
            eprintln!("{}", session.selection());
        }
        let arguments = arguments_of(&session, &function, &self.inputs)?;
        if self.repeat == 0 {
            return Err(Error::new(ErrorKind::Runtime, "--repeat 0 would call nothing; it takes 1 or more"));
        }
        if let (Some(path), true) = (self.load_state.as_ref().or(self.save_state.as_ref()), function.states().is_empty()) {
            let message = format!("{}: the function has no states to load or save", path.display());
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        if let Some(path) = &self.load_state {
            load_state(path, &session, function.states())?;
        }
        let mut results = Vec::new();
        for _ in 0..self.repeat {
            results = function.call_named(&arguments)?;
        }
        for (position, (name, result)) in function.output_names().iter().zip(&results).enumerate() {
            let name = name.map_or_else(|| position.to_string(), str::to_owned);
            print(&format!("{name}: {} = {result}", result.ty()))?;
        }
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::new(ErrorKind::Io, format!("{}: {error}", folder.display())))?;
            for (position, result) in results.iter().enumerate() {
                write_npy(&folder.join(format!("{position}.npy")), result)?;
            }
        }
        if let Some(path) = &self.save_state {
            save_state(path, &session, function.states())?;
        }
        let mut profile = function.profile();
        profile.compiling.insert(0, ("parse".to_owned(), parsing.as_secs_f64()));
        if let Some(path) = &common.profile {
            write_whole(path, &[inspect::trace(&profile).to_string().as_bytes()])?;
        }
        if session.profiles() {
            eprint!("{}", inspect::table(&profile));
        }
        Ok(())
    }
}

/// An argument from the command line, with the dtype of its input. Nothing is rounded or wrapped but what a
/// float of the input's own dtype cannot hold.
fn argument(session: &Session, name: &str, text: &str, ty: Option<&Type>) -> Result<Tensor> {
    let fail = |message: String| Err(Error::new(ErrorKind::Runtime, message));
    if text.ends_with(".npy") {
        let value = read_npy(text.as_ref())?;
        return match ty {
            Some(ty) if !ty.admits(value.dtype(), value.shape()) => {
                fail(format!("--in {name}: {text} holds {}, but the input is {ty}", value.ty()))
                    .map_err(|error: Error| error.note("save an array of that dtype and shape: `numpy.save(path, array.astype(...))`"))
            }
            _ => Ok(value),
        };
    }
    let wanted = "a number, a nested list of numbers, or a file of a tensor, which ends in `.npy`";
    if text.trim().is_empty() || text.contains(['{', '}', '#']) || std::path::Path::new(text).is_file() {
        return fail(format!("--in {name}: `{text}` is not {wanted}"));
    }
    let source = lang::Source::new(format!("--in {name}"), format!("fn value() {{ return {text} }}"));
    let told = |error: Error| {
        Error::new(ErrorKind::Runtime, format!("--in {name}: `{text}` is not {wanted}: {}", error.message()))
    };
    let graph = lang::load(source).and_then(|module| module.function(None)).map_err(told)?;
    let results = FunctionBuilder::from_graph(graph).build(session).and_then(|value| value.call(&[])).map_err(told)?;
    let [value] = results.as_slice() else { return fail(format!("--in {name}: `{text}` is not one value")) };
    let dtype = ty.map_or(DType::F64, |ty| ty.dtype);
    let cast = value.cast(dtype);
    let exact = match (dtype.is_float(), value.dtype().is_float()) {
        (true, _) => cast.to_f64_vec().iter().zip(value.to_f64_vec()).all(|(cast, x)| cast.is_finite() == x.is_finite()),
        // Whole numbers from 2^63 on do not come as floats.
        (false, true) => cast.to_f64_vec().iter().zip(value.to_f64_vec()).all(|(&cast, x)| cast == x && x.abs() < 9.2e18),
        (false, false) => {
            let negative = dtype.kind() == Kind::Unsigned && value.to_i64_vec().iter().any(|&x| x < 0);
            cast.cast(value.dtype()) == *value && !negative
        }
    };
    match exact {
        true => Ok(cast),
        false => fail(format!("--in {name}: `{text}` does not fit into {dtype}")),
    }
}

impl GraphArgs {
    pub fn execute(&self, common: &Common) -> Result<()> {
        let dims = dims(&self.dims)?;
        let (_session, function) = self.source.compile(&planning(common))?;
        let compiled = function.compiled();
        let drawing = if self.stated {
            let title = format!("{}, as stated", compiled.name());
            Drawing::of_graph(&title, compiled.stated_graph(), &compiled.result_names())?
        } else {
            // Kernels are known once devices have planned.
            compiled.plan(&compiled.shapes(&dims, UNKNOWN_DIM)?);
            Drawing::of_compiled(compiled)?
        };
        print(&if self.svg { drawing.to_svg() } else { drawing.to_dot() })
    }
}

impl Fmt {
    pub fn execute(&self) -> Result<()> {
        let mut crooked = Vec::new();
        for path in &self.files {
            let source = read(path)?;
            let text = lang::format(&source)?;
            if text == source.text() {
                continue;
            }
            if self.check {
                crooked.push(path.display().to_string());
            } else {
                write_whole(path, &[text.as_bytes()])?;
            }
        }
        if crooked.is_empty() {
            return Ok(());
        }
        let message = format!("not laid out in the standard way: {}", crooked.join(", "));
        Err(Error::new(ErrorKind::Syntax, message).note("`arignote fmt` without --check mends them"))
    }
}
