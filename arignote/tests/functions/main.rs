//! Functions, their states and files, and the operations on graphs that the API offers.

mod calls;
mod derivatives;
mod files;
mod fused;
mod graphs;
mod host;
mod inside;
mod loops;
mod outside;
mod packed;
mod states;
mod typed;

use arignote::config::Config;
use arignote::prelude::*;

/// A session on one device alone.
fn session(device: &str) -> Session {
    let config = Config::default().with("device", device).unwrap().with("fallback", Vec::<String>::new()).unwrap();
    arignote::session_with(config).unwrap()
}

/// A session on each backend that is linked in.
fn sessions() -> Vec<Session> {
    ["reference", "cpu"].into_iter().map(session).collect()
}

/// `f64` with these dims: names, `?` or lengths.
fn input(name: &str, dims: &[&str]) -> Var {
    Var::input(name, Type::new(DType::F64, dims.iter().map(|&dim| Dim::from(dim))))
}

fn vector(elements: &[f64]) -> Tensor {
    Tensor::vector(elements.to_vec())
}

/// Checks that an error says all of `parts`.
#[track_caller]
fn told<T>(result: Result<T>, parts: &[&str]) {
    let Err(error) = result else { panic!("an error was expected that says {parts:?}") };
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "the error lacks `{part}`:\n{text}");
    }
}
