//! The clock of the mode `profile`: when calls, programs and ops ran.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::Instant;

use super::walk::NodeEvent;
use crate::error::Result;
use crate::graph::Location;
use crate::plugin::{Argument, Executable, ProfileEntry};
use crate::tensor::{DeviceTensor, Shape};

/// Slices that are remembered at most; sums go on.
const SLICES: usize = 100_000;

/// A time that something took.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Slice {
    /// The op's name, or what else ran.
    pub name: String,
    /// `call`, `program` or `op`.
    pub kind: &'static str,
    /// Seconds from when the function was compiled.
    pub start: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The thread that called, counted from 0.
    pub thread: usize,
    /// The device, or nothing.
    pub device: String,
    /// The line of user code, or nothing.
    pub location: String,
}

/// What one application took, where each is computed alone.
#[derive(Clone, Debug)]
pub(super) struct NodeTime {
    pub op: String,
    pub device: String,
    pub location: Location,
    /// The ops of the bodies around it, outermost first.
    pub inside: Vec<&'static str>,
    number: usize,
    pub types: String,
    pub calls: u64,
    pub seconds: f64,
    pub bytes: u64,
}

/// When a function's calls ran.
pub(super) struct Clock {
    zero: Instant,
    times: Mutex<Times>,
}

/// Sums and slices so far.
#[derive(Default)]
pub(super) struct Times {
    pub calls: u64,
    pub seconds: f64,
    pub slices: Vec<Slice>,
    pub nodes: Vec<NodeTime>,
    threads: Vec<ThreadId>,
}

impl Times {
    fn push(&mut self, slice: Slice) {
        if self.slices.len() < SLICES {
            let own = std::thread::current().id();
            let known = self.threads.iter().position(|thread| *thread == own);
            let thread = known.unwrap_or_else(|| {
                self.threads.push(own);
                self.threads.len() - 1
            });
            self.slices.push(Slice { thread, ..slice });
        }
    }
}

impl Clock {
    pub fn new() -> Arc<Clock> {
        Arc::new(Clock { zero: Instant::now(), times: Mutex::default() })
    }

    pub fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn since(&self, start: Instant) -> f64 {
        start.saturating_duration_since(self.zero).as_secs_f64()
    }

    /// A call that began then is over.
    pub fn called(&self, name: &str, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        let mut times = self.times();
        times.calls += 1;
        times.seconds += seconds;
        let start = self.since(begun);
        times.push(Slice { name: name.to_owned(), kind: "call", start, seconds, thread: 0, device: String::new(), location: String::new() });
    }

    /// An application was computed alone.
    pub fn computed(&self, event: &NodeEvent<'_>) {
        let start = self.since(Instant::now()) - event.seconds;
        let mut times = self.times();
        let bytes: u64 = event.results.iter().map(|result| result.byte_len() as u64).sum();
        let same = |node: &NodeTime| {
            node.number == event.number && node.op == event.op && node.location == *event.location
                && node.inside.iter().eq(event.path.iter().map(|inside| &inside.op))
        };
        match times.nodes.iter_mut().find(|node| same(node)) {
            Some(node) => {
                node.calls += 1;
                node.seconds += event.seconds;
                node.bytes += bytes;
            }
            None => {
                let types: Vec<String> = event.results.iter().map(|result| result.ty().to_string()).collect();
                times.nodes.push(NodeTime {
                    op: event.op.to_owned(), device: event.device.to_owned(), location: event.location.clone(),
                    inside: event.path.iter().map(|inside| inside.op).collect(), number: event.number, types: types.join(", "),
                    calls: 1, seconds: event.seconds, bytes,
                });
            }
        }
        let location = if event.location.is_known() { event.location.to_string() } else { String::new() };
        times.push(Slice {
            name: event.op.to_owned(), kind: "op", start, seconds: event.seconds, thread: 0, device: event.device.to_owned(), location,
        });
    }
}

/// A program whose runs are noted: the whole, and in it the statements one after the other, as long as the device
/// says that they took.
pub(super) struct Timed {
    pub inner: Arc<dyn Executable>,
    pub clock: Arc<Clock>,
    pub device: String,
    pub ops: Vec<String>,
    pub locations: Vec<Location>,
}

impl Executable for Timed {
    fn run(&self, arguments: Vec<Argument>) -> Result<Vec<DeviceTensor>> {
        let before = self.inner.profile();
        let begun = Instant::now();
        let results = self.inner.run(arguments);
        let seconds = begun.elapsed().as_secs_f64();
        let start = self.clock.since(begun);
        let slice = |name: &str, kind, start, seconds, location: String| Slice {
            name: name.to_owned(), kind, start, seconds, thread: 0, device: self.device.clone(), location,
        };
        let mut times = self.clock.times();
        times.push(slice(&format!("program of {} ops", self.ops.len()), "program", start, seconds, String::new()));
        let mut at = start;
        for entry in self.inner.profile() {
            let old = before.iter().find(|old| old.statement == entry.statement).map_or(0.0, |old| old.seconds);
            let own = entry.seconds - old;
            if own > 0.0 {
                let location = self.locations.get(entry.statement).filter(|place| place.is_known());
                let name = self.ops.get(entry.statement).map_or("", String::as_str);
                let name = if entry.fused.len() > 1 { format!("{name} and {} more", entry.fused.len() - 1) } else { name.to_owned() };
                times.push(slice(&name, "op", at, own, location.map_or(String::new(), ToString::to_string)));
                at += own;
            }
        }
        results
    }

    fn workspace(&self, shapes: &[Shape]) -> Option<u64> {
        self.inner.workspace(shapes)
    }

    fn layout(&self, shapes: &[Shape]) -> Option<String> {
        self.inner.layout(shapes)
    }

    fn debug_text(&self) -> String {
        self.inner.debug_text()
    }

    fn profile(&self) -> Vec<ProfileEntry> {
        self.inner.profile()
    }
}
