//! The order in which several terms are multiplied.

use super::contract::{Term, pair};
use super::subscripts::Label;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::linalg::assumed;

/// The most terms for which the best order is sought among all.
const ALL_ORDERS: usize = 6;

/// The product of all terms, summed over the labels that the result lacks.
pub(super) fn multiplied(terms: Vec<Term>, result: &[Label]) -> Result<Term> {
    let sizes = sizes(&terms)?;
    let labels: Vec<Vec<Label>> = terms.iter().map(|term| term.labels.clone()).collect();
    let steps = if terms.len() <= ALL_ORDERS { best(&labels, result, &sizes) } else { greedy(&labels, result, &sizes) };
    let mut terms: Vec<Option<Term>> = terms.into_iter().map(Some).collect();
    let missing = || Error::new(ErrorKind::Internal, "a term is used twice");
    for (first, second) in steps {
        let (a, b) = (terms[first].take().ok_or_else(missing)?, terms[second].take().ok_or_else(missing)?);
        let kept: Vec<Label> =
            terms.iter().flatten().flat_map(|term| &term.labels).chain(result).copied().collect();
        terms.push(Some(pair(&a, &b, &kept, false)?));
    }
    terms.pop().flatten().ok_or_else(missing)
}

/// The length of each label.
fn sizes(terms: &[Term]) -> Result<Vec<(Label, f64)>> {
    let mut sizes: Vec<(Label, f64)> = Vec::new();
    for term in terms {
        for (label, dim) in term.labels.iter().zip(&term.value.ty()?.dims) {
            match sizes.iter_mut().find(|(known, _)| known == label) {
                Some((_, size)) => *size = if dim.known().is_some() { assumed(dim) } else { *size },
                None => sizes.push((*label, assumed(dim))),
            }
        }
    }
    Ok(sizes)
}

/// The multiplications of a product: the lengths of all labels of either term.
fn cost(a: &[Label], b: &[Label], sizes: &[(Label, f64)]) -> f64 {
    sizes.iter().filter(|(label, _)| a.contains(label) || b.contains(label)).map(|(_, size)| size.max(1.0)).product()
}

/// The best of all orders, as pairs of numbers of terms; products get the next free numbers.
fn best(labels: &[Vec<Label>], result: &[Label], sizes: &[(Label, f64)]) -> Vec<(usize, usize)> {
    let count = labels.len();
    let all = (1usize << count) - 1;
    let within = |mask: usize| (0..count).filter(move |&at| mask >> at & 1 == 1);
    // What is left of a product of some terms.
    let left: Vec<Vec<Label>> = (0..=all)
        .map(|mask| {
            let wanted = |label: &Label| {
                result.contains(label) || mask.count_ones() == 1 || within(all & !mask).any(|at| labels[at].contains(label))
            };
            sizes.iter().map(|(label, _)| *label).filter(|label| within(mask).any(|at| labels[at].contains(label)) && wanted(label)).collect()
        })
        .collect();
    let mut table: Vec<(f64, usize)> = vec![(0.0, 0); all + 1];
    for mask in 1..=all {
        if mask.count_ones() == 1 {
            continue;
        }
        table[mask] = (f64::INFINITY, 0);
        // Every way to cut the terms in two; the lowest one is always in the first part.
        let lowest = mask & mask.wrapping_neg();
        let mut part = mask & (mask - 1);
        while part != 0 {
            let (first, second) = (mask & !part, part);
            debug_assert!(first & lowest != 0);
            let sum = table[first].0 + table[second].0 + cost(&left[first], &left[second], sizes);
            if sum < table[mask].0 || table[mask].1 == 0 {
                table[mask] = (sum, first);
            }
            part = (part - 1) & (mask & !lowest);
        }
    }
    let mut numbers: Vec<Option<usize>> = vec![None; all + 1];
    (0..count).for_each(|at| numbers[1 << at] = Some(at));
    let mut steps = Vec::new();
    let mut pending = vec![all];
    while let Some(&mask) = pending.last() {
        if numbers.get(mask).copied().flatten().is_some() || mask == 0 {
            pending.pop();
            continue;
        }
        let (first, second) = (table[mask].1, mask & !table[mask].1);
        match (numbers[first], numbers[second]) {
            (Some(a), Some(b)) => {
                numbers[mask] = Some(count + steps.len());
                steps.push((a, b));
            }
            _ => pending.extend([second, first]),
        }
    }
    steps
}

/// The cheapest pair first, again and again.
fn greedy(labels: &[Vec<Label>], result: &[Label], sizes: &[(Label, f64)]) -> Vec<(usize, usize)> {
    let mut live: Vec<(usize, Vec<Label>)> = labels.iter().cloned().enumerate().collect();
    let mut steps = Vec::new();
    while live.len() > 1 {
        let (mut chosen, mut least) = ((0, 1), f64::INFINITY);
        for i in 0..live.len() {
            for j in i + 1..live.len() {
                let price = cost(&live[i].1, &live[j].1, sizes);
                if price < least {
                    (chosen, least) = ((i, j), price);
                }
            }
        }
        let second = live.remove(chosen.1);
        let first = live.remove(chosen.0);
        let mut both = first.1;
        both.extend(second.1);
        both.sort_unstable();
        both.dedup();
        both.retain(|label| result.contains(label) || live.iter().any(|(_, labels)| labels.contains(label)));
        live.push((labels.len() + steps.len(), both));
        steps.push((first.0, second.0));
    }
    steps
}
