//! The engine: applies a set of rules to a graph until none matches.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use super::describe::describe;
use super::local::{Local, Site};
use super::matcher;
use super::pattern::Rule;
use super::shapes;
use crate::graph::{Graph, Location, NodeId, ValueId};

/// One application of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// The rule's or pass's name.
    pub rule: String,
    /// Where the rule stands; unknown for a pass.
    pub source: Location,
    /// Where the user built what was replaced.
    pub location: Location,
    /// The expression that matched, as deep as the rule looks.
    pub before: String,
    /// What stands there now.
    pub after: String,
}

impl Firing {
    /// That of a pass.
    pub fn of_pass(name: &str, location: Location, before: String, after: String) -> Firing {
        Firing { rule: name.to_owned(), source: Location::unknown(), location, before, after }
    }
}

/// A match that was not applied because the result's type would have changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The rule.
    pub rule: String,
    /// Where it matched.
    pub location: Location,
    /// Why it was not applied.
    pub reason: String,
    /// Whether the rule is to blame: the dtype would change though all its operands had one floating-point dtype, so that no
    /// mixture of dtypes excuses it, or the number of axes though there is but one operand, so that no broadcast does.
    pub fault: bool,
}

/// A rule that kept firing, or kept growing the graph, and was switched off for the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopped {
    /// The rule.
    pub rule: String,
    /// How often it fired.
    pub firings: usize,
    /// Which limit was met.
    pub reason: String,
}

/// What a rule or pass took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// How often a rule was tried at a node, or a pass was run.
    pub tried: usize,
    /// How often it fired.
    pub fired: usize,
    /// How long it took, matching and replacing.
    pub time: Duration,
}

/// What happened in a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Every firing, in order.
    pub firings: Vec<Firing>,
    /// Matches that were not applied, the first hundred.
    pub rejections: Vec<Rejection>,
    /// Rules that were stopped.
    pub stopped: Vec<Stopped>,
    /// How many nodes were looked at.
    pub visited: usize,
    /// What each rule and pass took, by name.
    pub costs: BTreeMap<String, Cost>,
}

impl Report {
    /// Adds what happened in a later run.
    pub fn extend(&mut self, later: Report) {
        self.firings.extend(later.firings);
        self.rejections.extend(later.rejections);
        self.rejections.truncate(MOST_REJECTIONS);
        self.stopped.extend(later.stopped);
        self.visited += later.visited;
        for (name, cost) in later.costs {
            self.add_cost(&name, cost);
        }
    }

    /// Adds what a rule or pass took.
    pub fn add_cost(&mut self, name: &str, cost: Cost) {
        if !self.costs.contains_key(name) {
            self.costs.insert(name.to_owned(), Cost::default());
        }
        if let Some(known) = self.costs.get_mut(name) {
            known.tried += cost.tried;
            known.fired += cost.fired;
            known.time += cost.time;
        }
    }

    /// Rules and passes that fired, each with how often, most often first.
    pub fn counts(&self) -> Vec<(&str, usize)> {
        let mut counts: FxHashMap<&str, usize> = FxHashMap::default();
        for firing in &self.firings {
            *counts.entry(&firing.rule).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        counts
    }
}

const MOST_REJECTIONS: usize = 100;

/// When a run stops a rule, and when it ends. Those per node count from the size of the graph at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Firings allowed per node, above a thousand for free.
    pub firings_per_node: usize,
    /// Nodes that may be added per node, above a thousand for free.
    pub growth_per_node: usize,
    /// How often a rule may fire at what it has made itself at what it has made itself, and so on, besides once for each node:
    /// what is moved through the graph fires as often as there are nodes on its way.
    pub generations: usize,
    /// Firings after which the run ends, whatever else would match.
    pub firings: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { firings_per_node: 20, growth_per_node: 10, generations: 50, firings: usize::MAX }
    }
}

/// A rule or a local rewrite.
#[derive(Clone, Copy)]
enum Entry<'r> {
    Rule(&'r Rule),
    Local(&'r Local),
}

impl<'r> Entry<'r> {
    fn name(self) -> &'r str {
        match self {
            Entry::Rule(rule) => &rule.name,
            Entry::Local(local) => local.name,
        }
    }

    /// As deep as it looks.
    fn depth(self) -> usize {
        match self {
            Entry::Rule(rule) => rule.depth,
            Entry::Local(_) => Local::DEPTH,
        }
    }
}

/// What an entry puts into a graph: a value for each result, and the nodes added.
type Built = (Vec<ValueId>, Vec<NodeId>);

/// Rules and local rewrites, indexed by the op at their root.
pub struct Engine<'r> {
    entries: Vec<Entry<'r>>,
    by_root: FxHashMap<&'r str, Vec<usize>>,
    depth: usize,
    limits: Limits,
}

impl<'r> Engine<'r> {
    /// An engine for some rules. Where several match, the first wins.
    pub fn new(rules: impl IntoIterator<Item = &'r Rule>) -> Engine<'r> {
        let engine = Engine { entries: Vec::new(), by_root: FxHashMap::default(), depth: 1, limits: Limits::default() };
        rules.into_iter().fold(engine, |engine, rule| engine.with(Entry::Rule(rule), &[rule.root()]))
    }

    /// The same engine with local rewrites too, which are tried before the rules.
    pub fn with_locals(self, locals: impl IntoIterator<Item = &'r Local>) -> Engine<'r> {
        locals.into_iter().fold(self, |engine, local| engine.with(Entry::Local(local), local.roots))
    }

    fn with(mut self, entry: Entry<'r>, roots: &[&'r str]) -> Engine<'r> {
        let local = |entry: &Entry<'_>| matches!(entry, Entry::Local(_));
        for root in roots {
            let list = self.by_root.entry(root).or_default();
            let at = if local(&entry) { list.iter().filter(|&&number| local(&self.entries[number])).count() } else { list.len() };
            list.insert(at, self.entries.len());
        }
        self.depth = self.depth.max(entry.depth());
        self.entries.push(entry);
        self
    }

    /// The same engine with other limits.
    pub fn with_limits(mut self, limits: Limits) -> Engine<'r> {
        self.limits = limits;
        self
    }

    /// Rewrites until nothing matches. A rule that exceeds the limits is switched off and reported;
    /// what it did so far stays, as every single step is right. Node ids that stay in use keep their
    /// meaning.
    pub fn run(&self, graph: &mut Graph) -> Report {
        let mut run = Run::new(self, graph);
        while let Some(id) = run.queue.pop_front() {
            run.queued[id.0 as usize] = false;
            if run.report.firings.len() >= self.limits.firings {
                break;
            }
            if graph.contains(id) {
                run.report.visited += 1;
                run.visit(graph, id);
            }
        }
        run.finish()
    }
}

struct Run<'e, 'r> {
    engine: &'e Engine<'r>,
    report: Report,
    queue: VecDeque<NodeId>,
    queued: Vec<bool>,
    disabled: Vec<bool>,
    fired: Vec<usize>,
    grown: Vec<isize>,
    costs: Vec<Cost>,
    /// Of nodes that an entry added: which one, and how many firings in a row led to it.
    made: FxHashMap<NodeId, (usize, usize)>,
    outputs: FxHashSet<ValueId>,
    steps_left: usize,
    growth_left: isize,
    size: usize,
}

impl<'e, 'r> Run<'e, 'r> {
    fn new(engine: &'e Engine<'r>, graph: &Graph) -> Run<'e, 'r> {
        let order = graph.topological_order();
        let size = order.len();
        let count = engine.entries.len();
        let mut run = Run {
            engine,
            report: Report::default(),
            queue: VecDeque::with_capacity(size),
            queued: Vec::new(),
            disabled: vec![false; count],
            fired: vec![0; count],
            grown: vec![0; count],
            costs: vec![Cost::default(); count],
            made: FxHashMap::default(),
            outputs: graph.outputs().iter().copied().collect(),
            steps_left: 0,
            growth_left: 0,
            size,
        };
        run.refill();
        for id in order {
            run.push(id);
        }
        run
    }

    fn refill(&mut self) {
        self.steps_left = 1000 + self.size * self.engine.limits.firings_per_node;
        self.growth_left = (1000 + self.size * self.engine.limits.growth_per_node) as isize;
    }

    fn push(&mut self, id: NodeId) {
        let at = id.0 as usize;
        if self.queued.len() <= at {
            self.queued.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.queued[at], true) {
            self.queue.push_back(id);
        }
    }

    fn finish(mut self) -> Report {
        for (entry, cost) in self.engine.entries.iter().zip(&self.costs) {
            if cost.tried > 0 {
                self.report.add_cost(entry.name(), *cost);
            }
        }
        self.report
    }

    fn visit(&mut self, graph: &mut Graph, id: NodeId) {
        let root = id.output(0);
        let view = graph.node(id);
        if graph.users(id).is_empty() && !(0..view.results.len()).any(|at| self.outputs.contains(&id.output(at))) {
            return;
        }
        let engine = self.engine;
        let Some(candidates) = engine.by_root.get(view.op_name()) else { return };
        let mut start = Instant::now();
        for &number in candidates {
            let entry = engine.entries[number];
            if self.disabled[number] {
                continue;
            }
            let fired = self.attempt(graph, number, entry, root);
            let now = Instant::now();
            let cost = &mut self.costs[number];
            (cost.tried, cost.fired) = (cost.tried + 1, cost.fired + usize::from(fired));
            cost.time += now - start;
            start = now;
            if fired {
                return;
            }
        }
    }

    /// Whether the entry applied at the node.
    fn attempt(&mut self, graph: &mut Graph, number: usize, entry: Entry<'r>, root: ValueId) -> bool {
        let id = root.node;
        let (built, before) = match entry {
            Entry::Rule(rule) => {
                if graph.node(id).results.len() != 1 {
                    return false;
                }
                let Some(bindings) = matcher::match_at(graph, rule, root) else { return false };
                let location = graph.node(id).location.clone();
                let before = describe(graph, root, rule.depth);
                let built = matcher::build(graph, rule, &bindings, &location);
                let built = match built.map(|(value, added)| (vec![value], added)) {
                    Ok(built) => built,
                    Err(error) => {
                        self.reject(graph, entry.name(), &bindings.values, location, error.message().to_owned());
                        return false;
                    }
                };
                if let Err(reason) = fits(graph, root, built.0[0]) {
                    matcher::discard(graph, &built.1);
                    self.reject(graph, entry.name(), &bindings.values, location, reason);
                    return false;
                }
                (built, before)
            }
            Entry::Local(local) => {
                let mut site = Site::new(graph, id);
                let values = (local.rewrite)(&mut site);
                let added = site.into_added();
                let reason = match values {
                    Ok(None) => {
                        matcher::discard(graph, &added);
                        return false;
                    }
                    Ok(Some(values)) => {
                        let unfit = values.iter().enumerate().map(|(at, &value)| fits(graph, id.output(at), value)).find_map(Result::err);
                        match unfit {
                            None if values.len() == graph.node(id).results.len() => Ok((values, added)),
                            None => Err((added, "it gives other results than there are".to_owned())),
                            Some(reason) => Err((added, reason)),
                        }
                    }
                    Err(error) => Err((added, error.message().to_owned())),
                };
                match reason {
                    Ok(built) => (built, describe(graph, root, Local::DEPTH)),
                    Err((added, reason)) => {
                        let location = graph.node(id).location.clone();
                        matcher::discard(graph, &added);
                        self.reject(graph, entry.name(), &[], location, reason);
                        return false;
                    }
                }
            }
        };
        self.put(graph, number, entry, root, built, before);
        true
    }

    /// Puts what was built in the place of a node.
    fn put(&mut self, graph: &mut Graph, number: usize, entry: Entry<'r>, root: ValueId, built: Built, before: String) {
        let id = root.node;
        let (values, added) = built;
        let location = graph.node(id).location.clone();
        let mut changed = Vec::new();
        for (at, &value) in values.iter().enumerate() {
            let old = id.output(at);
            match graph.replace(old, value) {
                Ok(users) => changed.extend(users),
                // Its type was compared already.
                Err(error) => return self.reject(graph, entry.name(), &[], location, error.message().to_owned()),
            }
            if self.outputs.remove(&old) {
                self.outputs.insert(value);
            }
        }
        let after = describe(graph, values[0], entry.depth());
        let source = match entry {
            Entry::Rule(rule) => rule.location.clone(),
            Entry::Local(_) => Location::unknown(),
        };
        self.report.firings.push(Firing { rule: entry.name().to_owned(), source, location, before, after });
        // What was built on the way and is not part of the result goes too.
        let size = added.len() as isize;
        matcher::discard(graph, &added);
        let gone = added.iter().filter(|&&id| !graph.contains(id)).count() as isize;
        let removed = graph.remove_dead(id).len() as isize;
        let generation = 1 + self.made.remove(&id).filter(|(by, _)| *by == number).map_or(0, |(_, generation)| generation);
        for &id in added.iter().filter(|&&id| graph.contains(id)) {
            self.made.insert(id, (number, generation));
            self.push(id);
        }
        for value in values {
            self.push(value.node);
        }
        self.push_users(graph, changed);
        self.count(number, size - gone - removed, generation);
    }

    /// Queues nodes and whatever uses them as far up as a pattern looks down.
    fn push_users(&mut self, graph: &Graph, mut level: Vec<NodeId>) {
        const WIDEST: usize = 64;
        for height in 1..self.engine.depth.max(2) {
            let mut next = Vec::new();
            for &id in &level {
                self.push(id);
                if height + 1 < self.engine.depth && next.len() < WIDEST {
                    next.extend_from_slice(graph.users(id));
                }
            }
            next.sort_unstable();
            next.dedup();
            level = next;
        }
    }

    fn count(&mut self, number: usize, growth: isize, generation: usize) {
        self.fired[number] += 1;
        self.grown[number] += growth;
        self.steps_left = self.steps_left.saturating_sub(1);
        self.growth_left -= growth;
        if generation > self.engine.limits.generations + self.size {
            return self.stop(number, "it keeps firing at what it has made itself");
        }
        let (by_growth, reason) = match (self.steps_left, self.growth_left) {
            (0, growth) => (growth <= 0, "the rules kept firing"),
            (_, ..=0) => (true, "the graph kept growing"),
            _ => return,
        };
        let worst = (0..self.fired.len())
            .filter(|&rule| !self.disabled[rule])
            .max_by_key(|&rule| (if by_growth { self.grown[rule] } else { self.fired[rule] as isize }, rule))
            .unwrap_or(number);
        self.stop(worst, reason);
    }

    /// Switches an entry off; the others get another try.
    fn stop(&mut self, number: usize, reason: &str) {
        self.disabled[number] = true;
        let rule = self.engine.entries[number].name().to_owned();
        self.report.stopped.push(Stopped { rule, firings: self.fired[number], reason: reason.to_owned() });
        self.fired.fill(0);
        self.grown.fill(0);
        self.refill();
    }

    fn reject(&mut self, graph: &Graph, rule: &str, operands: &[Option<ValueId>], location: Location, reason: String) {
        if self.report.rejections.len() >= MOST_REJECTIONS {
            return;
        }
        let mut types = operands.iter().flatten().map(|&value| graph.ty(value));
        let first = types.next();
        let alone = operands.iter().flatten().count() == 1;
        let fault = match reason.contains("dtype") {
            true => first.is_some_and(|first| first.dtype.is_float() && !first.weak && types.all(|ty| ty.dtype == first.dtype && !ty.weak)),
            false => alone && reason.contains("number of axes"),
        };
        self.report.rejections.push(Rejection { rule: rule.to_owned(), location, reason, fault });
    }
}

/// Whether one value can stand for another.
pub(super) fn fits(graph: &Graph, old: ValueId, new: ValueId) -> Result<(), String> {
    let (before, after) = (graph.ty(old), graph.ty(new));
    let weak = |weak: bool| if weak { "weak " } else { "" };
    if (before.dtype, before.weak) != (after.dtype, after.weak) {
        let (a, b) = (weak(before.weak), weak(after.weak));
        return Err(format!("the dtype would change from {a}{} to {b}{}", before.dtype, after.dtype));
    }
    if before.rank() != after.rank() {
        return Err(format!("the number of axes would change, from {before} to {after}"));
    }
    if !shapes::same_shape(graph, old, new) {
        return Err(format!("the shape may change from {before} to {after}"));
    }
    Ok(())
}
