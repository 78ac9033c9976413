//! The gradient checker: reverse and forward mode against finite differences.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Tensor};

/// How [`check_gradients`] checks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckOptions {
    /// Step of the central differences, relative to each element's size (and absolute below 1).
    pub step: f64,
    /// Relative error that is accepted.
    pub tolerance: f64,
    /// Seed of the random projection.
    pub seed: u64,
}

impl Default for CheckOptions {
    fn default() -> CheckOptions {
        CheckOptions { step: 1e-5, tolerance: 1e-6, seed: 1 }
    }
}

/// Computes outputs from inputs: a session's compiled function, say.
pub type Evaluate<'a> = &'a dyn Fn(&[Var], &[Var], &[Tensor]) -> Result<Vec<Tensor>>;

/// Checks the gradient of a function at a point of `f64` tensors: the cotangents of a random projection
/// of its result, element by element, against central differences, and the tangent along a random
/// direction against the same cotangents.
///
/// # Errors
/// If a derivative does not exist or is wrong; the error names the argument, the element, both values
/// and the seed.
pub fn check_gradients(
    f: impl Fn(&[Var]) -> Var, point: &[Tensor], evaluate: Evaluate<'_>, options: CheckOptions,
) -> Result<()> {
    let mut state = options.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = |count: usize| -> Vec<f64> {
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64 + 0.5
        };
        (0..count).map(|_| draw()).collect()
    };
    let inputs: Vec<Var> = point.iter().enumerate().map(|(i, x)| Var::input(&format!("x{i}"), x.ty())).collect();
    let y = f(&inputs);
    let value = evaluate(&inputs, std::slice::from_ref(&y), point)?.remove(0);
    let weights = Tensor::from_vec(random(value.len()), value.shape())?;
    let cost = (&y * Var::constant(weights)).sum(None);
    let targets: Vec<Var> = inputs.iter().zip(point).filter(|(_, x)| x.dtype() == DType::F64).map(|(v, _)| v.clone()).collect();
    let positions: Vec<usize> = (0..point.len()).filter(|&i| point[i].dtype() == DType::F64).collect();
    let gradients = evaluate(&inputs, &crate::ops::grad(&cost, &targets.iter().collect::<Vec<_>>()), point)?;
    for (&position, gradient) in positions.iter().zip(&gradients) {
        if gradient.shape() != point[position].shape() {
            let (found, wanted) = (gradient.shape(), point[position].shape());
            let message = format!("argument {position}: its gradient has the shape {found:?}, it the shape {wanted:?}");
            return Err(Error::new(ErrorKind::Gradient, message));
        }
        let elements = point[position].to_f64_vec();
        let slopes = gradient.to_f64_vec();
        let scale = slopes.iter().fold(1.0f64, |most, slope| most.max(slope.abs()));
        for at in 0..elements.len() {
            let step = options.step * elements[at].abs().max(1.0);
            let shifted = |by: f64| -> Result<f64> {
                let mut moved = elements.clone();
                moved[at] += by;
                let mut point = point.to_vec();
                point[position] = Tensor::from_vec(moved, point[position].shape())?;
                let cost = evaluate(&inputs, std::slice::from_ref(&cost), &point)?.remove(0);
                Ok(cost.item().unwrap_or(f64::NAN))
            };
            let difference = (shifted(step)? - shifted(-step)?) / (2.0 * step);
            if (difference - slopes[at]).abs() <= options.tolerance * scale {
                continue;
            }
            let message = format!(
                "argument {position}, element {at}: the gradient is {}, central differences give {difference} (seed {})",
                slopes[at], options.seed
            );
            return Err(Error::new(ErrorKind::Gradient, message));
        }
        let direction = Tensor::from_vec(random(elements.len()), point[position].shape())?;
        let expected: f64 = direction.to_f64_vec().iter().zip(&slopes).map(|(d, s)| d * s).sum();
        let tangent = crate::ops::jvp(&cost, &inputs[position], &Var::constant(direction));
        let found = evaluate(&inputs, &[tangent], point)?.remove(0).item().unwrap_or(f64::NAN);
        if (found - expected).abs() > options.tolerance * scale * elements.len().max(1) as f64 {
            let message = format!(
                "argument {position}: forward mode gives {found}, reverse mode {expected} (seed {})",
                options.seed
            );
            return Err(Error::new(ErrorKind::Gradient, message));
        }
    }
    Ok(())
}
