//! `arignote explain`: what compilation did to a function.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::runtime::{Compiled, Function};

/// The story of a compilation: the graph as stated and as compiled, every rewrite that fired with the
/// line of user code it fired on, and for each op its device, the reason, and what it overwrites.
pub fn explain(function: &Function) -> String {
    let compiled = function.compiled();
    let mut text = String::new();
    let mut section = |title: &str, body: &str| {
        let _ = writeln!(text, "# {title}\n{}\n", body.trim_end());
    };
    section("as stated", &compiled.before());
    section("rewrites", &firings(compiled));
    section("as compiled", &compiled.after());
    section("devices and memory", &placement(compiled));
    for (device, program) in compiled.programs() {
        section(&format!("program for {device}"), &program.text);
    }
    let plans = compiled.debug_text();
    if !plans.trim().is_empty() {
        section("plans", &plans);
    }
    text
}

/// How often each rewrite fired, by name.
pub fn firing_counts(compiled: &Compiled) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for firing in compiled.firings() {
        *counts.entry(firing.rule.clone()).or_default() += 1;
    }
    counts
}

fn firings(compiled: &Compiled) -> String {
    if compiled.firings().is_empty() {
        return "none fired".to_owned();
    }
    let mut text = String::new();
    for firing in compiled.firings() {
        let _ = write!(text, "{}", firing.rule);
        if firing.source.is_known() {
            let _ = write!(text, "  ({}:{})", firing.source.file, firing.source.line);
        }
        if firing.location.is_known() {
            let _ = write!(text, "  at {}", firing.location);
        }
        let _ = writeln!(text, "\n    {}\n    => {}", firing.before, firing.after);
    }
    text
}

fn placement(compiled: &Compiled) -> String {
    let mut text = String::new();
    for node in compiled.nodes() {
        let types: Vec<String> = node.types.iter().map(ToString::to_string).collect();
        let _ = write!(text, "{:<20} {:<20} on {}", node.op, types.join(", "), node.device);
        for (operand, _) in &node.in_place {
            let _ = write!(text, ", in place over operand {operand}");
        }
        if node.location.is_known() {
            let _ = write!(text, "  ({})", node.location);
        }
        for reason in &node.reasons {
            let _ = write!(text, "\n    not on {reason}");
        }
        text.push('\n');
    }
    if text.is_empty() { "nothing is computed".to_owned() } else { text }
}
