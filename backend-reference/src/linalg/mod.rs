//! Linear algebra on stacks of matrices, each by itself: factorizations are `faer`'s, on one thread so that results do not
//! depend on their number. Everything is computed in `f64` and rounded once.

mod direct;
mod factored;
mod general;
mod matrices;
mod reorder;
mod spectral;

use arignote_core::Result;
use arignote_core::ops::Attribute;
use arignote_core::tensor::{DType, Tensor, Type};

use crate::kernel::{Function, KernelCall};
use crate::values::{fail, from_floats};
use direct::{Factors, Triangle, by_factors, cholesky, corrected, lu, substitute};
use matrices::{Matrix, Stack, named, pairs};
use reorder::{Wanted, ordered_qz};

/// The kernel of an op of the family.
pub fn kernel(op: &str) -> Option<Function> {
    Some(match op {
        "cholesky" => |call| {
            let or_nan = call.attributes.str("on_error")? == "nan";
            mapped(call, |a| match cholesky(a) {
                Err(_) if or_nan => {
                    let below = |at: usize| if at / a.columns >= at % a.columns { f64::NAN } else { 0.0 };
                    Ok(vec![(0..a.rows * a.columns).map(below).collect()])
                }
                factor => Ok(vec![factor?.values]),
            })
        },
        "inv" => |call| mapped(call, |a| Ok(vec![solved(a, Matrix::identity(a.rows), "gen")?.values])),
        "det" => |call| mapped(call, |a| Ok(vec![vec![determinant(a).0]])),
        "slogdet" => |call| {
            mapped(call, |a| {
                let (_, sign, log) = determinant(a);
                Ok(vec![vec![sign], vec![log]])
            })
        },
        "adjugate" => |call| mapped(call, |a| Ok(vec![adjugate(a)?.values])),
        "solve" => |call| {
            let kind = call.attributes.str("assume_a")?.to_owned();
            solve_all(call, move |a, b| solved(a, b, &kind))
        },
        "factorize" => factored::factorize,
        "solve_by_factors" => factored::solve_by_factors,
        "solve_triangular" => |call| {
            let triangle = Triangle {
                lower: call.attributes.bool("lower")?,
                transposed: call.attributes.int("trans")? != 0,
                unit: call.attributes.bool("unit_diagonal")?,
            };
            solve_all(call, move |a, b| substitute(a, b, triangle))
        },
        "lu" => |call| {
            any(call, |m, n| vec![vec![m, m], vec![m, m.min(n)], vec![m.min(n), n]], |a| Ok(factored(a)))
        },
        "qr" => |call| {
            let mode = call.attributes.str("mode")?;
            let own = |m: usize, n: usize| match mode {
                "complete" => vec![vec![m, m], vec![m, n]],
                "r" => vec![vec![m.min(n), n]],
                _ => vec![vec![m, m.min(n)], vec![m.min(n), n]],
            };
            any(call, own, |a| {
                let least = a.rows.min(a.columns);
                let (q, r) = spectral::qr(a, if mode == "complete" { a.rows } else { least });
                let r = if mode == "complete" { r } else { r.top(least) };
                Ok(if mode == "r" { vec![r.values] } else { vec![q.values, r.values] })
            })
        },
        "svd" => |call| {
            let (full, vectors) = (call.attributes.bool("full_matrices")?, call.attributes.bool("compute_uv")?);
            let own = |m: usize, n: usize| match (vectors, full) {
                (false, _) => vec![vec![m.min(n)]],
                (true, true) => vec![vec![m, m], vec![m.min(n)], vec![n, n]],
                (true, false) => vec![vec![m, m.min(n)], vec![m.min(n)], vec![m.min(n), n]],
            };
            any(call, own, |a| {
                let (u, s, vt) = spectral::singular(a, full && vectors)?;
                Ok(if vectors { vec![u.values, s, vt.values] } else { vec![s] })
            })
        },
        "eigh" => |call| {
            let lower = call.attributes.str("UPLO")? == "L";
            need_square(call)?;
            any(call, |n, _| vec![vec![n], vec![n, n]], |a| {
                let (values, vectors) = spectral::symmetric(&if lower { a.clone() } else { a.transposed() })?;
                Ok(vec![values, vectors.values])
            })
        },
        "eig" => |call| {
            need_square(call)?;
            any(call, |n, _| vec![vec![n, 2], vec![n, n, 2]], |a| {
                let (values, vectors) = general::eigen(a)?;
                Ok(vec![values, vectors])
            })
        },
        "schur" => |call| {
            mapped(call, |a| {
                let (t, z) = general::schur(a)?;
                Ok(vec![t.values, z.values])
            })
        },
        "qz" => |call| {
            on_pairs(call, |n| vec![vec![n, n]; 4], |a, b| Ok(general::qz(a, b)?.map(|part| part.values).into()))
        },
        "ordqz" => |call| {
            let sort = call.attributes.str("sort")?;
            let Some(wanted) = Wanted::named(sort) else { return Err(fail(format!("`sort` is unknown: {sort:?}"))) };
            let own = |n: usize| vec![vec![n, n], vec![n, n], vec![n, 2], vec![n], vec![n, n], vec![n, n]];
            on_pairs(call, own, |a, b| Ok(ordered_qz(a, b, wanted)?.into()))
        },
        "pinv" => |call| {
            let given = if call.attributes.get("rcond") == Some(&Attribute::None) { None } else { Some(call.attributes.float("rcond")?) };
            let epsilon = match call.dtype()? {
                DType::F16 => 2f64.powi(-10),
                DType::BF16 => 2f64.powi(-7),
                DType::F32 => f32::EPSILON.into(),
                _ => f64::EPSILON,
            };
            any(call, |m, n| vec![vec![n, m]], |a| {
                let cutoff = given.unwrap_or(epsilon * a.rows.max(a.columns) as f64);
                Ok(vec![spectral::pseudo_inverse(a, cutoff)?.values])
            })
        },
        "expm" => |call| mapped(call, |a| Ok(vec![spectral::exponential(a)?.values])),
        _ => return None,
    })
}

fn need_square(call: &KernelCall<'_>) -> Result<()> {
    match call.operand(0)?.shape() {
        [.., rows, columns] if rows != columns => {
            Err(fail(format!("the matrices must be square, not of {rows} rows and {columns} columns")))
        }
        _ => Ok(()),
    }
}

/// The factors of `p l u`.
fn factored(a: &Matrix) -> Vec<Vec<f64>> {
    let (m, n, k) = (a.rows, a.columns, a.rows.min(a.columns));
    let factors = lu(a);
    let (mut p, mut l, mut u) = (Matrix::zeros(m, m), Matrix::zeros(m, k), Matrix::zeros(k, n));
    for (row, &from) in factors.order.iter().enumerate() {
        *p.at_mut(from, row) = 1.0;
        for column in 0..n {
            let value = factors.values.at(row, column);
            match column < row {
                true => *l.at_mut(row, column) = value,
                false => *u.at_mut(row, column) = value,
            }
        }
        if row < k {
            *l.at_mut(row, row) = 1.0;
        }
    }
    vec![p.values, l.values, u.values]
}

/// What is computed of each square matrix of the first operand: a number or a matrix per result.
fn mapped(call: &KernelCall<'_>, f: impl Fn(&Matrix) -> Result<Vec<Vec<f64>>>) -> Result<Vec<Tensor>> {
    need_square(call)?;
    let rank = call.operand(0)?.rank();
    let own = |rows: usize, columns: usize| {
        let of = |ty: &Type| if ty.rank() == rank { vec![rows, columns] } else { Vec::new() };
        call.results.iter().map(of).collect()
    };
    any(call, own, f)
}

/// What is computed of each matrix of the first operand: one list of elements per result, whose own axes
/// follow from the matrices' lengths.
fn any(
    call: &KernelCall<'_>, own: impl Fn(usize, usize) -> Vec<Vec<usize>>, f: impl Fn(&Matrix) -> Result<Vec<Vec<f64>>>,
) -> Result<Vec<Tensor>> {
    let a = Stack::of(&call.as_result(0)?)?;
    let mut lists: Vec<Vec<f64>> = vec![Vec::new(); call.results.len()];
    for number in 0..a.count() {
        let parts = f(&a.matrix(number)).map_err(|error| named(&error, &a.batch, number))?;
        lists.iter_mut().zip(parts).for_each(|(list, part)| list.extend(part));
    }
    let shapes = own(a.rows, a.columns).into_iter().map(|own| [a.batch.as_slice(), &own].concat());
    call.results.iter().zip(lists).zip(shapes).map(|((ty, list), shape)| from_floats(ty.dtype, list, &shape)).collect()
}

/// What is computed of each pair of square matrices: one list of elements per result, whose own axes follow from
/// the matrices' length.
fn on_pairs(
    call: &KernelCall<'_>, own: impl Fn(usize) -> Vec<Vec<usize>>, f: impl Fn(&Matrix, &Matrix) -> Result<Vec<Vec<f64>>>,
) -> Result<Vec<Tensor>> {
    let [a, b] = [Stack::of(&call.as_result(0)?)?, Stack::of(&call.as_result(1)?)?];
    if [a.columns, b.rows, b.columns] != [a.rows; 3] {
        let shape = |of: &Stack| format!("{} by {}", of.rows, of.columns);
        return Err(fail(format!("the matrices must be square and as large, not {} and {}", shape(&a), shape(&b))));
    }
    let (batch, pairs) = pairs(&a, &b)?;
    let mut lists: Vec<Vec<f64>> = vec![Vec::new(); call.results.len()];
    for (number, (left, right)) in pairs.into_iter().enumerate() {
        let parts = f(&a.matrix(left), &b.matrix(right)).map_err(|error| named(&error, &batch, number))?;
        lists.iter_mut().zip(parts).for_each(|(list, part)| list.extend(part));
    }
    let shapes = own(a.rows).into_iter().map(|own| [batch.as_slice(), &own].concat());
    call.results.iter().zip(lists).zip(shapes).map(|((ty, list), shape)| from_floats(ty.dtype, list, &shape)).collect()
}

/// Solutions for all pairs of a matrix and a right side.
fn solve_all(call: &KernelCall<'_>, f: impl Fn(&Matrix, Matrix) -> Result<Matrix>) -> Result<Vec<Tensor>> {
    let (a, b) = (Stack::of(&call.as_result(0)?)?, call.as_result(1)?);
    let vector = b.rank() == 1;
    let right = if vector { Stack::column(&b) } else { Stack::of(&b)? };
    if a.rows != a.columns || right.rows != a.rows {
        let message = format!("a matrix of {} rows and {} columns, a right side of {} rows", a.rows, a.columns, right.rows);
        return Err(fail(message));
    }
    let (batch, pairs) = pairs(&a, &right)?;
    let mut values = Vec::new();
    for (number, (left, side)) in pairs.into_iter().enumerate() {
        let x = f(&a.matrix(left), right.matrix(side)).map_err(|error| named(&error, &batch, number))?;
        values.extend(x.values);
    }
    let own: &[usize] = if vector { &[a.rows] } else { &[a.rows, right.columns] };
    Ok(vec![from_floats(call.dtype()?, values, &[batch.as_slice(), own].concat())?])
}

/// The solution of `a x = b` for a general, symmetric or positive definite matrix. What is assumed to be positive definite
/// and is not finite has no factor, and the solution that any symmetric matrix like it has.
fn solved(a: &Matrix, b: Matrix, kind: &str) -> Result<Matrix> {
    if kind == "pos" && a.is_finite_below() {
        return solved_by_cholesky(a, &cholesky(a)?, &b);
    }
    let mirrored = if kind == "gen" { None } else { Some(a.mirrored()) };
    let a = mirrored.as_ref().unwrap_or(a);
    solved_by_lu(a, &lu(a), &b)
}

/// The solution of `a x = b` by the lower triangular factor of `a`, of which the lower triangle is read.
fn solved_by_cholesky(a: &Matrix, factor: &Matrix, b: &Matrix) -> Result<Matrix> {
    let triangle = Triangle { lower: true, transposed: false, unit: false };
    let solve = |b: &Matrix| {
        let half = substitute(factor, b.clone(), triangle)?;
        substitute(factor, half, Triangle { transposed: true, ..triangle })
    };
    let x = solve(b)?;
    corrected(&a.mirrored(), b, x, solve)
}

/// The solution of `a x = b` by the factors of `a`.
fn solved_by_lu(a: &Matrix, factors: &Factors, b: &Matrix) -> Result<Matrix> {
    if (0..a.rows).any(|i| factors.values.at(i, i) == 0.0) {
        return Err(fail("is singular"));
    }
    let solve = |b: &Matrix| by_factors(factors, b);
    let x = solve(b)?;
    corrected(a, b, x, solve)
}

/// Determinant, its sign, and the logarithm of its magnitude.
fn determinant(a: &Matrix) -> (f64, f64, f64) {
    determinant_of(&lu(a))
}

/// The same by the factors of a matrix.
fn determinant_of(factors: &Factors) -> (f64, f64, f64) {
    let (mut product, mut sign, mut log) = (factors.sign, factors.sign, 0.0);
    for i in 0..factors.values.rows {
        let pivot = factors.values.at(i, i);
        product *= pivot;
        sign *= if pivot.is_nan() { pivot } else if pivot == 0.0 { 0.0 } else { pivot.signum() };
        log += libm::log(pivot.abs());
    }
    (product, sign, log)
}

/// The transposed matrix of cofactors, which of orthogonal matrices are their own elements and the sign, and
/// of a diagonal one the products of the others: right for singular matrices, unlike the inverse.
fn adjugate(a: &Matrix) -> Result<Matrix> {
    let n = a.rows;
    let (u, s, vt) = spectral::singular(a, true)?;
    let sign = determinant(&u).1 * determinant(&vt).1;
    let others: Vec<f64> = (0..n).map(|i| (0..n).filter(|&j| j != i).map(|j| s[j]).product()).collect();
    let mut result = Matrix::zeros(n, n);
    for row in 0..n {
        for column in 0..n {
            let sum: f64 = (0..n).map(|k| vt.at(k, row) * others[k] * u.at(column, k)).sum();
            *result.at_mut(row, column) = sign * sum;
        }
    }
    Ok(result)
}
