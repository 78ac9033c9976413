//! Plugins that do not load, through the config and through the command: an error of one screen that
//! names file and remedy, exit status 1, and nothing half loaded.

use std::path::{Path, PathBuf};

use arignote::config::Config;
use arignote::ops::registry;

use crate::{command, compile, fixture, libraries, says};

/// An x86-64 stamp begins with this; the numbers behind it are major, minor and flags.
const MAGIC: &[u8] = b"ARIGNOTE-PLUGIN\0";

fn changed(name: &str, change: &dyn Fn(&mut Vec<u8>)) -> PathBuf {
    libraries::copy(fixture::library(), name, change)
}

fn with_major(name: &str, major: u8) -> PathBuf {
    changed(name, &|bytes| {
        let at = bytes.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap() + MAGIC.len();
        bytes[at] = major;
    })
}

/// Runs a program with a plugin that the config loads by its path, and returns the error.
#[track_caller]
fn fails(path: &Path, settings: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.arig"), "fn f(x: f32[n]) { return x + 1 }\n").unwrap();
    let load = format!("plugins.load={}", path.display());
    let mut arguments = vec!["run", "p.arig", "--in", "x=[1, 2]", "--set", &load];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    let output = command(folder.path(), &arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}: {told}", path.display());
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(told.lines().count() <= 24 && told.len() < 2500, "more than a screen:\n{told}");
    assert!(told.starts_with("error: "), "{told}");
    told
}

#[test]
fn files_that_do_not_fit_end_the_command_with_status_1() {
    let plain = fixture::other("plain", "#[unsafe(no_mangle)] pub extern \"C\" fn hello() {}");
    let cases: [(PathBuf, &[&str]); 7] = [
        ("/nowhere/libnothing.so".into(), &["there is no such file", "fix"]),
        (changed("cut", &|bytes| bytes.truncate(5000)), &["the file is cut short", "5000 bytes", "fix"]),
        (changed("arm", &|bytes| bytes[18] = 183), &["another processor", "aarch64", "build the plugin for"]),
        (plain, &["it is no plugin", "without a plugin's stamp", "`export_plugin!`"]),
        (with_major("old", 0), &["it is too old", "interface 1.x", "interface 0.3", "rebuild"]),
        (with_major("new", 2), &["it is too new", "interface 2.3", "update this program"]),
        (changed("text", &|bytes| *bytes = b"not a library".to_vec()), &["it is no plugin"]),
    ];
    for (path, parts) in cases {
        let told = fails(&path, &[]);
        says(&told, &[&path.display().to_string()]);
        says(&told, parts);
    }
}

#[test]
fn a_pin_is_a_demand() {
    let path = fixture::patched("pinned");
    let folder = path.parent().unwrap();
    let pin = format!("plugins.sha256.pinned={}", "0".repeat(64));
    let told = fails(&path, &[&pin]);
    says(&told, &[&path.display().to_string(), "not the file that was pinned", "by the config", "found: sha256 "]);
    // Not asked for by name, but found; the pin asks for it.
    let config = Config::default().with("plugins.path", vec![folder.display().to_string()]).unwrap();
    let config = config.with("plugins.sha256.pinned", "0".repeat(64)).unwrap().with("device", "cpu").unwrap();
    says(&arignote::session_with(config).err().unwrap().to_string(), &["not the file that was pinned"]);
    assert!(registry().get("fixture::twice").is_err());
}

#[test]
fn plugins_that_fail_while_starting_end_the_command_with_status_1() {
    for method in ["info", "init", "backends", "ops", "rules", "passes", "name"] {
        let path = fixture::patched(method);
        let told = fails(&path, &[]);
        says(&told, &[&path.display().to_string(), &format!("`{method}` panicked: as told, in {method}")]);
        says(&told, &["nothing of it was registered", "leave it out of `load`"]);
    }
    let told = fails(&fixture::patched("fail:init"), &[]);
    says(&told, &["cannot start the plugin", "no licence server", "plug it in"]);
}

#[test]
fn devices_that_panic_end_the_command_with_status_1() {
    for method in ["open", "device info", "supports", "compile"] {
        let told = fails(&fixture::patched(method), &["device=fixture", "fallback="]);
        let name = method.trim_start_matches("device ");
        says(&told, &[&format!("`{name}` panicked: as told, in {method}")]);
    }
    // The fixture adds the first entry of the table of constants, in which long ones go.
    let long = format!("fn f(x: f32[17]) {{ return x + f32([{}]) }}", ["2"; 17].join(", "));
    // What is in host memory already is neither uploaded nor downloaded.
    for method in ["none", "run"] {
        let path = fixture::patched(method);
        let config = Config::default().with("plugins.load", vec![path.display().to_string()]).unwrap();
        let config = config.with("device", "fixture").unwrap().with("fallback", Vec::<String>::new()).unwrap();
        let f = compile(&arignote::session_with(config).unwrap(), &long).unwrap();
        let x = arignote::tensor::Tensor::vector(vec![1.0f32; 17]);
        match f.call(&[x]) {
            Ok(results) => assert_eq!((method, results[0].to_f64_vec()), ("none", vec![3.0; 17])),
            Err(error) => says(&error.to_string(), &[&format!("`{method}` panicked: as told, in {method}")]),
        }
    }
}

#[test]
fn what_is_wrong_in_a_plugin_leaves_nothing_of_it_behind() {
    let cases = [
        ("bad:definition", &["the definition of `half::second` is wrong", "there is no op `nonsense`"][..]),
        ("bad:rules", &["half.rules:2", "there is no op `nonsense`"]),
        ("bad:pass name", &["a rule or pass named `merge` exists already"]),
        ("bad:phase", &["its pass `fixture_pass` is of the phase `inplace`, expected one of canonicalize, stabilize, specialize, scan"]),
    ];
    for (behaviour, parts) in cases {
        let path = fixture::patched(behaviour);
        let config = Config::default().with("plugins.load", vec![path.display().to_string()]).unwrap();
        let error = arignote::session_with(config).err().unwrap().to_string();
        says(&error, &[&path.display().to_string(), "nothing of it was registered"]);
        says(&error, parts);
        assert!(registry().get("half::first").is_err() && registry().get("half::second").is_err());
        says(&fails(&path, &[]), parts);
    }
}

#[test]
fn passes_that_fail_end_the_compilation_with_their_name() {
    let cases = [
        ("pass run", &["`run` panicked: as told, in pass run"][..]),
        ("pass fails", &["the pass lost its way"]),
        ("pass types", &["what it leaves has the outputs (f32[]), expected (f32[n])"]),
    ];
    for (behaviour, parts) in cases {
        let path = fixture::patched(behaviour);
        let config = Config::default().with("plugins.load", vec![path.display().to_string()]).unwrap();
        let config = config.with("device", "reference").unwrap();
        let session = arignote::session_with(config).unwrap();
        let error = compile(&session, "fn f(a: f32[], x: f32[n]) { return ceil(x) }").err().unwrap().to_string();
        says(&error, parts);
        says(&error, &["in the pass `fixture_pass` of a plugin"]);
    }
}

#[test]
fn a_wrong_pass_is_caught_by_the_harness() {
    let path = fixture::patched("pass ceil");
    let setting = format!("plugins.load={}", path.display());
    let output = command(tempfile::tempdir().unwrap().path(), &["rules", "--check", "--set", &setting]);
    assert!(!output.status.success());
    says(&String::from_utf8_lossy(&output.stdout), &["fixture_rule: holds", "fixture_pass: FAILS", "the error grows from 0.000", "it does not apply to this example"]);
    says(&String::from_utf8_lossy(&output.stderr), &["1 of 2 rules and passes fail"]);
}

#[test]
fn one_that_merely_lies_there_is_left_out_and_listed() {
    let path = fixture::patched("bad:rules");
    let folder = path.parent().unwrap().display().to_string();
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("p.arig"), "fn f(x: f32[n]) { return x + 1 }\n").unwrap();
    let path_setting = format!("plugins.path={folder}");
    let output = command(scratch.path(), &["run", "p.arig", "--in", "x=[1]", "--set", &path_setting]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0: f32[1] = [2]\n");
    says(&String::from_utf8_lossy(&output.stderr), &["Warn: bad-rules", &path.display().to_string()]);
    let output = command(scratch.path(), &["plugins", "--set", &path_setting]);
    says(&String::from_utf8_lossy(&output.stdout), &["bad-rules", "not loaded", "half.rules:2"]);
}
