//! Ops that a plugin defines by a function of the language.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{OpDefinition, PluginOp};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::lang;
use crate::ops::{self, Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, ShapeOperand};
use crate::tensor::{DType, Shape, Tensor, Type};

/// An op whose meaning is a function of the language.
struct DefinedOp {
    given: PluginOp,
    file: lang::File,
    function: String,
    params: Vec<Param>,
}

/// The definitions that this copy of the library knows, by name.
static KNOWN: Mutex<BTreeMap<String, OpDefinition>> = Mutex::new(BTreeMap::new());

fn known() -> MutexGuard<'static, BTreeMap<String, OpDefinition>> {
    KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The ops that a call of [`register_ops`] made known.
#[must_use = "they can be taken back"]
pub struct NewOps(Vec<String>);

impl NewOps {
    /// Takes them away again: what they came with did not load.
    pub fn undo(self) {
        let mut known = known();
        known.retain(|name, _| !self.0.contains(name));
        ops::update_registry(|registry| registry.remove(&self.0));
    }
}

/// Makes a plugin's ops known: all of them or, after an error, none. An op that is known already with
/// the same definition and revision is the same op: a second session loads the same plugin.
///
/// # Errors
/// If a definition does not parse, has the wrong form, or a name is taken by another op.
pub fn register_ops(given: &[PluginOp]) -> Result<NewOps> {
    let mut known = known();
    let mut new: Vec<Arc<dyn Op>> = Vec::new();
    let mut added = Vec::new();
    for op in given {
        let definition = OpDefinition {
            name: op.name.clone(), revision: op.revision, definition: op.definition.clone(),
        };
        if known.get(&op.name) != Some(&definition) {
            let parsed = DefinedOp::parse(op.clone())?;
            for name in calls(&parsed.file).filter(|name| given.iter().all(|other| other.name != *name)) {
                ops::registry().get(&name).map_err(|error| parsed.wrong(error.message()))?;
            }
            new.push(Arc::new(parsed));
            added.push(definition);
        }
    }
    if new.is_empty() {
        return Ok(NewOps(Vec::new()));
    }
    ops::update_registry(|registry| registry.add_all(new))?;
    let names = added.iter().map(|definition| definition.name.clone()).collect();
    known.extend(added.into_iter().map(|definition| (definition.name.clone(), definition)));
    Ok(NewOps(names))
}

/// Makes known what a program says of the plugins' ops in it.
///
/// # Errors
/// As [`register_ops`].
pub(super) fn learn(ops: &[OpDefinition]) -> Result<()> {
    let ops: Vec<PluginOp> = ops
        .iter()
        .cloned()
        .map(|OpDefinition { name, revision, definition }| PluginOp {
            name, revision, definition, doc: String::new(), kernel: None,
        })
        .collect();
    register_ops(&ops).map(drop)
}

/// The definitions of the plugins' ops among these, and of those that they are defined by.
pub(super) fn definitions<'a>(names: impl Iterator<Item = &'a str>) -> Vec<OpDefinition> {
    let mut wanted: Vec<String> = names.filter(|name| name.contains("::")).map(str::to_owned).collect();
    let mut found: BTreeMap<String, OpDefinition> = BTreeMap::new();
    let known = known();
    while let Some(name) = wanted.pop() {
        let Some(definition) = known.get(&name).filter(|_| !found.contains_key(&name)) else { continue };
        // It was parsed when it became known.
        if let Ok(file) = lang::parse(lang::Source::new(&*name, definition.definition.clone())) {
            wanted.extend(calls(&file));
        }
        found.insert(name, definition.clone());
    }
    found.into_values().collect()
}

/// The names of the ops that a file calls.
fn calls(file: &lang::File) -> impl Iterator<Item = String> {
    file.exprs.iter().filter_map(|expr| match expr.kind {
        lang::ExprKind::Call { plugin: Some(plugin), name, .. } => {
            Some(format!("{}::{}", file.name(plugin), file.name(name)))
        }
        lang::ExprKind::Call { plugin: None, name, .. } => Some(file.name(name).to_owned()),
        _ => None,
    })
}

impl DefinedOp {
    fn wrong(&self, what: &str) -> Error {
        Error::new(ErrorKind::Plugin, format!("the definition of `{}` is wrong: {what}", self.given.name))
    }

    fn parse(given: PluginOp) -> Result<DefinedOp> {
        let wrong = |what: String| Error::new(ErrorKind::Plugin, format!("the definition of `{}` {what}", given.name));
        if given.name.split("::").count() != 2 {
            return Err(wrong("must have a name of the form `plugin::op`".to_owned()));
        }
        let source = lang::Source::new(format!("definition of {}", given.name), given.definition.clone());
        let file = lang::parse(source)?;
        let functions: Vec<&lang::Function> = file.functions().collect();
        let [function] = functions.as_slice() else {
            return Err(wrong(format!("must be one function, not {}", functions.len())));
        };
        let mut params = Vec::new();
        for param in &function.params {
            // Plugins are never unloaded, and their ops' names live as long.
            let name: &'static str = Box::leak(file.name(param.name).to_owned().into_boxed_str());
            let kind = match param.default {
                None => ParamKind::Operand,
                Some(default) => {
                    let value = lang::literal_attribute(&file, default)
                        .ok_or_else(|| wrong(format!("gives `{name}` a default that is not a literal")))?;
                    let kind = match value {
                        Attribute::Bool(_) => AttributeKind::Bool,
                        Attribute::Int(_) => AttributeKind::Int,
                        Attribute::Float(_) => AttributeKind::Float,
                        other => return Err(wrong(format!("has the default `{other}`; numbers and bools can be"))),
                    };
                    ParamKind::Attribute(kind, Some(value))
                }
            };
            params.push(Param { name, kind, doc: "" });
        }
        let function = file.name(function.name).to_owned();
        Ok(DefinedOp { given, file, function, params })
    }

    fn inline(&self, operands: &[Var], attributes: &Attributes) -> Result<Vec<Var>> {
        let mut operands = operands.iter();
        let mut arguments = Vec::new();
        for param in &self.params {
            arguments.push(match &param.kind {
                ParamKind::Attribute(..) => match attributes.get(param.name) {
                    Some(Attribute::Bool(value)) => Var::scalar(*value),
                    Some(Attribute::Int(value)) => Var::weak(*value),
                    _ => Var::weak(attributes.float(param.name)?),
                },
                _ => operands.next().cloned().ok_or_else(|| {
                    Error::new(ErrorKind::Type, format!("the operand `{}` is missing", param.name))
                })?,
            });
        }
        lang::inline(&self.file, &self.function, &arguments)
    }

    /// The dtype that the definition demands of each operand, if any.
    fn declared(&self) -> Vec<Option<DType>> {
        let function = self.file.functions().next();
        let operands = function.iter().flat_map(|function| &function.params).filter(|param| param.default.is_none());
        operands.map(|param| self.file.name(param.ty.as_ref()?.dtype).parse().ok()).collect()
    }

    fn typed(&self, types: Vec<Type>, attributes: &Attributes) -> Result<Vec<Inferred>> {
        let operands: Vec<Var> = types
            .into_iter()
            .map(|ty| Var::input_at("operand", ty, Location::unknown()))
            .collect();
        self.inline(&operands, attributes)?.iter().map(|value| value.inferred().cloned()).collect()
    }
}

impl Op for DefinedOp {
    fn name(&self) -> &str {
        &self.given.name
    }

    fn revision(&self) -> u32 {
        self.given.revision
    }

    fn params(&self) -> &[Param] {
        &self.params
    }

    fn doc(&self) -> &str {
        &self.given.doc
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        self.typed(operands.iter().map(|operand| operand.ty.clone()).collect(), attributes)
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        // Shapes follow from types that have them, and dtypes do not matter but must fit: where neither
        // the definition nor a value tells one, each kind is tried.
        const KINDS: [DType; 3] = [DType::F64, DType::I64, DType::Bool];
        let told: Vec<Option<DType>> = operands
            .iter()
            .zip(self.declared())
            .map(|(operand, declared)| declared.or(operand.value.map(Tensor::dtype)))
            .collect();
        let open = told.iter().filter(|dtype| dtype.is_none()).count().min(5);
        let mut results = Err(Error::new(ErrorKind::Internal, "no dtypes were tried"));
        for choice in 0..KINDS.len().pow(open as u32) {
            let mut rest = choice;
            let types = operands.iter().zip(&told).map(|(operand, told)| {
                let dtype = told.unwrap_or_else(|| {
                    let kind = KINDS[rest % KINDS.len()];
                    rest /= KINDS.len();
                    kind
                });
                Type::of_shape(dtype, operand.shape)
            });
            let tried = self.typed(types.collect(), attributes);
            // Of several errors the first one told is that of floats, the usual operands.
            if tried.is_ok() || choice == 0 {
                results = tried;
            }
            if results.is_ok() {
                break;
            }
        }
        let results = results?;
        results
            .iter()
            .map(|result| {
                result.ty.known_shape().ok_or_else(|| {
                    let message = format!("the shape of `{}` depends on values, not on shapes alone", self.name());
                    Error::new(ErrorKind::Unsupported, message)
                })
            })
            .collect()
    }

    fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        Some(self.inline(operands, attributes))
    }

    fn has_decomposition(&self) -> bool {
        true
    }

    /// A kernel can, for reasons of its own.
    fn can_fail(&self) -> bool {
        true
    }
}
