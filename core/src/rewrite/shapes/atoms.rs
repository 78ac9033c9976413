//! What the lengths of axes are known to be, and what comes of them where axes are joined, cut, made one and broadcast.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::graph::{NodeId, ValueId};
use crate::rewrite::lengths::Bound;

/// The lengths that are broadcast to give that of an axis; of none it is 1. Those of a long chain hold one another, and are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Atoms(Rc<BTreeSet<Atom>>);

impl Atoms {
    pub(super) fn new() -> Atoms {
        Atoms::default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Atom> {
        self.0.iter()
    }

    /// The lengths that are broadcast with others.
    pub(super) fn and(self, others: Atoms) -> Atoms {
        if self == others || others.is_empty() {
            return self;
        }
        if self.is_empty() {
            return others;
        }
        Atoms(Rc::new(self.0.iter().chain(others.0.iter()).cloned().collect()))
    }

    /// What a length is, if it is not that of one of several.
    pub(super) fn only(&self) -> Option<&Atom> {
        self.0.first().filter(|_| self.0.len() == 1)
    }
}

impl<const N: usize> From<[Atom; N]> for Atoms {
    fn from(atoms: [Atom; N]) -> Atoms {
        Atoms(Rc::new(BTreeSet::from(atoms)))
    }
}

impl Ord for Atoms {
    fn cmp(&self, other: &Atoms) -> Ordering {
        if Rc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for Atoms {
    fn partial_cmp(&self, other: &Atoms) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    Known(usize),
    Named(String),
    Opaque(NodeId, u32, usize),
    /// Of a join: so many of each length, and a number.
    Sum(BTreeMap<Atoms, usize>, usize),
    /// Of `x[:-k]` or `x[k:]`: `k` less than that of x, and at least 0.
    Less(Atoms, usize),
    /// Of `x[:k]`: that of x, and at most `k`.
    AtMost(Atoms, usize),
    /// Of `x[::k]`: how many there are of every `k`th.
    Every(Atoms, usize),
    /// Of axes that became one, in order of size of the formulas.
    Product(Vec<Atoms>),
    /// Of an axis of what is reshaped: the lengths before, and the sizes.
    Reshaped(Vec<Atoms>, (NodeId, u32), usize),
    /// Of `x[a:]` with scalars that count from the front: as much less than that of x as these and a number come to, and at
    /// least 0.
    Beyond(Atoms, Vec<ValueId>, usize),
    /// Of a slice with bounds that scalars say.
    Cut(Atoms, Bound, Bound, i64),
}

/// A length as a sum.
fn as_sum(atoms: Atoms) -> (BTreeMap<Atoms, usize>, usize) {
    let mut only = atoms.0.iter();
    match (only.next(), only.next()) {
        (None, _) => (BTreeMap::new(), 1),
        (Some(Atom::Known(length)), None) => (BTreeMap::new(), *length),
        (Some(Atom::Sum(terms, number)), None) => (terms.clone(), *number),
        _ => (BTreeMap::from([(atoms, 1)]), 0),
    }
}

fn of_sum(terms: BTreeMap<Atoms, usize>, number: usize) -> Atoms {
    let mut only = terms.iter();
    match (only.next(), only.next(), number) {
        (None, _, 1) => Atoms::new(),
        (None, _, number) => Atoms::from([Atom::Known(number)]),
        (Some((atoms, 1)), None, 0) => atoms.clone(),
        _ => Atoms::from([Atom::Sum(terms, number)]),
    }
}

/// The length of a join.
pub(super) fn sum(parts: Vec<Atoms>) -> Atoms {
    let (mut terms, mut number): (BTreeMap<Atoms, usize>, usize) = (BTreeMap::new(), 0);
    for part in parts {
        let (more, and) = as_sum(part);
        number += and;
        for (atoms, count) in more {
            *terms.entry(atoms).or_default() += count;
        }
    }
    // x[:k] and x[k:] are x.
    let cut = |terms: &BTreeMap<Atoms, usize>| {
        terms.keys().find_map(|first| match first.0.first() {
            Some(Atom::AtMost(whole, at)) if first.0.len() == 1 => {
                let second = Atoms::from([Atom::Less(whole.clone(), *at)]);
                terms.contains_key(&second).then(|| (first.clone(), second, whole.clone()))
            }
            _ => None,
        })
    };
    while let Some((first, second, whole)) = cut(&terms) {
        for part in [first, second] {
            match terms.get_mut(&part) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(terms.remove(&part)),
            }
        }
        let (more, and) = as_sum(whole);
        number += and;
        for (atoms, count) in more {
            *terms.entry(atoms).or_default() += count;
        }
    }
    of_sum(terms, number)
}

/// What a length is the product of.
pub(super) fn factors(atoms: Atoms) -> Vec<Atoms> {
    match atoms.only() {
        None if atoms.is_empty() => Vec::new(),
        Some(Atom::Product(factors)) => factors.clone(),
        _ => vec![atoms],
    }
}

/// The length of axes that became one.
pub(super) fn product(parts: Vec<Atoms>) -> Atoms {
    let (mut number, mut left) = (1usize, Vec::new());
    for factor in parts.into_iter().flat_map(factors) {
        match factor.only() {
            Some(Atom::Known(length)) if number.checked_mul(*length).is_some() => number *= length,
            _ => left.push(factor),
        }
    }
    if number != 1 {
        left.push(known(number));
    }
    left.sort_unstable();
    if left.len() > 1 { Atoms::from([Atom::Product(left)]) } else { left.pop().unwrap_or_default() }
}

/// The length without what some scalars and a number come to.
pub(super) fn beyond(atoms: Atoms, scalars: Vec<ValueId>, number: usize) -> Option<Atoms> {
    let (whole, before, by) = match atoms.only() {
        _ if scalars.is_empty() => return less(atoms, number),
        Some(Atom::Less(whole, by)) => (whole.clone(), Vec::new(), *by),
        Some(Atom::Beyond(whole, before, by)) => (whole.clone(), before.clone(), *by),
        _ => (atoms, Vec::new(), 0),
    };
    let mut scalars = [before, scalars].concat();
    scalars.sort_unstable();
    Some(Atoms::from([Atom::Beyond(whole, scalars, number.checked_add(by)?)]))
}

/// The length without so many.
pub(super) fn less(atoms: Atoms, by: usize) -> Option<Atoms> {
    if by == 0 {
        return Some(atoms);
    }
    match atoms.only() {
        Some(Atom::Less(whole, already)) => return Some(Atoms::from([Atom::Less(whole.clone(), already.checked_add(by)?)])),
        Some(Atom::Beyond(whole, scalars, already)) => return Some(Atoms::from([Atom::Beyond(whole.clone(), scalars.clone(), already.checked_add(by)?)])),
        Some(Atom::AtMost(whole, most)) => return at_most(less(whole.clone(), by)?, most.saturating_sub(by)),
        Some(Atom::Every(whole, step)) => return every(less(whole.clone(), by.checked_mul(*step)?)?, *step),
        _ => {}
    }
    let (terms, number) = as_sum(atoms.clone());
    Some(match number.checked_sub(by) {
        Some(left) => of_sum(terms, left),
        None if terms.is_empty() => known(0),
        None => Atoms::from([Atom::Less(atoms, by)]),
    })
}

/// The length, and at most so many.
fn at_most(atoms: Atoms, most: usize) -> Option<Atoms> {
    match atoms.only() {
        Some(Atom::AtMost(whole, already)) => return at_most(whole.clone(), most.min(*already)),
        Some(Atom::Every(whole, step)) => return every(at_most(whole.clone(), most.checked_mul(*step)?)?, *step),
        _ => {}
    }
    let (terms, number) = as_sum(atoms.clone());
    Some(match () {
        () if most == 0 || number >= most => known(most),
        () if terms.is_empty() => atoms,
        () => Atoms::from([Atom::AtMost(atoms, most)]),
    })
}

/// How many there are of every so manyth.
pub(super) fn every(atoms: Atoms, step: usize) -> Option<Atoms> {
    if step == 1 || atoms.is_empty() {
        return Some(atoms);
    }
    Some(match atoms.only() {
        Some(Atom::Every(whole, already)) => Atoms::from([Atom::Every(whole.clone(), already.checked_mul(step)?)]),
        Some(Atom::Known(length)) => known(length.div_ceil(step)),
        _ => Atoms::from([Atom::Every(atoms, step)]),
    })
}

pub(super) fn known(length: usize) -> Atoms {
    if length == 1 { Atoms::new() } else { Atoms::from([Atom::Known(length)]) }
}

/// The length of a slice of an axis; nothing where that takes more than these atoms to say.
pub(super) fn slice(atoms: Atoms, start: Option<i64>, stop: Option<i64>, step: i64) -> Option<Atoms> {
    // Bounds that count from the front, and those that count from the end.
    let (front, back) = (|at: i64| usize::try_from(at).ok(), |at: i64| usize::try_from(at.checked_neg()?).ok().filter(|&back| back > 0));
    let between = |whole: Option<Atoms>, most: Option<usize>| at_most(whole?, most.unwrap_or(0));
    let count = if step > 0 {
        let start = start.unwrap_or(0);
        match (front(start), back(start), stop.map(|stop| (front(stop), back(stop)))) {
            (Some(first), _, None) => less(atoms, first)?,
            (Some(first), _, Some((Some(end), _))) => between(less(atoms, first), end.checked_sub(first))?,
            (Some(first), _, Some((_, Some(end)))) => less(atoms, first.checked_add(end)?)?,
            (_, Some(first), None) => at_most(atoms, first)?,
            (_, Some(first), Some((_, Some(end)))) => between(less(atoms, end), first.checked_sub(end))?,
            _ => return None,
        }
    } else {
        let ends = |bound: Option<i64>| bound.map(|bound| (front(bound), back(bound)));
        match (ends(start), ends(stop)) {
            (None, None) => atoms,
            (None, Some((Some(end), _))) => less(atoms, end.checked_add(1)?)?,
            (None, Some((_, Some(end)))) => at_most(atoms, end - 1)?,
            (Some((Some(first), _)), None) => at_most(atoms, first.checked_add(1)?)?,
            (Some((Some(first), _)), Some((Some(end), _))) => between(less(atoms, end.checked_add(1)?), first.checked_sub(end))?,
            (Some((_, Some(first))), None) => less(atoms, first - 1)?,
            (Some((_, Some(first))), Some((Some(end), _))) => less(atoms, first.checked_add(end)?)?,
            (Some((_, Some(first))), Some((_, Some(end)))) => between(less(atoms, first - 1), end.checked_sub(first))?,
            _ => return None,
        }
    };
    every(count, usize::try_from(step.unsigned_abs()).ok().filter(|&step| step > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::index::slice_range;

    fn number(atoms: &Atoms, length: usize) -> usize {
        match atoms.only() {
            None => 1,
            Some(Atom::Known(known)) => *known,
            Some(Atom::Less(whole, by)) => number(whole, length).saturating_sub(*by),
            Some(Atom::AtMost(whole, most)) => number(whole, length).min(*most),
            Some(Atom::Every(whole, step)) => number(whole, length).div_ceil(*step),
            Some(Atom::Sum(terms, more)) => terms.iter().map(|(term, count)| number(term, length) * count).sum::<usize>() + more,
            Some(_) => length,
        }
    }

    #[test]
    fn slices_have_the_lengths_that_they_say() {
        let bounds: Vec<Option<i64>> = std::iter::once(None).chain((-3..=3).map(Some)).collect();
        let mut all = Vec::new();
        for &start in &bounds {
            for &stop in &bounds {
                all.extend([1, 2, 3, -1, -2].map(|step| (start, stop, step)));
            }
        }
        let whole = Atoms::from([Atom::Named("n".to_owned())]);
        for &(start, stop, step) in &all {
            let Some(once) = slice(whole.clone(), start, stop, step) else { continue };
            for &(from, to, again) in &all {
                let twice = slice(once.clone(), from, to, again);
                for length in 0..=8 {
                    let (_, count) = slice_range(length, start, stop, step);
                    assert_eq!(number(&once, length), count, "{start:?}:{stop:?}:{step} of {length}: {once:?}");
                    let Some(twice) = &twice else { continue };
                    let (_, count) = slice_range(count, from, to, again);
                    assert_eq!(number(twice, length), count, "{start:?}:{stop:?}:{step} {from:?}:{to:?}:{again} of {length}: {twice:?}");
                }
            }
        }
    }
}
