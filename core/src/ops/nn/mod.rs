//! Neural networks: the softmax family, stable by construction, and what is given by other ops.

mod conv;
mod cross_entropy;
mod hierarchical;
mod images;
mod losses;
mod normalize;
mod pool;
mod sliding;
mod windows;

pub(super) use windows::size;

use super::{
    Batch, Batched,
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp,
    default_float, normalize_axis, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Shape, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Softmax,
    LogSoftmax,
    CrossEntropy,
}

struct Nn {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let axis =
        || Param::attribute("axis", AttributeKind::Int, Some(Attribute::Int(-1)), "the axis along which the results sum to 1");
    let x = || operand("x", "scores");
    registry.add(Nn {
        kind: Kind::Softmax, name: "softmax", params: vec![x(), axis()],
        doc: "`exp(x) / sum(exp(x))` along an axis, computed from `x - max(x)`.",
    });
    registry.add(Nn {
        kind: Kind::LogSoftmax, name: "log_softmax", params: vec![x(), axis()],
        doc: "`x - logsumexp(x)` along an axis.",
    });
    registry.add(Nn {
        kind: Kind::CrossEntropy, name: "cross_entropy",
        params: vec![operand("logits", "scores, classes last"), operand("labels", "class numbers")],
        doc: "`-log_softmax(logits)[..., label]` for each label: classes are the last axis of `logits`, the axes \
              before it are those of `labels`. A label out of range is an error of the call.",
    });
    cross_entropy::register(registry);
    losses::register(registry);
    conv::register(registry);
    pool::register(registry);
    normalize::register(registry);
    images::register(registry);
    hierarchical::register(registry);
}

impl Op for Nn {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(&operands[..operands.len().min(1)], true)
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let x = operands[0].ty;
        if self.kind == Kind::CrossEntropy {
            return Ok(vec![cross_entropy::loss_type(x, operands[1].ty)?.into()]);
        }
        normalize_axis(attributes.int("axis")?, x.rank())?;
        Ok(vec![Type { dtype: float_of(x), weak: x.weak, dims: x.dims.clone() }.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let x = operands[0].shape;
        if self.kind != Kind::CrossEntropy {
            normalize_axis(attributes.int("axis")?, x.len())?;
            return Ok(vec![x.into()]);
        }
        let labels = operands[1].shape;
        cross_entropy::check_labels(self.name, x, labels)?;
        Ok(vec![labels.into()])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let (x, y) = (&context.operands[0], &context.results[0]);
        let Some(g) = &context.cotangents[0] else { return Ok(vec![None; context.operands.len()]) };
        if !x.ty()?.dtype.is_float() {
            return Ok(vec![None; context.operands.len()]);
        }
        let axis = [context.attributes.int("axis").unwrap_or(-1)];
        Ok(match self.kind {
            Kind::Softmax => vec![Some(y * from_mean(g, y, axis))],
            Kind::LogSoftmax => {
                // What sums to 0 but for the rounding of the weights, which is all that a weight near 1 leaves.
                let p = &x.softmax(axis[0]);
                let total = |x: &Var| x.reduce_axes("sum", Some(&axis), true);
                let rest = &(g - p * total(g));
                vec![Some(rest - p * total(rest))]
            }
            Kind::CrossEntropy => vec![Some(cross_entropy::gradient(x, &context.operands[1], g)), None],
        })
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let (x, y) = (&context.operands[0], &context.results[0]);
        let Some(t) = &context.tangents[0] else { return Ok(vec![None]) };
        let axis = [context.attributes.int("axis").unwrap_or(-1)];
        Ok(vec![Some(match self.kind {
            Kind::Softmax => y * from_mean(t, y, axis),
            Kind::LogSoftmax => from_mean(t, &x.softmax(axis[0]), axis),
            Kind::CrossEntropy => ((x.softmax(-1) - cross_entropy::hits(x, &context.operands[1])?) * t).reduce_axes("sum", Some(&[-1]), false),
        })])
    }

    fn can_fail(&self) -> bool {
        self.kind == Kind::CrossEntropy
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let value = match self.kind {
            Kind::CrossEntropy => Var::apply(self.name, &[context.spread(0), context.spread(1)], context.attributes.clone()),
            _ => Var::apply(self.name, context.operands, context.shifted("axis", context.rank(0)?)?),
        };
        Ok(Batched::Rows(vec![value]))
    }
}

/// `x` without its mean by weights that sum to 1. Where a weight is near 1 its element is the mean all but for what
/// rounding took: of the differences the mean is taken once more.
fn from_mean(x: &Var, weights: &Var, axis: [i64; 1]) -> Var {
    let without = |x: &Var| x - (x * weights).reduce_axes("sum", Some(&axis), true);
    without(&without(x))
}

/// The dtype of results of scores.
fn float_of(x: &Type) -> DType {
    match x.dtype {
        dtype if dtype.is_float() => dtype,
        _ if x.weak => DType::F64,
        _ => default_float(),
    }
}

impl Var {
    /// `exp(x) / sum(exp(x))` along an axis.
    #[track_caller]
    pub fn softmax(&self, axis: i64) -> Var {
        Var::apply("softmax", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// `x - logsumexp(x)` along an axis.
    #[track_caller]
    pub fn log_softmax(&self, axis: i64) -> Var {
        Var::apply("log_softmax", std::slice::from_ref(self), Attributes::new().with("axis", axis))
    }

    /// Minus the log-probability of each label under the softmax of these logits.
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Var) -> Var {
        Var::apply("cross_entropy", &[self.clone(), labels.clone()], Attributes::new())
    }
}
