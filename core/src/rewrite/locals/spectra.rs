//! Functions and factors of matrices that are diagonal: what they are is read off the diagonal.

use super::linalg::diagonal_of;
use super::{Found, Local, Site, faster, one};
use crate::ops::{Attribute, Attributes};
use crate::tensor::Tensor;

pub(super) fn locals() -> Vec<Local> {
    vec![
        faster("expm_of_diagonal", &["expm"], "expm(diag(d)) => diag(exp(d))", expm_of_diagonal),
        faster("svd_of_diagonal", &["svd", "svdvals"], "the singular values of diag(d) => abs(d) in descending order", svd_of_diagonal),
        faster("eigh_of_diagonal", &["eigh", "eigvalsh"], "eigh(diag(d)) => d in ascending order, and the columns of the identity in that order", eigh_of_diagonal),
    ]
}

fn expm_of_diagonal(site: &mut Site<'_>) -> Found {
    let Some(d) = site.operand(0).and_then(|a| diagonal_of(site, a)) else { return Ok(None) };
    let exponentials = site.apply("exp", &[d], Attributes::new())?;
    let value = site.apply("diag", &[exponentials], Attributes::new())?;
    one(site, value)
}

fn last() -> Attributes {
    Attributes::new().with("axis", Attribute::Int(-1))
}

fn svd_of_diagonal(site: &mut Site<'_>) -> Found {
    let Some(d) = site.operand(0).and_then(|a| diagonal_of(site, a)) else { return Ok(None) };
    if site.view().op_name() == "svd" && site.attributes().bool("compute_uv")? {
        return Ok(None);
    }
    let sizes = site.apply("abs", &[d], Attributes::new())?;
    let ascending = site.apply("sort", &[sizes], last())?;
    let value = site.apply("flip", &[ascending], Attributes::new().with("axis", 0i64))?;
    one(site, value)
}

fn eigh_of_diagonal(site: &mut Site<'_>) -> Found {
    let Some(d) = site.operand(0).and_then(|a| diagonal_of(site, a)) else { return Ok(None) };
    if site.view().op_name() == "eigvalsh" {
        let values = site.apply("sort", &[d], last())?;
        return one(site, values);
    }
    let Some(rows) = site.ty(d).dims[0].known() else { return Ok(None) };
    let (dtype, rows) = (site.ty(d).dtype, site.add_constant(Tensor::scalar(rows as i64)));
    let order = site.apply("argsort", &[d], last())?;
    let values = site.apply("take", &[d, order], Attributes::new().with("axis", 0i64))?;
    let identity = site.apply("eye", &[rows], Attributes::new().with("dtype", dtype))?;
    let vectors = site.apply("take", &[identity, order], Attributes::new().with("axis", 1i64))?;
    let node = site.node();
    Ok((site.fits(node.output(0), values) && site.fits(node.output(1), vectors)).then(|| vec![values, vectors]))
}
