//! A pass: what no pattern can say, as it looks at chains of any length.

use std::sync::Arc;

use arignote_core::Result;
use arignote_core::graph::{Graph, NodeId, ValueId};
use arignote_core::ops::Attributes;
use arignote_core::plugin::Pass;
use arignote_core::rewrite::describe::describe;
use arignote_core::rewrite::{Firing, PassContext, Phase};

/// Of the operands of nested `maximum` or `minimum`, keeps each once: `maximum(x, maximum(y, x))` is `maximum(x, y)`.
pub struct Repeated;

impl Pass for Repeated {
    fn name(&self) -> &str {
        "tidy_repeated"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn doc(&self) -> &str {
        "of the operands of nested maximum or minimum, keeps each once"
    }

    fn examples(&self) -> Vec<&str> {
        vec![
            "fn f(x: f64[72], y: f64[72]) { return maximum(x, maximum(y, x)) }",
            "fn f(x: f32[8, 3], y: f32[3], z: f32[8, 1]) { return minimum(minimum(x, y), minimum(minimum(z, y), x)) }",
            "fn f(x: i32[72], y: i32[72]) { return maximum(maximum(x, y), y) }",
        ]
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let before = firings.len();
        for id in graph.topological_order() {
            if graph.contains(id) && ["maximum", "minimum"].contains(&graph.node(id).op_name()) {
                firings.extend(shorten(graph, id)?);
            }
        }
        Ok(firings.len() > before)
    }
}

fn shorten(graph: &mut Graph, root: NodeId) -> Result<Option<Firing>> {
    let view = graph.node(root);
    let (Some((op, _)), location) = (view.apply(), view.location.clone()) else { return Ok(None) };
    let op = Arc::clone(op);
    let all = operands(graph, root);
    let mut kept: Vec<ValueId> = Vec::new();
    for &operand in &all {
        if !kept.contains(&operand) {
            kept.push(operand);
        }
    }
    if kept.len() == all.len() {
        return Ok(None);
    }
    let before = describe(graph, root.output(0), 4);
    let mut chain = kept[0];
    for &operand in &kept[1..] {
        chain = graph.apply(op.clone(), &[chain, operand], Attributes::new(), location.clone())?.output(0);
    }
    graph.replace(root.output(0), chain)?;
    graph.remove_dead(root);
    Ok(Some(Firing::of_pass("tidy_repeated", location, before, describe(graph, chain, 4))))
}

/// The operands of an application and of those below it that are of the same op and read by nobody else.
fn operands(graph: &Graph, root: NodeId) -> Vec<ValueId> {
    let op = graph.node(root).op_name();
    let (mut found, mut pending) = (Vec::new(), vec![root.output(0)]);
    while let Some(value) = pending.pop() {
        let alone = value.node == root || graph.users(value.node).len() == 1 && !graph.outputs().contains(&value);
        if graph.node(value.node).op_name() == op && alone {
            pending.extend(graph.node(value.node).operands.iter().rev());
        } else {
            found.push(value);
        }
    }
    found
}
