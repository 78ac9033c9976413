//! Cases of products, factorizations and equations.

use super::*;

pub(super) fn products(of: Of<'_>) {
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
    of("eig", &|c| {
        for shape in [&[3, 3][..], &[1, 1], &[2, 2, 2]] {
            // Real eigenvalues, far from each other, and with what is skew complex ones; sizes do not depend on phases.
            let apart = (-0.3, 0.3);
            let turned = move |x: &Var| shifted(x) + 2.0 * (x - x.swapaxes(-1, -2));
            let sizes = move |x: &Var| result("eig", x, Attributes::new(), 1).square().sum(Some(-1));
            c.within(apart, &[shape], move |x| result("eig", &shifted(&x[0]), Attributes::new(), 0).square());
            c.within(apart, &[shape], move |x| sizes(&shifted(&x[0])));
            c.within(near, &[shape], move |x| sizes(&turned(&x[0])));
        }
    });
    of("eigvals", &|c| c.within((-0.3, 0.3), &[&[3, 3]], move |x| apply("eigvals", &[shifted(&x[0])])));
    of("solve_discrete_are", &|c| {
        c.within(near, &[&[3, 3], &[3, 2]], move |x| {
            apply("solve_discrete_are", &[shifted(&x[0]) * 0.5, x[1].clone(), apply("eye", &[x[0].shape().at(-1)]), positive(&x[1].t())])
        });
    });
    of("solve_continuous_are", &|c| {
        c.within(near, &[&[2, 2], &[2, 1]], move |x| {
            apply("solve_continuous_are", &[x[0].clone(), x[1].clone() + 1.0, positive(&x[0]), positive(&x[1].t())])
        });
    });
    of("solve_tridiagonal", &|c| {
        c.within(near, &[&[3], &[4], &[3], &[4]], move |x| apply("solve_tridiagonal", &[x[0].clone(), &x[1] + 2.0, x[2].clone(), x[3].clone()]));
        c.within(near, &[&[2, 1], &[2], &[1], &[2]], move |x| apply("solve_tridiagonal", &[x[0].clone(), &x[1] + 2.0, x[2].clone(), x[3].clone()]));
    });
    let factors = |x: &[Var]| Var::apply("tridiagonal_lu_factor", &[x[0].clone(), &x[1] + 0.3, x[2].clone()], Attributes::new()).siblings();
    of("tridiagonal_lu_factor", &|c| {
        // Whose small diagonal makes rows change places.
        for at in 0..3 {
            c.within(near, &[&[4], &[5], &[4]], move |x| factors(x).swap_remove(at));
        }
        // Elements of the diagonal on the right alone.
        c.within(near, &[&[4], &[5], &[4]], move |x| &factors(x)[3] * (x[0].sum(None) * x[1].sum(None)));
        c.within(near, &[&[2, 1], &[2], &[1]], move |x| factors(x).swap_remove(1));
    });
    of("tridiagonal_lu_solve", &|c| {
        for trans in [0i64, 1] {
            for shapes in [&[&[4][..], &[5], &[4], &[5]], &[&[2, 1], &[2], &[1], &[3, 1, 2]], &[&[0], &[1], &[0], &[2, 1]]] {
                c.within(near, shapes, move |x| {
                    let operands = [factors(x), vec![x[3].clone()]].concat();
                    Var::apply("tridiagonal_lu_solve", &operands, with("trans", trans))
                });
            }
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

pub(super) fn linear_algebra(of: Of<'_>) {
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
    of("batched_tensordot", &|c| {
        c.add(&[&[2, 3, 2], &[2, 2, 1]], |x| Var::apply("batched_tensordot", x, with("axes", 1)));
        let crossed = Attribute::List(vec![vec![1, -1].into(), vec![2, 1].into()]);
        c.add(&[&[2, 3, 2], &[2, 2, 3]], move |x| Var::apply("batched_tensordot", x, with("axes", crossed.clone())));
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

pub(super) fn equations(of: Of<'_>) {
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
