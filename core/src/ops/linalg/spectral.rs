//! Derivatives of `eigh`, `svd` and `pinv`.

use super::parts::{cotangent, diagonal, from_diagonal, identity, length, sum, symmetric};
use super::transposed_product as tn;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::ops::{Attributes, Jvp, Vjp, where_};

type Derivatives = Result<Vec<Option<Var>>>;

/// `1 / (x[j] - x[i])` off the diagonal, 0 on it.
fn gaps(x: &Var) -> Var {
    let difference = x.expand_dims(-2) - x.expand_dims(-1);
    let numbers = Var::apply("arange", &[length(x, -1)], Attributes::new());
    let on = numbers.expand_dims(0).eq(&numbers.expand_dims(1));
    where_(&on, &Var::weak(0.0), &where_(&on, &Var::weak(1.0), &difference).reciprocal())
}

/// Giles (2008), section 3.1: with `F[i, j] = 1 / (w[j] - w[i])`, `V (diag(dw) + F * V' dV) V'`.
pub(super) fn eigh_vjp(c: &Vjp<'_>) -> Derivatives {
    let (a, w, v) = (&c.operands[0], &c.results[0], &c.results[1]);
    let on_values = c.cotangents[0].as_ref().map(from_diagonal);
    let on_vectors = c.cotangents[1].as_ref().map(|g| gaps(w) * tn(v, g));
    let Some(inner) = sum([on_values, on_vectors]) else { return Ok(vec![None]) };
    Ok(vec![cotangent(&symmetric(&v.matmul(&inner).matmul(&v.swap_last())), a)?])
}

pub(super) fn eigh_jvp(c: &Jvp<'_>) -> Derivatives {
    let (w, v) = (&c.results[0], &c.results[1]);
    let Some(t) = &c.tangents[0] else { return Ok(vec![None, None]) };
    let p = tn(v, &symmetric(t)).matmul(v);
    Ok(vec![Some(diagonal(&p)), Some(v.matmul(&(gaps(w) * &p)))])
}

/// Whether `svd` was asked for vectors, and whether their derivatives exist: of square matrices, and where
/// only as many vectors are given as there are singular values.
fn svd_form(attributes: &Attributes, a: &Var) -> Result<(bool, bool)> {
    let full = attributes.bool("full_matrices")?;
    let square = matches!(a.ty()?.dims.as_slice(), [.., m, n] if m.same(n));
    Ok((attributes.bool("compute_uv")?, square || !full))
}

fn no_svd_gradient() -> Error {
    Error::new(ErrorKind::Gradient, "`svd` with `full_matrices=true` has no gradient in `u` and `vt`")
        .note("the vectors beyond the singular values are not determined; give `full_matrices=false`")
}

/// The thin factors, computed again where the results are others.
fn thin(a: &Var) -> [Var; 3] {
    let u = Var::apply("svd", std::slice::from_ref(a), Attributes::new().with("full_matrices", false));
    [u.clone(), u.sibling(1), u.sibling(2)]
}

/// Scales the columns.
fn columns(x: &Var, by: &Var) -> Var {
    x * by.expand_dims(-2)
}

/// What of `x` is orthogonal to the columns of `u`.
fn beyond(u: &Var, x: &Var) -> Var {
    x - u.matmul(&tn(u, x))
}

/// Whether the matrix has certainly no more than this axis' length of singular values.
fn spans(a: &Var, rows: bool) -> Result<bool> {
    let dims = &a.ty()?.dims;
    let [.., m, n] = dims.as_slice() else { return Ok(false) };
    let (own, other) = if rows { (m, n) } else { (n, m) };
    Ok(own.same(other) || matches!((own.known(), other.known()), (Some(own), Some(other)) if own <= other))
}

/// `1 / (s[j]**2 - s[i]**2)` off the diagonal.
fn square_gaps(s: &Var) -> Var {
    let sums = s.expand_dims(-2) + s.expand_dims(-1);
    let numbers = Var::apply("arange", &[length(s, -1)], Attributes::new());
    let on = numbers.expand_dims(0).eq(&numbers.expand_dims(1));
    gaps(s) / where_(&on, &Var::weak(1.0), &sums)
}

/// Townsend, Differentiating the singular value decomposition (2016).
pub(super) fn svd_vjp(c: &Vjp<'_>) -> Derivatives {
    let a = &c.operands[0];
    let (vectors, exists) = svd_form(c.attributes, a)?;
    if !vectors {
        let Some(g) = &c.cotangents[0] else { return Ok(vec![None]) };
        let [u, _, vt] = thin(a);
        return Ok(vec![cotangent(&columns(&u, g).matmul(&vt), a)?]);
    }
    let (gu, gs, gvt) = (&c.cotangents[0], &c.cotangents[1], &c.cotangents[2]);
    if !exists && (gu.is_some() || gvt.is_some()) {
        return Err(no_svd_gradient());
    }
    let [u, s, vt] = if exists { [c.results[0].clone(), c.results[1].clone(), c.results[2].clone()] } else { thin(a) };
    let v = vt.swap_last();
    let mut terms = vec![gs.as_ref().map(|g| columns(&u, g).matmul(&vt))];
    if let Some(gu) = gu {
        let skew = tn(&u, gu);
        let inner = square_gaps(&s) * (&skew - skew.swap_last());
        terms.push(Some(u.matmul(&columns(&inner, &s)).matmul(&vt)));
        if !spans(a, true)? {
            terms.push(Some(columns(&beyond(&u, gu), &s.reciprocal()).matmul(&vt)));
        }
    }
    if let Some(gvt) = gvt {
        let gv = gvt.swap_last();
        let skew = tn(&v, &gv);
        let inner = square_gaps(&s) * (&skew - skew.swap_last());
        terms.push(Some(u.matmul(&(s.expand_dims(-1) * inner)).matmul(&vt)));
        if !spans(a, false)? {
            let rest = columns(&beyond(&v, &gv), &s.reciprocal());
            terms.push(Some(u.matmul(&rest.swap_last())));
        }
    }
    Ok(vec![match sum(terms) {
        Some(da) => cotangent(&da, a)?,
        None => None,
    }])
}

pub(super) fn svd_jvp(c: &Jvp<'_>) -> Derivatives {
    let a = &c.operands[0];
    let Some(t) = &c.tangents[0] else { return Ok(vec![None; c.results.len()]) };
    let (vectors, exists) = svd_form(c.attributes, a)?;
    if !vectors {
        let [u, _, vt] = thin(a);
        return Ok(vec![Some(diagonal(&tn(&u, t).matmul(&vt.swap_last())))]);
    }
    if !exists {
        return Err(no_svd_gradient());
    }
    let (u, s, v) = (&c.results[0], &c.results[1], &c.results[2].swap_last());
    let p = tn(u, t).matmul(v);
    let f = square_gaps(s);
    let (right, left) = (columns(&p, s), s.expand_dims(-1) * &p);
    let mut du = u.matmul(&(&f * (&right + right.swap_last())));
    let mut dv = v.matmul(&(&f * (&left + left.swap_last())));
    if !spans(a, true)? {
        du = du + columns(&beyond(u, &t.matmul(v)), &s.reciprocal());
    }
    if !spans(a, false)? {
        dv = dv + columns(&beyond(v, &tn(t, u)), &s.reciprocal());
    }
    Ok(vec![Some(du), Some(diagonal(&p)), Some(dv.swap_last())])
}

/// Golub and Pereyra, The differentiation of pseudo-inverses (1973), equation 4.12, transposed: the rank is
/// taken to stay as it is.
pub(super) fn pinv_vjp(c: &Vjp<'_>) -> Derivatives {
    let (a, y) = (&c.operands[0], &c.results[0]);
    let Some(g) = &c.cotangents[0] else { return Ok(vec![None]) };
    let (yt, gt) = (y.swap_last(), g.swap_last());
    let rows = identity(&a.swap_last())? - a.matmul(y);
    let columns = identity(a)? - y.matmul(a);
    let da = rows.matmul(&gt).matmul(&y.matmul(&yt)) + yt.matmul(y).matmul(&gt).matmul(&columns) - yt.matmul(g).matmul(&yt);
    Ok(vec![cotangent(&da, a)?])
}

pub(super) fn pinv_jvp(c: &Jvp<'_>) -> Derivatives {
    let (a, y) = (&c.operands[0], &c.results[0]);
    let Some(t) = &c.tangents[0] else { return Ok(vec![None]) };
    let (yt, tt) = (y.swap_last(), t.swap_last());
    let rows = identity(&a.swap_last())? - a.matmul(y);
    let columns = identity(a)? - y.matmul(a);
    let moved = y.matmul(&yt).matmul(&tt).matmul(&rows) + columns.matmul(&tt).matmul(&yt).matmul(y);
    Ok(vec![Some(moved - y.matmul(t).matmul(y))])
}
