//! All rules and passes, where they come from, and which of them run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::engine::{Cost, Engine, Limits, Report, Stopped};
use super::local::Local;
use super::locals;
use super::passes::{
    AccumulateOutside, AfterLoop, BatchSequences, ConstantFold, DeadCode, ElementwiseOfJoin, FactorOutside, FirstRows, FoldLoops, HoistBranches, HoistInvariants, JoinPieces, LastIsFinal, LogDet, LogOfMoved, Merge,
    MergeBranches, MergeLosses, MergeParallel, MergeSolves, MergeStates, Pass, PassContext, PruneBodies, ReuseFactors, ReverseLoop, UnrollShort,
};
use super::pattern::{Rule, compile_each, compile_rules};
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::graph::Graph;

/// The phases of rewriting, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// One form for what means the same.
    Canonicalize,
    /// Forms that keep their digits. On at every level; only `rewrite.exclude` turns it off.
    Stabilize,
    /// Forms that devices compute faster.
    Specialize,
    /// Work that need not be in a loop, out of it.
    Scan,
    /// A device for each node.
    Place,
    /// Results written over operands.
    Inplace,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Phase; 6] = {
        use Phase::*;
        [Canonicalize, Stabilize, Specialize, Scan, Place, Inplace]
    };

    /// The name, which is also a tag of everything that belongs to it.
    pub fn name(self) -> &'static str {
        ["canonicalize", "stabilize", "specialize", "scan", "place", "inplace"][self as usize]
    }

    /// The phase of this name.
    pub fn from_name(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

/// Which identities hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algebra {
    /// Those of floating-point numbers: no NaN or infinity is hidden, nothing gets less exact.
    #[default]
    Ieee,
    /// Those of the real numbers too: `x / x` is 1.
    Real,
}

/// How much to rewrite, from least to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What keeps digits, in canonical forms; nothing is written over operands.
    None,
    /// The same, and results are written over operands.
    FastCompile,
    /// Everything.
    #[default]
    FastRun,
}

impl Level {
    /// Whether what belongs to a phase runs unless somebody asks otherwise.
    pub fn runs(self, phase: Phase) -> bool {
        match self {
            // Results are the same at every level, so that each has what keeps digits.
            Level::None => phase <= Phase::Stabilize,
            Level::FastCompile => phase <= Phase::Stabilize || phase == Phase::Inplace,
            Level::FastRun => true,
        }
    }
}

/// The tag of what waits, whatever its phase, until gradients are expanded.
pub const AFTER_GRADIENTS: &str = "after-gradients";

/// The tag of what every level has, whatever its phase: stable forms rest on it.
pub const EVERY_LEVEL: &str = "every-level";

/// What the user chose about rewrites.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RewriteOptions {
    /// Names or tags that run even though an excluded tag covers them, or the level leaves them out.
    pub include: Vec<String>,
    /// Names or tags that do not run.
    pub exclude: Vec<String>,
    /// Which identities hold.
    pub algebra: Algebra,
    /// How much to rewrite.
    pub level: Level,
    /// After how many firings to stop, if not when nothing matches any more: to find the one that is to blame.
    pub most_firings: Option<usize>,
}

/// Where a rule or pass comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Arignote itself.
    Core,
    /// A file that the config names.
    File(String),
    /// A plugin.
    Plugin(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Core => f.write_str("core"),
            Origin::File(name) => f.write_str(name),
            Origin::Plugin(name) => write!(f, "plugin {name}"),
        }
    }
}

/// One line of `arignote rules`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The rule's or pass's name.
    pub name: String,
    /// `rule`, `local` (a rewrite of one node, in Rust) or `pass`.
    pub kind: &'static str,
    /// When it runs.
    pub phase: Phase,
    /// All its tags.
    pub tags: Vec<String>,
    /// Where it comes from: of a rule, its file and line, after the plugin if one brought it.
    pub origin: String,
    /// The rule as written, or what the pass does.
    pub text: String,
    /// Whether it runs with the options asked about.
    pub enabled: bool,
}

/// A rule with what the registry knows of it.
#[derive(Clone, Debug)]
pub struct RegisteredRule {
    /// The rule.
    pub rule: Arc<Rule>,
    /// When it runs.
    pub phase: Phase,
    /// Where it comes from.
    pub origin: Origin,
}

impl RegisteredRule {
    /// Its file and line, as `stabilize.rules:12`, after the plugin if one brought it.
    pub fn place(&self) -> String {
        let place = format!("{}:{}", self.rule.location.file, self.rule.location.line);
        match &self.origin {
            Origin::Core | Origin::File(_) => place,
            Origin::Plugin(_) => format!("{}, {place}", self.origin),
        }
    }
}

/// All rules and passes.
#[derive(Clone)]
pub struct Rewrites {
    rules: Vec<RegisteredRule>,
    passes: Vec<(Arc<dyn Pass>, Origin)>,
    locals: Vec<Arc<Local>>,
    unavailable: Vec<(String, Error)>,
}

/// The core's rules: file name and text.
pub const CORE_RULES: &[(&str, &str)] = &[
    ("canonicalize.rules", include_str!("rules/canonicalize.rules")),
    ("stabilize.rules", include_str!("rules/stabilize.rules")),
    ("specialize.rules", include_str!("rules/specialize.rules")),
    ("real.rules", include_str!("rules/real.rules")),
];

impl Rewrites {
    /// Nothing at all.
    pub fn empty() -> Rewrites {
        Rewrites { rules: Vec::new(), passes: Vec::new(), locals: Vec::new(), unavailable: Vec::new() }
    }

    /// The core's rules and passes.
    pub fn core() -> Rewrites {
        let mut rewrites = Rewrites::empty();
        let core: [Arc<dyn Pass>; 25] = [
            Arc::new(Merge), Arc::new(ConstantFold), Arc::new(DeadCode), Arc::new(LastIsFinal), Arc::new(MergeStates), Arc::new(FirstRows), Arc::new(PruneBodies), Arc::new(LogOfMoved), Arc::new(LogDet),
            Arc::new(MergeBranches), Arc::new(HoistBranches), Arc::new(MergeSolves), Arc::new(ReuseFactors), Arc::new(MergeLosses), Arc::new(JoinPieces), Arc::new(ElementwiseOfJoin), Arc::new(FoldLoops), Arc::new(UnrollShort), Arc::new(HoistInvariants), Arc::new(FactorOutside), Arc::new(ReverseLoop),
            Arc::new(AccumulateOutside), Arc::new(AfterLoop), Arc::new(BatchSequences), Arc::new(MergeParallel),
        ];
        rewrites.passes.extend(core.map(|pass| (pass, Origin::Core)));
        rewrites.locals.extend(locals::all().map(Arc::new));
        for (file, text) in CORE_RULES {
            let rules = compile_each(file, text).unwrap_or_else(|error| vec![(file.to_string(), Err(error))]);
            for (name, rule) in rules {
                let registered = rule.and_then(|rule| registered(rule, &Origin::Core));
                match registered {
                    Ok(rule) => rewrites.rules.push(rule),
                    Err(error) => rewrites.unavailable.push((name, error)),
                }
            }
        }
        rewrites
    }

    /// Rules of the core that cannot be used, and why: an op that they name is missing.
    pub fn unavailable(&self) -> &[(String, Error)] {
        &self.unavailable
    }

    /// All rules, in the order in which they are tried.
    pub fn rules(&self) -> &[RegisteredRule] {
        &self.rules
    }

    /// The rule or pass of this name, as a rule.
    ///
    /// # Errors
    /// If there is none; the error names the nearest.
    pub fn rule(&self, name: &str) -> Result<&RegisteredRule> {
        self.rules.iter().find(|entry| entry.rule.name == name).ok_or_else(|| {
            let error = Error::new(ErrorKind::Config, format!("there is no rule `{name}`"));
            match nearest(name, self.rules.iter().map(|entry| entry.rule.name.as_str())) {
                Some(near) => error.note(format!("did you mean `{near}`?")),
                None => error.note("`arignote rules` lists them"),
            }
        })
    }

    /// Adds all rules of a text or, after an error, none.
    ///
    /// # Errors
    /// If a rule is wrong, has no phase among its tags, or has a name that is taken.
    pub fn add_rules(&mut self, origin: Origin, file: &str, text: &str) -> Result<usize> {
        let mut new = Vec::new();
        for rule in compile_rules(file, text)? {
            self.check_name(&rule.name).map_err(|error| error.at(&rule.location))?;
            new.push(registered(rule, &origin)?);
        }
        let count = new.len();
        self.rules.extend(new);
        Ok(count)
    }

    /// Adds a pass.
    ///
    /// # Errors
    /// If its name is taken.
    pub fn add_pass(&mut self, origin: Origin, pass: Arc<dyn Pass>) -> Result<()> {
        self.check_name(pass.name())?;
        self.passes.push((pass, origin));
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<()> {
        let taken = self.rules.iter().any(|entry| entry.rule.name == name)
            || self.passes.iter().any(|(pass, _)| pass.name() == name)
            || self.locals.iter().any(|local| local.name == name)
            || Phase::from_name(name).is_some();
        if !taken {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, format!("a rule or pass named `{name}` exists already")))
    }

    /// Checks that whatever the options name exists.
    ///
    /// # Errors
    /// The first name that is neither a rule, a pass nor a tag; the error names the nearest.
    pub fn check_options(&self, options: &RewriteOptions) -> Result<()> {
        let mut known: BTreeSet<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        for entry in &self.rules {
            known.insert(&entry.rule.name);
            known.extend(entry.rule.tags.iter().map(String::as_str));
        }
        for (pass, _) in &self.passes {
            known.insert(pass.name());
            known.extend(pass.tags());
        }
        for local in &self.locals {
            known.insert(local.name);
            known.extend(local.tags);
        }
        for name in options.include.iter().chain(&options.exclude) {
            if !known.contains(name.as_str()) {
                let error = Error::new(ErrorKind::Config, format!("no rewrite has the name or tag `{name}`"));
                return Err(match nearest(name, known.iter().copied()) {
                    Some(near) => error.note(format!("did you mean `{near}`?")),
                    None => error.note("`arignote rules` lists them"),
                });
            }
        }
        Ok(())
    }

    /// The passes that are not Arignote's own.
    pub fn foreign_passes(&self) -> impl Iterator<Item = &Arc<dyn Pass>> {
        self.passes.iter().filter(|(_, origin)| *origin != Origin::Core).map(|(pass, _)| pass)
    }

    /// Whether a rule, local rewrite or pass is one of Arignote's own, as all local rewrites are.
    pub fn is_core(&self, name: &str) -> bool {
        self.locals.iter().any(|local| local.name == name)
            || self.rules.iter().any(|entry| entry.rule.name == name && entry.origin == Origin::Core)
            || self.passes.iter().any(|(pass, origin)| pass.name() == name && *origin == Origin::Core)
    }

    /// The lines of `arignote rules`: passes and rules of each phase in the order in which they run.
    pub fn rows(&self, options: &RewriteOptions) -> Vec<Row> {
        let mut rows = Vec::new();
        for (pass, origin) in &self.passes {
            let tags = pass_tags(&**pass);
            rows.push(Row {
                name: pass.name().to_owned(),
                kind: "pass",
                phase: pass.phase(),
                enabled: enabled(pass.name(), &tags, pass.phase(), options),
                tags,
                origin: origin.to_string(),
                text: pass.doc().to_owned(),
            });
        }
        for local in &self.locals {
            let tags = local_tags(local);
            rows.push(Row {
                name: local.name.to_owned(),
                kind: "local",
                phase: local.phase,
                enabled: enabled(local.name, &tags, local.phase, options),
                tags,
                origin: Origin::Core.to_string(),
                text: local.doc.to_owned(),
            });
        }
        for entry in &self.rules {
            let rule = &entry.rule;
            rows.push(Row {
                name: rule.name.clone(),
                kind: "rule",
                phase: entry.phase,
                enabled: enabled(&rule.name, &rule.tags, entry.phase, options),
                tags: rule.tags.clone(),
                origin: entry.place(),
                text: rule.text.clone(),
            });
        }
        rows.sort_by_key(|row| row.phase);
        rows
    }

    /// Runs some phases, in order and again until none of them changes anything.
    ///
    /// Equal subexpressions are merged and dead code is removed along with every phase. The graph is
    /// renumbered.
    ///
    /// # Errors
    /// If a pass made a mistake. Rules cannot: what they may not do is in the report.
    pub fn run(
        &self, graph: &mut Graph, phases: &[Phase], options: &RewriteOptions, context: &PassContext<'_>,
    ) -> Result<Report> {
        const MOST_ROUNDS: usize = 16;
        let mut report = Report::default();
        // Changes so far; at how many of them each phase, and what tidies up beside it, last had nothing to do.
        let mut changes = 0;
        let (mut settled, mut tidy) = (vec![None; phases.len()], None);
        for round in 0.. {
            let before = changes;
            for (phase, settled) in phases.iter().zip(&mut settled) {
                if *settled == Some(changes) {
                    continue;
                }
                if self.run_phase(graph, *phase, options, context, tidy != Some(changes), &mut report)? {
                    changes += 1;
                } else {
                    (*settled, tidy) = (Some(changes), Some(changes));
                }
            }
            if changes == before || !report.stopped.is_empty() {
                break;
            }
            if round + 1 == MOST_ROUNDS {
                let rule = report.firings.last().map(|firing| firing.rule.clone()).unwrap_or_default();
                let firings = report.firings.iter().filter(|firing| firing.rule == rule).count();
                let reason = format!("the phases did not settle in {MOST_ROUNDS} rounds");
                report.stopped.push(Stopped { rule, firings, reason });
                break;
            }
        }
        Ok(report)
    }

    /// Runs a phase once, and where the graph is `untidy` what tidies it up; gives whether anything changed.
    fn run_phase(
        &self, graph: &mut Graph, phase: Phase, options: &RewriteOptions, context: &PassContext<'_>, untidy: bool,
        report: &mut Report,
    ) -> Result<bool> {
        let mut changed = false;
        let left = |report: &Report| options.most_firings.map_or(usize::MAX, |most| most.saturating_sub(report.firings.len()));
        for (pass, _) in &self.passes {
            // These change no value, and make no firings.
            let always = matches!(pass.name(), "merge" | "dead_code");
            let runs = if always { untidy } else { pass.phase() == phase && left(report) > 0 };
            if runs && enabled(pass.name(), &pass_tags(&**pass), pass.phase(), options) {
                let (start, before) = (Instant::now(), report.firings.len());
                changed |= pass.run(graph, context, &mut report.firings)?;
                let fired = report.firings.len() - before;
                report.add_cost(pass.name(), Cost { tried: 1, fired, time: start.elapsed() });
            }
        }
        let rules = self.rules.iter().filter(|entry| {
            entry.phase == phase && enabled(&entry.rule.name, &entry.rule.tags, phase, options)
        });
        let locals = self.locals.iter().filter(|local| {
            local.phase == phase && enabled(local.name, &local_tags(local), phase, options)
        });
        let limits = Limits { firings: left(report), ..Limits::default() };
        let engine = Engine::new(rules.map(|entry| &*entry.rule)).with_locals(locals.map(|local| &**local)).with_limits(limits);
        let ran = engine.run(graph);
        changed |= !ran.firings.is_empty();
        report.extend(ran);
        if changed {
            graph.compact();
        }
        Ok(changed)
    }
}

fn pass_tags(pass: &dyn Pass) -> Vec<String> {
    std::iter::once(pass.phase().name()).chain(pass.tags()).map(str::to_owned).collect()
}

fn local_tags(local: &Local) -> Vec<String> {
    std::iter::once(local.phase.name()).chain(local.tags.iter().copied()).map(str::to_owned).collect()
}

fn registered(rule: Rule, origin: &Origin) -> Result<RegisteredRule> {
    let phase = rule.tags.iter().find_map(|tag| Phase::from_name(tag)).ok_or_else(|| {
        let names: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        Error::new(ErrorKind::Syntax, format!("rule `{}` has no phase among its tags", rule.name))
            .at(&rule.location)
            .note(format!("phases: {}", names.join(", ")))
    })?;
    Ok(RegisteredRule { rule: Arc::new(rule), phase, origin: origin.clone() })
}

fn enabled(name: &str, tags: &[String], phase: Phase, options: &RewriteOptions) -> bool {
    let covers = |list: &[String]| list.iter().any(|entry| tags.contains(entry) || entry == phase.name());
    let names = |list: &[String]| list.iter().any(|entry| entry == name);
    if options.algebra == Algebra::Ieee && tags.iter().any(|tag| tag == "real") {
        return false;
    }
    if names(&options.exclude) {
        return false;
    }
    let of_level = options.level.runs(phase) || tags.iter().any(|tag| tag == EVERY_LEVEL);
    names(&options.include) || covers(&options.include) || (of_level && !covers(&options.exclude))
}
