//! Ops that a plugin defines by a function of the language.

use std::sync::{Arc, Mutex};

use super::PluginOp;
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

/// Makes a plugin's ops known: all of them or, after an error, none. An op that is known already with
/// the same definition and revision is the same op: a second session loads the same plugin.
///
/// # Errors
/// If a definition does not parse, has the wrong form, or a name is taken by another op.
pub fn register_ops(given: &[PluginOp]) -> Result<()> {
    static KNOWN: Mutex<Vec<(String, u32, String)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut new: Vec<Arc<dyn Op>> = Vec::new();
    let mut added = Vec::new();
    for op in given {
        let key = (op.name.clone(), op.revision, op.definition.clone());
        if !known.contains(&key) {
            new.push(Arc::new(DefinedOp::parse(op.clone())?));
            added.push(key);
        }
    }
    ops::registry_mut().add_all(new)?;
    known.extend(added);
    Ok(())
}

impl DefinedOp {
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
        let types = operands.iter().map(|operand| {
            let dtype = operand.value.map_or(DType::F64, Tensor::dtype);
            Type::of_shape(dtype, operand.shape)
        });
        let results = self.typed(types.collect(), attributes)?;
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
}
