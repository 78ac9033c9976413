//! Element types and NumPy's promotion between them.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use crate::error::{Error, ErrorKind, nearest};

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum DType {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    BF16,
    F32,
    F64,
}

/// The family of an element type, in the order in which weak numbers rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
}

impl DType {
    /// Every element type.
    #[rustfmt::skip]
    pub const ALL: [DType; 13] = [
        DType::Bool, DType::I8, DType::I16, DType::I32, DType::I64, DType::U8, DType::U16,
        DType::U32, DType::U64, DType::F16, DType::BF16, DType::F32, DType::F64,
    ];

    /// The name in the language, such as `f32`.
    pub fn name(self) -> &'static str {
        ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "bf16", "f32", "f64"]
            [self as usize]
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        [1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8][self as usize]
    }

    /// The family.
    pub fn kind(self) -> Kind {
        match self {
            DType::Bool => Kind::Bool,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => Kind::Signed,
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => Kind::Unsigned,
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => Kind::Float,
        }
    }

    /// Whether this is a floating-point type.
    pub fn is_float(self) -> bool {
        self.kind() == Kind::Float
    }

    /// Whether this is a signed or unsigned integer type (not `bool`).
    pub fn is_integer(self) -> bool {
        matches!(self.kind(), Kind::Signed | Kind::Unsigned)
    }

    /// The dtype that NumPy gives an operation of the two: `i32` with `f32` is `f64`, `i8` with `u8`
    /// is `i16`, `u64` with any signed type is `f64`; `f16` with `bf16` is `f32`.
    pub fn promote(self, other: DType) -> DType {
        use DType::*;
        if self == other {
            return self;
        }
        let (low, high) = if self.kind() <= other.kind() { (self, other) } else { (other, self) };
        let wider = if low.size() > high.size() { low } else { high };
        match (low.kind(), high.kind()) {
            (Kind::Bool, _) => high,
            (Kind::Float, Kind::Float) if low.size() == high.size() => F32,
            (Kind::Unsigned, Kind::Signed) if low.size() < high.size() => high,
            (Kind::Unsigned, Kind::Signed) => match low.size() {
                1 => I16,
                2 => I32,
                4 => I64,
                _ => F64,
            },
            (Kind::Unsigned | Kind::Signed, Kind::Float) => match low.size() {
                1 => high,
                2 => F32.promote(high),
                _ => F64,
            },
            _ => wider,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<DType, Error> {
        DType::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| {
            let error = Error::new(ErrorKind::Syntax, format!("there is no dtype `{name}`"));
            match nearest(name, DType::ALL.iter().map(|dtype| dtype.name())) {
                Some(near) => error.note(format!("did you mean `{near}`?")),
                None => error.note("dtypes: bool, i8 to i64, u8 to u64, f16, bf16, f32, f64"),
            }
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that can be the element of a tensor.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The element type as a value.
    const DTYPE: DType;
    /// The value as `f64` (rounded where 64-bit integers are too large; `true` is 1).
    fn to_f64(self) -> f64;
    /// The value as `i64`, truncated toward zero and saturated (as Rust's `as`).
    fn to_i64(self) -> i64;
    /// A number, converted as NumPy's `astype` does (floats to integers truncate and saturate).
    fn from_f64(value: f64) -> Self;
    /// An integer, wrapped to the width of the type.
    fn from_i64(value: i64) -> Self;
}

/// Rounded to `f32` such that rounding once more, to fewer bits, gives what rounding `value` at once
/// would: an inexact result has an odd last bit. (`half` itself drops the low bits of an `f64`.)
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) == value || value.is_nan() || near.is_infinite() || near.to_bits() & 1 == 1 {
        return near;
    }
    // The neighbour on the other side of the value is odd, as neighbours alternate.
    f32::from_bits(if f64::from(near).abs() < value.abs() { near.to_bits() + 1 } else { near.to_bits() - 1 })
}

macro_rules! element {
    ($($T:ty, $dtype:ident, $value:ident => $to_f64:expr, $to_i64:expr, $from_f64:expr, $from_i64:expr);* $(;)?) => {$(
        impl sealed::Sealed for $T {}
        impl Element for $T {
            const DTYPE: DType = DType::$dtype;
            fn to_f64(self) -> f64 { let $value = self; $to_f64 }
            fn to_i64(self) -> i64 { let $value = self; $to_i64 }
            fn from_f64($value: f64) -> Self { $from_f64 }
            fn from_i64($value: i64) -> Self { $from_i64 }
        }
    )*};
}
macro_rules! primitive {
    ($($T:ty, $dtype:ident);*) => {
        element!($($T, $dtype, v => v as f64, v as i64, v as $T, v as $T);*);
    };
}
primitive!(i8, I8; i16, I16; i32, I32; i64, I64; u8, U8; u16, U16; u32, U32; u64, U64; f32, F32; f64, F64);
element!(
    f16, F16, v => f16::to_f64(v), f16::to_f64(v) as i64, f16::from_f32(to_odd(v)), f16::from_f32(to_odd(v as f64));
    bf16, BF16, v => bf16::to_f64(v), bf16::to_f64(v) as i64, bf16::from_f32(to_odd(v)), bf16::from_f32(to_odd(v as f64));
    bool, Bool, v => f64::from(u8::from(v)), i64::from(v), v != 0.0, v != 0;
);

#[cfg(test)]
mod tests {
    use super::DType::*;

    #[test]
    fn promotion_is_numpys() {
        for (a, b, expected) in [
            (I32, F32, F64),
            (I16, F32, F32),
            (I8, F16, F16),
            (U8, I8, I16),
            (U32, I32, I64),
            (U64, I64, F64),
            (U64, I8, F64),
            (U8, I64, I64),
            (U32, I64, I64),
            (Bool, F16, F16),
            (I64, F16, F64),
            (F16, BF16, F32),
            (U16, F16, F32),
            (U16, I32, I32),
            (I16, U16, I32),
            (F16, F32, F32),
        ] {
            assert_eq!(a.promote(b), expected, "{a} with {b}");
            assert_eq!(b.promote(a), expected, "{b} with {a}");
        }
    }
}
