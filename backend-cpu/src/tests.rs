//! Tests on graphs of stand-in ops, so that only this backend is under test.

use std::sync::Arc;

use arignote_core::graph::{Graph, Var};
use arignote_core::ops::{Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, ShapeOperand};
use arignote_core::plugin::{
    Argument, CompileOptions, Device, Executable, Host, HostKernel, LogLevel, NodeQuery, StatementNote, Support,
};
use arignote_core::tensor::{DType, DeviceTensor, Dim, Shape, Tensor, Type};
use arignote_core::{Error, ErrorKind, Result};

use crate::CpuDevice;

pub struct TestHost;
impl Host for TestHost {
    fn log(&self, _: LogLevel, _: &str) {}
    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| (0..count).for_each(|at| drop(scope.spawn(move || body(at)))));
    }
    fn threads(&self) -> usize {
        2
    }
    fn kernel(&self, op: &str) -> Option<Arc<dyn HostKernel>> {
        (op == "test::halve").then(|| Arc::new(Halve) as Arc<dyn HostKernel>)
    }
}

/// A plugin's kernel: halves f32, fails on NaN.
struct Halve;
impl HostKernel for Halve {
    fn supports(&self, node: &NodeQuery<'_>) -> Support {
        match node.operands[0].dtype {
            DType::F32 => Support::Yes(vec![(0, 0)]),
            dtype => Support::No(format!("f32 only, not {dtype}")),
        }
    }
    fn run(&self, _: &Attributes, operands: &[Option<&Tensor>], results: &mut [Tensor]) -> Result<()> {
        if let Some(operand) = operands[0] {
            results[0] = operand.clone();
        }
        let values = results[0].as_mut_slice::<f32>()?;
        if values.iter().any(|value| value.is_nan()) {
            return Err(Error::new(ErrorKind::Runtime, "nan"));
        }
        values.iter_mut().for_each(|value| *value /= 2.0);
        Ok(())
    }
}

pub type ShapeRule = fn(&[&[usize]]) -> Result<Shape>;

struct Stub(&'static str, DType, usize, ShapeRule);
impl Op for Stub {
    fn name(&self) -> &str {
        self.0
    }
    fn params(&self) -> &[Param] {
        const PARAMS: &[Param] = &[
            Param { name: "x", kind: ParamKind::Operands, doc: "" },
            Param { name: "axis", kind: ParamKind::Attribute(AttributeKind::Axes, Some(Attribute::None)), doc: "" },
            Param { name: "axes", kind: ParamKind::Attribute(AttributeKind::Axes, Some(Attribute::None)), doc: "" },
        ];
        PARAMS
    }
    fn doc(&self) -> &str {
        ""
    }
    fn infer(&self, _: &[Operand<'_>], _: &Attributes) -> Result<Vec<Inferred>> {
        Ok(vec![Type::new(self.1, vec![Dim::Unknown; self.2]).into()])
    }
    fn shapes(&self, operands: &[ShapeOperand<'_>], _: &Attributes) -> Result<Vec<Shape>> {
        Ok(vec![(self.3)(&operands.iter().map(|operand| operand.shape).collect::<Vec<_>>())?])
    }
}

fn same(shapes: &[&[usize]]) -> Result<Shape> {
    shapes.iter().try_fold(Shape::new(), |all, shape| arignote_core::tensor::broadcast_shapes(&all, shape))
}
fn scalar(_: &[&[usize]]) -> Result<Shape> {
    Ok(Shape::new())
}
fn product(shapes: &[&[usize]]) -> Result<Shape> {
    if shapes[0][1] != shapes[1][0] {
        return Err(Error::new(ErrorKind::Runtime, "inner lengths differ"));
    }
    Ok(Shape::from_slice(&[shapes[0][0], shapes[1][1]]))
}

pub fn apply(name: &'static str, dtype: DType, rank: usize, rule: ShapeRule, operands: &[&Var]) -> Var {
    let operands: Vec<Var> = operands.iter().map(|&var| var.clone()).collect();
    Var::apply_op(Arc::new(Stub(name, dtype, rank, rule)), &operands, Attributes::new(), arignote_core::graph::Location::unknown())
}

pub fn joined(rule: ShapeRule, operands: &[&Var]) -> Var {
    let operands: Vec<Var> = operands.iter().map(|&var| var.clone()).collect();
    let op = Stub("concatenate", DType::F32, 1, rule);
    Var::apply_op(Arc::new(op), &operands, Attributes::new().with("axis", 0i64), arignote_core::graph::Location::unknown())
}

pub fn input(dtype: DType, rank: usize) -> Var {
    Var::input("x", Type::new(dtype, vec![Dim::Unknown; rank]))
}

fn device(threads: i64) -> CpuDevice {
    CpuDevice::open(0, &Attributes::new().with("threads", threads), Arc::new(TestHost)).unwrap()
}

fn compile(device: &CpuDevice, inputs: &[Var], outputs: &[Var]) -> Arc<dyn Executable> {
    device.compile_graph(Graph::from_vars(inputs, outputs).unwrap(), &[], &[], &CompileOptions::default()).unwrap()
}

fn lend(tensor: &Tensor) -> Argument {
    Argument { tensor: DeviceTensor::from_host(tensor.clone()), donated: false }
}

#[test]
fn elementwise_values() {
    let x = Tensor::vector(vec![-1.5f64, 0.0, 0.5, 2.5]);
    let cases: [(&str, [f64; 4]); 8] = [
        ("neg", [1.5, -0.0, -0.5, -2.5]),
        ("square", [2.25, 0.0, 0.25, 6.25]),
        ("rint", [-2.0, 0.0, 0.0, 2.0]),
        ("sign", [-1.0, 0.0, 1.0, 1.0]),
        ("relu", [0.0, 0.0, 0.5, 2.5]),
        ("erf", [-0.9661051464753108, 0.0, 0.5204998778130465, 0.999593047982555]),
        ("digamma", [0.7031566406452432, f64::NEG_INFINITY, -1.9635100260214235, 0.7031566406452432]),
        ("sigmoid", [0.18242552380635635, 0.5, 0.6224593312018546, 0.9241418199787566]),
    ];
    for (name, expected) in cases {
        let v = input(DType::F64, 1);
        let run = compile(&device(1), std::slice::from_ref(&v), &[apply(name, DType::F64, 1, same, &[&v])]);
        let found = run.run(vec![lend(&x)]).unwrap()[0].to_host().unwrap().to_f64_vec();
        for (found, expected) in found.iter().zip(expected) {
            assert!(*found == expected || (found - expected).abs() < 4e-15, "{name}: {found} not {expected}");
        }
    }
}

#[test]
fn chains_are_fused_and_broadcast() {
    let (x, y) = (input(DType::F32, 2), input(DType::F32, 1));
    let sum = apply("add", DType::F32, 2, same, &[&x, &y]);
    let out = apply("mul", DType::F32, 2, same, &[&sum, &sum]);
    let run = compile(&device(2), &[x, y], &[out]);
    let a = Tensor::from_vec((0..6000).map(|i| i as f32).collect(), &[2000, 3]).unwrap();
    let b = Tensor::vector(vec![1.0f32, 2.0, 3.0]);
    let found = run.run(vec![lend(&a), lend(&b)]).unwrap()[0].to_host().unwrap().to_f64_vec();
    for (i, found) in found.iter().enumerate() {
        assert_eq!(*found, f64::from((i as f32 + (i % 3) as f32 + 1.0).powi(2)));
    }
    assert!(run.debug_text().contains("fused [add mul]"), "{}", run.debug_text());
    // Of each thread a block of the row that is repeated.
    assert!(run.debug_text().contains("peak: 0 bytes"), "{}", run.debug_text());
    assert_eq!(run.workspace(&[Shape::from_slice(&[2000, 3]), Shape::from_slice(&[3])]), Some(2 * 1024 * 8));
}

#[test]
fn a_donated_argument_is_overwritten_and_others_are_not() {
    let device = device(1);
    let x = input(DType::F32, 1);
    let run = compile(&device, std::slice::from_ref(&x), &[apply("exp", DType::F32, 1, same, &[&x])]);
    let argument = device.upload(&Tensor::vector(vec![0.0f32; 100])).unwrap();
    let kept = run.run(vec![Argument { tensor: argument.clone(), donated: false }]).unwrap();
    assert_ne!(kept[0].data, argument.data);
    assert_eq!(argument.to_host().unwrap().to_f64_vec(), [0.0; 100]);
    let taken = run.run(vec![Argument { tensor: argument.clone(), donated: true }]).unwrap();
    assert_eq!(taken[0].data, argument.data);
    assert_eq!(taken[0].to_host().unwrap().to_f64_vec(), [1.0; 100]);
}

#[test]
fn threads_change_no_bit_and_callers_share() {
    let values: Vec<f32> = (0..300 * 300).map(|i| ((i * 7919) % 1013) as f32 / 317.0 - 1.5).collect();
    let x = Tensor::from_vec(values, &[300, 300]).unwrap();
    let results: Vec<Tensor> = [1, 2].map(|threads| {
        let v = input(DType::F32, 2);
        let square = apply("matmul", DType::F32, 2, product, &[&v, &v]);
        let out = apply("sum", DType::F32, 0, scalar, &[&apply("tanh", DType::F32, 2, same, &[&square])]);
        let run = compile(&device(threads), &[v], &[square, out]);
        let first = run.run(vec![lend(&x)]).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let again = run.run(vec![lend(&x)]).unwrap();
                    assert!(again.iter().zip(&first).all(|(a, b)| a.to_host().unwrap() == b.to_host().unwrap()));
                });
            }
        });
        first.iter().map(|tensor| tensor.to_host().unwrap()).collect::<Vec<_>>()
    }).concat();
    assert!(results[0] == results[2] && results[1] == results[3]);
    let exact: f64 = (0..300).map(|k| { let v = x.to_f64_vec(); v[k] * v[k * 300] }).sum();
    assert!((results[0].to_f64_vec()[0] - exact).abs() < 1e-3);
}

#[test]
fn errors_name_the_statement() {
    let (x, y) = (input(DType::F32, 2), input(DType::F32, 2));
    let run = compile(&device(1), &[x.clone(), y.clone()], &[apply("matmul", DType::F32, 2, product, &[&x, &y])]);
    let a = Tensor::zeros(DType::F32, &[2, 3]);
    assert_eq!(run.run(vec![lend(&a), lend(&a)]).unwrap_err().node(), Some(0));
    assert!(run.run(vec![lend(&a)]).is_err());
    let unknown = Graph::from_vars(std::slice::from_ref(&x), &[apply("no_such_op", DType::F32, 2, same, &[&x])]).unwrap();
    assert!(device(1).compile_graph(unknown, &[], &[], &CompileOptions::default()).is_err());
}

#[test]
fn a_second_call_allocates_only_results() {
    let device = device(1);
    let x = input(DType::F64, 2);
    let square = apply("matmul", DType::F64, 2, product, &[&x, &x]);
    let run = compile(&device, std::slice::from_ref(&x), &[apply("matmul", DType::F64, 2, product, &[&square, &x])]);
    let a = Tensor::zeros(DType::F64, &[9, 9]);
    let first = run.run(vec![lend(&a)]).unwrap();
    let before = device.stats().allocations;
    let second = run.run(vec![lend(&a)]).unwrap();
    assert_eq!(device.stats().allocations, before + 1);
    drop((first, second));
    run.run(vec![lend(&a)]).unwrap();
    assert_eq!(device.stats().allocations, before + 1);
}

#[test]
fn a_plugins_kernel_runs_inside_a_plan() {
    let device = device(1);
    let x = input(DType::F32, 1);
    let halved = apply("test::halve", DType::F32, 1, same, &[&apply("exp", DType::F32, 1, same, &[&x])]);
    let run = compile(&device, std::slice::from_ref(&x), &[apply("neg", DType::F32, 1, same, &[&halved])]);
    let argument = device.upload(&Tensor::vector(vec![0.0f32; 3])).unwrap();
    let found = run.run(vec![Argument { tensor: argument.clone(), donated: true }]).unwrap();
    assert_eq!(found[0].to_host().unwrap().to_f64_vec(), [-0.5; 3]);
    // exp may not write over the argument: the kernel after it can fail, and then the argument is as it was.
    assert_eq!(argument.to_host().unwrap().to_f64_vec(), [0.0; 3]);
    assert!(run.debug_text().contains("test::halve f32[3]@result 0 in place\n"), "{}", run.debug_text());
    let error = run.run(vec![lend(&Tensor::vector(vec![f32::NAN]))]).unwrap_err();
    assert_eq!(error.node(), Some(1));
    assert!(error.message().starts_with("`test::halve` of ") && error.message().ends_with(": nan"), "{error}");
}

#[test]
fn a_kernel_is_asked_before_it_is_used() {
    let device = device(1);
    let attributes = Attributes::new();
    let asks = |dtype| {
        let types = [Type::scalar(dtype)];
        device.supports(&NodeQuery { op: "test::halve", revision: 1, attributes: &attributes, operands: &types, results: &types })
    };
    assert_eq!(asks(DType::F32), Support::Yes(vec![(0, 0)]));
    let Support::No(reason) = asks(DType::F64) else { panic!("it takes f32 only") };
    assert!(reason.contains("`test::halve`") && reason.contains("f32 only, not f64"), "{reason}");
}

/// Where nothing reads an operand later, it is overwritten only if the program's notes let it be.
#[test]
fn notes_limit_what_is_overwritten() {
    // A kernel of a plugin, and a region.
    for op in ["test::halve", "exp"] {
        let device = device(1);
        let x = input(DType::F32, 2);
        let product = apply("matmul", DType::F32, 2, product, &[&x, &x]);
        let output = apply(op, DType::F32, 2, same, &[&product]);
        let graph = Graph::from_vars(std::slice::from_ref(&x), &[output]).unwrap();
        let statements: Vec<_> = graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()).collect();
        for permitted in [true, false] {
            let overwrites = if permitted { vec![(0, 0)] } else { Vec::new() };
            let notes = [StatementNote::default(), StatementNote { overwrites, last_uses: vec![0] }];
            let run = device.compile_graph(graph.clone(), &statements, &notes, &CompileOptions::default()).unwrap();
            assert!(run.workspace(&[Shape::from_slice(&[4, 4])]).is_some());
            let text = run.debug_text();
            assert_eq!(text.contains(" in place"), permitted, "{op}: {text}");
        }
    }
}

/// What a product reads through an order of axes is computed, also where another of its readers is fused with it.
#[test]
fn a_fused_value_that_is_read_transposed_is_a_result() {
    let x = input(DType::F32, 2);
    let doubled = apply("add", DType::F32, 2, same, &[&x, &x]);
    let squared = apply("square", DType::F32, 2, same, &[&doubled]);
    let transposed = transposed(&doubled);
    let product = apply("matmul", DType::F32, 2, product, &[&transposed, &x]);
    let run = compile(&device(1), &[x], &[squared, product]);
    let a = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    let found: Vec<Vec<f64>> = run.run(vec![lend(&a)]).unwrap().iter().map(|found| found.to_host().unwrap().to_f64_vec()).collect();
    assert_eq!(found, [[4.0, 16.0, 36.0, 64.0], [20.0, 28.0, 28.0, 40.0]]);
}

/// A reduction and what it is of are one step; where others read that too, it is stored.
#[test]
fn reductions_are_fused() {
    let x = input(DType::F32, 1);
    let doubled = apply("add", DType::F32, 1, same, &[&x, &x]);
    let square = apply("square", DType::F32, 1, same, &[&doubled]);
    let total = apply("sum", DType::F32, 0, scalar, &[&square]);
    let a = Tensor::vector(vec![1.0f32, 2.0, 3.0]);
    let fused = compile(&device(1), &[x.clone()], &[total.clone()]);
    assert_eq!(fused.run(vec![lend(&a)]).unwrap()[0].to_host().unwrap().to_f64_vec(), [56.0]);
    assert!(fused.debug_text().contains("fused [add square sum]"), "{}", fused.debug_text());
    let both = compile(&device(1), &[x], &[total, doubled]);
    let found: Vec<Vec<f64>> = both.run(vec![lend(&a)]).unwrap().iter().map(|found| found.to_host().unwrap().to_f64_vec()).collect();
    assert_eq!(found, [vec![56.0], vec![2.0, 4.0, 6.0]]);
}

fn turned(shapes: &[&[usize]]) -> Result<Shape> {
    Ok(shapes[0].iter().rev().copied().collect())
}

fn transposed(x: &Var) -> Var {
    let stub: Arc<dyn Op> = Arc::new(Stub("transpose", DType::F32, 2, turned));
    Var::apply_op(stub, std::slice::from_ref(x), Attributes::new().with("axes", Attribute::None), arignote_core::graph::Location::unknown())
}

/// `|x @ w + b|` is one step, of any shape that products go by in ways of their own, and the same as by hand. So is the
/// product, where it is wanted too.
#[test]
fn a_product_and_what_takes_it_are_one_step() {
    for (m, k, n) in [(3, 4, 5), (300, 64, 200), (600, 32, 300), (4, 0, 7), (5, 6, 1), (1, 6, 5), (2000, 200, 1), (200, 40, 8)] {
        for is_turned in [false, true] {
            let (x, w, b) = (input(DType::F32, 2), input(DType::F32, 2), input(DType::F32, 1));
            let left = if is_turned { transposed(&x) } else { x.clone() };
            let multiplied = apply("matmul", DType::F32, 2, product, &[&left, &w]);
            let sum = apply("add", DType::F32, 2, same, &[&multiplied, &b]);
            let whole = apply("abs", DType::F32, 2, same, &[&sum]);
            let at = |row: usize, column: usize| ((row * 7 + column * 13) % 11) as f32 - 5.0;
            let values = |rows: usize, columns: usize| (0..rows * columns).map(|i| at(i / columns.max(1), i % columns.max(1))).collect::<Vec<f32>>();
            let shape = if is_turned { [k, m] } else { [m, k] };
            let given = [
                Tensor::from_vec(if is_turned { (0..k * m).map(|i| at(i % m, i / m)).collect() } else { values(m, k) }, &shape).unwrap(),
                Tensor::from_vec(values(k, n), &[k, n]).unwrap(),
                Tensor::from_vec(values(1, n), &[n]).unwrap(),
            ];
            let product: Vec<f64> = (0..m * n).map(|i| (0..k).map(|j| f64::from(at(i / n, j) * at(j, i % n))).sum()).collect();
            let expected: Vec<f64> = product.iter().enumerate().map(|(i, value)| (value + f64::from(at(0, i % n))).abs()).collect();
            for threads in [1, 2] {
                for outputs in [vec![whole.clone()], vec![whole.clone(), multiplied.clone()]] {
                    let run = compile(&device(threads), &[x.clone(), w.clone(), b.clone()], &outputs);
                    let found = run.run(given.iter().map(lend).collect()).unwrap();
                    let found: Vec<Vec<f64>> = found.iter().map(|found| found.to_host().unwrap().to_f64_vec()).collect();
                    assert!(found[0] == expected, "{m} {k} {n} {is_turned}");
                    assert!(found.len() == 1 || found[1] == product, "{m} {k} {n} {is_turned}");
                    assert!(run.debug_text().contains("of a matrix product, rows of which"), "{}", run.debug_text());
                }
            }
        }
    }
}

/// What takes a product does not overwrite what is still multiplied, though nothing reads it later.
#[test]
fn what_takes_a_product_leaves_its_operands() {
    let n = 300;
    let (x, w) = (input(DType::F32, 2), input(DType::F32, 2));
    let doubled = apply("add", DType::F32, 2, same, &[&x, &x]);
    let multiplied = apply("matmul", DType::F32, 2, product, &[&doubled, &w]);
    let sum = apply("add", DType::F32, 2, same, &[&multiplied, &doubled]);
    let run = compile(&device(2), &[x, w], &[sum]);
    let one = Tensor::from_vec(vec![1.0f32; n * n], &[n, n]).unwrap();
    let found = run.run(vec![lend(&one), lend(&one)]).unwrap()[0].to_host().unwrap().to_f64_vec();
    assert!(found.iter().all(|&value| value == 2.0 * n as f64 + 2.0));
}

/// The code of a kernel is shown beside its instructions, and these under the ops that they come from.
#[cfg(target_arch = "x86_64")]
#[test]
fn code_is_shown_beside_what_it_is_for() {
    let x = input(DType::F32, 1);
    let doubled = apply("add", DType::F32, 1, same, &[&x, &x]);
    let root = apply("sqrt", DType::F32, 1, same, &[&doubled]);
    let run = compile(&device(1), &[x], &[root]);
    run.run(vec![lend(&Tensor::vector(vec![1.0f32; 100]))]).unwrap();
    let text = run.debug_text();
    let after = |text: &str, wanted: &str| text.split_once(wanted).unwrap_or_else(|| panic!("no `{wanted}`: {text}")).1.to_owned();
    let rest = after(&after(&text, "# add"), "# sqrt");
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
        let rest = after(&after(&after(&rest, "= Add "), "vaddps"), "= Sqrt ");
        assert!(rest.contains("vsqrtps"), "{text}");
    }
}
