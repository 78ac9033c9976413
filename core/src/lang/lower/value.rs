//! What an expression is before it has to be one value of a graph: literals stay literals, so that
//! they can be attributes, and lists stay lists.

use super::Lowerer;
use crate::error::Result;
use crate::graph::{Constant, Var};
use crate::lang::source::Span;
use crate::ops::{Attributes, IndexItem};
use crate::tensor::{DType, Tensor};

/// The value of an expression.
#[derive(Clone)]
pub(super) enum Value<'a> {
    Literal(Literal),
    Str(&'a str),
    None,
    DType(DType),
    List(Vec<Value<'a>>),
    /// Results of a call; usually one.
    Vars(Vec<Var>),
    /// `x[...]`, before it is known whether it is read or updated.
    Indexed { base: Var, operands: Vec<Var>, items: Vec<IndexItem>, stepped: Vec<Stepped> },
}

/// A slice whose step is not a literal: it is taken before what is indexed, and put back after what is updated.
#[derive(Clone)]
pub(super) struct Stepped {
    /// What it is taken from.
    pub of: Var,
    pub axis: usize,
    pub positions: Var,
}

/// A number or truth value that stands in the text.
#[derive(Clone, Copy)]
pub(super) enum Literal {
    Bool(bool),
    Int(i128),
    Float(f64),
}

impl Literal {
    pub fn negated(self) -> Option<Literal> {
        match self {
            Literal::Bool(_) => None,
            Literal::Int(v) => Some(Literal::Int(-v)),
            Literal::Float(v) => Some(Literal::Float(-v)),
        }
    }
}

impl Value<'_> {
    fn collect(&self, shape: &mut Vec<usize>, depth: usize, out: &mut Vec<Literal>) -> bool {
        match self {
            Value::Literal(literal) => {
                out.push(*literal);
                depth == shape.len()
            }
            Value::List(values) => {
                if depth == shape.len() && out.is_empty() {
                    shape.push(values.len());
                }
                shape.get(depth) == Some(&values.len())
                    && values.iter().all(|value| value.collect(shape, depth + 1, out))
            }
            _ => false,
        }
    }

    /// The literals of a rectangular nested list, or of one literal, with its shape.
    pub fn literals(&self) -> Option<(Vec<Literal>, Vec<usize>)> {
        let (mut shape, mut out) = (Vec::new(), Vec::new());
        self.collect(&mut shape, 0, &mut out).then_some((out, shape))
    }

    fn has_vars(&self) -> bool {
        match self {
            Value::List(values) => values.iter().any(Value::has_vars),
            Value::Vars(_) | Value::Indexed { .. } => true,
            _ => false,
        }
    }
}

impl<'a> Lowerer<'a> {
    /// The one value that an expression is.
    pub(super) fn var(&self, value: Value<'a>, span: Span) -> Result<Var> {
        let vars = self.vars(value, span)?;
        match <[Var; 1]>::try_from(vars) {
            Ok([var]) => Ok(var),
            Err(vars) => {
                let error = self.error(span, format!("expected one value, found {} results", vars.len()));
                Err(error.note("unpack them first: `a, b = ...`"))
            }
        }
    }

    /// All values that an expression gives.
    pub(super) fn vars(&self, value: Value<'a>, span: Span) -> Result<Vec<Var>> {
        match value {
            Value::Vars(vars) => Ok(vars),
            Value::Literal(_) => Ok(vec![self.literal_var(&value, span)?]),
            Value::Indexed { base, operands, items, .. } => {
                let all: Vec<Var> = std::iter::once(base).chain(operands).collect();
                let mut attributes = Attributes::new();
                attributes.set("index", crate::ops::Attribute::Index(items));
                self.apply("index", &all, attributes, span)
            }
            Value::List(ref values) if value.has_vars() => {
                let parts =
                    values.iter().map(|value| self.var(value.clone(), span)).collect::<Result<Vec<_>>>()?;
                self.apply("stack", &parts, Attributes::new(), span)
            }
            Value::List(_) => Ok(vec![self.literal_var(&value, span)?]),
            Value::Str(_) => Err(self.error(span, "expected a value, found a string")),
            Value::None => Err(self.error(span, "expected a value, found `None`")),
            Value::DType(dtype) => Err(self.error(span, format!("expected a value, found the dtype `{dtype}`"))),
        }
    }

    fn literal_var(&self, value: &Value<'a>, span: Span) -> Result<Var> {
        let value = self.literal_tensor(value, None, span)?;
        Ok(Var::constant_at(Constant { value, weak: true }, self.location(span)))
    }

    /// A literal or nested list as a tensor; without a dtype, of the one that its numbers are
    /// computed in while nothing gives them another.
    pub(super) fn literal_tensor(&self, value: &Value<'a>, dtype: Option<DType>, span: Span) -> Result<Tensor> {
        let Some((literals, shape)) = value.literals() else {
            return Err(self.error(span, "expected a literal: numbers, or lists of them of equal lengths"));
        };
        let fits = |literal: &Literal| match (literal, dtype) {
            (Literal::Float(_), Some(dtype)) => dtype.is_float(),
            (Literal::Bool(_), Some(dtype)) => dtype == DType::Bool,
            (Literal::Int(_), Some(DType::Bool)) => false,
            (Literal::Int(v), Some(dtype)) if dtype.is_integer() => {
                let bits = 8 * dtype.size() as u32;
                let signed = dtype.kind() == crate::tensor::Kind::Signed;
                let (low, high) =
                    if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
                (low..=high).contains(v)
            }
            (Literal::Int(v), None) => i64::try_from(*v).is_ok(),
            _ => true,
        };
        if !literals.iter().all(fits) {
            let wanted = dtype.map_or("64 bits; write `u64(...)`".to_owned(), |d| format!("`{d}`"));
            return Err(self.error(span, format!("this does not fit into {wanted}")));
        }
        let float = literals.is_empty() || literals.iter().any(|l| matches!(l, Literal::Float(_)));
        let bool = !float && literals.iter().all(|l| matches!(l, Literal::Bool(_)));
        let natural = if float { DType::F64 } else if bool { DType::Bool } else { DType::I64 };
        let dtype = dtype.unwrap_or(natural);
        let tensor = if dtype.is_float() {
            let number = |l: &Literal| match l {
                Literal::Bool(v) => f64::from(u8::from(*v)),
                Literal::Int(v) => *v as f64,
                Literal::Float(v) => *v,
            };
            Tensor::from_vec(literals.iter().map(number).collect(), &shape)?.cast(dtype)
        } else {
            let whole = |l: &Literal| match l {
                Literal::Bool(v) => i128::from(*v),
                Literal::Int(v) => *v,
                Literal::Float(_) => 0,
            };
            // Wrapping through u64 keeps the bits of a large u64; the cast to the same width follows.
            let bits: Vec<u64> = literals.iter().map(|l| whole(l) as u64).collect();
            if dtype == DType::U64 {
                Tensor::from_vec(bits, &shape)?
            } else {
                Tensor::from_vec(bits.into_iter().map(|b| b as i64).collect(), &shape)?.cast(dtype)
            }
        };
        Ok(tensor)
    }

    /// A vector of sizes from one expression: a list, or a vector value.
    pub(super) fn sizes(&self, value: Value<'a>, span: Span) -> Result<Var> {
        match value {
            Value::List(values) => self.sizes_of(values, span),
            Value::Literal(_) => self.sizes_of(vec![value], span),
            other => {
                let var = self.var(other, span)?;
                if var.ty()?.rank() == 0 { self.sizes_of(vec![Value::Vars(vec![var])], span) } else { Ok(var) }
            }
        }
    }

    /// A vector of sizes from the sizes one by one.
    pub(super) fn sizes_of(&self, values: Vec<Value<'a>>, span: Span) -> Result<Var> {
        let firm = |value: Tensor| Var::constant_at(Constant { value, weak: false }, self.location(span));
        let all = Value::List(values);
        if !all.has_vars() {
            let tensor = self.literal_tensor(&all, Some(DType::I64), span)?;
            if tensor.rank() != 1 {
                return Err(self.error(span, "expected sizes, like `[2, -1]`"));
            }
            return Ok(firm(tensor));
        }
        let Value::List(values) = all else { return Err(self.error(span, "expected sizes")) };
        let mut parts = Vec::new();
        for value in values {
            parts.push(match value {
                Value::Literal(_) => firm(self.literal_tensor(&value, Some(DType::I64), span)?),
                other => self.var(other, span)?,
            });
        }
        self.apply("stack", &parts, Attributes::new(), span)?
            .pop()
            .ok_or_else(|| self.error(span, "`stack` gives no result"))
    }
}
