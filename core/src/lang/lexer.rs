//! Text to tokens.

use super::source::{Diagnostic, Source, Span};

/// Words that cannot name a value.
pub const KEYWORDS: &[&str] = &[
    "fn", "state", "return", "scan", "in", "if", "else", "yield", "until", "checkpoint", "recompute",
    "custom_vjp", "true", "false", "None", "inf", "nan",
];

/// The dtype words; they cannot name a value either.
pub const DTYPES: &[&str] = &[
    "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "bf16", "f32", "f64", "complex64",
    "complex128",
];

/// Whether a word is a keyword, a literal or a dtype, so that no value can have it as a name.
pub fn is_reserved(word: &str) -> bool {
    KEYWORDS.contains(&word) || DTYPES.contains(&word)
}

/// What a token is. Words and numbers are read from the source through the token's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tok {
    Word,
    Int,
    Float,
    Imaginary,
    Str,
    /// `$name`; the span includes the `$`.
    AttrVar,
    Punct(&'static str),
    Newline,
    Comment,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub tok: Tok,
    pub span: Span,
}

/// Longest first, so that the first that fits is the right one.
const PUNCT: &[&str] = &[
    "...", "**", "//", "==", "!=", "<=", ">=", "<<", ">>", "<-", "=>", "::", "+", "-", "*", "/", "%", "@", "&", "|",
    "^", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", "?",
];

/// Splits a source into tokens, ending with `End`.
///
/// Line ends inside `()` and `[]` do not count, unless `trivia` asks for every line end and every
/// comment, as the formatter does. Brackets are matched here, so that an unclosed one is reported
/// where it opens and not at the end of the file.
pub(super) fn tokenize(source: &Source, trivia: bool) -> Result<Vec<Token>, Box<Diagnostic>> {
    let text = source.text();
    if text.len() >= u32::MAX as usize {
        let message = format!("the text has {} bytes; the limit is 4 GiB", text.len());
        return Err(source.error(Span::default(), message));
    }
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(text.len() / 4);
    let mut open: Vec<(u8, u32)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let tok = match bytes[at] {
            b' ' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'\n' => {
                at += 1;
                if !trivia && open.last().is_some_and(|(c, _)| *c != b'{') {
                    continue;
                }
                Tok::Newline
            }
            b'#' => {
                at = text[at..].find('\n').map_or(text.len(), |n| at + n);
                if !trivia {
                    continue;
                }
                Tok::Comment
            }
            b'"' => {
                at = string_end(source, start)?;
                Tok::Str
            }
            b'0'..=b'9' => number(source, &mut at)?,
            b'.' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => number(source, &mut at)?,
            b'$' => {
                at = word_end(text, at + 1);
                if at == start + 1 {
                    return Err(source.error(Span::new(start, at), "expected a name after `$`"));
                }
                Tok::AttrVar
            }
            _ => {
                at = word_end(text, at);
                if at > start {
                    Tok::Word
                } else if let Some(p) = PUNCT.iter().find(|p| bytes[start..].starts_with(p.as_bytes())) {
                    at += p.len();
                    bracket(source, &mut open, bytes[start], start)?;
                    Tok::Punct(p)
                } else {
                    return Err(stray(source, start));
                }
            }
        };
        tokens.push(Token { tok, span: Span::new(start, at) });
    }
    if let Some((c, start)) = open.pop() {
        let span = Span::new(start as usize, start as usize + 1);
        return Err(source.error(span, format!("this `{}` is never closed", c as char)));
    }
    tokens.push(Token { tok: Tok::End, span: Span::new(at, at) });
    Ok(tokens)
}

fn bracket(source: &Source, open: &mut Vec<(u8, u32)>, c: u8, at: usize) -> Result<(), Box<Diagnostic>> {
    let opener = match c {
        b'(' | b'[' | b'{' => {
            open.push((c, at as u32));
            return Ok(());
        }
        b')' => b'(',
        b']' => b'[',
        b'}' => b'{',
        _ => return Ok(()),
    };
    let span = Span::new(at, at + 1);
    match open.pop() {
        Some((o, _)) if o == opener => Ok(()),
        Some((o, start)) => {
            let (line, column) = source.position(start);
            let message = format!("`{}` does not close the `{}` of {line}:{column}", c as char, o as char);
            Err(source.error(span, message))
        }
        None => Err(source.error(span, format!("`{}` closes nothing", c as char))),
    }
}

fn word_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    let mut end = 0;
    for (i, c) in rest.char_indices() {
        if c == '_' || c.is_alphabetic() || (i > 0 && c.is_numeric()) {
            end = i + c.len_utf8();
        } else {
            break;
        }
    }
    start + end
}

fn number(source: &Source, at: &mut usize) -> Result<Tok, Box<Diagnostic>> {
    let (text, bytes, start) = (source.text(), source.text().as_bytes(), *at);
    let digits = |at: &mut usize| {
        while bytes.get(*at).is_some_and(|b| b.is_ascii_digit() || *b == b'_') {
            *at += 1;
        }
    };
    let mut tok = Tok::Int;
    digits(at);
    // `1...` is `1` before an ellipsis.
    if bytes.get(*at) == Some(&b'.') && bytes.get(*at + 1) != Some(&b'.') {
        tok = Tok::Float;
        *at += 1;
        digits(at);
    }
    if matches!(bytes.get(*at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(*at + 1), Some(b'+' | b'-')));
        if bytes.get(*at + 1 + sign).is_some_and(u8::is_ascii_digit) {
            tok = Tok::Float;
            *at += 1 + sign;
            digits(at);
        }
    }
    if bytes.get(*at) == Some(&b'j') {
        tok = Tok::Imaginary;
        *at += 1;
    }
    let end = word_end(text, *at).max(*at);
    if end > *at || bytes.get(end).is_some_and(u8::is_ascii_digit) {
        let error = source.error(Span::new(start, end), format!("`{}` is not a number", &text[start..end]));
        let suffix = &text[*at..end];
        let help = DTYPES.contains(&suffix).then(|| format!("write `{suffix}({})`", &text[start..*at]));
        return Err(error.with_help(help));
    }
    Ok(tok)
}

fn string_end(source: &Source, start: usize) -> Result<usize, Box<Diagnostic>> {
    let bytes = source.text().as_bytes();
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if bytes.get(at + 1).is_some_and(|b| *b != b'\n') => at += 2,
            None | Some(b'\n') | Some(b'\\') => {
                return Err(source.error(Span::new(start, at), "this string does not end on its line"));
            }
            Some(_) => at += 1,
        }
    }
}

/// Undoes the escapes of a string literal, given with its quotes.
pub(super) fn unescape(source: &Source, span: Span) -> Result<Box<str>, Box<Diagnostic>> {
    let raw = source.slice(span);
    let body = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
    if !body.contains('\\') {
        return Ok(body.into());
    }
    let mut out = String::with_capacity(body.len());
    let mut chars = body.char_indices();
    while let Some((i, c)) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => out.push('\n'),
            Some((_, 't')) => out.push('\t'),
            Some((_, 'r')) => out.push('\r'),
            Some((_, '0')) => out.push('\0'),
            Some((_, c @ ('"' | '\\'))) => out.push(c),
            _ => {
                let at = span.start as usize + 1 + i;
                let message = "expected one of `\\n \\t \\r \\0 \\\" \\\\` in a string";
                return Err(source.error(Span::new(at, at + 1), message));
            }
        }
    }
    Ok(out.into())
}

/// Puts a string into quotes, with escapes, so that it reads back the same.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '"' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn stray(source: &Source, at: usize) -> Box<Diagnostic> {
    let c = source.text()[at..].chars().next().unwrap_or(' ');
    let help = match c {
        ';' => Some("a statement ends with its line"),
        '\'' => Some("strings stand in \"double quotes\""),
        '!' => Some("`~` is the logical not of a bool value"),
        '.' => Some("values have no methods: write `op(x)`"),
        _ => None,
    };
    source.error(Span::new(at, at + c.len_utf8()), format!("unexpected character `{c}`")).with_help(help)
}
