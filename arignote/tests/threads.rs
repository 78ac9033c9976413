//! How many threads compute. The one test has a process of its own, as all sessions of a process share their threads.
#![cfg(target_os = "linux")]

use arignote::config::Config;
use arignote::prelude::*;

/// The threads of this process that compute, beside those that call.
fn workers() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("arignote-")).count()
}

#[test]
fn one_thread_is_that_which_calls() {
    let x = Var::input("x", Type::new(DType::F64, ["n".into(), "n".into()]));
    let given = Tensor::zeros(DType::F64, &[600, 600]);
    for (threads, expected) in [(1, false), (2, true)] {
        let config = Config::default().with("device", "cpu").unwrap().with("backend.cpu.threads", threads).unwrap();
        let f = FunctionBuilder::new("f").input(&x).output(&x.matmul(&x.exp())).build(&arignote::session_with(config).unwrap()).unwrap();
        for _ in 0..3 { f.call(std::slice::from_ref(&given)).unwrap(); }
        // On one processor there is nobody to wait for.
        let expected = expected && std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        assert_eq!(workers() > 0, expected, "{} beside the one that calls, of {threads}", workers());
    }
}
