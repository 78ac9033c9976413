//! The process's threads for kernels: started at the first work for more than one, asleep when there is none.
//!
//! The caller of [`parallel_for`] works too and never waits for a thread to wake: it invites threads with
//! tickets, takes back those that nobody took by the time all is handed out, and waits only for whoever came.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread without work looks for more before it sleeps: kernels of one call follow each other
/// faster, and waking takes several microseconds.
const LOOKING: Duration = Duration::from_micros(50);

/// What `parallel_for` was asked for, on the stack of its caller.
struct Work<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    count: usize,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Work<'_> {
    /// Takes numbers until none is left. A panic is kept for the caller, and nothing more is handed out.
    fn take_part(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.body)(number))) {
                self.next.store(self.count, Ordering::Relaxed);
                self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
                return;
            }
        }
    }
}

struct Threads {
    /// Held by the call whose work is done; another call meanwhile does its own.
    busy: Mutex<()>,
    work: AtomicPtr<Work<'static>>,
    /// How many more threads may come.
    tickets: AtomicUsize,
    /// How many came and are done.
    done: AtomicUsize,
    asleep: Mutex<usize>,
    sleepers: AtomicUsize,
    wake: Condvar,
    started: usize,
}

thread_local! {
    /// Whether this thread is inside of `parallel_for`: what is nested runs where it stands.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

static THREADS: OnceLock<&'static Threads> = OnceLock::new();

/// How many threads work at once at most: as many as the process may use processors.
pub(super) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Calls `body` with 0, 1, ... `count - 1`, in no fixed order, and returns when all calls have. A panic in
/// one is raised again here.
pub(super) fn parallel_for(count: usize, body: &(dyn Fn(usize) + Sync)) {
    if count <= 1 || self::count() <= 1 || INSIDE.get() {
        return (0..count).for_each(body);
    }
    let threads = THREADS.get_or_init(Threads::start);
    match threads.busy.try_lock() {
        Ok(_busy) => threads.share(count, body),
        Err(std::sync::TryLockError::Poisoned(poisoned)) => {
            let _busy = poisoned.into_inner();
            threads.share(count, body);
        }
        Err(std::sync::TryLockError::WouldBlock) => (0..count).for_each(body),
    }
}

impl Threads {
    fn start() -> &'static Threads {
        let started = count() - 1;
        let threads: &'static Threads = Box::leak(Box::new(Threads {
            busy: Mutex::new(()), work: AtomicPtr::new(std::ptr::null_mut()), tickets: AtomicUsize::new(0),
            done: AtomicUsize::new(0), asleep: Mutex::new(0), sleepers: AtomicUsize::new(0), wake: Condvar::new(), started,
        }));
        for number in 0..started {
            // Without the thread there is less help, but the work is done all the same.
            let _ = std::thread::Builder::new().name(format!("arignote-{number}")).spawn(|| threads.serve());
        }
        threads
    }

    fn share(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        let work = Work { body, count, next: AtomicUsize::new(0), panic: Mutex::new(None) };
        let invited = self.started.min(count - 1);
        self.done.store(0, Ordering::Relaxed);
        self.work.store((&raw const work).cast_mut().cast(), Ordering::Relaxed);
        self.tickets.store(invited, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            let _asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
            if invited == 1 { self.wake.notify_one() } else { self.wake.notify_all() }
        }
        INSIDE.set(true);
        work.take_part();
        INSIDE.set(false);
        let came = invited - self.tickets.swap(0, Ordering::SeqCst);
        let mut turns = 0u32;
        while self.done.load(Ordering::Acquire) < came {
            turns += 1;
            if turns.is_multiple_of(128) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        let panic = work.panic.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes a ticket if there is one.
    fn ticket(&self) -> bool {
        self.tickets.load(Ordering::Relaxed) > 0
            && self.tickets.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn serve(&self) {
        INSIDE.set(true);
        loop {
            self.await_ticket();
            // SAFETY: the caller that gave the ticket set the work before, and does not return, nor does
            // another set its own, until `done` has counted this thread.
            unsafe { &*self.work.load(Ordering::Relaxed) }.take_part();
            self.done.fetch_add(1, Ordering::Release);
        }
    }

    fn await_ticket(&self) {
        let began = Instant::now();
        let mut turns = 0u32;
        while !self.ticket() {
            turns += 1;
            std::hint::spin_loop();
            if !turns.is_multiple_of(64) || began.elapsed() < LOOKING {
                continue;
            }
            let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
            *asleep += 1;
            self.sleepers.store(*asleep, Ordering::SeqCst);
            // Whoever gives tickets from here on sees a sleeper, and wakes it once this lock is released.
            while self.tickets.load(Ordering::SeqCst) == 0 {
                asleep = self.wake.wait(asleep).unwrap_or_else(PoisonError::into_inner);
            }
            *asleep -= 1;
            self.sleepers.store(*asleep, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_taken_once() {
        for count in [0, 1, 2, 3, 1000] {
            let taken: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..100 {
                parallel_for(count, &|at| { taken[at].fetch_add(1, Ordering::Relaxed); });
            }
            assert!(taken.iter().all(|times| times.load(Ordering::Relaxed) == 100), "{count}");
        }
    }

    #[test]
    fn nested_and_concurrent_calls_finish() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        parallel_for(4, &|_| parallel_for(4, &|_| { total.fetch_add(1, Ordering::Relaxed); }));
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 200 * 16);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_ends_nothing_else() {
        for _ in 0..50 {
            let caught = catch_unwind(|| parallel_for(8, &|at| assert!(at != 5, "five")));
            assert!(caught.is_err());
            let total = AtomicUsize::new(0);
            parallel_for(8, &|at| { total.fetch_add(at, Ordering::Relaxed); });
            assert_eq!(total.into_inner(), 28);
        }
    }
}
