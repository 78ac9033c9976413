//! What backends draw: bits, uniform and normal numbers, and the distributions that reject draws.
//!
//! Every element has a range of Philox's counter of its own, so that neither threads nor the order of
//! elements matter, however many draws an element rejects.

use super::{common_shape, count_dtype, float_dtype, key, shape};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::ops::elementwise::{like_dtype, unbroadcast};
use crate::ops::sizes::{dims_of_sizes, shape_of_sizes};
use crate::ops::{
    Attribute, AttributeKind, Attributes, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp, default_float,
    no_gradient, where_,
};
use crate::tensor::{DType, Dim, Shape, Type, broadcast_dims, broadcast_shapes};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Floats without operands.
    Standard,
    /// Floats of a form that operands give.
    Shaped,
    /// The gamma distribution, which has a derivative.
    Gamma,
    /// Whole numbers.
    Counts,
    /// Whole numbers along a new last axis, that of the last operand.
    Parts,
    /// Keys.
    Keys,
}

struct Primitive {
    kind: Kind,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let mut add = |kind, name, params, doc| registry.add(Primitive { kind, name, params, doc });
    add(Kind::Standard, "uniform", vec![key(), shape(), float_dtype()],
        "Independent draws, uniform on [0, 1), from Philox4x32-10 (Salmon et al., 2011, *Parallel random \
         numbers: as easy as 1, 2, 3*) keyed by the seed, with the stream in its counter. They are multiples of \
         2**-53 for f64, 2**-24 for f32, 2**-11 for f16 and 2**-8 for bf16. The same key gives the same draws.\n\n    \
         uniform(key, 2, n, dtype=f32)\n    low + (high - low) * uniform(key, 2, n)");
    add(Kind::Standard, "normal", vec![key(), shape(), float_dtype()],
        "Independent draws from the normal distribution of mean 0 and variance 1: Box and Muller's \
         transform `sqrt(-2 log(1 - u1)) cos(2 pi u2)`, and the same with `sin`, of the draws of \
         Philox4x32-10. The same key gives the same draws.\n\n    normal(key, 2, n, dtype=f32)\n    \
         loc + scale * normal(key, n)");
    add(Kind::Keys, "fold_in", vec![key(), operand("data", "whole numbers; negative ones are taken by the ops that draw several times")],
        "A key for each number: the key encrypted, with the number, by Philox4x32-10. Draws of different keys \
         are independent.\n\n    key <- fold_in(key, 0)\n    uniform(fold_in(key, 1), n)");
    add(Kind::Counts, "randint",
        vec![key(), operand("low", "the least whole number"), operand("high", "the whole number behind the largest"), common_shape(), count_dtype()],
        "Whole numbers from `low` up to and without `high`, all equally likely: 64 bits are multiplied by the \
         number of them, and draws that would favour some are rejected (Lemire, arXiv 1805.10941). A range without \
         numbers is an error of the call.\n\n    randint(key, 1, 7, [n])");
    add(Kind::Gamma, "random_gamma",
        vec![key(), operand("a", "the shape parameter, positive"), common_shape(),
            Param::attribute("log", AttributeKind::Bool, Some(Attribute::Bool(false)), "whether to give the logarithms of the draws, which do not underflow for a small `a`"),
            float_dtype()],
        "Draws from the gamma distribution of density `x**(a-1) exp(-x) / gamma(a)`, by rejection (Marsaglia and \
         Tsang, 2000, *A simple method for generating gamma variables*; for `a < 1` a draw for `a + 1` times \
         `u**(1/a)`). The derivative in `a` is that of the quantile, `-(dP/da) / (dP/dx)` of `gammainc`: implicit \
         reparameterisation (Figurnov et al., arXiv 1805.08498).\n\n    random_gamma(key, 2.5, [n]) / rate");
    add(Kind::Counts, "poisson", vec![key(), operand("lam", "the mean, not negative"), common_shape(), count_dtype()],
        "Draws from the Poisson distribution: of the mean 10 and above by transformed rejection (PTRS of Hörmann, \
         1993, *The transformed rejection method for generating Poisson random variables*), below by multiplying \
         uniform numbers.\n\n    poisson(key, 3.5, [n])");
    add(Kind::Counts, "binomial",
        vec![key(), operand("n", "the number of trials"), operand("p", "the probability of success in each"), common_shape(), count_dtype()],
        "The number of successes in `n` trials: where `n min(p, 1-p)` is 10 or more by transformed rejection (BTRS \
         of Hörmann, 1993, *The generation of binomial random variates*), else by the distances between successes, which \
         are geometric.\n\n    binomial(key, 10, 0.3, [n])");
    add(Kind::Parts, "multinomial",
        vec![key(), operand("n", "the number of trials"), operand("pvals", "the probabilities of the outcomes, along the last axis; they sum to 1"), common_shape(), count_dtype()],
        "How often each outcome comes in `n` trials: outcome after outcome a binomial draw of the trials that are \
         left. The result has the outcomes along a last axis behind the shape.\n\n    multinomial(key, 10, [0.2, 0.3, 0.5])");
    add(Kind::Counts, "hypergeometric",
        vec![key(), operand("ngood", "the good ones"), operand("nbad", "the bad ones"), operand("nsample", "how many of them all are taken"), common_shape(), count_dtype()],
        "How many of `nsample` that are taken without putting back are good: one by one, or from many by the ratio of \
         uniforms (HRUA of Stadlober, 1990, *The ratio of uniforms approach for generating discrete random \
         variates*).\n\n    hypergeometric(key, 15, 5, 10, [n])");
    add(Kind::Shaped, "vonmises", vec![key(), operand("kappa", "the concentration, not negative"), common_shape(), float_dtype()],
        "Angles from -pi to pi about 0, of density `exp(kappa cos(x)) / (2 pi i0(kappa))`, by rejection (Best and \
         Fisher, 1979, *Efficient simulation of the von Mises distribution*). It has no gradient in `kappa`.\n\n    \
         mu + vonmises(key, 4.0, [n])");
    add(Kind::Shaped, "wald", vec![key(), operand("mean", "the mean, positive"), operand("scale", "the scale, positive"), common_shape(), float_dtype()],
        "Draws from the inverse Gaussian distribution, by a root of a quadratic equation (Michael, Schucany and Haas, \
         1976, *Generating random variates using transformations with multiple roots*). It has no \
         gradient.\n\n    wald(key, 1.0, 2.0, [n])");
}

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

/// That a value is a key.
fn check_key(key: &Type) -> Result<()> {
    let two = matches!(key.dims.as_slice(), [length] if length.compatible(&Dim::Known(2)));
    if key.dtype == DType::U64 && two { Ok(()) } else { fail(format!("a key is u64[2] (seed and stream), not {key}")) }
}

/// The dims of draws: those of the sizes, to which the operands' broadcast, or without sizes the common ones.
fn drawn_dims(shape: &Operand<'_>, operands: &[&[Dim]]) -> Result<Vec<Dim>> {
    let common = operands.iter().try_fold(Vec::new(), |dims, own| broadcast_dims(&dims, own))?;
    let given = dims_of_sizes(shape)?;
    if given.is_empty() {
        return Ok(common);
    }
    let fits = common.len() <= given.len()
        && common.iter().rev().zip(given.iter().rev()).all(|(own, wanted)| *own == Dim::Known(1) || own.compatible(wanted));
    if !fits {
        let list = |dims: &[Dim]| dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return fail(format!("operands of the shape [{}] do not broadcast to draws of the shape [{}]", list(&common), list(&given)));
    }
    Ok(given)
}

impl Primitive {
    /// How many operands there are between the key and the shape.
    fn numbers(&self) -> usize {
        self.params.iter().filter(|param| param.kind == crate::ops::ParamKind::Operand).count() - 1
    }

    /// The numbers, for [`Kind::Parts`] all but the last axis of the last, and that axis.
    fn batches<'a, T>(&self, mut numbers: Vec<&'a [T]>) -> Result<(Vec<&'a [T]>, Option<&'a T>)> {
        if self.kind != Kind::Parts {
            return Ok((numbers, None));
        }
        match numbers.pop().and_then(<[T]>::split_last) {
            Some((last, batch)) => {
                numbers.push(batch);
                Ok((numbers, Some(last)))
            }
            None => fail("the probabilities have an axis of outcomes, they are no scalar"),
        }
    }

    /// The derivative of gamma draws `y` in `a`.
    fn slope(&self, a: &Var, y: &Var, log: bool) -> Result<Var> {
        let (wide, tiny) = (a.cast(DType::F64), 1e-17);
        let own = y.cast(DType::F64);
        let (draw, logs) = if log { (own.exp(), own) } else { (own.clone(), own.maximum(&Var::weak(f64::MIN_POSITIVE)).log()) };
        // Near 0, `P` is `x**a / gamma(a + 1)`.
        let small = draw.lt(&Var::weak(tiny));
        let limit = ((&wide + 1.0).digamma() - &logs) / &wide;
        let (draw_in, logs_in) = (where_(&small, &Var::weak(1.0), &draw), where_(&small, &Var::weak(0.0), &logs));
        let density = (&wide * &logs_in - &draw_in - wide.lgamma()).exp();
        let implicit = -(Var::weak(1i64).gammainc_da(&wide, &draw_in) / density);
        let slope = where_(&small, &limit, &implicit);
        Ok((if log { slope } else { draw * slope }).cast(y.ty()?.dtype))
    }

    /// What stands for the derivative in an operand: an error as soon as anything needs it.
    fn none_in(&self, operand: usize) -> Var {
        let error = no_gradient(&format!("{}` in its operand `{}", self.name, self.params[operand].name));
        Var::error(error, Location::caller())
    }
}

impl Op for Primitive {
    described!();

    fn settle(&self, operands: &[&Type], attributes: &mut Attributes) -> Vec<Option<DType>> {
        if attributes.dtype("dtype").is_ok_and(|given| given.is_none()) && self.kind != Kind::Keys {
            attributes.set("dtype", Attribute::DType(float_of(operands.iter().skip(1).take(self.numbers()).copied())));
        }
        Vec::new()
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let Some((key, rest)) = operands.split_first() else { return fail("a key is missing") };
        check_key(key.ty)?;
        if self.kind == Kind::Keys {
            let data = rest.first().map_or_else(|| fail("`data` is missing"), |data| Ok(data.ty))?;
            if !data.dtype.is_integer() {
                return fail(format!("whole numbers are folded into a key, not {data}"));
            }
            let dims = data.dims.iter().cloned().chain([Dim::Known(2)]);
            return Ok(vec![Type::new(DType::U64, dims).into()]);
        }
        let (Some(numbers), Some(shape)) = (rest.get(..self.numbers()), rest.get(self.numbers())) else {
            return fail(format!("expected {} operands", self.numbers() + 2));
        };
        for (number, param) in numbers.iter().zip(&self.params[1..]) {
            let whole = self.name == "randint";
            if number.ty.dtype == DType::Bool || (whole && !number.ty.dtype.is_integer()) {
                let wanted = if whole { "whole numbers" } else { "numbers" };
                return fail(format!("`{}` is {wanted}, not {}", param.name, number.ty));
            }
        }
        let counts = matches!(self.kind, Kind::Counts | Kind::Parts);
        let dtype = match attributes.dtype("dtype")? {
            Some(dtype) => dtype,
            None if counts => DType::I64,
            None => float_of(numbers.iter().map(|number| number.ty)),
        };
        if counts && (!dtype.is_integer() || dtype == DType::Bool) {
            return fail(format!("draws that count have an integer dtype, not {dtype}"));
        }
        if !counts && !dtype.is_float() {
            return fail(format!("draws have a float dtype, not {dtype}"));
        }
        let (batches, outcomes) = self.batches(numbers.iter().map(|number| number.ty.dims.as_slice()).collect())?;
        let mut dims = drawn_dims(shape, &batches)?;
        dims.extend(outcomes.cloned());
        Ok(vec![Type::new(dtype, dims).into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let fail = |message: String| Err(Error::new(ErrorKind::Runtime, format!("`{}`: {message}", self.name)));
        let Some((key, rest)) = operands.split_first() else { return fail("a key is missing".to_owned()) };
        if key.shape != [2] {
            return fail(format!("a key has the shape [2], not {:?}", key.shape));
        }
        if self.kind == Kind::Keys {
            return Ok(vec![rest.iter().flat_map(|data| data.shape.iter().copied()).chain([2]).collect()]);
        }
        let (Some(numbers), Some(shape)) = (rest.get(..self.numbers()), rest.get(self.numbers())) else {
            return fail(format!("expected {} operands", self.numbers() + 2));
        };
        let (batches, outcomes) = self.batches(numbers.iter().map(|number| number.shape).collect())?;
        let common = batches.iter().try_fold(Shape::new(), |shape, own| broadcast_shapes(&shape, own))?;
        let given = shape_of_sizes(shape, self.name)?;
        let mut shape = if given.is_empty() { common } else {
            let fits = broadcast_shapes(&common, &given).is_ok_and(|both| both == given);
            if !fits {
                return fail(format!("operands of the shape {common:?} do not broadcast to draws of the shape {given:?}"));
            }
            given
        };
        shape.extend(outcomes.copied());
        Ok(vec![shape])
    }

    fn size_operands(&self, _types: &[&Type], _attributes: &Attributes) -> Vec<usize> {
        if self.kind == Kind::Keys { Vec::new() } else { vec![self.numbers() + 1] }
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let mut found = vec![None; context.operands.len()];
        let Some(Some(g)) = context.cotangents.first() else { return Ok(found) };
        for (at, found) in found.iter_mut().enumerate().skip(1).take(self.numbers()) {
            let x = &context.operands[at];
            if !x.ty()?.dtype.is_float() {
                continue;
            }
            *found = match self.kind {
                Kind::Gamma => {
                    let slope = self.slope(x, &context.results[0], context.attributes.bool("log")?)?;
                    Some(unbroadcast(&(g * slope), x))
                }
                Kind::Shaped => Some(self.none_in(at)),
                _ => None,
            };
        }
        Ok(found)
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        for (at, tangent) in context.tangents.iter().enumerate().skip(1).take(self.numbers()) {
            let Some(tangent) = tangent else { continue };
            match self.kind {
                Kind::Gamma => {
                    let y = &context.results[0];
                    let slope = self.slope(&context.operands[at], y, context.attributes.bool("log")?)?;
                    return Ok(vec![Some(like_dtype(tangent.clone(), y) * slope)]);
                }
                Kind::Shaped => return Ok(vec![Some(self.none_in(at))]),
                _ => {}
            }
        }
        Ok(vec![None])
    }

    fn can_fail(&self) -> bool {
        self.kind != Kind::Keys
    }
}

/// The float dtype of draws whose operands have these types.
pub(in crate::ops) fn float_of<'a>(types: impl Iterator<Item = &'a Type>) -> DType {
    let firm = types.filter(|ty| !ty.weak && ty.dtype.is_float()).map(|ty| ty.dtype);
    firm.reduce(DType::promote).unwrap_or_else(default_float)
}
