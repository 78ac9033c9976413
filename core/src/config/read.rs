//! Reads the two forms that options are written in: TOML files and `key=value` flags.

use super::error::{ConfigError, ConfigErrorKind, nearest};
use super::options::{Slot, candidates, slot};
use super::source::{Node, Raw, Source};
use std::ops::Range;
use std::sync::Arc;
use toml_edit::{Item, TableLike, Value as Toml};

/// One `key = value` as it was read: the key is known, the value not yet checked.
#[derive(Debug)]
pub(super) struct Entry {
    pub path: Vec<String>,
    pub node: Node,
}

/// The error for a name that is no option's; `section` says whether it has a table for a value.
pub(super) fn unknown(path: &[&str], source: &Arc<Source>, span: Range<usize>) -> ConfigError {
    let name = path.join(".");
    // Within a section, its own options come first.
    let section = path.split_last().map_or(String::new(), |(_, section)| section.join("."));
    let within = |candidate: &&str| candidate.strip_prefix(&*section).is_some_and(|rest| rest.starts_with('.'));
    let inside: Vec<&str> = candidates().filter(|c| !section.is_empty() && within(c)).collect();
    let near = nearest(&name, inside.iter().copied()).or_else(|| nearest(&name, candidates()));
    let last = path.last().copied().unwrap_or_default();
    let near = near.or_else(|| nearest(last, candidates()));
    let listed: Vec<&str> = match inside.is_empty() {
        true => candidates().filter(|candidate| !candidate.contains('.')).collect(),
        false => inside,
    };
    ConfigError::new(ConfigErrorKind::UnknownKey, format!("unknown option `{name}`"))
        .at(source, span)
        .expected(format!("one of {}", listed.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")))
        .suggest(near.map(str::to_owned))
}

/// Reads a TOML file.
pub(super) fn read_toml(source: &Arc<Source>) -> Result<Vec<Entry>, ConfigError> {
    let document = toml_edit::Document::parse(source.text.as_str()).map_err(|error| {
        let mut lines = error.message().lines();
        let first = lines.next().unwrap_or_default();
        let end = source.text.len();
        ConfigError::new(ConfigErrorKind::Syntax, format!("not valid TOML: {first}"))
            .at(source, error.span().unwrap_or(end..end))
            .note(lines.next().map(str::to_owned))
    })?;
    let mut entries = Vec::new();
    read_table(document.as_table(), &mut Vec::new(), source, &mut entries)?;
    // In the order of the text, so that the first mistake is the one reported.
    entries.sort_by_key(|entry| entry.node.span.start);
    Ok(entries)
}

/// Recursion is bounded: the parser refuses tables nested more than 80 deep.
fn read_table(
    table: &dyn TableLike,
    path: &mut Vec<String>,
    source: &Arc<Source>,
    entries: &mut Vec<Entry>,
) -> Result<(), ConfigError> {
    for (key, item) in table.iter() {
        path.push(key.to_owned());
        let key_span = table.get_key_value(key).and_then(|(key, _)| key.span());
        let span = item.span().or_else(|| key_span.clone()).unwrap_or(0..0);
        let key_span = key_span.unwrap_or_else(|| span.clone());
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match (slot(&parts), item.as_table_like()) {
            (Slot::Unknown, _) => return Err(unknown(&parts, source, key_span)),
            (Slot::Section, Some(table)) => read_table(table, path, source, entries)?,
            // A backend's options may have sections of their own.
            (Slot::Option(_), Some(table)) if parts[0] == "backend" => read_table(table, path, source, entries)?,
            (Slot::Section, None) => {
                let name = parts.join(".");
                let node = read_item(item, span.clone());
                return Err(ConfigError::new(ConfigErrorKind::WrongType, format!("`{name}` is a section"))
                    .at(source, span)
                    .expected(format!("a table: a line `[{name}]`, then its options"))
                    .found(node.found()));
            }
            (Slot::Option(_), _) => {
                let node = read_item(item, span);
                entries.push(Entry { path: path.clone(), node });
            }
        }
        path.pop();
    }
    Ok(())
}

fn read_item(item: &Item, span: Range<usize>) -> Node {
    match item {
        Item::Value(value) => read_value(value, &span),
        Item::ArrayOfTables(_) => Node { raw: Raw::Other("a list of tables"), span },
        _ => Node { raw: Raw::Other("a table"), span },
    }
}

fn read_value(value: &Toml, outer: &Range<usize>) -> Node {
    let span = value.span().unwrap_or_else(|| outer.clone());
    let raw = match value {
        Toml::Boolean(truth) => Raw::Bool(*truth.value()),
        Toml::Integer(number) => Raw::Int(*number.value()),
        Toml::Float(number) => Raw::Float(*number.value()),
        Toml::String(text) => Raw::Text(text.value().clone()),
        Toml::Array(items) => Raw::List(items.iter().map(|item| read_value(item, &span)).collect()),
        Toml::Datetime(_) => Raw::Other("a date or time"),
        Toml::InlineTable(_) => Raw::Other("a table"),
    };
    Node { raw, span }
}

const FLAGS_FORM: &str = "`key=value,key=value`, items of a list separated by `:`";

/// Reads flags: `key=value,key=value`, with `:` between the items of a list. Text in double quotes
/// may hold both, and `\"` and `\\`. With `single`, as in `--set`, commas are part of the value.
/// Nothing between two commas is fine: that is what appending to an unset variable leaves.
pub(super) fn read_flags(source: &Arc<Source>, single: bool) -> Result<Vec<Entry>, ConfigError> {
    let text = source.text.as_str();
    let mut entries = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let (end, colons) = scan_flag(source, start, single)?;
        let flag = &text[start..end];
        if !flag.trim().is_empty() {
            entries.push(read_flag(source, start..end, &colons)?);
        }
        start = end + 1;
    }
    if single && entries.is_empty() {
        return Err(malformed("nothing is set", source, 0..0).expected("`key=value`"));
    }
    Ok(entries)
}

fn malformed(message: impl Into<String>, source: &Arc<Source>, span: Range<usize>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::MalformedFlags, message).at(source, span).expected(FLAGS_FORM)
}

/// The end of the flag that starts at `start`, and where colons separate items in it.
fn scan_flag(source: &Arc<Source>, start: usize, single: bool) -> Result<(usize, Vec<usize>), ConfigError> {
    let mut colons = Vec::new();
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in source.text[start..].char_indices().map(|(at, c)| (start + at, c)) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote.is_some() => escaped = true,
            '"' => quote = if quote.is_some() { None } else { Some(at) },
            _ if quote.is_some() => {}
            ',' if !single => return Ok((at, colons)),
            ':' => colons.push(at),
            _ => {}
        }
    }
    match quote {
        Some(at) => Err(malformed("a quote that nothing closes", source, at..source.text.len())),
        None => Ok((source.text.len(), colons)),
    }
}

fn read_flag(source: &Arc<Source>, span: Range<usize>, colons: &[usize]) -> Result<Entry, ConfigError> {
    let text = source.text.as_str();
    let flag = &text[span.clone()];
    let Some(equals) = flag.find('=').map(|at| span.start + at) else {
        let trimmed = trim(text, span);
        let name = &text[trimmed.clone()];
        let key = nearest(name, candidates().filter(|candidate| !candidate.ends_with("plugins")));
        return Err(malformed(format!("{name:?} has no value"), source, trimmed)
            .suggest(key.map(|key| format!("{key}=..."))));
    };
    let key_span = trim(text, span.start..equals);
    let key = &text[key_span.clone()];
    if key.is_empty() {
        return Err(malformed("a value without a key", source, span));
    }
    let path: Vec<&str> = key.split('.').map(str::trim).collect();
    match slot(&path) {
        Slot::Option(_) => {}
        Slot::Unknown => return Err(unknown(&path, source, key_span)),
        Slot::Section => {
            return Err(malformed(format!("`{key}` is a section"), source, key_span)
                .expected(format!("`{key}.OPTION=VALUE`, one of its options")));
        }
    }
    let value = trim(text, equals + 1..span.end);
    let mut items = Vec::new();
    let mut start = value.start;
    // Colons in the key would have made it unknown, but not those in a backend's option.
    for &colon in colons.iter().filter(|colon| value.contains(colon)) {
        items.push(flag_text(text, start..colon));
        start = colon + 1;
    }
    // Empty stands for the empty list.
    if !value.is_empty() {
        items.push(flag_text(text, start..value.end));
    }
    let whole = flag_text(text, value.clone());
    let raw = match whole.raw {
        Raw::Flag { whole, quoted, .. } => Raw::Flag { whole, items, quoted },
        other => other,
    };
    let path = path.into_iter().map(str::to_owned).collect();
    // A caret needs something to point at.
    let span = if value.is_empty() { equals..equals + 1 } else { value };
    Ok(Entry { path, node: Node { raw, span } })
}

/// The text in `span` with its quotes resolved.
fn flag_text(text: &str, span: Range<usize>) -> Node {
    let span = trim(text, span);
    let (mut whole, mut quoted, mut inside) = (String::new(), false, false);
    let mut chars = text[span.clone()].chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => (inside, quoted) = (!inside, true),
            '\\' if inside => whole.extend(chars.next()),
            _ => whole.push(c),
        }
    }
    Node { raw: Raw::Flag { whole, items: Vec::new(), quoted }, span }
}

fn trim(text: &str, span: Range<usize>) -> Range<usize> {
    let part = &text[span.clone()];
    let start = span.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}
