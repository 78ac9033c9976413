//! The engine: applies a set of rules to a graph until none matches.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::describe::describe;
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
    /// Whether the rule is to blame: all its operands had one floating-point dtype, so that no mixture
    /// of dtypes excuses it.
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
}

impl Report {
    /// Adds what happened in a later run.
    pub fn extend(&mut self, later: Report) {
        self.firings.extend(later.firings);
        self.rejections.extend(later.rejections);
        self.rejections.truncate(MOST_REJECTIONS);
        self.stopped.extend(later.stopped);
        self.visited += later.visited;
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

/// When a run stops a rule. Both count from the size of the graph at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Firings allowed per node, above a thousand for free.
    pub firings_per_node: usize,
    /// Nodes that may be added per node, above a thousand for free.
    pub growth_per_node: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { firings_per_node: 20, growth_per_node: 10 }
    }
}

/// Rules, indexed by the op at their root.
pub struct Engine<'r> {
    rules: Vec<&'r Rule>,
    by_root: FxHashMap<&'r str, Vec<usize>>,
    depth: usize,
    limits: Limits,
}

impl<'r> Engine<'r> {
    /// An engine for some rules. Where several match, the first wins.
    pub fn new(rules: impl IntoIterator<Item = &'r Rule>) -> Engine<'r> {
        let rules: Vec<&Rule> = rules.into_iter().collect();
        let mut by_root: FxHashMap<&str, Vec<usize>> = FxHashMap::default();
        for (number, rule) in rules.iter().enumerate() {
            by_root.entry(rule.root()).or_default().push(number);
        }
        let depth = rules.iter().map(|rule| rule.depth).max().unwrap_or(1);
        Engine { rules, by_root, depth, limits: Limits::default() }
    }

    /// The same engine with other limits.
    pub fn with_limits(mut self, limits: Limits) -> Engine<'r> {
        self.limits = limits;
        self
    }

    /// Rewrites until no rule matches. A rule that exceeds the limits is switched off and reported;
    /// what it did so far stays, as every single step is right. Node ids that stay in use keep their
    /// meaning.
    pub fn run(&self, graph: &mut Graph) -> Report {
        let mut run = Run::new(self, graph);
        while let Some(id) = run.queue.pop_front() {
            run.queued[id.0 as usize] = false;
            if graph.contains(id) {
                run.report.visited += 1;
                run.visit(graph, id);
            }
        }
        run.report
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
    outputs: FxHashSet<ValueId>,
    steps_left: usize,
    growth_left: isize,
    size: usize,
}

impl<'e, 'r> Run<'e, 'r> {
    fn new(engine: &'e Engine<'r>, graph: &Graph) -> Run<'e, 'r> {
        let order = graph.topological_order();
        let size = order.len();
        let count = engine.rules.len();
        let mut run = Run {
            engine,
            report: Report::default(),
            queue: VecDeque::with_capacity(size),
            queued: Vec::new(),
            disabled: vec![false; count],
            fired: vec![0; count],
            grown: vec![0; count],
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

    fn visit(&mut self, graph: &mut Graph, id: NodeId) {
        let root = id.output(0);
        let view = graph.node(id);
        if view.results.len() != 1 || (graph.users(id).is_empty() && !self.outputs.contains(&root)) {
            return;
        }
        let engine = self.engine;
        let Some(candidates) = engine.by_root.get(view.op_name()) else { return };
        for &number in candidates {
            let rule = engine.rules[number];
            if self.disabled[number] {
                continue;
            }
            let Some(bindings) = matcher::match_at(graph, rule, root) else { continue };
            let location = graph.node(id).location.clone();
            let before = describe(graph, root, rule.depth);
            let (value, added) = match matcher::build(graph, rule, &bindings, &location) {
                Ok(built) => built,
                Err(error) => {
                    self.reject(graph, rule, &bindings, location, error.message().to_owned());
                    continue;
                }
            };
            if let Err(reason) = fits(graph, root, value) {
                matcher::discard(graph, &added);
                self.reject(graph, rule, &bindings, location, reason);
                continue;
            }
            let changed = match graph.replace(root, value) {
                Ok(changed) => changed,
                Err(error) => {
                    matcher::discard(graph, &added);
                    self.reject(graph, rule, &bindings, location, error.message().to_owned());
                    continue;
                }
            };
            if self.outputs.remove(&root) {
                self.outputs.insert(value);
            }
            let after = describe(graph, value, rule.depth);
            self.report.firings.push(Firing {
                rule: rule.name.clone(),
                source: rule.location.clone(),
                location,
                before,
                after,
            });
            let removed = graph.remove_dead(id).len() as isize;
            for &id in &added {
                self.push(id);
            }
            self.push(value.node);
            self.push_users(graph, changed);
            self.count(number, added.len() as isize - removed);
            return;
        }
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

    fn count(&mut self, number: usize, growth: isize) {
        self.fired[number] += 1;
        self.grown[number] += growth;
        self.steps_left = self.steps_left.saturating_sub(1);
        self.growth_left -= growth;
        let reason = match (self.steps_left, self.growth_left) {
            (0, _) => "the rules kept firing",
            (_, ..=0) => "the graph kept growing",
            _ => return,
        };
        let by_growth = self.growth_left <= 0;
        let worst = (0..self.fired.len())
            .filter(|&rule| !self.disabled[rule])
            .max_by_key(|&rule| (if by_growth { self.grown[rule] } else { self.fired[rule] as isize }, rule))
            .unwrap_or(number);
        self.disabled[worst] = true;
        let rule = self.engine.rules[worst].name.clone();
        self.report.stopped.push(Stopped { rule, firings: self.fired[worst], reason: reason.to_owned() });
        self.fired.fill(0);
        self.grown.fill(0);
        self.refill();
    }

    fn reject(
        &mut self, graph: &Graph, rule: &Rule, bindings: &matcher::Bindings, location: Location, reason: String,
    ) {
        if self.report.rejections.len() >= MOST_REJECTIONS {
            return;
        }
        let mut types = bindings.values.iter().flatten().map(|&value| graph.ty(value));
        let first = types.next();
        let fault = first.is_some_and(|first| {
            first.dtype.is_float() && !first.weak && types.all(|ty| ty.dtype == first.dtype && !ty.weak)
        }) && reason.contains("dtype");
        self.report.rejections.push(Rejection { rule: rule.name.clone(), location, reason, fault });
    }
}

/// Whether one value can stand for another.
fn fits(graph: &Graph, old: ValueId, new: ValueId) -> Result<(), String> {
    let (before, after) = (graph.ty(old), graph.ty(new));
    let weak = |weak: bool| if weak { "weak " } else { "" };
    if (before.dtype, before.weak) != (after.dtype, after.weak) {
        let (a, b) = (weak(before.weak), weak(after.weak));
        return Err(format!("the dtype would change from {a}{} to {b}{}", before.dtype, after.dtype));
    }
    if !shapes::same_shape(graph, old, new) {
        return Err(format!("the shape may change from {before} to {after}"));
    }
    Ok(())
}
