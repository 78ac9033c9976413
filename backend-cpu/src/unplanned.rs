//! Programs node by node, each value in memory of its own: where shapes depend on values.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arignote_core::graph::{NodeId, NodeKind, ValueId};
use arignote_core::tensor::Dim;
use arignote_core::{Error, ErrorKind, Result};

use crate::buffer::{Pool, View};
use crate::code::{Code, Value};
use crate::kernels::Context;

/// The outputs of a program for these arguments. `finished` hears of each node and when it began.
///
/// # Errors
/// If shapes or values do not fit, or the run is cancelled.
pub fn unplanned(
    code: &Code, context: &Context<'_>, pool: &Arc<Pool>, arguments: &[View<'_>], finished: &dyn Fn(NodeId, Instant),
) -> Result<Vec<Value>> {
    let graph = &code.graph;
    let mut last: HashMap<ValueId, usize> = HashMap::new();
    for (at, &id) in code.nodes.iter().enumerate() {
        for &value in graph.node(id).operands {
            last.insert(value, at);
        }
    }
    for &value in graph.outputs() {
        last.insert(value, usize::MAX);
    }
    let given: HashMap<ValueId, View<'_>> = graph.inputs().iter().map(|id| id.output(0)).zip(arguments.iter().copied()).collect();
    let mut values: HashMap<ValueId, Value> = HashMap::new();
    for (at, &id) in code.nodes.iter().enumerate() {
        cancelled(context).map_err(|error| code.locate(id, error))?;
        let began = Instant::now();
        let node = graph.node(id);
        let operands: Vec<View<'_>> = node.operands.iter().map(|&value| find(code, &given, &values, value)).collect::<Result<_>>()?;
        let results = code.evaluate(context, pool, id, &operands)?;
        finished(id, began);
        for (output, value) in results.into_iter().enumerate() {
            if last.contains_key(&id.output(output)) {
                values.insert(id.output(output), value);
            }
        }
        for value in node.operands {
            if last.get(value) == Some(&at) {
                values.remove(value);
            }
        }
    }
    graph.outputs().iter().map(|&value| Value::copy(pool, &find(code, &given, &values, value)?)).collect()
}

/// Whether arguments have the types that a program's inputs have; equal names are equal lengths.
///
/// # Errors
/// If one has not.
pub fn check_arguments(code: &Code, arguments: &[View<'_>]) -> Result<()> {
    let mut named: Vec<(&str, usize, &str)> = Vec::new();
    for (&id, argument) in code.graph.inputs().iter().zip(arguments) {
        let (ty, node) = (code.graph.ty(id.output(0)), code.graph.node(id));
        let NodeKind::Input(name) = node.kind else { continue };
        let fail = |message| Err(Error::new(ErrorKind::Runtime, message).at(node.location));
        if !ty.admits(argument.dtype, argument.shape) {
            return fail(format!("the input `{name}` takes {ty}, not {}{:?}", argument.dtype, argument.shape));
        }
        for (dim, &length) in ty.dims.iter().zip(argument.shape) {
            let Dim::Named(dim) = dim else { continue };
            match named.iter().find(|(known, ..)| *known == &**dim) {
                Some((_, known, first)) if *known != length => {
                    return fail(format!("`{dim}` is {known} in the input `{first}` but {length} in `{name}`"));
                }
                Some(_) => {}
                None => named.push((dim, length, name)),
            }
        }
    }
    Ok(())
}

/// Whether to go on.
///
/// # Errors
/// If the user asked to stop.
pub fn cancelled(context: &Context<'_>) -> Result<()> {
    if context.host.cancelled() {
        return Err(Error::new(ErrorKind::Runtime, "the run was cancelled"));
    }
    Ok(())
}

fn find<'a>(
    code: &'a Code, given: &HashMap<ValueId, View<'a>>, values: &'a HashMap<ValueId, Value>, value: ValueId,
) -> Result<View<'a>> {
    if let Some(value) = values.get(&value) {
        return Ok(value.view());
    }
    if let Some(&view) = given.get(&value) {
        return Ok(view);
    }
    match code.graph.node(value.node).constant() {
        Some(constant) => Ok(View::of(&constant.value)),
        None => Err(Error::new(ErrorKind::Internal, "a value is used before it is computed")),
    }
}
