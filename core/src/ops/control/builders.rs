//! Loops and branches from closures.

use super::chunks::chunked;
use super::{ScanLayout, internal};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Body, Location, Var};
use crate::ops::shape::concatenate;
use crate::ops::{Attributes, default_float, registry};
use crate::tensor::{DType, Tensor, Type};

/// A `scan` that was built over parameters of its own.
pub(crate) struct ScanParts {
    /// The number of steps, if it is given.
    pub steps: Option<Var>,
    /// The sequences and then the initial states.
    pub operands: Vec<Var>,
    /// What stands for one row of each sequence, and then for each state, in a step.
    pub params: Vec<Var>,
    /// How many of these are sequences.
    pub sequences: usize,
    /// The next states.
    pub next: Vec<Var>,
    /// What a step yields.
    pub yields: Vec<Var>,
    /// Whether the step is the last.
    pub until: Option<Var>,
    /// The number ([`Var::next_id`]) from which on nodes belong to the body.
    pub since: u64,
    /// What else is said about the loop.
    pub options: ScanOptions,
}

/// What is said about a `scan` beside its step.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScanOptions {
    /// For each yield how many of the last rows are kept; see [`ScanLayout::keep`].
    pub keep: Vec<i64>,
    /// Through how many of the last steps reverse mode goes.
    pub truncate: Option<i64>,
    /// After how many steps, each time, the states are kept for reverse mode.
    pub checkpoint: Option<i64>,
    /// Whether the steps go from the last row to the first.
    pub reverse: bool,
}

impl ScanOptions {
    /// # Errors
    /// If a number is not positive.
    fn check(&self) -> Result<()> {
        for (name, number) in [("truncate", self.truncate), ("checkpoint", self.checkpoint)] {
            if let Some(number) = number.filter(|&number| number < 1) {
                let message = format!("`{name}` is a number of steps, at least 1, not {number}");
                return Err(Error::new(ErrorKind::Type, message));
            }
        }
        Ok(())
    }
}

/// The final states and then the yields.
///
/// # Errors
/// If something is ill-typed.
pub(crate) fn build_scan(parts: ScanParts, location: &Location) -> Result<Vec<Var>> {
    parts.options.check()?;
    let mut outputs = parts.next;
    for (next, param) in outputs.iter_mut().zip(&parts.params[parts.sequences..]) {
        *next = adopted(next, param.ty()?.dtype)?;
    }
    for value in &parts.yields {
        outputs.push(settled(value)?);
    }
    outputs.extend(parts.until.clone());
    let (body, captured) = Body::close(&parts.params, &outputs, parts.since)?;
    let attributes = Attributes::new()
        .with("body", body)
        .with("counted", parts.steps.is_some())
        .with("sequences", parts.sequences as i64)
        .with("states", (parts.params.len() - parts.sequences) as i64)
        .with("until", parts.until.is_some())
        .with("keep", parts.options.keep)
        .with("reverse", parts.options.reverse)
        .with("truncate", parts.options.truncate.unwrap_or(0));
    let layout = ScanLayout::of(&attributes)?;
    let operands: Vec<Var> = parts.steps.into_iter().chain(parts.operands).chain(captured).collect();
    match parts.options.checkpoint {
        Some(every) => chunked(&layout, &operands, every, location),
        None => apply("scan", &operands, layout.attributes(), location),
    }
}

/// The results of an `if` whose branches were built from node `since` on.
///
/// # Errors
/// If something is ill-typed, or the branches do not fit together.
pub(crate) fn build_if(
    condition: &Var, then: &[Var], otherwise: &[Var], since: u64, location: &Location,
) -> Result<Vec<Var>> {
    if then.len() != otherwise.len() {
        let message = format!("the branches of an `if` have different numbers of results, {} and {}", then.len(), otherwise.len());
        return Err(Error::new(ErrorKind::Type, message).at(location));
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (a, b) in then.iter().zip(otherwise) {
        let (first, second) = (a.ty()?.clone(), b.ty()?.clone());
        let (a, b) = match (first.weak, second.weak) {
            (true, false) => (adopted(a, second.dtype)?, b.clone()),
            (false, true) => (a.clone(), adopted(b, first.dtype)?),
            (true, true) => {
                let common = first.dtype.promote(second.dtype);
                let common = if common.is_float() { default_float() } else { common };
                (cast(a, common), cast(b, common))
            }
            (false, false) => (a.clone(), b.clone()),
        };
        left.push(a);
        right.push(b);
    }
    let (bodies, captured) = Body::close_all(&[], &[&left, &right], since)?;
    let mut bodies = bodies.into_iter();
    let mut attributes = Attributes::new();
    for name in ["then", "otherwise"] {
        attributes.set(name, bodies.next().ok_or_else(|| internal("a branch is missing"))?);
    }
    let operands: Vec<Var> = std::iter::once(condition.clone()).chain(captured).collect();
    apply("if", &operands, attributes, location)
}

/// The results of an op, or its error.
pub(super) fn apply(op: &str, operands: &[Var], attributes: Attributes, location: &Location) -> Result<Vec<Var>> {
    let op = registry().get(op)?;
    let var = Var::apply_op(op, operands, attributes, location.clone());
    var.ty()?;
    Ok(var.siblings())
}

fn cast(var: &Var, dtype: DType) -> Var {
    let location = var.node().location().clone();
    Var::apply_at("cast", std::slice::from_ref(var), Attributes::new().with("dtype", dtype), location)
}

/// A number without a dtype as one of the given dtype, if its kind fits; other values as they are.
fn adopted(var: &Var, dtype: DType) -> Result<Var> {
    let ty = var.ty()?;
    Ok(if ty.weak && ty.dtype.kind() <= dtype.kind() { cast(var, dtype) } else { var.clone() })
}

/// A number without a dtype as what it is computed in.
fn settled(var: &Var) -> Result<Var> {
    let ty = var.ty()?;
    Ok(match (ty.weak, ty.dtype.is_float()) {
        (false, _) => var.clone(),
        (true, true) => cast(var, default_float()),
        (true, false) => cast(var, ty.dtype),
    })
}

/// A parameter for one row of a sequence.
///
/// # Errors
/// If the sequence is ill-typed or has no rows.
pub(crate) fn row(name: &str, sequence: &Var, location: &Location) -> Result<Var> {
    let ty = sequence.ty()?;
    if ty.rank() == 0 {
        let message = format!("a scan goes over the rows of a sequence; `{name}` would be a row of {ty}, which has none");
        return Err(Error::new(ErrorKind::Type, message).at(location));
    }
    let ty = Type::new(ty.dtype, ty.dims[1..].to_vec()).with_weak(ty.weak);
    Ok(Var::input_at(name, ty, location.clone()))
}

/// Builds a loop: sequences and states first, then one step as a closure.
///
/// ```
/// use arignote_core::graph::Var;
/// use arignote_core::ops::control::Scan;
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
/// let sums = Scan::new().sequence("x_t", &x).state("sum", &Var::scalar(0.0)).run(|step| {
///     let sum = step.get("sum") + step.get("x_t");
///     step.set("sum", &sum);
///     step.give(&sum);
/// });
/// assert_eq!(sums.stacked(0).ty().unwrap().to_string(), "f64[n]");
/// assert_eq!(sums.last("sum").ty().unwrap().to_string(), "f64[]");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Scan {
    sequences: Vec<(String, Var)>,
    states: Vec<(String, Var)>,
    /// The states that hold the values of several steps.
    histories: Vec<usize>,
    steps: Option<Var>,
    options: ScanOptions,
}

impl Scan {
    /// A loop without anything.
    pub fn new() -> Scan {
        Scan::default()
    }

    /// Goes over the rows of a value, one in each step.
    pub fn sequence(mut self, name: &str, values: &Var) -> Scan {
        self.sequences.push((name.to_owned(), values.clone()));
        self
    }

    /// Goes over the rows of a value at several distances from the step, a name for each (Theano's taps): -1 is the
    /// row before that of the step, 2 the second one behind it. The loop takes only the steps at which all of them
    /// are there.
    ///
    /// ```
    /// use arignote_core::graph::Var;
    /// use arignote_core::ops::control::Scan;
    /// use arignote_core::tensor::{DType, Type};
    /// let x = Var::input("x", Type::new(DType::F64, [10.into()]));
    /// let slopes = Scan::new().sequence_taps(&[("before", -1), ("after", 1)], &x);
    /// let slopes = slopes.run(|step| step.give(&((step.get("after") - step.get("before")) / 2.0)));
    /// assert_eq!(slopes.stacked(0).ty().unwrap().to_string(), "f64[8]");
    /// ```
    #[track_caller]
    pub fn sequence_taps(mut self, taps: &[(&str, i64)], values: &Var) -> Scan {
        let first = taps.iter().map(|(_, tap)| *tap).min().unwrap_or(0).min(0);
        let last = taps.iter().map(|(_, tap)| *tap).max().unwrap_or(0).max(0);
        for (name, tap) in taps {
            let rows = values.slice(0, Some(tap - first), (*tap < last).then(|| tap - last));
            self.sequences.push(((*name).to_owned(), rows));
        }
        self
    }

    /// The values of the last steps, as many as the initial value has rows, which are those of the steps before the
    /// first: in a step `get` gives them all, the newest last, so that `get("h").at(-2)` is the value two steps ago
    /// (Theano's taps of an output), and `set` takes the new value alone. [`Scanned::last`] gives as many again.
    ///
    /// ```
    /// use arignote_core::graph::Var;
    /// use arignote_core::ops::control::Scan;
    /// use arignote_core::tensor::Tensor;
    /// let start = Var::constant(Tensor::vector(vec![0i64, 1]));
    /// let fibonacci = Scan::new().steps(&Var::scalar(8i64)).history("f", &start).run(|step| {
    ///     let next = step.get("f").at(-1) + step.get("f").at(-2);
    ///     step.set("f", &next);
    ///     step.give(&next);
    /// });
    /// assert_eq!(fibonacci.last("f").ty().unwrap().to_string(), "i64[2]");
    /// ```
    pub fn history(mut self, name: &str, init: &Var) -> Scan {
        self.histories.push(self.states.len());
        self.state(name, init)
    }

    /// A value that lives from step to step. A number without a dtype takes the config's `float`, or `i64`.
    ///
    /// A state of a function goes on through a loop so: what it holds, [`Var::state`], is the initial value, and
    /// [`Scanned::last`] is what the function updates it to.
    pub fn state(mut self, name: &str, init: &Var) -> Scan {
        self.states.push((name.to_owned(), init.clone()));
        self
    }

    /// The number of steps, an integer scalar; needed where there is no sequence.
    pub fn steps(mut self, steps: &Var) -> Scan {
        self.steps = Some(steps.clone());
        self
    }

    /// The steps go from the last rows of the sequences to the first; rows that are yielded lie as those of the
    /// sequences do. Not for a loop with [`Step::until`] or rows of which only the last are kept.
    pub fn reverse(mut self) -> Scan {
        self.options.reverse = true;
        self
    }

    /// Derivatives in reverse mode go back through the last `steps` steps alone (truncated back-propagation
    /// through time, Williams and Peng 1990): what the steps before give is taken as constant, and the
    /// derivatives of their rows, and of the initial states if there are more steps than these, are 0. Only
    /// the last rows of what the way back needs are kept. In forward mode it is an error.
    pub fn truncate(mut self, steps: i64) -> Scan {
        self.options.truncate = Some(steps);
        self
    }

    /// Of n steps, reverse mode keeps the states after every `steps`th and computes the steps between them
    /// again when it comes to them: the memory for n / `steps` + `steps` states instead of n, least where
    /// `steps` is the square root of n (Griewank 1992, Chen et al. 2016), for the time of one more way
    /// forwards. Not for a loop with [`Step::until`].
    pub fn checkpoint_every(mut self, steps: i64) -> Scan {
        self.options.checkpoint = Some(steps);
        self
    }

    /// The loop with the step that the closure states. Whatever is wrong comes out as the error of the
    /// results.
    #[track_caller]
    pub fn run(self, body: impl FnOnce(&mut Step)) -> Scanned {
        let location = Location::caller();
        let names: Vec<String> = self.states.iter().map(|(name, _)| name.clone()).collect();
        let built = self.build(body, &location);
        Scanned { states: names, results: built.map_err(|error| error.at(&location)), location }
    }

    fn build(self, body: impl FnOnce(&mut Step), location: &Location) -> Result<Vec<Var>> {
        if self.sequences.is_empty() && self.steps.is_none() {
            return Err(Error::new(ErrorKind::Type, "a scan has a sequence, or a number of steps"));
        }
        let inits = self.states.iter().map(|(_, init)| settled(init)).collect::<Result<Vec<_>>>()?;
        let since = Var::next_id();
        let mut named: Vec<(String, Var)> = Vec::new();
        for (name, values) in &self.sequences {
            named.push((name.clone(), row(name, values, location)?));
        }
        for ((name, _), init) in self.states.iter().zip(&inits) {
            named.push((name.clone(), Var::input_at(name, init.ty()?.clone(), location.clone())));
        }
        let count = self.sequences.len();
        let params: Vec<Var> = named.iter().map(|(_, param)| param.clone()).collect();
        let mut step = Step {
            named, sequences: count, next: vec![None; self.states.len()], yields: Vec::new(), until: None, error: None,
        };
        body(&mut step);
        if let Some(error) = step.error {
            return Err(error);
        }
        let mut next = Vec::new();
        for (at, ((name, _), value)) in self.states.iter().zip(step.next).enumerate() {
            let value = value.ok_or_else(|| no_next(name))?;
            next.push(match self.histories.contains(&at) {
                true => newest(name, &params[count + at], &value)?,
                false => value,
            });
        }
        let operands = self.sequences.into_iter().map(|(_, values)| values).chain(inits).collect();
        let parts = ScanParts {
            steps: self.steps, operands, params, sequences: count, next, yields: step.yields, until: step.until, since,
            options: self.options,
        };
        build_scan(parts, location)
    }
}

/// The values of the last steps with a new one behind and the oldest dropped.
fn newest(name: &str, history: &Var, value: &Var) -> Result<Var> {
    let ty = history.ty()?;
    if ty.rank() == 0 {
        let message = format!("`{name}` holds the values of the last steps, one row for each; {ty} has no rows");
        return Err(Error::new(ErrorKind::Type, message));
    }
    let value = adopted(value, ty.dtype)?;
    Ok(concatenate(&[history.slice(0, Some(1), None), value.expand_dims(0)], 0))
}

/// The error of a state without a next value.
pub(crate) fn no_next(state: &str) -> Error {
    Error::new(ErrorKind::Type, format!("the state `{state}` has no next value"))
        .note("what never changes needs no state: a step reads whatever is there outside")
}

/// One step of a [`Scan`] while it is being stated.
#[derive(Debug)]
pub struct Step {
    named: Vec<(String, Var)>,
    sequences: usize,
    next: Vec<Option<Var>>,
    yields: Vec<Var>,
    until: Option<Var>,
    error: Option<Error>,
}

impl Step {
    /// The row of a sequence, or the value of a state at the start of the step.
    #[track_caller]
    pub fn get(&self, name: &str) -> Var {
        match self.named.iter().find(|(known, _)| known == name) {
            Some((_, var)) => var.clone(),
            None => Var::error(self.unknown(name), Location::caller()),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<String> = self.named.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = format!("a step has no `{name}`; it has {}", known.join(", "));
        Error::new(ErrorKind::Type, message)
    }

    /// The value of a state in the next step.
    pub fn set(&mut self, state: &str, value: &Var) {
        let found = self.named[self.sequences..].iter().position(|(known, _)| known == state);
        let error = match found {
            None => self.unknown(state),
            Some(at) if self.next[at].is_none() => {
                self.next[at] = Some(value.clone());
                return;
            }
            Some(_) => Error::new(ErrorKind::Type, format!("`{state}` is updated already")),
        };
        self.error.get_or_insert(error);
    }

    /// Adds a value to what the step gives; the loop stacks it over the steps.
    pub fn give(&mut self, value: &Var) {
        self.yields.push(value.clone());
    }

    /// Ends the loop after the step in which the condition, a `bool` scalar, holds.
    pub fn until(&mut self, condition: &Var) {
        if self.until.replace(condition.clone()).is_some() {
            self.error.get_or_insert(Error::new(ErrorKind::Type, "`until` stands twice in a step"));
        }
    }
}

/// What a [`Scan`] gives.
#[derive(Clone, Debug)]
pub struct Scanned {
    states: Vec<String>,
    results: Result<Vec<Var>>,
    location: Location,
}

impl Scanned {
    fn result(&self, at: Option<usize>, what: &str) -> Var {
        let found = self.results.clone().and_then(|results| {
            let missing = || Error::new(ErrorKind::Type, format!("the scan has no {what}"));
            at.and_then(|at| results.get(at).cloned()).ok_or_else(missing)
        });
        found.unwrap_or_else(|error| Var::error(error, self.location.clone()))
    }

    /// A yielded value, in the order of [`Step::give`], stacked along a new first axis.
    pub fn stacked(&self, number: usize) -> Var {
        self.result(Some(self.states.len() + number), &format!("value {number} of each step"))
    }

    /// The value of a state after the last step; the initial one if there was none.
    pub fn last(&self, state: &str) -> Var {
        self.result(self.states.iter().position(|name| name == state), &format!("state `{state}`"))
    }
}

/// `f` of each row of a value, stacked.
#[track_caller]
pub fn map(values: &Var, f: impl FnOnce(&Var) -> Var) -> Var {
    Scan::new().sequence("x", values).run(|step| step.give(&f(&step.get("x")))).stacked(0)
}

/// `f(... f(f(init, x[0]), x[1]) ...)` over the rows of a value.
#[track_caller]
pub fn fold(values: &Var, init: &Var, f: impl FnOnce(&Var, &Var) -> Var) -> Var {
    let loops = Scan::new().sequence("x", values).state("total", init);
    loops.run(|step| step.set("total", &f(&step.get("total"), &step.get("x")))).last("total")
}

/// Repeats `f` while `condition` holds of the value, which is checked before each step.
#[track_caller]
pub fn while_loop(init: &Var, condition: impl Fn(&Var) -> Var, f: impl FnOnce(&Var) -> Var) -> Var {
    // A scan checks after a step: the first check stands outside.
    let forever = Var::constant(Tensor::scalar(i64::MAX));
    let once = || {
        let loops = Scan::new().steps(&forever).state("x", init);
        let looped = loops.run(|step| {
            let next = f(&step.get("x"));
            step.set("x", &next);
            step.until(&condition(&next).logical_not());
        });
        vec![looped.last("x")]
    };
    if_else(&condition(init), once, || vec![init.clone()]).swap_remove(0)
}

/// The values of one of two closures, which state equally many values of equal dtypes and ranks. What
/// the other one states does not run.
///
/// ```
/// use arignote_core::graph::Var;
/// use arignote_core::ops::control::if_else;
/// use arignote_core::tensor::{DType, Type};
/// let x = Var::input("x", Type::scalar(DType::F64));
/// let y = if_else(&x.gt(&Var::weak(0.0)), || vec![x.log()], || vec![x.clone()]);
/// assert_eq!(y[0].ty().unwrap().to_string(), "f64[]");
/// ```
#[track_caller]
pub fn if_else(
    condition: &Var, then: impl FnOnce() -> Vec<Var>, otherwise: impl FnOnce() -> Vec<Var>,
) -> Vec<Var> {
    let location = Location::caller();
    let since = Var::next_id();
    let (then, otherwise) = (then(), otherwise());
    let count = then.len().max(1);
    build_if(condition, &then, &otherwise, since, &location)
        .unwrap_or_else(|error| vec![Var::error(error.at(&location), location.clone()); count])
}
