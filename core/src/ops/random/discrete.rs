//! Discrete distributions that are built from others, orders and choices.

use super::form::{Form, is_empty, params};
use super::{common_shape as shape_of_operands, count_dtype, key};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, add, constant, constant_int, length, positions, type_error, vector, whole};
use crate::ops::shape::concatenate;
use crate::ops::{Attribute, AttributeKind, Attributes, Param, ParamKind, Registry, normalize_axis};
use crate::tensor::DType;

pub(super) fn register(registry: &mut Registry) {
    let attribute = Param::attribute;
    let int_axis = |default: i64, doc| attribute("axis", AttributeKind::Int, Some(Attribute::Int(default)), doc);
    add(registry, "split_key", vec![key(), Param::operand("n", "how many")],
        "`n` keys, the rows of `u64[n, 2]`, whose draws are independent: `fold_in(key, i)` for each i from 0 on.\n\n    \
         keys = split_key(key, 3)\n    uniform(keys[0], n)", |a| {
            let n = a.operand(1)?;
            whole(n)?;
            if n.ty()?.rank() != 0 || constant_int(n).is_some_and(|n| n < 0) {
                return type_error("`n` is one whole number, not negative");
            }
            Ok(vec![super::fold_in(a.operand(0)?, &positions(&n.cast(DType::I64)))])
        });
    add(registry, "bernoulli", params(&[("p", "the probability of true")], vec![shape_of_operands()]),
        "Bools that are true with probability p: `u < p` of uniform draws.\n\n    bernoulli(key, 0.3, [n])", |a| {
            let form = probabilities(a, 1)?;
            Ok(vec![form.uniform().lt(&form.numbers[0])])
        });
    add(registry, "geometric", params(&[("p", "the probability of success, positive")], vec![shape_of_operands(), count_dtype()]),
        "The number of trials up to the first success: `1 + floor(log(1 - u) / log(1 - p))`.\n\n    geometric(key, 0.2, [n])", |a| {
            let form = Form::in_dtype(a, 1, DType::F64)?;
            let failures = (-form.exponential() / (-&form.numbers[0]).log1p()).floor();
            Ok(vec![(failures + 1.0).cast(counts(a)?)])
        });
    add(registry, "negative_binomial",
        params(&[("n", "the number of successes, positive; it need not be whole"), ("p", "the probability of success")], vec![shape_of_operands(), count_dtype()]),
        "The number of failures before the n-th success: Poisson draws whose means are gamma draws of `n`, times \
         `(1 - p) / p`.\n\n    negative_binomial(key, 3, 0.4, [n])", |a| {
            let form = Form::in_dtype(a, 2, DType::F64)?;
            let (n, p) = (&form.numbers[0], &form.numbers[1]);
            let mean = form.log_gamma(&form.key(0), n).exp() * ((1.0 - p) / p);
            Ok(vec![Var::apply("poisson", &[form.key(1), mean, form.shape.clone()], Attributes::new().with("dtype", counts(a)?))])
        });
    add(registry, "betabinom",
        params(&[("n", "the number of trials"), ("a", "the first shape parameter, positive"), ("b", "the second, positive")], vec![shape_of_operands(), count_dtype()]),
        "The number of successes in n trials whose probability has a beta distribution.\n\n    betabinom(key, 10, 2.0, 3.0, [n])", |a| {
            let form = Form::in_dtype(a, 3, DType::F64)?;
            let beta = [form.key(0), form.numbers[1].clone(), form.numbers[2].clone(), form.shape.clone()];
            let p = Var::apply("random_beta", &beta, Attributes::new().with("dtype", DType::F64));
            let operands = [form.key(1), form.numbers[0].clone(), p, form.shape.clone()];
            Ok(vec![Var::apply("binomial", &operands, Attributes::new().with("dtype", counts(a)?))])
        });
    add(registry, "categorical",
        vec![key(), Param::operand("logits", "logarithms of weights, which need not sum to 1"),
            Param { name: "shape", kind: ParamKind::SpreadSizes, doc: "the lengths of the axes; those of the logits without the classes if there are none" },
            int_axis(-1, "the axis of the classes")],
        "Class numbers with the probabilities `softmax(logits)`: where `logits + gumbel` is largest (Gumbel's trick; \
         Maddison, Tarlow and Minka, arXiv 1411.0030).\n\n    categorical(key, logits)\n    categorical(key, log(p), [n])", categorical);
    add(registry, "permutation", vec![key(), Param::operand("x", "a value, or how many whole numbers from 0 on"), int_axis(0, "the axis whose entries change places")],
        "The entries along an axis in random order, all orders equally likely: that of uniform draws. Of a whole number \
         `n` it is an order of `arange(n)`.\n\n    permutation(key, n)\n    permutation(key, x, axis=1)", |a| {
            let (x, axis) = entries(a, a.operand(1)?)?;
            let order = random_order(a.operand(0)?, &length(&x, axis));
            Ok(vec![x.take(&order, axis as i64)])
        });
    add(registry, "shuffle_row_elements", vec![key(), Param::operand("x", "rows along the last axis")],
        "Each row in a random order of its own, all orders equally likely: that of uniform draws, as NumPy's \
         `permuted(x, axis=-1)`.\n\n    shuffle_row_elements(key, x)", |a| {
            let x = a.operand(1)?;
            if x.ty()?.rank() == 0 {
                return type_error(format!("rows have an axis, but this is {}", x.ty()?));
            }
            let draws = Var::apply("uniform", &[a.operand(0)?.clone(), x.shape()], Attributes::new().with("dtype", DType::F64));
            Ok(vec![x.take_along_axis(&draws.argsort(-1), -1)])
        });
    add(registry, "choice",
        vec![key(), Param::operand("a", "a value, or how many whole numbers from 0 on"),
            Param { name: "shape", kind: ParamKind::SpreadSizes, doc: "the lengths of the axes that stand for the one that is chosen from" },
            attribute("replace", AttributeKind::Bool, Some(Attribute::Bool(true)), "whether an entry may be chosen again"),
            Param { name: "p", kind: ParamKind::OptionalOperand, doc: "the entries' weights, which need not sum to 1; equal if left out" },
            int_axis(0, "the axis of the entries")],
        "Entries along an axis, at random. With weights by their running sums; without putting back in the order of \
         `log(p) + gumbel` (Efraimidis and Spirakis, 2006, *Weighted random sampling with a reservoir*). To choose more \
         entries than there are without putting back is an error. Theano's `multinomial_wo_replacement(n=n, pvals=p)` of one row \
         of probabilities is `choice(key, k, [n], replace=false, p=p)` of its k entries; `vectorize` gives one for each row.\
         \n\n    choice(key, 10, [3], replace=false)\n    choice(key, x, n, p=weights)", choice);
}

/// The dtype of draws that count.
fn counts(a: &Arguments<'_>) -> Result<DType> {
    match a.attributes.dtype("dtype")? {
        Some(dtype) if dtype.is_integer() && dtype != DType::Bool => Ok(dtype),
        Some(dtype) => type_error(format!("draws that count have an integer dtype, not {dtype}")),
        None => Ok(DType::I64),
    }
}

/// Draws compared with probabilities: in their dtype if it is a float.
fn probabilities(a: &Arguments<'_>, at: usize) -> Result<Form> {
    let ty = a.operand(at)?.ty()?;
    Form::in_dtype(a, at, if ty.dtype.is_float() && !ty.weak { ty.dtype } else { DType::F64 })
}

fn categorical(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let logits = a.operand(1)?;
    let rank = logits.ty()?.rank();
    if rank == 0 {
        return type_error("logits have an axis of classes, they are no scalar");
    }
    let axis = a.attributes.axis("axis", rank)?;
    let logits = if axis + 1 == rank { logits.clone() } else { logits.moveaxis(axis as i64, -1) };
    let given = a.operand(2)?;
    let shape = match is_empty(given)? {
        true => logits.shape(),
        false => concatenate(&[given.cast(DType::I64), vector(&[length(&logits, rank - 1)])], 0),
    };
    let operands = [a.operand(0)?.clone(), logits, shape];
    let form = probabilities(&Arguments { operands: &operands, attributes: a.attributes }, 1)?;
    let scores = &form.numbers[0] + form.gumbel();
    Ok(vec![Var::apply("argmax", &[scores], Attributes::new().with("axis", -1))])
}

/// The entries and their axis: a whole number stands for those below it.
fn entries(a: &Arguments<'_>, x: &Var) -> Result<(Var, usize)> {
    let rank = x.ty()?.rank();
    if rank > 0 {
        return Ok((x.clone(), a.attributes.axis("axis", rank)?));
    }
    whole(x)?;
    normalize_axis(a.attributes.int("axis")?, 1)?;
    if constant_int(x).is_some_and(|n| n < 0) {
        return type_error("there is no negative number of entries");
    }
    Ok((positions(&x.cast(DType::I64)), 0))
}

/// The whole numbers below `count` in random order.
fn random_order(key: &Var, count: &Var) -> Var {
    let draws = Var::apply("uniform", &[key.clone(), vector(std::slice::from_ref(count))], Attributes::new().with("dtype", DType::F64));
    draws.argsort(0)
}

fn choice(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, axis) = entries(a, a.operand(1)?)?;
    let (key, shape) = (a.operand(0)?, a.operand(2)?);
    let count = length(&x, axis);
    let known = x.ty()?.dims[axis].known();
    if let Some(p) = a.operands.get(3) {
        let ty = p.ty()?;
        let fits = ty.rank() == 1 && ty.dims[0].compatible(&x.ty()?.dims[axis]);
        if !fits || ty.dtype == DType::Bool {
            return type_error(format!("`p` is one weight for each of the {} entries, not {ty}", x.ty()?.dims[axis]));
        }
    }
    let weights = a.operands.get(3).map(|p| p.cast(DType::F64));
    let wanted = || Some(constant(shape)?.to_i64_vec().into_iter().fold(1i64, i64::saturating_mul));
    let places = if a.attributes.bool("replace")? {
        if known == Some(0) && wanted() != Some(0) {
            return type_error("there are no entries to choose from");
        }
        match weights {
            None => Var::apply("randint", &[key.clone(), Var::scalar(0i64), count, shape.clone()], Attributes::new()),
            Some(weights) => {
                let sums = weights.cumsum(Some(0));
                // The last is exactly 1, above every draw; entries of no weight are never next above one.
                let sums = &sums / sums.at(-1);
                let draws = Var::apply("uniform", &[key.clone(), shape.clone()], Attributes::new().with("dtype", DType::F64));
                Var::apply("searchsorted", &[sums, draws], Attributes::new().with("side", "right"))
            }
        }
    } else {
        if let (Some(known), Some(wanted)) = (known, wanted())
            && wanted > known as i64
        {
            return type_error(format!("{wanted} entries of {known} cannot be chosen without putting back"));
        }
        let order = match weights {
            None => random_order(key, &count),
            Some(weights) => {
                let operands = [key.clone(), vector(std::slice::from_ref(&count))];
                let arguments = Arguments { operands: &operands, attributes: &Attributes::new() };
                let form = Form::in_dtype(&arguments, 0, DType::F64)?;
                (-(weights.log() + form.gumbel())).argsort(0)
            }
        };
        // One that is out of range says that there are fewer entries.
        order.take(&positions(&shape.prod(None)), 0).reshape_to(shape)
    };
    Ok(vec![x.take(&places, axis as i64)])
}
