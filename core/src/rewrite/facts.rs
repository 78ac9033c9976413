//! What is known of values without computing them, three-valued: yes, no, unknown.
//!
//! A fact holds in every call, NaN aside, of what is computed with rounding: `exp(x)` is not positive, as it
//! underflows to 0. [`assume`](crate::ops::assume) adds what cannot be seen. That a matrix is positive definite
//! is not concluded from sums such as `x @ transpose(x) + eye(n)`: rounding may make it singular, and what
//! relies on it, a Cholesky factorization, would fail where others do not.

pub use crate::ops::assume::Fact;

use crate::graph::{Graph, NodeView, ValueId};
use crate::ops::{Attribute, Attributes};
use crate::tensor::{DType, Kind, Tensor};

/// How many nodes a question may look at.
const BUDGET: usize = 48;
/// The most elements of a constant that are looked at.
const LARGEST: usize = 4096;

/// Whether the fact holds of the value; `None` where that is not known.
pub fn holds(graph: &Graph, value: ValueId, fact: Fact) -> Option<bool> {
    Question { graph, budget: BUDGET }.ask(value, fact)
}

/// Whether the fact is known to hold.
pub fn certain(graph: &Graph, value: ValueId, fact: Fact) -> bool {
    holds(graph, value, fact) == Some(true)
}

struct Question<'g> {
    graph: &'g Graph,
    budget: usize,
}

/// Ops that move, repeat or drop elements and make no new ones, so that what holds of each holds of them.
const MOVES: &[&str] = &[
    "index", "take", "reshape", "flatten", "ravel", "transpose", "swapaxes", "squeeze", "expand_dims", "broadcast_to", "flip", "roll",
    "stop_gradient", "assume", "concatenate", "stack", "max", "min", "sort", "repeat", "tile",
];

impl Question<'_> {
    /// Recursion is as deep as the budget.
    fn ask(&mut self, value: ValueId, fact: Fact) -> Option<bool> {
        if self.budget == 0 {
            return None;
        }
        self.budget -= 1;
        let view = self.graph.node(value.node);
        let ty = self.graph.ty(value);
        if let Some(constant) = view.constant() {
            return of_constant(&constant.value, fact);
        }
        let kind = ty.dtype.kind();
        match fact {
            Fact::NonNegative if matches!(kind, Kind::Bool | Kind::Unsigned) => return Some(true),
            Fact::Whole if kind != Kind::Float => return Some(true),
            _ => {}
        }
        let (op, attributes) = view.apply()?;
        let op = op.name();
        if op == "assume"
            && let Ok(facts) = Fact::parse_list(attributes.str("facts").unwrap_or_default())
            && facts.iter().any(|assumed| assumed.implies(fact))
        {
            return Some(true);
        }
        if fact.of_matrices() { self.of_matrix(value, &view, op, attributes, fact) } else { self.of_elements(&view, op, kind, fact) }
    }

    fn all(&mut self, values: &[ValueId], fact: Fact) -> Option<bool> {
        values.iter().all(|&value| self.ask(value, fact) == Some(true)).then_some(true)
    }

    fn of_elements(&mut self, view: &NodeView<'_>, op: &str, kind: Kind, fact: Fact) -> Option<bool> {
        // `square` of wrapping integers can be negative, and their sums and products too.
        let float = kind == Kind::Float;
        let operands = view.operands;
        if MOVES.contains(&op) && fact != Fact::Sorted {
            let moved = if matches!(op, "concatenate" | "stack") { operands } else { operands.get(..1)? };
            return self.all(moved, fact);
        }
        match fact {
            Fact::Positive => match op {
                "cosh" | "ones" | "ones_like" => Some(true),
                "zeros" | "zeros_like" => Some(false),
                "sqrt" if float => self.all(operands, fact),
                "add" | "hypot" if float => {
                    let [a, b] = operands else { return None };
                    let one = self.ask(*a, fact) == Some(true) && self.ask(*b, Fact::NonNegative) == Some(true);
                    let mut other = || self.ask(*b, fact) == Some(true) && self.ask(*a, Fact::NonNegative) == Some(true);
                    (one || other()).then_some(true)
                }
                "maximum" => operands.iter().any(|&operand| self.ask(operand, fact) == Some(true)).then_some(true),
                "minimum" => self.all(operands, fact),
                "where" => self.all(operands.get(1..)?, fact),
                "abs" if float => self.all(operands, Fact::NonZero),
                _ => None,
            },
            // Lengths fit into memory, so that a few of them do not wrap.
            Fact::NonNegative if op == "add" && !float && operands.iter().all(|&operand| self.is_length(operand)) => Some(true),
            Fact::NonNegative => match op {
                "exp" | "exp2" | "sigmoid" | "softplus" | "sqrt" | "softmax" | "relu" | "erfc" | "erfcx" | "cosh" | "hypot"
                | "logical_not" | "vector_norm" | "sech_squared" | "shape" | "size" | "argmax" | "argmin" | "argsort" | "count_nonzero" => Some(true),
                "abs" | "square" if float => Some(true),
                "ones" | "zeros" | "ones_like" | "zeros_like" => Some(true),
                "add" | "mul" | "div" | "sum" | "prod" | "mean" | "cumsum" | "cumprod" | "var" | "std" if float => match op {
                    "var" | "std" => Some(true),
                    _ => self.all(operands.get(..if matches!(op, "add" | "mul" | "div") { 2 } else { 1 })?, fact),
                },
                "maximum" => operands.iter().any(|&operand| self.ask(operand, fact) == Some(true)).then_some(true),
                "minimum" | "log1p" | "expm1" | "floor" | "ceil" | "rint" | "trunc" | "tanh" | "sinh" | "arctan" | "erf" => self.all(operands, fact),
                "where" => self.all(operands.get(1..)?, fact),
                _ => None,
            },
            Fact::NonZero => match op {
                "neg" | "abs" if float => self.all(operands, fact),
                "where" => self.all(operands.get(1..)?, fact),
                "zeros" | "zeros_like" => Some(false),
                _ => self.of_elements(view, op, kind, Fact::Positive).filter(|&positive| positive),
            },
            Fact::Whole => match op {
                "floor" | "ceil" | "rint" | "trunc" | "sign" | "floor_div" | "ones" | "zeros" | "ones_like" | "zeros_like" => Some(true),
                "cast" | "neg" | "abs" | "add" | "sub" | "mul" | "square" | "maximum" | "minimum" | "relu" | "sum" | "prod" => self.all(operands, fact),
                "where" => self.all(operands.get(1..)?, fact),
                _ => None,
            },
            Fact::Sorted => match op {
                "sort" => {
                    let (_, attributes) = view.apply()?;
                    let rank = self.graph.ty(*operands.first()?).rank();
                    (attributes.axis("axis", rank).ok()? + 1 == rank).then_some(true)
                }
                "arange" if operands.len() < 3 => Some(true),
                "stop_gradient" | "assume" => self.all(operands, fact),
                "cumsum" if self.graph.ty(*operands.first()?).rank() == 1 && float => self.all(operands, Fact::NonNegative),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether an integer is a length of an axis, a number below 2^31, or a sum of few of these.
    fn is_length(&mut self, value: ValueId) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        let view = self.graph.node(value.node);
        if let Some(constant) = view.constant() {
            return constant.value.len() <= LARGEST && constant.value.to_f64_vec().iter().all(|x| (0.0..2147483648.0).contains(x));
        }
        if self.graph.ty(value).dtype != DType::I64 {
            return false;
        }
        match (view.op_name(), view.operands) {
            ("shape" | "size", _) => true,
            ("index", &[of, ..]) => self.graph.node(of.node).op_name() == "shape",
            ("add", &[a, b]) => self.is_length(a) && self.is_length(b),
            _ => false,
        }
    }

    fn of_matrix(&mut self, value: ValueId, view: &NodeView<'_>, op: &str, attributes: &Attributes, fact: Fact) -> Option<bool> {
        use Fact::{Diagonal, LowerTriangular, Orthogonal, PositiveDefinite, Symmetric, UpperTriangular};
        let operands = view.operands;
        let rank = self.graph.ty(value).rank();
        if rank < 2 {
            return None;
        }
        let triangle = matches!(fact, Diagonal | LowerTriangular | UpperTriangular);
        let found = match op {
            "eye" if operands.len() == 1 && attributes.int("k").ok()? == 0 => Some(true),
            "diag" if self.graph.ty(*operands.first()?).rank() == 1 && attributes.int("k").ok()? == 0 => match fact {
                PositiveDefinite => self.all(operands, Fact::Positive),
                Orthogonal => None,
                _ => Some(true),
            },
            "tril" => match fact {
                LowerTriangular if attributes.int("k").ok()? <= 0 => Some(true),
                UpperTriangular | Diagonal if attributes.int("k").ok()? <= 0 => self.all(operands, UpperTriangular),
                _ => None,
            },
            "triu" => match fact {
                UpperTriangular if attributes.int("k").ok()? >= 0 => Some(true),
                LowerTriangular | Diagonal if attributes.int("k").ok()? >= 0 => self.all(operands, LowerTriangular),
                _ => None,
            },
            "cholesky" => match fact {
                LowerTriangular => Some(true),
                Diagonal => self.all(operands, Diagonal),
                _ => None,
            },
            // p, l, u
            "lu" => match (value.output, fact) {
                (0, Orthogonal) | (1, LowerTriangular) | (2, UpperTriangular) => Some(true),
                _ => None,
            },
            "qr" if attributes.str("mode").ok()? != "r" && value.output == 1 && fact == UpperTriangular => Some(true),
            // Of a square matrix, or all columns of it.
            "qr" if attributes.str("mode").ok()? != "r" && value.output == 0 && fact == Orthogonal => {
                let dims = &self.graph.ty(value).dims;
                (dims[rank - 2].known().is_some() && dims[rank - 2] == dims[rank - 1]).then_some(true)
            }
            "eigh" if value.output == 1 && fact == Orthogonal => Some(true),
            "transpose" | "swapaxes" => {
                let last = swaps_last(op, attributes, rank)?;
                let asked = match fact {
                    LowerTriangular if last => UpperTriangular,
                    UpperTriangular if last => LowerTriangular,
                    other => other,
                };
                if last { self.all(operands, asked) } else { None }
            }
            "matmul" if triangle && operands.iter().all(|&operand| self.graph.ty(operand).rank() >= 2) => self.all(operands, fact),
            "matmul" if fact == Orthogonal => self.all(operands, fact),
            "matmul" if fact == Symmetric => {
                let [a, b] = operands else { return None };
                (self.transposed(*a) == Some(*b) || self.transposed(*b) == Some(*a)).then_some(true)
            }
            "add" if fact != Orthogonal => {
                let whole = operands.iter().all(|&operand| self.graph.ty(operand).rank() == rank);
                if whole { self.all(operands, fact) } else { None }
            }
            "sub" if triangle || fact == Symmetric => {
                let whole = operands.iter().all(|&operand| self.graph.ty(operand).rank() == rank);
                if whole { self.all(operands, fact) } else { None }
            }
            "neg" if fact != PositiveDefinite => self.all(operands, fact),
            // By a finite number.
            "mul" if fact != Orthogonal => {
                let [a, b] = operands else { return None };
                let number = |value: ValueId| {
                    let constant = &self.graph.node(value.node).constant()?.value;
                    (constant.rank() == 0).then(|| constant.item()).flatten().filter(|x| x.is_finite())
                };
                let (scale, matrix) = match (number(*a), number(*b)) {
                    (Some(scale), None) => (scale, *b),
                    (None, Some(scale)) => (scale, *a),
                    _ => return None,
                };
                if fact == PositiveDefinite && scale <= 0.0 { None } else { self.ask(matrix, fact) }
            }
            "inv" => self.all(operands, fact),
            "stop_gradient" | "assume" => self.all(operands, fact),
            _ => None,
        };
        // Of the facts that others imply.
        found.or_else(|| match fact {
            Symmetric if matches!(op, "assume" | "inv" | "add" | "mul" | "stop_gradient") => None,
            Symmetric => self.of_matrix(value, view, op, attributes, Diagonal).filter(|&diagonal| diagonal),
            _ => None,
        })
    }

    /// The matrix that this one is the transpose of.
    fn transposed(&self, value: ValueId) -> Option<ValueId> {
        let view = self.graph.node(value.node);
        let (op, attributes) = view.apply()?;
        let operand = *view.operands.first()?;
        swaps_last(op.name(), attributes, self.graph.ty(operand).rank())?.then_some(operand)
    }
}

/// Whether the application of `transpose` or `swapaxes` exchanges the last two axes and no others; nothing for
/// other ops.
pub fn swaps_last(op: &str, attributes: &Attributes, rank: usize) -> Option<bool> {
    match op {
        "transpose" => {
            let axes: Vec<usize> = match attributes.ints("axes").ok()? {
                None => (0..rank).rev().collect(),
                Some(axes) => axes.iter().map(|&axis| crate::ops::normalize_axis(axis, rank).ok()).collect::<Option<_>>()?,
            };
            let swapped = |at: usize| if at + 2 == rank { rank - 1 } else if at + 1 == rank { rank.wrapping_sub(2) } else { at };
            Some(rank >= 2 && axes.len() == rank && axes.iter().enumerate().all(|(at, &axis)| axis == swapped(at)))
        }
        "swapaxes" => {
            let axis = |name| match attributes.get(name) {
                Some(Attribute::Int(axis)) => crate::ops::normalize_axis(*axis, rank).ok(),
                _ => None,
            };
            let (a, b) = (axis("axis1")?, axis("axis2")?);
            Some(rank >= 2 && a.min(b) + 2 == rank && a.max(b) + 1 == rank)
        }
        _ => None,
    }
}

fn of_constant(constant: &Tensor, fact: Fact) -> Option<bool> {
    if constant.len() > LARGEST {
        return None;
    }
    let elements = constant.to_f64_vec();
    let every = |test: &dyn Fn(f64) -> bool| Some(elements.iter().all(|&x| x.is_nan() || test(x)));
    match fact {
        Fact::Positive => every(&|x| x > 0.0),
        Fact::NonNegative => every(&|x| x >= 0.0),
        Fact::NonZero => every(&|x| x != 0.0),
        Fact::Whole => every(&|x| x.is_infinite() || x.fract() == 0.0),
        Fact::Sorted => {
            let row = *constant.shape().last()?;
            Some(row == 0 || elements.chunks(row).all(|row| row.is_sorted()))
        }
        Fact::Diagonal | Fact::LowerTriangular | Fact::UpperTriangular | Fact::Symmetric => {
            let &[.., rows, columns] = constant.shape() else { return None };
            let at = |matrix: &[f64], row: usize, column: usize| matrix[row * columns + column];
            let mut matrices = elements.chunks((rows * columns).max(1));
            Some(matrices.all(|matrix| {
                (0..rows).all(|row| (0..columns).all(|column| match fact {
                    Fact::LowerTriangular => column <= row || at(matrix, row, column) == 0.0,
                    Fact::UpperTriangular => column >= row || at(matrix, row, column) == 0.0,
                    Fact::Diagonal => column == row || at(matrix, row, column) == 0.0,
                    _ => rows == columns && at(matrix, row, column) == at(matrix, column, row),
                }))
            }))
        }
        Fact::PositiveDefinite | Fact::Orthogonal => None,
    }
}
