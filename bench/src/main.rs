//! The contender `arignote`: does what `driver.py` asks on standard input, a line of JSON each, and answers in kind.
//!
//! `prepare` reads a workload's inputs, compiles it, calls it once, and writes its results; `time` calls it.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use arignote::config::{Config, Sources};
use arignote::prelude::*;
use arignote::{ErrorKind, runtime};
use arignote_bench::{Data, Task, build, specifications};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Prepare { name: String, inputs: PathBuf, outputs: PathBuf },
    Time { seconds: f64, calls: usize },
}

#[derive(Default, Serialize)]
struct Answer {
    /// From the first line of the graph to the end of the first call.
    #[serde(skip_serializing_if = "Option::is_none")]
    compile: Option<f64>,
    /// Seconds of a call, one entry for each batch of calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seconds: Vec<f64>,
    /// Bytes at the peak of the calls, beyond what was there before the graph was built; without pages of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
}

fn main() -> Result<()> {
    // The driver's flags alone: what lies in the folder, as plugins that were built for tests, does not count.
    let sources = Sources { flags: std::env::var("ARIGNOTE_FLAGS").ok(), ..Sources::default() };
    let session = arignote::session_with(Config::load_from(&sources)?)?;
    answer(&Answer { version: Some(env!("CARGO_PKG_VERSION")), ..Answer::default() })?;
    let mut task: Option<(Task, i64)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::new(ErrorKind::Io, error.to_string()))?;
        let request = serde_json::from_str(&line).map_err(|error| Error::new(ErrorKind::Io, error.to_string()));
        let done = request.and_then(|request| match request {
            Request::Prepare { name, inputs, outputs } => {
                let (ready, before, compile) = prepare(&session, &name, &inputs, &outputs)?;
                task = Some((ready, before));
                Ok(Answer { compile: Some(compile), ..Answer::default() })
            }
            Request::Time { seconds, calls } => match &task {
                Some((task, before)) => time(task, *before, seconds, calls),
                None => Err(Error::new(ErrorKind::Runtime, "nothing is prepared")),
            },
        });
        answer(&done.unwrap_or_else(|error| Answer { error: Some(error.to_string()), ..Answer::default() }))?;
    }
    Ok(())
}

fn answer(answer: &Answer) -> Result<()> {
    let failed = |error: String| Error::new(ErrorKind::Io, error);
    let text = serde_json::to_string(answer).map_err(|error| failed(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| failed(error.to_string()))
}

/// The compiled workload, the memory in use before, and the seconds until the end of the first call, whose results
/// and new states it writes.
fn prepare(session: &Session, name: &str, inputs: &Path, outputs: &Path) -> Result<(Task, i64, f64)> {
    let missing = || Error::new(ErrorKind::Runtime, format!("there is no workload `{name}`"));
    let workload = specifications(false)?.into_iter().find(|workload| workload.name == name).ok_or_else(missing)?;
    let read = |input: &String| Ok((input.clone(), runtime::read_npy(&inputs.join(format!("{input}.npy")))?));
    let data: Data = workload.inputs.keys().map(read).collect::<Result<_>>()?;
    let before = resident("VmRSS:");
    let start = Instant::now();
    let task = build(session, &workload, data)?;
    let mut results = task.function.call(&task.arguments)?;
    let compile = start.elapsed().as_secs_f64();
    for state in &task.states {
        results.push(session.get(state)?);
    }
    for (number, result) in results.iter().enumerate() {
        runtime::write_npy(&outputs.join(format!("{number}.npy")), result)?;
    }
    Ok((task, before, compile))
}

/// Calls the workload for at least these seconds and calls. Short calls are timed in batches, so that the clock
/// does not count.
fn time(task: &Task, before: i64, seconds: f64, calls: usize) -> Result<Answer> {
    const BATCH: f64 = 100e-6;
    // Forgets the peak so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let call = || task.function.call(&task.arguments);
    let mut least = f64::INFINITY;
    // The first call finds nothing in the caches.
    for _ in 0..3 {
        let once = Instant::now();
        call()?;
        least = least.min(once.elapsed().as_secs_f64().max(1e-9));
        if least > 100.0 * BATCH { break; }
    }
    let batch = (BATCH / least).ceil().clamp(1.0, 1e4) as usize;
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() * batch < calls || start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        for _ in 0..batch {
            call()?;
        }
        times.push(begin.elapsed().as_secs_f64() / batch as f64);
    }
    Ok(Answer { seconds: times, peak: Some((resident("VmHWM:") - before).max(0)), ..Answer::default() })
}

/// Bytes of resident memory by a line of Linux' `/proc/self/status`, without pages of files: those are the library,
/// read from disk when it first needs them. 0 elsewhere.
fn resident(line: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |line: &str| -> Option<i64> {
        status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next()?.parse().ok())
    };
    (kilobytes(line).unwrap_or(0) - kilobytes("RssFile:").unwrap_or(0)) * 1024
}
