//! A kernel of the cpu backend as a function of one op.

use arignote::config::{Config, Sources};
use arignote::prelude::*;
use criterion::{BenchmarkId, Criterion, Throughput};

/// Random inputs, the same ones in each run.
pub struct Random(fastrand::Rng);

/// Where results are computed: one thread, unless `ARIGNOTE_FLAGS` says otherwise. Files that configure `arignote` do not
/// count.
///
/// # Errors
/// If the flags are wrong.
pub fn session() -> Result<Session> {
    let flags = std::env::var("ARIGNOTE_FLAGS").unwrap_or_else(|_| "device=cpu,backend.cpu.threads=1".to_owned());
    arignote::session_with(Config::load_from(&Sources { flags: Some(flags), ..Sources::default() })?)
}

impl Default for Random {
    fn default() -> Random {
        Random(fastrand::Rng::with_seed(1))
    }
}

impl Random {
    /// Numbers from -1 to 1.
    ///
    /// # Errors
    /// If there is no such tensor.
    pub fn tensor(&mut self, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let elements = (0..shape.iter().product()).map(|_| 2.0 * self.0.f64() - 1.0).collect::<Vec<f64>>();
        Ok(Tensor::from_vec(elements, shape)?.cast(dtype))
    }

    /// Whole numbers from 0 to `limit`, exclusive.
    pub fn below(&mut self, limit: i64, count: usize) -> Tensor {
        Tensor::vector((0..count).map(|_| self.0.i64(0..limit)).collect::<Vec<i64>>())
    }
}

/// What a benchmark is called and counts.
pub struct Name {
    /// The kernel.
    pub kernel: &'static str,
    /// The variant: a dtype, an axis, sizes.
    pub variant: String,
    /// What is counted in a second.
    pub work: Throughput,
}

/// Times calls of a function of these arguments. It is compiled and called once before; results are dropped in the time
/// measured, so that their memory is used again as in a program that runs on.
///
/// # Errors
/// If it does not compile.
pub fn time(criterion: &mut Criterion, session: &Session, name: Name, arguments: &[Tensor], build: impl Fn(&[Var]) -> Var) -> Result<()> {
    let inputs: Vec<Var> = arguments.iter().enumerate().map(|(at, value)| Var::input(&format!("x{at}"), value.ty())).collect();
    let builder = inputs.iter().fold(FunctionBuilder::new(name.kernel), |builder, input| builder.input(input));
    let function = builder.output(&build(&inputs)).build(session)?;
    function.call(arguments)?;
    let mut group = criterion.benchmark_group(name.kernel);
    group.throughput(name.work);
    group.bench_function(BenchmarkId::from_parameter(name.variant), |bencher| bencher.iter(|| function.call(arguments)));
    group.finish();
    Ok(())
}
