//! The logarithm of a determinant becomes that of `slogdet`: a determinant of a few hundred rows overflows.

use crate::error::Result;
use crate::graph::{Constant, Graph, NodeId, ValueId};
use crate::ops::{Attributes, registry};
use crate::rewrite::Phase;
use crate::rewrite::describe::describe;
use crate::rewrite::engine::Firing;
use crate::tensor::Tensor;

use super::{Pass, PassContext};

/// `log(abs(det(x)))` is the second result of `slogdet(x)`, and `log(det(x))` where the first is not negative. What
/// a rule cannot say, as rules know ops of one result alone.
pub struct LogDet;

impl Pass for LogDet {
    fn name(&self) -> &str {
        "log_of_det"
    }

    fn phase(&self) -> Phase {
        Phase::Stabilize
    }

    fn doc(&self) -> &str {
        "log(abs(det(x))) => logdet of slogdet(x); log(det(x)) => where(sign < 0, nan, logdet)"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = false;
        for id in graph.nodes_where(|view| view.op_name() == "log") {
            if graph.contains(id) {
                changed |= replace(graph, id, firings)?;
            }
        }
        Ok(changed)
    }
}

fn replace(graph: &mut Graph, log: NodeId, firings: &mut Vec<Firing>) -> Result<bool> {
    let operand = |graph: &Graph, node: NodeId| graph.node(node).operands.first().copied();
    let Some(mut inner) = operand(graph, log) else { return Ok(false) };
    let magnitude = graph.node(inner.node).op_name() == "abs";
    if magnitude {
        let Some(below) = operand(graph, inner.node) else { return Ok(false) };
        inner = below;
    }
    let (true, Some(matrix)) = (graph.node(inner.node).op_name() == "det", operand(graph, inner.node)) else {
        return Ok(false);
    };
    let location = graph.node(log).location.clone();
    let before = describe(graph, log.output(0), 3);
    let slogdet = graph.apply(registry().get("slogdet")?, &[matrix], Attributes::new(), location.clone())?;
    let (sign, logdet) = (slogdet.output(0), slogdet.output(1));
    let mut added = vec![slogdet];
    let mut apply = |graph: &mut Graph, op: &str, operands: &[ValueId]| -> Result<ValueId> {
        let id = graph.apply(registry().get(op)?, operands, Attributes::new(), location.clone())?;
        added.push(id);
        Ok(id.output(0))
    };
    let new = if magnitude {
        logdet
    } else {
        let weak = |value: f64| Constant { value: Tensor::scalar(value), weak: true };
        let zero = graph.add_constant(weak(0.0), location.clone());
        let nan = graph.add_constant(weak(f64::NAN), location.clone());
        let negative = apply(graph, "lt", &[sign, zero])?;
        apply(graph, "where", &[negative, nan, logdet])?
    };
    let old = log.output(0);
    if graph.ty(old) != graph.ty(new) {
        crate::rewrite::matcher::discard(graph, &added);
        return Ok(false);
    }
    graph.replace(old, new)?;
    graph.remove_dead(log);
    let after = describe(graph, new, 3);
    firings.push(Firing::of_pass("log_of_det", location, before, after));
    Ok(true)
}
