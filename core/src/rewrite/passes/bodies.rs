//! Loops, branches and what else holds a body: what nobody reads is not computed.

use rustc_hash::FxHashMap;

use super::{Pass, PassContext};
use crate::error::Result;
use crate::graph::{Body, Graph, NodeId, NodeKind, ValueId, Var, same_graph};
use crate::ops::control::{Read, ScanLayout, normal_form, prune};
use crate::ops::effects::is_effectful;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::rewrite::Phase;
use crate::rewrite::engine::Firing;

/// Brings ops with bodies into their shortest form, and makes one loop of several over the same values.
pub struct PruneBodies;

impl Pass for PruneBodies {
    fn name(&self) -> &str {
        "prune_bodies"
    }

    fn phase(&self) -> Phase {
        Phase::Canonicalize
    }

    fn doc(&self) -> &str {
        "drops results, yields, states and captured values of loops and branches that nothing reads, keeps of a \
         yield the last rows if only these are read, and merges loops over the same values"
    }

    fn run(&self, graph: &mut Graph, _: &PassContext<'_>, firings: &mut Vec<Firing>) -> Result<bool> {
        let mut changed = merge_loops(graph, firings)?;
        for id in with_bodies(graph) {
            if graph.contains(id) {
                // An effect inside is computed, whoever reads what it belongs to.
                let read = (!effectful(graph, id)).then(|| reads(graph, id));
                changed |= shorten(graph, id, read.as_deref(), firings)?;
            }
        }
        Ok(changed)
    }
}

/// Brings ops with bodies into the form in which the language gives them: they have an input for each value
/// that they read, and no others.
///
/// # Errors
/// If the graph is damaged.
pub fn normalize_bodies(graph: &mut Graph) -> Result<()> {
    for id in with_bodies(graph) {
        if graph.contains(id) {
            shorten(graph, id, None, &mut Vec::new())?;
        }
    }
    Ok(())
}

fn effectful(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).apply().is_some_and(|(op, attributes)| is_effectful(&**op, attributes))
}

fn with_bodies(graph: &Graph) -> Vec<NodeId> {
    graph.nodes_where(|view| view.apply().is_some_and(|(_, attributes)| attributes.bodies().next().is_some()))
}

/// How each result of a node is read.
fn reads(graph: &Graph, id: NodeId) -> Vec<Read> {
    let count = graph.node(id).results.len();
    // The last rows of a loop that goes from the last to the first are those of its first steps.
    let reverse = graph.node(id).apply().is_some_and(|(_, attributes)| attributes.bool("reverse").unwrap_or(false));
    (0..count)
        .map(|output| {
            let value = id.output(output);
            if graph.outputs().contains(&value) {
                return Read::Whole;
            }
            let mut most = None;
            for &user in graph.users(id) {
                match rows_read(graph, user, value) {
                    Some(0) => {}
                    Some(_) if reverse => return Read::Whole,
                    Some(rows) => most = most.max(Some(rows)),
                    None => return Read::Whole,
                }
            }
            most.map_or(Read::Never, Read::Last)
        })
        .collect()
}

/// How many of the last rows of a value a node reads at most, if it is known to read no others; 0 for a node
/// that does not read it.
fn rows_read(graph: &Graph, user: NodeId, value: ValueId) -> Option<usize> {
    let view = graph.node(user);
    let uses = view.operands.iter().filter(|&&operand| operand == value).count();
    if uses == 0 {
        return Some(0);
    }
    let (op, attributes) = view.apply()?;
    if op.name() != "index" || uses > 1 || view.operands[0] != value {
        return None;
    }
    let from_the_end = |at: i64| usize::try_from(at.checked_neg()?).ok().filter(|&rows| rows > 0);
    match attributes.index("index").ok()?.first()? {
        IndexItem::At(at) => from_the_end(*at),
        // Backwards from the end, or from before it.
        IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::At(stop), step } if *step < 0 => from_the_end(stop.checked_add(1)?),
        IndexItem::Slice { start: IndexBound::At(start), stop: IndexBound::At(stop), step } if *step < 0 && *start < 0 => from_the_end(stop.checked_add(1)?),
        IndexItem::Slice { start: IndexBound::At(start), stop, step } if *step > 0 => match stop {
            IndexBound::Open => from_the_end(*start),
            IndexBound::At(stop) if *stop < 0 => from_the_end(*start),
            _ => None,
        },
        _ => None,
    }
}

/// Puts the shortest form of a node, of which so much is read, in its place, or its normal form; gives
/// whether it is another one.
fn shorten(graph: &mut Graph, id: NodeId, read: Option<&[Read]>, firings: &mut Vec<Firing>) -> Result<bool> {
    let view = graph.node(id);
    let Some((op, attributes)) = view.apply() else { return Ok(false) };
    let (op, attributes, location) = (op.clone(), attributes.clone(), view.location.clone());
    // Values stand for themselves; equal ones are one.
    let mut vars: FxHashMap<ValueId, Var> = FxHashMap::default();
    let mut values: FxHashMap<(u64, u32), ValueId> = FxHashMap::default();
    let mut operands = Vec::new();
    for &operand in view.operands {
        let of = graph.node(operand.node);
        let var = vars.entry(operand).or_insert_with(|| match of.kind {
            NodeKind::Constant(constant) => Var::constant_at(constant.clone(), of.location.clone()),
            NodeKind::Input(name) => Var::input_known(name, of.results[0].clone(), of.location.clone()),
            NodeKind::State(state) => Var::input_known(state.name(), of.results[0].clone(), of.location.clone()),
            NodeKind::Apply(..) => {
                Var::input_known("c", of.results[operand.output as usize].clone(), of.location.clone())
            }
        });
        values.insert(var.key(), operand);
        operands.push(var.clone());
    }
    let rows = |(number, read): (usize, &Read)| {
        let rows = graph.ty(id.output(number)).dims.first().and_then(crate::tensor::Dim::known);
        match *read {
            // All of them.
            Read::Last(last) if rows.is_some_and(|rows| rows <= last) => Read::Whole,
            read => read,
        }
    };
    let count = view.results.len();
    let pruned = match read {
        Some(read) => {
            let read: Vec<Read> = read.iter().enumerate().map(rows).collect();
            prune(op.name(), &operands, &attributes, &read)?
        }
        None => normal_form(op.name(), &operands, &attributes, count)?,
    };
    let Some(pruned) = pruned else { return Ok(false) };
    let same = pruned.operands.len() == operands.len()
        && pruned.operands.iter().zip(&operands).all(|(new, old)| new.is(old))
        && pruned.attributes == attributes;
    if same {
        return Ok(false);
    }
    let given: Vec<ValueId> = pruned.operands.iter().filter_map(|var| values.get(&var.key()).copied()).collect();
    let name = op.name();
    let summary = |operands: usize, results: usize| format!("{name} of {operands} operands with {results} results");
    let before = summary(operands.len(), count);
    let new = graph.apply(op.clone(), &given, pruned.attributes, location.clone())?;
    for (number, place) in pruned.results.iter().enumerate() {
        if let Some(place) = place {
            substitute(graph, id.output(number), new.output(*place))?;
        }
    }
    graph.remove_dead(id);
    let after = summary(given.len(), graph.node(new).results.len());
    if before != after {
        firings.push(Firing::of_pass("prune_bodies", location, before, after));
    }
    Ok(true)
}

/// Makes every use of a value a use of another one, which has fewer rows if only the last ones are read: then
/// it is the readers that are replaced, as what they read has the type that it had.
pub(super) fn substitute(graph: &mut Graph, old: ValueId, new: ValueId) -> Result<()> {
    let alike = graph.ty(old).dims.iter().zip(&graph.ty(new).dims).all(|(before, after)| before.compatible(after));
    if alike {
        return graph.replace(old, new).map(|_| ());
    }
    let mut users: Vec<NodeId> = graph.users(old.node).to_vec();
    users.sort_unstable();
    users.dedup();
    for user in users {
        let view = graph.node(user);
        let (Some((op, attributes)), true) = (view.apply(), view.operands.contains(&old)) else { continue };
        let (op, attributes, location) = (op.clone(), attributes.clone(), view.location.clone());
        let operands: Vec<ValueId> = view.operands.iter().map(|&operand| if operand == old { new } else { operand }).collect();
        let again = graph.apply(op, &operands, attributes, location)?;
        graph.replace(user.output(0), again.output(0))?;
        graph.remove_dead(user);
    }
    Ok(())
}

/// Loops over the same values, with the same states, become one that yields what all of them do: such as a
/// loop, and the one that its derivative reads the history of.
fn merge_loops(graph: &mut Graph, firings: &mut Vec<Firing>) -> Result<bool> {
    let mut seen: FxHashMap<Vec<ValueId>, Vec<NodeId>> = FxHashMap::default();
    let mut changed = false;
    for id in graph.nodes_where(|view| view.op_name() == "scan") {
        let view = graph.node(id);
        if effectful(graph, id) {
            continue;
        }
        let alike = seen.entry(view.operands.to_vec()).or_default();
        let mut merged = None;
        for (at, &first) in alike.iter().enumerate() {
            if let Some(attributes) = both(attributes(graph, first), attributes(graph, id))? {
                merged = Some((at, first, attributes));
                break;
            }
        }
        let Some((at, first, attributes)) = merged else {
            alike.push(id);
            continue;
        };
        let (op, operands, location) = match view.apply() {
            Some((op, _)) => (op.clone(), view.operands.to_vec(), view.location.clone()),
            None => continue,
        };
        let (counts, states) = ([graph.node(first).results.len(), view.results.len()], attributes.1);
        let new = graph.apply(op, &operands, attributes.0, graph.node(first).location.clone())?;
        alike[at] = new;
        for (old, offset, count) in [(first, 0, counts[0]), (id, counts[0] - states, counts[1])] {
            for number in 0..count {
                let place = if number < states { number } else { number + offset };
                graph.replace(old.output(number), new.output(place))?;
            }
            graph.remove_dead(old);
        }
        let after = format!("one scan with {} results", graph.node(new).results.len());
        firings.push(Firing::of_pass("prune_bodies", location, "two scans over the same values".to_owned(), after));
        changed = true;
    }
    Ok(changed)
}

fn attributes(graph: &Graph, id: NodeId) -> Option<&Attributes> {
    graph.node(id).apply().map(|(_, attributes)| attributes)
}

/// The attributes of a loop that yields what two loops over the same operands do, first those of the one,
/// and how many states it has; `None` if they differ otherwise.
fn both(one: Option<&Attributes>, other: Option<&Attributes>) -> Result<Option<(Attributes, usize)>> {
    let (Some(one), Some(other)) = (one, other) else { return Ok(None) };
    let plain = |attributes: &Attributes| {
        let mut attributes = attributes.clone();
        attributes.set("body", Attribute::None);
        attributes.set("keep", Attribute::None);
        attributes
    };
    if plain(one) != plain(other) {
        return Ok(None);
    }
    let (a, b) = (ScanLayout::of(one)?, ScanLayout::of(other)?);
    let pairs: Vec<(Var, Var)> = a.body.inputs().iter().cloned().zip(b.body.inputs().iter().cloned()).collect();
    let parts = |layout: &ScanLayout| {
        let (states, rest) = layout.body.outputs().split_at(layout.states);
        let (yields, until) = rest.split_at(layout.yields());
        (states.iter().chain(until).cloned().collect::<Vec<Var>>(), yields.to_vec())
    };
    let ((steps, first), (others, _)) = (parts(&a), parts(&b));
    if a.body.inputs().len() != b.body.inputs().len() || !same_graph(&steps, &others, &pairs) {
        return Ok(None);
    }
    let yields = b.body.inline(a.body.inputs())?.split_off(b.states);
    let (states, until) = steps.split_at(a.states);
    let outputs = states.iter().chain(&first).chain(&yields[..b.yields()]).chain(until).cloned().collect();
    let keep = a.keep.iter().chain(&b.keep).copied().collect();
    let body = Body::new(a.body.inputs().to_vec(), outputs)?.into();
    Ok(Some((ScanLayout { body, keep, ..a.clone() }.attributes(), a.states)))
}
