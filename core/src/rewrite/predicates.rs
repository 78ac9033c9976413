//! The conditions that a rule may name after `where`.

use super::facts::{self, Fact};
use super::matcher::Bindings;
use super::shapes;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::graph::{Graph, ValueId};
use crate::ops::{Attribute, normalize_axis};
use crate::tensor::{DType, Kind, Type};

/// An argument of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Argument {
    /// The variable with this number.
    Value(usize),
    /// The attribute variable with this number.
    Attribute(usize),
    /// A number.
    Number(f64),
    /// A dtype.
    DType(DType),
}

/// What an argument of a condition must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ArgumentKind {
    Value,
    Attribute,
    Number,
    DType,
}

impl Argument {
    /// What it is.
    pub fn kind(&self) -> ArgumentKind {
        match self {
            Argument::Value(_) => ArgumentKind::Value,
            Argument::Attribute(_) => ArgumentKind::Attribute,
            Argument::Number(_) => ArgumentKind::Number,
            Argument::DType(_) => ArgumentKind::DType,
        }
    }
}

/// A match that a condition is asked about.
pub struct Context<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// What the variables stand for.
    pub bindings: &'a Bindings,
    /// The condition's arguments.
    pub arguments: &'a [Argument],
}

impl<'a> Context<'a> {
    fn value(&self, at: usize) -> Option<ValueId> {
        match self.arguments.get(at)? {
            Argument::Value(number) => self.bindings.values.get(*number).copied().flatten(),
            _ => None,
        }
    }

    fn ty(&self, at: usize) -> Option<&'a Type> {
        Some(self.graph.ty(self.value(at)?))
    }

    fn attribute(&self, at: usize) -> Option<&'a Attribute> {
        match self.arguments.get(at)? {
            Argument::Attribute(number) => self.bindings.attributes.get(*number)?.as_ref(),
            _ => None,
        }
    }

    fn number(&self, at: usize) -> Option<f64> {
        match self.arguments.get(at)? {
            Argument::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn dtype(&self, at: usize) -> Option<DType> {
        match self.arguments.get(at)? {
            Argument::DType(dtype) => Some(*dtype),
            _ => None,
        }
    }

    fn fact(&self, fact: Fact) -> Option<bool> {
        facts::holds(self.graph, self.value(0)?, fact)
    }

    /// Whether the arguments 1 and 2 are scalar constants that the dtype of argument 0, `f32` or `f64`, holds exactly,
    /// as it does the result of an operation on them.
    fn exact(&self, operation: fn(f64, f64) -> f64, is_exact: fn(f64, f64, f64) -> bool) -> Option<bool> {
        let ty = self.ty(0)?;
        if !matches!(ty.dtype, DType::F32 | DType::F64) || ty.weak {
            return Some(false);
        }
        let number = |at: usize| {
            let constant = self.graph.node(self.value(at)?.node).constant()?;
            let item = constant.value.item().filter(|_| constant.value.rank() == 0)?;
            let held = constant.value.cast(ty.dtype).item()?;
            (held == item && item.is_finite() && (constant.weak || constant.value.dtype() == ty.dtype)).then_some(item)
        };
        let (a, b) = (number(1)?, number(2)?);
        let result = operation(a, b);
        let held = ty.dtype == DType::F64 || f64::from(result as f32) == result;
        Some(result.is_normal() && held && is_exact(a, b, result))
    }

    /// Whether every element of the constant `at` satisfies a test; false for what is no constant.
    fn constant(&self, at: usize, test: impl Fn(f64) -> bool) -> Option<bool> {
        let value = self.value(at)?;
        let constant = self.graph.node(value.node).constant()?;
        const LARGEST: usize = 4096;
        Some(constant.value.len() <= LARGEST && constant.value.to_f64_vec().into_iter().all(test))
    }
}

/// A named condition.
pub struct Predicate {
    /// The name in rules.
    pub name: &'static str,
    /// What it takes.
    pub parameters: &'static [ArgumentKind],
    /// One line of documentation.
    pub doc: &'static str,
    test: fn(&Context<'_>) -> Option<bool>,
}

impl std::fmt::Debug for Predicate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Predicate {
    /// Whether it holds.
    pub fn holds(&self, context: &Context<'_>) -> bool {
        (self.test)(context).unwrap_or(false)
    }

    /// How it is written: `rank_is(x, 1)`.
    pub fn signature(&self) -> String {
        let example = |kind: &ArgumentKind| match kind {
            ArgumentKind::Value => "x",
            ArgumentKind::Attribute => "$a",
            ArgumentKind::Number => "1",
            ArgumentKind::DType => "f32",
        };
        let arguments: Vec<&str> = self.parameters.iter().map(example).collect();
        format!("{}({})", self.name, arguments.join(", "))
    }
}

/// The condition of this name.
///
/// # Errors
/// If there is none; the error names the nearest.
pub fn find(name: &str) -> Result<&'static Predicate> {
    PREDICATES.iter().find(|predicate| predicate.name == name).ok_or_else(|| {
        let error = Error::new(ErrorKind::Syntax, format!("there is no condition `{name}`"));
        match nearest(name, PREDICATES.iter().map(|predicate| predicate.name)) {
            Some(near) => error.note(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

macro_rules! predicates {
    ($($name:ident ($($kind:ident),*) $doc:literal = $test:expr;)*) => {
        /// All conditions.
        pub static PREDICATES: &[Predicate] = &[$(Predicate {
            name: stringify!($name),
            parameters: &[$(ArgumentKind::$kind),*],
            doc: $doc,
            test: $test,
        }),*];
    };
}

predicates! {
    is_float(Value) "The dtype is a floating-point one." = |c| Some(c.ty(0)?.dtype.is_float());
    is_integer(Value) "The dtype is an integer one." = |c| Some(c.ty(0)?.dtype.is_integer());
    is_bool(Value) "The dtype is bool." = |c| Some(c.ty(0)?.dtype == DType::Bool);
    is_signed(Value) "The dtype has negative values." = |c| {
        Some(matches!(c.ty(0)?.dtype.kind(), Kind::Signed | Kind::Float))
    };
    has_dtype(Value, DType) "The dtype is this one." = |c| Some(c.dtype(1)? == c.ty(0)?.dtype && !c.ty(0)?.weak);
    is_dtype_of(Attribute, Value) "The attribute names the value's dtype." = |c| {
        Some(*c.attribute(0)? == Attribute::DType(c.ty(1)?.dtype) && !c.ty(1)?.weak)
    };
    is_constant(Value) "It is a constant." = |c| c.constant(0, |_| true);
    not_constant(Value) "It is no constant." = |c| Some(c.graph.node(c.value(0)?.node).constant().is_none());
    is_positive_constant(Value) "A constant whose elements are all above 0 and finite." = |c| {
        c.constant(0, |v| v > 0.0 && v.is_finite())
    };
    is_negative_constant(Value) "A constant whose elements are all below 0." = |c| c.constant(0, |v| v < 0.0);
    is_nonzero_constant(Value) "A constant of finite elements other than 0." = |c| {
        c.constant(0, |v| v != 0.0 && v.is_finite())
    };
    is_odd_constant(Value) "A constant of odd whole numbers above 0." = |c| {
        c.constant(0, |v| v > 0.0 && v % 2.0 == 1.0)
    };
    is_even_constant(Value) "A constant of even whole numbers above 0." = |c| {
        c.constant(0, |v| v > 0.0 && v % 2.0 == 0.0)
    };
    is_fractional_constant(Value) "A constant of finite numbers none of which is whole." = |c| {
        c.constant(0, |v| v.is_finite() && v.fract() != 0.0)
    };
    is_finite_constant(Value) "A constant of finite elements." = |c| c.constant(0, f64::is_finite);
    is_power_of_two_constant(Value) "A constant of powers of two whose inverse is exact in f32." = |c| {
        c.constant(0, |v| v.abs() >= 2f64.powi(-120) && v.abs() <= 2f64.powi(120)
            && v.to_bits().trailing_zeros() >= 52)
    };
    is_nonnegative(Value) "Known never to be below 0, NaN aside." = |c| c.fact(Fact::NonNegative);
    is_positive(Value) "Known to be above 0, NaN aside." = |c| c.fact(Fact::Positive);
    is_nonzero(Value) "Known not to be 0." = |c| c.fact(Fact::NonZero);
    is_whole(Value) "Known to have whole numbers only, NaN and infinities aside." = |c| c.fact(Fact::Whole);
    is_sorted(Value) "Known to rise along the last axis." = |c| c.fact(Fact::Sorted);
    is_symmetric(Value) "A matrix known to be its own transpose." = |c| c.fact(Fact::Symmetric);
    exact_sum(Value, Value, Value) "The last two are scalar constants whose sum is exact in the dtype of the first." = |c| {
        c.exact(|a, b| a + b, |a, b, sum| sum - a == b && sum - b == a)
    };
    exact_product(Value, Value, Value) "The last two are scalar constants whose product is exact in the dtype of the first." = |c| {
        c.exact(|a, b| a * b, |a, b, product| a.mul_add(b, -product) == 0.0)
    };
    exact_quotient(Value, Value, Value) "The last two are scalar constants whose quotient is exact in the dtype of the first." = |c| {
        c.exact(|a, b| a / b, |a, b, quotient| quotient.mul_add(b, -a) == 0.0)
    };
    exact_difference(Value, Value, Value) "The last two are scalar constants whose difference is exact in the dtype of the first." = |c| {
        c.exact(|a, b| a - b, |a, b, difference| a - difference == b && difference + b == a)
    };
    same_shape(Value, Value) "Both have certainly the same shape." = |c| {
        Some(shapes::same_shape(c.graph, c.value(0)?, c.value(1)?))
    };
    same_dtype(Value, Value) "Both have the same dtype." = |c| {
        Some(c.ty(0)?.dtype == c.ty(1)?.dtype && c.ty(0)?.weak == c.ty(1)?.weak)
    };
    is_scalar(Value) "It has no axes." = |c| Some(c.ty(0)?.rank() == 0);
    rank_is(Value, Number) "It has this many axes." = |c| Some(c.ty(0)?.rank() as f64 == c.number(1)?);
    single_use(Value) "Nothing else uses it." = |c| {
        let value = c.value(0)?;
        Some(c.graph.users(value.node).len() == 1 && !c.graph.outputs().contains(&value))
    };
    axis_is_last(Attribute, Value) "The attribute names the last axis only." = |c| {
        Some(single_axis(c.attribute(0)?, c.ty(1)?.rank())? + 1 == c.ty(1)?.rank())
    };
    single_axis(Attribute) "The attribute names one axis." = |c| Some(match c.attribute(0)? {
        Attribute::Int(_) => true,
        Attribute::List(items) => items.len() == 1,
        _ => false,
    });
    is_none(Attribute) "The attribute is none." = |c| Some(*c.attribute(0)? == Attribute::None);
    is_true(Attribute) "The attribute is true." = |c| Some(*c.attribute(0)? == Attribute::Bool(true));
    keepdims(Attribute) "The attribute is true: reduced axes stay, of length 1." = |c| {
        Some(*c.attribute(0)? == Attribute::Bool(true))
    };
    equal(Attribute, Attribute) "Both attributes are equal." = |c| Some(c.attribute(0)? == c.attribute(1)?);
    inverse_permutation(Attribute, Attribute, Value) "The second permutation undoes the first, for the value's rank." = |c| {
        let rank = c.ty(2)?.rank();
        let (first, second) = (permutation(c.attribute(0)?, rank)?, permutation(c.attribute(1)?, rank)?);
        Some(second.iter().enumerate().all(|(at, &axis)| first[axis] == at))
    };
    identity_permutation(Attribute, Value) "The permutation changes nothing, for the value's rank." = |c| {
        Some(permutation(c.attribute(0)?, c.ty(1)?.rank())?.into_iter().enumerate().all(|(at, axis)| at == axis))
    };
    lossless_cast(Value, Attribute) "Every value has an exact counterpart in the dtype." = |c| {
        let Attribute::DType(target) = c.attribute(1)? else { return Some(false) };
        Some(lossless(c.ty(0)?.dtype, *target))
    };
}

/// The one axis that an attribute names, counted from 0.
pub(super) fn single_axis(attribute: &Attribute, rank: usize) -> Option<usize> {
    let axis = match attribute {
        Attribute::Int(axis) => *axis,
        Attribute::List(items) => match items.as_slice() {
            [Attribute::Int(axis)] => *axis,
            _ => return None,
        },
        _ => return None,
    };
    normalize_axis(axis, rank).ok()
}

fn permutation(attribute: &Attribute, rank: usize) -> Option<Vec<usize>> {
    match attribute {
        Attribute::None => Some((0..rank).rev().collect()),
        Attribute::List(items) if items.len() == rank => items
            .iter()
            .map(|item| match item {
                Attribute::Int(axis) => normalize_axis(*axis, rank).ok(),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn lossless(source: DType, target: DType) -> bool {
    let digits = |dtype: DType| match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::F32 => 24,
        _ => 53,
    };
    match (source.kind(), target.kind()) {
        _ if source == target => true,
        (Kind::Bool, kind) => kind != Kind::Bool,
        (Kind::Unsigned, Kind::Unsigned) | (Kind::Signed, Kind::Signed) => source.size() <= target.size(),
        (Kind::Unsigned, Kind::Signed) => source.size() < target.size(),
        (Kind::Unsigned | Kind::Signed, Kind::Float) => source.size() * 8 <= digits(target),
        (Kind::Float, Kind::Float) => {
            digits(source) <= digits(target) && !(source == DType::BF16 && target == DType::F16)
        }
        _ => false,
    }
}

