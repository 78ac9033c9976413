//! The command line: what it takes, and one file per group of subcommands.

mod list;
mod program;

use std::path::PathBuf;
use std::process::ExitCode;

use arignote::Result;
use arignote::config::{Config, Sources};
use clap::{Args, Parser, Subcommand};

/// Compile and run symbolic tensor programs.
#[derive(Parser)]
#[command(name = "arignote", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone)]
struct Common {
    /// The device to run on: cpu, reference, cuda0, auto.
    #[arg(long, global = true, value_name = "D")]
    device: Option<String>,
    /// Read this config file.
    #[arg(long, global = true, value_name = "F")]
    config: Option<PathBuf>,
    /// Set one option, such as rewrite.algebra=real.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write what calls and ops took, for Perfetto or chrome://tracing, and print a table.
    #[arg(long, global = true, value_name = "OUT.json")]
    profile: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a function of a program and print its results.
    Run(program::Run),
    /// Show what compilation does: graphs, rewrites, devices, in-place choices.
    Explain(program::Explain),
    /// Draw the compiled graph, as DOT or SVG.
    Graph(program::GraphArgs),
    /// Lay programs out in the standard way.
    Fmt(program::Fmt),
    /// List the devices of all backends.
    Devices(list::Listing),
    /// List the plugins, where they come from and what they bring.
    Plugins(list::Listing),
    /// List the ops.
    Ops(list::Listing),
    /// List the rewrite rules and passes, or check rules.
    Rules(list::Rules),
    /// Show every option with its value and origin.
    Config(list::Listing),
}

impl Common {
    fn config(&self) -> Result<Config> {
        let mut sources = Sources::from_env()?;
        if let Some(path) = &self.config {
            sources.config_env = Some(path.clone());
        }
        let mut config = Config::load_from(&sources)?;
        for setting in &self.set {
            config.set("--set", setting)?;
        }
        if let Some(device) = &self.device {
            config.set("--device", &format!("device={device}"))?;
        }
        if self.profile.is_some() {
            config.set("--profile", "mode=profile")?;
        }
        Ok(config)
    }
}

/// Runs the command: 0, or 1 with the error on standard error; clap exits with 2 for wrong usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(run) => run.execute(&cli.common),
        Command::Explain(explain) => explain.execute(&cli.common),
        Command::Graph(graph) => graph.execute(&cli.common),
        Command::Fmt(fmt) => fmt.execute(),
        Command::Devices(listing) => listing.devices(&cli.common),
        Command::Plugins(listing) => listing.plugins(&cli.common),
        Command::Ops(listing) => listing.ops(&cli.common),
        Command::Rules(rules) => rules.execute(&cli.common),
        Command::Config(listing) => listing.config(&cli.common),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints to standard output; a reader that closed the pipe early is no error.
fn print(text: &str) -> Result<()> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(arignote::Error::new(arignote::ErrorKind::Io, format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}
