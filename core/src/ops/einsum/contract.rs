//! Terms with labelled axes, and the product of two of them.

use super::subscripts::Label;
use super::type_error;
use crate::error::Result;
use crate::graph::Var;
use crate::ops::Attributes;
use crate::ops::shape::{concatenate, stack};
use crate::tensor::Dim;

/// A value with a label for each of its axes.
#[derive(Clone)]
pub(super) struct Term {
    pub(super) value: Var,
    pub(super) labels: Vec<Label>,
}

fn length(x: &Var, axis: usize) -> Var {
    x.shape().at_axis(0, axis as i64)
}

fn name(label: Label) -> String {
    char::from_u32(label).filter(char::is_ascii_alphabetic).map_or("...".to_owned(), |letter| letter.to_string())
}

impl Term {
    fn axis(&self, label: Label) -> Option<usize> {
        self.labels.iter().position(|own| *own == label)
    }

    pub(super) fn dim(&self, label: Label) -> Result<Option<Dim>> {
        let Some(axis) = self.axis(label) else { return Ok(None) };
        Ok(self.value.ty()?.dims.get(axis).cloned())
    }

    /// The axes in the order of some labels, which are all of them.
    pub(super) fn arranged(&self, labels: &[Label]) -> Result<Var> {
        let axes: Vec<i64> = labels.iter().filter_map(|&label| self.axis(label)).map(|axis| axis as i64).collect();
        let in_place = axes.iter().enumerate().all(|(at, &axis)| at as i64 == axis);
        Ok(if in_place { self.value.clone() } else { self.value.transpose(&axes) })
    }

    /// The diagonals of axes with one label.
    pub(super) fn without_repeats(self) -> Result<Term> {
        let Term { mut value, mut labels } = self;
        while let Some(second) = (1..labels.len()).find(|&at| labels[..at].contains(&labels[at])) {
            let label = labels[second];
            let Some(first) = labels.iter().position(|other| *other == label) else { break };
            let dims = &value.ty()?.dims;
            if !dims[first].compatible(&dims[second]) {
                let message = format!("`{}` stands for axes of lengths {} and {} of one operand", name(label), dims[first], dims[second]);
                return type_error(message);
            }
            let rest: Vec<usize> = (0..labels.len()).filter(|&axis| axis != first && axis != second).collect();
            let axes: Vec<i64> = rest.iter().copied().chain([first, second]).map(|axis| axis as i64).collect();
            let rows = length(&value, first);
            // Every n+1st element of the flattened matrices; those of unequal lengths cannot be flattened so.
            let mut sizes: Vec<Var> = rest.iter().map(|&axis| length(&value, axis)).collect();
            sizes.push(&rows * &rows);
            let flat = value.transpose(&axes).reshape_to(&stack(&sizes, 0));
            let places = Var::apply("arange", &[rows.clone()], Attributes::new()) * (&rows + 1);
            value = flat.take(&places, -1);
            labels = rest.into_iter().map(|axis| labels[axis]).chain([label]).collect();
        }
        Ok(Term { value, labels })
    }

    /// The sum over the labels for which `drop` holds, in the term's own dtype.
    fn summed(self, drop: impl Fn(Label) -> bool) -> Result<Term> {
        let axes: Vec<i64> = (0..self.labels.len()).filter(|&axis| drop(self.labels[axis])).map(|axis| axis as i64).collect();
        if axes.is_empty() {
            return Ok(self);
        }
        let ty = self.value.ty()?;
        let attributes = Attributes::new().with("axis", axes);
        // A dtype that is given is firm; that of a weak number stays weak.
        let attributes = if ty.weak { attributes } else { attributes.with("dtype", ty.dtype) };
        let value = Var::apply("sum", &[self.value], attributes);
        Ok(Term { value, labels: self.labels.into_iter().filter(|&label| !drop(label)).collect() })
    }
}

/// The terms without axes of length 1 that broadcast, and summed over labels that nothing else has.
pub(super) fn prepared(terms: Vec<Term>, result: &[Label]) -> Result<Vec<Term>> {
    let known_one = |dim: &Dim| *dim == Dim::Known(1);
    let mut ready: Vec<Term> = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        let mut kept = term.clone();
        for &label in &term.labels {
            let Some(own) = term.dim(label)? else { continue };
            let mut broadcasts = false;
            for (other, others) in terms.iter().enumerate().filter(|(other, _)| *other != at) {
                let Some(dim) = others.dim(label)? else { continue };
                if !own.compatible(&dim) && !known_one(&own) && !known_one(&dim) {
                    let message = format!("`{}` has length {own} in operand {at} and {dim} in operand {other}", name(label));
                    return type_error(message);
                }
                // Of several axes of length 1 the last is kept.
                broadcasts |= !known_one(&dim) || other > at;
            }
            if let (true, true, Some(axis)) = (broadcasts, known_one(&own), kept.axis(label)) {
                kept.value = kept.value.squeeze(axis as i64);
                kept.labels.remove(axis);
            }
        }
        ready.push(kept);
    }
    let lists: Vec<Vec<Label>> = ready.iter().map(|term| term.labels.clone()).collect();
    let lonely = |at: usize, label: Label| {
        let elsewhere = |(other, labels): (usize, &Vec<Label>)| other != at && labels.contains(&label);
        !result.contains(&label) && !lists.iter().enumerate().any(elsewhere)
    };
    ready.into_iter().enumerate().map(|(at, term)| term.summed(|label| lonely(at, label))).collect()
}

/// The sum of products of two terms over the labels of both that are not kept. `exact` refuses lengths of
/// 1 against others, which else broadcast.
pub(super) fn pair(a: &Term, b: &Term, kept: &[Label], exact: bool) -> Result<Term> {
    let of = |labels: &[Label], both: bool, keep: bool, other: &[Label]| -> Vec<Label> {
        labels.iter().copied().filter(|label| other.contains(label) == both && kept.contains(label) == keep).collect()
    };
    let batch = of(&a.labels, true, true, &b.labels);
    let inner = of(&a.labels, true, false, &b.labels);
    let (left, right) = (of(&a.labels, false, true, &b.labels), of(&b.labels, false, true, &a.labels));
    let labels = [batch.as_slice(), &left, &right].concat();
    if inner.is_empty() {
        let mut x = a.arranged(&[batch.as_slice(), &left].concat())?;
        let mut y = b.arranged(&[batch.as_slice(), &right].concat())?;
        x = right.iter().fold(x, |x, _| x.expand_dims(-1));
        y = left.iter().fold(y, |y, _| y.expand_dims(batch.len() as i64));
        return Ok(Term { value: x * y, labels });
    }
    let x = a.arranged(&[batch.as_slice(), &left, &inner].concat())?;
    let y = b.arranged(&[batch.as_slice(), &inner, &right].concat())?;
    let (x, y) = fitted(a, b, &inner, x, batch.len() + left.len(), y, batch.len(), exact)?;
    let shape_x = |from: usize, count: usize| -> Vec<Var> { (from..from + count).map(|axis| length(&x, axis)).collect() };
    let shape_y = |from: usize, count: usize| -> Vec<Var> { (from..from + count).map(|axis| length(&y, axis)).collect() };
    let rows = shape_x(batch.len(), left.len());
    let columns = shape_y(batch.len() + inner.len(), right.len());
    let product = merged(&x, batch.len(), left.len(), inner.len())?.matmul(&merged(&y, batch.len(), inner.len(), right.len())?);
    let value = if left.len() == 1 && right.len() == 1 {
        product
    } else {
        let front = (0..batch.len()).map(|axis| length(&product, axis));
        let shape: Vec<Var> = front.chain(rows).chain(columns).collect();
        if shape.is_empty() { product.reshape(&[]) } else { product.reshape_to(&stack(&shape, 0)) }
    };
    Ok(Term { value, labels })
}

/// Two groups of axes behind the batch, each as one axis.
fn merged(x: &Var, batch: usize, first: usize, second: usize) -> Result<Var> {
    if first == 1 && second == 1 {
        return Ok(x.clone());
    }
    let product = |from: usize, count: usize| -> Var {
        (from..from + count).map(|axis| length(x, axis)).reduce(|all, next| all * next).unwrap_or_else(|| Var::scalar(1i64))
    };
    let mut sizes: Vec<Var> = (0..batch).map(|axis| length(x, axis)).collect();
    sizes.extend([product(batch, first), product(batch + first, second)]);
    Ok(x.reshape_to(&stack(&sizes, 0)))
}

/// The operands with equal inner lengths, which stand from `at_x` and `at_y` on. The product of matrices
/// itself refuses unequal lengths only of a single axis.
#[allow(clippy::too_many_arguments)]
fn fitted(
    a: &Term, b: &Term, inner: &[Label], x: Var, at_x: usize, y: Var, at_y: usize, exact: bool,
) -> Result<(Var, Var)> {
    let mut sure = inner.len() == 1;
    if !sure {
        sure = true;
        for &label in inner {
            let (Some(m), Some(n)) = (a.dim(label)?, b.dim(label)?) else { continue };
            sure &= m.same(&n);
        }
    }
    if sure {
        return Ok((x, y));
    }
    let count = inner.len();
    let with_lengths = |v: &Var, at: usize, other: &Var, from: usize| -> Result<Var> {
        let rank = v.ty()?.rank();
        let own = v.shape();
        let part = |shape: &Var, start: usize, stop: usize| shape.slice(0, Some(start as i64), Some(stop as i64));
        let shape = concatenate(&[part(&own, 0, at), part(&other.shape(), from, from + count), part(&own, at + count, rank)], 0);
        Ok(v.broadcast_to_var(&shape))
    };
    let fitted_y = with_lengths(&y, at_y, &x, at_x)?;
    let fitted_x = if exact { with_lengths(&x, at_x, &y, at_y)? } else { x };
    Ok((fitted_x, fitted_y))
}
