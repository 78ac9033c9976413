//! The modes that look at every value, each with the fault that it must find.

mod debug;
mod faulty;
mod nan_guard;
mod profile;
mod watch;

use arignote::config::Config;
use arignote::prelude::*;
use arignote::{ErrorKind, lang};

/// A config on one device alone, but for what the reference backend has to do for the faulty one.
fn config(device: &str, mode: &str) -> Config {
    let fallback: &[&str] = if device == "cpu" { &["reference"] } else { &[] };
    let with = |config: Config, key: &str, value: &str| config.with(key, value).unwrap();
    with(with(Config::default(), "device", device), "mode", mode).with("fallback", fallback.to_vec()).unwrap()
}

fn session(config: Config) -> Session {
    arignote::builder(config).link(faulty::arignote_plugin()).build().unwrap()
}

#[track_caller]
fn compile(session: &Session, program: &str) -> Function {
    let graph = lang::load(lang::Source::new("program.arig", program)).unwrap().function(None).unwrap();
    FunctionBuilder::from_graph(graph).build(session).unwrap()
}

fn vector(elements: &[f64]) -> Tensor {
    Tensor::vector(elements.to_vec())
}

/// Checks the kind of an error, and that it says all of `parts` and none of `lacks`.
#[track_caller]
fn told<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind, parts: &[&str]) -> String {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "the error lacks `{part}`:\n{text}");
    }
    text
}
