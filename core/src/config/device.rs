//! Names of devices: a backend, and which of its devices.

use super::error::{ConfigError, ConfigErrorKind};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The name of a device, such as `cpu`, `cuda0` or `reference`, or `auto`: the best that is there.
///
/// ```
/// use arignote_core::config::DeviceName;
/// let name: DeviceName = "cuda1".parse().unwrap();
/// assert_eq!((name.backend(), name.ordinal()), ("cuda", Some(1)));
/// assert_eq!(name.to_string(), "cuda1");
///
/// let error = "cuda:1".parse::<DeviceName>().unwrap_err();
/// assert_eq!(error.suggestion(), Some("cuda1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceName {
    backend: String,
    ordinal: Option<u32>,
}

impl DeviceName {
    /// The best device that is there; the host says which it took.
    pub fn auto() -> DeviceName {
        DeviceName { backend: "auto".into(), ordinal: None }
    }

    /// The fast CPU backend.
    pub fn cpu() -> DeviceName {
        DeviceName { backend: "cpu".into(), ordinal: None }
    }

    /// The reference backend.
    pub fn reference() -> DeviceName {
        DeviceName { backend: "reference".into(), ordinal: None }
    }

    /// An NVIDIA GPU.
    pub fn cuda(ordinal: u32) -> DeviceName {
        DeviceName { backend: "cuda".into(), ordinal: Some(ordinal) }
    }

    /// The backend that the device belongs to.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Which of the backend's devices, if the name says.
    pub fn ordinal(&self) -> Option<u32> {
        self.ordinal
    }

    /// Which of the backend's devices; the first if the name does not say.
    pub fn index(&self) -> u32 {
        self.ordinal.unwrap_or(0)
    }

    /// Whether the choice is left to the host.
    pub fn is_auto(&self) -> bool {
        self.backend == "auto"
    }

    /// Whether both names mean the same device: `cuda` is `cuda0`.
    pub fn same_device(&self, other: &DeviceName) -> bool {
        self.backend == other.backend && self.index() == other.index()
    }

    fn read(text: &str) -> Option<DeviceName> {
        let backend = text.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &text[backend.len()..];
        let mut letters = backend.chars();
        let valid = letters.next().is_some_and(|c| c.is_ascii_lowercase())
            && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
            && !backend.ends_with(['-', '_']);
        // `cuda00` would print as `cuda0`: one device, one spelling.
        let canonical = digits.len() < 2 || !digits.starts_with('0');
        if !valid || !canonical || (backend == "auto" && !digits.is_empty()) {
            return None;
        }
        let ordinal = if digits.is_empty() { None } else { Some(digits.parse().ok()?) };
        Some(DeviceName { backend: backend.to_owned(), ordinal })
    }
}

impl FromStr for DeviceName {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<DeviceName, ConfigError> {
        DeviceName::read(text).ok_or_else(|| {
            // The usual near misses are other tools' spellings: `CUDA:0`, `cuda 0`, `cuda_0`.
            let tidy: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            let suggestion = DeviceName::read(&tidy.to_ascii_lowercase());
            ConfigError::new(ConfigErrorKind::InvalidValue, format!("{text:?} is not the name of a device"))
                .expected("a backend's name in lower case, then the number of its device if it has several, such as \"cuda0\"")
                .suggest(suggestion.map(|name| name.to_string()))
        })
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        match self.ordinal {
            Some(ordinal) => write!(f, "{ordinal}"),
            None => Ok(()),
        }
    }
}

impl Serialize for DeviceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
