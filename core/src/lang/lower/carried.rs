//! States that a loop updates though they are not its own: those of what stands around it, by name, and those of
//! the functions that its steps call. The loop carries them from step to step as it does its own.

use super::control::Step;
use super::expr::parts;
use super::value::Value;
use super::{Bound, Lowerer, Scope};
use crate::error::Result;
use crate::graph::{State, Var, clone_with};
use crate::lang::ast::{ExprId, ExprKind, Name, Scan, Stmt, StmtKind};
use crate::lang::source::Span;
use crate::tensor::Type;

/// A state of what stands around a loop that the loop updates.
pub(super) struct Carried<'a> {
    pub text: &'a str,
    /// Where it is updated.
    pub name: Name,
    /// Where it is declared.
    pub bound: Span,
    /// Its place among the states around.
    pub state: usize,
    /// What it is before the loop.
    pub value: Var,
}

/// A state of a function that the steps of a loop call.
pub(super) struct Called {
    /// What it is before the loop.
    pub value: Var,
    /// What stands for it in a step.
    pub param: Var,
    /// The state, unless nothing updates it.
    pub update: Option<State>,
}

impl<'a> Lowerer<'a> {
    /// The states of what stands around the loop that its steps update, or the loops in them, in the order of the text.
    pub(super) fn carried(&self, scan: &'a Scan, outer: &Scope<'a>, own: &[(&str, Type)]) -> Vec<Carried<'a>> {
        let mut carried: Vec<Carried<'a>> = Vec::new();
        for name in self.updated(scan) {
            let text = self.file.name(name);
            let known = own.iter().any(|(state, _)| *state == text) || carried.iter().any(|other| other.text == text);
            let Some(Bound { value: Value::Vars(vars), span, state: Some(state) }) = outer.names.get(text) else { continue };
            if let ([value], false) = (&vars[..], known) {
                carried.push(Carried { text, name, bound: *span, state: *state, value: value.clone() });
            }
        }
        carried
    }

    /// What `<-` names in the steps of a loop and of the loops in them.
    fn updated(&self, scan: &Scan) -> Vec<Name> {
        let (mut names, mut pending) = (Vec::new(), Vec::new());
        let read = |stmts: &[Stmt], names: &mut Vec<Name>, pending: &mut Vec<ExprId>, own: bool| {
            for stmt in stmts {
                match &stmt.kind {
                    // The initial values of its own states are computed before the loop.
                    StmtKind::State { init, .. } => pending.extend((!own).then_some(*init)),
                    StmtKind::Update { name, value } => {
                        names.push(*name);
                        pending.push(*value);
                    }
                    StmtKind::Assign { value, .. } | StmtKind::Until(value) => pending.push(*value),
                    StmtKind::Yield(values) => pending.extend(values),
                    StmtKind::Return(_) => {}
                }
            }
        };
        read(&scan.body, &mut names, &mut pending, true);
        while let Some(id) = pending.pop() {
            let expr = self.file.expr(id);
            pending.extend(parts(expr));
            if let ExprKind::Scan(inner) = &expr.kind {
                read(&inner.body, &mut names, &mut pending, false);
            }
        }
        names.sort_by_key(|name| name.span.start);
        names
    }

    /// The states of the functions that have been called since there were `before` states of called functions. What
    /// reads them in the step reads a parameter of the loop instead, and what they are next is added to `next`.
    ///
    /// # Errors
    /// Where a parameter does not fit.
    pub(super) fn called(&mut self, before: usize, next: &mut Vec<Var>, step: &mut Step) -> Result<Vec<Called>> {
        let mut called = Vec::new();
        for (state, value) in &self.called_values[before..] {
            let param = Var::input_at(state.name(), state.ty().clone(), value.node().location().clone());
            let place = self.called_updates.iter().rposition(|update| update.state.is(state));
            let update = place.map(|place| self.called_updates.remove(place));
            next.push(update.as_ref().map_or_else(|| value.clone(), |update| update.value.clone()));
            called.push(Called { value: value.clone(), param, update: update.map(|update| update.state) });
        }
        if called.is_empty() {
            return Ok(called);
        }
        let replacements: Vec<(Var, Var)> = called.iter().map(|state| (state.value.clone(), state.param.clone())).collect();
        let (count, yields) = (next.len(), step.yields.len());
        let all: Vec<Var> = next.drain(..).chain(step.yields.drain(..)).chain(step.until.take()).collect();
        let mut all = clone_with(&all, &replacements)?.into_iter();
        next.extend(all.by_ref().take(count));
        step.yields.extend(all.by_ref().take(yields));
        step.until = all.next();
        Ok(called)
    }
}
