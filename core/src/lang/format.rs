//! The standard layout.
//!
//! Layout works on tokens, not on the tree: so comments and line breaks stay where they were, and
//! only spaces, indentation and blank lines change. One line break is made: before the `}` of a block
//! of several lines.

use super::lexer::{Tok, Token, tokenize};
use super::parser::parse;
use super::source::{Diagnostic, Source};

/// Lays a file out in the standard way: four spaces of indentation, one space around operators, at most
/// one blank line, the `}` of a block of several lines on a line of its own. Comments stay. Formatting
/// twice changes nothing more.
///
/// # Errors
///
/// Text that does not parse is not formatted.
///
/// # Examples
///
/// ```
/// use arignote_core::lang::{Source, format};
/// let text = "fn f(x:f32[n]){  # exp\ny=exp( -x )\nreturn y}";
/// assert_eq!(
///     format(&Source::new("f.arig", text)).unwrap(),
///     "fn f(x: f32[n]) {  # exp\n    y = exp(-x)\n    return y\n}\n",
/// );
/// ```
pub fn format(source: &Source) -> Result<String, Box<Diagnostic>> {
    parse(source.clone())?;
    let tokens = tokenize(source, true)?;
    let mut layout = Layout { source, out: String::new(), open: Vec::new(), indent: 0, previous: None };
    let (mut blank, mut opened) = (false, true);
    for line in lines(&tokens) {
        if line.is_empty() {
            blank = true;
            continue;
        }
        if blank && !opened && !is_close(line[0].tok) {
            layout.out.push('\n');
        }
        blank = false;
        opened = line.iter().rfind(|t| t.tok != Tok::Comment).is_some_and(|t| is_open(t.tok));
        layout.line(line);
    }
    Ok(layout.out)
}

/// The lines of the standard layout, without their ends.
fn lines(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut lines, mut start) = (Vec::new(), 0);
    // For each open bracket the number of the line that it stands on.
    let mut open: Vec<usize> = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if matches!(token.tok, Tok::Newline | Tok::End) {
            lines.push(&tokens[start..i]);
            start = i + 1;
        } else if is_open(token.tok) {
            open.push(lines.len());
        } else if is_close(token.tok) {
            let opened = open.pop();
            if token.tok == Tok::Punct("}") && i > start && opened.is_some_and(|line| line < lines.len()) {
                lines.push(&tokens[start..i]);
                start = i;
            }
        }
    }
    lines
}

struct Bracket {
    kind: u8,
    /// `=` inside stands between spaces: the parameters of a `fn`, the head of a `scan` or `custom_vjp`.
    spaced: bool,
    /// Lines inside are one level deeper.
    indents: bool,
}

struct Layout<'a> {
    source: &'a Source,
    out: String,
    open: Vec<Bracket>,
    indent: usize,
    /// The token before, also across lines; comments do not count.
    previous: Option<Token>,
}

fn is_open(tok: Tok) -> bool {
    matches!(tok, Tok::Punct("(" | "[" | "{"))
}

fn is_close(tok: Tok) -> bool {
    matches!(tok, Tok::Punct(")" | "]" | "}"))
}

impl<'a> Layout<'a> {
    fn text(&self, token: Token) -> &'a str {
        self.source.slice(token.span)
    }

    fn line(&mut self, line: &[Token]) {
        let closers = line.iter().take_while(|t| is_close(t.tok)).count().min(self.open.len());
        let undone = self.open[self.open.len() - closers..].iter().filter(|b| b.indents).count();
        self.out.extend(std::iter::repeat_n("    ", self.indent - undone));
        let depth = self.open.len();
        let returns = line[0].tok == Tok::Word && self.text(line[0]) == "return";
        let rule = line[0].tok == Tok::Word && self.text(line[0]) == "rule" && depth == 0;
        // The lowest the bracket depth has been: what is above it was opened on this line.
        let mut floor = depth;
        let mut unary = false;
        for (i, &token) in line.iter().enumerate() {
            let named_output = returns && self.open.len() == depth;
            let tags = rule && i == 2;
            if i > 0 && token.tok == Tok::Comment {
                self.out.push_str("  ");
            } else if i > 0 && self.space(token, unary, named_output, tags) {
                self.out.push(' ');
            }
            self.out.push_str(self.text(token).trim_end());
            if token.tok == Tok::Comment {
                continue;
            }
            // In a block, a line begins anew.
            let first = i == 0 && self.open.last().is_none_or(|bracket| bracket.kind == b'{');
            unary = matches!(token.tok, Tok::Punct("-" | "~")) && (first || self.expects_operand());
            if is_open(token.tok) {
                let head = line[..i].iter().rev().take(2).map(|t| self.text(*t)).collect::<Vec<_>>();
                let spaced = matches!(head.first(), Some(&"scan" | &"custom_vjp")) || head.get(1) == Some(&"fn");
                let kind = self.text(token).as_bytes()[0];
                self.open.push(Bracket { kind, spaced, indents: false });
            } else if is_close(token.tok) {
                if self.open.pop().is_some_and(|b| b.indents) {
                    self.indent -= 1;
                }
                floor = floor.min(self.open.len());
            }
            self.previous = Some(token);
        }
        // However many brackets a line opens, what follows is one level deeper, up to the line that
        // begins by closing the innermost.
        if let Some(innermost) = self.open.get_mut(floor..).and_then(<[Bracket]>::last_mut) {
            innermost.indents = true;
            self.indent += 1;
        }
        self.out.push('\n');
    }

    /// Whether what comes next is an operand, so that a `-` is a prefix.
    fn expects_operand(&self) -> bool {
        match self.previous {
            None => true,
            Some(t) => match t.tok {
                Tok::Punct(")" | "]" | "}" | "..." | "?") => false,
                Tok::Punct(_) => true,
                Tok::Word => matches!(self.text(t), "return" | "yield" | "until" | "in" | "if"),
                _ => false,
            },
        }
    }

    fn space(&self, token: Token, after_unary: bool, named_output: bool, tags: bool) -> bool {
        let Some(previous) = self.previous else { return true };
        let inner = self.open.last();
        let in_square = inner.is_some_and(|b| b.kind == b'[');
        let tight_equals = named_output || inner.is_some_and(|b| b.kind != b'{' && !b.spaced);
        match (previous.tok, token.tok) {
            (Tok::Punct("("), _) | (Tok::Punct("["), _) => false,
            (Tok::Punct("{"), Tok::Punct("}")) => false,
            (_, Tok::Punct(")" | "]" | ",")) => false,
            (Tok::Punct(","), _) => true,
            (_, Tok::Punct("::")) | (Tok::Punct("::"), _) => false,
            (_, Tok::Punct(":")) => false,
            (Tok::Punct(":"), _) => !in_square,
            (_, Tok::Punct("=")) | (Tok::Punct("="), _) => !tight_equals,
            _ if after_unary => false,
            (Tok::Word, Tok::Punct("(" | "[")) => {
                let keyword = ["scan", "in", "if", "return", "yield", "until", "else", "custom_vjp"];
                tags || keyword.contains(&self.text(previous))
            }
            (Tok::Punct(")" | "]"), Tok::Punct("[")) => false,
            (Tok::Int | Tok::Float | Tok::Imaginary | Tok::Str | Tok::AttrVar, Tok::Punct("[")) => false,
            _ => true,
        }
    }
}
