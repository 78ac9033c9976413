//! The loop of a contender's process.

use std::any::Any;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::{Array, Inputs, Peer, Task, Workload};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Prepare { workload: Workload, inputs: PathBuf, outputs: PathBuf },
    Time { seconds: f64, calls: usize },
}

/// What is prepared, and the memory that was in use before.
type Prepared<Value> = (Box<dyn Task<Value>>, i64);

/// Answers what `driver.py` asks until it closes standard input.
///
/// # Errors
/// If standard input or output fails.
pub fn run<P: Peer>(peer: &P) -> std::io::Result<()>
where
    P::Value: 'static,
{
    say(&json!({ "version": peer.version() }))?;
    let mut prepared = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        // Some libraries panic where others give an error: both are an answer.
        let done = catch_unwind(AssertUnwindSafe(|| {
            match serde_json::from_str(&line).map_err(|error| error.to_string())? {
                Request::Prepare { workload, inputs, outputs } => prepare(peer, &workload, &inputs, &outputs, &mut prepared),
                Request::Time { seconds, calls } => time(prepared.as_mut().ok_or("nothing is prepared")?, seconds, calls),
            }
        }));
        let done = done.unwrap_or_else(|panic| Err(said(panic.as_ref())));
        say(&done.unwrap_or_else(|error| json!({ "error": error.lines().next().unwrap_or_default() })))?;
    }
    Ok(())
}

fn say(answer: &Json) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    out.flush()
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked".to_owned())
}

/// Builds the workload, calls it once, and writes the results and new states of that call.
fn prepare<P: Peer>(
    peer: &P, workload: &Workload, folder: &Path, outputs: &Path, prepared: &mut Option<Prepared<P::Value>>,
) -> Result<Json, String> {
    let load = |name: &String| Ok((name.clone(), peer.load(Array::read(&folder.join(format!("{name}.npy")))?)?));
    let inputs: Inputs<P::Value> = workload.inputs.iter().map(load).collect::<Result<_, String>>()?;
    let before = resident("VmRSS:");
    let start = Instant::now();
    let mut task = peer.build(workload, inputs)?;
    let mut results = task.call()?;
    let compile = start.elapsed().as_secs_f64();
    results.extend(task.states()?);
    for (number, result) in results.into_iter().enumerate() {
        peer.unload(result)?.write(&outputs.join(format!("{number}.npy")))?;
    }
    *prepared = Some((task, before));
    Ok(json!({ "compile": compile }))
}

/// Calls the workload for at least these seconds and calls. Short calls are timed in batches, so that the clock does
/// not count.
fn time<Value>((task, before): &mut Prepared<Value>, seconds: f64, calls: usize) -> Result<Json, String> {
    const BATCH: f64 = 100e-6;
    // Forgets the peak so far.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let mut least = f64::INFINITY;
    // The first call finds nothing in the caches.
    for _ in 0..3 {
        let once = Instant::now();
        task.call()?;
        least = least.min(once.elapsed().as_secs_f64().max(1e-9));
        if least > 100.0 * BATCH {
            break;
        }
    }
    let batch = (BATCH / least).ceil().clamp(1.0, 1e4) as usize;
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() * batch < calls || start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        for _ in 0..batch {
            task.call()?;
        }
        times.push(begin.elapsed().as_secs_f64() / batch as f64);
    }
    Ok(json!({ "seconds": times, "peak": (resident("VmHWM:") - *before).max(0) }))
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
