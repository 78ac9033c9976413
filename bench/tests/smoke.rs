//! Every workload at a tiny size: the cpu and the reference agree, in the first call and, with the new states, in the second.

use arignote::config::Config;
use arignote::prelude::*;
use arignote_bench::{Data, Kind, build, specifications};

fn session(device: &str) -> Session {
    arignote::session_with(Config::default().with("device", device).unwrap()).unwrap()
}

fn data(workload: &arignote_bench::Workload, seed: u64) -> Data {
    let mut random = fastrand::Rng::with_seed(seed);
    let inputs = workload.inputs.iter().map(|(name, input)| {
        let elements = (0..input.shape.iter().product()).map(|_| match input.kind {
            // About normal: the sum of twelve uniform numbers.
            Kind::Normal(scale) => scale * ((0..12).map(|_| random.f64()).sum::<f64>() - 6.0),
            Kind::Uniform(from, to) => from + (to - from) * random.f64(),
            Kind::Below(limit) => random.usize(..limit) as f64,
            Kind::Value(value) => value,
        });
        (name.clone(), Tensor::from_vec(elements.collect::<Vec<f64>>(), &input.shape).unwrap().cast(input.dtype))
    });
    inputs.collect()
}

#[test]
fn every_workload_agrees_with_the_reference() {
    let sessions = [session("reference"), session("cpu")];
    let workloads = specifications(true).unwrap();
    assert!(workloads.len() > 30, "workloads.toml has only {} formulas", workloads.len());
    for (seed, workload) in workloads.iter().enumerate() {
        let mut workload = workload.clone();
        // The reference is slow, and a loop of a few steps is a loop.
        workload.constants.entry("steps".into()).and_modify(|steps| *steps = (*steps).min(50));
        println!("{} with the seed {seed}", workload.name);
        let calls = sessions.each_ref().map(|session| {
            let task = build(session, &workload, data(&workload, seed as u64)).unwrap_or_else(|error| panic!("{}: {error}", workload.name));
            (0..2).flat_map(|_| {
                let mut values = task.function.call(&task.arguments).unwrap_or_else(|error| panic!("{}: {error}", workload.name));
                values.extend(task.states.iter().map(|state| session.get(state).unwrap()));
                values
            }).collect::<Vec<Tensor>>()
        });
        let [expected, found] = calls;
        let single = expected.iter().any(|value| value.dtype() == DType::F32);
        let tolerance = if single { 2e-6 } else { 1e-12 };
        for (number, (expected, found)) in expected.iter().zip(&found).enumerate() {
            assert_eq!((expected.dtype(), expected.shape()), (found.dtype(), found.shape()), "{}: value {number}", workload.name);
            let [expected, found] = [expected, found].map(Tensor::to_f64_vec);
            let scale = expected.iter().fold(1e-30, |scale: f64, value| scale.max(value.abs()));
            for (expected, found) in expected.iter().zip(&found) {
                let near = (expected - found).abs() <= tolerance * scale;
                assert!(near, "{}: value {number}: {found} where the reference has {expected}", workload.name);
            }
        }
    }
}
