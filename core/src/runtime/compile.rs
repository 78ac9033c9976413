//! Compilation: from a function's expressions to programs on devices.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::call::Direct;
use super::clock::{Clock, Timed};
use super::extract::{Extract, extract};
use super::firm::make_firm;
use super::phases::{phase, phases};
use super::placement::{self, Group, Place};
use super::walk::{Record, Walk, Watch};
use crate::autodiff;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, FunctionGraph, Graph, Location, NodeId, NodeKind, State, ValueId, Var};
use crate::plugin::{CompileOptions, Executable, Program, StatementNote};
use crate::rewrite::shapes::same_shape;
use crate::rewrite::{Firing, Phase, Report, normalize_bodies};
use crate::runtime::Session;
use crate::tensor::{DType, Dim, MemoryKind, Tensor, Type};

/// A compiled function: the steps of a call, and a record of how they came about.
pub struct Compiled {
    pub(super) inputs: Vec<(String, Type)>,
    /// How a call goes if it is no more than one run of a program.
    pub(super) direct: Option<Direct>,
    pub(super) states: Vec<State>,
    /// How many of the states, from the first, are read.
    pub(super) read_states: usize,
    /// Where each value of a call is kept: inputs, then states, then constants, then results of steps.
    pub(super) slots: usize,
    pub(super) constants: Vec<(usize, Tensor)>,
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<usize>,
    /// For each updated state: its index among the states and the slot of its new value.
    pub(super) updates: Vec<(usize, usize)>,
    pub(super) devices: Vec<(String, Arc<dyn crate::plugin::Device>)>,
    /// Whether calls give their arguments away.
    pub(super) owned: bool,
    function: FunctionGraph,
    stated: Graph,
    graph: Graph,
    report: Report,
    nodes: Vec<NodeReport>,
    programs: Vec<(String, Program)>,
    /// Who looks at calls, if anybody does.
    pub(super) observed: Option<Observed>,
    /// What each program was made of.
    pub(super) records: Arc<Vec<Record>>,
    /// Seconds of the phases of compiling.
    pub(super) phases: Vec<(&'static str, f64)>,
}

/// Who looks at a function's calls.
pub(super) struct Observed {
    /// How calls go node by node, where somebody looks at every node.
    pub walk: Option<Walk>,
    pub clock: Option<Arc<Clock>>,
}

/// What a compilation is asked for beside the function.
#[derive(Clone, Default)]
pub struct CompileRequest {
    /// Who looks at every call.
    pub watches: Vec<Arc<dyn Watch>>,
    /// After how many firings rewriting stops: those of rules are counted one by one, those of a pass's run together.
    pub most_firings: Option<usize>,
    /// Whether calls give their arguments away, so that programs may write over them.
    pub owned: bool,
}

/// What rewriting has done so far, and after how many firings it stops.
#[derive(Default)]
pub(super) struct Rewriting {
    pub report: Report,
    pub most_firings: Option<usize>,
}

/// Which arguments a step may write over, unless they are results too.
struct Taken<'a> {
    /// States to which the call gives new values in this step.
    replaced: &'a [State],
    /// Whether inputs are among them, where no later step reads them.
    inputs: bool,
}

/// One program on one device.
pub(super) struct Step {
    pub device: usize,
    /// Whether the device computes in host memory.
    pub in_host_memory: bool,
    pub executable: Arc<dyn Executable>,
    pub arguments: Vec<usize>,
    /// For each argument, whether the step may overwrite it if the call owns it alone.
    pub donate: Vec<bool>,
    pub results: Vec<usize>,
    /// The places of the statements, and those of the lines of the program's text.
    pub locations: Vec<Location>,
    pub places: Vec<Location>,
    pub ops: Vec<String>,
}

/// What became of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// The node of [`Compiled::graph`].
    pub id: NodeId,
    /// The op's name.
    pub op: String,
    /// The results' types.
    pub types: Vec<Type>,
    /// The device that runs it.
    pub device: String,
    /// Why the devices before that one in the order of preference do not.
    pub reasons: Vec<String>,
    /// Which operand the result is written over.
    pub in_place: Vec<(u32, u32)>,
    /// The line of the user's code.
    pub location: Location,
}

impl Compiled {
    /// Compiles a finished function (see [`FunctionBuilder::finish`](super::FunctionBuilder::finish)), in the way that
    /// the request asks for.
    ///
    /// # Errors
    /// If a gradient does not exist, or no device runs an op.
    pub fn new(session: &Session, function: &FunctionGraph, request: &CompileRequest) -> Result<Compiled> {
        let (compiled, times) = phases(|| Compiled::compile(session, function, request));
        let mut compiled = compiled?;
        compiled.phases = times;
        Ok(compiled)
    }

    fn compile(session: &Session, function: &FunctionGraph, request: &CompileRequest) -> Result<Compiled> {
        let outputs: Vec<Var> = function
            .outputs
            .iter()
            .map(|(_, value)| value.clone())
            .chain(function.updates.iter().map(|update| update.value.clone()))
            .collect();
        let stated = Graph::from_vars(&function.inputs, &outputs)?;
        let mut rewriting = Rewriting { most_firings: request.most_firings, ..Rewriting::default() };
        let outputs = super::effects::ordered(&outputs)?;
        let graph = optimize(session, &function.inputs, &outputs, &mut rewriting)?;
        let mut graph = decompose_unsupported(session, graph, &mut rewriting)?;
        make_firm(&mut graph)?;
        graph.compact();
        let mut compiled = phase("place", || Builder::new(session, graph)?.finish(function, stated, rewriting.report, request.owned))?;
        let clock = session.profiles().then(Clock::new);
        let walk = Walk::of(session, &compiled, clock.as_ref(), &request.watches)?;
        if let (Some(clock), None) = (&clock, &walk) {
            compiled.time_programs(clock);
        }
        if walk.is_some() || clock.is_some() {
            compiled.observed = Some(Observed { walk, clock });
        }
        Ok(compiled)
    }

    /// The states that the function reads or updates, in the order of first use.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The graph as stated, in the language.
    pub fn before(&self) -> String {
        crate::lang::print_function(&self.stated, &self.function)
    }

    /// The graph as compiled, in the language.
    pub fn after(&self) -> String {
        crate::lang::print_function(&self.graph, &self.function)
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.function.name
    }

    /// What the outputs of the graph are called: results by name or number, then the updated states with an arrow.
    pub fn result_names(&self) -> Vec<String> {
        let named = |(number, (name, _)): (usize, &(Option<String>, Var))| name.clone().unwrap_or_else(|| format!("result {number}"));
        let results = self.function.outputs.iter().enumerate().map(named);
        results.chain(self.function.updates.iter().map(|update| format!("{} ←", update.state.name()))).collect()
    }

    /// The function as stated.
    pub(super) fn function(&self) -> &FunctionGraph {
        &self.function
    }

    /// The graph as stated.
    pub fn stated_graph(&self) -> &Graph {
        &self.stated
    }

    /// The graph as compiled.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Has every run of every program noted.
    fn time_programs(&mut self, clock: &Arc<Clock>) {
        for step in &mut self.steps {
            let device = self.devices[step.device].0.clone();
            let (inner, clock) = (step.executable.clone(), clock.clone());
            step.executable = Arc::new(Timed { inner, clock, device, ops: step.ops.clone(), locations: step.locations.clone() });
        }
    }

    /// The rewrites that fired, in order.
    pub fn firings(&self) -> &[Firing] {
        &self.report.firings
    }

    /// All that is known of the rewriting: firings, what was not applied or stopped, and what each rule and pass took.
    pub fn rewrites(&self) -> &Report {
        &self.report
    }

    /// What became of each node of the compiled graph.
    pub fn nodes(&self) -> &[NodeReport] {
        &self.nodes
    }

    /// The programs, each with its device's name.
    pub fn programs(&self) -> &[(String, Program)] {
        &self.programs
    }

    /// What the devices say of their programs: plans, kernels.
    pub fn debug_text(&self) -> String {
        self.steps.iter().map(|step| step.executable.debug_text()).collect::<Vec<_>>().join("\n")
    }
}

/// The graph of a function, rewritten as the session's options say up to so many firings, and what fired. A pass
/// may go beyond in the run in which it reaches them.
///
/// # Errors
/// As [`Compiled::new`].
pub(super) fn rewritten(session: &Session, function: &FunctionGraph, most_firings: usize) -> Result<(Graph, Vec<Firing>)> {
    let values = function.outputs.iter().map(|(_, value)| value.clone());
    let outputs: Vec<Var> = values.chain(function.updates.iter().map(|update| update.value.clone())).collect();
    let mut rewriting = Rewriting { most_firings: Some(most_firings), ..Rewriting::default() };
    let graph = optimize(session, &function.inputs, &super::effects::ordered(&outputs)?, &mut rewriting)?;
    Ok((graph, rewriting.report.firings))
}

/// Stabilizes, expands gradients and rewrites; in bodies as outside.
fn optimize(session: &Session, inputs: &[Var], outputs: &[Var], rewriting: &mut Rewriting) -> Result<Graph> {
    const PHASES: [Phase; 4] = [Phase::Canonicalize, Phase::Stabilize, Phase::Specialize, Phase::Scan];
    let graph = expanded(session, inputs, outputs, rewriting)?;
    let mut graph = autodiff::remove_derivative_marks(graph)?;
    session.rewrite(&mut graph, &PHASES[..3], rewriting)?;
    if with_bodies(&graph).is_empty() {
        graph.compact();
        return Ok(graph);
    }
    graph = in_bodies(graph, &mut |inputs, outputs| optimize(session, inputs, outputs, rewriting))?;
    // A body may need less than before, and do work that need not be in it.
    session.rewrite(&mut graph, &PHASES, rewriting)?;
    normalize_bodies(&mut graph)?;
    graph.compact();
    Ok(graph)
}

/// Stabilizes and expands gradients, innermost first, stabilizing in between. A body is expanded before
/// what stands around it is differentiated.
fn expanded(session: &Session, inputs: &[Var], outputs: &[Var], rewriting: &mut Rewriting) -> Result<Graph> {
    let protected = autodiff::protect_targets(outputs)?;
    let mut graph = Graph::from_vars(inputs, &protected)?;
    loop {
        session.rewrite(&mut graph, &[Phase::Canonicalize, Phase::Stabilize], rewriting)?;
        graph = in_bodies(graph, &mut |inputs, outputs| expanded(session, inputs, outputs, rewriting))?;
        let symbolic = |graph: &Graph| {
            graph.topological_order().iter().any(|&id| graph.node(id).apply().is_some_and(|(op, _)| op.is_symbolic()))
        };
        if !symbolic(&graph) {
            break;
        }
        graph = phase("differentiate", || autodiff::expand_symbolic(&graph))?;
    }
    autodiff::remove_barriers(graph)
}

fn with_bodies(graph: &Graph) -> Vec<NodeId> {
    let has = |id: &NodeId| graph.node(*id).apply().is_some_and(|(_, attributes)| attributes.bodies().next().is_some());
    graph.topological_order().into_iter().filter(has).collect()
}

/// What a body becomes, from its inputs and outputs.
type RewriteBody<'a> = dyn FnMut(&[Var], &[Var]) -> Result<Graph> + 'a;

/// The graph with other bodies: what `rewrite` makes of each one.
fn in_bodies(graph: Graph, rewrite: &mut RewriteBody<'_>) -> Result<Graph> {
    let nodes = with_bodies(&graph);
    if nodes.is_empty() {
        return Ok(graph);
    }
    crate::graph::expand_nodes(&graph, &nodes, |op, operands, attributes| {
        let mut renewed = attributes.clone();
        for (name, body) in attributes.bodies() {
            let (inputs, outputs) = rewrite(body.inputs(), body.outputs())?.to_vars()?;
            renewed.set(name, Body::new(inputs, outputs)?);
        }
        let var = Var::apply_op(op.clone(), operands, renewed, Location::caller());
        var.ty()?;
        Ok(var.siblings())
    })
}

/// Replaces ops that the preferred device does not run by their decompositions, where they have one; in bodies
/// as outside.
fn decompose_unsupported(session: &Session, mut graph: Graph, rewriting: &mut Rewriting) -> Result<Graph> {
    loop {
        let unsupported = unsupported(session, &graph);
        if unsupported.is_empty() {
            break;
        }
        graph = crate::graph::expand_nodes(&graph, &unsupported, |op, operands, attributes| {
            op.decompose(operands, attributes).unwrap_or_else(|| {
                Err(Error::new(ErrorKind::Internal, format!("`{}` has no decomposition", op.name())))
            })
        })?;
        session.rewrite(&mut graph, &[Phase::Canonicalize, Phase::Stabilize, Phase::Specialize], rewriting)?;
        graph.compact();
    }
    if unsupported_inside(session, &graph)? {
        graph = in_bodies(graph, &mut |inputs, outputs| {
            decompose_unsupported(session, Graph::from_vars(inputs, outputs)?, rewriting)
        })?;
        normalize_bodies(&mut graph)?;
        graph.compact();
    }
    Ok(graph)
}

/// The nodes that the preferred device does not run, but what they are made of perhaps.
fn unsupported(session: &Session, graph: &Graph) -> Vec<NodeId> {
    let preferred = session.devices().get(..1).unwrap_or_default();
    let is = |id: &NodeId| {
        let Some((op, _)) = graph.node(*id).apply() else { return false };
        op.has_decomposition() && placement::place(graph, *id, preferred).is_err()
    };
    graph.topological_order().into_iter().filter(is).collect()
}

/// Whether a body, or one in it, holds such nodes.
fn unsupported_inside(session: &Session, graph: &Graph) -> Result<bool> {
    for id in with_bodies(graph) {
        let Some((_, attributes)) = graph.node(id).apply() else { continue };
        for (_, body) in attributes.bodies() {
            let inside = body.graph()?;
            if !unsupported(session, &inside).is_empty() || unsupported_inside(session, &inside)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

struct Builder<'a> {
    session: &'a Session,
    graph: Graph,
    order: Vec<NodeId>,
    places: Vec<Option<Place>>,
    slots: FxHashMap<ValueId, usize>,
    states: Vec<State>,
    constants: Vec<(usize, Tensor)>,
    records: Vec<Record>,
}

impl<'a> Builder<'a> {
    fn new(session: &'a Session, graph: Graph) -> Result<Builder<'a>> {
        let order = graph.topological_order();
        let mut builder = Builder {
            session, places: vec![None; order.len() + graph.inputs().len()], order, slots: FxHashMap::default(),
            states: Vec::new(), constants: Vec::new(), records: Vec::new(), graph,
        };
        for &input in builder.graph.inputs() {
            let slot = builder.slots.len();
            builder.slots.insert(input.output(0), slot);
        }
        for &id in &builder.order {
            if let NodeKind::State(state) = builder.graph.node(id).kind {
                let slot = builder.slots.len();
                builder.slots.insert(id.output(0), slot);
                builder.states.push(state.clone());
            }
        }
        for &id in &builder.order {
            if placement::is_computed(builder.graph.node(id).kind) {
                let place = placement::place(&builder.graph, id, session.devices())?;
                builder.places[id.0 as usize] = Some(place);
            }
        }
        Ok(builder)
    }

    fn finish(
        mut self, function: &FunctionGraph, stated: Graph, report: Report, owned: bool,
    ) -> Result<Compiled> {
        let groups = placement::groups(&self.graph, &self.order, &self.places);
        let mut group_of: FxHashMap<NodeId, usize> = FxHashMap::default();
        for (number, group) in groups.iter().enumerate() {
            group_of.extend(group.nodes.iter().map(|&id| (id, number)));
        }
        let updated: Vec<State> = function.updates.iter().map(|update| update.state.clone()).collect();
        let (mut steps, mut nodes, mut programs) = (Vec::new(), Vec::new(), Vec::new());
        // A new value that a state may refuse after the last step forbids overwriting any old one.
        let certain = self.updates_certainly_fit(function);
        for (number, group) in groups.iter().enumerate() {
            let replaced = if certain && number + 1 == groups.len() { &updated[..] } else { &[] };
            let (step, program) = self.step(group, number, &group_of, &Taken { replaced, inputs: owned }, &mut nodes)?;
            let device = self.session.devices()[group.device].0.clone();
            steps.push(step);
            programs.push((device, program));
        }
        let values = self.graph.outputs().to_vec();
        let mut slots = Vec::new();
        for value in values {
            slots.push(self.slot(value));
        }
        let update_slots = slots.split_off(function.outputs.len());
        let read_states = self.states.len();
        // States that are updated without being read have no node of their own.
        let mut updates = Vec::new();
        for (update, slot) in function.updates.iter().zip(update_slots) {
            let position = self.states.iter().position(|state| state.is(&update.state)).unwrap_or_else(|| {
                self.states.push(update.state.clone());
                self.states.len() - 1
            });
            updates.push((position, slot));
        }
        let inputs: Vec<(String, Type)> = self
            .graph
            .inputs()
            .iter()
            .map(|&id| match self.graph.node(id).kind {
                NodeKind::Input(name) => (name.to_string(), self.graph.ty(id.output(0)).clone()),
                _ => (String::new(), self.graph.ty(id.output(0)).clone()),
            })
            .collect();
        let direct = Direct::of(inputs.len(), &self.states, &self.constants, &steps, &slots);
        Ok(Compiled {
            direct, inputs, states: self.states, read_states, slots: self.slots.len(), constants: self.constants, steps, outputs: slots,
            updates, devices: self.session.devices().to_vec(), owned, function: function.clone(), stated,
            graph: self.graph, report, nodes, programs, records: Arc::new(self.records), observed: None, phases: Vec::new(),
        })
    }

    /// Whether every call gives all updated states values of their types.
    fn updates_certainly_fit(&self, function: &FunctionGraph) -> bool {
        let values = self.graph.outputs().iter().skip(function.outputs.len());
        function.updates.iter().zip(values).all(|(update, &value)| {
            let mut dims = self.graph.ty(value).dims.iter().zip(&update.state.ty().dims);
            let known = dims.all(|(dim, wanted)| wanted.known().is_none() || wanted == dim);
            let old = || {
                let is_old = |id: &&NodeId| {
                    matches!(self.graph.node(**id).kind, NodeKind::State(state) if state.is(&update.state))
                };
                self.order.iter().find(is_old).copied()
            };
            known || old().is_some_and(|old| same_shape(&self.graph, old.output(0), value))
        })
    }

    /// The slot of a value; a constant gets one on demand.
    fn slot(&mut self, value: ValueId) -> usize {
        if let Some(&slot) = self.slots.get(&value) {
            return slot;
        }
        let slot = self.slots.len();
        self.slots.insert(value, slot);
        if let Some(constant) = self.graph.node(value.node).constant() {
            self.constants.push((slot, constant.value.clone()));
        }
        slot
    }

    fn step(
        &mut self, group: &Group, number: usize, group_of: &FxHashMap<NodeId, usize>, taken: &Taken<'_>,
        reports: &mut Vec<NodeReport>,
    ) -> Result<(Step, Program)> {
        let mut results: Vec<ValueId> = Vec::new();
        for &id in &group.nodes {
            let users_outside = self.graph.users(id).iter().any(|user| group_of.get(user) != Some(&number));
            for output in 0..self.graph.node(id).results.len() {
                let value = id.output(output);
                let used = users_outside
                    && self.graph.users(id).iter().any(|&user| {
                        group_of.get(&user) != Some(&number) && self.graph.node(user).operands.contains(&value)
                    });
                if used || self.graph.outputs().contains(&value) {
                    results.push(value);
                }
            }
        }
        let Extract { graph: part, given: arguments, statements, originals } = extract(&self.graph, &group.nodes, &results)?;
        let donate: Vec<bool> = arguments
            .iter()
            .map(|value| {
                let last = || self.graph.users(value.node).iter().all(|user| group_of.get(user).is_none_or(|&group| group <= number));
                let may = match self.graph.node(value.node).kind {
                    NodeKind::State(state) => taken.replaced.iter().any(|replaced| replaced.is(state)),
                    NodeKind::Input(_) => taken.inputs && last(),
                    _ => false,
                };
                may && !self.graph.outputs().contains(value)
            })
            .collect();
        let place = |original: &NodeId| self.places[original.0 as usize].as_ref();
        let overwrites: Vec<Vec<(usize, usize)>> =
            originals.iter().map(|id| place(id).map_or(Vec::new(), |place| place.overwrites.clone())).collect();
        let notes: Vec<StatementNote> = self.session.plan_in_place(&part, &statements, &overwrites, &donate)?;
        let (program, places) = Program::emit_located(&part, &statements, notes)?;
        let options = CompileOptions { profile: self.session.profiles(), donatable: donate.clone() };
        let device = &self.session.devices()[group.device].1;
        let executable = phase("backend", || device.compile(&program, &options))?;
        let locations = statements.iter().map(|&id| part.node(id).location.clone()).collect();
        let ops = statements.iter().map(|&id| part.node(id).op_name().to_owned()).collect();
        let device_name = self.session.devices()[group.device].0.clone();
        for ((&id, original), note) in statements.iter().zip(&originals).zip(&program.notes) {
            let view = part.node(id);
            reports.push(NodeReport {
                id: *original,
                op: view.op_name().to_owned(),
                types: view.results.iter().map(|result| result.ty.clone()).collect(),
                device: device_name.clone(),
                reasons: place(original).map_or(Vec::new(), |place| place.reasons.clone()),
                in_place: note.overwrites.clone(),
                location: view.location.clone(),
            });
        }
        self.records.push(Record { device: group.device, nodes: originals, given: arguments.clone(), results: results.clone() });
        let arguments = arguments.into_iter().map(|value| self.slot(value)).collect();
        let results = results.into_iter().map(|value| self.slot(value)).collect();
        let in_host_memory = device.info().memory == MemoryKind::HOST;
        Ok((Step { device: group.device, in_host_memory, executable, arguments, donate, results, locations, places, ops }, program))
    }
}

/// Checks arguments against the inputs' types, named dims included.
///
/// # Errors
/// If a dtype, rank or dim does not fit; the error names the input.
pub(super) fn check_arguments(inputs: &[(String, Type)], arguments: &[Tensor]) -> Result<()> {
    let mut named: SmallVec<[(&str, usize, &str); 4]> = SmallVec::new();
    for ((name, ty), value) in inputs.iter().zip(arguments) {
        let found = || format!("{}{:?}", value.dtype(), value.shape());
        if !ty.admits(value.dtype(), value.shape()) {
            let error = Error::new(ErrorKind::Runtime, format!("the input `{name}` is {ty}, {} was given", found()));
            return Err(match (value.dtype(), ty.dtype) {
                (DType::F64, DType::F32) => error.note("convert it with `Tensor::cast(DType::F32)`"),
                _ => error,
            });
        }
        for (dim, &length) in ty.dims.iter().zip(value.shape()) {
            let Dim::Named(dim) = dim else { continue };
            match named.iter().find(|(known, ..)| *known == &**dim) {
                Some((_, expected, first)) if *expected != length => {
                    let message = format!(
                        "the dim `{dim}` is {expected} in the input `{first}` and {length} in `{name}` ({})",
                        found()
                    );
                    return Err(Error::new(ErrorKind::Runtime, message));
                }
                Some(_) => {}
                None => named.push((dim, length, name)),
            }
        }
    }
    Ok(())
}
