//! Times how long another thread takes to come to the work that it is given: while it looks for some, and once it sleeps.
//!
//!     cargo run --release -p arignote-core --example threads

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arignote_core::plugin::Host;
use arignote_core::runtime::HostServices;

/// Microseconds until two threads have begun, in the median, with so much time between one and the next.
fn microseconds(host: &dyn Host, between: Duration) -> f64 {
    let mut times: Vec<f64> = (0..2001).map(|_| {
        // Not asleep, but as a caller that computes.
        let start = Instant::now();
        while start.elapsed() < between { std::hint::spin_loop(); }
        let (begun, start) = (AtomicUsize::new(0), Instant::now());
        host.parallel_for(2, &|_| {
            begun.fetch_add(1, Ordering::SeqCst);
            // So that no thread takes both numbers.
            while begun.load(Ordering::SeqCst) < 2 { std::hint::spin_loop(); }
        });
        start.elapsed().as_secs_f64() * 1e6
    }).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let host = HostServices::new();
    if host.threads() < 2 {
        return println!("there is one processor");
    }
    println!("while it looks for work: {:.2} µs", microseconds(&*host, Duration::from_micros(5)));
    println!("once it sleeps: {:.2} µs", microseconds(&*host, Duration::from_millis(1)));
}
