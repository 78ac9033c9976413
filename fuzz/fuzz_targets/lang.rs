//! `cargo +nightly fuzz run lang`: no text makes the parser, the formatter or lowering panic, and
//! formatting twice is formatting once.
#![no_main]

use arignote_core::lang::{Source, format, lower, parse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(file) = parse(Source::new("fuzz", text)) {
        drop(lower(&file, None));
    }
    match format(&Source::new("fuzz", text)) {
        Ok(once) => assert_eq!(format(&Source::new("fuzz", once.as_str())).ok().as_ref(), Some(&once)),
        Err(error) => drop(error.to_string()),
    }
});
