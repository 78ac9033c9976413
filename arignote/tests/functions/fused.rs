//! What the cpu backend makes one of: the step of a loop with the loop, and steps over the same rows. Both against the
//! reference and against the portable path, with any number of threads.

use arignote::config::Config;
use arignote::lang;
use arignote::prelude::*;

use super::session;

pub(super) fn cpu(threads: i64, codegen: &str) -> Session {
    let config = Config::default().with("device", "cpu").unwrap().with("fallback", vec!["reference".to_owned()]).unwrap();
    let config = config.with("backend.cpu.threads", threads).unwrap().with("backend.cpu.codegen", codegen.to_owned()).unwrap();
    arignote::session_with(config).unwrap()
}

pub(super) fn build(session: &Session, text: &str) -> Function {
    let file = lang::parse(lang::Source::new("fused.arig", text.to_owned())).unwrap();
    let lowered = lang::lower(&file, None).unwrap();
    Function::compile(session, lowered).unwrap()
}

/// Numbers between -1 and 1 that are not round.
pub(super) fn numbers(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let mut random = fastrand::Rng::with_seed(seed);
    let elements: Vec<f64> = (0..shape.iter().product()).map(|_| random.f64() * 2.0 - 1.0).collect();
    let scale = if dtype.is_float() { 1.0 } else { 100.0 };
    Tensor::from_vec(elements.iter().map(|x| x * scale).collect::<Vec<f64>>(), shape).unwrap().cast(dtype)
}

/// Results of the cpu, of machine code and portably with one and two threads, are the same bits, and near those of the
/// reference: of sums of `count` numbers.
#[track_caller]
pub(super) fn agree(text: &str, arguments: &[Tensor], bits: bool) {
    let expected = build(&session("reference"), text).call(arguments).unwrap();
    let found = build(&cpu(1, "native"), text).call(arguments).unwrap();
    let again = build(&cpu(2, "native"), text).call(arguments).unwrap();
    let portable = build(&cpu(1, "portable"), text).call(arguments).unwrap();
    for (number, expected) in expected.iter().enumerate() {
        assert!(found[number].identical(&again[number]), "result {number} depends on threads\n{text}");
        assert!(!bits || found[number].identical(&portable[number]), "result {number} depends on the code\n{text}");
        let close = if expected.dtype() == DType::F32 { 2e-5 } else { 1e-11 };
        for (at, (found, expected)) in found[number].to_f64_vec().iter().zip(expected.to_f64_vec()).enumerate() {
            let near = (found - expected).abs() <= close * expected.abs().max(1.0);
            assert!(near, "result {number}, element {at}: {found} instead of {expected}\n{text}");
        }
    }
}

#[test]
fn loops_of_small_steps() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64] {
        for length in [1, 2, 4, 7, 19] {
            for steps in [0, 1, 2, 3, 4, 5, 6, 40] {
                let x = |seed: u64| numbers(dtype, &[steps, length], seed);
                let start = |seed: u64| numbers(dtype, &[length], seed);
                let half = if dtype.is_float() { "0.5" } else { "3" };
                let header = format!("fn f(x: {dtype}[m, n], a: {dtype}[n], b: {dtype}[n]) {{\n");
                // States that change places, one that only adds up, and rows of one of them.
                let text = format!(
                    "{header}p, q, s, rows = scan (x_t in x, final = true) {{\nstate p: {dtype}[n] = a\nstate q: {dtype}[n] = b\nstate s: {dtype}[n] = a * 0\n\
                     p <- q\nq <- p * {half} - x_t * b\ns <- s + q\nyield q + s\n}}\nreturn p, q, s, rows\n}}\n"
                );
                agree(&text, &[x(1), start(2), start(3)], true);
                // Backwards; the state is what is yielded.
                let text = format!(
                    "{header}rows = scan (x_t in x, reverse = true) {{\nstate p: {dtype}[n] = a\np <- p * x_t + b\nyield p\n}}\nreturn rows\n}}\n"
                );
                agree(&text, &[x(4), start(5), start(6)], true);
            }
        }
    }
    // States of types that stay in memory beside one that stays in a register, all of them written over.
    for narrow in ["i16", "u8", "f16", "bool"] {
        let text = format!(
            "fn f(x: f64[], z: {narrow}[]) {{\nreturn scan (steps = 21) {{\nstate a: f64[] = x\nstate k: {narrow}[] = z\n\
             next = a * 0.5 + 1\na <- next\nk <- cast(cast(k, i64) + cast(next > 1, i64), {narrow})\n}}\n}}\n"
        );
        agree(&text, &[Tensor::scalar(0.3), Tensor::scalar(0i64).cast(narrow.parse().unwrap())], true);
    }
    // One number, with what is constant, a condition, a function and numbers of other types.
    let text = "fn f(r: f64[], x: f64[], flags: bool[m], small: f32[m]) {\nlast, total, rows = scan (flag in flags, s in small, final = true) {\n\
                state h: f64[] = x\nstate total: f64[] = 0.0\nnext = where(flag, exp(-r) * h * (1 - h), h * 0.5 + s)\nh <- next\ntotal <- total + next\nyield next > 0.5\n}\n\
                return last, total, rows\n}\n";
    let flags = Tensor::vector((0..1000).map(|at| at % 3 != 1).collect::<Vec<bool>>());
    agree(text, &[Tensor::scalar(1.1), Tensor::scalar(0.3), flags, numbers(DType::F32, &[1000], 7)], false);
}

#[test]
fn a_loop_of_a_small_step_is_one_piece_of_code() {
    // As the loop below, bit for bit.
    let text = "fn f(r: f64[]) {\nreturn scan (steps = 2000000, final = true) {\nstate x: f64[] = 0.3\nx <- r * x * (1 - x)\n}\n}\n";
    let f = build(&cpu(1, "native"), text);
    let (mut x, r) = (0.3f64, 3.5);
    for _ in 0..2_000_000 {
        x = r * x * (1.0 - x);
    }
    assert_eq!(f.call(&[Tensor::scalar(r)]).unwrap()[0].item(), Some(x));
}

#[test]
fn steps_over_the_same_rows() {
    let sizes = [(700, 300), (5000, 33), (40, 5001), (16, 20000)];
    let programs = [
        "fn f(x: T[n, m]) {\nreturn var(x, axis=1), x - mean(x, axis=1, keepdims=true)\n}\n",
        "fn f(x: T[n, m]) {\nreturn softmax(x * 2, axis=-1) + x\n}\n",
        "fn f(x: T[n, m]) {\ny = softmax(x, axis=1)\nreturn y, grad(sum(y * y), x)\n}\n",
        "fn f(x: T[n, m]) {\ng = x[0]\nb = x[1]\ny = layer_norm(x, g, b)\nreturn y, grad(sum(y * y * x), x), grad(sum(y * x), g), grad(sum(y * x), b)\n}\n",
        // What is written is read by other rows too, so that it cannot be in the same tile.
        "fn f(x: T[n, m]) {\ny = x - mean(x, axis=1, keepdims=true)\nreturn exp(y) + y[::-1] * max(y, axis=0), sum(y * y, axis=1)\n}\n",
        "fn f(x: T[n, m]) {\ny = exp(x) / sum(exp(x), axis=1, keepdims=true)\nz = y / sum(y, axis=0)\nreturn y, z / sum(z, axis=1, keepdims=true)\n}\n",
    ];
    for dtype in [DType::F32, DType::F64] {
        for (number, (n, m)) in sizes.into_iter().enumerate() {
            for program in programs {
                agree(&program.replace('T', &dtype.to_string()), &[numbers(dtype, &[n, m], number as u64)], false);
            }
        }
    }
    // More axes than two, and rows that are fewer than elements of what they share.
    let text = "fn f(x: f32[a, b, n, m]) {\ny = softmax(x * 0.5, axis=-1)\nreturn y, sum(y * x, axis=-1), grad(sum(y * y * x), x)\n}\n";
    agree(text, &[numbers(DType::F32, &[4, 3, 64, 300], 9)], false);
}

#[test]
fn rows_from_memory_are_reduced_in_the_same_order() {
    let x = numbers(DType::F32, &[2100, 1031], 3);
    for body in ["return sum(x), max(x), sum(x * x)", "return sum(x, axis=1), max(x * 2, axis=1)", "return var(x, axis=1), mean(abs(x), axis=1)"] {
        let text = format!("fn f(x: f32[n, m]) {{\n{body}\n}}\n");
        let [native, portable] = [(2, "native"), (1, "portable")].map(|(threads, codegen)| {
            build(&cpu(threads, codegen), &text).call(std::slice::from_ref(&x)).unwrap().iter().map(Tensor::to_f64_vec).collect::<Vec<_>>()
        });
        assert!(native == portable, "{body}");
    }
}

/// The steps that a program of two matrices takes on the cpu backend.
fn steps(body: &str, n: usize, m: usize) -> Vec<String> {
    let f = build(&cpu(2, "native"), &format!("fn f(x: f32[n, m], y: f32[n, m]) {{\n{body}\n}}\n"));
    f.call(&[numbers(DType::F32, &[n, m], 1), numbers(DType::F32, &[n, m], 2)]).unwrap();
    f.compiled().debug_text().lines().filter(|line| line.starts_with("  step ")).map(String::from).collect()
}

#[test]
fn known_forms_are_one_kernel_or_two() {
    for (n, m) in [(64, 128), (1024, 1024)] {
        for body in [
            "return var(x, axis=1)",
            "return softmax(x * y, axis=1)",
            "return logsumexp(x * y, axis=1)",
            "return log(sum(exp(x), axis=1))",
            "return layer_norm(x, y[0], y[1])",
            "c = x - mean(x, axis=1, keepdims=true)\nreturn c / sqrt(mean(c * c, axis=1, keepdims=true) + 1e-5) * y[0] + y[1]",
        ] {
            let found = steps(body, n, m);
            assert!((1..=2).contains(&found.len()), "{n} x {m}: {body}\n{found:#?}");
        }
    }
}

#[test]
fn what_reads_the_same_is_one_region() {
    for (body, expected) in [
        ("return x + y, x * y", 1),
        ("a = exp(x)\nreturn a + y, a * y, y - x", 1),
        // One is needed before the other can be computed.
        ("return x + y, x * sum(x + y)", 3),
        // Of another shape.
        ("return x * 2, x[0] * 2", 2),
        ("return sum(x, axis=0), sum(x * y, axis=0), max(y, axis=0)", 1),
        ("return sum(x, axis=0), sum(x, axis=1)", 2),
        // What is read elsewhere than where it is written.
        ("a = x * y\nreturn transpose(a) @ x, x - y", 3),
    ] {
        let found = steps(body, 30, 40);
        assert_eq!(found.len(), expected, "{body}\n{found:#?}");
        agree(&format!("fn f(x: f32[n, m], y: f32[n, m]) {{\n{body}\n}}\n"), &[numbers(DType::F32, &[30, 40], 1), numbers(DType::F32, &[30, 40], 2)], false);
    }
}

#[test]
fn what_is_cheap_is_computed_again() {
    let (n, m) = (300, 64);
    for (body, stored) in [
        ("a = x + y[0]\nreturn exp(a), sum(a, axis=0)", false),
        ("a = 2 * x - 1\nreturn a * a, max(a, axis=0), sum(a * y, axis=0)", false),
        ("b = mean(x, axis=0)\na = x - b\nreturn a * y, sum(a * a, axis=0)", false),
        // Of two arguments two regions read no more than of what is stored, four would.
        ("a = x * y\nreturn exp(a), sum(a, axis=0)", false),
        ("a = x * y\nreturn sum(a), max(a, axis=0), sum(exp(a), axis=1), a > 1", true),
        // It takes its time, is a result, or is read by what has no region.
        ("a = tanh(x)\nreturn a * y, sum(a, axis=0)", true),
        ("a = x + y[0]\nreturn a @ transpose(y), sum(a, axis=0)", true),
    ] {
        let text = format!("fn f(x: f32[n, m], y: f32[n, m]) {{\n{body}\n}}\n");
        let arguments = [numbers(DType::F32, &[n, m], 1), numbers(DType::F32, &[n, m], 2)];
        agree(&text, &arguments, false);
        let f = build(&cpu(2, "native"), &text);
        f.call(&arguments).unwrap();
        let plan = f.compiled().debug_text();
        let peak = plan.lines().find_map(|line| line.trim().strip_prefix("peak: ")?.strip_suffix(" bytes")?.parse::<usize>().ok());
        assert_eq!(peak.is_some_and(|peak| peak >= n * m * 4), stored, "{body}\n{plan}");
    }
}

#[test]
fn columns_are_reduced_together() {
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::F16] {
        let halves = dtype == DType::F16;
        for (number, (n, m)) in [(1, 1), (3, 5), (300, 7), (5000, 33), (257, 5000), (64, 1024)].into_iter().enumerate() {
            let x = numbers(dtype, &[n, m], number as u64);
            let body = match dtype.is_float() {
                // In halves the sums would be rounded too much to compare.
                true if halves => "max(x * 2, axis=0), min(x, axis=0), mean(x, axis=0, dtype=f32), any(x > 0.5, axis=0)",
                true => "sum(x, axis=0), mean(x * x, axis=0), max(abs(x), axis=0), prod(sign(x), axis=0), sum(exp(x), axis=0)",
                false => "sum(x, axis=0), max(x, axis=0), min(x * 3, axis=0), any(x > 1, axis=0)",
            };
            agree(&format!("fn f(x: {dtype}[n, m]) {{\nreturn {body}\n}}\n"), &[x], false);
        }
    }
    let text = "fn f(x: f32[a, n, m]) {\nreturn sum(x, axis=1), sum(x * x, axis=1), max(x, axis=[0, 1]), sum(x, axis=[0, 1])\n}\n";
    agree(text, &[numbers(DType::F32, &[3, 200, 70], 5)], false);
}

#[test]
fn what_is_joined_is_written_where_it_ends_up() {
    let programs = [
        // Along each axis, with a part that others read, one that is an output, and one twice.
        "fn f(x: T[n, m], y: T[n, m]) {\na = x * y\nb = x - y\nc = abs(x)\nrow = concatenate([a, b, c, b], axis=0)\ncolumn = concatenate([a + 1, x, b * 2], axis=1)\n\
         return row, column, c, sum(a * b), sum(row, axis=0), column * 2\n}\n",
        "fn f(x: T[n, m], y: T[n, m]) {\nreturn stack([x + y, x * y], axis=0), stack([x + y, x - y], axis=1), stack([y - x, x * 3], axis=2)\n}\n",
        // Joins of joins, of reductions and of products.
        "fn f(x: T[n, m], y: T[n, m]) {\np = x @ transpose(y)\ninner = concatenate([sum(x, axis=1), max(y, axis=1), reshape(x * y, [n * m])])\n\
         return concatenate([inner * 2, reshape(p, [n * n])]), concatenate([concatenate([x + 1, y + 1], axis=1), concatenate([x - 1, y - 1], axis=1)], axis=0)\n}\n",
        // A part is read after the whole is read for the last time.
        "fn f(x: T[n, m], y: T[n, m]) {\na = x + y\nwhole = concatenate([a, x - y], axis=0)\nlast = where(whole > 1, whole * 2, whole)\nreturn last, a * last[:n], concatenate([a * 2, last], axis=0)[n:]\n}\n",
        // In the steps of a loop.
        "fn f(x: T[n, m], y: T[n, m]) {\nlast, rows = scan (a in x, b in y, final = true) {\nstate h: T[k] = concatenate([x[0] * 0, y[0]])\n\
         next = concatenate([h[m:] * 2 + a, b - h[:m]])\nh <- next * 0.5\nyield next\n}\nreturn last, rows\n}\n",
    ];
    for dtype in [DType::F32, DType::F64] {
        for (number, (n, m)) in [(1, 1), (3, 5), (2, 31), (5, 32), (7, 33), (1, 200), (130, 257), (300, 320)].into_iter().enumerate() {
            for program in programs {
                let text = program.replace('T', &dtype.to_string()).replace("[k]", &format!("[{}]", 2 * m));
                agree(&text, &[numbers(dtype, &[n, m], 1), numbers(dtype, &[n, m], number as u64 + 2)], false);
            }
        }
    }
    for (join, there) in [
        ("concatenate([exp(x), x * 2], axis=0)", "of 2 parts 2 are there"),
        ("concatenate([exp(x), x, x @ transpose(x)], axis=1)", "of 3 parts 1 are there"),
        ("stack([exp(x), x, x * 2], axis=1)", "of 3 parts 2 are there"),
        ("concatenate([concatenate([exp(x), x - 1], axis=1), concatenate([x, x], axis=1)], axis=0)", "of 2 parts 2 are there"),
    ] {
        let f = build(&cpu(1, "native"), &format!("fn f(x: f32[n, n]) {{\nreturn {join}\n}}\n"));
        f.call(&[numbers(DType::F32, &[40, 40], 1)]).unwrap();
        let plan = f.compiled().debug_text();
        assert!(plan.contains(there) && plan.contains("into a join"), "{join}\n{plan}");
    }
}

#[test]
fn steps_of_rows_of_a_table() {
    for (rows, width, count) in [(64, 5, 16), (4000, 64, 300), (100, 1, 25)] {
        for dtype in [DType::F32, DType::F64] {
            let text = format!(
                "fn f(t: {dtype}[{rows}, {width}], i: i64[{count}], g: {dtype}[{count}, {width}]) {{\nx = take(t, i, axis=0)\nloss = mean(sum(x * x * g, axis=1))\n\
                 return loss, t - 0.1 * grad(loss, t), add_at(zeros_like(t)[i], g) / 3 + t\n}}\n"
            );
            let places = numbers(DType::F64, &[count], 5).to_f64_vec();
            let places = Tensor::vector(places.iter().map(|x| (x * (rows / 3) as f64) as i64).collect::<Vec<i64>>());
            let arguments = [numbers(dtype, &[rows, width], 3), places, numbers(dtype, &[count, width], 4)];
            let config = |exclude: &[&str]| {
                let config = Config::default().with("device", "cpu").unwrap();
                arignote::session_with(config.with("rewrite.exclude", exclude.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()).unwrap()
            };
            let rewritten = build(&config(&[]), &text);
            assert_eq!(rewritten.compiled().firings().iter().filter(|firing| firing.rule == "step_of_rows").count(), 2);
            let (found, plain) = (rewritten.call(&arguments).unwrap(), build(&config(&["step_of_rows"]), &text).call(&arguments).unwrap());
            // Bit for bit.
            assert!(found.iter().zip(&plain).all(|(found, plain)| found.identical(plain)), "{text}");
        }
    }
}

#[test]
fn rows_of_a_table_are_read_where_they_are() {
    let programs = [
        "return sum(take(t, i, axis=0) * g, axis=1), exp(t[i]) - g\n",
        // Two tables, one place for each element of a matrix, and what is broadcast.
        "k = reshape(i, [2, 5])\na = take(t, k, axis=0)\nb = take(t * 2, k, axis=0, mode=\"wrap\")\nreturn a * b + g[0], sum(a * g[1], axis=[1, 2]), max(b, axis=2)\n",
        "return take(t, i * 7, axis=0, mode=\"clip\") * 2, softmax(take(t, i, axis=0) + g, axis=1), layer_norm(take(t, i, axis=0), g[0], g[1])\n",
        // What is read is joined, reduced over rows too, and an output.
        "a = t[i]\nb = take(t, i[::-1], axis=0)\nreturn concatenate([a * 2, b + 1], axis=1), sum(take(t, -i - 1, axis=0), axis=0), t[i]\n",
        // A table that is computed, and written over.
        "u = exp(t)\nv = set_at(u[0], 3.0)\nreturn u[i] * g + 1, v * 2, sum(v[i] - g, axis=1)\n",
        "return scan (k in i, final = true) {\nstate s: T[w] = g[0]\ns <- s + sum(take(t, k + i * 0, axis=0) * g, axis=0)\nyield sum(t[k + i * 0] * s, axis=1)\n}\n",
    ];
    for dtype in [DType::F32, DType::F64] {
        for width in [31, 32, 64, 200] {
            for program in programs {
                let text = format!("fn f(t: {dtype}[9, {width}], i: i64[10], g: {dtype}[10, {width}]) {{\n{}}}\n", program.replace("T[w]", &format!("{dtype}[{width}]")));
                let places = Tensor::vector(vec![3i64, 0, -1, 8, 3, 3, -9, 5, 1, 0]);
                agree(&text, &[numbers(dtype, &[9, width], 1), places, numbers(dtype, &[10, width], 2)], false);
            }
        }
    }
    // Enough for several threads and for tiles.
    let text = "fn f(t: f32[m, w], i: i32[n], g: f32[n, w]) {\nx = take(t, i, axis=0) + g\ny = x - mean(x, axis=1, keepdims=true)\nreturn sum(y * y, axis=1), sigmoid(x)\n}\n";
    let places = numbers(DType::F64, &[9000], 3).to_f64_vec().into_iter().map(|x| (x * 500.0) as i32).collect::<Vec<i32>>();
    let arguments = [numbers(DType::F32, &[500, 128], 1), Tensor::vector(places), numbers(DType::F32, &[9000, 128], 2)];
    agree(text, &arguments, false);
    let f = build(&cpu(1, "native"), text);
    f.call(&arguments).unwrap();
    let plan = f.compiled().debug_text();
    assert!(plan.contains("where its rows begin, to read them there") && plan.contains("through 1 lists"), "{plan}");
    // What is wrong with an index is said as where rows are copied.
    let wrong = Tensor::vector((0..9000).map(|at| if at == 8999 { 500 } else { 0 }).collect::<Vec<i32>>());
    let told = |text: &str| build(&cpu(1, "native"), text).call(&[arguments[0].clone(), wrong.clone(), arguments[2].clone()]).unwrap_err().to_string();
    let message = told(text);
    assert!(message.contains("index 500 is out of range for axis 0 of length 500"), "{message}");
    let copied = told("fn f(t: f32[m, w], i: i32[n], g: f32[n, w]) {\nx = take(t, i, axis=0)\nreturn x\n}\n");
    let first = |message: &str| message.lines().next().unwrap_or_default().to_owned();
    assert_eq!(first(&message), first(&copied));
}

#[test]
fn what_is_scattered_is_computed_as_it_is_taken() {
    let programs = [
        "return add_at(t[i], exp(g) * 2), set_at(t[i], g - 1)\n",
        // Where the value is read again, is of the table, is over it, is broadcast, or elements lie apart.
        "v = g * 2\nreturn add_at(t[i], v), v\n",
        "return add_at(t[i], t[i] * g), set_at(t[i], sin(t[i]))\n",
        "u = exp(t)\nreturn add_at(u[i], u[i] * 2)\n",
        "return add_at(t[i], g[0] * 2), add_at(t[:, 1], exp(g[0, 0] * t[:, 0]))\n",
        "return set_at(t[i, ::2], g[:, ::2] * 3), add_at(t[2:5], g[2:5] * g[:3])\n",
        // Enough for several threads, which rows of their own meet in.
        "return add_at(t[tile(i, 60)], tile(g, [60, 1]) / 7)\n",
    ];
    for dtype in [DType::F32, DType::F64, DType::I32] {
        for width in [4, 200] {
            for program in programs {
                if dtype == DType::I32 && ["exp", "sin", "/"].iter().any(|op| program.contains(op)) { continue; }
                let text = format!("fn f(t: {dtype}[9, {width}], i: i64[10], g: {dtype}[10, {width}]) {{\n{program}}}\n");
                let places = Tensor::vector(vec![3i64, 0, -1, 8, 3, 3, -9, 5, 1, 0]);
                agree(&text, &[numbers(dtype, &[9, width], 1), places, numbers(dtype, &[10, width], 2)], false);
            }
        }
    }
    let text = "fn f(t: f32[9, 5], i: i64[10], g: f32[10, 5]) { return add_at(t[i], exp(g) * 2) }";
    let function = build(&cpu(1, "native"), text);
    let places = Tensor::vector(vec![0i64; 10]);
    function.call(&[numbers(DType::F32, &[9, 5], 1), places, numbers(DType::F32, &[10, 5], 2)]).unwrap();
    let plan = function.compiled().debug_text();
    assert!(plan.contains("of what is computed as it is taken") && !plan.contains("step 1"), "{plan}");
}

#[test]
fn parts_of_values_are_read_where_they_are() {
    let text = "fn f(x: f32[6, 40, 8], w: f32[8, 8]) {
        y = exp(x)
        q = y[:, :, 0:4]
        r = reshape(y, [240, 8])
        s = transpose(y[1:4], axes=[0, 2, 1])
        return r @ w, softmax(reshape(y, [6, 320]), axis=1), q @ transpose(q, axes=[0, 2, 1]), s @ y[2:5], cumsum(y[3], axis=0), squeeze(y[2:3, 1:2], [0, 1]) @ w
    }";
    let arguments = [numbers(DType::F32, &[6, 40, 8], 1), numbers(DType::F32, &[8, 8], 2)];
    agree(text, &arguments, false);
    let function = build(&cpu(1, "native"), text);
    function.call(&arguments).unwrap();
    let plan = function.compiled().debug_text();
    assert!(!["reshape", "transpose", "index", "squeeze"].iter().any(|op| plan.contains(&format!(": {op} "))), "{plan}");
}

#[test]
fn reductions_of_one_shape_go_over_memory_together() {
    let text = "fn f(x: f64[n, m], y: f64[m], z: f32[n, m]) {
        u = (x - y) / 3
        a = sum(u)
        b = max(u * u)
        c = mean(x + a)
        d = prod(sin(x), axis=1)
        e = min(x * y, axis=1)
        g = sum(z * 2, axis=1)
        h = any(x > 0.9, axis=1)
        k = sum(x, axis=0)
        return a, b, c, d, e, g, h, k, sum(x), mean(x), max(x), min(x), sum(x * x), prod(x * 0.1)
    }";
    for (rows, columns) in [(1, 1), (3, 5), (40, 70), (2, 3000), (700, 9)] {
        let arguments = [numbers(DType::F64, &[rows, columns], 1), numbers(DType::F64, &[columns], 2), numbers(DType::F32, &[rows, columns], 3)];
        agree(text, &arguments, false);
    }
    let function = build(&cpu(1, "native"), "fn f(x: f64[n]) { return sum(x), max(x * 2), mean(x) }");
    function.call(&[numbers(DType::F64, &[100], 1)]).unwrap();
    let plan = function.compiled().debug_text();
    assert!(plan.contains("step 0") && !plan.contains("step 1"), "{plan}");
}

#[test]
fn tall_products_with_narrow_matrices() {
    for dtype in ["f32", "f64"] {
        let text = format!("fn f(x: {dtype}[b, m, k], y: {dtype}[b, k, n]) {{ return x @ y, transpose(x, axes=[0, 2, 1]) @ (x @ y) }}");
        for [batch, m, k, n] in [[1, 33, 20, 3], [2, 100, 70, 8], [1, 600, 784, 10], [3, 40, 17, 16]] {
            let dtype = if dtype == "f32" { DType::F32 } else { DType::F64 };
            // Whole numbers, whose sums are exact.
            let whole = |shape: &[usize], seed: u64| {
                let elements: Vec<f64> = numbers(DType::I32, shape, seed).to_f64_vec().iter().map(|x| x % 8.0).collect();
                Tensor::from_vec(elements, shape).unwrap().cast(dtype)
            };
            agree(&text, &[whole(&[batch, m, k], 1), whole(&[batch, k, n], 2)], true);
        }
    }
}

#[test]
fn large_matrices_are_transposed() {
    for (rows, columns) in [(2111, 2003), (2048, 2064)] {
        let x = numbers(DType::F32, &[rows, columns], 5);
        let found = build(&cpu(2, "native"), "fn f(x: f32[m, n]) { return transpose(x) }").call(std::slice::from_ref(&x)).unwrap().remove(0);
        assert_eq!(found.shape(), [columns, rows]);
        let (x, found) = (x.to_f64_vec(), found.to_f64_vec());
        assert!((0..rows * columns).all(|at| found[at] == x[at % rows * columns + at / rows]));
    }
}

#[test]
fn parts_and_orders_of_values_are_read_where_they_are() {
    let programs = [
        "return x[1:, :2] * y[:-1, 1:3], sum(x[::2, ::3] * 2), max(x[1:], axis=1), x[0] - y[-1, :], x[1, 1] + y\n",
        // Of what is computed, with other readers of it, and over which something may be written afterwards.
        "u = exp(x)\nv = u[:-1] * 2 - u[1:]\nw = transpose(u) + 1\nz = reshape(u, [n * m]) * 3\nq = u * u\nreturn v, w, z, q, transpose(q) @ u, sum(transpose(u)[1:, :2] * 5)\n",
        "s = sum(x, axis=1)\nreturn expand_dims(s, -1) - x, x / reshape(max(x, axis=0), [1, m]), broadcast_to(y[0], [n, m]) * x, squeeze(x[:, 1:2], axis=1) + s\n",
        // The same value in one region as it is and in another order; views of views.
        "u = x * y\nk = u[:2, :2]\nreturn k + transpose(k), k * k[0] + k[:, :1], reshape(transpose(u), [m * n])[2:] * 2, u[1:][1:, 1:] * u[2:, :-1]\n",
        "return scan (a in x, b in y, final = true) {\nstate h: T[m] = x[0]\nnext = tanh(h + a[0] * b)\nh <- next * concatenate([next[1:], next[:1]])\nyield next[1:] * 2 + a[:-1]\n}\n",
        "h = x[:, 1:] * y[:, 1:]\nreturn h - mean(h, axis=1, keepdims=true), softmax(x[1:] * 2, axis=1), sum(x[:, :2] * y[:, :2], axis=0), layer_norm(x[:, 1:], y[0, 1:], y[1, 1:])\n",
    ];
    for dtype in [DType::F32, DType::F64] {
        for (n, m) in [(3, 4), (5, 33), (40, 7), (64, 130), (2000, 65)] {
            for program in programs {
                let text = format!("fn f(x: T[n, m], y: T[n, m]) {{\n{program}}}\n").replace("T[", &format!("{dtype}["));
                agree(&text, &[numbers(dtype, &[n, m], 1), numbers(dtype, &[n, m], 2)], false);
            }
        }
    }
    let function = build(&cpu(1, "native"), "fn f(x: f32[n, m]) { return x[:, 1:5] * transpose(exp(x[1:, :]))[1:5, :1] }");
    assert!(function.call(&[numbers(DType::F32, &[40, 9], 1)]).is_err(), "axes of 40 and 4");
    let function = build(&cpu(1, "native"), "fn f(x: f32[n, m]) { return sigmoid(x[:, 1:5]) * tanh(x[:, 5:]) }");
    function.call(&[numbers(DType::F32, &[40, 9], 1)]).unwrap();
    let plan = function.compiled().debug_text();
    assert!(plan.contains("step 0") && !plan.contains("step 1"), "{plan}");
}
