//! Times the kernels of the cpu backend, each as a function of one op. A call's own cost is a part of each figure: about
//! that of `fused/f32/1000`.

use arignote::prelude::*;
use arignote_kernels::{Name, Random, session, time};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    if let Err(error) = all(&mut criterion) {
        eprintln!("kernels: {error}");
        std::process::exit(1);
    }
    criterion.final_summary();
}

fn all(criterion: &mut Criterion) -> Result<()> {
    let session = session()?;
    elementwise(criterion, &session)?;
    reductions(criterion, &session)?;
    products(criterion, &session)?;
    places(criterion, &session)?;
    nets(criterion, &session)
}

const FLOATS: [DType; 2] = [DType::F32, DType::F64];

fn name(kernel: &'static str, variant: impl Into<String>, work: Throughput) -> Name {
    Name { kernel, variant: variant.into(), work }
}

fn elementwise(criterion: &mut Criterion, session: &Session) -> Result<()> {
    let mut random = Random::default();
    for dtype in FLOATS {
        for count in [1_000, 100_000, 4_000_000] {
            let [a, b, c] = [random.tensor(dtype, &[count])?, random.tensor(dtype, &[count])?, random.tensor(dtype, &[count])?];
            let name = name("fused", format!("{dtype}/{count}"), Throughput::Elements(count as u64));
            time(criterion, session, name, &[a, b, c], |x| (&x[0] * &x[1] + &x[2]).abs().maximum(&x[0]))?;
        }
        let x = random.tensor(dtype, &[100_000])?;
        let work = Throughput::Elements(100_000);
        time(criterion, session, name("exp", dtype.to_string(), work.clone()), std::slice::from_ref(&x), |x| x[0].exp())?;
        time(criterion, session, name("tanh", dtype.to_string(), work), &[x], |x| x[0].tanh())?;
    }
    Ok(())
}

fn reductions(criterion: &mut Criterion, session: &Session) -> Result<()> {
    let mut random = Random::default();
    let x = random.tensor(DType::F32, &[2048, 2048])?;
    for (variant, axis) in [("all", None), ("axis0", Some(0)), ("axis1", Some(1))] {
        let work = Throughput::Elements(2048 * 2048);
        time(criterion, session, name("sum", variant, work.clone()), std::slice::from_ref(&x), |x| x[0].sum(axis))?;
        time(criterion, session, name("max", variant, work), std::slice::from_ref(&x), |x| x[0].max(axis))?;
    }
    let rows = random.tensor(DType::F32, &[1024, 1000])?;
    time(criterion, session, name("softmax", "rows", Throughput::Elements(1_024_000)), &[rows], |x| x[0].softmax(-1))
}

fn products(criterion: &mut Criterion, session: &Session) -> Result<()> {
    let mut random = Random::default();
    // Rows, inner length, columns: square ones, the narrow one of a classifier, and a vector.
    let sizes = [(DType::F32, 64, 64, 64), (DType::F32, 256, 256, 256), (DType::F32, 1024, 1024, 1024), (DType::F64, 256, 256, 256)];
    for (dtype, m, k, n) in sizes.into_iter().chain([(DType::F32, 600, 784, 10), (DType::F32, 2048, 2048, 1)]) {
        let [a, b] = [random.tensor(dtype, &[m, k])?, random.tensor(dtype, &[k, n])?];
        let name = name("matmul", format!("{dtype}/{m}x{k}x{n}"), Throughput::Elements((m * k * n) as u64));
        time(criterion, session, name, &[a, b], |x| x[0].matmul(&x[1]))?;
    }
    // By a constant, which is packed once.
    let (a, b) = (random.tensor(DType::F32, &[32, 512])?, Var::constant(random.tensor(DType::F32, &[512, 512])?));
    let name = name("matmul", "f32/32x512x512/constant", Throughput::Elements(32 * 512 * 512));
    time(criterion, session, name, &[a], |x| x[0].matmul(&b))
}

fn places(criterion: &mut Criterion, session: &Session) -> Result<()> {
    let mut random = Random::default();
    let x = random.tensor(DType::F32, &[2048, 2048])?;
    time(criterion, session, name("copy", "transposed", Throughput::Bytes(4 * 2048 * 2048)), &[x], |x| x[0].t())?;
    let (table, rows) = (random.tensor(DType::F32, &[50_000, 64])?, random.below(50_000, 4096));
    let added = random.tensor(DType::F32, &[4096, 64])?;
    let work = Throughput::Elements(4096 * 64);
    time(criterion, session, name("gather", "rows", work.clone()), &[table, rows.clone()], |x| x[0].take(&x[1], 0))?;
    // What the gradient of a gather is: into zeros, since a copy of a table would be most of the time.
    let index = Attributes::new().with("index", vec![IndexItem::Operand(0)]);
    time(criterion, session, name("scatter_add", "rows", work), &[added, rows], |x| {
        Var::apply("add_at", &[zeros(&[50_000, 64], DType::F32), x[0].clone(), x[1].clone()], index.clone())
    })
}

fn nets(criterion: &mut Criterion, session: &Session) -> Result<()> {
    let mut random = Random::default();
    let (x, w) = (random.tensor(DType::F32, &[64, 20, 12, 12])?, random.tensor(DType::F32, &[50, 20, 5, 5])?);
    let g = random.tensor(DType::F32, &[64, 50, 8, 8])?;
    let work = Throughput::Elements(64 * 50 * 8 * 8 * 20 * 5 * 5);
    let variants = [("forward", "conv2d"), ("input_gradient", "conv2d_input_gradient"), ("weight_gradient", "conv2d_weight_gradient")];
    for (variant, op) in variants {
        let all = [x.clone(), w.clone(), g.clone()];
        let arguments = if op == "conv2d" { &all[..2] } else { &all[..] };
        time(criterion, session, name("conv2d", variant, work.clone()), arguments, |x| Var::apply(op, x, Attributes::new()))?;
    }
    let window = Attributes::new().with("window", vec![2i64, 2]);
    let x = random.tensor(DType::F32, &[64, 20, 24, 24])?;
    let work = Throughput::Elements(64 * 20 * 24 * 24);
    for op in ["max_pool2d", "avg_pool2d"] {
        let pooled = |x: &[Var]| Var::apply(op, x, window.clone());
        time(criterion, session, name(op, "forward", work.clone()), std::slice::from_ref(&x), pooled)?;
        let gradient = |x: &[Var]| grad(&pooled(x).square().sum(None), &[&x[0]]).remove(0);
        time(criterion, session, name(op, "with_gradient", work.clone()), std::slice::from_ref(&x), gradient)?;
    }
    Ok(())
}
