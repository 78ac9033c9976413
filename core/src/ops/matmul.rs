//! The matrix product, in all of NumPy's combinations of ranks.

use super::elementwise::unbroadcast;
use super::shape::stack;
use super::{Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp, promote_operands, settle_float};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::tensor::{DType, Dim, Shape, Type, broadcast_dims, broadcast_shapes};

struct MatMul {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// `dot` and `outer`, which are given by other ops.
struct Sugar {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operand = |name| Param::operand(name, "a vector, a matrix or a stack of matrices");
    registry.add(MatMul {
        name: "matmul",
        params: vec![operand("x"), operand("y")],
        doc: "The matrix product `x @ y`. A vector on the left is a row, on the right a column, and its axis is dropped \
              from the result; axes before the last two broadcast.",
    });
    registry.add(Sugar {
        name: "dot",
        params: vec![operand("x"), operand("y")],
        doc: "The sum of products over the last axis of x and the last but one (of a vector: the only one) of y; \
              the other axes of x come first, then those of y. Of scalars, and of vectors and matrices, as NumPy: \
              `x * y` and `x @ y`.",
    });
    registry.add(Sugar {
        name: "outer",
        params: vec![operand("x"), operand("y")],
        doc: "All products of an element of x and one of y, both flattened: a matrix.",
    });
}

fn scalar_error() -> Error {
    Error::new(ErrorKind::Type, "a product of matrices needs at least one axis in each operand; `*` multiplies by a scalar")
}

impl Op for MatMul {
    described!();

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
            let message = format!("the inner lengths differ: {inner_x} on the left, {inner_y} on the right");
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
        let dy = match stacked(x)? {
            // One matrix y for a whole stack x: one product of two tall matrices.
            Some(rows) if rank_y == 2 => {
                let columns = y.ty()?.dims[1].known().filter(|&columns| columns > 0);
                match columns {
                    Some(columns) => x.reshape(&[-1, rows]).t().matmul(&g.reshape(&[-1, columns as i64])),
                    None => x2.swap_last().matmul(&g2),
                }
            }
            _ => x2.swap_last().matmul(&g2),
        };
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

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let (x, y) = (&context.operands[0], &context.operands[1]);
        let (rank_x, rank_y) = (context.rank(0)?, context.rank(1)?);
        let value = match (context.is_batched(0), context.is_batched(1)) {
            // One product of matrices where there would be one of vectors for each row.
            (true, false) if rank_y <= 2 => x.matmul(y),
            (false, true) if rank_y == 1 && rank_x <= 2 => y.matmul(&if rank_x == 2 { x.t() } else { x.clone() }),
            _ => {
                let rank = rank_x.max(rank_y).max(2);
                let x = context.aligned(0, rank - usize::from(rank_x == 1))?;
                let y = context.aligned(1, rank - usize::from(rank_y == 1))?;
                let (row, column) = (rank_x == 1 && context.is_batched(0), rank_y == 1 && context.is_batched(1));
                let x = if row { x.expand_dims(-2) } else { x };
                let y = if column { y.expand_dims(-1) } else { y };
                let value = x.matmul(&y);
                let value = if column { value.squeeze(-1) } else { value };
                match (row, column) {
                    (true, true) => value.squeeze(-1),
                    (true, false) => value.squeeze(-2),
                    _ => value,
                }
            }
        };
        Ok(Batched::Rows(vec![value]))
    }
}

/// For a stack of matrices whose last axis has a known length other than 0: that length.
fn stacked(x: &Var) -> Result<Option<i64>> {
    let ty = x.ty()?;
    Ok(ty.dims.last().and_then(Dim::known).filter(|&length| length > 0 && ty.rank() > 2).map(|length| length as i64))
}

impl Sugar {
    fn expanded(&self, x: &Var, y: &Var) -> Result<Var> {
        if self.name == "outer" {
            return Ok(x.flatten().expand_dims(1) * y.flatten().expand_dims(0));
        }
        let (rank_x, rank_y) = (x.ty()?.rank(), y.ty()?.rank());
        Ok(match (rank_x, rank_y) {
            (0, _) | (_, 0) => x * y,
            (_, 1 | 2) => x.matmul(y),
            _ => {
                // Each matrix of the stack y in turn, its columns last: y as one wide matrix.
                let front = (rank_y - 2) as i64;
                let axes: Vec<i64> = std::iter::once(front).chain(0..front).chain([front + 1]).collect();
                let wide = y.transpose(&axes);
                let lengths = |v: &Var, range: std::ops::Range<i64>| -> Vec<Var> { range.map(|at| v.shape().at_axis(0, at)).collect() };
                let mut shape = lengths(x, 0..rank_x as i64 - 1);
                let mut tail = lengths(&wide, 1..rank_y as i64);
                let slab = wide.reshape_to(&stack(&[y.shape().at_axis(0, front), stack(&tail, 0).prod(None)], 0));
                shape.append(&mut tail);
                x.matmul(&slab).reshape_to(&stack(&shape, 0))
            }
        })
    }

    /// The type of the expansion for operands of some types.
    fn of_types(&self, types: [&Type; 2]) -> Result<Type> {
        let [x, y] = types.map(|ty| Var::input_at("x", ty.clone(), Location::unknown()));
        self.expanded(&x, &y)?.ty().cloned()
    }
}

impl Op for Sugar {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, false)
    }

    fn infer(&self, operands: &[Operand<'_>], _attributes: &Attributes) -> Result<Vec<Inferred>> {
        Ok(vec![self.of_types([operands[0].ty, operands[1].ty])?.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        let [x, y] = [0, 1].map(|at: usize| Type::of_shape(DType::F64, operands[at].shape));
        let shape = self.of_types([&x, &y])?.known_shape();
        shape.map(|shape| vec![shape]).ok_or_else(|| Error::new(ErrorKind::Internal, "a shape is not known"))
    }

    fn decompose(&self, operands: &[Var], _attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        let [x, y] = operands else { return None };
        Some(self.expanded(x, y).map(|value| vec![value]))
    }

    fn has_decomposition(&self) -> bool {
        true
    }

    fn can_fail(&self) -> bool {
        self.name == "dot"
    }
}

impl Var {
    /// The dot product: of vectors a scalar, of matrices their product; see `arignote ops`.
    #[track_caller]
    pub fn dot(&self, other: &Var) -> Var {
        Var::apply("dot", &[self.clone(), other.clone()], Attributes::new())
    }

    /// All products of an element of each, as a matrix.
    #[track_caller]
    pub fn outer(&self, other: &Var) -> Var {
        Var::apply("outer", &[self.clone(), other.clone()], Attributes::new())
    }

    /// The matrix product.
    ///
    /// ```
    /// use arignote_core::{graph::Var, tensor::{DType, Type}};
    /// let x = Var::input("x", Type::new(DType::F32, ["n".into(), 4.into()]));
    /// let w = Var::input("w", Type::new(DType::F32, [4.into(), 2.into()]));
    /// assert_eq!(x.matmul(&w).ty().unwrap().to_string(), "f32[n, 2]");
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Var) -> Var {
        Var::apply("matmul", &[self.clone(), other.clone()], Attributes::new())
    }
}
