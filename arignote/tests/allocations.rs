//! A call whose shapes were seen before allocates nothing that grows with the data: its outputs lie in memory
//! that dropped results gave back; and how much memory the gradient of a loop takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arignote::config::Config;
use arignote::ops::control::Scan;
use arignote::prelude::*;

/// From here on an allocation is large: only elements of tensors are, not lists of values.
const LARGE: usize = 4096;

/// Small allocations that a call may make for each op of its program, and besides: descriptors that
/// cross the plugin boundary, lists of operands.
const SMALL_PER_OP: usize = 8;
const SMALL: usize = 80;

struct Counting;

static ACTIVE: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static SIZES: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
static LARGE_COUNT: AtomicUsize = AtomicUsize::new(0);

/// What is allocated now, and the most that was.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(bytes: usize) {
    PEAK.fetch_max(LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

fn count(bytes: usize) {
    if !ACTIVE.load(Ordering::Relaxed) {
        return;
    }
    if bytes < LARGE {
        COUNT.fetch_add(1, Ordering::Relaxed);
    } else if let Some(size) = SIZES.get(LARGE_COUNT.fetch_add(1, Ordering::Relaxed)) {
        size.store(bytes, Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator does the work; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        grown(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        grown(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        grown(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Held by the test that measures.
static ALONE: Mutex<()> = Mutex::new(());

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls a function until its plans, pools and threads are warm: the results of the next call, the sizes of what that
/// allocates of large memory, and how many small ones.
fn counted(f: &Function, arguments: &[Tensor]) -> (Vec<Tensor>, Vec<usize>, usize) {
    for _ in 0..20 {
        f.call(arguments).unwrap();
    }
    COUNT.store(0, Ordering::Relaxed);
    LARGE_COUNT.store(0, Ordering::Relaxed);
    ACTIVE.store(true, Ordering::SeqCst);
    let results = f.call(arguments);
    ACTIVE.store(false, Ordering::SeqCst);
    let found = LARGE_COUNT.load(Ordering::Relaxed);
    let sizes = SIZES.iter().take(found).map(|size| size.load(Ordering::Relaxed)).collect();
    (results.unwrap(), sizes, COUNT.load(Ordering::Relaxed))
}

fn check(what: &str, f: &Function, arguments: &[Tensor]) {
    let (results, sizes, small) = counted(f, arguments);
    let large = results.iter().filter(|result| result.byte_len() >= LARGE).count();
    let ops = f.compiled().nodes().len();
    println!("{what}: large {sizes:?}, {small} small ones for {ops} ops");
    assert!(large > 0, "{what}: no output is large enough to be seen");
    assert!(sizes.is_empty(), "{what}: large allocations of {sizes:?} bytes");
    assert!(small <= SMALL + SMALL_PER_OP * ops, "{what}: {small} small allocations for {ops} ops");
}

fn filled(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor::from_vec((0..count).map(|at| (at % 17) as f64 * 0.01 - 0.05).collect(), shape).unwrap()
}

fn on_cpu() -> Session {
    let config = Config::default().with("device", "cpu").unwrap().with("fallback", Vec::<String>::new()).unwrap();
    arignote::session_with(config).unwrap()
}

fn input(name: &str, dims: &[&str]) -> Var {
    Var::input(name, Type::new(DType::F64, dims.iter().map(|&dim| Dim::from(dim))))
}

#[test]
fn a_second_call_allocates_nothing_large() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let session = on_cpu();

    let (x, row) = (input("x", &["n", "m"]), input("row", &["m"]));
    let y = ((&x + &row).tanh() * 2.0 + x.square()).exp();
    let f = FunctionBuilder::new("elementwise").input(&x).input(&row).output(&y).output(&y.log1p());
    let f = f.build(&session).unwrap();
    check("elementwise", &f, &[filled(&[300, 500]), filled(&[500])]);
    check("elementwise, another shape", &f, &[filled(&[100, 90]), filled(&[90])]);

    let many = [x.sum(Some(0)), x.max(Some(1)), x.mean(Some(0)), x.prod(Some(1)), x.argmax(Some(1)), x.logsumexp(Some(0))];
    let f = many.iter().fold(FunctionBuilder::new("reductions").input(&x), |f, value| f.output(value));
    check("reductions", &f.build(&session).unwrap(), &[filled(&[600, 700])]);

    let moved = [x.t(), x.slice(0, Some(1), None), x.flip(1), x.reshape(&[-1]), x.softmax_rows()];
    let f = moved.iter().fold(FunctionBuilder::new("moves").input(&x), |f, value| f.output(value));
    check("moves", &f.build(&session).unwrap(), &[filled(&[60, 70])]);

    let [image, w] = ["image", "w"].map(|name| input(name, &["?", "?", "?", "?"]));
    let maps = Var::apply("conv2d", &[image.clone(), w.clone()], arignote::ops::Attributes::new());
    let gradients = grad(&maps.square().sum(None), &[&image, &w]);
    let f = gradients.iter().fold(FunctionBuilder::new("convolutions").input(&image).input(&w).output(&maps), |f, value| f.output(value));
    check("convolutions", &f.build(&session).unwrap(), &[filled(&[20, 3, 30, 30]), filled(&[8, 3, 5, 5])]);

    let [a, b] = ["a", "b"].map(|name| Var::input(name, Type::new(DType::F16, ["n".into(), "n".into()])));
    let f = FunctionBuilder::new("halves").input(&a).input(&b).output(&a.matmul(&b)).output(&a.matmul(&b.slice(1, Some(0), Some(1))));
    check("halves", &f.build(&session).unwrap(), &[filled(&[100, 100]).cast(DType::F16), filled(&[100, 100]).cast(DType::F16)]);

    // A step of training: two layers, gradients, four states.
    let labels = Var::input("labels", Type::new(DType::I64, ["n".into()]));
    let shapes: [&[usize]; 4] = [&[50, 80], &[80], &[80, 20], &[20]];
    let names = ["w1", "b1", "w2", "b2"];
    let states: Vec<State> = names.iter().zip(shapes).map(|(name, shape)| State::new(name, filled(shape))).collect();
    let values: Vec<Var> = states.iter().map(Var::state).collect();
    let batch = input("x", &["n", "50"]);
    let hidden = (batch.matmul(&values[0]) + &values[1]).tanh();
    let logits = hidden.matmul(&values[2]) + &values[3];
    let loss = logits.cross_entropy(&labels).mean(None);
    let gradients = grad(&loss, &values.iter().collect::<Vec<_>>());
    let mut f = FunctionBuilder::new("training").input(&batch).input(&labels).output(&loss).output(&logits);
    for ((state, value), gradient) in states.iter().zip(&values).zip(&gradients) {
        f = f.update(state, &(value - 0.1 * gradient));
    }
    let labels = Tensor::vector((0..64).map(|at| at % 20).collect::<Vec<i64>>());
    check("training", &f.build(&session).unwrap(), &[filled(&[64, 50]), labels]);
}

#[test]
fn a_loop_allocates_nothing_per_step() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let session = on_cpu();
    let (x, wx, wh) = (input("x", &["t", "b", "k"]), input("wx", &["k", "n"]), input("wh", &["n", "n"]));
    for batch in [1, 20] {
        let run = Scan::new().sequence("x", &x).state("h", &arignote::ops::create::zeros(&[batch, 30], DType::F64)).run(|step| {
            step.set("h", &(step.get("x").matmul(&wx) + step.get("h").matmul(&wh)).tanh());
        });
        let slope = grad(&run.last("h").sum(None), &[&wh]).remove(0);
        let f = FunctionBuilder::new("loop").input(&x).input(&wx).input(&wh).output(&slope).output(&run.last("h"));
        let f = f.build(&session).unwrap();
        let counts = [10, 100].map(|steps| {
            let (_, large, small) = counted(&f, &[filled(&[steps, batch, 40]), filled(&[40, 30]), filled(&[30, 30])]);
            assert!(large.is_empty(), "{steps} steps of a batch of {batch}: large allocations of {large:?} bytes");
            small
        });
        assert_eq!(counts[0], counts[1], "small allocations of 10 steps and of 100, batch of {batch}");
    }
}

/// The first result of a call, and the most memory that it takes beside what was there before.
fn peak(f: &Function, arguments: &[Tensor]) -> (Vec<f64>, usize) {
    let before = LIVE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let results = f.call(arguments).unwrap();
    (results[0].to_f64_vec(), PEAK.load(Ordering::SeqCst) - before)
}

#[test]
fn checkpoints_take_less_memory() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // The table of docs/numerics.md: `--nocapture` shows it.
    const STEPS: usize = 144;
    const STATE: usize = 256;
    let config = Config::default().with("device", "reference").unwrap().with("fallback", Vec::<String>::new()).unwrap();
    let session = arignote::session_with(config).unwrap();
    let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
    let w = Var::input("w", Type::new(DType::F64, [STATE.into()]));
    let arguments = [filled(&[STEPS]), filled(&[STATE])];
    let measured = |what: &str, scan: Scan| {
        let run = scan.sequence("x", &x).state("h", &w).run(|step| {
            step.set("h", &(step.get("h") * &w + step.get("x")).tanh());
        });
        let slope = grad(&run.last("h").sum(None), &[&w]).remove(0);
        let f = FunctionBuilder::new("f").input(&x).input(&w).output(&slope).build(&session).unwrap();
        let (slope, bytes) = peak(&f, &arguments);
        let states = bytes as f64 / (8 * STATE) as f64;
        println!("| {what} | {states:.0} |");
        (slope, states)
    };
    let (expected, all) = measured("all", Scan::new());
    let mut least = f64::INFINITY;
    let mut root = f64::INFINITY;
    for every in [1, 4, 12, 36, 144] {
        let (found, states) = measured(&format!("`checkpoint = {every}`"), Scan::new().checkpoint_every(every));
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-13 * b.abs().max(1.0);
        assert!(found.iter().zip(&expected).all(close), "checkpoints every {every} steps change the gradient");
        least = least.min(states);
        if every == 12 {
            root = states;
        }
    }
    assert!(root <= least && root < all / 4.0, "{root} states every 12 steps, {least} at least, {all} for all");
    let (_, truncated) = measured("`truncate = 12`", Scan::new().truncate(12));
    assert!(truncated < all / 4.0, "{truncated} states for the last 12 steps, {all} for all");
}

trait Rows {
    fn softmax_rows(&self) -> Var;
}

impl Rows for Var {
    fn softmax_rows(&self) -> Var {
        Var::apply("softmax", std::slice::from_ref(self), arignote::ops::Attributes::new().with("axis", 1i64))
    }
}

/// One step of training of a recurrent network: a layer of tanh units, or of LSTM cells.
fn recurrent(lstm: bool) -> String {
    let step = "    wx <- wx - 0.1 * dwx\n    wh <- wh - 0.1 * dwh\n    b <- b - 0.1 * db\n    wy <- wy - 0.1 * dwy\n    by <- by - 0.1 * dby\n    return loss\n}";
    let states = |rows: usize, hidden: usize, width: usize, classes: usize| format!(
        "    state wx: f32[{rows}, {width}] = 0.2 * (uniform(u64([0, 1]), {rows}, {width}, dtype=f32) - 0.5)
    state wh: f32[{hidden}, {width}] = 0.2 * (uniform(u64([0, 2]), {hidden}, {width}, dtype=f32) - 0.5)
    state b: f32[{width}] = zeros({width})
    state wy: f32[{hidden}, {classes}] = 0.2 * (uniform(u64([0, 3]), {hidden}, {classes}, dtype=f32) - 0.5)
    state by: f32[{classes}] = zeros({classes})\n"
    );
    if lstm {
        format!(
            "fn lstm(x: f32[50, 16, 64], y: i64[16]) {{\n{}    h, c = scan (x_t in x) {{
        state h: f32[16, 128] = zeros(16, 128)
        state c: f32[16, 128] = zeros(16, 128)
        gates = x_t @ wx + h @ wh + b
        c1 = sigmoid(gates[:, 128:256]) * c + sigmoid(gates[:, :128]) * tanh(gates[:, 256:384])
        h <- sigmoid(gates[:, 384:]) * tanh(c1)
        c <- c1
    }}
    loss = mean(cross_entropy(h @ wy + by, y))
    dwx, dwh, db, dwy, dby = grad(loss, wx, wh, b, wy, by)\n{step}",
            states(64, 128, 512, 10)
        )
    } else {
        format!(
            "fn rnn(x: f32[100, 1, 50], y: i64[100]) {{\n{}    logits = scan (x_t in x) {{
        state h: f32[1, 100] = zeros(1, 100)
        h1 = tanh(x_t @ wx + h @ wh + b)
        h <- h1
        yield (h1 @ wy + by)[0]
    }}
    loss = mean(cross_entropy(logits, y))
    dwx, dwh, db, dwy, dby = grad(loss, wx, wh, b, wy, by)\n{step}",
            states(50, 100, 100, 50)
        )
    }
}

/// How many ops one step of each loop applies.
fn ops_per_step(f: &Function) -> Vec<usize> {
    let graph = f.compiled().graph();
    let scans = graph.topological_order().into_iter().filter(|&id| graph.node(id).op_name() == "scan");
    scans
        .map(|id| {
            let (_, attributes) = graph.node(id).apply().unwrap();
            let body = attributes.bodies().next().unwrap().1.graph().unwrap();
            body.topological_order().into_iter().filter(|&id| body.node(id).apply().is_some()).count()
        })
        .collect()
}

#[test]
fn recurrent_networks_do_little_in_their_loops() {
    const LOOP_PASSES: [&str; 13] = [
        "prune_bodies", "scan_last", "scan_same", "scan_first", "scan_fold", "scan_unroll", "scan_hoist", "scan_factor", "scan_reverse", "scan_accumulate",
        "scan_after", "scan_batch", "scan_merge",
    ];
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // The table of docs/loops.md: `--nocapture` shows it.
    for (name, lstm, classes) in [("rnn_scan", false, 50), ("lstm_scan", true, 10)] {
        let mut losses = Vec::new();
        let mut counts = Vec::new();
        // Without any pass, with all, and without each by itself.
        let without = [&["scan"][..], &[]].into_iter().chain(LOOP_PASSES.iter().map(std::slice::from_ref));
        for exclude in without.map(|names| names.iter().map(|&name| name.to_owned()).collect::<Vec<String>>()) {
            let built = || {
                let config = Config::default().with("device", "cpu").unwrap().with("fallback", Vec::<String>::new()).unwrap();
                let session = arignote::session_with(config.with("rewrite.exclude", exclude.clone()).unwrap()).unwrap();
                let graph = arignote::lang::load(arignote::lang::Source::new(name, recurrent(lstm))).unwrap().function(None).unwrap();
                FunctionBuilder::from_graph(graph).build(&session).unwrap()
            };
            let (shape, labels): (&[usize], i64) = if lstm { (&[50, 16, 64], 16) } else { (&[100, 1, 50], 100) };
            let x = filled(shape).cast(DType::F32);
            let y = Tensor::vector((0..labels).map(|at| at % classes).collect::<Vec<i64>>());
            // Threads reserve room for products when they first compute one.
            built().call(&[x.clone(), y.clone()]).unwrap();
            let f = built();
            let (_, bytes) = peak(&f, &[x.clone(), y.clone()]);
            let mut seconds = f64::INFINITY;
            for _ in 0..20 {
                let began = std::time::Instant::now();
                losses.push(f.call(&[x.clone(), y.clone()]).unwrap()[0].to_f64_vec()[0]);
                seconds = seconds.min(began.elapsed().as_secs_f64());
            }
            let ops = ops_per_step(&f);
            let passes = exclude.first().map_or("all".to_owned(), |name| format!("without `{name}`"));
            println!("| `{name}` | {passes} | {ops:?} | {:.2} | {:.0} |", bytes as f64 / 1e6, seconds * 1e6);
            counts.push(ops.iter().sum::<usize>());
        }
        let (plain, rewritten) = losses.split_at(20);
        for (at, b) in rewritten.iter().enumerate() {
            let a = plain[at % 20];
            assert!((a - b).abs() <= 1e-4 * a.abs(), "{name}: losses {a} and {b}");
        }
        assert!(plain[19] < plain[0], "{name} does not learn: {plain:?}");
        assert!(3 * counts[1] < 2 * counts[0], "{name}: {counts:?} ops in a step");
    }
}

/// What `explain --memory` says that a program takes beside arguments and results: not much more, and no less.
#[test]
fn a_call_takes_what_is_planned() {
    /// Plans, descriptors, and buffers of a few lines that any kernel may take.
    const SMALL: usize = 96 << 10;
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let config = Config::default().with("device", "cpu").unwrap().with("fallback", Vec::<String>::new()).unwrap();
    let session = arignote::session_with(config.with("backend.cpu.threads", 1).unwrap()).unwrap();
    let build = |text: &str| {
        let file = arignote::lang::parse(arignote::lang::Source::new("planned.arig", format!("fn {text}\n"))).unwrap();
        Function::compile(&session, arignote::lang::lower(&file, None).unwrap()).unwrap()
    };
    let products = ["f32", "f64"].map(|dtype| build(&format!("f(x: {dtype}[n, n]) {{\nreturn x @ x\n}}")));
    for (text, shapes) in [
        ("f(x: f64[300, 500], y: f64[500]) {\nreturn exp(tanh(x + y)) - sum(x * y, axis=1, keepdims=true)\n}", &[&[300, 500][..], &[500]][..]),
        ("f(x: f64[2000, 300]) {\nreturn sum(x, axis=0), max(x * x, axis=0)\n}", &[&[2000, 300]]),
        ("f(x: f64[3, 100000]) {\nreturn sum(x, axis=1), mean(x * x)\n}", &[&[3, 100_000]]),
        ("f(x: f32[700, 400]) {\nreturn transpose(x) @ x\n}", &[&[700, 400]]),
        ("f(x: f32[700, 400], y: f32[400, 9]) {\nreturn x @ y\n}", &[&[700, 400], &[400, 9]]),
        ("f(x: f64[200, 300], y: f64[300, 40]) {\nreturn x @ y[:, 7]\n}", &[&[200, 300], &[300, 40]]),
        ("f(x: f16[200, 300], y: f16[300, 100]) {\nreturn x @ y\n}", &[&[200, 300], &[300, 100]]),
        ("f(x: f32[4, 3, 30, 30], w: f32[8, 3, 5, 5]) {\ny = conv2d(x, w)\ndx, dw = grad(sum(y * y), x, w)\nreturn y, dx, dw\n}", &[&[4, 3, 30, 30], &[8, 3, 5, 5]]),
        ("f(x: f64[600, 700]) {\nreturn softmax(x * 2, axis=1) + x, logsumexp(x, axis=0), prod(x, axis=0)\n}", &[&[600, 700]]),
        ("f(t: f32[4000, 64], i: i64[2000], v: f32[2000, 64]) {\nreturn add_at(t[i], v * 2)\n}", &[&[4000, 64], &[2000], &[2000, 64]]),
        ("f(x: f32[20, 30, 50], w: f32[50, 50]) {\nreturn scan (x_t in x, final = true) {\nstate h: f32[30, 50] = x[0]\nh <- tanh(x_t + h @ w)\n}\n}", &[&[20, 30, 50], &[50, 50]]),
    ] {
        let f = build(text);
        let arguments: Vec<Tensor> = shapes.iter().zip(&f.graph().inputs).map(|(shape, input)| filled(shape).cast(input.ty().unwrap().dtype)).collect();
        let plans = f.compiled().plan(&f.compiled().shapes(&[], 1).unwrap());
        let planned: usize = plans.iter().map(|plan| plan.workspace.unwrap() as usize).sum();
        // On a thread of its own, whose buffers are not there yet, but for those into which `faer` packs.
        let taken = std::thread::scope(|scope| scope.spawn(|| {
            for product in &products { product.call(&[filled(&[30, 30]).cast(product.graph().inputs[0].ty().unwrap().dtype)]).unwrap(); }
            let before = LIVE.load(Ordering::Relaxed);
            let results = f.call(&arguments).unwrap();
            LIVE.load(Ordering::Relaxed) - before - results.iter().map(Tensor::byte_len).sum::<usize>()
        }).join().unwrap());
        println!("{taken} of {planned} bytes: {text}");
        assert!(taken <= planned + SMALL, "{taken} bytes, {planned} planned: {text}\n{}", plans[0].layout.as_deref().unwrap());
        assert!(planned <= 2 * taken + SMALL, "{taken} bytes, {planned} planned: {text}\n{}", plans[0].layout.as_deref().unwrap());
    }
}
