//! Random mutations of valid configs: loading may fail, but with an error that can be shown.
//!
//! `ARIGNOTE_FUZZ_SEED=N` runs one seed again; `ARIGNOTE_FUZZ_ROUNDS=N` runs more than the default.

use super::*;
use fastrand::Rng;
use std::path::Path;

const FILES: &[&str] = &[
    "device = \"cuda0\"\nfallback = [\"cpu\", \"reference\"]\nfloat = 'f32'\nmode = \"debug\"\nseed = 7\n",
    "[plugins]\npath = [\"./p\", \"\"\"x\ny\"\"\"]\nload = []\n[plugins.sha256]\n\"a.b\" = \"00\"\n",
    "[backend.cpu]\nthreads = 2\nx.y = { a = 1, b = [1.5, inf, 1979-05-27] }\n[[backend]]\n",
    "[rewrite]\nexclude = [\"in\u{e9}\"]\nalgebra = \"ieee\" # real\r\nrules = [\n 'a.rules',\n]\n",
];
const FLAGS: &[&str] = &[
    "device=cpu,rewrite.exclude=inplace:specialize,seed=3",
    "backend.cpu.x=\"a\\\"b:c,d\":2,plugins.sha256.a=00,mode=nan-guard,,fallback=",
];
const PIECES: &[&str] = &[
    "\"", "'", "[", "]", "[[", "{", "}", "=", ".", ",", ":", "\n", "\r", "\\", "#", "\t", "\u{0}", "\u{feff}", "\u{1F600}",
    "device", "plugins", "sha256", "backend", "rewrite", "true", "-1", "9223372036854775808", "nan", "1e999", "a.a.a.a.a.",
    "[[[[[[[[[[[[[[[[", "\"\"\"", "'''",
];

fn mutate(random: &mut Rng, seeds: &[&str]) -> Vec<u8> {
    let mut bytes = random.choice(seeds).unwrap_or(&"").as_bytes().to_vec();
    for _ in 0..random.usize(1..=6) {
        let at = random.usize(..=bytes.len());
        let end = at + random.usize(..12).min(bytes.len() - at);
        match random.u8(..5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, random.choice(PIECES).unwrap_or(&"").bytes())),
            2 => drop(bytes.splice(at..end, random.choice(PIECES).unwrap_or(&"").bytes())),
            3 => drop(bytes.splice(at..at, random.choice(seeds).unwrap_or(&"").bytes())),
            _ if at < bytes.len() => bytes[at] = random.u8(..),
            _ => {}
        }
    }
    bytes
}

/// Whatever came out can be shown, and a config that loads still loads when it is written again.
fn inspect(result: Result<(), ConfigError>, config: &Config) {
    match result {
        Ok(()) => {
            let text = config.to_toml();
            let mut again = Config::default();
            again.apply_bytes(Path::new("/p/again.toml"), text.clone().into_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let _ = config.to_json();
            let _ = config.backend_options("cpu", &[OptionSpec::new("x", Kind::list(Kind::Float), None, "")]);
        }
        Err(error) => {
            let _ = error.position();
            assert!(!error.to_string().is_empty());
        }
    }
}

fn one_round(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut config = Config::default();
    let file = mutate(&mut random, FILES);
    let loaded = config.apply_bytes(Path::new("/p/arignote.toml"), file);
    inspect(loaded, &config);
    let flags = String::from_utf8_lossy(&mutate(&mut random, FLAGS)).into_owned();
    match Config::load_from(&Sources { flags: Some(flags.clone()), ..Sources::default() }) {
        Ok(config) => inspect(Ok(()), &config),
        Err(error) => inspect(Err(error), &config),
    }
    let mut config = Config::default();
    let set = config.set("--set", &flags);
    inspect(set, &config);
    let _ = config.with(&flags, flags.as_str()).map_err(|error| error.to_string());
}

#[test]
fn loading_never_panics() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("ARIGNOTE_FUZZ_SEED") {
        return one_round(seed);
    }
    // The same inputs in every run, so that a failure belongs to the change at hand; more rounds hunt further.
    for seed in 0..number("ARIGNOTE_FUZZ_ROUNDS").unwrap_or(3000) {
        if let Err(panic) = std::panic::catch_unwind(|| one_round(seed)) {
            eprintln!("reproduce with ARIGNOTE_FUZZ_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn deep_nesting_is_an_error() {
    for text in [
        "a.".repeat(100_000),
        format!("[backend.{}x]\ny=1", "a.".repeat(100_000)),
        format!("backend.{}x=1", "a.".repeat(100_000)),
        format!("[backend.cpu]\nx = {}", "[".repeat(100_000)),
        format!("[backend.cpu]\nx = {}", "{a=".repeat(100_000)),
    ] {
        assert!(Config::default().apply_bytes(Path::new("x"), text.into_bytes()).is_err());
    }
}
