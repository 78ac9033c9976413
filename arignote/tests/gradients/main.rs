//! Every op of the registry either has its derivatives checked here or is listed with the reason why it
//! has none: reverse mode against central differences, forward mode against reverse, and the same of
//! the gradient itself, over shapes that broadcast, are empty or have one element.
//!
//! Lengths are known in one run and unknown until the call in another, as derivatives are built
//! differently.

mod rows;

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
    ("empty zeros ones eye arange zeros_like ones_like one_hot tri identity identity_like bartlett hanning hamming blackman fftfreq rfftfreq", "no operand's value, or only an integer's, is in the result"),
    ("uniform normal exponential gumbel laplace logistic cauchy halfnormal halfcauchy rayleigh fold_in split_key", "draws depend on a key of integers only"),
    ("randint poisson binomial multinomial hypergeometric geometric negative_binomial betabinom bernoulli categorical", "the result counts"),
    ("vonmises wald", "no reparameterisation: an error, which a filetest holds"),
    ("random_gamma chisquare invgamma gengamma random_beta student_t dirichlet", "gamma draws move with their quantiles and not with what they were rejected from; `random.rs` holds that"),
    ("print", "writes; passes derivatives on as `assert` and `after` do, and `effects.rs` holds it"),
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

/// Elementwise ops with an interval for each operand; an op may have several rows.
fn elementwise() -> Vec<(&'static str, Vec<(f64, f64)>)> {
    let any = (-2.0, 2.0);
    let positive = (0.4, 2.5);
    let within = (-0.8, 0.8);
    let mut rows: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for op in ["neg", "square", "exp", "exp2", "expm1", "sin", "cos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "erf",
        "erfc", "erfcx", "ierfcx", "ndtr", "log_ndtr", "sech_squared", "i0", "i1", "j0", "j1", "softsign", "hard_sigmoid", "sigmoid", "log_sigmoid", "softplus", "silu", "grad_barrier"]
    {
        rows.push((op, vec![any]));
    }
    for op in ["sqrt", "log", "log2", "log10", "log1p", "abs", "relu", "reciprocal", "gamma", "lgamma", "digamma", "cbrt", "i0e",
        "i1e", "selu"]
    {
        rows.push((op, vec![positive]));
    }
    for op in ["abs", "relu", "reciprocal", "gamma", "lgamma", "digamma", "log1p", "cbrt", "i0e", "i1e", "selu"] {
        rows.push((op, vec![(-0.7, -0.2)]));
    }
    for op in ["arcsin", "arccos", "arctanh", "erfinv", "tan"] {
        rows.push((op, vec![within]));
    }
    for op in ["sign", "floor", "ceil", "rint", "trunc"] {
        rows.push((op, vec![(1.1, 1.4)]));
    }
    rows.extend([
        ("arccosh", vec![(1.3, 3.0)]),
        ("erfcinv", vec![(0.3, 1.7)]),
        ("ndtri", vec![(0.15, 0.85)]),
        ("ndtri_exp", vec![(-3.0, -0.3)]),
        ("log1pmx", vec![(-0.6, 2.0)]),
        ("owens_t", vec![any, any]),
        ("owens_t", vec![any, (1.5, 3.0)]),
        ("gammaincinv", vec![positive, (0.15, 0.85)]),
        ("gammainccinv", vec![positive, (0.15, 0.85)]),
        ("poch", vec![positive, positive]),
        ("logit", vec![(0.15, 0.85)]),
        ("xlog1py", vec![any, (-0.6, 2.0)]),
        ("copysign", vec![positive, any]),
        ("copysign", vec![(-2.0, -0.3), any]),
        ("fmod", vec![(2.2, 2.4), (0.95, 0.99)]),
        ("fmod", vec![(-2.4, -2.2), (0.95, 0.99)]),
        ("beta", vec![positive, positive]),
        ("betaln", vec![positive, positive]),
        ("log1mexp", vec![(-3.0, -0.2)]),
        ("add", vec![any, any]),
        ("sub", vec![any, any]),
        ("mul", vec![any, any]),
        ("div", vec![any, positive]),
        ("div", vec![any, (-2.0, -0.5)]),
        ("floor_div", vec![(2.2, 2.4), (0.95, 0.99)]),
        ("mod", vec![(2.2, 2.4), (0.95, 0.99)]),
        ("mod", vec![(-2.4, -2.2), (0.95, 0.99)]),
        ("pow", vec![positive, any]),
        ("maximum", vec![any, any]),
        ("minimum", vec![any, any]),
        ("arctan2", vec![positive, any]),
        ("arctan2", vec![any, (-2.0, -0.3)]),
        ("logaddexp", vec![any, any]),
        ("hypot", vec![positive, any]),
        ("xlogy", vec![any, positive]),
        ("clip", vec![any, (-1.1, -0.9), (0.9, 1.1)]),
    ]);
    rows
}

fn elementwise_cases() -> BTreeMap<&'static str, Vec<Case>> {
    let mut cases: BTreeMap<&'static str, Vec<Case>> = BTreeMap::new();
    for (op, domains) in elementwise() {
        let shapes: Vec<&[&[usize]]> = match domains.len() {
            1 => ONE.iter().map(std::slice::from_ref).collect(),
            2 => TWO.iter().map(<[_; 2]>::as_slice).collect(),
            _ => THREE.iter().map(<[_; 3]>::as_slice).collect(),
        };
        for shapes in shapes {
            let operands = shapes.iter().zip(&domains).enumerate();
            let point = operands.map(|(i, (shape, domain))| spread(shape, *domain, i)).collect();
            let body: Body = Box::new(move |x| apply(op, x));
            cases.entry(op).or_default().push(Case { label: format!("{op} of {shapes:?}"), point, body });
        }
    }
    cases
}

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
    elementwise_with_attributes(&mut of);
    reductions(&mut of);
    products(&mut of);
    linear_algebra(&mut of);
    shapes(&mut of);
    parts(&mut of);
    diagonals(&mut of);
    spaced(&mut of);
    order(&mut of);
    cumulative(&mut of);
    statistics(&mut of);
    networks(&mut of);
    indices(&mut of);
    control(&mut of);
    random_draws(&mut of);
    effects(&mut of);
    signals(&mut of);
    equations(&mut of);
    forms(&mut of);
    images(&mut of);
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
    of("permutation", &|c| c.add(&[&[3, 2]], move |x| Var::apply("permutation", &[key(), x[0].clone()], with("axis", 1))));
    of("choice", &|c| c.add(&[&[3, 2]], move |x| apply("choice", &[key(), x[0].clone(), Var::constant(integers(&[4]))])));
}

fn effects(of: Of<'_>) {
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

fn elementwise_with_attributes(of: Of<'_>) {
    of("cast", &|c| {
        for &shape in ONE {
            c.add(&[shape], |x| x[0].cast(DType::F64));
        }
    });
    of("gelu", &|c| {
        for form in ["none", "tanh"] {
            for &shape in ONE {
                c.add(&[shape], move |x| Var::apply("gelu", x, with("approximate", form)));
            }
        }
    });
    of("pow", &|c| {
        for exponent in [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0] {
            c.within((0.4, 2.5), &[&[3]], move |x| x[0].pow(&Var::weak(exponent)));
        }
        c.within((-2.5, -0.4), &[&[3]], |x| x[0].pow(&Var::weak(3i64)));
        c.add(&[&[3]], |x| Var::weak(2.0).pow(&x[0]));
    });
    of("polygamma", &|c| {
        for order in [0i64, 1, 2, 5] {
            for &shape in ONE {
                c.within((0.6, 2.5), &[shape], move |x| Var::weak(order).polygamma(&x[0]));
            }
            c.within((-0.7, -0.3), &[&[3]], move |x| Var::weak(order).polygamma(&x[0]));
        }
        let orders = || Tensor::from_vec(vec![1i64, 2, 0], &[3, 1]).unwrap();
        c.at(vec![orders(), spread(&[2], (0.6, 2.5), 0)], |x| x[0].polygamma(&x[1]));
    });
    for op in ["iv", "ive", "jv"] {
        of(op, &|c| {
            for order in [-1i64, 0, 1, 4] {
                c.within((0.6, 2.5), &[&[2, 3]], move |x| apply(op, &[Var::weak(order), x[0].clone()]));
                c.within((-2.5, -0.3), &[&[3]], move |x| apply(op, &[Var::weak(order), x[0].clone()]));
            }
        });
    }
    of("gammainc_da", &|c| {
        for order in [0i64, 1, 2] {
            c.within((0.4, 2.5), &[&[2, 3], &[3]], move |x| Var::weak(order).gammainc_da(&x[0], &x[1]));
        }
    });
    for op in ["gammainc", "gammaincc"] {
        of(op, &|c| {
            c.within((0.4, 2.5), &[&[2, 3], &[3]], move |x| apply(op, x));
            for shape in [0.7, 1.0, 2.5] {
                c.within((0.4, 2.5), &[&[2, 3]], move |x| apply(op, &[Var::weak(shape), x[0].clone()]));
            }
        });
    }
    of("chi2sf", &|c| {
        c.within((0.4, 2.5), &[&[2], &[2]], |x| x[0].chi2sf(&x[1]));
        c.within((0.4, 2.5), &[&[2, 3]], |x| x[0].chi2sf(&Var::weak(3i64)));
        c.within((-2.5, -0.4), &[&[3]], |x| x[0].chi2sf(&Var::weak(3i64)));
    });
    of("betainc", &|c| {
        for (a, b) in [(0.7, 2.0), (1.0, 1.0), (3.0, 0.6)] {
            c.within((0.15, 0.85), &[&[2, 3]], move |x| Var::weak(a).betainc(&Var::weak(b), &x[0]));
        }
    });
    of("betaincinv", &|c| {
        c.within((0.15, 0.85), &[&[2, 3]], |x| apply("betaincinv", &[Var::weak(0.7), Var::weak(2.0), x[0].clone()]));
    });
    of("hyp2f1", &|c| {
        let at = |b: f64, x: &Var| apply("hyp2f1", &[Var::weak(0.5), Var::weak(b), Var::weak(1.75), x.clone()]);
        c.within((0.1, 0.9), &[&[2, 3]], move |x| at(1.25, &x[0]));
        c.within((-2.5, -0.1), &[&[3]], move |x| at(-2.0, &x[0]));
    });
    for op in ["kv", "kve"] {
        of(op, &|c| {
            for order in [0.0, 0.5, 2.3] {
                c.within((0.6, 3.5), &[&[2, 3]], move |x| apply(op, &[Var::weak(order), x[0].clone()]));
            }
        });
    }
    of("kn", &|c| c.within((0.6, 3.5), &[&[3]], |x| apply("kn", &[Var::weak(2i64), x[0].clone()])));
    for op in ["xlogx", "factorial"] {
        of(op, &|c| c.within((0.4, 2.5), &[&[3]], move |x| apply(op, x)));
    }
    of("ultra_fast_sigmoid", &|c| {
        for (low, high) in [(0.3, 3.0), (-3.0, -0.3), (3.6, 5.8), (6.2, 7.0)] {
            c.within((low, high), &[&[3]], |x| x[0].ultra_fast_sigmoid());
        }
    });
    of("round", &|c| {
        c.within((1.1, 1.4), &[&[3]], |x| x[0].round());
        c.within((0.12, 0.14), &[&[3]], |x| Var::apply("round", x, with("decimals", 1i64)));
    });
    of("divmod", &|c| c.within((1.1, 1.4), &[&[3]], |x| Var::apply("divmod", &[x[0].clone(), Var::weak(1.0)], Attributes::new()).sibling(1)));
    of("softmax_with_bias", &|c| c.add(&[&[2, 3], &[3]], |x| apply("softmax_with_bias", x)));
    of("trigamma", &|c| ONE.iter().for_each(|&shape| c.within((0.6, 2.5), &[shape], |x| x[0].trigamma())));
    of("elu", &|c| {
        c.within((0.2, 2.5), &[&[3]], |x| x[0].elu(0.7));
        c.within((-2.5, -0.2), &[&[3]], |x| x[0].elu(0.7));
    });
    for op in ["deg2rad", "rad2deg"] {
        of(op, &|c| ONE.iter().for_each(|&shape| c.add(&[shape], move |x| apply(op, x))));
    }
    of("heaviside", &|c| {
        c.within((0.2, 2.5), &[&[3], &[]], |x| x[0].heaviside(&x[1]));
        c.at(vec![Tensor::vector(vec![1.0, -2.0]), Tensor::scalar(0.5)], |x| (&x[0] * 0.0).heaviside(&x[1]));
    });
    of("where", &|c| {
        let mask = |shape: &[usize]| Tensor::from_vec((0..size(shape)).map(|i| i % 3 == 0).collect(), shape).unwrap();
        for [condition, x, y] in THREE {
            let point = vec![mask(condition), spread(x, (-2.0, 2.0), 0), spread(y, (-2.0, 2.0), 1)];
            c.at(point, |x| where_(&x[0], &x[1].square(), &(&x[2] * 3.0).sin()));
        }
    });
}

fn reductions(of: Of<'_>) {
    let axes = || [Attribute::None, Attribute::Int(0), Attribute::Int(-1), Attribute::from(vec![-1, 0]), Attribute::List(Vec::new())];
    for op in ["sum", "prod", "mean", "logsumexp", "max", "min"] {
        of(op, &|c| {
            for shape in [&[2, 3][..], &[1, 1], &[2, 3, 2], &[0, 3]] {
                let needs_elements = matches!(op, "max" | "min");
                for axis in axes().into_iter().filter(|_| !needs_elements || size(shape) > 0) {
                    for keep in [false, true] {
                        let attributes = with("axis", axis.clone()).with("keepdims", keep);
                        c.add(&[shape], move |x| Var::apply(op, x, attributes.clone()));
                    }
                }
            }
            c.add(&[&[]], |x| apply(op, x));
            c.add(&[&[7]], |x| apply(op, x));
        });
    }
    of("prod", &|c| {
        for x in [vec![2.0, 0.0, 3.0], vec![0.0, 5.0, 0.0], vec![0.0, 0.0, 0.0, 2.0], vec![-1.5, 2.0, -0.5]] {
            c.at(vec![Tensor::vector(x)], |x| x[0].prod(None));
        }
        let rows = Tensor::from_vec(vec![0.0, 2.0, 3.0, 4.0, 0.0, 0.0], &[2, 3]).unwrap();
        c.at(vec![rows], |x| x[0].prod(Some(1)));
    });
    of("sum_to", &|c| {
        for (from, to) in [(&[2, 3][..], &[1, 3][..]), (&[2, 3], &[]), (&[4, 2, 3], &[2, 1]), (&[0, 3], &[3]), (&[3], &[3])] {
            let to = integers(to);
            c.add(&[from], move |x| apply("sum_to", &[x[0].clone(), Var::constant(to.clone())]));
        }
    });
}

fn products(of: Of<'_>) {
    let ranks: &[[&[usize]; 2]] = &[
        [&[3], &[3]], [&[2, 3], &[3]], [&[3], &[3, 2]], [&[2, 3], &[3, 4]], [&[0, 3], &[3, 2]], [&[2, 0], &[0, 3]],
        [&[4, 2, 3], &[3, 2]], [&[4, 2, 3], &[3]], [&[3], &[4, 3, 2]], [&[2, 3], &[4, 3, 2]], [&[5, 1, 2, 3], &[2, 3, 1]],
        [&[1, 2, 3], &[4, 3, 2]], [&[0, 2, 3], &[3, 2]], [&[1, 1], &[1, 1]],
    ];
    of("matmul", &|c| ranks.iter().for_each(|pair| c.add(pair, |x| x[0].matmul(&x[1]))));
    of("dot", &|c| {
        let pairs: &[[&[usize]; 2]] =
            &[[&[], &[2]], [&[3], &[3]], [&[2, 3], &[3, 4]], [&[2, 3], &[4, 3, 2]], [&[2, 2, 3], &[2, 3, 1]], [&[2, 0], &[3, 0, 2]]];
        pairs.iter().for_each(|pair| c.add(pair, |x| x[0].dot(&x[1])));
    });
    of("outer", &|c| TWO.iter().for_each(|pair| c.add(pair, |x| x[0].outer(&x[1]))));
}

/// Factors whose signs are not determined are checked in products that do not depend on them.
fn factorizations(of: Of<'_>) {
    let near = (-0.7, 0.7);
    let shapes: &[&[usize]] = &[&[3, 3], &[4, 2], &[2, 4], &[1, 1], &[2, 3, 2]];
    let result = |op: &str, x: &Var, attributes: Attributes, at: usize| Var::apply(op, &[x.clone()], attributes).sibling(at);
    // Distinct singular values and eigenvalues, and regular leading parts.
    let shifted = |x: &Var| {
        let [rows, columns] = [-2, -1].map(|axis| x.shape().at(axis));
        let numbers = apply("arange", &[columns.clone()]).cast(DType::F64);
        x + apply("eye", &[rows, columns]) * (numbers + 2.0)
    };
    for (op, count) in [("lu", 3), ("qr", 2), ("svd", 3)] {
        of(op, &|c| {
            for &shape in shapes {
                for at in usize::from(op == "lu")..count {
                    let attributes = if op == "svd" { with("full_matrices", false) } else { Attributes::new() };
                    c.within(near, &[shape], move |x| {
                        let y = result(op, &shifted(&x[0]), attributes.clone(), at);
                        if op == "svd" { y.square() } else { y }
                    });
                }
            }
        });
    }
    of("qr", &|c| {
        c.within(near, &[&[3, 2]], move |x| result("qr", &shifted(&x[0]), with("mode", "r"), 0));
    });
    of("svd", &|c| {
        c.within(near, &[&[3, 3]], move |x| {
            let [u, s, vt] = [0, 1, 2].map(|at| result("svd", &shifted(&x[0]), with("full_matrices", false), at));
            (u * s.sin()).matmul(&vt)
        });
    });
    of("svdvals", &|c| shapes.iter().for_each(|&shape| c.within(near, &[shape], move |x| apply("svdvals", &[shifted(&x[0])]))));
    of("eigh", &|c| {
        for shape in [&[3, 3][..], &[1, 1], &[2, 2, 2]] {
            let symmetric = move |x: &Var| shifted(&(x + x.swapaxes(-1, -2)));
            c.within(near, &[shape], move |x| result("eigh", &symmetric(&x[0]), Attributes::new(), 0));
            c.within(near, &[shape], move |x| result("eigh", &symmetric(&x[0]), with("UPLO", "U"), 1).square());
        }
    });
    of("eigvalsh", &|c| c.within(near, &[&[3, 3]], move |x| apply("eigvalsh", &[shifted(&(&x[0] + x[0].t()))])));
    of("pinv", &|c| shapes.iter().for_each(|&shape| c.within(near, &[shape], move |x| apply("pinv", &[shifted(&x[0])]))));
    of("lstsq", &|c| {
        c.within(near, &[&[4, 2], &[4]], move |x| apply("lstsq", &[shifted(&x[0]), x[1].clone()]));
        c.within(near, &[&[2, 3], &[2, 2]], move |x| apply("lstsq", &[shifted(&x[0]), x[1].clone()]));
    });
    of("expm", &|c| [&[3, 3][..], &[0, 0], &[2, 2, 2]].iter().for_each(|&shape| c.add(&[shape], |x| apply("expm", x))));
    of("norm", &|c| {
        for order in [Attribute::None, Attribute::Int(1), 2.5.into(), Attribute::Int(3), f64::INFINITY.into(), (-f64::INFINITY).into()] {
            let attributes = with("ord", order).with("axis", -1).with("keepdims", true);
            c.add(&[&[2, 3]], move |x| Var::apply("norm", x, attributes.clone()));
        }
        for order in [Attribute::Int(1), "fro".into(), "nuc".into(), Attribute::Int(2), Attribute::Int(-2), f64::INFINITY.into(), Attribute::Int(-1)] {
            let attributes = with("ord", order).with("axis", vec![2, 0]);
            c.within((0.2, 0.9), &[&[2, 3, 2]], move |x| Var::apply("norm", x, attributes.clone()));
        }
        c.add(&[&[2, 3, 2]], |x| apply("norm", x));
    });
}

/// `x` with a multiple of the identity added, so that it is far from singular.
fn regular(x: &Var) -> Var {
    x + 2.0 * apply("eye", &[x.shape().at(-1)])
}

/// A symmetric positive definite matrix.
fn positive(x: &Var) -> Var {
    regular(&x.matmul(&x.swapaxes(-1, -2)))
}

fn linear_algebra(of: Of<'_>) {
    let near = (-0.7, 0.7);
    let squares: &[&[usize]] = &[&[3, 3], &[1, 1], &[0, 0], &[2, 2, 2]];
    of("cholesky", &|c| squares.iter().for_each(|&shape| c.within(near, &[shape], |x| positive(&x[0]).cholesky())));
    for op in ["inv", "det", "adjugate"] {
        of(op, &|c| squares.iter().for_each(|&shape| c.within(near, &[shape], move |x| apply(op, &[regular(&x[0])]))));
    }
    of("slogdet", &|c| {
        squares.iter().for_each(|&shape| c.within(near, &[shape], |x| regular(&x[0]).slogdet().1));
        c.within(near, &[&[2, 2]], |x| regular(&x[0]).slogdet().0 * x[0].sum(None));
    });
    let systems: &[[&[usize]; 2]] = &[
        [&[3, 3], &[3]], [&[3, 3], &[3, 2]], [&[1, 1], &[1]], [&[0, 0], &[0, 2]], [&[2, 2, 2], &[2]], [&[2, 2], &[3, 2, 1]],
        [&[3, 1, 2, 2], &[2, 2, 1]],
    ];
    of("solve", &|c| {
        for pair in systems {
            c.within(near, pair, |x| regular(&x[0]).solve(&x[1]));
        }
        for kind in ["sym", "pos"] {
            for pair in &systems[..2] {
                c.within(near, pair, move |x| Var::apply("solve", &[positive(&x[0]), x[1].clone()], with("assume_a", kind)));
            }
        }
    });
    of("solve_triangular", &|c| {
        for pair in systems {
            for (lower, trans, unit) in [(true, 0, false), (true, 1, false), (false, 0, true), (false, 2, false)] {
                let attributes = with("lower", lower).with("trans", trans).with("unit_diagonal", unit);
                c.within(near, pair, move |x| {
                    Var::apply("solve_triangular", &[regular(&x[0]), x[1].clone()], attributes.clone())
                });
            }
        }
    });
    of("cho_solve", &|c| {
        for lower in [true, false] {
            c.within(near, &[&[2, 3, 3], &[3]], move |x| Var::apply("cho_solve", &[regular(&x[0]), x[1].clone()], with("lower", lower)));
        }
    });
    of("matrix_power", &|c| {
        for power in [-2i64, 1, 3, 6] {
            c.within(near, &[&[2, 3, 3]], move |x| Var::apply("matrix_power", &[regular(&x[0])], with("n", power)));
        }
    });
    of("trace", &|c| {
        c.add(&[&[3, 2]], |x| apply("trace", x));
        c.add(&[&[2, 3, 4]], |x| Var::apply("trace", x, with("offset", 1).with("axis1", -1).with("axis2", 0)));
    });
    of("kron", &|c| TWO.iter().for_each(|pair| c.add(pair, |x| apply("kron", x))));
    of("block_diag", &|c| {
        c.add(&[&[2, 3], &[1, 1], &[0, 2]], |x| apply("block_diag", x));
        c.add(&[&[4, 1, 2], &[4, 2, 2]], |x| apply("block_diag", x));
    });
    of("multi_dot", &|c| {
        c.add(&[&[2, 3], &[3, 4], &[4, 1], &[1, 3]], |x| apply("multi_dot", x));
        c.add(&[&[3], &[3, 2], &[2]], |x| apply("multi_dot", x));
    });
    factorizations(of);
    of("einsum", &|c| {
        let cases: &[(&str, &[&[usize]])] = &[
            ("ij,jk->ik", &[&[2, 3], &[3, 4]]), ("ij->ji", &[&[2, 3]]), ("ii", &[&[3, 3]]), ("iij->ji", &[&[2, 2, 3]]),
            ("i,j", &[&[3], &[2]]), ("ij,ij->i", &[&[2, 3], &[2, 3]]), ("ij,ij", &[&[2, 3], &[2, 3]]),
            ("bij,bjk->bk", &[&[2, 3, 2], &[2, 2, 3]]), ("...i,...ij", &[&[4, 1, 2], &[3, 2, 2]]),
            ("ij,jk,kl->il", &[&[2, 3], &[3, 2], &[2, 2]]), ("i,i,i,i,i,i,i->i", &[&[3], &[3], &[3], &[3], &[3], &[3], &[3]]), ("ij,jk", &[&[0, 3], &[3, 2]]),
            ("ij,->j", &[&[2, 3], &[]]),
        ];
        for (subscripts, shapes) in cases {
            c.add(shapes, |x| Var::apply("einsum", x, with("subscripts", *subscripts)));
        }
    });
    of("tensordot", &|c| {
        c.add(&[&[2, 3, 2], &[3, 2, 2]], |x| Var::apply("tensordot", x, with("axes", 2)));
        let crossed = Attribute::List(vec![vec![0, -1].into(), vec![1, 0].into()]);
        c.add(&[&[2, 3, 2], &[2, 2]], move |x| Var::apply("tensordot", x, with("axes", crossed.clone())));
    });
    for (op, pairs) in [
        ("vecdot", [[&[2, 3][..], &[3][..]], [&[0, 2], &[1, 2]]]),
        ("matvec", [[&[2, 3], &[3]], [&[2, 1, 3], &[2, 3]]]),
        ("vecmat", [[&[2], &[2, 3]], [&[2, 3], &[2, 3, 1]]]),
        ("inner", [[&[2, 3], &[4, 3]], [&[3], &[]]]),
        ("batched_dot", [[&[2, 3, 4], &[2, 4, 1]], [&[2, 4], &[2, 4]]]),
        ("batched_dot", [[&[2, 4], &[2, 4, 3]], [&[2], &[2, 3, 2]]]),
    ] {
        of(op, &|c| pairs.iter().for_each(|pair| c.add(pair, move |x| apply(op, x))));
    }
}

fn shapes(of: Of<'_>) {
    let sizes = |sizes: &[i64]| Var::constant(integers(sizes));
    of("reshape", &|c| {
        for (from, to) in [(&[2, 3][..], &[3, 2][..]), (&[2, 3], &[-1]), (&[], &[1, 1]), (&[1], &[]), (&[0, 3], &[3, -1]), (&[4], &[2, -1])] {
            c.add(&[from], move |x| x[0].reshape(to));
        }
    });
    of("transpose", &|c| {
        for axes in [vec![2, 0, 1], vec![0, -1, 1], vec![0, 1, 2]] {
            c.add(&[&[2, 3, 4]], move |x| x[0].transpose(&axes));
        }
        ONE.iter().for_each(|&shape| c.add(&[shape], |x| x[0].t()));
    });
    of("broadcast_to", &|c| {
        for (from, to) in [(&[][..], &[2, 3][..]), (&[3], &[2, 3]), (&[2, 1], &[4, 2, 3]), (&[1], &[0]), (&[3], &[3]), (&[0], &[2, 0])] {
            let to = sizes(to);
            c.add(&[from], move |x| x[0].broadcast_to_var(&to));
        }
    });
    of("expand_dims", &|c| {
        for axis in [0, -1, 1] {
            c.add(&[&[3]], move |x| x[0].expand_dims(axis));
        }
        c.add(&[&[]], |x| x[0].expand_dims(0));
    });
    of("squeeze", &|c| {
        c.add(&[&[1, 3, 1]], |x| x[0].squeeze(0));
        c.add(&[&[1, 3, 1]], |x| x[0].squeeze(-1));
        c.add(&[&[1, 3, 1]], |x| Var::apply("squeeze", x, with("axis", vec![0, 2])));
        c.add(&[&[1]], |x| x[0].squeeze(0));
    });
    of("concatenate", &|c| {
        for axis in [0, -1] {
            let join = move |x: &[Var]| Var::apply("concatenate", x, with("axis", axis));
            c.add(&[&[2, 2], &[2, 2], &[2, 2]], join);
            c.add(&[&[3]], join);
        }
        c.add(&[&[2, 1], &[2, 0], &[2, 4]], |x| Var::apply("concatenate", x, with("axis", 1)));
    });
    of("stack", &|c| {
        for axis in [0, 1, -1] {
            c.add(&[&[2, 3], &[2, 3]], move |x| Var::apply("stack", x, with("axis", axis)));
        }
        c.add(&[&[], &[], &[]], |x| Var::apply("stack", x, with("axis", 0)));
        c.add(&[&[0]], |x| Var::apply("stack", x, with("axis", 0)));
    });
    of("flip", &|c| {
        for axis in [Attribute::None, Attribute::Int(0), Attribute::Int(-1), Attribute::from(vec![1, 0])] {
            c.add(&[&[2, 3]], move |x| Var::apply("flip", x, with("axis", axis.clone())));
        }
        ONE.iter().for_each(|&shape| c.add(&[shape], |x| apply("flip", x)));
    });
    of("flatten", &|c| ONE.iter().for_each(|&shape| c.add(&[shape], |x| x[0].flatten())));
    of("swapaxes", &|c| {
        c.add(&[&[2, 3, 4]], |x| x[0].swapaxes(0, -1));
        c.add(&[&[2, 3]], |x| x[0].swapaxes(1, 1));
    });
}

/// All results of an op, one after the other.
fn results(op: &str, operands: &[Var], attributes: Attributes) -> Var {
    let parts: Vec<Var> = Var::apply(op, operands, attributes).siblings().iter().map(Var::flatten).collect();
    Var::apply("concatenate", &parts, Attributes::new())
}

fn parts(of: Of<'_>) {
    let all = |op: &'static str, attributes: Attributes| move |x: &[Var]| results(op, x, attributes.clone());
    for op in ["split", "array_split"] {
        of(op, &|c| {
            let cut = |by: Attribute| with("indices_or_sections", by).with("axis", -1);
            c.add(&[&[2, 6]], all(op, cut(Attribute::Int(3))));
            c.add(&[&[7]], all(op, cut(Attribute::from(vec![1, 4]))));
        });
    }
    of("array_split", &|c| c.add(&[&[7]], all("array_split", with("indices_or_sections", 3))));
    of("tile", &|c| {
        for (shape, reps) in [(&[3][..], &[2][..]), (&[2, 3], &[2, 1]), (&[2], &[2, 3]), (&[], &[2]), (&[2, 3], &[0, 1])] {
            c.add(&[shape], move |x| x[0].tile(reps));
        }
    });
    of("repeat", &|c| {
        for axis in [None, Some(0), Some(-1)] {
            c.add(&[&[2, 3]], move |x| x[0].repeat(&Var::scalar(2i64), axis));
        }
        for counts in [&[2, 0, 1][..], &[3]] {
            let counts = integers(counts);
            c.add(&[&[2, 3]], move |x| x[0].repeat(&Var::constant(counts.clone()), Some(1)));
        }
    });
    of("roll", &|c| {
        for axis in [None, Some(0), Some(-1)] {
            c.add(&[&[2, 3]], move |x| x[0].roll(-4, axis));
        }
        c.add(&[&[0]], |x| x[0].roll(1, None));
    });
    of("moveaxis", &|c| c.add(&[&[2, 3, 4]], |x| x[0].moveaxis(0, -1)));
    for op in ["atleast_1d", "atleast_2d", "atleast_3d", "ravel"] {
        of(op, &|c| [&[][..], &[2], &[2, 3]].iter().for_each(|&shape| c.add(&[shape], all(op, Attributes::new()))));
    }
    for op in ["hstack", "vstack", "dstack", "column_stack"] {
        of(op, &|c| [&[3][..], &[2, 3]].iter().for_each(|&shape| c.add(&[shape, shape], move |x| apply(op, x))));
    }
    of("broadcast_arrays", &|c| c.add(&[&[2, 3], &[2, 1], &[]], all("broadcast_arrays", Attributes::new())));
    of("meshgrid", &|c| {
        for indexing in ["xy", "ij"] {
            c.add(&[&[2], &[3], &[2]], all("meshgrid", with("indexing", indexing)));
        }
    });
    of("specify_shape", &|c| c.add(&[&[2, 3]], |x| x[0].specify_shape(&[2, -1])));
    of("pad", &|c| {
        for mode in ["constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean", "maximum", "minimum"] {
            let widths = Tensor::from_vec(vec![1i64, 2, 0, 3], &[2, 2]).unwrap();
            c.add(&[&[2, 3]], move |x| Var::apply("pad", &[x[0].clone(), Var::constant(widths.clone())], with("mode", mode)));
        }
        c.add(&[&[3], &[]], |x| apply("pad", &[x[0].clone(), Var::scalar(2i64), x[1].clone()]));
    });
}

fn diagonals(of: Of<'_>) {
    for op in ["tril", "triu", "diag"] {
        of(op, &|c| {
            for k in [0, 1, -2] {
                [&[3][..], &[3, 3], &[2, 4]].iter().for_each(|&shape| c.add(&[shape], move |x| Var::apply(op, x, with("k", k))));
            }
        });
    }
    of("diagonal", &|c| {
        c.add(&[&[2, 3, 4]], |x| x[0].diagonal(1, 0, 2));
        c.add(&[&[2, 3, 4]], |x| x[0].diagonal(-1, -1, 1));
    });
    of("fill_diagonal", &|c| {
        for (x, value) in [(&[3, 2][..], &[][..]), (&[2, 3], &[2]), (&[2, 2, 2], &[2])] {
            c.add(&[x, value], |x| apply("fill_diagonal", x));
        }
    });
    of("fill_diagonal_offset", &|c| c.add(&[&[3, 3], &[]], |x| Var::apply("fill_diagonal_offset", x, with("offset", 1))));
}

fn spaced(of: Of<'_>) {
    let num = |x: &[Var]| [x, &[Var::scalar(4i64)]].concat();
    for op in ["linspace", "logspace", "geomspace"] {
        of(op, &|c| {
            for endpoint in [true, false] {
                c.within((0.5, 2.0), &[&[], &[2]], move |x| Var::apply(op, &num(x), with("endpoint", endpoint)));
            }
        });
    }
    of("full_like", &|c| {
        let like = || Var::constant(integers(&[1, 2, 3]));
        c.add(&[&[]], move |x| Var::apply("full_like", &[like(), x[0].clone()], with("dtype", DType::F64)));
    });
}

fn order(of: Of<'_>) {
    of("sort", &|c| {
        for axis in [Attribute::None, Attribute::Int(0), Attribute::Int(-1)] {
            c.add(&[&[3, 2]], move |x| Var::apply("sort", x, with("axis", axis.clone())));
        }
        c.add(&[&[0]], |x| x[0].sort(0));
    });
    of("topk", &|c| {
        for largest in [true, false] {
            let attributes = with("axis", 0).with("largest", largest);
            c.add(&[&[3, 2]], move |x| Var::apply("topk", &[x[0].clone(), Var::scalar(2i64)], attributes.clone()));
        }
    });
    of("unique", &|c| {
        c.add(&[&[2, 3]], |x| x[0].unique());
        c.add(&[&[3, 2]], |x| Var::apply("unique", x, with("axis", 1)));
    });
    of("interp", &|c| {
        let at = |values: Vec<f64>| Tensor::vector(values);
        let points = || vec![at(vec![0.3, 2.2, -1.0, 5.0]), at(vec![0.0, 1.0, 2.5]), at(vec![1.0, -1.0, 4.0])];
        c.at(points(), |x| apply("interp", x));
        c.at([points(), vec![Tensor::scalar(0.5), Tensor::scalar(0.7)]].concat(), |x| apply("interp", x));
    });
    of("bincount", &|c| c.add(&[&[4]], |x| apply("bincount", &[Var::constant(integers(&[1, 3, 1, 0])), x[0].clone()])));
}

fn cumulative(of: Of<'_>) {
    for op in ["cumsum", "cumprod"] {
        of(op, &|c| {
            for axis in [Attribute::None, Attribute::Int(0), Attribute::Int(-1)] {
                c.add(&[&[2, 3]], move |x| Var::apply(op, x, with("axis", axis.clone())));
            }
            [&[][..], &[0], &[1]].iter().for_each(|&shape| c.add(&[shape], move |x| apply(op, x)));
        });
    }
    of("cumprod", &|c| c.at(vec![Tensor::vector(vec![2.0, 0.0, 3.0, 0.0])], |x| x[0].cumprod(None)));
    of("linear_recurrence", &|c| {
        for axis in [0, -1] {
            c.add(&[&[3, 2], &[3, 2]], move |x| x[0].linear_recurrence(&x[1], axis));
        }
        c.add(&[&[0], &[0]], |x| x[0].linear_recurrence(&x[1], 0));
    });
}

fn statistics(of: Of<'_>) {
    for op in ["var", "std", "ptp", "average", "median", "nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"] {
        of(op, &|c| {
            for axis in [Attribute::None, Attribute::Int(1), Attribute::from(vec![0, -1])] {
                c.add(&[&[2, 3, 2]], move |x| Var::apply(op, x, with("axis", axis.clone()).with("keepdims", true)));
            }
        });
    }
    for op in ["var", "std", "nanvar", "nanstd"] {
        of(op, &|c| c.add(&[&[2, 3]], move |x| Var::apply(op, x, with("axis", 0).with("ddof", 1.0))));
    }
    of("average", &|c| {
        c.within((0.4, 2.0), &[&[2, 3], &[3]], |x| Var::apply("average", x, with("axis", 1)));
        c.within((0.4, 2.0), &[&[2, 3], &[2, 3]], |x| apply("average", x));
    });
    for (op, whole) in [("quantile", 1.0), ("percentile", 100.0)] {
        of(op, &|c| {
            let q = move || Tensor::vector(vec![0.31 * whole, 0.77 * whole]);
            for (method, axis) in [("linear", Attribute::None), ("hazen", Attribute::Int(0))] {
                let attributes = with("axis", axis).with("method", method);
                c.at(vec![spread(&[3, 4], (-2.0, 2.0), 0), q()], move |x| Var::apply(op, x, attributes.clone()));
            }
            let midpoint = with("axis", 1).with("method", "midpoint");
            c.add(&[&[3, 4]], move |x| Var::apply(op, &[x[0].clone(), Var::constant(q())], midpoint.clone()));
        });
    }
    for op in ["cov", "corrcoef"] {
        of(op, &|c| {
            c.add(&[&[2, 4]], move |x| Var::apply(op, x, with("rowvar", true)));
            c.add(&[&[4], &[2, 4]], move |x| apply(op, x));
        });
    }
    of("cov", &|c| c.add(&[&[5, 2]], |x| Var::apply("cov", x, with("rowvar", false).with("ddof", 0.0))));
    of("diff", &|c| {
        for (n, axis) in [(1, -1), (2, 0)] {
            c.add(&[&[3, 4]], move |x| Var::apply("diff", x, with("n", n).with("axis", axis)));
        }
        c.add(&[&[3], &[], &[2]], |x| apply("diff", x));
    });
    of("max_and_argmax", &|c| c.add(&[&[2, 3]], |x| Var::apply("max_and_argmax", x, with("axis", 1))));
}

fn networks(of: Of<'_>) {
    for op in ["softmax", "log_softmax"] {
        of(op, &|c| {
            for axis in [0, -1] {
                for shape in [&[3][..], &[2, 3], &[1], &[2, 3, 2], &[0, 3], &[3, 0]] {
                    c.add(&[shape], move |x| Var::apply(op, x, with("axis", axis)));
                }
            }
        });
    }
    of("cross_entropy", &|c| {
        c.at(vec![spread(&[2, 4], (-2.0, 2.0), 0), integers(&[3, 0])], |x| x[0].cross_entropy(&x[1]));
        c.at(vec![spread(&[4], (-2.0, 2.0), 0), Tensor::scalar(2i64)], |x| x[0].cross_entropy(&x[1]));
        c.at(vec![spread(&[0, 4], (-2.0, 2.0), 0), integers(&[])], |x| x[0].cross_entropy(&x[1]));
        let labels = Tensor::from_vec(vec![0u8, 1, 2, 0, 1, 2], &[3, 2]).unwrap();
        c.at(vec![spread(&[3, 2, 3], (-2.0, 2.0), 0), labels], |x| x[0].cross_entropy(&x[1]));
    });
    convolutions(of);
    pools(of);
    normalizations(of);
    transforms(of);
    let probabilities = (0.2, 0.8);
    for op in ["softmax_cross_entropy", "categorical_crossentropy", "binary_crossentropy", "sigmoid_binary_crossentropy", "kl_divergence"] {
        of(op, &|c| {
            for shape in [&[3][..], &[2, 3], &[0, 3]] {
                c.within(probabilities, &[shape, shape], move |x| apply(op, x));
            }
        });
    }
    of("categorical_crossentropy", &|c| {
        c.at(vec![spread(&[2, 3], probabilities, 0), integers(&[2, 0])], |x| apply("categorical_crossentropy", x));
    });
    of("huber_loss", &|c| {
        c.add(&[&[2, 3], &[3]], |x| Var::apply("huber_loss", x, with("delta", 5.0)));
        c.within((1.0, 2.0), &[&[2, 3], &[]], |x| Var::apply("huber_loss", &[&x[0] + 3.0, x[1].clone()], with("delta", 0.5)));
    });
    for op in ["leaky_relu", "relu6", "hard_tanh", "hard_swish", "mish", "celu"] {
        of(op, &|c| {
            for &shape in ONE {
                c.within((0.2, 0.9), &[shape], move |x| apply(op, x));
            }
            c.within((-0.9, -0.2), &[&[3]], move |x| apply(op, x));
        });
    }
    of("prelu", &|c| {
        c.within((0.2, 0.9), &[&[2, 3], &[3]], |x| apply("prelu", x));
        c.within((-0.9, -0.2), &[&[2, 3], &[3]], |x| apply("prelu", x));
    });
    of("glu", &|c| {
        c.add(&[&[3, 4]], |x| apply("glu", x));
        c.add(&[&[2, 0]], |x| Var::apply("glu", x, with("axis", 0)));
    });
    of("dropout", &|c| {
        let key = || Var::constant(Tensor::vector(vec![3u64, 4]));
        c.add(&[&[3, 4]], move |x| Var::apply("dropout", &[x[0].clone(), key()], with("rate", 0.3)));
    });
    of("embedding", &|c| {
        c.at(vec![integers(&[1, 0, 1]), spread(&[2, 3], (-2.0, 2.0), 0)], |x| apply("embedding", x));
    });
}

fn convolutions(of: Of<'_>) {
    let ones = |list: &[i64]| with("stride", list.to_vec());
    for op in ["conv1d", "conv_transpose1d"] {
        of(op, &|c| {
            let kernel: &[usize] = if op == "conv1d" { &[4, 1, 3] } else { &[2, 2, 3] };
            for attributes in [with("stride", 1), with("stride", 2).with("padding", 1), with("padding", "full").with("dilation", 2), with("padding", "same").with("stride", 2)] {
                // Lengths that are not known leave "full" and "same" of a transposed convolution open.
                let attributes = attributes.with("groups", 2);
                let closed = op == "conv_transpose1d" && matches!(attributes.get("padding"), Some(Attribute::Str(_)));
                if closed {
                    let w = Var::constant(spread(kernel, (-2.0, 2.0), 1));
                    c.add(&[&[2, 2, 5]], move |x| Var::apply(op, &[x[0].clone(), w.clone()], attributes.clone()));
                } else {
                    c.add(&[&[2, 2, 5], kernel], move |x| Var::apply(op, x, attributes.clone()));
                }
            }
        });
    }
    of("conv2d", &|c| {
        c.add(&[&[1, 2, 3, 4], &[2, 2, 2, 3]], move |x| Var::apply("conv2d", x, ones(&[2, 1]).with("padding", 1)));
    });
    of("conv3d", &|c| c.add(&[&[1, 1, 2, 3, 2], &[1, 1, 2, 2, 1]], |x| apply("conv3d", x)));
    of("conv_transpose2d", &|c| {
        c.add(&[&[1, 2, 2, 2], &[2, 1, 2, 3]], move |x| Var::apply("conv_transpose2d", x, ones(&[2, 1]).with("padding", 1).with("output_padding", vec![1, 0])));
    });
    of("conv_transpose3d", &|c| c.add(&[&[1, 1, 1, 2, 2], &[1, 1, 2, 1, 2]], |x| apply("conv_transpose3d", x)));
}

fn pools(of: Of<'_>) {
    let rows: [(&'static str, &'static [usize]); 9] = [
        ("max_pool1d", &[2, 7]), ("sum_pool1d", &[2, 7]), ("avg_pool1d", &[2, 7]),
        ("max_pool2d", &[2, 4, 3]), ("sum_pool2d", &[2, 4, 3]), ("avg_pool2d", &[2, 4, 3]),
        ("max_pool3d", &[2, 3, 2]), ("sum_pool3d", &[2, 3, 2]), ("avg_pool3d", &[2, 3, 2]),
    ];
    for (op, shape) in rows {
        of(op, &|c| {
            c.add(&[shape], move |x| Var::apply(op, x, with("window", 2).with("stride", 1)));
            let overlapping = || with("window", 2).with("padding", 1).with("ceil_mode", true);
            c.add(&[shape], move |x| Var::apply(op, x, overlapping()));
            if op.starts_with("avg") {
                c.add(&[shape], move |x| Var::apply(op, x, overlapping().with("count_include_pad", false)));
            }
        });
    }
}

fn normalizations(of: Of<'_>) {
    for (op, attributes) in [
        ("batch_norm", with("epsilon", 0.1)),
        ("layer_norm", with("axis", 1)),
        ("instance_norm", with("epsilon", 0.1)),
        ("group_norm", with("groups", 2)),
    ] {
        of(op, &|c| {
            let (own, more) = (attributes.clone(), attributes.clone());
            c.add(&[&[2, 4, 3]], move |x| Var::apply(op, x, own.clone()));
            c.add(&[&[2, 4, 3], &[4], &[4]], move |x| Var::apply(op, x, more.clone()));
        });
    }
    of("rms_norm", &|c| c.add(&[&[2, 3], &[3]], |x| apply("rms_norm", x)));
    of("batch_norm_inference", &|c| {
        c.within((0.4, 2.5), &[&[2, 3, 2], &[3], &[3], &[3], &[3]], |x| apply("batch_norm_inference", x));
    });
}

fn transforms(of: Of<'_>) {
    of("complex_dft", &|c| {
        c.add(&[&[3, 2]], |x| apply("complex_dft", x));
        c.add(&[&[4, 3, 2]], |x| Var::apply("complex_dft", x, with("axis", 0).with("inverse", true)));
    });
    for op in ["fft", "ifft", "irfft"] {
        of(op, &|c| {
            for attributes in [with("norm", "ortho"), with("n", 5), with("axis", vec![1, 0])] {
                // The last axis of complex values has length 2 whatever else is not known.
                c.add(&[&[3, 4, 2]], move |x| Var::apply(op, &[x[0].specify_shape(&[-1, -1, 2])], attributes.clone()));
            }
        });
    }
    of("rfft", &|c| {
        for attributes in [with("norm", "forward"), with("n", 6), with("n", 3), with("axis", vec![1, 0])] {
            c.add(&[&[3, 5]], move |x| Var::apply("rfft", x, attributes.clone()));
        }
    });
}

/// Indices with the number of integer or bool operands that they refer to, and whether a place occurs
/// twice.
fn signals(of: Of<'_>) {
    for op in ["convolve", "convolve1d", "correlate", "convolve2d"] {
        of(op, &|c| {
            for mode in ["full", "same", "valid"] {
                let shapes: &[&[usize]] = if op == "convolve2d" { &[&[3, 4], &[2, 3]] } else { &[&[5], &[2]] };
                c.add(shapes, move |x| Var::apply(op, x, with("mode", mode)));
            }
        });
    }
    for op in ["fftshift", "ifftshift"] {
        of(op, &|c| c.add(&[&[5, 2]], move |x| apply(op, x)));
    }
}

fn equations(of: Of<'_>) {
    let regular = |x: &Var, n: usize| {
        let diagonal = (0..n * n).map(|at| if at % (n + 1) == 0 { 3.0 } else { 0.0 }).collect();
        x + Var::constant(Tensor::from_vec(diagonal, &[n, n]).unwrap())
    };
    of("tensorinv", &|c| c.add(&[&[2, 3, 6]], move |x| {
        let a = regular(&x[0].reshape(&[6, 6]), 6).reshape(&[2, 3, 6]);
        Var::apply("tensorinv", &[a], with("ind", 2i64))
    }));
    of("tensorsolve", &|c| c.add(&[&[2, 2, 4], &[2, 2]], move |x| {
        let a = regular(&x[0].reshape(&[4, 4]), 4).reshape(&[2, 2, 4]);
        apply("tensorsolve", &[a, x[1].clone()])
    }));
    of("solve_sylvester", &|c| c.add(&[&[2, 2], &[3, 3], &[2, 3]], move |x| {
        apply("solve_sylvester", &[regular(&x[0], 2), regular(&x[1], 3), x[2].clone()])
    }));
    of("solve_continuous_lyapunov", &|c| c.add(&[&[2, 2], &[2, 2]], move |x| apply("solve_continuous_lyapunov", &[regular(&x[0], 2), x[1].clone()])));
    of("solve_discrete_lyapunov", &|c| c.add(&[&[2, 2], &[2, 2]], |x| apply("solve_discrete_lyapunov", &[0.2 * &x[0], x[1].clone()])));
    let factors = move |x: &Var| Var::apply("lu_factor", &[regular(x, 3)], Attributes::new()).siblings();
    of("lu_factor", &|c| c.add(&[&[3, 3]], move |x| factors(&x[0]).swap_remove(0)));
    of("lu_solve", &|c| {
        for trans in [0i64, 1] {
            c.add(&[&[3, 3], &[3, 2]], move |x| {
                let factors = factors(&x[0]);
                Var::apply("lu_solve", &[factors[0].clone(), factors[1].clone(), x[1].clone()], with("trans", trans))
            });
        }
    });
}

fn forms(of: Of<'_>) {
    for op in ["shape_padleft", "shape_padright", "join_dims", "nonzero_values"] {
        of(op, &|c| c.add(&[&[2, 3]], move |x| apply(op, x)));
    }
    of("shape_padaxis", &|c| c.add(&[&[2, 3]], |x| Var::apply("shape_padaxis", x, with("axis", 1i64))));
    of("atleast_Nd", &|c| c.add(&[&[2, 3]], |x| Var::apply("atleast_Nd", x, with("n", 4i64))));
    of("split_dims", &|c| c.add(&[&[6, 3]], |x| apply("split_dims", &[x[0].clone(), Var::constant(Tensor::vector(vec![2i64, -1]))])));
    of("mgrid", &|c| c.add(&[&[2], &[3]], |x| apply("mgrid", x)));
    of("ogrid", &|c| c.add(&[&[2], &[3]], |x| {
        let open = results("ogrid", x, Attributes::new());
        open.sin()
    }));
    let order = || Var::constant(Tensor::from_vec(vec![2i64, 0, 1, 0, 2, 1], &[2, 3]).unwrap());
    of("permute_row_elements", &|c| c.add(&[&[2, 3]], move |x| apply("permute_row_elements", &[x[0].clone(), order()])));
    of("interpolate1d", &|c| {
        let (at, places) = ([-1.5, 0.2, 0.7, 1.1, 3.5], [-1.0, 0.0, 0.5, 2.0]);
        let (at, places) = (Tensor::vector(at.to_vec()), Tensor::vector(places.to_vec()));
        let values = || spread(&[4], (-2.0, 2.0), 0);
        c.at(vec![at.clone(), places.clone(), values()], |x| apply("interpolate1d", x));
        for method in ["nearest", "first", "last", "mean"] {
            // Between places the value is constant.
            let fixed = [&at, &places].map(|tensor| Var::constant(tensor.clone()));
            c.at(vec![values()], move |x| Var::apply("interpolate1d", &[&fixed, x].concat(), with("method", method)));
        }
    });
    of("nanmedian", &|c| c.add(&[&[2, 5]], |x| Var::apply("nanmedian", x, with("axis", 1i64))));
}

fn images(of: Of<'_>) {
    let pair = |sizes: [i64; 2]| with("neib_shape", sizes.to_vec());
    of("separable_conv2d", &|c| c.add(&[&[1, 2, 3, 3], &[4, 1, 2, 2], &[2, 4, 1, 1]], |x| apply("separable_conv2d", x)));
    of("separable_conv3d", &|c| c.add(&[&[1, 2, 2, 2, 3], &[2, 1, 1, 2, 2], &[1, 2, 1, 1, 1]], |x| apply("separable_conv3d", x)));
    of("causal_conv1d", &|c| c.add(&[&[2, 2, 4], &[1, 2, 2]], |x| Var::apply("causal_conv1d", x, with("dilation", 2i64))));
    of("bilinear_upsampling", &|c| c.add(&[&[1, 2, 2, 3]], |x| Var::apply("bilinear_upsampling", x, with("ratio", 2i64))));
    of("images2neibs", &|c| c.add(&[&[1, 2, 2, 4]], move |x| Var::apply("images2neibs", x, pair([2, 2]))));
    of("neibs2images", &|c| {
        let shape = || Var::constant(Tensor::vector(vec![1i64, 2, 2, 4]));
        c.add(&[&[4, 4]], move |x| Var::apply("neibs2images", &[x[0].clone(), shape()], pair([2, 2])));
    });
}

fn items() -> Vec<(Vec<IndexItem>, Vec<Tensor>)> {
    let slice = |start: Option<i64>, stop: Option<i64>, step| {
        let end = |end: Option<i64>| end.map_or(IndexBound::Open, IndexBound::At);
        IndexItem::Slice { start: end(start), stop: end(stop), step }
    };
    let dynamic = IndexItem::Slice { start: IndexBound::Operand(0), stop: IndexBound::Open, step: 1 };
    let operand = IndexItem::Operand;
    let mask = Tensor::vector(vec![true, false, true]);
    vec![
        (vec![IndexItem::At(-1)], vec![]),
        (vec![IndexItem::At(0), IndexItem::At(1)], vec![]),
        (vec![slice(Some(1), None, 1), IndexItem::NewAxis], vec![]),
        (vec![IndexItem::Ellipsis, slice(None, None, -2)], vec![]),
        (vec![slice(Some(3), None, 1)], vec![]),
        (vec![dynamic], vec![Tensor::scalar(1i64)]),
        (vec![operand(0)], vec![Tensor::scalar(2i64)]),
        (vec![operand(0)], vec![integers(&[2, 0])]),
        (vec![operand(0)], vec![integers(&[2, 0, 2, -1])]),
        (vec![operand(0)], vec![integers(&[])]),
        (vec![operand(0), operand(1)], vec![integers(&[0, 2, 0]), integers(&[1, 0, 1])]),
        (vec![slice(None, Some(2), 1), operand(0)], vec![Tensor::from_vec(vec![0i64, 1, 1, 0], &[2, 2]).unwrap()]),
        (vec![operand(0)], vec![mask.clone()]),
        (vec![operand(0), IndexItem::At(0)], vec![mask]),
    ]
}

fn indices(of: Of<'_>) {
    let x = || spread(&[3, 2], (-2.0, 2.0), 0);
    let attributes = |items: Vec<IndexItem>| with("index", Attribute::Index(items));
    of("index", &|c| {
        for (items, operands) in items() {
            let attributes = attributes(items);
            c.at([vec![x()], operands].concat(), move |x| Var::apply("index", x, attributes.clone()));
        }
    });
    for op in ["set_at", "add_at"] {
        of(op, &|c| {
            for (items, operands) in items() {
                // A scalar for every place, and one value for each.
                let all = Var::constant(x()).index(items.clone(), &operands.iter().cloned().map(Var::constant).collect::<Vec<_>>());
                let full = all.ty().unwrap().known_shape();
                let full = full.unwrap_or_else(|| panic!("{:?}", all.ty()));
                for shape in [&[][..], full.as_slice()] {
                    let attributes = attributes(items.clone());
                    let point = [vec![x(), spread(shape, (-2.0, 2.0), 1)], operands.clone()].concat();
                    c.at(point, move |x| Var::apply(op, x, attributes.clone()));
                }
            }
        });
    }
    let places = || integers(&[2, 0, 1, 1]);
    of("take_along_axis", &|c| {
        let rows = Tensor::from_vec(vec![2i64, 0, 1, 1], &[2, 2]).unwrap();
        c.at(vec![x(), rows], |x| x[0].take_along_axis(&x[1], 0));
        c.add(&[&[2, 2]], move |x| Var::apply("take_along_axis", &[x[0].clone(), Var::constant(places())], with("axis", Attribute::None)));
    });
    of("put_along_axis", &|c| {
        let rows = || Var::constant(Tensor::from_vec(vec![2i64, 0, 1, 1], &[2, 2]).unwrap());
        for values in [&[][..], &[2, 2]] {
            c.add(&[&[3, 2], values], move |x| x[0].put_along_axis(&rows(), &x[1], 0));
        }
    });
    of("put", &|c| c.add(&[&[3, 2], &[4]], move |x| apply("put", &[x[0].clone(), Var::constant(places()), x[1].clone()])));
    let flags = || Var::constant(Tensor::vector(vec![true, false, true]));
    of("compress", &|c| c.add(&[&[3, 2]], move |x| Var::apply("compress", &[flags(), x[0].clone()], with("axis", 0))));
    of("extract", &|c| c.add(&[&[3]], move |x| apply("extract", &[flags(), x[0].clone()])));
    of("choose", &|c| {
        c.add(&[&[3], &[2, 1]], |x| apply("choose", &[Var::constant(integers(&[1, 0, 1])), x[0].clone(), x[1].clone()]));
    });
    of("select", &|c| {
        c.add(&[&[3], &[3]], move |x| apply("select", &[flags(), flags().logical_not(), x[0].clone(), x[1].square()]));
    });
    of("take", &|c| {
        for mode in ["wrap", "clip"] {
            c.at(vec![x(), integers(&[-4, 1, 7])], move |x| Var::apply("take", x, with("axis", 0).with("mode", mode)));
        }
        let places = Tensor::from_vec(vec![1i64, 0, 1, -1], &[2, 2]).unwrap();
        for axis in [Attribute::None, Attribute::Int(0), Attribute::Int(-1)] {
            for indices in [places.clone(), Tensor::scalar(1i64), integers(&[])] {
                let attributes = with("axis", axis.clone());
                c.at(vec![x(), indices], move |x| Var::apply("take", x, attributes.clone()));
            }
        }
    });
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
    check(elementwise_cases());
}

#[test]
fn derivatives_of_all_other_ops() {
    check(other_cases());
}

#[test]
fn every_op_is_checked_or_excused() {
    let (elementwise, other) = (elementwise_cases(), other_cases());
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
