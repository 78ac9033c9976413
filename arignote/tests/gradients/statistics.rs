//! Cases of reductions, order and statistics.

use super::*;

pub(super) fn reductions(of: Of<'_>) {
    let axes = || [Attribute::None, Attribute::Int(0), Attribute::Int(-1), Attribute::from(vec![-1, 0]), Attribute::List(Vec::new())];
    for op in ["sum", "prod", "mean", "logsumexp", "vector_norm", "max", "min"] {
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
    of("reduce", &|c| {
        for op in ["add", "mul", "maximum", "logaddexp", "hypot"] {
            c.add(&[&[2, 3]], move |x| Var::apply("reduce", x, with("op", op).with("axis", 1i64).with("keepdims", true)));
        }
    });
    of("sum_to", &|c| {
        for (from, to) in [(&[2, 3][..], &[1, 3][..]), (&[2, 3], &[]), (&[4, 2, 3], &[2, 1]), (&[0, 3], &[3]), (&[3], &[3])] {
            let to = integers(to);
            c.add(&[from], move |x| apply("sum_to", &[x[0].clone(), Var::constant(to.clone())]));
        }
    });
}

pub(super) fn order(of: Of<'_>) {
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

pub(super) fn cumulative(of: Of<'_>) {
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

pub(super) fn statistics(of: Of<'_>) {
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
