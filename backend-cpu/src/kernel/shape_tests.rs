//! Regions and reductions over random shapes: against loops over indices, on both paths, with one thread and two.

use std::sync::Arc;

use arignote_core::plugin::{Host, HostKernel, LogLevel};
use arignote_core::tensor::{DType, Type};

use super::ir::Reduction;
use super::lower::{Lowering, Register};
use super::reduce::{Reducing, Spec};
use super::compiled::{Cache, Codegen};
use super::run::Region;
use super::tests::{Random, seeds};
use crate::kernels::Context;
use crate::kernels::elementwise::{Operation, broadcast_strides};
use crate::kernels::number::Binary;

struct Two;
impl Host for Two {
    fn log(&self, _: LogLevel, _: &str) {}
    fn parallel_for(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| (0..count).for_each(|at| drop(scope.spawn(move || body(at)))));
    }
    fn threads(&self) -> usize {
        2
    }
    fn kernel(&self, _: &str) -> Option<Arc<dyn HostKernel>> {
        None
    }
}

/// A shape, and shapes that broadcast to it.
fn shapes(random: &mut Random, inputs: usize) -> (Vec<usize>, Vec<Vec<usize>>) {
    let rank = random.below(4);
    let shape: Vec<usize> = (0..rank).map(|_| random.pick(&[1, 2, 3, 5, 8, 33, 70])).collect();
    let operands = (0..inputs).map(|_| {
        let from = if random.below(3) == 0 { random.below(rank + 1) } else { 0 };
        shape[from..].iter().map(|&length| if random.below(4) == 0 { 1 } else { length }).collect()
    }).collect();
    (shape, operands)
}

/// The element of a broadcast operand that an index of the shape reads.
fn place(shape: &[usize], operand: &[usize], mut index: usize) -> usize {
    let (mut at, mut stride) = (0, 1);
    for axis in (0..shape.len()).rev() {
        let here = index % shape[axis];
        index /= shape[axis];
        let Some(own) = (axis + operand.len()).checked_sub(shape.len()) else { continue };
        if operand[own] != 1 { at += here * stride; }
        stride *= operand[own];
    }
    at
}

fn sum_of_products(lowering: &mut Lowering, x: &[Register]) -> Register {
    let types = [Type::scalar(DType::F32), Type::scalar(DType::F32)];
    let product = lowering.apply(Operation::Binary(Binary::Mul), &x[..2], &types, DType::F32);
    lowering.apply(Operation::Binary(Binary::Add), &[product.unwrap(), x[2]], &types, DType::F32).unwrap()
}

struct Case {
    shape: Vec<usize>,
    operands: Vec<Vec<usize>>,
    data: Vec<Vec<f32>>,
}

impl Case {
    fn new(random: &mut Random) -> Case {
        let (shape, operands) = shapes(random, 3);
        let data = operands.iter().map(|shape| {
            (0..shape.iter().product::<usize>()).map(|_| (random.below(2001) as f32 - 1000.0) / 64.0).collect()
        }).collect();
        Case { shape, operands, data }
    }

    fn strides(&self) -> Vec<Option<Vec<usize>>> {
        self.operands.iter().map(|operand| broadcast_strides(operand, &self.shape)).collect()
    }

    fn arrays(&self, out: *mut u8) -> Vec<*mut u8> {
        self.data.iter().map(|data| data.as_ptr().cast_mut().cast()).chain([out]).collect()
    }

    fn expected(&self) -> Vec<f32> {
        (0..self.shape.iter().product::<usize>()).map(|index| {
            let [a, b, c] = [0, 1, 2].map(|number| self.data[number][place(&self.shape, &self.operands[number], index)]);
            a * b + c
        }).collect()
    }
}

#[test]
fn regions_of_any_shape() {
    for seed in seeds(150) {
        let case = Case::new(&mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let expected = case.expected();
        for (codegen, threads) in [(Codegen::Native, 1), (Codegen::Native, 2), (Codegen::Portable, 2)] {
            let cache = Cache::new(codegen);
            let mut lowering = Lowering::default();
            let x: Vec<Register> = (0..3).map(|_| lowering.input(DType::F32)).collect();
            let result = sum_of_products(&mut lowering, &x);
            let region = Region::new(lowering.finish(&[result]), &cache, &case.shape, &case.strides());
            let mut out = vec![f32::NAN; expected.len() + 8];
            // SAFETY: every operand covers its shape, and the result has room.
            unsafe { region.run(&Context { host: &Two, threads, cache: &cache }, &case.arrays(out.as_mut_ptr().cast())) };
            let same = out.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same && out[expected.len()..].iter().all(|x| x.is_nan()),
                "seed {seed}, {codegen:?}, {threads} threads: {:?} of {:?}", case.shape, case.operands);
        }
    }
}

#[test]
fn reductions_of_any_shape() {
    for seed in seeds(300) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let case = Case::new(&mut random);
        if case.shape.is_empty() { continue; }
        let mut axes: Vec<usize> = (0..case.shape.len()).filter(|_| random.below(2) == 0).collect();
        if axes.is_empty() { axes.push(random.below(case.shape.len())); }
        let reduction = random.pick(&[Reduction::Sum, Reduction::Max, Reduction::Min]);
        let mean = reduction == Reduction::Sum && random.below(2) == 0;
        let values = case.expected();
        let length: usize = axes.iter().map(|&axis| case.shape[axis]).product();
        let mut expected = vec![f64::NAN; values.len() / length];
        for (index, &value) in values.iter().enumerate() {
            let (mut rest, mut at, mut stride) = (index, 0, 1);
            for axis in (0..case.shape.len()).rev() {
                let here = rest % case.shape[axis];
                rest /= case.shape[axis];
                if !axes.contains(&axis) { at += here * stride; stride *= case.shape[axis]; }
            }
            let value = f64::from(value);
            expected[at] = match reduction {
                _ if expected[at].is_nan() => value,
                Reduction::Max => expected[at].max(value),
                Reduction::Min => expected[at].min(value),
                _ => expected[at] + value,
            };
        }
        if mean { for value in &mut expected { *value /= length as f64; } }
        let largest = values.iter().fold(0f64, |largest, &value| largest.max(value.abs().into()));
        let mut first: Option<Vec<f32>> = None;
        for (codegen, threads) in [(Codegen::Native, 1), (Codegen::Native, 2), (Codegen::Portable, 2)] {
            let cache = Cache::new(codegen);
            let mut lowering = Lowering::default();
            let x: Vec<Register> = (0..3).map(|_| lowering.input(DType::F32)).collect();
            let value = sum_of_products(&mut lowering, &x);
            let spec = Spec { reduction, mean, axes: axes.clone() };
            let reducing = Reducing::new(lowering, &[(value, &spec, DType::F32)], &cache, &case.shape, &case.strides());
            let mut out = vec![f32::NAN; expected.len() + 8];
            // SAFETY: every operand covers its shape, and the result has room.
            unsafe { reducing.run(&Context { host: &Two, threads, cache: &cache }, &case.arrays(out.as_mut_ptr().cast())) };
            assert!(out[expected.len()..].iter().all(|x| x.is_nan()));
            out.truncate(expected.len());
            for (found, expected) in out.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs();
                let allowed = if mean { 1.0 } else { length as f64 } * largest * 2e-7;
                assert!(error <= allowed, "seed {seed}, {codegen:?}: {spec:?} of {:?}: {found} not {expected}", case.shape);
            }
            // The same bits on every path and with any number of threads.
            match &first {
                None => first = Some(out),
                Some(first) => assert_eq!(first, &out, "seed {seed}, {codegen:?}, {threads} threads: {spec:?} of {:?}, {:?}", case.shape, case.operands),
            }
        }
    }
}

#[test]
fn long_sums_are_accurate_and_the_same_with_any_threads() {
    let data: Vec<f32> = (0..3_000_000).map(|at| 0.1 + (at % 7) as f32 / 8.0).collect();
    let exact: f64 = data.iter().map(|&x| f64::from(x)).sum();
    for shape in [vec![3_000_000], vec![3, 1_000_000], vec![300_000, 10], vec![1000, 3000]] {
        for axes in [vec![0], (0..shape.len()).collect::<Vec<_>>()] {
            let mut results: Vec<Vec<f32>> = Vec::new();
            for (codegen, threads) in [(Codegen::Native, 1), (Codegen::Native, 2), (Codegen::Portable, 2)] {
                let cache = Cache::new(codegen);
                let mut lowering = Lowering::default();
                let x = lowering.input(DType::F32);
                let spec = Spec { reduction: Reduction::Sum, mean: false, axes: axes.clone() };
                let reducing = Reducing::new(lowering, &[(x, &spec, DType::F32)], &cache, &shape, &[None]);
                let count = data.len() / axes.iter().map(|&axis| shape[axis]).product::<usize>();
                let mut out = vec![0f32; count];
                let arrays = [data.as_ptr().cast_mut().cast(), out.as_mut_ptr().cast()];
                // SAFETY: the operand covers its shape, and the result has room.
                unsafe { reducing.run(&Context { host: &Two, threads, cache: &cache }, &arrays) };
                let total: f64 = out.iter().map(|&x| f64::from(x)).sum();
                // At most 128 additions follow each other, each off by 2^-24 at most.
                assert!((total - exact).abs() <= exact * 128.0 / 16_777_216.0, "{shape:?} over {axes:?}: {total} not {exact}");
                results.push(out);
            }
            assert!(results[0] == results[1] && results[0] == results[2], "{shape:?} over {axes:?}");
        }
    }
}
