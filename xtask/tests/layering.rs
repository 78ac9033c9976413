//! The invariants of ARCHITECTURE.md that a machine can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `arignote-core`, lowest first; those of one floor may use each other. `error`, `config`
/// and `special` stand apart.
const FLOORS: [&[&str]; 7] =
    [&["tensor"], &["graph", "ops"], &["autodiff", "lang"], &["rewrite"], &["plugin"], &["runtime"], &["inspect"]];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// A source file without comments and unit tests, its path relative to the workspace.
struct Source {
    path: String,
    lines: Vec<(usize, String)>,
    whole: Vec<String>,
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(folder)];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                pending.push(path);
            } else if name.ends_with(".rs") {
                found.push(read(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let whole: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut lines = Vec::new();
    let name = path.file_name().unwrap().to_string_lossy();
    if name != "tests.rs" {
        for (number, line) in whole.iter().enumerate() {
            let tests = line.starts_with("#[cfg(test)]") && whole.get(number + 1).is_some_and(|l| l.ends_with('{'));
            if tests {
                break;
            }
            if !line.trim_start().starts_with("//") {
                lines.push((number + 1, line.clone()));
            }
        }
    }
    let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    Source { path, lines, whole }
}

/// The modules of the crate that a source names, with the line: `crate::graph`, `crate::{graph, ops}`.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut text = String::new();
    let mut starts = Vec::new();
    for (number, line) in &source.lines {
        starts.push((text.len(), *number));
        text += line;
        text.push('\n');
    }
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let preceded = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        let line = starts.iter().take_while(|(start, _)| *start <= at).last().map_or(0, |(_, number)| *number);
        if preceded {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push((line, first_word(rest)));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push((line, first_word(&std::mem::take(&mut item)))),
                _ if depth == 0 => item.push(c),
                _ => {}
            }
        }
        found.push((line, first_word(&item)));
    }
    found
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_point_downwards() {
    let mut wrong = Vec::new();
    for module in FLOORS.concat() {
        let here = floor(module).unwrap();
        for source in sources(&format!("core/src/{module}")).iter().chain(&sources_of_file(module)) {
            for (line, import) in imports(source) {
                let upwards = floor(&import).is_some_and(|there| there > here || (there == here && here != 1));
                let config = import == "config" && here < floor("runtime").unwrap();
                if import != module && (upwards || config) {
                    wrong.push(format!("{}:{line}: `{module}` uses `{import}`", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "a lower module uses a higher one:\n{}", wrong.join("\n"));
}

/// `core/src/MODULE.rs`, if the module is one file.
fn sources_of_file(module: &str) -> Vec<Source> {
    let path = root().join(format!("core/src/{module}.rs"));
    if path.is_file() { vec![read(&path)] } else { Vec::new() }
}

#[test]
fn config_uses_nothing_above_the_ops() {
    let allowed = ["config", "error", "tensor", "ops"];
    for source in sources("core/src/config") {
        for (line, import) in imports(&source) {
            let module = floor(&import).is_some();
            assert!(!module || allowed.contains(&import.as_str()), "{}:{line}: `config` uses `{import}`", source.path);
        }
    }
}

#[test]
fn special_functions_use_nothing() {
    for source in sources("core/src/special") {
        let found = imports(&source);
        assert!(found.is_empty(), "{}: `special` uses {found:?}", source.path);
    }
}

/// The string literals of a line, roughly.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

#[test]
fn the_graph_names_no_op() {
    let is_name = |text: &&str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let ops = sources("core/src/ops");
    let lines = ops.iter().flat_map(|source| &source.lines);
    let mut known: BTreeSet<&str> = lines.flat_map(|(_, line)| literals(line).filter(is_name)).collect();
    // No op, but a value of the attribute `disconnected`.
    known.remove("error");
    for source in sources("core/src/graph") {
        for (number, line) in &source.lines {
            let named: Vec<&str> = literals(line).filter(|text| known.contains(text)).collect();
            assert!(named.is_empty(), "{}:{number}: `graph` names {named:?}, as `ops` does", source.path);
        }
    }
}

#[test]
fn only_the_interface_crate_names_abi_stable() {
    let crates = ["core", "arignote", "backend-reference", "backend-cpu", "backend-cuda", "plugins"];
    for source in crates.iter().flat_map(|folder| sources(folder)) {
        for (line, text) in &source.lines {
            assert!(!text.contains("abi_stable::"), "{}:{line}: {text}", source.path);
        }
    }
    let plugins = fs::read_dir(root().join("plugins")).unwrap().map(|entry| entry.unwrap().path());
    for folder in crates[..5].iter().map(|folder| root().join(folder)).chain(plugins) {
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        assert!(!manifest.lines().any(|line| line.starts_with("abi_stable")), "{}", folder.display());
    }
}

#[test]
fn backends_and_plugins_use_only_public_crates() {
    let plugins = fs::read_dir(root().join("plugins")).unwrap().map(|entry| entry.unwrap().path());
    let backends = ["backend-reference", "backend-cpu", "backend-cuda"].map(|folder| root().join(folder));
    for folder in backends.into_iter().chain(plugins.filter(|path| path.is_dir())) {
        let mut own = dependencies(&folder.join("Cargo.toml"));
        own.retain(|name| name.starts_with("arignote"));
        assert_eq!(own, ["arignote-core"], "{}", folder.display());
    }
}

#[test]
fn nothing_is_left_undone() {
    let folders = ["abi", "core", "arignote", "backend-reference", "backend-cpu", "backend-cuda", "plugins", "xtask/src"];
    for source in folders.iter().flat_map(|folder| sources(folder)) {
        for (line, text) in &source.lines {
            for word in ["todo!(", "unimplemented!(", "dbg!("] {
                assert!(!text.contains(word), "{}:{line}: {text}", source.path);
            }
        }
    }
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    let folders = ["abi", "core/src", "arignote/src", "backend-reference", "backend-cpu", "backend-cuda", "plugins"];
    for source in folders.iter().flat_map(|folder| sources(folder)) {
        for (line, text) in &source.lines {
            if text.contains("unsafe {") || text.contains("unsafe impl") {
                let before = &source.whole[line.saturating_sub(9)..*line];
                let said = before.iter().any(|text| text.contains("SAFETY"));
                assert!(said, "{}:{line}: no SAFETY comment: {text}", source.path);
            }
        }
    }
}

/// The names in the tables of dependencies of a manifest.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let (mut names, mut listing) = (Vec::new(), false);
    for line in text.lines() {
        if line.starts_with('[') {
            listing = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (listing, line.split_once(['.', ' ', '='])) {
            names.extend((!name.is_empty() && !name.starts_with('#')).then(|| name.to_owned()));
        }
    }
    names
}

#[test]
fn every_dependency_is_used() {
    let (mut crates, mut unused) = (0, Vec::new());
    let mut used_by_any = BTreeSet::new();
    let plugins = fs::read_dir(root().join("plugins")).unwrap().map(|entry| entry.unwrap().path());
    let members = ["abi", "core", "arignote", "backend-reference", "backend-cpu", "backend-cuda", "xtask"];
    let libraries = ["backend-reference/plugin", "backend-cpu/plugin"];
    let members = members.iter().chain(&libraries).map(|member| root().join(member));
    for folder in members.chain(plugins.filter(|path| path.is_dir())) {
        crates += 1;
        let sources = sources(&folder.strip_prefix(root()).unwrap().to_string_lossy());
        for name in dependencies(&folder.join("Cargo.toml")) {
            let word = name.replace('-', "_");
            let used = sources.iter().flat_map(|source| &source.whole).any(|line| {
                line.match_indices(&word).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + word.len()..].chars().next();
                    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    !part(before) && !part(after)
                })
            });
            if !used {
                unused.push(format!("{}/Cargo.toml: nothing uses `{name}`", folder.display()));
            }
            used_by_any.insert(name);
        }
    }
    assert!(crates >= 12);
    let declared = dependencies(&root().join("Cargo.toml")).into_iter();
    let idle = declared.filter(|name| !used_by_any.contains(name) && !name.starts_with("arignote"));
    unused.extend(idle.map(|name| format!("Cargo.toml: no member depends on `{name}`")));
    assert!(unused.is_empty(), "{}", unused.join("\n"));
}
