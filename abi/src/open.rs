//! Opening a library and finding what a plugin exports.

use crate::Header;
use crate::stamp::{HEADER_SYMBOL, MAGIC, MAJOR, STAMP_SYMBOL, Stamp};
use abi_stable::library::AbiHeaderRef;
use std::path::Path;

/// Why a library could not be opened as a plugin.
#[derive(Debug)]
pub enum OpenError {
    /// The dynamic linker refused it; its own words.
    Library(String),
    /// It exports no genuine stamp, so it is no plugin.
    NoStamp,
    /// Its stamp is of another major version.
    Version(Box<Stamp>),
    /// It has a stamp but no usable header; what is wrong with it.
    Header(String),
}

/// Loads a library for good and returns the header of the plugin in it.
///
/// Nothing but the library's initializers runs, and nothing of it is trusted before its [`Stamp`]
/// was seen to be genuine and of this major version. The library is never unloaded, even on an
/// error: there is no sound way to unload one with thread-local data.
///
/// # Errors
///
/// If it cannot be loaded, is no plugin, or is one of another version.
///
/// # Safety
///
/// The library's initializers run, and its exports are believed once the stamp fits. The caller
/// must want this file loaded.
pub unsafe fn open_library(path: &Path) -> Result<(Stamp, &'static Header), OpenError> {
    // SAFETY: the caller wants the library's initializers to run.
    let library = unsafe { open(path) }.map_err(|error| OpenError::Library(describe(&error)))?;
    // Kept from here on, whatever happens.
    let library: &'static libloading::Library = Box::leak(Box::new(library));
    // SAFETY: the symbol's name is ours; only its first bytes are read until they are the magic.
    let stamp =
        unsafe { library.get::<*const u8>(STAMP_SYMBOL) }.map_err(|_| OpenError::NoStamp)?;
    let address: *const u8 = *stamp;
    if address.is_null() {
        return Err(OpenError::NoStamp);
    }
    // SAFETY: a symbol of this name is a stamp or at least 16 bytes of something.
    if unsafe { address.cast::<[u8; 16]>().read_unaligned() } != MAGIC {
        return Err(OpenError::NoStamp);
    }
    // SAFETY: the shape of a stamp with the right magic never changes.
    let stamp = unsafe { address.cast::<Stamp>().read_unaligned() };
    if stamp.major != MAJOR {
        return Err(OpenError::Version(Box::new(stamp)));
    }
    // SAFETY: only the address is looked at.
    let address = unsafe { library.get::<*const u8>(HEADER_SYMBOL) };
    if address.map_or(true, |address| address.is_null()) {
        return Err(OpenError::Header(format!(
            "the symbol `{HEADER_SYMBOL}` is missing"
        )));
    }
    // SAFETY: plugins of this major version export a `Header` here, which begins with the
    // `AbiHeader` that `AbiHeaderRef` points to. `upgrade` checks it before looking further.
    let header = unsafe { library.get::<AbiHeaderRef>(HEADER_SYMBOL) }
        .map_err(|_| OpenError::Header(format!("the symbol `{HEADER_SYMBOL}` is missing")))?;
    let header: AbiHeaderRef = *header;
    let header = header
        .upgrade()
        .map_err(|error| OpenError::Header(first_line(&error.to_string())))?;
    Ok((stamp, header))
}

#[cfg(unix)]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // glibc's and musl's RTLD_NODELETE: not even a stray `dlclose` unloads it.
    let keep = if cfg!(target_os = "linux") { 0x1000 } else { 0 };
    // SAFETY: the caller wants the library's initializers to run.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | keep) }.map(Into::into)
}

#[cfg(not(unix))]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: the caller wants the library's initializers to run.
    unsafe { libloading::Library::new(path) }
}

fn describe(error: &libloading::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    first_line(&text)
}

fn first_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("unknown")
        .to_owned()
}
