//! What an option can hold, and the kinds that options are declared with.

use super::device::DeviceName;
use super::error::{Mismatch, nearest};
use super::source::{Node, Raw};
use crate::ops::Attribute;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The value of an option, whatever its kind.
///
/// Displayed as TOML writes it, so that what `arignote config` prints can be put into a file.
///
/// ```
/// use arignote_core::config::Value;
/// assert_eq!(Value::from(["cpu", "reference"]).to_string(), r#"["cpu", "reference"]"#);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or exponent.
    Float(f64),
    /// Text; names, paths and hashes are text too.
    Text(String),
    /// A list of values.
    List(Vec<Value>),
}

impl Value {
    /// The text of a [`Value::Text`].
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a [`Value::Int`].
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number of a [`Value::Float`], or of a [`Value::Int`] as a float.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            Value::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth value of a [`Value::Bool`].
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The items of a [`Value::List`].
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::Int(number) => write!(f, "{number}"),
            // TOML has no `NaN` and no `1e0` without care; its own writer knows the rules.
            Value::Float(number) => write!(f, "{}", toml_edit::Value::from(*number)),
            Value::Text(text) => write!(f, "{}", toml_edit::Value::from(text.as_str())),
            Value::List(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
        }
    }
}

macro_rules! value_from {
    ($($ty:ty, $value:ident => $make:expr;)+) => {
        $(impl From<$ty> for Value {
            fn from($value: $ty) -> Value {
                $make
            }
        })+
    };
}

value_from! {
    bool, value => Value::Bool(value);
    i64, value => Value::Int(value);
    i32, value => Value::Int(value.into());
    u32, value => Value::Int(value.into());
    f64, value => Value::Float(value);
    &str, value => Value::Text(value.to_owned());
    String, value => Value::Text(value);
    &Path, value => Value::Text(value.to_string_lossy().into_owned());
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }
}

impl From<Value> for Attribute {
    /// The form in which a backend gets its options.
    fn from(value: Value) -> Attribute {
        match value {
            Value::Bool(truth) => Attribute::Bool(truth),
            Value::Int(number) => Attribute::Int(number),
            Value::Float(number) => Attribute::Float(number),
            Value::Text(text) => Attribute::Str(text),
            Value::List(items) => Attribute::List(items.into_iter().map(Attribute::from).collect()),
        }
    }
}

impl Value {
    /// The value of an attribute, in which form a backend declares a default; `None` for attributes
    /// that no option holds.
    ///
    /// ```
    /// use arignote_core::{config::Value, ops::Attribute};
    /// assert_eq!(Value::from_attribute(&Attribute::Int(2)), Some(Value::Int(2)));
    /// ```
    pub fn from_attribute(attribute: &Attribute) -> Option<Value> {
        Some(match attribute {
            Attribute::Bool(truth) => Value::Bool(*truth),
            Attribute::Int(number) => Value::Int(*number),
            Attribute::Float(number) => Value::Float(*number),
            Attribute::Str(text) => Value::Text(text.clone()),
            Attribute::DType(dtype) => Value::from(dtype.name()),
            Attribute::List(items) => Value::List(items.iter().map(Value::from_attribute).collect::<Option<_>>()?),
            _ => return None,
        })
    }
}

/// What values an option takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both inclusive.
    Int {
        /// The smallest value that is accepted.
        min: i64,
        /// The largest value that is accepted.
        max: i64,
    },
    /// Any number.
    Float,
    /// Any text.
    Text,
    /// A file or folder; a relative one is relative to the file that names it, or to the working
    /// folder when no file does.
    Path,
    /// One of these words.
    OneOf(Vec<String>),
    /// A device, such as `cuda0`.
    Device {
        /// Whether `auto` is accepted too.
        auto: bool,
    },
    /// The SHA-256 of a file, as 64 hexadecimal digits.
    Sha256,
    /// A list of such values.
    List(Box<Kind>),
    /// Anything: the owner of the option says later what it takes.
    Any,
}

impl Kind {
    /// A list whose items are of the kind `item`.
    pub fn list(item: Kind) -> Kind {
        Kind::List(Box::new(item))
    }

    /// One of `words`.
    pub fn one_of(words: &[&str]) -> Kind {
        Kind::OneOf(words.iter().map(|word| (*word).to_owned()).collect())
    }

    /// The kind of values like `value`, for a declaration that only says its default.
    ///
    /// ```
    /// use arignote_core::config::{Kind, Value};
    /// assert_eq!(Kind::of(&Value::from("fast")), Kind::Text);
    /// ```
    pub fn of(value: &Value) -> Kind {
        match value {
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) => Kind::Int { min: i64::MIN, max: i64::MAX },
            Value::Float(_) => Kind::Float,
            Value::Text(_) => Kind::Text,
            Value::List(items) => Kind::list(items.first().map_or(Kind::Any, Kind::of)),
        }
    }

    /// What the kind accepts, in words, as errors and the documentation say it.
    ///
    /// ```
    /// use arignote_core::config::Kind;
    /// assert_eq!(Kind::one_of(&["f32", "f64"]).describe(), r#""f32" or "f64""#);
    /// assert_eq!(Kind::list(Kind::Path).describe(), "a list of paths");
    /// ```
    pub fn describe(&self) -> String {
        match self {
            Kind::Bool => "true or false".into(),
            Kind::Int { min: i64::MIN, max: i64::MAX } => "a whole number".into(),
            Kind::Int { min, max: i64::MAX } => format!("a whole number, {min} or more"),
            Kind::Int { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Float => "a number".into(),
            Kind::Text => "text".into(),
            Kind::Path => "a path".into(),
            Kind::OneOf(words) => match words.split_last() {
                None => "nothing (no value is valid)".into(),
                Some((last, [])) => format!("{last:?}"),
                Some((last, rest)) => {
                    let rest: Vec<String> = rest.iter().map(|word| format!("{word:?}")).collect();
                    format!("{} or {last:?}", rest.join(", "))
                }
            },
            Kind::Device { auto: true } => "a device (\"cpu\", \"cuda0\", ...) or \"auto\"".into(),
            Kind::Device { auto: false } => "a device (\"cpu\", \"cuda0\", ...)".into(),
            Kind::Sha256 => "a SHA-256 as 64 hexadecimal digits".into(),
            Kind::List(item) => match &**item {
                Kind::Text => "a list of names".into(),
                Kind::Path => "a list of paths".into(),
                Kind::Device { .. } => "a list of devices".into(),
                other => format!("a list, each item {}", other.describe()),
            },
            Kind::Any => "any value".into(),
        }
    }

    /// Reads `node` as a value of this kind; `base` is what relative paths are relative to.
    pub(super) fn convert(&self, node: &Node, base: &Path) -> Result<Value, Mismatch> {
        let wrong = |suggestion| Mismatch::new(self.describe(), node, suggestion);
        match self {
            Kind::List(item) => {
                let items = match &node.raw {
                    Raw::List(items) => items,
                    // In flags a list is whatever stands between `:`, one item included.
                    Raw::Flag { items, .. } => items,
                    Raw::Text(_) | Raw::Int(_) | Raw::Bool(_) | Raw::Float(_) => {
                        return Err(wrong(Some(format!("[{}]", node.found_value()))));
                    }
                    _ => return Err(wrong(None)),
                };
                let values = items.iter().map(|node| {
                    item.convert(node, base).map_err(|mut mismatch| {
                        let comma = matches!(&node.raw, Raw::Flag { whole, .. } if whole.contains(','));
                        if comma && mismatch.note.is_none() {
                            mismatch.suggestion = None;
                            mismatch.note = Some("items of a list are separated by `:`".into());
                        }
                        mismatch
                    })
                });
                Ok(Value::List(values.collect::<Result<_, _>>()?))
            }
            Kind::Any => node.guess().ok_or_else(|| wrong(None)),
            Kind::Bool => match &node.raw {
                Raw::Bool(truth) => Ok(Value::Bool(*truth)),
                _ => match (node.flag(), node.text()) {
                    (Some("true"), _) => Ok(Value::Bool(true)),
                    (Some("false"), _) => Ok(Value::Bool(false)),
                    (_, Some(text)) => {
                        let words = match text.to_ascii_lowercase().as_str() {
                            "1" | "yes" | "on" | "y" | "t" => Some("true"),
                            "0" | "no" | "off" | "n" | "f" => Some("false"),
                            other => nearest(other, ["true", "false"]),
                        };
                        Err(wrong(words.map(str::to_owned)))
                    }
                    _ => Err(wrong(None)),
                },
            },
            Kind::Int { min, max } => {
                let number = match &node.raw {
                    Raw::Int(number) => Some(*number),
                    _ => node.flag().and_then(|text| text.replace('_', "").parse().ok()),
                };
                match number {
                    Some(number) if (min..=max).contains(&&number) => Ok(Value::Int(number)),
                    Some(_) => Err(wrong(None)),
                    None => {
                        let unquoted = node.text().and_then(|text| text.parse::<i64>().ok());
                        Err(wrong(unquoted.map(|number| number.to_string())))
                    }
                }
            }
            Kind::Float => match (&node.raw, node.flag()) {
                (Raw::Float(number), _) => Ok(Value::Float(*number)),
                (Raw::Int(number), _) => Ok(Value::Float(*number as f64)),
                (_, Some(text)) => text.parse().map(Value::Float).map_err(|_| wrong(None)),
                _ => Err(wrong(None)),
            },
            Kind::Text | Kind::Path | Kind::OneOf(_) | Kind::Device { .. } | Kind::Sha256 => {
                let Some(text) = node.text() else {
                    return Err(wrong(match &node.raw {
                        Raw::Bool(_) | Raw::Int(_) | Raw::Float(_) => match self {
                            Kind::Text | Kind::Path => Some(format!("\"{}\"", node.found_value())),
                            _ => None,
                        },
                        _ => None,
                    }));
                };
                self.convert_text(text, base).map_err(wrong)
            }
        }
    }

    /// The part of [`Kind::convert`] for kinds that are written as text; the error is a suggestion.
    fn convert_text(&self, text: &str, base: &Path) -> Result<Value, Option<String>> {
        match self {
            Kind::OneOf(words) if !words.iter().any(|word| word == text) => {
                Err(nearest(text, words.iter().map(String::as_str)).map(|word| format!("{word:?}")))
            }
            Kind::Device { auto } => match text.parse::<DeviceName>() {
                Ok(device) if *auto || !device.is_auto() => Ok(Value::Text(device.to_string())),
                Ok(_) => Err(None),
                Err(error) => Err(error.suggestion().map(|name| format!("{name:?}"))),
            },
            Kind::Sha256 => {
                if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    Ok(Value::Text(text.to_ascii_lowercase()))
                } else {
                    Err(None)
                }
            }
            // An empty path would quietly mean the folder of the file.
            Kind::Path if text.is_empty() => Err(None),
            Kind::Path => Ok(Value::Text(base.join(text).to_string_lossy().into_owned())),
            _ => Ok(Value::Text(text.to_owned())),
        }
    }
}
