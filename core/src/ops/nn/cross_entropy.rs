//! The cross entropy together with its gradient, which share the exponentials: what a step of training computes.

use super::*;

struct CrossEntropyWithGradient {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    registry.add(CrossEntropyWithGradient {
        name: "cross_entropy_with_gradient",
        params: vec![operand("logits", "scores, classes last"), operand("labels", "class numbers"), operand("g", "the weight of each label, a float")],
        doc: "`cross_entropy(logits, labels)`, and the gradient of `sum(g * cross_entropy(logits, labels))` in the logits: \
              `(softmax(logits) - one_hot(labels)) * expand_dims(g, -1)`. Of a label that is all but certain, the gradient is \
              computed from what the others have, so that it keeps its digits.",
    });
}

impl Op for CrossEntropyWithGradient {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(&operands[..operands.len().min(1)], true)
    }

    fn infer(&self, operands: &[Operand<'_>], _attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (x, labels, g) = (operands[0].ty, operands[1].ty, operands[2].ty);
        let losses = loss_type(x, labels)?;
        let fits = g.rank() == labels.rank() && g.dims.iter().zip(&labels.dims).all(|(weight, label)| weight.compatible(label));
        if !fits || !(g.weak || g.dtype == losses.dtype) {
            let message = format!("each label has a weight, {losses}, not {g}");
            return Err(Error::new(ErrorKind::Type, message));
        }
        let dims = losses.dims.iter().cloned().chain(x.dims.last().cloned()).collect();
        let gradient = Type { dtype: losses.dtype, weak: losses.weak, dims };
        Ok(vec![losses.into(), gradient.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let (x, labels, g) = (operands[0].shape, operands[1].shape, operands[2].shape);
        check_labels(self.name, x, labels)?;
        if g != labels {
            let message = format!("`{}`: weights of shape {g:?} for labels of shape {labels:?}", self.name);
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        Ok(vec![labels.into(), x.into()])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let [x, labels, g] = context.operands else { return Ok(vec![None; context.operands.len()]) };
        let add = |a: Option<Var>, b: Option<Var>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        let losses = context.cotangents[0].as_ref().map(|c| gradient(x, labels, c));
        let (mut slope, mut weight) = (losses, None);
        if let Some(c) = &context.cotangents[1] {
            let p = x.softmax(-1);
            let weighted = c * g.expand_dims(-1);
            slope = add(slope, Some(&p * (&weighted - (&p * &weighted).reduce_axes("sum", Some(&[-1]), true))));
            weight = Some((c * (p - hits(x, labels)?)).reduce_axes("sum", Some(&[-1]), false));
        }
        let slope = slope.filter(|_| x.ty().is_ok_and(|ty| ty.dtype.is_float()));
        Ok(vec![slope, None, weight])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let [x, labels, g] = context.operands else { return Ok(vec![None, None]) };
        let p = x.softmax(-1);
        let slope = &p - hits(x, labels)?;
        let (mut losses, mut gradient) = (None, None);
        if let Some(t) = &context.tangents[0] {
            losses = Some((&slope * t).reduce_axes("sum", Some(&[-1]), false));
            gradient = Some(g.expand_dims(-1) * (&p * (t - (&p * t).reduce_axes("sum", Some(&[-1]), true))));
        }
        if let Some(t) = &context.tangents[2] {
            let own = slope * t.expand_dims(-1);
            gradient = Some(match gradient {
                Some(gradient) => gradient + own,
                None => own,
            });
        }
        Ok(vec![losses, gradient])
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let operands = [context.spread(0), context.spread(1), context.spread(2)];
        Ok(Batched::Rows(Var::apply(self.name, &operands, context.attributes.clone()).siblings()))
    }
}

/// The gradient of `sum(g * cross_entropy(x, labels))` in `x`.
pub(super) fn gradient(x: &Var, labels: &Var, g: &Var) -> Var {
    let operands = [x.clone(), labels.clone(), g.clone()];
    Var::apply("cross_entropy_with_gradient", &operands, Attributes::new()).sibling(1)
}

/// 1 at each label, else 0.
pub(super) fn hits(x: &Var, labels: &Var) -> Result<Var> {
    let classes = x.shape().at_axis(0, -1);
    let numbers = Var::apply("arange", &[classes], Attributes::new()).cast(DType::I64);
    Ok(labels.cast(DType::I64).expand_dims(-1).eq(&numbers).cast(x.ty()?.dtype))
}

/// The type of the losses of logits and labels.
pub(super) fn loss_type(x: &Type, labels: &Type) -> Result<Type> {
    if !labels.dtype.is_integer() {
        let message = format!("labels are class numbers, integers, not {}", labels.dtype);
        return Err(Error::new(ErrorKind::Type, message));
    }
    let fits = x.rank() == labels.rank() + 1
        && x.dims.iter().zip(&labels.dims).all(|(logit, label)| logit.compatible(label));
    if !fits {
        let message = "labels have the axes of the logits without the last, the classes";
        return Err(Error::new(ErrorKind::Type, message));
    }
    let dims = labels.dims.iter().zip(&x.dims).map(|(label, logit)| crate::ops::sizes::meet(label, logit));
    Ok(Type { dtype: float_of(x), weak: x.weak, dims: dims.collect() })
}

/// # Errors
/// If there is not one label for each row of logits.
pub(super) fn check_labels(op: &str, x: &[usize], labels: &[usize]) -> Result<()> {
    if x.len() == labels.len() + 1 && x[..labels.len()] == *labels {
        return Ok(());
    }
    let message = format!("`{op}`: labels of shape {labels:?} do not fit logits of shape {x:?}");
    Err(Error::new(ErrorKind::Runtime, message))
}
