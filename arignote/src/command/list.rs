//! The listings: devices, plugins, ops, rules, config.

use std::path::{Path, PathBuf};

use arignote::ops::{ParamKind, registry};
use arignote::rewrite::harness::{check_pass, check_rule};
use arignote::rewrite::{self, Rule};
use arignote::{Error, ErrorKind, Result};
use clap::Args;
use serde_json::json;

use super::{Common, print};

#[derive(Args)]
pub struct Listing {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Rules {
    #[command(flatten)]
    listing: Listing,
    /// Check the rules of a file against the law of rewrites by machine; without FILE those of the config, and rules and passes of plugins.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    check: Option<Option<PathBuf>>,
}

impl Rules {
    pub fn execute(&self, common: &Common) -> Result<()> {
        match &self.check {
            None => self.listing.rules(common),
            Some(file) => check(common, file.as_deref()),
        }
    }
}

/// A verdict per rule; an error if one fails.
fn check(common: &Common, file: Option<&Path>) -> Result<()> {
    // On the reference backend, whatever the device: what a rule changes is to be seen, not how a device rounds.
    let mut config = common.config()?;
    config.set("--check", "device=reference")?;
    let session = arignote::session_with(config)?;
    let mut rules: Vec<(String, Result<Rule>)> = Vec::new();
    match file {
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| Error::new(ErrorKind::Io, format!("{name}: cannot read: {error}")))?;
            rules.extend(rewrite::pattern::compile_each(&name, &text)?);
        }
        None => {
            let own = session.rules().rules().iter().filter(|entry| entry.origin != rewrite::Origin::Core);
            rules.extend(own.map(|entry| (entry.rule.name.clone(), Ok((*entry.rule).clone()))));
        }
    }
    let passes: Vec<_> = match file {
        Some(_) => Vec::new(),
        None => session.rules().foreign_passes().collect(),
    };
    let (mut failed, count) = (0, rules.len() + passes.len());
    let evaluate = |graph: &arignote::graph::Graph, arguments: &[arignote::tensor::Tensor]| session.evaluate(graph, arguments);
    let real = "tagged `real`: it is held to the real numbers, not to the law";
    for pass in passes {
        let verdict = check_pass(&**pass, &evaluate);
        failed += usize::from(!verdict.passed());
        print(&if pass.tags().contains(&"real") { format!("{verdict}\n  {real}") } else { verdict.to_string() })?;
    }
    for (name, rule) in rules {
        let phase = |rule: &Rule| rule.tags.iter().any(|tag| rewrite::Phase::from_name(tag).is_some());
        let verdict = match rule {
            Ok(rule) if !phase(&rule) => Err("no phase among its tags".to_owned()),
            Ok(rule) if rule.has_tag("real") => {
                let verdict = check_rule(&rule, &evaluate);
                Ok((verdict.passed(), format!("{verdict}\n  {real}")))
            }
            Ok(rule) => {
                let verdict = check_rule(&rule, &evaluate);
                Ok((verdict.passed(), verdict.to_string()))
            }
            Err(error) => Err(error.to_string()),
        };
        let (passed, text) = verdict.unwrap_or_else(|why| (false, format!("{name}: FAILS\n  {why}")));
        failed += usize::from(!passed);
        print(&text)?;
    }
    if failed == 0 {
        return print(&format!("{count} rules and passes hold"));
    }
    Err(Error::new(ErrorKind::Config, format!("{failed} of {count} rules and passes fail")))
}

impl Listing {
    fn show(&self, json: serde_json::Value, text: String) -> Result<()> {
        if self.json { print(&format!("{json:#}")) } else { print(&text) }
    }

    pub fn devices(&self, common: &Common) -> Result<()> {
        let session = arignote::builder(common.config()?).without_device().build()?;
        let rows = session.all_devices();
        let text: Vec<String> = rows
            .iter()
            .map(|row| match &row.unavailable {
                None => format!("{:<12} {}  ({})", row.name, row.description, row.origin),
                Some(reason) => format!("{:<12} unavailable: {reason}  ({})", row.name, row.origin),
            })
            .collect();
        self.show(json!(rows), text.join("\n"))
    }

    pub fn plugins(&self, common: &Common) -> Result<()> {
        let session = arignote::builder(common.config()?).without_device().build()?;
        let rows = session.plugins();
        let text: Vec<String> = rows
            .iter()
            .map(|row| {
                let mut line = format!("{:<12} {}  {}", row.name, row.version, row.origin);
                if let Some(error) = &row.error {
                    return format!("{:<12} not loaded: {}", row.name, error.replace('\n', "\n    "));
                }
                if row.hidden {
                    line += "  (not used: the file of the same name is)";
                }
                for (what, names) in [("backends", &row.backends), ("ops", &row.ops), ("rules", &row.rules)] {
                    if !names.is_empty() {
                        line += &format!("\n    {what}: {}", names.join(", "));
                    }
                }
                format!("{line}\n    interface {}, {}", row.interface, row.compiler)
            })
            .collect();
        self.show(json!(rows), text.join("\n"))
    }

    pub fn ops(&self, common: &Common) -> Result<()> {
        let _plugins = arignote::builder(common.config()?).without_device().build()?;
        let (mut rows, mut text) = (Vec::new(), Vec::new());
        for op in registry().iter() {
            let params: Vec<String> = op
                .params()
                .iter()
                .map(|param| match &param.kind {
                    ParamKind::Attribute(_, Some(default)) => format!("{}={default}", param.name),
                    ParamKind::OptionalOperand => format!("{}?", param.name),
                    ParamKind::Operands | ParamKind::SpreadSizes => format!("{}...", param.name),
                    ParamKind::OperandList => format!("[{}...]", param.name),
                    _ => param.name.to_owned(),
                })
                .collect();
            let signature = format!("{}({})", op.name(), params.join(", "));
            let summary = op.doc().trim().lines().next().unwrap_or_default().to_owned();
            text.push(format!("{signature}\n    {summary}"));
            rows.push(json!({ "name": op.name(), "revision": op.revision(), "signature": signature, "doc": op.doc() }));
        }
        self.show(json!(rows), text.join("\n"))
    }

    pub fn rules(&self, common: &Common) -> Result<()> {
        let session = arignote::builder(common.config()?).without_device().build()?;
        let rows = session.rules().rows(session.rewrite_options());
        let text: Vec<String> = rows
            .iter()
            .map(|row| {
                let mark = if row.enabled { "" } else { "  (off)" };
                format!("{:<32} [{}]{mark}  {}\n    {}", row.name, row.tags.join(", "), row.origin, row.text)
            })
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({ "name": row.name, "kind": row.kind, "phase": row.phase.name(), "tags": row.tags,
                    "origin": row.origin, "text": row.text, "enabled": row.enabled })
            })
            .collect();
        self.show(json!(rows), text.join("\n"))
    }

    pub fn config(&self, common: &Common) -> Result<()> {
        let config = common.config()?;
        self.show(config.to_json(), config.to_toml())
    }
}
