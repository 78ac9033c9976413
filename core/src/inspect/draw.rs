//! Drawings of graphs: DOT for Graphviz, and SVG that needs no other program.

use std::fmt::Write;

use rustc_hash::{FxHashMap, FxHashSet};

use super::picture::{Edge, FRAMES, Family, Picture, Shape};
use crate::graph::{Graph, NodeId, NodeKind, NodeView};
use crate::ops::{Attribute, Attributes, Op};
use crate::runtime::Compiled;

/// What is to be drawn.
pub struct Drawing {
    title: String,
    picture: Picture,
    frames: Vec<(&'static str, String)>,
    notes: Vec<String>,
}

/// What is known of a node beside the graph.
#[derive(Default)]
struct Known {
    device: FxHashMap<NodeId, usize>,
    devices: Vec<String>,
    in_place: FxHashSet<(NodeId, usize)>,
    kernel: FxHashMap<NodeId, usize>,
}

impl Drawing {
    /// A graph, without what compiling found out.
    ///
    /// # Errors
    /// If the graph is damaged.
    pub fn of_graph(title: &str, graph: &Graph, results: &[String]) -> crate::Result<Drawing> {
        let picture = picture(graph, &Known::default(), results, FRAMES[0], Place::Whole)?;
        Ok(Drawing { title: title.to_owned(), picture, frames: Vec::new(), notes: Vec::new() })
    }

    /// A compiled graph: with devices, results that are written over operands, and, as far as devices have
    /// [planned](Compiled::plan), the kernels that compute several nodes together.
    ///
    /// # Errors
    /// If the graph is damaged.
    pub fn of_compiled(compiled: &Compiled) -> crate::Result<Drawing> {
        let mut known = Known::default();
        for node in compiled.nodes() {
            let device = known.devices.iter().position(|name| *name == node.device).unwrap_or_else(|| {
                known.devices.push(node.device.clone());
                known.devices.len() - 1
            });
            known.device.insert(node.id, device);
            known.in_place.extend(node.in_place.iter().map(|&(operand, _)| (node.id, operand as usize)));
        }
        for (number, nodes) in compiled.kernels().into_iter().enumerate() {
            known.kernel.extend(nodes.into_iter().map(|node| (node, number + 1)));
        }
        let picture = picture(compiled.graph(), &known, &compiled.result_names(), FRAMES[0], Place::Whole)?;
        let frames = known.devices.iter().enumerate().map(|(at, name)| (FRAMES[at % FRAMES.len()], format!("on {name}"))).collect();
        let kernels = (!known.kernel.is_empty()).then(|| "a number: the kernel that computes all boxes with it".to_owned());
        Ok(Drawing { title: format!("{}, as compiled", compiled.name()), picture, frames, notes: kernels.into_iter().collect() })
    }

    /// The drawing as a file of its own.
    pub fn to_svg(&self) -> String {
        self.picture.to_svg(&self.title, &self.frames, &self.notes)
    }

    /// The drawing in Graphviz's language.
    pub fn to_dot(&self) -> String {
        let mut text = String::from(
            "digraph {\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n  edge [color=\"#8795a1\"];\n",
        );
        let _ = writeln!(text, "  label={};\n  labelloc=t;", quote(&self.title));
        dot(&self.picture, "n", 1, &mut text);
        text.push_str("}\n");
        text
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn dot(picture: &Picture, prefix: &str, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    for (at, shape) in picture.boxes.iter().enumerate() {
        let label = std::iter::once(&shape.title).chain(&shape.lines).cloned().collect::<Vec<_>>().join("\n");
        let label = shape.mark.as_ref().map_or(label.clone(), |mark| format!("{label}\nkernel {mark}"));
        let node = format!("{prefix}{at}");
        let style = format!("fillcolor=\"{}\", color=\"{}\", tooltip={}", shape.family.colour(), shape.frame, quote(&shape.hint));
        let _ = writeln!(text, "{indent}{node} [label={}, {style}];", quote(&label));
        for (number, (title, inside)) in shape.inside.iter().enumerate() {
            let _ = writeln!(text, "{indent}subgraph cluster_{node}_{number} {{\n{indent}  label={};", quote(&format!("{}: {title}", shape.title)));
            dot(inside, &format!("{node}_{number}_"), depth + 1, text);
            let _ = writeln!(text, "{indent}}}");
        }
    }
    for edge in &picture.edges {
        let style = if edge.in_place { ", color=\"#c0392b\", penwidth=2, label=\"in place\", fontsize=9" } else { "" };
        let _ = writeln!(text, "{indent}{prefix}{} -> {prefix}{} [tooltip={}{style}];", edge.from, edge.to, quote(&edge.hint));
    }
}

/// Where a graph stands.
enum Place<'a> {
    Whole,
    /// It is a body of this op, whose inputs and outputs have meanings.
    Body(&'a str, &'a Attributes),
}

/// Ops by what they do, where the trait does not say.
const PRODUCTS: &[&str] = &[
    "matmul", "dot", "outer", "einsum", "tensordot", "conv", "cholesky", "solve", "inv", "det", "slogdet", "lu", "qr", "svd", "eig", "schur",
    "qz", "pinv", "expm", "kron", "inner", "vecdot", "matvec", "vecmat", "adjugate", "factorize",
];
const REDUCTIONS: &[&str] = &[
    "sum", "prod", "mean", "var", "std", "max", "min", "argmax", "argmin", "all", "any", "logsumexp", "cum", "sort", "argsort", "topk", "softmax",
    "log_softmax", "cross_entropy", "unique", "searchsorted", "linear_recurrence", "vector_norm", "bincount", "avg_pool", "max_pool",
];
const RANDOM: &[&str] = &["uniform", "normal", "bernoulli", "randint", "categorical", "permutation", "random", "poisson", "binomial", "multinomial"];

fn family(op: &dyn Op, attributes: &Attributes) -> Family {
    // A longer name is one of the same kind: `matmul_add`, `conv2d`, `cumsum`, `eigh`.
    let among = |names: &[&str]| names.iter().any(|name| op.name().starts_with(name));
    match () {
        () if attributes.bodies().next().is_some() => Family::Control,
        () if op.is_elementwise() => Family::Elementwise,
        () if among(RANDOM) => Family::Random,
        () if among(PRODUCTS) => Family::Product,
        () if among(REDUCTIONS) => Family::Reduction,
        () => Family::Moves,
    }
}

/// The attributes that are not as usual, in short.
fn attributes_text(op: &dyn Op, attributes: &Attributes) -> String {
    let usual = |name: &str, value: &Attribute| {
        op.params().iter().any(|param| matches!(&param.kind, crate::ops::ParamKind::Attribute(_, Some(default)) if param.name == name && default == value))
    };
    let shown: Vec<String> = attributes
        .iter()
        .filter(|(name, value)| !matches!(value, Attribute::Body(_) | Attribute::None) && !usual(name, value))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    short(&shown.join(", "), 34)
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

/// The file's name and line.
fn place_text(view: &NodeView<'_>) -> String {
    let location = view.location;
    let file = location.file.rsplit(['/', '\\']).next().unwrap_or_default();
    let part = location.part_of.as_ref().map_or(String::new(), |op| format!(", of {op}"));
    if location.is_known() { format!("{file}:{}{part}", location.line) } else { String::new() }
}

fn picture(graph: &Graph, known: &Known, results: &[String], frame: &'static str, place: Place<'_>) -> crate::Result<Picture> {
    let mut ids: Vec<NodeId> = graph.inputs().to_vec();
    ids.extend(graph.topological_order().into_iter().filter(|id| !graph.inputs().contains(id)));
    // A single number stands in its user's box.
    let number = |id: NodeId| graph.node(id).constant().filter(|constant| constant.value.len() == 1);
    let is_output = |id: NodeId| graph.outputs().iter().any(|output| output.node == id);
    ids.retain(|&id| number(id).is_none() || is_output(id));
    let index: FxHashMap<NodeId, usize> = ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
    let mut picture = Picture::default();
    for (at, &id) in ids.iter().enumerate() {
        let view = graph.node(id);
        let types: Vec<String> = view.results.iter().map(|result| result.ty.to_string()).collect();
        let own = known.device.get(&id).map_or(frame, |&device| FRAMES[device % FRAMES.len()]);
        let mut shape = Shape {
            title: String::new(), lines: vec![short(&types.join(", "), 40)], family: Family::Constant, frame: own,
            mark: known.kernel.get(&id).map(ToString::to_string), hint: String::new(), inside: Vec::new(),
        };
        match view.kind {
            NodeKind::Input(name) => {
                let carried = matches!(&place, Place::Body("scan", attributes) if is_carried(attributes, graph, id));
                (shape.title, shape.family) = (name.to_string(), if carried { Family::State } else { Family::Input });
            }
            NodeKind::State(state) => (shape.title, shape.family) = (state.name().to_owned(), Family::State),
            NodeKind::Constant(constant) => shape.title = short(&constant.value.to_string(), 24),
            NodeKind::Apply(op, attributes) => {
                shape.family = family(&**op, attributes);
                let numbers: Vec<String> = view.operands.iter().map(|operand| match number(operand.node) {
                    Some(constant) => short(&constant.value.to_string(), 10),
                    None => "·".to_owned(),
                }).collect();
                let shown = numbers.iter().any(|number| number != "·");
                shape.title = if shown { format!("{}({})", op.name(), numbers.join(", ")) } else { op.name().to_owned() };
                let attributes_shown = attributes_text(&**op, attributes);
                if shape.family != Family::Control && !attributes_shown.is_empty() {
                    shape.lines.push(attributes_shown);
                }
                let mut bodies: Vec<_> = attributes.bodies().collect();
                bodies.sort_by_key(|(name, _)| *name != "then");
                for (name, body) in bodies {
                    let title = match (op.name(), name) {
                        ("scan", _) => "each step",
                        ("if", "then") => "if it holds",
                        ("if", _) => "else",
                        (_, name) => name,
                    };
                    let body = body.graph()?;
                    let names = body_results(op.name(), attributes, &body);
                    let inner = self::picture(&body, &Known::default(), &names, own, Place::Body(op.name(), attributes))?;
                    shape.inside.push((title.to_owned(), inner));
                }
            }
        }
        let line = place_text(&view);
        if !line.is_empty() && view.apply().is_some() {
            shape.lines.push(line);
        }
        let device = known.device.get(&id).and_then(|&device| known.devices.get(device));
        shape.hint = format!(
            "{}: {}{}{}", shape.title, types.join(", "), device.map_or(String::new(), |device| format!(", on {device}")),
            if view.location.is_known() { format!(", {}", view.location) } else { String::new() }
        );
        let drawn: Vec<(usize, usize)> =
            view.operands.iter().enumerate().filter_map(|(number, operand)| Some((number, *index.get(&operand.node)?))).collect();
        for (place, &(number, from)) in drawn.iter().enumerate() {
            picture.edges.push(Edge {
                from, to: at, operand: (place, drawn.len()), in_place: known.in_place.contains(&(id, number)),
                hint: format!("operand {number}: {}", graph.ty(view.operands[number])),
            });
        }
        picture.boxes.push(shape);
    }
    for (number, output) in graph.outputs().iter().enumerate() {
        let ty = graph.ty(*output).to_string();
        // The last effect may be a further output that nobody asked for.
        let Some(title) = results.get(number).cloned().or_else(|| matches!(place, Place::Body(..)).then(|| format!("result {number}"))) else { continue };
        picture.edges.push(Edge { from: index[&output.node], to: picture.boxes.len(), operand: (0, 1), in_place: false, hint: ty.clone() });
        picture.boxes.push(Shape {
            hint: format!("{title}: {ty}"), title, lines: vec![ty], family: Family::Result, frame, mark: None, inside: Vec::new(),
        });
    }
    Ok(picture)
}

/// Whether an input of a loop's body is a state.
fn is_carried(attributes: &Attributes, body: &Graph, input: NodeId) -> bool {
    let count = |name: &str| attributes.int(name).ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let first = count("sequences");
    body.inputs().iter().position(|&id| id == input).is_some_and(|at| (first..first + count("states")).contains(&at))
}

/// What the outputs of a body are called.
fn body_results(op: &str, attributes: &Attributes, body: &Graph) -> Vec<String> {
    let outputs = body.outputs().len();
    if op != "scan" {
        return (0..outputs).map(|number| format!("result {number}")).collect();
    }
    let count = |name: &str| attributes.int(name).ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let (sequences, states, until) = (count("sequences"), count("states"), attributes.bool("until").unwrap_or(false));
    (0..outputs).map(|number| match number {
        _ if until && number + 1 == outputs => "until".to_owned(),
        _ if number < states => match body.inputs().get(sequences + number).map(|&id| body.node(id).kind) {
            Some(NodeKind::Input(name)) => format!("{name} ←"),
            _ => format!("state {number} ←"),
        },
        _ => format!("yield {}", number - states),
    }).collect()
}

/// The graph in Graphviz's language.
///
/// # Errors
/// If the graph is damaged.
pub fn to_dot(graph: &Graph) -> crate::Result<String> {
    Ok(Drawing::of_graph("", graph, &numbered(graph))?.to_dot())
}

/// The graph as a picture.
///
/// # Errors
/// If the graph is damaged.
pub fn to_svg(graph: &Graph) -> crate::Result<String> {
    Ok(Drawing::of_graph("", graph, &numbered(graph))?.to_svg())
}

fn numbered(graph: &Graph) -> Vec<String> {
    (0..graph.outputs().len()).map(|number| format!("result {number}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::layout::{Input, layout};
    use crate::inspect::picture::escape;

    /// Boxes of a row do not touch, edges go down, and a chain is straight.
    #[test]
    fn boxes_do_not_overlap() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..40 {
            let count = random.usize(1..60);
            let sizes: Vec<(f64, f64)> = (0..count).map(|_| (20.0 + random.f64() * 150.0, 20.0 + random.f64() * 90.0)).collect();
            let edges: Vec<(usize, usize, f64)> =
                (1..count).flat_map(|to| [(random.usize(..to), to, 0.3), (random.usize(..to), to, 0.6)]).collect();
            let placed = layout(&Input { sizes: &sizes, edges: &edges });
            for a in 0..count {
                let ((x, y), (w, h)) = (placed.boxes[a], sizes[a]);
                assert!(x >= -0.01 && y >= -0.01 && x + w <= placed.size.0 + 0.01 && y + h <= placed.size.1 + 0.01);
                for (b, (&(u, v), &(p, q))) in placed.boxes.iter().zip(&sizes).enumerate().take(a) {
                    assert!(x + w <= u || u + p <= x || y + h <= v || v + q <= y, "boxes {a} and {b} of {count} overlap (seed 7)");
                }
            }
            for (edge, route) in edges.iter().zip(&placed.routes) {
                assert!(route.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 0.01), "an edge of {edge:?} goes up: {route:?}");
            }
        }
        let sizes = [(40.0, 20.0); 200];
        let edges: Vec<(usize, usize, f64)> = (1..200).map(|to| (to - 1, to, 0.5)).collect();
        let placed = layout(&Input { sizes: &sizes, edges: &edges });
        assert!(placed.boxes.iter().all(|place| (place.0 - placed.boxes[0].0).abs() < 0.01));
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
        assert_eq!(quote("a \"b\"\nc"), "\"a \\\"b\\\"\\nc\"");
    }
}
