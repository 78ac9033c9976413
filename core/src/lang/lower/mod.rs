//! Syntax tree to graph.

mod call;
mod carried;
mod control;
mod expr;
mod value;

pub use self::expr::{binary_op_name, unary_op_name};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::value::Value;
use super::ast::{self, ExprId, File, Function, Name, StmtKind};
use super::source::Span;
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::graph::{Constant, FunctionGraph, Location, NodeKind, State, StateValue, Update, Var, inputs_of};
use crate::ops::Attributes;
use crate::tensor::{DType, Dim, Tensor, Type, check_rank};

/// How deep calls of functions may nest; they are inlined.
const MAX_CALL_DEPTH: usize = 128;

/// How many statements inlining may give: a stop for files whose functions call each other twice
/// on each of many levels.
const MAX_STATEMENTS: usize = 50_000_000;

/// A function as a graph, and which statement made which values.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The function.
    pub function: FunctionGraph,
    /// For each assignment of the function's own body, in order, the values that it binds.
    pub statements: Vec<Vec<Var>>,
}

/// The graph of a function of a parsed file: the one called `name`, or the only one.
///
/// # Errors
/// A name that does not exist or is bound twice, arguments that do not fit, an ill-typed
/// expression: each with its place in the text.
pub fn lower(file: &File, name: Option<&str>) -> Result<FunctionGraph> {
    let graph = lower_program(file, name, &[])?.function;
    if graph.outputs.is_empty() && graph.updates.is_empty() {
        let message = format!("`{}` computes nothing", graph.name);
        let error = Error::new(ErrorKind::Syntax, message);
        return Err(error.note("end it with a `return`, or give a state its next value with `<-`"));
    }
    Ok(graph)
}

/// As [`lower`], with the table of constants that `const(0)`, `const(1)`, ... stand for.
///
/// # Errors
/// As [`lower`].
pub fn lower_program(file: &File, name: Option<&str>, constants: &[Tensor]) -> Result<Lowered> {
    let mut lowerer = Lowerer::new(file, constants)?;
    let function = lowerer.find(name)?;
    lowerer.entry(function)
}

/// The results of a function of the file for given arguments: how an op that is defined by text is
/// put into a graph.
///
/// # Errors
/// As [`lower`], or where an argument does not fit its parameter.
pub fn inline(file: &File, name: &str, args: &[Var]) -> Result<Vec<Var>> {
    let mut lowerer = Lowerer::new(file, &[])?;
    let function = lowerer.find(Some(name))?;
    let args = args.iter().map(|var| (None, Value::Vars(vec![var.clone()]), function.name.span)).collect();
    let values = lowerer.inline(function, args, function.name.span)?;
    match lowerer.called_states.first() {
        None => Ok(values),
        Some(state) => {
            let message = format!("`{name}` has the state `{}`; an op that is given by text has none", state.name());
            let error = lowerer.unsupported(function.name.span, &message);
            Err(error.note("take the value as a parameter and return its next one"))
        }
    }
}

struct Lowerer<'a> {
    file: &'a File,
    name: Arc<str>,
    constants: &'a [Tensor],
    functions: HashMap<&'a str, &'a Function>,
    /// The functions being inlined, outermost first.
    calls: Vec<&'a str>,
    /// The states of the functions that were inlined, and what becomes of them.
    called_states: Vec<State>,
    /// What stands for each of them in the graph, in the order of the text.
    called_values: Vec<(State, Var)>,
    called_updates: Vec<Update>,
    /// The names of the states of the whole graph: a file of states goes by them.
    state_names: HashSet<String>,
    statements: usize,
    /// What the loops of a statement make of the states around them: which state, where it is updated, its
    /// value after the last step.
    loop_updates: Vec<(usize, Name, Var)>,
    /// How many branches and other blocks that update no states stand around what is being lowered.
    blocks: usize,
}

/// The names of one function.
#[derive(Clone, Default)]
struct Scope<'a> {
    names: FxHashMap<&'a str, Bound<'a>>,
    /// Dim names of parameters: which value, which axis.
    dims: FxHashMap<&'a str, (Var, usize)>,
}

#[derive(Clone)]
struct Bound<'a> {
    value: Value<'a>,
    span: Span,
    state: Option<usize>,
}

impl<'a> Lowerer<'a> {
    fn new(file: &'a File, constants: &'a [Tensor]) -> Result<Self> {
        let name = file.source.name().into();
        let mut lowerer = Self {
            file,
            name,
            constants,
            functions: HashMap::new(),
            calls: Vec::new(),
            called_states: Vec::new(),
            called_values: Vec::new(),
            called_updates: Vec::new(),
            state_names: HashSet::new(),
            statements: 0,
            loop_updates: Vec::new(),
            blocks: 0,
        };
        for function in file.functions() {
            if let Some(first) = lowerer.functions.insert(file.name(function.name), function) {
                return Err(lowerer.twice(function.name, first.name.span));
            }
        }
        Ok(lowerer)
    }

    fn find(&self, name: Option<&str>) -> Result<&'a Function> {
        let all = || self.file.functions().map(|f| self.file.name(f.name));
        let list = || all().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => self.functions.get(name).copied().ok_or_else(|| {
                let error = Error::new(ErrorKind::Syntax, format!("{} has no function `{name}`", self.name));
                match nearest(name, all()) {
                    Some(near) => error.note(format!("did you mean `{near}`?")),
                    None => error.note(format!("it has {}", list())),
                }
            }),
            None => match self.file.functions().collect::<Vec<_>>()[..] {
                [only] => Ok(only),
                [] => Err(Error::new(ErrorKind::Syntax, format!("{} has no function", self.name))),
                _ => {
                    let message = format!("{} has several functions; choose one of {}", self.name, list());
                    Err(Error::new(ErrorKind::Syntax, message))
                }
            },
        }
    }

    // ---- errors ----

    fn error(&self, span: Span, message: impl Into<String>) -> Error {
        self.file.source.error(span, message).into()
    }

    fn unsupported(&self, span: Span, message: &str) -> Error {
        let error = self.file.source.error(span, message);
        Error::new(ErrorKind::Unsupported, message).at(&self.location(span)).note(error.pointer())
    }

    /// An error of an op, with the text that it is about.
    fn pointed(&self, error: Error, span: Span) -> Error {
        let shown = error.location().is_some_and(|l| l.file == self.name);
        let error = error.at(&self.location(span));
        // An error that comes from another text, such as an op's own decomposition, keeps its place.
        if shown || error.location() == Some(&self.location(span)) {
            error.note(self.file.source.error(span, "").pointer())
        } else {
            error
        }
    }

    fn twice(&self, name: Name, first: Span) -> Error {
        let (line, column) = self.file.source.position(first.start);
        let text = self.file.name(name);
        let error = self.error(name.span, format!("`{text}` is bound already, at {line}:{column}"));
        error.note("names are bound once; choose another")
    }

    fn location(&self, span: Span) -> Location {
        let (line, column) = self.file.source.position(span.start);
        Location::new(self.name.clone(), line, column)
    }

    // ---- functions ----

    fn entry(&mut self, function: &'a Function) -> Result<Lowered> {
        let mut graph = FunctionGraph { name: self.file.name(function.name).to_owned(), ..Default::default() };
        let mut scope = Scope::default();
        // Its own states keep their names, wherever the called functions' stand.
        for stmt in &function.body {
            if let StmtKind::State { name, .. } = &stmt.kind {
                self.state_names.insert(self.file.name(*name).to_owned());
            }
        }
        for param in &function.params {
            let Some(ty) = &param.ty else {
                let message = format!("the input `{}` has no type", self.file.name(param.name));
                let error = self.error(param.name.span, message);
                return Err(error.note("a function that is compiled says what it takes, like `x: f32[n, 64]`"));
            };
            let ty = self.ty(ty)?;
            let default = match param.default {
                Some(id) => Some(self.constant_of(id, Some(&ty))?.value),
                None => None,
            };
            let var = Var::input_at(self.file.name(param.name), ty, self.location(param.name.span));
            self.bind_param(&mut scope, param, var.clone())?;
            graph.inputs.push(var);
            graph.defaults.push(default);
        }
        self.calls.push(self.file.name(function.name));
        let mut statements = Vec::new();
        self.body(function, &mut scope, &mut graph, Some(&mut statements))?;
        graph.states.append(&mut self.called_states);
        graph.updates.append(&mut self.called_updates);
        Ok(Lowered { function: graph, statements })
    }

    /// A call of a function of the file.
    fn inline(
        &mut self, function: &'a Function, args: Vec<(Option<&'a str>, Value<'a>, Span)>, span: Span,
    ) -> Result<Vec<Var>> {
        let name = self.file.name(function.name);
        if self.calls.contains(&name) {
            let path = self.calls.iter().chain([&name]).map(|n| format!("`{n}`")).collect::<Vec<_>>();
            let error = self.error(span, format!("`{name}` calls itself: {}", path.join(" calls ")));
            return Err(error.note("calls are inlined; a loop is written with `scan`"));
        }
        if self.calls.len() >= MAX_CALL_DEPTH {
            return Err(self.error(span, format!("calls nest more than {MAX_CALL_DEPTH} levels deep")));
        }
        let mut given: Vec<Option<(Value<'a>, Span)>> = function.params.iter().map(|_| None).collect();
        for (position, (keyword, value, at)) in args.into_iter().enumerate() {
            let index = match keyword {
                None => position,
                Some(k) => {
                    let names = || function.params.iter().map(|p| self.file.name(p.name));
                    names().position(|n| n == k).ok_or_else(|| {
                        let error = self.error(at, format!("`{name}` has no parameter `{k}`"));
                        match nearest(k, names()) {
                            Some(near) => error.note(format!("did you mean `{near}`?")),
                            None => error,
                        }
                    })?
                }
            };
            let count = function.params.len();
            let Some(slot) = given.get_mut(index) else {
                return Err(self.error(at, format!("`{name}` takes {count} arguments")));
            };
            if slot.replace((value, at)).is_some() {
                return Err(self.error(at, "this argument is given twice"));
            }
        }
        let mut scope = Scope::default();
        for (param, given) in function.params.iter().zip(given) {
            let ty = param.ty.as_ref().map(|ty| self.ty(ty)).transpose()?;
            let var = match (given, param.default) {
                (Some((value, at)), _) => {
                    let var = self.var(value, at)?;
                    match &ty {
                        Some(ty) => self.fit(var, ty, at, "the parameter")?,
                        None => var,
                    }
                }
                (None, Some(id)) => Var::constant_at(self.constant_of(id, ty.as_ref())?, self.location(span)),
                (None, None) => {
                    let message = format!("`{name}` needs an argument `{}`", self.file.name(param.name));
                    return Err(self.error(span, message));
                }
            };
            self.bind_param(&mut scope, param, var)?;
        }
        let mut graph = FunctionGraph::default();
        self.calls.push(name);
        let done = self.body(function, &mut scope, &mut graph, None);
        self.calls.pop();
        done?;
        if graph.outputs.is_empty() {
            return Err(self.error(span, format!("`{name}` has no `return`, so this call has no value")));
        }
        if self.blocks > 0 && !graph.states.is_empty() {
            return Err(self.stateless(name, span));
        }
        self.called_states.append(&mut graph.states);
        self.called_updates.append(&mut graph.updates);
        Ok(graph.outputs.into_iter().map(|(_, var)| var).collect())
    }

    fn bind_param(&self, scope: &mut Scope<'a>, param: &'a ast::Param, var: Var) -> Result<()> {
        for (axis, dim) in param.ty.iter().flat_map(|ty| &ty.dims).enumerate() {
            let ast::Dim::Named(dim) = dim else { continue };
            let found = scope.dims.entry(self.file.name(*dim)).or_insert_with(|| (var.clone(), axis)).clone();
            let (first, here) = (&found.0.ty()?.dims[found.1], &var.ty()?.dims[axis]);
            if !first.compatible(here) {
                let message = format!("`{}` is {first} and {here}", self.file.name(*dim));
                return Err(self.error(dim.span, message));
            }
        }
        self.bind(scope, param.name, Value::Vars(vec![var]), None)
    }

    fn bind(&self, scope: &mut Scope<'a>, name: Name, value: Value<'a>, state: Option<usize>) -> Result<()> {
        let bound = Bound { value, span: name.span, state };
        match scope.names.insert(self.file.name(name), bound) {
            Some(first) => Err(self.twice(name, first.span)),
            None => Ok(()),
        }
    }

    fn ty(&self, ty: &ast::Type) -> Result<Type> {
        let dtype = self.dtype(ty.dtype)?;
        check_rank(ty.dims.len()).map_err(|error| self.error(ty.span, error.message().to_owned()))?;
        let dims = ty.dims.iter().map(|dim| {
            Ok(match dim {
                ast::Dim::Known(n) => Dim::Known(
                    usize::try_from(*n).map_err(|_| self.error(ty.span, format!("{n} is too large for a dim")))?,
                ),
                ast::Dim::Named(name) => Dim::from(self.file.name(*name)),
                ast::Dim::Unknown => Dim::Unknown,
            })
        });
        Ok(Type::new(dtype, dims.collect::<Result<Vec<_>>>()?))
    }

    fn dtype(&self, name: Name) -> Result<DType> {
        let word = self.file.name(name);
        word.parse().map_err(|_| self.unsupported(name.span, &format!("the dtype `{word}` is not supported yet")))
    }

    /// A literal, of a type if one is declared: the default of a parameter.
    fn constant_of(&mut self, id: ExprId, ty: Option<&Type>) -> Result<Constant> {
        let span = self.file.expr(id).span;
        let value = self.eval(id, &Scope::default())?;
        let mut var = self.var(value, span)?;
        if let Some(ty) = ty {
            var = self.fit(var, ty, span, "the default")?;
        }
        match var.node().kind() {
            NodeKind::Constant(constant) => Ok(constant.clone()),
            _ => Err(self.error(span, "a default is a literal")),
        }
    }

    /// Checks that a value has a declared type; a value without a dtype of its own takes the declared
    /// one.
    fn fit(&self, var: Var, ty: &Type, span: Span, what: &str) -> Result<Var> {
        let own = var.ty()?.clone();
        let dims_fit = own.rank() == ty.rank() && own.dims.iter().zip(&ty.dims).all(|(a, b)| a.compatible(b));
        if !dims_fit || !(own.dtype == ty.dtype || own.weak && kind_fits(own.dtype, ty.dtype)) {
            return Err(self.error(span, format!("{what} has the type {ty}, but this is {own}")));
        }
        if own.dtype == ty.dtype && !own.weak {
            return Ok(var);
        }
        let location = self.location(span);
        if let NodeKind::Constant(constant) = var.node().kind() {
            let value = constant.value.cast(ty.dtype);
            if ty.dtype.is_integer() && !value.cast(own.dtype).identical(&constant.value) {
                return Err(self.error(span, format!("this does not fit into `{}`", ty.dtype)));
            }
            return Ok(Var::constant_at(Constant { value, weak: false }, location));
        }
        let cast = Var::apply_at("cast", &[var], Attributes::new().with("dtype", ty.dtype), location);
        cast.ty().map_err(|e| self.pointed(e, span))?;
        Ok(cast)
    }

    // ---- statements ----

    fn body(
        &mut self, function: &'a Function, scope: &mut Scope<'a>, graph: &mut FunctionGraph,
        mut record: Option<&mut Vec<Vec<Var>>>,
    ) -> Result<()> {
        let mut returned = false;
        let around = std::mem::take(&mut self.loop_updates);
        for stmt in &function.body {
            self.count(stmt.span)?;
            if returned {
                return Err(self.error(stmt.span, "nothing stands after `return`"));
            }
            match &stmt.kind {
                StmtKind::State { name, ty, init } => self.state(scope, graph, *name, ty, *init)?,
                StmtKind::Update { name, value } => self.update(scope, graph, *name, *value)?,
                StmtKind::Assign { targets, value } => {
                    let span = self.file.expr(*value).span;
                    let value = self.eval(*value, scope)?;
                    let vars = self.assign(scope, targets, value, span)?;
                    if let Some(record) = &mut record {
                        record.push(vars);
                    }
                }
                StmtKind::Return(outputs) => {
                    returned = true;
                    for output in outputs {
                        let span = self.file.expr(output.value).span;
                        let value = self.eval(output.value, scope)?;
                        let vars = self.vars(value, span)?;
                        let name = output.name.map(|n| self.file.name(n).to_owned());
                        if name.is_some() && vars.len() != 1 {
                            return Err(self.error(span, format!("one name for {} results", vars.len())));
                        }
                        graph.outputs.extend(vars.into_iter().map(|var| (name.clone(), var)));
                    }
                }
                StmtKind::Yield(_) | StmtKind::Until(_) => {
                    return Err(self.error(stmt.span, "this stands only in a `scan`"));
                }
            }
            for (index, name, value) in std::mem::take(&mut self.loop_updates) {
                self.push_update(graph, index, name, value)?;
            }
        }
        self.loop_updates = around;
        Ok(())
    }

    /// Counts one more statement.
    fn count(&mut self, span: Span) -> Result<()> {
        self.statements += 1;
        if self.statements > MAX_STATEMENTS {
            return Err(self.error(span, format!("more than {MAX_STATEMENTS} statements after inlining")));
        }
        Ok(())
    }

    fn assign(
        &mut self, scope: &mut Scope<'a>, targets: &'a [Name], value: Value<'a>, span: Span,
    ) -> Result<Vec<Var>> {
        if let ([name], Value::List(parts)) = (targets, &value)
            && !parts.iter().any(|part| matches!(part, Value::List(_)))
        {
            // A list keeps its parts apart, so that `concatenate(parts)` works. Nested ones do not: lists
            // of lists of lists through names could nest without limit.
            self.bind(scope, *name, value, None)?;
            return Ok(Vec::new());
        }
        let vars = self.vars(value, span)?;
        if vars.len() != targets.len() {
            let (found, names) = (vars.len(), targets.len());
            let s = if found == 1 { "" } else { "s" };
            return Err(self.error(span, format!("{names} names for {found} result{s}")));
        }
        for (name, var) in targets.iter().zip(&vars) {
            self.bind(scope, *name, Value::Vars(vec![var.clone()]), None)?;
        }
        Ok(vars)
    }

    /// The declared type of a state.
    fn state_type(&self, scope: &Scope<'a>, ty: &ast::Type) -> Result<Type> {
        let mut ty = self.ty(ty)?;
        if self.calls.len() > 1 {
            // A dim name of a called function may mean something else in the caller.
            for dim in &mut ty.dims {
                let Dim::Named(name) = &dim else { continue };
                *dim = match scope.dims.get(&**name) {
                    Some((var, axis)) => var.ty()?.dims[*axis].clone(),
                    None => Dim::Unknown,
                };
            }
        }
        Ok(ty)
    }

    fn state(
        &mut self, scope: &mut Scope<'a>, graph: &mut FunctionGraph, name: Name, ty: &ast::Type, init: ExprId,
    ) -> Result<()> {
        let ty = self.state_type(scope, ty)?;
        let span = self.file.expr(init).span;
        let value = self.eval(init, scope)?;
        let var = self.var(value, span)?;
        let var = self.fit(var, &ty, span, "the state")?;
        if !inputs_of(std::slice::from_ref(&var)).is_empty() {
            return Err(self.error(span, "the initial value of a state cannot depend on inputs or other states"));
        }
        let value = match var.node().kind() {
            NodeKind::Constant(constant) => StateValue::Host(constant.value.clone()),
            _ => StateValue::Unset(var),
        };
        let state = State::with_type(&self.state_name(name), ty, value);
        let var = Var::state_at(&state, self.location(name.span));
        if self.calls.len() > 1 {
            self.called_values.push((state.clone(), var.clone()));
        }
        self.bind(scope, name, Value::Vars(vec![var]), Some(graph.states.len()))?;
        graph.states.push(state);
        Ok(())
    }

    /// The name of a state in the whole graph: in a called function, with the calls that lead to it and,
    /// where that is taken, a number.
    fn state_name(&mut self, name: Name) -> String {
        let own = self.file.name(name);
        if self.calls.len() <= 1 {
            return own.to_owned();
        }
        let path: Vec<&str> = self.calls.iter().skip(1).copied().chain([own]).collect();
        let stem = path.join("_");
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        let free = std::iter::once(stem.clone()).chain(numbered).find(|name| !self.state_names.contains(name));
        let chosen = free.unwrap_or(stem);
        self.state_names.insert(chosen.clone());
        chosen
    }

    fn update(
        &mut self, scope: &mut Scope<'a>, graph: &mut FunctionGraph, name: Name, value: ExprId,
    ) -> Result<()> {
        let text = self.file.name(name);
        let Some(index) = scope.names.get(text).and_then(|bound| bound.state) else {
            let states: Vec<&str> = scope.names.iter().filter(|(_, b)| b.state.is_some()).map(|(n, _)| *n).collect();
            let error = self.error(name.span, format!("there is no state `{text}`"));
            return Err(match nearest(text, states) {
                Some(near) => error.note(format!("did you mean `{near}`?")),
                None => error.note("`<-` updates what `state` declares; `=` binds a new name"),
            });
        };
        let span = self.file.expr(value).span;
        let value = self.eval(value, scope)?;
        let var = self.var(value, span)?;
        let value = self.fit(var, graph.states[index].ty(), span, "the state")?;
        self.push_update(graph, index, name, value)
    }

    fn push_update(&self, graph: &mut FunctionGraph, index: usize, name: Name, value: Var) -> Result<()> {
        let state = graph.states[index].clone();
        if graph.updates.iter().any(|update| update.state.is(&state)) {
            return Err(self.error(name.span, format!("`{}` is updated already", self.file.name(name))));
        }
        graph.updates.push(Update { state, value });
        Ok(())
    }
}

/// Whether a number without a dtype, which is computed in `own`, may take a dtype.
fn kind_fits(own: DType, dtype: DType) -> bool {
    let rank = |dtype: DType| if dtype.is_float() { 2 } else { u8::from(dtype != DType::Bool) };
    rank(own) <= rank(dtype)
}
