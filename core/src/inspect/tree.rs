//! A graph as a tree: results first, operands below, what is used again named and shown once (Theano's debugprint).

use std::fmt::Write;

use rustc_hash::FxHashMap;

use crate::error::Result;
use crate::graph::{Graph, NodeId, NodeKind, ValueId};

/// The tree of a graph; the bodies of loops and branches stand behind it. `results` names the outputs.
///
/// # Errors
/// If the graph is damaged.
pub fn tree(graph: &Graph, results: &[String]) -> Result<String> {
    let mut writer = Writer { names: 0, text: String::new() };
    writer.graph(graph, results)?;
    Ok(writer.text)
}

struct Writer {
    names: usize,
    text: String,
}

/// 0 is A, 26 is AA.
fn letters(mut number: usize) -> String {
    let mut text = Vec::new();
    loop {
        text.push(char::from(b'A' + (number % 26) as u8));
        match (number / 26).checked_sub(1) {
            Some(rest) => number = rest,
            None => return text.into_iter().rev().collect(),
        }
    }
}

impl Writer {
    fn graph(&mut self, graph: &Graph, results: &[String]) -> Result<()> {
        let mut names: FxHashMap<NodeId, String> = FxHashMap::default();
        let mut bodies: Vec<NodeId> = Vec::new();
        for (number, &output) in graph.outputs().iter().enumerate() {
            let Some(name) = results.get(number) else { continue };
            let _ = writeln!(self.text, "{name}");
            // Each with the marks of the lines above it, and whether it is the last of its row.
            let mut stack: Vec<(ValueId, String, bool)> = vec![(output, String::new(), true)];
            while let Some((value, margin, last)) = stack.pop() {
                let view = graph.node(value.node);
                let known = names.contains_key(&value.node);
                let name = names.entry(value.node).or_insert_with(|| {
                    self.names += 1;
                    letters(self.names - 1)
                });
                let _ = write!(self.text, "{margin}{}{}", if last { "└─ " } else { "├─ " }, title(view.kind));
                if !matches!(view.kind, NodeKind::Constant(_)) {
                    let _ = write!(self.text, " [{name}]");
                }
                if view.results.len() > 1 {
                    let _ = write!(self.text, " result {}", value.output);
                }
                let _ = write!(self.text, " {}", graph.ty(value));
                if known && !view.operands.is_empty() {
                    self.text.push_str(" ···\n");
                    continue;
                }
                if let Some((_, attributes)) = view.apply() {
                    if view.location.is_known() {
                        let _ = write!(self.text, "  {}", view.location);
                    }
                    if attributes.bodies().next().is_some() {
                        bodies.push(value.node);
                    }
                }
                self.text.push('\n');
                let below = format!("{margin}{}", if last { "   " } else { "│  " });
                let count = view.operands.len();
                for (at, &operand) in view.operands.iter().enumerate().rev() {
                    stack.push((operand, below.clone(), at + 1 == count));
                }
            }
        }
        for id in bodies {
            let Some((op, attributes)) = graph.node(id).apply() else { continue };
            for (what, body) in attributes.bodies() {
                let body = body.graph()?;
                let _ = writeln!(self.text, "\n{} of `{}` [{}]", what, op.name(), names[&id]);
                let results: Vec<String> = (0..body.outputs().len()).map(|number| format!("result {number}")).collect();
                self.graph(&body, &results)?;
            }
        }
        Ok(())
    }
}

fn title(kind: &NodeKind) -> String {
    match kind {
        NodeKind::Input(name) => format!("input {name}"),
        NodeKind::State(state) => format!("state {}", state.name()),
        NodeKind::Constant(constant) if constant.value.len() <= 8 => constant.value.to_string(),
        NodeKind::Constant(_) => "constant".to_owned(),
        NodeKind::Apply(op, _) => op.name().to_owned(),
    }
}
