//! The project's commands, as `cargo xtask COMMAND`. They need nothing but a Rust toolchain.

mod bench;
mod plugins;
mod test_all;
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use plugins::Profile;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [OPTIONS]   build the plugins, then train on the digits with the device of arignote.toml
                   (--epochs N, --seed N, --out DIR: see arignote/examples/demo.rs)
  bench [OPTIONS]  time workloads beside other libraries, into bench/RESULTS.md; needs Python and downloads
                   gigabytes (--only NAMES, --peers NAMES, --leave-out CELLS, --quick,
                   --threads N: see bench/README.md)
  kernels [OPTIONS]
                   time the kernels of the cpu backend one by one, with Criterion (a part of a name, or Criterion's
                   options: see bench/README.md)
  test-all         every test and check, on whatever devices there are
  plugins          build the backends and example plugins into target/plugins/";

type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, rest)) if command == "demo" => demo(rest),
        Some((command, rest)) if command == "bench" => bench::bench(rest),
        Some((command, rest)) if command == "kernels" => bench::kernels(rest),
        Some((command, [])) if command == "test-all" => test_all::test_all(),
        Some((command, [])) if command == "plugins" => plugins::build(Profile::Release).map(drop),
        Some((command, [])) if ["help", "--help", "-h"].contains(&command.as_str()) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn demo(arguments: &[String]) -> Outcome {
    let demo = plugins::build(Profile::Release)?.join("examples/demo");
    run(Command::new(demo).args(arguments).current_dir(root()))
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo, started in the workspace's folder.
fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Outcome {
    let shown = shown(command);
    eprintln!("+ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` failed: {status}")),
        Err(error) => Err(format!("cannot start `{shown}`: {error}")),
    }
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
