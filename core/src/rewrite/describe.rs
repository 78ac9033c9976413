//! One line of text for a value: what reports of rewrites show.

use crate::graph::{Graph, NodeKind, ValueId};

/// A value as an expression of the language, as deep as `depth` applications; deeper ones are `op(...)`.
pub fn describe(graph: &Graph, value: ValueId, depth: usize) -> String {
    let mut text = String::new();
    write(graph, value, depth.min(12), 0, &mut text);
    text
}

fn infix(op: &str) -> Option<(&'static str, u8)> {
    Some(match op {
        "add" => ("+", 6),
        "sub" => ("-", 6),
        "mul" => ("*", 7),
        "div" => ("/", 7),
        "matmul" => ("@", 7),
        "pow" => ("**", 9),
        "eq" => ("==", 1),
        "ne" => ("!=", 1),
        "lt" => ("<", 1),
        "le" => ("<=", 1),
        "gt" => (">", 1),
        "ge" => (">=", 1),
        _ => return None,
    })
}

/// Recursion is as deep as `depth`.
fn write(graph: &Graph, value: ValueId, depth: usize, outer: u8, text: &mut String) {
    const LONGEST: usize = 400;
    if text.len() > LONGEST {
        text.push_str("...");
        return;
    }
    let view = graph.node(value.node);
    let (op, attributes) = match view.kind {
        NodeKind::Input(name) => return text.push_str(name),
        NodeKind::State(state) => return text.push_str(state.name()),
        NodeKind::Constant(constant) if constant.value.rank() == 0 => {
            let number = constant.value.to_string();
            return match constant.weak {
                true => text.push_str(&number),
                false => text.push_str(&format!("{}({number})", constant.value.dtype())),
            };
        }
        NodeKind::Constant(constant) => return text.push_str(&format!("const({})", constant.value.ty())),
        NodeKind::Apply(op, attributes) => (op, attributes),
    };
    if depth == 0 {
        text.push_str(op.name());
        return text.push_str("(...)");
    }
    if let (Some((symbol, level)), [left, right]) = (infix(op.name()), view.operands) {
        let open = level < outer;
        text.push_str(if open { "(" } else { "" });
        write(graph, *left, depth - 1, level, text);
        text.push_str(&format!(" {symbol} "));
        write(graph, *right, depth - 1, level + 1, text);
        return text.push_str(if open { ")" } else { "" });
    }
    if let ("neg", [operand]) = (op.name(), view.operands) {
        text.push('-');
        return write(graph, *operand, depth - 1, 9, text);
    }
    text.push_str(op.name());
    text.push('(');
    for (number, &operand) in view.operands.iter().enumerate() {
        text.push_str(if number > 0 { ", " } else { "" });
        write(graph, operand, depth - 1, 0, text);
    }
    let mut first = view.operands.is_empty();
    for param in op.params() {
        let crate::ops::ParamKind::Attribute(_, default) = &param.kind else { continue };
        let Some(attribute) = attributes.get(param.name) else { continue };
        if default.as_ref() != Some(attribute) {
            text.push_str(if first { "" } else { ", " });
            text.push_str(&format!("{}={attribute}", param.name));
            first = false;
        }
    }
    text.push(')');
}
