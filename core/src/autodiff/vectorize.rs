//! Graphs applied to many rows at once.
//!
//! Each node above what is replaced gets an axis over the rows, the first one, by its op's rule
//! ([`Op::batch`]). An op without a rule is broadcast if it is elementwise and taken apart if it is made of
//! others; where that says nothing either, a loop runs it row by row. Loops and branches are loops and
//! branches of batched bodies, as long as all rows take as many steps, or the same branch. What may have
//! another shape in each row never stands for all rows: a loop runs it, with all that is computed from it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::reverse::above;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Location, NodeKind, Var, clone_with, topological_order_above};
use crate::ops::control::{ScanLayout, ScanOptions, ScanParts, build_scan, row};
use crate::ops::{Attributes, Batch, Batched, Op, length, spread};
use crate::tensor::{Dim, Type};

/// A value, and whether it has an axis over the rows.
type Rowed = (Var, bool);

/// Values, and what replaces each.
type Replaced = Vec<(Var, Rowed)>;

/// By value: what replaces it.
type Known = FxHashMap<(u64, u32), Rowed>;

/// The results of a graph for all rows.
struct Found {
    values: Vec<Rowed>,
    /// For each whether it was computed row by row as what it is computed from may have another shape in each row.
    apart: Vec<bool>,
}

impl Found {
    /// Whether a result may itself have another shape in each row.
    fn ragged(&self, single: &[Var]) -> Result<bool> {
        for (value, _) in single.iter().zip(&self.apart).filter(|(_, apart)| **apart) {
            if has_unknown(value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn has_unknown(value: &Var) -> Result<bool> {
    Ok(value.ty()?.dims.contains(&Dim::Unknown))
}

/// `outputs` for each row of what replaces some values: the pairs are a value, and one with its type and
/// another axis in front. All replacements have equally many rows, and so have the results.
///
/// # Errors
/// If a replacement has no type, or an op refuses what it is given.
pub fn vectorized(outputs: &[Var], replaced: &[(Var, Var)]) -> Result<Vec<Var>> {
    let Some((_, first)) = replaced.first() else { return Ok(outputs.to_vec()) };
    let rows = length(first, 0);
    let pairs: Replaced = replaced.iter().map(|(old, new)| (old.clone(), (new.clone(), true))).collect();
    let results = vectorized_above(outputs, &pairs, &[])?.values;
    Ok(results.into_iter().map(|(value, batched)| if batched { value } else { spread(&value, &rows) }).collect())
}

/// As [`vectorized`]; what the nodes of `floor` are computed from is left out.
fn vectorized_above(outputs: &[Var], replaced: &[(Var, Rowed)], floor: &[Var]) -> Result<Found> {
    let order = topological_order_above(outputs, floor);
    let targets: Vec<Var> = replaced.iter().map(|(old, _)| old.clone()).collect();
    let above = above(&order, &targets);
    let mut known: Known = replaced.iter().map(|(old, new)| (old.key(), new.clone())).collect();
    let mut apart: FxHashSet<u64> = FxHashSet::default();
    let renewed = |known: &Known, var: &Var| known.get(&var.key()).cloned().unwrap_or_else(|| (var.clone(), false));
    let is_apart = |known: &Known, apart: &FxHashSet<u64>, var: &Var| {
        apart.contains(&var.node().id()) && !known.contains_key(&var.key())
    };
    for var in &order {
        let node = var.node();
        let NodeKind::Apply(op, attributes) = node.kind() else { continue };
        let results = var.siblings();
        if !above.contains(&node.id()) || results.iter().all(|result| known.contains_key(&result.key())) {
            continue;
        }
        if node.operands().iter().any(|operand| is_apart(&known, &apart, operand)) {
            apart.insert(node.id());
            continue;
        }
        let (operands, batched): (Vec<Var>, Vec<bool>) =
            node.operands().iter().map(|operand| renewed(&known, operand)).unzip();
        let found = if batched.contains(&true) {
            let batch = Batch { single: node.operands(), results: &results, operands: &operands, batched: &batched, attributes };
            let found = node.location().stand_in(|| of_node(op, &batch)).map_err(|error| error.at(node.location()))?;
            let Some(found) = found else {
                apart.insert(node.id());
                continue;
            };
            found
        } else {
            let again = Var::apply_op(op.clone(), &operands, attributes.clone(), node.location().clone());
            again.siblings().into_iter().map(|value| (value, false)).collect()
        };
        for (result, found) in results.iter().zip(found) {
            let found = checked(op.name(), result, found).map_err(|error| error.at(node.location()))?;
            known.entry(result.key()).or_insert(found);
        }
    }
    let apart: Vec<bool> = outputs.iter().map(|output| is_apart(&known, &apart, output)).collect();
    let wanted: Vec<Var> = outputs.iter().zip(&apart).filter(|(_, apart)| **apart).map(|(output, _)| output.clone()).collect();
    let mut rows = rows_apart(&wanted, &known)?.into_iter();
    let values = outputs.iter().zip(&apart).map(|(output, apart)| {
        let row = if *apart { rows.next() } else { None };
        row.map_or_else(|| renewed(&known, output), |row| (row, true))
    });
    Ok(Found { values: values.collect(), apart })
}

/// A loop over the rows that runs all from which values are computed, down to what is known.
fn rows_apart(values: &[Var], known: &Known) -> Result<Vec<Var>> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let since = Var::next_id();
    let (mut pending, mut seen) = (values.to_vec(), FxHashSet::default());
    let (mut operands, mut params, mut replaced) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(var) = pending.pop() {
        if !seen.insert(var.key()) {
            continue;
        }
        match known.get(&var.key()) {
            Some((rows, true)) => {
                let param = row("row", rows, var.node().location())?;
                operands.push(rows.clone());
                params.push(param.clone());
                replaced.push((var, param));
            }
            Some((value, false)) => replaced.push((var, value.clone())),
            None => pending.extend(var.node().operands().iter().cloned()),
        }
    }
    let yields = clone_with(values, &replaced)?;
    let sequences = params.len();
    let parts = ScanParts {
        steps: None, operands, params, sequences, next: Vec::new(), yields, until: None, since, options: ScanOptions::default(),
    };
    build_scan(parts, values[0].node().location())
}

/// A result with the dtype that one row has.
fn checked(op: &str, single: &Var, (value, batched): Rowed) -> Result<Rowed> {
    let (wanted, found) = (single.ty()?, value.ty()?);
    if found.rank() != wanted.rank() + usize::from(batched) {
        let message = format!("rows of `{op}` are {wanted}, but together they were found to be {found}");
        return Err(Error::new(ErrorKind::Internal, message));
    }
    Ok((if found.dtype == wanted.dtype { value } else { value.cast(wanted.dtype) }, batched))
}

/// The results of a node for all rows; `None` where each row may have others of another shape.
fn of_node(op: &std::sync::Arc<dyn Op>, batch: &Batch<'_>) -> Result<Option<Vec<Rowed>>> {
    let all = |values: Vec<Var>, batched: bool| Some(values.into_iter().map(|value| (value, batched)).collect());
    let apply = |operands: &[Var]| {
        Var::apply_op(op.clone(), operands, batch.attributes.clone(), Location::caller()).siblings()
    };
    if batch.attributes.bodies().next().is_some() {
        let found = match op.name() {
            "scan" => of_scan(batch)?,
            "if" => of_bodies(op.name(), 1, batch)?,
            "checkpoint" | "recompute" => of_bodies(op.name(), 0, batch)?,
            _ => None,
        };
        return found.map_or_else(|| row_by_row(op, batch), |found| Ok(Some(found)));
    }
    match op.batch(batch)? {
        Batched::Rows(values) => Ok(all(values, true)),
        Batched::Same(values) => Ok(all(values, false)),
        Batched::Default if op.is_elementwise() => Ok(all(apply(&batch.all_aligned()?), true)),
        Batched::Default if op.has_decomposition() => match op.decompose(batch.single, batch.attributes) {
            Some(parts) => {
                let pairs = batch.single.iter().zip(batch.operands).zip(batch.batched);
                let replaced: Replaced =
                    pairs.map(|((old, new), &batched)| (old.clone(), (new.clone(), batched))).collect();
                let found = vectorized_above(&parts?, &replaced, batch.single)?;
                Ok(if found.ragged(batch.results)? { None } else { Some(found.values) })
            }
            None => row_by_row(op, batch),
        },
        Batched::Default => row_by_row(op, batch),
    }
}

/// An input of a body that stands for an operand; constants stand for themselves.
fn leaf(operand: &Var, ty: Type) -> Var {
    Var::input_at("row", Type::new(ty.dtype, ty.dims), operand.node().location().clone())
}

fn apply(op: &str, operands: &[Var], attributes: Attributes) -> Result<Vec<Var>> {
    let var = Var::apply_at(op, operands, attributes, Location::caller());
    var.ty()?;
    Ok(var.siblings())
}

/// A loop over the rows that runs the op by itself on each; `None` where each may give another shape.
fn row_by_row(op: &std::sync::Arc<dyn Op>, batch: &Batch<'_>) -> Result<Option<Vec<Rowed>>> {
    for result in batch.results {
        if has_unknown(result)? {
            return Ok(None);
        }
    }
    let (mut inputs, mut values) = (Vec::new(), Vec::new());
    let mut inside: Vec<Option<Var>> = vec![None; batch.operands.len()];
    for wanted in [true, false] {
        for (at, operand) in batch.operands.iter().enumerate().filter(|(at, _)| batch.batched[*at] == wanted) {
            if matches!(operand.node().kind(), NodeKind::Constant(_)) && !wanted {
                inside[at] = Some(operand.clone());
                continue;
            }
            let ty = operand.ty()?;
            let input = match wanted {
                true => leaf(operand, Type::new(ty.dtype, ty.dims[1..].to_vec())),
                false => Var::input_known("same", operand.inferred()?.clone(), operand.node().location().clone()),
            };
            inside[at] = Some(input.clone());
            inputs.push(input);
            values.push(operand.clone());
        }
    }
    let inside: Vec<Var> = inside.into_iter().flatten().collect();
    let results = Var::apply_op(op.clone(), &inside, batch.attributes.clone(), Location::caller()).siblings();
    for result in &results {
        result.ty()?;
    }
    let layout = ScanLayout {
        keep: vec![0; results.len()], body: Body::new(inputs, results)?.into(), counted: false,
        sequences: batch.batched.iter().filter(|&&batched| batched).count(), states: 0, until: false, truncate: None,
        reverse: false,
    };
    Ok(Some(apply("scan", &values, layout.attributes())?.into_iter().map(|value| (value, true)).collect()))
}

/// The inputs of a body of which some are batched: new ones where they are, and the pairs to replace them by.
fn batched_inputs(inputs: &[Var], batched: &[bool], rows: &Dim) -> Result<(Vec<Var>, Replaced)> {
    let (mut own, mut replaced) = (Vec::new(), Vec::new());
    for (input, &batched) in inputs.iter().zip(batched) {
        let mut new = input.clone();
        if batched {
            let ty = input.ty()?;
            let dims: Vec<Dim> = std::iter::once(rows.clone()).chain(ty.dims.iter().cloned()).collect();
            let name = match input.node().kind() {
                NodeKind::Input(name) => name.clone(),
                _ => "row".into(),
            };
            new = Var::input_at(&name, Type::new(ty.dtype, dims), input.node().location().clone());
            replaced.push((input.clone(), (new.clone(), true)));
        }
        own.push(new);
    }
    Ok((own, replaced))
}

/// The axis over the rows, as a type knows it.
fn row_dim(batch: &Batch<'_>) -> Result<Dim> {
    let batched = batch.operands.iter().zip(batch.batched).find(|(_, batched)| **batched);
    match batched {
        Some((operand, _)) => Ok(operand.ty()?.dims[0].clone()),
        None => Ok(Dim::Unknown),
    }
}

/// A scan whose steps compute all rows; `None` where rows may take different numbers of steps.
fn of_scan(batch: &Batch<'_>) -> Result<Option<Vec<Rowed>>> {
    let layout = ScanLayout::of(batch.attributes)?;
    let offset = usize::from(layout.counted);
    if layout.counted && batch.batched[0] {
        return Ok(None);
    }
    let (inputs, rows) = (layout.body.inputs(), row_dim(batch)?);
    let states = layout.sequences..layout.sequences + layout.states;
    let mut batched = batch.batched[offset..].to_vec();
    let (own, found) = loop {
        let (own, replaced) = batched_inputs(inputs, &batched, &rows)?;
        let found = vectorized_above(layout.body.outputs(), &replaced, &[])?;
        if found.ragged(layout.body.outputs())? {
            return Ok(None);
        }
        let found = found.values;
        let before = batched.clone();
        for (state, at) in states.clone().enumerate() {
            batched[at] |= found[state].1;
        }
        if batched == before {
            break (own, found);
        }
    };
    if layout.until && found.last().is_some_and(|(_, batched)| *batched) {
        return Ok(None);
    }
    // An operand that is batched is there, so an input is.
    let inner_rows = own.iter().zip(&batched).find(|(_, batched)| **batched).map(|(own, _)| length(own, 0));
    let inner_rows = inner_rows.unwrap_or_else(|| Var::scalar(1i64));
    let mut outputs = Vec::new();
    let mut flags = Vec::new();
    for (at, (value, is)) in found.into_iter().enumerate() {
        let wanted = if at < layout.states { batched[layout.sequences + at] } else { is };
        outputs.push(if wanted && !is { spread(&value, &inner_rows) } else { value });
        flags.push(wanted);
    }
    let mut values = batch.operands[..offset].to_vec();
    for (at, (operand, &is)) in batch.operands[offset..].iter().zip(&batched).enumerate() {
        values.push(match (is, at) {
            (true, at) if at < layout.sequences => operand.swapaxes(0, 1),
            (true, at) if states.contains(&at) => batch.spread(offset + at),
            _ => operand.clone(),
        });
    }
    let layout = ScanLayout { body: Body::new(own, outputs)?.into(), ..layout };
    let results = apply("scan", &values, layout.attributes())?.into_iter().zip(flags).enumerate();
    Ok(Some(results.map(|(at, (value, is))| (if is && at >= layout.states { value.swapaxes(0, 1) } else { value }, is)).collect()))
}

/// An op whose bodies compute all rows, from all operands but the `fixed` first; `None` where these differ from
/// row to row, so that rows may take different branches.
fn of_bodies(op: &str, fixed: usize, batch: &Batch<'_>) -> Result<Option<Vec<Rowed>>> {
    if batch.batched[..fixed].contains(&true) {
        return Ok(None);
    }
    let rows = row_dim(batch)?;
    let mut all = Vec::new();
    for (name, body) in batch.attributes.bodies() {
        let (own, replaced) = batched_inputs(body.inputs(), &batch.batched[fixed..], &rows)?;
        let found = vectorized_above(body.outputs(), &replaced, &[])?;
        if found.ragged(body.outputs())? {
            return Ok(None);
        }
        let found = found.values;
        let count = replaced.first().map_or_else(|| Var::scalar(1i64), |(_, (new, _))| length(new, 0));
        all.push((name, own, found, count));
    }
    let results = all.first().map_or(0, |(_, _, found, _)| found.len());
    let flags: Vec<bool> = (0..results).map(|at| all.iter().any(|(_, _, found, _)| found[at].1)).collect();
    let mut attributes = batch.attributes.clone();
    for (name, own, found, count) in all {
        let outputs = found.into_iter().zip(&flags).map(|((value, is), &wanted)| {
            if wanted && !is { spread(&value, &count) } else { value }
        });
        attributes.set(name, Body::new(own, outputs.collect())?);
    }
    Ok(Some(apply(op, batch.operands, attributes)?.into_iter().zip(flags).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    #[test]
    fn what_does_not_depend_on_the_rows_is_repeated() {
        let x = Var::input("x", Type::scalar(DType::F64));
        let xs = Var::input("xs", Type::new(DType::F64, ["n".into()]));
        let y = Var::input("y", Type::new(DType::F64, [3.into()]));
        let found = vectorized(&[y.clone(), &x + &y], &[(x, xs)]).unwrap();
        assert_eq!(found[0].ty().unwrap().to_string(), "f64[n, 3]");
        assert_eq!(found[1].ty().unwrap().to_string(), "f64[n, 3]");

    }
}
