//! A factorization by itself, and solutions by it: what `solve`, `inv`, `det` and `slogdet` do in one, for programs in which
//! several of them have one matrix. Rewrites make these ops, after gradients are expanded.

use super::general::none;
use super::{float_dtype, joined, shapes_of, solution, square, type_error};
use crate::error::Result;
use crate::graph::Var;
use crate::ops::{
    Attribute, AttributeKind, Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp, settle_float,
};
use crate::tensor::{DType, Dim, Shape, Type};

struct Factorize {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

struct SolveByFactors {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let kind = || Param::attribute("assume_a", AttributeKind::Str, Some("gen".into()), "what the matrices are, as for `solve`");
    registry.add(Factorize {
        name: "factorize",
        params: vec![operand("a", "square matrices"), kind()],
        doc: "What `solve_by_factors` needs of `a`, in `f64` and not rounded to the dtype of `a`: two triangles in one matrix, and the order \
              of rows. And what the factors say at once, the determinant and both results of `slogdet`. With `assume_a=\"pos\"` a matrix \
              that is not positive definite is an error of the call. It has no gradient: `solve`, `det` and `slogdet` have.\
              \n\n    packed, order, det, sign, logdet = factorize(a)",
    });
    registry.add(SolveByFactors {
        name: "solve_by_factors",
        params: vec![
            operand("a", "square matrices"), operand("packed", "the triangles that `factorize(a)` gives"), operand("order", "the order of rows that it gives"),
            operand("b", "the right sides: columns of matrices, or one vector"), kind(),
            Param::attribute("trans", AttributeKind::Int, Some(Attribute::Int(0)), "0 solves `a @ x = b`; 1 and 2 `transpose(a) @ x = b`"),
        ],
        doc: "The x of `solve(a, b)`, as exact and with the same errors, by the factors of `a`; with `trans` that of `solve(transpose(a), b)`. \
              It has no gradient: `solve` has.\n\n    packed, order, det, sign, logdet = factorize(a)\n    solve_by_factors(a, packed, order, b)",
    });
}

fn check_kind(attributes: &Attributes) -> Result<()> {
    match attributes.str("assume_a")? {
        "gen" | "sym" | "pos" => Ok(()),
        _ => type_error("`assume_a` is \"gen\", \"sym\" or \"pos\""),
    }
}

fn factorized(operands: &[&[Dim]]) -> Result<Vec<Vec<Dim>>> {
    let Some(a) = operands.first() else { return type_error("operand 0 is missing") };
    let (batch, n) = square("`a`", a)?;
    let number = batch.to_vec();
    Ok(vec![joined(batch, &[n.clone(), n.clone()]), joined(batch, &[n]), number.clone(), number.clone(), number])
}

fn solved(operands: &[&[Dim]]) -> Result<Vec<Vec<Dim>>> {
    let [a, packed, order, b] = operands else { return type_error("four operands are needed") };
    let (batch, n) = square("`a`", a)?;
    let alike = |one: &[Dim], other: &[Dim]| one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.compatible(other));
    if !alike(packed, a) || !alike(order, &a[..a.len() - 1]) {
        return type_error("`packed` has the shape of `a`, and `order` that without the last axis");
    }
    Ok(vec![solution(batch, &n, b)?])
}

impl Op for Factorize {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, true)
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        check_kind(attributes)?;
        let seen: Vec<&[Dim]> = operands.iter().map(|operand| operand.ty.dims.as_slice()).collect();
        let (dtype, weak) = float_dtype(operands.iter().map(|operand| operand.ty));
        let dtypes = [(DType::F64, false), (DType::I64, false), (dtype, weak), (dtype, weak), (dtype, weak)];
        Ok(factorized(&seen)?.into_iter().zip(dtypes).map(|(dims, (dtype, weak))| Type { dtype, weak, dims }.into()).collect())
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        shapes_of(factorized, self.name, operands)
    }

    fn vjp(&self, _context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        none(self.name, "`solve`, `det` and `slogdet` have")
    }

    fn jvp(&self, _context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        none(self.name, "`solve`, `det` and `slogdet` have")
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        Ok(Batched::Rows(Var::apply(self.name, context.operands, context.attributes.clone()).siblings()))
    }
}

impl Op for SolveByFactors {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        // The matrix and the right side; what comes from a factorization is what it is.
        let mut casts = match operands {
            [a, _, _, b] => settle_float(&[a, b], true),
            _ => Vec::new(),
        };
        if let [a, b] = casts[..] {
            casts = vec![a, None, None, b];
        }
        casts
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        check_kind(attributes)?;
        if !matches!(attributes.int("trans")?, 0..=2) {
            return type_error("`trans` is 0, 1 or 2");
        }
        let seen: Vec<&[Dim]> = operands.iter().map(|operand| operand.ty.dims.as_slice()).collect();
        let dims = solved(&seen)?;
        let (packed, order) = (operands[1].ty, operands[2].ty);
        if packed.dtype != DType::F64 || order.dtype != DType::I64 {
            return type_error(format!("`packed` and `order` are those of `factorize`, in f64 and i64, not {packed} and {order}"));
        }
        let (dtype, weak) = float_dtype([operands[0].ty, operands[3].ty]);
        Ok(dims.into_iter().map(|dims| Type { dtype, weak, dims }.into()).collect())
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        shapes_of(solved, self.name, operands)
    }

    fn vjp(&self, _context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        none(self.name, "`solve` has one")
    }

    fn jvp(&self, _context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        none(self.name, "`solve` has one")
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        let of_matrix = context.is_batched(0);
        if [1, 2].iter().any(|&at| context.is_batched(at) != of_matrix) {
            return Ok(Batched::Default);
        }
        let (rank_a, rank_b) = (context.rank(0)?, context.rank(3)?);
        let column = rank_b == 1 && context.is_batched(3);
        let rank = if rank_b == 1 { rank_a } else { rank_a.max(rank_b) };
        let matrices = [context.aligned(0, rank)?, context.aligned(1, rank)?, context.aligned(2, rank - 1)?];
        let right = if column { context.aligned(3, rank_a - 1)?.expand_dims(-1) } else { context.aligned(3, rank)? };
        let [a, packed, order] = matrices;
        let solved = Var::apply(self.name, &[a, packed, order, right], context.attributes.clone());
        Ok(Batched::Rows(vec![if column { solved.squeeze(-1) } else { solved }]))
    }
}
