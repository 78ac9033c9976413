//! A factorization by itself, and solutions by it: the same numbers as those of the ops that do both at once.

use arignote_core::Result;
use arignote_core::tensor::{DType, Tensor};

use super::direct::{Factors, by_factors_of_transposed, cholesky, corrected, lu};
use super::matrices::{Matrix, Stack, named, pairs};
use super::{determinant_of, need_square, solved, solved_by_cholesky, solved_by_lu};
use crate::kernel::KernelCall;
use crate::values::{fail, floats, from_floats, from_integers};

/// `factorize`
pub fn factorize(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    need_square(call)?;
    let (a, kind) = (Stack::of(&call.as_result(0)?)?, call.attributes.str("assume_a")?);
    let (mut packed, mut order) = (Vec::new(), Vec::new());
    let mut numbers = [Vec::new(), Vec::new(), Vec::new()];
    for number in 0..a.count() {
        let (factors, (det, sign, log)) = factors_of(&a.matrix(number), kind).map_err(|error| named(&error, &a.batch, number))?;
        packed.extend(factors.values.values);
        order.extend(factors.order.into_iter().map(|row| row as i128));
        numbers.iter_mut().zip([det, sign, log]).for_each(|(list, value)| list.push(value));
    }
    let shape = |own: &[usize]| [a.batch.as_slice(), own].concat();
    let mut results = vec![
        from_floats(DType::F64, packed, &shape(&[a.rows, a.rows]))?,
        from_integers(DType::I64, order, &shape(&[a.rows]))?,
    ];
    for (ty, values) in call.results[2..].iter().zip(numbers) {
        results.push(from_floats(ty.dtype, values, &a.batch)?);
    }
    Ok(results)
}

/// The factors of a matrix, and its determinant, the sign of that, and its logarithm. What is not finite has no Cholesky
/// factor: it is factorized as any symmetric matrix, and [`by`] does not take that for more than a mark.
fn factors_of(a: &Matrix, kind: &str) -> Result<(Factors, (f64, f64, f64))> {
    if kind == "pos" && a.is_finite_below() {
        let values = cholesky(a)?;
        let numbers = of_cholesky(&values);
        return Ok((Factors { values, order: (0..a.rows).collect(), sign: 1.0 }, numbers));
    }
    let factors = if kind == "gen" { lu(a) } else { lu(&a.mirrored()) };
    let numbers = determinant_of(&factors);
    Ok((factors, numbers))
}

/// Determinant, its sign, and its logarithm, of a positive definite matrix with this factor.
fn of_cholesky(factor: &Matrix) -> (f64, f64, f64) {
    let diagonal = || (0..factor.rows).map(|i| factor.at(i, i));
    let root: f64 = diagonal().product();
    (root * root, 1.0, 2.0 * diagonal().map(libm::log).sum::<f64>())
}

/// `solve_by_factors`
pub fn solve_by_factors(call: &KernelCall<'_>) -> Result<Vec<Tensor>> {
    let (a, b) = (Stack::of(&call.as_result(0)?)?, call.as_result(3)?);
    let (packed, order) = (Stack::of(call.operand(1)?)?, floats(call.operand(2)?));
    let (kind, transposed) = (call.attributes.str("assume_a")?, call.attributes.int("trans")? != 0);
    let right = if b.rank() == 1 { Stack::column(&b) } else { Stack::of(&b)? };
    if a.rows != a.columns || right.rows != a.rows {
        let message = format!("a matrix of {} rows and {} columns, a right side of {} rows", a.rows, a.columns, right.rows);
        return Err(fail(message));
    }
    if packed.batch != a.batch || [packed.rows, packed.columns] != [a.rows; 2] || order.len() != a.count() * a.rows {
        return Err(fail("the factors are those of other matrices"));
    }
    let (batch, pairs) = pairs(&a, &right)?;
    let mut values = Vec::new();
    for (number, (left, side)) in pairs.into_iter().enumerate() {
        let rows = order[left * a.rows..][..a.rows].iter().map(|&row| row as usize).collect();
        let factors = Factors { values: packed.matrix(left), order: rows, sign: 1.0 };
        let x = by(&a.matrix(left), factors, right.matrix(side), kind, transposed);
        values.extend(x.map_err(|error| named(&error, &batch, number))?.values);
    }
    let own: &[usize] = if b.rank() == 1 { &[a.rows] } else { &[a.rows, right.columns] };
    Ok(vec![from_floats(call.dtype()?, values, &[batch.as_slice(), own].concat())?])
}

fn by(a: &Matrix, factors: Factors, b: Matrix, kind: &str, transposed: bool) -> Result<Matrix> {
    let mut seen = vec![false; a.rows];
    if factors.order.iter().any(|&row| seen.get_mut(row).is_none_or(|seen| std::mem::replace(seen, true))) {
        return Err(fail("has no such order of rows"));
    }
    match kind {
        "pos" if a.is_finite_below() => return solved_by_cholesky(a, &factors.values, &b),
        "pos" => return solved(a, b, kind),
        "sym" => return solved_by_lu(&a.mirrored(), &factors, &b),
        _ if !transposed => return solved_by_lu(a, &factors, &b),
        _ => {}
    }
    let turned = a.transposed();
    // The transposed matrix has other pivots: where these overflow or are 0, its own need not be.
    if (0..a.rows).all(|i| factors.values.at(i, i) != 0.0) && factors.values.values.iter().all(|value| value.is_finite()) {
        let solve = |b: &Matrix| by_factors_of_transposed(&factors, b);
        let x = corrected(&turned, &b, solve(&b)?, solve)?;
        if x.values.iter().all(|value| value.is_finite()) {
            return Ok(x);
        }
    }
    solved(&turned, b, "gen")
}
