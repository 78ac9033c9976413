//! The stamp: what a host may know about a plugin before it trusts anything else in it.

/// First bytes of every stamp.
pub const MAGIC: [u8; 16] = *b"ARIGNOTE-PLUGIN\0";
/// The interface's major version. Plugins of another major are refused.
pub const MAJOR: u32 = 1;
/// The interface's minor version. Plugins of any minor load; what they lack has defaults.
pub const MINOR: u32 = 3;
/// The plugin unwinds on panics, so that they can be caught and turned into errors.
pub const FLAG_UNWIND: u32 = 1;
/// The plugin was built with debug assertions.
pub const FLAG_DEBUG: u32 = 2;
/// Name of the exported [`Stamp`].
pub const STAMP_SYMBOL: &str = "ARIGNOTE_PLUGIN_STAMP";
/// Name of the exported [`Header`](crate::Header).
pub const HEADER_SYMBOL: &str = "ARIGNOTE_PLUGIN_HEADER";

/// A fixed block of bytes without pointers, exported by every plugin.
///
/// Its shape never changes, in no version: it is what says which version the rest is in. As it
/// holds no pointers it can be read straight from the file, without loading it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// [`MAGIC`].
    pub magic: [u8; 16],
    /// [`MAJOR`] of the interface that the plugin was built with.
    pub major: u32,
    /// [`MINOR`] of the interface that the plugin was built with.
    pub minor: u32,
    /// [`FLAG_UNWIND`], [`FLAG_DEBUG`]; unknown bits are to be ignored.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// The compiler's version line, padded with zeros.
    pub compiler: [u8; 64],
    /// The target triple, padded with zeros.
    pub target: [u8; 64],
}

impl std::fmt::Debug for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{} for {} by {}",
            self.major,
            self.minor,
            self.target(),
            self.compiler()
        )
    }
}

impl Stamp {
    /// The stamp of everything built with this copy of the crate.
    pub const CURRENT: Stamp = Stamp {
        magic: MAGIC,
        major: MAJOR,
        minor: MINOR,
        flags: (if cfg!(panic = "unwind") {
            FLAG_UNWIND
        } else {
            0
        }) | (if cfg!(debug_assertions) {
            FLAG_DEBUG
        } else {
            0
        }),
        reserved: 0,
        compiler: padded(env!("ARIGNOTE_ABI_COMPILER")),
        target: padded(env!("ARIGNOTE_ABI_TARGET")),
    };

    /// Size in bytes, the same in every version.
    pub const SIZE: usize = size_of::<Stamp>();

    /// Reads a stamp from bytes in this machine's byte order. `None` if they are too few.
    pub fn from_bytes(bytes: &[u8]) -> Option<Stamp> {
        let word = |at: usize| -> Option<u32> {
            Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
        };
        Some(Stamp {
            magic: bytes.get(..16)?.try_into().ok()?,
            major: word(16)?,
            minor: word(20)?,
            flags: word(24)?,
            reserved: word(28)?,
            compiler: bytes.get(32..96)?.try_into().ok()?,
            target: bytes.get(96..160)?.try_into().ok()?,
        })
    }

    /// Whether the first bytes are [`MAGIC`].
    pub fn is_genuine(&self) -> bool {
        self.magic == MAGIC
    }

    /// The compiler that built the plugin, such as `rustc 1.95.0 (…)`.
    pub fn compiler(&self) -> String {
        text(&self.compiler)
    }

    /// The target triple that the plugin was built for.
    pub fn target(&self) -> String {
        text(&self.target)
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

const fn padded(text: &str) -> [u8; 64] {
    let bytes = text.as_bytes();
    let mut out = [0; 64];
    let mut i = 0;
    while i < bytes.len() && i < 63 {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_reads_back_from_its_bytes() {
        let stamp = Stamp::CURRENT;
        let mut bytes = Vec::new();
        bytes.extend(stamp.magic);
        for word in [stamp.major, stamp.minor, stamp.flags, stamp.reserved] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(stamp.compiler);
        bytes.extend(stamp.target);
        assert_eq!(bytes.len(), Stamp::SIZE);
        assert!(Stamp::from_bytes(&bytes) == Some(stamp));
        assert!(Stamp::from_bytes(&bytes[..159]).is_none());
        assert!(stamp.compiler().starts_with("rustc"));
        assert!(stamp.is_genuine());
    }
}
