//! Tokens to syntax tree: recursive descent over brackets and blocks, loops over everything that can
//! be long.

mod expr;

use super::ast::*;
use super::lexer::{DTYPES, Tok, Token, is_reserved, tokenize};
use super::source::{Diagnostic, Source, Span};
use crate::error::nearest;

/// How deep parentheses, brackets, prefix operators and blocks may nest.
pub const MAX_NESTING: usize = 256;

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Parses a file of functions and rules.
///
/// # Errors
///
/// The first mistake in the text, with its place, what was expected, and the nearest valid word.
///
/// # Examples
///
/// ```
/// use arignote_core::lang::{Source, parse};
/// let file = parse(Source::new("model.arig", "fn f(x: f32[n]) { return exp(x) }")).unwrap();
/// assert_eq!(file.functions().count(), 1);
/// let error = parse(Source::new("bad.arig", "fn f(x: f32[n]) { return exp(x }")).unwrap_err();
/// assert!(error.to_string().contains("bad.arig:1:32"));
/// ```
pub fn parse(source: Source) -> Result<File> {
    let tokens = tokenize(&source, false)?;
    let mut parser = Parser { source, tokens, at: 0, exprs: Vec::new(), depth: 0 };
    let mut items = Vec::new();
    loop {
        parser.skip_newlines();
        if parser.tok() == Tok::End {
            break;
        }
        items.push(parser.item()?);
    }
    Ok(File { source: parser.source, exprs: parser.exprs, items })
}

/// Where a statement stands; it decides which statements are allowed.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Function,
    Scan,
    Branch,
}

struct Parser {
    source: Source,
    tokens: Vec<Token>,
    at: usize,
    exprs: Vec<Expr>,
    depth: usize,
}

impl Parser {
    // ---- tokens ----

    fn token(&self) -> Token {
        self.tokens[self.at]
    }

    fn tok(&self) -> Tok {
        self.token().tok
    }

    fn peek(&self, ahead: usize) -> Tok {
        self.tokens.get(self.at + ahead).map_or(Tok::End, |t| t.tok)
    }

    fn text(&self) -> &str {
        self.source.slice(self.token().span)
    }

    /// Moves on; the end is never passed.
    fn next(&mut self) -> Token {
        let token = self.token();
        if token.tok != Tok::End {
            self.at += 1;
        }
        token
    }

    fn is(&self, punct: &str) -> bool {
        matches!(self.tok(), Tok::Punct(p) if p == punct)
    }

    fn is_word(&self, word: &str) -> bool {
        self.tok() == Tok::Word && self.text() == word
    }

    fn eat(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        if found {
            self.at += 1;
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, punct: &str) -> Result<Token> {
        if self.is(punct) { Ok(self.next()) } else { Err(self.expected(&format!("`{punct}`"))) }
    }

    fn skip_newlines(&mut self) {
        while self.tok() == Tok::Newline {
            self.at += 1;
        }
    }

    fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    // ---- errors ----

    fn expected(&self, what: &str) -> Box<Diagnostic> {
        let found = match self.tok() {
            Tok::End => "the end of the file".to_string(),
            Tok::Newline => "the end of the line".to_string(),
            _ => format!("`{}`", self.text()),
        };
        let help = match self.tok() {
            Tok::Word => match self.text() {
                "and" => Some("`a & b` or `logical_and(a, b)` is the logical and"),
                "or" => Some("`a | b` or `logical_or(a, b)` is the logical or"),
                "not" => Some("`~a` or `logical_not(a)` is the logical not"),
                _ => None,
            },
            Tok::Punct("<-") => Some("`<-` gives a state its next value; a comparison is written `a < -b`"),
            Tok::Punct("::") => Some("`::` stands between a plugin and its op"),
            _ => None,
        };
        self.error_here(format!("expected {what}, found {found}")).with_help(help)
    }

    fn error_here(&self, message: impl Into<String>) -> Box<Diagnostic> {
        self.source.error(self.token().span, message)
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_NESTING {
            return Err(self.error_here(format!("this nests more than {MAX_NESTING} levels deep")));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    // ---- items ----

    fn item(&mut self) -> Result<Item> {
        let start = self.token().span;
        if self.eat_word("fn") {
            self.function(start).map(Item::Function)
        } else if self.eat_word("rule") {
            self.rule(start).map(Item::Rule)
        } else {
            let help = nearest(self.text(), ["fn", "rule"]).map(|n| format!("did you mean `{n}`?"));
            Err(self.expected("`fn` or `rule`").with_help(help))
        }
    }

    fn function(&mut self, start: Span) -> Result<Function> {
        let name = self.new_name("a function name")?;
        self.expect("(")?;
        let params = self.list(")", |p| {
            let name = p.new_name("a parameter name")?;
            let ty = if p.eat(":") { Some(p.ty()?) } else { None };
            let default = if p.eat("=") { Some(p.expr()?) } else { None };
            Ok(Param { name, ty, default })
        })?;
        self.skip_newlines();
        let body = self.body(Place::Function)?.0;
        Ok(Function { name, params, body, span: start.to(self.last_span()) })
    }

    fn rule(&mut self, start: Span) -> Result<Rule> {
        let name = self.new_name("a rule name")?;
        let tags = if self.eat("[") { self.list("]", |p| p.any_name("a tag"))? } else { Vec::new() };
        self.expect(":")?;
        self.skip_newlines();
        let lhs = self.expr()?;
        self.continue_line(|p| p.is("=>"));
        self.expect("=>")?;
        self.skip_newlines();
        let rhs = self.expr()?;
        self.continue_line(|p| p.is_word("where"));
        let mut conditions = Vec::new();
        if self.eat_word("where") {
            loop {
                let id = self.expr()?;
                if !matches!(self.exprs[id.0 as usize].kind, ExprKind::Call { .. }) {
                    let span = self.exprs[id.0 as usize].span;
                    return Err(self.source.error(span, "expected a condition, like `is_float(x)`"));
                }
                conditions.push(id);
                if !self.eat(",") {
                    break;
                }
                self.skip_newlines();
            }
        }
        let span = start.to(self.last_span());
        if !matches!(self.tok(), Tok::Newline | Tok::End) {
            return Err(self.expected("the end of the rule"));
        }
        Ok(Rule { name, tags, lhs, rhs, conditions, span })
    }

    /// Skips line ends if what follows them continues the construct at hand.
    fn continue_line(&mut self, continues: impl Fn(&Self) -> bool) {
        let at = self.at;
        self.skip_newlines();
        if !continues(self) {
            self.at = at;
        }
    }

    /// What stands before `close`, with commas between and perhaps at the end.
    fn list<T>(&mut self, close: &str, mut entry: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut entries = Vec::new();
        loop {
            if self.eat(close) {
                return Ok(entries);
            }
            entries.push(entry(self)?);
            if !self.eat(",") && !self.is(close) {
                return Err(self.expected(&format!("`,` or `{close}`")));
            }
        }
    }

    fn any_name(&mut self, what: &str) -> Result<Name> {
        if self.tok() == Tok::Word { Ok(Name { span: self.next().span }) } else { Err(self.expected(what)) }
    }

    /// A name that is about to be bound.
    fn new_name(&mut self, what: &str) -> Result<Name> {
        if self.tok() == Tok::Word && is_reserved(self.text()) {
            return Err(self.error_here(format!("expected {what}, but `{}` is a reserved word", self.text())));
        }
        self.any_name(what)
    }

    fn ty(&mut self) -> Result<Type> {
        let start = self.token().span;
        if self.tok() != Tok::Word || !DTYPES.contains(&self.text()) {
            let help = nearest(self.text(), DTYPES.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            return Err(self.expected("a type, like `f32[n, 64]`").with_help(help));
        }
        let dtype = Name { span: self.next().span };
        let word = self.source.slice(dtype.span).to_string();
        self.expect("[").map_err(|e| e.with_help(Some(format!("the type of a scalar is `{word}[]`"))))?;
        let dims = self.list("]", |p| match p.tok() {
            Tok::Int => {
                let token = p.next();
                p.int(token.span).map(Dim::Known)
            }
            Tok::Word => p.new_name("a dim").map(Dim::Named),
            Tok::Punct("?") => {
                p.next();
                Ok(Dim::Unknown)
            }
            _ => Err(p.expected("a dim: a number, a name or `?`")),
        })?;
        Ok(Type { dtype, dims, span: start.to(self.last_span()) })
    }

    // ---- statements ----

    /// `{ ... }`. In a branch, the results come last.
    fn body(&mut self, place: Place) -> Result<(Vec<Stmt>, Vec<ExprId>)> {
        self.nested(|p| {
            p.expect("{")?;
            let (mut stmts, mut results) = (Vec::new(), Vec::new());
            loop {
                p.skip_newlines();
                if p.eat("}") {
                    break;
                }
                if !results.is_empty() {
                    return Err(p.expected("`}` after the results of the branch"));
                }
                if place == Place::Branch && !p.starts_assignment() {
                    results = p.expr_list()?;
                } else {
                    stmts.push(p.stmt(place)?);
                }
                if !matches!(p.tok(), Tok::Newline | Tok::Punct("}")) {
                    return Err(p.expected("the end of the line"));
                }
            }
            if place == Place::Branch && results.is_empty() {
                p.at -= 1;
                return Err(p.expected("the result of the branch"));
            }
            Ok((stmts, results))
        })
    }

    /// Whether `a, b =` comes next. Only branches need to look so far ahead.
    fn starts_assignment(&self) -> bool {
        let mut ahead = 0;
        loop {
            if self.peek(ahead) != Tok::Word {
                return false;
            }
            match self.peek(ahead + 1) {
                Tok::Punct("=" | "<-") => return true,
                Tok::Punct(",") => ahead += 2,
                // `state w: ...`, `return x`: statements, though wrong ones here.
                Tok::Word => return !matches!(self.peek(ahead + 2), Tok::End) && self.leads_statement(),
                _ => return false,
            }
        }
    }

    fn leads_statement(&self) -> bool {
        matches!(self.text(), "state" | "return" | "yield" | "until")
    }

    fn stmt(&mut self, place: Place) -> Result<Stmt> {
        let start = self.token().span;
        let word = if self.tok() == Tok::Word { self.text() } else { "" };
        let only_in = |p: &Self, allowed: bool, wher: &str| {
            if allowed { Ok(()) } else { Err(p.error_here(format!("`{}` stands only in {wher}", p.text()))) }
        };
        let kind = match word {
            "state" => {
                only_in(self, place != Place::Branch, "a `fn` or a `scan`")?;
                self.next();
                let name = self.new_name("the name of the state")?;
                self.expect(":")?;
                let ty = self.ty()?;
                self.expect("=").map_err(|e| e.with_help(Some("a state has an initial value")))?;
                StmtKind::State { name, ty, init: self.expr()? }
            }
            "return" => {
                only_in(self, place == Place::Function, "a `fn`")?;
                self.next();
                StmtKind::Return(self.outputs()?)
            }
            "yield" => {
                only_in(self, place == Place::Scan, "a `scan`")?;
                self.next();
                StmtKind::Yield(self.expr_list()?)
            }
            "until" => {
                only_in(self, place == Place::Scan, "a `scan`")?;
                self.next();
                StmtKind::Until(self.expr()?)
            }
            _ => {
                let operand = !matches!(self.peek(1), Tok::Punct(_) | Tok::Newline | Tok::End);
                if self.tok() == Tok::Word && operand {
                    let help = nearest(word, ["state", "return", "yield", "until"]);
                    let error = self.error_here(format!("expected a statement, found `{word}`"));
                    return Err(error.with_help(help.map(|n| format!("did you mean `{n}`?"))));
                }
                self.assignment()?
            }
        };
        Ok(Stmt { kind, span: start.to(self.last_span()) })
    }

    fn assignment(&mut self) -> Result<StmtKind> {
        let mut targets = vec![self.new_name("a statement")?];
        while self.eat(",") {
            targets.push(self.new_name("a name")?);
        }
        if targets.len() == 1 && self.eat("<-") {
            return Ok(StmtKind::Update { name: targets[0], value: self.expr()? });
        }
        let help = "a statement binds its value, as in `y = exp(x)`: a value that nobody reads has no effect";
        self.expect("=").map_err(|e| e.with_help(Some(help)))?;
        Ok(StmtKind::Assign { targets, value: self.expr()? })
    }

    fn at_line_end(&self) -> bool {
        matches!(self.tok(), Tok::Newline | Tok::End | Tok::Punct("}"))
    }

    fn outputs(&mut self) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        while !self.at_line_end() {
            let name = if self.tok() == Tok::Word && self.peek(1) == Tok::Punct("=") {
                let name = self.new_name("the name of an output")?;
                self.next();
                Some(name)
            } else {
                None
            };
            outputs.push(Output { name, value: self.expr()? });
            if !self.eat(",") {
                break;
            }
        }
        Ok(outputs)
    }

    fn expr_list(&mut self) -> Result<Vec<ExprId>> {
        let mut values = vec![self.expr()?];
        while self.eat(",") && !self.at_line_end() {
            values.push(self.expr()?);
        }
        Ok(values)
    }
}
