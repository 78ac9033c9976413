//! A parsed file whose functions can be had by name.

use super::{ExprId, ExprKind, File, Source, UnaryOp, lower, parse, print};
use crate::error::Result;
use crate::graph::{FunctionGraph, Graph, Update};
use crate::ops::Attribute;

/// A parsed file.
#[derive(Clone, Debug)]
pub struct Module {
    file: File,
}

/// Parses a file.
///
/// # Errors
/// If it does not parse; the error shows the line with a caret.
pub fn load(source: Source) -> Result<Module> {
    Ok(Module { file: parse(source)? })
}

impl Module {
    /// The graph of the function of this name, or of the only function.
    ///
    /// # Errors
    /// If there is no such function, or its body does not make sense.
    pub fn function(&self, name: Option<&str>) -> Result<FunctionGraph> {
        lower(&self.file, name)
    }

    /// The functions' names, in order.
    pub fn function_names(&self) -> Vec<String> {
        self.file.functions().map(|function| self.file.name(function.name).to_owned()).collect()
    }
}

/// The text of a function whose results and then new states a graph computes, as it is stated or in any
/// later stage. What cannot be printed is said in a comment.
pub fn print_function(graph: &Graph, function: &FunctionGraph) -> String {
    let printed = graph.to_vars().and_then(|(inputs, mut values)| {
        let updated = values.split_off(function.outputs.len().min(values.len()));
        let names = function.outputs.iter().map(|(name, _)| name.clone());
        let updates = function.updates.iter().zip(updated);
        print(&FunctionGraph {
            inputs,
            outputs: names.zip(values).collect(),
            updates: updates.map(|(old, value)| Update { value, ..old.clone() }).collect(),
            ..function.clone()
        })
    });
    match printed {
        Ok(printed) => printed.text,
        Err(error) => format!("# cannot be printed: {error}\n"),
    }
}

/// A literal expression as an attribute's value: a number, a bool, a string; `None` for anything else.
pub fn literal_attribute(file: &File, expression: ExprId) -> Option<Attribute> {
    match &file.expr(expression).kind {
        ExprKind::Int(value) => i64::try_from(*value).ok().map(Attribute::Int),
        ExprKind::Float(value) => Some(Attribute::Float(*value)),
        ExprKind::Bool(value) => Some(Attribute::Bool(*value)),
        ExprKind::Str(text) => Some(Attribute::Str(text.to_string())),
        ExprKind::Unary(UnaryOp::Neg, operand) => match literal_attribute(file, *operand)? {
            Attribute::Int(value) => Some(Attribute::Int(-value)),
            Attribute::Float(value) => Some(Attribute::Float(-value)),
            _ => None,
        },
        _ => None,
    }
}
