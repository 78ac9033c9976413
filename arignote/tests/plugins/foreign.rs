//! A plugin by another compiler.

use std::path::Path;
use std::process::{Command, Stdio};

use arignote::config::Config;
use arignote::tensor::Tensor;

use crate::{compile, libraries, says};

#[test]
fn a_plugin_by_another_compiler_loads_and_runs() {
    let toolchain = std::env::var("ARIGNOTE_TEST_TOOLCHAIN").unwrap_or_else(|_| "nightly".into());
    let mut rustc = Command::new("rustc");
    rustc.arg(format!("+{toolchain}")).arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    let known = rustc.status().is_ok_and(|status| status.success());
    if !known {
        eprintln!("LEFT OUT: a plugin by another compiler: the toolchain `{toolchain}` is not installed");
        return;
    }
    // Against the interface alone, so that little is to be built; kept from run to run.
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
    std::fs::create_dir_all(home.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"foreign\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
         [dependencies]\narignote-abi = {{ path = {:?} }}\n[workspace]\n[profile.dev]\ndebug = false\n",
        libraries::root().join("abi")
    );
    std::fs::write(home.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(libraries::root().join("Cargo.lock"), home.join("Cargo.lock")).unwrap();
    let source = libraries::root().join("core/tests/plugin_fixture/foreign.rs");
    std::fs::copy(source, home.join("src/lib.rs")).unwrap();
    let mut cargo = Command::new("cargo");
    // What the outer cargo set would choose its own compiler again.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO") || name.starts_with("RUST")) {
        if !["CARGO_HOME", "RUSTUP_HOME"].contains(&name.as_str()) {
            cargo.env_remove(name);
        }
    }
    let target = home.join("target");
    cargo.env("RUSTUP_TOOLCHAIN", toolchain).env("CARGO_TARGET_DIR", &target).current_dir(&home);
    let output = cargo.args(["build", "--offline"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let path = libraries::copy(&target.join("debug/libforeign.so"), "foreign", &|_| {});
    let config = Config::default().with("plugins.load", vec![path.display().to_string()]).unwrap();
    let session = arignote::session_with(config.with("device", "cpu").unwrap()).unwrap();
    let row = session.plugins().iter().find(|row| row.name == "foreign").unwrap();
    let own = session.plugins().iter().find(|row| row.name == "cpu").unwrap();
    assert_ne!(row.compiler, own.compiler);
    let f = compile(&session, "fn f(x: f64[n]) { return foreign::halve(x + 1) }").unwrap();
    let results = f.call(&[Tensor::vector(vec![1.0, 2.0, -4.0])]).unwrap();
    assert_eq!(results[0].to_f64_vec(), [1.0, 1.5, -1.5]);
    says(&arignote::inspect::explain(&f), &["foreign::halve ", "on cpu, in place over operand 0"]);
    let error = f.call(&[Tensor::vector(Vec::<f64>::new())]).unwrap_err().to_string();
    says(&error, &["foreign::halve", "nothing to halve"]);
}
