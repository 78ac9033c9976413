//! What is known of the elements of small integer vectors, through arithmetic on them.

use crate::ops::Operand;
use crate::tensor::{DType, Dim, Type};

/// The elements of the result, as far as they follow from the operands'.
pub(super) fn infer(op: &str, operands: &[Operand<'_>], ty: &Type) -> Option<Vec<Dim>> {
    if ty.rank() > 1 {
        return None;
    }
    let keeps = matches!(op, "stop_gradient" | "grad_barrier") || (op == "cast" && ty.dtype.is_integer());
    let sizes: Vec<&[Dim]> = operands.iter().map(|operand| operand.sizes).collect::<Option<_>>()?;
    let [x, y] = sizes[..] else { return if keeps { sizes.first().map(|x| x.to_vec()) } else { None } };
    if ty.dtype != DType::I64 {
        return None;
    }
    let length = ty.dims.first().map_or(Some(1), Dim::known)?;
    let pick = |sizes: &[Dim], i: usize| if sizes.len() == 1 { sizes.first().cloned() } else { sizes.get(i).cloned() };
    (0..length).map(|i| Some(combine(op, &pick(x, i)?, &pick(y, i)?))).collect()
}

fn combine(op: &str, x: &Dim, y: &Dim) -> Dim {
    match (op, x, y) {
        ("add", x, Dim::Known(0)) | ("add", Dim::Known(0), x) | ("sub", x, Dim::Known(0)) => x.clone(),
        ("mul" | "floor_div", x, Dim::Known(1)) | ("mul", Dim::Known(1), x) => x.clone(),
        ("maximum" | "minimum", x, y) if x.same(y) => x.clone(),
        ("sub", x, y) if x.same(y) => Dim::Known(0),
        (_, &Dim::Known(x), &Dim::Known(y)) => {
            let value = match op {
                "add" => x.checked_add(y),
                "sub" => x.checked_sub(y),
                "mul" => x.checked_mul(y),
                "floor_div" => Some(x.checked_div(y).unwrap_or(0)),
                "mod" => Some(x.checked_rem(y).unwrap_or(0)),
                "maximum" => Some(x.max(y)),
                "minimum" => Some(x.min(y)),
                _ => None,
            };
            value.filter(|&value| i64::try_from(value).is_ok()).map_or(Dim::Unknown, Dim::Known)
        }
        _ => Dim::Unknown,
    }
}
