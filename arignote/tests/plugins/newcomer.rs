//! A plugin by someone who has docs/plugins.md and nothing else.

use crate::{command, libraries};

/// The blocks of a page between lines of ``` with a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}");
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line == start, line.starts_with("```"), inside) {
            (true, ..) => {
                inside = true;
                blocks.push(String::new());
            }
            (false, true, _) => inside = false,
            (false, false, true) => blocks.last_mut().unwrap().extend([line, "\n"]),
            (false, false, false) => {}
        }
    }
    blocks
}

/// The indented lines from the first that begins with `first` up to a blank line and a line that is not
/// indented.
fn indented(page: &str, first: &str) -> String {
    let lines = page.lines().skip_while(|line| !line.starts_with(&format!("    {first}")));
    lines.map_while(|line| line.strip_prefix("    ")).fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_page_is_enough_to_write_one() {
    let page = std::fs::read_to_string(libraries::root().join("docs/plugins.md")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();

    let new = words(&indented(&page, "cargo new"));
    let new: Vec<&str> = new.iter().map(String::as_str).chain(["--vcs", "none"]).collect();
    libraries::cargo(&new, home.path(), &[]);
    let mine = home.path().join("mine");

    let toml = blocks(&page, "toml");
    let dependency = toml[0].lines().find(|line| line.starts_with("arignote-core = ")).unwrap();
    let core = format!("arignote-core = {{ path = {:?} }}", libraries::root().join("core"));
    let manifest = std::fs::read_to_string(mine.join("Cargo.toml")).unwrap();
    let package = manifest.split("[dependencies]").next().unwrap();
    std::fs::write(mine.join("Cargo.toml"), package.to_owned() + &toml[0].replace(dependency, &core)).unwrap();
    std::fs::copy(libraries::root().join("Cargo.lock"), mine.join("Cargo.lock")).unwrap();
    std::fs::write(mine.join("src/lib.rs"), &blocks(&page, "rust")[0]).unwrap();

    // As the page says, but in the workspace's profile, so that dependencies are those of its own builds.
    let workspace = std::fs::read_to_string(libraries::root().join("Cargo.toml")).unwrap();
    let profile = home.path().join("profile.toml");
    std::fs::write(&profile, &workspace[workspace.find("[profile.dev]").unwrap()..]).unwrap();
    let build = words(&indented(&page, "cargo build"));
    let mut build: Vec<&str> = build.iter().map(String::as_str).filter(|word| *word != "--release").collect();
    build.extend(["--offline", "--config", profile.to_str().unwrap()]);
    libraries::cargo(&build, &mine, &[]);

    std::fs::create_dir_all(mine.join("target/release")).unwrap();
    std::fs::copy(libraries::built("mine"), mine.join("target/release/libmine.so")).unwrap();
    std::fs::write(home.path().join("arignote.toml"), &toml[1]).unwrap();
    let program = indented(&page, "fn f(x");
    std::fs::write(home.path().join("cube.arig"), program).unwrap();
    let run = words(&indented(&page, "arignote run"));
    let output = command(home.path(), &run.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(printed.lines().count(), 2, "{printed}");
    for line in printed.lines() {
        assert!(page.contains(&format!("`{line}`")), "the page does not say that it prints\n{printed}");
    }
}
