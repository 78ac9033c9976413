//! What holds for every program of the repository, and for what random changes make of it.

use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::tests::seeded;
use super::*;
use crate::error::ErrorKind;

fn collect(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())).flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden && entry.file_name() != "target" {
            collect(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "arig") {
            out.push(path);
        }
    }
}

/// Every `.arig` file of the repository and every program of the page on the language.
fn corpus() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut files: Vec<_> = paths.iter().map(|path| (path.display().to_string(), read(path))).collect();
    assert!(files.len() >= 50, "only {} files were found", files.len());
    files.extend(blocks(&read(&root.join("docs/language.md"))).into_iter().map(|(name, _, text)| (name, text)));
    files
}

/// The fenced blocks of a page that are programs: where each one is, what follows its fence, its text.
fn blocks(page: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, String)> = Vec::new();
    let mut inside = None;
    for (number, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(info), None) => {
                let program = info.starts_with("arig");
                if program {
                    found.push((format!("language.md:{}", number + 1), info.to_owned(), String::new()));
                }
                inside = Some(program);
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => {
                if let Some((.., text)) = found.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
            (None, _) => {}
        }
    }
    assert_eq!(inside, None, "a block is not closed");
    found
}

#[test]
fn the_programs_of_the_language_page_are_true() {
    let page = include_str!("../../../docs/language.md");
    let blocks = blocks(page);
    assert!(blocks.len() >= 8, "only {} programs were found", blocks.len());
    for (name, info, text) in blocks {
        let source = Source::new(name.as_str(), text.as_str());
        let file = parse(source.clone()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(format(&source).as_deref(), Ok(text.as_str()), "{name} is in the standard layout");
        for function in file.functions() {
            let lowered = lower(&file, Some(file.name(function.name)));
            match (info.as_str(), lowered) {
                ("arig", Ok(_)) => {}
                ("arig not-yet", Err(error)) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
                ("arig", Err(error)) => panic!("{error}"),
                _ => panic!("{name}: ```{info} of {}", file.name(function.name)),
            }
        }
    }
}

#[test]
fn every_program_formats_once_and_for_all() {
    let mut formatted = 0;
    for (name, text) in corpus() {
        let Ok(once) = format(&Source::new(name.as_str(), text.as_str())) else { continue };
        let again = format(&Source::new(name.as_str(), once.as_str())).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(once, again, "{name}");
        check_tokens(&text, &once);
        formatted += 1;
    }
    assert!(formatted >= 50, "only {formatted} files parse");
}

/// Layout changes no token but line ends between statements, and writes `: :` as `::`.
fn check_tokens(before: &str, after: &str) {
    let tokens = |text: &str| -> Vec<String> {
        let source = Source::new("t", text);
        let tokens = lexer::tokenize(&source, false).unwrap_or_else(|e| panic!("{e}"));
        let mut kept: Vec<String> = Vec::new();
        for token in tokens {
            let text = source.slice(token.span);
            if matches!(text, "}" | "\n" | "") && kept.last().is_some_and(|last| last == "\n") {
                kept.pop();
            }
            match text {
                "::" => kept.extend([":".to_owned(), ":".to_owned()]),
                "\n" if kept.is_empty() => {}
                text => kept.push(text.to_owned()),
            }
        }
        kept
    };
    assert_eq!(tokens(before), tokens(after), "{before}");
}

#[test]
fn no_change_of_a_program_makes_a_panic() {
    let mut random = seeded();
    let programs: Vec<Vec<char>> = corpus().into_iter().map(|(_, text)| text.chars().collect()).collect();
    let pieces = [
        "(", ")", "[", "]", "{", "}", ",", ":", "::", "=", "<-", "=>", "-", "**", "...", "None", "if ", "else ", "scan ",
        "state ", "return ", "yield ", "\n", "#", "\"", "\\", "$a", "1", "2.5", "1e", "j", "f32", "?", "λ", "é", "\u{0}",
        ".", " ", "where ", "rule ", "fn ", "==", "<", "~", "-1", "99999999999999999999", "9223372036854775807", "[]",
        "[0]", "[None]", "[::-1]", "0", "f64", "axis=", "x", "(x)", "i64(0)", "const(0)", "inf", "true",
    ];
    let (mut parsed, mut lowered) = (0, 0);
    for _ in 0..6000 {
        let mut chars = of(&mut random, &programs).clone();
        if random.usize(..4) == 0 {
            chars.truncate(random.usize(..chars.len()) + 1);
        }
        for _ in 0..1 + random.usize(..6) {
            let at = random.usize(..chars.len());
            match random.usize(..6) {
                0 => drop(chars.remove(at)),
                1 | 2 => drop(chars.splice(at..at, of(&mut random, &pieces).chars())),
                3 => {
                    // A piece in the place of a word or number keeps more programs whole.
                    let end = chars[at..].iter().position(|c| !c.is_alphanumeric()).map_or(chars.len(), |n| at + n);
                    drop(chars.splice(at..end, of(&mut random, &pieces).chars()));
                }
                4 => {
                    let other = of(&mut random, &programs);
                    let from = random.usize(..other.len());
                    let part = &other[from..(from + 1 + random.usize(..40)).min(other.len())];
                    drop(chars.splice(at..at, part.iter().copied()));
                }
                _ => {
                    let other = random.usize(..chars.len());
                    chars.swap(at, other);
                }
            }
            if chars.is_empty() {
                chars.push('f');
            }
        }
        let text: String = chars.into_iter().collect();
        let source = Source::new("fuzz", text.as_str());
        let laid_out = match format(&source) {
            Ok(text) => text,
            Err(error) => {
                assert!(error.to_string().contains("fuzz:"), "{error}");
                continue;
            }
        };
        parsed += 1;
        let file = parse(source).unwrap_or_else(|e| panic!("{e}"));
        for function in file.functions() {
            match lower(&file, Some(file.name(function.name))) {
                Ok(_) => lowered += 1,
                Err(error) => assert!(!error.message().is_empty()),
            }
        }
        check_tokens(&text, &laid_out);
        assert_eq!(format(&Source::new("fuzz", laid_out.as_str())).as_deref(), Ok(laid_out.as_str()), "{text}");
    }
    println!("of 6000 mutants {parsed} parsed, {lowered} functions were lowered");
    assert!(parsed > 200 && lowered > 50, "{parsed} parsed, {lowered} lowered");
}

fn of<'a, T>(random: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[random.usize(..choices.len())]
}
