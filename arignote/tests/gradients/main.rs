//! Every op of the registry either has its derivatives checked here or is listed with the reason why it
//! has none: reverse mode against central differences, forward mode against reverse, and the same of
//! the gradient itself, over shapes that broadcast, are empty or have one element.
//!
//! Lengths are known in one run and unknown until the call in another, as derivatives are built
//! differently.

mod algebra;
mod elementwise;
mod nets;
mod rows;
mod shapes;
mod statistics;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use arignote::autodiff::{CheckOptions, check_gradients};
use arignote::config::Config;
use arignote::graph::{NodeKind, Var};
use arignote::ops::control::{Scan, checkpoint, if_else};
use arignote::ops::{Attribute, Attributes, IndexBound, IndexItem, grad, registry, where_};
use arignote::runtime::{Function, FunctionBuilder, Session};
use arignote::tensor::{DType, Tensor};

/// Ops without derivatives, each with the reason.
const EXCUSED: &[(&str, &str)] = &[
    ("eq ne lt le gt ge isnan isinf isfinite isposinf isneginf isclose allclose logical_and logical_or logical_xor logical_not all any", "the result is bool"),
    ("bitwise_and bitwise_or bitwise_xor bitwise_not shift_left shift_right", "of bools and integers only"),
    ("argmax argmin iround shape size tril_indices triu_indices argsort searchsorted", "the result is an integer"),
    ("broadcast_shape inverse_permutation argtopk confusion_matrix pivot_to_permutation nonzero argwhere flatnonzero count_nonzero ravel_multi_index unravel_index", "the result is an integer"),
    ("empty zeros ones eye arange zeros_like ones_like one_hot tri identity identity_like bilinear_kernel_1d bilinear_kernel_2d bartlett hanning hamming blackman fftfreq rfftfreq", "no operand's value, or only an integer's, is in the result"),
    ("uniform normal exponential gumbel laplace logistic cauchy halfnormal halfcauchy rayleigh fold_in split_key", "draws depend on a key of integers only"),
    ("randint poisson binomial multinomial hypergeometric geometric negative_binomial betabinom bernoulli categorical", "the result counts"),
    ("vonmises wald", "no reparameterisation: an error, which a filetest holds"),
    ("random_gamma chisquare invgamma gengamma random_beta student_t dirichlet", "gamma draws move with their quantiles and not with what they were rejected from; `random.rs` holds that"),
    ("print", "writes; passes derivatives on as `assert` and `after` do, and `effects.rs` holds it"),
    ("host_call inspect", "a closure of the program, and a look at a value; `functions` holds what they say of derivatives"),
    ("schur qz ordqz", "their turns are not determined by the matrix: an error, which a filetest holds"),
    ("factorize solve_by_factors", "made by rewrites after gradients are expanded: an error, which a filetest holds"),
    ("stop_gradient", "has no gradient by its meaning; the filetests hold it"),
    ("clip_gradient scale_gradient", "their derivatives are not those of their values; the filetests hold them"),
    ("custom_vjp", "the derivative is the user's, in reverse mode alone; `functions` holds it"),
    ("grad vjp jvp pullback jacobian hessian", "derivatives themselves: the second derivatives of this file are theirs"),
    ("vectorize", "its rows are checked in rows.rs; derivatives see the graph that replaces it"),
];

type Body = Box<dyn Fn(&[Var]) -> Var>;

/// A function to check at a point.
struct Case {
    label: String,
    point: Vec<Tensor>,
    body: Body,
}

fn session() -> Session {
    let config = Config::default().with("device", "reference").unwrap();
    let config = config.with("fallback", Vec::<String>::new()).unwrap();
    arignote::session_with(config).unwrap()
}

fn size(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Values spread over an interval, no two of a test's alike: multiples of the golden ratio, modulo 1.
fn spread(shape: &[usize], (low, high): (f64, f64), seed: usize) -> Tensor {
    let at = |i: usize| ((i + 1 + 37 * seed) as f64 * 0.618_033_988_749_894_9).fract();
    Tensor::from_vec((0..size(shape)).map(|i| low + (high - low) * at(i)).collect(), shape).unwrap()
}

fn apply(op: &str, operands: &[Var]) -> Var {
    Var::apply(op, operands, Attributes::new())
}

const ONE: &[&[usize]] = &[&[], &[1], &[0], &[7], &[2, 0], &[3, 5]];
const TWO: &[[&[usize]; 2]] =
    &[[&[], &[]], [&[], &[3]], [&[3], &[1]], [&[2, 3], &[3]], [&[2, 1], &[1, 3]], [&[0], &[1]], [&[5, 1, 2], &[3, 1]]];
const THREE: &[[&[usize]; 3]] =
    &[[&[], &[], &[]], [&[3], &[], &[1]], [&[2, 1], &[3], &[]], [&[1], &[0], &[1]], [&[2, 3], &[2, 1], &[2, 3]]];

/// Cases of one op, added one by one.
struct Cases<'a> {
    op: &'static str,
    list: &'a mut Vec<Case>,
}

impl Cases<'_> {
    fn add(&mut self, shapes: &[&[usize]], body: impl Fn(&[Var]) -> Var + 'static) {
        self.within((-2.0, 2.0), shapes, body);
    }

    fn within(&mut self, domain: (f64, f64), shapes: &[&[usize]], body: impl Fn(&[Var]) -> Var + 'static) {
        let point = shapes.iter().enumerate().map(|(i, shape)| spread(shape, domain, i)).collect();
        self.at(point, body);
    }

    fn at(&mut self, point: Vec<Tensor>, body: impl Fn(&[Var]) -> Var + 'static) {
        let shapes: Vec<&[usize]> = point.iter().map(Tensor::shape).collect();
        let label = format!("{} #{} of {shapes:?}", self.op, self.list.len());
        self.list.push(Case { label, point, body: Box::new(body) });
    }
}

fn with(name: &str, value: impl Into<Attribute>) -> Attributes {
    Attributes::new().with(name, value)
}

fn integers(values: &[i64]) -> Tensor {
    Tensor::vector(values.to_vec())
}

fn other_cases() -> BTreeMap<&'static str, Vec<Case>> {
    let mut cases: BTreeMap<&'static str, Vec<Case>> = BTreeMap::new();
    let mut of = |op: &'static str, fill: &dyn Fn(&mut Cases<'_>)| {
        fill(&mut Cases { op, list: cases.entry(op).or_default() });
    };
    elementwise::elementwise_with_attributes(&mut of);
    statistics::reductions(&mut of);
    algebra::products(&mut of);
    algebra::linear_algebra(&mut of);
    shapes::shapes(&mut of);
    shapes::parts(&mut of);
    shapes::diagonals(&mut of);
    shapes::spaced(&mut of);
    statistics::order(&mut of);
    statistics::cumulative(&mut of);
    statistics::statistics(&mut of);
    nets::networks(&mut of);
    shapes::indices(&mut of);
    control(&mut of);
    random_draws(&mut of);
    effects(&mut of);
    nets::signals(&mut of);
    algebra::equations(&mut of);
    shapes::forms(&mut of);
    nets::images(&mut of);
    of("full", &|c| {
        c.add(&[&[]], |x| Var::apply("full", &[Var::constant(integers(&[2, 3])), x[0].clone()], Attributes::new()));
        c.add(&[&[]], |x| Var::apply("full", &[Var::constant(integers(&[0, 3])), x[0].clone()], Attributes::new()));
    });
    cases
}

type Of<'a> = &'a mut dyn FnMut(&'static str, &dyn Fn(&mut Cases<'_>));

fn random_draws(of: Of<'_>) {
    // With a shape, to which the operands broadcast, and with theirs.
    let draw = |op: &'static str, x: &[Var], shape: &[i64]| {
        let key = Var::constant(Tensor::vector(vec![7u64, 9]));
        let operands: Vec<Var> = std::iter::once(&key).chain(x).cloned().chain([Var::constant(integers(shape))]).collect();
        apply(op, &operands)
    };
    for op in ["weibull", "pareto", "truncexpon", "lognormal"] {
        of(op, &|c| {
            let shapes: &[&[usize]] = if op == "lognormal" { &[&[2, 1], &[3]] } else { &[&[2, 1]] };
            c.within((0.4, 2.5), shapes, move |x| draw(op, x, &[]));
            c.within((0.4, 2.5), shapes, move |x| draw(op, x, &[4, 2, 3]));
        });
    }
    of("triangular", &|c| {
        c.within((0.4, 2.5), &[&[], &[3]], move |x| draw("triangular", &[-&x[0], x[1].zeros_like(), x[1].clone()], &[2, 3]));
    });
    of("truncated_normal", &|c| {
        for sign in [1.0, -1.0] {
            c.within((0.4, 2.5), &[&[2, 1], &[3]], move |x| draw("truncated_normal", &[sign * &x[0] - 1.0, &x[0] + &x[1]], &[]));
        }
        c.within((3.0, 3.5), &[&[4]], move |x| draw("truncated_normal", &[x[0].clone(), Var::weak(f64::INFINITY)], &[]));
    });
    of("multivariate_normal", &|c| {
        c.add(&[&[2], &[2, 2]], move |x| {
            let cov = x[1].matmul(&x[1].t()) + Var::constant(Tensor::from_vec(vec![1.0, 0.0, 0.0, 1.0], &[2, 2]).unwrap());
            draw("multivariate_normal", &[x[0].clone(), cov], &[3])
        });
    });
    let key = || Var::constant(Tensor::vector(vec![7u64, 9]));
    of("shuffle_row_elements", &|c| c.add(&[&[3, 2]], move |x| apply("shuffle_row_elements", &[key(), x[0].clone()])));
    of("permutation", &|c| c.add(&[&[3, 2]], move |x| Var::apply("permutation", &[key(), x[0].clone()], with("axis", 1))));
    of("choice", &|c| c.add(&[&[3, 2]], move |x| apply("choice", &[key(), x[0].clone(), Var::constant(integers(&[4]))])));
}

fn effects(of: Of<'_>) {
    of("assume", &|c| c.add(&[&[3]], |x| Var::apply("assume", &[x[0].square()], with("facts", "nonnegative")) * &x[0]));
    of("after", &|c| c.add(&[&[3], &[2]], |x| apply("after", &[x[0].square(), x[1].clone()]) * x[1].sum(None)));
    of("assert", &|c| c.add(&[&[3]], |x| x[0].square().assert(&x[0].lt(&Var::weak(3.0)), "in vain")));
}

fn control(of: Of<'_>) {
    // The rows of the first argument, the state after the second; the third is captured.
    let recurrent = |x: &[Var], until: bool| {
        let loops = Scan::new().sequence("x", &x[0]).state("h", &x[1]);
        loops.run(|step| {
            let h = (step.get("x") + step.get("h").matmul(&x[2])).tanh();
            step.set("h", &h);
            step.give(&h);
            if until {
                step.until(&h.sum(None).gt(&Var::weak(0.9)));
            }
        })
    };
    of("scan", &|c| {
        for shape in [[3, 2], [1, 2], [0, 2]] {
            c.add(&[&shape, &[2], &[2, 2]], move |x| recurrent(x, false).stacked(0));
            c.add(&[&shape, &[2], &[2, 2]], move |x| recurrent(x, false).last("h"));
        }
        c.add(&[&[4, 2], &[2], &[2, 2]], move |x| recurrent(x, true).stacked(0));
        // Of which only the last rows are kept.
        c.add(&[&[3, 2], &[2], &[2, 2]], move |x| recurrent(x, false).stacked(0).slice(0, Some(-2), None));
        c.add(&[&[4, 2], &[2], &[2, 2]], move |x| recurrent(x, true).stacked(0).at(-1));
        c.add(&[&[]], |x| {
            let power = Scan::new().steps(&Var::weak(3i64)).state("y", &x[0]);
            power.run(|step| step.set("y", &(step.get("y") * &x[0]))).last("y")
        });
    });
    let inside = |x: &[Var]| checkpoint(|| vec![(&x[0] * &x[1]).tanh() + x[0].exp()]).swap_remove(0);
    of("checkpoint", &|c| c.add(&[&[3], &[2, 1]], move |x| inside(x)));
    of("recompute", &|c| {
        c.add(&[&[3], &[2, 1]], move |x| {
            let inside = inside(x);
            let NodeKind::Apply(_, attributes) = inside.node().kind() else { panic!("an op was expected") };
            Var::apply("recompute", inside.node().operands(), attributes.clone())
        });
    });
    of("if", &|c| {
        for limit in [-10.0, 10.0] {
            c.add(&[&[3], &[3]], move |x| {
                let condition = x[0].sum(None).gt(&Var::weak(limit));
                if_else(&condition, || vec![&x[0] * &x[1]], || vec![x[0].exp()]).swap_remove(0)
            });
        }
    });
}

/// All results of an op, one after the other.
fn results(op: &str, operands: &[Var], attributes: Attributes) -> Var {
    let parts: Vec<Var> = Var::apply(op, operands, attributes).siblings().iter().map(Var::flatten).collect();
    Var::apply("concatenate", &parts, Attributes::new())
}

/// Evaluates with one session; what was compiled for the outputs before is used again.
struct Evaluator {
    session: Session,
    compiled: RefCell<Option<(Vec<Var>, Function)>>,
}

impl Evaluator {
    fn call(&self, inputs: &[Var], outputs: &[Var], point: &[Tensor]) -> arignote::Result<Vec<Tensor>> {
        let mut compiled = self.compiled.borrow_mut();
        if let Some((known, function)) = &*compiled
            && known.len() == outputs.len()
            && known.iter().zip(outputs).all(|(a, b)| a.is(b))
        {
            return function.call(point);
        }
        let builder = inputs.iter().fold(FunctionBuilder::new("f"), FunctionBuilder::input);
        let function = outputs.iter().fold(builder, FunctionBuilder::output).build(&self.session)?;
        let results = function.call(point);
        *compiled = Some((outputs.to_vec(), function));
        results
    }

    /// The sum of a count over the programs of what was compiled last.
    fn programs(&self, count: impl Fn(&str) -> usize) -> usize {
        let compiled = self.compiled.borrow();
        compiled.iter().flat_map(|(_, function)| function.compiled().programs()).map(|(_, program)| count(&program.text)).sum()
    }

    /// First and second derivatives of a case; the failure, if there is one.
    fn check(&self, case: &Case) -> Vec<String> {
        let evaluate = |inputs: &[Var], outputs: &[Var], point: &[Tensor]| self.call(inputs, outputs, point);
        let checked = |what: &str, point: &[Tensor], f: &dyn Fn(&[Var]) -> Var| {
            let error = check_gradients(f, point, &evaluate, CheckOptions::default()).err()?;
            Some(format!("{}, {what}: {error}", case.label))
        };
        let hidden_point = [case.point.clone(), vec![Tensor::scalar(i64::MAX)]].concat();
        let gradient = |x: &[Var]| gradient_of(&case.body, x);
        [
            checked("first derivative", &case.point, &case.body),
            checked("first derivative, unknown lengths", &hidden_point, &|x| (case.body)(&hidden(x))),
            checked("second derivative", &case.point, &gradient),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The arguments but the last, cut off behind the last on every axis: their lengths are not known.
fn hidden(arguments: &[Var]) -> Vec<Var> {
    let Some((end, rest)) = arguments.split_last() else { return Vec::new() };
    let cut = IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Operand(0), step: 1 };
    let hide = |x: &Var| x.index(vec![cut.clone(); x.ty().unwrap().rank()], std::slice::from_ref(end));
    rest.iter().map(|x| if x.ty().unwrap().rank() == 0 { x.clone() } else { hide(x) }).collect()
}

/// A scalar that depends on every element of the gradient, and on every float argument so that it is
/// differentiable where the gradient is constant.
fn gradient_of(body: &Body, arguments: &[Var]) -> Var {
    let floats: Vec<&Var> = arguments.iter().filter(|x| x.ty().unwrap().dtype.is_float()).collect();
    let y = body(arguments);
    let weights = |x: &Var, seed: usize| {
        let shape = x.ty().unwrap().known_shape().unwrap();
        Var::constant(spread(&shape, (0.5, 1.5), seed))
    };
    let cost = match y.ty().unwrap().known_shape() {
        Some(_) => (&y * weights(&y, 1)).sum(None),
        None => y.square().sum(None),
    };
    let terms = floats.iter().zip(grad(&cost, &floats)).map(|(x, g)| (g * weights(x, 2)).sum(None) + x.square().sum(None));
    terms.fold(Var::scalar(0.0), |sum, term| sum + term)
}

fn check(cases: BTreeMap<&'static str, Vec<Case>>) {
    let evaluator = Evaluator { session: session(), compiled: RefCell::new(None) };
    let failures: Vec<String> = cases.values().flatten().flat_map(|case| evaluator.check(case)).collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn derivatives_of_elementwise_ops() {
    check(elementwise::elementwise_cases());
}

#[test]
fn derivatives_of_all_other_ops() {
    check(other_cases());
}

#[test]
fn every_op_is_checked_or_excused() {
    let (elementwise, other) = (elementwise::elementwise_cases(), other_cases());
    let checked: BTreeSet<&str> = elementwise.keys().chain(other.keys()).copied().collect();
    let excused: BTreeSet<&str> = EXCUSED.iter().flat_map(|(ops, _)| ops.split(' ')).collect();
    let both: Vec<_> = checked.intersection(&excused).collect();
    assert!(both.is_empty(), "on both lists: {both:?}");
    let listed: BTreeSet<&str> = checked.union(&excused).copied().collect();
    let known: Vec<String> = registry().iter().map(|op| op.name().to_owned()).collect();
    let missing: Vec<_> = known.iter().filter(|op| !listed.contains(op.as_str())).collect();
    assert!(missing.is_empty(), "neither checked nor excused: {missing:?}");
    let unknown: Vec<_> = listed.iter().filter(|op| !known.iter().any(|known| known == *op)).collect();
    assert!(unknown.is_empty(), "no such ops: {unknown:?}");
}
