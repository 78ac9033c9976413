//! Equations with one matrix in all steps are solved by factors that are computed once.
//!
//! `solve(a, b)` factorizes `a` and substitutes, n³ and n² operations. Where `a` is the same in every step its factors are
//! computed before the loop, and a step only substitutes. A solution is corrected by that of what it leaves of the
//! right side, which makes it backward stable element by element (Skeel, Iterative refinement implies numerical
//! stability for Gaussian elimination, 1980), as devices may do in `solve`; a correction that is not finite is none.
//!
//! Factors of general matrices are there for singular ones too: that these are singular is found in the first step, as
//! before. Those by Cholesky may not be there, which is an error of the first step: where it is not known that there is one,
//! they are those of the identity if there is none.

use super::{Depends, Loop, each_loop, name_of, op_of};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Location, NodeKind, Var, topological_order};
use crate::ops::{Attributes, length, where_};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};
use crate::tensor::DType;

/// Factorizes before a loop the matrices that equations in it are solved with.
pub struct FactorOutside;

/// Of matrices up to this length one `solve` is as fast as what is left of it.
const SMALL: usize = 3;

impl Pass for FactorOutside {
    fn name(&self) -> &str {
        "scan_factor"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn doc(&self) -> &str {
        "factorizes before a loop a matrix that is the same in every step; solve(a, b) in a step becomes substitutions"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_loop(graph, self.name(), firings, &factor)
    }
}

/// What is known of a matrix.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    General,
    /// It is positive definite.
    Definite,
    /// The same of its lower triangle, and what mirrors it; nothing else is read.
    Lower,
}

/// What stands for a matrix.
enum Factors {
    /// Which row of it each row of the factors is, and these.
    General { order: Var, lower: Var, upper: Var },
    /// That of a positive definite one, and the whole of it.
    Cholesky { lower: Var, whole: Var },
}

fn factor(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    let depends = given.depends();
    let varies = |var: &Var| depends.get(&var.node().id()).is_some_and(|depends| *depends > Depends::Nothing);
    let mut looped = given.clone();
    let mut known: Vec<(Var, Kind, Factors)> = Vec::new();
    let mut replaced = Vec::new();
    for var in topological_order(&given.outputs()) {
        let (NodeKind::Apply(_, attributes), [a, b]) = (var.node().kind(), var.node().operands()) else { continue };
        if name_of(&var) != "solve" || op_of(a).is_some() || varies(a) || !varies(b) {
            continue;
        }
        let kind = match attributes.str("assume_a")? {
            "gen" if given.definite.contains(&a.node().id()) => Kind::Definite,
            "gen" => Kind::General,
            "pos" => Kind::Lower,
            _ => continue,
        };
        let (matrix, right) = (a.ty()?, b.ty()?);
        let fits = matrix.rank() == 2 && (1..=2).contains(&right.rank()) && matrix.dtype == right.dtype && matrix.dtype.is_float();
        if !fits || matrix.dims[0].known().is_some_and(|length| length <= SMALL) {
            continue;
        }
        let at = match known.iter().position(|(of, other, _)| of.is(a) && *other == kind) {
            Some(at) => at,
            None => {
                let factors = factors(&mut looped, a, kind)?;
                known.push((a.clone(), kind, factors));
                known.len() - 1
            }
        };
        let new = var.node().location().stand_in(|| solved(a, b, &known[at].2));
        replaced.push((var.clone(), new));
    }
    if replaced.is_empty() {
        return Ok(None);
    }
    // A later one may be of an earlier one's result.
    for at in 0..replaced.len() {
        let (earlier, later) = replaced.split_at_mut(at);
        later[0].1 = crate::graph::clone_with(std::slice::from_ref(&later[0].1), earlier)?.swap_remove(0);
    }
    looped.substitute(&replaced)?;
    let (mut results, yields) = looped.results()?;
    results.extend(yields);
    Ok(Some((results, format!("{} equations solved by the factors of {} matrices", replaced.len(), known.len()))))
}

/// The factors of a matrix, computed outside.
fn factors(looped: &mut Loop, a: &Var, kind: Kind) -> Result<Factors> {
    let outside = looped.outside(std::slice::from_ref(a))?.swap_remove(0);
    let outside = match looped.known_steps() {
        Some(steps) if steps > 0 => outside,
        _ if kind == Kind::General => outside,
        _ => {
            let rows = looped.rows.first().map(|(_, sequence)| length(sequence, 0));
            let Some(steps) = looped.counted.clone().or(rows) else {
                return Err(Error::new(ErrorKind::Internal, "a loop has neither sequences nor a number of steps"));
            };
            let identity = Var::apply("eye", &[length(&outside, 0)], Attributes::new().with("dtype", outside.ty()?.dtype));
            let some = Var::apply("gt", &[steps, Var::weak(0i64)], Attributes::new());
            where_(&some, &outside, &identity)
        }
    };
    let mut inside = |value: &Var| -> Result<Var> {
        let input = Var::input_at("c", value.ty()?.clone(), Location::caller());
        looped.captured.push((input.clone(), value.clone()));
        Ok(input)
    };
    if kind != Kind::General {
        let lower = inside(&Var::apply("cholesky", &[outside.clone()], Attributes::new()))?;
        let whole = if kind == Kind::Lower { inside(&(outside.tril(0) + outside.tril(-1).t()))? } else { a.clone() };
        return Ok(Factors::Cholesky { lower, whole });
    }
    let all = Var::apply("lu", &[outside], Attributes::new()).siblings();
    // Each column of the permutation has its 1 in the row that comes to that place: the product is exact.
    let rows = Var::apply("arange", &[length(&all[0], 0)], Attributes::new().with("dtype", DType::F64));
    let order = all[0].cast(DType::F64).t().matmul(&rows).cast(DType::I64);
    Ok(Factors::General { order: inside(&order)?, lower: inside(&all[1])?, upper: inside(&all[2])? })
}

fn triangular(a: &Var, b: &Var, lower: bool, transposed: bool, unit: bool) -> Var {
    let attributes = Attributes::new().with("trans", i64::from(transposed)).with("lower", lower).with("unit_diagonal", unit);
    Var::apply("solve_triangular", &[a.clone(), b.clone()], attributes)
}

/// The solution by the factors, corrected.
fn solved(a: &Var, b: &Var, factors: &Factors) -> Var {
    let solve = |b: &Var| match factors {
        Factors::General { order, lower, upper } => {
            let rows = Var::apply("take", &[b.clone(), order.clone()], Attributes::new().with("axis", 0i64));
            triangular(upper, &triangular(lower, &rows, true, false, true), false, false, false)
        }
        Factors::Cholesky { lower, .. } => triangular(lower, &triangular(lower, b, true, false, false), true, true, false),
    };
    let whole = if let Factors::Cholesky { whole, .. } = factors { whole } else { a };
    let first = solve(b);
    let step = solve(&(b - whole.matmul(&first)));
    where_(&step.isfinite().all(None), &(&first + &step), &first)
}
