//! Derivatives of `eig`, whose results are pairs of real and imaginary parts.

use super::parts::{cotangent, identity, length};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::ops::shape::{concatenate, stack};
use crate::ops::{Jvp, Vjp, where_};

type Derivatives = Result<Vec<Option<Var>>>;

/// The error of an op without derivatives, and which op has them.
pub(super) fn none(op: &str, instead: &str) -> Derivatives {
    Err(Error::new(ErrorKind::Gradient, format!("`{op}` has no gradient")).note(instead))
}

/// A complex matrix or vector.
#[derive(Clone)]
struct Complex {
    re: Var,
    im: Var,
}

impl Complex {
    /// From a trailing axis of real and imaginary part.
    fn of(pairs: &Var) -> Result<Complex> {
        let last = pairs.ty()?.rank() - 1;
        Ok(Complex { re: pairs.at_axis(last, 0), im: pairs.at_axis(last, 1) })
    }

    fn pairs(&self) -> Var {
        stack(&[self.re.clone(), self.im.clone()], -1)
    }

    fn map(&self, f: impl Fn(&Var) -> Var) -> Complex {
        Complex { re: f(&self.re), im: f(&self.im) }
    }

    fn minus(&self, other: &Complex) -> Complex {
        Complex { re: &self.re - &other.re, im: &self.im - &other.im }
    }

    fn plus(&self, other: &Complex) -> Complex {
        Complex { re: &self.re + &other.re, im: &self.im + &other.im }
    }

    /// The conjugate transpose.
    fn adjoint(&self) -> Complex {
        Complex { re: self.re.swap_last(), im: -self.im.swap_last() }
    }

    fn matmul(&self, other: &Complex) -> Complex {
        Complex {
            re: self.re.matmul(&other.re) - self.im.matmul(&other.im),
            im: self.re.matmul(&other.im) + self.im.matmul(&other.re),
        }
    }

    /// Each element over the other's.
    fn over(&self, other: &Complex) -> Complex {
        let size = other.re.square() + other.im.square();
        Complex {
            re: (&self.re * &other.re + &self.im * &other.im) / &size,
            im: (&self.im * &other.re - &self.re * &other.im) / &size,
        }
    }

    /// The x with `self x = b`, by the real equations of real and imaginary parts.
    fn solve(&self, b: &Complex) -> Result<Complex> {
        let rows = |upper: &Var, lower: &Var, axis| concatenate(&[upper.clone(), lower.clone()], axis);
        let left = rows(&rows(&self.re, &-&self.im, -1), &rows(&self.im, &self.re, -1), -2);
        let x = left.solve(&rows(&b.re, &b.im, -2));
        let n = length(&self.re, -1);
        Ok(Complex { re: super::parts::before(&x, -2, &n)?, im: super::parts::after(&x, -2, &n)? })
    }

    fn diagonal(&self) -> Complex {
        self.map(super::parts::diagonal)
    }

    /// The matrix with these numbers on its diagonal.
    fn on_diagonal(&self) -> Complex {
        self.map(super::parts::from_diagonal)
    }
}

/// `w[j] - w[i]` off the diagonal, 1 on it; and the place of the diagonal.
fn gaps(w: &Complex) -> Result<(Complex, Var)> {
    let difference = w.map(|x| x.expand_dims(-2) - x.expand_dims(-1));
    let on = identity(&difference.re)?.eq(&Var::weak(1.0));
    let ones = |x: &Var, with: f64| where_(&on, &Var::weak(with), x);
    Ok((Complex { re: ones(&difference.re, 1.0), im: ones(&difference.im, 0.0) }, on))
}

/// The real parts of `x`, as columns are scaled by the numbers on a diagonal.
fn real_columns(x: &Complex, by: &Var) -> Complex {
    x.map(|part| part * by.expand_dims(-2))
}

/// Boeddeker et al., On the computation of complex-valued gradients with application to statistically optimum beamforming
/// (2017), equation 4.77: `V^-H (diag(gw) + (V^H gV - V^H V Re diag(V^H gV)) / conj(E)) V^H`, of vectors of length 1.
pub(super) fn eig_vjp(c: &Vjp<'_>) -> Derivatives {
    let (a, w, v) = (&c.operands[0], Complex::of(&c.results[0])?, Complex::of(&c.results[1])?);
    let on_values = c.cotangents[0].as_ref().map(|g| Ok::<_, Error>(Complex::of(g)?.on_diagonal())).transpose()?;
    let on_vectors = match &c.cotangents[1] {
        None => None,
        Some(g) => {
            let inner = v.adjoint().matmul(&Complex::of(g)?);
            let along = real_columns(&v.adjoint().matmul(&v), &inner.diagonal().re);
            let (gaps, on) = gaps(&w)?;
            let conjugate = Complex { im: -&gaps.im, re: gaps.re };
            Some(inner.minus(&along).over(&conjugate).map(|part| where_(&on, &Var::weak(0.0), part)))
        }
    };
    let inner = match (on_values, on_vectors) {
        (Some(values), Some(vectors)) => values.plus(&vectors),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Ok(vec![None]),
    };
    let gradient = v.adjoint().solve(&inner.matmul(&v.adjoint()))?;
    Ok(vec![cotangent(&gradient.re, a)?])
}

/// `dw = diag(P)` and `dV = V (P / E)` with `P = V^-1 dA V`, less what changes the length of the vectors.
pub(super) fn eig_jvp(c: &Jvp<'_>) -> Derivatives {
    let (w, v) = (Complex::of(&c.results[0])?, Complex::of(&c.results[1])?);
    let Some(t) = &c.tangents[0] else { return Ok(vec![None, None]) };
    let p = v.solve(&v.map(|part| t.matmul(part)))?;
    let (gaps, on) = gaps(&w)?;
    let moved = v.matmul(&p.over(&gaps).map(|part| where_(&on, &Var::weak(0.0), part)));
    let along = v.adjoint().matmul(&moved).diagonal().re;
    Ok(vec![Some(p.diagonal().pairs()), Some(moved.minus(&real_columns(&v, &along)).pairs())])
}
