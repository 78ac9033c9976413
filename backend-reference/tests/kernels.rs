//! Kernels against values that NumPy gives (2.x, by hand), and their errors.

use arignote_backend_reference::{KernelCall, kernel};
use arignote_core::ops::{Attribute, Attributes, IndexBound, IndexItem};
use arignote_core::tensor::DType::*;
use arignote_core::tensor::{DType, Dim, Tensor, Type};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn t(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape).unwrap().cast(dtype)
}

/// A vector.
fn v(dtype: DType, values: &[f64]) -> Tensor {
    t(dtype, &[values.len()], values)
}

/// A scalar.
fn s(dtype: DType, value: f64) -> Tensor {
    t(dtype, &[], &[value])
}

fn range(shape: &[usize]) -> Tensor {
    t(I64, shape, &(0..shape.iter().product::<usize>()).map(|i| i as f64).collect::<Vec<_>>())
}

fn none() -> Attributes {
    Attributes::new()
}

/// `axis` and `keepdims`.
fn axis(axis: impl Into<Attribute>, keepdims: bool) -> Attributes {
    none().with("axis", axis).with("keepdims", keepdims)
}

fn run(op: &str, operands: &[Tensor], attributes: &Attributes, ty: Type) -> arignote_core::Result<Tensor> {
    let types: Vec<Type> = operands.iter().map(Tensor::ty).collect();
    let call = KernelCall { op, operands, types: &types, attributes, results: &[ty] };
    Ok(kernel(op).expect(op).run(&call)?.remove(0))
}

/// The results must be equal: the shape, and every element to the last bit but for 4 units of rounding.
#[track_caller]
fn check(op: &str, operands: &[Tensor], attributes: Attributes, expected: Tensor) {
    let dims = expected.shape().iter().map(|_| Dim::Unknown);
    let found = run(op, operands, &attributes, Type::new(expected.dtype(), dims)).unwrap();
    let near = |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || a == b || ((a - b) / b).abs() < 1e-15;
    let equal = found.to_f64_vec().iter().zip(&expected.to_f64_vec()).all(near);
    assert!(found.shape() == expected.shape() && equal, "{op}: {found:?}, not {expected:?}");
}

#[track_caller]
fn refuses(op: &str, operands: &[Tensor], attributes: Attributes, dtype: DType, rank: usize, message: &str) {
    let error = run(op, operands, &attributes, Type::new(dtype, vec![Dim::Unknown; rank])).unwrap_err();
    assert!(error.message().contains(message), "{op}: {}", error.message());
    assert!(error.message().contains(op), "{}", error.message());
}

#[test]
fn integers_wrap_and_divide_as_numpy() {
    check("add", &[s(I8, 100.0), s(I8, 100.0)], none(), s(I8, -56.0));
    check("sub", &[s(U8, 1.0), s(U8, 2.0)], none(), s(U8, 255.0));
    check("mul", &[Tensor::scalar(u64::MAX), Tensor::scalar(u64::MAX)], none(), s(U64, 1.0));
    check("add", &[v(Bool, &[0.0, 1.0]), s(Bool, 1.0)], none(), v(Bool, &[1.0, 1.0]));
    let (x, y) = (v(I32, &[7.0, -7.0, 7.0, -7.0, 7.0]), v(I32, &[2.0, 2.0, -2.0, -2.0, 0.0]));
    check("floor_div", &[x.clone(), y.clone()], none(), v(I32, &[3.0, -4.0, -4.0, 3.0, 0.0]));
    check("mod", &[x.clone(), y.clone()], none(), v(I32, &[1.0, 1.0, -1.0, -1.0, 0.0]));
    check("div", &[x, y], none(), v(F64, &[3.5, -3.5, -3.5, 3.5, INF]));
    check("floor_div", &[Tensor::scalar(i64::MIN), s(I64, -1.0)], none(), Tensor::scalar(i64::MIN));
    check("abs", &[s(I8, -128.0)], none(), s(I8, -128.0));
    check("pow", &[v(I64, &[2.0, 1.0, -1.0, -1.0]), v(I64, &[-1.0, -1.0, -1.0, -2.0])], none(), v(I64, &[0.0, 1.0, -1.0, 1.0]));
    check("pow", &[s(I32, 3.0), s(I32, 21.0)], none(), s(I32, 1_870_418_611.0));
    check("shift_left", &[s(I32, 1.0), v(I32, &[3.0, 31.0, 32.0, -1.0])], none(), v(I32, &[8.0, -2_147_483_648.0, 0.0, 0.0]));
    check("shift_right", &[v(I8, &[-100.0, 100.0]), s(I8, 8.0)], none(), v(I8, &[-1.0, 0.0]));
    check("bitwise_not", &[v(U8, &[5.0])], none(), v(U8, &[250.0]));
    check("bitwise_not", &[v(Bool, &[1.0, 0.0])], none(), v(Bool, &[0.0, 1.0]));
    check("bitwise_xor", &[s(I64, -6.0), s(I64, 3.0)], none(), s(I64, -7.0));
    check("cast", &[v(F64, &[-1.9, 2.9])], none(), v(I32, &[-1.0, 2.0]));
}

#[test]
fn halves_are_rounded_once() {
    use arignote_core::tensor::{bf16, f16};
    let tie = 1.0 + 2f64.powi(-11);
    let values = [tie, tie + 2f64.powi(-40), -tie - 1e-13, 1e-300, f64::MAX, NAN];
    let expected = [0x3c00, 0x3c01, 0xbc01, 0, 0x7c00, 0x7e00].map(f16::from_bits);
    check("cast", &[v(F64, &values)], none(), Tensor::vector(expected.to_vec()));
    let tie = 1.0 + 2f64.powi(-8);
    let expected = [0x3f80, 0x3f81, 0x7f80].map(bf16::from_bits);
    check("cast", &[v(F64, &[tie, tie + 2f64.powi(-40), -f64::MIN])], none(), Tensor::vector(expected.to_vec()));
}

#[test]
fn floats_divide_and_round_as_numpy() {
    let (x, y) = (v(F64, &[7.0, -7.0, 7.5, -6.0, 1.0, INF, -1.0]), v(F64, &[-2.0, 2.0, 2.0, 3.0, 0.0, 1.0, INF]));
    check("floor_div", &[x.clone(), y.clone()], none(), v(F64, &[-4.0, -4.0, 3.0, -2.0, INF, NAN, -1.0]));
    check("mod", &[x, y], none(), v(F64, &[-1.0, 1.0, 1.5, 0.0, NAN, NAN, INF]));
    check("rint", &[v(F64, &[0.5, 1.5, 2.5, -0.5, -1.5])], none(), v(F64, &[0.0, 2.0, 2.0, -0.0, -2.0]));
    check("add", &[s(F16, 1.0), s(F16, 0.0005)], none(), Tensor::scalar(arignote_core::tensor::f16::from_bits(0x3c01)));
    check("div", &[s(F32, 1.0), s(F32, 3.0)], none(), Tensor::scalar(1f32 / 3.0));
    check("hypot", &[s(F64, 1e300), s(F64, 1e300)], none(), s(F64, 2f64.sqrt() * 1e300));
    check("xlogy", &[v(F64, &[0.0, 0.0]), v(F64, &[0.0, NAN])], none(), v(F64, &[0.0, NAN]));
    let infinities = [v(F64, &[-INF, INF, -INF, 1000.0]), v(F64, &[-INF, INF, 1.0, 1000.0])];
    check("logaddexp", &infinities, none(), v(F64, &[-INF, INF, 1.0, 1_000.693_147_180_56]));
}

#[test]
fn nan_and_order() {
    let (x, y) = (v(F32, &[1.0, NAN, 3.0]), v(F32, &[NAN, 2.0, 2.0]));
    check("maximum", &[x.clone(), y.clone()], none(), v(F32, &[NAN, NAN, 3.0]));
    check("minimum", &[x.clone(), y.clone()], none(), v(F32, &[NAN, NAN, 2.0]));
    check("ne", &[x.clone(), y.clone()], none(), v(Bool, &[1.0, 1.0, 1.0]));
    check("ge", &[x.clone(), y.clone()], none(), v(Bool, &[0.0, 0.0, 1.0]));
    check("lt", &[x.clone(), y], none(), v(Bool, &[0.0, 0.0, 0.0]));
    check("eq", &[Tensor::scalar(u64::MAX), Tensor::scalar(u64::MAX - 1)], none(), s(Bool, 0.0));
    check("isnan", std::slice::from_ref(&x), none(), v(Bool, &[0.0, 1.0, 0.0]));
    check("isfinite", &[v(I8, &[1.0])], none(), v(Bool, &[1.0]));
    check("logical_not", std::slice::from_ref(&x), none(), v(Bool, &[0.0, 0.0, 0.0]));
    check("max", std::slice::from_ref(&x), axis(Attribute::None, false), s(F32, NAN));
    check("argmax", std::slice::from_ref(&x), axis(Attribute::None, false), s(I64, 1.0));
    check("argmin", &[v(F64, &[2.0, 1.0, 1.0])], axis(0i64, true), v(I64, &[1.0]));
    check("clip", &[v(F64, &[-5.0, 0.5, NAN, 5.0]), s(F64, -1.0), s(F64, 1.0)], none(), v(F64, &[-1.0, 0.5, NAN, 1.0]));
    check("where", &[t(Bool, &[2, 1], &[1.0, 0.0]), x, s(F32, 9.0)], none(), t(F32, &[2, 3], &[1.0, NAN, 3.0, 9.0, 9.0, 9.0]));
}

#[test]
fn broadcasting() {
    let (x, y) = (range(&[2, 1]), range(&[3]));
    check("add", &[x, y], none(), t(I64, &[2, 3], &[0.0, 1.0, 2.0, 1.0, 2.0, 3.0]));
    check("mul", &[range(&[0, 3]), range(&[1, 1])], none(), range(&[0, 3]));
    refuses("add", &[range(&[2, 3]), range(&[4])], none(), I64, 2, "[2, 3] and [4] do not broadcast");
    check("sum_to", &[range(&[2, 3]), v(I64, &[3.0])], none(), v(I64, &[3.0, 5.0, 7.0]));
    check("sum_to", &[range(&[2, 3]), v(I64, &[2.0, 1.0])], none(), t(I64, &[2, 1], &[3.0, 12.0]));
    check("sum_to", &[range(&[2, 3]), v(I64, &[])], none(), s(I64, 15.0));
}

#[test]
fn reductions() {
    let x = range(&[2, 3]);
    check("sum", std::slice::from_ref(&x), axis(-1i64, false), v(I64, &[3.0, 12.0]));
    check("sum", std::slice::from_ref(&x), axis(vec![0, 1], true), t(I64, &[1, 1], &[15.0]));
    check("prod", std::slice::from_ref(&x), axis(0i64, false), v(I64, &[0.0, 4.0, 10.0]));
    check("mean", std::slice::from_ref(&x), axis(Attribute::None, false), s(F64, 2.5));
    check("mean", &[t(F64, &[0], &[])], axis(Attribute::None, false), s(F64, NAN));
    check("sum", &[t(I64, &[2, 0], &[])], axis(1i64, false), v(I64, &[0.0, 0.0]));
    check("sum", &[s(F32, 5.0)], axis(Attribute::None, false), s(F32, 5.0));
    check("max", &[t(F64, &[0, 3], &[])], axis(1i64, false), v(F64, &[]));
    refuses("max", &[t(F64, &[0, 3], &[])], axis(0i64, false), F64, 1, "no elements");
    refuses("sum", &[range(&[2])], axis(1i64, false), I64, 0, "axis 1 is out of range");
    check("all", &[t(F64, &[0], &[])], axis(Attribute::None, false), s(Bool, 1.0));
    check("any", &[x], axis(1i64, false), v(Bool, &[1.0, 1.0]));
    check("sum", &[v(F32, &[1e8, 1.0, -1e8])], axis(0i64, false), s(F32, 1.0));
    let rows = t(F64, &[4, 2], &[-INF, -INF, 1000.0, 1000.0, INF, 0.0, NAN, INF]);
    check("logsumexp", &[rows], axis(1i64, false), v(F64, &[-INF, 1_000.693_147_180_56, INF, NAN]));
}

#[test]
fn products_of_matrices() {
    check("matmul", &[range(&[2, 3]), range(&[3])], none(), v(I64, &[5.0, 14.0]));
    check("matmul", &[range(&[2, 2, 3]), range(&[3, 2])], none(), t(I64, &[2, 2, 2], &[10.0, 13.0, 28.0, 40.0, 46.0, 67.0, 64.0, 94.0]));
    check("matmul", &[range(&[2]), range(&[2, 2, 3])], none(), t(I64, &[2, 3], &[3.0, 4.0, 5.0, 9.0, 10.0, 11.0]));
    check("matmul", &[range(&[2, 0]), range(&[0, 2])], none(), t(I64, &[2, 2], &[0.0; 4]));
    refuses("matmul", &[range(&[2, 3]), range(&[2])], none(), I64, 1, "3 on the left, 2 on the right");
}

#[test]
fn shapes() {
    let x = range(&[2, 3]);
    check("reshape", &[x.clone(), v(I64, &[3.0, -1.0])], none(), range(&[3, 2]));
    check("reshape", &[x.clone(), v(I64, &[6.0])], none(), range(&[6]));
    refuses("reshape", &[x.clone(), v(I64, &[4.0, -1.0])], none(), I64, 2, "6 elements");
    refuses("reshape", &[range(&[0]), v(I64, &[0.0, -1.0])], none(), I64, 2, "cannot reshape");
    refuses("reshape", &[x.clone(), v(I64, &[-2.0])], none(), I64, 1, "found -2");
    let turned = t(I64, &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    check("transpose", std::slice::from_ref(&x), none().with("axes", Attribute::None), turned.clone());
    check("transpose", std::slice::from_ref(&x), none().with("axes", vec![-1, 0]), turned);
    check("expand_dims", std::slice::from_ref(&x), none().with("axis", -1i64), range(&[2, 3, 1]));
    check("squeeze", &[range(&[1, 2, 1])], none().with("axis", Attribute::None), range(&[2]));
    refuses("squeeze", std::slice::from_ref(&x), none().with("axis", 0i64), I64, 1, "length 2");
    check("concatenate", &[x.clone(), range(&[2, 1])], none().with("axis", 1i64), t(I64, &[2, 4], &[0.0, 1.0, 2.0, 0.0, 3.0, 4.0, 5.0, 1.0]));
    check("stack", &[range(&[2]), v(F64, &[5.5, 6.0])], none().with("axis", -1i64), t(F64, &[2, 2], &[0.0, 5.5, 1.0, 6.0]));
    check("flip", std::slice::from_ref(&x), none().with("axis", 0i64), t(I64, &[2, 3], &[3.0, 4.0, 5.0, 0.0, 1.0, 2.0]));
    check("shape", &[x], none(), v(I64, &[2.0, 3.0]));
    check("broadcast_to", &[range(&[2, 1]), v(I64, &[2, 2].map(f64::from))], none(), t(I64, &[2, 2], &[0.0, 0.0, 1.0, 1.0]));
    refuses("broadcast_to", &[range(&[2]), v(I64, &[1e15, 1e15, 2.0])], none(), I64, 3, "does not fit into memory");
    refuses("broadcast_to", &[range(&[2]), v(I64, &[1.0])], none(), I64, 1, "does not broadcast");
}

fn items(items: Vec<IndexItem>) -> Attributes {
    let mut attributes = none();
    attributes.set("index", Attribute::Index(items));
    attributes
}

fn slice(start: Option<i64>, stop: Option<i64>, step: i64) -> IndexItem {
    let bound = |bound: Option<i64>| bound.map_or(IndexBound::Open, IndexBound::At);
    IndexItem::Slice { start: bound(start), stop: bound(stop), step }
}

#[test]
fn indexing() {
    use IndexItem::*;
    let x = range(&[2, 3, 4]);
    let all = || slice(None, None, 1);
    let index = |list, operands: &[Tensor], expected: Tensor| {
        check("index", &[std::slice::from_ref(&x), operands].concat(), items(list), expected);
    };
    let reversed = [19.0, 17.0, 23.0, 21.0, 7.0, 5.0, 11.0, 9.0];
    index(vec![slice(None, None, -1), slice(Some(1), None, 1), slice(None, None, -2)], &[], t(I64, &[2, 2, 2], &reversed));
    index(vec![At(1), all(), Operand(0)], &[v(I64, &[0.0, 2.0])], t(I64, &[2, 3], &[12.0, 16.0, 20.0, 14.0, 18.0, 22.0]));
    let mask = v(Bool, &[1.0, 0.0, 1.0]);
    index(vec![all(), Operand(0), At(1)], &[mask], t(I64, &[2, 2], &[1.0, 9.0, 13.0, 21.0]));
    let fives = t(Bool, &[2, 3, 4], &(0..24).map(|i| f64::from(i % 5 == 0)).collect::<Vec<_>>());
    index(vec![Operand(0)], &[fives], v(I64, &[0.0, 5.0, 10.0, 15.0, 20.0]));
    index(vec![At(-1), At(-1), At(-1)], &[], s(I64, 23.0));
    index(vec![Ellipsis, NewAxis, At(0)], &[], t(I64, &[2, 3, 1], &[0.0, 4.0, 8.0, 12.0, 16.0, 20.0]));
    index(vec![slice(Some(5), Some(9), 1)], &[], range(&[0, 3, 4]));
    index(vec![Operand(0), Ellipsis, Operand(0)], &[v(I64, &[0.0, 1.0])], t(I64, &[2, 3], &[0.0, 4.0, 8.0, 13.0, 17.0, 21.0]));

    let operands = [range(&[5, 4, 3, 2]), t(I64, &[1, 3], &[0.0, 1.0, 1.0])];
    for (list, shape) in [
        (vec![all(), Operand(0), Operand(0), Ellipsis], vec![5, 1, 3, 2]),
        (vec![all(), Operand(0), Ellipsis, Operand(0)], vec![1, 3, 5, 3]),
        (vec![At(0), all(), Operand(0)], vec![1, 3, 4, 2]),
        (vec![Ellipsis, Operand(0)], vec![5, 4, 3, 1, 3]),
        (vec![Ellipsis, Operand(0), Ellipsis], vec![]),
    ] {
        let result = run("index", &operands, &items(list), Type::new(I64, vec![Dim::Unknown; shape.len()]));
        match result {
            Ok(result) => assert_eq!(result.shape(), shape),
            Err(error) => assert!(shape.is_empty() && error.message().contains("at most one"), "{error}"),
        }
    }
}

#[test]
fn indexing_refuses() {
    use IndexItem::*;
    let x = range(&[5]);
    let out = "index 7 is out of range for axis 0 of length 5";
    refuses("index", std::slice::from_ref(&x), items(vec![At(7)]), I64, 0, out);
    refuses("index", &[x.clone(), v(I32, &[0.0, 7.0])], items(vec![Operand(0)]), I64, 1, out);
    let first = none().with("axis", 0i64).with("mode", "raise");
    refuses("take", &[x.clone(), s(I64, 7.0)], first, I64, 0, out);
    refuses("index", &[x.clone(), v(Bool, &[1.0])], items(vec![Operand(0)]), I64, 1, "a mask of length 1");
    refuses("index", std::slice::from_ref(&x), items(vec![At(0), At(0)]), I64, 0, "too long");
    refuses("index", std::slice::from_ref(&x), items(vec![slice(None, None, 0)]), I64, 1, "step");
    refuses("index", std::slice::from_ref(&x), items(vec![Operand(3)]), I64, 1, "operand 3");
    refuses("set_at", &[x.clone(), range(&[3])], items(vec![slice(None, Some(2), 1)]), I64, 1, "does not fit the selection");
    refuses("one_hot", &[x], none().with("depth", 3i64), I64, 2, "index 3 is out of range");
}

#[test]
fn writing_at_places() {
    use IndexItem::*;
    let x = range(&[2, 3]);
    check("set_at", &[x.clone(), s(I64, 9.0)], items(vec![Ellipsis, At(1)]), t(I64, &[2, 3], &[0.0, 9.0, 2.0, 3.0, 9.0, 5.0]));
    let twice = v(I64, &[0.0, 0.0]);
    check("add_at", &[x.clone(), range(&[2, 1]), twice], items(vec![Operand(0)]), t(I64, &[2, 3], &[1.0, 2.0, 3.0, 3.0, 4.0, 5.0]));
    let along = |axis: Attribute| none().with("axis", axis).with("mode", "raise");
    let last_first = t(I64, &[1, 2], &[-1.0, 0.0]);
    check("take", &[x.clone(), last_first], along(1i64.into()), t(I64, &[2, 1, 2], &[2.0, 0.0, 5.0, 3.0]));
    check("take", &[x, s(I64, 4.0)], along(Attribute::None), s(I64, 4.0));
    check("one_hot", &[v(I64, &[1.0, 0.0])], none().with("depth", 2i64), t(F32, &[2, 2], &[0.0, 1.0, 1.0, 0.0]));
}

#[test]
fn creation() {
    check("zeros", &[v(I64, &[2.0, 0.0])], none(), range(&[2, 0]));
    check("ones", &[v(I64, &[])], none(), s(F32, 1.0));
    check("full", &[v(I64, &[2.0]), s(I64, 7.0)], none(), v(I64, &[7.0, 7.0]));
    refuses("zeros", &[v(I64, &[2.0, -3.0])], none(), F64, 2, "found -3");
    refuses("zeros", &[v(I64, &[4e18, 4.0])], none(), F64, 2, "does not fit into memory");
    check("arange", &[s(F64, 0.0), s(F64, 1.0), s(F64, 0.3)], none(), v(F64, &[0.0, 0.3, 0.6, 0.9]));
    check("arange", &[s(I64, 5.0), s(I64, 0.0), s(I64, -2.0)], none(), v(I64, &[5.0, 3.0, 1.0]));
    check("arange", &[s(I64, 3.0)], none(), range(&[3]));
    check("arange", &[s(I64, 3.0), s(I64, 1.0)], none(), range(&[0]));
    refuses("arange", &[s(I64, 0.0), s(I64, 3.0), s(I64, 0.0)], none(), I64, 1, "step");
    refuses("arange", &[s(F64, INF)], none(), F64, 1, "finitely many");
    check("eye", &[s(I64, 2.0), s(I64, 3.0)], none().with("k", 1i64), t(F64, &[2, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0]));
    check("ones_like", &[range(&[1, 2])], none(), t(I64, &[1, 2], &[1.0, 1.0]));
}

#[test]
fn softmax_and_relatives() {
    let x = t(F64, &[2, 3], &[1.0, 2.0, 3.0, 1001.0, 1001.0, 1001.0]);
    let third = 1.0 / 3.0;
    let soft = [0.090_030_573_170_380_46, 0.244_728_471_054_797_67, 0.665_240_955_774_821_8, third, third, third];
    check("softmax", std::slice::from_ref(&x), none().with("axis", -1i64), t(F64, &[2, 3], &soft));
    let logs = [1.0, 2.0, 3.0].map(|x| x - 3.407_605_964_444_38).into_iter().chain([-(3f64.ln()); 3]);
    check("log_softmax", std::slice::from_ref(&x), none().with("axis", 1i64), t(F64, &[2, 3], &logs.collect::<Vec<_>>()));
    check("cross_entropy", &[x.clone(), v(I64, &[0.0, 2.0])], none(), v(F64, &[2.407_605_964_444_38, 3f64.ln()]));
    refuses("cross_entropy", &[x, v(I64, &[0.0, 3.0])], none(), F64, 1, "label 3 is out of range for 3 classes");
    check("softmax", &[t(F64, &[2, 1], &[0.0, -INF])], none().with("axis", 0i64), t(F64, &[2, 1], &[1.0, 0.0]));
}

#[test]
fn random_numbers_come_from_the_counter() {
    let key = Tensor::vector(vec![0u64, 0]);
    let words = [0x6627_e8d5u32, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
    let expected = words.map(|word| f64::from(word >> 8) / 16_777_216.0);
    check("uniform", &[key.clone(), v(I64, &[4.0])], none(), v(F32, &expected));
    check("uniform", &[key.clone(), v(I64, &[])], none(), s(F32, expected[0]));
    let normals = run("normal", &[key.clone(), v(I64, &[20_000.0])], &none(), Type::new(F64, [Dim::Unknown])).unwrap();
    let list = normals.to_f64_vec();
    let mean = list.iter().sum::<f64>() / list.len() as f64;
    let variance = list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / list.len() as f64;
    assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    refuses("uniform", &[v(I64, &[1.0, 2.0]), v(I64, &[2.0])], none(), F32, 1, "a key is u64[2]");
}
