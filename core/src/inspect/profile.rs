//! Profiles for people, as tables, and for trace viewers such as Perfetto.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use crate::runtime::{Profile, ProfileRow};

/// Rows of a table that are shown at most.
const MOST: usize = 30;

/// Time by op, by line and by application, compiling, and memory.
pub fn table(profile: &Profile) -> String {
    let mut text = String::new();
    let computing: f64 = profile.rows.iter().map(|row| row.seconds).sum();
    let _ = writeln!(
        text, "{}: {} calls, {}; {} of that in ops", profile.function, profile.calls, time(profile.seconds), time(computing)
    );
    let phases: Vec<String> = profile.compiling.iter().map(|(name, seconds)| format!("{name} {}", time(*seconds))).collect();
    let whole: f64 = profile.compiling.iter().map(|(_, seconds)| seconds).sum();
    let _ = writeln!(text, "compiling: {} ({})", time(whole), phases.join(", "));
    let by = |key: &dyn Fn(&ProfileRow) -> String| {
        let mut sums: BTreeMap<String, (f64, u64, u64)> = BTreeMap::new();
        for row in &profile.rows {
            let sum = sums.entry(key(row)).or_default();
            *sum = (sum.0 + row.seconds, sum.1 + row.calls, sum.2 + row.bytes);
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(&b.0)));
        sums
    };
    let mut section = |title: &str, sums: Vec<(String, (f64, u64, u64))>| {
        let _ = writeln!(text, "\n{:>10}  {:>6}  {:>9}  {:>12}  {title}", "time", "share", "calls", "bytes");
        for (name, (seconds, calls, bytes)) in sums.iter().take(MOST) {
            let share = if computing > 0.0 { 100.0 * seconds / computing } else { 0.0 };
            let _ = writeln!(text, "{:>10}  {share:>5.1}%  {calls:>9}  {bytes:>12}  {name}", time(*seconds));
        }
        if sums.len() > MOST {
            let _ = writeln!(text, "{:>10}  and {} more", "", sums.len() - MOST);
        }
    };
    section("op", by(&|row| row.op.clone()));
    section("line", by(&|row| if row.location.is_empty() { "no line".to_owned() } else { line(&row.location).to_owned() }));
    let kernel = |row: &ProfileRow| row.kernel.map_or(String::new(), |kernel| format!("  kernel {kernel}"));
    section("application", by(&|row| format!("{} {} on {}  {}{}", row.op, row.types, row.device, row.location, kernel(row))));
    let mut kernels: BTreeMap<usize, Vec<&ProfileRow>> = BTreeMap::new();
    for row in &profile.rows {
        if let Some(kernel) = row.kernel {
            kernels.entry(kernel).or_default().push(row);
        }
    }
    if !kernels.is_empty() {
        let sums = kernels.iter().map(|(number, rows)| {
            let ops: Vec<&str> = rows.iter().map(|row| row.op.as_str()).collect();
            let sum = |of: &dyn Fn(&ProfileRow) -> u64| rows.iter().map(|row| of(row)).sum();
            (format!("kernel {number}: {}", ops.join(", ")), (rows.iter().map(|row| row.seconds).sum(), rows[0].calls, sum(&|row| row.bytes)))
        });
        section("kernel of several ops; shares of ops in it are by what such ops usually cost", sums.collect());
    }
    for (device, peak) in profile.peaks.iter().filter(|(_, peak)| *peak > 0) {
        let _ = writeln!(text, "\n{device}: {peak} bytes in use at the peak since it was opened");
    }
    text
}

/// The place without its column.
fn line(location: &str) -> &str {
    let mut ends = location.match_indices(':').map(|(at, _)| at).rev();
    match (ends.next(), ends.next()) {
        (Some(column), Some(_)) => &location[..column],
        _ => location,
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 1.0 => format!("{seconds:.3} s"),
        seconds if seconds >= 1e-3 => format!("{:.3} ms", seconds * 1e3),
        seconds => format!("{:.3} µs", seconds * 1e6),
    }
}

/// The profile in the format of Chrome's trace viewer, which Perfetto opens; the table's rows stand beside the
/// events. The phases of compiling end where time begins.
pub fn trace(profile: &Profile) -> Value {
    let micros = |seconds: f64| seconds * 1e6;
    let mut events = vec![
        json!({ "ph": "M", "pid": 1, "name": "process_name", "args": { "name": format!("arignote: {}", profile.function) } }),
        json!({ "ph": "M", "pid": 1, "tid": 0, "name": "thread_name", "args": { "name": "compiling" } }),
    ];
    let threads: BTreeSet<usize> = profile.slices.iter().map(|slice| slice.thread).collect();
    events.extend(threads.into_iter().map(|thread| {
        json!({ "ph": "M", "pid": 1, "tid": thread + 1, "name": "thread_name", "args": { "name": format!("calls of thread {thread}") } })
    }));
    let whole: f64 = profile.compiling.iter().map(|(_, seconds)| seconds).sum();
    let mut at = 0.0;
    for (name, seconds) in &profile.compiling {
        events.push(json!({ "ph": "X", "pid": 1, "tid": 0, "name": name, "cat": "compile", "ts": micros(at), "dur": micros(*seconds) }));
        at += seconds;
    }
    for slice in &profile.slices {
        events.push(json!({
            "ph": "X", "pid": 1, "tid": slice.thread + 1, "name": slice.name, "cat": slice.kind, "ts": micros(whole + slice.start),
            "dur": micros(slice.seconds), "args": { "device": slice.device, "line": slice.location },
        }));
    }
    json!({ "traceEvents": events, "displayTimeUnit": "ms", "profile": profile })
}
