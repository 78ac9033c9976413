//! Continuous distributions that are built from uniform, normal and gamma draws.

use std::f64::consts::PI;

use super::form::{Form, common_shape, is_empty, params};
use super::{common_shape as shape_of_operands, float_dtype, shape};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{Arguments, Composed, Settle, length, type_error, vector};
use crate::ops::shape::concatenate;
use crate::ops::{Attributes, IndexItem, Registry, where_};
use crate::tensor::DType;

pub(super) fn register(registry: &mut Registry) {
    let mut add = |name, numbers: &[(&'static str, &'static str)], doc, build| {
        let shape = if numbers.is_empty() { shape() } else { shape_of_operands() };
        let params = params(numbers, vec![shape, float_dtype()]);
        registry.add(Composed { name, params, doc, settle: Settle::Draws(numbers.len()), build });
    };
    add("exponential", &[],
        "Draws from the exponential distribution of mean 1: `-log(1 - u)`.\n\n    exponential(key, n) / rate", |a| {
            let form = Form::of(a, 0)?;
            form.done(form.exponential())
        });
    add("gumbel", &[],
        "Draws from the Gumbel distribution: `-log(-log(u))`.\n\n    loc + scale * gumbel(key, n)", |a| {
            let form = Form::of(a, 0)?;
            form.done(form.gumbel())
        });
    add("laplace", &[],
        "Draws from the Laplace distribution of density `exp(-abs(x)) / 2`: the difference of two exponential \
         draws.\n\n    loc + scale * laplace(key, n)", |a| {
            let form = Form::of(a, 0)?;
            form.done(form.exponential_of(&form.key(0)) - form.exponential_of(&form.key(1)))
        });
    add("logistic", &[],
        "Draws from the logistic distribution: `log(u / (1 - u))`.\n\n    loc + scale * logistic(key, n)", |a| {
            let form = Form::of(a, 0)?;
            let u = form.open();
            form.done(u.log() - (-&u).log1p())
        });
    add("cauchy", &[], "Draws from the Cauchy distribution: `tan(pi (u - 1/2))`.\n\n    loc + scale * cauchy(key, n)", |a| {
        let form = Form::of(a, 0)?;
        form.done((PI * (form.uniform() - 0.5)).tan())
    });
    add("halfnormal", &[], "Absolute values of normal draws.\n\n    scale * halfnormal(key, n)", |a| {
        let form = Form::of(a, 0)?;
        form.done(form.normal(form.own_key()).abs())
    });
    add("halfcauchy", &[], "Absolute values of Cauchy draws.\n\n    scale * halfcauchy(key, n)", |a| {
        let form = Form::of(a, 0)?;
        form.done((0.5 * PI * form.uniform()).tan())
    });
    add("rayleigh", &[], "The length of a vector of two normal draws: `sqrt(-2 log(1 - u))`.\n\n    scale * rayleigh(key, n)", |a| {
        let form = Form::of(a, 0)?;
        form.done((2.0 * form.exponential()).sqrt())
    });
    add("lognormal", &[("mean", "the mean of the logarithm"), ("sigma", "the standard deviation of the logarithm")],
        "Draws whose logarithm is normal: `exp(mean + sigma * z)`.\n\n    lognormal(key, 0.0, 1.0, [n])", |a| {
            let form = Form::of(a, 2)?;
            form.done((&form.numbers[0] + &form.numbers[1] * form.normal(form.own_key())).exp())
        });
    add("weibull", &[("a", "the shape parameter, positive")],
        "Draws from the Weibull distribution: `e**(1/a)` of exponential draws.\n\n    scale * weibull(key, 1.5, [n])", |a| {
            let form = Form::of(a, 1)?;
            // The power of 0 would have no derivative.
            let logs = (-(-form.open()).log1p()).log();
            form.done((logs / &form.numbers[0]).exp())
        });
    add("pareto", &[("a", "the shape parameter, positive")],
        "Draws from the Pareto II (Lomax) distribution, as NumPy's: `exp(e / a) - 1` of exponential draws; the \
         classical one is `m * (1 + pareto(key, a, n))`.\n\n    pareto(key, 3.0, [n])", |a| {
            let form = Form::of(a, 1)?;
            form.done((form.exponential() / &form.numbers[0]).expm1())
        });
    add("truncexpon", &[("b", "the upper end, positive")],
        "Draws from the exponential distribution of mean 1 on [0, b]: `-log(1 - u (1 - exp(-b)))`.\n\n    \
         truncexpon(key, 2.0, [n])", |a| {
            let form = Form::of(a, 1)?;
            form.done(-(form.uniform() * (-&form.numbers[0]).expm1()).log1p())
        });
    add("triangular", &[("left", "the lower end"), ("mode", "where the density is largest"), ("right", "the upper end")],
        "Draws from the triangular distribution, by the inverse of its distribution function.\n\n    \
         triangular(key, 0.0, 1.0, 3.0, [n])", |a| {
            let form = Form::of(a, 3)?;
            let [left, mode, right] = form.numbers.as_slice() else { return type_error("three numbers are given") };
            let (u, width) = (form.uniform(), right - left);
            let lower = left + (&u * &width * (mode - left)).sqrt();
            let upper = right - ((1.0 - &u) * &width * (right - mode)).sqrt();
            form.done(where_(&(&u * &width).lt(&(mode - left)), &lower, &upper))
        });
    add("chisquare", &[("df", "the degrees of freedom, positive")],
        "Draws from the chi-square distribution: twice gamma draws of `df / 2`.\n\n    chisquare(key, 3, [n])", |a| {
            let form = Form::of(a, 1)?;
            let attributes = Attributes::new().with("dtype", form.wide);
            let half = 0.5 * &form.numbers[0];
            form.done(2.0 * Var::apply("random_gamma", &[form.own_key().clone(), half, form.shape.clone()], attributes))
        });
    add("invgamma", &[("a", "the shape parameter, positive")],
        "Draws whose inverse has a gamma distribution.\n\n    scale * invgamma(key, 3.0, [n])", |a| {
            let form = Form::of(a, 1)?;
            form.done((-form.log_gamma(form.own_key(), &form.numbers[0])).exp())
        });
    add("gengamma", &[("a", "the shape parameter, positive"), ("c", "the power, not 0")],
        "Draws from the generalized gamma distribution (Stacy, 1962), as SciPy's: gamma draws of `a` to the power \
         `1 / c`.\n\n    scale * gengamma(key, 2.0, 0.5, [n])", |a| {
            let form = Form::of(a, 2)?;
            form.done((form.log_gamma(form.own_key(), &form.numbers[0]) / &form.numbers[1]).exp())
        });
    add("random_beta", &[("a", "the first shape parameter, positive"), ("b", "the second, positive")],
        "Draws from the beta distribution of density `x**(a-1) (1-x)**(b-1) / beta(a, b)`: `x / (x + y)` of gamma \
         draws, from their logarithms.\n\n    random_beta(key, 2.0, 0.5, [n])", |a| {
            let form = Form::of(a, 2)?;
            let [x, y] = [0, 1].map(|at| form.log_gamma(&form.key(at as i64), &form.numbers[at]));
            form.done((x - y).sigmoid())
        });
    add("student_t", &[("df", "the degrees of freedom, positive")],
        "Draws from Student's t distribution: a normal draw over the root of `chisquare / df`.\n\n    \
         loc + scale * student_t(key, 5.0, [n])", |a| {
            let form = Form::of(a, 1)?;
            let half = 0.5 * &form.numbers[0];
            let logs = form.log_gamma(&form.key(1), &half);
            form.done(form.normal(&form.key(0)) * (0.5 * (half.log() - logs)).exp())
        });
    add("truncated_normal", &[("lower", "the lower end"), ("upper", "the upper end")],
        "Draws from the normal distribution of mean 0 and variance 1 between two ends, which may be infinite: \
         `ndtri(ndtr(lower) + u (ndtr(upper) - ndtr(lower)))`, the inverse error function; of positive ends with the \
         signs changed, so that it holds up to 37 standard deviations away.\n\n    \
         mu + sigma * truncated_normal(key, (lo - mu) / sigma, (hi - mu) / sigma, [n])", truncated_normal);
    add("dirichlet", &[("alpha", "the concentrations, positive, along the last axis")],
        "Draws from the Dirichlet distribution: gamma draws over their sum, from their logarithms. The result has the last \
         axis of `alpha` behind the shape.\n\n    dirichlet(key, [1.0, 2.0, 0.5])", dirichlet);
    add("multivariate_normal", &[("mean", "vectors, along the last axis"), ("cov", "covariances, symmetric and positive definite, on the last two axes")],
        "Draws of normal vectors: `mean + cholesky(cov) @ z`. The axes before are a batch; the result has the vectors' axis \
         behind the shape. Unlike NumPy's, a singular covariance is an error.\n\n    \
         multivariate_normal(key, mean, cov, [n])", multivariate_normal);
}

fn truncated_normal(a: &Arguments<'_>) -> Result<Vec<Var>> {
    // Tails are of `f64` whatever the dtype of the draws.
    let mut form = Form::in_dtype(a, 2, DType::F64)?;
    form.dtype = Form::of(a, 2)?.dtype;
    let [lower, upper] = form.numbers.as_slice() else { return type_error("two ends are given") };
    let above = lower.gt(&Var::weak(0.0));
    let (low, high) = (where_(&above, &-upper, lower), where_(&above, &-lower, upper));
    // 1 - u for u: so that draws grow with u on both sides.
    let u = form.open();
    let u = where_(&above, &(1.0 - &u), &u);
    let (from, to) = (low.ndtr(), high.ndtr());
    let below_one = Var::weak(1.0 - f64::EPSILON / 2.0);
    let draws = (&from + u * (to - &from)).minimum(&below_one).ndtri();
    form.done(where_(&above, &-&draws, &draws).clip(lower, upper))
}

/// The sizes given, or else `batch`, and behind them `last`.
fn with_axis(given: &Var, batch: &Var, last: &Var) -> Result<Var> {
    let lead = if is_empty(given)? { batch } else { given };
    Ok(match is_empty(lead)? {
        true => vector(std::slice::from_ref(last)),
        false => concatenate(&[lead.cast(DType::I64), vector(std::slice::from_ref(last))], 0),
    })
}

fn dirichlet(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let alpha = a.operand(1)?;
    let rank = alpha.ty()?.rank();
    if rank == 0 {
        return type_error("concentrations have an axis, they are no scalar");
    }
    let last = length(alpha, rank - 1);
    let batch = alpha.shape().slice(0, None, Some(-1));
    let shape = with_axis(a.operand(2)?, &batch, &last)?;
    let operands = [a.operand(0)?.clone(), alpha.clone(), shape];
    let form = Form::of(&Arguments { operands: &operands, attributes: a.attributes }, 1)?;
    form.done(form.log_gamma(form.own_key(), &form.numbers[0]).softmax(-1))
}

fn multivariate_normal(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (mean, cov) = (a.operand(1)?, a.operand(2)?);
    let (mean_rank, cov_rank) = (mean.ty()?.rank(), cov.ty()?.rank());
    if mean_rank == 0 || cov_rank < 2 {
        return type_error(format!("a mean is a vector and a covariance a matrix, not {} and {}", mean.ty()?, cov.ty()?));
    }
    let last = length(mean, mean_rank - 1);
    // A row of each covariance has the shape of the vectors.
    let rows = cov.index(vec![IndexItem::Ellipsis, IndexItem::At(0)], &[]);
    let all = common_shape(&[mean.clone(), rows])?;
    let batch = all.slice(0, None, Some(-1));
    let shape = with_axis(a.operand(3)?, &batch, &last)?;
    let operands = [a.operand(0)?.clone(), mean.clone(), shape];
    let form = Form::of(&Arguments { operands: &operands, attributes: a.attributes }, 1)?;
    let factor = cov.cast(form.wide).cholesky();
    let z = form.normal(form.own_key());
    let moved = factor.matmul(&z.expand_dims(-1)).squeeze(-1);
    let draws = &form.numbers[0] + moved;
    // A batch of covariances may be larger than the shape, which is then an error.
    form.done(if is_empty(a.operand(3)?)? { draws } else { draws.broadcast_to_var(&form.shape) })
}
