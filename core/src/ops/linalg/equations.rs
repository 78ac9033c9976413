//! Equations between tensors and matrices, and the packed form of a factorization, given by other ops.

use super::super::composed::{Arguments, Composed, Settle, add, length, lengths, positions, type_error, vector, whole};
use super::{matrix, square};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::control::Scan;
use crate::ops::{Attribute, AttributeKind, Attributes, Param, Registry, normalize_axis, where_};
use crate::ops::shape::concatenate;
use crate::tensor::{DType, Dim};

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let flag = |name, doc| Param::attribute(name, AttributeKind::Bool, Some(false.into()), doc);
    let pivots = || operand("pivots", "for each row the row that it changed places with, from the first on, as `lu_factor` gives");
    let mut floats = |count, name, params, doc, build| registry.add(Composed { name, params, doc, settle: Settle::ToFloat(count), build });
    floats(1, "tensorinv", vec![operand("a", "a tensor whose first axes have as many places as the others"),
            Param::attribute("ind", AttributeKind::Int, Some(Attribute::Int(2)), "how many axes are the first")],
        "The inverse of `a` as a map from its last axes to its first `ind` ones: `tensordot(tensorinv(a, ind), a, axes=ind)` \
         is the identity.\n\n    tensorinv(a, ind=2)", tensorinv);
    floats(2, "tensorsolve", vec![operand("a", "a tensor: the axes of b, then those of the result"), operand("b", "the right side"),
            Param::attribute("axes", AttributeKind::Axes, Some(Attribute::None), "axes of a that go to its end first; none of them if none")],
        "The x with `tensordot(a, x, axes=x's rank) = b`, as NumPy.\n\n    tensorsolve(a, b)", tensorsolve);
    floats(3, "solve_sylvester", vec![operand("a", "square matrices"), operand("b", "square matrices"), operand("q", "the right sides")],
        "The x with `a @ x + x @ b = q`, by the equations for the elements of x (Golub and Van Loan, Matrix Computations, \
         7.6.3): the work grows with the third power of their number. The matrices of a stack need equally many axes. Singular \
         where eigenvalues of a and -b meet.\n\n    solve_sylvester(a, b, q)", |a| {
            Ok(vec![sylvester(a.operand(0)?, a.operand(1)?, a.operand(2)?)?])
        });
    floats(2, "solve_continuous_lyapunov", vec![operand("a", "square matrices"), operand("q", "the right sides")],
        "The x with `a @ x + x @ transpose(a) = q`, as `solve_sylvester`.\n\n    solve_continuous_lyapunov(a, q)", |a| {
            let x = a.operand(0)?;
            Ok(vec![sylvester(x, &x.swap_last(), a.operand(1)?)?])
        });
    floats(2, "solve_discrete_lyapunov", vec![operand("a", "square matrices"), operand("q", "the right sides")],
        "The x with `a @ x @ transpose(a) - x + q = 0`, by the equations for its elements: the work grows with the sixth power \
         of the length of a.\n\n    solve_discrete_lyapunov(a, q)", |a| Ok(vec![discrete_lyapunov(a.operand(0)?, a.operand(1)?)?]));
    floats(4, "solve_discrete_are", are_params(),
        "The symmetric x with `x = a' x a - (a' x b) inv(r + b' x b) (b' x a) + q` that stabilizes, of matrices: SciPy's. By doubling \
         (Chu, Fan, Lin and Wang, Structure-preserving algorithms for periodic discrete-time algebraic Riccati equations, 2004), \
         which converges quadratically; NaN where there is no such x.\n\n    solve_discrete_are(a, b, q, r)", |a| {
            Ok(vec![discrete_riccati(a.operand(0)?, &weighted(a)?, a.operand(2)?)?])
        });
    floats(4, "solve_continuous_are", are_params(),
        "The symmetric x with `a' x + x a - x b inv(r) b' x + q = 0` that stabilizes, of matrices: SciPy's. By doubling (Chu, Fan \
         and Lin, A structure-preserving doubling algorithm for continuous-time algebraic Riccati equations, 2005); NaN where \
         there is no such x.\n\n    solve_continuous_are(a, b, q, r)", |a| {
            Ok(vec![continuous_riccati(a.operand(0)?, &weighted(a)?, a.operand(2)?)?])
        });
    floats(4, "solve_tridiagonal", vec![operand("lower", "the elements left of the diagonal, one less than rows"),
            operand("diagonal", "the elements of the diagonal"), operand("upper", "the elements right of the diagonal, one less than rows"),
            operand("b", "the right sides: a vector along the last axis")],
        "The x with `a @ x = b` of matrices with three diagonals, along the last axis of all operands, by elimination with \
         exchanges of rows (LAPACK's `gtsv`) in linear work. A singular matrix gives elements that are not finite.\
         \n\n    solve_tridiagonal(lower, diagonal, upper, b)", |a| {
            Ok(vec![tridiagonal(a.operand(0)?, a.operand(1)?, a.operand(2)?, a.operand(3)?)?])
        });
    floats(3, "tridiagonal_lu_factor", vec![operand("lower", "the elements left of the diagonal, one less than rows"),
            operand("diagonal", "the elements of the diagonal"), operand("upper", "the elements right of the diagonal, one less than rows")],
        "The factors of matrices with three diagonals, along the last axis of all operands, by elimination with exchanges of \
         neighbouring rows (LAPACK's `gttrf`): the multipliers below the diagonal, the diagonal of the upper triangle, the \
         first and the second diagonal right of it, and the pivots, the row that each row changed places with. The pivots \
         count from 0. Of a singular matrix there are elements that are 0 on the diagonal, or not finite.\
         \n\n    dl, d, du, du2, pivots = tridiagonal_lu_factor(lower, diagonal, upper)", |a| {
            Ok(tridiagonal_factors(a.operand(0)?, a.operand(1)?, a.operand(2)?)?.into())
        });
    registry.add(Composed {
        name: "tridiagonal_lu_solve",
        params: vec![operand("dl", "the multipliers, as `tridiagonal_lu_factor` gives"), operand("d", "the diagonal of the upper triangle"),
            operand("du", "the diagonal right of it"), operand("du2", "the next one"), pivots(),
            operand("b", "the right sides: a vector along the last axis"),
            Param::attribute("trans", AttributeKind::Int, Some(Attribute::Int(0)), "0: `a @ x = b`; 1 or 2: `transpose(a) @ x = b`")],
        doc: "The x with `a @ x = b` by the factors of a matrix with three diagonals (LAPACK's `gttrs`), in linear work.\n\n    \
              tridiagonal_lu_solve(dl, d, du, du2, pivots, b)",
        // The pivots are no floats; the right side takes the dtype of the factors.
        settle: Settle::ToFloat(4),
        build: |a| {
            let transposed = match a.attributes.int("trans")? {
                0 => false,
                1 | 2 => true,
                other => return type_error(format!("`trans` is 0, 1 or 2, not {other}")),
            };
            let factors = [a.operand(0)?, a.operand(1)?, a.operand(2)?, a.operand(3)?, a.operand(4)?];
            Ok(vec![tridiagonal_solution(factors, a.operand(5)?, transposed)?])
        },
    });
    let mut floats = |count, name, params, doc, build| registry.add(Composed { name, params, doc, settle: Settle::ToFloat(count), build });
    floats(1, "eigvals", vec![operand("a", "square matrices")],
        "The eigenvalues of `eig`: pairs of real and imaginary part.\n\n    eigvals(a)", |a| {
            Ok(vec![Var::apply("eig", a.operands, Attributes::new())])
        });
    floats(1, "lu_factor", vec![operand("a", "square matrices")],
        "The factors of `lu` in one matrix, the upper one and below its diagonal the lower one, and the pivots, as SciPy. \
         The pivots count from 0.\n\n    packed, pivots = lu_factor(a)\n    x = lu_solve(packed, pivots, b)", lu_factor);
    floats(1, "lu_solve", vec![operand("lu", "factors in one matrix, as `lu_factor` gives"), pivots(), operand("b", "the right sides: columns of matrices, or one vector"),
            Param::attribute("trans", AttributeKind::Int, Some(Attribute::Int(0)), "0: `a @ x = b`; 1 or 2: `transpose(a) @ x = b`")],
        "The solution of equations by the factors of their matrix.\n\n    lu_solve(packed, pivots, b)", lu_solve);
    add(registry, "pivot_to_permutation", vec![pivots(), flag("inverse", "the places of the rows after the exchanges, else which row comes to each place")],
        "The permutation that the exchanges of pivots make, along the last axis.\n\n    pivot_to_permutation(pivots)", |a| {
            let pivots = a.operand(0)?;
            whole(pivots)?;
            let places = exchanged(pivots)?;
            let order = || Var::apply("argsort", std::slice::from_ref(&places), Attributes::new());
            Ok(vec![if a.attributes.bool("inverse")? { places.clone() } else { order() }])
        });
}

fn product(lengths: &[Var]) -> Var {
    lengths.iter().cloned().reduce(|product, length| product * length).unwrap_or_else(|| Var::scalar(1i64))
}

fn tensorinv(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, rank) = (a.operand(0)?, a.rank()?);
    let first = usize::try_from(a.attributes.int("ind")?).ok().filter(|&first| first >= 1 && first < rank);
    let Some(first) = first else {
        return type_error(format!("`ind` is from 1 to {}, less than the number of axes of {}", rank.saturating_sub(1), x.ty()?));
    };
    let shape = lengths(x)?;
    let flat = x.reshape_to(&vector(&[product(&shape[..first]), product(&shape[first..])]));
    Ok(vec![flat.inv().reshape_to(&vector(&[&shape[first..], &shape[..first]].concat()))])
}

fn tensorsolve(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (x, b) = (a.operand(0)?, a.operand(1)?);
    let (rank, outer) = (a.rank()?, b.ty()?.rank());
    if outer > rank {
        return type_error(format!("`a` has at least the axes of `b`, but they are {} and {}", x.ty()?, b.ty()?));
    }
    let moved: Vec<usize> = match a.attributes.ints("axes")? {
        None => Vec::new(),
        Some(axes) => axes.into_iter().map(|axis| normalize_axis(axis, rank)).collect::<Result<_>>()?,
    };
    let order: Vec<i64> = (0..rank).filter(|axis| !moved.contains(axis)).chain(moved.iter().copied()).map(|axis| axis as i64).collect();
    let x = if moved.is_empty() { x.clone() } else { x.transpose(&order) };
    let shape = lengths(&x)?;
    let flat = x.reshape_to(&vector(&[product(&shape[..outer]), product(&shape[outer..])]));
    Ok(vec![flat.solve(&b.flatten()).reshape_to(&vector(&shape[outer..]))])
}

/// `kron` of matrices that may be stacked: the places of `x` outside, those of `y` inside.
fn kron(x: &Var, y: &Var) -> Result<Var> {
    let product = x.expand_dims(-1).expand_dims(-3) * y.expand_dims(-2).expand_dims(-4);
    joined(&product)
}

/// `[..., i, k, j, l]` as `[..., i k, j l]`.
fn joined(x: &Var) -> Result<Var> {
    let mut shape = lengths(x)?;
    let [rows, inner_rows, columns, inner_columns] = [4, 3, 2, 1].map(|back| shape[shape.len() - back].clone());
    shape.truncate(shape.len() - 4);
    shape.extend([rows * inner_rows, columns * inner_columns]);
    Ok(x.reshape_to(&vector(&shape)))
}

fn eye_like(x: &Var) -> Result<Var> {
    let on = positions(&length(x, x.ty()?.rank() - 1));
    Ok(on.expand_dims(1).eq(&on).cast(x.ty()?.dtype))
}

/// The matrices with the elements of solutions, row by row, for equations over them.
fn solved(equations: &Var, q: &Var) -> Result<Var> {
    let mut flat = lengths(q)?;
    let columns = flat.pop().unwrap_or_else(|| Var::scalar(1i64));
    let rows = flat.pop().unwrap_or_else(|| Var::scalar(1i64));
    flat.extend([rows * columns, Var::scalar(1i64)]);
    Ok(equations.solve(&q.reshape_to(&vector(&flat))).reshape_to(&vector(&lengths(q)?)))
}

fn sylvester(a: &Var, b: &Var, q: &Var) -> Result<Var> {
    let (_, m) = square("`a`", &a.ty()?.dims)?;
    let (_, n) = square("`b`", &b.ty()?.dims)?;
    let (_, rows, columns) = matrix("`q`", &q.ty()?.dims)?;
    if !rows.compatible(&m) || !columns.compatible(&n) {
        return type_error(format!("`q` has {m} rows and {n} columns, as many as `a` and `b` have rows, not {rows} and {columns}"));
    }
    // Row by row: (a ⊗ 1 + 1 ⊗ b') x = q.
    let equations = kron(a, &eye_like(b)?)? + kron(&eye_like(a)?, &b.swap_last())?;
    solved(&equations, q)
}

fn discrete_lyapunov(a: &Var, q: &Var) -> Result<Var> {
    let (_, n) = square("`a`", &a.ty()?.dims)?;
    let (_, rows, columns) = matrix("`q`", &q.ty()?.dims)?;
    if !rows.compatible(&n) || !columns.compatible(&n) {
        return type_error(format!("`q` is {n} by {n}, as `a`, not {rows} by {columns}"));
    }
    let twice = kron(a, a)?;
    solved(&(eye_like(&twice)? - twice), q)
}

/// `a`, `b`, `q` and `r` of a Riccati equation.
fn are_params() -> Vec<Param> {
    vec![Param::operand("a", "a square matrix, or a stack of them"), Param::operand("b", "matrices with as many rows"),
        Param::operand("q", "symmetric matrices as large as a"), Param::operand("r", "symmetric regular matrices, as many rows as b has columns")]
}

/// `b inv(r) b'`, of operands whose lengths fit.
fn weighted(arguments: &Arguments<'_>) -> Result<Var> {
    let [a, b, q, r] = [0, 1, 2, 3].map(|at| arguments.operand(at));
    let (a, b, q, r) = (a?, b?, q?, r?);
    let (_, n) = square("`a`", &a.ty()?.dims)?;
    let (_, rows, columns) = matrix("`b`", &b.ty()?.dims)?;
    let (_, of_q) = square("`q`", &q.ty()?.dims)?;
    let (_, of_r) = square("`r`", &r.ty()?.dims)?;
    if !rows.compatible(&n) || !of_q.compatible(&n) || !of_r.compatible(columns) {
        return type_error(format!("`a` and `q` are square with as many rows as `b`, `r` with as many as `b` has columns; they have \
            {n} and {of_q} rows, `b` {rows} and {columns}, `r` {of_r}"));
    }
    Ok(b.matmul(&r.solve(&b.swap_last())))
}

/// The stabilizing x with `x = a' x inv(1 + g x) a + q`. Each step of the doubling takes the equation to that of twice as
/// many steps of the system.
fn discrete_riccati(a: &Var, g: &Var, q: &Var) -> Result<Var> {
    let all = (a + g + q).zeros_like();
    let [a, g, q] = [a, g, q].map(|x| x + &all);
    let eye = eye_like(&q)?;
    // As many steps for all systems, so that stacks of them go together.
    let loops = Scan::new().steps(&Var::scalar(40i64)).state("a", &a).state("g", &g).state("h", &q).state("settled", &Var::scalar(false));
    let found = loops.run(|step| {
        let [a, g, h] = ["a", "g", "h"].map(|name| step.get(name));
        let inner = &eye + g.matmul(&h);
        let over_a = inner.solve(&a);
        let next = &h + a.swap_last().matmul(&h).matmul(&over_a);
        step.set("g", &(&g + a.matmul(&inner.solve(&g)).matmul(&a.swap_last())));
        step.set("a", &a.matmul(&over_a));
        step.set("h", &((&next + next.swap_last()) * 0.5));
        let [moved, size] = [&next - &h, next].map(|x| x.abs().sum(None));
        // What is a little off here is exact to rounding at the next step.
        step.set("settled", &moved.le(&(size * 1e-3)));
    });
    Ok(where_(&found.last("settled"), &found.last("h"), &Var::weak(f64::NAN)))
}

/// By the Cayley transform, which takes the stable half plane to the unit disc. Its parameter lies beyond all eigenvalues of
/// the equation's Hamiltonian matrix, so that every inverse exists.
fn continuous_riccati(a: &Var, g: &Var, q: &Var) -> Result<Var> {
    let size = |x: &Var| x.square().reduce_axes("sum", Some(&[-2, -1]), true).sqrt();
    let bound = 1.5 * (size(a) + (size(g) * size(q)).sqrt());
    let bound = where_(&bound.gt(&Var::weak(0.0)), &bound, &Var::weak(1.0));
    let bound = Var::apply("stop_gradient", &[bound], Attributes::new());
    let eye = eye_like(a)?;
    let shifted = a - &bound * &eye;
    let twice = 2.0 * &bound;
    let inner = &shifted + g.matmul(&shifted.swap_last().solve(q));
    let transposed = shifted.swap_last() + q.matmul(&shifted.solve(g));
    let start = &eye + &twice * inner.inv();
    let weight = &twice * shifted.solve(&(g.matmul(&transposed.inv())));
    let cost = &twice * transposed.solve(&q.matmul(&shifted.inv()));
    discrete_riccati(&start, &weight, &cost)
}

/// What stands along the last axis of diagonals and right sides has the same lengths before it, and its rows fit.
fn beside(n: &Dim, diagonals: &[(&Var, usize)], right: Option<&Var>) -> Result<()> {
    let last = |x: &Var| x.ty().map(|ty| ty.dims.last().cloned());
    let mut fits = n.known() != Some(0);
    let mut found = Vec::new();
    for (x, less) in diagonals {
        let Some(length) = last(x)? else { return type_error("diagonals stand along the last axis, but one of the operands is a scalar") };
        let wanted = n.known().map(|n| n.saturating_sub(*less));
        fits &= wanted.is_none_or(|wanted| length.known().is_none_or(|length| length == wanted));
        found.push(length.to_string());
    }
    if let Some(right) = right {
        let Some(rows) = last(right)? else { return type_error("right sides stand along the last axis, but `b` is a scalar") };
        fits &= rows.compatible(n);
        found.push(format!("`b` {rows}"));
    }
    if !fits {
        return type_error(format!("of {n} rows, which are 1 or more, the diagonals beside the main one have one element less for each \
            step from it and `b` as many; they have {}", found.join(", ")));
    }
    Ok(())
}

/// The number of rows of a matrix with this main diagonal.
fn rows_of(diagonal: &Var) -> Result<Dim> {
    match diagonal.ty()?.dims.last() {
        Some(n) => Ok(n.clone()),
        None => type_error("diagonals stand along the last axis, but one of the operands is a scalar"),
    }
}

/// 0 in the shape that operands have together before their last axis, with 1 in place of that.
fn zero_of_all(operands: &[&Var]) -> Option<Var> {
    let edge = |x: &&Var| x.zeros_like().reduce_axes("sum", Some(&[-1]), true);
    operands.iter().map(edge).reduce(|all, one| all + one)
}

/// The last axis as the first, behind the axes that all operands have together.
fn along(x: &Var, edge: &Var) -> Var {
    (x + edge).moveaxis(-1, 0)
}

/// Elimination row by row, the larger of two possible pivots first: LAPACK's `gttrf`. The factors are the multipliers,
/// the three diagonals of the upper triangle, and for each row the row that it changed places with.
fn tridiagonal_factors(lower: &Var, diagonal: &Var, upper: &Var) -> Result<[Var; 5]> {
    let n = rows_of(diagonal)?;
    beside(&n, &[(lower, 1), (upper, 1)], None)?;
    let Some(edge) = zero_of_all(&[lower, diagonal, upper]) else { return type_error("three diagonals are needed") };
    let [l, d, u] = [lower, diagonal, upper].map(|x| along(x, &edge));
    let rest = |x: &Var| x.slice(0, Some(1), None);
    let u = concatenate(&[u, d.slice(0, Some(-1), None).zeros_like()], 0);
    let at = positions(&length(&l, 0));
    let loops = Scan::new().sequence("l", &l).sequence("d", &rest(&d)).sequence("u", &rest(&u)).sequence("at", &at);
    let rows = loops.state("on", &d.at(0)).state("beside", &u.at(0)).run(|step| {
        let here = ["on", "beside"].map(|name| step.get(name));
        let next = ["l", "d", "u"].map(|name| step.get(name));
        let exchanged = next[0].abs().gt(&here[0].abs());
        let larger = |one: &Var, other: &Var| where_(&exchanged, other, one);
        let [pivot, pivot_beside] = [0, 1].map(|at| larger(&here[at], &next[at]));
        let beyond = larger(&here[0].zeros_like(), &next[2]);
        let factor = larger(&next[0], &here[0]) / &pivot;
        step.set("on", &(larger(&next[1], &here[1]) - &factor * &pivot_beside));
        step.set("beside", &(larger(&next[2], &here[0].zeros_like()) - &factor * &beyond));
        let place = step.get("at") + exchanged.cast(DType::I64);
        [factor, pivot, pivot_beside, beyond, place].iter().for_each(|value| step.give(value));
    });
    let last = rows.last("on").expand_dims(0);
    let behind = |x: Var| x.moveaxis(0, -1);
    let stay = (last.zeros_like().cast(DType::I64)) + length(&l, 0);
    Ok([
        behind(rows.stacked(0)), behind(concatenate(&[rows.stacked(1), last], 0)), behind(rows.stacked(2)),
        // Beside the last row of the loop there is nothing.
        behind(rows.stacked(3).slice(0, None, Some(-1))), behind(concatenate(&[rows.stacked(4), stay], 0)),
    ])
}

/// The solution of equations by the factors of their matrix: LAPACK's `gttrs`.
fn tridiagonal_solution(factors: [&Var; 5], b: &Var, transposed: bool) -> Result<Var> {
    let [lower, diagonal, upper, second, pivots] = factors;
    let n = rows_of(diagonal)?;
    beside(&n, &[(lower, 1), (upper, 1), (second, 2), (pivots, 0)], Some(b))?;
    whole(pivots)?;
    let exchanges = {
        let last = pivots.ty()?.rank() - 1;
        let places = pivots.cast(DType::I64);
        places.ne(&positions(&length(pivots, last))).slice(last, None, Some(-1)).cast(diagonal.ty()?.dtype)
    };
    let Some(edge) = zero_of_all(&[lower, diagonal, upper, second, b]) else { return type_error("factors are needed") };
    let edge = edge + exchanges.zeros_like().reduce_axes("sum", Some(&[-1]), true);
    let [l, d, u, second, right] = [lower, diagonal, upper, second, b].map(|x| along(x, &edge));
    let exchanges = along(&exchanges, &edge).gt(&Var::weak(0.0));
    let count = length(&d, 0);
    // 0 beside the last rows.
    let filled = |x: &Var| {
        let nothing = d.slice(0, None, Some(1)).zeros_like();
        concatenate(&[x.clone(), nothing.clone(), nothing], 0).slice_between(0, &Var::scalar(0i64), &count)
    };
    let (u, second) = (filled(&u), filled(&second));
    Ok(if transposed { transposed_rows([&l, &d, &u, &second, &exchanges], &right) } else { straight_rows([&l, &d, &u, &second, &exchanges], &right) })
}

/// By the multipliers and exchanges from the first row on, and then by the upper triangle from the last.
fn straight_rows([l, d, u, second, exchanges]: [&Var; 5], right: &Var) -> Var {
    let loops = Scan::new().sequence("l", l).sequence("exchanged", exchanges).sequence("r", &right.slice(0, Some(1), None));
    let rows = loops.state("right", &right.at(0)).run(|step| {
        let [here, next, exchanged] = ["right", "r", "exchanged"].map(|name| step.get(name));
        let (first, other) = (where_(&exchanged, &next, &here), where_(&exchanged, &here, &next));
        step.set("right", &(other - step.get("l") * &first));
        step.give(&first);
    });
    let right = concatenate(&[rows.stacked(0), rows.last("right").expand_dims(0)], 0);
    let zero = d.at(0).zeros_like();
    let back = Scan::new().sequence("pivot", &d.flip(0)).sequence("beside", &u.flip(0)).sequence("beyond", &second.flip(0));
    let found = back.sequence("right", &right.flip(0)).state("x", &zero).state("before", &zero).run(|step| {
        let (x, before) = (step.get("x"), step.get("before"));
        let now = (step.get("right") - step.get("beside") * &x - step.get("beyond") * &before) / step.get("pivot");
        step.set("before", &x);
        step.set("x", &now);
        step.give(&now);
    });
    found.stacked(0).flip(0).moveaxis(0, -1)
}

/// The same of the transposed matrix: by its lower triangle from the first row on, and then by the multipliers and
/// exchanges from the last.
fn transposed_rows([l, d, u, second, exchanges]: [&Var; 5], right: &Var) -> Var {
    let zero = d.at(0).zeros_like();
    let loops = Scan::new().sequence("pivot", d).sequence("beside", u).sequence("beyond", second).sequence("right", right);
    // What each row leaves to the next and to the one behind that.
    let rows = loops.state("next", &zero).state("after", &zero).run(|step| {
        let x = (step.get("right") - step.get("next")) / step.get("pivot");
        step.set("next", &(step.get("after") + step.get("beside") * &x));
        step.set("after", &(step.get("beyond") * &x));
        step.give(&x);
    });
    let found = rows.stacked(0).flip(0);
    let back = Scan::new().sequence("l", &l.flip(0)).sequence("exchanged", &exchanges.flip(0)).sequence("r", &found.slice(0, Some(1), None));
    let rows = back.state("x", &found.at(0)).run(|step| {
        let (behind, exchanged) = (step.get("x"), step.get("exchanged"));
        let here = step.get("r") - step.get("l") * &behind;
        step.set("x", &where_(&exchanged, &behind, &here));
        step.give(&where_(&exchanged, &here, &behind));
    });
    concatenate(&[rows.stacked(0), rows.last("x").expand_dims(0)], 0).flip(0).moveaxis(0, -1)
}

fn tridiagonal(lower: &Var, diagonal: &Var, upper: &Var, b: &Var) -> Result<Var> {
    let n = rows_of(diagonal)?;
    beside(&n, &[(lower, 1), (upper, 1)], Some(b))?;
    let factors = tridiagonal_factors(lower, diagonal, upper)?;
    tridiagonal_solution(factors.each_ref(), b, false)
}

fn lu_factor(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let x = a.operand(0)?;
    square("`a`", &x.ty()?.dims)?;
    let factors = Var::apply("lu", std::slice::from_ref(x), Attributes::new()).siblings();
    let [p, l, u] = factors.as_slice() else { return type_error("three factors are needed") };
    // Which row of a stands at each place: that of the 1 in each column of p.
    let rows = Var::apply("argmax", std::slice::from_ref(p), Attributes::new().with("axis", -2i64));
    Ok(vec![l.tril(-1) + u, pivots_of(&rows)?])
}

/// What stands at a place along the last axis; the place has the axes before it.
fn picked(x: &Var, place: &Var) -> Var {
    x.take_along_axis(&place.expand_dims(-1), -1).squeeze(-1)
}

/// `x` with what stands at two places exchanged.
fn exchange(x: &Var, first: &Var, second: &Var, all: &Var) -> Var {
    let at = |place: &Var| all.eq(&place.expand_dims(-1));
    let (one, other) = (picked(x, first).expand_dims(-1), picked(x, second).expand_dims(-1));
    where_(&at(first), &other, &where_(&at(second), &one, x))
}

/// The whole numbers from 0 on along the last axis, in the shape of `x`.
fn counted(x: &Var) -> Result<(Var, Var)> {
    let all = positions(&length(x, x.ty()?.rank() - 1));
    Ok((all.broadcast_to_var(&x.shape()), all))
}

/// The exchanges, from the first row on, that give an order of rows.
fn pivots_of(rows: &Var) -> Result<Var> {
    let (start, all) = counted(rows)?;
    let loops = Scan::new().sequence("wanted", &rows.moveaxis(-1, 0)).sequence("at", &all).state("order", &start);
    let pivots = loops.run(|step| {
        let (wanted, order) = (step.get("wanted"), step.get("order"));
        let found = order.eq(&wanted.expand_dims(-1)).cast(DType::I64);
        let found = Var::apply("argmax", &[found], Attributes::new().with("axis", -1i64));
        let place = step.get("at").broadcast_to_var(&found.shape());
        step.set("order", &exchange(&order, &place, &found, &all));
        step.give(&found);
    });
    Ok(pivots.stacked(0).moveaxis(0, -1))
}

/// The order of rows that exchanges make.
fn exchanged(pivots: &Var) -> Result<Var> {
    if pivots.ty()?.rank() == 0 {
        return type_error("pivots are a vector, or stand along the last axis, but this is a scalar");
    }
    let pivots = pivots.cast(DType::I64);
    let (start, all) = counted(&pivots)?;
    let loops = Scan::new().sequence("pivot", &pivots.moveaxis(-1, 0)).sequence("at", &all).state("order", &start);
    let order = loops.run(|step| {
        let pivot = step.get("pivot");
        let place = step.get("at").broadcast_to_var(&pivot.shape());
        step.set("order", &exchange(&step.get("order"), &place, &pivot, &all));
    });
    Ok(order.last("order"))
}

fn lu_solve(a: &Arguments<'_>) -> Result<Vec<Var>> {
    let (lu, pivots, b) = (a.operand(0)?, a.operand(1)?, a.operand(2)?);
    square("`lu`", &lu.ty()?.dims)?;
    whole(pivots)?;
    if pivots.ty()?.rank() + 1 != lu.ty()?.rank() {
        return type_error(format!("pivots have one axis less than `lu`, but these are {} and {}", pivots.ty()?, lu.ty()?));
    }
    let triangle = |b: &Var, lower: bool, transposed: bool| {
        let attributes = Attributes::new().with("lower", lower).with("unit_diagonal", lower).with("trans", i64::from(transposed));
        Var::apply("solve_triangular", &[lu.clone(), b.clone()], attributes)
    };
    let is_vector = b.ty()?.rank() == 1;
    let b = if is_vector { b.expand_dims(-1) } else { b.clone() };
    let order = exchanged(pivots)?;
    let rows = |x: &Var, order: &Var| x.take_along_axis(&order.expand_dims(-1), -2);
    let x = match a.attributes.int("trans")? {
        0 => triangle(&triangle(&rows(&b, &order), true, false), false, false),
        1 | 2 => {
            let y = triangle(&triangle(&b, false, true), true, true);
            rows(&y, &Var::apply("argsort", &[order], Attributes::new()))
        }
        other => return type_error(format!("`trans` is 0, 1 or 2, not {other}")),
    };
    Ok(vec![if is_vector { x.squeeze(-1) } else { x }])
}
