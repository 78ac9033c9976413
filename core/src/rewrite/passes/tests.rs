//! Constant folding, and plans of what is written over what: against an interpreter that really does
//! write over its buffers.

use fastrand::Rng;
use rustc_hash::FxHashMap;

use super::inplace::{Statements, usual_views};
use super::{ConstantFold, Pass, PassContext};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Location, NodeId, NodeKind, StatementNote, ValueId};
use crate::lang::{self, Source};
use crate::ops::registry;
use crate::tensor::{DType, Tensor, Type};

fn graph(text: &str) -> Graph {
    let file = lang::parse(Source::new("test.arig", text)).expect("the text parses");
    let function = lang::lower(&file, None).expect("one function");
    let outputs: Vec<_> = function.outputs.iter().map(|(_, var)| var.clone()).collect();
    Graph::from_vars(&function.inputs, &outputs).expect("the function is well-typed")
}

fn order(graph: &Graph) -> Vec<NodeId> {
    graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()).collect()
}

/// One element of an op's result.
fn compute(op: &str, x: &[f64]) -> Result<f64> {
    Ok(match (op, x) {
        ("add", [a, b]) => a + b,
        ("sub", [a, b]) => a - b,
        ("mul", [a, b]) => a * b,
        ("neg", [a]) => -a,
        ("stop_gradient", [a]) => *a,
        _ => return Err(Error::new(ErrorKind::Unsupported, format!("the test does not run `{op}`"))),
    })
}

/// Runs a graph of scalars as planned: a buffer for each value, shared by views, overwritten where the
/// notes say so. Gives the outputs, and what the leaves' buffers hold at the end.
fn run(graph: &Graph, order: &[NodeId], notes: &[StatementNote], leaf: &dyn Fn(NodeId) -> f64) -> (Vec<f64>, FxHashMap<NodeId, f64>) {
    let mut buffers: Vec<f64> = Vec::new();
    let mut places: FxHashMap<ValueId, usize> = FxHashMap::default();
    for id in graph.ids() {
        if graph.node(id).apply().is_none() {
            places.insert(id.output(0), buffers.len());
            buffers.push(leaf(id));
        }
    }
    let leaves: Vec<(NodeId, usize)> = places.iter().map(|(value, &place)| (value.node, place)).collect();
    for (&id, note) in order.iter().zip(notes) {
        let view = graph.node(id);
        let operands: Vec<f64> = view.operands.iter().map(|operand| buffers[places[operand]]).collect();
        let result = compute(view.op_name(), &operands).expect("an op of the test");
        let place = match (note.overwrites.first(), usual_views(graph, id).first()) {
            (Some(&(operand, _)), _) => places[&view.operands[operand as usize]],
            (None, Some(&(operand, _))) => places[&view.operands[operand]],
            (None, None) => {
                buffers.push(0.0);
                buffers.len() - 1
            }
        };
        buffers[place] = result;
        places.insert(id.output(0), place);
    }
    let outputs = graph.outputs().iter().map(|output| buffers[places[output]]).collect();
    (outputs, leaves.into_iter().map(|(id, place)| (id, buffers[place])).collect())
}

fn random_graph(random: &mut Rng) -> Graph {
    let mut graph = Graph::new();
    let mut values: Vec<ValueId> = (0..3)
        .map(|number| graph.add_input(["a", "b", "c"][number], Type::of_shape(DType::F64, &[]), Location::unknown()))
        .collect();
    for _ in 0..random.usize(3..15) {
        let mut pick = || values[random.usize(..values.len())];
        let (first, second) = (pick(), pick());
        let (op, operands) = match random.u8(..5) {
            0 => ("add", vec![first, second]),
            1 => ("sub", vec![first, second]),
            2 => ("mul", vec![first, second]),
            3 => ("neg", vec![first]),
            _ => ("stop_gradient", vec![first]),
        };
        let op = registry().get(op).expect("a core op");
        let id = graph.apply(op, &operands, Default::default(), Location::unknown()).expect("well-typed");
        values.push(id.output(0));
    }
    let outputs = (0..random.usize(1..4)).map(|_| values[values.len() - 1 - random.usize(..3)]).collect();
    graph.set_outputs(outputs);
    graph
}

#[test]
fn plans_change_no_result_and_nothing_that_was_not_given() {
    let mut overwrites = 0;
    for seed in 0..400 {
        let mut random = Rng::with_seed(seed);
        let graph = random_graph(&mut random);
        let given = random.u64(..);
        let order = order(&graph);
        let allowed = |id: NodeId| match graph.node(id).op_name() {
            "stop_gradient" => vec![],
            "neg" => vec![(0, 0)],
            _ => vec![(0, 0), (1, 0)],
        };
        let at = |id: NodeId| graph.inputs().iter().position(|&input| input == id);
        let donated = |id: NodeId| at(id).is_some_and(|at| given >> at & 1 == 1);
        let views = |id: NodeId| usual_views(&graph, id);
        let statements = Statements { graph: &graph, order: &order, allowed: &allowed, donated: &donated, views: &views };
        let notes = statements.plan();
        statements.verify(&notes).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let leaf = |id: NodeId| at(id).map_or(0.0, |at| [1.25, -3.5, 0.75][at]);
        let (plain, _) = run(&graph, &order, &vec![StatementNote::default(); order.len()], &leaf);
        let (found, leaves) = run(&graph, &order, &notes, &leaf);
        assert_eq!(found, plain, "seed {seed}: {notes:?}");
        for (id, value) in leaves {
            assert!(donated(id) || value == leaf(id), "seed {seed}: an argument that was not donated was overwritten");
        }
        overwrites += notes.iter().map(|note| note.overwrites.len()).sum::<usize>();
    }
    assert!(overwrites > 400, "only {overwrites} overwrites were planned");
}

/// The overwrites planned for a function of `x` and `y`, each as (op, operand).
#[track_caller]
fn check_plan(body: &str, donated: &[&str], expected: &[(&str, u32)]) {
    let graph = graph(&format!("fn f(x: f32[n], y: f32[n]) {{ return {body} }}"));
    let order = order(&graph);
    let allowed = |_: NodeId| vec![(0, 0), (1, 0)];
    let donated = |id: NodeId| match graph.node(id).kind {
        NodeKind::Input(name) => donated.contains(&&**name),
        _ => false,
    };
    let views = |id: NodeId| usual_views(&graph, id);
    let statements = Statements { graph: &graph, order: &order, allowed: &allowed, donated: &donated, views: &views };
    let notes = statements.plan();
    statements.verify(&notes).expect("a sound plan");
    let found: Vec<(&str, u32)> = order
        .iter()
        .zip(&notes)
        .flat_map(|(&id, note)| note.overwrites.iter().map(move |&(operand, _)| (id, operand)))
        .map(|(id, operand)| (graph.node(id).op_name(), operand))
        .collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn what_is_overwritten() {
    check_plan("exp(x)", &[], &[]);
    check_plan("exp(x)", &["x"], &[("exp", 0)]);
    check_plan("sin(exp(x))", &[], &[("sin", 0)]);
    // Read later, by a view too; or returned.
    check_plan("exp(x) * x", &["x"], &[("mul", 0)]);
    check_plan("exp(x) + transpose(x)", &["x"], &[("add", 0)]);
    check_plan("exp(x), x", &["x"], &[]);
    // What can fail later leaves the caller its arguments.
    check_plan("exp(x) + max(y)", &["x"], &[("add", 0)]);
    check_plan("exp(x) + sum(y)", &["x"], &[("exp", 0), ("add", 0)]);
}

#[test]
fn unsound_plans_are_refused() {
    let graph = graph("fn f(x: f32[n]) { return exp(x) * x }");
    let order = order(&graph);
    let note = |overwrites: &[(u32, u32)]| StatementNote { overwrites: overwrites.to_vec(), ..Default::default() };
    let allowed = |_: NodeId| vec![(0, 0)];
    let views = |id: NodeId| usual_views(&graph, id);
    for (given, notes, message) in [
        (true, [note(&[(0, 0)]), note(&[])], "reads what an earlier one overwrote"),
        (false, [note(&[(0, 0)]), note(&[])], "what is not the program's"),
        (true, [note(&[]), note(&[(1, 0)])], "does not allow"),
    ] {
        let donated = |_: NodeId| given;
        let statements = Statements { graph: &graph, order: &order, allowed: &allowed, donated: &donated, views: &views };
        let error = statements.verify(&notes).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    // Each statement's overwrites, of programs in which all inputs are given and all operands may be overwritten.
    for (body, overwrites, message) in [
        ("exp(x), x", vec![vec![(0, 0)]], "an output was overwritten"),
        ("exp(x) + sum(y)", vec![vec![], vec![], vec![(1, 0)]], "differ in type"),
        ("max(y) + exp(x)", vec![vec![], vec![(0, 0)], vec![]], ""),
        ("exp(x) + max(y)", vec![vec![(0, 0)], vec![], vec![]], "before the last that can fail"),
        ("x * transpose(x)", vec![vec![], vec![(0, 0)]], "another operand shares the memory"),
        ("set_at(x[0], max(y))", vec![vec![], vec![(0, 0)]], ""),
        ("set_at(x[0], 1) + max(y)", vec![vec![(0, 0)], vec![], vec![]], "before the last that can fail"),
    ] {
        let graph = graph_of(body);
        let order = super::tests::order(&graph);
        let notes: Vec<StatementNote> = overwrites.iter().map(|overwrites| note(overwrites)).collect();
        let allowed = |_: NodeId| vec![(0, 0), (1, 0)];
        let views = |id: NodeId| usual_views(&graph, id);
        let statements = Statements { graph: &graph, order: &order, allowed: &allowed, donated: &|_| true, views: &views };
        let told = statements.verify(&notes).err().map_or(String::new(), |error| error.to_string());
        assert!(told.contains(message) && told.is_empty() == message.is_empty(), "{body}: {told}");
    }
}

fn graph_of(body: &str) -> Graph {
    graph(&format!("fn f(x: f32[n], y: f32[n]) {{ return {body} }}"))
}

/// Computes graphs of scalar constants.
fn evaluate(graph: &Graph) -> Result<Vec<Tensor>> {
    let mut values: FxHashMap<ValueId, f64> = FxHashMap::default();
    for id in graph.topological_order() {
        let view = graph.node(id);
        let value = match view.kind {
            NodeKind::Constant(constant) => constant.value.to_f64_vec()[0],
            _ => compute(view.op_name(), &view.operands.iter().map(|operand| values[operand]).collect::<Vec<_>>())?,
        };
        values.insert(id.output(0), value);
    }
    let found = |output: &ValueId| Tensor::scalar(values[output]).cast(graph.ty(*output).dtype);
    Ok(graph.outputs().iter().map(found).collect())
}

#[track_caller]
fn check_folded(before: &str, after: &str) {
    let function = |body: &str| format!("fn f(x: f32[n]) {{ return {body} }}");
    let mut found = graph(&function(before));
    let context = PassContext { evaluate: Some(&evaluate) };
    let mut firings = Vec::new();
    let changed = ConstantFold.run(&mut found, &context, &mut firings).expect("the pass runs");
    found.verify().expect("the graph is in order");
    found.compact();
    let mut expected = graph(&function(after));
    expected.compact();
    let print = |graph: &Graph| lang::print_graph(graph, "f").expect("the graph prints").text;
    assert_eq!(print(&found), print(&expected));
    assert_eq!(changed, before != after);
    assert_eq!(firings.is_empty(), before == after);
    assert!(!ConstantFold.run(&mut found, &context, &mut firings).expect("the pass runs"), "it folds again");
}

#[test]
fn constants_are_folded_once() {
    check_folded("x * (f32(2) + f32(3))", "x * f32(5)");
    check_folded("x * (2 + 3)", "x * 5");
    check_folded("-(f32(2) * f32(3)) + x", "f32(-6) + x");
    check_folded("x + x", "x + x");
    // What the device cannot compute stays, and does not keep others from being folded.
    check_folded("x * exp(f32(2))", "x * exp(f32(2))");
    check_folded("x * exp(f32(2)) + (f32(1) + f32(1))", "x * exp(f32(2)) + f32(2)");
    // A large result would only be stored.
    check_folded("x + sum(zeros(5000, dtype=f32))", "x + sum(zeros(5000, dtype=f32))");
}
