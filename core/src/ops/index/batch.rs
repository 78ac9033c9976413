//! Indices into many rows at once.
//!
//! Where only what is indexed differs from row to row, the index gets a whole axis in front. Where the
//! positions differ, they are arrays with the rows as their first axis, and the numbers of the rows are
//! positions on the axis over them. What NumPy then puts elsewhere is brought back by a transpose.

use super::{IndexOp, Rule, along, index_attribute, items_on, plan, steps::Step};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::composed::{between_axes, positions, whole_axis};
use crate::ops::{Batch, Batched, IndexBound, IndexItem, behind_first, length, nth};
use crate::tensor::DType;

pub(super) fn batch(op: &IndexOp, context: &Batch<'_>) -> Result<Batched> {
    let rank = context.rank(0)?;
    let one = |value: Var| Ok(Batched::Rows(vec![value]));
    match op.rule {
        Rule::OneHot => one(Var::apply(op.name, context.operands, context.attributes.clone())),
        Rule::Take => {
            let axis = op.take_axis(context.attributes, rank)?;
            let mut x = context.operands[0].clone();
            if axis.is_none() {
                x = if context.is_batched(0) { context.flat_rows(0)? } else { x.flatten() };
            }
            let axis = axis.unwrap_or(0);
            let along_axis = length(&x, axis + usize::from(context.is_batched(0)));
            let indices = along::in_range(&context.operands[1], &along_axis, context.attributes.str("mode")?)?;
            let rank = x.ty()?.rank() - usize::from(context.is_batched(0));
            let place = Place::of(context, rank, 1, &items_on(axis), &[indices])?;
            place.map_or(Ok(Batched::Default), |place| one(place.read(&x)))
        }
        Rule::Index => {
            let place = Place::of(context, rank, 1, context.attributes.index("index")?, &context.operands[1..])?;
            place.map_or(Ok(Batched::Default), |place| one(place.read(&context.operands[0])))
        }
        Rule::Set | Rule::Add => {
            let items = context.attributes.index("index")?;
            let Some(place) = Place::of(context, rank, 2, items, &context.operands[2..])? else { return Ok(Batched::Default) };
            let mut v = context.operands[1].clone();
            if let Some(order) = &place.order {
                let own = order.len() - 1;
                v = if context.is_batched(1) { context.aligned(1, own)? } else { between_axes(&v, 1 + own - context.rank(1)?, 0) };
                let mut back = vec![0; order.len()];
                for (to, &from) in order.iter().enumerate() {
                    back[from as usize] = to as i64;
                }
                v = v.transpose(&back);
            } else if context.is_batched(1) {
                v = context.aligned(1, place.rank)?;
            }
            let operands = [&[context.spread(0), v], place.operands.as_slice()].concat();
            one(Var::apply(op.name, &operands, index_attribute(place.items)))
        }
    }
}

/// The place that an index names in all rows.
struct Place {
    items: Vec<IndexItem>,
    operands: Vec<Var>,
    /// How many axes the place has in one row.
    rank: usize,
    /// Where the axes of what is read, rows first, stand in what the index gives; `None` if there.
    order: Option<Vec<i64>>,
}

impl Place {
    /// The place that `items`, which refer to `operands`, name in rows of `rank` axes; the operands' numbers in
    /// the context start at `first`. Nothing if its shape may differ from row to row.
    fn of(context: &Batch<'_>, rank: usize, first: usize, items: &[IndexItem], operands: &[Var]) -> Result<Option<Place>> {
        let is_mask = |number: usize| -> Result<bool> { Ok(nth(operands, number)?.ty()?.dtype == DType::Bool) };
        let single = |number: usize| -> Result<(usize, bool)> { Ok((context.rank(first + number)?, is_mask(number)?)) };
        let (mut differs, mut arrays) = (false, 0);
        for item in items {
            let bound = |bound: &IndexBound| matches!(bound, IndexBound::Operand(number) if context.is_batched(first + number));
            match item {
                IndexItem::Slice { start, stop, .. } if bound(start) || bound(stop) => return Ok(None),
                IndexItem::Operand(number) => {
                    let (axes, mask) = single(*number)?;
                    if mask && context.is_batched(first + number) {
                        return Ok(None);
                    }
                    differs |= context.is_batched(first + number);
                    arrays = arrays.max(if mask { 1 } else { axes });
                }
                _ => {}
            }
        }
        let row = plan(items, rank, single)?;
        let kept = |steps: &[Step]| steps.iter().filter(|step| matches!(step, Step::NewAxis | Step::Slice { .. })).count();
        let before = |plan: &super::Plan| {
            match plan.steps.iter().position(Step::is_position) {
                Some(at) if plan.advanced && !plan.leading => kept(&plan.steps[..at]),
                _ => 0,
            }
        };
        let place = before(&row);
        let others = kept(&row.steps);
        // What is written to has the rows as an axis in any case.
        let has_rows = context.is_batched(0) || first == 2;
        let mut operands = operands.to_vec();
        let mut all = items.to_vec();
        let from;
        if differs {
            for (number, operand) in operands.iter_mut().enumerate() {
                if context.is_batched(first + number) {
                    *operand = behind_first(operand, arrays - context.rank(first + number)?);
                }
            }
            if has_rows {
                all.insert(0, IndexItem::Operand(operands.len()));
                operands.push(between_axes(&positions(&context.rows()), 0, arrays));
            }
            let whole = plan(&all, rank + usize::from(has_rows), |number| {
                let operand = nth(&operands, number)?.ty()?;
                Ok((operand.rank(), operand.dtype == DType::Bool))
            })?;
            from = before(&whole);
        } else {
            all.insert(0, whole_axis());
            from = if row.leading { arrays } else { 0 };
        }
        // Axes of what the index gives, in the order that rows have.
        let order: Vec<usize> = if differs {
            let other = |at: usize| if at < from { at } else { at + 1 + arrays };
            let chosen = (0..arrays).map(|at| from + 1 + at);
            std::iter::once(from).chain((0..place).map(other)).chain(chosen).chain((place..others).map(other)).collect()
        } else {
            let rest = (0..others + arrays).map(|at| if at < from { at } else { at + 1 });
            std::iter::once(from).chain(rest).collect()
        };
        let in_order = order.iter().enumerate().all(|(to, &from)| to == from);
        let order = (!in_order).then(|| order.into_iter().map(|axis| axis as i64).collect());
        Ok(Some(Place { items: all, operands, rank: others + arrays, order }))
    }

    fn read(self, x: &Var) -> Var {
        let value = x.index(self.items, &self.operands);
        match self.order {
            Some(order) => value.transpose(&order),
            None => value,
        }
    }
}
