//! `norm`, NumPy's norms of vectors and matrices.

use super::{float_dtype, type_error};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::ops::{
    Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, Registry, ShapeOperand, normalize_axis, settle_float,
};
use crate::tensor::{DType, Shape, Type};

struct Norm {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the op.
pub(super) fn register(registry: &mut Registry) {
    let attribute = Param::attribute;
    registry.add(Norm {
        name: "norm",
        params: vec![
            Param::operand("x", "vectors or matrices"),
            attribute("ord", AttributeKind::NumberOrStr, Some(Attribute::None), "which norm"),
            attribute("axis", AttributeKind::Axes, Some(Attribute::None), "the axis of vectors or the two of matrices"),
            attribute("keepdims", AttributeKind::Bool, Some(false.into()), "keep reduced axes with length 1"),
        ],
        doc: "A norm, as NumPy's `linalg.norm`. Without `ord` the square root of the sum of squares, of all elements if there \
              is no `axis`. With it, of vectors: `inf` and `-inf` the largest and smallest magnitude, 0 the number of elements \
              other than 0, p the p-th root of the sum of p-th powers. Of matrices: \"fro\" as without; \"nuc\" the sum of the \
              singular values, 2 and -2 the largest and smallest of them; 1 and -1 the largest and smallest sum of magnitudes \
              of a column, `inf` and `-inf` of a row. Where all elements are 0 the gradient \
              of the root is 0.\n\n    norm(x, ord=1, axis=-1)",
    });
}

/// The largest or smallest of some values along an axis.
fn extreme(x: &Var, largest: bool, axes: &[i64]) -> Var {
    x.reduce_axes(if largest { "max" } else { "min" }, Some(axes), false)
}

fn sum(x: &Var, axes: Option<&[i64]>) -> Var {
    x.reduce_axes("sum", axes, false)
}

/// The norm of vectors along the last axis.
fn of_vectors(x: &Var, order: Option<f64>) -> Result<Var> {
    let last = [-1];
    Ok(match order {
        None | Some(2.0) => x.reduce_axes("vector_norm", Some(&last), false),
        Some(order) if order.is_infinite() => extreme(&x.abs(), order > 0.0, &last),
        Some(0.0) => sum(&x.ne(&Var::weak(0.0)).cast(x.ty()?.dtype), Some(&last)),
        Some(1.0) => sum(&x.abs(), Some(&last)),
        Some(order) => sum(&x.abs().pow(&Var::weak(order)), Some(&last)).pow(&Var::weak(1.0 / order)),
    })
}

/// The norm of the matrices of the last two axes.
fn of_matrices(x: &Var, order: Option<f64>, word: Option<&str>) -> Result<Var> {
    let singular = || Var::apply("svd", std::slice::from_ref(x), Attributes::new().with("compute_uv", false));
    Ok(match (order, word) {
        (None, None | Some("fro")) => x.reduce_axes("vector_norm", Some(&[-2, -1]), false),
        (None, Some("nuc")) => sum(&singular(), Some(&[-1])),
        (Some(order), None) if order.abs() == 2.0 => extreme(&singular(), order > 0.0, &[-1]),
        (Some(order), None) if order.abs() == 1.0 => extreme(&sum(&x.abs(), Some(&[-2])), order > 0.0, &[-1]),
        (Some(order), None) if order.is_infinite() => extreme(&sum(&x.abs(), Some(&[-1])), order > 0.0, &[-1]),
        _ => return type_error("`ord` of matrices is \"fro\", \"nuc\", 1, -1, 2, -2, inf or -inf"),
    })
}

impl Norm {
    fn expanded(&self, x: &Var, attributes: &Attributes) -> Result<Var> {
        let ty = x.ty()?;
        let (dtype, _) = float_dtype([ty]);
        let x = if ty.dtype == dtype { x.clone() } else { x.cast(dtype) };
        let rank = ty.rank();
        let (order, word) = match attributes.get("ord") {
            None | Some(Attribute::None) => (None, None),
            Some(Attribute::Str(word)) => (None, Some(word.as_str())),
            _ => (Some(attributes.float("ord")?), None),
        };
        let keep = attributes.bool("keepdims")?;
        let axes: Vec<usize> = match attributes.ints("axis")? {
            Some(axes) => axes.iter().map(|&axis| normalize_axis(axis, rank)).collect::<Result<_>>()?,
            None if order.is_none() && word.is_none() => {
                return Ok(x.reduce_axes("vector_norm", None, keep));
            }
            None => (0..rank).collect(),
        };
        let rest = (0..rank).filter(|axis| !axes.contains(axis));
        let moved: Vec<i64> = rest.chain(axes.iter().copied()).map(|axis| axis as i64).collect();
        if moved.len() != rank {
            return type_error("`axis` names an axis twice");
        }
        let x = x.transpose(&moved);
        let norm = match axes.len() {
            1 if word.is_some() => return type_error("`ord` of vectors is a number, `inf` or `-inf`"),
            1 => of_vectors(&x, order)?,
            2 => of_matrices(&x, order, word)?,
            count => return type_error(format!("a norm is of one axis or two, not of {count}")),
        };
        let mut kept = axes;
        kept.sort_unstable();
        Ok(if keep { kept.iter().fold(norm, |norm, &axis| norm.expand_dims(axis as i64)) } else { norm })
    }

    fn of_type(&self, ty: &Type, attributes: &Attributes) -> Result<Type> {
        self.expanded(&Var::input_at("x", ty.clone(), Location::unknown()), attributes)?.ty().cloned()
    }
}

impl Op for Norm {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, true)
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        Ok(vec![self.of_type(operands[0].ty, attributes)?.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let shape = self.of_type(&Type::of_shape(DType::F64, operands[0].shape), attributes)?.known_shape();
        shape.map(|shape| vec![shape]).ok_or_else(|| Error::new(ErrorKind::Internal, "a shape is not known"))
    }

    fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        let [x] = operands else { return None };
        Some(self.expanded(x, attributes).map(|value| vec![value]))
    }

    fn has_decomposition(&self) -> bool {
        true
    }

    fn can_fail(&self) -> bool {
        true
    }
}
