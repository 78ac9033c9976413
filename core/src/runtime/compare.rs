//! How far the results of a device may be off those of the reference backend: the tolerances that backends are
//! tested with, and that the mode `debug` uses.

use crate::ops::Op;
use crate::tensor::{DType, Tensor};

/// Ops whose results IEEE 754 fixes to the last bit, or that only move or compare elements. `floor_div` is
/// not one: a quotient too large for its dtype's digits is rounded, in f32 on the cpu and in f64 on the
/// reference.
pub const EXACT: &[&str] = &[
    "abs", "add", "sub", "mul", "div", "neg", "sqrt", "square", "reciprocal", "floor", "ceil", "rint", "trunc", "sign",
    "maximum", "minimum", "clip", "where", "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "relu",
    "cast", "max", "min", "argmax", "argmin", "all", "any", "mod", "fmod", "copysign",
];

/// Elementwise ops that are built from sums, and so are as good as sums.
const SUMLIKE: &[&str] = &["tanh", "logaddexp"];

/// Ops that add products or elements, which may cancel: how large what they add is, the same op says of the
/// absolute values of the operands.
const SUMS: &[&str] = &[
    "sum", "mean", "matmul", "dot", "outer", "einsum", "tensordot", "cumsum", "sum_to", "add_at", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "trace", "vecdot", "matvec", "vecmat", "inner", "linear_recurrence",
];

/// Ops whose results depend on their operands' condition.
const CONDITIONED: &[&str] = &[
    "cholesky", "solve", "solve_triangular", "inv", "det", "adjugate", "slogdet", "lu", "qr", "svd", "eigh", "eig", "schur", "qz",
    "pinv", "expm", "factorize", "solve_by_factors",
];

/// What a result may be off by, in its own units in the last place: each backend may be 4 off.
pub const ULPS: f64 = 8.0;
/// The same for sums, which cancel or are added in another order, in units of the largest result.
pub const SUM_ULPS: f64 = 64.0;

/// What a result may be off by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Nothing: every element is equal, a NaN to any NaN.
    Exact,
    /// So many units in the last place of each element.
    Each(f64),
    /// So many units in the last place of the largest element.
    Largest(f64),
    /// That part of the largest element which half of the digits can tell.
    Half,
}

impl Tolerance {
    /// That of an op.
    pub fn of(op: &dyn Op) -> Tolerance {
        match op.name() {
            name if EXACT.contains(&name) => Tolerance::Exact,
            name if CONDITIONED.contains(&name) => Tolerance::Half,
            name if op.is_elementwise() && !SUMLIKE.contains(&name) => Tolerance::Each(ULPS),
            _ => Tolerance::Largest(SUM_ULPS),
        }
    }

    /// Whether the absolute values of an op's operands say how large what it adds is.
    pub(crate) fn adds(op: &dyn Op) -> bool {
        SUMS.contains(&op.name())
    }
}

/// Where two results differ most.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The index of the element.
    pub at: Vec<usize>,
    /// The element that was found.
    pub found: f64,
    /// The element that was expected.
    pub expected: f64,
    /// How many elements are off by more than they may.
    pub count: usize,
    /// How far the element is off in units in the last place: of its own, or of the largest.
    pub ulps: f64,
}

/// The digits of a dtype's significand after the first, and the exponent of its smallest number.
fn digits(dtype: DType) -> (i32, i32) {
    match dtype {
        DType::F16 => (10, -24),
        DType::BF16 => (7, -133),
        DType::F32 => (23, -149),
        _ => (52, -1074),
    }
}

/// The worst difference beyond a tolerance, if there is one. Results of one dtype and shape are compared;
/// integers and bools are equal or not. Where the tolerance is of the largest element, that is of `largest` if it
/// is larger than all elements.
pub fn difference(found: &Tensor, expected: &Tensor, tolerance: Tolerance, largest: f64) -> Option<Difference> {
    let dtype = expected.dtype();
    let tolerance = if dtype.is_float() { tolerance } else { Tolerance::Exact };
    if found.identical(expected) {
        return None;
    }
    let (digits, least) = digits(dtype);
    let unit = |size: f64| f64::from((size.log2().floor().max(-1022.0) as i32 - digits).max(least)).exp2();
    let (found, expected, shape) = (found.to_f64_vec(), expected.to_f64_vec(), expected.shape());
    let largest = expected.iter().filter(|value| value.is_finite()).fold(largest, |most, value| most.max(value.abs()));
    let (most, of_largest) = match tolerance {
        Tolerance::Exact => (0.0, false),
        Tolerance::Each(most) => (most, false),
        Tolerance::Largest(most) => (most, true),
        Tolerance::Half => (2f64.powi(digits / 2 + 1), true),
    };
    let off = |found: f64, expected: f64| match found == expected || (found.is_nan() && expected.is_nan()) {
        true => 0.0,
        false if !found.is_finite() || !expected.is_finite() => f64::INFINITY,
        false => (found - expected).abs() / unit(if of_largest { largest } else { expected.abs() }),
    };
    let mut worst: Option<Difference> = None;
    let mut count = 0;
    for (flat, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
        let ulps = off(found, expected);
        if ulps > most {
            count += 1;
            if worst.as_ref().is_none_or(|worst| ulps > worst.ulps) {
                worst = Some(Difference { at: place(flat, shape), found, expected, count: 0, ulps });
            }
        }
    }
    worst.map(|worst| Difference { count, ..worst })
}

/// The index of an element.
pub(crate) fn place(flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = flat;
    let mut at: Vec<usize> = Vec::with_capacity(shape.len());
    for &length in shape.iter().rev() {
        at.push(rest % length.max(1));
        rest /= length.max(1);
    }
    at.reverse();
    at
}
