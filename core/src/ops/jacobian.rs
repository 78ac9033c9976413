//! `vectorize`, `jacobian` and `hessian`: nodes that compilation replaces, as those of `symbolic`.

use super::symbolic::{check_disconnected, disconnected};
use super::{AttributeKind, Attribute, Attributes, Inferred, Op, Operand, Param, ParamKind, Registry, ShapeOperand, nth};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Location, Var, clone_with};
use crate::tensor::{Dim, Shape, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Vectorize,
    Jacobian,
    Hessian,
}

struct Many {
    what: What,
    name: &'static str,
    params: Vec<Param>,
    doc: &'static str,
}

/// Registers the family.
pub fn register(registry: &mut Registry) {
    let operands = |name, doc| Param { name, kind: ParamKind::Operands, doc };
    let mut add = |what, name, params, doc| registry.add(Many { what, name, params, doc });
    let outputs = Param::attribute("outputs", AttributeKind::Int, Some(Attribute::Int(1)), "how many values are computed");
    add(What::Vectorize, "vectorize",
        vec![operands("values", "values, what they are computed from, and as many stacks of rows to put there"), outputs],
        "Values for each row of what replaces others: `vectorize(y, x, xs)` is a stack of `y`, computed with each row of \
         `xs` in the place of `x`; `vectorize(y, a, b, as, bs)` replaces two. The whole graph is computed at once, not in \
         a loop, where each op can.\n\n    vectorize(norm(x), x, xs)");
    let mode = Param::attribute("mode", AttributeKind::Str, Some("auto".into()),
        "\"reverse\": a row for each element of y; \"forward\": one for each of x; \"auto\": which are fewer");
    let wrt = || operands("wrt", "what to differentiate in");
    add(What::Jacobian, "jacobian", vec![Param::operand("y", "a result, of any shape"), wrt(), mode, disconnected()],
        "The derivatives of each element of y in each element of values: the axes of y, then those of the value. All \
         rows are computed at once, as `vectorize` does.\n\n    jacobian(tanh(w @ x), x)");
    add(What::Hessian, "hessian", vec![Param::operand("cost", "a float scalar"), Param::operand("x", "what to differentiate in"), disconnected()],
        "The second derivatives of a scalar: the axes of x twice. It is computed by forward over reverse mode; \
         `hessian_vector_product` in the Rust API needs no such matrix.\n\n    hessian(sum(x ** 3), x)");
}

impl Op for Many {
    described!();

    fn infer(&self, operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
        if self.what == What::Vectorize {
            return vectorized_types(operands, attributes);
        }
        check_disconnected(attributes)?;
        if let Some(operand) = operands.iter().find(|operand| !operand.ty.dtype.is_float()) {
            return fail(format!("derivatives are of and in floats, not {}", operand.ty));
        }
        let y = nth(operands, 0)?.ty;
        if self.what == What::Hessian {
            if y.rank() != 0 {
                return fail(format!("the cost must be a scalar, not {y}; `sum` or `mean` makes one"));
            }
            let x = nth(operands, 1)?.ty;
            return Ok(vec![Type::new(x.dtype, [x.dims.as_slice(), &x.dims].concat()).into()]);
        }
        if !matches!(attributes.str("mode")?, "auto" | "forward" | "reverse") {
            return fail("`mode` is \"auto\", \"forward\" or \"reverse\"");
        }
        Ok(operands[1..].iter().map(|x| Type::new(x.ty.dtype, [y.dims.as_slice(), &x.ty.dims].concat()).into()).collect())
    }

    fn shapes(&self, _operands: &[ShapeOperand<'_>], _attributes: &Attributes) -> Result<Vec<Shape>> {
        Err(Error::new(ErrorKind::Internal, format!("`{}` is replaced before anything runs", self.name)))
    }

    fn is_symbolic(&self) -> bool {
        true
    }
}

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Type, message))
}

/// Of so many operands of a `vectorize`, how many are values that are computed, and how many are replaced.
///
/// # Errors
/// If the operands are not so many values, and pairs.
pub(crate) fn vectorized_operands(operands: usize, attributes: &Attributes) -> Result<(usize, usize)> {
    let outputs = attributes.int("outputs")?;
    match usize::try_from(outputs) {
        Ok(outputs) if outputs > 0 && operands > outputs && (operands - outputs).is_multiple_of(2) => {
            Ok((outputs, (operands - outputs) / 2))
        }
        _ => fail(format!("{operands} operands are not {outputs} values, what they are computed from, and as many stacks of rows")),
    }
}

fn vectorized_types(operands: &[Operand<'_>], attributes: &Attributes) -> Result<Vec<Inferred>> {
    let (outputs, replaced) = vectorized_operands(operands.len(), attributes)?;
    let (values, pairs) = operands.split_at(outputs);
    let mut rows = Dim::Unknown;
    for (single, stack) in pairs.iter().zip(&pairs[replaced..]) {
        let (single, stack) = (single.ty, stack.ty);
        let fits = stack.rank() == single.rank() + 1
            && stack.dtype == single.dtype
            && stack.dims[1..].iter().zip(&single.dims).all(|(a, b)| a.compatible(b));
        if !fits {
            return fail(format!("the rows that replace {single} are a stack of such values, not {stack}"));
        }
        if !stack.dims[0].compatible(&rows) {
            return fail(format!("the stacks have different numbers of rows, {rows} and {}", stack.dims[0]));
        }
        rows = super::sizes::meet(&rows, &stack.dims[0]);
    }
    let with_rows = |value: &Operand<'_>| {
        let dims = std::iter::once(rows.clone()).chain(value.ty.dims.iter().cloned());
        Type::new(value.ty.dtype, dims).into()
    };
    Ok(values.iter().map(with_rows).collect())
}

/// `values` for each row of what replaces others: the pairs are a value, and a stack of such values. The
/// results have one more axis than the values, the first one.
///
/// The graph is computed for all rows at once: each op by its own rule for batches, by broadcasting, or, for
/// ops that have neither, row by row. What is replaced may be an input or anything that is computed; it need
/// not be given to the function if nothing else needs it.
///
/// ```
/// use arignote_core::{graph::Var, ops::vectorize, tensor::{DType, Type}};
/// let x = Var::input("x", Type::new(DType::F64, [3.into()]));
/// let xs = Var::input("xs", Type::new(DType::F64, ["n".into(), 3.into()]));
/// let norms = vectorize(&[&x.square().sum(None).sqrt()], &[(&x, &xs)]);
/// assert_eq!(norms[0].ty().unwrap().to_string(), "f64[n]");
/// ```
#[track_caller]
pub fn vectorize(values: &[&Var], replaced: &[(&Var, &Var)]) -> Vec<Var> {
    // The first rows stand for all; nothing computes them once they are replaced.
    let rows: Vec<(Var, Var)> = replaced.iter().map(|(target, stack)| ((*target).clone(), stack.at(0))).collect();
    let singles: Vec<Var> = values.iter().copied().cloned().collect();
    let singles = match clone_with(&singles, &rows) {
        Ok(singles) => singles,
        Err(error) => return vec![Var::error(error, Location::caller()); values.len()],
    };
    let rows = rows.into_iter().map(|(_, row)| row);
    let stacks = replaced.iter().map(|(_, stack)| (*stack).clone());
    let operands: Vec<Var> = singles.into_iter().chain(rows).chain(stacks).collect();
    let attributes = Attributes::new().with("outputs", values.len() as i64);
    let results = Var::apply_at("vectorize", &operands, attributes, Location::caller());
    (0..values.len()).map(|output| results.sibling(output)).collect()
}

/// A function of values applied to each row of as many stacks, which have equally many rows.
///
/// ```
/// use arignote_core::{graph::Var, ops::vmap, tensor::{DType, Type}};
/// let xs = Var::input("xs", Type::new(DType::F64, ["n".into(), 3.into()]));
/// let ws = Var::input("ws", Type::new(DType::F64, ["n".into(), 3.into()]));
/// let products = vmap(&[&xs, &ws], |row| vec![row[0].matmul(&row[1])]);
/// assert_eq!(products[0].ty().unwrap().to_string(), "f64[n]");
/// ```
#[track_caller]
pub fn vmap(stacks: &[&Var], function: impl FnOnce(&[Var]) -> Vec<Var>) -> Vec<Var> {
    let rows: Vec<Var> = stacks.iter().map(|stack| stack.at(0)).collect();
    let values = function(&rows);
    let pairs: Vec<(&Var, &Var)> = rows.iter().zip(stacks.iter().copied()).collect();
    vectorize(&values.iter().collect::<Vec<_>>(), &pairs)
}

/// The derivatives of each element of `y` in each element of some values: the axes of `y`, then those of
/// the value.
///
/// ```
/// use arignote_core::{graph::Var, ops::jacobian, tensor::{DType, Type}};
/// let x = Var::input("x", Type::new(DType::F64, ["n".into()]));
/// let w = Var::input("w", Type::new(DType::F64, [3.into(), "n".into()]));
/// let slopes = jacobian(&w.matmul(&x).tanh(), &[&x]);
/// assert_eq!(slopes[0].ty().unwrap().to_string(), "f64[3, n]");
/// ```
#[track_caller]
pub fn jacobian(y: &Var, wrt: &[&Var]) -> Vec<Var> {
    let operands: Vec<Var> = std::iter::once(y).chain(wrt.iter().copied()).cloned().collect();
    let results = Var::apply_at("jacobian", &operands, Attributes::new(), Location::caller());
    (0..wrt.len()).map(|output| results.sibling(output)).collect()
}

/// The second derivatives of a scalar in `x`: the axes of `x` twice.
#[track_caller]
pub fn hessian(cost: &Var, x: &Var) -> Var {
    Var::apply("hessian", &[cost.clone(), x.clone()], Attributes::new())
}
