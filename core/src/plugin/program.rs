//! Programs: graphs as text with a table of constants, written by the host and read by devices.

use super::{Program, StatementNote, defined};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Graph, Location, NodeId, NodeKind, NodeView, ValueId};
use crate::lang;
use crate::rewrite::normalize_bodies;
use rustc_hash::FxHashMap;

/// A program read back into a graph.
#[derive(Clone)]
pub struct ParsedProgram {
    /// The graph; its inputs are the arguments, its outputs the results, in order.
    pub graph: Graph,
    /// The node of each statement, in order: all applications, operands before users.
    pub statements: Vec<NodeId>,
}

/// The applications in the order in which a program states them.
fn applications(graph: &Graph) -> Vec<NodeId> {
    graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()).collect()
}

impl Program {
    /// The file that places in a program name.
    pub const SOURCE: &'static str = "program";

    /// Writes a graph as a program. `notes` has one entry per statement.
    ///
    /// # Errors
    /// If the statements are not all the applications of the graph in topological order.
    pub fn emit(graph: &Graph, statements: &[NodeId], notes: Vec<StatementNote>) -> Result<Program> {
        Program::emit_located(graph, statements, notes).map(|(program, _)| program)
    }

    /// As [`Program::emit`], and for each line of the text the place of what it states.
    ///
    /// # Errors
    /// As [`Program::emit`].
    pub fn emit_located(
        graph: &Graph, statements: &[NodeId], notes: Vec<StatementNote>,
    ) -> Result<(Program, Vec<Location>)> {
        let printed = lang::print_graph(graph, "main")?;
        let stated = printed.statements.iter().map(|var| match var.node().kind() {
            crate::graph::NodeKind::Apply(op, _) => op.name().to_owned(),
            _ => String::new(),
        });
        let expected = statements.iter().map(|&id| graph.node(id).op_name().to_owned());
        if statements != applications(graph) || !stated.eq(expected) || notes.len() != statements.len() {
            return Err(Error::new(ErrorKind::Internal, "the statements of a program are not those of its graph"));
        }
        let ops = defined::definitions(statements.iter().map(|&id| graph.node(id).op_name()));
        let format = Program::FORMAT.to_owned();
        let program = Program { format, text: printed.text, constants: printed.constants, notes, ops };
        Ok((program, printed.places))
    }
}

impl Program {
    /// A graph without states as a program, and for each line of the text the place of what it states. The bodies
    /// of loops and branches are first brought into the form that the language gives them.
    pub(super) fn of_graph(graph: &mut Graph) -> Result<(Program, Vec<Location>)> {
        normalize_bodies(graph)?;
        let statements = applications(graph);
        let notes = vec![StatementNote::default(); statements.len()];
        Program::emit_located(graph, &statements, notes)
    }
}

/// A copy of a graph with inputs, behind its own, in place of its states.
pub(super) fn without_states(graph: &Graph) -> Result<Graph> {
    let mut plain = Graph::new();
    for &input in graph.inputs() {
        let view = graph.node(input);
        plain.add_input(&name_of(&view), view.results[0].ty.clone(), view.location.clone());
    }
    for id in states(graph) {
        let view = graph.node(id);
        plain.add_input(&name_of(&view), view.results[0].ty.clone(), view.location.clone());
    }
    let given = graph.inputs().iter().copied().chain(states(graph));
    let mut map: FxHashMap<ValueId, ValueId> =
        given.zip(plain.inputs()).map(|(old, new)| (old.output(0), new.output(0))).collect();
    copy(graph, &mut plain, &mut map, None)?;
    Ok(plain)
}

/// The graph that `new` is, computed from the inputs and states of `old`; `place` gives the place of what a line
/// of the program states that `new` was read from.
///
/// # Errors
/// If `new` has other inputs than [`without_states`] gave, or outputs of other types than `old`.
pub(super) fn put_back(old: &Graph, new: &Graph, place: impl Fn(usize) -> Location) -> Result<Graph> {
    let given: Vec<NodeId> = old.inputs().iter().copied().chain(states(old)).collect();
    let types = |graph: &Graph, values: &[ValueId]| -> Vec<String> {
        values.iter().map(|&value| graph.ty(value).to_string()).collect()
    };
    let same = |what: &str, wanted: Vec<String>, found: Vec<String>| {
        if wanted == found {
            return Ok(());
        }
        let message = format!("what it leaves has the {what} ({}), expected ({})", found.join(", "), wanted.join(", "));
        Err(Error::new(ErrorKind::Plugin, message))
    };
    let first = |ids: &[NodeId]| -> Vec<ValueId> { ids.iter().map(|id| id.output(0)).collect() };
    same("inputs", types(old, &first(&given)), types(new, &first(new.inputs())))?;
    same("outputs", types(old, old.outputs()), types(new, new.outputs()))?;
    let mut graph = Graph::new();
    let mut map: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    for (&id, input) in given.iter().zip(new.inputs()) {
        let view = old.node(id);
        let value = match view.kind {
            NodeKind::State(state) => graph.add_state(state, view.location.clone()),
            _ => graph.add_input(&name_of(&view), view.results[0].ty.clone(), view.location.clone()),
        };
        map.insert(input.output(0), value);
    }
    copy(new, &mut graph, &mut map, Some(&|location| place(location.line as usize)))?;
    Ok(graph)
}

/// What stands for a place.
type Place<'a> = Option<&'a dyn Fn(&Location) -> Location>;

/// Adds the constants and applications of a graph to another one, and gives that the outputs.
fn copy(from: &Graph, to: &mut Graph, map: &mut FxHashMap<ValueId, ValueId>, place: Place<'_>) -> Result<()> {
    let placed = |location: &Location| place.map_or_else(|| location.clone(), |place| place(location));
    for id in from.topological_order() {
        let view = from.node(id);
        match view.kind {
            NodeKind::Input(_) | NodeKind::State(_) => {}
            NodeKind::Constant(constant) => {
                map.insert(id.output(0), to.add_constant(constant.clone(), placed(view.location)));
            }
            NodeKind::Apply(op, attributes) => {
                let operands: Vec<ValueId> = view.operands.iter().map(|operand| map[operand]).collect();
                let mut attributes = attributes.clone();
                if place.is_some() {
                    for (name, body) in view.apply().into_iter().flat_map(|(_, attributes)| attributes.bodies()) {
                        attributes.set(name, copy_of_body(body, place)?);
                    }
                }
                let new = to.apply(op.clone(), &operands, attributes, placed(view.location))?;
                map.extend((0..view.results.len()).map(|at| (id.output(at), new.output(at))));
            }
        }
    }
    to.set_outputs(from.outputs().iter().map(|output| map[output]).collect());
    Ok(())
}

fn copy_of_body(body: &Body, place: Place<'_>) -> Result<Body> {
    let (from, mut to, mut map) = (body.graph()?, Graph::new(), FxHashMap::default());
    for &input in from.inputs() {
        let view = from.node(input);
        let new = to.add_input(&name_of(&view), view.results[0].ty.clone(), view.location.clone());
        map.insert(input.output(0), new);
    }
    copy(&from, &mut to, &mut map, place)?;
    let (inputs, outputs) = to.to_vars()?;
    Body::new(inputs, outputs)
}

/// The states of a graph in order.
fn states(graph: &Graph) -> Vec<NodeId> {
    let is_state = |id: &NodeId| matches!(graph.node(*id).kind, NodeKind::State(_));
    graph.topological_order().into_iter().filter(is_state).collect()
}

fn name_of(view: &NodeView<'_>) -> String {
    match view.kind {
        NodeKind::Input(name) => name.to_string(),
        NodeKind::State(state) => state.name().to_owned(),
        _ => String::new(),
    }
}

impl ParsedProgram {
    /// Reads a program.
    ///
    /// # Errors
    /// If its format is unknown, it does not parse, or it names an op that neither this library knows nor
    /// the program defines.
    pub fn parse(program: &Program) -> Result<ParsedProgram> {
        if program.format != Program::FORMAT {
            let message = format!("programs of the format `{}` are unknown, {} is", program.format, Program::FORMAT);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        defined::learn(&program.ops)?;
        let file = lang::parse(lang::Source::new(Program::SOURCE, program.text.clone()))?;
        let lowered = lang::lower_program(&file, Some("main"), &program.constants)?;
        let outputs: Vec<_> = lowered.function.outputs.iter().map(|(_, value)| value.clone()).collect();
        let graph = Graph::from_vars(&lowered.function.inputs, &outputs)?;
        let statements = applications(&graph);
        if !program.notes.is_empty() && program.notes.len() != statements.len() {
            let message = format!("{} notes for {} statements", program.notes.len(), statements.len());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        Ok(ParsedProgram { graph, statements })
    }
}
