//! A function for long: a thousand shapes, a hundred thousand calls, eight callers, and no more memory at the end than
//! once every shape was seen. Alone in its process, as it is the process's memory that is looked at.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicUsize, Ordering};

use arignote::config::Config;
use arignote::prelude::*;

const CALLERS: usize = 8;
const CALLS: usize = 100_000;
/// Shapes: so many rows, by so many columns.
const SHAPES: (usize, usize) = (40, 25);
/// Bytes of growth that are noise: of allocators that keep what each thread gave back.
const NOISE: usize = 8 << 20;

/// Bytes of the process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn memory_stays_constant() {
    let session = arignote::session_with(Config::default().with("device", "cpu").unwrap()).unwrap();
    let x = Var::input("x", Type::new(DType::F64, ["n".into(), "m".into()]));
    let y = (&x.t().matmul(&x).tanh().sum(Some(0)), &x.softmax(1).sum(None));
    let count = State::new("count", Tensor::scalar(0i64));
    let f = FunctionBuilder::new("f").input(&x).output(y.0).output(y.1).update(&count, &(Var::state(&count) + 1i64)).build(&session).unwrap();

    let done = AtomicUsize::new(0);
    let calls = |calls: usize| {
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    loop {
                        let at = done.fetch_add(1, Ordering::Relaxed);
                        if at >= calls {
                            break;
                        }
                        let (n, m) = (at % SHAPES.0 + 1, at / SHAPES.0 % SHAPES.1 + 1);
                        let results = f.call(&[Tensor::from_vec(vec![0.5f64; n * m], &[n, m]).unwrap()]).unwrap();
                        let expected = m as f64 * (0.25 * n as f64).tanh();
                        assert!(results[0].to_f64_vec().iter().all(|found| (found - expected).abs() < 1e-12 * expected), "{n} by {m}");
                        assert!((results[1].item().unwrap() - n as f64).abs() < 1e-12 * n as f64, "{n} by {m}");
                    }
                });
            }
        });
    };
    let mut reached = CALLS / 10;
    calls(reached);
    // The system may join pages, or an allocator keep some, by chance; what leaks does so in every round.
    let mut grown: Vec<usize> = Vec::new();
    while grown.len() < 2 && grown.iter().all(|&bytes| bytes > NOISE) {
        let before = resident();
        done.store(reached, Ordering::Relaxed);
        reached += CALLS;
        calls(reached);
        grown.push(resident().saturating_sub(before));
    }
    assert!(grown.iter().any(|&bytes| bytes <= NOISE), "{CALLS} calls took {grown:?} bytes more, round by round");
    // Calls that update a state take turns, so that none is lost; the last round of each caller makes no call.
    assert_eq!(session.get(&count).unwrap().item(), Some(reached as f64));
}
