//! `scan`, `if` and other blocks: statements that become a graph inside a node.
//!
//! Values of the surrounding function are used as they are while a body is built; closing the body then
//! finds them, as they are older than it.

use super::value::Value;
use super::{Bound, Lowerer, Scope};
use crate::error::{Error, Result};
use crate::graph::{Update, Var};
use crate::lang::ast::{Block, Custom, Expr, ExprId, If, Inside, Name, Scan, Stmt, StmtKind};
use crate::lang::source::Span;
use crate::ops::control::{
    CustomParts, ScanOptions, ScanParts, build_checkpoint, build_custom, build_if, build_scan, no_next, param, row,
};
use crate::tensor::Type;

impl<'a> Lowerer<'a> {
    /// A `scan` of these operands: the sequences and, if it is given, the number of steps.
    pub(super) fn scan(
        &mut self, expr: &Expr, scan: &'a Scan, parts: &[ExprId], operands: Vec<Value<'a>>, outer: &Scope<'a>,
    ) -> Result<Value<'a>> {
        let mut given = Vec::new();
        for (value, part) in operands.into_iter().zip(parts) {
            given.push(self.var(value, self.file.expr(*part).span)?);
        }
        let steps = scan.steps.and_then(|_| given.pop());
        let location = self.location(expr.span);
        let mut operands = given;
        // Initial values are computed once, before the loop, and see what is outside of it.
        let mut states: Vec<(&str, Type)> = Vec::new();
        for stmt in &scan.body {
            let StmtKind::State { name, ty, init } = &stmt.kind else { continue };
            let ty = self.state_type(outer, ty)?;
            let span = self.file.expr(*init).span;
            let value = self.eval(*init, outer)?;
            let text = self.file.name(*name);
            operands.push(self.fit(self.var(value, span)?, &ty, span, &format!("the state `{text}`"))?);
            states.push((text, ty));
        }
        let since = Var::next_id();
        let mut scope = outer.clone();
        let mut params = Vec::new();
        for ((name, value), sequence) in scan.sequences.iter().zip(&operands) {
            let span = self.file.expr(*value).span;
            let param = row(self.file.name(*name), sequence, &self.location(span)).map_err(|e| self.pointed(e, span))?;
            self.bind(&mut scope, *name, Value::Vars(vec![param.clone()]), None)?;
            params.push(param);
        }
        let declared = scan.body.iter().filter_map(|stmt| match &stmt.kind {
            StmtKind::State { name, .. } => Some(*name),
            _ => None,
        });
        // What stands outside is updated by name only through what this loop carries.
        scope.names.values_mut().for_each(|bound| bound.state = None);
        let own = states.len();
        for (at, (name, (text, ty))) in declared.zip(&states).enumerate() {
            let param = Var::input_at(text, ty.clone(), self.location(name.span));
            self.bind(&mut scope, name, Value::Vars(vec![param.clone()]), Some(at))?;
            params.push(param);
        }
        let carried = self.carried(scan, outer, &states);
        for (at, carried) in carried.iter().enumerate() {
            let param = Var::input_at(carried.text, carried.value.ty()?.clone(), self.location(carried.name.span));
            let value = Value::Vars(vec![param.clone()]);
            scope.names.insert(carried.text, Bound { value, span: carried.bound, state: Some(own + at) });
            states.push((carried.text, param.ty()?.clone()));
            operands.push(carried.value.clone());
            params.push(param);
        }
        let called = self.called_values.len();
        let mut body = self.steps(scan, &mut scope, &states)?;
        let mut next = Vec::new();
        for ((text, _), value) in states.iter().zip(std::mem::take(&mut body.next)) {
            next.push(value.ok_or_else(|| self.pointed(no_next(text), expr.span))?);
        }
        let called = self.called(called, &mut next, &mut body)?;
        for state in &called {
            operands.push(state.value.clone());
            params.push(state.param.clone());
        }
        let counts = (next.len(), body.yields.len());
        let parts = ScanParts {
            steps, operands, params, sequences: scan.sequences.len(), next, yields: body.yields, until: body.until, since,
            options: ScanOptions {
                keep: scan.options.keep.clone(), truncate: scan.options.truncate, checkpoint: scan.options.checkpoint,
                reverse: scan.options.reverse,
            },
        };
        let mut results = build_scan(parts, &location).map_err(|error| self.pointed(error, expr.span))?;
        for (carried, last) in carried.iter().zip(&results[own..]) {
            self.loop_updates.push((carried.state, carried.name, last.clone()));
        }
        for (called, last) in called.into_iter().zip(&results[states.len()..]) {
            self.called_updates.extend(called.update.map(|state| Update { state, value: last.clone() }));
        }
        // Its results are its own; a loop without any gives what it makes of the first others.
        let kept = if own + counts.1 > 0 { own } else if states.is_empty() { counts.0 } else { states.len() };
        results.drain(kept..counts.0);
        if counts.1 > 0 && !scan.finals {
            results.drain(..kept);
        }
        Ok(Value::Vars(results))
    }

    /// The statements of one step.
    fn steps(&mut self, scan: &'a Scan, scope: &mut Scope<'a>, states: &[(&str, Type)]) -> Result<Step> {
        let mut step = Step { next: vec![None; states.len()], ..Step::default() };
        let mut yielded = false;
        let around = std::mem::take(&mut self.loop_updates);
        for stmt in &scan.body {
            for (at, name, value) in std::mem::take(&mut self.loop_updates) {
                self.update_state(&mut step, at, name, value)?;
            }
            match &stmt.kind {
                StmtKind::State { .. } => {}
                StmtKind::Update { name, value } => {
                    let text = self.file.name(*name);
                    let Some(at) = states.iter().position(|(state, _)| *state == text) else {
                        let error = self.error(name.span, format!("the scan has no state `{text}`"));
                        return Err(error.note("a scan updates its own states, and those of the function and the loops that it stands in, \
                            but not from a branch or another block; yield a value to use it outside"));
                    };
                    let span = self.file.expr(*value).span;
                    let value = self.eval(*value, scope)?;
                    let var = self.fit(self.var(value, span)?, &states[at].1, span, &format!("the state `{text}`"))?;
                    self.update_state(&mut step, at, *name, var)?;
                }
                StmtKind::Yield(values) => {
                    if std::mem::replace(&mut yielded, true) {
                        return Err(self.error(stmt.span, "`yield` comes once in a scan").note("`yield a, b` yields several values"));
                    }
                    step.yields = self.all(values, scope)?;
                }
                StmtKind::Until(condition) => {
                    if step.until.is_some() {
                        return Err(self.error(stmt.span, "`until` comes once in a scan"));
                    }
                    let span = self.file.expr(*condition).span;
                    let value = self.eval(*condition, scope)?;
                    step.until = Some(self.var(value, span)?);
                }
                _ => self.inner(stmt, scope)?,
            }
        }
        for (at, name, value) in std::mem::replace(&mut self.loop_updates, around) {
            self.update_state(&mut step, at, name, value)?;
        }
        Ok(step)
    }

    fn update_state(&self, step: &mut Step, at: usize, name: Name, value: Var) -> Result<()> {
        match step.next[at].replace(value) {
            Some(_) => Err(self.error(name.span, format!("`{}` is updated already", self.file.name(name)))),
            None => Ok(()),
        }
    }

    /// An `if` of a condition.
    pub(super) fn choice(
        &mut self, expr: &Expr, choice: &'a If, condition: Value<'a>, outer: &Scope<'a>,
    ) -> Result<Value<'a>> {
        let condition = self.var(condition, self.file.expr(choice.cond).span)?;
        let since = Var::next_id();
        let then = self.branch(&choice.then, outer)?;
        let otherwise = self.branch(&choice.otherwise, outer)?;
        let built = build_if(&condition, &then, &otherwise, since, &self.location(expr.span));
        built.map(Value::Vars).map_err(|error| self.pointed(error, expr.span))
    }

    /// A block whose inside is computed again.
    pub(super) fn inside(&mut self, expr: &Expr, inside: &'a Inside, outer: &Scope<'a>) -> Result<Value<'a>> {
        let since = Var::next_id();
        let results = self.branch(&inside.block, outer)?;
        let built = build_checkpoint(inside.op, &results, since, &self.location(expr.span));
        built.map(Value::Vars).map_err(|error| self.pointed(error, expr.span))
    }

    /// A `custom_vjp` of these inputs.
    pub(super) fn custom(
        &mut self, expr: &Expr, custom: &'a Custom, parts: &[ExprId], operands: Vec<Value<'a>>, outer: &Scope<'a>,
    ) -> Result<Value<'a>> {
        let mut inputs = Vec::new();
        for (value, part) in operands.into_iter().zip(parts) {
            inputs.push(self.var(value, self.file.expr(*part).span)?);
        }
        let since = Var::next_id();
        let mut scope = outer.clone();
        let mut params = Vec::new();
        for ((name, _), input) in custom.inputs.iter().zip(&inputs) {
            let param = param(self.file.name(*name), input, &self.location(name.span))?;
            self.bind(&mut scope, *name, Value::Vars(vec![param.clone()]), None)?;
            params.push(param);
        }
        let outputs = self.branch(&custom.forward, &scope)?;
        if custom.given.len() != 2 * outputs.len() {
            let (names, results) = (custom.given.len(), outputs.len());
            let message = format!("{names} names for {results} results and as many cotangents");
            return Err(self.error(expr.span, message).note("`vjp` names the results first, and then their cotangents"));
        }
        let mut given = Vec::new();
        for (name, output) in custom.given.iter().zip(outputs.iter().chain(&outputs)) {
            let ty = output.ty()?;
            let ty = Type::new(ty.dtype, ty.dims.clone());
            let value = Var::input_at(self.file.name(*name), ty, self.location(name.span));
            self.bind(&mut scope, *name, Value::Vars(vec![value.clone()]), None)?;
            given.push(value);
        }
        let cotangents = self.branch(&custom.backward, &scope)?;
        let parts = CustomParts { inputs, params, outputs, given, cotangents, since };
        let built = build_custom(parts, &self.location(expr.span));
        built.map(Value::Vars).map_err(|error| self.pointed(error, expr.span))
    }

    fn branch(&mut self, block: &'a Block, outer: &Scope<'a>) -> Result<Vec<Var>> {
        let mut scope = outer.clone();
        scope.names.values_mut().for_each(|bound| bound.state = None);
        for stmt in &block.stmts {
            self.inner(stmt, &mut scope)?;
        }
        self.all(&block.results, &scope)
    }

    /// A statement that binds names.
    fn inner(&mut self, stmt: &'a Stmt, scope: &mut Scope<'a>) -> Result<()> {
        let StmtKind::Assign { targets, value } = &stmt.kind else {
            return Err(self.error(stmt.span, "only assignments stand here"));
        };
        self.count(stmt.span)?;
        let span = self.file.expr(*value).span;
        let value = self.eval(*value, scope)?;
        self.assign(scope, targets, value, span).map(drop)
    }

    fn all(&mut self, values: &[ExprId], scope: &Scope<'a>) -> Result<Vec<Var>> {
        let mut vars = Vec::new();
        for id in values {
            let value = self.eval(*id, scope)?;
            vars.extend(self.vars(value, self.file.expr(*id).span)?);
        }
        Ok(vars)
    }

    /// The error of a called function with a state, inside of a body.
    pub(super) fn stateless(&self, name: &str, span: Span) -> Error {
        let message = format!("`{name}` has a state, which an `if` or another block within a function cannot update");
        self.unsupported(span, &message).note("call it outside of the block, or pass the value as an argument")
    }
}

/// What the statements of a step state.
#[derive(Default)]
pub(super) struct Step {
    next: Vec<Option<Var>>,
    pub yields: Vec<Var>,
    pub until: Option<Var>,
}
