//! Drawings of graphs: DOT for Graphviz, and SVG that needs no other program.

use std::fmt::Write;

use rustc_hash::FxHashMap;

use crate::graph::{Graph, NodeId, NodeKind};

struct Drawn {
    ids: Vec<NodeId>,
    labels: Vec<String>,
    colours: Vec<&'static str>,
    /// From, to, the type that flows.
    edges: Vec<(usize, usize, String)>,
}

fn drawn(graph: &Graph) -> Drawn {
    let mut ids: Vec<NodeId> = graph.inputs().to_vec();
    ids.extend(graph.topological_order().into_iter().filter(|id| !graph.inputs().contains(id)));
    let index: FxHashMap<NodeId, usize> = ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
    let mut drawn = Drawn { labels: Vec::new(), colours: Vec::new(), edges: Vec::new(), ids };
    for (at, &id) in drawn.ids.iter().enumerate() {
        let view = graph.node(id);
        let ty = view.results.first().map_or(String::new(), |result| result.ty.to_string());
        let (label, colour) = match view.kind {
            NodeKind::Input(name) => (format!("{name}: {ty}"), "#d9ead3"),
            NodeKind::State(state) => (format!("state {}: {ty}", state.name()), "#fff2cc"),
            NodeKind::Constant(constant) if constant.value.len() == 1 => (constant.value.to_string(), "#eeeeee"),
            NodeKind::Constant(_) => (format!("constant {ty}"), "#eeeeee"),
            NodeKind::Apply(op, _) => (format!("{} {ty}", op.name()), "#cfe2f3"),
        };
        drawn.labels.push(label);
        drawn.colours.push(colour);
        for operand in view.operands {
            drawn.edges.push((index[&operand.node], at, graph.ty(*operand).to_string()));
        }
    }
    drawn
}

/// The graph in Graphviz's language.
pub fn to_dot(graph: &Graph) -> String {
    let drawn = drawn(graph);
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = String::from("digraph {\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n");
    for (at, label) in drawn.labels.iter().enumerate() {
        let _ = writeln!(text, "  n{at} [label={}, fillcolor=\"{}\"];", quote(label), drawn.colours[at]);
    }
    for (from, to, ty) in &drawn.edges {
        let _ = writeln!(text, "  n{from} -> n{to} [label={}, fontsize=9];", quote(ty));
    }
    for (number, output) in graph.outputs().iter().enumerate() {
        let at = drawn.ids.iter().position(|id| *id == output.node).unwrap_or(0);
        let _ = writeln!(text, "  o{number} [label=\"result {number}\", fillcolor=\"#f4cccc\"];\n  n{at} -> o{number};");
    }
    text.push_str("}\n");
    text
}

/// The graph as a picture: every node a box, one row below the lowest of its operands.
pub fn to_svg(graph: &Graph) -> String {
    const ROW: usize = 70;
    const HEIGHT: usize = 30;
    let mut drawn = drawn(graph);
    for (number, output) in graph.outputs().iter().enumerate() {
        let from = drawn.ids.iter().position(|id| *id == output.node).unwrap_or(0);
        drawn.labels.push(format!("result {number}"));
        drawn.colours.push("#f4cccc");
        drawn.edges.push((from, drawn.labels.len() - 1, graph.ty(*output).to_string()));
    }
    let mut row = vec![0; drawn.labels.len()];
    // Edges are listed by their target in topological order, so one pass settles every row.
    for (from, to, _) in &drawn.edges {
        row[*to] = row[*to].max(row[*from] + 1);
    }
    let width = |label: &str| 8 * label.chars().count() + 16;
    let rows = row.iter().max().map_or(0, |most| most + 1);
    let mut next = vec![10; rows];
    let mut place = Vec::new();
    for (at, label) in drawn.labels.iter().enumerate() {
        place.push((next[row[at]], 10 + row[at] * ROW));
        next[row[at]] += width(label) + 20;
    }
    let total = next.iter().max().copied().unwrap_or(10);
    // Rows are centred.
    for (at, (x, _)) in place.iter_mut().enumerate() {
        *x += (total - next[row[at]]) / 2;
    }
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" fill=\"#666\"/></marker></defs>\n",
        rows * ROW + 20
    );
    for (from, to, ty) in &drawn.edges {
        let middle = |at: usize| place[at].0 + width(&drawn.labels[at]) / 2;
        let (x0, y0, x1, y1) = (middle(*from), place[*from].1 + HEIGHT, middle(*to), place[*to].1);
        let bend = (y1.saturating_sub(y0)) / 2;
        let _ = writeln!(
            text,
            "<path d=\"M{x0} {y0}C{x0} {} {x1} {} {x1} {y1}\" fill=\"none\" stroke=\"#666\" marker-end=\"url(#a)\"><title>{}</title></path>",
            y0 + bend, y1.saturating_sub(bend), escape(ty)
        );
    }
    for (at, label) in drawn.labels.iter().enumerate() {
        let (x, y) = place[at];
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{}\" stroke=\"#666\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            width(label), drawn.colours[at], x + width(label) / 2, y + 20, escape(label)
        );
    }
    text.push_str("</svg>\n");
    text
}
