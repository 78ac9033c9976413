//! One factorization for all that is computed of a matrix: equations with it and with its transpose, its inverse, its
//! determinant.

use super::together::nodes_of;
use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Graph, NodeId, ValueId};
use crate::ops::{Attribute, Attributes, IndexItem, registry};
use crate::rewrite::Phase;
use crate::rewrite::engine::{Firing, fits};
use crate::rewrite::facts::{Fact, certain, swaps_last};
use crate::tensor::{Dim, Tensor};

/// Factorizes a matrix once that several ops would each factorize. The gradient of a solution is a solution with the
/// transposed matrix, for a right side that depends on the first, so that [`MergeSolves`](super::MergeSolves) cannot
/// make one of both; that of `slogdet` is the inverse.
pub struct ReuseFactors;

/// What is computed with one matrix.
struct Group {
    /// The matrix, where it is not the transpose of another.
    matrix: ValueId,
    kind: String,
    /// The nodes, and whether they have the transposed matrix.
    members: Vec<(NodeId, bool)>,
    /// Its factors, if the graph has them.
    factors: Option<NodeId>,
}

impl Pass for ReuseFactors {
    fn name(&self) -> &str {
        "reuse_factors"
    }

    fn phase(&self) -> Phase {
        Phase::Specialize
    }

    fn doc(&self) -> &str {
        "solve(a, b), solve(transpose(a), c), inv(a), det(a), slogdet(a) => all by one factorize(a)"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        // No group is worth it without one of these.
        if !graph.has_node(|view| matches!(view.op_name(), "solve" | "inv")) {
            return Ok(false);
        }
        let mut changed = false;
        for group in groups(graph)? {
            // A matrix that was a solution of another group is another value now, of which the next round knows.
            if graph.contains(group.matrix.node) {
                changed |= share(graph, group, firings)?;
            }
        }
        Ok(changed)
    }
}

fn groups(graph: &Graph) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for op in ["solve", "inv", "det", "slogdet", "factorize"] {
        for id in nodes_of(graph, op) {
            let view = graph.node(id);
            let (Some((_, attributes)), Some(&a)) = (view.apply(), view.operands.first()) else { continue };
            let kind = match op {
                "solve" | "factorize" => attributes.str("assume_a")?,
                _ if certain(graph, a, Fact::PositiveDefinite) => "pos",
                _ => "gen",
            };
            if kind == "gen" && is_structured(graph, a) {
                continue;
            }
            let base = if kind == "gen" { untransposed(graph, a) } else { None };
            let (matrix, turned) = (base.unwrap_or(a), base.is_some());
            let at = groups.iter().position(|group| group.matrix == matrix && group.kind == kind).unwrap_or_else(|| {
                groups.push(Group { matrix, kind: kind.to_owned(), members: Vec::new(), factors: None });
                groups.len() - 1
            });
            match op {
                "factorize" if turned => {}
                "factorize" => groups[at].factors = Some(id),
                _ => groups[at].members.push((id, turned)),
            }
        }
    }
    for group in &mut groups {
        // Where only the transposed matrix is read it is that which has factors.
        if group.factors.is_none() && group.members.iter().all(|&(_, turned)| turned) {
            group.matrix = graph.node(group.members[0].0).operands[0];
            group.members.iter_mut().for_each(|(_, turned)| *turned = false);
        }
        // The pivots of a transposed matrix are others, and with them what of a determinant is rounded.
        group.members.retain(|&(id, turned)| !turned || matches!(graph.node(id).op_name(), "solve" | "inv"));
    }
    let solves = |group: &Group| group.members.iter().any(|&(id, _)| matches!(graph.node(id).op_name(), "solve" | "inv"));
    groups.retain(|group| solves(group) && group.members.len() + usize::from(group.factors.is_some()) > 1);
    Ok(groups)
}

/// Whether something is known of the matrix for which there are other means than a general factorization.
fn is_structured(graph: &Graph, a: ValueId) -> bool {
    let single = matches!(graph.ty(a).dims.as_slice(), [.., Dim::Known(1), Dim::Known(1)]);
    let facts = [Fact::LowerTriangular, Fact::UpperTriangular, Fact::Orthogonal, Fact::PositiveDefinite];
    let factored = || graph.users(a.node).iter().any(|&user| graph.node(user).op_name() == "cholesky");
    single || facts.iter().any(|&fact| certain(graph, a, fact)) || (factored() && certain(graph, a, Fact::Symmetric))
}

/// What a matrix is the transpose of.
fn untransposed(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let view = graph.node(value.node);
    let (op, attributes) = view.apply()?;
    let operand = *view.operands.first()?;
    swaps_last(op.name(), attributes, graph.ty(operand).rank())?.then_some(operand)
}

fn share(graph: &mut Graph, group: Group, firings: &mut Vec<Firing>) -> Result<bool> {
    let location = graph.node(group.members[0].0).location.clone();
    let apply = |graph: &mut Graph, op: &str, operands: &[ValueId], attributes: Attributes| -> Result<NodeId> {
        graph.apply(registry().get(op)?, operands, attributes, location.clone())
    };
    let kind = || Attributes::new().with("assume_a", group.kind.as_str());
    let a = group.matrix;
    let factors = match group.factors {
        Some(factors) => factors,
        None => apply(graph, "factorize", &[a], kind())?,
    };
    let (mut found, mut left) = (Vec::new(), vec![factors]);
    for &(id, turned) in &group.members {
        let view = graph.node(id);
        let news = match view.op_name() {
            "det" => vec![factors.output(2)],
            "slogdet" => vec![factors.output(3), factors.output(4)],
            op => {
                let b = match view.operands {
                    &[_, b] if op == "solve" => b,
                    _ => identity(graph, a, &apply)?,
                };
                let attributes = kind().with("trans", i64::from(turned));
                let solved = apply(graph, "solve_by_factors", &[a, factors.output(0), factors.output(1), b], attributes)?;
                left.insert(0, solved);
                vec![solved.output(0)]
            }
        };
        if news.iter().enumerate().all(|(at, &new)| fits(graph, id.output(at), new).is_ok()) {
            found.push((id, news));
        }
    }
    let count = found.len();
    let enough = count + usize::from(group.factors.is_some()) > 1;
    for (id, news) in found.into_iter().filter(|_| enough) {
        for (at, new) in news.into_iter().enumerate() {
            graph.replace(id.output(at), new)?;
        }
        graph.remove_dead(id);
    }
    // What does not fit, or is not worth it.
    for id in left {
        graph.remove_dead(id);
    }
    if enough {
        let before = format!("{count} that factorize one matrix");
        firings.push(Firing::of_pass("reuse_factors", location.clone(), before, "one factorization".to_owned()));
    }
    Ok(enough)
}

/// The right side for which the solution is the inverse.
fn identity(
    graph: &mut Graph, a: ValueId, apply: &impl Fn(&mut Graph, &str, &[ValueId], Attributes) -> Result<NodeId>,
) -> Result<ValueId> {
    let (dtype, rank) = (graph.ty(a).dtype, graph.ty(a).rank());
    let rows = match graph.ty(a).dims[rank - 1] {
        Dim::Known(rows) => {
            let rows = crate::graph::Constant { value: Tensor::scalar(rows as i64), weak: false };
            let location = graph.node(a.node).location.clone();
            graph.add_constant(rows, location)
        }
        _ => {
            let shape = apply(graph, "shape", &[a], Attributes::new())?.output(0);
            let last = Attribute::Index(vec![IndexItem::At(rank as i64 - 1)]);
            apply(graph, "index", &[shape], Attributes::new().with("index", last))?.output(0)
        }
    };
    Ok(apply(graph, "eye", &[rows], Attributes::new().with("dtype", dtype))?.output(0))
}
