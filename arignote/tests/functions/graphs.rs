//! Operations on graphs: cloning, substituting, walking, comparing, and shapes without values.

use arignote::graph::{
    Graph, ancestors, clone_with, depends_on, inputs_of, same_graph, shapes_of, structural_hash,
};
use arignote::ops::create::zeros;
use arignote::ops::shape::{concatenate, stack};
use arignote::prelude::*;

use super::{input, sessions, told, vector};

#[test]
fn substituting_shares_what_does_not_change() {
    let (x, y, z) = (input("x", &["n"]), input("y", &["n"]), input("z", &["n"]));
    let kept = y.exp();
    let (middle, total) = (x.sin(), x.sin().sum(None));
    let result = &middle * &kept;
    let found = clone_with(&[result.clone(), kept.clone(), total.clone()], &[(middle.clone(), z.clone())]).unwrap();
    assert!(found[1].is(&kept) && found[2].is(&total));
    assert!(found[0].node().operands()[0].is(&z) && found[0].node().operands()[1].is(&kept));
    assert!(!depends_on(&found[0], &x) && depends_on(&result, &x));
    // The old graph is as it was.
    assert!(result.node().operands()[0].is(&middle));
    let same = clone_with(std::slice::from_ref(&result), &[]).unwrap();
    assert!(same[0].is(&result));
    told(clone_with(&[result], &[(middle, z.cast(DType::F32))]), &["f64[n]", "f32[n]"]);
}

#[test]
fn a_literal_takes_the_dtype_of_what_it_replaces() {
    let x = Var::input("x", Type::scalar(DType::F32));
    let found = clone_with(&[x.exp()], &[(x, Var::weak(2.0))]).unwrap();
    assert_eq!(found[0].ty().unwrap(), &Type::scalar(DType::F32));
}

#[test]
fn ancestors_and_inputs_are_those_that_are_needed() {
    let (x, y, unused) = (input("x", &["n"]), input("y", &["n"]), input("unused", &["n"]));
    let w = State::new("w", vector(&[1.0]));
    let weight = Var::state(&w);
    let product = &x * &weight;
    let result = &product + &y;
    let _beside = &unused + &result;
    let is = |vars: Vec<Var>, expected: &[&Var]| {
        assert_eq!(vars.len(), expected.len(), "{vars:?}");
        assert!(vars.iter().zip(expected).all(|(a, b)| a.is(b)), "{vars:?}");
    };
    is(ancestors(std::slice::from_ref(&result)), &[&x, &weight, &product, &y, &result]);
    is(inputs_of(&[result]), &[&x, &weight, &y]);
}

/// `tanh(x @ w + 1)` over other inputs each time.
fn layer(one: f64) -> (Vec<Var>, Var) {
    let (x, w) = (input("x", &["n", "k"]), input("w", &["k", "m"]));
    let y = (x.matmul(&w) + one).tanh();
    (vec![x, w], y)
}

#[test]
fn graphs_are_compared_by_structure() {
    let ((a, ya), (b, yb), (c, yc)) = (layer(1.0), layer(1.0), layer(2.0));
    let pairs = |left: &[Var], right: &[Var]| left.iter().cloned().zip(right.iter().cloned()).collect::<Vec<_>>();
    let same = |left: (&[Var], &Var), right: (&[Var], &Var)| {
        let equal = same_graph(std::slice::from_ref(left.1), std::slice::from_ref(right.1), &pairs(left.0, right.0));
        let hash = |side: (&[Var], &Var)| structural_hash(std::slice::from_ref(side.1), side.0);
        assert_eq!(equal, hash(left) == hash(right), "equality and hash must agree");
        equal
    };
    assert!(same((&a, &ya), (&b, &yb)));
    assert!(!same((&a, &ya), (&c, &yc)), "a constant differs");
    assert!(!same((&a, &ya), (&b, &yb.exp())));
    assert!(!same((&[], &ya), (&[], &yb)), "inputs are themselves unless they are paired");
    assert!(same((&[], &ya), (&[], &ya)));
    let swapped = [b[1].clone(), b[0].clone()];
    assert!(!same((&a, &ya), (&swapped, &yb)), "inputs take each other's place");
    let (x, y) = (input("x", &["n"]), Var::input("x", Type::new(DType::F32, ["n".into()])));
    assert!(!same((&[x.clone()], &x.exp()), (&[y.clone()], &y.exp())), "inputs of other types");
    let (flat, deep) = (x.sum(Some(0)), x.sum(None));
    assert!(!same((&[], &flat), (&[], &deep)), "attributes differ");
    // Sharing does not matter, and every mention of a state is the same.
    let (shared, w) = (x.exp(), State::new("w", vector(&[1.0])));
    assert!(same((&[], &(&shared * &shared)), (&[], &(x.exp() * x.exp()))));
    assert!(same((&[], &Var::state(&w).exp()), (&[], &Var::state(&w).exp())));
    let other = State::new("w", vector(&[1.0]));
    assert!(!same((&[], &Var::state(&w).exp()), (&[], &Var::state(&other).exp())));
    assert!(!same_graph(&[ya.clone()], &[], &[]));
}

#[test]
fn shapes_come_without_values() {
    let (inputs, y) = layer(1.0);
    let total = y.sum(Some(0));
    let rows = y.reshape_to(&y.size().reshape(&[1]));
    let doubled = concatenate(&[y.clone(), y.clone()], 1);
    let shaped = zeros(&[4], DType::F64).broadcast_to_var(&stack(&[y.shape().at(1), Var::scalar(4i64)], 0));
    let given = [(inputs[0].clone(), &[2usize, 3][..]), (inputs[1].clone(), &[3, 5])];
    let found = shapes_of(&[y.clone(), total, rows, doubled, shaped, grad(&y.sum(None), &[&inputs[1]])[0].clone()], &given);
    let expected: [&[usize]; 6] = [&[2, 5], &[5], &[10], &[2, 10], &[5, 4], &[3, 5]];
    let found: Vec<_> = found.unwrap().into_iter().map(|shape| shape.unwrap().to_vec()).collect();
    assert_eq!(found, expected);
    // A name is known wherever one input gives it.
    let part = shapes_of(&inputs, &given[..1]).unwrap();
    assert_eq!(part[0].as_deref(), Some(&[2, 3][..]));
    assert_eq!(part[1], None, "`m` is not known");
    let fails = |first: &[usize], second: &[usize], parts: &[&str]| {
        told(shapes_of(&[y.clone()], &[(inputs[0].clone(), first), (inputs[1].clone(), second)]), parts);
    };
    fails(&[2, 3], &[4, 5], &["`k`", "3", "4"]);
    fails(&[2], &[3, 5], &["`x`", "f64[n, k]", "[2]"]);
    let (p, q) = (input("p", &["?"]), input("q", &["?"]));
    told(shapes_of(&[&p + &q], &[(p.clone(), &[2]), (q.clone(), &[3])]), &["add", "2", "3"]);
    // The number of elements below a bound depends on values.
    let n = Var::input("n", Type::scalar(DType::I64));
    let counted = Var::apply("arange", &[n.clone()], Default::default());
    assert_eq!(shapes_of(&[counted], &[(n, &[])]).unwrap(), [None]);
}

#[test]
fn shapes_agree_with_what_runs() {
    for session in sessions() {
        let (x, k) = (input("x", &["a", "b"]), input("k", &["b"]));
        let values = [
            x.t(),
            &x + &k,
            x.matmul(&k),
            x.softmax_of_rows(),
            x.slice(1, Some(1), None),
            x.expand_dims(0),
            x.reshape(&[-1]),
            x.argmax(Some(1)),
            x.at(0).outer(&k),
        ];
        let builder = values.iter().fold(FunctionBuilder::new("f").input(&x).input(&k), |f, value| f.output(value));
        let f = builder.build(&session).unwrap();
        for (a, b) in [(2, 3), (1, 1), (4, 2)] {
            let results = f.call(&[Tensor::zeros(DType::F64, &[a, b]), Tensor::zeros(DType::F64, &[b])]).unwrap();
            let found = shapes_of(&values, &[(x.clone(), &[a, b]), (k.clone(), &[b])]).unwrap();
            for (at, (result, shape)) in results.iter().zip(found).enumerate() {
                assert_eq!(shape.as_deref(), Some(result.shape()), "value {at} for {a} and {b}");
            }
        }
    }
}

trait Rows {
    fn softmax_of_rows(&self) -> Var;
}

impl Rows for Var {
    fn softmax_of_rows(&self) -> Var {
        let shifted = (self - &self.max(Some(1)).expand_dims(1)).exp();
        &shifted / &shifted.sum(Some(1)).expand_dims(1)
    }
}

#[test]
fn only_what_the_outputs_need_is_computed() {
    for session in sessions() {
        let (x, y) = (input("x", &["n"]), input("y", &["n"]));
        let shared = x.sin();
        let needed = &shared * &shared + x.sin();
        let mut unneeded = y.exp();
        for _ in 0..100 {
            unneeded = unneeded.cos() + &shared;
        }
        let graph = Graph::from_vars(&[x.clone(), y.clone()], std::slice::from_ref(&needed)).unwrap();
        assert_eq!(graph.topological_order().len(), 5, "x, two sines, a product, a sum");
        let f = FunctionBuilder::new("f").input(&x).input(&y).output(&needed).build(&session).unwrap();
        let mut ops: Vec<&str> = f.compiled().nodes().iter().map(|node| node.op.as_str()).collect();
        ops.sort_unstable();
        assert_eq!(ops.iter().filter(|op| **op == "sin").count(), 1, "{ops:?}");
        assert!(ops.len() <= 3 && !ops.contains(&"cos"), "{ops:?}");
        let argument = vector(&[0.5, 1.0]);
        let expected: Vec<f64> = [0.5f64, 1.0].iter().map(|x| x.sin() * x.sin() + x.sin()).collect();
        let found = f.call(&[argument.clone(), argument]).unwrap()[0].to_f64_vec();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?} {expected:?}");
        let twin = FunctionBuilder::new("g").input(&x).input(&y).output(&needed).output(&unneeded).build(&session).unwrap();
        assert!(twin.compiled().nodes().len() > 200);
    }
}
