//! Derivatives of `lu`, `qr` and `expm`. Matrices of more rows than columns, or of more columns, are cut
//! behind their smaller length; of the parts beyond it one is empty.

use super::parts::{after, before, cotangent, length, sum, tril, triu};
use super::transposed_product as tn;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::ops::shape::concatenate;
use crate::ops::{Attributes, Jvp, Vjp};

type Derivatives = Result<Vec<Option<Var>>>;

/// The smaller of the two lengths of the matrices.
fn smaller(a: &Var) -> Var {
    length(a, -2).minimum(&length(a, -1))
}

/// `x u^-1` for an upper triangle.
fn over(x: &Var, u: &Var, unit: bool) -> Var {
    let attributes = Attributes::new().with("lower", false).with("trans", 1i64).with("unit_diagonal", unit);
    Var::apply("solve_triangular", &[u.clone(), x.swap_last()], attributes).swap_last()
}

/// `x u^-T` for an upper triangle.
fn over_transposed(x: &Var, u: &Var) -> Var {
    u.solve_triangular(&x.swap_last(), false).swap_last()
}

/// `l^-1 x`, or with the transposed factor, for a lower triangle with ones on its diagonal.
fn under(l: &Var, x: &Var, transposed: bool) -> Var {
    let attributes = Attributes::new().with("lower", true).with("trans", i64::from(transposed)).with("unit_diagonal", true);
    Var::apply("solve_triangular", &[l.clone(), x.clone()], attributes)
}

/// The four parts around a corner of `k` rows and columns; the last is empty.
fn corners(x: &Var, k: &Var) -> Result<[Var; 4]> {
    let (top, bottom) = (before(x, -2, k)?, after(x, -2, k)?);
    Ok([before(&top, -1, k)?, after(&top, -1, k)?, before(&bottom, -1, k)?, after(&bottom, -1, k)?])
}

fn assembled([top_left, top_right, bottom_left, bottom_right]: [Var; 4]) -> Var {
    let top = concatenate(&[top_left, top_right], -1);
    concatenate(&[top, concatenate(&[bottom_left, bottom_right], -1)], -2)
}

/// From `P' A = L U` with `A11 = L1 U1`, `A21 = L2 U1`, `A12 = L1 U2`; the first as Giles's matrix products
/// with `dA11 = dL1 U1 + L1 dU1` give it, where `L1^-1 dL1` is strictly lower and `dU1 U1^-1` upper triangular.
pub(super) fn lu_vjp(c: &Vjp<'_>) -> Derivatives {
    let (a, p, l, u) = (&c.operands[0], &c.results[0], &c.results[1], &c.results[2]);
    if c.cotangents[1].is_none() && c.cotangents[2].is_none() {
        return Ok(vec![None]);
    }
    let k = smaller(a);
    let gl = c.cotangents[1].clone().unwrap_or_else(|| l.zeros_like());
    let gu = c.cotangents[2].clone().unwrap_or_else(|| u.zeros_like());
    let (l1, l2, gl1, gl2) = (before(l, -2, &k)?, after(l, -2, &k)?, before(&gl, -2, &k)?, after(&gl, -2, &k)?);
    let (u1, u2, gu1, gu2) = (before(u, -1, &k)?, after(u, -1, &k)?, before(&gu, -1, &k)?, after(&gu, -1, &k)?);
    let d21 = over_transposed(&gl2, &u1);
    let d12 = under(&l1, &gu2, true);
    let gu1 = gu1 - tn(&l2, &d21);
    let gl1 = gl1 - d12.matmul(&u2.swap_last());
    let inner = tril(&tn(&l1, &gl1), -1) + triu(&gu1.matmul(&u1.swap_last()), 0);
    let d11 = over_transposed(&under(&l1, &inner, true), &u1);
    let [.., empty] = corners(a, &k)?;
    Ok(vec![cotangent(&p.matmul(&assembled([d11, d12, d21, empty.zeros_like()])), a)?])
}

pub(super) fn lu_jvp(c: &Jvp<'_>) -> Derivatives {
    let (a, p, l, u) = (&c.operands[0], &c.results[0], &c.results[1], &c.results[2]);
    let Some(t) = &c.tangents[0] else { return Ok(vec![None; 3]) };
    let k = smaller(a);
    let [t11, t12, t21, _] = corners(&tn(p, t), &k)?;
    let (l1, l2) = (before(l, -2, &k)?, after(l, -2, &k)?);
    let (u1, u2) = (before(u, -1, &k)?, after(u, -1, &k)?);
    let inner = over(&under(&l1, &t11, false), &u1, false);
    let (dl1, du1) = (l1.matmul(&tril(&inner, -1)), triu(&inner, 0).matmul(&u1));
    let dl2 = over(&(t21 - l2.matmul(&du1)), &u1, false);
    let du2 = under(&l1, &(t12 - dl1.matmul(&u2)), false);
    Ok(vec![Some(p.zeros_like()), Some(concatenate(&[dl1, dl2], -2)), Some(concatenate(&[du1, du2], -1))])
}

/// The thin factors: the results, or computed again where only `r` was asked for.
fn thin(a: &Var, results: &[Var], attributes: &Attributes) -> Result<(Var, Var)> {
    let determined = matches!(a.ty()?.dims.as_slice(), [.., m, n] if m.same(n) || matches!((m.known(), n.known()), (Some(m), Some(n)) if m < n));
    match (attributes.str("mode")?, results) {
        ("reduced", [q, r]) => Ok((q.clone(), r.clone())),
        ("complete", [q, r]) if determined => Ok((q.clone(), r.clone())),
        ("complete", _) => Err(Error::new(ErrorKind::Gradient, "`qr` with mode=\"complete\" has no gradient for more rows than columns")
            .note("the columns of `q` beyond the matrix' are not determined; give mode=\"reduced\"")),
        _ => {
            let q = Var::apply("qr", std::slice::from_ref(a), Attributes::new());
            Ok((q.clone(), q.sibling(1)))
        }
    }
}

/// Walter and Lehmann, Algorithmic differentiation of linear algebra functions
/// with application in optimum experimental design (2010): with `M = R dR' - dQ' Q`, the cotangent is
/// `(dQ + Q copyltu(M)) R^-T`; columns beyond the rows are `Q V`.
pub(super) fn qr_vjp(c: &Vjp<'_>) -> Derivatives {
    let a = &c.operands[0];
    let (q, r) = thin(a, c.results, c.attributes)?;
    let (gq, gr) = match c.cotangents {
        [gr] => (None, gr.clone()),
        [gq, gr] => (gq.clone(), gr.clone()),
        _ => return Ok(vec![None]),
    };
    let k = smaller(a);
    let gr = gr.unwrap_or_else(|| r.zeros_like());
    let (u, gu, gv, rest) = (before(&r, -1, &k)?, before(&gr, -1, &k)?, after(&gr, -1, &k)?, after(a, -1, &k)?);
    let gq = sum([gq, Some(rest.matmul(&gv.swap_last()))]).unwrap_or_else(|| q.zeros_like());
    let m = u.matmul(&gu.swap_last()) - tn(&gq, &q);
    let mirrored = tril(&m, 0) + tril(&m, -1).swap_last();
    let first = over_transposed(&(&gq + q.matmul(&mirrored)), &u);
    Ok(vec![cotangent(&concatenate(&[first, q.matmul(&gv)], -1), a)?])
}

/// `Q' dQ` is skew and `dR R^-1` upper triangular, which splits `Q' dA R^-1`.
pub(super) fn qr_jvp(c: &Jvp<'_>) -> Derivatives {
    let a = &c.operands[0];
    let Some(t) = &c.tangents[0] else { return Ok(vec![None; c.results.len()]) };
    let (q, r) = thin(a, c.results, c.attributes)?;
    let k = smaller(a);
    let (u, first, rest) = (before(&r, -1, &k)?, before(t, -1, &k)?, after(t, -1, &k)?);
    let scaled = over(&first, &u, false);
    let inner = tn(&q, &scaled);
    let lower = tril(&inner, -1);
    let skew = &lower - lower.swap_last();
    let dq = &scaled + q.matmul(&(&skew - &inner));
    let du = (&inner - &skew).matmul(&u);
    let dv = tn(&dq, &after(a, -1, &k)?) + tn(&q, &rest);
    let dr = concatenate(&[triu(&du, 0), dv], -1);
    Ok(if c.results.len() == 1 { vec![Some(dr)] } else { vec![Some(dq), Some(dr)] })
}

/// Al-Mohy and Higham, Computing the Frechet derivative of the matrix exponential (2009), equation 1.1 and
/// its block form: the upper right block of `expm([[A, E], [0, A]])`.
fn frechet(a: &Var, e: &Var) -> Result<Var> {
    let zeros = e.zeros_like();
    let top = concatenate(&[a.clone(), e.clone()], -1);
    let whole = concatenate(&[top, concatenate(&[zeros, a.clone()], -1)], -2);
    let k = length(a, -1);
    let whole = Var::apply("expm", &[whole], Attributes::new());
    after(&before(&whole, -2, &k)?, -1, &k)
}

pub(super) fn expm_vjp(c: &Vjp<'_>) -> Derivatives {
    let a = &c.operands[0];
    let Some(g) = &c.cotangents[0] else { return Ok(vec![None]) };
    Ok(vec![cotangent(&frechet(&a.swap_last(), g)?, a)?])
}

pub(super) fn expm_jvp(c: &Jvp<'_>) -> Derivatives {
    let a = &c.operands[0];
    c.tangents[0].as_ref().map(|t| frechet(a, t)).transpose().map(|value| vec![value])
}
