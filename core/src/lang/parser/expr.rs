//! Expressions.

use super::{Parser, Place, Result};
use crate::lang::ast::*;
use crate::lang::lexer::{DTYPES, Tok, Token, is_reserved, unescape};
use crate::lang::source::Span;

impl Parser {
    fn push(&mut self, kind: ExprKind, span: Span) -> ExprId {
        self.exprs.push(Expr { kind, span });
        ExprId(self.exprs.len() as u32 - 1)
    }

    fn span(&self, id: ExprId) -> Span {
        self.exprs[id.0 as usize].span
    }

    pub(super) fn expr(&mut self) -> Result<ExprId> {
        self.climb(0)
    }

    /// Precedence climbing: an operand, then operators that bind at least as tightly as `least`.
    fn climb(&mut self, least: u8) -> Result<ExprId> {
        self.nested(|p| {
            let mut left = p.prefix()?;
            let mut compared = false;
            loop {
                let Tok::Punct(symbol) = p.tok() else { return Ok(left) };
                let Some(op) = BinaryOp::from_symbol(symbol) else { return Ok(left) };
                let precedence = op.precedence();
                if precedence < least {
                    return Ok(left);
                }
                if precedence == 1 {
                    if compared {
                        let error = p.error_here("comparisons do not chain");
                        return Err(error.with_help(Some("write `(a < b) & (b < c)`")));
                    }
                    compared = true;
                }
                p.next();
                // `a ** b ** c` is `a ** (b ** c)`; every other operator groups to the left.
                let right = p.climb(if op == BinaryOp::Pow { UNARY_PRECEDENCE } else { precedence + 1 })?;
                let span = p.span(left).to(p.span(right));
                left = p.push(ExprKind::Binary(op, left, right), span);
            }
        })
    }

    fn prefix(&mut self) -> Result<ExprId> {
        let start = self.token().span;
        let op = match self.tok() {
            Tok::Punct("-") => UnaryOp::Neg,
            Tok::Punct("~") => UnaryOp::Not,
            _ => return self.postfix(),
        };
        self.next();
        let operand = self.climb(UNARY_PRECEDENCE)?;
        let span = start.to(self.span(operand));
        Ok(self.push(ExprKind::Unary(op, operand), span))
    }

    fn postfix(&mut self) -> Result<ExprId> {
        let mut base = self.primary()?;
        while self.is("[") {
            let open = self.next().span;
            let items = self.list("]", Self::index_item)?;
            if items.is_empty() {
                return Err(self.source.error(open.to(self.last_span()), "expected an index between `[` and `]`"));
            }
            let span = self.span(base).to(self.last_span());
            base = self.push(ExprKind::Index { base, items }, span);
        }
        Ok(base)
    }

    fn index_item(&mut self) -> Result<IndexItem> {
        if self.eat("...") {
            return Ok(IndexItem::Ellipsis);
        }
        if self.eat_word("None") {
            return Ok(IndexItem::NewAxis);
        }
        let ends = |p: &Self| matches!(p.tok(), Tok::Punct("," | "]" | ":" | "::"));
        let start = if ends(self) { None } else { Some(self.expr()?) };
        if !self.is(":") && !self.is("::") {
            return match start {
                Some(at) => Ok(IndexItem::At(at)),
                None => Err(self.expected("an index")),
            };
        }
        // The lexer reads the two colons of `[a::c]` as one token.
        let double = self.next().tok == Tok::Punct("::");
        let stop = if double || ends(self) { None } else { Some(self.expr()?) };
        let step = if (double || self.eat(":")) && !ends(self) { Some(self.expr()?) } else { None };
        Ok(IndexItem::Slice { start, stop, step })
    }

    fn primary(&mut self) -> Result<ExprId> {
        let Token { tok, span } = self.token();
        let kind = match tok {
            Tok::Word => return self.word(),
            Tok::Int => ExprKind::Int(self.int(span)?),
            Tok::Float => ExprKind::Float(self.float(span)),
            Tok::Imaginary => ExprKind::Imaginary(self.float(Span { end: span.end - 1, ..span })),
            Tok::Str => ExprKind::Str(unescape(&self.source, span)?),
            Tok::AttrVar => ExprKind::AttrVar(Name { span: Span { start: span.start + 1, ..span } }),
            Tok::Punct("(") => {
                self.next();
                let inner = self.expr()?;
                if self.is(",") {
                    let error = self.expected("`)`");
                    return Err(error.with_help(Some("there are no tuples: lists stand in `[ ]`")));
                }
                self.expect(")")?;
                return Ok(inner);
            }
            Tok::Punct("[") => {
                self.next();
                let values = self.list("]", Self::expr)?;
                let span = span.to(self.last_span());
                return Ok(self.push(ExprKind::List(values), span));
            }
            _ => return Err(self.expected("an expression")),
        };
        self.next();
        Ok(self.push(kind, span))
    }

    fn word(&mut self) -> Result<ExprId> {
        let Token { span, .. } = self.token();
        let name = Name { span };
        let kind = match self.text() {
            "true" => ExprKind::Bool(true),
            "false" => ExprKind::Bool(false),
            "inf" => ExprKind::Float(f64::INFINITY),
            "nan" => ExprKind::Float(f64::NAN),
            "None" => ExprKind::None,
            "scan" => return self.scan(),
            "if" => return self.conditional(),
            "checkpoint" => return self.inside("checkpoint"),
            "recompute" => return self.inside("recompute"),
            "custom_vjp" => return self.custom(),
            word if DTYPES.contains(&word) => {
                if self.peek(1) == Tok::Punct("(") {
                    self.at += 2;
                    let value = self.expr()?;
                    self.eat(",");
                    self.expect(")")?;
                    let span = span.to(self.last_span());
                    return Ok(self.push(ExprKind::Typed { dtype: name, value }, span));
                }
                ExprKind::Dtype(name)
            }
            word if is_reserved(word) => return Err(self.expected("an expression")),
            _ if matches!(self.peek(1), Tok::Punct("(" | "::")) => return self.call(),
            _ => ExprKind::Name(name),
        };
        self.next();
        Ok(self.push(kind, span))
    }

    fn call(&mut self) -> Result<ExprId> {
        let start = self.token().span;
        let mut name = Name { span: self.next().span };
        let mut plugin = None;
        // In `x[a::2]` the colons belong to the slice.
        if self.is("::") {
            if self.peek(1) != Tok::Word || self.peek(2) != Tok::Punct("(") {
                return Ok(self.push(ExprKind::Name(name), name.span));
            }
            self.next();
            plugin = Some(name);
            name = self.any_name("the name of an op")?;
        }
        self.expect("(")?;
        let mut keywords = false;
        let args = self.list(")", |p| {
            let name = if p.tok() == Tok::Word && p.peek(1) == Tok::Punct("=") {
                let name = p.any_name("a keyword")?;
                p.next();
                keywords = true;
                Some(name)
            } else if keywords {
                return Err(p.expected("a keyword argument, as all after the first one"));
            } else {
                None
            };
            Ok(Arg { name, value: p.expr()? })
        })?;
        Ok(self.push(ExprKind::Call { plugin, name, args }, start.to(self.last_span())))
    }

    fn scan(&mut self) -> Result<ExprId> {
        let start = self.next().span;
        let open = self.expect("(")?.span;
        let (mut sequences, mut steps, mut finals) = (Vec::new(), None, false);
        let mut options = ScanOptions::default();
        self.list(")", |p| {
            if p.is_word("steps") && p.peek(1) == Tok::Punct("=") {
                if steps.is_some() {
                    return Err(p.error_here("`steps` stands twice"));
                }
                p.at += 2;
                steps = Some(p.expr()?);
                return Ok(());
            }
            if (p.is_word("final") || p.is_word("reverse")) && p.peek(1) == Tok::Punct("=") {
                let which = if p.is_word("final") { &mut finals } else { &mut options.reverse };
                p.at += 2;
                *which = p.is_word("true");
                if !p.eat_word("true") && !p.eat_word("false") {
                    return Err(p.expected("`true` or `false`"));
                }
                return Ok(());
            }
            if p.peek(1) == Tok::Punct("=") {
                let option = match p.text() {
                    "keep" => {
                        p.at += 2;
                        p.expect("[")?;
                        options.keep = p.list("]", Self::number)?;
                        return Ok(());
                    }
                    "truncate" => &mut options.truncate,
                    "checkpoint" => &mut options.checkpoint,
                    _ => return Err(p.expected("`steps`, `final`, `reverse`, `keep`, `truncate` or `checkpoint`")),
                };
                p.at += 2;
                *option = Some(p.number()?);
                return Ok(());
            }
            let name = p.new_name("`x_t in x` or `steps = n`")?;
            if !p.eat_word("in") {
                return Err(p.expected("`in`"));
            }
            sequences.push((name, p.expr()?));
            Ok(())
        })?;
        if sequences.is_empty() && steps.is_none() {
            return Err(self.source.error(open, "a scan has a sequence, as in `x_t in x`, or `steps = n`"));
        }
        let body = self.body(Place::Scan)?.0;
        let scan = Scan { sequences, steps, finals, options, body };
        Ok(self.push(ExprKind::Scan(Box::new(scan)), start.to(self.last_span())))
    }

    /// A whole number that stands there as such.
    fn number(&mut self) -> Result<i64> {
        if self.tok() != Tok::Int {
            return Err(self.expected("a whole number"));
        }
        let span = self.next().span;
        i64::try_from(self.int(span)?).map_err(|_| self.source.error(span, "this number is too large"))
    }

    fn block(&mut self) -> Result<Block> {
        let (stmts, results) = self.body(Place::Branch)?;
        Ok(Block { stmts, results })
    }

    /// `checkpoint(x)` or a block.
    fn inside(&mut self, op: &'static str) -> Result<ExprId> {
        let start = self.next().span;
        let block = if op == "checkpoint" && self.eat("(") {
            let value = self.expr()?;
            self.eat(",");
            self.expect(")")?;
            Block { stmts: Vec::new(), results: vec![value] }
        } else {
            self.block()?
        };
        Ok(self.push(ExprKind::Inside(Box::new(Inside { op, block })), start.to(self.last_span())))
    }

    fn custom(&mut self) -> Result<ExprId> {
        let start = self.next().span;
        self.expect("(")?;
        let inputs = self.list(")", |p| {
            let name = p.new_name("an input, as in `a = x`")?;
            p.expect("=")?;
            Ok((name, p.expr()?))
        })?;
        let forward = self.block()?;
        self.continue_line(|p| p.is_word("vjp"));
        if !self.eat_word("vjp") {
            let help = "behind the values stands their derivative: `vjp(y, dy) { ... }`";
            return Err(self.expected("`vjp`").with_help(Some(help)));
        }
        self.expect("(")?;
        let given = self.list(")", |p| p.new_name("the name of a result or of its cotangent"))?;
        let backward = self.block()?;
        let custom = Custom { inputs, forward, given, backward };
        Ok(self.push(ExprKind::Custom(Box::new(custom)), start.to(self.last_span())))
    }

    fn conditional(&mut self) -> Result<ExprId> {
        let start = self.next().span;
        let cond = self.expr()?;
        let (stmts, results) = self.body(Place::Branch)?;
        let then = Block { stmts, results };
        self.continue_line(|p| p.is_word("else"));
        if !self.eat_word("else") {
            return Err(self.expected("`else`").with_help(Some("an `if` is a value, so it needs both branches")));
        }
        let otherwise = if self.is_word("if") {
            Block { stmts: Vec::new(), results: vec![self.nested(Self::conditional)?] }
        } else {
            let (stmts, results) = self.body(Place::Branch)?;
            Block { stmts, results }
        };
        let kind = ExprKind::If(Box::new(If { cond, then, otherwise }));
        Ok(self.push(kind, start.to(self.last_span())))
    }

    // ---- numbers ----

    pub(super) fn int(&self, span: Span) -> Result<u64> {
        let text = self.source.slice(span);
        let parsed = if text.contains('_') { text.replace('_', "").parse() } else { text.parse() };
        parsed.map_err(|_| {
            let error = self.source.error(span, format!("`{text}` does not fit into 64 bits"));
            error.with_help(Some("with a point or an exponent it is a floating-point number"))
        })
    }

    /// The lexer has seen to the form, so every text parses.
    fn float(&self, span: Span) -> f64 {
        self.source.slice(span).replace('_', "").parse().unwrap_or(f64::NAN)
    }
}
