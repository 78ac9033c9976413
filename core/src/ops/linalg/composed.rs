//! Ops of the family that other ops give.

use super::parts::{length, offsets};
use super::solve::{cho_solve, power};
use super::{matrix, square, type_error};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::ops::shape::{concatenate, stack};
use crate::ops::{
    Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, Registry, ShapeOperand, settle_float,
    where_,
};
use crate::tensor::{DType, Dim, Shape, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    ChoSolve,
    MatrixPower,
    Trace,
    Kron,
    BlockDiag,
    MultiDot,
    VecDot,
    MatVec,
    VecMat,
    Inner,
    BatchedDot,
    EigvalsH,
    SvdVals,
    LstSq,
}
use Rule::*;

struct Composed {
    rule: Rule,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the ops.
pub(super) fn register(registry: &mut Registry) {
    let operand = Param::operand;
    let attribute = Param::attribute;
    let two = |x, y| vec![operand("x1", x), operand("x2", y)];
    let list = |doc| vec![Param { name: "xs", kind: ParamKind::OperandList, doc }];
    let int = |name, default: i64, doc| attribute(name, AttributeKind::Int, Some(Attribute::Int(default)), doc);
    let mut add = |rule, name, params, doc| registry.add(Composed { rule, name, params, doc });
    add(ChoSolve, "cho_solve",
        vec![operand("c", "a triangular factor, of `cholesky`"), operand("b", "the right sides: columns of matrices, or one vector"),
            attribute("lower", AttributeKind::Bool, Some(true.into()), "whether `c` is lower triangular: `c @ transpose(c)` is the matrix")],
        "The x with `a @ x = b` by the Cholesky factor of `a`.\n\n    cho_solve(cholesky(k), y)");
    add(MatrixPower, "matrix_power",
        vec![operand("a", "square matrices"), attribute("n", AttributeKind::Int, None, "the power, a literal")],
        "The product of `n` factors `a`; the identity for 0, powers of the inverse below 0.\n\n    matrix_power(a, 3)");
    add(Trace, "trace",
        vec![operand("a", "two axes or more"), int("offset", 0, "which diagonal; positive ones lie above"),
            int("axis1", 0, "the axis of rows"), int("axis2", 1, "the axis of columns"),
            attribute("dtype", AttributeKind::DType, Some(Attribute::None), "the dtype to sum in")],
        "The sum along a diagonal of two axes, NumPy's: the first two unless given.\n\n    trace(a)");
    add(Kron, "kron", two("any number of axes", "any number of axes"),
        "The Kronecker product: every element of `x1` times all of `x2`, block by block; missing axes of either are \
         added in front.\n\n    kron(eye(2), a)");
    add(BlockDiag, "block_diag", list("matrices, all of as many axes"),
        "The matrices along the diagonal of one, with 0 elsewhere; axes before the last two are a stack.\n\n    block_diag([a, b])");
    add(MultiDot, "multi_dot", list("two matrices or more; the first and the last may be vectors"),
        "The product of several matrices, in the order that takes the fewest multiplications; lengths that are not \
         known are taken to be 64 then.\n\n    multi_dot([a, b, c])");
    add(EigvalsH, "eigvalsh", vec![operand("a", "symmetric matrices"),
            attribute("UPLO", AttributeKind::Str, Some("L".into()), "which triangle is read: \"L\", the lower, or \"U\"")],
        "Eigenvalues of symmetric matrices, in ascending order.\n\n    eigvalsh(a)");
    add(SvdVals, "svdvals", vec![operand("a", "matrices")],
        "Singular values in descending order.\n\n    svdvals(a)");
    add(LstSq, "lstsq", vec![operand("a", "matrices"), operand("b", "the right sides: columns of matrices, or one vector"),
            attribute("rcond", AttributeKind::Float, Some(Attribute::None),
                "singular values up to this part of the largest count as 0; the larger length times the dtype's epsilon if none")],
        "The x of least length among those that make `a @ x - b` shortest; of NumPy's results the first. Its gradient is \
         that of constant rank.\n\n    lstsq(a, b)");
    add(VecDot, "vecdot", two("vectors along the last axis", "as many"),
        "The sum of products along the last axis; the axes before it broadcast.\n\n    vecdot(x, y)");
    add(MatVec, "matvec", two("matrices", "vectors along the last axis"),
        "Matrices times vectors; the axes before broadcast.\n\n    matvec(a, x)");
    add(VecMat, "vecmat", two("vectors along the last axis", "matrices"),
        "Vectors times matrices; the axes before broadcast.\n\n    vecmat(x, a)");
    add(Inner, "inner", two("a scalar, or any number of axes", "the same, the last of equal length"),
        "The sum of products over the last axes, for all places of the others: those of `x1` come first.\n\n    inner(x, y)");
    add(BatchedDot, "batched_dot", two("at least one axis", "at least one axis, the first of equal length"),
        "`dot` of matrices or vectors for each place of the first axis.\n\n    batched_dot(x, y)");
}

/// A length as a number for the choice of an order.
pub(crate) fn assumed(dim: &Dim) -> f64 {
    dim.known().unwrap_or(64) as f64
}

/// Two operands with as many axes.
fn level(x: &Var, y: &Var) -> Result<(Var, Var)> {
    let rank = x.ty()?.rank().max(y.ty()?.rank());
    let raised = |v: &Var| -> Result<Var> {
        let missing = rank - v.ty()?.rank();
        Ok((0..missing).fold(v.clone(), |v, _| v.expand_dims(0)))
    };
    Ok((raised(x)?, raised(y)?))
}

fn kron(x: &Var, y: &Var) -> Result<Var> {
    let (x, y) = level(x, y)?;
    let rank = x.ty()?.rank() as i64;
    if rank == 0 {
        return Ok(x * y);
    }
    let shape = x.shape() * y.shape();
    // x[a, 1, b, 1, ...] times y[1, a, 1, b, ...].
    let (mut left, mut right) = (x, y);
    for axis in 0..rank {
        left = left.expand_dims(2 * axis + 1);
        right = right.expand_dims(2 * axis);
    }
    Ok((left * right).reshape_to(&shape))
}

fn block_diag(blocks: &[Var]) -> Result<Var> {
    let Some(first) = blocks.first() else { return type_error("at least one matrix is needed") };
    for block in blocks {
        matrix("each block", &block.ty()?.dims)?;
    }
    let total = |axis| blocks.iter().skip(1).fold(length(first, axis), |sum, block| sum + length(block, axis));
    let width = total(-1);
    let mut start = Var::scalar(0i64);
    let mut rows = Vec::new();
    let rank = first.ty()?.rank();
    let zeros = |block: &Var, columns: &Var| -> Result<Var> {
        let ty = block.ty()?;
        let mut sizes: Vec<Var> = (0..ty.rank() as i64 - 1).map(|axis| block.shape().at_axis(0, axis)).collect();
        sizes.push(columns.clone());
        Ok(Var::apply("zeros", &[stack(&sizes, 0)], Attributes::new().with("dtype", ty.dtype)))
    };
    for block in blocks {
        if block.ty()?.rank() != rank {
            return type_error("all blocks need as many axes");
        }
        let stop = &start + length(block, -1);
        rows.push(concatenate(&[zeros(block, &start)?, block.clone(), zeros(block, &(&width - &stop))?], -1));
        start = stop;
    }
    Ok(concatenate(&rows, -2))
}

/// The product in the order of fewest multiplications, by the usual table over all parts.
fn multi_dot(factors: &[Var]) -> Result<Var> {
    let count = factors.len();
    let [first, .., last] = factors else { return type_error(format!("two factors or more are needed, not {count}")) };
    for (at, factor) in factors.iter().enumerate() {
        let rank = factor.ty()?.rank();
        let outer = at == 0 || at + 1 == count;
        if rank != 2 && !(outer && rank == 1) {
            return type_error(format!("factor {at} has {rank} axes; factors are matrices, the outer ones may be vectors"));
        }
    }
    let rows = |v: &Var, one: bool| -> Result<f64> {
        let dims = &v.ty()?.dims;
        Ok(if one && dims.len() == 1 { 1.0 } else { assumed(&dims[0]) })
    };
    let mut lengths = vec![rows(first, true)?];
    for factor in &factors[1..] {
        lengths.push(rows(factor, false)?);
    }
    let dims = &last.ty()?.dims;
    lengths.push(if dims.len() == 1 { 1.0 } else { assumed(&dims[1]) });
    // cost[i][j] of the product of the factors i..=j, and where it is cut.
    let mut cost = vec![vec![0.0f64; count]; count];
    let mut cut = vec![vec![0usize; count]; count];
    for span in 1..count {
        for i in 0..count - span {
            let j = i + span;
            cost[i][j] = f64::INFINITY;
            for k in i..j {
                let sum = cost[i][k] + cost[k + 1][j] + lengths[i] * lengths[k + 1] * lengths[j + 1];
                if sum < cost[i][j] {
                    cost[i][j] = sum;
                    cut[i][j] = k;
                }
            }
        }
    }
    // Bottom up, so that nothing recurses over the number of factors.
    let mut pending = vec![(0, count - 1, false)];
    let mut done: Vec<Var> = Vec::new();
    while let Some((i, j, ready)) = pending.pop() {
        if i == j {
            done.push(factors[i].clone());
        } else if ready {
            if let (Some(right), Some(left)) = (done.pop(), done.pop()) {
                done.push(left.matmul(&right));
            }
        } else {
            pending.extend([(i, j, true), (cut[i][j] + 1, j, false), (i, cut[i][j], false)]);
        }
    }
    done.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "no factor is left"))
}

fn traced(x: &Var, attributes: &Attributes) -> Result<Var> {
    let rank = x.ty()?.rank();
    if rank < 2 {
        return type_error(format!("`a` needs two axes or more, not {rank}"));
    }
    let (first, second) = (attributes.axis("axis1", rank)?, attributes.axis("axis2", rank)?);
    if first == second {
        return type_error("`axis1` and `axis2` are the same axis");
    }
    let axes: Vec<i64> = (0..rank).filter(|&at| at != first && at != second).chain([first, second]).map(|at| at as i64).collect();
    let x = x.transpose(&axes);
    let on = offsets(&x).eq(&Var::weak(attributes.int("offset")?));
    let zero = if x.ty()?.dtype.is_float() { Var::weak(0.0) } else { x.zeros_like() };
    let dtype = attributes.get("dtype").cloned().unwrap_or(Attribute::None);
    let sum = Attributes::new().with("axis", vec![-2, -1]).with("dtype", dtype);
    Ok(Var::apply("sum", &[where_(&on, &x, &zero)], sum))
}

fn needs_axis<'a>(name: &str, v: &'a Var) -> Result<&'a Dim> {
    let last = v.ty()?.dims.last();
    last.ok_or_else(|| Error::new(ErrorKind::Type, format!("`{name}` needs at least one axis in each operand")))
}

impl Composed {
    fn expanded(&self, x: &[Var], attributes: &Attributes) -> Result<Var> {
        let two = || match x {
            [x, y] => Ok((x, y)),
            _ => type_error("two operands are needed"),
        };
        Ok(match self.rule {
            BlockDiag => block_diag(x)?,
            MultiDot => multi_dot(x)?,
            MatrixPower | Trace => {
                let [x] = x else { return type_error("one operand is needed") };
                if self.rule == Trace {
                    return traced(x, attributes);
                }
                square("`a`", &x.ty()?.dims)?;
                power(x, attributes.int("n")?)?
            }
            EigvalsH => {
                let [x] = x else { return type_error("one operand is needed") };
                Var::apply("eigh", std::slice::from_ref(x), attributes.clone())
            }
            SvdVals => {
                let [x] = x else { return type_error("one operand is needed") };
                Var::apply("svd", std::slice::from_ref(x), Attributes::new().with("compute_uv", false))
            }
            LstSq => {
                let (a, b) = two()?;
                Var::apply("pinv", std::slice::from_ref(a), attributes.clone()).matmul(b)
            }
            ChoSolve => {
                let (c, b) = two()?;
                cho_solve(c, b, attributes.bool("lower")?)?
            }
            Kron => {
                let (x, y) = two()?;
                kron(x, y)?
            }
            VecDot => {
                let (x, y) = two()?;
                let (m, n) = (needs_axis(self.name, x)?, needs_axis(self.name, y)?);
                if !m.compatible(n) {
                    return type_error(format!("the last axes have lengths {m} and {n}"));
                }
                x.expand_dims(-2).matmul(&y.expand_dims(-1)).squeeze(-1).squeeze(-1)
            }
            MatVec => {
                let (x, y) = two()?;
                needs_axis(self.name, y)?;
                matrix("`x1`", &x.ty()?.dims)?;
                x.matmul(&y.expand_dims(-1)).squeeze(-1)
            }
            VecMat => {
                let (x, y) = two()?;
                needs_axis(self.name, x)?;
                matrix("`x2`", &y.ty()?.dims)?;
                x.expand_dims(-2).matmul(y).squeeze(-2)
            }
            Inner => {
                let (x, y) = two()?;
                match y.ty()?.rank() {
                    0 | 1 => x.dot(y),
                    _ => x.dot(&y.swap_last()),
                }
            }
            BatchedDot => {
                let (x, y) = two()?;
                let (rank_x, rank_y) = (x.ty()?.rank(), y.ty()?.rank());
                if !(1..=3).contains(&rank_x) || !(1..=3).contains(&rank_y) {
                    return type_error("the operands have one to three axes, the first of which is the batch");
                }
                if !x.ty()?.dims[0].compatible(&y.ty()?.dims[0]) {
                    return type_error(format!("the first axes have lengths {} and {}", x.ty()?.dims[0], y.ty()?.dims[0]));
                }
                if rank_x == 1 || rank_y == 1 {
                    let lift = |v: &Var, by: usize| (0..by).fold(v.clone(), |v, _| v.expand_dims(-1));
                    return Ok(lift(x, rank_y.saturating_sub(rank_x)) * lift(y, rank_x.saturating_sub(rank_y)));
                }
                let left = if rank_x == 2 { x.expand_dims(1) } else { x.clone() };
                let right = if rank_y == 2 { y.expand_dims(2) } else { y.clone() };
                let product = left.matmul(&right);
                let product = if rank_y == 2 { product.squeeze(-1) } else { product };
                if rank_x == 2 { product.squeeze(1) } else { product }
            }
        })
    }

    /// The type of the expansion for operands of some types.
    fn of_types(&self, types: &[&Type], attributes: &Attributes) -> Result<Type> {
        let inputs: Vec<Var> =
            types.iter().map(|&ty| Var::input_at("x", ty.clone(), Location::unknown())).collect();
        self.expanded(&inputs, attributes)?.ty().cloned()
    }
}

impl Op for Composed {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, matches!(self.rule, ChoSolve | EigvalsH | SvdVals | LstSq))
    }

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let types: Vec<&Type> = operands.iter().map(|operand| operand.ty).collect();
        Ok(vec![self.of_types(&types, attributes)?.into()])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], attributes: &Attributes) -> Result<Vec<Shape>> {
        let types: Vec<Type> = operands.iter().map(|operand| Type::of_shape(DType::F64, operand.shape)).collect();
        let types: Vec<&Type> = types.iter().collect();
        let shape = self.of_types(&types, attributes)?.known_shape();
        shape.map(|shape| vec![shape]).ok_or_else(|| Error::new(ErrorKind::Internal, "a shape is not known"))
    }

    fn decompose(&self, operands: &[Var], attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        Some(self.expanded(operands, attributes).map(|value| vec![value]))
    }

    fn has_decomposition(&self) -> bool {
        true
    }

    fn can_fail(&self) -> bool {
        true
    }
}
