//! Cotangents that count only where a condition holds.
//!
//! `where(c, f(x), h(x))` does not depend on `f(x)` where `c` is false, however steep `f` is there. A
//! cotangent that is set to 0 there and then multiplied by the slope of `f` would be NaN where that is
//! infinite. So what flows out of `where` is kept with its condition through elementwise ops, and set to 0
//! behind them: an element of the derivative is selected as the element of the value is.

use crate::error::Result;
use crate::graph::Var;
use crate::ops::elementwise::{like_dtype, sets_the_shape, unbroadcast};
use crate::ops::{Attributes, Op, Vjp, where_};
use crate::tensor::DType;

/// A cotangent, and where it counts.
#[derive(Clone)]
pub(super) struct Cotangent {
    value: Var,
    within: Option<Within>,
}

/// The cotangent is `value` where the condition is `holds`, and 0 elsewhere.
#[derive(Clone)]
struct Within {
    condition: Var,
    holds: bool,
    /// Whether `value` is 0 elsewhere itself.
    exact: bool,
}

impl From<Var> for Cotangent {
    fn from(value: Var) -> Cotangent {
        Cotangent { value, within: None }
    }
}

impl Cotangent {
    /// The cotangent as a value.
    pub(super) fn settled(&self) -> Var {
        let zero = Var::weak(0.0);
        match &self.within {
            Some(Within { condition, holds: true, exact: false }) => where_(condition, &self.value, &zero),
            Some(Within { condition, holds: false, exact: false }) => where_(condition, &zero, &self.value),
            _ => self.value.clone(),
        }
    }

    /// # Errors
    /// If the value is ill-typed.
    pub(super) fn check(&self) -> Result<()> {
        self.value.ty().map(|_| ())
    }

    /// The sum of two cotangents of `var`.
    pub(super) fn add(&self, other: &Cotangent, var: &Var) -> Cotangent {
        let sum = |a: Var, b: Var| Var::apply_at("add", &[a, b], Attributes::new(), var.node().location().clone());
        match (&self.within, &other.within) {
            (Some(a), Some(b)) if a.condition.is(&b.condition) && a.holds == b.holds => Cotangent {
                value: sum(self.value.clone(), other.value.clone()),
                within: Some(Within { exact: a.exact && b.exact, ..a.clone() }),
            },
            _ => sum(self.settled(), other.settled()).into(),
        }
    }

    /// Whether [`Cotangent::through`] has to carry it through an op.
    pub(super) fn is_carried(&self, op: &dyn Op) -> bool {
        !op.has_decomposition() && (selects(op) || (self.within.is_some() && op.is_elementwise()))
    }

    /// The cotangents of the operands of an elementwise op whose result has this one.
    ///
    /// # Errors
    /// As the op's own rule.
    pub(super) fn through(
        &self, op: &dyn Op, operands: &[Var], result: &Var, attributes: &Attributes,
    ) -> Result<Vec<Option<Cotangent>>> {
        let rule = |operands: &[Var]| {
            let cotangents = [Some(self.value.clone())];
            op.vjp(&Vjp { operands, results: std::slice::from_ref(result), cotangents: &cotangents, attributes })
        };
        let plain = rule(operands)?;
        let mut outgoing = Vec::new();
        for (i, (operand, product)) in operands.iter().zip(plain).enumerate() {
            let Some(product) = product else {
                outgoing.push(None);
                continue;
            };
            let keeps = sets_the_shape(operands, i)? || operand.ty()?.same_dims(result.ty()?);
            let (value, within) = if selects(op) {
                let own = Within { condition: operands[0].clone(), holds: i == 1, exact: false };
                (like_dtype(self.value.clone(), operand), Some(self.both(own)))
            } else if keeps {
                (product, self.within.clone().map(|within| Within { exact: false, ..within }))
            } else {
                // Every place of the result first, to select among before they are summed.
                let mut spread = operands.to_vec();
                spread[i] = operand.broadcast_to_var(&result.shape());
                let product = rule(&spread)?.swap_remove(i).unwrap_or(product);
                (product, self.within.clone().map(|within| Within { exact: false, ..within }))
            };
            let wide = Cotangent { value, within };
            outgoing.push(Some(if keeps { wide } else { wide.narrowed(operand, result) }));
        }
        Ok(outgoing)
    }

    /// Where both this cotangent and one with another condition count.
    fn both(&self, other: Within) -> Within {
        let Some(own) = &self.within else { return other };
        Within { condition: own.is_met() & other.is_met(), holds: true, exact: false }
    }

    /// A cotangent of the shape of a result, summed to that of an operand; it counts where any of the
    /// summands does.
    fn narrowed(&self, operand: &Var, result: &Var) -> Cotangent {
        let value = unbroadcast(&self.settled(), operand);
        let within = self.within.as_ref().map(|within| {
            let places = within.is_met().broadcast_to_var(&result.shape()).cast(DType::I64);
            let counts = Var::apply("sum_to", &[places, operand.shape()], Attributes::new());
            Within { condition: counts.gt(&Var::weak(0i64)), holds: true, exact: true }
        });
        Cotangent { value, within }
    }
}

impl Within {
    fn is_met(&self) -> Var {
        if self.holds { self.condition.clone() } else { self.condition.logical_not() }
    }
}

/// Whether the op gives elements of one of its last two operands, by a condition, the first.
fn selects(op: &dyn Op) -> bool {
    op.name() == "where"
}
