//! Attributes: the literal arguments of an application.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Body;
use crate::tensor::DType;

/// The value of one attribute. Floats compare and hash by their bits.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Attribute {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    DType(DType),
    List(Vec<Attribute>),
    Index(Vec<IndexItem>),
    Body(Arc<Body>),
}

/// One item of an index expression `x[1:, i, ..., None]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IndexItem {
    /// `start:stop:step`; a missing step is 1. Steps are literal, bounds may be operands.
    Slice {
        /// Where to start.
        start: IndexBound,
        /// Where to stop, exclusive.
        stop: IndexBound,
        /// The step, not 0.
        step: i64,
    },
    /// A literal position, which removes the axis.
    At(i64),
    /// The operand with this number: an integer scalar (removes the axis), an integer array
    /// (advanced indexing) or a bool array (mask).
    Operand(usize),
    /// `...`
    Ellipsis,
    /// `None`, a new axis of length 1.
    NewAxis,
}

/// One end of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexBound {
    /// Left out.
    Open,
    /// A literal.
    At(i64),
    /// The operand with this number, an integer scalar.
    Operand(usize),
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        use Attribute::*;
        match (self, other) {
            (None, None) => true,
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) => a == b,
            (Float(a), Float(b)) => a.to_bits() == b.to_bits(),
            (Str(a), Str(b)) => a == b,
            (DType(a), DType(b)) => a == b,
            (List(a), List(b)) => a == b,
            (Index(a), Index(b)) => a == b,
            (Body(a), Body(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl Eq for Attribute {}

impl Hash for Attribute {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Attribute::None => {}
            Attribute::Bool(value) => value.hash(state),
            Attribute::Int(value) => value.hash(state),
            Attribute::Float(value) => value.to_bits().hash(state),
            Attribute::Str(value) => value.hash(state),
            Attribute::DType(value) => value.hash(state),
            Attribute::List(value) => value.hash(state),
            Attribute::Index(value) => value.hash(state),
            Attribute::Body(value) => value.hash(state),
        }
    }
}

impl fmt::Display for Attribute {
    /// As in the language. An index prints its items with operand numbers as `$0`; the printer of
    /// the language writes the real expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::None => f.write_str("none"),
            Attribute::Bool(value) => write!(f, "{value}"),
            Attribute::Int(value) => write!(f, "{value}"),
            Attribute::Float(value) if value.is_nan() => f.write_str("nan"),
            Attribute::Float(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "inf" } else { "-inf" })
            }
            Attribute::Float(value) => write!(f, "{value:?}"),
            Attribute::Str(value) => write!(f, "{value:?}"),
            Attribute::DType(value) => write!(f, "{value}"),
            Attribute::List(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Attribute::Index(items) => {
                for (i, item) in items.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    write_index_item(f, item)?;
                }
                Ok(())
            }
            Attribute::Body(body) => write!(f, "{body:?}"),
        }
    }
}

fn write_index_item(f: &mut fmt::Formatter<'_>, item: &IndexItem) -> fmt::Result {
    let bound = |bound: &IndexBound| match bound {
        IndexBound::Open => String::new(),
        IndexBound::At(value) => value.to_string(),
        IndexBound::Operand(operand) => format!("${operand}"),
    };
    match item {
        IndexItem::Slice { start, stop, step: 1 } => write!(f, "{}:{}", bound(start), bound(stop)),
        IndexItem::Slice { start, stop, step } => write!(f, "{}:{}:{step}", bound(start), bound(stop)),
        IndexItem::At(value) => write!(f, "{value}"),
        IndexItem::Operand(operand) => write!(f, "${operand}"),
        IndexItem::Ellipsis => f.write_str("..."),
        IndexItem::NewAxis => f.write_str("None"),
    }
}

impl From<Body> for Attribute {
    fn from(value: Body) -> Attribute {
        Attribute::Body(Arc::new(value))
    }
}
impl From<bool> for Attribute {
    fn from(value: bool) -> Attribute {
        Attribute::Bool(value)
    }
}
impl From<i64> for Attribute {
    fn from(value: i64) -> Attribute {
        Attribute::Int(value)
    }
}
impl From<f64> for Attribute {
    fn from(value: f64) -> Attribute {
        Attribute::Float(value)
    }
}
impl From<&str> for Attribute {
    fn from(value: &str) -> Attribute {
        Attribute::Str(value.to_owned())
    }
}
impl From<DType> for Attribute {
    fn from(value: DType) -> Attribute {
        Attribute::DType(value)
    }
}
impl From<Option<DType>> for Attribute {
    fn from(value: Option<DType>) -> Attribute {
        value.map_or(Attribute::None, Attribute::DType)
    }
}
impl From<&[i64]> for Attribute {
    fn from(values: &[i64]) -> Attribute {
        Attribute::List(values.iter().map(|&value| Attribute::Int(value)).collect())
    }
}
impl From<Vec<i64>> for Attribute {
    fn from(values: Vec<i64>) -> Attribute {
        values.as_slice().into()
    }
}

/// The attributes of an application by name, complete: defaults are filled in when it is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(BTreeMap<String, Attribute>);

impl Attributes {
    /// No attributes.
    pub fn new() -> Attributes {
        Attributes::default()
    }

    /// The same attributes with one more.
    pub fn with(mut self, name: &str, value: impl Into<Attribute>) -> Attributes {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets one attribute.
    pub fn set(&mut self, name: &str, value: impl Into<Attribute>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The value of an attribute.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.get(name)
    }

    /// All attributes in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A `bool` attribute.
    ///
    /// # Errors
    /// If it is missing or something else; the same holds for the other typed getters.
    pub fn bool(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            Some(Attribute::Bool(value)) => Ok(*value),
            other => Err(wrong(name, "true or false", other)),
        }
    }

    /// A whole number.
    #[allow(clippy::missing_errors_doc)]
    pub fn int(&self, name: &str) -> Result<i64> {
        match self.get(name) {
            Some(Attribute::Int(value)) => Ok(*value),
            other => Err(wrong(name, "a whole number", other)),
        }
    }

    /// A number.
    #[allow(clippy::missing_errors_doc)]
    pub fn float(&self, name: &str) -> Result<f64> {
        match self.get(name) {
            Some(Attribute::Float(value)) => Ok(*value),
            Some(Attribute::Int(value)) => Ok(*value as f64),
            other => Err(wrong(name, "a number", other)),
        }
    }

    /// A string.
    #[allow(clippy::missing_errors_doc)]
    pub fn str(&self, name: &str) -> Result<&str> {
        match self.get(name) {
            Some(Attribute::Str(value)) => Ok(value),
            other => Err(wrong(name, "a string", other)),
        }
    }

    /// A dtype, or `None` where it was left out.
    #[allow(clippy::missing_errors_doc)]
    pub fn dtype(&self, name: &str) -> Result<Option<DType>> {
        match self.get(name) {
            Some(Attribute::DType(value)) => Ok(Some(*value)),
            Some(Attribute::None) | None => Ok(None),
            other => Err(wrong(name, "a dtype", other)),
        }
    }

    /// One whole number or a list of them; `None` where it is `none`.
    #[allow(clippy::missing_errors_doc)]
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>> {
        match self.get(name) {
            Some(Attribute::None) | None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(vec![*value])),
            Some(Attribute::List(values)) => values
                .iter()
                .map(|value| match value {
                    Attribute::Int(value) => Ok(*value),
                    other => Err(wrong(name, "a list of whole numbers", Some(other))),
                })
                .collect::<Result<_>>()
                .map(Some),
            other => Err(wrong(name, "a whole number or a list of them", other)),
        }
    }

    /// The axes named by an attribute, counted from 0, sorted; `none` is all of them.
    ///
    /// # Errors
    /// If an axis is out of range or named twice.
    pub fn axes(&self, name: &str, rank: usize) -> Result<Vec<usize>> {
        let Some(axes) = self.ints(name)? else { return Ok((0..rank).collect()) };
        let mut axes = axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Result<Vec<_>>>()?;
        axes.sort_unstable();
        if axes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::new(ErrorKind::Type, format!("`{name}` names an axis twice: {axes:?}")));
        }
        Ok(axes)
    }

    /// One axis, counted from 0.
    ///
    /// # Errors
    /// If it is out of range.
    pub fn axis(&self, name: &str, rank: usize) -> Result<usize> {
        normalize_axis(self.int(name)?, rank)
    }

    /// A body.
    #[allow(clippy::missing_errors_doc)]
    pub fn body(&self, name: &str) -> Result<&Arc<Body>> {
        match self.get(name) {
            Some(Attribute::Body(body)) => Ok(body),
            other => Err(wrong(name, "a body", other)),
        }
    }

    /// All bodies, each with its name.
    pub fn bodies(&self) -> impl Iterator<Item = (&str, &Arc<Body>)> {
        self.iter().filter_map(|(name, value)| match value {
            Attribute::Body(body) => Some((name, body)),
            _ => None,
        })
    }

    /// The items of an index expression.
    #[allow(clippy::missing_errors_doc)]
    pub fn index(&self, name: &str) -> Result<&[IndexItem]> {
        match self.get(name) {
            Some(Attribute::Index(items)) => Ok(items),
            other => Err(wrong(name, "an index", other)),
        }
    }
}

/// An axis counted from the front; negative ones count from the back.
///
/// # Errors
/// If it is out of range.
pub fn normalize_axis(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    if (0..rank as i64).contains(&counted) {
        return Ok(counted as usize);
    }
    let message = format!("axis {axis} is out of range for {rank} axes");
    Err(Error::new(ErrorKind::Type, message))
}

fn wrong(name: &str, expected: &str, found: Option<&Attribute>) -> Error {
    let found = found.map_or("nothing".to_owned(), |value| format!("`{value}`"));
    Error::new(ErrorKind::Type, format!("attribute `{name}` must be {expected}, not {found}"))
}
