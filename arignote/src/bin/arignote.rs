//! The `arignote` command.

#[path = "../command/mod.rs"]
mod command;

fn main() -> std::process::ExitCode {
    command::main()
}
