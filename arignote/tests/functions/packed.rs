//! Products by a matrix that stays the same, which the cpu backend packs once: constants, and what loops only read.

use arignote::prelude::*;

use super::fused::{agree, build, cpu, numbers};

/// Whether the cpu packs for these arguments. On processors without vectors of this kind it never does.
#[track_caller]
fn packs(text: &str, arguments: &[Tensor], expected: bool) {
    let f = build(&cpu(1, "native"), text);
    f.call(arguments).unwrap();
    let fast = cfg!(target_arch = "x86_64") && std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
    assert_eq!(f.compiled().debug_text().contains("packed"), expected && fast, "{text}\n{}", f.compiled().debug_text());
}

/// A matrix as the language writes it.
fn literal(matrix: &Tensor) -> String {
    let &[rows, columns] = matrix.shape() else { panic!("not a matrix") };
    let elements = matrix.to_f64_vec();
    let rows: Vec<String> = (0..rows).map(|row| format!("{:?}", &elements[row * columns..][..columns])).collect();
    format!("{}([{}])", matrix.dtype(), rows.join(", "))
}

#[test]
fn a_matrix_that_a_loop_reads() {
    for dtype in [DType::F32, DType::F64] {
        // More and fewer rows than are gone through at once; with whole panels and without; large enough for two threads.
        for (rows, width) in [(5, 40), (6, 17), (7, 32), (17, 51), (64, 96)] {
            let header = format!("fn f(x: {dtype}[t, r, n], start: {dtype}[r, n], w: {dtype}[n, n], v: {dtype}[m, p], b: {dtype}[n]) {{\n");
            for body in [
                // As it lies, by columns, a part of a larger one, with what takes the product, one after the other.
                "h <- tanh(x_t + h @ w * 0.1)",
                "h <- x_t + h @ transpose(w) * 0.1",
                "h <- x_t + h @ v[1:-1, 2:-1] * 0.1",
                "h <- sigmoid(h @ w + b) * tanh(h @ w[::-1]) * 0.1",
                "h <- tanh(h @ w) @ transpose(w) * 0.1",
            ] {
                let text = format!("{header}return scan (x_t in x, final = true) {{\nstate h: {dtype}[r, n] = start\n{body}\n}}\n}}\n");
                let given = |seed: u64| [
                    numbers(dtype, &[4, rows, width], seed), numbers(dtype, &[rows, width], seed + 1), numbers(dtype, &[width, width], seed + 2),
                    numbers(dtype, &[width + 2, width + 3], seed + 3), numbers(dtype, &[width], seed + 4),
                ];
                agree(&text, &given(1), false);
                packs(&text, &given(1), rows >= 6);
                // Each call has matrices of its own.
                let f = build(&cpu(2, "native"), &text);
                let first = f.call(&given(1)).unwrap();
                f.call(&given(20)).unwrap();
                assert!(f.call(&given(1)).unwrap()[0].identical(&first[0]), "{text}");
            }
        }
    }
    // A loop in a loop, and matrices beside the state.
    let text = "fn f(x: f32[t, s, r, k], w: f32[k, n], u: f32[n, n]) {\nreturn scan (rows in x) {\nstate h: f32[r, n] = x[0, 0] @ w * 0\n\
        h <- scan (x_t in rows, final = true) {\nstate g: f32[r, n] = h\ng <- tanh(x_t @ w + g @ u)\n}\nyield h\n}\n}\n";
    agree(text, &[numbers(DType::F32, &[3, 4, 9, 20], 1), numbers(DType::F32, &[20, 33], 2), numbers(DType::F32, &[33, 33], 3)], false);
    // A matrix that the loop changes is no such matrix.
    let text = "fn f(x: f32[t, 8, 32], start: f32[32, 32]) {\nreturn scan (x_t in x, final = true) {\nstate w: f32[32, 32] = start\nw <- w + transpose(x_t) @ (x_t @ w) * 0.01\n}\n}\n";
    let given = [numbers(DType::F32, &[5, 8, 32], 1), numbers(DType::F32, &[32, 32], 2)];
    agree(text, &given, false);
    packs(text, &given, false);
}

#[test]
fn a_constant_matrix() {
    for dtype in [DType::F32, DType::F64] {
        for (k, n) in [(20, 40), (33, 17), (80, 64)] {
            let w = literal(&numbers(dtype, &[k, n], 3));
            for (body, turned) in [("x @ w", false), ("tanh(x @ w + 1)", false), ("x @ transpose(w)", true), ("x[:, ::-1] @ w", false)] {
                let text = format!("fn f(x: {dtype}[r, m]) {{\nw = {w}\nreturn {body}\n}}\n");
                let given = |rows: usize| [numbers(dtype, &[rows, if turned { n } else { k }], 5)];
                for rows in [2, 6, 300] { agree(&text, &given(rows), false); }
                packs(&text, &given(23), true);
                packs(&text, &given(2), false);
            }
            // Stacks: of rows that lie equally far apart, and of others.
            let text = format!("fn f(x: {dtype}[a, b, m]) {{\nw = {w}\nreturn x @ w, x[:, 1:] @ w, transpose(x, axes=[1, 0, 2]) @ w\n}}\n");
            agree(&text, &[numbers(dtype, &[3, 7, k], 5)], false);
        }
    }
}
