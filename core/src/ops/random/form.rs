//! What distributions that are built from others work with.

use super::primitive::float_of;
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, type_error};
use crate::ops::sizes::sizes;
use crate::ops::{Attributes, Param};
use crate::tensor::{DType, Dim};

/// A key, a shape, and the numbers that give the form of a distribution.
pub(super) struct Form {
    key: Var,
    /// The lengths of the result's axes.
    pub shape: Var,
    /// The dtype of the result.
    pub dtype: DType,
    /// The dtype to compute in: halves are computed in `f32`.
    pub wide: DType,
    /// The numbers, in the dtype to compute in; they broadcast to the shape.
    pub numbers: Vec<Var>,
}

impl Form {
    /// The form that a key, `numbers` operands and the shape behind them say; floats of the attribute
    /// `dtype`, or of the numbers' dtype.
    pub fn of(a: &Arguments<'_>, numbers: usize) -> Result<Form> {
        let given = (1..=numbers).map(|at| a.operand(at)).collect::<Result<Vec<_>>>()?;
        let types = given.iter().map(|number| number.ty()).collect::<Result<Vec<_>>>()?;
        let dtype = match a.attributes.dtype("dtype").ok().flatten() {
            Some(dtype) if dtype.is_float() => dtype,
            Some(dtype) => return type_error(format!("draws have a float dtype, not {dtype}")),
            None => float_of(types.iter().copied()),
        };
        Form::in_dtype(a, numbers, dtype)
    }

    /// The same of draws that are computed in a dtype, whatever the attributes say.
    pub fn in_dtype(a: &Arguments<'_>, numbers: usize, dtype: DType) -> Result<Form> {
        let wide = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
        let mut own = Vec::new();
        for at in 1..=numbers {
            let number = a.operand(at)?;
            if number.ty()?.dtype == DType::Bool {
                return type_error(format!("operand {at} is a number, not {}", number.ty()?));
            }
            own.push(if number.ty()?.dtype == wide && !number.ty()?.weak { number.clone() } else { number.cast(wide) });
        }
        let given = a.operand(numbers + 1)?;
        let shape = match is_empty(given)? {
            true => common_shape(&own)?,
            false => {
                for number in &mut own {
                    if number.ty()?.rank() > 0 {
                        *number = number.broadcast_to_var(given);
                        number.ty()?;
                    }
                }
                given.clone()
            }
        };
        Ok(Form { key: a.operand(0)?.clone(), shape, dtype, wide, numbers: own })
    }

    /// The key of one of several draws.
    pub fn key(&self, number: i64) -> Var {
        inner_key(&self.key, number)
    }

    /// Uniform draws on [0, 1).
    pub fn uniform(&self) -> Var {
        self.uniform_of(&self.key)
    }

    /// Uniform draws on [0, 1) of another key.
    pub fn uniform_of(&self, key: &Var) -> Var {
        Var::apply("uniform", &[key.clone(), self.shape.clone()], Attributes::new().with("dtype", self.wide))
    }

    /// Uniform draws, without 0: half of the least positive one stands for it.
    pub fn open(&self) -> Var {
        let half = if self.wide == DType::F64 { 2f64.powi(-54) } else { 2f64.powi(-25) };
        self.uniform().maximum(&Var::weak(half))
    }

    /// Standard exponential draws, `-log(1 - u)`.
    pub fn exponential(&self) -> Var {
        -(-self.uniform()).log1p()
    }

    /// The same of another key.
    pub fn exponential_of(&self, key: &Var) -> Var {
        -(-self.uniform_of(key)).log1p()
    }

    /// Standard Gumbel draws.
    pub fn gumbel(&self) -> Var {
        -(-(-self.open()).log1p()).log()
    }

    /// Standard normal draws.
    pub fn normal(&self, key: &Var) -> Var {
        Var::apply("normal", &[key.clone(), self.shape.clone()], Attributes::new().with("dtype", self.wide))
    }

    /// Logarithms of gamma draws.
    pub fn log_gamma(&self, key: &Var, a: &Var) -> Var {
        let attributes = Attributes::new().with("dtype", self.wide).with("log", true);
        Var::apply("random_gamma", &[key.clone(), a.clone(), self.shape.clone()], attributes)
    }

    /// The key itself, of ops that draw once.
    pub fn own_key(&self) -> &Var {
        &self.key
    }

    /// Draws in the dtype of the result.
    pub fn done(&self, draws: Var) -> Result<Vec<Var>> {
        Ok(vec![if self.wide == self.dtype { draws } else { draws.cast(self.dtype) }])
    }
}

/// The key for one of the several draws of an op.
pub(super) fn inner_key(key: &Var, number: i64) -> Var {
    super::fold_in(key, &Var::scalar(-1 - number))
}

/// Whether an operand of sizes says nothing.
pub(super) fn is_empty(sizes: &Var) -> Result<bool> {
    Ok(sizes.ty()?.dims.as_slice() == [Dim::Known(0)])
}

/// The shape that operands have together.
pub(super) fn common_shape(operands: &[Var]) -> Result<Var> {
    let mut spread = Vec::new();
    for operand in operands {
        if operand.ty()?.rank() > 0 {
            spread.push(operand.clone());
        }
    }
    Ok(match spread.into_iter().reduce(|sum, operand| sum + operand) {
        None => sizes(&[]),
        Some(sum) => {
            sum.ty()?;
            sum.shape()
        }
    })
}

/// Parameters of an op: the key, some operands, what else there is.
pub(super) fn params(numbers: &[(&'static str, &'static str)], rest: Vec<Param>) -> Vec<Param> {
    let numbers = numbers.iter().map(|(name, doc)| Param::operand(name, doc));
    std::iter::once(super::key()).chain(numbers).chain(rest).collect()
}
