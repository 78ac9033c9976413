//! The cpu backend against the reference: every op on every dtype and on odd shapes, with any number of
//! threads. Elements of integers and bools, and of ops that IEEE 754 rounds exactly, are equal bit for
//! bit; the others within a stated number of units in the last place of the largest magnitude involved.

use std::collections::BTreeSet;

use arignote::config::Config;
use arignote::lang;
use arignote::ops::effects::set_print_writer;
use arignote::ops::{Op, ParamKind, registry};
use arignote::runtime::compare::{EXACT, SUM_ULPS, ULPS};
use arignote::runtime::{FunctionBuilder, Session};
use arignote::tensor::{DType, Tensor};
use fastrand::Rng;

const SEED: u64 = 20_26;

const DTYPES: [DType; 13] = [
    DType::Bool, DType::I8, DType::I16, DType::I32, DType::I64, DType::U8, DType::U16, DType::U32, DType::U64,
    DType::F16, DType::BF16, DType::F32, DType::F64,
];

/// Ops that the cpu backend leaves to the reference by `fallback`, each with the reason.
const BY_FALLBACK: &[(&str, &str)] = &[
    ("kv kve log_kv log_kv_dx log_iv log_iv_dx kn hyp2f1 betaincinv gammaincinv gammainccinv owens_t ndtri_exp poch gammal gammau", "a function of the core, microseconds for each element"),
    ("repeat", "moves elements once, at the speed of memory"),
    ("specify_shape", "only looks at the shape"),
    ("linear_recurrence", "one step follows from the other"),
    ("searchsorted unique bincount", "compare more than they compute"),
    ("complex_dft", "a library's, in the reference backend"),
    ("randint random_gamma poisson binomial multinomial hypergeometric vonmises wald", "reject draws, on the reference backend; the bits are the cpu's too"),
    ("host_call inspect", "what the reference backend does on the host"),
    ("ravel_multi_index unravel_index", "of short lists of places"),
    ("adjugate lu qr svd eigh eig schur qz ordqz pinv expm", "factorizations of the reference backend"),
];

/// Ops that both backends compute by the same function of the core, in microseconds: on few elements.
const SLOW: &[&str] = &["gammainc", "gammaincc", "gammainc_da", "chi2sf", "beta", "betaln", "betainc", "iv", "ive", "jv", "polygamma", "log_iv", "log_iv_dx", "log_kv", "log_kv_dx"];

/// Elements for an input.
fn random_tensor(random: &mut Rng, dtype: DType, shape: &[usize], special: bool) -> Tensor {
    let count: usize = shape.iter().product();
    if dtype.is_float() {
        let specials = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-7, 30.0, -40.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let mut element = || match random.u8(..4) {
            0 if special => specials[random.usize(..specials.len())],
            _ => random.f64() * 6.0 - 3.0,
        };
        let elements: Vec<f64> = (0..count).map(|_| element()).collect();
        return Tensor::from_vec(elements, shape).unwrap().cast(dtype);
    }
    let mut element = || match random.u8(..4) {
        0 if special => random.i64(..),
        _ => random.i64(-4..=4),
    };
    let elements: Vec<i64> = (0..count).map(|_| element()).collect();
    Tensor::from_vec(elements, shape).unwrap().cast(dtype)
}

/// One program: an expression of `x`, `y`, `z`, or statements that return some, and the inputs' ranks with `x` first.
struct Case {
    op: String,
    text: String,
    /// The shapes of the inputs, one list per run.
    shapes: Vec<Vec<Vec<usize>>>,
    /// Whether infinities, NaN and extreme integers are among the elements.
    special: bool,
}

fn case(op: &str, text: &str, shapes: &[&[&[usize]]]) -> Case {
    let shapes = shapes.iter().map(|run| run.iter().map(|shape| shape.to_vec()).collect()).collect();
    Case { op: op.to_owned(), text: text.to_owned(), shapes, special: false }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let exceptions = ["cast", "stop_gradient", "grad_barrier"];
    let elsewhere = |name: &str| BY_FALLBACK.iter().any(|(names, _)| names.split(' ').any(|other| other == name));
    let left_out = |name: &str| exceptions.contains(&name) || elsewhere(name);
    for op in registry().iter().filter(|op| op.is_elementwise() && !left_out(op.name())) {
        let operands = op.params().iter().filter(|param| param.kind == ParamKind::Operand).count();
        let shapes: &[&[&[usize]]] = match operands {
            1 => &[&[&[]], &[&[0]], &[&[1]], &[&[7, 5]], &[&[40, 51]]],
            2 => &[&[&[], &[]], &[&[0], &[1]], &[&[7], &[7]], &[&[3, 5], &[5]], &[&[2, 1, 5], &[3, 1]], &[&[40, 51], &[51]]],
            _ => &[&[&[], &[], &[]], &[&[0], &[1], &[0]], &[&[3, 5], &[5], &[3, 1]], &[&[40, 51], &[51], &[]]],
        };
        let text = match (op.name(), operands) {
            ("where", _) => "where(x > 0, y, z)".to_owned(),
            (name, 1) => format!("{name}(x)"),
            (name, 2) => format!("{name}(x, y)"),
            (name, _) => format!("{name}(x, y, z)"),
        };
        let shapes = if SLOW.contains(&op.name()) { &shapes[..shapes.len() - 1] } else { shapes };
        cases.push(Case { special: true, ..case(op.name(), &text, shapes) });
    }
    for dtype in DTYPES {
        cases.push(case("cast", &format!("cast(x, {dtype})"), &[&[&[]], &[&[0, 3]], &[&[7, 5]]]));
    }
    let matrices: &[&[&[usize]]] = &[&[&[7, 5]], &[&[1, 1]], &[&[3, 1]], &[&[40, 51]]];
    let empties: &[&[&[usize]]] = &[&[&[0, 5]], &[&[5, 0]]];
    for op in ["sum", "prod", "mean", "max", "min", "all", "any", "logsumexp", "vector_norm", "argmax", "argmin"] {
        for rest in ["", ", axis=0", ", axis=-1", ", axis=0, keepdims=true"] {
            cases.push(case(op, &format!("{op}(x{rest})"), matrices));
            cases.push(case(op, &format!("{op}(transpose(x){rest})"), matrices));
        }
        if !["max", "min", "argmax", "argmin"].contains(&op) {
            cases.push(case(op, &format!("{op}(x, axis=0)"), empties));
        }
    }
    for op in ["softmax", "log_softmax"] {
        cases.push(case(op, &format!("{op}(x)"), matrices));
        cases.push(case(op, &format!("{op}(x, axis=0)"), matrices));
        cases.push(case(op, &format!("{op}(x)"), empties));
    }
    for (op, text, shapes) in [
        ("matmul", "x @ y", &[&[&[7, 5][..], &[5, 3][..]][..], &[&[5], &[5]], &[&[2, 3, 4], &[4]], &[&[0, 4], &[4, 3]], &[&[3, 0], &[0, 2]], &[&[2, 1, 3, 4], &[5, 4, 2]], &[&[65, 33], &[33, 70]]][..]),
        ("matmul", "transpose(x) @ y", &[&[&[5, 7], &[5, 3]], &[&[33, 65], &[33, 70]]]),
        ("dot", "dot(x, y)", &[&[&[7], &[7]], &[&[2, 3], &[3]]]),
        ("outer", "outer(x, y)", &[&[&[3], &[4]], &[&[0], &[4]]]),
        ("norm", "norm(x, axis=-1)", &[&[&[7, 5]], &[&[0, 5]]]),
        ("norm", "norm(x, ord=inf)", &[&[&[7, 5]]]),
        ("trace", "trace(x, offset=1)", &[&[&[7, 5]], &[&[0, 5]]]),
        ("matrix_power", "matrix_power(x, 3)", &[&[&[5, 5]], &[&[2, 3, 3]]]),
        ("kron", "kron(x, y)", &[&[&[2, 3], &[4]], &[&[], &[2, 2]]]),
        ("block_diag", "block_diag([x, y])", &[&[&[2, 3], &[1, 1]]]),
        ("multi_dot", "multi_dot([x, y, transpose(x)])", &[&[&[7, 5], &[5, 5]]]),
        ("vecdot", "vecdot(x, y)", &[&[&[7, 5], &[5]]]),
        ("matvec", "matvec(x, y)", &[&[&[7, 5], &[5]]]),
        ("vecmat", "vecmat(x, y)", &[&[&[2, 3], &[2, 3, 4]]]),
        ("inner", "inner(x, y)", &[&[&[7, 5], &[3, 5]], &[&[], &[3, 5]]]),
        ("batched_dot", "batched_dot(x, y)", &[&[&[2, 3, 4], &[2, 4]]]),
        ("einsum", "einsum(\"ij,kj->ki\", x, y)", &[&[&[7, 5], &[3, 5]], &[&[0, 5], &[3, 5]]]),
        ("einsum", "einsum(\"ij,jk,kl->il\", x, y, x)", &[&[&[5, 5], &[5, 5]]]),
        ("tensordot", "tensordot(x, y, axes=[[1, 0], [0, 1]])", &[&[&[7, 5], &[5, 7]]]),
        ("matmul", "x @ transpose(y)", &[&[&[7, 5], &[3, 5]], &[&[65, 33], &[70, 33]], &[&[5], &[3, 5]], &[&[0, 5], &[3, 5]]]),
        ("matmul", "transpose(x, axes=[1, 2, 0]) @ transpose(y, axes=[1, 0, 2])", &[&[&[4, 3, 5], &[4, 3, 2]]]),
        ("matmul", "transpose(x) @ y + sum(transpose(x))", &[&[&[5, 7], &[5]], &[&[300, 270], &[300]]]),
        ("matmul", "x @ y", &[&[&[300, 270], &[270]], &[&[300], &[300, 1200]], &[&[70, 200], &[200, 300]], &[&[3, 20, 40], &[40, 1]], &[&[3, 20, 40], &[1, 40, 9]]]),
        ("conv1d", "conv1d(x, y, stride=2, padding=1)", &[&[&[2, 3, 7], &[4, 3, 3]]]),
        ("conv2d", "conv2d(x, y)", &[&[&[3, 2, 6, 5], &[4, 2, 3, 2]], &[&[1, 2, 6, 5], &[4, 2, 1, 1]], &[&[0, 2, 6, 5], &[4, 2, 3, 2]], &[&[2, 0, 6, 5], &[4, 0, 3, 2]]]),
        ("conv2d", "conv2d(x, y, stride=[2, 1], padding=[[2, 0], [1, 3]], dilation=[1, 2], groups=2, flip=true)", &[&[&[2, 4, 7, 6], &[6, 2, 3, 2]]]),
        ("conv2d", "conv2d(x, y, padding=\"full\")", &[&[&[2, 1, 3, 2], &[2, 1, 3, 4]], &[&[20, 3, 9, 11], &[5, 3, 4, 2]]]),
        ("conv3d", "conv3d(x, y, padding=\"same\", stride=2)", &[&[&[2, 2, 4, 5, 3], &[3, 2, 3, 2, 2]]]),
        ("conv1d_input_gradient", "conv1d_input_gradient(x, y, z, stride=2, padding=1)", &[&[&[2, 3, 7], &[4, 3, 3], &[2, 4, 4]]]),
        ("conv2d_input_gradient", "conv2d_input_gradient(x, y, z)", &[&[&[3, 2, 6, 5], &[4, 2, 3, 2], &[3, 4, 4, 4]], &[&[1, 9, 6, 5], &[4, 9, 1, 1], &[1, 4, 6, 5]]]),
        ("conv2d_input_gradient", "conv2d_input_gradient(x, y, z, stride=[2, 1], padding=[[2, 0], [1, 3]], dilation=[1, 2], groups=2, flip=true)", &[&[&[2, 4, 7, 6], &[6, 2, 3, 2], &[2, 6, 4, 8]]]),
        ("conv3d_input_gradient", "conv3d_input_gradient(x, y, z, padding=\"same\", stride=2)", &[&[&[2, 2, 4, 5, 3], &[3, 2, 3, 2, 2], &[2, 3, 2, 3, 2]]]),
        ("conv1d_weight_gradient", "conv1d_weight_gradient(x, y, z, stride=2, padding=1)", &[&[&[2, 3, 7], &[4, 3, 3], &[2, 4, 4]]]),
        ("conv2d_weight_gradient", "conv2d_weight_gradient(x, y, z)", &[&[&[30, 2, 6, 5], &[4, 2, 3, 2], &[30, 4, 4, 4]], &[&[1, 9, 6, 5], &[4, 9, 1, 1], &[1, 4, 6, 5]]]),
        ("conv2d_weight_gradient", "conv2d_weight_gradient(x, y, z, stride=[2, 1], padding=[[2, 0], [1, 3]], dilation=[1, 2], groups=2, flip=true)", &[&[&[2, 4, 7, 6], &[6, 2, 3, 2], &[2, 6, 4, 8]]]),
        ("conv3d_weight_gradient", "conv3d_weight_gradient(x, y, z, padding=\"same\", stride=2)", &[&[&[2, 2, 4, 5, 3], &[3, 2, 3, 2, 2], &[2, 3, 2, 3, 2]]]),
        ("max_pool2d", "max_pool2d(floor(x), window=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=true)", &[&[&[3, 7, 8]], &[&[2, 2, 4, 5]]]),
        ("max_pool2d", "max_pool2d(x / 0, window=2, padding=1)", &[&[&[3, 7, 8]]]),
        ("max_pool3d", "max_pool3d(x, window=2, stride=1, dilation=2)", &[&[&[5, 4, 6]]]),
        ("max_pool_gradient", "max_pool2d_gradient(floor(x), y, window=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=true)", &[&[&[3, 7, 8], &[3, 4, 7]]]),
        ("max_pool_gradient", "max_pool2d_gradient(x / 0, y, window=2, padding=1)", &[&[&[3, 7, 8], &[3, 4, 5]]]),
        ("max_pool_gradient", "max_pool1d_gradient(floor(x), y, window=2) + max_pool1d_gradient(x, y, window=2)", &[&[&[3, 7], &[3, 3]]]),
        ("max_pool_gradient", "max_pool3d_gradient(floor(x), y, window=2, stride=1, dilation=2)", &[&[&[5, 4, 6], &[3, 2, 4]]]),
        ("max_pool_tangent", "max_pool2d_tangent(floor(x), y, window=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=true)", &[&[&[3, 7, 8], &[3, 7, 8]]]),
        ("max_pool_tangent", "max_pool1d_tangent(x, y, window=2)", &[&[&[3, 7], &[3, 7]]]),
        ("max_pool_tangent", "max_pool3d_tangent(floor(x), y, window=2, stride=1, dilation=2)", &[&[&[5, 4, 6], &[5, 4, 6]]]),
        ("sum_pool2d", "sum_pool2d(x, window=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=true)", &[&[&[3, 7, 8]]]),
        ("sum_pool_gradient", "sum_pool2d_gradient(x, y, window=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=true)", &[&[&[3, 7, 8], &[3, 4, 7]]]),
        ("avg_pool2d", "avg_pool2d(x, window=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=true)", &[&[&[3, 7, 8]]]),
        ("avg_pool2d", "avg_pool2d(x, window=3, stride=2, padding=\"same\", count_include_pad=false)", &[&[&[3, 7, 8]]]),
        ("avg_pool2d", "avg_pool2d(x, window=2)", &[&[&[3, 7, 8]]]),
        ("avg_pool_gradient", "avg_pool2d_gradient(x, y, window=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=true)", &[&[&[3, 7, 8], &[3, 4, 7]]]),
        ("avg_pool_gradient", "avg_pool2d_gradient(x, y, window=3, stride=2, padding=1, count_include_pad=false)", &[&[&[3, 7, 8], &[3, 4, 4]]]),
        ("cumsum", "cumsum(x, axis=0)", &[&[&[7, 5]], &[&[0, 5]], &[&[2, 3, 4]]]),
        ("cumsum", "cumsum(x, axis=-1)", &[&[&[7, 5]], &[&[200, 120]]]),
        ("cumsum", "cumsum(x)", &[&[&[7, 5]], &[&[]]]),
        ("cumprod", "cumprod(x, axis=0)", &[&[&[7, 5]], &[&[0, 5]], &[&[2, 3, 4]]]),
        ("cumprod", "cumprod(x)", &[&[&[3, 5]]]),
        ("argsort", "argsort(x, axis=0)", &[&[&[7, 5]], &[&[0, 5]], &[&[2, 3, 4]]]),
        ("argsort", "argsort(floor(x))", &[&[&[7, 5]], &[&[40, 51]]]),
        ("argsort", "argsort(concatenate([x, -x * 0, x / 0]), axis=none)", &[&[&[7, 5]]]),
        ("cholesky", "cholesky(x @ transpose(x) + 30 * eye(4))", &[&[&[4, 4]]]),
        ("cholesky", "cholesky(x)", &[&[&[3, 3]], &[&[0, 0]], &[&[2, 1, 1]]]),
        ("cholesky", "cholesky(x, on_error=\"nan\")", &[&[&[3, 3]], &[&[0, 0]], &[&[4, 2, 2]]]),
        ("solve_triangular", "solve_triangular(x + 9 * eye(4), y, lower=true)", &[&[&[4, 4], &[4]], &[&[2, 4, 4], &[4, 3]]]),
        ("solve_triangular", "solve_triangular(x + 9 * eye(4), y, trans=1, unit_diagonal=true)", &[&[&[4, 4], &[4, 3]]]),
        ("solve", "solve(x, y)", &[&[&[3, 3], &[3]], &[&[2, 2], &[2, 2]], &[&[4, 2, 1, 1], &[2, 1, 3]], &[&[0, 0], &[0]]]),
        ("solve", "solve(x + 9 * eye(4), y)", &[&[&[4, 4], &[4, 300]], &[&[3, 4, 4], &[4, 2]], &[&[4, 4], &[3, 4, 2]], &[&[0, 4, 4], &[4, 1]]]),
        ("solve", "solve(x + 12 * eye(5), y, assume_a=\"sym\")", &[&[&[5, 5], &[5]]]),
        ("solve", "solve(x @ transpose(x) + 30 * eye(4), y, assume_a=\"pos\")", &[&[&[4, 4], &[4, 3]]]),
        ("solve", "solve(x, y, assume_a=\"pos\")", &[&[&[2, 2, 2], &[2, 1]]]),
        ("inv", "inv(x)", &[&[&[3, 3]], &[&[0, 0]], &[&[4, 2, 2]]]),
        ("inv", "inv(x + 40 * eye(150))", &[&[&[150, 150]]]),
        ("factorize", "factorize(x + 9 * eye(4))", &[&[&[4, 4]], &[&[2, 4, 4]]]),
        ("factorize", "factorize(x)", &[&[&[3, 3]], &[&[2, 1, 1]]]),
        ("factorize", "factorize(x + transpose(x) + 90 * eye(4), assume_a=\"pos\")", &[&[&[4, 4]]]),
        ("solve_by_factors", "packed, order, det, sign, log = factorize(x)\n return solve_by_factors(x, packed, order, y), solve_by_factors(x, packed, order, y, trans=1)", &[
            &[&[3, 3], &[3]], &[&[2, 3, 3], &[3, 2]], &[&[3, 3], &[2, 3, 2]], &[&[1, 1], &[1]],
        ]),
        ("det", "det(x + 12 * eye(5))", &[&[&[5, 5]], &[&[2, 5, 5]]]),
        ("slogdet", "slogdet(x + 12 * eye(5))", &[&[&[5, 5]], &[&[2, 5, 5]]]),
        ("conv_transpose1d", "conv_transpose1d(x, y, stride=2)", &[&[&[2, 4, 5], &[4, 3, 3]]]),
        ("max_pool1d", "max_pool1d(x, window=3, stride=2, padding=1)", &[&[&[3, 7]]]),
        ("sum_pool1d", "sum_pool1d(x, window=3, stride=2, padding=1)", &[&[&[3, 7]]]),
        ("cross_entropy", "cross_entropy(x, arange(shape(x)[0]) % shape(x)[1])", &[&[&[7, 5]], &[&[1, 1]]]),
        ("cross_entropy_with_gradient", "cross_entropy_with_gradient(x, arange(shape(x)[0]) % shape(x)[1], x[:, 0])[1]", &[&[&[7, 5]], &[&[1, 1]], &[&[40, 70]]]),
        ("cross_entropy_with_gradient", "cross_entropy_with_gradient(x, arange(shape(x)[0]) % shape(x)[1], x[:, 0])[0]", &[&[&[7, 5]], &[&[40, 70]]]),
        ("reshape", "reshape(x, [-1, 5])", &[&[&[7, 5]], &[&[0, 5]]]),
        ("reshape", "reshape(transpose(x), [-1])", &[&[&[7, 5]]]),
        ("transpose", "transpose(x, axes=[1, 2, 0])", &[&[&[2, 3, 4]], &[&[0, 3, 4]], &[&[9, 30, 21]]]),
        ("transpose", "transpose(x)", &[&[&[170, 133]]]),
        ("broadcast_to", "broadcast_to(x, [3, 4, 5])", &[&[&[5]], &[&[4, 1]], &[&[]]]),
        ("expand_dims", "expand_dims(x, axis=[0, -1])", &[&[&[3]], &[&[]]]),
        ("squeeze", "squeeze(x, axis=1)", &[&[&[3, 1, 2]]]),
        ("flatten", "flatten(x)", &[&[&[3, 2]], &[&[]]]),
        ("swapaxes", "swapaxes(x, 0, 2)", &[&[&[3, 2, 4]]]),
        ("trigamma", "trigamma(x)", &[&[&[7, 5]]]),
        ("elu", "elu(x, alpha=0.5)", &[&[&[7, 5]]]),
        ("deg2rad", "deg2rad(x)", &[&[&[7, 5]]]),
        ("rad2deg", "rad2deg(x)", &[&[&[7, 5]]]),
        ("isposinf", "isposinf(x)", &[&[&[7, 5]]]),
        ("isneginf", "isneginf(x)", &[&[&[7, 5]]]),
        ("heaviside", "heaviside(x, y)", &[&[&[7, 5], &[5]]]),
        ("isclose", "isclose(x, y, rtol=0.5)", &[&[&[7, 5], &[5]]]),
        ("allclose", "allclose(x, y, rtol=100.0)", &[&[&[7, 5], &[5]]]),
        ("flip", "flip(x, axis=0)", &[&[&[3, 2]], &[&[0]]]),
        ("concatenate", "concatenate([x, y, x], axis=-1)", &[&[&[3, 2], &[3, 4]], &[&[3, 0], &[3, 1]]]),
        ("stack", "stack([x, y], axis=1)", &[&[&[3, 2], &[3, 2]]]),
        ("shape", "shape(x)", &[&[&[3, 2]], &[&[]]]),
        ("sum_to", "sum_to(x, [1, 5])", &[&[&[7, 5]], &[&[2, 7, 5]]]),
        ("index", "x[1:, ::-2]", &[&[&[7, 5]], &[&[1, 0]]]),
        ("index", "x[..., None, -1]", &[&[&[7, 5]]]),
        ("index", "x[[2, 0, 2]]", &[&[&[7, 5]], &[&[7, 5, 3]]]),
        ("index", "x[:, [2, 0, 2]]", &[&[&[7, 5, 3]], &[&[0, 5, 3]]]),
        ("set_at", "set_at(x[1:3], y)", &[&[&[7, 5], &[5]], &[&[7, 5], &[2, 5]]]),
        ("add_at", "add_at(x[[2, 0, 2]], y)", &[&[&[7, 5], &[5]], &[&[7, 5], &[3, 5]]]),
        ("take", "take(x, [1, 0, 1], axis=1)", &[&[&[7, 5]]]),
        ("one_hot", "one_hot(arange(4), 6)", &[&[&[1]]]),
        ("arange", "arange(2, 11, 3)", &[&[&[1]]]),
        ("eye", "eye(3, 4, k=1)", &[&[&[1]]]),
        ("full", "full(shape(x), 7)", &[&[&[3, 2]]]),
        ("zeros", "zeros(2, shape(x)[0])", &[&[&[3, 2]]]),
        ("ones", "ones(2, shape(x)[0])", &[&[&[3, 2]]]),
        ("zeros_like", "zeros_like(x)", &[&[&[3, 2]]]),
        ("ones_like", "ones_like(x)", &[&[&[3, 2]]]),
        ("uniform", "uniform(u64([3, 4]), [1000])", &[&[&[1]]]),
        ("fold_in", "fold_in(u64([3, 4]), arange(100) - 50)", &[&[&[1]]]),
        ("uniform", "uniform(u64([3, 4]), [1000], dtype=f16)", &[&[&[1]]]),
        ("normal", "normal(u64([3, 4]), [1000])", &[&[&[1]]]),
        ("stop_gradient", "stop_gradient(x)", &[&[&[3]]]),
        ("assert", "assert(x, shape(y)[0] == 5, \"y is wrong\")", &[&[&[7, 5], &[5]], &[&[2], &[4]]]),
        ("print", "print(x, \"x\")", &[&[&[2]]]),
        ("after", "after(x, y)", &[&[&[7, 5], &[5]]]),
        ("if", "if sum(x) > 0 { x + y } else { x - y }", &[&[&[7, 5], &[5]], &[&[], &[]]]),
        ("if", "if sum(x) > 0 { x } else { x[1:] }", &[&[&[7, 5]]]),
        ("recompute", "recompute { x * x + y }", &[&[&[7, 5], &[5]]]),
        ("scan", "scan (a in x) {\n yield a * y\n yield a\n}", &[&[&[7, 5], &[5]], &[&[0, 5], &[5]]]),
        // Regions of several ops, with operands that are broadcast, strided, and used twice.
        ("region", "exp(-square(x - y)) * x + where(y > x, x, y)", &[&[&[7, 5], &[5]], &[&[40, 51], &[40, 1]]]),
        ("tanh", "tanh(transpose(x) * 2) + sum(x, axis=1)", &[&[&[7, 5]]]),
    ] {
        cases.push(case(op, text, shapes));
    }
    cases
}

/// The compiled results, or the error.
fn results(session: &Session, case: &Case, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let params: Vec<String> = ["x", "y", "z"].iter().zip(inputs).map(|(name, input)| {
        let unknown = vec!["?"; input.rank()].join(", ");
        format!("{name}: {}[{unknown}]", input.dtype())
    }).collect();
    let body = if case.text.contains("return") { case.text.clone() } else { format!("return {}", case.text) };
    let text = format!("fn f({}) {{ {body} }}", params.join(", "));
    let attempt = || -> arignote::Result<Vec<Tensor>> {
        let graph = lang::load(lang::Source::new("case", text))?.function(None)?;
        FunctionBuilder::from_graph(graph).build(session)?.call(inputs)
    };
    attempt().map_err(|error| error.message().to_owned())
}

/// Units in the last place by which a result is off, of its own size or, for sums, of the largest; a sum of
/// operands up to 3 that cancel is no better than those of 1/16.
fn distance(dtype: DType, found: &[f64], expected: &[f64], of_largest: bool) -> f64 {
    let (digits, least) = match dtype {
        DType::F16 => (10, -24),
        DType::BF16 => (7, -133),
        DType::F32 => (23, -149),
        _ => (52, -1074),
    };
    let unit = |size: f64| f64::from((size.log2().floor().max(-1022.0) as i32 - digits).max(least)).exp2();
    let largest = expected.iter().filter(|value| value.is_finite()).fold(0.0f64, |most, value| most.max(value.abs()));
    let off = |(&found, &expected): (&f64, &f64)| match found == expected || (found.is_nan() && expected.is_nan()) {
        true => 0.0,
        false if !found.is_finite() || !expected.is_finite() => f64::INFINITY,
        false => (found - expected).abs() / unit(if of_largest { largest.max(0.0625) } else { expected.abs() }),
    };
    found.iter().zip(expected).map(off).fold(0.0, f64::max)
}

fn session(device: &str, threads: i64) -> Session {
    let config = Config::default().with("device", device).unwrap().with("fallback", Vec::<String>::new()).unwrap();
    let config = config.with("backend.cpu.threads", threads).unwrap();
    arignote::session_with(config).unwrap()
}

#[test]
fn cpu_agrees_with_the_reference() {
    // It is the results that are compared.
    set_print_writer(Some(Box::new(std::io::sink())));
    let (reference, one, three) = (session("reference", 0), session("cpu", 1), session("cpu", 3));
    let (mut failures, mut compared, mut covered) = (Vec::new(), 0, BTreeSet::new());
    for (number, case) in cases().iter().enumerate() {
        covered.insert(case.op.clone());
        for (run, shapes) in case.shapes.iter().enumerate() {
            // Where other dtypes run by decompositions that have cases of their own, or only as far as they are cast.
            let few = ["conv", "max_pool", "sum_pool", "avg_pool", "cholesky", "factorize", "inv", "solve", "det", "slogdet"];
            let few = few.iter().any(|start| case.op.starts_with(start));
            for dtype in DTYPES.into_iter().filter(|dtype| !few || dtype.is_float() || *dtype == DType::I8) {
                let mut random = Rng::with_seed(SEED ^ ((number as u64) << 20) ^ ((run as u64) << 8) ^ dtype as u64);
                let inputs: Vec<Tensor> = shapes.iter().map(|shape| random_tensor(&mut random, dtype, shape, case.special)).collect();
                let what = || format!("{} on {dtype} of {shapes:?} (seed {SEED})", case.text);
                match (results(&reference, case, &inputs), results(&one, case, &inputs), results(&three, case, &inputs)) {
                    (Ok(expected), Ok(found), Ok(again)) => {
                        compared += 1;
                        for ((expected, found), again) in expected.iter().zip(&found).zip(&again) {
                            if expected.dtype() != found.dtype() || expected.shape() != found.shape() {
                                failures.push(format!("{}: {} instead of {}", what(), found.ty(), expected.ty()));
                            } else if found.to_bytes() != again.to_bytes() {
                                failures.push(format!("{}: the number of threads matters", what()));
                            } else {
                                let summed = ["sum", "prod", "mean", "logsumexp", "vector_norm", "softmax", "log_softmax", "matmul", "dot", "trace", "matrix_power", "multi_dot", "vecdot", "matvec", "vecmat", "inner", "batched_dot", "norm", "einsum", "tensordot", "conv1d", "conv2d", "conv3d", "conv1d_input_gradient", "conv2d_input_gradient", "conv3d_input_gradient", "conv1d_weight_gradient", "conv2d_weight_gradient", "conv3d_weight_gradient", "conv_transpose1d", "sum_pool1d", "sum_pool2d", "avg_pool2d", "sum_pool_gradient", "avg_pool_gradient", "max_pool_gradient", "max_pool_tangent", "cumsum", "cumprod", "cholesky", "factorize", "inv", "solve", "solve_by_factors", "solve_triangular", "det", "slogdet", "sum_to", "add_at", "tanh", "logaddexp", "region"];
                                let summed = summed.contains(&case.op.as_str());
                                let exact = EXACT.contains(&case.op.as_str()) || !expected.dtype().is_float();
                                let most = if exact { 0.0 } else if summed { SUM_ULPS } else { ULPS };
                                let off = distance(expected.dtype(), &found.to_f64_vec(), &expected.to_f64_vec(), summed);
                                if off > most {
                                    failures.push(format!("{}: {off} ulp off\n    {found}\n    {expected}", what()));
                                }
                            }
                        }
                    }
                    (Err(expected), Err(found), _) if expected == found => {}
                    (expected, found, _) => failures.push(format!("{}:\n    {found:?}\n    {expected:?}", what())),
                }
            }
        }
    }
    // What is given by other ops runs as those.
    let left: Vec<&str> = BY_FALLBACK.iter().flat_map(|(ops, _)| ops.split(' ')).collect();
    let computed = |op: &dyn Op| {
        !op.is_symbolic() && !op.is_identity() && !op.has_decomposition() && !left.contains(&op.name())
    };
    let names: BTreeSet<String> = registry().iter().filter(|op| computed(&***op)).map(|op| op.name().to_owned()).collect();
    let missing: Vec<&String> = names.iter().filter(|name| !covered.contains(*name) && *name != "grad_barrier").collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    assert!(compared > 3000, "only {compared} runs were compared");
    let shown = failures.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} differ:\n{shown}", failures.len(), compared);
}
