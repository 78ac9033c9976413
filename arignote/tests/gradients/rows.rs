//! `vectorize` against one row after the other: the value and the gradient of every case, with all operands
//! batched together and with each of them alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use arignote::graph::Var;
use arignote::ops::vectorize;
use arignote::tensor::{Dim, DType, Tensor, Type};

use super::elementwise::elementwise_cases;
use super::{Case, Evaluator, gradient_of, other_cases, session};

/// Ops of which a loop computes one row after the other where certain operands differ from row to row.
const ROW_BY_ROW: &[(&str, &str)] = &[
    ("index set_at add_at", "bounds of slices: how long the slices are may differ"),
    ("bincount unique", "how long the results are differs"),
    ("if", "the condition: rows may take different branches"),
    ("scan", "the condition to stop: rows may take different numbers of steps"),
    ("interp interpolate1d", "the places: each row searches in a vector of its own"),
    ("nonzero_values", "how long the results are differs"),
    ("assert", "anything: the error is about the first row that is wrong"),
];

/// The rows of both: a point, and one a little nearer to zero.
fn two_rows(point: &Tensor) -> [Tensor; 2] {
    let other = match point.dtype() {
        DType::F64 => {
            let elements = point.to_f64_vec().into_iter().map(|x| x * 0.995).collect();
            Tensor::from_vec(elements, point.shape()).unwrap()
        }
        _ => point.clone(),
    };
    [point.clone(), other]
}

fn stacked(rows: &[Tensor; 2]) -> Tensor {
    let shape = [&[2], rows[0].shape()].concat();
    match rows[0].dtype() {
        DType::F64 => Tensor::from_vec(rows.iter().flat_map(Tensor::to_f64_vec).collect::<Vec<f64>>(), &shape).unwrap(),
        dtype => {
            let elements = rows.iter().flat_map(Tensor::to_i64_vec).collect::<Vec<i64>>();
            Tensor::from_vec(elements, &shape).unwrap().cast(dtype)
        }
    }
}

/// Checks a case with some operands batched; whether a loop ran over the rows.
fn rows_of(evaluator: &Evaluator, case: &Case, batched: &[bool]) -> Result<bool, String> {
    let inputs: Vec<Var> = case.point.iter().enumerate().map(|(at, x)| Var::input(&format!("x{at}"), x.ty())).collect();
    let outputs = [(case.body)(&inputs), gradient_of(&case.body, &inputs)];
    let rows: Vec<[Tensor; 2]> = case.point.iter().map(two_rows).collect();
    let loops = || -> usize { evaluator.programs(|text| text.matches("= scan (").count()) };
    let fail = |what: &str, error: arignote::Error| format!("{}, batched {batched:?}, {what}: {error}", case.label);
    let mut single = Vec::new();
    for row in 0..2 {
        let point: Vec<Tensor> = rows.iter().zip(batched).map(|(rows, &batched)| rows[if batched { row } else { 0 }].clone()).collect();
        single.push(evaluator.call(&inputs, &outputs, &point).map_err(|error| fail("a row", error))?);
    }
    let own_loops = loops();
    let mut given = inputs.clone();
    let mut point = Vec::new();
    for (at, (rows, &batched)) in rows.iter().zip(batched).enumerate() {
        point.push(if batched { stacked(rows) } else { rows[0].clone() });
        if batched {
            let ty = rows[0].ty();
            let dims = std::iter::once(Dim::from("rows")).chain(ty.dims.clone());
            given[at] = Var::input(&format!("xs{at}"), Type::new(ty.dtype, dims));
        }
    }
    let pairs = inputs.iter().zip(&given).zip(batched);
    let replaced: Vec<(&Var, &Var)> = pairs.filter(|(_, batched)| **batched).map(|(pair, _)| pair).collect();
    let together = vectorize(&outputs.iter().collect::<Vec<_>>(), &replaced);
    let together = evaluator.call(&given, &together, &point).map_err(|error| fail("together", error))?;
    for (number, found) in together.iter().enumerate() {
        let wanted: Vec<f64> = single.iter().flat_map(|row| row[number].to_f64_vec()).collect();
        let shape = [&[2], single[0][number].shape()].concat();
        let scale = wanted.iter().fold(1.0f64, |most, x| most.max(x.abs()));
        let same = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-10 * scale || (a.is_nan() && b.is_nan());
        let found_values = found.to_f64_vec();
        if found.shape() != shape || !found_values.iter().zip(&wanted).all(|(&a, &b)| same(a, b)) {
            let found = format!("{found_values:?} of shape {:?}", found.shape());
            return Err(format!("{}, batched {batched:?}, output {number}: {found}, not {wanted:?} of shape {shape:?}", case.label));
        }
    }
    Ok(loops() > own_loops)
}

/// Checks cases; the ops for which a loop ran over the rows.
fn check(cases: BTreeMap<&'static str, Vec<Case>>) -> BTreeSet<&'static str> {
    let evaluator = Evaluator { session: session(), compiled: RefCell::new(None) };
    let (mut failures, mut loops) = (Vec::new(), BTreeSet::new());
    for (op, case) in cases.iter().flat_map(|(op, cases)| cases.iter().map(move |case| (*op, case))) {
        let count = case.point.len();
        let mut masks = vec![vec![true; count]];
        if count > 1 {
            masks.extend((0..count).map(|alone| (0..count).map(|at| at == alone).collect()));
        }
        for batched in masks {
            match rows_of(&evaluator, case, &batched) {
                Ok(true) => {
                    loops.insert(op);
                }
                Ok(false) => {}
                Err(failure) => failures.push(failure),
            }
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    loops
}

#[test]
fn rows_of_elementwise_ops() {
    assert_eq!(check(elementwise_cases()), BTreeSet::new());
}

#[test]
fn rows_of_all_other_ops() {
    assert_eq!(check(other_cases()), ROW_BY_ROW.iter().flat_map(|(ops, _)| ops.split(' ')).collect());
}
