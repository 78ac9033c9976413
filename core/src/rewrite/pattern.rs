//! Rules as the engine wants them: the syntax tree of a `rule`, resolved against the ops and compiled
//! into patterns that refer to one another by number.

use std::sync::Arc;

use super::predicates::{self, Argument, Predicate};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Constant, Location};
use crate::lang::{self, ExprId, ExprKind, File, Name, Source, UnaryOp};
use crate::ops::{Attribute, AttributeKind, Op, ParamKind, registry};
use crate::tensor::{DType, Tensor};

/// Refers to a [`Pattern`] of the same [`Rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatternId(pub u32);

/// One place of a rule's left or right side.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// A variable: on the left it takes any value, the same one everywhere; on the right it gives it.
    Variable(usize),
    /// A number: on the left it matches a constant all of whose elements have this value; on the right
    /// it is a weak constant.
    Literal(Constant),
    /// An application.
    Apply {
        /// The op.
        op: Arc<dyn Op>,
        /// Its operands.
        operands: Vec<PatternId>,
        /// All its attributes; those that the rule does not write have their defaults.
        attributes: Vec<(String, AttributeKind, AttributePattern)>,
    },
}

/// What stands for an attribute.
#[derive(Clone, Debug)]
pub enum AttributePattern {
    /// Exactly this value. Axes count alike from either end.
    Literal(Attribute),
    /// An attribute variable `$a`.
    Variable(usize),
}

/// One `where` condition.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What is asked.
    pub predicate: &'static Predicate,
    /// What it is asked about.
    pub arguments: Vec<Argument>,
}

/// A rewrite rule, ready to match.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique among the rules of its file.
    pub name: String,
    /// Its tags; one of them names its phase.
    pub tags: Vec<String>,
    /// What it says, in one line.
    pub text: String,
    /// Where it stands.
    pub location: Location,
    /// Names of its variables.
    pub variables: Vec<String>,
    /// Names of its attribute variables, without the `$`.
    pub attribute_variables: Vec<String>,
    /// All its patterns, parts before what they are part of.
    pub patterns: Vec<Pattern>,
    /// What it matches: always an application.
    pub lhs: PatternId,
    /// What it puts there.
    pub rhs: PatternId,
    /// What must hold besides.
    pub conditions: Vec<Condition>,
    /// The number of applications from the root of the left side to its deepest leaf.
    pub depth: usize,
}

impl Rule {
    /// The pattern with this id.
    pub fn pattern(&self, id: PatternId) -> &Pattern {
        &self.patterns[id.0 as usize]
    }

    /// The op at the root of the left side.
    pub fn root(&self) -> &str {
        match self.pattern(self.lhs) {
            Pattern::Apply { op, .. } => op.name(),
            _ => "",
        }
    }

    /// Whether the rule carries a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }
}

/// Compiles the rules of a text, each on its own: one that cannot be compiled does not spoil others.
///
/// # Errors
/// If the text does not parse. It must hold nothing but rules.
pub fn compile_each(file: &str, text: &str) -> Result<Vec<(String, Result<Rule>)>> {
    let file = lang::parse(Source::new(file, text))?;
    if let Some(function) = file.functions().next() {
        return Err(file.source.error(function.span, "a file of rules holds no functions").into());
    }
    Ok(file.rules().map(|rule| (file.name(rule.name).to_owned(), compile(&file, rule))).collect())
}

/// Compiles all rules of a text.
///
/// # Errors
/// The first mistake: syntax, an unknown op, attribute or condition, a variable on the right that the
/// left does not bind, or two rules of one name.
pub fn compile_rules(file: &str, text: &str) -> Result<Vec<Rule>> {
    let mut rules: Vec<Rule> = Vec::new();
    for (name, rule) in compile_each(file, text)? {
        let rule = rule?;
        if rules.iter().any(|other| other.name == name) {
            let message = format!("two rules are named `{name}`");
            return Err(Error::new(ErrorKind::Syntax, message).at(&rule.location));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn compile(file: &File, rule: &lang::Rule) -> Result<Rule> {
    let mut compiler = Compiler {
        file, variables: Vec::new(), attribute_variables: Vec::new(), patterns: Vec::new(), binding: true,
    };
    let lhs = compiler.pattern(rule.lhs)?;
    if !matches!(compiler.patterns[lhs.0 as usize], Pattern::Apply { .. }) {
        return Err(file.source.error(file.expr(rule.lhs).span, "the left side must apply an op").into());
    }
    compiler.binding = false;
    let rhs = compiler.pattern(rule.rhs)?;
    let conditions = rule.conditions.iter().map(|&id| compiler.condition(id)).collect::<Result<_>>()?;
    let (line, column) = file.source.position(rule.span.start);
    let text = file.source.slice(rule.span).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rule = Rule {
        name: file.name(rule.name).to_owned(),
        tags: rule.tags.iter().map(|&tag| file.name(tag).to_owned()).collect(),
        text,
        location: Location::new(file.source.name().into(), line, column),
        variables: compiler.variables,
        attribute_variables: compiler.attribute_variables,
        patterns: compiler.patterns,
        lhs,
        rhs,
        conditions,
        depth: 0,
    };
    rule.depth = depth(&rule);
    Ok(rule)
}

fn depth(rule: &Rule) -> usize {
    let mut depths = vec![0usize; rule.patterns.len()];
    for (number, pattern) in rule.patterns.iter().enumerate() {
        if let Pattern::Apply { operands, .. } = pattern {
            depths[number] = 1 + operands.iter().map(|id| depths[id.0 as usize]).max().unwrap_or(0);
        }
    }
    depths[rule.lhs.0 as usize]
}

struct Compiler<'a> {
    file: &'a File,
    variables: Vec<String>,
    attribute_variables: Vec<String>,
    patterns: Vec<Pattern>,
    /// Whether new names bind: on the left side.
    binding: bool,
}

impl Compiler<'_> {
    fn fail<T>(&self, id: ExprId, message: impl Into<String>) -> Result<T> {
        Err(self.file.source.error(self.file.expr(id).span, message).into())
    }

    fn push(&mut self, pattern: Pattern) -> PatternId {
        self.patterns.push(pattern);
        PatternId(self.patterns.len() as u32 - 1)
    }

    // Recursion is bounded by the parser's limit on nesting, except along chains of operators, which
    // a rule has no use for: `MAX_PATTERNS` bounds them.
    fn pattern(&mut self, id: ExprId) -> Result<PatternId> {
        const MAX_PATTERNS: usize = 256;
        if self.patterns.len() > MAX_PATTERNS {
            return self.fail(id, "the rule is too long");
        }
        if let Some(constant) = self.literal(id) {
            return Ok(self.push(Pattern::Literal(constant)));
        }
        match &self.file.expr(id).kind {
            ExprKind::Name(name) => {
                let number = self.variable(*name, id)?;
                Ok(self.push(Pattern::Variable(number)))
            }
            ExprKind::Unary(op, operand) => {
                self.apply(id, lang::unary_op_name(*op), &[lang::Arg { name: None, value: *operand }])
            }
            ExprKind::Binary(op, left, right) => {
                if chain_length(self.file, id) > 64 {
                    return self.fail(id, "the rule is too long");
                }
                let arguments = [*left, *right].map(|value| lang::Arg { name: None, value });
                self.apply(id, lang::binary_op_name(*op), &arguments)
            }
            ExprKind::Call { plugin, name, args } => {
                let plugin = plugin.map(|plugin| format!("{}::", self.file.name(plugin))).unwrap_or_default();
                let name = format!("{plugin}{}", self.file.name(*name));
                self.apply(id, &name, &args.clone())
            }
            _ => self.fail(id, "a rule is made of variables, numbers, operators and ops"),
        }
    }

    fn literal(&self, id: ExprId) -> Option<Constant> {
        let weak = |value: Tensor| Some(Constant { value, weak: true });
        match &self.file.expr(id).kind {
            ExprKind::Int(value) => weak(Tensor::scalar(i64::try_from(*value).ok()?)),
            ExprKind::Float(value) => weak(Tensor::scalar(*value)),
            ExprKind::Bool(value) => weak(Tensor::scalar(*value)),
            ExprKind::Name(name) if self.file.name(*name) == "inf" => weak(Tensor::scalar(f64::INFINITY)),
            ExprKind::Name(name) if self.file.name(*name) == "nan" => weak(Tensor::scalar(f64::NAN)),
            ExprKind::Typed { dtype, value } => {
                let dtype: DType = self.file.name(*dtype).parse().ok()?;
                Some(Constant { value: self.literal(*value)?.value.cast(dtype), weak: false })
            }
            ExprKind::Unary(UnaryOp::Neg, operand) => {
                let constant = self.literal(*operand)?;
                let value = match constant.value.dtype() {
                    DType::I64 => Tensor::scalar(constant.value.to_i64_vec().first()?.wrapping_neg()),
                    dtype if dtype.is_float() => Tensor::scalar(-constant.value.item()?).cast(dtype),
                    _ => return None,
                };
                Some(Constant { value, weak: constant.weak })
            }
            _ => None,
        }
    }

    fn variable(&mut self, name: Name, id: ExprId) -> Result<usize> {
        let text = self.file.name(name);
        if let Some(number) = self.variables.iter().position(|known| known == text) {
            return Ok(number);
        }
        if !self.binding {
            return self.fail(id, format!("the left side does not bind `{text}`"));
        }
        self.variables.push(text.to_owned());
        Ok(self.variables.len() - 1)
    }

    fn attribute_variable(&mut self, name: Name, id: ExprId) -> Result<usize> {
        let text = self.file.name(name);
        if let Some(number) = self.attribute_variables.iter().position(|known| known == text) {
            return Ok(number);
        }
        if !self.binding {
            return self.fail(id, format!("the left side does not bind `${text}`"));
        }
        self.attribute_variables.push(text.to_owned());
        Ok(self.attribute_variables.len() - 1)
    }

    fn apply(&mut self, id: ExprId, name: &str, arguments: &[lang::Arg]) -> Result<PatternId> {
        let op = match registry().get(name) {
            Ok(op) => op,
            Err(error) => {
                let diagnostic = self.file.source.error(self.file.expr(id).span, error.message());
                return Err(diagnostic.with_help(error.notes().first().cloned()).into());
            }
        };
        let params = op.params().to_vec();
        let mut operands = Vec::new();
        let mut given: Vec<Option<ExprId>> = vec![None; params.len()];
        let mut place = 0;
        for argument in arguments {
            let at = match argument.name {
                Some(name) => {
                    let text = self.file.name(name);
                    match params.iter().position(|param| param.name == text) {
                        Some(at) => at,
                        None => return self.fail(argument.value, format!("`{}` takes no `{text}`", op.name())),
                    }
                }
                None => {
                    let at = place;
                    let open = params.get(at).is_some_and(|p| matches!(p.kind, ParamKind::Operands | ParamKind::SpreadSizes));
                    place += usize::from(!open);
                    at
                }
            };
            match params.get(at).map(|param| &param.kind) {
                None => return self.fail(argument.value, format!("`{}` takes only {} arguments", op.name(), params.len())),
                Some(ParamKind::Attribute(..)) => {
                    if given[at].replace(argument.value).is_some() {
                        return self.fail(argument.value, format!("`{}` is given twice", params[at].name));
                    }
                }
                Some(ParamKind::OperandList) => {
                    let ExprKind::List(items) = &self.file.expr(argument.value).kind else {
                        return self.fail(argument.value, "expected a list `[a, b]`");
                    };
                    for item in items.clone() {
                        operands.push(self.pattern(item)?);
                    }
                }
                Some(_) => operands.push(self.pattern(argument.value)?),
            }
        }
        let least = params.iter().filter(|p| matches!(p.kind, ParamKind::Operand | ParamKind::Sizes)).count();
        if operands.len() < least {
            return self.fail(id, format!("`{}` takes {least} operands", op.name()));
        }
        let mut attributes = Vec::new();
        for (param, given) in params.iter().zip(&given) {
            let ParamKind::Attribute(kind, default) = &param.kind else { continue };
            let pattern = match (given, default) {
                (Some(value), _) => match &self.file.expr(*value).kind {
                    ExprKind::AttrVar(name) => AttributePattern::Variable(self.attribute_variable(*name, *value)?),
                    _ => AttributePattern::Literal(self.attribute(*value, *kind)?),
                },
                (None, Some(default)) => AttributePattern::Literal(default.clone()),
                (None, None) => {
                    return self.fail(id, format!("`{}` needs the attribute `{}`", op.name(), param.name));
                }
            };
            attributes.push((param.name.to_owned(), *kind, pattern));
        }
        Ok(self.push(Pattern::Apply { op, operands, attributes }))
    }

    fn attribute(&self, id: ExprId, kind: AttributeKind) -> Result<Attribute> {
        let attribute = match &self.file.expr(id).kind {
            ExprKind::Int(value) => i64::try_from(*value).ok().map(Attribute::Int),
            ExprKind::Float(value) => Some(Attribute::Float(*value)),
            ExprKind::Bool(value) => Some(Attribute::Bool(*value)),
            ExprKind::Str(value) => Some(Attribute::Str(value.to_string())),
            ExprKind::None => Some(Attribute::None),
            ExprKind::Name(name) if self.file.name(*name) == "none" => Some(Attribute::None),
            ExprKind::Dtype(name) => self.file.name(*name).parse().ok().map(Attribute::DType),
            ExprKind::Unary(UnaryOp::Neg, value) => match self.attribute(*value, kind)? {
                Attribute::Int(value) => Some(Attribute::Int(value.wrapping_neg())),
                Attribute::Float(value) => Some(Attribute::Float(-value)),
                _ => None,
            },
            ExprKind::List(items) => {
                Some(Attribute::List(items.iter().map(|&item| self.attribute(item, kind)).collect::<Result<_>>()?))
            }
            _ => None,
        };
        match attribute {
            Some(Attribute::Int(value)) if kind == AttributeKind::Float => Ok(Attribute::Float(value as f64)),
            Some(attribute) => Ok(attribute),
            None => self.fail(id, "expected a literal or an attribute variable like `$a`"),
        }
    }

    fn condition(&mut self, id: ExprId) -> Result<Condition> {
        let ExprKind::Call { plugin: None, name, args } = &self.file.expr(id).kind else {
            return self.fail(id, "a condition is a call, like `is_float(x)`");
        };
        let predicate = match predicates::find(self.file.name(*name)) {
            Ok(predicate) => predicate,
            Err(error) => {
                let diagnostic = self.file.source.error(self.file.expr(id).span, error.message());
                return Err(diagnostic.with_help(error.notes().first().cloned()).into());
            }
        };
        let mut arguments = Vec::new();
        for argument in args {
            let value = argument.value;
            arguments.push(match &self.file.expr(value).kind {
                ExprKind::AttrVar(name) => Argument::Attribute(self.attribute_variable(*name, value)?),
                ExprKind::Name(name) => Argument::Value(self.variable(*name, value)?),
                ExprKind::Dtype(name) => Argument::DType(self.file.name(*name).parse()?),
                _ => match self.literal(value).and_then(|constant| constant.value.item()) {
                    Some(number) => Argument::Number(number),
                    None => return self.fail(value, "expected a variable or a number"),
                },
            });
        }
        let fits = arguments.len() == predicate.parameters.len()
            && arguments.iter().zip(predicate.parameters).all(|(argument, &kind)| argument.kind() == kind);
        if !fits {
            return self.fail(id, format!("expected `{}`", predicate.signature()));
        }
        Ok(Condition { predicate, arguments })
    }
}

fn chain_length(file: &File, mut id: ExprId) -> usize {
    let mut length = 0;
    while let ExprKind::Binary(_, left, _) = file.expr(id).kind {
        length += 1;
        id = left;
    }
    length
}
