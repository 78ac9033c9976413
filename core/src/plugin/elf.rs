//! What can be learned of a library without running any of its code.
//!
//! Loading a library runs its initializers, so a file that is no plugin, is cut short, or is for
//! another processor or another interface is recognized from its bytes alone.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use arignote_abi::{STAMP_SYMBOL, Stamp};

/// What a file turned out to be.
#[derive(Debug)]
pub(super) enum Inspected {
    /// A plugin with this stamp.
    Plugin(Box<Stamp>),
    /// A library for this machine without a stamp.
    NoPlugin,
    /// Not a shared library at all; what it begins with.
    NotALibrary(String),
    /// A library for another machine; its name.
    OtherMachine(String),
    /// The file ends before the parts that its header tells of.
    Truncated {
        /// How long it must be.
        needed: u64,
        /// How long it is.
        found: u64,
    },
    /// A file that only the dynamic linker can judge.
    Unknown,
}

/// The name of the processor that this host runs on.
pub(super) const MACHINE: &str = std::env::consts::ARCH;

/// Looks at a file.
///
/// # Errors
///
/// If it cannot be read.
pub(super) fn inspect(path: &Path) -> std::io::Result<Inspected> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(head) = read(&mut file, 0, 64.min(length))? else { return Ok(Inspected::Unknown) };
    if !cfg!(target_os = "linux") {
        return Ok(Inspected::Unknown);
    }
    if !head.starts_with(b"\x7fELF") {
        return Ok(Inspected::NotALibrary(beginning(&head)));
    }
    if head.len() < 64 {
        return Ok(Inspected::Truncated { needed: 64, found: length });
    }
    let machine = word(&head, 18, 2) as u16;
    let (wide, little) = (head[4] == 2, head[5] == 1);
    if !little || !wide || machine_name(machine) != MACHINE {
        let machine = if little { machine } else { machine.swap_bytes() };
        let bits = if wide { "64-bit" } else { "32-bit" };
        return Ok(Inspected::OtherMachine(format!("{} ({bits})", machine_name(machine))));
    }
    if word(&head, 16, 2) != 3 {
        return Ok(Inspected::NotALibrary("an ELF file that is no shared library".into()));
    }
    let Some(tables) = Tables::read(&mut file, &head, length)? else {
        return Ok(Inspected::Truncated { needed: needed_by(&head), found: length });
    };
    if tables.end > length {
        return Ok(Inspected::Truncated { needed: tables.end, found: length });
    }
    tables.find_stamp(&mut file)
}

/// Where the file's parts are.
struct Tables {
    /// Of each loaded segment: address, file offset and size in the file.
    segments: Vec<(u64, u64, u64)>,
    /// Of each section: type, file offset, size and linked section.
    sections: Vec<(u64, u64, u64, u64)>,
    /// Where the last part ends.
    end: u64,
}

impl Tables {
    fn read(file: &mut File, head: &[u8], length: u64) -> std::io::Result<Option<Tables>> {
        let (segments_at, sections_at) = (word(head, 32, 8), word(head, 40, 8));
        let (segment_count, section_count) = (word(head, 56, 2), word(head, 60, 2));
        if needed_by(head) > length {
            return Ok(None);
        }
        let (Some(segments), Some(sections)) =
            (read(file, segments_at, segment_count * 56)?, read(file, sections_at, section_count * 64)?)
        else {
            return Ok(None);
        };
        let mut tables = Tables { segments: Vec::new(), sections: Vec::new(), end: needed_by(head) };
        for segment in segments.chunks_exact(56) {
            let (offset, size) = (word(segment, 8, 8), word(segment, 32, 8));
            tables.end = tables.end.max(offset.saturating_add(size));
            if word(segment, 0, 4) == 1 {
                tables.segments.push((word(segment, 16, 8), offset, size));
            }
        }
        for section in sections.chunks_exact(64) {
            let (kind, offset, size) = (word(section, 4, 4), word(section, 24, 8), word(section, 32, 8));
            // Type 8 takes no room in the file.
            if kind != 8 {
                tables.end = tables.end.max(offset.saturating_add(size));
            }
            tables.sections.push((kind, offset, size, word(section, 40, 4)));
        }
        Ok(Some(tables))
    }

    fn find_stamp(&self, file: &mut File) -> std::io::Result<Inspected> {
        // Type 11 is the table of dynamic symbols. A stripped file may have lost its sections.
        let Some(&(_, offset, size, names)) = self.sections.iter().find(|section| section.0 == 11) else {
            return Ok(if self.sections.is_empty() { Inspected::Unknown } else { Inspected::NoPlugin });
        };
        let names = self.sections.get(names as usize).copied().unwrap_or_default();
        let (Some(symbols), Some(names)) = (read(file, offset, size)?, read(file, names.1, names.2)?) else {
            return Ok(Inspected::Unknown);
        };
        let wanted = STAMP_SYMBOL.as_bytes();
        let symbol = symbols.chunks_exact(24).find(|symbol| {
            let name = names.get(word(symbol, 0, 4) as usize..).unwrap_or_default();
            // Section 0: the symbol is asked for here, not defined.
            word(symbol, 6, 2) != 0 && name.starts_with(wanted) && name.get(wanted.len()) == Some(&0)
        });
        let Some(symbol) = symbol else { return Ok(Inspected::NoPlugin) };
        let address = word(symbol, 8, 8);
        let inside = |&&(start, _, size): &&(u64, u64, u64)| {
            address.checked_sub(start).is_some_and(|at| size.checked_sub(at) >= Some(Stamp::SIZE as u64))
        };
        let Some(&(start, offset, _)) = self.segments.iter().find(inside) else {
            return Ok(Inspected::NoPlugin);
        };
        let bytes = read(file, offset.saturating_add(address - start), Stamp::SIZE as u64)?;
        let stamp = bytes.and_then(|bytes| Stamp::from_bytes(&bytes)).filter(Stamp::is_genuine);
        Ok(stamp.map_or(Inspected::NoPlugin, |stamp| Inspected::Plugin(Box::new(stamp))))
    }
}

/// Where the two tables end that the header tells of.
fn needed_by(head: &[u8]) -> u64 {
    let segments = word(head, 32, 8).saturating_add(word(head, 56, 2) * 56);
    let sections = word(head, 40, 8).saturating_add(word(head, 60, 2) * 64);
    segments.max(sections)
}

/// Some bytes of a file; `None` if it ends before them.
fn read(file: &mut File, at: u64, size: u64) -> std::io::Result<Option<Vec<u8>>> {
    if at.checked_add(size).is_none_or(|end| file.metadata().is_ok_and(|data| data.len() < end)) {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == size).then_some(bytes))
}

/// A little-endian number; bytes that are not there count as 0.
fn word(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The name that Rust gives a processor, for the number that ELF gives it.
fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86",
        8 => "mips",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        258 => "loongarch64",
        other => return format!("ELF machine {other}"),
    }
    .to_owned()
}

fn beginning(head: &[u8]) -> String {
    match head {
        [] => "an empty file".to_owned(),
        [b'M', b'Z', ..] => "a Windows program or library".to_owned(),
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "a macOS program or library".to_owned(),
        _ => {
            let start = &head[..head.len().min(16)];
            format!("a file that begins with \"{}\"", start.escape_ascii())
        }
    }
}
