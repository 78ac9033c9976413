//! Sums over the steps of a loop become sums and products after it.
//!
//! `s <- s + g`, where nothing else in a step reads `s`, ends as the first `s` plus the sum of `g` over all steps. That
//! sum is worth taking outside where it is one product of matrices, `sum_t a_t^T @ b_t = A^T @ B` over the stacked
//! rows, or a sum over axes of rows that are there anyway. Such are the gradients of what a loop captures.
//!
//! It is the same sum of the same products, added in another order, whose bound is no larger. A loop of T steps that adds
//! products over rows of length k adds k terms in a step, and T such sums one after the other: the error of each
//! element grows with the length of these chains, k + T, if a product adds its terms one after the other (a device that
//! adds them in parts has shorter chains on both sides). How many steps at a time are one product, g of them, is
//! chosen so that no chain gets longer:
//!
//! - Where k is 1, one product over all steps is one chain of T terms, whose products are not even rounded (they are
//!   fused into the additions).
//! - Where k and T are known, g is T / k: chains of T terms at most, which are added pairwise (`sum`), log T in place of
//!   T. Where that is less than two steps the sum stays in the loop: nothing would be gained.
//! - Where they are not known, or so many partial sums would take too much memory, a second loop over groups of
//!   g = max(1, T / k) steps, which the call computes from the lengths, adds their products to what the steps that are left
//!   over give, with `T % g` in one product. Its chains are g k + T / g, which as a function of g is convex, and k + T at both ends, 1 and
//!   T / k; so it is k + T at most between them. With steps left over, T is more than g k, which makes up for the one more sum.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Depends, Key, Loop, State, each_even_loop, elements, name_of, op_of, row_type, uses};
use crate::error::Result;
use crate::graph::{Graph, Location, NodeKind, Var, topological_order};
use crate::ops::shape::stack;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem, length};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;
use crate::rewrite::passes::{Pass, PassContext};
use crate::tensor::Dim;

/// Takes sums over all steps out of a loop.
pub struct AccumulateOutside;

impl Pass for AccumulateOutside {
    fn name(&self) -> &str {
        "scan_accumulate"
    }

    fn phase(&self) -> Phase {
        Phase::Scan
    }

    fn tags(&self) -> Vec<&str> {
        vec!["more_memory"]
    }

    fn doc(&self) -> &str {
        "sums of products over the steps of a loop, such as gradients of weights, become one product after it"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        each_even_loop(graph, self.name(), firings, &accumulate)
    }
}

/// A matrix in a step whose rows the products go over: a value, or the transpose of it; a vector is one row.
#[derive(Clone)]
struct Factor {
    value: Var,
    turned: bool,
}

/// How the steps are divided into products.
#[derive(Clone, Copy)]
enum Groups {
    /// One product for all.
    One,
    /// One for so many steps, all at a time.
    Of(usize),
    /// One for as many as the lengths in a call allow, one after the other.
    Chosen,
}

/// A part of what a step adds to a state.
enum Term {
    /// `a^T @ b`.
    Product { a: Factor, b: Factor, groups: Groups },
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
    if given.until.is_some() || is_grouped(given) {
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
                there.extend([a.value.key(), b.value.key()]);
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
            Term::Product { a, b, .. } => vec![&a.value, &b.value],
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

/// A product of two matrices that both change from step to step, if need be of a column and a row by broadcasting, or
/// the transpose of one.
fn product(given: &Loop, value: &Var, varies: &dyn Fn(&Var) -> bool) -> Option<Term> {
    if let Some(turned) = transposed(value) {
        let Term::Product { a, b, groups } = product(given, turned, varies)? else { return None };
        return Some(Term::Product { a: b, b: a, groups });
    }
    let [p, q] = value.node().operands() else { return None };
    let of_rank = |value: &Var, rank: usize| value.ty().is_ok_and(|ty| ty.rank() == rank);
    if !varies(p) || !varies(q) {
        return None;
    }
    if name_of(value) == "outer" && of_rank(p, 1) && of_rank(q, 1) {
        let row = |value: &Var| Factor { value: value.clone(), turned: false };
        return Some(Term::Product { a: row(p), b: row(q), groups: Groups::One });
    }
    if !of_rank(p, 2) || !of_rank(q, 2) {
        return None;
    }
    let is_one = |value: &Var, axis: usize| value.ty().is_ok_and(|ty| ty.dims[axis].known() == Some(1));
    let (p, q, groups) = match name_of(value) {
        "matmul" => (p, q, groups(given.known_steps(), value)?),
        "mul" if is_one(p, 1) && is_one(q, 0) => (p, q, Groups::One),
        "mul" if is_one(q, 1) && is_one(p, 0) => (q, p, Groups::One),
        _ => return None,
    };
    let factor = |value: &Var, turned: bool| match transposed(value) {
        Some(of) => Factor { value: of.clone(), turned: !turned },
        None => Factor { value: value.clone(), turned },
    };
    Some(Term::Product { a: factor(p, true), b: factor(q, false), groups })
}

/// What a matrix is the transpose of.
fn transposed(value: &Var) -> Option<&Var> {
    let NodeKind::Apply(_, attributes) = value.node().kind() else { return None };
    let [of] = value.node().operands() else { return None };
    let swapped = || attributes.ints("axes").ok().flatten().is_none_or(|axes| axes == [1, 0]);
    (name_of(value) == "transpose" && of.ty().is_ok_and(|ty| ty.rank() == 2) && swapped()).then_some(of)
}

/// Elements that the products of groups of steps may have.
const LARGEST: usize = 1 << 22;

/// How many steps at a time are one product; `None` if it is not worth it.
fn groups(steps: Option<usize>, product: &Var) -> Option<Groups> {
    let inner = product.node().operands().first()?.ty().ok()?.dims.last()?.known();
    if inner == Some(1) {
        return Some(Groups::One);
    }
    let (Some(steps), Some(inner)) = (steps, inner) else { return Some(Groups::Chosen) };
    let group = (steps / inner.max(1)).min(steps);
    if group < 2 {
        return None;
    }
    let size = product.ty().ok().and_then(elements).and_then(|size| (steps / group).checked_mul(size));
    Some(if size.is_some_and(|size| size <= LARGEST) { Groups::Of(group) } else { Groups::Chosen })
}

/// Whether a loop is one over groups of steps, as [`Groups::Chosen`] makes it: it is not to be taken apart again, as
/// the products of all groups together may take much memory.
pub(super) fn is_grouped(given: &Loop) -> bool {
    let is_group = |value: &Var| {
        let made = |sequence: &Var| name_of(sequence) == "reshape" && sequence.ty().is_ok_and(|ty| ty.dims.first() == Some(&Dim::Unknown));
        given.rows.iter().any(|(row, sequence)| row.is(value) && made(sequence))
    };
    let is_product = |value: &Var| match value.node().operands() {
        [a, b] => name_of(value) == "matmul" && transposed(a).is_some_and(is_group) && is_group(b),
        _ => false,
    };
    let is_sum = |state: &State| match state.next.node().operands() {
        [a, b] => name_of(&state.next) == "add" && ((a.is(&state.input) && is_product(b)) || (b.is(&state.input) && is_product(a))),
        _ => false,
    };
    given.yields.is_empty() && !given.states.is_empty() && given.states.iter().all(is_sum)
}

/// A term's sum over all steps; `all` gives all rows of a value.
fn over_all(given: &Loop, term: &Term, all: &dyn Fn(&Var) -> Option<Var>) -> Result<Option<Var>> {
    Ok(match term {
        Term::Product { a, b, groups } => {
            let rows = |factor: &Factor| all(&factor.value).map(|rows| if factor.turned { rows.transpose(&[0, 2, 1]) } else { rows });
            let (Some(a), Some(b)) = (rows(a), rows(b)) else { return Ok(None) };
            if a.ty()?.rank() == 2 {
                return Ok(Some(a.t().matmul(&b)));
            }
            // The rows of all steps, below each other.
            let one = |a: &Var, b: &Var| tall(a).t().matmul(&tall(b));
            Some(match (groups, given.known_steps()) {
                (Groups::One, _) => one(&a, &b),
                (Groups::Of(group), Some(steps)) => {
                    let whole = (steps / group * group) as i64;
                    let height = Var::scalar(*group as i64) * length(&a, 1);
                    let first = |rows: &Var| grouped(&rows.slice(0, None, Some(whole)), &Var::scalar((steps / group) as i64), &height);
                    let sum = first(&a).transpose(&[0, 2, 1]).matmul(&first(&b)).sum(Some(0));
                    let rest = |rows: &Var| rows.slice(0, Some(whole), None);
                    if whole == steps as i64 { sum } else { sum + one(&rest(&a), &rest(&b)) }
                }
                _ => in_groups(&a, &b)?,
            })
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

/// `sum_t a_t^T @ b_t` by a loop over groups of steps, of a size that follows from the lengths.
fn in_groups(a: &Var, b: &Var) -> Result<Var> {
    let (steps, inner, least) = (length(a, 0), length(a, 1), Var::scalar(1i64));
    let group = steps.floor_div(&inner.maximum(&least)).maximum(&least);
    let count = steps.floor_div(&group);
    let whole = &count * &group;
    let rest = |rows: &Var| {
        let sizes = [(&steps - &whole) * &inner, length(rows, 2)];
        part(rows, &whole, false).reshape_to(&stack(&sizes, 0))
    };
    let left = rest(a).t().matmul(&rest(b));
    let height = group * inner;
    let (a, b) = (grouped(&part(a, &whole, true), &count, &height), grouped(&part(b, &whole, true), &count, &height));
    let row = |name: &str, rows: &Var| row_type(rows).map(|ty| Var::input_at(name, ty, Location::caller()));
    let (x, y, sum) = (row("a", &a)?, row("b", &b)?, Var::input_at("d", left.ty()?.clone(), Location::caller()));
    let next = &sum + x.t().matmul(&y);
    let looped = Loop {
        counted: None, rows: vec![(x, a), (y, b)], states: vec![State { input: sum, init: left, next }], captured: Vec::new(),
        yields: Vec::new(), until: None, truncate: None, reverse: false, even: true, read: vec![true], definite: Default::default(),
    };
    Ok(looped.results()?.0.swap_remove(0))
}

/// The first so many rows of a value, or the others.
fn part(rows: &Var, count: &Var, first: bool) -> Var {
    let (start, stop) = if first { (IndexBound::Open, IndexBound::Operand(0)) } else { (IndexBound::Operand(0), IndexBound::Open) };
    rows.index(vec![IndexItem::Slice { start, stop, step: 1 }], std::slice::from_ref(count))
}

/// Matrices stacked along a first axis, as so many of such a height.
fn grouped(stacked: &Var, count: &Var, height: &Var) -> Var {
    stacked.reshape_to(&stack(&[count.clone(), height.clone(), length(stacked, 2)], 0))
}

/// Matrices stacked along a first axis, as one with all their rows.
fn tall(stacked: &Var) -> Var {
    let count = length(stacked, 0) * length(stacked, 1);
    stacked.reshape_to(&stack(&[count, length(stacked, 2)], 0))
}
