//! Times fused kernels: how long one takes to make, and nanoseconds for an element on one thread, least of several.
//!
//!     cargo run --release -p arignote-backend-cpu --example kernels

use std::hint::black_box;
use std::time::Instant;

use arignote_backend_cpu::kernel::lower::{Lowering, Register};
use arignote_backend_cpu::kernel::compiled::{Cache, Codegen};
use arignote_backend_cpu::kernel::run::Region;
use arignote_backend_cpu::kernels::Context;
use arignote_backend_cpu::kernels::elementwise::{Operation, lookup};
use arignote_core::ops::Attributes;
use arignote_core::plugin::{Host, HostKernel, LogLevel};
use arignote_core::tensor::{DType, Type};

struct Alone;
impl Host for Alone {
    fn log(&self, _: LogLevel, _: &str) {}
    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(body);
    }
    fn threads(&self) -> usize {
        1
    }
    fn kernel(&self, _: &str) -> Option<std::sync::Arc<dyn HostKernel>> {
        None
    }
}

fn operation(name: &str) -> Operation {
    lookup(name, &Attributes::new()).expect("an elementwise op")
}

fn apply(lowering: &mut Lowering, name: &str, operands: &[Register], dtype: DType) -> Register {
    let types: Vec<Type> = operands.iter().map(|_| Type::scalar(dtype)).collect();
    lowering.apply(operation(name), operands, &types, dtype).expect("as many operands as the op takes")
}

fn number(lowering: &mut Lowering, dtype: DType, value: f64) -> Register {
    match dtype {
        DType::F64 => lowering.constant(dtype, &value.to_le_bytes()),
        _ => lowering.constant(dtype, &(value as f32).to_le_bytes()),
    }
}

/// Seconds that this thread has computed; where the system does not say, seconds of a clock.
fn seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds: Option<f64> = text.split(' ').next().and_then(|number| number.parse().ok());
    nanoseconds.map_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64()), |n| n * 1e-9)
}

type Build = fn(&mut Lowering, &[Register], DType) -> Register;

fn long(b: &mut Lowering, x: &[Register], dtype: DType) -> Register {
    let (mut value, names) = (x[0], ["add", "mul", "div", "maximum", "abs", "add", "mul", "maximum"]);
    for step in 0..40 {
        let name = names[step % names.len()];
        value = if name == "abs" { apply(b, name, &[value], dtype) } else { apply(b, name, &[value, x[(step + 1) % 4]], dtype) };
    }
    value
}

fn sigmoid(b: &mut Lowering, x: &[Register], dtype: DType) -> Register {
    let product = apply(b, "mul", &[x[0], x[1]], dtype);
    let sum = apply(b, "add", &[product, x[2]], dtype);
    apply(b, "sigmoid", &[sum], dtype)
}

fn plus_one(b: &mut Lowering, x: &[Register], dtype: DType) -> Register {
    let one = number(b, dtype, 1.0);
    apply(b, "add", &[x[0], one], dtype)
}

fn power(b: &mut Lowering, x: &[Register], dtype: DType) -> Register {
    let (two, ten) = (number(b, dtype, 2.0), number(b, dtype, 10.0));
    let (product, power) = (apply(b, "mul", &[two, x[0]], dtype), apply(b, "pow", &[x[1], ten], dtype));
    apply(b, "add", &[product, power], dtype)
}

macro_rules! of_one { ($($function:ident $name:literal;)*) => { $(
    fn $function(b: &mut Lowering, x: &[Register], dtype: DType) -> Register { apply(b, $name, &[x[0]], dtype) }
)* } }
of_one! { exp "exp"; log "log"; tanh "tanh"; sin "sin"; erf "erf"; }

fn main() {
    let cases: [(&str, DType, usize, Build); 11] = [
        ("40 ops", DType::F32, 4, long),
        ("sigmoid(a * b + c)", DType::F32, 3, sigmoid),
        ("a + 1", DType::F64, 1, plus_one),
        ("2 a + b ** 10", DType::F64, 2, power),
        ("exp", DType::F32, 1, exp),
        ("exp", DType::F64, 1, exp),
        ("log", DType::F32, 1, log),
        ("log", DType::F64, 1, log),
        ("tanh", DType::F32, 1, tanh),
        ("sin", DType::F64, 1, sin),
        ("erf", DType::F32, 1, erf),
    ];
    println!("{:24} {:5} {:9} {:>10} {:>10} {:>10} {:>10} {:>10}", "kernel", "dtype", "path", "make, us", "1e3, ns", "1e4", "1e5", "1e7");
    for (name, dtype, inputs, build) in cases {
        for codegen in [Codegen::Native, Codegen::Portable] {
            let cache = Cache::new(codegen);
            let context = Context { host: &Alone, threads: 1, cache: &cache };
            let mut line = String::new();
            let mut least = f64::MAX;
            for count in [1_000, 10_000, 100_000, 10_000_000usize] {
                let make = || {
                    let mut lowering = Lowering::default();
                    let registers: Vec<Register> = (0..inputs).map(|_| lowering.input(dtype)).collect();
                    let result = build(&mut lowering, &registers, dtype);
                    Region::new(lowering.finish(&[result]), &cache, &[count], &vec![None; inputs])
                };
                for _ in 0..20 {
                    let start = Instant::now();
                    black_box(make());
                    least = least.min(start.elapsed().as_secs_f64() * 1e6);
                }
                let region = make();
                let mut buffers: Vec<Vec<u64>> = (0..=inputs).map(|input| {
                    (0..count).map(|at| {
                        let value = 0.1 + ((at * (7 + input)) % 97) as f64 / 50.0;
                        if dtype == DType::F64 { value.to_bits() } else { u64::from((value as f32).to_bits()) * 0x1_0000_0001 }
                    }).collect()
                }).collect();
                let arrays: Vec<*mut u8> = buffers.iter_mut().map(|buffer| buffer.as_mut_ptr().cast()).collect();
                let turns = (40_000_000 / count).max(1) / if codegen == Codegen::Portable { 20 } else { 1 } + 1;
                let mut best = f64::MAX;
                for _ in 0..5 {
                    let start = seconds();
                    for _ in 0..turns {
                        // SAFETY: every buffer has room for `count` elements, and they are apart.
                        unsafe { region.run(&context, &arrays) };
                    }
                    best = best.min((seconds() - start) * 1e9 / (turns * count) as f64);
                    if codegen == Codegen::Portable && count > 100_000 { break; }
                }
                line += &format!(" {best:>10.3}");
            }
            println!("{name:24} {:5} {:9} {least:>10.1}{line}", dtype.to_string(), format!("{codegen:?}"));
        }
    }
}
