//! How long the phases of compiling take. Each thread has a clock of its own that runs while it compiles, so that
//! what compiles on the way (initial values, constants) belongs to the phase that needs it.

use std::cell::RefCell;
use std::time::{Duration, Instant};

thread_local! {
    static PHASES: RefCell<Phases> = const { RefCell::new(Phases { known: Vec::new(), inner: Duration::ZERO }) };
}

struct Phases {
    known: Vec<(&'static str, Duration)>,
    /// What was measured inside the phase in hand.
    inner: Duration,
}

/// Runs a part of compiling; its time, without that of parts inside it, is added to the phase.
pub(super) fn phase<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    let around = PHASES.with_borrow_mut(|phases| std::mem::take(&mut phases.inner));
    let start = Instant::now();
    let result = work();
    let whole = start.elapsed();
    PHASES.with_borrow_mut(|phases| {
        let own = whole.saturating_sub(phases.inner);
        phases.inner = around + whole;
        match phases.known.iter_mut().find(|(known, _)| *known == name) {
            Some((_, time)) => *time += own,
            None => phases.known.push((name, own)),
        }
    });
    result
}

/// Runs a compilation and gives the seconds of its phases, in the order in which they first began.
pub(super) fn phases<T>(work: impl FnOnce() -> T) -> (T, Vec<(&'static str, f64)>) {
    let around = PHASES.with_borrow_mut(|phases| std::mem::take(&mut phases.known));
    let result = work();
    let own = PHASES.with_borrow_mut(|phases| std::mem::replace(&mut phases.known, around));
    (result, own.into_iter().map(|(name, time)| (name, time.as_secs_f64())).collect())
}
