//! The core's local rewrites, one file per family. docs/rewrites.md lists them beside the rules.

mod axes;
mod blocks;
mod branches;
mod cancel;
mod index;
mod join;
mod linalg;
mod logs;
mod products;
mod reduce;
mod rows;
mod shape;
mod softmax;
mod spectra;
mod sums;

use super::local::{Found, Local, Site};
pub(super) use shape::MOVES;

use super::registry::{AFTER_GRADIENTS, Phase};
use crate::error::Result;
use crate::graph::{Body, ValueId, Var};

/// All of them, in the order in which they are tried.
pub fn all() -> impl Iterator<Item = Local> {
    let families = [
        sums::locals(), logs::locals(), softmax::locals(), cancel::locals(), products::locals(), linalg::locals(), blocks::locals(), spectra::locals(), shape::locals(), axes::locals(), reduce::locals(), index::locals(), rows::locals(), join::locals(),
        branches::locals(),
    ];
    families.into_iter().flatten()
}

/// One form for what means the same.
fn canonical(name: &'static str, roots: &'static [&'static str], doc: &'static str, rewrite: fn(&mut Site<'_>) -> Found) -> Local {
    Local { name, phase: Phase::Canonicalize, tags: &[], doc, roots, rewrite }
}

/// One form for what means the same, after which an operand is read no more. Before gradients are expanded it would be one
/// that nothing is computed from, and whose gradient is an error rather than 0.
fn dropping(name: &'static str, roots: &'static [&'static str], doc: &'static str, rewrite: fn(&mut Site<'_>) -> Found) -> Local {
    Local { name, phase: Phase::Canonicalize, tags: &[AFTER_GRADIENTS], doc, roots, rewrite }
}

/// A local rewrite that only makes things faster, and no less exact.
fn faster(name: &'static str, roots: &'static [&'static str], doc: &'static str, rewrite: fn(&mut Site<'_>) -> Found) -> Local {
    Local { name, phase: Phase::Specialize, tags: &[], doc, roots, rewrite }
}

/// One that keeps digits.
fn stable(name: &'static str, roots: &'static [&'static str], doc: &'static str, rewrite: fn(&mut Site<'_>) -> Found) -> Local {
    Local { name, phase: Phase::Stabilize, tags: &[], doc, roots, rewrite }
}

/// One that holds over the reals only.
fn real(name: &'static str, roots: &'static [&'static str], doc: &'static str, rewrite: fn(&mut Site<'_>) -> Found) -> Local {
    Local { name, phase: Phase::Specialize, tags: &["real"], doc, roots, rewrite }
}

/// The one result, if it can stand for that of the node.
fn one(site: &Site<'_>, value: ValueId) -> Found {
    Ok(site.fits(site.node().output(0), value).then(|| vec![value]))
}

/// What takes the place of the node, as an expression over some values.
fn built(site: &mut Site<'_>, values: &[ValueId], build: impl FnOnce(&[Var]) -> Result<Var>) -> Found {
    let inputs: Vec<Var> = values.iter().map(|&value| Var::input("operand", site.ty(value).clone())).collect();
    let result = build(&inputs)?;
    let value = site.inline(&Body::new(inputs, vec![result])?, values)?[0];
    one(site, value)
}
