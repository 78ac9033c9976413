//! Matching a rule's left side against a graph, and building its right side.

use smallvec::SmallVec;

use super::pattern::{AttributePattern, Pattern, PatternId, Rule};
use super::predicates::{self, Context};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Constant, Graph, Location, NodeId, NodeView, ValueId};
use crate::ops::{Attribute, AttributeKind, Attributes, Op};
use crate::tensor::DType;

/// What a match gives to the rule's variables, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// Values of the variables.
    pub values: SmallVec<[Option<ValueId>; 4]>,
    /// Values of the attribute variables.
    pub attributes: SmallVec<[Option<Attribute>; 2]>,
}

type Goals = SmallVec<[(PatternId, ValueId); 8]>;

/// The bindings under which a rule matches at `value`, its conditions included, if it does.
///
/// Operands of commutative ops match in either order. Chains of additions are not regrouped: that
/// would change what is rounded.
pub fn match_at(graph: &Graph, rule: &Rule, value: ValueId) -> Option<Bindings> {
    let mut bindings = Bindings::default();
    bindings.values.resize(rule.variables.len(), None);
    bindings.attributes.resize(rule.attribute_variables.len(), None);
    let goals = Goals::from_slice(&[(rule.lhs, value)]);
    solve(graph, rule, goals, bindings)
}

/// Meets the goals from the last to the first, trying both orders of commutative operands.
/// Recursion is as deep as the pattern has commutative ops.
fn solve(graph: &Graph, rule: &Rule, mut goals: Goals, mut bindings: Bindings) -> Option<Bindings> {
    while let Some((id, value)) = goals.pop() {
        match rule.pattern(id) {
            Pattern::Variable(number) => match bindings.values[*number] {
                Some(bound) if !same_value(graph, bound, value) => return None,
                Some(_) => {}
                None => bindings.values[*number] = Some(value),
            },
            Pattern::Literal(literal) => {
                if !constant_is(graph.node(value.node).constant()?, literal) {
                    return None;
                }
            }
            Pattern::Apply { op, operands, attributes } => {
                let view = graph.node(value.node);
                let (own, own_attributes) = view.apply()?;
                let same = own.name() == op.name()
                    && own.revision() == op.revision()
                    && view.operands.len() == operands.len()
                    && view.results.len() == 1;
                if !same {
                    return None;
                }
                let rank = view.operands.first().map_or(0, |&operand| graph.ty(operand).rank());
                for (name, kind, pattern) in attributes {
                    if !attribute_matches(own_attributes.get(name)?, *kind, pattern, rank, &mut bindings) {
                        return None;
                    }
                }
                if op.is_commutative() && operands.len() == 2 {
                    let mut other = goals.clone();
                    other.push((operands[1], view.operands[0]));
                    other.push((operands[0], view.operands[1]));
                    goals.push((operands[1], view.operands[1]));
                    goals.push((operands[0], view.operands[0]));
                    return solve(graph, rule, goals, bindings.clone())
                        .or_else(|| solve(graph, rule, other, bindings));
                }
                goals.extend(operands.iter().copied().zip(view.operands.iter().copied()).rev());
            }
        }
    }
    let holds = rule.conditions.iter().all(|condition| {
        condition.predicate.holds(&Context { graph, bindings: &bindings, arguments: &condition.arguments })
    });
    holds.then_some(bindings)
}

/// The same value, or equal constants.
fn same_value(graph: &Graph, left: ValueId, right: ValueId) -> bool {
    left == right
        || match (graph.node(left.node).constant(), graph.node(right.node).constant()) {
            (Some(a), Some(b)) => a.weak == b.weak && a.value.len() <= 16 && a == b,
            _ => false,
        }
}

/// Whether every element of a constant has the literal's value, as the constant's dtype holds it.
/// 0 and -0 are the same.
fn constant_is(constant: &Constant, literal: &Constant) -> bool {
    const LARGEST: usize = 4096;
    let count = constant.value.len();
    if count == 0 || count > LARGEST || (!literal.weak && literal.value.dtype() != constant.value.dtype()) {
        return false;
    }
    let wanted_is_bool = literal.value.dtype() == DType::Bool;
    if wanted_is_bool != (constant.value.dtype() == DType::Bool) {
        return false;
    }
    let Some(wanted) = literal.value.item() else { return false };
    if constant.value.dtype().is_float() {
        let Some(wanted) = literal.value.cast(constant.value.dtype()).item() else { return false };
        return constant.value.to_f64_vec().into_iter().all(|v| v == wanted || (v.is_nan() && wanted.is_nan()));
    }
    wanted.fract() == 0.0 && constant.value.to_f64_vec().into_iter().all(|v| v == wanted)
}

fn attribute_matches(
    found: &Attribute, kind: AttributeKind, pattern: &AttributePattern, rank: usize, bindings: &mut Bindings,
) -> bool {
    let same = |wanted: &Attribute| {
        found == wanted || {
            let axis = |attribute| predicates::single_axis(attribute, rank);
            matches!(kind, AttributeKind::Axes | AttributeKind::Int)
                && axis(found).is_some()
                && axis(found) == axis(wanted)
        }
    };
    match pattern {
        AttributePattern::Literal(wanted) => same(wanted),
        AttributePattern::Variable(number) => match &bindings.attributes[*number] {
            Some(bound) => same(bound),
            None => {
                bindings.attributes[*number] = Some(found.clone());
                true
            }
        },
    }
}

/// Builds the right side of a rule; gives its value and the nodes added, in order.
///
/// # Errors
/// If it is ill-typed; the nodes added are then removed again.
pub fn build(
    graph: &mut Graph, rule: &Rule, bindings: &Bindings, location: &Location,
) -> Result<(ValueId, Vec<NodeId>)> {
    // Patterns of the right side come after those of the left, parts first.
    build_from(graph, rule, rule.lhs.0 as usize + 1, bindings, location)
}

/// Builds the patterns from `start` up to the right side's.
pub(super) fn build_from(
    graph: &mut Graph, rule: &Rule, start: usize, bindings: &Bindings, location: &Location,
) -> Result<(ValueId, Vec<NodeId>)> {
    let mut added = Vec::new();
    let mut values: SmallVec<[Option<ValueId>; 16]> = SmallVec::from_elem(None, rule.patterns.len());
    let built = build_parts(graph, rule, start, bindings, location, &mut values, &mut added);
    match built {
        Ok(value) => Ok((value, added)),
        Err(error) => {
            discard(graph, &added);
            Err(error)
        }
    }
}

/// Whether a node computes each element of its one result from those of its operands alone, and cannot fail.
pub(super) fn is_elementwise(view: &NodeView<'_>) -> bool {
    let plain = |op: &dyn Op| op.is_elementwise() && !op.can_fail() && !op.is_identity() && op.name() != "grad_barrier";
    view.results.len() == 1 && view.apply().is_some_and(|(op, _)| plain(&**op))
}

/// Removes nodes that were added and are not used.
pub(super) fn discard(graph: &mut Graph, added: &[NodeId]) {
    for &id in added.iter().rev() {
        if graph.contains(id) && graph.users(id).is_empty() {
            graph.remove_dead(id);
        }
    }
}

fn build_parts(
    graph: &mut Graph, rule: &Rule, start: usize, bindings: &Bindings, location: &Location,
    values: &mut [Option<ValueId>], added: &mut Vec<NodeId>,
) -> Result<ValueId> {
    let lost = || Error::new(ErrorKind::Internal, format!("rule `{}` builds from what it does not bind", rule.name));
    for number in start..=rule.rhs.0 as usize {
        let value = match &rule.patterns[number] {
            Pattern::Variable(variable) => bindings.values[*variable].ok_or_else(lost)?,
            Pattern::Literal(constant) => {
                let value = graph.add_constant(constant.clone(), location.clone());
                added.push(value.node);
                value
            }
            Pattern::Apply { op, operands, attributes } => {
                let operands: SmallVec<[ValueId; 4]> =
                    operands.iter().map(|id| values[id.0 as usize].ok_or_else(lost)).collect::<Result<_>>()?;
                let mut own = Attributes::new();
                for (name, kind, pattern) in attributes {
                    let attribute = match pattern {
                        AttributePattern::Literal(attribute) => attribute.clone(),
                        AttributePattern::Variable(variable) => {
                            bindings.attributes[*variable].clone().ok_or_else(lost)?
                        }
                    };
                    own.set(name, fitted(attribute, *kind));
                }
                let id = graph.apply(op.clone(), &operands, own, location.clone())?;
                added.push(id);
                id.output(0)
            }
        };
        values[number] = Some(value);
    }
    values[rule.rhs.0 as usize].ok_or_else(lost)
}

/// `[1]` as `1` where one whole number is wanted.
fn fitted(attribute: Attribute, kind: AttributeKind) -> Attribute {
    match (&attribute, kind) {
        (Attribute::List(items), AttributeKind::Int) if items.len() == 1 => items[0].clone(),
        _ => attribute,
    }
}
