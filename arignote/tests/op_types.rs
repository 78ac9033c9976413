//! Types, known sizes and errors of reductions, products of matrices and shape ops; kernels are
//! tested with the backends.

use arignote::graph::Var;
use arignote::lang::{Source, lower, parse};
use arignote::ops::{Attributes, ShapeOperand, Vjp, complete_attributes, registry};
use arignote::tensor::{DType, Tensor, Type};

/// The type of an expression over some inputs, or the message of its error.
fn typed(expr: &str) -> String {
    let inputs = "x: f32[n, 4], y: f32[2, 3, 4], v: f32[3], s: f32[], h: f16[2, 3], i: i32[n], b: bool[2], e: f32[0, 2], l: f32[n, 1]";
    let text = format!("fn f({inputs}) {{\nreturn {expr}\n}}");
    let file = parse(Source::new("t.arig", text)).unwrap_or_else(|error| panic!("{error}"));
    match lower(&file, None).and_then(|function| function.outputs[0].1.ty().cloned()) {
        Ok(ty) => ty.to_string(),
        Err(error) => error.message().to_owned(),
    }
}

fn check(rows: &[(&str, &str)]) {
    for (expr, expected) in rows {
        let found = typed(expr);
        let holds = match expected.strip_prefix('!') {
            Some(part) => found.contains(part),
            None => found == *expected,
        };
        assert!(holds, "{expr}: expected {expected}, found {found}");
    }
}

#[test]
fn reductions() {
    check(&[
        ("sum(x)", "f32[]"),
        ("sum(x, axis=0)", "f32[4]"),
        ("sum(x, axis=[0, -1], keepdims=true)", "f32[1, 1]"),
        ("sum(h, dtype=f64)", "f64[]"),
        ("sum(i)", "i64[]"),
        ("prod(b)", "i64[]"),
        ("mean(i)", "f64[]"),
        ("max(e, axis=1)", "f32[0]"),
        ("max(e, axis=0)", "!no elements"),
        ("argmax(x, axis=-1)", "i64[n]"),
        ("argmax(y, axis=[0, 1])", "!one axis or none"),
        ("all(x, axis=1)", "bool[n]"),
        ("sum(x, axis=2)", "!out of range"),
        ("sum_to(y, [3, 1])", "f32[3, 1]"),
        ("reduce(i, \"bitwise_xor\")", "i32[]"),
        ("reduce(y, \"maximum\", axis=[0, 2], keepdims=true)", "f32[1, 3, 1]"),
        ("reduce(x, \"logical_xor\", axis=0)", "bool[4]"),
        ("reduce(x, \"bitwise_and\")", "!bitwise_and"),
        ("reduce(b, \"eq\")", "bool[]"),
        ("reduce(x, \"eq\")", "!it must give what it takes"),
        ("reduce(x, \"sub\")", "!two operands that may change places, which `sub` is not"),
        ("reduce(x, \"bitwise\")", "!there is no op `bitwise`"),
        ("sum_to(y, [2, 4])", "!cannot sum"),
    ]);
}

#[test]
fn products_of_matrices() {
    check(&[
        ("v @ v", "f32[]"),
        ("y @ ones(5, 4, 6)", "!5"),
        ("y @ ones(4, 6)", "f32[2, 3, 6]"),
        ("ones(3) @ y", "f32[2, 4]"),
        ("x @ ones(4)", "f32[n]"),
        ("x @ v", "!4, the matching axis of y 3"),
        ("s @ v", "!at least one axis"),
        ("dot(s, v)", "f32[3]"),
        ("dot(y, ones(5, 4, 6))", "f32[2, 3, 5, 6]"),
        ("outer(v, y)", "f32[3, 24]"),
    ]);
}

#[test]
fn shapes_and_sizes() {
    check(&[
        ("reshape(y, [6, -1])", "f32[6, 4]"),
        ("reshape(y, [5, -1])", "!24 elements"),
        ("reshape(y, [5])", "!24 elements"),
        ("reshape(x, [-1, 4])", "f32[n, 4]"),
        ("reshape(x, [shape(x)[0], 2, 2])", "f32[n, 2, 2]"),
        ("flatten(l)", "f32[n]"),
        ("transpose(y, axes=[2, 0, 1])", "f32[4, 2, 3]"),
        ("transpose(y, axes=[0, 0, 1])", "!each of the 3 axes once"),
        ("swapaxes(y, 0, -1)", "f32[4, 3, 2]"),
        ("broadcast_to(v, [2, shape(v)[0]])", "f32[2, 3]"),
        ("broadcast_to(v, [2, 4])", "!cannot broadcast"),
        ("expand_dims(x, -1)", "f32[n, 4, 1]"),
        ("squeeze(l, axis=1)", "f32[n]"),
        ("squeeze(y, axis=1)", "!does not have length 1"),
        ("squeeze(l)", "!`axis` must be given"),
        ("concatenate([y, y], axis=1)", "f32[2, 6, 4]"),
        ("concatenate([x, x], axis=1)", "f32[n, 8]"),
        ("concatenate([x, y])", "!another number of axes"),
        ("stack([x, x], axis=1)", "f32[n, 2, 4]"),
        ("zeros(shape(x), dtype=f32)", "f32[n, 4]"),
        ("zeros(shape(x)[0], 100, dtype=f32)", "f32[n, 100]"),
        ("zeros(concatenate([shape(x), shape(v)]), dtype=f32)", "f32[n, 4, 3]"),
        ("zeros(prod(shape(y)), dtype=f32)", "f32[24]"),
        ("softmax(i)", "f64[n]"),
        ("cross_entropy(x, i)", "f32[n]"),
        ("cross_entropy(x, v)", "!labels"),
    ]);
}

#[test]
fn concrete_shapes() {
    let shape = |op: &str, x: &[usize], sizes: &[i64]| {
        let op = registry().get(op).unwrap();
        let value = Tensor::vector(sizes.to_vec());
        let operands = [ShapeOperand { shape: x, value: None }, ShapeOperand { shape: &[sizes.len()], value: Some(&value) }];
        match op.shapes(&operands, &Attributes::new()) {
            Ok(shapes) => format!("{:?}", shapes[0].as_slice()),
            Err(error) => error.message().to_owned(),
        }
    };
    assert_eq!(shape("reshape", &[2, 6], &[3, -1]), "[3, 4]");
    assert_eq!(shape("reshape", &[0, 6], &[-1]), "[0]");
    assert!(shape("reshape", &[0, 6], &[0, -1]).contains("do not fill"));
    assert!(shape("reshape", &[2, 6], &[-1, -1]).contains("does not fit"));
    assert!(shape("reshape", &[2, 6], &[-3, 4]).contains("does not fit"));
    assert!(shape("reshape", &[2], &[i64::MAX, 4]).contains("too large"));
    assert_eq!(shape("broadcast_to", &[3, 1], &[2, 3, 4]), "[2, 3, 4]");
    assert!(shape("broadcast_to", &[3], &[2]).contains("cannot be broadcast"));
    assert_eq!(shape("sum_to", &[2, 3, 4], &[3, 1]), "[3, 1]");
    assert!(shape("sum_to", &[2, 3], &[2]).contains("cannot be summed"));
}

#[test]
fn parts_and_order() {
    check(&[
        ("split(y, 3, axis=1)", "f32[2, 1, 4]"),
        ("split(y, [1], axis=-1)", "f32[2, 3, 1]"),
        ("split(y, 2, axis=1)", "!does not divide into 2"),
        ("tile(x, [2, 1])", "f32[?, 4]"),
        ("tile(v, [2, 2])", "f32[2, 6]"),
        ("repeat(y, 2, axis=1)", "f32[2, 6, 4]"),
        ("repeat(v, [1, 0, 3])", "f32[4]"),
        ("repeat(v, [1, 2])", "!i64[2] counts for an axis of length 3"),
        ("roll(x, 1, axis=0)", "f32[n, 4]"),
        ("roll(x, i[0], axis=1)", "f32[n, 4]"),
        ("moveaxis(y, 0, -1)", "f32[3, 4, 2]"),
        ("moveaxis(y, [0, 0], [1, 2])", "!twice"),
        ("pad(v, [1, 2])", "f32[6]"),
        ("pad(y, 1, mode=\"edge\")", "f32[4, 5, 6]"),
        ("pad(v, [[1, 2], [3, 4]])", "!a pair for each of 1 axes"),
        ("meshgrid(v, i)", "f32[n, 3]"),
        ("tril(x)", "f32[n, 4]"),
        ("diag(v, 1)", "f32[4, 4]"),
        ("diag(i)", "i32[n, n]"),
        ("diagonal(y, axis1=1, axis2=2)", "f32[2, 3]"),
        ("diagonal(y, axis1=1, axis2=1)", "!the same axis"),
        ("linspace(s, 1, 7)", "f32[7]"),
        ("pack(v, y, h)", "f32[33]"),
        ("pack(x, v)", "f32[?]"),
        ("pack(y, h, axes=0)", "f32[2, 15]"),
        ("pack(y, v, axes=[0, -1])", "!2 axes stay as they are, but f32[3] has 1"),
        ("pack(y, axes=1)", "!the first ones, from 0 on"),
        ("unpack(ones(6), [2, 3])", "f64[2, 3]"),
        ("unpack(ones(7), [2, 3])", "!the values have 6 elements, but the axis that is taken apart has 7"),
        ("unpack(y, [2, 3])", "!one is taken apart"),
        ("concat_with_broadcast([y, ones(1, 2, 4)], axis=1)", "f32[2, 5, 4]"),
        ("concat_with_broadcast([y, x])", "!equally many axes"),
        ("specify_shape(x, [3, -1])", "f32[3, 4]"),
        ("specify_shape(x, [3, 5])", "!length 4 is said to have 5"),
        ("sort(x)", "f32[n, 4]"),
        ("argsort(x, axis=None)", "i64[?]"),
        ("topk(x, 2)", "f32[n, 2]"),
        ("topk(x, 5)", "!no 5 elements"),
        ("unique(x)", "f32[?]"),
        ("unique(x, axis=1)", "f32[n, ?]"),
        ("cumsum(i)", "i64[n]"),
        ("cumprod(y, axis=3)", "!out of range"),
        ("var(x, axis=0)", "f32[4]"),
        ("median(x, axis=1, keepdims=true)", "f32[n, 1]"),
        ("quantile(x, [0.1, 0.9], axis=1)", "f32[2, n]"),
        ("quantile(x, 0.5, method=\"exact\")", "!`method` is"),
        ("diff(y, n=2)", "f32[2, 3, 2]"),
        ("take_along_axis(x, argsort(x), axis=1)", "f32[n, 4]"),
        ("take(y, [0, 9], axis=2, mode=\"clip\")", "f32[2, 3, 2]"),
        ("choose(i, [1.5, s])", "f32[n]"),
    ]);
}

#[test]
fn windows_and_transforms() {
    check(&[
        ("conv1d(y, ones(5, 3, 2, dtype=f32), padding=\"same\")", "f32[2, 5, 4]"),
        ("conv1d(y, ones(6, 1, 2, dtype=f32), stride=2, padding=[[0, 1]], groups=3)", "f32[2, 6, 2]"),
        ("conv1d(y, ones(5, 3, 2), stride=9223372036854775807, dilation=9223372036854775807)", "!too large"),
        ("conv_transpose1d(y, ones(3, 2, 2, dtype=f32), stride=2)", "f32[2, 2, 8]"),
        ("conv_transpose1d(y, ones(3, 2, 2), stride=9223372036854775807)", "!too large"),
        ("max_pool1d(x, window=3)", "f32[n, 1]"),
        ("max_pool1d(x, window=3, ceil_mode=true)", "f32[n, 2]"),
        ("max_pool1d(i, window=1)", "i32[n]"),
        ("avg_pool1d(y, window=9223372036854775807)", "!does not fit into 4"),
        ("layer_norm(x)", "f32[n, 4]"),
        ("bilinear_kernel_1d(3)", "f64[5]"),
        ("bilinear_kernel_1d(i[0], dtype=f32)", "f32[?]"),
        ("bilinear_kernel_2d([3, 2])", "f64[5, 3]"),
        ("bilinear_kernel_1d(0)", "!at least 1"),
        ("frac_bilinear_upsampling(ones(1, 2, 5, 4), [3, 2])", "f64[1, 2, 8, 6]"),
        ("frac_bilinear_upsampling(ones(1, 2, 5, 4), [3, 0])", "!whole numbers of at least 1, not [3, 0]"),
        ("frac_bilinear_upsampling(ones(1, 2, 5, 4), 3)", "!`frac_ratio` is"),
        ("group_norm(y, groups=3)", "f32[2, 3, 4]"),
        ("dropout(x, cast([1, 2], u64))", "f32[n, 4]"),
        ("embedding(i, x)", "f32[n, 4]"),
        ("softmax_cross_entropy(x, x)", "f32[n]"),
        ("rfft(x)", "f32[n, 3, 2]"),
        ("irfft(rfft(x))", "f32[n, 4]"),
        ("fft(rfft(y), n=7)", "f32[2, 3, 7, 2]"),
        ("rfft(y, n=9223372036854775807)", "!`n` is"),
    ]);
}

#[test]
fn draws() {
    let key = "cast([1, 2], u64)";
    let rows = [
        ("uniform(key)", "f64[]"),
        ("uniform(key, shape(x), dtype=bf16)", "bf16[n, 4]"),
        ("fold_in(key, i)", "u64[n, 2]"),
        ("split_key(key, shape(x)[0])", "u64[n, 2]"),
        ("random_gamma(key, x)", "f32[n, 4]"),
        ("random_gamma(key, i)", "f64[n]"),
        ("random_gamma(key, l, shape(x))", "f32[n, 4]"),
        ("random_gamma(key, v, 5, 3)", "f32[5, 3]"),
        ("random_gamma(key, v, 5)", "!operands of the shape [3] do not broadcast to draws of the shape [5]"),
        ("random_beta(key, h, v)", "f32[2, 3]"),
        ("student_t(key, v, 9223372036854775807, 9223372036854775807)", "!cannot broadcast"),
        ("poisson(key, x, dtype=u8)", "u8[n, 4]"),
        ("binomial(key, i, 0.5)", "i64[n]"),
        ("multinomial(key, 4, x)", "i64[n, 4]"),
        ("multinomial(key, i, v, 2, shape(i)[0])", "i64[2, n, 3]"),
        ("categorical(key, y, axis=1)", "i64[2, 4]"),
        ("categorical(key, y, 5, 2, 3)", "i64[5, 2, 3]"),
        ("dirichlet(key, x)", "f32[n, 4]"),
        ("dirichlet(key, v, 2)", "f32[2, 3]"),
        ("multivariate_normal(key, v, eye(3, dtype=f32))", "f32[3]"),
        ("multivariate_normal(key, v, eye(3, dtype=f32), 2, 5)", "f32[2, 5, 3]"),
        ("permutation(key, x)", "f32[n, 4]"),
        ("permutation(key, 5)", "i64[5]"),
        ("shuffle_row_elements(key, x)", "f32[n, 4]"),
        ("shuffle_row_elements(key, s)", "!rows have an axis"),
        ("choice(key, y, 2, 2, axis=1)", "f32[2, 2, 2, 4]"),
        ("choice(key, i, p=i)", "i32[]"),
        ("bernoulli(key, h)", "bool[2, 3]"),
        ("randint(key, 0, i)", "i64[n]"),
        ("assert(x, b, \"\")", "f32[n, 4]"),
        ("print(shape(y))", "i64[3]"),
        ("zeros(print(shape(y)))", "f64[2, 3, 4]"),
    ];
    for (expr, expected) in rows {
        check(&[(&expr.replace("(key", &format!("({key}")), expected)]);
    }
}

/// Every cotangent has the dtype, and as far as known the dims, of its operand.
#[test]
fn cotangents_fit_their_operands() {
    let input = |dtype, dims: &[usize]| Var::input("x", Type::of_shape(dtype, dims));
    let (f, h) = (DType::F32, DType::F16);
    let int = |axis: i64| Attributes::new().with("axis", axis);
    let rows: Vec<(&str, Vec<Var>, Attributes)> = vec![
        ("sum", vec![input(h, &[2, 3])], int(1).with("dtype", DType::F64)),
        ("mean", vec![input(h, &[2, 3])], int(0)),
        ("prod", vec![input(f, &[2, 3])], Attributes::new().with("keepdims", true)),
        ("max", vec![input(f, &[2, 3])], int(-1)),
        ("logsumexp", vec![input(f, &[2, 3])], Attributes::new()),
        ("vector_norm", vec![input(h, &[2, 3])], int(1)),
        ("matmul", vec![input(f, &[3]), input(f, &[3])], Attributes::new()),
        ("matmul", vec![input(f, &[3]), input(f, &[5, 3, 4])], Attributes::new()),
        ("matmul", vec![input(f, &[5, 2, 3]), input(f, &[3])], Attributes::new()),
        ("matmul", vec![input(f, &[5, 2, 3]), input(f, &[3, 4])], Attributes::new()),
        ("matmul", vec![input(f, &[5, 1, 2, 3]), input(f, &[7, 3, 4])], Attributes::new()),
        ("concatenate", vec![input(f, &[2, 3]), input(DType::F64, &[2, 4])], int(1)),
        ("stack", vec![input(f, &[2]), input(f, &[2])], int(1)),
        ("transpose", vec![input(f, &[2, 3, 4])], Attributes::new().with("axes", vec![1, 2, 0])),
        ("squeeze", vec![input(f, &[1, 3, 1])], Attributes::new()),
        ("expand_dims", vec![input(f, &[3])], int(-1)),
        ("softmax", vec![input(f, &[2, 3])], int(0)),
        ("cross_entropy", vec![input(f, &[2, 3]), input(DType::I32, &[2])], Attributes::new()),
    ];
    for (name, operands, attributes) in rows {
        let op = registry().get(name).unwrap();
        let y = Var::apply(name, &operands, attributes.clone());
        let attributes = complete_attributes(&*op, attributes).unwrap();
        let g = Var::input("g", y.ty().unwrap_or_else(|error| panic!("{error}")).clone());
        let context = Vjp { operands: &operands, results: &[y], cotangents: &[Some(g)], attributes: &attributes };
        for (x, cotangent) in operands.iter().zip(op.vjp(&context).unwrap()) {
            let (x, found) = (x.ty().unwrap(), cotangent.map(|c| c.ty().unwrap_or_else(|e| panic!("{name}: {e}")).clone()));
            match found {
                Some(found) => {
                    assert_eq!(found.dtype, x.dtype, "{name}");
                    assert_eq!(found.rank(), x.rank(), "{name}");
                    assert!(found.dims.iter().zip(&x.dims).all(|(a, b)| a.compatible(b)), "{name}: {found} for {x}");
                }
                None => assert!(!x.dtype.is_float(), "{name}"),
            }
        }
    }
}
