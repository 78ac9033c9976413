//! The part of the mode `debug` that checks rewrites: the graph without any must give what the rewritten one gives
//! or, where they differ, something less exact.

use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use super::super::extract::extract;
use super::block::{own_copy, run};
use super::{Compiled, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{FunctionGraph, Graph, NodeId, NodeKind, ValueId, Var, clone_with};
use crate::ops::effects::is_effectful;
use crate::plugin::{CompileOptions, Device, Executable, Program, StatementNote};
use crate::rewrite::harness::precise::{Exact, Format, Oracle};
use crate::rewrite::Firing;
use crate::runtime::compare::{Difference, Tolerance, difference};
use crate::tensor::{Dim, Tensor, Type};

pub(super) struct Rewrites {
    session: Session,
    function: FunctionGraph,
    reference: Arc<dyn Device>,
    /// How often something fired.
    fired: usize,
    plain: OnceLock<Variant>,
}

/// The function after the first few firings, as a program of the reference backend.
struct Variant {
    graph: Graph,
    firings: Vec<Firing>,
    given: Vec<ValueId>,
    /// The places, among all outputs, of those that are computed.
    outputs: Vec<usize>,
    executable: Arc<dyn Executable>,
}

/// What a call started from.
pub(super) struct Given<'a> {
    pub compiled: &'a Compiled,
    pub values: &'a FxHashMap<ValueId, Tensor>,
}

impl Rewrites {
    pub fn new(session: &Session, compiled: &Compiled, reference: Arc<dyn Device>) -> Rewrites {
        Rewrites {
            session: session.clone(), function: compiled.function().clone(), reference, fired: compiled.firings().len(),
            plain: OnceLock::new(),
        }
    }

    /// Compares the outputs of a call with those of the graph without rewrites, and finds the firing to blame.
    ///
    /// # Errors
    /// If a firing made a result less exact.
    pub fn check(&self, given: &Given<'_>) -> Result<()> {
        if self.fired == 0 {
            return Ok(());
        }
        let plain = match self.plain.get() {
            Some(plain) => plain,
            None => {
                let variant = self.variant(0)?;
                self.plain.get_or_init(|| variant)
            }
        };
        if has_effects(&plain.graph) {
            return Ok(());
        }
        let mut baseline = match self.outputs(plain, given) {
            Ok(outputs) => outputs,
            // Without rewrites something may fail that is not needed.
            Err(_) => return Ok(()),
        };
        let found: Vec<Option<Tensor>> =
            given.compiled.graph().outputs().iter().map(|output| given.values.get(output).cloned()).collect();
        let mut enabled = 0;
        while Rewrites::differ(&baseline, &found).is_some() && enabled < self.fired {
            // The least number of first firings that changes a result.
            let (mut few, mut many) = (enabled, self.fired);
            while many - few > 1 {
                let middle = (few + many) / 2;
                match self.variant(middle).and_then(|variant| self.outputs(&variant, given)) {
                    Ok(outputs) if Rewrites::differ(&baseline, &outputs).is_none() => few = middle,
                    _ => many = middle,
                }
            }
            let variant = self.variant(many)?;
            let outputs = self.outputs(&variant, given)?;
            // Of a pass, all that it did in one run. What a device has taken apart fires later than all of these.
            let firings = variant.firings.get(few..).unwrap_or_default();
            if let (Some((output, change)), Some(firing)) = (Rewrites::differ(&baseline, &outputs), firings.first()) {
                // In another order of a sum an infinity may meet what overflowed on the way.
                let by_order = adds(&plain.graph) && !change.found.is_finite() && !change.expected.is_finite();
                match self.judge(plain, given, output, &change) {
                    Some(true) => {}
                    None if self.is_checked(&firing.rule) => {}
                    Some(false) if by_order && self.is_checked(&firing.rule) => {}
                    verdict => return Err(self.blame(firings, output, &change, verdict)),
                }
            }
            (baseline, enabled) = (outputs, many);
        }
        Ok(())
    }

    /// The function after so many firings.
    fn variant(&self, firings: usize) -> Result<Variant> {
        let (graph, firings) = super::super::compile::rewritten(&self.session, &self.function, firings)?;
        let nodes: Vec<NodeId> =
            graph.topological_order().into_iter().filter(|&id| graph.node(id).apply().is_some()).collect();
        let wanted = self.function.outputs.len() + self.function.updates.len();
        let computed = |output: &ValueId| graph.node(output.node).apply().is_some();
        let outputs: Vec<usize> = (0..wanted).filter(|&at| graph.outputs().get(at).is_some_and(computed)).collect();
        let results: Vec<ValueId> = outputs.iter().map(|&at| graph.outputs()[at]).collect();
        let part = extract(&graph, &nodes, &results)?;
        let notes = vec![StatementNote::default(); part.statements.len()];
        let program = Program::emit(&part.graph, &part.statements, notes)?;
        let executable = self.reference.compile(&program, &CompileOptions::default())?;
        Ok(Variant { given: part.given, graph, firings, outputs, executable })
    }

    /// The outputs that a variant computes from what the call started from.
    fn outputs(&self, variant: &Variant, given: &Given<'_>) -> Result<Vec<Option<Tensor>>> {
        let arguments: Vec<Tensor> = variant.given.iter().map(|&value| start(&variant.graph, value, given)).collect::<Result<_>>()?;
        let copies: Vec<Tensor> = arguments.iter().map(own_copy).collect();
        let results = run(&*self.reference, &*variant.executable, &copies.iter().collect::<Vec<_>>())?;
        let mut outputs = vec![None; self.function.outputs.len() + self.function.updates.len()];
        for (&at, result) in variant.outputs.iter().zip(results) {
            outputs[at] = Some(result);
        }
        Ok(outputs)
    }

    /// The first output, and where in it, that differs by more than half of its digits.
    fn differ(before: &[Option<Tensor>], after: &[Option<Tensor>]) -> Option<(usize, Difference)> {
        before.iter().zip(after).enumerate().find_map(|(at, (before, after))| {
            let (Some(before), Some(after)) = (before, after) else { return None };
            if !before.dtype().is_float() || before.shape() != after.shape() {
                return None;
            }
            difference(after, before, Tolerance::Half, 0.0).map(|difference| (at, difference))
        })
    }

    /// Whether a change brought an element closer to its exact value; nothing if nobody knows that.
    fn judge(&self, plain: &Variant, given: &Given<'_>, output: usize, change: &Difference) -> Option<bool> {
        const LARGEST: usize = 200;
        if plain.graph.len() > LARGEST {
            return None;
        }
        let (inputs, outputs) = plain.graph.to_vars().ok()?;
        let mut arguments = Vec::new();
        let mut pairs = Vec::new();
        let leaves = crate::graph::inputs_of(&outputs);
        for leaf in inputs.iter().chain(leaves.iter().filter(|leaf| matches!(leaf.node().kind(), NodeKind::State(_)))) {
            let value = named(leaf, given)?;
            let ty = Type::new(value.dtype(), value.shape().iter().map(|&length| Dim::Known(length)));
            pairs.push((leaf.clone(), Var::input("x", ty)));
            arguments.push(value);
        }
        let fixed = clone_with(&outputs[output..=output], &pairs).ok()?;
        let new: Vec<Var> = pairs.into_iter().map(|(_, new)| new).collect();
        let graph = Graph::from_vars(&new, &fixed).ok()?;
        let shape = graph.ty(graph.outputs()[0]).known_shape()?;
        let flat = change.at.iter().zip(&shape).fold(0, |flat, (&at, &length)| flat * length + at);
        let Ok(Exact::Known(exact)) = Oracle::new(&graph, &arguments).ok()?.exact(flat) else { return None };
        // At the edge of its domain, as `x * log(x)` at 0, a stable form may have the limit.
        if exact.is_nan() {
            return None;
        }
        let format = Format::of(graph.ty(graph.outputs()[0]).dtype);
        Some(format.error(change.found, &exact) <= format.error(change.expected, &exact))
    }

    /// Whether a rule or pass is one of Arignote's own, which its tests check against exact values.
    fn is_checked(&self, name: &str) -> bool {
        self.session.rules().is_core(name)
    }

    /// The error that names what fired: of a rule one firing, of a pass all of one run.
    fn blame(&self, firings: &[Firing], output: usize, change: &Difference, verdict: Option<bool>) -> Error {
        let rule = firings.first().map_or("", |firing| &firing.rule);
        let which = match self.function.outputs.get(output) {
            Some((Some(name), _)) => format!("the result `{name}`"),
            Some(_) => format!("result {output}"),
            None => format!("the new value of the state `{}`", self.function.updates[output - self.function.outputs.len()].state.name()),
        };
        let message = format!("the rewrite `{rule}` changes {which} from {} to {} at {:?}", change.expected, change.found, change.at);
        let mut error = Error::new(ErrorKind::Internal, message);
        if verdict == Some(false) {
            error = error.note("the exact value is nearer to the one before");
        }
        if let Some(first) = firings.first() {
            error = error.at(&first.location);
            if first.source.is_known() {
                error = error.note(format!("the rule stands at {}", first.source));
            }
        }
        let error = firings.iter().take(3).fold(error, |error, firing| {
            error.note(format!("{}\n=> {}", firing.before, firing.after))
        });
        error.note(format!("`rewrite.exclude = [\"{rule}\"]` of the config avoids it; `arignote rules --check` looks for counterexamples"))
    }
}

/// Whether something is added up.
fn adds(graph: &Graph) -> bool {
    graph.has_node(|view| view.apply().is_some_and(|(op, _)| Tolerance::adds(&**op)))
}

fn has_effects(graph: &Graph) -> bool {
    graph.ids().any(|id| graph.node(id).apply().is_some_and(|(op, attributes)| is_effectful(&**op, attributes)))
}

/// The value of an input or state of a variant's graph in the call.
fn start(graph: &Graph, value: ValueId, given: &Given<'_>) -> Result<Tensor> {
    let missing = || Error::new(ErrorKind::Internal, "a value that the call started from is missing");
    let compiled = given.compiled.graph();
    let found = match graph.node(value.node).kind {
        NodeKind::State(state) => compiled.ids().find(|&id| matches!(compiled.node(id).kind, NodeKind::State(own) if own.is(state))),
        _ => graph.inputs().iter().position(|&input| input == value.node).map(|at| compiled.inputs()[at]),
    };
    found.and_then(|id| given.values.get(&id.output(0)).cloned()).ok_or_else(missing)
}

/// The value of an input, by its name, or of a state.
fn named(leaf: &Var, given: &Given<'_>) -> Option<Tensor> {
    let compiled = given.compiled.graph();
    let id = match leaf.node().kind() {
        NodeKind::State(state) => compiled.ids().find(|&id| matches!(compiled.node(id).kind, NodeKind::State(own) if own.is(state))),
        NodeKind::Input(name) => {
            let same = |id: &&NodeId| matches!(compiled.node(**id).kind, NodeKind::Input(own) if own == name);
            compiled.inputs().iter().find(same).copied()
        }
        _ => None,
    }?;
    given.values.get(&id.output(0)).cloned()
}
