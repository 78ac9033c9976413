//! A million nodes: nothing recurses over the depth of a graph, and nothing is worse than linear.
//!
//! The tests run on threads with the standard stack of 2 MiB, which a recursion of this depth would
//! overflow at once.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use arignote::config::Config;
use arignote::graph::{Graph, same_graph};
use arignote::lang;
use arignote::prelude::*;

/// Applications in the chain.
const LENGTH: usize = 1_000_000;

/// Processor time of all of it together in a build that is only lightly optimized, with a margin. What
/// is quadratic in a million takes hours.
const TIME: Duration = Duration::from_secs(600);

fn session() -> Session {
    let config = Config::default().with("device", "cpu").unwrap().with("fallback", Vec::<String>::new()).unwrap();
    arignote::session_with(config).unwrap()
}

/// Tells how long each part took, and how much memory the process holds.
struct Clock {
    start: Duration,
    last: Duration,
}

impl Clock {
    fn start() -> Clock {
        Clock { start: Clock::now(), last: Clock::now() }
    }

    /// Processor time of this thread where the system tells it, so that a busy machine does not count.
    fn now() -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = stat.split_whitespace().next().and_then(|field| field.parse().ok());
        nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
    }

    fn lap(&mut self, what: &str) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0) / 1024
        };
        let (now, peak) = (memory("VmRSS:"), memory("VmHWM:"));
        println!("{what}: {:.2} s, {now} MiB, peak {peak} MiB", (Clock::now() - self.last).as_secs_f64());
        self.last = Clock::now();
    }
}

#[test]
fn a_chain_of_a_million_nodes_goes_the_whole_way() {
    let mut clock = Clock::start();
    let (x, y) = (Var::input("x", Type::new(DType::F64, ["n".into()])), Var::input("y", Type::scalar(DType::F64)));
    let mut value = x.clone();
    for at in 0..LENGTH {
        value = if at % 10 == 9 { &value * &y } else { &value + &y };
    }
    clock.lap("build");

    let graph = Graph::from_vars(&[x.clone(), y.clone()], std::slice::from_ref(&value)).unwrap();
    assert_eq!(graph.len(), LENGTH + 2);
    let printed = lang::print_graph(&graph, "chain").unwrap();
    drop(graph);
    assert_eq!(printed.text.lines().count(), LENGTH + 3);
    clock.lap("print");

    let parsed = lang::load(lang::Source::new("chain.arig", printed.text)).unwrap().function(None).unwrap();
    clock.lap("parse");
    let pairs = [(parsed.inputs[0].clone(), x.clone()), (parsed.inputs[1].clone(), y.clone())];
    assert!(same_graph(&[parsed.outputs[0].1.clone()], std::slice::from_ref(&value), &pairs));
    drop((parsed, pairs));
    clock.lap("compare and drop");

    let total = value.sum(None);
    let gradient = grad(&total, &[&x]);
    let session = session();
    let f = FunctionBuilder::new("f").input(&x).input(&y).output(&total).output(&gradient[0]).build(&session).unwrap();
    assert!(f.compiled().nodes().len() >= LENGTH);
    clock.lap("differentiate and compile");

    // With y = 1 nine steps of ten add 1, and the derivative is 1.
    let arguments = [Tensor::vector(vec![0.0, 1.0]), Tensor::scalar(1.0)];
    let results = f.call(&arguments).unwrap();
    assert_eq!(results[0].item(), Some((2 * LENGTH / 10 * 9 + 1) as f64));
    assert_eq!(results[1].to_f64_vec(), [1.0, 1.0]);
    clock.lap("first call");
    assert_eq!(f.call(&arguments).unwrap()[1].to_f64_vec(), [1.0, 1.0]);
    clock.lap("second call");

    drop((f, total, gradient, value, session));
    clock.lap("drop");
    let all = Clock::now() - clock.start;
    assert!(all < TIME, "{all:?} is more than {TIME:?}");
}
