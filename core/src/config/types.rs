//! The Rust types of options, and how each is written as a value.

use super::device::DeviceName;
use super::error::{ConfigError, ConfigErrorKind, nearest};
use super::value::{Kind, Value};
use crate::tensor::DType;
use std::path::PathBuf;

/// A Rust type that options have, and how it is written as a [`Value`].
pub(super) trait OptionType: Sized {
    type Ref<'a>
    where
        Self: 'a;
    fn kind() -> Kind;
    fn from_value(value: &Value) -> Option<Self>;
    fn to_value(&self) -> Option<Value>;
    fn get(&self) -> Self::Ref<'_>;
}

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word for it in a config.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ConfigError;
            fn from_str(text: &str) -> Result<$name, ConfigError> {
                $name::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    let words = $name::ALL.iter().map(|value| value.as_str());
                    ConfigError::new(ConfigErrorKind::InvalidValue, format!("{text:?} is not a valid word here"))
                        .expected(<$name as OptionType>::kind().describe())
                        .suggest(nearest(text, words).map(str::to_owned))
                })
            }
        }

        impl OptionType for $name {
            type Ref<'a> = $name;
            fn kind() -> Kind {
                Kind::OneOf($name::ALL.iter().map(|value| value.to_string()).collect())
            }
            fn from_value(value: &Value) -> Option<$name> {
                value.as_text()?.parse().ok()
            }
            fn to_value(&self) -> Option<Value> {
                Some(Value::from(self.as_str()))
            }
            fn get(&self) -> $name {
                *self
            }
        }
    )+};
}

words! {
    /// The dtype of numbers that nothing else gives one.
    Float {
        /// 32 bits.
        F32 = "f32",
        /// 64 bits.
        F64 = "f64",
    }
    /// What compiling aims at.
    Mode {
        /// Fast results, whatever compiling takes.
        FastRun = "fast-run",
        /// Compile fast.
        FastCompile = "fast-compile",
        /// Check every step.
        Debug = "debug",
        /// Stop at the first NaN or infinity.
        NanGuard = "nan-guard",
        /// Measure every step.
        Profile = "profile",
    }
    /// What the mode `nan-guard` does about what it finds.
    GuardAction {
        /// Stop the call.
        Error = "error",
        /// Write it to the log.
        Warn = "warn",
    }
    /// What the mode `debug` checks.
    DebugCheck {
        /// Each node against the reference backend.
        Reference = "reference",
        /// The rewritten graph against the graph without rewrites.
        Rewrites = "rewrites",
        /// Each result that may overwrite an operand against one that does not, and that nothing else is
        /// overwritten.
        InPlace = "in-place",
        /// Operands with gaps, in another order, and off the addresses that vectors like.
        Strides = "strides",
        /// The same operands again.
        Purity = "purity",
    }
    /// How much is rewritten.
    Level {
        /// Nothing.
        None = "none",
        /// What keeps digits, and what that takes.
        FastCompile = "fast-compile",
        /// Everything.
        FastRun = "fast-run",
    }
    /// Which laws rewrites may use.
    Algebra {
        /// Those of floating-point numbers.
        Ieee = "ieee",
        /// Also those that only real numbers obey.
        Real = "real",
    }
}

impl OptionType for u32 {
    type Ref<'a> = u32;
    fn kind() -> Kind {
        Kind::Int { min: 0, max: u32::MAX.into() }
    }
    fn from_value(value: &Value) -> Option<u32> {
        value.as_int()?.try_into().ok()
    }
    fn to_value(&self) -> Option<Value> {
        Some(Value::from(*self))
    }
    fn get(&self) -> u32 {
        *self
    }
}

impl OptionType for bool {
    type Ref<'a> = bool;
    fn kind() -> Kind {
        Kind::Bool
    }
    fn from_value(value: &Value) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }
    fn to_value(&self) -> Option<Value> {
        Some(Value::from(*self))
    }
    fn get(&self) -> bool {
        *self
    }
}

impl OptionType for Option<f64> {
    type Ref<'a> = Option<f64>;
    fn kind() -> Kind {
        Kind::Float
    }
    fn from_value(value: &Value) -> Option<Option<f64>> {
        value.as_float().map(Some)
    }
    fn to_value(&self) -> Option<Value> {
        self.map(Value::from)
    }
    fn get(&self) -> Option<f64> {
        *self
    }
}

impl OptionType for DeviceName {
    type Ref<'a> = &'a DeviceName;
    fn kind() -> Kind {
        Kind::Device { auto: true }
    }
    fn from_value(value: &Value) -> Option<DeviceName> {
        value.as_text()?.parse().ok()
    }
    fn to_value(&self) -> Option<Value> {
        Some(Value::from(self.to_string()))
    }
    fn get(&self) -> &DeviceName {
        self
    }
}

/// Types that stand in lists; a list of devices may differ from a device in what it takes.
trait ItemType: Sized {
    fn item_kind() -> Kind;
    fn from_item(value: &Value) -> Option<Self>;
    fn to_item(&self) -> Value;
}

macro_rules! item_types {
    ($($ty:ty: $kind:expr, $item:ident => $to:expr;)+) => {$(
        impl ItemType for $ty {
            fn item_kind() -> Kind {
                $kind
            }
            fn from_item(value: &Value) -> Option<$ty> {
                value.as_text()?.parse().ok()
            }
            fn to_item(&self) -> Value {
                let $item = self;
                $to
            }
        }
    )+};
}

item_types! {
    String: Kind::Text, item => Value::from(item.as_str());
    PathBuf: Kind::Path, item => Value::from(item.as_path());
    DeviceName: Kind::Device { auto: false }, item => Value::from(item.to_string());
    DebugCheck: <DebugCheck as OptionType>::kind(), item => Value::from(item.as_str());
}

impl<T: ItemType + 'static> OptionType for Vec<T> {
    type Ref<'a> = &'a [T];
    fn kind() -> Kind {
        Kind::list(T::item_kind())
    }
    fn from_value(value: &Value) -> Option<Vec<T>> {
        value.as_list()?.iter().map(T::from_item).collect()
    }
    fn to_value(&self) -> Option<Value> {
        Some(Value::List(self.iter().map(T::to_item).collect()))
    }
    fn get(&self) -> &[T] {
        self
    }
}

impl<T: ItemType + 'static> OptionType for Option<Vec<T>> {
    type Ref<'a> = Option<&'a [T]>;
    fn kind() -> Kind {
        <Vec<T> as OptionType>::kind()
    }
    fn from_value(value: &Value) -> Option<Option<Vec<T>>> {
        OptionType::from_value(value).map(Some)
    }
    fn to_value(&self) -> Option<Value> {
        self.as_ref()?.to_value()
    }
    fn get(&self) -> Option<&[T]> {
        self.as_deref()
    }
}

impl Float {
    /// The element type that it names.
    ///
    /// ```
    /// use arignote_core::{config::Float, tensor::DType};
    /// assert_eq!(Float::F32.dtype(), DType::F32);
    /// ```
    pub fn dtype(self) -> DType {
        match self {
            Float::F32 => DType::F32,
            Float::F64 => DType::F64,
        }
    }
}
