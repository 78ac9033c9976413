//! Sums over the steps of a loop become sums and products after it.
//!
//! `s <- s + g`, where nothing else in a step reads `s`, ends as the first `s` plus the sum of `g` over all steps. That
//! sum is worth taking outside where it is one product of matrices, `sum_t a_t^T @ b_t = A^T @ B` over the stacked
//! rows, or a sum over axes of rows that are there anyway. Such are the gradients of what a loop captures.
//!
//! It is the same sum of the same products, added in another order, which is at least as exact. A loop of T steps that adds
//! products over rows of length k adds k terms in a step, and T such sums one after the other: the error of each
//! element grows with the length of these chains, k + T. `sum` adds pairwise: log T in place of T. Where k is 1, one
//! product over all steps is one chain of T terms, whose products are not even rounded (they are fused into the
//! additions). Where k is larger, T / k steps at a time are one product, a chain of T terms at most, and these are added
//! pairwise. Where that is less than two steps, or where lengths are not known, the sum stays in the loop.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Depends, Key, Loop, each_even_loop, elements, name_of, op_of, uses};
use crate::error::Result;
use crate::graph::{Graph, NodeKind, Var, topological_order};
use crate::ops::shape::stack;
use crate::ops::{Attribute, Attributes, length};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};

/// Takes sums over all steps out of a loop.
pub struct AccumulateOutside;

impl Pass for AccumulateOutside {
    fn name(&self) -> &str {
        "scan_accumulate"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn tags(&self) -> &[&str] {
        &["more_memory"]
    }

    fn doc(&self) -> &str {
        "sums of products over the steps of a loop, such as gradients of weights, become one product after it"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_even_loop(graph, self.name(), firings, &accumulate)
    }
}

/// A part of what a step adds to a state.
enum Term {
    /// `a^T @ b`: of each the value in a step, and whether its matrix is the transpose of it.
    Product { a: Var, transposed: bool, b: Var, group: Option<usize> },
    /// The value, or its sum over axes.
    Sum { of: Var, op: Option<Var> },
}

/// A state that is a sum over steps.
struct Total {
    state: usize,
    terms: Vec<Term>,
}

fn accumulate(given: &Loop) -> Result<Option<(Vec<Var>, String)>> {
    // Of a loop that may end early, rows of sequences are not those of its steps.
    if given.until.is_some() {
        return Ok(None);
    }
    let depends = given.depends();
    let varies = |var: &Var| depends.get(&var.node().id()).is_some_and(|depends| *depends > Depends::Nothing);
    let uses = uses(&given.outputs());
    let mut totals: Vec<Total> = (0..given.states.len()).filter_map(|state| total(given, state, &uses, &varies)).collect();
    // A sum is taken of what is there: of rows, of what is yielded, and of what is yielded for a product.
    let mut there;
    loop {
        there = given.rows.iter().map(|(row, _)| row.key()).collect::<FxHashSet<Key>>();
        there.extend(given.yields.iter().filter(|(_, keep)| *keep == 0).map(|(value, _)| value.key()));
        for term in totals.iter().flat_map(|total| &total.terms) {
            if let Term::Product { a, b, .. } = term {
                there.extend([a.key(), b.key()]);
            }
        }
        let before = totals.len();
        totals.retain(|total| total.terms.iter().all(|term| match term {
            Term::Product { .. } => true,
            Term::Sum { of, .. } => there.contains(&of.key()),
        }));
        if totals.len() == before {
            break;
        }
    }
    if totals.is_empty() {
        return Ok(None);
    }
    let mut looped = given.clone();
    let mut at = 0;
    looped.states.retain(|_| {
        at += 1;
        totals.iter().all(|total| total.state != at - 1)
    });
    let whole = |looped: &Loop, value: &Var| {
        looped.rows.iter().any(|(row, _)| row.is(value)) || looped.yields.iter().any(|(yielded, keep)| *keep == 0 && yielded.is(value))
    };
    for term in totals.iter().flat_map(|total| &total.terms) {
        let read = match term {
            Term::Product { a, b, .. } => vec![a, b],
            Term::Sum { of, .. } => vec![of],
        };
        for value in read {
            if !whole(&looped, value) {
                looped.yields.push((value.clone(), 0));
            }
        }
    }
    let inner = looped.yields.clone();
    let (finals, yields) = looped.results()?;
    let all = |value: &Var| -> Option<Var> {
        let sequence = looped.rows.iter().find(|(row, _)| row.is(value)).map(|(_, sequence)| sequence.clone());
        sequence.or_else(|| inner.iter().zip(&yields).find(|((yielded, keep), _)| *keep == 0 && yielded.is(value)).map(|(_, rows)| rows.clone()))
    };
    let mut finals = finals.into_iter();
    let mut results = Vec::new();
    for (state, described) in given.states.iter().enumerate() {
        let Some(total) = totals.iter().find(|total| total.state == state) else {
            results.extend(finals.next());
            continue;
        };
        let mut sum: Option<Var> = None;
        for term in &total.terms {
            let Some(value) = over_all(given, term, &all)? else { return Ok(None) };
            sum = Some(sum.map_or_else(|| value.clone(), |sum| sum + &value));
        }
        let Some(sum) = sum else { return Ok(None) };
        let (found, wanted) = (sum.ty()?, described.init.ty()?);
        let same = found.rank() == wanted.rank() && found.dims.iter().zip(&wanted.dims).all(|(a, b)| a.same(b));
        results.push(if same && is_zero(&described.init) { sum } else { &described.init + sum });
    }
    results.extend(yields.into_iter().take(given.yields.len()));
    let done = format!("{} sums over steps taken after the loop", totals.len());
    Ok((results.len() == given.read.len()).then_some((results, done)))
}

fn is_zero(value: &Var) -> bool {
    match value.node().kind() {
        NodeKind::Constant(constant) => constant.value.to_f64_vec().iter().all(|&element| element == 0.0),
        _ if name_of(value) == "broadcast_to" => value.node().operands().first().is_some_and(|of| matches!(of.node().kind(), NodeKind::Constant(_)) && is_zero(of)),
        _ => matches!(name_of(value), "zeros" | "zeros_like"),
    }
}

/// What a step adds to a state, if it does nothing else with it.
fn total(given: &Loop, state: usize, uses: &FxHashMap<Key, usize>, varies: &dyn Fn(&Var) -> bool) -> Option<Total> {
    let (input, next) = (&given.states[state].input, &given.states[state].next);
    let once = |value: &Var| uses.get(&value.key()) == Some(&1);
    let (rank, dtype) = (input.ty().ok()?.rank(), input.ty().ok()?.dtype);
    if !once(input) || !once(next) || !given.read[state] {
        return None;
    }
    let mut above: FxHashSet<u64> = FxHashSet::default();
    above.insert(input.node().id());
    for var in topological_order(std::slice::from_ref(next)) {
        if var.node().operands().iter().any(|operand| above.contains(&operand.node().id())) {
            above.insert(var.node().id());
        }
    }
    let mut added: Vec<Var> = Vec::new();
    let mut value = next.clone();
    while !value.is(input) {
        let [a, b] = value.node().operands() else { return None };
        if name_of(&value) != "add" || !once(&value) {
            return None;
        }
        let (rest, other) = if above.contains(&a.node().id()) { (a, b) } else { (b, a) };
        added.push(other.clone());
        value = rest.clone();
    }
    let mut terms = Vec::new();
    while let Some(value) = added.pop() {
        let ty = value.ty().ok()?;
        if ty.dtype != dtype || ty.rank() > rank || above.contains(&value.node().id()) || !varies(&value) {
            return None;
        }
        match (product(given, &value, varies), value.node().operands()) {
            (Some(product), _) => terms.push(product),
            (None, [a, b]) if name_of(&value) == "add" && once(&value) => added.extend([a.clone(), b.clone()]),
            (None, operands) => terms.push(match (name_of(&value), operands) {
                ("sum", [of]) if of.ty().is_ok_and(|ty| ty.dtype == dtype) => Term::Sum { of: of.clone(), op: Some(value.clone()) },
                ("sum_to", [of, sizes]) if !varies(sizes) && op_of(sizes).is_none() => Term::Sum { of: of.clone(), op: Some(value.clone()) },
                _ => Term::Sum { of: value.clone(), op: None },
            }),
        }
    }
    Some(Total { state, terms })
}

/// A product of two matrices that both change from step to step, if need be of a column and a row by broadcasting.
fn product(given: &Loop, value: &Var, varies: &dyn Fn(&Var) -> bool) -> Option<Term> {
    let [p, q] = value.node().operands() else { return None };
    let is_matrix = |value: &Var| value.ty().is_ok_and(|ty| ty.rank() == 2);
    if !is_matrix(p) || !is_matrix(q) || !varies(p) || !varies(q) {
        return None;
    }
    let is_one = |value: &Var, axis: usize| value.ty().is_ok_and(|ty| ty.dims[axis].known() == Some(1));
    let (p, q, group) = match name_of(value) {
        "matmul" => (p, q, groups(given.known_steps(), value)?),
        "mul" if is_one(p, 1) && is_one(q, 0) => (p, q, None),
        "mul" if is_one(q, 1) && is_one(p, 0) => (q, p, None),
        _ => return None,
    };
    let NodeKind::Apply(_, attributes) = p.node().kind() else {
        return Some(Term::Product { a: p.clone(), transposed: false, b: q.clone(), group });
    };
    let swapped = attributes.ints("axes").ok().flatten().is_none_or(|axes| axes == [1, 0]);
    Some(match (name_of(p), p.node().operands()) {
        ("transpose", [a]) if swapped => Term::Product { a: a.clone(), transposed: true, b: q.clone(), group },
        _ => Term::Product { a: p.clone(), transposed: false, b: q.clone(), group },
    })
}

/// Elements that the products of groups of steps may have.
const LARGEST: usize = 1 << 22;

/// How many steps at a time are one product, if there is not one for all (`Some(None)`); `None` if it is not worth it.
fn groups(steps: Option<usize>, product: &Var) -> Option<Option<usize>> {
    let inner = product.node().operands().first()?.ty().ok()?.dims.last()?.known()?;
    if inner == 1 {
        return Some(None);
    }
    let (steps, size) = (steps?, elements(product.ty().ok()?)?);
    let group = (steps / inner.max(1)).min(steps);
    let fits = group >= 2 && (steps / group).checked_mul(size)? <= LARGEST;
    fits.then_some(Some(group))
}

/// A term's sum over all steps; `all` gives all rows of a value.
fn over_all(given: &Loop, term: &Term, all: &dyn Fn(&Var) -> Option<Var>) -> Result<Option<Var>> {
    Ok(match term {
        Term::Product { a, transposed, b, group } => {
            let (Some(a), Some(b)) = (all(a), all(b)) else { return Ok(None) };
            let a = if *transposed { a } else { a.transpose(&[0, 2, 1]) };
            // The rows of all steps, below each other.
            let one = |a: &Var, b: &Var| tall(a).t().matmul(&tall(b));
            let (Some(group), Some(steps)) = (group, given.known_steps()) else { return Ok(Some(one(&a, &b))) };
            let whole = (steps / group * group) as i64;
            let first = |rows: &Var| grouped(&rows.slice(0, None, Some(whole)), *group);
            let sum = first(&a).transpose(&[0, 2, 1]).matmul(&first(&b)).sum(Some(0));
            let rest = |rows: &Var| rows.slice(0, Some(whole), None);
            Some(if whole == steps as i64 { sum } else { sum + one(&rest(&a), &rest(&b)) })
        }
        Term::Sum { of, op } => {
            let Some(rows) = all(of) else { return Ok(None) };
            let Some(op) = op else { return Ok(Some(rows.sum(Some(0)))) };
            let NodeKind::Apply(kind, attributes) = op.node().kind() else { return Ok(None) };
            if kind.name() == "sum_to" {
                let sizes = given.outside(&op.node().operands()[1..])?;
                return Ok(Some(Var::apply("sum_to", &[rows, sizes[0].clone()], Attributes::new())));
            }
            if attributes.bool("keepdims")? {
                return Ok(None);
            }
            let rank = of.ty()?.rank() as i64;
            let axes = attributes.ints("axis")?.unwrap_or_else(|| (0..rank).collect());
            let shifted = axes.iter().map(|&axis| Attribute::Int(axis.rem_euclid(rank.max(1)) + 1));
            let axes = std::iter::once(Attribute::Int(0)).chain(shifted).collect();
            Some(Var::apply("sum", &[rows], attributes.clone().with("axis", Attribute::List(axes))))
        }
    })
}

/// Matrices stacked along a first axis, so many at a time as one with all their rows.
fn grouped(stacked: &Var, group: usize) -> Var {
    let group = Var::scalar(group as i64);
    let count = length(stacked, 0).floor_div(&group);
    stacked.reshape_to(&stack(&[count, group * length(stacked, 1), length(stacked, 2)], 0))
}

/// Matrices stacked along a first axis, as one with all their rows.
fn tall(stacked: &Var) -> Var {
    let count = length(stacked, 0) * length(stacked, 1);
    stacked.reshape_to(&stack(&[count, length(stacked, 2)], 0))
}
