//! `assume`: what the user knows of a value and the compiler cannot see. Its value is that of its operand; rewrites
//! read the facts (`rewrite::facts`), and what no device runs, this op, is its operand in the end.

use super::{Attribute, AttributeKind, Attributes, Batch, Batched, Inferred, Jvp, Op, Operand, Param, Registry, ShapeOperand, Vjp};
use crate::error::{Error, ErrorKind, Result, nearest};
use crate::graph::Var;
use crate::tensor::Shape;

/// Something that may be known of a value: of its elements, NaN aside, or of the matrices of its last two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fact {
    /// All elements are above 0.
    Positive,
    /// No element is below 0.
    NonNegative,
    /// No element is 0.
    NonZero,
    /// All elements are whole numbers, or infinite.
    Whole,
    /// The elements do not descend along the last axis.
    Sorted,
    /// 0 but on the diagonal.
    Diagonal,
    /// 0 above the diagonal.
    LowerTriangular,
    /// 0 below the diagonal.
    UpperTriangular,
    /// Equal to its transpose.
    Symmetric,
    /// Symmetric, with positive eigenvalues, and not so near to a singular matrix that a Cholesky factorization fails.
    PositiveDefinite,
    /// Its transpose is its inverse.
    Orthogonal,
}

impl Fact {
    /// All of them.
    pub const ALL: [Fact; 11] = {
        use Fact::*;
        [
            Positive, NonNegative, NonZero, Whole, Sorted, Diagonal, LowerTriangular, UpperTriangular, Symmetric,
            PositiveDefinite, Orthogonal,
        ]
    };

    /// How `assume` calls it.
    pub fn name(self) -> &'static str {
        [
            "positive", "nonnegative", "nonzero", "whole", "sorted", "diagonal", "lower_triangular", "upper_triangular",
            "symmetric", "positive_definite", "orthogonal",
        ][self as usize]
    }

    /// Whether it is one about matrices.
    pub fn of_matrices(self) -> bool {
        self >= Fact::Diagonal
    }

    /// Whether everything with this fact has the other one.
    pub fn implies(self, other: Fact) -> bool {
        use Fact::*;
        self == other
            || match self {
                Positive => matches!(other, NonNegative | NonZero),
                Diagonal => matches!(other, LowerTriangular | UpperTriangular | Symmetric),
                PositiveDefinite => other == Symmetric,
                _ => false,
            }
    }

    /// The facts of a text of names between commas.
    ///
    /// # Errors
    /// If there is no fact of a name; the error names the nearest.
    pub fn parse_list(text: &str) -> Result<Vec<Fact>> {
        let one = |name: &str| {
            Fact::ALL.into_iter().find(|fact| fact.name() == name).ok_or_else(|| {
                let error = Error::new(ErrorKind::Type, format!("nothing is called `{name}` that could be assumed"));
                match nearest(name, Fact::ALL.iter().map(|fact| fact.name())) {
                    Some(near) => error.note(format!("did you mean `{near}`?")),
                    None => error.note(format!("there are {}", Fact::ALL.map(Fact::name).join(", "))),
                }
            })
        };
        text.split(',').map(|name| one(name.trim())).collect()
    }
}

struct Assume {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    registry.add(Assume {
        name: "assume",
        params: vec![
            Param::operand("x", "any value"),
            Param::attribute("facts", AttributeKind::Str, None, "names of facts, with commas between them"),
        ],
        doc: "x, of which the compiler may take for granted what the text says: \"positive\", \"nonnegative\", \"nonzero\", \"whole\", \
              \"sorted\" of the elements; \"diagonal\", \"lower_triangular\", \"upper_triangular\", \"symmetric\", \"positive_definite\", \
              \"orthogonal\" of matrices. Nothing checks it: where it does not hold, results are wrong.\n\n    \
              solve(assume(k, \"positive_definite\"), y)  # by Cholesky",
    });
}

impl Op for Assume {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        let (ty, facts) = (operands[0].ty, Fact::parse_list(attributes.str("facts")?)?);
        if let Some(fact) = facts.iter().find(|fact| fact.of_matrices() && ty.rank() < 2) {
            return Err(Error::new(ErrorKind::Type, format!("`{}` is said of matrices, and this is {ty}", fact.name())));
        }
        Ok(vec![Inferred { ty: ty.clone(), sizes: operands[0].sizes.map(<[_]>::to_vec) }])
    }

    fn shapes(&self, operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        Ok(vec![operands[0].shape.into()])
    }

    fn vjp(&self, context: &Vjp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![context.cotangents[0].clone()])
    }

    fn jvp(&self, context: &Jvp<'_>) -> Result<Vec<Option<Var>>> {
        Ok(vec![context.tangents[0].clone()])
    }

    fn batch(&self, context: &Batch<'_>) -> Result<Batched> {
        Ok(Batched::Rows(vec![Var::apply(self.name, context.operands, context.attributes.clone())]))
    }

    fn decompose(&self, operands: &[Var], _attributes: &Attributes) -> Option<Result<Vec<Var>>> {
        Some(Ok(vec![operands.first()?.clone()]))
    }

    fn has_decomposition(&self) -> bool {
        true
    }
}

impl Var {
    /// This value, of which the compiler may take facts for granted; nothing checks them.
    #[track_caller]
    pub fn assume(&self, facts: &[Fact]) -> Var {
        let names: Vec<&str> = facts.iter().map(|fact| fact.name()).collect();
        let attributes = Attributes::new().with("facts", Attribute::Str(names.join(", ")));
        Var::apply("assume", std::slice::from_ref(self), attributes)
    }
}
