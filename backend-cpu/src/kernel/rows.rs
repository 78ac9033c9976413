//! Softmax and its relatives: a few kernels over each row, which stays in the cache meanwhile. The largest element is
//! taken out first, so nothing overflows.

use arignote_core::tensor::DType;

use super::emit::Emit;
use super::ir::{Binary, Builder, Comparison, Fused, Kind, Reduction, Unary, Value};
use super::compiled::{Addresses, Cache, Compiled};
use crate::kernels::number::Unary as Function;
use crate::maths;

/// The kernels for rows of one dtype.
pub struct Rows {
    kind: Kind,
    /// The largest of a row.
    largest: Compiled,
    /// `exp(x - largest)` of a row and the largest; reduced to the sum of those below 1, and how many are 1.
    exponentials: Compiled,
    /// The same, but only reduced.
    sums: Compiled,
    /// A row divided by a number.
    quotient: Compiled,
    /// A row divided by a number, times another.
    weighted: Compiled,
    /// A row less one number, then another.
    difference: Compiled,
}

/// What a row is normalized by.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The largest element.
    pub largest: f64,
    /// The sum of `exp(x - largest)` over all elements but one that is the largest.
    pub others: f64,
    /// Its logarithm.
    pub log: f64,
}

/// Elements in a row that are reduced at once.
const PART: usize = 1024;

impl Rows {
    /// Compiles the kernels.
    pub fn new(dtype: DType, cache: &Cache) -> Rows {
        let kind = Kind::of(dtype);
        let mut b = Builder::default();
        let x = b.input(dtype);
        let largest = Compiled::new(b.finish(&[], &[(x, Reduction::Max)]), cache, &[false]);
        let exponentials = |stored: bool| {
            let mut b = Builder::default();
            let (x, largest) = (b.input(dtype), b.input(dtype));
            let value = exp_of_difference(&mut b, x, largest);
            let (zero, one) = (b.number(kind, 0.0), b.number(kind, 1.0));
            let (below, same) = (b.compare(Comparison::Lt, x, largest), b.compare(Comparison::Eq, x, largest));
            // Where either is NaN, the sum is.
            let rest = b.select(same, zero, value);
            let rest = b.select(below, value, rest);
            let count = b.select(same, one, zero);
            let reductions = [(rest, Reduction::Sum), (count, Reduction::Sum)];
            let outputs = if stored { vec![(value, dtype)] } else { Vec::new() };
            Compiled::new(b.finish(&outputs, &reductions), cache, &[false, true])
        };
        let two = |build: &dyn Fn(&mut Builder, &[Value]) -> Value, uniform: &[bool]| {
            let mut b = Builder::default();
            let inputs: Vec<Value> = uniform.iter().map(|_| b.input(dtype)).collect();
            let result = build(&mut b, &inputs);
            Compiled::new(b.finish(&[(result, dtype)], &[]), cache, uniform)
        };
        Rows {
            kind,
            largest,
            exponentials: exponentials(true),
            sums: exponentials(false),
            quotient: two(&|b, x| b.binary(Binary::Div, x[0], x[1]), &[false, true]),
            weighted: two(&|b, x| {
                let quotient = b.binary(Binary::Div, x[0], x[1]);
                b.binary(Binary::Mul, quotient, x[2])
            }, &[false, true, true]),
            difference: two(&|b, x| {
                let first = b.binary(Binary::Sub, x[0], x[1]);
                b.binary(Binary::Sub, first, x[2])
            }, &[false, true, true]),
        }
    }

    fn bits(&self, value: f64) -> u64 {
        if self.kind == Kind::F64 { value.to_bits() } else { u64::from((value as f32).to_bits()) }
    }

    fn value(&self, bits: u64) -> f64 {
        if self.kind == Kind::F64 { f64::from_bits(bits) } else { f32::from_bits(bits as u32).into() }
    }

    /// Calls with each part of a row: its first element's offset in bytes, and how many there are.
    fn parts(&self, length: usize, mut body: impl FnMut(usize, usize)) {
        let size = if self.kind.is_wide() { 8 } else { 4 };
        for start in (0..length).step_by(PART) { body(start * size, PART.min(length - start)); }
    }

    /// What a row is normalized by. The exponentials are stored in `out`, where there is one.
    ///
    /// # Safety
    /// `row` has `length` elements of the dtype, and `out` room for them; they do not overlap.
    pub unsafe fn scale(&self, row: *const u8, length: usize, out: Option<*mut u8>) -> Scale {
        let row = row.cast_mut();
        let mut largest = self.largest.identities();
        self.parts(length, |at, count| {
            let mut arrays = Addresses::from_slice(&[row.wrapping_add(at)]);
            // SAFETY: the caller's promise.
            unsafe { self.largest.run(&mut arrays, count, &mut largest) };
        });
        let (mut rest, mut same) = (0.0, 0.0);
        let largest = largest[0];
        self.parts(length, |at, count| {
            let mut sums = [0u64; 2];
            let mut arrays = Addresses::from_slice(&[row.wrapping_add(at), (&raw const largest).cast_mut().cast()]);
            // SAFETY: the caller's promise; the largest is one element, whose first bytes are the first of its bits'.
            unsafe {
                match out {
                    Some(out) => {
                        arrays.push(out.wrapping_add(at));
                        self.exponentials.run(&mut arrays, count, &mut sums);
                    }
                    None => self.sums.run(&mut arrays, count, &mut sums),
                }
            }
            rest += self.value(sums[0]);
            same += self.value(sums[1]);
        });
        let largest = self.value(largest);
        // One element is the largest: with its 1, a small sum of the others would lose its digits. An infinite
        // largest has no distance from itself.
        let others = if largest.is_finite() { rest + (same - 1.0) } else { f64::NAN };
        Scale { largest, others, log: others.ln_1p() }
    }

    /// The softmax of a row.
    ///
    /// # Safety
    /// As for [`Self::scale`].
    pub unsafe fn softmax(&self, row: *const u8, length: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        let scale = unsafe { self.scale(row, length, Some(out)) };
        let sum = self.bits(1.0 + scale.others);
        let mut arrays = Addresses::from_slice(&[out, (&raw const sum).cast_mut().cast(), out]);
        // SAFETY: the caller's promise; the result lies over the exponentials.
        unsafe { self.quotient.run(&mut arrays, length, &mut []) };
    }

    /// The softmax of a row times a weight, and what the row was normalized by.
    ///
    /// # Safety
    /// As for [`Self::scale`].
    pub unsafe fn weighted_softmax(&self, row: *const u8, length: usize, weight: f64, out: *mut u8) -> Scale {
        // SAFETY: the caller's promise.
        let scale = unsafe { self.scale(row, length, Some(out)) };
        let (sum, weight) = (self.bits(1.0 + scale.others), self.bits(weight));
        let mut arrays = Addresses::from_slice(&[out, (&raw const sum).cast_mut().cast(), (&raw const weight).cast_mut().cast(), out]);
        // SAFETY: the caller's promise; the result lies over the exponentials.
        unsafe { self.weighted.run(&mut arrays, length, &mut []) };
        scale
    }

    /// The logarithm of the softmax of a row.
    ///
    /// # Safety
    /// As for [`Self::scale`].
    pub unsafe fn log_softmax(&self, row: *const u8, length: usize, out: *mut u8) {
        // SAFETY: the caller's promise.
        let scale = unsafe { self.scale(row, length, None) };
        let (largest, log) = (self.bits(scale.largest), self.bits(scale.log));
        let mut arrays = Addresses::from_slice(&[row.cast_mut(), (&raw const largest).cast_mut().cast(), (&raw const log).cast_mut().cast(), out]);
        // SAFETY: the caller's promise.
        unsafe { self.difference.run(&mut arrays, length, &mut []) };
    }
}

/// `exp(x - largest)`. A rounding of the difference would be as many in its exponential as it is large, so what is
/// lost in it (Knuth's TwoSum) is made up for: `exp(d + e) = exp(d) * (1 + e)` for a tiny `e`.
fn exp_of_difference(b: &mut Builder, x: Value, largest: Value) -> Value {
    let difference = b.binary(Binary::Sub, x, largest);
    let back = b.binary(Binary::Sub, x, difference);
    let sum = b.binary(Binary::Add, difference, back);
    let (left, right) = (b.binary(Binary::Sub, x, sum), b.binary(Binary::Sub, back, largest));
    let lost = b.binary(Binary::Add, left, right);
    let exponential = match maths::unary(&Emit::new(b, x.kind), Function::Exp, difference) {
        Some(value) => value,
        None => b.call(super::ir::Function::F64x1(f64::exp), &[difference], x.kind),
    };
    let whole = b.fused(Fused::MulAdd, exponential, lost, exponential);
    let (size, infinity) = (b.unary(Unary::Abs, lost), b.number(x.kind, f64::INFINITY));
    let finite = b.compare(Comparison::Lt, size, infinity);
    b.select(finite, whole, exponential)
}
