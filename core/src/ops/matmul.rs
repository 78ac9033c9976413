//! The matrix product, in all of NumPy's combinations of ranks.

use super::elementwise::unbroadcast;
use super::{Attributes, Inferred, Jvp, Op, Operand, Param, ParamKind, Registry, ShapeOperand, Vjp, promote_operands, settle_float};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Var;
use crate::tensor::{DType, Dim, Shape, Type, broadcast_dims, broadcast_shapes};

struct MatMul {
    params: Vec<Param>,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = |name| Param { name, kind: ParamKind::Operand, doc: "a vector, a matrix or a stack of matrices" };
    registry.add(MatMul { params: vec![operand("x"), operand("y")] });
}

fn scalar_error() -> Error {
    Error::new(ErrorKind::Type, "a product of matrices needs at least one axis in each operand; `*` multiplies by a scalar")
}

impl Op for MatMul {
    fn name(&self) -> &str {
        "matmul"
    }

    fn params(&self) -> &[Param] {
        &self.params
    }

    fn doc(&self) -> &str {
        "The matrix product `x @ y`. A vector on the left is a row, on the right a column, and its axis is dropped \
         from the result; axes before the last two broadcast."
    }

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, false)
    }

    fn infer(&self, operands: &[Operand<'_>], _attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (x, y) = (operands[0].ty, operands[1].ty);
        let (Some(inner_x), true) = (x.dims.last(), y.rank() > 0) else { return Err(scalar_error()) };
        let inner_y = &y.dims[y.rank().saturating_sub(2)];
        if !inner_x.compatible(inner_y) {
            let message = format!("the last axis of x has length {inner_x}, the matching axis of y {inner_y}");
            return Err(Error::new(ErrorKind::Type, message));
        }
        let (dtype, weak) = promote_operands([x, y]);
        let lead = |ty: &Type| ty.dims[..ty.rank().saturating_sub(2)].to_vec();
        let mut dims: Vec<Dim> = broadcast_dims(&lead(x), &lead(y))?;
        if x.rank() > 1 {
            dims.push(x.dims[x.rank() - 2].clone());
        }
        if y.rank() > 1 {
            dims.push(y.dims[y.rank() - 1].clone());
        }
        Ok(vec![Type { dtype, weak, dims }.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let (x, y) = (operands[0].shape, operands[1].shape);
        let (Some(inner_x), true) = (x.last(), !y.is_empty()) else { return Err(scalar_error()) };
        let inner_y = y[y.len().saturating_sub(2)];
        if *inner_x != inner_y {
            let message = format!("`matmul` of shapes {x:?} and {y:?}: {inner_x} against {inner_y}");
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        let lead = |shape: &[usize]| shape[..shape.len().saturating_sub(2)].to_vec();
        let mut shape = broadcast_shapes(&lead(x), &lead(y))?;
        if x.len() > 1 {
            shape.push(x[x.len() - 2]);
        }
        if y.len() > 1 {
            shape.push(y[y.len() - 1]);
        }
        Ok(vec![shape])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        let (x, y) = (&context.operands[0], &context.operands[1]);
        let Some(g) = &context.cotangents[0] else { return Ok(vec![None, None]) };
        let (rank_x, rank_y) = (x.ty()?.rank(), y.ty()?.rank());
        // As matrices: a vector x is a row, a vector y a column, and g has the axis that they lost.
        let x2 = if rank_x == 1 { x.expand_dims(0) } else { x.clone() };
        let y2 = if rank_y == 1 { y.expand_dims(1) } else { y.clone() };
        let g2 = if rank_y == 1 { g.expand_dims(-1) } else { g.clone() };
        let g2 = if rank_x == 1 { g2.expand_dims(-2) } else { g2 };
        let dx = g2.matmul(&y2.swap_last());
        let dy = x2.swap_last().matmul(&g2);
        let dx = unbroadcast(&if rank_x == 1 { dx.squeeze(-2) } else { dx }, x);
        let dy = unbroadcast(&if rank_y == 1 { dy.squeeze(-1) } else { dy }, y);
        let float = |v: &Var, d: Var| -> Result<Option<Var>> { Ok(v.ty()?.dtype.is_float().then_some(d)) };
        Ok(vec![float(x, dx)?, float(y, dy)?])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        let left = context.tangents[0].as_ref().map(|t| t.matmul(&context.operands[1]));
        let right = context.tangents[1].as_ref().map(|t| context.operands[0].matmul(t));
        Ok(vec![match (left, right) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }])
    }

    fn can_fail(&self) -> bool {
        true
    }
}

impl Var {
    /// The matrix product.
    #[track_caller]
    pub fn matmul(&self, other: &Var) -> Var {
        Var::apply("matmul", &[self.clone(), other.clone()], Attributes::new())
    }
}
