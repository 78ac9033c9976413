//! Calls: of functions of the file, and of ops through their signatures.

use std::collections::VecDeque;

use super::Lowerer;
use super::value::{Literal, Stepped, Value};
use crate::error::{Result, nearest};
use crate::graph::{Constant, Var};
use crate::lang::ast::Name;
use crate::lang::source::Span;
use crate::ops::{Attribute, AttributeKind, Attributes, IndexBound, IndexItem, Op, Param, ParamKind, registry};

type Arg<'a> = (Option<&'a str>, Value<'a>, Span);

impl<'a> Lowerer<'a> {
    /// Applies an op; an error of its type rule gets the place in the text.
    pub(super) fn apply(&self, op: &str, operands: &[Var], attributes: Attributes, span: Span) -> Result<Vec<Var>> {
        let var = Var::apply_at(op, operands, attributes, self.location(span));
        match var.node().results() {
            Ok(_) => Ok(var.siblings()),
            Err(error) => Err(self.pointed(error, span)),
        }
    }

    pub(super) fn call(
        &mut self, plugin: Option<Name>, name: Name, args: Vec<Arg<'a>>, span: Span,
    ) -> Result<Value<'a>> {
        let text = self.file.name(name);
        if let Some(plugin) = plugin {
            let full = format!("{}::{text}", self.file.name(plugin));
            return self.op_call(&full, plugin.span.to(name.span), args, span);
        }
        if let Some(function) = self.functions.get(text).copied() {
            return Ok(Value::Vars(self.inline(function, args, span)?));
        }
        if text == "const" {
            return self.table_constant(args, span);
        }
        self.op_call(text, name.span, args, span)
    }

    /// `const(3)`: an entry of the table beside the text.
    fn table_constant(&self, args: Vec<Arg<'a>>, span: Span) -> Result<Value<'a>> {
        let (mut index, mut weak) = (None, false);
        for (keyword, value, at) in args {
            match (keyword, value) {
                (None, Value::Literal(Literal::Int(v))) if index.is_none() => index = usize::try_from(v).ok(),
                (Some("weak"), Value::Literal(Literal::Bool(v))) => weak = v,
                _ => return Err(self.error(at, "expected `const(NUMBER)` or `const(NUMBER, weak=true)`")),
            }
        }
        let Some(value) = index.and_then(|index| self.constants.get(index)) else {
            let count = self.constants.len();
            return Err(self.error(span, format!("the table beside the text has {count} constants")));
        };
        let constant = Constant { value: value.clone(), weak };
        Ok(Value::Vars(vec![Var::constant_at(constant, self.location(span))]))
    }

    fn op_call(&self, name: &str, name_span: Span, args: Vec<Arg<'a>>, span: Span) -> Result<Value<'a>> {
        let found = registry().get(name);
        let op = found.map_err(|error| {
            let near = nearest(name, self.functions.keys().copied());
            let error = self.pointed(error, name_span);
            match near {
                Some(near) => error.note(format!("or the function `{near}` of this file")),
                None => error,
            }
        })?;
        let mut bound = Binder { op: &*op, positional: VecDeque::new(), keywords: Vec::new(), span };
        for (keyword, value, at) in args {
            match keyword {
                None => bound.positional.push_back((value, at)),
                Some(keyword) => bound.keywords.push((keyword, value, at)),
            }
        }
        let (operands, attributes, stepped) = self.bind_args(&mut bound)?;
        let mut results = self.apply(name, &operands, attributes, span)?;
        for slice in stepped.into_iter().rev() {
            let index = (0..slice.axis).map(|_| IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 });
            let index = index.chain([IndexItem::Operand(0)]).collect();
            let operands = [&[slice.of], &results[..], &[slice.positions]].concat();
            results = self.apply("set_at", &operands, Attributes::new().with("index", Attribute::Index(index)), span)?;
        }
        Ok(Value::Vars(results))
    }

    /// Operands and attributes, and slices of what is updated that have a computed step.
    fn bind_args(&self, args: &mut Binder<'_, 'a>) -> Result<(Vec<Var>, Attributes, Vec<Stepped>)> {
        let (mut operands, mut attributes, mut slices) = (Vec::new(), Attributes::new(), Vec::new());
        let index = args.op.params().iter().find(|p| is_index(p)).map(|p| p.name);
        let mut index_operands = Vec::new();
        let mut left_out: Option<&str> = None;
        for param in args.op.params() {
            if is_index(param) {
                continue;
            }
            match &param.kind {
                ParamKind::Operand if index.is_some() && operands.is_empty() => {
                    // The first operand of `set_at(x[i], v)` brings the index along.
                    let (value, at) = self.required(args, param)?;
                    let (Value::Indexed { base, operands: more, items, stepped }, Some(name)) = (value, index) else {
                        let message = format!("`{}` takes an index expression, like `x[i]`", args.op.name());
                        return Err(self.error(at, message));
                    };
                    operands.push(base);
                    index_operands = more;
                    slices = stepped;
                    attributes.set(name, Attribute::Index(items));
                }
                ParamKind::Operand => {
                    let (value, at) = self.required(args, param)?;
                    operands.push(self.var(value, at)?);
                }
                ParamKind::OptionalOperand => match self.take(args, param)? {
                    None | Some((Value::None, _)) => left_out = left_out.or(Some(param.name)),
                    Some((_, at)) if left_out.is_some() => {
                        let missing = left_out.unwrap_or_default();
                        return Err(self.error(at, format!("`{}` needs `{missing}` too", param.name)));
                    }
                    Some((value, at)) => operands.push(self.var(value, at)?),
                },
                ParamKind::Operands => {
                    for (value, at) in args.positional.drain(..) {
                        operands.push(self.var(value, at)?);
                    }
                }
                ParamKind::OperandList => {
                    let (value, at) = self.required(args, param)?;
                    match value {
                        Value::List(values) => {
                            for value in values {
                                operands.push(self.var(value, at)?);
                            }
                        }
                        other => operands.extend(self.vars(other, at)?),
                    }
                }
                ParamKind::Sizes => {
                    let (value, at) = self.required(args, param)?;
                    operands.push(self.sizes(value, at)?);
                }
                ParamKind::SpreadSizes => {
                    let keyword = self.keyword(args, param.name)?;
                    operands.push(match (keyword, args.positional.len()) {
                        (Some((value, at)), _) => self.sizes(value, at)?,
                        (None, 1) => {
                            let (value, at) = self.required(args, param)?;
                            self.sizes(value, at)?
                        }
                        (None, _) => {
                            let values = args.positional.drain(..).map(|(value, _)| value).collect();
                            self.sizes_of(values, args.span)?
                        }
                    });
                }
                ParamKind::Attribute(kind, _) => {
                    if let Some((value, at)) = self.take(args, param)? {
                        attributes.set(param.name, self.attribute(&value, *kind, args.op, param, at)?);
                    }
                }
            }
        }
        operands.append(&mut index_operands);
        let name = args.op.name();
        if let Some((_, at)) = args.positional.front() {
            return Err(self.error(*at, format!("`{name}` takes fewer arguments: {}", signature(args.op))));
        }
        if let Some((keyword, _, at)) = args.keywords.first() {
            let error = self.error(*at, format!("`{name}` has no argument `{keyword}`"));
            return Err(match nearest(keyword, args.op.params().iter().map(|p| p.name)) {
                Some(near) => error.note(format!("did you mean `{near}`?")),
                None => error.note(signature(args.op)),
            });
        }
        Ok((operands, attributes, slices))
    }

    fn keyword(&self, args: &mut Binder<'_, 'a>, name: &str) -> Result<Option<(Value<'a>, Span)>> {
        let Some(at) = args.keywords.iter().position(|(keyword, ..)| *keyword == name) else { return Ok(None) };
        let (_, value, span) = args.keywords.remove(at);
        match args.keywords.iter().find(|(keyword, ..)| *keyword == name) {
            Some((.., span)) => Err(self.error(*span, format!("`{name}` is given twice"))),
            None => Ok(Some((value, span))),
        }
    }

    fn take(&self, args: &mut Binder<'_, 'a>, param: &Param) -> Result<Option<(Value<'a>, Span)>> {
        if let Some(found) = self.keyword(args, param.name)? {
            return Ok(Some(found));
        }
        Ok(args.positional.pop_front())
    }

    fn required(&self, args: &mut Binder<'_, 'a>, param: &Param) -> Result<(Value<'a>, Span)> {
        self.take(args, param)?.ok_or_else(|| {
            let error = self.error(args.span, format!("`{}` needs `{}`: {}", args.op.name(), param.name, param.doc));
            error.note(signature(args.op))
        })
    }

    fn attribute(
        &self, value: &Value<'a>, kind: AttributeKind, op: &dyn Op, param: &Param, span: Span,
    ) -> Result<Attribute> {
        use AttributeKind as K;
        let expected = match kind {
            K::Bool => "`true` or `false`",
            K::Int => "a whole number",
            K::Float => "a number",
            K::Str => "a string",
            K::NumberOrStr => "a number or a string",
            K::IntsOrStr => "a whole number, a list of them, or a string",
            K::DType => "a dtype, like `f32`",
            K::Axes => "an axis or a list of axes",
            K::Ints => "a whole number or a list of them",
            K::Index => "an index",
            K::Body => "a body",
        };
        let attribute = to_attribute(value);
        let fits = match (&attribute, kind) {
            (Some(Attribute::Int(v)), K::Float) => return Ok(Attribute::Float(*v as f64)),
            (Some(Attribute::Bool(_)), K::Bool) => true,
            (Some(Attribute::Int(_)), K::Int | K::Axes | K::Ints | K::IntsOrStr) => true,
            (Some(Attribute::Float(_)), K::Float) => true,
            (Some(Attribute::Str(_)), K::Str | K::NumberOrStr | K::IntsOrStr) => true,
            (Some(Attribute::Int(_) | Attribute::Float(_)), K::NumberOrStr) => true,
            (Some(Attribute::DType(_)), K::DType) => true,
            (Some(list @ Attribute::List(_)), K::Axes | K::Ints | K::IntsOrStr) => whole(list),
            // `None` where the default is, or may be, nothing.
            (Some(Attribute::None), K::DType | K::Axes) => true,
            (Some(Attribute::None), _) => matches!(param.kind, ParamKind::Attribute(_, Some(Attribute::None))),
            _ => false,
        };
        match attribute {
            Some(attribute) if fits => Ok(attribute),
            _ => {
                let message = format!("`{}` of `{}` is {expected}", param.name, op.name());
                let error = self.error(span, message);
                Err(if matches!(value, Value::Vars(_)) { error.note("it must be a literal") } else { error })
            }
        }
    }
}

struct Binder<'o, 'a> {
    op: &'o dyn Op,
    positional: VecDeque<(Value<'a>, Span)>,
    keywords: Vec<(&'a str, Value<'a>, Span)>,
    span: Span,
}

fn is_index(param: &Param) -> bool {
    matches!(param.kind, ParamKind::Attribute(AttributeKind::Index, _))
}

fn to_attribute(value: &Value<'_>) -> Option<Attribute> {
    Some(match value {
        Value::Literal(Literal::Bool(v)) => Attribute::Bool(*v),
        Value::Literal(Literal::Int(v)) => Attribute::Int(i64::try_from(*v).ok()?),
        Value::Literal(Literal::Float(v)) => Attribute::Float(*v),
        Value::Str(v) => Attribute::Str((*v).to_owned()),
        Value::None => Attribute::None,
        Value::DType(v) => Attribute::DType(*v),
        Value::List(values) => Attribute::List(values.iter().map(to_attribute).collect::<Option<_>>()?),
        Value::Vars(_) | Value::Indexed { .. } => return None,
    })
}

fn whole(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Int(_) => true,
        Attribute::List(values) => values.iter().all(whole),
        _ => false,
    }
}

/// An op's arguments as help shows them.
fn signature(op: &dyn Op) -> String {
    let params: Vec<String> = op
        .params()
        .iter()
        .filter(|param| !is_index(param))
        .map(|param| match &param.kind {
            ParamKind::Operands => format!("{}...", param.name),
            ParamKind::OperandList => format!("[{}...]", param.name),
            ParamKind::Attribute(_, Some(default)) => format!("{}={default}", param.name),
            _ => param.name.to_owned(),
        })
        .collect();
    format!("its arguments are {}({})", op.name(), params.join(", "))
}
