//! Sums of products over named axes: `einsum`, `tensordot` and `batched_tensordot`, in terms of transposes, sums and matrix
//! products, so that they run and differentiate wherever those do.

mod contract;
mod order;
mod subscripts;

use super::{
    Attribute, AttributeKind, Attributes, Inferred, Op, Operand, Param, ParamKind, Registry, ShapeOperand,
    normalize_axis, promote_operands, settle_float,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var};
use crate::tensor::{DType, Shape, Type};
use contract::Term;
use subscripts::Label;

struct Contraction {
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    registry.add(Contraction {
        name: "einsum",
        params: vec![
            Param::attribute("subscripts", AttributeKind::Str, None, "a letter for each axis of each operand, and of the result"),
            Param { name: "operands", kind: ParamKind::Operands, doc: "what is multiplied" },
        ],
        doc: "The sum of the products of the operands' elements over the letters that the result lacks, as NumPy's \
              `einsum`. Without `->` the result has the letters that occur once, in alphabetical order; `...` stands for \
              axes without letters, which broadcast; a letter twice in an operand is its diagonal. A length known to be 1 \
              broadcasts. Integers keep their dtype and wrap; of bools, sums are \"any\". Several operands are multiplied \
              pair by pair: up to six in the order of fewest multiplications, more in a greedy one; lengths that are not \
              known are taken to be 64 for that.\n\n    einsum(\"ij,jk->ik\", a, b)\n    einsum(\"...ii\", x)",
    });
    registry.add(Contraction {
        name: "tensordot",
        params: vec![
            Param::operand("a", "the left operand"),
            Param::operand("b", "the right operand"),
            Param::attribute("axes", AttributeKind::Ints, Some(Attribute::Int(2)),
                "how many axes, the last of `a` and the first of `b`, in order; or two lists of axes that belong together"),
        ],
        doc: "The sum of products over some axes of each; the other axes of `a` come first, then those of `b`.\n\n    \
              tensordot(a, b, axes=[[1, 0], [0, 1]])",
    });
    registry.add(Contraction {
        name: "batched_tensordot",
        params: vec![
            Param::operand("x", "the left operand, of one axis or more"),
            Param::operand("y", "the right operand; its first axis is as long as that of `x`"),
            Param::attribute("axes", AttributeKind::Ints, Some(Attribute::Int(2)),
                "as of `tensordot`; lists count all axes, but do not name the first"),
        ],
        doc: "`tensordot` for each place of the first axis of both, as Theano's: that axis, then the other ones of `x`, then those of \
              `y`.\n\n    batched_tensordot(x, y, axes=[[2], [1]])",
    });
}

fn type_error<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

/// The pairs of axes of `tensordot`; the first axes of both are a pair of their own where they are `batched`.
fn pairs(attributes: &Attributes, ranks: [usize; 2], batched: bool) -> Result<Vec<(usize, usize)>> {
    let first = usize::from(batched);
    let wrong = || Error::new(ErrorKind::Type, "`axes` is a number of axes, or two lists of as many axes: `axes=[[1], [0]]`");
    let list = |attribute: &Attribute| -> Result<Vec<i64>> {
        let whole = |item: &Attribute| match item {
            Attribute::Int(axis) => Ok(*axis),
            _ => Err(wrong()),
        };
        match attribute {
            Attribute::List(items) => items.iter().map(whole).collect(),
            other => whole(other).map(|axis| vec![axis]),
        }
    };
    let pairs: Vec<(usize, usize)> = match attributes.get("axes") {
        Some(Attribute::Int(count)) => {
            let count = usize::try_from(*count).ok().filter(|&count| ranks.iter().all(|rank| count + first <= *rank));
            let Some(count) = count else {
                return type_error(format!("`axes` is more than the operands have, {} and {} axes, or negative", ranks[0], ranks[1]));
            };
            (0..count).map(|at| (ranks[0] - count + at, first + at)).collect()
        }
        Some(Attribute::List(lists)) => {
            let [left, right] = lists.as_slice() else { return Err(wrong()) };
            let (left, right) = (list(left)?, list(right)?);
            if left.len() != right.len() {
                return Err(wrong());
            }
            let both = left.iter().zip(&right);
            both.map(|(&a, &b)| Ok((normalize_axis(a, ranks[0])?, normalize_axis(b, ranks[1])?))).collect::<Result<_>>()?
        }
        _ => return Err(wrong()),
    };
    let pairs: Vec<(usize, usize)> = batched.then_some((0, 0)).into_iter().chain(pairs).collect();
    for (at, (a, b)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(first, second)| first == a || second == b) {
            return type_error("`axes` names an axis twice");
        }
    }
    Ok(pairs)
}

fn tensordot(a: &Var, b: &Var, attributes: &Attributes, batched: bool) -> Result<Var> {
    let ranks = [a.ty()?.rank(), b.ty()?.rank()];
    if batched && ranks.contains(&0) {
        return type_error("both operands have a first axis, but one is a scalar");
    }
    let pairs = pairs(attributes, ranks, batched)?;
    for (first, second) in &pairs {
        let (m, n) = (&a.ty()?.dims[*first], &b.ty()?.dims[*second]);
        if !m.compatible(n) {
            return type_error(format!("axis {first} of `a` has length {m}, axis {second} of `b` {n}"));
        }
    }
    let left: Vec<Label> = (0..ranks[0]).map(|axis| axis as Label).collect();
    let right: Vec<Label> = (0..ranks[1])
        .map(|axis| pairs.iter().find(|pair| pair.1 == axis).map_or(ranks[0] + axis, |pair| pair.0) as Label)
        .collect();
    let free = |labels: &[Label], other: &[Label]| -> Vec<Label> {
        labels.iter().copied().filter(|label| !other.contains(label)).collect()
    };
    let result = [vec![0; usize::from(batched)], free(&left, &right), free(&right, &left)].concat();
    let terms = [Term { value: a.clone(), labels: left }, Term { value: b.clone(), labels: right }];
    contract::pair(&terms[0], &terms[1], &result, true)?.arranged(&result)
}

fn einsum(operands: &[Var], text: &str) -> Result<Var> {
    let types: Vec<&Type> = operands.iter().map(Var::ty).collect::<Result<_>>()?;
    let parsed = subscripts::parse(text, &types)?;
    let (dtype, _) = promote_operands(types.iter().copied());
    // Sums of bools are counted and then asked whether there were any.
    let counted = if dtype == DType::Bool { DType::I64 } else { dtype };
    let value = |x: &Var| if x.ty().is_ok_and(|ty| ty.dtype == counted) { x.clone() } else { x.cast(counted) };
    let terms: Vec<Term> = operands
        .iter()
        .zip(parsed.operands)
        .map(|(x, labels)| Term { value: value(x), labels }.without_repeats())
        .collect::<Result<_>>()?;
    let terms = contract::prepared(terms, &parsed.result)?;
    let result = order::multiplied(terms, &parsed.result)?.arranged(&parsed.result)?;
    Ok(if dtype == DType::Bool { result.cast(DType::Bool) } else { result })
}

impl Contraction {
    fn expanded(&self, operands: &[Var], attributes: &Attributes) -> Result<Var> {
        match (self.name, operands) {
            ("tensordot" | "batched_tensordot", [a, b]) => tensordot(a, b, attributes, self.name != "tensordot"),
            ("tensordot" | "batched_tensordot", _) => type_error("two operands are needed"),
            (_, []) => type_error("at least one operand is needed"),
            _ => einsum(operands, attributes.str("subscripts")?),
        }
    }

    /// The type of the expansion for operands of some types.
    fn of_types(&self, types: &[&Type], attributes: &Attributes) -> Result<Type> {
        let inputs: Vec<Var> =
            types.iter().map(|&ty| Var::input_at("x", ty.clone(), Location::unknown())).collect();
        self.expanded(&inputs, attributes)?.ty().cloned()
    }
}

impl Op for Contraction {
    described!();

    fn settle(&self, operands: &[&Type], _attributes: &mut Attributes) -> Vec<Option<DType>> {
        settle_float(operands, false)
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

/// The sum of products over named axes: `einsum_of("ij,jk->ik", &[&a, &b])`; see `arignote ops`.
///
/// ```
/// use arignote_core::{graph::Var, ops::einsum::einsum_of, tensor::{DType, Type}};
/// let x = Var::input("x", Type::new(DType::F32, ["n".into(), 4.into()]));
/// assert_eq!(einsum_of("ij,kj->ik", &[&x, &x]).ty().unwrap().to_string(), "f32[n, n]");
/// ```
#[track_caller]
pub fn einsum_of(subscripts: &str, operands: &[&Var]) -> Var {
    let operands: Vec<Var> = operands.iter().map(|&operand| operand.clone()).collect();
    Var::apply("einsum", &operands, Attributes::new().with("subscripts", subscripts))
}
