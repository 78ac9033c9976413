//! Which elementwise op does what. [`crate::kernel`] compiles them.

use arignote_core::ops::Attributes;

use super::number::{Binary, Comparison, Unary};

/// What an elementwise op does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Unary(Unary),
    Binary(Binary),
    Compare(Comparison),
    /// and, or, xor, not of truth values
    Logical(Binary),
    LogicalNot,
    IsNan,
    IsInf,
    IsFinite,
    Where,
    Clip,
    Betainc,
    GammaincDa,
    /// also the identity
    Cast,
}

/// The operation of an elementwise op; `None` if it is not one.
pub fn lookup(name: &str, attributes: &Attributes) -> Option<Operation> {
    Some(match name {
        "gelu" if attributes.str("approximate").is_ok_and(|kind| kind == "tanh") => Operation::Unary(Unary::GeluTanh),
        "logical_and" => Operation::Logical(Binary::BitwiseAnd),
        "logical_or" => Operation::Logical(Binary::BitwiseOr),
        "logical_xor" => Operation::Logical(Binary::BitwiseXor),
        "logical_not" => Operation::LogicalNot,
        "isnan" => Operation::IsNan,
        "isinf" => Operation::IsInf,
        "isfinite" => Operation::IsFinite,
        "where" => Operation::Where,
        "clip" => Operation::Clip,
        "betainc" => Operation::Betainc,
        "gammainc_da" => Operation::GammaincDa,
        "cast" | "stop_gradient" | "grad_barrier" => Operation::Cast,
        _ => Unary::named(name)
            .map(Operation::Unary)
            .or_else(|| Binary::named(name).map(Operation::Binary))
            .or_else(|| Comparison::named(name).map(Operation::Compare))?,
    })
}

/// The strides of an operand along the axes of a result that it is broadcast to; `None` if it lies as
/// the result does.
pub fn broadcast_strides(shape: &[usize], result: &[usize]) -> Option<Vec<usize>> {
    if shape == result {
        return None;
    }
    let mut strides = vec![0; result.len()];
    let mut stride = 1;
    for axis in (0..shape.len().min(result.len())).rev() {
        if shape[axis] != 1 {
            strides[axis + result.len() - shape.len()] = stride;
        }
        stride *= shape[axis];
    }
    Some(strides)
}
