//! A loop in chunks, of which reverse mode keeps the states between two chunks alone.

use super::builders::apply;
use super::{ScanLayout, internal};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Location, Var};
use crate::ops::shape::{concatenate, stack};
use crate::ops::{Attributes, IndexBound, IndexItem};
use crate::tensor::Type;

/// A `scan` of this layout as a loop over chunks of `every` steps, each a `checkpoint` around a loop, and
/// then a loop over the steps that are left. The results are those of the one loop.
///
/// # Errors
/// If the loop may end early, or something is ill-typed.
pub(super) fn chunked(layout: &ScanLayout, operands: &[Var], every: i64, location: &Location) -> Result<Vec<Var>> {
    location.stand_in(|| Chunks::new(layout, operands, every, location)?.results())
}

struct Chunks<'a> {
    layout: &'a ScanLayout,
    location: &'a Location,
    sequences: &'a [Var],
    inits: &'a [Var],
    captured: &'a [Var],
    every: Var,
    /// How many chunks there are, how many steps in them, and how many after them.
    count: Var,
    inside: Var,
    left: Var,
}

impl<'a> Chunks<'a> {
    fn new(layout: &'a ScanLayout, operands: &'a [Var], every: i64, location: &'a Location) -> Result<Chunks<'a>> {
        let fail = |what: &str| {
            Err(Error::new(ErrorKind::Type, format!("`checkpoint` and `{what}` do not go together in one scan")))
        };
        if layout.until {
            return fail("until");
        }
        if layout.truncate.is_some() {
            return fail("truncate");
        }
        if layout.reverse {
            return fail("reverse");
        }
        if layout.keep.iter().any(|&rows| rows > 0) {
            return fail("keep");
        }
        // The loop itself says what is wrong with its types.
        apply("scan", operands, layout.attributes(), location)?;
        let (counted, rest) = operands.split_at(usize::from(layout.counted));
        let (sequences, rest) = rest.split_at(layout.sequences);
        let (inits, captured) = rest.split_at(layout.states);
        let steps = match (counted, sequences) {
            ([steps], _) => steps.cast(crate::tensor::DType::I64),
            (_, [first, ..]) => first.shape().at(0),
            _ => return Err(internal("nothing says how many steps there are")),
        };
        let every = Var::scalar(every);
        let count = steps.floor_div(&every);
        let inside = &count * &every;
        let left = &steps - &inside;
        Ok(Chunks { layout, location, sequences, inits, captured, every, count, inside, left })
    }

    /// The loop over these sequences, in place of the whole ones.
    fn part(&self, counted: Option<&Var>, sequences: &[Var], inits: &[Var], captured: &[Var]) -> Result<Vec<Var>> {
        let operands: Vec<Var> =
            counted.into_iter().chain(sequences).chain(inits).chain(captured).cloned().collect();
        apply("scan", &operands, self.layout.attributes(), self.location)
    }

    fn results(&self) -> Result<Vec<Var>> {
        let all = IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Operand(0), step: 1 };
        let rest = IndexItem::Slice { start: IndexBound::Operand(0), stop: IndexBound::Open, step: 1 };
        let chunk = |values: &Var| {
            let rows = values.index(vec![all.clone()], std::slice::from_ref(&self.inside));
            rows.reshape_to(&concatenate(&[stack(&[self.count.clone(), self.every.clone()], 0), tail(values, 1)], 0))
        };
        let chunks: Vec<Var> = self.sequences.iter().map(chunk).collect();
        let (states, full) = self.outer(&chunks)?;
        let end = |values: &Var| values.index(vec![rest.clone()], std::slice::from_ref(&self.inside));
        let ends: Vec<Var> = self.sequences.iter().map(end).collect();
        let mut results = self.part(self.layout.counted.then_some(&self.left), &ends, &states, self.captured)?;
        for (result, full) in results[self.layout.states..].iter_mut().zip(full) {
            let rows = stack(std::slice::from_ref(&self.inside), 0);
            let flat = full.reshape_to(&concatenate(&[rows, tail(&full, 2)], 0));
            *result = concatenate(&[flat, result.clone()], 0);
        }
        for result in &results {
            result.ty()?;
        }
        Ok(results)
    }

    /// The loop over the chunks: the states after them, and what they yield, chunk by chunk.
    fn outer(&self, chunks: &[Var]) -> Result<(Vec<Var>, Vec<Var>)> {
        let like = |var: &Var, ty: Type| Var::input_at(name(var), ty, var.node().location().clone());
        let inputs = self.layout.body.inputs();
        let (rows, rest) = inputs.split_at(self.layout.sequences);
        let (states, captured) = rest.split_at(self.layout.states);
        let mut params = Vec::new();
        for (row, chunk) in rows.iter().zip(chunks) {
            let ty = chunk.ty()?;
            params.push(like(row, Type::new(ty.dtype, ty.dims[1..].to_vec()).with_weak(ty.weak)));
        }
        for state in states {
            params.push(like(state, state.ty()?.clone()));
        }
        for (input, value) in captured.iter().zip(self.captured) {
            params.push(Var::input_known(name(input), value.inferred()?.clone(), input.node().location().clone()));
        }
        // The same inputs once more, for the body inside.
        let again: Vec<Var> = params
            .iter()
            .map(|param| Ok(Var::input_known(name(param), param.inferred()?.clone(), param.node().location().clone())))
            .collect::<Result<_>>()?;
        let (sequences, rest) = again.split_at(rows.len());
        let (inits, captured) = rest.split_at(states.len());
        let counted = self.layout.counted.then_some(&self.every);
        let inner = Body::new(again.clone(), self.part(counted, sequences, inits, captured)?)?;
        let outputs = apply("checkpoint", &params, Attributes::new().with("body", inner), self.location)?;
        let outer = ScanLayout { body: Body::new(params, outputs)?.into(), counted: true, ..self.layout.clone() };
        let operands: Vec<Var> = std::iter::once(&self.count)
            .chain(chunks)
            .chain(self.inits)
            .chain(self.captured)
            .cloned()
            .collect();
        let mut results = apply("scan", &operands, outer.attributes(), self.location)?;
        let yields = results.split_off(self.layout.states);
        Ok((results, yields))
    }
}

/// The lengths of the axes from one on.
fn tail(values: &Var, from: i64) -> Var {
    values.shape().slice(0, Some(from), None)
}

fn name(var: &Var) -> &str {
    match var.node().kind() {
        crate::graph::NodeKind::Input(name) => name,
        _ => "c",
    }
}
