//! Solutions of linear equations. `faer` adds in an order of its own, which alone takes solutions some 20 units in the last place
//! away where matrices are far from regular; so each solution with a whole matrix is corrected once, by what is left of the
//! right side (Wilkinson, Rounding errors in algebraic processes, 1963).

use std::borrow::Cow;
use std::sync::OnceLock;

use arignote_core::tensor::{DType, broadcast_shapes};
use arignote_core::Result;
use faer::linalg::triangular_solve;
use faer::{Mat, MatMut, MatRef, Par};

use super::factors::{Factors, Kind, is_finite};
use super::rest::rest;
use super::{Stack, fail, named, of_each, written};
use crate::buffer::{View, ViewMut};
use crate::kernels::elementwise::broadcast_strides;
use crate::kernels::{Call, Context};

/// Columns of a right side that one thread solves for.
const COLUMNS: usize = 128;

/// What solves equations with one matrix, whose right sides it overwrites.
trait Solver: Send + Sync {
    fn solve(&self, x: MatMut<'_, f64>);
}

/// A matrix and its factors.
struct Factorized {
    a: Mat<f64>,
    factors: Factors,
    /// Whether `a` is the transpose of what has these factors.
    transposed: bool,
    /// The transpose by its own factors, where the others overflow or are singular: its pivots are others.
    own: OnceLock<Result<Box<Factorized>>>,
}

impl Factorized {
    fn new(a: Mat<f64>, factors: Factors, transposed: bool) -> Result<Factorized> {
        let solver = Factorized { a, factors, transposed, own: OnceLock::new() };
        // Now, and not when a part of the right side asks for it, as this can fail.
        if transposed && !(solver.is_regular() && is_finite(&solver.factors.values)) {
            solver.own()?;
        } else if !transposed && !solver.is_regular() {
            return Err(fail("is singular".into()));
        }
        Ok(solver)
    }

    fn of(a: MatRef<'_, f64>, kind: Kind) -> Result<Factorized> {
        let a = kind.whole(a);
        let factors = Factors::of(&a, kind)?;
        Factorized::new(a, factors, false)
    }

    fn is_regular(&self) -> bool {
        (0..self.a.nrows()).all(|i| self.factors.values[(i, i)] != 0.0)
    }

    fn own(&self) -> Result<&Factorized> {
        match self.own.get_or_init(|| Factorized::of(self.a.as_ref(), Kind::General).map(Box::new)) {
            Ok(own) => Ok(own),
            Err(error) => Err(error.clone()),
        }
    }

    /// By the factors alone.
    fn by_factors(&self, b: MatRef<'_, f64>) -> Mat<f64> {
        let (values, order) = (self.factors.values.as_ref(), &self.factors.order);
        if self.factors.by_cholesky {
            let mut x = b.to_owned();
            triangular_solve::solve_lower_triangular_in_place(values, x.as_mut(), Par::Seq);
            triangular_solve::solve_upper_triangular_in_place(values.transpose(), x.as_mut(), Par::Seq);
            return x;
        }
        if !self.transposed {
            let mut x = Mat::from_fn(b.nrows(), b.ncols(), |i, j| b[(order[i], j)]);
            triangular_solve::solve_unit_lower_triangular_in_place(values, x.as_mut(), Par::Seq);
            triangular_solve::solve_upper_triangular_in_place(values, x.as_mut(), Par::Seq);
            return x;
        }
        let mut half = b.to_owned();
        triangular_solve::solve_lower_triangular_in_place(values.transpose(), half.as_mut(), Par::Seq);
        triangular_solve::solve_unit_upper_triangular_in_place(values.transpose(), half.as_mut(), Par::Seq);
        let mut x = Mat::zeros(b.nrows(), b.ncols());
        for (i, &row) in order.iter().enumerate() {
            (0..b.ncols()).for_each(|j| x[(row, j)] = half[(i, j)]);
        }
        x
    }
}

impl Solver for Factorized {
    fn solve(&self, mut x: MatMut<'_, f64>) {
        if let Some(Ok(own)) = self.own.get() {
            return own.solve(x);
        }
        let b = x.as_ref().to_owned();
        let mut found = self.by_factors(b.as_ref());
        if self.transposed && !is_finite(&found) && let Ok(own) = self.own() {
            return own.solve(x);
        }
        let left = rest(&self.a, found.as_ref(), b.as_ref());
        let step = self.by_factors(left.as_ref());
        for column in 0..b.ncols() {
            let all_finite = |a: &Mat<f64>| a.col_as_slice(column).iter().all(|value| value.is_finite());
            // What is not finite stays.
            if all_finite(&found) && all_finite(&left) && all_finite(&step) {
                found.col_as_slice_mut(column).iter_mut().zip(step.col_as_slice(column)).for_each(|(x, step)| *x += step);
            }
        }
        x.copy_from(&found);
    }
}

/// One triangle of a matrix.
struct Triangle<'a> {
    a: MatRef<'a, f64>,
    lower: bool,
    unit: bool,
}

impl Solver for Triangle<'_> {
    fn solve(&self, x: MatMut<'_, f64>) {
        match (self.lower, self.unit) {
            (true, false) => triangular_solve::solve_lower_triangular_in_place(self.a, x, Par::Seq),
            (true, true) => triangular_solve::solve_unit_lower_triangular_in_place(self.a, x, Par::Seq),
            (false, false) => triangular_solve::solve_upper_triangular_in_place(self.a, x, Par::Seq),
            (false, true) => triangular_solve::solve_unit_upper_triangular_in_place(self.a, x, Par::Seq),
        }
    }
}

/// All pairs of a matrix and a right side.
struct Equations<'a> {
    right: Stack<'a>,
    batch: Vec<usize>,
    /// The numbers of matrix and right side of each pair.
    pairs: Vec<[usize; 2]>,
}

impl<'a> Equations<'a> {
    fn of(a: &Stack<'_>, b: View<'a>) -> Result<Equations<'a>> {
        let right = match *b.shape {
            [rows] => Stack { batch: &[], rows, columns: 1, values: b.cast(DType::F64) },
            _ => Stack::of(b)?,
        };
        if a.rows != a.columns || right.rows != a.rows {
            let message = format!("a matrix of {} rows and {} columns, a right side of {} rows", a.rows, a.columns, right.rows);
            return Err(fail(message));
        }
        let batch = broadcast_shapes(a.batch, right.batch)?.to_vec();
        let steps = [a.batch, right.batch].map(|own| broadcast_strides(own, &batch));
        let place = |steps: &Option<Vec<usize>>, number: usize| match steps {
            None => number,
            Some(steps) => {
                let (mut rest, mut at) = (number, 0);
                for axis in (0..batch.len()).rev() {
                    at += rest % batch[axis] * steps[axis];
                    rest /= batch[axis];
                }
                at
            }
        };
        let pairs = (0..batch.iter().product()).map(|number| [0, 1].map(|which| place(&steps[which], number))).collect();
        Ok(Equations { right, batch, pairs })
    }

    /// The solutions, by what solves with each matrix; the error of the first pair whose matrix has none.
    fn solve<S: Solver>(&self, context: &Context<'_>, result: &mut ViewMut<'_>, solvers: &[Result<S>]) -> Result<()> {
        let pairs = self.pairs.iter().enumerate().map(|(number, &[matrix, side])| match &solvers[matrix] {
            Ok(solver) => Ok((solver, side)),
            Err(error) => Err(named(error, &self.batch, number)),
        });
        let pairs = pairs.collect::<Result<Vec<(&S, usize)>>>()?;
        let (rows, columns) = (self.right.rows, self.right.columns);
        let size = rows * columns;
        written(result, |out| {
            let parts = pairs.iter().zip(out.chunks_exact_mut(size.max(1))).flat_map(|(&(solver, side), out)| {
                out.copy_from_slice(&self.right.values[side * size..][..size]);
                split(MatMut::from_row_major_slice_mut(out, rows, columns)).map(move |part| (solver, part))
            });
            solve_parts(context, parts.collect());
            Ok(())
        })
    }
}

/// Parts of so many columns as one thread solves for.
fn split(whole: MatMut<'_, f64>) -> impl Iterator<Item = MatMut<'_, f64>> {
    let mut rest = Some(whole);
    std::iter::from_fn(move || {
        let whole = rest.take()?;
        if whole.ncols() <= COLUMNS {
            return Some(whole);
        }
        let (part, after) = whole.split_at_col_mut(COLUMNS);
        rest = Some(after);
        Some(part)
    })
}

fn solve_parts<S: Solver>(context: &Context<'_>, mut parts: Vec<(&S, MatMut<'_, f64>)>) {
    context.chunks(&mut parts, 1, &|_, part| {
        for (solver, part) in part {
            // By columns, in which `faer` and `rest` go on.
            let mut x = part.as_ref().to_owned();
            solver.solve(x.as_mut());
            part.copy_from(&x);
        }
    });
}

/// `solve`
pub fn solve(call: &mut Call<'_, '_>) -> Result<()> {
    let (a, b, kind) = (Stack::of(call.operand(0)?)?, call.operand(1)?, Kind::of(call)?);
    let equations = Equations::of(&a, b)?;
    let solvers = of_each(call.context, a.count(), &|number| Factorized::of(a.matrix(number), kind));
    equations.solve(call.context, &mut call.results[0], &solvers)
}

/// `inv`
pub fn inv(call: &mut Call<'_, '_>) -> Result<()> {
    let a = Stack::square(call.operand(0)?)?;
    let n = a.rows;
    let solvers = of_each(call.context, a.count(), &|number| {
        Factorized::of(a.matrix(number), Kind::General).map_err(|error| named(&error, a.batch, number))
    });
    let solvers = solvers.into_iter().collect::<Result<Vec<Factorized>>>()?;
    let context = call.context;
    written(&mut call.results[0], |out| {
        let parts = solvers.iter().zip(out.chunks_exact_mut((n * n).max(1))).flat_map(|(solver, out)| {
            let mut whole = MatMut::from_row_major_slice_mut(out, n, n);
            whole.fill(0.0);
            (0..n).for_each(|i| whole[(i, i)] = 1.0);
            split(whole).map(move |part| (solver, part))
        });
        solve_parts(context, parts.collect());
        Ok(())
    })
}

/// `solve_by_factors`
pub fn solve_by_factors(call: &mut Call<'_, '_>) -> Result<()> {
    let (a, packed, b) = (Stack::of(call.operand(0)?)?, Stack::square(call.operand(1)?)?, call.operand(3)?);
    let order: Cow<'_, [i64]> = call.operand(2)?.cast(DType::I64);
    let kind = Kind::of(call)?;
    let transposed = kind == Kind::General && call.attributes.int("trans")? != 0;
    let equations = Equations::of(&a, b)?;
    if packed.batch != a.batch || packed.rows != a.rows || order.len() != a.count() * a.rows {
        return Err(fail("the factors are those of other matrices".into()));
    }
    let solvers = of_each(call.context, a.count(), &|number| {
        let whole = kind.whole(a.matrix(number));
        let rows = order[number * a.rows..][..a.rows].iter().map(|&row| usize::try_from(row).unwrap_or(usize::MAX)).collect();
        // What was not finite has no Cholesky factor.
        let by_cholesky = kind == Kind::PositiveDefinite && is_finite(&whole);
        let factors = Factors::given(packed.matrix(number), rows, by_cholesky).ok_or_else(|| fail("has no such order of rows".into()))?;
        let whole = if transposed { whole.transpose().to_owned() } else { whole };
        Factorized::new(whole, factors, transposed)
    });
    equations.solve(call.context, &mut call.results[0], &solvers)
}

/// `solve_triangular`
pub fn solve_triangular(call: &mut Call<'_, '_>) -> Result<()> {
    let (stack, b) = (Stack::of(call.operand(0)?)?, call.operand(1)?);
    let (lower, unit) = (call.attributes.bool("lower")?, call.attributes.bool("unit_diagonal")?);
    let transposed = call.attributes.int("trans")? != 0;
    let equations = Equations::of(&stack, b)?;
    let solvers = of_each(call.context, stack.count(), &|number| {
        let a = stack.matrix(number);
        match (0..a.nrows()).find(|&i| !unit && a[(i, i)] == 0.0) {
            Some(zero) => Err(fail(format!("is singular: 0 at place {zero} of its diagonal"))),
            None => Ok(Triangle { a: if transposed { a.transpose() } else { a }, lower: lower != transposed, unit }),
        }
    });
    equations.solve(call.context, &mut call.results[0], &solvers)
}
