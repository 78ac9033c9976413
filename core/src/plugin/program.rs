//! Programs: graphs as text with a table of constants, written by the host and read by devices.

use super::{Program, StatementNote, defined};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Location, NodeId};
use crate::lang;

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
