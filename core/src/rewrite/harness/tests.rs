use super::*;
use crate::rewrite::{Rewrites, compile_rules};

fn verdict(text: &str) -> Verdict {
    let rules = compile_rules("t.rules", text).expect("the rule compiles");
    check_rule(&rules[0], &precise::evaluate_rounded)
}

#[test]
#[ignore = "minutes; the check against a backend runs in the facade"]
fn every_core_rule_keeps_the_law() {
    let mut failed = Vec::new();
    let rewrites = Rewrites::core();
    for entry in rewrites.rules() {
        let start = std::time::Instant::now();
        let verdict = check_rule(&entry.rule, &precise::evaluate_rounded);
        if start.elapsed().as_secs_f64() > 2.0 {
            eprintln!("{}: {:?}", entry.rule.name, start.elapsed());
        }
        if !verdict.passed() {
            failed.push(verdict.to_string());
        }
    }
    assert!(failed.is_empty(), "{} rules fail:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn wrong_rules_are_found_out() {
    for (text, what) in [
        ("rule a [canonicalize]: x / x => 1 + (x - x)", "hides a NaN"),
        ("rule a [canonicalize]: log1p(x) => log(1 + x)", "the error grows"),
        ("rule a [canonicalize]: x * 0 => where(x > 0, 0, x - x)", "hides a NaN"),
        ("rule a [canonicalize]: exp(x) * exp(y) => exp(x + y)", "the error grows"),
        ("rule a [canonicalize]: sin(x) => cos(x)", "the error grows"),
        ("rule a [stabilize]: exp(x) * 1 => exp(x)", "no operand shows"),
    ] {
        let verdict = verdict(text);
        assert!(!verdict.passed() && verdict.to_string().contains(what), "{text}: {verdict}");
    }
}

#[test]
fn right_rules_pass() {
    let verdict = verdict("rule a [stabilize]: log(1 + x) => log1p(x)");
    assert!(verdict.passed(), "{verdict}");
}
