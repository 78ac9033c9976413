//! Derivatives of the ops that solve equations: `cholesky`, `solve`, `solve_triangular`, `inv`, `det`,
//! `adjugate`, `slogdet`.

use super::parts::{cotangent, each, half_tril, identity, sum, symmetric, trace, tril, triu};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::{Attributes, Jvp, Vjp};

type Derivatives = Result<Vec<Option<Var>>>;

/// Murray, Differentiation of the Cholesky decomposition (2016), equation 10, symmetrized: with P the lower
/// triangle of `L' dL` with half its diagonal, `L^-T (P + P') / 2 L^-1`.
pub(super) fn cholesky_vjp(c: &Vjp<'_>) -> Derivatives {
    let (a, l) = (&c.operands[0], &c.results[0]);
    let Some(g) = &c.cotangents[0] else { return Ok(vec![None]) };
    let p = symmetric(&half_tril(&l.swap_last().matmul(g)));
    let left = triangular(l, &p, true, true, false);
    let both = triangular(l, &left.swap_last(), true, true, false);
    Ok(vec![cotangent(&symmetric(&both), a)?])
}

/// Murray, equation 8: `L Phi(L^-1 dA L^-T)`.
pub(super) fn cholesky_jvp(c: &Jvp<'_>) -> Derivatives {
    let l = &c.results[0];
    let Some(t) = &c.tangents[0] else { return Ok(vec![None]) };
    let left = triangular(l, &symmetric(t), true, false, false);
    let both = triangular(l, &left.swap_last(), true, false, false);
    Ok(vec![Some(l.matmul(&half_tril(&both)))])
}

fn triangular(a: &Var, b: &Var, lower: bool, transposed: bool, unit: bool) -> Var {
    let attributes =
        Attributes::new().with("trans", i64::from(transposed)).with("lower", lower).with("unit_diagonal", unit);
    Var::apply("solve_triangular", &[a.clone(), b.clone()], attributes)
}

/// How equations are solved again, and what of the matrix they read.
struct Equations<'a> {
    op: &'a str,
    attributes: &'a Attributes,
}

impl Equations<'_> {
    fn flag(&self, name: &str) -> bool {
        self.attributes.bool(name).unwrap_or(false)
    }

    /// Whether it is the transposed matrix that is solved with.
    fn transposed(&self) -> bool {
        self.op == "solve_triangular" && self.attributes.int("trans").unwrap_or(0) != 0
    }

    /// The solution for another right side; `flip` solves with the transposed matrix.
    fn solved(&self, a: &Var, b: &Var, flip: bool) -> Var {
        if self.op == "solve_triangular" {
            let transposed = self.transposed() != flip;
            return triangular(a, b, self.flag("lower"), transposed, self.flag("unit_diagonal"));
        }
        let symmetric = self.attributes.str("assume_a").is_ok_and(|kind| kind != "gen");
        let a = if flip && !symmetric { a.swap_last() } else { a.clone() };
        Var::apply(self.op, &[a, b.clone()], self.attributes.clone())
    }

    /// The part of a derivative in the matrix that counts.
    fn seen(&self, a: &Var) -> Var {
        if self.op == "solve_triangular" {
            let strict = i64::from(self.flag("unit_diagonal"));
            return if self.flag("lower") { tril(a, -strict) } else { triu(a, strict) };
        }
        match self.attributes.str("assume_a") {
            Ok("gen") => a.clone(),
            _ => symmetric(a),
        }
    }
}

/// A vector as a matrix of one column.
fn column(x: &Var, vector: bool) -> Var {
    if vector { x.expand_dims(-1) } else { x.clone() }
}

/// Giles, Collected matrix derivative results (2008), section 2.3.1: with `A X = B`, the cotangent of B is
/// `A^-T dX` and that of A is minus its product with `X'`.
pub(super) fn solve_vjp(op: &str, c: &Vjp<'_>) -> Derivatives {
    let (a, b, x) = (&c.operands[0], &c.operands[1], &c.results[0]);
    let Some(g) = &c.cotangents[0] else { return Ok(vec![None, None]) };
    let equations = Equations { op, attributes: c.attributes };
    let vector = b.ty()?.rank() == 1;
    let (x, g) = (column(x, vector), column(g, vector));
    let db = equations.solved(a, &g, true);
    let da = if equations.transposed() { x.matmul(&db.swap_last()) } else { db.matmul(&x.swap_last()) };
    let da = equations.seen(&-da);
    let db = if vector { db.squeeze(-1) } else { db };
    Ok(vec![cotangent(&da, a)?, cotangent(&db, b)?])
}

/// `A^-1 (dB - dA X)`.
pub(super) fn solve_jvp(op: &str, c: &Jvp<'_>) -> Derivatives {
    let (a, b, x) = (&c.operands[0], &c.operands[1], &c.results[0]);
    let equations = Equations { op, attributes: c.attributes };
    let vector = b.ty()?.rank() == 1;
    let x = column(x, vector);
    let moved = c.tangents[0].as_ref().map(|t| {
        let seen = equations.seen(t);
        -(if equations.transposed() { seen.swap_last() } else { seen }).matmul(&x)
    });
    let right = sum([c.tangents[1].as_ref().map(|t| column(t, vector)), moved]);
    let solved = right.map(|right| equations.solved(a, &right, false));
    Ok(vec![solved.map(|solved| if vector { solved.squeeze(-1) } else { solved })])
}

/// Giles, section 2.2.3: `-Y' dY Y'` with Y the inverse.
pub(super) fn inv_vjp(c: &Vjp<'_>) -> Derivatives {
    let y = c.results[0].swap_last();
    let Some(g) = &c.cotangents[0] else { return Ok(vec![None]) };
    Ok(vec![cotangent(&-(y.matmul(g).matmul(&y)), &c.operands[0])?])
}

pub(super) fn inv_jvp(c: &Jvp<'_>) -> Derivatives {
    let y = &c.results[0];
    Ok(vec![c.tangents[0].as_ref().map(|t| -(y.matmul(t).matmul(y)))])
}

fn adjugate(a: &Var) -> Var {
    Var::apply("adjugate", std::slice::from_ref(a), Attributes::new())
}

/// Jacobi's formula: the gradient is the transposed adjugate, also where the matrix is singular.
pub(super) fn det_vjp(c: &Vjp<'_>) -> Derivatives {
    let a = &c.operands[0];
    let Some(g) = &c.cotangents[0] else { return Ok(vec![None]) };
    Ok(vec![cotangent(&(each(g) * adjugate(a).swap_last()), a)?])
}

pub(super) fn det_jvp(c: &Jvp<'_>) -> Derivatives {
    let a = &c.operands[0];
    Ok(vec![c.tangents[0].as_ref().map(|t| trace(&adjugate(a).matmul(t)))])
}

/// The adjugate is `det(A) A^-1`: with Y the inverse and C the adjugate, `<dC, Y> C' - C' dC Y'`.
pub(super) fn adjugate_vjp(c: &Vjp<'_>) -> Derivatives {
    let (a, adjugate) = (&c.operands[0], &c.results[0]);
    let Some(g) = &c.cotangents[0] else { return Ok(vec![None]) };
    let y = a.inv();
    let flipped = adjugate.swap_last();
    let scale = (g * &y).reduce_axes("sum", Some(&[-2, -1]), false);
    let da = each(&scale) * &flipped - flipped.matmul(g).matmul(&y.swap_last());
    Ok(vec![cotangent(&da, a)?])
}

pub(super) fn adjugate_jvp(c: &Jvp<'_>) -> Derivatives {
    let (a, adjugate) = (&c.operands[0], &c.results[0]);
    let Some(t) = &c.tangents[0] else { return Ok(vec![None]) };
    let y = a.inv();
    let product = adjugate.matmul(t);
    Ok(vec![Some(each(&trace(&product)) * &y - product.matmul(&y))])
}

/// The sign is constant where it is not 0; the gradient of the logarithm is the transposed inverse.
pub(super) fn slogdet_vjp(c: &Vjp<'_>) -> Derivatives {
    let a = &c.operands[0];
    Ok(vec![match &c.cotangents[1] {
        Some(g) => cotangent(&(each(g) * a.inv().swap_last()), a)?,
        None => cotangent(&a.zeros_like(), a)?,
    }])
}

pub(super) fn slogdet_jvp(c: &Jvp<'_>) -> Derivatives {
    let a = &c.operands[0];
    let Some(t) = &c.tangents[0] else { return Ok(vec![None, None]) };
    let solved = Var::apply("solve", &[a.clone(), t.clone()], Attributes::new());
    Ok(vec![Some(c.results[0].zeros_like()), Some(trace(&solved))])
}

/// The Cholesky factor's equations: `L L' X = B`, or `U' U X = B`.
pub(super) fn cho_solve(factor: &Var, b: &Var, lower: bool) -> Result<Var> {
    let vector = b.ty()?.rank() == 1;
    let first = triangular(factor, &column(b, vector), lower, !lower, false);
    let both = triangular(factor, &first, lower, lower, false);
    Ok(if vector { both.squeeze(-1) } else { both })
}

/// The identity where `n` is 0, else products of squares; negative powers are those of the inverse.
pub(super) fn power(x: &Var, n: i64) -> Result<Var> {
    if n == 0 {
        let ty = x.ty()?;
        let one = identity(x)?;
        return Ok(if ty.rank() == 2 { one } else { one.broadcast_to_var(&x.shape()) });
    }
    let mut square = if n < 0 { x.inv() } else { x.clone() };
    let mut rest = n.unsigned_abs();
    let mut product: Option<Var> = None;
    loop {
        if rest & 1 == 1 {
            product = Some(product.map_or_else(|| square.clone(), |product| product.matmul(&square)));
        }
        rest >>= 1;
        if rest == 0 {
            return Ok(product.unwrap_or(square));
        }
        square = square.matmul(&square);
    }
}
