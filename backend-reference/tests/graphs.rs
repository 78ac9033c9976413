//! Graphs and programs through the device.

use std::sync::Arc;

use arignote_backend_reference::{ReferenceDevice, evaluate, kernel};
use arignote_core::graph::{Graph, Var};
use arignote_core::ops::Attributes;
use arignote_core::plugin::{Argument, CompileOptions, Device, Executable, NodeQuery, Program, StatementNote, Support};
use arignote_core::tensor::{DType, DeviceTensor, Tensor, Type};

fn vector(name: &str, length: &str) -> Var {
    Var::input(name, Type::new(DType::F32, [length.into()]))
}

/// `exp(x) + x * y`.
fn example() -> Graph {
    let (x, y) = (vector("x", "n"), vector("y", "n"));
    let product = Var::apply("mul", &[x.clone(), y.clone()], Attributes::new());
    let exp = Var::apply("exp", std::slice::from_ref(&x), Attributes::new());
    let sum = Var::apply("add", &[exp, product], Attributes::new());
    Graph::from_vars(&[x, y], &[sum]).unwrap()
}

fn compile(graph: &Graph) -> Arc<dyn Executable> {
    let applies = |id: &_| graph.node(*id).apply().is_some();
    let statements: Vec<_> = graph.topological_order().into_iter().filter(applies).collect();
    let notes = vec![Default::default(); statements.len()];
    let program = Program::emit(graph, &statements, notes).unwrap();
    let options = CompileOptions { profile: true, ..CompileOptions::default() };
    ReferenceDevice.compile(&program, &options).unwrap()
}

fn arguments(tensors: &[Tensor]) -> Vec<Argument> {
    let argument = |x: &Tensor| Argument { tensor: DeviceTensor::from_host(x.clone()), donated: false };
    tensors.iter().map(argument).collect()
}

#[test]
fn a_graph_is_evaluated() {
    let operands = [Tensor::vector(vec![0f32, 1.0]), Tensor::vector(vec![2f32, 3.0])];
    let results = evaluate(&example(), &operands).unwrap();
    assert_eq!(results, [Tensor::vector(vec![1f32, 1f32.exp() + 3.0])]);
}

#[test]
fn arguments_are_checked() {
    let x = Tensor::vector(vec![0f32, 1.0]);
    let of = |arguments: &[Tensor]| evaluate(&example(), arguments).unwrap_err().message().to_owned();
    assert_eq!(of(std::slice::from_ref(&x)), "expected 2 arguments, found 1");
    assert_eq!(of(&[x.clone(), x.cast(DType::F64)]), "the input `y` takes f32[n], not f64[2]");
    let long = Tensor::vector(vec![0f32; 3]);
    assert_eq!(of(&[x, long]), "`n` is 2 in the input `x` but 3 in `y`");
}

#[test]
fn a_program_runs_and_is_profiled() {
    let executable = compile(&example());
    let operands = [Tensor::vector(vec![0f32, 1.0]), Tensor::vector(vec![2f32, 3.0])];
    for _ in 0..2 {
        let results = executable.run(arguments(&operands)).unwrap();
        assert_eq!(results[0].to_host().unwrap(), evaluate(&example(), &operands).unwrap()[0]);
    }
    let profile = executable.profile();
    assert_eq!(profile.iter().map(|entry| (entry.statement, entry.calls, entry.bytes)).collect::<Vec<_>>(), [
        (0, 2, 16), (1, 2, 16), (2, 2, 16)
    ]);
    assert!(executable.debug_text().contains("add"));
}

#[test]
fn a_failure_names_its_statement() {
    let (x, y) = (vector("x", "n"), vector("y", "m"));
    let exp = Var::apply("exp", std::slice::from_ref(&x), Attributes::new());
    let sum = Var::apply("add", &[exp, y.clone()], Attributes::new());
    let executable = compile(&Graph::from_vars(&[x, y], &[sum]).unwrap());
    let operands = [Tensor::vector(vec![0f32; 2]), Tensor::vector(vec![0f32; 3])];
    let error = executable.run(arguments(&operands)).unwrap_err();
    assert_eq!(error.node(), Some(1));
    assert!(error.message().starts_with("`add` of f32[2], f32[3]: "), "{error}");
}

#[test]
fn an_unknown_op_is_refused_by_name() {
    let query =
        NodeQuery { op: "a::b", revision: 1, attributes: &Attributes::new(), operands: &[], results: &[] };
    assert!(matches!(ReferenceDevice.supports(&query), Support::No(reason) if reason.contains("`a::b`")));
}

#[test]
fn every_elementwise_op_has_a_kernel() {
    for op in arignote_core::ops::registry().iter().filter(|op| op.is_elementwise()) {
        assert!(kernel(op.name()).is_some(), "{}", op.name());
    }
}

#[test]
fn leave_to_overwrite_is_not_taken() {
    let x = vector("x", "n");
    let exp = Var::apply("exp", std::slice::from_ref(&x), Attributes::new());
    let graph = Graph::from_vars(&[x], &[exp]).unwrap();
    let statements: Vec<_> = graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()).collect();
    let notes = vec![StatementNote { overwrites: vec![(0, 0)], last_uses: vec![0] }];
    let program = Program::emit(&graph, &statements, notes).unwrap();
    let executable = ReferenceDevice.compile(&program, &CompileOptions::default()).unwrap();
    let tensor = DeviceTensor::from_host(Tensor::vector(vec![0f32; 3]));
    let results = executable.run(vec![Argument { tensor: tensor.clone(), donated: true }]).unwrap();
    assert_eq!(results[0].to_host().unwrap().to_f64_vec(), [1.0; 3]);
    assert_eq!(tensor.to_host().unwrap().to_f64_vec(), [0.0; 3]);
}
