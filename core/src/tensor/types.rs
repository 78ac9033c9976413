//! Symbolic types: a dtype and dims that are known, named or unknown; NumPy's broadcasting on them.

use std::fmt;
use std::sync::Arc;

use super::DType;
use crate::error::{Error, ErrorKind, Result};

/// A concrete shape: the length of each axis.
pub type Shape = smallvec::SmallVec<[usize; 4]>;

/// The most axes that a tensor has, as in NumPy.
pub const MAX_RANK: usize = 64;

/// Dims of which nothing but their number is known.
///
/// # Errors
/// If there are more than [`MAX_RANK`].
pub fn unknown_dims(rank: usize) -> Result<Vec<Dim>> {
    check_rank(rank)?;
    Ok(vec![Dim::Unknown; rank])
}

/// # Errors
/// If a tensor does not have that many axes.
pub fn check_rank(rank: usize) -> Result<()> {
    if rank <= MAX_RANK {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Type, format!("{rank} axes are too many: a tensor has at most {MAX_RANK}")))
}

/// One dim of a symbolic type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A length known before any call.
    Known(usize),
    /// A length that has a name; equal names are equal lengths in a call.
    Named(Arc<str>),
    /// Any length, printed as `?`.
    Unknown,
}

impl Dim {
    /// The length, where it is known.
    pub fn known(&self) -> Option<usize> {
        match self {
            Dim::Known(length) => Some(*length),
            _ => None,
        }
    }

    /// Whether the two are certainly the same length: equal and not [`Dim::Unknown`].
    pub fn same(&self, other: &Dim) -> bool {
        self == other && *self != Dim::Unknown
    }

    /// Whether some call could give both the same length.
    pub fn compatible(&self, other: &Dim) -> bool {
        match (self, other) {
            (Dim::Known(a), Dim::Known(b)) => a == b,
            _ => true,
        }
    }
}

impl From<usize> for Dim {
    fn from(length: usize) -> Dim {
        Dim::Known(length)
    }
}

impl From<&str> for Dim {
    /// `"?"` is unknown, digits are a length, anything else is a name.
    fn from(text: &str) -> Dim {
        match text {
            "?" => Dim::Unknown,
            _ => text.parse().map_or_else(|_| Dim::Named(text.into()), Dim::Known),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(length) => write!(f, "{length}"),
            Dim::Named(name) => f.write_str(name),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

/// A tensor's symbolic type, written `f32[n, 64]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// The element type.
    pub dtype: DType,
    /// Whether the dtype gives way to that of another operand: numbers written without a dtype.
    pub weak: bool,
    /// The dims, one per axis.
    pub dims: Vec<Dim>,
}

impl Type {
    /// A type with a firm dtype.
    ///
    /// ```
    /// use arignote_core::tensor::{DType, Type};
    /// assert_eq!(Type::new(DType::F32, ["n".into(), 64.into()]).to_string(), "f32[n, 64]");
    /// ```
    pub fn new(dtype: DType, dims: impl IntoIterator<Item = Dim>) -> Type {
        Type { dtype, weak: false, dims: dims.into_iter().collect() }
    }

    /// The type of a tensor whose shape is known.
    pub fn of_shape(dtype: DType, shape: &[usize]) -> Type {
        Type::new(dtype, shape.iter().map(|&length| Dim::Known(length)))
    }

    /// A type of no axes.
    pub fn scalar(dtype: DType) -> Type {
        Type::new(dtype, [])
    }

    /// The same type with a dtype that gives way, or not.
    pub fn with_weak(mut self, weak: bool) -> Type {
        self.weak = weak;
        self
    }

    /// The same dims with another, firm dtype.
    pub fn with_dtype(&self, dtype: DType) -> Type {
        Type { dtype, weak: false, dims: self.dims.clone() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The shape, if every dim is known.
    pub fn known_shape(&self) -> Option<Shape> {
        self.dims.iter().map(Dim::known).collect()
    }

    /// Whether both have certainly the same dims.
    pub fn same_dims(&self, other: &Type) -> bool {
        self.rank() == other.rank() && self.dims.iter().zip(&other.dims).all(|(a, b)| a.same(b))
    }

    /// Whether a tensor of this dtype and shape is a value of the type, names aside.
    pub fn admits(&self, dtype: DType, shape: &[usize]) -> bool {
        self.dtype == dtype
            && self.rank() == shape.len()
            && self.dims.iter().zip(shape).all(|(dim, &length)| dim.known().is_none_or(|d| d == length))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, dim) in self.dims.iter().enumerate() {
            write!(f, "{}{dim}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}

/// The dims of two operands broadcast together, as NumPy does, as far as they are known.
///
/// A known length other than 1 wins over an unknown or named one, which must then be 1 or equal to it
/// in the call; an unknown one with anything else stays unknown.
///
/// # Errors
/// Where two known lengths differ and neither is 1.
pub fn broadcast_dims(left: &[Dim], right: &[Dim]) -> Result<Vec<Dim>> {
    let rank = left.len().max(right.len());
    let pick = |dims: &[Dim], axis: usize| {
        (axis + dims.len()).checked_sub(rank).map_or(Dim::Known(1), |i| dims[i].clone())
    };
    (0..rank)
        .map(|axis| match (pick(left, axis), pick(right, axis)) {
            (Dim::Known(1), dim) | (dim, Dim::Known(1)) => Ok(dim),
            (Dim::Known(a), Dim::Known(b)) if a != b => {
                let message = format!("axis {axis} of the result: {a} against {b}");
                Err(Error::new(ErrorKind::Type, message))
            }
            (Dim::Known(a), _) | (_, Dim::Known(a)) => Ok(Dim::Known(a)),
            (Dim::Named(a), Dim::Named(b)) if a == b => Ok(Dim::Named(a)),
            _ => Ok(Dim::Unknown),
        })
        .collect()
}

/// Two concrete shapes broadcast together.
///
/// # Errors
/// Where two lengths differ and neither is 1.
pub fn broadcast_shapes(left: &[usize], right: &[usize]) -> Result<Shape> {
    let rank = left.len().max(right.len());
    let pick = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|axis| match (pick(left, axis), pick(right, axis)) {
            (1, length) | (length, 1) => Ok(length),
            (a, b) if a == b => Ok(a),
            (a, b) => {
                let message =
                    format!("shapes {left:?} and {right:?} do not broadcast: axis {axis} is {a} against {b}");
                Err(Error::new(ErrorKind::Runtime, message))
            }
        })
        .collect()
}
