//! What type and shape rules see of their operands.

use std::sync::Arc;

use super::{Attribute, AttributeKind, Attributes, Op, ParamKind, default_float};
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::tensor::{DType, Dim, Kind, Tensor, Type, broadcast_dims, check_rank};

/// An operand as a type rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Its type.
    pub ty: &'a Type,
    /// For an integer scalar or vector that holds sizes: what is known of its elements.
    pub sizes: Option<&'a [Dim]>,
    /// Its value, if it is a constant.
    pub constant: Option<&'a Tensor>,
}

/// A result as a type rule gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inferred {
    /// Its type.
    pub ty: Type,
    /// For an integer scalar or vector: what is known of its elements, one [`Dim`] each.
    pub sizes: Option<Vec<Dim>>,
}

impl From<Type> for Inferred {
    fn from(ty: Type) -> Inferred {
        Inferred { ty, sizes: None }
    }
}

/// An operand as a shape rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct ShapeOperand<'a> {
    /// Its shape.
    pub shape: &'a [usize],
    /// Its value, given for the operands of [`Op::size_operands`].
    pub value: Option<&'a Tensor>,
}

/// The common dtype of operands under NumPy's promotion, where weak operands give way to firm ones
/// if their kind fits. A weak float beside firm integers gives the config's `float`.
pub fn promote_operands<'a>(types: impl IntoIterator<Item = &'a Type>) -> (DType, bool) {
    let mut firm: Option<DType> = None;
    let mut weak: Option<DType> = None;
    for ty in types {
        let slot = if ty.weak { &mut weak } else { &mut firm };
        *slot = Some(slot.map_or(ty.dtype, |dtype| dtype.promote(ty.dtype)));
    }
    match (firm, weak) {
        (Some(firm), None) => (firm, false),
        (None, Some(weak)) => (weak, true),
        (None, None) => (DType::F64, true),
        (Some(firm), Some(weak)) if weak.kind() <= firm.kind() => (firm, false),
        (Some(firm), Some(weak)) => match (firm.kind(), weak.kind()) {
            (_, Kind::Float) => (default_float(), false),
            (Kind::Unsigned, Kind::Signed) => (firm, false),
            _ => (weak, false),
        },
    }
}

/// For [`Op::settle`]: casts to the config's `float`, where `promote_operands` would give it (firm
/// integers beside a weak float) or, `to_float`, where firm integers meet an op whose result is a float.
pub fn settle_float(types: &[&Type], to_float: bool) -> Vec<Option<DType>> {
    let mut firm = types.iter().filter(|ty| !ty.weak).peekable();
    let integers = firm.peek().is_some() && firm.all(|ty| !ty.dtype.is_float());
    if !integers || !(to_float || types.iter().any(|ty| ty.weak && ty.dtype.is_float())) {
        return Vec::new();
    }
    types.iter().map(|ty| (!ty.weak).then(default_float)).collect()
}

/// An op and its attributes, to be applied to one operand.
pub type Applied = (Arc<dyn Op>, Attributes);

/// Carries out [`Op::settle`]: fills in the attributes, and gives for each operand what to apply to it
/// first, if anything. Whoever builds an application does this before [`infer`].
///
/// # Errors
/// If the registry has no such op.
pub fn settle(op: &dyn Op, types: &[&Type], attributes: &mut Attributes) -> Result<Vec<Option<Applied>>> {
    let mut casts = op.settle(types, attributes);
    casts.resize(types.len(), None);
    if casts.iter().all(Option::is_none) {
        return Ok(vec![None; types.len()]);
    }
    let cast = super::registry().get("cast")?;
    let with = |dtype| (cast.clone(), Attributes::new().with("dtype", dtype));
    Ok(casts.into_iter().map(|dtype| dtype.map(with)).collect())
}

/// Types of several operands broadcast together.
///
/// # Errors
/// If their dims do not broadcast.
pub fn broadcast_operands<'a>(types: impl IntoIterator<Item = &'a Type>) -> Result<Vec<Dim>> {
    types.into_iter().try_fold(Vec::new(), |dims, ty| broadcast_dims(&dims, &ty.dims))
}

/// The attributes with defaults filled in; a whole number given for a float is that float.
///
/// # Errors
/// If one is unknown (the error names the nearest) or a required one is missing.
pub fn complete_attributes(op: &dyn Op, mut attributes: Attributes) -> Result<Attributes> {
    let known = || {
        op.params().iter().filter(|param| matches!(param.kind, ParamKind::Attribute(..))).map(|param| param.name)
    };
    if let Some((name, _)) = attributes.iter().find(|(name, _)| !known().any(|known| known == *name)) {
        let error = Error::new(ErrorKind::Type, format!("`{}` has no attribute `{name}`", op.name()));
        return Err(match nearest(name, known()) {
            Some(near) => error.note(format!("did you mean `{near}`?")),
            None => error,
        });
    }
    for param in op.params() {
        let ParamKind::Attribute(kind, default) = &param.kind else { continue };
        if let Some(given) = attributes.get(param.name) {
            if let (AttributeKind::Float, Attribute::Int(value)) = (kind, given) {
                let value = *value as f64;
                attributes.set(param.name, value);
            }
            continue;
        }
        let Some(default) = default else {
            let message = format!("`{}` needs the attribute `{}`: {}", op.name(), param.name, param.doc);
            return Err(Error::new(ErrorKind::Type, message));
        };
        attributes.set(param.name, default.clone());
    }
    Ok(attributes)
}

/// Types of the results of an application; errors name the op and its operands' types.
///
/// # Errors
/// If the operands or attributes do not fit.
pub fn infer(op: &dyn Op, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
    let describe = |error: Error| {
        let types: Vec<String> = operands.iter().map(|operand| operand.ty.to_string()).collect();
        let message = format!("`{}` of {}: {}", op.name(), types.join(", "), error.message());
        error.notes().iter().fold(Error::new(error.kind(), message), |error, note| error.note(note.clone()))
    };
    let is_operand = |kind: &ParamKind| !matches!(kind, ParamKind::Attribute(..));
    let is_open = |kind: &ParamKind| matches!(kind, ParamKind::Operands | ParamKind::OperandList);
    let params = op.params();
    let most = params.iter().filter(|param| is_operand(&param.kind)).count();
    let least = most - params.iter().filter(|p| p.kind == ParamKind::OptionalOperand || is_open(&p.kind)).count();
    let open = params.iter().any(|param| is_open(&param.kind) || param.kind == ParamKind::Attribute(AttributeKind::Index, None));
    if operands.len() < least || (operands.len() > most && !open) {
        let message = format!("expected {least} operands, found {}", operands.len());
        return Err(describe(Error::new(ErrorKind::Type, message)));
    }
    let inferred = op.infer(operands, attributes).map_err(describe)?;
    inferred.iter().try_for_each(|result| check_rank(result.ty.rank())).map_err(describe)?;
    Ok(inferred)
}
