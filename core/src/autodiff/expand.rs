//! Expansion of `grad`, `jvp`, `jacobian`, `vectorize` and the like, innermost first.

use rustc_hash::FxHashMap;

use super::path::{broken, name};
use super::reverse::cotangents_from;
use super::{cotangents, jacobian::jacobians, tangents, vectorize::vectorized};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, NodeKind, Var, clone_with, expand_nodes, inputs_of, topological_order};
use crate::ops::{Attribute, Attributes, Op, default_float, pullback_outputs, registry, vectorized_operands};

/// Replaces the symbolic nodes that depend on no other symbolic node. Call it again, after stabilizing,
/// until none is left.
///
/// # Errors
/// If a gradient does not exist, or a cost does not depend on a target.
pub fn expand_symbolic(graph: &Graph) -> Result<Graph> {
    let mut tainted = std::collections::HashSet::new();
    let mut innermost = Vec::new();
    for id in graph.topological_order() {
        let view = graph.node(id);
        let below = view.operands.iter().any(|operand| tainted.contains(&operand.node));
        let symbolic = view.apply().is_some_and(|(op, _)| op.is_symbolic());
        if symbolic && !below {
            innermost.push(id);
        }
        if symbolic || below {
            tainted.insert(id);
        }
    }
    // One walk per differentiated value: targets of one `grad` share it.
    expand_nodes(graph, &innermost, |op, operands, attributes| match (op.name(), operands) {
        ("grad", [cost, targets @ ..]) => {
            let one = cost.ones_like();
            let results = cotangents(&[(cost.clone(), one)], targets)?;
            connected(results, cost, targets, attributes)
        }
        ("vjp", [y, x, cotangent]) => {
            let results = cotangents(&[(y.clone(), shaped(cotangent, y)?)], std::slice::from_ref(x))?;
            connected(results, y, std::slice::from_ref(x), attributes)
        }
        ("pullback", operands) => {
            let outputs = pullback_outputs(operands.len(), attributes)?;
            let (values, rest) = operands.split_at(outputs);
            let (known, targets) = rest.split_at(outputs);
            let known = values.iter().zip(known).map(|(value, cotangent)| Ok((value.clone(), shaped(cotangent, value)?)));
            let known: Vec<(Var, Var)> = known.collect::<Result<_>>()?;
            connected(cotangents_from(&known, targets)?, &values[0], targets, attributes)
        }
        ("jvp", [y, x, tangent]) => {
            let results = tangents(std::slice::from_ref(y), &[(x.clone(), shaped(tangent, x)?)])?;
            match results.into_iter().next().flatten() {
                None if !zero_if_disconnected(attributes) => Err(disconnected(y, x)),
                tangent => Ok(vec![fitted(tangent, y)?]),
            }
        }
        ("jacobian", [y, targets @ ..]) => jacobians(y, targets, attributes),
        ("hessian", [cost, x]) => {
            let Some(disconnected) = attributes.get("disconnected") else { return Err(Error::new(ErrorKind::Internal, "an attribute is missing")) };
            let with = || Attributes::new().with("disconnected", disconnected.clone());
            let gradient = Var::apply("grad", &[cost.clone(), x.clone()], with());
            // A gradient that does not depend on x, of what is linear in it, is no mistake.
            let attributes = Attributes::new().with("mode", "forward").with("disconnected", "zero");
            Ok(vec![Var::apply("jacobian", &[gradient, x.clone()], attributes)])
        }
        ("vectorize", operands) => {
            let (outputs, replaced) = vectorized_operands(operands.len(), attributes)?;
            let (values, pairs) = operands.split_at(outputs);
            let (singles, stacks) = pairs.split_at(replaced);
            let pairs: Vec<(Var, Var)> = singles.iter().cloned().zip(stacks.iter().cloned()).collect();
            vectorized(values, &pairs)
        }
        (name, _) => Err(Error::new(ErrorKind::Internal, format!("`{name}` has no expansion"))),
    })
}

/// Whether any of the values depends differentiably on each of the targets.
///
/// # Errors
/// If a value is ill-typed, or an op on the way to a target has no gradient.
pub(super) fn depends(values: &[Var], targets: &[Var]) -> Result<Vec<bool>> {
    let roots = [values, targets].concat();
    let mut graph = Graph::from_vars(&inputs_of(&roots), &roots)?;
    let symbolic = |graph: &Graph| {
        graph.topological_order().into_iter().any(|id| graph.node(id).apply().is_some_and(|(op, _)| op.is_symbolic()))
    };
    while symbolic(&graph) {
        graph = expand_symbolic(&graph)?;
    }
    let (_, roots) = graph.to_vars()?;
    let known: Vec<(Var, Var)> = roots[..values.len()].iter().map(|value| (value.clone(), value.ones_like())).collect();
    Ok(cotangents_from(&known, &roots[values.len()..])?.iter().map(Option::is_some).collect())
}

/// A derivative that the user gave, of which a call makes sure that it has the shape of its value.
fn shaped(given: &Var, value: &Var) -> Result<Var> {
    let (ty, wanted) = (given.ty()?, value.ty()?);
    if ty.same_dims(wanted) {
        return Ok(given.clone());
    }
    // A number without a dtype of its own could not cross to another device as one.
    let given = if ty.weak || ty.dtype != wanted.dtype { given.cast(wanted.dtype) } else { given.clone() };
    Ok(Var::apply("specify_shape", &[given, value.shape()], Attributes::new()))
}

/// Derivatives with the targets' types; a missing one is an error or zero, as the node says.
fn connected(found: Vec<Option<Var>>, cost: &Var, targets: &[Var], attributes: &Attributes) -> Result<Vec<Var>> {
    let zero = zero_if_disconnected(attributes);
    let one = |(found, target): (Option<Var>, &Var)| match found {
        None if !zero => Err(disconnected(cost, target)),
        found => fitted(found, target),
    };
    found.into_iter().zip(targets).map(one).collect()
}

pub(super) fn zero_if_disconnected(attributes: &Attributes) -> bool {
    attributes.get("disconnected") == Some(&Attribute::Str("zero".into()))
}

pub(super) fn disconnected(cost: &Var, target: &Var) -> Error {
    let message = format!("{} does not depend differentiably on {}", name(cost), name(target));
    Error::new(ErrorKind::Gradient, message)
        .note(broken(cost, target))
        .note("`disconnected=\"zero\"` takes the derivative as zero")
}

/// A derivative with the dtype and shape of the value that it belongs to; `None` is zero.
pub(super) fn fitted(found: Option<Var>, like: &Var) -> Result<Var> {
    let wanted = like.ty()?;
    let Some(found) = found else {
        // In integers a gradient, which is none, is of floats.
        let zeros = like.zeros_like();
        return Ok(if wanted.dtype.is_float() { zeros } else { zeros.cast(default_float()) });
    };
    let ty = found.ty()?.clone();
    let found = if ty.dtype == wanted.dtype { found } else { found.cast(wanted.dtype) };
    // A cotangent may be a scalar where the value was broadcast only in name.
    Ok(if ty.rank() == wanted.rank() { found } else { found.broadcast_to_var(&like.shape()) })
}

/// The same values with a barrier around every target of a derivative that is itself computed or a
/// constant, so that rewriting cannot rewrite the cost past it. [`remove_barriers`] takes them away.
///
/// # Errors
/// If a value is ill-typed.
pub fn protect_targets(outputs: &[Var]) -> Result<Vec<Var>> {
    let mut replacements: Vec<(Var, Var)> = Vec::new();
    let barrier = registry().get("grad_barrier")?;
    let order = topological_order(outputs);
    let mut seen = FxHashMap::default();
    for var in &order {
        let NodeKind::Apply(op, attributes) = var.node().kind() else { continue };
        if !op.is_symbolic() {
            continue;
        }
        let operands = var.node().operands();
        let (known, targets) = match op.name() {
            "grad" => (&operands[..0], &operands[1..]),
            "pullback" => {
                // Rewriting must not go past values whose cotangents are known either.
                let outputs = pullback_outputs(operands.len(), attributes)?;
                (&operands[..outputs], &operands[2 * outputs..])
            }
            "jacobian" => (&operands[..0], &operands[1..]),
            "vectorize" => {
                let (outputs, replaced) = vectorized_operands(operands.len(), attributes)?;
                (&operands[..0], &operands[outputs..outputs + replaced])
            }
            _ => (&operands[..0], &operands[1..2]),
        };
        for target in known.iter().chain(targets) {
            let computed = matches!(target.node().kind(), NodeKind::Apply(..) | NodeKind::Constant(_));
            if computed && seen.insert(target.key(), ()).is_none() {
                let location = target.node().location().clone();
                let guarded =
                    Var::apply_op(barrier.clone(), std::slice::from_ref(target), Attributes::new(), location);
                replacements.push((target.clone(), guarded));
            }
        }
    }
    if replacements.is_empty() {
        return Ok(outputs.to_vec());
    }
    // Targets may depend on each other: each barrier is rebuilt over the barriers before it.
    replacements.sort_by_key(|(target, _)| target.key());
    for i in 0..replacements.len() {
        let (earlier, later) = replacements.split_at_mut(i);
        let (_, guarded) = &mut later[0];
        let inner = guarded.node().operands()[0].clone();
        let rebuilt = clone_with(&[inner], earlier)?.remove(0);
        let location = guarded.node().location().clone();
        *guarded = Var::apply_op(barrier.clone(), &[rebuilt], Attributes::new(), location);
    }
    clone_with(outputs, &replacements)
}

/// The graph without the barriers of [`protect_targets`].
///
/// # Errors
/// If the graph is damaged.
pub fn remove_barriers(graph: Graph) -> Result<Graph> {
    first_operands(graph, |op| op.name() == "grad_barrier")
}

/// The graph without the ops that only derivatives see: those that are their first operand, and those that
/// have the results of a body. Once it is gone through, what is around it can no longer be differentiated as
/// it was meant.
///
/// # Errors
/// If the graph is damaged.
pub fn remove_derivative_marks(graph: Graph) -> Result<Graph> {
    let mut graph = first_operands(graph, Op::is_identity)?;
    loop {
        let marks = |id: &NodeId| {
            let applied = graph.node(*id).apply();
            applied.is_some_and(|(op, attributes)| op.has_decomposition() && attributes.bodies().next().is_some())
        };
        let marked: Vec<NodeId> = graph.topological_order().into_iter().filter(marks).collect();
        if marked.is_empty() {
            return Ok(graph);
        }
        graph = expand_nodes(&graph, &marked, |op, operands, attributes| {
            op.decompose(operands, attributes)
                .unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, format!("`{}` has no decomposition", op.name()))))
        })?;
        graph = first_operands(graph, Op::is_identity)?;
    }
}

/// The graph with the first operand in place of some applications.
fn first_operands(mut graph: Graph, of: impl Fn(&dyn Op) -> bool) -> Result<Graph> {
    for id in graph.topological_order() {
        if graph.node(id).apply().is_some_and(|(op, _)| of(&**op)) {
            let operand = graph.node(id).operands[0];
            graph.replace(id.output(0), operand)?;
            graph.remove_dead(id);
        }
    }
    Ok(graph)
}
