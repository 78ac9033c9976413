//! Cases of elementwise ops, of which most need a domain alone.

use super::*;

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
        ("logsubexp", vec![(1.0, 2.0), (-2.0, 0.5)]),
        ("hypot", vec![positive, any]),
        ("xlogy", vec![any, positive]),
        ("clip", vec![any, (-1.1, -0.9), (0.9, 1.1)]),
    ]);
    rows
}

pub(super) fn elementwise_cases() -> BTreeMap<&'static str, Vec<Case>> {
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

pub(super) fn elementwise_with_attributes(of: Of<'_>) {
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
            for order in [-1.3, 0.4, 2.5] {
                c.within((0.6, 2.5), &[&[2, 3]], move |x| apply(op, &[Var::weak(order), x[0].clone()]));
            }
        });
    }
    of("gammainc_da", &|c| {
        for order in [0i64, 1, 2] {
            c.within((0.4, 2.5), &[&[2, 3], &[3]], move |x| Var::weak(order).gammainc_da(&x[0], &x[1]));
        }
    });
    for op in ["gammainc", "gammaincc", "gammal", "gammau"] {
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
    for op in ["kv", "kve", "log_kv", "log_kv_dx", "log_iv", "log_iv_dx"] {
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
