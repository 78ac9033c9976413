//! The mode `nan-guard`: the first NaN, infinity or number beyond a limit stops the call.

use super::event::glimpse;
use super::{Compiled, Location, Node, NodeEvent, Observer, Session};
use crate::config::GuardAction;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::plugin::{Host, LogLevel};
use crate::runtime::compare::place;
use crate::tensor::Tensor;

pub(super) struct NanGuard {
    nan: bool,
    infinity: bool,
    limit: Option<f64>,
    /// Where warnings go, if what is found is no error.
    warns: Option<std::sync::Arc<crate::runtime::HostServices>>,
    /// What folding made while compiling: bad constants that the user did not write.
    folded: Vec<(Tensor, Location)>,
}

/// What is wrong with a tensor.
struct Bad {
    what: &'static str,
    count: usize,
    /// The place of the first.
    at: Vec<usize>,
    value: f64,
}

impl NanGuard {
    pub fn new(session: &Session, compiled: &Compiled) -> NanGuard {
        let config = session.config();
        let warns = (config.nan_guard_action() == GuardAction::Warn).then(|| session.host().clone());
        let mut guard = NanGuard {
            nan: config.nan_guard_nan(), infinity: config.nan_guard_infinity(), limit: config.nan_guard_limit(), warns,
            folded: Vec::new(),
        };
        let stated: Vec<Tensor> = constants(compiled.stated_graph()).into_iter().map(|(value, _)| value).collect();
        let new = |value: &Tensor| guard.find(value).is_some() && !stated.contains(value);
        guard.folded = constants(compiled.graph()).into_iter().filter(|(value, _)| new(value)).collect();
        guard
    }

    /// The first bad element.
    fn find(&self, tensor: &Tensor) -> Option<Bad> {
        if !tensor.dtype().is_float() {
            return None;
        }
        let kind = |value: f64| match value {
            value if value.is_nan() => self.nan.then_some("NaN"),
            value if value.is_infinite() => self.infinity.then_some("an infinity"),
            value => self.limit.is_some_and(|limit| value.abs() > limit).then_some("a number beyond the limit"),
        };
        let elements = tensor.to_f64_vec();
        let (first, what) = elements.iter().enumerate().find_map(|(flat, &value)| Some((flat, kind(value)?)))?;
        let count = elements.iter().filter(|value| kind(**value) == Some(what)).count();
        Some(Bad { what, count, at: place(first, tensor.shape()), value: elements[first] })
    }

    /// What the config says is to be done about it.
    fn tell(&self, error: Error) -> Result<()> {
        match &self.warns {
            Some(host) => {
                host.log(LogLevel::Warn, &error.to_string());
                Ok(())
            }
            None => Err(error.note("the mode \"nan-guard\" stops here; `nan-guard.*` of the config says what it looks for")),
        }
    }
}

impl Bad {
    fn message(&self, subject: &str, verb: &str, tensor: &Tensor) -> String {
        let count = match tensor.len() {
            1 => String::new(),
            all => format!(" at {} of {all} places, first at {:?}", self.count, self.at),
        };
        let value = if self.value.is_nan() { String::new() } else { format!(", {}", self.value) };
        format!("{subject} {verb} {}{value}{count}", self.what)
    }
}

impl Observer for NanGuard {
    fn given(&self, what: &str, value: &Tensor, location: &Location) -> Result<()> {
        let Some(bad) = self.find(value) else { return Ok(()) };
        let error = Error::new(ErrorKind::Runtime, bad.message(what, "holds", value)).at(location);
        self.tell(error.note(glimpse(value)))
    }

    fn before(&self, event: &NodeEvent<'_>) -> Result<()> {
        // Once a call, before its first node.
        if event.number > 0 || !event.path.is_empty() {
            return Ok(());
        }
        self.folded.iter().try_for_each(|(value, location)| self.given("a constant that was folded while compiling", value, location))
    }

    fn after(&self, event: &NodeEvent<'_>, _node: &Node) -> Result<()> {
        for (number, result) in event.results.iter().enumerate() {
            let Some(bad) = self.find(result) else { continue };
            let subject = match event.results.len() {
                1 => format!("`{}`", event.op),
                _ => format!("result {number} of `{}`", event.op),
            };
            let error = Error::new(ErrorKind::Runtime, bad.message(&subject, if number == 0 && event.results.len() == 1 { "gives" } else { "is" }, result));
            let error = event.with_operands(event.error(error), Some(&bad.at));
            self.tell(error.note(format!("result: {}", glimpse(result))).note(format!("node {} on {}", event.number, event.device)))?;
        }
        Ok(())
    }
}

fn constants(graph: &Graph) -> Vec<(Tensor, Location)> {
    let constant = |id| {
        let view = graph.node(id);
        view.constant().map(|constant| (constant.value.clone(), view.location.clone()))
    };
    graph.topological_order().into_iter().filter_map(constant).collect()
}
