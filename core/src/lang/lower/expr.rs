//! Expressions, evaluated with an explicit stack: a chain of a million operators is no deeper than
//! one.

use super::value::{Literal, Stepped, Value};
use super::{Lowerer, Scope};
use crate::error::{Result, nearest};
use crate::graph::{Constant, Var};
use crate::lang::ast::{BinaryOp, Expr, ExprId, ExprKind, IndexItem as Item, Name, UnaryOp};
use crate::lang::lexer::DTYPES;
use crate::lang::source::Span;
use crate::ops::index::stepped;
use crate::ops::{Attribute, Attributes, IndexBound, IndexItem};
use crate::tensor::DType;

/// The op that an operator stands for.
pub fn binary_op_name(op: BinaryOp) -> &'static str {
    use BinaryOp::*;
    match op {
        Eq => "eq",
        Ne => "ne",
        Lt => "lt",
        Le => "le",
        Gt => "gt",
        Ge => "ge",
        Or => "bitwise_or",
        Xor => "bitwise_xor",
        And => "bitwise_and",
        Shl => "shift_left",
        Shr => "shift_right",
        Add => "add",
        Sub => "sub",
        Mul => "mul",
        Div => "div",
        FloorDiv => "floor_div",
        Mod => "mod",
        MatMul => "matmul",
        Pow => "pow",
    }
}

/// The op that a prefix operator stands for.
pub fn unary_op_name(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Neg => "neg",
        UnaryOp::Not => "bitwise_not",
    }
}

/// The parts of an expression, in order; what stands in its blocks is not among them.
pub(super) fn parts(expr: &Expr) -> Vec<ExprId> {
    match &expr.kind {
        ExprKind::Typed { value, .. } => vec![*value],
        ExprKind::List(values) => values.clone(),
        ExprKind::Unary(_, a) => vec![*a],
        ExprKind::Binary(_, a, b) => vec![*a, *b],
        ExprKind::Call { args, .. } => args.iter().map(|arg| arg.value).collect(),
        ExprKind::Index { base, items } => {
            let mut parts = vec![*base];
            for item in items {
                match item {
                    Item::At(at) => parts.push(*at),
                    Item::Slice { start, stop, step } => parts.extend([start, stop, step].into_iter().flatten()),
                    Item::Ellipsis | Item::NewAxis => {}
                }
            }
            parts
        }
        ExprKind::Scan(scan) => scan.sequences.iter().map(|(_, value)| *value).chain(scan.steps).collect(),
        ExprKind::If(choice) => vec![choice.cond],
        ExprKind::Custom(custom) => custom.inputs.iter().map(|(_, value)| *value).collect(),
        _ => Vec::new(),
    }
}

impl<'a> Lowerer<'a> {
    pub(super) fn eval(&mut self, root: ExprId, scope: &Scope<'a>) -> Result<Value<'a>> {
        let mut pending = vec![(root, false)];
        let mut values: Vec<Value<'a>> = Vec::new();
        while let Some((id, ready)) = pending.pop() {
            let expr = self.file.expr(id);
            let parts = parts(expr);
            if !ready && !parts.is_empty() {
                pending.push((id, true));
                pending.extend(parts.iter().rev().map(|&part| (part, false)));
                continue;
            }
            let operands = values.split_off(values.len() - parts.len());
            values.push(self.node(expr, &parts, operands, scope)?);
        }
        values.pop().ok_or_else(|| self.error(self.file.expr(root).span, "no value"))
    }

    fn node(
        &mut self, expr: &'a Expr, parts: &[ExprId], mut operands: Vec<Value<'a>>, scope: &Scope<'a>,
    ) -> Result<Value<'a>> {
        let span = expr.span;
        let part_span = |i: usize| self.file.expr(parts[i]).span;
        Ok(match &expr.kind {
            ExprKind::Int(v) => Value::Literal(Literal::Int(i128::from(*v))),
            ExprKind::Float(v) => Value::Literal(Literal::Float(*v)),
            ExprKind::Bool(v) => Value::Literal(Literal::Bool(*v)),
            ExprKind::Str(text) => Value::Str(text),
            ExprKind::None => Value::None,
            ExprKind::Dtype(name) => Value::DType(self.dtype(*name)?),
            ExprKind::Name(name) => self.name(*name, scope)?,
            ExprKind::List(_) => Value::List(operands),
            ExprKind::Typed { dtype, .. } => {
                let dtype = self.dtype(*dtype)?;
                let Some(value) = operands.pop().filter(|v| !matches!(v, Value::Vars(_) | Value::Indexed { .. }))
                else {
                    let error = self.error(span, format!("`{dtype}(...)` holds a literal"));
                    return Err(error.note(format!("`cast(x, {dtype})` converts a value")));
                };
                let value = self.literal_tensor(&value, Some(dtype), span)?;
                Value::Vars(vec![Var::constant_at(Constant { value, weak: false }, self.location(span))])
            }
            ExprKind::Unary(op, _) => {
                let operand = operands.pop().ok_or_else(|| self.error(span, "no operand"))?;
                if let (UnaryOp::Neg, Value::Literal(literal)) = (op, &operand)
                    && let Some(negated) = literal.negated()
                {
                    return Ok(Value::Literal(negated));
                }
                let operand = self.var(operand, part_span(0))?;
                Value::Vars(self.apply(unary_op_name(*op), &[operand], Attributes::new(), span)?)
            }
            ExprKind::Binary(op, ..) => {
                let spans = [part_span(0), part_span(1)];
                let vars = operands.into_iter().zip(spans).map(|(v, s)| self.var(v, s)).collect::<Result<Vec<_>>>()?;
                Value::Vars(self.apply(binary_op_name(*op), &vars, Attributes::new(), span)?)
            }
            ExprKind::Index { items, .. } => self.index(items, parts, operands)?,
            ExprKind::Call { plugin, name, args } => {
                let args = args
                    .iter()
                    .zip(operands)
                    .map(|(arg, value)| (arg.name.map(|n| self.file.name(n)), value, self.file.expr(arg.value).span))
                    .collect();
                self.call(*plugin, *name, args, span)?
            }
            ExprKind::Imaginary(_) => return Err(self.unsupported(span, "complex numbers are not supported yet")),
            ExprKind::AttrVar(_) => return Err(self.error(span, "`$` variables stand only in rules")),
            ExprKind::Scan(scan) => self.scan(expr, scan, parts, operands, scope)?,
            ExprKind::If(choice) => {
                let condition = operands.pop().ok_or_else(|| self.error(span, "no condition"))?;
                self.blocks += 1;
                let value = self.choice(expr, choice, condition, scope);
                self.blocks -= 1;
                value?
            }
            ExprKind::Inside(inside) => {
                self.blocks += 1;
                let value = self.inside(expr, inside, scope);
                self.blocks -= 1;
                value?
            }
            ExprKind::Custom(custom) => {
                self.blocks += 1;
                let value = self.custom(expr, custom, parts, operands, scope);
                self.blocks -= 1;
                value?
            }
        })
    }

    fn name(&self, name: Name, scope: &Scope<'a>) -> Result<Value<'a>> {
        let text = self.file.name(name);
        if let Some(bound) = scope.names.get(text) {
            return Ok(bound.value.clone());
        }
        if let Some((var, axis)) = scope.dims.get(text) {
            let shape = self.apply("shape", std::slice::from_ref(var), Attributes::new(), name.span)?;
            let index = Attribute::Index(vec![IndexItem::At(*axis as i64)]);
            let mut attributes = Attributes::new();
            attributes.set("index", index);
            return Ok(Value::Vars(self.apply("index", &shape, attributes, name.span)?));
        }
        let error = self.error(name.span, format!("there is no value `{text}`"));
        let known = scope.names.keys().chain(scope.dims.keys()).chain(DTYPES).copied();
        Err(match nearest(text, known) {
            Some(near) => error.note(format!("did you mean `{near}`?")),
            None => error,
        })
    }

    fn index(&self, items: &[Item], parts: &[ExprId], values: Vec<Value<'a>>) -> Result<Value<'a>> {
        let mut values = values.into_iter().zip(parts.iter().map(|&part| self.file.expr(part).span));
        let mut next = || values.next().unwrap_or((Value::None, Span::default()));
        let (base, span) = next();
        let base = self.var(base, span)?;
        let mut operands = Vec::new();
        let mut operand = |value: Value<'a>, span: Span| -> Result<usize> {
            let var = match value {
                Value::List(ref list) if value.literals().is_some() => {
                    let dtype = if list.is_empty() { Some(DType::I64) } else { None };
                    let value = self.literal_tensor(&value, dtype, span)?;
                    Var::constant_at(Constant { value, weak: false }, self.location(span))
                }
                other => self.var(other, span)?,
            };
            operands.push(var);
            Ok(operands.len() - 1)
        };
        let position = |v: i128, span: Span| i64::try_from(v).map_err(|_| self.error(span, "this index is too large"));
        let mut out = Vec::with_capacity(items.len());
        let whole = IndexItem::Slice { start: IndexBound::Open, stop: IndexBound::Open, step: 1 };
        let mut slices = Vec::new();
        for item in items {
            out.push(match item {
                Item::Ellipsis => IndexItem::Ellipsis,
                Item::NewAxis => IndexItem::NewAxis,
                Item::At(_) => match next() {
                    (Value::Literal(Literal::Int(v)), span) => IndexItem::At(position(v, span)?),
                    (Value::Literal(Literal::Float(_)), span) => return Err(self.error(span, "an index is a whole number")),
                    (value, span) => IndexItem::Operand(operand(value, span)?),
                },
                Item::Slice { start, stop, step } => {
                    let mut bound = |given: bool| {
                        Ok(match given.then(&mut next) {
                            None | Some((Value::None, _)) => IndexBound::Open,
                            Some((Value::Literal(Literal::Int(v)), span)) => IndexBound::At(position(v, span)?),
                            Some((Value::Literal(_), span)) => {
                                return Err(self.error(span, "a bound is a whole number"));
                            }
                            Some((value, span)) => IndexBound::Operand(operand(value, span)?),
                        })
                    };
                    let (start, stop) = (bound(start.is_some())?, bound(stop.is_some())?);
                    let step = match step.is_some().then(&mut next) {
                        None | Some((Value::None, _)) => 1,
                        Some((Value::Literal(Literal::Int(v)), span)) if v != 0 => position(v, span)?,
                        Some((Value::Literal(_), span)) => return Err(self.error(span, "a step is a whole number, not 0")),
                        Some((value, span)) => {
                            let step = self.var(value, span)?;
                            if step.ty()?.rank() != 0 || !step.ty()?.dtype.is_integer() {
                                return Err(self.error(span, format!("a step is a whole number, not {}", step.ty()?)));
                            }
                            slices.push((out.len(), start, stop, step, span));
                            1
                        }
                    };
                    let computed = slices.last().is_some_and(|(at, ..)| *at == out.len());
                    if computed { whole.clone() } else { IndexItem::Slice { start, stop, step } }
                }
            });
        }
        let (base, stepped) = self.stepped(base, &operands, &out, slices)?;
        Ok(Value::Indexed { base, operands, items: out, stepped })
    }
    /// Slices with a computed step, taken from what is indexed one after the other.
    fn stepped(
        &self, mut base: Var, operands: &[Var], items: &[IndexItem], slices: Vec<(usize, IndexBound, IndexBound, Var, Span)>,
    ) -> Result<(Var, Vec<Stepped>)> {
        let axes = |items: &[IndexItem]| -> Result<usize> {
            let of = |item: &IndexItem| match item {
                IndexItem::Ellipsis | IndexItem::NewAxis => Ok(0),
                IndexItem::Operand(number) => operands[*number].ty().map(|ty| if ty.dtype == DType::Bool { ty.rank() } else { 1 }),
                _ => Ok(1),
            };
            items.iter().map(of).sum()
        };
        let mut taken = Vec::new();
        for (at, start, stop, step, span) in slices {
            let rank = base.ty()?.rank();
            let axis = match items[..at].contains(&IndexItem::Ellipsis) {
                true => rank.checked_sub(axes(&items[at..])?),
                false => Some(axes(&items[..at])?),
            };
            let Some(axis) = axis.filter(|&axis| axis < rank) else {
                return Err(self.error(span, format!("the index is for {} axes, but there are {rank}", axes(items)?)));
            };
            let bound = |bound: IndexBound| match bound {
                IndexBound::Open => None,
                IndexBound::At(value) => Some(Var::scalar(value)),
                IndexBound::Operand(number) => Some(operands[number].clone()),
            };
            let (start, stop) = (bound(start), bound(stop));
            let length = || base.shape().at(axis as i64);
            let positions = self.location(span).stand_in(|| stepped(&length(), start.as_ref(), stop.as_ref(), &step));
            let of = base.clone();
            base = self.apply("take", &[base, positions.clone()], Attributes::new().with("axis", axis as i64), span)?.swap_remove(0);
            taken.push(Stepped { of, axis, positions });
        }
        Ok((base, taken))
    }
}
