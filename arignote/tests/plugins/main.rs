//! Plugins as users meet them: separate libraries, chosen by the config, in the library and the command.

#![allow(missing_docs)]

mod broken;
mod examples;
#[path = "../../../core/tests/plugin_fixture/build.rs"]
#[allow(dead_code)]
mod fixture;
mod foreign;
mod libraries;
mod newcomer;

use std::process::{Command, Output};

use arignote::config::Config;
use arignote::lang;
use arignote::runtime::{Function, FunctionBuilder, Session};

/// A session with plugins, by name, and a device; `fallback` are the devices after it.
#[track_caller]
fn session(plugins: &[&str], device: &str, fallback: &[&str]) -> Session {
    arignote::session_with(config(plugins, device, fallback)).unwrap()
}

fn config(plugins: &[&str], device: &str, fallback: &[&str]) -> Config {
    let path: Vec<String> = plugins.iter().map(|name| libraries::folder(name)).collect();
    Config::default()
        .with("plugins.path", path)
        .and_then(|config| config.with("plugins.load", plugins.to_vec()))
        .and_then(|config| config.with("device", device))
        .and_then(|config| config.with("fallback", fallback.to_vec()))
        .unwrap()
}

fn compile(session: &Session, program: &str) -> arignote::Result<Function> {
    let graph = lang::load(lang::Source::new("program.arig", program))?.function(None)?;
    FunctionBuilder::from_graph(graph).build(session)
}

/// The command in a folder where nothing of the user's or of this repository is read.
fn command(folder: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arignote"));
    command.args(arguments).current_dir(folder);
    for name in ["ARIGNOTE_FLAGS", "ARIGNOTE_CONFIG", "ARIGNOTE_PLUGIN_PATH"] {
        command.env_remove(name);
    }
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env(name, folder);
    }
    command.output().unwrap()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in\n{text}");
    }
}
