//! Gradients only where there are any.

use super::expand::depends;
use crate::error::Result;
use crate::graph::Var;
use crate::ops::Gradient;

impl Gradient {
    /// The gradients in these values, in order, and nothing for those on which no value depends differentiably.
    ///
    /// ```
    /// use arignote_core::graph::Var;
    /// use arignote_core::ops::Gradient;
    /// use arignote_core::tensor::{DType, Type};
    /// let (x, y) = (Var::input("x", Type::scalar(DType::F64)), Var::input("y", Type::scalar(DType::I64)));
    /// let found = Gradient::of(&x.exp()).wrt_connected(&[&x, &y]).unwrap();
    /// assert!(found[0].is_some() && found[1].is_none());
    /// ```
    ///
    /// # Errors
    /// If a value is ill-typed, or an op on the way to a target has no gradient.
    #[track_caller]
    pub fn wrt_connected(&self, targets: &[&Var]) -> Result<Vec<Option<Var>>> {
        let (values, given) = (self.known.len(), self.roots(targets)?);
        let connected = depends(&given[..values], &given[values..])?;
        let wanted: Vec<&Var> = targets.iter().zip(&connected).filter(|(_, connected)| **connected).map(|(target, _)| *target).collect();
        let mut gradients = if wanted.is_empty() { Vec::new() } else { self.wrt(&wanted) }.into_iter();
        Ok(connected.into_iter().map(|connected| if connected { gradients.next() } else { None }).collect())
    }
}
