//! Graph to text that parses back to an equal graph.

mod control;

use std::collections::HashSet;
use std::fmt::Write;

use rustc_hash::FxHashMap;

use super::ast::{BinaryOp, UnaryOp};
use super::lexer::{is_reserved, quote};
use super::lower::{binary_op_name, unary_op_name};
use crate::error::Result;
use crate::graph::{Constant, FunctionGraph, Graph, Location, NodeKind, State, StateValue, Var, topological_order};
use crate::ops::effects::effects_of;
use crate::ops::{Attribute, AttributeKind, Attributes, IndexBound, IndexItem, Op, Param, ParamKind, registry};
use crate::tensor::{DType, Dim, Tensor, Type};

/// Constants of up to this many elements stand in the text, larger ones in the table.
const INLINE: usize = 16;

/// A graph as text, with what stands beside the text.
#[derive(Clone, Debug)]
pub struct Printed {
    /// A file with one function.
    pub text: String,
    /// What `const(0)`, `const(1)`, ... stand for.
    pub constants: Vec<Tensor>,
    /// For each assignment, in order, one of the values that it binds.
    pub statements: Vec<Var>,
    /// For each line of the text the place of what it states; unknown if it states nothing.
    pub places: Vec<Location>,
}

/// A function as text. Each statement binds the results of one op; constants stand where they are
/// used. [`lower_program`](super::lower_program) with the table gives an equal graph back.
///
/// # Errors
/// If a value is ill-typed, or the value of a state cannot be read.
pub fn print(function: &FunctionGraph) -> Result<Printed> {
    printed(function, Printer::default())
}

fn printed(function: &FunctionGraph, mut printer: Printer) -> Result<Printed> {
    printer.function(function)?;
    // A value has its name to itself in the whole text.
    let stated = |line: &str| {
        let name = line.trim_start().split([' ', ',']).next().unwrap_or_default();
        printer.places.get(name).cloned().unwrap_or_else(Location::unknown)
    };
    let places = printer.text.lines().map(stated).collect();
    Ok(Printed { text: printer.text, constants: printer.constants, statements: printer.statements, places })
}

/// An owned graph as text, as [`print()`] does; its statements are in the graph's own order.
///
/// # Errors
/// As [`print()`].
pub fn print_graph(graph: &Graph, name: &str) -> Result<Printed> {
    let (inputs, outputs) = graph.to_vars()?;
    let mut states: Vec<State> = Vec::new();
    for var in topological_order(&outputs) {
        if let NodeKind::State(state) = var.node().kind()
            && !states.iter().any(|s| s.is(state))
        {
            states.push(state.clone());
        }
    }
    let function = FunctionGraph {
        name: name.to_owned(),
        defaults: vec![None; inputs.len()],
        inputs,
        outputs: outputs.into_iter().map(|var| (None, var)).collect(),
        updates: Vec::new(),
        states,
    };
    printed(&function, Printer { graph_order: true, ..Printer::default() })
}

#[derive(Default)]
struct Printer {
    /// Whether statements are in the order of the graph; else effects come as early as they can, in the
    /// order in which they were built.
    graph_order: bool,
    text: String,
    constants: Vec<Tensor>,
    statements: Vec<Var>,
    /// Where what a name stands for was built, by the first name of each statement.
    places: FxHashMap<String, Location>,
    names: FxHashMap<(u64, u32), String>,
    states: Vec<(State, String)>,
    taken: HashSet<String>,
    /// Numbers for values, and apart from them for renamed inputs, so that renaming an input does not
    /// shift the values' names.
    next: usize,
    renamed: usize,
    /// How many bodies stand around the statements being written.
    depth: usize,
    /// The values named inside of bodies, to be forgotten at their ends.
    inner: Vec<(u64, u32)>,
}

impl Printer {
    fn function(&mut self, function: &FunctionGraph) -> Result<()> {
        // A function named like an op, or like the table, would hide it from its own statements.
        let hides = function.name == "const" || registry().get(&function.name).is_ok();
        let usable = is_name(&function.name) && !hides;
        let name = if usable { function.name.as_str() } else { "main" };
        let mut params = Vec::new();
        for (i, var) in function.inputs.iter().enumerate() {
            let wanted = match var.node().kind() {
                NodeKind::Input(name) => name.to_string(),
                _ => String::new(),
            };
            let name = self.fresh(&wanted, "x");
            let mut param = format!("{name}: {}", type_text(var.ty()?));
            if let Some(Some(default)) = function.defaults.get(i) {
                let constant = Constant { value: default.clone(), weak: false };
                let _ = write!(param, " = {}", self.constant(&constant));
            }
            self.names.insert(var.key(), name);
            params.push(param);
        }
        let _ = writeln!(self.text, "fn {name}({}) {{", params.join(", "));
        for state in &function.states {
            let name = self.fresh(state.name(), "s");
            self.states.push((state.clone(), name));
        }
        for (state, name) in self.states.clone() {
            let value = state.lock().clone();
            let init = match value {
                StateValue::Host(value) => self.constant(&Constant { value, weak: false }),
                StateValue::Device(value) => self.constant(&Constant { value: value.to_host()?, weak: false }),
                StateValue::Unset(var) => {
                    self.values(std::slice::from_ref(&var))?;
                    self.operand(&var)
                }
            };
            let _ = writeln!(self.text, "    state {name}: {} = {init}", type_text(state.ty()));
        }
        let updates = function.updates.iter().map(|update| &update.value);
        let results: Vec<Var> = updates.chain(function.outputs.iter().map(|(_, var)| var)).cloned().collect();
        self.values(&results)?;
        for update in &function.updates {
            let value = self.operand(&update.value);
            if let Some((_, name)) = self.states.iter().find(|(state, _)| state.is(&update.state)) {
                let _ = writeln!(self.text, "    {name} <- {value}");
            }
        }
        let outputs: Vec<String> = function
            .outputs
            .iter()
            .map(|(name, var)| match name {
                Some(name) if is_name(name) => format!("{name}={}", self.operand(var)),
                _ => self.operand(var),
            })
            .collect();
        if !outputs.is_empty() {
            let _ = writeln!(self.text, "    return {}", outputs.join(", "));
        }
        self.text.push_str("}\n");
        Ok(())
    }

    /// A name nobody has yet: the wanted one, if it can be a name, or a numbered one.
    fn fresh(&mut self, wanted: &str, otherwise: &str) -> String {
        let stem = if is_name(wanted) { wanted } else { otherwise };
        if stem == wanted && self.taken.insert(stem.to_owned()) {
            return stem.to_owned();
        }
        loop {
            let name = format!("{stem}_{}", self.renamed);
            self.renamed += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// The statements that the results need and that are not there yet.
    fn values(&mut self, results: &[Var]) -> Result<()> {
        let mut roots = if self.graph_order && self.depth == 0 { Vec::new() } else { effects_of(results, 0) };
        roots.extend_from_slice(results);
        for var in topological_order(&roots) {
            var.node().results()?;
            let siblings = var.siblings();
            if siblings.iter().any(|sibling| self.names.contains_key(&sibling.key())) {
                continue;
            }
            match var.node().kind() {
                NodeKind::Constant(_) => continue,
                NodeKind::State(state) => {
                    let found = self.states.iter().find(|(s, _)| s.is(state)).map(|(_, name)| name.clone());
                    let name = found.unwrap_or_else(|| state.name().to_owned());
                    self.names.insert(var.key(), name);
                    continue;
                }
                NodeKind::Input(name) => {
                    // Only the initial value of a state can get here; it has no inputs.
                    self.names.insert(var.key(), name.to_string());
                    continue;
                }
                NodeKind::Apply(op, attributes) => {
                    let expr = match attributes.bodies().next() {
                        Some(_) => self.control(op.name(), attributes, var.node().operands())?,
                        None => self.apply(&**op, attributes, var.node().operands()),
                    };
                    let targets: Vec<String> = siblings.iter().map(|sibling| self.named(sibling)).collect();
                    let indent = self.indent();
                    let _ = writeln!(self.text, "{indent}{} = {expr}", targets.join(", "));
                    if let Some(first) = targets.into_iter().next() {
                        self.places.insert(first, var.node().location().clone());
                    }
                    if self.depth == 0 {
                        self.statements.push(siblings[0].clone());
                    }
                }
            }
        }
        Ok(())
    }

    fn indent(&self) -> String {
        "    ".repeat(self.depth + 1)
    }

    /// A new numbered name for a value.
    fn named(&mut self, var: &Var) -> String {
        let name = loop {
            let name = format!("v{}", self.next);
            self.next += 1;
            if !self.taken.contains(&name) {
                break name;
            }
        };
        self.call(var, name.clone());
        name
    }

    /// The name of an input of a body: its own where it has one that can be a name.
    fn input(&mut self, var: &Var) -> String {
        let numbered = |name: &str| name.strip_prefix('v').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        match var.node().kind() {
            NodeKind::Input(name) if is_name(name) && !numbered(name) => {
                let name = self.fresh(name, name);
                self.call(var, name.clone());
                name
            }
            _ => self.named(var),
        }
    }

    fn call(&mut self, var: &Var, name: String) {
        self.names.insert(var.key(), name);
        if self.depth > 0 {
            self.inner.push(var.key());
        }
    }

    fn operand(&mut self, var: &Var) -> String {
        match var.node().kind() {
            NodeKind::Constant(constant) => self.constant(constant),
            _ => self.names.get(&var.key()).cloned().unwrap_or_else(|| "None".to_owned()),
        }
    }

    /// As an operand beside an operator, where `-1` needs parentheses.
    fn atom(&mut self, var: &Var) -> String {
        let text = self.operand(var);
        if text.starts_with('-') { format!("({text})") } else { text }
    }

    fn apply(&mut self, op: &dyn Op, attributes: &Attributes, operands: &[Var]) -> String {
        let name = op.name();
        if attributes.is_empty()
            && let [left, right] = operands
            && let Some(operator) = BinaryOp::ALL.into_iter().find(|o| binary_op_name(*o) == name)
        {
            return format!("{} {} {}", self.atom(left), operator.symbol(), self.atom(right));
        }
        // A minus before a literal would be read as part of the literal.
        if attributes.is_empty()
            && let [operand] = operands
            && !matches!(operand.node().kind(), NodeKind::Constant(_))
            && let Some(symbol) =
                [(UnaryOp::Neg, "-"), (UnaryOp::Not, "~")].into_iter().find(|(o, _)| unary_op_name(*o) == name)
        {
            return format!("{}{}", symbol.1, self.operand(operand));
        }
        if name == "index"
            && let (Some((base, rest)), Some(Attribute::Index(items))) =
                (operands.split_first(), attributes.get("index"))
        {
            return format!("{}[{}]", self.atom(base), self.items(items, rest));
        }
        let mut args = self.operands(op, attributes, operands);
        for (key, value) in attributes.iter() {
            let default = op.params().iter().find(|p| p.name == key).map(|p| &p.kind);
            let is_default = matches!(default, Some(ParamKind::Attribute(_, Some(d))) if d == value);
            if !is_default && !matches!(value, Attribute::Index(_)) {
                args.push(format!("{key}={}", attribute_text(value)));
            }
        }
        format!("{name}({})", args.join(", "))
    }

    fn operands(&mut self, op: &dyn Op, attributes: &Attributes, operands: &[Var]) -> Vec<String> {
        let params = op.params();
        let is_fixed =
            |p: &Param| matches!(p.kind, ParamKind::Operand | ParamKind::Sizes | ParamKind::SpreadSizes);
        let index = params
            .iter()
            .find(|p| matches!(p.kind, ParamKind::Attribute(AttributeKind::Index, _)))
            .and_then(|p| match attributes.get(p.name) {
                Some(Attribute::Index(items)) => Some(items.clone()),
                _ => None,
            });
        let mut fixed = params.iter().filter(|p| is_fixed(p)).count();
        // With an index, all operands beyond the fixed ones belong to it.
        let (mut rest, index_operands) = match index {
            Some(_) => operands.split_at(fixed.min(operands.len())),
            None => (operands, &[][..]),
        };
        let mut args = Vec::new();
        // Behind an attribute, whose place by position would be first, an operand goes by keyword.
        let mut named = false;
        // Several lists are equally long.
        let is_list = |p: &&Param| matches!(p.kind, ParamKind::Operands | ParamKind::OperandList);
        let mut lists = params.iter().filter(is_list).count();
        for param in params {
            if is_fixed(param) {
                fixed -= 1;
            }
            let open = rest.len().saturating_sub(fixed);
            let take = match &param.kind {
                ParamKind::Attribute(..) => {
                    named = true;
                    continue;
                }
                ParamKind::Operand | ParamKind::Sizes | ParamKind::SpreadSizes => rest.len().min(1),
                ParamKind::OptionalOperand => open.min(1),
                ParamKind::Operands | ParamKind::OperandList => {
                    lists -= 1;
                    open / (lists + 1)
                }
            };
            let (here, after) = rest.split_at(take);
            rest = after;
            let mut texts: Vec<String> = Vec::new();
            for var in here {
                texts.push(match (&param.kind, var.node().kind()) {
                    (ParamKind::Sizes | ParamKind::SpreadSizes, NodeKind::Constant(c)) => self.sizes(c),
                    _ => self.operand(var),
                });
            }
            if let (true, Some(items), Some(base)) = (args.is_empty(), &index, here.first()) {
                texts = vec![format!("{}[{}]", self.atom(base), self.items(items, index_operands))];
            }
            match param.kind {
                ParamKind::OperandList => args.push(format!("[{}]", texts.join(", "))),
                // All that is left by position is theirs, as in `einsum(a, b, subscripts="i,i")`.
                ParamKind::Operands => args.append(&mut texts),
                _ if named => args.extend(texts.iter().map(|text| format!("{}={text}", param.name))),
                _ => args.append(&mut texts),
            }
        }
        args
    }

    fn sizes(&mut self, constant: &Constant) -> String {
        let value = &constant.value;
        let short = value.dtype() == DType::I64 && value.rank() == 1 && value.len() <= INLINE;
        match (short, constant.weak) {
            (true, false) => literal(value).unwrap_or_default(),
            // Literal sizes are firm.
            (_, true) => self.table(constant),
            (false, false) => self.constant(constant),
        }
    }

    fn items(&mut self, items: &[IndexItem], operands: &[Var]) -> String {
        let texts: Vec<String> = items
            .iter()
            .map(|item| match item {
                IndexItem::At(at) => at.to_string(),
                IndexItem::Ellipsis => "...".to_owned(),
                IndexItem::NewAxis => "None".to_owned(),
                IndexItem::Operand(operand) => self.index_operand(operands, *operand),
                IndexItem::Slice { start, stop, step } => {
                    let mut text = format!("{}:{}", self.bound(start, operands), self.bound(stop, operands));
                    if *step != 1 {
                        let _ = write!(text, ":{step}");
                    }
                    text
                }
            })
            .collect();
        // There is no `x[]`; `x[...]` means the same.
        if texts.is_empty() { "...".to_owned() } else { texts.join(", ") }
    }

    fn bound(&mut self, bound: &IndexBound, operands: &[Var]) -> String {
        match bound {
            IndexBound::Open => String::new(),
            IndexBound::At(at) => at.to_string(),
            IndexBound::Operand(operand) => self.index_operand(operands, *operand),
        }
    }

    /// In an index a bare literal is a position of the index itself, so a weak constant goes through
    /// the table.
    fn index_operand(&mut self, operands: &[Var], operand: usize) -> String {
        match operands.get(operand).map(|var| (var, var.node().kind())) {
            Some((_, NodeKind::Constant(constant))) if constant.weak => self.table(constant),
            Some((var, _)) => self.operand(var),
            None => "None".to_owned(),
        }
    }

    fn constant(&mut self, constant: &Constant) -> String {
        let value = &constant.value;
        if value.is_empty() || value.len() > INLINE {
            return self.table(constant);
        }
        let natural = matches!(value.dtype(), DType::Bool | DType::I64 | DType::F64);
        match literal(value) {
            Some(text) if !constant.weak => format!("{}({text})", value.dtype()),
            Some(text) if natural => text,
            _ => self.table(constant),
        }
    }

    fn table(&mut self, constant: &Constant) -> String {
        let found = self.constants.iter().position(|value| value.identical(&constant.value));
        let index = found.unwrap_or_else(|| {
            self.constants.push(constant.value.clone());
            self.constants.len() - 1
        });
        if constant.weak { format!("const({index}, weak=true)") } else { format!("const({index})") }
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
        && chars.all(|c| c == '_' || c.is_alphabetic() || c.is_numeric())
        && !is_reserved(text)
}

/// A type as the language writes it. A dim whose name cannot be written is `?`.
fn type_text(ty: &Type) -> String {
    let dims: Vec<String> = ty
        .dims
        .iter()
        .map(|dim| match dim {
            Dim::Named(name) if !is_name(name) => "?".to_owned(),
            dim => dim.to_string(),
        })
        .collect();
    format!("{}[{}]", ty.dtype, dims.join(", "))
}

fn attribute_text(attribute: &Attribute) -> String {
    match attribute {
        Attribute::None => "None".to_owned(),
        Attribute::Str(text) => quote(text),
        Attribute::Float(value) => float_text(*value),
        Attribute::List(values) => {
            format!("[{}]", values.iter().map(attribute_text).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The shortest text that reads back as the same `f64`, always with a point, an exponent or a word.
fn float_text(value: f64) -> String {
    match (value.is_nan() || value.is_infinite(), value.is_sign_negative()) {
        (false, _) => format!("{value:?}"),
        (true, negative) => {
            let sign = if negative { "-" } else { "" };
            format!("{sign}{}", if value.is_nan() { "nan" } else { "inf" })
        }
    }
}

/// A tensor as nested lists that read back bit for bit, unless an element (such as a NaN with a
/// payload) has no literal.
fn literal(value: &Tensor) -> Option<String> {
    let elements: Vec<String> = if value.dtype() == DType::U64 {
        value.as_slice::<u64>().ok()?.iter().map(u64::to_string).collect()
    } else if value.dtype() == DType::Bool {
        value.to_i64_vec().iter().map(|v| (*v != 0).to_string()).collect()
    } else if value.dtype().is_integer() {
        value.to_i64_vec().iter().map(i64::to_string).collect()
    } else {
        value.to_f64_vec().into_iter().map(|v| shortest(v, value.dtype())).collect()
    };
    if value.dtype().is_float() {
        let back: Vec<f64> = elements.iter().map(|text| read_float(text)).collect();
        if !Tensor::from_vec(back, value.shape()).ok()?.cast(value.dtype()).identical(value) {
            return None;
        }
    }
    let mut elements = elements.into_iter();
    Some(nest(value.shape(), &mut elements))
}

/// As the lexer and a prefix minus read it.
fn read_float(text: &str) -> f64 {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let value = match digits {
        "inf" => f64::INFINITY,
        "nan" => f64::NAN,
        _ => digits.parse().unwrap_or(f64::NAN),
    };
    if negative { -value } else { value }
}

/// The short form of a narrow float where that reads back through `f64` as the same value.
fn shortest(value: f64, dtype: DType) -> String {
    let narrow = value as f32;
    if dtype != DType::F64 && value.is_finite() {
        let text = format!("{narrow:?}");
        if text.parse::<f64>().is_ok_and(|v| (v as f32).to_bits() == narrow.to_bits()) {
            return text;
        }
    }
    float_text(value)
}

fn nest(shape: &[usize], elements: &mut impl Iterator<Item = String>) -> String {
    match shape.split_first() {
        None => elements.next().unwrap_or_default(),
        Some((length, rest)) => {
            let parts: Vec<String> = (0..*length).map(|_| nest(rest, elements)).collect();
            format!("[{}]", parts.join(", "))
        }
    }
}
