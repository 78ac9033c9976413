//! What the cpu backend makes one of: the step of a loop with the loop, and steps over the same rows. Both against the
//! reference and against the portable path, with any number of threads.

use arignote::config::Config;
use arignote::lang;
use arignote::prelude::*;

use super::session;

fn cpu(threads: i64, codegen: &str) -> Session {
    let config = Config::default().with("device", "cpu").unwrap().with("fallback", vec!["reference".to_owned()]).unwrap();
    let config = config.with("backend.cpu.threads", threads).unwrap().with("backend.cpu.codegen", codegen.to_owned()).unwrap();
    arignote::session_with(config).unwrap()
}

fn build(session: &Session, text: &str) -> Function {
    let file = lang::parse(lang::Source::new("fused.arig", text.to_owned())).unwrap();
    let lowered = lang::lower(&file, None).unwrap();
    Function::compile(session, lowered).unwrap()
}

/// Numbers between -1 and 1 that are not round.
fn numbers(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let mut random = fastrand::Rng::with_seed(seed);
    let elements: Vec<f64> = (0..shape.iter().product()).map(|_| random.f64() * 2.0 - 1.0).collect();
    let scale = if dtype.is_float() { 1.0 } else { 100.0 };
    Tensor::from_vec(elements.iter().map(|x| x * scale).collect::<Vec<f64>>(), shape).unwrap().cast(dtype)
}

/// Results of the cpu, of machine code and portably with one and two threads, are the same bits, and near those of the
/// reference: of sums of `count` numbers.
#[track_caller]
fn agree(text: &str, arguments: &[Tensor], bits: bool) {
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
fn tiles_are_used_and_save_memory() {
    let text = "fn f(x: f32[n, m]) {\nreturn var(x, axis=1)\n}\n";
    let f = build(&cpu(2, "native"), text);
    f.call(&[numbers(DType::F32, &[1024, 1024], 1)]).unwrap();
    let plan = f.compiled().debug_text();
    assert!(plan.contains("in tiles of"), "{plan}");
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
